//! A recording: everything that the page of a run shows and that nobody keeps otherwise. It is off unless
//! [`World::record`](crate::World::record) asks for it, changes nothing that happens, and is bounded: of every kind
//! of thing the newest are kept, and how many are gone is known. It knows nothing of how it will be drawn.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use headwater_core::event::Severity;
use headwater_core::time::Time;

use crate::net::Way;
use crate::tcp::{ConnNo, Segment, Side};
use crate::trace::{Entry, What};
use crate::world::HostId;

/// The newest of many, and how many were before them.
#[derive(Clone, Debug)]
pub(crate) struct Newest<T> {
    kept: VecDeque<T>,
    limit: usize,
    gone: u64,
}

impl<T> Newest<T> {
    fn new(limit: usize) -> Newest<T> {
        Newest { kept: VecDeque::new(), limit, gone: 0 }
    }

    fn push(&mut self, one: T) {
        if self.kept.len() == self.limit {
            self.kept.pop_front();
            self.gone += 1;
        }
        self.kept.push_back(one);
    }

    /// The one that was pushed as number `number`, counted from zero, unless it is gone.
    fn numbered(&mut self, number: u64) -> Option<&mut T> {
        let place = usize::try_from(number.checked_sub(self.gone)?).ok()?;
        self.kept.get_mut(place)
    }

    /// The number of the next one.
    fn next(&self) -> u64 {
        self.gone + self.kept.len() as u64
    }

    /// Those that are kept, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.kept.iter()
    }

    /// How many are not kept any more.
    pub(crate) fn gone(&self) -> u64 {
        self.gone
    }
}

/// What travels between two hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cargo {
    /// The answer to a request: its status.
    Answer(u16),
    /// The body of an answer.
    Body,
    /// A request is given up.
    Cancel,
    /// Bytes of a stream.
    Data,
    /// A datagram.
    Datagram,
    /// The end of a stream.
    Fin,
    /// There is no such server.
    Refused,
    /// What is asked for.
    Request(String),
    /// There is no such connection.
    Rst,
    /// A connection is wanted.
    Syn,
    /// It is given.
    SynAck,
}

impl Cargo {
    pub(crate) fn of(segment: &Segment) -> Cargo {
        match segment {
            Segment::Data(_) => Cargo::Data,
            Segment::Request { request, .. } => Cargo::Request(request.uri().to_string()),
            Segment::Cancel { .. } => Cargo::Cancel,
            Segment::Head { status, .. } => Cargo::Answer(status.as_u16()),
            Segment::Body { .. } => Cargo::Body,
            Segment::Fin => Cargo::Fin,
            Segment::Rst => Cargo::Rst,
        }
    }
}

/// What messages that belong together travel in, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    /// What an end of a connection sends.
    Connection(ConnNo, Side),
    /// Datagrams from one host to another.
    Datagrams(HostId, HostId),
}

/// A message between two hosts, or a burst of data in one flow.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) sent: Time,
    /// When the last of the burst left.
    pub(crate) last_sent: Time,
    /// When the first of it arrives; none if it gets stuck on its way.
    pub(crate) arrived: Option<Time>,
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) flow: Flow,
    pub(crate) cargo: Cargo,
    pub(crate) bytes: u64,
    /// How many it stands for.
    pub(crate) count: u64,
}

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Running,
    /// Its program is stopped (SIGSTOP).
    Paused,
    /// Its program was asked to stop.
    Stopping,
    /// No program runs.
    Down,
    /// It has no power.
    Dark,
}

/// A wire changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireChange {
    pub(crate) at: Time,
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) way: Way,
}

/// A viewer's buffer from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) at: Time,
    /// How far it reaches ahead of the playhead.
    pub(crate) ahead: Duration,
    /// Whether it is being played, and so falls as fast as time goes by.
    pub(crate) playing: bool,
}

impl Level {
    /// What is left of it at `now`.
    fn left(&self, now: Time) -> Duration {
        if self.playing { self.ahead.saturating_sub(now.since(self.at)) } else { self.ahead }
    }
}

/// What is kept of one host.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// What a reader looks for.
    pub(crate) loud: Newest<Entry>,
    /// What happens all the time: packets, timers, parts.
    pub(crate) quiet: Newest<Entry>,
    pub(crate) conditions: Newest<(Time, Condition)>,
    pub(crate) levels: Newest<Level>,
    last_condition: Option<Condition>,
    last_level: Option<Level>,
}

impl Lane {
    fn new() -> Lane {
        Lane {
            loud: Newest::new(LOUD_MAX),
            quiet: Newest::new(QUIET_MAX),
            conditions: Newest::new(CONDITIONS_MAX),
            levels: Newest::new(LEVELS_MAX),
            last_condition: None,
            last_level: None,
        }
    }
}

/// What is kept of a run.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    lanes: BTreeMap<HostId, Lane>,
    pub(crate) messages: Newest<Message>,
    pub(crate) wires: Newest<WireChange>,
    /// The burst of data that every flow is adding to: its number among the messages.
    bursts: BTreeMap<Flow, u64>,
}

impl Recording {
    pub(crate) fn new() -> Recording {
        Recording {
            lanes: BTreeMap::new(),
            messages: Newest::new(MESSAGES_MAX),
            wires: Newest::new(WIRES_MAX),
            bursts: BTreeMap::new(),
        }
    }

    pub(crate) fn lane(&self, host: HostId) -> Option<&Lane> {
        self.lanes.get(&host)
    }

    fn lane_mut(&mut self, host: HostId) -> &mut Lane {
        self.lanes.entry(host).or_insert_with(Lane::new)
    }

    pub(crate) fn entry(&mut self, entry: Entry) {
        let lane = self.lane_mut(entry.host);
        if is_quiet(&entry.what) { lane.quiet.push(entry) } else { lane.loud.push(entry) }
    }

    pub(crate) fn condition(&mut self, at: Time, host: HostId, condition: Condition) {
        let lane = self.lane_mut(host);
        if lane.last_condition.replace(condition) != Some(condition) {
            lane.conditions.push((at, condition));
        }
    }

    pub(crate) fn wire(&mut self, change: WireChange) {
        self.wires.push(change);
    }

    /// A buffer is worth a line when it is not what playing alone would have left of it.
    pub(crate) fn level(&mut self, host: HostId, level: Level) {
        let lane = self.lane_mut(host);
        let expected = lane.last_level.map(|last| (last.left(level.at), last.playing));
        let near = |left: Duration| left.abs_diff(level.ahead) < LEVEL_STEP;
        if expected.is_some_and(|(left, playing)| playing == level.playing && near(left)) {
            return;
        }
        lane.last_level = Some(level);
        lane.levels.push(level);
    }

    /// Something is sent. Data that follows data soon, and fares alike, joins it.
    pub(crate) fn message(&mut self, message: Message) {
        let flow = message.flow;
        if !matches!(message.cargo, Cargo::Data | Cargo::Datagram) {
            self.bursts.remove(&flow);
            return self.messages.push(message);
        }
        let burst = self.bursts.get(&flow).copied().and_then(|number| self.messages.numbered(number));
        if let Some(burst) = burst
            && message.sent.since(burst.sent) < BURST
            && message.arrived.is_some() == burst.arrived.is_some()
        {
            burst.last_sent = message.sent;
            burst.bytes += message.bytes;
            burst.count += message.count;
            return;
        }
        if self.bursts.len() >= MESSAGES_MAX {
            let oldest = self.messages.gone();
            self.bursts.retain(|_, number| *number >= oldest);
        }
        self.bursts.insert(flow, self.messages.next());
        self.messages.push(message);
    }
}

/// Whether it happens all the time in a run without faults.
fn is_quiet(what: &What) -> bool {
    match what {
        What::Fetched(_, Ok(status), _) => *status < 400,
        What::Datagram(..) | What::Received(..) | What::Sent(..) | What::Timeout(_) | What::Request(..) => {
            true
        }
        What::Event(event) => event.severity() == Severity::Debug,
        _ => false,
    }
}

/// Data of one connection that leaves within so long is one message: a frame, but not two.
const BURST: Duration = Duration::from_millis(20);
/// A buffer that differs less than this from what was expected is as expected.
const LEVEL_STEP: Duration = Duration::from_millis(5);
/// Kept of every host.
const LOUD_MAX: usize = 20_000;
/// Kept of every host: at 30 frames per second with sound, about the last two minutes of an origin.
const QUIET_MAX: usize = 20_000;
/// Kept of every host.
const CONDITIONS_MAX: usize = 10_000;
/// Kept of every viewer.
const LEVELS_MAX: usize = 50_000;
/// Kept of a world.
const MESSAGES_MAX: usize = 200_000;
/// Kept of a world.
const WIRES_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Viewer;
    use crate::world::World;

    fn hosts() -> (HostId, HostId) {
        let mut world = World::new(1);
        let a = world.viewer("a", Viewer::new("http://b/"));
        let b = world.prober("b");
        (a, b)
    }

    fn message(side: Side, sent_ms: u64, arrived: bool, cargo: Cargo) -> Message {
        let (from, to) = hosts();
        let sent = Time::from_micros(sent_ms * 1_000);
        let arrived = arrived.then(|| sent + Duration::from_millis(1));
        let flow = Flow::Connection(7, side);
        Message { sent, last_sent: sent, arrived, from, to, flow, cargo, bytes: 10, count: 1 }
    }

    #[test]
    fn the_newest_are_kept_and_the_others_counted() {
        let mut newest = Newest::new(3);
        (0..5).for_each(|n| newest.push(n));
        assert_eq!(newest.iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((newest.gone(), newest.next()), (2, 5));
        assert_eq!(newest.numbered(4), Some(&mut 4));
        assert_eq!(newest.numbered(1), None);
        assert_eq!(newest.numbered(5), None);
    }

    #[test]
    fn data_in_quick_succession_is_one_message_and_nothing_else_is_joined() {
        let mut recording = Recording::new();
        for (ms, arrived, cargo) in [
            (0, true, Cargo::Data),
            (19, true, Cargo::Data),
            (20, true, Cargo::Data),
            (25, false, Cargo::Data),
            (26, true, Cargo::Fin),
            (27, true, Cargo::Fin),
        ] {
            recording.message(message(Side::Client, ms, arrived, cargo));
        }
        recording.message(message(Side::Server, 28, true, Cargo::Data));
        let counts: Vec<_> = recording.messages.iter().map(|m| (m.count, m.bytes)).collect();
        assert_eq!(counts, [(2, 20), (1, 10), (1, 10), (1, 10), (1, 10), (1, 10)]);
    }

    #[test]
    fn a_buffer_that_is_only_played_takes_no_room() {
        let (host, _) = hosts();
        let mut recording = Recording::new();
        let mut at = |ms: u64, ahead: u64, playing| {
            let (at, ahead) = (Time::from_micros(ms * 1_000), Duration::from_millis(ahead));
            recording.level(host, Level { at, ahead, playing });
        };
        at(0, 1_000, true);
        at(300, 700, true);
        at(900, 100, true);
        at(900, 600, true);
        at(1_500, 0, true);
        at(1_500, 0, false);
        at(2_500, 0, false);
        let levels = recording.lane(host).unwrap().levels.iter().map(|level| level.ahead.as_millis());
        assert_eq!(levels.collect::<Vec<_>>(), [1_000, 600, 0]);
    }
}
