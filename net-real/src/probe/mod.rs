//! The eyes of `headwater_probe`: whoever goes to a server and looks, for `headwater diff` and `headwater hls-check`.
//!
//! What is seen is judged there; here it is asked, waited and measured. [`web`] is the client, [`follow`] one side of a
//! comparison, [`check`] a player that also asks what no player asks.

pub mod check;
pub mod follow;
pub mod web;
