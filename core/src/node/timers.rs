//! One queue for the deadlines of all children.
//!
//! A child's deadline mostly moves later (each packet puts off "no input"), so moving it later costs nothing: the
//! child is asked at the old moment, has nothing to do, and says its new deadline then.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Time;

/// Deadlines by child.
#[derive(Debug)]
pub(super) struct Timers<K> {
    at: BTreeMap<K, Time>,
    queue: BTreeSet<(Time, K)>,
}

impl<K: Copy + Ord> Timers<K> {
    pub(super) fn new() -> Timers<K> {
        Timers { at: BTreeMap::new(), queue: BTreeSet::new() }
    }

    /// The child has work at `at`.
    pub(super) fn set(&mut self, child: K, at: Option<Time>) {
        let Some(at) = at else { return };
        match self.at.get(&child) {
            Some(known) if *known <= at => return,
            Some(known) => {
                self.queue.remove(&(*known, child));
            }
            None => {}
        }
        self.at.insert(child, at);
        self.queue.insert((at, child));
    }

    /// The child is no more.
    pub(super) fn remove(&mut self, child: K) {
        if let Some(at) = self.at.remove(&child) {
            self.queue.remove(&(at, child));
        }
    }

    /// The next moment at which a child is to be asked.
    pub(super) fn next(&self) -> Option<Time> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// How many deadlines there are.
    pub(super) fn len(&self) -> usize {
        self.at.len().max(self.queue.len())
    }

    /// A child that is due; it must be [`set`](Timers::set) again if it still has a deadline.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<K> {
        let (at, child) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.at.remove(&child);
        Some(child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_moves_later_is_asked_early_and_once() {
        let mut timers = Timers::new();
        timers.set(1, Some(Time::from_micros(10)));
        timers.set(1, Some(Time::from_micros(20)));
        assert_eq!(timers.next(), Some(Time::from_micros(10)));
        assert_eq!(timers.pop_due(Time::from_micros(10)), Some(1));
        timers.set(1, Some(Time::from_micros(20)));
        assert_eq!(timers.pop_due(Time::from_micros(19)), None);
        assert_eq!(timers.pop_due(Time::from_micros(20)), Some(1));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_that_moves_earlier_is_asked_earlier() {
        let mut timers = Timers::new();
        timers.set('a', Some(Time::from_micros(20)));
        timers.set('a', Some(Time::from_micros(5)));
        assert_eq!(timers.next(), Some(Time::from_micros(5)));
        timers.remove('a');
        assert_eq!(timers.next(), None);
    }
}
