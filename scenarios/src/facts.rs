//! What edges do with the servers that they play from, in the same words for every engine: the decisions of a failover.

use core::fmt;
use core::time::Duration;

use headwater_core::event::Event;
use headwater_core::time::Time;
use headwater_net_sim::World;

/// What an edge said of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// When, in the script's time.
    pub at: Time,
    /// The edge's name.
    pub edge: String,
    /// The stream.
    pub stream: String,
    /// The server, by the host's name.
    pub server: String,
    /// What it did.
    pub what: Did,
}

/// What an edge did with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// It tried it.
    Dial,
    /// It shows what this standby has, while the one that it plays is late.
    Cover,
    /// It left it, or could not use it.
    Lose {
        /// Why.
        why: String,
    },
    /// It began to play it after so long without media.
    Play {
        /// How long.
        outage: Duration,
        /// How it was joined to what was there.
        joined: String,
    },
}

impl Fact {
    /// What `event` of `edge` says of its source, if it does. `server` names the host at an address.
    pub fn of(at: Time, edge: &str, event: &Event, server: impl Fn(&str) -> String) -> Option<Fact> {
        let (key, url, what) = match event {
            Event::PullDialled { key, url } => (key, url, Did::Dial),
            Event::StandbyCovers { key, url } => (key, url, Did::Cover),
            Event::PullLost { key, url, why } => (key, url, Did::Lose { why: why.clone() }),
            Event::PullPlaying { key, url, outage, joined } => {
                (key, url, Did::Play { outage: *outage, joined: format!("{joined:?}") })
            }
            _ => return None,
        };
        let (edge, stream) = (edge.to_owned(), key.to_string());
        Some(Fact { at, edge, stream, server: server(host_of(url)), what })
    }

    /// All that edges said in `world`, in order.
    pub fn all(world: &World) -> Vec<Fact> {
        let said = |fact: &headwater_net_sim::Fact| {
            Fact::of(fact.at, world.name(fact.host), &fact.event, str::to_owned)
        };
        world.facts().iter().filter_map(said).collect()
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fact { edge, server, .. } = self;
        match &self.what {
            Did::Cover => write!(f, "{edge} is covered for by {server}"),
            Did::Dial => write!(f, "{edge} dials {server}"),
            Did::Lose { why } => write!(f, "{edge} leaves {server}: {why}"),
            Did::Play { joined, .. } => write!(f, "{edge} plays {server} ({joined})"),
        }
    }
}

/// The host in a URL.
pub fn host_of(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority.split([':', '/']).next().unwrap_or_default()
}
