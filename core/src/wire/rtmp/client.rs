//! The publisher's side: an encoder that sends one stream to a server.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Error;
use super::amf0::{Value, object};
use super::connection::{Connection, Lane, Received};
use super::message::{Body, Command};

/// A connection that publishes, as a state machine: write what [`Publisher::poll`] says, hand in what the server
/// answers, and send media once it is `Ready`.
#[derive(Debug)]
pub struct Publisher {
    connection: Connection,
    state: State,
    tc_url: String,
    app: String,
    stream_key: String,
    actions: VecDeque<PublisherAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The handshake goes on.
    Opening,
    /// `connect` was sent.
    Connecting,
    /// `createStream` was sent.
    Creating,
    /// `publish` was sent on this message stream.
    Requesting(u32),
    /// Media is sent on this message stream.
    Publishing(u32),
    /// Nothing more is sent.
    Over,
}

/// What a publisher has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublisherAction {
    /// The server takes media from here on.
    Ready,
    /// The server takes no media, or no more; close the connection.
    Refused {
        /// The server's code, such as `NetStream.Publish.BadName`.
        code: String,
        /// The server's reason.
        description: String,
    },
    /// Bytes for the server.
    Write(Bytes),
}

const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;

impl Publisher {
    /// A publisher of `rtmp://host/app/stream`: `tc_url` is the part without the stream, `stream_key` may carry a
    /// query.
    pub fn new(tc_url: &str, app: &str, stream_key: &str) -> Publisher {
        Publisher {
            connection: Connection::client(),
            state: State::Opening,
            tc_url: tc_url.to_owned(),
            app: app.to_owned(),
            stream_key: stream_key.to_owned(),
            actions: VecDeque::new(),
        }
    }

    /// Takes bytes of the server, cut anywhere. After an error the connection is not usable.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.connection.receive(bytes)?;
        if self.state == State::Opening && self.connection.is_open() {
            self.connect();
        }
        while let Some(received) = self.connection.read()? {
            self.message(received);
        }
        Ok(())
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<PublisherAction> {
        self.connection.take_output().map(PublisherAction::Write).or_else(|| self.actions.pop_front())
    }

    /// Whether media is sent rather than dropped.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Publishing(_))
    }

    /// Sends `onMetaData` with these fields. Like all media, it is dropped while the publisher is not ready.
    pub fn send_metadata(&mut self, fields: &[(String, Value)]) {
        let values = vec!["@setDataFrame".into(), "onMetaData".into(), Value::EcmaArray(fields.to_vec())];
        self.send(Lane::Audio, 0, &Body::Data(values));
    }

    /// Sends the body of an FLV video tag; at most 16 MiB.
    pub fn send_video(&mut self, timestamp_ms: u32, payload: Bytes) {
        self.send(Lane::Video, timestamp_ms, &Body::Video(payload));
    }

    /// Sends the body of an FLV audio tag; at most 16 MiB.
    pub fn send_audio(&mut self, timestamp_ms: u32, payload: Bytes) {
        self.send(Lane::Audio, timestamp_ms, &Body::Audio(payload));
    }

    /// Ends the stream in order; close the connection when everything is written.
    pub fn finish(&mut self) {
        if let State::Publishing(stream) = self.state {
            let key = Value::String(self.stream_key.clone());
            self.call("FCUnpublish", 6.0, [key]);
            self.call("deleteStream", 7.0, [Value::Number(stream.into())]);
        }
        self.state = State::Over;
    }

    fn send(&mut self, lane: Lane, timestamp: u32, body: &Body) {
        if let State::Publishing(stream) = self.state {
            self.connection.send(lane, stream, timestamp, body);
        }
    }

    fn message(&mut self, received: Received) {
        let Body::Command(command) = received.body else { return };
        let answers = |transaction| command.transaction == transaction;
        match (command.name.as_str(), self.state) {
            ("_result", State::Connecting) if answers(CONNECT) => self.create_stream(),
            ("_result", State::Creating) if answers(CREATE_STREAM) => self.publish(&command),
            ("_error", State::Connecting) if answers(CONNECT) => self.refused(&command),
            ("_error", State::Creating) if answers(CREATE_STREAM) => self.refused(&command),
            ("onStatus", state) => self.status(state, &command),
            ("close", _) => self.refused(&command),
            _ => {}
        }
    }

    fn connect(&mut self) {
        self.state = State::Connecting;
        self.connection.widen();
        let four_ccs = ["avc1", "hvc1", "mp4a"].map(Value::from).to_vec();
        let about = object([
            ("app", self.app.as_str().into()),
            ("type", "nonprivate".into()),
            ("flashVer", "FMLE/3.0 (compatible; Headwater)".into()),
            ("tcUrl", self.tc_url.as_str().into()),
            ("fourCcList", Value::StrictArray(four_ccs)),
        ]);
        let connect = Command { name: "connect".to_owned(), transaction: CONNECT, args: vec![about] };
        self.connection.command(Lane::Command, 0, connect);
    }

    fn create_stream(&mut self) {
        self.state = State::Creating;
        let key = Value::String(self.stream_key.clone());
        self.call("releaseStream", 2.0, [key.clone()]);
        self.call("FCPublish", 3.0, [key]);
        self.call("createStream", CREATE_STREAM, []);
    }

    fn publish(&mut self, result: &Command) {
        let stream = result.args.get(1).and_then(Value::as_number).unwrap_or(1.0) as u32;
        self.state = State::Requesting(stream);
        let args = [self.stream_key.as_str().into(), "live".into()];
        self.connection.command(Lane::Stream, stream, Command::new("publish", 5.0, args));
    }

    fn status(&mut self, state: State, command: &Command) {
        match (state, command.field(1, "code"), command.field(1, "level")) {
            (State::Requesting(stream), Some("NetStream.Publish.Start"), _) => {
                self.state = State::Publishing(stream);
                self.actions.push_back(PublisherAction::Ready);
            }
            (State::Over, _, _) => {}
            (_, _, Some("error")) => self.refused(command),
            _ => {}
        }
    }

    fn refused(&mut self, command: &Command) {
        self.state = State::Over;
        let text = |name, otherwise: &str| command.field(1, name).unwrap_or(otherwise).to_owned();
        let code = text("code", "NetConnection.Call.Failed");
        let description = text("description", "the server gave no reason");
        self.actions.push_back(PublisherAction::Refused { code, description });
    }

    fn call<const N: usize>(&mut self, name: &str, transaction: f64, args: [Value; N]) {
        self.connection.command(Lane::Command, 0, Command::new(name, transaction, args));
    }
}
