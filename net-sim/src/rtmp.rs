//! The publishing client of production, plugged into the encoders of the simulator.

use bytes::Bytes;
use headwater_core::wire::rtmp::amf0::Value;
use headwater_core::wire::rtmp::{Publisher, PublisherAction};

use crate::dialect::Dialect;
use crate::encoder::{PublishClient, PublishOutput, Source, Target};

/// RTMP, spoken by [`headwater_core::wire::rtmp::Publisher`].
pub struct Rtmp {
    publisher: Publisher,
    failed: Option<String>,
}

impl Rtmp {
    /// A client for one target, before its connection stands; another encoder's, if the target asks for its dialect. It
    /// fits [`crate::encoder::Encoder::new`].
    pub fn connect(target: &Target) -> Box<dyn PublishClient> {
        if let Some(dialect) = target.dialect {
            return Dialect::connect(target, dialect);
        }
        let publisher = Publisher::new(&target.tc_url(), &target.app, &target.stream);
        Box::new(Rtmp { publisher, failed: None })
    }
}

impl PublishClient for Rtmp {
    fn receive(&mut self, bytes: &[u8]) {
        if let Err(error) = self.publisher.receive(bytes) {
            self.failed = Some(error.to_string());
        }
    }

    fn poll(&mut self) -> Option<PublishOutput> {
        if let Some(why) = self.failed.take() {
            return Some(PublishOutput::Refused(why));
        }
        Some(match self.publisher.poll()? {
            PublisherAction::Ready => PublishOutput::Ready,
            PublisherAction::Refused { description, .. } => PublishOutput::Refused(description),
            PublisherAction::Write(bytes) => PublishOutput::Write(bytes),
        })
    }

    fn send_metadata(&mut self, source: &Source) {
        let number = |name: &str, value: f64| (name.to_owned(), Value::Number(value));
        let mut fields = Vec::new();
        if source.video {
            fields.push(number("videocodecid", 7.0));
            fields.push(number("framerate", f64::from(source.fps.0) / f64::from(source.fps.1)));
        }
        fields.extend(source.audio.map(|_| number("audiocodecid", 10.0)));
        self.publisher.send_metadata(&fields);
    }

    fn send_video(&mut self, timestamp_ms: u32, payload: Bytes) {
        self.publisher.send_video(timestamp_ms, payload);
    }

    fn send_audio(&mut self, timestamp_ms: u32, payload: Bytes) {
        self.publisher.send_audio(timestamp_ms, payload);
    }
}
