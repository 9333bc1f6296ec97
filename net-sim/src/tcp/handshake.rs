//! How connections begin.

use core::time::Duration;

use headwater_core::io::{CloseReason, Service};
use headwater_core::limits;
use headwater_core::time::Time;

use super::{Conn, ConnNo, End, Name, Pipe, Side, Signal, State, TcpEvent};
use crate::recording::Cargo;
use crate::world::{Happening, World};

impl World {
    pub(super) fn tcp_syn(&mut self, no: ConnNo, attempt: u32) {
        let Some(conn) = self.conns.get(no) else { return };
        let ((from, to), wire) = (conn.way_from(Side::Client), conn.wire_from(Side::Client));
        let (now, mut arrives) = (self.now(), None);
        if self.reaches(from, to) && self.links.losses(wire, 1) == 0 {
            let at = self.links.arrival(self.now(), wire, 0);
            arrives = Some(at);
            self.schedule(at, Happening::Tcp(TcpEvent::Syn { conn: no }));
        }
        self.record_cargo(no, Side::Client, arrives, Cargo::Syn, 0);
        if let Some(conn) = self.conns.get_mut(no) {
            conn.asked = if attempt == 0 { Some(now) } else { None };
        }
        let again = self.now() + SYN_RETRY * 2u32.saturating_pow(attempt.min(16));
        self.schedule(again, Happening::Tcp(TcpEvent::SynRetry { conn: no, attempt: attempt + 1 }));
    }

    pub(super) fn tcp_syn_retry(&mut self, no: ConnNo, attempt: u32) {
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

    pub(super) fn tcp_syn_arrived(&mut self, no: ConnNo) {
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
        let out = Pipe::new(self.links.mss(conn.wire_from(Side::Server)));
        let server = End::new(to, life, name, State::Open, out, self.now());
        if let Some(conn) = self.conns.get_mut(no) {
            conn.server = Some(server);
        }
        self.tcp_syn_ack(no);
        self.signal(to, life, Signal::Accepted { conn: no, service });
    }

    fn tcp_syn_ack(&mut self, no: ConnNo) {
        let Some(conn) = self.conns.get(no) else { return };
        let ((from, to), wire) = (conn.way_from(Side::Server), conn.wire_from(Side::Server));
        if !self.reaches(from, to) || self.links.losses(wire, 1) > 0 {
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
        if self.reaches(from, to) && self.links.losses(wire, 1) == 0 {
            let at = self.links.arrival(self.now(), wire, 0);
            self.record_cargo(no, Side::Server, Some(at), Cargo::Refused, 0);
            let event = TcpEvent::Refused { conn: no, reason: CloseReason::Refused };
            self.schedule(at, Happening::Tcp(event));
        }
    }

    pub(super) fn tcp_syn_ack_arrived(&mut self, no: ConnNo) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(no) else { return };
        match conn.client.state {
            State::Opening => {
                conn.client.state = State::Open;
                conn.measure_handshake(now);
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

impl Conn {
    /// The first round trip. Of a SYN that was repeated nobody knows which one was answered.
    fn measure_handshake(&mut self, now: Time) {
        let Some(asked) = self.asked else { return };
        self.client.out.sender.rtt.sample(now.since(asked));
        if let Some(server) = &mut self.server {
            server.out.sender.rtt.sample(now.since(asked));
        }
    }
}

/// The first SYN is repeated after this long, then after twice as long (Linux).
const SYN_RETRY: Duration = Duration::from_secs(1);
/// Then the connection attempt has timed out (Linux: tcp_syn_retries 6, about 127 s).
const SYN_ATTEMPTS_MAX: u32 = 6;
