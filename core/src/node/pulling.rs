//! Pulled streams: what a pull wants is done, what it has is delivered.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::event::StreamKey;
use crate::io::{CloseReason, ConnId, Output};
use crate::limits::STARTING_PULLS_MAX;
use crate::origin_map;
use crate::pull::{self, Over, Plan, Pull};
use crate::time::Now;
use crate::url::Url;

use super::draining::Life;
use super::stream::{Source, Stream, StreamId};
use super::{Child, Node};

/// What became of the wish to pull a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulling {
    /// It is on its way.
    Started(StreamId),
    /// No rule leads anywhere, or no origin had it a moment ago.
    Absent,
    /// The node is about to go.
    Draining,
    /// The node has no room.
    Overloaded,
    /// Nobody can say where it is.
    Unreachable,
}

impl From<Over> for Pulling {
    fn from(over: Over) -> Pulling {
        match over {
            Over::Absent => Pulling::Absent,
            Over::Unreachable => Pulling::Unreachable,
        }
    }
}

impl Node {
    /// Begins to pull a stream that is not here. However many ask for it, they wait for one pull.
    ///
    /// `via` is for whom it is: empty for a viewer, else what came with a DESCRIBE.
    pub(super) fn start_pull(
        &mut self,
        now: Now,
        key: StreamKey,
        query: Option<&str>,
        mut via: Vec<u64>,
    ) -> Pulling {
        match self.life {
            Life::Running => {}
            Life::Draining { .. } => return Pulling::Draining,
            Life::Closing => return Pulling::Absent,
        }
        if let Some(over) = self.absent.get(now.mono, &key) {
            return over.into();
        }
        let Some(vhost) = self.config.vhosts.iter().find(|vhost| vhost.name == key.vhost) else {
            return Pulling::Absent;
        };
        let Some(app) = vhost.application(&key.app) else { return Pulling::Absent };
        let Some(provider) = &app.providers.ovt else { return Pulling::Absent };
        let found = origin_map::resolve(&vhost.origins, &key.app, &key.stream, query);
        let rule = found.as_ref().map(|found| found.rule);
        let urls = found.iter().flat_map(|found| &found.urls);
        let urls: Vec<Url> = urls.filter_map(|url| Url::parse(url).ok()).filter(is_ovt).collect();
        let directory = vhost.store.is_some();
        if urls.is_empty() && !directory {
            return Pulling::Absent;
        }
        if self.streams.len() >= self.streams_max() || self.starting.len() >= STARTING_PULLS_MAX {
            return Pulling::Overloaded;
        }
        via.push(self.mark(&key));
        let hot_standby = rule.and_then(|rule| rule.hot_standby).unwrap_or(vhost.pull.hot_standby);
        let plan = Plan {
            urls,
            directory,
            via,
            properties: vhost.pull.clone(),
            persistent: rule.is_some_and(|rule| rule.persistent),
            failback: rule.is_some_and(|rule| rule.failback),
            hot_standby: usize::try_from(hot_standby).unwrap_or(usize::MAX),
            timestamps: provider.timestamps,
        };
        let pull = Pull::start(now, key.clone(), plan, self.rng.u64(..));
        let id = self.add_stream(now, key.clone(), app, Source::Pull(Box::new(pull)));
        self.starting.insert(id);
        self.pull_settle(now, id);
        // With a directory that is known to be away, or that is here, it may be over already.
        match self.absent.get(now.mono, &key) {
            None => Pulling::Started(id),
            Some(over) => over.into(),
        }
    }

    pub(super) fn pull_opened(&mut self, now: Now, conn: ConnId) {
        let Some(id) = self.pulled.get(&conn).copied() else { return };
        if let Some(pull) = self.pull_mut(id) {
            pull.opened(now, conn);
        }
        self.pull_settle(now, id);
    }

    pub(super) fn pull_received(&mut self, now: Now, id: StreamId, conn: ConnId, bytes: Bytes) {
        if let Some(pull) = self.pull_mut(id) {
            pull.received(now, conn, bytes);
        }
        self.pull_settle(now, id);
    }

    pub(super) fn pull_closed(&mut self, now: Now, id: StreamId, conn: ConnId, reason: CloseReason) {
        if let Some(pull) = self.pull_mut(id) {
            pull.closed(now, conn, reason);
        }
        self.pull_settle(now, id);
    }

    /// A stream's deadlines: its pull's, its viewers', and its own when nobody uses it or publishes it.
    pub(super) fn stream_timeout(&mut self, now: Now, id: StreamId) {
        if let Some(pull) = self.pull_mut(id) {
            pull.handle_timeout(now);
        }
        self.pull_settle(now, id);
        self.answer_overdue(now, id);
        self.answer_overdue_describes(now, id);
        if self.streams.get(&id).and_then(Stream::over_at).is_some_and(|at| at <= now.mono) {
            return self.end_stream(now, id, "its publisher has not come back");
        }
        let unused_at = self.streams.get(&id).and_then(Stream::unused_at);
        if unused_at.is_some_and(|at| at <= now.mono) {
            return self.end_stream(now, id, "nobody plays it");
        }
        self.set_stream_timer(now, id);
    }

    /// Does what a pull wants, and delivers what it has, until it is quiet.
    pub(super) fn pull_settle(&mut self, now: Now, id: StreamId) {
        while let Some(output) = self.pull_mut(id).and_then(Pull::poll_output) {
            match output {
                pull::Output::Close(conn, how) => {
                    self.pulled.remove(&conn);
                    self.close(conn, how);
                }
                pull::Output::Event(event) => self.event(event),
                pull::Output::Info(info, live) => self.describe_stream(now, id, info, Some(live)),
                pull::Output::Open(to) => {
                    let conn = self.new_conn();
                    self.pulled.insert(conn, id);
                    if let Some(pull) = self.pull_mut(id) {
                        pull.dialled(conn);
                    }
                    self.out.push_back(Output::Open { conn, to });
                }
                pull::Output::Over { over, why } => return self.pull_over(now, id, over, &why),
                pull::Output::Packet(packet) => self.deliver(now, id, &packet),
                pull::Output::Resolve => self.resolve(now, id),
                pull::Output::Write(conn, bytes) => self.write(conn, bytes),
            }
        }
        self.set_stream_timer(now, id);
    }

    fn pull_over(&mut self, now: Now, id: StreamId, over: Over, why: &str) {
        self.refuse_viewers_of_failed_pull(id, over);
        if let Some(stream) = self.streams.get(&id) {
            self.absent.remember(now.mono, stream.key.clone(), over);
        }
        self.end_stream(now, id, why);
    }

    /// What a pull that was told to stop still has to say to its origins.
    pub(super) fn pull_outputs_after_end(&mut self, pull: &mut Pull) {
        while let Some(output) = pull.poll_output() {
            match output {
                pull::Output::Close(conn, how) => {
                    self.pulled.remove(&conn);
                    self.close(conn, how);
                }
                pull::Output::Event(event) => self.event(event),
                pull::Output::Write(conn, bytes) => self.write(conn, bytes),
                pull::Output::Info(..)
                | pull::Output::Open(_)
                | pull::Output::Over { .. }
                | pull::Output::Packet(_)
                | pull::Output::Resolve => {}
            }
        }
    }

    fn pull_mut(&mut self, id: StreamId) -> Option<&mut Pull> {
        match &mut self.streams.get_mut(&id)?.source {
            Source::Publisher(_) => None,
            Source::Pull(pull) => Some(pull),
        }
    }

    /// What stands for this node's stream `key` in the list of those for whom a DESCRIBE is asked.
    pub(super) fn mark(&self, key: &StreamKey) -> u64 {
        xxh3_64(format!("{}{key}", self.server_id).as_bytes())
    }

    fn set_stream_timer(&mut self, now: Now, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let pull = match &stream.source {
            Source::Publisher(_) => None,
            Source::Pull(pull) => pull.poll_timeout().map(|deadline| deadline.at),
        };
        let describe = stream.describes.front().map(|held| held.until);
        let unused = stream.unused_check_at(now.mono);
        let next = [pull, stream.waiting.next_deadline(), describe, unused, stream.over_at()]
            .into_iter()
            .flatten()
            .min();
        self.timers.set(Child::Stream(id), next);
    }
}

fn is_ovt(url: &Url) -> bool {
    url.scheme() == "ovt" && url.endpoint().is_some()
}
