//! The directory of streams: who holds which, and who may say so.
//!
//! A stream's place in the directory is an [`entry`]: its owner's URL and an [`Epoch`]. The owner is a [`LeaseId`]: a
//! number that an origin draws, keeps alive in the store with one short command however many streams it has, and
//! never takes up again once it was lost. The [`rules`] compare before they write, so whoever lost a stream cannot
//! harm its successor. They are written twice, here for the [`Embedded`] store and in Lua for Redis ([`redis`]), and
//! one test-suite holds both to the same answers.
//!
//! * [`announcer`]: an origin's side. It opens the lease, claims streams, waits for those that another origin holds.
//! * [`resolver`]: an edge's side. It looks streams up, and watches those that are being pulled.
//!
//! * [`timekeeper`]: an origin's other side. It agrees with the others on where a stream's time zero lies.
//!
//! Beside each entry lies a plain key (`app/stream`, an `ovt://` URL, 10 s) as OvenMediaEngine writes and reads it
//! (reference: OriginMapStore). Nothing here opens a connection: [`Command`]s go out and [`Answer`]s come in.

pub mod announcer;
mod embedded;
pub mod entry;
mod line;
pub mod redis;
pub mod resolver;
pub mod rules;
#[cfg(test)]
mod tests;
pub mod timekeeper;

use core::fmt;
use core::str::FromStr;

pub use announcer::Announcer;
pub use embedded::Embedded;
pub use line::Change;
pub use resolver::Resolver;
pub use timekeeper::Timekeeper;

/// An origin's claim to be alive: drawn at random, never used twice, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for LeaseId {
    type Err = NotALease;

    fn from_str(text: &str) -> Result<LeaseId, NotALease> {
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(LeaseId).ok_or(NotALease)
    }
}

/// A text that is not 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lease is 16 lower-case hexadecimal digits")]
pub struct NotALease;

/// One reign over a stream. A later reign has a greater epoch.
///
/// The number is the store's clock in milliseconds, or one more than the last epoch's number where that is greater,
/// so that epochs grow even over a store that lost its data. Should two histories of a store give the same number, the
/// owners still differ: no two owners ever share an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// From 1 to [`EPOCH_MAX`].
    pub number: u64,
    /// Whose reign it is.
    pub owner: LeaseId,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.owner)
    }
}

/// The greatest number of an epoch: Lua counts in doubles, which are exact up to here.
pub const EPOCH_MAX: u64 = 999_999_999_999_999;

/// The name of a stream in the directory: `app/stream`, without the virtual host, as OvenMediaEngine has it.
pub type Name = String;

/// What is asked of a store. Every write compares first; a command that was carried out twice has done no more than
/// one that was carried out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Where does everybody put the time zero of these streams? Answered by [`Answer::Agreed`].
    Agree(Vec<Zero>),
    /// Which of these owners are alive? Answered by [`Answer::Alive`].
    Alive(Vec<LeaseId>),
    /// Make these streams `by`'s. Answered by [`Answer::Claimed`].
    Claim {
        /// Whose.
        by: LeaseId,
        /// Which.
        streams: Vec<Claim>,
    },
    /// `by` is alive no more.
    Close {
        /// Who.
        by: LeaseId,
    },
    /// `by` still holds these streams. Answered by [`Answer::Kept`].
    Keep {
        /// Who.
        by: LeaseId,
        /// Which streams, and where they are.
        streams: Vec<(Name, String)>,
    },
    /// Where are these streams? Answered by [`Answer::Found`].
    Lookup(Vec<Name>),
    /// `by` is alive from now on. Answered by [`Answer::Renewed`].
    Open {
        /// Who.
        by: LeaseId,
    },
    /// An epoch was seen that is greater than that of the stream's owner: give the owner one above it. Answered by
    /// [`Answer::Done`].
    Raise {
        /// Which stream.
        name: Name,
        /// What was seen.
        above: u64,
    },
    /// `by` gives these streams up, to the first who waits if there is one. Answered by [`Answer::Done`].
    Release {
        /// Who.
        by: LeaseId,
        /// Which streams, and where they were.
        streams: Vec<(Name, String)>,
    },
    /// `by` is still alive. Answered by [`Answer::Renewed`].
    Renew {
        /// Who.
        by: LeaseId,
    },
}

/// Where an origin would put a stream's time zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zero {
    /// Which stream.
    pub name: Name,
    /// The moment, in milliseconds since the Unix epoch: 15 digits at most.
    pub ms: i64,
    /// Whether it is there already, so that it cannot be put elsewhere any more.
    pub keeps: bool,
}

/// A stream that an origin has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub name: Name,
    /// Where: `ovt://host:port/app/stream`.
    pub url: String,
    /// The greatest number of an epoch of this stream that the origin knows of; the new one is above it.
    pub floor: u64,
    /// An owner that was found to be dead: if it is still the owner, it is no longer.
    pub dead: Option<LeaseId>,
}

/// What a store says. Lists are in the order of the command's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Where each time zero is, in milliseconds since the Unix epoch.
    Agreed(Vec<i64>),
    /// How much longer each lives if it is not heard of, in milliseconds; `None` is dead.
    Alive(Vec<Option<u64>>),
    /// What became of each claim.
    Claimed(Vec<Claimed>),
    /// It was done, or there was nothing to do.
    Done,
    /// What there is of each.
    Found(Vec<Found>),
    /// The number of each stream's epoch; `None` if another owns it, or nobody.
    Kept(Vec<Option<u64>>),
    /// Whether the owner is alive.
    Renewed(bool),
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Somebody who knows nothing of leases has the plain key: an OvenMediaEngine, or an operator.
    Foreign {
        /// The key's value.
        url: String,
    },
    /// The stream is the claimant's, in the epoch of this number.
    Owner {
        /// See [`Epoch::number`].
        number: u64,
    },
    /// Another owns it. The claimant waits in line, for as long as it claims again in time.
    Waiting {
        /// Who owns it.
        epoch: Epoch,
        /// Where.
        url: String,
    },
}

/// What a store has of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Who owns it, and where it is.
    pub owner: Option<(Epoch, String)>,
    /// Where else it is: origins that wait, the first in line first.
    pub waiting: Vec<String>,
    /// The plain key's value.
    pub plain: Option<String>,
}

impl From<entry::Entry> for Found {
    fn from(entry: entry::Entry) -> Found {
        let waiting = entry.waiting.into_iter().map(|waiting| waiting.url).collect();
        Found { owner: Some((entry.epoch, entry.url)), waiting, plain: None }
    }
}

impl Found {
    fn with_plain(self, plain: Option<String>) -> Found {
        Found { plain, ..self }
    }
}

/// An entry, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The stream.
    pub name: Name,
    /// Its owner's reign.
    pub epoch: Epoch,
    /// Where it is.
    pub url: String,
    /// When the reign began, in milliseconds since the Unix epoch, by the store's clock.
    pub since_ms: u64,
    /// Where else it is: origins that wait, the first in line first.
    pub waiting: Vec<String>,
    /// Whether the owner is alive.
    pub alive: bool,
}

/// Why a command was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The store answered with an error: credentials, a read-only replica, a key of another kind.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// The store answers something that cannot be understood.
    #[error("the store answers nonsense: {0}")]
    Nonsense(String),
    /// The store cannot be reached, or did not answer in time.
    #[error("the store is away: {0}")]
    Away(String),
}
