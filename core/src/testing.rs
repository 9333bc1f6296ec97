//! What the tests of several machines share: a clock, media, and an origin that speaks OVT.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::media::{
    AudioFormat, Codec, Kind, Packet, StreamInfo, Timebase, Timestamp, Track, TrackId, VideoFormat,
};
use crate::relay::{Channel, Session};
use crate::time::{Now, Time, Wall};
use crate::wire::ovt::message::beat;
use crate::wire::ovt::{Application, Grant, Server, ServerEvent};

/// `ms` milliseconds after the start of the clocks.
pub(crate) fn at(ms: u64) -> Now {
    Now {
        mono: Time::from_micros(ms * 1_000),
        wall: Wall::from_micros(1_700_000_000_000_000 + ms as i64 * 1_000),
    }
}

/// A video track.
pub(crate) fn video(id: u32) -> Track {
    Track {
        id: TrackId(id),
        kind: Kind::Video,
        codec: Codec::H264,
        timebase: Timebase::MILLIS,
        name: "video".to_owned(),
        bitrate: 1_000_000,
        video: VideoFormat { width: 640, height: 360, framerate: 25.0 },
        audio: AudioFormat::default(),
        config: None,
    }
}

/// A stream of these tracks, from the origin `from`.
pub(crate) fn stream(from: &str, tracks: Vec<Track>) -> StreamInfo {
    StreamInfo { origin_uuid: format!("{from}/#default#app/stream/i"), tracks, playlists: Vec::new() }
}

/// Frame `n` of a video track: 25 frames per second, a key frame each second. What it holds depends on `n` only.
pub(crate) fn frame(track: u32, n: i64) -> Packet {
    let dts = Timestamp::new(n * 40, Timebase::MILLIS);
    let data = n.to_be_bytes().into_iter().cycle().take(700).collect();
    Packet { track: TrackId(track), dts, pts: dts, key: n % 25 == 0, data }
}

/// What an origin does with a DESCRIBE or a PLAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers and plays.
    Plays,
    /// Has no such stream.
    Lacks,
    /// Says that the stream is starting.
    Starts,
    /// Accepts, and says nothing.
    IsSilent,
    /// Answers DESCRIBE, and no PLAY.
    DescribesOnly,
    /// Sends its media before its answer to PLAY.
    Hurries,
}

/// The origin's side of one connection.
pub(crate) struct Origin {
    pub(crate) manner: Manner,
    pub(crate) info: StreamInfo,
    /// What it was asked, with the numbers of the requests.
    pub(crate) asked: Vec<(Application, u32)>,
    pub(crate) via: Vec<u64>,
    /// Whether it is asked for signs of life, and grants them.
    pub(crate) beats: bool,
    server: Server,
    channel: Channel,
    out: VecDeque<Bytes>,
}

impl Origin {
    /// A connection to an origin that has had `past`.
    pub(crate) fn new(
        now: Now,
        manner: Manner,
        info: StreamInfo,
        past: impl Iterator<Item = Packet>,
    ) -> Origin {
        let mut channel = Channel::new(&info);
        for packet in past {
            if let Some(track) = info.track(packet.track) {
                channel.push(track, &packet);
            }
        }
        Origin {
            manner,
            info,
            asked: Vec::new(),
            via: Vec::new(),
            beats: false,
            server: Server::new(now.mono),
            channel,
            out: VecDeque::new(),
        }
    }

    pub(crate) fn receive(&mut self, now: Now, bytes: Bytes) {
        self.server.receive(bytes, now).expect("our own client speaks OVT");
        while let Some(event) = self.server.poll() {
            match event {
                ServerEvent::Describe { id, via, .. } => {
                    self.via = via;
                    self.asked.push((Application::Describe, id));
                    self.describe(now, id);
                }
                ServerEvent::Play { id, history_ms, beat_ms, .. } => {
                    self.asked.push((Application::Play, id));
                    let beat_ms = beat_ms.filter(|_| self.beats);
                    self.play(now, id, history_ms, Grant { beat_ms, ..Grant::default() });
                }
                ServerEvent::Stop { id, .. } => self.asked.push((Application::Stop, id)),
                ServerEvent::Write(bytes) => self.out.push_back(bytes),
            }
        }
    }

    /// The stream's next packet.
    pub(crate) fn push(&mut self, packet: &Packet) {
        let Some(track) = self.info.track(packet.track) else { return };
        if let Some(unit) = self.channel.push(track, packet).filter(|_| self.server.is_playing()) {
            self.out.push_back(unit.bytes);
        }
    }

    /// A sign of life, if it was granted.
    pub(crate) fn beat(&mut self, now: Now) {
        if self.beats && self.server.is_playing() {
            self.out.push_back(beat(now.wall));
        }
    }

    /// Bytes for the edge.
    pub(crate) fn poll(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    fn describe(&mut self, now: Now, id: u32) {
        let key = "#default#app/stream";
        let answer = match self.manner {
            Manner::IsSilent => return,
            Manner::Lacks => self.server.not_found(id, Application::Describe, key, now.wall),
            Manner::Starts => self.server.not_started(id, key, now.wall),
            Manner::DescribesOnly | Manner::Hurries | Manner::Plays => {
                self.server.describe_ok(id, "#default#app", "stream", &self.info, now.wall)
            }
        };
        self.out.push_back(answer);
    }

    fn play(&mut self, now: Now, id: u32, history_ms: Option<u32>, grant: Grant) {
        if self.manner == Manner::DescribesOnly {
            return;
        }
        let answer = self.server.play_ok_with(id, grant, now.wall);
        let mut burst: Vec<Bytes> =
            self.channel.recent(Session::history(history_ms)).map(|unit| unit.bytes.clone()).collect();
        let place = if self.manner == Manner::Hurries { burst.len() } else { 0 };
        burst.insert(place, answer);
        self.out.extend(burst);
    }
}
