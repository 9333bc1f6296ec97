//! The matrix of failovers with real processes, beside the simulator's runs of the same scripts.

use std::time::Duration;

use anyhow::{Context, Result};
use headwater_core::time::Time;
use headwater_engines::outcome::Outcome;
use headwater_engines::{loopback, simulator};
use headwater_scenarios::Script;
use headwater_scenarios::cost::{Cost, Measure, Run, Spread};
use headwater_scenarios::script::Link;
use headwater_scenarios::stories::failover::{CELLS, Cell, Fault};
use serde_json::{Value, json};

/// What came of a cell on both engines.
pub struct Line {
    cell: Cell,
    here: Vec<Cost>,
    simulated: Vec<Cost>,
    /// Why there is nothing.
    left_out: Option<String>,
    /// What was wrong.
    failures: Vec<String>,
}

/// The cells of these names; all of them if there is none.
///
/// # Errors
/// If there is no such cell.
pub fn cells(names: &[String]) -> Result<Vec<Cell>> {
    if names.is_empty() {
        return Ok(CELLS.to_vec());
    }
    names.iter().map(|name| Cell::named(name).with_context(|| format!("there is no cell {name:?}"))).collect()
}

/// Plays these seeds of a cell.
pub fn play(cell: Cell, seeds: &[u64]) -> Line {
    let mut line =
        Line { cell, here: Vec::new(), simulated: Vec::new(), left_out: None, failures: Vec::new() };
    if cell.fault == Fault::Nothing {
        line.left_out = Some("loopback has no bad wires".to_owned());
        return line;
    }
    for seed in seeds {
        let mut script = cell.scenario.script(*seed);
        // Loopback is as fast as it is; the simulator gets the same wires.
        script.link = Link { latency_ms: 0, jitter_ms: 0, loss_ppm: 0 };
        if let Err(unsupported) = loopback::supports(&script) {
            line.left_out = Some(unsupported.what);
            return line;
        }
        for (outcome, costs) in
            [(loopback::play(&script), &mut line.here), (simulator::play(&script), &mut line.simulated)]
        {
            match outcome.and_then(|outcome| cost(&cell, &script, &outcome)) {
                Ok(cost) => costs.push(cost),
                Err(error) => line.failures.push(format!("{}:{seed}: {error:#}", cell.scenario.name)),
            }
        }
    }
    line
}

fn cost(cell: &Cell, script: &Script, outcome: &Outcome) -> Result<Cost> {
    let seen = outcome.viewers.first().context("nobody watched")?;
    Ok(Cost::of(Run {
        fault: outcome.first_step,
        switches: cell.switches(),
        facts: &outcome.facts,
        record: &seen.record,
        end: Time::ZERO + Duration::from_millis(script.length_ms),
    }))
}

impl Line {
    /// The line of the table.
    pub fn text(&self) -> String {
        let name = self.cell.scenario.name;
        if let Some(why) = &self.left_out {
            return format!("{name:<24}      -  {why}");
        }
        let group = |measure: Measure| {
            let [here, there] = [&self.here, &self.simulated].map(|costs| pair(measure, costs));
            format!("{here}  {there}")
        };
        let groups: Vec<String> = TABLE.into_iter().map(group).collect();
        let verdict = self.verdict();
        format!("{name:<24} {:>6}  {}  {verdict}", self.here.len(), groups.join("  | "))
    }

    /// Whether nothing was wrong, and both engines agree.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.apart().is_empty()
    }

    /// What was wrong.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        let apart = self.apart().into_iter().map(|measure| {
            let [here, there] = [&self.here, &self.simulated].map(|costs| pair(measure, costs));
            format!(
                "{}: {measure}: {} here, {} simulated",
                self.cell.scenario.name,
                here.trim(),
                there.trim()
            )
        });
        self.failures.clone().into_iter().chain(apart)
    }

    fn verdict(&self) -> String {
        match self.apart().as_slice() {
            [] => "agree".to_owned(),
            apart => {
                let names: Vec<String> = apart.iter().map(Measure::to_string).collect();
                format!("APART: {}", names.join(", "))
            }
        }
    }

    /// The measures on which the engines do not agree.
    fn apart(&self) -> Vec<Measure> {
        let differ = |measure: &Measure| {
            let [here, there] =
                [&self.here, &self.simulated].map(|costs| measure.spread(costs).map(|spread| spread.p50));
            !agree(*measure, here, there)
        };
        Measure::ALL.into_iter().filter(differ).collect()
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let side = |costs: &[Cost]| -> Value {
            let figure = |measure: Measure| {
                let spread = measure.spread(costs).map(
                    |Spread { p50, max, .. }| json!({ "p50": measure.text(p50), "max": measure.text(max) }),
                );
                (measure.to_string(), spread.unwrap_or(Value::Null))
            };
            Measure::ALL.into_iter().map(figure).collect::<serde_json::Map<String, Value>>().into()
        };
        json!({
            "cell": self.cell.scenario.name, "runs": self.here.len(), "left_out": self.left_out,
            "loopback": side(&self.here), "simulator": side(&self.simulated), "verdict": self.verdict(),
            "failures": self.failures,
        })
    }
}

/// Whether a median here and one in the simulator say the same: within a fifth, or within a frame, since computing takes
/// no time there.
fn agree(measure: Measure, here: Option<u64>, simulated: Option<u64>) -> bool {
    let (Some(here), Some(simulated)) = (here, simulated) else { return here == simulated };
    let frame = if measure.is_time() { FRAME_US } else { FRAMES };
    here.abs_diff(simulated) <= (simulated / 5).max(frame)
}

/// The first lines of the table.
pub fn head() -> String {
    let groups = TABLE.map(|measure| {
        let unit = if measure.is_time() { " [ms]" } else { "" };
        format!("{:^32}", format!("{measure}{unit}"))
    });
    let halves = TABLE.map(|_| format!("{:>7} {:>7}  {:>7} {:>7}", "p50", "max", "sim p50", "sim max"));
    format!(
        "{:<24} {:>6}  {}\n{:<24} {:>6}  {}",
        "",
        "",
        groups.join("  | "),
        "cell",
        "runs",
        halves.join("  | ")
    )
}

fn pair(measure: Measure, costs: &[Cost]) -> String {
    let text = |figure: Option<u64>| figure.map_or("-".to_owned(), |figure| measure.text(figure));
    let spread = measure.spread(costs);
    let [p50, max] = [spread.map(|it| it.p50), spread.map(|it| it.max)].map(text);
    format!("{p50:>7} {max:>7}")
}

/// What the table has four columns for.
const TABLE: [Measure; 4] = [Measure::Detection, Measure::Switch, Measure::Gap, Measure::Lost];
/// A frame of 30 in a second.
const FRAME_US: u64 = 33_334;
/// A frame of the picture, and the sound that goes with it.
const FRAMES: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_or_a_frame_is_agreement() {
        let agrees = |here, there| agree(Measure::Switch, Some(here), Some(there));
        assert!(agrees(30_000, 2_000) && !agrees(36_000, 2_000));
        assert!(agrees(3_500_000, 3_000_000) && !agrees(3_700_000, 3_000_000));
        assert!(!agree(Measure::Switch, None, Some(1)) && agree(Measure::Switch, None, None));
    }
}
