//! Viewers over TLS: curl and a browser, HTTP/2 by ALPN, and a certificate that is renewed while they watch.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use headwater_tests::certificate::Certificate;
use headwater_tests::chromium::HlsJs;
use headwater_tests::cluster::Cluster;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::http::resolve;
use headwater_tests::{m3u8, machine, viewer};

const PATIENCE: Duration = Duration::from_secs(30);

fn watched() -> (Cluster, Publisher, String) {
    let cluster =
        Cluster::start_with(1, |plan| plan.https = Some(machine::free_port())).expect("a cluster with TLS");
    let urls = cluster.publish_urls("stream");
    let publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    viewer::open(&cluster.playlist_url("stream"), PATIENCE).expect("the stream is there");
    let url = cluster.secure_url("stream").expect("a port for TLS");
    (cluster, publisher, url)
}

/// What curl says, which trusts the certificate at `trusted` and nothing else; `None` if it gives up.
fn curl(trusted: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert"])
        .arg(trusted)
        .args(arguments);
    let output = command.output().expect("curl starts");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_and_a_browser_watch_over_http_2() {
    let _machine = machine::alone();
    let (cluster, _publisher, url) = watched();
    let trusted = cluster.dir().join("edge.crt");
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let said = curl(&trusted, &[flag, "--output", "/dev/null", "--write-out", "%{http_version}", &url]);
        assert_eq!(said.as_deref(), Some(version), "{flag}");
    }

    let master = m3u8::master(&curl(&trusted, &[&url]).expect("a master playlist")).expect("is one");
    let chunklist = resolve(&url, &master.variants[0]);
    let media = m3u8::media(&curl(&trusted, &[&chunklist]).expect("a media playlist")).expect("is one");
    let (msn, part) = media.next();
    let init = resolve(&chunklist, media.map.as_deref().expect("an init section"));
    let reload = format!("{chunklist}?_HLS_msn={msn}&_HLS_part={}", part + 2);
    // One connection: the reload is held, and the others come and go meanwhile.
    let mut arguments =
        vec!["--http2", "--parallel", "--write-out", "%{http_version} %{num_connects} %{url}\\n"];
    for other in [&reload, &init, &url, &init] {
        arguments.extend(["--output", "/dev/null", other.as_str()]);
    }
    let said = curl(&trusted, &arguments).expect("all are answered");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines.iter().all(|line| line.starts_with("2 ")), "{said}");
    assert!(lines[3].ends_with(&reload), "the one that is held is answered last: {said}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("2 1 ")).count(), 1, "one connection: {said}");

    let mut player = HlsJs::play(&url).expect("a browser");
    let report = player.wait_until_played(8.0, PATIENCE).expect("hls.js plays");
    assert!(report.fatal.is_empty(), "{:?}", report.fatal);
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let _machine = machine::shared();
    let (mut cluster, _publisher, url) = watched();
    let old = cluster.dir().join("edge.crt");
    std::fs::copy(&old, cluster.dir().join("old.crt")).expect("a copy");
    let old = cluster.dir().join("old.crt");
    assert!(curl(&old, &[&url]).is_some());

    std::fs::write(cluster.dir().join("edge.key"), "no key").expect("a file");
    cluster.edge.process.hang_up().expect("the edge runs");
    let told = |cluster: &Cluster, word: &str| {
        let started = Instant::now();
        while !cluster.edge.process.log().contains(word) {
            assert!(started.elapsed() < PATIENCE, "nothing is said of {word}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    told(&cluster, "certificate_refused");
    let log = cluster.edge.process.log();
    assert!(log.contains("edge.xml:") && log.contains("edge.key holds no private key in PEM"), "{log}");
    assert!(curl(&old, &[&url]).is_some(), "the old one is shown");

    Certificate::issue("127.0.0.1").and_then(|new| new.write(cluster.dir(), "edge")).expect("files");
    told(&cluster, "certificate_renewed");
    let new = cluster.dir().join("edge.crt");
    assert!(curl(&new, &[&url]).is_some(), "the new one is shown");
    assert!(curl(&old, &[&url]).is_none(), "and the old one is not");
}
