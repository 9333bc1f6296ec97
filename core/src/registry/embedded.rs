//! A store inside the process, for when one server is all there is. The rules are those of every store.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::entry::Entry;
use super::rules::{self, Cell, ENTRY_MS, LEASE_MS, Write, Writes};
use super::{Answer, Command, Found, LeaseId, Name, Route};

/// The store.
#[derive(Debug, Default)]
pub struct Embedded {
    leases: BTreeMap<LeaseId, u64>,
    entries: BTreeMap<Name, Stored>,
    /// Up to where the last sweep came.
    swept: Name,
}

#[derive(Debug)]
struct Stored {
    entry: Entry,
    until_ms: u64,
}

/// Entries that are looked at for their age with each command that writes.
const SWEEP: usize = 64;

impl Embedded {
    /// Does what a command says. `now_ms` is the store's clock, which must not go backwards: milliseconds.
    pub fn execute(&mut self, now_ms: u64, command: &Command) -> Answer {
        match command {
            Command::Alive(leases) => {
                Answer::Alive(leases.iter().map(|lease| self.lives_for(now_ms, *lease)).collect())
            }
            Command::Claim { by, streams } => {
                let claimed = streams.iter().map(|stream| {
                    self.change(now_ms, &stream.name, |cell| rules::claim(cell, now_ms, *by, stream, false))
                });
                Answer::Claimed(claimed.collect())
            }
            Command::Close { by } => {
                self.leases.remove(by);
                Answer::Done
            }
            Command::Keep { by, streams } => {
                self.sweep(now_ms);
                let kept = streams
                    .iter()
                    .map(|(name, url)| self.change(now_ms, name, |cell| rules::keep(cell, *by, url, false)));
                Answer::Kept(kept.collect())
            }
            Command::Lookup(names) => {
                Answer::Found(names.iter().map(|name| self.find(now_ms, name)).collect())
            }
            Command::Open { by } => {
                self.leases.insert(*by, now_ms + LEASE_MS);
                Answer::Renewed(true)
            }
            Command::Raise { name, above } => {
                self.change(now_ms, name, |cell| ((), rules::raise(cell, now_ms, *above)));
                Answer::Done
            }
            Command::Release { by, streams } => {
                for (name, url) in streams {
                    self.change(now_ms, name, |cell| ((), rules::release(cell, now_ms, *by, url, false)));
                }
                Answer::Done
            }
            Command::Renew { by } => {
                self.sweep(now_ms);
                self.leases.retain(|_, until| *until > now_ms);
                let until = self.leases.get_mut(by);
                let alive = until.is_some();
                if let Some(until) = until {
                    *until = now_ms + LEASE_MS;
                }
                Answer::Renewed(alive)
            }
        }
    }

    /// How many streams and leases it has.
    pub fn len(&self) -> (usize, usize) {
        (self.entries.len(), self.leases.len())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// The entry of a stream, if it has not outlived its time.
    pub fn entry(&self, now_ms: u64, name: &str) -> Option<&Entry> {
        self.entries.get(name).filter(|stored| stored.until_ms > now_ms).map(|stored| &stored.entry)
    }

    /// Every stream, in the order of names. `now_ms` as in [`Embedded::execute`].
    pub fn routes(&self, now_ms: u64) -> impl Iterator<Item = Route> {
        let live = self.entries.iter().filter(move |(_, stored)| stored.until_ms > now_ms);
        live.map(move |(name, Stored { entry, .. })| Route {
            name: name.clone(),
            epoch: entry.epoch,
            url: entry.url.clone(),
            since_ms: entry.since_ms,
            waiting: entry.waiting.iter().map(|waiting| waiting.url.clone()).collect(),
            alive: self.lives_for(now_ms, entry.epoch.owner).is_some(),
        })
    }

    fn lives_for(&self, now_ms: u64, lease: LeaseId) -> Option<u64> {
        self.leases.get(&lease)?.checked_sub(now_ms).filter(|left| *left > 0)
    }

    fn find(&self, now_ms: u64, name: &str) -> Found {
        let owner = self.entry(now_ms, name).map(|entry| (entry.epoch, entry.url.clone()));
        Found { owner, plain: None }
    }

    fn change<T>(&mut self, now_ms: u64, name: &str, rule: impl FnOnce(&mut Cell) -> (T, Writes)) -> T {
        let stored = self.entries.remove(name).filter(|stored| stored.until_ms > now_ms);
        let until_ms = stored.as_ref().map(|stored| stored.until_ms);
        let mut cell = Cell { entry: stored.map(|stored| stored.entry), plain: None };
        let (told, writes) = rule(&mut cell);
        let until_ms = match writes.entry {
            Write::Leave => until_ms,
            Write::Set => Some(now_ms + ENTRY_MS),
        };
        if let (Some(entry), Some(until_ms)) = (cell.entry, until_ms) {
            self.entries.insert(name.to_owned(), Stored { entry, until_ms });
        }
        told
    }

    /// Drops what has outlived its time among the next few entries.
    fn sweep(&mut self, now_ms: u64) {
        let from = (Bound::Excluded(core::mem::take(&mut self.swept)), Bound::Unbounded);
        let mut over = Vec::new();
        let mut looked_at = 0;
        for (name, stored) in self.entries.range::<String, _>(from).take(SWEEP) {
            looked_at += 1;
            if stored.until_ms <= now_ms {
                over.push(name.clone());
            }
            if looked_at == SWEEP {
                self.swept.clone_from(name);
            }
        }
        for name in over {
            self.entries.remove(&name);
        }
    }
}
