//! HTTP in front of a machine, on real sockets.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use headwater_core::io::{Body, Input, Machine, Output, RequestId, Service};
use headwater_net_real::driver::{Control, Ended, Limits};
use headwater_net_real::http::HttpLimits;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Outbox, Running, scripted, start, start_with, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// What a test sees of the machine.
#[derive(Debug, PartialEq)]
enum Seen {
    Asked(String, RequestId),
    Gone(RequestId),
}

/// `/park` is never answered, `/big` is 4 MiB in pieces, `/release` answers all that are parked, the rest gets its own
/// path back.
fn site() -> (impl Machine + Send, mpsc::UnboundedReceiver<Seen>) {
    let (seen, inputs) = mpsc::unbounded_channel();
    let mut parked = Vec::new();
    let machine = scripted(move |_, input, out: &mut Outbox| match input {
        Input::Request { id, request, .. } => {
            let path = request.uri().path().to_owned();
            seen.send(Seen::Asked(path.clone(), id)).unwrap();
            match path.as_str() {
                "/park" => parked.push(id),
                "/nothing" => {
                    let mut response = Response::new(Body::default());
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    out.push_back(Output::Respond { id, response });
                }
                "/big" => out.push_back(Output::Respond { id, response: Response::new(big()) }),
                "/release" => {
                    for id in parked.drain(..).chain([id]) {
                        let response = Response::new(Body::from(Bytes::from(format!("released {}", id.0))));
                        out.push_back(Output::Respond { id, response });
                    }
                }
                _ => out.push_back(Output::Respond {
                    id,
                    response: Response::new(Body::from(Bytes::from(path))),
                }),
            }
        }
        Input::RequestGone { id } => seen.send(Seen::Gone(id)).unwrap(),
        Input::Command(_) => {
            for id in parked.drain(..) {
                out.push_back(Output::Respond { id, response: Response::new(Body::default()) });
            }
        }
        _ => {}
    });
    (machine, inputs)
}

fn big() -> Body {
    Body((0..64u8).map(|n| Bytes::from(vec![n; 64 << 10])).collect())
}

async fn serve(limits: HttpLimits) -> (Running, mpsc::UnboundedReceiver<Seen>) {
    let (machine, seen) = site();
    (start_with(Service::Http, machine, Limits { http: limits, ..Limits::default() }).await, seen)
}

/// Sends `request` and reads until `enough` or the end.
async fn exchange(stream: &mut TcpStream, request: &str, enough: impl Fn(&str) -> bool) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(async {
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if enough(&text) || stream.read_buf(&mut answer).await.unwrap_or(0) == 0 {
                return String::from_utf8_lossy(&answer).into_owned();
            }
        }
    })
    .await
}

async fn h2(driver: &Running) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(driver.at).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://edge.example{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn answers_and_keeps_the_connection() {
    let (driver, _seen) = serve(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    for path in ["/a", "/b?x=1"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: edge.example\r\n\r\n");
        let answer = exchange(&mut stream, &request, |text| text.ends_with(&path[..2])).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("server: Headwater\r\n") && answer.contains("date: "), "{answer}");
        assert!(answer.contains("content-length: 2\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn head_has_the_length_and_no_body_and_304_has_neither() {
    let (driver, _seen) = serve(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    // The answer to the second request comes right after the first one's headers: so no body was sent.
    let requests =
        "HEAD /big HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut stream, requests, |_| false).await;
    let (first, second) = answer.split_once("\r\n\r\n").unwrap();
    assert!(first.contains("content-length: 4194304"), "{first}");
    assert!(second.starts_with("HTTP/1.1 304"), "{second}");
    assert!(!second.contains("content-length"), "{second}");
    let mut sender = h2(&driver).await;
    let head = Request::head("http://edge.example/big").body(Empty::new()).unwrap();
    let response = within(sender.send_request(head)).await.unwrap();
    assert_eq!(response.headers()["content-length"], "4194304");
    assert!(within(response.into_body().collect()).await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn http2_with_prior_knowledge() {
    let (driver, _seen) = serve(HttpLimits::default()).await;
    let mut sender = h2(&driver).await;
    let answers = (0..20).map(|_| {
        let answer = sender.send_request(get("/big"));
        tokio::spawn(async {
            let response = answer.await.unwrap();
            assert_eq!(response.headers()["server"], "Headwater");
            assert_eq!(response.headers()["content-length"], "4194304");
            response.into_body().collect().await.unwrap().to_bytes()
        })
    });
    for body in answers.collect::<Vec<_>>() {
        let body = within(body).await.unwrap();
        assert_eq!(body.len(), 4 << 20);
        assert!(
            body.chunks(64 << 10).enumerate().all(|(n, piece)| piece.iter().all(|b| usize::from(*b) == n))
        );
    }
}

#[tokio::test]
async fn a_thousand_waiting_requests_are_answered() {
    let (driver, mut seen) = serve(HttpLimits::default()).await;
    let mut waiting = Vec::new();
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(driver.at).await.unwrap();
        waiting.push(tokio::spawn(async move {
            exchange(&mut stream, "GET /park HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", |_| false)
                .await
        }));
    }
    for _ in 0..1_000 {
        assert!(matches!(within(seen.recv()).await, Some(Seen::Asked(..))));
    }
    let mut sender = h2(&driver).await;
    within(sender.send_request(get("/release"))).await.unwrap();
    for answer in waiting {
        let answer = within(answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\r\n\r\nreleased "), "{answer}");
    }
}

async fn asked(seen: &mut mpsc::UnboundedReceiver<Seen>) -> RequestId {
    match within(seen.recv()).await {
        Some(Seen::Asked(_, id)) => id,
        other => panic!("expected a request, got {other:?}"),
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_noticed() {
    let (driver, mut seen) = serve(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    stream.write_all(b"GET /park HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let id = asked(&mut seen).await;
    drop(stream);
    assert_eq!(within(seen.recv()).await, Some(Seen::Gone(id)), "HTTP/1.1");

    let mut sender = h2(&driver).await;
    let waiting = tokio::spawn(sender.send_request(get("/park")));
    let id = asked(&mut seen).await;
    waiting.abort();
    assert_eq!(within(seen.recv()).await, Some(Seen::Gone(id)), "an HTTP/2 stream is reset");
    let response = within(sender.send_request(get("/on"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "the other streams live on");
    asked(&mut seen).await;

    let stream = TcpStream::connect(driver.at).await.unwrap().into_std().unwrap();
    let cable = stream.try_clone().unwrap();
    let stream = TokioIo::new(TcpStream::from_std(stream).unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let _waiting = tokio::spawn(sender.send_request(get("/park")));
    let id = asked(&mut seen).await;
    cable.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(within(seen.recv()).await, Some(Seen::Gone(id)), "an HTTP/2 connection is lost");
}

#[tokio::test]
async fn a_header_of_64_kib_is_refused_in_words() {
    let (driver, mut seen) = serve(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let answer = exchange(&mut stream, &request, |_| false).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    assert!(seen.try_recv().is_err(), "the machine has not heard of it");
    let mut sender = h2(&driver).await;
    let huge =
        Request::get("http://a/").header("x", "x".repeat(64 << 10)).body(Empty::<Bytes>::new()).unwrap();
    match within(sender.send_request(huge)).await {
        Ok(response) => assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Err(error) => assert!(!error.is_timeout(), "{error}"),
    }
    assert!(seen.try_recv().is_err(), "the machine has not heard of it");
}

#[tokio::test]
async fn small_bodies_are_forgotten_and_large_ones_refused() {
    let (driver, _seen) = serve(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    for _ in 0..2 {
        let request = "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let answer = exchange(&mut stream, request, |text| text.ends_with("/ok")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let request = format!(
        "POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        format!("1000\r\n{}\r\n", "y".repeat(0x1000)).repeat(100)
    );
    let answer = exchange(&mut stream, &request, |_| false).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer:?}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn too_many_requests_at_once_get_503_from_the_driver() {
    let (driver, mut seen) = serve(HttpLimits { in_flight: 1, ..HttpLimits::default() }).await;
    let mut waiting = TcpStream::connect(driver.at).await.unwrap();
    waiting.write_all(b"GET /park HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    asked(&mut seen).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    let answer =
        exchange(&mut stream, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", |_| false).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn random_bytes_hurt_nobody() {
    let (driver, _seen) = serve(HttpLimits::default()).await;
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for round in 0..200 {
        let mut stream = TcpStream::connect(driver.at).await.unwrap();
        let mut noise: Vec<u8> = (0..round * 13)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        match round % 3 {
            0 => noise.splice(0..0, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").for_each(drop),
            1 => noise.splice(0..0, *b"GET / HTTP/1.1\r\n").for_each(drop),
            _ => {}
        }
        let _ = stream.write_all(&noise).await;
        let _ = stream.shutdown().await;
        let _ = within(stream.read_to_end(&mut Vec::new())).await;
    }
    let response = within(h2(&driver).await.send_request(get("/fine"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

async fn end_of(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.is_ok()
}

fn quick() -> HttpLimits {
    HttpLimits {
        header_read: Duration::from_millis(200),
        idle: Duration::from_millis(800),
        stall: Duration::from_millis(400),
        ..HttpLimits::default()
    }
}

#[tokio::test]
async fn silence_half_a_header_and_idleness_end() {
    let (driver, _seen) = serve(quick()).await;
    let mut silent = TcpStream::connect(driver.at).await.unwrap();
    let mut half = TcpStream::connect(driver.at).await.unwrap();
    half.write_all(b"GET / HT").await.unwrap();
    let mut preface = TcpStream::connect(driver.at).await.unwrap();
    preface.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut idle = TcpStream::connect(driver.at).await.unwrap();
    exchange(&mut idle, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", |text| text.ends_with("/a")).await;
    let mut second_half = TcpStream::connect(driver.at).await.unwrap();
    exchange(&mut second_half, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", |text| text.ends_with("/a")).await;
    second_half.write_all(b"GET / HT").await.unwrap();
    for stream in [&mut silent, &mut half, &mut preface, &mut second_half, &mut idle] {
        assert!(end_of(stream).await);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut() {
    let (driver, mut seen) = serve(quick()).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    // More than the kernel's buffers of both sides hold.
    stream.write_all("GET /big HTTP/1.1\r\nHost: a\r\n\r\n".repeat(8).as_bytes()).await.unwrap();
    asked(&mut seen).await;
    sleep(Duration::from_millis(1_500)).await;
    let mut got = Vec::new();
    let _ = within(stream.read_to_end(&mut got)).await;
    assert!(got.len() < 8 * (4 << 20), "cut before the end, at {}", got.len());

    // On HTTP/2 the client reads the socket and gives no credit for the stream.
    let mut sender = h2(&driver).await;
    let response = within(sender.send_request(get("/big"))).await.unwrap();
    sleep(Duration::from_millis(1_500)).await;
    assert!(within(response.into_body().collect()).await.is_err(), "cut");
}

#[tokio::test]
async fn a_request_may_wait_longer_than_every_timeout() {
    let (driver, mut seen) = serve(quick()).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    stream.write_all(b"GET /park HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let id = asked(&mut seen).await;
    sleep(Duration::from_millis(1_500)).await;
    within(h2(&driver).await.send_request(get("/release"))).await.unwrap();
    let answer = exchange(&mut stream, "", |text| text.contains("released")).await;
    assert!(answer.ends_with(&format!("released {}", id.0)), "{answer}");
}

#[tokio::test]
async fn shutdown_answers_those_who_wait_and_lets_go_of_the_idle() {
    let (driver, mut seen) = serve(HttpLimits::default()).await;
    let mut waiting = TcpStream::connect(driver.at).await.unwrap();
    waiting.write_all(b"GET /park HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    asked(&mut seen).await;
    let mut idle = TcpStream::connect(driver.at).await.unwrap();
    exchange(&mut idle, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", |text| text.ends_with("/a")).await;
    let mut sender = h2(&driver).await;
    within(sender.send_request(get("/b"))).await.unwrap();
    driver.control.send(Control::Shutdown).await.unwrap();
    let answer = exchange(&mut waiting, "", |_| false).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(end_of(&mut idle).await);
    assert_eq!(driver.ended().await, Ended::Clean);
}

#[tokio::test]
async fn the_uri_and_the_peer_reach_the_machine() {
    let (seen, mut inputs) = mpsc::unbounded_channel();
    let machine = scripted(move |_, input, out: &mut Outbox| {
        if let Input::Request { id, service: Service::Http, peer, request } = input {
            seen.send((peer, request.uri().to_string(), request.headers().get("host").cloned())).unwrap();
            out.push_back(Output::Respond { id, response: Response::new(Body::default()) });
        }
    });
    let driver = start(Service::Http, machine).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    let me = stream.local_addr().unwrap();
    let request = "GET /app/stream?a=b HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n";
    exchange(&mut stream, request, |_| false).await;
    let (peer, uri, host) = within(inputs.recv()).await.unwrap();
    assert_eq!((peer, uri.as_str()), (me, "/app/stream?a=b"));
    assert_eq!(host.unwrap(), "edge.example");
    within(h2(&driver).await.send_request(get("/app?x"))).await.unwrap();
    let (_, uri, _) = within(inputs.recv()).await.unwrap();
    assert_eq!(uri, "http://edge.example/app?x");
}
