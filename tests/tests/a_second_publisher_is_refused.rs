//! Two encoders, one stream name, one origin: the first one keeps it, the second one is told.

use std::time::{Duration, Instant};

use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::machine;
use headwater_tests::viewer::{Track, Viewer};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_second_publisher_of_a_name_is_refused_with_a_message() {
    let _machine = machine::shared();
    let cluster = Cluster::start(1).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let mut first = Publisher::start("first", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    let viewer = Viewer::start(&cluster.playlist_url("stream"), PATIENCE).expect("a playlist");
    viewer.wait_for(Track::Main, 4, PATIENCE).expect("video parts");

    let mut second = Publisher::start("second", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    let status = second.process.wait(Duration::from_secs(10)).expect("the second publisher gives up");
    assert!(!status.success());
    let log = second.process.log();
    // ffmpeg prints the description of an error status after these words.
    assert!(log.contains("Server error"), "the second publisher is told why:\n{log}");

    viewer.wait_for(Track::Main, 10, PATIENCE).expect("the first publisher's parts go on");
    assert!(first.process.is_running());
    let until = Instant::now();
    let seen = viewer.stop();
    assert_eq!((seen.failures.clone(), seen.jumps(Track::Main)), (Vec::new(), Vec::new()));
    assert!(seen.longest_gap(Track::Main, until) < Duration::from_millis(1_500));
}
