//! FLV: the bodies of audio and video tags, as RTMP carries them, and files of tags.
//!
//! Both the classic form (AVC and AAC by number) and the enhanced form (any codec by FourCC) are understood. Codecs
//! that cannot be taken are named, so that whoever publishes can be told. Sources: Adobe's Video File Format
//! Specification 10.1 annex E, Enhanced RTMP v2 ("enhanced audio", "enhanced video").

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// The body of a video tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Video {
    /// A decoder configuration: AVCDecoderConfigurationRecord or HEVCDecoderConfigurationRecord.
    SequenceHeader {
        /// The codec.
        codec: VideoCodec,
        /// The record.
        config: Bytes,
    },
    /// One access unit.
    Frame {
        /// The codec.
        codec: VideoCodec,
        /// Whether the tag says that decoding can start here.
        key: bool,
        /// PTS − DTS in milliseconds: 24 bits, signed.
        composition_ms: i32,
        /// NAL units, each behind its length.
        data: Bytes,
    },
    /// No more frames follow.
    EndOfSequence,
    /// Something that can be left out: command frames, colour information, further tracks.
    Other,
    /// A codec that cannot be taken.
    Unsupported(CodecName),
}

/// The body of an audio tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audio {
    /// A decoder configuration: AudioSpecificConfig.
    SequenceHeader(Bytes),
    /// One AAC frame, raw.
    Frame(Bytes),
    /// Something that can be left out: channel order, further tracks, the end.
    Other,
    /// A codec that cannot be taken.
    Unsupported(CodecName),
}

/// The video codecs that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VideoCodec {
    /// AVC.
    H264,
    /// HEVC.
    H265,
}

/// What FLV calls a codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecName {
    /// By FourCC.
    FourCc([u8; 4]),
    /// By name, of those that have a number.
    Numbered(&'static str),
}

impl fmt::Display for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecName::FourCc(four) => four.escape_ascii().fmt(f),
            CodecName::Numbered(name) => name.fmt(f),
        }
    }
}

/// Bytes that end too early to be a tag's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an FLV {0} is cut off")]
pub struct UnexpectedEnd(pub &'static str);

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By codec number. H.265 has none in Adobe's list; the number that many agreed on, 12, is used.
    Classic,
    /// By FourCC.
    Enhanced,
}

impl Video {
    /// Understands the body of a video tag.
    pub fn decode(body: &Bytes) -> Result<Video, UnexpectedEnd> {
        decode_video(body.clone()).ok_or(UnexpectedEnd("video tag"))
    }

    /// Writes a body. `Other` and `Unsupported` have none: they come out as command frames, which mean nothing.
    pub fn encode(&self, form: Form) -> Bytes {
        let (codec, key, classic, enhanced, composition_ms, data) = match self {
            Video::SequenceHeader { codec, config } => {
                (*codec, true, 0, SEQUENCE_START, None, config.clone())
            }
            Video::Frame { codec, key, composition_ms, data } => {
                let packet = if *composition_ms == 0 { CODED_FRAMES_X } else { CODED_FRAMES };
                (*codec, *key, 1, packet, Some(*composition_ms), data.clone())
            }
            Video::EndOfSequence => (VideoCodec::H264, true, 2, SEQUENCE_END, None, Bytes::new()),
            Video::Other | Video::Unsupported(_) => {
                return Bytes::from_static(&[COMMAND_FRAME << 4 | AVC, 0]);
            }
        };
        let frame_type = if key { KEY_FRAME } else { INTER_FRAME } << 4;
        let mut out = BytesMut::with_capacity(8 + data.len());
        match form {
            Form::Classic => {
                let number = if codec == VideoCodec::H264 { AVC } else { HEVC };
                out.put_slice(&[frame_type | number, classic]);
                out.put_int(composition_ms.unwrap_or(0).into(), 3);
            }
            Form::Enhanced => {
                out.put_u8(EX_HEADER | frame_type | enhanced);
                out.put_slice(if codec == VideoCodec::H264 { b"avc1" } else { b"hvc1" });
                if enhanced == CODED_FRAMES {
                    out.put_int(composition_ms.unwrap_or(0).into(), 3);
                }
            }
        }
        out.put_slice(&data);
        out.freeze()
    }
}

impl Audio {
    /// Understands the body of an audio tag.
    pub fn decode(body: &Bytes) -> Result<Audio, UnexpectedEnd> {
        decode_audio(body.clone()).ok_or(UnexpectedEnd("audio tag"))
    }

    /// Writes a body. `Other` and `Unsupported` have none: they come out as an end of sequence.
    pub fn encode(&self, form: Form) -> Bytes {
        let (classic, enhanced, data) = match self {
            Audio::SequenceHeader(config) => (0, SEQUENCE_START, config.clone()),
            Audio::Frame(data) => (1, CODED_FRAMES, data.clone()),
            Audio::Other | Audio::Unsupported(_) => {
                return Bytes::from_static(&[AUDIO_EX_HEADER << 4 | SEQUENCE_END, b'm', b'p', b'4', b'a']);
            }
        };
        let mut out = BytesMut::with_capacity(5 + data.len());
        match form {
            // 44 kHz, 16 bits, stereo: fixed for AAC, whatever the configuration says.
            Form::Classic => out.put_slice(&[AAC << 4 | 0x0f, classic]),
            Form::Enhanced => {
                out.put_u8(AUDIO_EX_HEADER << 4 | enhanced);
                out.put_slice(b"mp4a");
            }
        }
        out.put_slice(&data);
        out.freeze()
    }
}

/// A tag of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What it holds.
    pub kind: TagKind,
    /// Milliseconds from the start of the file.
    pub timestamp: u32,
    /// The body.
    pub body: Bytes,
}

/// What a tag holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// See [`Audio::decode`].
    Audio,
    /// Metadata: AMF0 values.
    Script,
    /// See [`Video::decode`].
    Video,
}

/// The tags of a file, in order; made by [`tags`]. Stops after the first error.
#[derive(Clone, Debug)]
pub struct Tags {
    rest: Bytes,
}

/// Reads a file of tags. Bodies share the file's memory.
pub fn tags(file: Bytes) -> Result<Tags, FileError> {
    let header = file.first_chunk::<9>().ok_or(FileError::NotFlv)?;
    let [b'F', b'L', b'V', 1, _, offset @ ..] = *header else { return Err(FileError::NotFlv) };
    // Behind the header stands the size of the tag before the first: four zeros.
    let first = (u32::from_be_bytes(offset) as usize).checked_add(4).ok_or(FileError::NotFlv)?;
    if file.len() < first {
        return Err(FileError::CutOff);
    }
    Ok(Tags { rest: file.slice(first..) })
}

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It ends in the middle of a tag.
    #[error("the FLV file is cut off in the middle of a tag")]
    CutOff,
    /// It does not begin like one.
    #[error("this is not an FLV file of version 1")]
    NotFlv,
}

impl Iterator for Tags {
    type Item = Result<Tag, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let Some((kind, tag)) = self.take_tag() else {
                self.rest.clear();
                return Some(Err(FileError::CutOff));
            };
            // Encrypted tags and tags of unknown types are passed over.
            let kind = match kind {
                8 => TagKind::Audio,
                9 => TagKind::Video,
                18 => TagKind::Script,
                _ => continue,
            };
            return Some(Ok(Tag { kind, ..tag }));
        }
    }
}

impl Tags {
    /// Takes the next tag and its number off the file; `None` if it is not all there.
    fn take_tag(&mut self) -> Option<(u8, Tag)> {
        let [kind, l0, l1, l2, t0, t1, t2, t3, ..] = *self.rest.first_chunk::<11>()?;
        let end = 11 + u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if self.rest.len() < end {
            return None;
        }
        let timestamp = u32::from_be_bytes([t3, t0, t1, t2]);
        let body = self.rest.slice(11..end);
        self.rest = self.rest.slice((end + 4).min(self.rest.len())..);
        Some((kind, Tag { kind: TagKind::Script, timestamp, body }))
    }
}

/// `None` if the bytes end too early.
fn decode_video(mut body: Bytes) -> Option<Video> {
    let first = take::<1>(&mut body)?[0];
    let frame_type = (first >> 4) & 7;
    if frame_type == COMMAND_FRAME {
        return Some(Video::Other);
    }
    let key = frame_type == KEY_FRAME;
    if first & EX_HEADER != 0 {
        return decode_enhanced_video(first & 0x0f, key, body);
    }
    let codec = match first & 0x0f {
        AVC => VideoCodec::H264,
        HEVC => VideoCodec::H265,
        other => return Some(Video::Unsupported(CodecName::Numbered(video_name(other)))),
    };
    let packet = take::<1>(&mut body)?[0];
    if packet > 1 {
        return Some(if packet == 2 { Video::EndOfSequence } else { Video::Other });
    }
    let composition_ms = composition(&mut body)?;
    Some(match packet {
        0 => Video::SequenceHeader { codec, config: body },
        _ => Video::Frame { codec, key, composition_ms, data: body },
    })
}

fn decode_enhanced_video(packet: u8, key: bool, mut body: Bytes) -> Option<Video> {
    let packet = skip_modifiers(packet, &mut body)?;
    // Colour information, and tracks beside the main one.
    if matches!(packet, METADATA | VIDEO_MULTITRACK) {
        return Some(Video::Other);
    }
    let codec = match take::<4>(&mut body)? {
        four if &four == b"avc1" => VideoCodec::H264,
        four if &four == b"hvc1" => VideoCodec::H265,
        four => return Some(Video::Unsupported(CodecName::FourCc(four))),
    };
    Some(match packet {
        SEQUENCE_START => Video::SequenceHeader { codec, config: body },
        CODED_FRAMES => {
            let composition_ms = composition(&mut body)?;
            Video::Frame { codec, key, composition_ms, data: body }
        }
        CODED_FRAMES_X => Video::Frame { codec, key, composition_ms: 0, data: body },
        SEQUENCE_END => Video::EndOfSequence,
        _ => Video::Other,
    })
}

/// `None` if the bytes end too early.
fn decode_audio(mut body: Bytes) -> Option<Audio> {
    let first = take::<1>(&mut body)?[0];
    match first >> 4 {
        AAC => Some(match take::<1>(&mut body)?[0] {
            0 => Audio::SequenceHeader(body),
            1 => Audio::Frame(body),
            _ => Audio::Other,
        }),
        AUDIO_EX_HEADER => decode_enhanced_audio(first & 0x0f, body),
        other => Some(Audio::Unsupported(CodecName::Numbered(audio_name(other)))),
    }
}

fn decode_enhanced_audio(packet: u8, mut body: Bytes) -> Option<Audio> {
    let packet = skip_modifiers(packet, &mut body)?;
    if packet == AUDIO_MULTITRACK {
        return Some(Audio::Other);
    }
    let four = take::<4>(&mut body)?;
    if &four != b"mp4a" {
        return Some(Audio::Unsupported(CodecName::FourCc(four)));
    }
    Some(match packet {
        SEQUENCE_START => Audio::SequenceHeader(body),
        CODED_FRAMES => Audio::Frame(body),
        _ => Audio::Other,
    })
}

/// Passes over "ModEx" modifiers (sub-millisecond timestamps and what may come) to the packet type that they modify.
fn skip_modifiers(mut packet: u8, body: &mut Bytes) -> Option<u8> {
    while packet == MOD_EX {
        let mut size = usize::from(take::<1>(body)?[0]) + 1;
        if size == 256 {
            size = usize::from(u16::from_be_bytes(take(body)?)) + 1;
        }
        if body.len() < size {
            return None;
        }
        drop(body.split_to(size));
        packet = take::<1>(body)?[0] & 0x0f;
    }
    Some(packet)
}

/// A signed number of 24 bits.
fn composition(body: &mut Bytes) -> Option<i32> {
    let [a, b, c] = take(body)?;
    Some(i32::from_be_bytes([a, b, c, 0]) >> 8)
}

fn take<const N: usize>(body: &mut Bytes) -> Option<[u8; N]> {
    let array = *body.first_chunk()?;
    drop(body.split_to(N));
    Some(array)
}

fn video_name(number: u8) -> &'static str {
    match number {
        2 => "Sorenson H.263",
        3 | 6 => "Screen Video",
        4 | 5 => "VP6",
        13 => "AV1 (by number)",
        _ => "an unknown video codec",
    }
}

fn audio_name(number: u8) -> &'static str {
    match number {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 | 8 => "G.711",
        11 => "Speex",
        13 => "Opus (by number)",
        _ => "an unknown audio codec",
    }
}

const KEY_FRAME: u8 = 1;
const INTER_FRAME: u8 = 2;
const COMMAND_FRAME: u8 = 5;
const AVC: u8 = 7;
const HEVC: u8 = 12;
const AAC: u8 = 10;
const AUDIO_EX_HEADER: u8 = 9;
const EX_HEADER: u8 = 0x80;
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const AUDIO_MULTITRACK: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;
const MOD_EX: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn any_video() -> impl Strategy<Value = Video> {
        let codec = || prop_oneof![Just(VideoCodec::H264), Just(VideoCodec::H265)];
        prop_oneof![
            (codec(), any_bytes()).prop_map(|(codec, config)| Video::SequenceHeader { codec, config }),
            (codec(), any::<bool>(), prop_oneof![Just(0), -0x80_0000..0x7f_ffff], any_bytes()).prop_map(
                |(codec, key, composition_ms, data)| Video::Frame { codec, key, composition_ms, data }
            ),
            Just(Video::EndOfSequence),
            Just(Video::Other),
        ]
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let video = |body: &'static [u8]| Video::decode(&Bytes::from_static(body)).map(|v| format!("{v:?}"));
        assert!(video(b"\x90av01\x01").expect("a tag").contains("Unsupported"));
        assert!(video(&[0x12, 0]).expect("a tag").contains("H.263"));
        let Ok(Audio::Unsupported(name)) = Audio::decode(&Bytes::from_static(b"\x90Opus")) else {
            panic!("Opus is not taken")
        };
        assert_eq!(name.to_string(), "Opus");
    }

    #[test]
    fn modifiers_and_further_tracks_are_passed_over() {
        let frame = b"\x97\x02\0\0\x07\x03hvc1data";
        let expected = Video::Frame {
            codec: VideoCodec::H265,
            key: true,
            composition_ms: 0,
            data: Bytes::from_static(b"data"),
        };
        assert_eq!(Video::decode(&Bytes::from_static(frame)), Ok(expected));
        assert_eq!(Video::decode(&Bytes::from_static(b"\x96\x01avc1\x01")), Ok(Video::Other));
        assert_eq!(Audio::decode(&Bytes::from_static(b"\x94mp4a\x01\x02")), Ok(Audio::Other));
    }

    #[test]
    fn a_file_that_is_cut_says_so() {
        let file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x08\0\0\x02\0\0\x15\0\0\0\0\xaf\x01\0\0\0\x0d\x09\0\0\x01";
        let tags = tags(Bytes::from_static(file)).expect("a header").collect::<Vec<_>>();
        let audio = Tag { kind: TagKind::Audio, timestamp: 21, body: Bytes::from_static(b"\xaf\x01") };
        assert_eq!(tags, [Ok(audio), Err(FileError::CutOff)]);
    }

    proptest! {
        #[test]
        fn video_survives_both_forms(video in any_video(), enhanced: bool) {
            let form = if enhanced { Form::Enhanced } else { Form::Classic };
            prop_assert_eq!(Video::decode(&video.encode(form)), Ok(video));
        }

        #[test]
        fn audio_survives_both_forms(data in any_bytes(), header: bool, enhanced: bool) {
            let form = if enhanced { Form::Enhanced } else { Form::Classic };
            let audio = if header { Audio::SequenceHeader(data) } else { Audio::Frame(data) };
            prop_assert_eq!(Audio::decode(&audio.encode(form)), Ok(audio));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(body in any_bytes()) {
            let _ = Video::decode(&body);
            let _ = Audio::decode(&body);
            let file = [b"FLV\x01\x05\0\0\0\x09\0\0\0\0", &body[..]].concat();
            tags(file.into()).expect("a header").for_each(drop);
            let _ = tags(body);
        }
    }
}
