//! Which application a request finds, and which stream is pulled for it.

use std::net::SocketAddr;

use headwater_core::config::{self, Environment};
use headwater_core::io::{Endpoint, Input, Machine, Output, RequestId, Service};
use headwater_core::node::Node;
use headwater_core::time::{Now, Time, Wall};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 40_000);
const NOW: Now = Now { mono: Time::ZERO, wall: Wall::from_micros(1_700_000_000_000_000) };

/// An edge with the application `live`, a template for all others, and rules for both.
const EDGE: &str = r#"<Server version="10"><Type>edge</Type><IP>*</IP>
    <Bind><Publishers><LLHLS><Port>3333</Port></LLHLS></Publishers></Bind>
    <VirtualHosts><VirtualHost><Name>default</Name><Host><Names><Name>*.example.com</Name></Names></Host>
      <Origins>
        <Origin><Location>/live/</Location><Pass><Scheme>ovt</Scheme>
          <Urls><Url>a:9000/in/</Url></Urls></Pass></Origin>
        <Origin><Location>/</Location><Pass><Scheme>OVT</Scheme>
          <Urls><Url>b:9001/</Url></Urls></Pass></Origin>
      </Origins>
      <Applications>
        <Application><Name>live</Name><Type>live</Type>
          <Providers><OVT/></Providers><Publishers><LLHLS/></Publishers></Application>
        <Application><Name>*</Name><Type>live</Type>
          <Providers><OVT/></Providers><Publishers><LLHLS/></Publishers></Application>
      </Applications>
    </VirtualHost></VirtualHosts></Server>"#;

struct OneFile;

impl Environment for OneFile {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
    fn hostname(&self) -> Option<String> {
        None
    }
    fn home(&self) -> String {
        ".".to_owned()
    }
    fn current_path(&self) -> String {
        ".".to_owned()
    }
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(EDGE.to_owned())
    }
    fn list(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

/// What a fresh edge does about a request: the endpoint that it dials, or the status that it answers.
fn ask(host: &str, path: &str) -> Result<Endpoint, u16> {
    let config = config::load("Server.xml", &OneFile).expect("a good configuration").config;
    let mut node = Node::new(config, 1, NOW);
    let request = http::Request::get(path).header("host", host).body(()).expect("a request");
    node.handle(NOW, Input::Request { id: RequestId(1), service: Service::Http, peer: PEER, request });
    while let Some(output) = node.poll_output() {
        match output {
            Output::Open { to, .. } => return Ok(to),
            Output::Registry { .. } => {}
            Output::Respond { response, .. } => return Err(response.status().as_u16()),
            Output::Close { .. } | Output::Done | Output::Event(_) | Output::Write { .. } => {}
        }
    }
    panic!("the edge neither dials nor answers");
}

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.to_owned(), port }
}

#[test]
fn a_known_application_is_pulled_by_its_rule() {
    assert_eq!(ask("edge.example.com:3333", "/live/match/llhls.m3u8"), Ok(endpoint("a", 9_000)));
}

#[test]
fn a_first_ll_hls_request_makes_an_application_of_the_template() {
    assert_eq!(ask("edge.example.com", "/never-configured/match/llhls.m3u8"), Ok(endpoint("b", 9_001)));
}

#[test]
fn a_host_that_nobody_configured_is_not_served() {
    assert_eq!(ask("edge.example.net", "/live/match/llhls.m3u8"), Err(404));
}

#[test]
fn only_a_playlist_begins_a_pull() {
    assert_eq!(ask("edge.example.com", "/live/match/seg_0_1_video_1_llhls.m4s"), Err(404));
    assert_eq!(ask("edge.example.com", "/live/match/nothing.txt"), Err(404));
    assert_eq!(ask("edge.example.com", "/live/match"), Err(404));
}
