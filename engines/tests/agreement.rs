//! The production driver over turmoil shows viewers what the simulator says that they see, and does so again.

use headwater_engines::agreement::disagreements;
use headwater_engines::{scripts, simulator, turmoil};

/// Plays a scenario on both engines and demands that they agree, and that its rules hold.
fn agree(scenario: &str) {
    let scenario = scripts::named(scenario).expect("the scenario exists");
    for seed in 1..=SEEDS {
        let script = scenario.script(seed);
        let simulated = simulator::play(&script).expect("the simulator finds nothing wrong");
        let played = turmoil::play(&script).expect("turmoil can play it");
        let found = disagreements(&script, &simulated, &played);
        assert!(found.is_empty(), "{}:{seed}: {found:#?}", script.scenario);
        assert!(!played.viewers.is_empty() && played.viewers.iter().all(|seen| seen.gap().is_some()));
    }
}

#[test]
fn on_an_origin_that_dies() {
    agree("origin-killed");
}

#[test]
fn on_an_origin_that_falls_silent() {
    agree("origin-dark");
}

#[test]
fn on_an_origin_that_is_asked_to_end() {
    agree("origin-stopped");
}

#[test]
fn on_packets_that_come_late() {
    agree("link-held");
}

#[test]
fn on_both_origins_lost_and_back() {
    agree("origins-lost");
}

#[test]
fn on_an_edge_that_is_restarted() {
    agree("edge-restarted");
}

#[test]
fn on_an_encoder_that_is_restarted() {
    agree("encoder-killed");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for scenario in ["origin-restarted", "origins-lost", "late-viewer"] {
        let script = scripts::named(scenario).expect("the scenario exists").script(4);
        let [first, second] = [(), ()].map(|()| turmoil::play(&script).expect("turmoil can play it"));
        assert_eq!(first.fingerprint(), second.fingerprint(), "{scenario}");
        let other = turmoil::play(&scripts::named(scenario).expect("the scenario exists").script(5));
        assert_ne!(first.fingerprint(), other.expect("turmoil can play it").fingerprint(), "{scenario}");
    }
}

const SEEDS: u64 = 2;
