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
    order: VecDeque<(u64, u64)>,
    /// Where each content was placed, by fingerprint and then in the order of time. What repeats itself (silence, a
    /// still picture, a looping programme) has more than one place.
    places: BTreeMap<(u64, u64), Timestamp>,
    next: u64,
}

impl Memory {
    /// Remembers that a packet with this content was placed at `dts`.
    pub(super) fn remember(&mut self, fingerprint: u64, dts: Timestamp) {
        if self.order.len() == MEMORY_ACCESS_UNITS
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
        self.order.push_back((fingerprint, self.next));
        self.places.insert((fingerprint, self.next), dts);
        self.next += 1;
    }

    /// How much is remembered.
    pub(super) fn len(&self) -> usize {
        self.order.len().max(self.places.len())
    }

    /// Every place at which a packet with this content was.
    pub(super) fn places(&self, fingerprint: u64) -> impl Iterator<Item = Timestamp> {
        self.places.range((fingerprint, 0)..=(fingerprint, u64::MAX)).map(|(_, dts)| *dts)
    }

    /// Where the packet with this content was placed, if it was there exactly once.
    pub(super) fn only_place(&self, fingerprint: u64) -> Option<Timestamp> {
        let mut places = self.places(fingerprint);
        places.next().filter(|_| places.next().is_none())
    }

    /// How much media is remembered, in microseconds.
    pub(super) fn span_us(&self) -> i64 {
        let place = |key: Option<&(u64, u64)>| key.and_then(|key| self.places.get(key));
        match (place(self.order.front()), place(self.order.back())) {
            (Some(first), Some(last)) => last.micros_since(*first),
            _ => 0,
        }
    }
}
