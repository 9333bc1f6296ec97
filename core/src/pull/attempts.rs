//! When to try which origin.
//!
//! The first `urls x RetryCount` attempts after a success follow each other without a pause (reference: OriginMap
//! section 6), but never more than a few rounds: an operator who wants many attempts does not want a flood of them.
//! OvenMediaEngine then gives up and drops its viewers 0.3 s after an origin went away; here a stream that was playing
//! is retried with growing pauses until [`limits::RESUME_BUDGET`] has passed without media.
//!
//! A success is not the first packet but [`limits::STABLE_AFTER`] of play: an origin that accepts, sends a little and
//! breaks is tried as slowly as one that refuses.
//!
//! [`limits::RESUME_BUDGET`]: crate::limits::RESUME_BUDGET
//! [`limits::STABLE_AFTER`]: crate::limits::STABLE_AFTER

use core::time::Duration;

use super::Over;
use crate::limits::{
    EAGER_ROUNDS_MAX, RESUME_BUDGET, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, STABLE_AFTER, START_BUDGET_ATTEMPTS,
    SUSPICION_BURST, SUSPICION_INTERVAL,
};
use crate::time::Time;

/// What an origin said before it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It does not have the stream.
    Absent,
    /// Nothing useful: refused, reset, silent, wrong.
    Nothing,
    /// It has the stream, but not ready yet.
    Soon,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No more attempts.
    GiveUp(Over),
    /// Try the current origin at once.
    Now,
    /// Try the current origin after a pause.
    After(Duration),
}

/// The attempts since the last success.
#[derive(Debug)]
pub(super) struct Attempts {
    urls: usize,
    retry_count: u32,
    current: usize,
    failed: u32,
    absent: u32,
    /// Some origin has said [`Answer::Soon`].
    soon: bool,
    /// The stream has had media.
    played: bool,
    /// How often another origin may be looked for because one is silent, and since when that is counted.
    doubts: u32,
    doubts_since: Time,
}

impl Attempts {
    pub(super) fn new(urls: usize, retry_count: u32) -> Attempts {
        Attempts {
            urls: urls.max(1),
            retry_count,
            current: 0,
            failed: 0,
            absent: 0,
            soon: false,
            played: false,
            doubts: SUSPICION_BURST,
            doubts_since: Time::ZERO,
        }
    }

    /// The attempts at `urls` other origins.
    pub(super) fn elsewhere(&self, urls: usize) -> Attempts {
        let Attempts { played, doubts, doubts_since, .. } = *self;
        Attempts { played, doubts, doubts_since, ..Attempts::new(urls, self.retry_count) }
    }

    /// The origin to try.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Whether another origin may be looked for because one is silent: a few times, and then now and then.
    pub(super) fn may_doubt(&mut self, now: Time) -> bool {
        while self.doubts < SUSPICION_BURST && now.since(self.doubts_since) >= SUSPICION_INTERVAL {
            self.doubts += 1;
            self.doubts_since += SUSPICION_INTERVAL;
        }
        if self.doubts == SUSPICION_BURST {
            self.doubts_since = now;
        }
        let may = self.doubts > 0;
        self.doubts = self.doubts.saturating_sub(1);
        may
    }

    /// Origin `index` plays. Whether that is a success shows when it is lost.
    pub(super) fn playing(&mut self, index: usize) {
        *self = Attempts { current: index, absent: 0, soon: false, played: true, ..*self };
    }

    /// An origin that had been playing for `played_for` was left for another.
    pub(super) fn left(&mut self, played_for: Duration) {
        if played_for >= STABLE_AFTER {
            self.failed = 0;
        }
    }

    /// Origin `index` was playing for `played_for` and is lost. `silent_for` as in [`Attempts::failed`].
    pub(super) fn lost(
        &mut self,
        index: usize,
        played_for: Duration,
        silent_for: Option<Duration>,
        rng: &mut fastrand::Rng,
    ) -> Verdict {
        if played_for < STABLE_AFTER || self.retry_count == 0 {
            return self.failed(index, Answer::Nothing, silent_for, rng);
        }
        self.failed = 0;
        self.current = (index + 1) % self.urls;
        Verdict::Now
    }

    /// Origin `index` could not be made to play. `silent_for` is how long the stream has been without media, if it
    /// ever had any.
    pub(super) fn failed(
        &mut self,
        index: usize,
        answer: Answer,
        silent_for: Option<Duration>,
        rng: &mut fastrand::Rng,
    ) -> Verdict {
        self.failed = self.failed.saturating_add(1);
        self.absent += u32::from(answer == Answer::Absent);
        self.soon |= answer == Answer::Soon;
        self.current = (index + 1) % self.urls;
        if self.is_hopeless(silent_for) {
            return Verdict::GiveUp(if self.absent > 0 { Over::Absent } else { Over::Unreachable });
        }
        let eager = self.rounds(self.retry_count.min(EAGER_ROUNDS_MAX));
        // To ask the only origin again at once is of no use if it has just said that it needs time.
        let needs_time = answer == Answer::Soon && self.urls == 1;
        if self.failed <= eager && !needs_time {
            return Verdict::Now;
        }
        Verdict::After(pause(self.failed.saturating_sub(eager), rng))
    }

    fn is_hopeless(&self, silent_for: Option<Duration>) -> bool {
        if self.retry_count == 0 {
            return true;
        }
        if self.played {
            return silent_for.is_some_and(|silent| silent >= RESUME_BUDGET);
        }
        let at_least = if self.soon { START_BUDGET_ATTEMPTS } else { 0 };
        self.failed > self.rounds(self.retry_count).max(at_least) || self.everybody_said_absent()
    }

    /// Asking again is of no use while no origin has ever had the stream.
    fn everybody_said_absent(&self) -> bool {
        self.absent as usize >= self.urls && self.absent == self.failed
    }

    /// How many attempts `rounds` over the URLs are.
    fn rounds(&self, rounds: u32) -> u32 {
        u32::try_from(self.urls).unwrap_or(u32::MAX).saturating_mul(rounds)
    }
}

/// Doubles from [`RETRY_PAUSE_MIN`] to [`RETRY_PAUSE_MAX`], less up to a quarter that is drawn.
pub(super) fn pause(round: u32, rng: &mut fastrand::Rng) -> Duration {
    let doubled = RETRY_PAUSE_MIN.saturating_mul(1 << round.saturating_sub(1).min(16));
    doubled.min(RETRY_PAUSE_MAX).mul_f64(1.0 - 0.25 * rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(1)
    }

    #[test]
    fn two_urls_and_one_round_are_three_attempts() {
        let mut attempts = Attempts::new(2, 1);
        assert_eq!(attempts.failed(0, Answer::Nothing, None, &mut rng()), Verdict::Now);
        assert_eq!(attempts.current(), 1);
        assert_eq!(attempts.failed(1, Answer::Nothing, None, &mut rng()), Verdict::Now);
        assert_eq!(attempts.current(), 0);
        assert_eq!(attempts.failed(0, Answer::Nothing, None, &mut rng()), Verdict::GiveUp(Over::Unreachable));
    }

    #[test]
    fn a_stream_that_no_origin_has_is_asked_for_once_each() {
        let mut attempts = Attempts::new(2, 5);
        assert_eq!(attempts.failed(0, Answer::Absent, None, &mut rng()), Verdict::Now);
        assert_eq!(attempts.failed(1, Answer::Absent, None, &mut rng()), Verdict::GiveUp(Over::Absent));
    }

    #[test]
    fn a_stream_that_played_is_retried_until_the_budget_is_spent() {
        let mut attempts = Attempts::new(1, 1);
        attempts.playing(0);
        let silent = Some(Duration::from_secs(1));
        assert_eq!(attempts.lost(0, STABLE_AFTER, silent, &mut rng()), Verdict::Now);
        assert_eq!(attempts.failed(0, Answer::Nothing, silent, &mut rng()), Verdict::Now);
        for _ in 0..20 {
            let Verdict::After(pause) = attempts.failed(0, Answer::Absent, silent, &mut rng()) else {
                panic!("gave up within the budget");
            };
            assert!(pause <= RETRY_PAUSE_MAX && pause >= RETRY_PAUSE_MIN / 2);
        }
        let spent = Some(RESUME_BUDGET);
        assert!(matches!(attempts.failed(0, Answer::Nothing, spent, &mut rng()), Verdict::GiveUp(_)));
    }

    #[test]
    fn retry_count_zero_is_a_single_attempt() {
        let mut attempts = Attempts::new(3, 0);
        let verdict = attempts.failed(0, Answer::Nothing, None, &mut rng());
        assert_eq!(verdict, Verdict::GiveUp(Over::Unreachable));
    }

    #[test]
    fn retry_count_zero_does_not_resume() {
        let mut attempts = Attempts::new(3, 0);
        attempts.playing(0);
        let verdict = attempts.lost(0, 10 * STABLE_AFTER, Some(Duration::ZERO), &mut rng());
        assert_eq!(verdict, Verdict::GiveUp(Over::Unreachable));
    }

    #[test]
    fn a_stream_that_is_starting_is_looked_for_elsewhere_and_then_waited_for() {
        let mut attempts = Attempts::new(2, 1);
        assert_eq!(attempts.failed(0, Answer::Soon, None, &mut rng()), Verdict::Now);
        assert_eq!(attempts.current(), 1);
        assert_eq!(attempts.failed(1, Answer::Absent, None, &mut rng()), Verdict::Now);
        for n in 2..START_BUDGET_ATTEMPTS as usize {
            let answer = if n % 2 == 0 { Answer::Soon } else { Answer::Absent };
            assert!(matches!(attempts.failed(n % 2, answer, None, &mut rng()), Verdict::After(_)), "{n}");
        }
        assert_eq!(attempts.failed(0, Answer::Soon, None, &mut rng()), Verdict::GiveUp(Over::Absent));
    }

    #[test]
    fn the_only_origin_is_given_time_to_start() {
        let mut attempts = Attempts::new(1, 1);
        assert!(matches!(attempts.failed(0, Answer::Soon, None, &mut rng()), Verdict::After(_)));
        assert_eq!(attempts.current(), 0);
    }

    #[test]
    fn an_origin_that_plays_and_breaks_is_tried_ever_more_slowly() {
        let mut attempts = Attempts::new(1, 1);
        let mut lose = |played_for| {
            attempts.playing(0);
            attempts.lost(0, played_for, Some(Duration::ZERO), &mut rng())
        };
        let little = STABLE_AFTER / 2;
        assert_eq!(lose(little), Verdict::Now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Verdict::After(pause) = lose(little) else { panic!("no pause") };
            pauses.push(pause);
        }
        assert!(pauses.is_sorted() && pauses[7] >= RETRY_PAUSE_MAX / 2, "{pauses:?}");
        assert_eq!(lose(STABLE_AFTER), Verdict::Now);
        assert_eq!(lose(little), Verdict::Now);
    }

    #[test]
    fn many_retries_are_no_flood() {
        let mut attempts = Attempts::new(1, 1_000_000);
        let mut at_once = 0;
        while attempts.failed(0, Answer::Nothing, None, &mut rng()) == Verdict::Now {
            at_once += 1;
        }
        assert_eq!(at_once, EAGER_ROUNDS_MAX);
    }
}
