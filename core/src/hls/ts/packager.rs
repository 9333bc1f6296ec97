//! The packager of one stream: packets in, answers out.

use std::collections::VecDeque;

use http::StatusCode;

use super::mux::Mux;
use super::request::TsRequest;
use crate::census::Census;
use crate::config::Hls;
use crate::hls::grid::GridAnchor;
use crate::hls::names;
use crate::hls::packager::{Answer, CacheKind, Numbers, PackagerEvent, Response, WaitFor, not_found};
use crate::hls::playlist::{self, Variant};
use crate::hls::segmenter::Segmenter;
use crate::hls::text::Texts;
use crate::io::Body;
use crate::limits;
use crate::media::{Packet, Playlist, Rendition, StreamInfo, TrackId};

const MIME_SEGMENT: &str = "video/mp2t";
/// The names of the playlist that is there unless the configuration says no: that of OvenMediaEngine, and that of its
/// documents.
const DEFAULT_PLAYLISTS: [&str; 2] = ["playlist", "master"];

/// Packages one stream as HLS version 3.
#[derive(Debug)]
pub struct TsPackager {
    segmenter: Segmenter,
    config: Hls,
    /// The rendition of the default playlist. Its name stays, whatever becomes of the tracks.
    default: Rendition,
    playlists: Vec<Playlist>,
    muxes: Vec<Mux>,
    events: VecDeque<PackagerEvent>,
    texts: Texts<Cached>,
}

/// What a rendered playlist is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cached {
    Master(String),
    Media(String),
}

impl TsPackager {
    /// A packager for the tracks of `info` that HLS can carry (H.264, H.265 and AAC); `None` if there are none.
    ///
    /// Packagers of the same media with the same `anchor` agree on numbers, boundaries and bytes. `first` says where numbers
    /// begin at least.
    pub fn new(
        config: &Hls,
        stream: &str,
        info: &StreamInfo,
        anchor: GridAnchor,
        first: Numbers,
    ) -> Option<TsPackager> {
        let segmenter = Segmenter::new(config.into(), stream, info, anchor, first)?;
        let default = playlist::default_rendition(segmenter.lanes());
        let mut packager = TsPackager {
            segmenter,
            config: config.clone(),
            default,
            playlists: Vec::new(),
            muxes: Vec::new(),
            events: VecDeque::new(),
            texts: Texts::default(),
        };
        packager.set_muxes(info);
        Some(packager)
    }

    /// Takes the next packet. Those of one track come in decoding order; late ones are dropped.
    pub fn push(&mut self, packet: &Packet) {
        self.segmenter.push(packet);
        self.collect();
    }

    /// Takes a new description of the stream. If a track's format changed, the playlists get a discontinuity.
    pub fn update(&mut self, info: &StreamInfo) {
        if !self.segmenter.has_tracks_of(info) {
            // What the tracks have is multiplexed while they are there.
            self.segmenter.end_epoch(true);
            self.collect();
        }
        self.segmenter.update(info);
        self.set_muxes(info);
        self.collect();
    }

    /// The stream is over: what is left becomes segments, and the playlists get their end.
    pub fn finish(&mut self) {
        self.segmenter.finish();
        self.collect();
        self.muxes.iter_mut().for_each(|mux| mux.window.end());
        self.texts.clear();
    }

    /// Adds what it holds to `census`.
    pub fn count(&self, census: &mut Census) {
        let muxed: usize = self.muxes.iter().map(|mux| mux.window.bytes()).sum();
        census.window_bytes += self.segmenter.bytes() + muxed + self.texts.bytes();
        census.marks += self.segmenter.boundaries();
        census.outputs += self.events.len();
    }

    /// The next thing to know.
    pub fn poll(&mut self) -> Option<PackagerEvent> {
        self.events.pop_front()
    }

    /// Where the numbers of a stream begin that comes after this one under the same name; `None` if this one has used
    /// none.
    pub fn next_numbers(&self) -> Option<Numbers> {
        self.segmenter.next_numbers()
    }

    /// Whether every packager of the same media makes the same segments under the same numbers, see
    /// [`Packager::is_interchangeable`](crate::hls::Packager::is_interchangeable).
    pub fn is_interchangeable(&self) -> bool {
        self.segmenter.is_shared()
    }

    /// What to say to a request. `gzip` is whether the asker takes playlists that are compressed.
    pub fn answer(&mut self, request: &TsRequest, gzip: bool) -> Answer {
        match request {
            TsRequest::Master { name } => {
                let Some(renditions) = self.renditions_of(name) else { return not_found() };
                let first = renditions.first().map(names::media_id);
                self.playlist(first.as_deref(), Cached::Master(name.clone()), CacheKind::Master, gzip)
            }
            TsRequest::Medialist { id } => {
                self.playlist(Some(id), Cached::Media(id.clone()), CacheKind::Chunklist, gzip)
            }
            TsRequest::Segment { id, msn } => {
                let segment = self.mux(id).and_then(|mux| mux.window.find(*msn)).filter(|it| !it.is_gap());
                segment.map_or_else(not_found, |segment| {
                    Answer::Now(Response {
                        status: StatusCode::OK,
                        content_type: MIME_SEGMENT,
                        cache: Some(CacheKind::Segment),
                        gzip: false,
                        tag: None,
                        body: Body(segment.body()),
                    })
                })
            }
        }
    }

    /// A playlist, once there is a segment of the media `id`: players take one without a segment for an empty one.
    fn playlist(&mut self, id: Option<&str>, what: Cached, cache: CacheKind, gzip: bool) -> Answer {
        let Some(mux) = id.and_then(|id| self.mux(id)) else { return not_found() };
        if mux.window.last().is_none() {
            let is_over = self.segmenter.has_ended();
            return if is_over { not_found() } else { Answer::Wait(WaitFor::Muxed) };
        }
        if !self.texts.has(&what) {
            let text = self.render(&what);
            self.texts.insert(what.clone(), text);
        }
        self.texts.answer(&what, cache, gzip)
    }

    fn render(&self, what: &Cached) -> String {
        match what {
            Cached::Media(id) => {
                let target_s = self.segmenter.target_duration_s();
                self.mux(id).map_or(String::new(), |mux| playlist::medialist(id, &mux.window, target_s))
            }
            Cached::Master(name) => {
                let lanes = self.segmenter.lanes();
                let renditions = self.renditions_of(name).unwrap_or_default();
                let muxes = renditions.iter().filter_map(|rendition| self.mux(&names::media_id(rendition)));
                // One whose tracks have not come is none yet.
                let begun = muxes.filter(|mux| mux.window.last().is_some());
                let variants = begun.filter_map(|mux| {
                    Some((Variant::of_tracks(&mux.tracks, lanes)?, mux.id.as_str(), &mux.window))
                });
                playlist::muxed_master(&variants.collect::<Vec<_>>())
            }
        }
    }

    fn mux(&self, id: &str) -> Option<&Mux> {
        self.muxes.iter().find(|mux| mux.id == id)
    }

    /// The renditions of the master playlist `name`.
    fn renditions_of(&self, name: &str) -> Option<Vec<Rendition>> {
        let configured = self.playlists.iter().find(|playlist| playlist.file_name == name);
        let by_default = || self.config.default_playlist && DEFAULT_PLAYLISTS.contains(&name);
        match configured {
            Some(playlist) => Some(playlist.renditions.clone()),
            None => by_default().then(|| vec![self.default.clone()]),
        }
    }

    /// What is to be muxed of the tracks that there are. A rendition goes on under its name with other tracks.
    fn set_muxes(&mut self, info: &StreamInfo) {
        let with_ts = info.playlists.iter().filter(|playlist| playlist.options.ts_packaging);
        self.playlists = with_ts.cloned().collect();
        self.texts.clear();
        let lanes = self.segmenter.lanes();
        let mut wanted: Vec<(String, Vec<TrackId>)> = Vec::new();
        if self.config.default_playlist {
            let now = playlist::default_rendition(lanes);
            let tracks = Variant::of(&now, lanes, true).map(|variant| variant.tracks());
            wanted.extend(tracks.map(|tracks| (names::media_id(&self.default), tracks)));
        }
        for rendition in self.playlists.iter().flat_map(|playlist| &playlist.renditions) {
            let id = names::media_id(rendition);
            let Some(variant) = Variant::of(rendition, lanes, false) else { continue };
            if wanted.len() < limits::HLS_MUXES_MAX && !wanted.iter().any(|(known, _)| *known == id) {
                wanted.push((id, variant.tracks()));
            }
        }
        let target_us = self.segmenter.target_duration_s() * 1_000_000;
        let mut former = core::mem::take(&mut self.muxes);
        for (id, tracks) in wanted {
            let mux = match former.iter().position(|mux| mux.id == id) {
                Some(at) => Mux { tracks, ..former.swap_remove(at) },
                None => Mux::new(id, tracks, self.config.segment_count, target_us),
            };
            self.muxes.push(mux);
        }
    }

    /// Multiplexes what is complete, and lets go of what was multiplexed.
    fn collect(&mut self) {
        // Parts are nothing to anybody here.
        self.segmenter.lanes_mut().iter_mut().for_each(|lane| drop(lane.window.take_ready()));
        let mut has_news = false;
        for mux in &mut self.muxes {
            while let Some(msn) = mux.advance(&self.segmenter) {
                drop(mux.window.take_ready());
                self.events.push_back(PackagerEvent::SegmentReady { msn });
                has_news = true;
            }
        }
        if has_news {
            self.texts.clear();
            let through = self.muxes.iter().map(|mux| mux.newest).min().flatten();
            if let Some(msn) = through {
                self.segmenter.lanes_mut().iter_mut().for_each(|lane| lane.window.release(msn));
            }
        }
        self.events.extend(self.segmenter.take_warnings().into_iter().map(PackagerEvent::Warning));
        while self.events.len() > limits::HLS_EVENTS_MAX {
            self.events.pop_front();
        }
    }
}
