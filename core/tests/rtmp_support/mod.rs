//! A publisher's session and an FLV file to publish to it, with the clock in the test's hands.
#![allow(dead_code)]

use std::time::Duration;

use bytes::Bytes;
use headwater_core::io::Close;
use headwater_core::media::{Packet, StreamInfo};
use headwater_core::publish::{Output, Session};
use headwater_core::time::{Now, Time, Wall};
use headwater_core::wire::flv::{Tag, TagKind, tags};
use headwater_core::wire::rtmp::{Publisher, PublisherAction, amf0};

/// H.264 High with B-frames, a key frame per second, 25 frames per second, 160×90, 2 seconds; AAC-LC 48 kHz stereo.
/// From ffmpeg's testsrc2 and sine.
pub const AVC_AAC: &[u8] = include_bytes!("../data/avc-aac.flv");
/// H.265 with B-frames and open GOPs, 25 frames per second, 162×90, 1 second; in enhanced form, without metadata.
pub const HEVC: &[u8] = include_bytes!("../data/hevc-enhanced.flv");

pub fn file(bytes: &'static [u8]) -> Vec<Tag> {
    tags(Bytes::from_static(bytes)).expect("a file").collect::<Result<_, _>>().expect("whole")
}

pub fn at(ms: u64) -> Now {
    Now { mono: Time::from_micros(ms * 1_000), wall: Wall::default() }
}

/// A publisher and the session that it talks to.
pub struct Pair {
    pub publisher: Publisher,
    pub session: Session,
    /// The clock, in milliseconds.
    pub ms: u64,
    /// Bytes go over in pieces of this size.
    pub cut: usize,
    /// All that the publisher wrote.
    pub sent: Vec<u8>,
    /// What the session said, without `Write`.
    pub outputs: Vec<Output>,
    /// What the publisher said, without `Write`.
    pub actions: Vec<PublisherAction>,
}

impl Pair {
    pub fn new(cut: usize) -> Pair {
        let publisher = Publisher::new("rtmp://Origin.example:1935/app", "app", "stream?key=1");
        let session = Session::new(at(0));
        Pair { publisher, session, ms: 0, cut, sent: Vec::new(), outputs: Vec::new(), actions: Vec::new() }
    }

    /// A pair that is ready for media.
    pub fn accepted(cut: usize) -> Pair {
        let mut pair = Pair::new(cut);
        pair.run();
        assert!(matches!(pair.outputs[..], [Output::Requested { .. }]), "{:?}", pair.outputs);
        pair.outputs.clear();
        pair.session.accept();
        pair.run();
        assert_eq!(pair.actions, [PublisherAction::Ready]);
        pair
    }

    /// Carries bytes until both are quiet.
    pub fn run(&mut self) {
        loop {
            let before = (self.outputs.len(), self.actions.len());
            let mut wrote = false;
            while let Some(action) = self.publisher.poll() {
                let PublisherAction::Write(bytes) = action else {
                    self.actions.push(action);
                    continue;
                };
                wrote = true;
                self.sent.extend_from_slice(&bytes);
                for piece in bytes.chunks(self.cut) {
                    self.session.receive(at(self.ms), Bytes::copy_from_slice(piece));
                }
            }
            while let Some(output) = self.session.poll() {
                let Output::Write(bytes) = output else {
                    self.outputs.push(output);
                    continue;
                };
                wrote = true;
                for piece in bytes.chunks(self.cut) {
                    self.publisher.receive(piece).expect("our own server");
                }
            }
            if !wrote && before == (self.outputs.len(), self.actions.len()) {
                return;
            }
        }
    }

    pub fn send(&mut self, tag: &Tag) {
        let body = tag.body.clone();
        match tag.kind {
            TagKind::Audio => self.publisher.send_audio(tag.timestamp, body),
            TagKind::Video => self.publisher.send_video(tag.timestamp, body),
            TagKind::Script => {
                let values = amf0::decode(&tag.body).expect("metadata");
                self.publisher.send_metadata(values[1].fields().expect("fields"));
            }
        }
        self.run();
    }

    /// Lets time pass, as a driver would: `handle_timeout` is called when it was asked for.
    pub fn wait(&mut self, duration: Duration) {
        let end = at(self.ms).mono + duration;
        while let Some(deadline) = self.session.poll_timeout().filter(|deadline| deadline.at <= end) {
            self.session.handle_timeout(Now { mono: deadline.at, wall: Wall::default() });
            self.run();
        }
        self.ms += u64::try_from(duration.as_millis()).expect("short");
    }

    pub fn packets(&self) -> Vec<&Packet> {
        self.outputs
            .iter()
            .filter_map(|output| if let Output::Packet(p) = output { Some(p) } else { None })
            .collect()
    }

    pub fn started(&self) -> Option<&StreamInfo> {
        self.outputs
            .iter()
            .find_map(|output| if let Output::Started(info) = output { Some(info) } else { None })
    }

    /// Why the stream ended, and why the connection was cut, if both happened, in that order, and last.
    pub fn end(&self) -> Option<(&str, Close, Option<&str>)> {
        match &self.outputs[..] {
            [.., Output::Ended { why, .. }, Output::Close { how, misbehaved }] => {
                Some((why, *how, misbehaved.as_deref()))
            }
            _ => None,
        }
    }
}

/// The types of the NAL units of an Annex B access unit, which must begin with four-byte start codes.
pub fn nal_types(data: &[u8], hevc: bool) -> Vec<u8> {
    assert_eq!(data[..4], [0, 0, 0, 1], "a start code first");
    let starts = data.windows(5).filter(|window| window[..4] == [0, 0, 0, 1]);
    starts.map(|window| if hevc { window[4] >> 1 & 0x3f } else { window[4] & 0x1f }).collect()
}
