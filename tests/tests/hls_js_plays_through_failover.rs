//! What a person sees when the origin that feeds their edge is lost: hls.js in low-latency mode in a real browser,
//! one encoder feeding two origins, the edge pulling from the first.

use std::thread;
use std::time::Duration;

use headwater_tests::chromium::{HlsJs, Picture, Report};
use headwater_tests::cluster::Cluster;
use headwater_tests::config::EdgePlan;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::machine;
use headwater_tests::process::Process;
use headwater_tests::viewer;

const PATIENCE: Duration = Duration::from_secs(30);
/// Media played before the origin is lost.
const BEFORE_S: f64 = 10.0;
/// How long is watched afterwards.
const AFTER: Duration = Duration::from_secs(20);
/// Two pictures that are less than this apart pass for a moving picture.
const SEAMLESS_S: f64 = 0.25;
/// What a busy machine may add to any time.
const GRACE: Duration = Duration::from_secs(2);

/// 24 frames of AAC at 48 kHz. With half a second a part holds 23, and each segment ends with a part of two frames, which hls.js
/// leaves out now and then; it jumps over the hole, whatever origins do.
const EVEN_PARTS_S: f64 = 0.512;

/// How the active origin is lost.
const KILL: fn(&mut Process) = |origin| origin.kill();
const FREEZE: fn(&mut Process) = |origin| origin.freeze().expect("the origin runs");

#[test]
fn hls_js_plays_through_a_killed_origin() {
    let report = watch_the_loss(|_| {}, KILL).report;
    assert!(report.longest_stall() < GRACE, "a killed origin is noticed at once: {:?}", report.all);
}

#[test]
fn hls_js_plays_through_a_frozen_origin_with_a_timeout_of_1500_ms() {
    let report = watch_the_loss(|plan| plan.no_input_failover_ms = Some(1_500), FREEZE).report;
    assert!(report.longest_stall() < Duration::from_millis(1_500) + GRACE, "{:?}", report.all);
}

#[test]
fn hls_js_plays_through_a_frozen_origin_with_the_default_timeout() {
    let report = watch_the_loss(|_| {}, FREEZE).report;
    assert!(report.longest_stall() < Duration::from_millis(3_000) + GRACE, "{:?}", report.all);
}

#[test]
fn hls_js_notices_nothing_when_an_origin_with_a_standby_is_killed() {
    nothing_is_noticed(KILL, "pull_lost");
}

#[test]
fn hls_js_notices_nothing_when_an_origin_with_a_standby_is_frozen() {
    nothing_is_noticed(FREEZE, "standby_covers");
}

/// With a standby there is not even a picture that comes late, beyond what a browser on a busy machine does by itself.
fn nothing_is_noticed(lose: fn(&mut Process), event: &str) {
    let Watched { report, pictures, lost_at_s, edge_log } =
        watch_the_loss(|plan| (plan.hot_standby, plan.part_seconds) = (Some(1), EVEN_PARTS_S), lose);
    let (ready, lost) = (edge_log.find("standby_ready"), edge_log.rfind(event));
    assert!(ready.is_some() && ready < lost, "no {event} after standby_ready: {edge_log}");
    // A player that begins with a stream that has just begun may stumble; that is over by now.
    for what in ["stalls", "jumps", "log", "fatal"] {
        let since = report.since(lost_at_s, what);
        assert!(since.is_empty(), "{what}: {since:?}");
    }

    let (before, after): (Vec<Picture>, Vec<Picture>) = pictures.iter().partition(|it| it.at_s < lost_at_s);
    let after = &[&before[before.len().saturating_sub(1)..], &after[..]].concat();
    for (when, pictures) in [("before", &before), ("after", after)] {
        let (gap, step) = (longest(pictures, |it| it.at_s), longest(pictures, |it| it.media_s));
        println!(
            "{when} the loss: {} pictures, {:.0} ms between two at most, {:.0} ms of media",
            pictures.len(),
            1e3 * gap,
            1e3 * step
        );
    }
    assert!(longest(after, |it| it.at_s) < SEAMLESS_S, "{:?}", report.all);
    assert!(longest(after, |it| it.media_s) < SEAMLESS_S, "{:?}", report.all);
    let goes_back = after.windows(2).find(|pair| pair[1].media_s <= pair[0].media_s);
    assert!(goes_back.is_none(), "{goes_back:?}");
}

/// What lies between two pictures at most.
fn longest(pictures: &[Picture], at: impl Fn(&Picture) -> f64) -> f64 {
    pictures.windows(2).map(|pair| at(&pair[1]) - at(&pair[0])).fold(0.0, f64::max)
}

/// What a page has seen of a loss.
struct Watched {
    report: Report,
    pictures: Vec<Picture>,
    /// When the origin was lost, in seconds since the page began.
    lost_at_s: f64,
    edge_log: String,
}

/// Plays, loses the active origin by `lose`, plays on. Whatever the loss, hls.js must not give up, must show new
/// pictures at the end, and must be near live again.
fn watch_the_loss(change: impl FnOnce(&mut EdgePlan), lose: fn(&mut Process)) -> Watched {
    let _machine = machine::alone();
    let mut cluster = Cluster::start_with(2, change).expect("a cluster");
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
    let pictures = player.pictures().expect("the page answers");
    let lost_at_s = before.all["now_s"].as_f64().expect("a number");
    Watched { report: after, pictures, lost_at_s, edge_log: cluster.edge.process.log() }
}
