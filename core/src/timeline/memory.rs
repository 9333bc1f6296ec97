//! What a stream carried lately, by content: the fingerprints of its last access units and where they were placed.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{MEMORY_ACCESS_UNITS, MEMORY_KEY_FRAMES};
use crate::media::{Packet, Timestamp};

/// The content of a packet in 64 bits.
pub(super) fn fingerprint(packet: &Packet) -> u64 {
    xxh3_64(&packet.data)
}

/// A bounded memory of fingerprints. Every packet is written into it and only those of a new source are looked up, so
/// it has no index: looking through all of it takes less than a microsecond.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// In the order of time. What repeats itself (silence, a still picture, a looping programme) is there more than
    /// once.
    fingerprints: VecDeque<u64>,
    /// Where each of them was placed.
    places: VecDeque<Timestamp>,
    /// How many were written, those that are forgotten included.
    written: u64,
    /// The last key frames, for longer than all the others: enough to tell that a source is late.
    keys: VecDeque<(u64, Timestamp)>,
}

impl Memory {
    /// Remembers that a packet with this content was placed at `dts`.
    pub(super) fn remember(&mut self, fingerprint: u64, dts: Timestamp, key: bool) {
        if key {
            if self.keys.len() == MEMORY_KEY_FRAMES {
                self.keys.pop_front();
            }
            self.keys.push_back((fingerprint, dts));
        }
        if self.fingerprints.len() == MEMORY_ACCESS_UNITS {
            self.fingerprints.pop_front();
            self.places.pop_front();
        }
        self.fingerprints.push_back(fingerprint);
        self.places.push_back(dts);
        self.written += 1;
    }

    /// How many packets were ever remembered.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// What was remembered after the first `written` packets, with its places, in the order of time.
    pub(super) fn since(&self, written: u64) -> impl Iterator<Item = (u64, Timestamp)> {
        let news = usize::try_from(self.written.saturating_sub(written)).unwrap_or(usize::MAX);
        let from = self.fingerprints.len().saturating_sub(news);
        self.fingerprints.range(from..).copied().zip(self.places.range(from..).copied())
    }

    /// How much is remembered.
    pub(super) fn len(&self) -> usize {
        self.fingerprints.len().max(self.places.len()) + self.keys.len()
    }

    /// Every place at which a packet with this content was, in the order of time.
    pub(super) fn places(&self, fingerprint: u64) -> impl Iterator<Item = Timestamp> {
        let known = self.fingerprints.iter().enumerate().filter(move |(_, known)| **known == fingerprint);
        known.filter_map(|(at, _)| self.places.get(at).copied())
    }

    /// Where a key frame with this content was placed last.
    pub(super) fn last_place_of_key(&self, fingerprint: u64) -> Option<Timestamp> {
        self.keys.iter().rev().find(|(known, _)| *known == fingerprint).map(|(_, dts)| *dts)
    }

    /// Where the packet with this content was placed, if it was there exactly once.
    pub(super) fn only_place(&self, fingerprint: u64) -> Option<Timestamp> {
        let mut places = self.places(fingerprint);
        places.next().filter(|_| places.next().is_none())
    }

    /// How much media is remembered, in microseconds.
    pub(super) fn span_us(&self) -> i64 {
        match (self.places.front(), self.places.back()) {
            (Some(first), Some(last)) => last.micros_since(*first),
            _ => 0,
        }
    }
}
