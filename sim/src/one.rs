//! One run: seen again, drawn, or made shorter.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use headwater_core::time::Time;
use headwater_net_sim::ms;
use headwater_net_sim::page::{Note, page};
use headwater_scenarios::play::{play, play_recorded};
use headwater_scenarios::shrink::shrink as shorten;
use headwater_scenarios::tape::{Tape, VERSION};
use headwater_scenarios::{Report, Script};

use crate::args::{Args, scenario};
use crate::batch::progress_bar;
use crate::failure;
use crate::watchdog::watched;

/// Plays one run again, prints what came of it, and writes its page and its tape if asked to.
pub fn replay(what: &str, args: &Args) -> Result<bool> {
    let (script, tape) = find(what)?;
    if let Some(path) = &args.trace {
        // Found out before the work, not after it.
        fs::write(path, "")
            .with_context(|| format!("--trace {}: this file cannot be written", path.display()))?;
    }
    let report = on_a_thread(|| {
        watched(what.to_owned(), &script, || match &args.trace {
            Some(path) => played_on_a_page(&script, path),
            None => Ok(failure::with_place_of_panic(play(&script))),
        })
    })?;
    println!(
        "{}",
        if report.passed() { report.to_string() } else { failure::text(&report, tape.as_deref()) }
    );
    if let Some(broken) = &report.broken {
        println!("\n{}", broken.story);
    }
    if let Some(path) = &args.tape {
        keep(&script, &report, path)?;
        println!("tape:  {}", path.display());
    }
    Ok(report.passed())
}

/// Plays `script` and writes the page of the run.
fn played_on_a_page(script: &Script, path: &Path) -> Result<Report> {
    let (report, world) = play_recorded(script);
    let report = failure::with_place_of_panic(report);
    let mut notes = vec![
        Note::head("scenario", &*script.scenario),
        Note::head("seed", script.seed.to_string()),
        Note::head("commit", failure::commit()),
        Note::head("hash", format!("{:016x}", report.trace_hash)),
    ];
    let phases =
        [("the faults are over", script.length_ms), ("judged", script.length_ms + script.recovery.within_ms)];
    for (what, at_ms) in phases {
        let at = Time::ZERO + ms(at_ms);
        if at < world.now() {
            notes.push(Note::mark(at, what));
        }
    }
    notes.extend(report.broken.as_ref().map(|broken| Note::Violation(broken.violation.clone())));
    fs::write(path, page(&format!("{}:{}", script.scenario, script.seed), &world, &notes))
        .with_context(|| format!("--trace {}: this file cannot be written", path.display()))?;
    println!("trace: {}", path.display());
    Ok(report)
}

/// Makes the script of a run that breaks a rule as short as it can, and writes it as a tape.
pub fn shrink(what: &str, args: &Args) -> Result<bool> {
    let (script, _) = find(what)?;
    let first = on_a_thread(|| play(&script));
    let Some(broken) = &first.broken else {
        bail!("{what} breaks no rule: there is nothing to shrink");
    };
    let rule = broken.violation.rule;
    println!("{what} breaks \"{rule}\"; {}", size(&script));
    let bar = progress_bar(usize::try_from(TRIES_MAX).unwrap_or(usize::MAX));
    let shrunk = on_a_thread(|| {
        shorten(&script, TRIES_MAX, |shorter| {
            bar.inc(1);
            play(shorter).broken.is_some_and(|broken| broken.violation.rule == rule)
        })
    });
    bar.finish_and_clear();
    let report = on_a_thread(|| play(&shrunk.script));
    let path = args.tape.clone().unwrap_or_else(|| {
        let name = format!("{}-{}.json", script.scenario, script.seed);
        workspace().join("target/sim").join(name)
    });
    keep(&shrunk.script, &report, &path)?;
    println!("{} tries left {}", shrunk.tries, size(&shrunk.script));
    if shrunk.gave_up {
        println!("the tries were used up: shrink the tape once more to go on");
    }
    println!("{}", failure::text(&report, Some(&path)));
    println!("  keep:   mv {} scenarios/regressions/", path.display());
    Ok(false)
}

/// The folder of the sources.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn size(script: &Script) -> String {
    let hosts = script.origins.len() + script.edges.len() + script.encoders.len() + script.viewers.len();
    format!("{} steps, {hosts} hosts, {:.1} s", script.steps.len(), script.length_ms as f64 / 1_000.0)
}

fn keep(script: &Script, report: &Report, path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let broke = report.broken.as_ref().map_or("", |broken| broken.violation.rule).to_owned();
    let commit = failure::commit().to_owned();
    Tape { tape: VERSION, commit, broke, script: script.clone() }.write(path)?;
    Ok(())
}

/// The script of `<scenario>:<seed>`, or of the tape in a file, with its path.
fn find(what: &str) -> Result<(Script, Option<PathBuf>)> {
    match what.rsplit_once(':') {
        Some((name, seed)) if !Path::new(what).exists() => {
            let seed = seed.parse().with_context(|| {
                format!("{what}: the seed {seed:?} is not a number; write it as in origin-crash:4711")
            })?;
            Ok((scenario(name)?.script(seed), None))
        }
        None if !Path::new(what).exists() => {
            bail!("{what}: this is neither a tape nor a run; a run is written as in origin-crash:4711")
        }
        _ => Ok((Tape::read(Path::new(what))?.script, Some(PathBuf::from(what)))),
    }
}

/// Runs on another thread than the first, whose panics are the simulator's own.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let result = std::thread::scope(|scope| scope.spawn(work).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How many shorter scripts are tried.
const TRIES_MAX: u32 = 1_000;
