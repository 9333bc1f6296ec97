//! Load for `cargo xtask bench hls`: many keep-alive HTTP/1.1 connections that ask for one file as fast as it is given,
//! or that all follow one playlist with blocking reloads. Prints one JSON object.
//!
//! ```text
//! hls_load fetch HOST:PORT PATH --connections 32 --seconds 10
//! hls_load reload HOST:PORT PATH --connections 2000 --seconds 10
//! ```

use std::env;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What is counted of all connections.
#[derive(Default)]
struct Counts {
    answers: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mode, authority, path, rest @ ..] = arguments.as_slice() else {
        return Err("hls_load fetch|reload HOST:PORT PATH [--connections N] [--seconds N]".into());
    };
    let (connections, seconds) = (number(rest, "--connections", 32)?, number(rest, "--seconds", 10)?);
    let follows = match mode.as_str() {
        "fetch" => false,
        "reload" => true,
        other => return Err(format!("there is no mode {other}").into()),
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let counts = Arc::new(Counts::default());
    let took = runtime.block_on(async {
        let began = Instant::now();
        let until = began + Duration::from_secs(seconds);
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (authority, path, counts) = (authority.clone(), path.clone(), counts.clone());
            tasks.spawn(async move {
                tokio::select! {
                    biased;
                    () = sleep_until(until) => {}
                    ended = ask(&authority, &path, follows, &counts) => if ended.is_err() {
                        counts.failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        began.elapsed()
    });
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{}",
        json!({
            "seconds": took.as_secs_f64(),
            "answers": of(&counts.answers),
            "bytes": of(&counts.bytes),
            "failures": of(&counts.failures),
        })
    );
    Ok(())
}

fn number(arguments: &[String], name: &str, default: u64) -> Result<u64, Box<dyn Error>> {
    let Some(at) = arguments.iter().position(|it| it == name) else { return Ok(default) };
    Ok(arguments.get(at + 1).ok_or("a number is missing")?.parse()?)
}

/// Asks on one connection until it is told to stop.
async fn ask(authority: &str, path: &str, follows: bool, counts: &Counts) -> io::Result<()> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    let mut body = Vec::new();
    let mut query = String::new();
    loop {
        let request = format!("GET {path}{query} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).await?;
        let length = head(&mut stream).await?;
        body.clear();
        (&mut stream).take(length).read_to_end(&mut body).await?;
        counts.answers.fetch_add(1, Ordering::Relaxed);
        counts.bytes.fetch_add(length, Ordering::Relaxed);
        if follows {
            query = next(&String::from_utf8_lossy(&body)).ok_or(io::ErrorKind::InvalidData)?;
        }
    }
}

/// The length of the body that follows. Only 200 will do.
async fn head(stream: &mut BufReader<TcpStream>) -> io::Result<u64> {
    let mut line = String::new();
    let mut length = None;
    stream.read_line(&mut line).await?;
    if line.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(line));
    }
    loop {
        line.clear();
        if stream.read_line(&mut line).await? <= 2 {
            return length.ok_or(io::ErrorKind::InvalidData.into());
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
}

/// The query for what comes after this playlist: the part that it announces.
fn next(playlist: &str) -> Option<String> {
    let hint = playlist.lines().rev().find(|line| line.starts_with("#EXT-X-PRELOAD-HINT:"))?;
    let mut words = hint.split_once("URI=\"part_")?.1.split('_');
    let (msn, part) = (words.nth(1)?, words.next()?);
    Some(format!("?_HLS_msn={msn}&_HLS_part={part}"))
}
