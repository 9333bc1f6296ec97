//! A script: everything that a run is, as data. Who is there, what happens to them and when, and what must hold.
//!
//! A scenario writes a script from a seed; an engine plays it. Because a script is data it can be kept as a tape when
//! the code that wrote it has changed, it can be made shorter until only what matters is left (`shrink`), and more than one
//! engine can play it. It knows no engine: a host is a name, and time is milliseconds from the beginning.

use headwater_core::limits;
use headwater_net_sim::ome::spoilt::Wrong;
use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::rules::Rule;

/// A run, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// The scenario that wrote it.
    pub scenario: String,
    /// What jitter, cuts of byte streams and the boots of programs are drawn from.
    pub seed: u64,
    /// What connects every two hosts.
    pub link: Link,
    /// The directories in which servers announce streams and find them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<Store>,
    /// The origins.
    pub origins: Vec<Origin>,
    /// The edges.
    pub edges: Vec<Edge>,
    /// The encoders.
    pub encoders: Vec<Encoder>,
    /// The players.
    pub viewers: Vec<Viewer>,
    /// Those who only ask for a playlist, again and again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pollers: Vec<Poller>,
    /// Those who mean no good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<Stranger>,
    /// What happens, in the order of time.
    pub steps: Vec<Step>,
    /// How long the faults go on.
    pub length_ms: u64,
    /// What must be well again after that, and how soon.
    pub recovery: Recovery,
    /// What must hold besides what must hold in every run.
    pub rules: Vec<Rule>,
}

/// What a direction between two hosts is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The shortest time that a packet takes, in milliseconds.
    pub latency_ms: u64,
    /// Up to so much more.
    pub jitter_ms: u64,
    /// Of a million packets, how many are lost and come a retransmission later.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub loss_ppm: u32,
}

/// A Redis server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// The host's name.
    pub name: String,
}

/// A server that encoders publish to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The host's name.
    pub name: String,
    /// OriginMapStore: the directory in which it announces its streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// PlainKeys: whether it writes OvenMediaEngine's keys too.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub plain_keys: bool,
    /// How it serves viewers itself; it does not if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Serves>,
    /// It is OvenMediaEngine, as it is modelled: what the encoder of this name produces is made by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ome: Option<String>,
    /// It goes wrong on every connection, if it is OvenMediaEngine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoilt: Option<Spoilt>,
    /// StandbyPublishers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub standby: u32,
}

/// An origin that goes wrong on every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoilt {
    /// How.
    pub how: Wrong,
    /// So many writes are as they should be: the answer to DESCRIBE, to PLAY, and then frames.
    pub after: u32,
}

/// How an origin serves viewers, on a timeline that others may have too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serves {
    /// TimestampMode.
    pub timestamps: Timestamps,
    /// ChunkDuration, in milliseconds.
    pub part_ms: u64,
    /// SegmentDuration, in milliseconds.
    pub segment_ms: u64,
    /// SegmentCount.
    pub segments: u32,
}

/// Where a stream's timeline starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timestamps {
    /// At zero.
    ZeroBased,
    /// Where the encoder says.
    Original,
    /// Where the server's clock says.
    SystemClock,
}

impl Timestamps {
    /// Its name in `Server.xml`.
    pub fn name(self) -> &'static str {
        match self {
            Timestamps::ZeroBased => "ZeroBased",
            Timestamps::Original => "Original",
            Timestamps::SystemClock => "SystemClock",
        }
    }
}

/// A server that pulls from others and serves viewers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The host's name.
    pub name: String,
    /// The servers that it pulls from, the preferred one first. Edges may pull from edges.
    pub from: Vec<String>,
    /// OriginMapStore: the directory in which it finds what those servers do not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// NoInputFailoverTimeout, in milliseconds.
    pub no_input_ms: u64,
    /// RetryCount.
    pub retry_count: u32,
    /// UnusedStreamDeletionTimeout, in milliseconds.
    pub unused_ms: u64,
    /// Failback.
    pub failback: bool,
    /// Persistent.
    pub persistent: bool,
    /// HotStandby.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hot_standby: u32,
    /// ChunkDuration, in milliseconds.
    pub part_ms: u64,
    /// SegmentDuration, in milliseconds.
    pub segment_ms: u64,
    /// SegmentCount.
    pub segments: u32,
    /// Limits/WaitingRequests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_max: Option<u32>,
}

/// A program that produces a stream and publishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoder {
    /// The host's name.
    pub name: String,
    /// The stream, of application `live`.
    pub stream: String,
    /// The servers that it publishes to.
    pub to: Vec<String>,
    /// Encoders with different content have different frames.
    pub content: u32,
    /// Frames per second, as a fraction.
    pub fps: (u32, u32),
    /// Frames from one key frame to the next.
    pub gop: u32,
    /// B-frames between two others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub b_frames: u32,
    /// Samples of sound per second; no sound if none.
    pub audio: Option<u32>,
    /// Whether there are pictures.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub video: bool,
    /// How many times as many bytes it makes as others, which make 60 kB per second.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub size: u32,
    /// Whether timestamps count from the epoch, as they do for encoders that are synchronised, or from its start.
    pub synchronised: bool,
    /// When the 32 bits of RTMP's timestamps are used up, if it is synchronised: its clock is set so at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wraps_at_ms: Option<u64>,
    /// Which dialect of RTMP it speaks (`headwater_net_sim::dialect`); our own client's if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<u32>,
}

/// A player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewer {
    /// The host's name.
    pub name: String,
    /// The server that it plays from.
    pub server: String,
    /// The stream.
    pub stream: String,
    /// When it comes.
    pub from_ms: u64,
    /// When it leaves; it stays if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// How many of them come at that moment.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// Whether it asks for hinted parts before they are listed, as AVPlayer does and hls.js does not.
    #[serde(default, skip_serializing_if = "is_no")]
    pub hints: bool,
}

/// Asks for the multivariant playlist of a stream, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poller {
    /// The host's name.
    pub name: String,
    /// The server.
    pub server: String,
    /// The stream.
    pub stream: String,
    /// When it begins.
    pub from_ms: u64,
    /// How long it waits from one request to the next, whether or not there was an answer.
    pub every_ms: u64,
    /// How often it asks.
    pub times: u32,
}

/// Connects to a server again and again, and does there what no encoder and no edge does: silence, noise, words broken off,
/// endless words, crowds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// The host's name.
    pub name: String,
    /// The server.
    pub server: String,
    /// Which of its doors.
    pub door: Door,
}

/// What a server listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// Encoders.
    Rtmp,
    /// Edges.
    Ovt,
}

/// Something that happens at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, in milliseconds from the beginning.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// What can happen. A host is named, or is `source of <edge>`: whichever server that edge plays from at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Act {
    /// The process ends at once.
    Crash {
        /// Whose.
        host: String,
        /// What its peers hear of it.
        how: Crash,
    },
    /// The process is started, anew if it runs.
    Restart {
        /// Whose.
        host: String,
    },
    /// The process is asked to go when nobody needs it (SIGTERM).
    Drain {
        /// Whose.
        host: String,
    },
    /// An edge reads another configuration (SIGHUP), in which it pulls from these servers.
    Reload {
        /// Whose.
        host: String,
        /// The servers, the preferred one first.
        from: Vec<String>,
    },
    /// The process is asked to end in order (SIGINT).
    Stop {
        /// Whose.
        host: String,
    },
    /// The process is stopped where it is (SIGSTOP).
    Pause {
        /// Whose.
        host: String,
    },
    /// The stopped process goes on (SIGCONT).
    Resume {
        /// Whose.
        host: String,
    },
    /// Packets between the two are lost.
    Cut {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// Packets in this direction are lost.
    CutOneWay {
        /// From here.
        from: String,
        /// To there.
        to: String,
    },
    /// Packets between the two wait.
    Hold {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// Packets between the two go through again.
    Heal {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// The cable is pulled.
    Isolate {
        /// Whose.
        host: String,
    },
    /// The cable is put back.
    Rejoin {
        /// Whose.
        host: String,
    },
    /// The two are connected like this from now on.
    Relink {
        /// One.
        a: String,
        /// The other.
        b: String,
        /// Like this.
        #[serde(flatten)]
        link: Link,
    },
    /// The process reads so many bytes per second; as fast as it can if none.
    ReadRate {
        /// Whose.
        host: String,
        /// Bytes per second.
        bytes: Option<u64>,
    },
    /// The wall clock is set.
    StepClock {
        /// Whose.
        host: String,
        /// By so much, in milliseconds.
        by_ms: i64,
    },
    /// The clocks run too fast from now on.
    Drift {
        /// Whose.
        host: String,
        /// By so many millionths; too slow if negative.
        ppm: i32,
    },
    /// The store is started anew with nothing in it.
    Empty {
        /// Which.
        store: String,
    },
    /// A replica takes the store's place. It lacks the newest writes, although they were acknowledged.
    Promote {
        /// Which.
        store: String,
        /// How far it lags behind.
        lost_ms: u64,
    },
    /// The store does at once what it is asked for, and answers so much later.
    Slow {
        /// Which.
        store: String,
        /// By so much.
        by_ms: u64,
    },
    /// A name means another host, or nothing.
    Dns {
        /// The name.
        name: String,
        /// What it means.
        host: Option<String>,
    },
    /// The encoder produces nothing for a while.
    Stall {
        /// Whose.
        encoder: String,
        /// For so long.
        for_ms: u64,
    },
    /// The encoder's timestamps jump.
    Jump {
        /// Whose.
        encoder: String,
        /// By so much.
        by_ms: i64,
    },
    /// The encoder's pictures have another size from the next key frame on.
    Resize {
        /// Whose.
        encoder: String,
        /// 1280x720, or else 640x360.
        large: bool,
    },
    /// The encoder closes its connections and opens new ones.
    Reconnect {
        /// Whose.
        encoder: String,
    },
}

/// What the peers of a process that ends hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crash {
    /// Its kernel closes its connections in order.
    Fin,
    /// Its kernel resets them.
    Reset,
    /// Nothing: the power is gone.
    Silent,
}

/// What must be well again when the faults are over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The hosts that are put right; whatever else is broken stays broken. All of them if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub core: Vec<String>,
    /// How soon the streams that the core can play must be played.
    pub within_ms: u64,
}

/// Writing.
impl Script {
    /// Two origins, an edge of both, an encoder that feeds both, and nobody who watches, for half a minute.
    pub fn new() -> Script {
        let origins = vec![Origin::new("origin-a"), Origin::new("origin-b")];
        let both = ["origin-a", "origin-b"];
        Script {
            scenario: String::new(),
            seed: 0,
            link: Link { latency_ms: 1, jitter_ms: 1, loss_ppm: 0 },
            stores: Vec::new(),
            edges: vec![Edge::new("edge", &both)],
            encoders: vec![Encoder::new("encoder", STREAM, &both)],
            origins,
            viewers: Vec::new(),
            pollers: Vec::new(),
            strangers: Vec::new(),
            steps: Vec::new(),
            length_ms: 30_000,
            recovery: Recovery { core: Vec::new(), within_ms: 10_000 },
            rules: Vec::new(),
        }
    }

    /// The same, but the edge knows no server: origins announce their streams in a directory, and edges look there.
    pub fn with_directory() -> Script {
        let mut script = Script::new();
        let store = Some(STORE.to_owned());
        script.stores.push(Store { name: STORE.to_owned() });
        script.origins.iter_mut().for_each(|origin| origin.store.clone_from(&store));
        for edge in &mut script.edges {
            (edge.from, edge.store) = (Vec::new(), store.clone());
        }
        script
    }

    /// Lets `act` happen at `at_ms`.
    pub fn at(&mut self, at_ms: u64, act: Act) -> &mut Script {
        let place = self.steps.partition_point(|step| step.at_ms <= at_ms);
        self.steps.insert(place, Step { at_ms, act });
        self
    }

    /// Lets a player of the cluster's stream come to `server` at `from_ms`.
    pub fn viewer(&mut self, server: &str, from_ms: u64) -> &mut Viewer {
        let name = match self.viewers.len() {
            0 => "viewer".to_owned(),
            n => format!("viewer-{}", n + 1),
        };
        let viewer = Viewer {
            name,
            server: server.to_owned(),
            stream: STREAM.to_owned(),
            from_ms,
            until_ms: None,
            count: 1,
            hints: false,
        };
        self.viewers.push(viewer);
        self.viewers.last_mut().expect("just pushed")
    }

    /// Demands `rule`.
    pub fn must(&mut self, rule: Rule) -> &mut Script {
        self.rules.push(rule);
        self
    }

    /// Draws a network as it is within a continent.
    pub fn draw_network(&mut self, draw: &mut Draw) -> &mut Script {
        let mut draw = draw.part("network");
        self.link = Link { latency_ms: draw.number(0..=30), jitter_ms: draw.number(0..=10), loss_ppm: 0 };
        self
    }

    /// Draws how patient the edges are, and whether they go back to their first server.
    pub fn draw_patience(&mut self, draw: &mut Draw) -> &mut Script {
        let mut draw = draw.part("patience");
        for edge in &mut self.edges {
            edge.no_input_ms = draw.number(500..=3_000);
            edge.retry_count = draw.small(1..=3);
            edge.unused_ms = draw.number(2_000..=8_000);
            edge.failback = draw.coin();
        }
        self
    }

    /// How far apart parts arrive at a viewer if nothing happens: a part's length, and what its way there and its
    /// playlist's may differ by, also if a connection has to be opened for it.
    pub fn part_gap_ms(&self) -> u64 {
        let part_ms = self.edges.iter().map(|edge| edge.part_ms).max().unwrap_or(0);
        part_ms + 6 * self.one_way_ms() + 100
    }

    /// After how long a silence the first edge tries the next origin, if its origin is a Headwater whose pauses are short.
    pub fn suspects_ms(&self) -> u64 {
        let suspects = limits::SILENCE_MIN.as_millis() as u64;
        self.edges.first().map_or(suspects, |edge| edge.no_input_ms.min(suspects))
    }

    /// How long a new connection to an origin takes until it has brought news, if nothing is lost: a round trip each for
    /// the handshake, DESCRIBE and PLAY, and then the recent past, ten packets in the first round trip and twice as many
    /// in each after it, which is 450 kB in five.
    pub fn dial_ms(&self) -> u64 {
        2 * (4 + 5) * self.one_way_ms()
    }

    /// Whether a server, a store or an encoder is called `name`: a program that can be started anew.
    pub fn is_machine(&self, name: &str) -> bool {
        self.origins.iter().any(|origin| origin.name == name)
            || self.stores.iter().any(|store| store.name == name)
            || self.edges.iter().any(|edge| edge.name == name)
            || self.encoders.iter().any(|encoder| encoder.name == name)
    }

    /// The longest that a packet takes if none is lost, in milliseconds.
    pub fn one_way_ms(&self) -> u64 {
        self.link.latency_ms + self.link.jitter_ms
    }
}

impl Default for Script {
    fn default() -> Self {
        Script::new()
    }
}

impl Origin {
    /// An origin.
    pub fn new(name: &str) -> Origin {
        let name = name.to_owned();
        Origin { name, store: None, plain_keys: true, serves: None, ome: None, spoilt: None, standby: 0 }
    }
}

impl Edge {
    /// An edge with OvenMediaEngine's defaults, except that an unused stream goes after five seconds.
    pub fn new(name: &str, from: &[&str]) -> Edge {
        Edge {
            name: name.to_owned(),
            from: from.iter().map(|&server| server.to_owned()).collect(),
            store: None,
            no_input_ms: 3_000,
            retry_count: 2,
            unused_ms: 5_000,
            failback: false,
            persistent: false,
            hot_standby: 0,
            part_ms: 500,
            segment_ms: 4_000,
            segments: 10,
            waiting_max: None,
        }
    }
}

impl Encoder {
    /// 30 frames per second with a key frame every second, and 48 kHz sound.
    pub fn new(name: &str, stream: &str, to: &[&str]) -> Encoder {
        Encoder {
            name: name.to_owned(),
            stream: stream.to_owned(),
            to: to.iter().map(|&server| server.to_owned()).collect(),
            content: 1,
            fps: (30, 1),
            gop: 30,
            b_frames: 0,
            audio: Some(48_000),
            video: true,
            size: 1,
            synchronised: false,
            wraps_at_ms: None,
            dialect: None,
        }
    }
}

impl Viewer {
    /// The names of the hosts that they play on, one for each of them.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let name = self.name.clone();
        (1..=self.count).map(move |n| if n == 1 { name.clone() } else { format!("{name} of {n}") })
    }
}

impl Act {
    /// The hosts that it names.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Act::Crash { host, .. }
            | Act::Restart { host }
            | Act::Drain { host }
            | Act::Reload { host, .. }
            | Act::Stop { host }
            | Act::Pause { host }
            | Act::Resume { host }
            | Act::Isolate { host }
            | Act::Rejoin { host }
            | Act::ReadRate { host, .. }
            | Act::StepClock { host, .. }
            | Act::Drift { host, .. } => vec![host],
            Act::Cut { a, b } | Act::Hold { a, b } | Act::Heal { a, b } | Act::Relink { a, b, .. } => {
                vec![a, b]
            }
            Act::CutOneWay { from, to } => vec![from, to],
            Act::Empty { store } | Act::Promote { store, .. } | Act::Slow { store, .. } => vec![store],
            Act::Dns { host, .. } => host.iter().map(String::as_str).collect(),
            Act::Stall { encoder, .. }
            | Act::Jump { encoder, .. }
            | Act::Resize { encoder, .. }
            | Act::Reconnect { encoder } => vec![encoder],
        }
    }
}

/// The edge of which a host is called `source of <edge>`.
pub fn source_of(host: &str) -> Option<&str> {
    host.strip_prefix("source of ")
}

/// The name of the stream of [`Script::new`].
pub const STREAM: &str = "match";

/// The name of the store of [`Script::with_directory`].
pub const STORE: &str = "store";

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn yes() -> bool {
    true
}

fn is_no(answer: &bool) -> bool {
    !*answer
}

fn is_yes(answer: &bool) -> bool {
    *answer
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}
