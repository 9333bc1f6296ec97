//! An origin as OvenMediaEngine is one: it makes its own media, as if an encoder published to it, and serves it.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headwater_core::io::{Close, ConnId, Input, Machine, Output, Service};
use headwater_core::time::{Deadline, Now, Time, soonest};
use serde_json::{Value, json};

use super::packet::{MEDIA, Packets, RESPONSE, Unit, message, pieces};
use crate::encoder::{AAC_RATES, Frame, Frames, Picture, Source, Timestamps, audio_config, avc_record};
use crate::host::Boot;
use crate::rng::Rng;

/// The stream that an origin has.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The application.
    pub app: String,
    /// Its name.
    pub name: String,
    /// What is published; its mishaps do not happen.
    pub source: Source,
    /// When it is published, after the origin's start.
    pub begins: Duration,
    /// How long after that a DESCRIBE still waits for the stream's output to start.
    pub starts_up: Duration,
    /// When the publisher stops, after the origin's start; never if none.
    pub ends: Option<Duration>,
    /// How long a DESCRIBE takes at most.
    pub describe_takes: Duration,
}

impl Stream {
    /// `app/name` from the start on, answered as fast as was measured.
    pub fn new(app: &str, name: &str, source: Source) -> Stream {
        Stream {
            app: app.to_owned(),
            name: name.to_owned(),
            source,
            begins: Duration::ZERO,
            starts_up: Duration::ZERO,
            ends: None,
            describe_takes: Duration::from_micros(1_400),
        }
    }
}

/// The program.
pub struct Origin {
    stream: Stream,
    server_id: String,
    rng: Rng,
    begins: Time,
    started: Time,
    ends: Option<Time>,
    /// Media is counted from when its publisher started.
    zero_us: u64,
    frames: Frames,
    sequence: u16,
    clients: BTreeMap<ConnId, Client>,
    next_socket: u32,
    outbox: VecDeque<Output>,
}

struct Client {
    packets: Packets,
    request: Vec<u8>,
    /// Its socket's handle, which is what sessions are called.
    socket: u32,
    session: Session,
    waiting: VecDeque<Waiting>,
    unsent: usize,
    stuck_since: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    None,
    /// The next unit is swallowed.
    Attached,
    Playing,
}

/// A request that is being worked on; those behind it wait.
struct Waiting {
    request: Request,
    answer_at: Time,
    give_up_at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    application: String,
    id: u64,
    app: String,
    stream: String,
}

impl Origin {
    /// An origin that has just been started.
    pub fn new(stream: Stream, seed: u64, now: Now) -> Origin {
        let begins = now.mono + stream.begins;
        let begins_wall = now.wall.plus_micros(i64::try_from(stream.begins.as_micros()).unwrap_or(i64::MAX));
        let zero_us = match stream.source.timestamps {
            Timestamps::Zero => 0,
            Timestamps::Clock => u64::try_from(begins_wall.as_micros()).unwrap_or(0),
        };
        let zero = begins_wall.plus_micros(-i64::try_from(zero_us).unwrap_or(i64::MAX));
        let mut frames = Frames::new(stream.source.clone(), seed, zero);
        frames.skip_to(zero_us);
        let rng = Rng::new(seed).fork("origin");
        Origin {
            started: begins + stream.starts_up,
            ends: stream.ends.map(|ends| now.mono + ends),
            server_id: format!("OvenMediaEngine_{:016x}", rng.fork("server id").number()),
            stream,
            rng,
            begins,
            zero_us,
            frames,
            sequence: 0,
            clients: BTreeMap::new(),
            next_socket: FIRST_SOCKET,
            outbox: VecDeque::new(),
        }
    }

    /// A host's program that listens on OVT's usual port.
    pub fn boot(stream: Stream) -> Boot {
        let make = move |seed, now| -> Box<dyn Machine> { Box::new(Origin::new(stream.clone(), seed, now)) };
        Boot::new(make).listen(9_000, Service::Ovt)
    }

    fn exists(&self, now: Time) -> bool {
        self.begins <= now && self.ends.is_none_or(|ends| now < ends)
    }

    fn next_frame(&self) -> Time {
        self.begins + Duration::from_micros(self.frames.next_us().saturating_sub(self.zero_us))
    }

    fn settle(&mut self, now: Now) {
        while self.next_frame() <= now.mono && self.ends.is_none_or(|ends| self.next_frame() < ends) {
            let frame = self.frames.produce();
            self.broadcast(now.mono, &frame);
        }
        if self.ends.is_some_and(|ends| ends <= now.mono) {
            // No STOP is sent.
            let players = self.clients.iter().filter(|(_, client)| client.session != Session::None);
            let players: Vec<ConnId> = players.map(|(conn, _)| *conn).collect();
            players.into_iter().for_each(|conn| self.close(conn, Close::Flush));
        }
        let conns: Vec<ConnId> = self.clients.keys().copied().collect();
        for conn in conns {
            self.answer(now, conn);
            let stuck = self.clients.get(&conn).and_then(|client| client.stuck_since);
            if stuck.is_some_and(|since| since + SEND_STALL <= now.mono) {
                self.close(conn, Close::Abort);
            }
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        if self.clients.remove(&conn).is_some() {
            self.outbox.push_back(Output::Close { conn, how });
        }
    }

    /// Sends a frame to every session. All of them share one count of packets.
    fn broadcast(&mut self, now: Time, frame: &Frame) {
        let video_first = u32::from(self.stream.source.video);
        let unit = unit(frame, (frame.mark.source & 1) * video_first);
        let (first, bytes) = (self.sequence, unit.write());
        for (conn, client) in &mut self.clients {
            match client.session {
                Session::None => {}
                Session::Attached => client.session = Session::Playing,
                Session::Playing => {
                    self.sequence = first;
                    let pts = unit.pts.cast_unsigned();
                    let bytes = pieces(MEDIA, pts, client.socket, &mut self.sequence, &bytes);
                    client.write(now, bytes.len());
                    self.outbox.push_back(Output::Write { conn: *conn, bytes: bytes.into() });
                }
            }
        }
        let count = bytes.len().div_ceil(32_750) as u16;
        self.sequence = first.wrapping_add(count);
    }

    fn received(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.packets.receive(bytes);
        loop {
            let Some(client) = self.clients.get_mut(&conn) else { return };
            match client.packets.next() {
                Ok(None) => return,
                // The bad bytes stay where they are: whatever comes next is answered in the same way.
                Err(_) => {
                    return self.reply(now, conn, &json!(500), ("unknown", 0), "Server Internals Error");
                }
                // Both kinds of message are read as requests; media is put away and never read.
                Ok(Some(packet)) if packet.kind == 10 || packet.kind == 20 => {
                    client.request.extend(&packet.payload);
                    if packet.last {
                        let text = core::mem::take(&mut client.request);
                        self.request(now, conn, &text);
                    }
                }
                Ok(Some(_)) => {}
            }
        }
    }

    fn request(&mut self, now: Now, conn: ConnId, text: &[u8]) {
        if text.is_empty() {
            return self.reply(now, conn, &json!(500), ("unknown", 0), "Server Internals Error");
        }
        match Request::read(text) {
            Err((id, message)) => self.reply(now, conn, &json!(404), ("unknown", id), message),
            Ok(request) => {
                let takes = match request.application.as_str() {
                    "describe" => self.rng.duration(self.stream.describe_takes),
                    _ => self.rng.duration(PLAY_TAKES),
                };
                let (answer_at, give_up_at) = (now.mono + takes, now.mono + START_WAIT);
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.waiting.push_back(Waiting { request, answer_at, give_up_at });
                }
                self.answer(now, conn);
            }
        }
    }

    /// Answers what is due, one request after the other.
    fn answer(&mut self, now: Now, conn: ConnId) {
        loop {
            let exists = self.exists(now.mono);
            let Some(client) = self.clients.get_mut(&conn) else { return };
            let Some(waiting) = client.waiting.front_mut().filter(|waiting| waiting.answer_at <= now.mono)
            else {
                return;
            };
            let hangs = waiting.request.application == "describe" && exists && self.started > now.mono;
            if hangs && waiting.give_up_at > now.mono {
                waiting.answer_at = self.started.min(waiting.give_up_at);
                return;
            }
            let Some(waiting) = client.waiting.pop_front() else { return };
            self.answer_one(now, conn, &waiting.request);
        }
    }

    fn answer_one(&mut self, now: Now, conn: ConnId, request: &Request) {
        let app = format!("#default#{}", request.app);
        let stream = format!("({app}/{})", request.stream);
        let known_app = request.app == self.stream.app;
        let known = known_app && request.stream == self.stream.name && self.exists(now.mono);
        let verb = request.application.as_str();
        let to = |verb| (verb, request.id);
        match verb {
            "describe" if !known => {
                self.reply(now, conn, &json!(404), to(verb), &format!("There is no such stream {stream}"));
            }
            "describe" if self.started > now.mono => {
                self.reply(now, conn, &json!(202), to(verb), &format!("{stream} stream has not started."));
            }
            "describe" => {
                let contents = self.contents();
                let mut reply = reply(&json!(200), to(verb), "ok");
                reply["contents"] = contents;
                self.send(now, conn, &reply);
            }
            "play" | "stop" if !known_app => {
                self.reply(now, conn, &json!(404), to(verb), &format!("There is no such app ({app})"));
            }
            "play" | "stop" if !known => {
                self.reply(now, conn, &json!(404), to(verb), &format!("There is no such stream {stream}"));
            }
            "play" => {
                let Some(client) = self.clients.get_mut(&conn) else { return };
                let again = client.session != Session::None;
                client.session = Session::Attached;
                self.reply(now, conn, &json!(200), to(verb), "ok");
                // The old session of this connection is destroyed, and takes the socket with it.
                if again {
                    self.close(conn, Close::Flush);
                }
            }
            "stop" => {
                self.reply(now, conn, &json!(200), to(verb), "ok");
                self.close(conn, Close::Flush);
            }
            other => self.reply(now, conn, &json!(404), to(other), "Unknown application"),
        }
    }

    fn reply(&mut self, now: Now, conn: ConnId, code: &Value, to: (&str, u64), text: &str) {
        self.send(now, conn, &reply(code, to, text));
    }

    fn send(&mut self, now: Now, conn: ConnId, reply: &Value) {
        let unix_ms = u64::try_from(now.wall.as_millis()).unwrap_or(0);
        let bytes = message(RESPONSE, unix_ms, reply.to_string().as_bytes());
        if let Some(client) = self.clients.get_mut(&conn) {
            client.write(now.mono, bytes.len());
        }
        self.outbox.push_back(Output::Write { conn, bytes: Bytes::from(bytes) });
    }

    /// What a DESCRIBE says of the stream.
    fn contents(&self) -> Value {
        let source = &self.stream.source;
        let app = format!("#default#{}", self.stream.app);
        let uuid = format!("{}/{app}/{}/i", self.server_id, self.stream.name);
        let mut tracks = Vec::new();
        if source.video {
            let (width, height) = match source.picture {
                Picture::Large => (1_280, 720),
                Picture::Small | Picture::Reordered => (640, 360),
            };
            let framerate = f64::from(source.fps.0) / f64::from(source.fps.1);
            tracks.push(json!({
                "name": "Video", "codecId": 1, "mediaType": 0, "bitrate": 488_000,
                "decoderConfig": STANDARD.encode(avc_record(source.picture)),
                "videoTrack": { "framerate": framerate, "width": width, "height": height },
                "audioTrack": { "samplerate": 0, "sampleFormat": -1, "layout": 0 },
            }));
        }
        if let Some(rate) = source.audio {
            let index = AAC_RATES.iter().position(|known| *known == rate).unwrap_or(3) as u8;
            tracks.push(json!({
                "name": "Audio", "codecId": 7, "mediaType": 1, "bitrate": 67_000,
                "decoderConfig": STANDARD.encode(audio_config(index)),
                "videoTrack": { "framerate": f64::from(rate) / 1_024.0, "width": 0, "height": 0 },
                "audioTrack": { "samplerate": rate, "sampleFormat": 1, "layout": 3 },
            }));
        }
        // It is listed and never carries a packet.
        tracks.push(json!({
            "name": "Data", "codecId": 0, "mediaType": 2, "bitrate": 0,
            "videoTrack": { "framerate": 0.0, "width": 0, "height": 0 },
            "audioTrack": { "samplerate": 0, "sampleFormat": -1, "layout": 0 },
        }));
        for (id, track) in tracks.iter_mut().enumerate() {
            track["id"] = json!(id);
            track["startFrameTime"] = json!(0);
            track["lastFrameTime"] = json!(0);
            track["timebaseNum"] = json!(1);
            track["timebaseDen"] = json!(1_000);
        }
        json!({
            "version": 18,
            "stream": {
                "appName": app, "streamName": self.stream.name, "originStreamUUID": uuid,
                "playlists": null, "tracks": tracks,
            },
        })
    }
}

impl Client {
    fn write(&mut self, now: Time, bytes: usize) {
        self.unsent += bytes;
        self.stuck_since.get_or_insert(now);
    }
}

impl Request {
    /// The request, or the id to answer to and what is wrong with it.
    fn read(text: &[u8]) -> Result<Request, (u64, &'static str)> {
        let Ok(Value::Object(keys)) = serde_json::from_slice(text) else {
            return Err((0, "An invalid request : Json format"));
        };
        let text = |key: &str| keys.get(key).and_then(Value::as_str);
        let id = keys.get("id").and_then(Value::as_u64).filter(|id| u32::try_from(*id).is_ok());
        let (Some(id), Some(application), Some(target)) = (id, text("application"), text("target")) else {
            return Err((0, "An invalid request : id or target or application are invalid"));
        };
        let rest = target.split_once("://").ok_or((id, "An invalid request : Target is not valid"))?.1;
        let mut path = rest.split(['?']).next().unwrap_or("").split('/').skip(1).map(str::to_owned);
        let (app, stream) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
        let lower = application.to_ascii_lowercase();
        let known = ["describe", "play", "stop"].contains(&lower.as_str());
        let application = if known { lower } else { application.to_owned() };
        Ok(Request { application, id, app, stream })
    }
}

fn reply(code: &Value, (application, id): (&str, u64), text: &str) -> Value {
    json!({ "application": application, "code": code, "id": id, "message": text })
}

/// A frame as it leaves an origin that got it over RTMP: Annex B with a delimiter, and with parameter sets before a
/// key frame; ADTS. Times are milliseconds.
fn unit(frame: &Frame, track: u32) -> Unit {
    let dts = i64::from(frame.timestamp_ms);
    if !frame.video {
        let content = &frame.payload[2..];
        let len = content.len() + ADTS;
        let index = frame.mark.format;
        let header = [
            0xff,
            0xf1,
            1 << 6 | index << 2,
            2 << 6 | (len >> 11) as u8,
            (len >> 3) as u8,
            (len << 5) as u8 | 0x1f,
            0xfc,
        ];
        let data = [&header[..], content].concat();
        return Unit {
            track,
            pts: dts,
            dts,
            duration: 21,
            media: 1,
            flag: 2,
            format: 10,
            packet_type: 1,
            data,
        };
    }
    let composition = u32::from_be_bytes([0, frame.payload[2], frame.payload[3], frame.payload[4]]);
    let mut data = vec![0, 0, 0, 1, 9, 0xf0];
    if let (true, Some(crate::fmp4::Config::Avc { sps, pps })) =
        (frame.key, crate::encoder::decoder_config(frame.mark))
    {
        for set in sps.iter().chain(&pps) {
            data.extend([0, 0, 0, 1]);
            data.extend(set);
        }
    }
    data.extend([0, 0, 0, 1]);
    data.extend(&frame.payload[9..]);
    Unit {
        track,
        pts: dts + i64::from(composition),
        dts,
        duration: 33,
        media: 0,
        flag: if frame.key { 2 } else { 1 },
        format: 1,
        packet_type: 3,
        data,
    }
}

impl Machine for Origin {
    fn handle(&mut self, now: Now, input: Input) {
        self.settle(now);
        match input {
            Input::Accepted { conn, service: Service::Ovt, .. } => {
                let client = Client {
                    packets: Packets::default(),
                    request: Vec::new(),
                    socket: self.next_socket,
                    session: Session::None,
                    waiting: VecDeque::new(),
                    unsent: 0,
                    stuck_since: None,
                };
                self.next_socket += 1;
                self.clients.insert(conn, client);
            }
            Input::Received { conn, bytes } => self.received(now, conn, &bytes),
            Input::Sent { conn, bytes } => {
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.unsent = client.unsent.saturating_sub(bytes);
                    client.stuck_since = Some(now.mono).filter(|_| client.unsent > 0);
                }
            }
            Input::Closed { conn, .. } => {
                self.clients.remove(&conn);
            }
            Input::Command(_) => {
                let conns: Vec<ConnId> = self.clients.keys().copied().collect();
                conns.into_iter().for_each(|conn| self.close(conn, Close::Flush));
            }
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
        let frame = Some(self.next_frame()).filter(|at| self.ends.is_none_or(|ends| *at < ends));
        let playing = self.clients.values().any(|client| client.session != Session::None);
        let end = self.ends.filter(|_| playing);
        let mut next = soonest(at(frame, "the next frame"), at(end, "the end of the stream"));
        for client in self.clients.values() {
            if let Some(waiting) = client.waiting.front() {
                next = soonest(next, at(Some(waiting.answer_at), "an answer"));
            }
            next = soonest(next, at(client.stuck_since.map(|since| since + SEND_STALL), "a stuck client"));
        }
        next
    }
}

fn at(at: Option<Time>, why: &'static str) -> Option<Deadline> {
    at.map(|at| Deadline { at, why })
}

const ADTS: usize = 7;
/// The first handle that a client's socket gets.
const FIRST_SOCKET: u32 = 35;
/// A PLAY or STOP takes no longer.
const PLAY_TAKES: Duration = Duration::from_micros(900);
/// How long a DESCRIBE waits for a stream's output.
const START_WAIT: Duration = Duration::from_secs(3);
/// A client that takes nothing for so long is dropped.
const SEND_STALL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_core::time::Wall;

    fn captured(name: &str) -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ovt/probes/");
        std::fs::read(format!("{path}{name}")).unwrap()
    }

    fn now(ms: u64) -> Now {
        Now { mono: Time::from_micros(ms * 1_000), wall: Wall::from_micros(1_795_221_937_482_000) }
    }

    /// What the origin answers to these bytes within two seconds: every message.
    fn answers(bytes: &[u8]) -> Vec<Value> {
        let mut origin = Origin::new(Stream::new("app", "s13", Source::default()), 1, now(0));
        let conn = ConnId(1);
        let peer = "10.0.0.9:40000".parse().unwrap();
        origin.handle(now(0), Input::Accepted { conn, service: Service::Ovt, peer });
        origin.handle(now(5), Input::Received { conn, bytes: Bytes::copy_from_slice(bytes) });
        (6..2_000).for_each(|ms| origin.handle_timeout(now(ms)));
        let mut packets = Packets::default();
        while let Some(output) = origin.poll_output() {
            if let Output::Write { bytes, .. } = output {
                packets.receive(&bytes);
            }
        }
        messages(&mut packets)
    }

    fn messages(packets: &mut Packets) -> Vec<Value> {
        let mut found = Vec::new();
        while let Ok(Some(packet)) = packets.next() {
            if packet.kind == RESPONSE {
                found.push(serde_json::from_slice(&packet.payload).unwrap());
            }
        }
        found
    }

    /// The structure of a value: what is in it with all leaves of one type made equal.
    fn shape(value: &Value) -> Value {
        match value {
            Value::Object(keys) => keys.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
            Value::Array(items) => items.iter().map(shape).collect(),
            Value::String(_) => json!("text"),
            Value::Number(number) if number.is_f64() => json!(0.5),
            Value::Number(_) => json!(0),
            other => other.clone(),
        }
    }

    #[test]
    fn probes_are_answered_as_the_real_origin_answered_them() {
        for probe in [
            "00-describe",
            "02-describe-play-stop",
            "04-play-not-found-app",
            "06-describe-with-query",
            "08-describe-uppercase",
            "10-stop-not-found",
            "12-id-as-string",
            "14-bad-url",
            "16-extra-json-field",
            "18-id-max-u32",
            "20-split-tcp",
            "22-two-requests-one-segment",
            "24-version-2",
            "26-payload-type-20",
            "28-payload-type-99",
            "30-payload-empty-marker",
            "32-play-then-describe-again",
        ] {
            let mut real = Packets::default();
            real.receive(&captured(&format!("{probe}.s2c.bin")));
            let mut real = messages(&mut real);
            let mut own = answers(&captured(&format!("{probe}.c2s.bin")));
            assert_eq!(own.len(), real.len(), "{probe}: {own:#?}");
            for (own, real) in own.iter_mut().zip(&mut real) {
                if let Some(contents) = real.get_mut("contents") {
                    // The real one had a playlist configured, and its source another frame rate.
                    contents["stream"]["playlists"] = Value::Null;
                    assert_eq!(shape(&own["contents"]), shape(contents), "{probe}");
                    own["contents"] = contents.clone();
                }
                assert_eq!(own, real, "{probe}");
            }
        }
    }
}
