//! The results for machines.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_scenarios::cost::Spread;
use serde_json::{Value, json};

use crate::failure;
use crate::table::{Failure, Line, Tally};

/// Opens the file for the results.
pub fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("--json {}: this file cannot be written", path.display()))
}

/// Writes the results of `tally`, of which `planned` runs were asked for.
pub fn write(file: &mut File, tally: &Tally, planned: usize) -> Result<()> {
    let value = json!({
        "commit": failure::commit(),
        "engine": "net-sim",
        "runs": tally.runs(),
        "planned": planned,
        "passed": tally.passed(),
        "scenarios": tally.lines().iter().map(scenario).collect::<Vec<Value>>(),
        "failures": tally.broken().iter().map(broken).collect::<Vec<Value>>(),
    });
    serde_json::to_writer_pretty(&mut *file, &value)?;
    file.write_all(b"\n")?;
    Ok(())
}

fn scenario(line: &Line) -> Value {
    json!({
        "scenario": line.scenario,
        "seeds": line.runs,
        "simulated_s": line.simulated.as_secs_f64(),
        "speed": line.simulated.as_secs_f64() / line.took.as_secs_f64().max(1e-9),
        "failover_ms": spread(&line.failovers),
        "gap_ms": spread(&line.gaps),
        "failures": line.failures,
    })
}

fn spread(times: &[Duration]) -> Value {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    Spread::of(times).map_or(Value::Null, |spread| {
        json!({ "count": times.len(), "p50": ms(spread.p50), "p99": ms(spread.p99), "max": ms(spread.max) })
    })
}

fn broken(failure: &Failure) -> Value {
    let report = &failure.report;
    let violation = report.broken.as_ref().map(|broken| &broken.violation);
    json!({
        "scenario": report.scenario,
        "seed": report.seed,
        "rule": violation.map(|violation| violation.rule),
        "host": violation.map(|violation| &violation.host),
        "what": violation.map(|violation| &violation.what),
        "at_s": violation.map(|violation| violation.at.as_micros() as f64 / 1e6),
        "event": report.events,
        "hash": format!("{:016x}", report.trace_hash),
        "replay": format!("cargo xtask sim --replay {}", failure.name),
    })
}
