//! The origin's side of one OVT connection, as a machine without deadlines (reference: OVT sections 4 and 8).
//!
//! It reads requests and turns them into events; the caller, who knows the streams, answers with the bytes that the
//! methods named after answers give. What cannot be read is answered here, in OvenMediaEngine's words. In three
//! points it is stricter than OvenMediaEngine:
//!
//! - After bytes that are no OVT it answers 500 and ends; OvenMediaEngine keeps the connection and answers 500 for
//!   ever.
//! - A connection plays one stream. OvenMediaEngine takes a second PLAY, and then closes the socket under the first
//!   or mixes the packets of both; here it is refused, as a session that cannot be created.
//! - Requests, and bytes that are none, are limited.
//!
//! A DESCRIBE is answered while the stream plays, too, as OvenMediaEngine does.

use std::collections::VecDeque;

use bytes::Bytes;

use super::message::{self, Application, Grant, Request};
use super::reassembly::{Reassembler, Unit};
use super::{Error, PeerMisbehaved};
use crate::limits;
use crate::media::StreamInfo;
use crate::time::{Now, Time, Wall};
use crate::url::Url;

/// One connection of an edge.
#[derive(Debug)]
pub struct Server {
    reassembler: Reassembler,
    budget: Budget,
    session: Session,
    ended: bool,
    events: VecDeque<ServerEvent>,
}

/// What an edge wants, or must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// It asks what a stream is: answer with [`Server::describe_ok`], [`Server::not_started`] or a `no_such_*`.
    Describe {
        /// The request's id, for the answer.
        id: u32,
        /// Which stream.
        target: Url,
        /// On whose behalf it asks; only another Headwater says so.
        via: Vec<u64>,
        /// Whether it plays the stream from another origin; only another Headwater says so.
        spare: bool,
    },
    /// It wants a stream: answer with [`Server::play_ok`] and then send media, or with a `no_such_*`.
    Play {
        /// The request's id, for the answer.
        id: u32,
        /// Which stream.
        target: Url,
        /// How much of the recent past it wants, in milliseconds; only another Headwater asks.
        history_ms: Option<u32>,
        /// How often it wants a sign of life when there is no media, in milliseconds; only another Headwater asks.
        beat_ms: Option<u32>,
    },
    /// It wants no more: answer with [`Server::stop_ok`] and close if it was playing, or with a `no_such_*`.
    Stop {
        /// The request's id, for the answer.
        id: u32,
        /// Which stream.
        target: Url,
    },
    /// Bytes for the edge.
    Write(Bytes),
}

/// Whether a connection plays a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    None,
    Asked,
    Playing,
}

impl Server {
    /// A connection that was accepted at `now`.
    pub fn new(now: Time) -> Server {
        Server {
            reassembler: Reassembler::for_origin(),
            budget: Budget { requests: limits::OVT_REQUEST_BURST, since: now },
            session: Session::None,
            ended: false,
            events: VecDeque::new(),
        }
    }

    /// Bytes of requests that are not complete.
    pub fn held_bytes(&self) -> usize {
        self.reassembler.held_bytes()
    }

    /// Events that nobody has polled.
    pub fn unpolled(&self) -> usize {
        self.events.len()
    }

    /// Bytes from the edge. After an error, write what is still polled, and close.
    pub fn receive(&mut self, mut bytes: Bytes, now: Now) -> Result<(), Error> {
        while !self.ended {
            match self.reassembler.next(&mut bytes) {
                Ok(None) => return Ok(()),
                // An origin's reassembler skips media.
                Ok(Some(Unit::Media(_))) => {}
                Ok(Some(Unit::Message { .. })) if !self.budget.spend(now.mono) => {
                    return Err(self.fail(PeerMisbehaved::TooManyRequests.into(), now.wall));
                }
                Ok(Some(Unit::Message { text })) => self.request(&text, now.wall),
                Err(error) => return Err(self.fail(error, now.wall)),
            }
        }
        Ok(())
    }

    /// The next thing that the edge wants, or must be told.
    pub fn poll(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Whether PLAY was granted on this connection.
    pub fn is_playing(&self) -> bool {
        self.session == Session::Playing
    }

    /// DESCRIBE: the stream is `info`. `app_name` is `#<vhost>#<app>`. Playlists without renditions are left out.
    pub fn describe_ok(&self, id: u32, app_name: &str, stream: &str, info: &StreamInfo, wall: Wall) -> Bytes {
        message::describe_ok(id, app_name, stream, message::VERSION, info, None, wall)
    }

    /// The same for a Headwater: `mark` stands for this stream in the list of those for whom a DESCRIBE is asked.
    pub fn describe_ok_with_mark(
        &self,
        id: u32,
        app_name: &str,
        stream: &str,
        info: &StreamInfo,
        mark: u64,
        wall: Wall,
    ) -> Bytes {
        message::describe_ok(id, app_name, stream, message::VERSION, info, Some(mark), wall)
    }

    /// DESCRIBE: the stream `key` (`#<vhost>#<app>/<stream>`) is known and has not begun; ask again soon.
    pub fn not_started(&self, id: u32, key: &str, wall: Wall) -> Bytes {
        let message = format!("({key}) stream has not started.");
        message::refusal(Application::Describe.name(), id, message::NOT_STARTED, &message, wall)
    }

    /// Any request: there is no stream `key` (`#<vhost>#<app>/<stream>`).
    pub fn not_found(&mut self, id: u32, application: Application, key: &str, wall: Wall) -> Bytes {
        self.refuse(id, application, &format!("There is no such stream ({key})"), wall)
    }

    /// DESCRIBE: the stream `key` (`#<vhost>#<app>/<stream>`) is pulled from whoever asks for it.
    pub fn goes_in_circles(&self, id: u32, key: &str, wall: Wall) -> Bytes {
        let message = format!("The servers ask each other for {key} in a circle; correct their <Origins>");
        message::refusal(Application::Describe.name(), id, 404, &message, wall)
    }

    /// Any request: there is no application `app` (`#<vhost>#<app>`). OvenMediaEngine says so to a PLAY.
    pub fn no_such_app(&mut self, id: u32, application: Application, app: &str, wall: Wall) -> Bytes {
        self.refuse(id, application, &format!("There is no such app ({app})"), wall)
    }

    /// PLAY: granted. The first bytes after these may be media.
    pub fn play_ok(&mut self, id: u32, wall: Wall) -> Bytes {
        self.play_ok_with(id, Grant::default(), wall)
    }

    /// PLAY: granted, with what a Headwater has asked for beyond it.
    pub fn play_ok_with(&mut self, id: u32, grant: Grant, wall: Wall) -> Bytes {
        self.session = Session::Playing;
        message::play_ok(id, grant, wall)
    }

    /// STOP: no more media follows. Close the connection after it if it was playing.
    pub fn stop_ok(&mut self, id: u32, wall: Wall) -> Bytes {
        self.session = Session::None;
        message::granted(Application::Stop, id, wall)
    }

    fn refuse(&mut self, id: u32, application: Application, message: &str, wall: Wall) -> Bytes {
        if application == Application::Play && self.session == Session::Asked {
            self.session = Session::None;
        }
        message::refusal(application.name(), id, 404, message, wall)
    }

    fn request(&mut self, text: &[u8], wall: Wall) {
        let event = match Request::parse(text) {
            Err(error) => ServerEvent::Write(error.answer(wall)),
            Ok(Request { application: Application::Describe, id, target, via, spare, .. }) => {
                ServerEvent::Describe { id, target, via, spare }
            }
            Ok(request @ Request { application: Application::Play, .. }) => self.play(request, wall),
            Ok(Request { application: Application::Stop, id, target, .. }) => {
                ServerEvent::Stop { id, target }
            }
        };
        self.events.push_back(event);
    }

    fn play(&mut self, request: Request, wall: Wall) -> ServerEvent {
        let Request { id, target, history_ms, beat_ms, .. } = request;
        if self.session != Session::None {
            let message = "Internal Error : Cannot create session";
            return ServerEvent::Write(message::refusal(Application::Play.name(), id, 404, message, wall));
        }
        self.session = Session::Asked;
        ServerEvent::Play { id, target, history_ms, beat_ms }
    }

    fn fail(&mut self, error: Error, wall: Wall) -> Error {
        self.ended = true;
        let answer = message::refusal("unknown", 0, 500, "Server Internals Error", wall);
        self.events.push_back(ServerEvent::Write(answer));
        error
    }
}

/// How many requests are allowed now: a burst, and then one at a time.
#[derive(Debug)]
struct Budget {
    requests: u32,
    since: Time,
}

impl Budget {
    fn spend(&mut self, now: Time) -> bool {
        while self.requests < limits::OVT_REQUEST_BURST
            && now.since(self.since) >= limits::OVT_REQUEST_INTERVAL
        {
            self.requests += 1;
            self.since += limits::OVT_REQUEST_INTERVAL;
        }
        if self.requests == limits::OVT_REQUEST_BURST {
            self.since = now;
        }
        let allowed = self.requests > 0;
        self.requests = self.requests.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::super::captures::description;
    use super::super::message::Extension;
    use super::super::packet::{HEADER_BYTES, Header, PayloadKind, fragment};
    use super::super::{Client, ClientEvent};
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    const KEY: &str = "#default#app/stream";

    fn request(application: Application, id: u32) -> Bytes {
        message::request(application, id, "ovt://host:9000/app/stream", Extension::default(), Wall::default())
    }

    fn receive(server: &mut Server, bytes: impl Into<Bytes>) -> Result<(), Error> {
        server.receive(bytes.into(), Now::default())
    }

    fn ask(server: &mut Server, application: Application, id: u32) -> ServerEvent {
        receive(server, request(application, id)).expect("a request");
        server.poll().expect("an event")
    }

    fn packet(kind: u8, text: &[u8]) -> Bytes {
        let kind = PayloadKind::from_number(kind);
        fragment(Header { marker: true, kind, sequence: 0, timestamp: 0, session: 0, length: 0 }, text)
    }

    fn told(event: ServerEvent) -> String {
        match event {
            ServerEvent::Write(bytes) => String::from_utf8(bytes[HEADER_BYTES..].to_vec()).expect("ASCII"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn trap_16_the_host_of_the_target_is_handed_on() {
        let mut server = Server::new(Time::ZERO);
        let ServerEvent::Describe { id: 1, target, .. } = ask(&mut server, Application::Describe, 1) else {
            panic!("a DESCRIBE")
        };
        assert_eq!((target.host(), target.app(), target.stream()), ("host", Some("app"), Some("stream")));
    }

    #[test]
    fn trap_17_a_connection_plays_one_stream() {
        let refused =
            r#"{"application":"play","code":404,"id":2,"message":"Internal Error : Cannot create session"}"#;
        let mut server = Server::new(Time::ZERO);
        assert!(matches!(ask(&mut server, Application::Play, 1), ServerEvent::Play { id: 1, .. }));
        assert_eq!(told(ask(&mut server, Application::Play, 2)), refused);
        server.play_ok(1, Wall::default());
        assert!(server.is_playing());
        assert_eq!(told(ask(&mut server, Application::Play, 2)), refused);
        assert!(server.is_playing());
    }

    #[test]
    fn a_refused_play_may_be_asked_again() {
        let mut server = Server::new(Time::ZERO);
        ask(&mut server, Application::Play, 1);
        let answer = server.not_found(1, Application::Play, KEY, Wall::default());
        let text = r#"{"application":"play","code":404,"id":1,"message":"There is no such stream (#default#app/stream)"}"#;
        assert_eq!(answer[HEADER_BYTES..], *text.as_bytes());
        assert!(matches!(ask(&mut server, Application::Play, 2), ServerEvent::Play { id: 2, .. }));
    }

    #[test]
    fn trap_12_a_stream_that_has_not_started_is_a_202() {
        let server = Server::new(Time::ZERO);
        let answer = server.not_started(1, KEY, Wall::default());
        let text = r#"{"application":"describe","code":202,"id":1,"message":"(#default#app/stream) stream has not started."}"#;
        assert_eq!(answer[HEADER_BYTES..], *text.as_bytes());
    }

    #[test]
    fn trap_15_a_stop_ends_the_session() {
        let mut server = Server::new(Time::ZERO);
        ask(&mut server, Application::Play, 1);
        server.play_ok(1, Wall::default());
        assert!(matches!(ask(&mut server, Application::Stop, 2), ServerEvent::Stop { id: 2, .. }));
        server.stop_ok(2, Wall::default());
        assert!(!server.is_playing());
    }

    #[test]
    fn history_is_handed_on() {
        let mut server = Server::new(Time::ZERO);
        let history = Extension { history_ms: Some(4_000), ..Extension::default() };
        let play = message::request(Application::Play, 1, "ovt://h/a/s", history, Wall::default());
        receive(&mut server, play).expect("a request");
        assert!(matches!(server.poll(), Some(ServerEvent::Play { history_ms: Some(4_000), .. })));
    }

    #[test]
    fn what_cannot_be_read_is_answered_here_and_the_connection_goes_on() {
        let mut server = Server::new(Time::ZERO);
        receive(&mut server, packet(10, b"nonsense")).expect("OVT");
        let json =
            r#"{"application":"unknown","code":404,"id":0,"message":"An invalid request : Json format"}"#;
        assert_eq!(told(server.poll().expect("an answer")), json);
        receive(&mut server, packet(10, br#"{"application":"Dance","id":4,"target":"ovt://h"}"#))
            .expect("OVT");
        let dance = r#"{"application":"Dance","code":404,"id":4,"message":"Unknown application"}"#;
        assert_eq!(told(server.poll().expect("an answer")), dance);
        assert!(matches!(ask(&mut server, Application::Describe, 5), ServerEvent::Describe { id: 5, .. }));
    }

    #[test]
    fn what_is_no_ovt_is_answered_once_and_ends_the_connection() {
        let mut server = Server::new(Time::ZERO);
        let mut bytes = request(Application::Describe, 1).to_vec();
        bytes.extend_from_slice(&[0; HEADER_BYTES]);
        assert!(receive(&mut server, bytes).is_err());
        assert!(matches!(server.poll(), Some(ServerEvent::Describe { .. })));
        let error = r#"{"application":"unknown","code":500,"id":0,"message":"Server Internals Error"}"#;
        assert_eq!(told(server.poll().expect("an answer")), error);
        assert_eq!(receive(&mut server, request(Application::Describe, 2)), Ok(()));
        assert_eq!(server.poll(), None);
    }

    #[test]
    fn media_and_unknown_payloads_are_skipped_and_not_without_end() {
        let mut server = Server::new(Time::ZERO);
        receive(&mut server, packet(30, &[0; 30_000])).expect("skipped");
        receive(&mut server, packet(99, &[0; 30_000])).expect("skipped");
        assert_eq!(server.poll(), None);
        assert_eq!(
            receive(&mut server, packet(30, &[0; 30_000])),
            Err(PeerMisbehaved::TooMuchIgnored.into())
        );
    }

    #[test]
    fn requests_are_limited_to_a_burst_and_then_one_at_a_time() {
        let mut server = Server::new(Time::ZERO);
        let mut now = Now::default();
        for id in 0..limits::OVT_REQUEST_BURST {
            server.receive(request(Application::Describe, id), now).expect("within the burst");
        }
        now.mono += limits::OVT_REQUEST_INTERVAL;
        server.receive(request(Application::Describe, 100), now).expect("one more");
        now.mono += limits::OVT_REQUEST_INTERVAL - Duration::from_micros(1);
        let refused = server.receive(request(Application::Describe, 101), now);
        assert_eq!(refused, Err(PeerMisbehaved::TooManyRequests.into()));
    }

    #[test]
    fn a_rest_gives_one_burst_and_no_more() {
        let mut server = Server::new(Time::ZERO);
        let now = Now { mono: Time::from_micros(3_600_000_000), wall: Wall::default() };
        let mut ask = |id| server.receive(request(Application::Describe, id), now);
        assert!((0..limits::OVT_REQUEST_BURST).all(|id| ask(id).is_ok()));
        assert_eq!(ask(100), Err(PeerMisbehaved::TooManyRequests.into()));
    }

    #[test]
    fn our_client_plays_from_our_server() {
        let info = description("h264-aac").info;
        let (mut client, mut server) =
            (Client::new("ovt://h/app/stream".into(), 1, None), Server::new(Time::ZERO));
        client.start(Wall::default());
        let mut seen = Vec::new();
        while let Some(event) = client.poll() {
            let ClientEvent::Write(bytes) = event else {
                seen.push(event);
                continue;
            };
            receive(&mut server, bytes).expect("a request");
            let answer = match server.poll().expect("an event") {
                ServerEvent::Describe { id, .. } => {
                    server.describe_ok(id, "#default#app", "stream", &info, Wall::default())
                }
                ServerEvent::Play { id, .. } => server.play_ok(id, Wall::default()),
                other => panic!("{other:?}"),
            };
            client.receive(answer, Wall::default()).expect("an answer");
        }
        assert!(
            matches!(&seen[..], [ClientEvent::Described(told), ClientEvent::Playing(_)] if told.info == info)
        );
    }

    proptest! {
        #[test]
        fn never_panics(chunks in proptest::collection::vec((any::<u8>(), any::<Vec<u8>>()), 0..9)) {
            let mut server = Server::new(Time::ZERO);
            for (kind, chunk) in chunks {
                let _ = receive(&mut server, packet(10, &chunk));
                let _ = receive(&mut server, packet(kind, &chunk));
                let _ = receive(&mut server, chunk);
            }
        }
    }
}
