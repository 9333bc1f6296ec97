//! RTMP as other encoders speak it.
//!
//! Our own publishing client shares its codec with the server that it talks to, so a mistake of both goes unnoticed, and
//! it has one set of habits. This client is written from the specification alone (RTMP 1.0), without the product's codec,
//! and its [`Habits`] are those in which ffmpeg, OBS, GStreamer, old Flash encoders and hardware differ.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::encoder::{PublishClient, PublishOutput, Source, Target};

/// What an encoder does that another does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// The longest chunk; 128 is not announced, because it is what holds without a word.
    pub chunk_bytes: usize,
    /// Headers leave out what is as before, as they may; else each is whole.
    pub short_headers: bool,
    /// The first chunk stream of media.
    pub chunk_stream: u32,
    /// Timestamps need more than 24 bits after ten seconds.
    pub late: bool,
    /// Chunks that go on with a message repeat a timestamp of more than 24 bits, as they must.
    pub repeats_time: bool,
    /// It says how often it wants to hear how much has arrived, and does not go on without.
    pub waits: bool,
    /// Now and then it gives up a message in the middle, and sends it anew.
    pub gives_up: bool,
    /// Between two chunks of a picture it says other things.
    pub interleaves: bool,
    /// Its sound, and what describes it, comes after the first pictures.
    pub sound_later: bool,
}

impl Habits {
    /// How many sets of habits there are.
    pub const COUNT: u32 = 1 << 11;

    /// One of [`Habits::COUNT`] sets of habits.
    pub fn of(dialect: u32) -> Habits {
        let bit = |n: u32| dialect >> n & 1 == 1;
        let pair = |n: u32| (dialect >> n & 3) as usize;
        Habits {
            chunk_bytes: [128, 1_000, 4_096, 60_000][pair(0)],
            short_headers: bit(2),
            chunk_stream: [4, 63, 319, 4][pair(3)],
            late: bit(5),
            repeats_time: bit(6),
            waits: bit(7),
            gives_up: bit(8),
            interleaves: bit(9),
            sound_later: bit(10),
        }
    }
}

/// A publishing client with habits of its own.
pub struct Dialect {
    habits: Habits,
    target: Target,
    server: Server,
    asked: Asked,
    /// The message stream that the server has given it.
    stream: u32,
    /// The last header on each chunk stream.
    last: BTreeMap<u32, Header>,
    /// What was sent behind the handshake, and what of it the server has acknowledged.
    sent: u32,
    acknowledged: u32,
    /// Messages that wait for an acknowledgement.
    waiting: VecDeque<Vec<u8>>,
    /// Sound that waits for the first pictures.
    held_sound: Vec<(u32, Bytes)>,
    has_pictures: bool,
    pictures: u32,
    out: VecDeque<PublishOutput>,
}

/// Which answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Handshake,
    Connect,
    CreateStream,
    Publish,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    timestamp: u32,
    delta: Option<u32>,
    length: usize,
    kind: u8,
    stream: u32,
}

impl Dialect {
    /// A client for one target, before its connection stands, with habits number `dialect`.
    pub fn connect(target: &Target, dialect: u32) -> Box<dyn PublishClient> {
        let hello = [vec![3], vec![0; 8], (0..BLOB - 8).map(|n| (n % 251) as u8).collect()].concat();
        Box::new(Dialect {
            habits: Habits::of(dialect),
            target: target.clone(),
            server: Server::default(),
            asked: Asked::Handshake,
            stream: 0,
            last: BTreeMap::new(),
            sent: 0,
            acknowledged: 0,
            waiting: VecDeque::new(),
            held_sound: Vec::new(),
            has_pictures: true,
            pictures: 0,
            out: VecDeque::from([PublishOutput::Write(hello.into())]),
        })
    }

    fn begin(&mut self) {
        self.write(self.server.blob.clone());
        self.asked = Asked::Connect;
        if self.habits.chunk_bytes != 128 {
            self.control(SET_CHUNK_SIZE, self.habits.chunk_bytes as u32);
        }
        if self.habits.waits {
            self.control(WINDOW, WINDOW_BYTES);
        }
        let url = self.target.tc_url();
        let fields = [("app", self.target.app.clone()), ("type", "nonprivate".to_owned()), ("tcUrl", url)];
        let command = [
            vec![OBJECT],
            fields.iter().flat_map(|(key, value)| field(key, &text(value))).collect(),
            END.to_vec(),
        ];
        self.command(0, "connect", 1.0, &command.concat());
    }

    fn answered(&mut self, payload: &[u8]) {
        let says = |what: &str| payload.windows(what.len()).any(|window| window == what.as_bytes());
        match self.asked {
            Asked::Connect if says("_result") => {
                self.asked = Asked::CreateStream;
                self.command(0, "releaseStream", 2.0, &[&[NULL], &text(&self.target.stream)[..]].concat());
                self.command(0, "FCPublish", 3.0, &[&[NULL], &text(&self.target.stream)[..]].concat());
                self.command(0, "createStream", 4.0, &[NULL]);
            }
            // The answers to what it has asked before are of no interest, and have no number at their end.
            Asked::CreateStream if says("_result") && payload.contains(&NULL) => {
                let Some((_, number)) = payload.split_last_chunk::<8>() else { return };
                self.stream = f64::from_be_bytes(*number) as u32;
                self.asked = Asked::Publish;
                let name = [&[NULL], &text(&self.target.stream)[..], &text("live")].concat();
                self.command(self.stream, "publish", 5.0, &name);
            }
            Asked::Publish if says("NetStream.Publish.Start") => {
                self.asked = Asked::Nothing;
                self.out.push_back(PublishOutput::Ready);
            }
            _ if says("error") => {
                let why = String::from_utf8_lossy(payload).chars().filter(|c| !c.is_control()).collect();
                self.out.push_back(PublishOutput::Refused(why));
            }
            _ => {}
        }
    }

    /// A protocol control message.
    fn control(&mut self, kind: u8, value: u32) {
        let message = self.message(2, kind, 0, 0, &value.to_be_bytes());
        self.send(message);
    }

    fn command(&mut self, stream: u32, name: &str, transaction: f64, rest: &[u8]) {
        let payload = [&text(name)[..], &number(transaction), rest].concat();
        let message = self.message(3, COMMAND, stream, 0, &payload);
        self.send(message);
    }

    fn media(&mut self, chunk_stream: u32, kind: u8, timestamp_ms: u32, payload: &[u8]) {
        let begins_ms = if self.habits.late { LATE_MS } else { 0 };
        let timestamp = timestamp_ms.wrapping_add(begins_ms);
        let chunk_stream = self.habits.chunk_stream + chunk_stream;
        if self.habits.gives_up && self.pictures % 20 == 19 && payload.len() > self.habits.chunk_bytes {
            let (mut begun, _) = self.header(chunk_stream, kind, self.stream, timestamp, payload.len());
            begun.extend(&payload[..self.habits.chunk_bytes]);
            self.send(begun);
            self.control(ABORT, chunk_stream);
            self.last.remove(&chunk_stream);
        }
        let message = self.message(chunk_stream, kind, self.stream, timestamp, payload);
        self.send(message);
    }

    /// A message in chunks.
    fn message(
        &mut self,
        chunk_stream: u32,
        kind: u8,
        stream: u32,
        timestamp: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let (mut out, long) = self.header(chunk_stream, kind, stream, timestamp, payload.len());
        let is_control = kind < AUDIO;
        let chunk_bytes = if is_control { 128 } else { self.habits.chunk_bytes };
        for (n, chunk) in payload.chunks(chunk_bytes).enumerate() {
            if n == 1 && self.habits.interleaves {
                out.extend(NOISE);
                self.last.remove(&2);
            }
            if n > 0 {
                out.extend(basic(3, chunk_stream));
                out.extend(long.into_iter().flatten().filter(|_| self.habits.repeats_time));
            }
            out.extend(chunk);
        }
        out
    }

    /// The header of a message, and its timestamp if that needs more than 24 bits.
    fn header(
        &mut self,
        chunk_stream: u32,
        kind: u8,
        stream: u32,
        timestamp: u32,
        length: usize,
    ) -> (Vec<u8>, Option<[u8; 4]>) {
        let before = self.last.get(&chunk_stream).filter(|before| before.stream == stream);
        let before = before.copied().filter(|_| self.habits.short_headers);
        let delta =
            before.map(|before| timestamp.wrapping_sub(before.timestamp)).filter(|delta| *delta < EXTENDED);
        let alike = before.is_some_and(|before| (before.length, before.kind) == (length, kind));
        let format = match (before, delta) {
            (Some(before), Some(delta)) if alike && before.delta == Some(delta) => 3,
            (Some(_), Some(_)) if alike => 2,
            (Some(_), Some(_)) => 1,
            _ => 0,
        };
        self.last.insert(chunk_stream, Header { timestamp, delta, length, kind, stream });
        let time = delta.unwrap_or(timestamp);
        let mut out = basic(format, chunk_stream);
        if format < 3 {
            out.extend(&time.min(EXTENDED).to_be_bytes()[1..]);
        }
        if format < 2 {
            out.extend(&(length as u32).to_be_bytes()[1..]);
            out.push(kind);
        }
        if format == 0 {
            out.extend(stream.to_le_bytes());
        }
        let long = (time >= EXTENDED).then(|| time.to_be_bytes());
        out.extend(long.into_iter().flatten());
        (out, long)
    }

    fn send(&mut self, message: Vec<u8>) {
        self.waiting.push_back(message);
        self.go_on();
    }

    /// Sends what may be sent: without an acknowledgement two windows at most.
    fn go_on(&mut self) {
        let may = |client: &Dialect| {
            !client.habits.waits || client.sent.wrapping_sub(client.acknowledged) < 2 * WINDOW_BYTES
        };
        while may(self)
            && let Some(message) = self.waiting.pop_front()
        {
            self.sent = self.sent.wrapping_add(message.len() as u32);
            self.write(message);
        }
    }

    fn write(&mut self, bytes: Vec<u8>) {
        self.out.push_back(PublishOutput::Write(bytes.into()));
    }
}

impl PublishClient for Dialect {
    fn receive(&mut self, bytes: &[u8]) {
        self.server.bytes.extend_from_slice(bytes);
        if self.asked == Asked::Handshake && self.server.greets() {
            self.begin();
        }
        while let Some((kind, payload)) = self.server.message() {
            match (kind, payload.first_chunk::<4>()) {
                (ACKNOWLEDGEMENT, Some(count)) => self.acknowledged = u32::from_be_bytes(*count),
                (COMMAND, _) => self.answered(&payload),
                _ => {}
            }
            self.go_on();
        }
    }

    fn poll(&mut self) -> Option<PublishOutput> {
        self.out.pop_front()
    }

    fn send_metadata(&mut self, source: &Source) {
        self.has_pictures = source.video;
        let rate = f64::from(source.fps.0) / f64::from(source.fps.1);
        let fields = [
            source.video.then(|| field("videocodecid", &number(7.0))),
            source.video.then(|| field("framerate", &number(rate))),
            source.audio.map(|_| field("audiocodecid", &number(10.0))),
        ];
        let fields: Vec<Vec<u8>> = fields.into_iter().flatten().collect();
        let count = (fields.len() as u32).to_be_bytes();
        let array = [&[ARRAY], &count[..], &fields.concat(), END].concat();
        let payload = [text("@setDataFrame"), text("onMetaData"), array].concat();
        let message = self.message(self.habits.chunk_stream, DATA, self.stream, 0, &payload);
        self.send(message);
    }

    fn send_video(&mut self, timestamp_ms: u32, payload: Bytes) {
        self.pictures += 1;
        self.media(1, VIDEO, timestamp_ms, &payload);
        if self.pictures >= PICTURES_FIRST {
            for (timestamp_ms, payload) in core::mem::take(&mut self.held_sound) {
                self.media(0, AUDIO, timestamp_ms, &payload);
            }
        }
    }

    fn send_audio(&mut self, timestamp_ms: u32, payload: Bytes) {
        if self.habits.sound_later && self.has_pictures && self.pictures < PICTURES_FIRST {
            return self.held_sound.push((timestamp_ms, payload));
        }
        self.media(0, AUDIO, timestamp_ms, &payload);
    }
}

/// What comes from a server.
#[derive(Default)]
struct Server {
    bytes: Vec<u8>,
    /// The server's half of the handshake, which is echoed.
    blob: Vec<u8>,
    /// How much of its echo of ours is still to come.
    echo: usize,
    chunk_bytes: Option<usize>,
    /// Of each chunk stream: length and kind of the last message, and what has come of it.
    streams: BTreeMap<u32, (usize, u8, Vec<u8>)>,
}

impl Server {
    /// Whether its first word is there; it is taken.
    fn greets(&mut self) -> bool {
        if self.bytes.len() < 1 + BLOB {
            return false;
        }
        self.blob = self.bytes.drain(..=BLOB).skip(1).collect();
        self.echo = BLOB;
        true
    }

    /// The next message, with its kind.
    fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        if self.blob.is_empty() || self.bytes.len() < self.echo {
            return None;
        }
        self.bytes.drain(..core::mem::take(&mut self.echo));
        loop {
            let (kind, whole) = self.chunk()?;
            let Some(payload) = whole else { continue };
            if let (SET_CHUNK_SIZE, Some(size)) = (kind, payload.first_chunk::<4>()) {
                self.chunk_bytes = Some(u32::from_be_bytes(*size) as usize);
            }
            return Some((kind, payload));
        }
    }

    /// The next chunk: of which kind of message, and that message if it is whole. Servers use small chunk stream numbers.
    fn chunk(&mut self) -> Option<(u8, Option<Vec<u8>>)> {
        let first = *self.bytes.first()?;
        let (format, id) = (first >> 6, u32::from(first & 63));
        let mut at = 1 + [11, 7, 3, 0][usize::from(format)];
        let header = self.bytes.get(1..at)?.to_vec();
        let is_long = header.get(..3) == Some(&[0xff; 3]);
        at += if is_long { 4 } else { 0 };
        let (mut length, mut kind, so_far) = self.streams.get(&id).cloned().unwrap_or_default();
        if let [_, _, _, a, b, c, new, ..] = header[..] {
            (length, kind) = (u32::from_be_bytes([0, a, b, c]) as usize, new);
        }
        let more = (length - so_far.len()).min(self.chunk_bytes.unwrap_or(128));
        let payload = [&so_far[..], self.bytes.get(at..at + more)?].concat();
        self.bytes.drain(..at + more);
        let whole = payload.len() == length;
        let kept = if whole { Vec::new() } else { payload.clone() };
        self.streams.insert(id, (length, kind, kept));
        Some((kind, whole.then_some(payload)))
    }
}

/// The first bytes of a chunk (RTMP 1.0 section 5.3.1.1).
fn basic(format: u8, chunk_stream: u32) -> Vec<u8> {
    let format = format << 6;
    match chunk_stream {
        ..64 => vec![format | chunk_stream as u8],
        64..320 => vec![format, (chunk_stream - 64) as u8],
        _ => vec![format | 1, ((chunk_stream - 64) & 0xff) as u8, ((chunk_stream - 64) >> 8) as u8],
    }
}

/// AMF 0: a string.
fn text(text: &str) -> Vec<u8> {
    [&[2], &name(text)[..]].concat()
}

/// AMF 0: a number.
fn number(value: f64) -> Vec<u8> {
    [&[0], &value.to_be_bytes()[..]].concat()
}

/// AMF 0: a field of an object.
fn field(key: &str, value: &[u8]) -> Vec<u8> {
    [&name(key)[..], value].concat()
}

fn name(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

const OBJECT: u8 = 3;
const NULL: u8 = 5;
const ARRAY: u8 = 8;
const END: &[u8] = &[0, 0, 9];

const SET_CHUNK_SIZE: u8 = 1;
const ABORT: u8 = 2;
const ACKNOWLEDGEMENT: u8 = 3;
const WINDOW: u8 = 5;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const DATA: u8 = 18;
const COMMAND: u8 = 20;

/// A timestamp of 24 bits that says that a longer one follows.
const EXTENDED: u32 = 0xff_ffff;
/// Where late timestamps begin: ten seconds before they need more than 24 bits.
const LATE_MS: u32 = EXTENDED - 10_000;
/// Bytes of a half of the handshake.
const BLOB: usize = 1_536;
/// The decoder configuration and so many pictures come before late sound.
const PICTURES_FIRST: u32 = 5;
/// How often it wants to hear how much has arrived, if it waits for that, in bytes.
const WINDOW_BYTES: u32 = 50_000;
/// Something that a server has to take and need not heed: how long a buffer the client has (RTMP 1.0 section 7.1.7).
const NOISE: &[u8] = &[2, 0, 0, 0, 0, 0, 10, 4, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0x0b, 0xb8];

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_core::wire::rtmp::{Server as Product, ServerEvent};

    /// What the product's server makes of a client with these habits: the timestamps and bodies of what it sends.
    fn published(dialect: u32, media: &[(bool, u32, Vec<u8>)]) -> Vec<(bool, u32, Vec<u8>)> {
        let mut client = Dialect::connect(&Target::new("origin", 1935, "live", "match"), dialect);
        let mut server = Product::new();
        let mut seen = Vec::new();
        let mut rest = media.iter();
        loop {
            let mut quiet = true;
            while let Some(said) = client.poll() {
                quiet = false;
                match said {
                    PublishOutput::Write(bytes) => {
                        server.receive(&bytes).unwrap_or_else(|error| panic!("{dialect}: {error}"));
                    }
                    PublishOutput::Ready => client.send_metadata(&Source::default()),
                    PublishOutput::Refused(why) => panic!("{dialect}: refused: {why}"),
                }
            }
            while let Some(event) = server.poll() {
                quiet = false;
                match event {
                    ServerEvent::Write(bytes) => client.receive(&bytes),
                    ServerEvent::Requested(request) => {
                        assert_eq!((&*request.app, &*request.name), ("live", "match"));
                        server.accept().unwrap();
                    }
                    ServerEvent::Audio { timestamp, payload } => {
                        seen.push((false, timestamp, payload.to_vec()))
                    }
                    ServerEvent::Video { timestamp, payload } => {
                        seen.push((true, timestamp, payload.to_vec()))
                    }
                    ServerEvent::Metadata(fields) => assert_eq!(fields.len(), 3),
                    ServerEvent::Finished { why } => panic!("{dialect}: finished: {why}"),
                }
            }
            if !quiet {
                continue;
            }
            match rest.next() {
                Some((true, at, body)) => client.send_video(*at, body.clone().into()),
                Some((false, at, body)) => client.send_audio(*at, body.clone().into()),
                None => return seen,
            }
        }
    }

    #[test]
    fn whatever_its_habits_the_server_gets_what_was_sent() {
        let media: Vec<(bool, u32, Vec<u8>)> = (0..400_u32)
            .map(|n| {
                let length = if n % 4 == 0 { 300 } else { 200 + n as usize % 7 * 900 };
                (n % 3 > 0, n * 40, (0..length).map(|at| (at as u32 * 7 + n) as u8).collect())
            })
            .collect();
        for dialect in 0..Habits::COUNT {
            let late_ms = if Habits::of(dialect).late { LATE_MS } else { 0 };
            let mut wanted: Vec<_> =
                media.iter().map(|(video, at, body)| (*video, at + late_ms, body.clone())).collect();
            let mut seen = published(dialect, &media);
            if Habits::of(dialect).sound_later {
                assert!(seen[..5].iter().all(|(video, ..)| *video));
                seen.sort_by_key(|(video, at, _)| (*video, *at));
                wanted.sort_by_key(|(video, at, _)| (*video, *at));
            }
            assert!(seen == wanted, "{dialect}: {:?}", Habits::of(dialect));
        }
    }
}
