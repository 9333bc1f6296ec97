//! What a server knows, and what it remembers of each connection: authentication, transactions, watched keys.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha1::{Digest, Sha1};

use super::commands::{self, Command};
use super::resp::{Reply, Request};

/// A script's meaning. It may call commands, as a script does; the first reply is its own.
pub type Script = fn(&mut Call<'_>) -> Reply;

/// What a server is set up with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The password of the default user; anybody may do anything if none.
    pub password: Option<String>,
    /// Other users and their passwords.
    pub users: BTreeMap<String, String>,
    /// Every script that may be sent: its text and its meaning.
    pub scripts: Vec<(&'static str, Script)>,
}

/// Every key of every database.
#[derive(Clone, Debug, Default)]
pub struct Database {
    pub(super) setup: Setup,
    /// The scripts that may be sent, by what EVALSHA calls them.
    scripts: BTreeMap<String, Script>,
    pub(super) keys: BTreeMap<Name, Entry>,
    /// Hashes of the scripts that were sent.
    pub(super) loaded: BTreeSet<String>,
    /// Whether this is a replica that takes no writes.
    pub(super) read_only: bool,
    pub(super) loading: bool,
    /// When each key was last changed, counted in changes.
    touched: BTreeMap<Name, u64>,
    changes: u64,
    /// What was written to database 0, if that is to be kept.
    pub(super) log: Option<Vec<(String, Option<Vec<u8>>)>>,
    /// What was there before each change of the last while, oldest first.
    undo: VecDeque<(i64, Name, Option<Entry>)>,
}

/// A database's number and a key in it.
pub(super) type Name = (usize, Vec<u8>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    /// Milliseconds since the Unix epoch.
    pub(super) expires_ms: Option<i64>,
}

/// What a server remembers of a connection.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub(super) id: u64,
    pub(super) db: usize,
    pub(super) authenticated: bool,
    pub(super) name: Vec<u8>,
    /// Queued requests, inside a transaction.
    pub(super) queue: Option<Vec<Request>>,
    /// A queued request was wrong.
    pub(super) spoiled: bool,
    pub(super) watched: Vec<Watched>,
    /// The connection is closed after the reply.
    pub(super) quits: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Watched {
    name: Name,
    changes: u64,
}

impl Session {
    /// A connection that has just been made, with a number of its own.
    pub fn new(id: u64) -> Session {
        Session { id, ..Session::default() }
    }

    /// Whether the connection is to be closed.
    pub fn quits(&self) -> bool {
        self.quits
    }
}

/// A running command or script: the database, the connection it came from, its keys and arguments.
pub struct Call<'a> {
    pub(super) database: &'a mut Database,
    pub(super) session: &'a mut Session,
    pub(super) now_ms: i64,
    /// The keys that a script was given.
    pub keys: Vec<Vec<u8>>,
    /// The arguments that a script was given.
    pub args: Vec<Vec<u8>>,
}

impl Call<'_> {
    /// Calls a command, as `redis.call` does, except that an error is returned and not raised.
    pub fn redis(&mut self, request: &[&[u8]]) -> Reply {
        let request: Request = request.iter().map(|word| word.to_vec()).collect();
        let command = match commands::find(&request) {
            Ok(command) => command,
            Err(_) => return Reply::err("Unknown Redis command called from script"),
        };
        if self.database.read_only && command.write {
            return read_only();
        }
        (command.run)(self, &request)
    }
}

impl Database {
    /// A server with nothing in it.
    pub fn new(setup: Setup) -> Database {
        let scripts = setup.scripts.iter().map(|(text, script)| (sha1_hex(text.as_bytes()), *script));
        Database { scripts: scripts.collect(), setup, ..Database::default() }
    }

    /// Does what a connection asks for and says what it is told. `now_ms` is the wall clock, in milliseconds since
    /// the Unix epoch.
    pub fn call(&mut self, session: &mut Session, now_ms: i64, request: &Request) -> Reply {
        let command = match commands::find(request) {
            Ok(command) => command,
            Err(reply) => {
                session.spoiled |= session.queue.is_some();
                return reply;
            }
        };
        if let Some(reply) = self.refuses(session, command) {
            session.spoiled |= session.queue.is_some();
            return reply;
        }
        if let Some(queue) = &mut session.queue
            && !command.control
        {
            queue.push(request.clone());
            return Reply::Simple("QUEUED");
        }
        self.run(session, now_ms, command, request)
    }

    /// The value of a key of database 0 that is not over its time.
    pub fn value(&self, key: &str, now_ms: i64) -> Option<&[u8]> {
        let entry = self.keys.get(&(0, key.as_bytes().to_vec())).filter(|entry| !entry.is_over(now_ms))?;
        Some(&entry.value)
    }

    /// Takes back every change of the last `span` before `now_ms`, as when a replica is promoted that lagged behind
    /// by so much. More than [`UNDO_MS`] cannot be taken back.
    pub fn lose_last(&mut self, now_ms: i64, span: Duration) {
        let since = now_ms.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
        while self.undo.back().is_some_and(|(at, ..)| *at >= since) {
            let Some((_, name, before)) = self.undo.pop_back() else { return };
            match before {
                Some(entry) => self.keys.insert(name, entry),
                None => self.keys.remove(&name),
            };
        }
    }

    /// Forgets every key and every script.
    pub(super) fn empty(&mut self) {
        *self = Database { log: self.log.take(), ..Database::new(self.setup.clone()) };
    }

    /// Every key of database 0 that is not over its time, and how long it lives if it does not live for ever.
    pub(super) fn present(&self, now_ms: i64) -> Vec<(String, Option<Duration>)> {
        let keys =
            self.keys.range((0, Vec::new())..(1, Vec::new())).filter(|(_, entry)| !entry.is_over(now_ms));
        let left = |at: i64| Duration::from_millis(u64::try_from(at.saturating_sub(now_ms)).unwrap_or(0));
        keys.map(|((_, key), entry)| (String::from_utf8_lossy(key).into_owned(), entry.expires_ms.map(left)))
            .collect()
    }

    fn refuses(&self, session: &Session, command: &Command) -> Option<Reply> {
        if self.setup.password.is_some() && !session.authenticated && !command.no_auth {
            return Some(Reply::Error("NOAUTH Authentication required.".to_owned()));
        }
        if self.read_only && command.write {
            return Some(read_only());
        }
        if self.loading && !command.loading {
            return Some(Reply::Error("LOADING Redis is loading the dataset in memory".to_owned()));
        }
        None
    }

    pub(super) fn run(
        &mut self,
        session: &mut Session,
        now_ms: i64,
        command: &Command,
        request: &Request,
    ) -> Reply {
        let mut call = Call { database: self, session, now_ms, keys: Vec::new(), args: Vec::new() };
        (command.run)(&mut call, request)
    }

    /// A key as a connection means it, unless it is over its time.
    pub(super) fn get(&mut self, name: &Name, now_ms: i64) -> Option<&Entry> {
        if self.keys.get(name).is_some_and(|entry| entry.is_over(now_ms)) {
            self.keys.remove(name);
            self.touch(name.clone());
        }
        self.keys.get(name)
    }

    fn touch(&mut self, name: Name) {
        self.changes += 1;
        self.touched.insert(name, self.changes);
    }

    pub(super) fn put(&mut self, name: Name, now_ms: i64, entry: Option<Entry>) {
        if let (Some(log), (0, key)) = (&mut self.log, &name) {
            let value = entry.as_ref().map(|entry| entry.value.clone());
            log.push((String::from_utf8_lossy(key).into_owned(), value));
        }
        let before = match entry {
            Some(entry) => self.keys.insert(name.clone(), entry),
            None => self.keys.remove(&name),
        };
        self.touch(name.clone());
        while self.undo.front().is_some_and(|(at, ..)| *at < now_ms - UNDO_MS) {
            self.undo.pop_front();
        }
        self.undo.push_back((now_ms, name, before));
    }

    pub(super) fn watch(&mut self, name: Name, now_ms: i64) -> Watched {
        // A key that is over its time already does not change by going away.
        self.get(&name, now_ms);
        Watched { name, changes: self.changes }
    }

    /// Whether a watched key is another one by now.
    pub(super) fn has_changed(&self, watched: &Watched, now_ms: i64) -> bool {
        let touched = self.touched.get(&watched.name).is_some_and(|changes| *changes > watched.changes);
        let over = self.keys.get(&watched.name).is_some_and(|entry| entry.is_over(now_ms));
        touched || over
    }

    pub(super) fn script(&self, hash: &str) -> Option<Script> {
        self.scripts.get(hash).copied()
    }
}

impl Entry {
    pub(super) fn is_over(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|at| now_ms > at)
    }
}

/// What EVALSHA calls a script.
pub fn sha1_hex(text: &[u8]) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_only() -> Reply {
    Reply::Error("READONLY You can't write against a read only replica.".to_owned())
}

/// How far back changes are remembered, in milliseconds.
pub const UNDO_MS: i64 = 60_000;
