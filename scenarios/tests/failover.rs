//! The story of failover on virtual time, with every timing that a user can rely on.

use core::time::Duration;

use headwater_core::event::{Event, Joined};
use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::encoder::{Mishap, Source};
use headwater_net_sim::{Checks, Crash, ms, secs};
use headwater_scenarios::watching::{demand_every_frame, losses};
use headwater_scenarios::{Cluster, Plan};

/// How long after `since` the edge played another origin, and how that was joined.
fn switched(cluster: &Cluster, since: Time) -> (Duration, Joined) {
    let switches = cluster.switches();
    let Some(switch) = switches.last().filter(|switch| switch.at > since) else {
        panic!("the edge plays no other origin: {}", cluster.world.story(60));
    };
    assert!(switch.url.contains("origin-b"), "{switch:?}");
    (switch.at.since(since), switch.joined)
}

#[test]
fn a_killed_origin_costs_no_frame_and_no_part_is_late() {
    for how in [Crash::Fin, Crash::Reset] {
        for seed in 0..20 {
            let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
            let killed = cluster.world.now();
            cluster.world.crash(cluster.origin_a, how);
            cluster.world.run_for(secs(20));
            let (took, joined) = switched(&cluster, killed);
            assert!(took <= ms(20), "seed {seed}: {took:?}");
            assert_eq!(joined, Joined::Exact);
            demand_every_frame(cluster.record(viewer));
            assert!(cluster.record(viewer).stalls.is_empty(), "seed {seed}");
            Checks::unharmed(ms(650)).demand(&cluster.world);
        }
    }
}

#[test]
fn a_frozen_origin_is_left_when_its_silence_is_out_of_the_ordinary_or_after_the_no_input_timeout() {
    for (no_input_ms, silence_ms) in [(150, 150), (500, 200), (3_000, 200)] {
        let plan = Plan { no_input_ms, ..Plan::default() };
        let (mut cluster, viewer) = Cluster::playing(7, &plan, secs(10));
        let frozen = cluster.world.now();
        cluster.world.pause(cluster.origin_a);
        cluster.world.run_for(secs(30));
        let (took, joined) = switched(&cluster, frozen);
        let bound = ms(silence_ms);
        assert!(took <= bound + ms(50) && took + ms(40) >= bound, "{took:?} of {bound:?}");
        assert_eq!(joined, Joined::Exact);
        demand_every_frame(cluster.record(viewer));
        Checks::unharmed(bound + ms(700)).demand(&cluster.world);
    }
}

#[test]
fn a_cut_cable_is_a_frozen_origin() {
    let plan = Plan { no_input_ms: 1_000, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(11, &plan, secs(10));
    let cut = cluster.world.now();
    cluster.world.crash(cluster.origin_a, Crash::Silent);
    cluster.world.run_for(secs(20));
    assert!(switched(&cluster, cut).0 <= ms(250));
    demand_every_frame(cluster.record(viewer));
    Checks::unharmed(ms(1_000)).demand(&cluster.world);
}

#[test]
fn origins_with_different_encodings_are_joined_at_a_key_frame() {
    for seed in 0..10 {
        let other = Source { name: 2, ..Source::default() };
        let plan = Plan { other_source: Some(other), ..Plan::default() };
        let (mut cluster, viewer) = Cluster::playing(seed, &plan, secs(10));
        let killed = cluster.world.now();
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(20));
        let (took, joined) = switched(&cluster, killed);
        assert!(took <= ms(200), "seed {seed}: {took:?}");
        assert_eq!(joined, Joined::KeyFrame);
        assert_eq!(losses(cluster.record(viewer), Kind::Video).sources, 1);
        Checks::unharmed(ms(1_700)).demand(&cluster.world);
    }
}

#[test]
fn an_origin_that_comes_back_is_found_again() {
    let (mut cluster, viewer) = Cluster::playing(3, &Plan::default(), secs(10));
    cluster.world.crash(cluster.origin_a, Crash::Reset);
    cluster.world.run_for(secs(5));
    cluster.world.restart(cluster.origin_a);
    cluster.world.run_for(secs(10));
    cluster.world.crash(cluster.origin_b, Crash::Reset);
    cluster.world.run_for(secs(15));
    let switches = cluster.switches();
    assert!(switches.last().is_some_and(|switch| switch.url.contains("origin-a")), "{switches:?}");
    demand_every_frame(cluster.record(viewer));
    Checks::unharmed(ms(700)).demand(&cluster.world);
}

#[test]
fn failback_returns_to_the_primary_without_a_trace() {
    let plan = Plan { failback: true, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(4, &plan, secs(10));
    cluster.world.crash(cluster.origin_a, Crash::Reset);
    cluster.world.run_for(secs(5));
    cluster.world.restart(cluster.origin_a);
    cluster.world.run_for(secs(20));
    let switches = cluster.switches();
    assert_eq!(switches.len(), 3, "{switches:?}");
    assert!(switches[2].url.contains("origin-a"));
    assert_eq!(switches[2].joined, Joined::Exact);
    demand_every_frame(cluster.record(viewer));
    Checks::unharmed(ms(700)).demand(&cluster.world);
}

#[test]
fn when_every_origin_is_gone_viewers_get_errors_and_play_on_when_one_is_back() {
    let (mut cluster, _) = Cluster::playing(5, &Plan::default(), secs(10));
    cluster.world.crash(cluster.origin_a, Crash::Reset);
    cluster.world.crash(cluster.origin_b, Crash::Reset);
    cluster.world.run_for(secs(8));
    assert_eq!(cluster.ask_master(), 503, "a frozen stream is an error");
    cluster.world.restart(cluster.origin_b);
    cluster.world.run_for(secs(12));
    assert_eq!(cluster.ask_master(), 200);
    Checks::safety().demand(&cluster.world);
}

#[test]
fn a_cold_edge_answers_the_first_master_at_once() {
    let mut cluster = Cluster::new(6, &Plan::default());
    cluster.world.run_for(secs(10));
    let began = cluster.world.now();
    assert_eq!(cluster.ask_master(), 200);
    let took = cluster.world.now().since(began);
    assert!(took <= ms(100), "{took:?}");
}

#[test]
fn a_crowd_that_waits_for_one_stream_costs_one_pull() {
    let mut cluster = Cluster::new(8, &Plan::default());
    cluster.world.run_for(secs(10));
    for n in 0..200 {
        cluster.viewer(&format!("viewer-{n}"));
    }
    cluster.world.run_for(secs(10));
    assert_eq!(cluster.dials().len(), 1);
    Checks::unharmed(ms(700)).demand(&cluster.world);
}

#[test]
fn an_absent_stream_that_is_polled_costs_one_round_over_the_origins_per_second() {
    let mut cluster = Cluster::new(9, &Plan::default());
    cluster.world.run_for(secs(2));
    let prober = cluster.world.prober("poller");
    let mut asked = Vec::new();
    for _ in 0..1_000 {
        asked.push(cluster.world.get(prober, "http://edge:3333/live/nothing/llhls.m3u8"));
        cluster.world.run_for(ms(5));
    }
    cluster.world.run_for(secs(2));
    for id in asked {
        let answer = cluster.world.answer(prober, id).expect("an answer");
        assert_eq!(answer.status.map_or(0, |status| status.as_u16()), 404);
    }
    let dials = cluster.dials().len();
    assert!((2..=12).contains(&dials), "{dials} dials in five seconds");
}

#[test]
fn a_stream_that_nobody_watches_is_let_go() {
    let plan = Plan { unused_ms: 5_000, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(10, &plan, secs(5));
    cluster.world.crash(viewer, Crash::Fin);
    cluster.world.run_for(secs(12));
    let ended = |fact: &headwater_net_sim::Fact| matches!(fact.event, Event::RelayEnded { .. });
    assert!(cluster.world.facts().iter().any(ended), "{}", cluster.world.story(40));
    assert_eq!(cluster.world.connections(), 2, "the encoder's two connections");
}

#[test]
fn an_encoder_that_stalls_leaves_a_declared_hole() {
    let mishaps = vec![(secs(12), Mishap::Stall(ms(2_200)))];
    let plan = Plan { source: Source { mishaps, ..Source::default() }, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(12, &plan, secs(25));
    cluster.world.run_for(secs(1));
    let record = cluster.record(viewer);
    for part in record.parts.iter().filter(|part| part.part.is_some()) {
        assert!(part.declared_us <= 502_000 && part.duration_us <= 502_000, "{part:?}");
    }
    Checks::unharmed(ms(3_000)).demand(&cluster.world);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let (mut cluster, _) = Cluster::playing(seed, &Plan::default(), secs(5));
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(10));
        cluster.world.trace_hash()
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}
