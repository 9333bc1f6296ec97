//! How one source's packets come onto the timeline.

use core::mem;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::clock::Estimate;
use super::mapping::{Mapping, lead_us};
use super::memory::fingerprint;
use super::standing::Standing;
use super::{Doubt, OFFSET_AGREES_US, PROOF_BYTES, Timeline, is_start};
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
    /// Whether another source plays, and this one waits until that one fails.
    stands_by: bool,
    /// Whether a burst of its past may come first.
    bursts: bool,
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
    /// Its place is not known.
    Joining(Joining),
    /// It is in step with the source that plays.
    Standing(Standing),
    /// It plays.
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

impl Feed {
    /// A source whose decoding starts at key frames of `main`; with `None` any packet will do.
    pub fn new(main: Option<TrackId>) -> Feed {
        let state = State::Joining(Joining::default());
        Feed { main, agrees: false, stands_by: false, bursts: true, state }
    }

    /// The same, but it stands by: nothing of it passes until [`Feed::take_over`].
    pub fn standing_by(self) -> Feed {
        Feed { stands_by: true, ..self }
    }

    /// The same, but what comes first is live: if there was no source before, it starts at its first key frame.
    pub fn live(self) -> Feed {
        Feed { bursts: false, ..self }
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

    /// Bytes of packets that did not pass yet.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Joining(joining) => joining.held.iter().map(|packet| packet.data.len()).sum(),
            State::Standing(standing) => standing.held_bytes(),
            State::Live(_) => 0,
        }
    }

    /// Takes the next packet of the source.
    pub fn push(&mut self, timeline: &mut Timeline, now: Now, packet: Packet) -> Passed {
        let mut passed = Passed::default();
        match &mut self.state {
            State::Live(mapping) if !mapping.jumps(now, &packet) => {
                mapping.pass(timeline, now, self.main, packet, &mut passed.packets);
                return passed;
            }
            State::Standing(standing) if !standing.jumps(now, &packet) => {
                standing.push(timeline, now, packet);
                return passed;
            }
            State::Joining(_) => {}
            State::Live(_) | State::Standing(_) => self.state = State::Joining(Joining::default()),
        }
        let State::Joining(joining) = &mut self.state else { return passed };
        if self.stands_by {
            self.align(timeline, now, packet);
            return passed;
        }
        joining.hold(self.main, now, packet);
        if timeline.listens() {
            self.listen(timeline, now, &mut passed);
        } else if !(timeline.is_started() || timeline.recalls && self.bursts) {
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
        if self.stands_by {
            return None;
        }
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
        let until = *joining.listens_until.get_or_insert(now.mono + LISTEN);
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
            self.state = State::Joining(Joining::default());
            return;
        };
        let held = joining.held.split_off(at);
        let offset_us = timeline.first_offset_us(now, joining.heard.zero(), held[0].dts);
        self.go_live(timeline, now, Mapping::new(offset_us, false, true), held, passed, Joined::First);
    }

    /// The source has shown what it has: it is joined with what it has shown, one way or the other.
    fn settle(&mut self, timeline: &mut Timeline, now: Now, passed: &mut Passed) {
        let State::Joining(joining) = &mut self.state else { return };
        if !timeline.is_started() {
            self.start_first(timeline, now, passed);
        } else if let Some(offset_us) = joining.likely_offset(timeline, now, None) {
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
        let heard = joining.heard.zero();
        let Some(offset_us) = timeline.shared_offset_us(heard, least_us) else { return false };
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
        timeline.shares_again(heard);
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
        if joined == Joined::KeyFrame
            && let Some(first) = passed.packets.first()
        {
            timeline.seam = Some(first.dts);
        }
        passed.joined = Some(joined);
        self.state = State::Live(mapping);
    }
}

/// Standing by.
impl Feed {
    /// A source that plays stands by from now on.
    pub fn stand_by(&mut self, timeline: &Timeline) {
        self.stands_by = true;
        self.state = match mem::replace(&mut self.state, State::Joining(Joining::default())) {
            State::Live(mapping) => State::Standing(Standing::new(timeline, self.main, mapping)),
            state @ (State::Joining(_) | State::Standing(_)) => state,
        };
    }

    /// Whether it stands by and is in step with what viewers see: if it takes over, they miss nothing.
    pub fn is_in_step(&self) -> bool {
        matches!(&self.state, State::Standing(standing) if standing.is_in_step())
    }

    /// Since when the oldest packet is held that the source that plays has not brought; `None` if it is not in step.
    pub fn ahead_since(&self) -> Option<Time> {
        match &self.state {
            State::Standing(standing) if standing.is_in_step() => standing.holds_since(),
            State::Joining(_) | State::Live(_) | State::Standing(_) => None,
        }
    }

    /// Lets go of what the source that plays has brought; finds that it carries other media after all.
    pub fn compare(&mut self, timeline: &Timeline) {
        if let State::Standing(standing) = &mut self.state {
            standing.compare(timeline);
            if standing.is_astray() {
                self.state = State::Joining(Joining::default());
            }
        }
    }

    /// The source that plays has not brought what this one had at `came`: viewers get it from here, and when the other
    /// one brings it, it is known.
    pub fn cover(&mut self, timeline: &mut Timeline, now: Now, came: Time) -> Passed {
        match &mut self.state {
            State::Standing(standing) if standing.is_in_step() => {
                Passed { packets: standing.cover(timeline, now, came), ..Passed::default() }
            }
            State::Joining(_) | State::Live(_) | State::Standing(_) => Passed::default(),
        }
    }

    /// Where a packet of the source that plays would leave a hole: behind what there is of which track, before when.
    pub fn leaves_hole(&mut self, timeline: &Timeline, packet: &Packet) -> Option<(TrackId, Timestamp)> {
        let State::Live(mapping) = &mut self.state else { return None };
        let place = mapping.place(packet.track, packet.dts);
        timeline.lacks_before(packet.track, place).then_some((packet.track, place))
    }

    /// Fills a hole that the source that plays would leave on `track` before `end`.
    pub fn fill(&mut self, timeline: &mut Timeline, now: Now, track: TrackId, end: Timestamp) -> Passed {
        match &mut self.state {
            State::Standing(standing) if standing.is_in_step() => {
                Passed { packets: standing.fill(timeline, now, track, end), ..Passed::default() }
            }
            State::Joining(_) | State::Live(_) | State::Standing(_) => Passed::default(),
        }
    }

    /// The source that played is lost: this one plays from here on, at once if it was in step, else as soon as it can be
    /// joined.
    pub fn take_over(&mut self, timeline: &mut Timeline, now: Now) -> Passed {
        self.stands_by = false;
        let mut passed = Passed::default();
        match mem::replace(&mut self.state, State::Joining(Joining::default())) {
            State::Standing(standing) => {
                let (mapping, packets) = standing.take_over(timeline, now);
                self.state = State::Live(mapping);
                passed = Passed { packets, joined: Some(Joined::Exact), asks: None };
            }
            State::Joining(joining) => {
                let is_there = joining.has_key && joining.received >= joining.expected;
                self.state = State::Joining(joining);
                if is_there {
                    self.settle(timeline, now, &mut passed);
                }
            }
            live @ State::Live(_) => self.state = live,
        }
        passed
    }

    /// Looks for the place of a source that stands by. Only the main track tells one source from another: silence is the
    /// same everywhere.
    fn align(&mut self, timeline: &Timeline, now: Now, packet: Packet) {
        let State::Joining(joining) = &mut self.state else { return };
        let starts = is_start(self.main, &packet);
        let tells = self.main.is_none_or(|main| packet.track == main);
        // What is held ends where a key frame begins something new, or with the past that was announced.
        let whole = starts.then(|| joining.likely_offset(timeline, now, self.main)).flatten();
        if starts && whole.is_none() && joining.received > joining.expected {
            joining.held.clear();
            joining.held_bytes = 0;
        }
        joining.hold(self.main, now, packet);
        let known =
            whole.or_else(|| tells.then(|| joining.recognise(timeline, now)).flatten()).or_else(|| {
                let burst_is_over = joining.received == joining.expected;
                burst_is_over.then(|| joining.likely_offset(timeline, now, self.main)).flatten()
            });
        if let Some(offset_us) = known {
            let held = mem::take(&mut joining.held);
            let mapping = Mapping::new(offset_us, true, false);
            self.state =
                State::Standing(Standing::new(timeline, self.main, mapping).holding(timeline, now, held));
        } else if joining.is_full() {
            self.forget_half();
        }
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
    /// same offset, behind the last seam, and so lately that a programme that loops would have been there twice. One large access unit is
    /// proof enough; small ones must agree with each other.
    fn recognise(&mut self, timeline: &Timeline, now: Now) -> Option<i64> {
        let packet = self.held.back()?;
        let place = timeline.memory.only_place(fingerprint(packet))?;
        if !timeline.is_behind_the_seam(place) {
            return None;
        }
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
    /// Only packets of the track `of` count, if there is one.
    fn likely_offset(&self, timeline: &Timeline, now: Now, of: Option<TrackId>) -> Option<i64> {
        let newest_us = self.newest_us()?;
        let (live_us, end_us) = (timeline.live_us(now)?, timeline.end_us()?);
        let near = |offsets: &BTreeMap<i64, u32>, edge_us: i64| {
            let off_by = |offset_us: &i64| newest_us.saturating_add(*offset_us).abs_diff(edge_us);
            let known =
                offsets.iter().filter(|(_, votes)| **votes >= VOTES_NEEDED).map(|(offset_us, _)| *offset_us);
            known.filter(|offset_us| off_by(offset_us) <= LIVE_AGREES_US).min_by_key(off_by)
        };
        let behind_the_seam = self.known_offsets(timeline, of, |place| timeline.is_behind_the_seam(place));
        let anywhere = self.known_offsets(timeline, of, |_| true);
        [(&behind_the_seam, live_us), (&behind_the_seam, end_us), (&anywhere, live_us), (&anywhere, end_us)]
            .into_iter()
            .find_map(|(offsets, edge_us)| near(offsets, edge_us))
            .or_else(|| self.offset_of_the_late(timeline, now, of))
    }

    /// The offset of a source that is behind the clock and goes on where the timeline ends: an origin that was stopped
    /// for a while delivers what it had missed, and will have caught up in a moment. What it carried before leaves no
    /// doubt, and nothing of what follows was carried before: else it would be a programme that loops.
    fn offset_of_the_late(&self, timeline: &Timeline, now: Now, of: Option<TrackId>) -> Option<i64> {
        let mut offset_us = None;
        let mut goes_on = false;
        for packet in self.held_of(of).filter(|packet| packet.data.len() >= PROOF_BYTES) {
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

    /// Every offset at which packets held were placed before, at places that `count`, and how much speaks for it.
    fn known_offsets(
        &self,
        timeline: &Timeline,
        of: Option<TrackId>,
        count: impl Fn(Timestamp) -> bool,
    ) -> BTreeMap<i64, u32> {
        let mut offsets: BTreeMap<i64, u32> = BTreeMap::new();
        for packet in self.held_of(of) {
            for place in timeline.memory.places(fingerprint(packet)).filter(|place| count(*place)) {
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

    /// What is held of one track, or of all.
    fn held_of(&self, of: Option<TrackId>) -> impl Iterator<Item = &Packet> {
        self.held.iter().filter(move |packet| of.is_none_or(|track| packet.track == track))
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

/// How long a source is listened to before it is put on the wall clock.
const LISTEN: Duration = Duration::from_millis(1_000);
/// How far the live edges of two origins may be apart, in microseconds.
const LIVE_AGREES_US: u64 = 1_500_000;
/// How far from the live edge a source's own times may place it, in microseconds, to be believed.
const SHARED_AGREES_US: u64 = 10_000_000;
/// A hole that would be shorter than this, in microseconds, is not left: no viewer can tell, but every player has to
/// get over it.
const SEAMLESS_US: i64 = 250_000;
const VOTES_NEEDED: u32 = 3;
