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
use headwater_tests::config::{APP, BroadcastPlan, broadcast_xml, redundancy_xml};
use headwater_tests::ffmpeg::Publisher;
use headwater_tests::http::{Client, resolve, split_url};
use headwater_tests::m3u8;
use headwater_tests::machine::{self, free_port};
use headwater_tests::process::Process;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server listens, and its configuration.
struct Site {
    rtmp: u16,
    http: u16,
    xml: String,
}

impl Site {
    fn new(xml: impl Fn(u16, u16) -> String) -> Site {
        let (rtmp, http) = (free_port(), free_port());
        Site { rtmp, http, xml: xml(rtmp, http) }
    }

    fn start(&self, name: &str, dir: &Path) -> Server {
        Server::start(name, &self.xml, &[self.rtmp, self.http], dir).expect("a server")
    }

    fn publish_url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/{APP}/stream", self.rtmp)
    }

    fn playlist_url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{APP}/stream/{name}", self.http)
    }
}

/// Segments of 2 s, parts of 0.5 s.
fn short(timestamps: &'static str) -> impl Fn(u16, u16) -> String {
    move |rtmp, http| broadcast_xml(BroadcastPlan { rtmp, http, timestamps })
}

/// Every segment and part that a server lists, by its path, read with plain reloads.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, Vec<u8>>>,
}

impl Reader {
    fn start(urls: Vec<String>) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut files = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                // A server that is being killed answers nothing; what it had said is kept.
                urls.iter().for_each(|url| drop(read(url, &mut files)));
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

/// What happens to the second server, and what is to be seen of it.
struct Course {
    /// The playlists that are followed, and how many segments and parts each of their tracks must have on both.
    playlists: &'static [(&'static str, u64, u64)],
    /// How long the first server has the stream before the second one comes.
    alone: Duration,
    /// How long the second one runs until it is killed.
    together: Duration,
    /// How long both are compared.
    compared_s: u32,
    /// How many files must be on both.
    least_files: usize,
}

/// How long the second server is away when it was killed.
const AWAY: Duration = Duration::from_secs(4);

fn two_servers_with(xml: impl Fn(u16, u16) -> String, first_s: f64, course: &Course) {
    let dir = tempfile::Builder::new().prefix("headwater-").tempdir().expect("a directory");
    let sites = [Site::new(&xml), Site::new(&xml)];
    let a = sites[0].start("a", dir.path());
    let urls = sites.each_ref().map(Site::publish_url);
    let _encoder = Publisher::start_lasting("encoder", first_s, &urls, dir.path()).expect("ffmpeg");
    let names = || course.playlists.iter().map(|(name, ..)| *name);
    for name in names() {
        wait_for_media(&sites[0].playlist_url(name));
    }

    let readers =
        sites.each_ref().map(|site| Reader::start(names().map(|name| site.playlist_url(name)).collect()));
    let compare = |name| {
        let [a, b] = sites.each_ref().map(|site| site.playlist_url(name));
        diff(&format!("diff-{name}"), &a, &b, course.compared_s, dir.path())
    };
    let diffs: Vec<Process> = names().map(compare).collect();
    sleep(course.alone);
    let mut b = sites[1].start("b", dir.path());
    sleep(course.together);
    b.process.kill();
    sleep(AWAY);
    b.restart().expect("a server that starts again");
    let verdicts: Vec<_> = diffs.into_iter().map(|diff| verdict(diff, 2 * PATIENCE)).collect();
    let [files_a, files_b] = readers.map(Reader::files);

    let both: Vec<_> = files_a.iter().filter_map(|(path, a)| Some((path, a, files_b.get(path)?))).collect();
    let unlike: Vec<_> = both.iter().filter(|(_, a, b)| a != b).map(|(path, ..)| path).collect();
    assert!(unlike.is_empty(), "{unlike:?} differ, of {} files; {verdicts:#?}", both.len());
    assert!(both.len() >= course.least_files, "{} files are on both", both.len());

    for ((code, summary), (_, least_segments, least_parts)) in verdicts.iter().zip(course.playlists) {
        assert_eq!((*code, summary["verdict"].as_str()), (Some(0), Some("identical")), "{summary:#}");
        for track in summary["tracks"].as_array().expect("tracks") {
            let identical = |what: &str| track[what]["identical"].as_u64().unwrap_or(0);
            assert!(identical("segments") >= *least_segments, "{summary:#}");
            assert!(identical("parts") >= *least_parts, "{summary:#}");
        }
        // Before it began, and when it was killed.
        let outages = summary["outages"].as_array().expect("outages");
        assert!(outages.len() >= 2 && outages.iter().all(|outage| outage["side"] == "B"), "{summary:#}");
        println!("{}", summary["tracks"]);
    }
    println!("{} files on both, {} bytes", both.len(), both.iter().map(|(_, a, _)| a.len()).sum::<usize>());
    drop((a, b));
}

const SHORT: Course = Course {
    playlists: &[("llhls.m3u8", 6, 25)],
    alone: Duration::from_secs(4),
    together: Duration::from_secs(14),
    compared_s: 40,
    least_files: 60,
};

/// An encoder's first timestamp, in seconds, with which its time zero lies where servers without a directory are sure to
/// round alike: between 0.4 s before and 0.4 s after a whole second, as it takes ffmpeg from nothing to 0.8 s to start.
fn near_a_second() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64();
    now % 3_600.0 + 0.4
}

#[test]
fn with_the_timestamps_of_the_encoder() {
    let _machine = machine::shared();
    two_servers_with(short("Original"), 100.0, &SHORT);
}

#[test]
fn with_the_clocks_of_the_servers() {
    let _machine = machine::shared();
    two_servers_with(short("SystemClock"), near_a_second(), &SHORT);
}

#[test]
fn as_the_guide_configures_them() {
    let _machine = machine::shared();
    let course = Course {
        playlists: &[("llhls.m3u8", 3, 20), ("ts:playlist.m3u8", 5, 0)],
        alone: Duration::from_secs(20),
        together: Duration::from_secs(22),
        compared_s: 72,
        least_files: 80,
    };
    two_servers_with(redundancy_xml, near_a_second(), &course);
}

#[test]
fn two_that_begin_at_zero_are_told_apart() {
    let _machine = machine::shared();
    let dir = tempfile::Builder::new().prefix("headwater-").tempdir().expect("a directory");
    let sites = [(); 2].map(|()| Site::new(short("ZeroBased")));
    let [url_a, url_b] = sites.each_ref().map(|site| site.playlist_url("llhls.m3u8"));
    let _a = sites[0].start("a", dir.path());
    let urls = sites.each_ref().map(Site::publish_url);
    let _encoder = Publisher::start_lasting("encoder", 100.0, &urls, dir.path()).expect("ffmpeg");
    wait_for_media(&url_a);

    let (code, summary) = verdict(diff("absent", &url_a, &url_b, 3, dir.path()), PATIENCE);
    assert_eq!((code, summary["verdict"].as_str()), (Some(2), Some("could_not_tell")), "{summary:#}");

    let _b = sites[1].start("b", dir.path());
    wait_for_media(&url_b);
    let (code, summary) = verdict(diff("diff", &url_a, &url_b, 12, dir.path()), PATIENCE);
    assert_eq!((code, summary["verdict"].as_str()), (Some(1), Some("different")), "{summary:#}");
}
