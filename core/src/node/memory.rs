//! What a node remembers of streams that are not there.

use std::collections::{BTreeMap, VecDeque};

use crate::event::StreamKey;
use crate::hls::FirstNumbers;
use crate::limits::{ABSENT_MEMORY, ABSENT_STREAMS_MAX, ENDED_STREAMS_MAX};
use crate::pull::Over;
use crate::time::Time;

/// Streams that no origin had a moment ago: a crowd that polls an absent stream costs one pull per second.
#[derive(Debug, Default)]
pub(super) struct Absent {
    until: BTreeMap<StreamKey, (Time, Over)>,
    /// The same in the order of time. What was forgotten meanwhile is still here, until its time.
    order: VecDeque<(Time, StreamKey)>,
}

impl Absent {
    /// `over` is what became of the last try.
    pub(super) fn remember(&mut self, now: Time, key: StreamKey, over: Over) {
        while self.order.front().is_some_and(|(until, _)| *until <= now)
            || self.order.len() >= ABSENT_STREAMS_MAX
        {
            self.drop_oldest();
        }
        let until = now + ABSENT_MEMORY;
        self.until.insert(key.clone(), (until, over));
        self.order.push_back((until, key));
    }

    /// What became of a stream that was looked for a moment ago.
    pub(super) fn get(&self, now: Time, key: &StreamKey) -> Option<Over> {
        self.until.get(key).filter(|(until, _)| *until > now).map(|(_, over)| *over)
    }

    pub(super) fn forget(&mut self, key: &StreamKey) {
        self.until.remove(key);
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.until.len().max(self.order.len())
    }

    fn drop_oldest(&mut self) {
        let Some((until, key)) = self.order.pop_front() else { return };
        // It may have been remembered anew.
        if self.until.get(&key).is_some_and(|(other, _)| *other == until) {
            self.until.remove(&key);
        }
    }
}

/// Where the numbers of streams that ended go on: a stream that comes back never gives an old number to other bytes,
/// nor to other times.
#[derive(Debug, Default)]
pub(super) struct Ended {
    next: BTreeMap<StreamKey, FirstNumbers>,
    order: VecDeque<StreamKey>,
}

impl Ended {
    pub(super) fn remember(&mut self, key: StreamKey, next: FirstNumbers) {
        if self.next.insert(key.clone(), next).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > ENDED_STREAMS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.next.remove(&oldest);
        }
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.next.len().max(self.order.len())
    }

    /// Where the numbers of a new stream of this name begin at least.
    pub(super) fn first_numbers(&self, key: &StreamKey) -> FirstNumbers {
        self.next.get(key).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::Numbers;

    fn key(n: usize) -> StreamKey {
        StreamKey { vhost: "v".to_owned(), app: "a".to_owned(), stream: n.to_string() }
    }

    #[test]
    fn an_absent_stream_is_remembered_for_its_time() {
        let mut absent = Absent::default();
        absent.remember(Time::ZERO, key(1), Over::Absent);
        assert!(absent.get(Time::ZERO, &key(1)).is_some() && absent.get(Time::ZERO, &key(2)).is_none());
        let later = Time::ZERO + ABSENT_MEMORY;
        assert!(absent.get(later, &key(1)).is_none());
        absent.remember(later, key(2), Over::Absent);
        assert_eq!((absent.until.len(), absent.order.len()), (1, 1));
    }

    #[test]
    fn what_is_remembered_anew_keeps_its_new_time() {
        let mut absent = Absent::default();
        absent.remember(Time::ZERO, key(1), Over::Absent);
        absent.forget(&key(1));
        let half = Time::ZERO + ABSENT_MEMORY / 2;
        absent.remember(half, key(1), Over::Absent);
        absent.remember(Time::ZERO + ABSENT_MEMORY, key(2), Over::Absent);
        assert!(absent.get(Time::ZERO + ABSENT_MEMORY, &key(1)).is_some());
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest() {
        let mut absent = Absent::default();
        (0..=ABSENT_STREAMS_MAX).for_each(|n| absent.remember(Time::ZERO, key(n), Over::Absent));
        assert_eq!((absent.until.len(), absent.order.len()), (ABSENT_STREAMS_MAX, ABSENT_STREAMS_MAX));
        assert!(
            absent.get(Time::ZERO, &key(0)).is_none()
                && absent.get(Time::ZERO, &key(ABSENT_STREAMS_MAX)).is_some()
        );
        let mut ended = Ended::default();
        let numbers = |msn| FirstNumbers {
            ll_hls: Numbers { msn, discontinuity: 2 * msn },
            hls: Numbers { msn: 3 * msn, discontinuity: msn },
        };
        (0..=ENDED_STREAMS_MAX).for_each(|n| ended.remember(key(n), numbers(7)));
        ended.remember(key(ENDED_STREAMS_MAX), numbers(9));
        assert_eq!((ended.next.len(), ended.order.len()), (ENDED_STREAMS_MAX, ENDED_STREAMS_MAX));
        let first = |n| ended.first_numbers(&key(n));
        assert_eq!((first(0), first(ENDED_STREAMS_MAX)), (FirstNumbers::default(), numbers(9)));
    }
}
