//! A small mutator for the fuzz targets' stable run: the same seed makes the same inputs on every machine.

use fastrand::Rng;

/// Numbers that sit on the edges of lengths and counters.
const EDGES: [u8; 8] = [0x00, 0x01, 0x02, 0x03, 0x7f, 0x80, 0xfe, 0xff];

/// The longest input that is made, in bytes.
const BYTES_MAX: usize = 1 << 16;

/// An endless source of broken inputs.
pub struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    rng: Rng,
}

impl<'a> Mutator<'a> {
    /// Inputs like `seeds` (at least one).
    pub fn new(seeds: &'a [Vec<u8>], seed: u64) -> Mutator<'a> {
        assert!(!seeds.is_empty(), "a mutator needs something to mutate");
        Mutator { seeds, rng: Rng::with_seed(seed) }
    }

    /// The next input: one of the seeds with one to eight wounds.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.seeds[self.rng.usize(..self.seeds.len())].clone();
        for _ in 0..self.rng.usize(1..=8) {
            self.wound(&mut input);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn wound(&mut self, input: &mut Vec<u8>) {
        let at = self.rng.usize(..=input.len());
        let run = self.rng.usize(1..=16).min(input.len() - at);
        match self.rng.u8(..8) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..at + run)),
            2 => {
                let copy = input[at..at + run].to_vec();
                input.splice(at..at, copy);
            }
            3 => {
                let other = &self.seeds[self.rng.usize(..self.seeds.len())];
                let from = self.rng.usize(..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            4 => {
                let noise: Vec<u8> = (0..self.rng.usize(1..=16)).map(|_| self.rng.u8(..)).collect();
                input.splice(at..at, noise);
            }
            5 => input[at..at + run].fill(EDGES[self.rng.usize(..EDGES.len())]),
            6 if at < input.len() => input[at] ^= 1 << self.rng.u8(..8),
            _ if at < input.len() => input[at] = EDGES[self.rng.usize(..EDGES.len())],
            _ => input.push(self.rng.u8(..)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_sequence() {
        let seeds = [b"GET / HTTP/1.1".to_vec(), Vec::new(), vec![0; 300]];
        let inputs = |seed| {
            let mut mutator = Mutator::new(&seeds, seed);
            (0..1_000).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        assert!(inputs(1).iter().all(|input| input.len() <= BYTES_MAX));
    }
}
