//! One test-suite for all directories of streams: what every store must do, whatever it is made of.
//!
//! A store is anything that carries out [`Command`]s and can let time pass ([`Store`]); one that is a Redis has keys to
//! look at as well ([`Keys`]). [`suite::RULES`] and [`suite::KEYS`] hold for all of them alike.

pub mod real;
pub mod servers;
pub mod suite;

use std::time::{Duration, Instant};

use headwater_core::registry::redis::{Reply, Schema};
use headwater_core::registry::{Answer, Command, Embedded};

/// A directory of streams that can be asked.
pub trait Store {
    /// Carries out a command. A store that fails in the suite has failed the test: it panics.
    fn execute(&mut self, command: Command) -> Answer;
    /// Lets time pass.
    fn advance(&mut self, by: Duration);
}

/// A directory whose keys can be looked at and spoilt.
pub trait Keys: Store {
    /// How its keys are written.
    fn schema(&self) -> Schema;
    /// A command of Redis's, whatever it answers.
    fn call(&mut self, words: &[&[u8]]) -> Reply;
}

/// The embedded store, with a clock that runs and that can be set forward.
#[derive(Debug)]
pub struct InProcess {
    store: Embedded,
    began: Instant,
    skipped: Duration,
}

impl Default for InProcess {
    fn default() -> InProcess {
        InProcess { store: Embedded::default(), began: Instant::now(), skipped: Duration::ZERO }
    }
}

impl Store for InProcess {
    fn execute(&mut self, command: Command) -> Answer {
        let passed = self.began.elapsed() + self.skipped;
        let now_ms = EPOCH_MS + u64::try_from(passed.as_millis()).expect("milliseconds fit");
        self.store.execute(now_ms, &command)
    }

    fn advance(&mut self, by: Duration) {
        self.skipped += by;
    }
}

/// Some moment of this century.
const EPOCH_MS: u64 = 1_790_000_000_000;
