//! The names of resources, both ways: OvenMediaEngine's layout (reference: LL-HLS section 1.1).
//!
//! `<what>_<track>[_<msn>[_<part>]]_<kind>_<key>_llhls.<extension>`. The key is a function of the stream's name, as
//! in OvenMediaEngine's OriginMode, so every server names the same thing alike. The key of an init section also
//! names its content, `<key>x<eight hexadecimal digits>`: one URL never means two init sections.

use core::fmt;

use crate::media::{Kind, Rendition, TrackId};

/// OvenMediaEngine's stable key of a stream: MurmurHash64A of its name, in decimal (reference: LL-HLS section 7).
pub(super) fn stream_key(stream: &str) -> String {
    murmur_hash_64a(stream.as_bytes()).to_string()
}

/// The key of an init section with these bytes.
pub(super) fn init_key(stream_key: &str, init: &[u8]) -> String {
    format!("{stream_key}x{:08x}", murmur_hash_64a(init) as u32)
}

/// MurmurHash64A with libstdc++'s seed, reading little-endian on every machine.
fn murmur_hash_64a(data: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SEED: u64 = 0xc70f_6907;
    let mix = |value: u64| {
        let value = value.wrapping_mul(MULTIPLIER);
        (value ^ value >> 47).wrapping_mul(MULTIPLIER)
    };
    let mut hash = SEED ^ (data.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        hash = (hash ^ mix(u64::from_le_bytes(*word))).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 47).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 47
}

/// OvenMediaEngine's id of what a rendition is muxed of: the hash of its variants and index hints, in decimal (reference:
/// LL-HLS section 1.2).
pub(super) fn media_id(rendition: &Rendition) -> String {
    let Rendition { video, video_index, audio, audio_index, .. } = rendition;
    murmur_hash_64a(format!("{video}{video_index}_{audio}{audio_index}").as_bytes()).to_string()
}

/// The media playlist of a muxed rendition.
pub(super) fn medialist(id: &str) -> impl fmt::Display {
    format!("medialist_{id}_hls.m3u8")
}

/// A segment of a muxed rendition.
pub(super) fn muxed_segment(id: &str, msn: u64) -> impl fmt::Display {
    format!("seg_{id}_{msn}_hls.ts")
}

/// The names of one track's resources.
#[derive(Clone, Debug)]
pub(super) struct TrackNames {
    pub(super) track: TrackId,
    pub(super) kind: Kind,
    pub(super) key: String,
}

impl TrackNames {
    pub(super) fn chunklist(&self) -> impl fmt::Display {
        format!("chunklist_{}_{}_{}_llhls.m3u8", self.track.0, kind_name(self.kind), self.key)
    }

    pub(super) fn init(&self, init_key: &str) -> impl fmt::Display {
        format!("init_{}_{}_{}_llhls.m4s", self.track.0, kind_name(self.kind), init_key)
    }

    pub(super) fn segment(&self, msn: u64) -> impl fmt::Display {
        format!("seg_{}_{}_{}_{}_llhls.m4s", self.track.0, msn, kind_name(self.kind), self.key)
    }

    pub(super) fn part(&self, msn: u64, part: u32) -> impl fmt::Display {
        format!("part_{}_{}_{}_{}_{}_llhls.m4s", self.track.0, msn, part, kind_name(self.kind), self.key)
    }
}

/// How a kind of track is called in names.
pub(super) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Video => "video",
        Kind::Audio => "audio",
        Kind::Data => "data",
        Kind::Subtitle => "subtitle",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_ovenmediaengine() {
        assert_eq!(stream_key("stream"), "7930408358254892257");
        assert_eq!(stream_key("stream1"), "8256874865652458137");
        assert_eq!(stream_key(""), "6142509188972423790");
    }

    #[test]
    fn names_are_those_of_ovenmediaengine() {
        let names = TrackNames { track: TrackId(1), kind: Kind::Audio, key: "KRx5dYoZ".into() };
        assert_eq!(names.part(8, 10).to_string(), "part_1_8_10_audio_KRx5dYoZ_llhls.m4s");
        assert_eq!(names.chunklist().to_string(), "chunklist_1_audio_KRx5dYoZ_llhls.m3u8");
    }
}
