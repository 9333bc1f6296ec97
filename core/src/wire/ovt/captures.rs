//! What was recorded between real OvenMediaEngine servers, and the rules of an OvenMediaEngine edge, for tests.

use bytes::Bytes;
use serde_json::Value;

use super::client::Phase;
use super::media::{MediaFlag, PacketType};
use super::message::{self, Description, Extension, Grant, Request, Response};
use super::packet::{HEADER_BYTES, Header, PayloadKind};
use super::reassembly::{Reassembler, Unit};
use super::{
    Application, Client, ClientEvent, MediaPacket, PeerIncompatible, PeerMisbehaved, Server, ServerEvent,
};
use crate::media::TrackId;
use crate::time::{Now, Time, Wall};

const STREAMS: [&str; 7] = [
    "audio-only",
    "bframes-stereo-44k1",
    "edge-stops",
    "h264-aac",
    "no-playlist",
    "origin-stream-stops",
    "video-only",
];

/// A captured file of `vectors/ovt`.
fn load(name: &str) -> Bytes {
    macro_rules! captured {
        ($($file:literal)*) => {
            match name {
                $($file => include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ovt/", $file)).as_slice(),)*
                other => panic!("no capture is named {other}"),
            }
        };
    }
    Bytes::from_static(captured! {
        "audio-only/client_to_server.bin"
        "audio-only/server_to_client.bin"
        "bframes-stereo-44k1/client_to_server.bin"
        "bframes-stereo-44k1/server_to_client.bin"
        "edge-stops/client_to_server.bin"
        "edge-stops/server_to_client.bin"
        "h264-aac/client_to_server.bin"
        "h264-aac/server_to_client.bin"
        "no-playlist/client_to_server.bin"
        "no-playlist/server_to_client.bin"
        "not-found/client_to_server.bin"
        "not-found/server_to_client.bin"
        "origin-stream-stops/client_to_server.bin"
        "origin-stream-stops/server_to_client.bin"
        "probes/00-describe.c2s.bin"
        "probes/00-describe.s2c.bin"
        "probes/02-describe-play-stop.c2s.bin"
        "probes/02-describe-play-stop.s2c.bin"
        "probes/04-play-not-found-app.c2s.bin"
        "probes/04-play-not-found-app.s2c.bin"
        "probes/06-describe-with-query.c2s.bin"
        "probes/06-describe-with-query.s2c.bin"
        "probes/08-describe-uppercase.c2s.bin"
        "probes/08-describe-uppercase.s2c.bin"
        "probes/10-stop-not-found.c2s.bin"
        "probes/10-stop-not-found.s2c.bin"
        "probes/12-id-as-string.c2s.bin"
        "probes/12-id-as-string.s2c.bin"
        "probes/14-bad-url.c2s.bin"
        "probes/14-bad-url.s2c.bin"
        "probes/16-extra-json-field.c2s.bin"
        "probes/16-extra-json-field.s2c.bin"
        "probes/18-id-max-u32.c2s.bin"
        "probes/18-id-max-u32.s2c.bin"
        "probes/20-split-tcp.c2s.bin"
        "probes/20-split-tcp.s2c.bin"
        "probes/22-two-requests-one-segment.c2s.bin"
        "probes/22-two-requests-one-segment.s2c.bin"
        "probes/24-version-2.c2s.bin"
        "probes/24-version-2.s2c.bin"
        "probes/26-payload-type-20.c2s.bin"
        "probes/26-payload-type-20.s2c.bin"
        "probes/28-payload-type-99.c2s.bin"
        "probes/28-payload-type-99.s2c.bin"
        "probes/30-payload-empty-marker.c2s.bin"
        "probes/30-payload-empty-marker.s2c.bin"
        "probes/32-play-then-describe-again.c2s.bin"
        "probes/32-play-then-describe-again.s2c.bin"
        "video-only/client_to_server.bin"
        "video-only/server_to_client.bin"
    })
}

fn origin_side(stream: &str) -> Bytes {
    load(&format!("{stream}/server_to_client.bin"))
}

fn edge_side(stream: &str) -> Bytes {
    load(&format!("{stream}/client_to_server.bin"))
}

/// The packets of `bytes` with their headers; one that is cut off is left out.
fn packets(mut bytes: Bytes) -> Vec<(Header, Bytes)> {
    let mut packets = Vec::new();
    while bytes.len() >= HEADER_BYTES {
        let header = Header::decode(bytes[..HEADER_BYTES].try_into().expect("18 bytes")).expect("a header");
        let end = HEADER_BYTES + usize::from(header.length);
        if bytes.len() < end {
            break;
        }
        packets.push((header, bytes.split_to(end).slice(HEADER_BYTES..)));
    }
    packets
}

/// The messages of `bytes`, each with the moment at which it was sent. No captured message takes two packets.
fn messages(bytes: Bytes) -> Vec<(Wall, Bytes)> {
    let packets = packets(bytes).into_iter().filter(|(header, _)| header.kind != PayloadKind::Media);
    packets.map(|(header, text)| (wall(header.timestamp), text)).collect()
}

fn wall(ms: u64) -> Wall {
    Wall::from_micros(i64::try_from(ms).expect("a date of these days") * 1_000)
}

/// What the origin of a capture answered to DESCRIBE.
pub(super) fn description(stream: &str) -> Description {
    let (_, text) = messages(origin_side(stream)).remove(0);
    Response::parse(&text).expect("an answer").description.expect("a description")
}

/// Reads an answer to DESCRIBE as an OvenMediaEngine edge does, with nothing of ours but the JSON library: whether
/// it takes the answer, and whether every track can start at once (reference: OVT sections 5.2, 5.3, 8.2, trap 22).
pub(super) fn ome_edge_takes(text: &[u8], id: u64) -> Result<(), String> {
    fn must(met: bool, what: impl Into<String>) -> Result<(), String> {
        if met { Ok(()) } else { Err(what.into()) }
    }
    must(!text.contains(&0), "no NUL")?;
    let root: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    must(
        root["application"] == "describe" && root["code"] == 200 && root["id"] == id,
        "application, code, id",
    )?;
    must(root["contents"]["version"] == 18, "version 18")?;
    let stream = &root["contents"]["stream"];
    must(stream["appName"].is_string() && stream["streamName"].is_string(), "names")?;
    must(stream["playlists"].is_null() || stream["playlists"].is_array(), "playlists")?;
    for playlist in stream["playlists"].as_array().into_iter().flatten() {
        must(!playlist["name"].is_null() && !playlist["fileName"].is_null(), "playlist names")?;
        must(playlist["options"].is_object(), "options")?;
        for rendition in playlist["renditions"].as_array().ok_or("renditions")? {
            for key in ["name", "videoTrackName", "audioTrackName"] {
                must(rendition[key].is_string(), format!("rendition {key}"))?;
            }
        }
    }
    for track in stream["tracks"].as_array().ok_or("tracks")? {
        must(track["name"].is_string(), "track name")?;
        for key in ["id", "codecId", "mediaType", "timebaseNum", "timebaseDen", "bitrate"] {
            let fits = track[key].as_u64().is_some_and(|number| number <= u64::from(u32::MAX));
            must(fits, format!("track {key}"))?;
        }
        must(track["startFrameTime"].is_u64() && track["lastFrameTime"].is_u64(), "frame times")?;
        must(track["videoTrack"]["framerate"].is_f64(), "framerate")?;
        must(
            track["audioTrack"]["layout"].is_u64() && track["audioTrack"]["sampleFormat"].is_i64(),
            "audioTrack",
        )?;
        must(starts_at_once(track), format!("track {} starts at once", track["id"]))?;
    }
    Ok(())
}

fn starts_at_once(track: &Value) -> bool {
    let positive = |value: &Value| value.as_u64().is_some_and(|number| number > 0);
    let timebase = positive(&track["timebaseNum"]) && positive(&track["timebaseDen"]);
    let picture =
        positive(&track["videoTrack"]["width"]) && positive(&track["videoTrack"]["height"]) && timebase;
    let sound = positive(&track["audioTrack"]["layout"]) && timebase;
    let config = track["decoderConfig"].as_str().is_some_and(|text| !text.is_empty() && text.len() % 4 == 0);
    match (track["mediaType"].as_u64(), track["codecId"].as_u64()) {
        (Some(2 | 3), _) => true,
        (_, Some(1 | 2)) => picture && config,
        (_, Some(3 | 10 | 11 | 12)) => picture,
        (_, Some(7)) => sound && config,
        (_, Some(8)) => sound,
        (_, Some(9)) => sound && track["audioTrack"]["samplerate"] == 48_000,
        _ => false,
    }
}

/// A captured connection's beginning: both messages of the origin, and then its media.
#[test]
fn whole_captures_are_written_again_byte_for_byte() {
    for stream in STREAMS {
        let captured = origin_side(stream);
        let packets = packets(captured.clone());
        let times = packets.iter().filter(|(header, _)| header.kind == PayloadKind::Response);
        let mut times = times.map(|(header, _)| wall(header.timestamp));
        let first_media =
            packets.iter().find(|(header, _)| header.kind == PayloadKind::Media).expect("media").0;
        let (session, mut sequence) = (first_media.session, first_media.sequence);

        let (mut reassembler, mut input) = (Reassembler::for_edge(), captured.clone());
        let mut written = Vec::new();
        let mut media = 0;
        while let Some(unit) = reassembler.next(&mut input).expect("OVT") {
            match unit {
                Unit::Media(packet) => {
                    written.extend_from_slice(&packet.encode(session, &mut sequence));
                    media += 1;
                }
                Unit::Message { text } => {
                    let at = times.next().expect("a time for every message");
                    written.extend_from_slice(&write_again(&Response::parse(&text).expect("an answer"), at));
                }
            }
        }
        assert!(media > 100, "{stream}: {media} media packets");
        assert!(captured.starts_with(&written), "{stream}");
        assert!(
            captured.len() - written.len() < 100_000,
            "{stream}: only a unit that was cut off is missing"
        );
    }
}

fn write_again(response: &Response, at: Wall) -> Bytes {
    match &response.description {
        Some(description) => description.answer(response.id, at),
        None => message::refusal(&response.application, response.id, response.code, &response.message, at),
    }
}

#[test]
fn captured_refusals_are_written_again_byte_for_byte() {
    let captured = origin_side("not-found");
    let (at, text) = messages(captured.clone()).remove(0);
    let response = Response::parse(&text).expect("an answer");
    assert_eq!((response.code, response.id), (404, 1));
    assert_eq!(write_again(&response, at), captured);
}

#[test]
fn captured_requests_are_written_again_byte_for_byte() {
    for stream in STREAMS.iter().chain(&["not-found"]) {
        let captured = edge_side(stream);
        let mut written = Vec::new();
        for (at, text) in messages(captured.clone()) {
            let Request { application, id, target, .. } = Request::parse(&text).expect("a request");
            let request = message::request(application, id, &target.full(), Extension::default(), at);
            written.extend_from_slice(&request);
        }
        assert_eq!(captured, written, "{stream}");
    }
}

#[test]
fn captured_media_survives_the_way_through_the_node() {
    for stream in STREAMS {
        let info = description(stream).info;
        let (mut reassembler, mut input) = (Reassembler::for_edge(), origin_side(stream));
        while let Some(unit) = reassembler.next(&mut input).expect("OVT") {
            let Unit::Media(came) = unit else { continue };
            let track = info.track(TrackId(came.track)).expect("a described track");
            let packet = came.clone().into_packet(track).expect("normal form").expect("media that plays");
            let left = MediaPacket::of(&packet, track).expect("it crossed before");
            let flag = if came.flag == MediaFlag::KEY { MediaFlag::KEY } else { MediaFlag::NO_KEY };
            assert_eq!(left, MediaPacket { duration: -1, flag, ..came }, "{stream}");
            assert!(matches!(left.packet_type, PacketType::NALU | PacketType::RAW));
        }
    }
}

#[test]
fn an_ome_edge_takes_what_is_captured_and_what_we_write_again() {
    for stream in STREAMS {
        let (_, text) = messages(origin_side(stream)).remove(0);
        assert_eq!(ome_edge_takes(&text, 1), Ok(()), "{stream}");
        let description = description(stream);
        let server = Server::new(Time::ZERO);
        let answer = server.describe_ok(7, "#default#app", "s", &description.info, Wall::default());
        assert_eq!(ome_edge_takes(&answer[HEADER_BYTES..], 7), Ok(()), "{stream}");
    }
}

#[test]
fn a_client_repeats_a_captured_edge() {
    for stream in STREAMS {
        for cut in [1, 17, 1_448, 65_535] {
            replay_as_edge(stream, cut);
        }
    }
}

fn replay_as_edge(stream: &str, cut: usize) {
    let asked = messages(edge_side(stream));
    let target = Request::parse(&asked[0].1).expect("a request").target.full();
    let mut client = Client::new(target, 1, None);
    let (mut written, mut media, mut playing) = (Vec::new(), 0, false);

    client.start(asked[0].0);
    let mut bytes = origin_side(stream);
    bytes.truncate(120_000);
    while !bytes.is_empty() {
        client
            .receive(bytes.split_to(cut.min(bytes.len())), asked[1].0)
            .expect("a captured origin is well-behaved");
        while let Some(event) = client.poll() {
            match event {
                ClientEvent::Write(bytes) => written.extend_from_slice(&bytes),
                ClientEvent::Described(told) => assert_eq!(told, description(stream)),
                ClientEvent::Playing { .. } => playing = true,
                ClientEvent::Media(packet) => {
                    assert!(playing && !packet.data.is_empty());
                    media += 1;
                }
                other => panic!("{stream}: {other:?}"),
            }
        }
    }
    assert!(media > 40, "{stream}: {media} media packets");
    assert_eq!((client.phase(), client.next_id()), (Phase::Playing, 3));
    if let Some((at, _)) = asked.get(2) {
        written.extend_from_slice(&client.stop(*at).expect("it plays"));
        assert_eq!(client.phase(), Phase::Ended);
    }
    assert_eq!(edge_side(stream), written, "{stream}");
}

#[test]
fn a_client_hears_what_a_captured_origin_refuses() {
    let mut client = Client::new("ovt://127.0.0.1:29000/app/nosuch".into(), 1, None);
    client.start(Wall::default());
    client.receive(origin_side("not-found"), Wall::default()).expect("OVT");
    assert!(matches!(client.poll(), Some(ClientEvent::Write(_))));
    let message = "There is no such stream (#default#app/nosuch)".to_owned();
    assert_eq!(client.poll(), Some(ClientEvent::Refused { code: 404, message }));
    assert_eq!((client.poll(), client.phase()), (None, Phase::Ended));
}

/// The node around a server, as it was when the probes were made: it has the stream `#default#app/s13`.
fn answer(server: &mut Server, event: ServerEvent, captured: &[(Wall, Bytes)], answered: usize) -> Bytes {
    let (at, text) = &captured[answered];
    let (application, id, target) = match event {
        ServerEvent::Write(bytes) => return bytes,
        ServerEvent::Describe { id, target, .. } => (Application::Describe, id, target),
        ServerEvent::Play { id, target, .. } => (Application::Play, id, target),
        ServerEvent::Stop { id, target } => (Application::Stop, id, target),
    };
    let (app, stream) = (target.app().expect("an application"), target.stream().expect("a stream"));
    if app != "app" {
        return server.no_such_app(id, application, &format!("#default#{app}"), *at);
    }
    if stream != "s13"
        && stream != "s06b"
        && !STREAMS.iter().any(|name| description(name).stream_name == stream)
    {
        return server.not_found(id, application, &format!("#default#{app}/{stream}"), *at);
    }
    match application {
        Application::Describe => {
            let told = Response::parse(text).expect("an answer").description.expect("a description");
            server.describe_ok(id, &told.app_name, &told.stream_name, &told.info, *at)
        }
        Application::Play => server.play_ok(id, *at),
        Application::Stop => server.stop_ok(id, *at),
    }
}

/// Feeds `asked` to a server in pieces of `cut` bytes and holds its answers to the messages of `captured`.
fn replay_as_origin(name: &str, asked: Bytes, captured: Bytes, cut: usize) -> Result<(), super::Error> {
    let expected = messages(captured);
    let mut server = Server::new(Time::ZERO);
    let (mut answers, mut outcome, mut asked) = (Vec::new(), Ok(()), asked);
    while !asked.is_empty() && outcome.is_ok() {
        let at = expected.get(answers.len()).map_or(Wall::default(), |(at, _)| *at);
        outcome = server.receive(asked.split_to(cut.min(asked.len())), Now { mono: Time::ZERO, wall: at });
        while let Some(event) = server.poll() {
            let bytes = answer(&mut server, event, &expected, answers.len());
            answers.extend(messages(bytes));
        }
    }
    if cut == 1 {
        assert_eq!(answers, expected, "{name}");
    }
    // In larger pieces an answer may carry the time of an earlier one.
    let texts =
        |messages: &[(Wall, Bytes)]| messages.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&answers), texts(&expected), "{name}");
    outcome
}

#[test]
fn a_server_repeats_a_captured_origin() {
    for stream in STREAMS.iter().chain(&["not-found"]) {
        for cut in [1, 50, usize::MAX] {
            let outcome = replay_as_origin(stream, answered_requests(stream), origin_side(stream), cut);
            assert_eq!(outcome, Ok(()), "{stream}");
        }
    }
}

/// What the edge of a capture sent, without a STOP whose answer is not captured.
fn answered_requests(stream: &str) -> Bytes {
    let answers = messages(origin_side(stream)).len();
    let asked = packets(edge_side(stream)).into_iter().take(answers);
    let end: usize = asked.map(|(_, text)| HEADER_BYTES + text.len()).sum();
    edge_side(stream).slice(..end)
}

/// Every probe gets the answer that OvenMediaEngine gave, to the byte. The one difference is not in the bytes: after
/// what is no OVT we close, where OvenMediaEngine goes on answering 500.
#[test]
fn probes_get_the_answers_of_ome() {
    let probes: [(&str, Result<(), super::Error>); 17] = [
        ("00-describe", Ok(())),
        ("02-describe-play-stop", Ok(())),
        ("04-play-not-found-app", Ok(())),
        ("06-describe-with-query", Ok(())),
        ("08-describe-uppercase", Ok(())),
        ("10-stop-not-found", Ok(())),
        ("12-id-as-string", Ok(())),
        ("14-bad-url", Ok(())),
        ("16-extra-json-field", Ok(())),
        ("18-id-max-u32", Ok(())),
        ("20-split-tcp", Ok(())),
        ("22-two-requests-one-segment", Ok(())),
        ("24-version-2", Err(PeerIncompatible::PacketVersion(2).into())),
        ("26-payload-type-20", Ok(())),
        ("28-payload-type-99", Ok(())),
        ("30-payload-empty-marker", Err(PeerMisbehaved::EmptyMessage.into())),
        ("32-play-then-describe-again", Ok(())),
    ];
    for (name, outcome) in probes {
        for cut in [1, 50, usize::MAX] {
            let asked = load(&format!("probes/{name}.c2s.bin"));
            let captured = load(&format!("probes/{name}.s2c.bin"));
            assert_eq!(replay_as_origin(name, asked, captured, cut), outcome, "{name}");
        }
    }
}

/// OvenMediaEngine's edge asks for nothing beyond OVT, and gets nothing; its origin promises nothing, whatever it is
/// asked (probe 16 has a key that it does not know).
#[test]
fn ome_neither_wants_signs_of_life_nor_promises_them() {
    for stream in STREAMS {
        for (_, text) in messages(edge_side(stream)) {
            let request = Request::parse(&text).expect("a request");
            assert_eq!((request.beat_ms, request.history_ms), (None, None), "{stream}");
        }
        for (_, text) in messages(origin_side(stream)) {
            assert_eq!(Response::parse(&text).map(|answer| answer.grant), Ok(Grant::default()), "{stream}");
        }
        assert!(packets(origin_side(stream)).iter().all(|(it, _)| !matches!(it.kind, PayloadKind::Other(_))));
    }
    for (_, text) in messages(load("probes/16-extra-json-field.s2c.bin")) {
        assert_eq!(Response::parse(&text).map(|answer| answer.grant), Ok(Grant::default()));
    }
}
