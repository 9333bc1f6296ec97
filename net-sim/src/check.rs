//! Checkers: observers that read what viewers and programs have recorded and say what must never be.
//!
//! A checker keeps its place in the records, so that it can be asked again and again while the world runs.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use headwater_core::event::{Event, Joined};
use headwater_core::io::Service;
use headwater_core::limits;
use headwater_core::media::Kind;
use headwater_core::time::Time;

use crate::integrity::Mistiming;
use crate::tcp::Connection;
use crate::viewer::Trouble;
use crate::world::{HostId, World};

mod answers;
mod directory;
mod peers;

pub use answers::{
    AnswersMakeSense, FrozenStreamsAreNotServed, PartsAreAsTold, ReloadsAreAnsweredAtOnce,
    ReloadsBringWhatWasAskedFor,
};
pub use directory::{KeysEnd, LosersLearn, NobodyGoesBack, OneOwnerPerEpoch, Stores, StreamsAreFound};
pub use peers::{NobodyIsPestered, OnePullPerStream};

/// What must not be, and is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: &'static str,
    /// When, in the world's time.
    pub at: Time,
    /// Which host noticed.
    pub host: String,
    /// What happened, in a sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.at.as_micros();
        write!(
            f,
            "{} at {}.{:06} s on {}: {}",
            self.rule,
            us / 1_000_000,
            us % 1_000_000,
            self.host,
            self.what
        )
    }
}

impl core::error::Error for Violation {}

/// Something that watches a world.
pub trait Checker {
    /// The rule, in a few words.
    fn rule(&self) -> &'static str;
    /// Looks at everything that is new. Returns the first thing that breaks the rule: when, who, what.
    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)>;
}

/// A set of checkers.
#[derive(Default)]
pub struct Checks(Vec<Box<dyn Checker>>);

impl Checks {
    /// No checkers.
    pub fn none() -> Checks {
        Checks::default()
    }

    /// What must hold in every world, whatever happens to it: nothing about time, and nothing about players that
    /// give up, because a world can be broken enough for that.
    pub fn safety() -> Checks {
        Checks::none()
            .with(SequenceNeverGoesBack::default())
            .with(OneContentPerNumber::default())
            .with(PlaylistsKeepTheRules::default())
            .with(MediaIsIntact::default())
            .with(AnswersMakeSense)
            .with(PartsAreAsTold::default())
            .with(ReloadsBringWhatWasAskedFor::default())
    }

    /// What must hold besides in a world that leaves a way to play: no viewer gives up, and no two arrivals of a
    /// track are further apart than `gap`.
    pub fn unharmed(gap: Duration) -> Checks {
        Checks::safety().with(NoFatalError).with(LongestGap { bound: gap, places: BTreeMap::new() })
    }

    /// These and `checker`.
    pub fn with(mut self, checker: impl Checker + 'static) -> Checks {
        self.add(Box::new(checker));
        self
    }

    /// Adds `checker` to these.
    pub fn add(&mut self, checker: Box<dyn Checker>) {
        self.0.push(checker);
    }

    /// Asks every checker.
    pub fn verify(&mut self, world: &World) -> Result<(), Violation> {
        for checker in &mut self.0 {
            if let Err((at, host, what)) = checker.check(world) {
                let host = world.name(host).to_owned();
                return Err(Violation { rule: checker.rule(), at, host, what });
            }
        }
        Ok(())
    }

    /// Asks every checker.
    ///
    /// # Panics
    /// If a rule is broken, with the end of the world's story and its seed.
    pub fn demand(&mut self, world: &World) {
        if let Err(violation) = self.verify(world) {
            panic!("{violation}\n{}", world.story(STORY_LINES));
        }
    }
}

/// Playlists never end, or begin, before where an earlier one of the same track did.
#[derive(Debug, Default)]
pub struct SequenceNeverGoesBack {
    places: BTreeMap<HostId, usize>,
}

impl Checker for SequenceNeverGoesBack {
    fn rule(&self) -> &'static str {
        "media sequence numbers never go back"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers() {
            let troubles = &viewer.record().troubles;
            let place = self.places.entry(host).or_default();
            for (at, trouble) in troubles.iter().skip(*place) {
                *place += 1;
                if let Trouble::SequenceWentBack { kind, from, to } = trouble {
                    return Err((*at, host, format!("{kind:?} went from {from:?} back to {to:?}")));
                }
            }
        }
        Ok(())
    }
}

/// A number names one content: for one viewer over time, and for all viewers of one URL.
#[derive(Debug, Default)]
pub struct OneContentPerNumber {
    across_servers: bool,
    places: BTreeMap<HostId, usize>,
    contents: BTreeMap<(String, Kind, u64, Option<u32>), u64>,
}

impl OneContentPerNumber {
    /// The same for the servers of one path: a number names one content on all of them.
    pub fn across_servers() -> OneContentPerNumber {
        OneContentPerNumber { across_servers: true, ..OneContentPerNumber::default() }
    }
}

impl Checker for OneContentPerNumber {
    fn rule(&self) -> &'static str {
        "a number never names two contents"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers() {
            let stream = name_of(viewer.url(), self.across_servers);
            let place = self.places.entry(host).or_default();
            for part in viewer.record().parts.iter().skip(*place) {
                *place += 1;
                let name = (stream.to_owned(), part.kind, part.msn, part.part);
                let known = *self.contents.entry(name).or_insert(part.hash);
                if known != part.hash {
                    let number = part.part.map_or(String::new(), |part| format!(" part {part}"));
                    let what =
                        format!("{:?} segment {}{number} has other bytes than before", part.kind, part.msn);
                    return Err((part.at, host, what));
                }
            }
        }
        Ok(())
    }
}

/// Playlists are as their format demands: lengths of parts and segments, gaps, dates, constants.
#[derive(Debug, Default)]
pub struct PlaylistsKeepTheRules {
    places: BTreeMap<HostId, usize>,
}

impl Checker for PlaylistsKeepTheRules {
    fn rule(&self) -> &'static str {
        "playlists keep the rules of their format"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers() {
            let troubles = &viewer.record().troubles;
            let place = self.places.entry(host).or_default();
            for (at, trouble) in troubles.iter().skip(*place) {
                *place += 1;
                if let Trouble::Unruly { kind, msn, what } = trouble {
                    return Err((*at, host, format!("{kind:?} segment {msn}: {what}")));
                }
            }
        }
        Ok(())
    }
}

/// Frames arrive as they were made: every byte, what their decoder has to know, and when they are.
#[derive(Debug, Default)]
pub struct MediaIsIntact {
    places: BTreeMap<HostId, usize>,
}

impl Checker for MediaIsIntact {
    fn rule(&self) -> &'static str {
        "frames arrive as they were made"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers() {
            let troubles = &viewer.record().troubles;
            let place = self.places.entry(host).or_default();
            for (at, trouble) in troubles.iter().skip(*place) {
                *place += 1;
                let (kind, msn, part, what) = match trouble {
                    Trouble::Damaged { kind, msn, part, what } => (kind, msn, part, what.to_string()),
                    // Where a source is joined by the clock, the next frame is where the clock says.
                    Trouble::Mistimed { what: Mistiming::Distance { .. }, .. }
                        if joined_by_the_clock(world, *at) =>
                    {
                        continue;
                    }
                    Trouble::Mistimed { kind, msn, part, what } => (kind, msn, part, what.to_string()),
                    _ => continue,
                };
                let number = part.map_or(String::new(), |part| format!(" part {part}"));
                return Err((*at, host, format!("a frame in {kind:?} segment {msn}{number}: {what}")));
            }
        }
        Ok(())
    }
}

/// Wherever pictures are missing they go on with a key frame: for encoders that leave none out themselves. A player that
/// was left behind starts where it can.
#[derive(Debug, Default)]
pub struct PicturesCanBeDecoded {
    places: BTreeMap<HostId, usize>,
}

impl Checker for PicturesCanBeDecoded {
    fn rule(&self) -> &'static str {
        "pictures can be decoded"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers() {
            let troubles = &viewer.record().troubles;
            let place = self.places.entry(host).or_default();
            for (at, trouble) in troubles.iter().skip(*place) {
                *place += 1;
                if let Trouble::Undecodable { frame, .. } = trouble {
                    return Err((*at, host, format!("what frame {frame} is made from never came")));
                }
            }
        }
        Ok(())
    }
}

/// Whether a source was joined at a key frame so shortly before `at` that a player is only now given what came then.
fn joined_by_the_clock(world: &World, at: Time) -> bool {
    let lately = world.facts().iter().rev().take_while(|fact| at.since(fact.at) < BUFFERED);
    lately
        .filter(|fact| fact.at <= at)
        .any(|fact| matches!(fact.event, Event::PullPlaying { joined: Joined::KeyFrame, .. }))
}

/// Players are this far behind at most.
const BUFFERED: Duration = Duration::from_secs(15);

/// Parts arrive soon after their newest frame was made, from the moment on at which a viewer plays: for calm times.
#[derive(Debug)]
pub struct PartsAreFresh {
    bound: Duration,
    places: BTreeMap<HostId, usize>,
}

impl PartsAreFresh {
    /// No part is older than `bound` when it arrives.
    pub fn within(bound: Duration) -> PartsAreFresh {
        PartsAreFresh { bound, places: BTreeMap::new() }
    }
}

impl Checker for PartsAreFresh {
    fn rule(&self) -> &'static str {
        "parts arrive fresh"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        let bound_us = i64::try_from(self.bound.as_micros()).unwrap_or(i64::MAX);
        for (host, viewer) in world.viewers() {
            let Some(started) = viewer.record().started else { continue };
            let place = self.places.entry(host).or_default();
            for part in viewer.record().parts.iter().skip(*place) {
                *place += 1;
                let fetched_late = part.at <= started + PLAYER_START;
                if let Some(age) = part.age_us
                    && age > bound_us
                    && !fetched_late
                {
                    let what = format!("{:?} segment {} is {age} us old", part.kind, part.msn);
                    return Err((part.at, host, what));
                }
            }
        }
        Ok(())
    }
}

/// Segments are dated as their first frame was made, as far as encoders and servers agree on the time.
#[derive(Debug)]
pub struct DatesAreTrue {
    bound: Duration,
    places: BTreeMap<HostId, usize>,
}

impl DatesAreTrue {
    /// No date is further than `bound` from the moment at which the segment's first frame was made.
    pub fn within(bound: Duration) -> DatesAreTrue {
        DatesAreTrue { bound, places: BTreeMap::new() }
    }
}

impl Checker for DatesAreTrue {
    fn rule(&self) -> &'static str {
        "segments are dated when they were made"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers() {
            let place = self.places.entry(host).or_default();
            for part in viewer.record().parts.iter().skip(*place) {
                *place += 1;
                if let Some(off) = part.date_off_us
                    && u128::from(off.unsigned_abs()) > self.bound.as_micros()
                {
                    let what = format!("{:?} segment {} is dated {off} us too late", part.kind, part.msn);
                    return Err((part.at, host, what));
                }
            }
        }
        Ok(())
    }
}

/// Every frame comes once, in order and from one source: what a cluster owes whose origins have the same encoder.
#[derive(Debug, Default)]
pub struct EveryFrameOnce {
    places: BTreeMap<HostId, usize>,
}

impl Checker for EveryFrameOnce {
    fn rule(&self) -> &'static str {
        "every frame comes once"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers() {
            let troubles = &viewer.record().troubles;
            let place = self.places.entry(host).or_default();
            for (at, trouble) in troubles.iter().skip(*place) {
                *place += 1;
                if let Trouble::FramesLost { .. }
                | Trouble::FramesRepeated { .. }
                | Trouble::SourceChanged { .. } = trouble
                {
                    return Err((*at, host, format!("{trouble:?}")));
                }
            }
        }
        Ok(())
    }
}

/// No viewer gives up.
#[derive(Debug)]
pub struct NoFatalError;

impl Checker for NoFatalError {
    fn rule(&self) -> &'static str {
        "no viewer gives up"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers() {
            if let Some((at, fatal)) = &viewer.record().fatal {
                return Err((*at, host, fatal.to_string()));
            }
        }
        Ok(())
    }
}

/// Parts of a track keep arriving.
#[derive(Debug)]
pub struct LongestGap {
    /// The longest time without one, once the first has arrived.
    pub bound: Duration,
    /// How far every viewer's record was read, and when its tracks were last served.
    pub places: BTreeMap<HostId, (usize, BTreeMap<Kind, Time>)>,
}

impl Checker for LongestGap {
    fn rule(&self) -> &'static str {
        "parts keep arriving"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, viewer) in world.viewers().filter(|(host, _)| world.is_running(*host)) {
            let (place, last) = self.places.entry(host).or_default();
            for part in viewer.record().parts.iter().skip(*place) {
                *place += 1;
                if let Some(before) = last.insert(part.kind, part.at)
                    && part.at.since(before) > self.bound
                {
                    let gap = part.at.since(before);
                    return Err((part.at, host, format!("no {:?} for {gap:?}", part.kind)));
                }
            }
            for (kind, before) in last {
                let gap = world.now().since(*before);
                if gap > self.bound {
                    return Err((world.now(), host, format!("no {kind:?} for {gap:?} and still none")));
                }
            }
        }
        Ok(())
    }
}

/// No queue grows beyond its bound: neither what a machine has handed over and has not left for its peer, nor what it
/// keeps.
///
/// Answers over HTTP are not counted: nobody gets more of them than he has asked for.
#[derive(Clone, Copy, Debug)]
pub struct QueuesBounded {
    /// The longest recent past that an OVT client can be sent at its start, in bytes. By default as much as a machine
    /// may keep; whoever knows the media of a world can be stricter.
    pub history_bytes: usize,
}

impl Default for QueuesBounded {
    fn default() -> Self {
        QueuesBounded { history_bytes: limits::HISTORY_BYTES_MAX + limits::OVT_MEDIA_BYTES_MAX }
    }
}

impl QueuesBounded {
    /// What may be queued for a peer of this service, in bytes.
    fn bound(&self, service: Option<Service>) -> usize {
        // A bound is looked at before the next message is added: each holds with one message more.
        match service {
            Some(Service::Rtmp) => 2 * limits::UNREAD_ANSWERS_BYTES_MAX,
            _ => limits::RELAY_QUEUE_HIGH + self.history_bytes + limits::OVT_MEDIA_BYTES_MAX,
        }
    }

    fn check_connection(&self, world: &World, host: HostId, connection: &Connection) -> Result<(), String> {
        let service = if connection.opened { None } else { world.service(host, connection.port) };
        let bound = self.bound(service);
        if connection.queued > bound {
            let (peer, queued) = (world.name(connection.peer), connection.queued);
            return Err(format!("{queued} bytes are queued for {peer}; the bound is {bound}"));
        }
        Ok(())
    }

    fn check_host(&self, world: &World, host: HostId) -> Result<(), String> {
        let census = world.census(host);
        // What was lately, and segment boundaries: some per second of what was, and more of what was missing.
        let lived_s = usize::try_from(world.now().as_micros() / 1_000_000).unwrap_or(usize::MAX);
        let marks = limits::MEMORY_ACCESS_UNITS + limits::MEMORY_KEY_FRAMES + 64 + 4 * lived_s;
        let bounds = [
            // One more is the directory's.
            ("deadlines", census.deadlines, census.publishers + census.clients + census.streams + 1),
            ("marks", census.marks, census.streams.saturating_mul(marks)),
            ("waiting requests that nobody made", census.waiting_requests, world.unanswered(host)),
            ("streams", census.streams, limits::STREAMS_MAX),
            ("starting pulls", census.starting_pulls, limits::STARTING_PULLS_MAX),
            ("held describes", census.held_describes, limits::HELD_DESCRIBES_MAX * census.streams),
            ("waiting requests", census.waiting_requests, limits::NODE_WAITING_REQUESTS_MAX),
            ("bytes of history", census.history_bytes, self.history_bytes.saturating_mul(census.streams)),
            ("absent streams", census.absent_streams, limits::ABSENT_STREAMS_MAX),
            ("ended streams", census.ended_streams, limits::ENDED_STREAMS_MAX),
            ("outputs", census.outputs, 0),
        ];
        match bounds.into_iter().find(|(_, count, bound)| count > bound) {
            Some((what, count, bound)) => Err(format!("it holds {count} {what}; the bound is {bound}")),
            None => Ok(()),
        }
    }
}

impl Checker for QueuesBounded {
    fn rule(&self) -> &'static str {
        "queues are bounded"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for (host, connection) in world.held_connections().filter(|(_, connection)| !connection.http) {
            let found = self.check_connection(world, host, &connection);
            found.map_err(|what| (world.now(), host, what))?;
        }
        for host in world.machines() {
            self.check_host(world, host).map_err(|what| (world.now(), host, what))?;
        }
        Ok(())
    }
}

/// Machines hold nothing when there is nothing to do. To be asked once everything is quiet: nobody publishes or plays
/// any more, and every deadline has passed.
///
/// What stays: the names of streams that were absent or have ended ([`Census::held`] leaves them out), HTTP
/// connections, which browsers keep open as long as they like, and one to a directory of streams.
///
/// [`Census::held`]: headwater_core::census::Census::held
#[derive(Clone, Copy, Debug)]
pub struct NothingLeaks;

impl NothingLeaks {
    /// Asks one machine only: what it still holds.
    pub fn check_host(world: &World, host: HostId) -> Result<(), String> {
        let held: Vec<String> =
            world.census(host).held().map(|(what, count)| format!("{count} {what}")).collect();
        if !held.is_empty() {
            return Err(format!("it still holds {}", held.join(", ")));
        }
        let mut others = world.connections_of(host).filter(|open| !open.http && !open.is_to_directory());
        let mut directories = world.connections_of(host).filter(Connection::is_to_directory);
        if let Some(open) = directories.nth(1).or_else(|| others.next()) {
            let (peer, port) = (world.name(open.peer), open.port);
            let how = if open.opened { "to" } else { "from" };
            return Err(format!("a connection {how} {peer} (port {port}) is still open"));
        }
        match world.unanswered(host) {
            0 => Ok(()),
            count => Err(format!("{count} requests were never answered")),
        }
    }
}

impl Checker for NothingLeaks {
    fn rule(&self) -> &'static str {
        "nothing leaks"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        for host in world.machines() {
            NothingLeaks::check_host(world, host).map_err(|what| (world.now(), host, what))?;
        }
        Ok(())
    }
}

/// The URL without its query, and without its server if the server does not matter.
fn name_of(url: &str, across_servers: bool) -> &str {
    let url = url.split('?').next().unwrap_or(url);
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.find('/') {
        Some(path) if across_servers => &rest[path..],
        _ => rest,
    }
}

const STORY_LINES: usize = 60;
/// A player that has just begun fetches what has been there for a while.
const PLAYER_START: Duration = Duration::from_secs(2);
