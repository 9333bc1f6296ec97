//! When to try which origin.
//!
//! The first `urls x RetryCount` attempts after a success follow each other without a pause (reference: OriginMap
//! section 6). OvenMediaEngine then gives up and drops its viewers 0.3 s after an origin went away; here a stream
//! that was playing is retried with growing pauses until [`limits::RESUME_BUDGET`] has passed without media.

use core::time::Duration;

use super::Over;
use crate::limits::{RESUME_BUDGET, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, START_BUDGET_ATTEMPTS};

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
    played: bool,
}

impl Attempts {
    pub(super) fn new(urls: usize, retry_count: u32) -> Attempts {
        Attempts { urls: urls.max(1), retry_count, current: 0, failed: 0, absent: 0, played: false }
    }

    /// The origin to try.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Origin `index` plays.
    pub(super) fn succeeded(&mut self, index: usize) {
        *self = Attempts { current: index, played: true, ..Attempts::new(self.urls, self.retry_count) };
    }

    /// Origin `index` was playing and is lost: the next one is to be tried.
    pub(super) fn lost(&mut self, index: usize) {
        self.current = (index + 1) % self.urls;
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
        self.failed += 1;
        self.absent += u32::from(answer == Answer::Absent);
        // A stream that has played does not wait at one origin while another may have it.
        if answer != Answer::Soon || self.played {
            self.current = (index + 1) % self.urls;
        }
        let at_once = u32::try_from(self.urls).unwrap_or(u32::MAX).saturating_mul(self.retry_count);
        if self.is_hopeless(answer, at_once, silent_for) {
            return Verdict::GiveUp(if self.absent > 0 { Over::Absent } else { Over::Unreachable });
        }
        if self.failed <= at_once && answer != Answer::Soon {
            return Verdict::Now;
        }
        Verdict::After(pause(self.failed.saturating_sub(at_once), rng))
    }

    fn is_hopeless(&self, answer: Answer, at_once: u32, silent_for: Option<Duration>) -> bool {
        if self.retry_count == 0 {
            return true;
        }
        if self.played {
            return silent_for.is_some_and(|silent| silent >= RESUME_BUDGET);
        }
        match answer {
            Answer::Soon => self.failed > START_BUDGET_ATTEMPTS,
            Answer::Absent | Answer::Nothing => self.failed > at_once || self.everybody_said_absent(),
        }
    }

    /// Asking again is of no use while no origin has ever had the stream.
    fn everybody_said_absent(&self) -> bool {
        self.absent as usize >= self.urls && self.absent == self.failed
    }
}

/// Doubles from [`RETRY_PAUSE_MIN`] to [`RETRY_PAUSE_MAX`], less up to a quarter that is drawn.
fn pause(round: u32, rng: &mut fastrand::Rng) -> Duration {
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
        attempts.succeeded(0);
        attempts.lost(0);
        let silent = Some(Duration::from_secs(1));
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
    fn a_stream_that_is_starting_is_asked_again_at_the_same_origin() {
        let mut attempts = Attempts::new(2, 1);
        assert!(matches!(attempts.failed(0, Answer::Soon, None, &mut rng()), Verdict::After(_)));
        assert_eq!(attempts.current(), 0);
    }
}
