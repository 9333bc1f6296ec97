//! An encoder is killed and started again while a viewer watches at an edge that has no other origin.

use std::thread;
use std::time::{Duration, Instant};

use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::machine;
use headwater_tests::viewer::{Track, Viewer};

const PATIENCE: Duration = Duration::from_secs(20);
/// How long there is no encoder.
const AWAY: Duration = Duration::from_secs(1);
/// A part, the new encoder's way to its first key frame, the edge's way back, and the time that a busy machine may add.
const AFTERWARDS: Duration = Duration::from_millis(4_000);

#[test]
fn an_encoder_that_is_killed_and_started_again_goes_on_with_its_stream() {
    let _machine = machine::alone();
    let cluster = Cluster::start(1).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let clip = Source::demo_clip();
    let mut publisher = Publisher::start("ffmpeg", &clip, &urls, cluster.dir()).expect("ffmpeg");
    let viewer = Viewer::start(&cluster.playlist_url("stream"), PATIENCE).expect("a playlist");
    viewer.wait_for(Track::Main, 6, PATIENCE).expect("parts before the loss");
    publisher.process.kill();
    thread::sleep(AWAY);
    let before = viewer.seen().arrivals.len();
    let _publisher = Publisher::start("ffmpeg-again", &clip, &urls, cluster.dir()).expect("ffmpeg");
    thread::sleep(Duration::from_secs(6));
    let until = Instant::now();
    let seen = viewer.stop();
    let gap = seen.longest_gap(Track::Main, until);
    println!("longest gap between parts: {gap:?}, holes: {:?}", seen.holes(Track::Main));
    let log = cluster.origins[0].server.process.log();
    assert!(gap < AWAY + AFTERWARDS, "{gap:?}\n{log}");
    assert!(seen.arrivals.len() > before + 8, "the picture goes on");
    assert_eq!(seen.failures, Vec::<String>::new(), "the edge answers every request");
    assert!(log.contains("publish_resumed") && !log.contains("publish_ended"), "{log}");
}
