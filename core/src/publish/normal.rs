//! Brings FLV payloads into the normal form of [`crate::media::Packet`].
//!
//! H.264 and H.265: length-prefixed NAL units become Annex B with an access-unit delimiter first and, in front of a
//! random access point that lacks them, the parameter sets of the decoder configuration. AAC: a raw frame gets an
//! ADTS header. Nothing here knows of time or of connections.

use bytes::{BufMut, Bytes, BytesMut};
use shiguredo_mp4::bitstream::h265;

use super::Fault;
use super::sps;
use crate::limits;
use crate::wire::flv::VideoCodec;

/// A video decoder configuration, understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VideoConfig {
    pub(super) codec: VideoCodec,
    /// AVCDecoderConfigurationRecord or HEVCDecoderConfigurationRecord, as it was received.
    pub(super) record: Bytes,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Frames per second, if the SPS says.
    pub(super) framerate: Option<f64>,
    /// Bytes of a NAL unit's length: 1 to 4.
    length_bytes: usize,
    /// The parameter sets in Annex B.
    parameter_sets: Bytes,
}

/// A video access unit in the normal form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccessUnit {
    pub(super) key: bool,
    pub(super) data: Bytes,
}

impl VideoConfig {
    pub(super) fn parse(codec: VideoCodec, record: Bytes) -> Result<VideoConfig, Fault> {
        let what = match codec {
            VideoCodec::H264 => "AVCDecoderConfigurationRecord",
            VideoCodec::H265 => "HEVCDecoderConfigurationRecord",
        };
        let malformed = |why| Fault::Config { what, why };
        let (length_bytes, nals) = match codec {
            VideoCodec::H264 => avcc(&record),
            VideoCodec::H265 => hvcc(&record),
        }
        .ok_or_else(|| malformed("it is cut off"))?;
        let kinds = ParameterSets::of(codec, nals.iter().copied());
        if kinds != ParameterSets::all(codec) {
            return Err(malformed("it lacks a parameter set"));
        }
        let sps = nals.iter().find(|nal| NalKind::of(codec, nal) == NalKind::Sps);
        let format =
            sps.and_then(|sps| picture_format(codec, sps)).ok_or_else(|| malformed("its SPS is broken"))?;
        let mut parameter_sets = BytesMut::new();
        nals.iter().for_each(|nal| put_nal(nal, &mut parameter_sets));
        Ok(VideoConfig {
            codec,
            width: format.width,
            height: format.height,
            framerate: format.framerate,
            length_bytes,
            parameter_sets: parameter_sets.freeze(),
            record,
        })
    }

    /// The normal form of an access unit; `None` if there is no picture in it.
    pub(super) fn access_unit(&self, data: &[u8]) -> Result<Option<AccessUnit>, Fault> {
        let nals = split_nals(self.length_bytes, data).ok_or(Fault::Nal)?;
        let kinds = || nals.iter().map(|nal| NalKind::of(self.codec, nal));
        if !kinds().any(|kind| matches!(kind, NalKind::Slice | NalKind::KeySlice)) {
            return Ok(None);
        }
        let key = kinds().any(|kind| kind == NalKind::KeySlice);
        let complete = ParameterSets::of(self.codec, nals.iter().copied()) == ParameterSets::all(self.codec);
        let delimiter = match nals.first() {
            Some(first) if NalKind::of(self.codec, first) == NalKind::Delimiter => first,
            _ => default_delimiter(self.codec),
        };
        let mut out = BytesMut::with_capacity(data.len() + self.parameter_sets.len() + 16);
        put_nal(delimiter, &mut out);
        if key && !complete {
            out.put_slice(&self.parameter_sets);
        }
        // A delimiter anywhere else would begin another access unit.
        let rest = nals.iter().filter(|nal| NalKind::of(self.codec, nal) != NalKind::Delimiter);
        rest.for_each(|nal| put_nal(nal, &mut out));
        if out.len() > limits::ACCESS_UNIT_BYTES_MAX {
            return Err(Fault::AccessUnitTooLong(out.len()));
        }
        Ok(Some(AccessUnit { key, data: out.freeze() }))
    }
}

/// An AAC decoder configuration, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AudioConfig {
    /// AudioSpecificConfig, as it was received.
    pub(super) record: Bytes,
    /// Samples per second, of the core if there is spectral band replication: what ADTS and frame durations go by.
    pub(super) samplerate: u32,
    pub(super) channels: u32,
    /// OvenMediaEngine's channel mask (reference: OVT section 5.7).
    pub(super) layout: u32,
    /// The fields of an ADTS header: object type − 1, sampling frequency index, channel configuration.
    profile: u8,
    rate_index: u8,
    channel_config: u8,
}

impl AudioConfig {
    pub(super) fn parse(record: Bytes) -> Result<AudioConfig, Fault> {
        let malformed = Fault::Config { what: "AudioSpecificConfig", why: "it is cut off" };
        let (object_type, rate, channel_config) = audio_specific_config(&record).ok_or(malformed)?;
        let unsupported = |what: String| Fault::UnsupportedAudio(what);
        if !(1..=4).contains(&object_type) {
            return Err(unsupported(format!("AAC object type {object_type}")));
        }
        let rate_index = SAMPLE_RATES.iter().position(|&known| known == rate);
        let rate_index = rate_index.ok_or_else(|| unsupported(format!("AAC at {rate} Hz")))?;
        let (channels, layout) = *CHANNEL_LAYOUTS
            .get(usize::from(channel_config).wrapping_sub(1))
            .ok_or_else(|| unsupported(format!("AAC channel configuration {channel_config}")))?;
        Ok(AudioConfig {
            record,
            samplerate: rate,
            channels,
            layout,
            profile: (object_type - 1) as u8,
            rate_index: rate_index as u8,
            channel_config,
        })
    }

    /// The normal form of a raw frame: one ADTS frame without checksum (ISO/IEC 13818-7 section 6.2).
    pub(super) fn frame(&self, raw: &[u8]) -> Result<Bytes, Fault> {
        let length = raw.len() + 7;
        if length >= 1 << 13 {
            return Err(Fault::FrameTooLong(raw.len()));
        }
        let mut out = BytesMut::with_capacity(length);
        out.put_slice(&[
            0xff,
            0xf1,
            self.profile << 6 | self.rate_index << 2 | self.channel_config >> 2,
            self.channel_config << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1f,
            0xfc,
        ]);
        out.put_slice(raw);
        Ok(out.freeze())
    }
}

/// The role of a NAL unit, whatever the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NalKind {
    Delimiter,
    /// A slice of a picture at which decoding can start: IDR in H.264, IRAP in H.265.
    KeySlice,
    Other,
    Pps,
    Slice,
    Sps,
    Vps,
}

impl NalKind {
    /// ITU-T H.264 table 7-1, H.265 table 7-1.
    fn of(codec: VideoCodec, nal: &[u8]) -> NalKind {
        let first = nal.first().copied().unwrap_or(0xff);
        match codec {
            VideoCodec::H264 => match first & 0x1f {
                1..=4 => NalKind::Slice,
                5 => NalKind::KeySlice,
                7 => NalKind::Sps,
                8 => NalKind::Pps,
                9 => NalKind::Delimiter,
                _ => NalKind::Other,
            },
            VideoCodec::H265 => match (first >> 1) & 0x3f {
                16..=23 => NalKind::KeySlice,
                0..=31 => NalKind::Slice,
                32 => NalKind::Vps,
                33 => NalKind::Sps,
                34 => NalKind::Pps,
                35 => NalKind::Delimiter,
                _ => NalKind::Other,
            },
        }
    }
}

/// Which parameter sets are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ParameterSets {
    vps: bool,
    sps: bool,
    pps: bool,
}

impl ParameterSets {
    fn all(codec: VideoCodec) -> ParameterSets {
        ParameterSets { vps: codec == VideoCodec::H265, sps: true, pps: true }
    }

    fn of<'a>(codec: VideoCodec, nals: impl Iterator<Item = &'a [u8]>) -> ParameterSets {
        nals.fold(ParameterSets::default(), |mut sets, nal| {
            match NalKind::of(codec, nal) {
                NalKind::Vps => sets.vps = true,
                NalKind::Sps => sets.sps = true,
                NalKind::Pps => sets.pps = true,
                _ => {}
            }
            sets
        })
    }
}

/// The length size and the parameter sets of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1).
fn avcc(record: &[u8]) -> Option<(usize, Vec<&[u8]>)> {
    let [1, _, _, _, length, sps_count, rest @ ..] = record else { return None };
    let (sps, rest) = length_prefixed(rest, (*sps_count & 0x1f).into())?;
    let (pps_count, rest) = rest.split_first()?;
    let (pps, _) = length_prefixed(rest, (*pps_count).into())?;
    Some((usize::from(length & 3) + 1, [sps, pps].concat()))
}

/// The length size and the parameter sets of an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 8.3.3.1).
fn hvcc(record: &[u8]) -> Option<(usize, Vec<&[u8]>)> {
    let (fixed, rest) = record.split_first_chunk::<23>()?;
    let mut rest = rest;
    let mut sets = Vec::new();
    for _ in 0..fixed[22] {
        let ([kind, count @ ..], nals) = rest.split_first_chunk::<3>()?;
        let (nals, after) = length_prefixed(nals, u16::from_be_bytes(*count).into())?;
        if (32..=34).contains(&(kind & 0x3f)) {
            sets.extend(nals);
        }
        rest = after;
    }
    Some((usize::from(fixed[21] & 3) + 1, sets))
}

/// `count` NAL units behind lengths of two bytes, and what follows them.
fn length_prefixed(mut rest: &[u8], count: usize) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut nals = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk()?;
        let (nal, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        nals.push(nal);
        rest = after;
    }
    Some((nals, rest))
}

/// The NAL units of an access unit, without empty ones; `None` if they do not fill it.
fn split_nals(length_bytes: usize, mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut nals = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_at_checked(length_bytes)?;
        let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let (nal, after) = after.split_at_checked(length)?;
        if !nal.is_empty() {
            nals.push(nal);
        }
        if nals.len() > limits::NAL_UNITS_MAX {
            return None;
        }
        rest = after;
    }
    Some(nals)
}

fn put_nal(nal: &[u8], out: &mut BytesMut) {
    out.put_slice(&[0, 0, 0, 1]);
    out.put_slice(nal);
}

/// A delimiter that allows every kind of slice.
fn default_delimiter(codec: VideoCodec) -> &'static [u8] {
    match codec {
        VideoCodec::H264 => &[0x09, 0xf0],
        VideoCodec::H265 => &[0x46, 0x01, 0x50],
    }
}

fn picture_format(codec: VideoCodec, sps: &[u8]) -> Option<sps::PictureFormat> {
    match codec {
        VideoCodec::H264 => sps::h264(sps),
        VideoCodec::H265 => {
            let sps = h265::parse_sps(sps).ok()?;
            let (width, height) = (sps.width.into(), sps.height.into());
            Some(sps::PictureFormat { width, height, framerate: None })
        }
    }
}

/// The audio object type, the core's sample rate and the channel configuration (ISO/IEC 14496-3 section 1.6.2.1).
fn audio_specific_config(record: &[u8]) -> Option<(u32, u32, u8)> {
    let mut bits = sps::Bits::new(record);
    let mut object_type = audio_object_type(&mut bits)?;
    let rate = sample_rate(&mut bits)?;
    let channel_config = bits.take(4)? as u8;
    // Explicit signalling of SBR or PS: the extension's rate, then the core's own type.
    if matches!(object_type, 5 | 29) {
        sample_rate(&mut bits)?;
        object_type = audio_object_type(&mut bits)?;
    }
    Some((object_type, rate, channel_config))
}

fn audio_object_type(bits: &mut sps::Bits<'_>) -> Option<u32> {
    match bits.take(5)? {
        31 => Some(32 + bits.take(6)?),
        object_type => Some(object_type),
    }
}

fn sample_rate(bits: &mut sps::Bits<'_>) -> Option<u32> {
    match bits.take(4)? {
        15 => bits.take(24),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
}

/// By sampling frequency index (ISO/IEC 14496-3 table 1.18).
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Channels and OvenMediaEngine's mask by channel configuration − 1: mono, stereo, 3.0, 4.0, 5.0 (back),
/// 5.1 (back), 7.1 (wide). No others fit into an ADTS header.
const CHANNEL_LAYOUTS: [(u32, u32); 7] =
    [(1, 0x4), (2, 0x3), (3, 0x7), (4, 0x107), (5, 0x37), (6, 0x3f), (8, 0xff)];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 160×90, High profile, 25 frames per second, with cropping; from x264.
    const AVCC: &[u8] =
        b"\x01\x64\x00\x0b\xff\xe1\x00\x19\x67\x64\x00\x0b\xac\xd9\x42\x8d\xf9\x30\x11\x00\x00\
        \x03\x00\x01\x00\x00\x03\x00\x32\x0f\x14\x29\x96\x01\x00\x04\x68\xef\xbc\xb0\xfd\xf8\xf8\x00";

    fn avc() -> VideoConfig {
        VideoConfig::parse(VideoCodec::H264, Bytes::from_static(AVCC)).expect("x264's")
    }

    /// An access unit of NAL units behind lengths of four bytes.
    fn unit(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect()
    }

    /// The first bytes of the NAL units of an access unit.
    fn first_bytes(data: &[u8]) -> Vec<u8> {
        let starts = data.windows(5).filter(|window| window[..4] == [0, 0, 0, 1]);
        starts.map(|window| window[4]).collect()
    }

    #[test]
    fn an_h264_record_tells_size_and_rate() {
        let config = avc();
        assert_eq!((config.width, config.height, config.framerate), (160, 90, Some(25.0)));
        assert_eq!(first_bytes(&config.parameter_sets), [0x67, 0x68]);
    }

    #[test]
    fn a_record_that_is_cut_anywhere_is_malformed() {
        // The last bytes are the high profile's trailer, which nothing needs.
        for length in 0..AVCC.len() - 4 {
            let cut = Bytes::from_static(&AVCC[..length]);
            let result = VideoConfig::parse(VideoCodec::H264, cut);
            assert!(matches!(result, Err(Fault::Config { .. })), "{length} bytes");
        }
    }

    #[test]
    fn a_key_picture_is_made_self_contained() {
        let idr = avc().access_unit(&unit(&[b"\x06sei", b"\x65idr"])).expect("whole").expect("a picture");
        assert!(idr.key);
        assert_eq!(first_bytes(&idr.data), [0x09, 0x67, 0x68, 0x06, 0x65]);
        assert_eq!(idr.data[..6], [0, 0, 0, 1, 0x09, 0xf0]);
    }

    #[test]
    fn what_is_there_already_is_not_added_again() {
        let own = unit(&[b"\x09\x10", b"\x67s", b"\x68p", b"\x65idr", b"", b"\x09\x10"]);
        let idr = avc().access_unit(&own).expect("whole").expect("a picture");
        assert_eq!(&idr.data[..], b"\0\0\0\x01\x09\x10\0\0\0\x01\x67s\0\0\0\x01\x68p\0\0\0\x01\x65idr");
        let slice = avc().access_unit(&unit(&[b"\x41p"])).expect("whole").expect("a picture");
        assert!(!slice.key);
        assert_eq!(first_bytes(&slice.data), [0x09, 0x41]);
    }

    #[test]
    fn no_picture_is_no_access_unit_and_a_cut_one_is_a_fault() {
        assert_eq!(avc().access_unit(&unit(&[b"\x67s", b"\x06sei"])), Ok(None));
        assert_eq!(avc().access_unit(&[]), Ok(None));
        assert_eq!(avc().access_unit(&[0, 0, 0, 9, 0x65]), Err(Fault::Nal));
        assert_eq!(avc().access_unit(&[0, 0, 1, 0x65]), Err(Fault::Nal), "Annex B is not taken");
    }

    #[test]
    fn aac_gets_a_header_that_fits_its_configuration() {
        // AAC-LC, 48 kHz, stereo, with ffmpeg's backward-compatible "no SBR" at the end.
        let config =
            AudioConfig::parse(Bytes::from_static(&[0x11, 0x90, 0x56, 0xe5, 0x00])).expect("ffmpeg's");
        assert_eq!((config.samplerate, config.channels, config.layout), (48_000, 2, 3));
        let frame = config.frame(&[0xab; 300]).expect("short enough");
        assert_eq!(frame[..8], [0xff, 0xf1, 0x4c, 0x80, 0x26, 0x7f, 0xfc, 0xab]);
        assert!(config.frame(&[0; 8_185]).is_err());
        let (header, raw) = shiguredo_mp4::bitstream::aac::parse_adts_frame(&frame).expect("ADTS");
        assert_eq!((header.frame_length, raw.len()), (307, 300));
    }

    #[test]
    fn explicit_sbr_goes_by_its_core() {
        // HE-AAC: type 5, core 22.05 kHz, stereo, extension 44.1 kHz, core type 2.
        let config = AudioConfig::parse(Bytes::from_static(&[0x2b, 0x92, 0x08, 0x00])).expect("HE-AAC");
        assert_eq!((config.samplerate, config.channels, config.profile), (22_050, 2, 1));
    }

    #[test]
    fn aac_that_adts_cannot_hold_is_named() {
        for (record, word) in [(&[0x11, 0x80][..], "channel"), (&[0xb9, 0x90], "type 23"), (&[0xf8], "")] {
            let error = AudioConfig::parse(Bytes::copy_from_slice(record)).expect_err("not taken");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), hevc: bool) {
            let codec = if hevc { VideoCodec::H265 } else { VideoCodec::H264 };
            let bytes = Bytes::from(bytes);
            let _ = VideoConfig::parse(codec, bytes.clone());
            if let Ok(audio) = AudioConfig::parse(bytes.clone()) {
                let _ = audio.frame(&bytes);
            }
            let _ = avc().access_unit(&bytes);
        }

        #[test]
        fn a_damaged_record_does_not_panic(damage in prop::collection::vec((0..AVCC.len(), any::<u8>()), 1..6)) {
            let mut record = AVCC.to_vec();
            damage.into_iter().for_each(|(at, value)| record[at] = value);
            let _ = VideoConfig::parse(VideoCodec::H264, record.into());
        }
    }
}
