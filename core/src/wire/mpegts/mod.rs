//! MPEG transport streams as HLS wants them: one segment, read or written whole.
//!
//! Sources: ISO/IEC 13818-1 (2.4.3 packets and PES, 2.4.4 tables), RFC 8216 section 3.2. This module knows nothing of segments'
//! boundaries or playlists.

mod reader;
mod writer;

use bytes::Bytes;

pub use reader::{Fault, Segment, read};
pub use writer::segment;

/// The length of a packet.
pub const PACKET: usize = 188;
/// Elementary streams in one transport stream: as many as its program map table has room for in one packet, and some less.
pub const STREAMS_MAX: usize = 16;

/// The PID of the program association table.
const PID_PAT: u16 = 0;
/// Ticks have 33 bits.
const TICKS_MASK: u64 = (1 << 33) - 1;

/// How an elementary stream is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// AAC in ADTS.
    Aac,
    /// H.264 in Annex B.
    H264,
    /// H.265 in Annex B.
    H265,
}

impl Coding {
    const fn stream_type(self) -> u8 {
        match self {
            Coding::Aac => 0x0f,
            Coding::H264 => 0x1b,
            Coding::H265 => 0x24,
        }
    }

    const fn of_stream_type(stream_type: u8) -> Option<Coding> {
        match stream_type {
            0x0f => Some(Coding::Aac),
            0x1b => Some(Coding::H264),
            0x24 => Some(Coding::H265),
            _ => None,
        }
    }

    const fn stream_id(self, index: usize) -> u8 {
        match self {
            Coding::Aac => 0xc0 | (index as u8 & 0x1f),
            Coding::H264 | Coding::H265 => 0xe0 | (index as u8 & 0x0f),
        }
    }
}

/// What becomes a PES packet: an access unit of video, or some frames of audio that follow each other without a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which of the elementary streams it belongs to.
    pub stream: usize,
    /// When it is decoded, in ticks of 1/90000 s since media time zero; of these, 33 bits are written.
    pub dts: u64,
    /// When it is presented.
    pub pts: u64,
    /// Whether decoding can start here.
    pub random_access: bool,
    /// Its bytes, in pieces.
    pub data: Vec<Bytes>,
}

/// The CRC of ISO/IEC 13818-1 Annex A. Tables are a few bytes long.
fn crc32(data: &[u8]) -> u32 {
    data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests;
