//! The origin's OVT side: a stream's media encoded once, and handed to every OVT client as fast as it can take it.
//!
//! A [`Channel`] belongs to a stream and keeps its recent past, so that a client can start at once. A [`Session`]
//! belongs to a connection and decides what that client gets: everything in order, or, when it cannot keep up,
//! nothing until the next key frame. Neither knows where the media came from.

mod channel;
mod session;

pub use channel::{Channel, Unit};
pub use session::{Offer, Session};
