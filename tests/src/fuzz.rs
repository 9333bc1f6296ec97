//! The fuzz targets: one function per wire format, which must return whatever it is given. They are run by libFuzzer
//! (`fuzz/`) for as long as one likes, and by `cargo test` for a moment each with the inputs of
//! [`crate::mutate::Mutator`].
//!
//! A new target is a function here, a line in [`TARGETS`], and a file in `fuzz/fuzz_targets/`.

use std::fs;
use std::path::Path;

use headwater_core::media::{Timebase, Timestamp};

use crate::binary::workspace;

/// A target.
pub struct Target {
    /// Its name, also in `fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// What is run on every input.
    pub run: fn(&[u8]),
    /// Files, and folders of files, under `vectors/` to begin with.
    pub vectors: &'static [&'static str],
    /// Inputs to begin with that are not captured from anywhere.
    pub examples: &'static [&'static [u8]],
}

/// Every target.
pub const TARGETS: &[Target] = &[Target {
    name: "timestamp",
    run: timestamp,
    vectors: &[],
    examples: &[&[0; 16], &[0xff; 24], &[0x7f; 24]],
}];

/// The most that is read of one captured file: what matters comes at the beginning.
const VECTOR_BYTES_MAX: usize = 1 << 16;

impl Target {
    /// The inputs to begin with.
    ///
    /// # Panics
    ///
    /// If the target names a file that is not there, or none at all.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds: Vec<Vec<u8>> = self.examples.iter().map(|example| example.to_vec()).collect();
        for vector in self.vectors {
            collect(&workspace().join("vectors").join(vector), &mut seeds);
        }
        assert!(!seeds.is_empty(), "{} has nothing to begin with", self.name);
        seeds
    }
}

/// Timestamps of any timebase: conversion neither overflows nor loses the order.
pub fn timestamp(data: &[u8]) {
    let mut words =
        data.chunks_exact(4).filter_map(|word| word.first_chunk::<4>()).map(|w| u32::from_be_bytes(*w));
    let mut next = || words.next().unwrap_or_default();
    let (num, den, high, low, other) = (next(), next(), next(), next(), next());
    let (Some(base), Some(to)) = (Timebase::new(num, den), Timebase::new(1, other)) else { return };
    let ticks = (u64::from(high) << 32 | u64::from(low)).cast_signed();
    let (this, later) = (Timestamp::new(ticks, base), Timestamp::new(ticks, base).plus_ticks(1));
    assert!(this.to(to) <= later.to(to));
    assert!(later.micros_since(this) >= 0);
}

fn collect(path: &Path, seeds: &mut Vec<Vec<u8>>) {
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).expect("the folder can be read").flatten().collect();
        // The order of a folder depends on the machine, and the inputs on the order.
        entries.sort_by_key(fs::DirEntry::path);
        return entries.iter().for_each(|entry| collect(&entry.path(), seeds));
    }
    let mut bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.truncate(VECTOR_BYTES_MAX);
    seeds.push(bytes);
}
