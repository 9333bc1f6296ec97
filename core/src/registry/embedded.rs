//! A store inside the process, for when one server is all there is. The rules are those of every store, and as in Redis
//! a value's last millisecond is part of its time.

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
    /// Time zeros, and until when they count.
    zeros: BTreeMap<Name, (i64, u64)>,
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
            Command::Agree(zeros) => {
                let agreed = zeros.iter().map(|zero| {
                    let known = self.zeros.get(&zero.name).filter(|(_, until)| *until >= now_ms);
                    let ms = rules::agree(known.map(|(ms, _)| *ms), zero).unwrap_or(zero.ms);
                    self.zeros.insert(zero.name.clone(), (ms, now_ms + ENTRY_MS));
                    ms
                });
                Answer::Agreed(agreed.collect())
            }
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
                self.leases.retain(|_, until| *until >= now_ms);
                self.zeros.retain(|_, (_, until)| *until >= now_ms);
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
        self.len() == (0, 0) && self.zeros.is_empty()
    }

    /// The entry of a stream, if it has not outlived its time.
    pub fn entry(&self, now_ms: u64, name: &str) -> Option<&Entry> {
        self.entries.get(name).filter(|stored| stored.until_ms >= now_ms).map(|stored| &stored.entry)
    }

    /// Every stream, in the order of names. `now_ms` as in [`Embedded::execute`].
    pub fn routes(&self, now_ms: u64) -> impl Iterator<Item = Route> {
        let live = self.entries.iter().filter(move |(_, stored)| stored.until_ms >= now_ms);
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
        self.leases.get(&lease)?.checked_sub(now_ms)
    }

    fn find(&self, now_ms: u64, name: &str) -> Found {
        self.entry(now_ms, name).cloned().map(Found::from).unwrap_or_default()
    }

    fn change<T>(&mut self, now_ms: u64, name: &str, rule: impl FnOnce(&mut Cell) -> (T, Writes)) -> T {
        let stored = self.entries.remove(name).filter(|stored| stored.until_ms >= now_ms);
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
            if stored.until_ms < now_ms {
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::registry::{Claim, Zero};

    fn url(by: LeaseId, name: &str) -> String {
        format!("ovt://{by}:9000/{name}")
    }

    fn names() -> impl Strategy<Value = Vec<Name>> {
        vec("app/[a-e]", 0..4)
    }

    fn commands() -> impl Strategy<Value = Command> {
        let lease = || (1_u64..=4).prop_map(LeaseId);
        let held = |by: LeaseId, names: Vec<Name>| {
            names.into_iter().map(|name| (name.clone(), url(by, &name))).collect()
        };
        prop_oneof![
            3 => (lease(), names(), 0_u64..3_000, proptest::option::of(lease())).prop_map(|(by, names, floor, dead)| {
                let claim = |name: Name| Claim { url: url(by, &name), name, floor, dead };
                Command::Claim { by, streams: names.into_iter().map(claim).collect() }
            }),
            2 => (lease(), names()).prop_map(move |(by, names)| Command::Keep { by, streams: held(by, names) }),
            2 => (lease(), names()).prop_map(move |(by, names)| Command::Release { by, streams: held(by, names) }),
            1 => ("app/[a-e]", 0_u64..3_000).prop_map(|(name, above)| Command::Raise { name, above }),
            2 => lease().prop_map(|by| Command::Open { by }),
            3 => lease().prop_map(|by| Command::Renew { by }),
            1 => lease().prop_map(|by| Command::Close { by }),
            2 => vec(lease(), 0..4).prop_map(Command::Alive),
            2 => names().prop_map(Command::Lookup),
            1 => (names(), -9_000_i64..9_000, proptest::bool::ANY).prop_map(|(names, ms, keeps)| {
                Command::Agree(names.into_iter().map(|name| Zero { name, ms, keeps }).collect())
            }),
        ]
    }

    proptest! {
        /// Whatever is swept was over; and what is over is swept as long as anybody writes.
        #[test]
        fn nothing_is_swept_before_its_time_and_nothing_stays_for_ever(
            events in vec((0_u64..20_000, commands()), 1..60),
        ) {
            let mut store = Embedded::default();
            let mut now_ms = 1_000;
            for (gone, command) in events {
                let before: Vec<(Name, u64)> =
                    store.entries.iter().map(|(name, stored)| (name.clone(), stored.until_ms)).collect();
                now_ms += gone;
                let may_go = matches!(command, Command::Release { .. });
                store.execute(now_ms, &command);
                for (name, until_ms) in before {
                    prop_assert!(may_go || until_ms < now_ms || store.entries.contains_key(&name));
                }
            }
            for _ in 0..8 {
                now_ms += ENTRY_MS;
                store.execute(now_ms, &Command::Renew { by: LeaseId(9) });
            }
            prop_assert!(store.is_empty(), "{store:?}");
        }
    }
}
