//! Both ends of an OVT connection.

use std::iter;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::limits;
use headwater_core::media::{Packet, Track};
use headwater_core::time::{Now, Time, Wall};
use headwater_core::wire::ovt::client::Phase;
use headwater_core::wire::ovt::reassembly::{Reassembler, Unit};
use headwater_core::wire::ovt::{
    Application, Client, ClientEvent, Description, Error, MediaPacket, Server, ServerEvent,
};

use super::files;
use super::script::Cuts;

const TARGET: &str = "ovt://origin:9000/app/stream";

/// What an origin sends, read by an edge: answers and media.
///
/// However the bytes are cut, the edge understands the same. It is described to before it plays, plays before it gets
/// media, and hears nothing after the end. It gets no more media than was sent. A description and a packet that are
/// written for the next edge read the same there.
pub fn ovt_edge(data: &[u8]) {
    let (cuts, stream) = Cuts::split(data);
    let whole = Edge::listen(iter::once(stream.clone()));
    let cut = Edge::listen(cuts.pieces(stream.clone()).map(|(_, piece)| piece));
    if !whole.asked_again && !cut.asked_again {
        assert_eq!((&whole.heard, &whole.end), (&cut.heard, &cut.end), "cuts mean nothing");
    }
    whole.check(stream.len());
    cut.check(stream.len());
}

/// What an edge sends, read by an origin that grants everything, or nothing.
///
/// However the bytes are cut, an origin that grants everything understands the same. Requests are limited to a burst
/// and then a rate. One stream is asked for at a time. After an error nothing more is read.
pub fn ovt_origin(data: &[u8]) {
    let (cuts, stream) = Cuts::split(data);
    let generous = cuts.decides(2) == 0;
    let pieces = || cuts.pieces(stream.clone()).map(|(_, piece)| piece);
    let whole = Origin::listen(iter::once(stream.clone()), Duration::ZERO, generous);
    let cut = Origin::listen(pieces(), Duration::ZERO, generous);
    let stops = |heard: &[ServerEvent]| heard.iter().any(|it| matches!(it, ServerEvent::Stop { .. }));
    if generous && !stops(&whole.heard) && !stops(&cut.heard) {
        assert_eq!((&whole.heard, &whole.end), (&cut.heard, &cut.end), "cuts mean nothing");
    }
    let slow = Origin::listen(pieces(), Duration::from_millis(90), generous);
    [whole, cut, slow].iter().for_each(Origin::check);
}

pub(super) fn edge_seeds() -> Vec<Vec<u8>> {
    let mut streams = files(&["vectors/ovt"], "server_to_client.bin");
    streams.extend(files(&["vectors/ovt/probes"], "s2c.bin"));
    // Media begins behind two answers; shorter streams are mutated in the answers more often.
    let short: Vec<Vec<u8>> =
        streams.iter().map(|stream| stream[..stream.len().min(6_000)].to_vec()).collect();
    Cuts::seeds(&[streams, short].concat())
}

pub(super) fn origin_seeds() -> Vec<Vec<u8>> {
    let mut streams = files(&["vectors/ovt"], "client_to_server.bin");
    streams.extend(files(&["vectors/ovt/probes"], "c2s.bin"));
    Cuts::seeds(&streams)
}

/// An edge that has heard all that an origin had to say.
struct Edge {
    heard: Vec<ClientEvent>,
    end: Result<(), Error>,
    phase: Phase,
    /// It asked DESCRIBE a second time; when it does so depends on the cuts.
    asked_again: bool,
}

impl Edge {
    fn listen(pieces: impl Iterator<Item = Bytes>) -> Edge {
        let wall = Wall::from_micros(1);
        let mut client = Client::new(TARGET.to_owned(), 1, Some(4_000));
        client.start(wall);
        let mut edge = Edge {
            heard: iter::from_fn(|| client.poll()).collect(),
            end: Ok(()),
            phase: client.phase(),
            asked_again: false,
        };
        for piece in pieces {
            edge.end = client.receive(piece, wall);
            while let Some(event) = client.poll() {
                if let ClientEvent::Retry { .. } = event {
                    client.start(wall);
                    edge.asked_again = true;
                }
                edge.heard.push(event);
            }
            if edge.end.is_err() {
                assert_eq!(client.phase(), Phase::Ended);
                break;
            }
        }
        edge.phase = client.phase();
        edge
    }

    fn check(&self, received: usize) {
        let mut tracks: Option<Vec<Track>> = None;
        let (mut playing, mut over, mut media) = (false, false, 0);
        for event in &self.heard {
            assert!(!over, "nothing is heard after the end");
            match event {
                ClientEvent::Described(description) => {
                    assert!(tracks.is_none(), "a stream is described once");
                    tracks = Some(description.info.tracks.clone());
                    check_description(description);
                }
                ClientEvent::Media(packet) => {
                    assert!(playing, "media comes after PLAY was granted");
                    media += packet.data.len();
                    let known = tracks.iter().flatten().find(|track| track.id == packet.track);
                    check_packet(packet, known.expect("media of tracks that were described"));
                }
                ClientEvent::Playing { .. } => {
                    assert!(tracks.is_some() && !playing);
                    playing = true;
                }
                ClientEvent::Refused { message, .. } | ClientEvent::Retry { message } => {
                    assert!(message.chars().count() <= limits::PEER_REASON_CHARS_MAX);
                    over = matches!(event, ClientEvent::Refused { .. });
                }
                ClientEvent::Stopped => over = true,
                ClientEvent::Write(bytes) => assert!(bytes.len() < 1_000),
            }
        }
        assert!(media <= received, "no media comes from nowhere");
        assert_eq!(self.phase == Phase::Ended, over || self.end.is_err());
    }
}

/// What was understood of a description is understood again when it is passed on. Names and layouts that were left
/// out are made up when a description is written, so it is the second reading that must not differ from the first.
fn check_description(description: &Description) {
    assert!(description.info.tracks.is_sorted_by_key(|track| track.id));
    assert!(description.info.tracks.len() <= limits::TRACKS_MAX);
    let once = passed_on(description);
    assert_eq!(once.info.tracks.len(), description.info.tracks.len());
    assert_eq!((&once.app_name, once.version), (&description.app_name, description.version));
    assert_eq!(passed_on(&once), once);
}

fn passed_on(description: &Description) -> Description {
    let wall = Wall::from_micros(2);
    let mut client = Client::new(TARGET.to_owned(), 7, None);
    client.start(wall);
    client.receive(description.answer(7, wall), wall).expect("an answer that we wrote can be read");
    let described = iter::from_fn(|| client.poll()).find_map(|event| match event {
        ClientEvent::Described(description) => Some(description),
        _ => None,
    });
    described.expect("an answer to DESCRIBE describes")
}

/// A packet that is relayed arrives as it was, but for the two ticks that mean "absent".
fn check_packet(packet: &Packet, track: &Track) {
    assert!(!packet.data.is_empty());
    let on_wire = MediaPacket::of(packet, track).expect("what came over OVT can go over OVT");
    let mut sequence = u16::MAX;
    let mut bytes = on_wire.encode(7, &mut sequence);
    let unit = Reassembler::for_edge().next(&mut bytes).expect("what we wrote is OVT");
    let Some(Unit::Media(read)) = unit else { panic!("a media packet, not {unit:?}") };
    assert_eq!(read, on_wire);
    let arrived = read.into_packet(track).expect("our own form").expect("a packet");
    if packet.pts.ticks() != -1 && packet.dts.ticks() != -1 {
        assert_eq!(&arrived, packet);
    }
}

/// An origin that has heard all that an edge had to say.
struct Origin {
    heard: Vec<ServerEvent>,
    end: Result<(), Error>,
    elapsed: Duration,
}

impl Origin {
    /// `pause` passes between two pieces.
    fn listen(pieces: impl Iterator<Item = Bytes>, pause: Duration, generous: bool) -> Origin {
        let mut now = Now { mono: Time::from_micros(5), wall: Wall::from_micros(1) };
        let mut server = Server::new(now.mono);
        let mut origin = Origin { heard: Vec::new(), end: Ok(()), elapsed: Duration::ZERO };
        for piece in pieces {
            origin.end = server.receive(piece, now);
            while let Some(event) = server.poll() {
                answer(&mut server, &event, now.wall, generous);
                origin.heard.push(event);
            }
            if origin.end.is_err() {
                assert_eq!(server.receive(Bytes::from_static(b"more"), now), Ok(()));
                assert_eq!(server.poll(), None, "nothing is read after an error");
                break;
            }
            now.mono += pause;
            origin.elapsed += pause;
        }
        origin
    }

    fn check(&self) {
        let allowed = u128::from(limits::OVT_REQUEST_BURST)
            + self.elapsed.as_micros() / limits::OVT_REQUEST_INTERVAL.as_micros();
        // One more event: the last word after an error.
        assert!(self.heard.len() as u128 <= allowed + 1, "{} requests", self.heard.len());
        for event in &self.heard {
            if let ServerEvent::Write(bytes) = event {
                assert!(bytes.len() < 8 * limits::OVT_REQUEST_BYTES_MAX);
            }
        }
    }
}

fn answer(server: &mut Server, event: &ServerEvent, wall: Wall, generous: bool) {
    let key = "#default#app/stream";
    let bytes = match event {
        ServerEvent::Describe { id, .. } if generous => server.not_started(*id, key, wall),
        ServerEvent::Describe { id, .. } => server.not_found(*id, Application::Describe, key, wall),
        ServerEvent::Play { id, .. } if generous => server.play_ok(*id, wall),
        ServerEvent::Play { id, .. } => server.no_such_app(*id, Application::Play, "#default#app", wall),
        ServerEvent::Stop { id, .. } if generous => server.stop_ok(*id, wall),
        ServerEvent::Stop { id, .. } => server.not_found(*id, Application::Stop, key, wall),
        ServerEvent::Write(_) => return,
    };
    assert!(!bytes.is_empty());
}
