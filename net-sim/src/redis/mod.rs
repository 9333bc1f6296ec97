//! A Redis server, as far as a directory of streams needs one: strings that expire, transactions, known scripts, and
//! everything that goes wrong with the real one: restarts that lose what was stored, promoted replicas that lack the
//! newest writes, loading, read-only replicas, slow answers.
//!
//! `resp` is the wire, [`Database`] every command and what a connection remembers, [`Server`] the program. Replies are
//! those of Redis 7.0, byte for byte; a differential test against the real program holds them to it. Scripts are not
//! interpreted: a scenario gives each a function of the same meaning.

mod client;
mod commands;
mod database;
mod directory;
mod resp;
mod server;

pub use client::WithStore;
pub use database::{Call, Database, Script, Session, Setup, sha1_hex};
pub use directory::directory_scripts;
pub use resp::{Reply, Request, Requests};
pub use server::{Handle, PORT, Server, Start};
