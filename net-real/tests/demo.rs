//! `headwater demo` as a program: what it says to a mistake, and whether its stream survives a killed origin.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headwater")).arg("demo").args(arguments).output().unwrap()
}

#[test]
fn a_mistake_is_answered_with_what_to_write() {
    for (arguments, says) in [
        (&["--for", "20"][..], "write 20s or 20m"),
        (&["--for", "soon"], "such as 20s or 1m"),
        (&["--for", "2s"], "write 8s or more"),
        (&["--json"], "--for <DURATION>"),
        (&["--for", "20s", "--port", "8080"], "cannot be used with"),
        (&["--port", "seventy"], "--port <PORT>"),
    ] {
        let output = demo(arguments);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {words}");
        assert!(words.contains(says), "{arguments:?}: {words}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn demo_for_12s_json() {
    let output = demo(&["--for", "12s", "--json"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(words, "", "nothing but the report, where nobody looks");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["exit"], "ok", "{report:#}");
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report:#}"));
    // Twelve seconds of two tracks in parts of half a second, less what a busy machine takes.
    assert!(number("parts") >= 36, "{report:#}");
    assert!(number("segments") >= 2, "{report:#}");
    assert_eq!(report["media_sequence_continuous"], true);
    assert_eq!((&report["active_before"], &report["active_after"]), (&Value::from("A"), &Value::from("B")));
    assert_eq!(report["joined"], "exact", "{report:#}");
    assert_eq!(number("missing_media_ms"), 0, "{report:#}");
    assert!(number("kill_to_first_media_ms") <= number("kill_to_first_part_ms"), "{report:#}");
    assert!(number("kill_to_first_part_ms") < 1_500, "{report:#}");
    assert!(number("longest_gap_ms") < 1_500, "{report:#}");
}
