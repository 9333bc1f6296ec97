//! nginx and Varnish in front of two servers of one broadcast, as the manual configures them: however many watch, the
//! servers are asked a few times, and when the main one is killed, nobody notices.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use headwater_tests::cache::{Cache, Kind};
use headwater_tests::chromium::HlsJs;
use headwater_tests::cluster::Server;
use headwater_tests::config::{APP, redundancy_xml};
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::http::Client;
use headwater_tests::machine::{self, free_port};
use headwater_tests::viewer::{self, Seen, Track, Viewer};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const VIEWERS: usize = 50;
/// How long they watch.
const WATCHED: Duration = Duration::from_secs(16);

/// Two servers that one encoder feeds.
struct Broadcast {
    _publisher: Publisher,
    main: Server,
    backup: Server,
    dir: TempDir,
}

fn broadcast() -> Broadcast {
    let dir = tempfile::tempdir().expect("a directory");
    let start = |name: &str| {
        let (rtmp, http) = (free_port(), free_port());
        let server = Server::start(name, &redundancy_xml(rtmp, http), &[rtmp, http], dir.path());
        let server = server.expect("a server");
        (server, format!("rtmp://127.0.0.1:{rtmp}/{APP}/stream"))
    };
    let ((main, one), (backup, two)) = (start("main"), start("backup"));
    let publisher =
        Publisher::start("ffmpeg", &Source::demo_clip(), &[one, two], dir.path()).expect("ffmpeg");
    for server in [&main, &backup] {
        viewer::open(&url(&format!("127.0.0.1:{}", server.ports()[1])), PATIENCE)
            .expect("the stream is there");
    }
    Broadcast { _publisher: publisher, main, backup, dir }
}

fn url(authority: &str) -> String {
    format!("http://{authority}/{APP}/stream/llhls.m3u8")
}

impl Broadcast {
    fn behind(&self, kind: Kind) -> Cache {
        Cache::start(kind, self.main.ports()[1], self.backup.ports()[1], self.dir.path()).expect("a cache")
    }
}

/// A crowd watches for a while. Every viewer gets every part, and the servers are asked no more than for a few.
fn many_watch(kind: Kind) {
    let _machine = machine::alone();
    let broadcast = broadcast();
    let cache = broadcast.behind(kind);
    let url = url(&cache.authority());
    viewer::open(&url, PATIENCE).expect("the stream is there through the cache");
    let before = cache.counted().expect("the cache counts");
    let viewers: Vec<Viewer> =
        (0..VIEWERS).map(|_| Viewer::start(&url, PATIENCE).expect("a viewer")).collect();
    thread::sleep(WATCHED);
    let seen: Vec<_> = viewers.into_iter().map(Viewer::stop).collect();
    let after = cache.counted().expect("the cache counts");
    let (asked, passed) = (after.asked - before.asked, after.passed - before.passed);
    let each = asked / VIEWERS;
    let (median, slow) = lateness(&seen);
    println!(
        "{kind:?}: {VIEWERS} viewers asked {asked} times ({each} each), the cache {passed} times; parts came {median:?} \
         later than to the first viewer, {slow:?} for 95 of 100"
    );
    for seen in &seen {
        assert!(seen.failures.is_empty(), "{:?}", seen.failures);
        assert!(seen.jumps(Track::Main).is_empty() && seen.holes(Track::Main).is_empty());
        // Two tracks, a part each every second, once the first segment is whole.
        assert!(seen.arrivals.len() > 12, "{}", seen.arrivals.len());
    }
    // Two tracks, a playlist and a part each, every second.
    let least = 2 * 2 * WATCHED.as_secs() as usize / 2;
    assert!(each > least, "the crowd was there: {asked}");
    assert!(passed < 2 * each, "the servers were asked {passed} times");
}

/// How much later than the first viewer the others had each part: in the middle, and at the slow end (95 of 100).
fn lateness(seen: &[Seen]) -> (Duration, Duration) {
    let arrivals = || seen.iter().flat_map(|it| &it.arrivals).filter(|it| it.track == Track::Main);
    let mut first: BTreeMap<(u64, u64), Instant> = BTreeMap::new();
    for it in arrivals() {
        let at = first.entry((it.part.msn, it.part.index)).or_insert(it.at);
        *at = (*at).min(it.at);
    }
    let mut late: Vec<Duration> =
        arrivals().map(|it| it.at.duration_since(first[&(it.part.msn, it.part.index)])).collect();
    late.sort();
    (late[late.len() / 2], late[late.len() * 95 / 100])
}

#[test]
fn nginx_asks_once_for_a_crowd() {
    many_watch(Kind::Nginx);
}

#[test]
fn varnish_asks_once_for_a_crowd() {
    many_watch(Kind::Varnish);
}

/// hls.js plays through a kill of the main server.
fn the_main_server_is_killed(kind: Kind) {
    let _machine = machine::alone();
    let mut broadcast = broadcast();
    let cache = broadcast.behind(kind);
    let mut player = HlsJs::play(&url(&cache.authority())).expect("a browser");
    player.wait_until_played(6.0, PATIENCE).expect("hls.js plays");
    broadcast.main.process.kill();
    let before = player.report().expect("the page answers");
    thread::sleep(Duration::from_secs(10));
    let after = player.report().expect("the page answers");
    println!("{kind:?}: stalls {:?}, latency {:.1} s", after.stalls, after.latency.as_secs_f64());
    assert!(after.fatal.is_empty(), "{:?}", after.all);
    assert!(after.current_time - before.current_time > 8.0, "it plays on: {:?}", after.all);
    assert!(after.longest_stall() < Duration::from_secs(1), "{:?}", after.stalls);
}

#[test]
fn hls_js_plays_through_a_killed_server_behind_nginx() {
    the_main_server_is_killed(Kind::Nginx);
}

#[test]
fn hls_js_plays_through_a_killed_server_behind_varnish() {
    the_main_server_is_killed(Kind::Varnish);
}

/// The names of things are the same on both, so that a cache may renew from one what it has from the other.
#[test]
fn the_servers_give_one_segment_one_name() {
    let _machine = machine::shared();
    let broadcast = broadcast();
    thread::sleep(Duration::from_secs(8));
    let authority = |server: &Server| format!("127.0.0.1:{}", server.ports()[1]);
    let (one, two) = (authority(&broadcast.main), authority(&broadcast.backup));
    let mut clients = [&one, &two].map(|it| Client::new(it, PATIENCE));
    let master = viewer::open(&url(&one), PATIENCE).expect("a master playlist");
    let path = &master.variants[0];
    let media = clients[0].get(path).expect("a media playlist");
    let media = headwater_tests::m3u8::media(&media.text()).expect("is one");
    let mut same = 0;
    for segment in &media.segments {
        let folder = &path[..path.rfind('/').expect("a folder") + 1];
        let path = format!("{folder}{}", segment.uri);
        let [first, second] = [0, 1].map(|it: usize| clients[it].get(&path).expect("an answer"));
        if first.status != 200 || second.status != 200 {
            continue;
        }
        assert_eq!(first.body == second.body, first.header("etag") == second.header("etag"), "{path}");
        same += usize::from(first.header("etag") == second.header("etag"));
    }
    println!("{same} of {} segments are the same on both", media.segments.len());
    assert!(same > 0, "no segment is the same on both");
}
