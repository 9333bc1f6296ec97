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

use super::message::{self, Application, Request};
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
    },
    /// It wants a stream: answer with [`Server::play_ok`] and then send media, or with a `no_such_*`.
    Play {
        /// The request's id, for the answer.
        id: u32,
        /// Which stream.
        target: Url,
        /// How much of the recent past it wants, in milliseconds; only another Headwater asks.
        history_ms: Option<u32>,
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
        message::describe_ok(id, app_name, stream, message::VERSION, info, wall)
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

    /// Any request: there is no application `app` (`#<vhost>#<app>`). OvenMediaEngine says so to a PLAY.
    pub fn no_such_app(&mut self, id: u32, application: Application, app: &str, wall: Wall) -> Bytes {
        self.refuse(id, application, &format!("There is no such app ({app})"), wall)
    }

    /// PLAY: granted. The first bytes after these may be media.
    pub fn play_ok(&mut self, id: u32, wall: Wall) -> Bytes {
        self.session = Session::Playing;
        message::granted(Application::Play, id, wall)
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
            Ok(Request { application: Application::Describe, id, target, .. }) => {
                ServerEvent::Describe { id, target }
            }
            Ok(Request { application: Application::Play, id, target, history_ms }) => {
                self.play(id, target, history_ms, wall)
            }
            Ok(Request { application: Application::Stop, id, target, .. }) => {
                ServerEvent::Stop { id, target }
            }
        };
        self.events.push_back(event);
    }

    fn play(&mut self, id: u32, target: Url, history_ms: Option<u32>, wall: Wall) -> ServerEvent {
        if self.session != Session::None {
            let message = "Internal Error : Cannot create session";
            return ServerEvent::Write(message::refusal(Application::Play.name(), id, 404, message, wall));
        }
        self.session = Session::Asked;
        ServerEvent::Play { id, target, history_ms }
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
