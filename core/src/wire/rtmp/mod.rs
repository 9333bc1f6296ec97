//! RTMP, as far as publishing needs it: a server that is published to and a client that publishes.
//!
//! From the bottom: `handshake`, then chunks (`chunk`) that carry messages (`message`), whose commands and metadata
//! are written in AMF0 (`amf0`). `connection` joins these and does what every RTMP peer does by itself
//! (acknowledgements, pings, chunk sizes); [`Server`] and [`Publisher`] are the two conversations on top.
//!
//! Nothing here knows what audio and video payloads mean (that is `wire::flv`), which streams exist, or what time it
//! is. Sources: Adobe's RTMP specification 1.0 (cited by section), Enhanced RTMP v2, and what ffmpeg, OBS and
//! GStreamer do.

pub mod amf0;
pub mod chunk;
mod client;
mod connection;
mod error;
mod handshake;
pub mod message;
mod server;

pub use client::{Publisher, PublisherAction};
pub use error::Error;
pub use handshake::Handshake;
pub use server::{PublishRequest, Server, ServerEvent};
