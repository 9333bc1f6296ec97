//! What a person sees when the origin that feeds their edge is lost: hls.js in low-latency mode in a real browser,
//! one encoder feeding two origins, the edge pulling from the first.

use std::thread;
use std::time::Duration;

use headwater_tests::chromium::{HlsJs, Report};
use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::machine;
use headwater_tests::process::Process;
use headwater_tests::viewer;

const PATIENCE: Duration = Duration::from_secs(30);
/// Media played before the origin is lost.
const BEFORE_S: f64 = 10.0;
/// How long is watched afterwards.
const AFTER: Duration = Duration::from_secs(20);
/// What a busy machine may add to any time.
const GRACE: Duration = Duration::from_secs(2);

#[test]
fn hls_js_plays_through_a_killed_origin() {
    let report = watch_the_loss(None, |origin| origin.kill());
    assert!(report.longest_stall() < GRACE, "a killed origin is noticed at once: {:?}", report.all);
}

#[test]
fn hls_js_plays_through_a_frozen_origin_with_a_timeout_of_1500_ms() {
    let report = watch_the_loss(Some(1_500), |origin| origin.freeze().expect("the origin runs"));
    assert!(report.longest_stall() < Duration::from_millis(1_500) + GRACE, "{:?}", report.all);
}

#[test]
fn hls_js_plays_through_a_frozen_origin_with_the_default_timeout() {
    let report = watch_the_loss(None, |origin| origin.freeze().expect("the origin runs"));
    assert!(report.longest_stall() < Duration::from_millis(3_000) + GRACE, "{:?}", report.all);
}

/// Plays, loses the active origin by `lose`, plays on. Whatever the loss, hls.js must not give up, must show new
/// pictures at the end, and must be near live again.
fn watch_the_loss(no_input_failover_ms: Option<u32>, lose: fn(&mut Process)) -> Report {
    let _machine = machine::alone();
    let mut cluster =
        Cluster::start_with(2, |plan| plan.no_input_failover_ms = no_input_failover_ms).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    let url = cluster.playlist_url("stream");
    viewer::open(&url, PATIENCE).expect("the stream is there");

    let mut player = HlsJs::play(&url).expect("a browser");
    let before = player.wait_until_played(BEFORE_S, PATIENCE).expect("hls.js plays");
    lose(&mut cluster.origins[0].server.process);
    thread::sleep(AFTER);
    let after = player.report().expect("the page answers");

    println!(
        "stalls {:?}, jumps {}, latency {:.1} s, dropped {} of {} pictures, errors {}",
        after.stalls,
        after.all["jumps"],
        after.latency.as_secs_f64(),
        after.all["dropped"],
        after.frames,
        after.all["errors"]
    );
    println!("{:#}", after.all["log"]);
    println!("{:#}", after.all["stalls"]);
    assert_eq!(after.fatal, Vec::<String>::new(), "hls.js gave up: {:?}", after.all);
    let played = after.current_time - before.current_time;
    let slack = after.longest_stall() + GRACE + GRACE;
    assert!(
        played > (AFTER.saturating_sub(slack)).as_secs_f64(),
        "only {played:.1} s played: {:?}",
        after.all
    );
    assert!(after.frames > before.frames + 400, "the picture moves: {:?}", after.all);
    assert!(after.latency < Duration::from_secs(10), "near live again: {:?}", after.all);
    after
}
