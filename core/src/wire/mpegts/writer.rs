//! Segments, written.
//!
//! Everything written is a function of the arguments: two servers with the same media write the same bytes, whatever they
//! wrote before.
//!
//! Players read segments as one stream, in which the continuity counter of every PID goes on by one, modulo 16, from packet
//! to packet. A function of one segment cannot know where the counters of the segment before ended, and to declare a
//! discontinuity at each border (`discontinuity_indicator`) would tell decoders to start their clocks anew. So every PID has
//! a multiple of 16 packets in every segment: all counters begin at 0, and go on over the border, whichever segments stand
//! next to each other. The tables are simply sent [`TABLES`] times; of each elementary stream the largest PES packet is
//! spread over up to 15 packets more, which costs 1.4 kB per segment and stream on average. (Packets without payload would
//! not do: they do not count.)

use bytes::{BufMut, Bytes, BytesMut};

use super::{Coding, PACKET, PID_PAT, STREAMS_MAX, TICKS_MASK, Unit, crc32};

/// What of a packet is not its header.
const ROOM: usize = PACKET - 4;
/// After so many packets the continuity counter is where it was.
const COUNTER_CYCLE: usize = 16;
/// How often the tables are in a segment: a multiple of the counters' cycle, and often enough for who tunes in.
const TABLES: usize = COUNTER_CYCLE;
/// The PID of the program map table.
const PID_PMT: u16 = 0x1000;
/// The PID of the first elementary stream; the others follow.
const PID_FIRST: u16 = 0x100;
/// The one program.
const PROGRAM: u16 = 1;
/// How far the clock is behind what is decoded, in ticks: media is there before its time by this much.
const CLOCK_DELAY: u64 = 9_000;
/// The longest that the clock is not told, in ticks (ISO/IEC 13818-1 section 2.7.2).
const CLOCK_INTERVAL: u64 = 9_000;

impl Unit {
    fn len(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }

    fn header_len(&self) -> usize {
        if self.pts == self.dts { 14 } else { 19 }
    }

    /// The least adaptation field of its first packet: the first stream carries the clock.
    fn adaptation(&self) -> Adaptation {
        Adaptation { random_access: self.random_access, clock: (self.stream == 0).then_some(self.dts) }
    }

    /// How many packets it needs.
    fn packets(&self) -> usize {
        let first = ROOM - self.adaptation().len();
        1 + (self.header_len() + self.len()).saturating_sub(first).div_ceil(ROOM)
    }
}

/// A segment of the elementary streams `streams`, of which the first one carries the clock. `units` stand in the order
/// of their decoding times. Without a unit there are no bytes.
///
/// If all PES packets of a stream together are shorter than some 15 bytes, its counters break at the end of the segment.
pub fn segment(streams: &[Coding], units: &[Unit]) -> Bytes {
    let (Some(first), Some(last)) = (units.first(), units.last()) else { return Bytes::new() };
    let streams = &streams[..streams.len().min(STREAMS_MAX)];
    let packets = packets_of_units(streams.len(), units);
    let total = packets.iter().sum::<usize>() + 2 * TABLES + 16;
    let mut writer = Writer { out: BytesMut::with_capacity(total * PACKET), counters: [0; STREAMS_MAX] };
    let (association, map) = (association_table(), map_table(streams));
    let span = last.dts.saturating_sub(first.dts) + 1;
    let mut tables = 0;
    let mut clock: Option<u64> = None;
    let mut pes = BytesMut::new();
    for (unit, &count) in units.iter().zip(&packets) {
        let since = u128::from(unit.dts.saturating_sub(first.dts));
        while tables < TABLES && since * TABLES as u128 >= tables as u128 * u128::from(span) {
            writer.table(PID_PAT, tables, &association);
            writer.table(PID_PMT, tables, &map);
            tables += 1;
        }
        if unit.stream == 0 {
            clock = Some(unit.dts);
        } else if clock.is_none_or(|told| unit.dts >= told.saturating_add(CLOCK_INTERVAL)) {
            clock = Some(unit.dts);
            writer.clock(unit.dts);
        }
        let Some(coding) = streams.get(unit.stream) else { continue };
        pes.clear();
        put_pes(&mut pes, coding.stream_id(unit.stream), unit);
        writer.unit(unit, &pes, count);
    }
    for index in tables..TABLES {
        writer.table(PID_PAT, index, &association);
        writer.table(PID_PMT, index, &map);
    }
    writer.out.freeze()
}

/// How many packets each unit gets, so that each stream has a multiple of the counters' cycle.
fn packets_of_units(streams: usize, units: &[Unit]) -> Vec<usize> {
    let mut packets: Vec<usize> = units.iter().map(Unit::packets).collect();
    for stream in 0..streams {
        let of_stream = || (0..units.len()).filter(|&index| units[index].stream == stream);
        let missing = of_stream().map(|index| packets[index]).sum::<usize>().wrapping_neg() % COUNTER_CYCLE;
        // The first one of the largest.
        let Some(largest) = of_stream().max_by_key(|&index| (units[index].len(), usize::MAX - index)) else {
            continue;
        };
        // Every packet has at least a byte of the unit, the first one has the header.
        packets[largest] = (packets[largest] + missing).min(1 + units[largest].len());
    }
    packets
}

/// What an adaptation field says.
#[derive(Clone, Copy, Default)]
struct Adaptation {
    random_access: bool,
    clock: Option<u64>,
}

impl Adaptation {
    /// Its least length, with the byte that tells it; 0 if there is none.
    const fn len(self) -> usize {
        match (self.clock, self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        }
    }

    /// Writes it in exactly `len` bytes, which are enough.
    fn put(self, out: &mut BytesMut, len: usize) {
        let Some(length) = len.checked_sub(1) else { return };
        let end = out.len() + len;
        out.put_u8(length as u8);
        if length == 0 {
            return;
        }
        out.put_u8(u8::from(self.random_access) << 6 | u8::from(self.clock.is_some()) << 4);
        if let Some(dts) = self.clock {
            let base = dts.saturating_sub(CLOCK_DELAY) & TICKS_MASK;
            // 33 bits of 90 kHz, 6 reserved ones, 9 bits of 27 MHz that are zero.
            out.put_u32((base >> 1) as u32);
            out.put_u16((base as u16 & 1) << 15 | 0x7e00);
        }
        out.put_bytes(0xff, end - out.len());
    }
}

struct Writer {
    out: BytesMut,
    counters: [u8; STREAMS_MAX],
}

impl Writer {
    fn header(&mut self, pid: u16, starts: bool, control: u8, counter: u8) {
        self.out.put_u8(0x47);
        self.out.put_u16(u16::from(starts) << 14 | pid);
        self.out.put_u8(control << 4 | counter & 0x0f);
    }

    /// A table, for the `index`-th time.
    fn table(&mut self, pid: u16, index: usize, section: &[u8]) {
        self.header(pid, true, 1, index as u8);
        self.out.put_u8(0);
        self.out.put_slice(section);
        self.out.put_bytes(0xff, ROOM - 1 - section.len());
    }

    /// The clock alone. A packet without payload has the counter of the one before.
    fn clock(&mut self, dts: u64) {
        let counter = self.counters[0].wrapping_sub(1);
        self.header(PID_FIRST, false, 2, counter);
        Adaptation { random_access: false, clock: Some(dts) }.put(&mut self.out, ROOM);
    }

    fn unit(&mut self, unit: &Unit, pes: &[u8], count: usize) {
        let mut rest = pes;
        let mut adaptation = unit.adaptation();
        for index in 0..count {
            let others = count - index - 1;
            let take = (ROOM - adaptation.len()).min(rest.len() - others);
            let padding = ROOM - take;
            let control = if padding > 0 { 3 } else { 1 };
            let counter = self.counters[unit.stream];
            self.counters[unit.stream] = counter.wrapping_add(1);
            self.header(PID_FIRST + unit.stream as u16, index == 0, control, counter);
            core::mem::take(&mut adaptation).put(&mut self.out, padding);
            let (now, later) = rest.split_at(take);
            self.out.put_slice(now);
            rest = later;
        }
    }
}

fn put_pes(out: &mut BytesMut, stream_id: u8, unit: &Unit) {
    out.put_slice(&[0, 0, 1, stream_id]);
    let len = unit.header_len() - 6 + unit.len();
    // 0 is for what is longer than the field can tell.
    out.put_u16(u16::try_from(len).unwrap_or(0));
    // An access unit starts behind the header.
    out.put_u8(0x84);
    if unit.pts == unit.dts {
        out.put_slice(&[0x80, 5]);
        put_timestamp(out, 2, unit.pts);
    } else {
        out.put_slice(&[0xc0, 10]);
        put_timestamp(out, 3, unit.pts);
        put_timestamp(out, 1, unit.dts);
    }
    unit.data.iter().for_each(|piece| out.put_slice(piece));
}

/// 33 bits in three groups with a marker bit behind each.
fn put_timestamp(out: &mut BytesMut, prefix: u8, ticks: u64) {
    let ticks = ticks & TICKS_MASK;
    out.put_u8(prefix << 4 | ((ticks >> 30) as u8 & 7) << 1 | 1);
    out.put_u16(((ticks >> 15) as u16) << 1 | 1);
    out.put_u16((ticks as u16) << 1 | 1);
}

fn association_table() -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u16(PROGRAM);
    body.put_u16(0xe000 | PID_PMT);
    section(0, 1, 0, &body)
}

fn map_table(streams: &[Coding]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u16(0xe000 | PID_FIRST);
    body.put_u16(0xf000);
    for (index, coding) in streams.iter().enumerate() {
        body.put_u8(coding.stream_type());
        body.put_u16(0xe000 | (PID_FIRST + index as u16));
        body.put_u16(0xf000);
    }
    // Another table has another version, so that nobody takes it for the one that is known.
    let version = crc32(&body) as u8 & 0x1f;
    section(2, PROGRAM, version, &body)
}

fn section(table_id: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 12);
    out.put_u8(table_id);
    out.put_u16(0xb000 | (body.len() + 9) as u16);
    out.put_u16(extension);
    out.put_u8(0xc1 | version << 1);
    out.put_u16(0);
    out.put_slice(body);
    let crc = crc32(&out);
    out.put_u32(crc);
    out
}
