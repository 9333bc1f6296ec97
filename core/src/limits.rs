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
