//! An edge as OvenMediaEngine is one: it pulls a stream, from one origin after the other, and writes down what it was
//! given and every rule that was broken on which the real one depends.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_core::io::{Close, ConnId, Endpoint, Input, Machine, Output};
use headwater_core::time::{Deadline, Now, Time};
use serde_json::Value;
use thiserror::Error;

use super::packet::{MEDIA, Malformed, Packets, REQUEST, RESPONSE, Unit, message};
use crate::check::Checker;
use crate::fmp4::{self, Config};
use crate::host::Boot;
use crate::integrity::{self, Damage, Mistiming, Timing};
use crate::mark::Mark;
use crate::world::{HostId, World};

/// What an edge pulls.
#[derive(Clone, Debug)]
pub struct Pulling {
    /// The origins, in the order in which they are tried.
    pub origins: Vec<Endpoint>,
    /// The application.
    pub app: String,
    /// The stream.
    pub stream: String,
    /// When the first player asks, after the edge's start.
    pub from: Duration,
    /// When the last player has left, after the edge's start; never if none.
    pub until: Option<Duration>,
    /// NoInputFailoverTimeout.
    pub no_input: Duration,
    /// RetryCount: after one try of each origin more than this many times, the stream is deleted.
    pub retry_count: u32,
}

impl Pulling {
    /// `app/stream` of `hosts` on OVT's usual port, from the start on, with the usual settings.
    pub fn new(app: &str, stream: &str, hosts: &[&str]) -> Pulling {
        let origin = |host: &&str| Endpoint { host: (*host).to_owned(), port: 9_000 };
        Pulling {
            origins: hosts.iter().map(origin).collect(),
            app: app.to_owned(),
            stream: stream.to_owned(),
            from: Duration::ZERO,
            until: None,
            no_input: Duration::from_millis(3_000),
            retry_count: 1,
        }
    }
}

/// What an edge has seen, shared with whoever started it.
#[derive(Clone, Debug, Default)]
pub struct EdgeSeen {
    /// Connections that were made or tried.
    pub attempts: u32,
    /// Times at which media began to come from an origin, which is named.
    pub plays: Vec<(Time, String)>,
    /// Frames of video, then of audio.
    pub frames: [u64; 2],
    /// Frames that never came, of those between two that came on one connection.
    pub lost: u64,
    /// Frames that came again or in the wrong order, on one connection.
    pub repeated: u64,
    /// When the newest frame came, on the edge's monotonic clock.
    pub newest: Option<Time>,
    /// Every rule that was broken, with the edge's monotonic clock.
    pub breaches: Vec<(Time, Breach)>,
    /// Answers of DESCRIBE and PLAY that were not 200: their codes.
    pub refusals: Vec<u64>,
    /// Times at which the stream was deleted, because no origin had it.
    pub deleted: u32,
    /// Units that were destroyed because this edge carries half a unit from one connection over to the next.
    pub own_faults: u32,
}

/// A rule that an origin broke.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Breach {
    /// A frame that is not as it was made.
    #[error("a frame is damaged: {0}")]
    Damaged(Damage),
    /// A DESCRIBE that is refused as a whole.
    #[error("a DESCRIBE without a valid {0}")]
    Description(String),
    /// A frame that is not as its track was described.
    #[error("a frame contradicts its track: {0}")]
    Frame(&'static str),
    /// A message where only media may come.
    #[error("a message during media")]
    Message,
    /// Bytes that are no packet.
    #[error("a packet that is none ({0})")]
    Packet(String),
    /// An answer that belongs to no request.
    #[error("an answer to another request")]
    Reply,
    /// Nothing for longer than a request may take.
    #[error("no answer in time")]
    Slow,
    /// A frame's time.
    #[error("{0}")]
    Time(Mistiming),
    /// A track with which output never starts.
    #[error("a track that is never ready: {0}")]
    Unready(&'static str),
}

/// The program.
pub struct Edge {
    pulling: Pulling,
    seen: Rc<RefCell<EdgeSeen>>,
    from: Time,
    until: Option<Time>,
    request: u64,
    next_conn: u64,
    origin: usize,
    failures: u32,
    state: State,
    packets: Packets,
    /// Of media. It outlives its connection, as it does in the real one.
    unit: Vec<u8>,
    unit_conn: Option<ConnId>,
    text: Vec<u8>,
    tracks: BTreeMap<u32, Track>,
    last: BTreeMap<u32, Mark>,
    timing: Timing,
    epoch: u64,
    outbox: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until a moment.
    Idle(Time),
    Connecting(ConnId, Time),
    /// Waiting for the answer to DESCRIBE.
    Describing(ConnId, Time),
    /// Waiting for the answer to PLAY.
    Starting(ConnId, Time),
    Playing(ConnId, Time),
    Over,
}

#[derive(Clone, Debug)]
struct Track {
    media: i8,
    timebase: (i64, i64),
    config: Config,
}

impl Edge {
    /// An edge that has just been started. It writes into `seen`.
    pub fn new(pulling: Pulling, seen: &Rc<RefCell<EdgeSeen>>, now: Now) -> Edge {
        let from = now.mono + pulling.from;
        Edge {
            from,
            until: pulling.until.map(|until| now.mono + until),
            pulling,
            seen: seen.clone(),
            request: 1,
            next_conn: 2,
            origin: 0,
            failures: 0,
            state: State::Idle(from),
            packets: Packets::default(),
            unit: Vec::new(),
            unit_conn: None,
            text: Vec::new(),
            tracks: BTreeMap::new(),
            last: BTreeMap::new(),
            timing: Timing::default(),
            epoch: 0,
            outbox: VecDeque::new(),
        }
    }

    /// A host's program that writes into `seen`, life after life.
    pub fn boot(pulling: Pulling, seen: &Rc<RefCell<EdgeSeen>>) -> Boot {
        let seen = seen.clone();
        Boot::new(move |_, now| Box::new(Edge::new(pulling.clone(), &seen, now)))
    }

    fn breach(&mut self, now: Time, breach: Breach) {
        let breaches = &mut self.seen.borrow_mut().breaches;
        if breaches.len() < BREACHES_MAX {
            breaches.push((now, breach));
        }
    }

    fn settle(&mut self, now: Now) {
        if self.until.is_some_and(|until| until <= now.mono) && self.state != State::Over {
            return self.stop(now);
        }
        match self.state {
            State::Idle(until) if until <= now.mono => self.connect(now.mono),
            State::Connecting(_, until) if until <= now.mono => self.fail(now.mono),
            State::Describing(_, until) | State::Starting(_, until) if until <= now.mono => {
                self.breach(now.mono, Breach::Slow);
                self.fail(now.mono);
            }
            State::Playing(_, until) if until <= now.mono => self.fail(now.mono),
            _ => {}
        }
    }

    fn connect(&mut self, now: Time) {
        let Some(to) = self.pulling.origins.get(self.origin).cloned() else { return };
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        self.seen.borrow_mut().attempts += 1;
        self.packets = Packets::default();
        self.text.clear();
        self.state = State::Connecting(conn, now + CONNECT_TIMEOUT);
        self.outbox.push_back(Output::Open { conn, to });
    }

    /// Gives this origin up and goes on to the next one, or deletes the stream.
    fn fail(&mut self, now: Time) {
        if let Some(conn) = self.state.conn() {
            self.outbox.push_back(Output::Close { conn, how: Close::Abort });
        }
        self.origin = (self.origin + 1) % self.pulling.origins.len().max(1);
        self.failures += 1;
        let tries = self.pulling.origins.len() as u32 * self.pulling.retry_count + 1;
        self.state = State::Idle(now + SUPERVISOR);
        if self.failures >= tries {
            // A player asks again after a while, and everything starts anew.
            self.seen.borrow_mut().deleted += 1;
            self.failures = 0;
            self.origin = 0;
            self.request = 1;
            self.tracks.clear();
            self.epoch += 1;
            self.state = State::Idle((now + PLAYER_RETRY).max(self.from));
        }
    }

    fn stop(&mut self, now: Now) {
        if let State::Playing(conn, _) = self.state {
            self.ask(now, conn, "stop");
        }
        if let Some(conn) = self.state.conn() {
            self.outbox.push_back(Output::Close { conn, how: Close::Flush });
        }
        self.state = State::Over;
    }

    fn ask(&mut self, now: Now, conn: ConnId, what: &str) {
        let (id, app, stream) = (self.request, &self.pulling.app, &self.pulling.stream);
        self.request += 1;
        let Some(origin) = self.pulling.origins.get(self.origin) else { return };
        let target = format!("ovt://{origin}/{app}/{stream}");
        let text = format!(r#"{{"application":"{what}","id":{id},"target":"{target}"}}"#);
        let unix_ms = u64::try_from(now.wall.as_millis()).unwrap_or(0);
        self.outbox
            .push_back(Output::Write { conn, bytes: message(REQUEST, unix_ms, text.as_bytes()).into() });
    }

    fn received(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        match &mut self.state {
            // The timeout of a socket starts anew with everything that comes.
            State::Describing(_, until) | State::Starting(_, until) => *until = now.mono + RECEIVE_TIMEOUT,
            State::Playing(_, until) => *until = now.mono + self.pulling.no_input,
            _ => {}
        }
        self.packets.receive(bytes);
        while self.state.conn() == Some(conn) {
            match self.packets.next() {
                Ok(None) => return,
                Ok(Some(packet)) if packet.kind == MEDIA => {
                    if packet.payload.is_empty() {
                        self.breach(now.mono, Breach::Packet("media without a byte".to_owned()));
                    }
                    let broken_off = self.unit_conn.is_some_and(|from| from != conn) && !self.unit.is_empty();
                    self.unit.extend(&packet.payload);
                    if packet.last {
                        let unit = core::mem::take(&mut self.unit);
                        self.unit_conn = None;
                        self.media(now.mono, &unit, broken_off);
                    } else if !broken_off {
                        self.unit_conn = Some(conn);
                    }
                }
                Ok(Some(packet)) if packet.kind == RESPONSE => {
                    if packet.session != 0 {
                        self.breach(now.mono, Breach::Packet("a message of a session".to_owned()));
                    }
                    self.text.extend(&packet.payload);
                    if packet.last {
                        let text = core::mem::take(&mut self.text);
                        self.answered(now, conn, &text);
                    }
                }
                Ok(Some(packet)) => {
                    self.breach(now.mono, Breach::Packet(format!("type {}", packet.kind)));
                }
                Err(malformed) => {
                    let what = match malformed {
                        Malformed::Version(version) => format!("version {version}"),
                        Malformed::Length(length) => format!("{length} bytes"),
                    };
                    self.breach(now.mono, Breach::Packet(what));
                    return self.fail(now.mono);
                }
            }
        }
    }

    fn answered(&mut self, now: Now, conn: ConnId, text: &[u8]) {
        let asked = match self.state {
            State::Describing(..) => "describe",
            State::Starting(..) => "play",
            _ => {
                self.breach(now.mono, Breach::Message);
                return self.fail(now.mono);
            }
        };
        let reply: Value = serde_json::from_slice(text).unwrap_or(Value::Null);
        let belongs = reply["id"].as_u64() == Some(self.request - 1) && reply["application"] == asked;
        let code = reply["code"].as_u64();
        let (true, Some(code), false) = (belongs, code, text.contains(&0)) else {
            self.breach(now.mono, Breach::Reply);
            return self.fail(now.mono);
        };
        if code != 200 {
            self.seen.borrow_mut().refusals.push(code);
            return self.fail(now.mono);
        }
        if asked == "play" {
            self.state = State::Playing(conn, now.mono + self.pulling.no_input);
            return;
        }
        match describe(&reply["contents"]) {
            Ok((tracks, unready)) => {
                for what in unready {
                    self.breach(now.mono, Breach::Unready(what));
                }
                self.tracks.extend(tracks);
                self.state = State::Starting(conn, now.mono + RECEIVE_TIMEOUT);
                self.ask(now, conn, "play");
            }
            Err(what) => {
                self.breach(now.mono, Breach::Description(what));
                self.fail(now.mono);
            }
        }
    }

    fn media(&mut self, now: Time, bytes: &[u8], broken_off: bool) {
        let Some(unit) = Unit::read(bytes) else {
            if broken_off {
                self.seen.borrow_mut().own_faults += 1;
            } else {
                self.breach(now, Breach::Packet("a unit that is not as long as it says".to_owned()));
            }
            return self.fail(now);
        };
        match self.judge(now, &unit) {
            Ok(mark) => self.count(now, unit.track, mark),
            Err(breach) => self.breach(now, breach),
        }
    }

    /// Holds a unit against its track and against what its encoder made.
    fn judge(&mut self, now: Time, unit: &Unit) -> Result<Mark, Breach> {
        let track = self.tracks.get(&unit.track).cloned().ok_or(Breach::Frame("there is no such track"))?;
        if unit.media != track.media {
            return Err(Breach::Frame("its media type"));
        }
        if unit.pts == -1 || unit.dts == -1 {
            return Err(Breach::Frame("its time means that there is none"));
        }
        let mark = match (&track.config, unit.format) {
            (Config::Avc { .. }, ANNEX_B) => {
                let units = integrity::start_code_units(&unit.data).map_err(Breach::Damaged)?;
                let mark = integrity::picture(&units).map_err(Breach::Damaged)?;
                let has =
                    |kind| units.iter().any(|unit| unit.first().is_some_and(|first| first & 0x1f == kind));
                if !has(9) {
                    return Err(Breach::Frame("there is no access unit delimiter"));
                }
                if mark.key && !(has(7) && has(8)) {
                    return Err(Breach::Frame("there are no parameter sets in a key frame"));
                }
                if unit.flag != if mark.key { KEY } else { NO_KEY } {
                    return Err(Breach::Damaged(Damage::Key));
                }
                mark
            }
            (Config::Aac(config), ADTS) => {
                let frame = adts(&unit.data, config)?;
                integrity::sound(frame).map_err(Breach::Damaged)?
            }
            _ => return Err(Breach::Frame("its bitstream format")),
        };
        let micros = |ticks: i64| {
            let (num, den) = track.timebase;
            i64::try_from(i128::from(ticks) * i128::from(num) * 1_000_000 / i128::from(den))
                .unwrap_or(i64::MAX)
        };
        for wrong in self.timing.frame(mark, micros(unit.dts), micros(unit.pts - unit.dts), self.epoch) {
            self.breach(now, Breach::Time(wrong));
        }
        Ok(mark)
    }

    fn count(&mut self, now: Time, track: u32, mark: Mark) {
        let mut seen = self.seen.borrow_mut();
        seen.frames[(mark.source & 1) as usize] += 1;
        seen.newest = Some(now);
        if self.last.is_empty() {
            let origin = self.pulling.origins.get(self.origin).map(Endpoint::to_string);
            seen.plays.push((now, origin.unwrap_or_default()));
            self.failures = 0;
        }
        if let Some(before) = self.last.insert(track, mark)
            && before.source == mark.source
        {
            match mark.frame.checked_sub(before.frame + 1) {
                Some(lost) => seen.lost += lost,
                None => seen.repeated += 1,
            }
        }
    }
}

impl State {
    fn conn(self) -> Option<ConnId> {
        match self {
            State::Idle(_) | State::Over => None,
            State::Connecting(conn, _)
            | State::Describing(conn, _)
            | State::Starting(conn, _)
            | State::Playing(conn, _) => Some(conn),
        }
    }
}

/// The tracks of a DESCRIBE that an edge accepts, and what keeps them from being ready; or what it does not accept.
#[allow(clippy::type_complexity)]
fn describe(contents: &Value) -> Result<(BTreeMap<u32, Track>, Vec<&'static str>), String> {
    let need = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let stream = &contents["stream"];
    need(contents["version"].is_u64(), "version")?;
    need(!stream["appName"].is_null(), "appName")?;
    need(!stream["streamName"].is_null(), "streamName")?;
    for playlist in stream["playlists"].as_array().into_iter().flatten() {
        need(!playlist["name"].is_null() && !playlist["fileName"].is_null(), "playlist name")?;
        need(playlist["options"].is_object(), "playlist options")?;
        let renditions = playlist["renditions"].as_array().ok_or("renditions")?;
        for rendition in renditions {
            let named =
                ["name", "videoTrackName", "audioTrackName"].iter().all(|key| rendition[key].is_string());
            need(named, "rendition")?;
        }
    }
    let mut tracks = BTreeMap::new();
    let mut unready = Vec::new();
    for track in stream["tracks"].as_array().ok_or("tracks")? {
        for key in NUMBERS {
            need(track[key].is_u64(), &format!("track's {key}"))?;
        }
        need(track["name"].is_string(), "track's name")?;
        let number = |key: &str| track[key].as_u64().unwrap_or(0);
        let (media, codec) = (number("mediaType"), number("codecId"));
        let (video, audio) = (&track["videoTrack"], &track["audioTrack"]);
        need(media != 0 || video.is_object(), "videoTrack")?;
        need(media != 1 || audio.is_object(), "audioTrack")?;
        let positive = |value: &Value| value.as_u64().is_some_and(|value| value > 0);
        let record = track["decoderConfig"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let config = match (codec, record) {
            (H264, Some(record)) => fmp4::avc(&record).unwrap_or_default(),
            (AAC, Some(record)) => Config::Aac(record),
            _ => Config::Unknown,
        };
        if number("timebaseNum") == 0 || number("timebaseDen") == 0 {
            unready.push("its timebase");
        }
        let told = matches!(media, 2 | 3) || config != Config::Unknown;
        if !told {
            unready.push("its decoderConfig");
        }
        match media {
            0 if !positive(&video["width"]) || !positive(&video["height"]) => unready.push("its size"),
            0 if video["framerate"].as_f64().is_none_or(|rate| rate <= 0.0) => unready.push("its frame rate"),
            1 if !positive(&audio["layout"]) => unready.push("its layout"),
            1 if !positive(&audio["samplerate"]) => unready.push("its sample rate"),
            _ => {}
        }
        let id = u32::try_from(number("id")).map_err(|_| "track's id")?;
        let tick = |key| i64::try_from(number(key)).unwrap_or(1).max(1);
        let timebase = (tick("timebaseNum"), tick("timebaseDen"));
        tracks.insert(id, Track { media: i8::try_from(media).unwrap_or(-1), timebase, config });
    }
    Ok((tracks, unready))
}

/// The frame behind an ADTS header of seven bytes that says what `config` says.
fn adts<'a>(data: &'a [u8], config: &[u8]) -> Result<&'a [u8], Breach> {
    let (header, frame) =
        data.split_first_chunk::<7>().ok_or(Breach::Frame("it is shorter than its header"))?;
    if header[0] != 0xff || header[1] & 0xf7 != 0xf1 {
        return Err(Breach::Frame("it has no ADTS header"));
    }
    let len = usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5]) >> 5;
    if len != data.len() {
        return Err(Breach::Frame("its ADTS header says another length"));
    }
    let (rate, channels) = (header[2] >> 2 & 15, (header[2] & 1) << 2 | header[3] >> 6);
    let [first, second, ..] = *config else {
        return Err(Breach::Frame("its track has no AudioSpecificConfig"));
    };
    if (rate, channels) != ((first & 7) << 1 | second >> 7, second >> 3 & 15) {
        return Err(Breach::Frame("its ADTS header is not that of its track"));
    }
    Ok(frame)
}

impl Machine for Edge {
    fn handle(&mut self, now: Now, input: Input) {
        self.settle(now);
        match input {
            Input::Opened { conn } if self.state.conn() == Some(conn) => {
                self.last.clear();
                // Another origin's times are its own.
                self.epoch += 1;
                self.state = State::Describing(conn, now.mono + RECEIVE_TIMEOUT);
                self.ask(now, conn, "describe");
            }
            Input::Received { conn, bytes } if self.state.conn() == Some(conn) => {
                self.received(now, conn, &bytes);
            }
            Input::Closed { conn, .. } if self.state.conn() == Some(conn) => self.fail(now.mono),
            Input::Command(_) => self.stop(now),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let (at, why) = match self.state {
            State::Idle(at) => (at, "the next try"),
            State::Connecting(_, at) => (at, "an origin to accept"),
            State::Describing(_, at) | State::Starting(_, at) => (at, "an origin to answer"),
            State::Playing(_, at) => (at, "media"),
            State::Over => return None,
        };
        let at = self.until.map_or(at, |until| at.min(until));
        Some(Deadline { at, why })
    }
}

/// An edge of OvenMediaEngine is given what it needs: no rule is broken and no frame is missing, once it plays.
pub struct OmeIsContent {
    host: HostId,
    seen: Rc<RefCell<EdgeSeen>>,
}

impl OmeIsContent {
    /// The edge on `host`, which writes into `seen`.
    pub fn new(host: HostId, seen: &Rc<RefCell<EdgeSeen>>) -> OmeIsContent {
        OmeIsContent { host, seen: seen.clone() }
    }
}

impl Checker for OmeIsContent {
    fn rule(&self) -> &'static str {
        "an edge of OvenMediaEngine is content"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        let seen = self.seen.borrow();
        if let Some((at, breach)) = seen.breaches.first() {
            let ago = world.clock(self.host).mono.since(*at);
            return Err((world.now() - ago, self.host, breach.to_string()));
        }
        if seen.lost + seen.repeated > 0 {
            let what = format!("{} frames were lost and {} came again", seen.lost, seen.repeated);
            return Err((world.now(), self.host, what));
        }
        Ok(())
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The supervisor tries again so often.
const SUPERVISOR: Duration = Duration::from_millis(100);
/// A player that was told that there is no stream asks again.
const PLAYER_RETRY: Duration = Duration::from_secs(1);
/// An origin that broke so many rules has made its point.
const BREACHES_MAX: usize = 1_000;
const NUMBERS: [&str; 8] = [
    "id",
    "codecId",
    "mediaType",
    "timebaseNum",
    "timebaseDen",
    "bitrate",
    "startFrameTime",
    "lastFrameTime",
];
const H264: u64 = 1;
const AAC: u64 = 7;
const ANNEX_B: i8 = 1;
const ADTS: i8 = 10;
const NO_KEY: u8 = 1;
const KEY: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn captured() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ovt/h264-aac/server_to_client.bin");
        let mut packets = Packets::default();
        packets.receive(&std::fs::read(path).unwrap());
        let reply: Value = serde_json::from_slice(&packets.next().unwrap().unwrap().payload).unwrap();
        reply["contents"].clone()
    }

    #[test]
    fn a_real_description_is_accepted() {
        let (tracks, unready) = describe(&captured()).unwrap();
        assert_eq!((tracks.len(), unready), (3, Vec::new()));
        assert!(matches!(tracks[&0].config, Config::Avc { .. }));
        assert_eq!((tracks[&1].timebase, tracks[&2].media), ((1, 1_000), 2));
    }

    #[test]
    fn a_description_with_one_wrong_value_is_refused_as_a_whole() {
        for (pointer, value, what) in [
            ("/version", Value::Null, "version"),
            ("/stream/appName", Value::Null, "appName"),
            ("/stream/tracks", Value::Null, "tracks"),
            ("/stream/tracks/1/bitrate", (-1).into(), "track's bitrate"),
            ("/stream/tracks/0/timebaseDen", 90_000.5.into(), "track's timebaseDen"),
            ("/stream/tracks/2/name", 1.into(), "track's name"),
            ("/stream/tracks/0/videoTrack", Value::Null, "videoTrack"),
            ("/stream/playlists/0/renditions", Value::Null, "renditions"),
            ("/stream/playlists/0/options", Value::Null, "playlist options"),
        ] {
            let mut contents = captured();
            *contents.pointer_mut(pointer).unwrap() = value;
            assert_eq!(describe(&contents).unwrap_err(), what);
        }
        for (pointer, what) in [
            ("/stream/tracks/0/videoTrack/width", "its size"),
            ("/stream/tracks/0/decoderConfig", "its decoderConfig"),
            ("/stream/tracks/1/audioTrack/layout", "its layout"),
            ("/stream/tracks/1/timebaseNum", "its timebase"),
        ] {
            let mut contents = captured();
            *contents.pointer_mut(pointer).unwrap() = 0.into();
            assert_eq!(describe(&contents).unwrap().1, [what]);
        }
    }
}
