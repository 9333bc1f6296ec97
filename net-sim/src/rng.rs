//! Randomness that comes from one seed and can be forked by name, so that one more draw in one place moves nothing
//! in any other place.

use core::time::Duration;

use crate::trace::Hash64;

/// A seeded generator.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: u64,
    draws: fastrand::Rng,
}

impl Rng {
    /// A generator whose every draw follows from `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng { seed, draws: fastrand::Rng::with_seed(seed) }
    }

    /// A generator of its own for the part of the world called `label`. It depends on this one's seed and on the
    /// label only, not on what was drawn before.
    pub fn fork(&self, label: &str) -> Rng {
        let mut hash = Hash64::new();
        hash.number(self.seed);
        hash.bytes(label.as_bytes());
        Rng::new(hash.value())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.draws.u64(..)
    }

    /// A number from `0..end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draws.u64(..end) }
    }

    /// Whether something happens that happens `millionths` times in a million.
    pub fn chance(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.below(1_000_000) < u64::from(millionths)
    }

    /// A time from nothing up to `longest`, to the microsecond.
    pub fn duration(&mut self, longest: Duration) -> Duration {
        let us = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(us.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_does_not_depend_on_earlier_draws() {
        let mut one = Rng::new(7);
        let two = Rng::new(7);
        one.number();
        assert_eq!(one.fork("net").number(), two.fork("net").number());
        assert_ne!(two.fork("net").number(), two.fork("boot").number());
    }
}
