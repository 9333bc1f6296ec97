//! SIGHUP under load: the configuration is taken whole or not at all, and who watches does not notice.

use std::fs;
use std::time::{Duration, Instant};

use headwater_tests::cluster::Cluster;
use headwater_tests::config::APP;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::http::Client;
use headwater_tests::machine;
use headwater_tests::viewer::{Track, Viewer};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_good_file_counts_a_broken_one_does_not_and_who_watches_does_not_notice() {
    let _machine = machine::shared();
    let mut cluster = Cluster::start(1).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    let viewer = Viewer::start(&cluster.playlist_url("stream"), PATIENCE).expect("a playlist");
    viewer.wait_for(Track::Main, 4, PATIENCE).expect("video parts");
    let file = cluster.dir().join("edge.xml");
    let good = fs::read_to_string(&file).expect("a configuration");

    fs::write(&file, good.replace("<Origins>", "<Orgins>")).expect("a file");
    reload(&mut cluster, "configuration_refused");
    let log = cluster.edge.process.log();
    assert!(
        log.contains("edge.xml:31:") && log.contains("Write </Orgins>"),
        "the line and the remedy: {log}"
    );

    let mut client = Client::new(&cluster.http_authority(), PATIENCE);
    let mut other = |path: &str| client.get(&format!("/{path}/stream/llhls.m3u8")).expect("an answer").status;
    assert_eq!((other(APP), other("new")), (200, 404));
    let new = good.replace(&format!("<Name>{APP}</Name>"), "<Name>new</Name>");
    let new = new.replace(&format!("<Location>/{APP}/</Location>"), "<Location>/new/</Location>");
    fs::write(&file, new).expect("a file");
    for _ in 0..50 {
        cluster.edge.process.hang_up().expect("it runs");
    }
    reload(&mut cluster, "configured");
    // The running stream is there still; the new application finds the origin's stream by the new rule.
    let started = Instant::now();
    while other("new") != 200 {
        assert!(started.elapsed() < PATIENCE, "{}", cluster.edge.process.log());
    }
    assert_eq!(other(APP), 200);
    viewer.wait_for(Track::Main, viewer.seen().arrivals.len() + 4, PATIENCE).expect("more parts");
    let seen = viewer.stop();
    assert!(seen.failures.is_empty() && seen.holes(Track::Main).is_empty(), "{:?}", seen.failures);
}

/// SIGHUP, until the log says `word`.
fn reload(cluster: &mut Cluster, word: &str) {
    cluster.edge.process.hang_up().expect("it runs");
    let started = Instant::now();
    while !cluster.edge.process.log().contains(word) {
        assert!(started.elapsed() < PATIENCE, "no {word:?}: {}", cluster.edge.process.log());
    }
}
