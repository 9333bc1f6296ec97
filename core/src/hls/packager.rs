//! The packager of one stream: packets in, answers out.

use std::collections::VecDeque;

use bytes::Bytes;
use http::StatusCode;

use super::grid::GridAnchor;
use super::lane::Lane;
use super::playlist::{self, Common};
use super::request::{Form, Request, TrackRef};
use super::segmenter::Segmenter;
use super::session::Session;
use super::tag::Tag;
use super::text::{self, MIME_PLAYLIST, Texts};
use crate::census::Census;
use crate::config::LlHls;
use crate::io::Body;
use crate::limits;
use crate::media::{Kind, Packet, Playlist, StreamInfo, TrackId};

/// The name of the playlist that is there unless the configuration says no.
const DEFAULT_PLAYLIST: &str = "llhls";

/// Packages one stream.
#[derive(Debug)]
pub struct Packager {
    segmenter: Segmenter,
    config: LlHls,
    app: String,
    stream: String,
    playlists: Vec<Playlist>,
    events: VecDeque<PackagerEvent>,
    texts: Texts<Cached>,
}

/// Where the numbers of a stream begin. Under one name they only grow, whatever becomes of the stream: that is how
/// players and caches tell its media apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// No segment has a lower media sequence number.
    pub msn: u64,
    /// The discontinuity sequence number of the first segment: players place media by it, so the times of another life
    /// of the stream must not have the same one.
    pub discontinuity: u64,
}

impl Numbers {
    /// The greater ones of both.
    pub fn max(self, other: Numbers) -> Numbers {
        Numbers { msn: self.msn.max(other.msn), discontinuity: self.discontinuity.max(other.discontinuity) }
    }
}

/// Something that a packager's owner wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackagerEvent {
    /// A part can be asked for, or the segment whose last part this is has been completed. Ask again for what
    /// waited on this track.
    PartReady {
        /// The track.
        track: TrackId,
        /// The media sequence number of its segment.
        msn: u64,
        /// Its number in the segment.
        part: u32,
    },
    /// A segment of an HLS (version 3) stream can be asked for. Ask again for what waited for one.
    SegmentReady {
        /// Its media sequence number.
        msn: u64,
    },
    /// The stream is not as it should be; said once per kind of trouble.
    Warning(String),
}

/// What is said to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This, now.
    Now(Response),
    /// Not yet: ask again when what is waited for is there. How long to wait is the caller's to decide.
    Wait(WaitFor),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The media type; empty if there is no body.
    pub content_type: &'static str,
    /// How it may be cached; `None` for errors, which the packager never wants cached.
    pub cache: Option<CacheKind>,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
    /// The name of what the body is when it is not compressed; errors have none.
    pub tag: Option<Tag>,
    /// The body.
    pub body: Body,
}

impl Response {
    /// The same for one viewer: a playlist whose URLs carry their session. Anything else is what it is.
    #[must_use]
    pub fn with_session(self, session: &Session, gzip: bool) -> Response {
        let Body(pieces) = &self.body;
        let Some(plain) = pieces.first().filter(|_| self.content_type == MIME_PLAYLIST && !self.gzip) else {
            return self;
        };
        let text = session.write_into(&String::from_utf8_lossy(plain));
        let tag = Some(Tag::of_text(text.as_bytes()));
        let bytes = if gzip { text::compress(text.as_bytes()) } else { Bytes::from(text) };
        Response { gzip, tag, body: Body::from(bytes), ..self }
    }
}

/// Which of [`crate::config::CacheControl`]'s ages applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// Master playlists.
    Master,
    /// Media playlists without directives.
    Chunklist,
    /// Media playlists with `_HLS_msn`.
    ChunklistWithDirectives,
    /// Init sections and segments.
    Segment,
    /// Parts.
    Part,
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitFor {
    /// A part of a track, or anything newer.
    Part {
        /// The track.
        track: TrackId,
        /// The media sequence number.
        msn: u64,
        /// The part.
        part: u32,
    },
    /// A complete segment of a track, or anything newer.
    Segment {
        /// The track.
        track: TrackId,
        /// The media sequence number.
        msn: u64,
    },
    /// The first part of every track (of a master playlist), or of the track.
    Started,
    /// The next segment of an HLS (version 3) stream.
    Muxed,
}

impl WaitFor {
    /// Whether it is worth asking again after this event.
    pub fn concerns(&self, event: &PackagerEvent) -> bool {
        let (of, at, newest) = match event {
            PackagerEvent::PartReady { track, msn, part } => (track, msn, part),
            PackagerEvent::SegmentReady { .. } => return *self == WaitFor::Muxed,
            PackagerEvent::Warning(_) => return false,
        };
        match self {
            WaitFor::Part { track, msn, part } => of == track && (at, newest) >= (msn, part),
            WaitFor::Segment { track, msn } => of == track && at >= msn,
            WaitFor::Started => true,
            WaitFor::Muxed => false,
        }
    }
}

/// What a rendered playlist is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cached {
    Master(String, bool),
    Media(TrackId, Form),
}

impl Packager {
    /// A packager for the tracks of `info` that LL-HLS can carry (H.264, H.265 and AAC); `None` if there are none.
    ///
    /// `anchor` ties media time to the wall clock: packagers of the same media with the same anchor agree on
    /// numbers, boundaries and bytes. `first` says where numbers begin at least; a stream that comes back under its
    /// name goes on with its [`Packager::next_numbers`].
    pub fn new(
        config: &LlHls,
        app: &str,
        stream: &str,
        info: &StreamInfo,
        anchor: GridAnchor,
        first: Numbers,
    ) -> Option<Packager> {
        Some(Packager {
            segmenter: Segmenter::new(config.into(), stream, info, anchor, first)?,
            config: config.clone(),
            app: app.into(),
            stream: stream.into(),
            playlists: info.playlists.clone(),
            events: VecDeque::new(),
            texts: Texts::default(),
        })
    }

    /// Takes the next packet. Those of one track come in decoding order; late ones are dropped.
    pub fn push(&mut self, packet: &Packet) {
        self.segmenter.push(packet);
        self.collect();
    }

    /// Takes a new description of the stream. If a track's format changed, the playlists get a discontinuity.
    pub fn update(&mut self, info: &StreamInfo) {
        self.playlists.clone_from(&info.playlists);
        self.segmenter.update(info);
        self.texts.clear();
        self.collect();
    }

    /// The stream is over: what is left becomes parts, and the playlists get their end.
    pub fn finish(&mut self) {
        self.segmenter.finish();
        self.texts.clear();
        self.collect();
    }

    /// Adds what it holds to `census`.
    pub fn count(&self, census: &mut Census) {
        census.window_bytes += self.segmenter.bytes() + self.texts.bytes();
        census.marks += self.segmenter.boundaries();
        census.outputs += self.events.len();
    }

    /// The next thing to know.
    pub fn poll(&mut self) -> Option<PackagerEvent> {
        self.events.pop_front()
    }

    /// The highest number of a segment so far, on any track.
    pub fn last_msn(&self) -> Option<u64> {
        self.segmenter.newest_msn()
    }

    /// What to say to a request. `gzip` is whether the asker takes playlists that are compressed.
    pub fn answer(&mut self, request: &Request, gzip: bool) -> Answer {
        match request {
            Request::Master { name, legacy } => self.answer_master(name, *legacy, gzip),
            Request::Chunklist { of, msn, part, form } => {
                let Some(lane) = self.lane(of) else { return not_found() };
                if of.key != lane.names.key {
                    return not_found();
                }
                let directives = msn.filter(|_| *form != Form::Legacy).map(|msn| (msn, *part));
                if let Some(other) = reload(lane, directives) {
                    return other;
                }
                let cache =
                    if msn.is_some() { CacheKind::ChunklistWithDirectives } else { CacheKind::Chunklist };
                self.text(Cached::Media(of.track, *form), cache, gzip)
            }
            Request::Init { of } => self.answer_init(of),
            Request::Segment { of, msn } => {
                let Some(lane) = self.lane(of).filter(|lane| lane.names.key == of.key) else {
                    return not_found();
                };
                match lane.window.find(*msn).filter(|segment| segment.complete && !segment.is_gap()) {
                    Some(segment) => media(lane, CacheKind::Segment, Body(segment.body())),
                    None => not_found(),
                }
            }
            Request::Part { of, msn, part } => self.answer_part(of, *msn, *part),
        }
    }

    /// Where the numbers of a stream begin that comes after this one under the same name; `None` if this one has used
    /// none.
    pub fn next_numbers(&self) -> Option<Numbers> {
        self.segmenter.next_numbers()
    }

    /// Whether every packager of the same media makes the same segments under the same numbers: so it is on the
    /// timeline of [`GridAnchor::of_timestamps`], as long as that never goes back.
    pub fn is_interchangeable(&self) -> bool {
        self.segmenter.is_shared()
    }

    fn answer_master(&mut self, name: &str, legacy: bool, gzip: bool) -> Answer {
        let configured = self.playlists.iter().any(|playlist| playlist.file_name == name);
        let by_default = self.config.default_playlist && name == DEFAULT_PLAYLIST;
        if !configured && !by_default {
            return not_found();
        }
        if self.segmenter.lanes().iter().any(|lane| lane.window.last().is_none()) {
            return Answer::Wait(WaitFor::Started);
        }
        self.text(Cached::Master(name.into(), legacy), CacheKind::Master, gzip)
    }

    fn answer_init(&self, of: &TrackRef) -> Answer {
        let Some(lane) = self.lane(of) else { return not_found() };
        let format = lane.format.iter().chain(lane.window.all().map(|segment| &segment.format));
        match format.into_iter().find(|format| format.init_key == of.key) {
            Some(format) => media(lane, CacheKind::Segment, Body::from(format.init.clone())),
            None => not_found(),
        }
    }

    fn answer_part(&self, of: &TrackRef, msn: u64, part: u32) -> Answer {
        let Some(lane) = self.lane(of).filter(|lane| lane.names.key == of.key) else { return not_found() };
        if lane.window.hint() == Some((msn, part)) {
            return Answer::Wait(WaitFor::Part { track: of.track, msn, part });
        }
        let body =
            lane.window.find(msn).and_then(|segment| segment.parts.get(part as usize)?.body().cloned());
        body.map_or_else(not_found, |body| media(lane, CacheKind::Part, Body::from(body)))
    }

    fn lane(&self, of: &TrackRef) -> Option<&Lane> {
        let lanes = self.segmenter.lanes();
        lanes.iter().find(|lane| lane.track.id == of.track && lane.track.kind == of.kind)
    }

    /// A playlist, rendered anew if nobody asked for it since the last part.
    fn text(&mut self, what: Cached, cache: CacheKind, gzip: bool) -> Answer {
        if !self.texts.has(&what) {
            let text = self.render(&what);
            self.texts.insert(what.clone(), text);
        }
        self.texts.answer(&what, cache, gzip)
    }

    fn render(&self, what: &Cached) -> String {
        let lanes = self.segmenter.lanes();
        match what {
            Cached::Media(track, form) => {
                let longest_us = lanes.iter().map(|lane| lane.target_us).max().unwrap_or(0);
                let configured = self.config.part_hold_back.unwrap_or_default().as_micros();
                let common = Common {
                    target_duration_s: self.segmenter.target_duration_s(),
                    hold_back_us: (3 * longest_us).max(i64::try_from(configured).unwrap_or(i64::MAX)),
                    preload_hint: self.config.preload_hint,
                };
                let lane = lanes.iter().find(|lane| lane.track.id == *track);
                lane.map_or(String::new(), |lane| playlist::media(lane, lanes, common, *form))
            }
            Cached::Master(name, legacy) => {
                let configured = self.playlists.iter().find(|playlist| playlist.file_name == *name);
                match configured {
                    Some(playlist) => {
                        playlist::master(playlist, lanes, &self.prefix(playlist), false, *legacy)
                    }
                    None => {
                        let playlist = playlist::default_playlist(lanes);
                        playlist::master(&playlist, lanes, &self.prefix(&playlist), true, *legacy)
                    }
                }
            }
        }
    }

    /// What stands before the names of media playlists (reference: LL-HLS section 2, HLSChunklistPathDepth).
    fn prefix(&self, playlist: &Playlist) -> String {
        match playlist.options.chunklist_path_depth {
            0 => String::new(),
            1 => format!("../{}/", self.stream),
            2 => format!("../../{}/{}/", self.app, self.stream),
            _ => format!("/{}/{}/", self.app, self.stream),
        }
    }

    /// Gathers what has become ready. Every playlist reports on every track, so all of them are stale then.
    fn collect(&mut self) {
        for lane in self.segmenter.lanes_mut() {
            let track = lane.track.id;
            for (msn, part) in lane.window.take_ready() {
                self.texts.clear();
                self.events.push_back(PackagerEvent::PartReady { track, msn, part });
            }
        }
        self.events.extend(self.segmenter.take_warnings().into_iter().map(PackagerEvent::Warning));
        while self.events.len() > limits::HLS_EVENTS_MAX {
            self.events.pop_front();
        }
    }
}

/// What to say to a playlist request instead of the playlist (references: LL-HLS section 4, conformance L4 to L7).
fn reload(lane: &Lane, directives: Option<(u64, Option<u32>)>) -> Option<Answer> {
    let window = &lane.window;
    let Some((newest, last)) = window.last() else {
        // A track that ended before it began has no playlist: one without a segment is none.
        return Some(if window.ended() { not_found() } else { Answer::Wait(WaitFor::Started) });
    };
    if window.ended() {
        return None;
    }
    let track = lane.track.id;
    let Some((msn, part)) = directives else {
        // Players that do not know parts take a playlist without a segment for an empty one.
        let playable = window.all().any(|segment| segment.complete);
        return (!playable).then_some(Answer::Wait(WaitFor::Segment { track, msn: newest.msn }));
    };
    if msn > newest.msn.saturating_add(2) {
        return Some(bad_request());
    }
    let Some(part) = part else {
        let there = msn < newest.msn || (msn == newest.msn && newest.complete);
        return (!there).then_some(Answer::Wait(WaitFor::Segment { track, msn }));
    };
    let limit = advance_part_limit(lane.target_us);
    let ahead = if msn == newest.msn { part.saturating_sub(last) } else { part.saturating_add(1) };
    if msn >= newest.msn && ahead > limit {
        return Some(bad_request());
    }
    // A part beyond the end of a finished segment is the first of the next one.
    let (msn, part) =
        if msn == newest.msn && newest.complete && part > last { (msn + 1, 0) } else { (msn, part) };
    let there = (msn, part) <= (newest.msn, last);
    (!there).then_some(Answer::Wait(WaitFor::Part { track, msn, part }))
}

/// The Advance Part Limit (RFC 8216bis section 6.2.5.2): 3 parts, or as many as last 3 seconds if they are shorter
/// than one.
fn advance_part_limit(target_us: i64) -> u32 {
    if target_us >= 1_000_000 {
        return 3;
    }
    u32::try_from((3_000_000 + target_us - 1) / target_us.max(1)).unwrap_or(u32::MAX)
}

fn media(lane: &Lane, cache: CacheKind, body: Body) -> Answer {
    let content_type = if lane.track.kind == Kind::Audio { "audio/mp4" } else { "video/mp4" };
    Answer::Now(Response {
        status: StatusCode::OK,
        content_type,
        cache: Some(cache),
        gzip: false,
        tag: None,
        body,
    })
}

pub(super) fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND)
}

fn bad_request() -> Answer {
    error(StatusCode::BAD_REQUEST)
}

fn error(status: StatusCode) -> Answer {
    Answer::Now(Response {
        status,
        content_type: "",
        cache: None,
        gzip: false,
        tag: None,
        body: Body::default(),
    })
}
