//! Keepalive, of what a machine has opened: while nothing is on its way, the kernel asks the other one now and then.

use core::time::Duration;

use headwater_core::io::CloseReason;
use headwater_core::limits;

use super::{ConnNo, Name, Side, State, TcpEvent};
use crate::net::Way;
use crate::world::{Happening, World};

impl World {
    pub(super) fn tcp_probe_later(&mut self, no: ConnNo, pause: Duration, unanswered: u32) {
        let is_machine = self.conns.get(no).is_some_and(|conn| matches!(conn.client.name, Name::Machine(_)));
        if self.tcp.probes && is_machine {
            let event = TcpEvent::Probe { conn: no, unanswered };
            self.schedule(self.now() + pause, Happening::Tcp(event));
        }
    }

    pub(super) fn tcp_probe(&mut self, no: ConnNo, unanswered: u32) {
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
