//! Bytes cut anywhere, back into units (reference: OVT section 2.3).
//!
//! A connection has one buffer for messages and one for media; neither sequence nor session selects another. Every
//! byte of a payload is copied once, from the read buffer into the unit that it belongs to, so a unit keeps no read
//! buffer alive. A reassembler belongs to one connection: nothing of a unit that was cut off survives it.

use bytes::{Buf, Bytes};

use super::media::{MediaPacket, declared_bytes};
use super::packet::{HEADER_BYTES, Header, PayloadKind};
use super::{Error, PeerMisbehaved};
use crate::limits;

/// How much memory is set aside on nothing but a media header's word.
const TRUST_BYTES_MAX: usize = 1 << 20;

/// What packets make when they are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The text of a request or a response. Receivers do not tell them apart by payload type.
    Message {
        /// JSON, not looked at.
        text: Bytes,
    },
    /// Media.
    Media(MediaPacket),
}

/// The receiving end of one OVT connection.
#[derive(Debug)]
pub struct Reassembler {
    role: Role,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    packet: Option<Packet>,
    message: Vec<u8>,
    media: Vec<u8>,
    ignored: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Edge,
    Origin,
}

/// A packet whose payload is not yet complete.
#[derive(Clone, Copy, Debug)]
struct Packet {
    into: Into,
    left: usize,
    marker: bool,
}

#[derive(Clone, Copy, Debug)]
enum Into {
    Media,
    Message,
    Nothing,
}

impl Reassembler {
    /// For what an origin sends: responses of up to [`limits::OVT_MESSAGE_BYTES_MAX`] and media packets of up to
    /// [`limits::OVT_MEDIA_BYTES_MAX`]. Payloads of unknown kinds are skipped.
    pub fn for_edge() -> Reassembler {
        Reassembler::new(Role::Edge)
    }

    /// For what an edge sends: requests of up to [`limits::OVT_REQUEST_BYTES_MAX`]. Media and payloads of unknown
    /// kinds are skipped, up to [`limits::OVT_IGNORED_BYTES_MAX`] in all.
    pub fn for_origin() -> Reassembler {
        Reassembler::new(Role::Origin)
    }

    fn new(role: Role) -> Reassembler {
        Reassembler {
            role,
            header: [0; HEADER_BYTES],
            header_len: 0,
            packet: None,
            message: Vec::new(),
            media: Vec::new(),
            ignored: 0,
        }
    }

    /// Takes bytes from the front of `input` until a unit is complete, or until `input` is empty (`None`). After an
    /// error the connection is past repair and so is this reassembler.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Unit>, Error> {
        loop {
            let packet = match self.packet {
                Some(packet) => packet,
                None => match self.read_header(input)? {
                    Some(header) => self.begin(header)?,
                    None => return Ok(None),
                },
            };
            let packet = self.read_payload(packet, input);
            if packet.left > 0 {
                self.packet = Some(packet);
                return Ok(None);
            }
            self.packet = None;
            if let Some(unit) = self.end(packet)? {
                return Ok(Some(unit));
            }
        }
    }

    fn read_header(&mut self, input: &mut Bytes) -> Result<Option<Header>, Error> {
        let take = input.len().min(HEADER_BYTES - self.header_len);
        input.copy_to_slice(&mut self.header[self.header_len..self.header_len + take]);
        self.header_len += take;
        if self.header_len < HEADER_BYTES {
            return Ok(None);
        }
        self.header_len = 0;
        Header::decode(self.header).map(Some)
    }

    /// Makes room for the payload of `header`, or refuses it before any of it is kept.
    fn begin(&mut self, header: Header) -> Result<Packet, Error> {
        let length = usize::from(header.length);
        let into = match (header.kind, self.role) {
            (PayloadKind::Request | PayloadKind::Response, _) => {
                self.reserve_message(length)?;
                Into::Message
            }
            (PayloadKind::Media, Role::Edge) => {
                self.reserve_media(length)?;
                Into::Media
            }
            (PayloadKind::Media | PayloadKind::Other(_), _) => {
                self.ignore(HEADER_BYTES + length)?;
                Into::Nothing
            }
        };
        Ok(Packet { into, left: length, marker: header.marker })
    }

    fn reserve_message(&mut self, length: usize) -> Result<(), PeerMisbehaved> {
        let max = match self.role {
            Role::Edge => limits::OVT_MESSAGE_BYTES_MAX,
            Role::Origin => limits::OVT_REQUEST_BYTES_MAX,
        };
        if self.message.len() + length > max {
            return Err(PeerMisbehaved::MessageTooLong(max));
        }
        self.message.reserve(length);
        Ok(())
    }

    /// From the second packet of a unit on its size is known; taken at its word, the unit is never moved.
    fn reserve_media(&mut self, length: usize) -> Result<(), PeerMisbehaved> {
        let have = self.media.len();
        let declared = declared_bytes(&self.media).unwrap_or(0);
        if (have + length).max(declared) > limits::OVT_MEDIA_BYTES_MAX {
            return Err(PeerMisbehaved::MediaTooLong);
        }
        let rest = declared.saturating_sub(have);
        if have == 0 || (length..=TRUST_BYTES_MAX).contains(&rest) {
            self.media.reserve_exact(rest.max(length));
        } else {
            self.media.reserve(length);
        }
        Ok(())
    }

    fn ignore(&mut self, bytes: usize) -> Result<(), PeerMisbehaved> {
        self.ignored = self.ignored.saturating_add(bytes as u64);
        if self.role == Role::Origin && self.ignored > limits::OVT_IGNORED_BYTES_MAX {
            return Err(PeerMisbehaved::TooMuchIgnored);
        }
        Ok(())
    }

    fn read_payload(&mut self, packet: Packet, input: &mut Bytes) -> Packet {
        let take = packet.left.min(input.len());
        match packet.into {
            Into::Media => self.media.extend_from_slice(&input[..take]),
            Into::Message => self.message.extend_from_slice(&input[..take]),
            Into::Nothing => {}
        }
        input.advance(take);
        Packet { left: packet.left - take, ..packet }
    }

    fn end(&mut self, packet: Packet) -> Result<Option<Unit>, Error> {
        if !packet.marker {
            return Ok(None);
        }
        match packet.into {
            Into::Media => {
                let unit = Bytes::from(core::mem::take(&mut self.media));
                MediaPacket::decode(unit).map(|media| Some(Unit::Media(media)))
            }
            Into::Message if self.message.is_empty() => Err(PeerMisbehaved::EmptyMessage.into()),
            Into::Message => {
                let text = Bytes::from(core::mem::take(&mut self.message));
                Ok(Some(Unit::Message { text }))
            }
            Into::Nothing => Ok(None),
        }
    }
}
