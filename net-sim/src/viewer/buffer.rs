//! What a player has buffered of one track, and the clock that plays it. It knows no playlists.

use core::time::Duration;

use headwater_core::time::Time;

/// Spans of playable time, in microseconds on the player's timeline, apart and in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    spans: Vec<(i64, i64)>,
}

impl Buffer {
    pub(crate) fn add(&mut self, start: i64, end: i64) {
        if end <= start {
            return;
        }
        let (mut start, mut end) = (start, end);
        self.spans.retain(|&(from, to)| {
            let apart = to + ROUNDING_US < start || end + ROUNDING_US < from;
            if !apart {
                start = start.min(from);
                end = end.max(to);
            }
            apart
        });
        let place = self.spans.partition_point(|&(from, _)| from < start);
        self.spans.insert(place, (start, end));
    }

    /// Forgets what was played before `position`.
    pub(crate) fn drop_before(&mut self, position: i64) {
        self.spans.retain(|&(_, to)| to > position);
    }

    /// Until when it can be played from `position` without a hole; `position` itself if not at all.
    pub(crate) fn end_from(&self, position: i64) -> i64 {
        let mut end = position;
        for &(from, to) in &self.spans {
            if from <= end + HOLE_US && to > end {
                end = to;
            }
        }
        end
    }

    /// The first moment after `position` from which something is buffered.
    pub(crate) fn next_start(&self, position: i64) -> Option<i64> {
        self.spans.iter().map(|&(from, _)| from).find(|&from| from > position)
    }

    pub(crate) fn first(&self) -> Option<i64> {
        self.spans.first().map(|&(from, _)| from)
    }
}

/// The playback clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Playback {
    /// Nothing was played yet.
    Idle,
    /// Playing since a moment, from a position.
    Playing { since: Time, from: i64 },
    /// Out of media at a position, since a moment.
    Stalled { since: Time, at: i64 },
}

impl Playback {
    /// The position at `now`, if playing has begun.
    pub(crate) fn position(self, now: Time) -> Option<i64> {
        match self {
            Playback::Idle => None,
            Playback::Stalled { at, .. } => Some(at),
            Playback::Playing { since, from } => {
                Some(from + i64::try_from(now.since(since).as_micros()).unwrap_or(i64::MAX / 2))
            }
        }
    }
}

/// When a position that is `us` after the one played at `since` is reached.
pub(crate) fn reached(since: Time, us: i64) -> Time {
    since + Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

/// Neighbouring spans are this inexact when timestamps are whole milliseconds.
const ROUNDING_US: i64 = 1_500;
/// Holes up to this are played over (hls.js: maxBufferHole).
const HOLE_US: i64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_grow_together_and_holes_end_them() {
        let mut buffer = Buffer::default();
        buffer.add(0, 1_000_000);
        buffer.add(2_000_000, 3_000_000);
        assert_eq!(buffer.end_from(0), 1_000_000);
        assert_eq!(buffer.next_start(1_000_000), Some(2_000_000));
        buffer.add(1_000_900, 2_000_000);
        assert_eq!(buffer.spans, [(0, 3_000_000)]);
        buffer.add(3_090_000, 4_000_000);
        assert_eq!(buffer.end_from(500_000), 4_000_000);
        assert_eq!(buffer.end_from(5_000_000), 5_000_000);
        buffer.drop_before(3_000_000);
        assert_eq!(buffer.first(), Some(3_090_000));
    }
}
