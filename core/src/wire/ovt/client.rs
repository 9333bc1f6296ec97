//! The edge's side of one OVT connection, as a machine without time (reference: OVT section 6).
//!
//! ```text
//! Idle --start--> Describing --200--> Starting --200--> Playing --stop, or the origin's STOP--> Ended
//!   ^                 |  |                |
//!   +-----202---------+  +--refused--> Ended <--refused
//! ```
//!
//! The caller connects, writes what it is given, and applies its own deadlines to each [`Phase`]. After an error it
//! closes. A new connection is a new client, with [`Client::next_id`] carried over: request ids count on.

use std::collections::VecDeque;

use bytes::Bytes;

use super::message::{self, Application, Description, Response};
use super::reassembly::{Reassembler, Unit};
use super::{Error, MediaPacket, PeerMisbehaved};
use crate::limits;
use crate::media::{Packet, Track, TrackId};
use crate::time::Wall;

/// One connection to an origin.
#[derive(Debug)]
pub struct Client {
    target: String,
    next_id: u32,
    history_ms: Option<u32>,
    phase: Phase,
    reassembler: Reassembler,
    tracks: Vec<Track>,
    early: VecDeque<MediaPacket>,
    early_bytes: usize,
    events: VecDeque<ClientEvent>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was asked.
    Idle,
    /// DESCRIBE is not answered.
    Describing,
    /// PLAY is not answered.
    Starting,
    /// Media comes.
    Playing,
    /// Nothing more comes; close the connection.
    Ended,
}

/// What a client wants, or has learned.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// The stream is there, and this is what it is. PLAY is asked right after.
    Described(Description),
    /// Media of a video or audio track, as it came. The first one is any frame of any track: there is no wait for a
    /// key frame.
    Media(Packet),
    /// PLAY was granted; media follows.
    Playing,
    /// The origin has said no. It may know better later, on another connection.
    Refused {
        /// 404, or 500 for a request that it could not read.
        code: u32,
        /// Its reason.
        message: String,
    },
    /// The stream exists and has not started. Call [`Client::start`] again soon, on this connection.
    Retry {
        /// The origin's words.
        message: String,
    },
    /// The origin has ended the stream with a message. Most only close.
    Stopped,
    /// Bytes for the origin.
    Write(Bytes),
}

impl Client {
    /// A client for the stream at `target`, an `ovt://` URL that is sent as it is. Its requests are numbered from
    /// `first_id` (1 for a new stream). `history_ms` asks another Headwater for that much of the recent past.
    pub fn new(target: String, first_id: u32, history_ms: Option<u32>) -> Client {
        Client {
            target,
            next_id: first_id,
            history_ms,
            phase: Phase::Idle,
            reassembler: Reassembler::for_edge(),
            tracks: Vec::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            events: VecDeque::new(),
        }
    }

    /// The connection is open, or it is time to ask again after [`ClientEvent::Retry`]: asks DESCRIBE. Does nothing
    /// in any phase but [`Phase::Idle`].
    pub fn start(&mut self, wall: Wall) {
        if self.phase == Phase::Idle {
            self.ask(Application::Describe, Phase::Describing, wall);
        }
    }

    /// Bytes from the origin. After an error the connection is to be closed; events from before it are still there.
    pub fn receive(&mut self, mut bytes: Bytes, wall: Wall) -> Result<(), Error> {
        while self.phase != Phase::Ended {
            let unit = self.reassembler.next(&mut bytes);
            let result = match unit {
                Ok(Some(Unit::Media(packet))) => self.media(packet),
                Ok(Some(Unit::Message { text })) => self.message(&text, wall),
                Ok(None) => return Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                self.end();
                return Err(error);
            }
        }
        Ok(())
    }

    /// No more of this is wanted. Gives the STOP to write before closing, if the stream is playing; its answer need
    /// not be waited for.
    pub fn stop(&mut self, wall: Wall) -> Option<Bytes> {
        let playing = self.phase == Phase::Playing;
        self.end();
        playing.then(|| self.request(Application::Stop, wall))
    }

    /// The next thing that the client wants, or has learned.
    pub fn poll(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// The number that the next request will have, here or on the next connection.
    pub fn next_id(&self) -> u32 {
        self.next_id
    }

    /// Where the connection stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    fn ask(&mut self, application: Application, phase: Phase, wall: Wall) {
        let bytes = self.request(application, wall);
        self.events.push_back(ClientEvent::Write(bytes));
        self.phase = phase;
    }

    fn request(&mut self, application: Application, wall: Wall) -> Bytes {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let history_ms = self.history_ms.filter(|_| application == Application::Play);
        message::request(application, id, &self.target, history_ms, wall)
    }

    fn message(&mut self, text: &[u8], wall: Wall) -> Result<(), Error> {
        let response = Response::parse(text)?;
        match self.phase {
            Phase::Describing => self.described(response, wall),
            Phase::Starting => self.played(response),
            Phase::Playing if Application::from_name(&response.application) == Some(Application::Stop) => {
                self.end();
                self.events.push_back(ClientEvent::Stopped);
                Ok(())
            }
            Phase::Idle | Phase::Playing | Phase::Ended => Err(PeerMisbehaved::UnexpectedMessage.into()),
        }
    }

    fn described(&mut self, response: Response, wall: Wall) -> Result<(), Error> {
        self.check(&response, Application::Describe)?;
        match (response.code, response.description) {
            (message::OK, Some(description)) => {
                self.tracks = description.info.tracks.clone();
                self.events.push_back(ClientEvent::Described(description));
                self.ask(Application::Play, Phase::Starting, wall);
            }
            (message::NOT_STARTED, _) => {
                self.events.push_back(ClientEvent::Retry { message: response.message });
                self.phase = Phase::Idle;
            }
            (code, _) => self.refused(code, response.message),
        }
        Ok(())
    }

    fn played(&mut self, response: Response) -> Result<(), Error> {
        self.check(&response, Application::Play)?;
        if response.code != message::OK {
            self.refused(response.code, response.message);
            return Ok(());
        }
        self.phase = Phase::Playing;
        self.events.push_back(ClientEvent::Playing);
        for packet in core::mem::take(&mut self.early) {
            self.deliver(packet)?;
        }
        Ok(())
    }

    /// Whether `response` answers the last request. An origin that could not read it answers a refusal to `unknown`,
    /// with the id or with 0.
    fn check(&self, response: &Response, asked: Application) -> Result<(), Error> {
        let id = self.next_id.wrapping_sub(1);
        let answered = Application::from_name(&response.application) == Some(asked) && response.id == id;
        let unread = response.application == "unknown"
            && (response.id == id || response.id == 0)
            && !matches!(response.code, message::OK | message::NOT_STARTED);
        if answered || unread {
            return Ok(());
        }
        Err(PeerMisbehaved::WrongAnswer { application: response.application.clone(), id: response.id }.into())
    }

    fn refused(&mut self, code: u32, message: String) {
        self.end();
        self.events.push_back(ClientEvent::Refused { code, message });
    }

    fn media(&mut self, packet: MediaPacket) -> Result<(), Error> {
        if self.phase == Phase::Playing {
            return self.deliver(packet);
        }
        self.early_bytes += packet.data.len();
        if self.early.len() >= limits::OVT_EARLY_PACKETS_MAX || self.early_bytes > limits::OVT_EARLY_BYTES_MAX
        {
            return Err(PeerMisbehaved::EarlyMedia.into());
        }
        self.early.push_back(packet);
        Ok(())
    }

    /// Media of a track that was not described is dropped.
    fn deliver(&mut self, packet: MediaPacket) -> Result<(), Error> {
        let id = TrackId(packet.track);
        if let Some(track) = self.tracks.iter().find(|track| track.id == id)
            && let Some(packet) = packet.into_packet(track)?
        {
            self.events.push_back(ClientEvent::Media(packet));
        }
        Ok(())
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.early.clear();
    }
}
