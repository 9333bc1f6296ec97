//! The browser helper itself: a helper that could not see a stall would let everything pass.

use std::time::Duration;

use headwater_tests::binary::workspace;
use headwater_tests::chromium::HlsJs;
use headwater_tests::ffmpeg;
use headwater_tests::machine;
use headwater_tests::page::PageServer;

#[test]
fn hls_js_plays_a_recording_and_its_end_is_seen_as_a_stall() {
    let _machine = machine::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let playlist = dir.path().join("clip.m3u8");
    let clip = workspace().join("net-real/assets/clip.flv");
    let text = |path: &std::path::Path| path.to_str().expect("the path is text").to_owned();
    // Without an end tag, as a live stream whose server has gone quiet.
    let arguments =
        ["-i", &text(&clip), "-c", "copy", "-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", "2"];
    let rest = ["-hls_list_size", "0", "-hls_flags", "omit_endlist", &text(&playlist)];
    ffmpeg::run(&[&arguments[..], &rest[..]].concat()).expect("ffmpeg packages the clip");

    let page = PageServer::start(dir.path()).expect("a page server");
    let url = page.file_url("clip.m3u8");
    let mut player = HlsJs::play_from(page, &url).expect("a browser");
    let report = player.wait_until_played(1.0, Duration::from_secs(30)).expect("it plays");
    assert_eq!(report.fatal, Vec::<String>::new());
    assert!(report.longest_stall() < Duration::from_secs(1), "{:?}", report.all);

    std::thread::sleep(Duration::from_secs(9));
    let report = player.report().expect("the page answers");
    assert!(report.longest_stall() > Duration::from_secs(1), "the clip is over: {:?}", report.all);
}

#[test]
fn a_playlist_that_is_not_there_is_a_fatal_error() {
    let _machine = machine::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let page = PageServer::start(dir.path()).expect("a page server");
    let url = page.file_url("absent.m3u8");
    let mut player = HlsJs::play_from(page, &url).expect("a browser");
    let error = player.wait_until_played(1.0, Duration::from_secs(4)).expect_err("there is nothing to play");
    assert!(error.to_string().contains("manifestLoadError"), "{error}");
}
