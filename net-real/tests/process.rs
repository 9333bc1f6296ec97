//! The program as a process: its exit codes, its words, its signals.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use headwater_core::config::{Config, Listeners};
use headwater_net_real::driver::Limits;
use headwater_net_real::log::{self, Format};
use headwater_net_real::server::serve;

fn headwater(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headwater")).args(arguments).output().unwrap()
}

#[test]
fn version_and_usage() {
    let version = headwater(&["--version"]);
    assert!(version.status.success());
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("headwater {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(headwater(&[]).status.code(), Some(2));
    assert_eq!(headwater(&["serve"]).status.code(), Some(2), "a configuration is needed");
    assert_eq!(headwater(&["serve", "--config", "x", "--log-format", "xml"]).status.code(), Some(2));
}

#[test]
fn a_configuration_that_is_not_there() {
    for command in ["serve", "check"] {
        let output = headwater(&[command, "--config", "/no/such/Server.xml"]);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("/no/such/Server.xml") && words.contains("there is no such file"), "{words}");
    }
    let output = headwater(&["check", "--json", "--config", "/no/such/Server.xml"]);
    assert_eq!(output.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["diagnostics"][0]["severity"], "error");
}

/// A server in a process of its own, as `headwater serve` runs it: this very test, started again.
#[test]
#[ignore = "started by the tests of this file"]
fn a_server() {
    let Ok(port) = std::env::var("TEST_PORT") else { return };
    let listeners =
        Listeners { addresses: vec!["127.0.0.1".to_owned()], ovt: port.parse().ok(), ..Listeners::default() };
    log::init(Format::Json, None).unwrap();
    let config = Config { name: "test".to_owned(), listeners, ..Config::default() };
    let served = serve(config, || Err(Vec::new()), Limits::default());
    served.unwrap();
}

struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    port: u16,
}

impl Server {
    fn start() -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "a_server"])
            .env("TEST_PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut server = Server { child, log, port };
        let listening = server.event("listening");
        assert_eq!(listening["address"], format!("127.0.0.1:{port}"));
        assert_eq!(listening["element"], "Bind/Publishers/OVT/Port");
        server
    }

    /// Reads the log until this event.
    fn event(&mut self, name: &str) -> serde_json::Value {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 {
            if let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line)
                && entry["event"] == name
            {
                return entry;
            }
            line.clear();
        }
        panic!("the log ends without {name}");
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < limit, "does not end");
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn sigterm_and_sigint_end_it_in_order() {
    for name in ["TERM", "INT"] {
        let mut server = Server::start();
        server.signal(name);
        assert_eq!(server.event("stopping")["signal"], format!("SIG{name}"));
        server.event("stopped");
        assert!(server.ends_within(Duration::from_secs(3)).success());
        assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
    }
}

#[test]
fn a_port_in_use_is_an_error_of_the_run() {
    let first = Server::start();
    let second = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "a_server"])
        .env("TEST_PORT", first.port.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut words = String::new();
    let mut second = second.unwrap();
    second.stdout.take().unwrap().read_to_string(&mut words).unwrap();
    second.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(!second.wait().unwrap().success());
    assert!(words.contains("Bind") && words.contains(&first.port.to_string()), "{words}");
}
