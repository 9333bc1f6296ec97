//! HTTP between browsers and the servers in front of machines: requests and answers as whole messages that travel
//! in the streams of `tcp`. Many requests share one connection, as in HTTP/2; an answer comes as its head and its
//! body, so that a player can tell a silent server from a slow link.

use std::collections::BTreeMap;

use headwater_core::io::{Body, Close, CloseReason, Endpoint, Input, RequestId, Service};
use headwater_core::time::{Deadline, Now};

use crate::tcp::{ConnNo, Name, Segment, Side, State};
use crate::trace::{Hash64, What};
use crate::world::{HostId, World};

/// What a program that asks hears.
#[derive(Debug)]
pub enum ClientInput {
    /// The whole body of an answer, after its head.
    Body {
        /// Which request, by the program's own number.
        id: u64,
        /// What was sent.
        body: Body,
    },
    /// There will be no answer.
    Failed {
        /// Which request.
        id: u64,
        /// Why.
        reason: CloseReason,
    },
    /// An answer has begun.
    Head {
        /// Which request.
        id: u64,
        /// Its status.
        status: http::StatusCode,
        /// Its headers.
        headers: http::HeaderMap,
    },
}

/// What a program that asks wants.
#[derive(Debug)]
pub enum ClientOutput {
    /// It does not want the answer any more.
    Abandon {
        /// Which request.
        id: u64,
    },
    /// Ask.
    Get {
        /// The program's own number for it; never used twice.
        id: u64,
        /// The server.
        to: Endpoint,
        /// The request; its URI is a path with query.
        request: Box<http::Request<()>>,
    },
}

/// A program that asks over HTTP: a player, or a prober. The same contract as `Machine`.
pub trait HttpClient {
    /// Something came.
    fn handle(&mut self, now: Now, input: ClientInput);
    /// A deadline may have passed.
    fn handle_timeout(&mut self, now: Now);
    /// The next wish.
    fn poll_output(&mut self) -> Option<ClientOutput>;
    /// When `handle_timeout` has work.
    fn poll_timeout(&self) -> Option<Deadline>;
}

/// An answer as a prober has received it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status, or why there is no answer.
    pub status: Result<http::StatusCode, CloseReason>,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body in one piece.
    pub body: Vec<u8>,
}

/// A program that asks what it is told to and keeps the answers, like a person with `curl`.
#[derive(Debug, Default)]
pub struct Prober {
    pub(crate) outbox: std::collections::VecDeque<ClientOutput>,
    next: u64,
    heads: BTreeMap<u64, (http::StatusCode, http::HeaderMap)>,
    answers: BTreeMap<u64, Answer>,
}

impl Prober {
    pub(crate) fn get(&mut self, to: Endpoint, request: http::Request<()>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.outbox.push_back(ClientOutput::Get { id, to, request: Box::new(request) });
        id
    }

    pub(crate) fn answer(&self, id: u64) -> Option<&Answer> {
        self.answers.get(&id)
    }
}

impl HttpClient for Prober {
    fn handle(&mut self, _now: Now, input: ClientInput) {
        match input {
            ClientInput::Head { id, status, headers } => {
                self.heads.insert(id, (status, headers));
            }
            ClientInput::Body { id, body } => {
                let Some((status, headers)) = self.heads.remove(&id) else { return };
                let body = body.0.iter().flat_map(|piece| piece.iter().copied()).collect();
                self.answers.insert(id, Answer { status: Ok(status), headers, body });
            }
            ClientInput::Failed { id, reason } => {
                self.heads.remove(&id);
                let headers = http::HeaderMap::new();
                self.answers.insert(id, Answer { status: Err(reason), headers, body: Vec::new() });
            }
        }
    }

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

/// A request and what has become of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    client: HostId,
    client_number: u64,
    to: Endpoint,
    request: http::Request<()>,
    conn: ConnNo,
    /// Whether the connection had carried a request before.
    reused: bool,
    retried: bool,
    /// The server that knows of it and has not answered.
    asked: Option<HostId>,
    begun: bool,
}

impl Exchange {
    /// Whether `host` knows of it and has not answered.
    pub(crate) fn asked_of(&self, host: HostId) -> bool {
        self.asked == Some(host)
    }
}

impl World {
    pub(crate) fn http_output(&mut self, host: HostId, output: ClientOutput) {
        match output {
            ClientOutput::Get { id, to, request } => self.http_ask(host, id, to, *request, false),
            ClientOutput::Abandon { id } => self.http_abandon(host, id),
        }
    }

    fn http_ask(
        &mut self,
        host: HostId,
        number: u64,
        to: Endpoint,
        request: http::Request<()>,
        retried: bool,
    ) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let pooled = self.http_pool.get(&(host, to.clone())).copied();
        let usable = pooled.filter(|no| {
            self.conns.get(*no).is_some_and(|conn| matches!(conn.client.state, State::Open | State::Opening))
        });
        let (conn, reused) = match usable {
            Some(conn) => (conn, true),
            None => (self.tcp_open(host, Name::HttpClient(to.clone()), &to), false),
        };
        self.http_pool.insert((host, to.clone()), conn);
        let exchange = Exchange {
            client: host,
            client_number: number,
            to,
            request: request.clone(),
            conn,
            reused,
            retried,
            asked: None,
            begun: false,
        };
        self.exchanges.insert(id, exchange);
        self.tcp_write(conn, Side::Client, Segment::Request { id, request: Box::new(request) });
        self.tcp_pump(conn, Side::Client);
    }

    /// As browsers do, a connection on which a request was given up is not used again: it may be dead.
    fn http_abandon(&mut self, host: HostId, number: u64) {
        let Some(id) = self.http_find(host, number) else { return };
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.client_number = ABANDONED;
        let (conn, to) = (exchange.conn, exchange.to.clone());
        if self.http_pool.get(&(host, to.clone())) == Some(&conn) {
            self.http_pool.remove(&(host, to));
        }
        self.tcp_write(conn, Side::Client, Segment::Cancel { id });
        self.tcp_pump(conn, Side::Client);
        if !self.exchanges.values().any(|e| e.conn == conn && e.client_number != ABANDONED) {
            self.tcp_close(conn, Side::Client, Close::Abort);
        }
    }

    fn http_find(&self, host: HostId, number: u64) -> Option<RequestId> {
        let mut newest_first = self.exchanges.iter().rev();
        newest_first.find(|(_, e)| e.client == host && e.client_number == number).map(|(id, _)| *id)
    }

    /// A request has come to the server.
    pub(crate) fn http_requested(&mut self, host: HostId, id: RequestId, request: http::Request<()>) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.asked = Some(host);
        let peer = self.hosts[exchange.client.index()].socket(exchange.conn);
        self.note(host, What::Request(id, request.uri().to_string()));
        self.feed(host, Input::Request { id, service: Service::Http, peer, request });
    }

    /// The machine answers.
    pub(crate) fn http_respond(&mut self, host: HostId, id: RequestId, response: http::Response<Body>) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if exchange.asked.take() != Some(host) {
            return;
        }
        let conn = exchange.conn;
        if exchange.client_number == ABANDONED {
            self.exchanges.remove(&id);
            return;
        }
        let (head, body) = response.into_parts();
        let head = Segment::Head { id, status: head.status, headers: Box::new(head.headers) };
        self.tcp_write(conn, Side::Server, head);
        self.tcp_write(conn, Side::Server, Segment::Body { id, body });
        self.tcp_pump(conn, Side::Server);
    }

    pub(crate) fn http_cancelled(&mut self, host: HostId, id: RequestId) {
        let Some(exchange) = self.exchanges.remove(&id) else { return };
        if exchange.asked == Some(host) {
            self.note(host, What::RequestGone(id));
            self.feed(host, Input::RequestGone { id });
        }
    }

    pub(crate) fn http_head(&mut self, id: RequestId, status: http::StatusCode, headers: http::HeaderMap) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.begun = true;
        let (host, number) = (exchange.client, exchange.client_number);
        if number != ABANDONED {
            self.note(host, What::Fetched(number, Ok(status.as_u16()), 0));
            self.feed_client(host, ClientInput::Head { id: number, status, headers });
        }
    }

    pub(crate) fn http_body(&mut self, id: RequestId, body: Body) {
        let Some(exchange) = self.exchanges.remove(&id) else { return };
        let (host, number) = (exchange.client, exchange.client_number);
        if number != ABANDONED {
            let mut hash = Hash64::new();
            body.0.iter().for_each(|piece| hash.bytes(piece));
            self.note(host, What::Fetched(number, Ok(0), hash.value()));
            self.feed_client(host, ClientInput::Body { id: number, body });
        }
    }

    /// A connection to the server's browsers is gone: nobody waits for what was asked on it.
    pub(crate) fn http_server_lost(&mut self, host: HostId, conn: ConnNo) {
        let of_this = |e: &Exchange| e.conn == conn && e.asked == Some(host);
        let lost: Vec<_> = self.exchanges.iter().filter(|(_, e)| of_this(e)).map(|(id, _)| *id).collect();
        for id in lost {
            if let Some(exchange) = self.exchanges.get_mut(&id) {
                exchange.asked = None;
                if exchange.client_number == ABANDONED {
                    self.exchanges.remove(&id);
                }
            }
            self.note(host, What::RequestGone(id));
            self.feed(host, Input::RequestGone { id });
        }
    }

    /// A browser has lost a connection. As browsers do, it asks once more if the connection was an old one that
    /// had given no answer; otherwise the page hears of it.
    pub(crate) fn http_client_lost(
        &mut self,
        host: HostId,
        conn: ConnNo,
        to: &Endpoint,
        reason: CloseReason,
    ) {
        if self.http_pool.get(&(host, to.clone())) == Some(&conn) {
            self.http_pool.remove(&(host, to.clone()));
        }
        let lost: Vec<_> = self
            .exchanges
            .iter()
            .filter(|(_, e)| e.conn == conn && e.client == host)
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let Some(exchange) = self.exchanges.remove(&id) else { continue };
            let number = exchange.client_number;
            let stale = matches!(reason, CloseReason::Reset | CloseReason::Eof) && exchange.reused;
            if number == ABANDONED {
                continue;
            }
            if stale && !exchange.begun && !exchange.retried {
                self.http_ask(host, number, exchange.to, exchange.request, true);
            } else {
                self.note(host, What::Fetched(number, Err(reason), 0));
                self.feed_client(host, ClientInput::Failed { id: number, reason });
            }
        }
    }

    /// The server's process has died with these requests in hand.
    pub(crate) fn http_forget_server(&mut self, host: HostId) {
        for exchange in self.exchanges.values_mut().filter(|e| e.asked == Some(host)) {
            exchange.asked = None;
        }
    }

    /// The browser is closed.
    pub(crate) fn http_forget_client(&mut self, host: HostId) {
        for exchange in self.exchanges.values_mut().filter(|e| e.client == host) {
            exchange.client_number = ABANDONED;
        }
        self.http_pool.retain(|(client, _), _| *client != host);
    }
}

/// No program numbers its requests so high.
const ABANDONED: u64 = u64::MAX;
