//! The deterministic simulator: hosts, the network between them, encoders, viewers and time, on one event queue,
//! from one seed.
//!
//! It drives the very machines that production drives ([`headwater_core::io::Machine`]) and can crash, stop, cut
//! off, slow down and misdate them. Two runs of one seed are equal in every bit; [`World::trace_hash`] says so.
//!
//! ```no_run
//! # use headwater_core::io::{Machine, Service};
//! # fn origin(_seed: u64, _now: headwater_core::time::Now) -> Box<dyn Machine> { unimplemented!() }
//! # fn edge(_seed: u64, _now: headwater_core::time::Now) -> Box<dyn Machine> { unimplemented!() }
//! use headwater_net_sim::{Boot, Checks, Crash, Latency, Viewer, World, ms, secs};
//!
//! let mut world = World::new(0x5eed);
//! world.link_default(Latency::ms(1).jitter_ms(1));
//! let origin = world.host("origin-a", Boot::new(origin).listen(1935, Service::Rtmp).listen(9000, Service::Ovt));
//! let edge = world.host("edge", Boot::new(edge).listen(8080, Service::Http));
//! let viewer = world.viewer("viewer", Viewer::new("http://edge:8080/app/stream/llhls.m3u8"));
//! world.run_for(secs(20));
//! world.crash(origin, Crash::Reset);
//! world.run_for(secs(10));
//! Checks::unharmed(ms(1_500)).demand(&world);
//! println!("stalled for {:?}", world.watch(viewer).record().stalled(world.now()));
//! # let _ = edge;
//! ```
//!
//! The modules, from the ground up: `rng`, `clock`, `trace` know nothing of networks; `net` is wires, `tcp` streams
//! and `udp` datagrams over them, `http` messages in streams; `host` and `world` put programs on them; `encoder` and
//! `viewer` are the two ends of a broadcast, `playlist`, `fmp4`, `mark` and `integrity` what the viewer reads with;
//! `ome`, `redis` and `hostile` are other programs that a cluster meets; `check` judges; `recording` keeps what a run
//! was, and `page` shows it.

#![deny(missing_docs)]

use core::time::Duration;

pub mod check;
pub mod clock;
mod conns;
pub mod dialect;
pub mod encoder;
pub mod fmp4;
mod host;
pub mod hostile;
pub mod http;
pub mod integrity;
pub mod mark;
pub mod net;
pub mod ome;
pub mod page;
pub mod playlist;
mod queue;
mod recording;
pub mod redis;
pub mod rng;
pub mod rtmp;
mod tcp;
pub mod trace;
pub mod udp;
mod url;
pub mod viewer;
mod world;

pub use check::{Checker, Checks, Violation};
pub use host::Boot;
pub use net::{Latency, Link};
pub use rng::Rng;
pub use tcp::{Connection, Tcp, Unsent};
pub use viewer::Viewer;
pub use world::{Crash, Fact, HostId, SHUTDOWN_GRACE, World};

/// `n` milliseconds.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
