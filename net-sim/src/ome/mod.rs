//! OvenMediaEngine 0.20.0 as far as OVT goes: an [`Origin`] that Headwater's edges pull from, and an [`Edge`] that
//! pulls from Headwater's origins and minds every rule that the real one depends on.
//!
//! They read and write the protocol with code of their own (`packet`), so that a misreading of it in core shows when
//! the two meet. What they do was observed on the real program; they must not know anything of core's `wire::ovt`.

mod edge;
mod origin;
mod packet;

pub use edge::{Breach, Edge, EdgeSeen, OmeIsContent, Pulling};
pub use origin::{Origin, Stream};
