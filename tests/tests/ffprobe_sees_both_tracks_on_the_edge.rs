//! The plainest path: ffmpeg in at the origin, ffprobe out at the edge.

use std::time::Duration;

use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{self, Publisher, Source};
use headwater_tests::machine;
use headwater_tests::viewer::{Track, Viewer};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn ffprobe_sees_both_tracks_on_the_edge() {
    let _machine = machine::shared();
    let cluster = Cluster::start(1).expect("a cluster");
    let _publisher =
        Publisher::start("ffmpeg", &Source::Generated, &cluster.publish_urls("stream"), cluster.dir())
            .expect("ffmpeg");
    let url = cluster.playlist_url("stream");
    let viewer = Viewer::start(&url, PATIENCE).expect("a playlist");
    viewer.wait_for(Track::Main, 4, PATIENCE).expect("video parts");
    viewer.wait_for(Track::Audio, 4, PATIENCE).expect("audio parts");

    let found = ffmpeg::probe(&url, 30).expect("ffprobe understands the edge");
    let video = ffmpeg::stream(&found, "video").expect("a video track");
    assert_eq!(video["codec_name"], "h264");
    assert_eq!((&video["width"], &video["height"]), (&640.into(), &360.into()));
    let audio = ffmpeg::stream(&found, "audio").expect("an audio track");
    assert_eq!((&audio["codec_name"], &audio["sample_rate"]), (&"aac".into(), &"48000".into()));
    assert_eq!(audio["channels"], 2);
    assert_eq!(viewer.stop().failures, Vec::<String>::new());
}
