//! Segments, read: what [`segment`](super::segment) wrote, and what others wrote as simply as that.
//!
//! This is for who checks segments. Whatever makes a player stumble is a [`Fault`], so there is no way on after one.

use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

use super::{Coding, PACKET, PID_PAT, Unit, crc32};

/// What is in a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The elementary streams, in the order of the program map.
    pub streams: Vec<Coding>,
    /// The PES packets, in the order of their beginnings. Times have 33 bits.
    pub units: Vec<Unit>,
    /// The clock, as often as it is told, in ticks of 1/90000 s.
    pub clocks: Vec<u64>,
    /// How often the tables are there.
    pub tables: usize,
    /// The packets with a payload of each PID.
    pub packets: BTreeMap<u16, usize>,
}

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// An adaptation field is longer than its packet, or holds nothing that it should.
    #[error("packet {0} has a damaged adaptation field")]
    Adaptation(usize),
    /// A counter does not go on where it was.
    #[error("packet {packet} of PID {pid:#x} has the continuity counter {found} instead of {expected}")]
    Counter {
        /// Which one.
        packet: usize,
        /// Its PID.
        pid: u16,
        /// Its counter.
        found: u8,
        /// What it should be.
        expected: u8,
    },
    /// A PES packet has no header that can be read, or not the length that it tells.
    #[error("the PES packet that starts in packet {0} is damaged")]
    Pes(usize),
    /// A packet does not begin as one, or is cut short, or has errors by its own account.
    #[error("packet {0} is none")]
    Sync(usize),
    /// A table is damaged, longer than a packet, or says what is not supported.
    #[error("packet {0} holds a table that cannot be read")]
    Table(usize),
    /// Media of a stream that no table has announced.
    #[error("packet {packet} is of PID {pid:#x}, which is not announced")]
    Unannounced {
        /// Which one.
        packet: usize,
        /// Its PID.
        pid: u16,
    },
}

/// Reads a segment, or several that follow each other.
pub fn read(data: &[u8]) -> Result<Segment, Fault> {
    let mut reader = Reader::default();
    for (index, packet) in data.chunks(PACKET).enumerate() {
        reader.packet(index, packet)?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    found: Segment,
    counters: BTreeMap<u16, u8>,
    map_pid: Option<u16>,
    clock_pid: Option<u16>,
    /// Which stream a PID is.
    pids: BTreeMap<u16, usize>,
    /// The PES packet of each stream that is not at its end: where it began, its place among the units, and its bytes.
    open: BTreeMap<usize, Open>,
}

struct Open {
    packet: usize,
    unit: usize,
    bytes: Vec<u8>,
}

impl Reader {
    fn packet(&mut self, index: usize, packet: &[u8]) -> Result<(), Fault> {
        let &[0x47, high, low, control, ref rest @ ..] = packet else { return Err(Fault::Sync(index)) };
        if packet.len() < PACKET || high & 0x80 > 0 {
            return Err(Fault::Sync(index));
        }
        let (starts, pid) = (high & 0x40 > 0, u16::from(high & 0x1f) << 8 | u16::from(low));
        let (has_field, has_payload) = (control & 0x20 > 0, control & 0x10 > 0);
        self.counter(index, pid, control & 0xf, has_payload)?;
        let mut payload = rest;
        let mut random_access = false;
        if has_field {
            let (field, behind) =
                rest[1..].split_at_checked(usize::from(rest[0])).ok_or(Fault::Adaptation(index))?;
            random_access = self.adaptation(index, pid, field)?;
            payload = behind;
        }
        if !has_payload {
            return Ok(());
        }
        *self.found.packets.entry(pid).or_default() += 1;
        if pid == PID_PAT {
            let body = table(payload, 0).ok_or(Fault::Table(index))?;
            let &[_, _, high, low] = body else { return Err(Fault::Table(index)) };
            self.map_pid = Some(u16::from(high & 0x1f) << 8 | u16::from(low));
            self.found.tables += 1;
            return Ok(());
        }
        if self.map_pid == Some(pid) {
            return self.map(table(payload, 2).ok_or(Fault::Table(index))?).ok_or(Fault::Table(index));
        }
        let stream = *self.pids.get(&pid).ok_or(Fault::Unannounced { packet: index, pid })?;
        if starts {
            self.close(stream)?;
            let unit = self.found.units.len();
            let (dts, pts, data) = (0, 0, Vec::new());
            self.found.units.push(Unit { stream, dts, pts, random_access, data });
            self.open.insert(stream, Open { packet: index, unit, bytes: Vec::new() });
        }
        // What begins before the segment is nobody's.
        let open = self.open.get_mut(&stream).ok_or(Fault::Pes(index))?;
        open.bytes.extend_from_slice(payload);
        Ok(())
    }

    fn counter(&mut self, packet: usize, pid: u16, found: u8, has_payload: bool) -> Result<(), Fault> {
        let Some(known) = self.counters.insert(pid, found) else { return Ok(()) };
        let expected = (known + u8::from(has_payload)) & 0xf;
        if found == expected { Ok(()) } else { Err(Fault::Counter { packet, pid, found, expected }) }
    }

    /// Returns whether decoding can start here.
    fn adaptation(&mut self, index: usize, pid: u16, field: &[u8]) -> Result<bool, Fault> {
        let Some(flags) = field.first() else { return Ok(false) };
        if flags & 0x10 > 0 {
            let &[_, a, b, c, d, e, _, ..] = field else { return Err(Fault::Adaptation(index)) };
            let base = [a, b, c, d].iter().fold(0, |base, &byte| base << 8 | u64::from(byte));
            if self.clock_pid.is_some_and(|clock| clock != pid) {
                return Err(Fault::Adaptation(index));
            }
            self.found.clocks.push(base << 1 | u64::from(e >> 7));
        }
        Ok(flags & 0x40 > 0)
    }

    /// The program map. Streams that are none of ours cannot be there.
    fn map(&mut self, body: &[u8]) -> Option<()> {
        let &[clock_high, clock_low, 0xf0, 0, ref streams @ ..] = body else { return None };
        self.clock_pid = Some(u16::from(clock_high & 0x1f) << 8 | u16::from(clock_low));
        self.pids.clear();
        self.found.streams.clear();
        let (streams, []) = streams.as_chunks::<5>() else { return None };
        for (index, &[stream_type, high, low, info_high, info_low]) in streams.iter().enumerate() {
            if (info_high & 0xf, info_low) != (0, 0) {
                return None;
            }
            self.found.streams.push(Coding::of_stream_type(stream_type)?);
            self.pids.insert(u16::from(high & 0x1f) << 8 | u16::from(low), index);
        }
        Some(())
    }

    fn close(&mut self, stream: usize) -> Result<(), Fault> {
        let Some(open) = self.open.remove(&stream) else { return Ok(()) };
        let (dts, pts, data) = pes(&open.bytes).ok_or(Fault::Pes(open.packet))?;
        let unit = &mut self.found.units[open.unit];
        (unit.dts, unit.pts, unit.data) = (dts, pts, vec![Bytes::copy_from_slice(data)]);
        Ok(())
    }

    fn finish(mut self) -> Result<Segment, Fault> {
        for stream in 0..self.found.streams.len() {
            self.close(stream)?;
        }
        Ok(self.found)
    }
}

/// The body of a table that is whole in one packet.
fn table(payload: &[u8], table_id: u8) -> Option<&[u8]> {
    let &[0, id, high, low, ..] = payload else { return None };
    let len = usize::from(high & 0xf) << 8 | usize::from(low);
    let section = payload.get(1..4 + len)?;
    // Over the whole of a section the CRC is zero.
    if id != table_id || len < 9 || crc32(section) != 0 {
        return None;
    }
    Some(&section[8..section.len() - 4])
}

/// DTS, PTS and data of a PES packet.
fn pes(bytes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let &[0, 0, 1, _, high, low, _, flags, header, ref rest @ ..] = bytes else { return None };
    let len = usize::from(high) << 8 | usize::from(low);
    if len > 0 && len + 6 != bytes.len() {
        return None;
    }
    let (header, data) = rest.split_at_checked(usize::from(header))?;
    let pts = timestamp(header.get(..5)?, flags >> 6)?;
    let dts = if flags & 0x40 > 0 { timestamp(header.get(5..10)?, 1)? } else { pts };
    (flags & 0x80 > 0).then_some((dts, pts, data))
}

fn timestamp(field: &[u8], prefix: u8) -> Option<u64> {
    let &[a, b, c, d, e] = field else { return None };
    let is_marked = a >> 4 == prefix && a & c & e & 1 == 1;
    let ticks = u64::from(a >> 1 & 7) << 30
        | u64::from(b) << 22
        | u64::from(c >> 1) << 15
        | u64::from(d) << 7
        | u64::from(e >> 1);
    is_marked.then_some(ticks)
}
