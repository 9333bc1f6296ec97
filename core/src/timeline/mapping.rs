//! How a source that has its place comes onto the timeline: by one constant offset.

use core::time::Duration;
use std::collections::BTreeMap;

use super::memory::fingerprint;
use super::{OFFSET_AGREES_US, Timeline, is_start};
use crate::media::{Packet, Timestamp, TrackId};
use crate::time::Now;

/// A source that has its place: one offset, exact in the ticks of each track.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) offset_us: i64,
    ticks: BTreeMap<TrackId, i64>,
    last_in: BTreeMap<TrackId, Timestamp>,
    /// How far its time has been ahead of the clock at most, in microseconds: since both began anywhere, only what is
    /// added to that says anything.
    pub(super) lead_us: i64,
    /// Packets may repeat what an earlier source delivered.
    overlaps: bool,
    /// The main track goes on without a hole, or has been started at a key frame.
    pub(super) decodable: bool,
}

impl Mapping {
    pub(super) fn new(offset_us: i64, overlaps: bool, decodable: bool) -> Mapping {
        let (ticks, last_in) = (BTreeMap::new(), BTreeMap::new());
        Mapping { offset_us, ticks, last_in, lead_us: i64::MIN, overlaps, decodable }
    }

    /// Whether the source has set its clock. Media that is missing is no jump forwards: time has passed meanwhile.
    pub(super) fn jumps(&self, now: Now, packet: &Packet) -> bool {
        let Some(last) = self.last_in.get(&packet.track) else { return false };
        let gained_us = lead_us(now, packet.dts.as_micros()).saturating_sub(self.lead_us);
        last.since(packet.dts) > JUMP_BACK || gained_us > JUMP_FORWARD_US
    }

    /// A packet has come, whether or not it passes.
    pub(super) fn hear(&mut self, now: Now, packet: &Packet) {
        self.last_in.insert(packet.track, packet.dts);
        self.lead_us = self.lead_us.max(lead_us(now, packet.dts.as_micros()));
    }

    /// Where a time of `track` lies on the timeline.
    pub(super) fn place(&mut self, track: TrackId, time: Timestamp) -> Timestamp {
        let offset_us = self.offset_us;
        let exact = || Timestamp::from_micros(offset_us).to(time.base()).ticks();
        time.plus_ticks(*self.ticks.entry(track).or_insert_with(exact))
    }

    /// Puts a packet in its place. What viewers have already, and what they could not decode, is left out.
    pub(super) fn pass(
        &mut self,
        timeline: &mut Timeline,
        now: Now,
        main: Option<TrackId>,
        mut packet: Packet,
        out: &mut Vec<Packet>,
    ) {
        let fingerprint = timeline.recalls.then(|| fingerprint(&packet));
        self.hear(now, &packet);
        if self.overlaps && fingerprint.is_some_and(|it| self.is_repeated(timeline, main, it, &packet)) {
            return;
        }
        let (dts, pts) = (packet.dts, packet.pts);
        packet.dts = self.place(packet.track, dts);
        packet.pts = self.place(packet.track, pts);
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

    /// Whether another source delivered this very packet. If so, the offset of its track is exact from here on, and
    /// decoding goes on behind it.
    pub(super) fn is_repeated(
        &mut self,
        timeline: &Timeline,
        main: Option<TrackId>,
        fingerprint: u64,
        packet: &Packet,
    ) -> bool {
        let mut places = timeline.memory.places(fingerprint);
        let place = places.find(|place| self.agrees(*place, packet));
        place.map(|place| self.confirm(main, place, packet)).is_some()
    }

    /// Whether `packet` belongs to `place`.
    pub(super) fn agrees(&self, place: Timestamp, packet: &Packet) -> bool {
        place.micros_since(packet.dts).abs_diff(self.offset_us) <= OFFSET_AGREES_US
    }

    /// Another source's copy of `packet` is at `place`.
    pub(super) fn confirm(&mut self, main: Option<TrackId>, place: Timestamp, packet: &Packet) {
        if place.base() == packet.dts.base() {
            self.ticks.insert(packet.track, place.ticks().saturating_sub(packet.dts.ticks()));
        }
        if Some(packet.track) == main || main.is_none() {
            self.decodable = true;
        }
    }
}

/// How far a source's time is ahead of the clock, in microseconds.
pub(super) fn lead_us(now: Now, source_us: i64) -> i64 {
    source_us.saturating_sub_unsigned(now.mono.as_micros())
}

/// A source whose time goes back by more than this has set its clock.
const JUMP_BACK: Duration = Duration::from_secs(1);
/// A source whose time goes forward by so many microseconds more than the clock does, too: its media would be behind a
/// hole in which nothing is missing. A source that was slow from its first packet on and leaves media out gains less.
const JUMP_FORWARD_US: i64 = 10_000_000;
