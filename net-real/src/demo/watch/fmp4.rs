//! The media time that a part covers (ISO/IEC 14496-12), and nothing else of it.

use std::time::Duration;

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

/// The media time of a movie fragment.
pub(super) fn span(part: &[u8], timescale: u32) -> Option<Span> {
    let traf = child(child(part, b"moof")?, b"traf")?;
    let (tfhd, tfdt, trun) = (child(traf, b"tfhd")?, child(traf, b"tfdt")?, child(traf, b"trun")?);
    let start = match tfdt.first()? {
        0 => u64::from(word(tfdt, 4)?),
        _ => u64::from(word(tfdt, 4)?) << 32 | u64::from(word(tfdt, 8)?),
    };
    let (length, last) = durations(trun, default_duration(tfhd)?)?;
    let end = start.checked_add(length)?;
    let seconds = |ticks| seconds(ticks, timescale);
    Some(Span { start: seconds(start)?, last: seconds(end - last)?, end: seconds(end)? })
}

/// The ticks per second of the only track of an initialization section.
pub(super) fn timescale(init: &[u8]) -> Option<u32> {
    let mdhd = child(child(child(child(init, b"moov")?, b"trak")?, b"mdia")?, b"mdhd")?;
    let at = if *mdhd.first()? == 0 { 12 } else { 20 };
    word(mdhd, at).filter(|timescale| *timescale > 0)
}

/// The durations of all samples together and of the last one, in ticks.
fn durations(trun: &[u8], default: u32) -> Option<(u64, u64)> {
    let (flags, count) = (word(trun, 0)?, word(trun, 4)?);
    if flags & 0x100 == 0 {
        let last = if count == 0 { 0 } else { default.into() };
        return Some((u64::from(count) * u64::from(default), last));
    }
    let first = 8 + 4 * (flags & 0x5).count_ones() as usize;
    let stride = 4 * (flags & 0xf00).count_ones() as usize;
    let (mut sum, mut last) = (0, 0);
    for sample in 0..count as usize {
        last = word(trun, first + sample * stride)?.into();
        sum += last;
    }
    Some((sum, last))
}

/// The default sample duration; 0 if there is none.
fn default_duration(tfhd: &[u8]) -> Option<u32> {
    let flags = word(tfhd, 0)?;
    if flags & 0x8 == 0 {
        return Some(0);
    }
    let before = if flags & 0x1 != 0 { 8 } else { 0 } + if flags & 0x2 != 0 { 4 } else { 0 };
    word(tfhd, 8 + before)
}

fn seconds(ticks: u64, timescale: u32) -> Option<Duration> {
    let scale = u64::from(timescale);
    let nanos = (ticks % scale) * 1_000_000_000 / scale;
    Some(Duration::new(ticks / scale, u32::try_from(nanos).ok()?))
}

/// The body of the first box of this kind.
fn child<'a>(mut boxes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    loop {
        let size = word(boxes, 0)? as usize;
        let (this, rest) = boxes.split_at_checked(size)?;
        if this.get(4..8)? == kind {
            return Some(&this[8..]);
        }
        boxes = rest;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn mp4_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + body.len()).unwrap().to_be_bytes();
        [&size[..], kind, body].concat()
    }

    /// A part of `count` samples of `duration` ticks, with `marks` as its media.
    pub(in super::super) fn part(start: u64, count: u32, duration: u32, marks: &[u8]) -> Vec<u8> {
        let tfhd =
            [&0x0002_0008_u32.to_be_bytes()[..], &1_u32.to_be_bytes(), &duration.to_be_bytes()].concat();
        let tfdt = [&[1, 0, 0, 0][..], &start.to_be_bytes()].concat();
        let trun = [&0_u32.to_be_bytes()[..], &count.to_be_bytes()].concat();
        let traf = [mp4_box(b"tfhd", &tfhd), mp4_box(b"tfdt", &tfdt), mp4_box(b"trun", &trun)].concat();
        [mp4_box(b"moof", &mp4_box(b"traf", &traf)), mp4_box(b"mdat", marks)].concat()
    }

    pub(in super::super) fn init(timescale: u32) -> Vec<u8> {
        let mdhd = [&[0; 12][..], &timescale.to_be_bytes(), &[0; 8]].concat();
        let trak = mp4_box(b"trak", &mp4_box(b"mdia", &mp4_box(b"mdhd", &mdhd)));
        [mp4_box(b"ftyp", b"iso6"), mp4_box(b"moov", &trak)].concat()
    }

    #[test]
    fn reads_a_part_made_by_ovenmediaengine() {
        let part =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/20-video-part-2.body"));
        let init =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/14-video-init.body"));
        let timescale = timescale(init).unwrap();
        let Span { start, last, end } = span(part, timescale).unwrap();
        // The declared durations are those of RTMP's whole milliseconds.
        assert!((499..=501).contains(&(end - start).as_millis()), "{start:?} {end:?}");
        assert!((33..=34).contains(&(end - last).as_millis()), "{last:?} {end:?}");
    }

    #[test]
    fn reads_what_is_declared_once_for_all_samples() {
        let span = span(&part(45_000, 15, 3_000, b"x"), 90_000);
        let [start, last, end] = [15_000, 29_000, 30_000].map(|ms| Duration::from_millis(ms) / 30);
        let frame = Duration::from_nanos(1);
        let Some(span) = span else { panic!("a span") };
        assert_eq!((span.start, span.end), (start, end));
        assert!(span.last <= last && span.last + frame >= last);
        assert_eq!(timescale(&init(48_000)), Some(48_000));
    }

    #[test]
    fn bytes_that_end_anywhere_do_not_panic() {
        let whole = [init(1), part(u64::MAX, u32::MAX, u32::MAX, b"x")].concat();
        for end in 0..whole.len() {
            let _ = (timescale(&whole[..end]), span(&whole[..end], 1));
            let _ = (timescale(&whole[end..]), span(&whole[end..], 1));
        }
    }
}
