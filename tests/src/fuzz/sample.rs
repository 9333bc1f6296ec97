//! What real encoders send: two recorded streams, as files, as conversations over RTMP and as packets.

use bytes::Bytes;
use headwater_core::media::{Packet, StreamInfo};
use headwater_core::publish::{Output, Session};
use headwater_core::time::Now;
use headwater_core::wire::flv::{Tag, TagKind, tags};
use headwater_core::wire::rtmp::{Publisher, PublisherAction, amf0};

/// H.264 with B-frames and AAC, two seconds, by ffmpeg.
pub(super) const AVC_AAC: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/data/avc-aac.flv"));
/// H.265 in the enhanced form, one second, by ffmpeg.
pub(super) const HEVC: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/data/hevc-enhanced.flv"));

/// A stream as a publisher's session makes it.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) info: StreamInfo,
    pub(super) packets: Vec<Packet>,
}

/// All that was said when a file was published over RTMP.
#[derive(Default)]
pub(super) struct Conversation {
    pub(super) by_publisher: Vec<u8>,
    pub(super) by_server: Vec<u8>,
    outputs: Vec<Output>,
    refuses: bool,
}

/// The tags of one of the files.
pub(super) fn tags_of(flv: &'static [u8]) -> Vec<Tag> {
    tags(Bytes::from_static(flv)).expect("an FLV file").collect::<Result<_, _>>().expect("a whole file")
}

/// The stream in one of the files.
pub(super) fn stream(flv: &'static [u8]) -> Stream {
    let mut stream = Stream { info: StreamInfo::default(), packets: Vec::new() };
    for output in publish(flv).outputs {
        match output {
            Output::Started(info) => stream.info = info,
            Output::Packet(packet) => stream.packets.push(packet),
            _ => {}
        }
    }
    assert!(!stream.packets.is_empty(), "the file holds a stream");
    stream
}

/// Publishes one of the files and notes what is said.
pub(super) fn publish(flv: &'static [u8]) -> Conversation {
    let mut publisher = Publisher::new("rtmp://origin:1935/live", "live", "stream");
    let mut session = Session::new(Now::default());
    let mut conversation = Conversation::default();
    conversation.go_on(&mut publisher, &mut session);
    for tag in tags_of(flv) {
        send(&mut publisher, &tag, tag.timestamp);
        conversation.go_on(&mut publisher, &mut session);
    }
    publisher.finish();
    conversation.go_on(&mut publisher, &mut session);
    conversation
}

/// What a server says to an encoder that it refuses.
pub(super) fn refused() -> Vec<u8> {
    let mut publisher = Publisher::new("rtmp://origin:1935/live", "live", "stream");
    let mut session = Session::new(Now::default());
    let mut conversation = Conversation { refuses: true, ..Conversation::default() };
    conversation.go_on(&mut publisher, &mut session);
    conversation.by_server
}

/// Sends one tag of a file.
pub(super) fn send(publisher: &mut Publisher, tag: &Tag, timestamp: u32) {
    match tag.kind {
        TagKind::Audio => publisher.send_audio(timestamp, tag.body.clone()),
        TagKind::Video => publisher.send_video(timestamp, tag.body.clone()),
        TagKind::Script => {
            let values = amf0::decode(&tag.body).expect("the file's metadata is AMF0");
            publisher.send_metadata(values.get(1).and_then(amf0::Value::fields).unwrap_or_default());
        }
    }
}

impl Conversation {
    /// Carries bytes until both are quiet.
    fn go_on(&mut self, publisher: &mut Publisher, session: &mut Session) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            while let Some(action) = publisher.poll() {
                quiet = false;
                if let PublisherAction::Write(bytes) = action {
                    self.by_publisher.extend_from_slice(&bytes);
                    session.receive(Now::default(), bytes);
                }
            }
            while let Some(output) = session.poll() {
                quiet = false;
                match output {
                    Output::Write(bytes) => {
                        self.by_server.extend_from_slice(&bytes);
                        publisher.receive(&bytes).expect("our own server speaks RTMP");
                    }
                    Output::Requested { .. } if self.refuses => session.refuse("The name is taken."),
                    Output::Requested { .. } => session.accept(),
                    output => self.outputs.push(output),
                }
            }
        }
    }
}
