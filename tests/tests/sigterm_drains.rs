//! SIGTERM under load: an origin goes when its edge is elsewhere, an edge serves who watches, and nobody notices. Every
//! server ends by itself, without an error, and gives its ports back.

use std::time::Duration;

use headwater_tests::cluster::{Cluster, Server};
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::http::{Client, split_url};
use headwater_tests::machine;
use headwater_tests::viewer::{Track, Viewer};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn sigterm_lets_a_busy_origin_and_a_busy_edge_go_and_no_viewer_notices() {
    let _machine = machine::shared();
    let mut cluster = Cluster::start(2).expect("a cluster");
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    let viewer = Viewer::start(&cluster.playlist_url("stream"), PATIENCE).expect("a playlist");
    viewer.wait_for(Track::Main, 4, PATIENCE).expect("video parts");

    // An edge that was sent away could come back for three seconds.
    ends(&mut cluster.origins[0].server, Duration::from_secs(8));
    assert!(cluster.origins[0].server.process.log().contains("nobody needs it"));

    cluster.edge.process.ask_to_go().expect("it runs");
    viewer.wait_for(Track::Main, viewer.seen().arrivals.len() + 4, PATIENCE).expect("more parts");
    let (url, mut client) =
        (cluster.playlist_url("stream"), Client::new(&cluster.http_authority(), PATIENCE));
    for path in ["/readyz", split_url(&url).expect("a URL").1] {
        assert_eq!(client.get(path).expect("an answer").status, 503, "{path}");
    }
    assert_eq!(client.get("/healthz").expect("an answer").status, 200);
    let seen = viewer.stop();
    assert!(seen.failures.is_empty() && seen.holes(Track::Main).is_empty(), "{:?}", seen.failures);

    // The second one.
    ends(&mut cluster.edge, Duration::from_secs(5));
    cluster.edge.restart().expect("the edge's ports are free again");
    cluster.origins[0].server.restart().expect("the origin's ports are free again");
}

/// SIGTERM, and the end within `patience`.
fn ends(server: &mut Server, patience: Duration) {
    let status = server.process.terminate(patience).expect("it ends");
    assert!(status.success(), "{status}:\n{}", server.process.log());
    assert!(!server.process.log().contains("panicked"), "{}", server.process.log());
}
