//! What a scenario draws from its seed.

use core::ops::RangeInclusive;

use headwater_net_sim::Rng;

/// Draws that follow from a seed and the name of a scenario.
#[derive(Clone, Debug)]
pub struct Draw(Rng);

impl Draw {
    /// The draws of `scenario` for `seed`.
    pub fn new(scenario: &str, seed: u64) -> Draw {
        Draw(Rng::new(seed).fork(scenario))
    }

    /// Draws of their own for a part of the scenario, so that one more draw in one part moves nothing in another.
    pub fn part(&self, name: &str) -> Draw {
        Draw(self.0.fork(name))
    }

    /// A number from `range`.
    pub fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.0.below((range.end() - range.start()).saturating_add(1))
    }

    /// A number from `range`, as small a type as is wanted.
    ///
    /// # Panics
    /// If a number of `range` does not fit: the scenario is wrong.
    pub fn small<N: TryFrom<u64>>(&mut self, range: RangeInclusive<u64>) -> N {
        let number = self.number(range);
        N::try_from(number).unwrap_or_else(|_| panic!("{number} does not fit"))
    }

    /// A number of either sign whose size is from `range`.
    pub fn either_way(&mut self, range: RangeInclusive<u64>) -> i64 {
        let size = i64::try_from(self.number(range)).unwrap_or(i64::MAX);
        if self.coin() { size } else { -size }
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.0.below(2) == 0
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there is none: the scenario is wrong.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let index = self.0.below(choices.len() as u64);
        choices[usize::try_from(index).expect("an index fits")].clone()
    }
}
