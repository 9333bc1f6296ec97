//! Headwater against real programs: what the tests in `tests/` and the benchmarks in `xtask` are made of.
//!
//! A [`cluster::Cluster`] runs `headwater serve` processes on loopback; [`ffmpeg`] publishes to them and looks at
//! what comes out; [`viewer::Viewer`] and [`chromium::Browser`] watch, as a program and as a person would. Nothing
//! here knows how Headwater works inside: formats are parsed a second time on purpose, so that a wrong idea in
//! `core` is not agreed with here. Only [`fuzz`] calls `core`, and `stores` asks directories of streams through the client
//! that Headwater uses.

pub mod binary;
pub mod cache;
pub mod certificate;
pub mod chromium;
pub mod cluster;
pub mod config;
pub mod ffmpeg;
pub mod fmp4;
pub mod fuzz;
pub mod http;
pub mod m3u8;
pub mod machine;
pub mod mutate;
pub mod ovt;
pub mod page;
pub mod process;
#[cfg(feature = "stores")]
pub mod stores;
pub mod viewer;
