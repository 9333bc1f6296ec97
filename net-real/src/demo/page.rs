//! The page of the demo and the two things it asks for: the status, and a kill.
//!
//! Everything is in this program; the page loads nothing from anywhere else. Only this machine can reach it.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, sleep};
use tracing::debug;

use super::cluster::Origin;
use super::status::NotNow;

/// What the page wants of the demo, and the way back.
#[derive(Debug)]
pub(super) enum Ask {
    /// Kill the active origin.
    Kill(oneshot::Sender<Result<Origin, NotNow>>),
    /// See `Status::to_json`.
    Status(oneshot::Sender<Value>),
}

/// A listener on this port of 127.0.0.1, or on a free one if it cannot be had; and whether that was so.
pub(super) fn listen(port: u16) -> io::Result<(TcpListener, bool)> {
    let bind = |port| std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let (listener, moved) = match bind(port) {
        Ok(listener) => (listener, false),
        Err(_) => (bind(0)?, true),
    };
    listener.set_nonblocking(true)?;
    Ok((TcpListener::from_std(listener)?, moved))
}

/// Serves the page for as long as the demo runs.
pub(super) async fn serve(listener: TcpListener, asks: mpsc::Sender<Ask>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, or a client that was gone at once.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let asks = asks.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, asks.clone()));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new());
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                debug!(%error, "a connection of the page ended");
            }
        });
    }
}

const PAGE: &str = include_str!("page.html");
const HLS_JS: &str = include_str!("../../assets/hls.min.js");

async fn answer<B>(
    request: Request<B>,
    asks: mpsc::Sender<Ask>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => embedded("text/html; charset=utf-8", PAGE),
        (&Method::GET | &Method::HEAD, "/hls.min.js") => embedded("text/javascript; charset=utf-8", HLS_JS),
        (&Method::GET, "/status") => status(&asks).await,
        (&Method::POST, "/kill") => kill(&asks).await,
        (_, "/" | "/hls.min.js" | "/status") => not_allowed("GET"),
        (_, "/kill") => not_allowed("POST"),
        _ => json(StatusCode::NOT_FOUND, &json!({ "error": "There is no such page." })),
    })
}

async fn status(asks: &mpsc::Sender<Ask>) -> Response<Full<Bytes>> {
    let (answer, answered) = oneshot::channel();
    // If the demo is over, the answer never comes.
    let _ = asks.send(Ask::Status(answer)).await;
    match answered.await {
        Ok(status) => json(StatusCode::OK, &status),
        Err(_) => over(),
    }
}

async fn kill(asks: &mpsc::Sender<Ask>) -> Response<Full<Bytes>> {
    let (answer, answered) = oneshot::channel();
    let _ = asks.send(Ask::Kill(answer)).await;
    match answered.await {
        Ok(Ok(origin)) => json(StatusCode::OK, &json!({ "killed": origin.name() })),
        Ok(Err(not_now)) => json(StatusCode::CONFLICT, &json!({ "error": not_now.to_string() })),
        Err(_) => over(),
    }
}

fn over() -> Response<Full<Bytes>> {
    json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "The demo is over." }))
}

fn embedded(kind: &'static str, text: &'static str) -> Response<Full<Bytes>> {
    response(StatusCode::OK, kind, Bytes::from_static(text.as_bytes()))
}

fn json(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    response(status, "application/json", value.to_string().into())
}

fn not_allowed(method: &'static str) -> Response<Full<Bytes>> {
    let text = Bytes::from(format!("Use {method}.\n"));
    let mut response = response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", text);
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static(method));
    response
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn ask(method: Method, path: &str, asks: &mpsc::Sender<Ask>) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let response = answer(request, asks.clone()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// A demo that can be killed once.
    fn demo() -> mpsc::Sender<Ask> {
        let (asks, mut asked) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut outcomes = [Ok(Origin::A), Err(NotNow::OtherIsAway(Origin::A))].into_iter();
            while let Some(ask) = asked.recv().await {
                match ask {
                    Ask::Kill(answer) => answer.send(outcomes.next().unwrap()).unwrap(),
                    Ask::Status(answer) => answer.send(json!({ "active": "A" })).unwrap(),
                }
            }
        });
        asks
    }

    #[tokio::test]
    async fn the_page_is_whole() {
        let (status, page) = ask(Method::GET, "/", &demo()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("/hls.min.js") && page.contains("/status") && page.contains("/kill"));
        assert!(!page.contains("https://"), "nothing is loaded from elsewhere");
        let (status, script) = ask(Method::GET, "/hls.min.js", &demo()).await;
        assert!(status == StatusCode::OK && script.len() > 100_000);
    }

    #[tokio::test]
    async fn a_kill_is_posted_and_may_be_refused() {
        let demo = demo();
        assert_eq!(ask(Method::GET, "/kill", &demo).await.0, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(
            ask(Method::GET, "/status", &demo).await,
            (StatusCode::OK, r#"{"active":"A"}"#.to_owned())
        );
        assert_eq!(ask(Method::POST, "/kill", &demo).await, (StatusCode::OK, r#"{"killed":"A"}"#.to_owned()));
        let (status, body) = ask(Method::POST, "/kill", &demo).await;
        assert!(status == StatusCode::CONFLICT && body.contains("not back"), "{status} {body}");
        assert_eq!(ask(Method::GET, "/nothing", &demo).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_demo_that_is_over_says_so() {
        let (asks, _) = mpsc::channel(1);
        assert_eq!(ask(Method::GET, "/status", &asks).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn a_taken_port_is_left_for_a_free_one() {
        let (first, moved) = listen(0).unwrap();
        assert!(!moved);
        let taken = first.local_addr().unwrap();
        let (second, moved) = listen(taken.port()).unwrap();
        assert!(moved && second.local_addr().unwrap() != taken);
    }
}
