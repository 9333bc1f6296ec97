//! The numbers that OVT gives to codecs, kinds of media and channel layouts (reference: OVT section 5).

use super::media::BitstreamFormat;
use crate::media::{Codec, Kind};

/// `mediaType` of a kind.
pub(super) const fn kind_number(kind: Kind) -> u32 {
    match kind {
        Kind::Video => 0,
        Kind::Audio => 1,
        Kind::Data => 2,
        Kind::Subtitle => 3,
    }
}

/// The kind with this `mediaType`.
pub(super) const fn kind(number: u32) -> Option<Kind> {
    Some(match number {
        0 => Kind::Video,
        1 => Kind::Audio,
        2 => Kind::Data,
        3 => Kind::Subtitle,
        _ => return None,
    })
}

/// `codecId` is the index in this table.
const CODECS: [Codec; 15] = [
    Codec::None,
    Codec::H264,
    Codec::H265,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Av1,
    Codec::Flv,
    Codec::Aac,
    Codec::Mp3,
    Codec::Opus,
    Codec::Jpeg,
    Codec::Png,
    Codec::Webp,
    Codec::WebVtt,
    Codec::Whisper,
];

/// `codecId` of a codec.
pub(super) fn codec_number(codec: Codec) -> u32 {
    (0..).zip(CODECS).find_map(|(number, known)| (known == codec).then_some(number)).unwrap_or(0)
}

/// The codec with this `codecId`; a number that is not known is no codec.
pub(super) fn codec(number: u32) -> Codec {
    usize::try_from(number).ok().and_then(|index| CODECS.get(index).copied()).unwrap_or(Codec::None)
}

/// The form in which a codec's media crosses OVT; `None` if it does not (AV1, VP9, text).
pub(super) const fn normal_form(codec: Codec) -> Option<BitstreamFormat> {
    Some(match codec {
        Codec::H264 => BitstreamFormat::H264_ANNEX_B,
        Codec::H265 => BitstreamFormat::H265_ANNEX_B,
        Codec::Vp8 => BitstreamFormat::VP8,
        Codec::Aac => BitstreamFormat::AAC_ADTS,
        Codec::Opus => BitstreamFormat::OPUS,
        Codec::Mp3 => BitstreamFormat::MP3,
        Codec::Jpeg => BitstreamFormat::JPEG,
        Codec::Png => BitstreamFormat::PNG,
        Codec::Webp => BitstreamFormat::WEBP,
        Codec::None | Codec::Vp9 | Codec::Av1 | Codec::Flv | Codec::WebVtt | Codec::Whisper => return None,
    })
}

/// Whether a codec's decoder configuration is read at the other end.
pub(super) const fn has_config(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::H265 | Codec::Aac)
}

/// The channel masks that OvenMediaEngine knows, each with one bit per channel.
#[rustfmt::skip]
const LAYOUTS: [u32; 26] = [
    0x4, 0x3, 0xb, 0x103, 0x7, 0xf, 0x107, 0x10f, 0x603, 0x33, 0x607, 0x60f, 0x37, 0x3f,
    0x707, 0x6c3, 0x137, 0x70f, 0x13f, 0x6cb, 0x637, 0x6c7, 0x63f, 0x6cf, 0xff, 0x737,
];

/// How many channels a layout has; 0 if it is not one that OvenMediaEngine knows.
pub(super) fn channels(layout: u32) -> u32 {
    if LAYOUTS.contains(&layout) { layout.count_ones() } else { 0 }
}

/// The layout that a number of channels has when nothing more is said; 0 if there is none.
pub(super) const fn default_layout(channels: u32) -> u32 {
    match channels {
        1 => 0x4,
        2 => 0x3,
        3 => 0x7,
        4 => 0x107,
        5 => 0x37,
        6 => 0x3f,
        7 => 0x70f,
        8 => 0x63f,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codec_numbers_go_both_ways() {
        for number in 0..15 {
            assert_eq!(codec_number(codec(number)), number);
        }
        assert_eq!((codec_number(Codec::Aac), codec_number(Codec::Opus)), (7, 9));
        assert_eq!(codec(15), Codec::None);
        assert_eq!(codec(u32::MAX), Codec::None);
    }

    #[test]
    fn kind_numbers_go_both_ways() {
        for number in 0..4 {
            assert_eq!(kind(number).map(kind_number), Some(number));
        }
        assert_eq!(kind(4), None);
    }

    #[test]
    fn layouts_have_the_channels_of_the_table() {
        let table = [(0x4, 1), (0x3, 2), (0xb, 3), (0x107, 4), (0x10f, 5), (0x3f, 6), (0x13f, 7), (0xff, 8)];
        for (layout, count) in table {
            assert_eq!(channels(layout), count, "{layout:#x}");
        }
        assert_eq!(channels(0), 0);
        assert_eq!(channels(0x3ff), 0);
    }

    #[test]
    fn default_layouts_are_known_and_have_that_many_channels() {
        for count in 1..=8 {
            assert_eq!(channels(default_layout(count)), count);
        }
    }
}
