//! OVT clients: edges of ours, OvenMediaEngine's edges, anything that speaks OVT.

use bytes::Bytes;

use crate::event::{Event, StreamKey};
use crate::io::{Close, ConnId};
use crate::limits::{FIRST_WORD_TIMEOUT, HELD_DESCRIBE_TIMEOUT};
use crate::relay::Session;
use crate::time::{Now, Time};
use crate::url::Url;
use crate::wire::ovt::{self, Application};

use super::pulling::Pulling;
use super::stream::{HeldDescribe, Stream, StreamId};
use super::{Child, Node};

/// One OVT client's connection.
pub(super) struct Client {
    server: ovt::Server,
    /// What it plays, once it plays.
    pub(super) session: Option<Session>,
    /// When a client that has not said what it wants is given up.
    idle_until: Time,
}

impl Node {
    pub(super) fn client_accepted(&mut self, now: Now, conn: ConnId) {
        let idle_until = now.mono + FIRST_WORD_TIMEOUT;
        self.clients.insert(conn, Client { server: ovt::Server::new(now.mono), session: None, idle_until });
        self.timers.set(Child::Client(conn), Some(idle_until));
    }

    pub(super) fn client_received(&mut self, now: Now, conn: ConnId, bytes: Bytes) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.idle_until = now.mono + FIRST_WORD_TIMEOUT;
        let result = client.server.receive(bytes, now);
        while let Some(event) = self.clients.get_mut(&conn).and_then(|client| client.server.poll()) {
            match event {
                ovt::ServerEvent::Describe { id, target } => self.describe_asked(now, conn, id, &target),
                ovt::ServerEvent::Play { id, target, history_ms } => {
                    self.play_asked(now, conn, id, &target, history_ms);
                }
                ovt::ServerEvent::Stop { id, target } => self.stop_asked(now, conn, id, &target),
                ovt::ServerEvent::Write(bytes) => self.write_to_client(conn, bytes),
            }
        }
        if let Err(error) = result {
            self.event(Event::PeerMisbehaved { conn, what: error.to_string() });
            self.client_gone(conn);
            self.close(conn, Close::Flush);
        }
    }

    /// Bytes have left for an OVT client.
    pub(super) fn client_sent(&mut self, now: Now, conn: ConnId, bytes: usize) {
        if let Some(session) = self.clients.get_mut(&conn).and_then(|client| client.session.as_mut()) {
            session.sent(now.mono, bytes);
        }
    }

    pub(super) fn client_timeout(&mut self, now: Now, conn: ConnId) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let due = match &client.session {
            Some(session) => session.poll_timeout().map(|deadline| deadline.at),
            None => Some(client.idle_until),
        };
        if due.is_some_and(|at| at <= now.mono) {
            let what = match client.session {
                Some(_) => "the OVT client takes nothing: it was dropped",
                None => "the OVT client asked for nothing in time",
            };
            self.event(Event::PeerMisbehaved { conn, what: what.to_owned() });
            self.client_gone(conn);
            return self.close(conn, Close::Abort);
        }
        self.timers.set(Child::Client(conn), due);
    }

    /// Forgets a client whose connection is closed or will be.
    pub(super) fn client_gone(&mut self, conn: ConnId) {
        self.timers.remove(Child::Client(conn));
        let Some(client) = self.clients.remove(&conn) else { return };
        let Some(session) = client.session else { return };
        if let Some(stream) = self.names.get(&session.key).and_then(|id| self.streams.get_mut(id)) {
            stream.clients.remove(&conn);
        }
        self.event(Event::RelayEnded { key: session.key, conn });
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
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (due, waiting) =
            stream.describes.drain(..).partition(|held: &HeldDescribe| held.until <= now.mono);
        stream.describes = waiting;
        let key = stream.key.clone();
        let due: Vec<HeldDescribe> = due;
        for held in due {
            let Some(client) = self.clients.get(&held.conn) else { continue };
            let bytes = client.server.not_started(held.id, &key.to_string(), now.wall);
            self.write_to_client(held.conn, bytes);
        }
    }

    fn describe_asked(&mut self, now: Now, conn: ConnId, id: u32, target: &Url) {
        let (key, offered) = self.key_of(target);
        let stream = match self.names.get(&key).copied() {
            Some(stream) if offered => Some(stream),
            None if offered => match self.start_pull(now, key.clone(), target.query()) {
                Pulling::Started(stream) => Some(stream),
                Pulling::Absent | Pulling::Overloaded => None,
            },
            _ => None,
        };
        let Some(stream) = stream else {
            return self.no_such_stream(now, conn, Application::Describe, id, &key);
        };
        if self.streams.get(&stream).is_some_and(|stream| stream.info.is_some()) {
            return self.send_description(now, conn, id, stream);
        }
        let held = HeldDescribe { conn, id, until: now.mono + HELD_DESCRIBE_TIMEOUT };
        if !self.hold_describe(stream, held) {
            self.no_such_stream(now, conn, Application::Describe, id, &key);
        }
    }

    fn play_asked(&mut self, now: Now, conn: ConnId, id: u32, target: &Url, history_ms: Option<u32>) {
        let (key, offered) = self.key_of(target);
        let stream = self.names.get(&key).and_then(|id| self.streams.get_mut(id));
        let Some(stream) = stream.filter(|stream| offered && stream.info.is_some()) else {
            return self.no_such_stream(now, conn, Application::Play, id, &key);
        };
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let reply = client.server.play_ok(id, now.wall);
        let recent: Vec<Bytes> =
            stream.channel.recent(Session::history(history_ms)).map(|unit| unit.bytes.clone()).collect();
        let mut session = Session::new(key.clone());
        session.grant(now.mono, reply.len() + recent.iter().map(Bytes::len).sum::<usize>());
        stream.clients.insert(conn);
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
        self.write_to_client(conn, reply);
        if was_playing {
            self.client_gone(conn);
            self.close(conn, Close::Flush);
        }
    }

    fn send_description(&mut self, now: Now, conn: ConnId, id: u32, stream: StreamId) {
        let Some(stream) = self.streams.get(&stream) else { return };
        let (Some(info), Some(client)) = (&stream.info, self.clients.get(&conn)) else { return };
        let app_name = format!("#{}#{}", stream.key.vhost, stream.key.app);
        let bytes = client.server.describe_ok(id, &app_name, &stream.key.stream, info, now.wall);
        self.write_to_client(conn, bytes);
    }

    fn no_such_stream(&mut self, now: Now, conn: ConnId, asked: Application, id: u32, key: &StreamKey) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let bytes = client.server.not_found(id, asked, &key.to_string(), now.wall);
        self.write_to_client(conn, bytes);
    }

    /// Which stream an OVT URL means here, and whether an application publishes it over OVT.
    fn key_of(&self, target: &Url) -> (StreamKey, bool) {
        let vhost = self.config.vhost_for(target.host());
        let (app, stream) = (target.app().unwrap_or_default(), target.stream().unwrap_or_default());
        let known = vhost.and_then(|vhost| vhost.application(app));
        let offered = known.is_some_and(|app| app.publishers.ovt) && !stream.is_empty();
        let vhost = vhost.map(|vhost| vhost.name.clone()).unwrap_or_default();
        (StreamKey { vhost, app: app.to_owned(), stream: stream.to_owned() }, offered)
    }

    fn write_to_client(&mut self, conn: ConnId, bytes: Bytes) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        if let Some(session) = &mut client.session {
            session.count(bytes.len());
        }
        self.write(conn, bytes);
    }
}
