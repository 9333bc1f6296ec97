//! `headwater demo`: the first thing that anybody runs.

use std::process::Command;
use std::time::{Duration, Instant};

use headwater_tests::binary::headwater;
use headwater_tests::machine;
use headwater_tests::process::Process;
use serde_json::Value;

#[test]
fn demo_ends_in_time_and_reports_json() {
    let _machine = machine::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let started = Instant::now();
    // A child whose two streams are apart: only standard output is JSON.
    let out = dir.path().join("out.json");
    let script = format!("exec '{}' demo --for 20s --json > '{}'", headwater().display(), out.display());
    let mut demo =
        Process::start("demo", Command::new("sh").args(["-c", &script]), dir.path()).expect("the demo");
    let status = demo.wait(Duration::from_secs(40)).expect("the demo ends by itself");
    assert!(status.success(), "{status}:\n{}", demo.log());
    assert!(started.elapsed() >= Duration::from_secs(15), "it runs for the time that was asked for");
    let text = std::fs::read_to_string(out).expect("the report");
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    println!("{report:#}");
    assert!(report.is_object(), "{report}");
}
