//! One encoder, two servers, one of which comes later and is killed: whatever both have is the same, to the byte.
//! `headwater diff` says so, and so does a reader of its own that compares every file under its path.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headwater_tests::binary::headwater;
use headwater_tests::cluster::Server;
use headwater_tests::config::{APP, BroadcastPlan, broadcast_xml};
use headwater_tests::ffmpeg::Publisher;
use headwater_tests::http::{Client, resolve, split_url};
use headwater_tests::m3u8;
use headwater_tests::machine::{self, free_port};
use headwater_tests::process::Process;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

fn plan(timestamps: &'static str) -> BroadcastPlan {
    BroadcastPlan { rtmp: free_port(), http: free_port(), timestamps }
}

fn start(name: &str, plan: BroadcastPlan, dir: &Path) -> Server {
    Server::start(name, &broadcast_xml(plan), &[plan.rtmp, plan.http], dir).expect("a server")
}

fn publish_url(plan: BroadcastPlan) -> String {
    format!("rtmp://127.0.0.1:{}/{APP}/stream", plan.rtmp)
}

fn playlist_url(plan: BroadcastPlan) -> String {
    format!("http://127.0.0.1:{}/{APP}/stream/llhls.m3u8", plan.http)
}

/// Every segment and part that a server lists, by its path, read with plain reloads.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, Vec<u8>>>,
}

impl Reader {
    fn start(url: String) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut files = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                // A server that is being killed answers nothing; what it had said is kept.
                let _ = read(&url, &mut files);
                sleep(Duration::from_secs(1));
            }
            files
        });
        Reader { stop, thread }
    }

    fn files(self) -> BTreeMap<String, Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("nothing changed under its name")
    }
}

fn read(url: &str, files: &mut BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    let (authority, _) = split_url(url)?;
    let mut client = Client::new(authority, Duration::from_secs(5));
    let mut get = |url: &str| -> anyhow::Result<Vec<u8>> {
        let response = client.get(split_url(url)?.1)?;
        anyhow::ensure!(response.status == 200, "{url}: {}", response.status);
        Ok(response.body)
    };
    let master = m3u8::master(&String::from_utf8(get(url)?)?)?;
    let renditions = master.renditions.iter().map(|(_, uri)| uri);
    for list in master.variants.iter().chain(renditions).map(|uri| resolve(url, uri)) {
        let media = m3u8::media(&String::from_utf8(get(&list)?)?)?;
        let (segments, parts) =
            (media.segments.iter().map(|it| &it.uri), media.parts.iter().map(|it| &it.uri));
        for uri in segments.chain(parts).chain(&media.map).map(|uri| resolve(&list, uri)) {
            // Everything is read each time: a name must keep its bytes, whatever happens to the server.
            let body = get(&uri)?;
            let path = split_url(&uri)?.1.to_owned();
            let known = files.entry(path.clone()).or_insert_with(|| body.clone());
            assert!(*known == body, "{path} has other bytes than before");
        }
    }
    Ok(())
}

/// `headwater diff`, at work.
fn diff(name: &str, a: &str, b: &str, seconds: u32, dir: &Path) -> Process {
    let mut command = Command::new(headwater());
    command.args(["diff", a, b, "--for", &format!("{seconds}s"), "--json"]);
    Process::start(name, &mut command, dir).expect("headwater diff")
}

/// Its exit code, and the summary in its last line.
fn verdict(mut diff: Process, patience: Duration) -> (Option<i32>, Value) {
    let status = diff.wait(patience).expect("it ends in time");
    let log = diff.log();
    let summary = serde_json::from_str(log.lines().last().unwrap_or_default());
    (status.code(), summary.unwrap_or_else(|error| panic!("{error} in the last line of:\n{log}")))
}

fn wait_for_media(url: &str) {
    let started = Instant::now();
    let mut files = BTreeMap::new();
    while read(url, &mut files).is_err() || files.is_empty() {
        assert!(started.elapsed() < PATIENCE, "{url} has no media");
        sleep(Duration::from_millis(200));
    }
}

fn two_servers_with(timestamps: &'static str, first_s: f64) {
    let dir = tempfile::Builder::new().prefix("headwater-").tempdir().expect("a directory");
    let [plan_a, plan_b] = [plan(timestamps), plan(timestamps)];
    let (url_a, url_b) = (playlist_url(plan_a), playlist_url(plan_b));
    let a = start("a", plan_a, dir.path());
    let urls = [publish_url(plan_a), publish_url(plan_b)];
    let _encoder = Publisher::start_lasting("encoder", first_s, &urls, dir.path()).expect("ffmpeg");
    wait_for_media(&url_a);

    let readers = [Reader::start(url_a.clone()), Reader::start(url_b.clone())];
    let diff = diff("diff", &url_a, &url_b, 40, dir.path());
    // The second one comes some seconds later, and is killed when both have much in common.
    sleep(Duration::from_secs(4));
    let mut b = start("b", plan_b, dir.path());
    sleep(Duration::from_secs(14));
    b.process.kill();
    sleep(Duration::from_secs(4));
    b.restart().expect("a server that starts again");
    let (code, summary) = verdict(diff, Duration::from_secs(60));
    let [files_a, files_b] = readers.map(Reader::files);

    let both: Vec<_> = files_a.iter().filter_map(|(path, a)| Some((path, a, files_b.get(path)?))).collect();
    let unlike: Vec<_> = both.iter().filter(|(_, a, b)| a != b).map(|(path, ..)| path).collect();
    assert!(unlike.is_empty(), "{unlike:?} differ, of {} files; {summary:#}", both.len());
    assert!(both.len() >= 60, "{} files are on both", both.len());

    assert_eq!((code, summary["verdict"].as_str()), (Some(0), Some("identical")), "{summary:#}");
    for track in summary["tracks"].as_array().expect("tracks") {
        let identical = |what: &str| track[what]["identical"].as_u64().unwrap_or(0);
        assert!(identical("segments") >= 6 && identical("parts") >= 25, "{summary:#}");
    }
    // Before it began, and when it was killed.
    let outages = summary["outages"].as_array().expect("outages");
    assert!(outages.len() >= 2 && outages.iter().all(|outage| outage["side"] == "B"), "{summary:#}");
    println!("{timestamps}: {} files on both; {}", both.len(), summary["tracks"]);
    drop((a, b));
}

#[test]
fn with_the_timestamps_of_the_encoder() {
    let _machine = machine::shared();
    two_servers_with("Original", 100.0);
}

#[test]
fn with_the_clocks_of_the_servers() {
    let _machine = machine::shared();
    // Between a whole second and the encoder's time zero there must be the room that is documented; here it begins
    // between 0.4 s before and 0.4 s after one, as it takes ffmpeg from nothing to 0.8 s to start.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64();
    two_servers_with("SystemClock", now % 3_600.0 + 0.4);
}

#[test]
fn two_that_begin_at_zero_are_told_apart() {
    let _machine = machine::shared();
    let dir = tempfile::Builder::new().prefix("headwater-").tempdir().expect("a directory");
    let [plan_a, plan_b] = [plan("ZeroBased"), plan("ZeroBased")];
    let (url_a, url_b) = (playlist_url(plan_a), playlist_url(plan_b));
    let _a = start("a", plan_a, dir.path());
    let urls = [publish_url(plan_a), publish_url(plan_b)];
    let _encoder = Publisher::start_lasting("encoder", 100.0, &urls, dir.path()).expect("ffmpeg");
    wait_for_media(&url_a);

    let (code, summary) = verdict(diff("absent", &url_a, &url_b, 3, dir.path()), PATIENCE);
    assert_eq!((code, summary["verdict"].as_str()), (Some(2), Some("could_not_tell")), "{summary:#}");

    let _b = start("b", plan_b, dir.path());
    wait_for_media(&url_b);
    let (code, summary) = verdict(diff("diff", &url_a, &url_b, 12, dir.path()), PATIENCE);
    assert_eq!((code, summary["verdict"].as_str()), (Some(1), Some("different")), "{summary:#}");
}
