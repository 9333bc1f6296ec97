//! What a peer can do wrong. Every error here is the peer's, and every one ends the connection.

use thiserror::Error;

use super::media::{BitstreamFormat, MEDIA_HEADER_BYTES};
use super::packet::PAYLOAD_BYTES_MAX;
use crate::limits;

/// Why an OVT connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The peer speaks something else than we do.
    #[error("the OVT peer is incompatible: {0}")]
    PeerIncompatible(#[from] PeerIncompatible),
    /// The peer broke the protocol, or one of our bounds.
    #[error("the OVT peer misbehaved: {0}")]
    PeerMisbehaved(#[from] PeerMisbehaved),
}

/// How the peer's OVT differs from ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeerIncompatible {
    /// Media in a form that OvenMediaEngine's output side never uses.
    #[error("track {track} carries bitstream format {}; its codec's normal form is {}", .found.0, .expected.0)]
    BitstreamFormat {
        /// The track's id.
        track: u32,
        /// What the packet says.
        found: BitstreamFormat,
        /// What the track's codec calls for.
        expected: BitstreamFormat,
    },
    /// The packet header's version is not 1.
    #[error("OVT packet version {0}; only version 1 is known")]
    PacketVersion(u8),
}

/// How the peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeerMisbehaved {
    /// More media before the PLAY answer than we keep.
    #[error(
        "more than {} packets or {} bytes of media before the PLAY answer",
        limits::OVT_EARLY_PACKETS_MAX,
        limits::OVT_EARLY_BYTES_MAX
    )]
    EarlyMedia,
    /// A message without a text.
    #[error("an empty message")]
    EmptyMessage,
    /// A key of a message is missing, or is not what it should be.
    #[error("{path} is not {want}")]
    Field {
        /// The way to the key: `contents.stream.tracks[1].bitrate`.
        path: String,
        /// What was expected there.
        want: &'static str,
    },
    /// A message is not JSON.
    #[error("a message is not JSON: {0}")]
    Json(String),
    /// The size inside a media packet is not the size of the packet.
    #[error("a media packet says that it has {declared} bytes of data, and has {actual}")]
    MediaSize {
        /// What it says.
        declared: u32,
        /// What it has.
        actual: usize,
    },
    /// A media packet is longer than [`limits::OVT_MEDIA_BYTES_MAX`].
    #[error("a media packet is longer than {} bytes", limits::OVT_MEDIA_BYTES_MAX)]
    MediaTooLong,
    /// A media packet is too short for its own header.
    #[error("a media packet of {0} bytes; its header alone has {MEDIA_HEADER_BYTES}")]
    MediaTooShort(usize),
    /// A message is longer than the receiver's bound.
    #[error("a message is longer than {0} bytes")]
    MessageTooLong(usize),
    /// A packet is longer than any packet can be.
    #[error("a packet with a payload of {0} bytes; {PAYLOAD_BYTES_MAX} is the most")]
    PayloadTooLong(u16),
    /// A media packet of a time that no media has.
    #[error(
        "a media packet at {micros} µs; no media is more than {} µs from zero",
        limits::MEDIA_TIME_US_MAX
    )]
    MediaTime {
        /// Its DTS or PTS, in microseconds.
        micros: i64,
    },
    /// An origin was sent more of what it does not read than it skips.
    #[error("more than {} bytes that are no requests", limits::OVT_IGNORED_BYTES_MAX)]
    TooMuchIgnored,
    /// An origin was asked faster than it answers.
    #[error(
        "more than {} requests in a row, or one every {:?}",
        limits::OVT_REQUEST_BURST,
        limits::OVT_REQUEST_INTERVAL
    )]
    TooManyRequests,
    /// An answer to something that was not asked.
    #[error("an answer to {application} {id}, which was not asked")]
    WrongAnswer {
        /// The application of the answer.
        application: String,
        /// Its id.
        id: u32,
    },
    /// A message at a time when none is due.
    #[error("a message when none is due")]
    UnexpectedMessage,
}
