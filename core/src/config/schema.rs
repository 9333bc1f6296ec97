//! Every element of `Server.xml`: its type, how often it may stand, and what Headwater does with it.
//!
//! This is a table. It follows sections 2 to 11 of the Server.xml reference in their order; what a value means is
//! decided in `build`.

use core::time::Duration;

use crate::limits::STANDBY_PUBLISHERS_MAX;

/// One element.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) count: Count,
    pub(super) effect: Effect,
}

/// What an element holds.
#[derive(Debug)]
pub(super) enum Shape {
    /// `true` or `false` in any case, or a number.
    Bool,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// `host:port` or `[address]:port`.
    HostPort,
    /// A whole number.
    Int { min: i64, max: i64, unit: &'static str },
    /// Other elements.
    Item(&'static [Spec]),
    /// A text that must not be empty.
    Name,
    /// A port: `9000`, `9000/srt`.
    Port(&'static [Transport]),
    /// Ports: `4000-4005,4010/udp`.
    Ports,
    /// The address or the URL of a Redis.
    Redis,
    /// A number of seconds, with decimals.
    Seconds { min: Duration, max: Duration },
    /// Any text, which is never shown.
    Secret,
    /// Any text.
    Text,
}

/// How often an element may stand in its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Any number, also none.
    Any,
    /// At least one.
    AtLeastOne,
    /// None or one.
    Optional,
    /// Exactly one.
    Required,
}

/// What Headwater does with an element.
#[derive(Debug)]
pub(super) enum Effect {
    /// Checked, and not acted on.
    None {
        /// What is not done, and what happens instead.
        note: &'static str,
        /// The value (of the element, or of its `Enable`) that asks for what happens anyway: no warning then.
        unless: &'static str,
    },
    /// Acted on.
    Used,
}

/// What follows the `/` of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Srt,
    Tcp,
}

impl Transport {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Transport::Srt => "srt",
            Transport::Tcp => "tcp",
        }
    }
}

impl Spec {
    const fn new(name: &'static str, shape: Shape) -> Spec {
        Spec { name, shape, count: Count::Optional, effect: Effect::Used }
    }

    const fn required(self) -> Spec {
        Spec { name: self.name, shape: self.shape, count: Count::Required, effect: self.effect }
    }

    const fn list(self) -> Spec {
        Spec { name: self.name, shape: self.shape, count: Count::Any, effect: self.effect }
    }

    const fn some(self) -> Spec {
        Spec { name: self.name, shape: self.shape, count: Count::AtLeastOne, effect: self.effect }
    }

    const fn idle(self, note: &'static str) -> Spec {
        self.idle_unless("", note)
    }

    const fn idle_unless(self, unless: &'static str, note: &'static str) -> Spec {
        Spec { name: self.name, shape: self.shape, count: self.count, effect: Effect::None { note, unless } }
    }

    /// The element of this name inside this one.
    pub(super) fn child(&self, name: &str) -> Option<&'static Spec> {
        self.children().iter().find(|it| it.name == name)
    }

    /// The elements that may stand inside this one.
    pub(super) fn children(&self) -> &'static [Spec] {
        match self.shape {
            Shape::Item(children) => children,
            _ => &[],
        }
    }

    /// Whether it may stand more than once.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.count, Count::Any | Count::AtLeastOne)
    }
}

const fn item(name: &'static str, children: &'static [Spec]) -> Spec {
    Spec::new(name, Shape::Item(children))
}
const fn text(name: &'static str) -> Spec {
    Spec::new(name, Shape::Text)
}
const fn word(name: &'static str) -> Spec {
    Spec::new(name, Shape::Name)
}
const fn flag(name: &'static str) -> Spec {
    Spec::new(name, Shape::Bool)
}
const fn int(name: &'static str, min: i64, max: i64, unit: &'static str) -> Spec {
    Spec::new(name, Shape::Int { min, max, unit })
}
const fn number(name: &'static str) -> Spec {
    int(name, i64::MIN, i64::MAX, "")
}
const fn count(name: &'static str) -> Spec {
    int(name, 0, i64::MAX, "")
}
const fn millis(name: &'static str, min: i64) -> Spec {
    int(name, min, MILLIS_MAX, " ms")
}
const fn max_age(name: &'static str) -> Spec {
    int(name, -1, i64::MAX, " s")
}
const fn seconds(name: &'static str, min_ms: u64, max_ms: u64) -> Spec {
    let (min, max) = (Duration::from_millis(min_ms), Duration::from_millis(max_ms));
    Spec::new(name, Shape::Seconds { min, max })
}
const fn port(name: &'static str) -> Spec {
    Spec::new(name, Shape::Port(&[Transport::Tcp]))
}
const fn choice(name: &'static str, words: &'static [&'static str]) -> Spec {
    Spec::new(name, Shape::Choice(words))
}
const fn workers() -> Spec {
    count("WorkerCount").idle(WORKERS)
}

/// Standbys of one stream: each one costs what the stream costs.
const HOT_STANDBY_MAX: i64 = 4;
/// A year: longer than any timeout that is meant.
const MILLIS_MAX: i64 = 31_536_000_000;

const API_CORS: &str = "The API is for programs, not for web pages of other origins.";
const ALERT: &str = "Alerts are not sent yet; what would raise them is in the log.";
const ANALYTICS: &str = "Nothing is sent to a collector; the numbers stay on this machine.";
const CONNECTIONS: &str = "Connections are not counted per application; OvenMediaEngine does not either.";
const DELAY: &str = "Output is not delayed; it leaves as soon as it is made.";
const DUMPS: &str = "Nothing is dumped to disk.";
const DVR: &str = "There is no DVR: players see the last SegmentCount segments.";
const DYNAMIC_REMOVAL: &str =
    "An application without streams costs nothing here, so there is none to remove.";
const ERTMP: &str =
    "There is no switch: what the RTMP provider understands of Enhanced RTMP, it always takes.";
const ETAG: &str = "There is always an ETag: it is the same on every server that gives the same bytes.";
const EVENTS: &str = "Events are not inserted into the stream.";
const FILES: &str = "Nothing is recorded or read from files.";
const HARDWARE: &str = "Headwater does not transcode, so it needs no decoder, encoder or accelerator.";
const INGEST: &str = "This provider is not served yet: publish over RTMP, or pull over OVT.";
const LABEL: &str = "Logs carry the server's name and no further label.";
const MULTIPLEX: &str = "Streams are not composed from others; publish the stream as it shall be.";
const NUMBERING: &str =
    "Segments are always numbered by time, so that every server gives them the same numbers.";
const OVERLAYS: &str = "Nothing is drawn over the picture and no subtitles are made.";
const P2P: &str = "Players do not serve one another; each is served by this node.";
const EGRESS: &str = "This publisher is not served yet: players get LL-HLS and HLS, edges get OVT.";
const PERSISTENT: &str = "OvenMediaEngine does not act on it either; see Origins/Origin/Persistent.";
const PRIVACY: &str = "The addresses of clients are not masked in the log: keep the log private.";
const QUERY: &str = "No query is added to the URLs in playlists; players send their own.";
const RECOVERY: &str = "Streams are not recovered from disk; publishers connect again.";
const RTCP: &str = "Only RTSP has it, and RTSP is not pulled yet.";
const RTSP: &str = "RTSP is not pulled yet: pull over OVT.";
const STORAGE: &str = "The API only reads; there is nothing to store.";
const STUN: &str = "The public address is not asked for; only WebRTC needs it, which is not served yet.";
const SUBTITLES: &str = "Subtitle renditions are not made; audio and video are served.";
const TEMPLATES: &str =
    "Renditions are not made by template: the tracks are offered as they come, as one rendition.";
const THREADS: &str = "An RTMP connection has no thread of its own; one thread runs the node.";
const VHOST_CORS: &str =
    "The place is deprecated: use Server/Defaults/CrossDomains or the publisher's CrossDomains.";
const WEBHOOK: &str = "Nobody is asked for an output profile; the local one is used.";
const WEBRTC: &str = "WebRTC is not served yet: publish over RTMP, play LL-HLS.";
const WORKERS: &str = "There are no workers to count: one thread runs a node.";

/// The root.
pub(super) static SERVER: Spec = item(
    "Server",
    &[
        text("Name"),
        choice("Type", &["origin", "edge"]),
        word("IP").some(),
        text("StunServer").idle(STUN),
        flag("PrivacyProtection").idle_unless("false", PRIVACY),
        millis("DrainTimeout", 0),
        item("Limits", LIMITS),
        item(
            "Bind",
            &[
                item("Managers", BIND_MANAGERS),
                item("Providers", BIND_PROVIDERS),
                item("Publishers", BIND_PUBLISHERS),
            ],
        )
        .required(),
        item("Modules", MODULES),
        item("Managers", MANAGERS),
        item("Alert", ALERTS).idle(ALERT),
        item("Analytics", &[text("UserKey"), item("Forwarding", &[flag("Enable"), text("Collector")])])
            .idle(ANALYTICS),
        item("Defaults", &[item("CrossDomains", CROSS_DOMAINS)]),
        item("VirtualHosts", &[item("VirtualHost", VIRTUAL_HOST).list()]),
    ],
);

static LIMITS: &[Spec] = &[
    int("Streams", 1, i32::MAX as i64, ""),
    int("WaitingRequests", 1, i32::MAX as i64, ""),
    int("Bandwidth", 1, i64::MAX, " bit/s"),
];

static BIND_MANAGERS: &[Spec] = &[item("API", &[port("Port"), port("TLSPort"), workers()])];

static BIND_PROVIDERS: &[Spec] = &[
    item("OVT", &[workers()]),
    item("RTSPC", &[workers()]).idle(RTSP),
    item("RTMP", &[port("Port"), workers(), flag("ThreadPerSocket").idle_unless("false", THREADS)]),
    item("RTSP", &[port("Port"), workers()]).idle(RTSP),
    item("SRT", BIND_SRT).idle(INGEST),
    item("MPEGTS", &[Spec::new("Port", Shape::Ports), workers()]).idle(INGEST),
    item("WebRTC", BIND_WEBRTC).idle(WEBRTC),
];

static BIND_PUBLISHERS: &[Spec] = &[
    item("OVT", &[Spec::new("Port", Shape::Port(&[Transport::Tcp, Transport::Srt])), workers()]),
    item("LLHLS", BIND_HTTP),
    item("HLS", BIND_HTTP),
    item("Thumbnail", BIND_HTTP).idle(EGRESS),
    item("WebRTC", BIND_WEBRTC).idle(WEBRTC),
    item("SRT", BIND_SRT).idle(EGRESS),
];

static BIND_HTTP: &[Spec] = &[port("Port"), port("TLSPort"), workers()];

static BIND_SRT: &[Spec] = &[
    Spec::new("Port", Shape::Ports),
    workers(),
    item("Options", &[item("Option", &[text("Key"), text("Value")]).list()]),
    item("StreamMap", &[item("Stream", &[Spec::new("Port", Shape::Ports), text("StreamPath")]).list()]),
];

static BIND_WEBRTC: &[Spec] = &[
    item("Signalling", &[port("Port"), port("TLSPort"), workers()]),
    text("TcpRelayBind"),
    item(
        "IceCandidates",
        &[
            text("IceCandidate").list(),
            text("TcpRelay").list(),
            flag("TcpForce"),
            count("TcpRelayWorkerCount"),
            count("IceWorkerCount"),
            flag("EnableLinkLocalAddress"),
        ],
    ),
    item(
        "IceServers",
        &[item("IceServer", &[item("Urls", &[text("Url").list()]), text("UserName"), text("Credential")])
            .list()],
    ),
];

static MODULES: &[Spec] = &[
    item("HTTP2", ENABLE),
    item("LLHLS", ENABLE),
    item("P2P", &[flag("Enable"), count("MaxClientPeersPerHostPeer")]).idle_unless("false", P2P),
    item("Recovery", &[flag("Enable"), count("DeleteLazyStreamTimeout")]).idle_unless("false", RECOVERY),
    item("DynamicAppRemoval", ENABLE).idle_unless("false", DYNAMIC_REMOVAL),
    item("ETag", ENABLE).idle_unless("true", ETAG),
    item("ERTMP", ENABLE).idle(ERTMP),
];

static ENABLE: &[Spec] = &[flag("Enable")];

static MANAGERS: &[Spec] = &[
    item("Host", HOST),
    item(
        "API",
        &[
            text("AccessToken").required(),
            item("Storage", &[flag("Enabled"), text("Path")]).idle(STORAGE),
            item("CrossDomains", CROSS_DOMAINS).idle(API_CORS),
        ],
    ),
];

static HOST: &[Spec] = &[
    item("Names", &[word("Name").list()]).required(),
    item("TLS", &[word("CertPath").required(), word("KeyPath").required(), word("ChainCertPath")]),
];

static VIRTUAL_HOST: &[Spec] = &[
    word("Name").required(),
    text("Distribution").idle(LABEL),
    item("Host", HOST),
    item(
        "SignedPolicy",
        &[
            text("PolicyQueryKeyName").required(),
            text("SignatureQueryKeyName").required(),
            text("SecretKey").required(),
            item("Enables", ENABLES),
        ],
    ),
    item(
        "AdmissionWebhooks",
        &[
            text("ControlServerUrl").required(),
            text("SecretKey").required(),
            millis("Timeout", 0),
            item("Enables", ENABLES).required(),
        ],
    ),
    item("Origins", &[item("Properties", PROPERTIES), item("Origin", ORIGIN).list()]),
    item(
        "OriginMapStore",
        &[
            item("RedisServer", REDIS_SERVER),
            item("Embedded", &[]),
            text("OriginHostName"),
            flag("PlainKeys"),
        ],
    ),
    item("CrossDomains", CROSS_DOMAINS).idle(VHOST_CORS),
    item("Applications", &[item("Application", APPLICATION).list()]),
];

static REDIS_SERVER: &[Spec] = &[
    Spec::new("Host", Shape::Redis),
    Spec::new("Auth", Shape::Secret),
    text("User"),
    int("Database", 0, i32::MAX as i64, ""),
    text("KeyPrefix"),
    millis("ConnectTimeout", 1),
    millis("CommandTimeout", 1),
    item("TLS", &[text("CAPath")]),
    item("Sentinel", &[word("Master").required(), Spec::new("Host", Shape::HostPort).some()]),
    item("Cluster", &[Spec::new("Host", Shape::HostPort).some()]),
];

static ENABLES: &[Spec] = &[text("Providers"), text("Publishers")];

static PROPERTIES: &[Spec] = &[
    millis("NoInputFailoverTimeout", 1),
    millis("NoInputSuspicionTimeout", 0),
    millis("UnusedStreamDeletionTimeout", 0),
    millis("StreamFailbackTimeout", 1),
    int("RetryCount", 0, 1_000_000, ""),
    int("HotStandby", 0, HOT_STANDBY_MAX, ""),
];

static ORIGIN: &[Spec] = &[
    word("Location").required(),
    item(
        "Pass",
        &[
            word("Scheme").required(),
            item("Urls", &[word("Url").some()]).required(),
            flag("ForwardQueryParams"),
        ],
    )
    .required(),
    flag("Persistent"),
    flag("Failback"),
    int("HotStandby", 0, HOT_STANDBY_MAX, ""),
    flag("StrictLocation"),
    flag("Relay"),
    flag("IgnoreRtcpSRTimestamp").idle_unless("false", RTCP),
];

static APPLICATION: &[Spec] = &[
    word("Name").required(),
    choice("Type", &["live", "vod"]).required(),
    item("Decodes", &[item("Video", &[flag("HardwareAcceleration"), number("H264hasBframes")])])
        .idle(HARDWARE),
    item("OutputProfiles", OUTPUT_PROFILES),
    item("Providers", PROVIDERS),
    item("Publishers", PUBLISHERS),
    item(
        "PersistentStreams",
        &[item("Stream", &[text("Name").required(), text("OriginStreamName"), text("FallbackStreamName")])
            .list()],
    )
    .idle(PERSISTENT),
    item(
        "TranscodeWebhook",
        &[
            flag("Enable").required(),
            text("ControlServerUrl").required(),
            text("SecretKey").required(),
            millis("Timeout", 0),
            flag("UseLocalProfilesOnConnectionFailure"),
            flag("UseLocalProfilesOnServerDisallow"),
            flag("UseLocalProfilesOnErrorResponse"),
        ],
    )
    .idle_unless("false", WEBHOOK),
    item("EventGenerator", &[flag("Enable"), text("Path")]).idle_unless("false", EVENTS),
];

static OUTPUT_PROFILES: &[Spec] = &[
    flag("HardwareAcceleration").idle_unless("false", HARDWARE),
    item(
        "HWAccels",
        &[
            item("Decoder", &[flag("Enable"), text("Modules")]),
            item("Encoder", &[flag("Enable"), text("Modules")]),
        ],
    )
    .idle(HARDWARE),
    item("Decodes", &[count("ThreadCount"), flag("OnlyKeyframes")]).idle(HARDWARE),
    item(
        "OutputProfile",
        &[
            text("Name"),
            text("OutputStreamName"),
            item(
                "Encodes",
                &[item("Video", VIDEO).list(), item("Audio", AUDIO).list(), item("Image", IMAGE).list()],
            ),
            item("Playlist", PLAYLIST).list(),
        ],
    )
    .list(),
    item(
        "MediaOptions",
        &[
            item("Subtitles", &[flag("Enable"), text("DefaultLabel"), item("Rendition", SUBTITLE).list()])
                .idle_unless("false", OVERLAYS),
            item("Overlays", &[flag("Enable"), text("Path")]).idle_unless("false", OVERLAYS),
        ],
    ),
];

static VIDEO: &[Spec] = &[
    text("Name"),
    flag("Bypass"),
    text("Codec"),
    text("Modules"),
    text("Bitrate"),
    count("Width"),
    count("Height"),
    text("Framerate"),
    number("SkipFrames"),
    text("Preset"),
    number("ThreadCount"),
    text("KeyFrameIntervalType"),
    text("KeyFrameInterval"),
    number("BFrames"),
    text("Profile"),
    number("Lookahead"),
    item("BypassIfMatch", BYPASS_IF_MATCH),
];

static AUDIO: &[Spec] = &[
    text("Name"),
    flag("Bypass"),
    text("Codec"),
    text("Modules"),
    text("Bitrate"),
    count("Samplerate"),
    count("Channel"),
    item("BypassIfMatch", BYPASS_IF_MATCH),
];

static IMAGE: &[Spec] = &[
    text("Name"),
    text("Codec"),
    text("Modules"),
    count("Width"),
    count("Height"),
    text("Framerate"),
    number("SkipFrames"),
    item("BypassIfMatch", BYPASS_IF_MATCH),
];

static BYPASS_IF_MATCH: &[Spec] = &[
    text("Codec"),
    text("Bitrate"),
    text("Framerate"),
    text("Width"),
    text("Height"),
    text("SAR"),
    text("Samplerate"),
    text("Channel"),
];

static PLAYLIST: &[Spec] = &[
    text("Name"),
    word("FileName").required(),
    item(
        "Options",
        &[
            flag("WebRtcAutoAbr"),
            int("HLSChunklistPathDepth", -1, 2, ""),
            flag("EnableTsPackaging"),
            flag("EnableSubtitles").idle_unless("true", SUBTITLES),
        ],
    ),
    item(
        "Rendition",
        &[
            word("Name").required(),
            text("Video"),
            text("Audio"),
            int("VideoIndexHint", -1, 63, ""),
            int("AudioIndexHint", -1, 63, ""),
        ],
    )
    .list(),
    item(
        "RenditionTemplate",
        &[
            text("Name").required(),
            item(
                "VideoTemplate",
                &[
                    text("VariantName"),
                    text("EncodingType"),
                    number("MaxWidth"),
                    number("MinWidth"),
                    number("MaxHeight"),
                    number("MinHeight"),
                    text("MaxFramerate"),
                    text("MinFramerate"),
                    text("MaxBitrate"),
                    text("MinBitrate"),
                ],
            ),
            item(
                "AudioTemplate",
                &[
                    text("VariantName"),
                    text("EncodingType"),
                    text("MaxBitrate"),
                    text("MinBitrate"),
                    number("MaxSamplerate"),
                    number("MinSamplerate"),
                    number("MaxChannel"),
                    number("MinChannel"),
                ],
            ),
        ],
    )
    .list()
    .idle(TEMPLATES),
];

static SUBTITLE: &[Spec] = &[
    text("Label").required(),
    text("Language").required(),
    flag("AutoSelect"),
    flag("Forced"),
    item(
        "Transcription",
        &[
            text("Engine"),
            text("Model"),
            number("AudioIndexHint"),
            text("SourceLanguage"),
            flag("Translation"),
        ],
    ),
];

const fn max_connection() -> Spec {
    number("MaxConnection").idle_unless("0", CONNECTIONS)
}
const fn timestamp_mode() -> Spec {
    choice("TimestampMode", &["ZeroBased", "Original", "SystemClock"])
}
const fn incoming() -> Spec {
    flag("UseIncomingTimestamp")
}
const fn silence() -> Spec {
    millis("PacketSilenceTimeoutMs", 0)
}
const fn block_duplicate() -> Spec {
    flag("BlockDuplicateStreamName")
}
static AUDIO_MAP: &[Spec] =
    &[item("Item", &[text("Name").required(), text("Language"), text("Characteristics")]).list()];

static PROVIDERS: &[Spec] = &[
    item("OVT", &[max_connection(), timestamp_mode(), incoming()]),
    item(
        "RTMP",
        &[
            max_connection(),
            timestamp_mode(),
            incoming(),
            silence(),
            block_duplicate(),
            int("ReconnectWindowMs", 0, 600_000, " ms"),
            int("StandbyPublishers", 0, STANDBY_PUBLISHERS_MAX as i64, ""),
            item("EventGenerator", &[item("Event", EVENT).list()]).idle(EVENTS),
            flag("PassthroughOutputProfile").idle_unless("false", PASSTHROUGH),
        ],
    ),
    item("RTSPPull", &[max_connection(), timestamp_mode(), incoming(), block_duplicate()]).idle(RTSP),
    item("RTSP", &[max_connection(), timestamp_mode(), incoming()]).idle(RTSP),
    item(
        "SRT",
        &[
            max_connection(),
            timestamp_mode(),
            incoming(),
            silence(),
            block_duplicate(),
            item("AudioMap", AUDIO_MAP),
        ],
    )
    .idle(INGEST),
    item(
        "WebRTC",
        &[
            max_connection(),
            timestamp_mode(),
            incoming(),
            silence(),
            millis("Timeout", 0),
            item("CrossDomains", CROSS_DOMAINS),
        ],
    )
    .idle(WEBRTC),
    item(
        "FILE",
        &[
            max_connection(),
            timestamp_mode(),
            incoming(),
            text("RootPath"),
            item("StreamMap", &[item("Stream", &[text("Name"), text("Path")]).list()]),
            flag("PassthroughOutputProfile"),
        ],
    )
    .idle(FILES),
    item(
        "Schedule",
        &[
            max_connection(),
            timestamp_mode(),
            incoming(),
            text("MediaRootDir").required(),
            text("ScheduleFilesDir").required(),
        ],
    )
    .idle(FILES),
    item(
        "Multiplex",
        &[max_connection(), timestamp_mode(), incoming(), silence(), text("MuxFilesDir").required()],
    )
    .idle(MULTIPLEX),
    item(
        "MPEGTS",
        &[
            max_connection(),
            timestamp_mode(),
            incoming(),
            silence(),
            item("StreamMap", &[item("Stream", &[text("Name"), Spec::new("Port", Shape::Ports)]).some()]),
            item("AudioMap", AUDIO_MAP),
        ],
    )
    .idle(INGEST),
];

const PASSTHROUGH: &str = "The application's output profile applies to every stream of it.";

static EVENT: &[Spec] =
    &[text("Trigger"), item("HLSID3v2", &[text("EventType"), text("FrameType"), text("Info"), text("Data")])];

static PUBLISHERS: &[Spec] = &[
    count("AppWorkerCount").idle(WORKERS),
    count("StreamWorkerCount").idle(WORKERS),
    count("DelayBufferTimeMs").idle_unless("0", DELAY),
    item("OVT", &[max_connection()]),
    item("LLHLS", LLHLS),
    item("HLS", HLS),
    item(
        "WebRTC",
        &[
            max_connection(),
            millis("Timeout", 0),
            flag("JitterBuffer"),
            flag("Rtx"),
            flag("Ulpfec"),
            item("PlayoutDelay", &[number("Min"), number("Max")]),
            flag("CreateDefaultPlaylist"),
            text("BandwidthEstimation"),
        ],
    )
    .idle(WEBRTC),
    item("Thumbnail", &[max_connection(), item("CrossDomains", CROSS_DOMAINS)]).idle(EGRESS),
    item(
        "FILE",
        &[
            max_connection(),
            text("RootPath"),
            text("FilePath"),
            text("InfoPath"),
            item("StreamMap", RECORD),
            item("Record", RECORD),
        ],
    )
    .idle(FILES),
    item("Push", PUSH).idle(EGRESS),
    item("SRT", &[max_connection()]).idle(EGRESS),
    item("MPEGTSPush", PUSH).idle(EGRESS),
    item("RTMPPush", PUSH).idle(EGRESS),
    item("SRTPush", PUSH).idle(EGRESS),
];

static RECORD: &[Spec] = &[flag("Enable"), text("Path"), text("RecordInfo")];

static PUSH: &[Spec] = &[
    max_connection(),
    item("StreamMap", &[flag("Enable"), text("Path")]),
    number("ConnectionTimeout"),
    number("SendTimeout"),
];

static LLHLS: &[Spec] = &[
    max_connection(),
    flag("OriginMode"),
    flag("ServerTimeBasedSegmentNumbering").idle_unless("true", NUMBERING),
    // RFC 8216, 6.2.2: a live playlist never falls under three target durations.
    int("SegmentCount", 3, 1_000, ""),
    seconds("SegmentDuration", 500, 600_000),
    seconds("ChunkDuration", 50, 60_000),
    seconds("PartHoldBack", 0, 600_000),
    flag("EnablePreloadHint"),
    item("CrossDomains", CROSS_DOMAINS),
    item("DVR", DVR_CHILDREN).idle_unless("false", DVR),
    item("Dumps", DUMPS_CHILDREN).idle(DUMPS),
    item("CacheControl", CACHE_CONTROL),
    item("DefaultQueryString", DEFAULT_QUERY).idle(QUERY),
    flag("CreateDefaultPlaylist"),
    item("DRM", &[flag("Enable"), text("InfoFile")]),
];

static HLS: &[Spec] = &[
    max_connection(),
    flag("OriginMode"),
    flag("ServerTimeBasedSegmentNumbering").idle_unless("true", NUMBERING),
    // As for LL-HLS.
    int("SegmentCount", 3, 1_000, ""),
    seconds("SegmentDuration", 500, 600_000),
    item("CrossDomains", CROSS_DOMAINS),
    item("DVR", DVR_CHILDREN).idle_unless("false", DVR),
    item("Dumps", DUMPS_CHILDREN).idle(DUMPS),
    item("CacheControl", CACHE_CONTROL),
    item("DefaultQueryString", DEFAULT_QUERY).idle(QUERY),
    flag("CreateDefaultPlaylist"),
];

static DVR_CHILDREN: &[Spec] =
    &[flag("Enable"), text("TempStoragePath"), count("MaxDuration"), flag("EventPlaylistType")];

static DUMPS_CHILDREN: &[Spec] = &[item(
    "Dump",
    &[
        text("Id"),
        flag("Enable").required(),
        text("TargetStreamName").required(),
        text("OutputPath").required(),
        item("Playlists", &[text("Playlist").some()]),
    ],
)
.list()];

static CACHE_CONTROL: &[Spec] = &[
    max_age("MasterPlaylistMaxAge"),
    max_age("ChunklistMaxAge"),
    max_age("ChunklistWithDirectivesMaxAge"),
    max_age("SegmentMaxAge"),
    max_age("PartialSegmentMaxAge"),
];

static DEFAULT_QUERY: &[Spec] = &[item("Query", &[text("Key"), text("Value")]).list()];

static CROSS_DOMAINS: &[Spec] =
    &[word("Url").list(), item("Header", &[word("Key").required(), text("Value").required()]).list()];

static ALERTS: &[Spec] = &[
    text("Url").required(),
    text("SecretKey").required(),
    millis("Timeout", 0).required(),
    text("RulesFile"),
    item(
        "Rules",
        &[
            item(
                "Ingress",
                &[
                    text("StreamStatus"),
                    text("MinBitrate"),
                    text("MaxBitrate"),
                    text("MinFramerate"),
                    text("MaxFramerate"),
                    number("MinWidth"),
                    number("MaxWidth"),
                    number("MinHeight"),
                    number("MaxHeight"),
                    number("MinSamplerate"),
                    number("MaxSamplerate"),
                    text("LongKeyFrameInterval"),
                    text("HasBFrames"),
                ],
            ),
            item(
                "Egress",
                &[text("StreamStatus"), text("LLHLSReady"), text("HLSReady"), text("TranscodeStatus")],
            ),
            text("InternalQueueCongestion"),
        ],
    ),
];
