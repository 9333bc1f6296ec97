//! The rules by name. The ids are those of `docs/hls-conformance.md`.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! rules {
    ($($id:ident $says:literal,)+) => {
        /// A rule that a client can see a server keep or break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $says] $id,)+
        }

        impl Rule {
            /// All of them, in order.
            pub const ALL: &'static [Rule] = &[$(Rule::$id,)+];

            /// What it says.
            pub fn says(self) -> &'static str {
                match self {
                    $(Rule::$id => $says,)+
                }
            }
        }
    };
}

rules! {
    B1 "a playlist is UTF-8 without a BOM, begins with #EXTM3U, and has EXT-X-TARGETDURATION",
    B2 "EXT-X-VERSION is as high as its tags need, and not higher",
    B3 "no segment is longer than EXT-X-TARGETDURATION, which never changes",
    B4 "EXTINF adds up to the duration of the media, within a frame; six segments are listed",
    B5 "EXT-X-MEDIA-SEQUENCE counts removed segments; a number keeps its URI and bytes",
    B6 "EXT-X-DISCONTINUITY-SEQUENCE counts removed discontinuities",
    B7 "three target durations are listed; what is removed can be had for a while",
    B8 "a new segment is listed within 1.5 target durations, a new part within its target",
    B9 "playlists are only appended to, and shortened at their head",
    B10 "holes in the media are declared as gaps",
    B11 "a new format or timeline begins with EXT-X-DISCONTINUITY, in all tracks",
    B12 "EXT-X-PROGRAM-DATE-TIME is in all tracks, and goes on with the media",
    B13 "all tracks have the same target duration, controls, discontinuities and timeline",
    B14 "a live playlist has no EXT-X-PLAYLIST-TYPE; what has ended does not go on",
    B15 "what is listed can be had at once, with its type, compressed if it is a playlist",
    B16 "timestamps go on from segment to segment; segments begin with key frames",
    B17 "the multivariant playlist says BANDWIDTH, CODECS, RESOLUTION and FRAME-RATE, and they are true",
    L1 "parts are at most as long as PART-TARGET, and at least 85% of it",
    L2 "PART-HOLD-BACK is at least twice, better three times PART-TARGET; HOLD-BACK three target durations",
    L3 "CAN-SKIP-UNTIL is at least six target durations, and a delta update is the full playlist",
    L4 "_HLS_msn alone waits for the whole segment",
    L5 "_HLS_msn and _HLS_part wait for the part; the past is answered at once",
    L6 "_HLS_part without _HLS_msn is 400",
    L7 "what is too far ahead is 400 at once",
    L8 "nothing is held for more than three target durations",
    L9 "what is hinted can be asked for; what is unknown is 404",
    L10 "every playlist reports on every other one, as fresh as it is",
    L11 "parts leave the playlist after three target durations; a segment is its parts",
    L12 "the low-latency profile: dates, blocking reloads, hints, reports, HTTP/2, gzip, one host",
    L13 "playlists are cached for short, media for long, errors hardly",
    L14 "a segment's URL and discontinuity number never change (hls.js)",
    L15 "nothing is hinted across a discontinuity (hls.js)",
    L16 "a blocking reload brings something new (hls.js)",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
