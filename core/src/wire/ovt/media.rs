//! The serialised media packet: a 36-byte header and one access unit or audio frame (reference: OVT section 3).
//!
//! [`MediaPacket`] is what is on the wire, number for number, so that it can be written again as it came.
//! [`media::Packet`] is what the rest of the node works with; a [`Track`] leads from one to the other.

use bytes::{Buf, BufMut, Bytes};

use super::packet::{Header, PayloadKind, fragment};
use super::{Error, PeerIncompatible, PeerMisbehaved, codes};
use crate::limits;
use crate::media::{self, Codec, Kind, Timestamp, Track};

/// The length of the header.
pub const MEDIA_HEADER_BYTES: usize = 36;

/// `duration` when it is not known.
pub const DURATION_UNKNOWN: i64 = -1;

/// What OvenMediaEngine takes for an absent PTS or DTS.
const ABSENT: i64 = -1;

/// Table 3.1 of the reference: what a media packet carries. Not every number has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType(pub i8);

#[allow(missing_docs)]
impl MediaType {
    pub const VIDEO: MediaType = MediaType(0);
    pub const AUDIO: MediaType = MediaType(1);
}

/// Table 3.2 of the reference: whether decoding can start at a media packet. Only [`MediaFlag::KEY`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaFlag(pub u8);

#[allow(missing_docs)]
impl MediaFlag {
    pub const NO_KEY: MediaFlag = MediaFlag(1);
    pub const KEY: MediaFlag = MediaFlag(2);
}

/// Table 3.3 of the reference: the form of a media packet's data. These are the ones that leave an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitstreamFormat(pub i8);

#[allow(missing_docs)]
impl BitstreamFormat {
    pub const H264_ANNEX_B: BitstreamFormat = BitstreamFormat(1);
    pub const H265_ANNEX_B: BitstreamFormat = BitstreamFormat(4);
    pub const VP8: BitstreamFormat = BitstreamFormat(6);
    pub const AAC_ADTS: BitstreamFormat = BitstreamFormat(10);
    pub const OPUS: BitstreamFormat = BitstreamFormat(12);
    pub const MP3: BitstreamFormat = BitstreamFormat(14);
    pub const JPEG: BitstreamFormat = BitstreamFormat(15);
    pub const PNG: BitstreamFormat = BitstreamFormat(16);
    pub const WEBP: BitstreamFormat = BitstreamFormat(17);
}

/// Table 3.4 of the reference: what role a media packet plays. An edge that relays sends [`PacketType::OVT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketType(pub i8);

#[allow(missing_docs)]
impl PacketType {
    pub const UNKNOWN: PacketType = PacketType(-1);
    pub const OVT: PacketType = PacketType(0);
    pub const RAW: PacketType = PacketType(1);
    pub const NALU: PacketType = PacketType(3);
}

/// A media packet as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPacket {
    /// The track's id in the DESCRIBE answer.
    pub track: u32,
    /// Presentation time, in ticks of the track's timebase.
    pub pts: i64,
    /// Decoding time, in ticks of the track's timebase.
    pub dts: i64,
    /// Ticks of the track's timebase, or [`DURATION_UNKNOWN`].
    pub duration: i64,
    /// What it carries.
    pub media_type: MediaType,
    /// Whether decoding can start here.
    pub flag: MediaFlag,
    /// The form of the data.
    pub format: BitstreamFormat,
    /// Its role.
    pub packet_type: PacketType,
    /// One access unit or audio frame, at most [`limits::OVT_MEDIA_BYTES_MAX`] with the header.
    pub data: Bytes,
}

impl MediaPacket {
    /// Reads a whole unit.
    pub fn decode(mut unit: Bytes) -> Result<MediaPacket, Error> {
        if unit.len() < MEDIA_HEADER_BYTES {
            return Err(PeerMisbehaved::MediaTooShort(unit.len()).into());
        }
        let packet = MediaPacket {
            track: unit.get_u32(),
            pts: unit.get_i64(),
            dts: unit.get_i64(),
            duration: unit.get_i64(),
            media_type: MediaType(unit.get_i8()),
            flag: MediaFlag(unit.get_u8()),
            format: BitstreamFormat(unit.get_i8()),
            packet_type: PacketType(unit.get_i8()),
            data: Bytes::new(),
        };
        let declared = unit.get_u32();
        let actual = unit.len();
        if usize::try_from(declared) != Ok(actual) {
            return Err(PeerMisbehaved::MediaSize { declared, actual }.into());
        }
        Ok(MediaPacket { data: unit, ..packet })
    }

    /// The packets of this unit, ready to be written to every session of a stream. `session` means nothing to a
    /// receiver; `sequence` is the stream's counter and goes on by one for every packet.
    pub fn encode(&self, session: u32, sequence: &mut u16) -> Bytes {
        let first = Header {
            marker: true,
            kind: PayloadKind::Media,
            sequence: *sequence,
            timestamp: self.pts.cast_unsigned(),
            session,
            length: 0,
        };
        let unit = self.header().chain(&self.data[..]);
        let count = super::packet::packet_count(unit.remaining());
        // The remainder is the count itself: the counter wraps at 65536 as the wire's does.
        *sequence = sequence.wrapping_add((count & 0xffff) as u16);
        fragment(first, unit)
    }

    /// How `packet` of `track` crosses OVT, or `None` if it does not: only video and audio do, in the codecs that
    /// have a normal form, and up to [`limits::OVT_MEDIA_BYTES_MAX`].
    pub fn of(packet: &media::Packet, track: &Track) -> Option<MediaPacket> {
        let media_type = match track.kind {
            Kind::Video => MediaType::VIDEO,
            Kind::Audio => MediaType::AUDIO,
            Kind::Data | Kind::Subtitle => return None,
        };
        if packet.data.len() > limits::OVT_MEDIA_BYTES_MAX - MEDIA_HEADER_BYTES {
            return None;
        }
        let key = packet.key || track.kind == Kind::Audio;
        Some(MediaPacket {
            track: track.id.0,
            pts: present(packet.pts.to(track.timebase).ticks()),
            dts: present(packet.dts.to(track.timebase).ticks()),
            duration: DURATION_UNKNOWN,
            media_type,
            flag: if key { MediaFlag::KEY } else { MediaFlag::NO_KEY },
            format: codes::normal_form(track.codec)?,
            packet_type: match track.codec {
                Codec::H264 | Codec::H265 => PacketType::NALU,
                _ => PacketType::RAW,
            },
            data: packet.data.clone(),
        })
    }

    /// The packet of `track` that this is, or `None` if it is none that is played: an event, a sequence header,
    /// another kind of media than the track's, or nothing at all. Its times are within
    /// [`limits::MEDIA_TIME_US_MAX`].
    pub fn into_packet(self, track: &Track) -> Result<Option<media::Packet>, Error> {
        let media_type = match track.kind {
            Kind::Video => MediaType::VIDEO,
            Kind::Audio => MediaType::AUDIO,
            Kind::Data | Kind::Subtitle => return Ok(None),
        };
        let plays = matches!(
            self.packet_type,
            PacketType::UNKNOWN | PacketType::OVT | PacketType::RAW | PacketType::NALU
        );
        let Some(expected) = codes::normal_form(track.codec) else {
            return Ok(None);
        };
        if self.media_type != media_type || !plays || self.data.is_empty() {
            return Ok(None);
        }
        if self.format != expected {
            let (track, found) = (track.id.0, self.format);
            return Err(PeerIncompatible::BitstreamFormat { track, found, expected }.into());
        }
        let (pts, dts) = complete(self.pts, self.dts);
        Ok(Some(media::Packet {
            track: track.id,
            dts: checked(Timestamp::new(dts, track.timebase))?,
            pts: checked(Timestamp::new(pts, track.timebase))?,
            key: self.flag == MediaFlag::KEY || track.kind == Kind::Audio,
            data: self.data,
        }))
    }

    fn header(&self) -> impl Buf {
        let mut bytes = [0; MEDIA_HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_u32(self.track);
        out.put_i64(self.pts);
        out.put_i64(self.dts);
        out.put_i64(self.duration);
        out.put_i8(self.media_type.0);
        out.put_u8(self.flag.0);
        out.put_i8(self.format.0);
        out.put_i8(self.packet_type.0);
        out.put_u32(
            u32::try_from(self.data.len()).expect("a media packet is bounded by OVT_MEDIA_BYTES_MAX"),
        );
        std::io::Cursor::new(bytes)
    }
}

/// How long the whole unit will be, if its `beginning` says so already.
pub(super) fn declared_bytes(beginning: &[u8]) -> Option<usize> {
    let mut size = beginning.get(MEDIA_HEADER_BYTES - 4..MEDIA_HEADER_BYTES)?;
    usize::try_from(size.get_u32()).ok()?.checked_add(MEDIA_HEADER_BYTES)
}

/// A tick that the other end does not take for an absent one. The next tick rather than the one before, so that a
/// PTS never falls below its DTS.
const fn present(ticks: i64) -> i64 {
    if ticks == ABSENT { 0 } else { ticks }
}

/// A time within the bounds that everything behind relies on.
fn checked(at: Timestamp) -> Result<Timestamp, PeerMisbehaved> {
    let micros = at.as_micros();
    if micros.unsigned_abs() >= limits::MEDIA_TIME_US_MAX.unsigned_abs() {
        return Err(PeerMisbehaved::MediaTime { micros });
    }
    Ok(at)
}

/// PTS and DTS, where an absent one is as the other.
const fn complete(pts: i64, dts: i64) -> (i64, i64) {
    match (pts, dts) {
        (ABSENT, dts) => (dts, dts),
        (pts, ABSENT) => (pts, pts),
        both => both,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioFormat, Timebase, TrackId, VideoFormat};
    use proptest::prelude::*;

    fn track(kind: Kind, codec: Codec, timebase: Timebase) -> Track {
        Track {
            id: TrackId(1),
            kind,
            codec,
            timebase,
            name: String::new(),
            bitrate: 0,
            video: VideoFormat::default(),
            audio: AudioFormat::default(),
            config: None,
        }
    }

    fn adts() -> MediaPacket {
        MediaPacket {
            track: 1,
            pts: 48_000,
            dts: 48_000,
            duration: 1_024,
            media_type: MediaType::AUDIO,
            flag: MediaFlag::NO_KEY,
            format: BitstreamFormat::AAC_ADTS,
            packet_type: PacketType::RAW,
            data: Bytes::from_static(&[0xff, 0xf1, 0x50, 0x80, 0x02, 0x7f, 0xfc, 0x21]),
        }
    }

    #[test]
    fn writes_the_worked_audio_example() {
        let mut sequence = 7;
        let expected = [
            0x60, 0x1e, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xbb, 0x80, 0x00, 0x00, 0x00, 0x23,
            0x00, 0x2c, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xbb, 0x80, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0xbb, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x01, 0x01,
            0x0a, 0x01, 0x00, 0x00, 0x00, 0x08, 0xff, 0xf1, 0x50, 0x80, 0x02, 0x7f, 0xfc, 0x21,
        ];
        assert_eq!(adts().encode(35, &mut sequence)[..], expected);
        assert_eq!(sequence, 8);
        assert_eq!(MediaPacket::decode(Bytes::copy_from_slice(&expected[18..])), Ok(adts()));
    }

    #[test]
    fn writes_the_worked_key_frame_example() {
        let packet = MediaPacket {
            track: 0,
            pts: 93_003,
            dts: 90_000,
            duration: DURATION_UNKNOWN,
            media_type: MediaType::VIDEO,
            flag: MediaFlag::KEY,
            format: BitstreamFormat::H264_ANNEX_B,
            packet_type: PacketType::NALU,
            data: Bytes::from(vec![0; 40_000]),
        };
        let mut sequence = 65_535;
        let bytes = packet.encode(35, &mut sequence);
        let expected = "401effff 0000000000016b4b 00000023 7fee 00000000 0000000000016b4b 0000000000015f90 \
                        ffffffffffffffff 00020103 00009c40";
        assert_eq!(hex(&bytes[..54]), expected.replace(' ', ""));
        assert_eq!(hex(&bytes[18 + 32_750..][..18]), "601e00000000000000016b4b000000231c76");
        assert_eq!(sequence, 1);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_declared_size_must_be_the_size() {
        let mut sequence = 0;
        let unit = adts().encode(0, &mut sequence).slice(18..);
        let short = MediaPacket::decode(unit.slice(..unit.len() - 1));
        assert_eq!(short, Err(PeerMisbehaved::MediaSize { declared: 8, actual: 7 }.into()));
        assert_eq!(MediaPacket::decode(unit.slice(..35)), Err(PeerMisbehaved::MediaTooShort(35).into()));
    }

    #[test]
    fn trap_1_the_header_timestamp_is_the_pts_in_ticks() {
        let packet = MediaPacket { pts: -2, ..adts() };
        assert_eq!(packet.encode(0, &mut 0)[4..12], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]);
    }

    #[test]
    fn trap_21_a_tick_of_minus_one_never_leaves_and_is_completed_when_it_comes() {
        let aac = track(Kind::Audio, Codec::Aac, Timebase::MILLIS);
        let at = |ticks| Timestamp::new(ticks, Timebase::MILLIS);
        let data = Bytes::from_static(b"x");
        let packet = media::Packet { track: TrackId(1), dts: at(-1), pts: at(-1), key: true, data };
        let sent = MediaPacket::of(&packet, &aac).expect("AAC crosses");
        assert_eq!((sent.pts, sent.dts), (0, 0));

        let received = |pts, dts| {
            let packet =
                MediaPacket { pts, dts, ..adts() }.into_packet(&aac).expect("compatible").expect("plays");
            (packet.pts.ticks(), packet.dts.ticks())
        };
        assert_eq!(received(-1, 40), (40, 40));
        assert_eq!(received(40, -1), (40, 40));
        assert_eq!(received(40, 7), (40, 7));
        assert_eq!(received(-1, -1), (-1, -1));
    }

    #[test]
    fn only_flag_2_is_a_key_frame_and_all_audio_is() {
        let h264 = track(Kind::Video, Codec::H264, Timebase::MPEG);
        let aac = track(Kind::Audio, Codec::Aac, Timebase::MPEG);
        let key = |flag, track: &Track| {
            let media_type = if track.kind == Kind::Video { MediaType::VIDEO } else { MediaType::AUDIO };
            let format = codes::normal_form(track.codec).expect("a codec that crosses");
            let packet = MediaPacket { flag: MediaFlag(flag), media_type, format, ..adts() };
            packet.into_packet(track).expect("compatible").expect("plays").key
        };
        assert_eq!([0, 1, 2, 3].map(|flag| key(flag, &h264)), [false, false, true, false]);
        assert_eq!([0, 1, 2, 3].map(|flag| key(flag, &aac)), [true; 4]);
    }

    #[test]
    fn sends_what_each_codec_calls_for() {
        let sent = |kind, codec, key| {
            let at = Timestamp::new(1_000, Timebase::MILLIS);
            let data = Bytes::from_static(b"x");
            let packet = media::Packet { track: TrackId(1), dts: at, pts: at, key, data };
            let sent = MediaPacket::of(&packet, &track(kind, codec, Timebase::MPEG))?;
            assert_eq!((sent.pts, sent.duration), (90_000, -1));
            Some((sent.media_type.0, sent.flag.0, sent.format.0, sent.packet_type.0))
        };
        assert_eq!(sent(Kind::Video, Codec::H264, false), Some((0, 1, 1, 3)));
        assert_eq!(sent(Kind::Video, Codec::H265, true), Some((0, 2, 4, 3)));
        assert_eq!(sent(Kind::Video, Codec::Vp8, true), Some((0, 2, 6, 1)));
        assert_eq!(sent(Kind::Audio, Codec::Aac, false), Some((1, 2, 10, 1)));
        assert_eq!(sent(Kind::Audio, Codec::Opus, true), Some((1, 2, 12, 1)));
        assert_eq!(sent(Kind::Video, Codec::Av1, true), None);
        assert_eq!(sent(Kind::Data, Codec::None, true), None);
    }

    #[test]
    fn trap_11_events_and_other_media_are_not_played() {
        let aac = track(Kind::Audio, Codec::Aac, Timebase::MILLIS);
        let others = [
            MediaPacket { packet_type: PacketType(2), ..adts() },
            MediaPacket { packet_type: PacketType(4), ..adts() },
            MediaPacket { media_type: MediaType(2), format: BitstreamFormat(18), ..adts() },
            MediaPacket { data: Bytes::new(), ..adts() },
        ];
        for other in others {
            assert_eq!(other.clone().into_packet(&aac), Ok(None), "{other:?}");
        }
        let data = track(Kind::Data, Codec::None, Timebase::MILLIS);
        assert_eq!(adts().into_packet(&data), Ok(None));
    }

    #[test]
    fn another_bitstream_format_is_incompatible() {
        let aac = track(Kind::Audio, Codec::Aac, Timebase::MILLIS);
        let (found, expected) = (BitstreamFormat(8), BitstreamFormat::AAC_ADTS);
        let error = PeerIncompatible::BitstreamFormat { track: 1, found, expected };
        assert_eq!(MediaPacket { format: found, ..adts() }.into_packet(&aac), Err(error.into()));
    }

    #[test]
    fn a_time_that_no_media_has_is_an_error() {
        let aac = track(Kind::Audio, Codec::Aac, Timebase::MILLIS);
        for ticks in [i64::MAX, i64::MIN, i64::MAX / 2, 1 << 60] {
            let early = MediaPacket { dts: ticks, ..adts() }.into_packet(&aac);
            let late = MediaPacket { pts: ticks, ..adts() }.into_packet(&aac);
            let micros = Timestamp::new(ticks, Timebase::MILLIS).as_micros();
            let error = Err(PeerMisbehaved::MediaTime { micros }.into());
            assert_eq!((early, late), (error.clone(), error));
        }
        // The system clock of today, as some origins use it, is far within.
        let today = MediaPacket { dts: 1_800_000_000_000, pts: 1_800_000_000_000, ..adts() };
        assert!(today.into_packet(&aac).is_ok_and(|packet| packet.is_some()));
    }

    proptest! {
        #[test]
        fn media_packets_round_trip(
            track: u32, pts: i64, dts: i64, duration: i64, media_type: i8, flag: u8, format: i8, packet_type: i8,
            data in proptest::collection::vec(any::<u8>(), 0..100)
        ) {
            let packet = MediaPacket {
                track, pts, dts, duration,
                media_type: MediaType(media_type), flag: MediaFlag(flag), format: BitstreamFormat(format),
                packet_type: PacketType(packet_type), data: data.into(),
            };
            let unit = packet.encode(1, &mut 0).slice(18..);
            prop_assert_eq!(declared_bytes(&unit), Some(unit.len()));
            prop_assert_eq!(MediaPacket::decode(unit), Ok(packet));
        }

        #[test]
        fn any_bytes_are_a_media_packet_or_an_error(bytes: Vec<u8>) {
            let _ = MediaPacket::decode(bytes.into());
        }
    }
}
