//! The modelled Redis as a program in a world: its clock, its restarts, and what it loses.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::io::{ConnId, Endpoint, Input, Machine, Output};
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_sim::redis::{Call, Handle, Reply, Server, Setup, Start, sha1_hex};
use headwater_net_sim::{Boot, Crash, HostId, Latency, Tcp, World, ms, secs};

/// What a client was told, and when.
type Log = Rc<RefCell<Vec<(Time, String)>>>;

/// Connects at its start and whenever it has lost its connection, and says each line at its time.
struct Client {
    lines: VecDeque<(Time, &'static str)>,
    conn: ConnId,
    log: Log,
    outbox: VecDeque<Output>,
}

impl Client {
    fn connect(&mut self) {
        self.conn = ConnId(self.conn.0 + 2);
        let to = Endpoint { host: "redis".to_owned(), port: 6_379 };
        self.outbox.push_back(Output::Open { conn: self.conn, to });
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Now, input: Input) {
        let told = match input {
            Input::Received { bytes, .. } => String::from_utf8(bytes.to_vec()).unwrap(),
            Input::Closed { .. } => {
                self.connect();
                "closed".to_owned()
            }
            _ => return,
        };
        self.log.borrow_mut().push((now.mono, told));
    }

    fn handle_timeout(&mut self, now: Now) {
        while self.lines.front().is_some_and(|(at, _)| *at <= now.mono) {
            let (_, line) = self.lines.pop_front().unwrap();
            let bytes = Bytes::from(format!("{line}\r\n"));
            self.outbox.push_back(Output::Write { conn: self.conn, bytes });
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.lines.front().map(|(at, _)| Deadline { at: *at, why: "a line" })
    }
}

struct Stage {
    world: World,
    redis: HostId,
    log: Log,
}

fn stage(handle: &Handle, lines: &[(u64, &'static str)]) -> Stage {
    let mut world = World::new(5);
    world.link_default(Latency::ms(1));
    // Every answer arrives in one piece, so that it can be told from the next.
    world.tcp(Tcp { recut: false, ..Tcp::default() });
    let redis = world.host("redis", Server::boot(handle));
    let log = Log::default();
    let (shared, lines) = (log.clone(), lines.to_vec());
    let boot = Boot::new(move |_, now| {
        let lines = lines.iter().map(|(after, line)| (now.mono + ms(*after), *line)).collect();
        let mut client = Client { lines, conn: ConnId(0), log: shared.clone(), outbox: VecDeque::new() };
        client.connect();
        Box::new(client)
    });
    world.host("client", boot);
    Stage { world, redis, log }
}

fn told(log: &Log) -> Vec<String> {
    log.borrow().iter().map(|(_, told)| told.trim_end().replace("\r\n", " ")).collect()
}

fn run(handle: &Handle, lines: &[(u64, &'static str)]) -> Vec<String> {
    let mut s = stage(handle, lines);
    s.world.run_for(secs(60));
    told(&s.log)
}

#[test]
fn keys_end_by_the_clock_of_their_host() {
    let lines =
        [(100, "SET a 1 EX 10"), (9_000, "GET a"), (9_500, "TTL a"), (10_102, "GET a"), (10_300, "TTL a")];
    assert_eq!(run(&Handle::default(), &lines), ["+OK", "$1 1", ":1", "$-1", ":-2"]);

    let mut s = stage(&Handle::default(), &lines);
    s.world.run_for(secs(5));
    s.world.step_clock(s.redis, 3_600_000_000);
    s.world.run_for(secs(55));
    assert_eq!(told(&s.log)[1], "$-1", "a step of the clock ends it");
}

#[test]
fn a_restart_keeps_or_loses_everything() {
    for (start, after) in [(Start::Kept, "$1 1"), (Start::Empty, "$-1")] {
        let handle = Handle::default();
        let mut s = stage(&handle, &[(100, "SET a 1"), (3_000, "GET a")]);
        s.world.run_for(secs(2));
        handle.next_start(start);
        s.world.restart(s.redis);
        s.world.run_for(secs(5));
        assert_eq!(told(&s.log), ["+OK", "closed", after]);
    }
}

#[test]
fn a_promoted_replica_lacks_what_was_acknowledged_last() {
    let handle = Handle::default();
    let lines = [
        (100, "SET old 1"),
        (200, "SET a 1"),
        (1_700, "SET a 2"),
        (1_800, "DEL old"),
        (1_900, "SET new 1"),
        (3_000, "MGET a old new"),
    ];
    let mut s = stage(&handle, &lines);
    s.world.run_for(secs(2));
    handle.next_start(Start::Promoted(ms(500)));
    s.world.crash(s.redis, Crash::Reset);
    s.world.restart(s.redis);
    s.world.run_for(secs(5));
    assert_eq!(told(&s.log)[5..], ["closed", "*3 $1 1 $1 1 $-1"]);
}

#[test]
fn a_server_that_loads_or_takes_no_writes_says_so() {
    let handle = Handle::default();
    handle.loads_for(secs(2));
    let lines = [(100, "GET a"), (200, "SET a 1"), (300, "INFO"), (2_500, "SET a 1")];
    let said = run(&handle, &lines);
    assert!(said[0].starts_with("-LOADING") && said[1].starts_with("-LOADING"));
    assert!(said[2].contains("loading:1"), "{}", said[2]);
    assert_eq!(said[3], "+OK");

    let handle = Handle::default();
    handle.read_only(true);
    let lines =
        [(100, "SET a 1"), (200, "GET a"), (300, "MULTI"), (400, "DEL a"), (500, "EXEC"), (600, "ROLE")];
    let said = run(&handle, &lines);
    assert!(said[0].starts_with("-READONLY") && said[3].starts_with("-READONLY"));
    assert!(said[4].starts_with("-EXECABORT") && said[5].starts_with("*5 $5 slave"));
    assert_eq!(said[1], "$-1");
}

#[test]
fn a_slow_answer_comes_in_order_and_its_write_may_outlive_it() {
    let handle = Handle::default();
    handle.answers_after(secs(2));
    let mut s = stage(&handle, &[(100, "SET a 1"), (1_000, "GET a"), (6_000, "SET b 1")]);
    s.world.run_for(ms(6_500));
    let at: Vec<Duration> = s.log.borrow().iter().map(|(at, _)| at.since(s.log.borrow()[0].0)).collect();
    assert_eq!(told(&s.log), ["+OK", "$1 1"]);
    assert!(at[1] > ms(800) && at[1] < ms(1_000), "{at:?}");
    // The last write is done and never acknowledged.
    s.world.crash(s.redis, Crash::Reset);
    let now_ms = s.world.clock(s.redis).wall.as_millis();
    assert_eq!(handle.value("b", now_ms), Some(b"1".to_vec()));
    s.world.run_for(secs(1));
    assert_eq!(told(&s.log)[2], "closed");
}

const DELETE_OWN: &str =
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0";

fn delete_own(call: &mut Call<'_>) -> Reply {
    let key = call.keys[0].clone();
    if call.redis(&[b"GET", &key]) == Reply::Bulk(Some(call.args[0].clone())) {
        return call.redis(&[b"DEL", &key]);
    }
    Reply::Integer(0)
}

#[test]
fn known_scripts_run_once_they_were_sent() {
    let setup = Setup { scripts: vec![(DELETE_OWN, delete_own)], ..Setup::default() };
    let hash = sha1_hex(DELETE_OWN.as_bytes());
    assert_eq!(hash.len(), 40);
    let mut database = headwater_net_sim::redis::Database::new(setup);
    let mut session = headwater_net_sim::redis::Session::new(1);
    let mut call = |words: &[&str]| {
        let request = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        database.call(&mut session, 1_000, &request)
    };
    call(&["SET", "a", "mine"]);
    let unknown = call(&["EVALSHA", &hash, "1", "a", "mine"]);
    assert_eq!(unknown, Reply::Error("NOSCRIPT No matching script. Please use EVAL.".to_owned()));
    assert_eq!(call(&["SCRIPT", "LOAD", DELETE_OWN]), Reply::text(&hash));
    assert_eq!(call(&["EVALSHA", &hash, "1", "a", "theirs"]), Reply::Integer(0));
    assert_eq!(call(&["EVALSHA", &hash, "1", "a", "mine"]), Reply::Integer(1));
    assert!(matches!(call(&["EVAL", "return 1", "0"]), Reply::Error(what) if what.contains("not given")));
}
