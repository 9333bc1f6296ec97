//! Every bound, once. A bound that a user can set is in the configuration; these are the ones that protect the node.

use core::time::Duration;

/// The longest OVT signalling message that is read, in bytes. A DESCRIBE of 100 tracks is about 60 kB.
pub const OVT_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The longest OVT request that an origin reads, in bytes: a target of [`URL_BYTES_MAX`] with every byte escaped as
/// `\uXXXX` is 24 kB.
pub const OVT_REQUEST_BYTES_MAX: usize = 32 << 10;

/// The largest media packet that an edge reassembles, in bytes. A little more than an access unit, because the origin
/// adds a header, a delimiter and parameter sets to what its publisher sent.
pub const OVT_MEDIA_BYTES_MAX: usize = ACCESS_UNIT_BYTES_MAX + (64 << 10);

/// How much an origin skips on one OVT connection, in bytes: media and unknown payloads have no business there.
pub const OVT_IGNORED_BYTES_MAX: u64 = 64 << 10;

/// How far from zero the timestamps of media may be, in microseconds: 285 years. Sums and differences of a few such
/// times fit in 64 bits.
pub const MEDIA_TIME_US_MAX: i64 = 1 << 53;

/// Media packets that an edge keeps while PLAY is not answered. Two seconds of 30 fps video with one audio track are
/// about 160.
pub const OVT_EARLY_PACKETS_MAX: usize = 512;

/// The payload of the media packets that an edge keeps while PLAY is not answered, in bytes.
pub const OVT_EARLY_BYTES_MAX: usize = OVT_MEDIA_BYTES_MAX;

/// Requests that may follow one another on one OVT connection without a pause; a pull needs three.
pub const OVT_REQUEST_BURST: u32 = 16;

/// How often one more request is allowed on an OVT connection after [`OVT_REQUEST_BURST`].
pub const OVT_REQUEST_INTERVAL: Duration = Duration::from_millis(250);

/// How often an edge asks a Headwater origin for a sign of life when there is no media: a frame of 20 fps.
pub const OVT_BEAT: Duration = Duration::from_millis(50);

/// The most often that an origin sends signs of life, whatever an edge asks for.
pub const OVT_BEAT_MIN: Duration = Duration::from_millis(20);

/// How much of the text that a peer gives as its reason is kept, in characters.
pub const PEER_REASON_CHARS_MAX: usize = 256;

/// Servers through which a request for a stream may have come: a chain of edges is two or three long.
pub const OVT_VIA_MAX: usize = 16;

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 4_096;

/// The largest access unit that is taken from any peer, in bytes. A 4K key frame at 100 Mbit/s is about 2 MB.
pub const ACCESS_UNIT_BYTES_MAX: usize = 8 << 20;

/// Tracks in one stream.
pub const TRACKS_MAX: usize = 64;

/// Playlists that one stream describes.
pub const PLAYLISTS_MAX: usize = 64;

/// Renditions in one playlist.
pub const RENDITIONS_MAX: usize = 64;

/// How long an accepted connection may take until it has said what it wants.
pub const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an origin may take to accept a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How long an origin may take to answer DESCRIBE. OvenMediaEngine may legally take 3 s plus a pull of its own.
pub const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an origin may take to answer PLAY.
pub const PLAY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Chunk streams that one RTMP peer may use. Encoders use four to eight.
pub const RTMP_CHUNK_STREAMS_MAX: usize = 64;

/// Bytes of unfinished messages that one RTMP connection may hold, over all its chunk streams.
pub const RTMP_UNFINISHED_BYTES_MAX: usize = 2 * ACCESS_UNIT_BYTES_MAX;

/// Bytes that an RTMP publisher may send ahead of the answer to its `publish`.
pub const RTMP_AHEAD_BYTES_MAX: usize = 1 << 20;

/// The longest RTMP command or metadata message that is read, in bytes.
pub const RTMP_COMMAND_BYTES_MAX: usize = 64 << 10;

/// Commands that an RTMP peer may send before it publishes.
pub const RTMP_COMMANDS_MAX: u32 = 64;

/// Message streams that an RTMP peer may create.
pub const RTMP_MESSAGE_STREAMS_MAX: u32 = 8;

/// How deep AMF0 objects may nest.
pub const AMF0_DEPTH_MAX: usize = 16;

/// AMF0 values in one message, nested ones included.
pub const AMF0_VALUES_MAX: usize = 4_096;

/// The longest name of an application or a stream, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// NAL units in one access unit, and parameter sets in one decoder configuration.
pub const NAL_UNITS_MAX: usize = 4_096;

/// A publisher that was not heard of for this long does not hold its name against another one: most likely it is the
/// same encoder, on a new connection.
pub const PUBLISHER_DEAD_AFTER: Duration = Duration::from_secs(4);

/// Packets that are kept of a publisher that stands by, and their payload in bytes: its last group of pictures.
pub const RESERVE_PACKETS_MAX: usize = HELD_PACKETS_MAX / 2;

/// See [`RESERVE_PACKETS_MAX`].
pub const RESERVE_BYTES_MAX: usize = 2 * ACCESS_UNIT_BYTES_MAX;

/// Publishers that may stand by for one name.
pub const STANDBY_PUBLISHERS_MAX: usize = 2;

/// How long a publisher may take from the answer to `publish` to its first audio or video.
pub const PUBLISH_FIRST_MEDIA_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a publisher may take from the answer to `publish` until its stream can be played: until its decoder
/// configurations and its first key frame are there.
pub const PUBLISH_START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a track is waited for that the publisher's metadata announced.
pub const ANNOUNCED_TRACK_WAIT: Duration = Duration::from_secs(5);

/// How long a second track is waited for if the publisher announced none.
pub const UNANNOUNCED_TRACK_WAIT: Duration = Duration::from_secs(2);

/// How much media of one track is waited through for a second one if the publisher announced none, in milliseconds.
pub const UNANNOUNCED_TRACK_WAIT_MS: i64 = 500;

/// Packets and bytes that are held until a published stream starts.
pub const PREBUFFER_PACKETS_MAX: usize = 1_024;

/// See [`PREBUFFER_PACKETS_MAX`].
pub const PREBUFFER_BYTES_MAX: usize = 2 * ACCESS_UNIT_BYTES_MAX;

/// How far a publisher's timestamps may jump forward from one message to the next, in milliseconds.
pub const PUBLISH_JUMP_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// How far a publisher's PTS may be from its DTS, in milliseconds.
pub const COMPOSITION_MS_MAX: i32 = 60_000;

/// Access units of a stream whose content is remembered, to recognise them from another origin: about ten seconds.
pub const MEMORY_ACCESS_UNITS: usize = 1_024;

/// Key frames that a stream remembers for longer than its other access units: minutes, at one or two seconds each.
pub const MEMORY_KEY_FRAMES: usize = 256;

/// Packets that a new source may deliver before its place on the timeline must be decided.
pub const HELD_PACKETS_MAX: usize = 2_048;

/// The payload of those packets, in bytes.
pub const HELD_BYTES_MAX: usize = 32 << 20;

/// How long an origin may take to deliver the recent past that it has announced: 4 s of media in its first second.
pub const BURST_TIMEOUT: Duration = Duration::from_millis(1_000);

/// How long a source waits for what other servers say of its clock.
pub const AGREED_WITHIN: Duration = Duration::from_millis(500);

/// A new source whose burst pauses for this long has shown what it has.
pub const JOIN_QUIET: Duration = Duration::from_millis(10);

/// The longest that packets of a new source are held while it bursts.
pub const JOIN_TIMEOUT: Duration = Duration::from_millis(150);

/// The media that an origin keeps of each stream for edges that come late or lost another origin. It covers the
/// default NoInputFailoverTimeout, so that an edge that waited that long still misses nothing.
pub const HISTORY: Duration = Duration::from_millis(4_000);

/// The most that is kept of one stream, in bytes; a stream whose key frames are so far apart is not kept.
pub const HISTORY_BYTES_MAX: usize = 32 << 20;

/// Bytes queued for an OVT client beyond which it is cut to the next key frame.
pub const RELAY_QUEUE_HIGH: usize = 4 << 20;

/// Bytes queued for an OVT client below which it may go on.
pub const RELAY_QUEUE_LOW: usize = 256 << 10;

/// How long an OVT client may have more queued than [`RELAY_QUEUE_LOW`] after it was cut to the next key frame: one
/// that takes a little now and then is of no use to its viewers.
pub const RELAY_BEHIND_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of answers that a peer may leave unread; beyond that it is told nothing more and cut. A publisher is sent a
/// few bytes per second, an OVT client two answers of some kilobytes before its media.
pub const UNREAD_ANSWERS_BYTES_MAX: usize = 64 << 10;

/// How long an OVT client may take nothing at all.
pub const RELAY_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an origin that plays may take until its media can be placed: the longest wait for a key frame.
pub const FIRST_MEDIA_TIMEOUT: Duration = Duration::from_secs(10);

/// An active origin that has brought nothing for so long is covered for by a standby that has more: longer than the frames of
/// most streams are apart, and not long enough for a player to notice.
pub const COVER_AFTER: Duration = Duration::from_millis(100);

/// An active origin that was covered for so long without bringing anything new is relieved by the standby. Viewers cannot
/// tell, so there is no haste: on a wire that loses 1 % of its packets an origin is behind for a second or two now and then.
pub const RELIEVE_AFTER: Duration = Duration::from_millis(5_000);

/// An origin that played for this long has shown that it works: when it is lost, attempts are counted from zero.
pub const STABLE_AFTER: Duration = Duration::from_secs(2);

/// Rounds over the URLs of a stream that may follow one another without a pause, however many `RetryCount` allows.
pub const EAGER_ROUNDS_MAX: u32 = 3;

/// The first pause between attempts to reach an origin, after those that follow without a pause.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause between attempts.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A connection to an origin that has said nothing for so long is probed by the kernel: a persistent stream never leaves
/// an origin that is silent, so nothing else would tell one that is gone.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);

/// How long the kernel waits for the answer to a probe.
pub const PROBE_EVERY: Duration = Duration::from_secs(2);

/// After so many probes without an answer the connection is lost.
pub const PROBES_MAX: u32 = 3;

/// The shortest silence of an origin that sends signs of life of which something is thought, unless configured. They
/// follow each other by [`OVT_BEAT`], so that TCP finds what is lost by the next one that is not, a round trip later: at
/// 1 % of loss and 50 ms of jitter Linux is silent for longer than 150 ms some times in a minute, and hardly ever for
/// longer than this.
pub const SILENCE_MIN: Duration = Duration::from_millis(200);

/// How many times as long it is for an origin that sends none: it is silent when its encoder is, and encoders lose
/// packets, too.
pub const SILENCE_MIN_FACTOR_WITHOUT_BEATS: u32 = 3;

/// How long a silence that was borne is remembered, at least; at most twice as long.
pub const SILENCE_MEMORY: Duration = Duration::from_secs(300);

/// Times that a stream may look for another origin because one was silent, without a pause.
pub const SUSPICION_BURST: u32 = 4;

/// How often one more time is allowed after [`SUSPICION_BURST`].
pub const SUSPICION_INTERVAL: Duration = Duration::from_secs(15);

/// How long a stream that was playing may be without any origin before it is given up.
pub const RESUME_BUDGET: Duration = Duration::from_secs(60);

/// How many attempts are made at least when an origin has said that its stream is only starting.
pub const START_BUDGET_ATTEMPTS: u32 = 12;

/// How long it is remembered that no origin has a stream.
pub const ABSENT_MEMORY: Duration = Duration::from_secs(1);

/// Absent streams that are remembered; beyond that the oldest are forgotten.
pub const ABSENT_STREAMS_MAX: usize = 20_000;

/// Ended streams whose last media sequence number is remembered.
pub const ENDED_STREAMS_MAX: usize = 10_000;

/// Streams of one node, those that are only asked for included.
pub const STREAMS_MAX: usize = 20_000;

/// Pulls of one node that have not delivered anything yet.
pub const STARTING_PULLS_MAX: usize = 1_000;

/// How long a pulled stream is kept at least when nobody plays it: whoever has just been told of it needs a moment to
/// come back and play it, however short `UnusedStreamDeletionTimeout` is.
pub const UNUSED_MIN: Duration = Duration::from_secs(2);

/// How long a server that drains waits for edges that it has sent away to come back, because nobody else has what they
/// play: an edge finds that out in the time of an attempt that nobody answers, and a few more.
pub const DRAIN_RETURN: Duration = Duration::from_secs(3);

/// How often a server that drains looks whether anybody needs it.
pub const DRAIN_LOOK: Duration = Duration::from_millis(250);

/// How long a viewer who was let in counts as load that is still to come: until it waits for its first part.
pub const LET_IN_FOR: Duration = Duration::from_secs(2);

/// Viewers who were let in so lately that they are counted, if nothing else bounds them.
pub const LET_IN_MAX: usize = 50_000;

/// How often it is told that viewers are sent away.
pub const REFUSALS_TOLD_EVERY: Duration = Duration::from_secs(10);

/// DESCRIBE requests that wait for one stream to start.
pub const HELD_DESCRIBES_MAX: usize = 1_000;

/// How long a DESCRIBE waits for its stream to start. OvenMediaEngine's edge gives up after 1.5 s of silence.
pub const HELD_DESCRIBE_TIMEOUT: Duration = Duration::from_millis(1_300);

/// Requests that wait on one stream for a part.
pub const WAITING_REQUESTS_MAX: usize = 20_000;

/// Requests that wait on all streams of a node together.
pub const NODE_WAITING_REQUESTS_MAX: usize = 50_000;

/// How long a viewer waits for a stream that is starting.
pub const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream without a new part for this long is frozen: playlists are answered with an error.
pub const FROZEN_AFTER: Duration = Duration::from_secs(4);

/// The largest configuration file that is read, in bytes. A file with a hundred applications is about 200 kB.
pub const CONFIG_FILE_BYTES_MAX: usize = 1 << 20;

/// How deep the elements of a configuration may nest, includes counted. The schema itself is 11 deep.
pub const CONFIG_DEPTH_MAX: usize = 32;

/// Elements of a configuration, over all its files.
pub const CONFIG_ELEMENTS_MAX: usize = 50_000;

/// Files that include one another in a chain.
pub const CONFIG_INCLUDE_DEPTH_MAX: usize = 8;

/// The longest name of an element or attribute of a configuration, in bytes.
pub const CONFIG_NAME_BYTES_MAX: usize = 64;

/// The longest value in a configuration after its macros are replaced, in bytes.
pub const CONFIG_VALUE_BYTES_MAX: usize = 16 << 10;

/// Errors and warnings that are told of one configuration; the rest is counted.
pub const CONFIG_DIAGNOSTICS_MAX: usize = 200;

/// Bytes of packets that a packager holds back while it waits for the leading track; the oldest are let go first.
pub const HLS_QUEUE_BYTES_MAX: usize = 32 << 20;

/// Segment boundaries of the leading track that are remembered for tracks that lag behind.
pub const HLS_BOUNDARIES_MAX: usize = 4_096;

/// Segments that stay downloadable after they have left a media playlist.
pub const HLS_RETIRED_SEGMENTS: usize = 3;

/// Samples in one part: what a part of one second holds at 240 frames per second, with room.
pub const HLS_PART_SAMPLES_MAX: usize = 4_096;

/// Segments of pure gap that one packet can cause on one track.
pub const HLS_GAP_SEGMENTS_MAX: usize = 16_384;

/// Renditions of one stream that are multiplexed into MPEG-TS.
pub const HLS_MUXES_MAX: usize = 16;

/// Names of segments and parts that a stream remembers; the oldest are forgotten, and made again if they are asked for.
pub const HLS_TAGS_MAX: usize = 4_096;

/// Events of a packager that nobody has polled yet; the oldest are dropped.
pub const HLS_EVENTS_MAX: usize = 65_536;

/// Streams of which a journal is kept, for the operator who asks why.
pub const JOURNAL_STREAMS_MAX: usize = 1_000;

/// Lines in the journal of one stream.
pub const JOURNAL_LINES_MAX: usize = 12;

/// Streams whose place in a directory, and whose greatest epoch, an edge remembers.
pub const ROUTES_KNOWN_MAX: usize = 20_000;

/// How long an edge waits for a stream to move when the origin that the directory names cannot be reached: an owner is
/// dead after 3 s, and who waits for its place has it within a second.
pub const MOVE_PATIENCE: Duration = Duration::from_secs(8);

/// How often it looks meanwhile.
pub const MOVE_PAUSE: Duration = Duration::from_millis(300);
