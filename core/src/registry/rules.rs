//! The rules of the directory: what each write finds, and what it leaves. The scripts under `lua/` say the same.
//!
//! They are functions of a [`Cell`] and the store's clock. Times are milliseconds.

use super::entry::{Entry, WAITING_MAX, Waiting};
use super::{Claim, Claimed, EPOCH_MAX, Epoch, LeaseId, Zero};

/// How long an owner lives if it is not heard of.
pub const LEASE_MS: u64 = 3_000;

/// How long an entry stays if its owner does not keep it: what a dead origin leaves is gone by then.
pub const ENTRY_MS: u64 = 60_000;

/// How long a plain key stays, as with OvenMediaEngine (reference: OriginMapStore section 2).
pub const PLAIN_MS: u64 = 10_000;

/// How long an origin waits in line if it is not heard of.
pub const WAITING_MS: u64 = 7_500;

/// Moments that origins heard of one and the same time zero are at most so far apart: their clocks, and what delays
/// their packets.
pub const NEAR_MS: u64 = 5_000;

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
        if keys && cell.plain.as_ref() == Some(&old) {
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

/// Where everybody puts a stream's time zero already, if that can be meant; else it is put where it is asked for. Either
/// counts from now on for as long as an entry does.
pub fn agree(known: Option<i64>, asked: &Zero) -> Option<i64> {
    known.filter(|known| asked.keeps || known.abs_diff(asked.ms) <= NEAR_MS)
}

/// What a store has of a time zero, from its text; `None` if it is none.
pub fn parse_zero(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    /// What somebody does to a stream.
    #[derive(Clone, Debug)]
    enum Act {
        Claim(LeaseId, Claim),
        Keep(LeaseId, String),
        Raise(u64),
        Release(LeaseId, String),
    }

    fn lease() -> impl Strategy<Value = LeaseId> {
        (1_u64..=4).prop_map(LeaseId)
    }

    fn url() -> impl Strategy<Value = String> {
        "ovt://[abc]:9000/app/s"
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), 1_u64..2_000, EPOCH_MAX - 1..=EPOCH_MAX, Just(u64::MAX)]
    }

    fn claims() -> impl Strategy<Value = Claim> {
        (url(), number(), option::of(lease())).prop_map(|(url, floor, dead)| Claim {
            name: "app/s".to_owned(),
            url,
            floor,
            dead,
        })
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            3 => (lease(), claims()).prop_map(|(by, claim)| Act::Claim(by, claim)),
            1 => (lease(), url()).prop_map(|(by, url)| Act::Keep(by, url)),
            1 => number().prop_map(Act::Raise),
            2 => (lease(), url()).prop_map(|(by, url)| Act::Release(by, url)),
        ]
    }

    fn cell() -> impl Strategy<Value = Cell> {
        let waiting = (lease(), 0_u64..2_000, url()).prop_map(|(lease, until_ms, url)| Waiting {
            lease,
            until_ms,
            url,
        });
        let entry = (1..=EPOCH_MAX, lease(), 0_u64..2_000, url(), vec(waiting, 0..=WAITING_MAX)).prop_map(
            |(number, owner, since_ms, url, mut waiting)| {
                // Nobody waits twice.
                let mut seen = Vec::new();
                waiting.retain(|other: &Waiting| {
                    let fresh = !seen.contains(&other.lease);
                    seen.push(other.lease);
                    fresh
                });
                Entry { epoch: Epoch { number, owner }, since_ms, url, waiting }
            },
        );
        let plain = option::of(prop_oneof![url(), Just("http://elsewhere".to_owned()), Just("x".to_owned())]);
        (option::of(entry), plain).prop_map(|(entry, plain)| Cell { entry, plain })
    }

    fn apply(cell: &mut Cell, now_ms: u64, act: &Act, keys: bool) -> Writes {
        match act {
            Act::Claim(by, what) => claim(cell, now_ms, *by, what, keys).1,
            Act::Keep(by, url) => keep(cell, *by, url, keys).1,
            Act::Raise(above) => raise(cell, now_ms, *above),
            Act::Release(by, url) => release(cell, now_ms, *by, url, keys),
        }
    }

    fn epoch(cell: &Cell) -> Option<Epoch> {
        cell.entry.as_ref().map(|entry| entry.epoch)
    }

    proptest! {
        /// Also over clocks that step back; and every other owner has a greater number.
        #[test]
        fn an_epoch_never_falls(mut cell in cell(), acts in vec((0_u64..2_000, act()), 1..30), keys: bool) {
            for (now_ms, act) in acts {
                let before = epoch(&cell);
                apply(&mut cell, now_ms, &act, keys);
                if let (Some(before), Some(after)) = (before, epoch(&cell)) {
                    prop_assert!(after.number >= before.number, "{act:?}: {before} and then {after}");
                    let grew = after.number > before.number || before.number == EPOCH_MAX;
                    prop_assert!(grew || after.owner == before.owner, "{act:?}: {before} and then {after}");
                }
            }
        }

        #[test]
        fn an_owner_goes_only_if_it_gives_up_or_is_dead(mut cell in cell(), now_ms in 0_u64..2_000, act in act(), keys: bool) {
            let before = epoch(&cell);
            apply(&mut cell, now_ms, &act, keys);
            let Some(before) = before else { return Ok(()) };
            if epoch(&cell).map(|epoch| epoch.owner) != Some(before.owner) {
                let just = match act {
                    Act::Claim(by, claim) => claim.dead == Some(before.owner) && epoch(&cell).map(|epoch| epoch.owner) == Some(by),
                    Act::Release(by, _) => by == before.owner,
                    Act::Keep(..) | Act::Raise(_) => false,
                };
                prop_assert!(just);
            }
        }

        #[test]
        fn who_lost_a_stream_cannot_harm_its_successor(mut cell in cell(), now_ms in 0_u64..2_000, stale in lease(), url in url(), keys: bool) {
            let before = cell.clone();
            prop_assume!(before.entry.as_ref().is_some_and(|entry| entry.epoch.owner != stale));
            let kept = keep(&mut cell, stale, &url, keys);
            prop_assert_eq!(kept, (None, NOTHING));
            prop_assert_eq!(&cell, &before);
            let writes = release(&mut cell, now_ms, stale, &url, keys);
            prop_assert_eq!(writes.plain, Write::Leave);
            prop_assert_eq!(&cell.plain, &before.plain);
            let mut without = before.entry;
            without.iter_mut().for_each(|entry| entry.waiting.retain(|other| other.lease != stale));
            prop_assert_eq!(cell.entry, without);
        }

        #[test]
        fn the_first_who_waits_inherits(mut cell in cell(), now_ms in 0_u64..2_000, keys: bool) {
            let Some(Entry { epoch: before, url, waiting, .. }) = cell.entry.clone() else { return Ok(()) };
            release(&mut cell, now_ms, before.owner, &url, keys);
            let live = |other: &&Waiting| other.until_ms > now_ms && other.lease != before.owner;
            let line: Vec<Waiting> = waiting.iter().filter(live).cloned().collect();
            match (cell.entry, line.split_first()) {
                (None, None) => {}
                (Some(entry), Some((heir, rest))) => {
                    prop_assert_eq!((entry.epoch.owner, &entry.url), (heir.lease, &heir.url));
                    prop_assert_eq!(&entry.waiting[..], rest);
                }
                (entry, line) => prop_assert!(false, "{entry:?} of {line:?}"),
            }
        }

        #[test]
        fn what_is_asked_twice_is_done_once(mut cell in cell(), now_ms in 0_u64..2_000, act in act(), keys: bool) {
            apply(&mut cell, now_ms, &act, keys);
            let once = cell.clone();
            apply(&mut cell, now_ms, &act, keys);
            prop_assert_eq!(cell, once);
        }

        #[test]
        fn a_claim_is_told_the_same_again(mut cell in cell(), now_ms in 0_u64..2_000, by in lease(), what in claims(), keys: bool) {
            let told = claim(&mut cell, now_ms, by, &what, keys).0;
            prop_assert_eq!(claim(&mut cell, now_ms, by, &what, keys).0, told);
        }

        /// What an OvenMediaEngine or an operator wrote is left to them.
        #[test]
        fn a_plain_key_of_others_is_left_alone(mut cell in cell(), acts in vec((0_u64..2_000, act()), 1..30), keys: bool) {
            cell.plain = Some("http://elsewhere".to_owned());
            for (now_ms, act) in acts {
                prop_assert_eq!(apply(&mut cell, now_ms, &act, keys).plain, Write::Leave);
                prop_assert_eq!(cell.plain.as_deref(), Some("http://elsewhere"));
            }
        }

        #[test]
        fn without_plain_keys_none_is_written(mut cell in cell(), acts in vec((0_u64..2_000, act()), 1..30)) {
            for (now_ms, act) in acts {
                let before = cell.plain.clone();
                apply(&mut cell, now_ms, &act, false);
                prop_assert!(cell.plain.is_none() || cell.plain == before);
            }
        }

        /// Whatever is not said to be written has not changed, so that a store may leave it alone.
        #[test]
        fn what_changes_is_said_to_be_written(mut cell in cell(), now_ms in 0_u64..2_000, act in act(), keys: bool) {
            let before = cell.clone();
            let writes = apply(&mut cell, now_ms, &act, keys);
            prop_assert!(writes.entry == Write::Set || cell.entry == before.entry);
            prop_assert!(writes.plain == Write::Set || cell.plain == before.plain);
        }

        #[test]
        fn the_line_is_bounded_and_nobody_stands_in_it_twice(mut cell in cell(), acts in vec((0_u64..2_000, act()), 1..60)) {
            for (now_ms, act) in acts {
                apply(&mut cell, now_ms, &act, true);
                let Some(entry) = &cell.entry else { continue };
                prop_assert!(entry.waiting.len() <= WAITING_MAX);
                for (at, one) in entry.waiting.iter().enumerate() {
                    prop_assert!(entry.waiting[at + 1..].iter().all(|other| other.lease != one.lease));
                }
            }
        }
    }
}
