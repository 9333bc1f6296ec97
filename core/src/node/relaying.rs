//! OVT clients: edges of ours, OvenMediaEngine's edges, anything that speaks OVT.

use core::time::Duration;

use bytes::Bytes;

use crate::census::Census;
use crate::event::{Event, StreamKey};
use crate::io::{Close, ConnId};
use crate::limits::{FIRST_WORD_TIMEOUT, HELD_DESCRIBE_TIMEOUT, OVT_VIA_MAX};
use crate::name;
use crate::relay::Session;
use crate::time::{Deadline, Now, Time};
use crate::url::Url;
use crate::wire::ovt::{self, Application, Grant};

use super::pulling::Pulling;
use super::stream::{HeldDescribe, Standing, Stream, StreamId};
use super::unread::Unread;
use super::{Child, Node};

/// One OVT client's connection.
pub(super) struct Client {
    server: ovt::Server,
    /// What it plays, once it plays.
    pub(super) session: Option<Session>,
    /// Answers to what it asked before it played.
    unread: Unread,
    /// Whether it has ever asked for anything.
    has_asked: bool,
    /// It said for whom it asks, so it knows what a mark is.
    pub(super) knows_marks: bool,
    /// When a client that does not play and asks for nothing is let go.
    idle_until: Time,
}

impl Client {
    pub(super) fn count(&self, census: &mut Census) {
        census.unsent_bytes += self.session.as_ref().map_or(self.unread.bytes(), Session::queued);
        census.unfinished_bytes += self.server.held_bytes();
        census.outputs += self.server.unpolled();
    }
}

impl Node {
    pub(super) fn client_accepted(&mut self, now: Now, conn: ConnId) {
        let idle_until = now.mono + FIRST_WORD_TIMEOUT;
        let client = Client {
            server: ovt::Server::new(now.mono),
            session: None,
            unread: Unread::default(),
            has_asked: false,
            knows_marks: false,
            idle_until,
        };
        self.clients.insert(conn, client);
        self.timers.set(Child::Client(conn), Some(idle_until));
    }

    pub(super) fn client_received(&mut self, now: Now, conn: ConnId, bytes: Bytes) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let result = client.server.receive(bytes, now);
        while let Some(event) = self.clients.get_mut(&conn).and_then(|client| client.server.poll()) {
            match event {
                ovt::ServerEvent::Describe { id, target, via, spare } => {
                    self.client_asked(now, conn);
                    self.describe_asked(now, conn, id, &target, via, spare);
                }
                ovt::ServerEvent::Play { id, target, history_ms, beat_ms } => {
                    self.client_asked(now, conn);
                    self.play_asked(now, conn, id, &target, history_ms, beat_ms);
                }
                ovt::ServerEvent::Stop { id, target } => {
                    self.client_asked(now, conn);
                    self.stop_asked(now, conn, id, &target);
                }
                ovt::ServerEvent::Write(bytes) => self.write_to_client(now, conn, bytes),
            }
        }
        if let Err(error) = result {
            self.drop_client(now, conn, &error.to_string(), Close::Flush);
        }
    }

    /// Bytes have left for an OVT client.
    pub(super) fn client_sent(&mut self, now: Now, conn: ConnId, bytes: usize) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        match &mut client.session {
            Some(session) => session.sent(now.mono, bytes),
            None => client.unread.taken(bytes),
        }
    }

    pub(super) fn client_timeout(&mut self, now: Now, conn: ConnId) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let due = match &client.session {
            Some(session) => session.patience(),
            None => Some(Deadline { at: client.idle_until, why: "the OVT client asked for nothing in time" }),
        };
        match due.filter(|deadline| deadline.at <= now.mono) {
            None => self.sign_of_life(now, conn, due),
            // It has had its answer, and leaves the rest to us.
            Some(_) if client.session.is_none() && client.has_asked => {
                self.client_gone(now, conn);
                self.close(conn, Close::Flush);
            }
            Some(deadline) => self.drop_client(now, conn, deadline.why, Close::Abort),
        }
    }

    /// Sends one if it is time, and says when the client is to be looked at next.
    fn sign_of_life(&mut self, now: Now, conn: ConnId, patience: Option<Deadline>) {
        let session = self.clients.get_mut(&conn).and_then(|client| client.session.as_mut());
        let is_due = session.is_some_and(|session| session.is_beat_due(now.mono));
        if is_due {
            self.write_to_client(now, conn, ovt::message::beat(now.wall));
        }
        let session = self.clients.get(&conn).and_then(|client| client.session.as_ref());
        let due = session.map_or(patience, Session::poll_timeout);
        self.timers.set(Child::Client(conn), due.map(|deadline| deadline.at));
    }

    /// Forgets a client whose connection is closed or will be.
    pub(super) fn client_gone(&mut self, now: Now, conn: ConnId) {
        self.timers.remove(Child::Client(conn));
        let Some(client) = self.clients.remove(&conn) else { return };
        let Some(session) = client.session else { return };
        if let Some(stream) = self.names.get(&session.key).and_then(|id| self.streams.get_mut(id)) {
            stream.clients.remove(&conn);
            stream.last_used = now.mono;
        }
        self.event(Event::RelayEnded { key: session.key, conn });
    }

    /// What the clients of a stream were told is no longer true: they are to ask again.
    pub(super) fn dismiss_clients(&mut self, now: Now, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        for conn in core::mem::take(&mut stream.clients) {
            self.client_gone(now, conn);
            self.close(conn, Close::Flush);
        }
    }

    /// A stream has lost its publisher. A server that knows marks is sent away at once: another origin may have the stream
    /// still, and if not, it asks here again and waits. Others know no better than to wait where they are, unless what
    /// follows has other times, for `all` of them.
    pub(super) fn send_clients_elsewhere(&mut self, now: Now, id: StreamId, all: bool) {
        let Some(stream) = self.streams.get(&id) else { return };
        let knows_marks = |conn: &ConnId| self.clients.get(conn).is_some_and(|client| client.knows_marks);
        let away: Vec<ConnId> =
            stream.clients.iter().copied().filter(|conn| all || knows_marks(conn)).collect();
        for conn in away {
            self.client_gone(now, conn);
            self.close(conn, Close::Flush);
        }
    }

    /// The stream has started: those who waited for its description get it.
    pub(super) fn answer_describes(&mut self, now: Now, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        for held in core::mem::take(&mut stream.describes) {
            self.send_description(now, held.conn, held.id, id);
        }
    }

    /// The stream will not start: those who waited for its description learn that.
    pub(super) fn refuse_describes(&mut self, now: Now, stream: &mut Stream) {
        let key = stream.key.clone();
        for held in core::mem::take(&mut stream.describes) {
            self.no_such_stream(now, held.conn, Application::Describe, held.id, &key);
        }
    }

    /// DESCRIBE requests that have waited long enough hear that the stream is only starting.
    pub(super) fn answer_overdue_describes(&mut self, now: Now, id: StreamId) {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return };
            let Some(held) = stream.describes.front().copied() else { return };
            if held.until > now.mono {
                return;
            }
            stream.describes.pop_front();
            let key = stream.key.clone();
            self.not_started(now, held.conn, held.id, &key);
        }
    }

    fn client_asked(&mut self, now: Now, conn: ConnId) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.has_asked = true;
            client.idle_until = now.mono + FIRST_WORD_TIMEOUT;
        }
    }

    /// A client that breaks a rule is dropped, and the operator hears of it.
    fn drop_client(&mut self, now: Now, conn: ConnId, what: &str, how: Close) {
        if !self.clients.contains_key(&conn) {
            return;
        }
        self.event(Event::PeerMisbehaved { conn, what: what.to_owned() });
        self.client_gone(now, conn);
        self.close(conn, how);
    }

    fn describe_asked(&mut self, now: Now, conn: ConnId, id: u32, target: &Url, via: Vec<u64>, spare: bool) {
        let (key, offered) = self.key_of(target);
        if !offered {
            return self.no_such_stream(now, conn, Application::Describe, id, &key);
        }
        if via.len() >= OVT_VIA_MAX || via.contains(&self.mark(&key)) {
            return self.goes_in_circles(now, conn, id, &key);
        }
        let asker = via.last().copied();
        if let Some(client) = self.clients.get_mut(&conn) {
            client.knows_marks = asker.is_some();
        }
        if spare && self.is_draining() {
            return self.not_started(now, conn, id, &key);
        }
        let stream = match self.names.get(&key).copied() {
            Some(stream) => stream,
            None => match self.start_pull(now, key.clone(), target.query(), via) {
                Pulling::Started(stream) => stream,
                Pulling::Absent | Pulling::Unreachable => {
                    return self.no_such_stream(now, conn, Application::Describe, id, &key);
                }
                Pulling::Draining | Pulling::Overloaded => return self.not_started(now, conn, id, &key),
            },
        };
        let standing = |stream: &Stream| (stream.standing(now.mono), stream.can_feed(asker));
        match self.streams.get(&stream).map(standing) {
            None => self.no_such_stream(now, conn, Application::Describe, id, &key),
            Some((Standing::Moving, true)) => self.send_description(now, conn, id, stream),
            // Whoever asks may know another origin whose stream does move.
            Some((Standing::Moving | Standing::Silent, _)) => self.not_started(now, conn, id, &key),
            Some((Standing::Starting, _)) => {
                let held = HeldDescribe { conn, id, until: now.mono + HELD_DESCRIBE_TIMEOUT };
                if !self.hold_describe(stream, held) {
                    self.not_started(now, conn, id, &key);
                }
            }
        }
    }

    fn play_asked(
        &mut self,
        now: Now,
        conn: ConnId,
        id: u32,
        target: &Url,
        history_ms: Option<u32>,
        beat_ms: Option<u32>,
    ) {
        let (key, offered) = self.key_of(target);
        let stream = self.names.get(&key).and_then(|id| self.streams.get_mut(id));
        let Some(stream) = stream.filter(|stream| offered && stream.info.is_some()) else {
            return self.no_such_stream(now, conn, Application::Play, id, &key);
        };
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let recent: Vec<Bytes> =
            stream.channel.recent(Session::history(history_ms)).map(|unit| unit.bytes.clone()).collect();
        let mut session = Session::new(key.clone()).with_beats(beat_ms.map(millis));
        let history_packets = history_ms.map(|_| u32::try_from(recent.len()).unwrap_or(u32::MAX));
        let beat_ms = session.beat_interval().and_then(|beat| u32::try_from(beat.as_millis()).ok());
        let reply = client.server.play_ok_with(id, Grant { beat_ms, history_packets }, now.wall);
        let burst = reply.len() + recent.iter().map(Bytes::len).sum::<usize>();
        session.grant(now.mono, client.unread.bytes() + burst);
        stream.clients.insert(conn);
        self.timers.set(Child::Client(conn), session.poll_timeout().map(|due| due.at));
        client.session = Some(session);
        self.write(conn, reply);
        for bytes in recent {
            self.write(conn, bytes);
        }
        self.event(Event::RelayStarted { key, conn });
    }

    fn stop_asked(&mut self, now: Now, conn: ConnId, id: u32, target: &Url) {
        let (key, _) = self.key_of(target);
        if !self.names.contains_key(&key) {
            return self.no_such_stream(now, conn, Application::Stop, id, &key);
        }
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let was_playing = client.server.is_playing();
        let reply = client.server.stop_ok(id, now.wall);
        self.write_to_client(now, conn, reply);
        if was_playing && self.clients.contains_key(&conn) {
            self.client_gone(now, conn);
            self.close(conn, Close::Flush);
        }
    }

    fn send_description(&mut self, now: Now, conn: ConnId, id: u32, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.last_used = now.mono;
        }
        let Some(Stream { key, info: Some(info), .. }) = self.streams.get(&stream) else { return };
        let Some(client) = self.clients.get(&conn) else { return };
        let app_name = format!("#{}#{}", key.vhost, key.app);
        let bytes = if client.knows_marks {
            client.server.describe_ok_with_mark(id, &app_name, &key.stream, info, self.mark(key), now.wall)
        } else {
            client.server.describe_ok(id, &app_name, &key.stream, info, now.wall)
        };
        self.write_to_client(now, conn, bytes);
    }

    fn not_started(&mut self, now: Now, conn: ConnId, id: u32, key: &StreamKey) {
        let Some(client) = self.clients.get(&conn) else { return };
        let bytes = client.server.not_started(id, &key.to_string(), now.wall);
        self.write_to_client(now, conn, bytes);
    }

    /// The stream would have to come from whoever asks for it.
    fn goes_in_circles(&mut self, now: Now, conn: ConnId, id: u32, key: &StreamKey) {
        let Some(client) = self.clients.get(&conn) else { return };
        let bytes = client.server.goes_in_circles(id, &key.to_string(), now.wall);
        self.write_to_client(now, conn, bytes);
    }

    fn no_such_stream(&mut self, now: Now, conn: ConnId, asked: Application, id: u32, key: &StreamKey) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let bytes = client.server.not_found(id, asked, &key.to_string(), now.wall);
        self.write_to_client(now, conn, bytes);
    }

    /// Which stream an OVT URL means here, and whether an application publishes it over OVT.
    fn key_of(&self, target: &Url) -> (StreamKey, bool) {
        let vhost = self.config.vhost_for(target.host());
        let (app, stream) = (target.app().unwrap_or_default(), target.stream().unwrap_or_default());
        let name = vhost.map(|vhost| vhost.name.clone()).unwrap_or_default();
        let key = StreamKey { vhost: name, app: app.to_owned(), stream: stream.to_owned() };
        let known = match self.running(&key) {
            Some(stream) => Some(stream.app.publishers.ovt),
            None => vhost.and_then(|vhost| vhost.application(app)).map(|app| app.publishers.ovt),
        };
        let named = name::check(app).is_ok() && name::check(stream).is_ok();
        (key, named && known == Some(true))
    }

    fn write_to_client(&mut self, now: Now, conn: ConnId, bytes: Bytes) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let has_room = match &mut client.session {
            Some(session) => session.count(now.mono, bytes.len()),
            None => client.unread.add(bytes.len()),
        };
        if has_room {
            return self.write(conn, bytes);
        }
        self.drop_client(now, conn, "the OVT client asks and does not read the answers", Close::Abort);
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}
