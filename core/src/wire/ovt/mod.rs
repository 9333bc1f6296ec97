//! OVT, the relay protocol between an OvenMediaEngine origin and its edges, both sides (reference: OVT).
//!
//! One TCP connection carries one pulled stream: the edge sends DESCRIBE and PLAY, the origin answers, then sends
//! media until either side closes. From the bytes up:
//!
//! - [`packet`]: the 18-byte header, and cutting a unit into packets;
//! - [`reassembly`]: bytes cut anywhere, back into units;
//! - [`media`]: the serialised media packet;
//! - [`message`]: requests, responses, and what a DESCRIBE says;
//! - [`client`] and [`server`]: one connection's side each, as a machine without time.
//!
//! Nothing here knows which streams exist, where they come from, or how long anybody may take.

pub mod client;
mod codes;
mod error;
mod json;
pub mod media;
pub mod message;
pub mod packet;
pub mod reassembly;
pub mod server;

pub use client::{Client, ClientEvent};
pub use error::{Error, PeerIncompatible, PeerMisbehaved};
pub use media::MediaPacket;
pub use message::{Application, Description, Grant};
pub use server::{Server, ServerEvent};

#[cfg(test)]
mod captures;
