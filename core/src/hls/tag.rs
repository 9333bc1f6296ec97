//! Entity tags: names of bodies, made of their bytes alone, so that servers that give the same bytes give them the same
//! name.

use core::fmt;
use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::outputs::Wanted;
use super::request::Request;
use super::ts::TsRequest;
use crate::io::Body;
use crate::limits::HLS_TAGS_MAX;

/// The name of a body: 128 bits of XXH3. Nobody gains by making two bodies of one name, so it need not be harder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u128);

impl Tag {
    /// The name of a text.
    pub fn of_text(text: &[u8]) -> Tag {
        Tag(xxh3_128(text))
    }

    /// The name of a body. How it is cut into pieces does not matter.
    pub fn of_body(Body(pieces): &Body) -> Tag {
        let mut hash = Xxh3::new();
        pieces.iter().for_each(|piece: &Bytes| hash.update(piece));
        Tag(hash.digest128())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The names of segments and parts that were asked for: the bytes of each are read once.
#[derive(Debug, Default)]
pub(super) struct Tags(BTreeMap<Place, Tag>);

/// A segment or a part of one. The oldest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    msn: u64,
    of: Of,
    part: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Muxed(u64),
    Track(u32),
}

impl Tags {
    /// The name of `body`, which is what was found for `wanted`. Under one name there is never another body.
    pub(super) fn of(&mut self, wanted: &Wanted, body: &Body) -> Tag {
        let Some(place) = place(wanted) else { return Tag::of_body(body) };
        if let Some(tag) = self.0.get(&place) {
            return *tag;
        }
        let tag = Tag::of_body(body);
        self.0.insert(place, tag);
        if self.0.len() > HLS_TAGS_MAX {
            self.0.pop_first();
        }
        tag
    }
}

fn place(wanted: &Wanted) -> Option<Place> {
    match wanted {
        Wanted::LlHls(Request::Segment { of, msn }) => {
            Some(Place { msn: *msn, of: Of::Track(of.track.0), part: None })
        }
        Wanted::LlHls(Request::Part { of, msn, part }) => {
            Some(Place { msn: *msn, of: Of::Track(of.track.0), part: Some(*part) })
        }
        Wanted::Hls(TsRequest::Segment { id, msn }) => {
            Some(Place { msn: *msn, of: Of::Muxed(id.parse().ok()?), part: None })
        }
        Wanted::Hls(_) | Wanted::LlHls(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_body_has_one_name_however_it_is_cut(bytes: Vec<u8>, cuts in prop::collection::vec(0usize..200, 0..4)) {
            let mut rest = Bytes::from(bytes.clone());
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(rest.split_to(cut.min(rest.len())));
            }
            pieces.push(rest);
            prop_assert_eq!(Tag::of_body(&Body(pieces)), Tag::of_text(&bytes));
        }
    }

    #[test]
    fn names_are_kept_for_the_newest_and_are_those_of_the_bytes() {
        let mut tags = Tags::default();
        let body = |n: u64| Body::from(Bytes::from(n.to_le_bytes().to_vec()));
        for msn in 0..2 * HLS_TAGS_MAX as u64 {
            let wanted = Wanted::Hls(TsRequest::Segment { id: "7".to_owned(), msn });
            assert_eq!(tags.of(&wanted, &body(msn)), Tag::of_body(&body(msn)));
            assert_eq!(tags.of(&wanted, &body(u64::MAX)), Tag::of_body(&body(msn)), "it is not read again");
        }
        assert_eq!(tags.0.len(), HLS_TAGS_MAX);
    }
}
