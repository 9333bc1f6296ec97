//! A live encoder: it produces H.264 and AAC in real time on its host's clock and publishes the same frames to one
//! or more origins over RTMP.
//!
//! The frames are not pictures, but they are framed like real ones (a captured SPS and PPS, an IDR every GOP, B-frames
//! that are decoded later than presented) and carry marks (`mark`), so that whoever receives them can tell which ones
//! they are, and whether they are as they were made. The publishing protocol itself
//! is someone else's: it is plugged in as a [`PublishClient`].

use core::time::Duration;
use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use headwater_core::io::{Close, ConnId, Endpoint, Input, Machine, Output};
use headwater_core::time::{Deadline, Now, Time, Wall, soonest};

use crate::fmp4;
use crate::mark::Mark;
use crate::rng::Rng;

/// What an encoder produces.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Frames of different names have different bytes.
    pub name: u32,
    /// Whether there are pictures; without them and without audio there is nothing.
    pub video: bool,
    /// Frames per second, as a fraction: (30000, 1001).
    pub fps: (u32, u32),
    /// Frames from one key frame to the next.
    pub gop: u32,
    /// B-frames between two others; with them, frames are not presented in the order of decoding.
    pub b_frames: u32,
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
    /// 640x360, main, level 3.0, with up to two frames of reordering.
    Reordered,
}

impl Picture {
    /// Sequence and picture parameter set, made by x264, captured.
    #[rustfmt::skip]
    pub const fn parameter_sets(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Picture::Small => (
                &[0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x58, 0xba, 0x80],
                &[0x68, 0xce, 0x3c, 0x80],
            ),
            Picture::Large => (
                &[0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x24, 0x80],
                &[0x68, 0xcb, 0x83, 0xcb, 0x20],
            ),
            Picture::Reordered => (
                &[0x67, 0x4d, 0x40, 0x1e, 0xec, 0xa0, 0x50, 0x17, 0xfc, 0xb8, 0x08, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8b, 0x16, 0xcb],
                &[0x68, 0xeb, 0xe3, 0xcb, 0x20],
            ),
        }
    }

    const ALL: [Picture; 3] = [Picture::Small, Picture::Large, Picture::Reordered];
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

impl Source {
    /// A source with two B-frames between others, and parameter sets that allow for them.
    pub fn with_b_frames() -> Source {
        Source { b_frames: 2, picture: Picture::Reordered, ..Source::default() }
    }

    /// A picture that stands still: one tiny frame per second, each fifth of them a key frame.
    pub fn still() -> Source {
        Source { fps: (1, 1), gop: 5, key_bytes: 2_000, delta_bytes: FRAME_BYTES_MIN, ..Source::default() }
    }
}

impl Default for Source {
    /// 30 frames per second with a key frame every second, and 48 kHz audio: 77 packets and about 60 kB per second.
    fn default() -> Self {
        Source {
            name: 1,
            video: true,
            fps: (30, 1),
            gop: 30,
            b_frames: 0,
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
    /// Whose dialect of RTMP is spoken: one of [`crate::dialect::Habits::COUNT`], or our own client's.
    pub dialect: Option<u32>,
}

impl Target {
    /// The stream `app/stream` on `host`:`port`.
    pub fn new(host: &str, port: u16, app: &str, stream: &str) -> Target {
        let to = Endpoint { host: host.to_owned(), port };
        Target { to, app: app.to_owned(), stream: stream.to_owned(), dialect: None }
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
    /// The next key frame is the first frame; without video, the next frame is.
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
        // The source's zero, on the clock that the host had when the encoder was started.
        let zero = now.wall.plus_micros(-i64::try_from(start_offset_us).unwrap_or(i64::MAX));
        let retry_at = now.mono;
        let outlet = |target| Outlet { target, state: Link::Down { retry_at }, failures: 0 };
        let mut encoder = Encoder {
            frames: Frames::new(source, seed, zero),
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
            Mishap::Jump(ms) => {
                self.frames.jump_ms += ms;
                self.frames.run = self.frames.run.wrapping_add(1);
            }
            Mishap::Picture(picture) => {
                self.frames.source.picture = picture;
                self.repictured = true;
            }
            Mishap::Reconnect => {
                self.frames.run = self.frames.run.wrapping_add(1);
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
            let starts = frame.key || !self.frames.source.video;
            if *phase == Phase::WaitingForKey && starts {
                *phase = Phase::Sending;
                client.send_metadata(&self.frames.source);
                if self.frames.source.video {
                    client.send_video(frame.timestamp_ms, self.frames.video_header());
                }
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
            Input::Accepted { .. }
            | Input::Registry { .. }
            | Input::Request { .. }
            | Input::RequestGone { .. } => {}
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
    /// When it is decoded.
    pub timestamp_ms: u32,
    /// The body of the tag.
    pub payload: Bytes,
    /// Its mark.
    pub mark: Mark,
}

/// The frames of a source, one after the other, in the order of decoding.
#[derive(Clone, Debug)]
pub struct Frames {
    source: Source,
    /// Told apart from other starts of the same source.
    video_source: u32,
    /// When the source's time was zero.
    zero: Wall,
    video: u64,
    audio: u64,
    jump_ms: i64,
    run: u8,
    /// What the last key frame's decoder configuration was.
    picture: Picture,
}

impl Frames {
    /// The frames of `source` from its first on, made as if that was due at `zero`. `seed` only matters for sources
    /// that start at zero.
    pub fn new(source: Source, seed: u64, zero: Wall) -> Frames {
        let start = match source.timestamps {
            Timestamps::Zero => Rng::new(seed).fork("encoder").number(),
            Timestamps::Clock => 0,
        };
        let mut names = Rng::new(start).fork(&format!("source {}", source.name));
        let video_source = ((names.number() >> 33) as u32) << 1;
        let picture = source.picture;
        Frames { video_source, source, zero, video: 0, audio: 0, jump_ms: 0, run: 0, picture }
    }

    /// AVCDecoderConfigurationRecord as the body of an FLV tag.
    pub fn video_header(&self) -> Bytes {
        Bytes::from([&[0x17, 0, 0, 0, 0][..], &avc_record(self.source.picture)].concat())
    }

    /// AudioSpecificConfig (AAC LC, stereo) as the body of an FLV tag.
    pub fn audio_header(&self) -> Bytes {
        Bytes::from([&[0xaf, 0][..], &audio_config(self.audio_format())].concat())
    }

    /// When the next frame is due, in microseconds since the source's zero.
    pub fn next_us(&self) -> u64 {
        self.video_us().unwrap_or(u64::MAX).min(self.audio_us().unwrap_or(u64::MAX))
    }

    /// The next frame.
    pub fn produce(&mut self) -> Frame {
        match (self.video_us(), self.audio_us()) {
            (Some(video), Some(audio)) if audio < video => self.produce_audio(audio),
            (None, Some(audio)) => self.produce_audio(audio),
            (video, _) => self.produce_video(video.unwrap_or(0)),
        }
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

    fn produce_video(&mut self, dts_us: u64) -> Frame {
        let key = self.video.is_multiple_of(u64::from(self.source.gop.max(1)));
        if key {
            self.picture = self.source.picture;
        }
        let later = self.presented_later();
        let pts_us = self.video_time(self.video + later);
        let size = if key { self.source.key_bytes } else { self.source.delta_bytes };
        let slice: [u8; SLICE_HEADER] = match (key, later) {
            (true, _) => SLICE_KEY,
            (false, 0) if self.source.b_frames > 0 => SLICE_B,
            (false, _) => SLICE_P,
        };
        let mark = Mark {
            dts_us,
            composition_us: u32::try_from(pts_us - dts_us).unwrap_or(u32::MAX),
            made: self.made(dts_us),
            len: u32::try_from(size.max(FRAME_BYTES_MIN) - SLICE_HEADER).unwrap_or(u32::MAX),
            run: self.run,
            format: self.picture as u8,
            key,
            ..Mark::new(self.video_source, self.video)
        };
        let content = mark.content();
        let timestamp_ms = self.timestamp(dts_us);
        let composition_ms = self.timestamp(pts_us).wrapping_sub(timestamp_ms);
        let mut tag = BytesMut::with_capacity(content.len() + 16);
        tag.put_slice(&[if key { 0x17 } else { 0x27 }, 1]);
        tag.put_uint(u64::from(composition_ms), 3);
        tag.put_u32(u32::try_from(SLICE_HEADER + content.len()).unwrap_or(u32::MAX));
        tag.put_slice(&slice);
        tag.put_slice(&content);
        self.video += 1;
        Frame { video: true, key, timestamp_ms, payload: tag.freeze(), mark }
    }

    fn produce_audio(&mut self, dts_us: u64) -> Frame {
        let mark = Mark {
            dts_us,
            made: self.made(dts_us),
            len: AUDIO_BYTES,
            run: self.run,
            format: self.audio_format(),
            key: true,
            ..Mark::new(self.video_source | 1, self.audio)
        };
        let payload = Bytes::from([&[0xaf, 1][..], &mark.content()].concat());
        self.audio += 1;
        Frame { video: false, key: false, timestamp_ms: self.timestamp(dts_us), payload, mark }
    }

    /// How many frames later the next frame of video is presented than decoded. Each P-frame is decoded before the
    /// B-frames that are presented before it; no group of them reaches over a key frame.
    fn presented_later(&self) -> u64 {
        let (gop, b_frames) = (u64::from(self.source.gop.max(1)), u64::from(self.source.b_frames));
        let place = self.video % gop;
        match b_frames {
            0 => 0,
            _ if place == 0 => 1,
            _ if (place - 1).is_multiple_of(b_frames + 1) => 1 + b_frames.min(gop - 1 - place),
            _ => 0,
        }
    }

    fn video_us(&self) -> Option<u64> {
        self.source.video.then(|| self.video_time(self.video))
    }

    fn video_time(&self, frame: u64) -> u64 {
        let (num, den) = (u128::from(self.source.fps.0.max(1)), u128::from(self.source.fps.1));
        u64::try_from(u128::from(frame) * den * 1_000_000 / num).unwrap_or(u64::MAX)
    }

    fn audio_us(&self) -> Option<u64> {
        let rate = u128::from(self.source.audio?.max(1));
        Some(u64::try_from(u128::from(self.audio) * 1_024 * 1_000_000 / rate).unwrap_or(u64::MAX))
    }

    fn audio_format(&self) -> u8 {
        let rate = self.source.audio.unwrap_or(48_000);
        AAC_RATES.iter().position(|known| *known == rate).unwrap_or(3) as u8
    }

    fn made(&self, us: u64) -> Wall {
        self.zero.plus_micros(i64::try_from(us).unwrap_or(i64::MAX))
    }

    /// Milliseconds, rounded, as encoders write them; RTMP keeps the lower 32 bits.
    fn timestamp(&self, us: u64) -> u32 {
        ((us + 500) / 1_000).wrapping_add_signed(self.jump_ms) as u32
    }
}

/// AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1).
pub(crate) fn avc_record(picture: Picture) -> Vec<u8> {
    let (sps, pps) = picture.parameter_sets();
    let head = [1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, sps.len() as u8];
    [&head[..], sps, &[1, 0, pps.len() as u8], pps].concat()
}

/// AudioSpecificConfig (ISO/IEC 14496-3, section 1.6.2.1): AAC LC, stereo, of the sampling rate with this index.
pub(crate) fn audio_config(index: u8) -> [u8; 2] {
    u16::to_be_bytes((2 << 11) | (u16::from(index) << 7) | (2 << 3))
}

/// The decoder configuration that the frame with this mark needs; `None` if no encoder makes such frames.
pub fn decoder_config(mark: Mark) -> Option<fmp4::Config> {
    if mark.source & 1 == 1 {
        return Some(fmp4::Config::Aac(audio_config(mark.format).to_vec()));
    }
    let (sps, pps) = Picture::ALL.get(usize::from(mark.format))?.parameter_sets();
    Some(fmp4::Config::Avc { sps: vec![sps.to_vec()], pps: vec![pps.to_vec()] })
}

/// The shortest frame: its mark and what is around it.
pub const FRAME_BYTES_MIN: usize = Mark::LEN + SLICE_HEADER;
/// The length of a NAL unit's first bytes in front of the content.
pub(crate) const SLICE_HEADER: usize = 2;
/// A slice of an IDR picture.
pub(crate) const SLICE_KEY: [u8; SLICE_HEADER] = [0x65, 0x88];
/// A slice of a picture that others refer to.
pub(crate) const SLICE_P: [u8; SLICE_HEADER] = [0x41, 0x9a];
/// A slice of a picture that nothing refers to.
pub(crate) const SLICE_B: [u8; SLICE_HEADER] = [0x01, 0x9e];
/// The length of an AAC frame at about 64 kbit/s.
const AUDIO_BYTES: u32 = 170;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait after the first failure; it doubles each time.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// An encoder that has more than this to send gives the connection up.
const QUEUE_MAX: usize = 4 << 20;
/// Sampling rates by their index in AudioSpecificConfig (ISO/IEC 14496-3, table 1.18).
pub(crate) const AAC_RATES: [u32; 12] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(source: Source, count: usize) -> Vec<Frame> {
        let mut frames = Frames::new(source, 1, Wall::from_micros(0));
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
            assert!(!nal.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3));
            if frame.video {
                assert_eq!(nal.len(), u32::from_be_bytes(frame.payload[5..9].try_into().unwrap()) as usize);
                let source = Source::default();
                assert_eq!(nal.len(), if frame.key { source.key_bytes } else { source.delta_bytes });
            }
        }
    }

    #[test]
    fn every_picture_is_presented_once_and_not_before_it_is_decoded() {
        for (b_frames, gop) in [(0, 30), (1, 30), (2, 30), (2, 31), (3, 7), (2, 1), (5, 3)] {
            let source = Source { b_frames, gop, audio: None, fps: (25, 1), ..Source::default() };
            let count = 7 * gop;
            let all = frames(source, count as usize);
            let mut presented: Vec<u64> = all.iter().map(|frame| frame.mark.pts_us() / 40_000).collect();
            let reordered = presented.windows(2).any(|pair| pair[1] < pair[0]);
            assert_eq!(reordered, b_frames > 0 && gop > 2, "{b_frames} in {gop}");
            presented.sort_unstable();
            let first = u64::from(b_frames > 0);
            assert!(presented.into_iter().eq(first..u64::from(count) + first), "{b_frames} in {gop}");
            for frame in all {
                let composition_ms =
                    u32::from_be_bytes([0, frame.payload[2], frame.payload[3], frame.payload[4]]);
                assert_eq!(composition_ms * 1_000, frame.mark.composition_us);
            }
        }
    }

    #[test]
    fn a_source_may_have_only_one_of_both() {
        let sound = frames(Source { video: false, ..Source::default() }, 100);
        assert!(sound.iter().all(|frame| !frame.video));
        let pictures = frames(Source { audio: None, ..Source::default() }, 100);
        assert!(pictures.iter().all(|frame| frame.video));
    }

    #[test]
    fn encoders_on_one_clock_make_the_same_frames() {
        let source = Source { timestamps: Timestamps::Clock, ..Source::default() };
        let zero = Wall::from_micros(0);
        let (mut early, mut late) = (Frames::new(source.clone(), 1, zero), Frames::new(source, 2, zero));
        early.skip_to(1_000_000_000_000);
        late.skip_to(1_000_002_000_000);
        let early: Vec<_> = (0..400).map(|_| early.produce()).collect();
        let first = late.produce();
        let same = early.iter().find(|frame| frame.mark == first.mark).unwrap();
        assert_eq!(*same, first);
    }

    #[test]
    fn the_parameter_sets_say_what_the_pictures_are_like() {
        let sizes = [(640, 360), (1_280, 720), (640, 360)];
        for (picture, size) in Picture::ALL.into_iter().zip(sizes) {
            let (sps, _) = picture.parameter_sets();
            let sps = headwater_core::media::h264::Sps::parse(sps).unwrap();
            assert_eq!((sps.width, sps.height), size);
        }
    }

    #[test]
    fn the_headers_are_those_of_flv() {
        let frames = Frames::new(Source::default(), 1, Wall::from_micros(0));
        assert_eq!(frames.video_header()[..9], [0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e]);
        assert_eq!(frames.audio_header()[..], [0xaf, 0, 0x11, 0x90]);
    }
}
