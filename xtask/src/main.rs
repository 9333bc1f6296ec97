//! `cargo xtask <task>`: everything around the code that is more than one cargo command.

use std::env;
use std::process::ExitCode;

use anyhow::Result;

mod bench;
mod bench_hls;
mod bench_registry;
mod bench_sim;
mod checks;
mod clip;
mod failover;
mod laws;
mod mutants;
mod programs;
mod shell;
mod sim;

const HELP: &str = "\
cargo xtask <task>

  test [args]       every test; installs the programs they need if it may. Arguments go to `cargo test`
  ci                what must hold before a change is merged: formatting, lints, the laws of core, every test
  laws              the laws of core alone
  sim [args]        every scenario in the simulator; `cargo xtask sim --help` tells more
  failover [args]   what failovers cost, simulated and with real processes; --help tells more
  mutants [args]    small bugs that the simulator must find; `cargo xtask mutants --help` tells more
  bench relay       what relaying costs: --streams 20, --seconds 40, --json, --no-docs
  bench registry    what the directory of streams costs: --streams 100000, --origins 100, --seconds 20,
                    --routes 1000000, --json, --no-docs
  bench hls         what cutting and serving HLS costs, next to nginx: --streams 10, --viewers 2000, --seconds 10,
                    --json, --no-docs
  bench sim         how fast the simulator is: --runs 5, --json, --no-docs
  clip              make net-real/assets/clip.flv again
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["test", rest @ ..] => checks::test(rest),
        ["ci"] => checks::ci(),
        ["laws"] => laws::check(),
        ["sim", rest @ ..] => sim::run(rest),
        ["failover", rest @ ..] => failover::run(rest),
        ["mutants", rest @ ..] => mutants::run(rest),
        ["bench", "relay", rest @ ..] => bench::relay(rest),
        ["bench", "hls", rest @ ..] => bench_hls::run(rest),
        ["bench", "registry", rest @ ..] => bench_registry::run(rest),
        ["bench", "sim", rest @ ..] => bench_sim::run(rest),
        ["clip"] => clip::make(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [other, ..] => anyhow::bail!("there is no task {other}\n\n{HELP}"),
    }
}
