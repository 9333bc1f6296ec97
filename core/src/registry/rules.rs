//! The rules of the directory: what each write finds, and what it leaves. The scripts under `lua/` say the same.
//!
//! They are functions of a [`Cell`] and the store's clock. Times are milliseconds.

use super::entry::{Entry, WAITING_MAX, Waiting};
use super::{Claim, Claimed, EPOCH_MAX, Epoch, LeaseId};

/// How long an owner lives if it is not heard of.
pub const LEASE_MS: u64 = 3_000;

/// How long an entry stays if its owner does not keep it: what a dead origin leaves is gone by then.
pub const ENTRY_MS: u64 = 60_000;

/// How long a plain key stays, as with OvenMediaEngine (reference: OriginMapStore section 2).
pub const PLAIN_MS: u64 = 10_000;

/// How long an origin waits in line if it is not heard of.
pub const WAITING_MS: u64 = 7_500;

/// What a store has of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The entry.
    pub entry: Option<Entry>,
    /// The plain key.
    pub plain: Option<String>,
}

/// What is to be done with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing.
    Leave,
    /// It is written, or deleted if it is `None`, and its time begins anew.
    Set,
}

/// What is to be done with a cell after its contents were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// With the entry.
    pub entry: Write,
    /// With the plain key.
    pub plain: Write,
}

const NOTHING: Writes = Writes { entry: Write::Leave, plain: Write::Leave };

/// `by` wants to own the stream. `keys` is whether plain keys are written.
pub fn claim(cell: &mut Cell, now_ms: u64, by: LeaseId, claim: &Claim, keys: bool) -> (Claimed, Writes) {
    let url = &claim.url;
    let Some(entry) = &mut cell.entry else {
        if let Some(plain) = cell.plain.as_ref().filter(|plain| is_url(plain) && *plain != url) {
            return (Claimed::Foreign { url: plain.clone() }, NOTHING);
        }
        let number = next(now_ms, claim.floor, 0);
        return reign(cell, now_ms, by, number, url, Vec::new(), keys);
    };
    let mut waiting = core::mem::take(&mut entry.waiting);
    waiting.retain(|other| other.until_ms > now_ms);
    if entry.epoch.owner == by {
        // It was made the owner by one who gave the stream up, or asks again what it was not told.
        let number =
            if claim.floor > entry.epoch.number { next(now_ms, claim.floor, 0) } else { entry.epoch.number };
        let since = entry.since_ms;
        let (claimed, writes) = reign(cell, since, by, number, url, waiting, keys);
        return (claimed, writes);
    }
    if Some(entry.epoch.owner) == claim.dead {
        waiting.retain(|other| other.lease != by);
        let (number, old) = (next(now_ms, claim.floor, entry.epoch.number), entry.url.clone());
        if cell.plain.as_ref() == Some(&old) {
            cell.plain = None;
        }
        return reign(cell, now_ms, by, number, url, waiting, keys);
    }
    let place = Waiting { lease: by, until_ms: now_ms + WAITING_MS, url: url.clone() };
    match waiting.iter().position(|other| other.lease == by) {
        Some(at) => waiting[at] = place,
        None if waiting.len() < WAITING_MAX => waiting.push(place),
        None => {}
    }
    entry.waiting = waiting;
    (Claimed::Waiting { epoch: entry.epoch, url: entry.url.clone() }, Writes { entry: Write::Set, ..NOTHING })
}

/// `by` still has the stream at `url`. The number of its epoch, unless it is no longer the owner.
pub fn keep(cell: &mut Cell, by: LeaseId, url: &str, keys: bool) -> (Option<u64>, Writes) {
    let Some(entry) = cell.entry.as_ref().filter(|entry| entry.epoch.owner == by) else {
        return (None, NOTHING);
    };
    let number = entry.epoch.number;
    let plain = write_plain(&mut cell.plain, url, keys);
    (Some(number), Writes { entry: Write::Set, plain })
}

/// `by` gives the stream up; the first who waits gets it.
pub fn release(cell: &mut Cell, now_ms: u64, by: LeaseId, url: &str, keys: bool) -> Writes {
    let Some(entry) = &mut cell.entry else { return NOTHING };
    if entry.epoch.owner != by {
        let before = entry.waiting.len();
        entry.waiting.retain(|other| other.lease != by);
        let write = if entry.waiting.len() < before { Write::Set } else { Write::Leave };
        return Writes { entry: write, ..NOTHING };
    }
    let mut waiting = core::mem::take(&mut entry.waiting);
    waiting.retain(|other| other.until_ms > now_ms && other.lease != by);
    let was_ours = cell.plain.as_deref() == Some(url);
    if was_ours {
        cell.plain = None;
    }
    if waiting.is_empty() {
        cell.entry = None;
        let plain = if was_ours { Write::Set } else { Write::Leave };
        return Writes { entry: Write::Set, plain };
    }
    let number = next(now_ms, 0, entry.epoch.number);
    let heir = waiting.remove(0);
    let (_, mut writes) = reign(cell, now_ms, heir.lease, number, &heir.url, waiting, keys);
    if was_ours {
        writes.plain = Write::Set;
    }
    writes
}

/// An epoch of the number `above` was seen: the owner's becomes greater.
pub fn raise(cell: &mut Cell, now_ms: u64, above: u64) -> Writes {
    let Some(entry) = cell.entry.as_mut().filter(|entry| entry.epoch.number <= above) else { return NOTHING };
    entry.epoch.number = next(now_ms, above, entry.epoch.number);
    Writes { entry: Write::Set, ..NOTHING }
}

/// Makes `by` the owner.
fn reign(
    cell: &mut Cell,
    since_ms: u64,
    by: LeaseId,
    number: u64,
    url: &str,
    waiting: Vec<Waiting>,
    keys: bool,
) -> (Claimed, Writes) {
    let epoch = Epoch { number, owner: by };
    cell.entry = Some(Entry { epoch, since_ms, url: url.to_owned(), waiting });
    let plain = write_plain(&mut cell.plain, url, keys);
    (Claimed::Owner { number }, Writes { entry: Write::Set, plain })
}

/// Writes the plain key, unless somebody else's URL stands there.
fn write_plain(plain: &mut Option<String>, url: &str, keys: bool) -> Write {
    if !keys || plain.as_ref().is_some_and(|plain| is_url(plain) && plain != url) {
        return Write::Leave;
    }
    *plain = Some(url.to_owned());
    Write::Set
}

/// The number of a new epoch: the clock, but above everything that is known.
fn next(now_ms: u64, floor: u64, last: u64) -> u64 {
    now_ms.max(floor.saturating_add(1)).max(last.saturating_add(1)).min(EPOCH_MAX)
}

/// Whether a plain key's value means something to those who read it. Anything else is rubbish that may be written over.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !rest.is_empty()
}
