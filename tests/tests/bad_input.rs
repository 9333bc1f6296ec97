//! What comes from outside and is wrong, on every port, while somebody watches: the watcher must not notice.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use headwater_tests::cluster::Cluster;
use headwater_tests::config::APP;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::http::Client;
use headwater_tests::machine;
use headwater_tests::ovt::EmptyOrigin;
use headwater_tests::viewer::{Track, Viewer};

const PATIENCE: Duration = Duration::from_secs(30);
/// Parts have 0.5 s; more than this between two of them is a disturbance, even on a busy machine.
const GAP_MAX: Duration = Duration::from_millis(1_500);

#[test]
fn random_bytes_on_every_port_disturb_nobody() {
    undisturbed(|cluster| {
        let mut rng = Rng::with_seed(1);
        for round in 0..100 {
            for port in cluster.ports() {
                let mut bytes = vec![0; 1 << (round % 14)];
                bytes.fill_with(|| rng.u8(..));
                send(port, &bytes);
            }
        }
    });
}

#[test]
fn beginnings_of_protocols_that_break_off_disturb_nobody() {
    let describe = include_bytes!("../../vectors/ovt/not-found/client_to_server.bin");
    let mut hello = vec![3];
    hello.resize(1 + 1536, 0);
    let get = format!("GET /{APP}/stream/llhls.m3u8 HTTP/1.1\r\nHost: edge\r\n\r\n");
    undisturbed(|cluster| {
        let rtmp_and_ovt = cluster.origins[0].server.ports().to_vec();
        for (port, start) in [
            (rtmp_and_ovt[0], hello.as_slice()),
            (rtmp_and_ovt[1], describe.as_slice()),
            (cluster.edge.ports()[0], get.as_bytes()),
        ] {
            let step = (start.len() / 100).max(1);
            for end in (0..start.len()).step_by(step) {
                send(port, &start[..end]);
            }
        }
    });
}

#[test]
fn a_protocol_on_the_wrong_port_disturbs_nobody() {
    let describe = include_bytes!("../../vectors/ovt/not-found/client_to_server.bin");
    undisturbed(|cluster| {
        for port in cluster.ports() {
            send(port, describe);
            send(port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            send(port, &[3; 1 + 1536 + 1536]);
            send(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        }
    });
}

#[test]
fn an_ovt_message_without_an_end_is_cut_off() {
    undisturbed(|cluster| {
        // A request whose marker never comes: 64 MiB of it, or until the origin has had enough.
        let mut packet = vec![0x40, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xee];
        packet.resize(18 + 32_750, b' ');
        let mut stream = TcpStream::connect(cluster.origins[0].ovt_authority()).expect("the origin listens");
        stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let taken = (0..2_048).take_while(|_| stream.write_all(&packet).is_ok()).count();
        assert!(taken < 2_048, "the origin takes an endless message");
    });
}

#[test]
fn a_header_of_64_kib_is_refused() {
    undisturbed(|cluster| {
        let path = format!("/{APP}/stream/llhls.m3u8");
        let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "x".repeat(64 << 10));
        let answer = exchange(cluster.edge.ports()[0], head.as_bytes());
        let refused =
            answer.is_empty() || answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 400");
        assert!(refused, "{answer}");
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(64 << 10));
        let answer = exchange(cluster.edge.ports()[0], long.as_bytes());
        let refused =
            ["HTTP/1.1 414", "HTTP/1.1 431", "HTTP/1.1 400"].iter().any(|line| answer.starts_with(line));
        assert!(refused || answer.is_empty(), "{answer}");
    });
}

#[test]
fn connections_that_say_nothing_disturb_nobody_and_are_closed() {
    /// A node gives an accepted connection 5 s to say what it wants; a busy machine may take its time to accept.
    const FIRST_WORD_WITHIN: Duration = Duration::from_secs(20);
    undisturbed(|cluster| {
        let open = |port| TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        let connections =
            cluster.ports().into_iter().flat_map(|port| (0..150).map(move |_| (port, open(port))));
        let mut idle: Vec<(u16, TcpStream)> = connections.collect();
        for (_, stream) in idle.iter().step_by(2) {
            // Half-open: this side has said its last word before its first one.
            stream.shutdown(Shutdown::Write).expect("the connection is there");
        }
        let deadline = Instant::now() + FIRST_WORD_WITHIN;
        for (port, stream) in &mut idle {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            stream.set_read_timeout(Some(left)).expect("a timeout");
            let open = loop {
                match stream.read(&mut [0; 512]) {
                    Ok(0) => break false,
                    // A word of farewell, such as 408.
                    Ok(_) => {}
                    Err(error) => break matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                }
            };
            assert!(!open, "port {port} keeps a silent connection for more than {FIRST_WORD_WITHIN:?}");
        }
    });
}

#[test]
fn ten_thousand_requests_for_an_absent_stream_cost_one_pull_per_second() {
    const CLIENTS: usize = 20;
    const REQUESTS_EACH: usize = 500;
    let _machine = machine::alone();
    let empty = EmptyOrigin::start().expect("an origin without streams");
    // The watched stream comes from the real origin; what it does not have is asked of the empty one.
    let cluster = Cluster::start_with(1, |plan| {
        plan.origins.push(empty.port());
        plan.retry_count = Some(1);
    })
    .expect("a cluster");
    let (_publisher, viewer) = watch(&cluster);

    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::new(&cluster.http_authority(), PATIENCE);
                for _ in 0..REQUESTS_EACH {
                    let response = client.get(&format!("/{APP}/absent/llhls.m3u8")).expect("an answer");
                    assert_eq!(response.status, 404, "{}", response.text());
                }
            });
        }
    });
    let took = started.elapsed();
    let pulls = empty.asked();
    println!("{} requests in {took:?} cost {pulls} pulls", CLIENTS * REQUESTS_EACH);
    assert!(pulls >= 1, "the origin is asked at all");
    assert!(u64::from(pulls) <= took.as_secs() + 2, "{pulls} pulls in {took:?}");
    assert_undisturbed(viewer);
}

/// Runs `attack` on a cluster whose stream is being watched; then every server must run and every part be there.
fn undisturbed(attack: impl FnOnce(&Cluster)) {
    let _machine = machine::alone();
    let mut cluster = Cluster::start(1).expect("a cluster");
    let (_publisher, viewer) = watch(&cluster);
    attack(&cluster);
    // Long enough to see a gap that has only begun.
    thread::sleep(Duration::from_secs(2));
    assert_undisturbed(viewer);
    assert!(cluster.edge.process.is_running(), "the edge runs");
    assert!(cluster.origins[0].server.process.is_running(), "the origin runs");
    for log in [cluster.edge.process.log(), cluster.origins[0].server.process.log()] {
        assert!(!log.contains("panicked"), "{log}");
    }
}

fn watch(cluster: &Cluster) -> (Publisher, Viewer) {
    let urls = [cluster.origins[0].publish_url("stream")];
    let publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir()).expect("ffmpeg");
    let viewer = Viewer::start(&cluster.playlist_url("stream"), PATIENCE).expect("a playlist");
    viewer.wait_for(Track::Main, 4, PATIENCE).expect("video parts");
    viewer.wait_for(Track::Audio, 4, PATIENCE).expect("audio parts");
    (publisher, viewer)
}

fn assert_undisturbed(viewer: Viewer) {
    let until = Instant::now();
    let seen = viewer.stop();
    assert_eq!(seen.failures, Vec::<String>::new());
    for track in [Track::Main, Track::Audio] {
        assert_eq!(seen.jumps(track), Vec::<String>::new());
        assert_eq!(seen.holes(track), Vec::<String>::new());
        let gap = seen.longest_gap(track, until);
        assert!(gap < GAP_MAX, "{gap:?} without a part of {track:?}");
    }
}

/// Sends and leaves. Being thrown out on the way is what one would hope for.
fn send(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    let _ = stream.write_all(bytes);
}

/// Sends, and returns the beginning of whatever is answered.
fn exchange(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = vec![0; 1_024];
    let length = stream.read(&mut answer).unwrap_or_default();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
