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
    /// Of a million packets, how many are lost. A datagram is lost for good; what is in a stream is sent
    /// again, and may be lost again.
    pub loss_ppm: u32,
    /// Of a million packets, how many take a detour. A datagram is overtaken by later ones; a stream waits for it.
    pub reorder_ppm: u32,
    /// How much longer the detour takes.
    pub reorder_by: Duration,
    /// Of a million packets, how many come twice. Streams do not show it.
    pub duplicate_ppm: u32,
    /// The longest packet, headers included, in bytes: longer datagrams are lost. Streams are cut to fit.
    pub mtu: usize,
}

impl From<Latency> for Link {
    fn from(latency: Latency) -> Link {
        Link {
            latency,
            bandwidth: None,
            loss_ppm: 0,
            reorder_ppm: 0,
            reorder_by: Duration::ZERO,
            duplicate_ppm: 0,
            mtu: MTU_ETHERNET,
        }
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

    /// The same with `ppm` of a million packets taking `by` longer than the others.
    pub const fn reorder_ppm(self, ppm: u32, by: Duration) -> Link {
        Link { reorder_ppm: ppm, reorder_by: by, ..self }
    }

    /// The same with `ppm` of a million packets coming twice.
    pub const fn duplicate_ppm(self, ppm: u32) -> Link {
        Link { duplicate_ppm: ppm, ..self }
    }

    /// The same for packets of at most `bytes`, headers included.
    pub const fn mtu(self, bytes: usize) -> Link {
        Link { mtu: bytes, ..self }
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
    /// From a host to itself.
    is_loop: bool,
    way: Way,
    busy_until: Time,
}

/// The number of a direction between two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireNo(usize);

/// Every direction between every two hosts.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    usual: Link,
    loopback: Link,
    wires: Vec<Wire>,
    numbers: BTreeMap<(HostId, HostId), WireNo>,
    rng: Rng,
    /// Datagrams draw from a generator of their own, so that they move nothing in streams.
    datagrams: Rng,
}

impl Links {
    pub(crate) fn new(rng: Rng) -> Links {
        let loopback = Latency { least: Duration::from_micros(20), jitter: Duration::ZERO };
        let loopback = Link::from(loopback).mtu(MTU_LOOPBACK);
        let datagrams = rng.fork("datagrams");
        Links {
            usual: Latency::ms(1).into(),
            loopback,
            wires: Vec::new(),
            numbers: BTreeMap::new(),
            rng,
            datagrams,
        }
    }

    pub(crate) fn set_usual(&mut self, link: Link) {
        self.usual = link;
    }

    /// The direction from `from` to `to`, which keeps its number.
    pub(crate) fn wire(&mut self, from: HostId, to: HostId) -> WireNo {
        *self.numbers.entry((from, to)).or_insert_with(|| {
            self.wires.push(Wire { is_loop: from == to, ..Wire::default() });
            WireNo(self.wires.len() - 1)
        })
    }

    pub(crate) fn set(&mut self, from: HostId, to: HostId, link: Link) {
        let wire = self.wire(from, to);
        self.wires[wire.0].own = Some(link);
    }

    pub(crate) fn set_way(&mut self, from: HostId, to: HostId, way: Way) {
        let wire = self.wire(from, to);
        self.wires[wire.0].way = way;
    }

    pub(crate) fn way(&self, from: HostId, to: HostId) -> Way {
        self.numbers.get(&(from, to)).map_or(Way::Open, |wire| self.way_of(*wire))
    }

    pub(crate) fn way_of(&self, wire: WireNo) -> Way {
        self.wires[wire.0].way
    }

    /// When a packet of `bytes` that leaves at `now` and is not lost is there. The way is open.
    pub(crate) fn arrival(&mut self, now: Time, wire: WireNo, bytes: usize) -> Time {
        let (link, left) = self.leave(now, wire, bytes);
        travel(&link, left, &mut self.rng)
    }

    /// How many of `packets` of streams are lost.
    pub(crate) fn losses(&mut self, wire: WireNo, packets: u32) -> u32 {
        let loss_ppm = self.link(wire).loss_ppm;
        if loss_ppm == 0 {
            return 0;
        }
        (0..packets).map(|_| u32::from(self.rng.chance(loss_ppm))).sum()
    }

    /// The longest payload of a stream's packet.
    pub(crate) fn mss(&self, wire: WireNo) -> usize {
        self.link(wire).mtu.saturating_sub(HEADERS).max(1)
    }

    /// When a datagram of `bytes`, headers included, that leaves at `now` is there: once, twice or not at all. The
    /// way is open.
    pub(crate) fn datagram(&mut self, now: Time, wire: WireNo, bytes: usize) -> [Option<Time>; 2] {
        let (link, left) = self.leave(now, wire, bytes);
        let rng = &mut self.datagrams;
        if bytes > link.mtu || rng.chance(link.loss_ppm) {
            return [None; 2];
        }
        let first = travel(&link, left, rng);
        let second = rng.chance(link.duplicate_ppm).then(|| travel(&link, left, rng));
        [Some(first), second]
    }

    fn link(&self, wire: WireNo) -> Link {
        let wire = &self.wires[wire.0];
        wire.own.unwrap_or(if wire.is_loop { self.loopback } else { self.usual })
    }

    /// What a packet of `bytes` is sent over, and when its last byte has left.
    fn leave(&mut self, now: Time, wire: WireNo, bytes: usize) -> (Link, Time) {
        let link = self.link(wire);
        let wire = &mut self.wires[wire.0];
        let Some(rate) = link.bandwidth else { return (link, now) };
        let us = (bytes as u64).saturating_mul(1_000_000) / rate.max(1);
        wire.busy_until = wire.busy_until.max(now) + Duration::from_micros(us);
        (link, wire.busy_until)
    }
}

/// When a packet that has left is there.
fn travel(link: &Link, left: Time, rng: &mut Rng) -> Time {
    let there = left + link.latency.least + rng.duration(link.latency.jitter);
    if rng.chance(link.reorder_ppm) { there + link.reorder_by } else { there }
}

/// The longest packet on an Ethernet, in bytes.
const MTU_ETHERNET: usize = 1_500;
/// The longest packet on Linux's loopback interface, in bytes.
const MTU_LOOPBACK: usize = 65_536;
/// What TCP and IP need of a packet, with the timestamps that Linux adds.
const HEADERS: usize = 52;
