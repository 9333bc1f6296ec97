//! The matrix of failovers: one fault each, from which an edge has to recover, drawn as narrowly as possible, so that what
//! it costs can be measured, compared and held to a baseline. `cargo xtask failover` plays it.

use crate::cost::{Cost, Run};
use crate::draw::Draw;
use crate::facts::Fact;
use crate::play::play_faults;
use crate::rules::Rule;
use crate::script::{Act, Crash, Link, Origin, STORE, Script};
use crate::stories::Scenario;
use core::time::Duration;
use headwater_core::time::Time;
use headwater_net_sim::World;

/// A fault, and who suffers it.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The story.
    pub scenario: Scenario,
    /// What happens.
    pub fault: Fault,
    /// Whose origins the edge has.
    pub origins: Origins,
    /// How many of them it pulls from besides the one that it plays.
    pub hot_standby: u32,
}

/// What happens to the origin that the edge plays from, unless it says something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is killed, and its kernel says so.
    Kill,
    /// It is stopped where it is (SIGSTOP).
    Freeze,
    /// Its cable is pulled.
    Cable,
    /// It and the edge lose sight of each other.
    Partition,
    /// The edge hears nothing more from it, and it hears the edge.
    Unheard,
    /// It hears nothing more from the edge, and the edge hears it.
    Deaf,
    /// It loses sight of the directory of streams, and nobody else does.
    Store,
    /// The encoder of all origins dies, and is there again a second later.
    Encoder,
    /// Nothing, for ten minutes, on bad wires.
    Nothing,
}

/// Whose origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Headwater's.
    Headwater,
    /// OvenMediaEngine's, as they are modelled.
    OvenMediaEngine,
}

macro_rules! cell {
    ($name:literal, $about:literal, $fault:ident, $origins:ident, $hot_standby:literal) => {
        Cell {
            scenario: Scenario {
                name: concat!("failover-", $name),
                about: $about,
                one_in: 0,
                write: |draw| write(draw, Fault::$fault, Origins::$origins, $hot_standby),
            },
            fault: Fault::$fault,
            origins: Origins::$origins,
            hot_standby: $hot_standby,
        }
    };
}

/// The matrix.
pub const CELLS: &[Cell] = &[
    cell!("kill", "the origin is killed", Kill, Headwater, 0),
    cell!("freeze", "the origin is stopped", Freeze, Headwater, 0),
    cell!("cable", "the origin's cable is pulled", Cable, Headwater, 0),
    cell!("partition", "origin and edge lose sight of each other", Partition, Headwater, 0),
    cell!("unheard", "the edge hears nothing more from the origin", Unheard, Headwater, 0),
    cell!("deaf", "the origin hears nothing more from the edge", Deaf, Headwater, 0),
    cell!("store", "the origin loses sight of the directory", Store, Headwater, 0),
    cell!("encoder", "the encoder dies and is there again a second later", Encoder, Headwater, 0),
    cell!("nothing", "1 % of loss and 50 ms of jitter for ten minutes", Nothing, Headwater, 0),
    cell!("ome-kill", "OvenMediaEngine is killed", Kill, OvenMediaEngine, 0),
    cell!("ome-freeze", "OvenMediaEngine is stopped", Freeze, OvenMediaEngine, 0),
    cell!("ome-cable", "OvenMediaEngine's cable is pulled", Cable, OvenMediaEngine, 0),
    cell!(
        "ome-partition",
        "OvenMediaEngine and edge lose sight of each other",
        Partition,
        OvenMediaEngine,
        0
    ),
    cell!("ome-unheard", "the edge hears nothing more from OvenMediaEngine", Unheard, OvenMediaEngine, 0),
    cell!("ome-deaf", "OvenMediaEngine hears nothing more from the edge", Deaf, OvenMediaEngine, 0),
    cell!("ome-nothing", "1 % of loss and 50 ms of jitter for ten minutes", Nothing, OvenMediaEngine, 0),
    cell!("hot-kill", "the origin is killed, and another is pulled", Kill, Headwater, 1),
    cell!("hot-freeze", "the origin is stopped, and another is pulled", Freeze, Headwater, 1),
    cell!("hot-cable", "the origin's cable is pulled, and another is pulled from", Cable, Headwater, 1),
    cell!(
        "hot-partition",
        "origin and edge lose sight of each other, and another is pulled",
        Partition,
        Headwater,
        1
    ),
    cell!(
        "hot-unheard",
        "the edge hears nothing more from the origin, and another is pulled",
        Unheard,
        Headwater,
        1
    ),
    cell!(
        "hot-deaf",
        "the origin hears nothing more from the edge, and another is pulled",
        Deaf,
        Headwater,
        1
    ),
    cell!("hot-store", "the origin loses sight of the directory, and another is pulled", Store, Headwater, 1),
    cell!(
        "hot-encoder",
        "the encoder dies and is there again a second later, and two origins are pulled",
        Encoder,
        Headwater,
        1
    ),
    cell!(
        "hot-nothing",
        "1 % of loss and 50 ms of jitter for ten minutes, and another is pulled",
        Nothing,
        Headwater,
        1
    ),
    cell!("hot-ome-kill", "OvenMediaEngine is killed, and another is pulled", Kill, OvenMediaEngine, 1),
    cell!("hot-ome-freeze", "OvenMediaEngine is stopped, and another is pulled", Freeze, OvenMediaEngine, 1),
];

impl Cell {
    /// The cell whose scenario has this name.
    pub fn named(name: &str) -> Option<Cell> {
        CELLS.iter().find(|cell| cell.scenario.name == name).copied()
    }

    /// How many changes of the source the fault is the reason of at most.
    pub fn switches(&self) -> usize {
        usize::from(self.fault != Fault::Nothing)
    }

    /// Plays a seed in the simulator: what it cost, and what the edge did since the fault.
    ///
    /// # Errors
    /// The broken rule, or that nobody watched.
    pub fn play(&self, seed: u64) -> Result<Played, String> {
        let script = self.scenario.script(seed);
        let (report, world) = play_faults(&script);
        if !report.passed() {
            return Err(report.to_string());
        }
        self.measure(&script, &world).ok_or_else(|| format!("{}:{seed}: nobody watched", self.scenario.name))
    }

    fn measure(&self, script: &Script, world: &World) -> Option<Played> {
        let (_, viewer) = world.viewers().next()?;
        let (facts, fault) = (Fact::all(world), fault_of(script));
        let record = viewer.record();
        let run = Run { fault, switches: self.switches(), facts: &facts, record, end: world.now() };
        let cost = Cost::of(run);
        let told_from = fault.unwrap_or(Time::ZERO);
        let told = facts.into_iter().filter(|fact| fact.at >= told_from);
        Some(Played {
            cost,
            decisions: told.map(|fact| (fact.at.since(told_from), fact.to_string())).collect(),
        })
    }
}

/// A run of a cell.
#[derive(Clone, Debug)]
pub struct Played {
    /// What it cost.
    pub cost: Cost,
    /// What the edge did, and how long after the fault.
    pub decisions: Vec<(Duration, String)>,
}

/// When the fault of `script` happens, if there is one.
pub fn fault_of(script: &Script) -> Option<Time> {
    script.steps.first().map(|step| Time::ZERO + Duration::from_millis(step.at_ms))
}

fn write(draw: &mut Draw, fault: Fault, origins: Origins, hot_standby: u32) -> Script {
    let mut script = if fault == Fault::Store { Script::with_directory() } else { Script::new() };
    script.link = WIRES;
    script.edges[0].hot_standby = hot_standby;
    if origins == Origins::OvenMediaEngine {
        let encoder = &mut script.encoders[0];
        // Its model makes the same frames twice only if they are counted from the epoch.
        (encoder.to, encoder.synchronised) = (Vec::new(), true);
        let ome = |origin: &mut Origin| origin.ome = Some("encoder".to_owned());
        script.origins.iter_mut().for_each(ome);
    }
    script.viewer("edge", 3_000);
    script.must(Rule::NoFatalError);
    // Anywhere in a part and in a group of pictures.
    let at = draw.number(9_000..=11_000);
    let (source, edge) = (SOURCE.to_owned(), "edge".to_owned());
    let (act, goes_on_ms) = match fault {
        Fault::Kill => (Act::Crash { host: source, how: draw.pick(&[Crash::Fin, Crash::Reset]) }, 4_000),
        Fault::Freeze => (Act::Pause { host: source }, SILENCE_MS),
        Fault::Cable => (Act::Isolate { host: source }, SILENCE_MS),
        Fault::Partition => (Act::Cut { a: source, b: edge }, SILENCE_MS),
        Fault::Unheard => (Act::CutOneWay { from: source, to: edge }, SILENCE_MS),
        Fault::Deaf => (Act::CutOneWay { from: edge, to: source }, SILENCE_MS),
        Fault::Store => (Act::Cut { a: source, b: STORE.to_owned() }, 15_000),
        Fault::Encoder => {
            let encoder = "encoder".to_owned();
            script.at(at + 1_000, Act::Restart { host: encoder.clone() });
            (Act::Crash { host: encoder, how: draw.pick(&[Crash::Fin, Crash::Reset]) }, SILENCE_MS)
        }
        Fault::Nothing => {
            script.link = BAD_WIRES;
            script.length_ms = 600_000;
            return script;
        }
    };
    script.length_ms = at + goes_on_ms;
    script.at(at, act);
    script
}

/// Whatever the edge plays from.
const SOURCE: &str = "source of edge";
/// 20 ms there and back.
const WIRES: Link = Link { latency_ms: 10, jitter_ms: 3, loss_ppm: 0 };
/// What wires are like on which an edge must not lose patience.
const BAD_WIRES: Link = Link { latency_ms: 10, jitter_ms: 50, loss_ppm: 10_000 };
/// After so long an edge with the usual NoInputFailoverTimeout has found something else, and a viewer has seen it.
const SILENCE_MS: u64 = 8_000;
