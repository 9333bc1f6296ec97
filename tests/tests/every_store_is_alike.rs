//! One suite for all directories of streams: the embedded one, and a real Redis in every shape that can be configured.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use headwater_core::config::RedisServer;
use headwater_core::registry::{Answer, Claim, Claimed, Command, Failure, Found, LeaseId};
use headwater_tests::stores::real::Real;
use headwater_tests::stores::servers::{Cluster, Encrypted, Sentinel, Server, password, until};
use headwater_tests::stores::{InProcess, Keys, Store, suite};

#[test]
fn the_embedded_store() {
    suite::rules(&mut InProcess::default());
}

#[test]
fn one_server() -> Result<()> {
    let server = Server::start(&[])?;
    suite::all(&mut Real::new(&server.redis())?);
    Ok(())
}

#[test]
fn one_server_without_plain_keys() -> Result<()> {
    let server = Server::start(&[])?;
    let mut store = Real::with(&server.redis(), &server.redis(), false)?;
    suite::rules(&mut store);
    let plain = store.call(&[&b"KEYS"[..], b"[^h]*"]);
    assert_eq!(format!("{plain:?}"), "Array([])", "all keys are our own");
    Ok(())
}

/// The rights that the manual says are enough.
const RIGHTS: [&str; 16] = [
    "on",
    ">s3cret",
    "~live:*",
    "~headwater:stream:{live:*",
    "~headwater:zero:{live:*",
    "resetchannels",
    "-@all",
    "+select",
    "+set",
    "+del",
    "+pexpire",
    "+pttl",
    "+time",
    "+getrange",
    "+eval",
    "+evalsha",
];

#[test]
fn one_server_with_a_user_of_few_rights_a_prefix_and_a_database() -> Result<()> {
    let manual = include_str!("../../docs/directory.md");
    assert!(manual.contains(&RIGHTS[2..].join(" ")), "the manual says so: {}", RIGHTS[2..].join(" "));
    let arguments: Vec<&str> = ["--user", "headwater"].into_iter().chain(RIGHTS).collect();
    let server = Server::start(&arguments)?;
    let operator = RedisServer { database: 3, key_prefix: "live:".to_owned(), ..server.redis() };
    let redis =
        RedisServer { user: Some("headwater".to_owned()), password: password("s3cret"), ..operator.clone() };
    let mut store = Real::with(&redis, &operator, true)?;
    suite::all(&mut store);
    let elsewhere = Real::new(&server.redis())?.call(&[b"DBSIZE"]);
    assert_eq!(format!("{elsewhere:?}"), "Integer(0)");
    Ok(())
}

#[test]
fn one_server_over_ipv6() -> Result<()> {
    let server = Server::start_at("::1", headwater_tests::machine::free_port(), &[])?;
    suite::all(&mut Real::new(&server.redis())?);
    Ok(())
}

#[test]
fn one_server_over_tls() -> Result<()> {
    let server = Encrypted::start()?;
    suite::all(&mut Real::new(&server.redis())?);
    let stranger = Encrypted::start()?;
    let mut deceived = Real::new(&RedisServer { tls: stranger.redis().tls, ..server.redis() })?;
    let lookup = Command::Lookup(vec!["a/s".to_owned()]);
    let failure = deceived.try_execute(&lookup).expect_err("nobody knows who signed this");
    assert!(failure.to_string().contains("certificate"), "{failure}");
    Ok(())
}

#[test]
fn three_nodes_of_a_cluster() -> Result<()> {
    let cluster = Cluster::start()?;
    let mut store = Real::new(&cluster.redis())?;
    suite::all(&mut store);
    let names: Vec<String> = (0..500).map(|index| format!("spread/s{index:03}")).collect();
    let streams = names.iter().map(|name| claim(name, "ovt://a:1/x")).collect();
    store.execute(Command::Claim { by: LeaseId(0x9999), streams });
    let mut routes = store.routes()?;
    routes.retain(|route| route.name.starts_with("spread/"));
    assert_eq!(routes.iter().map(|route| &route.name).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    let alone = |node: &Server| Real::new(&node.redis()).map(|mut node| node.call(&[b"DBSIZE"]));
    for node in &cluster.nodes {
        assert_ne!(format!("{:?}", alone(node)?), "Integer(0)", "every node has a part");
    }
    Ok(())
}

#[test]
fn a_master_that_sentinels_name_before_and_after_it_is_lost() -> Result<()> {
    let mut sentinel = Sentinel::start()?;
    let mut store = Real::new(&sentinel.redis())?;
    suite::all(&mut store);
    let number = own(&mut store, LeaseId(0x77), "sentinel/s");
    store.expect_ok(&["SET", "replicated", "yes"])?;
    until("the replica has it all", || {
        Ok(Real::new(&sentinel.replica.redis())?.text(&["GET", "replicated"]).is_ok())
    })?;
    sentinel.master.process.kill();
    let began = Instant::now();
    let keep = Command::Keep {
        by: LeaseId(0x77),
        streams: vec![("sentinel/s".to_owned(), "ovt://a:1/x".to_owned())],
    };
    let mut failures = Vec::new();
    let kept = loop {
        match store.try_execute(&keep) {
            Ok(kept) => break kept,
            Err(failure) => failures.push(failure),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{failures:#?}");
        thread::sleep(Duration::from_millis(50));
    };
    eprintln!("the new master answered {} ms after the old one was killed", began.elapsed().as_millis());
    assert_eq!(kept, Answer::Kept(vec![Some(number)]), "the replica had it");
    suite::all(&mut store);
    sentinel.master.restart()?;
    until("the old master has become a replica", || {
        Ok(Real::new(&sentinel.master.redis())?.text(&["INFO", "replication"])?.contains("role:slave"))
    })?;
    suite::all(&mut store);
    Ok(())
}

#[test]
fn a_server_that_comes_back_is_found_again() -> Result<()> {
    let mut server = Server::start(&[])?;
    let mut store = Real::new(&server.redis())?;
    own(&mut store, LeaseId(1), "back/s");
    server.process.kill();
    let lookup = Command::Lookup(vec!["back/s".to_owned()]);
    for _ in 0..3 {
        let failure = store.try_execute(&lookup).expect_err("nobody is there");
        assert!(matches!(failure, Failure::Away(_)), "{failure}");
    }
    server.restart()?;
    assert_eq!(store.try_execute(&lookup), Ok(Answer::Found(vec![Found::default()])));
    server.process.freeze()?;
    let began = Instant::now();
    let failure = store.try_execute(&lookup).expect_err("it is silent");
    assert_eq!(failure, Failure::Away("no answer within 1000 ms".to_owned()));
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    server.process.resume()?;
    assert!(store.try_execute(&lookup).is_ok());
    Ok(())
}

#[test]
fn a_password_that_becomes_right_is_enough() -> Result<()> {
    let server = Server::start(&[])?;
    let mut operator = Real::new(&server.redis())?;
    operator.expect_ok(&["ACL", "SETUSER", "headwater", "on", ">first-secret", "~*", "+@all"])?;
    let login = |secret| RedisServer {
        user: Some("headwater".to_owned()),
        password: password(secret),
        ..server.redis()
    };
    let mut store = Real::new(&login("second-secret"))?;
    let lookup = Command::Lookup(vec!["a/s".to_owned()]);
    let failure = store.try_execute(&lookup).expect_err("the password is wrong");
    assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");
    assert!(!failure.to_string().contains("secret"), "{failure}");
    operator.expect_ok(&["ACL", "SETUSER", "headwater", ">second-secret"])?;
    assert!(store.try_execute(&lookup).is_ok());
    operator.expect_ok(&["ACL", "SETUSER", "headwater", "-evalsha"])?;
    assert!(matches!(store.try_execute(&lookup), Err(Failure::Refused(_))));
    operator.expect_ok(&["ACL", "SETUSER", "headwater", "+evalsha"])?;
    assert!(store.try_execute(&lookup).is_ok());
    Ok(())
}

#[test]
fn a_server_that_repeats_the_password_is_not_quoted() -> Result<()> {
    let server = Server::start(&["--rename-command", "AUTH", ""])?;
    let mut store = Real::new(&RedisServer { password: password("p4ssword"), ..server.redis() })?;
    let failure = store.try_execute(&Command::Lookup(vec!["a/s".to_owned()])).expect_err("it knows no AUTH");
    assert!(!failure.to_string().contains("p4ssword"), "{failure}");
    Ok(())
}

fn claim(name: &str, url: &str) -> Claim {
    Claim { name: name.to_owned(), url: url.to_owned(), floor: 0, dead: None }
}

fn own(store: &mut Real, by: LeaseId, name: &str) -> u64 {
    match store.execute(Command::Claim { by, streams: vec![claim(name, "ovt://a:1/x")] }) {
        Answer::Claimed(claimed) => match claimed[..] {
            [Claimed::Owner { number }] => number,
            _ => panic!("{claimed:?}"),
        },
        other => panic!("{other:?}"),
    }
}
