//! A stream's media in OVT's form, and its recent past.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{HISTORY, HISTORY_BYTES_MAX};
use crate::media::{Kind, Packet, StreamInfo, Timestamp, Track};
use crate::wire::ovt;

/// One packet, encoded for the wire. Cloning it clones references.
#[derive(Clone, Debug)]
pub struct Unit {
    /// All OVT packets of it.
    pub bytes: Bytes,
    /// Whether a client can start with it.
    pub start: bool,
    dts: Timestamp,
}

/// The OVT side of one stream.
#[derive(Debug, Default)]
pub struct Channel {
    sequence: u16,
    has_video: bool,
    history: VecDeque<Unit>,
    history_bytes: usize,
}

impl Channel {
    /// A channel for a stream with these tracks.
    pub fn new(info: &StreamInfo) -> Channel {
        let has_video = info.tracks.iter().any(|track| track.kind == Kind::Video);
        Channel { has_video, ..Channel::default() }
    }

    /// Encodes the stream's next packet; `None` if its codec does not cross OVT.
    pub fn push(&mut self, track: &Track, packet: &Packet) -> Option<Unit> {
        let bytes = ovt::MediaPacket::of(packet, track)?.encode(SESSION_ID, &mut self.sequence);
        let start = packet.key && (!self.has_video || track.kind == Kind::Video);
        let unit = Unit { bytes, start, dts: packet.dts };
        self.remember(unit.clone());
        Some(unit)
    }

    /// The units with which a client starts: from the newest start that covers `history`, or from the oldest there is.
    pub fn recent(&self, history: Duration) -> impl Iterator<Item = &Unit> {
        let newest = self.history.back().map(|unit| unit.dts);
        let covers = |unit: &Unit| newest.is_some_and(|newest| newest.since(unit.dts) >= history);
        let from = self
            .history
            .iter()
            .rposition(|unit| unit.start && covers(unit))
            .or_else(|| self.history.iter().position(|unit| unit.start))
            .unwrap_or(self.history.len());
        self.history.range(from..)
    }

    /// What follows has not the same distance to what was before at every origin of the stream: it is not kept together.
    pub fn forget_past(&mut self) {
        self.history.clear();
        self.history_bytes = 0;
    }

    /// The bytes of what is kept for clients that come late.
    pub fn bytes(&self) -> usize {
        self.history.iter().map(|unit| unit.bytes.len()).sum()
    }

    /// Keeps what a late client needs: whole runs from one start to the next, until they cover [`HISTORY`].
    fn remember(&mut self, unit: Unit) {
        if self.history.is_empty() && !unit.start {
            return;
        }
        self.history_bytes += unit.bytes.len();
        let is_start = unit.start;
        self.history.push_back(unit);
        if is_start {
            self.drop_old_runs();
        }
        while self.history_bytes > HISTORY_BYTES_MAX {
            self.drop_run();
        }
    }

    /// Drops the oldest run as long as the next one alone covers the history.
    fn drop_old_runs(&mut self) {
        while let Some(next) = self.second_start() {
            let covers = match (self.history.get(next), self.history.back()) {
                (Some(first), Some(last)) => last.dts.since(first.dts) >= HISTORY,
                _ => false,
            };
            if !covers {
                return;
            }
            self.drop_run();
        }
    }

    fn second_start(&self) -> Option<usize> {
        self.history.iter().skip(1).position(|unit| unit.start).map(|at| at + 1)
    }

    fn drop_run(&mut self) {
        let run = self.second_start().unwrap_or(self.history.len());
        for unit in self.history.drain(..run) {
            self.history_bytes -= unit.bytes.len();
        }
    }
}

/// Receivers ignore the session id (reference: OVT section 2.1), so that one encoding serves every session.
const SESSION_ID: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioFormat, Codec, Timebase, TrackId, VideoFormat};

    fn track() -> Track {
        Track {
            id: TrackId(0),
            kind: Kind::Video,
            codec: Codec::H264,
            timebase: Timebase::MILLIS,
            name: "Video".to_owned(),
            bitrate: 1_000_000,
            video: VideoFormat { width: 640, height: 360, framerate: 25.0 },
            audio: AudioFormat::default(),
            config: None,
        }
    }

    /// A channel that has seen `frames` frames of 40 ms, a key frame at each multiple of `gop`.
    fn channel(frames: i64, gop: i64) -> Channel {
        let track = track();
        let mut channel = Channel::new(&StreamInfo { tracks: vec![track.clone()], ..StreamInfo::default() });
        for n in 0..frames {
            let dts = Timestamp::new(n * 40, Timebase::MILLIS);
            let data = Bytes::from(vec![0; 100]);
            channel.push(&track, &Packet { track: track.id, dts, pts: dts, key: n % gop == 0, data });
        }
        channel
    }

    fn start_ms(channel: &Channel, history: Duration) -> Option<i64> {
        channel.recent(history).next().map(|unit| unit.dts.ticks())
    }

    #[test]
    fn a_client_that_asks_for_nothing_starts_at_the_newest_key_frame() {
        let channel = channel(260, 25);
        assert_eq!(start_ms(&channel, Duration::ZERO), Some(250 * 40));
        assert_eq!(channel.recent(Duration::ZERO).count(), 10);
    }

    #[test]
    fn a_client_that_asks_for_history_starts_at_the_newest_key_frame_that_covers_it() {
        let channel = channel(260, 25);
        // The newest frame is at 10.36 s.
        assert_eq!(start_ms(&channel, Duration::from_millis(3_000)), Some(7_000));
        assert_eq!(start_ms(&channel, HISTORY), Some(6_000));
        assert_eq!(start_ms(&channel, 100 * HISTORY), Some(6_000), "all there is");
    }

    #[test]
    fn the_history_covers_what_it_promises_and_little_more() {
        for (frames, gop) in [(500, 25), (500, 50), (500, 110), (500, 7)] {
            let channel = channel(frames, gop);
            let oldest = channel.history.front().map(|unit| unit.dts).expect("media was pushed");
            let newest = channel.history.back().map(|unit| unit.dts).expect("media was pushed");
            let kept = newest.since(oldest);
            assert!(kept >= HISTORY && kept <= HISTORY + Duration::from_millis(gop as u64 * 80), "{kept:?}");
            assert!(channel.history.front().is_some_and(|unit| unit.start));
        }
    }

    #[test]
    fn short_runs_make_room_for_long_ones() {
        let track = track();
        let mut channel = Channel::new(&StreamInfo { tracks: vec![track.clone()], ..StreamInfo::default() });
        for n in 0..2_000 {
            let dts = Timestamp::new(0, Timebase::MILLIS);
            let data = Bytes::from(vec![0; if n < 1_000 { 100 } else { 1 << 20 }]);
            channel.push(&track, &Packet { track: track.id, dts, pts: dts, key: true, data });
            assert!(channel.history_bytes <= HISTORY_BYTES_MAX);
        }
    }

    #[test]
    fn a_stream_whose_key_frames_are_too_far_apart_is_not_kept() {
        let track = track();
        let mut channel = channel(1, 1);
        for n in 1..200 {
            let dts = Timestamp::new(n * 40, Timebase::MILLIS);
            let data = Bytes::from(vec![0; 1 << 20]);
            channel.push(&track, &Packet { track: track.id, dts, pts: dts, key: false, data });
            assert!(channel.history_bytes <= HISTORY_BYTES_MAX);
        }
        assert_eq!(start_ms(&channel, HISTORY), None);
    }
}
