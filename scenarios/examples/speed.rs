//! How fast the simulator is: two worlds, each run for a while, and how much of the processor's time that took.
//!
//! `speed [frames|gop|both] [--seconds N] [--json]`; `cargo xtask bench sim` runs it. Time is the processor's, as the
//! kernel counts it for this process, which has one thread: so the figures hold on a machine that is not idle.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use headwater_core::io::Service;
use headwater_net_sim::encoder::{Source, Timestamps};
use headwater_net_sim::{Checks, HostId, Latency, Viewer, World, secs};
use headwater_scenarios::Plan;
use headwater_scenarios::cluster::{edge, encoder, master_url, origin, server};
use headwater_scenarios::script::Edge;
use headwater_scenarios::servers::{HLS_PORT, OVT_PORT, ServerXml};

// As in the program that runs scenarios.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A world, and what keeps it going.
struct Bench {
    name: &'static str,
    world: World,
    /// Asks for every stream now and then, so that none is unused.
    prober: Option<(HostId, Vec<String>)>,
}

/// What came of a run.
struct Figures {
    name: &'static str,
    simulated: Duration,
    processor: Duration,
    elapsed: Duration,
    events: u64,
    facts: usize,
    peak_mib: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut arguments = arguments.iter().map(String::as_str);
    let (mut which, mut seconds, mut json) = ("both", None, false);
    while let Some(argument) = arguments.next() {
        match argument {
            "frames" | "gop" | "both" => which = argument,
            "--json" => json = true,
            "--seconds" => match arguments.next().and_then(|text| text.parse().ok()).filter(|n| *n > 0) {
                Some(n) => seconds = Some(n),
                None => return fail("--seconds wants a number above 0"),
            },
            other => return fail(&format!("unknown argument {other:?}; see the top of speed.rs")),
        }
    }
    let mut figures = Vec::new();
    if which != "gop" {
        figures.push(frames().run(seconds.unwrap_or(60)));
    }
    if which != "frames" {
        figures.push(gops().run(seconds.unwrap_or(240)));
    }
    if json {
        let worlds: Vec<String> = figures.iter().map(Figures::json).collect();
        println!("[{}]", worlds.join(","));
    } else {
        figures.iter().for_each(|figures| println!("{}", figures.text()));
    }
    ExitCode::SUCCESS
}

fn fail(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

/// Two origins, two edges, ten streams at 30 frames per second with sound that are published to both origins, and a
/// player of each stream on each edge.
fn frames() -> Bench {
    let mut world = World::new(1);
    world.link_default(Latency::ms(1).jitter_ms(1));
    let origins = ["origin-a", "origin-b"];
    for name in origins {
        world.host(name, origin());
    }
    for (name, first) in [("edge-a", origins), ("edge-b", ["origin-b", "origin-a"])] {
        world.host(name, edge(&Plan::default(), first));
    }
    for n in 0..10 {
        let source = Source { name: n, gop: 60, ..Source::default() };
        world.host(&format!("encoder-{n}"), encoder(&source, &stream(n), &origins));
    }
    world.run_for(secs(5));
    for n in 0..20 {
        let server = ["edge-a", "edge-b"][n as usize % 2];
        world.viewer(&format!("viewer-{n}"), Viewer::new(&master_url(server, &stream(n / 2))));
    }
    Bench { name: "frames", world, prober: None }
}

/// Three origins, ten edges, and a thousand streams, each published to one origin and pulled by one edge. Media is
/// modelled by the GOP: one small access unit every two seconds, no sound. Nobody watches; every stream's playlist is
/// asked for once a minute, so that none is unused.
fn gops() -> Bench {
    let mut world = World::new(1);
    world.link_default(Latency::ms(1).jitter_ms(1));
    let origins = ["origin-0", "origin-1", "origin-2"];
    for name in origins {
        world.host(name, origin());
    }
    for n in 0..10 {
        // A stream is at one of the two origins that its edge knows. A part holds a frame, and a frame is a GOP.
        let name = format!("edge-{n}");
        let from = [origins[n % 3], origins[(n + 1) % 3]];
        let edge = Edge { unused_ms: 150_000, no_input_ms: 5_000, part_ms: 2_000, ..Edge::new(&name, &from) };
        let boot = server(&ServerXml::edge(&edge, "*", str::to_owned));
        world.host(&name, boot.listen(HLS_PORT, Service::Http).listen(OVT_PORT, Service::Ovt));
    }
    let mut urls = Vec::new();
    for n in 0..1_000_u32 {
        let at = n as usize % 10;
        let source = Source {
            name: n,
            fps: (1, 2),
            gop: 1,
            key_bytes: 200,
            audio: None,
            timestamps: Timestamps::Zero,
            ..Source::default()
        };
        let origin = origins[(at + usize::from(n % 20 >= 10)) % 3];
        world.host(&format!("encoder-{n}"), encoder(&source, &stream(n), &[origin]));
        // Encoders do not start in the same moment.
        world.run_for(Duration::from_millis(2));
        urls.push(master_url(&format!("edge-{at}"), &stream(n)));
    }
    world.run_for(secs(10));
    let prober = world.prober("prober");
    Bench { name: "gop", world, prober: Some((prober, urls)) }
}

fn stream(n: u32) -> String {
    format!("stream-{n}")
}

impl Bench {
    /// Runs it for so many seconds of its own time, after a warm-up.
    ///
    /// # Panics
    /// If the world is not what it is meant to be: a figure of it would be a lie.
    fn run(mut self, seconds: u64) -> Figures {
        let checks = &mut Checks::unharmed(secs(3));
        self.go(WARM_UP_S);
        let before = self.world.trace().count();
        let facts = self.world.facts().len();
        let (elapsed, processor) = (Instant::now(), processor_time());
        self.go(seconds);
        let (elapsed, processor) = (elapsed.elapsed(), processor_time().saturating_sub(processor));
        checks.demand(&self.world);
        let viewers = self.world.viewers();
        let idle = viewers.filter(|(_, viewer)| viewer.record().parts.len() < seconds as usize).count();
        assert_eq!(idle, 0, "every viewer plays");
        if let Some((_, urls)) = &self.prober {
            let pulls: usize = self.world.machines().map(|host| self.world.census(host).pulls).sum();
            assert_eq!(pulls, urls.len(), "every stream is pulled once");
        }
        Figures {
            name: self.name,
            simulated: secs(seconds),
            processor,
            elapsed,
            events: self.world.trace().count() - before,
            facts: self.world.facts().len() - facts,
            peak_mib: peak_mib(),
        }
    }

    fn go(&mut self, seconds: u64) {
        let Some((prober, urls)) = &self.prober else { return self.world.run_for(secs(seconds)) };
        for _ in 0..seconds {
            let second = self.world.now().as_micros() / 1_000_000;
            for url in urls.iter().skip(second as usize % PROBED_EVERY_S).step_by(PROBED_EVERY_S) {
                self.world.get(*prober, url);
            }
            self.world.run_for(secs(1));
        }
    }
}

impl Figures {
    fn speed(&self) -> f64 {
        self.simulated.as_secs_f64() / self.processor.as_secs_f64().max(1e-9)
    }

    fn text(&self) -> String {
        format!(
            "{}: {:.0} s of the world in {:.2} s of the processor ({:.2} s elapsed): {:.0} times real time, {:.0} events \
             per second of the world, {:.0} ns each, {} facts, peak memory {} MiB",
            self.name,
            self.simulated.as_secs_f64(),
            self.processor.as_secs_f64(),
            self.elapsed.as_secs_f64(),
            self.speed(),
            self.events as f64 / self.simulated.as_secs_f64(),
            self.processor.as_nanos() as f64 / self.events as f64,
            self.facts,
            self.peak_mib,
        )
    }

    fn json(&self) -> String {
        format!(
            r#"{{"world":"{}","simulated_s":{},"processor_s":{:.3},"elapsed_s":{:.3},"speed":{:.1},"events":{},"facts":{},"peak_mib":{}}}"#,
            self.name,
            self.simulated.as_secs(),
            self.processor.as_secs_f64(),
            self.elapsed.as_secs_f64(),
            self.speed(),
            self.events,
            self.facts,
            self.peak_mib,
        )
    }
}

/// The processor's time that this process has used.
///
/// # Panics
/// If the kernel does not tell: this needs Linux.
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/self/schedstat").expect("Linux with schedstat");
    let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("a number of nanoseconds");
    Duration::from_nanos(ns)
}

fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// Until every stream has its parts and every playlist its length.
const WARM_UP_S: u64 = 70;
/// How often every stream is asked for.
const PROBED_EVERY_S: usize = 60;
