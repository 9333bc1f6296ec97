//! What a node is told to be.

use core::fmt;
use core::time::Duration;

use crate::io::{Endpoint, StoreId};
use crate::media::Playlist;
use crate::origin_map::{OriginRule, PullProperties};
use crate::registry::redis::Schema;

use super::diagnostic::Place;
use super::glob;

/// A whole server.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `Server/Name`: a label, and the prefix of the server id.
    pub name: String,
    /// What is listened on.
    pub listeners: Listeners,
    /// `Managers/API`.
    pub api: Option<Api>,
    /// `DrainTimeout`: how long a server that is asked to go serves those who cannot go elsewhere.
    pub drain: Duration,
    /// `Limits`.
    pub limits: Limits,
    /// Virtual hosts, in the order in which their patterns are tried.
    pub vhosts: Vec<VirtualHost>,
}

impl Default for Config {
    /// A server that listens nowhere.
    fn default() -> Self {
        Config {
            name: String::new(),
            listeners: Listeners::default(),
            api: None,
            drain: Duration::from_secs(20),
            limits: Limits::default(),
            vhosts: Vec::new(),
        }
    }
}

impl Config {
    /// The first virtual host that has a pattern for this host name (reference: OriginMap section 1). A port behind
    /// the name is not looked at.
    pub fn vhost_for(&self, host: &str) -> Option<&VirtualHost> {
        let name = without_port(host);
        self.vhosts.iter().find(|vhost| vhost.hosts.iter().any(|pattern| pattern.matches(name)))
    }

    /// The directories of streams that are outside the process, and how their keys are written.
    pub fn stores(&self) -> impl Iterator<Item = (StoreId, &RedisServer, Schema)> {
        self.vhosts.iter().enumerate().filter_map(|(index, vhost)| {
            let store = vhost.store.as_ref()?;
            let StorePlace::Redis(redis) = &store.place else { return None };
            let schema = Schema {
                prefix: redis.key_prefix.clone(),
                plain: store.plain_keys,
                one_stream_per_call: matches!(redis.servers, RedisServers::Cluster(_)),
            };
            Some((StoreId(index), redis, schema))
        })
    }
}

/// `Limits`: how much a server takes on. What is not written is bounded only by what protects the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `Streams`: beyond so many no stream is published or pulled.
    pub streams: Option<usize>,
    /// `WaitingRequests`: with so many nobody new may watch.
    pub waiting: Option<usize>,
    /// `Bandwidth`, in bits per second: with so much going out nobody new may watch.
    pub bandwidth: Option<u64>,
}

/// `Managers/API`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// `AccessToken`.
    pub token: Secret,
    /// `Managers/Host/TLS`.
    pub tls: Option<Tls>,
}

/// `Host/TLS`: the certificate of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `CertPath`: the certificate, and maybe the ones that lead from it to an authority, in PEM.
    pub certificate: NamedFile,
    /// `KeyPath`: its private key, in PEM.
    pub key: NamedFile,
    /// `ChainCertPath`: the certificates that lead to an authority, in PEM.
    pub chain: Option<NamedFile>,
}

/// A file, and where it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Its path; a relative one is relative to the working directory.
    pub path: String,
    /// The element that names it.
    pub at: Place,
}

/// The addresses and ports of a server; an absent port is not listened on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// `Server/IP`: addresses to bind; `*` is every IPv4 address, `::` every IPv6 address.
    pub addresses: Vec<String>,
    /// `Bind/Managers/API/Port`.
    pub api: Option<u16>,
    /// `Bind/Managers/API/TLSPort`.
    pub api_tls: Option<u16>,
    /// `Bind/Providers/RTMP/Port`.
    pub rtmp: Option<u16>,
    /// `Bind/Publishers/OVT/Port`.
    pub ovt: Option<u16>,
    /// `Bind/Publishers/LLHLS/Port`.
    pub llhls: Option<u16>,
    /// `Bind/Publishers/HLS/Port`; may be that of LL-HLS.
    pub hls: Option<u16>,
    /// `Bind/Publishers/HLS/TLSPort`; may be that of LL-HLS.
    pub hls_tls: Option<u16>,
    /// `Bind/Publishers/LLHLS/TLSPort`.
    pub llhls_tls: Option<u16>,
    /// `Modules/HTTP2/Enable`: whether clients on a port for TLS may choose HTTP/2.
    pub http2: bool,
}

/// A pattern for host names: `*` is any run of characters, `?` is zero or one, everything else is itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(pub String);

impl HostPattern {
    /// Whether the whole name matches. Case does not matter: host names have none (RFC 9110 section 4.2.3).
    pub fn matches(&self, host: &str) -> bool {
        glob::matches(&self.0, host, |a, b| a.eq_ignore_ascii_case(&b))
    }
}

/// The name of `name:port` or `[address]:port`.
fn without_port(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|it| it.split_once(']')) {
        return address;
    }
    match host.split_once(':') {
        // More than one colon is an IPv6 address without a port.
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

/// `OriginMapStore`: the directory in which origins announce their streams and edges find them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginMapStore {
    /// Where it is.
    pub place: StorePlace,
    /// `OriginHostName`: the host in the URLs under which streams are announced, an IPv6 address without brackets;
    /// without it nothing is announced.
    pub origin_host: Option<String>,
    /// `PlainKeys`: whether OvenMediaEngine's keys are written beside our own.
    pub plain_keys: bool,
}

/// Where a directory of streams is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// `Embedded`: in this process.
    Embedded,
    /// `RedisServer`.
    Redis(RedisServer),
}

/// `OriginMapStore/RedisServer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisServer {
    /// Which servers, and what they are to each other.
    pub servers: RedisServers,
    /// `User`, or the user of the URL; without one, Redis's default user.
    pub user: Option<String>,
    /// `Auth`, or the password of the URL.
    pub password: Option<Secret>,
    /// `Database`, or the path of the URL.
    pub database: u32,
    /// `KeyPrefix`: what stands before every key.
    pub key_prefix: String,
    /// Whether connections are encrypted, and whom they trust.
    pub tls: Option<RedisTls>,
    /// `ConnectTimeout`.
    pub connect_timeout: Duration,
    /// `CommandTimeout`.
    pub command_timeout: Duration,
}

impl From<RedisServers> for RedisServer {
    /// With everything else at its default.
    fn from(servers: RedisServers) -> RedisServer {
        RedisServer {
            servers,
            user: None,
            password: None,
            database: 0,
            key_prefix: String::new(),
            tls: None,
            connect_timeout: REDIS_TIMEOUT,
            command_timeout: REDIS_TIMEOUT,
        }
    }
}

/// `ConnectTimeout` and `CommandTimeout`, if they are not written.
const REDIS_TIMEOUT: Duration = Duration::from_secs(1);

/// The servers of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// One.
    Single(Endpoint),
    /// Some nodes of a Redis Cluster, from which the others are learned.
    Cluster(Vec<Endpoint>),
    /// Sentinels, who know which server is the master.
    Sentinel {
        /// Where they are.
        sentinels: Vec<Endpoint>,
        /// The name under which they watch the master.
        master: String,
    },
}

/// `rediss://`, or `RedisServer/TLS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// `CAPath`: a file of certificates in PEM that are trusted instead of those of the system.
    pub ca_path: Option<String>,
}

/// A password. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Something that must not be shown.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// What it is, for the one that it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One virtual host.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualHost {
    /// `Name`; not a domain.
    pub name: String,
    /// `Host/Names/Name`, in order.
    pub hosts: Vec<HostPattern>,
    /// `Host/TLS`.
    pub tls: Option<Tls>,
    /// `Origins/Properties`.
    pub pull: PullProperties,
    /// `Origins/Origin`, in order.
    pub origins: Vec<OriginRule>,
    /// `OriginMapStore`.
    pub store: Option<OriginMapStore>,
    /// `Applications/Application` with a name.
    pub applications: Vec<Application>,
    /// The application named `*`: the template for those that no one configured.
    pub template: Option<Application>,
}

impl VirtualHost {
    /// The application of this name: the configured one, or else the template under this name.
    pub fn application(&self, name: &str) -> Option<Application> {
        let configured = self.applications.iter().find(|it| it.name == name);
        configured.cloned().or_else(|| {
            let template = self.template.as_ref()?;
            Some(Application { name: name.to_string(), ..template.clone() })
        })
    }
}

/// One application.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Its name; `*` in a template.
    pub name: String,
    /// Where its streams may come from.
    pub providers: Providers,
    /// Where its streams may go.
    pub publishers: Publishers,
    /// Variant names that the output profile gives to its bypassed tracks: (video, audio).
    pub track_names: (Option<String>, Option<String>),
    /// `OutputProfiles/OutputProfile/Playlist`.
    pub playlists: Vec<Playlist>,
}

/// The providers of an application; absent is disabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    /// Pulling over OVT.
    pub ovt: Option<OvtProvider>,
    /// Publishing over RTMP.
    pub rtmp: Option<RtmpProvider>,
}

/// `Providers/OVT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OvtProvider {
    /// How timestamps are anchored.
    pub timestamps: TimestampMode,
}

/// `Providers/RTMP`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtmpProvider {
    /// How timestamps are anchored.
    pub timestamps: TimestampMode,
    /// Whether a second publisher of a name is refused (true) or takes over (false).
    pub block_duplicate: bool,
    /// `PacketSilenceTimeoutMs`: how long a publisher may be silent; `None` is for ever.
    pub silence: Option<Duration>,
    /// `ReconnectWindowMs`: how long a stream waits for a publisher that dropped; zero ends it at once.
    pub reconnect_window: Duration,
    /// `StandbyPublishers`: how many more publishers of a name may wait for their turn.
    pub standby: usize,
}

/// `TimestampMode`: where a stream's timeline starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampMode {
    /// At the encoder's own timestamps.
    Original,
    /// At the server's wall clock.
    SystemClock,
    /// At zero.
    #[default]
    ZeroBased,
}

/// The publishers of an application; absent is disabled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publishers {
    /// Relaying to edges over OVT.
    pub ovt: bool,
    /// LL-HLS.
    pub llhls: Option<LlHls>,
    /// HLS version 3.
    pub hls: Option<Hls>,
}

/// `Publishers/LLHLS`.
#[derive(Clone, Debug, PartialEq)]
pub struct LlHls {
    /// `ChunkDuration`: the length that parts aim for and never exceed.
    pub chunk: Duration,
    /// `SegmentDuration`: the length of the segment grid.
    pub segment: Duration,
    /// `SegmentCount`: segments in the playlist, the open one included; at least 3.
    pub segment_count: usize,
    /// `PartHoldBack`; `None` is three times the longest part.
    pub part_hold_back: Option<Duration>,
    /// `EnablePreloadHint`.
    pub preload_hint: bool,
    /// `CreateDefaultPlaylist`: whether `llhls.m3u8` exists.
    pub default_playlist: bool,
    /// `OriginMode`: whether URLs are the same for everybody. Otherwise each viewer has a session in theirs.
    pub origin_mode: bool,
    /// `CrossDomains`, or the server's default.
    pub cross_domains: CrossDomains,
    /// `CacheControl`.
    pub cache: CacheControl,
}

impl Default for LlHls {
    fn default() -> Self {
        LlHls {
            chunk: Duration::from_millis(500),
            segment: Duration::from_secs(6),
            segment_count: 10,
            part_hold_back: None,
            preload_hint: true,
            default_playlist: true,
            origin_mode: true,
            cross_domains: CrossDomains::default(),
            cache: CacheControl::default(),
        }
    }
}

/// `Publishers/HLS`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hls {
    /// `SegmentDuration`: the length of the segment grid.
    pub segment: Duration,
    /// `SegmentCount`: segments in the playlist; at least 3.
    pub segment_count: usize,
    /// `CreateDefaultPlaylist`: whether `ts:playlist.m3u8` exists.
    pub default_playlist: bool,
    /// `OriginMode`: whether URLs are the same for everybody. Otherwise each viewer has a session in theirs.
    pub origin_mode: bool,
    /// `CrossDomains`, or the server's default.
    pub cross_domains: CrossDomains,
    /// `CacheControl`.
    pub cache: CacheControl,
}

impl Default for Hls {
    fn default() -> Self {
        Hls {
            segment: Duration::from_secs(6),
            segment_count: 10,
            default_playlist: true,
            origin_mode: true,
            cross_domains: CrossDomains::default(),
            cache: CacheControl::default(),
        }
    }
}

/// `CrossDomains`: who may read answers from a web page of another origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrossDomains {
    /// `Url`: patterns; `*` is everybody.
    pub urls: Vec<String>,
    /// `Header`: response headers that override the generated ones.
    pub headers: Vec<(String, String)>,
}

impl CrossDomains {
    /// Whether a web page of `origin` (`https://example.com`) may read answers. A pattern without a scheme is
    /// meant for http and https (reference: LL-HLS section 6.4).
    pub fn allows(&self, origin: &str) -> bool {
        let bare = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        self.urls.iter().any(|pattern| match (pattern.contains("://"), bare) {
            (false, Some(bare)) => glob::matches(pattern, bare, |a, b| a == b),
            _ => glob::matches(pattern, origin, |a, b| a == b),
        })
    }
}

/// `CacheControl`: seconds for each kind of resource; 0 is `no-cache, no-store`, negative is no header. What is not
/// written follows from the length of segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// Master playlists.
    pub master: Option<i64>,
    /// Media playlists without directives.
    pub chunklist: Option<i64>,
    /// Media playlists with `_HLS_msn`.
    pub chunklist_with_directives: Option<i64>,
    /// Init sections and segments.
    pub segment: Option<i64>,
    /// Parts.
    pub part: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vhost(name: &str, hosts: &[&str]) -> VirtualHost {
        VirtualHost {
            name: name.to_string(),
            hosts: hosts.iter().map(|it| HostPattern(it.to_string())).collect(),
            tls: None,
            pull: PullProperties::default(),
            origins: Vec::new(),
            store: None,
            applications: Vec::new(),
            template: None,
        }
    }

    fn application(name: &str) -> Application {
        Application {
            name: name.to_string(),
            providers: Providers::default(),
            publishers: Publishers::default(),
            track_names: (None, None),
            playlists: Vec::new(),
        }
    }

    #[test]
    fn the_first_virtual_host_with_a_matching_pattern_is_asked() {
        let vhosts = vec![
            vhost("none", &[]),
            vhost("live", &["live.example.com", "edge?.example.com"]),
            vhost("local", &["::1", "127.*"]),
            vhost("rest", &["*.example.com"]),
        ];
        let config = Config { vhosts, ..Config::default() };
        for (host, expected) in [
            ("live.example.com", Some("live")),
            ("LIVE.example.com:3333", Some("live")),
            ("edge.example.com", Some("live")),
            ("edge7.example.com", Some("live")),
            ("edge77.example.com", Some("rest")),
            ("[::1]:80", Some("local")),
            ("::1", Some("local")),
            ("127.0.0.1:80", Some("local")),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(config.vhost_for(host).map(|it| it.name.as_str()), expected, "{host}");
        }
    }

    #[test]
    fn an_unknown_application_is_made_of_the_template() {
        let mut vhost = vhost("v", &["*"]);
        vhost.applications.push(application("live"));
        assert_eq!(vhost.application("other"), None);
        vhost.template = Some(Application { playlists: Vec::new(), ..application("*") });
        assert_eq!(vhost.application("live").map(|it| it.name), Some("live".to_string()));
        assert_eq!(vhost.application("other").map(|it| it.name), Some("other".to_string()));
    }
}
