//! A source that stands by while another one plays: both carry the same access units, so its place is known exactly.
//!
//! What both have had is let go. What the other one has not brought yet is held, for the moment at which it fails: then
//! viewers get it without having missed or seen twice a single frame. That both are still the same is seen by every
//! access unit of the main track; a source that goes its own way is no longer in step.

use core::mem;
use std::collections::VecDeque;

use super::mapping::Mapping;
use super::memory::fingerprint;
use super::{PROOF_BYTES, Timeline};
use crate::limits::{HELD_BYTES_MAX, HELD_PACKETS_MAX};
use crate::media::{Packet, Timestamp, TrackId};
use crate::time::{Now, Time};

/// A source in step with what viewers see.
#[derive(Debug)]
pub(super) struct Standing {
    main: Option<TrackId>,
    mapping: Mapping,
    /// What has not been seen on the timeline, in the order in which it came.
    held: VecDeque<Held>,
    held_bytes: usize,
    /// How much of the timeline's memory it was compared with.
    compared: u64,
    /// Access units in a row that the timeline went past without having had them.
    strays: u32,
}

#[derive(Debug)]
struct Held {
    packet: Packet,
    fingerprint: u64,
    came: Time,
}

impl Standing {
    /// A source that is placed by `mapping`.
    pub(super) fn new(timeline: &Timeline, main: Option<TrackId>, mapping: Mapping) -> Standing {
        let compared = timeline.memory.written();
        Standing { main, mapping, held: VecDeque::new(), held_bytes: 0, compared, strays: 0 }
    }

    /// Takes what was held before its place was known.
    pub(super) fn holding(mut self, timeline: &Timeline, now: Now, held: VecDeque<Packet>) -> Standing {
        for packet in held {
            self.push(timeline, now, packet);
        }
        self.let_go(timeline);
        // What lies before the beginning of what viewers saw was never on the timeline.
        self.strays = 0;
        self
    }

    /// Takes its next packet.
    pub(super) fn push(&mut self, timeline: &Timeline, now: Now, packet: Packet) {
        self.mapping.hear(now, &packet);
        let fingerprint = fingerprint(&packet);
        if self.mapping.is_repeated(timeline, self.main, fingerprint, &packet) {
            return self.matches(packet.track);
        }
        if self.is_known_elsewhere(timeline, fingerprint, &packet) {
            self.strays = u32::MAX;
        }
        self.held_bytes += packet.data.len();
        self.held.push_back(Held { packet, fingerprint, came: now.mono });
        while self.held.len() > HELD_PACKETS_MAX || self.held_bytes > HELD_BYTES_MAX {
            self.drop_at(0);
            self.mapping.decodable = false;
        }
    }

    /// Whether viewers had this access unit a moment ago, at another time than this source says: its clock was set.
    fn is_known_elsewhere(&mut self, timeline: &Timeline, fingerprint: u64, packet: &Packet) -> bool {
        let here = self.mapping.place(packet.track, packet.dts);
        let is_near = |place: Timestamp| here.micros_since(place).abs() < A_MOMENT_US;
        let tells = packet.data.len() >= PROOF_BYTES && self.counts(packet.track);
        tells && timeline.memory.only_place(fingerprint).is_some_and(is_near)
    }

    /// Lets go of what the other source has brought meanwhile.
    pub(super) fn compare(&mut self, timeline: &Timeline) {
        for (fingerprint, place) in timeline.memory.since(self.compared) {
            let same =
                |held: &Held| held.fingerprint == fingerprint && self.mapping.agrees(place, &held.packet);
            let Some(at) = self.held.iter().position(same) else { continue };
            if let Some(packet) = self.drop_at(at) {
                self.mapping.confirm(self.main, place, &packet);
                self.matches(packet.track);
            }
        }
        self.compared = timeline.memory.written();
        self.let_go(timeline);
    }

    /// Whether it is in step: viewers would notice nothing if it took over.
    pub(super) fn is_in_step(&self) -> bool {
        self.mapping.decodable && self.strays == 0
    }

    /// Whether it carries other media than viewers see, or has set its clock.
    pub(super) fn is_astray(&self) -> bool {
        self.strays > STRAYS_MAX
    }

    /// Whether its clock was set.
    pub(super) fn jumps(&self, now: Now, packet: &Packet) -> bool {
        self.mapping.jumps(now, packet)
    }

    /// Since when the oldest access unit is held.
    pub(super) fn holds_since(&self) -> Option<Time> {
        self.held.front().map(|held| held.came)
    }

    /// Bytes that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Shows viewers everything that came until `came`.
    pub(super) fn cover(&mut self, timeline: &mut Timeline, now: Now, came: Time) -> Vec<Packet> {
        self.release(timeline, now, |_, held| held.came <= came)
    }

    /// Shows viewers what lies before `end` on `track`.
    pub(super) fn fill(
        &mut self,
        timeline: &mut Timeline,
        now: Now,
        track: TrackId,
        end: Timestamp,
    ) -> Vec<Packet> {
        self.release(timeline, now, |mapping, held| {
            held.packet.track == track && mapping.place(track, held.packet.dts) < end
        })
    }

    /// It takes over: what it holds comes first, and what comes next goes through the mapping.
    pub(super) fn take_over(mut self, timeline: &mut Timeline, now: Now) -> (Mapping, Vec<Packet>) {
        let packets = self.release(timeline, now, |_, _| true);
        (self.mapping, packets)
    }

    fn release(
        &mut self,
        timeline: &mut Timeline,
        now: Now,
        which: impl Fn(&mut Mapping, &Held) -> bool,
    ) -> Vec<Packet> {
        let mut out = Vec::new();
        for held in mem::take(&mut self.held) {
            if which(&mut self.mapping, &held) {
                self.held_bytes -= held.packet.data.len();
                self.mapping.pass(timeline, now, self.main, held.packet, &mut out);
            } else {
                self.held.push_back(held);
            }
        }
        out
    }

    /// Forgets what the timeline went past without it.
    fn let_go(&mut self, timeline: &Timeline) {
        let mut at = 0;
        while let Some(held) = self.held.get(at) {
            let (track, dts) = (held.packet.track, held.packet.dts);
            let place = self.mapping.place(track, dts);
            if timeline.tracks.get(&track).is_none_or(|position| position.last < place) {
                at += 1;
                continue;
            }
            self.drop_at(at);
            if self.counts(track) {
                self.strays = self.strays.saturating_add(1);
            }
        }
    }

    fn matches(&mut self, track: TrackId) {
        if self.counts(track) {
            self.strays = 0;
        }
    }

    /// Whether access units of `track` tell one source from another: silence is the same everywhere.
    fn counts(&self, track: TrackId) -> bool {
        self.main.is_none_or(|main| main == track)
    }

    fn drop_at(&mut self, at: usize) -> Option<Packet> {
        let held = self.held.remove(at)?;
        self.held_bytes -= held.packet.data.len();
        Some(held.packet)
    }
}

/// So many access units in a row can be missing on the timeline because the other source has left them out.
const STRAYS_MAX: u32 = 16;

/// A programme that repeats itself does so after longer than this, in microseconds.
const A_MOMENT_US: i64 = 1_000_000;
