//! Timestamps that know their timebase.

use core::cmp::Ordering;
use core::fmt;
use core::time::Duration;

/// Seconds per tick, as a fraction. Both parts are at least 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timebase {
    num: u32,
    den: u32,
}

impl Timebase {
    /// 1/1000: RTMP, and what OvenMediaEngine relays of it.
    pub const MILLIS: Timebase = Timebase { num: 1, den: 1_000 };
    /// 1/90000: MPEG video.
    pub const MPEG: Timebase = Timebase { num: 1, den: 90_000 };
    /// 1/1000000: the node's own clocks.
    pub const MICROS: Timebase = Timebase { num: 1, den: 1_000_000 };

    /// `num`/`den` seconds per tick, or `None` if either is zero.
    pub const fn new(num: u32, den: u32) -> Option<Timebase> {
        if num == 0 || den == 0 { None } else { Some(Timebase { num, den }) }
    }

    /// One tick per sample at `rate` Hz (at least 1).
    pub const fn hertz(rate: u32) -> Timebase {
        Timebase { num: 1, den: if rate == 0 { 1 } else { rate } }
    }

    /// The numerator: seconds.
    pub const fn num(self) -> u32 {
        self.num
    }

    /// The denominator: ticks.
    pub const fn den(self) -> u32 {
        self.den
    }
}

impl fmt::Debug for Timebase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

/// A moment of media time: ticks of a timebase. Two timestamps compare by the time they mean.
#[derive(Clone, Copy)]
pub struct Timestamp {
    ticks: i64,
    base: Timebase,
}

impl Timestamp {
    /// `ticks` of `base`.
    pub const fn new(ticks: i64, base: Timebase) -> Timestamp {
        Timestamp { ticks, base }
    }

    /// `us` microseconds.
    pub const fn from_micros(us: i64) -> Timestamp {
        Timestamp { ticks: us, base: Timebase::MICROS }
    }

    /// The number of ticks.
    pub const fn ticks(self) -> i64 {
        self.ticks
    }

    /// The timebase of the ticks.
    pub const fn base(self) -> Timebase {
        self.base
    }

    /// The same moment in `base`, rounded to the nearest tick (halves up).
    pub fn to(self, base: Timebase) -> Timestamp {
        if base == self.base {
            return self;
        }
        let num = i128::from(self.ticks) * i128::from(self.base.num) * i128::from(base.den);
        let den = i128::from(self.base.den) * i128::from(base.num);
        let (whole, rest) = (num.div_euclid(den), num.rem_euclid(den));
        let ticks = whole + i128::from(rest >= den - rest);
        Timestamp { ticks: i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX }), base }
    }

    /// The same moment in microseconds, rounded to the nearest.
    pub fn as_micros(self) -> i64 {
        self.to(Timebase::MICROS).ticks
    }

    /// This moment moved by `ticks` of its own timebase.
    pub const fn plus_ticks(self, ticks: i64) -> Timestamp {
        Timestamp { ticks: self.ticks.saturating_add(ticks), base: self.base }
    }

    /// This moment moved by `us` microseconds, rounded to its own timebase.
    pub fn plus_micros(self, us: i64) -> Timestamp {
        self.plus_ticks(Timestamp::from_micros(us).to(self.base).ticks)
    }

    /// Microseconds from `earlier` to here; negative if `earlier` is later.
    pub fn micros_since(self, earlier: Timestamp) -> i64 {
        if self.base == earlier.base {
            return Timestamp::new(self.ticks.saturating_sub(earlier.ticks), self.base).as_micros();
        }
        self.as_micros().saturating_sub(earlier.as_micros())
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.micros_since(earlier)).unwrap_or(0))
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Timestamp) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Timestamp) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Timestamp) -> Ordering {
        if self.base == other.base {
            return self.ticks.cmp(&other.ticks);
        }
        let left = i128::from(self.ticks) * i128::from(self.base.num) * i128::from(other.base.den);
        let right = i128::from(other.ticks) * i128::from(other.base.num) * i128::from(self.base.den);
        left.cmp(&right)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}·{:?}", self.ticks, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounds_to_the_nearest_tick() {
        let audio = Timebase::hertz(48_000);
        assert_eq!(Timestamp::new(1_024, audio).to(Timebase::MILLIS).ticks(), 21);
        assert_eq!(Timestamp::new(-1_024, audio).to(Timebase::MILLIS).ticks(), -21);
        assert_eq!(Timestamp::new(21, Timebase::MILLIS).to(audio).ticks(), 1_008);
    }

    #[test]
    fn compares_across_timebases() {
        assert_eq!(Timestamp::new(1, Timebase::MILLIS), Timestamp::new(90, Timebase::MPEG));
        assert!(Timestamp::new(1, Timebase::MILLIS) < Timestamp::new(91, Timebase::MPEG));
    }

    #[test]
    fn extremes_do_no_harm() {
        let (coarse, fine) = (Timebase::new(u32::MAX, 1).unwrap(), Timebase::new(1, u32::MAX).unwrap());
        assert_eq!(Timestamp::new(i64::MIN, coarse).to(fine).ticks(), i64::MIN);
        assert_eq!(Timestamp::new(i64::MAX, coarse).to(fine).ticks(), i64::MAX);
        assert_eq!(Timestamp::new(i64::MAX / 4, fine).to(coarse).ticks(), 0);
    }

    proptest! {
        #[test]
        fn a_finer_timebase_loses_nothing(ms in -1i64 << 40..1i64 << 40) {
            let there = Timestamp::new(ms, Timebase::MILLIS).to(Timebase::MPEG);
            prop_assert_eq!(there.to(Timebase::MILLIS).ticks(), ms);
        }
    }
}
