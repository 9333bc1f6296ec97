//! What can be asked for on the command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;
use headwater_scenarios::{Scenario, seeds, stories};

/// Plays the scenarios of a whole cluster in the simulator.
///
/// Without arguments: every kept regression, then every scenario with a default number of seeds. Exit code 1 if a rule
/// is broken.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim", disable_version_flag = true)]
pub struct Args {
    /// Only this scenario; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub scenario: Vec<String>,

    /// Which seeds: `100` (the first hundred), `1..1000`, `1..=1000`, or `7,11,4711`
    #[arg(long, value_name = "SEEDS", default_value = DEFAULT_SEEDS)]
    pub seeds: String,

    /// How many runs at a time [default: one per core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,

    /// Also write the results to this file, for machines
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Stop at the first broken rule
    #[arg(long)]
    pub fail_fast: bool,

    /// Play one run again: a scenario and a seed, or a tape
    #[arg(long, value_name = "SCENARIO:SEED|TAPE", conflicts_with_all = ["scenario", "shrink", "check_determinism"])]
    pub replay: Option<String>,

    /// With --replay: write a page with the timeline of the run
    #[arg(long, value_name = "FILE", requires = "replay")]
    pub trace: Option<PathBuf>,

    /// Find the shortest script that still breaks the same rule
    #[arg(long, value_name = "SCENARIO:SEED|TAPE", conflicts_with_all = ["scenario", "check_determinism"])]
    pub shrink: Option<String>,

    /// With --shrink or --replay: write the tape to this file [default with --shrink: target/sim/<scenario>-<seed>.json]
    #[arg(long, value_name = "FILE")]
    pub tape: Option<PathBuf>,

    /// Play every seed twice in this process, and once in another, and compare the hashes of all that happened
    #[arg(long)]
    pub check_determinism: bool,

    /// With --check-determinism: the other process runs this program, which may be another build
    #[arg(long, value_name = "PROGRAM", requires = "check_determinism", hide = true)]
    pub against: Option<PathBuf>,

    /// Play the matrix of failovers, or those cells of it that --scenario names, and say what they cost
    #[arg(long, conflicts_with_all = ["check_determinism", "check_baselines", "write_baselines"])]
    pub failover: bool,

    /// Play the few failovers of `scenarios/baselines` again; exit code 1 if they cost more than they did
    #[arg(long, conflicts_with = "write_baselines")]
    pub check_baselines: bool,

    /// Make what failovers cost now the baselines
    #[arg(long)]
    pub write_baselines: bool,

    /// Print one line for each run, with its hash
    #[arg(long)]
    pub hashes: bool,

    /// List the scenarios
    #[arg(long)]
    pub list: bool,
}

/// How many seeds are played of each scenario unless the user says otherwise.
const DEFAULT_SEEDS: &str = "100";

impl Args {
    /// The scenarios that are asked for; all of them if none is.
    pub fn scenarios(&self) -> Result<Vec<Scenario>> {
        if self.scenario.is_empty() {
            return Ok(stories::ALL.iter().filter(|scenario| scenario.one_in > 0).copied().collect());
        }
        self.scenario.iter().map(|name| scenario(name)).collect()
    }

    /// The seeds that are asked for.
    pub fn seeds(&self) -> Result<Vec<u64>> {
        Ok(seeds::parse(&self.seeds)?)
    }

    /// How many runs at a time.
    pub fn jobs(&self) -> Result<usize> {
        match self.jobs {
            Some(0) => bail!("--jobs 0: at least one run at a time"),
            Some(jobs) => Ok(jobs),
            None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        }
    }
}

/// The scenario called `name`.
pub fn scenario(name: &str) -> Result<Scenario> {
    Scenario::named(name).with_context(|| {
        let known: Vec<&str> = stories::ALL.iter().map(|scenario| scenario.name).collect();
        format!("there is no scenario {name:?}; there are: {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scenario_is_answered_with_the_known_ones() {
        let error = scenario("origin-crush").unwrap_err().to_string();
        assert!(error.contains("origin-crash"), "{error}");
    }
}
