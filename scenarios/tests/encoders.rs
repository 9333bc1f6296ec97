//! What viewers see when the trouble is in front of the cluster: encoders that differ, reconnect, jump or start again.

use headwater_core::event::{Event, Joined};
use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::encoder::{Mishap, Picture, Source};
use headwater_net_sim::playlist::Media;
use headwater_net_sim::{Checks, Crash, HostId, ms, secs};
use headwater_scenarios::cluster::{ORIGINS, STREAM};
use headwater_scenarios::watching::{after_hole, demand_consecutive, demand_every_frame, losses};
use headwater_scenarios::{Cluster, Plan};

/// A cluster whose encoder has this mishap right after 16 s, when its viewer has played for 11.
fn with_mishap(seed: u64, mishap: Mishap) -> (Cluster, HostId) {
    let mishaps = vec![(secs(16), mishap)];
    let plan = Plan { source: Source { mishaps, ..Source::default() }, ..Plan::default() };
    let (mut cluster, viewer) = Cluster::playing(seed, &plan, secs(10));
    cluster.world.run_for(secs(1));
    (cluster, viewer)
}

/// How many discontinuities a playlist lists, and before which segment the last of them stands.
fn discontinuities((media, text): &(Media, String)) -> (usize, Option<u64>) {
    let tags = text.lines().filter(|line| *line == "#EXT-X-DISCONTINUITY").count();
    let last = media.segments.last().map_or(0, |segment| segment.discontinuity);
    let first = media.segments.iter().find(|segment| segment.discontinuity == last && tags > 0);
    (tags, first.map(|segment| segment.msn))
}

#[test]
fn another_decoder_configuration_is_announced_once_on_both_tracks() {
    for seed in 0..4 {
        let other = Source { name: 2, picture: Picture::Large, ..Source::default() };
        let plan = Plan { other_source: Some(other), ..Plan::default() };
        let (mut cluster, viewer) = Cluster::playing(seed, &plan, secs(10));
        cluster.world.crash(cluster.origin_a, Crash::Reset);
        cluster.world.run_for(secs(10));
        assert_eq!(cluster.switches()[1].joined, Joined::KeyFrame);

        let video = cluster.playlist(Kind::Video).expect("a video playlist");
        let audio = cluster.playlist(Kind::Audio).expect("an audio playlist");
        let (tags, at) = discontinuities(&video);
        assert_eq!((tags, at), discontinuities(&audio), "both tracks, the same segment");
        assert_eq!(tags, 1);
        let at = at.expect("a segment follows the discontinuity");
        for segment in &video.0.segments {
            let same = segment.map == video.0.segment(at).and_then(|after| after.map.clone());
            assert_eq!(same, segment.msn >= at, "a new init section from segment {at} on");
        }

        let before = video.0.first_discontinuity;
        cluster.world.run_for(secs(60));
        for kind in [Kind::Video, Kind::Audio] {
            let (media, text) = cluster.playlist(kind).expect("a playlist");
            assert_eq!(discontinuities(&(media.clone(), text)).0, 0, "it has left the window");
            assert_eq!(media.first_discontinuity, before.map(|count| count + 1), "and is counted");
        }
        let record = cluster.record(viewer);
        demand_consecutive(record);
        assert!(record.stalls.is_empty(), "seed {seed}: {:?}", record.stalls);
        Checks::unharmed(ms(700)).demand(&cluster.world);
    }
}

#[test]
fn an_encoder_that_reconnects_costs_the_time_to_its_next_key_frame() {
    for seed in 0..5 {
        let (mut cluster, viewer) = with_mishap(seed, Mishap::Reconnect);
        let since = cluster.world.now();
        cluster.world.run_for(secs(20));
        let waits =
            cluster.facts_since(since).filter(|fact| matches!(fact.event, Event::PublishInterrupted { .. }));
        assert_eq!(waits.count(), 2, "the stream loses its publisher at both origins");
        let switches = cluster.switches();
        assert_eq!(switches.len(), 2, "{switches:?}");
        assert_eq!(switches[1].joined, Joined::KeyFrame);
        assert!(switches[1].outage <= ms(1_200), "seed {seed}: {switches:?}");

        let record = cluster.record(viewer);
        demand_consecutive(record);
        assert!(losses(record, Kind::Video).lost <= 36, "about a second of frames was made and not sent");
        assert_eq!(losses(record, Kind::Video).repeats, 0);
        assert!(record.stalled(cluster.world.now()) <= ms(300), "{:?}", record.stalls);
        assert!(after_hole(record, Kind::Video).is_some_and(|part| part.starts_with_sync));
        Checks::unharmed(ms(1_700)).demand(&cluster.world);
    }
}

#[test]
fn an_encoder_that_is_restarted_goes_on_from_zero_without_the_viewer_noticing_more_than_the_pause() {
    for seed in 0..5 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(11));
        cluster.world.restart(cluster.encoder);
        cluster.world.run_for(secs(20));
        let record = cluster.record(viewer);
        demand_consecutive(record);
        assert_eq!(losses(record, Kind::Video).sources, 1, "the frames are those of the new run");
        assert_eq!(losses(record, Kind::Video).repeats, 0);
        assert!(record.stalled(cluster.world.now()) <= ms(300), "seed {seed}: {:?}", record.stalls);
        Checks::unharmed(ms(1_700)).demand(&cluster.world);
    }
}

#[test]
fn an_encoder_that_is_down_for_ten_seconds_leaves_a_hole_and_no_repetition() {
    for seed in 0..5 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(11));
        cluster.world.crash(cluster.encoder, Crash::Fin);
        cluster.world.run_for(secs(10));
        let back = cluster.world.now();
        cluster.world.restart(cluster.encoder);
        cluster.world.run_for(secs(25));
        let playing = cluster.switches().last().expect("the edge plays").at;
        assert!(playing > back && playing.since(back) <= ms(3_500), "seed {seed}: {:?}", cluster.switches());
        let (media, _) = cluster.playlist(Kind::Video).expect("a playlist");
        let gaps = media.segments.iter().filter(|segment| segment.gap).count();
        assert!((1..=3).contains(&gaps), "the segments in between are EXT-X-GAP: {gaps}");
        let record = cluster.record(viewer);
        assert_eq!(losses(record, Kind::Video).sources, 1);
        assert!(after_hole(record, Kind::Video).is_some_and(|part| part.starts_with_sync));
        Checks::unharmed(secs(15)).demand(&cluster.world);
    }
}

#[test]
fn timestamps_that_jump_forward_by_ten_seconds_leave_a_declared_hole_and_lose_no_frame() {
    for seed in 0..5 {
        let (mut cluster, viewer) = with_mishap(seed, Mishap::Jump(10_000));
        cluster.world.run_for(secs(20));
        assert_eq!(cluster.switches().len(), 1, "no origin is to blame");
        let (media, _) = cluster.playlist(Kind::Video).expect("a playlist");
        let gaps = media.segments.iter().filter(|segment| segment.gap).map(|segment| segment.duration_us);
        let hole: i64 = gaps.sum();
        assert!((4_000_000..=10_000_000).contains(&hole), "whole segments of it are EXT-X-GAP: {hole} us");
        let record = cluster.record(viewer);
        demand_every_frame(record);
        assert_eq!(record.jumps.len(), 1);
        assert!(record.stalled(cluster.world.now()) <= ms(300), "{:?}", record.stalls);
        Checks::unharmed(ms(700)).demand(&cluster.world);
    }
}

// Fails. The origin delivers nothing for 26 s: a publisher's feed that has to join anew is not
// told when its deadline has come, so it waits until 2048 packets are held.
#[test]
fn timestamps_that_jump_back_by_ten_seconds_are_a_new_start_at_the_next_key_frame() {
    for seed in 0..5 {
        let (mut cluster, viewer) = with_mishap(seed, Mishap::Jump(-10_000));
        cluster.world.run_for(secs(20));
        let record = cluster.record(viewer);
        demand_consecutive(record);
        assert_eq!(losses(record, Kind::Video).repeats, 0, "seed {seed}: {:?}", record.troubles);
        assert!(losses(record, Kind::Video).lost <= 30);
        Checks::unharmed(ms(1_700)).demand(&cluster.world);
    }
}

// Fails. An edge that is given the history of a silent stream a third time takes what it has
// delivered for news, because it is older than half of what it remembers: viewers get the last second again and again.
#[test]
fn an_encoder_that_sends_nothing_for_half_a_minute_shows_viewers_nothing_twice() {
    for seed in 0..3 {
        let (mut cluster, viewer) = with_mishap(seed, Mishap::Stall(secs(30)));
        cluster.world.run_for(secs(50));
        let record = cluster.record(viewer);
        assert_eq!(losses(record, Kind::Video).repeats, 0, "seed {seed}: {:?}", record.troubles);
        Checks::safety().demand(&cluster.world);
    }
}

// Fails. An origin tells its edges what a stream is when they ask, and not when it changes.
#[test]
fn pictures_of_another_size_in_mid_stream_are_announced_as_after_a_failover() {
    let (mut cluster, _) = with_mishap(1, Mishap::Picture(Picture::Large));
    cluster.world.run_for(secs(10));
    let video = cluster.playlist(Kind::Video).expect("a video playlist");
    let audio = cluster.playlist(Kind::Audio).expect("an audio playlist");
    assert_eq!(discontinuities(&video).0, 1);
    assert_eq!(discontinuities(&video), discontinuities(&audio));
    Checks::unharmed(ms(700)).demand(&cluster.world);
}

#[test]
fn a_second_encoder_of_a_name_is_refused_and_backs_off() {
    for seed in 0..3 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(5));
        let since = cluster.world.now();
        let other = Source { name: 2, ..Source::default() };
        cluster.add_encoder("second", &other, STREAM, &ORIGINS);
        cluster.world.run_for(secs(60));
        let refused: Vec<Time> = cluster
            .facts_of(cluster.origin_a)
            .filter(|fact| matches!(fact.event, Event::PublishRefused { .. }))
            .map(|fact| fact.at)
            .collect();
        assert!((10..=17).contains(&refused.len()), "{} attempts in a minute", refused.len());
        let last = refused[refused.len() - 1].since(refused[refused.len() - 2]);
        assert!(last >= ms(4_900), "it comes back every five seconds: {last:?}");
        demand_every_frame(cluster.record(viewer));
        assert_eq!(
            cluster
                .facts_since(since)
                .filter(|fact| matches!(fact.event, Event::PublishEnded { .. }))
                .count(),
            0
        );

        cluster.world.crash(cluster.encoder, Crash::Fin);
        cluster.world.run_for(secs(20));
        let record = cluster.record(viewer);
        assert_eq!(
            losses(record, Kind::Video).sources,
            1,
            "seed {seed}: the second takes the name when it is free"
        );
        Checks::unharmed(secs(10)).demand(&cluster.world);
    }
}

// Fails. PacketSilenceTimeoutMs is off unless configured, so that the dead publisher keeps the name.
#[test]
fn an_encoder_that_lost_power_gets_its_name_back() {
    for seed in 0..3 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
        cluster.world.crash(cluster.encoder, Crash::Silent);
        cluster.world.run_for(secs(10));
        cluster.world.restart(cluster.encoder);
        cluster.world.run_for(secs(50));
        assert_eq!(losses(cluster.record(viewer), Kind::Video).sources, 1, "seed {seed}: nothing new to see");
        Checks::safety().demand(&cluster.world);
    }
}
