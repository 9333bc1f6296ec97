//! The tracks of one stream, cut alike.
//!
//! One track leads: the first video track, else the first audio track. Its key frames and the grid decide where
//! segments start; the others follow at their first frame that is not before such a boundary. Everything is a
//! function of the packets (and of the order in which the leading track overtakes the others): there is no clock.
//!
//! An epoch is a stretch of one timeline and one set of formats. Between two epochs stands an EXT-X-DISCONTINUITY,
//! in the same segment of every track.
//!
//! On a shared timeline a segment's number and place are a function of the media alone, so that every server that has
//! the stream makes the same segments. Its rules are: a segment starts with the first key frame of its cell of the
//! grid; if there is none in time, within that cell all the same; an epoch begins with a whole segment, never within
//! one; and numbers are never moved, unless the timeline itself goes back.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::convert::{self, Format};
use super::grid::{Grid, GridAnchor};
use super::lane::{Carriage, Lane, Plan};
use super::names::{self, TrackNames};
use super::packager::Numbers;
use super::window::Window;
use crate::config::{Hls, LlHls};
use crate::limits;
use crate::media::{Codec, Kind, Packet, StreamInfo, Timestamp, Track, TrackId};

/// A stream on its way into segments.
#[derive(Debug)]
pub(super) struct Segmenter {
    lanes: Vec<Lane>,
    plan: Plan,
    config: Timing,
    stream_key: String,
    /// Where numbers begin.
    first: Numbers,
    /// The newest segment when tracks last went: a track that comes back is a new one, but not its numbers.
    gone_msn: Option<u64>,
    /// The newest DTS of any track on this timeline.
    newest_dts: Option<Timestamp>,
    /// The DTS that broke the timeline before this epoch, if it was broken.
    joint: Option<Timestamp>,
    /// Dates do not go back over a broken timeline: that of the end of the epoch before.
    date_min_us: Option<i64>,
    /// The number of the segment in which the leading track was when this epoch's first packet of it came.
    entered: Option<i64>,
    begun: bool,
    ended: bool,
}

/// How a stream is to be cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    chunk: Duration,
    segment: Duration,
    count: usize,
    carriage: Carriage,
}

impl From<&LlHls> for Cut {
    fn from(config: &LlHls) -> Cut {
        let LlHls { chunk, segment, segment_count: count, .. } = *config;
        Cut { chunk, segment, count, carriage: Carriage::Fragments }
    }
}

impl From<&Hls> for Cut {
    fn from(config: &Hls) -> Cut {
        let Hls { segment, segment_count: count, .. } = *config;
        Cut { chunk: UNSEEN_CHUNK, segment, count, carriage: Carriage::Samples }
    }
}

/// The parts of segments that are only seen whole. A frame that is longer than this is followed by a hole.
const UNSEEN_CHUNK: Duration = Duration::from_secs(1);

/// The lengths that rule a stream.
#[derive(Clone, Copy, Debug)]
struct Timing {
    chunk: Duration,
    segment_us: i64,
    target_s: i64,
    count: usize,
    carriage: Carriage,
}

/// TARGETDURATION for a segment duration, in seconds: rounded to the nearest, at least 1.
pub(super) fn target_duration_s(segment: Duration) -> i64 {
    let ms = i64::try_from(segment.as_millis()).unwrap_or(i64::MAX / 2);
    ((ms + 500) / 1_000).max(1)
}

impl Segmenter {
    /// A segmenter for the tracks of `info` that HLS can carry; `None` if there are none.
    pub(super) fn new(
        cut: Cut,
        stream: &str,
        info: &StreamInfo,
        anchor: GridAnchor,
        first: Numbers,
    ) -> Option<Segmenter> {
        let segment = cut.segment.clamp(Duration::from_millis(200), Duration::from_secs(60));
        let target_s = target_duration_s(segment);
        let plan = Plan {
            grid: Grid::new(anchor, segment),
            boundaries: BTreeMap::new(),
            watermark: None,
            ending: false,
            first_msn: 0,
            first_may_lack_frames: true,
            date_zero_us: anchor.dates().as_micros(),
            // EXTINF is told in microseconds, and must not be rounded up to the next second.
            length_limit_us: target_s * 1_000_000 + 500_000 - 1,
            warnings: Vec::new(),
            warned: false,
            forced_cuts: 0,
        };
        let mut segmenter = Segmenter {
            lanes: Vec::new(),
            plan,
            config: Timing {
                chunk: cut.chunk.clamp(Duration::from_millis(20), segment),
                segment_us: i64::try_from(segment.as_micros()).unwrap_or(i64::MAX),
                target_s,
                count: cut.count.clamp(3, 10_000),
                carriage: cut.carriage,
            },
            stream_key: names::stream_key(stream),
            first,
            gone_msn: None,
            newest_dts: None,
            joint: None,
            date_min_us: None,
            entered: None,
            begun: false,
            ended: false,
        };
        segmenter.set_tracks(info);
        (!segmenter.lanes.is_empty()).then_some(segmenter)
    }

    /// The bytes of all tracks, in segments and on their way there.
    pub(super) fn bytes(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    /// How many segment boundaries it remembers.
    pub(super) fn boundaries(&self) -> usize {
        self.plan.boundaries.len()
    }

    /// Takes the next packet of the stream. Packets of other tracks, and late ones, are dropped.
    pub(super) fn push(&mut self, packet: &Packet) {
        let in_range = (0..limits::MEDIA_TIME_US_MAX).contains(&packet.dts.as_micros());
        let Some(index) = self.lanes.iter().position(|lane| lane.track.id == packet.track) else { return };
        if self.ended || !in_range {
            return;
        }
        match self.place(index, packet.dts) {
            Place::Late => return,
            Place::Elsewhere => self.break_timeline(packet.dts),
            Place::Here => {}
        }
        let lane = &mut self.lanes[index];
        lane.first_dts.get_or_insert(packet.dts);
        lane.last_dts = Some(packet.dts);
        lane.former_dts = None;
        self.newest_dts = self.newest_dts.max(Some(packet.dts));
        if index == 0 {
            self.lead(packet);
        } else {
            lane.queue_bytes += packet.data.len();
            lane.queue.push_back(packet.clone());
        }
        self.drain(false);
    }

    /// Takes a new description of the stream. A changed format begins a new epoch.
    pub(super) fn update(&mut self, info: &StreamInfo) {
        if self.ended {
            return;
        }
        if !self.has_tracks_of(info) {
            self.end_epoch(true);
            self.gone_msn = self.newest_msn();
            self.first.discontinuity = self.discontinuities();
            self.set_tracks(info);
            return;
        }
        for (lane, track) in self.lanes.iter_mut().zip(packaged_tracks(info)) {
            lane.track.clone_from(track);
        }
    }

    /// Whether `info` describes the tracks that there are, in their formats.
    pub(super) fn has_tracks_of(&self, info: &StreamInfo) -> bool {
        let tracks = packaged_tracks(info);
        tracks.len() == self.lanes.len()
            && tracks.iter().zip(&self.lanes).all(|(new, lane)| new.same_format(&lane.track))
    }

    /// Whether the leading track has begun: before that, and after the end of an epoch, no segment is under way.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The stream is over: what is left becomes parts, and the playlists end.
    pub(super) fn finish(&mut self) {
        if !core::mem::replace(&mut self.ended, true) {
            self.end_epoch(true);
            self.lanes.iter_mut().for_each(|lane| lane.window.end());
        }
    }

    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        core::mem::take(&mut self.plan.warnings)
    }

    pub(super) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    pub(super) fn lane(&self, track: TrackId) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.track.id == track)
    }

    pub(super) fn lanes_mut(&mut self) -> &mut [Lane] {
        &mut self.lanes
    }

    /// The highest number of a segment so far, also of tracks that are gone.
    pub(super) fn newest_msn(&self) -> Option<u64> {
        self.lanes.iter().filter_map(|lane| lane.window.newest_msn()).max().max(self.gone_msn)
    }

    /// Where the numbers of a stream begin that comes after this one under the same name.
    pub(super) fn next_numbers(&self) -> Option<Numbers> {
        let msn = self.newest_msn()?.saturating_add(1);
        let breaks = u64::from(!self.plan.grid.is_shared());
        Some(Numbers { msn, discontinuity: self.discontinuities().saturating_add(breaks) })
    }

    /// Whether every packager of the stream makes the same segments.
    pub(super) fn is_shared(&self) -> bool {
        self.plan.grid.is_shared()
    }

    /// Whether other packagers of a shared timeline may have more in segment `msn` than what the tracks have in it here: the
    /// epoch began with it, and `lane` not at its beginning.
    pub(super) fn may_lack(&self, lane: &Lane, msn: u64) -> bool {
        let first = lane.window.find(msn).and_then(|segment| segment.parts.first());
        self.is_shared() && msn == self.plan.first_msn && first.is_none_or(|part| part.media.is_none())
    }

    /// The length of a segment as configured, in microseconds.
    pub(super) fn segment_us(&self) -> i64 {
        self.config.segment_us
    }

    /// TARGETDURATION.
    pub(super) fn target_duration_s(&self) -> i64 {
        self.config.target_s
    }

    /// The lanes for the tracks of `info`, the leading one first. A track that was there goes on in its lane.
    fn set_tracks(&mut self, info: &StreamInfo) {
        let mut former = core::mem::take(&mut self.lanes);
        for (index, track) in packaged_tracks(info).into_iter().enumerate() {
            let format = Format::of_track(track, &self.stream_key).ok().map(Arc::new);
            let known =
                former.iter().position(|lane| lane.track.id == track.id && lane.track.kind == track.kind);
            let lane = match known {
                Some(at) => former.swap_remove(at).with_track(track.clone(), index == 0),
                None => {
                    let target_us = convert::part_target_us(track, format.as_deref(), self.config.chunk);
                    let window = Window::new(self.config.count, self.config.target_s * 1_000_000);
                    let key = self.stream_key.clone();
                    let names = TrackNames { track: track.id, kind: track.kind, key };
                    Lane::new(track.clone(), names, self.config.carriage, target_us, window, index == 0)
                }
            };
            self.lanes.push(lane.with_format(format));
        }
    }

    /// Where on the timeline a packet belongs.
    fn place(&self, index: usize, dts: Timestamp) -> Place {
        let lane = &self.lanes[index];
        let window_us = self.config.segment_us.saturating_mul(self.config.count as i64);
        let ahead = |of: Timestamp| dts.micros_since(of);
        let after_joint = match (self.joint, lane.former_dts) {
            (Some(joint), Some(former)) => ahead(joint).abs() <= ahead(former).abs(),
            _ => true,
        };
        if !after_joint {
            return Place::Late;
        }
        let Some(last) = lane.last_dts else { return Place::Here };
        if ahead(last) < -self.config.segment_us || self.newest_dts.is_some_and(|at| ahead(at) > window_us) {
            return Place::Elsewhere;
        }
        if dts <= last { Place::Late } else { Place::Here }
    }

    /// Begins an epoch whose timeline has nothing to do with that of the one before.
    fn break_timeline(&mut self, joint: Timestamp) {
        // On a shared timeline nothing is broken by a leap ahead: others may have what is missing here.
        let leaps = self.plan.grid.is_shared() && self.newest_dts.is_some_and(|newest| joint > newest);
        self.end_epoch(!leaps);
        self.joint = Some(joint);
        self.newest_dts = None;
        self.date_min_us = self
            .lanes
            .iter()
            .filter(|lane| lane.window.newest_msn().is_some())
            .map(|lane| lane.end_date_us(&self.plan))
            .max();
        for lane in &mut self.lanes {
            lane.former_dts = lane.last_dts.take().or(lane.former_dts);
        }
    }

    /// Brings everything that is under way to its end. The next epoch follows a discontinuity if the timeline or a format
    /// `breaks`.
    pub(super) fn end_epoch(&mut self, breaks: bool) {
        self.plan.ending = true;
        self.drain(true);
        for lane in &mut self.lanes {
            lane.flush(&mut self.plan);
            lane.first_dts = None;
            if breaks {
                lane.window.break_after();
            }
            lane.queue.clear();
            lane.queue_bytes = 0;
        }
        self.plan.boundaries.clear();
        self.plan.watermark = None;
        self.plan.ending = false;
        self.entered = None;
        self.begun = false;
    }

    fn lead(&mut self, packet: &Packet) {
        if self.begun || self.begins_with(packet) {
            let leader = &mut self.lanes[0];
            leader.take(packet, &mut self.plan);
            self.begun = leader.started;
        }
        self.plan.watermark = Some(packet.dts);
    }

    /// Whether the epoch's first segment starts with this packet; its number is decided then.
    fn begins_with(&mut self, packet: &Packet) -> bool {
        if self.entered.is_none() {
            let leader = &self.lanes[0];
            self.plan.grid =
                self.plan.grid.for_frames(convert::framerate(&leader.track, leader.format.as_deref()));
            self.entered = Some(self.plan.grid.number(packet.dts));
        }
        if !packet.key || (self.plan.grid.is_shared() && !self.is_whole_from(packet.dts)) {
            return false;
        }
        self.number_first_segment(packet.dts);
        true
    }

    /// Whether a key frame at `at` is where every packager of a shared timeline begins a segment, and one that has not
    /// been told of under this name. If the timeline has gone so far back that this would take longer than a segment,
    /// numbers have to be moved, and it is no longer shared.
    fn is_whole_from(&mut self, at: Timestamp) -> bool {
        let grid = &self.plan.grid;
        let number = grid.number(at);
        let lowest = self.lowest_number();
        if number.saturating_add(1) < lowest {
            self.plan.grid.renumber(at, lowest);
            if self.newest_msn().is_none() {
                self.first.discontinuity += 1;
            }
            self.plan.warnings.push(format!(
                "timestamps went back to where segment {number} was, after segment {}: numbers are moved, and other \
                 servers of this stream will not make the same segments; use an encoder whose timestamps are those \
                 of the wall clock, or <TimestampMode>SystemClock</TimestampMode>",
                lowest - 1
            ));
            return true;
        }
        // If the frame before is in the cell before, there is no other key frame in this cell before it.
        let frame_us = self.lanes[0].half_frame_us().saturating_mul(2);
        let at_line = grid.number(at.plus_micros(-frame_us)) < number;
        let seen_before = self.entered.is_some_and(|entered| entered < number);
        // Nothing was ever before media time zero.
        self.plan.first_may_lack_frames = grid.line(number) <= Timestamp::from_micros(0);
        number >= lowest && (at_line || seen_before)
    }

    /// The lowest number that a new segment may have.
    fn lowest_number(&self) -> i64 {
        let newest = self.newest_msn().map_or(0, |newest| newest.saturating_add(1));
        i64::try_from(newest.max(self.first.msn)).unwrap_or(i64::MAX)
    }

    /// How many discontinuities there were before the next segment of any track: tracks count alike, also if one of
    /// them is new or was empty until now.
    fn discontinuities(&self) -> u64 {
        let counts = self.lanes.iter().map(|lane| lane.window.discontinuities());
        counts.fold(self.first.discontinuity, u64::max)
    }

    /// Decides the number of an epoch's first segment, which starts at `at`.
    fn number_first_segment(&mut self, at: Timestamp) {
        let discontinuities = self.discontinuities();
        self.lanes.iter_mut().for_each(|lane| lane.window.begin_after(discontinuities));
        let newest = self.lanes.iter().filter_map(|lane| lane.window.newest_msn()).max();
        let gone = self.gone_msn.map_or(0, |gone| gone + 1);
        let plan = &mut self.plan;
        let by_grid = u64::try_from(plan.grid.number(at)).ok();
        let number = match newest {
            Some(newest) if !plan.grid.is_shared() => newest + 1,
            _ => by_grid.unwrap_or(0).max(self.first.msn),
        };
        // Numbers stay far from the end of their type, so that the next one always exists.
        let number = number.max(gone).min(1 << 62);
        plan.grid.renumber(at, number as i64);
        plan.first_msn = number;
        let date_us = plan.date_zero_us.saturating_add(at.as_micros());
        if let Some(min) = self.date_min_us.take().filter(|&min| date_us < min && !plan.grid.is_shared()) {
            plan.date_zero_us = plan.date_zero_us.saturating_add(min.saturating_sub(date_us));
        }
        // What is missing would fill the whole list and more: it begins anew.
        let count = self.config.count as u64;
        for lane in self.lanes.iter_mut().filter(|_| self.plan.grid.is_shared()) {
            if lane.window.newest_msn().is_some_and(|newest| number.saturating_sub(newest) > count) {
                lane.start_over(number.saturating_sub(count - 1)..number, at, discontinuities, &self.plan);
            }
        }
    }

    /// Lets the other tracks go as far as the leading one has come. One that has queued more than a part does not
    /// wait for it: the leading track has stalled. `all` lets everything go.
    fn drain(&mut self, all: bool) {
        let Segmenter { lanes, plan, begun, config, .. } = self;
        for lane in lanes.iter_mut().skip(1) {
            let half_us = lane.half_frame_us();
            while let (Some(front), Some(back)) = (lane.queue.front(), lane.queue.back()) {
                let span_us = back.dts.micros_since(front.dts);
                let too_much = lane.queue_bytes > limits::HLS_QUEUE_BYTES_MAX;
                let reached = front.dts.as_micros().saturating_add(half_us);
                let overtaken =
                    plan.watermark.is_some_and(|newest| Timestamp::from_micros(reached) <= newest);
                let due = match begun {
                    true => all || overtaken || too_much || span_us > lane.target_us,
                    false => too_much || span_us > config.target_s * 1_000_000,
                };
                if !due {
                    break;
                }
                let Some(packet) = lane.queue.pop_front() else { break };
                lane.queue_bytes -= packet.data.len();
                // Before the leading track has begun there is nothing to follow.
                if *begun {
                    lane.take(&packet, plan);
                }
            }
        }
    }
}

enum Place {
    /// On this epoch's timeline.
    Here,
    /// On another timeline.
    Elsewhere,
    /// Where the track has been already.
    Late,
}

/// The tracks that LL-HLS can carry: the first video track first, or the first audio track if there is no video.
fn packaged_tracks(info: &StreamInfo) -> Vec<&Track> {
    let packaged = |track: &&Track| {
        matches!(
            (track.kind, track.codec),
            (Kind::Video, Codec::H264 | Codec::H265) | (Kind::Audio, Codec::Aac)
        )
    };
    let mut tracks: Vec<&Track> = info.tracks.iter().filter(packaged).take(limits::TRACKS_MAX).collect();
    tracks.sort_by_key(|track| track.kind != Kind::Video);
    tracks
}
