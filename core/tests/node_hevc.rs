//! HEVC all the way through a node: published over enhanced RTMP, watched over LL-HLS and HLS.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use headwater_core::config::{
    Application, Config, Hls, HostPattern, LlHls, Providers, Publishers, RtmpProvider, VirtualHost,
};
use headwater_core::event::Event;
use headwater_core::io::{Body, ConnId, Input, Machine, Output, RequestId, Service};
use headwater_core::media::{annexb, h265};
use headwater_core::node::Node;
use headwater_core::origin_map::PullProperties;
use headwater_core::time::{Now, Time, Wall};
use headwater_core::wire::flv::{self, TagKind};
use headwater_core::wire::mpegts::{self, Coding};
use headwater_core::wire::rtmp::{Publisher, PublisherAction};

const CONN: ConnId = ConnId(1);
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 40_000);

fn config() -> Config {
    let rtmp = RtmpProvider { block_duplicate: true, ..RtmpProvider::default() };
    let app = Application {
        name: "live".to_owned(),
        providers: Providers { ovt: None, rtmp: Some(rtmp) },
        publishers: Publishers { ovt: true, llhls: Some(LlHls::default()), hls: Some(Hls::default()) },
        track_names: (None, None),
        playlists: Vec::new(),
    };
    let vhost = VirtualHost {
        name: "default".to_owned(),
        hosts: vec![HostPattern("*".to_owned())],
        tls: None,
        pull: PullProperties::default(),
        origins: Vec::new(),
        store: None,
        applications: vec![app],
        template: None,
    };
    Config { name: "origin".to_owned(), vhosts: vec![vhost], ..Config::default() }
}

fn at(ms: u64) -> Now {
    Now {
        mono: Time::from_micros(ms * 1_000),
        wall: Wall::from_micros(1_700_000_000_000_000 + ms as i64 * 1_000),
    }
}

/// A node and its one publisher, joined byte by byte.
struct Stage {
    node: Node,
    publisher: Publisher,
    now: u64,
    parts: Vec<(u32, u64, u32)>,
    answers: VecDeque<http::Response<Body>>,
}

impl Stage {
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(action) = self.publisher.poll() {
                quiet = false;
                match action {
                    PublisherAction::Write(bytes) => {
                        self.node.handle(at(self.now), Input::Received { conn: CONN, bytes });
                    }
                    PublisherAction::Ready => {}
                    PublisherAction::Refused { description, .. } => panic!("refused: {description}"),
                }
            }
            while let Some(output) = self.node.poll_output() {
                quiet = false;
                match output {
                    Output::Write { bytes, .. } => {
                        self.publisher.receive(&bytes).expect("the node speaks RTMP")
                    }
                    Output::Event(Event::PartReady { track, msn, part, .. }) => {
                        self.parts.push((track, msn, part))
                    }
                    Output::Registry { .. } => {}
                    Output::Respond { response, .. } => self.answers.push_back(response),
                    Output::Close { .. } | Output::Done | Output::Event(_) | Output::Open { .. } => {}
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Publishes the file, from this time on.
    fn publish(&mut self, from_ms: u32) {
        let file = Bytes::from_static(include_bytes!("data/hevc-enhanced.flv"));
        for tag in flv::tags(file).expect("an FLV file").map_while(Result::ok) {
            let time = from_ms + tag.timestamp;
            self.now = self.now.max(u64::from(time));
            match tag.kind {
                TagKind::Audio => self.publisher.send_audio(time, tag.body),
                TagKind::Video => self.publisher.send_video(time, tag.body),
                TagKind::Script => {}
            }
            self.settle();
        }
    }

    fn get(&mut self, path: &str) -> http::Response<Body> {
        let request =
            http::Request::get(path).header("host", "origin.example.com").body(()).expect("a request");
        self.node.handle(
            at(self.now),
            Input::Request { id: RequestId(1), service: Service::Http, peer: PEER, request },
        );
        self.settle();
        self.answers.pop_front().expect("an answer")
    }

    fn text(&mut self, path: &str) -> String {
        let response = self.get(path);
        assert_eq!(response.status(), 200, "{path}");
        String::from_utf8(response.into_body().0.concat()).expect("a playlist is text")
    }
}

#[test]
fn hevc_over_enhanced_rtmp_is_watched_over_ll_hls_and_hls() {
    let mut stage = Stage {
        node: Node::new(config(), 1, at(0)),
        publisher: Publisher::new("rtmp://origin.example.com/live", "live", "hevc"),
        now: 0,
        parts: Vec::new(),
        answers: VecDeque::new(),
    };
    stage.node.handle(at(0), Input::Accepted { conn: CONN, service: Service::Rtmp, peer: PEER });
    stage.settle();
    assert!(stage.publisher.is_ready());
    stage.publish(0);

    // Without metadata the session waits for other tracks; then the stream is there.
    stage.now += 3_000;
    stage.node.handle_timeout(at(stage.now));
    stage.settle();
    let master = stage.text("/live/hevc/llhls.m3u8");
    assert!(master.contains("CODECS=\"hvc1."), "{master}");
    let &(_, msn, part) = stage.parts.first().expect("a part");
    let chunklist = master.lines().last().expect("a variant").to_owned();
    let playlist = stage.text(&format!("{chunklist}?_HLS_msn={msn}&_HLS_part={part}"));
    let init = playlist.split("URI=\"").find_map(|it| it.strip_prefix("init_")).expect("an init section");
    let init = format!("/live/hevc/init_{}", init.split('"').next().expect("the end of the URI"));
    let init = stage.get(&init).into_body().0.concat();
    assert!(init.windows(4).any(|box_type| box_type == b"hvc1"));
    assert!(init.windows(4).any(|box_type| box_type == b"hvcC"));

    (1..5).for_each(|round| stage.publish(round * 3_000));
    let master = stage.text("/live/hevc/ts:playlist.m3u8");
    assert!(master.contains("CODECS=\"hvc1."), "{master}");
    let list = stage.text(&format!("/live/hevc/{}", master.lines().last().expect("a variant")));
    let segment = list.lines().find(|line| !line.starts_with('#')).expect("a segment");
    let body = stage.get(&format!("/live/hevc/{segment}")).into_body().0.concat();
    let found = mpegts::read(&body).expect("a transport stream");
    assert_eq!(found.streams, [Coding::H265]);
    assert!(found.units[0].random_access);
    let first = found.units[0].data.concat();
    let types: Vec<u8> = annexb::nal_units(&first).map(h265::nal_type).collect();
    let before = [h265::NAL_AUD, h265::NAL_VPS, h265::NAL_SPS, h265::NAL_PPS];
    assert_eq!(types[..4], before, "{types:?}");
}
