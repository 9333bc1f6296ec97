//! Streams between hosts as a driver sees them: bytes in order and cut anywhere, a bounded window, handshakes,
//! resets, and what retransmission does when a wire is cut for a while.
//!
//! This is not TCP's congestion control: it knows no packets, only what an application can observe. What is
//! modelled after Linux: a killed process answers with FIN or RST, a host without power answers nothing, a segment
//! for a connection that is gone is answered with RST, the kernel of a stopped process still shakes hands and
//! acknowledges until its buffers are full.
//!
//! HTTP messages travel in these streams as segments of their own kind, see `http`.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use headwater_core::io::{Body, Close, CloseReason, Command, ConnId, Endpoint, Input, RequestId, Service};
use headwater_core::limits;
use headwater_core::time::Time;

use crate::net::{RETRANSMISSION_MIN, Way, WireNo};
use crate::recording::{Cargo, Flow, Message};
use crate::rng::Rng;
use crate::trace::{Hash64, What};
use crate::udp::Underway;
use crate::world::{Happening, HostId, World};

/// How streams behave, the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Bytes that may be under way or unread at the other end: send buffer plus receive buffer.
    pub window: usize,
    /// Connections that the kernel accepts for a process that does not.
    pub backlog: usize,
    /// Whether writes are cut and joined at random, as real networks do.
    pub recut: bool,
    /// After this long without an acknowledgement the connection has timed out (Linux: about 15 minutes).
    pub give_up: Duration,
    /// How long a closed connection may take to send what was queued.
    pub flush: Duration,
    /// Whether machines have the kernel probe what they have opened when it is silent, as the driver of production does.
    pub probes: bool,
}

impl Default for Tcp {
    fn default() -> Self {
        Tcp {
            window: 256 * 1024,
            backlog: 128,
            recut: true,
            give_up: Duration::from_secs(924),
            flush: Duration::from_secs(5),
            probes: true,
        }
    }
}

/// The number of a connection in the world.
pub(crate) type ConnNo = u64;

/// Which end: the one that opened, or the one that accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// What travels in a stream, in order.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Data(Bytes),
    Request { id: RequestId, request: Box<http::Request<()>> },
    Cancel { id: RequestId },
    Head { id: RequestId, status: http::StatusCode, headers: Box<http::HeaderMap> },
    Body { id: RequestId, body: Body },
    Fin,
    Rst,
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Segment::Data(bytes) => bytes.len(),
            Segment::Body { body, .. } => body.len(),
            Segment::Request { .. } => 400,
            Segment::Head { .. } => 200,
            Segment::Cancel { .. } => 40,
            Segment::Fin | Segment::Rst => 0,
        }
    }
}

/// What the process at an end calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A connection of a machine.
    Machine(ConnId),
    /// The HTTP server in front of a machine.
    HttpServer,
    /// A browser's connection to this authority.
    HttpClient(Endpoint),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The handshake is under way.
    Opening,
    Open,
    /// Closed by its process; what was queued is still sent.
    Flushing,
    /// The kernel knows nothing of it any more.
    Gone,
}

/// What one end has to send.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) queue: VecDeque<Segment>,
    /// Bytes that left and of which no acknowledgement was counted.
    in_flight: usize,
    /// The number of the next segment that leaves.
    next: u64,
    /// Segments that left and did not arrive, by their number.
    stuck: BTreeMap<u64, Segment>,
    /// Acknowledgements on their way: when they are here, and of how many bytes.
    acks: Vec<(Time, usize)>,
    /// When the next one is waited for, if one is.
    awaited: Option<Time>,
    /// Acknowledgements that did not come back.
    acks_stuck: usize,
    /// Nothing arrives before what left earlier.
    last_arrival: Time,
    /// Bytes that left and that the process has not heard of.
    unreported: usize,
    reporting: bool,
    /// Since when retransmission is at work, if it is.
    retrying_since: Option<Time>,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) host: HostId,
    /// The life of the host's process that it belongs to.
    pub(crate) life: u64,
    pub(crate) name: Name,
    pub(crate) state: State,
    /// Whether the process still holds it.
    pub(crate) held: bool,
    pub(crate) out: Pipe,
    /// When the kernel last had something from the other end.
    heard: Time,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) port: u16,
    pub(crate) client: End,
    /// None until the server's kernel has seen the SYN.
    pub(crate) server: Option<End>,
    server_host: HostId,
    /// What the client sends over, and what the server sends over.
    wires: [WireNo; 2],
}

impl Conn {
    pub(crate) fn end(&mut self, side: Side) -> Option<&mut End> {
        match side {
            Side::Client => Some(&mut self.client),
            Side::Server => self.server.as_mut(),
        }
    }

    pub(crate) fn end_at(&self, side: Side) -> Option<&End> {
        match side {
            Side::Client => Some(&self.client),
            Side::Server => self.server.as_ref(),
        }
    }

    /// The wire of what `side` sends.
    fn wire_from(&self, side: Side) -> WireNo {
        self.wires[usize::from(side == Side::Server)]
    }

    /// The way of what `side` sends.
    fn way_from(&self, side: Side) -> (HostId, HostId) {
        match side {
            Side::Client => (self.client.host, self.server_host),
            Side::Server => (self.server_host, self.client.host),
        }
    }

    fn over(&self) -> bool {
        let gone = |end: &End| end.state == State::Gone && !end.held;
        gone(&self.client) && self.server.as_ref().is_none_or(gone)
    }
}

/// A connection, seen from one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The host at the other end.
    pub peer: HostId,
    /// The port that the server listens on.
    pub port: u16,
    /// Whether this end opened it.
    pub opened: bool,
    /// Whether HTTP messages travel in it.
    pub http: bool,
    /// Whether the process at this end holds it; if not, the kernel only sends what was left.
    pub held: bool,
    /// Bytes that this end has to send and that have not left.
    pub queued: usize,
    /// Bytes that have left this end and were not acknowledged.
    pub in_flight: usize,
}

impl Connection {
    /// Whether it is the line to a directory of streams, which is kept open for as long as it stands.
    pub fn is_to_directory(&self) -> bool {
        self.opened && self.port == crate::redis::PORT
    }
}

/// Bytes that were handed over and not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    /// On the connection that has most of them.
    pub most: usize,
    /// On all connections together.
    pub sum: usize,
}

impl Conn {
    /// The ends of it that are on `host`, unless they are gone.
    pub(crate) fn seen_from(&self, host: HostId, now: Time) -> impl Iterator<Item = Connection> {
        let client = (host == self.client.host).then_some((&self.client, self.server_host, true));
        let server = self.server.as_ref().filter(|end| end.host == host);
        let server = server.map(|end| (end, self.client.host, false));
        let is_there = |(end, ..): &(&End, HostId, bool)| end.held || end.state != State::Gone;
        client.into_iter().chain(server).filter(is_there).map(move |(end, peer, opened)| Connection {
            peer,
            port: self.port,
            opened,
            http: !matches!(end.name, Name::Machine(_)),
            held: end.held,
            queued: end.out.queue.iter().map(Segment::len).sum(),
            in_flight: end.out.unacknowledged(now),
        })
    }
}

/// What the kernel has for a process; it waits while the process is stopped.
#[derive(Debug)]
pub(crate) enum Signal {
    Accepted { conn: ConnNo, service: Service },
    Opened { conn: ConnNo },
    Arrived { conn: ConnNo, side: Side, segment: Segment },
    Broken { conn: ConnNo, side: Side, reason: CloseReason },
    Sent { conn: ConnNo, side: Side, bytes: usize },
    Asked(Command),
    Datagram(Box<Underway>),
}

/// What happens to streams at a moment.
#[derive(Debug)]
pub(crate) enum TcpEvent {
    Syn { conn: ConnNo },
    SynAck { conn: ConnNo },
    SynRetry { conn: ConnNo, attempt: u32 },
    Refused { conn: ConnNo, reason: CloseReason },
    Arrive { conn: ConnNo, to: Side, number: u64, segment: Segment },
    Ack { conn: ConnNo, to: Side },
    Retry { conn: ConnNo, from: Side, attempt: u32 },
    Probe { conn: ConnNo, unanswered: u32 },
    FlushOver { conn: ConnNo, side: Side },
}

impl World {
    /// A process opens a connection. `name` is how it will hear of it.
    pub(crate) fn tcp_open(&mut self, host: HostId, name: Name, to: &Endpoint) -> ConnNo {
        let target = self.resolve(&to.host);
        let client = End {
            host,
            life: self.hosts[host.index()].life,
            name,
            state: State::Opening,
            held: true,
            out: Pipe::default(),
            heard: self.now(),
        };
        let server_host = target.unwrap_or(host);
        let wires = [self.links.wire(host, server_host), self.links.wire(server_host, host)];
        let no = self.conns.add(Conn { port: to.port, client, server: None, server_host, wires });
        if target.is_none() {
            let event = TcpEvent::Refused { conn: no, reason: CloseReason::Unreachable };
            self.schedule(self.now() + LOOKUP, Happening::Tcp(event));
            return no;
        }
        self.tcp_syn(no, 0);
        no
    }

    pub(crate) fn tcp_event(&mut self, event: TcpEvent) {
        match event {
            TcpEvent::Syn { conn } => self.tcp_syn_arrived(conn),
            TcpEvent::SynAck { conn } => self.tcp_syn_ack_arrived(conn),
            TcpEvent::SynRetry { conn, attempt } => self.tcp_syn_retry(conn, attempt),
            TcpEvent::Refused { conn, reason } => self.tcp_break(conn, Side::Client, reason),
            TcpEvent::Arrive { conn, to, number, segment } => self.tcp_arrive(conn, to, number, segment),
            TcpEvent::Ack { conn, to } => self.tcp_ack_arrived(conn, to),
            TcpEvent::Retry { conn, from, attempt } => self.tcp_retry(conn, from, attempt),
            TcpEvent::Probe { conn, unanswered } => self.tcp_probe(conn, unanswered),
            TcpEvent::FlushOver { conn, side } => self.tcp_flush_over(conn, side),
        }
    }

    /// A process hands over something to send.
    pub(crate) fn tcp_write(&mut self, no: ConnNo, side: Side, segment: Segment) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.held && matches!(end.state, State::Open | State::Opening) {
            end.out.queue.push_back(segment);
        }
    }

    /// Sends what the window allows.
    pub(crate) fn tcp_pump(&mut self, no: ConnNo, side: Side) {
        let (settings, now) = (self.tcp, self.now());
        loop {
            let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
            end.out.take_acks(now);
            if !matches!(end.state, State::Open | State::Flushing) {
                return;
            }
            let Some(segment) = end.out.take(&settings, &mut self.cuts) else { break };
            let number = end.out.next;
            end.out.next += 1;
            end.out.in_flight += segment.len();
            if let Segment::Data(bytes) = &segment {
                end.out.unreported += bytes.len();
            }
            let last = matches!(segment, Segment::Fin);
            self.tcp_transmit(no, side, number, segment);
            if last && let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) {
                end.state = State::Gone;
            }
        }
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.out.unreported > 0 && !end.out.reporting {
            end.out.reporting = true;
            self.reports.push_back((no, side));
        }
        self.tcp_await_ack(no, side);
        self.tcp_tidy(no);
    }

    /// A process closes its end.
    pub(crate) fn tcp_close(&mut self, no: ConnNo, side: Side, how: Close) {
        let flush = self.tcp.flush;
        let now = self.now();
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.held = false;
        match (end.state, how) {
            (State::Open, Close::Flush) => {
                end.state = State::Flushing;
                end.out.queue.push_back(Segment::Fin);
                self.schedule(now + flush, Happening::Tcp(TcpEvent::FlushOver { conn: no, side }));
                self.tcp_pump(no, side);
            }
            (State::Open, Close::Abort) => self.tcp_reset(no, side),
            (State::Opening, _) => end.state = State::Gone,
            (State::Flushing | State::Gone, _) => {}
        }
        self.tcp_tidy(no);
    }

    /// The kernel ends what a dead process has left.
    pub(crate) fn tcp_orphan(&mut self, no: ConnNo, side: Side, how: Orphan) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.held = false;
        match (end.state, how) {
            (State::Open, Orphan::Fin | Orphan::Flush) => {
                if how == Orphan::Fin {
                    end.out.queue.clear();
                }
                end.state = State::Flushing;
                end.out.queue.push_back(Segment::Fin);
                self.tcp_pump(no, side);
            }
            (State::Open | State::Flushing, Orphan::Rst) => self.tcp_reset(no, side),
            (State::Flushing, Orphan::Fin | Orphan::Flush) => {}
            (_, Orphan::Silence) | (State::Opening | State::Gone, _) => {
                end.state = State::Gone;
                end.out = Pipe::default();
            }
        }
        self.tcp_tidy(no);
    }

    /// Gives the process what the kernel has for it.
    pub(crate) fn tcp_signal(&mut self, host: HostId, signal: Signal) {
        match signal {
            Signal::Asked(command) => self.feed(host, Input::Command(command)),
            Signal::Datagram(datagram) => self.udp_give(host, *datagram),
            Signal::Accepted { conn, service } => self.tcp_give_accepted(host, conn, service),
            Signal::Opened { conn } => self.tcp_give_opened(host, conn),
            Signal::Sent { conn, side, bytes } => self.tcp_give_sent(host, conn, side, bytes),
            Signal::Broken { conn, side, reason } => self.tcp_give_end(host, conn, side, reason),
            Signal::Arrived { conn, side, segment } => self.tcp_give_segment(host, conn, side, segment),
        }
    }

    /// Lets go of everything that a held way kept back.
    pub(crate) fn tcp_release(&mut self, from: HostId, to: HostId) {
        for (no, side) in self.tcp_ends_on(from, to) {
            self.tcp_resend(no, side);
        }
        for (no, side) in self.tcp_ends_on(to, from) {
            self.tcp_return_acks(no, side);
        }
    }

    /// A held way was cut: what it kept back is lost and has to be sent again.
    pub(crate) fn tcp_cut(&mut self, from: HostId, to: HostId) {
        for (no, side) in self.tcp_ends_on(from, to) {
            let end = self.conns.get_mut(no).and_then(|conn| conn.end(side));
            if end.is_some_and(|end| !end.out.stuck.is_empty()) {
                self.tcp_start_retrying(no, side);
            }
        }
    }

    fn tcp_ends_on(&self, from: HostId, to: HostId) -> Vec<(ConnNo, Side)> {
        let mut ends = Vec::new();
        for (no, conn) in self.conns.iter() {
            for side in [Side::Client, Side::Server] {
                if conn.way_from(side) == (from, to) {
                    ends.push((no, side));
                }
            }
        }
        ends
    }
}

/// How the kernel ends the connections of a dead process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphan {
    /// What the process had not sent is lost.
    Fin,
    /// What the process had not sent is sent first.
    Flush,
    Rst,
    Silence,
}

/// The handshake.
impl World {
    fn tcp_syn(&mut self, no: ConnNo, attempt: u32) {
        let Some(conn) = self.conns.get(no) else { return };
        let ((from, to), wire) = (conn.way_from(Side::Client), conn.wire_from(Side::Client));
        let mut arrives = None;
        if self.reaches(from, to) {
            let at = self.links.arrival(self.now(), wire, 0);
            arrives = Some(at);
            self.schedule(at, Happening::Tcp(TcpEvent::Syn { conn: no }));
        }
        self.record_cargo(no, Side::Client, arrives, Cargo::Syn, 0);
        let again = self.now() + SYN_RETRY * 2u32.saturating_pow(attempt.min(16));
        self.schedule(again, Happening::Tcp(TcpEvent::SynRetry { conn: no, attempt: attempt + 1 }));
    }

    fn tcp_syn_retry(&mut self, no: ConnNo, attempt: u32) {
        let Some(conn) = self.conns.get(no) else { return };
        if conn.client.state != State::Opening {
            return;
        }
        if attempt > SYN_ATTEMPTS_MAX {
            self.tcp_break(no, Side::Client, CloseReason::TimedOut);
        } else {
            self.tcp_syn(no, attempt);
        }
    }

    fn tcp_syn_arrived(&mut self, no: ConnNo) {
        let Some(conn) = self.conns.get(no) else { return };
        let (port, to, known) = (conn.port, conn.server_host, conn.server.is_some());
        let http = matches!(conn.client.name, Name::HttpClient(_));
        let host = &self.hosts[to.index()];
        if !host.powered {
            return;
        }
        if known {
            return self.tcp_syn_ack(no);
        }
        let Some(service) = host.listens(port).filter(|service| (*service == Service::Http) == http) else {
            return self.tcp_refuse(no);
        };
        if host.waiting_accepts() >= self.tcp.backlog {
            return;
        }
        let name =
            if http { Name::HttpServer } else { Name::Machine(self.hosts[to.index()].next_accepted()) };
        let life = self.hosts[to.index()].life;
        let (state, out, heard) = (State::Open, Pipe::default(), self.now());
        let server = End { host: to, life, name, state, held: true, out, heard };
        if let Some(conn) = self.conns.get_mut(no) {
            conn.server = Some(server);
        }
        self.tcp_syn_ack(no);
        self.signal(to, life, Signal::Accepted { conn: no, service });
    }

    fn tcp_syn_ack(&mut self, no: ConnNo) {
        let Some(conn) = self.conns.get(no) else { return };
        let ((from, to), wire) = (conn.way_from(Side::Server), conn.wire_from(Side::Server));
        if !self.reaches(from, to) {
            return;
        }
        let at = self.links.arrival(self.now(), wire, 0);
        if let Some(server) = self.conns.get_mut(no).and_then(|conn| conn.end(Side::Server)) {
            server.out.last_arrival = server.out.last_arrival.max(at);
        }
        self.record_cargo(no, Side::Server, Some(at), Cargo::SynAck, 0);
        self.schedule(at, Happening::Tcp(TcpEvent::SynAck { conn: no }));
    }

    fn tcp_refuse(&mut self, no: ConnNo) {
        let Some(conn) = self.conns.get(no) else { return };
        let ((from, to), wire) = (conn.way_from(Side::Server), conn.wire_from(Side::Server));
        if self.reaches(from, to) {
            let at = self.links.arrival(self.now(), wire, 0);
            self.record_cargo(no, Side::Server, Some(at), Cargo::Refused, 0);
            let event = TcpEvent::Refused { conn: no, reason: CloseReason::Refused };
            self.schedule(at, Happening::Tcp(event));
        }
    }

    fn tcp_syn_ack_arrived(&mut self, no: ConnNo) {
        let Some(conn) = self.conns.get_mut(no) else { return };
        match conn.client.state {
            State::Opening => {
                conn.client.state = State::Open;
                let (host, life) = (conn.client.host, conn.client.life);
                self.signal(host, life, Signal::Opened { conn: no });
                self.tcp_pump(no, Side::Client);
                self.tcp_probe_later(no, limits::PROBE_AFTER, 0);
            }
            State::Gone => self.tcp_answer_rst(no, Side::Client),
            State::Open | State::Flushing => {}
        }
    }
}

/// Segments on their way.
impl World {
    fn tcp_transmit(&mut self, no: ConnNo, side: Side, number: u64, segment: Segment) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(no) else { return };
        let wire = conn.wire_from(side);
        let way = self.links.way_of(wire);
        let Some(end) = conn.end(side) else { return };
        if way == Way::Open && end.out.stuck.is_empty() {
            let there = self.links.arrival(now, wire, segment.len()).max(end.out.last_arrival);
            end.out.last_arrival = there;
            self.record_message(no, side, Some(there), &segment);
            let event = TcpEvent::Arrive { conn: no, to: side.other(), number, segment };
            return self.schedule(there, Happening::Tcp(event));
        }
        self.record_message(no, side, None, &segment);
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.out.stuck.insert(number, segment);
        if way == Way::Cut {
            self.tcp_start_retrying(no, side);
        }
    }

    fn tcp_arrive(&mut self, no: ConnNo, to: Side, number: u64, segment: Segment) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(no) else { return };
        let Some(end) = conn.end(to) else { return };
        let (host, life, state) = (end.host, end.life, end.state);
        end.heard = now;
        if !self.hosts[host.index()].powered {
            if !matches!(segment, Segment::Rst) {
                self.tcp_bounce(no, to.other(), number, segment);
            }
            return;
        }
        match (state, segment) {
            (State::Gone, Segment::Rst | Segment::Fin) => self.tcp_acked(no, to.other(), 0),
            (State::Gone, _) => self.tcp_answer_rst(no, to),
            (_, Segment::Rst) => self.tcp_break(no, to, CloseReason::Reset),
            // Closed by its process, which reads no more: what still comes is thrown away.
            (State::Flushing, segment) => self.tcp_ack(no, to, segment.len()),
            (_, segment) => self.signal(host, life, Signal::Arrived { conn: no, side: to, segment }),
        }
    }

    /// What came to a host without power has to be sent again.
    fn tcp_bounce(&mut self, no: ConnNo, from: Side, number: u64, segment: Segment) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(from)) else { return };
        if end.state == State::Gone && !matches!(segment, Segment::Fin) {
            return;
        }
        end.out.stuck.insert(number, segment);
        self.tcp_start_retrying(no, from);
    }

    /// `side` tells the other end that there is no such connection here.
    fn tcp_answer_rst(&mut self, no: ConnNo, side: Side) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(no) else { return };
        let wire = conn.wire_from(side);
        if self.links.way_of(wire) != Way::Open {
            return;
        }
        let Some(end) = conn.end(side) else { return };
        let there = self.links.arrival(now, wire, 0).max(end.out.last_arrival);
        end.out.last_arrival = there;
        let number = end.out.next;
        end.out.next += 1;
        self.record_message(no, side, Some(there), &Segment::Rst);
        let event = TcpEvent::Arrive { conn: no, to: side.other(), number, segment: Segment::Rst };
        self.schedule(there, Happening::Tcp(event));
    }

    fn tcp_reset(&mut self, no: ConnNo, side: Side) {
        self.tcp_answer_rst(no, side);
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.state = State::Gone;
        end.out.queue.clear();
        end.out.stuck.clear();
    }

    /// The process has taken `bytes`: its kernel acknowledges them. An acknowledgement that is on its way is only
    /// noted; it is an event of its own if somebody waits for the room that it makes.
    fn tcp_ack(&mut self, no: ConnNo, receiver: Side, bytes: usize) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(no) else { return };
        let wire = conn.wire_from(receiver);
        let way = self.links.way_of(wire);
        let sender = receiver.other();
        let Some(end) = conn.end(sender) else { return };
        if way == Way::Open {
            let at = self.links.arrival(now, wire, 0);
            end.out.acks.push((at, bytes));
            return self.tcp_await_ack(no, sender);
        }
        end.out.acks_stuck += bytes;
        if way == Way::Cut {
            self.tcp_start_retrying(no, sender);
        }
    }

    /// Sees to it that an end which has more to send than its window lets go hears the next acknowledgement.
    fn tcp_await_ack(&mut self, no: ConnNo, side: Side) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.out.queue.is_empty() {
            return;
        }
        let Some(at) = end.out.acks.iter().map(|(at, _)| *at).min() else { return };
        if end.out.awaited.is_none_or(|awaited| at < awaited) {
            end.out.awaited = Some(at);
            self.schedule(at, Happening::Tcp(TcpEvent::Ack { conn: no, to: side }));
        }
    }

    fn tcp_ack_arrived(&mut self, no: ConnNo, side: Side) {
        let now = self.now();
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.out.awaited == Some(now) {
            end.out.awaited = None;
            self.tcp_acked(no, side, 0);
        }
    }

    fn tcp_acked(&mut self, no: ConnNo, side: Side, bytes: usize) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.out.in_flight = end.out.in_flight.saturating_sub(bytes);
        if !end.out.queue.is_empty() {
            self.tcp_pump(no, side);
        }
        self.tcp_tidy(no);
    }

    pub(crate) fn tcp_report(&mut self, no: ConnNo, side: Side) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        let bytes = core::mem::take(&mut end.out.unreported);
        end.out.reporting = false;
        let (host, life) = (end.host, end.life);
        if bytes > 0 {
            self.signal(host, life, Signal::Sent { conn: no, side, bytes });
        }
    }

    fn tcp_flush_over(&mut self, no: ConnNo, side: Side) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.state == State::Flushing {
            self.tcp_reset(no, side);
            self.tcp_tidy(no);
        }
    }

    /// The kernel of `side` has learned that the connection is no more.
    fn tcp_break(&mut self, no: ConnNo, side: Side, reason: CloseReason) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.state == State::Gone {
            return;
        }
        end.state = State::Gone;
        end.out.queue.clear();
        end.out.stuck.clear();
        let (host, life) = (end.host, end.life);
        if end.held {
            self.signal(host, life, Signal::Broken { conn: no, side, reason });
        }
        self.tcp_tidy(no);
    }

    pub(crate) fn tcp_tidy(&mut self, no: ConnNo) {
        if self.conns.get(no).is_some_and(Conn::over) {
            let conn = self.conns.get(no).expect("looked at above");
            let waiting = |end: &End| !end.out.stuck.is_empty();
            if !waiting(&conn.client) && !conn.server.as_ref().is_some_and(waiting) {
                self.conns.remove(no);
            }
        }
    }
}

/// Retransmission.
impl World {
    fn tcp_start_retrying(&mut self, no: ConnNo, side: Side) {
        let now = self.now();
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.out.retrying_since.is_none() {
            end.out.retrying_since = Some(now);
            let event = TcpEvent::Retry { conn: no, from: side, attempt: 1 };
            self.schedule(now + RETRANSMISSION_MIN, Happening::Tcp(event));
        }
    }

    fn tcp_retry(&mut self, no: ConnNo, side: Side, attempt: u32) {
        let now = self.now();
        let give_up = self.tcp.give_up;
        let Some(conn) = self.conns.get_mut(no) else { return };
        let (from, to) = conn.way_from(side);
        let Some(end) = conn.end(side) else { return };
        let Some(since) = end.out.retrying_since else { return };
        if self.reaches(from, to) {
            self.tcp_resend(no, side);
            if self.links.way(to, from) == Way::Open {
                self.tcp_return_acks(no, side);
            }
        }
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.out.stuck.is_empty() && end.out.acks_stuck == 0 {
            end.out.retrying_since = None;
            return self.tcp_tidy(no);
        }
        if now.since(since) >= give_up {
            end.out.retrying_since = None;
            end.out.stuck.clear();
            self.tcp_break(no, side, CloseReason::TimedOut);
            return self.tcp_tidy(no);
        }
        let wait = (RETRANSMISSION_MIN * 2u32.saturating_pow(attempt.min(16))).min(RETRANSMISSION_MAX);
        let event = TcpEvent::Retry { conn: no, from: side, attempt: attempt + 1 };
        self.schedule(now + wait, Happening::Tcp(event));
    }

    fn tcp_resend(&mut self, no: ConnNo, side: Side) {
        let Some(conn) = self.conns.get_mut(no) else { return };
        let (from, to) = conn.way_from(side);
        if !self.reaches(from, to) {
            return;
        }
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        for (number, segment) in core::mem::take(&mut end.out.stuck) {
            self.tcp_transmit(no, side, number, segment);
        }
        self.tcp_tidy(no);
    }

    fn tcp_return_acks(&mut self, no: ConnNo, side: Side) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        let bytes = core::mem::take(&mut end.out.acks_stuck);
        if bytes > 0 {
            self.tcp_acked(no, side, bytes);
        }
    }
}

/// Keepalive, of what a machine has opened: while nothing is on its way, the kernel asks the other one now and then.
impl World {
    fn tcp_probe_later(&mut self, no: ConnNo, pause: Duration, unanswered: u32) {
        let is_machine = self.conns.get(no).is_some_and(|conn| matches!(conn.client.name, Name::Machine(_)));
        if self.tcp.probes && is_machine {
            let event = TcpEvent::Probe { conn: no, unanswered };
            self.schedule(self.now() + pause, Happening::Tcp(event));
        }
    }

    fn tcp_probe(&mut self, no: ConnNo, unanswered: u32) {
        let now = self.now();
        let Some(conn) = self.conns.get(no).filter(|conn| conn.client.state == State::Open) else { return };
        let ((from, to), out) = (conn.way_from(Side::Client), &conn.client.out);
        let silent = now.since(conn.client.heard);
        let is_gone = conn.server.as_ref().is_none_or(|end| end.state == State::Gone);
        // What is on its way is sent again until it is answered.
        if !out.queue.is_empty() || out.unacknowledged(now) > 0 {
            self.tcp_probe_later(no, limits::PROBE_AFTER, 0);
        } else if silent < if unanswered == 0 { limits::PROBE_AFTER } else { limits::PROBE_EVERY } {
            self.tcp_probe_later(no, limits::PROBE_AFTER - silent, 0);
        } else if unanswered == limits::PROBES_MAX {
            self.tcp_break(no, Side::Client, CloseReason::TimedOut);
        } else if !self.reaches(from, to) || self.links.way(to, from) != Way::Open {
            self.tcp_probe_later(no, limits::PROBE_EVERY, unanswered + 1);
        } else if is_gone {
            self.tcp_answer_rst(no, Side::Server);
        } else {
            self.tcp_probe_later(no, limits::PROBE_AFTER, 0);
        }
    }
}

/// For the recording, if there is one.
impl World {
    fn record_message(&mut self, no: ConnNo, side: Side, arrived: Option<Time>, segment: &Segment) {
        if self.recording.is_some() {
            self.record_cargo(no, side, arrived, Cargo::of(segment), segment.len());
        }
    }

    /// `cargo` leaves `side` now; `arrived` is when it will be there, none if it gets stuck.
    fn record_cargo(&mut self, no: ConnNo, side: Side, arrived: Option<Time>, cargo: Cargo, bytes: usize) {
        let Some(recording) = &mut self.recording else { return };
        let sent = self.now;
        let Some(conn) = self.conns.get(no) else { return };
        let (from, to) = conn.way_from(side);
        let bytes = bytes as u64;
        let flow = Flow::Connection(no, side);
        recording.message(Message { sent, last_sent: sent, arrived, from, to, flow, cargo, bytes, count: 1 });
    }
}

/// What the process hears.
impl World {
    fn tcp_give_accepted(&mut self, host: HostId, no: ConnNo, service: Service) {
        let Some(conn) = self.conns.get(no) else { return };
        let peer = self.hosts[conn.client.host.index()].socket(no);
        let Some(Name::Machine(id)) = conn.server.as_ref().map(|end| end.name.clone()) else { return };
        self.hosts[host.index()].conns.insert(id, (no, Side::Server));
        self.note(host, What::Accepted(id, service));
        self.feed(host, Input::Accepted { conn: id, service, peer });
    }

    fn tcp_give_opened(&mut self, host: HostId, no: ConnNo) {
        let Some(conn) = self.conns.get(no) else { return };
        if let (Name::Machine(id), true) = (&conn.client.name, conn.client.held) {
            let id = *id;
            self.note(host, What::Opened(id));
            self.feed(host, Input::Opened { conn: id });
        }
    }

    fn tcp_give_sent(&mut self, host: HostId, no: ConnNo, side: Side, bytes: usize) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if let (Name::Machine(id), true) = (&end.name, end.held) {
            let id = *id;
            self.note(host, What::Sent(id, bytes));
            self.feed(host, Input::Sent { conn: id, bytes });
        }
    }

    fn tcp_give_segment(&mut self, host: HostId, no: ConnNo, side: Side, segment: Segment) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if !end.held {
            return;
        }
        let name = end.name.clone();
        if !matches!(segment, Segment::Fin) {
            self.tcp_ack(no, side, segment.len());
        }
        match segment {
            Segment::Data(bytes) => {
                let Name::Machine(id) = name else { return };
                self.note(host, What::Received(id, bytes.len(), Hash64::of(&bytes)));
                self.feed(host, Input::Received { conn: id, bytes });
            }
            Segment::Fin => self.tcp_give_end(host, no, side, CloseReason::Eof),
            Segment::Request { id, request } => self.http_requested(host, id, *request),
            Segment::Cancel { id } => self.http_cancelled(host, id),
            Segment::Head { id, status, headers } => self.http_head(id, status, *headers),
            Segment::Body { id, body } => self.http_body(id, body),
            Segment::Rst => unreachable!("the kernel keeps resets to itself"),
        }
    }

    /// The process hears the end of a connection and, as a driver does, lets go of it.
    fn tcp_give_end(&mut self, host: HostId, no: ConnNo, side: Side, reason: CloseReason) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if !end.held {
            return;
        }
        end.held = false;
        let name = end.name.clone();
        if end.state == State::Open {
            let lost = !end.out.queue.is_empty();
            self.tcp_orphan(no, side, if lost { Orphan::Rst } else { Orphan::Fin });
        }
        match name {
            Name::Machine(id) => {
                self.hosts[host.index()].conns.remove(&id);
                self.note(host, What::Closed(id, reason));
                self.feed(host, Input::Closed { conn: id, reason });
            }
            Name::HttpServer => self.http_server_lost(host, no),
            Name::HttpClient(to) => self.http_client_lost(host, no, &to, reason),
        }
        self.tcp_tidy(no);
    }
}

impl Pipe {
    /// Counts the acknowledgements that are here.
    fn take_acks(&mut self, now: Time) {
        let mut acked = 0;
        self.acks.retain(|(at, bytes)| {
            let is_here = *at <= now;
            acked += if is_here { *bytes } else { 0 };
            !is_here
        });
        self.in_flight = self.in_flight.saturating_sub(acked);
    }

    /// Bytes that left and are not acknowledged.
    fn unacknowledged(&self, now: Time) -> usize {
        let here = self.acks.iter().filter(|(at, _)| *at <= now).map(|(_, bytes)| bytes);
        self.in_flight.saturating_sub(here.sum())
    }

    /// The next segment that the window lets go, cut and joined as chance will have it.
    fn take(&mut self, settings: &Tcp, rng: &mut Rng) -> Option<Segment> {
        let room = settings.window.saturating_sub(self.in_flight);
        let whole = match self.queue.front()? {
            Segment::Data(bytes) => bytes.len(),
            Segment::Fin | Segment::Rst => return self.queue.pop_front(),
            _ if room == 0 => return None,
            _ => return self.queue.pop_front(),
        };
        if room == 0 {
            return None;
        }
        let dice = if settings.recut { rng.below(4) } else { 3 };
        let Some(Segment::Data(front)) = self.queue.front_mut() else { return None };
        let cut = if dice == 0 { 1 + rng.below(whole as u64) as usize } else { whole };
        let len = cut.min(room);
        let first = front.split_to(len);
        if front.is_empty() {
            self.queue.pop_front();
        }
        if dice == 1 && len == whole {
            return Some(Segment::Data(self.join(first, room - len)));
        }
        Some(Segment::Data(first))
    }

    /// `first` with the next data that fits behind it.
    fn join(&mut self, first: Bytes, room: usize) -> Bytes {
        let fits =
            matches!(self.queue.front(), Some(Segment::Data(next)) if next.len() <= room.min(JOIN_MAX));
        if !fits {
            return first;
        }
        let Some(Segment::Data(next)) = self.queue.pop_front() else { return first };
        let mut both = BytesMut::from(first);
        both.extend_from_slice(&next);
        both.freeze()
    }
}

/// How long it takes to learn that a name is unknown.
const LOOKUP: Duration = Duration::from_millis(1);
/// The first SYN is repeated after this long, then after twice as long (Linux).
const SYN_RETRY: Duration = Duration::from_secs(1);
/// Then the connection attempt has timed out (Linux: tcp_syn_retries 6, about 127 s).
const SYN_ATTEMPTS_MAX: u32 = 6;
/// The longest wait between retransmissions (Linux: TCP_RTO_MAX).
const RETRANSMISSION_MAX: Duration = Duration::from_secs(120);
/// Longer writes are not joined to others: it would only cost copying.
const JOIN_MAX: usize = 16 * 1024;
