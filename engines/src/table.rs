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
    /// What they saw in the simulator, where that is asked for.
    pub simulated: Option<Outcome>,
    /// What was wrong.
    pub broken: Vec<String>,
}

/// What came of the runs of a scenario.
pub struct Line {
    /// The scenario.
    pub scenario: String,
    /// Whether the simulator's figures stand beside it.
    pub compare: bool,
    /// The runs.
    pub runs: Vec<Run>,
}

/// The first lines of the table.
pub fn head(compare: bool) -> String {
    let columns = format!("{:<20} {:>5}  {:^19}  {:^19}", "", "", "failover [ms]", "viewer gap [ms]");
    let names = format!("{:<20} {:>5}  {:>9} {:>9}  {:>9} {:>9}", "scenario", "seeds", "p50", "max", "p50", "max");
    if compare {
        let columns = format!("{columns}  {:^31}  {:^31}", "simulator: failover [ms]", "simulator: gap [ms]");
        let figures = format!("{:>9} {:>9} {:>11}", "p50", "max", "p50 ratio");
        return format!("{columns}\n{names}  {figures}  {figures}  {:>6} {:>8}", "lost", "failures");
    }
    format!("{columns}\n{names}  {:>6} {:>8}", "lost", "failures")
}

impl Line {
    /// The line.
    pub fn text(&self) -> String {
        let (failovers, gaps) = (times(self.played(), Outcome::failovers), times(self.played(), Outcome::gaps));
        let mut text = format!("{:<20} {:>5}", self.scenario, self.runs.len());
        text += &format!("  {}  {}", pair(&failovers), pair(&gaps));
        if self.compare {
            let simulated = times(self.simulated(), Outcome::failovers);
            text += &format!("  {} {:>11}", pair(&simulated), ratio(&failovers, &simulated));
            let simulated = times(self.simulated(), Outcome::gaps);
            text += &format!("  {} {:>11}", pair(&simulated), ratio(&gaps, &simulated));
        }
        text + &format!("  {:>6} {:>8}", self.lost(), self.broken())
    }

    /// What was wrong, run by run.
    pub fn failures(&self, engine: &str) -> Vec<String> {
        let tell = |run: &Run| {
            let command = format!("engines {engine} --scenario {} --seeds {}..={}", self.scenario, run.seed, run.seed);
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
        let mut value = json!({
            "scenario": line.scenario,
            "seeds": line.runs.len(),
            "failover_ms": spread(&times(line.played(), Outcome::failovers)),
            "gap_ms": spread(&times(line.played(), Outcome::gaps)),
            "frames_lost": line.lost(),
            "failures": line.broken(),
        });
        if line.compare {
            value["simulator"] = json!({
                "failover_ms": spread(&times(line.simulated(), Outcome::failovers)),
                "gap_ms": spread(&times(line.simulated(), Outcome::gaps)),
            });
        }
        value
    };
    let passed = lines.iter().all(|line| line.broken() == 0);
    let failure = |scenario: &str, run: &Run| json!({ "scenario": scenario, "seed": run.seed, "broken": run.broken });
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

fn times<'a>(outcomes: impl Iterator<Item = &'a Outcome>, of: fn(&Outcome) -> Vec<Duration>) -> Vec<Duration> {
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
        (Some(p50), Some(max)) => format!("{:>9.1} {:>9.1}", ms(p50), ms(*max)),
        _ => format!("{:>9} {:>9}", "-", "-"),
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
