//! The program: connections, and what a scenario does to a server.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use headwater_core::io::{Close, ConnId, Input, Machine, Output, Service};
use headwater_core::registry::entry::Entry;
use headwater_core::registry::redis::Schema;
use headwater_core::time::{Deadline, Now, Time};

use super::database::{Database, Session, Setup};
use super::resp::Requests;
use crate::host::Boot;

/// What a server has when it is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Everything: it was written to its disk.
    #[default]
    Kept,
    /// Nothing.
    Empty,
    /// What a replica had that takes its place and lagged behind by so much: the newest writes are gone, although
    /// they were acknowledged. No more than a minute can be gone.
    Promoted(Duration),
}

/// A server seen from a scenario: what its disk holds, and what happens to it. It outlives the server's process;
/// every life of the process is given a clone.
#[derive(Clone, Debug, Default)]
pub struct Handle(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    database: Database,
    start: Start,
    loads_for: Duration,
    answers_after: Duration,
}

impl Handle {
    /// The handle of a server that has never run.
    pub fn new(setup: Setup) -> Handle {
        Handle(Rc::new(RefCell::new(State { database: Database::new(setup), ..State::default() })))
    }

    /// What the server will have when it is started the next time.
    pub fn next_start(&self, start: Start) {
        self.0.borrow_mut().start = start;
    }

    /// Whenever it is started, it loads for so long and answers `-LOADING` meanwhile.
    pub fn loads_for(&self, span: Duration) {
        self.0.borrow_mut().loads_for = span;
    }

    /// From now on, every answer comes so late, although what was asked for is done at once.
    pub fn answers_after(&self, span: Duration) {
        self.0.borrow_mut().answers_after = span;
    }

    /// From now on, it takes no writes and answers `-READONLY`, or takes them again.
    pub fn read_only(&self, read_only: bool) {
        self.0.borrow_mut().database.read_only = read_only;
    }

    /// Whether answers come as soon as they can.
    pub fn is_prompt(&self) -> bool {
        let state = self.0.borrow();
        state.answers_after.is_zero() && !state.database.loading && !state.database.read_only
    }

    /// Keeps from now on what is written to database 0.
    pub fn keep_changes(&self) {
        self.0.borrow_mut().database.log.get_or_insert_default();
    }

    /// What was written since [`Handle::keep_changes`], without the first `skip`: keys and their values, in order.
    pub fn changes(&self, skip: usize) -> Vec<(String, Option<Vec<u8>>)> {
        let state = self.0.borrow();
        state.database.log.iter().flatten().skip(skip).cloned().collect()
    }

    /// Every key of database 0 at `now_ms`, and how much longer it lives if it does not live for ever.
    pub fn keys(&self, now_ms: i64) -> Vec<(String, Option<Duration>)> {
        self.0.borrow().database.present(now_ms)
    }

    /// Where database 0 says that a stream is: its owner, or else who has the plain key.
    pub fn place_of(&self, name: &str, now_ms: i64) -> Option<String> {
        let schema = Schema::default();
        let text = |key: String| self.value(&key, now_ms).map(|it| String::from_utf8_lossy(&it).into_owned());
        let entry = text(schema.entry_key(name)).and_then(|text| Entry::parse(&text));
        entry.map(|entry| entry.url).or_else(|| text(schema.plain_key(name)))
    }

    /// The value of a key of database 0 at `now_ms`, in milliseconds since the Unix epoch.
    pub fn value(&self, key: &str, now_ms: i64) -> Option<Vec<u8>> {
        self.0.borrow().database.value(key, now_ms).map(<[u8]>::to_vec)
    }
}

/// A server that has been started.
pub struct Server {
    handle: Handle,
    loaded_at: Time,
    clients: BTreeMap<ConnId, Client>,
    next_id: u64,
    answers: VecDeque<Answer>,
    outbox: VecDeque<Output>,
}

struct Client {
    requests: Requests,
    session: Session,
}

struct Answer {
    at: Time,
    conn: ConnId,
    bytes: Vec<u8>,
    last: bool,
}

impl Server {
    /// A process that has just been started with what the handle holds for it.
    pub fn new(handle: &Handle, now: Now) -> Server {
        let mut state = handle.0.borrow_mut();
        match core::mem::take(&mut state.start) {
            Start::Kept => {}
            Start::Empty => state.database.empty(),
            Start::Promoted(lag) => state.database.lose_last(now.wall.as_millis(), lag),
        }
        // Scripts are in memory only.
        state.database.loaded.clear();
        state.database.loading = !state.loads_for.is_zero();
        let loaded_at = now.mono + state.loads_for;
        drop(state);
        Server {
            handle: handle.clone(),
            loaded_at,
            clients: BTreeMap::new(),
            next_id: 1,
            answers: VecDeque::new(),
            outbox: VecDeque::new(),
        }
    }

    /// A host's program that listens on Redis's usual port.
    pub fn boot(handle: &Handle) -> Boot {
        let handle = handle.clone();
        // To the world this is a port like any other on which bytes come and go.
        Boot::new(move |_, now| Box::new(Server::new(&handle, now))).listen(PORT, Service::Ovt)
    }

    fn received(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.requests.receive(bytes);
        let mut state = self.handle.0.borrow_mut();
        let mut bytes = Vec::new();
        let mut last = false;
        while !last {
            match client.requests.poll() {
                Ok(None) => break,
                Ok(Some(request)) => {
                    let reply = state.database.call(&mut client.session, now.wall.as_millis(), &request);
                    reply.write(&mut bytes);
                    last = client.session.quits();
                }
                Err(reply) => {
                    reply.write(&mut bytes);
                    last = true;
                }
            }
        }
        if !bytes.is_empty() {
            // Answers never overtake each other: there is one thread.
            let at =
                self.answers.back().map_or(now.mono, |before| before.at).max(now.mono + state.answers_after);
            self.answers.push_back(Answer { at, conn, bytes, last });
        }
    }

    fn settle(&mut self, now: Time) {
        let mut state = self.handle.0.borrow_mut();
        if state.database.loading && self.loaded_at <= now {
            state.database.loading = false;
        }
        while self.answers.front().is_some_and(|answer| answer.at <= now) {
            let Some(Answer { conn, bytes, last, .. }) = self.answers.pop_front() else { return };
            if self.clients.contains_key(&conn) {
                self.outbox.push_back(Output::Write { conn, bytes: Bytes::from(bytes) });
            }
            if last && self.clients.remove(&conn).is_some() {
                self.outbox.push_back(Output::Close { conn, how: Close::Flush });
            }
        }
    }
}

/// Where Redis listens.
pub const PORT: u16 = 6_379;

impl Machine for Server {
    fn handle(&mut self, now: Now, input: Input) {
        self.settle(now.mono);
        match input {
            Input::Accepted { conn, .. } => {
                let session = Session::new(self.next_id);
                self.next_id += 1;
                self.clients.insert(conn, Client { requests: Requests::default(), session });
            }
            Input::Closed { conn, .. } => {
                self.clients.remove(&conn);
            }
            Input::Received { conn, bytes } => self.received(now, conn, &bytes),
            Input::Command(_) => {
                let conns = core::mem::take(&mut self.clients).into_keys();
                self.outbox.extend(conns.map(|conn| Output::Close { conn, how: Close::Flush }));
            }
            _ => {}
        }
        self.settle(now.mono);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.settle(now.mono);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.answers.front().map(|answer| Deadline { at: answer.at, why: "an answer" })
    }
}
