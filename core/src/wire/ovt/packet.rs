//! The OVT packet: an 18-byte header and up to 32750 bytes of a unit (reference: OVT section 2).
//!
//! A unit is a message's text or a serialised media packet. What the bytes of a unit mean is not known here.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Error, PeerIncompatible, PeerMisbehaved};

/// The length of the header.
pub const HEADER_BYTES: usize = 18;

/// The longest payload of one packet. A unit that is longer is cut; OvenMediaEngine's receivers hang on more.
pub const PAYLOAD_BYTES_MAX: u16 = 32_750;

const VERSION: u8 = 1;
const VERSION_SHIFT: u8 = 6;
const MARKER: u8 = 0x20;

/// What the payload of a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// A message from an edge.
    Request,
    /// A message from an origin.
    Response,
    /// A media packet.
    Media,
    /// Anything else; receivers skip it.
    Other(u8),
}

impl PayloadKind {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            PayloadKind::Request => 10,
            PayloadKind::Response => 20,
            PayloadKind::Media => 30,
            PayloadKind::Other(number) => number,
        }
    }

    /// The kind with this number on the wire.
    pub const fn from_number(number: u8) -> PayloadKind {
        match number {
            10 => PayloadKind::Request,
            20 => PayloadKind::Response,
            30 => PayloadKind::Media,
            number => PayloadKind::Other(number),
        }
    }
}

/// The header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this packet ends its unit.
    pub marker: bool,
    /// What the payload belongs to.
    pub kind: PayloadKind,
    /// Messages: the packet's index in its message. Media: a counter of the stream, which wraps. No receiver looks
    /// at it.
    pub sequence: u16,
    /// Messages: milliseconds since the Unix epoch. Media: the PTS, in ticks of the track.
    pub timestamp: u64,
    /// Messages: 0. Media: a number of the origin's choice that means nothing to anybody else.
    pub session: u32,
    /// The length of the payload, at most [`PAYLOAD_BYTES_MAX`].
    pub length: u16,
}

impl Header {
    /// Reads a header. The five reserved bits are ignored, as every receiver does.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Header, Error> {
        let mut bytes = &bytes[..];
        let first = bytes.get_u8();
        let version = first >> VERSION_SHIFT;
        if version != VERSION {
            return Err(PeerIncompatible::PacketVersion(version).into());
        }
        let header = Header {
            marker: first & MARKER != 0,
            kind: PayloadKind::from_number(bytes.get_u8()),
            sequence: bytes.get_u16(),
            timestamp: bytes.get_u64(),
            session: bytes.get_u32(),
            length: bytes.get_u16(),
        };
        if header.length > PAYLOAD_BYTES_MAX {
            return Err(PeerMisbehaved::PayloadTooLong(header.length).into());
        }
        Ok(header)
    }

    /// Writes the header.
    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_u8(VERSION << VERSION_SHIFT | if self.marker { MARKER } else { 0 });
        out.put_u8(self.kind.number());
        out.put_u16(self.sequence);
        out.put_u64(self.timestamp);
        out.put_u32(self.session);
        out.put_u16(self.length);
    }
}

/// Cuts `unit` into packets, one after the other in one piece of memory. `first` is the header of the first packet;
/// its marker and length are not used. The packets that follow count its sequence on.
pub fn fragment(first: Header, mut unit: impl Buf) -> Bytes {
    let count = packet_count(unit.remaining());
    let mut out = BytesMut::with_capacity(unit.remaining() + count * HEADER_BYTES);
    let mut header = first;
    for left in (0..count).rev() {
        header.length =
            u16::try_from(unit.remaining()).map_or(PAYLOAD_BYTES_MAX, |n| n.min(PAYLOAD_BYTES_MAX));
        header.marker = left == 0;
        header.encode(&mut out);
        out.put((&mut unit).take(usize::from(header.length)));
        header.sequence = header.sequence.wrapping_add(1);
    }
    out.freeze()
}

/// How many packets a unit of `bytes` bytes takes; at least one.
pub fn packet_count(bytes: usize) -> usize {
    bytes.div_ceil(usize::from(PAYLOAD_BYTES_MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: [u8; HEADER_BYTES] =
        [0x60, 0x0a, 0, 0, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0, 0, 0, 0, 0, 0x4b];

    fn header(kind: PayloadKind, sequence: u16) -> Header {
        Header { marker: true, kind, sequence, timestamp: 7, session: 35, length: 0 }
    }

    #[test]
    fn reads_and_writes_the_worked_example() {
        let header = Header::decode(REQUEST).expect("a header");
        assert_eq!(header.kind, PayloadKind::Request);
        assert_eq!((header.marker, header.timestamp, header.length), (true, 1_700_000_000_000, 75));
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out, REQUEST);
    }

    #[test]
    fn only_version_1_is_read() {
        for first in [0x20, 0xa0, 0xe0] {
            let mut bytes = REQUEST;
            bytes[0] = first;
            let expected = PeerIncompatible::PacketVersion(first >> 6).into();
            assert_eq!(Header::decode(bytes), Err(expected));
        }
    }

    #[test]
    fn trap_5_a_length_over_32750_is_an_error_and_not_a_wait() {
        let mut bytes = REQUEST;
        (bytes[16], bytes[17]) = (0x7f, 0xee);
        assert_eq!(Header::decode(bytes).map(|header| header.length), Ok(32_750));
        bytes[17] = 0xef;
        assert_eq!(Header::decode(bytes), Err(PeerMisbehaved::PayloadTooLong(32_751).into()));
    }

    #[test]
    fn a_unit_is_cut_at_32750_and_the_sequence_wraps() {
        let unit = vec![0xab; 40_036];
        let out = fragment(header(PayloadKind::Media, 65_535), &unit[..]);
        assert_eq!(out.len(), 40_036 + 2 * HEADER_BYTES);
        assert_eq!(out[..4], [0x40, 0x1e, 0xff, 0xff]);
        assert_eq!(out[16..18], [0x7f, 0xee]);
        let second = HEADER_BYTES + 32_750;
        assert_eq!(out[second..second + 4], [0x60, 0x1e, 0x00, 0x00]);
        assert_eq!(out[second + 16..second + 18], [0x1c, 0x76]);
    }

    #[test]
    fn a_unit_that_fills_its_packets_has_no_empty_one_behind() {
        assert_eq!(fragment(header(PayloadKind::Media, 0), &vec![0; 32_750][..]).len(), 32_750 + 18);
        assert_eq!(fragment(header(PayloadKind::Media, 0), &vec![0; 65_500][..]).len(), 65_500 + 36);
        assert_eq!(packet_count(0), 1);
    }

    proptest! {
        #[test]
        fn headers_round_trip(
            marker: bool, kind: u8, sequence: u16, timestamp: u64, session: u32, length in 0..=PAYLOAD_BYTES_MAX
        ) {
            let kind = PayloadKind::from_number(kind);
            let header = Header { marker, kind, sequence, timestamp, session, length };
            let mut out = Vec::new();
            header.encode(&mut out);
            let bytes = <[u8; HEADER_BYTES]>::try_from(out).expect("18 bytes");
            prop_assert_eq!(Header::decode(bytes), Ok(header));
        }

        #[test]
        fn any_18_bytes_are_a_header_or_an_error(bytes: [u8; HEADER_BYTES]) {
            let _ = Header::decode(bytes);
        }
    }
}
