//! The same seed gives the same run: twice in one process, and in another process, which may run another build.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};
use headwater_scenarios::play;

use crate::args::Args;
use crate::batch::progress_bar;

/// Plays every seed that is asked for twice here and once in another process. Returns whether all three were equal.
pub fn check(args: &Args) -> Result<bool> {
    let (scenarios, seeds) = (args.scenarios()?, args.seeds()?);
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

/// The hashes of the same runs in another process, as lines.
fn in_another_process(args: &Args) -> Result<Vec<String>> {
    let program = match &args.against {
        Some(program) => program.clone(),
        None => env::current_exe().context("this program does not know where it is")?,
    };
    let mut command = Command::new(program);
    command.args(["--hashes", "--seeds", &args.seeds]);
    let named = if args.scenario.is_empty() {
        args.scenarios()?.iter().map(|scenario| scenario.name.to_owned()).collect()
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
