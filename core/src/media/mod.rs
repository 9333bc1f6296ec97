//! What media is inside Headwater: tracks, timestamps that know their timebase, and packets in one normal form.
//!
//! The normal form is the one that crosses OVT (reference: OVT section 3.5): H.264 and H.265 access units in
//! Annex B with an access-unit delimiter and, on key frames, parameter sets; AAC as one ADTS frame per packet.
//! Everything that enters is brought into it once; everything that leaves starts from it. This module knows
//! nothing of protocols, connections or wall clocks.

pub mod aac;
pub mod annexb;
mod format;
pub mod h264;
pub mod h265;
mod timestamp;
mod track;

pub use format::changed_format;
pub use timestamp::{Timebase, Timestamp};
pub use track::{
    AudioFormat, Codec, Kind, Playlist, PlaylistOptions, Rendition, StreamInfo, Track, TrackId, VideoFormat,
};

use bytes::Bytes;

/// One access unit (video) or one frame (audio) in the normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The track it belongs to.
    pub track: TrackId,
    /// When it is decoded.
    pub dts: Timestamp,
    /// When it is presented; in the same timebase as `dts`.
    pub pts: Timestamp,
    /// Whether decoding can start here. Always true for audio.
    pub key: bool,
    /// The payload, in the normal form of the track's codec.
    pub data: Bytes,
}
