//! Viewers: an HTTP request in, an answer now or later.
//!
//! What a playlist or a part looks like is `hls`'s business; which stream is meant, whether it has to be pulled, how
//! long a viewer waits and which headers an answer carries is decided here.

use core::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::config::{CacheControl, CrossDomains, Publishers};
use crate::event::StreamKey;
use crate::hls::{self, Answer, CacheKind, WaitFor, Wanted};
use crate::io::{Body, Output, RequestId};
use crate::limits::{NODE_WAITING_REQUESTS_MAX, START_TIMEOUT, WAITING_REQUESTS_MAX};
use crate::media::TrackId;
use crate::name;
use crate::pull::Over;
use crate::time::{Now, Time};

use super::pulling::Pulling;
use super::stream::{Packaging, Stream, StreamId};
use super::waiting::Waiting;
use super::{Child, Node};

/// A request, as far as its answer needs it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    wanted: Wanted,
    origin: Option<HeaderValue>,
    gzip: bool,
}

/// Why a viewer gets no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The stream has stopped moving, or did not start in time.
    Frozen,
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
            return self.refuse(id, &CrossDomains::default(), None, Failure::NotFound);
        };
        let origin = request.headers().get(header::ORIGIN).cloned();
        let parsed = Wanted::parse(&publishers, &file, request.uri().query());
        let cross = match &parsed {
            Ok(wanted) => cross_domains(&publishers, wanted),
            Err(_) => any_cross_domains(&publishers),
        };
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return self.preflight(id, cross, origin.as_ref(), request),
            _ => {
                let mut response = Response::new(Body::default());
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS));
                return self.respond(id, response);
            }
        }
        if self.closing {
            return self.refuse(id, cross, origin.as_ref(), Failure::Stopping);
        }
        let wanted = match parsed {
            Ok(wanted) => wanted,
            Err(error) => {
                let mut response = text(error.status(), &format!("{error}\n"));
                allow_origin(response.headers_mut(), cross, origin.as_ref());
                return self.respond(id, response);
            }
        };
        let asked = Asked { wanted, gzip: accepts_gzip(request), origin };
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
            self.refuse(request, &cross, asked.origin.as_ref(), Failure::Frozen);
        }
    }

    /// The stream is over: whoever waits for it learns that.
    pub(super) fn refuse_viewers(&mut self, stream: &mut Stream) {
        let failure = if self.closing { Failure::Stopping } else { Failure::NotFound };
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
            self.refuse(request, cross, asked.origin.as_ref(), failure);
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
        let publishers = vhost.application(&app)?.publishers;
        let serves = publishers.llhls.is_some() || publishers.hls.is_some();
        serves.then(|| (StreamKey { vhost: vhost.name.clone(), app, stream }, publishers, file))
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
                Pulling::Overloaded => Failure::Overloaded,
                Pulling::Unreachable => Failure::Unreachable,
            },
            false => Failure::NotFound,
        };
        self.refuse(request, cross, asked.origin.as_ref(), failure);
    }

    /// Answers a request about a stream that is here, now or when it can be.
    fn answer(&mut self, now: Now, request: RequestId, id: StreamId, asked: Asked, until: Option<Time>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.last_used = now.mono;
        let frozen = stream.is_frozen(now.mono, &asked.wanted);
        let cross = || cross_domains(&stream.app.publishers, &asked.wanted).clone();
        let answer = match &mut stream.packaging {
            Packaging::Outputs(outputs) => outputs.answer(&asked.wanted, asked.gzip),
            Packaging::Never => {
                let cross = cross();
                return self.refuse(request, &cross, asked.origin.as_ref(), Failure::NotFound);
            }
            Packaging::NotYet => Answer::Wait(match asked.wanted {
                Wanted::Hls(_) => WaitFor::Muxed,
                Wanted::LlHls(_) => WaitFor::Started,
            }),
        };
        match answer {
            Answer::Now(reply) if frozen && is_playlist(reply.cache) => {
                let cross = cross();
                self.refuse(request, &cross, asked.origin.as_ref(), Failure::Frozen);
            }
            Answer::Now(reply) => {
                let response = media_response(stream, &asked, reply);
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
            return self.refuse(request, &cross, asked.origin.as_ref(), Failure::Overloaded);
        }
        let patience = match wait {
            WaitFor::Muxed => start_timeout(stream),
            WaitFor::Started => START_TIMEOUT,
            WaitFor::Part { .. } | WaitFor::Segment { .. } => blocking_timeout(stream),
        };
        let until = until.unwrap_or(now.mono + patience);
        stream.waiting.add(request, asked, wait, until);
        self.parked.insert(request, id);
        self.timers.set(Child::Stream(id), Some(until));
    }

    fn preflight(
        &mut self,
        id: RequestId,
        cross: &CrossDomains,
        origin: Option<&HeaderValue>,
        request: &http::Request<()>,
    ) {
        let mut response = Response::new(Body::default());
        let headers = response.headers_mut();
        if allow_origin(headers, cross, origin) {
            headers.insert(HeaderName::from_static("access-control-allow-private-network"), TRUE);
            if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
        }
        self.respond(id, response);
    }

    fn refuse(
        &mut self,
        id: RequestId,
        cross: &CrossDomains,
        origin: Option<&HeaderValue>,
        failure: Failure,
    ) {
        let (status, why) = match failure {
            Failure::Frozen => (StatusCode::SERVICE_UNAVAILABLE, "The stream is not moving.\n"),
            Failure::NotFound => (StatusCode::NOT_FOUND, "There is no such stream or file.\n"),
            Failure::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "The server has no room.\n"),
            Failure::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.\n"),
            Failure::Unreachable => (StatusCode::BAD_GATEWAY, "No origin could be reached.\n"),
        };
        let mut response = text(status, why);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        allow_origin(response.headers_mut(), cross, origin);
        self.respond(id, response);
    }

    fn respond(&mut self, id: RequestId, response: Response<Body>) {
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

fn media_response(stream: &Stream, asked: &Asked, reply: hls::Response) -> Response<Body> {
    let publishers = &stream.app.publishers;
    let configured = match asked.wanted {
        Wanted::Hls(_) => publishers.hls.as_ref().map(|hls| &hls.cache),
        Wanted::LlHls(_) => publishers.llhls.as_ref().map(|llhls| &llhls.cache),
    };
    let cache = configured.cloned().unwrap_or_default();
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    if !reply.content_type.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    }
    if let Some(value) = cache_control(&cache, reply.cache) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    if reply.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if is_playlist(reply.cache) {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Origin"));
    } else {
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    allow_origin(headers, cross_domains(publishers, &asked.wanted), asked.origin.as_ref());
    response
}

fn is_playlist(kind: Option<CacheKind>) -> bool {
    use CacheKind::{Chunklist, ChunklistWithDirectives, Master};
    matches!(kind, Some(Chunklist | ChunklistWithDirectives | Master))
}

fn cache_control(cache: &CacheControl, kind: Option<CacheKind>) -> Option<HeaderValue> {
    let seconds = match kind {
        Some(CacheKind::Chunklist) => cache.chunklist,
        Some(CacheKind::ChunklistWithDirectives) => cache.chunklist_with_directives,
        Some(CacheKind::Master) => cache.master,
        Some(CacheKind::Part) => cache.part,
        Some(CacheKind::Segment) => cache.segment,
        None => 0,
    };
    match seconds {
        0 => Some(HeaderValue::from_static("no-cache, no-store")),
        1.. => HeaderValue::from_str(&format!("max-age={seconds}")).ok(),
        _ => None,
    }
}

/// Lets a web page read the answer if its origin is allowed (reference: LL-HLS section 6.4).
fn allow_origin(headers: &mut http::HeaderMap, cross: &CrossDomains, origin: Option<&HeaderValue>) -> bool {
    let everybody = cross.urls.iter().any(|url| url == "*");
    let allowed = if everybody {
        Some(HeaderValue::from_static("*"))
    } else {
        origin.filter(|origin| origin.to_str().is_ok_and(|text| cross.allows(text))).cloned()
    };
    let is_allowed = allowed.is_some();
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        if !everybody {
            // Browsers refuse credentials together with `*`, so they are only offered to a named origin.
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
    }
    for (name, value) in &cross.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    is_allowed
}

fn text(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::copy_from_slice(why.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    response
}

/// One segment of a path, as text without control characters.
fn decode(segment: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    (!text.contains(|c: char| c.is_control() || c == '/')).then(|| text.into_owned())
}

fn host_header(request: &http::Request<()>) -> Option<String> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    host.parse::<http::uri::Authority>().ok().map(|authority| authority.host().to_owned())
}

/// Whether the client takes gzip (RFC 9110 section 12.5.3); a quality of 0 is a no.
fn accepts_gzip(request: &http::Request<()>) -> bool {
    let values = request.headers().get_all(header::ACCEPT_ENCODING);
    values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !refused
    })
}

const METHODS: &str = "GET, HEAD, OPTIONS";
const TRUE: HeaderValue = HeaderValue::from_static("true");
