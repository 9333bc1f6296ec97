//! The composition: one server process as a value.
//!
//! A [`Node`] is made of small machines that do not know each other: publishers, pulls, OVT clients, packagers.
//! This module moves what one says to where it belongs, in the order of the text, so that the way of a packet can
//! be read from top to bottom:
//!
//! * [`publishing`] and [`pulling`]: where media comes from. Both end in `Node::deliver`.
//! * [`stream`]: a stream between its source and its takers.
//! * [`relaying`] and [`viewing`]: where media goes, over OVT and over HTTP.
//! * [`draining`] and [`load`]: how the node goes, and when it takes nobody new.
//! * [`directory`]: what is said to others of the streams here, and asked of those that are not.
//!
//! No protocol is spoken here, and nothing here assumes that this is the only node of its process.

mod answering;
mod census;
mod directory;
mod draining;
mod journal;
mod load;
mod managing;
mod memory;
mod publishing;
mod pulling;
mod relaying;
mod stream;
#[cfg(test)]
mod tests;
mod timers;
mod unread;
mod viewing;
mod waiting;
mod why;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::census::Census;
use crate::config::Config;
use crate::event::{Event, StreamKey};
use crate::io::{Close, CloseReason, Command, ConnId, Input, Machine, Output, RequestId, Service, StoreId};
use crate::time::{Deadline, Now};
use directory::Directory;
use draining::Life;
use journal::Journal;
use load::Load;
use memory::{Absent, Ended};
use publishing::Publisher;
use relaying::Client;
use stream::{Stream, StreamId};
use timers::Timers;

pub use why::{Step, Why, viewer_request};

/// One server: an origin, an edge, or both, as its configuration says.
pub struct Node {
    config: Config,
    server_id: String,
    rng: fastrand::Rng,
    publishers: BTreeMap<ConnId, Publisher>,
    clients: BTreeMap<ConnId, Client>,
    pulled: BTreeMap<ConnId, StreamId>,
    streams: BTreeMap<StreamId, Stream>,
    names: BTreeMap<StreamKey, StreamId>,
    /// Pulls that have not delivered anything yet.
    starting: BTreeSet<StreamId>,
    /// The streams on which requests wait.
    parked: BTreeMap<RequestId, StreamId>,
    directories: BTreeMap<StoreId, Directory>,
    journal: Journal,
    /// When the last input came.
    now: Now,
    absent: Absent,
    ended: Ended,
    timers: Timers<Child>,
    next_stream: u64,
    next_conn: u64,
    next_ask: u64,
    next_session: u64,
    life: Life,
    load: Load,
    out: VecDeque<Output>,
}

/// A machine inside the node that has deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Child {
    Client(ConnId),
    Directory(StoreId),
    Drain,
    Publisher(ConnId),
    Stream(StreamId),
}

impl Node {
    /// A node that has heard nothing yet. `seed` is the only source of its randomness.
    pub fn new(config: Config, seed: u64, now: Now) -> Node {
        let mut rng = fastrand::Rng::with_seed(seed);
        let server_id = server_id(&config.name, &mut rng);
        let directories = config.vhosts.iter().enumerate().filter_map(|(index, vhost)| {
            let directory = Directory::new(vhost, config.listeners.ovt, &mut rng, now)?;
            Some((StoreId(index), directory))
        });
        let directories = directories.collect();
        Node {
            server_id,
            directories,
            config,
            rng,
            publishers: BTreeMap::new(),
            clients: BTreeMap::new(),
            pulled: BTreeMap::new(),
            streams: BTreeMap::new(),
            names: BTreeMap::new(),
            starting: BTreeSet::new(),
            parked: BTreeMap::new(),
            journal: Journal::default(),
            now,
            absent: Absent::default(),
            ended: Ended::default(),
            timers: Timers::new(),
            next_stream: 0,
            next_conn: 0,
            next_ask: 0,
            next_session: 0,
            life: Life::Running,
            load: Load::default(),
            out: VecDeque::new(),
        }
    }

    fn accepted(&mut self, now: Now, conn: ConnId, service: Service) {
        match service {
            Service::Rtmp => self.publisher_accepted(now, conn),
            Service::Ovt => self.client_accepted(now, conn),
            // HTTP arrives as requests; a bare connection of it has nothing to say to a node.
            Service::Api | Service::Http => self.out.push_back(Output::Close { conn, how: Close::Abort }),
        }
    }

    fn received(&mut self, now: Now, conn: ConnId, bytes: Bytes) {
        if self.publishers.contains_key(&conn) {
            self.publisher_received(now, conn, bytes);
        } else if let Some(id) = self.pulled.get(&conn).copied() {
            self.pull_received(now, id, conn, bytes);
        } else if self.clients.contains_key(&conn) {
            self.client_received(now, conn, bytes);
        }
    }

    fn closed(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        self.event(Event::ConnectionLost { conn, reason, at: now.mono });
        if self.publishers.contains_key(&conn) {
            self.publisher_gone(now, conn, "the publisher's connection ended");
        } else if let Some(id) = self.pulled.remove(&conn) {
            self.pull_closed(now, id, conn, reason);
        } else {
            self.client_gone(now, conn);
        }
    }

    /// Bytes have left for a peer. A pull sends a handful of messages in its life, so nobody counts those.
    fn sent(&mut self, now: Now, conn: ConnId, bytes: usize) {
        if self.publishers.contains_key(&conn) {
            self.publisher_sent(conn, bytes);
        } else {
            self.client_sent(now, conn, bytes);
        }
    }

    /// Takes another configuration. Streams have their application with them, so what runs runs on as it began.
    fn configure(&mut self, new: Config) {
        let in_use = |vhost: &str| self.names.keys().any(|key| key.vhost == vhost);
        let (config, stays) = self.config.adopt(new, in_use);
        self.config = config;
        // Where there was nothing a moment ago there may be something by a new rule.
        self.absent = Absent::default();
        self.event(Event::Configured { stays });
    }

    /// Ends every session in order and answers every waiting request.
    fn shut_down(&mut self, now: Now) {
        self.life = Life::Closing;
        self.timers.remove(Child::Drain);
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in streams {
            self.end_stream(now, id, "the server is shutting down");
        }
        let publishers: Vec<ConnId> = self.publishers.keys().copied().collect();
        for conn in publishers {
            self.dismiss_publisher(now, conn, "the server is shutting down");
        }
        let clients: Vec<ConnId> = self.clients.keys().copied().collect();
        for conn in clients {
            self.client_gone(now, conn);
            self.close(conn, Close::Flush);
        }
    }

    fn new_conn(&mut self) -> ConnId {
        self.next_conn += 2;
        ConnId(self.next_conn)
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        self.out.push_back(Output::Close { conn, how });
    }

    fn write(&mut self, conn: ConnId, bytes: Bytes) {
        self.load.sent(self.now.mono, bytes.len());
        self.out.push_back(Output::Write { conn, bytes });
    }

    fn event(&mut self, event: Event) {
        self.journal.note(self.now.mono, &event);
        self.out.push_back(Output::Event(event));
    }
}

impl Machine for Node {
    fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Accepted { conn, .. } if self.life == Life::Closing => self.close(conn, Close::Abort),
            Input::Accepted { conn, service, .. } => self.accepted(now, conn, service),
            Input::Closed { conn, reason } => self.closed(now, conn, reason),
            Input::Command(Command::Configure(config)) => self.configure(*config),
            Input::Command(Command::Drain) => self.drain(now),
            Input::Command(Command::Shutdown) => self.shut_down(now),
            Input::Opened { conn } => self.pull_opened(now, conn),
            Input::Received { conn, bytes } => self.received(now, conn, bytes),
            Input::Registry { ask, answer } => self.directory_answered(now, ask, answer),
            Input::Request { id, service: Service::Api, request, .. } => self.managed(now, id, &request),
            Input::Request { id, request, .. } => self.requested(now, id, &request),
            Input::RequestGone { id } => self.request_gone(id),
            Input::Sent { conn, bytes } => self.sent(now, conn, bytes),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        // A child may be due again at once, and a few times over; one that always is must not hold up the others for ever.
        for _ in 0..self.timers.len().saturating_mul(TURNS_MAX) {
            let Some(child) = self.timers.pop_due(now.mono) else { return };
            match child {
                Child::Client(conn) => self.client_timeout(now, conn),
                Child::Directory(store) => self.directory_timeout(now, store),
                Child::Drain => self.drain_timeout(now),
                Child::Publisher(conn) => self.publisher_timeout(now, conn),
                Child::Stream(id) => self.stream_timeout(now, id),
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.timers.next().map(|at| Deadline { at, why: "a child of the node" })
    }

    fn census(&self) -> Census {
        self.count()
    }
}

/// How often a child has its turn in one call, on average.
const TURNS_MAX: usize = 16;

/// The name that DESCRIBE answers give to this server: `<name>_<uuid>`.
fn server_id(name: &str, rng: &mut fastrand::Rng) -> String {
    let (a, b, c, d, e) =
        (rng.u32(..), rng.u16(..), rng.u16(..) & 0x0fff, rng.u16(..) & 0x3fff, rng.u64(..) >> 16);
    let uuid = format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{e:012x}", d | 0x8000);
    if name.is_empty() { uuid } else { format!("{name}_{uuid}") }
}
