//! One rendition's segments: what its tracks have in each, multiplexed.
//!
//! A segment is made when every track is through with it. A track that is behind by the length of a segment is not waited
//! for, so that one that has stopped stops nobody; what it brings for the segment later is lost.

use std::sync::Arc;

use bytes::Bytes;

use crate::hls::convert::Format;
use crate::hls::lane::Lane;
use crate::hls::segmenter::Segmenter;
use crate::hls::window::{Media, Part, Segment, Window, micros};
use crate::media::{Kind, Timebase, Timestamp, TrackId};
use crate::wire::mpegts::{self, STREAMS_MAX, Unit};

/// What a rendition is muxed of, and its segments.
#[derive(Debug)]
pub(super) struct Mux {
    /// Its name in URLs.
    pub(super) id: String,
    /// Its tracks. The first one says where segments begin and end, and carries the clock.
    pub(super) tracks: Vec<TrackId>,
    pub(super) window: Window,
    /// As many segments are listed.
    pub(super) count: usize,
    /// The newest segment that was made, or left out.
    pub(super) newest: Option<u64>,
}

/// A track's part of one segment.
struct Stream<'a> {
    format: &'a Arc<Format>,
    segment: Option<&'a Segment>,
    kind: Kind,
}

impl Mux {
    pub(super) fn new(id: String, tracks: Vec<TrackId>, count: usize, target_us: i64) -> Mux {
        Mux { id, tracks, window: Window::new(count, target_us), count, newest: None }
    }

    /// Makes the next segment if it is time for it. Returns its number.
    ///
    /// A packager that has begun within a segment does not make it, where others do under the same name.
    pub(super) fn advance(&mut self, segmenter: &Segmenter) -> Option<u64> {
        let leader = segmenter.lane(*self.tracks.first()?)?;
        let newest = self.newest;
        if newest.is_some_and(|newest| !leader.window.is_past(newest + 1)) {
            return None;
        }
        let is_next =
            |segment: &&Segment| segment.complete && newest.is_none_or(|newest| segment.msn > newest);
        let segment = leader.window.segments().find(is_next)?;
        let msn = segment.msn;
        let lanes = || self.tracks.iter().filter_map(|track| segmenter.lane(*track));
        let is_early = lanes().any(|lane| !lane.window.is_past(msn));
        let end_us = micros(segment.start, segment.format.timescale).saturating_add(segment.duration_us());
        let is_late = leader.end_us().saturating_sub(end_us) >= segmenter.segment_us();
        if is_early && !is_late && segmenter.has_begun() {
            return None;
        }
        let is_whole = !lanes().any(|lane| segmenter.may_lack(lane, msn));
        let streams: Vec<Stream<'_>> =
            lanes().filter_map(|lane| Stream::of(lane, msn)).take(STREAMS_MAX).collect();
        let body = if is_whole { multiplex(&streams) } else { None };
        self.newest = Some(msn);
        if !is_whole && self.window.newest_msn().is_none() {
            // There is one such segment in an epoch.
            return self.advance(segmenter);
        }
        self.follow(leader, segment);
        self.window.open(msn, segment.start, segment.date_us, segment.format.clone());
        let independent = segment.parts.first().is_some_and(|part| part.independent);
        let media = body.map(Media::Body);
        self.window.push(Part { duration: segment.duration(), independent, media });
        self.window.complete();
        Some(msn)
    }

    /// Keeps numbers and discontinuities in step with those of the leading track, whose next segment is `next`.
    fn follow(&mut self, leader: &Lane, next: &Segment) {
        let discontinuities = leader.window.discontinuities_until(next.msn);
        let missing = self.window.newest_msn().map_or(next.msn..next.msn, |newest| newest + 1..next.msn);
        if missing.clone().nth(self.count).is_some() {
            // All of the list would be gaps.
            self.window.start_over(discontinuities);
        } else {
            for msn in missing {
                let second = i64::from(next.format.timescale);
                self.window.pad(msn, next.start, next.date_us, next.format.clone(), second);
            }
        }
        self.window.begin_after(discontinuities);
        if discontinuities > self.window.discontinuities() {
            self.window.break_after();
        }
    }
}

impl<'a> Stream<'a> {
    /// A track that has nothing in a segment is still announced in it, so that players prepare for it.
    fn of(lane: &'a Lane, msn: u64) -> Option<Stream<'a>> {
        let segment = lane.window.find(msn);
        let format = segment.map(|segment| &segment.format).or(lane.format.as_ref())?;
        Some(Stream { format, segment, kind: lane.track.kind })
    }

    /// Its samples as PES packets, `index` in the transport stream.
    fn units(&self, index: usize) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        let mut group: Option<Group> = None;
        for (start, samples) in self.segment.iter().flat_map(|segment| &segment.parts).filter_map(samples) {
            let mut at = start;
            for sample in samples {
                let dts = at;
                at += i64::from(sample.duration);
                let Some(data) = self.format.elementary(sample) else { continue };
                let len = data.iter().map(Bytes::len).sum();
                if let (Some(group), Some(unit)) = (&mut group, units.last_mut())
                    && group.takes(dts, len, self.format.timescale)
                {
                    unit.data.extend(data);
                    (group.end, group.len) = (at, group.len + len);
                    continue;
                }
                group = (self.kind == Kind::Audio).then_some(Group { start: dts, end: at, len });
                let pts = dts.saturating_add(i64::from(sample.composition_offset)).max(dts);
                let random_access = sample.sync && index == 0;
                let (dts, pts) = (self.ticks(dts), self.ticks(pts));
                units.push(Unit { stream: index, dts, pts, random_access, data });
            }
        }
        units
    }

    fn ticks(&self, at: i64) -> u64 {
        let at = Timestamp::new(at, Timebase::hertz(self.format.timescale)).to(Timebase::MPEG);
        // Media time is never negative here.
        u64::try_from(at.ticks()).unwrap_or(0)
    }
}

/// Frames of audio in one PES packet, which has one timestamp for all of them.
struct Group {
    start: i64,
    end: i64,
    len: usize,
}

impl Group {
    /// Whether a frame goes with those before: it follows them at once, all are short enough to be heard in time and fit
    /// in a PES packet that tells its length.
    fn takes(&self, at: i64, len: usize, timescale: u32) -> bool {
        at == self.end
            && (at - self.start) * GROUPS_PER_SECOND < i64::from(timescale)
            && self.len + len <= GROUP_BYTES_MAX
    }
}

const GROUPS_PER_SECOND: i64 = 10;
const GROUP_BYTES_MAX: usize = 60_000;

fn samples(part: &Part) -> Option<(i64, &[crate::wire::fmp4::Sample])> {
    match &part.media {
        Some(Media::Samples(start, samples)) => Some((*start, samples)),
        Some(Media::Body(_)) | None => None,
    }
}

/// `None` if there is nothing in any of the streams: a gap.
fn multiplex(streams: &[Stream<'_>]) -> Option<Bytes> {
    let mut units: Vec<Unit> =
        streams.iter().enumerate().flat_map(|(index, stream)| stream.units(index)).collect();
    units.sort_by_key(|unit| (unit.dts, unit.stream));
    let codings: Vec<mpegts::Coding> = streams.iter().map(|stream| stream.format.coding()).collect();
    (!units.is_empty()).then(|| mpegts::segment(&codings, &units))
}
