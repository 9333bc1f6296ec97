//! More engines for the simulator's scripts: the same stories, told by the code that the simulator never runs.
//!
//! The simulator (`headwater-net-sim`) plays machines. What production adds to them, tokio's tasks, hyper, sockets and
//! processes, is played here: by [`turmoil`] (a feature) on simulated byte streams and in simulated time, and by
//! [`loopback`] for real. An engine starts a script's hosts, lets time go by and does what the script says ([`stage`]);
//! an [`outcome::Outcome`] says what viewers saw, in the same words for every engine, so that engines can be compared.
//! What an engine cannot play it says plainly (`supports`).

#![deny(missing_docs)]

pub mod agreement;
pub mod browser;
pub mod hosts;
pub mod loopback;
pub mod outcome;
pub mod scripts;
pub mod simulator;
pub mod stage;
#[cfg(feature = "turmoil")]
pub mod turmoil;
pub mod wires;
