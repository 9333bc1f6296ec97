//! Many runs: every scenario that is asked for, every seed, some at a time, with a progress bar and a table at the end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_scenarios::tape::Tape;
use headwater_scenarios::{Report, Scenario, Script, play};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Args;
use crate::table::Tally;
use crate::watchdog::watched;
use crate::{failure, json, table};

/// A run to be made.
pub enum Run {
    /// A seed of a scenario, by its place among those that are asked for.
    Seed(usize, u64),
    /// A kept tape.
    Tape(PathBuf, Box<Script>),
}

/// Makes every run that is asked for. Returns whether every rule held in all of them.
pub fn run(args: &Args) -> Result<bool> {
    let (scenarios, seeds, jobs) = (args.scenarios()?, args.seeds()?, args.jobs()?);
    // Found out before the work, not after it.
    let mut json = args.json.as_deref().map(json::create).transpose()?;
    let mut runs: Vec<Run> = Vec::new();
    if args.scenario.is_empty() {
        runs.extend(regressions()?);
    }
    // Every scenario's first seed comes before any scenario's second: what is broken everywhere is found at once.
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
    for (nth, seed) in seeds.iter().enumerate() {
        let due = |scenario: &Scenario| !args.scenario.is_empty() || nth % scenario.one_in == 0;
        let due = scenarios.iter().enumerate().filter(|(_, scenario)| due(scenario));
        runs.extend(due.map(|(index, _)| Run::Seed(index, *seed)));
    }

    let stop = stop_on_interrupt()?;
    let bar = progress_bar(runs.len());
    let next = AtomicUsize::new(0);
    let (done, results) = mpsc::sync_channel::<(usize, Report, Duration)>(RESULTS_WAITING);
    let mut tally = Tally::new(&names);
    let mut told = BTreeSet::new();
    let mut interrupted = false;
    thread::scope(|scope| {
        for _ in 0..jobs.min(runs.len()) {
            let (done, next, runs, scenarios) = (done.clone(), &next, &runs, &scenarios);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(run) = runs.get(index) else { return };
                    let began = Instant::now();
                    let report = match run {
                        Run::Seed(index, seed) => {
                            let scenario = &scenarios[*index];
                            let script = scenario.script(*seed);
                            watched(format!("{}:{seed}", scenario.name), &script, || play(&script))
                        }
                        Run::Tape(path, script) => {
                            watched(path.display().to_string(), script, || play(script))
                        }
                    };
                    let report = failure::with_place_of_panic(report);
                    if done.send((index, report, began.elapsed())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        for (index, report, took) in results {
            bar.inc(1);
            if args.hashes {
                bar.suspend(|| println!("{}:{} {:016x}", report.scenario, report.seed, report.trace_hash));
            }
            let tape = match &runs[index] {
                Run::Seed(..) => None,
                Run::Tape(path, _) => Some(path.as_path()),
            };
            if let Some(broken) = &report.broken {
                // One of a kind in full; the others are counted.
                if told.insert((report.scenario.clone(), broken.violation.rule)) && told.len() <= TOLD_MAX {
                    bar.suspend(|| eprintln!("{}\n", failure::text(&report, tape)));
                }
                if args.fail_fast {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            bar.set_message(tally.message());
            tally.add(&report, tape, took);
        }
    });
    bar.finish_and_clear();
    interrupted |= tally.runs() < runs.len();
    print!("{}", table::table(&tally));
    for line in tally.failures() {
        println!("{line}");
    }
    if interrupted {
        println!("stopped after {} of {} runs", tally.runs(), runs.len());
    }
    if let Some(file) = &mut json {
        json::write(file, &tally, runs.len()).context("--json")?;
    }
    Ok(tally.passed())
}

/// The kept tapes.
fn regressions() -> Result<Vec<Run>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = sources.parent().unwrap_or(sources).join("scenarios/regressions");
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        // Without the sources there are none.
        Err(_) => Vec::new(),
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let run = |path: PathBuf| {
        let tape = Tape::read(&path)?;
        Ok(Run::Tape(path, Box::new(tape.script)))
    };
    paths.into_iter().map(run).collect()
}

/// A flag that Ctrl-C sets. The second Ctrl-C ends the process.
pub fn stop_on_interrupt() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("Ctrl-C cannot be caught")?;
    Ok(&STOP)
}

/// A bar on a terminal; nothing elsewhere.
pub fn progress_bar(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    let style = "{bar:30} {pos}/{len} runs, {elapsed} of about {duration}, {msg}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Finished runs that wait to be counted.
const RESULTS_WAITING: usize = 1_000;
/// How many broken rules are told in full.
const TOLD_MAX: usize = 10;
