//! The segment grid: which number the segment has that a moment of media time lies in.
//!
//! The number is a function of media time and of the stream's anchor, never of when a server started
//! (reference: HLS conformance, section 4), so any two packagers of the same media agree on it.

use core::time::Duration;

use crate::media::Timestamp;
use crate::time::Wall;

/// How far before its grid line a key frame may be and still begin the segment, in microseconds: it absorbs the
/// rounding of timestamps to milliseconds.
const TOLERANCE_US: i128 = 10_000;

/// Where a stream's media time zero lies. Segment numbers and dates follow from it; packagers that are to agree must
/// be given the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GridAnchor {
    /// On the wall clock, for dates.
    dates: Wall,
    /// On the grid, whose lines are the multiples of the segment duration since the Unix epoch.
    grid: Wall,
}

impl GridAnchor {
    /// The anchor of a stream whose media time zero is the wall-clock moment `zero`, for dates and on the grid.
    pub const fn at(zero: Wall) -> GridAnchor {
        GridAnchor { dates: zero, grid: zero }
    }

    /// The anchor of a stream whose media time `at` is the wall-clock moment `wall`.
    pub fn new(wall: Wall, at: Timestamp) -> GridAnchor {
        GridAnchor::at(wall.plus_micros(at.as_micros().saturating_neg()))
    }

    /// The anchor of a stream whose timestamps themselves are the grid: every packager of it agrees. Its numbers start
    /// at 1, because hls.js takes a newest segment 0 for none.
    pub fn of_timestamps(segment: Duration) -> GridAnchor {
        let segment_us = i64::try_from(segment.as_micros()).unwrap_or(i64::MAX);
        GridAnchor { dates: Wall::from_micros(0), grid: Wall::from_micros(segment_us) }
    }

    /// The same dates on a grid that is moved forward, by less than a segment, until media time `at` is on a line.
    pub fn with_line_at(self, at: Timestamp, segment: Duration) -> GridAnchor {
        let segment_us = i64::try_from(segment.as_micros()).unwrap_or(i64::MAX).max(1);
        let past_line = self.grid.plus_micros(at.as_micros()).as_micros().rem_euclid(segment_us);
        GridAnchor { grid: self.grid.plus_micros((segment_us - past_line) % segment_us), ..self }
    }

    /// The wall-clock moment of media time zero.
    pub(super) fn dates(self) -> Wall {
        self.dates
    }
}

/// An anchored grid of equal segments, with the shift that keeps a stream's numbers consecutive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    zero_us: i64,
    segment_us: i64,
    shift: i64,
}

impl Grid {
    pub(super) fn new(anchor: GridAnchor, segment: Duration) -> Grid {
        let segment_us = i64::try_from(segment.as_micros()).unwrap_or(i64::MAX).max(1);
        Grid { zero_us: anchor.grid.as_micros(), segment_us, shift: 0 }
    }

    /// The number of the segment in which `at` lies.
    pub(super) fn number(&self, at: Timestamp) -> i64 {
        let (num, den) = (i128::from(at.base().num()), i128::from(at.base().den()));
        let scaled =
            (i128::from(self.zero_us) + TOLERANCE_US) * den + i128::from(at.ticks()) * num * 1_000_000;
        clamp(scaled.div_euclid(i128::from(self.segment_us) * den) + i128::from(self.shift))
    }

    /// The media time of the grid line at which segment `number` begins.
    pub(super) fn line(&self, number: i64) -> Timestamp {
        let cell = i128::from(number) - i128::from(self.shift);
        Timestamp::from_micros(clamp(cell * i128::from(self.segment_us) - i128::from(self.zero_us)))
    }

    /// Shifts the numbers so that `at` lies in segment `number`.
    pub(super) fn renumber(&mut self, at: Timestamp, number: i64) {
        let off = i128::from(number) - i128::from(self.number(at));
        self.shift = clamp(i128::from(self.shift) + off);
    }

    pub(super) fn segment_us(&self) -> i64 {
        self.segment_us
    }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Timebase;
    use proptest::prelude::*;

    fn grid(zero_us: i64) -> Grid {
        Grid::new(GridAnchor::at(Wall::from_micros(zero_us)), Duration::from_secs(6))
    }

    #[test]
    fn a_line_can_be_laid_where_it_is_wanted() {
        let at = Timestamp::from_micros(1_234_567);
        let anchor = GridAnchor::at(Wall::from_micros(1_700_000_000_123_456));
        let moved = anchor.with_line_at(at, Duration::from_secs(6));
        assert_eq!(moved.dates(), anchor.dates());
        let (before, after) =
            (Grid::new(anchor, Duration::from_secs(6)), Grid::new(moved, Duration::from_secs(6)));
        assert_eq!(after.number(at), before.number(at) + 1);
        assert_eq!(after.number(at.plus_micros(-20_000)), before.number(at));
        assert_eq!(after.line(after.number(at)), at);
    }

    #[test]
    fn a_key_frame_just_before_its_line_begins_the_segment() {
        let number = |ms| grid(0).number(Timestamp::new(ms, Timebase::MILLIS));
        assert_eq!([number(5_989), number(5_990), number(6_000), number(11_989)], [0, 1, 1, 1]);
        assert_eq!(number(-11), -1);
    }

    #[test]
    fn the_anchor_only_moves_the_numbers() {
        let at = Timestamp::new(7_000, Timebase::MILLIS);
        assert_eq!(grid(1_800_000_000_000_000).number(at), 300_000_001);
        let anchor = GridAnchor::new(Wall::from_micros(10_000_000), at);
        assert_eq!(anchor.dates(), Wall::from_micros(3_000_000));
    }

    proptest! {
        #[test]
        fn a_line_is_where_its_number_begins(zero in 0i64..1 << 52, number in -1i64 << 30..1 << 30) {
            let grid = grid(zero);
            let line = grid.line(number);
            prop_assert_eq!(grid.number(line), number);
            prop_assert_eq!(grid.number(line.plus_micros(-10_001)), number - 1);
        }

        #[test]
        fn renumbering_holds(ticks in -1i64 << 40..1i64 << 40, number in 0i64..1 << 40) {
            let mut grid = grid(1 << 50);
            let at = Timestamp::new(ticks, Timebase::MPEG);
            grid.renumber(at, number);
            prop_assert_eq!(grid.number(at), number);
        }

        #[test]
        fn no_timestamp_overflows(ticks: i64, num in 1u32.., den in 1u32.., zero: i64) {
            let mut grid = grid(zero);
            let at = Timestamp::new(ticks, Timebase::new(num, den).unwrap());
            let number = grid.number(at);
            grid.renumber(at, 5);
            let _ = grid.line(number);
        }
    }
}
