//! `Server.xml` files for clusters on loopback.

use std::fmt::Write;

/// The application under test.
pub const APP: &str = "app";

/// An origin: RTMP in, OVT out.
#[derive(Clone, Copy, Debug)]
pub struct OriginPorts {
    /// Where publishers connect.
    pub rtmp: u16,
    /// Where edges connect.
    pub ovt: u16,
}

/// An edge: OVT pulled, LL-HLS out.
#[derive(Clone, Debug)]
pub struct EdgePlan {
    /// Where viewers connect.
    pub http: u16,
    /// Where viewers connect over TLS: with `edge.crt` and `edge.key` beside the configuration.
    pub https: Option<u16>,
    /// The OVT ports of the origins on this machine, in order of preference.
    pub origins: Vec<u16>,
    /// The port of the Redis in which origins are found instead.
    pub directory: Option<u16>,
    /// `NoInputFailoverTimeout` in milliseconds; `None` leaves the default of 3000.
    pub no_input_failover_ms: Option<u32>,
    /// `RetryCount`; `None` leaves the default of 1.
    pub retry_count: Option<u32>,
    /// `HotStandby`; `None` leaves the default of 0.
    pub hot_standby: Option<u32>,
    /// `SegmentDuration` in seconds.
    pub segment_seconds: f64,
    /// `ChunkDuration` in seconds.
    pub part_seconds: f64,
    /// `SegmentCount`.
    pub segments: u32,
    /// Whether HLS with MPEG-TS segments is served beside LL-HLS, on the same port and of the same segments.
    pub hls: bool,
}

impl EdgePlan {
    /// An edge with segments of 2 s and parts of 0.5 s, as the tests use it.
    pub fn new(http: u16, origins: &[u16]) -> EdgePlan {
        EdgePlan {
            http,
            https: None,
            origins: origins.to_vec(),
            directory: None,
            no_input_failover_ms: None,
            retry_count: None,
            hot_standby: None,
            segment_seconds: 2.0,
            part_seconds: 0.5,
            segments: 10,
            hls: false,
        }
    }
}

/// The configuration of an origin, which announces its streams in the Redis at `directory`, if there is one.
pub fn origin_xml(ports: OriginPorts, directory: Option<u16>) -> String {
    let OriginPorts { rtmp, ovt } = ports;
    let store = directory.map(store).unwrap_or_default();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Server version="10">
  <Name>origin</Name>
  <Type>origin</Type>
  <IP>127.0.0.1</IP>
  <Bind>
    <Providers>
      <RTMP><Port>{rtmp}</Port></RTMP>
    </Providers>
    <Publishers>
      <OVT><Port>{ovt}</Port></OVT>
    </Publishers>
  </Bind>
  <VirtualHosts>
    <VirtualHost>
      <Name>default</Name>
      <Host><Names><Name>*</Name></Names></Host>
{store}      <Applications>
        <Application>
          <Name>{APP}</Name>
          <Type>live</Type>
          <OutputProfiles>
            <OutputProfile>
              <Name>bypass</Name>
              <OutputStreamName>${{OriginStreamName}}</OutputStreamName>
              <Encodes>
                <Video><Name>video</Name><Bypass>true</Bypass></Video>
                <Audio><Name>audio</Name><Bypass>true</Bypass></Audio>
              </Encodes>
            </OutputProfile>
          </OutputProfiles>
          <Providers><RTMP/></Providers>
          <Publishers><OVT/></Publishers>
        </Application>
      </Applications>
    </VirtualHost>
  </VirtualHosts>
</Server>
"#
    )
}

/// A server that takes a broadcast over RTMP and shows it as LL-HLS, one of two that are to be the same.
#[derive(Clone, Copy, Debug)]
pub struct BroadcastPlan {
    /// Where publishers connect.
    pub rtmp: u16,
    /// Where viewers connect.
    pub http: u16,
    /// `TimestampMode`.
    pub timestamps: &'static str,
}

/// The configuration of such a server: segments of 2 s, parts of 0.5 s.
pub fn broadcast_xml(plan: BroadcastPlan) -> String {
    let BroadcastPlan { rtmp, http, timestamps } = plan;
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Server version="8">
  <Name>broadcast</Name>
  <Type>origin</Type>
  <IP>127.0.0.1</IP>
  <Bind>
    <Providers>
      <RTMP><Port>{rtmp}</Port></RTMP>
    </Providers>
    <Publishers>
      <LLHLS><Port>{http}</Port></LLHLS>
    </Publishers>
  </Bind>
  <VirtualHosts>
    <VirtualHost>
      <Name>default</Name>
      <Host><Names><Name>*</Name></Names></Host>
      <Applications>
        <Application>
          <Name>{APP}</Name>
          <Type>live</Type>
          <Providers>
            <RTMP><TimestampMode>{timestamps}</TimestampMode></RTMP>
          </Providers>
          <Publishers>
            <LLHLS>
              <OriginMode>true</OriginMode>
              <ServerTimeBasedSegmentNumbering>true</ServerTimeBasedSegmentNumbering>
              <ChunkDuration>0.5</ChunkDuration>
              <PartHoldBack>1.5</PartHoldBack>
              <SegmentDuration>2</SegmentDuration>
              <SegmentCount>10</SegmentCount>
              <CrossDomains><Url>*</Url></CrossDomains>
            </LLHLS>
          </Publishers>
        </Application>
      </Applications>
    </VirtualHost>
  </VirtualHosts>
</Server>
"#
    )
}

/// The configuration of such a server as OvenMediaEngine's guide gives it: LL-HLS with segments of 6 s and parts of 1 s, HLS
/// with segments of 4 s.
pub fn redundancy_xml(rtmp: u16, http: u16) -> String {
    let xml = include_str!("../assets/redundancy.xml");
    xml.replace("RTMP_PORT", &rtmp.to_string()).replace("HTTP_PORT", &http.to_string())
}

/// The configuration of an edge. Pages from anywhere may play from it.
pub fn edge_xml(plan: &EdgePlan) -> String {
    let EdgePlan { http, segment_seconds, part_seconds, segments, .. } = plan;
    let properties = properties(plan);
    let (rule, store) = match plan.directory {
        Some(directory) => (String::new(), store(directory)),
        None => (rule(&plan.origins), String::new()),
    };
    let (tls_port, tls) = match plan.https {
        Some(port) => (format!("<TLSPort>{port}</TLSPort>"), TLS),
        None => (String::new(), ""),
    };
    let hls = match plan.hls {
        true => format!(
            "<HLS><SegmentDuration>{segment_seconds}</SegmentDuration><SegmentCount>{segments}</SegmentCount>\
             <CrossDomains><Url>*</Url></CrossDomains></HLS>"
        ),
        false => String::new(),
    };
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Server version="10">
  <Name>edge</Name>
  <Type>edge</Type>
  <IP>127.0.0.1</IP>
  <Bind>
    <Providers>
      <OVT><WorkerCount>1</WorkerCount></OVT>
    </Providers>
    <Publishers>
      <LLHLS><Port>{http}</Port>{tls_port}</LLHLS>
    </Publishers>
  </Bind>
  <VirtualHosts>
    <VirtualHost>
      <Name>default</Name>
      <Host><Names><Name>*</Name></Names>{tls}</Host>
      <Origins>
        <Properties>
{properties}        </Properties>
{rule}      </Origins>
{store}      <Applications>
        <Application>
          <Name>{APP}</Name>
          <Type>live</Type>
          <Providers>
            <OVT><TimestampMode>Original</TimestampMode></OVT>
          </Providers>
          <Publishers>
            <LLHLS>
              <ChunkDuration>{part_seconds}</ChunkDuration>
              <SegmentDuration>{segment_seconds}</SegmentDuration>
              <SegmentCount>{segments}</SegmentCount>
              <CrossDomains><Url>*</Url></CrossDomains>
            </LLHLS>{hls}
          </Publishers>
        </Application>
      </Applications>
    </VirtualHost>
  </VirtualHosts>
</Server>
"#
    )
}

const TLS: &str = "<TLS><CertPath>edge.crt</CertPath><KeyPath>edge.key</KeyPath></TLS>";

fn rule(origins: &[u16]) -> String {
    let mut urls = String::new();
    for ovt in origins {
        let _ = writeln!(urls, "              <Url>127.0.0.1:{ovt}/{APP}/</Url>");
    }
    format!(
        r#"        <Origin>
          <Location>/{APP}/</Location>
          <Pass>
            <Scheme>ovt</Scheme>
            <Urls>
{urls}            </Urls>
            <ForwardQueryParams>false</ForwardQueryParams>
          </Pass>
        </Origin>
"#
    )
}

fn store(port: u16) -> String {
    format!(
        r#"      <OriginMapStore>
        <RedisServer><Host>127.0.0.1:{port}</Host></RedisServer>
        <OriginHostName>127.0.0.1</OriginHostName>
      </OriginMapStore>
"#
    )
}

fn properties(plan: &EdgePlan) -> String {
    let mut text = String::new();
    if let Some(ms) = plan.no_input_failover_ms {
        let _ = writeln!(text, "          <NoInputFailoverTimeout>{ms}</NoInputFailoverTimeout>");
    }
    if let Some(count) = plan.retry_count {
        let _ = writeln!(text, "          <RetryCount>{count}</RetryCount>");
    }
    if let Some(count) = plan.hot_standby {
        let _ = writeln!(text, "          <HotStandby>{count}</HotStandby>");
    }
    text
}
