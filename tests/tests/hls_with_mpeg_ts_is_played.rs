//! HLS with MPEG-TS segments at an edge: what ffmpeg, ffprobe and hls.js make of it.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use headwater_tests::chromium::HlsJs;
use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{self, Publisher, Source};
use headwater_tests::{http, machine, viewer};

const PATIENCE: Duration = Duration::from_secs(30);
/// What ffmpeg reads of the live stream.
const READ_S: usize = 8;

#[test]
fn ffmpeg_reads_hls_without_a_complaint() {
    let _machine = machine::shared();
    let cluster = Cluster::start_with(1, |plan| plan.hls = true).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::Generated, &urls, cluster.dir()).expect("ffmpeg");
    let url = cluster.ts_playlist_url("stream");
    viewer::open(&cluster.playlist_url("stream"), PATIENCE).expect("the stream is there");

    let found = ffmpeg::probe(&url, 30).expect("ffprobe understands the edge");
    let video = ffmpeg::stream(&found, "video").expect("a video track");
    assert_eq!((&video["codec_name"], &video["width"]), (&"h264".into(), &640.into()));
    let audio = ffmpeg::stream(&found, "audio").expect("an audio track");
    assert_eq!((&audio["codec_name"], &audio["sample_rate"]), (&"aac".into(), &"48000".into()));

    // Every frame decoded, with a checksum each; debug messages tell of a counter that breaks.
    let read = Command::new("timeout")
        .args(["60", "ffmpeg", "-nostdin", "-v", "debug", "-i", &url, "-t", &READ_S.to_string()])
        .args(["-map", "0:v:0", "-map", "0:a:0", "-f", "framecrc", "-"])
        .output()
        .expect("ffmpeg runs");
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{said}");
    let bad = [
        "Continuity check failed",
        "corrupt",
        "non-existing",
        "Invalid",
        "error while decoding",
        "Non-monotonic",
    ];
    for word in bad {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(word)).collect();
        assert_eq!(lines, [""; 0]);
    }
    let frames = String::from_utf8_lossy(&read.stdout);
    let of = |stream: &str| frames.lines().filter(|line| line.starts_with(stream)).count();
    let (pictures, sounds) = (of("0,"), of("1,"));
    println!("{pictures} pictures and {sounds} frames of sound in {READ_S} s");
    assert!(pictures.abs_diff(READ_S * 30) <= 3, "{pictures} pictures");
    assert!(sounds.abs_diff(READ_S * 48_000 / 1_024) <= 5, "{sounds} frames of sound");
}

#[test]
fn hls_js_plays_hls() {
    let _machine = machine::alone();
    let cluster = Cluster::start_with(1, |plan| plan.hls = true).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    viewer::open(&cluster.playlist_url("stream"), PATIENCE).expect("the stream is there");
    let url = cluster.ts_playlist_url("stream");
    wait_for_segments(&url, 4);

    let mut player = HlsJs::play(&url).expect("a browser");
    let report = player.wait_until_played(20.0, 2 * PATIENCE).expect("hls.js plays");
    println!("stalls {:?}, {} pictures, errors {}", report.stalls, report.frames, report.all["errors"]);
    assert_eq!(report.fatal, Vec::<String>::new(), "{:?}", report.all);
    assert_eq!(report.all["log"].as_array().map(Vec::as_slice), Some(&[][..]), "{:?}", report.all);
    assert_eq!(report.all["buffered"].as_array().map(Vec::len), Some(1), "no holes: {:?}", report.all);
    assert_eq!(report.stalls, Vec::<Duration>::new(), "{:?}", report.all);
}

/// Waits until the stream at `url` has so many segments: with fewer a player begins at the live edge and stalls.
fn wait_for_segments(url: &str, segments: usize) {
    let (authority, path) = http::split_url(url).expect("a URL");
    let mut client = http::Client::new(authority, PATIENCE);
    let mut get = |path: &str| client.get(path).expect("a playlist").text();
    let media = http::resolve(path, get(path).lines().last().expect("a media playlist"));
    let started = Instant::now();
    while get(&media).matches("#EXTINF").count() < segments {
        assert!(started.elapsed() < PATIENCE, "{media}: {}", get(&media));
        thread::sleep(Duration::from_millis(200));
    }
}
