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
