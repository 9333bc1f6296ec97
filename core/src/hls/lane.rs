//! One track on its way into segments: samples become parts, parts fill segments, holes become gaps.
//!
//! A sample's duration is the distance to the next one, so the newest sample is always pending. Which segment
//! boundaries exist is the [`Plan`]'s, which all tracks of a stream share.

use core::ops::Range;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::convert::{self, Format};
use super::grid::Grid;
use super::names::TrackNames;
use super::window::{Media, Part, Window, micros};
use crate::limits;
use crate::media::aac::FRAME_SAMPLES;
use crate::media::{Kind, Packet, Timebase, Timestamp, Track};
use crate::wire::fmp4::{self, Payload};

/// What the tracks of a stream have in common.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) grid: Grid,
    /// Where the leading track's segments start, in this epoch.
    pub(super) boundaries: BTreeMap<u64, Timestamp>,
    /// The newest DTS of the leading track.
    pub(super) watermark: Option<Timestamp>,
    /// Whether the epoch is being brought to its end.
    pub(super) ending: bool,
    /// The number of the epoch's first segment.
    pub(super) first_msn: u64,
    /// Whether tracks may begin in the middle of that segment, because it is where all media begins.
    pub(super) first_may_lack_frames: bool,
    /// The wall-clock time of media time zero, in microseconds.
    pub(super) date_zero_us: i64,
    /// No segment is as long as this, in microseconds.
    pub(super) length_limit_us: i64,
    /// Things that the operator should know.
    pub(super) warnings: Vec<String>,
    pub(super) warned: bool,
    /// Segments that were cut without a key frame.
    pub(super) forced_cuts: u32,
}

impl Plan {
    /// Whether a track may begin within segment `msn`: where others have the same segment it must be the whole of it.
    fn may_be_cut_off(&self, msn: u64) -> bool {
        !self.grid.is_shared() || (self.first_may_lack_frames && msn == self.first_msn)
    }

    fn warn_once(&mut self, text: impl FnOnce(i64) -> String) {
        if !core::mem::replace(&mut self.warned, true) {
            self.warnings.push(text(self.grid.segment_us()));
        }
    }
}

/// Silence of this length between two audio frames, in microseconds, is the first one's: players get over it, while
/// a gap that is declared makes them look for media elsewhere.
const BRIDGED_US: i64 = 200_000;

/// A sample on its way: its place is known, its duration is not.
#[derive(Debug)]
struct Pending {
    at: i64,
    /// Where its own timestamp says it is.
    stamped: i64,
    composition_offset: i32,
    sync: bool,
    payload: Payload,
}

/// What the samples of a part become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriage {
    /// A movie fragment.
    Fragments,
    /// They stay samples, for who multiplexes them with those of other tracks.
    Samples,
}

/// A track.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) track: Track,
    carriage: Carriage,
    pub(super) names: TrackNames,
    pub(super) format: Option<Arc<Format>>,
    /// PART-TARGET; constant for the life of the lane.
    pub(super) target_us: i64,
    pub(super) window: Window,
    /// Packets that wait for the leading track.
    pub(super) queue: VecDeque<Packet>,
    pub(super) queue_bytes: usize,
    /// The first DTS in this epoch, taken or not.
    pub(super) first_dts: Option<Timestamp>,
    /// The newest DTS in this epoch, taken or queued.
    pub(super) last_dts: Option<Timestamp>,
    /// The newest DTS of the epoch before, until this one has its first packet.
    pub(super) former_dts: Option<Timestamp>,
    /// Whether the track has begun in this epoch.
    pub(super) started: bool,
    leads: bool,
    pending: Option<Pending>,
    open: Vec<fmp4::Sample>,
    open_at: i64,
    open_len: i64,
    /// The end of what is in parts or in the open part.
    position: i64,
    last_delta: Option<i64>,
    last_key: Option<Timestamp>,
    /// The last two distances between key frames, the newest first.
    key_intervals_us: [Option<i64>; 2],
    complained: bool,
}

impl Lane {
    pub(super) fn new(
        track: Track,
        names: TrackNames,
        carriage: Carriage,
        target_us: i64,
        window: Window,
        leads: bool,
    ) -> Lane {
        Lane {
            track,
            carriage,
            names,
            format: None,
            target_us,
            window,
            queue: VecDeque::new(),
            queue_bytes: 0,
            first_dts: None,
            last_dts: None,
            former_dts: None,
            started: false,
            leads,
            pending: None,
            open: Vec::new(),
            open_at: 0,
            open_len: 0,
            position: 0,
            last_delta: None,
            last_key: None,
            key_intervals_us: [None; 2],
            complained: false,
        }
    }

    /// The same lane for a new description of its track.
    pub(super) fn with_track(self, track: Track, leads: bool) -> Lane {
        Lane { track, leads, last_delta: None, key_intervals_us: [None; 2], ..self }
    }

    /// The same lane with this format; `None` waits for one in the packets.
    pub(super) fn with_format(self, format: Option<Arc<Format>>) -> Lane {
        Lane { format, ..self }
    }

    /// The bytes of its segments and of everything that waits to be in one.
    pub(super) fn bytes(&self) -> usize {
        let queued: usize = self.queue.iter().map(|packet| packet.data.len()).sum();
        let open: usize = self.open.iter().map(|sample| sample.payload.len()).sum();
        let pending = self.pending.as_ref().map_or(0, |pending| pending.payload.len());
        self.window.bytes() + queued + open + pending
    }

    /// Half a frame, in microseconds: how far before a boundary a frame may be and still belong behind it.
    pub(super) fn half_frame_us(&self) -> i64 {
        match self.track.kind {
            Kind::Audio => micros(i64::from(FRAME_SAMPLES), self.timescale()) / 2,
            _ => convert::framerate(&self.track, self.format.as_deref())
                .map_or(10_000, |rate| (500_000.0 / rate) as i64),
        }
    }

    /// Takes the next packet of the track. Before the track has begun, it begins with the first one that can be.
    pub(super) fn take(&mut self, packet: &Packet, plan: &mut Plan) {
        let Some(payload) = self.convert(packet, plan) else { return };
        let at = packet.dts.to(Timebase::hertz(self.timescale())).ticks();
        let pts = packet.pts.to(Timebase::hertz(self.timescale())).ticks();
        let composition_offset = match self.track.kind {
            Kind::Audio => 0,
            _ => i32::try_from(pts.saturating_sub(at)).unwrap_or(0),
        };
        let sync = packet.key || self.track.kind == Kind::Audio;
        if sync
            && self.track.kind != Kind::Audio
            && let Some(last) = self.last_key.replace(packet.dts)
        {
            self.key_intervals_us = [Some(packet.dts.micros_since(last)), self.key_intervals_us[0]];
        }
        let pending = Pending { at, stamped: at, composition_offset, sync, payload };
        if self.started {
            self.advance(packet.dts, pending, plan);
        } else if sync {
            self.begin(packet.dts, pending, plan);
        }
    }

    /// Ends the track's part of an epoch: what is pending gets the length of a frame, the segment is completed.
    pub(super) fn flush(&mut self, plan: &mut Plan) {
        if let Some(at) = self.pending.as_ref().map(|pending| pending.at) {
            let frame = self.frame();
            self.settle(at.saturating_add(frame), frame, plan);
        }
        self.close_part();
        self.window.complete();
        self.started = false;
        self.last_key = None;
    }

    /// The end of the track's media, in microseconds of media time.
    pub(super) fn end_us(&self) -> i64 {
        micros(self.position, self.timescale())
    }

    /// The wall-clock time of the end of the track's media, in microseconds.
    pub(super) fn end_date_us(&self, plan: &Plan) -> i64 {
        plan.date_zero_us.saturating_add(self.end_us())
    }

    fn timescale(&self) -> u32 {
        self.format.as_ref().map_or(90_000, |format| format.timescale)
    }

    fn ticks(&self, us: i64) -> i64 {
        let ticks = i128::from(us) * i128::from(self.timescale()) / 1_000_000;
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    fn timestamp(&self, ticks: i64) -> Timestamp {
        Timestamp::new(ticks, Timebase::hertz(self.timescale()))
    }

    /// The expected length of a frame, in ticks.
    fn frame(&self) -> i64 {
        if self.track.kind == Kind::Audio {
            return i64::from(FRAME_SAMPLES);
        }
        let declared = convert::framerate(&self.track, self.format.as_deref());
        match (declared, self.last_delta) {
            (Some(rate), _) => (f64::from(self.timescale()) / rate).round() as i64,
            (None, Some(delta)) => delta,
            (None, None) => i64::from(self.timescale()) / 30,
        }
        .max(1)
    }

    fn convert(&mut self, packet: &Packet, plan: &mut Plan) -> Option<Payload> {
        if self.format.is_none() && packet.key {
            match Format::of_packet(packet, &self.track, &self.names.key) {
                Ok(format) => self.format = Some(Arc::new(format)),
                Err(why) => self.complain(plan, &why),
            }
        }
        let payload = self.format.as_ref()?.payload(packet);
        if payload.is_none() {
            self.complain(plan, "a packet holds no frame that could be decoded");
        }
        payload
    }

    fn complain(&mut self, plan: &mut Plan, why: &str) {
        if !core::mem::replace(&mut self.complained, true) {
            plan.warnings.push(format!("track {} cannot be packaged as it comes: {why}", self.track.id.0));
        }
    }

    fn begin(&mut self, dts: Timestamp, pending: Pending, plan: &mut Plan) {
        let tolerant = Timestamp::from_micros(dts.as_micros().saturating_add(self.half_frame_us()));
        let msn = match plan.boundaries.iter().rev().find(|(_, start)| **start <= tolerant) {
            _ if self.leads => plan.first_msn,
            Some((&msn, &start)) if self.has_all_since(start) || plan.may_be_cut_off(msn) => msn,
            Some(_) | None => return,
        };
        self.started = true;
        let former_end = core::mem::replace(&mut self.position, pending.at);
        if let Some(newest) = self.window.newest_msn() {
            self.bridge(newest, msn, former_end, plan);
        }
        if self.window.current().is_none() {
            self.open_segment(msn, pending.at, dts, plan);
        }
        if self.window.current().is_some_and(|segment| segment.msn < msn) {
            self.cut(pending.at, dts, plan);
        }
        self.open_at = pending.at;
        self.pending = Some(pending);
    }

    /// Whether no frame of a segment that starts at `boundary` can have come before the first one that was seen.
    fn has_all_since(&self, boundary: Timestamp) -> bool {
        let half_us = self.half_frame_us();
        self.first_dts.is_some_and(|first| first < boundary.plus_micros(half_us))
    }

    /// Keeps the numbers of a track consecutive that has a past: from `newest`, which ended at `former_end`, to
    /// `msn`, where it begins again at `position`.
    fn bridge(&mut self, newest: u64, msn: u64, former_end: i64, plan: &mut Plan) {
        let Some(format) = self.format.clone() else { return };
        let length = self.ticks(self.target_us);
        for (index, missing) in (newest + 1..plan.first_msn).take(limits::HLS_GAP_SEGMENTS_MAX).enumerate() {
            let start = former_end.saturating_add(length.saturating_mul(index as i64));
            let date_us = plan.date_zero_us.saturating_add(micros(start, self.timescale()));
            self.window.pad(missing, start, date_us, format.clone(), length);
        }
        let Some(&first) = plan.boundaries.get(&plan.first_msn).filter(|_| msn > plan.first_msn) else {
            return;
        };
        let until = self.position;
        self.position = first.to(Timebase::hertz(self.timescale())).ticks().min(until);
        self.open_segment(plan.first_msn, self.position, first, plan);
        self.fill_gap(until, plan);
    }

    /// Lists nothing but gaps in place of segments `missing`, which end at `until`.
    pub(super) fn start_over(
        &mut self,
        missing: Range<u64>,
        until: Timestamp,
        discontinuities: u64,
        plan: &Plan,
    ) {
        let Some(format) = self.format.clone() else { return };
        self.window.start_over(discontinuities);
        let cell = self.ticks(plan.grid.segment_us());
        self.position = until.to(Timebase::hertz(self.timescale())).ticks();
        let count = i64::try_from(missing.end - missing.start).unwrap_or(0);
        self.position = self.position.saturating_sub(cell.saturating_mul(count));
        for msn in missing {
            let date_us = plan.date_zero_us.saturating_add(micros(self.position, self.timescale()));
            self.window.open(msn, self.position, date_us, format.clone());
            let end = self.position.saturating_add(cell);
            while self.position < end {
                self.push_gap((end - self.position).min(self.ticks(self.target_us)));
            }
            self.window.complete();
        }
    }

    fn advance(&mut self, dts: Timestamp, mut next: Pending, plan: &mut Plan) {
        let Some(pending) = &self.pending else { return };
        let (last, stamped) = (pending.at, pending.stamped);
        let cuts = self.cuts_before(dts, next.sync, plan);
        let mut natural = next.at - last;
        if self.track.kind == Kind::Audio {
            let frame = i64::from(FRAME_SAMPLES);
            let off = next.at - (last + frame);
            let bridged = off > 0 && off <= self.ticks(BRIDGED_US);
            if off.abs() <= frame / 2 {
                // Within a segment frames follow each other exactly; a segment starts where its own timestamp
                // says, so that packagers that began at different moments agree on it.
                next.at = if cuts { next.at } else { last + frame };
                natural = next.at - last;
            } else if !bridged {
                // A hole begins where the timestamp of the last frame says, for the same reason.
                natural = (stamped + frame - last).max(1);
            }
        }
        if self.leads && plan.grid.is_shared() && self.leaves_cells_out(dts, plan) {
            natural = natural.min(self.frame());
        }
        if next.at <= last || natural > next.at - last {
            return;
        }
        let early = self.settle(next.at, natural, plan);
        if early > 0 && !cuts && self.track.kind != Kind::Audio {
            // The frame before was longer than its part had room for. This one is decoded that much earlier, and
            // presented when it should be.
            next.at -= early;
            next.composition_offset =
                next.composition_offset.saturating_add(i32::try_from(early).unwrap_or(i32::MAX));
        } else if early > 0 {
            self.close_part();
            self.fill_gap(next.at, plan);
        }
        if self.cuts_before(dts, next.sync, plan) {
            self.warn_of_skipped_number(dts, plan);
            self.cut(next.at, dts, plan);
        } else if self.overflows(next.at.saturating_add(self.frame()), plan) || self.waits_in_vain(dts, plan)
        {
            self.warn_of_forced_cut(plan);
            self.cut(next.at, dts, plan);
        }
        self.pending = Some(next);
    }

    /// Whether a new segment starts with the frame at `dts`.
    fn cuts_before(&self, dts: Timestamp, sync: bool, plan: &Plan) -> bool {
        let Some(next) = self.window.current().map(|segment| segment.msn + 1) else { return false };
        let by_grid = || i128::from(plan.grid.number(dts)) >= i128::from(next);
        if !sync {
            return false;
        }
        if self.leads {
            return by_grid();
        }
        let tolerant = Timestamp::from_micros(dts.as_micros().saturating_add(self.half_frame_us()));
        match plan.boundaries.get(&next) {
            Some(&boundary) => tolerant >= boundary,
            // The leading track has stalled. If it ends instead, what is left of the others ends with it: in a segment
            // that only they had, it would have to declare a gap where it has no time.
            None => !plan.ending && plan.watermark.is_none_or(|newest| tolerant > newest) && by_grid(),
        }
    }

    /// Whether the open segment would be too long if it ended at `end`.
    fn overflows(&self, end: i64, plan: &Plan) -> bool {
        let limit = self.ticks(plan.length_limit_us);
        self.window.current().is_some_and(|segment| end.saturating_sub(segment.start) >= limit)
    }

    /// Whether between the frame before and the one at `dts` there is a whole segment or more.
    fn leaves_cells_out(&self, dts: Timestamp, plan: &Plan) -> bool {
        let current = self.window.current().map_or(i64::MAX, |segment| segment.msn as i64);
        plan.grid.number(dts) > current.saturating_add(1)
    }

    /// Whether there will be no key frame in time for the next segment of a shared timeline, so that it starts with the
    /// frame at `dts`: because its cell ends, or because of the rhythm of key frames.
    fn waits_in_vain(&self, dts: Timestamp, plan: &Plan) -> bool {
        let Some(next) = self.window.current().map(|segment| segment.msn as i64 + 1) else { return false };
        if !self.leads || !plan.grid.is_shared() || plan.grid.number(dts) < next {
            return false;
        }
        let frame_us = micros(self.frame(), self.timescale());
        if plan.grid.number(dts.plus_micros(frame_us)) > next {
            return true;
        }
        let cell_us = plan.grid.segment_us();
        let unfit = |interval_us: &i64| !divides(*interval_us, cell_us);
        let (Some(key), Some(interval_us)) = (self.last_key, self.key_interval_us().filter(unfit)) else {
            return false;
        };
        let late_us = key.plus_micros(interval_us).micros_since(plan.grid.line(next));
        late_us > plan.length_limit_us - cell_us
    }

    /// The distance between key frames, if it is regular.
    fn key_interval_us(&self) -> Option<i64> {
        let [Some(newest), Some(former)] = self.key_intervals_us else { return None };
        ((newest - former).abs() <= 10_000 && newest > 0).then_some(newest)
    }

    fn warn_of_skipped_number(&mut self, dts: Timestamp, plan: &mut Plan) {
        let next = self.window.current().map_or(0, |segment| segment.msn + 1);
        let skipped = i128::from(plan.grid.number(dts)) > i128::from(next);
        let unfit = |us: &i64| self.leads && skipped && !divides(*us, plan.grid.segment_us());
        let Some(interval) = self.key_interval_us().filter(unfit) else { return };
        plan.warn_once(|segment| {
            format!(
                "the key-frame interval ({}) does not divide the segment duration ({}): segment numbers drift \
                 from the clock; set SegmentDuration to a multiple of the key-frame interval",
                seconds(interval),
                seconds(segment)
            )
        });
    }

    fn warn_of_forced_cut(&self, plan: &mut Plan) {
        if self.track.kind == Kind::Audio {
            return;
        }
        plan.forced_cuts += 1;
        let interval = self.key_interval_us().or(self.key_intervals_us[0]);
        // One may come of a stream that was joined to another; an encoder that is set wrong goes on.
        if plan.forced_cuts < 2 || interval.is_some_and(|us| divides(us, plan.grid.segment_us())) {
            return;
        }
        plan.warn_once(|segment| match interval.filter(|&us| us <= segment) {
            Some(us) => format!(
                "the key-frame interval ({}) does not divide the segment duration ({}): segments are cut without \
                 a key frame; set the encoder's key-frame interval so that it divides SegmentDuration",
                seconds(us),
                seconds(segment)
            ),
            None => format!(
                "the key-frame interval is longer than the segment duration ({}): segments are cut without a key \
                 frame; shorten the encoder's key-frame interval or raise SegmentDuration",
                seconds(segment)
            ),
        });
    }

    /// Gives the pending sample its duration: `natural`, or what fits in a part. If it is longer than a whole part,
    /// what is then missing up to `next` is a hole; else the ticks that are missing are returned.
    fn settle(&mut self, next: i64, natural: i64, plan: &mut Plan) -> i64 {
        let Some(sample) = self.pending.take() else { return 0 };
        let target = self.ticks(self.target_us);
        let end = sample.at.saturating_add(natural.min(target));
        if self.overflows(end, plan) && self.window.current().is_some_and(|open| sample.at > open.start) {
            self.warn_of_forced_cut(plan);
            self.cut(sample.at, self.timestamp(sample.at), plan);
        }
        if self.open_len + natural > target && self.may_close() {
            self.close_part();
        }
        let duration = natural.min(target - self.open_len).max(1);
        if self.open.is_empty() {
            self.open_at = sample.at;
        }
        self.open.push(fmp4::Sample {
            duration: u32::try_from(duration).unwrap_or(u32::MAX),
            sync: sample.sync,
            composition_offset: sample.composition_offset,
            payload: sample.payload,
        });
        self.open_len += duration;
        self.position = sample.at + duration;
        let missing = next.saturating_sub(self.position);
        if missing > 0 && (natural > target || sample.at + natural < next) {
            self.close_part();
            self.fill_gap(next, plan);
            return 0;
        }
        self.last_delta = Some(natural);
        let full = self.open_len + self.frame() > target && self.may_close();
        if full || self.open_len >= target || self.open.len() >= limits::HLS_PART_SAMPLES_MAX {
            self.close_part();
        }
        missing
    }

    /// Whether the open part is long enough to be closed before its target (L1): 85 % of it, or independent.
    fn may_close(&self) -> bool {
        let Some(first) = self.open.first() else { return false };
        let long = i128::from(self.open_len) * 100_000_000;
        first.sync || long >= i128::from(self.target_us) * 85 * i128::from(self.timescale())
    }

    fn close_part(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let Some((msn, part)) = self.window.current().map(|open| (open.msn, open.parts.len() as u32)) else {
            return;
        };
        let independent = self.open[0].sync;
        let media = match self.carriage {
            Carriage::Fragments => {
                // Negative times never get here: packets before media time zero are not taken.
                let decode_time = u64::try_from(self.open_at).unwrap_or(0);
                let body = fmp4::part(fragment_sequence(msn, part), decode_time, &self.open);
                self.open.clear();
                Media::Body(body)
            }
            Carriage::Samples => Media::Samples(self.open_at, core::mem::take(&mut self.open)),
        };
        self.window.push(Part { duration: self.open_len, independent, media: Some(media) });
        self.open_len = 0;
    }

    fn cut(&mut self, at: i64, dts: Timestamp, plan: &mut Plan) {
        let Some(msn) = self.window.current().map(|segment| segment.msn) else { return };
        self.close_part();
        self.window.complete();
        self.open_segment(msn + 1, at, dts, plan);
    }

    fn open_segment(&mut self, msn: u64, at: i64, dts: Timestamp, plan: &mut Plan) {
        let Some(format) = self.format.clone() else { return };
        if self.leads {
            plan.boundaries.insert(msn, dts);
            while plan.boundaries.len() > limits::HLS_BOUNDARIES_MAX {
                plan.boundaries.pop_first();
            }
            let number = i64::try_from(msn).unwrap_or(i64::MAX);
            if plan.grid.number(dts) > number {
                // The key frames of a timeline of its own do not fit the grid.
                plan.grid.renumber(dts, number);
            }
        }
        let date_us = plan.date_zero_us.saturating_add(micros(at, self.timescale()));
        self.window.open(msn, at, date_us, format);
    }

    /// Covers the hole from where the media ends to `until` with gaps, and ends segments where they end.
    fn fill_gap(&mut self, until: i64, plan: &mut Plan) {
        let tolerance = self.ticks(self.half_frame_us().max(10_000));
        for _ in 0..limits::HLS_GAP_SEGMENTS_MAX {
            let Some((msn, start)) = self.window.current().map(|open| (open.msn, open.start)) else { return };
            let limit = start.saturating_add(self.ticks(plan.length_limit_us)).saturating_sub(1);
            let line = self.line(msn + 1, plan).filter(|line| line.saturating_add(tolerance) < until);
            let stop = until.min(limit).min(line.unwrap_or(until).max(self.position));
            while self.position < stop {
                self.push_gap((stop - self.position).min(self.ticks(self.target_us)));
            }
            if stop >= until {
                return;
            }
            if self.position > start {
                let dts = self.timestamp(self.position);
                self.cut(self.position, dts, plan);
            } else {
                // A line that is already behind says nothing; the frame after the hole decides.
                let rest = until.min(limit);
                while self.position < rest {
                    self.push_gap((rest - self.position).min(self.ticks(self.target_us)));
                }
            }
        }
        self.position = until;
    }

    /// Where segment `msn` starts if this track has a hole there, in ticks.
    fn line(&self, msn: u64, plan: &Plan) -> Option<i64> {
        let by_grid = || plan.grid.line(i64::try_from(msn).unwrap_or(i64::MAX));
        let line = match plan.boundaries.get(&msn) {
            _ if self.leads => by_grid(),
            Some(&boundary) => boundary,
            None => Some(by_grid()).filter(|&line| plan.watermark.is_none_or(|newest| line > newest))?,
        };
        Some(line.to(Timebase::hertz(self.timescale())).ticks())
    }

    fn push_gap(&mut self, duration: i64) {
        self.window.push(Part { duration, independent: false, media: None });
        self.position += duration;
    }
}

/// The sequence number of a movie fragment: a function of its place, so that packagers agree on it.
fn fragment_sequence(msn: u64, part: u32) -> u32 {
    (msn as u32).wrapping_mul(1 << 10).wrapping_add(part)
}

/// Whether a whole number of intervals makes a segment, as far as rounded timestamps can tell.
fn divides(interval_us: i64, segment_us: i64) -> bool {
    let count = (segment_us + interval_us / 2) / interval_us.max(1);
    count > 0 && (segment_us - count * interval_us).abs() <= 2_000 * count
}

/// Microseconds as seconds, for a sentence.
fn seconds(us: i64) -> String {
    format!("{:.3} s", us as f64 / 1e6)
}
