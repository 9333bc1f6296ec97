//! Many streams on one edge when their origin dies, with real processes beside the simulator: how soon all of them are
//! switched, and what that costs the edge.

use std::time::Duration;

use anyhow::{Context, Result};
use headwater_core::time::Time;
use headwater_engines::outcome::{Outcome, Usage};
use headwater_engines::{loopback, simulator};
use headwater_net_real::files;
use headwater_scenarios::Script;
use headwater_scenarios::cost::Spread;
use headwater_scenarios::script::Link;
use headwater_scenarios::stories::many_streams::{Fate, script};
use headwater_scenarios::switches::Switches;
use serde_json::{Value, json};

/// A way to lose an origin.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// What it is called.
    pub name: &'static str,
    fate: Fate,
    hot_standby: u32,
}

/// All of them.
pub const CELLS: [Cell; 4] = [
    Cell { name: "kill", fate: Fate::Killed, hot_standby: 0 },
    Cell { name: "freeze", fate: Fate::Stopped, hot_standby: 0 },
    Cell { name: "hot-kill", fate: Fate::Killed, hot_standby: 1 },
    Cell { name: "hot-freeze", fate: Fate::Stopped, hot_standby: 1 },
];

/// The cells of these names; all of them if there is none.
///
/// # Errors
/// If there is no such cell.
pub fn cells(names: &[String]) -> Result<Vec<Cell>> {
    if names.is_empty() {
        return Ok(CELLS.to_vec());
    }
    let named = |name: &String| {
        let known = CELLS.map(|cell| cell.name).join(", ");
        let cell = CELLS.into_iter().find(|cell| cell.name == name);
        cell.with_context(|| format!("there is no way {name:?} to lose an origin; there are {known}"))
    };
    names.iter().map(named).collect()
}

/// What came of a cell.
pub struct Line {
    cell: Cell,
    here: Figures,
    simulated: Figures,
    /// What was wrong.
    pub failures: Vec<String>,
}

/// What a run was like.
struct Figures {
    switches: Switches,
    load: Option<Load>,
}

/// What processes used in the second before the origin died and in the second after.
struct Load {
    /// The edge's processor time.
    edge: [Duration; 2],
    /// That of all processes, the encoders' included.
    all: [Duration; 2],
    /// The edge's memory when the origin died, and the most since.
    edge_kib: [u64; 2],
}

/// Plays a cell with so many streams on both engines.
///
/// # Errors
/// If an engine cannot play it.
pub fn play(cell: Cell, streams: u32) -> Result<Line> {
    // Both ends of every encoder's and viewer's connection are on this machine, one of them in this process.
    files::raise_limit()?;
    let mut script = script(streams, cell.fate, cell.hot_standby, FAULT_MS);
    // Loopback is as fast as it is; the simulator gets the same wires.
    script.link = Link { latency_ms: 0, jitter_ms: 0, loss_ppm: 0 };
    let outcome = loopback::play(&script)?;
    let mut failures = outcome.broken(&script, Duration::ZERO);
    let here = Figures::of(&script, &outcome)?;
    failures.extend(here.load.as_ref().and_then(|load| load.wrong(streams)));
    let simulated = Figures::of(&script, &simulator::play(&script)?)?;
    Ok(Line { cell, here, simulated, failures })
}

impl Figures {
    fn of(script: &Script, outcome: &Outcome) -> Result<Figures> {
        let fault = outcome.first_step.context("nothing happened")?;
        let edge = &script.edges.first().context("there is no edge")?.name;
        let origin = &script.origins.first().context("there is no origin")?.name;
        let load = Load::of(&outcome.usage, edge, fault);
        Ok(Figures { switches: Switches::of(&outcome.facts, edge, origin, fault), load })
    }

    fn text(&self) -> String {
        let Figures { switches, load } = self;
        let Switches { bereft, exact, dials, dials_at_once, .. } = switches;
        let [p50, p99, max] = self.milliseconds();
        let load = load.as_ref().map(Load::text).unwrap_or_default();
        format!("{bereft:>7}  {p50:>7} {p99:>7} {max:>7}  {exact:>6}  {dials:>6} {dials_at_once:>7}  {load}")
    }

    fn json(&self) -> Value {
        let Switches { played, bereft, after, exact, dials, dials_at_once } = &self.switches;
        let [p50, p99, max] = self.milliseconds();
        json!({
            "played": played, "streams": bereft, "switched": after.len(), "exact": exact, "dials": dials,
            "dials_at_once": dials_at_once, "switch_ms": { "p50": p50, "p99": p99, "max": max },
            "load": self.load.as_ref().map(Load::json),
        })
    }

    /// When half of the streams, 99 of 100 and all of them were switched.
    fn milliseconds(&self) -> [String; 3] {
        let text = |time: Option<Duration>| {
            time.map_or("-".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1e3))
        };
        let spread = Spread::of(&self.switches.after);
        [spread.map(|it| it.p50), spread.map(|it| it.p99), spread.map(|it| it.max)].map(text)
    }
}

impl Load {
    fn of(usage: &[Usage], edge: &str, fault: Time) -> Option<Load> {
        let second = Duration::from_secs(1);
        let spans = [(fault - second, fault), (fault, fault + second)];
        let of_edge: Vec<&Usage> = usage.iter().filter(|usage| usage.process == edge).collect();
        let mut processes: Vec<&str> = usage.iter().map(|usage| usage.process.as_str()).collect();
        processes.sort_unstable();
        processes.dedup();
        let all = spans.map(|span| processes.iter().filter_map(|process| spent(usage, process, span)).sum());
        let before = of_edge.iter().rfind(|usage| usage.at <= fault)?.resident_kib;
        let most = of_edge.iter().filter(|usage| usage.at > fault).map(|usage| usage.resident_kib).max()?;
        Some(Load {
            edge: [spent(usage, edge, spans[0])?, spent(usage, edge, spans[1])?],
            all,
            edge_kib: [before, most],
        })
    }

    /// What is wrong if the edge has no bound.
    fn wrong(&self, streams: u32) -> Option<String> {
        let [before, most] = self.edge_kib;
        let bound = before + u64::from(streams) * GROWS_KIB + SLACK_KIB;
        (most > bound).then(|| format!("the edge grew from {before} to {most} KiB, over {bound}"))
    }

    fn text(&self) -> String {
        let [before, after] = self.edge.map(|time| time.as_secs_f64());
        let [all_before, all_after] = self.all.map(|time| time.as_secs_f64());
        let [mib, most_mib] = self.edge_kib.map(|kib| kib / 1_024);
        format!("{before:>6.2} {after:>6.2}  {all_before:>6.2} {all_after:>6.2}  {mib:>6} {most_mib:>6}")
    }

    fn json(&self) -> Value {
        let seconds = |times: [Duration; 2]| times.map(|time| time.as_secs_f64());
        json!({
            "edge_cpu_s": seconds(self.edge), "all_cpu_s": seconds(self.all),
            "edge_mib": self.edge_kib.map(|kib| kib / 1_024),
        })
    }
}

/// The processor time that a process spent between two moments, from the samples next to them.
fn spent(usage: &[Usage], process: &str, (from, until): (Time, Time)) -> Option<Duration> {
    let by = |moment: Time| usage.iter().rfind(|usage| usage.process == process && usage.at <= moment);
    let first = by(from)?;
    let last = by(until).filter(|last| last.at > first.at)?;
    let span = last.at.since(first.at).as_secs_f64();
    Some((last.cpu - first.cpu).mul_f64(until.since(from).as_secs_f64() / span))
}

impl Line {
    /// Both engines' lines of the table.
    pub fn text(&self) -> String {
        let name = self.cell.name;
        format!("{name:<12} loopback   {}\n{:<12} simulator  {}", self.here.text(), "", self.simulated.text())
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        json!({
            "cell": self.cell.name, "loopback": self.here.json(), "simulator": self.simulated.json(),
            "failures": self.failures,
        })
    }
}

/// The first lines of the table.
pub fn head() -> String {
    format!(
        "{:<12} {:<9}  {:>7}  {:^23}  {:>6}  {:>6} {:>7}  {:^13}  {:^13}  {:^13}\n{:<22}  {:>7}  {:>7} {:>7} {:>7}  {:>6}  \
         {:>6} {:>7}  {:>6} {:>6}  {:>6} {:>6}  {:>6} {:>6}",
        "cell",
        "engine",
        "streams",
        "switched after [ms]",
        "exact",
        "dials",
        "at once",
        "edge CPU [s]",
        "all CPU [s]",
        "edge [MiB]",
        "",
        "",
        "p50",
        "p99",
        "max",
        "",
        "",
        "",
        "before",
        "after",
        "before",
        "after",
        "before",
        "after"
    )
}

/// When the origin dies: the edge's memory is as full as it gets by then.
const FAULT_MS: u64 = 24_000;
/// By how much the edge may grow for each stream: the recent past that the next origin hands over, twice.
const GROWS_KIB: u64 = 2 * 4 * 18;
/// By how much it may grow besides.
const SLACK_KIB: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_second_before_and_the_second_after() {
        let fault = Time::ZERO + Duration::from_secs(2);
        let sample = |at_ms: u64, process: &str, cpu_ms: u64, resident_kib: u64| Usage {
            process: process.to_owned(),
            at: Time::ZERO + Duration::from_millis(at_ms),
            cpu: Duration::from_millis(cpu_ms),
            resident_kib,
        };
        let usage = [
            sample(1_000, "edge", 100, 1_000),
            sample(1_000, "origin", 50, 1),
            sample(2_000, "edge", 200, 2_000),
            sample(2_000, "origin", 100, 1),
            sample(2_500, "edge", 600, 9_000),
            sample(3_000, "edge", 800, 3_000),
            sample(3_000, "origin", 150, 1),
            sample(4_000, "edge", 900, 3_000),
        ];
        let load = Load::of(&usage, "edge", fault).unwrap();
        let ms = Duration::from_millis;
        assert_eq!((load.edge, load.all), ([ms(100), ms(600)], [ms(150), ms(650)]));
        assert_eq!(load.edge_kib, [2_000, 9_000]);
        assert_eq!(load.wrong(1), None);
        assert!(Load { edge_kib: [2_000, 40_000], ..load }.wrong(1).is_some());
        assert!(Load::of(&[], "edge", fault).is_none());
    }
}
