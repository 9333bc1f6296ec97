//! What will happen, ordered by time and then by when it was decided.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use headwater_core::time::Time;

/// A queue of moments. What is to happen lies still in its own place; only short entries are sorted.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    order: BinaryHeap<Reverse<(Time, u64, usize)>>,
    things: Vec<Option<T>>,
    free: Vec<usize>,
    count: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Queue<T> {
        Queue { order: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), count: 0 }
    }

    pub(crate) fn push(&mut self, at: Time, thing: T) {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.things.push(None);
                self.things.len() - 1
            }
        };
        self.things[place] = Some(thing);
        self.order.push(Reverse((at, self.count, place)));
        self.count += 1;
    }

    /// The first thing, and when it happens.
    pub(crate) fn pop(&mut self) -> Option<(Time, T)> {
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        Some((at, self.things[place].take()?))
    }

    /// When the first thing happens.
    pub(crate) fn next(&self) -> Option<Time> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_comes_first_and_of_two_the_one_that_was_decided_first() {
        let mut queue = Queue::new();
        for (at, thing) in [(20, 'c'), (10, 'a'), (20, 'd'), (10, 'b')] {
            queue.push(Time::from_micros(at), thing);
        }
        assert_eq!(queue.next(), Some(Time::from_micros(10)));
        assert_eq!(queue.pop(), Some((Time::from_micros(10), 'a')));
        queue.push(Time::from_micros(10), 'e');
        let rest: Vec<char> = core::iter::from_fn(|| queue.pop()).map(|(_, thing)| thing).collect();
        assert_eq!(rest, ['b', 'e', 'c', 'd']);
        assert_eq!((queue.next(), queue.things.len()), (None, 4));
    }
}
