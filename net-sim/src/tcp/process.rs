//! What a process hears of its connections.

use headwater_core::io::{CloseReason, Input, Service};

use super::{ConnNo, Name, Orphan, Segment, Side, Signal, State};
use crate::trace::{Hash64, What};
use crate::world::{HostId, World};

impl World {
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
        end.inbox.read += segment.len() as u64;
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
