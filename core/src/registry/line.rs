//! The line to a store: one command at a time, a deadline for its answer, growing pauses while the store is away.

use core::time::Duration;

use super::{Answer, Command, Failure};
use crate::time::{Deadline, Now, Time};

/// The first and the longest pause after a command that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// How long the store may take to answer, whatever the driver's own limits are.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    rng: fastrand::Rng,
    asked: Option<Asked>,
    away: Option<Away>,
}

#[derive(Debug)]
struct Asked {
    command: Command,
    until: Time,
}

#[derive(Debug)]
struct Away {
    since: Time,
    retry_at: Time,
    pause: Duration,
    why: Failure,
}

/// What an answer says of the store itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It does not answer, or refuses, and this was not known, or in another way.
    Away(Failure),
    /// It answers again.
    Back {
        /// How long it did not.
        after: Duration,
    },
}

impl Line {
    pub(super) fn new(seed: u64) -> Line {
        Line { rng: fastrand::Rng::with_seed(seed), asked: None, away: None }
    }

    /// Whether something may be asked now.
    pub(super) fn is_free(&self, now: Time) -> bool {
        self.asked.is_none() && self.away.as_ref().is_none_or(|away| away.retry_at <= now)
    }

    /// Whether the store did not answer what it was asked last.
    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether an answer is waited for.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Nothing is wanted of the store any more, so it does not matter whether it is there.
    pub(super) fn rest(&mut self) {
        self.away = None;
    }

    /// This is being asked from now on.
    pub(super) fn ask(&mut self, now: Time, command: Command) -> Command {
        self.asked = Some(Asked { command: command.clone(), until: now + ASK_TIMEOUT });
        command
    }

    /// The answer has come. What was asked, if anything was; and what this says of the store, if that is new.
    pub(super) fn answered(
        &mut self,
        now: Now,
        answer: &Result<Answer, Failure>,
    ) -> Option<(Command, Option<Change>)> {
        let Asked { command, .. } = self.asked.take()?;
        let change = match answer {
            Ok(_) => self.away.take().map(|away| Change::Back { after: now.mono.since(away.since) }),
            Err(why) => self.failed(now.mono, why),
        };
        Some((command, change))
    }

    /// Whether the answer is overdue.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.until <= now)
    }

    /// When there is work to do because of the line itself. `None`: whenever there is something to ask.
    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let answer =
            self.asked.as_ref().map(|it| Deadline { at: it.until, why: "an answer of the directory" });
        answer.or(self.away.as_ref().map(|it| Deadline { at: it.retry_at, why: "ask the directory again" }))
    }

    fn failed(&mut self, now: Time, why: &Failure) -> Option<Change> {
        let is_news = self.away.as_ref().is_none_or(|away| away.why != *why);
        let (since, pause) = match &self.away {
            Some(away) => (away.since, (away.pause * 2).min(PAUSE.1)),
            None => (now, PAUSE.0),
        };
        let jittered = pause.mul_f64(1.0 - 0.25 * self.rng.f64());
        self.away = Some(Away { since, retry_at: now + jittered, pause, why: why.clone() });
        is_news.then(|| Change::Away(why.clone()))
    }
}

/// The failure of a command whose answer is overdue.
pub(super) fn overdue() -> Failure {
    Failure::Away(format!("no answer within {} ms", ASK_TIMEOUT.as_millis()))
}
