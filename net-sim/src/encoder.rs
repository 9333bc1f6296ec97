//! A live encoder: it produces H.264 and AAC in real time on its host's clock and publishes the same frames to one
//! or more origins over RTMP.
//!
//! The frames are not pictures, but they are framed like real ones (a captured SPS and PPS, an IDR every GOP) and
//! carry marks (`mark`), so that whoever receives them can tell which ones they are. The publishing protocol itself
//! is someone else's: it is plugged in as a [`PublishClient`].

use core::time::Duration;
use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use headwater_core::io::{Close, ConnId, Endpoint, Input, Machine, Output};
use headwater_core::time::{Deadline, Now, Time, soonest};

use crate::mark::Mark;
use crate::rng::Rng;

/// What an encoder produces.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Frames of different names have different bytes.
    pub name: u32,
    /// Frames per second, as a fraction: (30000, 1001).
    pub fps: (u32, u32),
    /// Frames from one key frame to the next.
    pub gop: u32,
    /// The length of a key frame in bytes, at least [`FRAME_BYTES_MIN`].
    pub key_bytes: usize,
    /// The length of another frame in bytes, at least [`FRAME_BYTES_MIN`].
    pub delta_bytes: usize,
    /// What the parameter sets say that its pictures are like.
    pub picture: Picture,
    /// Samples per second; no audio if none.
    pub audio: Option<u32>,
    /// What timestamps count from.
    pub timestamps: Timestamps,
    /// What goes wrong, by itself, and when.
    pub mishaps: Vec<(Duration, Mishap)>,
}

/// What an encoder's timestamps count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// Zero when the encoder starts; every start makes new frames, with bytes of their own.
    Zero,
    /// The wall clock: encoders with equal clocks make equal frames at equal times, also after a restart. The
    /// timestamps are milliseconds since the epoch, cut to RTMP's 32 bits.
    Clock,
}

/// The parameter sets of an encoder: sources with different ones need different decoder configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// 640x360, constrained baseline, level 3.0.
    Small,
    /// 1280x720, constrained baseline, level 3.1.
    Large,
}

impl Picture {
    /// Sequence and picture parameter set, made by x264, captured.
    #[rustfmt::skip]
    const fn parameter_sets(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Picture::Small => (
                &[0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x58, 0xba, 0x80],
                &[0x68, 0xce, 0x3c, 0x80],
            ),
            Picture::Large => (
                &[0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x24, 0x80],
                &[0x68, 0xcb, 0x83, 0xcb, 0x20],
            ),
        }
    }
}

/// What can go wrong inside an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It produces nothing for so long; the frames of that time are never made.
    Stall(Duration),
    /// Its timestamps jump by so many milliseconds.
    Jump(i64),
    /// Its pictures are like this from the next key frame on.
    Picture(Picture),
    /// It drops its connections and connects anew.
    Reconnect,
}

impl Default for Source {
    /// 30 frames per second with a key frame every second, and 48 kHz audio: 77 packets and about 60 kB per second.
    fn default() -> Self {
        Source {
            name: 1,
            fps: (30, 1),
            gop: 30,
            key_bytes: 12_000,
            delta_bytes: 1_200,
            picture: Picture::Small,
            audio: Some(48_000),
            timestamps: Timestamps::Zero,
            mishaps: Vec::new(),
        }
    }
}

/// Where to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub to: Endpoint,
    /// The application.
    pub app: String,
    /// The stream key.
    pub stream: String,
}

impl Target {
    /// The stream `app/stream` on `host`:`port`.
    pub fn new(host: &str, port: u16, app: &str, stream: &str) -> Target {
        let to = Endpoint { host: host.to_owned(), port };
        Target { to, app: app.to_owned(), stream: stream.to_owned() }
    }

    /// The URL of the application, as RTMP's `tcUrl` wants it.
    pub fn tc_url(&self) -> String {
        format!("rtmp://{}/{}", self.to, self.app)
    }
}

/// The client side of a publishing protocol, without its connection.
pub trait PublishClient {
    /// Bytes from the server.
    fn receive(&mut self, bytes: &[u8]);
    /// What the client wants; `None` if nothing.
    fn poll(&mut self) -> Option<PublishOutput>;
    /// What the stream is like; sent once, before any media.
    fn send_metadata(&mut self, source: &Source);
    /// The body of an FLV video tag.
    fn send_video(&mut self, timestamp_ms: u32, payload: Bytes);
    /// The body of an FLV audio tag.
    fn send_audio(&mut self, timestamp_ms: u32, payload: Bytes);
}

/// What a publishing client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutput {
    /// Media may be sent from here on.
    Ready,
    /// The server does not take the stream.
    Refused(String),
    /// Bytes for the server.
    Write(Bytes),
}

/// An encoder with its publishing connections.
pub struct Encoder {
    frames: Frames,
    /// When it was started, on its host's monotonic clock.
    start: Time,
    /// What the source's time was then.
    start_offset_us: u64,
    stalled_until: Option<Time>,
    mishaps: VecDeque<(Time, Mishap)>,
    /// The next key frame has other parameter sets than the one before.
    repictured: bool,
    connect: Connect,
    outlets: Vec<Outlet>,
    next_conn: u64,
    outbox: VecDeque<Output>,
}

type Connect = Box<dyn Fn(&Target) -> Box<dyn PublishClient>>;

struct Outlet {
    target: Target,
    state: Link,
    failures: u32,
}

enum Link {
    Down { retry_at: Time },
    Opening { conn: ConnId, until: Time },
    Up { conn: ConnId, client: Box<dyn PublishClient>, phase: Phase, queued: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing may be sent before this moment or the server's consent.
    Handshake(Time),
    /// The next key frame is the first frame.
    WaitingForKey,
    Sending,
}

impl Encoder {
    /// An encoder that has just been started. `connect` makes a publishing client for a target; every new
    /// connection gets a new one.
    pub fn new(
        source: Source,
        targets: Vec<Target>,
        seed: u64,
        now: Now,
        connect: impl Fn(&Target) -> Box<dyn PublishClient> + 'static,
    ) -> Encoder {
        let mishaps = source.mishaps.iter().map(|(after, what)| (now.mono + *after, *what)).collect();
        let start_offset_us = match source.timestamps {
            Timestamps::Zero => 0,
            Timestamps::Clock => u64::try_from(now.wall.as_micros()).unwrap_or(0),
        };
        let retry_at = now.mono;
        let outlet = |target| Outlet { target, state: Link::Down { retry_at }, failures: 0 };
        let mut encoder = Encoder {
            frames: Frames::new(source, seed),
            start: now.mono,
            start_offset_us,
            stalled_until: None,
            mishaps,
            repictured: false,
            connect: Box::new(connect),
            outlets: targets.into_iter().map(outlet).collect(),
            next_conn: 2,
            outbox: VecDeque::new(),
        };
        encoder.frames.skip_to(encoder.start_offset_us);
        encoder.settle(now.mono);
        encoder
    }

    fn due(&self, frame_us: u64) -> Time {
        self.start + Duration::from_micros(frame_us.saturating_sub(self.start_offset_us))
    }

    fn settle(&mut self, now: Time) {
        while let Some((at, what)) = self.mishaps.front().copied().filter(|(at, _)| *at <= now) {
            self.mishaps.pop_front();
            self.mishap(at, what);
        }
        if self.stalled_until.is_some_and(|until| until <= now) {
            self.stalled_until = None;
            let gone = u64::try_from(now.since(self.start).as_micros()).unwrap_or(u64::MAX);
            self.frames.skip_to(self.start_offset_us.saturating_add(gone));
        }
        while self.stalled_until.is_none() && self.due(self.frames.next_us()) <= now {
            let frame = self.frames.produce();
            self.send(&frame);
        }
        for index in 0..self.outlets.len() {
            self.tend(now, index);
        }
    }

    fn mishap(&mut self, at: Time, what: Mishap) {
        match what {
            Mishap::Stall(span) => self.stalled_until = Some(at + span),
            Mishap::Jump(ms) => self.frames.jump_ms += ms,
            Mishap::Picture(picture) => {
                self.frames.source.picture = picture;
                self.repictured = true;
            }
            Mishap::Reconnect => {
                for outlet in &mut self.outlets {
                    if let Some(conn) = outlet.state.conn() {
                        self.outbox.push_back(Output::Close { conn, how: Close::Flush });
                    }
                    outlet.state = Link::Down { retry_at: at };
                }
            }
        }
    }

    fn send(&mut self, frame: &Frame) {
        let anew = frame.key && core::mem::take(&mut self.repictured);
        for outlet in &mut self.outlets {
            let Link::Up { client, phase, .. } = &mut outlet.state else { continue };
            if *phase == Phase::WaitingForKey && frame.key {
                *phase = Phase::Sending;
                client.send_metadata(&self.frames.source);
                client.send_video(frame.timestamp_ms, self.frames.video_header());
                if self.frames.source.audio.is_some() {
                    client.send_audio(frame.timestamp_ms, self.frames.audio_header());
                }
            } else if *phase == Phase::Sending && anew {
                client.send_video(frame.timestamp_ms, self.frames.video_header());
            }
            match (*phase, frame.video) {
                (Phase::Sending, true) => client.send_video(frame.timestamp_ms, frame.payload.clone()),
                (Phase::Sending, false) => client.send_audio(frame.timestamp_ms, frame.payload.clone()),
                _ => {}
            }
        }
    }

    /// Connects, carries bytes, and gives up what does not work.
    fn tend(&mut self, now: Time, index: usize) {
        let outlet = &mut self.outlets[index];
        let lost = match &mut outlet.state {
            Link::Down { retry_at } if *retry_at <= now => {
                let conn = ConnId(self.next_conn);
                self.next_conn += 2;
                outlet.state = Link::Opening { conn, until: now + CONNECT_TIMEOUT };
                self.outbox.push_back(Output::Open { conn, to: outlet.target.to.clone() });
                false
            }
            Link::Down { .. } => false,
            Link::Opening { until, .. } => *until <= now,
            Link::Up { conn, client, phase, queued } => {
                let mut refused = false;
                while let Some(output) = client.poll() {
                    match output {
                        PublishOutput::Ready => {
                            *phase = Phase::WaitingForKey;
                            outlet.failures = 0;
                        }
                        PublishOutput::Refused(_) => refused = true,
                        PublishOutput::Write(bytes) => {
                            *queued += bytes.len();
                            self.outbox.push_back(Output::Write { conn: *conn, bytes });
                        }
                    }
                }
                let late = matches!(phase, Phase::Handshake(until) if *until <= now);
                refused || late || *queued > QUEUE_MAX
            }
        };
        if lost {
            self.lose(now, index, true);
        }
    }

    fn lose(&mut self, now: Time, index: usize, close: bool) {
        let outlet = &mut self.outlets[index];
        if let (Some(conn), true) = (outlet.state.conn(), close) {
            self.outbox.push_back(Output::Close { conn, how: Close::Abort });
        }
        let wait = RETRY * 2u32.pow(outlet.failures.min(4));
        outlet.failures += 1;
        outlet.state = Link::Down { retry_at: now + wait.min(RETRY_MAX) };
    }

    fn find(&self, conn: ConnId) -> Option<usize> {
        self.outlets.iter().position(|outlet| outlet.state.conn() == Some(conn))
    }

    fn opened(&mut self, now: Time, index: usize) {
        let outlet = &mut self.outlets[index];
        if let Link::Opening { conn, .. } = outlet.state {
            let client = (self.connect)(&outlet.target);
            let phase = Phase::Handshake(now + HANDSHAKE_TIMEOUT);
            outlet.state = Link::Up { conn, client, phase, queued: 0 };
        }
    }
}

impl Link {
    fn conn(&self) -> Option<ConnId> {
        match self {
            Link::Down { .. } => None,
            Link::Opening { conn, .. } | Link::Up { conn, .. } => Some(*conn),
        }
    }

    fn deadline(&self) -> Option<Deadline> {
        let (at, why) = match self {
            Link::Down { retry_at } => (*retry_at, "connecting to an origin"),
            Link::Opening { until, .. } => (*until, "an origin to accept"),
            Link::Up { phase: Phase::Handshake(until), .. } => (*until, "an origin to take the stream"),
            Link::Up { .. } => return None,
        };
        Some(Deadline { at, why })
    }
}

impl Machine for Encoder {
    fn handle(&mut self, now: Now, input: Input) {
        let now = now.mono;
        match input {
            Input::Opened { conn } => {
                if let Some(index) = self.find(conn) {
                    self.opened(now, index);
                }
            }
            Input::Closed { conn, .. } => {
                if let Some(index) = self.find(conn) {
                    self.lose(now, index, false);
                }
            }
            Input::Received { conn, bytes } => {
                if let Some(index) = self.find(conn)
                    && let Link::Up { client, .. } = &mut self.outlets[index].state
                {
                    client.receive(&bytes);
                }
            }
            Input::Sent { conn, bytes } => {
                if let Some(index) = self.find(conn)
                    && let Link::Up { queued, .. } = &mut self.outlets[index].state
                {
                    *queued = queued.saturating_sub(bytes);
                }
            }
            Input::Command(_) => {
                let conns = self.outlets.iter().filter_map(|outlet| outlet.state.conn());
                self.outbox.extend(conns.map(|conn| Output::Close { conn, how: Close::Flush }));
                self.outlets.clear();
            }
            Input::Accepted { .. } | Input::Request { .. } | Input::RequestGone { .. } => {}
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.settle(now.mono);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let frame = match self.stalled_until {
            Some(until) => Deadline { at: until, why: "the end of a stall" },
            None => Deadline { at: self.due(self.frames.next_us()), why: "the next frame" },
        };
        let mishap = self.mishaps.front().map(|(at, _)| Deadline { at: *at, why: "a mishap" });
        let outlets = self.outlets.iter().map(|outlet| outlet.state.deadline()).fold(None, soonest);
        soonest(soonest(Some(frame), mishap), outlets)
    }
}

/// A frame as the body of an FLV tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Video or audio.
    pub video: bool,
    /// Whether it is a key frame of video.
    pub key: bool,
    /// When it is decoded and presented.
    pub timestamp_ms: u32,
    /// The body of the tag.
    pub payload: Bytes,
    /// Its mark.
    pub mark: Mark,
}

/// The frames of a source, one after the other.
#[derive(Clone, Debug)]
pub struct Frames {
    source: Source,
    /// Told apart from other starts of the same source.
    video_source: u32,
    audio_source: u32,
    video: u64,
    audio: u64,
    jump_ms: i64,
}

impl Frames {
    /// The frames of `source` from its first on. `seed` only matters for sources that start at zero.
    pub fn new(source: Source, seed: u64) -> Frames {
        let start = match source.timestamps {
            Timestamps::Zero => Rng::new(seed).fork("encoder").number(),
            Timestamps::Clock => 0,
        };
        let mut names = Rng::new(start).fork(&format!("source {}", source.name));
        let mut name = || (names.number() >> 33) as u32;
        Frames {
            video_source: name() << 1,
            audio_source: name() << 1 | 1,
            source,
            video: 0,
            audio: 0,
            jump_ms: 0,
        }
    }

    /// AVCDecoderConfigurationRecord as the body of an FLV tag.
    pub fn video_header(&self) -> Bytes {
        let (sps, pps) = self.source.picture.parameter_sets();
        let mut tag = BytesMut::with_capacity(64);
        tag.put_slice(&[0x17, 0, 0, 0, 0]);
        tag.put_slice(&[1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, sps.len() as u8]);
        tag.put_slice(sps);
        tag.put_slice(&[1, 0, pps.len() as u8]);
        tag.put_slice(pps);
        tag.freeze()
    }

    /// AudioSpecificConfig (AAC LC, stereo) as the body of an FLV tag.
    pub fn audio_header(&self) -> Bytes {
        let rate = self.source.audio.unwrap_or(48_000);
        let index = AAC_RATES.iter().position(|known| *known == rate).unwrap_or(3) as u16;
        let config = (2 << 11) | (index << 7) | (2 << 3);
        Bytes::from([[0xaf, 0], u16::to_be_bytes(config)].concat())
    }

    /// When the next frame is due, in microseconds since the source's zero.
    pub fn next_us(&self) -> u64 {
        self.video_us().min(self.audio_us().unwrap_or(u64::MAX))
    }

    /// The next frame.
    pub fn produce(&mut self) -> Frame {
        if self.audio_us().is_some_and(|audio| audio < self.video_us()) {
            return self.produce_audio();
        }
        let key = self.video.is_multiple_of(u64::from(self.source.gop.max(1)));
        let mark = Mark { source: self.video_source, frame: self.video };
        let size = if key { self.source.key_bytes } else { self.source.delta_bytes };
        let header: [u8; 2] = if key { [0x65, 0x88] } else { [0x41, 0x9a] };
        let nal = header.len() + size.max(FRAME_BYTES_MIN) - FRAME_OVERHEAD;
        let mut tag = BytesMut::with_capacity(nal + 16);
        tag.put_slice(&[if key { 0x17 } else { 0x27 }, 1, 0, 0, 0]);
        tag.put_u32(u32::try_from(nal).unwrap_or(u32::MAX));
        tag.put_slice(&header);
        fill(&mut tag, mark, nal - header.len());
        let timestamp_ms = self.timestamp(self.video_us());
        self.video += 1;
        Frame { video: true, key, timestamp_ms, payload: tag.freeze(), mark }
    }

    /// Leaves out every frame that is due before `us`.
    pub fn skip_to(&mut self, us: u64) {
        let (num, den) = (u128::from(self.source.fps.0), u128::from(self.source.fps.1.max(1)));
        let video = (u128::from(us) * num).div_ceil(den * 1_000_000);
        self.video = self.video.max(u64::try_from(video).unwrap_or(u64::MAX));
        if let Some(rate) = self.source.audio {
            let audio = (u128::from(us) * u128::from(rate)).div_ceil(1_024 * 1_000_000);
            self.audio = self.audio.max(u64::try_from(audio).unwrap_or(u64::MAX));
        }
    }

    fn produce_audio(&mut self) -> Frame {
        let mark = Mark { source: self.audio_source, frame: self.audio };
        let mut tag = BytesMut::with_capacity(AUDIO_BYTES + 2);
        tag.put_slice(&[0xaf, 1]);
        fill(&mut tag, mark, AUDIO_BYTES);
        let timestamp_ms = self.timestamp(self.audio_us().unwrap_or(0));
        self.audio += 1;
        Frame { video: false, key: false, timestamp_ms, payload: tag.freeze(), mark }
    }

    fn video_us(&self) -> u64 {
        let (num, den) = (u128::from(self.source.fps.0.max(1)), u128::from(self.source.fps.1));
        u64::try_from(u128::from(self.video) * den * 1_000_000 / num).unwrap_or(u64::MAX)
    }

    fn audio_us(&self) -> Option<u64> {
        let rate = u128::from(self.source.audio?.max(1));
        Some(u64::try_from(u128::from(self.audio) * 1_024 * 1_000_000 / rate).unwrap_or(u64::MAX))
    }

    /// Milliseconds, rounded, as encoders write them; RTMP keeps the lower 32 bits.
    fn timestamp(&self, us: u64) -> u32 {
        ((us + 500) / 1_000).wrapping_add_signed(self.jump_ms) as u32
    }
}

/// The mark and then bytes that follow from it; none of them zero, so that nothing looks like a start code.
fn fill(out: &mut BytesMut, mark: Mark, len: usize) {
    let end = out.len() + len;
    out.put_slice(&mark.to_bytes());
    let mut state = mark.frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(mark.source);
    while out.len() < end {
        state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        let word = ((state >> 7) | 0x0101_0101_0101_0101).to_le_bytes();
        out.put_slice(&word[..word.len().min(end - out.len())]);
    }
}

/// The shortest frame: its mark and what is around it.
pub const FRAME_BYTES_MIN: usize = Mark::LEN + FRAME_OVERHEAD;
const FRAME_OVERHEAD: usize = 2;
/// The length of an AAC frame at about 64 kbit/s.
const AUDIO_BYTES: usize = 170;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait after the first failure; it doubles each time.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// An encoder that has more than this to send gives the connection up.
const QUEUE_MAX: usize = 4 << 20;
/// Sampling rates by their index in AudioSpecificConfig (ISO/IEC 14496-3, table 1.18).
const AAC_RATES: [u32; 12] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(source: Source, count: usize) -> Vec<Frame> {
        let mut frames = Frames::new(source, 1);
        (0..count).map(|_| frames.produce()).collect()
    }

    #[test]
    fn frames_of_29_97_fps_keep_time() {
        let source = Source { fps: (30_000, 1_001), audio: None, ..Source::default() };
        let all = frames(source, 30_001);
        assert_eq!(all[1].timestamp_ms, 33);
        assert_eq!(all[2].timestamp_ms, 67);
        assert_eq!(all[30_000].timestamp_ms, 1_001_000);
        assert!(all[30].key && !all[31].key);
    }

    #[test]
    fn audio_and_video_come_in_the_order_of_time() {
        let all = frames(Source::default(), 770);
        assert!(all.windows(2).all(|pair| pair[0].timestamp_ms <= pair[1].timestamp_ms));
        let audio = all.iter().filter(|frame| !frame.video).count();
        assert!((468..=470).contains(&audio), "{audio}");
    }

    #[test]
    fn payloads_carry_marks_and_no_start_codes() {
        for frame in frames(Source::default(), 100) {
            assert_eq!(Mark::find(&frame.payload), Some(frame.mark));
            let nal = &frame.payload[if frame.video { 9 } else { 2 }..];
            assert!(nal.iter().all(|byte| *byte != 0));
            if frame.video {
                assert_eq!(nal.len(), u32::from_be_bytes(frame.payload[5..9].try_into().unwrap()) as usize);
                let source = Source::default();
                assert_eq!(nal.len(), if frame.key { source.key_bytes } else { source.delta_bytes });
            }
        }
    }

    #[test]
    fn encoders_on_one_clock_make_the_same_frames() {
        let source = Source { timestamps: Timestamps::Clock, ..Source::default() };
        let (mut early, mut late) = (Frames::new(source.clone(), 1), Frames::new(source, 2));
        early.skip_to(1_000_000_000_000);
        late.skip_to(1_000_002_000_000);
        let early: Vec<_> = (0..400).map(|_| early.produce()).collect();
        let first = late.produce();
        let same = early.iter().find(|frame| frame.mark == first.mark).unwrap();
        assert_eq!(*same, first);
    }

    #[test]
    fn the_parameter_sets_say_what_the_pictures_are_like() {
        for (picture, size) in [(Picture::Small, (640, 360)), (Picture::Large, (1_280, 720))] {
            let (sps, _) = picture.parameter_sets();
            let sps = headwater_core::media::h264::Sps::parse(sps).unwrap();
            assert_eq!((sps.width, sps.height), size);
        }
    }

    #[test]
    fn the_headers_are_those_of_flv() {
        let frames = Frames::new(Source::default(), 1);
        assert_eq!(frames.video_header()[..9], [0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e]);
        assert_eq!(frames.audio_header()[..], [0xaf, 0, 0x11, 0x90]);
    }
}
