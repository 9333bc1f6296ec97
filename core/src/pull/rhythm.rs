//! How long an origin may be silent before it is suspect.
//!
//! A [`Rhythm`] hears every arrival on one connection, media and signs of life alike, and remembers the longest gap of
//! the last minutes. A silence that is a quarter longer than that is suspect, but never one below a floor.
//!
//! Phi-accrual would fit a normal distribution to the gaps and ask how unlikely a silence is. That is right for
//! heartbeats in datagrams. Gaps on TCP are not like that: they have two humps, one at the rhythm of the media (some
//! 20 ms) and one where a packet was lost, found to be lost and sent again (a round trip or two, 100 to 200 ms on a bad
//! wire). A normal distribution of both has its mean at 20 ms and gives every retransmission a
//! probability of nothing: at 1 % loss it would be wrong many times a minute. What does describe them is their
//! longest, for which retransmissions are alike; so that is what is learned. It needs no history to be safe (what is
//! lost is found within the floor), takes to any rhythm after its first pause (a still
//! picture, a programme in bursts), and is wrong a bounded number of times whatever an origin does: each false alarm
//! raises what is tolerated by a quarter at least.
//!
//! It knows no deadline but its own: how long a silence may be at all is the operator's to say.

use core::time::Duration;

use crate::limits::SILENCE_MEMORY;
use crate::time::Time;

/// The arrivals on one connection.
#[derive(Debug)]
pub(super) struct Rhythm {
    /// The shortest silence that means anything.
    floor: Duration,
    heard: Time,
    /// The longest gap of this span of [`SILENCE_MEMORY`], and of the one before it.
    longest: [Duration; 2],
    span_began: Time,
    /// Whether the present silence was found suspect.
    suspect: bool,
    /// Nobody looked when they should have: until then whatever has arrived meanwhile has time to be read.
    grace: Option<Time>,
}

impl Rhythm {
    /// A connection that begins at `now`, and on which no silence shorter than `floor` is suspect.
    pub(super) fn new(now: Time, floor: Duration) -> Rhythm {
        Rhythm {
            floor,
            heard: now,
            longest: [Duration::ZERO; 2],
            span_began: now,
            suspect: false,
            grace: None,
        }
    }

    /// Something has arrived.
    pub(super) fn hear(&mut self, now: Time) {
        if now.since(self.span_began) >= SILENCE_MEMORY {
            self.longest = [Duration::ZERO, self.longest[0]];
            self.span_began = now;
        }
        // A gap in which nobody was there to look says nothing of the origin.
        let was_watched = self.suspect || now <= self.suspect_at() + LATE;
        if was_watched && self.grace.is_none() {
            self.longest[0] = self.longest[0].max(now.since(self.heard));
        }
        (self.heard, self.suspect, self.grace) = (now, false, None);
    }

    /// Whether the silence is suspect by now. It is to be asked at [`Rhythm::suspect_at`]; whoever asks much later has
    /// stood still, and not the origin.
    pub(super) fn is_suspect(&mut self, now: Time) -> bool {
        let due = self.suspect_at();
        if now > due + LATE && self.grace.is_none() {
            self.grace = Some(now + GRACE);
        } else {
            self.suspect |= now >= due;
        }
        self.suspect
    }

    /// When the silence will be suspect, if it lasts.
    pub(super) fn suspect_at(&self) -> Time {
        self.grace.unwrap_or(self.heard + self.tolerance())
    }

    /// How long it has been silent.
    pub(super) fn silent_for(&self, now: Time) -> Duration {
        now.since(self.heard)
    }

    /// The longest silence that means nothing.
    fn tolerance(&self) -> Duration {
        let longest = self.longest[0].max(self.longest[1]);
        self.floor.max(longest + longest / 4)
    }
}

/// Whoever looks so much later than asked for has stood still.
const LATE: Duration = Duration::from_millis(100);
/// How long reading what has arrived meanwhile may take.
const GRACE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SILENCE_MIN;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A connection that has had arrivals with these gaps, and whether each of them was found suspect.
    fn after(gaps: impl IntoIterator<Item = u64>) -> (Rhythm, Time, Vec<bool>) {
        let mut now = Time::ZERO;
        let mut rhythm = Rhythm::new(now, SILENCE_MIN);
        let mut suspected = Vec::new();
        for gap in gaps {
            let due = rhythm.suspect_at();
            now += ms(gap);
            suspected.push(due < now && rhythm.is_suspect(due));
            rhythm.hear(now);
        }
        (rhythm, now, suspected)
    }

    fn tolerance(gaps: &[u64]) -> Duration {
        let (rhythm, now, _) = after(gaps.iter().copied());
        rhythm.suspect_at().since(now)
    }

    #[test]
    fn media_in_time_teaches_nothing() {
        assert_eq!(tolerance(&[33; 100]), SILENCE_MIN);
    }

    #[test]
    fn a_retransmission_is_no_news_and_its_length_is_learned() {
        let lossy = (0..1_000).map(|n| if n % 50 == 0 { 183 } else { 21 });
        let (rhythm, now, suspected) = after(lossy);
        assert!(!suspected.contains(&true));
        assert_eq!(rhythm.suspect_at().since(now), ms(183) * 5 / 4);
    }

    #[test]
    fn a_picture_that_changes_every_two_seconds_is_doubted_a_few_times_at_most() {
        let (.., suspected) = after([2_000; 100]);
        assert_eq!(suspected.iter().filter(|it| **it).count(), 1);
    }

    #[test]
    fn what_was_learned_is_forgotten() {
        let mut gaps = vec![2_000];
        let spans = |count: u32| SILENCE_MEMORY.as_millis() as usize * count as usize / 100;
        gaps.extend(vec![100; spans(1)]);
        assert_eq!(tolerance(&gaps), ms(2_500));
        gaps.extend(vec![100; spans(1) + 1]);
        assert_eq!(tolerance(&gaps), SILENCE_MIN);
    }

    #[test]
    fn whoever_stood_still_himself_suspects_nobody_and_learns_nothing() {
        let (mut rhythm, mut now, _) = after([33; 10]);
        now += ms(5_000);
        assert!(!rhythm.is_suspect(now), "nobody looked for five seconds");
        assert_eq!(rhythm.suspect_at(), now + GRACE);
        rhythm.hear(now + ms(10));
        assert_eq!(rhythm.suspect_at(), now + ms(10) + SILENCE_MIN);
        // The same if what has arrived is read before anybody asks.
        now += ms(7_000);
        rhythm.hear(now);
        assert_eq!(rhythm.suspect_at(), now + SILENCE_MIN);
        // But nobody is excused twice.
        now += ms(5_000);
        assert!(!rhythm.is_suspect(now));
        assert!(rhythm.is_suspect(now + GRACE));
    }

    proptest! {
        #[test]
        fn nothing_below_the_floor_is_suspect(gaps in proptest::collection::vec(0_u64..5_000, 0..50)) {
            let (mut rhythm, now, _) = after(gaps);
            prop_assert!(rhythm.suspect_at() >= now + SILENCE_MIN);
            prop_assert!(!rhythm.is_suspect(now + SILENCE_MIN - ms(1)));
        }

        #[test]
        fn what_was_borne_once_is_borne_again(
            gaps in proptest::collection::vec(1_u64..3_000, 1..50), pick: proptest::sample::Index
        ) {
            let known = *pick.get(&gaps);
            let (mut rhythm, now, _) = after(gaps);
            prop_assert!(!rhythm.is_suspect(now + ms(known)));
        }

        /// Whatever an origin does for five minutes: before every silence up to three seconds is borne, it was doubted as
        /// often as a quarter fits between the floor and that.
        #[test]
        fn false_alarms_are_few(gaps in proptest::collection::vec(1_u64..3_000, 0..200)) {
            let within = gaps.iter().scan(0, |sum, gap| {
                *sum += gap;
                (u128::from(*sum) < SILENCE_MEMORY.as_millis()).then_some(*gap)
            });
            let (.., suspected) = after(within);
            prop_assert!(suspected.iter().filter(|it| **it).count() <= 13);
        }

        #[test]
        fn a_silence_that_lasts_is_found(gaps in proptest::collection::vec(1_u64..3_000, 0..50)) {
            let longest = gaps.iter().copied().max().unwrap_or(0);
            let (mut rhythm, now, _) = after(gaps);
            let due = rhythm.suspect_at();
            prop_assert!(due <= now + SILENCE_MIN.max(ms(longest) * 5 / 4));
            prop_assert!(rhythm.is_suspect(due));
        }
    }
}
