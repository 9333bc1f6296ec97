//! What is said about a broken rule: everything that is needed to see it again.

use std::cell::RefCell;
use std::panic;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use headwater_scenarios::Report;

thread_local! {
    /// Where the last panic of this thread was.
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A program that panics inside of a run is a result, not a mess on the terminal.
pub fn keep_panics_quiet() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("failed printing to")) {
            // Whoever was reading has seen enough, as `head` has.
            std::process::exit(141);
        }
        if std::thread::current().name() == Some("main") {
            return usual(info);
        }
        let place = info.location().map(ToString::to_string);
        PANICKED_AT.with(|last| *last.borrow_mut() = place);
    }));
}

/// Adds the place of the panic to the report of a run in which a program has panicked on this thread.
pub fn with_place_of_panic(mut report: Report) -> Report {
    let place = PANICKED_AT.with(|last| last.borrow_mut().take());
    if let (Some(broken), Some(place)) = (&mut report.broken, place) {
        broken.violation.what = format!("{} at {place}", broken.violation.what);
    }
    report
}

/// The commit whose code runs, with a plus if the code has changed since.
pub fn commit() -> &'static str {
    static COMMIT: OnceLock<String> = OnceLock::new();
    COMMIT.get_or_init(|| {
        let git = |args: &[&str]| {
            let folder = env!("CARGO_MANIFEST_DIR");
            let output = Command::new("git").arg("-C").arg(folder).args(args).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown".to_owned() };
        let clean =
            git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| text.is_empty());
        if clean { commit } else { commit + "+" }
    })
}

/// What to replay `report` by.
pub fn name(report: &Report, tape: Option<&Path>) -> String {
    tape.map_or_else(|| format!("{}:{}", report.scenario, report.seed), |tape| tape.display().to_string())
}

/// Everything about the broken rule of `report`.
pub fn text(report: &Report, tape: Option<&Path>) -> String {
    let Some(broken) = &report.broken else { return report.to_string() };
    let name = name(report, tape);
    format!(
        "FAILED  {name}  (commit {}, hash {:016x})\n  rule:   {}\n  event:  {}, at {:?} of the run\n  host:   {}\n  what:   {}\n  \
         replay: cargo xtask sim --replay {name} --trace run.html\n  shrink: cargo xtask sim --shrink {name}",
        commit(),
        report.trace_hash,
        broken.violation.rule,
        report.events,
        report.simulated,
        broken.violation.host,
        broken.violation.what,
    )
}
