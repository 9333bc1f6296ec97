//! The scenarios on engines beside the simulator: `engines turmoil`, `engines loopback`.

mod failover;
mod streams;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use headwater_engines::agreement::disagreements;
use headwater_engines::outcome::Outcome;
use headwater_engines::stage::Unsupported;
use headwater_engines::{loopback, scripts, simulator};
use headwater_scenarios::script::Link;
use headwater_scenarios::{Scenario, Script, seeds};
use headwater_tests::machine;

use failover::Line;
use serde_json::{Value, json};
use table::Run;

/// Plays the simulator's scenarios on other engines, with the simulator's own figures for the same scripts beside
/// theirs. Exit code 1 if a rule is broken, or an engine in simulated time does not agree with the simulator.
#[derive(Debug, Parser)]
#[command(name = "engines", disable_version_flag = true)]
struct Command {
    #[command(subcommand)]
    engine: Engine,
}

#[derive(Debug, Subcommand)]
enum Engine {
    /// Real processes on loopback, in real time
    Loopback(Asked),
    /// The matrix of failovers with real processes, beside the simulator's; exit code 1 where they are apart
    Failover(Asked),
    /// Many streams on one edge, whose origin dies, with real processes and in the simulator; exit code 1 if not all are
    /// switched within a second
    Streams(Many),
    /// The production driver over turmoil, in simulated time
    #[cfg(feature = "turmoil")]
    Turmoil(Asked),
}

#[derive(Args, Clone, Debug)]
struct Asked {
    /// Only this scenario; may be given more than once
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,

    /// Which seeds: `10` (the first ten), `1..10`, `1..=10` or `7,11` [default: 10 in simulated time, 3 in real time]
    #[arg(long, value_name = "SEEDS")]
    seeds: Option<String>,

    /// Also write the results to this file, for machines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// List the scenarios, and what the engine cannot play of them
    #[arg(long)]
    list: bool,
}

#[derive(Args, Clone, Debug)]
struct Many {
    /// How many streams
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,

    /// Only this way of losing the origin; may be given more than once
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,

    /// Also write the results to this file, for machines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the command needs of an engine.
struct Player {
    name: &'static str,
    seeds: &'static str,
    /// What clocks and schedulers may add to a bound.
    slack: Duration,
    /// Whether it must agree with the simulator.
    agrees: bool,
    /// What of a script is different here.
    adapt: fn(&mut Script),
    supports: fn(&Script) -> Result<(), Unsupported>,
    play: fn(&Script) -> Result<Outcome>,
}

const LOOPBACK: Player = Player {
    name: "loopback",
    seeds: "3",
    slack: Duration::from_millis(250),
    agrees: false,
    // Loopback is as fast as it is; the simulator gets the same wires.
    adapt: |script| script.link = Link { latency_ms: 0, jitter_ms: 0, loss_ppm: 0 },
    supports: loopback::supports,
    play: loopback::play,
};

#[cfg(feature = "turmoil")]
const TURMOIL: Player = Player {
    name: "turmoil",
    seeds: "10",
    // Every host looks at its clock once in a millisecond, and a message is handed on by a few of them.
    slack: Duration::from_millis(10),
    agrees: true,
    adapt: |_| {},
    supports: headwater_engines::turmoil::supports,
    play: headwater_engines::turmoil::play,
};

fn main() -> ExitCode {
    let outcome = match Command::parse().engine {
        Engine::Loopback(asked) => {
            // What is measured needs the machine for itself.
            let _share = machine::alone();
            run(&LOOPBACK, &asked)
        }
        Engine::Failover(asked) => {
            let _share = machine::alone();
            failovers(&asked)
        }
        Engine::Streams(many) => {
            let _share = machine::alone();
            many_streams(&many)
        }
        #[cfg(feature = "turmoil")]
        Engine::Turmoil(asked) => run(&TURMOIL, &asked),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Plays the matrix of failovers and prints what they cost. Returns whether both engines say the same.
fn failovers(asked: &Asked) -> Result<bool> {
    let seeds = seeds::parse(asked.seeds.as_deref().unwrap_or(LOOPBACK.seeds))?;
    let cells = failover::cells(&asked.scenario)?;
    println!("{}", failover::head());
    let mut lines = Vec::new();
    for cell in cells {
        let line = failover::play(cell, &seeds);
        println!("{}", line.text());
        lines.push(line);
    }
    lines.iter().flat_map(Line::failures).for_each(|failure| println!("FAILED  {failure}"));
    if let Some(path) = &asked.json {
        let cells: Vec<Value> = lines.iter().map(Line::json).collect();
        write(path, &json!({ "engine": "loopback", "seeds": seeds.len(), "cells": cells }))?;
    }
    Ok(lines.iter().all(Line::passed))
}

/// Takes the origin of many streams away and prints how soon they were switched. Returns whether all were in time.
fn many_streams(many: &Many) -> Result<bool> {
    let cells = streams::cells(&many.scenario)?;
    println!("{}", streams::head());
    let mut lines = Vec::new();
    for cell in cells {
        let line = streams::play(cell, many.count)?;
        println!("{}", line.text());
        line.failures.iter().for_each(|failure| println!("FAILED  {}: {failure}", cell.name));
        lines.push(line);
    }
    if let Some(path) = &many.json {
        let cells: Vec<Value> = lines.iter().map(streams::Line::json).collect();
        write(path, &json!({ "streams": many.count, "cells": cells }))?;
    }
    Ok(lines.iter().all(|line| line.failures.is_empty()))
}

/// Plays what is asked for and prints what came of it. Returns whether every rule held.
fn run(player: &Player, asked: &Asked) -> Result<bool> {
    let scenarios = scenarios(asked)?;
    if asked.list {
        scenarios.iter().for_each(|scenario| list(player, scenario));
        return Ok(true);
    }
    let seeds = seeds::parse(asked.seeds.as_deref().unwrap_or(player.seeds))?;
    let mut lines = Vec::new();
    for scenario in &scenarios {
        let line = play(player, scenario, &seeds, !asked.scenario.is_empty());
        if line.runs.is_empty() {
            continue;
        }
        if lines.is_empty() {
            println!("{}", table::head());
        }
        println!("{}", line.text());
        lines.push(line);
    }
    let failures: Vec<String> = lines.iter().flat_map(|line| line.failures(player.name)).collect();
    failures.iter().for_each(|failure| println!("{failure}"));
    if let Some(path) = &asked.json {
        write(path, &table::json(player.name, &lines))?;
    }
    if lines.is_empty() {
        bail!("{} can play none of these scripts; --list says why", player.name);
    }
    Ok(failures.is_empty())
}

fn write(path: &Path, json: &Value) -> Result<()> {
    fs::write(path, format!("{json:#}\n"))
        .with_context(|| format!("--json {}: this file cannot be written", path.display()))
}

/// Plays the seeds of a scenario that the engine can play.
fn play(player: &Player, scenario: &Scenario, seeds: &[u64], tell: bool) -> table::Line {
    let mut runs = Vec::new();
    for seed in seeds {
        let script = script(player, scenario, *seed);
        if let Err(unsupported) = (player.supports)(&script) {
            if tell {
                eprintln!("{}:{seed} is left out: {unsupported}", scenario.name);
            }
            continue;
        }
        let (outcome, mut broken) = match (player.play)(&script) {
            Ok(outcome) => {
                let broken = outcome.broken(&script, player.slack);
                (Some(outcome), broken)
            }
            Err(error) => (None, vec![format!("{error:#}")]),
        };
        let simulated = match simulator::play(&script) {
            Ok(simulated) => Some(simulated),
            Err(error) => {
                broken.push(format!("in the simulator: {error:#}"));
                None
            }
        };
        if let (true, Some(outcome), Some(simulated)) = (player.agrees, &outcome, &simulated) {
            let found = disagreements(&script, simulated, outcome);
            broken.extend(found.iter().map(|found| format!("the simulator does not agree: {found}")));
        }
        runs.push(Run { seed: *seed, outcome, simulated, broken });
    }
    table::Line { scenario: scenario.name.to_owned(), runs }
}

fn list(player: &Player, scenario: &Scenario) {
    let unsupported = (player.supports)(&script(player, scenario, 1)).err();
    let but = unsupported.map_or(String::new(), |unsupported| format!(" [seed 1: {unsupported}]"));
    println!("{:<20} {}{but}", scenario.name, scenario.about);
}

fn script(player: &Player, scenario: &Scenario, seed: u64) -> Script {
    let mut script = scenario.script(seed);
    (player.adapt)(&mut script);
    script
}

fn scenarios(asked: &Asked) -> Result<Vec<Scenario>> {
    if asked.scenario.is_empty() {
        return Ok(scripts::ALL.to_vec());
    }
    let named = |name: &String| {
        scripts::named(name).with_context(|| {
            let known: Vec<&str> = scripts::ALL.iter().map(|scenario| scenario.name).collect();
            format!(
                "there is no scenario {name:?}; there are {}, and those of the simulator",
                known.join(", ")
            )
        })
    };
    asked.scenario.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scenario_is_answered_with_the_known_ones() {
        let asked = Asked { scenario: vec!["origin-kiled".to_owned()], seeds: None, json: None, list: false };
        let error = scenarios(&asked).unwrap_err().to_string();
        assert!(error.contains("origin-killed"), "{error}");
    }
}
