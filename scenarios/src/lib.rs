//! Stories of failure, told by the simulator from a seed, and what they are held to.
//!
//! A scenario ([`Scenario`], one file each in `stories`) draws from its seed everything that may differ, and writes a
//! [`Script`]: who is there, what happens, what must hold. [`play`](play::play) plays a script in the simulator and
//! reports. It never panics because a program fails: that is what it is there to report.

#![deny(missing_docs)]

pub mod cluster;
pub mod cost;
pub mod draw;
pub mod encoders;
pub mod facts;
pub mod play;
pub mod report;
pub mod rules;
pub mod script;
pub mod seeds;
pub mod servers;
pub mod shrink;
pub mod stories;
pub mod switches;
pub mod tape;
pub mod watching;

pub use cluster::{Cluster, Plan, Switch};
pub use draw::Draw;
pub use play::{play, play_recorded};
pub use report::Report;
pub use script::Script;
pub use stories::Scenario;
