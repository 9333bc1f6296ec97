//! The encoder: a short clip, sent over and over to both origins, over RTMP and in real time.
//!
//! Both origins get the same access units with the same timestamps, as from an encoder with two outputs, and the
//! timestamps go on over the end of the clip. An origin that was away gets the stream from the next key frame on.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use headwater_core::wire::flv::{self, Audio, FileError, TagKind, UnexpectedEnd, Video};
use headwater_core::wire::rtmp::amf0::{self, Value};
use headwater_core::wire::rtmp::{self, PublisherAction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};

use super::cluster::{Notices, Origin, What};
use super::config::{APP, STREAM};

/// A clip as an endless stream of access units.
#[derive(Debug)]
pub(super) struct Clip {
    /// The fields of the file's `onMetaData` that are true of a live stream too.
    metadata: Vec<(String, Value)>,
    /// The decoder configurations, as bodies of tags.
    headers: Vec<(TagKind, Bytes)>,
    /// At least one of them is a key frame.
    units: Vec<Unit>,
    /// Milliseconds from the start of a round to the start of the next.
    round_ms: u64,
}

/// An access unit of a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unit {
    kind: TagKind,
    /// Milliseconds from the start of the clip.
    at_ms: u64,
    /// Whether a picture can be decoded from here.
    key: bool,
    /// The body of the tag.
    body: Bytes,
}

/// Why a clip cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClipError {
    #[error(transparent)]
    Body(#[from] UnexpectedEnd),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the clip has no key frame")]
    NoKeyFrame,
}

impl Clip {
    /// Reads an FLV file whose tracks begin at zero and have a constant frame rate each.
    pub(super) fn read(file: Bytes) -> Result<Clip, ClipError> {
        let mut clip = Clip { metadata: Vec::new(), headers: Vec::new(), units: Vec::new(), round_ms: 0 };
        for tag in flv::tags(file)? {
            let flv::Tag { kind, timestamp, body } = tag?;
            let header_or_key = match kind {
                TagKind::Audio => match Audio::decode(&body)? {
                    Audio::SequenceHeader(_) => None,
                    Audio::Frame(_) => Some(false),
                    Audio::Other | Audio::Unsupported(_) => continue,
                },
                TagKind::Video => match Video::decode(&body)? {
                    Video::SequenceHeader { .. } => None,
                    Video::Frame { key, .. } => Some(key),
                    Video::EndOfSequence | Video::Other | Video::Unsupported(_) => continue,
                },
                TagKind::Script => {
                    clip.metadata = live_metadata(&body);
                    continue;
                }
            };
            match header_or_key {
                None => {
                    // ffmpeg writes an empty one first where it learns the configuration later.
                    clip.headers.retain(|(known, _)| *known != kind);
                    clip.headers.push((kind, body));
                }
                Some(key) => clip.units.push(Unit { kind, at_ms: timestamp.into(), key, body }),
            }
        }
        if !clip.units.iter().any(|unit| unit.key) {
            return Err(ClipError::NoKeyFrame);
        }
        clip.round_ms = round_ms(&clip.units);
        Ok(clip)
    }

    /// The body to send for the access unit with this number, and its timestamp in milliseconds.
    fn tag(&self, number: u64) -> (u64, Bytes) {
        let (timestamp, unit) = self.unit(number);
        let body = match unit.kind {
            TagKind::Video => with_timecode(&unit.body, timestamp),
            TagKind::Audio | TagKind::Script => unit.body.clone(),
        };
        (timestamp, body)
    }

    /// The access unit with this number, counted over all rounds, and its timestamp in milliseconds.
    fn unit(&self, number: u64) -> (u64, &Unit) {
        let count = self.units.len() as u64;
        let unit = &self.units[(number % count) as usize];
        (number / count * self.round_ms + unit.at_ms, unit)
    }

    /// The number of the first key frame whose timestamp is not before `ms`.
    fn key_frame_at(&self, ms: u64) -> u64 {
        let round = ms / self.round_ms * self.units.len() as u64;
        let is_it = |number: &u64| {
            let (timestamp, unit) = self.unit(*number);
            unit.key && timestamp >= ms
        };
        (round..).find(is_it).expect("every round has a key frame, and the next round begins after `ms`")
    }
}

/// How long the clip is: the end of the last frame of whichever track ends last. Each track is taken to have frames of
/// one length, which the last timestamp and the number of frames tell.
fn round_ms(units: &[Unit]) -> u64 {
    let end_of = |kind: TagKind| {
        let track = units.iter().filter(|unit| unit.kind == kind);
        let (count, last) = track.fold((0, 0), |(count, last), unit| (count + 1, unit.at_ms.max(last)));
        // The last timestamp is that of `count - 1` frames; rounded to the nearest millisecond.
        let gaps: u64 = count - u64::from(count > 0);
        (last * count + gaps / 2).checked_div(gaps).unwrap_or(last)
    };
    end_of(TagKind::Video).max(end_of(TagKind::Audio)).max(1)
}

/// The H.264 picture of a video tag with its time in it, as encoders put timecodes (supplemental enhancement
/// information of the type "user data"; ITU-T H.264, D.1.6). It makes every picture another one: a camera never sends
/// the same bytes twice, and nobody could tell the rounds of a clip apart by what is in them.
fn with_timecode(body: &Bytes, timestamp: u64) -> Bytes {
    let Some(at) = first_slice(body) else { return body.clone() };
    // Digits, because a NAL unit must not contain two zero bytes in a row followed by a small one.
    let user_data = [&TIMECODE_ID[..], format!("{timestamp:016x}").as_bytes()].concat();
    let mut out = BytesMut::with_capacity(body.len() + 64);
    out.put_slice(&body[..at]);
    out.put_u32(user_data.len() as u32 + 4);
    out.put_slice(&[NAL_SEI, SEI_USER_DATA, user_data.len() as u8]);
    out.put_slice(&user_data);
    out.put_u8(RBSP_END);
    out.put_slice(&body[at..]);
    out.freeze()
}

/// Where the first slice of the picture begins, with its length; the lengths of the built-in clip have four bytes.
fn first_slice(body: &[u8]) -> Option<usize> {
    let mut at = VIDEO_TAG_HEADER;
    loop {
        let nal = body.get(at..)?;
        if (1..=5).contains(&(nal.get(4)? & 0x1f)) {
            return Some(at);
        }
        at = at.checked_add(4 + u32::from_be_bytes(*nal.first_chunk()?) as usize)?;
    }
}

/// Frame type and codec, packet type, composition time.
const VIDEO_TAG_HEADER: usize = 5;
const NAL_SEI: u8 = 6;
const SEI_USER_DATA: u8 = 5;
/// The bit that ends a NAL unit's payload.
const RBSP_END: u8 = 0x80;
/// By which the user data is known; any sixteen bytes will do that nobody else uses.
const TIMECODE_ID: &[u8; 16] = b"headwater.demo.t";

/// What `onMetaData` says of the tracks; a live stream has no length.
fn live_metadata(script: &[u8]) -> Vec<(String, Value)> {
    let values = amf0::decode(script).unwrap_or_default();
    let fields = values.get(1).and_then(Value::fields).unwrap_or_default();
    fields.iter().filter(|(name, _)| name != "duration" && name != "filesize").cloned().collect()
}

/// The encoder's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    /// When the stream begins.
    start: Instant,
}

impl Epoch {
    /// A stream that begins in a moment, when the origins have answered.
    pub(super) fn soon() -> Epoch {
        Epoch { start: Instant::now() + START_DELAY }
    }

    /// The media time that is sent at that moment; until the stream begins, its first.
    pub(super) fn media_time(self, at: Instant) -> Duration {
        FIRST_TIMESTAMP + at.saturating_duration_since(self.start)
    }

    /// When the access unit with this timestamp is sent.
    fn when(self, timestamp_ms: u64) -> Instant {
        self.start + Duration::from_millis(timestamp_ms).saturating_sub(FIRST_TIMESTAMP)
    }
}

/// Sends `clip` to the RTMP server of `origin` for as long as the demo runs.
pub(super) async fn publish(clip: Arc<Clip>, epoch: Epoch, origin: Origin, port: u16, notices: Notices) {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut was_fed = false;
    loop {
        let fed = || notices.send(What::Fed(origin));
        let Err((lost, sent)) = session(&clip, epoch, to, fed).await;
        // Of an origin that is away, the first failure says it all.
        if sent || was_fed {
            notices.send(What::Unfed(origin, lost.to_string()));
        }
        was_fed = sent;
        sleep(RECONNECT_DELAY).await;
    }
}

/// Why an origin gets no media.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("it closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it does not answer")]
    NoAnswer,
    #[error("{0}")]
    Protocol(#[from] rtmp::Error),
    #[error("it refused the stream: {0}")]
    Refused(String),
}

/// The encoder has run for an hour: a whole number of rounds, so that the clip starts at its beginning. From zero on, the
/// first segment would have the number 0, and while that is the newest, hls.js (1.6) does not use blocking reloads.
const FIRST_TIMESTAMP: Duration = Duration::from_secs(3600);

/// How long the two origins have to answer before the stream begins.
const START_DELAY: Duration = Duration::from_millis(250);

/// How long an origin that is away is left alone.
const RECONNECT_DELAY: Duration = Duration::from_millis(250);

/// How long an origin may take to accept the stream.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(3);

/// One connection; ends with why it ended, and whether media was sent on it.
async fn session(
    clip: &Clip,
    epoch: Epoch,
    to: SocketAddr,
    fed: impl Fn(),
) -> Result<Infallible, (Lost, bool)> {
    let opening = timeout(ACCEPT_TIMEOUT, Session::open(to)).await;
    let mut session = opening.unwrap_or(Err(Lost::NoAnswer)).map_err(|lost| (lost, false))?;
    let first = clip.key_frame_at(epoch.media_time(Instant::now()).as_millis() as u64);
    session.send_headers(clip, clip.unit(first).0).await.map_err(|lost| (lost, false))?;
    let mut number = first;
    loop {
        let sent = number > first;
        let (timestamp, body) = clip.tag(number);
        session.wait_until(epoch.when(timestamp)).await.map_err(|lost| (lost, sent))?;
        session.send(clip.unit(number).1.kind, timestamp, body).await.map_err(|lost| (lost, sent))?;
        if !sent {
            fed();
        }
        number += 1;
    }
}

struct Session {
    socket: TcpStream,
    publisher: rtmp::Publisher,
    received: BytesMut,
}

impl Session {
    async fn open(to: SocketAddr) -> Result<Session, Lost> {
        let socket = TcpStream::connect(to).await?;
        socket.set_nodelay(true)?;
        let publisher = rtmp::Publisher::new(&format!("rtmp://{to}/{APP}"), APP, STREAM);
        let mut session = Session { socket, publisher, received: BytesMut::with_capacity(4 << 10) };
        session.flush().await?;
        while !session.publisher.is_ready() {
            let read = session.socket.read_buf(&mut session.received).await?;
            session.received(read).await?;
        }
        Ok(session)
    }

    async fn send_headers(&mut self, clip: &Clip, timestamp: u64) -> Result<(), Lost> {
        self.publisher.send_metadata(&clip.metadata);
        for (kind, body) in &clip.headers {
            self.send(*kind, timestamp, body.clone()).await?;
        }
        self.flush().await
    }

    async fn send(&mut self, kind: TagKind, timestamp: u64, body: Bytes) -> Result<(), Lost> {
        // RTMP's timestamps have 32 bits and wrap.
        let timestamp = timestamp as u32;
        match kind {
            TagKind::Audio => self.publisher.send_audio(timestamp, body),
            TagKind::Video => self.publisher.send_video(timestamp, body),
            TagKind::Script => {}
        }
        self.flush().await
    }

    /// Listens to the origin until then.
    async fn wait_until(&mut self, at: Instant) -> Result<(), Lost> {
        loop {
            // Reading can be given up at any moment; answering what was read cannot.
            let read = tokio::select! {
                biased;
                () = sleep_until(at.into()) => return Ok(()),
                read = self.socket.read_buf(&mut self.received) => read?,
            };
            self.received(read).await?;
        }
    }

    async fn received(&mut self, read: usize) -> Result<(), Lost> {
        if read == 0 {
            return Err(Lost::Closed);
        }
        self.publisher.receive(&self.received.split())?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Lost> {
        while let Some(action) = self.publisher.poll() {
            match action {
                PublisherAction::Ready => {}
                PublisherAction::Refused { code, description } => {
                    return Err(Lost::Refused(format!("{code}, {description}")));
                }
                PublisherAction::Write(bytes) => self.socket.write_all(&bytes).await?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::wire::rtmp::{Server, ServerEvent};
    use tokio::net::TcpListener;

    use super::*;

    fn clip() -> Clip {
        Clip::read(Bytes::from_static(super::super::CLIP)).unwrap()
    }

    #[test]
    fn the_clip_is_as_long_as_its_frames() {
        let clip = clip();
        assert_eq!(clip.round_ms, 8_000);
        assert_eq!(FIRST_TIMESTAMP.as_millis() % 8_000, 0, "the stream begins with the clip");
        assert_eq!(clip.headers.len(), 2);
        let field =
            |name| clip.metadata.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_number());
        assert_eq!(field("width"), Some(Some(640.0)));
        assert_eq!(field("duration"), None);
    }

    #[test]
    fn timestamps_go_on_over_the_end_of_the_clip() {
        let clip = clip();
        let count = clip.units.len() as u64;
        for kind in [TagKind::Audio, TagKind::Video] {
            let of_kind =
                (0..3 * count).map(|number| clip.unit(number)).filter(|(_, unit)| unit.kind == kind);
            let timestamps: Vec<u64> = of_kind.map(|(timestamp, _)| timestamp).collect();
            let steps: Vec<u64> = timestamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let expected = if kind == TagKind::Audio { 21..=22 } else { 33..=34 };
            assert!(steps.iter().all(|step| expected.contains(step)), "{kind:?}: {steps:?}");
            assert_eq!(timestamps[timestamps.len() / 3], 8_000);
        }
    }

    #[test]
    fn no_picture_is_sent_twice() {
        let clip = clip();
        let count = clip.units.len() as u64;
        let number = clip.key_frame_at(0);
        let [(_, first), (_, again)] = [number, number + count].map(|number| clip.tag(number));
        assert_eq!(first.len(), again.len());
        assert_ne!(first, again);
        assert_eq!(clip.tag(number).1, first, "but both origins get the same");
        let Ok(Video::Frame { key: true, data, .. }) = Video::decode(&first) else { panic!("a key frame") };
        let (mut rest, mut types) = (&data[..], Vec::new());
        while let Some((length, after)) = rest.split_first_chunk() {
            types.push(after[0] & 0x1f);
            rest = &after[u32::from_be_bytes(*length) as usize..];
        }
        // Parameter sets, the encoder's words in the first picture, the timecode, the picture.
        assert_eq!(types, [7, 8, 6, 6, 5]);
        assert_eq!(with_timecode(&Bytes::from_static(b"\x17\x01\0\0\0\0\0"), 1).len(), 7, "left alone");
    }

    #[test]
    fn a_late_origin_gets_the_next_key_frame() {
        let clip = clip();
        for (ms, expected) in
            [(0, 0), (1, 1_000), (1_000, 1_000), (7_001, 8_000), (8_001, 9_000), (86_399_990, 86_400_000)]
        {
            let (timestamp, unit) = clip.unit(clip.key_frame_at(ms));
            assert!(unit.key);
            assert_eq!(timestamp, expected, "from {ms}");
        }
    }

    #[test]
    fn a_track_alone_or_a_single_frame_has_a_length_too() {
        let unit = |kind, at_ms| Unit { kind, at_ms, key: true, body: Bytes::new() };
        let video: Vec<Unit> = (0..25).map(|n| unit(TagKind::Video, n * 40)).collect();
        assert_eq!(round_ms(&video), 1_000);
        assert_eq!(round_ms(&video[..1]), 1);
        let no_key = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
        assert!(matches!(Clip::read(Bytes::from_static(no_key)), Err(ClipError::NoKeyFrame)));
    }

    /// What an origin got on one connection until it closed it, after `units` access units.
    async fn origin(listener: &TcpListener, units: usize) -> Vec<(TagKind, u32, Bytes)> {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut server, mut got, mut read) = (Server::new(), Vec::new(), BytesMut::new());
        while got.len() < units {
            socket.read_buf(&mut read).await.unwrap();
            server.receive(&read.split()).unwrap();
            while let Some(event) = server.poll() {
                match event {
                    ServerEvent::Requested(request) => {
                        assert_eq!((request.app.as_str(), request.name.as_str()), (APP, STREAM));
                        server.accept().unwrap();
                    }
                    ServerEvent::Write(bytes) => socket.write_all(&bytes).await.unwrap(),
                    ServerEvent::Audio { timestamp, payload } => {
                        got.push((TagKind::Audio, timestamp, payload))
                    }
                    ServerEvent::Video { timestamp, payload } => {
                        got.push((TagKind::Video, timestamp, payload))
                    }
                    ServerEvent::Metadata(fields) => assert!(fields.iter().any(|(name, _)| name == "height")),
                    ServerEvent::Finished { why } => panic!("{why}"),
                }
            }
        }
        got
    }

    #[tokio::test]
    async fn an_origin_that_comes_back_gets_headers_and_a_key_frame_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (notices, mut noticed) = Notices::new();
        let epoch = Epoch::soon();
        let publishing = tokio::spawn(publish(Arc::new(clip()), epoch, Origin::B, port, notices));
        for first_timestamp in [3_600_000, 3_601_000] {
            let got = timeout(Duration::from_secs(20), origin(&listener, 20)).await.unwrap();
            let headers: Vec<TagKind> = got[..2].iter().map(|(kind, _, _)| *kind).collect();
            assert!(headers.contains(&TagKind::Audio) && headers.contains(&TagKind::Video));
            let (kind, timestamp, body) = &got[2];
            assert_eq!((*kind, *timestamp), (TagKind::Video, first_timestamp));
            assert!(matches!(Video::decode(body), Ok(Video::Frame { key: true, .. })));
            let last = Duration::from_millis(got[19].1.into());
            assert!(epoch.media_time(Instant::now()) >= last, "nothing is sent before its time");
        }
        publishing.abort();
        let mut told = Vec::new();
        while let Ok(notice) = noticed.try_recv() {
            told.push(match notice.what {
                What::Fed(Origin::B) => "fed",
                What::Unfed(Origin::B, _) => "unfed",
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(told, ["fed", "unfed", "fed"]);
    }
}
