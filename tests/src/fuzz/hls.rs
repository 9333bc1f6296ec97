//! The packager, and what viewers ask it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::config::LlHls;
use headwater_core::hls::{Answer, GridAnchor, Numbers, Packager, PackagerEvent, Request, Response, WaitFor};
use headwater_core::media::{
    Kind, Packet, Playlist, PlaylistOptions, Rendition, StreamInfo, Timebase, Timestamp, Track, TrackId,
};
use headwater_core::time::Wall;
use http::StatusCode;

use super::sample;
use super::script::Script;
use crate::{fmp4, m3u8};

const APP: &str = "live";
const STREAM: &str = "stream";

/// A request, as the last part of a path and a query, to a packager with a few seconds of media.
///
/// Every request is answered: with a file, with an error that the viewer made, or with a wait for something that comes
/// next. Asked again, the answer is the same, compressed or not.
pub fn hls_request(data: &[u8]) {
    thread_local!(static PACKAGER: RefCell<Packager> = RefCell::new(packager_with_media()));
    let text = String::from_utf8_lossy(data);
    let (file, query) = text.split_once('?').map_or((&*text, None), |(file, query)| (file, Some(query)));
    let request = match Request::parse(file, query) {
        Ok(request) => request,
        Err(error) => {
            assert!(error.status().is_client_error() && error.to_string().len() < 4_096);
            return;
        }
    };
    PACKAGER.with_borrow_mut(|packager| {
        let newest = packager.last_msn().expect("there is media");
        let plain = packager.answer(&request, false);
        assert_eq!(packager.answer(&request, false), plain, "asked again, the answer is the same");
        match (&plain, packager.answer(&request, true)) {
            (Answer::Now(plain), Answer::Now(zipped)) => {
                check_response(plain);
                assert_eq!((zipped.status, zipped.cache), (plain.status, plain.cache));
                assert_eq!(zipped.body.is_empty(), plain.body.is_empty());
                assert_eq!(zipped.body == plain.body, !zipped.gzip);
            }
            (Answer::Wait(wait), zipped) => {
                assert_eq!(zipped, plain);
                assert!(match wait {
                    WaitFor::Part { msn, .. } | WaitFor::Segment { msn, .. } => *msn <= newest + 2,
                    WaitFor::Muxed | WaitFor::Started => false,
                });
            }
            (plain, zipped) => panic!("{plain:?}, but compressed {zipped:?}"),
        }
        assert_eq!(packager.poll(), None, "a request changes nothing");
    });
}

/// Any packets of any tracks, and any changes of the tracks, into a packager with any configuration.
///
/// Segments and parts of a track are numbered without a gap, in its events and in its playlist; every playlist can be
/// read, its MEDIA-SEQUENCE never goes back, all that it lists can be downloaded, and what it hints at can be waited
/// for. After the end nothing changes. A second packager says the same.
pub fn packager(data: &[u8]) {
    let (first, second) = (Packaged::run(data), Packaged::run(data));
    assert_eq!(first, second, "the same packets make the same playlists");
}

pub(super) fn request_seeds() -> Vec<Vec<u8>> {
    let mut packager = packager_with_media();
    let mut seeds: Vec<String> =
        ["llhls.m3u8", "llhls.m3u8?_HLS_legacy=YES", "master.m3u8"].map(str::to_owned).into();
    let master = text_of(&mut packager, "llhls.m3u8").expect("the master playlist is there");
    let master = m3u8::master(&master).expect("a master playlist");
    for uri in master.variants.into_iter().chain(master.renditions.into_iter().map(|(_, uri)| uri)) {
        let name = uri.rsplit('/').next().unwrap_or_default().to_owned();
        let Some(text) = text_of(&mut packager, &name) else { continue };
        let media = m3u8::media(&text).expect("a media playlist");
        let (msn, part) = media.next();
        seeds.extend([
            format!("{name}?_HLS_msn={msn}&_HLS_part={part}"),
            format!("{name}?_HLS_msn={msn}&_HLS_skip=YES"),
            name,
        ]);
        seeds.extend(media.map.into_iter().chain(media.preload_hint));
        seeds.extend(media.segments.into_iter().map(|segment| segment.uri).take(2));
        seeds.extend(media.parts.into_iter().map(|part| part.uri).take(3));
    }
    seeds.into_iter().map(String::into_bytes).collect()
}

pub(super) fn packager_seeds() -> Vec<Vec<u8>> {
    let calm = |segment: u8| {
        // The first choice of everything, and tracks as they were recorded.
        let head = [0, segment, 0, 0, 0, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0];
        // Two tracks, each packet where the one before ended: two of sound to one picture.
        let body =
            (0..240u8).flat_map(move |n| [0, u8::from(n % 3 != 0), 0, u8::from(n % 72 != 0) * 200, 0, n]);
        head.into_iter().chain(body).collect()
    };
    let wild = (0..8u8).map(|start| (0..600u16).map(|n| (n.wrapping_mul(151) >> 3) as u8 ^ start).collect());
    [calm(0), calm(1), calm(2)].into_iter().chain(wild).collect()
}

/// A packager that was fed by a script, and what came out of it.
#[derive(Default)]
struct Packaged {
    /// The newest part of each track, by its events.
    newest: BTreeMap<TrackId, (u64, u32)>,
    /// The MEDIA-SEQUENCE of each track, by its playlist.
    sequence: BTreeMap<TrackId, u64>,
    /// Tracks that are new, under a number that was there before perhaps: they begin at any higher number.
    fresh: BTreeSet<TrackId>,
    /// On a shared timeline numbers are places in time: what is missing is left out.
    leaps: bool,
    events: Vec<PackagerEvent>,
    playlists: Vec<String>,
    ended: bool,
}

impl PartialEq for Packaged {
    fn eq(&self, other: &Packaged) -> bool {
        (&self.events, &self.playlists) == (&other.events, &other.playlists)
    }
}

impl std::fmt::Debug for Packaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}\n{}", self.events, self.playlists.join("\n"))
    }
}

impl Packaged {
    fn run(data: &[u8]) -> Packaged {
        let mut script = Script::new(data);
        let mut packaged = Packaged::default();
        let config = config(&mut script);
        let mut info = info(&mut script);
        let anchor = anchor(&mut script, config.segment);
        packaged.leaps = anchor == GridAnchor::of_timestamps();
        let msn = u64::try_from(script.number()).unwrap_or(0).min(1 << 60);
        let first = Numbers { msn, discontinuity: msn };
        let Some(mut packager) = Packager::new(&config, APP, STREAM, &info, anchor, first) else {
            return packaged;
        };
        let mut ends = BTreeMap::new();
        for _ in 0..STEPS_MAX {
            if script.is_over() {
                break;
            }
            match script.below(16) {
                0..12 => packager.push(&packet(&mut script, &info, &mut ends)),
                12 | 13 => packaged.look(&mut packager, &info),
                14 if script.chance(64) => {
                    packager.finish();
                    packaged.ended = true;
                }
                _ => {
                    let before = core::mem::replace(&mut info, self::info(&mut script));
                    packager.update(&info);
                    let goes_on = |track: &Track| {
                        let kind = |info: &StreamInfo| info.track(track.id).map(|track| track.kind);
                        kind(&before) == kind(&info)
                    };
                    let tracks = before.tracks.iter().chain(&info.tracks);
                    packaged.fresh.extend(tracks.filter(|track| !goes_on(track)).map(|track| track.id));
                }
            }
            packaged.note_events(&mut packager);
        }
        packaged.look(&mut packager, &info);
        packager.finish();
        packaged.note_events(&mut packager);
        packaged.look(&mut packager, &info);
        packaged
    }

    fn note_events(&mut self, packager: &mut Packager) {
        let mut count = 0;
        while let Some(event) = packager.poll() {
            count += 1;
            if let PackagerEvent::PartReady { track, msn, part } = event {
                let last = self.newest.insert(track, (msn, part));
                let fresh = self.fresh.remove(&track);
                let follows = last.is_none_or(|(last_msn, last_part)| {
                    (fresh && msn > last_msn)
                        || (self.leaps && msn > last_msn && part == 0)
                        || (msn == last_msn && (last_part..=last_part.saturating_add(1)).contains(&part))
                        || (msn == last_msn + 1 && part == 0)
                });
                assert!(follows, "track {} goes from {last:?} to {:?}", track.0, (msn, part));
            }
            self.events.push(event);
        }
        assert!(!(self.ended && count > 200_000), "{count} events of one step");
    }

    /// Looks at every playlist as a viewer would.
    fn look(&mut self, packager: &mut Packager, info: &StreamInfo) {
        self.playlists.extend(text_of(packager, "llhls.m3u8"));
        for track in &info.tracks {
            let kind = if track.kind == Kind::Video { "video" } else { "audio" };
            let name = format!("chunklist_{}_{kind}_{}_llhls.m3u8", track.id.0, key());
            let Some(text) = text_of(packager, &name) else { continue };
            let media = m3u8::media(&text).unwrap_or_else(|error| panic!("{error:#}:\n{text}"));
            let before = self.sequence.insert(track.id, media.media_sequence);
            assert!(
                before <= Some(media.media_sequence),
                "MEDIA-SEQUENCE goes back from {before:?}:\n{text}"
            );
            for segment in &media.segments {
                assert!(
                    segment.duration < media.target_duration as f64 + 0.5,
                    "{} is too long:\n{text}",
                    segment.uri
                );
            }
            for (uri, gap) in listed(&text) {
                let response = now(ask(packager, &uri));
                assert_eq!(response.status == StatusCode::OK, !gap, "{uri} in\n{text}");
                if !gap && uri.starts_with("part_") {
                    let body = response.body.0.concat();
                    fmp4::fragment(&body).unwrap_or_else(|error| panic!("{uri}: {error:#}"));
                }
            }
            if let Some(hint) = &media.preload_hint {
                assert!(matches!(ask(packager, hint), Answer::Wait(_)), "{hint} is hinted at:\n{text}");
            }
            self.playlists.push(text);
        }
        assert_eq!(packager.poll(), None, "looking changes nothing");
    }
}

/// The most that is done in one script.
const STEPS_MAX: usize = 400;

/// The key in all names of the stream's resources.
fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let master = text_of(&mut packager_with_media(), "llhls.m3u8").expect("a master playlist");
        let master = m3u8::master(&master).expect("a master playlist");
        let key = master.variants[0].rsplit('_').nth(1).expect("a name in five parts");
        key.to_owned()
    })
}

fn packager_with_media() -> Packager {
    let config = LlHls {
        chunk: Duration::from_millis(200),
        segment: Duration::from_secs(1),
        segment_count: 4,
        ..LlHls::default()
    };
    let stream = sample::stream(sample::AVC_AAC);
    let anchor = GridAnchor::at(Wall::from_micros(1_800_000_000_000_000));
    let mut packager = Packager::new(&config, APP, STREAM, &stream.info, anchor, Numbers::default())
        .expect("the tracks can be packaged");
    for round in 0..5 {
        for packet in &stream.packets {
            let [dts, pts] = [packet.dts, packet.pts].map(|at| at.plus_micros(round * 2_000_000));
            packager.push(&Packet { dts, pts, ..packet.clone() });
        }
    }
    while packager.poll().is_some() {}
    packager
}

fn ask(packager: &mut Packager, file: &str) -> Answer {
    packager.answer(&Request::parse(file, None).expect("a name of ours"), false)
}

fn now(answer: Answer) -> Response {
    match answer {
        Answer::Now(response) => response,
        Answer::Wait(wait) => panic!("what is listed is there, not to be waited for: {wait:?}"),
    }
}

/// The text of a playlist, if it can be had now.
fn text_of(packager: &mut Packager, file: &str) -> Option<String> {
    let Answer::Now(response) = ask(packager, file) else { return None };
    check_response(&response);
    let text = String::from_utf8(response.body.0.concat()).expect("a playlist is text");
    (response.status == StatusCode::OK).then_some(text)
}

fn check_response(response: &Response) {
    match response.status {
        StatusCode::OK => assert!(!response.body.is_empty() && !response.content_type.is_empty()),
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => assert!(response.cache.is_none()),
        status => panic!("{status} for a request"),
    }
}

/// What a media playlist lists, and whether it says that it is not there.
fn listed(text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut gap = false;
    for line in text.lines() {
        if line == "#EXT-X-GAP" {
            gap = true;
        } else if line.starts_with("#EXT-X-PART:") || line.starts_with("#EXT-X-MAP:") {
            let uri = line.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next());
            found.push((uri.expect("a URI").to_owned(), line.contains("GAP=YES")));
        } else if !line.starts_with('#') && !line.is_empty() {
            found.push((line.to_owned(), core::mem::take(&mut gap)));
        }
    }
    found
}

fn config(script: &mut Script) -> LlHls {
    LlHls {
        chunk: Duration::from_millis([200, 20, 500, 1_000, 5_000][script.below(5)]),
        segment: Duration::from_millis([1_000, 200, 2_000, 6_000, 1_499, 60_000][script.below(6)]),
        segment_count: [3, 4, 10][script.below(3)],
        part_hold_back: [None, Some(Duration::from_secs(3)), Some(Duration::MAX)][script.below(3)],
        ..LlHls::default()
    }
}

fn anchor(script: &mut Script, segment: Duration) -> GridAnchor {
    let wall = Wall::from_micros(script.number());
    match script.below(4) {
        0 => GridAnchor::at(Wall::from_micros(1_800_000_000_000_000)),
        3 => GridAnchor::of_timestamps(),
        1 => GridAnchor::at(wall),
        _ => {
            let at = Timestamp::from_micros(script.number());
            GridAnchor::new(wall, at).with_line_at(at, segment)
        }
    }
}

const TIMEBASES: [(u32, u32); 10] = [
    (1, 1_000),
    (1, 90_000),
    (1, 48_000),
    (1, 1_000_000),
    (1_001, 30_000),
    (1, 1),
    (1, u32::MAX),
    (u32::MAX, 1),
    (1, 10_000_000),
    (7, 3),
];

/// Good tracks, strange ones, or none.
fn info(script: &mut Script) -> StreamInfo {
    let mut info = match script.below(4) {
        0 | 1 => streams()[0].info.clone(),
        2 => streams()[1].info.clone(),
        _ => {
            let all = streams().iter().flat_map(|stream| &stream.info.tracks);
            let mut tracks: Vec<Track> = all.filter(|_| script.chance(128)).cloned().collect();
            tracks.iter_mut().zip(0..).for_each(|(track, id)| track.id = TrackId(id));
            StreamInfo { tracks, ..StreamInfo::default() }
        }
    };
    for track in &mut info.tracks {
        if script.chance(32) {
            let (num, den) = *script.pick(&TIMEBASES);
            track.timebase = Timebase::new(num, den).unwrap_or(Timebase::MILLIS);
            track.video.framerate = *script.pick(&[25.0, 0.0, f64::NAN, 1e9, -1.0, 0.5]);
            track.bitrate = *script.pick(&[0, u32::MAX, 1_000]);
            track.name = script.text(4);
        }
        if script.chance(16) {
            track.config = Some(Bytes::copy_from_slice(script.bytes(24))).filter(|_| script.chance(128));
        }
    }
    if script.chance(32) {
        info.playlists = vec![playlist(script, &info)];
    }
    info
}

fn playlist(script: &mut Script, info: &StreamInfo) -> Playlist {
    let name = |script: &mut Script| match info.tracks.get(script.below(3)) {
        Some(track) => track.name.clone(),
        None => script.text(4),
    };
    let rendition = |script: &mut Script| Rendition {
        name: script.text(6),
        video: name(script),
        audio: name(script),
        video_index: i32::from(script.byte()) - 2,
        audio_index: -1,
    };
    let depth = i32::from(script.byte()) - 1;
    let options = PlaylistOptions { chunklist_path_depth: depth, ..PlaylistOptions::default() };
    let renditions = (0..script.below(4)).map(|_| rendition(script)).collect();
    Playlist { name: script.text(6), file_name: "llhls".to_owned(), options, renditions }
}

/// The next packet: of a track, in the rhythm of its codec or at any time, with real media or any bytes.
fn packet(script: &mut Script, info: &StreamInfo, ends: &mut BTreeMap<TrackId, Timestamp>) -> Packet {
    let id = TrackId(u32::from(script.byte() % 4));
    let track = info.track(id);
    let base = track.map_or(Timebase::MILLIS, |track| track.timebase);
    let is_audio = track.is_some_and(|track| track.kind == Kind::Audio);
    let last = ends.get(&id).copied().unwrap_or(Timestamp::new(0, base));
    let frame_us = if is_audio { 21_333 } else { 40_000 };
    let dts = match script.below(16) {
        0..11 => last.plus_micros(frame_us),
        11 => last.plus_micros(frame_us * 40),
        12 => last.plus_micros(script.number()),
        13 => last.plus_ticks(script.number()),
        14 => last.plus_micros(-2_000_000),
        _ => Timestamp::new(script.number(), base),
    };
    ends.insert(id, dts);
    let key = script.chance(40) || is_audio;
    let (pts, data) = match script.below(8) {
        0..6 => (dts, real_media(track, key, script)),
        6 => (dts.plus_ticks(script.number()), real_media(track, key, script)),
        _ => (dts, Bytes::copy_from_slice(script.bytes(40))),
    };
    Packet { track: id, dts, pts, key, data }
}

/// A packet's data as an encoder would make it for the track.
fn real_media(track: Option<&Track>, key: bool, script: &mut Script) -> Bytes {
    let which = script.below(2);
    let found = streams().iter().find_map(|stream| {
        let like = stream.info.tracks.iter().find(|it| Some(it.codec) == track.map(|track| track.codec))?;
        stream.packets.iter().filter(|it| it.track == like.id && it.key == key).nth(which)
    });
    found.map(|packet| packet.data.clone()).unwrap_or_default()
}

fn streams() -> &'static [sample::Stream; 2] {
    static STREAMS: OnceLock<[sample::Stream; 2]> = OnceLock::new();
    STREAMS.get_or_init(|| [sample::AVC_AAC, sample::HEVC].map(sample::stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packager_is_fed_well() {
        let packaged = Packaged::run(&packager_seeds()[0]);
        let parts = |track| {
            let of = |event: &&PackagerEvent| matches!(event, PackagerEvent::PartReady { track: it, .. } if *it == TrackId(track));
            packaged.events.iter().filter(of).count()
        };
        assert!(parts(0) > 10 && parts(1) > 10, "{:?}", packaged.events);
        assert!(packaged.playlists.iter().any(|text| text.contains("#EXT-X-ENDLIST")));
    }

    #[test]
    fn requests_begin_with_all_that_is_listed() {
        let seeds = request_seeds();
        for word in ["llhls.m3u8", "_HLS_part=", "chunklist_1_audio", "part_0", "seg_1", "init_0"] {
            assert!(seeds.iter().any(|seed| String::from_utf8_lossy(seed).contains(word)), "{word}");
        }
    }
}
