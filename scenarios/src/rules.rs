//! What a script can demand of its run, as data, and the checkers that hold a simulated run to it. What must hold in
//! every run is not here: see `play`.

use core::ops::Range;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use headwater_core::census::Census;
use headwater_core::event::Event;
use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::check::{
    DatesAreTrue, EveryFrameOnce, LongestGap, NoFatalError, PartsAreFresh, PicturesCanBeDecoded,
    ReloadsAreAnsweredAtOnce, Stores, StreamsAreFound,
};
use headwater_net_sim::viewer::Trouble;
use headwater_net_sim::{Checker, HostId, World, ms};
use serde::{Deserialize, Serialize};

use crate::facts::Fact;
use crate::script::{Edge, Encoder, Script};
use crate::switches::Switches;

/// A demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Rule {
    /// Parts of a track keep arriving at every viewer, never further apart than this.
    Gap {
        /// The longest time without a part.
        ms: u64,
    },
    /// This viewer gets every frame once, and parts never further apart than this, whatever happens to others.
    Unharmed {
        /// The viewer.
        viewer: String,
        /// The longest time without a part.
        ms: u64,
    },
    /// No viewer's picture stands still for longer than this in all.
    Stall {
        /// The longest time.
        ms: u64,
    },
    /// Every frame comes once, in order and from one encoder.
    EveryFrameOnce,
    /// No viewer sees a frame twice.
    NoFrameTwice,
    /// No origin ends a stream.
    NoStreamEnds,
    /// No viewer gives up.
    NoFatalError,
    /// Whenever an edge loses its source it plays another one after this at the latest.
    Failover {
        /// The longest time without media.
        ms: u64,
    },
    /// A server that was asked to go is gone by this moment, until it is started anew.
    Gone {
        /// The server.
        host: String,
        /// In milliseconds from the beginning.
        by_ms: u64,
        /// When it is started anew at the earliest.
        until_ms: u64,
    },
    /// An origin is lost at a moment, and every stream that an edge played from it is played from elsewhere, or covered
    /// for, this soon after it.
    AllSwitched {
        /// The edge.
        edge: String,
        /// The origin.
        origin: String,
        /// How many streams it plays by then.
        streams: u32,
        /// The moment, in milliseconds from the beginning.
        from_ms: u64,
        /// The longest time.
        ms: u64,
    },
    /// A server never holds more media than this: what viewers and edges may ask for, what has no place yet, and what has
    /// not left.
    Holds {
        /// The server.
        host: String,
        /// The most, in KiB.
        kib: u64,
    },
    /// An edge never changes its source.
    NoFailover,
    /// A stream's first part is at a viewer this long after it came.
    FirstPart {
        /// The longest time.
        ms: u64,
    },
    /// A part's newest frame is at a viewer this long after the encoder has made it. For calm times.
    Fresh {
        /// The longest time.
        ms: u64,
    },
    /// The date of a segment is the moment at which the encoder made its first frame, give or take this.
    Dated {
        /// The largest difference.
        ms: u64,
    },
    /// An edge tries servers no more often than this, over the whole run and for all streams.
    Dials {
        /// The edge.
        edge: String,
        /// The most tries.
        most: u32,
    },
    /// An edge gives up a stream once in each of these spans, in milliseconds from the beginning, and at no other time
    /// while there are faults.
    LetGo {
        /// The edge.
        edge: String,
        /// The spans, in the order of time: the earliest and the latest moment.
        spans: Vec<(u64, u64)>,
    },
    /// In this span, in milliseconds from the beginning, the edge plays from this server and no other. What happens in
    /// the moment with which the span ends is not looked at: where packets take no time, a fault and what follows from
    /// it have the same moment.
    PlaysFrom {
        /// The edge.
        edge: String,
        /// The server.
        server: String,
        /// The first moment.
        from_ms: u64,
        /// The first moment after it.
        until_ms: u64,
    },
    /// Who comes later is shown at least the numbers that others had been given by then, also by a server that has
    /// been started anew.
    NumbersGoOn,
    /// An edge gives up a stream that it never had after exactly so many tries.
    Attempts {
        /// The edge.
        edge: String,
        /// How many.
        count: u32,
    },
    /// A blocking reload is answered this long after there is what it waits for, its way included. For calm times.
    Reload {
        /// The longest time.
        ms: u64,
    },
    /// Who asks for hinted parts gets them. For calm times.
    HintsAreKept,
    /// A stream that an origin has is in the directory, and leads there, this long after the origin and the store can talk.
    Found {
        /// The longest time.
        ms: u64,
    },
    /// A poller is always answered with this status.
    Answer {
        /// The poller.
        poller: String,
        /// The HTTP status.
        status: u16,
    },
    /// A poller is answered this soon, whatever the answer is.
    AnsweredWithin {
        /// The poller.
        poller: String,
        /// The longest wait.
        ms: u64,
    },
    /// Wherever pictures are missing they go on with a key frame: for encoders that leave none out themselves.
    Decodable,
    /// Under one name every server gives the same bytes, unless a server has said that it doubts it.
    SameEverywhere {
        /// The fewest segments that two servers have given by then.
        least: u64,
        /// In milliseconds from the beginning.
        by_ms: u64,
        /// Of them, the most that may differ, because one of the servers lacked media.
        differ: u64,
    },
    /// A viewer's playlists have no more discontinuities than this.
    Discontinuities {
        /// The most.
        most: u64,
    },
}

impl Rule {
    /// Whether it is about the time of the faults only, and not about the recovery from them.
    pub fn is_about_faults_only(&self) -> bool {
        matches!(
            self,
            Rule::NoFailover
                | Rule::NoStreamEnds
                | Rule::Attempts { .. }
                | Rule::Gone { .. }
                | Rule::Dials { .. }
                | Rule::LetGo { .. }
                | Rule::Reload { .. }
                | Rule::HintsAreKept
        )
    }

    /// Who watches over it. What pollers are answered has no checker: who asks knows the answer.
    pub fn checker(&self, stores: &Stores) -> Option<Box<dyn Checker>> {
        Some(match *self {
            Rule::Gap { ms: bound } => Box::new(LongestGap { bound: ms(bound), places: BTreeMap::new() }),
            Rule::Unharmed { ref viewer, ms: bound } => {
                Box::new(Unharmed { viewer: viewer.clone(), bound: ms(bound) })
            }
            Rule::Stall { ms: bound } => Box::new(LongestStall { bound: ms(bound) }),
            Rule::EveryFrameOnce => Box::new(EveryFrameOnce::default()),
            Rule::NoFatalError => Box::new(NoFatalError),
            Rule::NoFrameTwice => Box::new(NoFrameTwice::default()),
            Rule::NoStreamEnds => Box::new(NoStreamEnds::default()),
            Rule::Failover { ms: bound } => Box::new(FailoverWithin { bound: ms(bound), place: 0 }),
            Rule::Gone { ref host, by_ms, until_ms } => {
                Box::new(Gone { host: host.clone(), span: Time::ZERO + ms(by_ms)..Time::ZERO + ms(until_ms) })
            }
            Rule::NoFailover => Box::new(NoFailover::default()),
            Rule::FirstPart { ms: bound } => {
                Box::new(FirstPartWithin { bound: ms(bound), came: BTreeMap::new() })
            }
            Rule::Fresh { ms: bound } => Box::new(PartsAreFresh::within(ms(bound))),
            Rule::Dated { ms: bound } => Box::new(DatesAreTrue::within(ms(bound))),
            Rule::Dials { ref edge, most } => {
                Box::new(FewDials { edge: edge.clone(), most, place: 0, count: 0 })
            }
            Rule::LetGo { ref edge, ref spans } => {
                Box::new(LetGo { edge: edge.clone(), spans: spans.clone(), place: 0, count: 0 })
            }
            Rule::PlaysFrom { ref edge, ref server, from_ms, until_ms } => Box::new(PlaysFrom {
                edge: edge.clone(),
                server: format!("ovt://{server}:"),
                span: Time::ZERO + ms(from_ms)..Time::ZERO + ms(until_ms),
                place: 0,
                playing: String::new(),
            }),
            Rule::AllSwitched { ref edge, ref origin, streams, from_ms, ms: bound } => {
                Box::new(AllSwitched {
                    edge: edge.clone(),
                    origin: origin.clone(),
                    streams,
                    fault: Time::ZERO + ms(from_ms),
                    bound: ms(bound),
                    looked: false,
                })
            }
            Rule::Holds { ref host, kib } => Box::new(Holds { host: host.clone(), kib }),
            Rule::NumbersGoOn => Box::new(NumbersGoOn::default()),
            Rule::Reload { ms: bound } => Box::new(ReloadsAreAnsweredAtOnce::within(ms(bound))),
            Rule::HintsAreKept => Box::new(HintsAreKept),
            Rule::Attempts { ref edge, count } => {
                Box::new(Attempts { edge: edge.clone(), expected: count, place: 0, count: 0 })
            }
            Rule::Found { ms: bound } => Box::new(StreamsAreFound::within(ms(bound), stores)),
            Rule::Decodable => Box::new(PicturesCanBeDecoded::default()),
            Rule::SameEverywhere { least, by_ms, differ } => Box::new(SameEverywhere {
                least,
                by: Time::ZERO + ms(by_ms),
                differ: usize::try_from(differ).unwrap_or(usize::MAX),
                given: BTreeMap::new(),
                common: BTreeSet::new(),
                different: BTreeSet::new(),
                places: BTreeMap::new(),
                doubted: false,
                facts: 0,
            }),
            Rule::Discontinuities { most } => Box::new(FewDiscontinuities { most, places: BTreeMap::new() }),
            Rule::Answer { .. } | Rule::AnsweredWithin { .. } => return None,
        })
    }
}

type Finding = Result<(), (Time, HostId, String)>;

/// What viewers have seen they do not see again.
#[derive(Default)]
struct NoFrameTwice {
    places: BTreeMap<HostId, usize>,
}

impl Checker for NoFrameTwice {
    fn rule(&self) -> &'static str {
        "no frame comes twice"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers() {
            let troubles = &viewer.record().troubles;
            let place = self.places.entry(host).or_default();
            for (at, trouble) in troubles.iter().skip(*place) {
                *place += 1;
                if let Trouble::FramesRepeated { .. } = trouble {
                    return Err((*at, host, format!("{trouble:?}")));
                }
            }
        }
        Ok(())
    }
}

/// Publishers may go and come: the stream stays.
#[derive(Default)]
struct NoStreamEnds {
    place: usize,
}

impl Checker for NoStreamEnds {
    fn rule(&self) -> &'static str {
        "a stream waits for its publisher"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.facts().iter().skip(self.place) {
            self.place += 1;
            if let Event::PublishEnded { why, .. } = &fact.event {
                return Err((fact.at, fact.host, why.clone()));
            }
        }
        Ok(())
    }
}

/// A stream that cannot be had is given up when it should.
struct Attempts {
    edge: String,
    expected: u32,
    place: usize,
    count: u32,
}

impl Checker for Attempts {
    fn rule(&self) -> &'static str {
        "every server is tried as often as configured"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.facts().iter().skip(self.place) {
            self.place += 1;
            if world.name(fact.host) != self.edge {
                continue;
            }
            self.count += u32::from(matches!(fact.event, Event::PullDialled { .. }));
            if matches!(fact.event, Event::PullEnded { .. }) {
                let tries = core::mem::take(&mut self.count);
                if tries != self.expected {
                    let what = format!("it was given up after {tries} tries instead of {}", self.expected);
                    return Err((fact.at, fact.host, what));
                }
            }
        }
        Ok(())
    }
}

/// A server that nobody needs does not stay.
struct Gone {
    host: String,
    span: Range<Time>,
}

impl Checker for Gone {
    fn rule(&self) -> &'static str {
        "a server that was asked to go goes"
    }

    fn check(&mut self, world: &World) -> Finding {
        let now = world.now();
        let here = world.hosts().find(|host| world.name(*host) == self.host && world.is_running(*host));
        match here.filter(|_| self.span.contains(&now)) {
            Some(host) => Err((now, host, "it is still there".to_owned())),
            None => Ok(()),
        }
    }
}

/// Playlists break only where something has broken.
struct FewDiscontinuities {
    most: u64,
    /// How far every viewer's record was read, and the number of discontinuities at its beginning.
    places: BTreeMap<HostId, (usize, u64)>,
}

impl Checker for FewDiscontinuities {
    fn rule(&self) -> &'static str {
        "a discontinuity stands where something breaks"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers() {
            let parts = &viewer.record().parts;
            let Some(first) = parts.first() else { continue };
            let (place, before) = self.places.entry(host).or_insert((0, first.discontinuity));
            for part in parts.iter().skip(*place) {
                *place += 1;
                let count = part.discontinuity.saturating_sub(*before);
                if count > self.most {
                    let what = format!("{:?} segment {} comes after {count} of them", part.kind, part.msn);
                    return Err((part.at, host, what));
                }
            }
        }
        Ok(())
    }
}

/// What is asked for under one name is the same everywhere.
struct SameEverywhere {
    least: u64,
    by: Time,
    differ: usize,
    /// By what a URL names: what was given, and by which server first.
    given: BTreeMap<Named, (String, Given)>,
    /// Segments that two servers gave, and those of which they gave different things.
    common: BTreeSet<(Kind, u64)>,
    different: BTreeSet<(Kind, u64)>,
    places: BTreeMap<HostId, usize>,
    /// Whether a server has doubts, and how far all facts were read.
    doubted: bool,
    facts: usize,
}

/// A track, a segment, and a part of it or the whole.
type Named = (Kind, u64, Option<u32>);

/// Its bytes, its length in the playlist, and the discontinuities before it.
type Given = (u64, i64, u64);

impl Checker for SameEverywhere {
    fn rule(&self) -> &'static str {
        "under one name every server gives the same"
    }

    fn check(&mut self, world: &World) -> Finding {
        let facts = world.facts();
        let doubts = |event: &Event| matches!(event, Event::StreamShared { doubt: Some(_), .. });
        self.doubted |= facts[self.facts..].iter().any(|fact| doubts(&fact.event));
        self.facts = facts.len();
        if self.doubted {
            return Ok(());
        }
        for (host, viewer) in world.viewers() {
            let server = viewer.url().split('/').nth(2).unwrap_or_default();
            let parts = &viewer.record().parts;
            for part in parts.iter().skip(self.places.insert(host, parts.len()).unwrap_or(0)) {
                let named = (part.kind, part.msn, part.part);
                let now = (part.hash, part.declared_us, part.discontinuity);
                let (by, then) = self.given.entry(named).or_insert_with(|| (server.to_owned(), now));
                if by == server && *then == now {
                    continue;
                }
                self.common.insert((part.kind, part.msn));
                if *then == now {
                    continue;
                }
                self.different.insert((part.kind, part.msn));
                if self.different.len() > self.differ {
                    let what = format!("{named:?} is {then:?} at {by} and {now:?} at {server}");
                    return Err((part.at, host, what));
                }
            }
            if world.now() >= self.by && (self.common.len() as u64) < self.least {
                let (count, least) = (self.common.len(), self.least);
                let what = format!("two servers gave {count} segments only, and should have given {least}");
                return Err((world.now(), host, what));
            }
        }
        Ok(())
    }
}

/// Hinted parts are there for those who ask for them.
struct HintsAreKept;

impl Checker for HintsAreKept {
    fn rule(&self) -> &'static str {
        "hints are kept"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers() {
            let record = viewer.record();
            let refused = record.answers.get(&404).copied().unwrap_or(0);
            // A segment that is cut earlier than its parts are long makes a hint wrong.
            if refused > 4 && refused * 3 > record.parts.len() as u64 {
                let what = format!("{refused} times there was nothing, and {} parts", record.parts.len());
                return Err((world.now(), host, what));
            }
        }
        Ok(())
    }
}

/// Playlists are as long, and their parts and segments too, as the edge is configured.
pub(crate) struct PlaylistsAreAsConfigured {
    /// By the beginning of a viewer's URL: the lengths of parts and segments, and how many segments.
    edges: BTreeMap<String, (i64, i64, usize)>,
    /// Frames that are longer than parts make parts as long as frames.
    short_frames: bool,
    places: BTreeMap<HostId, usize>,
}

impl PlaylistsAreAsConfigured {
    /// For the edges of `script`.
    pub(crate) fn new(script: &Script) -> PlaylistsAreAsConfigured {
        let us = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000);
        let edge = |edge: &Edge| {
            let count = usize::try_from(edge.segments.max(3)).unwrap_or(usize::MAX);
            (format!("http://{}:", edge.name), (us(edge.part_ms), us(edge.segment_ms), count))
        };
        let short = |encoder: &Encoder| encoder.video && encoder.fps.0 >= 20 * encoder.fps.1;
        PlaylistsAreAsConfigured {
            edges: script.edges.iter().map(edge).collect(),
            short_frames: script.encoders.iter().all(short),
            places: BTreeMap::new(),
        }
    }
}

impl Checker for PlaylistsAreAsConfigured {
    fn rule(&self) -> &'static str {
        "playlists are as configured"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers() {
            let edge = self.edges.iter().find(|(url, _)| viewer.url().starts_with(url.as_str()));
            let Some((part_us, segment_us, count)) = edge.map(|(_, lengths)| *lengths) else { continue };
            let place = self.places.entry(host).or_default();
            for seen in viewer.record().playlists.iter().skip(*place) {
                *place += 1;
                let (target_us, part_target_us) = seen.targets;
                let whole_us = ((segment_us + 500_000) / 1_000_000).max(1) * 1_000_000;
                let part_off = part_target_us.map_or(0, |told| (told - part_us).abs());
                let (listed, rest_us) = seen.listed;
                let what = if target_us != whole_us {
                    format!("the target is {target_us} us, segments are {segment_us} long")
                } else if self.short_frames && part_off > FRAME_US {
                    format!("parts are {part_target_us:?} us long at most, and should be {part_us}")
                } else if listed > count && rest_us >= 3 * target_us {
                    format!("{listed} segments are listed, and should be {count}")
                } else {
                    continue;
                };
                return Err((seen.at, host, format!("{:?}: {what}", seen.kind)));
            }
        }
        Ok(())
    }
}

/// A part is a whole number of frames: one more or less, and what is added for timestamps that are rounded.
const FRAME_US: i64 = 55_000;

/// One viewer notices nothing.
struct Unharmed {
    viewer: String,
    bound: Duration,
}

impl Checker for Unharmed {
    fn rule(&self) -> &'static str {
        "who has nothing to do with it notices nothing"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers().filter(|(host, _)| world.name(*host) == self.viewer) {
            let record = viewer.record();
            if let Some((at, fatal)) = &record.fatal {
                return Err((*at, host, fatal.to_string()));
            }
            let broken = |trouble: &&(Time, Trouble)| {
                matches!(trouble.1, Trouble::FramesLost { .. } | Trouble::FramesRepeated { .. })
            };
            if let Some((at, trouble)) = record.troubles.iter().find(broken) {
                return Err((*at, host, format!("{trouble:?}")));
            }
            let gap = record.longest_gap(Kind::Video, world.now());
            if world.is_running(host) && gap > self.bound {
                return Err((world.now(), host, format!("it was without a part for {gap:?}")));
            }
        }
        Ok(())
    }
}

/// A viewer's picture stands still for so long at most, in all.
struct LongestStall {
    bound: Duration,
}

impl Checker for LongestStall {
    fn rule(&self) -> &'static str {
        "the picture goes on"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers().filter(|(host, _)| world.is_running(*host)) {
            let stalled = viewer.record().stalled(world.now());
            if stalled > self.bound {
                return Err((world.now(), host, format!("it stood still for {stalled:?}")));
            }
        }
        Ok(())
    }
}

/// An edge that loses its source plays another one in time.
struct FailoverWithin {
    bound: Duration,
    place: usize,
}

impl Checker for FailoverWithin {
    fn rule(&self) -> &'static str {
        "another source is played in time"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.facts().iter().skip(self.place) {
            self.place += 1;
            if let Event::PullPlaying { url, outage, .. } = &fact.event
                && *outage > self.bound
            {
                return Err((fact.at, fact.host, format!("{url} is played after {outage:?} without media")));
            }
        }
        Ok(())
    }
}

/// All streams of an edge are switched in time, however many they are. It looks once, when the time is over.
struct AllSwitched {
    edge: String,
    origin: String,
    streams: u32,
    fault: Time,
    bound: Duration,
    looked: bool,
}

impl Checker for AllSwitched {
    fn rule(&self) -> &'static str {
        "all streams are switched in time"
    }

    fn check(&mut self, world: &World) -> Finding {
        if world.now() <= self.fault + self.bound || core::mem::replace(&mut self.looked, true) {
            return Ok(());
        }
        let switches = Switches::of(&Fact::all(world), &self.edge, &self.origin, self.fault);
        let wrong = switches.wrong(self.streams, self.bound);
        let edge = world.hosts().find(|host| world.name(*host) == self.edge);
        match (wrong, edge) {
            (Some(what), Some(edge)) => Err((world.now(), edge, what)),
            _ => Ok(()),
        }
    }
}

/// A server's memory has a bound.
struct Holds {
    host: String,
    kib: u64,
}

impl Checker for Holds {
    fn rule(&self) -> &'static str {
        "a server holds no more than it has to"
    }

    fn check(&mut self, world: &World) -> Finding {
        let Some(host) = world.hosts().find(|host| world.name(*host) == self.host) else { return Ok(()) };
        let Census { unsent_bytes, unfinished_bytes, history_bytes, window_bytes, .. } = world.census(host);
        let kib = (unsent_bytes + unfinished_bytes + history_bytes + window_bytes) as u64 / 1_024;
        if kib > self.kib {
            let what = format!(
                "{kib} KiB of media: {history_bytes} bytes of the recent past for edges, \
                                {window_bytes} for viewers, {unfinished_bytes} without a place, {unsent_bytes} unsent"
            );
            return Err((world.now(), host, what));
        }
        Ok(())
    }
}

/// Edges stay with the source that they began with.
#[derive(Default)]
struct NoFailover {
    place: usize,
    playing: BTreeMap<(HostId, String), String>,
}

impl Checker for NoFailover {
    fn rule(&self) -> &'static str {
        "an edge stays where it is well"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.facts().iter().skip(self.place) {
            self.place += 1;
            if let Event::PullPlaying { key, url, .. } = &fact.event
                && let Some(before) = self.playing.insert((fact.host, key.to_string()), url.clone())
            {
                return Err((fact.at, fact.host, format!("{key} moved from {before} to {url}")));
            }
        }
        Ok(())
    }
}

/// Who comes is served in time.
struct FirstPartWithin {
    bound: Duration,
    came: BTreeMap<HostId, Time>,
}

impl Checker for FirstPartWithin {
    fn rule(&self) -> &'static str {
        "the first part is there in time"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers().filter(|(host, _)| world.is_running(*host)) {
            let came = *self.came.entry(host).or_insert(world.now());
            let first = viewer.record().parts.iter().find(|part| part.kind == Kind::Video);
            let waited = first.map_or(world.now(), |part| part.at).since(came);
            if waited > self.bound {
                let what = if first.is_some() { "came after" } else { "has not come for" };
                return Err((world.now(), host, format!("its first part {what} {waited:?}")));
            }
        }
        Ok(())
    }
}

/// An edge does not pester servers.
struct FewDials {
    edge: String,
    most: u32,
    place: usize,
    count: u32,
}

impl Checker for FewDials {
    fn rule(&self) -> &'static str {
        "an edge does not pester servers"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.facts().iter().skip(self.place) {
            self.place += 1;
            if matches!(fact.event, Event::PullDialled { .. }) && world.name(fact.host) == self.edge {
                self.count += 1;
                if self.count > self.most {
                    return Err((fact.at, fact.host, format!("it has tried {} times", self.count)));
                }
            }
        }
        Ok(())
    }
}

/// An edge gives up its streams when it should.
struct LetGo {
    edge: String,
    spans: Vec<(u64, u64)>,
    place: usize,
    count: usize,
}

impl Checker for LetGo {
    fn rule(&self) -> &'static str {
        "an unused stream lives as long as configured"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.facts().iter().skip(self.place) {
            self.place += 1;
            if matches!(fact.event, Event::PullEnded { .. }) && world.name(fact.host) == self.edge {
                let at = fact.at.as_micros() / 1_000;
                match self.spans.get(self.count) {
                    Some((from, until)) if (*from..=*until).contains(&at) => self.count += 1,
                    span => {
                        return Err((fact.at, fact.host, format!("it was given up and not in {span:?} ms")));
                    }
                }
            }
        }
        let late = self.spans.get(self.count).filter(|(_, until)| world.now() > Time::ZERO + ms(*until));
        match (late, world.machines().find(|host| world.name(*host) == self.edge)) {
            (Some(span), Some(edge)) => {
                Err((world.now(), edge, format!("it was not given up in {span:?} ms")))
            }
            _ => Ok(()),
        }
    }
}

/// An edge plays from the server from which it should.
struct PlaysFrom {
    edge: String,
    server: String,
    span: Range<Time>,
    place: usize,
    playing: String,
}

impl Checker for PlaysFrom {
    fn rule(&self) -> &'static str {
        "an edge plays from the server from which it should"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.facts().iter().skip(self.place) {
            self.place += 1;
            if let Event::PullPlaying { url, .. } = &fact.event
                && world.name(fact.host) == self.edge
            {
                self.playing.clone_from(url);
                if self.span.contains(&fact.at) && !url.starts_with(&self.server) {
                    return Err((
                        fact.at,
                        fact.host,
                        format!("it plays from {url} and not from {}", self.server),
                    ));
                }
            }
        }
        let edge = world.machines().find(|host| world.name(*host) == self.edge);
        match edge.filter(|_| self.span.contains(&world.now()) && !self.playing.starts_with(&self.server)) {
            Some(edge) => {
                let what = format!("it plays from {:?} and not from {}", self.playing, self.server);
                Err((world.now(), edge, what))
            }
            None => Ok(()),
        }
    }
}

/// What a viewer's first playlist ends with is not before what others had when it was asked for.
#[derive(Default)]
struct NumbersGoOn {
    /// How far every viewer's parts were read.
    places: BTreeMap<HostId, usize>,
    /// The newest part of a track that anybody had at a moment.
    newest: BTreeMap<(String, Kind), BTreeMap<Time, (u64, u32)>>,
    /// The tracks of viewers whose first playlist was looked at.
    seen: BTreeSet<(HostId, Kind)>,
}

impl Checker for NumbersGoOn {
    fn rule(&self) -> &'static str {
        "numbers go on"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers() {
            let place = self.places.entry(host).or_default();
            for part in viewer.record().parts.iter().skip(*place) {
                *place += 1;
                let newest = self.newest.entry((viewer.url().to_owned(), part.kind)).or_default();
                let number = (part.msn, part.part.unwrap_or(0));
                if newest.range(..=part.at).next_back().is_none_or(|(_, before)| *before < number) {
                    newest.insert(part.at, number);
                }
            }
        }
        for (host, viewer) in world.viewers() {
            for (kind, newest) in [Kind::Audio, Kind::Video]
                .into_iter()
                .filter_map(|kind| Some((kind, self.newest.get(&(viewer.url().to_owned(), kind))?)))
            {
                let mut playlists = viewer.record().playlists.iter();
                let Some(first) = playlists.find(|seen| seen.kind == kind) else { continue };
                if !self.seen.insert((host, kind)) {
                    continue;
                }
                let asked = Time::ZERO + first.at.since(Time::ZERO).saturating_sub(first.took);
                let ends = first.last_part.max(first.last_msn.map(|msn| (msn, 0)));
                let had = newest.range(..=asked).next_back().map(|(_, number)| *number);
                if ends < had {
                    let what = format!("{kind:?} ends with {ends:?}, and others had {had:?} before");
                    return Err((first.at, host, what));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::play;

    #[test]
    fn an_edge_that_is_configured_otherwise_is_found() {
        // The run is that of one script, and the rule that of another.
        let mut script = Script::new();
        script.length_ms = 12_000;
        script.viewer("edge", 3_000);
        assert!(play(&script).passed());
        let server = crate::cluster::Plan::default();
        let other = |change: fn(&mut Edge)| {
            let mut script = script.clone();
            change(&mut script.edges[0]);
            let (cluster, _) = crate::Cluster::playing(1, &server, Duration::from_secs(8));
            PlaylistsAreAsConfigured::new(&script).check(&cluster.world).err().map(|(_, _, what)| what)
        };
        assert_eq!(other(|_| {}), None);
        assert!(other(|edge| edge.segment_ms = 6_000).unwrap().contains("the target is"));
        assert!(other(|edge| edge.part_ms = 200).unwrap().contains("parts are"));
    }

    #[test]
    fn hints_that_lead_nowhere_are_found() {
        let mut script = Script::new();
        script.length_ms = 15_000;
        script.viewer("edge", 3_000).hints = true;
        script.must(Rule::HintsAreKept);
        assert!(play(&script).passed());
    }
}
