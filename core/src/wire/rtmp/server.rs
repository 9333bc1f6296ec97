//! The server's side of publishing: connect, createStream, publish, media, the end.
//!
//! The answers are those that ffmpeg, OBS and GStreamer wait for. Between `publish` and the decision about it nothing
//! more is read, so that an encoder that does not wait for the answer loses nothing.

use std::collections::VecDeque;

use bytes::Bytes;

use super::amf0::{Value, object};
use super::connection::{Connection, Lane, Received};
use super::message::{Body, Command, UserControl, split_aggregate};
use super::{Error, chunk};
use crate::limits;

/// Video and audio codecs that are taken in the enhanced form, as FourCCs.
const FOUR_CCS: [&str; 3] = ["avc1", "hvc1", "mp4a"];

/// One connection that was accepted, as a state machine: [`Server::receive`], then [`Server::poll`] until `None`.
#[derive(Debug)]
pub struct Server {
    connection: Connection,
    state: State,
    /// From `connect`.
    tc_url: String,
    app: String,
    commands: u32,
    message_streams: u32,
    events: VecDeque<ServerEvent>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Before `connect`.
    Fresh,
    /// After it.
    Connected,
    /// `publish` was received on this message stream; the decision is the caller's.
    Deciding { stream: u32, name: String },
    /// Media is welcome on this message stream.
    Publishing { stream: u32, name: String },
    /// Nothing more is read.
    Finished,
}

/// What a server has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerEvent {
    /// The body of an FLV audio tag.
    Audio {
        /// Milliseconds, wrapping.
        timestamp: u32,
        /// The tag's body.
        payload: Bytes,
    },
    /// The peer is done, or was told that it will not be served; close when everything is written.
    Finished {
        /// In a sentence's words ("the publisher ended the stream").
        why: &'static str,
    },
    /// The fields of `onMetaData`.
    Metadata(Vec<(String, Value)>),
    /// The peer wants to publish: call [`Server::accept`] or [`Server::refuse`].
    Requested(PublishRequest),
    /// The body of an FLV video tag.
    Video {
        /// Milliseconds, wrapping.
        timestamp: u32,
        /// The tag's body.
        payload: Bytes,
    },
    /// Bytes for the peer.
    Write(Bytes),
}

/// Where a peer wants to publish, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRequest {
    /// `tcUrl` of `connect`: the URL of the application; empty if it was not sent.
    pub tc_url: String,
    /// `app` of `connect`.
    pub app: String,
    /// The publishing name: the stream key.
    pub name: String,
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Server {
    /// A server that waits for the handshake.
    pub fn new() -> Server {
        Server {
            connection: Connection::server(),
            state: State::Fresh,
            tc_url: String::new(),
            app: String::new(),
            commands: 0,
            message_streams: 0,
            events: VecDeque::new(),
        }
    }

    /// Bytes of the peer that are not a whole message yet, and bytes for it that nobody has taken.
    pub fn held_bytes(&self) -> usize {
        self.connection.held_bytes()
    }

    /// Events that nobody has polled.
    pub fn unpolled(&self) -> usize {
        self.events.len()
    }

    /// Takes bytes of the peer, cut anywhere. After an error the connection is not usable; what [`Server::poll`]
    /// still has may be sent.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.state == State::Finished {
            return Ok(());
        }
        self.connection.receive(bytes)?;
        self.proceed()
    }

    /// Lets the peer publish. Without a request that waits for it, this does nothing.
    pub fn accept(&mut self) -> Result<(), Error> {
        let State::Deciding { stream, name } = &self.state else { return Ok(()) };
        let (stream, name) = (*stream, name.clone());
        let begin = Body::UserControl(UserControl::StreamBegin(stream));
        self.connection.send(Lane::Control, 0, 0, &begin);
        self.status(stream, "status", "NetStream.Publish.Start", &format!("{name} is now published."));
        self.state = State::Publishing { stream, name };
        self.proceed()
    }

    /// Refuses the request that waits for a decision, or ends the publishing that goes on, with a reason for the
    /// person at the encoder.
    pub fn refuse(&mut self, why: &str) {
        let (stream, code) = match self.state {
            State::Deciding { stream, .. } => (stream, "NetStream.Publish.BadName"),
            State::Publishing { stream, .. } => (stream, "NetStream.Publish.Failed"),
            _ => return,
        };
        self.status(stream, "error", code, why);
        self.state = State::Finished;
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<ServerEvent> {
        self.connection.take_output().map(ServerEvent::Write).or_else(|| self.events.pop_front())
    }

    /// Reads on until something has to be decided elsewhere.
    fn proceed(&mut self) -> Result<(), Error> {
        while !matches!(self.state, State::Deciding { .. } | State::Finished) {
            let Some(received) = self.connection.read()? else { return Ok(()) };
            self.message(received)?;
        }
        let ahead = self.connection.buffered();
        if ahead > limits::RTMP_AHEAD_BYTES_MAX && self.state != State::Finished {
            let what = format!("{ahead} bytes before the answer to its publish");
            return Err(Error::TooMuch { what, max: limits::RTMP_AHEAD_BYTES_MAX });
        }
        Ok(())
    }

    fn message(&mut self, received: Received) -> Result<(), Error> {
        let Received { stream, timestamp, body } = received;
        if let Body::Command(command) = body {
            return self.received_command(stream, &command);
        }
        // Media for anything but the published stream is nobody's.
        if !matches!(self.state, State::Publishing { stream: published, .. } if published == stream) {
            return Ok(());
        }
        match body {
            // Some encoders keep the connection warm with empty messages.
            Body::Audio(payload) | Body::Video(payload) if payload.is_empty() => {}
            Body::Audio(payload) => self.events.push_back(ServerEvent::Audio { timestamp, payload }),
            Body::Video(payload) => self.events.push_back(ServerEvent::Video { timestamp, payload }),
            Body::Data(values) => self.metadata(values),
            Body::Aggregate(payload) => {
                for chunk::Message { kind, timestamp, payload, .. } in split_aggregate(timestamp, payload) {
                    match Body::decode(kind, payload)? {
                        Body::Aggregate(_) => return Err(Error::Malformed("Aggregate")),
                        body => self.message(Received { stream, timestamp, body })?,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `onMetaData`, bare or as the argument of `@setDataFrame`. Other data has no meaning here.
    fn metadata(&mut self, values: Vec<Value>) {
        let mut values = values.into_iter().skip_while(|value| value.as_str() == Some("@setDataFrame"));
        if values.next().as_ref().and_then(Value::as_str) != Some("onMetaData") {
            return;
        }
        if let Some(Value::Object(fields) | Value::EcmaArray(fields)) = values.next() {
            self.events.push_back(ServerEvent::Metadata(fields));
        }
    }

    fn received_command(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        if !matches!(self.state, State::Publishing { .. }) {
            self.commands += 1;
            if self.commands > limits::RTMP_COMMANDS_MAX {
                let what = format!("{} commands and did not publish", self.commands);
                return Err(Error::TooMuch { what, max: limits::RTMP_COMMANDS_MAX as usize });
            }
        }
        match (command.name.as_str(), &self.state) {
            ("connect", State::Fresh) => self.connect(command),
            ("connect", _) => {
                return Err(Error::OutOfOrder { command: "connect", when: "after it was connected" });
            }
            (_, State::Fresh) => {
                return Err(Error::OutOfOrder { command: "a command", when: "before connect" });
            }
            ("createStream", _) => self.create_stream(command)?,
            ("publish", State::Connected) => self.publish(stream, command)?,
            ("publish", _) => {
                let why = "This connection publishes a stream already; open another one for another stream.";
                self.status(stream, "error", "NetStream.Publish.BadName", why);
            }
            ("play" | "play2", _) => self.refuse_play(stream),
            ("closeStream" | "deleteStream" | "FCUnpublish", State::Publishing { .. }) => {
                self.unpublish(command)
            }
            ("closeStream" | "deleteStream", _) => {}
            ("FCPublish", _) => {
                self.answer(command, Value::Undefined);
                let start = object([
                    ("code", "NetStream.Publish.Start".into()),
                    ("description", "The name can be published.".into()),
                ]);
                self.connection.command(Lane::Command, 0, Command::new("onFCPublish", 0.0, [start]));
            }
            ("releaseStream" | "FCUnpublish" | "_checkbw", _) => self.answer(command, Value::Undefined),
            ("getStreamLength", _) => self.answer(command, Value::Number(0.0)),
            // Answers to what was never asked, and notifications.
            ("_result" | "_error" | "onStatus", _) => {}
            _ => self.unknown(command),
        }
        Ok(())
    }

    fn connect(&mut self, command: &Command) {
        self.app = command.field(0, "app").unwrap_or_default().to_owned();
        self.tc_url = command.field(0, "tcUrl").unwrap_or_default().to_owned();
        self.state = State::Connected;
        self.connection.announce();
        let mut properties = vec![
            ("fmsVer".to_owned(), "FMS/3,0,1,123".into()),
            ("capabilities".to_owned(), Value::Number(31.0)),
        ];
        let mut info = vec![
            ("level".to_owned(), "status".into()),
            ("code".to_owned(), "NetConnection.Connect.Success".into()),
            ("description".to_owned(), "Connection succeeded.".into()),
            ("objectEncoding".to_owned(), Value::Number(0.0)),
        ];
        // Enhanced RTMP: the list is answered to those who sent one. Implementations look for it in either object.
        if command.args.first().and_then(|object| object.field("fourCcList")).is_some() {
            let list = Value::StrictArray(FOUR_CCS.map(Value::from).to_vec());
            properties.push(("fourCcList".to_owned(), list.clone()));
            info.push(("fourCcList".to_owned(), list));
        }
        let args = vec![Value::Object(properties), Value::Object(info)];
        let result = Command { name: "_result".to_owned(), transaction: command.transaction, args };
        self.connection.command(Lane::Command, 0, result);
    }

    fn create_stream(&mut self, command: &Command) -> Result<(), Error> {
        self.message_streams += 1;
        if self.message_streams > limits::RTMP_MESSAGE_STREAMS_MAX {
            let what = format!("{} createStream commands", self.message_streams);
            return Err(Error::TooMuch { what, max: limits::RTMP_MESSAGE_STREAMS_MAX as usize });
        }
        self.answer(command, Value::Number(self.message_streams.into()));
        Ok(())
    }

    fn publish(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        let Some(name) = command.string(1) else { return Err(Error::Malformed("publish command (no name)")) };
        self.state = State::Deciding { stream, name: name.to_owned() };
        let request =
            PublishRequest { tc_url: self.tc_url.clone(), app: self.app.clone(), name: name.to_owned() };
        self.events.push_back(ServerEvent::Requested(request));
        Ok(())
    }

    fn refuse_play(&mut self, stream: u32) {
        let why = "This server does not play streams over RTMP; play them over LL-HLS.";
        self.status(stream, "error", "NetStream.Play.StreamNotFound", why);
        self.state = State::Finished;
        self.events.push_back(ServerEvent::Finished { why: "the peer wanted to play over RTMP" });
    }

    fn unpublish(&mut self, command: &Command) {
        if let State::Publishing { stream, name } = &self.state {
            let (stream, description) = (*stream, format!("{name} is no longer published."));
            if command.name == "FCUnpublish" {
                self.answer(command, Value::Undefined);
            }
            self.status(stream, "status", "NetStream.Unpublish.Success", &description);
        }
        self.state = State::Finished;
        self.events.push_back(ServerEvent::Finished { why: "the publisher ended the stream" });
    }

    fn unknown(&mut self, command: &Command) {
        if command.transaction == 0.0 {
            return;
        }
        let description = format!("{:.64} is not known here.", command.name);
        let info = object([
            ("level", "error".into()),
            ("code", "NetConnection.Call.Failed".into()),
            ("description", Value::String(description)),
        ]);
        self.connection.command(Lane::Command, 0, Command::new("_error", command.transaction, [info]));
    }

    fn answer(&mut self, command: &Command, value: Value) {
        if command.transaction != 0.0 {
            self.connection.command(Lane::Command, 0, Command::new("_result", command.transaction, [value]));
        }
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        let info =
            object([("level", level.into()), ("code", code.into()), ("description", description.into())]);
        self.connection.command(Lane::Stream, stream, Command::new("onStatus", 0.0, [info]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtmp::{Publisher, PublisherAction};
    use proptest::prelude::*;

    /// Carries bytes between the two, in pieces of `cut` bytes, until both are quiet.
    fn talk(
        server: &mut Server,
        publisher: &mut Publisher,
        cut: usize,
    ) -> (Vec<ServerEvent>, Vec<PublisherAction>) {
        let (mut events, mut actions) = (Vec::new(), Vec::new());
        loop {
            let mut quiet = true;
            while let Some(action) = publisher.poll() {
                quiet = false;
                match action {
                    PublisherAction::Write(bytes) => {
                        bytes.chunks(cut).for_each(|piece| server.receive(piece).expect("our own publisher"));
                    }
                    other => actions.push(other),
                }
            }
            while let Some(event) = server.poll() {
                quiet = false;
                match event {
                    ServerEvent::Write(bytes) => {
                        bytes.chunks(cut).for_each(|piece| publisher.receive(piece).expect("our own server"));
                    }
                    other => events.push(other),
                }
            }
            if quiet {
                return (events, actions);
            }
        }
    }

    fn publisher() -> Publisher {
        Publisher::new("rtmp://example.com/app", "app", "stream?token=1")
    }

    #[test]
    fn a_refusal_says_why() {
        let (mut server, mut publisher) = (Server::new(), publisher());
        let (events, _) = talk(&mut server, &mut publisher, 9_000);
        let request = PublishRequest {
            tc_url: "rtmp://example.com/app".into(),
            app: "app".into(),
            name: "stream?token=1".into(),
        };
        assert_eq!(events, [ServerEvent::Requested(request)]);
        server.refuse("no such application");
        let (_, actions) = talk(&mut server, &mut publisher, 9_000);
        let code = "NetStream.Publish.BadName".to_owned();
        let description = "no such application".to_owned();
        assert_eq!(actions, [PublisherAction::Refused { code, description }]);
    }

    #[test]
    fn nothing_that_is_sent_ahead_of_the_answer_is_lost_or_unbounded() {
        let (mut server, mut publisher) = (Server::new(), publisher());
        talk(&mut server, &mut publisher, 9_000);
        let mut ahead = super::super::chunk::Writer::default();
        let mut bytes = bytes::BytesMut::new();
        let audio =
            chunk::Message { kind: 8, stream: 1, timestamp: 7, payload: Bytes::from_static(&[0xaf, 0]) };
        ahead.write(70, &audio, &mut bytes);
        server.receive(&bytes).expect("a little");
        server.accept().expect("well-formed");
        let (events, _) = talk(&mut server, &mut publisher, 9_000);
        assert_eq!(events, [ServerEvent::Audio { timestamp: 7, payload: audio.payload }]);

        let (mut server, mut publisher) = (Server::new(), super::tests::publisher());
        talk(&mut server, &mut publisher, 9_000);
        let error = server.receive(&vec![0; limits::RTMP_AHEAD_BYTES_MAX + 1]).expect_err("too much");
        assert!(matches!(error, Error::TooMuch { .. }));
    }

    proptest! {
        #[test]
        fn a_conversation_survives_any_cut(cut in 1usize..2_000, video in prop::collection::vec(any::<u8>(), 1..9_000)) {
            let (mut server, mut publisher) = (Server::new(), publisher());
            talk(&mut server, &mut publisher, cut);
            server.accept().expect("well-formed");
            let (_, actions) = talk(&mut server, &mut publisher, cut);
            prop_assert_eq!(actions, [PublisherAction::Ready]);

            let fields = vec![("width".to_owned(), Value::Number(640.0))];
            publisher.send_metadata(&fields);
            publisher.send_audio(u32::MAX, Bytes::from_static(&[0xaf, 1]));
            publisher.send_video(3, video.clone().into());
            publisher.finish();
            let (events, _) = talk(&mut server, &mut publisher, cut);
            prop_assert_eq!(events, [
                ServerEvent::Metadata(fields),
                ServerEvent::Audio { timestamp: u32::MAX, payload: Bytes::from_static(&[0xaf, 1]) },
                ServerEvent::Video { timestamp: 3, payload: video.into() },
                ServerEvent::Finished { why: "the publisher ended the stream" },
            ]);
        }

        #[test]
        fn arbitrary_bytes_after_the_handshake_do_not_panic(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6),
        ) {
            let mut server = Server::new();
            let mut hello = vec![3; 1 + 2 * 1_536];
            hello[0] = 3;
            server.receive(&hello).expect("a handshake");
            for piece in pieces {
                if server.receive(&piece).is_err() {
                    break;
                }
                while server.poll().is_some() {}
            }
        }
    }
}
