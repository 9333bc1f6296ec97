//! What of one track can still be asked for: its listed segments, a few older ones, and their numbers.
//!
//! A window only grows at its end and shrinks at its head, so that only allowed edits of the playlist exist
//! (RFC 8216bis section 6.2.1). It knows no packets and no clocks.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::convert::Format;
use crate::limits;
use crate::wire::fmp4::Sample;

/// A part, or a hole of its length.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Its length, in ticks.
    pub(super) duration: i64,
    /// Whether decoding can start with it.
    pub(super) independent: bool,
    /// What it holds; `None` is a gap.
    pub(super) media: Option<Media>,
}

impl Part {
    /// What can be downloaded of it.
    pub(super) fn body(&self) -> Option<&Bytes> {
        match &self.media {
            Some(Media::Body(body)) => Some(body),
            Some(Media::Samples(..)) | None => None,
        }
    }
}

/// What a part holds.
#[derive(Clone, Debug)]
pub(super) enum Media {
    /// Bytes to download: a movie fragment, or transport stream packets.
    Body(Bytes),
    /// Samples that are to be multiplexed, and when the first of them is decoded, in ticks.
    Samples(i64, Vec<Sample>),
}

impl Media {
    fn len(&self) -> usize {
        match self {
            Media::Body(body) => body.len(),
            Media::Samples(_, samples) => samples.iter().map(|sample| sample.payload.len()).sum(),
        }
    }
}

/// A segment: open until it is complete.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) msn: u64,
    /// Where it starts, in ticks.
    pub(super) start: i64,
    /// The wall-clock time of its start, in microseconds since the epoch.
    pub(super) date_us: i64,
    /// Whether the timeline or the format breaks before it.
    pub(super) discontinuity: bool,
    pub(super) format: Arc<Format>,
    pub(super) parts: Vec<Part>,
    pub(super) complete: bool,
}

impl Segment {
    /// The length of its parts so far, in ticks.
    pub(super) fn duration(&self) -> i64 {
        self.parts.iter().map(|part| part.duration).sum()
    }

    /// The same in microseconds, rounded.
    pub(super) fn duration_us(&self) -> i64 {
        micros(self.duration(), self.format.timescale)
    }

    /// Whether nothing of it can be downloaded.
    pub(super) fn is_gap(&self) -> bool {
        self.parts.iter().all(|part| part.media.is_none())
    }

    /// The pieces of its body, in order.
    pub(super) fn body(&self) -> Vec<Bytes> {
        self.parts.iter().filter_map(|part| part.body().cloned()).collect()
    }

    fn bytes(&self) -> usize {
        self.parts.iter().filter_map(|part| part.media.as_ref()).map(Media::len).sum()
    }
}

/// `ticks` in microseconds, rounded to the nearest.
pub(super) fn micros(ticks: i64, timescale: u32) -> i64 {
    let scaled = i128::from(ticks) * 2_000_000 + i128::from(timescale);
    i64::try_from(scaled.div_euclid(2 * i128::from(timescale))).unwrap_or(i64::MAX)
}

/// The segments of a track.
#[derive(Debug)]
pub(super) struct Window {
    listed: VecDeque<Segment>,
    retired: VecDeque<Segment>,
    /// Segments to list, the open one included.
    count: usize,
    /// TARGETDURATION in microseconds.
    target_us: i64,
    pub(super) discontinuity_sequence: u64,
    /// The highest bit rate of a segment so far; 0 before there was one.
    pub(super) peak_bps: u64,
    /// Whether the next segment is known to start after a discontinuity: then its first part is no hint.
    broken: bool,
    ended: bool,
    ready: Vec<(u64, u32)>,
}

impl Window {
    pub(super) fn new(count: usize, target_us: i64) -> Window {
        Window {
            listed: VecDeque::new(),
            retired: VecDeque::new(),
            count: count.max(3),
            target_us,
            discontinuity_sequence: 0,
            peak_bps: 0,
            broken: false,
            ended: false,
            ready: Vec::new(),
        }
    }

    /// Begins a segment; the one before is complete.
    pub(super) fn open(&mut self, msn: u64, start: i64, date_us: i64, format: Arc<Format>) {
        debug_assert!(self.listed.back().is_none_or(|last| last.complete && last.msn + 1 == msn));
        let discontinuity = core::mem::take(&mut self.broken);
        let parts = Vec::new();
        self.listed.push_back(Segment { msn, start, date_us, discontinuity, format, parts, complete: false });
    }

    /// Adds a segment that is one gap of `duration` ticks. A discontinuity that is to come stays to come.
    pub(super) fn pad(&mut self, msn: u64, start: i64, date_us: i64, format: Arc<Format>, duration: i64) {
        let broken = core::mem::take(&mut self.broken);
        self.open(msn, start, date_us, format);
        self.push(Part { duration, independent: false, media: None });
        self.complete();
        self.broken = broken;
    }

    /// Adds a part to the open segment.
    pub(super) fn push(&mut self, part: Part) {
        let Some(segment) = self.listed.back_mut().filter(|segment| !segment.complete) else { return };
        segment.parts.push(part);
        self.ready.push((segment.msn, segment.parts.len() as u32 - 1));
        self.trim();
    }

    /// Completes the open segment.
    pub(super) fn complete(&mut self) {
        let Some(segment) = self.listed.back_mut().filter(|segment| !segment.complete) else { return };
        segment.complete = true;
        let ready = (segment.msn, segment.parts.len().saturating_sub(1) as u32);
        let us = segment.duration_us();
        // The peak is over lengths of at least half a target duration (RFC 8216bis section 4.4.6.2).
        if us * 2 >= self.target_us {
            let bps = segment.bytes() as u128 * 8_000_000 / us.max(1) as u128;
            self.peak_bps = self.peak_bps.max(u64::try_from(bps).unwrap_or(u64::MAX));
        }
        if self.ready.last() != Some(&ready) {
            self.ready.push(ready);
        }
    }

    /// Whether segment `msn` is complete, or a later one is there: nothing will be added to it.
    pub(super) fn is_past(&self, msn: u64) -> bool {
        self.listed.back().is_some_and(|last| last.msn > msn || (last.msn == msn && last.complete))
    }

    /// Lets go of what the segments up to `msn` hold.
    pub(super) fn release(&mut self, msn: u64) {
        let segments = self.retired.iter_mut().chain(&mut self.listed);
        for part in segments.take_while(|segment| segment.msn <= msn).flat_map(|segment| &mut segment.parts) {
            part.media = None;
        }
    }

    /// How many segments are listed when there are enough, the open one included.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many of the segments end at least `us` microseconds before the last one does.
    pub(super) fn older_than(&self, us: i64) -> usize {
        let mut rest_us: i64 = self.listed.iter().map(Segment::duration_us).sum();
        let is_old = |segment: &&Segment| {
            rest_us = rest_us.saturating_sub(segment.duration_us());
            rest_us >= us
        };
        self.listed.iter().take_while(is_old).count()
    }

    /// How many discontinuities there were before the media of segment `msn`, which is listed.
    pub(super) fn discontinuities_until(&self, msn: u64) -> u64 {
        let until = self.listed.iter().take_while(|segment| segment.msn <= msn);
        self.discontinuity_sequence + until.filter(|segment| segment.discontinuity).count() as u64
    }

    /// How many discontinuities there were before the next segment.
    pub(super) fn discontinuities(&self) -> u64 {
        let listed = self.listed.iter().filter(|segment| segment.discontinuity).count() as u64;
        self.discontinuity_sequence + listed + u64::from(self.broken)
    }

    /// The first segment, if there is none yet, comes after so many discontinuities.
    pub(super) fn begin_after(&mut self, discontinuities: u64) {
        if self.listed.is_empty() {
            self.discontinuity_sequence = discontinuities;
        }
    }

    /// Nothing of what was listed is listed any more, and the next segment may have any greater number: it comes after
    /// so many discontinuities.
    pub(super) fn start_over(&mut self, discontinuities: u64) {
        let spare = self.retired.len().saturating_sub(limits::HLS_RETIRED_SEGMENTS);
        self.retired.drain(..spare);
        self.retired.extend(self.listed.drain(..));
        self.broken = false;
        self.discontinuity_sequence = discontinuities;
    }

    /// The next segment, if any, will follow a discontinuity.
    pub(super) fn break_after(&mut self) {
        self.broken = !self.listed.is_empty();
    }

    /// Nothing will follow.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The parts and completions since the last call: (segment, part).
    pub(super) fn take_ready(&mut self) -> Vec<(u64, u32)> {
        core::mem::take(&mut self.ready)
    }

    /// The open segment.
    pub(super) fn current(&self) -> Option<&Segment> {
        self.listed.back().filter(|segment| !segment.complete)
    }

    /// The number of the newest segment, even if nothing of it can be asked for yet.
    pub(super) fn newest_msn(&self) -> Option<u64> {
        self.listed.back().map(|segment| segment.msn)
    }

    /// The listed segments: those with at least one part.
    pub(super) fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.listed.iter().filter(|segment| !segment.parts.is_empty())
    }

    /// The newest part: its segment and its number there.
    pub(super) fn last(&self) -> Option<(&Segment, u32)> {
        self.segments().next_back().map(|segment| (segment, segment.parts.len() as u32 - 1))
    }

    /// The part that will come next, if it may be told.
    pub(super) fn hint(&self) -> Option<(u64, u32)> {
        let newest = self.listed.back()?;
        if self.ended || self.broken || (newest.discontinuity && newest.parts.is_empty()) {
            return None;
        }
        Some(if newest.complete { (newest.msn + 1, 0) } else { (newest.msn, newest.parts.len() as u32) })
    }

    /// A segment that can be downloaded, wholly or in parts.
    pub(super) fn find(&self, msn: u64) -> Option<&Segment> {
        self.retired.iter().chain(&self.listed).find(|segment| segment.msn == msn)
    }

    /// Every segment that can be downloaded.
    pub(super) fn all(&self) -> impl Iterator<Item = &Segment> {
        self.retired.iter().chain(&self.listed)
    }

    /// The bytes of everything that can be downloaded.
    pub(super) fn bytes(&self) -> usize {
        self.all().map(Segment::bytes).sum()
    }

    /// The average bit rate of the listed complete segments.
    pub(super) fn average_bps(&self) -> Option<u64> {
        let done = || self.listed.iter().filter(|segment| segment.complete && !segment.is_gap());
        let bits: u128 = done().map(|segment| segment.bytes() as u128 * 8).sum();
        let us: i64 = done().map(Segment::duration_us).sum();
        (us > 0).then(|| u64::try_from(bits * 1_000_000 / us as u128).unwrap_or(u64::MAX))
    }

    /// Drops the oldest segments, while what stays is still three target durations long.
    fn trim(&mut self) {
        while self.segments().count() > self.count {
            let rest: i64 = self.segments().skip(1).map(Segment::duration_us).sum();
            if rest < 3 * self.target_us {
                return;
            }
            let Some(oldest) = self.listed.pop_front() else { return };
            self.discontinuity_sequence += u64::from(oldest.discontinuity);
            self.retired.push_back(oldest);
            // One by one, also if many were retired at once: they were listed a moment ago.
            let spare = self.retired.len().saturating_sub(limits::HLS_RETIRED_SEGMENTS);
            self.retired.drain(..spare.min(2));
        }
    }
}
