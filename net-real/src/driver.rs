//! The event loop: one task owns the machine, tells it what happened and does what it says.
//!
//! ```text
//!  a reader per connection ─┐                              ┌─ sockets (written here, once per turn)
//!  a dialler per attempt ───┼─ one bounded queue ─► machine ┼─ answers, one channel per request
//!  a task per HTTP client ──┘                              └─ events
//! ```
//!
//! Nothing can wait in a circle, because the machine's task never waits for another task. It takes from the bounded
//! queue and never puts into it; what it gives away goes to the queue of a connection (bounded by the machine, which
//! hears of every byte that leaves, and by [`Limits::queue_bytes`] when the machine is wrong), to the one-shot channel
//! of a request, to the desk of a directory (which is bounded, and whose answer is "no" at once when it is full), or to
//! the event sink. The tasks that fill the bounded queue do wait, in turn, and only for the
//! machine: a machine that is slow makes its peers slow, each alike.
//!
//! Because the writing is done by the machine's own task, a turn that produces many small messages for a connection
//! costs one system call, no other task is woken, and `Sent` is reported without a channel. Two more queues lead here,
//! unbounded in type: connections that can be written again (one entry for each that was full) and requests
//! whose asker is gone (one entry for each that waits).

use std::collections::BTreeMap;
use std::mem;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::config::Config;
use headwater_core::event::Event;
use headwater_core::io::{
    AskId, Body, Close, CloseReason, Command, ConnId, Endpoint, Input, Machine, Output, RequestId, Service,
    StoreId,
};
use headwater_core::registry::{self, Failure};
use headwater_core::time::Now;
use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::conn::{Conn, Flushed};
use crate::http::{Gate, HttpLimits};
use crate::listen::{Accepting, Door, Greeter, accept};
use crate::net::{Net, dial_failure};
use crate::registry::{Client, Desk};

/// The bounds of the driver.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of one listener at a time; a further one is closed at once.
    pub connections: usize,
    /// Bytes that may wait for one connection. The machine has tighter bounds of its own: this is the last defence,
    /// and a connection that reaches it is cut.
    pub queue_bytes: usize,
    /// How long [`Close::Flush`] may take.
    pub flush: Duration,
    /// How long an orderly shutdown may take.
    pub drain: Duration,
    /// The bounds of HTTP.
    pub http: HttpLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            queue_bytes: 64 << 20,
            flush: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            http: HttpLimits::default(),
        }
    }
}

/// What a machine is driven with.
pub struct Setup<N: Net> {
    /// Where connections are made.
    pub net: N,
    /// The clock that the machine was made with.
    pub clock: Clock,
    /// Bound listeners.
    pub listeners: Vec<Listening<N::Listener>>,
    /// The directories of streams that the machine may ask.
    pub stores: Vec<(StoreId, Client<N>)>,
    /// The bounds.
    pub limits: Limits,
}

/// A bound listener, and what it speaks.
pub struct Listening<L> {
    /// What is spoken there.
    pub service: Service,
    /// The listener.
    pub listener: L,
    /// Who greets those that come; without one, HTTP is in the clear. Nothing but HTTP has one.
    pub tls: Option<TlsAcceptor>,
}

impl<L> From<(Service, L)> for Listening<L> {
    /// In the clear.
    fn from((service, listener): (Service, L)) -> Listening<L> {
        Listening { service, listener, tls: None }
    }
}

/// What can be asked of a driver while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// Configure the machine anew.
    Configure(Box<Config>),
    /// Tell the machine to go when nobody needs it any more. Everything is accepted until it says that it is done; then
    /// as with [`Control::Shutdown`].
    Drain,
    /// Accept nothing more, tell the machine to stop, and end when everything is sent, or after [`Limits::drain`].
    Shutdown,
    /// End at once.
    Stop,
}

/// How a driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was closed and sent.
    Clean,
    /// The time for an orderly end was over: what was open was cut.
    Cut {
        /// Stream connections that the machine had not closed.
        connections: usize,
        /// Requests that the machine had not answered.
        requests: usize,
    },
    /// It was told to end at once.
    Stopped,
}

/// Drives `machine` until it is told to end; without anyone holding the other end of `control`, for ever.
///
/// `events` gets every event of the machine, in order. A panic of the machine goes through this function.
pub async fn run<N: Net, M: Machine>(
    setup: Setup<N>,
    machine: M,
    events: impl FnMut(Now, Event),
    control: mpsc::Receiver<Control>,
) -> Ended {
    let (inputs, inputs_end) = mpsc::channel(INPUTS_MAX);
    let (writable, writable_end) = mpsc::unbounded_channel();
    let (gone, gone_end) = mpsc::unbounded_channel();
    let Setup { net, clock, listeners, stores, limits } = setup;
    let desks = stores.into_iter().map(|(id, client)| (id, Desk::open(client, inputs.clone()))).collect();
    let mut driver = Driver {
        net,
        machine,
        clock,
        events,
        limits,
        inputs,
        writable,
        phase: watch::Sender::new(Phase::Running),
        accepting: Vec::new(),
        conns: BTreeMap::new(),
        requests: BTreeMap::new(),
        to_flush: Vec::new(),
        overflown: Vec::new(),
        desks,
        asking: 0,
        turned_away: Vec::new(),
        accepted: 0,
        cut_at: None,
    };
    driver.listen(listeners, gone);
    let ends = Ends { control: Some(control), writable: writable_end, gone: gone_end, inputs: inputs_end };
    driver.run(ends).await
}

/// What the tasks around the machine report.
pub(crate) enum Happened<S> {
    /// A listener accepted a connection.
    Accepted { service: Service, stream: S, peer: SocketAddr, permit: OwnedSemaphorePermit },
    /// A directory answered, or did not.
    Answered { ask: AskId, answer: Result<registry::Answer, Failure> },
    /// A request arrived; the answer goes back through the channel.
    Asked(Box<Asked>),
    /// An attempt to connect is over.
    Dialled { conn: ConnId, result: Result<S, CloseReason> },
    /// A connection ended.
    Lost { conn: ConnId, reason: CloseReason },
    /// Bytes arrived.
    Received { conn: ConnId, bytes: bytes::Bytes },
}

/// A request and the way back.
pub(crate) struct Asked {
    pub(crate) id: RequestId,
    pub(crate) service: Service,
    pub(crate) peer: SocketAddr,
    pub(crate) request: Request<()>,
    pub(crate) answer: oneshot::Sender<Response<Body>>,
}

/// What the tasks around the machine need to know about the driver's life. When the sender is gone, so is the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Draining,
}

/// Reports that may wait for the machine. With read buffers of at most 64 KiB, that is 16 MiB.
const INPUTS_MAX: usize = 256;

/// Reports that are handed to the machine before its clock is looked at again.
const BATCH: usize = 64;

/// The receiving ends, apart from the driver so that it can be borrowed while they are waited for.
struct Ends<S> {
    control: Option<mpsc::Receiver<Control>>,
    writable: mpsc::UnboundedReceiver<ConnId>,
    gone: mpsc::UnboundedReceiver<RequestId>,
    inputs: mpsc::Receiver<Happened<S>>,
}

struct Driver<N: Net, M, E> {
    net: N,
    machine: M,
    clock: Clock,
    events: E,
    limits: Limits,
    /// For the readers and diallers that are started here.
    inputs: mpsc::Sender<Happened<N::Stream>>,
    writable: mpsc::UnboundedSender<ConnId>,
    /// Held by every task that has to come to an end in an orderly shutdown.
    phase: watch::Sender<Phase>,
    accepting: Vec<Accepting>,
    /// Connections that the machine knows of and has not closed.
    conns: BTreeMap<ConnId, Conn<N::Stream>>,
    /// Requests that the machine has not answered.
    requests: BTreeMap<RequestId, oneshot::Sender<Response<Body>>>,
    /// Connections with something to send.
    to_flush: Vec<ConnId>,
    /// Connections that were cut because their queue was too long; the machine is still to be told.
    overflown: Vec<ConnId>,
    desks: BTreeMap<StoreId, Desk>,
    /// Commands to directories that are not answered.
    asking: usize,
    /// Commands that no desk took; the machine is still to be told.
    turned_away: Vec<(AskId, Failure)>,
    /// How many connections were accepted, for their ids.
    accepted: u64,
    /// When an orderly shutdown ends in any case.
    cut_at: Option<Instant>,
}

impl<N: Net, M: Machine, E: FnMut(Now, Event)> Driver<N, M, E> {
    fn listen(&mut self, listeners: Vec<Listening<N::Listener>>, gone: mpsc::UnboundedSender<RequestId>) {
        let gate = Arc::new(Gate::new(self.inputs.clone(), gone, self.limits.http.clone()));
        for Listening { service, listener, tls } in listeners {
            let greeter = tls.map(|acceptor| Greeter { acceptor, patience: self.limits.http.handshake });
            let door = match service {
                Service::Api | Service::Http => {
                    Door::Http(service, gate.clone(), self.phase.subscribe(), greeter)
                }
                Service::Ovt | Service::Rtmp => Door::Stream(service, self.inputs.clone()),
            };
            let room = Arc::new(Semaphore::new(self.limits.connections));
            self.accepting.push(Accepting(tokio::spawn(accept::<N>(listener, room, door))));
        }
    }

    async fn run(&mut self, mut ends: Ends<N::Stream>) -> Ended {
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut armed: Option<Instant> = None;
        let mut batch = Vec::with_capacity(BATCH);
        let now = self.clock.now();
        self.obey(now);
        loop {
            self.turn();
            if self.cut_at.is_some_and(|at| at <= Instant::now()) {
                return Ended::Cut { connections: self.conns.len(), requests: self.requests.len() };
            }
            // The timer is only moved forward in time; one that comes too early costs a turn in which nothing is due.
            if let Some(at) = self.next_wake()
                && armed.is_none_or(|armed| at < armed)
            {
                timer.as_mut().reset(at);
                armed = Some(at);
            }
            let quiet = self.cut_at.is_some()
                && self.conns.is_empty()
                && self.requests.is_empty()
                && self.asking == 0;
            tokio::select! {
                biased;
                order = next_order(&mut ends.control) => match order {
                    Some(Control::Configure(config)) => self.command(Command::Configure(config)),
                    Some(Control::Drain) => self.command(Command::Drain),
                    Some(Control::Shutdown) => self.shut_down(),
                    Some(Control::Stop) => return Ended::Stopped,
                    None => ends.control = None,
                },
                Some(conn) = ends.writable.recv() => self.writable_again(conn),
                Some(id) = ends.gone.recv() => self.asker_gone(id),
                Some(happened) = ends.inputs.recv() => batch.push(happened),
                () = timer.as_mut(), if armed.is_some() => armed = None,
                () = self.phase.closed(), if quiet => return Ended::Clean,
                () = tokio::task::yield_now(), if !self.to_flush.is_empty() => {}
            }
            self.take_ready(&mut ends, &mut batch);
        }
    }

    /// Takes what else is there, from every queue alike, without waiting.
    fn take_ready(&mut self, ends: &mut Ends<N::Stream>, batch: &mut Vec<Happened<N::Stream>>) {
        while let Ok(conn) = ends.writable.try_recv() {
            self.writable_again(conn);
        }
        while let Ok(id) = ends.gone.try_recv() {
            self.asker_gone(id);
        }
        while batch.len() < BATCH
            && let Ok(happened) = ends.inputs.try_recv()
        {
            batch.push(happened);
        }
        let now = self.clock.now();
        for happened in batch.drain(..) {
            self.happened(now, happened);
        }
    }

    /// What is due by the clock, then everything that was written.
    fn turn(&mut self) {
        let now = self.clock.now();
        if self.machine.poll_timeout().is_some_and(|deadline| deadline.at <= now.mono) {
            self.machine.handle_timeout(now);
            self.obey(now);
        }
        for conn in mem::take(&mut self.to_flush) {
            self.flush(now, conn);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let due = self.machine.poll_timeout().map(|deadline| self.clock.instant(deadline.at));
        due.into_iter().chain(self.cut_at).min()
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        self.tell(now, Input::Command(command));
    }

    /// Takes nothing more in; ends when everything is sent.
    fn wind_up(&mut self) {
        self.cut_at = Some(Instant::now() + self.limits.drain);
        self.accepting.clear();
        self.phase.send_replace(Phase::Draining);
    }

    fn shut_down(&mut self) {
        if self.cut_at.is_some() {
            return;
        }
        self.wind_up();
        self.command(Command::Shutdown);
    }

    fn happened(&mut self, now: Now, happened: Happened<N::Stream>) {
        match happened {
            Happened::Accepted { service, stream, peer, permit } => {
                self.accept(now, service, stream, peer, permit)
            }
            Happened::Answered { ask, answer } => {
                self.asking = self.asking.saturating_sub(1);
                self.tell(now, Input::Registry { ask, answer });
            }
            Happened::Asked(asked) => self.ask(now, *asked),
            Happened::Dialled { conn, result } => self.dialled(now, conn, result),
            Happened::Lost { conn, reason } => self.lost(now, conn, reason),
            Happened::Received { conn, bytes } if self.conns.contains_key(&conn) => {
                self.tell(now, Input::Received { conn, bytes });
            }
            Happened::Received { .. } => {}
        }
    }

    fn accept(
        &mut self,
        now: Now,
        service: Service,
        stream: N::Stream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) {
        if self.cut_at.is_some() {
            return;
        }
        let conn = ConnId(self.accepted * 2 + 1);
        self.accepted += 1;
        debug!(conn = conn.0, ?service, %peer, "accepted");
        let accepted = Conn::accepted(conn, stream, permit, &self.inputs, &self.writable);
        self.conns.insert(conn, accepted);
        self.tell(now, Input::Accepted { conn, service, peer });
    }

    fn ask(&mut self, now: Now, asked: Asked) {
        let Asked { id, service, peer, request, answer } = asked;
        if answer.is_closed() {
            // Gone before the machine heard of it: so it never does.
            return;
        }
        self.requests.insert(id, answer);
        self.tell(now, Input::Request { id, service, peer, request });
    }

    fn asker_gone(&mut self, id: RequestId) {
        if self.requests.remove(&id).is_some() {
            let now = self.clock.now();
            self.tell(now, Input::RequestGone { id });
        }
    }

    fn dialled(&mut self, now: Now, conn: ConnId, result: Result<N::Stream, CloseReason>) {
        let Some(dialling) = self.conns.get_mut(&conn) else { return };
        match result {
            Ok(stream) => {
                dialling.opened(conn, stream, &self.inputs);
                self.list(conn);
                self.tell(now, Input::Opened { conn });
            }
            Err(reason) => self.lost(now, conn, reason),
        }
    }

    fn lost(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        let Some(lost) = self.conns.remove(&conn) else { return };
        if reason == CloseReason::Eof {
            // The peer says no more, but may well listen: it gets what was meant for it.
            self.finish(lost);
        }
        self.tell(now, Input::Closed { conn, reason });
    }

    fn finish(&self, conn: Conn<N::Stream>) {
        let (patience, phase) = (self.limits.flush, self.phase.subscribe());
        tokio::spawn(async move {
            conn.finish(patience).await;
            drop(phase);
        });
    }

    fn writable_again(&mut self, conn: ConnId) {
        if let Some(found) = self.conns.get_mut(&conn) {
            found.blocked = false;
            self.list(conn);
        }
    }

    /// Puts a connection on the list of those to be flushed in the next turn.
    fn list(&mut self, conn: ConnId) {
        if let Some(found) = self.conns.get_mut(&conn)
            && !found.listed
            && !found.blocked
        {
            found.listed = true;
            self.to_flush.push(conn);
        }
    }

    fn flush(&mut self, now: Now, conn: ConnId) {
        let Some(found) = self.conns.get_mut(&conn) else { return };
        found.listed = false;
        let (bytes, how) = found.flush();
        found.blocked = matches!(how, Flushed::Blocked);
        if matches!(how, Flushed::Share) {
            self.list(conn);
        }
        if bytes > 0 {
            self.tell(now, Input::Sent { conn, bytes });
        }
        if let Flushed::Lost(reason) = how {
            self.lost(now, conn, reason);
        }
    }

    fn tell(&mut self, now: Now, input: Input) {
        self.machine.handle(now, input);
        self.obey(now);
    }

    /// Does what the machine says, until it says nothing more.
    fn obey(&mut self, now: Now) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.act(now, output);
            }
            if let Some(conn) = self.overflown.pop() {
                self.machine.handle(now, Input::Closed { conn, reason: CloseReason::Reset });
            } else if let Some((ask, failure)) = self.turned_away.pop() {
                self.machine.handle(now, Input::Registry { ask, answer: Err(failure) });
            } else {
                return;
            }
        }
    }

    fn act(&mut self, now: Now, output: Output) {
        match output {
            Output::Close { conn, how } => self.close(conn, how),
            Output::Done => self.wind_up(),
            Output::Event(event) => (self.events)(now, event),
            Output::Open { conn, to } => self.open(conn, to),
            Output::Registry { ask, store, command } => self.consult(ask, store, command),
            Output::Respond { id, response } => {
                if let Some(answer) = self.requests.remove(&id) {
                    // Fails when the asker has gone in this very turn; then nobody misses it.
                    let _ = answer.send(response);
                }
            }
            Output::Write { conn, bytes } => self.write(now, conn, bytes),
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        self.overflown.retain(|other| *other != conn);
        let Some(closed) = self.conns.remove(&conn) else { return };
        match how {
            Close::Abort => drop(closed),
            Close::Flush => self.finish(closed),
        }
    }

    fn open(&mut self, conn: ConnId, to: Endpoint) {
        debug_assert!(
            conn.0.is_multiple_of(2),
            "ids of connections that the machine opens are even: {conn:?}"
        );
        debug_assert!(!self.conns.contains_key(&conn), "the machine opens {conn:?} a second time");
        debug!(conn = conn.0, %to, "dialling");
        let (net, inputs) = (self.net.clone(), self.inputs.clone());
        let dial = tokio::spawn(async move {
            let result = net.connect(&to).await.map_err(|error| {
                info!(conn = conn.0, %to, %error, "could not connect");
                dial_failure(&error)
            });
            // Only fails when the driver has ended.
            let _ = inputs.send(Happened::Dialled { conn, result }).await;
        });
        self.conns.insert(conn, Conn::dialling(conn, dial, &self.writable));
    }

    fn consult(&mut self, ask: AskId, store: StoreId, command: registry::Command) {
        let put = match self.desks.get(&store) {
            Some(desk) => desk.put(ask, command),
            None => Err(Failure::Away("there is no such directory".to_owned())),
        };
        match put {
            Ok(()) => self.asking += 1,
            Err(failure) => self.turned_away.push((ask, failure)),
        }
    }

    fn write(&mut self, now: Now, conn: ConnId, bytes: bytes::Bytes) {
        let Some(found) = self.conns.get_mut(&conn) else { return };
        let queued = found.write(bytes);
        if queued <= self.limits.queue_bytes {
            return self.list(conn);
        }
        warn!(
            conn = conn.0,
            queued,
            limit = self.limits.queue_bytes,
            "a queue is too long; cutting the connection"
        );
        self.conns.remove(&conn);
        self.overflown.push(conn);
        let what = format!("did not read: {queued} bytes were waiting for it, over the driver's last limit");
        (self.events)(now, Event::PeerMisbehaved { conn, what });
    }
}

async fn next_order(control: &mut Option<mpsc::Receiver<Control>>) -> Option<Control> {
    match control {
        Some(control) => control.recv().await,
        None => std::future::pending().await,
    }
}
