//! Every bound, once. A bound that a user can set is in the configuration; these are the ones that protect the node.

use core::time::Duration;

/// The longest OVT signalling message that is read, in bytes. A DESCRIBE of 100 tracks is about 60 kB.
pub const OVT_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The largest access unit that is taken from any peer, in bytes. A 4K key frame at 100 Mbit/s is about 2 MB.
pub const ACCESS_UNIT_BYTES_MAX: usize = 8 << 20;

/// Tracks in one stream.
pub const TRACKS_MAX: usize = 64;

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
