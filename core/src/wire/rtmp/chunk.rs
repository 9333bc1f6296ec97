//! The chunk stream: messages cut into chunks and interleaved (RTMP 1.0 section 5.3).
//!
//! [`Reader`] puts messages together again and obeys the two control messages that are about chunks themselves (Set
//! Chunk Size, Abort). [`Writer`] cuts messages. What a message means is none of their business.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Error;
use crate::limits;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message type id (RTMP 1.0 sections 5.4 and 7.1).
    pub kind: u8,
    /// The message stream id; 0 is the connection itself.
    pub stream: u32,
    /// Milliseconds, wrapping.
    pub timestamp: u32,
    /// The payload.
    pub payload: Bytes,
}

/// The message type of Set Chunk Size.
pub const SET_CHUNK_SIZE: u8 = 1;
/// The message type of Abort Message.
pub const ABORT: u8 = 2;

/// The chunk size of both directions until told otherwise.
const CHUNK_BYTES_DEFAULT: usize = 128;
/// A 24-bit timestamp field that says "see the extended timestamp".
const EXTENDED: u32 = 0xff_ffff;

/// Puts messages together.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    chunk_bytes_max: usize,
    streams: BTreeMap<u32, Incoming>,
    /// The chunk whose payload is arriving: its chunk stream, and how many bytes are still to come.
    open: Option<(u32, usize)>,
    /// Payload bytes held in `streams`.
    unfinished: usize,
}

/// What a chunk stream remembers of its last header, and the message it is in the middle of.
#[derive(Debug, Default)]
struct Incoming {
    timestamp: u32,
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
    begun: bool,
    payload: BytesMut,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            buffer: BytesMut::new(),
            chunk_bytes_max: CHUNK_BYTES_DEFAULT,
            streams: BTreeMap::new(),
            open: None,
            unfinished: 0,
        }
    }
}

impl Reader {
    /// Takes bytes of the peer, cut anywhere. Call [`Reader::read`] until it has no more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes were pushed and not looked at yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes that are held: those that were not looked at, and those of unfinished messages.
    pub fn held_bytes(&self) -> usize {
        let unfinished = self.streams.values().map(|incoming| incoming.payload.len());
        self.buffer.len() + unfinished.sum::<usize>()
    }

    /// The next message that is whole, or `None` if more bytes are needed.
    pub fn read(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if self.open.is_none() && !self.open_chunk()? {
                return Ok(None);
            }
            let Some(message) = self.fill_chunk()? else {
                if self.open.is_some() {
                    return Ok(None);
                }
                continue;
            };
            match message.kind {
                SET_CHUNK_SIZE => self.set_chunk_size(&message.payload)?,
                ABORT => self.abort(&message.payload)?,
                _ => return Ok(Some(message)),
            }
        }
    }

    /// Reads a chunk's header; false if it is not all there yet.
    fn open_chunk(&mut self) -> Result<bool, Error> {
        let mut bytes = &self.buffer[..];
        let Some((format, id)) = basic_header(&mut bytes) else { return Ok(false) };
        if !self.streams.contains_key(&id) {
            self.check_first_header(format, id)?;
        }
        let incoming = self.streams.entry(id).or_default();
        if incoming.begun && format != 3 {
            return Err(Error::Interrupted(id));
        }
        if !incoming.header(format, &mut bytes) {
            return Ok(false);
        }
        let read = self.buffer.len() - bytes.len();
        if incoming.length > limits::ACCESS_UNIT_BYTES_MAX {
            return Err(Error::message_too_long(incoming.length));
        }
        self.open = Some((id, (incoming.length - incoming.payload.len()).min(self.chunk_bytes_max)));
        self.buffer.advance(read);
        Ok(true)
    }

    /// Whether a chunk stream that was never used may begin with this header.
    fn check_first_header(&self, format: u8, id: u32) -> Result<(), Error> {
        // A first header of type 1 leaves out only the message stream id, and some encoders begin with it.
        if format > 1 {
            return Err(Error::NoHeader(id));
        }
        if self.streams.len() >= limits::RTMP_CHUNK_STREAMS_MAX {
            let what = format!("{} chunk streams", self.streams.len() + 1);
            return Err(Error::TooMuch { what, max: limits::RTMP_CHUNK_STREAMS_MAX });
        }
        Ok(())
    }

    /// Moves what has arrived of the open chunk into its message, which is returned when it is whole.
    fn fill_chunk(&mut self) -> Result<Option<Message>, Error> {
        let Some((id, left)) = self.open else { return Ok(None) };
        let incoming = self.streams.entry(id).or_default();
        let moved = left.min(self.buffer.len());
        self.unfinished += moved;
        if self.unfinished > limits::RTMP_UNFINISHED_BYTES_MAX {
            let what = format!("{} bytes of unfinished messages", self.unfinished);
            return Err(Error::TooMuch { what, max: limits::RTMP_UNFINISHED_BYTES_MAX });
        }
        incoming.payload.extend_from_slice(&self.buffer[..moved]);
        self.buffer.advance(moved);
        if moved < left {
            self.open = Some((id, left - moved));
            return Ok(None);
        }
        self.open = None;
        if incoming.payload.len() < incoming.length {
            return Ok(None);
        }
        incoming.begun = false;
        self.unfinished -= incoming.length;
        Ok(Some(Message {
            kind: incoming.kind,
            stream: incoming.stream,
            timestamp: incoming.timestamp,
            payload: core::mem::take(&mut incoming.payload).freeze(),
        }))
    }

    fn set_chunk_size(&mut self, payload: &[u8]) -> Result<(), Error> {
        let size = control_value(payload).ok_or(Error::Malformed("Set Chunk Size"))?;
        // The top bit must be 0, but encoders that set it mean the rest.
        let size = (size & 0x7fff_ffff) as usize;
        if size == 0 {
            return Err(Error::Malformed("Set Chunk Size"));
        }
        self.chunk_bytes_max = size;
        Ok(())
    }

    fn abort(&mut self, payload: &[u8]) -> Result<(), Error> {
        let id = control_value(payload).ok_or(Error::Malformed("Abort"))?;
        if let Some(incoming) = self.streams.get_mut(&id) {
            self.unfinished -= incoming.payload.len();
            incoming.payload = BytesMut::new();
            incoming.begun = false;
        }
        Ok(())
    }
}

impl Incoming {
    /// Reads the message header behind the basic header. Nothing is changed, and false returned, if it is not all
    /// there.
    fn header(&mut self, format: u8, bytes: &mut &[u8]) -> bool {
        if format == 3 { self.repeated_header(bytes) } else { self.new_header(format, bytes) }
    }

    /// Types 0, 1 and 2: a timestamp and, the lower the type, the more of the rest.
    fn new_header(&mut self, format: u8, bytes: &mut &[u8]) -> bool {
        let length = HEADER_BYTES[usize::from(format & 3)];
        let Some((fields, mut rest)) = bytes.split_at_checked(length) else { return false };
        let mut time = be24(fields);
        let extended = time == EXTENDED;
        if extended {
            let Some((long, after)) = rest.split_first_chunk() else { return false };
            time = u32::from_be_bytes(*long);
            rest = after;
        }
        self.extended = extended;
        self.delta = time;
        self.timestamp = if format == 0 { time } else { self.timestamp.wrapping_add(time) };
        if format <= 1 {
            self.length = be24(&fields[3..]) as usize;
            self.kind = fields[6];
        }
        if format == 0 {
            self.stream = u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]);
        }
        self.begun = true;
        *bytes = rest;
        true
    }

    /// Type 3: more of the begun message, or another message just like the last one.
    fn repeated_header(&mut self, bytes: &mut &[u8]) -> bool {
        if self.extended {
            let Some((time, after)) = bytes.split_first_chunk() else { return false };
            let time = u32::from_be_bytes(*time);
            // The extended timestamp is repeated here, but not all encoders know that: what is no repetition is
            // payload already.
            if time == self.delta || time == self.timestamp {
                *bytes = after;
            }
        }
        if !self.begun {
            self.timestamp = self.timestamp.wrapping_add(self.delta);
            self.begun = true;
        }
        true
    }
}

/// Cuts messages into chunks.
#[derive(Debug)]
pub struct Writer {
    chunk_bytes_max: usize,
    streams: BTreeMap<u32, Outgoing>,
}

/// The last header on a chunk stream.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    timestamp: u32,
    /// What a header of type 3 would add to `timestamp`; unknown after one of type 0, which peers read differently.
    delta: Option<u32>,
    length: usize,
    kind: u8,
    stream: u32,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer { chunk_bytes_max: CHUNK_BYTES_DEFAULT, streams: BTreeMap::new() }
    }
}

impl Writer {
    /// Appends `message`, whole, on chunk stream `id` (2 to 65599). A payload that is longer than 24 bits can say is
    /// a mistake of the caller; it is cut.
    pub fn write(&mut self, id: u32, message: &Message, out: &mut BytesMut) {
        let payload = &message.payload[..message.payload.len().min(0xff_ffff)];
        out.reserve(payload.len() + 18);
        let extended = self.first_header(id, message, out);
        let mut chunks = payload.chunks(self.chunk_bytes_max);
        out.put_slice(chunks.next().unwrap_or_default());
        for chunk in chunks {
            next_header(id, extended, out);
            out.put_slice(chunk);
        }
    }

    /// Tells the peer that chunks are longer from now on, and makes them so. `bytes` is at least 1.
    pub fn set_chunk_size(&mut self, bytes: u32, out: &mut BytesMut) {
        let bytes = bytes.clamp(1, 0xff_ffff);
        let payload = Bytes::copy_from_slice(&bytes.to_be_bytes());
        self.write(2, &Message { kind: SET_CHUNK_SIZE, stream: 0, timestamp: 0, payload }, out);
        self.chunk_bytes_max = bytes as usize;
    }

    /// Writes the shortest header that says where `message` differs from the last one, and returns the extended
    /// timestamp that its continuations repeat.
    fn first_header(&mut self, id: u32, message: &Message, out: &mut BytesMut) -> Option<u32> {
        let length = message.payload.len().min(0xff_ffff);
        let last = self.streams.get(&id).filter(|last| last.stream == message.stream);
        // Time that goes backwards cannot be told as a difference.
        let delta = last.map(|last| message.timestamp.wrapping_sub(last.timestamp)).filter(|&d| d < 1 << 31);
        let format = match (last, delta) {
            (Some(last), Some(delta)) => match (last.length, last.kind) == (length, message.kind) {
                true if last.delta == Some(delta) => 3,
                true => 2,
                false => 1,
            },
            _ => 0,
        };
        let time = delta.unwrap_or(message.timestamp);
        basic(format, id, out);
        if format <= 2 {
            out.put_uint(time.min(EXTENDED).into(), 3);
        }
        if format <= 1 {
            out.put_uint(length as u64, 3);
            out.put_u8(message.kind);
        }
        if format == 0 {
            out.put_u32_le(message.stream);
        }
        let extended = (time >= EXTENDED).then_some(time);
        extended.into_iter().for_each(|time| out.put_u32(time));
        let (timestamp, kind, stream) = (message.timestamp, message.kind, message.stream);
        self.streams.insert(id, Outgoing { timestamp, delta, length, kind, stream });
        extended
    }
}

/// The header of a message's second and later chunks.
fn next_header(id: u32, extended: Option<u32>, out: &mut BytesMut) {
    basic(3, id, out);
    extended.into_iter().for_each(|time| out.put_u32(time));
}

/// A basic header (section 5.3.1.1).
fn basic(format: u8, id: u32, out: &mut BytesMut) {
    let format = format << 6;
    match id {
        0..64 => out.put_u8(format | id as u8),
        64..320 => out.put_slice(&[format, (id - 64) as u8]),
        _ => {
            out.put_u8(format | 1);
            out.put_u16_le((id - 64) as u16);
        }
    }
}

/// Takes a basic header off `bytes`: the header type and the chunk stream id.
fn basic_header(bytes: &mut &[u8]) -> Option<(u8, u32)> {
    let (format, id, length) = match **bytes {
        [first, second, ..] if first & 0x3f == 0 => (first >> 6, 64 + u32::from(second), 2),
        [first, second, third, ..] if first & 0x3f == 1 => {
            (first >> 6, 64 + u32::from(u16::from_le_bytes([second, third])), 3)
        }
        [first, ..] if first & 0x3f > 1 => (first >> 6, u32::from(first & 0x3f), 1),
        _ => return None,
    };
    *bytes = &bytes[length..];
    Some((format, id))
}

/// The first three bytes as a number; `bytes` has at least three.
fn be24(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

/// The value of a control message: its first four bytes.
pub(super) fn control_value(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().copied().map(u32::from_be_bytes)
}

/// Bytes of a message header by its type, without the extended timestamp.
const HEADER_BYTES: [usize; 4] = [11, 7, 3, 0];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(reader: &mut Reader) -> Vec<Message> {
        std::iter::from_fn(|| reader.read().expect("well-formed chunks")).collect()
    }

    fn message(timestamp: u32, payload: &[u8]) -> Message {
        Message { kind: 9, stream: 1, timestamp, payload: Bytes::copy_from_slice(payload) }
    }

    /// The chunks of a message, one by one.
    fn chunks(writer: &mut Writer, id: u32, message: &Message) -> Vec<BytesMut> {
        let mut first = BytesMut::new();
        let extended = writer.first_header(id, message, &mut first);
        let mut parts = message.payload.chunks(writer.chunk_bytes_max);
        first.extend_from_slice(parts.next().unwrap_or_default());
        let rest = parts.map(|part| {
            let mut chunk = BytesMut::new();
            next_header(id, extended, &mut chunk);
            chunk.extend_from_slice(part);
            chunk
        });
        std::iter::once(first).chain(rest).collect()
    }

    #[test]
    fn headers_are_as_short_as_they_can_be() {
        let mut writer = Writer::default();
        let lengths = [0, 40, 80, 120, 161, 100].map(|timestamp| {
            let mut out = BytesMut::new();
            writer.write(6, &message(timestamp, b"x"), &mut out);
            (out[0] >> 6, out.len())
        });
        assert_eq!(lengths, [(0, 13), (2, 5), (3, 2), (3, 2), (2, 5), (0, 13)]);
    }

    #[test]
    fn an_extended_timestamp_may_be_repeated_or_not() {
        for repeats in [true, false] {
            let mut bytes = BytesMut::new();
            bytes.extend_from_slice(&[6, 0xff, 0xff, 0xff, 0, 0, 130, 9, 1, 0, 0, 0, 1, 2, 3, 4]);
            bytes.extend_from_slice(&[7; 128]);
            bytes.extend_from_slice(&[0xc6]);
            if repeats {
                bytes.extend_from_slice(&[1, 2, 3, 4]);
            }
            bytes.extend_from_slice(&[7, 7]);
            bytes.extend_from_slice(&[0xc2, 0, 0]);
            let mut reader = Reader::default();
            reader.push(&bytes);
            let read = reader.read().expect("well-formed").expect("whole");
            assert_eq!((read.timestamp, read.payload.len()), (0x0102_0304, 130));
        }
    }

    #[test]
    fn an_aborted_message_is_forgotten() {
        let mut writer = Writer::default();
        let aborted = chunks(&mut writer, 6, &message(0, &[1; 200]));
        let mut reader = Reader::default();
        reader.push(&aborted[0]);
        assert_eq!(reader.read(), Ok(None));
        let mut bytes = BytesMut::new();
        let payload = Bytes::from_static(&[0, 0, 0, 6]);
        writer.write(2, &Message { kind: ABORT, stream: 0, timestamp: 0, payload }, &mut bytes);
        writer.write(6, &message(9, &[2; 200]), &mut bytes);
        reader.push(&bytes);
        assert_eq!(read_all(&mut reader), [message(9, &[2; 200])]);
        assert_eq!(reader.unfinished, 0);
    }

    #[test]
    fn a_peer_cannot_make_us_hold_more_than_the_bounds() {
        let mut reader = Reader::default();
        reader.push(&[6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0]);
        assert!(matches!(reader.read(), Err(Error::TooMuch { .. })), "one message");

        let mut reader = Reader::default();
        let many = (0..=limits::RTMP_CHUNK_STREAMS_MAX as u8)
            .flat_map(|id| [0, id, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0])
            .collect::<Vec<_>>();
        reader.push(&many);
        let error = std::iter::repeat_with(|| reader.read()).find_map(Result::err).expect("a bound");
        assert!(matches!(error, Error::TooMuch { .. }), "chunk streams");

        let mut reader = Reader::default();
        let mut bytes = BytesMut::new();
        Writer::default().set_chunk_size(0xff_ffff, &mut bytes);
        reader.push(&bytes);
        assert_eq!(reader.read(), Ok(None));
        reader.set_chunk_size(&(limits::ACCESS_UNIT_BYTES_MAX as u32 - 1).to_be_bytes()).expect("a size");
        let error = (2..6).find_map(|id| {
            let mut header = vec![id, 0, 0, 0];
            header.extend_from_slice(&(limits::ACCESS_UNIT_BYTES_MAX as u32).to_be_bytes()[1..]);
            header.extend_from_slice(&[9, 1, 0, 0, 0]);
            reader.push(&header);
            reader.push(&vec![0; limits::ACCESS_UNIT_BYTES_MAX - 1]);
            reader.read().err()
        });
        assert!(matches!(error, Some(Error::TooMuch { .. })), "all messages together");
    }

    #[test]
    fn headers_out_of_nowhere_and_interruptions_are_errors() {
        let mut reader = Reader::default();
        reader.push(&[0x86, 0, 0, 0]);
        assert_eq!(reader.read(), Err(Error::NoHeader(6)));
        let mut reader = Reader::default();
        let first = &chunks(&mut Writer::default(), 6, &message(0, &[1; 200]))[0];
        reader.push(first);
        reader.push(first);
        assert_eq!(reader.read(), Err(Error::Interrupted(6)));
    }

    /// Messages on four chunk streams, whose chunks are interleaved as `order` says.
    fn interleaved(messages: &[(u8, Message)], chunk_size: u32, order: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut writer = Writer::default();
        writer.set_chunk_size(chunk_size, &mut out);
        let mut queues = [const { Vec::new() }; 4];
        for (stream, message) in messages {
            let id = [3, 63, 200, 40_000][usize::from(*stream)];
            queues[usize::from(*stream)].extend(chunks(&mut writer, id, message));
        }
        let mut queues = queues.map(|queue| queue.into_iter());
        order.iter().for_each(|turn| out.extend(queues[usize::from(*turn)].next().unwrap_or_default()));
        queues.into_iter().flatten().for_each(|chunk| out.extend_from_slice(&chunk));
        out
    }

    prop_compose! {
        fn any_message()(
            kind in 3u8..23, stream in 0u32..3, payload in prop::collection::vec(any::<u8>(), 0..600),
            timestamp in prop_oneof![any::<u32>(), 0u32..100, 0xff_ff00u32..0x100_0100],
        ) -> Message {
            Message { kind, stream, timestamp, payload: payload.into() }
        }
    }

    proptest! {
        #[test]
        fn messages_survive_any_interleaving_and_any_cut(
            messages in prop::collection::vec((0u8..4, any_message()), 0..20),
            chunk_size in 1u32..300,
            order in prop::collection::vec(0u8..4, 0..100),
            cuts in prop::collection::vec(1usize..200, 1..20),
        ) {
            let bytes = interleaved(&messages, chunk_size, &order);
            let mut reader = Reader::default();
            let mut read = Vec::new();
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().expect("cycled")));
                reader.push(piece);
                read.extend(read_all(&mut reader));
                rest = after;
            }
            prop_assert_eq!(reader.unfinished, 0);
            let key = |m: &Message| (m.kind, m.stream, m.timestamp, m.payload.clone());
            let mut sent = messages.into_iter().map(|(_, m)| m).collect::<Vec<_>>();
            sent.sort_by_key(key);
            read.sort_by_key(key);
            prop_assert_eq!(sent, read);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut reader = Reader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.read() {}
        }
    }
}
