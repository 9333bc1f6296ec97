//! How an RTMP peer can be wrong.

use super::amf0;
use crate::limits;

/// What the peer did. Every variant is the peer's fault, and the connection is not usable after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A command or metadata could not be read.
    #[error("the peer sent a malformed {what}: {source}")]
    Amf0 {
        /// Which kind of message.
        what: &'static str,
        /// What is wrong with it.
        source: amf0::Error,
    },
    /// A message was interrupted by the header of another on the same chunk stream.
    #[error("the peer began a new message on chunk stream {0} before the last one was complete")]
    Interrupted(u32),
    /// A control message of the wrong length, or with a value that cannot be.
    #[error("the peer sent a malformed {0} message")]
    Malformed(&'static str),
    /// A header refers to an earlier one that was never sent.
    #[error("the peer's chunk on chunk stream {0} refers to a header that it never sent")]
    NoHeader(u32),
    /// The first bytes are another protocol's.
    #[error("the peer does not speak RTMP: {0}")]
    NotRtmp(&'static str),
    /// A command came at the wrong moment.
    #[error("the peer sent {command} {when}")]
    OutOfOrder {
        /// The command.
        command: &'static str,
        /// When it came.
        when: &'static str,
    },
    /// A bound of ours was exceeded.
    #[error("the peer sent {what} over the limit of {max}")]
    TooMuch {
        /// Of what, with the amount if it is known.
        what: String,
        /// The bound.
        max: usize,
    },
}

impl Error {
    /// A message that is longer than any that is taken.
    pub(super) fn message_too_long(bytes: usize) -> Error {
        Error::TooMuch { what: format!("a message of {bytes} bytes"), max: limits::ACCESS_UNIT_BYTES_MAX }
    }
}
