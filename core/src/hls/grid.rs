//! The segment grid: which number the segment has that a moment of media time lies in.
//!
//! The number is a function of media time and of the stream's anchor, never of when a server started
//! (reference: HLS conformance, section 4), so any two packagers of the same media agree on it.

use core::time::Duration;

use super::segmenter::target_duration_s;
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
    /// On the grid, whose lines are the multiples of the segment length since the Unix epoch.
    grid: Wall,
    /// Whether others have the same timeline.
    shared: bool,
}

impl GridAnchor {
    /// The anchor of a stream whose media time zero is the wall-clock moment `zero`, for dates and on the grid.
    pub const fn at(zero: Wall) -> GridAnchor {
        GridAnchor { dates: zero, grid: zero, shared: false }
    }

    /// The anchor of a stream whose media time `at` is the wall-clock moment `wall`.
    pub fn new(wall: Wall, at: Timestamp) -> GridAnchor {
        GridAnchor::at(wall.plus_micros(at.as_micros().saturating_neg()))
    }

    /// The anchor of a stream whose timestamps mean the same to everybody: they alone say which number a segment has
    /// and where it begins, so every packager of the stream makes the same segments, whenever it began.
    pub const fn of_timestamps() -> GridAnchor {
        GridAnchor { dates: Wall::from_micros(0), grid: Wall::from_micros(0), shared: true }
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

/// The length of a cell of the grid: a whole number of frames where that is known, else what was configured.
///
/// At 29.97 frames a second and key frames every 60 frames, cells of 6 s would every now and then have no key frame;
/// cells of 180 frames, 6.006 s, all have one at the same place (reference: HLS conformance, section 4, formula 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Length {
    /// Microseconds, as a fraction.
    num: i128,
    den: i128,
}

impl Length {
    /// The number of frames that is nearest to `segment`, at `rate` frames a second, if it is near; fewer if TARGETDURATION
    /// demands it.
    fn of(segment: Duration, rate: Option<f64>) -> Length {
        let segment_us = i128::try_from(segment.as_micros()).unwrap_or(i128::MAX).max(1);
        let exact = Length { num: segment_us, den: 1 };
        let Some((frames, seconds)) = rate.and_then(fraction) else { return exact };
        let limit_us = i128::from(target_duration_s(segment)) * 1_000_000 + 500_000 - FRAME_US_MAX;
        let nearest = (segment_us * frames + seconds * 500_000) / (seconds * 1_000_000);
        let whole = nearest.min(limit_us * frames / (seconds * 1_000_000));
        let length = Length { num: whole * seconds * 1_000_000, den: frames };
        let off_by = (length.num - segment_us * length.den).abs();
        if whole > 0 && off_by * 100 <= segment_us * length.den { length } else { exact }
    }
}

/// A frame rate as frames in seconds: a whole number of frames a second, or that many in 1.001 s.
fn fraction(rate: f64) -> Option<(i128, i128)> {
    let nominal = rate.round();
    let near = |exact: f64| (rate - exact).abs() <= exact * RATE_TOLERANCE;
    let frames = nominal as i128;
    match () {
        () if !(1.0..=1_000.0).contains(&nominal) => None,
        () if near(nominal) => Some((frames, 1)),
        () if near(nominal * 1_000.0 / 1_001.0) => Some((frames * 1_000, 1_001)),
        () => None,
    }
}

/// How far a frame rate that is told as a decimal may be from what is meant: 23.98 is 24000/1001.
const RATE_TOLERANCE: f64 = 0.000_2;

/// By how much a segment may be longer than its cell, in microseconds: its audio ends with a frame of its own.
const FRAME_US_MAX: i128 = 30_000;

/// An anchored grid of equal cells. Of a timeline that is not shared, the numbers can be shifted to keep them
/// consecutive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    zero_us: i64,
    segment: Duration,
    length: Length,
    shift: i64,
    shared: bool,
}

impl Grid {
    pub(super) fn new(anchor: GridAnchor, segment: Duration) -> Grid {
        Grid {
            zero_us: anchor.grid.as_micros(),
            segment,
            length: Length::of(segment, None),
            // hls.js takes a newest segment 0 for none.
            shift: i64::from(anchor.shared),
            shared: anchor.shared,
        }
    }

    /// The same grid for a stream of so many frames a second: on a shared timeline its cells are whole frames.
    pub(super) fn for_frames(self, rate: Option<f64>) -> Grid {
        let rate = rate.filter(|_| self.shared);
        Grid { length: Length::of(self.segment, rate), ..self }
    }

    /// Whether every packager of the stream has the same grid with the same numbers.
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// The number of the segment in which `at` lies.
    pub(super) fn number(&self, at: Timestamp) -> i64 {
        let (num, den) = (i128::from(at.base().num()), i128::from(at.base().den()));
        let scaled =
            (i128::from(self.zero_us) + TOLERANCE_US) * den + i128::from(at.ticks()) * num * 1_000_000;
        let cell = scaled
            .checked_mul(self.length.den)
            .map_or(i128::MAX, |scaled| scaled.div_euclid(self.length.num * den));
        clamp(cell.saturating_add(i128::from(self.shift)))
    }

    /// The media time of the grid line at which segment `number` begins.
    pub(super) fn line(&self, number: i64) -> Timestamp {
        let cell = i128::from(number) - i128::from(self.shift);
        let since_zero = cell.saturating_mul(self.length.num).div_euclid(self.length.den);
        Timestamp::from_micros(clamp(since_zero - i128::from(self.zero_us)))
    }

    /// Shifts the numbers so that `at` lies in segment `number`; from then on they are this packager's own.
    pub(super) fn renumber(&mut self, at: Timestamp, number: i64) {
        let off = i128::from(number) - i128::from(self.number(at));
        self.shift = clamp(i128::from(self.shift) + off);
        self.shared &= off == 0;
    }

    /// The length of a cell, in microseconds.
    pub(super) fn segment_us(&self) -> i64 {
        clamp(self.length.num / self.length.den)
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
    fn cells_of_a_shared_timeline_are_whole_frames() {
        let length = |segment_ms, rate| {
            let length = Length::of(Duration::from_millis(segment_ms), Some(rate));
            (length.num, length.den)
        };
        let us = |segment_ms, rate| {
            let (num, den) = length(segment_ms, rate);
            (num as f64 / den as f64).round() as i64
        };
        for (segment_ms, rate, expected) in [
            (6_000, 30.0, 6_000_000),
            (6_000, 29.97, 6_006_000),
            (6_000, 30_000.0 / 1_001.0, 6_006_000),
            (6_000, 59.94, 6_006_000),
            (4_000, 23.976, 4_004_000),
            (4_000, 23.98, 4_004_000),
            (1_000, 29.97, 1_001_000),
            (6_000, 25.0, 6_000_000),
            (6_000, 50.0, 6_000_000),
            // Half a frame more or less would be too much, and who knows what these rates mean.
            (500, 25.0, 500_000),
            // No segment is longer than TARGETDURATION, which is 1 here.
            (1_487, 29.97, 1_487_000),
            (1_510, 29.97, 1_501_500),
            (6_000, 12.34, 6_000_000),
            (6_000, 0.0, 6_000_000),
            (6_000, f64::NAN, 6_000_000),
            (6_000, 1e300, 6_000_000),
        ] {
            assert_eq!(us(segment_ms, rate), expected, "{segment_ms} ms at {rate}");
        }
        // Not for those that nobody shares: they have always been what was configured.
        let own = Grid::new(GridAnchor::default(), Duration::from_secs(6)).for_frames(Some(29.97));
        assert_eq!(own.segment_us(), 6_000_000);
    }

    #[test]
    fn no_number_is_left_out_where_key_frames_are_as_far_apart_as_cells() {
        let grid = Grid::new(GridAnchor::of_timestamps(), Duration::from_secs(6)).for_frames(Some(29.97));
        let key = |k: i64| Timestamp::from_micros(1_790_000_000_000_000 + k * 6_006_000);
        let first = grid.number(key(0));
        for k in 0..20_000 {
            assert_eq!(grid.number(key(k)), first + k);
        }
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
        fn lines_of_whole_frames_are_where_their_numbers_begin(number in 0i64..1 << 40, rate in prop_oneof![Just(29.97), Just(23.976), Just(59.94), Just(25.0)]) {
            let grid = Grid::new(GridAnchor::of_timestamps(), Duration::from_secs(6)).for_frames(Some(rate));
            let line = grid.line(number);
            prop_assert_eq!(grid.number(line), number);
            prop_assert_eq!(grid.number(line.plus_micros(-10_001)), number - 1);
        }

        #[test]
        fn no_timestamp_overflows(ticks: i64, num in 1u32.., den in 1u32.., zero: i64, shared: bool) {
            let mut grid = match shared {
                true => Grid::new(GridAnchor::of_timestamps(), Duration::from_secs(6)).for_frames(Some(29.97)),
                false => grid(zero),
            };
            let at = Timestamp::new(ticks, Timebase::new(num, den).unwrap());
            let number = grid.number(at);
            grid.renumber(at, 5);
            let _ = grid.line(number);
        }
    }
}
