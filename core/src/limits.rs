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

/// Media packets that an edge keeps while PLAY is not answered. Two seconds of 30 fps video with one audio track are
/// about 160.
pub const OVT_EARLY_PACKETS_MAX: usize = 512;

/// The payload of the media packets that an edge keeps while PLAY is not answered, in bytes.
pub const OVT_EARLY_BYTES_MAX: usize = OVT_MEDIA_BYTES_MAX;

/// Requests that may follow one another on one OVT connection without a pause; a pull needs three.
pub const OVT_REQUEST_BURST: u32 = 16;

/// How often one more request is allowed on an OVT connection after [`OVT_REQUEST_BURST`].
pub const OVT_REQUEST_INTERVAL: Duration = Duration::from_millis(250);

/// How much of the text that a peer gives as its reason is kept, in characters.
pub const PEER_REASON_CHARS_MAX: usize = 256;

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
