//! Frame rates that are no whole numbers of frames per part, and key frames that just fit the segments.

use std::collections::BTreeMap;

use headwater_core::media::Kind;
use headwater_net_sim::encoder::Source;
use headwater_net_sim::{Checks, Crash, ms, secs};
use headwater_scenarios::watching::{demand_consecutive, demand_every_frame, of};
use headwater_scenarios::{Cluster, Plan};

/// Frame rates of broadcasting, with a key frame every two seconds, or as near to that as frames can be.
fn sources() -> [Source; 5] {
    let source = |fps, gop| Source { fps, gop, ..Source::default() };
    [
        source((30_000, 1_001), 60),
        source((50, 1), 100),
        source((25, 1), 50),
        source((24_000, 1_001), 48),
        source((60_000, 1_001), 120),
    ]
}

#[test]
fn every_frame_rate_makes_parts_of_the_right_length_also_over_a_failover() {
    for (seed, source) in (0..).zip(sources()) {
        let fps = source.fps;
        let plan = Plan { source, ..Plan::default() };
        let (mut cluster, viewer) = Cluster::playing(seed, &plan, secs(30));
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(30));

        let (media, _) = cluster.playlist(Kind::Video).expect("a playlist");
        for segment in media.segments.iter().filter(|segment| segment.uri.is_some()).skip(1) {
            assert!((3_990_000..=4_010_000).contains(&segment.duration_us), "{fps:?}: {segment:?}");
        }
        let target = media.part_target_us.expect("a part target");
        assert!((450_000..=502_000).contains(&target), "{fps:?}: {target}");
        for part in of(cluster.record(viewer), Kind::Video).filter(|part| part.part.is_some()) {
            assert!(part.duration_us <= target, "{fps:?}: its samples are as long as it says: {part:?}");
            assert!(part.independent == part.starts_with_sync, "{fps:?}: {part:?}");
        }
        demand_every_frame(cluster.record(viewer));
        demand_consecutive(cluster.record(viewer));
        assert!(cluster.record(viewer).stalls.is_empty(), "{fps:?}");
        Checks::unharmed(ms(650)).demand(&cluster.world);
    }
}

#[test]
fn an_hour_of_29_97_frames_per_second_drifts_off_the_grid_and_nobody_notices() {
    // Segments of 4.004 s on a grid of 4 s: after 33 minutes one of them has a key-frame interval less.
    let source = Source { key_bytes: 200, delta_bytes: 60, ..sources()[0].clone() };
    let plan = Plan { source, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(1, &plan, secs(10));
    cluster.world.run_for(secs(45 * 60));
    let mut lengths: BTreeMap<u64, i64> = BTreeMap::new();
    for part in of(cluster.record(viewer), Kind::Video) {
        *lengths.entry(part.msn).or_default() += part.duration_us;
    }
    lengths.pop_first();
    lengths.pop_last();
    let short = lengths.values().filter(|us| **us < 3_000_000).count();
    assert_eq!(short, 1, "of {} segments", lengths.len());
    demand_every_frame(cluster.record(viewer));
    demand_consecutive(cluster.record(viewer));
    assert!(cluster.record(viewer).stalls.is_empty());
    Checks::unharmed(ms(650)).demand(&cluster.world);
}
