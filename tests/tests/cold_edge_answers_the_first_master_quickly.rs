//! The first viewer of a stream at an edge that does not hold it. (OvenMediaEngine 0.20.0 takes 6.5 s and often says
//! 404, because it waits for a whole segment.)

use std::time::{Duration, Instant};

use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::http::{Client, split_url};
use headwater_tests::machine;
use headwater_tests::ovt;
use headwater_tests::viewer::{Track, Viewer};
use headwater_tests::{config::APP, m3u8};

#[test]
fn cold_edge_answers_the_first_master_quickly() {
    let _machine = machine::alone();
    let cluster = Cluster::start_with(1, |plan| plan.segment_seconds = 6.0).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    wait_until_published(&cluster.origins[0].ovt_authority());

    let url = cluster.playlist_url("stream");
    let (authority, path) = split_url(&url).expect("an http URL");
    let asked = Instant::now();
    let response = Client::new(authority, Duration::from_secs(15)).get(path).expect("an answer");
    let took = asked.elapsed();
    println!("the first master of a cold edge: {} after {took:?}", response.status);
    assert_eq!(response.status, 200, "at the first request: {}", response.text());
    m3u8::master(&response.text()).expect("a multivariant playlist");
    assert!(took < Duration::from_secs(2), "{took:?}");

    let viewer = Viewer::start(&url, Duration::from_secs(1)).expect("the master again");
    viewer.wait_for(Track::Main, 1, Duration::from_secs(10)).expect("a first part");
    println!("the first part: {:?} after the first request", asked.elapsed());
}

/// Asks the origin itself, so that the edge stays cold.
fn wait_until_published(origin: &str) {
    let started = Instant::now();
    let path = format!("{APP}/stream");
    while let Err(error) =
        ovt::Reader::play(origin, &path, Duration::from_secs(5)).and_then(|mut r| r.next_packet())
    {
        assert!(started.elapsed() < Duration::from_secs(15), "the origin has no stream: {error:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
