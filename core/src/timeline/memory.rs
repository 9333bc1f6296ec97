//! What a stream carried lately, by content: the fingerprints of its last access units and where they were placed.

use std::collections::{BTreeMap, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use crate::limits::MEMORY_ACCESS_UNITS;
use crate::media::{Packet, Timestamp};

/// The content of a packet in 64 bits.
pub(super) fn fingerprint(packet: &Packet) -> u64 {
    xxh3_64(&packet.data)
}

/// A bounded memory of fingerprints.
#[derive(Debug, Default)]
pub(super) struct Memory {
    order: VecDeque<(u64, Timestamp)>,
    /// Where each content was placed, oldest first. What repeats itself (silence, a still picture, a looping
    /// programme) has more than one place.
    places: BTreeMap<u64, Vec<Timestamp>>,
}

impl Memory {
    /// Remembers that a packet with this content was placed at `dts`.
    pub(super) fn remember(&mut self, fingerprint: u64, dts: Timestamp) {
        if self.order.len() == MEMORY_ACCESS_UNITS
            && let Some((oldest, _)) = self.order.pop_front()
        {
            self.forget_once(oldest);
        }
        self.order.push_back((fingerprint, dts));
        self.places.entry(fingerprint).or_default().push(dts);
    }

    /// Every place at which a packet with this content was.
    pub(super) fn places(&self, fingerprint: u64) -> &[Timestamp] {
        self.places.get(&fingerprint).map_or(&[], Vec::as_slice)
    }

    /// Where the packet with this content was placed, if it was there exactly once.
    pub(super) fn only_place(&self, fingerprint: u64) -> Option<Timestamp> {
        match self.places(fingerprint) {
            [place] => Some(*place),
            _ => None,
        }
    }

    /// How much media is remembered, in microseconds.
    pub(super) fn span_us(&self) -> i64 {
        match (self.order.front(), self.order.back()) {
            (Some((_, first)), Some((_, last))) => last.micros_since(*first),
            _ => 0,
        }
    }

    fn forget_once(&mut self, fingerprint: u64) {
        if let Some(places) = self.places.get_mut(&fingerprint) {
            places.remove(0);
            if places.is_empty() {
                self.places.remove(&fingerprint);
            }
        }
    }
}
