//! A publisher's tracks: when they are complete enough to be a stream, and their packets with honest timestamps.
//!
//! FLV tags come in, [`Output`]s go out: the stream's description once, then packets in the normal form. RTMP's 32-bit
//! milliseconds become 64 bits here, and DTS is made to increase within a track. Knows the time only to give up
//! waiting for a track; knows nothing of connections.

use std::collections::VecDeque;

use bytes::Bytes;

use super::normal::{AudioConfig, VideoConfig};
use super::{Fault, Output};
use crate::limits;
use crate::media::{
    AudioFormat, Codec, Kind, Packet, StreamInfo, Timebase, Timestamp, Track, TrackId, VideoFormat,
};
use crate::time::{Deadline, Time};
use crate::wire::flv::{self, VideoCodec};
use crate::wire::rtmp::amf0::Value;

/// The tracks of one publisher.
#[derive(Debug, Default)]
pub(super) struct Intake {
    metadata: Metadata,
    clock: Clock,
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    /// The DTS that was last given to a packet of each track.
    video_dts: Increasing,
    audio_dts: Increasing,
    phase: Phase,
    out: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    Waiting(Prebuffer),
    Running(Running),
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Waiting(Prebuffer::default())
    }
}

/// Which tracks the stream has. They stay what they are: ids are known to edges and viewers.
#[derive(Debug)]
struct Running {
    video: Option<TrackId>,
    audio: Option<TrackId>,
    measured: Measured,
    /// Whether a track was left out, and the operator told.
    warned: bool,
}

/// Packets that arrived before the stream could start.
#[derive(Debug, Default)]
struct Prebuffer {
    packets: VecDeque<Held>,
    bytes: usize,
    /// When the first audio or video frame arrived, and its DTS.
    since: Option<(Time, i64)>,
    /// The latest DTS.
    latest: i64,
    /// Whether no more can be held.
    full: bool,
}

/// A packet that has no track id yet. Times are in milliseconds.
#[derive(Debug)]
struct Held {
    kind: Kind,
    dts: i64,
    composition_ms: i32,
    key: bool,
    data: Bytes,
}

/// What the prebuffer taught about the tracks.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    framerate: Option<f64>,
    video_bitrate: Option<u32>,
    audio_bitrate: Option<u32>,
}

impl Intake {
    /// Takes the fields of `onMetaData`. They matter until the stream has started.
    pub(super) fn metadata(&mut self, fields: &[(String, Value)]) {
        if !self.has_started() {
            self.metadata = Metadata::parse(fields);
        }
    }

    /// Bytes of media that waits for the stream to start.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.phase {
            Phase::Waiting(buffer) => buffer.packets.iter().map(|packet| packet.data.len()).sum(),
            Phase::Running(_) => 0,
        }
    }

    /// What it has to say and nobody has polled.
    pub(super) fn unpolled(&self) -> usize {
        self.out.len()
    }

    /// Takes the body of an FLV video tag.
    pub(super) fn video(&mut self, now: Time, timestamp: u32, body: &Bytes) -> Result<(), Fault> {
        match flv::Video::decode(body)? {
            flv::Video::SequenceHeader { codec, config } => self.video_config(codec, config)?,
            flv::Video::Frame { composition_ms, data, .. } => {
                self.video_frame(now, timestamp, composition_ms, &data)?;
            }
            flv::Video::EndOfSequence | flv::Video::Other => {}
            flv::Video::Unsupported(name) => return Err(Fault::UnsupportedVideo(name.to_string())),
        }
        self.start_if_ready(now);
        Ok(())
    }

    /// Takes the body of an FLV audio tag.
    pub(super) fn audio(&mut self, now: Time, timestamp: u32, body: &Bytes) -> Result<(), Fault> {
        match flv::Audio::decode(body)? {
            flv::Audio::SequenceHeader(config) => self.audio_config(config)?,
            flv::Audio::Frame(raw) => self.audio_frame(now, timestamp, &raw)?,
            flv::Audio::Other => {}
            flv::Audio::Unsupported(name) => return Err(Fault::UnsupportedAudio(name.to_string())),
        }
        self.start_if_ready(now);
        Ok(())
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        self.start_if_ready(now);
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When a track that did not come is no longer waited for.
    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let Phase::Waiting(held) = &self.phase else { return None };
        if !self.could_start(held) {
            return None;
        }
        let (since, _) = held.since?;
        Some(Deadline { at: since + self.metadata.patience(), why: "second track" })
    }

    /// Whether the stream has begun.
    pub(super) fn has_started(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// Whether any audio or video frame has arrived.
    pub(super) fn has_media(&self) -> bool {
        match &self.phase {
            Phase::Waiting(held) => held.since.is_some(),
            Phase::Running(_) => true,
        }
    }

    fn video_config(&mut self, codec: VideoCodec, record: Bytes) -> Result<(), Fault> {
        if self.video.as_ref().is_some_and(|video| video.codec == codec && video.record == record) {
            return Ok(());
        }
        let config = VideoConfig::parse(codec, record)?;
        if self.has_room_for(Kind::Video) {
            self.video = Some(config);
            self.tell_change(Kind::Video);
        }
        Ok(())
    }

    fn audio_config(&mut self, record: Bytes) -> Result<(), Fault> {
        // Nothing: ffmpeg, copying from MPEG-TS, does not know it before the first frame, and says it then.
        if record.is_empty() || self.audio.as_ref().is_some_and(|audio| audio.record == record) {
            return Ok(());
        }
        let config = AudioConfig::parse(record)?;
        if self.has_room_for(Kind::Audio) {
            self.audio = Some(config);
            self.tell_change(Kind::Audio);
        }
        Ok(())
    }

    fn video_frame(
        &mut self,
        now: Time,
        timestamp: u32,
        composition_ms: i32,
        data: &[u8],
    ) -> Result<(), Fault> {
        if composition_ms.abs() > limits::COMPOSITION_MS_MAX {
            return Err(Fault::Composition(composition_ms));
        }
        let dts = self.frame_time(now, timestamp)?;
        let Some(config) = &self.video else { return Ok(()) };
        let Some(unit) = config.access_unit(data)? else { return Ok(()) };
        self.frame(Held { kind: Kind::Video, dts, composition_ms, key: unit.key, data: unit.data });
        Ok(())
    }

    fn audio_frame(&mut self, now: Time, timestamp: u32, raw: &[u8]) -> Result<(), Fault> {
        let dts = self.frame_time(now, timestamp)?;
        let Some(config) = &self.audio else { return Ok(()) };
        if raw.is_empty() {
            return Ok(());
        }
        let data = config.frame(raw)?;
        self.frame(Held { kind: Kind::Audio, dts, composition_ms: 0, key: true, data });
        Ok(())
    }

    fn frame_time(&mut self, now: Time, timestamp: u32) -> Result<i64, Fault> {
        let dts = self.clock.unwrap(timestamp)?;
        if let Phase::Waiting(held) = &mut self.phase {
            held.since.get_or_insert((now, dts));
            held.latest = dts;
        }
        Ok(dts)
    }

    fn frame(&mut self, held: Held) {
        match &mut self.phase {
            Phase::Waiting(prebuffer) => prebuffer.push(held),
            Phase::Running(_) => self.emit(held),
        }
    }

    /// Gives a packet its track and its final timestamps.
    fn emit(&mut self, held: Held) {
        let Phase::Running(running) = &self.phase else { return };
        let (track, increasing) = match held.kind {
            Kind::Video => (running.video, &mut self.video_dts),
            _ => (running.audio, &mut self.audio_dts),
        };
        let Some(track) = track else { return };
        let dts = increasing.next(held.dts);
        let pts = dts.saturating_add(held.composition_ms.into());
        let [dts, pts] = [dts, pts].map(|ticks| Timestamp::new(ticks, Timebase::MILLIS));
        self.out.push_back(Output::Packet(Packet { track, dts, pts, key: held.key, data: held.data }));
    }

    /// Whether the stream has, or can still get, a track of this kind. If not, the operator is told once.
    fn has_room_for(&mut self, kind: Kind) -> bool {
        let Phase::Running(running) = &mut self.phase else { return true };
        let track = if kind == Kind::Video { running.video } else { running.audio };
        if track.is_none() && !running.warned {
            running.warned = true;
            let what = format!(
                "{kind:?} came after the stream had started without it and is left out; publish again"
            );
            self.out.push_back(Output::Warning(what));
        }
        track.is_some()
    }

    /// A configuration changed: of a stream that runs, or before it could start.
    fn tell_change(&mut self, kind: Kind) {
        if let Phase::Waiting(held) = &mut self.phase {
            held.forget(kind);
        }
        if let Phase::Running(running) = &self.phase {
            self.out.push_back(Output::Changed(self.info(running)));
        }
    }

    /// Whether what is there makes a stream, be it complete or not.
    fn could_start(&self, held: &Prebuffer) -> bool {
        match (&self.video, &self.audio) {
            (Some(_), _) => held.has_video(),
            (None, audio) => audio.is_some(),
        }
    }

    fn start_if_ready(&mut self, now: Time) {
        let Phase::Waiting(held) = &mut self.phase else { return };
        let complete = match self.metadata.announced {
            Some((video, audio)) => (self.video.is_some() || !video) && (self.audio.is_some() || !audio),
            None => self.video.is_some() && self.audio.is_some(),
        };
        let waited = held.since.is_some_and(|(since, first)| {
            let waited_media = self.metadata.announced.is_none()
                && held.latest.saturating_sub(first) >= limits::UNANNOUNCED_TRACK_WAIT_MS;
            waited_media || now >= since + self.metadata.patience()
        });
        let enough = complete || waited || held.full;
        let held = core::mem::take(held);
        if !enough || !self.could_start(&held) {
            self.phase = Phase::Waiting(held);
            return;
        }
        self.start(held);
    }

    fn start(&mut self, held: Prebuffer) {
        let video = self.video.is_some().then_some(TrackId(0));
        let audio = self.audio.is_some().then_some(TrackId(u32::from(video.is_some())));
        let running = Running { video, audio, measured: held.measure(), warned: false };
        self.out.push_back(Output::Started(self.info(&running)));
        self.phase = Phase::Running(running);
        // Sound from long before the first picture would be played without one.
        let earliest = held.first_video_dts().map_or(i64::MIN, |dts| dts.saturating_sub(AUDIO_LEAD_MS_MAX));
        let packets = held.packets.into_iter().filter(|packet| packet.dts >= earliest);
        packets.for_each(|packet| self.emit(packet));
    }

    fn info(&self, running: &Running) -> StreamInfo {
        let video =
            running.video.zip(self.video.as_ref()).map(|(id, config)| self.video_track(id, config, running));
        let audio =
            running.audio.zip(self.audio.as_ref()).map(|(id, config)| self.audio_track(id, config, running));
        StreamInfo { tracks: video.into_iter().chain(audio).collect(), ..StreamInfo::default() }
    }

    fn video_track(&self, id: TrackId, config: &VideoConfig, running: &Running) -> Track {
        let sane = |rate: &f64| (1.0..=480.0).contains(rate);
        let framerate = self.metadata.framerate.filter(sane).or(config.framerate.filter(sane));
        let framerate = framerate.or(running.measured.framerate.filter(sane)).unwrap_or(FRAMERATE_DEFAULT);
        let bitrate = self.metadata.video_bitrate.or(running.measured.video_bitrate);
        Track {
            id,
            kind: Kind::Video,
            codec: match config.codec {
                VideoCodec::H264 => Codec::H264,
                VideoCodec::H265 => Codec::H265,
            },
            timebase: Timebase::MILLIS,
            name: "Video".to_owned(),
            bitrate: bitrate.unwrap_or(VIDEO_BITRATE_DEFAULT),
            video: VideoFormat { width: config.width, height: config.height, framerate },
            audio: AudioFormat { sample_format: -1, ..AudioFormat::default() },
            config: Some(config.record.clone()),
        }
    }

    fn audio_track(&self, id: TrackId, config: &AudioConfig, running: &Running) -> Track {
        let bitrate = self.metadata.audio_bitrate.or(running.measured.audio_bitrate);
        Track {
            id,
            kind: Kind::Audio,
            codec: Codec::Aac,
            timebase: Timebase::MILLIS,
            name: "Audio".to_owned(),
            bitrate: bitrate.unwrap_or(AUDIO_BITRATE_DEFAULT),
            video: VideoFormat::default(),
            audio: AudioFormat {
                samplerate: config.samplerate,
                channels: config.channels,
                sample_format: -1,
                layout: config.layout,
            },
            config: Some(config.record.clone()),
        }
    }
}

impl Prebuffer {
    /// Holds a packet. Pictures are worth nothing before the first key frame.
    fn push(&mut self, packet: Held) {
        if packet.kind == Kind::Video && !packet.key && !self.has_video() {
            return;
        }
        self.bytes += packet.data.len();
        self.packets.push_back(packet);
        while self.packets.len() > limits::PREBUFFER_PACKETS_MAX || self.bytes > limits::PREBUFFER_BYTES_MAX {
            self.full = true;
            // With a picture the stream starts now, as it is; the front is sound that still waits for one.
            if self.has_video() {
                return;
            }
            self.bytes -= self.packets.pop_front().map_or(0, |dropped| dropped.data.len());
        }
    }

    /// Drops what is coded in a way that is no longer described.
    fn forget(&mut self, kind: Kind) {
        self.packets.retain(|packet| packet.kind != kind);
        self.bytes = self.packets.iter().map(|packet| packet.data.len()).sum();
    }

    fn has_video(&self) -> bool {
        self.first_video_dts().is_some()
    }

    fn first_video_dts(&self) -> Option<i64> {
        self.packets.iter().find(|packet| packet.kind == Kind::Video).map(|packet| packet.dts)
    }

    fn measure(&self) -> Measured {
        let video = Measure::of(self.packets.iter().filter(|packet| packet.kind == Kind::Video));
        let audio = Measure::of(self.packets.iter().filter(|packet| packet.kind == Kind::Audio));
        Measured { framerate: video.rate(), video_bitrate: video.bitrate(), audio_bitrate: audio.bitrate() }
    }
}

/// A run of packets of one track.
#[derive(Default)]
struct Measure {
    packets: u32,
    bytes: u64,
    /// From the first DTS to the last.
    span_ms: i64,
}

impl Measure {
    fn of<'a>(packets: impl Iterator<Item = &'a Held>) -> Measure {
        let mut measure = Measure::default();
        let mut first = None;
        for packet in packets {
            measure.packets += 1;
            measure.bytes += packet.data.len() as u64;
            measure.span_ms = packet.dts.saturating_sub(*first.get_or_insert(packet.dts));
        }
        measure
    }

    /// Packets per second, from half a second on.
    fn rate(&self) -> Option<f64> {
        (self.span_ms >= MEASURE_MS_MIN)
            .then(|| f64::from(self.packets.saturating_sub(1)) * 1_000.0 / self.span_ms as f64)
    }

    /// Bits per second, from half a second on.
    fn bitrate(&self) -> Option<u32> {
        let span_ms = u64::try_from(self.span_ms).ok().filter(|_| self.span_ms >= MEASURE_MS_MIN)?;
        u32::try_from(self.bytes.saturating_mul(8_000) / span_ms).ok().filter(|&bitrate| bitrate > 0)
    }
}

/// What `onMetaData` is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Metadata {
    /// Whether there is to be video, and audio; `None` if neither was mentioned.
    announced: Option<(bool, bool)>,
    framerate: Option<f64>,
    video_bitrate: Option<u32>,
    audio_bitrate: Option<u32>,
}

impl Metadata {
    fn parse(fields: &[(String, Value)]) -> Metadata {
        let field = |name| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let number = |name| field(name).and_then(Value::as_number);
        let codec = |name| match field(name) {
            Some(Value::Number(number)) => *number != 0.0,
            Some(Value::String(name)) => !name.is_empty(),
            _ => false,
        };
        let kilobits =
            |name| number(name).filter(|rate| (1.0..=1e6).contains(rate)).map(|rate| (rate * 1e3) as u32);
        let announced = (codec("videocodecid"), codec("audiocodecid"));
        Metadata {
            announced: Some(announced).filter(|&(video, audio)| video || audio),
            framerate: number("framerate").or_else(|| number("videoframerate")),
            video_bitrate: kilobits("videodatarate"),
            audio_bitrate: kilobits("audiodatarate"),
        }
    }

    /// How long a missing track is waited for.
    fn patience(&self) -> core::time::Duration {
        match self.announced {
            Some(_) => limits::ANNOUNCED_TRACK_WAIT,
            None => limits::UNANNOUNCED_TRACK_WAIT,
        }
    }
}

/// Milliseconds of 32 bits become 64 bits. Audio and video share it: they wrap at the same time.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    last: Option<i64>,
}

impl Clock {
    /// A difference of less than half the range is taken as it looks; so a wrap goes on, and an encoder that
    /// restarts its timestamps goes back.
    fn unwrap(&mut self, timestamp: u32) -> Result<i64, Fault> {
        let time = match self.last {
            None => timestamp.into(),
            Some(last) => {
                let step = i64::from(timestamp.wrapping_sub(last as u32) as i32);
                if step > limits::PUBLISH_JUMP_MS_MAX {
                    return Err(Fault::TimestampJump(step));
                }
                last.saturating_add(step)
            }
        };
        self.last = Some(time);
        Ok(time)
    }
}

/// Makes DTS increase within a track, as the reference has it (ingest section 8.3).
#[derive(Clone, Copy, Debug, Default)]
struct Increasing {
    last: Option<i64>,
}

impl Increasing {
    /// A DTS that stands or steps back a little follows the last one; one that jumps back far is a restart, which
    /// the timeline has to see.
    fn next(&mut self, dts: i64) -> i64 {
        let dts = match self.last {
            Some(last) if dts <= last && last.saturating_sub(dts) <= RESTART_MS_MIN => last.saturating_add(1),
            _ => dts,
        };
        self.last = Some(dts);
        dts
    }
}

/// A jump back of more than this is a restart of the encoder.
const RESTART_MS_MIN: i64 = 1_000;
/// Sound that is earlier than the first picture by more than this is dropped.
const AUDIO_LEAD_MS_MAX: i64 = 1_000;
/// Nothing is measured over less.
const MEASURE_MS_MIN: i64 = 500;
/// If nobody says how many frames there are per second.
const FRAMERATE_DEFAULT: f64 = 30.0;
/// If nobody says how many bits there are per second. Zero would make edges wait for a measurement.
const VIDEO_BITRATE_DEFAULT: u32 = 2_000_000;
const AUDIO_BITRATE_DEFAULT: u32 = 128_000;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timestamps_go_on_over_a_wrap_and_back_over_a_restart() {
        let mut clock = Clock::default();
        let times = [u32::MAX - 10, 5, u32::MAX - 2, 30, 60_000, 40].map(|t| clock.unwrap(t).expect("sane"));
        let wrap = 1i64 << 32;
        assert_eq!(times, [wrap - 11, wrap + 5, wrap - 3, wrap + 30, wrap + 60_000, wrap + 40]);
        assert_eq!(clock.unwrap(1 << 30), Err(Fault::TimestampJump((1 << 30) - 40)));
    }

    #[test]
    fn an_audio_configuration_that_is_not_known_yet_is_waited_for() {
        let mut intake = Intake::default();
        for (ms, body) in [&[0xaf, 0][..], &[0xaf, 0, 0x11, 0x90], &[0xaf, 1, 1, 2, 3], &[0xaf, 1, 4, 5, 6]]
            .into_iter()
            .enumerate()
        {
            intake.audio(Time::ZERO, ms as u32, &Bytes::from_static(body)).expect("good");
        }
        intake.handle_timeout(Time::ZERO + Duration::from_secs(60));
        assert!(intake.has_started(), "{intake:?}");
        let cut_off = Bytes::from_static(&[0xaf, 0, 0x11]);
        assert!(matches!(intake.audio(Time::ZERO, 9, &cut_off), Err(Fault::Config { .. })));
    }

    #[test]
    fn dts_increases_but_for_restarts() {
        let mut increasing = Increasing::default();
        let times = [0, 40, 40, 39, 80, 2_000, 1_000, 999, 0].map(|dts| increasing.next(dts));
        assert_eq!(times, [0, 40, 41, 42, 80, 2_000, 2_001, 999, 1_000]);
    }

    #[test]
    fn the_prebuffer_is_bounded_and_forgets_what_is_not_described_any_more() {
        let held =
            |kind, key| Held { kind, dts: 0, composition_ms: 0, key, data: Bytes::from_static(&[0; 9]) };
        let mut prebuffer = Prebuffer::default();
        prebuffer.push(held(Kind::Video, false));
        assert_eq!(prebuffer.packets.len(), 0, "no picture before a key frame");
        (0..2_000).for_each(|_| prebuffer.push(held(Kind::Audio, true)));
        assert_eq!((prebuffer.packets.len(), prebuffer.full), (limits::PREBUFFER_PACKETS_MAX, true));
        assert_eq!(prebuffer.bytes, 9 * limits::PREBUFFER_PACKETS_MAX);
        prebuffer.push(held(Kind::Video, true));
        prebuffer.forget(Kind::Audio);
        assert_eq!((prebuffer.packets.len(), prebuffer.bytes, prebuffer.has_video()), (1, 9, true));
    }

    #[test]
    fn metadata_is_believed_within_reason() {
        let fields = |pairs: &[(&str, f64)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::Number(*value))).collect::<Vec<_>>()
        };
        let full = Metadata::parse(&fields(&[
            ("videocodecid", 7.0),
            ("framerate", 25.0),
            ("videodatarate", 2_500.0),
        ]));
        assert_eq!(full.announced, Some((true, false)));
        assert_eq!((full.framerate, full.video_bitrate), (Some(25.0), Some(2_500_000)));
        let absurd = fields(&[("videodatarate", f64::NAN), ("audiodatarate", -3.0), ("audiocodecid", 0.0)]);
        assert_eq!(Metadata::parse(&absurd), Metadata::default());
    }

    proptest! {
        #[test]
        fn dts_of_a_track_never_stands_still(times in prop::collection::vec(0i64..5_000, 1..60)) {
            let mut increasing = Increasing::default();
            let times = times.into_iter().map(|dts| increasing.next(dts)).collect::<Vec<_>>();
            for pair in times.windows(2) {
                prop_assert!(pair[1] > pair[0] || pair[0] - pair[1] > RESTART_MS_MIN);
            }
        }

        #[test]
        fn arbitrary_tags_do_not_panic(
            tags in prop::collection::vec((any::<bool>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20),
        ) {
            let mut intake = Intake::default();
            for (video, timestamp, mut body) in tags {
                // Mostly AVC and AAC, or nothing would come far.
                if let Some(first) = body.first_mut() {
                    *first = if video { 0x17 } else { 0xaf };
                }
                let body = Bytes::from(body);
                let _ = if video {
                    intake.video(Time::ZERO, timestamp, &body)
                } else {
                    intake.audio(Time::ZERO, timestamp, &body)
                };
            }
        }
    }
}
