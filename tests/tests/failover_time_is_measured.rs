//! How long the parts of an edge stop when its origin is lost. (An OvenMediaEngine 0.20.0 edge: 0.51 to 0.57 s
//! between parts of 0.5 s after SIGKILL, 3.27 s after SIGSTOP with the default timeout.)

use std::thread;
use std::time::{Duration, Instant};

use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::machine;
use headwater_tests::process::Process;
use headwater_tests::viewer::{Seen, Track, Viewer};

const PATIENCE: Duration = Duration::from_secs(30);
const ROUNDS: u32 = 3;
/// A part, and the time that a busy machine may add.
const PART_AND_GRACE: Duration = Duration::from_millis(1_500);

#[test]
fn failover_time_is_measured() {
    let _machine = machine::alone();
    for round in 0..ROUNDS {
        // Not always at the same place of a part.
        let phase = Duration::from_millis(u64::from(round) * 170);
        let seen = lose_the_origin(None, phase, Process::kill);
        assert!(report("SIGKILL", &seen.0, seen.1) < PART_AND_GRACE);
    }
    let seen = lose_the_origin(None, Duration::ZERO, |origin| origin.freeze().expect("the origin runs"));
    let gap = report("SIGSTOP, NoInputFailoverTimeout 3000", &seen.0, seen.1);
    assert!(gap < Duration::from_millis(3_000) + PART_AND_GRACE);
}

/// What a viewer saw, and when it was asked.
fn lose_the_origin(timeout_ms: Option<u32>, phase: Duration, lose: fn(&mut Process)) -> (Seen, Instant) {
    let mut cluster =
        Cluster::start_with(2, |plan| plan.no_input_failover_ms = timeout_ms).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    let viewer = Viewer::start(&cluster.playlist_url("stream"), PATIENCE).expect("a playlist");
    viewer.wait_for(Track::Main, 8, PATIENCE).expect("parts before the loss");
    viewer.wait_for(Track::Audio, 8, PATIENCE).expect("parts before the loss");
    thread::sleep(phase);
    lose(&mut cluster.origins[0].server.process);
    thread::sleep(Duration::from_secs(8));
    let until = Instant::now();
    (viewer.stop(), until)
}

fn report(loss: &str, seen: &Seen, until: Instant) -> Duration {
    let [video, audio] = [Track::Main, Track::Audio].map(|track| seen.longest_gap(track, until));
    println!("{loss}: longest gap between parts: video {video:?}, audio {audio:?}");
    println!("  jumps: video {:?}, audio {:?}", seen.jumps(Track::Main), seen.jumps(Track::Audio));
    println!("  holes: video {:?}, audio {:?}", seen.holes(Track::Main), seen.holes(Track::Audio));
    assert_eq!(seen.failures, Vec::<String>::new(), "the edge answers every request");
    video.max(audio)
}
