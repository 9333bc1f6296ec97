//! The two clocks of a node, as values.
//!
//! [`Time`] is monotonic and decides every timeout. [`Wall`] is what the world calls the time; it may step and
//! only anchors timelines and dates. Neither is ever read here: both are handed in as [`Now`].

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A moment on a node's monotonic clock, in microseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of the clock.
    pub const ZERO: Time = Time(0);

    /// A moment `us` microseconds after the start of the clock.
    pub const fn from_micros(us: u64) -> Time {
        Time(us)
    }

    /// Microseconds since the start of the clock.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, after: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, after: Duration) {
        *self = *self + after;
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, before: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(before.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A moment on a node's wall clock: microseconds since 1970-01-01T00:00:00Z. It may step in either direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(i64);

impl Wall {
    /// A moment `us` microseconds after the Unix epoch.
    pub const fn from_micros(us: i64) -> Wall {
        Wall(us)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This moment moved by `us` microseconds.
    pub const fn plus_micros(self, us: i64) -> Wall {
        Wall(self.0.saturating_add(us))
    }
}

/// What both clocks of the node show at the moment of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Time,
    /// The wall clock.
    pub wall: Wall,
}

/// When a machine has work to do if nothing else happens, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The moment on the monotonic clock.
    pub at: Time,
    /// What is waited for, in the words of a log line ("describe answer").
    pub why: &'static str,
}

/// The earlier of two deadlines, for folding the deadlines of children.
pub fn soonest(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
        (a, b) => a.or(b),
    }
}
