//! `cargo xtask failover`: what failovers cost, in the simulator over many seeds and with real processes beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::binary::{target_dir, workspace};
use serde_json::Value;

use crate::bench::with_section;
use crate::sim::{other_engine, simulator};

const HELP: &str = "\
cargo xtask failover

  --seeds N          runs of each cell in the simulator [default: 1000]
  --runs N           runs of each cell with real processes [default: 3]; 0 for none
  --jobs N           runs at a time in the simulator [default: one per core]
  --scenario NAME    only this cell; may be given more than once
  --streams N        instead of the matrix: so many streams on one edge, whose origin dies (kill, freeze, hot-kill,
                     hot-freeze, or those that --scenario names); exit code 1 if not all are switched within a second
  --docs             write the figures into docs/failover.md
";

/// Plays the matrix on both engines. The exit code says whether every rule held and the engines agree.
///
/// # Errors
///
/// If an argument is wrong, a program cannot be built, or something does not hold.
pub fn run(arguments: &[&str]) -> Result<()> {
    let (mut seeds, mut runs, mut docs, mut jobs, mut only) = ("1000", "3", false, Vec::new(), Vec::new());
    let mut streams = None;
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut value = || rest.next().copied().with_context(|| format!("{flag} needs a value"));
        match *flag {
            "--seeds" => seeds = value()?,
            "--runs" => runs = value()?,
            "--jobs" => jobs = vec!["--jobs", value()?],
            "--scenario" => only.extend(["--scenario", value()?]),
            "--streams" => streams = Some(value()?),
            "--docs" => docs = true,
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(());
            }
            other => bail!("there is no flag {other}\n\n{HELP}"),
        }
    }
    let folder = target_dir().join("failover");
    fs::create_dir_all(&folder)?;
    if let Some(streams) = streams {
        return many_streams(streams, &only, docs, &folder.join("streams.json"));
    }
    let [simulated, real] = ["simulator.json", "loopback.json"].map(|name| folder.join(name));

    println!("In the simulator, {seeds} seeds, 20 ms there and back:\n");
    let (file, mut words) = (path(&simulated)?, vec!["--failover", "--seeds", seeds]);
    words.extend(["--json", &file].iter().chain(&jobs).chain(&only));
    let mut held = simulator(&words)?.success();
    if runs != "0" {
        println!(
            "\nReal processes on loopback, and the simulator's runs of the same scripts on the same wires:\n"
        );
        let (file, mut words) = (path(&real)?, vec!["--seeds", runs]);
        words.extend(["--json", &file].iter().chain(&only));
        held &= other_engine("failover", &words)?.success();
    }
    if docs {
        write_docs(&read(&simulated)?, (runs != "0").then(|| read(&real)).transpose()?.as_ref())?;
    }
    ensure!(held, "a rule was broken, or loopback and the simulator are apart");
    Ok(())
}

/// Takes the origin of many streams away, with real processes and in the simulator.
fn many_streams(count: &str, only: &[&str], docs: bool, file: &Path) -> Result<()> {
    let text = path(file)?;
    let mut words = vec!["--count", count, "--json", &text];
    words.extend(only);
    let held = other_engine("streams", &words)?.success();
    if docs {
        let page = workspace().join("docs/failover.md");
        fs::write(&page, with_section(&fs::read_to_string(&page)?, "streams", &streams_table(&read(file)?)))?;
        eprintln!("written to {}", page.display());
    }
    ensure!(held, "not all streams were switched within a second, or something else does not hold");
    Ok(())
}

fn path(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).context("the target directory's path is text")
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn write_docs(simulated: &Value, real: Option<&Value>) -> Result<()> {
    let page = workspace().join("docs/failover.md");
    let mut text = with_section(&fs::read_to_string(&page)?, "simulated", &simulated_table(simulated));
    if let Some(real) = real {
        text = with_section(&text, "loopback", &loopback_table(real));
    }
    fs::write(&page, text)?;
    eprintln!("written to {}", page.display());
    Ok(())
}

/// Median, 99th percentile and maximum of every cell.
fn simulated_table(value: &Value) -> String {
    let mut text =
        "| cell | runs | detection | switch | viewer gap | picture still | frames lost | false switches |\n\
                    |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for cell in cells(value) {
        let figures: Vec<String> = ["detection", "switch", "viewer gap", "picture still", "frames lost"]
            .map(|measure| figure(&cell["figures"][measure], &["p50", "p99", "max"]))
            .into();
        let months = cell["stream_months"].as_f64();
        let months = months.map_or(String::new(), |months| format!(" in {months:.2} months"));
        text += &format!(
            "| {}: {} | {} | {} | {}{months} |\n",
            name(cell),
            cell["about"].as_str().unwrap_or_default(),
            cell["runs"],
            figures.join(" | "),
            cell["false_switches"]
        );
    }
    text
}

/// Median and maximum of every cell, and the simulator's.
fn loopback_table(value: &Value) -> String {
    let measures = ["detection", "switch", "viewer gap", "frames lost"];
    let mut text =
        format!("| cell | runs | {} | |\n|---|---|{}---|\n", measures.join(" | "), "---|".repeat(4));
    for cell in cells(value) {
        if let Some(why) = cell["left_out"].as_str() {
            text += &format!("| {} | - | | | | | {why} |\n", name(cell));
            continue;
        }
        let pair = |measure: &str| {
            let [here, there] =
                ["loopback", "simulator"].map(|side| figure(&cell[side][measure], &["p50", "max"]));
            format!("{here} ({there})")
        };
        let verdict = cell["verdict"].as_str().unwrap_or_default();
        let pairs = measures.map(pair).join(" | ");
        text += &format!("| {} | {} | {pairs} | {verdict} |\n", name(cell), cell["runs"]);
    }
    text
}

/// How soon all streams of an edge were switched, and what it cost the edge.
fn streams_table(value: &Value) -> String {
    let mut text = "| cell | streams | switched after, loopback | simulator | at the next access unit | dials, at once | \
                    edge's CPU in the second before, after | all processes' | edge's memory before, most after |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for cell in cells(value) {
        let [here, there] = ["loopback", "simulator"].map(|side| &cell[side]);
        let [after, simulated] = [here, there].map(|side| figure(&side["switch_ms"], &["p50", "p99", "max"]));
        let pair = |measure: &str, unit: &str| {
            let of = |n: usize| here["load"][measure][n].as_f64().unwrap_or_default();
            let digits = if unit == "s" { 2 } else { 0 };
            format!("{:.digits$} {unit}, {:.digits$} {unit}", of(0), of(1))
        };
        text += &format!(
            "| {} | {} | {after} | {simulated} | {} | {}, {} | {} | {} | {} |\n",
            name(cell),
            here["streams"],
            here["exact"],
            here["dials"],
            here["dials_at_once"],
            pair("edge_cpu_s", "s"),
            pair("all_cpu_s", "s"),
            pair("edge_mib", "MiB")
        );
    }
    text
}

fn cells(value: &Value) -> impl Iterator<Item = &Value> {
    value["cells"].as_array().into_iter().flatten()
}

fn name(cell: &Value) -> &str {
    cell["cell"].as_str().unwrap_or_default().trim_start_matches("failover-")
}

fn figure(value: &Value, thirds: &[&str]) -> String {
    let third = |third: &&str| value[*third].as_str().unwrap_or("-").to_owned();
    thirds.iter().map(third).collect::<Vec<String>>().join(" / ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_many_streams_cost_becomes_a_line_of_a_table() {
        let load = json!({ "edge_cpu_s": [0.25, 0.5], "all_cpu_s": [1.0, 1.5], "edge_mib": [100, 120] });
        let side = json!({
            "streams": 9, "switched": 9, "exact": 8, "dials": 10, "dials_at_once": 7,
            "switch_ms": { "p50": "1.0", "p99": "2.0", "max": "3.0" }, "load": load,
        });
        let cell = json!({ "cell": "kill", "loopback": side, "simulator": side });
        let table = streams_table(&json!({ "cells": [cell] }));
        assert_eq!(
            table.lines().nth(2).unwrap(),
            "| kill | 9 | 1.0 / 2.0 / 3.0 | 1.0 / 2.0 / 3.0 | 8 | 10, 7 | 0.25 s, 0.50 s | 1.00 s, 1.50 s | \
             100 MiB, 120 MiB |"
        );
    }

    #[test]
    fn figures_become_lines_of_a_table() {
        let spread = json!({ "p50": "1.0", "p99": "2.0", "max": "3.0" });
        let cell = json!({
            "cell": "failover-kill", "about": "it dies", "runs": 5, "figures": { "switch": spread }, "false_switches": 0,
        });
        let table = simulated_table(&json!({ "cells": [cell] }));
        let line = table.lines().nth(2).unwrap();
        assert_eq!(
            line,
            "| kill: it dies | 5 | - / - / - | 1.0 / 2.0 / 3.0 | - / - / - | - / - / - | - / - / - | 0 |"
        );
    }
}
