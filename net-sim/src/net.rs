//! The wires between hosts: how long they take, how much they carry, and whether they are cut or held. Each
//! direction is a wire of its own. Streams, retransmission and HTTP are laid over them elsewhere.

use core::time::Duration;
use std::collections::BTreeMap;

use headwater_core::time::Time;

use crate::rng::Rng;
use crate::world::HostId;

/// How long a packet takes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// At least this.
    pub least: Duration,
    /// At most this much more, evenly spread.
    pub jitter: Duration,
}

impl Latency {
    /// Always `ms` milliseconds.
    pub const fn ms(ms: u64) -> Latency {
        Latency { least: Duration::from_millis(ms), jitter: Duration::ZERO }
    }

    /// Up to `ms` milliseconds more.
    pub const fn jitter_ms(self, ms: u64) -> Latency {
        Latency { jitter: Duration::from_millis(ms), ..self }
    }
}

/// What one direction between two hosts is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How long a packet takes.
    pub latency: Latency,
    /// Bytes per second; unlimited if none.
    pub bandwidth: Option<u64>,
    /// Of a million packets, how many are lost once, and so come a retransmission later.
    pub loss_ppm: u32,
}

impl From<Latency> for Link {
    fn from(latency: Latency) -> Link {
        Link { latency, bandwidth: None, loss_ppm: 0 }
    }
}

impl Link {
    /// The same with at most `bytes` per second.
    pub const fn bandwidth(self, bytes: u64) -> Link {
        Link { bandwidth: Some(bytes), ..self }
    }

    /// The same with `ppm` of a million packets lost.
    pub const fn loss_ppm(self, ppm: u32) -> Link {
        Link { loss_ppm: ppm, ..self }
    }
}

/// Whether packets get through a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// They do.
    #[default]
    Open,
    /// They wait, and all come when the way is released.
    Held,
    /// They are lost; only retransmission brings them later.
    Cut,
}

#[derive(Clone, Debug, Default)]
struct Wire {
    own: Option<Link>,
    way: Way,
    busy_until: Time,
}

/// Every direction between every two hosts.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    usual: Link,
    loopback: Link,
    wires: BTreeMap<(HostId, HostId), Wire>,
    rng: Rng,
}

impl Links {
    pub(crate) fn new(rng: Rng) -> Links {
        let loopback = Latency { least: Duration::from_micros(20), jitter: Duration::ZERO };
        Links { usual: Latency::ms(1).into(), loopback: loopback.into(), wires: BTreeMap::new(), rng }
    }

    pub(crate) fn set_usual(&mut self, link: Link) {
        self.usual = link;
    }

    pub(crate) fn set(&mut self, from: HostId, to: HostId, link: Link) {
        self.wires.entry((from, to)).or_default().own = Some(link);
    }

    pub(crate) fn set_way(&mut self, from: HostId, to: HostId, way: Way) {
        self.wires.entry((from, to)).or_default().way = way;
    }

    pub(crate) fn way(&self, from: HostId, to: HostId) -> Way {
        self.wires.get(&(from, to)).map_or(Way::Open, |wire| wire.way)
    }

    /// When a packet of `bytes` that leaves at `now` is there. The way is open.
    pub(crate) fn arrival(&mut self, now: Time, from: HostId, to: HostId, bytes: usize) -> Time {
        let usual = if from == to { self.loopback } else { self.usual };
        let wire = self.wires.entry((from, to)).or_default();
        let link = wire.own.unwrap_or(usual);
        let mut left = now;
        if let Some(rate) = link.bandwidth {
            let us = (bytes as u64).saturating_mul(1_000_000) / rate.max(1);
            wire.busy_until = wire.busy_until.max(now) + Duration::from_micros(us);
            left = wire.busy_until;
        }
        let mut there = left + link.latency.least + self.rng.duration(link.latency.jitter);
        if self.rng.chance(link.loss_ppm) {
            there += RETRANSMISSION_MIN;
        }
        there
    }
}

/// The first retransmission of a lost segment comes this much later (Linux: TCP_RTO_MIN).
pub(crate) const RETRANSMISSION_MIN: Duration = Duration::from_millis(200);
