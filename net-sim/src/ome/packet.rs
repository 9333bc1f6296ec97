//! OVT packets, and the units of media in them.

/// A request, from edge to origin.
pub(super) const REQUEST: u8 = 10;
/// The answer to one.
pub(super) const RESPONSE: u8 = 20;
/// A piece of a unit of media.
pub(super) const MEDIA: u8 = 30;

/// Set in the first byte of the last packet of a message or unit.
pub(super) const LAST: u8 = 0x20;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) last: bool,
    pub(super) kind: u8,
    pub(super) sequence: u16,
    pub(super) timestamp: u64,
    pub(super) session: u32,
    pub(super) payload: Vec<u8>,
}

impl Packet {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION << 6 | if self.last { LAST } else { 0 });
        out.push(self.kind);
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.session.to_be_bytes());
        out.extend((self.payload.len() as u16).to_be_bytes());
        out.extend(&self.payload);
    }
}

/// Cuts a message into packets, as many as it takes.
pub(super) fn message(kind: u8, unix_ms: u64, text: &[u8]) -> Vec<u8> {
    pieces(kind, unix_ms, 0, &mut 0, text)
}

/// Cuts anything into packets; `sequence` is that of the first one and then that of the next.
pub(super) fn pieces(kind: u8, timestamp: u64, session: u32, sequence: &mut u16, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + HEADER);
    let count = content.len().div_ceil(PAYLOAD_MAX).max(1);
    for (index, piece) in content.chunks(PAYLOAD_MAX).enumerate() {
        let last = index + 1 == count;
        let payload = piece.to_vec();
        Packet { last, kind, sequence: *sequence, timestamp, session, payload }.write(&mut out);
        *sequence = sequence.wrapping_add(1);
    }
    out
}

/// What the bytes of a connection cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Not version 1.
    Version(u8),
    /// Longer than a packet may be.
    Length(u16),
}

/// Takes packets out of what arrives, cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Packets {
    buffer: Vec<u8>,
}

impl Packets {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet, if all of it is there. What is malformed stays where it is.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, Malformed> {
        let Some(head) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        if head[0] >> 6 != VERSION {
            return Err(Malformed::Version(head[0] >> 6));
        }
        let number =
            |from: usize, to: usize| head[from..to].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let len = number(16, 18) as u16;
        if usize::from(len) > PAYLOAD_MAX {
            return Err(Malformed::Length(len));
        }
        let end = HEADER + usize::from(len);
        let Some(payload) = self.buffer.get(HEADER..end).map(<[u8]>::to_vec) else { return Ok(None) };
        let packet = Packet {
            last: head[0] & LAST != 0,
            kind: head[1],
            sequence: number(2, 4) as u16,
            timestamp: number(4, 12),
            session: number(12, 16) as u32,
            payload,
        };
        self.buffer.drain(..end);
        Ok(Some(packet))
    }
}

/// A frame on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) track: u32,
    pub(super) pts: i64,
    pub(super) dts: i64,
    pub(super) duration: i64,
    pub(super) media: i8,
    pub(super) flag: u8,
    pub(super) format: i8,
    pub(super) packet_type: i8,
    pub(super) data: Vec<u8>,
}

impl Unit {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(UNIT_HEADER + self.data.len());
        out.extend(self.track.to_be_bytes());
        for time in [self.pts, self.dts, self.duration] {
            out.extend(time.to_be_bytes());
        }
        out.extend([self.media.cast_unsigned(), self.flag]);
        out.extend([self.format.cast_unsigned(), self.packet_type.cast_unsigned()]);
        out.extend((self.data.len() as u32).to_be_bytes());
        out.extend(&self.data);
        out
    }

    /// The unit in these bytes, if they are as many as it says.
    pub(super) fn read(bytes: &[u8]) -> Option<Unit> {
        let (head, data) = bytes.split_first_chunk::<UNIT_HEADER>()?;
        let number =
            |from: usize, to: usize| head[from..to].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if number(32, 36) != data.len() as u64 {
            return None;
        }
        Some(Unit {
            track: number(0, 4) as u32,
            pts: number(4, 12).cast_signed(),
            dts: number(12, 20).cast_signed(),
            duration: number(20, 28).cast_signed(),
            media: head[28].cast_signed(),
            flag: head[29],
            format: head[30].cast_signed(),
            packet_type: head[31].cast_signed(),
            data: data.to_vec(),
        })
    }
}

const VERSION: u8 = 1;
const HEADER: usize = 18;
const PAYLOAD_MAX: usize = 32_768 - HEADER;
const UNIT_HEADER: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(name: &str) -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ovt/");
        std::fs::read(format!("{path}{name}")).unwrap()
    }

    #[test]
    fn what_was_captured_is_read_and_written_again() {
        for name in ["h264-aac", "bframes-stereo-44k1", "audio-only"] {
            let bytes = captured(&format!("{name}/server_to_client.bin"));
            let mut packets = Packets::default();
            for piece in bytes.chunks(1_000) {
                packets.receive(piece);
            }
            let (mut again, mut unit, mut units) = (Vec::new(), Vec::new(), 0);
            while let Some(packet) = packets.next().unwrap() {
                packet.write(&mut again);
                if packet.kind == MEDIA {
                    unit.extend(&packet.payload);
                    if packet.last {
                        units += 1;
                        assert_eq!(Unit::read(&unit).unwrap().write(), unit);
                        unit.clear();
                    }
                }
            }
            assert_eq!(again, bytes[..again.len()]);
            assert!(bytes.len() - again.len() < HEADER + PAYLOAD_MAX && units > 100, "{name}: {units}");
        }
    }

    #[test]
    fn long_content_is_cut_where_packets_end() {
        let mut sequence = u16::MAX;
        let bytes = pieces(MEDIA, 5, 35, &mut sequence, &vec![7; 40_036]);
        assert_eq!(sequence, 1);
        assert_eq!(bytes[..4], [0x40, 30, 0xff, 0xff]);
        assert_eq!(bytes[16..18], 32_750_u16.to_be_bytes());
        assert_eq!(bytes[32_768..32_772], [0x60, 30, 0, 0]);
        assert_eq!(bytes[32_784..32_786], 7_286_u16.to_be_bytes());
    }
}
