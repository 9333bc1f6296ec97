//! Ingest: a publisher's connection as a machine with time.
//!
//! A [`Session`] speaks RTMP with one publisher, asks whether it may publish where it wants to, and turns what it
//! sends into a stream: a description, then packets in the normal form. It does not know which streams exist, who
//! may publish, or what becomes of the packets. Which of several publishers of one name is on air is the [`Lineup`]'s.
//!
//! The life of a publisher: `Requested`, then `accept`, then `Started`, packets, `Ended`, `Close`.

mod fault;
mod intake;
mod lineup;
mod normal;
mod reserve;
mod sps;
mod target;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

pub use fault::Fault;
use intake::Intake;
pub use lineup::{Admission, Lineup, Rules, Succession};
pub use reserve::Reserve;
use target::Target;

use crate::io::Close;
use crate::limits;
use crate::media::{Packet, StreamInfo};
use crate::time::{Deadline, Now, Time, soonest};
use crate::wire::rtmp::{PublishRequest, Server, ServerEvent};

/// What a session has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The description of a stream that has started changed: a decoder configuration. What follows is coded so.
    Changed(StreamInfo),
    /// End the connection. Nothing comes after this.
    Close {
        /// How.
        how: Close,
        /// What the publisher did wrong, if that is why, and what it should do.
        misbehaved: Option<String>,
    },
    /// The publishing that was accepted is over, whether its stream had started or not.
    Ended {
        /// Why, in a sentence's words.
        why: String,
        /// Whether the publisher said that it was, or else may come back.
        goodbye: bool,
    },
    /// A packet of the stream, after `Started`. Within a track DTS increases, unless it jumps back by more than a
    /// second because the encoder restarted its clock.
    Packet(Packet),
    /// The publisher names what it wants to publish: call [`Session::accept`] or [`Session::refuse`].
    Requested {
        /// The host it dialled, in lower case and without port; empty if it did not say.
        host: String,
        /// The application.
        app: String,
        /// The stream.
        stream: String,
        /// What stood behind the `?`.
        query: Option<String>,
    },
    /// The stream's tracks are known and its first packet follows; the first of a video track is a key frame.
    Started(StreamInfo),
    /// Something that the operator should know.
    Warning(String),
    /// Bytes for the publisher.
    Write(Bytes),
}

/// One publisher's connection. After every call but the getters: [`Session::poll`] until `None`, then
/// [`Session::poll_timeout`].
#[derive(Debug)]
pub struct Session {
    server: Server,
    intake: Intake,
    phase: Phase,
    silence: Option<Duration>,
    now: Time,
    /// When bytes last arrived.
    heard: Time,
    /// It has ended its stream itself.
    said_goodbye: bool,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has not said what it wants to publish, since the connection was accepted.
    Opening(Time),
    /// It waits for the decision.
    Deciding,
    /// It publishes, since it was accepted.
    Publishing(Time),
    /// `Close` was said.
    Closed,
}

impl Session {
    /// A session on a connection that was accepted just now.
    pub fn new(now: Now) -> Session {
        Session {
            server: Server::new(),
            intake: Intake::default(),
            phase: Phase::Opening(now.mono),
            silence: None,
            now: now.mono,
            heard: now.mono,
            said_goodbye: false,
            out: VecDeque::new(),
        }
    }

    /// How long the publisher may be silent; `None`, as at first, is for ever. Any bytes count, not only media.
    pub fn set_silence(&mut self, silence: Option<Duration>) {
        self.silence = silence;
    }

    /// Bytes that are not a whole message yet, and of media that waits for the stream to start.
    pub fn held_bytes(&self) -> usize {
        self.server.held_bytes() + self.intake.held_bytes()
    }

    /// What it has to say and nobody has polled.
    pub fn unpolled(&self) -> usize {
        self.server.unpolled() + self.intake.unpolled() + self.out.len()
    }

    /// When bytes of the publisher last arrived.
    pub fn heard(&self) -> Time {
        self.heard
    }

    /// Takes bytes of the publisher, cut anywhere.
    pub fn receive(&mut self, now: Now, bytes: Bytes) {
        if self.phase == Phase::Closed {
            return;
        }
        self.now = self.now.max(now.mono);
        self.heard = self.now;
        let result = self.server.receive(&bytes);
        self.settle(result);
    }

    /// Lets the publisher publish what it requested. Does nothing unless it waits for that.
    pub fn accept(&mut self) {
        if self.phase != Phase::Deciding {
            return;
        }
        self.phase = Phase::Publishing(self.now);
        let result = self.server.accept();
        self.settle(result);
    }

    /// Refuses what the publisher requested, or ends what it publishes, and closes. `why` is told to the person at
    /// the encoder.
    pub fn refuse(&mut self, why: &str) {
        self.close(Close::Flush, why, None);
    }

    /// A deadline may have passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = self.now.max(now.mono);
        if self.phase == Phase::Closed {
            return;
        }
        self.intake.handle_timeout(self.now);
        self.forward();
        let expired = self.limits().into_iter().flatten().find(|limit| limit.deadline.at <= self.now);
        let Some(expired) = expired else { return };
        let why = expired.why;
        self.close(expired.how, why, expired.misbehaved.then(|| why.to_owned()));
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The earliest moment at which [`Session::handle_timeout`] has work.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.phase == Phase::Closed {
            return None;
        }
        let limits = self.limits().into_iter().flatten().map(|limit| Some(limit.deadline));
        limits.fold(self.intake.poll_timeout(), soonest)
    }

    /// Everything that takes time and must not take for ever.
    fn limits(&self) -> [Option<Limit>; 3] {
        match self.phase {
            Phase::Opening(since) => {
                let at = since + limits::FIRST_WORD_TIMEOUT;
                let why = "the peer did not ask to publish in time";
                let deadline = Deadline { at, why: "publish command" };
                [Some(Limit { deadline, why, how: Close::Abort, misbehaved: true }), None, None]
            }
            Phase::Publishing(since) => {
                [self.first_media_limit(since), self.start_limit(since), self.silence_limit()]
            }
            Phase::Deciding | Phase::Closed => [None, None, None],
        }
    }

    fn first_media_limit(&self, since: Time) -> Option<Limit> {
        let at = since + limits::PUBLISH_FIRST_MEDIA_TIMEOUT;
        let why = "the publisher sent no audio or video";
        let deadline = Deadline { at, why: "first media" };
        (!self.intake.has_media()).then_some(Limit { deadline, why, how: Close::Flush, misbehaved: true })
    }

    fn start_limit(&self, since: Time) -> Option<Limit> {
        let at = since + limits::PUBLISH_START_TIMEOUT;
        let why =
            "the publisher sent no sequence header or no key frame; set a key-frame interval of 2 seconds";
        let deadline = Deadline { at, why: "first key frame" };
        (!self.intake.has_started()).then_some(Limit { deadline, why, how: Close::Flush, misbehaved: true })
    }

    fn silence_limit(&self) -> Option<Limit> {
        let at = self.heard + self.silence?;
        let deadline = Deadline { at, why: "silence of the publisher" };
        Some(Limit { deadline, why: "the publisher fell silent", how: Close::Flush, misbehaved: false })
    }

    /// Acts on what the server understood, and then on its error, if there is one.
    fn settle(&mut self, result: Result<(), crate::wire::rtmp::Error>) {
        while let Some(event) = self.server.poll() {
            if let Err(fault) = self.event(event) {
                return self.fail(&fault);
            }
            if self.phase == Phase::Closed {
                return;
            }
        }
        if let Err(error) = result {
            self.fail(&error.into());
        }
    }

    fn event(&mut self, event: ServerEvent) -> Result<(), Fault> {
        match event {
            ServerEvent::Audio { timestamp, payload } => self.intake.audio(self.now, timestamp, &payload)?,
            ServerEvent::Finished { why } => self.finished(why),
            ServerEvent::Metadata(fields) => self.intake.metadata(&fields),
            ServerEvent::Requested(request) => self.requested(&request),
            ServerEvent::Video { timestamp, payload } => self.intake.video(self.now, timestamp, &payload)?,
            ServerEvent::Write(bytes) => self.out.push_back(Output::Write(bytes)),
        }
        self.forward();
        Ok(())
    }

    fn requested(&mut self, request: &PublishRequest) {
        self.phase = Phase::Deciding;
        match Target::parse(request) {
            Ok(Target { host, app, stream, query }) => {
                self.out.push_back(Output::Requested { host, app, stream, query });
            }
            Err(why) => self.close(Close::Flush, &why, Some(why.clone())),
        }
    }

    fn finished(&mut self, why: &'static str) {
        self.said_goodbye = matches!(self.phase, Phase::Publishing(_));
        self.close(Close::Flush, why, (!self.said_goodbye).then(|| why.to_owned()));
    }

    fn fail(&mut self, fault: &Fault) {
        let how = if matches!(self.phase, Phase::Opening(_)) { Close::Abort } else { Close::Flush };
        let why = fault.to_string();
        self.close(how, &why, Some(why.clone()));
    }

    /// Hands on what the intake made.
    fn forward(&mut self) {
        while let Some(output) = self.intake.poll() {
            self.out.push_back(output);
        }
    }

    /// Tells the publisher, if it still listens, and everybody else.
    fn close(&mut self, how: Close, why: &str, misbehaved: Option<String>) {
        if self.phase == Phase::Closed {
            return;
        }
        self.forward();
        self.server.refuse(why);
        while let Some(event) = self.server.poll() {
            if let ServerEvent::Write(bytes) = event {
                self.out.push_back(Output::Write(bytes));
            }
        }
        if matches!(self.phase, Phase::Publishing(_)) {
            self.out.push_back(Output::Ended { why: why.to_owned(), goodbye: self.said_goodbye });
        }
        self.out.push_back(Output::Close { how, misbehaved });
        self.phase = Phase::Closed;
    }
}

/// A deadline, and what its passing means.
struct Limit {
    deadline: Deadline,
    why: &'static str,
    how: Close,
    misbehaved: bool,
}
