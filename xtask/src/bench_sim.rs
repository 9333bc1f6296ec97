//! `cargo xtask bench sim`: how much faster than real time the simulator is, in two worlds.
//!
//! The worlds are in `scenarios/examples/speed.rs`, which this builds in release and runs several times. What counts
//! is the processor's time of its one thread; of the runs the middle one is told.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::binary::workspace;
use headwater_tests::machine;
use serde_json::{Value, json};

use crate::bench::write_section;
use crate::shell;

struct Options {
    runs: usize,
    json: bool,
    docs: bool,
}

/// A world, what is asked of it, and what it is in words.
struct World {
    name: &'static str,
    /// So many times faster than real time.
    target: f64,
    what: &'static str,
}

const WORLDS: [World; 2] = [
    World {
        name: "frames",
        target: 50.0,
        what: "2 origins, 2 edges, 10 streams at 30 fps with sound, each published to both origins, frame by \
               frame; 20 players",
    },
    World {
        name: "gop",
        target: 1_000.0,
        what: "3 origins, 10 edges, 1,000 streams without sound, each published to one origin and pulled by one \
               edge, one small access unit per GOP of 2 s; every playlist is asked for once a minute",
    },
];

/// Measures, prints, and writes `docs/benchmarks.md`.
///
/// # Errors
///
/// If an argument is wrong, or the simulation cannot be built or fails.
pub fn run(arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    shell::cargo(&BUILD, &[])?;
    let mut runs = Vec::new();
    for _ in 0..options.runs {
        runs.push(measure()?);
    }
    let figures: Vec<Value> = WORLDS.iter().map(|world| middle(&runs, world.name)).collect::<Result<_>>()?;
    if options.json {
        let (processor, cores) = machine::processor();
        let machine = json!({ "processor": processor, "cores": cores });
        println!("{}", serde_json::to_string_pretty(&json!({ "machine": machine, "worlds": figures }))?);
    } else {
        println!("{}", markdown(&figures));
    }
    if options.docs {
        write_section("sim", &markdown(&figures))?;
    }
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<Options> {
    let mut options = Options { runs: 5, json: false, docs: true };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        match *flag {
            "--runs" => {
                let value = rest.next().context("--runs needs a number")?;
                options.runs = value.parse().with_context(|| format!("--runs {value}"))?;
            }
            "--json" => options.json = true,
            "--no-docs" => options.docs = false,
            other => bail!("bench sim has no flag {other}"),
        }
    }
    ensure!(options.runs > 0, "nothing to measure");
    Ok(options)
}

/// One run of both worlds.
fn measure() -> Result<Vec<Value>> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet"]).args(&BUILD[1..]).args(["--", "both", "--json"]);
    let output = command.current_dir(workspace()).output().context("the simulation could not be started")?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the simulation failed ({}): {why}", output.status);
    serde_json::from_slice(&output.stdout).context("the simulation's figures are not JSON")
}

/// The run of `world` with the middle speed.
fn middle(runs: &[Vec<Value>], world: &str) -> Result<Value> {
    let mut runs: Vec<&Value> = runs.iter().flatten().filter(|run| run["world"] == world).collect();
    runs.sort_by(|one, other| speed(one).total_cmp(&speed(other)));
    runs.get(runs.len() / 2).copied().cloned().with_context(|| format!("there are no figures of {world}"))
}

fn speed(run: &Value) -> f64 {
    run["speed"].as_f64().unwrap_or(0.0)
}

fn markdown(figures: &[Value]) -> String {
    let row = |(world, run): (&World, &Value)| {
        let number = |name: &str| run[name].as_f64().unwrap_or(0.0);
        format!(
            "| {} | {:.0} s | {:.2} s | {:.0} | {:.1} µs | {} MiB | **{:.0}** | {} |",
            world.what,
            number("simulated_s"),
            number("processor_s"),
            number("events") / number("simulated_s").max(1.0),
            number("processor_s") * 1e6 / number("events").max(1.0),
            run["peak_mib"],
            speed(run),
            world.target,
        )
    };
    let rows: Vec<String> = WORLDS.iter().zip(figures).map(row).collect();
    let (processor, cores) = machine::processor();
    format!(
        "## Simulator\n\n\
        {processor}, {cores} cores, of which a simulation uses one. The time is the processor's, after a warm-up of \
        70 s of the world. An event is an entry of the trace: a message that arrives, a report that bytes have left, \
        a deadline, a fact.\n\n\
        | world | simulated | took | events per second | each | peak memory | times real time | wanted |\n\
        |---|---|---|---|---|---|---|---|\n{}\n",
        rows.join("\n"),
    )
}

/// What cargo builds. The profile in which scenarios are run checks more, and is a little slower.
const BUILD: [&str; 6] = ["build", "--release", "--package", "headwater-scenarios", "--example", "speed"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_run_is_told() {
        let run = |world: &str, speed: f64| json!({ "world": world, "speed": speed });
        let runs = [3.0, 1.0, 2.0].map(|speed| vec![run("frames", speed), run("gop", 10.0 * speed)]);
        assert_eq!(speed(&middle(&runs, "frames").unwrap()), 2.0);
        assert_eq!(speed(&middle(&runs, "gop").unwrap()), 20.0);
        assert!(middle(&runs, "other").is_err());
    }

    #[test]
    fn wrong_flags_are_named() {
        assert!(parse(&["--run", "3"]).is_err_and(|error| error.to_string().contains("--run")));
        assert!(parse(&["--runs"]).is_err() && parse(&["--runs", "0"]).is_err());
        assert_eq!(parse(&["--runs", "3"]).unwrap().runs, 3);
    }

    #[test]
    fn the_page_tells_both_worlds() {
        let run = json!({ "simulated_s": 60, "processor_s": 0.5, "events": 600_000, "speed": 120.0, "peak_mib": 7 });
        let text = markdown(&[run.clone(), run]);
        assert_eq!(text.matches("| 60 s | 0.50 s | 10000 | 0.8 µs | 7 MiB | **120** |").count(), 2, "{text}");
    }
}
