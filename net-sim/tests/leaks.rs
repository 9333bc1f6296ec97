//! The checkers of queues and leaks against machines that do it wrong.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::census::Census;
use headwater_core::io::{Close, ConnId, Endpoint, Input, Machine, Output, RequestId, Service};
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_sim::check::{NothingLeaks, QueuesBounded};
use headwater_net_sim::{Boot, Checks, HostId, World, ms, secs};

/// What a machine does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It closes no connection.
    NeverCloses,
    /// It forgets nothing that it has seen.
    NeverForgets,
    /// It answers no request.
    NeverAnswers,
    /// It writes whether or not the peer reads.
    QueuesWithoutEnd,
    /// It keeps every stream that it was ever asked for.
    KeepsStreams,
}

/// Accepts connections and sends on each a megabyte per tick, for so long as the peer reads and for ten seconds at
/// most. Answers every request at once.
struct Sender {
    fault: Fault,
    conns: Vec<(ConnId, usize)>,
    seen: usize,
    end: Time,
    next: Time,
    out: VecDeque<Output>,
}

const TICK: Duration = ms(100);
const CHUNK: usize = 1 << 20;
const QUEUED_MAX: usize = 3 * CHUNK;

fn sender(fault: Fault) -> Boot {
    Boot::new(move |_, now: Now| {
        let (end, next) = (now.mono + secs(10), now.mono + TICK);
        Box::new(Sender { fault, conns: Vec::new(), seen: 0, end, next, out: VecDeque::new() })
    })
    .listen(9000, Service::Ovt)
    .listen(80, Service::Http)
}

impl Machine for Sender {
    fn handle(&mut self, _now: Now, input: Input) {
        match input {
            Input::Accepted { conn, .. } => {
                self.seen += 1;
                self.conns.push((conn, 0));
            }
            Input::Closed { conn, .. } => self.conns.retain(|(known, _)| *known != conn),
            Input::Sent { conn, bytes } => {
                self.conns
                    .iter_mut()
                    .filter(|(known, _)| *known == conn)
                    .for_each(|(_, sent)| *sent -= bytes);
            }
            Input::Request { id, .. } => {
                self.seen += 1;
                self.answer(id);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.next = now.mono + TICK;
        let is_over = now.mono >= self.end;
        for (conn, queued) in &mut self.conns {
            let has_room = *queued < QUEUED_MAX || self.fault == Fault::QueuesWithoutEnd;
            if !is_over && has_room {
                *queued += CHUNK;
                self.out.push_back(Output::Write { conn: *conn, bytes: Bytes::from_static(&[0; CHUNK]) });
            }
            if is_over && self.fault != Fault::NeverCloses {
                self.out.push_back(Output::Close { conn: *conn, how: Close::Abort });
            }
        }
        if is_over && self.fault != Fault::NeverCloses {
            self.conns.clear();
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        (!self.conns.is_empty()).then_some(Deadline { at: self.next, why: "the next chunk" })
    }

    fn census(&self) -> Census {
        let forgotten = if self.fault == Fault::NeverForgets { self.seen } else { 0 };
        let streams = if self.fault == Fault::KeepsStreams { 30_000 * self.seen } else { 0 };
        Census { waiting_requests: forgotten, streams, ..Census::default() }
    }
}

impl Sender {
    fn answer(&mut self, id: RequestId) {
        if self.fault != Fault::NeverAnswers {
            let response = http::Response::new(headwater_core::io::Body::default());
            self.out.push_back(Output::Respond { id, response });
        }
    }
}

/// Opens one connection and reads what comes.
struct Reader(Option<Output>);

impl Machine for Reader {
    fn handle(&mut self, _now: Now, _input: Input) {}

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_output(&mut self) -> Option<Output> {
        self.0.take()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

/// A sender, a reader that stops to read after a second and goes on when the sender is done, and a question.
fn world(fault: Fault) -> (World, HostId, HostId) {
    let mut world = World::new(7);
    let sender = world.host("sender", sender(fault));
    let to = Endpoint { host: "sender".to_owned(), port: 9000 };
    let reader = world.host(
        "reader",
        Boot::new(move |_, _| Box::new(Reader(Some(Output::Open { conn: ConnId(2), to: to.clone() })))),
    );
    let prober = world.prober("prober");
    world.run_for(secs(1));
    world.get(prober, "http://sender/");
    world.pause(reader);
    (world, sender, reader)
}

/// What the two checkers say: the queues while the reader stands still, the leaks when all is quiet.
fn verdict(fault: Fault) -> (Option<String>, Option<String>) {
    let (mut world, _, reader) = world(fault);
    world.run_for(secs(8));
    let mut queues = Checks::none().with(QueuesBounded { history_bytes: QUEUED_MAX });
    let queues = queues.verify(&world).err().map(|violation| violation.what);
    world.resume(reader);
    world.run_for(secs(60));
    let leaks = Checks::none().with(NothingLeaks).verify(&world).err().map(|violation| violation.what);
    (queues, leaks)
}

#[test]
fn a_machine_that_keeps_its_bounds_and_forgets_is_not_suspected() {
    assert_eq!(verdict(Fault::None), (None, None));
}

#[test]
fn a_connection_that_is_never_closed_is_found() {
    let (queues, leaks) = verdict(Fault::NeverCloses);
    assert_eq!(queues, None);
    assert_eq!(leaks.unwrap(), "a connection from reader (port 9000) is still open");
}

#[test]
fn what_is_never_forgotten_is_found() {
    let (queues, leaks) = verdict(Fault::NeverForgets);
    assert_eq!(queues.unwrap(), "it holds 2 waiting requests that nobody made; the bound is 0");
    assert_eq!(leaks.unwrap(), "it still holds 2 waiting requests");
}

#[test]
fn a_request_that_is_never_answered_is_found() {
    let (queues, leaks) = verdict(Fault::NeverAnswers);
    assert_eq!(queues, None);
    assert_eq!(leaks.unwrap(), "1 requests were never answered");
}

#[test]
fn a_queue_without_end_is_found_while_it_grows() {
    let (queues, leaks) = verdict(Fault::QueuesWithoutEnd);
    assert!(queues.unwrap().contains("bytes are queued for reader; the bound is"));
    assert_eq!(leaks, None);
}

#[test]
fn what_is_kept_beyond_a_limit_is_found() {
    let (queues, leaks) = verdict(Fault::KeepsStreams);
    assert_eq!(queues.unwrap(), "it holds 60000 streams; the bound is 20000");
    assert!(leaks.is_some());
}

#[test]
fn connections_and_what_was_not_sent_can_be_seen() {
    let (mut world, sender, reader) = world(Fault::None);
    world.run_for(secs(5));
    let seen: Vec<_> = world.connections_of(sender).filter(|connection| !connection.http).collect();
    let [connection] = seen[..] else { panic!("{seen:?}") };
    assert_eq!((connection.peer, connection.port, connection.opened), (reader, 9000, false));
    let unsent = connection.queued + connection.in_flight;
    assert!(connection.queued >= QUEUED_MAX - CHUNK && connection.in_flight > 0, "{connection:?}");
    assert_eq!((world.unsent(sender).most, world.unsent(sender).sum), (unsent, unsent));
    let opened: Vec<bool> = world.connections_of(reader).map(|connection| connection.opened).collect();
    assert_eq!(opened, [true]);
}
