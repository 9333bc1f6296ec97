//! The matrix of failovers: every cell, many seeds, and what they cost, in one table.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use headwater_scenarios::cost::{Cost, Measure, Spread};
use headwater_scenarios::stories::failover::{CELLS, Cell, Fault, Played};
use serde_json::{Value, json};

use crate::args::Args;
use crate::batch::{progress_bar, stop_on_interrupt};
use crate::watchdog::watched;
use crate::{failure, json};

/// What came of a seed of a cell: what it cost, or the rule that it broke.
pub type Outcome = Result<Played, String>;

/// Plays the cells that are asked for and prints what failovers cost. Returns whether every rule held.
pub fn run(args: &Args) -> Result<bool> {
    let (cells, seeds) = (cells(args)?, args.seeds()?);
    let mut file = args.json.as_deref().map(json::create).transpose()?;
    // A run in which nothing happens is as long as forty others.
    let one_in = |cell: &Cell| if cell.fault == Fault::Nothing { 10 } else { 1 };
    let due = |cell: &Cell| seeds.iter().copied().step_by(one_in(cell)).collect();
    let outcomes = play(&cells, due, args.jobs()?)?;
    println!("{}", head());
    let mut failures = Vec::new();
    let mut lines = Vec::new();
    for (cell, outcomes) in cells.iter().zip(outcomes) {
        let line = Line::new(*cell, outcomes.into_iter().map(|(_, outcome)| outcome), &mut failures);
        println!("{}", line.text());
        lines.push(line);
    }
    failures.iter().take(FAILURES_TOLD).for_each(|failure| println!("FAILED  {failure}"));
    if let Some(file) = &mut file {
        let cells: Vec<Value> = lines.iter().map(Line::json).collect();
        let value = json!({
            "commit": failure::commit(), "seeds": seeds.len(), "failures": failures.len(), "cells": cells,
        });
        serde_json::to_writer_pretty(file, &value).context("--json")?;
    }
    Ok(failures.is_empty())
}

/// The cells that are asked for; all of them if none is.
fn cells(args: &Args) -> Result<Vec<Cell>> {
    if args.scenario.is_empty() {
        return Ok(CELLS.to_vec());
    }
    let named = |name: &String| {
        Cell::named(name).with_context(|| {
            let known: Vec<&str> = CELLS.iter().map(|cell| cell.scenario.name).collect();
            format!("there is no cell {name:?}; there are: {}", known.join(", "))
        })
    };
    args.scenario.iter().map(named).collect()
}

/// Plays seeds of `cells`, some at a time, and gives what came of them, by cell and in the order of the seeds.
pub fn play(
    cells: &[Cell],
    seeds: impl Fn(&Cell) -> Vec<u64>,
    jobs: usize,
) -> Result<Vec<Vec<(u64, Outcome)>>> {
    let of_cell = |index: usize| seeds(&cells[index]).into_iter().map(move |seed| (index, seed));
    let runs: Vec<(usize, u64)> = (0..cells.len()).flat_map(of_cell).collect();
    let stop = stop_on_interrupt()?;
    let bar = progress_bar(runs.len());
    let next = AtomicUsize::new(0);
    let (done, results) = mpsc::channel();
    let mut outcomes: Vec<Vec<(u64, Outcome)>> = cells.iter().map(|_| Vec::new()).collect();
    thread::scope(|scope| {
        for _ in 0..jobs.min(runs.len()) {
            let (done, next, runs) = (done.clone(), &next, &runs);
            scope.spawn(move || {
                while let Some((index, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let cell = &cells[*index];
                    let script = cell.scenario.script(*seed);
                    let name = format!("{}:{seed}", cell.scenario.name);
                    let outcome = watched(name, &script, || cell.play(*seed));
                    if stop.load(Ordering::Relaxed) || done.send((*index, *seed, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        for (index, seed, outcome) in results {
            bar.inc(1);
            outcomes[index].push((seed, outcome));
        }
    });
    bar.finish_and_clear();
    if stop.load(Ordering::Relaxed) {
        bail!("stopped by Ctrl-C: there are no figures of half a matrix");
    }
    outcomes.iter_mut().for_each(|outcomes| outcomes.sort_by_key(|(seed, _)| *seed));
    Ok(outcomes)
}

/// What came of a cell.
struct Line {
    cell: Cell,
    costs: Vec<Cost>,
}

impl Line {
    /// The costs of a cell's runs. Those that broke a rule are told in `failures`.
    fn new(cell: Cell, outcomes: impl Iterator<Item = Outcome>, failures: &mut Vec<String>) -> Line {
        let mut costs = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(played) => costs.push(played.cost),
                Err(broken) => failures.push(broken),
            }
        }
        Line { cell, costs }
    }

    fn text(&self) -> String {
        let group = |measure: Measure| spread_text(measure, measure.spread(&self.costs));
        let groups: Vec<String> = TABLE.into_iter().map(group).collect();
        let Cell { scenario, .. } = self.cell;
        format!(
            "{:<24} {:>6}  {}  {}",
            scenario.name,
            self.costs.len(),
            groups.join("  "),
            self.false_switches()
        )
    }

    /// How many changes of the source nothing was the reason of; while nothing happens, per month of a stream.
    fn false_switches(&self) -> String {
        let count: u64 = self.costs.iter().map(|cost| cost.false_switches).sum();
        if self.cell.fault != Fault::Nothing {
            return format!("{count:>8}");
        }
        let months = self.months();
        format!("{count:>8} in {months:.3} stream-months")
    }

    fn months(&self) -> f64 {
        let run_s = self.cell.scenario.script(1).length_ms as f64 / 1_000.0;
        run_s * self.costs.len() as f64 / MONTH_S
    }

    fn json(&self) -> Value {
        let figures: serde_json::Map<String, Value> =
            Measure::ALL.into_iter().map(|measure| (measure.to_string(), self.figure(measure))).collect();
        let months = (self.cell.fault == Fault::Nothing).then(|| self.months());
        json!({
            "cell": self.cell.scenario.name, "about": self.cell.scenario.about, "runs": self.costs.len(),
            "figures": figures, "stream_months": months,
            "false_switches": self.costs.iter().map(|cost| cost.false_switches).sum::<u64>(),
        })
    }

    fn figure(&self, measure: Measure) -> Value {
        let text = |figure| measure.text(figure);
        measure.spread(&self.costs).map_or(
            Value::Null,
            |Spread { p50, p99, max }| json!({ "p50": text(p50), "p99": text(p99), "max": text(max) }),
        )
    }
}

fn head() -> String {
    let groups = TABLE.map(|measure| {
        let unit = if measure.is_time() { " [ms]" } else { "" };
        format!("{:^23}", format!("{measure}{unit}"))
    });
    let thirds = TABLE.map(|_| format!("{:>7} {:>7} {:>7}", "p50", "p99", "max"));
    format!(
        "{:<24} {:>6}  {}  {:>8}\n{:<24} {:>6}  {}  {:>8}",
        "",
        "",
        groups.join("  "),
        "false",
        "cell",
        "seeds",
        thirds.join("  "),
        "switches"
    )
}

fn spread_text(measure: Measure, spread: Option<Spread<u64>>) -> String {
    let text = |figure: Option<u64>| figure.map_or("-".to_owned(), |figure| measure.text(figure));
    let [p50, p99, max] =
        [spread.map(|it| it.p50), spread.map(|it| it.p99), spread.map(|it| it.max)].map(text);
    format!("{p50:>7} {p99:>7} {max:>7}")
}

/// What the table has three columns for.
const TABLE: [Measure; 5] =
    [Measure::Detection, Measure::Switch, Measure::Gap, Measure::Still, Measure::Lost];
/// Thirty days, in seconds.
const MONTH_S: f64 = 30.0 * 24.0 * 3_600.0;
/// How many broken rules are told.
const FAILURES_TOLD: usize = 10;
