//! How an edge goes about its origins: how often it tries them, how long it waits, and when it stops.

use core::time::Duration;

use headwater_core::event::{Event, Joined};
use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::{Checks, Crash, HostId, ms, secs};
use headwater_scenarios::watching::{after_hole, demand_consecutive, demand_every_frame, losses};
use headwater_scenarios::{Cluster, Plan};

/// The origins that the edge tried since a moment, by their letter, and the pauses between.
fn tries(cluster: &Cluster, since: Time) -> (String, Vec<Duration>) {
    let dials: Vec<_> = cluster.dials().into_iter().filter(|(at, _)| *at >= since).collect();
    let letters = dials.iter().map(|(_, url)| if url.contains("origin-a") { 'A' } else { 'B' }).collect();
    let pauses = dials.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    (letters, pauses)
}

/// How long after `since` the edge played again, and from which origin.
fn plays_again(cluster: &Cluster, since: Time) -> Option<(Duration, char)> {
    let switch = cluster.switches().into_iter().find(|switch| switch.at > since)?;
    Some((switch.at.since(since), if switch.url.contains("origin-a") { 'A' } else { 'B' }))
}

#[test]
fn a_freeze_that_outlasts_the_origins_history_leaves_a_declared_hole() {
    for seed in 0..5 {
        let plan = Plan { no_input_ms: 8_000, ..Plan::default() };
        let (mut cluster, viewer) = Cluster::playing(seed, &plan, secs(10));
        let frozen = cluster.world.now();
        cluster.world.pause(cluster.origin_a);
        cluster.world.partition(cluster.edge, cluster.origin_b);
        cluster.world.run_for(ms(7_900));
        cluster.world.heal(cluster.edge, cluster.origin_b);
        cluster.world.run_for(ms(2_100));
        let (took, _) = plays_again(&cluster, frozen).expect("the other origin");
        assert!(took >= ms(7_950) && took <= ms(8_100), "seed {seed}: {took:?}");
        assert_eq!(cluster.switches()[1].joined, Joined::KeyFrame);
        for kind in [Kind::Video, Kind::Audio] {
            let (media, text) = cluster.playlist(kind).expect("a playlist");
            assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "the clock goes on through the hole");
            let declared = media.segments.iter().any(|segment| segment.gap) || text.contains("GAP=YES");
            assert!(declared, "what the other origin's history could not fill is a declared gap");
        }
        cluster.world.run_for(secs(15));
        let record = cluster.record(viewer);
        assert!(after_hole(record, Kind::Video).is_some_and(|part| part.starts_with_sync));
        assert_eq!(record.jumps.len(), 1, "the player skips the hole once");
        assert_eq!(losses(record, Kind::Video).repeats, 0);
        Checks::unharmed(ms(8_700)).demand(&cluster.world);
    }
}

/// The first origin dies and is back, again and again, for a minute.
fn flapping(seed: u64, failback: bool, period_ms: u64) -> (Cluster, HostId, usize) {
    let plan = Plan { failback, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(seed, &plan, secs(10));
    let began = cluster.world.now();
    while cluster.world.now().since(began) < secs(60) {
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(ms(period_ms));
        cluster.world.restart(cluster.origin_a);
        cluster.world.run_for(ms(period_ms));
    }
    let dials = tries(&cluster, began).0.len();
    (cluster, viewer, dials)
}

#[test]
fn a_flapping_origin_is_left_once() {
    for seed in 0..3 {
        let (cluster, viewer, dials) = flapping(seed, false, 700);
        assert_eq!(dials, 1, "the edge stays where it is well");
        demand_every_frame(cluster.record(viewer));
        Checks::unharmed(ms(650)).demand(&cluster.world);
    }
}

#[test]
fn a_flapping_primary_is_asked_once_a_second_and_viewers_never_notice() {
    for (seed, period_ms) in [(0, 700), (1, 700), (2, 2_500), (3, 6_000)] {
        let (cluster, viewer, dials) = flapping(seed, true, period_ms);
        assert!(dials <= 75, "{dials} dials in a minute, one each second and one for each loss");
        let returns = cluster.switches().iter().filter(|switch| switch.url.contains("origin-a")).count() - 1;
        assert!(period_ms < 6_000 || returns >= 4, "{returns} returns to the primary");
        demand_every_frame(cluster.record(viewer));
        Checks::unharmed(ms(650)).demand(&cluster.world);
    }
}

#[test]
fn retry_count_zero_is_a_single_attempt_at_the_start() {
    let plan = Plan { retry_count: 0, ..Plan::default() };
    let mut cluster = Cluster::new(1, &plan);
    cluster.world.run_for(secs(5));
    cluster.world.crash(cluster.origin_a, Crash::Reset);
    let asked = cluster.world.now();
    assert_eq!(cluster.ask_master(), 502);
    assert!(cluster.world.now().since(asked) <= ms(50));
    assert_eq!(tries(&cluster, asked).0, "A");
}

#[test]
fn retry_count_zero_ends_the_stream_with_its_origin() {
    let plan = Plan { retry_count: 0, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(1, &plan, secs(10));
    // Its next request would be a new start.
    cluster.world.crash(viewer, Crash::Fin);
    let died = cluster.world.now();
    cluster.world.crash(cluster.origin_a, Crash::Reset);
    cluster.world.run_for(secs(10));
    assert_eq!(tries(&cluster, died).0, "");
    let gave_up = |fact: &headwater_net_sim::Fact| matches!(fact.event, Event::PullEnded { .. });
    assert!(cluster.facts_since(died).any(gave_up));
}

#[test]
fn refused_connects_are_tried_three_rounds_and_once_more_without_a_pause() {
    let plan = Plan { retry_count: 3, ..Plan::default() };
    let mut cluster = Cluster::new(2, &plan);
    cluster.world.run_for(secs(5));
    cluster.world.crash(cluster.origin_a, Crash::Reset);
    cluster.world.crash(cluster.origin_b, Crash::Reset);
    let asked = cluster.world.now();
    assert_eq!(cluster.ask_master(), 502, "no origin could be reached");
    assert!(cluster.world.now().since(asked) <= ms(60));
    let (letters, pauses) = tries(&cluster, asked);
    assert_eq!(letters, "ABABABA");
    assert!(pauses.iter().all(|pause| *pause <= ms(6)), "a round trip each: {pauses:?}");
}

#[test]
fn a_stream_that_was_playing_is_tried_for_a_minute_with_growing_pauses() {
    for seed in 0..3 {
        let plan = Plan { retry_count: 3, unused_ms: 300_000, ..Plan::default() };
        let (mut cluster, _) = Cluster::playing(seed, &plan, secs(10));
        let died = cluster.world.now();
        cluster.world.crash(cluster.origin_b, Crash::Reset);
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(90));
        let (letters, pauses) = tries(&cluster, died);
        assert!(letters.starts_with("BABABAB"), "{letters}");
        let (at_once, growing) = pauses.split_at(6);
        assert!(at_once.iter().all(|pause| *pause <= ms(6)), "{at_once:?}");
        for (n, pause) in growing.iter().enumerate() {
            let full = ms((100 << n.min(5)).min(2_000));
            assert!(*pause >= full.mul_f64(0.75) && *pause <= full + ms(6), "pause {n}: {pause:?}");
        }
        assert!((35..=45).contains(&letters.len()), "{} attempts in a minute", letters.len());
        let gave_up = |fact: &&headwater_net_sim::Fact| matches!(fact.event, Event::PullEnded { .. });
        let ended =
            cluster.facts_of(cluster.edge).find(gave_up).expect("the stream is given up").at.since(died);
        assert!(ended >= secs(60) && ended <= secs(63), "{ended:?}");
    }
}

#[test]
fn a_stream_that_has_ended_everywhere_is_gone_after_a_minute_and_can_come_again() {
    for seed in 0..3 {
        let plan = Plan { unused_ms: 300_000, ..Plan::default() };
        let (mut cluster, _) = Cluster::playing(seed, &plan, secs(10));
        cluster.world.crash(cluster.encoder, Crash::Fin);
        cluster.world.run_for(secs(10));
        assert_eq!(cluster.ask_master(), 503, "it may come back");
        cluster.world.run_for(secs(55));
        assert_eq!(cluster.ask_master(), 404, "it is gone");
        cluster.world.restart(cluster.encoder);
        cluster.world.run_for(secs(4));
        let asked = cluster.world.now();
        assert_eq!(cluster.ask_master(), 200, "and it is there again");
        assert!(cluster.world.now().since(asked) <= ms(100));
        let viewer = cluster.viewer("another viewer");
        cluster.world.run_for(secs(10));
        demand_every_frame(cluster.record(viewer));
        Checks::safety().demand(&cluster.world);
    }
}

#[test]
fn a_persistent_stream_is_kept_without_viewers_and_its_silence_is_waited_out() {
    let plan = Plan { persistent: true, unused_ms: 2_000, no_input_ms: 1_000, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(3, &plan, secs(5));
    cluster.world.crash(viewer, Crash::Fin);
    let alone = cluster.world.now();
    cluster.world.run_for(secs(120));
    let let_go = |fact: &headwater_net_sim::Fact| matches!(fact.event, Event::RelayEnded { .. });
    assert!(!cluster.facts_since(alone).any(let_go), "two minutes without a viewer");

    let viewer = cluster.viewer("another viewer");
    cluster.world.run_for(secs(5));
    let silent = cluster.world.now();
    cluster.world.pause(cluster.origin_a);
    cluster.world.run_for(secs(6));
    cluster.world.resume(cluster.origin_a);
    cluster.world.run_for(secs(10));
    assert_eq!(tries(&cluster, silent).0, "", "the silent origin is not left");
    demand_every_frame(cluster.record(viewer));
    Checks::unharmed(ms(6_700)).demand(&cluster.world);
}

#[test]
fn an_origin_in_a_black_hole_costs_the_connect_timeout_at_the_start() {
    for seed in 0..5 {
        let mut cluster = Cluster::new(seed, &Plan::default());
        cluster.world.run_for(secs(5));
        cluster.world.partition(cluster.edge, cluster.origin_a);
        let asked = cluster.world.now();
        assert_eq!(cluster.ask_master(), 200);
        let took = cluster.world.now().since(asked);
        assert!(took >= ms(1_500) && took <= ms(1_600), "seed {seed}: {took:?}");
        assert_eq!(tries(&cluster, asked).0, "AB");
    }
}

#[test]
fn an_origin_in_a_black_hole_costs_the_connect_timeout_at_a_failover() {
    for seed in 0..5 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
        cluster.world.partition(cluster.edge, cluster.origin_b);
        let died = cluster.world.now();
        cluster.world.crash(cluster.origin_a, Crash::Fin);
        cluster.world.restart(cluster.origin_a);
        cluster.world.run_for(secs(15));
        let (letters, pauses) = tries(&cluster, died);
        assert!(letters.starts_with("BA"), "{letters}");
        assert!(pauses[0] >= ms(1_500) && pauses[0] <= ms(1_510), "{pauses:?}");
        let (took, origin) = plays_again(&cluster, died).expect("the first origin is back");
        assert!(origin == 'A' && took <= ms(1_600), "seed {seed}: {took:?}");
        demand_consecutive(cluster.record(viewer));
        Checks::unharmed(ms(2_200)).demand(&cluster.world);
    }
}

#[test]
fn a_describe_that_is_never_answered_costs_five_seconds_at_the_start_and_less_at_a_failover() {
    for seed in 0..5 {
        let mut cluster = Cluster::new(seed, &Plan::default());
        cluster.world.run_for(secs(5));
        cluster.world.pause(cluster.origin_a);
        let asked = cluster.world.now();
        assert_eq!(cluster.ask_master(), 200);
        let took = cluster.world.now().since(asked);
        assert!(
            took >= secs(5) && took <= ms(5_100),
            "an origin may have to pull the stream itself: {took:?}"
        );

        let viewer = cluster.viewer("viewer");
        cluster.world.run_for(secs(10));
        let died = cluster.world.now();
        cluster.world.crash(cluster.origin_b, Crash::Fin);
        cluster.world.restart(cluster.origin_b);
        cluster.world.run_for(secs(15));
        let (letters, pauses) = tries(&cluster, died);
        assert!(letters.starts_with("AB"), "{letters}");
        assert!(pauses[0] >= ms(1_500) && pauses[0] <= ms(1_510), "{pauses:?}");
        let (took, origin) = plays_again(&cluster, died).expect("the other origin is back");
        assert!(origin == 'B' && took <= ms(2_600), "seed {seed}: {took:?}");
        demand_consecutive(cluster.record(viewer));
        Checks::unharmed(ms(3_300)).demand(&cluster.world);
    }
}
