//! SIGTERM under load: every server ends by itself, without an error, and gives its ports back.

use std::time::Duration;

use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::machine;
use headwater_tests::viewer::{Track, Viewer};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn sigterm_ends_a_busy_edge_and_a_busy_origin_cleanly() {
    let _machine = machine::shared();
    let mut cluster = Cluster::start(1).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    let viewer = Viewer::start(&cluster.playlist_url("stream"), PATIENCE).expect("a playlist");
    viewer.wait_for(Track::Main, 4, PATIENCE).expect("video parts");

    for server in [&mut cluster.edge, &mut cluster.origins[0].server] {
        let status = server.process.terminate(Duration::from_secs(5)).expect("it ends");
        assert!(status.success(), "{status}:\n{}", server.process.log());
        assert!(!server.process.log().contains("panicked"), "{}", server.process.log());
    }
    cluster.edge.restart().expect("the edge's ports are free again");
    cluster.origins[0].server.restart().expect("the origin's ports are free again");
}
