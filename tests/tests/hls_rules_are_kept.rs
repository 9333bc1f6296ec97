//! `headwater hls-check` finds nothing that Headwater does wrong, and finds out that nobody is there.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use headwater_tests::binary::headwater;
use headwater_tests::cluster::Server;
use headwater_tests::config::{APP, BroadcastPlan, broadcast_xml};
use headwater_tests::ffmpeg::Publisher;
use headwater_tests::http::{Client, split_url};
use headwater_tests::machine::{self, free_port};
use serde_json::Value;

/// The exit code and what it said.
fn hls_check(url: &str, seconds: u32) -> (Option<i32>, Value) {
    let mut command = Command::new(headwater());
    let output = command.args(["hls-check", url, "--json", "--for", &format!("{seconds}s")]).output();
    let output = output.expect("headwater hls-check");
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

fn wait_for(url: &str) {
    let (authority, path) = split_url(url).expect("a URL");
    let started = Instant::now();
    while !Client::new(authority, Duration::from_secs(10)).get(path).is_ok_and(|answer| answer.status == 200)
    {
        assert!(started.elapsed() < Duration::from_secs(30), "{url} is not there");
        sleep(Duration::from_millis(200));
    }
}

#[test]
fn headwater_keeps_the_rules_that_a_client_can_see() {
    let _machine = machine::shared();
    let dir = tempfile::Builder::new().prefix("headwater-").tempdir().expect("a directory");
    let plan = BroadcastPlan { rtmp: free_port(), http: free_port(), timestamps: "Original" };
    let _server =
        Server::start("server", &broadcast_xml(plan), &[plan.rtmp, plan.http], dir.path()).expect("a server");
    let urls = [format!("rtmp://127.0.0.1:{}/{APP}/stream", plan.rtmp)];
    let _encoder = Publisher::start_lasting("encoder", 100.0, &urls, dir.path()).expect("ffmpeg");
    let url = format!("http://127.0.0.1:{}/{APP}/stream/llhls.m3u8", plan.http);
    wait_for(&url);
    // Until the playlist is full and slides.
    sleep(Duration::from_secs(14));

    let (code, found) = hls_check(&url, 20);
    assert_eq!((code, found["verdict"].as_str()), (Some(0), Some("kept")), "{found:#}");
    let rules = found["report"]["rules"].as_array().expect("rules");
    let in_state = |state: &str| -> Vec<&str> {
        rules.iter().filter(|rule| rule["state"] == state).filter_map(|rule| rule["rule"].as_str()).collect()
    };
    println!(
        "kept: {:?}, advised: {:?}, not seen: {:?}",
        in_state("kept"),
        in_state("advised"),
        in_state("not_observable")
    );
    // What can only be seen where something breaks, is asked for over TLS, or depends on how busy the machine is.
    let seldom = ["B8", "B11", "L12", "L16"];
    let rest: Vec<&str> = rules
        .iter()
        .filter(|rule| rule["state"] != "kept")
        .filter_map(|rule| rule["rule"].as_str())
        .filter(|rule| !seldom.contains(rule))
        .collect();
    assert!(rest.is_empty(), "{rest:?} of {found:#}");
}

#[test]
fn where_nobody_is_nothing_can_be_told() {
    let _machine = machine::shared();
    let (code, found) = hls_check(&format!("http://127.0.0.1:{}/x.m3u8", free_port()), 2);
    assert_eq!((code, found["verdict"].as_str()), (Some(2), Some("could_not_tell")));
}
