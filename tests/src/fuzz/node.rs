//! A whole node, origin and edge at once, in a world where anything may happen at any time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_core::config::Config;
use headwater_core::event::Event;
use headwater_core::io::{CloseReason, Command, ConnId, Input, Machine, Output, RequestId, Service};
use headwater_core::node::Node;
use headwater_core::time::{Now, Time, Wall};
use headwater_core::wire::flv::Tag;
use headwater_core::wire::ovt::{Client, ClientEvent, MediaPacket, Server, ServerEvent};
use headwater_core::wire::rtmp::{Publisher, PublisherAction};
use http::{Method, StatusCode};

use super::script::Script;
use super::{config, sample};

/// Any sequence of inputs into a node: encoders, edges, origins and viewers that do their part, that break off, that
/// talk nonsense; connections nobody has heard of; time that passes in steps or in leaps.
///
/// The node writes to connections that are open and closes each once; dials under new even numbers; answers every
/// request at most once, and at the end all of them; says nothing to an honest peer that this one does not understand.
/// One input makes a bounded number of outputs. A deadline that was met is not due again at once. The same inputs make
/// the same outputs.
pub fn node(data: &[u8]) {
    assert_eq!(World::run(data), World::run(data), "the same inputs make the same outputs");
}

/// Scripts of a life that goes well, in several orders, and of noise.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let publish: &[u8] = &[ENCODER, 0, SETTLE, MEDIA, 0, 60, SETTLE];
    let watch: &[u8] = &[
        REQUEST, 0, 0, 0, REQUEST, 0, 1, 0, REQUEST, 0, 2, 0, TIME, 3, MEDIA, 0, 30, SETTLE, REQUEST, 0, 5, 0,
    ];
    let relay: &[u8] = &[EDGE, 0, SETTLE, MEDIA, 0, 20, SETTLE, SENT, 0, 200];
    let pull: &[u8] =
        &[REQUEST, 2, 0, 0, OPENED, 0, SETTLE, MEDIA, 0, 60, SETTLE, TIME, 4, MEDIA, 0, 60, SETTLE];
    let pull_for_edge: &[u8] =
        &[EDGE, 2, SETTLE, OPENED, 1, SETTLE, MEDIA, 1, 60, SETTLE, MEDIA, 1, 30, SETTLE];
    let lose: &[u8] = &[CLOSED, 1, 0, TIME, 5, OPENED, 2, SETTLE, MEDIA, 2, 60, SETTLE, TIME, 9];
    let noise: &[u8] = &[NOISE, 0, 1, RAW, 0, 12, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, GONE, 0, TIME, 8];
    let calm: Vec<&[u8]> = vec![publish, watch, relay, pull, watch, pull_for_edge, lose, pull, noise];
    let mut seeds = vec![[&[0][..], publish, watch, relay].concat(), [&[1][..], pull, watch, lose].concat()];
    seeds.push([&[2][..], pull, pull_for_edge, watch, lose, &[RARE, 0]].concat());
    seeds.push([&[3][..], publish, pull, &calm.concat()].concat());
    for start in 0..4u16 {
        seeds.push((0..900u16).map(|n| (n.wrapping_mul(157).wrapping_add(start * 71) >> 2) as u8).collect());
    }
    seeds
}

// What can happen: the first byte of each step, modulo `STEPS`.
const TIME: u8 = 0;
const ENCODER: u8 = 1;
const EDGE: u8 = 2;
const NOISE: u8 = 3;
const REQUEST: u8 = 4;
const GONE: u8 = 5;
const CLOSED: u8 = 6;
const OPENED: u8 = 7;
const SETTLE: u8 = 8;
const MEDIA: u8 = 9;
const DELIVER: u8 = 10;
const SENT: u8 = 11;
const RAW: u8 = 12;
const RARE: u8 = 13;
const STEPS: u8 = 14;

/// The most that happens in one script.
const STEPS_MAX: usize = 300;
/// The most that one input may make.
const OUTPUTS_MAX: usize = 20_000;
/// Connections at one time.
const CONNS_MAX: usize = 24;

const SERVER: &str = r#"<Server version="10"><Name>node</Name><Type>origin</Type><IP>*</IP>
<Bind><Providers><RTMP><Port>1935</Port></RTMP></Providers>
<Publishers><OVT><Port>9000</Port></OVT><LLHLS><Port>3333</Port></LLHLS></Publishers></Bind>
<VirtualHosts><VirtualHost><Name>default</Name><Host><Names><Name>*</Name></Names></Host>
<Origins><Properties><NoInputFailoverTimeout>1500</NoInputFailoverTimeout>
<UnusedStreamDeletionTimeout>UNUSED</UnusedStreamDeletionTimeout>
<StreamFailbackTimeout>1000</StreamFailbackTimeout><RetryCount>RETRY</RetryCount></Properties>
<Origin><Location>/remote/</Location><Pass><Scheme>ovt</Scheme>
<Urls><Url>a:9000/live/</Url><Url>b:9000/live/</Url></Urls></Pass><Failback>true</Failback></Origin>
<Origin><Location>/kept/</Location><Pass><Scheme>ovt</Scheme>
<Urls><Url>a:9000/live/</Url></Urls></Pass><Persistent>true</Persistent></Origin></Origins>
<Applications>
<Application><Name>live</Name><Type>live</Type>
<Providers><RTMP><BlockDuplicateStreamName>true</BlockDuplicateStreamName></RTMP></Providers>
<Publishers><OVT/><LLHLS><ChunkDuration>0.2</ChunkDuration><SegmentDuration>1</SegmentDuration>
<SegmentCount>3</SegmentCount><CrossDomains><Url>*</Url></CrossDomains></LLHLS></Publishers></Application>
<Application><Name>open</Name><Type>live</Type>
<Providers><RTMP><BlockDuplicateStreamName>false</BlockDuplicateStreamName>
<PacketSilenceTimeoutMs>3000</PacketSilenceTimeoutMs></RTMP><OVT/></Providers>
<Publishers><OVT/><LLHLS/></Publishers></Application>
<Application><Name>*</Name><Type>live</Type><Providers><OVT/></Providers>
<Publishers><OVT/><LLHLS><ChunkDuration>0.2</ChunkDuration><SegmentDuration>1</SegmentDuration>
<SegmentCount>3</SegmentCount></LLHLS></Publishers></Application>
</Applications></VirtualHost></VirtualHosts></Server>"#;

fn configs() -> &'static [Config; 2] {
    static CONFIGS: OnceLock<[Config; 2]> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        [("3000", "1"), ("0", "0")]
            .map(|(unused, retry)| config::config(&SERVER.replace("UNUSED", unused).replace("RETRY", retry)))
    })
}

fn media() -> &'static (Vec<Tag>, sample::Stream) {
    static MEDIA: OnceLock<(Vec<Tag>, sample::Stream)> = OnceLock::new();
    MEDIA.get_or_init(|| (sample::tags_of(sample::AVC_AAC), sample::stream(sample::AVC_AAC)))
}

/// The other end of a connection.
enum Peer {
    Edge(Client),
    Encoder { publisher: Publisher, next: usize },
    Noise,
    Origin { server: Server, next: usize, sequence: u16, playing: bool },
}

/// A connection.
struct Conn {
    peer: Peer,
    /// Whether bytes can be exchanged.
    open: bool,
    /// Whether bytes of the script were mixed into what the peer says.
    tampered: bool,
    /// What the peer has said and the node has not heard yet.
    pending: BytesMut,
    /// What the node wrote and has not heard about.
    unsent: usize,
}

/// All that a node knows of.
struct World {
    node: Node,
    now: Now,
    conns: BTreeMap<ConnId, Conn>,
    next_accepted: u64,
    last_dialled: u64,
    /// Requests that are not answered.
    waiting: Vec<RequestId>,
    next_request: u64,
    said: DefaultHasher,
    /// What was reached, for the seeds to be worth their place.
    marks: Marks,
}

/// How often the good things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    files: u32,
    published: u32,
    pulled: u32,
    relayed: u32,
    media_at_edges: u32,
}

impl World {
    /// Plays a script, and gives a number for all that the node said.
    fn run(data: &[u8]) -> (u64, Marks) {
        let mut script = Script::new(data);
        let head = script.byte();
        let now = Now { mono: Time::from_micros(1), wall: Wall::from_micros(1_800_000_000_000_000) };
        let mut world = World {
            node: Node::new(configs()[usize::from(head >> 1 & 1)].clone(), 7, now),
            now,
            conns: BTreeMap::new(),
            next_accepted: 1,
            last_dialled: 0,
            waiting: Vec::new(),
            next_request: 0,
            said: DefaultHasher::new(),
            marks: Marks::default(),
        };
        for _ in 0..STEPS_MAX {
            if script.is_over() {
                break;
            }
            world.step(&mut script);
        }
        if head & 1 == 0 {
            world.shut_down()
        } else {
            world.leave_alone()
        }
        (world.said.finish(), world.marks)
    }

    fn step(&mut self, script: &mut Script) {
        match script.byte() % STEPS {
            TIME => self.pass_time(script),
            ENCODER => {
                let (tc_url, app) = *script.pick(&[
                    ("rtmp://host/live", "live"),
                    ("rtmp://host:1935/open", "open"),
                    ("rtmp://host/remote", "remote"),
                    ("", ""),
                ]);
                let publisher = Publisher::new(tc_url, app, "stream");
                self.accept(Service::Rtmp, Peer::Encoder { publisher, next: 0 });
            }
            EDGE => {
                let app = *script.pick(&["live", "open", "remote", "kept", "remote/other", "x"]);
                let mut client = Client::new(format!("ovt://host:9000/{app}/stream?a=b"), 1, Some(4_000));
                client.start(self.now.wall);
                self.accept(Service::Ovt, Peer::Edge(client));
            }
            NOISE => {
                let service = *script.pick(&[Service::Rtmp, Service::Ovt, Service::Http]);
                self.accept(service, Peer::Noise);
            }
            REQUEST => self.request(script),
            GONE => {
                if !self.waiting.is_empty() {
                    let id = self.waiting.swap_remove(script.below(self.waiting.len().min(256)));
                    self.input(Input::RequestGone { id });
                }
            }
            CLOSED => self.close(script),
            OPENED => {
                let dialled: Vec<ConnId> =
                    self.conns.iter().filter(|(_, conn)| !conn.open).map(|(id, _)| *id).collect();
                if !dialled.is_empty() {
                    let conn = *script.pick(&dialled);
                    self.conns.get_mut(&conn).expect("it is among them").open = true;
                    self.input(Input::Opened { conn });
                }
            }
            SETTLE => self.settle(),
            MEDIA => self.media(script),
            DELIVER => {
                let bytes = 1 << script.below(14);
                self.any_conn(script).into_iter().for_each(|conn| self.deliver(conn, bytes));
            }
            SENT => {
                let (conn, part) = (self.any_conn(script), script.byte());
                if let Some((id, conn)) = conn.and_then(|id| Some((id, self.conns.get_mut(&id)?))) {
                    let bytes = conn.unsent * usize::from(part) / 200;
                    conn.unsent = conn.unsent.saturating_sub(bytes);
                    self.input(Input::Sent { conn: id, bytes });
                }
            }
            RAW => self.tamper(script),
            _ => self.rare(script),
        }
    }

    fn pass_time(&mut self, script: &mut Script) {
        const PAUSES_MS: [u64; 14] =
            [0, 1, 10, 40, 200, 500, 1_000, 1_600, 5_000, 11_000, 31_000, 61_000, 0, 100];
        let code = script.byte();
        let until = self.now.mono + Duration::from_millis(PAUSES_MS[usize::from(code) % PAUSES_MS.len()]);
        if code < 128 {
            self.meet_deadlines(until);
        }
        self.set_clock(until);
        self.timeout();
    }

    /// Lets time pass as a driver does: to each deadline and then to the end.
    fn meet_deadlines(&mut self, until: Time) {
        for _ in 0..10_000 {
            let Some(deadline) = self.node.poll_timeout().filter(|deadline| deadline.at <= until) else {
                return;
            };
            self.set_clock(deadline.at.max(self.now.mono));
            self.timeout();
        }
        panic!("10000 deadlines until {until:?}");
    }

    fn set_clock(&mut self, to: Time) {
        let us = i64::try_from(to.since(self.now.mono).as_micros()).unwrap_or(i64::MAX);
        self.now = Now { mono: to, wall: self.now.wall.plus_micros(us) };
    }

    fn timeout(&mut self) {
        self.node.handle_timeout(self.now);
        self.drain();
        let due = self.node.poll_timeout().filter(|deadline| deadline.at <= self.now.mono);
        assert_eq!(due, None, "a deadline that was met is not due again");
    }

    fn input(&mut self, input: Input) {
        self.node.handle(self.now, input);
        self.drain();
    }

    fn accept(&mut self, service: Service, peer: Peer) {
        if self.conns.len() >= CONNS_MAX {
            return;
        }
        let conn = ConnId(self.next_accepted);
        self.next_accepted += 2;
        self.add(conn, peer, true);
        self.input(Input::Accepted { conn, service, peer: nowhere() });
    }

    fn add(&mut self, id: ConnId, peer: Peer, open: bool) {
        let conn = Conn { peer, open, tampered: false, pending: BytesMut::new(), unsent: 0 };
        assert!(self.conns.insert(id, conn).is_none(), "a connection has a number of its own");
        self.hear(id, None);
    }

    fn request(&mut self, script: &mut Script) {
        const APPS: [&str; 8] = ["live", "open", "remote", "kept", "live/x", "", "%2e", "%00"];
        const FILES: [&str; 12] = [
            "llhls.m3u8",
            "chunklist_0_video_7930408358254892257_llhls.m3u8",
            "chunklist_1_audio_7930408358254892257_llhls.m3u8",
            "chunklist_0_video_7930408358254892257_llhls.m3u8?_HLS_msn=",
            "chunklist_1_audio_7930408358254892257_llhls.m3u8?_HLS_part=1&_HLS_msn=",
            "part_0_0_0_video_7930408358254892257_llhls.m4s",
            "seg_0_0_video_7930408358254892257_llhls.m4s",
            "llhls.m3u8?_HLS_legacy=YES",
            "other.m3u8",
            "x",
            "a/b",
            "llhls.m3u8?x=%zz&",
        ];
        const METHODS: [Method; 6] =
            [Method::GET, Method::GET, Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT];
        let (app, file) = (*script.pick(&APPS), *script.pick(&FILES));
        let number = if file.ends_with('=') { script.number().to_string() } else { String::new() };
        let style = usize::from(script.byte());
        let uri = match style % 23 {
            22 => script.text(60),
            21 => format!("http://host:3333/{app}/stream/{file}{number}"),
            _ => format!("/{app}/stream/{file}{number}"),
        };
        let request = http::Request::builder()
            .method(&METHODS[style % 6])
            .uri(uri)
            .header("host", ["host", "host:1", "[::1]", "é", "a b"][style % 5])
            .header("origin", ["http://a", "null", ""][style % 3])
            .header("accept-encoding", ["gzip", "gzip;q=0", "*", "br"][style % 4]);
        // What is no request does not get past the driver.
        let Ok(request) = request.body(()) else { return };
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.waiting.push(id);
        self.input(Input::Request { id, service: Service::Http, peer: nowhere(), request });
    }

    fn close(&mut self, script: &mut Script) {
        const REASONS: [CloseReason; 5] = [
            CloseReason::Eof,
            CloseReason::Refused,
            CloseReason::Reset,
            CloseReason::TimedOut,
            CloseReason::Unreachable,
        ];
        let conn = self.any_conn(script);
        let reason = *script.pick(&REASONS);
        if let Some(conn) = conn {
            self.conns.remove(&conn);
            self.input(Input::Closed { conn, reason });
        }
    }

    /// Encoders and origins send some of what they have.
    fn media(&mut self, script: &mut Script) {
        let (conn, count) = (self.any_conn(script), script.byte());
        let sends = |conn: &Conn| matches!(conn.peer, Peer::Encoder { .. } | Peer::Origin { .. });
        let chosen = conn.filter(|id| self.conns.get(id).is_some_and(sends));
        let senders: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| sends(conn)).map(|(id, _)| *id).collect();
        for id in chosen.map_or(senders, |id| vec![id]) {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            (0..count).for_each(|_| conn.send_media());
            self.hear(id, None);
        }
    }

    /// Everything that is on its way arrives, and what is said to that, until all are quiet.
    fn settle(&mut self) {
        for _ in 0..64 {
            let pending = |conn: &Conn| conn.open && !conn.pending.is_empty();
            let busy: Vec<ConnId> =
                self.conns.iter().filter(|(_, conn)| pending(conn)).map(|(id, _)| *id).collect();
            if busy.is_empty() {
                return;
            }
            busy.into_iter().for_each(|conn| self.deliver(conn, usize::MAX));
        }
    }

    fn deliver(&mut self, id: ConnId, bytes_max: usize) {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.open && !conn.pending.is_empty()) else {
            return;
        };
        let bytes = conn.pending.split_to(bytes_max.min(conn.pending.len())).freeze();
        self.input(Input::Received { conn: id, bytes });
    }

    /// Bytes of the script among, or in place of, what a peer says.
    fn tamper(&mut self, script: &mut Script) {
        let conn = self.any_conn(script);
        let count = script.below(64);
        let bytes = script.bytes(count);
        let Some(conn) = conn.and_then(|id| self.conns.get_mut(&id)) else { return };
        conn.tampered = true;
        if let Peer::Noise = conn.peer {
            return conn.pending.extend_from_slice(bytes);
        }
        let at = script.u16();
        for (byte, place) in bytes.iter().zip(usize::from(at)..) {
            if let Some(old) = conn.pending.get_mut(place) {
                *old ^= byte;
            }
        }
    }

    fn rare(&mut self, script: &mut Script) {
        let stranger = ConnId(script.number().unsigned_abs() | 1 << 40);
        match script.below(8) {
            0 => {
                let command = script.pick(&[Command::Drain, Command::Shutdown]).clone();
                self.input(Input::Command(command));
            }
            1 => self.now.wall = self.now.wall.plus_micros(script.number()),
            2 => self.input(Input::Closed { conn: stranger, reason: CloseReason::Reset }),
            3 => self.input(Input::Opened { conn: stranger }),
            4 => self.input(Input::Received { conn: stranger, bytes: Bytes::from_static(b"?") }),
            5 => self.input(Input::Sent { conn: stranger, bytes: usize::MAX }),
            6 => self.input(Input::RequestGone { id: RequestId(u64::MAX) }),
            _ => {
                if let Some(conn) = self.any_conn(script) {
                    self.input(Input::Sent { conn, bytes: usize::MAX });
                }
            }
        }
    }

    fn any_conn(&self, script: &mut Script) -> Option<ConnId> {
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        (!conns.is_empty()).then(|| *script.pick(&conns))
    }

    /// Takes all that the node says, and holds it to its promises.
    fn drain(&mut self) {
        let mut count = 0;
        while let Some(output) = self.node.poll_output() {
            count += 1;
            assert!(count <= OUTPUTS_MAX, "one input makes no end of outputs");
            self.note(&output);
            match output {
                Output::Close { conn, .. } => {
                    assert!(self.conns.remove(&conn).is_some(), "{conn:?} is closed and was not there");
                }
                Output::Done => {
                    assert!(self.conns.is_empty() && self.waiting.is_empty(), "done, and all is ended")
                }
                Output::Event(event) => match event {
                    Event::PublishStarted { .. } => self.marks.published += 1,
                    Event::PullPlaying { .. } => self.marks.pulled += 1,
                    Event::RelayStarted { .. } => self.marks.relayed += 1,
                    _ => {}
                },
                Output::Open { conn, to } => {
                    assert!(conn.0 % 2 == 0 && conn.0 > self.last_dialled && to.port != 0);
                    self.last_dialled = conn.0;
                    let server = Server::new(self.now.mono);
                    self.add(conn, Peer::Origin { server, next: 0, sequence: 0, playing: false }, false);
                }
                Output::Registry { .. } => unreachable!("no directory is configured"),
                Output::Respond { id, response } => {
                    let place = self.waiting.iter().position(|waiting| *waiting == id);
                    self.waiting.swap_remove(place.expect("an answer to a question, and only one"));
                    assert_ne!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
                    self.marks.files += u32::from(response.status() == StatusCode::OK);
                }
                Output::Write { conn, bytes } => self.hear(conn, Some(&bytes)),
            }
        }
    }

    fn note(&mut self, output: &Output) {
        match output {
            Output::Respond { id, response } => {
                (id, response.status(), &response.body().0).hash(&mut self.said);
                format!("{:?}", response.headers()).hash(&mut self.said);
            }
            Output::Write { conn, bytes } => (conn, bytes).hash(&mut self.said),
            output => format!("{output:?}").hash(&mut self.said),
        }
    }

    /// A peer hears what the node wrote, and says what it has to say.
    fn hear(&mut self, id: ConnId, bytes: Option<&Bytes>) {
        let conn = self.conns.get_mut(&id).expect("bytes are written to connections that are there");
        if let Some(bytes) = bytes {
            assert!(conn.open && !bytes.is_empty(), "bytes are written to connections that are open");
            conn.unsent += bytes.len();
        }
        let understood = conn.hear(bytes, self.now, &mut self.marks);
        assert!(understood.is_ok() || conn.tampered, "an honest peer understands: {understood:?}");
    }

    /// The operator ends the node: everybody is told.
    fn shut_down(&mut self) {
        self.input(Input::Command(Command::Shutdown));
        assert_eq!(self.waiting, [], "every request is answered");
        assert!(self.conns.is_empty(), "every connection is closed");
        self.set_clock(self.now.mono + Duration::from_secs(3_600));
        self.timeout();
        assert_eq!(self.node.poll_timeout(), None, "a node that was shut down waits for nothing");
    }

    /// Nobody says anything more: whoever waits is answered in the end.
    fn leave_alone(&mut self) {
        self.meet_deadlines(self.now.mono + Duration::from_secs(120));
        assert_eq!(self.waiting, [], "every request is answered in the end");
    }
}

impl Conn {
    fn hear(&mut self, bytes: Option<&Bytes>, now: Now, marks: &mut Marks) -> Result<(), String> {
        match &mut self.peer {
            Peer::Edge(client) => {
                let heard = bytes.map_or(Ok(()), |bytes| client.receive(bytes.clone(), now.wall));
                while let Some(event) = client.poll() {
                    match event {
                        ClientEvent::Write(bytes) => self.pending.extend_from_slice(&bytes),
                        ClientEvent::Retry { .. } => client.start(now.wall),
                        ClientEvent::Media(_) => marks.media_at_edges += 1,
                        _ => {}
                    }
                }
                heard.map_err(|error| error.to_string())
            }
            Peer::Encoder { publisher, .. } => {
                let heard = bytes.map_or(Ok(()), |bytes| publisher.receive(bytes));
                while let Some(action) = publisher.poll() {
                    if let PublisherAction::Write(bytes) = action {
                        self.pending.extend_from_slice(&bytes);
                    }
                }
                heard.map_err(|error| error.to_string())
            }
            Peer::Noise => Ok(()),
            Peer::Origin { server, playing, .. } => {
                let heard = bytes.map_or(Ok(()), |bytes| server.receive(bytes.clone(), now));
                while let Some(event) = server.poll() {
                    let answer = match event {
                        ServerEvent::Describe { id, .. } => {
                            server.describe_ok(id, "#default#live", "stream", &media().1.info, now.wall)
                        }
                        ServerEvent::Play { id, .. } => {
                            *playing = true;
                            server.play_ok(id, now.wall)
                        }
                        ServerEvent::Stop { id, .. } => {
                            *playing = false;
                            server.stop_ok(id, now.wall)
                        }
                        ServerEvent::Write(bytes) => bytes,
                    };
                    self.pending.extend_from_slice(&answer);
                }
                heard.map_err(|error| error.to_string())
            }
        }
    }

    /// The next piece of media, round and round.
    fn send_media(&mut self) {
        let (tags, stream) = media();
        match &mut self.peer {
            Peer::Encoder { publisher, next } => {
                let round = (*next / tags.len()) as u32;
                let tag = &tags[*next % tags.len()];
                sample::send(publisher, tag, tag.timestamp + round * 2_000);
                *next += 1;
            }
            Peer::Origin { next, sequence, playing: true, .. } => {
                let round = (*next / stream.packets.len()) as i64;
                let packet = &stream.packets[*next % stream.packets.len()];
                let track = stream.info.track(packet.track).expect("packets belong to tracks");
                let mut on_wire = MediaPacket::of(packet, track).expect("it can go over OVT");
                on_wire.dts += round * 2_000;
                on_wire.pts += round * 2_000;
                self.pending.extend_from_slice(&on_wire.encode(0, sequence));
                *next += 1;
            }
            _ => {}
        }
    }
}

fn nowhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_reach_every_part_of_a_node() {
        let marks: Vec<Marks> = seeds().iter().map(|seed| World::run(seed).1).collect();
        let most = |of: fn(&Marks) -> u32| marks.iter().map(of).max().unwrap_or(0);
        assert!(most(|it| it.published) > 0 && most(|it| it.pulled) > 1, "{marks:#?}");
        assert!(most(|it| it.relayed) > 0 && most(|it| it.media_at_edges) > 20, "{marks:#?}");
        assert!(most(|it| it.files) > 4, "{marks:#?}");
    }
}
