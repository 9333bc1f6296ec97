//! The story of a lost origin: an encoder publishes to two origins, an edge pulls from one of them, somebody
//! watches; then that origin is lost, and comes back.
//!
//! The stage is here; what runs on it is given, so that a node, a model of another server or a wrong node on
//! purpose can play the same part.

use core::time::Duration;

use headwater_core::event::Event;
use headwater_core::media::Kind;
use headwater_net_sim::{Boot, Checks, Crash, HostId, Latency, Rng, Viewer, World, ms, secs};

use crate::Report;

/// What runs where. The encoder publishes to `origin-a` and `origin-b`; the edge knows both.
pub struct Programs {
    /// The program of `origin-a`, with its listeners.
    pub origin_a: Boot,
    /// The program of `origin-b`, with its listeners.
    pub origin_b: Boot,
    /// The program of `edge`, listening for HTTP on port 8080.
    pub edge: Boot,
    /// The program of `encoder`.
    pub encoder: Boot,
    /// Which origin the edge pulls from first.
    pub first: First,
    /// The path of the multivariant playlist: `/app/stream/llhls.m3u8`.
    pub path: String,
}

/// One of the two origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// `origin-a`.
    A,
    /// `origin-b`.
    B,
}

/// How the origin is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its process, or its power.
    Crash(Crash),
    /// Its cable.
    Cut,
    /// It is stopped and says nothing.
    Freeze,
}

/// What the story is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest time between two parts of a track at the viewer.
    pub gap: Duration,
}

/// Tells the story once.
pub fn tell(name: &'static str, seed: u64, programs: Programs, loss: Loss, bounds: Bounds) -> Report {
    let mut draws = Rng::new(seed).fork(name);
    let mut world = World::new(seed);
    world.link_default(Latency::ms(1 + draws.below(20)).jitter_ms(draws.below(10)));
    let origin_a = world.host("origin-a", programs.origin_a);
    let origin_b = world.host("origin-b", programs.origin_b);
    world.host("edge", programs.edge);
    world.host("encoder", programs.encoder);
    world.run_for(secs(5) + draws.duration(secs(5)));

    let viewer = world.viewer("viewer", Viewer::new(&format!("http://edge:8080{}", programs.path)));
    world.run_for(secs(15) + draws.duration(secs(5)));
    let lost = if programs.first == First::A { origin_a } else { origin_b };
    lose(&mut world, lost, loss);
    world.run_for(secs(10) + draws.duration(secs(5)));
    bring_back(&mut world, lost, loss);
    world.run_for(secs(20));

    let mut report = Report::of(name, &world, &mut Checks::unharmed(bounds.gap).with(Started(viewer)));
    report.figures = figures(&world, viewer);
    report
}

fn lose(world: &mut World, origin: HostId, loss: Loss) {
    match loss {
        Loss::Crash(crash) => world.crash(origin, crash),
        Loss::Cut => world.isolate(origin),
        Loss::Freeze => world.pause(origin),
    }
}

fn bring_back(world: &mut World, origin: HostId, loss: Loss) {
    match loss {
        Loss::Crash(_) => world.restart(origin),
        Loss::Cut => world.rejoin(origin),
        Loss::Freeze => world.resume(origin),
    }
}

fn figures(world: &World, viewer: HostId) -> Vec<(&'static str, Duration)> {
    let record = world.watch(viewer).record();
    let outage =
        |event: &Event| if let Event::PullPlaying { outage, .. } = event { Some(*outage) } else { None };
    vec![
        ("video-gap", record.longest_gap(Kind::Video, world.now())),
        ("audio-gap", record.longest_gap(Kind::Audio, world.now())),
        ("stalled", record.stalled(world.now())),
        ("outage", world.facts().iter().filter_map(|fact| outage(&fact.event)).max().unwrap_or(ms(0))),
    ]
}

/// The viewer has seen something at all: without it every other rule holds in a dead world.
struct Started(HostId);

impl headwater_net_sim::Checker for Started {
    fn rule(&self) -> &'static str {
        "playing begins"
    }

    fn check(&mut self, world: &World) -> Result<(), (headwater_core::time::Time, HostId, String)> {
        match world.watch(self.0).record().started {
            Some(_) => Ok(()),
            None => Err((world.now(), self.0, "nothing was played".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_core::io::{Input, Machine, Output, Service};
    use headwater_core::time::{Deadline, Now};

    struct Idle;

    impl Machine for Idle {
        fn handle(&mut self, _now: Now, _input: Input) {}
        fn handle_timeout(&mut self, _now: Now) {}
        fn poll_output(&mut self) -> Option<Output> {
            None
        }
        fn poll_timeout(&self) -> Option<Deadline> {
            None
        }
    }

    fn idle() -> Boot {
        Boot::new(|_, _| Box::new(Idle))
    }

    fn silent_edge(seed: u64, loss: Loss) -> Report {
        let programs = Programs {
            origin_a: idle(),
            origin_b: idle(),
            edge: idle().listen(8080, Service::Http),
            encoder: idle(),
            first: First::A,
            path: "/app/stream/llhls.m3u8".to_owned(),
        };
        tell("failover", seed, programs, loss, Bounds { gap: secs(1) })
    }

    #[test]
    fn an_edge_that_says_nothing_fails() {
        for loss in [Loss::Crash(Crash::Fin), Loss::Crash(Crash::Silent), Loss::Cut, Loss::Freeze] {
            let report = silent_edge(3, loss);
            assert!(!report.passed(), "{report}");
            assert_eq!(report, silent_edge(3, loss));
        }
        assert_ne!(silent_edge(3, Loss::Cut).trace_hash, silent_edge(4, Loss::Cut).trace_hash);
    }
}
