//! Whole files through [`load`]: what loads, what is said about what does not, and where.

use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::io::Endpoint;
use crate::limits;

/// A machine in memory.
#[derive(Default)]
struct Machine {
    files: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
}

impl Machine {
    fn with(files: &[(&str, &str)]) -> Machine {
        let owned = |(a, b): &(&str, &str)| (a.to_string(), b.to_string());
        Machine { files: files.iter().map(owned).collect(), variables: BTreeMap::new() }
    }

    fn set(mut self, name: &str, value: &str) -> Machine {
        self.variables.insert(name.to_string(), value.to_string());
        self
    }
}

impl Environment for Machine {
    fn var(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
    fn hostname(&self) -> Option<String> {
        Some("box".to_string())
    }
    fn home(&self) -> String {
        "/opt/headwater".to_string()
    }
    fn current_path(&self) -> String {
        "/srv".to_string()
    }
    fn read(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "no such file".to_string())
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, String> {
        let names: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| match path.rsplit_once('/') {
                Some((parent, name)) => (parent == dir).then(|| name.to_string()),
                None => (dir == ".").then(|| path.clone()),
            })
            .collect();
        if names.is_empty() { Err("no such directory".to_string()) } else { Ok(names) }
    }
}

fn load_text(text: &str) -> Result<Loaded, Diagnostics> {
    load("Server.xml", &Machine::with(&[("Server.xml", text)]))
}

fn loaded(text: &str) -> Loaded {
    load_text(text).unwrap_or_else(|found| panic!("{found}"))
}

/// All that is said about a file, a line each.
fn said(text: &str) -> Vec<String> {
    said_of(&Machine::with(&[("Server.xml", text)]))
}

fn said_of(machine: &Machine) -> Vec<String> {
    let found = match load("Server.xml", machine) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found.found,
    };
    found.iter().map(ToString::to_string).collect()
}

/// The only thing that is said about a file.
fn only(text: &str) -> String {
    let said = said(text);
    assert_eq!(said.len(), 1, "{said:#?}");
    said.into_iter().next().unwrap_or_default()
}

/// A good server with these parts. Line 1 is the root, each part begins on a line of its own.
fn server(parts: &Parts) -> String {
    let Parts { ports, origins, application, extra } = parts;
    format!(
        "<Server version=\"10\"><Type>origin</Type><IP>*</IP>\n{extra}\n<Bind>{ports}</Bind><VirtualHosts>\
         <VirtualHost><Name>v</Name><Host><Names><Name>*</Name></Names></Host>\n{origins}\n<Applications>\
         <Application><Name>app</Name><Type>live</Type>\n{application}\n</Application></Applications>\
         </VirtualHost></VirtualHosts></Server>"
    )
}

struct Parts {
    extra: &'static str,
    ports: &'static str,
    origins: &'static str,
    application: &'static str,
}

const GOOD: Parts = Parts {
    extra: "",
    ports: "<Publishers><OVT><Port>9000</Port></OVT><LLHLS><Port>3333</Port></LLHLS></Publishers>",
    origins: "",
    application: "<Providers><OVT/></Providers><Publishers><OVT/><LLHLS/></Publishers>",
};

fn with_extra(extra: &'static str) -> String {
    server(&Parts { extra, ..GOOD })
}
fn with_ports(ports: &'static str) -> String {
    server(&Parts { ports, ..GOOD })
}
fn with_origins(origins: &'static str) -> String {
    server(&Parts { origins, ..GOOD })
}
fn with_application(application: &'static str) -> String {
    server(&Parts { application, ..GOOD })
}

const PULL: &str = "<Pass><Scheme>ovt</Scheme><Urls><Url>o:9000/app/</Url></Urls></Pass>";

// --- What loads ---

#[test]
fn a_good_server_loads_in_silence() {
    let loaded = loaded(&server(&GOOD));
    assert_eq!(loaded.warnings, []);
    let listeners = loaded.config.listeners;
    assert_eq!((listeners.ovt, listeners.llhls, listeners.rtmp), (Some(9000), Some(3333), None));
    assert_eq!(loaded.config.vhosts[0].applications[0].publishers.llhls, Some(LlHls::default()));
}

#[test]
fn the_examples_load_in_silence() {
    for text in [
        include_str!("../../../examples/origin.xml"),
        include_str!("../../../examples/edge.xml"),
        include_str!("../../../examples/all-in-one.xml"),
    ] {
        assert_eq!(said(text), [""; 0]);
    }
}

#[test]
fn the_files_in_the_manual_load_in_silence() {
    let manual = include_str!("../../../docs/configuration.md");
    let files: Vec<&str> = manual.split("```xml\n").skip(1).filter_map(|it| it.split("```").next()).collect();
    assert_eq!(files.len(), 2);
    for text in files {
        assert_eq!(said(text), [""; 0]);
    }
}

#[test]
fn the_edge_example_says_what_it_seems_to_say() {
    let config = loaded(include_str!("../../../examples/edge.xml")).config;
    let vhost = config.vhost_for("edge.example.com:3333").expect("the pattern is *");
    assert_eq!(vhost.pull.retry_count, 5);
    let resolved = crate::origin_map::resolve(&vhost.origins, "live", "cam", Some("a=b")).expect("a rule");
    assert_eq!(
        resolved.urls,
        ["ovt://origin-a.internal:9000/live/cam", "ovt://origin-b.internal:9000/live/cam"]
    );
    assert!(resolved.rule.failback && resolved.rule.relay && !resolved.rule.persistent);
    let application = vhost.application("live").expect("it is configured");
    assert_eq!(application.providers.ovt.map(|it| it.timestamps), Some(TimestampMode::ZeroBased));
}

const VECTORS: [&str; 5] = [
    include_str!("../../../vectors/ome-llhls/origin.Server.xml"),
    include_str!("../../../vectors/ovt/h264-aac/edge.Server.xml"),
    include_str!("../../../vectors/ovt/h264-aac/origin.Server.xml"),
    include_str!("../../../vectors/ovt/redis/edge.Server.xml"),
    include_str!("../../../vectors/ovt/redis/origin.Server.xml"),
];

#[test]
fn files_that_ran_oven_media_engine_load_and_only_warn_of_what_is_not_served() {
    for text in VECTORS {
        let loaded = loaded(text);
        for warning in &loaded.warnings {
            assert_eq!(warning.kind, Kind::NoEffect, "{warning}");
        }
        let mut remedies: Vec<_> = loaded.warnings.iter().map(|it| &it.remedy).collect();
        remedies.sort();
        let all = remedies.len();
        remedies.dedup();
        assert_eq!(remedies.len(), all, "a thing is said once");
    }
}

#[test]
fn an_origin_that_ran_oven_media_engine_is_understood() {
    let config = loaded(VECTORS[2]).config;
    assert_eq!(config.name, "OME-origin1");
    let listeners = Listeners {
        api: Some(28081),
        addresses: vec!["127.0.0.1".to_string()],
        rtmp: Some(21935),
        ovt: Some(29000),
        llhls: Some(23333),
        http2: true,
        ..Listeners::default()
    };
    assert_eq!(config.listeners, listeners);
    let application = &config.vhosts[0].applications[0];
    let track_names = (Some("bypass_video".to_string()), Some("bypass_audio".to_string()));
    assert_eq!(application.track_names, track_names);
    assert!(application.publishers.ovt && application.providers.rtmp.is_some());
    let playlist = &application.playlists[0];
    assert_eq!((playlist.name.as_str(), playlist.file_name.as_str()), ("default", "master"));
    assert_eq!(playlist.options.chunklist_path_depth, 0);
    assert!(playlist.options.ts_packaging);
    assert_eq!(
        (playlist.renditions[0].video.as_str(), playlist.renditions[0].video_index),
        ("bypass_video", -1)
    );
    let ll_hls = application.publishers.llhls.as_ref().expect("LLHLS is there");
    assert_eq!(ll_hls.part_hold_back.map(|it| it.as_millis()), Some(1_500));
    assert_eq!(ll_hls.cross_domains.urls, ["*"]);
}

#[test]
fn the_origins_of_the_clustering_page_load_with_a_warning_for_rtsp() {
    let text = with_origins(
        "<Origins><Properties><NoInputFailoverTimeout>2500</NoInputFailoverTimeout></Properties>\
         <Origin><Location>/app/stream</Location><Pass><Scheme>ovt</Scheme>\
         <Urls><Url>origin.com:9000/app/stream_720p</Url></Urls>\
         <ForwardQueryParams>true</ForwardQueryParams></Pass></Origin>\
         <Origin><Location>/app/</Location><Pass><Scheme>OVT</Scheme>\
         <Urls><Url>origin.com:9000/app/</Url></Urls></Pass></Origin>\n\
         <Origin><Location>/</Location><Pass><Scheme>RTSP</Scheme>\
         <Urls><Url>origin2.com:9000/</Url></Urls></Pass></Origin></Origins>",
    );
    let loaded = loaded(&text);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "Server.xml:5:37: warning: Requests for `/` cannot be pulled. Because streams are not pulled over `rtsp`, \
          only over `ovt`; let the origin publish over OVT."
        ]
    );
    let vhost = &loaded.config.vhosts[0];
    assert_eq!(vhost.pull.no_input_timeout.as_millis(), 2_500);
    assert_eq!(vhost.pull.unused_timeout.as_millis(), 60_000);
    let schemes: Vec<&str> = vhost.origins.iter().map(|it| it.scheme.as_str()).collect();
    assert_eq!(schemes, ["ovt", "ovt", "rtsp"]);
    let relays: Vec<bool> = vhost.origins.iter().map(|it| it.relay).collect();
    assert_eq!(relays, [true, true, false]);
}

#[test]
fn the_clustering_pages_version_5_and_its_origin_load_when_completed() {
    let text = "<Server version=\"5\"><IP>*</IP><Bind><Publishers><OVT><Port>9000</Port></OVT></Publishers></Bind>\
                <VirtualHosts><VirtualHost><Name>v</Name><Host><Names><Name>*</Name></Names></Host><Applications>\
                <Application><Name>app</Name><Type>live</Type><Publishers><OVT /></Publishers>\
                </Application></Applications></VirtualHost></VirtualHosts></Server>";
    let warnings: Vec<Kind> = loaded(text).warnings.iter().map(|it| it.kind).collect();
    assert_eq!(warnings, [Kind::Version, Kind::Missing]);
}

#[test]
fn the_clustering_pages_store_and_template_load_with_warnings_for_what_is_not_served() {
    let text = with_origins(
        "<OriginMapStore><RedisServer><Host>192.168.0.160:6379</Host><Auth>!@#ovenmediaengine</Auth></RedisServer>\
         <OriginHostName>ome-dev.airensoft.com</OriginHostName></OriginMapStore>",
    );
    let template = "<Application><Name>*</Name><Type>live</Type><Providers><OVT /></Providers><Publishers>\
        <AppWorkerCount>1</AppWorkerCount><StreamWorkerCount>8</StreamWorkerCount><WebRTC><Timeout>30000</Timeout>\
        <Rtx>false</Rtx><Ulpfec>false</Ulpfec><JitterBuffer>false</JitterBuffer></WebRTC><LLHLS>\
        <ChunkDuration>0.5</ChunkDuration><SegmentDuration>6</SegmentDuration><SegmentCount>10</SegmentCount>\
        <CrossDomains><Url>*</Url></CrossDomains></LLHLS></Publishers></Application>";
    let loaded = loaded(&text.replace("</Applications>", &format!("{template}</Applications>")));
    let names: Vec<&str> = loaded.warnings.iter().filter_map(|it| it.path.rsplit('/').next()).collect();
    assert_eq!(names, ["AppWorkerCount", "WebRTC"]);
    assert!(loaded.config.vhosts[0].store.is_some());
    let application = loaded.config.vhosts[0].application("any").expect("there is a template");
    assert!(application.providers.ovt.is_some() && application.publishers.llhls.is_some());
}

#[test]
fn a_stream_waits_for_its_publisher_as_it_is_written() {
    let rtmp = |written: &str| {
        let text = server(&Parts {
            ports: "<Providers><RTMP><Port>1935</Port></RTMP></Providers>",
            application: "<Providers><RTMP>what is written</RTMP></Providers>",
            ..GOOD
        });
        let provider = loaded(&text.replace("what is written", written)).config.vhosts[0].applications[0]
            .providers
            .rtmp
            .clone();
        let provider = provider.expect("RTMP is there");
        (provider.reconnect_window.as_millis(), provider.standby)
    };
    assert_eq!(rtmp(""), (5_000, 0));
    assert_eq!(rtmp("<ReconnectWindowMs>0</ReconnectWindowMs>"), (0, 0));
    assert_eq!(rtmp("<StandbyPublishers>2</StandbyPublishers>"), (5_000, 2));
    let shared = "<TimestampMode>Original</TimestampMode>";
    assert_eq!(rtmp(shared), (0, 0), "there may be another server");
    assert_eq!(rtmp(&format!("{shared}<ReconnectWindowMs>900</ReconnectWindowMs>")), (900, 0));
}

#[test]
fn the_redundancy_page_loads_with_warnings_for_what_is_not_served() {
    let text = server(&Parts {
        ports: "<Providers><RTMP><Port>1935</Port></RTMP></Providers>\
                <Publishers><LLHLS><Port>3333</Port></LLHLS></Publishers>",
        application: "<Providers><OVT><TimestampMode>SystemClock</TimestampMode></OVT>\
            <RTMP><TimestampMode>SystemClock</TimestampMode><PacketSilenceTimeoutMs>1000</PacketSilenceTimeoutMs></RTMP>\
            <WebRTC><TimestampMode>SystemClock</TimestampMode></WebRTC>\
            <RTSPPull><TimestampMode>SystemClock</TimestampMode></RTSPPull>\
            <SRT><TimestampMode>SystemClock</TimestampMode></SRT>\
            <Schedule><TimestampMode>SystemClock</TimestampMode><MediaRootDir>s</MediaRootDir>\
            <ScheduleFilesDir>s</ScheduleFilesDir></Schedule>\
            <Multiplex><MuxFilesDir>m</MuxFilesDir><PacketSilenceTimeoutMs>1000</PacketSilenceTimeoutMs></Multiplex>\
            </Providers><Publishers><LLHLS><OriginMode>true</OriginMode>\
            <ServerTimeBasedSegmentNumbering>true</ServerTimeBasedSegmentNumbering>\
            <ChunkDuration>1</ChunkDuration><PartHoldBack>3</PartHoldBack><SegmentDuration>6</SegmentDuration>\
            <SegmentCount>10</SegmentCount><CrossDomains><Url>*</Url></CrossDomains></LLHLS>\
            <HLS><SegmentCount>10</SegmentCount><SegmentDuration>4</SegmentDuration></HLS></Publishers>",
        ..GOOD
    });
    let loaded = loaded(&text);
    let names: Vec<&str> = loaded.warnings.iter().filter_map(|it| it.path.rsplit('/').next()).collect();
    assert_eq!(names, ["WebRTC", "RTSPPull", "SRT", "Schedule", "Multiplex"]);
    let application = &loaded.config.vhosts[0].applications[0];
    let hls = application.publishers.hls.as_ref().expect("HLS is there");
    assert_eq!((hls.segment.as_secs(), hls.segment_count, hls.default_playlist), (4, 10, true));
    let rtmp = application.providers.rtmp.as_ref().expect("RTMP is there");
    assert_eq!(rtmp.timestamps, TimestampMode::SystemClock);
    assert_eq!(rtmp.silence.map(|it| it.as_millis()), Some(1_000));
    assert!(rtmp.block_duplicate);
    assert!(rtmp.reconnect_window.is_zero(), "there may be another server");
}

// --- What does not, and where ---

#[test]
fn a_misspelt_element_is_named_with_its_neighbour() {
    let text = with_origins(
        "<Origins><Properties>\n  <NoInputFailoverTimout>1</NoInputFailoverTimout></Properties></Origins>",
    );
    assert_eq!(
        only(&text),
        "Server.xml:5:3: error: <NoInputFailoverTimout> is not an element of <Properties>. \
         Did you mean <NoInputFailoverTimeout>?"
    );
    let found = load_text(&text).expect_err("it is an error");
    assert_eq!(
        found.found[0].path,
        "Server/VirtualHosts/VirtualHost/Origins/Properties/NoInputFailoverTimout"
    );
    assert_eq!(found.found[0].kind, Kind::Unknown);
}

#[test]
fn the_redundancy_pages_typos_are_found() {
    let text = with_application(
        "<Providers><OVT>\n<TimestampMode>\nOrignal\n</TimestampMode></OVT></Providers><Publishers><OVT/><LLHLS/></Publishers>",
    );
    assert_eq!(
        only(&text),
        "Server.xml:7:1: error: <TimestampMode> holds `Orignal`, which it cannot be. Did you mean Original?"
    );
    let text = with_application("<Providers>\n<OVT/></Providerrs><Publishers><OVT/></Publishers>");
    assert_eq!(
        only(&text),
        "Server.xml:7:7: error: </Providerrs> does not close <Providers> of Server.xml:6:1. Write </Providers> here."
    );
}

#[test]
fn an_element_in_the_wrong_place_is_sent_to_the_right_one() {
    let text = with_application(
        "<Providers><OVT><PacketSilenceTimeoutMs>1</PacketSilenceTimeoutMs></OVT></Providers>\
         <Publishers><OVT/><LLHLS/></Publishers>",
    );
    let said = only(&text);
    assert!(said.starts_with(
        "Server.xml:6:17: error: <PacketSilenceTimeoutMs> is not an element of <OVT>. It belongs into"
    ));
    assert!(said.contains("Application/Providers/RTMP>"), "{said}");
}

#[test]
fn values_of_the_wrong_type_and_out_of_range_are_errors() {
    for (text, expected) in [
        (
            with_origins("<Origins><Properties><RetryCount>abc</RetryCount></Properties></Origins>"),
            "4:22: error: <RetryCount> holds `abc`, which is not a whole number. Write a number from 0 to 1000000.",
        ),
        (
            with_origins(
                "<Origins><Properties><NoInputFailoverTimeout>0</NoInputFailoverTimeout></Properties></Origins>",
            ),
            "4:22: error: <NoInputFailoverTimeout> is 0, which is out of range. Write a number from 1 to 31536000000 ms.",
        ),
        (
            with_origins(
                "<Origins><Properties><StreamFailbackTimeout>-5</StreamFailbackTimeout></Properties></Origins>",
            ),
            "4:22: error: <StreamFailbackTimeout> is -5, which is out of range. Write a number from 1 to 31536000000 ms.",
        ),
        (
            with_ports("<Publishers><OVT><Port>0</Port></OVT><LLHLS><Port>3333</Port></LLHLS></Publishers>"),
            "3:24: error: <Port> is 0, which is out of range. A port is a number from 1 to 65535.",
        ),
        (
            with_ports(
                "<Publishers><OVT><Port>70000</Port></OVT><LLHLS><Port>3333</Port></LLHLS></Publishers>",
            ),
            "3:24: error: <Port> is 70000, which is out of range. A port is a number from 1 to 65535.",
        ),
        (
            with_application(
                "<Publishers><OVT/><LLHLS><SegmentDuration>0</SegmentDuration></LLHLS></Publishers>",
            ),
            "6:26: error: <SegmentDuration> is 0, which is out of range. Write seconds from 0.5 to 600.",
        ),
        (
            with_application("<Publishers><OVT/><LLHLS><SegmentCount>2</SegmentCount></LLHLS></Publishers>"),
            "6:26: error: <SegmentCount> is 2, which is out of range. Write a number from 3 to 1000.",
        ),
        (
            with_application(
                "<Publishers><OVT/><LLHLS><EnablePreloadHint>yes</EnablePreloadHint></LLHLS></Publishers>",
            ),
            "6:26: error: <EnablePreloadHint> holds `yes`, which is not a truth value. Write true or false.",
        ),
        (
            with_extra("<IP>localhost</IP>"),
            "2:1: error: <IP> holds `localhost`, which is not an address. Write * (every IPv4 address), :: (every \
             IPv6 address) or an address of this machine.",
        ),
    ] {
        assert_eq!(only(&text), format!("Server.xml:{expected}"));
    }
}

#[test]
fn values_are_checked_also_where_they_have_no_effect() {
    let text = with_extra(
        "<Modules><P2P><Enable>false</Enable>\n<MaxClientPeersPerHostPeer>x</MaxClientPeersPerHostPeer></P2P></Modules>",
    );
    assert_eq!(
        only(&text),
        "Server.xml:3:1: error: <MaxClientPeersPerHostPeer> holds `x`, which is not a whole number. \
         Write a number from 0 up."
    );
}

#[test]
fn what_is_missing_and_what_stands_twice_is_said() {
    let text = "<Server version=\"10\">\n<Type>origin</Type></Server>";
    assert_eq!(
        said(text),
        [
            "Server.xml:1:1: error: <Server> has no <IP>. Add <IP>*</IP> (every IPv4 address) or <IP>::</IP> (IPv6).",
            "Server.xml:1:1: error: <Server> has no <Bind>. Add <Bind>...</Bind>.",
        ]
    );
    assert_eq!(
        only(&with_extra("<Name>a</Name><Name>b</Name>")),
        "Server.xml:2:15: error: <Name> stands twice in <Server>. The first is at Server.xml:2:1; keep one of them."
    );
    assert_eq!(
        only(&with_origins("<Origins><Origin><Location>/app/</Location></Origin></Origins>")),
        "Server.xml:4:10: error: <Origin> has no <Pass>. Add <Pass>...</Pass>."
    );
    let without_type = server(&GOOD).replace("<Type>origin</Type>", "");
    assert_eq!(
        only(&without_type),
        "Server.xml:1:1: warning: <Server> has no <Type>. OvenMediaEngine refuses that; Headwater takes nothing from \
         it. Add <Type>origin|edge</Type>."
    );
}

#[test]
fn stray_text_is_found_where_it_stands() {
    let text = with_application("<Publishers>\n  ...\n<OVT/><LLHLS/></Publishers>");
    assert_eq!(
        only(&text),
        "Server.xml:7:3: error: The text `...` stands in <Publishers>, which holds elements only. \
         Remove it, or put it into an element."
    );
    assert_eq!(only("<Server version=\"10\"/> x").split(": ").nth(1), Some("error"));
    let inside = with_extra("<Name>a<b/></Name>");
    assert_eq!(
        only(&inside),
        "Server.xml:2:8: error: <b> is not an element of <Name>. <Name> holds a value, not elements: is its end tag missing?"
    );
}

#[test]
fn all_errors_of_a_file_are_told_at_once_in_the_order_of_the_text() {
    let text = server(&Parts {
        extra: "<Nam>x</Nam>",
        ports: "<Publishers><OVT><Port>x</Port></OVT><LLHLS><Port>3333</Port></LLHLS></Publishers>",
        origins: "<Origins><Origin><Location>app/</Location><Pass><Scheme>ovt</Scheme><Urls><Url>ovt://o/</Url></Urls>\
                  </Pass></Origin></Origins>",
        application: "<Publishers><OVT/><LLHLS><ChunkDuration>7</ChunkDuration></LLHLS></Publishers>",
    });
    let found = load_text(&text).expect_err("it has errors");
    let places: Vec<(u32, Kind)> = found.errors().map(|it| (it.line, it.kind)).collect();
    let expected = [
        (2, Kind::Unknown),
        (3, Kind::WrongType),
        (4, Kind::OutOfRange),
        (4, Kind::OutOfRange),
        (6, Kind::Contradiction),
    ];
    assert_eq!(places, expected);
    assert_eq!(found.to_string().lines().count(), found.found.len());
}

#[test]
fn versions_from_8_to_10_are_read_older_ones_with_a_warning_and_others_not() {
    let versioned = |version: &str| server(&GOOD).replace("version=\"10\"", version);
    for version in ["version=\"8\"", "version=\"9\"", "version=\"10\""] {
        assert_eq!(said(&versioned(version)), [""; 0]);
    }
    for (version, expected) in [
        (
            "version=\"5\"",
            "warning: Version 5 is older than OvenMediaEngine itself accepts. It is read as version 10. \
             Headwater reads versions 8 to 10: write <Server version=\"10\">.",
        ),
        (
            "version=\"11\"",
            "error: Version 11 is not known. Headwater reads versions 8 to 10: write <Server version=\"10\">.",
        ),
        (
            "version=\"0\"",
            "error: Version 0 is not known. Headwater reads versions 8 to 10: write <Server version=\"10\">.",
        ),
        (
            "version=\"x\"",
            "error: The version `x` is not a number. Headwater reads versions 8 to 10: write <Server version=\"10\">.",
        ),
        (
            "",
            "error: <Server> has no version. Headwater reads versions 8 to 10: write <Server version=\"10\">.",
        ),
    ] {
        assert_eq!(only(&versioned(version)), format!("Server.xml:1:1: {expected}"));
    }
}

#[test]
fn malformed_xml_is_told_with_where_it_was_opened() {
    for (text, expected) in [
        (
            "<Server>\n <Bind>\n</Server>",
            "3:1: error: </Server> comes before <Bind> of Server.xml:2:2 is closed. Write </Bind> here.",
        ),
        (
            "<Server>\n <Bind>\n",
            "3:1: error: The file ends before <Bind> of Server.xml:2:2 is closed. Write </Bind>, or fetch the rest of the file.",
        ),
        ("</Server>", "1:1: error: </Server> closes nothing. Remove it, or open the element before."),
        ("", "1:1: error: The file holds no element. Begin with <Server version=\"10\">."),
        (
            "<Server/>\n<Server/>",
            "2:1: error: <Server> follows the root element. A file has one root element; move it inside.",
        ),
        (
            "<Server>\n<Name>&bomb;</Name></Server>",
            "2:7: error: This reference is not a character. Entities are not expanded; write the text itself, and & as &amp;.",
        ),
        (
            "<?xml version=\"1.0\" encoding=\"EUC-KR\"?><Server/>",
            "1:1: error: The encoding `EUC-KR` is not read. Save the file as UTF-8 and declare encoding=\"UTF-8\".",
        ),
        (
            "<Servant/>",
            "1:1: error: The root element is <Servant>. A server's configuration begins with <Server version=\"10\">.",
        ),
        (
            "<Server>\n<Name>a\u{1}</Name></Server>",
            "2:7: error: The text holds the character \\u{1}. XML cannot carry it; remove it.",
        ),
    ] {
        assert_eq!(only(text), format!("Server.xml:{expected}"));
    }
    for text in [
        "<Server",
        "<Server a></Server>",
        "<Server a=\"1\" a=\"2\"/>",
        "<Server><!-- </Server>",
        "<!x>",
        "< a/>",
    ] {
        let found = load_text(text).expect_err(text);
        assert_eq!(
            (found.found[0].severity, found.found[0].kind),
            (Severity::Error, Kind::Malformed),
            "{text}"
        );
    }
}

#[test]
fn a_document_type_is_skipped_and_its_entities_are_not_known() {
    let text = format!("<!DOCTYPE Server [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>{}", server(&GOOD));
    assert_eq!(
        only(&text),
        "Server.xml:1:1: warning: A document type declaration is not read. \
         Remove it; no entity that it declares is known."
    );
    let text = text.replace("<Type>origin</Type>", "<Name>&x;</Name>");
    assert!(said(&text).iter().any(|it| it.contains("error: This reference is not a character.")));
}

#[test]
fn columns_count_characters_and_a_byte_order_mark_counts_for_nothing() {
    let text = format!("\u{feff}{}", with_extra("<!-- 원본 --><Nam/>"));
    assert!(only(&text).starts_with("Server.xml:2:12: error: <Nam>"), "{}", only(&text));
}

#[test]
fn entities_of_xml_and_cdata_are_text() {
    let config = loaded(&with_extra("<Name>a&amp;b&#x41;<![CDATA[<c>]]></Name>")).config;
    assert_eq!(config.name, "a&bA<c>");
}

#[test]
fn a_port_may_be_that_of_hls_and_of_ll_hls_and_of_nothing_else() {
    let with_hls = |port: &str| {
        let text =
            with_application("<Providers><OVT/></Providers><Publishers><OVT/><LLHLS/><HLS/></Publishers>");
        text.replacen("</LLHLS>", &format!("</LLHLS><HLS><Port>{port}</Port></HLS>"), 1)
    };
    let listeners = |port: &str| loaded(&with_hls(port)).config.listeners;
    assert_eq!((listeners("3333").llhls, listeners("3333").hls), (Some(3333), Some(3333)));
    assert_eq!(listeners("3334").hls, Some(3334));
    assert_eq!(said(&with_hls("3333")), [""; 0]);
    assert!(only(&with_hls("9000")).contains("error: HLS and OVT cannot share a port."));
}

#[test]
fn hls_has_what_ll_hls_has_without_parts() {
    let text = with_application(
        "<Publishers><OVT/><LLHLS/><HLS><OriginMode>false</OriginMode><SegmentCount>4</SegmentCount>\
         <ServerTimeBasedSegmentNumbering>true</ServerTimeBasedSegmentNumbering>\
         <SegmentDuration>1.5</SegmentDuration><CreateDefaultPlaylist>false</CreateDefaultPlaylist>\
         <CrossDomains><Url>*</Url></CrossDomains>\
         <CacheControl><SegmentMaxAge>60</SegmentMaxAge></CacheControl></HLS></Publishers>",
    );
    // The port of LL-HLS is enough: names tell the two apart.
    let config = loaded(&text).config;
    let expected = Hls {
        segment: Duration::from_millis(1_500),
        segment_count: 4,
        default_playlist: false,
        cross_domains: CrossDomains { urls: vec!["*".to_string()], headers: Vec::new() },
        cache: CacheControl { segment: Some(60), ..CacheControl::default() },
        origin_mode: false,
    };
    assert_eq!(config.vhosts[0].applications[0].publishers.hls, Some(expected));
    let chunks = "<Publishers><OVT/><LLHLS/><HLS><ChunkDuration>1</ChunkDuration></HLS></Publishers>";
    assert!(only(&with_application(chunks)).contains("error: <ChunkDuration> is not an element of <HLS>."));
    let few = "<Publishers><OVT/><LLHLS/><HLS><SegmentCount>2</SegmentCount></HLS></Publishers>";
    assert!(only(&with_application(few)).contains("error: <SegmentCount> is 2, which is out of range."));
}

// --- What does not go together ---

#[test]
fn services_need_a_port_and_an_application() {
    for (text, expected) in [
        (
            with_ports("<Publishers><LLHLS><Port>3333</Port></LLHLS></Publishers>"),
            "6:42: warning: The OVT publisher is enabled here, but Bind/Publishers/OVT/Port is missing. \
             Nothing listens for OVT; add the port under <Bind>, or remove this.",
        ),
        (
            with_application("<Publishers><OVT/></Publishers>"),
            "3:54: warning: LLHLS has a port, but no application has Publishers/LLHLS. \
             Nothing is served there; add <LLHLS/> to the <Publishers> of an application.",
        ),
        (
            with_ports(
                "<Providers><RTMP/></Providers><Publishers><OVT><Port>9000</Port></OVT>\
                 <LLHLS><Port>3333</Port></LLHLS></Publishers>",
            ),
            "3:18: warning: <RTMP> has no <Port>. Nothing listens; there is no default port.",
        ),
        (
            with_ports(
                "<Publishers><OVT><Port>9000</Port></OVT><LLHLS><Port>9000</Port></LLHLS></Publishers>",
            ),
            "3:54: error: LLHLS and OVT cannot share a port. The other one is at Server.xml:3:24; give each its own.",
        ),
        (
            with_ports(
                "<Publishers><OVT><Port>9000</Port></OVT><LLHLS><Port>3333</Port></LLHLS><HLS><Port>3333</Port></HLS></Publishers>",
            ),
            "3:84: warning: HLS has a port, but no application has Publishers/HLS. \
             Nothing is served there; add <HLS/> to the <Publishers> of an application.",
        ),
        (
            with_ports(
                "<Publishers><OVT><Port>9000/srt</Port></OVT><LLHLS><Port>9000</Port></LLHLS></Publishers>",
            ),
            "3:24: warning: OVT over SRT is not served yet; nothing listens here. \
             OVT is served over TCP only: write the port without /srt.",
        ),
    ] {
        assert_eq!(only(&text), format!("Server.xml:{expected}"));
    }
}

#[test]
fn tls_is_a_port_and_a_certificate() {
    const TLS: &str = "<TLS><CertPath>a.crt</CertPath><KeyPath>/k/a.key</KeyPath><ChainCertPath>c.crt</ChainCertPath></TLS>";
    let with = |host: &str, ports: &'static str, extra: &'static str| {
        let text = server(&Parts { ports, extra, ..GOOD });
        text.replace("</Names></Host>", &format!("</Names>{host}</Host>"))
    };
    let both = "<Publishers><OVT><Port>9000</Port></OVT><LLHLS><TLSPort>3334</TLSPort></LLHLS></Publishers>";
    let machine = Machine::with(&[("conf/Server.xml", &with(TLS, both, ""))]);
    let Loaded { config, warnings } = load("conf/Server.xml", &machine).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((config.listeners.llhls, config.listeners.llhls_tls), (None, Some(3334)));
    assert!(config.listeners.http2);
    let tls = config.vhosts[0].tls.as_ref().unwrap();
    let paths =
        (tls.certificate.path.as_str(), tls.key.path.as_str(), tls.chain.as_ref().unwrap().path.as_str());
    assert_eq!(paths, ("conf/a.crt", "/k/a.key", "conf/c.crt"), "relative to the file that names them");
    let at = &tls.key.at;
    assert_eq!(
        (at.file.as_str(), at.line, at.path.ends_with("Host/TLS/KeyPath")),
        ("conf/Server.xml", 3, true)
    );

    let off = "<Modules><HTTP2><Enable>false</Enable></HTTP2></Modules>";
    assert!(!loaded(&with(TLS, both, off)).config.listeners.http2);

    let bare = loaded(&with("", both, ""));
    assert_eq!(bare.config.listeners.llhls_tls, None);
    assert_eq!(
        bare.warnings[0].to_string(),
        "Server.xml:3:54: warning: The port is for TLS and there is no certificate, so nothing listens here. \
         Add <TLS> to the <Host> of a virtual host, or remove the port."
    );
    assert!(only(&with(TLS, GOOD.ports, "")).ends_with(
        "warning: There is a certificate and no port for TLS. \
             Nobody is shown it; add Server/Bind/Publishers/LLHLS/TLSPort, or remove the element."
    ));
    let same = "<Publishers><OVT><Port>9000</Port></OVT><LLHLS><Port>1</Port><TLSPort>1</TLSPort></LLHLS></Publishers>";
    assert!(only(&with(TLS, same, "")).contains("error: LLHLS over TLS and LLHLS cannot share a port."));

    let api = "<Managers><Host><Names><Name>*</Name></Names><TLS><CertPath>a</CertPath><KeyPath>b</KeyPath></TLS></Host>\
               <API><AccessToken>t</AccessToken></API></Managers>";
    let ports = "<Managers><API><TLSPort>8082</TLSPort></API></Managers><Publishers><OVT><Port>9000</Port></OVT>\
                 <LLHLS><Port>3333</Port></LLHLS></Publishers>";
    let config = loaded(&with("", ports, api)).config;
    assert_eq!((config.listeners.api, config.listeners.api_tls), (None, Some(8082)));
    assert!(config.api.unwrap().tls.is_some());
}

#[test]
fn durations_must_agree() {
    for (text, expected) in [
        (
            with_application(
                "<Publishers><OVT/><LLHLS><ChunkDuration>7</ChunkDuration><SegmentDuration>6</SegmentDuration></LLHLS></Publishers>",
            ),
            "6:26: error: ChunkDuration (7 s) is longer than SegmentDuration (6 s). \
             A segment is made of chunks; shorten ChunkDuration.",
        ),
        (
            with_application(
                "<Publishers><OVT/><LLHLS><ChunkDuration>1</ChunkDuration>\n<PartHoldBack>1.5</PartHoldBack></LLHLS></Publishers>",
            ),
            "7:1: error: PartHoldBack (1.5 s) is shorter than two chunks of 1 s. \
             Players stall so near to the end: write 3 (three chunks), or 0 to have it computed.",
        ),
    ] {
        assert_eq!(only(&text), format!("Server.xml:{expected}"));
    }
}

#[test]
fn origin_rules_must_be_able_to_serve() {
    let origin =
        |location: &str| format!("<Origins><Origin><Location>{location}</Location>{PULL}</Origin></Origins>");
    for (origins, application, expected) in [
        (
            origin("app/"),
            GOOD.application,
            "4:18: error: The location `app/` does not begin with a slash and is for no request. Write /app/.",
        ),
        (
            origin("/other/"),
            GOOD.application,
            "4:10: warning: There is no application `other` and no template `*`. \
             Requests for this location find nothing; add one of them.",
        ),
        (
            origin("/app/"),
            "<Publishers><OVT/><LLHLS/></Publishers>",
            "4:10: warning: The application `app` has no OVT provider to pull with. \
             Requests for this location fail; add <OVT/> to its <Providers>.",
        ),
        (
            origin("/"),
            "<Publishers><OVT/><LLHLS/></Publishers>",
            "4:10: warning: No application of this virtual host can pull over OVT. \
             Add <OVT/> to the <Providers> of an application, or of the template `*`.",
        ),
        (
            origin("/app/").replace("o:9000/app/", "o:9000/live"),
            GOOD.application,
            "4:76: warning: The URL `o:9000/live` has no slash at its end, and the location has. \
             A request for `s` would pull o:9000/lives; write o:9000/live/.",
        ),
        (
            origin("/app/").replace("o:9000/", "ovt://o:9000/"),
            GOOD.application,
            "4:76: error: The URL `ovt://o:9000/app/` has a scheme, which would stand twice. \
             Write o:9000/app/ here, and ovt into <Scheme>.",
        ),
        (
            origin("/app/").replace("o:9000", "o:90000"),
            GOOD.application,
            "4:76: error: The URL `o:90000/app/` has no port that can be. \
             Write host:port/path with a port from 1 to 65535.",
        ),
        (
            origin("/app/").replace("</Origins>", &origin("/app/cam").replace("<Origins>", "")),
            GOOD.application,
            "4:121: warning: The location `/app/cam` is never reached. \
             `/app/` stands before it and takes all its requests; put it behind.",
        ),
    ] {
        let text = server(&Parts { origins: "ORIGINS", application: "APPLICATION", ..GOOD });
        let text = text.replace("ORIGINS", &origins).replace("APPLICATION", application);
        assert_eq!(only(&text), format!("Server.xml:{expected}"), "{origins}");
    }
}

#[test]
fn names_are_unique() {
    let application = "<Application><Name>app</Name><Type>live</Type>";
    let text =
        server(&GOOD).replace("</Applications>", &format!("\n{application}</Application></Applications>"));
    assert_eq!(
        only(&text),
        "Server.xml:8:1: error: Two applications are named `app`. The first is at Server.xml:5:15; rename or remove one."
    );
    let text = server(&GOOD)
        .replace("</VirtualHosts>", "\n<VirtualHost><Name>v</Name></VirtualHost></VirtualHosts>");
    let said = said(&text);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].starts_with("Server.xml:8:1: error: Two virtual hosts are named `v`."), "{}", said[0]);
    assert!(
        said[1].starts_with("Server.xml:8:1: warning: The virtual host `v` has no host name."),
        "{}",
        said[1]
    );
}

/// What stands in `OriginMapStore`.
fn with_store(store: &str) -> String {
    let text = server(&Parts { origins: "HERE", ..GOOD });
    text.replace("HERE", &format!("<OriginMapStore>{store}</OriginMapStore>"))
}

fn store(text: &str) -> OriginMapStore {
    loaded(&with_store(text)).config.vhosts[0].store.clone().expect("there is a store")
}

fn redis(text: &str) -> RedisServer {
    match store(&format!("<RedisServer>{text}</RedisServer>")).place {
        StorePlace::Redis(redis) => redis,
        StorePlace::Embedded => panic!("it is outside"),
    }
}

#[test]
fn a_directory_is_what_oven_media_engine_writes_and_more() {
    let written = store(
        "<RedisServer><Host>redis:6379</Host><Auth>p w%</Auth></RedisServer><OriginHostName>o</OriginHostName>",
    );
    let at = |host: &str, port| Endpoint { host: host.to_owned(), port };
    let plain = RedisServer {
        servers: RedisServers::Single(at("redis", 6379)),
        user: None,
        password: Some(Secret::new("p w%")),
        database: 0,
        key_prefix: String::new(),
        tls: None,
        connect_timeout: Duration::from_secs(1),
        command_timeout: Duration::from_secs(1),
    };
    let expected = OriginMapStore {
        place: StorePlace::Redis(plain.clone()),
        origin_host: Some("o".to_owned()),
        plain_keys: true,
    };
    assert_eq!(written, expected);
    let full = redis(
        "<Host>rediss://me:secret@[::1]:7/2</Host><KeyPrefix>live:</KeyPrefix><ConnectTimeout>200</ConnectTimeout>\
         <CommandTimeout>300</CommandTimeout><TLS><CAPath>ca.pem</CAPath></TLS>",
    );
    let expected = RedisServer {
        servers: RedisServers::Single(at("::1", 7)),
        user: Some("me".to_owned()),
        password: Some(Secret::new("secret")),
        database: 2,
        key_prefix: "live:".to_owned(),
        tls: Some(RedisTls { ca_path: Some("ca.pem".to_owned()) }),
        connect_timeout: Duration::from_millis(200),
        command_timeout: Duration::from_millis(300),
    };
    assert_eq!(full, expected);
    let elements = "<User>me</User><Auth>secret</Auth><Database>2</Database>";
    let by_elements = redis(&format!("<Host>rediss://redis</Host>{elements}"));
    assert_eq!((by_elements.user, by_elements.password, by_elements.database), (full.user, full.password, 2));
    assert_eq!(by_elements.tls, Some(RedisTls::default()));
    let sentinel =
        redis("<Sentinel><Master>mymaster</Master><Host>a:26379</Host><Host>[::1]:26380</Host></Sentinel>");
    let sentinels = vec![at("a", 26379), at("::1", 26380)];
    assert_eq!(sentinel.servers, RedisServers::Sentinel { sentinels, master: "mymaster".to_owned() });
    let cluster = redis("<Cluster><Host>a:1</Host><Host>b:2</Host></Cluster><TLS/>");
    assert_eq!(cluster.servers, RedisServers::Cluster(vec![at("a", 1), at("b", 2)]));
    assert_eq!(cluster.tls, Some(RedisTls::default()));
    let embedded = store("<Embedded/><OriginHostName>[::1]</OriginHostName>");
    assert_eq!((embedded.place, embedded.origin_host.as_deref()), (StorePlace::Embedded, Some("::1")));
    let silent = store("<RedisServer><Host>r:1</Host></RedisServer><PlainKeys>false</PlainKeys>");
    assert!(!silent.plain_keys && silent.origin_host.is_none());
}

#[test]
fn a_directory_that_contradicts_itself_is_refused_without_a_word_of_the_password() {
    for (text, expected) in [
        ("", "has no <RedisServer>."),
        ("<RedisServer><Host>r:1</Host></RedisServer><Embedded/>", "has both <RedisServer> and <Embedded>."),
        ("<RedisServer/>", "<RedisServer> has no <Host>."),
        ("<RedisServer>redis://secret</RedisServer>", "A text stands in <RedisServer>"),
        (
            "<RedisServer><Host>r:1</Host><Cluster><Host>c:1</Host></Cluster></RedisServer>",
            "both <Host> and <Cluster>.",
        ),
        (
            "<RedisServer><Host>r:1</Host><Sentinel><Master>m</Master><Host>s:1</Host></Sentinel></RedisServer>",
            "both <Host> and <Sentinel>.",
        ),
        ("<RedisServer><Sentinel><Host>s:1</Host></Sentinel></RedisServer>", "<Sentinel> has no <Master>."),
        ("<RedisServer><Cluster></Cluster></RedisServer>", "<Cluster> has no <Host>."),
        (
            "<RedisServer><Cluster><Host>redis://u:secret@h:1</Host></Cluster></RedisServer>",
            "<Host> holds something that is not",
        ),
        ("<RedisServer><Host>h:secret</Host></RedisServer>", "without a port from 1 to 65535."),
        (
            "<RedisServer><Host>redis://u:secret@h</Host><Auth>secret</Auth></RedisServer>",
            "The password stands in <Auth> and in the URL",
        ),
        (
            "<RedisServer><Host>redis://u:secret@h</Host><User>v</User></RedisServer>",
            "The user stands in <User> and in the URL",
        ),
        (
            "<RedisServer><Host>redis://:secret@h/1</Host><Database>1</Database></RedisServer>",
            "The database stands in",
        ),
        (
            "<RedisServer><Host>redis://h</Host><User>v</User></RedisServer>",
            "a user of Redis, and no password.",
        ),
        (
            "<RedisServer><Cluster><Host>c:1</Host></Cluster><Database>1</Database></RedisServer>",
            "has one database only.",
        ),
        ("<RedisServer><Host>redis://h</Host><TLS/></RedisServer>", "<TLS> asks for encryption"),
        ("<RedisServer><Host>h:1</Host><KeyPrefix>{a}</KeyPrefix></RedisServer>", "holds a brace"),
        ("<RedisServer><Host>h:1</Host><CommandTimeout>0</CommandTimeout></RedisServer>", "out of range"),
        (
            "<RedisServer><Host>h:1</Host><Auth>secret<b/></Auth></RedisServer>",
            "<b> is not an element of <Auth>.",
        ),
        ("<RedisServer><Host>h:1</Host><Auth>a&secret;</Auth></RedisServer>", "not a character"),
        ("<RedisServer><Host>h:1</Host><Auth>a&secret</Auth></RedisServer>", "malformed"),
        ("<RedisServer><Host>h:1</Host><Auth>a<secret</Auth></RedisServer>", ""),
        (
            "<RedisServer><Host>h:1</Host></RedisServer><OriginHostName>o:9000</OriginHostName>",
            "which is not the name of a host.",
        ),
    ] {
        let found = load_text(&with_store(text)).expect_err(text);
        let errors: Vec<String> = found.errors().map(ToString::to_string).collect();
        assert!(errors.iter().any(|it| it.contains(expected)), "{text}: {errors:#?}");
        assert!(!found.to_string().contains("secret"), "{found}");
    }
}

#[test]
fn a_directory_is_held_against_the_server() {
    let publishing = "<Providers><RTMP/></Providers><Publishers><OVT/><LLHLS/></Publishers>";
    let ports = "<Providers><RTMP><Port>1935</Port></RTMP></Providers><Publishers><OVT><Port>9000</Port></OVT>\
                 <LLHLS><Port>3333</Port></LLHLS></Publishers>";
    let text = server(&Parts { origins: "HERE", application: publishing, ports, ..GOOD });
    let redis = "<RedisServer><Host>r:1</Host></RedisServer>";
    let warned = |text: &str| {
        let said = only(text);
        assert!(said.contains(": warning: "), "{said}");
        said
    };
    let store = |more: &str| format!("<OriginMapStore>{redis}{more}</OriginMapStore>");
    assert!(warned(&text.replace("HERE", &store(""))).contains("are not announced."));
    let named = text.replace("HERE", &store("\n<OriginHostName>o</OriginHostName>"));
    let strange = warned(&named.replace("<Name>*</Name>", "<Name>p</Name>"));
    assert!(
        strange.contains("5:1: warning: Requests for `o` do not come to this virtual host."),
        "{strange}"
    );
    let closed = named.replace("<OVT><Port>9000</Port></OVT>", "").replace("<OVT/>", "");
    assert!(warned(&closed).contains("Bind/Publishers/OVT/Port is missing."));
    let second = format!(
        "<VirtualHost><Name>w</Name><Host><Names><Name>w</Name></Names></Host>{}</VirtualHost>",
        store("")
    );
    let two = |second: &str| named.replace("</VirtualHosts>", &format!("{second}</VirtualHosts>"));
    assert!(warned(&two(&second)).contains("The virtual host `v` uses the same directory."));
    let apart = second.replace("<Host>r:1</Host>", "<Host>r:1</Host><KeyPrefix>w:</KeyPrefix>");
    assert_eq!(said(&two(&apart)), [""; 0]);
}

#[test]
fn access_control_that_cannot_be_kept_is_refused() {
    let policy = "<SignedPolicy><PolicyQueryKeyName>p</PolicyQueryKeyName>\
                  <SignatureQueryKeyName>s</SignatureQueryKeyName><SecretKey>k</SecretKey>\
                  <Enables><Publishers>webrtc,llhls</Publishers></Enables></SignedPolicy>";
    let text = |policy: &str| server(&Parts { origins: "HERE", ..GOOD }).replace("HERE", policy);
    assert_eq!(
        only(&text(policy)),
        "Server.xml:4:1: error: <SignedPolicy> asks for access control, which Headwater does not have yet. \
         To serve everybody without it, write ignore=\"true\" on the element."
    );
    assert_eq!(said(&text(&policy.replace("<SignedPolicy>", "<SignedPolicy ignore=\"true\">"))), [""; 0]);
    assert!(only(&text(&policy.replace("webrtc,llhls", "webrtc"))).starts_with("Server.xml:4:1: warning:"));
    let drm =
        with_application("<Publishers><OVT/><LLHLS><DRM><Enable>true</Enable></DRM></LLHLS></Publishers>");
    assert!(only(&drm).starts_with("Server.xml:6:26: error: <DRM> asks for encryption"));
}

#[test]
fn encodes_become_the_track_as_it_comes() {
    let profile = |encodes: &str, playlist: &str| {
        let profile = format!(
            "<OutputProfiles><OutputProfile><Name>p</Name><OutputStreamName>${{OriginStreamName}}</OutputStreamName>\
             <Encodes>{encodes}</Encodes>\n<Playlist><FileName>abr</FileName>{playlist}</Playlist></OutputProfile></OutputProfiles>"
        );
        server(&Parts { application: "HERE", ..GOOD }).replace("HERE", &(profile + GOOD.application))
    };
    let text = profile(
        "<Video><Name>hd</Name><Codec>h264</Codec><Bitrate>2024000</Bitrate></Video>\
         <Video><Name>src</Name><Bypass>true</Bypass></Video><Audio><Name>aac</Name><Bypass>true</Bypass></Audio>",
        "<Rendition><Name>hd</Name><Video>hd</Video><Audio>aac</Audio></Rendition>\
         <Rendition><Name>src</Name><Video>src</Video><Audio>aac</Audio></Rendition>",
    );
    let loaded = loaded(&text);
    let reasons: Vec<&str> = loaded.warnings.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["Headwater does not transcode: `hd` is not made.", "There is no track `hd` for this rendition."]
    );
    let application = &loaded.config.vhosts[0].applications[0];
    assert_eq!(application.track_names, (Some("src".to_string()), Some("aac".to_string())));
    let renditions: Vec<&str> =
        application.playlists[0].renditions.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(renditions, ["src"]);

    let text = profile(
        "<Video><Name>src</Name><Bypass>true</Bypass></Video>",
        "<RenditionTemplate><Name>t</Name><VideoTemplate/></RenditionTemplate>",
    );
    let config = self::loaded(&text).config;
    let rendition = &config.vhosts[0].applications[0].playlists[0].renditions[0];
    assert_eq!((rendition.video.as_str(), rendition.audio.as_str()), ("src", ""));
}

#[test]
fn a_module_that_is_switched_off_serves_nothing() {
    let text = with_extra("<Modules><LLHLS><Enable>false</Enable></LLHLS></Modules>");
    let loaded = loaded(&text);
    assert_eq!(loaded.config.listeners.llhls, None);
    assert_eq!(loaded.config.vhosts[0].applications[0].publishers.llhls, None);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
}

#[test]
fn what_has_no_effect_is_said_once_and_what_agrees_not_at_all() {
    let workers = with_ports(
        "<Publishers><OVT><Port>9000</Port><WorkerCount>1</WorkerCount></OVT>\
         <LLHLS><Port>3333</Port><WorkerCount>1</WorkerCount></LLHLS></Publishers>",
    );
    assert_eq!(
        only(&workers),
        "Server.xml:3:41: warning: <WorkerCount> is accepted without effect. \
         There are no workers to count: one thread runs a node."
    );
    let off = "<PrivacyProtection>false</PrivacyProtection><Modules><P2P><Enable>false</Enable></P2P><ETag><Enable>true</Enable></ETag></Modules>";
    assert_eq!(said(&with_extra(off)), [""; 0]);
    let on = "<Modules><P2P><Enable>true</Enable></P2P></Modules>";
    assert!(only(&with_extra(on)).starts_with("Server.xml:2:10: warning: <P2P> is accepted without effect."));
}

#[test]
fn an_ignored_element_is_skipped_and_an_unknown_one_is_mentioned() {
    assert_eq!(said(&with_extra("<Managers ignore=\"true\"><Nonsense>x</Nonsense></Managers>")), [""; 0]);
    assert_eq!(
        only(&with_extra("<Zebra ignore=\"true\"/>")),
        "Server.xml:2:1: warning: <Zebra> is not an element of <Server>. It is skipped, because it says ignore=\"true\"."
    );
    assert_eq!(
        only(&with_extra("<Modules ignor=\"true\"/>")),
        "Server.xml:2:1: warning: The attribute ignor of <Modules> has no meaning. \
         Remove it; there are version (of <Server>), include and ignore."
    );
}

#[test]
fn the_manual_names_every_element_and_the_notes_are_sentences() {
    fn walk(spec: &'static schema::Spec, manual: &str) {
        assert!(manual.contains(&format!("`{}`", spec.name)), "the manual does not name {}", spec.name);
        if let schema::Effect::None { note, .. } = spec.effect {
            assert!(note.ends_with('.'), "{note}");
            return;
        }
        for child in spec.children() {
            walk(child, manual);
        }
    }
    walk(&schema::SERVER, include_str!("../../../docs/configuration.md"));
}

// --- Macros ---

#[test]
fn macros_are_replaced_by_the_rules_of_the_reference() {
    for (text, expected) in [
        ("${env:SET}", "value"),
        ("a-${env:SET}-${env:SET:default}", "a-value-value"),
        ("${env:UNSET:a:b}", "a:b"),
        ("${env:UNSET:}", ""),
        ("${env:UNSET:a${env:SET}", "a${env:SET"),
        ("${env:HOSTNAME}", "box"),
        ("${ome:Home}/x", "/opt/headwater/x"),
        ("${ome:CurrentPath}", "/srv"),
        ("${PublicIP} ${OriginStreamName} ${Port} $ { }", "${PublicIP} ${OriginStreamName} ${Port} $ { }"),
    ] {
        let server = with_extra("<Name>TEXT</Name>").replace("TEXT", text);
        let machine = Machine::with(&[("Server.xml", &server)]).set("SET", "value");
        let loaded = load("Server.xml", &machine).unwrap_or_else(|found| panic!("{found}"));
        assert_eq!(loaded.config.name, expected, "{text}");
        assert_eq!(loaded.warnings, [], "{text}");
    }
}

#[test]
fn macros_that_may_surprise_are_warned_of() {
    for (text, name, expected) in [
        (
            "a${env:UNSET}b",
            "ab",
            "The environment variable UNSET is not set, and ${env:UNSET} has no default. \
             It stands for an empty text; set the variable, or write ${env:UNSET:default}.",
        ),
        (
            "${ome:Hom}",
            "${ome:Hom}",
            "${ome:Hom} is not a macro. There are ${ome:Home} and ${ome:CurrentPath}; the text is taken as it stands.",
        ),
        (
            "a${env:X",
            "a${env:X",
            "A macro begins with `${` and does not end. Close it with `}`; the text is taken as it stands.",
        ),
    ] {
        let loaded = loaded(&with_extra("<Name>TEXT</Name>").replace("TEXT", text));
        assert_eq!(loaded.config.name, name);
        assert_eq!(loaded.warnings[0].to_string(), format!("Server.xml:2:1: warning: {expected}"));
    }
}

#[test]
fn macros_stand_for_values_and_versions_and_are_bounded() {
    let text = server(&GOOD).replace(">9000<", ">${env:OVT_PORT:9000}<").replace("\"10\"", "\"${env:V:9}\"");
    assert_eq!(loaded(&text).config.listeners.ovt, Some(9000));
    let machine = Machine::with(&[("Server.xml", &text)]).set("OVT_PORT", "x");
    assert_eq!(said_of(&machine).len(), 1);
    let text = with_extra("<Name>${env:BIG}${env:BIG}${env:BIG}</Name>");
    let machine = Machine::with(&[("Server.xml", &text)]).set("BIG", &"x".repeat(10_000));
    let found = load("Server.xml", &machine).expect_err("it is too long");
    assert_eq!(found.found[0].kind, Kind::TooLarge);
}

// --- Includes ---

#[test]
fn list_items_are_included_one_for_each_file_in_the_order_of_names() {
    let vhost = |name: &str| {
        format!("<VirtualHost><Name>{name}</Name><Host><Names><Name>*</Name></Names></Host></VirtualHost>")
    };
    let text =
        server(&GOOD).replace("<VirtualHosts>", "<VirtualHosts><VirtualHost include=\"vhosts/v?.xml\"/>");
    let (one, two) = (vhost("one"), vhost("two"));
    let machine = Machine::with(&[
        ("conf/Server.xml", &text),
        ("conf/vhosts/v2.xml", &two),
        ("conf/vhosts/v1.xml", &one),
        ("conf/vhosts/v33.xml", "broken"),
    ]);
    let config = load("conf/Server.xml", &machine).unwrap_or_else(|found| panic!("{found}")).config;
    let names: Vec<&str> = config.vhosts.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "v"]);
}

#[test]
fn faults_of_an_included_file_are_told_with_its_name_and_the_whole_path() {
    let text = server(&GOOD).replace("<VirtualHosts>", "<VirtualHosts>\n<VirtualHost include=\"v.xml\"/>");
    let machine = Machine::with(&[("Server.xml", &text), ("v.xml", "<VirtualHost>\n<Nam/></VirtualHost>")]);
    let found = load("Server.xml", &machine).expect_err("it has errors");
    assert!(found.found.iter().any(|it| {
        it.to_string() == "v.xml:2:1: error: <Nam> is not an element of <VirtualHost>. Did you mean <Name>?"
            && it.path == "Server/VirtualHosts/VirtualHost/Nam"
    }));
}

#[test]
fn an_include_that_cannot_be_followed_says_why() {
    let include = |attribute: &str| with_extra("<Modules HERE/>").replace("HERE", attribute);
    for (text, file, expected) in [
        (
            include("include=\"nothing.xml\""),
            "",
            "Server.xml:2:1: error: 0 files match include=\"nothing.xml\". <Modules> stands once: exactly one file must match.",
        ),
        (
            include("include=\"x/*.xml\""),
            "",
            "Server.xml:2:1: error: The directory `x` cannot be listed: no such directory. Correct the path; it is relative to this file.",
        ),
        (
            include("include=\"a.xml\""),
            "<Module/>",
            "a.xml:1:1: error: The root element is <Module>, and the file is included as <Modules>. Make <Modules> the root of a.xml.",
        ),
        (
            include("include=\"a.xml\""),
            "<Modules><LLHLS include=\"a.xml\"/></Modules>",
            "a.xml:1:10: error: a.xml includes itself. Remove one of the includes of the circle.",
        ),
        (
            with_extra("<Name include=\"a.xml\"/>"),
            "<Name/>",
            "Server.xml:2:1: error: <Name> holds a value and cannot include a file. Include an element that holds elements.",
        ),
        (
            with_extra("<Modules include=\"a.xml\"><ETag/></Modules>"),
            "<Modules/>",
            "Server.xml:2:1: error: <Modules> includes a file and has contents of its own. \
             The contents would be lost; move them into the file, or remove the include.",
        ),
    ] {
        let machine = Machine::with(&[("Server.xml", &text), ("a.xml", file)]);
        assert_eq!(said_of(&machine), [expected]);
    }
    assert_eq!(
        said_of(&Machine::default()),
        [
            "Server.xml:1:1: error: Server.xml cannot be read: no such file. Check its path and permissions, and that it is UTF-8."
        ]
    );
}

#[test]
fn a_list_include_without_a_match_is_an_empty_list_with_a_warning() {
    let text = server(&GOOD).replace("<VirtualHosts>", "<VirtualHosts><VirtualHost include=\"v*.xml\"/>");
    assert!(
        only(&text)
            .contains("warning: No file matches include=\"v*.xml\". There is no <VirtualHost> from it.")
    );
}

// --- Bounds ---

#[test]
fn everything_is_bounded() {
    let deep = "<a>".repeat(limits::CONFIG_DEPTH_MAX + 1);
    let many = format!("<Server>{}</Server>", "<a/>".repeat(limits::CONFIG_ELEMENTS_MAX));
    let large = format!("<Server>{}</Server>", " ".repeat(limits::CONFIG_FILE_BYTES_MAX));
    let long = format!("<Server><Name>{}</Name></Server>", "x".repeat(limits::CONFIG_VALUE_BYTES_MAX + 1));
    for text in [deep, many, large, long] {
        let found = load_text(&text).expect_err("it is too large");
        assert_eq!(found.found[0].kind, Kind::TooLarge, "{}", &text[..40]);
    }
    let wrong = format!("<Server version=\"10\">{}</Server>", "<a/>".repeat(1_000));
    let found = load_text(&wrong).expect_err("it is wrong");
    assert_eq!(found.found.len(), limits::CONFIG_DIAGNOSTICS_MAX);
    assert!(found.omitted >= 800);
    assert!(found.to_string().ends_with("more are not shown."));
}

// --- Anything at all ---

fn any_file() -> impl Strategy<Value = String> {
    let sources: Vec<&'static str> =
        VECTORS.into_iter().chain([include_str!("../../../examples/edge.xml")]).collect();
    let snippets = prop_oneof![
        Just("<".to_string()),
        Just("</".to_string()),
        Just("]]>".to_string()),
        Just("<![CDATA[".to_string()),
        Just("<!--".to_string()),
        Just("&#0;".to_string()),
        Just("${env:".to_string()),
        Just("-1".to_string()),
        Just("99999999999999999999".to_string()),
        Just(" include=\"*\"".to_string()),
        "\\PC{0,8}",
    ];
    (
        0..sources.len(),
        proptest::collection::vec((any::<proptest::sample::Index>(), 0..60_usize, snippets), 0..6),
    )
        .prop_map(move |(source, edits)| {
            let mut text: Vec<char> = sources[source].chars().collect();
            for (at, removed, inserted) in edits {
                let at = at.index(text.len() + 1);
                let end = (at + removed).min(text.len());
                text.splice(at..end, inserted.chars());
            }
            text.into_iter().collect()
        })
}

/// What holds of every answer.
fn is_sound(machine: &Machine) -> Result<(), TestCaseError> {
    let answer = load("Server.xml", machine);
    prop_assert_eq!(&load("Server.xml", machine), &answer);
    match answer {
        Ok(loaded) => {
            prop_assert!(loaded.warnings.iter().all(|it| it.severity == Severity::Warning));
            for llhls in loaded
                .config
                .vhosts
                .iter()
                .flat_map(|it| it.applications.iter().chain(&it.template))
                .filter_map(|it| it.publishers.llhls.as_ref())
            {
                prop_assert!(
                    llhls.chunk <= llhls.segment && !llhls.chunk.is_zero() && llhls.segment_count >= 3
                );
            }
        }
        Err(found) => {
            prop_assert!(found.errors().next().is_some());
            prop_assert!(found.found.iter().all(|it| it.line > 0 && it.column > 0));
            prop_assert!(found.found.iter().all(|it| !it.reason.is_empty() && !it.remedy.is_empty()));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in "(\\PC|[<>/&;\"'=\n]|<Server version=\"10\">|<Bind>|</Bind>){0,60}") {
        is_sound(&Machine::with(&[("Server.xml", &text)]))?;
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        is_sound(&Machine::with(&[("Server.xml", &text)]))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_damaged_file_gets_an_answer(text in any_file(), other in any_file()) {
        is_sound(&Machine::with(&[("Server.xml", &text), ("other.xml", &other)]).set("X", "x"))?;
    }
}
