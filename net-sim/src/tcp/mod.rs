//! Streams between hosts as a driver sees them: bytes in order and cut anywhere, a bounded window, handshakes,
//! resets, what is lost and comes later, and what retransmission does when a wire is cut for a while.
//!
//! What is modelled after Linux: a killed process answers with FIN or RST, a host without power answers nothing, a
//! segment for a connection that is gone is answered with RST, the kernel of a stopped process still shakes hands and
//! acknowledges until its buffers are full. What was lost is found and sent again as Linux does it, and the congestion
//! window is Reno's ([`sender`]). A segment here is what was written, of one or more packets. Resets are not lost
//! on their way, acknowledgements are never delayed, and jitter overtakes nothing, so that nothing is sent again in vain
//! for it.
//!
//! HTTP messages travel in these streams as segments of their own kind, see `http`.

mod handshake;
mod pipe;
mod probe;
mod process;
mod rtt;
mod sender;
mod transit;

use core::time::Duration;

use bytes::Bytes;
use headwater_core::io::{Body, Close, CloseReason, Command, ConnId, Endpoint, RequestId, Service};
use headwater_core::time::Time;

use self::pipe::{Inbox, Pipe};
use crate::net::WireNo;
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
    inbox: Inbox,
    /// When the kernel last had something from the other end.
    heard: Time,
}

impl End {
    fn new(host: HostId, life: u64, name: Name, state: State, out: Pipe, now: Time) -> End {
        End { host, life, name, state, held: true, out, inbox: Inbox::default(), heard: now }
    }
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
    /// When the client asked for it, if it did so once.
    asked: Option<Time>,
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
    /// Both ends of it with their hosts, unless they are gone.
    pub(crate) fn seen(&self, now: Time) -> impl Iterator<Item = (HostId, Connection)> {
        let client = (&self.client, self.server_host, true);
        let server = self.server.as_ref().map(|end| (end, self.client.host, false));
        let is_there = |(end, ..): &(&End, HostId, bool)| end.held || end.state != State::Gone;
        [client].into_iter().chain(server).filter(is_there).map(move |(end, peer, opened)| {
            let seen = Connection {
                peer,
                port: self.port,
                opened,
                http: !matches!(end.name, Name::Machine(_)),
                held: end.held,
                queued: end.out.queue.iter().map(Segment::len).sum(),
                in_flight: end.out.unacknowledged(now),
            };
            (end.host, seen)
        })
    }

    /// Whether one of its ends is, or was, on `host`.
    pub(crate) fn touches(&self, host: HostId) -> bool {
        self.client.host == host || self.server.as_ref().is_some_and(|end| end.host == host)
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

impl Signal {
    /// The end of a stream from which the process reads with it, if it reads.
    pub(crate) fn stream(&self) -> Option<(ConnNo, Side)> {
        match self {
            Signal::Arrived { conn, side, .. } => Some((*conn, *side)),
            _ => None,
        }
    }
}

/// What happens to streams at a moment.
#[derive(Debug)]
pub(crate) enum TcpEvent {
    Syn {
        conn: ConnNo,
    },
    SynAck {
        conn: ConnNo,
    },
    SynRetry {
        conn: ConnNo,
        attempt: u32,
    },
    Refused {
        conn: ConnNo,
        reason: CloseReason,
    },
    /// A segment, or none if it is one that has been there before.
    Arrive {
        conn: ConnNo,
        to: Side,
        number: u64,
        segment: Option<Segment>,
    },
    Ack {
        conn: ConnNo,
        to: Side,
    },
    Retry {
        conn: ConnNo,
        from: Side,
    },
    Probe {
        conn: ConnNo,
        unanswered: u32,
    },
    FlushOver {
        conn: ConnNo,
        side: Side,
    },
}

impl World {
    /// A process opens a connection. `name` is how it will hear of it.
    pub(crate) fn tcp_open(&mut self, host: HostId, name: Name, to: &Endpoint) -> ConnNo {
        let target = self.resolve(&to.host);
        let server_host = target.unwrap_or(host);
        let wires = [self.links.wire(host, server_host), self.links.wire(server_host, host)];
        let (life, out) = (self.hosts[host.index()].life, Pipe::new(self.links.mss(wires[0])));
        let client = End::new(host, life, name, State::Opening, out, self.now());
        let no =
            self.conns.add(Conn { port: to.port, client, server: None, server_host, wires, asked: None });
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
            TcpEvent::Retry { conn, from } => self.tcp_retry(conn, from),
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

    /// Hears what was acknowledged, and sends what the windows allow: what is lost, and what is new.
    pub(crate) fn tcp_pump(&mut self, no: ConnNo, side: Side) {
        let (settings, now) = (self.tcp, self.now());
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.out.take_acks(now);
        self.tcp_send_lost(no, side);
        loop {
            let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
            if !matches!(end.state, State::Open | State::Flushing) {
                break;
            }
            let Some(segment) = end.out.take(now, &settings, &mut self.cuts) else { break };
            let number = end.out.next;
            end.out.next += 1;
            end.out.left += segment.len() as u64;
            end.out.sender.send(now, number, segment.len());
            if let Segment::Data(bytes) = &segment {
                end.out.unreported += bytes.len();
            }
            if matches!(segment, Segment::Fin) {
                end.state = State::Gone;
            }
            let packets = end.out.sender.packets(segment.len());
            self.tcp_transmit(no, side, number, Some((segment, packets)));
        }
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.out.unreported > 0 && !end.out.reporting {
            end.out.reporting = true;
            self.reports.push_back((no, side));
        }
        self.tcp_await_ack(no, side);
        self.tcp_await_timer(no, side);
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
                end.out.forget();
            }
        }
        self.tcp_tidy(no);
    }

    /// Lets go of everything that a held way kept back.
    pub(crate) fn tcp_release(&mut self, from: HostId, to: HostId) {
        for (no, side) in self.tcp_ends_on(from, to) {
            self.tcp_send_stranded(no, side);
            self.tcp_ack(no, side, None);
        }
    }

    /// A held way was cut: what it kept back is lost and has to be sent again.
    pub(crate) fn tcp_cut(&mut self, from: HostId, to: HostId) {
        for (no, side) in self.tcp_ends_on(from, to) {
            self.tcp_await_timer(no, side);
            self.tcp_await_timer(no, side.other());
        }
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
        end.out.forget();
        let (host, life) = (end.host, end.life);
        if end.held {
            self.signal(host, life, Signal::Broken { conn: no, side, reason });
        }
        self.tcp_tidy(no);
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

    pub(crate) fn tcp_tidy(&mut self, no: ConnNo) {
        if self.conns.get(no).is_some_and(Conn::over) {
            self.conns.remove(no);
        }
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

/// How long it takes to learn that a name is unknown.
const LOOKUP: Duration = Duration::from_millis(1);
