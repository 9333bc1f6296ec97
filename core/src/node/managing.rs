//! The managers' API, and the two questions of load balancers: `/healthz` (does the process live?) and `/readyz` (may
//! viewers be sent here?). Neither waits for anybody.
//!
//! The API wants the token of `Managers/API/AccessToken`, as OvenMediaEngine does: `Authorization: Basic`, the whole
//! token in Base64.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use serde::Serialize;

use crate::event::{Event, StreamKey};
use crate::io::{Body, Output, RequestId};
use crate::publish::{Lineup, Reserve};
use crate::pull::{StandbyState, Standing};
use crate::time::Now;
use crate::url::Url;

use super::Node;
use super::draining::Life;
use super::stream::Source;

/// What `/readyz` says.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// Why it is not.
    why_not: Option<&'static str>,
    /// What does not work as it should, and what that means.
    degraded: Vec<String>,
}

/// An error of the API.
#[derive(Debug, Serialize)]
struct Problem<'p> {
    error: &'p str,
}

/// Something will be done.
#[derive(Debug, Serialize)]
struct Accepted {
    see: &'static str,
}

/// A stream that the server knows the way to.
#[derive(Debug, Serialize)]
struct KnownRoute {
    stream: String,
    epoch: Option<String>,
    urls: Vec<String>,
    /// Whether it is announced by this server.
    own: bool,
}

/// A stream that is here.
#[derive(Debug, Serialize)]
struct KnownStream {
    vhost: String,
    app: String,
    stream: String,
    /// `publisher` or `pull`.
    source: &'static str,
    /// Whether its segments are those that every server makes of it, under the same numbers.
    interchangeable: bool,
    /// Why they may not be, and what to do.
    why_not: Option<String>,
    /// Where it is pulled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The connection of the publisher whose media it is; `null` while its place is kept. Of a published stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_air: Option<Option<u64>>,
    /// The publishers that stand by, the first in line first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    standby_publishers: Vec<KnownPublisher>,
    /// The origins that stand by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    standbys: Vec<KnownStandby>,
}

/// A publisher that stands by, and what it costs.
#[derive(Debug, Serialize)]
struct KnownPublisher {
    conn: u64,
    /// Whether it has a key frame to go on air with.
    ready: bool,
    held_bytes: usize,
}

/// An origin that stands by, and what it costs.
#[derive(Debug, Serialize)]
struct KnownStandby {
    url: String,
    /// `starting`, `in step` or `apart`.
    standing: &'static str,
    received_bytes: u64,
    held_bytes: usize,
}

impl From<StandbyState> for KnownStandby {
    fn from(state: StandbyState) -> KnownStandby {
        let StandbyState { url, standing, received_bytes, held_bytes } = state;
        let standing = match standing {
            Standing::Starting => "starting",
            Standing::InStep => "in step",
            Standing::Apart => "apart",
        };
        KnownStandby { url, standing, received_bytes, held_bytes }
    }
}

impl Node {
    /// A request on the managers' port.
    pub(super) fn managed(&mut self, now: Now, id: RequestId, request: &http::Request<()>) {
        let response = self.manage(now, request);
        self.out.push_back(Output::Respond { id, response });
    }

    /// The answer to a load balancer's question, if it is one.
    pub(super) fn health(&self, request: &http::Request<()>) -> Option<Response<Body>> {
        let asks = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/healthz" if asks => Some(plain(StatusCode::OK, "ok\n")),
            "/readyz" if asks => {
                let readiness = self.readiness();
                let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                Some(json(status, &readiness))
            }
            _ => None,
        }
    }

    fn manage(&mut self, now: Now, request: &http::Request<()>) -> Response<Body> {
        if let Some(health) = self.health(request) {
            return health;
        }
        let Some(api) = &self.config.api else { return problem(StatusCode::NOT_FOUND, "there is no API") };
        if !is_allowed(request, api.token.reveal()) {
            let mut response = problem(
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong: send Authorization: Basic and the Base64 of Managers/API/AccessToken",
            );
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"API\""));
            return response;
        }
        let path = request.uri().path();
        let (does, reads) = match *request.method() {
            Method::POST => (true, false),
            Method::GET | Method::HEAD => (false, true),
            _ => (false, false),
        };
        match path {
            "/api/v1/drain" | "/api/v1/reload" if !does => {
                return problem(StatusCode::METHOD_NOT_ALLOWED, "this does something: use POST");
            }
            "/api/v1/drain" => {
                self.drain(now);
                return json(StatusCode::ACCEPTED, &self.readiness());
            }
            "/api/v1/reload" => {
                self.event(Event::ConfigurationAsked);
                return json(StatusCode::ACCEPTED, &Accepted { see: "the log says what became of it" });
            }
            _ if !reads => return problem(StatusCode::METHOD_NOT_ALLOWED, "this can only be read: use GET"),
            _ => {}
        }
        match path {
            "/api/v1/routes" => json(StatusCode::OK, &self.known_routes()),
            "/api/v1/streams" => json(StatusCode::OK, &self.known_streams()),
            "/api/v1/why" => match asked_url(request) {
                Ok(url) => json(StatusCode::OK, &self.why(now, &url)),
                Err(why) => problem(StatusCode::BAD_REQUEST, &why),
            },
            _ => problem(
                StatusCode::NOT_FOUND,
                "there are GET /api/v1/routes, /api/v1/streams and /api/v1/why?url=..., and POST /api/v1/drain \
                 and /api/v1/reload",
            ),
        }
    }

    fn readiness(&self) -> Readiness {
        let away = self.directories.values().filter(|directory| !directory.is_there());
        let full = self.is_full().map(|why| format!("the server is full, new viewers get 503: {why}"));
        let degraded = away.map(|directory| {
            format!(
                "the directory of virtual host {} is away: streams that run go on, known routes are used, \
                 new streams are not found",
                directory.vhost()
            )
        });
        let why_not = match self.life {
            Life::Running => None,
            Life::Draining { .. } => {
                Some("the server drains: it serves those who watch, and takes nobody new")
            }
            Life::Closing => Some("the server is shutting down"),
        };
        Readiness { ready: why_not.is_none(), why_not, degraded: degraded.chain(full).collect() }
    }

    fn known_streams(&self) -> Vec<KnownStream> {
        let known = self.streams.values().map(|stream| {
            let StreamKey { vhost, app, stream: name } = stream.key.clone();
            let why_not = self.doubt(stream);
            let known = KnownStream {
                vhost,
                app,
                stream: name,
                source: "publisher",
                interchangeable: why_not.is_none(),
                why_not,
                url: None,
                on_air: None,
                standby_publishers: Vec::new(),
                standbys: Vec::new(),
            };
            match &stream.source {
                Source::Publisher(broadcast) => KnownStream {
                    on_air: Some(broadcast.lineup.on_air().map(|conn| conn.0)),
                    standby_publishers: self.known_publishers(&broadcast.lineup),
                    ..known
                },
                Source::Pull(pull) => KnownStream {
                    source: "pull",
                    url: pull.active_url().map(Url::to_string),
                    standbys: pull.standbys().into_iter().map(KnownStandby::from).collect(),
                    ..known
                },
            }
        });
        known.collect()
    }

    fn known_publishers(&self, lineup: &Lineup) -> Vec<KnownPublisher> {
        let reserved = lineup.standing_by().map(|conn| (conn, self.reserve_of(conn)));
        let known = reserved.map(|(conn, reserve)| KnownPublisher {
            conn: conn.0,
            ready: reserve.is_some_and(|it| !it.is_empty()),
            held_bytes: reserve.map_or(0, Reserve::bytes),
        });
        known.collect()
    }

    fn known_routes(&self) -> Vec<KnownRoute> {
        let mut routes = Vec::new();
        for directory in self.directories.values() {
            for (name, number) in directory.announcer.owned() {
                let urls = vec![directory.own_url(name)];
                routes.push(KnownRoute {
                    stream: name.to_owned(),
                    epoch: Some(number.to_string()),
                    urls,
                    own: true,
                });
            }
            for (name, epoch, places) in directory.resolver.routes() {
                let urls = places.iter().map(ToString::to_string).collect();
                let epoch = epoch.map(|epoch| epoch.to_string());
                routes.push(KnownRoute { stream: name.to_owned(), epoch, urls, own: false });
            }
        }
        routes
    }
}

fn asked_url(request: &http::Request<()>) -> Result<Url, String> {
    let remedy = "write /api/v1/why?url=http://host/app/stream, percent-encoded";
    let query = request.uri().query().unwrap_or_default();
    let value = query.split('&').find_map(|pair| pair.strip_prefix("url=")).ok_or(remedy)?;
    let text = percent_encoding::percent_decode_str(value).decode_utf8().map_err(|_| remedy)?;
    Url::parse(&text).map_err(|error| format!("url: {error}"))
}

/// Whether the request carries the token. Every byte is compared, so that the time does not tell how many were right.
fn is_allowed(request: &http::Request<()>, token: &str) -> bool {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, encoded)) = given.and_then(|given| given.split_once(' ')) else { return false };
    let Ok(given) = BASE64_STANDARD.decode(encoded) else { return false };
    let differs = given.iter().zip(token.as_bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    scheme.eq_ignore_ascii_case("basic") && given.len() == token.len() && !token.is_empty() && differs == 0
}

fn problem(status: StatusCode, error: &str) -> Response<Body> {
    json(status, &Problem { error })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut response = plain(status, &format!("{text}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
