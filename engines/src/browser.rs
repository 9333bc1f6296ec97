//! Drives a player over any network of the production driver: HTTP/2 by hyper, one connection for each server, as the
//! simulator models it. It knows neither playlists nor media: the player decides, this moves bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::pending;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use headwater_core::io::{Body, CloseReason, Endpoint};
use headwater_core::time::Now;
use headwater_net_real::net::Net;
use headwater_net_sim::http::{ClientInput, ClientOutput, HttpClient};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// Lets `player` play over `net` for as long as this is polled. Dropping it closes what it has opened.
pub async fn browse<N: Net, P: HttpClient>(net: N, now: impl Fn() -> Now, player: &RefCell<P>) {
    let (reports, mut reported) = mpsc::unbounded_channel();
    let mut browser =
        Browser { net, lines: BTreeMap::new(), loads: BTreeMap::new(), tasks: JoinSet::new(), reports };
    loop {
        loop {
            // Nothing is borrowed while the wish is carried out.
            let wish = player.borrow_mut().poll_output();
            let Some(wish) = wish else { break };
            browser.carry_out(wish);
        }
        let due = player.borrow().poll_timeout().map(|deadline| deadline.at);
        let timer = async {
            match due {
                Some(at) => sleep(at.since(now().mono)).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(report) = reported.recv() => {
                if let Some(input) = browser.hear(report) {
                    player.borrow_mut().handle(now(), input);
                }
            }
            () = timer => player.borrow_mut().handle_timeout(now()),
            Some(_) = browser.tasks.join_next(), if !browser.tasks.is_empty() => {}
        }
    }
}

/// Asks once, on a connection of its own, and returns the status of the answer.
///
/// # Errors
/// Why there is none.
pub async fn ask<N: Net>(net: &N, to: &Endpoint, path: &str) -> Result<StatusCode, CloseReason> {
    let request = Request::get(path).body(()).map_err(|_| CloseReason::Unreachable)?;
    let answer = Line::default().ask(net, to, request).await?;
    let status = answer.status();
    collect(answer).await?;
    Ok(status)
}

/// The connections of a player and what is asked on them.
struct Browser<N> {
    net: N,
    lines: BTreeMap<Endpoint, Arc<Line>>,
    loads: BTreeMap<u64, Load>,
    tasks: JoinSet<()>,
    reports: mpsc::UnboundedSender<Report>,
}

/// A request that is not answered yet.
struct Load {
    to: Endpoint,
    request: Request<()>,
    line: Arc<Line>,
    /// Whether its connection had carried a request before.
    reused: bool,
    retried: bool,
    begun: bool,
    task: AbortHandle,
}

enum Report {
    Body { id: u64, body: Body },
    Head { id: u64, status: StatusCode, headers: http::HeaderMap },
    Lost { id: u64, reason: CloseReason },
}

impl<N: Net> Browser<N> {
    fn carry_out(&mut self, wish: ClientOutput) {
        match wish {
            ClientOutput::Abandon { id } => {
                // As browsers do, a connection on which a request was given up is not used again: it may be dead.
                if let Some(load) = self.loads.remove(&id) {
                    load.task.abort();
                    self.forget(&load);
                }
            }
            ClientOutput::Get { id, to, request } => self.load(id, to, *request, false),
        }
    }

    fn load(&mut self, id: u64, to: Endpoint, request: Request<()>, retried: bool) {
        let known = self.lines.get(&to).filter(|line| !line.is_closed()).cloned();
        let reused = known.is_some();
        let line = known.unwrap_or_default();
        self.lines.insert(to.clone(), line.clone());
        let (net, reports) = (self.net.clone(), self.reports.clone());
        let asking = (line.clone(), to.clone(), request.clone());
        let task = self.tasks.spawn(async move {
            let (line, to, request) = asking;
            let told = match line.ask(&net, &to, request).await {
                Ok(answer) => {
                    let (status, headers) = (answer.status(), answer.headers().clone());
                    let _ = reports.send(Report::Head { id, status, headers });
                    collect(answer).await
                }
                Err(reason) => Err(reason),
            };
            let _ = reports.send(match told {
                Ok(body) => Report::Body { id, body },
                Err(reason) => Report::Lost { id, reason },
            });
        });
        self.loads.insert(id, Load { to, request, line, reused, retried, begun: false, task });
    }

    /// What the player hears of it. As browsers do, a request is made once more if its connection was an old one that
    /// gave no answer.
    fn hear(&mut self, report: Report) -> Option<ClientInput> {
        match report {
            Report::Head { id, status, headers } => {
                self.loads.get_mut(&id)?.begun = true;
                Some(ClientInput::Head { id, status, headers })
            }
            Report::Body { id, body } => {
                self.loads.remove(&id)?;
                Some(ClientInput::Body { id, body })
            }
            Report::Lost { id, reason } => {
                let load = self.loads.remove(&id)?;
                self.forget(&load);
                let stale = matches!(reason, CloseReason::Reset | CloseReason::Eof) && load.reused;
                if stale && !load.begun && !load.retried {
                    self.load(id, load.to, load.request, true);
                    return None;
                }
                Some(ClientInput::Failed { id, reason })
            }
        }
    }

    fn forget(&mut self, load: &Load) {
        if self.lines.get(&load.to).is_some_and(|line| Arc::ptr_eq(line, &load.line)) {
            self.lines.remove(&load.to);
        }
    }
}

/// A connection to a server, opened when the first request needs it and shared by all that come later.
#[derive(Default)]
struct Line(OnceCell<SendRequest<Empty<Bytes>>>);

impl Line {
    fn is_closed(&self) -> bool {
        self.0.get().is_some_and(SendRequest::is_closed)
    }

    async fn ask<N: Net>(
        &self,
        net: &N,
        to: &Endpoint,
        request: Request<()>,
    ) -> Result<Response<Incoming>, CloseReason> {
        let mut sender = self.0.get_or_try_init(|| open(net, to)).await?.clone();
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let absolute = format!("http://{to}{path}");
        let request = Request::get(absolute).body(Empty::new()).map_err(|_| CloseReason::Unreachable)?;
        sender.send_request(request).await.map_err(|error| reason(&error))
    }
}

async fn open<N: Net>(net: &N, to: &Endpoint) -> Result<SendRequest<Empty<Bytes>>, CloseReason> {
    let stream = net.connect(to).await.map_err(|error| reason(&error))?;
    let opened = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = opened.map_err(|error| reason(&error))?;
    tokio::spawn(async move {
        // Whoever asks on it hears how it ended.
        let _ = connection.await;
    });
    Ok(sender)
}

async fn collect(answer: Response<Incoming>) -> Result<Body, CloseReason> {
    let body = answer.into_body().collect().await.map_err(|error| reason(&error))?;
    Ok(Body(vec![body.to_bytes()]))
}

/// Why a connection was not made or is no more, from the error at the bottom of `error`.
fn reason(error: &(dyn Error + 'static)) -> CloseReason {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused => CloseReason::Refused,
                io::ErrorKind::TimedOut => CloseReason::TimedOut,
                io::ErrorKind::UnexpectedEof => CloseReason::Eof,
                io::ErrorKind::NotFound => CloseReason::Unreachable,
                _ => CloseReason::Reset,
            };
        }
        cause = error.source();
    }
    CloseReason::Eof
}
