//! Two origins and an edge that know each other only through a real Redis, while it is away, and when an origin is lost.
//!
//! `HEADWATER_AWAY_SECONDS` is how long the Redis is away; without it a short time, so that CI is quick.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_tests::cluster::Cluster;
use headwater_tests::config::APP;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::machine::{alone, free_port};
use headwater_tests::process::Process;
use headwater_tests::viewer::{Track, Viewer};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const AWAY: u64 = 8;
/// A part, and the time that a busy machine may add.
const PART_AND_GRACE: Duration = Duration::from_millis(1_500);

/// A Redis that keeps nothing.
struct Redis {
    port: u16,
    dir: TempDir,
    process: Option<Process>,
}

impl Redis {
    fn start() -> Result<Redis> {
        let mut redis = Redis { port: free_port(), dir: TempDir::new()?, process: None };
        redis.restart()?;
        Ok(redis)
    }

    fn restart(&mut self) -> Result<()> {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--save", "", "--appendonly", "no"]);
        command.args(["--bind", "127.0.0.1"]).arg("--dir").arg(self.dir.path());
        self.process = Some(Process::start("redis-server", &mut command, self.dir.path())?);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(10), "redis-server does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn kill(&mut self) {
        self.process = None;
    }

    /// What an OvenMediaEngine would find.
    fn plain_key(&self, stream: &str) -> Result<Option<String>> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        let mut socket = BufReader::new(socket);
        socket.get_mut().write_all(format!("GET {APP}/{stream}\r\n").as_bytes())?;
        let mut head = String::new();
        socket.read_line(&mut head)?;
        let length: i64 = head.trim().strip_prefix('$').context("a bulk string")?.parse()?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let mut value = vec![0; length];
        socket.read_exact(&mut value)?;
        Ok(Some(String::from_utf8(value)?))
    }

    /// How long it takes from now until a stream is found at one of `places`.
    fn wait_for(&self, stream: &str, places: &[String]) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            if self.plain_key(stream)?.is_some_and(|value| places.contains(&value)) {
                return Ok(begun.elapsed());
            }
            ensure!(begun.elapsed() < PATIENCE, "{APP}/{stream} is not announced");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn places(cluster: &Cluster, stream: &str) -> Vec<String> {
    let origins = cluster.origins.iter();
    origins.map(|origin| format!("ovt://{}/{APP}/{stream}", origin.ovt_authority())).collect()
}

#[test]
fn what_runs_runs_on_while_redis_is_away_and_everything_is_announced_when_it_is_back() -> Result<()> {
    let _machine = alone();
    let mut redis = Redis::start()?;
    let cluster = Cluster::start_with(2, |plan| plan.directory = Some(redis.port))?;
    let (one, two) = (cluster.publish_urls("one"), cluster.publish_urls("two"));
    let _one = Publisher::start("one", &Source::demo_clip(), &one, cluster.dir())?;
    redis.wait_for("one", &places(&cluster, "one"))?;
    let viewer = Viewer::start(&cluster.playlist_url("one"), PATIENCE)?;
    viewer.wait_for(Track::Main, 8, PATIENCE)?;

    redis.kill();
    thread::sleep(Duration::from_secs(1));
    let _two = Publisher::start("two", &Source::demo_clip(), &two, cluster.dir())?;
    let away = env::var("HEADWATER_AWAY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(AWAY);
    thread::sleep(Duration::from_secs(away));
    redis.restart()?;
    let back = redis.wait_for("one", &places(&cluster, "one"))?;
    let new = back + redis.wait_for("two", &places(&cluster, "two"))?;
    println!("announced again after {back:?}, what was new after {new:?}");
    assert!(new <= Duration::from_secs(2), "{back:?}, {new:?}");
    let second = Viewer::start(&cluster.playlist_url("two"), PATIENCE)?;
    second.wait_for(Track::Main, 4, PATIENCE)?;
    thread::sleep(Duration::from_secs(4));

    let until = Instant::now();
    let seen = viewer.stop();
    for track in [Track::Main, Track::Audio] {
        let gap = seen.longest_gap(track, until);
        println!("{track:?}: longest gap between parts {gap:?} with Redis away for {away} s");
        assert!(gap < PART_AND_GRACE, "{track:?}: {gap:?}");
        assert_eq!((seen.jumps(track), seen.holes(track)), (Vec::new(), Vec::new()), "{track:?}");
    }
    assert_eq!(seen.failures, Vec::<String>::new());
    Ok(())
}

#[test]
fn an_origin_in_line_takes_over_and_viewers_stay() -> Result<()> {
    let _machine = alone();
    let redis = Redis::start()?;
    let mut cluster = Cluster::start_with(2, |plan| plan.directory = Some(redis.port))?;
    let urls = cluster.publish_urls("stream");
    let _publisher = Publisher::start("ffmpeg", &Source::demo_clip(), &urls, cluster.dir())?;
    let places = places(&cluster, "stream");
    redis.wait_for("stream", &places)?;
    let viewer = Viewer::start(&cluster.playlist_url("stream"), PATIENCE)?;
    viewer.wait_for(Track::Main, 8, PATIENCE)?;
    viewer.wait_for(Track::Audio, 8, PATIENCE)?;

    let first = redis.plain_key("stream")?.context("an owner")?;
    let owner = places.iter().position(|place| *place == first).context("one of the two")?;
    let heir = 1 - owner;
    cluster.origins[owner].server.process.kill();
    let took = redis.wait_for("stream", &places[heir..=heir])?;
    println!("SIGKILL of the owner: the directory leads to the other one after {took:?}");
    assert!(took < Duration::from_millis(4_500), "{took:?}");
    thread::sleep(Duration::from_secs(5));

    let until = Instant::now();
    let seen = viewer.stop();
    for track in [Track::Main, Track::Audio] {
        let gap = seen.longest_gap(track, until);
        println!("{track:?}: longest gap between parts {gap:?}");
        assert!(gap < took + PART_AND_GRACE, "{track:?}: {gap:?}");
        assert_eq!((seen.jumps(track), seen.holes(track)), (Vec::new(), Vec::new()), "{track:?}");
    }
    Ok(())
}
