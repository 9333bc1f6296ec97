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

use super::message::{self, Application, Description, Extension, Grant, Response};
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
    beat_ms: Option<u32>,
    via: Vec<u64>,
    spare: bool,
    origin: Option<u64>,
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
    /// PLAY was granted, with or without what was asked for beyond it; media follows.
    Playing(Grant),
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
            beat_ms: None,
            via: Vec::new(),
            spare: false,
            origin: None,
            phase: Phase::Idle,
            reassembler: Reassembler::for_edge(),
            tracks: Vec::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            events: VecDeque::new(),
        }
    }

    /// The client for a stream that others have asked for: `via` marks on whose behalf DESCRIBE is asked.
    pub fn with_via(self, via: Vec<u64>) -> Client {
        Client { via, ..self }
    }

    /// The client for a stream that plays from another origin already.
    pub fn as_spare(self) -> Client {
        Client { spare: true, ..self }
    }

    /// The client that asks another Headwater for a sign of life after so many milliseconds without media.
    pub fn with_beats(self, beat_ms: u32) -> Client {
        Client { beat_ms: Some(beat_ms), ..self }
    }

    /// Bytes of what is not complete, and of media that came before the answer to PLAY.
    pub fn held_bytes(&self) -> usize {
        self.reassembler.held_bytes() + self.early.iter().map(|packet| packet.data.len()).sum::<usize>()
    }

    /// Events that nobody has polled.
    pub fn unpolled(&self) -> usize {
        self.events.len()
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

    /// What stands for the origin's stream when it asks others for it; `None` until it has said so.
    pub fn origin_mark(&self) -> Option<u64> {
        self.origin
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
        let extension = match application {
            Application::Describe => Extension { via: &self.via, spare: self.spare, ..Extension::default() },
            Application::Play => {
                Extension { history_ms: self.history_ms, beat_ms: self.beat_ms, ..Extension::default() }
            }
            Application::Stop => Extension::default(),
        };
        message::request(application, id, &self.target, extension, wall)
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
                self.origin = response.mark;
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
        self.events.push_back(ClientEvent::Playing(response.grant));
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

#[cfg(test)]
mod tests {
    use super::super::captures::description;
    use super::super::message::{granted, refusal};
    use super::super::packet::HEADER_BYTES;
    use super::*;
    use proptest::prelude::*;

    const TARGET: &str = "ovt://origin:9000/app/stream?a=b?c";

    fn client(first_id: u32) -> Client {
        let mut client = Client::new(TARGET.into(), first_id, None);
        client.start(Wall::default());
        assert_eq!(client.phase(), Phase::Describing);
        client
    }

    fn playing() -> Client {
        let mut client = client(1);
        receive(&mut client, description("h264-aac").answer(1, Wall::default())).expect("describe");
        receive(&mut client, granted(Application::Play, 2, Wall::default())).expect("play");
        assert_eq!(client.phase(), Phase::Playing);
        while client.poll().is_some() {}
        client
    }

    fn receive(client: &mut Client, bytes: impl Into<Bytes>) -> Result<(), Error> {
        client.receive(bytes.into(), Wall::default())
    }

    fn events(client: &mut Client) -> Vec<ClientEvent> {
        core::iter::from_fn(|| client.poll()).collect()
    }

    fn media(track: u32, payload: &'static [u8]) -> MediaPacket {
        use super::super::media::{BitstreamFormat, MediaFlag, MediaType, PacketType};
        MediaPacket {
            track,
            pts: 5,
            dts: 5,
            duration: -1,
            media_type: MediaType::AUDIO,
            flag: MediaFlag::KEY,
            format: BitstreamFormat::AAC_ADTS,
            packet_type: PacketType::RAW,
            data: Bytes::from_static(payload),
        }
    }

    fn played(client: &mut Client) -> Vec<Bytes> {
        let media = |event| if let ClientEvent::Media(packet) = event { Some(packet.data) } else { None };
        events(client).into_iter().filter_map(media).collect()
    }

    fn message(text: &[u8]) -> Bytes {
        use super::super::packet::{Header, PayloadKind, fragment};
        let kind = PayloadKind::Response;
        fragment(Header { marker: true, kind, sequence: 0, timestamp: 0, session: 0, length: 0 }, text)
    }

    #[test]
    fn the_target_is_sent_as_it_is() {
        let mut client = client(1);
        let Some(ClientEvent::Write(bytes)) = client.poll() else { panic!("a request") };
        let expected = br#"{"application":"describe","id":1,"target":"ovt://origin:9000/app/stream?a=b?c"}"#;
        assert_eq!(bytes[HEADER_BYTES..], expected[..]);
    }

    #[test]
    fn history_is_asked_with_play_alone() {
        let mut client = Client::new(TARGET.into(), 1, Some(4_000));
        client.start(Wall::default());
        receive(&mut client, description("h264-aac").answer(1, Wall::default())).expect("describe");
        let asked: Vec<bool> = events(&mut client)
            .iter()
            .filter_map(|event| if let ClientEvent::Write(bytes) = event { Some(bytes) } else { None })
            .map(|bytes| String::from_utf8_lossy(bytes).contains(r#""headwater":{"history_ms":4000}"#))
            .collect();
        assert_eq!(asked, [false, true]);
    }

    #[test]
    fn a_stream_that_has_not_started_is_asked_for_again_on_the_same_connection() {
        let mut client = client(1);
        let message = "(#default#app/stream) stream has not started.";
        receive(&mut client, refusal("describe", 1, 202, message, Wall::default())).expect("OVT");
        assert!(events(&mut client).contains(&ClientEvent::Retry { message: message.into() }));
        assert_eq!(client.phase(), Phase::Idle);
        client.start(Wall::default());
        receive(&mut client, description("h264-aac").answer(2, Wall::default())).expect("describe");
        assert_eq!((client.phase(), client.next_id()), (Phase::Starting, 4));
    }

    #[test]
    fn start_does_nothing_while_a_question_is_open() {
        let mut client = client(1);
        client.start(Wall::default());
        assert_eq!((events(&mut client).len(), client.next_id()), (1, 2));
    }

    #[test]
    fn trap_18_ids_count_on_across_connections() {
        let mut first = playing();
        assert!(first.stop(Wall::default()).is_some());
        let mut second = client(first.next_id());
        assert_eq!(second.next_id(), 5);
        receive(&mut second, description("h264-aac").answer(4, Wall::default())).expect("id 4 was asked");
        assert_eq!(client(u32::MAX).next_id(), 0);
    }

    #[test]
    fn an_answer_to_something_else_is_an_error() {
        let wrong = |application: &str, id| {
            Err(PeerMisbehaved::WrongAnswer { application: application.into(), id }.into())
        };
        let answered = |bytes| receive(&mut client(1), bytes);
        assert_eq!(answered(description("h264-aac").answer(2, Wall::default())), wrong("describe", 2));
        assert_eq!(answered(granted(Application::Play, 1, Wall::default())), wrong("play", 1));
        assert_eq!(answered(refusal("unknown", 0, 200, "ok", Wall::default())), wrong("unknown", 0));
    }

    #[test]
    fn a_refusal_of_what_the_origin_could_not_read_is_a_refusal() {
        for (id, code) in [(0, 500), (0, 404), (1, 404)] {
            let mut client = client(1);
            receive(&mut client, refusal("unknown", id, code, "no", Wall::default())).expect("OVT");
            assert!(events(&mut client).contains(&ClientEvent::Refused { code, message: "no".into() }));
            assert_eq!(client.phase(), Phase::Ended);
        }
    }

    #[test]
    fn a_refused_play_ends_the_connection_without_a_stop() {
        let mut client = client(1);
        receive(&mut client, description("h264-aac").answer(1, Wall::default())).expect("describe");
        let no = "There is no such stream (#default#app/stream)";
        receive(&mut client, refusal("play", 2, 404, no, Wall::default())).expect("OVT");
        assert_eq!(events(&mut client).pop(), Some(ClientEvent::Refused { code: 404, message: no.into() }));
        assert_eq!(client.stop(Wall::default()), None);
    }

    #[test]
    fn trap_4_the_first_media_is_played_whatever_it_is() {
        let mut client = playing();
        receive(&mut client, media(1, b"a").encode(35, &mut 60_000)).expect("OVT");
        assert_eq!(played(&mut client), ["a"]);
    }

    #[test]
    fn media_before_the_play_answer_is_played_after_it() {
        let mut client = client(1);
        receive(&mut client, media(1, b"a").encode(0, &mut 0)).expect("early");
        receive(&mut client, description("h264-aac").answer(1, Wall::default())).expect("describe");
        receive(&mut client, media(1, b"b").encode(0, &mut 0)).expect("early");
        assert!(played(&mut client).is_empty());
        let answer = granted(Application::Play, 2, Wall::default());
        receive(&mut client, [&answer[..], &media(1, b"c").encode(0, &mut 0)].concat()).expect("play");
        assert_eq!(client.events.front(), Some(&ClientEvent::Playing(Grant::default())));
        assert_eq!(played(&mut client), ["a", "b", "c"]);
    }

    #[test]
    fn early_media_is_bounded() {
        let mut client = client(1);
        let packet = media(1, b"a").encode(0, &mut 0);
        for _ in 0..limits::OVT_EARLY_PACKETS_MAX {
            receive(&mut client, packet.clone()).expect("within the bound");
        }
        assert_eq!(receive(&mut client, packet), Err(PeerMisbehaved::EarlyMedia.into()));
        assert_eq!(client.phase(), Phase::Ended);
    }

    #[test]
    fn media_of_unknown_and_silent_tracks_is_dropped() {
        let mut client = playing();
        receive(&mut client, media(9, b"a").encode(0, &mut 0)).expect("OVT");
        receive(&mut client, media(2, b"a").encode(0, &mut 0)).expect("OVT");
        assert_eq!(client.poll(), None);
    }

    #[test]
    fn the_origin_may_stop_with_a_message_and_what_came_before_it_is_played() {
        let mut client = playing();
        let stop = refusal("stop", 0, 200, "ok", Wall::default());
        let bytes = [&media(1, b"a").encode(0, &mut 0)[..], &stop, b"garbage that nobody reads"].concat();
        receive(&mut client, bytes).expect("OVT");
        assert!(matches!(events(&mut client)[..], [ClientEvent::Media(_), ClientEvent::Stopped]));
        assert_eq!((client.phase(), client.stop(Wall::default())), (Phase::Ended, None));
    }

    #[test]
    fn any_other_message_while_playing_is_an_error() {
        let mut client = playing();
        let again = granted(Application::Play, 2, Wall::default());
        assert_eq!(receive(&mut client, again), Err(PeerMisbehaved::UnexpectedMessage.into()));
        assert!(matches!(
            receive(&mut playing(), message(b"not JSON")),
            Err(Error::PeerMisbehaved(PeerMisbehaved::Json(_)))
        ));
    }

    #[test]
    fn a_message_that_nobody_asked_for_is_an_error() {
        let mut client = Client::new(TARGET.into(), 1, None);
        let answer = description("h264-aac").answer(0, Wall::default());
        assert_eq!(receive(&mut client, answer), Err(PeerMisbehaved::UnexpectedMessage.into()));
    }

    #[test]
    fn trap_13_nothing_of_a_broken_connection_reaches_the_next() {
        let whole = media(1, b"abcdef").encode(0, &mut 0);
        let mut first = playing();
        receive(&mut first, whole.slice(..whole.len() - 3)).expect("half a packet");
        let mut second = playing();
        receive(&mut second, whole).expect("a packet of its own");
        assert_eq!(played(&mut second), ["abcdef"]);
    }

    #[test]
    fn trap_14_describe_comes_before_play() {
        let mut client = client(1);
        receive(&mut client, description("h264-aac").answer(1, Wall::default())).expect("describe");
        let names: Vec<bool> = events(&mut client)
            .iter()
            .map(|event| matches!(event, ClientEvent::Write(bytes) if bytes.windows(4).any(|word| word == b"play")))
            .collect();
        assert_eq!(names, [false, false, true]);
    }

    proptest! {
        #[test]
        fn never_panics(chunks in proptest::collection::vec(any::<Vec<u8>>(), 0..9), begin in 0..3) {
            let mut client = if begin == 2 { playing() } else { client(1) };
            if begin == 1 {
                receive(&mut client, description("h264-aac").answer(1, Wall::default())).expect("describe");
            }
            for chunk in chunks {
                let _ = receive(&mut client, message(&chunk));
                let _ = receive(&mut client, chunk);
            }
        }
    }
}
