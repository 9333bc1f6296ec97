//! Draining: how a server goes so that nobody notices.
//!
//! It takes nothing new, gives its streams in the directory to those who wait for them, and sends edges away: they go to
//! their next origin at once and miss nothing, because it has the recent past of the stream. Only an edge knows whether
//! there is another origin: one that finds none comes back, and is served on; one that only wants to have the stream from
//! here as well is not. Viewers who watch go on watching; new ones
//! are told to ask elsewhere. The server goes when it serves nobody, and at the latest when its time is over.

use crate::event::Event;
use crate::io::{Close, ConnId, Output, StoreId};
use crate::limits::{DRAIN_LOOK, DRAIN_RETURN};
use crate::time::{Now, Time};

use super::stream::Stream;
use super::{Child, Node};

/// How long the node has to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// As long as nobody asks it to go.
    Running,
    /// Until nobody needs it.
    Draining {
        /// When it goes in any case.
        until: Time,
        /// When whoever was sent away would have come back.
        settled: Time,
    },
    /// Everything is ended.
    Closing,
}

impl Node {
    /// The operator wants the server to go.
    pub(super) fn drain(&mut self, now: Now) {
        if self.life != Life::Running {
            return;
        }
        let within = self.config.drain;
        self.event(Event::DrainStarted { within });
        let stores: Vec<StoreId> = self.directories.keys().copied().collect();
        for store in stores {
            self.hand_over_streams(now, store);
        }
        let sent_away = self.send_edges_away(now);
        let settled = if sent_away { now.mono + DRAIN_RETURN } else { now.mono };
        self.life = Life::Draining { until: now.mono + within, settled };
        self.drain_timeout(now);
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.life, Life::Draining { .. })
    }

    /// Goes, if it is time.
    pub(super) fn drain_timeout(&mut self, now: Now) {
        let Life::Draining { until, settled } = self.life else { return };
        let why = if until <= now.mono {
            "its time is over"
        } else if settled <= now.mono && self.serves_nobody(now.mono) {
            "nobody needs it"
        } else {
            let next = (now.mono + DRAIN_LOOK).min(until);
            return self.timers.set(Child::Drain, Some(next));
        };
        self.event(Event::DrainEnded { why });
        self.shut_down(now);
        self.out.push_back(Output::Done);
    }

    /// Closes the connections of edges that know how to go on without a gap. OvenMediaEngine's lose some media whenever
    /// they move, so they are left to move once, at the end.
    fn send_edges_away(&mut self, now: Now) -> bool {
        let edges = self.clients.iter().filter(|(_, client)| client.session.is_some() && client.knows_marks);
        let edges: Vec<ConnId> = edges.map(|(conn, _)| *conn).collect();
        for conn in &edges {
            self.client_gone(now, *conn);
            self.close(*conn, Close::Flush);
        }
        !edges.is_empty()
    }

    fn serves_nobody(&self, now: Time) -> bool {
        let is_unused = |stream: &Stream| stream.describes.is_empty() && !stream.is_watched(now);
        !self.clients.values().any(|client| client.session.is_some()) && self.streams.values().all(is_unused)
    }
}
