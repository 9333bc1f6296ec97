//! OvenMediaEngine 0.20.0 as far as OVT goes: an [`Origin`] that Headwater's edges pull from, and an [`Edge`] that
//! pulls from Headwater's origins and minds every rule that the real one depends on.
//!
//! They read and write the protocol with code of their own (`packet`), so that a misreading of it in core shows when
//! the two meet. What they do was observed on the real program; they must not know anything of core's `wire::ovt`.

mod edge;
mod origin;
mod packet;
pub mod spoilt;

pub use edge::{Breach, Edge, EdgeSeen, OmeIsContent, Pulling};
pub use origin::{Origin, Stream};

/// A request as an edge sends it.
pub(crate) fn request(wall: headwater_core::time::Wall, text: &str) -> Vec<u8> {
    packet::message(packet::REQUEST, u64::try_from(wall.as_millis()).unwrap_or(0), text.as_bytes())
}

/// A packet of a request that does not end with it.
pub(crate) fn endless() -> Vec<u8> {
    let mut bytes = packet::message(packet::REQUEST, 0, &[b' '; 1_000]);
    bytes[0] &= !packet::LAST;
    bytes
}
