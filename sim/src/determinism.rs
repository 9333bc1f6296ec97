//! The same seed gives the same run: twice in one process, and in another process, which may run another build.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};
use headwater_scenarios::play;
use headwater_scenarios::stories::Scenario;

use crate::args::Args;
use crate::batch::progress_bar;

/// Plays every seed that is asked for twice here and once in another process. Returns whether all three were equal.
pub fn check(args: &Args) -> Result<bool> {
    let (scenarios, seeds) = (scenarios(args)?, args.seeds()?);
    let bar = progress_bar(scenarios.len() * seeds.len());
    let mut here = Vec::new();
    let mut equal = true;
    for seed in &seeds {
        for scenario in &scenarios {
            let (one, other) = (play(&scenario.script(*seed)), play(&scenario.script(*seed)));
            if one != other {
                let (name, first, second) = (scenario.name, one.trace_hash, other.trace_hash);
                bar.suspend(|| println!("DIFFERENT  {name}:{seed}: {first:016x}, then {second:016x}"));
                equal = false;
            }
            here.push(format!("{}:{seed} {:016x}", scenario.name, one.trace_hash));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let there = in_another_process(args)?;
    for line in here.iter().filter(|line| !there.contains(line)) {
        println!("DIFFERENT  {line} here; in another process it has another hash");
        equal = false;
    }
    let verdict = if equal { "each the same twice here and once elsewhere" } else { "NOT deterministic" };
    let elsewhere = if args.against.is_some() { "in another build" } else { "in another process" };
    println!("{} runs, elsewhere means {elsewhere}: {verdict}", here.len());
    Ok(equal)
}

/// The scenarios that are asked for; those that are long only by their names.
fn scenarios(args: &Args) -> Result<Vec<Scenario>> {
    let is_short = |scenario: &Scenario| !args.scenario.is_empty() || scenario.one_in < LONG_ONE_IN;
    Ok(args.scenarios()?.into_iter().filter(is_short).collect())
}

/// A scenario of which one seed in so many is played takes its time.
const LONG_ONE_IN: usize = 100;

/// The hashes of the same runs in another process, as lines.
fn in_another_process(args: &Args) -> Result<Vec<String>> {
    let program = match &args.against {
        Some(program) => program.clone(),
        None => env::current_exe().context("this program does not know where it is")?,
    };
    let mut command = Command::new(program);
    command.args(["--hashes", "--seeds", &args.seeds]);
    let named = if args.scenario.is_empty() {
        scenarios(args)?.iter().map(|scenario| scenario.name.to_owned()).collect()
    } else {
        args.scenario.clone()
    };
    for name in named {
        command.args(["--scenario", &name]);
    }
    let output = command.output().context("the other process cannot be started")?;
    if output.status.code().is_none_or(|code| code > 1) {
        bail!("the other process failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
