//! Publishers: encoders that push a stream over RTMP.
//!
//! A stream has a [`Broadcast`], which outlives its publishers: the timeline, and who is on air. A publisher that comes
//! back, or that has stood by, has a feed of its own onto that timeline, as an origin has at an edge.

use core::time::Duration;

use bytes::Bytes;

use crate::census::Census;
use crate::config::{RtmpProvider, TimestampMode};
use crate::event::{Event, Joined, StreamKey};
use crate::io::{Close, ConnId};
use crate::limits::{PUBLISHER_DEAD_AFTER, STANDBY_PUBLISHERS_MAX};
use crate::media::{Kind, Packet, StreamInfo, TrackId};
use crate::publish::{self, Admission, Lineup, Reserve, Rules, Succession};
use crate::pull::main_track;
use crate::time::{Now, Time, soonest};
use crate::timeline::{Doubt, Feed, Passed, Timeline};

use super::draining::Life;
use super::stream::{Source, Stream, StreamId};
use super::unread::Unread;
use super::{Child, Node};

/// RTMP's timestamps are 32 bits of milliseconds.
const RTMP_CLOCK_US: i64 = (1 << 32) * 1_000;

/// One publisher's connection.
pub(super) struct Publisher {
    session: publish::Session,
    /// The stream that it publishes or stands by for, once it was let in.
    pub(super) stream: Option<StreamId>,
    /// The track whose key frames decide where decoding can start.
    main: Option<TrackId>,
    feed: Feed,
    /// What the stream is when this publisher's media reaches it: until then it is what it was before.
    info: Option<StreamInfo>,
    /// What it has sent lately, while it stands by.
    reserve: Option<Reserve>,
    /// Answers and acknowledgements.
    unread: Unread,
}

impl Publisher {
    pub(super) fn count(&self, census: &mut Census) {
        census.unsent_bytes += self.unread.bytes();
        let reserved = self.reserve.as_ref().map_or(0, Reserve::bytes);
        census.unfinished_bytes += self.session.held_bytes() + self.feed.held_bytes() + reserved;
        census.outputs += self.session.unpolled();
    }
}

/// What a published stream has of its publishers, whoever they are.
pub(super) struct Broadcast {
    pub(super) lineup: Lineup,
    timeline: Timeline,
    /// How its publishers' times are placed, and what is remembered to join them.
    provider: RtmpProvider,
}

impl Broadcast {
    fn new(provider: RtmpProvider, first: ConnId) -> Broadcast {
        let rules = Rules {
            block_duplicate: provider.block_duplicate,
            window: provider.reconnect_window,
            standby_max: provider.standby,
        };
        let timeline = timeline(&provider);
        Broadcast { lineup: Lineup::new(rules, first), timeline, provider }
    }

    pub(super) fn count(&self, census: &mut Census) {
        census.marks += self.timeline.marks();
        census.standby_publishers += self.lineup.standing_by().len();
    }

    /// Why its times may not be the same on other servers; `None` if they are.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        self.timeline.doubt()
    }

    /// Whether its times mean the same to every server.
    pub(super) fn is_shared(&self) -> bool {
        self.provider.timestamps != TimestampMode::ZeroBased
    }

    /// How long the publisher on air may be silent while another one stands by.
    fn patience(&self) -> Duration {
        self.provider.silence.unwrap_or(PUBLISHER_DEAD_AFTER)
    }
}

/// A timeline for the streams of `provider`. It remembers its media where another publisher may repeat it: one that stands
/// by, or a server that sends what it has of the recent past after it has reconnected.
fn timeline(provider: &RtmpProvider) -> Timeline {
    let mode = provider.timestamps;
    let comes_back = mode == TimestampMode::ZeroBased && !provider.reconnect_window.is_zero();
    let timeline = match comes_back || provider.standby > 0 {
        true => Timeline::new(mode),
        false => Timeline::forgetful(mode),
    };
    timeline.wrapping_every(RTMP_CLOCK_US)
}

impl Node {
    pub(super) fn publisher_accepted(&mut self, now: Now, conn: ConnId) {
        let publisher = Publisher {
            session: publish::Session::new(now),
            stream: None,
            main: None,
            feed: Feed::new(None),
            info: None,
            reserve: None,
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
        if let Some(id) = publisher.stream.filter(|_| publisher.reserve.is_none())
            && let Some(broadcast) = self.streams.get_mut(&id).and_then(Stream::broadcast_mut)
        {
            let passed = publisher.feed.handle_timeout(&mut broadcast.timeline, now);
            self.deliver_published(now, conn, id, passed);
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

    /// Forgets a publisher whose connection is closed or will be.
    pub(super) fn publisher_gone(&mut self, now: Now, conn: ConnId, why: &str) {
        self.publisher_leaves(now, conn, why, false);
        self.timers.remove(Child::Publisher(conn));
        self.publishers.remove(&conn);
    }

    /// Moves what the session has to say to where it belongs, until it is quiet.
    fn publisher_settle(&mut self, now: Now, conn: ConnId) {
        while let Some(output) = self.publishers.get_mut(&conn).and_then(|publisher| publisher.session.poll())
        {
            match output {
                publish::Output::Changed(info) => self.published_info(now, conn, info),
                publish::Output::Close { how, misbehaved } => {
                    if let Some(what) = misbehaved {
                        self.event(Event::PeerMisbehaved { conn, what });
                    }
                    self.publisher_gone(now, conn, "the publisher's connection was closed");
                    self.close(conn, how);
                }
                publish::Output::Ended { why, goodbye } => self.publisher_leaves(now, conn, &why, goodbye),
                publish::Output::Packet(packet) => self.published_packet(now, conn, packet),
                publish::Output::Requested { host, app, stream, query: _ } => {
                    self.publish_requested(now, conn, &host, &app, stream);
                }
                publish::Output::Started(info) => self.publisher_started(now, conn, info),
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

    /// A publisher publishes no more; its connection may still be there.
    fn publisher_leaves(&mut self, now: Now, conn: ConnId, why: &str, goodbye: bool) {
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        let Some(id) = publisher.stream.take() else { return };
        (publisher.reserve, publisher.info) = (None, None);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let key = stream.key.clone();
        let Some(broadcast) = stream.broadcast_mut() else { return };
        let reserve = |conn| self.publishers.get(&conn).and_then(|publisher| publisher.reserve.as_ref());
        let can_go_on = |conn| reserve(conn).is_some_and(|it| !it.is_empty());
        let succession = broadcast.lineup.leave(now.mono, conn, goodbye, can_go_on);
        let is_shared = broadcast.is_shared();
        match succession {
            Succession::Over => self.end_stream(now, id, why),
            Succession::PassesTo(next) => {
                self.event(Event::PublishInterrupted { key, why: why.to_owned() });
                self.go_on_air(now, id, next);
            }
            Succession::Unchanged => {}
            Succession::Vacant(until) => {
                self.event(Event::PublishInterrupted { key: key.clone(), why: why.to_owned() });
                self.timers.set(Child::Stream(id), Some(until));
                self.send_clients_elsewhere(now, id, is_shared);
                self.offer(now, &key);
            }
        }
    }

    /// What a publisher has sent lately, if it stands by.
    pub(super) fn reserve_of(&self, conn: ConnId) -> Option<&Reserve> {
        self.publishers.get(&conn)?.reserve.as_ref()
    }

    /// A publisher that stood by goes on air with what it has sent since its last key frame.
    fn go_on_air(&mut self, now: Now, id: StreamId, conn: ConnId) {
        if let Some(key) = self.streams.get(&id).map(|stream| stream.key.clone()) {
            self.event(Event::PublishStarted { key, conn });
        }
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        let packets = publisher.reserve.take().unwrap_or_default().into_packets();
        publisher.feed.expect_burst(u32::try_from(packets.len()).unwrap_or(u32::MAX));
        for packet in packets {
            self.published_packet(now, conn, packet);
        }
        self.publisher_settle(now, conn);
    }

    /// The publisher on air is dismissed if it has been silent for too long while others stand by.
    fn relieve_the_silent(&mut self, now: Now, id: StreamId) {
        let Some(broadcast) = self.streams.get(&id).and_then(Stream::broadcast) else { return };
        let Some(on_air) = broadcast.lineup.on_air() else { return };
        if self.is_silent(now, on_air, broadcast.patience()) {
            self.dismiss_publisher(now, on_air, "it is silent, and another publisher of the name stands by");
        }
    }

    fn is_silent(&self, now: Now, conn: ConnId, patience: Duration) -> bool {
        let heard = self.publishers.get(&conn).map(|publisher| publisher.session.heard());
        heard.is_none_or(|heard: Time| now.mono.since(heard) >= patience)
    }

    fn publish_requested(&mut self, now: Now, conn: ConnId, host: &str, app: &str, stream: String) {
        let admitted = self.admit(now, conn, host, app, stream);
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        match admitted {
            Ok((id, silence)) => {
                publisher.stream = Some(id);
                publisher.session.set_silence(silence);
                publisher.session.accept();
            }
            Err(why) => {
                publisher.session.refuse(&why);
                self.event(Event::PublishRefused { conn, why });
            }
        }
    }

    /// Finds the stream that is to be published and gives the publisher a place in it, or says why it has none.
    fn admit(
        &mut self,
        now: Now,
        conn: ConnId,
        host: &str,
        app: &str,
        stream: String,
    ) -> Result<(StreamId, Option<Duration>), String> {
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
        let silence = provider.silence;
        // Who has to go first leaves the place empty, or ends the stream.
        for _ in 0..=STANDBY_PUBLISHERS_MAX + 1 {
            match self.place_in_lineup(now, conn, &key)? {
                Some(Admission::After(old)) => {
                    self.dismiss_publisher(now, old, "another publisher took the name over");
                }
                Some(_) => {
                    let id = self.names.get(&key).copied();
                    return Ok((id.ok_or("The stream has just ended; publish again.")?, silence));
                }
                None => break,
            }
        }
        self.free_name_of_pull(now, &key, &provider)?;
        if self.streams.len() >= self.streams_max() {
            return Err("The server takes no more streams.".to_owned());
        }
        let broadcast = Box::new(Broadcast::new(provider, conn));
        let id = self.add_stream(now, key.clone(), app, Source::Publisher(broadcast));
        self.event(Event::PublishStarted { key, conn });
        Ok((id, silence))
    }

    /// Gives a publisher its place in the stream that is published under this name; `None` if there is none.
    fn place_in_lineup(
        &mut self,
        now: Now,
        conn: ConnId,
        key: &StreamKey,
    ) -> Result<Option<Admission>, String> {
        let Some(id) = self.names.get(key).copied() else { return Ok(None) };
        let Some(broadcast) = self.streams.get(&id).and_then(Stream::broadcast) else { return Ok(None) };
        let on_air = broadcast.lineup.on_air();
        let is_alive = on_air.is_some_and(|on_air| !self.is_silent(now, on_air, PUBLISHER_DEAD_AFTER));
        let Some(broadcast) = self.streams.get_mut(&id).and_then(Stream::broadcast_mut) else {
            return Ok(None);
        };
        let admission = broadcast.lineup.admit(conn, is_alive);
        match admission {
            Admission::OnAir => {
                if broadcast.is_shared() {
                    // Times that mean something are found anew, as those of a new stream.
                    broadcast.timeline = timeline(&broadcast.provider);
                }
                self.event(Event::PublishStarted { key: key.clone(), conn });
            }
            Admission::Refused => {
                let (app, name) = (&key.app, &key.stream);
                return Err(format!("A stream named '{app}/{name}' is being published already."));
            }
            Admission::Standby => {
                if let Some(publisher) = self.publishers.get_mut(&conn) {
                    publisher.reserve = Some(Reserve::default());
                }
                self.event(Event::PublisherStandsBy { key: key.clone(), conn });
            }
            Admission::After(_) => {}
        }
        Ok(Some(admission))
    }

    /// Makes a name free that a pull has, or says why it is taken.
    fn free_name_of_pull(
        &mut self,
        now: Now,
        key: &StreamKey,
        provider: &RtmpProvider,
    ) -> Result<(), String> {
        let Some(id) = self.names.get(key).copied() else { return Ok(()) };
        let Some(Source::Pull(pull)) = self.streams.get(&id).map(|stream| &stream.source) else {
            return Ok(());
        };
        // A pull that has nothing to show is a question, and here comes the answer.
        if let Some(url) = pull.active_url().filter(|_| provider.block_duplicate) {
            let (app, name, host) = (&key.app, &key.stream, url.host());
            return Err(format!("A stream named '{app}/{name}' is here already: it is pulled from {host}."));
        }
        self.end_stream(now, id, "a publisher took the name over");
        Ok(())
    }

    /// What the publisher sends is known, and its first packet follows.
    fn publisher_started(&mut self, now: Now, conn: ConnId, info: StreamInfo) {
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        let Some(stream) = publisher.stream.and_then(|id| self.streams.get(&id)) else { return };
        let has_directory = self.directories.values().any(|known| known.vhost() == stream.key.vhost);
        publisher.main = main_track(&info);
        let feed = Feed::new(publisher.main).live();
        publisher.feed = if has_directory { feed.agreeing() } else { feed };
        if stream.info.is_some() || publisher.reserve.is_some() {
            publisher.info = Some(info);
        } else {
            self.published_info(now, conn, info);
        }
    }

    /// The stream is what its publisher says. It gets the names that the application's output profile gives.
    fn published_info(&mut self, now: Now, conn: ConnId, mut info: StreamInfo) {
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        if publisher.info.is_some() {
            publisher.info = Some(info);
            return;
        }
        let Some(id) = publisher.stream else { return };
        let Some(stream) = self.streams.get(&id) else { return };
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

    fn published_packet(&mut self, now: Now, conn: ConnId, packet: Packet) {
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        let Some(id) = publisher.stream else { return };
        if let Some(reserve) = &mut publisher.reserve {
            reserve.push(publisher.main, packet);
            return self.relieve_the_silent(now, id);
        }
        let Some(broadcast) = self.streams.get_mut(&id).and_then(Stream::broadcast_mut) else { return };
        let passed = publisher.feed.push(&mut broadcast.timeline, now, packet);
        self.deliver_published(now, conn, id, passed);
    }

    /// Other servers have said where a publisher's time zero lies, before or after it was placed.
    pub(super) fn time_zero_agreed(&mut self, now: Now, id: StreamId, ms: i64) {
        let Some(broadcast) = self.streams.get_mut(&id).and_then(Stream::broadcast_mut) else { return };
        let Some(conn) = broadcast.lineup.on_air() else { return };
        let Some(publisher) = self.publishers.get_mut(&conn) else { return };
        let passed = publisher.feed.agreed(&mut broadcast.timeline, now, ms);
        if broadcast.timeline.zero_ms().is_some_and(|placed| placed != ms) {
            broadcast.timeline.overruled();
        }
        self.deliver_published(now, conn, id, passed);
        self.publisher_settle(now, conn);
    }

    fn deliver_published(&mut self, now: Now, conn: ConnId, id: StreamId, passed: Passed) {
        if let Some(joined) = passed.joined {
            self.publisher_joined(now, conn, id, joined);
        }
        if passed.asks.is_some() || passed.joined.is_some() {
            let broadcast = self.streams.get(&id).and_then(Stream::broadcast);
            let placed = broadcast.and_then(|broadcast| broadcast.timeline.zero_ms());
            self.keep_time_zero(now, id, passed.asks, placed);
        }
        for packet in &passed.packets {
            self.deliver(now, id, packet);
        }
    }

    /// A publisher's media has its place on the timeline: the stream is what this publisher says.
    fn publisher_joined(&mut self, now: Now, conn: ConnId, id: StreamId, joined: Joined) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (key, outage) = (stream.key.clone(), stream.silent_for(now.mono));
        if let Some(broadcast) = stream.broadcast_mut() {
            broadcast.lineup.delivers();
        }
        if joined != Joined::Exact {
            stream.channel.forget_past();
        }
        let info = self.publishers.get_mut(&conn).and_then(|publisher| publisher.info.take());
        let Some(info) = info else { return };
        if joined == Joined::First {
            self.start_over(id);
        }
        self.published_info(now, conn, info);
        self.event(Event::PublishResumed { key, outage, joined });
    }
}
