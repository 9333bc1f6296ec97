//! Against an RTMP implementation that is not ours: rml_rtmp, as publisher and as server.

mod rtmp_support;

use headwater_core::wire::flv::TagKind;
use headwater_core::wire::rtmp::amf0::Value;
use headwater_core::wire::rtmp::{Publisher, PublisherAction, Server, ServerEvent};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;
use rtmp_support::{AVC_AAC, file};

/// One step of rml_rtmp's handshake: its answer, and what is left over if it is done.
fn shake(handshake: &mut Handshake, bytes: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    match handshake.process_bytes(bytes).expect("it takes our handshake") {
        HandshakeProcessResult::InProgress { response_bytes } => (response_bytes, None),
        HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
            (response_bytes, Some(remaining_bytes))
        }
    }
}

/// rml_rtmp's client, past the handshake with our server.
struct Client {
    session: ClientSession,
    server: Server,
    heard: Vec<ServerEvent>,
    raised: Vec<ClientSessionEvent>,
}

impl Client {
    fn connected() -> Client {
        let mut handshake = Handshake::new(PeerType::Client);
        let mut server = Server::new();
        server.receive(&handshake.generate_outbound_p0_and_p1().expect("a hello")).expect("taken");
        let Some(ServerEvent::Write(hello)) = server.poll() else { panic!("an answer") };
        let (answer, left) = shake(&mut handshake, &hello);
        assert_eq!(left, Some(Vec::new()), "the handshake is over for the client");
        server.receive(&answer).expect("taken");
        let mut config = ClientSessionConfig::new();
        config.tc_url = Some("rtmp://origin.example/app".into());
        let (session, results) = ClientSession::new(config).expect("a session");
        let mut client = Client { session, server, heard: Vec::new(), raised: Vec::new() };
        client.carry(results);
        client
    }

    /// Carries bytes until both are quiet.
    fn carry(&mut self, mut results: Vec<ClientSessionResult>) {
        loop {
            for result in std::mem::take(&mut results) {
                match result {
                    ClientSessionResult::OutboundResponse(packet) => {
                        // One byte at a time is the worst that a network can do.
                        packet
                            .bytes
                            .iter()
                            .for_each(|byte| self.server.receive(&[*byte]).expect("well-formed"));
                    }
                    ClientSessionResult::RaisedEvent(event) => self.raised.push(event),
                    ClientSessionResult::UnhandleableMessageReceived(_) => {}
                }
            }
            while let Some(event) = self.server.poll() {
                match event {
                    ServerEvent::Write(bytes) => {
                        results.extend(self.session.handle_input(&bytes).expect("it takes our answers"));
                    }
                    event => self.heard.push(event),
                }
            }
            if results.is_empty() {
                return;
            }
        }
    }
}

#[test]
fn rml_rtmp_publishes_to_our_server() {
    let mut client = Client::connected();
    let request = client.session.request_connection("app".into()).expect("a request");
    client.carry(vec![request]);
    assert!(client.raised.contains(&ClientSessionEvent::ConnectionRequestAccepted), "{:?}", client.raised);
    let request =
        client.session.request_publishing("stream".into(), PublishRequestType::Live).expect("a request");
    client.carry(vec![request]);
    let [ServerEvent::Requested(request)] = &client.heard[..] else { panic!("{:?}", client.heard) };
    assert_eq!((request.app.as_str(), request.name.as_str()), ("app", "stream"));
    assert_eq!(request.tc_url, "rtmp://origin.example/app");

    client.server.accept().expect("well-formed");
    client.carry(vec![]);
    assert!(client.raised.contains(&ClientSessionEvent::PublishRequestAccepted), "{:?}", client.raised);
    client.heard.clear();
    publish_all(&mut client);
}

fn publish_all(client: &mut Client) {
    let mut metadata = StreamMetadata::new();
    metadata.video_width = Some(160);
    let packet = client.session.publish_metadata(&metadata).expect("metadata");
    client.carry(vec![packet]);
    let Some(ServerEvent::Metadata(fields)) = client.heard.pop() else { panic!("metadata") };
    assert!(fields.contains(&("width".to_owned(), Value::Number(160.0))), "{fields:?}");
    let media = file(AVC_AAC).into_iter().filter(|tag| tag.kind != TagKind::Script).collect::<Vec<_>>();
    for tag in &media {
        let time = RtmpTimestamp::new(tag.timestamp);
        let data = tag.body.clone();
        let packet = match tag.kind {
            TagKind::Audio => client.session.publish_audio_data(data, time, false),
            _ => client.session.publish_video_data(data, time, false),
        };
        client.carry(vec![packet.expect("media")]);
    }
    let expected = media.into_iter().map(|tag| match tag.kind {
        TagKind::Audio => ServerEvent::Audio { timestamp: tag.timestamp, payload: tag.body },
        _ => ServerEvent::Video { timestamp: tag.timestamp, payload: tag.body },
    });
    assert_eq!(client.heard, expected.collect::<Vec<_>>());
    client.heard.clear();
    let results = client.session.stop_publishing().expect("the end");
    client.carry(results);
    assert!(matches!(client.heard[..], [ServerEvent::Finished { .. }]), "{:?}", client.heard);
}

#[test]
fn a_player_is_told_that_there_is_nothing_to_play() {
    let mut client = Client::connected();
    let request = client.session.request_connection("app".into()).expect("a request");
    client.carry(vec![request]);
    let request = client.session.request_playback("stream".into()).expect("a request");
    client.carry(vec![request]);
    assert!(matches!(client.heard[..], [ServerEvent::Finished { .. }]), "{:?}", client.heard);
    let code = "NetStream.Play.StreamNotFound".to_owned();
    let told = ClientSessionEvent::UnhandleableOnStatusCode { code };
    assert!(client.raised.contains(&told), "{:?}", client.raised);
}

#[test]
fn our_publisher_publishes_to_rml_rtmp() {
    let mut handshake = Handshake::new(PeerType::Server);
    let mut publisher = Publisher::new("rtmp://origin.example/app", "app", "stream");
    let Some(PublisherAction::Write(hello)) = publisher.poll() else { panic!("a hello") };
    let (answer, _) = shake(&mut handshake, &hello);
    publisher.receive(&answer).expect("taken");
    let Some(PublisherAction::Write(echo)) = publisher.poll() else { panic!("an echo") };
    let (answer, left) = shake(&mut handshake, &echo);
    publisher.receive(&answer).expect("taken");
    let (mut session, first) = ServerSession::new(ServerSessionConfig::new()).expect("a session");
    let mut results = first;
    results.extend(session.handle_input(&left.expect("the handshake is over")).expect("well-formed"));

    let events = converse(&mut session, &mut publisher, results);
    assert!(publisher.is_ready(), "{events:?}");
    let media = file(AVC_AAC).into_iter().filter(|tag| tag.kind != TagKind::Script).collect::<Vec<_>>();
    publisher.send_metadata(&[("width".to_owned(), Value::Number(160.0))]);
    for tag in &media {
        match tag.kind {
            TagKind::Audio => publisher.send_audio(tag.timestamp, tag.body.clone()),
            _ => publisher.send_video(tag.timestamp, tag.body.clone()),
        }
    }
    publisher.finish();
    let events = converse(&mut session, &mut publisher, Vec::new());
    let heard = events.iter().filter_map(|event| match event {
        ServerSessionEvent::AudioDataReceived { data, timestamp, .. } => {
            Some((TagKind::Audio, timestamp.value, data))
        }
        ServerSessionEvent::VideoDataReceived { data, timestamp, .. } => {
            Some((TagKind::Video, timestamp.value, data))
        }
        _ => None,
    });
    let sent = media.iter().map(|tag| (tag.kind, tag.timestamp, &tag.body));
    assert_eq!(heard.collect::<Vec<_>>(), sent.collect::<Vec<_>>());
    let metadata = |event: &ServerSessionEvent| matches!(event, ServerSessionEvent::StreamMetadataChanged { metadata, .. } if metadata.video_width == Some(160));
    assert!(events.iter().any(metadata));
    assert!(events.iter().any(|event| matches!(event, ServerSessionEvent::PublishStreamFinished { .. })));
}

/// Carries bytes between rml_rtmp's server, which accepts everything, and our publisher, until both are quiet.
fn converse(
    session: &mut ServerSession,
    publisher: &mut Publisher,
    mut results: Vec<ServerSessionResult>,
) -> Vec<ServerSessionEvent> {
    let mut events = Vec::new();
    loop {
        for result in std::mem::take(&mut results) {
            match result {
                ServerSessionResult::OutboundResponse(packet) => {
                    packet.bytes.iter().for_each(|byte| publisher.receive(&[*byte]).expect("well-formed"));
                }
                ServerSessionResult::RaisedEvent(event) => {
                    if let ServerSessionEvent::ConnectionRequested { request_id, .. }
                    | ServerSessionEvent::PublishStreamRequested { request_id, .. } = event
                    {
                        results.extend(session.accept_request(request_id).expect("a request"));
                    }
                    events.push(event);
                }
                ServerSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        while let Some(action) = publisher.poll() {
            if let PublisherAction::Write(bytes) = action {
                results.extend(session.handle_input(&bytes).expect("it takes our messages"));
            }
        }
        if results.is_empty() {
            return events;
        }
    }
}
