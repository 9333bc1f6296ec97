//! An origin that goes wrong: it speaks OVT as it should, up to some moment of each connection.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use headwater_core::io::{Close, ConnId, Input, Machine, Output, Service};
use headwater_core::time::{Deadline, Now};
use serde::{Deserialize, Serialize};

use super::packet::LAST;
use super::{Origin, Stream};
use crate::host::Boot;
use crate::rng::Rng;

/// How an origin goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// It closes the connection in order.
    Ends,
    /// It resets the connection.
    Resets,
    /// It sends as many bytes as before, which mean nothing.
    Garbage,
    /// It says nothing more.
    Silent,
    /// It goes on with a frame that never ends.
    Endless,
}

/// The program.
struct Spoilt {
    origin: Origin,
    wrong: Wrong,
    /// So many writes on each connection are as they should be: the answer to DESCRIBE, to PLAY, and then frames.
    after: u32,
    writes: BTreeMap<ConnId, u32>,
    /// What the origin believes that it has written, and has not.
    swallowed: Vec<(ConnId, usize)>,
    rng: Rng,
    out: VecDeque<Output>,
}

/// A host's program that serves `stream` on OVT's usual port, and goes `wrong` after so many writes on each connection.
pub fn boot(stream: Stream, wrong: Wrong, after: u32) -> Boot {
    let make = move |seed, now| -> Box<dyn Machine> {
        Box::new(Spoilt {
            origin: Origin::new(stream.clone(), seed, now),
            wrong,
            after,
            writes: BTreeMap::new(),
            swallowed: Vec::new(),
            rng: Rng::new(seed).fork("spoilt"),
            out: VecDeque::new(),
        })
    };
    Boot::new(make).listen(9_000, Service::Ovt)
}

impl Spoilt {
    /// Takes what the origin wants, and spoils it.
    fn settle(&mut self, now: Now) {
        loop {
            for (conn, bytes) in core::mem::take(&mut self.swallowed) {
                self.origin.handle(now, Input::Sent { conn, bytes });
            }
            let Some(output) = self.origin.poll_output() else { return };
            let Output::Write { conn, bytes } = output else {
                self.out.push_back(output);
                continue;
            };
            let writes = self.writes.entry(conn).or_default();
            *writes += 1;
            let written = match (*writes > self.after, self.wrong) {
                (false, _) => bytes,
                (true, Wrong::Garbage) => bytes.iter().map(|_| self.rng.number() as u8).collect(),
                (true, Wrong::Endless) => {
                    let mut bytes = bytes.to_vec();
                    bytes[0] &= !LAST;
                    Bytes::from(bytes)
                }
                (true, how) => {
                    self.swallowed.push((conn, bytes.len()));
                    if *writes == self.after + 1 && how != Wrong::Silent {
                        let how = if how == Wrong::Ends { Close::Flush } else { Close::Abort };
                        self.out.push_back(Output::Close { conn, how });
                    }
                    continue;
                }
            };
            self.out.push_back(Output::Write { conn, bytes: written });
        }
    }
}

impl Machine for Spoilt {
    fn handle(&mut self, now: Now, input: Input) {
        self.origin.handle(now, input);
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.origin.handle_timeout(now);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.origin.poll_timeout()
    }
}
