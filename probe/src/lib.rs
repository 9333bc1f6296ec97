//! What a client can tell of an HLS server.
//!
//! Somebody else asks, waits and measures; here it is said what the answers mean. Nothing here opens a socket or reads a
//! clock, so that what is judged of a server is the same in a test, in a terminal and for a recording.
//!
//! * [`playlist`] and [`fmp4`] read what servers send.
//! * [`check`] holds a server against the rules of HLS.
//! * [`diff`] holds two servers of one broadcast against each other.

pub mod check;
pub mod diff;
pub mod fmp4;
pub mod playlist;
