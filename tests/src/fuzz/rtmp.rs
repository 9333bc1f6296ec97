//! RTMP from both ends, and the formats inside it.

use std::iter;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_core::limits;
use headwater_core::media::aac::AdtsFrame;
use headwater_core::media::{Kind, Packet, StreamInfo, annexb};
use headwater_core::publish::{Output, Session};
use headwater_core::time::{Now, Time, Wall};
use headwater_core::wire::flv::{Audio, Form, Tag, TagKind, Video, tags};
use headwater_core::wire::rtmp::chunk::{Message, Reader, Writer};
use headwater_core::wire::rtmp::message::Body;
use headwater_core::wire::rtmp::{self, Publisher, PublisherAction};

use super::sample;
use super::script::Cuts;

/// AMF0 values. What was read and written again reads the same, and is no deeper and no more than the bounds.
pub fn amf0(data: &[u8]) {
    let Ok(values) = rtmp::amf0::decode(data) else { return };
    assert!(values.len() <= limits::AMF0_VALUES_MAX);
    let once = written(&values);
    let again = rtmp::amf0::decode(&once).expect("values that were written can be read");
    // Compared as bytes, because a number may be none.
    assert_eq!(written(&again), once);
    let _ = Body::decode(20, Bytes::copy_from_slice(data));
}

/// The bodies of FLV tags, and files of them.
///
/// What was understood and written, in either form, is understood the same. The bodies of a file's tags are no longer
/// than the file.
pub fn flv_tag(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    tag_body(TagKind::Video, &data);
    tag_body(TagKind::Audio, &data);
    let Ok(tags) = tags(data.clone()) else { return };
    let mut bytes = 0;
    for Tag { kind, body, .. } in tags.map_while(Result::ok) {
        bytes += body.len();
        tag_body(kind, &body);
    }
    assert!(bytes <= data.len());
}

/// A chunk stream. However it is cut, the messages are the same; no more bytes come out than went in; and messages
/// that are written again arrive again.
pub fn rtmp_chunks(data: &[u8]) {
    let (cuts, stream) = Cuts::split(data);
    let (messages, whole) = chunked(iter::once(stream.clone()));
    let cut = chunked(cuts.pieces(stream.clone()).map(|(_, piece)| piece));
    assert_eq!((&messages, &whole), (&cut.0, &cut.1), "cuts mean nothing");
    assert!(messages.iter().map(|message| message.payload.len()).sum::<usize>() <= stream.len());
    let (mut writer, mut out) = (Writer::default(), BytesMut::new());
    writer.set_chunk_size(1 + u32::from(cuts.decides(255)) * 64, &mut out);
    for (index, message) in messages.iter().enumerate() {
        writer.write(3 + (index % 3) as u32 * 300, message, &mut out);
    }
    assert_eq!(chunked(iter::once(out.freeze())), (messages, Ok(())), "messages come back");
}

/// What an encoder sends, read by a session that accepts, while time passes.
///
/// However the bytes are cut, the session understands the same if no time passes. A stream starts once, after it was
/// requested, and with a key frame; its packets are in the normal form and hold no more than was sent, with DTS that
/// increases but for restarts; after `Close` nothing comes and nothing is waited for. Nothing is waited for in vain:
/// a session that is left alone closes, or has a stream that runs.
pub fn rtmp_publish(data: &[u8]) {
    let (cuts, stream) = Cuts::split(data);
    let whole = Published::listen(iter::once((0, stream.clone())), false);
    let cut = Published::listen(cuts.pieces(stream.clone()), false);
    assert_eq!(whole.outputs, cut.outputs, "cuts mean nothing");
    let slow = Published::listen(cuts.pieces(stream.clone()), true);
    [whole, cut, slow].iter().for_each(|published| published.check(stream.len()));
}

/// What a server sends, read by an encoder that wants to publish.
///
/// However the bytes are cut, the encoder understands the same. It is ready once and refused once, in this order;
/// it sends media exactly while it is ready.
pub fn rtmp_publisher(data: &[u8]) {
    let (cuts, stream) = Cuts::split(data);
    let whole = publishes(iter::once(stream.clone()));
    let cut = publishes(cuts.pieces(stream).map(|(_, piece)| piece));
    assert_eq!(whole, cut, "cuts mean nothing");
    let ready = whole.0.iter().filter(|action| **action == PublisherAction::Ready).count();
    assert!(ready <= 1);
    assert!(ready == 0 || whole.0[0] == PublisherAction::Ready, "nothing is granted after a refusal");
}

pub(super) fn amf0_seeds() -> Vec<Vec<u8>> {
    let (commands, _) = chunked(iter::once(after_handshake(&sample::publish(sample::AVC_AAC).by_publisher)));
    let mut seeds: Vec<Vec<u8>> = commands
        .iter()
        .filter(|message| matches!(message.kind, 18 | 20))
        .map(|message| message.payload.to_vec())
        .collect();
    seeds.push([&[0x0a, 0, 0, 0, 2, 0x0b][..], &[0; 10], &[0x10, 0, 1, b'T', 0, 0, 9]].concat());
    seeds.push([&[0x03, 0, 1, b'a'][..]].repeat(20).concat());
    seeds
}

pub(super) fn flv_seeds() -> Vec<Vec<u8>> {
    let files = [sample::AVC_AAC, sample::HEVC];
    let bodies = files.iter().flat_map(|file| sample::tags_of(file).into_iter().take(12));
    let mut seeds: Vec<Vec<u8>> = bodies.map(|tag| tag.body.to_vec()).collect();
    seeds.push(b"\x97\x02\0\0\x07\x03hvc1data".to_vec());
    seeds.extend(files.map(<[u8]>::to_vec));
    seeds
}

pub(super) fn chunk_seeds() -> Vec<Vec<u8>> {
    let conversation = sample::publish(sample::AVC_AAC);
    let said = [&conversation.by_publisher, &conversation.by_server];
    Cuts::seeds(&said.map(|bytes| after_handshake(bytes).to_vec()))
}

pub(super) fn publish_seeds() -> Vec<Vec<u8>> {
    let said: Vec<Vec<u8>> =
        [sample::AVC_AAC, sample::HEVC].map(|file| sample::publish(file).by_publisher).into();
    let commands = said.iter().map(|bytes| bytes[..bytes.len().min(6_000)].to_vec()).collect();
    Cuts::seeds(&[said, commands].concat())
}

pub(super) fn publisher_seeds() -> Vec<Vec<u8>> {
    Cuts::seeds(&[sample::publish(sample::AVC_AAC).by_server, sample::refused()])
}

/// Both handshakes have three bytes of version and blobs of the same length.
fn after_handshake(said: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&said[1 + 2 * 1_536..])
}

fn written(values: &[rtmp::amf0::Value]) -> BytesMut {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| rtmp::amf0::encode(value, &mut out));
    out
}

fn tag_body(kind: TagKind, body: &Bytes) {
    for form in [Form::Classic, Form::Enhanced] {
        match kind {
            TagKind::Audio => match Audio::decode(body) {
                Ok(Audio::Unsupported(name)) => assert!(!name.to_string().is_empty()),
                Ok(audio) => assert_eq!(Audio::decode(&audio.encode(form)), Ok(audio)),
                Err(_) => {}
            },
            TagKind::Script => amf0(body),
            TagKind::Video => match Video::decode(body) {
                Ok(Video::Unsupported(name)) => assert!(!name.to_string().is_empty()),
                Ok(video) => assert_eq!(Video::decode(&video.encode(form)), Ok(video)),
                Err(_) => {}
            },
        }
    }
}

fn chunked(pieces: impl Iterator<Item = Bytes>) -> (Vec<Message>, Result<(), rtmp::Error>) {
    let (mut reader, mut messages) = (Reader::default(), Vec::new());
    for piece in pieces {
        reader.push(&piece);
        loop {
            match reader.read() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(()))
}

/// What an encoder makes of a server's words, without the bytes that it writes: how they are grouped depends on the
/// cuts.
fn publishes(pieces: impl Iterator<Item = Bytes>) -> (Vec<PublisherAction>, Result<(), rtmp::Error>) {
    let mut publisher = Publisher::new("rtmp://origin/live", "live", "stream");
    let mut actions = said(&mut publisher).0;
    let mut end = Ok(());
    for piece in pieces {
        end = publisher.receive(&piece);
        actions.extend(said(&mut publisher).0);
        if end.is_err() {
            return (actions, end);
        }
    }
    let ready = publisher.is_ready();
    publisher.send_metadata(&[]);
    publisher.send_audio(u32::MAX, Bytes::from_static(b"\xaf\x01sound"));
    publisher.send_video(0, Bytes::from_static(b"\x17\x01\0\0\0picture"));
    publisher.finish();
    assert_eq!(said(&mut publisher).1 > 0, ready, "media is sent exactly while it is wanted");
    assert!(!publisher.is_ready());
    (actions, end)
}

/// What a publisher has to say, and how many bytes it writes.
fn said(publisher: &mut Publisher) -> (Vec<PublisherAction>, usize) {
    let (mut actions, mut written) = (Vec::new(), 0);
    while let Some(action) = publisher.poll() {
        match action {
            PublisherAction::Write(bytes) => written += bytes.len(),
            action => actions.push(action),
        }
    }
    (actions, written)
}

/// A session that has heard all that an encoder had to say.
struct Published {
    /// Without `Write`, whose grouping depends on the cuts.
    outputs: Vec<Output>,
    /// Bytes for the encoder.
    written: usize,
    /// Whether deadlines are left.
    waits: bool,
}

impl Published {
    /// With `time`, the code of each piece also says how long it is until the next one.
    fn listen(pieces: impl Iterator<Item = (u8, Bytes)>, time: bool) -> Published {
        let mut now = at(1);
        let mut session = Session::new(now);
        let mut published = Published { outputs: Vec::new(), written: 0, waits: true };
        published.settle(&mut session);
        for (code, piece) in pieces {
            session.receive(now, piece);
            published.settle(&mut session);
            if time {
                now = now_after(now, Duration::from_millis(u64::from(code) * 4));
                session.handle_timeout(now);
                published.settle(&mut session);
            }
        }
        if time {
            published.leave_alone(&mut session);
        }
        published.waits = session.poll_timeout().is_some();
        published
    }

    fn settle(&mut self, session: &mut Session) {
        while let Some(output) = session.poll() {
            match output {
                Output::Write(bytes) => self.written += bytes.len(),
                Output::Requested { .. } => {
                    self.outputs.push(output);
                    session.set_silence(Some(Duration::from_secs(60)));
                    session.accept();
                }
                output => self.outputs.push(output),
            }
        }
    }

    /// Lets every deadline pass, as a driver would.
    fn leave_alone(&mut self, session: &mut Session) {
        let mut rounds = 0;
        while let Some(deadline) = session.poll_timeout() {
            session.handle_timeout(Now { mono: deadline.at, wall: Wall::default() });
            self.settle(session);
            rounds += 1;
            assert!(rounds < 8, "a deadline that has passed is met: {deadline:?}");
        }
        assert!(matches!(self.outputs.last(), Some(Output::Close { .. })), "silence is an end");
    }

    fn check(&self, received: usize) {
        let mut requested = false;
        let mut info: Option<&StreamInfo> = None;
        let mut newest: Vec<Option<&Packet>> = Vec::new();
        let (mut media, mut key_frames, mut closed) = (0, 0, false);
        for output in &self.outputs {
            assert!(!closed, "nothing comes after Close");
            match output {
                Output::Changed(changed) => {
                    let tracks = info.expect("only a stream that has started changes").tracks.len();
                    assert_eq!(changed.tracks.len(), tracks, "a stream keeps its tracks");
                    info = Some(changed);
                }
                Output::Close { .. } => closed = true,
                Output::Ended { .. } => assert!(requested),
                Output::Packet(packet) => {
                    let track =
                        info.and_then(|info| info.track(packet.track)).expect("a track of the stream");
                    let last = newest[packet.track.0 as usize].replace(packet);
                    check_packet(packet, track.kind, last);
                    media += packet.data.len();
                    key_frames += usize::from(packet.key);
                }
                Output::Requested { app, stream, .. } => {
                    assert!(!requested && !app.is_empty() && !stream.is_empty());
                    assert!(app.len().max(stream.len()) <= limits::NAME_BYTES_MAX);
                    requested = true;
                }
                Output::Started(started) => {
                    assert!(requested && info.is_none() && !started.tracks.is_empty());
                    newest = vec![None; started.tracks.len()];
                    info = Some(started);
                }
                Output::Warning(what) => assert!(!what.is_empty()),
                Output::Write(bytes) => panic!("{} bytes for the encoder among the rest", bytes.len()),
            }
        }
        // Start codes, delimiters and ADTS headers are longer than what they stand for; parameter sets are repeated.
        assert!(media <= received * 8 + key_frames * received, "{media} bytes of media out of {received}");
        assert!(self.written <= 16_384 + received * 4, "{} bytes for the encoder", self.written);
        assert!(!(closed && self.waits), "a closed session waits for nothing");
    }
}

fn check_packet(packet: &Packet, kind: Kind, last: Option<&Packet>) {
    match kind {
        Kind::Video => {
            assert!(last.is_some() || packet.key, "video begins with a key frame");
            assert!(packet.data.starts_with(&[0, 0, 0, 1]) && annexb::nal_units(&packet.data).count() > 1);
        }
        _ => assert!(packet.key && AdtsFrame::parse(&packet.data).is_ok()),
    }
    if let Some(last) = last {
        let step = packet.dts.micros_since(last.dts);
        assert!(!(-1_000_000..=0).contains(&step), "DTS goes from {:?} to {:?}", last.dts, packet.dts);
    }
    assert!(packet.pts.micros_since(packet.dts).abs() <= i64::from(limits::COMPOSITION_MS_MAX) * 1_000);
}

fn at(us: u64) -> Now {
    Now { mono: Time::from_micros(us), wall: Wall::default() }
}

fn now_after(now: Now, pause: Duration) -> Now {
    Now { mono: now.mono + pause, ..now }
}
