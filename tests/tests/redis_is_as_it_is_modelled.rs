//! The simulator's Redis and the real one, side by side: the same words on the same connections, the same answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use headwater_net_sim::redis::{Call, Database, Reply, Request, Session, Setup};
use headwater_tests::process::Process;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

/// A real server; it ends with the test.
struct Real {
    port: u16,
    _process: Process,
    _dir: TempDir,
}

impl Real {
    fn start(password: Option<&str>) -> Result<Real> {
        let dir = TempDir::new()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(dir.path());
        if let Some(password) = password {
            command.args(["--requirepass", password]);
        }
        let process = Process::start("redis-server", &mut command, dir.path())
            .context("this test needs redis-server; `cargo xtask test` installs it")?;
        let real = Real { port, _process: process, _dir: dir };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(10), "redis-server does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(real)
    }

    fn connect(&self) -> Result<RealClient> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(RealClient { reader: BufReader::new(stream) })
    }
}

struct RealClient {
    reader: BufReader<TcpStream>,
}

impl RealClient {
    fn call(&mut self, request: &Request) -> Result<Reply> {
        let mut bytes = Vec::new();
        Reply::Array(Some(request.iter().map(|word| Reply::Bulk(Some(word.clone()))).collect()))
            .write(&mut bytes);
        self.reader.get_mut().write_all(&bytes)?;
        self.reply()
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n").context("a line that ends")?;
        let (kind, rest) = line.split_at_checked(1).context("a reply")?;
        Ok(match kind {
            "+" => Reply::Simple(match rest {
                "OK" => "OK",
                "PONG" => "PONG",
                "QUEUED" => "QUEUED",
                "RESET" => "RESET",
                _ => "something else",
            }),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(rest.parse()?),
            "$" if rest == "-1" => Reply::NIL,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>()? + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(Some(bytes))
            }
            "*" if rest == "-1" => Reply::Array(None),
            _ => {
                Reply::Array(Some((0..rest.parse::<usize>()?).map(|_| self.reply()).collect::<Result<_>>()?))
            }
        })
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit")
}

const DELETE_OWN: &str =
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0";
const RENEW_OWN: &str = "if redis.call('GET',KEYS[1])==ARGV[1] then \
    return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end return redis.call('TTL',KEYS[1])";

fn delete_own(call: &mut Call<'_>) -> Reply {
    let (Some(key), Some(own)) = (call.keys.first().cloned(), call.args.first().cloned()) else {
        return Reply::Integer(0);
    };
    if call.redis(&[b"GET", &key]) == Reply::Bulk(Some(own)) {
        return call.redis(&[b"DEL", &key]);
    }
    Reply::Integer(0)
}

fn renew_own(call: &mut Call<'_>) -> Reply {
    let (Some(key), [own, span]) = (call.keys.first().cloned(), &call.args[..]) else {
        return Reply::Integer(0);
    };
    let (own, span) = (own.clone(), span.clone());
    if call.redis(&[b"GET", &key]) == Reply::Bulk(Some(own)) {
        return call.redis(&[b"PEXPIRE", &key, &span]);
    }
    call.redis(&[b"TTL", &key])
}

fn setup() -> Setup {
    Setup { scripts: vec![(DELETE_OWN, delete_own), (RENEW_OWN, renew_own)], ..Setup::default() }
}

/// One of two connections, and what it says.
type Step = (usize, Vec<String>);

/// Words that mostly make sense. Times are long over or far away, so that nothing ends in between.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof![Just("a"), Just("b"), Just("c:1")].prop_map(str::to_owned);
    let value = || {
        prop_oneof![Just("1"), Just("x"), Just("-5"), Just("01"), Just(""), Just("9223372036854775807")]
            .prop_map(str::to_owned)
    };
    let span = || {
        prop_oneof![
            Just("100"),
            Just("5000000"),
            Just("0"),
            Just("-1"),
            Just("x"),
            Just("9223372036854775807")
        ]
        .prop_map(str::to_owned)
    };
    // Far apart, and in the future.
    let moment =
        || prop_oneof![Just("5000000000000"), Just("6000000000000"), Just("1")].prop_map(str::to_owned);
    let options = || {
        proptest::collection::vec(
            prop_oneof![
                Just(vec!["NX"]),
                Just(vec!["xx"]),
                Just(vec!["GET"]),
                Just(vec!["KEEPTTL"]),
                Just(vec!["EX", "5000"]),
                Just(vec!["PX", "5000000"]),
                Just(vec!["PXAT", "5000000000000"]),
                Just(vec!["EXAT", "1"]),
                Just(vec!["EX", "0"]),
                Just(vec!["EX"]),
            ],
            0..3,
        )
        .prop_map(|options| options.concat().into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let limits = || prop_oneof![Just(""), Just("NX"), Just("XX"), Just("GT"), Just("LT"), Just("no")];
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let fixed = |list: &'static [&'static str]| Just(words(list));
    let with_key = |list: &'static [&'static str]| {
        (proptest::sample::select(list), key()).prop_map(|(name, key)| vec![name.to_owned(), key])
    };
    let command = prop_oneof![
        6 => (key(), value(), options())
            .prop_map(|(key, value, options)| [vec!["SET".to_owned(), key, value], options].concat()),
        6 => with_key(&["GET", "get", "DEL", "UNLINK", "EXISTS", "TTL", "PTTL", "PERSIST", "STRLEN", "INCR", "DECR", "GETDEL"]),
        2 => (key(), value()).prop_map(|(key, by)| vec!["INCRBY".to_owned(), key, by]),
        2 => (key(), value()).prop_map(|(key, value)| vec!["SETNX".to_owned(), key, value]),
        3 => (proptest::sample::select(&["EXPIRE", "PEXPIRE"][..]), key(), span())
            .prop_map(|(name, key, span)| vec![name.to_owned(), key, span]),
        3 => (proptest::sample::select(&["EXPIREAT", "PEXPIREAT"][..]), key(), moment(), limits(), limits())
            .prop_map(|(name, key, at, one, two)| {
                let limits = [one, two].into_iter().filter(|word| !word.is_empty()).map(str::to_owned);
                [name.to_owned(), key, at].into_iter().chain(limits).collect()
            }),
        2 => (key(), key()).prop_map(|(a, b)| vec!["MGET".to_owned(), a, b]),
        1 => (key(), key()).prop_map(|(a, b)| vec!["EXISTS".to_owned(), a.clone(), b, a]),
        4 => prop_oneof![
            fixed(&["MULTI"]), fixed(&["EXEC"]), fixed(&["EXEC"]), fixed(&["DISCARD"]), fixed(&["UNWATCH"]),
        ],
        2 => with_key(&["WATCH"]),
        2 => (proptest::sample::select(&["EVAL", "SCRIPT LOAD"][..]), key(), value()).prop_map(|(how, key, value)| {
            if how == "EVAL" {
                vec!["EVAL".to_owned(), DELETE_OWN.to_owned(), "1".to_owned(), key, value]
            } else {
                vec!["SCRIPT".to_owned(), "load".to_owned(), RENEW_OWN.to_owned()]
            }
        }),
        2 => (key(), value()).prop_map(|(key, value)| {
            let hash = headwater_net_sim::redis::sha1_hex(RENEW_OWN.as_bytes());
            vec!["EVALSHA".to_owned(), hash, "1".to_owned(), key, value, "5000000".to_owned()]
        }),
        1 => proptest::sample::select(&["*", "?", "c*", "[ab]", "[^a]", "c:[0-9]", "\\a", "x"][..])
            .prop_map(|pattern| vec!["KEYS".to_owned(), pattern.to_owned()]),
        3 => prop_oneof![
            fixed(&["PING"]), fixed(&["PING", "hi"]), fixed(&["PING", "a", "b"]), fixed(&["ECHO", "hi"]),
            fixed(&["SELECT", "1"]), fixed(&["SELECT", "0"]), fixed(&["SELECT", "16"]), fixed(&["SELECT", "x"]),
            fixed(&["AUTH", "x"]), fixed(&["AUTH", "default", "x"]), fixed(&["AUTH", "who", "x"]),
            fixed(&["CLIENT", "SETNAME", "me"]), fixed(&["CLIENT", "GETNAME"]), fixed(&["CLIENT", "SETNAME", "a b"]),
            fixed(&["CLIENT", "nothing"]), fixed(&["CLIENT", "SETNAME"]), fixed(&["HELLO", "4"]), fixed(&["HELLO", "x"]),
            fixed(&["HELLO", "2", "SETNAME", "you"]), fixed(&["HELLO", "2", "what"]), fixed(&["ROLE"]),
            fixed(&["RESET"]), fixed(&["FLUSHALL"]), fixed(&["FLUSHALL", "no"]), fixed(&["SCAN", "0", "COUNT", "100"]),
            fixed(&["SCAN", "x"]), fixed(&["SCAN", "0", "COUNT", "0"]), fixed(&["SCAN", "0", "MATCH"]),
        ],
        1 => prop_oneof![
            fixed(&["GET"]), fixed(&["SET", "a"]), fixed(&["nonsense", "a", "b c"]), fixed(&["MULTI", "x"]),
            fixed(&["EVAL", DELETE_OWN, "2", "a"]), fixed(&["EVAL", DELETE_OWN, "-1", "a"]), fixed(&["EVAL", DELETE_OWN, "x"]),
            fixed(&["EVALSHA", "0000000000000000000000000000000000000000", "0"]), fixed(&["SCRIPT", "LOAD"]),
            fixed(&["SCRIPT", "EXISTS", "0000000000000000000000000000000000000000"]), fixed(&["SCRIPT", "what"]),
            fixed(&["WATCH"]), fixed(&["EXPIRE", "a"]), fixed(&[""]),
        ],
    ];
    proptest::collection::vec((any::<bool>().prop_map(usize::from), command), 1..40)
}

/// Whether two answers say the same, but for the order of keys, the id of a connection, and the time that goes by
/// between the two.
fn alike(request: &[String], modelled: &Reply, answered: &Reply) -> bool {
    let name = request[0].to_ascii_uppercase();
    match (&name[..], modelled, answered) {
        ("KEYS" | "SCAN", Reply::Array(Some(one)), Reply::Array(Some(other))) => {
            let sorted = |items: &[Reply]| {
                let mut items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
                items.sort();
                items
            };
            match (&one[..], &other[..]) {
                ([_, one @ Reply::Array(_)], [_, other @ Reply::Array(_)]) if name == "SCAN" => {
                    one_cursor(modelled) == one_cursor(answered) && alike(&["KEYS".to_owned()], one, other)
                }
                _ => sorted(one) == sorted(other),
            }
        }
        ("HELLO", Reply::Array(Some(one)), Reply::Array(Some(other))) => {
            one.len() == other.len() && (0..one.len()).all(|at| at == HELLO_ID || one[at] == other[at])
        }
        // The replies of a transaction are not known by their commands any more.
        ("EXEC", Reply::Array(Some(one)), Reply::Array(Some(other))) => {
            let any = |one: &Reply, other: &Reply| {
                ["TTL", "KEYS", "SCAN", "HELLO"].iter().any(|name| alike(&[(*name).to_owned()], one, other))
            };
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| any(one, other))
        }
        ("TTL" | "PTTL" | "EVALSHA", Reply::Integer(one), Reply::Integer(other)) => {
            one == other || (*one > 50 && one.abs_diff(*other) < 1_000)
        }
        _ => modelled == answered,
    }
}

/// The cursor of a SCAN's reply.
fn one_cursor(reply: &Reply) -> Option<&Reply> {
    if let Reply::Array(Some(items)) = reply { items.first() } else { None }
}

/// The place of the connection's id in the reply to HELLO.
const HELLO_ID: usize = 7;

#[test]
fn any_words_get_the_same_answers() {
    let real = Real::start(None).expect("a Redis server");
    let mut runner = TestRunner::new(Config { cases: 1_000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&steps(), |steps| {
        let mut model = Database::new(setup());
        let mut sessions = [Session::new(1), Session::new(2)];
        let mut clients = [real.connect().expect("a connection"), real.connect().expect("a connection")];
        for words in [vec!["FLUSHALL"], vec!["SCRIPT", "FLUSH"]] {
            let request = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            clients[0].call(&request).expect("an answer");
        }
        for (which, words) in &steps {
            let request: Request = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            let modelled = model.call(&mut sessions[*which], now_ms(), &request);
            let answered = clients[*which].call(&request).expect("an answer");
            proptest::prop_assert!(
                alike(words, &modelled, &answered),
                "to {words:?} the model says {modelled:?} and Redis {answered:?}"
            );
        }
        Ok(())
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
}

#[test]
fn nobody_is_answered_before_the_password() {
    let real = Real::start(Some("secret")).expect("a Redis server");
    let mut model = Database::new(Setup { password: Some("secret".to_owned()), ..setup() });
    let (mut session, mut client) = (Session::new(1), real.connect().expect("a connection"));
    for words in [
        &["GET", "a"][..],
        &["PING"],
        &["MULTI"],
        &["HELLO"],
        &["HELLO", "2", "AUTH", "default", "wrong"],
        &["nonsense"],
        &["GET"],
        &["AUTH", "wrong"],
        &["AUTH", "a", "b", "c"],
        &["GET", "a"],
        &["AUTH", "default", "secret"],
        &["GET", "a"],
        &["AUTH", "wrong"],
        &["GET", "a"],
        &["RESET"],
        &["GET", "a"],
        &["HELLO", "2", "AUTH", "default", "secret", "SETNAME", "me"],
        &["CLIENT", "GETNAME"],
        &["QUIT"],
    ] {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let request = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let modelled = model.call(&mut session, now_ms(), &request);
        let answered = client.call(&request).expect("an answer");
        assert!(alike(&words, &modelled, &answered), "{words:?}: {modelled:?}, {answered:?}");
    }
    assert!(session.quits());
    assert!(client.reply().is_err(), "the real one has closed the connection");
}

#[test]
fn keys_end_in_time_and_watches_notice() {
    let real = Real::start(None).expect("a Redis server");
    let mut model = Database::new(setup());
    let mut sessions = [Session::new(1), Session::new(2)];
    let mut clients = [real.connect().expect("a connection"), real.connect().expect("a connection")];
    let mut both = |which: usize, words: &[&str]| {
        let request: Request = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let modelled = model.call(&mut sessions[which], now_ms(), &request);
        let answered = clients[which].call(&request).expect("an answer");
        assert_eq!(modelled, answered, "{words:?}");
        answered
    };
    both(0, &["SET", "a", "1", "PX", "400"]);
    both(0, &["SET", "b", "1"]);
    both(1, &["WATCH", "a"]);
    both(1, &["MULTI"]);
    both(1, &["SET", "b", "2"]);
    assert_eq!(both(0, &["GET", "a"]), Reply::Bulk(Some(b"1".to_vec())));
    thread::sleep(Duration::from_millis(600));
    assert_eq!(both(0, &["GET", "a"]), Reply::NIL);
    both(0, &["TTL", "a"]);
    assert_eq!(both(1, &["EXEC"]), Reply::Array(None));
    assert_eq!(both(0, &["GET", "b"]), Reply::Bulk(Some(b"1".to_vec())));
    both(0, &["SET", "a", "1", "EX", "100"]);
    both(0, &["SET", "a", "2", "NX", "GET"]);
}
