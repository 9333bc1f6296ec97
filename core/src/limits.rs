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

/// Events of a packager that nobody has polled yet; the oldest are dropped.
pub const HLS_EVENTS_MAX: usize = 65_536;
