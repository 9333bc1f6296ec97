//! What came of many runs, in one table.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use headwater_scenarios::cost::Spread;
use headwater_scenarios::{Report, stories};

use crate::failure;

/// What came of many runs, scenario by scenario.
pub struct Tally {
    lines: Vec<Line>,
    failures: Vec<Failure>,
}

/// What came of the runs of a scenario.
pub struct Line {
    /// The scenario.
    pub scenario: String,
    /// How many runs there were.
    pub runs: u64,
    /// How much time went by in them.
    pub simulated: Duration,
    /// How long that took, on one core.
    pub took: Duration,
    /// How long edges were without media, each time that they changed their source.
    pub failovers: Vec<Duration>,
    /// Every viewer's longest time without a picture's part.
    pub gaps: Vec<Duration>,
    /// How many runs broke a rule.
    pub failures: u64,
}

/// A run that broke a rule.
pub struct Failure {
    /// What to replay it by.
    pub name: String,
    /// What came of it.
    pub report: Report,
}

impl Tally {
    /// A tally of no runs yet of these scenarios.
    pub fn new(scenarios: &[&str]) -> Tally {
        let mut tally = Tally { lines: Vec::new(), failures: Vec::new() };
        for scenario in scenarios {
            tally.line(scenario);
        }
        tally
    }

    /// Counts a run.
    pub fn add(&mut self, report: &Report, tape: Option<&Path>, took: Duration) {
        let line = self.line(if tape.is_some() { REGRESSIONS } else { &report.scenario });
        line.runs += 1;
        line.simulated += report.simulated;
        line.took += took;
        line.failovers.extend(&report.failovers);
        line.gaps.extend(&report.gaps);
        if !report.passed() {
            line.failures += 1;
            self.failures.push(Failure { name: failure::name(report, tape), report: report.clone() });
        }
    }

    fn line(&mut self, scenario: &str) -> &mut Line {
        let known = self.lines.iter().position(|line| line.scenario == scenario);
        let index = known.unwrap_or_else(|| {
            let (zero, scenario) = (Duration::ZERO, scenario.to_owned());
            let (failovers, gaps) = (Vec::new(), Vec::new());
            self.lines.push(Line {
                scenario,
                runs: 0,
                simulated: zero,
                took: zero,
                failovers,
                gaps,
                failures: 0,
            });
            self.lines.len() - 1
        });
        &mut self.lines[index]
    }

    /// Scenario by scenario.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The runs that broke a rule.
    pub fn broken(&self) -> &[Failure] {
        &self.failures
    }

    /// How many runs there were.
    pub fn runs(&self) -> usize {
        self.lines.iter().map(|line| usize::try_from(line.runs).unwrap_or(usize::MAX)).sum()
    }

    /// Whether every rule held in every run.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// A few words for a progress bar.
    pub fn message(&self) -> String {
        let simulated: Duration = self.lines.iter().map(|line| line.simulated).sum();
        let hours = simulated.as_secs_f64() / 3_600.0;
        format!("{hours:.1} h simulated, {} failed", self.failures.len())
    }

    /// A line for each of the first runs that broke a rule.
    pub fn failures(&self) -> Vec<String> {
        let line = |failure: &Failure| {
            let rule = failure.report.broken.as_ref().map_or("", |broken| broken.violation.rule);
            format!("FAILED  cargo xtask sim --replay {}  # {rule}", failure.name)
        };
        let mut lines: Vec<String> = self.failures.iter().take(FAILURES_LISTED).map(line).collect();
        if let Some(more) = self.failures.len().checked_sub(FAILURES_LISTED + 1) {
            lines.push(format!("... and {} more", more + 1));
        }
        lines
    }
}

/// The table of `tally`, with a line for everything together.
pub fn table(tally: &Tally) -> String {
    let mut text = format!(
        "{:<18} {:>6} {:>10} {:>8}   {:^20}   {:^20}  {:>8}\n{:<18} {:>6} {:>10} {:>8}   {:>6} {:>6} {:>6}   {:>6} {:>6} {:>6}  {:>8}\n",
        "",
        "",
        "",
        "",
        "failover [ms]",
        "viewer gap [ms]",
        "",
        "scenario",
        "seeds",
        "simulated",
        "speed",
        "p50",
        "p99",
        "max",
        "p50",
        "p99",
        "max",
        "failures",
    );
    for line in tally.lines().iter().filter(|line| line.runs > 0) {
        let (failover, gap) = (spread(&line.failovers), spread(&line.gaps));
        let speed = line.simulated.as_secs_f64() / line.took.as_secs_f64().max(1e-9);
        writeln!(
            text,
            "{:<18} {:>6} {:>10} {:>7.0}x   {failover}   {gap}  {:>8}",
            line.scenario,
            line.runs,
            long(line.simulated),
            speed,
            line.failures
        )
        .expect("a string takes any text");
    }
    let simulated: Duration = tally.lines().iter().map(|line| line.simulated).sum();
    let took: Duration = tally.lines().iter().map(|line| line.took).sum();
    let speed = simulated.as_secs_f64() / took.as_secs_f64().max(1e-9);
    writeln!(
        text,
        "{:<18} {:>6} {:>10} {:>7.0}x   {:20}   {:20}  {:>8}",
        "all",
        tally.runs(),
        long(simulated),
        speed,
        "",
        "",
        tally.broken().len()
    )
    .expect("a string takes any text");
    text
}

fn spread(times: &[Duration]) -> String {
    match Spread::of(times) {
        Some(Spread { p50, p99, max }) => {
            format!("{:>6} {:>6} {:>6}", p50.as_millis(), p99.as_millis(), max.as_millis())
        }
        None => format!("{:>6} {:>6} {:>6}", "-", "-", "-"),
    }
}

fn long(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..600 => format!("{seconds} s"),
        seconds @ 600..36_000 => format!("{} min", seconds / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3_600.0),
    }
}

/// Lists the scenarios.
pub fn list() {
    for scenario in stories::ALL {
        println!("{:<18} {}", scenario.name, scenario.about);
    }
}

/// What kept tapes are called in the table.
const REGRESSIONS: &str = "regressions";
/// How many failures are listed after the table.
const FAILURES_LISTED: usize = 20;
