//! A node's directory in the modelled Redis: what is asked comes back, in order, or fails in time.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use headwater_core::config::{
    Config, OriginMapStore, RedisServer, RedisServers, Secret, StorePlace, VirtualHost,
};
use headwater_core::io::{AskId, Endpoint, Input, Machine, Output, StoreId};
use headwater_core::origin_map::PullProperties;
use headwater_core::registry::{self, Answer, Claim, Claimed, Failure, Found, LeaseId};
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_sim::redis::{Handle, Server, Setup, Start, WithStore, directory_scripts};
use headwater_net_sim::{Boot, Crash, HostId, Latency, World, ms, secs};

/// What a node was told, and how long after it had asked.
type Log = Rc<RefCell<Vec<(u64, Result<Answer, Failure>, u64)>>>;

/// Asks each of these at its time.
struct Asker {
    plan: VecDeque<(Time, registry::Command)>,
    asked: Vec<Time>,
    log: Log,
    outbox: VecDeque<Output>,
}

impl Machine for Asker {
    fn handle(&mut self, now: Now, input: Input) {
        if let Input::Registry { ask, answer } = input {
            let asked = self.asked[usize::try_from(ask.0).unwrap()];
            let took = u64::try_from(now.mono.since(asked).as_millis()).unwrap();
            self.log.borrow_mut().push((ask.0, answer, took));
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        while self.plan.front().is_some_and(|(at, _)| *at <= now.mono) {
            let (_, command) = self.plan.pop_front().unwrap();
            let ask = AskId(self.asked.len() as u64);
            self.asked.push(now.mono);
            self.outbox.push_back(Output::Registry { ask, store: StoreId(0), command });
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.plan.front().map(|(at, _)| Deadline { at: *at, why: "a question" })
    }
}

fn config(password: Option<&str>, database: u32) -> Config {
    let server = RedisServers::Single(Endpoint { host: "redis".to_owned(), port: 6_379 });
    let redis = RedisServer { password: password.map(Secret::new), database, ..server.into() };
    let store = OriginMapStore {
        place: StorePlace::Redis(redis),
        origin_host: Some("a".to_owned()),
        plain_keys: true,
    };
    let vhost = VirtualHost {
        name: "default".to_owned(),
        hosts: Vec::new(),
        tls: None,
        pull: PullProperties::default(),
        origins: Vec::new(),
        store: Some(store),
        applications: Vec::new(),
        template: None,
    };
    Config { name: "node".to_owned(), vhosts: vec![vhost], ..Config::default() }
}

struct Stage {
    world: World,
    redis: HostId,
    node: HostId,
    log: Log,
}

fn stage(handle: &Handle, config: Config, plan: &[(u64, registry::Command)]) -> Stage {
    let mut world = World::new(7);
    world.link_default(Latency::ms(1));
    let redis = world.host("redis", Server::boot(handle));
    let log = Log::default();
    let (shared, plan) = (log.clone(), plan.to_vec());
    let boot = Boot::new(move |_, now| {
        let plan = plan.iter().map(|(after, command)| (now.mono + ms(*after), command.clone())).collect();
        let asker = Asker { plan, asked: Vec::new(), log: shared.clone(), outbox: VecDeque::new() };
        Box::new(WithStore::new(asker, &config, now))
    });
    let node = world.host("node", boot);
    Stage { world, redis, node, log }
}

fn redis(password: Option<&str>) -> Handle {
    Handle::new(Setup {
        password: password.map(str::to_owned),
        scripts: directory_scripts(),
        ..Setup::default()
    })
}

const ME: LeaseId = LeaseId(7);

fn claim(name: &str) -> registry::Command {
    let url = format!("ovt://a:9000/{name}");
    registry::Command::Claim {
        by: ME,
        streams: vec![Claim { name: name.to_owned(), url, floor: 0, dead: None }],
    }
}

fn lookup(name: &str) -> registry::Command {
    registry::Command::Lookup(vec![name.to_owned()])
}

fn is_away(answer: &Result<Answer, Failure>) -> bool {
    matches!(answer, Err(Failure::Away(_)))
}

#[test]
fn what_is_asked_is_answered_in_order() {
    let open = registry::Command::Open { by: ME };
    let alive = registry::Command::Alive(vec![ME, LeaseId(8)]);
    let nothing = registry::Command::Lookup(Vec::new());
    // All at once: the second claim waits until the server has the script.
    let plan =
        [(100, open), (100, claim("app/a")), (100, claim("app/b")), (100, lookup("app/b")), (100, alive)];
    let handle = redis(Some("secret"));
    let mut s = stage(&handle, config(Some("secret"), 3), &[&plan[..], &[(200, nothing)]].concat());
    s.world.run_for(secs(1));
    let log = s.log.borrow();
    assert_eq!(log.iter().map(|(ask, ..)| *ask).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(log[0].1, Ok(Answer::Renewed(true)));
    let Ok(Answer::Claimed(claimed)) = &log[1].1 else { panic!("{:?}", log[1]) };
    let [Claimed::Owner { number }] = claimed[..] else { panic!("{claimed:?}") };
    assert!(number > 1_700_000_000_000);
    let Ok(Answer::Found(found)) = &log[3].1 else { panic!("{:?}", log[3]) };
    let [Found { owner: Some((epoch, url)), plain: Some(plain), .. }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((epoch.owner, url.as_str(), plain.as_str()), (ME, "ovt://a:9000/app/b", "ovt://a:9000/app/b"));
    assert!(matches!(&log[4].1, Ok(Answer::Alive(left)) if left[0].is_some() && left[1].is_none()));
    assert_eq!(log[5].1, Ok(Answer::Found(Vec::new())));
    assert_eq!(s.world.dials().len(), 1, "one connection for everything");
}

#[test]
fn who_may_not_enter_is_told_so() {
    let mut s = stage(&redis(Some("secret")), config(Some("wrong"), 0), &[(100, lookup("app/a"))]);
    s.world.run_for(secs(1));
    assert!(matches!(&s.log.borrow()[0].1, Err(Failure::Refused(why)) if why.starts_with("WRONGPASS")));

    let mut s = stage(&redis(None), config(None, 99), &[(100, lookup("app/a"))]);
    s.world.run_for(secs(1));
    assert!(matches!(&s.log.borrow()[0].1, Err(Failure::Refused(why)) if why.contains("out of range")));
}

#[test]
fn a_server_that_is_away_fails_what_is_asked_in_time_and_is_found_again() {
    let plan =
        [(100, claim("app/a")), (5_000, lookup("app/a")), (5_500, lookup("app/b")), (9_000, lookup("app/a"))];
    let handle = redis(None);
    // Cut off while a connection stands: a second for the first question, which takes the second one with it.
    let mut s = stage(&handle, config(None, 0), &plan);
    s.world.run_for(secs(4));
    s.world.partition(s.node, s.redis);
    s.world.run_for(secs(4));
    s.world.heal(s.node, s.redis);
    s.world.run_for(secs(4));
    let log = s.log.borrow();
    assert!(is_away(&log[1].1) && log[1].2 == 1_000, "{log:?}");
    assert!(is_away(&log[2].1) && log[2].2 == 500, "{log:?}");
    assert!(matches!(&log[3].1, Ok(Answer::Found(found)) if found[0].owner.is_some()), "{log:?}");
    assert_eq!(s.world.dials().len(), 2);

    // Cut off from the beginning: a second for the connection.
    let mut s = stage(&handle, config(None, 0), &[(100, lookup("app/a"))]);
    s.world.partition(s.node, s.redis);
    s.world.run_for(secs(4));
    assert!(is_away(&s.log.borrow()[0].1) && s.log.borrow()[0].2 == 1_000);

    // Not there at all: refused at once.
    let mut s = stage(&handle, config(None, 0), &[(100, lookup("app/a"))]);
    s.world.crash(s.redis, Crash::Reset);
    s.world.run_for(secs(4));
    assert!(is_away(&s.log.borrow()[0].1) && s.log.borrow()[0].2 < 10);
}

#[test]
fn a_server_that_answers_late_is_left() {
    let handle = redis(None);
    handle.answers_after(ms(1_500));
    let mut s = stage(&handle, config(None, 0), &[(100, claim("app/a")), (3_000, lookup("app/a"))]);
    s.world.run_for(secs(3));
    handle.answers_after(ms(0));
    s.world.run_for(secs(3));
    let log = s.log.borrow();
    assert!(is_away(&log[0].1) && log[0].2 < 1_010, "{log:?}");
    // Although nobody was told, it was done or it was not; a script that the server did not know was not.
    assert!(log[1].1.is_ok(), "{log:?}");
}

#[test]
fn a_restarted_server_is_told_the_scripts_again() {
    let handle = redis(None);
    let mut s = stage(
        &handle,
        config(None, 0),
        &[(100, claim("app/a")), (3_000, claim("app/a")), (3_500, lookup("app/a"))],
    );
    s.world.run_for(secs(2));
    handle.next_start(Start::Empty);
    s.world.restart(s.redis);
    s.world.run_for(secs(3));
    assert!(s.log.borrow().iter().all(|(_, answer, _)| answer.is_ok()), "{:?}", s.log.borrow());
    assert_eq!(s.log.borrow().len(), 3);
}

#[test]
fn whoever_is_asked_to_stop_leaves_no_connection() {
    let mut s = stage(&redis(None), config(None, 0), &[(100, lookup("app/a"))]);
    s.world.run_for(secs(1));
    assert_eq!(s.world.connections_of(s.redis).count(), 1);
    s.world.shutdown(s.node);
    s.world.run_for(secs(1));
    assert_eq!(s.world.connections_of(s.redis).count(), 0);
    assert!(!s.world.is_running(s.node));
}
