//! An origin's other side of the directory: where the time zero of a stream lies that is put on the wall clock
//! (`TimestampMode` SystemClock), so that all origins of the stream put it there.
//!
//! The first origin says where, the others follow, and all keep it for as long as they have the stream. Nobody waits for
//! a store that is away: the caller has a deadline of its own.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::announcer::BATCH;
use super::line::{self, Change, Line};
use super::{Answer, Command, Failure, Name, Zero};
use crate::census::Census;
use crate::time::{Deadline, Now, Time};

/// What a timekeeper wants, or has to tell.
#[derive(Debug)]
pub enum Output {
    /// Ask the store. Answered by [`Timekeeper::answered`], before anything else is asked.
    Ask(Command),
    /// Here lies a stream's time zero, for everybody.
    Agreed {
        /// The stream.
        name: Name,
        /// In milliseconds since the Unix epoch.
        ms: i64,
    },
    /// Others have put a stream's time zero elsewhere meanwhile.
    Overruled {
        /// The stream.
        name: Name,
        /// Where, in milliseconds since the Unix epoch.
        ms: i64,
    },
}

/// How often a time zero is kept: three times in its life.
pub const KEEP: Duration = Duration::from_secs(20);

/// An origin's time zeros.
#[derive(Debug)]
pub struct Timekeeper {
    streams: BTreeMap<Name, Kept>,
    line: Line,
    out: VecDeque<Output>,
}

#[derive(Debug)]
struct Kept {
    ms: i64,
    /// Whether it was agreed on.
    agreed: bool,
    /// When the store is asked; not while it is being asked.
    due: Option<Time>,
}

impl Timekeeper {
    /// One that has no streams; `seed` draws the jitter of retries.
    pub fn new(seed: u64) -> Timekeeper {
        Timekeeper { streams: BTreeMap::new(), line: Line::new(seed), out: VecDeque::new() }
    }

    /// This origin would put the stream's time zero at `ms`: where do others?
    pub fn agree(&mut self, now: Now, name: Name, ms: i64) {
        self.streams.insert(name, Kept { ms, agreed: false, due: Some(now.mono) });
        self.settle(now);
    }

    /// The stream has begun with its time zero at `ms`, agreed or not.
    pub fn keep(&mut self, now: Now, name: Name, ms: i64) {
        let kept = self.streams.entry(name).or_insert(Kept { ms, agreed: true, due: Some(now.mono) });
        (kept.ms, kept.agreed) = (ms, true);
        self.settle(now);
    }

    /// The store may have lost its data.
    pub fn again(&mut self, now: Now) {
        for kept in self.streams.values_mut().filter(|kept| kept.due.is_some()) {
            kept.due = Some(now.mono);
        }
        self.settle(now);
    }

    /// The stream is here no more, or has another time zero.
    pub fn forget(&mut self, name: &str) {
        self.streams.remove(name);
        if self.streams.is_empty() {
            self.line.rest();
        }
    }

    /// The store answered the last [`Output::Ask`], or did not. What that says of the store itself.
    pub fn answered(&mut self, now: Now, answer: Result<Answer, Failure>) -> Option<Change> {
        let (command, change) = self.line.answered(now, &answer)?;
        let Command::Agree(asked) = command else { return change };
        let agreed = match answer {
            Ok(Answer::Agreed(agreed)) => agreed.into_iter().map(Some).collect(),
            _ => vec![None; asked.len()],
        };
        for (zero, agreed) in asked.into_iter().zip(agreed) {
            self.heard(now, zero, agreed);
        }
        self.settle(now);
        change
    }

    /// A deadline may have come.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.line.is_overdue(now.mono) {
            self.answered(now, Err(line::overdue()));
        }
        self.settle(now);
    }

    /// What is wanted next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When there is work to do.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if let Some(deadline) = self.line.poll_timeout() {
            return Some(deadline).filter(|_| self.line.is_asking() || !self.streams.is_empty());
        }
        let at = self.streams.values().filter_map(|kept| kept.due).min()?;
        Some(Deadline { at, why: "keep where time zeros lie" })
    }

    /// Adds what it holds to `census`.
    pub fn count(&self, census: &mut Census) {
        census.announced_streams += self.streams.len();
        census.outputs += self.out.len();
    }

    fn heard(&mut self, now: Now, asked: Zero, agreed: Option<i64>) {
        let Some(kept) = self.streams.get_mut(&asked.name) else { return };
        // Asked anew meanwhile.
        if kept.due.is_some() {
            return;
        }
        let Some(ms) = agreed else {
            kept.due = Some(now.mono);
            return;
        };
        kept.due = Some(now.mono + KEEP);
        let name = asked.name;
        if !core::mem::replace(&mut kept.agreed, true) {
            kept.ms = ms;
            self.out.push_back(Output::Agreed { name, ms });
        } else if ms != kept.ms {
            self.out.push_back(Output::Overruled { name, ms });
        }
    }

    fn settle(&mut self, now: Now) {
        if !self.line.is_free(now.mono) {
            return;
        }
        let due = |kept: &Kept| kept.due.is_some_and(|due| due <= now.mono);
        let mut zeros: Vec<Zero> = Vec::new();
        // Streams that wait to begin go first.
        for agreed in [false, true] {
            for (name, kept) in self.streams.iter_mut().filter(|(_, kept)| kept.agreed == agreed && due(kept))
            {
                if zeros.len() == BATCH {
                    break;
                }
                kept.due = None;
                zeros.push(Zero { name: name.clone(), ms: kept.ms, keeps: agreed });
            }
        }
        if !zeros.is_empty() {
            self.out.push_back(Output::Ask(self.line.ask(now.mono, Command::Agree(zeros))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Embedded;
    use crate::time::Wall;

    fn at(ms: u64) -> Now {
        Now { mono: Time::ZERO + Duration::from_millis(ms), wall: Wall::from_micros(0) }
    }

    /// What it tells when the store answers everything at once.
    fn told(keeper: &mut Timekeeper, store: &mut Embedded, ms: u64) -> Vec<(Name, i64, bool)> {
        let mut told = Vec::new();
        keeper.handle_timeout(at(ms));
        while let Some(output) = keeper.poll_output() {
            match output {
                Output::Ask(command) => {
                    keeper.answered(at(ms), Ok(store.execute(ms, &command)));
                }
                Output::Agreed { name, ms } => told.push((name, ms, true)),
                Output::Overruled { name, ms } => told.push((name, ms, false)),
            }
        }
        told
    }

    #[test]
    fn the_second_follows_the_first_for_as_long_as_it_keeps_it() {
        let mut store = Embedded::default();
        let (mut a, mut b) = (Timekeeper::new(1), Timekeeper::new(2));
        a.agree(at(0), "live/s".to_owned(), 5_000);
        assert_eq!(told(&mut a, &mut store, 0), [("live/s".to_owned(), 5_000, true)]);
        for ms in (0..300_000).step_by(1_000) {
            assert_eq!(told(&mut a, &mut store, ms), []);
        }
        b.agree(at(300_000), "live/s".to_owned(), 6_000);
        assert_eq!(told(&mut b, &mut store, 300_000), [("live/s".to_owned(), 5_000, true)]);
        // The encoder starts anew, and b is the first to see it.
        b.agree(at(310_000), "live/s".to_owned(), 60_000);
        assert_eq!(told(&mut b, &mut store, 310_000), [("live/s".to_owned(), 60_000, true)]);
        assert_eq!(told(&mut a, &mut store, 330_000), [("live/s".to_owned(), 60_000, false)]);
        a.forget("live/s");
        assert_eq!(a.poll_timeout(), None);
    }

    #[test]
    fn a_store_that_is_away_is_asked_again_and_nobody_else_is_harmed() {
        let mut store = Embedded::default();
        let mut keeper = Timekeeper::new(1);
        keeper.agree(at(0), "live/s".to_owned(), 5_000);
        assert!(matches!(keeper.poll_output(), Some(Output::Ask(_))));
        let change = keeper.answered(at(10), Err(Failure::Away("it is gone".to_owned())));
        assert!(matches!(change, Some(Change::Away(_))));
        assert!(keeper.poll_output().is_none());
        // It began without an answer: what the store says later is kept to, or told.
        keeper.keep(at(500), "live/s".to_owned(), 5_000);
        assert_eq!(told(&mut keeper, &mut store, 1_200), []);
        assert_eq!(store.execute(1_300, &Command::Agree(vec![])), Answer::Agreed(vec![]));
        assert!(!store.is_empty());
    }
}
