//! The topology that most stories share: one encoder that publishes to two origins, and an edge that pulls from
//! them. Its servers are configured with `Server.xml` texts, as in production.

use headwater_core::config::{self, Config, Environment};
use headwater_core::event::{Event, Joined};
use headwater_core::io::{Machine, Service};
use headwater_core::node::Node;
use headwater_core::time::{Now, Time};
use headwater_net_sim::encoder::{Encoder, Source, Target};
use headwater_net_sim::rtmp::Rtmp;
use headwater_net_sim::{Boot, HostId, Latency, Viewer, World};

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
            latency_ms: 1,
            jitter_ms: 1,
        }
    }
}

impl Cluster {
    /// A cluster whose programs have just been started.
    pub fn new(seed: u64, plan: &Plan) -> Cluster {
        let mut world = World::new(seed);
        world.link_default(Latency::ms(plan.latency_ms).jitter_ms(plan.jitter_ms));
        let origin_a = world.host("origin-a", origin());
        let origin_b = world.host("origin-b", origin());
        let edge = world.host("edge", edge(plan));
        let to = |host: &str| Target::new(host, 1935, "live", "match");
        let encoder = match &plan.other_source {
            None => world.host("encoder", encoder(&plan.source, vec![to("origin-a"), to("origin-b")])),
            Some(other) => {
                world.host("encoder-b", encoder(other, vec![to("origin-b")]));
                world.host("encoder", encoder(&plan.source, vec![to("origin-a")]))
            }
        };
        Cluster { world, origin_a, origin_b, edge, encoder }
    }

    /// Adds a player of the cluster's stream.
    pub fn viewer(&mut self, name: &str) -> HostId {
        self.world.viewer(name, Viewer::new("http://edge:3333/live/match/llhls.m3u8"))
    }

    /// The moments at which the edge began to play an origin, with that origin's URL and how it was joined.
    pub fn switches(&self) -> Vec<(Time, String, Joined)> {
        let playing = |event: &Event| match event {
            Event::PullPlaying { url, joined, .. } => Some((url.clone(), *joined)),
            _ => None,
        };
        let facts = self.world.facts().iter().filter(|fact| fact.host == self.edge);
        facts.filter_map(|fact| playing(&fact.event).map(|(url, joined)| (fact.at, url, joined))).collect()
    }
}

fn encoder(source: &Source, targets: Vec<Target>) -> Boot {
    let source = source.clone();
    Boot::new(move |seed, now| {
        Box::new(Encoder::new(source.clone(), targets.clone(), seed, now, Rtmp::connect))
    })
}

/// An origin: RTMP in, OVT out.
pub fn origin() -> Boot {
    let config = parse(include_str!("origin.xml"), &[]);
    server(config).listen(1935, Service::Rtmp).listen(9000, Service::Ovt)
}

/// An edge of `origin-a` and `origin-b`: OVT in, LL-HLS out.
pub fn edge(plan: &Plan) -> Boot {
    let config = parse(
        include_str!("edge.xml"),
        &[
            ("NO_INPUT", plan.no_input_ms.to_string()),
            ("UNUSED", plan.unused_ms.to_string()),
            ("RETRY", plan.retry_count.to_string()),
            ("FAILBACK", plan.failback.to_string()),
        ],
    );
    server(config).listen(3333, Service::Http)
}

fn server(config: Config) -> Boot {
    Boot::new(move |seed: u64, now: Now| -> Box<dyn Machine> {
        Box::new(Node::new(config.clone(), seed, now))
    })
}

/// Reads a configuration in which `${env:...}` stands for the given variables.
///
/// # Panics
/// If it has an error: the texts are this crate's own.
fn parse(text: &str, variables: &[(&str, String)]) -> Config {
    match config::load("Server.xml", &Texts { text, variables }) {
        Ok(loaded) => loaded.config,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

/// An environment that has one file and a few variables.
struct Texts<'a> {
    text: &'a str,
    variables: &'a [(&'a str, String)],
}

impl Environment for Texts<'_> {
    fn var(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn hostname(&self) -> Option<String> {
        None
    }

    fn home(&self) -> String {
        ".".to_owned()
    }

    fn current_path(&self) -> String {
        ".".to_owned()
    }

    fn read(&self, _path: &str) -> Result<String, String> {
        Ok(self.text.to_owned())
    }

    fn list(&self, _dir: &str) -> Result<Vec<String>, String> {
        Ok(vec!["Server.xml".to_owned()])
    }
}
