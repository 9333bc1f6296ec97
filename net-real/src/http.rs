//! HTTP/1.1 and HTTP/2 in front of the machine.
//!
//! hyper parses; this module hands every request to the machine as a value, waits for the answer, and sends its pieces
//! without joining them. It also keeps the bounds that a server on the open internet needs. It knows no URL: what is
//! asked for is the machine's business.

mod activity;
mod pieces;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_core::io::{Body, RequestId, Service};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderValue, RETRY_AFTER, SERVER};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{interval, timeout};
use tracing::debug;

use crate::driver::{Asked, Happened, Phase};
use activity::{Activity, Exchange, Watched};
use pieces::Pieces;

/// The bounds of HTTP.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Bytes of a request's line and headers. At least 8192, which is hyper's own minimum.
    pub header_bytes: usize,
    /// How long the greeting of TLS may take.
    pub handshake: Duration,
    /// How long a client may take to send the line and headers of a request, or its body.
    pub header_read: Duration,
    /// Bytes of a request's body; none is ever used, a small one is read and forgotten.
    pub body_bytes: usize,
    /// How long a connection may be open without a request.
    pub idle: Duration,
    /// How long a client may not read an answer that is being sent.
    pub stall: Duration,
    /// Requests of one HTTP/2 connection at a time.
    pub streams: u32,
    /// Requests that wait for the machine, of all connections together; a further one is answered with 503.
    pub in_flight: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            header_bytes: 16 << 10,
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            body_bytes: 64 << 10,
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            streams: 128,
            in_flight: 20_000,
        }
    }
}

/// Who is at the other end of an HTTP connection, and at which door it knocked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) service: Service,
    pub(crate) peer: SocketAddr,
}

/// What all HTTP connections of a driver share.
pub(crate) struct Gate<S> {
    inputs: mpsc::Sender<Happened<S>>,
    gone: mpsc::UnboundedSender<RequestId>,
    next: AtomicU64,
    in_flight: Semaphore,
    limits: HttpLimits,
    builder: auto::Builder<TokioExecutor>,
}

impl<S> Gate<S> {
    pub(crate) fn new(
        inputs: mpsc::Sender<Happened<S>>,
        gone: mpsc::UnboundedSender<RequestId>,
        limits: HttpLimits,
    ) -> Gate<S> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            // Times are kept by `Activity`, which also covers what comes before the first line.
            .header_read_timeout(None)
            .max_buf_size(limits.header_bytes.max(HYPER_BUFFER_BYTES_MIN));
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .initial_stream_window_size(RECEIVE_WINDOW_BYTES)
            .initial_connection_window_size(2 * RECEIVE_WINDOW_BYTES)
            // A client that keeps on asking and taking back, or breaking the rules, is cut.
            .max_pending_accept_reset_streams(TAKEN_BACK_MAX)
            .max_local_error_reset_streams(REFUSED_MAX);
        let in_flight = Semaphore::new(limits.in_flight);
        Gate { inputs, gone, next: AtomicU64::new(0), in_flight, limits, builder }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve<S, T>(
    gate: Arc<Gate<S>>,
    stream: T,
    caller: Caller,
    mut phase: watch::Receiver<Phase>,
) where
    S: Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = caller.peer;
    let activity = Arc::new(Activity::default());
    let service = service_fn(|request| {
        let (gate, exchange) = (gate.clone(), Activity::begin(&activity, request.version()));
        async move { Ok::<_, Infallible>(gate.answer(request, caller, exchange).await) }
    });
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let mut connection = pin!(gate.builder.serve_connection(io, service));
    let mut check = interval(gate.limits.check_interval());
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%peer, error, "an HTTP connection broke");
                }
                return;
            }
            changed = phase.changed() => match changed {
                Ok(()) => connection.as_mut().graceful_shutdown(),
                Err(_) => return,
            },
            _ = check.tick() => if let Some(why) = activity.overdue(&gate.limits) {
                debug!(%peer, why, "cut an HTTP connection");
                return;
            }
        }
    }
}

/// hyper panics when its buffer is to be smaller.
const HYPER_BUFFER_BYTES_MIN: usize = 8192;

/// How much of its answers one HTTP/2 stream may have waiting in hyper.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// What a client may send of requests' bodies before it is read; nothing is expected there.
const RECEIVE_WINDOW_BYTES: u32 = 64 << 10;

/// Requests that a client has taken back and that are not cleared away (CVE-2023-44487, "rapid reset").
const TAKEN_BACK_MAX: usize = 20;

/// Requests of a client that were refused because it broke the rules.
const REFUSED_MAX: usize = 128;

/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

impl HttpLimits {
    /// Often enough that a bound is kept within half of itself, and seldom enough that 10 000 idle connections cost
    /// nothing.
    fn check_interval(&self) -> Duration {
        let shortest = self.header_read.min(self.idle).min(self.stall);
        (shortest / 2).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }
}

impl<S> Gate<S> {
    async fn answer(
        &self,
        request: Request<Incoming>,
        caller: Caller,
        exchange: Exchange,
    ) -> Response<Pieces> {
        let (mut parts, body) = request.into_parts();
        // hyper keeps its own business there.
        parts.extensions.clear();
        let (version, head) = (parts.version, parts.method == Method::HEAD);
        let response = match self.drain(body).await {
            Ok(()) => self.ask(Request::from_parts(parts, ()), caller).await,
            Err(status) => {
                exchange.leaves_unread();
                closing(refusal(status), version)
            }
        };
        finish(response, head, exchange)
    }

    /// Reads a body to its end and forgets it, so that the connection can be used again.
    async fn drain(&self, mut body: Incoming) -> Result<(), StatusCode> {
        if body.is_end_stream() {
            return Ok(());
        }
        let bound = u64::try_from(self.limits.body_bytes).unwrap_or(u64::MAX);
        if body.size_hint().lower() > bound {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let read = async {
            let mut total = 0;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
                total += frame.data_ref().map_or(0, |data| data.len() as u64);
                if total > bound {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
            }
            Ok(())
        };
        timeout(self.limits.header_read, read).await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
    }

    /// The machine's answer. When this future is dropped, which hyper does when the client is gone, the machine is
    /// told.
    async fn ask(&self, request: Request<()>, caller: Caller) -> Response<Body> {
        let Ok(_place) = self.in_flight.try_acquire() else { return unavailable() };
        let id = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let Caller { service, peer } = caller;
        let asked = Asked { id, service, peer, request, answer };
        if self.inputs.send(Happened::Asked(Box::new(asked))).await.is_err() {
            return unavailable();
        }
        // Dropped while it waits, this future drops the receiver first and `waiting` then. So the driver, which hears
        // of both in any order, knows the request when it is told that it is gone, or finds its channel closed.
        let mut waiting = Waiting { id, gone: Some(&self.gone) };
        let response = answered.await;
        waiting.gone = None;
        response.unwrap_or_else(|_| unavailable())
    }
}

/// Tells the driver when it is dropped before the answer came.
struct Waiting<'a> {
    id: RequestId,
    gone: Option<&'a mpsc::UnboundedSender<RequestId>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(gone) = self.gone {
            // Only fails when the driver has ended.
            let _ = gone.send(self.id);
        }
    }
}

fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}

/// The driver has no room, or is ending.
fn unavailable() -> Response<Body> {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// After this answer the connection is closed. HTTP/2 has no such header: there only the stream ends.
fn closing(mut response: Response<Body>, version: Version) -> Response<Body> {
    if version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Adds what every answer has, and gives it to hyper.
fn finish(response: Response<Body>, head: bool, exchange: Exchange) -> Response<Pieces> {
    let (mut parts, body) = response.into_parts();
    parts.headers.entry(SERVER).or_insert(HeaderValue::from_static("Headwater"));
    let bodiless = parts.status.is_informational()
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless {
        return Response::from_parts(parts, Pieces::new(Body::default(), exchange));
    }
    let length = HeaderValue::from(body.len());
    if head {
        parts.headers.entry(CONTENT_LENGTH).or_insert(length);
        return Response::from_parts(parts, Pieces::new(Body::default(), exchange));
    }
    parts.headers.insert(CONTENT_LENGTH, length);
    Response::from_parts(parts, Pieces::new(body, exchange))
}
