//! The node against peers that are slow, silent, hostile or gone, one behaviour each.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;
use crate::config::{
    Api, Application, Hls, HostPattern, LlHls, OriginMapStore, OvtProvider, Providers, Publishers,
    RedisServer, RedisServers, RtmpProvider, Secret, StorePlace, TimestampMode, VirtualHost,
};
use crate::io::{AskId, Endpoint, StoreId};
use crate::limits;
use crate::media::StreamInfo;
use crate::origin_map::{OriginRule, PullProperties};
use crate::registry::{Claim, Command as StoreCommand, Embedded, Failure, LeaseId, Zero};
use crate::testing::{Manner, Origin, at, frame, stream, video};
use crate::wire::flv::{Tag, TagKind, tags};
use crate::wire::ovt::{Client as OvtClient, ClientEvent};
use crate::wire::rtmp::{Publisher as RtmpPublisher, PublisherAction};
use publishers::with_standby;

mod publishers;

mod draining;
mod load;
mod reload;

const URL: &str = "ovt://edge:9000/app/stream";

/// An application that can do everything.
fn application(name: &str, block_duplicate: bool) -> Application {
    let rtmp = RtmpProvider { block_duplicate, ..RtmpProvider::default() };
    Application {
        name: name.to_owned(),
        providers: Providers { ovt: Some(OvtProvider::default()), rtmp: Some(rtmp) },
        publishers: Publishers { ovt: true, llhls: Some(LlHls::default()), hls: None },
        track_names: (None, None),
        playlists: Vec::new(),
    }
}

/// What is asked for below `location` comes from `urls`.
fn rule(location: &str, urls: &[&str]) -> OriginRule {
    OriginRule {
        location: location.to_owned(),
        strict: false,
        scheme: "ovt".to_owned(),
        urls: urls.iter().map(|&url| url.to_owned()).collect(),
        forward_query: true,
        persistent: false,
        failback: false,
        hot_standby: None,
        relay: true,
    }
}

fn config(applications: Vec<Application>, origins: Vec<OriginRule>) -> Config {
    let vhost = VirtualHost {
        name: "default".to_owned(),
        hosts: vec![HostPattern("*".to_owned())],
        tls: None,
        pull: PullProperties { unused_timeout: Duration::from_secs(10), ..PullProperties::default() },
        origins,
        store: None,
        applications,
        template: None,
    };
    Config { name: "edge".to_owned(), vhosts: vec![vhost], ..Config::default() }
}

/// An edge that pulls everything of `app` from `a`, then from `b`.
fn edge() -> Config {
    config(vec![application("app", true)], vec![rule("/app/", &["a:9000/app/", "b:9000/app/"])])
}

/// A server to which encoders publish.
fn origin(block_duplicate: bool) -> Config {
    config(vec![application("app", block_duplicate)], Vec::new())
}

/// A node and all that it says.
struct Bench {
    node: Node,
    ms: u64,
    accepted: u64,
    asked: u64,
    opened: Vec<(ConnId, Endpoint)>,
    closed: Vec<(ConnId, Close)>,
    /// Bytes that were written and not taken.
    written: BTreeMap<ConnId, Vec<Bytes>>,
    answers: BTreeMap<RequestId, u16>,
    bodies: BTreeMap<RequestId, String>,
    headers: BTreeMap<RequestId, http::HeaderMap>,
    events: Vec<Event>,
    /// What directories were asked.
    commands: Vec<(AskId, StoreId, StoreCommand)>,
    /// How often it said that it is done.
    done: usize,
}

impl Bench {
    fn new(config: Config) -> Bench {
        Bench {
            node: Node::new(config, 1, at(0)),
            ms: 0,
            accepted: 0,
            asked: 0,
            opened: Vec::new(),
            closed: Vec::new(),
            written: BTreeMap::new(),
            answers: BTreeMap::new(),
            bodies: BTreeMap::new(),
            headers: BTreeMap::new(),
            events: Vec::new(),
            commands: Vec::new(),
            done: 0,
        }
    }

    fn tell(&mut self, input: Input) {
        self.node.handle(at(self.ms), input);
        self.hear();
    }

    fn hear(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Close { conn, how } => self.closed.push((conn, how)),
                Output::Done => self.done += 1,
                Output::Event(event) => self.events.push(event),
                Output::Open { conn, to } => self.opened.push((conn, to)),
                Output::Registry { ask, store, command } => self.commands.push((ask, store, command)),
                Output::Respond { id, response } => {
                    let twice = self.answers.insert(id, response.status().as_u16());
                    assert_eq!(twice, None, "{id:?} was answered twice");
                    self.headers.insert(id, response.headers().clone());
                    let body = response.into_body().0.concat();
                    self.bodies.insert(id, String::from_utf8_lossy(&body).into_owned());
                }
                Output::Write { conn, bytes } => {
                    assert!(!self.is_closed(conn), "{conn:?} was written to after its end");
                    self.written.entry(conn).or_default().push(bytes);
                }
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.ms + ms;
        while let Some(due) = self.node.poll_timeout().filter(|due| due.at <= at(end).mono) {
            self.ms = self.ms.max(due.at.as_micros().div_ceil(1_000));
            self.node.handle_timeout(at(self.ms));
            self.hear();
        }
        self.ms = end;
    }

    fn accept(&mut self, service: Service) -> ConnId {
        self.accepted += 1;
        let conn = ConnId(self.accepted * 2 - 1);
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        self.tell(Input::Accepted { conn, service, peer });
        conn
    }

    fn send(&mut self, conn: ConnId, bytes: impl Into<Bytes>) {
        self.tell(Input::Received { conn, bytes: bytes.into() });
    }

    /// The peer reads what was written to it.
    fn take(&mut self, conn: ConnId) -> Vec<Bytes> {
        let written = self.written.remove(&conn).unwrap_or_default();
        let bytes = written.iter().map(Bytes::len).sum();
        if bytes > 0 {
            self.tell(Input::Sent { conn, bytes });
        }
        written
    }

    fn unread(&self, conn: ConnId) -> usize {
        self.written.get(&conn).map_or(0, |written| written.iter().map(Bytes::len).sum())
    }

    fn is_closed(&self, conn: ConnId) -> bool {
        self.closed.iter().any(|(closed, _)| *closed == conn)
    }

    fn get(&mut self, path: &str) -> RequestId {
        self.get_with(path, &[])
    }

    fn get_with(&mut self, path: &str, fields: &[(&str, &str)]) -> RequestId {
        self.asked += 1;
        let id = RequestId(self.asked);
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let mut request = http::Request::get(path).header("host", "edge");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        self.tell(Input::Request { id, service: Service::Http, peer, request });
        id
    }

    fn status(&self, id: RequestId) -> Option<u16> {
        self.answers.get(&id).copied()
    }

    fn header(&self, id: RequestId, name: &str) -> Option<&str> {
        self.headers.get(&id)?.get(name)?.to_str().ok()
    }

    fn misbehaved(&self) -> Vec<&str> {
        let mut told = Vec::new();
        for event in &self.events {
            if let Event::PeerMisbehaved { what, .. } = event {
                told.push(what.as_str());
            }
        }
        told
    }

    /// Nothing is remembered of anybody who is gone.
    fn demand_empty(&self) {
        let node = &self.node;
        assert!(node.streams.is_empty() && node.names.is_empty() && node.starting.is_empty());
        assert!(node.pulled.is_empty() && node.clients.is_empty() && node.publishers.is_empty());
        assert!(node.parked.is_empty());
        assert_eq!(node.poll_timeout(), None);
        assert_eq!(node.census().held().collect::<Vec<_>>(), []);
    }

    /// The origins behind `opened` accept and answer, each in its manner; call it again to go on.
    fn serve(
        &mut self,
        origins: &mut BTreeMap<ConnId, Origin>,
        manner: impl Fn(&str) -> Option<(Manner, StreamInfo)>,
    ) {
        loop {
            for (conn, to) in core::mem::take(&mut self.opened) {
                match manner(&to.host) {
                    Some((manner, info)) => {
                        let past = (0..=(self.ms / 40) as i64).map(|n| frame(info.tracks[0].id.0, n));
                        origins.insert(conn, Origin::new(at(self.ms), manner, info.clone(), past));
                        self.tell(Input::Opened { conn });
                    }
                    None => self.tell(Input::Closed { conn, reason: CloseReason::Refused }),
                }
            }
            let conns: Vec<ConnId> = origins.keys().copied().collect();
            let mut is_quiet = true;
            for conn in conns {
                for bytes in self.take(conn) {
                    is_quiet = false;
                    origins.get_mut(&conn).expect("listed").receive(at(self.ms), bytes);
                }
                while let Some(bytes) = origins.get_mut(&conn).and_then(Origin::poll) {
                    is_quiet = false;
                    self.send(conn, bytes);
                }
                if self.is_closed(conn) {
                    origins.remove(&conn);
                }
            }
            if is_quiet && self.opened.is_empty() {
                break;
            }
        }
        // What came in one burst has its place when the burst is over.
        self.run(JOINED_MS);
    }
}

/// How long a burst of media waits for its place.
const JOINED_MS: u64 = 10;

/// An encoder's side of a connection.
struct Encoder {
    conn: ConnId,
    rtmp: RtmpPublisher,
    said: Vec<PublisherAction>,
    tags: Vec<Tag>,
    next: usize,
    /// What it does not send.
    skips: fn(&Tag) -> bool,
}

impl Encoder {
    /// Asks to publish `app/name`.
    fn new(bench: &mut Bench, name: &str) -> Encoder {
        let file = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/avc-aac.flv"));
        let tags = tags(Bytes::from_static(file)).expect("a file").collect::<Result<_, _>>().expect("whole");
        let rtmp = RtmpPublisher::new("rtmp://edge/app", "app", name);
        let conn = bench.accept(Service::Rtmp);
        let mut encoder = Encoder { conn, rtmp, said: Vec::new(), tags, next: 0, skips: |_| false };
        encoder.talk(bench);
        encoder
    }

    fn talk(&mut self, bench: &mut Bench) {
        loop {
            while let Some(action) = self.rtmp.poll() {
                match action {
                    PublisherAction::Write(bytes) => bench.send(self.conn, bytes),
                    other => self.said.push(other),
                }
            }
            let written = bench.take(self.conn);
            if written.is_empty() {
                return;
            }
            written.iter().for_each(|bytes| self.rtmp.receive(bytes).expect("our own server speaks RTMP"));
        }
    }

    /// Publishes for `ms` milliseconds, with timestamps that are `shift` milliseconds later than in the file.
    fn publish(&mut self, bench: &mut Bench, ms: u64, shift: u32) {
        let end = bench.ms + ms;
        let length = 2_000;
        let start = bench.ms;
        self.next = 0;
        while bench.ms < end {
            let round = (self.next / self.tags.len()) as u32;
            let tag = self.tags[self.next % self.tags.len()].clone();
            let is_header = tag.kind != TagKind::Script && tag.body.get(1) == Some(&0);
            self.next += 1;
            let is_repeated = round > 0 && (is_header || tag.kind == TagKind::Script);
            if is_repeated || (self.skips)(&tag) {
                continue;
            }
            let time = round * length + tag.timestamp;
            let due = start + u64::from(time);
            if due > bench.ms {
                bench.run(due - bench.ms);
            }
            match tag.kind {
                TagKind::Audio => self.rtmp.send_audio(time + shift, tag.body),
                TagKind::Video => self.rtmp.send_video(time + shift, tag.body),
                TagKind::Script => {}
            }
            self.talk(bench);
        }
    }

    fn refusal(&self) -> Option<&str> {
        self.said.iter().find_map(|said| match said {
            PublisherAction::Refused { description, .. } => Some(description.as_str()),
            _ => None,
        })
    }
}

/// An edge's side of a connection.
struct Edge {
    conn: ConnId,
    ovt: OvtClient,
    said: Vec<ClientEvent>,
}

impl Edge {
    /// Asks for `url`.
    fn new(bench: &mut Bench, url: &str) -> Edge {
        Edge::asking(bench, OvtClient::new(url.to_owned(), 1, Some(4_000)))
    }

    fn asking(bench: &mut Bench, mut ovt: OvtClient) -> Edge {
        ovt.start(at(bench.ms).wall);
        let mut edge = Edge { conn: bench.accept(Service::Ovt), ovt, said: Vec::new() };
        edge.talk(bench);
        edge
    }

    fn talk(&mut self, bench: &mut Bench) {
        loop {
            while let Some(event) = self.ovt.poll() {
                match event {
                    ClientEvent::Write(bytes) => bench.send(self.conn, bytes),
                    other => self.said.push(other),
                }
            }
            let written = bench.take(self.conn);
            if written.is_empty() {
                return;
            }
            for bytes in written {
                self.ovt.receive(bytes, at(bench.ms).wall).expect("our own server speaks OVT");
            }
        }
    }

    fn media(&self) -> usize {
        self.said.iter().filter(|said| matches!(said, ClientEvent::Media(_))).count()
    }

    fn refusal(&self) -> Option<u32> {
        self.said.iter().find_map(|said| match said {
            ClientEvent::Refused { code, .. } => Some(*code),
            ClientEvent::Retry { .. } => Some(202),
            _ => None,
        })
    }
}

fn describe(id: u32, url: &str) -> Bytes {
    use crate::wire::ovt::{Application, message};
    message::request(Application::Describe, id, url, message::Extension::default(), at(0).wall)
}

fn stop(id: u32, url: &str) -> Bytes {
    use crate::wire::ovt::{Application, message};
    message::request(Application::Stop, id, url, message::Extension::default(), at(0).wall)
}

fn plays(host: &str) -> Option<(Manner, StreamInfo)> {
    Some((Manner::Plays, stream(host, vec![video(0)])))
}

#[test]
fn a_publisher_that_reads_nothing_is_cut() {
    let mut bench = Bench::new(origin(true));
    let encoder = Encoder::new(&mut bench, "stream");
    // RTMP's ping request: a chunk header of 12 bytes, the event 6, a timestamp.
    let ping = Bytes::from_static(&[2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0]);
    for _ in 0..10_000 {
        bench.send(encoder.conn, ping.clone());
        assert!(bench.unread(encoder.conn) <= limits::UNREAD_ANSWERS_BYTES_MAX + 100);
    }
    assert_eq!(bench.closed, [(encoder.conn, Close::Abort)]);
    assert_eq!(bench.misbehaved().len(), 1);
    bench.demand_empty();
}

#[test]
fn a_publisher_that_reads_may_ask_as_much_as_it_wants() {
    let mut bench = Bench::new(origin(true));
    let encoder = Encoder::new(&mut bench, "stream");
    let ping = Bytes::from_static(&[2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0]);
    for _ in 0..10_000 {
        bench.send(encoder.conn, ping.clone());
        bench.take(encoder.conn);
    }
    assert!(bench.closed.is_empty());
}

#[test]
fn an_ovt_client_that_asks_and_never_reads_is_cut() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    let conn = bench.accept(Service::Ovt);
    for id in 0..2_000 {
        bench.send(conn, describe(id, URL));
        encoder.publish(&mut bench, 260, id * 260);
        assert!(bench.unread(conn) <= limits::UNREAD_ANSWERS_BYTES_MAX + 10_000);
        if bench.is_closed(conn) {
            break;
        }
    }
    assert_eq!(bench.closed, [(conn, Close::Abort)]);
}

#[test]
fn an_ovt_client_that_drips_bytes_has_no_more_time_than_one_that_is_silent() {
    let mut bench = Bench::new(origin(true));
    let (silent, dripping) = (bench.accept(Service::Ovt), bench.accept(Service::Ovt));
    for byte in describe(1, URL).slice(..6) {
        bench.send(dripping, vec![byte]);
        bench.run(900);
    }
    assert_eq!(bench.closed, [(silent, Close::Abort), (dripping, Close::Abort)]);
    assert_eq!(bench.misbehaved().len(), 2);
    bench.demand_empty();
}

#[test]
fn an_ovt_client_that_had_its_answer_and_wants_no_more_is_let_go_in_silence() {
    let mut bench = Bench::new(origin(true));
    let mut edge = Edge::new(&mut bench, URL);
    assert_eq!(edge.refusal(), Some(404));
    bench.run(4_000);
    bench.send(edge.conn, describe(2, URL));
    edge.talk(&mut bench);
    bench.run(4_900);
    assert!(bench.closed.is_empty());
    bench.run(200);
    assert_eq!((&bench.closed[..], bench.misbehaved().len()), (&[(edge.conn, Close::Flush)][..], 0));
    bench.demand_empty();
}

#[test]
fn a_stop_without_play_is_answered_and_nothing_else() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 1_500, 0);
    let conn = bench.accept(Service::Ovt);
    bench.send(conn, stop(1, URL));
    let answer = String::from_utf8_lossy(&bench.take(conn).concat()).into_owned();
    assert!(answer.contains(r#""application":"stop","code":200,"id":1"#), "{answer}");
    assert!(bench.closed.is_empty());
    bench.send(conn, stop(2, "ovt://edge:9000/app/nothing"));
    assert!(String::from_utf8_lossy(&bench.take(conn).concat()).contains(r#""code":404"#));
}

#[test]
fn a_connection_is_closed_once_whatever_follows_the_end() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 1_500, 0);
    let edge = Edge::new(&mut bench, URL);
    assert!(edge.ovt.phase() == crate::wire::ovt::client::Phase::Playing);
    let mut last = stop(9, URL).to_vec();
    last.extend_from_slice(&[0; 40]);
    bench.send(edge.conn, last);
    assert_eq!(bench.closed, [(edge.conn, Close::Flush)]);
    bench.send(edge.conn, describe(10, URL));
    bench.tell(Input::Closed { conn: edge.conn, reason: CloseReason::Eof });
    assert_eq!(bench.closed.len(), 1);
}

#[test]
fn an_ovt_client_that_asked_for_it_hears_that_a_silent_stream_is_alive() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 1_500, 0);
    let ome = Edge::new(&mut bench, URL);
    let mut ours = Edge::asking(&mut bench, OvtClient::new(URL.to_owned(), 1, Some(4_000)).with_beats(50));
    let granted = |edge: &Edge| {
        edge.said.iter().find_map(|said| match said {
            ClientEvent::Playing(grant) => Some(grant.beat_ms),
            _ => None,
        })
    };
    assert_eq!((granted(&ome), granted(&ours)), (Some(None), Some(Some(50))));
    let (before, mut beats) = (ours.media(), 0);
    for _ in 0..20 {
        bench.run(50);
        beats += bench.written.get(&ours.conn).map_or(0, Vec::len);
        ours.talk(&mut bench);
    }
    assert!((18..=20).contains(&beats), "{beats} in a second");
    assert_eq!(
        (ours.media(), bench.unread(ome.conn)),
        (before, 0),
        "a beat is no media, and is not for everybody"
    );
    bench.run(1_000);
    assert_eq!(
        bench.unread(ours.conn),
        crate::wire::ovt::message::beat(at(0).wall).len(),
        "one that waits is enough"
    );
}

#[test]
fn the_end_of_a_stream_is_the_end_of_its_clients() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 1_500, 0);
    let edge = Edge::new(&mut bench, URL);
    encoder.rtmp.finish();
    encoder.talk(&mut bench);
    let closed: BTreeSet<ConnId> = bench.closed.iter().map(|(conn, _)| *conn).collect();
    assert_eq!((closed.len(), bench.closed.len()), (2, 2));
    assert!(closed.contains(&edge.conn) && closed.contains(&encoder.conn));
    bench.demand_empty();
}

#[test]
fn names_that_are_none_are_never_looked_for() {
    let mut bench = Bench::new(edge());
    for name in
        ["x".repeat(256), "a%3Fb=1".to_owned(), "a%23b".to_owned(), "..".to_owned(), "a%00b".to_owned()]
    {
        let asked = bench.get(&format!("/app/{name}/llhls.m3u8"));
        assert_eq!(bench.status(asked), Some(404), "{name}");
    }
    let edge = Edge::new(&mut bench, &format!("ovt://edge:9000/app/{}", "x".repeat(256)));
    assert_eq!(edge.refusal(), Some(404));
    assert!(bench.opened.is_empty() && bench.node.streams.is_empty());
}

#[test]
fn a_crowd_of_strangers_is_bounded_and_leaves_nothing_behind() {
    let mut bench = Bench::new(edge());
    let asked: Vec<RequestId> = (0..1_200).map(|n| bench.get(&format!("/app/s{n}/llhls.m3u8"))).collect();
    let refused = asked.iter().filter(|id| bench.status(**id) == Some(503)).count();
    assert_eq!((bench.opened.len(), refused), (limits::STARTING_PULLS_MAX, 200));
    bench.run(60_000);
    assert!(asked.iter().all(|id| bench.status(*id).is_some()));
    assert_eq!(bench.closed.len(), bench.opened.len(), "every connection that was asked for was given up");
    bench.demand_empty();
}

#[test]
fn requests_that_wait_are_bounded_over_all_streams() {
    let mut bench = Bench::new(edge());
    let mut waiting = 0;
    for n in 0..limits::NODE_WAITING_REQUESTS_MAX + 5 {
        let asked = bench.get(&format!("/app/s{}/llhls.m3u8", n % 3));
        waiting += usize::from(bench.status(asked).is_none());
    }
    assert_eq!(waiting, limits::NODE_WAITING_REQUESTS_MAX);
    bench.run(60_000);
    bench.demand_empty();
}

#[test]
fn a_stream_that_only_edges_play_is_in_use() {
    for unused_ms in [10_000, 0] {
        let mut config = edge();
        config.vhosts[0].pull.unused_timeout = Duration::from_millis(unused_ms);
        let (mut bench, mut origins) = (Bench::new(config), BTreeMap::new());
        let mut edge = Edge::new(&mut bench, URL);
        let play = |bench: &mut Bench, origins: &mut BTreeMap<ConnId, Origin>, edge: &mut Edge, ms: u64| {
            let end = bench.ms + ms;
            while bench.ms < end {
                bench.run(40 - JOINED_MS);
                let packet = frame(0, (bench.ms / 40) as i64);
                origins.values_mut().for_each(|origin| origin.push(&packet));
                bench.serve(origins, plays);
                edge.talk(bench);
            }
        };
        bench.serve(&mut origins, plays);
        edge.talk(&mut bench);
        play(&mut bench, &mut origins, &mut edge, 25_000);
        assert!(edge.media() > 600 && bench.closed.is_empty(), "{unused_ms}");
        bench.tell(Input::Closed { conn: edge.conn, reason: CloseReason::Eof });
        edge.conn = ConnId(99);
        let kept_ms = unused_ms.max(limits::UNUSED_MIN.as_millis() as u64);
        play(&mut bench, &mut origins, &mut edge, kept_ms - 500);
        assert!(bench.closed.is_empty(), "its time begins when the last one has gone");
        play(&mut bench, &mut origins, &mut edge, 1_500);
        assert_eq!(bench.closed.len(), 1);
        let ended = |event: &Event| matches!(event, Event::PullEnded { why, .. } if why == "nobody plays it");
        assert!(bench.events.iter().any(ended), "the operator is told");
        bench.demand_empty();
    }
}

#[test]
fn the_census_counts_what_is_there() {
    let (mut bench, mut origins) = (Bench::new(edge()), BTreeMap::new());
    assert_eq!(bench.node.census(), Census::default());
    let mut encoder = Encoder::new(&mut bench, "published");
    let half = bench.accept(Service::Rtmp);
    bench.send(half, Bytes::from_static(&[3, 0, 0]));
    encoder.publish(&mut bench, 1_500, 0);
    bench.get("/app/pulled/llhls.m3u8");
    let held = Edge::new(&mut bench, "ovt://edge:9000/app/pulled");
    let silent = |host: &str| Some((Manner::IsSilent, stream(host, vec![video(0)])));
    bench.serve(&mut origins, silent);
    let playing = Edge::new(&mut bench, "ovt://edge:9000/app/published");
    encoder.publish(&mut bench, 100, 1_500);
    let census = bench.node.census();
    let unsent: usize =
        [half, encoder.conn, held.conn, playing.conn].map(|conn| bench.unread(conn)).iter().sum();
    let expected = Census {
        publishers: 2,
        clients: 2,
        pulls: 1,
        streams: 2,
        starting_pulls: 1,
        playing_clients: 1,
        held_describes: 1,
        waiting_requests: 1,
        unsent_bytes: unsent,
        unfinished_bytes: 3,
        deadlines: census.deadlines,
        history_bytes: census.history_bytes,
        window_bytes: census.window_bytes,
        marks: census.marks,
        ..Census::default()
    };
    assert_eq!(census, expected);
    assert!(unsent > 0 && census.deadlines >= 4, "{census:?}");
    assert!(census.history_bytes > 10_000 && census.window_bytes > 10_000, "{census:?}");

    bench.tell(Input::Command(Command::Shutdown));
    bench.demand_empty();
    assert_eq!(bench.node.census().ended_streams, 1);
}

#[test]
fn the_shutdown_answers_everybody_and_closes_everything_once() {
    let (mut bench, mut origins) = (Bench::new(edge()), BTreeMap::new());
    let mut encoder = Encoder::new(&mut bench, "published");
    encoder.publish(&mut bench, 1_500, 0);
    let mut half = bench.accept(Service::Rtmp);
    let silent = |host: &str| Some((Manner::IsSilent, stream(host, vec![video(0)])));
    let waiting = [bench.get("/app/pulled/llhls.m3u8"), bench.get("/app/pulled/llhls.m3u8")];
    let mut held = Edge::new(&mut bench, "ovt://edge:9000/app/pulled");
    bench.serve(&mut origins, silent);
    let playing = Edge::new(&mut bench, "ovt://edge:9000/app/published");
    let idle = bench.accept(Service::Ovt);
    assert!(waiting.iter().all(|id| bench.status(*id).is_none()) && held.said.is_empty());

    bench.tell(Input::Command(Command::Shutdown));
    assert_eq!(waiting.map(|id| bench.status(id)), [Some(503); 2]);
    let closed: Vec<ConnId> = bench.closed.iter().map(|(conn, _)| *conn).collect();
    let each: BTreeSet<ConnId> = closed.iter().copied().collect();
    let pull = *origins.keys().next().expect("a pull");
    assert_eq!(each.len(), closed.len(), "each once: {closed:?}");
    let expected = [encoder.conn, half, held.conn, playing.conn, idle, pull];
    assert_eq!(each, expected.into_iter().collect());
    bench.demand_empty();
    encoder.talk(&mut bench);
    assert_eq!(encoder.refusal(), Some("the server is shutting down"));
    held.talk(&mut bench);
    assert_eq!(held.refusal(), Some(404));

    let late = bench.get("/app/pulled/llhls.m3u8");
    assert_eq!(bench.status(late), Some(503));
    half = bench.accept(Service::Ovt);
    assert_eq!(bench.closed.last(), Some(&(half, Close::Abort)));
    bench.tell(Input::Command(Command::Shutdown));
    bench.demand_empty();
}

/// Two servers, or one and itself: whatever is opened to a host is accepted by its node.
fn connect(nodes: &mut [(&str, Bench)]) {
    stay_connected(nodes, &mut Vec::new());
}

/// A connection between two nodes: who opened it, and under which number each of them knows it.
type Pair = (usize, ConnId, usize, ConnId);

/// The same, with the connections that there are already.
fn stay_connected(nodes: &mut [(&str, Bench)], pairs: &mut Vec<Pair>) {
    for _ in 0..100 {
        for from in 0..nodes.len() {
            for (conn, to) in core::mem::take(&mut nodes[from].1.opened) {
                let to = nodes.iter().position(|(name, _)| *name == to.host).expect("a node");
                let other = nodes[to].1.accept(Service::Ovt);
                pairs.push((from, conn, to, other));
                nodes[from].1.tell(Input::Opened { conn });
            }
        }
        for (a, here, b, there) in pairs.clone() {
            for bytes in nodes[a].1.take(here) {
                nodes[b].1.send(there, bytes);
            }
            for bytes in nodes[b].1.take(there) {
                nodes[a].1.send(here, bytes);
            }
            for (one, mine, other, theirs) in [(a, here, b, there), (b, there, a, here)] {
                if nodes[one].1.is_closed(mine) && !nodes[other].1.is_closed(theirs) {
                    nodes[other].1.tell(Input::Closed { conn: theirs, reason: CloseReason::Eof });
                }
            }
        }
    }
}

#[test]
fn a_circle_of_servers_ends_at_once() {
    let circles: [&[(&str, &str)]; 3] = [
        &[("a", "a:9000/app/")],
        &[("a", "b:9000/app/"), ("b", "a:9000/app/")],
        &[("a", "b:9000/app/"), ("b", "c:9000/app/"), ("c", "a:9000/app/")],
    ];
    for circle in circles {
        let node = |(name, url): &(&'static str, &str)| {
            let mut config = config(vec![application("app", true)], vec![rule("/app/", &[url])]);
            config.name = (*name).to_owned();
            (*name, Bench::new(config))
        };
        let mut nodes: Vec<(&str, Bench)> = circle.iter().map(node).collect();
        let asked = nodes[0].1.get("/app/stream/llhls.m3u8");
        connect(&mut nodes);
        assert_eq!(nodes[0].1.status(asked), Some(404), "{circle:?}");
        let told =
            |event: &Event| matches!(event, Event::PullLost { why, .. } if why.contains("in a circle"));
        assert!(nodes.iter().any(|(_, bench)| bench.events.iter().any(told)));
        for (_, bench) in &mut nodes {
            bench.run(10_000);
            bench.demand_empty();
        }
    }
}

/// An origin, and two edges that know it and each other and are asked for its stream.
struct Triangle {
    nodes: [(&'static str, Bench); 3],
    pairs: Vec<Pair>,
    encoder: Encoder,
}

impl Triangle {
    /// `x` and `y` are the edges' origins, the preferred one first.
    fn playing(x: [&str; 2], y: [&str; 2]) -> Triangle {
        let edge = |name: &str, urls: [&str; 2]| {
            let mut config = config(vec![application("app", true)], vec![rule("/app/", &urls)]);
            config.name = name.to_owned();
            Bench::new(config)
        };
        let mut o = Bench::new(origin(true));
        let mut encoder = Encoder::new(&mut o, "stream");
        encoder.publish(&mut o, 1_500, 0);
        let mut nodes = [("o", o), ("x", edge("x", x)), ("y", edge("y", y))];
        nodes[1].1.get("/app/stream/llhls.m3u8");
        let mut triangle = Triangle { nodes, pairs: Vec::new(), encoder };
        triangle.go_on();
        triangle.nodes[2].1.get("/app/stream/llhls.m3u8");
        triangle.go_on();
        triangle
    }

    fn go_on(&mut self) {
        for _ in 0..10 {
            stay_connected(&mut self.nodes, &mut self.pairs);
            self.nodes.iter_mut().for_each(|(_, bench)| bench.run(JOINED_MS));
        }
    }

    /// Breaks the connection over which one of them pulls from the origin.
    fn cut(&mut self, from: usize) {
        let broken = |pair: &Pair| (pair.0, pair.2) == (from, 0);
        let at = self.pairs.iter().position(broken).expect("it pulls from the origin");
        let (_, conn, _, _) = self.pairs.remove(at);
        self.nodes[from].1.tell(Input::Closed { conn, reason: CloseReason::Eof });
    }

    /// The hosts that an edge has played from, one after the other.
    fn sources(&self, edge: usize) -> Vec<&str> {
        let played = self.nodes[edge].1.events.iter().filter_map(|event| match event {
            Event::PullPlaying { url, .. } => url.strip_prefix("ovt://")?.split(':').next(),
            _ => None,
        });
        played.collect()
    }
}

#[test]
fn an_edge_does_not_pull_from_one_that_pulls_from_it() {
    let mut triangle = Triangle::playing(["o:9000/app/", "y:9000/app/"], ["x:9000/app/", "o:9000/app/"]);
    assert_eq!((triangle.sources(1), triangle.sources(2)), (vec!["o"], vec!["x"]));
    triangle.cut(1);
    triangle.go_on();
    assert_eq!((triangle.sources(1), triangle.sources(2)), (vec!["o", "o"], vec!["x"]));
}

#[test]
fn two_edges_that_have_lost_their_origin_do_not_live_on_each_other() {
    let mut triangle = Triangle::playing(["o:9000/app/", "y:9000/app/"], ["o:9000/app/", "x:9000/app/"]);
    assert_eq!((triangle.sources(1), triangle.sources(2)), (vec!["o"], vec!["o"]));
    let conn = triangle.encoder.conn;
    triangle.nodes[0].1.tell(Input::Closed { conn, reason: CloseReason::Eof });
    triangle.cut(1);
    triangle.cut(2);
    triangle.go_on();
    assert_eq!((triangle.sources(1), triangle.sources(2)), (vec!["o"], vec!["o"]));
    // The encoder comes back.
    let o = &mut triangle.nodes[0].1;
    Encoder::new(o, "stream").publish(o, 1_500, 0);
    triangle.nodes[1..].iter_mut().for_each(|(_, bench)| bench.run(3_000));
    triangle.go_on();
    assert_eq!((triangle.sources(1), triangle.sources(2)), (vec!["o", "o"], vec!["o", "o"]));
}

#[test]
fn a_circle_that_renames_the_stream_ends_too() {
    let config = config(vec![application("app", true)], vec![rule("/app/", &["a:9000/app/x"])]);
    let mut nodes = [("a", Bench::new(config))];
    let asked = nodes[0].1.get("/app/stream/llhls.m3u8");
    connect(&mut nodes);
    assert_eq!(nodes[0].1.status(asked), Some(404));
    assert!(nodes[0].1.node.next_stream <= limits::OVT_VIA_MAX as u64);
}

#[test]
fn a_server_may_pull_from_an_application_of_its_own() {
    let applications = vec![application("app", true), application("edge", true)];
    let mut nodes = [("a", Bench::new(config(applications, vec![rule("/edge/", &["a:9000/app/"])])))];
    let mut encoder = Encoder::new(&mut nodes[0].1, "stream");
    encoder.publish(&mut nodes[0].1, 1_500, 0);
    let asked = nodes[0].1.get("/edge/stream/llhls.m3u8");
    connect(&mut nodes);
    nodes[0].1.run(JOINED_MS);
    assert_eq!(nodes[0].1.status(asked), Some(200));
}

#[test]
fn a_name_is_held_by_a_publisher_that_lives() {
    let mut bench = Bench::new(origin(true));
    let mut first = Encoder::new(&mut bench, "stream");
    first.publish(&mut bench, 1_500, 0);
    let second = Encoder::new(&mut bench, "stream");
    assert!(second.refusal().is_some_and(|why| why.contains("published already")), "{:?}", second.said);
    // The first one was not heard of: most likely its connection is dead, and this is the same encoder.
    bench.run(limits::PUBLISHER_DEAD_AFTER.as_millis() as u64 + 10);
    let third = Encoder::new(&mut bench, "stream");
    assert_eq!(third.said, [PublisherAction::Ready]);
    assert!(bench.is_closed(first.conn) && !bench.is_closed(third.conn));
}

#[test]
fn a_name_may_be_taken_over_if_the_configuration_says_so() {
    let mut bench = Bench::new(origin(false));
    let mut first = Encoder::new(&mut bench, "stream");
    first.publish(&mut bench, 1_500, 0);
    let edge = Edge::new(&mut bench, URL);
    let mut second = Encoder::new(&mut bench, "stream");
    first.talk(&mut bench);
    assert_eq!(first.refusal(), Some("another publisher took the name over"));
    let closed: Vec<ConnId> = bench.closed.iter().map(|(conn, _)| *conn).collect();
    assert_eq!(closed, [edge.conn, first.conn]);
    second.publish(&mut bench, 1_500, 0);
    assert!(Edge::new(&mut bench, URL).media() > 0);
}

#[test]
fn a_publisher_takes_the_name_of_a_pull_that_has_nothing() {
    let (mut bench, mut origins) = (Bench::new(edge()), BTreeMap::new());
    let asked = bench.get("/app/stream/llhls.m3u8");
    let encoder = Encoder::new(&mut bench, "stream");
    assert_eq!(encoder.said, [PublisherAction::Ready]);
    assert_eq!((bench.status(asked), bench.closed.len()), (Some(404), 1));
    // A pull that plays keeps it.
    bench.opened.clear();
    let mut edge = Edge::new(&mut bench, "ovt://edge:9000/app/other");
    bench.serve(&mut origins, plays);
    edge.talk(&mut bench);
    assert!(edge.media() > 0);
    let encoder = Encoder::new(&mut bench, "other");
    assert!(encoder.refusal().is_some_and(|why| why.contains("pulled from a")), "{:?}", encoder.said);
}

#[test]
fn a_publisher_whose_clock_starts_again_goes_on_at_its_next_key_frame() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 3_000, 60_000);
    let mut edge = Edge::new(&mut bench, URL);
    edge.said.clear();
    encoder.publish(&mut bench, 2_500, 0);
    edge.talk(&mut bench);
    assert!(edge.media() > 40, "{} packets", edge.media());
}

#[test]
fn a_stream_that_comes_back_has_other_numbers_also_after_a_restart() {
    let publish = |bench: &mut Bench| {
        let mut encoder = Encoder::new(bench, "stream");
        encoder.publish(bench, 2_500, 0);
        let next = bench.node.streams.values().find_map(|stream| stream.outputs()?.next_numbers());
        bench.tell(Input::Closed { conn: encoder.conn, reason: CloseReason::Reset });
        next.expect("there are segments").ll_hls
    };
    let mut bench = Bench::new(origin(true));
    let first = publish(&mut bench);
    let second = publish(&mut bench);
    let mut restarted = Bench { ms: bench.ms + 10_000, ..Bench::new(origin(true)) };
    let third = publish(&mut restarted);
    for (before, after) in [(first, second), (second, third)] {
        assert!(
            before.msn < after.msn && before.discontinuity < after.discontinuity,
            "{before:?}, {after:?}"
        );
    }
}

#[test]
fn a_stream_of_sound_alone_is_a_stream() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.skips = |tag| tag.kind != TagKind::Audio;
    let waiting = bench.get("/app/stream/llhls.m3u8");
    encoder.publish(&mut bench, 5_000, 0);
    assert_eq!(bench.status(waiting), Some(200));
    assert!(Edge::new(&mut bench, URL).media() > 10);
}

/// The same server with HLS of segments of 2 s, and with LL-HLS or without.
fn with_hls(mut config: Config, ll_hls: bool) -> Config {
    let hls = Hls { segment: Duration::from_secs(2), ..Hls::default() };
    for application in &mut config.vhosts[0].applications {
        application.publishers.hls = Some(hls.clone());
        application.publishers.llhls = ll_hls.then(LlHls::default);
    }
    config
}

impl Bench {
    /// What is at `path`, if it is there at once.
    fn fetch(&mut self, path: &str) -> (Option<u16>, String) {
        let id = self.get(path);
        (self.status(id), self.bodies.get(&id).cloned().unwrap_or_default())
    }

    /// The first line of a playlist that names a file.
    fn first_of(&mut self, path: &str) -> String {
        let (_, text) = self.fetch(path);
        text.lines().find(|line| !line.starts_with('#')).expect(path).to_owned()
    }
}

#[test]
fn players_of_hls_are_served_beside_those_of_ll_hls() {
    let mut bench = Bench::new(with_hls(origin(true), true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    let early = ["ts:playlist.m3u8", "ts:master.m3u8", "playlist.m3u8?format=ts", "llhls.m3u8"];
    let waiting = early.map(|file| bench.get(&format!("/app/stream/{file}")));
    encoder.publish(&mut bench, 7_000, 0);
    for (id, file) in waiting.into_iter().zip(early) {
        assert_eq!(bench.status(id), Some(200), "{file}");
    }
    let list = bench.first_of("/app/stream/ts:playlist.m3u8");
    let segment = bench.first_of(&format!("/app/stream/{list}"));
    assert!(segment.ends_with("_hls.ts"), "{segment}");
    assert_eq!(bench.fetch(&format!("/app/stream/{segment}")).0, Some(200));
    assert_eq!(bench.fetch("/app/stream/ts:absent.m3u8").0, Some(404));
    assert_eq!(bench.fetch("/app/stream/seg_1_2_hls.ts").0, Some(404));
    assert_eq!(bench.fetch("/app/stream/seg_1_x_hls.ts").0, Some(400));
    bench.run(limits::FROZEN_AFTER.as_millis() as u64 + 100);
    assert_eq!(bench.fetch(&format!("/app/stream/{list}")).0, Some(503), "what stands still is not live");
    assert_eq!(bench.fetch(&format!("/app/stream/{segment}")).0, Some(200));
    bench.tell(Input::Closed { conn: encoder.conn, reason: CloseReason::Reset });
    assert_eq!(bench.fetch(&format!("/app/stream/{list}")).0, Some(404));
    bench.demand_empty();
}

#[test]
fn l8_a_reload_is_held_for_three_target_durations() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 14_000, 0);
    let (_, master) = bench.fetch("/app/stream/llhls.m3u8");
    let list = master.lines().find(|line| line.starts_with('/')).unwrap();
    let (_, text) = bench.fetch(list);
    let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let open = first.unwrap().parse::<u64>().unwrap() + text.matches("#EXTINF").count() as u64;
    let reload = bench.get(&format!("{list}?_HLS_msn={open}"));
    bench.run(17_900);
    assert_eq!(bench.status(reload), None);
    bench.run(200);
    assert_eq!(bench.status(reload), Some(503));
}

#[test]
fn hls_alone_is_enough() {
    let mut bench = Bench::new(with_hls(origin(true), false));
    let mut encoder = Encoder::new(&mut bench, "stream");
    let waiting = bench.get("/app/stream/ts:playlist.m3u8");
    encoder.publish(&mut bench, 20_000, 0);
    assert_eq!(bench.status(waiting), Some(200));
    assert_eq!(bench.fetch("/app/stream/ts:playlist.m3u8").0, Some(200), "it does not stand still");
    assert_eq!(bench.fetch("/app/stream/llhls.m3u8").0, Some(404));
}

#[test]
fn an_edge_serves_hls_of_what_it_pulls() {
    let edge = config(vec![application("app", true)], vec![rule("/app/", &["a:9000/app/"])]);
    let origin = Config { name: "a".to_owned(), ..origin(true) };
    let mut nodes = [("a", Bench::new(origin)), ("edge", Bench::new(with_hls(edge, false)))];
    let mut encoder = Encoder::new(&mut nodes[0].1, "stream");
    encoder.publish(&mut nodes[0].1, 2_000, 0);
    assert_eq!(
        nodes[1].1.fetch("/app/stream/seg_1_2_hls.ts").0,
        Some(404),
        "nothing is pulled for a segment"
    );
    let waiting = nodes[1].1.get("/app/stream/ts:playlist.m3u8");
    for half_seconds in 4..16 {
        connect(&mut nodes);
        encoder.publish(&mut nodes[0].1, 500, half_seconds * 500);
        nodes[1].1.run(500);
        connect(&mut nodes);
    }
    let bench = &mut nodes[1].1;
    assert_eq!(bench.status(waiting), Some(200));
    let list = bench.first_of("/app/stream/ts:playlist.m3u8");
    let segment = bench.first_of(&format!("/app/stream/{list}"));
    assert_eq!(bench.fetch(&format!("/app/stream/{segment}")).0, Some(200));
}

#[test]
fn where_no_hls_is_published_nothing_is_kept_for_it() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 5_000, 0);
    let names = ["ts:playlist.m3u8", "playlist.m3u8?format=ts", "medialist_1_hls.m3u8", "seg_1_2_hls.ts"];
    assert_eq!(names.map(|name| bench.fetch(&format!("/app/stream/{name}")).0), [Some(404); 4]);
    let plain = bench.node.census().window_bytes;
    let mut both = Bench::new(with_hls(origin(true), true));
    let mut encoder = Encoder::new(&mut both, "stream");
    encoder.publish(&mut both, 5_000, 0);
    assert!(both.node.census().window_bytes > plain * 3 / 2);
}

#[test]
fn pictures_without_a_key_frame_are_no_stream() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.skips = |tag| tag.kind == TagKind::Video && tag.body[..2] == [0x17, 1];
    let waiting = bench.get("/app/stream/llhls.m3u8");
    let mut held = Edge::new(&mut bench, URL);
    encoder.publish(&mut bench, 12_000, 0);
    held.talk(&mut bench);
    assert_eq!((bench.status(waiting), held.refusal()), (Some(503), Some(202)));
    assert!(!bench.is_closed(encoder.conn));
    encoder.publish(&mut bench, 20_000, 12_000);
    assert!(encoder.refusal().is_some_and(|why| why.contains("key frame")), "{:?}", encoder.said);
    bench.demand_empty();
}

#[test]
fn clients_of_a_stream_that_becomes_another_ask_again() {
    let (mut bench, mut origins) = (Bench::new(edge()), BTreeMap::new());
    let mut edge = Edge::new(&mut bench, URL);
    bench.serve(&mut origins, plays);
    edge.talk(&mut bench);
    assert!(edge.media() > 0);
    let lose = |bench: &mut Bench, origins: &mut BTreeMap<ConnId, Origin>| {
        let conn = *origins.keys().next().expect("the active origin");
        origins.remove(&conn);
        bench.tell(Input::Closed { conn, reason: CloseReason::Reset });
    };
    // The same stream from elsewhere: they notice nothing.
    bench.run(3_000);
    lose(&mut bench, &mut origins);
    bench.serve(&mut origins, plays);
    edge.talk(&mut bench);
    assert!(!bench.is_closed(edge.conn));
    // Another numbering of the tracks: what they were told is wrong, and so is the past.
    bench.run(3_000);
    lose(&mut bench, &mut origins);
    bench.serve(&mut origins, |host| Some((Manner::Plays, stream(host, vec![video(5)]))));
    bench.run(200);
    assert!(bench.is_closed(edge.conn));
    let again = Edge::new(&mut bench, URL);
    let tracks: BTreeSet<u32> = again
        .said
        .iter()
        .filter_map(|said| match said {
            ClientEvent::Media(packet) => Some(packet.track.0),
            _ => None,
        })
        .collect();
    assert_eq!(tracks, BTreeSet::from([5]));
}

#[test]
fn a_stream_that_stands_still_is_not_offered_to_edges() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 1_500, 0);
    assert!(Edge::new(&mut bench, URL).media() > 0);
    bench.run(limits::FROZEN_AFTER.as_millis() as u64 + 100);
    assert_eq!(Edge::new(&mut bench, URL).refusal(), Some(202));
    encoder.publish(&mut bench, 1_500, 10_000);
    assert!(Edge::new(&mut bench, URL).media() > 0);
}

/// What may happen to a node, in any order.
#[derive(Clone, Debug)]
enum Chance {
    Accept(Service),
    Bytes(usize, Vec<u8>),
    Describe(usize, u8),
    Play(usize, u8),
    Lose(usize),
    /// An origin answers, in some manner, or refuses.
    Serve(Option<Manner>),
    Get(u8, bool),
    Gone(u64),
    Publish(u8),
    Wait(u64),
}

fn chance() -> impl Strategy<Value = Chance> {
    let manner = prop::sample::select(vec![
        Manner::Plays,
        Manner::Lacks,
        Manner::Starts,
        Manner::IsSilent,
        Manner::DescribesOnly,
        Manner::Hurries,
    ]);
    prop_oneof![
        prop::sample::select(vec![Service::Rtmp, Service::Ovt, Service::Http]).prop_map(Chance::Accept),
        (0usize..20, any::<Vec<u8>>()).prop_map(|(at, bytes)| Chance::Bytes(at, bytes)),
        (0usize..20, 0u8..4).prop_map(|(at, name)| Chance::Describe(at, name)),
        (0usize..20, 0u8..4).prop_map(|(at, name)| Chance::Play(at, name)),
        (0usize..40).prop_map(Chance::Lose),
        prop::option::of(manner).prop_map(Chance::Serve),
        (0u8..4, any::<bool>()).prop_map(|(name, init)| Chance::Get(name, init)),
        (0u64..20).prop_map(Chance::Gone),
        (0u8..4).prop_map(Chance::Publish),
        (0u64..8_000).prop_map(Chance::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order: nothing is answered or closed twice, and after the shutdown nothing is
    /// left.
    #[test]
    fn whatever_happens_it_ends(chances in prop::collection::vec(chance(), 1..60), standby in 0usize..3) {
        use crate::wire::ovt::{Application, message};
        let (mut bench, mut origins) = (Bench::new(with_standby(edge(), standby)), BTreeMap::new());
        let mut id = 0;
        let mut asks = |what, name| {
            id += 1;
            let url = format!("ovt://edge:9000/app/s{name}");
            message::request(what, id, &url, message::Extension::default(), at(0).wall)
        };
        for chance in chances {
            let conn = |n: usize| ConnId(n as u64 * 2 + 1);
            match chance {
                Chance::Accept(service) => drop(bench.accept(service)),
                Chance::Bytes(n, bytes) => bench.send(conn(n), bytes),
                Chance::Describe(n, name) => bench.send(conn(n), asks(Application::Describe, name)),
                Chance::Play(n, name) => bench.send(conn(n), asks(Application::Play, name)),
                Chance::Lose(n) => {
                    origins.remove(&ConnId(n as u64));
                    bench.tell(Input::Closed { conn: ConnId(n as u64), reason: CloseReason::Reset });
                }
                Chance::Serve(manner) => bench.serve(&mut origins, |host| {
                    Some((manner?, stream(host, vec![video(u32::from(host == "b"))])))
                }),
                Chance::Get(name, init) => {
                    let file = if init { "init_0_video_x_llhls.m4s" } else { "llhls.m3u8" };
                    bench.get(&format!("/app/s{name}/{file}"));
                }
                Chance::Gone(id) => bench.tell(Input::RequestGone { id: RequestId(id) }),
                Chance::Publish(name) => {
                    let mut encoder = Encoder::new(&mut bench, &format!("s{name}"));
                    encoder.publish(&mut bench, 1_200, 0);
                }
                Chance::Wait(ms) => bench.run(ms),
            }
        }
        bench.tell(Input::Command(Command::Shutdown));
        bench.demand_empty();
        let each: BTreeSet<ConnId> = bench.closed.iter().map(|(conn, _)| *conn).collect();
        prop_assert_eq!(each.len(), bench.closed.len(), "each is closed once");
    }
}

// The directory of streams.

/// The same, with a directory of streams that is outside.
fn with_store(mut config: Config) -> Config {
    let redis = RedisServer::from(RedisServers::Single(Endpoint { host: "redis".to_owned(), port: 6379 }));
    config.vhosts[0].store = Some(OriginMapStore {
        place: StorePlace::Redis(redis),
        origin_host: Some("me".to_owned()),
        plain_keys: true,
    });
    config.listeners.ovt = Some(9000);
    config
}

impl Bench {
    /// The store does what it is asked.
    fn obey(&mut self, store: &mut Embedded) {
        while !self.commands.is_empty() {
            for (ask, _, command) in core::mem::take(&mut self.commands) {
                let answer = store.execute(1_000_000 + self.ms, &command);
                self.tell(Input::Registry { ask, answer: Ok(answer) });
            }
        }
    }

    /// The store is not there.
    fn fail(&mut self) {
        for (ask, ..) in core::mem::take(&mut self.commands) {
            let away = Failure::Away("refused".to_owned());
            self.tell(Input::Registry { ask, answer: Err(away) });
        }
    }
}

#[test]
fn what_is_published_is_announced_until_it_ends() {
    let mut bench = Bench::new(with_store(origin(true)));
    let mut store = Embedded::default();
    let mut encoder = Encoder::new(&mut bench, "s");
    bench.obey(&mut store);
    assert_eq!(store.entry(1_000_000, "app/s"), None, "not before it can be played");
    encoder.publish(&mut bench, 1_000, 0);
    bench.obey(&mut store);
    let entry = store.entry(1_000_000 + bench.ms, "app/s").expect("an entry");
    assert_eq!(entry.url, "ovt://me:9000/app/s");
    bench.tell(Input::Closed { conn: encoder.conn, reason: CloseReason::Eof });
    bench.obey(&mut store);
    assert!(store.is_empty(), "{store:?}");
    bench.run(10_000);
    bench.demand_empty();
}

#[test]
fn a_stream_that_no_rule_leads_to_is_pulled_from_its_owner() {
    let mut bench = Bench::new(with_store(config(vec![application("app", true)], Vec::new())));
    bench.run(5_000);
    let (mut store, owner) = (Embedded::default(), LeaseId(1));
    let streams =
        vec![Claim { name: "app/s".to_owned(), url: "ovt://a:9000/app/s".to_owned(), floor: 0, dead: None }];
    store.execute(1_000_000, &StoreCommand::Claim { by: owner, streams });
    let viewers: Vec<RequestId> = (0..100).map(|_| bench.get("/app/s/llhls.m3u8")).collect();
    assert_eq!(bench.commands.len(), 1, "one question, for however many");
    bench.obey(&mut store);
    assert_eq!(bench.opened.len(), 1);
    let mut origins = BTreeMap::new();
    bench.serve(&mut origins, |_| Some((Manner::Plays, stream("a", vec![video(0)]))));
    let playing = bench.events.iter().filter(|event| matches!(event, Event::PullPlaying { .. }));
    assert_eq!(playing.count(), 1);
    let absent = bench.get("/app/absent/llhls.m3u8");
    bench.obey(&mut store);
    assert_eq!(bench.status(absent), Some(404));
    let polled: Vec<RequestId> = (0..100).map(|_| bench.get("/app/absent/llhls.m3u8")).collect();
    assert!(bench.commands.is_empty(), "what is absent is asked for once a second");
    assert!(polled.iter().all(|viewer| bench.status(*viewer) == Some(404)));
    for _ in 0..80 {
        bench.run(1_000);
        bench.obey(&mut store);
        bench.serve(&mut origins, |_| Some((Manner::Plays, stream("a", vec![video(0)]))));
    }
    assert!(viewers.iter().all(|viewer| bench.status(*viewer).is_some()));
    bench.demand_empty();
}

#[test]
fn a_viewer_is_answered_also_when_the_directory_is_not() {
    let mut bench = Bench::new(with_store(config(vec![application("app", true)], Vec::new())));
    let first = bench.get("/app/s/llhls.m3u8");
    bench.fail();
    assert_eq!(bench.status(first), Some(502));
    // From now on it is known, and nobody waits for the store.
    let second = bench.get("/app/t/llhls.m3u8");
    assert_eq!(bench.status(second), Some(502));
    let silent = bench.get("/app/u/llhls.m3u8");
    bench.run(20_000);
    assert!(bench.status(silent).is_some(), "a store that never answers is not waited for");
    bench.fail();
    bench.run(10_000);
    bench.demand_empty();
}

#[test]
fn a_server_with_an_embedded_store_finds_its_own_streams_and_nothing_else() {
    let mut config = with_store(origin(true));
    if let Some(store) = &mut config.vhosts[0].store {
        store.place = StorePlace::Embedded;
    }
    let mut bench = Bench::new(config);
    let mut encoder = Encoder::new(&mut bench, "s");
    encoder.publish(&mut bench, 1_000, 0);
    assert!(bench.events.iter().any(|event| matches!(event, Event::StreamAnnounced { .. })));
    let absent = bench.get("/app/absent/llhls.m3u8");
    assert_eq!(bench.status(absent), Some(404));
    bench.tell(Input::Closed { conn: encoder.conn, reason: CloseReason::Eof });
    bench.run(10_000);
    bench.demand_empty();
}

// What operators and load balancers ask.

/// A server with an API whose token is `secret`.
fn with_api(mut config: Config) -> Config {
    config.api = Some(Api { token: Secret::new("secret"), tls: None });
    config
}

impl Bench {
    /// Asks the API, with this token; the status, and the answer as text.
    fn manage(&mut self, path: &str, token: Option<&str>) -> (u16, String) {
        self.manage_by(http::Method::GET, path, token)
    }

    /// The same with another method.
    fn manage_by(&mut self, method: http::Method, path: &str, token: Option<&str>) -> (u16, String) {
        self.asked += 1;
        let id = RequestId(self.asked);
        let mut request = http::Request::builder().method(method).uri(path).header("host", "edge");
        if let Some(token) = token {
            request = request.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(token)));
        }
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let request = request.body(()).expect("a request");
        self.tell(Input::Request { id, service: Service::Api, peer, request });
        (self.status(id).expect("at once"), self.bodies.remove(&id).unwrap_or_default())
    }
}

#[test]
fn the_api_wants_its_token_and_health_does_not() {
    let mut bench = Bench::new(with_api(edge()));
    for token in [None, Some(""), Some("secre"), Some("secret2"), Some("Secret")] {
        let (status, body) = bench.manage("/api/v1/routes", token);
        assert!(status == 401 && !body.contains("secret"), "{token:?}: {status} {body}");
    }
    assert_eq!(bench.manage("/api/v1/routes", Some("secret")).0, 200);
    assert_eq!(bench.manage("/api/v2/routes", Some("secret")).0, 404);
    assert_eq!(bench.manage("/healthz", None).0, 200);
    let (asked, on_the_viewers_port) = (bench.get("/readyz"), bench.get("/api/v1/routes"));
    assert_eq!((bench.status(asked), bench.status(on_the_viewers_port)), (Some(200), Some(404)));
    bench.tell(Input::Command(Command::Shutdown));
    assert_eq!((bench.manage("/healthz", None).0, bench.manage("/readyz", None).0), (200, 503));
    let mut bench = Bench::new(edge());
    assert_eq!(bench.manage("/api/v1/routes", Some("")).0, 404, "no token, no API");
}

#[test]
fn a_server_whose_directory_is_away_is_ready_and_says_what_is_degraded() {
    let mut bench = Bench::new(with_store(config(vec![application("app", true)], Vec::new())));
    let (status, body) = bench.manage("/readyz", None);
    assert!(status == 200 && body.contains("\"degraded\": []"), "{body}");
    assert!(bench.commands.is_empty(), "the store is not asked for that");
    bench.get("/app/s/llhls.m3u8");
    bench.fail();
    let (status, body) = bench.manage("/readyz", None);
    assert!(status == 200 && body.contains("directory of virtual host default is away"), "{body}");
}

#[test]
fn why_tells_the_chain_of_decisions() {
    let mut bench = Bench::new(with_api(with_store(edge())));
    let why = |bench: &mut Bench, url: &str| bench.manage(&format!("/api/v1/why?url={url}"), Some("secret"));
    let (status, body) = why(&mut bench, "http%3A%2F%2Fedge%2Fother%2Fs");
    assert!(status == 200 && body.contains("404: there is no such application"), "{body}");
    let (_, body) = why(&mut bench, "http://edge/app/s");
    assert!(body.contains("ovt://a:9000/app/s, then ovt://b:9000/app/s"), "{body}");
    assert!(body.contains("it would be pulled as its origin rule says"), "{body}");
    bench.get("/app/s/llhls.m3u8");
    let mut origins = BTreeMap::new();
    bench.serve(&mut origins, |_| None);
    bench.fail();
    let (_, body) = why(&mut bench, "http://edge/app/s");
    assert!(body.contains("asked ovt://a:9000/app/s") && body.contains("the origin refused"), "{body}");
    assert!(body.contains("it is away now"), "{body}");
    for wrong in ["", "?url=", "?url=nonsense", "?url=%ff", "?other=1"] {
        let (status, body) = bench.manage(&format!("/api/v1/why{wrong}"), Some("secret"));
        assert!(status == 400 && body.contains("error"), "{wrong}: {status} {body}");
    }
}

#[test]
fn servers_agree_on_where_an_encoders_time_zero_lies() {
    let mut config = with_api(with_store(origin(true)));
    let rtmp = config.vhosts[0].applications[0].providers.rtmp.as_mut().expect("RTMP");
    rtmp.timestamps = TimestampMode::SystemClock;
    let mut bench = Bench::new(config);
    let mut store = Embedded::default();
    let wall_ms = at(0).wall.as_millis();
    let elsewhere = |ms| StoreCommand::Agree(vec![Zero { name: "app/s".to_owned(), ms, keeps: false }]);
    // Another server has put it where its own clock said.
    store.execute(1_000_000, &elsewhere(wall_ms + 2_000));
    let mut encoder = Encoder::new(&mut bench, "s");
    encoder.publish(&mut bench, 1_100, 0);
    bench.obey(&mut store);
    encoder.publish(&mut bench, 12_000, 1_100);
    bench.obey(&mut store);
    let told = |bench: &Bench| {
        let shared = bench.events.iter().filter_map(|event| match event {
            Event::StreamShared { doubt, .. } => Some(doubt.clone()),
            _ => None,
        });
        shared.collect::<Vec<_>>()
    };
    assert_eq!(told(&bench), [None], "{:?}", bench.events);
    let first = bench.events.iter().find_map(|event| match event {
        Event::PartReady { msn, .. } => Some(*msn),
        _ => None,
    });
    // The encoder began at 0 s of the clock here, 2 s of the others'; the next line of the grid of 6 s is at 4 s.
    let six_seconds = 6_000;
    assert_eq!(first, u64::try_from((wall_ms + 2_000) / six_seconds + 2).ok());
    let (status, body) = bench.manage("/api/v1/streams", Some("secret"));
    assert!(status == 200 && body.contains("\"interchangeable\": true"), "{body}");

    // Others take another one for it.
    store.execute(1_010_000, &elsewhere(wall_ms + 60_000));
    encoder.publish(&mut bench, 10_000, 13_100);
    bench.obey(&mut store);
    encoder.publish(&mut bench, 14_000, 23_100);
    bench.obey(&mut store);
    let told = told(&bench);
    assert!(matches!(&told[..], [None, Some(why)] if why.contains("NTP")), "{told:?}");
    let (_, body) = bench.manage("/api/v1/streams", Some("secret"));
    assert!(body.contains("\"interchangeable\": false") && body.contains("NTP"), "{body}");
}

// --- Answers for caches ---

/// The URLs in a playlist, relative to its own.
fn urls(playlist: &str) -> Vec<String> {
    let of_line = |line: &str| match line.split_once("URI=\"") {
        Some((_, rest)) => rest.split_once('"').map(|(url, _)| url.to_owned()),
        None => (!line.starts_with('#') && !line.is_empty()).then(|| line.to_owned()),
    };
    let absolute = |url: String| if url.starts_with('/') { url } else { format!("/app/stream/{url}") };
    playlist.lines().filter_map(of_line).map(absolute).collect()
}

#[test]
fn two_servers_give_one_thing_one_name_and_who_has_it_is_told_so() {
    let mut tags = Vec::new();
    for _ in 0..2 {
        let mut bench = Bench::new(origin(true));
        Encoder::new(&mut bench, "stream").publish(&mut bench, 20_000, 0);
        let master = bench.get("/app/stream/llhls.m3u8");
        let chunklist = urls(&bench.bodies[&master])[0].clone();
        let chunklist = bench.get(&chunklist);
        let mut files = urls(&bench.bodies[&chunklist]);
        // The last one is the part that is announced, before the report on the other track.
        files.retain(|url| url.contains("/seg_") || url.contains("/init_"));
        assert!(files.len() > 2, "{files:?}");
        let mut seen = vec![bench.header(master, "etag").unwrap().to_owned()];
        for url in files {
            let first = bench.get(&url);
            assert_eq!(bench.status(first), Some(200), "{url}");
            let tag = bench.header(first, "etag").unwrap().to_owned();
            let again = bench.get_with(&url, &[("if-none-match", &tag)]);
            assert_eq!((bench.status(again), bench.bodies[&again].as_str()), (Some(304), ""), "{url}");
            let part = bench.get_with(&url, &[("range", "bytes=4-7")]);
            assert_eq!(bench.status(part), Some(206));
            assert_eq!(bench.bodies[&part].len(), 4, "a box's type");
            seen.push(tag);
        }
        tags.push(seen);
    }
    assert_eq!(tags[0], tags[1]);
    let mut names = tags[0].clone();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), tags[0].len(), "other bytes have other names");
}

#[test]
fn errors_are_kept_for_a_moment_or_not_at_all() {
    let mut bench = Bench::new(origin(true));
    let absent = bench.get("/app/stream/llhls.m3u8");
    assert_eq!((bench.status(absent), bench.header(absent, "cache-control")), (Some(404), Some("max-age=1")));
    Encoder::new(&mut bench, "stream").publish(&mut bench, 8_000, 0);
    bench.run(60_000);
    let frozen = bench.get("/app/stream/llhls.m3u8");
    assert_eq!(bench.status(frozen), Some(503));
    assert_eq!(bench.header(frozen, "cache-control"), Some("no-store"));
    assert_eq!(bench.header(frozen, "retry-after"), Some("1"));
}

#[test]
fn without_origin_mode_a_viewer_has_a_session_in_every_url() {
    let mut config = origin(true);
    let llhls = config.vhosts[0].applications[0].publishers.llhls.as_mut().unwrap();
    llhls.origin_mode = false;
    let mut bench = Bench::new(config);
    Encoder::new(&mut bench, "stream").publish(&mut bench, 20_000, 0);
    let (one, two) = (bench.get("/app/stream/llhls.m3u8"), bench.get("/app/stream/llhls.m3u8"));
    assert_ne!(bench.bodies[&one], bench.bodies[&two], "each has their own");
    assert_eq!(bench.header(one, "cache-control"), Some("no-store"));
    let chunklist = urls(&bench.bodies[&one])[0].clone();
    let (bare, query) = chunklist.split_once("?session=").expect("a session");
    let (id, key) = query.split_once('_').expect("two words");
    assert_eq!((id, key.len()), ("1", 8));

    for wrong in [bare.to_owned(), format!("{bare}?session=x"), format!("{bare}?session=_")] {
        let refused = bench.get(&wrong);
        assert_eq!(
            (bench.status(refused), bench.header(refused, "cache-control")),
            (Some(401), Some("no-store"))
        );
    }
    let media = bench.get(&chunklist);
    assert_eq!(bench.status(media), Some(200));
    let all = urls(&bench.bodies[&media]);
    assert!(all.len() > 5 && all.iter().all(|url| url.ends_with(&format!("?session={query}"))), "{all:?}");
    let segment = all.iter().find(|url| url.contains("/seg_")).unwrap();
    let (bare, _) = segment.split_once('?').unwrap();
    let (with, without) = (bench.get(segment), bench.get(bare));
    assert_eq!((bench.status(with), bench.status(without)), (Some(200), Some(401)));

    let zipped = bench.get_with(&chunklist, &[("accept-encoding", "gzip")]);
    assert_eq!(bench.header(zipped, "content-encoding"), Some("gzip"));
    let tag = bench.header(zipped, "etag").unwrap().to_owned();
    let again = bench.get_with(&chunklist, &[("accept-encoding", "gzip"), ("if-none-match", &tag)]);
    assert_eq!(bench.status(again), Some(304));
}
