//! What came of many runs on an engine, in one table.

use std::time::Duration;

use headwater_engines::outcome::Outcome;
use serde_json::{Value, json};

/// What came of a run.
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What viewers saw, if it could be played to the end.
    pub outcome: Option<Outcome>,
    /// What they saw in the simulator.
    pub simulated: Option<Outcome>,
    /// What was wrong.
    pub broken: Vec<String>,
}

/// What came of the runs of a scenario.
pub struct Line {
    /// The scenario.
    pub scenario: String,
    /// The runs.
    pub runs: Vec<Run>,
}

/// The first lines of the table.
pub fn head() -> String {
    let group = |name: &str| format!("{name:^43}");
    let groups = format!("{:<20} {:>5}  {}  {}", "", "", group("failover [ms]"), group("viewer gap [ms]"));
    let half = format!("{:>8} {:>8}  {:>8} {:>8} {:>6}", "p50", "max", "sim p50", "sim max", "ratio");
    format!("{groups}\n{:<20} {:>5}  {half}  {half}  {:>6} {:>8}", "scenario", "seeds", "lost", "failures")
}

impl Line {
    /// The line. A ratio is that of the medians, here to the simulator's.
    pub fn text(&self) -> String {
        let half = |of: fn(&Outcome) -> Vec<Duration>| {
            let (here, there) = (times(self.played(), of), times(self.simulated(), of));
            format!("{}  {} {:>6}", pair(&here), pair(&there), ratio(&here, &there))
        };
        let (failovers, gaps) = (half(Outcome::failovers), half(Outcome::gaps));
        let (lost, broken) = (self.lost(), self.broken());
        format!("{:<20} {:>5}  {failovers}  {gaps}  {lost:>6} {broken:>8}", self.scenario, self.runs.len())
    }

    /// What was wrong, run by run.
    pub fn failures(&self, engine: &str) -> Vec<String> {
        let tell = |run: &Run| {
            let command =
                format!("engines {engine} --scenario {} --seeds {}..={}", self.scenario, run.seed, run.seed);
            format!("FAILED  {command}\n    {}", run.broken.join("\n    "))
        };
        self.runs.iter().filter(|run| !run.broken.is_empty()).map(tell).collect()
    }

    fn played(&self) -> impl Iterator<Item = &Outcome> {
        self.runs.iter().filter_map(|run| run.outcome.as_ref())
    }

    fn simulated(&self) -> impl Iterator<Item = &Outcome> {
        self.runs.iter().filter_map(|run| run.simulated.as_ref())
    }

    fn lost(&self) -> u64 {
        self.played().map(Outcome::frames_lost).sum()
    }

    fn broken(&self) -> usize {
        self.runs.iter().filter(|run| !run.broken.is_empty()).count()
    }
}

/// The results for machines.
pub fn json(engine: &str, lines: &[Line]) -> Value {
    let line = |line: &Line| {
        json!({
            "scenario": line.scenario,
            "seeds": line.runs.len(),
            "failover_ms": spread(&times(line.played(), Outcome::failovers)),
            "gap_ms": spread(&times(line.played(), Outcome::gaps)),
            "frames_lost": line.lost(),
            "failures": line.broken(),
            "simulator": {
                "failover_ms": spread(&times(line.simulated(), Outcome::failovers)),
                "gap_ms": spread(&times(line.simulated(), Outcome::gaps)),
            },
        })
    };
    let passed = lines.iter().all(|line| line.broken() == 0);
    let failure =
        |scenario: &str, run: &Run| json!({ "scenario": scenario, "seed": run.seed, "broken": run.broken });
    let failures = lines.iter().flat_map(|line| {
        let wrong = line.runs.iter().filter(|run| !run.broken.is_empty());
        wrong.map(|run| failure(&line.scenario, run))
    });
    json!({
        "engine": engine,
        "passed": passed,
        "scenarios": lines.iter().map(line).collect::<Vec<Value>>(),
        "failures": failures.collect::<Vec<Value>>(),
    })
}

fn times<'a>(
    outcomes: impl Iterator<Item = &'a Outcome>,
    of: fn(&Outcome) -> Vec<Duration>,
) -> Vec<Duration> {
    let mut times: Vec<Duration> = outcomes.flat_map(of).collect();
    times.sort();
    times
}

/// The middle one of times in order.
fn middle(sorted: &[Duration]) -> Option<Duration> {
    sorted.get(sorted.len().div_ceil(2).checked_sub(1)?).copied()
}

fn pair(sorted: &[Duration]) -> String {
    match (middle(sorted), sorted.last()) {
        (Some(p50), Some(max)) => format!("{:>8.1} {:>8.1}", ms(p50), ms(*max)),
        _ => format!("{:>8} {:>8}", "-", "-"),
    }
}

fn ratio(here: &[Duration], there: &[Duration]) -> String {
    match (middle(here), middle(there)) {
        (Some(here), Some(there)) if !there.is_zero() => format!("{:.2}", ms(here) / ms(there)),
        _ => "-".to_owned(),
    }
}

fn spread(sorted: &[Duration]) -> Value {
    match (middle(sorted), sorted.last()) {
        (Some(p50), Some(max)) => json!({ "count": sorted.len(), "p50": ms(p50), "max": ms(*max) }),
        _ => Value::Null,
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_few() {
        let times: Vec<Duration> = [1, 2, 3, 4].map(Duration::from_millis).to_vec();
        assert_eq!(middle(&times), Some(times[1]));
        assert_eq!(middle(&times[..3]), Some(times[1]));
        assert_eq!(middle(&[]), None);
        assert_eq!(ratio(&times, &[Duration::from_millis(4)]), "0.50");
        assert_eq!(ratio(&times, &[]), "-");
    }
}
