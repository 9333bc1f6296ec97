//! Every decision that Headwater makes.
//!
//! This crate opens nothing, reads no clock, starts no thread and draws no randomness of its own. Facts go in
//! through [`io::Input`], decisions come out as [`io::Output`], time and a seed are given by the caller. The
//! tokio driver (`headwater-net-real`) and the simulator (`headwater-net-sim`) drive the very same values.
//!
//! The order of the modules below is the way of a packet: it is parsed (`wire`), understood (`media`), published
//! (`publish`) or pulled (`pull`), placed on a timeline (`timeline`), relayed to edges (`relay`) and packaged for
//! viewers (`hls`). `node` is the only place that knows all of them.

#![deny(missing_docs)]

pub mod census;
pub mod config;
pub mod event;
pub mod hls;
pub mod io;
pub mod limits;
pub mod media;
pub mod name;
pub mod node;
pub mod origin_map;
pub mod publish;
pub mod pull;
pub mod registry;
pub mod relay;
#[cfg(test)]
mod testing;
pub mod time;
pub mod timeline;
pub mod url;
pub mod wire;
