//! Checked elements to the types of `model`: what each value means.
//!
//! Whether the parts go together is `consistency`'s question; what an output profile means is `profile`'s.

use core::net::IpAddr;
use core::time::Duration;

use crate::origin_map::{OriginRule, PullProperties};

use super::certificate;
use super::check::{Node, Value};
use super::diagnostic::{Kind, Report};
use super::model::{
    Api, Application, CacheControl, Config, CrossDomains, Hls, HostPattern, Limits, Listeners, LlHls,
    OvtProvider, Providers, Publishers, RtmpProvider, Secret, TimestampMode, VirtualHost,
};
use super::profile;
use super::schema::Transport;
use super::store;
use super::value::shown;

/// The whole configuration. What was invalid has been reported and stands at its default.
pub(super) fn config(server: &Node, report: &mut Report) -> Config {
    let defaults = server.find("Defaults/CrossDomains").map(cross_domains).unwrap_or_default();
    let mut vhosts = Vec::new();
    for node in server.find("VirtualHosts").iter().flat_map(|it| it.all("VirtualHost")) {
        vhosts.push(virtual_host(node, &defaults, report));
    }
    if server.find("Type").is_none() {
        let remedy =
            "OvenMediaEngine refuses that; Headwater takes nothing from it. Add <Type>origin|edge</Type>.";
        report.warn(&server.at, Kind::Missing, "<Server> has no <Type>.", remedy);
    }
    if !is_llhls_enabled(server) {
        for application in vhosts.iter_mut().flat_map(|it| it.applications.iter_mut().chain(&mut it.template))
        {
            application.publishers.llhls = None;
        }
    }
    Config {
        name: server.text("Name").unwrap_or_default().to_string(),
        listeners: listeners(server, report),
        api: api(server, report),
        drain: drain(server),
        limits: limits(server),
        vhosts,
    }
}

fn drain(server: &Node) -> Duration {
    let default = Config::default().drain;
    let millis = i64::try_from(default.as_millis()).unwrap_or(i64::MAX);
    u64::try_from(server.int("DrainTimeout", millis)).map_or(default, Duration::from_millis)
}

fn limits(server: &Node) -> Limits {
    // The schema lets nothing below 1 through.
    let limit = |path| u64::try_from(server.written_int(path)?).ok();
    let count = |path| limit(path).map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Limits {
        streams: count("Limits/Streams"),
        waiting: count("Limits/WaitingRequests"),
        bandwidth: limit("Limits/Bandwidth"),
    }
}

/// `Modules/LLHLS/Enable`, which is true unless it is written.
pub(super) fn is_llhls_enabled(server: &Node) -> bool {
    server.flag("Modules/LLHLS/Enable", true)
}

fn listeners(server: &Node, report: &mut Report) -> Listeners {
    for node in server.all("IP") {
        let Some(text) = node.own_text() else { continue };
        if !matches!(text, "*" | "::") && text.parse::<IpAddr>().is_err() {
            let reason = format!("<IP> holds `{}`, which is not an address.", shown(text));
            let remedy =
                "Write * (every IPv4 address), :: (every IPv6 address) or an address of this machine.";
            report.error(&node.at, Kind::WrongType, reason, remedy);
        }
    }
    if let Some(node) = server.find("Bind/Publishers/OVT/Port")
        && matches!(node.value, Value::Port(_, Transport::Srt))
    {
        let remedy = "OVT is served over TCP only: write the port without /srt.";
        report.warn(
            &node.at,
            Kind::NoEffect,
            "OVT over SRT is not served yet; nothing listens here.",
            remedy,
        );
    }
    if let Some(node) = server.find("Modules/LLHLS").filter(|_| !is_llhls_enabled(server)) {
        let remedy = "No player of LL-HLS is served; remove the element to serve them.";
        report.warn(&node.at, Kind::Contradiction, "The LLHLS module is switched off.", remedy);
    }
    let vhosts = server.find("VirtualHosts").into_iter().flat_map(|it| it.all("VirtualHost"));
    let hosts: Vec<&Node> = vhosts.filter_map(|it| it.find("Host")).collect();
    let managers: Vec<&Node> = server.find("Managers/Host").into_iter().collect();
    let [llhls_tls, hls_tls, api_tls] =
        ["Bind/Publishers/LLHLS/TLSPort", "Bind/Publishers/HLS/TLSPort", "Bind/Managers/API/TLSPort"]
            .map(|path| server.find(path));
    let is_used = llhls_tls.is_some() || hls_tls.is_some();
    certificate::unused(&hosts, is_used, "Bind/Publishers/LLHLS/TLSPort", report);
    certificate::unused(&managers, api_tls.is_some(), "Bind/Managers/API/TLSPort", report);
    let has_certificate = |hosts: &[&Node]| hosts.iter().any(|it| it.find("TLS").is_some());
    let add = "<TLS> to the <Host> of a virtual host";
    let llhls_tls = certificate::tls_port(llhls_tls, has_certificate(&hosts), add, report);
    let hls_tls = certificate::tls_port(hls_tls, has_certificate(&hosts), add, report);
    let add = "<TLS> to Server/Managers/Host";
    let api_tls = certificate::tls_port(api_tls, has_certificate(&managers), add, report);
    let has_token = server.text("Managers/API/AccessToken").is_some();
    Listeners {
        addresses: server.texts("IP"),
        api: tcp_port(server.find("Bind/Managers/API/Port")).filter(|_| has_token),
        api_tls: tcp_port(api_tls).filter(|_| has_token),
        rtmp: tcp_port(server.find("Bind/Providers/RTMP/Port")),
        ovt: tcp_port(server.find("Bind/Publishers/OVT/Port")),
        llhls: tcp_port(server.find("Bind/Publishers/LLHLS/Port")).filter(|_| is_llhls_enabled(server)),
        llhls_tls: tcp_port(llhls_tls).filter(|_| is_llhls_enabled(server)),
        http2: server.flag("Modules/HTTP2/Enable", true),
        hls: tcp_port(server.find("Bind/Publishers/HLS/Port")),
        hls_tls: tcp_port(hls_tls),
    }
}

/// The API, which wants a port and a token, and nothing without the other.
fn api(server: &Node, report: &mut Report) -> Option<Api> {
    let port = server.find("Bind/Managers/API/Port").or(server.find("Bind/Managers/API/TLSPort"));
    let token = server.text("Managers/API/AccessToken").filter(|token| !token.is_empty());
    match (port, token) {
        (Some(_), Some(token)) => {
            let tls = certificate::tls(server.find("Managers/Host"));
            Some(Api { token: Secret::new(token), tls })
        }
        (Some(port), None) => {
            let remedy = "Give it a token: <Managers><API><AccessToken>.";
            report.warn(
                &port.at,
                Kind::Missing,
                "The API has a port and no token, so it is not served.",
                remedy,
            );
            None
        }
        (None, _) => None,
    }
}

fn tcp_port(node: Option<&Node>) -> Option<u16> {
    match node?.value {
        Value::Port(number, Transport::Tcp) => Some(number),
        _ => None,
    }
}

fn virtual_host(node: &Node, defaults: &CrossDomains, report: &mut Report) -> VirtualHost {
    for name in ["SignedPolicy", "AdmissionWebhooks"] {
        access_control(node, name, report);
    }
    let names = node.find("Host/Names");
    let mut vhost = VirtualHost {
        name: node.text("Name").unwrap_or_default().to_string(),
        hosts: names.map(|it| it.texts("Name")).unwrap_or_default().into_iter().map(HostPattern).collect(),
        tls: certificate::tls(node.find("Host")),
        pull: node.find("Origins/Properties").map(|it| pull_properties(it, report)).unwrap_or_default(),
        origins: Vec::new(),
        store: store::store(node, report),
        applications: Vec::new(),
        template: None,
    };
    for origin in node.find("Origins").iter().flat_map(|it| it.all("Origin")) {
        vhost.origins.push(origin_rule(origin, report));
    }
    for child in node.find("Applications").iter().flat_map(|it| it.all("Application")) {
        let application = application(child, defaults, report);
        if application.name == TEMPLATE {
            vhost.template.get_or_insert(application);
        } else {
            vhost.applications.push(application);
        }
    }
    vhost
}

/// A file that asks for access control must not be served to everybody.
fn access_control(vhost: &Node, name: &'static str, report: &mut Report) {
    let Some(node) = vhost.find(name) else { return };
    let lists = [node.text("Enables/Providers"), node.text("Enables/Publishers")];
    let covers = |service: &str| {
        lists.iter().flatten().any(|it| it.split(',').any(|it| it.trim().eq_ignore_ascii_case(service)))
    };
    if covers("llhls") || covers("hls") || covers("rtmp") {
        let reason = format!("<{name}> asks for access control, which Headwater does not have yet.");
        let remedy = "To serve everybody without it, write ignore=\"true\" on the element.";
        report.error(&node.at, Kind::Contradiction, reason, remedy);
        return;
    }
    let reason = format!("<{name}> is accepted without effect.");
    report.warn(&node.at, Kind::NoEffect, reason, "It is enabled for none of RTMP, LL-HLS and HLS.");
}

fn pull_properties(node: &Node, report: &mut Report) -> PullProperties {
    let default = PullProperties::default();
    if let Some(timeout) = node.find("UnusedStreamDeletionTimeout")
        && timeout.value == Value::Int(0)
    {
        let reason = "<UnusedStreamDeletionTimeout> is 0: a stream is deleted as soon as nobody plays it.";
        report.warn(&timeout.at, Kind::OutOfRange, reason, "Give it some seconds, such as 60000.");
    }
    let millis = |name, default: Duration| {
        let default = i64::try_from(default.as_millis()).unwrap_or(i64::MAX);
        Duration::from_millis(u64::try_from(node.int(name, default)).unwrap_or(0))
    };
    PullProperties {
        no_input_timeout: millis("NoInputFailoverTimeout", default.no_input_timeout),
        suspicion_timeout: millis("NoInputSuspicionTimeout", default.suspicion_timeout),
        unused_timeout: millis("UnusedStreamDeletionTimeout", default.unused_timeout),
        failback_interval: millis("StreamFailbackTimeout", default.failback_interval),
        retry_count: u32::try_from(node.int("RetryCount", default.retry_count.into()))
            .unwrap_or(default.retry_count),
        hot_standby: hot_standby(node).unwrap_or(default.hot_standby),
    }
}

fn hot_standby(node: &Node) -> Option<u32> {
    node.find("HotStandby").and_then(|_| u32::try_from(node.int("HotStandby", 0)).ok())
}

fn origin_rule(node: &Node, report: &mut Report) -> OriginRule {
    if let Some(location) = node.find("Location")
        && location.own_text().is_some_and(|it| !it.starts_with('/'))
    {
        let text = location.own_text().unwrap_or_default();
        let reason =
            format!("The location `{}` does not begin with a slash and is for no request.", shown(text));
        report.error(&location.at, Kind::OutOfRange, reason, format!("Write /{}.", shown(text)));
    }
    let scheme = node.text("Pass/Scheme").unwrap_or_default().to_ascii_lowercase();
    for url in node.find("Pass/Urls").iter().flat_map(|it| it.all("Url")) {
        origin_url(url, &scheme, report);
    }
    let rule = OriginRule {
        location: node.text("Location").unwrap_or_default().to_string(),
        strict: node.flag("StrictLocation", false),
        urls: node.find("Pass/Urls").map(|it| it.texts("Url")).unwrap_or_default(),
        forward_query: node.flag("Pass/ForwardQueryParams", true),
        persistent: node.flag("Persistent", false),
        failback: node.flag("Failback", false),
        hot_standby: hot_standby(node),
        relay: node.flag("Relay", scheme == "ovt"),
        scheme,
    };
    if let Some(at) = node.find("Pass/Scheme")
        && let Err(unsupported) = rule.scheme_support()
        && at.own_text().is_some()
    {
        let reason = format!("Requests for `{}` cannot be pulled.", shown(&rule.location));
        report.warn(&at.at, Kind::NoEffect, reason, format!("Because {unsupported}."));
    }
    rule
}

/// A `Url` is `host:port/path` without a scheme.
fn origin_url(node: &Node, scheme: &str, report: &mut Report) {
    let Some(url) = node.own_text() else { return };
    let shown = shown(url);
    if let Some((written, rest)) = url.split_once("://") {
        let reason = format!("The URL `{shown}` has a scheme, which would stand twice.");
        let remedy = format!("Write {rest} here, and {written} into <Scheme>.");
        return report.error(&node.at, Kind::OutOfRange, reason, remedy);
    }
    if url.chars().any(|c| c == '#' || c.is_whitespace() || c.is_control()) {
        let reason = format!("The URL `{shown}` has a space or another character that no URL has.");
        return report.error(&node.at, Kind::OutOfRange, reason, "Write host:port/path.");
    }
    if scheme != "ovt" {
        return;
    }
    let address = url.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    if host.is_empty() {
        let reason = format!("The URL `{shown}` has no host.");
        return report.error(&node.at, Kind::OutOfRange, reason, "Write host:port/path.");
    }
    if port.is_some_and(|it| it.parse::<u16>().ok().filter(|it| *it > 0).is_none()) {
        let reason = format!("The URL `{shown}` has no port that can be.");
        let remedy = "Write host:port/path with a port from 1 to 65535.";
        report.error(&node.at, Kind::OutOfRange, reason, remedy);
    }
}

fn application(node: &Node, defaults: &CrossDomains, report: &mut Report) -> Application {
    let name = node.text("Name").unwrap_or_default().to_string();
    if let Some(at) = node.find("Name")
        && name.contains(['/', '#', '?'])
    {
        let reason =
            format!("The application `{}` cannot be asked for: a name has no / # or ?.", shown(&name));
        report.error(&at.at, Kind::OutOfRange, reason, "Rename it.");
    }
    if let Some(kind) = node.find("Type")
        && kind.own_text() == Some("vod")
    {
        let remedy = "It is served as live: Headwater has nothing but live streams.";
        report.warn(&kind.at, Kind::NoEffect, "<Type> vod is accepted without effect.", remedy);
    }
    let publishers = Publishers {
        ovt: node.find("Publishers/OVT").is_some(),
        llhls: node.find("Publishers/LLHLS").map(|it| ll_hls(it, defaults, report)),
        hls: node.find("Publishers/HLS").map(|it| hls(it, defaults)),
    };
    let profile = profile::read(node.find("OutputProfiles"), report);
    Application {
        name,
        providers: providers(node.find("Providers"), report),
        publishers,
        track_names: profile.track_names,
        playlists: profile.playlists,
    }
}

fn providers(node: Option<&Node>, report: &mut Report) -> Providers {
    let Some(node) = node else { return Providers::default() };
    let ovt = node.find("OVT").map(|it| OvtProvider { timestamps: timestamps(it, report) });
    let rtmp = node.find("RTMP").map(|it| {
        let silence = u64::try_from(it.int("PacketSilenceTimeoutMs", 0)).unwrap_or(0);
        let timestamps = timestamps(it, report);
        // Where other servers have the same stream, whoever asks is better sent there at once.
        let window = if timestamps == TimestampMode::ZeroBased { RECONNECT_WINDOW_MS } else { 0 };
        let window = it.int("ReconnectWindowMs", window).unsigned_abs();
        RtmpProvider {
            timestamps,
            block_duplicate: it.flag("BlockDuplicateStreamName", true),
            silence: (silence > 0).then(|| Duration::from_millis(silence)),
            reconnect_window: Duration::from_millis(window),
            standby: usize::try_from(it.int("StandbyPublishers", 0)).unwrap_or(0),
        }
    });
    Providers { ovt, rtmp }
}

/// Encoders try again two or three seconds after they have lost their connection.
const RECONNECT_WINDOW_MS: i64 = 5_000;

fn timestamps(provider: &Node, report: &mut Report) -> TimestampMode {
    let mode = match provider.text("TimestampMode") {
        Some("Original") => Some(TimestampMode::Original),
        Some("SystemClock") => Some(TimestampMode::SystemClock),
        Some(_) => Some(TimestampMode::ZeroBased),
        None => None,
    };
    let Some(deprecated) = provider.find("UseIncomingTimestamp") else { return mode.unwrap_or_default() };
    let incoming = deprecated.value == Value::Bool(true);
    if incoming && mode.is_some_and(|it| it != TimestampMode::Original) {
        let reason = "<UseIncomingTimestamp> and <TimestampMode> disagree.";
        report.warn(
            &deprecated.at,
            Kind::Contradiction,
            reason,
            "<TimestampMode> decides; remove the other.",
        );
    }
    let fallback = if incoming { TimestampMode::Original } else { TimestampMode::ZeroBased };
    mode.unwrap_or(fallback)
}

fn ll_hls(node: &Node, defaults: &CrossDomains, report: &mut Report) -> LlHls {
    let default = LlHls::default();
    if node.flag("DRM/Enable", false)
        && let Some(drm) = node.find("DRM")
    {
        let reason = "<DRM> asks for encryption, which Headwater does not have yet.";
        let remedy = "To serve the streams in the clear, write ignore=\"true\" on the element.";
        report.error(&drm.at, Kind::Contradiction, reason, remedy);
    }
    let hold_back = node.seconds("PartHoldBack", Duration::ZERO);
    let ll_hls = LlHls {
        chunk: node.seconds("ChunkDuration", default.chunk),
        segment: node.seconds("SegmentDuration", default.segment),
        segment_count: segment_count(node, default.segment_count),
        part_hold_back: (!hold_back.is_zero()).then_some(hold_back),
        preload_hint: node.flag("EnablePreloadHint", default.preload_hint),
        default_playlist: node.flag("CreateDefaultPlaylist", default.default_playlist),
        origin_mode: node.flag("OriginMode", default.origin_mode),
        cross_domains: node.find("CrossDomains").map_or_else(|| defaults.clone(), cross_domains),
        cache: node.find("CacheControl").map(cache_control).unwrap_or_default(),
    };
    durations_agree(node, &ll_hls, report);
    ll_hls
}

fn hls(node: &Node, defaults: &CrossDomains) -> Hls {
    let default = Hls::default();
    Hls {
        segment: node.seconds("SegmentDuration", default.segment),
        segment_count: segment_count(node, default.segment_count),
        default_playlist: node.flag("CreateDefaultPlaylist", default.default_playlist),
        origin_mode: node.flag("OriginMode", default.origin_mode),
        cross_domains: node.find("CrossDomains").map_or_else(|| defaults.clone(), cross_domains),
        cache: node.find("CacheControl").map(cache_control).unwrap_or_default(),
    }
}

fn segment_count(node: &Node, default: usize) -> usize {
    usize::try_from(node.int("SegmentCount", 0)).ok().filter(|it| *it > 0).unwrap_or(default)
}

fn durations_agree(node: &Node, ll_hls: &LlHls, report: &mut Report) {
    if ll_hls.chunk > ll_hls.segment {
        let at = node.find("ChunkDuration").or(node.find("SegmentDuration")).unwrap_or(node);
        let reason = format!(
            "ChunkDuration ({} s) is longer than SegmentDuration ({} s).",
            ll_hls.chunk.as_secs_f64(),
            ll_hls.segment.as_secs_f64()
        );
        let remedy = "A segment is made of chunks; shorten ChunkDuration.";
        report.error(&at.at, Kind::Contradiction, reason, remedy);
    }
    if let Some(hold_back) = ll_hls.part_hold_back
        && hold_back < ll_hls.chunk * 2
    {
        let at = node.find("PartHoldBack").unwrap_or(node);
        let reason = format!(
            "PartHoldBack ({} s) is shorter than two chunks of {} s.",
            hold_back.as_secs_f64(),
            ll_hls.chunk.as_secs_f64()
        );
        let remedy = format!(
            "Players stall so near to the end: write {} (three chunks), or 0 to have it computed.",
            (ll_hls.chunk * 3).as_secs_f64()
        );
        report.error(&at.at, Kind::Contradiction, reason, remedy);
    }
}

fn cross_domains(node: &Node) -> CrossDomains {
    let header = |it: &Node| {
        let text = |path| it.text(path).unwrap_or_default().to_string();
        (text("Key"), text("Value"))
    };
    CrossDomains { urls: node.texts("Url"), headers: node.all("Header").map(header).collect() }
}

fn cache_control(node: &Node) -> CacheControl {
    CacheControl {
        master: node.written_int("MasterPlaylistMaxAge"),
        chunklist: node.written_int("ChunklistMaxAge"),
        chunklist_with_directives: node.written_int("ChunklistWithDirectivesMaxAge"),
        segment: node.written_int("SegmentMaxAge"),
        part: node.written_int("PartialSegmentMaxAge"),
    }
}

/// The name of the template of applications.
const TEMPLATE: &str = "*";
