//! `cargo xtask bench relay`: what it costs to relay streams from an origin to an edge and on to viewers.
//!
//! One origin, one edge, every stream published by ffmpeg (`-c copy`) and watched by one low-latency viewer.
//! Processor time is utime + stime of each process over the interval, so other programs on the machine disturb it
//! little. The delay is measured without a common clock in the media: a plain OVT reader at the origin notes when
//! every access unit left, the viewer notes when every part was there, and the two are matched by the content of the
//! part's last access unit. It holds everything between: OVT, packaging, the blocking reload, the part's transfer.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::binary::{self, target_dir, workspace};
use headwater_tests::cluster::Cluster;
use headwater_tests::config::APP;
use headwater_tests::ffmpeg::{Publisher, Source};
use headwater_tests::machine::{self, Memory};
use headwater_tests::viewer::{Seen, Viewer, delays};
use headwater_tests::{fmp4, ovt};
use serde_json::{Value, json};

use crate::{clip, programs};

/// How long streams run before the clock starts: every queue is filled, every page touched once.
const WARM_UP: Duration = Duration::from_secs(10);
/// How long a viewer may wait for its first playlist.
const FIRST_PLAYLIST: Duration = Duration::from_secs(30);
/// Streams whose delay is measured. Each costs the origin one more OVT session.
const PROBED_STREAMS: usize = 2;
/// Encoders are started this far apart, so that key frames of all streams do not fall together.
const BETWEEN_STARTS: Duration = Duration::from_millis(150);

struct Options {
    streams: usize,
    seconds: u64,
    json: bool,
    docs: bool,
}

/// Measures, prints, and writes `docs/benchmarks.md`.
///
/// # Errors
///
/// If an argument is wrong, a process does not start, or a stream does not play.
pub fn relay(arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    programs::ensure_installed()?;
    binary::find()?;
    let _machine = machine::alone();
    let figures = measure(&options)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures.json())?);
    } else {
        println!("{}", figures.markdown());
    }
    if options.docs {
        write_section("relay", &figures.markdown())?;
    }
    Ok(())
}

/// The number that stands behind `flag`.
pub(crate) fn number_after<'a>(flag: &str, rest: &mut impl Iterator<Item = &'a &'a str>) -> Result<u64> {
    let value = rest.next().with_context(|| format!("{flag} needs a number"))?;
    value.parse().with_context(|| format!("{flag} {value}"))
}

fn parse(arguments: &[&str]) -> Result<Options> {
    let mut options = Options { streams: 20, seconds: 40, json: false, docs: true };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut number = || number_after(flag, &mut rest);
        match *flag {
            "--streams" => options.streams = usize::try_from(number()?)?,
            "--seconds" => options.seconds = number()?,
            "--json" => options.json = true,
            "--no-docs" => options.docs = false,
            other => bail!("bench relay has no flag {other}"),
        }
    }
    ensure!(options.streams > 0 && options.seconds > 0, "nothing to measure");
    Ok(options)
}

fn measure(options: &Options) -> Result<Figures> {
    let path = target_dir().join("bench").join("two-megabits.flv");
    clip::two_megabits(&path)?;
    let stream_bits_per_s = fs::metadata(&path)?.len() as f64 * 8.0 / clip::SECONDS as f64;
    let cluster = Cluster::start_with(1, |plan| {
        // As OvenMediaEngine was measured: its example configuration's window.
        (plan.segment_seconds, plan.part_seconds, plan.segments) = (6.0, 0.5, 10);
    })?;
    let origin = &cluster.origins[0];
    let names: Vec<String> = (0..options.streams).map(|index| format!("stream{index}")).collect();

    let mut publishers = Vec::new();
    for name in &names {
        let url = [origin.publish_url(name)];
        publishers.push(Publisher::start(name, &Source::Clip(path.clone()), &url, cluster.dir())?);
        thread::sleep(BETWEEN_STARTS);
    }
    let watch = |name: &String| Viewer::start(&cluster.playlist_url(name), FIRST_PLAYLIST);
    let viewers = names.iter().map(watch).collect::<Result<Vec<_>>>()?;
    let probe = |name: &String| Probe::start(&origin.ovt_authority(), name);
    let probes = names.iter().take(PROBED_STREAMS).map(probe).collect::<Result<Vec<_>>>()?;

    eprintln!("{} streams play; warming up", options.streams);
    thread::sleep(WARM_UP);
    let pids = [origin.server.process.id(), cluster.edge.process.id()];
    let before = [Sample::take(pids[0])?, Sample::take(pids[1])?];
    let began = Instant::now();
    eprintln!("measuring for {} s", options.seconds);
    thread::sleep(Duration::from_secs(options.seconds));
    let after = [Sample::take(pids[0])?, Sample::take(pids[1])?];
    let ended = Instant::now();

    let left: Vec<_> = probes.into_iter().map(Probe::stop).collect::<Result<_>>()?;
    let seen: Vec<Seen> = viewers.iter().map(|viewer| within(&viewer.seen(), began, ended)).collect();
    let mut delays: Vec<Duration> =
        left.iter().zip(&seen).flat_map(|(left, seen)| delays(left, seen)).collect();
    delays.sort_unstable();
    let elapsed = ended - began;
    Ok(Figures {
        streams: options.streams,
        elapsed,
        relayed_gbit: stream_bits_per_s * options.streams as f64 * elapsed.as_secs_f64() / 1e9,
        viewed_gbit: seen.iter().flat_map(|seen| &seen.arrivals).map(|a| a.bytes as f64 * 8.0).sum::<f64>()
            / 1e9,
        failures: seen.iter().map(|seen| seen.failures.len()).sum(),
        origin: Cost { before: before[0], after: after[0] },
        edge: Cost { before: before[1], after: after[1] },
        delays,
    })
}

/// What a viewer saw between two moments. Failures have no time and are all kept.
fn within(seen: &Seen, began: Instant, ended: Instant) -> Seen {
    let inside = |at: Instant| began <= at && at <= ended;
    let arrivals = seen.arrivals.iter().filter(|arrival| inside(arrival.at)).cloned().collect();
    Seen { arrivals, failures: seen.failures.clone() }
}

/// An OVT reader that notes when every picture left the origin.
struct Probe {
    left: Arc<Mutex<Vec<(u64, Instant)>>>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Probe {
    fn start(authority: &str, stream: &str) -> Result<Probe> {
        let mut reader = ovt::Reader::play(authority, &format!("{APP}/{stream}"), Duration::from_secs(5))?;
        let (left, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (notes, stopped) = (Arc::clone(&left), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let packet = reader.next_packet()?;
                if let Some(picture) = fmp4::fingerprint_annex_b(&packet.data).filter(|_| packet.video) {
                    notes.lock().expect("nothing panics while it holds this lock").push((picture, packet.at));
                }
            }
            Ok(())
        });
        Ok(Probe { left, stop, thread })
    }

    fn stop(self) -> Result<Vec<(u64, Instant)>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .expect("a probe's thread only panics by a mistake of its own")
            .context("the OVT reader")?;
        Ok(std::mem::take(&mut *self.left.lock().expect("nothing panics while it holds this lock")))
    }
}

/// A process at a moment.
#[derive(Clone, Copy)]
struct Sample {
    cpu: Duration,
    memory: Memory,
}

impl Sample {
    fn take(pid: u32) -> Result<Sample> {
        Ok(Sample { cpu: machine::cpu_time(pid)?, memory: machine::memory(pid)? })
    }
}

/// A process over the interval.
struct Cost {
    before: Sample,
    after: Sample,
}

impl Cost {
    fn cpu_s(&self) -> f64 {
        (self.after.cpu - self.before.cpu).as_secs_f64()
    }

    fn mib(&self) -> [f64; 3] {
        let kib =
            [self.before.memory.resident_kib, self.after.memory.resident_kib, self.after.memory.peak_kib];
        kib.map(|kib| kib as f64 / 1_024.0)
    }
}

/// The result.
struct Figures {
    streams: usize,
    elapsed: Duration,
    relayed_gbit: f64,
    viewed_gbit: f64,
    failures: usize,
    origin: Cost,
    edge: Cost,
    /// In ascending order.
    delays: Vec<Duration>,
}

impl Figures {
    fn percent(&self, cost: &Cost) -> f64 {
        100.0 * cost.cpu_s() / self.elapsed.as_secs_f64()
    }

    /// The delay that `share` of all parts keep, in ms; `None` if none was measured.
    fn delay_ms(&self, share: f64) -> Option<f64> {
        let last = self.delays.len().checked_sub(1)?;
        Some(self.delays[(last as f64 * share).round() as usize].as_secs_f64() * 1e3)
    }

    fn json(&self) -> Value {
        let side = |cost: &Cost| {
            let [start, end, peak] = cost.mib();
            json!({
                "cpu_s": cost.cpu_s(),
                "cpu_s_per_gbit": cost.cpu_s() / self.relayed_gbit,
                "core_percent": self.percent(cost),
                "rss_mib": { "start": start, "end": end, "peak": peak },
            })
        };
        let (processor, cores) = machine::processor();
        json!({
            "benchmark": "relay",
            "machine": { "processor": processor, "cores": cores },
            "streams": self.streams,
            "seconds": self.elapsed.as_secs_f64(),
            "relayed_gbit": self.relayed_gbit,
            "viewed_gbit": self.viewed_gbit,
            "failed_requests": self.failures,
            "origin": side(&self.origin),
            "edge": side(&self.edge),
            "delay_ms": { "p50": self.delay_ms(0.5), "p99": self.delay_ms(0.99), "parts": self.delays.len() },
        })
    }

    fn markdown(&self) -> String {
        let (processor, cores) = machine::processor();
        let row = |name: &str, cost: &Cost| {
            let [start, end, peak] = cost.mib();
            let per_gbit = cost.cpu_s() / self.relayed_gbit;
            let percent = self.percent(cost);
            format!("| {name} | {percent:.1} % | {per_gbit:.2} | {start:.0} | {end:.0} | {peak:.0} |")
        };
        let delay =
            |share| self.delay_ms(share).map_or("not measured".to_owned(), |ms| format!("{ms:.1} ms"));
        format!(
            "## Relay\n\n\
            {processor}, {cores} cores. {} streams of 2 Mbit/s (1280x720, 30 fps, GOP 2 s, with sound), RTMP to an \
            origin, OVT to an edge, one LL-HLS viewer per stream; parts of 0.5 s, segments of 6 s, window of 10. \
            {:.0} s after {} s of warm-up; everything on loopback.\n\n\
            | side | % of a core | CPU s per Gbit relayed | RSS MiB, start | end | peak |\n\
            |---|---|---|---|---|---|\n{}\n{}\n\
            | OvenMediaEngine 0.20.0, origin | 46 % | 11.4 | 162 | 168 | |\n\
            | OvenMediaEngine 0.20.0, edge | 26 % | 6.5 | 838 | 1034 | |\n\n\
            Relayed {:.2} Gbit; the viewers took {:.2} Gbit, {} of their requests failed.\n\n\
            From the last access unit of a part leaving the origin (OVT, read directly) to the whole part being at \
            the viewer: median {}, 99th percentile {}, over {} parts of {} streams. A packager that learns a frame's \
            duration from the next frame has 33 ms of this.\n\n\
            OvenMediaEngine's figures: the same streams, window and interval on a machine with two cores that had \
            other work to do; its origin serves OVT only, its edge LL-HLS only, StreamWorkerCount 8.\n",
            self.streams,
            self.elapsed.as_secs_f64(),
            WARM_UP.as_secs(),
            row("Headwater, origin", &self.origin),
            row("Headwater, edge", &self.edge),
            self.relayed_gbit,
            self.viewed_gbit,
            self.failures,
            delay(0.5),
            delay(0.99),
            self.delays.len(),
            PROBED_STREAMS.min(self.streams),
        )
    }
}

/// Puts `text` between the marks of section `name` in `docs/benchmarks.md`, which is begun if it is not there.
pub fn write_section(name: &str, text: &str) -> Result<()> {
    let path = workspace().join("docs/benchmarks.md");
    let old = if path.is_file() { fs::read_to_string(&path)? } else { "# Benchmarks\n".to_owned() };
    fs::create_dir_all(workspace().join("docs"))?;
    fs::write(&path, with_section(&old, name, text))?;
    eprintln!("written to {}", path.display());
    Ok(())
}

/// `page` with `text` between the marks of section `name`, which is begun at its end if it is not there.
pub fn with_section(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- begin: {name} -->"), format!("<!-- end: {name} -->"));
    let section = format!("{begin}\n{}\n{end}", text.trim_end());
    let there = page.find(&begin).and_then(|from| Some(from..page[from..].find(&end)? + from + end.len()));
    match there {
        Some(range) => format!("{}{section}{}", &page[..range.start], &page[range.end..]),
        None => format!("{}\n\n{section}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_once_and_then_replaced() {
        let page = with_section("# Benchmarks\n\nWords.\n", "relay", "one\n");
        assert_eq!(page, "# Benchmarks\n\nWords.\n\n<!-- begin: relay -->\none\n<!-- end: relay -->\n");
        let page = with_section(&page, "relay", "two");
        assert_eq!(page, "# Benchmarks\n\nWords.\n\n<!-- begin: relay -->\ntwo\n<!-- end: relay -->\n");
    }

    #[test]
    fn wrong_flags_are_named() {
        assert!(parse(&["--stream", "3"]).is_err_and(|error| error.to_string().contains("--stream")));
        assert!(parse(&["--seconds"]).is_err());
        assert_eq!(parse(&["--streams", "3"]).unwrap().streams, 3);
    }
}
