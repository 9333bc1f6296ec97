//! Edges behind edges, edges that are restarted, edges whose clock is set, and edges with many streams.

use headwater_core::event::Joined;
use headwater_core::media::Kind;
use headwater_net_sim::check::{NoFatalError, OneContentPerNumber, SequenceNeverGoesBack};
use headwater_net_sim::encoder::Source;
use headwater_net_sim::{Checks, Crash, HostId, ms, secs};
use headwater_scenarios::cluster::{ORIGINS, STREAM};
use headwater_scenarios::watching::{demand_every_frame, of};
use headwater_scenarios::{Cluster, Plan};

/// A leaf behind the cluster's edge and a second one, with a NoInputFailoverTimeout of its own, and its viewer after
/// ten seconds.
fn two_tiers(seed: u64, no_input_ms: u64) -> (Cluster, HostId, HostId, HostId) {
    let plan = Plan::default();
    let mut cluster = Cluster::new(seed, &plan);
    let second = cluster.add_edge("edge-2", &plan, ORIGINS);
    let leaf = cluster.add_edge("leaf", &Plan { no_input_ms, ..plan }, ["edge", "edge-2"]);
    cluster.world.run_for(secs(5));
    let viewer = cluster.viewer_of("viewer", "leaf", STREAM);
    cluster.world.run_for(secs(10));
    assert_eq!(cluster.switches_of(leaf).len(), 1);
    (cluster, second, leaf, viewer)
}

#[test]
fn two_tiers_away_a_killed_origin_is_not_noticed() {
    for seed in 0..5 {
        let (mut cluster, _, leaf, viewer) = two_tiers(seed, 3_000);
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(15));
        assert_eq!(cluster.switches()[1].joined, Joined::Exact, "the first tier has changed its origin");
        assert_eq!(cluster.switches_of(leaf).len(), 1, "the second tier has not");
        demand_every_frame(cluster.record(viewer));
        Checks::unharmed(ms(650)).demand(&cluster.world);
    }
}

#[test]
fn two_tiers_away_a_frozen_origin_is_not_noticed_either() {
    for (seed, no_input_ms) in [(0, 3_000), (1, 3_000), (2, 2_000), (3, 4_000)] {
        let (mut cluster, _, leaf, viewer) = two_tiers(seed, no_input_ms);
        cluster.world.pause(cluster.origin_a);
        cluster.world.run_for(secs(20));
        assert_eq!(cluster.switches().len(), 2, "the first tier has changed its origin");
        assert_eq!(cluster.switches_of(leaf).len(), 1, "the second tier has not");
        demand_every_frame(cluster.record(viewer));
        Checks::unharmed(ms(1_000)).demand(&cluster.world);
    }
}

#[test]
fn an_edge_that_dies_is_replaced_by_its_sibling_without_a_lost_frame() {
    for seed in 0..5 {
        let (mut cluster, second, leaf, viewer) = two_tiers(seed, 3_000);
        let died = cluster.world.now();
        cluster.world.crash(cluster.edge, Crash::Reset);
        cluster.world.run_for(secs(15));
        let switches = cluster.switches_of(leaf);
        assert_eq!(switches.len(), 2, "{switches:?}");
        assert_eq!(switches[1].joined, Joined::Exact);
        let took = switches[1].at.since(died);
        assert!(took <= ms(60), "the sibling had to pull the stream first: {took:?}");
        assert_eq!(cluster.switches_of(second).len(), 1);
        demand_every_frame(cluster.record(viewer));
        Checks::unharmed(ms(650)).demand(&cluster.world);
    }
}

#[test]
fn an_edge_whose_wall_clock_is_set_in_mid_stream_goes_on_as_if_nothing_had_happened() {
    for seed in 0..5 {
        for hours in [1, -1] {
            let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
            cluster.world.step_clock(cluster.edge, hours * 3_600_000_000);
            cluster.world.run_for(secs(30));
            cluster.world.crash(cluster.origin_a, Crash::Reset);
            cluster.world.run_for(secs(10));
            demand_every_frame(cluster.record(viewer));
            assert!(cluster.record(viewer).stalls.is_empty());
            Checks::unharmed(ms(650)).demand(&cluster.world);
        }
    }
}

/// The edge dies with its viewer, its clock is set by `step_us`, and it comes back for another viewer after `down_ms`.
/// Returns the number of the newest segment before, and that of the first one that the other viewer got.
fn restarted(seed: u64, played: u64, step_us: i64, down_ms: u64) -> (Cluster, u64, u64) {
    let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(played));
    let newest =
        |cluster: &Cluster, viewer| of(cluster.record(viewer), Kind::Video).next_back().map(|part| part.msn);
    let before = newest(&cluster, viewer).expect("the viewer got video");
    cluster.world.crash(viewer, Crash::Fin);
    cluster.world.crash(cluster.edge, Crash::Reset);
    cluster.world.step_clock(cluster.edge, step_us);
    cluster.world.run_for(ms(down_ms));
    cluster.world.restart(cluster.edge);
    let other = cluster.viewer("the viewer, come back");
    cluster.world.run_for(secs(20));
    demand_every_frame(cluster.record(other));
    let first = of(cluster.record(other), Kind::Video).next().expect("video").msn;
    (cluster, before, first)
}

#[test]
fn an_edge_that_was_down_for_ten_seconds_goes_on_with_higher_numbers() {
    for seed in 0..8 {
        let (cluster, before, first) = restarted(seed, 7 + seed, 0, 10_000);
        assert!(first > before, "seed {seed}: {before}, then {first}");
        Checks::safety().demand(&cluster.world);
    }
}

// The oldest media that an origin hands over is numbered by the time of its arrival, so that an edge that has been playing
// is four to five seconds ahead.
#[test]
fn an_edge_that_is_restarted_at_once_goes_on_with_higher_numbers() {
    for seed in 0..8 {
        for (played, down_ms) in [(1, 0), (7 + seed, 0), (7 + seed, 500), (7 + seed, 3_000)] {
            let (cluster, before, first) = restarted(seed, played, 0, down_ms);
            assert!(first > before, "seed {seed}, down for {down_ms} ms: {before}, then {first}");
            Checks::safety().demand(&cluster.world);
        }
    }
}

/// Nothing but the wall clock tells a process which numbers its predecessor has given away: if it was set back far, numbers
/// are lower. Viewers that come after the restart do not suffer from that, nor do caches: none comes twice.
#[test]
fn an_edge_that_is_restarted_after_its_clock_was_set_back_begins_with_lower_numbers() {
    for seed in 0..5 {
        let (cluster, before, first) = restarted(seed, 15, -60_000_000, 1_000);
        assert!(first < before, "seed {seed}: {before}, then {first}");
        let mut checks = Checks::none().with(SequenceNeverGoesBack::default()).with(NoFatalError);
        checks.add(Box::new(OneContentPerNumber::default()));
        checks.demand(&cluster.world);
    }
}

#[test]
fn fifty_viewers_of_ten_streams_recover_together_with_one_pull_for_each_stream() {
    for seed in 0..2 {
        let mut cluster = Cluster::new(seed, &Plan::default());
        for n in 0..10 {
            let source = Source { name: n, ..Source::default() };
            cluster.add_encoder(&format!("encoder-{n}"), &source, &format!("stream-{n}"), &ORIGINS);
        }
        cluster.world.run_for(secs(5));
        let viewers: Vec<HostId> = (0..50)
            .map(|n| cluster.viewer_of(&format!("viewer-{n}"), "edge", &format!("stream-{}", n % 10)))
            .collect();
        cluster.world.run_for(secs(8));
        assert_eq!(cluster.dials().len(), 10, "one pull for each stream");

        let died = cluster.world.now();
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(8));
        assert_eq!(cluster.dials().len(), 20, "and one more");
        let switches = cluster.switches();
        assert_eq!(switches.len(), 20);
        assert!(switches[10..].iter().all(|s| s.joined == Joined::Exact && s.at.since(died) <= ms(20)));
        viewers.iter().for_each(|viewer| demand_every_frame(cluster.record(*viewer)));
        Checks::unharmed(ms(650)).demand(&cluster.world);

        let died = cluster.world.now();
        cluster.world.crash(cluster.origin_b, Crash::Reset);
        cluster.world.run_for(ms(100));
        cluster.world.restart(cluster.origin_a);
        cluster.world.restart(cluster.origin_b);
        cluster.world.run_for(secs(20));
        let again: Vec<_> = cluster.switches().into_iter().filter(|switch| switch.at > died).collect();
        assert_eq!(again.len(), 10, "every stream is back, and was found once");
        // The encoders come back after half a second, and start with a key frame.
        assert!(again.iter().all(|switch| switch.at.since(died) <= ms(1_700)), "{again:?}");
        let dials = cluster.dials().iter().filter(|(at, _)| *at > died).count();
        assert!(dials <= 80, "{dials} attempts of ten streams");
        Checks::unharmed(ms(2_700)).demand(&cluster.world);
    }
}
