//! A stream between its source and its takers.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use crate::config::{Application, TimestampMode};
use crate::event::{Event, StreamKey};
use crate::hls::{FirstNumbers, GridAnchor, Numbers, Outputs, Packager, PackagerEvent, TsPackager, Wanted};
use crate::io::{Close, ConnId, Output};
use crate::limits::{FROZEN_AFTER, HELD_DESCRIBES_MAX, UNUSED_MIN};
use crate::media::{self, Kind, Packet, StreamInfo, Timestamp};
use crate::pull::Pull;
use crate::relay::{Channel, Offer};
use crate::time::{Now, Time};
use crate::timeline::Doubt;

use super::load::Meter;
use super::publishing::Broadcast;
use super::waiting::Waiting;
use super::{Child, Node};

/// A stream's number on its node; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(pub(super) u64);

/// One stream.
pub(super) struct Stream {
    pub(super) key: StreamKey,
    pub(super) app: Application,
    pub(super) source: Source,
    /// What it is, once that is known: from then on it can be played.
    pub(super) info: Option<StreamInfo>,
    /// Where its live edge was when it said so, if its first packets lie before it.
    live: Option<Timestamp>,
    pub(super) channel: Channel,
    /// OVT clients that play it.
    pub(super) clients: BTreeSet<ConnId>,
    /// OVT clients that wait for it to start, the first one longest.
    pub(super) describes: VecDeque<HeldDescribe>,
    pub(super) packaging: Packaging,
    /// Viewers that wait for a part.
    pub(super) waiting: Waiting,
    pub(super) last_used: Time,
    /// When a viewer last asked for anything of it.
    pub(super) last_viewed: Option<Time>,
    /// Bytes of its media.
    pub(super) rate: Meter,
    /// When its last packet came, or when it was made.
    last_packet: Time,
    /// When a part last became ready.
    pub(super) last_part: Time,
    /// When a muxed segment last became ready.
    last_muxed: Time,
    /// What was told of whether it is the same on every server; nothing of one that cannot be.
    told_shared: Option<Option<String>>,
}

/// What a stream is to somebody who wants to play it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not known yet what it is.
    Starting,
    /// Known, and its media comes.
    Moving,
    /// Known, but no media has come for so long that it is as good as gone.
    Silent,
}

/// Where a stream comes from.
pub(super) enum Source {
    Publisher(Box<Broadcast>),
    Pull(Box<Pull>),
}

/// Whether a stream can be watched over HTTP.
pub(super) enum Packaging {
    /// Its first packet has not come.
    NotYet,
    /// It can.
    Outputs(Box<Outputs>),
    /// It cannot: none of its tracks can be packaged.
    Never,
}

/// A DESCRIBE of a stream that has not started.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldDescribe {
    pub(super) conn: ConnId,
    pub(super) id: u32,
    pub(super) until: Time,
}

impl Stream {
    pub(super) fn new(now: Now, key: StreamKey, app: Application, source: Source) -> Stream {
        Stream {
            key,
            app,
            source,
            info: None,
            live: None,
            channel: Channel::default(),
            clients: BTreeSet::new(),
            describes: VecDeque::new(),
            packaging: Packaging::NotYet,
            waiting: Waiting::default(),
            last_used: now.mono,
            last_viewed: None,
            rate: Meter::default(),
            last_packet: now.mono,
            last_part: now.mono,
            last_muxed: now.mono,
            told_shared: None,
        }
    }

    /// Whether what it has of `wanted` is so old that a playlist would be a lie.
    pub(super) fn is_frozen(&self, now: Time, wanted: &Wanted) -> bool {
        if self.outputs().is_none() {
            return false;
        }
        match (wanted, &self.app.publishers.hls) {
            (Wanted::Hls(_), Some(hls)) => {
                let late = now.since(self.last_muxed) > self.patience() + 3 * hls.segment;
                late || now.since(self.last_packet) > self.patience()
            }
            _ => now.since(self.last_part) > self.patience(),
        }
    }

    /// How it stands.
    pub(super) fn standing(&self, now: Time) -> Standing {
        match &self.info {
            None => Standing::Starting,
            // The next publisher is waited for as the first one was.
            Some(_) if self.is_interrupted() => Standing::Starting,
            Some(_) if now.since(self.last_packet) > self.patience() => Standing::Silent,
            Some(_) => Standing::Moving,
        }
    }

    /// What it has of its publishers, if it is published here.
    pub(super) fn broadcast(&self) -> Option<&Broadcast> {
        match &self.source {
            Source::Publisher(broadcast) => Some(broadcast),
            Source::Pull(_) => None,
        }
    }

    pub(super) fn broadcast_mut(&mut self) -> Option<&mut Broadcast> {
        match &mut self.source {
            Source::Publisher(broadcast) => Some(broadcast),
            Source::Pull(_) => None,
        }
    }

    /// Whether it has lost its publisher, and no other one has delivered media since.
    fn is_interrupted(&self) -> bool {
        self.broadcast().is_some_and(|broadcast| broadcast.lineup.is_interrupted())
    }

    /// How long it has been without media.
    pub(super) fn silent_for(&self, now: Time) -> Duration {
        now.since(self.last_packet)
    }

    /// When it is over because its publisher does not come back.
    pub(super) fn over_at(&self) -> Option<Time> {
        self.broadcast().and_then(|broadcast| broadcast.lineup.over_at())
    }

    /// Whether it can be the source of the stream for which `mark` stands.
    pub(super) fn can_feed(&self, mark: Option<u64>) -> bool {
        match &self.source {
            Source::Publisher(_) => true,
            Source::Pull(pull) => pull.can_feed(mark),
        }
    }

    /// Whether somebody watches it, as far as that can be seen: most players ask again within a segment.
    pub(super) fn is_watched(&self, now: Time) -> bool {
        let publishers = &self.app.publishers;
        let ll_hls = publishers.llhls.as_ref().map(|llhls| llhls.segment);
        let hls = publishers.hls.as_ref().map(|hls| hls.segment);
        let pause = 2 * ll_hls.max(hls).unwrap_or_default();
        self.waiting.len() > 0 || self.last_viewed.is_some_and(|at| now.since(at) < pause)
    }

    /// Whether anybody plays it or waits for it.
    pub(super) fn is_in_use(&self) -> bool {
        !self.clients.is_empty() || !self.describes.is_empty() || self.waiting.len() > 0
    }

    /// When it is deleted for want of viewers if nobody comes; `None` if it is in use, or is kept in any case.
    pub(super) fn unused_at(&self) -> Option<Time> {
        let Source::Pull(pull) = &self.source else { return None };
        let timeout = pull.unused_timeout()?.max(UNUSED_MIN);
        (!self.is_in_use()).then(|| self.last_used + timeout)
    }

    /// When to see whether it is still in use; `None` if it is kept in any case. Nobody tells when its last viewer has
    /// gone, so a stream that is in use is looked at now and then.
    pub(super) fn unused_check_at(&self, now: Time) -> Option<Time> {
        let Source::Pull(pull) = &self.source else { return None };
        let timeout = pull.unused_timeout()?.max(UNUSED_MIN);
        Some(self.unused_at().unwrap_or(now + timeout))
    }

    /// How long it may stand still.
    fn patience(&self) -> Duration {
        match &self.source {
            Source::Publisher(_) => FROZEN_AFTER,
            Source::Pull(pull) => FROZEN_AFTER.max(pull.no_input_timeout() + FROZEN_AFTER / 4),
        }
    }

    pub(super) fn outputs(&self) -> Option<&Outputs> {
        match &self.packaging {
            Packaging::Outputs(outputs) => Some(outputs),
            Packaging::Never | Packaging::NotYet => None,
        }
    }

    pub(super) fn outputs_mut(&mut self) -> Option<&mut Outputs> {
        match &mut self.packaging {
            Packaging::Outputs(outputs) => Some(outputs),
            Packaging::Never | Packaging::NotYet => None,
        }
    }

    /// The stream says what it is, for the first time or anew. Returns whether its media is another than before: then
    /// what was relayed of it does not fit what follows.
    fn describe(&mut self, now: Now, info: StreamInfo, live: Option<Timestamp>) -> bool {
        self.live = live;
        let is_new = self.info.as_ref().is_none_or(|old| !old.same_media(&info));
        if is_new {
            self.channel = Channel::new(&info);
            if let Packaging::Never = self.packaging {
                self.packaging = Packaging::NotYet;
            }
        }
        if let Some(outputs) = self.outputs_mut() {
            outputs.update(&info);
        }
        self.info = Some(info);
        (self.last_part, self.last_packet, self.last_muxed) = (now.mono, now.mono, now.mono);
        is_new
    }

    /// Makes the packagers when the first packet says where the stream's timeline is.
    fn begin_packaging(&mut self, now: Now, numbers: FirstNumbers, first: &Packet) {
        let Some(info) = &self.info else { return };
        let publishers = &self.app.publishers;
        if publishers.llhls.is_none() && publishers.hls.is_none() {
            return;
        }
        let ll_hls = publishers.llhls.as_ref().and_then(|config| {
            let (anchor, numbers) = self.grid(now, numbers.ll_hls, first, config.segment);
            Packager::new(config, &self.key.app, &self.key.stream, info, anchor, numbers)
        });
        let hls = publishers.hls.as_ref().and_then(|config| {
            let (anchor, numbers) = self.grid(now, numbers.hls, first, config.segment);
            TsPackager::new(config, &self.key.stream, info, anchor, numbers)
        });
        let outputs = Outputs::new(ll_hls, hls);
        self.packaging = outputs.map_or(Packaging::Never, |outputs| Packaging::Outputs(Box::new(outputs)));
    }

    /// Segments lie on a grid: that of the timestamps themselves where they mean something, else one that is anchored to
    /// the wall clock.
    fn grid(&self, now: Now, numbers: Numbers, first: &Packet, segment: Duration) -> (GridAnchor, Numbers) {
        match self.timestamps() {
            TimestampMode::Original | TimestampMode::SystemClock => (GridAnchor::of_timestamps(), numbers),
            TimestampMode::ZeroBased => {
                let anchor = GridAnchor::new(now.wall, self.live.unwrap_or(first.dts));
                let early = first.dts.plus_micros(FIRST_SEGMENT_US);
                (anchor.with_line_at(early, segment), numbers.max(fresh_numbers(now)))
            }
        }
    }

    fn timestamps(&self) -> TimestampMode {
        let providers = &self.app.providers;
        match &self.source {
            Source::Publisher(_) => providers.rtmp.as_ref().map(|rtmp| rtmp.timestamps),
            Source::Pull(_) => providers.ovt.as_ref().map(|ovt| ovt.timestamps),
        }
        .unwrap_or_default()
    }
}

/// Where the first segment may end, in microseconds: early, because players that do not know parts wait for it.
const FIRST_SEGMENT_US: i64 = 1_000_000;

/// Numbers that this server has not used, even if it has just been restarted and remembers nothing.
///
/// Segment numbers are milliseconds since the epoch: no stream has so many segments, not even of the past that it begins
/// with. Discontinuities are seconds since 2020: some players have 31 bits for them.
fn fresh_numbers(now: Now) -> Numbers {
    let msn = u64::try_from(now.wall.as_millis()).unwrap_or(0);
    let discontinuity = u64::try_from(now.wall.as_micros() / 1_000_000 - SECONDS_OF_2020).unwrap_or(0);
    Numbers { msn, discontinuity }
}

/// When 2020 began, in seconds since the Unix epoch.
const SECONDS_OF_2020: i64 = 1_577_836_800;

impl Node {
    /// The stream of this name, if it is here.
    pub(super) fn running(&self, key: &StreamKey) -> Option<&Stream> {
        self.names.get(key).and_then(|id| self.streams.get(id))
    }

    /// Makes room for a stream under its name.
    pub(super) fn add_stream(
        &mut self,
        now: Now,
        key: StreamKey,
        app: Application,
        source: Source,
    ) -> StreamId {
        self.next_stream += 1;
        let id = StreamId(self.next_stream);
        self.absent.forget(&key);
        self.names.insert(key.clone(), id);
        self.streams.insert(id, Stream::new(now, key, app, source));
        id
    }

    /// A source says what its stream is.
    pub(super) fn describe_stream(
        &mut self,
        now: Now,
        id: StreamId,
        info: StreamInfo,
        live: Option<Timestamp>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let announced = match stream.source {
            Source::Publisher(_) if stream.info.is_none() && stream.app.publishers.ovt => {
                Some(stream.key.clone())
            }
            Source::Publisher(_) | Source::Pull(_) => None,
        };
        let is_new = stream.describe(now, info, live);
        self.starting.remove(&id);
        if is_new {
            self.dismiss_clients(now, id);
        }
        self.answer_describes(now, id);
        self.packager_events(now, id);
        if let Some(key) = announced {
            self.announce(now, &key);
        }
    }

    /// The next packet of a stream, on its way to everybody who takes it.
    pub(super) fn deliver(&mut self, now: Now, id: StreamId, packet: &Packet) {
        self.notice_new_format(now, id, packet);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(track) = stream.info.as_ref().and_then(|info| info.track(packet.track)) else { return };
        if !matches!(track.kind, Kind::Audio | Kind::Video) {
            return;
        }
        stream.last_packet = now.mono;
        stream.rate.add(now.mono, packet.data.len());
        if stream.app.publishers.ovt
            && let Some(unit) = stream.channel.push(track, packet)
        {
            for conn in &stream.clients {
                let Some(session) = self.clients.get_mut(conn).and_then(|client| client.session.as_mut())
                else {
                    continue;
                };
                if let Offer::Send { bytes, skipped } = session.offer(now.mono, &unit) {
                    if skipped > 0 {
                        let key = stream.key.clone();
                        let event = Event::RelaySkipped { key, conn: *conn, packets: skipped };
                        self.out.push_back(Output::Event(event));
                    }
                    self.load.sent(now.mono, bytes.len());
                    self.out.push_back(Output::Write { conn: *conn, bytes });
                    self.timers.set(Child::Client(*conn), session.poll_timeout().map(|due| due.at));
                }
            }
        }
        if let Packaging::NotYet = stream.packaging {
            let numbers = self.ended.first_numbers(&stream.key);
            stream.begin_packaging(now, numbers, packet);
        }
        match &mut stream.packaging {
            Packaging::Never => self.refuse_viewers_of(id),
            Packaging::NotYet => {}
            Packaging::Outputs(outputs) => {
                outputs.push(packet);
                self.packager_events(now, id);
            }
        }
    }

    /// Key frames carry their parameter sets. Where these are not the ones that the stream was described with, its
    /// description changes: OVT has no message for that.
    fn notice_new_format(&mut self, now: Now, id: StreamId, packet: &Packet) {
        let Some(stream) = self.streams.get(&id).filter(|_| packet.key) else { return };
        let Some(info) = &stream.info else { return };
        let Some(changed) = info.track(packet.track).and_then(|track| media::changed_format(track, packet))
        else {
            return;
        };
        let mut info = info.clone();
        info.tracks
            .iter_mut()
            .filter(|track| track.id == changed.id)
            .for_each(|track| *track = changed.clone());
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(outputs) = stream.outputs_mut() {
            outputs.update(&info);
        }
        // OVT clients see the new parameter sets in the same key frame.
        stream.info = Some(info);
        self.packager_events(now, id);
    }

    /// Tells the world about new parts, and answers those who waited for them.
    pub(super) fn packager_events(&mut self, now: Now, id: StreamId) {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return };
            let Some(event) = stream.outputs_mut().and_then(Outputs::poll) else { return };
            let key = stream.key.clone();
            match event {
                PackagerEvent::PartReady { track, msn, part } => {
                    stream.last_part = now.mono;
                    self.event(Event::PartReady { key, track: track.0, msn, part });
                    if part == 0 {
                        self.tell_whether_shared(id);
                    }
                    self.answer_waiting(now, id, track, msn, part);
                }
                PackagerEvent::SegmentReady { .. } => {
                    stream.last_muxed = now.mono;
                    self.tell_whether_shared(id);
                    self.answer_muxed(now, id);
                }
                PackagerEvent::Warning(what) => self.event(Event::StreamWarning { key, what }),
            }
        }
    }

    /// Why the segments of a stream may not be those that other servers make of it; `None` if they are.
    pub(super) fn doubt(&self, stream: &Stream) -> Option<String> {
        let doubt = match &stream.source {
            Source::Publisher(broadcast) => broadcast.doubt(),
            Source::Pull(pull) => pull.doubt(),
        };
        let moved = stream.outputs().is_some_and(|outputs| !outputs.is_interchangeable());
        match doubt {
            Some(doubt) => Some(doubt.to_string()),
            None => moved.then(|| Doubt::SetBack.to_string()),
        }
    }

    /// Tells whether a stream is the same on every server, if that is news.
    fn tell_whether_shared(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        if stream.timestamps() == TimestampMode::ZeroBased {
            return;
        }
        let (key, doubt) = (stream.key.clone(), self.doubt(stream));
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.told_shared.as_ref() != Some(&doubt) {
            stream.told_shared = Some(doubt.clone());
            self.event(Event::StreamShared { key, doubt });
        }
    }

    /// What follows lies elsewhere in time: it is packaged as another stream of this name would be, for the same viewers.
    pub(super) fn start_over(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(next) = stream.outputs().and_then(Outputs::next_numbers) {
            self.ended.remember(stream.key.clone(), next);
        }
        stream.packaging = Packaging::NotYet;
    }

    /// A stream is over: everybody who takes it is told, in the way of their protocol.
    pub(super) fn end_stream(&mut self, now: Now, id: StreamId, why: &str) {
        let Some(mut stream) = self.streams.remove(&id) else { return };
        self.names.remove(&stream.key);
        self.starting.remove(&id);
        self.timers.remove(Child::Stream(id));
        if let Some(next) = stream.outputs().and_then(Outputs::next_numbers) {
            self.ended.remember(stream.key.clone(), next);
        }
        for conn in core::mem::take(&mut stream.clients) {
            self.client_gone(now, conn);
            self.close(conn, Close::Flush);
        }
        self.refuse_describes(now, &mut stream);
        self.refuse_viewers(&mut stream);
        match &mut stream.source {
            Source::Publisher(broadcast) => {
                for conn in broadcast.lineup.all() {
                    if let Some(publisher) = self.publishers.get_mut(&conn) {
                        publisher.stream = None;
                    }
                }
                self.withdraw(now, &stream.key);
                self.event(Event::PublishEnded { key: stream.key, why: why.to_owned() });
            }
            Source::Pull(pull) => {
                pull.stop(now);
                self.pull_outputs_after_end(pull);
                self.resolve_no_more(now, &stream.key);
                self.event(Event::PullEnded { key: stream.key, why: why.to_owned() });
            }
        }
    }

    /// Notes a DESCRIBE that waits for the stream to start; false if too many wait.
    pub(super) fn hold_describe(&mut self, id: StreamId, held: HeldDescribe) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        if stream.describes.len() >= HELD_DESCRIBES_MAX {
            return false;
        }
        stream.describes.push_back(held);
        self.timers.set(Child::Stream(id), Some(held.until));
        true
    }
}
