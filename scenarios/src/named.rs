//! The named stories.

use core::time::Duration;

use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::check::EveryFrameOnce;
use headwater_net_sim::encoder::Source;
use headwater_net_sim::{Checks, Crash, HostId, Rng, ms, secs};

use crate::{Cluster, Plan, Report, Scenario};

/// A story that can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Tells it once.
    pub run: fn(seed: u64) -> Report,
}

/// Every named story.
pub const ALL: [Named; 2] = [named::<OriginCrash>(), named::<OriginFreeze>()];

const fn named<S: Scenario>() -> Named {
    Named { name: S::NAME, run: S::run }
}

/// The edge's origin dies: its process is killed, one way or the other.
#[derive(Clone, Copy, Debug)]
pub struct OriginCrash;

/// The edge's origin stops without a word: its process is stopped, its cable is cut, or its power is gone.
#[derive(Clone, Copy, Debug)]
pub struct OriginFreeze;

impl Scenario for OriginCrash {
    const NAME: &'static str = "origin-crash";

    fn run(seed: u64) -> Report {
        let mut draw = Rng::new(seed).fork(Self::NAME);
        let plan = plan(&mut draw);
        let how = if draw.below(2) == 0 { Crash::Fin } else { Crash::Reset };
        let mut story = Story::begin(seed, &plan, &mut draw);
        story.cluster.world.crash(story.cluster.origin_a, how);
        // The close arrives, and then connect, DESCRIBE and PLAY take a round trip each.
        let bound = one_way(&plan) * 8 + JOIN;
        story.end(Self::NAME, bound)
    }
}

impl Scenario for OriginFreeze {
    const NAME: &'static str = "origin-freeze";

    fn run(seed: u64) -> Report {
        let mut draw = Rng::new(seed).fork(Self::NAME);
        let plan = plan(&mut draw);
        let how = draw.below(3);
        let mut story = Story::begin(seed, &plan, &mut draw);
        let Cluster { world, origin_a, .. } = &mut story.cluster;
        match how {
            0 => world.pause(*origin_a),
            1 => world.isolate(*origin_a),
            _ => world.crash(*origin_a, Crash::Silent),
        }
        let bound = ms(plan.no_input_ms) + one_way(&plan) * 8 + JOIN;
        story.end(Self::NAME, bound)
    }
}

/// What differs from seed to seed: the network, the edge's patience, and the encoder.
fn plan(draw: &mut Rng) -> Plan {
    let gop = 15 * (1 + u32::try_from(draw.below(4)).unwrap_or(0));
    Plan {
        source: Source { gop, ..Source::default() },
        no_input_ms: 500 + draw.below(2_501),
        failback: draw.below(2) == 0,
        latency_ms: draw.below(31),
        jitter_ms: draw.below(11),
        ..Plan::default()
    }
}

/// A cluster with a viewer, and the moment at which its origin is lost.
struct Story {
    cluster: Cluster,
    viewer: HostId,
    lost: Time,
    one_way: Duration,
}

impl Story {
    fn begin(seed: u64, plan: &Plan, draw: &mut Rng) -> Story {
        let mut cluster = Cluster::new(seed, plan);
        cluster.world.run_for(secs(5));
        let viewer = cluster.viewer("viewer");
        cluster.world.run_for(secs(8) + draw.duration(secs(5)));
        let lost = cluster.world.now();
        Story { cluster, viewer, lost, one_way: one_way(plan) }
    }

    /// Lets the cluster recover. `bound` is how long the edge may be without an origin.
    fn end(mut self, name: &'static str, bound: Duration) -> Report {
        self.cluster.world.run_for(secs(12));
        // A part arrives every half second, later by as much as its way there and its playlist's differ.
        let gap = bound + ms(500) + 4 * self.one_way + ms(100);
        let mut checks = Checks::unharmed(gap).with(EveryFrameOnce::default());
        let mut report = Report::of(name, &self.cluster.world, &mut checks);
        let switch = self.cluster.switches().into_iter().find(|switch| switch.at > self.lost);
        let Some(switch) = switch else { return report };
        let gap = self.cluster.record(self.viewer).longest_gap(Kind::Video, self.cluster.world.now());
        report.figures = vec![("failover", switch.at.since(self.lost)), ("longest_gap", gap)];
        report
    }
}

/// The longest that a packet takes.
fn one_way(plan: &Plan) -> Duration {
    ms(plan.latency_ms + plan.jitter_ms)
}

/// How long a burst may take until its place on the timeline is known, and what packets wait for.
const JOIN: Duration = ms(50);
