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
    order: VecDeque<u64>,
    places: BTreeMap<u64, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    dts: Timestamp,
    times: u32,
}

impl Memory {
    /// Remembers that a packet with this content was placed at `dts`.
    pub(super) fn remember(&mut self, fingerprint: u64, dts: Timestamp) {
        if self.order.len() == MEMORY_ACCESS_UNITS
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget_once(oldest);
        }
        self.order.push_back(fingerprint);
        let place = self.places.entry(fingerprint).or_insert(Place { dts, times: 0 });
        place.dts = dts;
        place.times += 1;
    }

    /// Where the packet with this content was placed, if it was there exactly once: digital silence and still
    /// pictures repeat themselves and tell nothing about time.
    pub(super) fn place(&self, fingerprint: u64) -> Option<Timestamp> {
        self.places.get(&fingerprint).filter(|place| place.times == 1).map(|place| place.dts)
    }

    fn forget_once(&mut self, fingerprint: u64) {
        if let Some(place) = self.places.get_mut(&fingerprint) {
            place.times -= 1;
            if place.times == 0 {
                self.places.remove(&fingerprint);
            }
        }
    }
}
