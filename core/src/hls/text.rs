//! Playlists that were rendered and not changed since: each is written, and compressed, once for all who ask.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use http::StatusCode;

use super::packager::{Answer, CacheKind, Response, not_found};
use super::tag::Tag;
use crate::io::Body;

pub(super) const MIME_PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// Rendered playlists, by what they are of.
#[derive(Debug)]
pub(super) struct Texts<K>(BTreeMap<K, Text>);

#[derive(Debug)]
struct Text {
    plain: Bytes,
    tag: Tag,
    gzip: Option<Bytes>,
}

impl<K> Default for Texts<K> {
    fn default() -> Texts<K> {
        Texts(BTreeMap::new())
    }
}

impl<K: Ord> Texts<K> {
    /// Something has changed: all of them are stale.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn insert(&mut self, what: K, text: String) {
        self.0
            .insert(what, Text { tag: Tag::of_text(text.as_bytes()), plain: Bytes::from(text), gzip: None });
    }

    /// The answer with a playlist that is there.
    pub(super) fn answer(&mut self, what: &K, cache: CacheKind, gzip: bool) -> Answer {
        let Some(text) = self.0.get_mut(what) else { return not_found() };
        let body = match gzip {
            true => text.gzip.get_or_insert_with(|| compress(&text.plain)).clone(),
            false => text.plain.clone(),
        };
        Answer::Now(Response {
            status: StatusCode::OK,
            content_type: MIME_PLAYLIST,
            cache: Some(cache),
            gzip,
            tag: Some(text.tag),
            body: Body::from(body),
        })
    }

    pub(super) fn has(&self, what: &K) -> bool {
        self.0.contains_key(what)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.values().map(|text| text.plain.len() + text.gzip.as_ref().map_or(0, Bytes::len)).sum()
    }
}

/// The text in gzip, the same bytes for the same text everywhere.
pub(super) fn compress(text: &[u8]) -> Bytes {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6));
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    Bytes::from(written.expect("writing to a Vec never fails"))
}
