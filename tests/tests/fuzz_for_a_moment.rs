//! Every fuzz target, for two seconds each, with the same inputs every time as far as the time reaches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use headwater_tests::fuzz::TARGETS;
use headwater_tests::mutate::Mutator;

const TIME_PER_TARGET: Duration = Duration::from_secs(2);
const SEED: u64 = 0x6865_6164;

#[test]
fn no_input_makes_a_parser_panic() {
    for target in TARGETS {
        let seeds = target.seeds();
        seeds.iter().for_each(|seed| (target.run)(seed));
        let mut mutator = Mutator::new(&seeds, SEED);
        let started = Instant::now();
        let mut runs = 0_u64;
        while started.elapsed() < TIME_PER_TARGET {
            let input = mutator.next_input();
            if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
                panic!("{} panics on input {runs}: {}", target.name, hex(&input));
            }
            runs += 1;
        }
        println!("{}: {runs} inputs", target.name);
    }
}

#[test]
fn every_target_can_be_fuzzed_and_every_fuzzer_has_a_target() {
    let folder = headwater_tests::binary::workspace().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(folder).expect("fuzz/fuzz_targets is there");
    let files =
        entries.flatten().map(|entry| entry.path().file_stem().map(|s| s.to_string_lossy().into_owned()));
    let mut files: Vec<String> = files.flatten().collect();
    files.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
