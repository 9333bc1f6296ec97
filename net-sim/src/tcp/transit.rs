//! Segments on their way: what arrives, what does not, and what is sent again.

use headwater_core::io::CloseReason;
use headwater_core::time::Time;

use super::pipe::Ack;
use super::sender::{Alarm, Stranded};
use super::{ConnNo, Segment, Side, Signal, State, TcpEvent};
use crate::net::Way;
use crate::recording::{Cargo, Flow, Message};
use crate::world::{Happening, World};

impl World {
    /// A segment leaves, and so many packets of it; none if all of it has been there before.
    pub(super) fn tcp_transmit(&mut self, no: ConnNo, side: Side, number: u64, what: Option<(Segment, u32)>) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(no) else { return };
        let wire = conn.wire_from(side);
        let (len, packets) = what.as_ref().map_or((0, 1), |(segment, packets)| (segment.len(), *packets));
        let way = self.links.way_of(wire);
        let lost = if way == Way::Open { self.links.losses(wire, packets) } else { packets };
        let arrives = (lost == 0).then(|| self.links.arrival(now, wire, len));
        let Some(end) = conn.end(side) else { return };
        let arrives = arrives.map(|at| at.max(end.out.last_arrival));
        end.out.last_arrival = arrives.unwrap_or(end.out.last_arrival);
        if let Some((segment, _)) = &what {
            self.record_message(no, side, arrives, segment);
        }
        let segment = what.map(|(segment, _)| segment);
        if let Some(at) = arrives {
            let event = TcpEvent::Arrive { conn: no, to: side.other(), number, segment };
            self.schedule(at, Happening::Tcp(event));
        } else if let Some(segment) = segment {
            self.tcp_strand(no, side, number, Stranded { segment, packets: lost });
        }
    }

    /// A segment did not arrive as a whole.
    fn tcp_strand(&mut self, no: ConnNo, side: Side, number: u64, stranded: Stranded) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.out.sender.strand(number, stranded);
        self.tcp_await_ack(no, side);
        self.tcp_await_timer(no, side);
    }

    pub(super) fn tcp_arrive(&mut self, no: ConnNo, to: Side, number: u64, segment: Option<Segment>) {
        let now = self.now();
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(to)) else { return };
        let (host, life, state) = (end.host, end.life, end.state);
        end.heard = now;
        if !self.hosts[host.index()].powered {
            // What came to a host without power has to be sent again.
            if let Some(segment) = segment.filter(|segment| !matches!(segment, Segment::Rst)) {
                let packets = end.out.sender.packets(segment.len());
                self.tcp_strand(no, to.other(), number, Stranded { segment, packets });
            }
            return;
        }
        match (state, segment) {
            (_, Some(Segment::Rst)) => return self.tcp_break(no, to, CloseReason::Reset),
            (State::Gone, Some(Segment::Fin) | None) => end.inbox.next = end.inbox.next.max(number + 1),
            (State::Gone, Some(_)) => return self.tcp_answer_rst(no, to),
            (_, Some(segment)) => drop(end.inbox.early.insert(number, segment)),
            (_, None) => {}
        }
        while let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(to)) {
            let Some(segment) = end.inbox.early.remove(&end.inbox.next) else { break };
            end.inbox.next += 1;
            if end.state == State::Flushing {
                // Closed by its process, which reads no more: what still comes is thrown away.
                end.inbox.read += segment.len() as u64;
            } else {
                self.signal(host, life, Signal::Arrived { conn: no, side: to, segment });
            }
        }
        self.tcp_ack(no, to, Some(number));
    }

    /// `side` tells the other end that there is no such connection here.
    pub(super) fn tcp_answer_rst(&mut self, no: ConnNo, side: Side) {
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
        self.record_message(no, side, Some(there), &Segment::Rst);
        let event = TcpEvent::Arrive { conn: no, to: side.other(), number, segment: Some(Segment::Rst) };
        self.schedule(there, Happening::Tcp(event));
    }

    pub(super) fn tcp_reset(&mut self, no: ConnNo, side: Side) {
        self.tcp_answer_rst(no, side);
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.state = State::Gone;
        end.out.forget();
    }

    /// The kernel of `receiver` says what it has, after segment `number` has come or its process has read. That is only
    /// noted; it is an event of its own if it makes a difference when it comes.
    pub(crate) fn tcp_ack(&mut self, no: ConnNo, receiver: Side, number: Option<u64>) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(no) else { return };
        let wire = conn.wire_from(receiver);
        let Some((next, read)) = conn.end(receiver).map(|end| (end.inbox.next, end.inbox.read)) else {
            return;
        };
        let sender = receiver.other();
        let is_there = self.links.way_of(wire) == Way::Open && self.links.losses(wire, 1) == 0;
        let at = is_there.then(|| self.links.arrival(now, wire, 0));
        let Some(end) = conn.end(sender) else { return };
        if let Some(at) = at {
            end.out.expect_ack(Ack { at, next, number, read });
            self.tcp_await_ack(no, sender);
        } else {
            end.out.is_ack_lost = true;
            self.tcp_await_timer(no, sender);
        }
    }

    /// Sees to it that the next acknowledgement is heard when it comes, if that matters.
    pub(super) fn tcp_await_ack(&mut self, no: ConnNo, side: Side) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        let Some(at) = end.out.next_ack() else { return };
        if end.out.awaited.is_none_or(|awaited| at < awaited) {
            end.out.awaited = Some(at);
            self.schedule(at, Happening::Tcp(TcpEvent::Ack { conn: no, to: side }));
        }
    }

    pub(super) fn tcp_ack_arrived(&mut self, no: ConnNo, side: Side) {
        let now = self.now();
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.out.awaited == Some(now) {
            end.out.awaited = None;
            self.tcp_pump(no, side);
        }
    }
}

/// Retransmission.
impl World {
    /// Sends again what is lost, as far as the window allows.
    pub(super) fn tcp_send_lost(&mut self, no: ConnNo, side: Side) {
        while let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) {
            let Some(number) = end.out.sender.lost() else { break };
            self.tcp_send_again(no, side, number);
        }
    }

    /// Sends again what was kept back.
    pub(super) fn tcp_send_stranded(&mut self, no: ConnNo, side: Side) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        for number in end.out.sender.stranded() {
            self.tcp_send_again(no, side, number);
        }
    }

    fn tcp_send_again(&mut self, no: ConnNo, side: Side, number: u64) {
        let now = self.now();
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        let stranded = end.out.sender.send_again(now, number);
        self.tcp_transmit(no, side, number, stranded.map(|it| (it.segment, it.packets)));
    }

    /// Sees to it that the retransmission timer is looked at, if it can be of use: it is not while all that has left is
    /// on its way, or kept back.
    pub(super) fn tcp_await_timer(&mut self, no: ConnNo, side: Side) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(no) else { return };
        let is_held =
            [side, side.other()].map(|side| self.links.way_of(conn.wire_from(side))).contains(&Way::Held);
        let Some(end) = conn.end(side).filter(|end| !is_held && end.out.needs_timer(now)) else { return };
        let at = end.out.sender.due().max(now);
        if end.out.timer.is_none_or(|timer| at < timer) {
            end.out.timer = Some(at);
            self.schedule(at, Happening::Tcp(TcpEvent::Retry { conn: no, from: side }));
        }
    }

    /// The retransmission timer may be due.
    pub(super) fn tcp_retry(&mut self, no: ConnNo, side: Side) {
        let (now, give_up) = (self.now(), self.tcp.give_up);
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        if end.out.timer != Some(now) {
            return;
        }
        end.out.timer = None;
        end.out.take_acks(now);
        if end.out.needs_timer(now) && end.out.sender.due() <= now {
            let next = end.out.next;
            match end.out.sender.alarm(now, next, give_up) {
                Alarm::Recover => {}
                Alarm::Probe(number) => self.tcp_send_again(no, side, number),
                Alarm::AskForRoom => self.tcp_transmit(no, side, next, None),
                Alarm::GiveUp => return self.tcp_give_up(no, side),
            }
        }
        self.tcp_pump(no, side);
    }

    fn tcp_give_up(&mut self, no: ConnNo, side: Side) {
        let Some(end) = self.conns.get_mut(no).and_then(|conn| conn.end(side)) else { return };
        end.out.forget();
        self.tcp_break(no, side, CloseReason::TimedOut);
        self.tcp_tidy(no);
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
    pub(super) fn record_cargo(
        &mut self,
        no: ConnNo,
        side: Side,
        arrived: Option<Time>,
        cargo: Cargo,
        bytes: usize,
    ) {
        let Some(recording) = &mut self.recording else { return };
        let sent = self.now;
        let Some(conn) = self.conns.get(no) else { return };
        let (from, to) = conn.way_from(side);
        let bytes = bytes as u64;
        let flow = Flow::Connection(no, side);
        recording.message(Message { sent, last_sent: sent, arrived, from, to, flow, cargo, bytes, count: 1 });
    }
}
