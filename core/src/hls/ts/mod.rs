//! HLS as every player knows it: version 3, with video and audio multiplexed into segments of MPEG-TS.
//!
//! [`TsPackager`] is the whole of it for one stream. It cuts with the same segmenter as LL-HLS, on the same grid, and
//! multiplexes what the tracks have in a segment when all of them are through with it. The names are OvenMediaEngine's
//! (reference: LL-HLS sections 1.2 and 8). Nothing waits for parts here: only for the first segment.

mod mux;
mod packager;
mod request;

pub use packager::TsPackager;
pub use request::TsRequest;
