//! `cargo xtask bench hls`: what it costs to cut a stream into segments and parts, and to give them to viewers.
//!
//! One server with streams of 5 Mbit/s from ffmpeg (`-c copy`), first without viewers, then asked by the load generator
//! `net-real/examples/hls_load.rs` for one segment, for one part, and for blocking reloads. nginx gives the same bytes of the segment
//! and of the part from a RAM disk, in the same run. Everything is counted for each second of processor time that the
//! *server* used (utime + stime), so it does not matter what else the machine and the load generator do.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::binary::{target_dir, workspace};
use headwater_tests::cluster::Server;
use headwater_tests::config::{APP, BroadcastPlan, broadcast_xml};
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::http::{Client, resolve};
use headwater_tests::process::Process;
use headwater_tests::{m3u8, machine, viewer};
use serde_json::{Value, json};

use crate::bench::{number_after, write_section};
use crate::{clip, programs, shell};

struct Options {
    streams: usize,
    viewers: usize,
    seconds: u64,
    json: bool,
    docs: bool,
}

/// How long streams run before the clock starts.
const WARM_UP: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections that ask for a file as fast as it is given.
const CONNECTIONS: usize = 32;

/// Measures, prints, and writes `docs/benchmarks.md`.
///
/// # Errors
///
/// If an argument is wrong, a process does not start, or a request fails.
pub fn run(arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    programs::ensure_installed()?;
    shell::cargo(&BUILD, &[])?;
    let _machine = machine::alone();
    let figures = measure(&options)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        println!("{}", markdown(&figures));
    }
    if options.docs {
        write_section("hls", &markdown(&figures))?;
    }
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<Options> {
    let mut options = Options { streams: 10, viewers: 2_000, seconds: 10, json: false, docs: true };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut number = || number_after(flag, &mut rest);
        match *flag {
            "--streams" => options.streams = usize::try_from(number()?)?,
            "--viewers" => options.viewers = usize::try_from(number()?)?,
            "--seconds" => options.seconds = number()?,
            "--json" => options.json = true,
            "--no-docs" => options.docs = false,
            other => bail!("bench hls has no flag {other}"),
        }
    }
    ensure!(options.streams > 0 && options.viewers > 0 && options.seconds > 0, "nothing to measure");
    Ok(options)
}

fn measure(options: &Options) -> Result<Value> {
    let clip = target_dir().join("bench").join("five-megabits.flv");
    clip::five_megabits(&clip)?;
    let dir = tempfile_dir()?;
    let (rtmp, http) = (machine::free_port(), machine::free_port());
    let plan = BroadcastPlan { rtmp, http, timestamps: "Original" };
    let server = Server::start("headwater", &broadcast_xml(plan), &[rtmp, http], &dir)?;
    let mut publishers = Vec::new();
    for index in 0..options.streams {
        let url = [format!("rtmp://127.0.0.1:{rtmp}/{APP}/stream{index}")];
        publishers.push(Publisher::start(
            &format!("ffmpeg{index}"),
            &Source::Clip(clip.clone()),
            &url,
            &dir,
        )?);
        thread::sleep(Duration::from_millis(150));
    }
    let authority = format!("127.0.0.1:{http}");
    let master = format!("http://{authority}/{APP}/stream0/llhls.m3u8");
    viewer::open(&master, PATIENCE)?;
    thread::sleep(WARM_UP);

    eprintln!("cutting {} streams for {} s", options.streams, options.seconds);
    let before = machine::cpu_time(server.process.id())?;
    thread::sleep(Duration::from_secs(options.seconds));
    let used = machine::cpu_time(server.process.id())?.saturating_sub(before).as_secs_f64();
    let cutting = used / options.seconds as f64 / options.streams as f64 * 3_600.0;

    // All but one are stopped: what is served is what is measured.
    publishers.truncate(1);
    let own = Served { pid: server.process.id(), authority: authority.clone() };
    let chunklist = resolve(&master, &viewer::open(&master, PATIENCE)?.variants[0]);
    let path = path_of(&chunklist)?;
    let reloads = own.load("reload", path, options.viewers, options.seconds)?;

    let mut client = Client::new(&authority, PATIENCE);
    let media = m3u8::media(&client.get(path)?.text())?;
    let segment = media.segments.last().context("the playlist has a segment")?;
    let part = media.parts.last().context("the playlist has a part")?;
    let nginx = Nginx::start(&dir)?;
    let mut rows = Vec::new();
    for (name, uri) in [("segment", &segment.uri), ("part", &part.uri)] {
        let url = resolve(&chunklist, uri);
        let body = client.get(path_of(&url)?)?;
        ensure!(body.status == 200, "{url} answers {}", body.status);
        fs::write(nginx.files.join(name), &body.body)?;
        let seconds = options.seconds.min(KEPT_S / 4);
        let ours = own.load("fetch", path_of(&url)?, CONNECTIONS, seconds)?;
        let theirs = nginx.served.load("fetch", &format!("/{name}"), CONNECTIONS, seconds)?;
        rows.push(json!({ "what": name, "bytes": body.body.len(), "headwater": ours, "nginx": theirs }));
    }
    let (processor, cores) = machine::processor();
    Ok(json!({
        "benchmark": "hls",
        "machine": { "processor": processor, "cores": cores },
        "streams": options.streams,
        "cpu_s_per_stream_hour": cutting,
        "viewers": options.viewers,
        "reloads": reloads,
        "files": rows,
    }))
}

/// What the window of the server keeps: longer than a file is asked for.
const KEPT_S: u64 = 20;

/// A server, and the process that its work is counted of.
struct Served {
    pid: u32,
    authority: String,
}

impl Served {
    /// What it does under load, for each second of its processor time.
    fn load(&self, mode: &str, path: &str, connections: usize, seconds: u64) -> Result<Value> {
        eprintln!("{mode} {path} of {}", self.authority);
        let before = machine::cpu_time(self.pid)?;
        let program = target_dir().join("release").join("examples").join("hls_load");
        let mut command = Command::new(&program);
        command.args([mode, &self.authority, path, "--connections", &connections.to_string()]);
        let output = command.args(["--seconds", &seconds.to_string()]).output();
        let output = output.with_context(|| format!("{} could not be started", program.display()))?;
        let cpu_s = (machine::cpu_time(self.pid)?.saturating_sub(before)).as_secs_f64();
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the load generator failed ({}): {why}", output.status);
        let counted: Value = serde_json::from_slice(&output.stdout)?;
        let of = |name: &str| counted[name].as_f64().unwrap_or(0.0);
        ensure!(of("failures") == 0.0, "requests failed: {counted}");
        ensure!(cpu_s > 0.0, "the server did nothing");
        Ok(json!({
            "per_core": of("answers") / cpu_s,
            "per_second": of("answers") / of("seconds"),
            "gbit_per_core": of("bytes") * 8.0 / 1e9 / cpu_s,
            "core_percent": 100.0 * cpu_s / of("seconds"),
        }))
    }
}

/// nginx with one worker and files in memory.
struct Nginx {
    served: Served,
    files: PathBuf,
    _process: Process,
}

impl Nginx {
    fn start(dir: &Path) -> Result<Nginx> {
        let port = machine::free_port();
        let (here, files) = (dir.display(), PathBuf::from(format!("/dev/shm/headwater-bench-{port}")));
        fs::create_dir_all(&files)?;
        let text = format!(
            "daemon off; master_process off; pid {here}/nginx.pid; worker_rlimit_nofile 4096;\n\
             events {{ worker_connections 2048; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
             open_file_cache max=100; types {{ }} default_type video/mp4;\n\
             client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; \
             scgi_temp_path {here}/s;\n\
             server {{ listen 127.0.0.1:{port}; root {}; }} }}\n",
            files.display()
        );
        fs::write(dir.join("nginx.conf"), text)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(dir.join("nginx.conf")).arg("-e").arg(dir.join("error.log"));
        let process = Process::start("nginx", &mut command, dir)?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(began.elapsed() < PATIENCE, "nginx does not listen: {}", process.log());
            thread::sleep(Duration::from_millis(20));
        }
        let served = Served { pid: process.id(), authority: format!("127.0.0.1:{port}") };
        Ok(Nginx { served, files, _process: process })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It is in memory; what is left of it is lost at the next start of the machine.
        let _ = fs::remove_dir_all(&self.files);
    }
}

fn tempfile_dir() -> Result<PathBuf> {
    let dir = target_dir().join("bench").join("hls");
    // Of the last run; there may be none.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    Ok(workspace().join(dir))
}

fn path_of(url: &str) -> Result<&str> {
    Ok(headwater_tests::http::split_url(url)?.1)
}

fn markdown(figures: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let row = |file: &Value| {
        let (ours, theirs) = (number(&file["headwater"]["per_core"]), number(&file["nginx"]["per_core"]));
        format!(
            "| {} of {:.0} KiB | {ours:.0} | {:.1} | {theirs:.0} | {:.1} | **{:.2}** |",
            file["what"].as_str().unwrap_or_default(),
            number(&file["bytes"]) / 1_024.0,
            number(&file["headwater"]["gbit_per_core"]),
            number(&file["nginx"]["gbit_per_core"]),
            ours / theirs.max(1.0),
        )
    };
    let rows: Vec<String> = figures["files"].as_array().into_iter().flatten().map(row).collect();
    let machine = &figures["machine"];
    format!(
        "## HLS\n\n\
        {}, {} cores. Streams of 5 Mbit/s (1920x1080, 30 fps, GOP 2 s, with sound) over RTMP; LL-HLS with segments of 2 s and \
        parts of 0.5 s. Everything is for each second of the server's processor time, of which a server has one core; the \
        load generator and ffmpeg run beside it. HTTP/1.1 on loopback, {CONNECTIONS} connections for files.\n\n\
        Receiving and cutting a stream costs **{:.1} s** of processor time an hour ({} streams).\n\n\
        Blocking reloads: **{:.0}** a second and core ({} viewers of one stream, {:.0} reloads a second, {:.0} % of a core); \
        wanted are 10,000.\n\n\
        | file | Headwater, requests | Gbit | nginx, requests | Gbit | Headwater to nginx |\n\
        |---|---|---|---|---|---|\n{}\n\n\
        nginx gives the same bytes from a RAM disk, with `sendfile`, one worker and an open-file cache, in the same run; wanted is \
        0.9 of it on segments.\n",
        machine["processor"].as_str().unwrap_or_default(),
        machine["cores"],
        number(&figures["cpu_s_per_stream_hour"]),
        figures["streams"],
        number(&figures["reloads"]["per_core"]),
        figures["viewers"],
        number(&figures["reloads"]["per_second"]),
        number(&figures["reloads"]["core_percent"]),
        rows.join("\n"),
    )
}

/// What cargo builds.
const BUILD: [&str; 8] =
    ["build", "--release", "--package", "headwater-net-real", "--bin", "headwater", "--example", "hls_load"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_flags_are_named() {
        assert!(parse(&["--stream", "3"]).is_err_and(|error| error.to_string().contains("--stream")));
        assert!(parse(&["--seconds"]).is_err() && parse(&["--viewers", "0"]).is_err());
        assert_eq!(parse(&["--streams", "3"]).unwrap().streams, 3);
    }

    #[test]
    fn the_page_compares_with_nginx() {
        let side = |per_core: f64| json!({ "per_core": per_core, "gbit_per_core": 2.0 });
        let file =
            json!({ "what": "segment", "bytes": 2_048, "headwater": side(90.0), "nginx": side(100.0) });
        let text = markdown(&json!({ "files": [file], "machine": { "processor": "P", "cores": 2 } }));
        assert!(text.contains("| segment of 2 KiB | 90 | 2.0 | 100 | 2.0 | **0.90** |"), "{text}");
    }
}
