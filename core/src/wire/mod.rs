//! Byte formats, each both ways. Codecs and protocol state only: no streams, no timelines, no decisions.

pub mod flv;
pub mod fmp4;
pub mod mpegts;
pub mod ovt;
pub mod rtmp;
