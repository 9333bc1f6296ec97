//! What both sides of an RTMP connection do by themselves: the handshake, chunks, acknowledgements and pings.

use bytes::{Bytes, BytesMut};

use super::chunk::{Message, Reader, Writer};
use super::message::{Body, Command, UserControl};
use super::{Error, Handshake};

/// The chunk size that is announced and used for everything sent: few headers, and little delay between messages.
const CHUNK_BYTES: u32 = 4_096;
/// The acknowledgement window that is announced.
const WINDOW_BYTES: u32 = 2_500_000;
/// No smaller window is obeyed: acknowledgements would be longer than what they acknowledge.
const WINDOW_BYTES_MIN: u64 = 4_096;

/// Chunk streams that are used for sending.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    Control = 2,
    Command = 3,
    Audio = 4,
    Stream = 5,
    Video = 6,
}

/// A message with its place.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) stream: u32,
    pub(super) timestamp: u32,
    pub(super) body: Body,
}

/// An RTMP connection below its conversation.
#[derive(Debug)]
pub(super) struct Connection {
    handshake: Handshake,
    reader: Reader,
    writer: Writer,
    out: BytesMut,
    /// Bytes of the chunk stream that were received, and how many of them the peer knows about.
    received: u64,
    acknowledged: u64,
    window: u64,
}

impl Connection {
    pub(super) fn server() -> Connection {
        Connection::new(Handshake::server(), BytesMut::new())
    }

    pub(super) fn client() -> Connection {
        let mut out = BytesMut::new();
        Connection::new(Handshake::client(&mut out), out)
    }

    fn new(handshake: Handshake, out: BytesMut) -> Connection {
        Connection {
            handshake,
            reader: Reader::default(),
            writer: Writer::default(),
            out,
            received: 0,
            acknowledged: 0,
            window: WINDOW_BYTES.into(),
        }
    }

    /// Takes bytes of the peer. Call [`Connection::read`] until it has no more.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let rest;
        let bytes = if self.handshake.is_done() {
            bytes
        } else {
            rest = self.handshake.receive(bytes, &mut self.out)?;
            &rest
        };
        self.reader.push(bytes);
        self.received += bytes.len() as u64;
        if self.received - self.acknowledged >= self.window {
            self.acknowledged = self.received;
            self.send(Lane::Control, 0, 0, &Body::Acknowledgement(self.received as u32));
        }
        Ok(())
    }

    /// The next message that the conversation has to know about.
    pub(super) fn read(&mut self) -> Result<Option<Received>, Error> {
        while let Some(Message { kind, stream, timestamp, payload }) = self.reader.read()? {
            match Body::decode(kind, payload)? {
                Body::Acknowledgement(_) | Body::Other(_) => {}
                Body::SetPeerBandwidth(_) => {
                    self.send(Lane::Control, 0, 0, &Body::WindowAckSize(WINDOW_BYTES));
                }
                Body::UserControl(UserControl::PingRequest(time)) => {
                    self.send(Lane::Control, 0, 0, &Body::UserControl(UserControl::PingResponse(time)));
                }
                Body::UserControl(_) => {}
                Body::WindowAckSize(window) => self.window = u64::from(window).max(WINDOW_BYTES_MIN),
                body => return Ok(Some(Received { stream, timestamp, body })),
            }
        }
        Ok(None)
    }

    /// Bytes that arrived and have not been looked at.
    pub(super) fn buffered(&self) -> usize {
        self.reader.buffered()
    }

    /// Bytes of the peer that are not a whole message yet, and bytes for it that nobody has taken.
    pub(super) fn held_bytes(&self) -> usize {
        self.handshake.held_bytes() + self.reader.held_bytes() + self.out.len()
    }

    /// Whether the handshake is over.
    pub(super) fn is_open(&self) -> bool {
        self.handshake.is_done()
    }

    /// Sends what a server says before its answer to `connect`.
    pub(super) fn announce(&mut self) {
        self.send(Lane::Control, 0, 0, &Body::WindowAckSize(WINDOW_BYTES));
        self.send(Lane::Control, 0, 0, &Body::SetPeerBandwidth(WINDOW_BYTES));
        self.widen();
    }

    /// Makes the chunks that are sent longer than the default.
    pub(super) fn widen(&mut self) {
        self.writer.set_chunk_size(CHUNK_BYTES, &mut self.out);
    }

    pub(super) fn send(&mut self, lane: Lane, stream: u32, timestamp: u32, body: &Body) {
        let (kind, payload) = body.encode();
        self.writer.write(lane as u32, &Message { kind, stream, timestamp, payload }, &mut self.out);
    }

    pub(super) fn command(&mut self, lane: Lane, stream: u32, command: Command) {
        self.send(lane, stream, 0, &Body::Command(command));
    }

    /// What is to be written to the peer.
    pub(super) fn take_output(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }
}
