//! Publishers: encoders that push a stream over RTMP.

use bytes::Bytes;

use crate::census::Census;
use crate::config::{Application, RtmpProvider};
use crate::event::{Event, StreamKey};
use crate::io::{Close, ConnId};
use crate::limits::PUBLISHER_DEAD_AFTER;
use crate::media::{Kind, StreamInfo};
use crate::publish;
use crate::pull::main_track;
use crate::time::{Now, soonest};
use crate::timeline::{Doubt, Feed, Passed, Timeline};

use super::draining::Life;
use super::stream::{Source, StreamId};
use super::unread::Unread;
use super::{Child, Node};

/// RTMP's timestamps are 32 bits of milliseconds.
const RTMP_CLOCK_US: i64 = (1 << 32) * 1_000;

/// One publisher's connection.
pub(super) struct Publisher {
    session: publish::Session,
    /// The stream that it publishes, once it was let in.
    pub(super) stream: Option<StreamId>,
    timeline: Timeline,
    feed: Feed,
    /// Answers and acknowledgements.
    unread: Unread,
}

impl Publisher {
    pub(super) fn count(&self, census: &mut Census) {
        census.unsent_bytes += self.unread.bytes();
        census.unfinished_bytes += self.session.held_bytes() + self.feed.held_bytes();
        census.outputs += self.session.unpolled();
        census.marks += self.timeline.marks();
    }
}

impl Node {
    pub(super) fn publisher_accepted(&mut self, now: Now, conn: ConnId) {
        let publisher = Publisher {
            session: publish::Session::new(now),
            stream: None,
            timeline: Timeline::forgetful(Default::default()),
            feed: Feed::new(None),
            unread: Unread::default(),
        };
        self.publishers.insert(conn, publisher);
        self.publisher_settle(now, conn);
    }

    pub(super) fn publisher_received(&mut self, now: Now, conn: ConnId, bytes: Bytes) {
        if let Some(publisher) = self.publishers.get_mut(&conn) {
            publisher.session.receive(now, bytes);
        }
        self.publisher_settle(now, conn);
    }

    pub(super) fn publisher_timeout(&mut self, now: Now, conn: ConnId) {
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        publisher.session.handle_timeout(now);
        let passed = publisher.feed.handle_timeout(&mut publisher.timeline, now);
        if let Some(id) = publisher.stream {
            self.deliver_published(now, conn, id, &passed);
        }
        self.publisher_settle(now, conn);
    }

    /// Bytes have left for a publisher.
    pub(super) fn publisher_sent(&mut self, conn: ConnId, bytes: usize) {
        if let Some(publisher) = self.publishers.get_mut(&conn) {
            publisher.unread.taken(bytes);
        }
    }

    /// Ends what a publisher does, tells it why, and closes its connection.
    pub(super) fn dismiss_publisher(&mut self, now: Now, conn: ConnId, why: &str) {
        if let Some(publisher) = self.publishers.get_mut(&conn) {
            publisher.session.refuse(why);
        }
        self.publisher_settle(now, conn);
    }

    /// Forgets a publisher whose connection is closed or will be; its stream ends.
    pub(super) fn publisher_gone(&mut self, now: Now, conn: ConnId, why: &str) {
        self.timers.remove(Child::Publisher(conn));
        let Some(publisher) = self.publishers.remove(&conn) else { return };
        if let Some(id) = publisher.stream {
            self.end_stream(now, id, why);
        }
    }

    /// Moves what the session has to say to where it belongs, until it is quiet.
    fn publisher_settle(&mut self, now: Now, conn: ConnId) {
        while let Some(output) = self.publishers.get_mut(&conn).and_then(|publisher| publisher.session.poll())
        {
            match output {
                publish::Output::Changed(info) | publish::Output::Started(info) => {
                    self.published_info(now, conn, info);
                }
                publish::Output::Close { how, misbehaved } => {
                    if let Some(what) = misbehaved {
                        self.event(Event::PeerMisbehaved { conn, what });
                    }
                    self.publisher_gone(now, conn, "the publisher's connection was closed");
                    self.close(conn, how);
                }
                publish::Output::Ended { why } => self.publisher_gone_quietly(now, conn, &why),
                publish::Output::Packet(packet) => self.published_packet(now, conn, packet),
                publish::Output::Requested { host, app, stream, query: _ } => {
                    self.publish_requested(now, conn, &host, &app, stream);
                }
                publish::Output::Warning(what) => self.published_warning(conn, what),
                publish::Output::Write(bytes) => self.write_to_publisher(now, conn, bytes),
            }
        }
        let due = self
            .publishers
            .get(&conn)
            .and_then(|publisher| soonest(publisher.session.poll_timeout(), publisher.feed.poll_timeout()));
        self.timers.set(Child::Publisher(conn), due.map(|deadline| deadline.at));
    }

    fn write_to_publisher(&mut self, now: Now, conn: ConnId, bytes: Bytes) {
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        if publisher.unread.add(bytes.len()) {
            return self.write(conn, bytes);
        }
        let what = "the publisher does not read what it is told; it was dropped";
        self.event(Event::PeerMisbehaved { conn, what: what.to_owned() });
        self.publisher_gone(now, conn, "the publisher does not read what it is told");
        self.close(conn, Close::Abort);
    }

    /// The publisher ended its stream but not its connection.
    fn publisher_gone_quietly(&mut self, now: Now, conn: ConnId, why: &str) {
        let stream = self.publishers.get_mut(&conn).and_then(|publisher| publisher.stream.take());
        if let Some(id) = stream {
            self.end_stream(now, id, why);
        }
    }

    fn publish_requested(&mut self, now: Now, conn: ConnId, host: &str, app: &str, stream: String) {
        match self.admit(now, host, app, stream) {
            Ok((key, app, provider)) => self.let_in(now, conn, key, app, &provider),
            Err(why) => {
                if let Some(publisher) = self.publishers.get_mut(&conn) {
                    publisher.session.refuse(&why);
                }
                self.event(Event::PublishRefused { conn, why });
            }
        }
    }

    /// Whether a stream may be published under this name, and if not, why.
    fn admit(
        &mut self,
        now: Now,
        host: &str,
        app: &str,
        stream: String,
    ) -> Result<(StreamKey, Application, RtmpProvider), String> {
        let vhost = self
            .config
            .vhost_for(host)
            .ok_or_else(|| format!("No virtual host is named '{host}'; see <Host><Names> in Server.xml."))?;
        let app =
            vhost.applications.iter().find(|known| known.name == app).cloned().ok_or_else(|| {
                format!("There is no application '{app}' in virtual host '{}'.", vhost.name)
            })?;
        let provider = app
            .providers
            .rtmp
            .clone()
            .ok_or_else(|| format!("Application '{}' has no <RTMP> provider in Server.xml.", app.name))?;
        if self.life != Life::Running {
            return Err(
                "The server is about to go and takes no more streams; publish to another one.".to_owned()
            );
        }
        let key = StreamKey { vhost: vhost.name.clone(), app: app.name.clone(), stream };
        self.free_name(now, &key, &provider)?;
        if self.streams.len() >= self.streams_max() {
            return Err("The server takes no more streams.".to_owned());
        }
        Ok((key, app, provider))
    }

    /// Makes a name free for a new publisher, or says why it is taken.
    fn free_name(&mut self, now: Now, key: &StreamKey, provider: &RtmpProvider) -> Result<(), String> {
        let Some(id) = self.names.get(key).copied() else { return Ok(()) };
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        let (app, name) = (&key.app, &key.stream);
        match &stream.source {
            Source::Publisher(old) => {
                let old = *old;
                let heard = self.publishers.get(&old).map(|publisher| publisher.session.heard());
                let is_alive = heard.is_some_and(|heard| now.mono.since(heard) < PUBLISHER_DEAD_AFTER);
                if is_alive && provider.block_duplicate {
                    return Err(format!("A stream named '{app}/{name}' is being published already."));
                }
                self.dismiss_publisher(now, old, "another publisher took the name over");
            }
            // A pull that has nothing to show is a question, and here comes the answer.
            Source::Pull(pull) => {
                if let Some(url) = pull.active_url().filter(|_| provider.block_duplicate) {
                    let host = url.host();
                    return Err(format!(
                        "A stream named '{app}/{name}' is here already: it is pulled from {host}."
                    ));
                }
                self.end_stream(now, id, "a publisher took the name over");
            }
        }
        Ok(())
    }

    fn let_in(&mut self, now: Now, conn: ConnId, key: StreamKey, app: Application, provider: &RtmpProvider) {
        let id = self.add_stream(now, key.clone(), app, Source::Publisher(conn));
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        publisher.stream = Some(id);
        publisher.timeline = Timeline::forgetful(provider.timestamps).wrapping_every(RTMP_CLOCK_US);
        publisher.session.set_silence(provider.silence);
        publisher.session.accept();
        self.event(Event::PublishStarted { key, conn });
    }

    /// The stream is known. It gets the names that the application's output profile gives.
    fn published_info(&mut self, now: Now, conn: ConnId, mut info: StreamInfo) {
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        let Some(id) = publisher.stream else { return };
        let Some(stream) = self.streams.get(&id) else { return };
        if stream.info.is_none() {
            let feed = Feed::new(main_track(&info));
            let has_directory = self.directories.values().any(|known| known.vhost() == stream.key.vhost);
            publisher.feed = if has_directory { feed.agreeing() } else { feed };
        }
        let (video, audio) = &stream.app.track_names;
        for track in &mut info.tracks {
            let name = match track.kind {
                Kind::Video => video,
                Kind::Audio => audio,
                Kind::Data | Kind::Subtitle => &None,
            };
            if let Some(name) = name {
                track.name.clone_from(name);
            }
        }
        info.playlists.clone_from(&stream.app.playlists);
        info.origin_uuid = format!("{}/{}/i", self.server_id, stream.key);
        self.describe_stream(now, id, info, None);
    }

    fn published_warning(&mut self, conn: ConnId, what: String) {
        let stream = self.publishers.get(&conn).and_then(|publisher| publisher.stream);
        if let Some(stream) = stream.and_then(|id| self.streams.get(&id)) {
            let key = stream.key.clone();
            self.event(Event::StreamWarning { key, what });
        }
    }

    fn published_packet(&mut self, now: Now, conn: ConnId, packet: crate::media::Packet) {
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        let Some(id) = publisher.stream else { return };
        let passed = publisher.feed.push(&mut publisher.timeline, now, packet);
        self.deliver_published(now, conn, id, &passed);
    }

    /// Other servers have said where a publisher's time zero lies, before or after it was placed.
    pub(super) fn time_zero_agreed(&mut self, now: Now, id: StreamId, ms: i64) {
        let Some(Source::Publisher(conn)) = self.streams.get(&id).map(|stream| &stream.source) else {
            return;
        };
        let conn = *conn;
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        let passed = publisher.feed.agreed(&mut publisher.timeline, now, ms);
        if publisher.timeline.zero_ms().is_some_and(|placed| placed != ms) {
            publisher.timeline.overruled();
        }
        self.deliver_published(now, conn, id, &passed);
        self.publisher_settle(now, conn);
    }

    /// Why the times of a publisher's stream may not be the same on other servers.
    pub(super) fn publisher_doubt(&self, conn: ConnId) -> Option<Doubt> {
        self.publishers.get(&conn).and_then(|publisher| publisher.timeline.doubt())
    }

    fn deliver_published(&mut self, now: Now, conn: ConnId, id: StreamId, passed: &Passed) {
        if passed.asks.is_some() || passed.joined.is_some() {
            let placed = self.publishers.get(&conn).and_then(|publisher| publisher.timeline.zero_ms());
            self.keep_time_zero(now, id, passed.asks, placed);
        }
        self.deliver_all(now, id, passed);
    }

    fn deliver_all(&mut self, now: Now, id: StreamId, passed: &Passed) {
        for packet in &passed.packets {
            self.deliver(now, id, packet);
        }
    }
}
