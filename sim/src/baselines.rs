//! What failovers cost when they were last looked at (`scenarios/baselines`), and whether they cost more by now.
//!
//! A baseline is a file for each cell of the matrix: the figures, and what the edge did in each of a few runs. When a
//! figure has grown, the run that is worst now is held against its former self, and the first thing that the edge
//! did otherwise is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_scenarios::cost::{Cost, Measure, Spread};
use headwater_scenarios::stories::failover::{CELLS, Cell, Fault, Played};
use serde::{Deserialize, Serialize};

use crate::args::Args;
use crate::matrix::{self, Outcome};

/// What a cell cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Baseline {
    /// Microseconds, or frames, or switches.
    figures: BTreeMap<Measure, Spread<u64>>,
    /// What the edge did since the fault, by seed.
    runs: BTreeMap<u64, Vec<String>>,
}

/// What a cell costs now.
struct Look {
    cell: Cell,
    now: Baseline,
    /// By seed.
    costs: BTreeMap<u64, Cost>,
}

/// Plays the seeds of the baselines again. Returns whether no figure has grown by more than its margin.
pub fn check(args: &Args) -> Result<bool> {
    let mut grown = Vec::new();
    let mut shrunk = 0;
    for look in looks(args)? {
        let was = match read(&look.cell) {
            Ok(was) => was,
            Err(error) => {
                grown.push(format!("{error:#}\n  {WRITE}"));
                continue;
            }
        };
        grown.extend(Measure::ALL.into_iter().filter_map(|measure| look.grown(measure, &was)));
        shrunk += usize::from(has_shrunk(&was, &look.now));
    }
    grown.iter().for_each(|grown| println!("FAILED  {grown}\n"));
    if shrunk > 0 {
        println!("{shrunk} cells cost less than their baselines say; to hold on to that:\n  {WRITE}");
    }
    if grown.is_empty() {
        println!("{} cells cost no more than their baselines say", CELLS.len());
    }
    Ok(grown.is_empty())
}

/// Makes what failovers cost now the baselines. Returns whether every rule held in the runs.
pub fn write(args: &Args) -> Result<bool> {
    for Look { cell, now, .. } in looks(args)? {
        let path = path(&cell);
        let text = format!("{}\n", serde_json::to_string_pretty(&now)?);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        println!("{}", path.display());
    }
    Ok(true)
}

fn looks(args: &Args) -> Result<Vec<Look>> {
    let outcomes = matrix::play(CELLS, seeds, args.jobs()?)?;
    CELLS.iter().zip(outcomes).map(|(cell, outcomes)| Look::at(cell, outcomes)).collect()
}

/// Few enough for every change that is made; a run in which nothing happens is as long as sixty others.
fn seeds(cell: &Cell) -> Vec<u64> {
    (1..=if cell.fault == Fault::Nothing { 1 } else { 20 }).collect()
}

impl Look {
    fn at(cell: &Cell, outcomes: Vec<(u64, Outcome)>) -> Result<Look> {
        let (mut costs, mut runs) = (BTreeMap::new(), BTreeMap::new());
        for (seed, outcome) in outcomes {
            let Played { cost, decisions } = outcome.map_err(anyhow::Error::msg)?;
            costs.insert(seed, cost);
            runs.insert(seed, decisions.into_iter().map(|(after, what)| line(after, &what)).collect());
        }
        let all: Vec<Cost> = costs.values().cloned().collect();
        let figure = |measure: Measure| Some((measure, measure.spread(&all)?));
        let figures = Measure::ALL.into_iter().filter_map(figure).collect();
        Ok(Look { cell: *cell, now: Baseline { figures, runs }, costs })
    }

    /// What is to be said of a measure that has grown since it `was`, or is there for the first time.
    fn grown(&self, measure: Measure, was: &Baseline) -> Option<String> {
        let is = self.now.figures.get(&measure)?;
        let before = was.figures.get(&measure);
        let thirds = [
            ("p50", before.map(|it| it.p50), is.p50),
            ("p99", before.map(|it| it.p99), is.p99),
            ("max", before.map(|it| it.max), is.max),
        ];
        let has_grown =
            |before: Option<u64>, is| before.is_none_or(|before| is > before + margin(measure, before));
        let (third, before, is) = thirds.into_iter().find(|(_, before, is)| has_grown(*before, *is))?;
        let before = before.map_or("none".to_owned(), |before| measure.text(before));
        let name = self.cell.scenario.name;
        let (seed, _) = self.costs.iter().max_by_key(|(_, cost)| measure.of(cost))?;
        let none = Vec::new();
        let [then, now] = [was, &self.now].map(|baseline| baseline.runs.get(seed).unwrap_or(&none));
        Some(format!(
            "{name}: the {third} of {measure} was {before} and is {}\n  the worst run is {name}:{seed}; {}\n  \
             look at it: cargo xtask sim --replay {name}:{seed} --trace run.html\n  if it has to be so: {WRITE}",
            measure.text(is),
            first_difference(then, now),
        ))
    }
}

fn line(after: Duration, what: &str) -> String {
    format!("+{:.1} ms {what}", after.as_secs_f64() * 1_000.0)
}

/// How much more than `before` is no reason to complain. Frames and false switches have no margin.
fn margin(measure: Measure, before: u64) -> u64 {
    if measure.is_time() { (before / 10).max(MARGIN_US) } else { 0 }
}

fn has_shrunk(was: &Baseline, now: &Baseline) -> bool {
    was.figures.iter().any(|(measure, before)| {
        let is = now.figures.get(measure).map_or(0, |is| is.max);
        is + margin(*measure, is) < before.max
    })
}

/// The first thing that the edge did otherwise than before: something else, or the same at another time.
fn first_difference(before: &[String], now: &[String]) -> String {
    let what = |line: &String| line.split_once(" ms ").map_or(line.clone(), |(_, what)| what.to_owned());
    let longest = before.len().max(now.len());
    let other = |index: &usize| before.get(*index).map(what) != now.get(*index).map(what);
    let later = |index: &usize| before.get(*index) != now.get(*index);
    let Some(index) = (0..longest).find(other).or_else(|| (0..longest).find(later)) else {
        return "the edge does what it did, when it did it: what has changed is behind it".to_owned();
    };
    let tell = |lines: &[String]| lines.get(index).map_or("nothing more".to_owned(), String::clone);
    format!("the first difference:\n    was  {}\n    is   {}", tell(before), tell(now))
}

fn read(cell: &Cell) -> Result<Baseline> {
    let path = path(cell);
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no baseline", path.display()))
}

fn path(cell: &Cell) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = cell.scenario.name.trim_start_matches("failover-");
    sources.parent().unwrap_or(sources).join(format!("scenarios/baselines/{name}.json"))
}

/// Times may always grow by so much.
const MARGIN_US: u64 = 5_000;
const WRITE: &str = "cargo xtask sim --write-baselines, and say in the commit why";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn another_event_is_told_before_another_time() {
        let before =
            lines(&["+10.0 ms edge leaves a: closed", "+10.0 ms edge dials b", "+50.0 ms edge plays b"]);
        let later =
            lines(&["+12.0 ms edge leaves a: closed", "+12.0 ms edge dials b", "+52.0 ms edge plays b"]);
        let other = lines(&["+12.0 ms edge leaves a: closed", "+12.0 ms edge dials c"]);
        assert!(first_difference(&before, &later).contains("is   +12.0 ms edge leaves a"));
        assert!(first_difference(&before, &other).contains("was  +10.0 ms edge dials b"));
        assert!(first_difference(&before, &other[..1]).contains("is   nothing more"));
        assert!(first_difference(&before, &before).starts_with("the edge does what it did"));
    }

    #[test]
    fn a_figure_that_grows_is_told_with_its_worst_run() {
        let cell = CELLS[0];
        let cost = |ms| Cost {
            detection: Some(Duration::from_millis(10)),
            switch: Some(Duration::from_millis(ms)),
            gap: Duration::from_millis(500),
            still: Duration::ZERO,
            lost: 0,
            false_switches: 0,
        };
        let of = |ms: [u64; 2]| {
            let run = |(seed, ms): (u64, u64)| {
                let decisions = vec![(Duration::from_millis(ms), format!("edge plays b ({ms})"))];
                (seed, Ok(Played { cost: cost(ms), decisions }))
            };
            Look::at(&cell, (1..).zip(ms).map(run).collect()).unwrap()
        };
        let (was, near, far) = (of([50, 60]).now, of([50, 64]), of([80, 60]));
        assert_eq!(near.grown(Measure::Switch, &was), None);
        let told = far.grown(Measure::Switch, &was).unwrap();
        assert!(told.contains("p50 of switch was 50.0 and is 60.0"), "{told}");
        assert!(
            told.contains("failover-kill:1") && told.contains("was  +50.0 ms edge plays b (50)"),
            "{told}"
        );
        assert_eq!(far.grown(Measure::Lost, &was), None);
        assert!(has_shrunk(&far.now, &was) && !has_shrunk(&was, &near.now));
    }
}
