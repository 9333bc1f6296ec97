//! Trouble between an origin and its edges that is no loss: packets that come late, wires that are too thin.

use core::time::Duration;
use std::collections::BTreeMap;

use headwater_core::event::Event;
use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::check::{LongestGap, NoFatalError, PlaylistsKeepTheRules, SequenceNeverGoesBack};
use headwater_net_sim::encoder::Source;
use headwater_net_sim::{Checks, Fact, HostId, Latency, Link, ms, secs};
use headwater_scenarios::cluster::{ORIGINS, STREAM};
use headwater_scenarios::watching::{demand_every_frame, losses, of};
use headwater_scenarios::{Cluster, Plan};

fn link(cluster: &mut Cluster, edge: HostId, link: Link) {
    for origin in [cluster.origin_a, cluster.origin_b] {
        cluster.world.link(edge, origin, link);
    }
}

#[test]
fn lost_packets_and_jitter_are_not_a_loss_of_the_origin() {
    for seed in 0..5 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
        let edge = cluster.edge;
        link(&mut cluster, edge, Link::from(Latency::ms(10).jitter_ms(20)).loss_ppm(10_000));
        cluster.world.run_for(secs(60));
        assert_eq!(cluster.switches().len(), 1);
        demand_every_frame(cluster.record(viewer));
        assert!(cluster.record(viewer).stalls.is_empty());
        Checks::unharmed(ms(950)).demand(&cluster.world);
    }
}

#[test]
fn packets_that_are_held_up_are_waited_for_unless_another_origin_has_them_sooner() {
    for (seed, held_ms, switches) in [(0, 100, 1), (1, 170, 1), (2, 500, 2), (3, 2_000, 2)] {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
        cluster.world.hold(cluster.edge, cluster.origin_a);
        cluster.world.run_for(ms(held_ms));
        cluster.world.heal(cluster.edge, cluster.origin_a);
        cluster.world.run_for(secs(10));
        assert_eq!(cluster.switches().len(), switches, "{held_ms} ms");
        demand_every_frame(cluster.record(viewer));
        Checks::unharmed(ms(1_000)).demand(&cluster.world);
    }
}

#[test]
fn packets_that_are_held_up_for_longer_come_too_late_and_do_no_harm() {
    for seed in 0..5 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
        cluster.world.hold(cluster.edge, cluster.origin_a);
        cluster.world.run_for(secs(10));
        assert_eq!(cluster.switches().len(), 2);
        cluster.world.heal(cluster.edge, cluster.origin_a);
        cluster.world.run_for(secs(10));
        assert_eq!(cluster.switches().len(), 2);
        demand_every_frame(cluster.record(viewer));
        Checks::unharmed(ms(1_000)).demand(&cluster.world);
    }
}

#[test]
fn a_wire_with_a_little_room_is_enough() {
    for seed in 0..5 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
        let edge = cluster.edge;
        link(&mut cluster, edge, Link::from(Latency::ms(5)).bandwidth(75_000));
        cluster.world.run_for(secs(60));
        demand_every_frame(cluster.record(viewer));
        assert!(cluster.record(viewer).stalls.is_empty());
        Checks::unharmed(ms(750)).demand(&cluster.world);
    }
}

#[test]
fn an_edge_on_a_wire_that_is_too_thin_skips_to_key_frames_and_its_sibling_does_not_notice() {
    for seed in 0..2 {
        // 1.2 MB per second, on a wire that takes 0.6.
        let source = Source { key_bytes: 120_000, delta_bytes: 36_000, ..Source::default() };
        let plan = Plan { source, ..Plan::default() };
        let mut cluster = Cluster::new(seed, &plan);
        let thin = cluster.add_edge("thin", &plan, ORIGINS);
        cluster.world.run_for(secs(5));
        let healthy = cluster.viewer("healthy");
        let starved = cluster.viewer_of("starved", "thin", STREAM);
        cluster.world.run_for(secs(10));
        link(&mut cluster, thin, Link::from(Latency::ms(1)).bandwidth(600_000));
        let narrowed = cluster.world.now();
        cluster.world.run_for(secs(60));
        let skipped = |fact: &&Fact| matches!(fact.event, Event::RelaySkipped { .. });
        let skips = cluster.facts_since(narrowed).filter(skipped).count();
        assert!((3..=6).contains(&skips), "{skips} skips in a minute");
        assert_eq!(cluster.switches_of(thin).len(), 1, "the origin is not to blame");

        // What the origin queues for an edge is at most 4 MB: seven seconds of this wire.
        let lag = longest_lag(&cluster, starved);
        assert!(lag >= secs(5) && lag <= secs(8), "seed {seed}: the starved viewer is {lag:?} behind");
        let record = cluster.record(starved);
        let got = of(record, Kind::Video).map(|part| part.samples).sum::<usize>();
        assert!(got >= 1_200, "half of the wire's minute, and all of the ten seconds before: {got} frames");
        assert_eq!(losses(record, Kind::Video).repeats, 0);

        demand_every_frame(cluster.record(healthy));
        assert!(cluster.record(healthy).stalls.is_empty());
        let mut checks = Checks::none()
            .with(SequenceNeverGoesBack::default())
            .with(PlaylistsKeepTheRules::default())
            .with(NoFatalError)
            .with(LongestGap { bound: ms(1_250), places: BTreeMap::new() });
        checks.demand(&cluster.world);
    }
}

/// How far behind the encoder, which was started with the world, the newest frame was at most.
fn longest_lag(cluster: &Cluster, viewer: HostId) -> Duration {
    let made = |frame: u64| Time::ZERO + ms(frame * 1_000 / 30);
    let record = cluster.record(viewer);
    let lags = of(record, Kind::Video).filter_map(|part| Some(part.at.since(made(part.marks?.1.frame))));
    lags.max().unwrap_or_default()
}
