//! The media time that a part covers.

use std::time::Duration;

use headwater_probe::fmp4::fragments;

/// What a part covers, in decoding time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Span {
    /// When its first sample begins.
    pub(in super::super) start: Duration,
    /// When its last sample begins.
    pub(in super::super) last: Duration,
    /// When its last sample ends.
    pub(in super::super) end: Duration,
}

/// The media time of the only movie fragment of a part.
pub(super) fn span(part: &[u8], timescale: u32) -> Option<Span> {
    let [fragment] = fragments(part)?[..] else { return None };
    let (start, end) = (fragment.decode_time, fragment.decode_time + fragment.duration);
    let seconds = |ticks| seconds(ticks, timescale);
    Some(Span { start: seconds(start)?, last: seconds(end - fragment.last)?, end: seconds(end)? })
}

fn seconds(ticks: u64, timescale: u32) -> Option<Duration> {
    let scale = u64::from(timescale);
    let nanos = (ticks % scale) * 1_000_000_000 / scale;
    Some(Duration::new(ticks / scale, u32::try_from(nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use headwater_probe::fmp4::made::part;

    use super::*;

    #[test]
    fn a_part_covers_its_samples() {
        let Some(span) = span(&part(45_000, 15, 3_000, b"x"), 90_000) else { panic!("a span") };
        let [start, last, end] = [15_000, 29_000, 30_000].map(|ms| Duration::from_millis(ms) / 30);
        assert_eq!((span.start, span.end), (start, end));
        assert!(span.last <= last && span.last + Duration::from_nanos(1) >= last);
    }

    #[test]
    fn two_fragments_are_no_part() {
        let both = [part(0, 15, 3_000, b"x"), part(45_000, 15, 3_000, b"y")].concat();
        assert_eq!(span(&both, 90_000), None);
    }
}
