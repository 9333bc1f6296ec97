//! The tokio driver of a [`headwater_core::io::Machine`]: the one piece of asynchronous code in Headwater.
//!
//! One task owns the machine and calls it; other tasks only move bytes to and from it. Nothing here decides
//! anything about media, origins or viewers: what is here moves bytes, keeps bounds, and reports.
//!
//! * [`net`] is what the driver asks of a network; [`tokio`] is the real one, `turmoil` (a feature) a simulated one.
//! * [`driver`] is the event loop. It does the writing itself, once per turn; reading is a task per connection.
//! * [`http`] turns requests that hyper has parsed into inputs, and the machine's answers into responses.
//! * [`registry`] carries commands to a directory of streams in Redis, a task for each.
//! * [`tls`] has the certificates for whoever comes over TLS.
//! * [`clock`] is the two clocks of a node, [`log`] writes its events, [`environment`] is what its configuration may ask,
//!   [`files`] how many connections it may have.
//! * [`probe`] looks at servers from outside, for `headwater diff` and `headwater hls-check`.
//! * [`server`] puts them together to what `headwater serve` runs, [`demo`] to a whole cluster in one process.

pub mod clock;
mod conn;
pub mod demo;
pub mod driver;
pub mod environment;
pub mod files;
pub mod http;
pub mod inquiry;
mod listen;
pub mod log;
pub mod net;
pub mod probe;
pub mod registry;
pub mod server;
mod task;
pub mod tls;
pub mod tokio;
#[cfg(feature = "turmoil")]
pub mod turmoil;
