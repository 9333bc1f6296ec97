//! LL-HLS and HLS: packets of a stream in, playlists, init sections, segments and parts out.
//!
//! [`Packager`] is the whole of LL-HLS for one stream, [`TsPackager`] that of HLS version 3, [`Outputs`] both. Inside, `segmenter` cuts the media, as a function of the packets
//! alone; `window` holds what can still be asked for; `playlist` says it in text. The layout of names and playlists is
//! OvenMediaEngine's; the rules are those of RFC 8216 and its successor draft (references: LL-HLS, HLS conformance).
//!
//! There are no clocks and no timers here: an answer that must wait is said to wait, and the caller asks again when
//! the [`PackagerEvent`] comes that it waits for, or gives up.

mod convert;
mod grid;
mod lane;
mod names;
mod outputs;
mod packager;
mod playlist;
mod request;
mod segmenter;
mod session;
mod tag;
mod text;
mod ts;
mod window;

pub use grid::GridAnchor;
pub use outputs::{FirstNumbers, Outputs, Wanted};
pub use packager::{Answer, CacheKind, Numbers, Packager, PackagerEvent, Response, WaitFor};
pub use request::{Request, RequestError, TrackRef};
pub use session::Session;
pub use tag::Tag;
pub use ts::{TsPackager, TsRequest};
