//! What happened, twice: as a rolling hash that is equal if and only if two runs were equal, and as the last events
//! in words for whoever has to understand a failure.

use core::fmt;
use std::collections::VecDeque;
use std::net::SocketAddr;

use headwater_core::event::Event;
use headwater_core::io::{CloseReason, ConnId, RequestId, Service};
use headwater_core::time::Time;

use xxhash_rust::xxh3::xxh3_64;

use crate::world::HostId;

/// A 64-bit hash that is the same in every build: not for security, only to compare runs and contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash64(u64);

impl Default for Hash64 {
    fn default() -> Self {
        Hash64::new()
    }
}

impl Hash64 {
    /// The hash of nothing.
    pub const fn new() -> Hash64 {
        Hash64(0x9e37_79b9_7f4a_7c15)
    }

    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> u64 {
        xxh3_64(bytes)
    }

    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 = mixed.rotate_left(29) ^ (mixed >> 32);
    }

    /// Takes bytes in, and how many they were.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(xxh3_64(bytes));
        self.number(bytes.len() as u64);
    }

    /// The hash of all that was taken in.
    pub fn value(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }
}

impl fmt::Write for Hash64 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// One thing that happened to a host.
#[derive(Clone, Debug)]
pub enum What {
    /// It accepted a connection.
    Accepted(ConnId, Service),
    /// It heard that a connection is over.
    Closed(ConnId, CloseReason),
    /// A datagram arrived: from whom, on which port, how many bytes, and their hash.
    Datagram(SocketAddr, u16, usize, u64),
    /// The operator, or fate, did something to it.
    Fault(String),
    /// Its program said something.
    Event(Event),
    /// An answer to its HTTP request, by its own number: the status, or why there is none.
    Fetched(u64, Result<u16, CloseReason>, u64),
    /// Its connection was made.
    Opened(ConnId),
    /// Bytes arrived: how many, and their hash.
    Received(ConnId, usize, u64),
    /// An HTTP request arrived: its URI.
    Request(RequestId, String),
    /// Whoever asked is gone.
    RequestGone(RequestId),
    /// Bytes left.
    Sent(ConnId, usize),
    /// A deadline passed: what it waited for.
    Timeout(&'static str),
}

/// One line of the trace.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How many came before.
    pub number: u64,
    /// When, in the world's time.
    pub at: Time,
    /// To whom.
    pub host: HostId,
    /// What.
    pub what: What,
}

/// The rolling hash and the last entries.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: Hash64,
    count: u64,
    last: VecDeque<Entry>,
}

impl Trace {
    /// An empty trace.
    pub(crate) fn new() -> Trace {
        Trace { hash: Hash64::new(), count: 0, last: VecDeque::new() }
    }

    pub(crate) fn add(&mut self, at: Time, host: HostId, what: What) {
        self.hash.number(at.as_micros());
        self.hash.number(host.index() as u64);
        mix(&mut self.hash, &what);
        if self.last.len() == ENTRIES_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Entry { number: self.count, at, host, what });
        self.count += 1;
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// How many entries there were so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last entries, oldest first.
    pub fn last(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.last.iter()
    }
}

/// The frequent ones as numbers, the others as their text: formatting every packet would cost more than moving it.
fn mix(hash: &mut Hash64, what: &What) {
    match what {
        What::Received(conn, bytes, content) => {
            hash.number(1);
            hash.number(conn.0);
            hash.number(*bytes as u64);
            hash.number(*content);
        }
        What::Sent(conn, bytes) => {
            hash.number(2);
            hash.number(conn.0);
            hash.number(*bytes as u64);
        }
        What::Event(Event::PartReady { key, track, msn, part }) => {
            hash.number(4);
            [&key.vhost, &key.app, &key.stream].into_iter().for_each(|name| hash.bytes(name.as_bytes()));
            hash.number(u64::from(*track));
            hash.number(*msn);
            hash.number(u64::from(*part));
        }
        What::Timeout(why) => {
            hash.number(3);
            hash.bytes(why.as_bytes());
        }
        other => fmt::Write::write_fmt(hash, format_args!("{other:?}")).expect("a hash takes any text"),
    }
}

/// How many entries are kept as text for a failure report.
const ENTRIES_KEPT: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_tell_contents_and_lengths_apart() {
        let all = [&b""[..], b"\0", b"\0\0", b"a", b"b", b"12345678", b"123456789", b"12345678\0"];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert_ne!(Hash64::of(one), Hash64::of(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_hash_is_pinned() {
        assert_eq!(Hash64::of(b"headwater"), Hash64::of(b"headwater"));
        let mut split = Hash64::new();
        split.bytes(b"head");
        split.bytes(b"water");
        assert_ne!(split.value(), Hash64::of(b"headwater"));
    }
}
