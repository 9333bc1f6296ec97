//! How a publisher can be wrong.

use crate::limits;
use crate::wire::{flv, rtmp};

/// What the publisher did. Every variant is the publisher's fault; its text is written for the person at the encoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// An access unit that no picture needs.
    #[error("an access unit of {0} bytes is over the limit of {max}; lower the bitrate", max = limits::ACCESS_UNIT_BYTES_MAX)]
    AccessUnitTooLong(usize),
    /// Presentation far from decoding.
    #[error("a frame is to be shown {0} ms from when it is decoded; that cannot be meant")]
    Composition(i32),
    /// A sequence header that cannot be read.
    #[error("the {what} in the sequence header is malformed: {why}")]
    Config {
        /// The name of the record.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A tag that cannot be read.
    #[error(transparent)]
    Flv(#[from] flv::UnexpectedEnd),
    /// An AAC frame that ADTS cannot hold.
    #[error("an AAC frame of {0} bytes is longer than any AAC frame can be")]
    FrameTooLong(usize),
    /// NAL units that do not fill the access unit.
    #[error("a NAL unit is cut off; H.264 and H.265 must be sent as length-prefixed NAL units")]
    Nal,
    /// Broken RTMP.
    #[error(transparent)]
    Rtmp(#[from] rtmp::Error),
    /// Time travel.
    #[error(
        "the timestamp jumped forward by {0} ms from one message to the next; use one clock for audio and video"
    )]
    TimestampJump(i64),
    /// Sound that cannot be taken.
    #[error("{0} is not supported; publish AAC-LC")]
    UnsupportedAudio(String),
    /// Pictures that cannot be taken.
    #[error("{0} is not supported; publish H.264 or H.265")]
    UnsupportedVideo(String),
}
