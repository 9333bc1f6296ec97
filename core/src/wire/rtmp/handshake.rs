//! The handshake: three blobs each way (RTMP 1.0 section 5.2).
//!
//! Only the simple form is spoken. The digest form of Flash players is answered as a plain one, which every encoder
//! accepts: it only matters to players that refuse H.264 from a server without it.

use bytes::{Bytes, BytesMut};

use super::Error;

const VERSION: u8 = 3;
const BLOB_BYTES: usize = 1_536;

/// One side of the handshake. It reads no more bytes than belong to it.
#[derive(Debug)]
pub struct Handshake {
    state: State,
    buffer: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A server that waits for C0 and C1.
    Hello,
    /// A client that waits for S0 and S1.
    Answer,
    /// Either, waiting for the echo of its own blob.
    Echo,
    Done,
}

impl Handshake {
    /// The side that accepted the connection.
    pub fn server() -> Handshake {
        Handshake { state: State::Hello, buffer: BytesMut::new() }
    }

    /// The side that opened the connection; C0 and C1 are written to `out`.
    pub fn client(out: &mut BytesMut) -> Handshake {
        out.extend_from_slice(&[VERSION]);
        out.extend_from_slice(&blob());
        Handshake { state: State::Answer, buffer: BytesMut::new() }
    }

    /// Whether both sides have said all they had to say.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of a blob that is not complete.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Takes bytes of the peer, writes the answers to `out` and returns what is left over: bytes of the chunk stream,
    /// if the handshake is done.
    pub fn receive(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<Bytes, Error> {
        self.buffer.extend_from_slice(bytes);
        while self.step(out)? {}
        Ok(if self.is_done() { self.buffer.split().freeze() } else { Bytes::new() })
    }

    /// Takes one blob if it is there; false if more bytes are needed or nothing is left to do.
    fn step(&mut self, out: &mut BytesMut) -> Result<bool, Error> {
        match self.state {
            State::Hello => {
                let Some(theirs) = self.versioned_blob()? else { return Ok(false) };
                out.extend_from_slice(&[VERSION]);
                out.extend_from_slice(&blob());
                out.extend_from_slice(&theirs);
                self.state = State::Echo;
            }
            State::Answer => {
                let Some(theirs) = self.versioned_blob()? else { return Ok(false) };
                out.extend_from_slice(&theirs);
                self.state = State::Echo;
            }
            // Encoders differ in how they echo (time fields, digests); nothing depends on it.
            State::Echo => {
                if self.buffer.len() < BLOB_BYTES {
                    return Ok(false);
                }
                drop(self.buffer.split_to(BLOB_BYTES));
                self.state = State::Done;
            }
            State::Done => return Ok(false),
        }
        Ok(true)
    }

    /// C0 and C1, or S0 and S1.
    fn versioned_blob(&mut self) -> Result<Option<BytesMut>, Error> {
        if let Some(&version) = self.buffer.first() {
            check_version(version)?;
        }
        if self.buffer.len() < 1 + BLOB_BYTES {
            return Ok(None);
        }
        Ok(Some(self.buffer.split_to(1 + BLOB_BYTES).split_off(1)))
    }
}

fn check_version(version: u8) -> Result<(), Error> {
    Err(Error::NotRtmp(match version {
        VERSION => return Ok(()),
        6 | 8 => "it wants the encrypted form RTMPE; publish with rtmp://",
        0x16 => "it opened TLS; publish with rtmp://, not rtmps://",
        b'A'..=b'Z' => "it sent what looks like HTTP",
        _ => "its first byte is not version 3",
    }))
}

/// Time 0, four zeros (which say that there is no digest) and filler. The filler need not be random: it only tells
/// a connection to oneself from one to another, which cannot happen here.
fn blob() -> [u8; BLOB_BYTES] {
    let mut blob = [0; BLOB_BYTES];
    for (at, byte) in blob.iter_mut().enumerate().skip(8) {
        *byte = (at.wrapping_mul(167) >> 3) as u8;
    }
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_finish_and_leave_the_rest_alone() {
        let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
        let mut client = Handshake::client(&mut to_server);
        let mut server = Handshake::server();
        assert!(server.receive(&to_server.split(), &mut to_client).expect("a client").is_empty());
        assert!(client.receive(&to_client.split(), &mut to_server).expect("a server").is_empty());
        assert!(client.is_done());
        to_server.extend_from_slice(b"chunks");
        let mut left_over = Vec::new();
        for byte in to_server.split() {
            left_over.extend(server.receive(&[byte], &mut to_client).expect("a client"));
        }
        assert_eq!(left_over, b"chunks");
        assert!(server.is_done());
    }

    #[test]
    fn a_digest_client_gets_a_plain_answer() {
        let mut hello = vec![0x5a; 1 + BLOB_BYTES];
        hello[0] = VERSION;
        hello[5..9].copy_from_slice(&[9, 0, 124, 2]);
        let mut out = BytesMut::new();
        let mut server = Handshake::server();
        server.receive(&hello, &mut out).expect("a client");
        assert_eq!(out[5..9], [0; 4], "no digest is promised");
        assert_eq!(out[1 + BLOB_BYTES..], hello[1..], "S2 echoes C1");
    }

    #[test]
    fn other_protocols_are_named() {
        for (first, word) in [(0x16, "TLS"), (b'G', "HTTP"), (6, "RTMPE"), (0xff, "version")] {
            let error = Handshake::server().receive(&[first], &mut BytesMut::new()).expect_err("not RTMP");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
