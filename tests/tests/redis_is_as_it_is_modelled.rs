//! The simulator's Redis and the real one, side by side: the same words on the same connections, the same answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use headwater_core::registry::redis::{Call as RegistryCall, Reply as Told, Schema, answer};
use headwater_core::registry::{Claim, Command as Registry, LeaseId, Zero};
use headwater_net_sim::redis::{Call, Database, Reply, Request, Session, Setup, directory_scripts};
use headwater_tests::process::Process;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
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

/// What happens to a directory.
#[derive(Clone, Debug)]
enum Event {
    /// An origin or an edge asks.
    Command(Registry),
    /// The time of a stream's keys is over, or of a lease.
    Over(String),
    /// Somebody else writes: a key, a value, and its time in milliseconds.
    Plant(String, Vec<u8>, Option<u64>),
    /// The server forgets the scripts.
    Forget,
}

const NAMES: [&str; 3] = ["app/a", "app/b", "live/ü 1"];

/// Numbers from here on are no times, so they must be the same to the last digit.
const NOT_A_TIME: u64 = 4_900_000_000_000;

fn events(schema: &Schema) -> impl Strategy<Value = Vec<Event>> + use<> {
    let schema = schema.clone();
    let lease = || (1_u64..=4).prop_map(|n| LeaseId(n * 0x1234_5678_9abc));
    let name = || proptest::sample::select(&NAMES[..]);
    let url = || {
        (proptest::sample::select(&["a", "b", "c"][..]), name())
            .prop_map(|(host, name)| format!("ovt://{host}:9000/{name}"))
    };
    let number = || {
        prop_oneof![
            4 => (0_u64..20).prop_map(|n| 5_000_000_000_000 + n * 7),
            2 => Just(0_u64),
            1 => Just(999_999_999_999_998_u64),
            1 => Just(999_999_999_999_999_u64),
            1 => Just(u64::MAX),
            1 => Just(7_u64),
        ]
    };
    let held = move || proptest::collection::vec((name().prop_map(str::to_owned), url()), 0..4);
    let claim = (name(), url(), number(), proptest::option::of(lease()))
        .prop_map(|(name, url, floor, dead)| Claim { name: name.to_owned(), url, floor, dead });
    let command = prop_oneof![
        6 => (lease(), proptest::collection::vec(claim, 0..4))
            .prop_map(|(by, streams)| Registry::Claim { by, streams }),
        3 => (lease(), held()).prop_map(|(by, streams)| Registry::Keep { by, streams }),
        4 => (lease(), held()).prop_map(|(by, streams)| Registry::Release { by, streams }),
        2 => (name(), number()).prop_map(|(name, above)| Registry::Raise { name: name.to_owned(), above }),
        2 => proptest::collection::vec(name().prop_map(str::to_owned), 0..4).prop_map(Registry::Lookup),
        2 => proptest::collection::vec((name(), -12_000_i64..12_000, any::<bool>()), 0..4).prop_map(|zeros| {
            let zero = |(name, ms, keeps): (&str, i64, bool)| Zero { name: name.to_owned(), ms, keeps };
            Registry::Agree(zeros.into_iter().map(zero).collect())
        }),
        1 => lease().prop_map(|by| Registry::Open { by }),
        1 => lease().prop_map(|by| Registry::Renew { by }),
        1 => lease().prop_map(|by| Registry::Close { by }),
        1 => proptest::collection::vec(lease(), 0..4).prop_map(Registry::Alive),
    ];
    let digits = || {
        prop_oneof![
            Just("5000000000100"),
            Just("5000000000007"),
            Just("007"),
            Just("999999999999999"),
            Just("1000000000000000"),
            Just("1"),
            Just("x"),
            Just(""),
            Just("9999999999999"),
        ]
    };
    let owner = move || {
        prop_oneof![
            6 => lease().prop_map(|lease| lease.to_string()),
            1 => Just("00000000000000AA".to_owned()),
            1 => Just("aa".to_owned()),
            1 => Just("00000000000000ag".to_owned()),
        ]
    };
    let address = move || {
        prop_oneof![
            6 => url(),
            1 => Just(String::new()),
            1 => Just("ovt://x y:9/\r".to_owned()),
            1 => (1_000_usize..9_000).prop_map(|len| format!("ovt://x:9/{}", "y".repeat(len))),
        ]
    };
    let waiting =
        (digits(), owner(), address()).prop_map(|(until, lease, url)| format!("{until} {lease} {url}"));
    let end = || proptest::sample::select(&["\n", "\n\n", ""][..]);
    let version = || proptest::sample::select(&["1 ", "1 ", "1 ", "1 ", "2 ", "1", "1  "][..]);
    let entry =
        (version(), digits(), digits(), owner(), address(), proptest::collection::vec(waiting, 0..10), end())
            .prop_map(|(version, number, since, owner, url, waiting, end)| {
                let lines = waiting.into_iter().map(|line| format!("{line}\n")).collect::<String>();
                format!("{version}{number} {since} {owner} {url}\n{lines}{end}").into_bytes()
            });
    let plain = prop_oneof![
        3 => url().prop_map(String::into_bytes),
        2 => proptest::sample::select(&["http://h", "h+t.t-p://h", "1h://h", "://h", "h://", "h:/h", "x", "a b://c", "h\n://c"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (16_380_usize..16_390).prop_map(|len| format!("ovt://{}", "h".repeat(len)).into_bytes()),
    ];
    let span = || proptest::option::of(Just(1_000_000_u64));
    let (entry_keys, plain_keys, keys) = (schema.clone(), schema.clone(), schema);
    let event = prop_oneof![
        20 => command.prop_map(Event::Command),
        4 => (name(), entry, span()).prop_map(move |(name, value, span)| Event::Plant(entry_keys.entry_key(name), value, span)),
        2 => (name(), plain, span()).prop_map(move |(name, value, span)| Event::Plant(plain_keys.plain_key(name), value, span)),
        1 => (name(), lease(), 0..3).prop_map(move |(name, lease, which)| Event::Over(match which {
            0 => keys.entry_key(name),
            1 => keys.plain_key(name),
            _ => keys.lease_key(lease),
        })),
        1 => Just(Event::Forget),
    ];
    proptest::collection::vec(event, 1..30)
}

/// Two texts that differ in times only, and there by less than the test may take.
fn same_but_for_time(one: &[u8], other: &[u8]) -> bool {
    let words =
        |text: &[u8]| text.split(|byte| b" \n".contains(byte)).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let number = |word: &[u8]| {
        std::str::from_utf8(word).ok()?.parse::<u64>().ok().filter(|number| *number < NOT_A_TIME)
    };
    let (one, other) = (words(one), words(other));
    one.len() == other.len()
        && one.iter().zip(&other).all(|(one, other)| {
            one == other
                || number(one).zip(number(other)).is_some_and(|(one, other)| one.abs_diff(other) < SLOW_MS)
        })
}

fn same_reply_but_for_time(one: &Reply, other: &Reply) -> bool {
    match (one, other) {
        (Reply::Bulk(Some(one)), Reply::Bulk(Some(other))) => same_but_for_time(one, other),
        (Reply::Array(Some(one)), Reply::Array(Some(other))) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| same_reply_but_for_time(one, other))
        }
        (Reply::Integer(one), Reply::Integer(other)) => {
            one == other || (*one > 50 && *other > 50 && one.abs_diff(*other) < SLOW_MS)
        }
        _ => one == other,
    }
}

/// No test takes so long between the model and the real server.
const SLOW_MS: u64 = 2_500;

fn told(reply: &Reply) -> Told {
    match reply {
        Reply::Array(Some(parts)) => Told::Array(parts.iter().map(told).collect()),
        Reply::Array(None) | Reply::Bulk(None) => Told::Nil,
        Reply::Bulk(Some(bytes)) => Told::Text(bytes.clone()),
        Reply::Error(error) => Told::Error(error.clone()),
        Reply::Integer(number) => Told::Integer(*number),
        Reply::Simple(word) => Told::Text(word.as_bytes().to_vec()),
    }
}

/// The words of a call: a script by its hash, and with its text for a server that does not know it.
fn words_of(call: &RegistryCall) -> Vec<Request> {
    match call {
        RegistryCall::Plain(words) => vec![words.clone()],
        RegistryCall::Script { text, keys, args } => {
            let hash = headwater_net_sim::redis::sha1_hex(text.as_bytes());
            let with = |verb: &str, script: &str| {
                let head = [verb.to_owned(), script.to_owned(), keys.len().to_string()];
                head.iter().chain(keys).chain(args).map(|word| word.as_bytes().to_vec()).collect()
            };
            vec![with("EVALSHA", &hash), with("EVAL", text)]
        }
    }
}

/// The modelled server and the real one.
struct Both {
    model: Database,
    session: Session,
    client: RealClient,
    /// What the real one is sent in the place of what in every script.
    mutant: Option<(&'static str, &'static str)>,
}

impl Both {
    fn new(real: &Real) -> Both {
        let setup = Setup { scripts: directory_scripts(), ..Setup::default() };
        Both {
            model: Database::new(setup),
            session: Session::new(1),
            client: real.connect().expect("a connection"),
            mutant: None,
        }
    }

    fn call(&mut self, request: &Request) -> [Reply; 2] {
        let modelled = self.model.call(&mut self.session, now_ms(), request);
        let mut request = request.clone();
        if let Some((from, to)) = self.mutant
            && request[0] == b"EVAL"
        {
            request[1] = String::from_utf8_lossy(&request[1]).replace(from, to).into_bytes();
        }
        [modelled, self.client.call(&request).expect("an answer")]
    }

    fn say(&mut self, words: &[&[u8]]) -> [Reply; 2] {
        self.call(&words.iter().map(|word| word.to_vec()).collect())
    }

    fn happen(&mut self, schema: &Schema, event: &Event) -> Result<(), String> {
        match event {
            Event::Command(command) => {
                let mut replies = [Vec::new(), Vec::new()];
                for call in schema.calls(command) {
                    let mut said = [Reply::NIL, Reply::NIL];
                    // A changed script has another hash.
                    let ways = words_of(&call).into_iter().skip(usize::from(self.mutant.is_some()));
                    for request in ways {
                        said = self.call(&request);
                        if !matches!(&said[0], Reply::Error(error) if error.starts_with("NOSCRIPT")) {
                            break;
                        }
                    }
                    let [modelled, answered] = said;
                    if !same_reply_but_for_time(&modelled, &answered) {
                        return Err(format!(
                            "to {call:?} the model says {modelled:?} and Redis {answered:?}"
                        ));
                    }
                    replies[0].push(told(&modelled));
                    replies[1].push(told(&answered));
                }
                let [modelled, answered] = replies.map(|replies| answer(command, &replies));
                if modelled.is_err() || answered.is_err() {
                    return Err(format!("{modelled:?}, {answered:?}"));
                }
            }
            Event::Forget => {
                self.say(&[b"SCRIPT", b"FLUSH"]);
            }
            Event::Over(key) => {
                self.say(&[b"PEXPIRE", key.as_bytes(), b"5"]);
                thread::sleep(Duration::from_millis(12));
            }
            Event::Plant(key, value, span) => {
                self.say(&[b"SET", key.as_bytes(), value]);
                if let Some(span) = span {
                    self.say(&[b"PEXPIRE", key.as_bytes(), span.to_string().as_bytes()]);
                }
            }
        }
        for key in NAMES.iter().flat_map(|name| [schema.entry_key(name), schema.plain_key(name)]) {
            for verb in [&b"GET"[..], b"PTTL"] {
                let [modelled, answered] = self.say(&[verb, key.as_bytes()]);
                if !same_reply_but_for_time(&modelled, &answered) {
                    return Err(format!("{key:?} is {modelled:?} in the model and {answered:?} in Redis"));
                }
            }
        }
        Ok(())
    }
}

fn directories_differ(
    real: &Real,
    schema: &Schema,
    mutant: Option<(&'static str, &'static str)>,
) -> Result<(), String> {
    let shrinks = if mutant.is_some() { 0 } else { 1_000 };
    let config =
        Config { cases: 500, failure_persistence: None, max_shrink_iters: shrinks, ..Config::default() };
    let outcome = TestRunner::new(config).run(&events(schema), |events| {
        let mut both = Both { mutant, ..Both::new(real) };
        both.say(&[b"FLUSHALL"]);
        both.say(&[b"SCRIPT", b"FLUSH"]);
        for event in &events {
            if let Err(difference) = both.happen(schema, event) {
                return Err(TestCaseError::fail(format!("after {event:?}: {difference}")));
            }
        }
        Ok(())
    });
    outcome.map_err(|difference| difference.to_string())
}

#[test]
fn the_directory_is_the_same_by_rust_and_by_lua() {
    let real = Real::start(None).expect("a Redis server");
    let cluster = Schema { prefix: "p:{".to_owned(), plain: false, one_stream_per_call: true };
    for schema in [Schema::default(), cluster] {
        directories_differ(&real, &schema, None).unwrap_or_else(|difference| panic!("{difference}"));
    }
}

#[test]
fn a_directory_that_is_not_the_same_is_noticed() {
    let real = Real::start(None).expect("a Redis server");
    for mutant in [
        ("entry.owner == dead", "false"),
        ("entry.owner ~= by", "false"),
        ("floor > number", "true"),
        ("entry.number <= above", "entry.number < above"),
        ("last + 1", "last"),
        ("#waiting < MOST", "true"),
        ("#entry.waiting == MOST", "false"),
        ("other.until_ms > now", "true"),
        ("other.lease == by", "false"),
        ("if plain == entry.url then", "if false then"),
        ("plain ~= url", "false"),
        ("'PX', ms", "'PX', 1000"),
        ("'PEXPIRE', KEYS[2 * i - 1], entry_ms", "'PTTL', KEYS[2 * i - 1]"),
        ("16384", "16383"),
        ("#digits > 15", "#digits > 16"),
        ("%w+.-", "%w"),
        ("#owner ~= 16", "false"),
        ("reign(entry.since", "reign(now"),
    ] {
        let noticed = directories_differ(&real, &Schema::default(), Some(mutant));
        assert!(noticed.is_err(), "nobody notices {:?} for {:?}", mutant.1, mutant.0);
    }
}

#[test]
fn a_key_of_another_kind_is_no_entry_and_is_written_over() {
    let real = Real::start(None).expect("a Redis server");
    let mut client = real.connect().expect("a connection");
    let mut say = |words: &[&str]| {
        client.call(&words.iter().map(|word| word.as_bytes().to_vec()).collect()).expect("an answer")
    };
    let schema = Schema::default();
    let (entry, plain) = (schema.entry_key("app/a"), schema.plain_key("app/a"));
    say(&["LPUSH", &entry, "x"]);
    say(&["SADD", &plain, "x"]);
    let (by, url) = (LeaseId(7), "ovt://a:9000/app/a".to_owned());
    let streams = vec![Claim { name: "app/a".to_owned(), url: url.clone(), floor: 0, dead: None }];
    let lookup = Registry::Lookup(vec!["app/a".to_owned()]);
    for command in [lookup.clone(), Registry::Claim { by, streams }, lookup] {
        let [call] = &schema.calls(&command)[..] else { panic!("one call") };
        let words = words_of(call).pop().expect("EVAL");
        let words: Vec<&str> = words.iter().map(|word| std::str::from_utf8(word).expect("text")).collect();
        let reply = say(&words);
        answer(&command, &[told(&reply)]).expect("an answer that is understood");
    }
    assert_eq!(say(&["GET", &plain]), Reply::text(&url));
    assert!(matches!(say(&["GET", &entry]), Reply::Bulk(Some(text)) if text.starts_with(b"1 ")));
}
