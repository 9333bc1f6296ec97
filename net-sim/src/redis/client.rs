//! The other end: how a server of ours speaks to a directory in Redis, as its driver does it in production.
//!
//! [`WithStore`] is a machine around a node. What the node asks of a directory goes out as RESP on a connection of the
//! wrapper's own, which is made when it is first needed; what it says comes back as an input. Commands go out in order
//! and are not held back until the one before is answered. Whatever goes wrong with a connection fails everything that
//! waits on it, and the next command makes a new one: when to ask again is the node's to decide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use headwater_core::census::Census;
use headwater_core::config::{Config, RedisServer, RedisServers};
use headwater_core::io::{AskId, Close, Command, ConnId, Endpoint, Input, Machine, Output, StoreId};
use headwater_core::registry::redis::{Call, Reply, Schema, answer};
use headwater_core::registry::{self, Answer, Failure};
use headwater_core::time::{Deadline, Now, Time, soonest};

use super::database::sha1_hex;
use super::resp::{Replies, write_request};

/// A node whose directories are in Redis servers of the world.
pub struct WithStore<M> {
    node: M,
    clients: BTreeMap<StoreId, Client>,
    stopping: bool,
    outbox: VecDeque<Output>,
}

impl<M: Machine> WithStore<M> {
    /// `node`, which is configured by `config` and has just been made.
    ///
    /// # Panics
    /// If a directory is in anything but a single server: a scenario is wrong.
    pub fn new(node: M, config: &Config, now: Now) -> WithStore<M> {
        let clients = config
            .stores()
            .map(|(id, server, schema)| (id, Client::new(id, server.clone(), schema)))
            .collect();
        let mut machine = WithStore { node, clients, stopping: false, outbox: VecDeque::new() };
        machine.settle(now);
        machine
    }

    fn client_of(&mut self, conn: ConnId) -> Option<&mut Client> {
        self.clients.values_mut().find(|client| client.has(conn))
    }

    /// Carries between the node and its directories until nobody has anything to say.
    fn settle(&mut self, now: Now) {
        loop {
            while let Some(output) = self.node.poll_output() {
                match output {
                    Output::Registry { ask, store, command } => {
                        let client =
                            self.clients.get_mut(&store).expect("a node asks directories that it has");
                        client.ask(now.mono, ask, command);
                    }
                    Output::Done => {
                        self.stopping = true;
                        self.outbox.push_back(Output::Done);
                    }
                    output => self.outbox.push_back(output),
                }
            }
            let mut answers = Vec::new();
            for client in self.clients.values_mut() {
                answers.extend(client.answers.drain(..));
                self.outbox.extend(client.outbox.drain(..));
            }
            if answers.is_empty() {
                break;
            }
            for (ask, answer) in answers {
                self.node.handle(now, Input::Registry { ask, answer });
            }
        }
        if self.stopping {
            for client in self.clients.values_mut() {
                client.rest();
                self.outbox.extend(client.outbox.drain(..));
            }
        }
    }
}

impl<M: Machine> Machine for WithStore<M> {
    fn handle(&mut self, now: Now, input: Input) {
        let conn = match &input {
            Input::Opened { conn } | Input::Closed { conn, .. } => Some(*conn),
            Input::Received { conn, .. } | Input::Sent { conn, .. } => Some(*conn),
            _ => None,
        };
        self.stopping |= matches!(input, Input::Command(Command::Shutdown));
        match conn.filter(|conn| conn.0 >= FIRST_CONN) {
            None => self.node.handle(now, input),
            Some(conn) => {
                if let Some(client) = self.client_of(conn) {
                    client.handle(now.mono, input);
                }
            }
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.clients.values_mut().for_each(|client| client.handle_timeout(now.mono));
        self.node.handle_timeout(now);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.clients.values().map(Client::poll_timeout).fold(self.node.poll_timeout(), soonest)
    }

    fn census(&self) -> Census {
        self.node.census()
    }
}

/// The line to one server.
struct Client {
    server: RedisServer,
    to: Endpoint,
    schema: Schema,
    next_conn: ConnId,
    line: Line,
    replies: Replies,
    /// What is not answered yet, the oldest first: some that were sent, then some that were not.
    asked: VecDeque<Asked>,
    /// Of which call the next replies are.
    owed: VecDeque<Owed>,
    answers: VecDeque<(AskId, Result<Answer, Failure>)>,
    outbox: VecDeque<Output>,
}

#[derive(Debug)]
enum Line {
    Down,
    Opening {
        conn: ConnId,
        until: Time,
    },
    /// So many replies to AUTH and SELECT are waited for.
    Greeting {
        conn: ConnId,
        until: Time,
        owed: usize,
    },
    /// The server has these scripts.
    Up {
        conn: ConnId,
        known: BTreeSet<&'static str>,
    },
}

struct Asked {
    id: AskId,
    command: registry::Command,
    calls: Vec<Call>,
    replies: Vec<Option<Reply>>,
    /// When it is overdue, if it was sent.
    until: Option<Time>,
}

struct Owed {
    id: AskId,
    /// Which of its calls.
    call: usize,
    /// The script was sent as text.
    whole: bool,
}

impl Client {
    fn new(id: StoreId, server: RedisServer, schema: Schema) -> Client {
        let RedisServers::Single(to) = server.servers.clone() else {
            panic!("a simulated directory is in one server");
        };
        Client {
            server,
            to,
            schema,
            next_conn: ConnId(FIRST_CONN + ((id.0 as u64) << 40)),
            line: Line::Down,
            replies: Replies::default(),
            asked: VecDeque::new(),
            owed: VecDeque::new(),
            answers: VecDeque::new(),
            outbox: VecDeque::new(),
        }
    }

    fn has(&self, conn: ConnId) -> bool {
        self.conn() == Some(conn)
    }

    fn conn(&self) -> Option<ConnId> {
        match self.line {
            Line::Down => None,
            Line::Opening { conn, .. } | Line::Greeting { conn, .. } | Line::Up { conn, .. } => Some(conn),
        }
    }

    fn ask(&mut self, now: Time, id: AskId, command: registry::Command) {
        let calls = self.schema.calls(&command);
        if calls.is_empty() {
            self.answers.push_back((id, answer(&command, &[])));
            return;
        }
        let replies = vec![None; calls.len()];
        self.asked.push_back(Asked { id, command, calls, replies, until: None });
        if let Line::Down = self.line {
            let conn = self.next_conn;
            self.next_conn = ConnId(conn.0 + 2);
            self.line = Line::Opening { conn, until: now + self.server.connect_timeout };
            self.replies = Replies::default();
            self.outbox.push_back(Output::Open { conn, to: self.to.clone() });
        }
        self.send(now);
    }

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Opened { .. } => self.greet(now),
            Input::Closed { reason, .. } => {
                self.line = Line::Down;
                self.fail(&Failure::Away(format!("the connection is closed: {reason:?}")));
            }
            Input::Received { bytes, .. } => {
                self.replies.receive(&bytes);
                loop {
                    match self.replies.poll() {
                        Ok(Some(reply)) => self.replied(now, reply),
                        Ok(None) => break,
                        Err(()) => self.fail(&Failure::Nonsense("this is not RESP".to_owned())),
                    }
                }
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        match self.line {
            Line::Opening { until, .. } | Line::Greeting { until, .. } if until <= now => {
                self.fail(&Failure::Away("no connection in time".to_owned()));
            }
            Line::Up { .. } if self.overdue_at().is_some_and(|until| until <= now) => {
                self.fail(&Failure::Away("no answer in time".to_owned()));
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        match self.line {
            Line::Down => None,
            Line::Opening { until, .. } | Line::Greeting { until, .. } => {
                Some(Deadline { at: until, why: "a connection to the directory" })
            }
            Line::Up { .. } => {
                self.overdue_at().map(|at| Deadline { at, why: "an answer of the directory's server" })
            }
        }
    }

    /// Closes the connection if nobody waits for anything.
    fn rest(&mut self) {
        if self.asked.is_empty()
            && let Some(conn) = self.conn()
        {
            self.line = Line::Down;
            self.outbox.push_back(Output::Close { conn, how: Close::Flush });
        }
    }

    fn overdue_at(&self) -> Option<Time> {
        self.asked.iter().filter_map(|asked| asked.until).min()
    }

    fn greet(&mut self, now: Time) {
        let Line::Opening { conn, until } = self.line else { return };
        let RedisServer { user, password, database, .. } = &self.server;
        let mut words: Vec<Vec<String>> = Vec::new();
        if let Some(password) = password {
            let auth = ["AUTH".to_owned()].into_iter().chain(user.clone());
            words.push(auth.chain([password.reveal().to_owned()]).collect());
        }
        if *database != 0 {
            words.push(vec!["SELECT".to_owned(), database.to_string()]);
        }
        self.line = Line::Greeting { conn, until, owed: words.len() };
        let mut bytes = Vec::new();
        words.iter().for_each(|words| write_request(words, &mut bytes));
        self.write(conn, bytes);
        self.greeted(now);
    }

    fn greeted(&mut self, now: Time) {
        if let Line::Greeting { conn, owed: 0, .. } = self.line {
            self.line = Line::Up { conn, known: BTreeSet::new() };
            self.send(now);
        }
    }

    /// Sends what was not sent; but nothing behind a script that the server may not have, because that may have to be
    /// sent again.
    fn send(&mut self, now: Time) {
        let Line::Up { conn, known } = &self.line else { return };
        let conn = *conn;
        let surely = |asked: &Asked| asked.scripts().all(|text| known.contains(text));
        let mut bytes = Vec::new();
        let mut sure = true;
        for (place, asked) in self.asked.iter_mut().enumerate() {
            let first = place == 0;
            sure &= surely(asked);
            if asked.until.is_some() {
                continue;
            }
            if !sure && !first {
                break;
            }
            asked.until = Some(now + self.server.command_timeout);
            for (call, words) in asked.calls.iter().enumerate() {
                write_call(words, false, &mut bytes);
                self.owed.push_back(Owed { id: asked.id, call, whole: false });
            }
        }
        self.write(conn, bytes);
    }

    fn replied(&mut self, now: Time, reply: Reply) {
        match &mut self.line {
            Line::Greeting { owed, .. } => {
                if let Reply::Error(error) = reply {
                    return self.fail(&Failure::Refused(error));
                }
                *owed -= 1;
                self.greeted(now);
            }
            Line::Up { conn, known } => {
                let conn = *conn;
                let next = self.owed.pop_front();
                let Some((owed, place)) = next.and_then(|owed| {
                    let place = self.asked.iter().position(|asked| asked.id == owed.id)?;
                    Some((owed, place))
                }) else {
                    return self.fail(&Failure::Nonsense("a reply to nothing".to_owned()));
                };
                let asked = &mut self.asked[place];
                let call = &asked.calls[owed.call];
                if let (Call::Script { text, .. }, Reply::Error(error)) = (call, &reply)
                    && error.starts_with("NOSCRIPT")
                    && !owed.whole
                {
                    known.remove(text);
                    let mut bytes = Vec::new();
                    write_call(call, true, &mut bytes);
                    self.owed.push_back(Owed { whole: true, ..owed });
                    return self.write(conn, bytes);
                }
                if let Call::Script { text, .. } = call {
                    known.insert(text);
                }
                asked.replies[owed.call] = Some(reply);
                if asked.replies.iter().all(Option::is_some)
                    && let Some(asked) = self.asked.remove(place)
                {
                    let replies: Vec<Reply> = asked.replies.into_iter().flatten().collect();
                    self.answers.push_back((asked.id, answer(&asked.command, &replies)));
                }
                self.send(now);
            }
            Line::Down | Line::Opening { .. } => {}
        }
    }

    fn fail(&mut self, why: &Failure) {
        if let Some(conn) = self.conn() {
            self.outbox.push_back(Output::Close { conn, how: Close::Abort });
        }
        self.line = Line::Down;
        self.replies = Replies::default();
        self.owed.clear();
        self.answers.extend(self.asked.drain(..).map(|asked| (asked.id, Err(why.clone()))));
    }

    fn write(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.outbox.push_back(Output::Write { conn, bytes: Bytes::from(bytes) });
        }
    }
}

impl Asked {
    fn scripts(&self) -> impl Iterator<Item = &'static str> {
        self.calls.iter().filter_map(|call| match call {
            Call::Script { text, .. } => Some(*text),
            Call::Plain(_) => None,
        })
    }
}

fn write_call(call: &Call, whole: bool, out: &mut Vec<u8>) {
    match call {
        Call::Plain(words) => write_request(words, out),
        Call::Script { text, keys, args } => {
            let (verb, script) =
                if whole { ("EVAL", (*text).to_owned()) } else { ("EVALSHA", sha1_hex(text.as_bytes())) };
            let head = [verb.to_owned(), script, keys.len().to_string()];
            let words: Vec<&String> = head.iter().chain(keys).chain(args).collect();
            write_request(&words, out);
        }
    }
}

/// The first connection to a directory; the node counts its own up from 2.
const FIRST_CONN: u64 = 1 << 62;
