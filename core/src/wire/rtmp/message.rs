//! What messages mean (RTMP 1.0 sections 5.4, 6 and 7).

use bytes::{Bytes, BytesMut};

use super::amf0::{self, Value};
use super::chunk::control_value;
use super::{Error, chunk};
use crate::limits;

/// A message's content.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// How many bytes the sender has received so far, wrapping.
    Acknowledgement(u32),
    /// Messages in FLV tag form, in one.
    Aggregate(Bytes),
    /// The body of an FLV audio tag.
    Audio(Bytes),
    /// A remote call, or the answer to one.
    Command(Command),
    /// Data for those who watch: metadata.
    Data(Vec<Value>),
    /// Something that has no meaning here (shared objects, ...).
    Other(u8),
    /// The peer shall acknowledge at least every so many bytes.
    SetPeerBandwidth(u32),
    /// An event about a message stream.
    UserControl(UserControl),
    /// The body of an FLV video tag.
    Video(Bytes),
    /// The sender expects an acknowledgement at least every so many bytes.
    WindowAckSize(u32),
}

/// User control events (section 7.1.7); those that have no meaning here are `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserControl {
    /// A message stream can be used.
    StreamBegin(u32),
    /// Are you there?
    PingRequest(u32),
    /// I am here.
    PingResponse(u32),
    /// Any other event.
    Other(u16),
}

/// A remote call, or the answer to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Which procedure, or `_result` or `_error`.
    pub name: String,
    /// What ties an answer to its call; 0 if no answer is wanted.
    pub transaction: f64,
    /// The arguments. The first is the "command object", which is null for most.
    pub args: Vec<Value>,
}

impl Command {
    /// A command whose command object is null.
    pub fn new(name: &str, transaction: f64, args: impl IntoIterator<Item = Value>) -> Command {
        let args = core::iter::once(Value::Null).chain(args).collect();
        Command { name: name.to_owned(), transaction, args }
    }

    /// The string argument at `index`; the command object is at 0.
    pub fn string(&self, index: usize) -> Option<&str> {
        self.args.get(index)?.as_str()
    }

    /// The argument at `index`, if it has a field of this name that is a string.
    pub fn field(&self, index: usize, name: &str) -> Option<&str> {
        self.args.get(index)?.field(name)?.as_str()
    }
}

impl Body {
    /// Understands a message of this type.
    pub fn decode(kind: u8, payload: Bytes) -> Result<Body, Error> {
        let value = |what| control_value(&payload).ok_or(Error::Malformed(what));
        Ok(match kind {
            ACKNOWLEDGEMENT => Body::Acknowledgement(value("Acknowledgement")?),
            WINDOW_ACK_SIZE => Body::WindowAckSize(value("Window Acknowledgement Size")?),
            SET_PEER_BANDWIDTH => Body::SetPeerBandwidth(value("Set Peer Bandwidth")?),
            USER_CONTROL => Body::UserControl(UserControl::decode(&payload)?),
            AUDIO => Body::Audio(payload),
            VIDEO => Body::Video(payload),
            AGGREGATE => Body::Aggregate(payload),
            COMMAND_AMF0 => Body::Command(command(&payload)?),
            COMMAND_AMF3 => Body::Command(command(amf0_in_amf3(&payload))?),
            DATA_AMF0 => Body::Data(values("data message", &payload)?),
            DATA_AMF3 => Body::Data(values("data message", amf0_in_amf3(&payload))?),
            other => Body::Other(other),
        })
    }

    /// The message type and the payload. `Other` has none.
    pub fn encode(&self) -> (u8, Bytes) {
        let number = |value: &u32| Bytes::copy_from_slice(&value.to_be_bytes());
        match self {
            Body::Acknowledgement(value) => (ACKNOWLEDGEMENT, number(value)),
            Body::Aggregate(payload) => (AGGREGATE, payload.clone()),
            Body::Audio(payload) => (AUDIO, payload.clone()),
            Body::Command(command) => (COMMAND_AMF0, command.encode()),
            Body::Data(values) => (DATA_AMF0, encode_values(values)),
            Body::Other(kind) => (*kind, Bytes::new()),
            // Type 2, dynamic: hard or soft, as the peer likes.
            Body::SetPeerBandwidth(value) => {
                (SET_PEER_BANDWIDTH, [&value.to_be_bytes()[..], &[2]].concat().into())
            }
            Body::UserControl(event) => (USER_CONTROL, event.encode()),
            Body::Video(payload) => (VIDEO, payload.clone()),
            Body::WindowAckSize(value) => (WINDOW_ACK_SIZE, number(value)),
        }
    }
}

impl Command {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        amf0::encode(&Value::String(self.name.clone()), &mut out);
        amf0::encode(&Value::Number(self.transaction), &mut out);
        self.args.iter().for_each(|value| amf0::encode(value, &mut out));
        out.freeze()
    }
}

impl UserControl {
    fn decode(payload: &[u8]) -> Result<UserControl, Error> {
        let malformed = Error::Malformed("User Control");
        let (event, data) = payload.split_first_chunk().ok_or(malformed.clone())?;
        let value = control_value(data).ok_or(malformed);
        Ok(match u16::from_be_bytes(*event) {
            0 => UserControl::StreamBegin(value?),
            6 => UserControl::PingRequest(value?),
            7 => UserControl::PingResponse(value?),
            other => UserControl::Other(other),
        })
    }

    fn encode(self) -> Bytes {
        let (event, value) = match self {
            UserControl::StreamBegin(value) => (0u16, value),
            UserControl::PingRequest(value) => (6, value),
            UserControl::PingResponse(value) => (7, value),
            UserControl::Other(event) => (event, 0),
        };
        [&event.to_be_bytes()[..], &value.to_be_bytes()].concat().into()
    }
}

/// The messages inside an aggregate (section 7.1.6), with timestamps that continue from `timestamp`. What is cut off
/// at the end is left out.
pub fn split_aggregate(timestamp: u32, mut payload: Bytes) -> Vec<chunk::Message> {
    let mut messages = Vec::new();
    let mut first = None;
    while let Some(header) = payload.first_chunk::<11>() {
        let [kind, l0, l1, l2, t0, t1, t2, t3, ..] = *header;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let time = u32::from_be_bytes([t3, t0, t1, t2]);
        if payload.len() < 11 + length {
            break;
        }
        let offset = time.wrapping_sub(*first.get_or_insert(time));
        let timestamp = timestamp.wrapping_add(offset);
        messages.push(chunk::Message { kind, stream: 0, timestamp, payload: payload.slice(11..11 + length) });
        payload = payload.slice((11 + length + 4).min(payload.len())..);
    }
    messages
}

fn command(payload: &[u8]) -> Result<Command, Error> {
    let mut values = values("command", payload)?.into_iter();
    let name = match values.next() {
        Some(Value::String(name)) => name,
        _ => return Err(Error::Malformed("command (its first value is no name)")),
    };
    let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
    Ok(Command { name, transaction, args: values.collect() })
}

fn values(what: &'static str, payload: &[u8]) -> Result<Vec<Value>, Error> {
    if payload.len() > limits::RTMP_COMMAND_BYTES_MAX {
        let what = format!("a {what} of {} bytes", payload.len());
        return Err(Error::TooMuch { what, max: limits::RTMP_COMMAND_BYTES_MAX });
    }
    amf0::decode(payload).map_err(|source| Error::Amf0 { what, source })
}

/// Messages of the AMF3 types hold a zero and then AMF0, in practice always.
fn amf0_in_amf3(payload: &[u8]) -> &[u8] {
    payload.strip_prefix(&[0]).unwrap_or(payload)
}

fn encode_values(values: &[Value]) -> Bytes {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| amf0::encode(value, &mut out));
    out.freeze()
}

const ACKNOWLEDGEMENT: u8 = 3;
const USER_CONTROL: u8 = 4;
const WINDOW_ACK_SIZE: u8 = 5;
const SET_PEER_BANDWIDTH: u8 = 6;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const DATA_AMF3: u8 = 15;
const COMMAND_AMF3: u8 = 17;
const DATA_AMF0: u8 = 18;
const COMMAND_AMF0: u8 = 20;
const AGGREGATE: u8 = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_can_be_read() {
        let bodies = [
            Body::Acknowledgement(7),
            Body::Audio(Bytes::from_static(b"a")),
            Body::Command(Command::new("publish", 4.0, ["key".into(), "live".into()])),
            Body::Data(vec!["onMetaData".into(), amf0::object([("width", 640.0.into())])]),
            Body::SetPeerBandwidth(9),
            Body::UserControl(UserControl::PingResponse(1)),
            Body::Video(Bytes::from_static(b"v")),
            Body::WindowAckSize(8),
        ];
        for body in bodies {
            let (kind, payload) = body.encode();
            assert_eq!(Body::decode(kind, payload), Ok(body));
        }
    }

    #[test]
    fn an_amf3_command_is_amf0_behind_a_zero() {
        let (_, payload) = Body::Command(Command::new("connect", 1.0, [])).encode();
        let wrapped = Bytes::from([&[0], &payload[..]].concat());
        let Ok(Body::Command(command)) = Body::decode(COMMAND_AMF3, wrapped) else { panic!("a command") };
        assert_eq!(command.name, "connect");
    }

    #[test]
    fn an_aggregate_is_taken_apart() {
        let mut tags = BytesMut::new();
        for (kind, time) in [(AUDIO, 100), (VIDEO, 120)] {
            tags.put_slice(&[kind, 0, 0, 2, 0, 0, time, 0, 0, 0, 0, 0xaf, 1, 0, 0, 0, 13]);
        }
        tags.put_slice(&[VIDEO, 0, 0, 9, 0]);
        let inside = split_aggregate(5_000, tags.freeze());
        let inside = inside.iter().map(|m| (m.kind, m.timestamp, m.payload.len())).collect::<Vec<_>>();
        assert_eq!(inside, [(AUDIO, 5_000, 2), (VIDEO, 5_020, 2)]);
    }

    proptest! {
        #[test]
        fn arbitrary_messages_do_not_panic(kind in 0u8..24, payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let payload = Bytes::from(payload);
            let _ = Body::decode(kind, payload.clone());
            split_aggregate(0, payload);
        }
    }
}
