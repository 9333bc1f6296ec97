//! Bytes cut anywhere, back into units (reference: OVT section 2.3).
//!
//! A connection has one buffer for messages and one for media; neither sequence nor session selects another. Every
//! byte of a payload is copied once, from the read buffer into the unit that it belongs to, so a unit keeps no read
//! buffer alive. A reassembler belongs to one connection: nothing of a unit that was cut off survives it.

use bytes::{Buf, Bytes};

use super::media::{MediaPacket, declared_bytes};
use super::packet::{HEADER_BYTES, Header, PayloadKind};
use super::{Error, PeerMisbehaved};
use crate::limits;

/// How much memory is set aside on nothing but a media header's word.
const TRUST_BYTES_MAX: usize = 1 << 20;

/// What packets make when they are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The text of a request or a response. Receivers do not tell them apart by payload type.
    Message {
        /// JSON, not looked at.
        text: Bytes,
    },
    /// Media.
    Media(MediaPacket),
}

/// The receiving end of one OVT connection.
#[derive(Debug)]
pub struct Reassembler {
    role: Role,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    packet: Option<Packet>,
    message: Vec<u8>,
    media: Vec<u8>,
    ignored: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Edge,
    Origin,
}

/// A packet whose payload is not yet complete.
#[derive(Clone, Copy, Debug)]
struct Packet {
    into: Destination,
    left: usize,
    marker: bool,
}

#[derive(Clone, Copy, Debug)]
enum Destination {
    Media,
    Message,
    Nothing,
}

impl Reassembler {
    /// For what an origin sends: responses of up to [`limits::OVT_MESSAGE_BYTES_MAX`] and media packets of up to
    /// [`limits::OVT_MEDIA_BYTES_MAX`]. Payloads of unknown kinds are skipped.
    pub fn for_edge() -> Reassembler {
        Reassembler::new(Role::Edge)
    }

    /// For what an edge sends: requests of up to [`limits::OVT_REQUEST_BYTES_MAX`]. Media and payloads of unknown
    /// kinds are skipped, up to [`limits::OVT_IGNORED_BYTES_MAX`] in all.
    pub fn for_origin() -> Reassembler {
        Reassembler::new(Role::Origin)
    }

    fn new(role: Role) -> Reassembler {
        Reassembler {
            role,
            header: [0; HEADER_BYTES],
            header_len: 0,
            packet: None,
            message: Vec::new(),
            media: Vec::new(),
            ignored: 0,
        }
    }

    /// Takes bytes from the front of `input` until a unit is complete, or until `input` is empty (`None`). After an
    /// error the connection is past repair and so is this reassembler.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Unit>, Error> {
        loop {
            let packet = match self.packet {
                Some(packet) => packet,
                None => match self.read_header(input)? {
                    Some(header) => self.begin(header)?,
                    None => return Ok(None),
                },
            };
            let packet = self.read_payload(packet, input);
            if packet.left > 0 {
                self.packet = Some(packet);
                return Ok(None);
            }
            self.packet = None;
            if let Some(unit) = self.end(packet)? {
                return Ok(Some(unit));
            }
        }
    }

    /// Bytes of units that are not complete.
    pub fn held_bytes(&self) -> usize {
        self.header_len + self.message.len() + self.media.len()
    }

    fn read_header(&mut self, input: &mut Bytes) -> Result<Option<Header>, Error> {
        let take = input.len().min(HEADER_BYTES - self.header_len);
        input.copy_to_slice(&mut self.header[self.header_len..self.header_len + take]);
        self.header_len += take;
        if self.header_len < HEADER_BYTES {
            return Ok(None);
        }
        self.header_len = 0;
        Header::decode(self.header).map(Some)
    }

    /// Makes room for the payload of `header`, or refuses it before any of it is kept.
    fn begin(&mut self, header: Header) -> Result<Packet, Error> {
        let length = usize::from(header.length);
        let into = match (header.kind, self.role) {
            (PayloadKind::Request | PayloadKind::Response, _) => {
                self.reserve_message(length)?;
                Destination::Message
            }
            (PayloadKind::Media, Role::Edge) => {
                self.reserve_media(length)?;
                Destination::Media
            }
            (PayloadKind::Media | PayloadKind::Other(_), _) => {
                self.ignore(HEADER_BYTES + length)?;
                Destination::Nothing
            }
        };
        Ok(Packet { into, left: length, marker: header.marker })
    }

    fn reserve_message(&mut self, length: usize) -> Result<(), PeerMisbehaved> {
        let max = match self.role {
            Role::Edge => limits::OVT_MESSAGE_BYTES_MAX,
            Role::Origin => limits::OVT_REQUEST_BYTES_MAX,
        };
        if self.message.len() + length > max {
            return Err(PeerMisbehaved::MessageTooLong(max));
        }
        self.message.reserve(length);
        Ok(())
    }

    /// From the second packet of a unit on its size is known; taken at its word, the unit is never moved.
    fn reserve_media(&mut self, length: usize) -> Result<(), PeerMisbehaved> {
        let have = self.media.len();
        let declared = declared_bytes(&self.media).unwrap_or(0);
        if (have + length).max(declared) > limits::OVT_MEDIA_BYTES_MAX {
            return Err(PeerMisbehaved::MediaTooLong);
        }
        let rest = declared.saturating_sub(have);
        if have == 0 || (length..=TRUST_BYTES_MAX).contains(&rest) {
            self.media.reserve_exact(rest.max(length));
        } else {
            self.media.reserve(length);
        }
        Ok(())
    }

    fn ignore(&mut self, bytes: usize) -> Result<(), PeerMisbehaved> {
        self.ignored = self.ignored.saturating_add(bytes as u64);
        if self.role == Role::Origin && self.ignored > limits::OVT_IGNORED_BYTES_MAX {
            return Err(PeerMisbehaved::TooMuchIgnored);
        }
        Ok(())
    }

    fn read_payload(&mut self, packet: Packet, input: &mut Bytes) -> Packet {
        let take = packet.left.min(input.len());
        match packet.into {
            Destination::Media => self.media.extend_from_slice(&input[..take]),
            Destination::Message => self.message.extend_from_slice(&input[..take]),
            Destination::Nothing => {}
        }
        input.advance(take);
        Packet { left: packet.left - take, ..packet }
    }

    fn end(&mut self, packet: Packet) -> Result<Option<Unit>, Error> {
        if !packet.marker {
            return Ok(None);
        }
        match packet.into {
            Destination::Media => {
                let unit = Bytes::from(core::mem::take(&mut self.media));
                MediaPacket::decode(unit).map(|media| Some(Unit::Media(media)))
            }
            Destination::Message if self.message.is_empty() => Err(PeerMisbehaved::EmptyMessage.into()),
            Destination::Message => {
                let text = Bytes::from(core::mem::take(&mut self.message));
                Ok(Some(Unit::Message { text }))
            }
            Destination::Nothing => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PeerIncompatible;
    use super::super::media::{BitstreamFormat, MEDIA_HEADER_BYTES, MediaFlag, MediaType, PacketType};
    use super::super::packet::{PAYLOAD_BYTES_MAX, fragment};
    use super::*;
    use proptest::prelude::*;

    fn media(track: u32, bytes: usize) -> MediaPacket {
        MediaPacket {
            track,
            pts: 1,
            dts: 1,
            duration: -1,
            media_type: MediaType::VIDEO,
            flag: MediaFlag::KEY,
            format: BitstreamFormat::H264_ANNEX_B,
            packet_type: PacketType::NALU,
            data: Bytes::from(vec![track as u8; bytes]),
        }
    }

    fn packet(number: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).expect("a short payload");
        let kind = PayloadKind::from_number(number);
        let header = Header { marker, kind, sequence: 9, timestamp: 3, session: 4, length };
        let mut out = Vec::new();
        header.encode(&mut out);
        out.extend_from_slice(payload);
        out
    }

    fn message(text: &'static [u8]) -> Unit {
        Unit::Message { text: Bytes::from_static(text) }
    }

    fn read_all(reassembler: &mut Reassembler, bytes: impl Into<Bytes>) -> Result<Vec<Unit>, Error> {
        let mut bytes = bytes.into();
        core::iter::from_fn(|| reassembler.next(&mut bytes).transpose()).collect()
    }

    fn edge(bytes: impl Into<Bytes>) -> Result<Vec<Unit>, Error> {
        read_all(&mut Reassembler::for_edge(), bytes)
    }

    fn origin(bytes: impl Into<Bytes>) -> Result<Vec<Unit>, Error> {
        read_all(&mut Reassembler::for_origin(), bytes)
    }

    #[test]
    fn a_message_may_come_between_the_packets_of_a_media_unit() {
        let unit = media(1, 40_000);
        let packets = unit.encode(5, &mut 0);
        let first = 18 + usize::from(PAYLOAD_BYTES_MAX);
        let bytes = [
            &packet(20, false, b"{\"a\"")[..],
            &packets[..first],
            &packet(20, true, b":1}"),
            &packets[first..],
        ]
        .concat();
        assert_eq!(edge(bytes), Ok(vec![message(b"{\"a\":1}"), Unit::Media(unit)]));
    }

    #[test]
    fn traps_2_and_3_sequence_and_session_mean_nothing() {
        let header = Header {
            marker: false,
            kind: PayloadKind::Media,
            sequence: 40_000,
            timestamp: 0,
            session: 35,
            length: 0,
        };
        let unit = media(1, 40_000);
        let mut bytes = unit.encode(35, &mut 40_000).to_vec();
        let second = 18 + usize::from(PAYLOAD_BYTES_MAX);
        bytes[second + 2..second + 4].copy_from_slice(&[0, 7]);
        bytes[second + 15] = 99;
        assert_eq!(edge(bytes), Ok(vec![Unit::Media(unit)]));
        assert_eq!(
            edge(fragment(header, &b"{}"[..])).map(|units| units.len()),
            Err(PeerMisbehaved::MediaTooShort(2).into())
        );
    }

    #[test]
    fn requests_and_responses_are_both_messages() {
        let bytes = [packet(10, false, b"{"), packet(20, true, b"}")].concat();
        assert_eq!(origin(bytes.clone()), Ok(vec![message(b"{}")]));
        assert_eq!(edge(bytes), Ok(vec![message(b"{}")]));
    }

    #[test]
    fn payloads_of_other_kinds_are_skipped_even_when_they_come_in_pieces() {
        for number in [0, 1, 29, 31, 99, 255] {
            let bytes = [packet(number, true, b"whatever"), packet(10, true, b"{}")].concat();
            let mut reassembler = Reassembler::for_origin();
            let units: Vec<Unit> = bytes
                .iter()
                .flat_map(|byte| read_all(&mut reassembler, vec![*byte]).expect("no error"))
                .collect();
            assert_eq!(units, [message(b"{}")], "{number}");
        }
    }

    #[test]
    fn an_origin_skips_media_and_not_without_end() {
        let packets = media(1, 30_000).encode(0, &mut 0);
        let mut reassembler = Reassembler::for_origin();
        assert_eq!(read_all(&mut reassembler, packets.clone()), Ok(vec![]));
        assert_eq!(read_all(&mut reassembler, packets.clone()), Ok(vec![]));
        assert_eq!(read_all(&mut reassembler, packets), Err(PeerMisbehaved::TooMuchIgnored.into()));
    }

    #[test]
    fn an_empty_message_is_an_error_and_an_empty_packet_is_not() {
        assert_eq!(origin(packet(10, true, b"")), Err(PeerMisbehaved::EmptyMessage.into()));
        let bytes = [packet(10, false, b""), packet(10, false, b"{}"), packet(10, true, b"")].concat();
        assert_eq!(origin(bytes), Ok(vec![message(b"{}")]));
    }

    #[test]
    fn what_is_no_ovt_is_an_error() {
        let tls_alert = [0x15, 3, 1, 0, 2, 2, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(edge(tls_alert.to_vec()), Err(PeerIncompatible::PacketVersion(0).into()));
        assert_eq!(edge(packet(30, true, b"short")), Err(PeerMisbehaved::MediaTooShort(5).into()));
        let mut bytes = packet(10, true, b"{}");
        bytes[0] |= 0xc0;
        assert_eq!(edge(bytes), Err(PeerIncompatible::PacketVersion(3).into()));
    }

    #[test]
    fn messages_are_bounded() {
        let piece = packet(10, false, &[b' '; 32_000]);
        let error = PeerMisbehaved::MessageTooLong(limits::OVT_REQUEST_BYTES_MAX);
        assert_eq!(origin([&piece[..], &piece].concat()), Err(error.into()));
        let error = PeerMisbehaved::MessageTooLong(limits::OVT_MESSAGE_BYTES_MAX);
        assert_eq!(edge(piece.repeat(40)), Err(error.into()));
    }

    #[test]
    fn media_is_bounded_by_what_comes_and_by_what_it_says() {
        let silent = [0; 32_000];
        let pieces = packet(30, false, &silent).repeat(limits::OVT_MEDIA_BYTES_MAX / 32_000 + 1);
        assert_eq!(edge(pieces), Err(PeerMisbehaved::MediaTooLong.into()));
        let mut boast = silent;
        boast[MEDIA_HEADER_BYTES - 4..MEDIA_HEADER_BYTES].fill(0xff);
        let pieces = [packet(30, false, &boast), packet(30, false, b"x")].concat();
        assert_eq!(edge(pieces), Err(PeerMisbehaved::MediaTooLong.into()));
    }

    #[test]
    fn the_largest_media_packet_passes() {
        let unit = media(1, limits::OVT_MEDIA_BYTES_MAX - MEDIA_HEADER_BYTES);
        assert_eq!(edge(unit.encode(0, &mut 0)), Ok(vec![Unit::Media(unit)]));
    }

    #[test]
    fn a_unit_does_not_keep_the_read_buffer_alive() {
        let read = media(1, 100).encode(0, &mut 0);
        let mut rest = read.clone();
        let unit = Reassembler::for_edge().next(&mut rest).expect("OVT").expect("a unit");
        drop(rest);
        assert!(read.try_into_mut().is_ok(), "nobody else holds it");
        drop(unit);
    }

    #[test]
    fn memory_for_a_unit_of_known_size_is_set_aside_once() {
        let unit = media(1, 300_000);
        let packets = unit.encode(0, &mut 0);
        let mut reassembler = Reassembler::for_edge();
        let mut beginning = packets.slice(..2 * (18 + usize::from(PAYLOAD_BYTES_MAX)));
        assert_eq!(reassembler.next(&mut beginning), Ok(None));
        assert_eq!(reassembler.media.capacity(), 300_036);
    }

    fn units() -> impl Strategy<Value = Vec<Result<MediaPacket, String>>> {
        let media = (0u32..9, 0usize..70_000).prop_map(|(track, bytes)| Ok(media(track, bytes)));
        let message = "[a-z]{1,50}".prop_map(Err);
        proptest::collection::vec(prop_oneof![media, message], 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_may_be_cut_anywhere(units in units(), cuts in proptest::collection::vec(1usize..5_000, 1..40)) {
            let (mut bytes, mut expected, mut sequence) = (Vec::new(), Vec::new(), 65_534);
            for unit in units {
                match unit {
                    Ok(media) => {
                        bytes.extend_from_slice(&media.encode(3, &mut sequence));
                        expected.push(Unit::Media(media));
                    }
                    Err(text) => {
                        bytes.extend_from_slice(&packet(20, true, text.as_bytes()));
                        expected.push(Unit::Message { text: text.into() });
                    }
                }
            }
            let mut reassembler = Reassembler::for_edge();
            let mut bytes = Bytes::from(bytes);
            let mut read = Vec::new();
            for cut in cuts.into_iter().cycle() {
                if bytes.is_empty() {
                    break;
                }
                read.extend(read_all(&mut reassembler, bytes.split_to(cut.min(bytes.len())))?);
            }
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = edge(bytes.clone());
            let _ = origin(bytes);
        }

        #[test]
        fn never_panics_on_packets_of_anything(
            packets in proptest::collection::vec(
                (prop_oneof![Just(10u8), Just(20), Just(30), any::<u8>()], any::<bool>(), any::<Vec<u8>>()), 0..20
            )
        ) {
            let bytes: Vec<u8> = packets.iter().flat_map(|(kind, marker, load)| packet(*kind, *marker, load)).collect();
            let _ = edge(bytes.clone());
            let _ = origin(bytes);
        }
    }
}
