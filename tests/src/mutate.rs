//! A small mutator for the fuzz targets' stable run: the same seed makes the same inputs on every machine. And its
//! opposite, which makes an input short that was found to fail.

use std::cell::Cell;

use fastrand::Rng;

/// Numbers that sit on the edges of lengths and counters.
const EDGES: [u8; 8] = [0x00, 0x01, 0x02, 0x03, 0x7f, 0x80, 0xfe, 0xff];

/// The longest input that is made, in bytes.
const BYTES_MAX: usize = 1 << 16;

/// How often [`shrink`] tries.
pub const ATTEMPTS_MAX: usize = 20_000;

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
        let at = self.place(input.len());
        let run = self.rng.usize(1..=16).min(input.len() - at);
        match self.rng.u8(..12) {
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
            6 => self.transplant(input, at),
            7 => self.count(input, at),
            8 => self.digits(input, at),
            9 if at < input.len() => input[at] ^= 1 << self.rng.u8(..8),
            10 if at < input.len() => input[at] = self.rng.u8(..),
            _ if at < input.len() => input[at] = EDGES[self.rng.usize(..EDGES.len())],
            _ => input.push(self.rng.u8(..)),
        }
    }

    /// Where to wound: anywhere, and often near the beginning, where a protocol decides most.
    fn place(&mut self, length: usize) -> usize {
        let near = length.min(if self.rng.u8(..4) == 0 { 64 } else { length });
        self.rng.usize(..=near)
    }

    /// A piece of a seed comes in at `at`.
    fn transplant(&mut self, input: &mut Vec<u8>, at: usize) {
        let other = &self.seeds[self.rng.usize(..self.seeds.len())];
        let from = self.rng.usize(..=other.len());
        let length = self.rng.usize(..=other.len() - from).min(1 << self.rng.u8(..12));
        input.splice(at..at, other[from..from + length].iter().copied());
    }

    /// A number of one to eight bytes is moved a little, or to an edge.
    fn count(&mut self, input: &mut [u8], at: usize) {
        let width = [1, 2, 3, 4, 8][self.rng.usize(..5)].min(input.len() - at);
        let field = &mut input[at..at + width];
        let old = field.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let new = match self.rng.u8(..4) {
            0 => old.wrapping_add(self.rng.u64(1..=4)),
            1 => old.wrapping_sub(self.rng.u64(1..=4)),
            2 => 1 << self.rng.u8(..64),
            _ => (1 << self.rng.u8(..64)) - 1,
        };
        field.copy_from_slice(&new.to_be_bytes()[8 - width..]);
    }

    /// Decimal digits behind `at` become another number.
    fn digits(&mut self, input: &mut Vec<u8>, at: usize) {
        let Some(start) = input[at..].iter().position(u8::is_ascii_digit).map(|skipped| at + skipped) else {
            return;
        };
        let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = match self.rng.u8(..3) {
            0 => self.rng.u8(..).to_string(),
            1 => (1_u128 << self.rng.u8(..70)).to_string(),
            _ => format!("-{}", self.rng.u32(..)),
        };
        input.splice(start..start + length, number.into_bytes());
    }
}

/// The shortest input that `fails` like `input`, as far as leaving out pieces and emptying bytes leads in
/// [`ATTEMPTS_MAX`] attempts.
pub fn shrink(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let left = Cell::new(ATTEMPTS_MAX);
    let fails = |shorter: &[u8]| {
        left.set(left.get().saturating_sub(1));
        left.get() > 0 && fails(shorter)
    };
    let mut shortest = input.to_vec();
    let mut piece = shortest.len();
    while piece > 0 {
        let mut at = 0;
        while at < shortest.len() {
            let mut shorter = shortest.clone();
            shorter.drain(at..(at + piece).min(shortest.len()));
            if fails(&shorter) {
                shortest = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    for at in 0..shortest.len() {
        let kept = std::mem::take(&mut shortest[at]);
        if !fails(&shortest) {
            shortest[at] = kept;
        }
    }
    shortest
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

    #[test]
    fn what_does_not_matter_is_left_out() {
        let input: Vec<u8> = (0..=255).collect();
        let both = |bytes: &[u8]| bytes.contains(&7) && bytes.contains(&200);
        assert_eq!(shrink(&input, both), [7, 200]);
        assert_eq!(shrink(&input, |bytes| bytes.len() >= 3), [0, 0, 0]);
    }
}
