//! How one source's packets come onto the timeline.

use core::mem;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::clock::Estimate;
use super::memory::fingerprint;
use super::{Doubt, Timeline};
use crate::config::TimestampMode;
use crate::event::Joined;
use crate::limits::{
    AGREED_WITHIN, BURST_TIMEOUT, HELD_BYTES_MAX, HELD_PACKETS_MAX, JOIN_QUIET, JOIN_TIMEOUT,
};
use crate::media::{Packet, Timestamp, TrackId};
use crate::time::{Deadline, Now, Time};

/// One source of a timeline, from its first packet to its last.
#[derive(Debug)]
pub struct Feed {
    /// The track whose key frames decide where decoding can start: the first video track, else any.
    main: Option<TrackId>,
    /// Whether other servers are asked where its time zero lies.
    agrees: bool,
    state: State,
}

/// What came out of a feed.
#[derive(Debug, Default)]
pub struct Passed {
    /// Packets with their place on the timeline, in the order in which they came.
    pub packets: Vec<Packet>,
    /// Set when the source was joined with the first of these packets.
    pub joined: Option<Joined>,
    /// Set when other servers are to be asked where the source's time zero lies, with where it would be put here, in
    /// milliseconds since the Unix epoch. The answer is for [`Feed::agreed`], soon or never.
    pub asks: Option<i64>,
}

#[derive(Debug)]
enum State {
    Joining(Joining),
    Live(Mapping),
}

/// A source that has no place yet. Its packets are held until their place is known.
#[derive(Debug, Default)]
struct Joining {
    held: VecDeque<Packet>,
    held_bytes: usize,
    /// How many packets came, and how many of them are the burst that it has announced.
    received: usize,
    expected: usize,
    has_key: bool,
    first_at: Option<Time>,
    last_at: Option<Time>,
    /// When what it had shown was not worth joining.
    settled_at: Option<Time>,
    /// What its packets say of the wall clock.
    heard: Estimate,
    /// Until when it is listened to, or others are waited for, before it is placed on the wall clock.
    listens_until: Option<Time>,
    /// Whether others were asked.
    asked: bool,
    offset_us: i64,
    votes: u32,
}

/// A source that has its place: one offset, exact in the ticks of each track.
#[derive(Debug)]
struct Mapping {
    offset_us: i64,
    ticks: BTreeMap<TrackId, i64>,
    last_in: BTreeMap<TrackId, Timestamp>,
    /// How far its time has been ahead of the clock at most, in microseconds: since both began anywhere, only what is
    /// added to that says anything.
    lead_us: i64,
    /// Packets may repeat what an earlier source delivered.
    overlaps: bool,
    /// The main track goes on without a hole, or has been started at a key frame.
    decodable: bool,
}

impl Feed {
    /// A source whose decoding starts at key frames of `main`; with `None` any packet will do.
    pub fn new(main: Option<TrackId>) -> Feed {
        Feed { main, agrees: false, state: State::Joining(Joining::default()) }
    }

    /// The same, but other servers are asked where the time zero of a source lies that is put on the wall clock.
    pub fn agreeing(self) -> Feed {
        Feed { agrees: true, ..self }
    }

    /// Other servers put the source's time zero there, in milliseconds since the Unix epoch.
    pub fn agreed(&mut self, timeline: &mut Timeline, now: Now, ms: i64) -> Passed {
        let mut passed = Passed::default();
        if matches!(&self.state, State::Joining(joining) if joining.asked) && timeline.listens() {
            timeline.agreed_us = Some(ms.saturating_mul(1_000));
            self.start_first(timeline, now, &mut passed);
        }
        passed
    }

    /// So many packets of the recent past come before the first new one: their place is decided when all are there,
    /// however long the network takes to bring them.
    pub fn expect_burst(&mut self, packets: u32) {
        if let State::Joining(joining) = &mut self.state {
            joining.expected = usize::try_from(packets).unwrap_or(usize::MAX);
        }
    }

    /// Whether its media reaches the timeline.
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Bytes of packets that have no place yet.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Joining(joining) => joining.held.iter().map(|packet| packet.data.len()).sum(),
            State::Live(_) => 0,
        }
    }

    /// Takes the next packet of the source.
    pub fn push(&mut self, timeline: &mut Timeline, now: Now, packet: Packet) -> Passed {
        let mut passed = Passed::default();
        if let State::Live(mapping) = &mut self.state {
            if !mapping.jumps(now, &packet) {
                mapping.pass(timeline, now, self.main, packet, &mut passed.packets);
                return passed;
            }
            self.state = State::Joining(Joining::default());
        }
        let State::Joining(joining) = &mut self.state else { return passed };
        joining.hold(self.main, now, packet);
        if timeline.listens() {
            self.listen(timeline, now, &mut passed);
        } else if !timeline.is_started() && !timeline.recalls {
            self.start_first(timeline, now, &mut passed);
        } else if let Some(offset_us) = joining.recognise(timeline, now) {
            self.start_recognised(timeline, now, offset_us, &mut passed);
        } else if joining.is_full() {
            self.settle(timeline, now, &mut passed);
            self.forget_half();
        } else if joining.has_key && joining.received == joining.expected {
            self.settle(timeline, now, &mut passed);
        }
        passed
    }

    /// Joins at a key frame if the source was not recognised in time.
    pub fn handle_timeout(&mut self, timeline: &mut Timeline, now: Now) -> Passed {
        let mut passed = Passed::default();
        if self.poll_timeout().is_some_and(|deadline| deadline.at <= now.mono) {
            if timeline.listens() {
                self.listen(timeline, now, &mut passed);
            } else {
                self.settle(timeline, now, &mut passed);
            }
        }
        passed
    }

    /// When a source that was not recognised is joined all the same: as soon as its first burst has ended. One that does
    /// not say how long its burst is has ended it when it pauses.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let State::Joining(joining) = &self.state else { return None };
        if let Some(at) = joining.listens_until {
            return joining.has_key.then_some(Deadline { at, why: "enough was heard of the source's clock" });
        }
        if !joining.has_key || joining.settled_at >= joining.last_at {
            return None;
        }
        if joining.received < joining.expected {
            return Some(Deadline {
                at: joining.first_at? + BURST_TIMEOUT,
                why: "join before the burst is over",
            });
        }
        let quiet = joining.last_at? + JOIN_QUIET;
        let at_most = joining.first_at? + JOIN_TIMEOUT;
        Some(Deadline { at: quiet.min(at_most), why: "join at a key frame" })
    }

    /// A source that cannot be joined does not fill the memory.
    fn forget_half(&mut self) {
        if let State::Joining(joining) = &mut self.state {
            (0..joining.held.len() / 2).for_each(|_| joining.drop_oldest());
        }
    }

    /// A source that is put on the wall clock is listened to, and other servers are asked, before it starts.
    fn listen(&mut self, timeline: &mut Timeline, now: Now, passed: &mut Passed) {
        let State::Joining(joining) = &mut self.state else { return };
        let until = *joining.listens_until.get_or_insert(joining.heard.until().unwrap_or(now.mono));
        let is_over = joining.has_key && (now.mono >= until || joining.is_full());
        if is_over && self.agrees && !joining.asked {
            joining.asked = true;
            joining.listens_until = Some(now.mono + AGREED_WITHIN);
            passed.asks = joining.heard.zero().map(|zero| zero.us / 1_000);
        } else if is_over {
            self.start_first(timeline, now, passed);
        }
    }

    /// The very first source: it starts at its first key frame, wherever the mode says.
    fn start_first(&mut self, timeline: &mut Timeline, now: Now, passed: &mut Passed) {
        let State::Joining(joining) = &mut self.state else { return };
        let Some(at) = joining.held.iter().position(|packet| is_start(self.main, packet)) else {
            let heard = mem::take(&mut joining.heard);
            self.state = State::Joining(Joining { heard, ..Joining::default() });
            return;
        };
        let held = joining.held.split_off(at);
        let offset_us = timeline.first_offset_us(now, &joining.heard, held[0].dts);
        self.go_live(timeline, now, Mapping::new(offset_us, false, true), held, passed, Joined::First);
    }

    /// The source has shown what it has: it is joined with what it has shown, one way or the other.
    fn settle(&mut self, timeline: &mut Timeline, now: Now, passed: &mut Passed) {
        let State::Joining(joining) = &mut self.state else { return };
        if !timeline.is_started() {
            self.start_first(timeline, now, passed);
        } else if let Some(offset_us) = joining.likely_offset(timeline, now) {
            self.start_recognised(timeline, now, offset_us, passed);
        } else if timeline.is_playing(now) && joining.is_late(self.main, timeline) {
            // It may catch up; until then it has nothing that viewers have not seen.
            joining.settled_at = Some(now.mono);
        } else if joining.has_news(timeline) || joining.is_alive() {
            self.start_at_key_frame(timeline, now, passed);
        } else {
            joining.settled_at = Some(now.mono);
        }
    }

    /// The source carries what was carried before: it goes on at the very next access unit.
    fn start_recognised(&mut self, timeline: &mut Timeline, now: Now, offset_us: i64, passed: &mut Passed) {
        let State::Joining(joining) = &mut self.state else { return };
        let held = mem::take(&mut joining.held);
        if timeline.mode == TimestampMode::Original && offset_us != timeline.wrapped_us {
            timeline.doubt.get_or_insert(Doubt::SetBack);
        }
        let mapping = Mapping::new(offset_us, true, false);
        self.go_live(timeline, now, mapping, held, passed, Joined::Exact);
    }

    /// The source is unknown: it is placed so that its live edge is where the timeline's live edge would be by now.
    /// It starts at its first key frame behind the end of what was there, or else with its newest one right there.
    fn start_at_key_frame(&mut self, timeline: &mut Timeline, now: Now, passed: &mut Passed) {
        if self.start_where_all_do(timeline, now, passed) {
            return;
        }
        let State::Joining(joining) = &mut self.state else { return };
        let Some(newest_us) = joining.newest_us() else { return };
        let live_offset_us = timeline.live_us(now).unwrap_or(0).saturating_sub(newest_us);
        let starts = |packet: &Packet| is_start(self.main, packet);
        let fits = |packet: &Packet| {
            let next_us = timeline.next_us(packet.track).unwrap_or(0);
            starts(packet) && packet.dts.as_micros().saturating_add(live_offset_us) >= next_us
        };
        let first = joining.held.iter().position(fits);
        let Some(at) = first.or_else(|| joining.held.iter().rposition(starts)) else {
            self.state = State::Joining(Joining::default());
            return;
        };
        let held = joining.held.split_off(at);
        let key_us = held[0].dts.as_micros();
        let next_us = timeline.next_us(held[0].track).unwrap_or(0);
        let seamless_us = next_us.saturating_sub(key_us);
        let leaves_hole = live_offset_us.saturating_sub(seamless_us) > SEAMLESS_US;
        let offset_us = if leaves_hole { live_offset_us } else { seamless_us };
        timeline.doubt.get_or_insert(Doubt::SetBack);
        timeline.zero_us = None;
        self.go_live(timeline, now, Mapping::new(offset_us, false, true), held, passed, Joined::KeyFrame);
    }

    /// The source is unknown, but its times say where every server places it: there, with its first key frame behind
    /// the end of what was there. False if there is no such place.
    fn start_where_all_do(&mut self, timeline: &mut Timeline, now: Now, passed: &mut Passed) -> bool {
        let State::Joining(joining) = &mut self.state else { return false };
        let Some(newest_us) = joining.newest_us() else { return false };
        let starts = |packet: &&Packet| is_start(self.main, packet);
        let least_us = |packet: &Packet| {
            timeline.next_us(packet.track).unwrap_or(0).saturating_sub(packet.dts.as_micros())
        };
        // The one that needs the least: of a source whose time goes on, the first one that is new.
        let Some(least_us) = joining.held.iter().filter(starts).map(least_us).min() else { return false };
        let Some(offset_us) = timeline.shared_offset_us(&joining.heard, least_us) else { return false };
        // Several sources whose times differ have no time in common.
        let off_by_us = timeline.live_us(now).unwrap_or(0).abs_diff(newest_us.saturating_add(offset_us));
        if timeline.recalls && off_by_us > SHARED_AGREES_US {
            return false;
        }
        let fits = |packet: &Packet| {
            let next_us = timeline.next_us(packet.track).unwrap_or(0);
            is_start(self.main, packet) && packet.dts.as_micros().saturating_add(offset_us) >= next_us
        };
        let Some(at) = joining.held.iter().position(fits) else { return false };
        let held = joining.held.split_off(at);
        self.go_live(timeline, now, Mapping::new(offset_us, false, true), held, passed, Joined::KeyFrame);
        true
    }

    fn go_live(
        &mut self,
        timeline: &mut Timeline,
        now: Now,
        mut mapping: Mapping,
        held: VecDeque<Packet>,
        passed: &mut Passed,
        joined: Joined,
    ) {
        if let Some(live_us) = timeline.live_us(now) {
            mapping.lead_us = lead_us(now, live_us.saturating_sub(mapping.offset_us));
        }
        for packet in held {
            mapping.pass(timeline, now, self.main, packet, &mut passed.packets);
        }
        passed.joined = Some(joined);
        self.state = State::Live(mapping);
    }
}

impl Joining {
    fn hold(&mut self, main: Option<TrackId>, now: Now, packet: Packet) {
        self.first_at.get_or_insert(now.mono);
        self.last_at = Some(now.mono);
        self.heard.hear(now, packet.dts);
        if !self.has_key && is_start(main, &packet) {
            self.has_key = true;
            self.first_at = Some(now.mono);
        }
        self.received += 1;
        self.held_bytes += packet.data.len();
        self.held.push_back(packet);
        while !self.has_key && (self.held.len() > HELD_PACKETS_MAX / 2 || self.held_bytes > HELD_BYTES_MAX) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.held.pop_front() {
            self.held_bytes -= oldest.data.len();
        }
    }

    /// Whether its place must be decided with what is held.
    fn is_full(&self) -> bool {
        self.has_key && (self.held.len() >= HELD_PACKETS_MAX || self.held_bytes >= HELD_BYTES_MAX)
    }

    /// The offset of the source, if the packets held so far leave no doubt: they were there once only, all at the
    /// same offset, and so lately that a programme that loops would have been there twice. One large access unit is
    /// proof enough; small ones must agree with each other.
    fn recognise(&mut self, timeline: &Timeline, now: Now) -> Option<i64> {
        let packet = self.held.back()?;
        let place = timeline.memory.only_place(fingerprint(packet))?;
        let age_us = timeline.live_us(now)?.saturating_sub(place.as_micros());
        if age_us >= timeline.memory.span_us() / 2 {
            return None;
        }
        let offset_us = place.micros_since(packet.dts);
        if offset_us.abs_diff(self.offset_us) > OFFSET_AGREES_US {
            self.votes = 0;
        }
        self.offset_us = offset_us;
        self.votes += votes(packet);
        (self.votes >= VOTES_NEEDED).then_some(offset_us)
    }

    /// The offset at which the packets held are known and their newest one is where the timeline's live edge should be
    /// by now, or, if everything was silent, where the timeline ends. Of the many offsets that fit a programme that
    /// repeats itself, it is the one that fits the clock.
    fn likely_offset(&self, timeline: &Timeline, now: Now) -> Option<i64> {
        let newest_us = self.newest_us()?;
        let offsets = self.known_offsets(timeline);
        let near = |edge_us: i64| {
            let off_by = |offset_us: &i64| newest_us.saturating_add(*offset_us).abs_diff(edge_us);
            let known =
                offsets.iter().filter(|(_, votes)| **votes >= VOTES_NEEDED).map(|(offset_us, _)| *offset_us);
            known.filter(|offset_us| off_by(offset_us) <= LIVE_AGREES_US).min_by_key(off_by)
        };
        near(timeline.live_us(now)?)
            .or_else(|| near(timeline.end_us()?))
            .or_else(|| self.offset_of_the_late(timeline, now))
    }

    /// The offset of a source that is behind the clock and goes on where the timeline ends: an origin that was stopped
    /// for a while delivers what it had missed, and will have caught up in a moment. What it carried before leaves no
    /// doubt, and nothing of what follows was carried before: else it would be a programme that loops.
    fn offset_of_the_late(&self, timeline: &Timeline, now: Now) -> Option<i64> {
        let mut offset_us = None;
        let mut goes_on = false;
        for packet in self.held.iter().filter(|packet| packet.data.len() >= PROOF_BYTES) {
            let fingerprint = fingerprint(packet);
            if timeline.memory.places(fingerprint).next().is_none() {
                goes_on = offset_us.is_some();
                continue;
            }
            let place = timeline.memory.only_place(fingerprint)?;
            let known_us = place.micros_since(packet.dts);
            let agrees = |other_us: i64| known_us.abs_diff(other_us) <= OFFSET_AGREES_US;
            if goes_on || !offset_us.is_none_or(agrees) {
                return None;
            }
            offset_us = Some(known_us);
        }
        let edge_us = self.newest_us()?.saturating_add(offset_us?);
        let is_behind = (timeline.end_us()?..=timeline.live_us(now)?).contains(&edge_us);
        offset_us.filter(|_| goes_on && is_behind)
    }

    /// Every offset at which packets held were placed before, and how much speaks for it.
    fn known_offsets(&self, timeline: &Timeline) -> BTreeMap<i64, u32> {
        let mut offsets: BTreeMap<i64, u32> = BTreeMap::new();
        for packet in &self.held {
            for place in timeline.memory.places(fingerprint(packet)) {
                let offset_us = place.micros_since(packet.dts);
                let near = offset_us.saturating_sub_unsigned(OFFSET_AGREES_US)
                    ..=offset_us.saturating_add_unsigned(OFFSET_AGREES_US);
                let votes = votes(packet);
                match offsets.range_mut(near).next() {
                    Some((_, sum)) => *sum = sum.saturating_add(votes),
                    None => {
                        offsets.insert(offset_us, votes);
                    }
                }
            }
        }
        offsets
    }

    /// Whether all that the source shows was carried before, and by its clock ends where viewers are long past: what
    /// an origin delivers that was cut off from its encoder for a while.
    fn is_late(&self, main: Option<TrackId>, timeline: &Timeline) -> bool {
        let (Some(newest_us), Some(end_us)) = (self.newest_us(), timeline.end_us()) else { return false };
        let mut starts = self.held.iter().filter(|packet| is_start(main, packet)).peekable();
        let ends_before = |packet: &Packet| {
            let place = timeline.memory.last_place_of_key(fingerprint(packet));
            let edge_us = place.map(|place| newest_us.saturating_add(place.micros_since(packet.dts)));
            edge_us.is_some_and(|edge_us| edge_us < end_us)
        };
        starts.peek().is_some() && starts.all(ends_before)
    }

    /// Whether the source has anything that viewers have not seen.
    fn has_news(&self, timeline: &Timeline) -> bool {
        self.held.iter().any(|packet| timeline.memory.places(fingerprint(packet)).next().is_none())
    }

    /// Whether it went on after its burst: a programme that loops has nothing new, but it is there.
    fn is_alive(&self) -> bool {
        let goes_on = self.received > self.expected;
        goes_on
            && matches!((self.first_at, self.last_at), (Some(first), Some(last)) if last.since(first) >= JOIN_TIMEOUT)
    }

    fn newest_us(&self) -> Option<i64> {
        self.held.iter().map(|packet| packet.dts.as_micros()).max()
    }
}

/// What a packet that is known is worth.
fn votes(packet: &Packet) -> u32 {
    if packet.data.len() >= PROOF_BYTES { VOTES_NEEDED } else { 1 }
}

impl Mapping {
    fn new(offset_us: i64, overlaps: bool, decodable: bool) -> Mapping {
        let (ticks, last_in) = (BTreeMap::new(), BTreeMap::new());
        Mapping { offset_us, ticks, last_in, lead_us: i64::MIN, overlaps, decodable }
    }

    /// Whether the source has set its clock. Media that is missing is no jump forwards: time has passed meanwhile.
    fn jumps(&self, now: Now, packet: &Packet) -> bool {
        let Some(last) = self.last_in.get(&packet.track) else { return false };
        let gained_us = lead_us(now, packet.dts.as_micros()).saturating_sub(self.lead_us);
        last.since(packet.dts) > JUMP_BACK || gained_us > JUMP_FORWARD_US
    }

    fn pass(
        &mut self,
        timeline: &mut Timeline,
        now: Now,
        main: Option<TrackId>,
        mut packet: Packet,
        out: &mut Vec<Packet>,
    ) {
        let fingerprint = timeline.recalls.then(|| fingerprint(&packet));
        self.last_in.insert(packet.track, packet.dts);
        self.lead_us = self.lead_us.max(lead_us(now, packet.dts.as_micros()));
        if self.overlaps && fingerprint.is_some_and(|it| self.is_repeated(timeline, it, &packet)) {
            if Some(packet.track) == main || main.is_none() {
                self.decodable = true;
            }
            return;
        }
        let ticks = *self
            .ticks
            .entry(packet.track)
            .or_insert_with(|| Timestamp::from_micros(self.offset_us).to(packet.dts.base()).ticks());
        packet.dts = packet.dts.plus_ticks(ticks);
        packet.pts = packet.pts.plus_ticks(ticks);
        if timeline.tracks.get(&packet.track).is_some_and(|position| packet.dts <= position.last) {
            return;
        }
        if Some(packet.track) == main && !self.decodable {
            if !packet.key {
                return;
            }
            self.decodable = true;
        }
        timeline.note(now, &packet, fingerprint, is_start(main, &packet));
        out.push(packet);
    }

    /// Whether an earlier source delivered this very packet. If so, the offset of its track is exact from here on.
    fn is_repeated(&mut self, timeline: &Timeline, fingerprint: u64, packet: &Packet) -> bool {
        let agrees =
            |place: &Timestamp| place.micros_since(packet.dts).abs_diff(self.offset_us) <= OFFSET_AGREES_US;
        let Some(place) = timeline.memory.places(fingerprint).find(agrees) else { return false };
        if place.base() == packet.dts.base() {
            self.ticks.insert(packet.track, place.ticks().saturating_sub(packet.dts.ticks()));
        }
        true
    }
}

/// How far a source's time is ahead of the clock, in microseconds.
fn lead_us(now: Now, source_us: i64) -> i64 {
    source_us.saturating_sub_unsigned(now.mono.as_micros())
}

/// Whether a viewer can start with this packet.
fn is_start(main: Option<TrackId>, packet: &Packet) -> bool {
    main.is_none_or(|main| packet.track == main && packet.key)
}

/// Offsets that differ by less are the same offset, rounded differently.
const OFFSET_AGREES_US: u64 = 2_000;
/// How far the live edges of two origins may be apart, in microseconds.
const LIVE_AGREES_US: u64 = 1_500_000;
/// How far from the live edge a source's own times may place it, in microseconds, to be believed.
const SHARED_AGREES_US: u64 = 10_000_000;
/// A hole that would be shorter than this, in microseconds, is not left: no viewer can tell, but every player has to
/// get over it.
const SEAMLESS_US: i64 = 250_000;
/// An access unit of this size is not there twice by chance.
const PROOF_BYTES: usize = 512;
const VOTES_NEEDED: u32 = 3;
/// A source whose time goes back by more than this has set its clock.
const JUMP_BACK: Duration = Duration::from_secs(1);
/// A source whose time goes forward by so many microseconds more than the clock does, too: its media would be behind a
/// hole in which nothing is missing. A source that was slow from its first packet on and leaves media out gains less.
const JUMP_FORWARD_US: i64 = 10_000_000;
