//! The topology that most stories share: one encoder that publishes to two origins, and an edge that pulls from
//! them. Its servers are configured with `Server.xml` texts, as in production.

use core::time::Duration;

use headwater_core::event::{Event, Joined};
use headwater_core::io::{Machine, Service};
use headwater_core::media::Kind;
use headwater_core::node::Node;
use headwater_core::time::{Now, Time};
use headwater_net_sim::encoder::{Encoder, Source, Target};
use headwater_net_sim::playlist::{Master, Media};
use headwater_net_sim::redis::WithStore;
use headwater_net_sim::rtmp::Rtmp;
use headwater_net_sim::viewer::Record;
use headwater_net_sim::{Boot, Fact, HostId, Latency, Viewer, World};

use crate::script::{Edge, Origin};
use crate::servers::{self, ServerXml};

/// Two origins, an edge that knows both, and an encoder that feeds both.
pub struct Cluster {
    /// The world that they live in.
    pub world: World,
    /// The edge's first origin.
    pub origin_a: HostId,
    /// Its second.
    pub origin_b: HostId,
    /// The edge.
    pub edge: HostId,
    /// The encoder.
    pub encoder: HostId,
    /// Asks over HTTP, for [`Cluster::ask`].
    prober: HostId,
}

/// How a [`Cluster`] is built.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the encoder produces.
    pub source: Source,
    /// What a second encoder produces for origin B; the same encoder feeds both if there is none.
    pub other_source: Option<Source>,
    /// NoInputFailoverTimeout of the edge, in milliseconds.
    pub no_input_ms: u64,
    /// RetryCount of the edge.
    pub retry_count: u32,
    /// UnusedStreamDeletionTimeout of the edge, in milliseconds.
    pub unused_ms: u64,
    /// Failback of the edge.
    pub failback: bool,
    /// Persistent of the edge's rule.
    pub persistent: bool,
    /// One-way latency of every link, in milliseconds.
    pub latency_ms: u64,
    /// Up to so much more of it, in milliseconds.
    pub jitter_ms: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            source: Source::default(),
            other_source: None,
            no_input_ms: 3_000,
            retry_count: 1,
            unused_ms: 60_000,
            failback: false,
            persistent: false,
            latency_ms: 1,
            jitter_ms: 1,
        }
    }
}

/// Building.
impl Cluster {
    /// A cluster whose programs have just been started.
    pub fn new(seed: u64, plan: &Plan) -> Cluster {
        Cluster::build(World::new(seed), plan)
    }

    /// The same, recorded from the beginning: for a page of it.
    pub fn recorded(seed: u64, plan: &Plan) -> Cluster {
        let mut world = World::new(seed);
        world.record();
        Cluster::build(world, plan)
    }

    fn build(mut world: World, plan: &Plan) -> Cluster {
        world.link_default(Latency::ms(plan.latency_ms).jitter_ms(plan.jitter_ms));
        let origin_a = world.host("origin-a", origin());
        let origin_b = world.host("origin-b", origin());
        let edge = world.host("edge", edge(plan, ORIGINS));
        let encoder = match &plan.other_source {
            None => world.host("encoder", encoder(&plan.source, STREAM, &ORIGINS)),
            Some(other) => {
                world.host("encoder-b", encoder(other, STREAM, &ORIGINS[1..]));
                world.host("encoder", encoder(&plan.source, STREAM, &ORIGINS[..1]))
            }
        };
        let prober = world.prober("prober");
        Cluster { world, origin_a, origin_b, edge, encoder, prober }
    }

    /// A cluster that has played for `warm_up`, and its viewer.
    ///
    /// # Panics
    /// If the edge did not find the stream, or lost it.
    pub fn playing(seed: u64, plan: &Plan, warm_up: Duration) -> (Cluster, HostId) {
        let mut cluster = Cluster::new(seed, plan);
        cluster.world.run_for(START);
        let viewer = cluster.viewer("viewer");
        cluster.world.run_for(warm_up);
        assert_eq!(cluster.switches().len(), 1, "{}", cluster.world.story(60));
        (cluster, viewer)
    }

    /// Adds an edge that knows the servers of these two names.
    pub fn add_edge(&mut self, name: &str, plan: &Plan, origins: [&str; 2]) -> HostId {
        self.world.host(name, edge(plan, origins))
    }

    /// Adds an encoder that feeds a stream of this name to these servers.
    pub fn add_encoder(&mut self, name: &str, source: &Source, stream: &str, to: &[&str]) -> HostId {
        self.world.host(name, encoder(source, stream, to))
    }

    /// Adds a player of the cluster's stream on its edge.
    pub fn viewer(&mut self, name: &str) -> HostId {
        self.viewer_of(name, "edge", STREAM)
    }

    /// Adds a player of a stream on a server.
    pub fn viewer_of(&mut self, name: &str, server: &str, stream: &str) -> HostId {
        self.world.viewer(name, Viewer::new(&master_url(server, stream)))
    }
}

/// An origin's way onto the viewers' screens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// When its first media arrived.
    pub at: Time,
    /// Its URL.
    pub url: String,
    /// How long the edge was without media.
    pub outage: Duration,
    /// How it was joined to what was there.
    pub joined: Joined,
}

/// Looking.
impl Cluster {
    /// The moments at which the edge began to play an origin.
    pub fn switches(&self) -> Vec<Switch> {
        self.switches_of(self.edge)
    }

    /// The moments at which `edge` began to play a server.
    pub fn switches_of(&self, edge: HostId) -> Vec<Switch> {
        let switch = |fact: &Fact| match &fact.event {
            Event::PullPlaying { url, outage, joined, .. } => {
                Some(Switch { at: fact.at, url: url.clone(), outage: *outage, joined: *joined })
            }
            _ => None,
        };
        self.facts_of(edge).filter_map(switch).collect()
    }

    /// The moments at which the edge tried an origin, with that origin's URL.
    pub fn dials(&self) -> Vec<(Time, String)> {
        let dial = |fact: &Fact| match &fact.event {
            Event::PullDialled { url, .. } => Some((fact.at, url.clone())),
            _ => None,
        };
        self.facts_of(self.edge).filter_map(dial).collect()
    }

    /// Everything that the program of `host` said.
    pub fn facts_of(&self, host: HostId) -> impl Iterator<Item = &Fact> {
        self.world.facts().iter().filter(move |fact| fact.host == host)
    }

    /// Everything that was said since a moment.
    pub fn facts_since(&self, since: Time) -> impl Iterator<Item = &Fact> {
        self.world.facts().iter().filter(move |fact| fact.at >= since)
    }

    /// Asks over HTTP and lets time go by until the answer is there: its status and its body. Status 0 is no answer.
    pub fn ask(&mut self, url: &str) -> (u16, String) {
        let asked = self.world.get(self.prober, url);
        let prober = self.prober;
        self.world.wait_for(PATIENCE, |world| world.answer(prober, asked).is_some());
        let Some(answer) = self.world.answer(prober, asked) else { return (0, String::new()) };
        let status = answer.status.map_or(0, |status| status.as_u16());
        (status, String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// The status of the edge's answer to a new viewer's first request.
    pub fn ask_master(&mut self) -> u16 {
        self.ask(&master_url("edge", STREAM)).0
    }

    /// What the viewer on `host` has written down.
    pub fn record(&self, host: HostId) -> &Record {
        self.world.watch(host).record()
    }

    /// The media playlist of `kind` on the edge as it is now; `None` if there is none.
    pub fn playlist(&mut self, kind: Kind) -> Option<(Media, String)> {
        let url = master_url("edge", STREAM);
        let (_, text) = self.ask(&url);
        let master = Master::parse(&text).ok()?;
        let uri = match kind {
            Kind::Audio => master.audio.first()?.uri.clone()?,
            _ => master.variants.first()?.uri.clone(),
        };
        // Chunklists are named by their absolute path.
        let (_, text) = self.ask(&format!("http://edge:3333{uri}"));
        Some((Media::parse(&text).ok()?, text))
    }
}

/// The URL that a player opens.
pub fn master_url(server: &str, stream: &str) -> String {
    format!("http://{server}:3333/live/{stream}/llhls.m3u8")
}

/// An encoder of a stream of application `live`, for the servers of these names.
pub fn encoder(source: &Source, stream: &str, to: &[&str]) -> Boot {
    let source = source.clone();
    let targets: Vec<Target> = to.iter().map(|host| Target::new(host, 1935, "live", stream)).collect();
    Boot::new(move |seed, now| {
        Box::new(Encoder::new(source.clone(), targets.clone(), seed, now, Rtmp::connect))
    })
}

/// An origin: RTMP in, OVT out.
pub fn origin() -> Boot {
    server(&ServerXml::origin(&Origin::new("origin"), "*"))
        .listen(servers::RTMP_PORT, Service::Rtmp)
        .listen(servers::OVT_PORT, Service::Ovt)
}

/// An edge of two servers: OVT in, LL-HLS out, and OVT for edges behind it.
pub fn edge(plan: &Plan, origins: [&str; 2]) -> Boot {
    let edge = Edge {
        no_input_ms: plan.no_input_ms,
        unused_ms: plan.unused_ms,
        retry_count: plan.retry_count,
        failback: plan.failback,
        persistent: plan.persistent,
        ..Edge::new("edge", &origins)
    };
    server(&ServerXml::edge(&edge, "*", str::to_owned))
        .listen(servers::HLS_PORT, Service::Http)
        .listen(servers::OVT_PORT, Service::Ovt)
}

/// A program that reads `xml` at every boot.
///
/// # Panics
/// If it has an error: a script is wrong.
pub fn server(xml: &ServerXml) -> Boot {
    let config = xml.config().unwrap_or_else(|wrong| panic!("{wrong}"));
    Boot::new(move |seed: u64, now: Now| -> Box<dyn Machine> {
        Box::new(WithStore::new(Node::new(config.clone(), seed, now), &config, now))
    })
}

/// The names of a cluster's origins, the edge's first one first.
pub const ORIGINS: [&str; 2] = ["origin-a", "origin-b"];
/// The name of a cluster's stream.
pub const STREAM: &str = "match";
/// How long a cluster runs before its first viewer comes.
pub const START: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
