//! Viewers: an HTTP request in, an answer now or later.
//!
//! What a playlist or a part looks like is `hls`'s business; which stream is meant, whether it has to be pulled, how
//! long a viewer waits and which headers an answer carries is decided here.

use core::time::Duration;

use http::header;
use http::{Method, Response, StatusCode};

use crate::config::{CacheControl, CrossDomains, Publishers};
use crate::event::StreamKey;
use crate::hls::{Answer, Session, WaitFor, Wanted};
use crate::io::{Body, Output, RequestId};
use crate::limits::{NODE_WAITING_REQUESTS_MAX, START_TIMEOUT, WAITING_REQUESTS_MAX};
use crate::media::TrackId;
use crate::name;
use crate::pull::Over;
use crate::time::{Now, Time};

use super::answering::{self, Policy, Terms};
use super::draining::Life;
use super::pulling::Pulling;
use super::stream::{Packaging, Stream, StreamId};
use super::waiting::Waiting;
use super::{Child, Node};

/// A request, as far as its answer needs it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    wanted: Wanted,
    terms: Terms,
    /// The viewer's, where URLs carry one.
    session: Option<Session>,
}

/// Why a viewer gets no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The node is about to go, and takes no new viewers.
    Draining,
    /// The stream has stopped moving, or did not start in time.
    Frozen,
    /// The node takes no new viewers for now: it has as many as it may.
    Full,
    /// A URL without the session that its playlist gave it.
    NoSession,
    /// Nothing of that name.
    NotFound,
    /// The node has no room.
    Overloaded,
    /// The node is shutting down; another one may do better.
    Stopping,
    /// No origin could be reached.
    Unreachable,
}

impl Node {
    /// An HTTP request has come.
    pub(super) fn requested(&mut self, now: Now, id: RequestId, request: &http::Request<()>) {
        if let Some(response) = self.health(request) {
            return self.respond(id, response);
        }
        let Some((key, publishers, file)) = self.locate(request) else {
            return self.refuse(id, &NOBODY, &Terms::default(), Failure::NotFound);
        };
        let terms = Terms::of(request);
        let parsed = Wanted::parse(&publishers, &file, request.uri().query());
        let cross = match &parsed {
            Ok(wanted) => cross_domains(&publishers, wanted),
            Err(_) => any_cross_domains(&publishers),
        };
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return self.respond(id, answering::preflight(request, cross)),
            _ => return self.respond(id, answering::not_allowed()),
        }
        if self.life == Life::Closing {
            return self.refuse(id, cross, &terms, Failure::Stopping);
        }
        let wanted = match parsed {
            Ok(wanted) => wanted,
            Err(error) => {
                let response = answering::text(error.status(), &format!("{error}\n"), &terms, cross);
                return self.respond(id, response);
            }
        };
        // With it a viewer begins; whoever asks for anything else watches already.
        if wanted.is_master() {
            if self.is_draining() {
                return self.refuse(id, cross, &terms, Failure::Draining);
            }
            if !self.lets_in(now.mono, &key) {
                return self.refuse(id, cross, &terms, Failure::Full);
            }
        }
        let session = match is_origin_mode(&publishers, &wanted) {
            true => None,
            false if wanted.is_master() => Some(self.new_session()),
            false => match Session::find(request.uri().query()) {
                Some(session) => Some(session),
                None => return self.refuse(id, cross, &terms, Failure::NoSession),
            },
        };
        let asked = Asked { wanted, terms, session };
        self.view(now, id, key, asked, request.uri().query(), cross);
    }

    /// Whoever asked is gone.
    pub(super) fn request_gone(&mut self, id: RequestId) {
        if let Some(stream) = self.parked.remove(&id).and_then(|stream| self.streams.get_mut(&stream)) {
            stream.waiting.remove(id);
        }
    }

    /// A part is there: those who waited for it are answered.
    pub(super) fn answer_waiting(&mut self, now: Now, id: StreamId, track: TrackId, msn: u64, part: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        for (request, asked, until) in stream.waiting.take_ready(track, msn, part) {
            self.parked.remove(&request);
            self.answer(now, request, id, asked, Some(until));
        }
    }

    /// A muxed segment is there: those who waited for one are answered.
    pub(super) fn answer_muxed(&mut self, now: Now, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        for (request, asked, until) in stream.waiting.take_muxed() {
            self.parked.remove(&request);
            self.answer(now, request, id, asked, Some(until));
        }
    }

    /// Requests whose deadline has come get an error instead of waiting on.
    pub(super) fn answer_overdue(&mut self, now: Now, id: StreamId) {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return };
            let Some((request, asked)) = stream.waiting.pop_due(now.mono) else { return };
            let cross = cross_domains(&stream.app.publishers, &asked.wanted).clone();
            self.parked.remove(&request);
            self.refuse(request, &cross, &asked.terms, Failure::Frozen);
        }
    }

    /// The stream is over: whoever waits for it learns that.
    pub(super) fn refuse_viewers(&mut self, stream: &mut Stream) {
        let failure = if self.life == Life::Closing { Failure::Stopping } else { Failure::NotFound };
        self.refuse_all(core::mem::take(&mut stream.waiting), &stream.app.publishers, failure);
    }

    /// No origin delivers the stream.
    pub(super) fn refuse_viewers_of_failed_pull(&mut self, id: StreamId, over: Over) {
        let failure = match over {
            Over::Absent => Failure::NotFound,
            Over::Unreachable => Failure::Unreachable,
        };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (waiting, publishers) = (core::mem::take(&mut stream.waiting), stream.app.publishers.clone());
        self.refuse_all(waiting, &publishers, failure);
    }

    /// The stream is there but has nothing that HLS can carry.
    pub(super) fn refuse_viewers_of(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.waiting.len() > 0) else {
            return;
        };
        let (waiting, publishers) = (core::mem::take(&mut stream.waiting), stream.app.publishers.clone());
        self.refuse_all(waiting, &publishers, Failure::NotFound);
    }

    fn refuse_all(&mut self, mut waiting: Waiting, publishers: &Publishers, failure: Failure) {
        for (request, asked) in waiting.take_all() {
            self.parked.remove(&request);
            let cross = cross_domains(publishers, &asked.wanted);
            self.refuse(request, cross, &asked.terms, failure);
        }
    }

    /// Which stream and which file of it a request means; `None` if no application here serves players of it.
    fn locate(&self, request: &http::Request<()>) -> Option<(StreamKey, Publishers, String)> {
        let host = request
            .uri()
            .authority()
            .map(|authority| authority.host().to_owned())
            .or_else(|| host_header(request))
            .unwrap_or_default();
        let mut path = request.uri().path().strip_prefix('/')?.split('/');
        let (app, stream, file) = (path.next()?, path.next()?, path.next()?);
        let (app, stream, file) = (decode(app)?, decode(stream)?, decode(file)?);
        let named = name::check(&app).is_ok() && name::check(&stream).is_ok();
        if path.next().is_some() || !named || file.is_empty() {
            return None;
        }
        let vhost = self.config.vhost_for(&host)?;
        let key = StreamKey { vhost: vhost.name.clone(), app, stream };
        let publishers = match self.running(&key) {
            Some(stream) => stream.app.publishers.clone(),
            None => vhost.application(&key.app)?.publishers,
        };
        let serves = publishers.llhls.is_some() || publishers.hls.is_some();
        serves.then_some((key, publishers, file))
    }

    fn view(
        &mut self,
        now: Now,
        request: RequestId,
        key: StreamKey,
        asked: Asked,
        query: Option<&str>,
        cross: &CrossDomains,
    ) {
        if let Some(id) = self.names.get(&key).copied() {
            return self.answer(now, request, id, asked, None);
        }
        // Only a playlist can be the beginning of watching; anything else names what is gone.
        let failure = match asked.wanted.is_playlist() {
            true => match self.start_pull(now, key, query, Vec::new()) {
                Pulling::Started(id) => return self.answer(now, request, id, asked, None),
                Pulling::Absent => Failure::NotFound,
                Pulling::Draining => Failure::Draining,
                Pulling::Overloaded => Failure::Overloaded,
                Pulling::Unreachable => Failure::Unreachable,
            },
            false => Failure::NotFound,
        };
        self.refuse(request, cross, &asked.terms, failure);
    }

    /// Answers a request about a stream that is here, now or when it can be.
    fn answer(&mut self, now: Now, request: RequestId, id: StreamId, asked: Asked, until: Option<Time>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.last_used = now.mono;
        stream.last_viewed = Some(now.mono);
        let frozen = stream.is_frozen(now.mono, &asked.wanted);
        let cross = || cross_domains(&stream.app.publishers, &asked.wanted).clone();
        let answer = match &mut stream.packaging {
            Packaging::Outputs(outputs) => {
                // Where each viewer has URLs of their own, nothing that is compressed is for two of them.
                outputs.answer(&asked.wanted, asked.terms.gzip && asked.session.is_none())
            }
            Packaging::Never => {
                let cross = cross();
                return self.refuse(request, &cross, &asked.terms, Failure::NotFound);
            }
            Packaging::NotYet => Answer::Wait(match asked.wanted {
                Wanted::Hls(_) => WaitFor::Muxed,
                Wanted::LlHls(_) => WaitFor::Started,
            }),
        };
        match answer {
            Answer::Now(reply) if frozen && reply.cache.is_some_and(answering::is_playlist) => {
                let cross = cross();
                self.refuse(request, &cross, &asked.terms, Failure::Frozen);
            }
            Answer::Now(reply) => {
                let reply = match &asked.session {
                    Some(session) => reply.with_session(session, asked.terms.gzip),
                    None => reply,
                };
                let policy = policy(&stream.app.publishers, &asked.wanted);
                let response = answering::media(reply, &asked.terms, policy);
                self.respond(request, response);
            }
            Answer::Wait(wait) => self.park(now, request, id, asked, wait, until),
        }
    }

    fn park(
        &mut self,
        now: Now,
        request: RequestId,
        id: StreamId,
        asked: Asked,
        wait: WaitFor,
        until: Option<Time>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let is_full = stream.waiting.len() >= WAITING_REQUESTS_MAX;
        if is_full || self.parked.len() >= NODE_WAITING_REQUESTS_MAX {
            let cross = cross_domains(&stream.app.publishers, &asked.wanted).clone();
            return self.refuse(request, &cross, &asked.terms, Failure::Overloaded);
        }
        let patience = match wait {
            WaitFor::Muxed => start_timeout(stream),
            WaitFor::Started => START_TIMEOUT,
            WaitFor::Part { .. } | WaitFor::Segment { .. } => blocking_timeout(stream),
        };
        let until = until.unwrap_or(now.mono + patience);
        stream.waiting.add(request, asked, wait, until);
        self.parked.insert(request, id);
        self.load.wait(now.mono, self.parked.len());
        self.timers.set(Child::Stream(id), Some(until));
    }

    fn refuse(&mut self, id: RequestId, cross: &CrossDomains, terms: &Terms, failure: Failure) {
        let (status, why) = match failure {
            Failure::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is about to go: another one takes new viewers.\n",
            ),
            Failure::Frozen => (StatusCode::SERVICE_UNAVAILABLE, "The stream is not moving.\n"),
            Failure::Full => {
                (StatusCode::SERVICE_UNAVAILABLE, "The server is full: another one takes new viewers.\n")
            }
            Failure::NoSession => {
                (StatusCode::UNAUTHORIZED, "Begin with the master playlist: it gives a session.\n")
            }
            Failure::NotFound => (StatusCode::NOT_FOUND, "There is no such stream or file.\n"),
            Failure::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "The server has no room.\n"),
            Failure::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.\n"),
            Failure::Unreachable => (StatusCode::BAD_GATEWAY, "No origin could be reached.\n"),
        };
        self.respond(id, answering::text(status, why, terms, cross));
    }

    fn new_session(&mut self) -> Session {
        self.next_session += 1;
        let key: String = (0..SESSION_KEY_CHARS).map(|_| self.rng.alphanumeric()).collect();
        Session::new(self.next_session, &key)
    }

    fn respond(&mut self, id: RequestId, response: Response<Body>) {
        self.load.sent(self.now.mono, response.body().len());
        self.out.push_back(Output::Respond { id, response });
    }
}

/// How long a blocking reload is held: three target durations (RFC 8216bis section 6.2.5.2).
fn blocking_timeout(stream: &Stream) -> Duration {
    stream.app.publishers.llhls.as_ref().map_or(START_TIMEOUT, |llhls| 3 * llhls.segment)
}

/// How long the first muxed segment of a stream is waited for.
fn start_timeout(stream: &Stream) -> Duration {
    let segment = stream.app.publishers.hls.as_ref().map_or(Duration::ZERO, |hls| hls.segment);
    START_TIMEOUT.max(3 * segment)
}

/// Who may read the answer to `wanted`.
fn cross_domains<'a>(publishers: &'a Publishers, wanted: &Wanted) -> &'a CrossDomains {
    let configured = match wanted {
        Wanted::Hls(_) => publishers.hls.as_ref().map(|hls| &hls.cross_domains),
        Wanted::LlHls(_) => publishers.llhls.as_ref().map(|llhls| &llhls.cross_domains),
    };
    configured.unwrap_or(&NOBODY)
}

/// Who may read that a file has no name of ours.
fn any_cross_domains(publishers: &Publishers) -> &CrossDomains {
    let ll_hls = publishers.llhls.as_ref().map(|llhls| &llhls.cross_domains);
    let hls = publishers.hls.as_ref().map(|hls| &hls.cross_domains);
    ll_hls.or(hls).unwrap_or(&NOBODY)
}

static NOBODY: CrossDomains = CrossDomains { urls: Vec::new(), headers: Vec::new() };

/// What the publisher of `wanted` says about its answers.
fn policy<'a>(publishers: &'a Publishers, wanted: &Wanted) -> Policy<'a> {
    let cross = cross_domains(publishers, wanted);
    let origin_mode = is_origin_mode(publishers, wanted);
    let configured = match wanted {
        Wanted::Hls(_) => publishers.hls.as_ref().map(|hls| (&hls.cache, hls.segment)),
        Wanted::LlHls(_) => publishers.llhls.as_ref().map(|llhls| (&llhls.cache, llhls.segment)),
    };
    let (cache, segment) = configured.unwrap_or((&UNWRITTEN, Duration::ZERO));
    Policy { cross, cache, segment, origin_mode }
}

/// Whether the URLs of the publisher of `wanted` are the same for everybody.
fn is_origin_mode(publishers: &Publishers, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Hls(_) => publishers.hls.as_ref().is_none_or(|hls| hls.origin_mode),
        Wanted::LlHls(_) => publishers.llhls.as_ref().is_none_or(|llhls| llhls.origin_mode),
    }
}

static UNWRITTEN: CacheControl = CacheControl {
    master: None,
    chunklist: None,
    chunklist_with_directives: None,
    segment: None,
    part: None,
};

/// As in OvenMediaEngine.
const SESSION_KEY_CHARS: usize = 8;

/// One segment of a path, as text without control characters.
fn decode(segment: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    (!text.contains(|c: char| c.is_control() || c == '/')).then(|| text.into_owned())
}

fn host_header(request: &http::Request<()>) -> Option<String> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    host.parse::<http::uri::Authority>().ok().map(|authority| authority.host().to_owned())
}
