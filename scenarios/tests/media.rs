//! What comes out is what went in, and soon: frames of every shape, held against the encoder that made them.

use core::time::Duration;

use headwater_core::event::Event;
use headwater_core::media::Kind;
use headwater_net_sim::check::{DatesAreTrue, PartsAreFresh};
use headwater_net_sim::encoder::{Picture, Source};
use headwater_net_sim::{Checks, Crash, ms, secs};
use headwater_scenarios::cluster::{ORIGINS, STREAM};
use headwater_scenarios::watching::{Losses, demand_every_frame, losses, of};
use headwater_scenarios::{Cluster, Plan};

/// What holds in calm times: everything intact, dated to the frame and at the viewer soon after it was made.
fn calm() -> Checks {
    Checks::unharmed(ms(700)).with(PartsAreFresh::within(FRESH)).with(DatesAreTrue::within(DATED))
}

/// A part is there when the next frame is, after a few hops of a millisecond or two.
const FRESH: Duration = ms(150);
/// Two hops, and how much later than decoded a key frame may be presented.
const DATED: Duration = ms(100);

fn source(change: impl FnOnce(&mut Source)) -> Source {
    let mut source = Source::default();
    change(&mut source);
    source
}

#[test]
fn frames_of_every_shape_arrive_whole_and_soon() {
    let sources = [
        Source::default(),
        Source::with_b_frames(),
        Source { fps: (30_000, 1_001), gop: 60, ..Source::with_b_frames() },
        Source { fps: (50, 1), gop: 100, audio: Some(44_100), ..Source::with_b_frames() },
        source(|source| source.key_bytes = 150_000),
        source(|source| source.picture = Picture::Large),
    ];
    for (seed, source) in (0..).zip(sources) {
        let plan = Plan { source, ..Plan::default() };
        let (mut cluster, viewer) = Cluster::playing(seed, &plan, secs(30));
        calm().demand(&cluster.world);
        demand_every_frame(cluster.record(viewer));
        assert!(of(cluster.record(viewer), Kind::Video).any(|part| part.date_off_us.is_some()));
        // Also what comes from the other origin is what the encoder made.
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(20));
        Checks::unharmed(ms(1_500)).demand(&cluster.world);
    }
}

#[test]
fn a_stream_may_have_only_sound_or_only_pictures() {
    let sources = [
        (source(|source| source.audio = None), Kind::Video),
        (source(|source| source.video = false), Kind::Audio),
    ];
    for (seed, (source, kind)) in (0..).zip(sources) {
        let plan = Plan { source, ..Plan::default() };
        let (mut cluster, viewer) = Cluster::playing(seed, &plan, secs(30));
        calm().demand(&cluster.world);
        let record = cluster.record(viewer);
        assert!(of(record, kind).count() > 40 && record.parts.iter().all(|part| part.kind == kind));
        assert_eq!(losses(record, kind), Losses::default());
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(20));
        Checks::unharmed(ms(1_500)).demand(&cluster.world);
    }
}

#[test]
fn a_still_picture_goes_on_frame_by_frame() {
    let plan = Plan { source: Source::still(), ..Plan::default() };
    let (cluster, viewer) = Cluster::playing(1, &plan, secs(60));
    // Every part of video waits for its one frame, and for the next one.
    Checks::unharmed(ms(2_500)).demand(&cluster.world);
    let record = cluster.record(viewer);
    demand_every_frame(record);
    assert!(of(record, Kind::Video).map(|part| part.samples).sum::<usize>() > 50);
}

#[test]
fn a_second_publisher_of_a_name_is_refused_and_harms_nobody() {
    let (mut cluster, viewer) = Cluster::playing(1, &Plan::default(), secs(10));
    let other = Source { name: 2, ..Source::default() };
    cluster.add_encoder("second", &other, STREAM, &ORIGINS);
    cluster.world.run_for(secs(20));
    calm().demand(&cluster.world);
    demand_every_frame(cluster.record(viewer));
    let refused =
        cluster.world.facts().iter().filter(|fact| matches!(fact.event, Event::PublishRefused { .. }));
    // It tries again and again, and waits longer each time.
    assert!((8..=14).contains(&refused.count()));

    // When the first one stops, the name is free.
    cluster.world.shutdown(cluster.encoder);
    cluster.world.run_for(secs(20));
    let sources = losses(cluster.record(viewer), Kind::Video).sources;
    assert_eq!(sources, 1, "{}", cluster.world.story(40));
    Checks::safety().demand(&cluster.world);
}
