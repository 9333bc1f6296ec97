//! Pulled streams: what a pull wants is done, what it has is delivered.

use bytes::Bytes;

use crate::event::StreamKey;
use crate::io::{CloseReason, ConnId, Output};
use crate::limits::{STARTING_PULLS_MAX, STREAMS_MAX};
use crate::origin_map;
use crate::pull::{self, Over, Plan, Pull};
use crate::time::{Now, Time};
use crate::url::Url;

use super::stream::{Source, StreamId};
use super::{Child, Node};

/// What became of the wish to pull a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulling {
    /// It is on its way.
    Started(StreamId),
    /// No rule leads anywhere, or no origin had it a moment ago.
    Absent,
    /// The node has no room.
    Overloaded,
}

impl Node {
    /// Begins to pull a stream that is not here. However many ask for it, they wait for one pull.
    pub(super) fn start_pull(&mut self, now: Now, key: StreamKey, query: Option<&str>) -> Pulling {
        if self.closing || self.absent.contains(now.mono, &key) {
            return Pulling::Absent;
        }
        let Some(vhost) = self.config.vhosts.iter().find(|vhost| vhost.name == key.vhost) else {
            return Pulling::Absent;
        };
        let Some(app) = vhost.application(&key.app) else { return Pulling::Absent };
        let Some(provider) = &app.providers.ovt else { return Pulling::Absent };
        let Some(found) = origin_map::resolve(&vhost.origins, &key.app, &key.stream, query) else {
            return Pulling::Absent;
        };
        let urls: Vec<Url> =
            found.urls.iter().filter_map(|url| Url::parse(url).ok()).filter(is_ovt).collect();
        if urls.is_empty() {
            return Pulling::Absent;
        }
        if self.streams.len() >= STREAMS_MAX || self.starting_pulls() >= STARTING_PULLS_MAX {
            return Pulling::Overloaded;
        }
        let plan = Plan {
            urls,
            properties: vhost.pull.clone(),
            persistent: found.rule.persistent,
            failback: found.rule.failback,
            timestamps: provider.timestamps,
        };
        let pull = Pull::start(now, key.clone(), plan, self.rng.u64(..));
        let id = self.add_stream(now, key, app, Source::Pull(Box::new(pull)));
        self.pull_settle(now, id);
        Pulling::Started(id)
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

    /// A stream's deadlines: its pull's, its viewers', and its own when nobody uses it.
    pub(super) fn stream_timeout(&mut self, now: Now, id: StreamId) {
        if let Some(pull) = self.pull_mut(id) {
            pull.handle_timeout(now);
        }
        self.pull_settle(now, id);
        self.answer_overdue(now, id);
        self.answer_overdue_describes(now, id);
        let unused_at = self.streams.get(&id).and_then(|stream| unused_at(stream, now.mono));
        if unused_at.is_some_and(|at| at <= now.mono) {
            return self.end_stream(now, id, "nobody plays it");
        }
        self.set_stream_timer(now, id);
    }

    /// Does what a pull wants, and delivers what it has, until it is quiet.
    fn pull_settle(&mut self, now: Now, id: StreamId) {
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
                pull::Output::Over(over) => return self.pull_over(now, id, over),
                pull::Output::Packet(packet) => self.deliver(now, id, &packet),
                pull::Output::Write(conn, bytes) => self.write(conn, bytes),
            }
        }
        self.set_stream_timer(now, id);
    }

    fn pull_over(&mut self, now: Now, id: StreamId, over: Over) {
        self.refuse_viewers_of_failed_pull(id, over);
        if let Some(stream) = self.streams.get(&id) {
            self.absent.remember(now.mono, stream.key.clone());
        }
        self.end_stream(now, id, "no origin delivers it");
    }

    /// What a pull that was told to stop still has to say to its origins.
    pub(super) fn pull_outputs_after_end(&mut self, pull: &mut Pull) {
        while let Some(output) = pull.poll_output() {
            match output {
                pull::Output::Close(conn, how) => self.close(conn, how),
                pull::Output::Event(event) => self.event(event),
                pull::Output::Write(conn, bytes) => self.write(conn, bytes),
                pull::Output::Info(..)
                | pull::Output::Open(_)
                | pull::Output::Over(_)
                | pull::Output::Packet(_) => {}
            }
        }
    }

    fn pull_mut(&mut self, id: StreamId) -> Option<&mut Pull> {
        match &mut self.streams.get_mut(&id)?.source {
            Source::Publisher(_) => None,
            Source::Pull(pull) => Some(pull),
        }
    }

    fn starting_pulls(&self) -> usize {
        let is_starting =
            |source: &Source| matches!(source, Source::Pull(pull) if pull.active_url().is_none());
        self.streams.values().filter(|stream| stream.info.is_none() && is_starting(&stream.source)).count()
    }

    fn set_stream_timer(&mut self, now: Now, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let pull = match &stream.source {
            Source::Publisher(_) => None,
            Source::Pull(pull) => pull.poll_timeout().map(|deadline| deadline.at),
        };
        let describe = stream.describes.iter().map(|held| held.until).min();
        let unused = unused_at(stream, now.mono);
        let next = [pull, stream.waiting.next_deadline(), describe, unused].into_iter().flatten().min();
        self.timers.set(Child::Stream(id), next);
    }
}

/// When a pulled stream is deleted for want of viewers.
fn unused_at(stream: &super::stream::Stream, now: Time) -> Option<Time> {
    let Source::Pull(pull) = &stream.source else { return None };
    let timeout = pull.unused_timeout()?;
    let in_use = !stream.clients.is_empty() || !stream.describes.is_empty() || stream.waiting.len() > 0;
    Some(if in_use { now + timeout } else { stream.last_used + timeout })
}

fn is_ovt(url: &Url) -> bool {
    url.scheme() == "ovt" && url.endpoint().is_some()
}
