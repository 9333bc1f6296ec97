//! What the tests of the packager share: a source of packets, a reader of playlists, and a viewer that checks every
//! version it sees against the rules that bear its ids.

#![allow(dead_code, clippy::unwrap_used)]

use bytes::Bytes;
use headwater_core::config::LlHls;
use headwater_core::hls::{Answer, GridAnchor, Numbers, Packager, PackagerEvent, Request, Response};
use headwater_core::media::aac::AacConfig;
use headwater_core::media::h264::AvcConfig;
use headwater_core::media::{
    AudioFormat, Codec, Kind, Packet, StreamInfo, Timebase, Timestamp, Track, TrackId, VideoFormat, annexb,
};
use headwater_core::time::Wall;
use http::StatusCode;
use shiguredo_mp4::Decode;
use shiguredo_mp4::boxes::MoofBox;

pub const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00,
    0x00, 0x03, 0x00, 0xf0, 0x3c, 0x58, 0xba, 0x80,
];
pub const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
pub const PPS_OTHER: &[u8] = &[0x68, 0xce, 0x38, 0x80];
pub const VIDEO: TrackId = TrackId(0);
pub const AUDIO: TrackId = TrackId(1);
/// 2027-01-15T08:00:00Z: on a line of any grid of whole seconds that divides a minute.
pub const EPOCH: GridAnchor = GridAnchor::at(Wall::from_micros(1_800_000_000_000_000));

pub fn avc(pps: &'static [u8]) -> AvcConfig {
    AvcConfig::from_units([SPS, pps].map(Bytes::from_static)).unwrap()
}

pub fn video_track(timebase: Timebase, framerate: f64) -> Track {
    Track {
        id: VIDEO,
        kind: Kind::Video,
        codec: Codec::H264,
        timebase,
        name: "bypass_video".into(),
        bitrate: 500_000,
        video: VideoFormat { width: 640, height: 360, framerate },
        audio: AudioFormat::default(),
        config: Some(avc(PPS).record().unwrap()),
    }
}

pub fn aac(rate: u32) -> AacConfig {
    AacConfig { object_type: 2, rate, channel_config: 1 }
}

pub fn audio_track(timebase: Timebase, rate: u32) -> Track {
    Track {
        id: AUDIO,
        kind: Kind::Audio,
        codec: Codec::Aac,
        timebase,
        name: "bypass_audio".into(),
        bitrate: 64_000,
        video: VideoFormat::default(),
        audio: AudioFormat { samplerate: rate, channels: 1, ..Default::default() },
        config: Some(aac(rate).record()),
    }
}

pub fn info(tracks: impl IntoIterator<Item = Track>) -> StreamInfo {
    StreamInfo { origin_uuid: String::new(), tracks: tracks.into_iter().collect(), playlists: Vec::new() }
}

/// A video packet whose payload tells which frame it is.
pub fn video(dts: Timestamp, pts: Timestamp, key: bool, frame: u64) -> Packet {
    let mut slice = vec![if key { 0x65 } else { 0x41 }];
    slice.extend(frame.to_be_bytes().map(|byte| byte | 0x80));
    slice.resize(40 + frame as usize % 50, 0xaa);
    let aud: &[u8] = &[9, 0xf0];
    let units: Vec<&[u8]> = if key { vec![aud, SPS, PPS, &slice] } else { vec![aud, &slice] };
    Packet { track: VIDEO, dts, pts, key, data: annexb::from_nal_units(units) }
}

pub fn audio(dts: Timestamp, rate: u32, frame: u64) -> Packet {
    let data = aac(rate).adts(&[frame as u8; 24]).unwrap();
    Packet { track: AUDIO, dts, pts: dts, key: true, data }
}

/// An encoder: constant frame rate, with everything that can be wrong with it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Frames per second, as a fraction.
    pub fps: (u32, u32),
    pub gop: u64,
    pub reorder: bool,
    pub rate: u32,
    /// Timestamps in milliseconds instead of exact ones.
    pub millis: bool,
    pub with_video: bool,
    pub with_audio: bool,
    /// Media time of the first frame.
    pub start_us: i64,
    pub length_us: i64,
    /// (from, length, video lost, audio lost), microseconds after the start.
    pub holes: Vec<(i64, i64, bool, bool)>,
    /// How much later than video audio arrives.
    pub audio_late_us: i64,
    /// Video timestamps are moved by up to this much, by a fixed pattern.
    pub jitter_us: i64,
}

impl Default for Source {
    fn default() -> Source {
        Source {
            fps: (30, 1),
            gop: 60,
            reorder: false,
            rate: 48_000,
            millis: true,
            with_video: true,
            with_audio: true,
            start_us: 0,
            length_us: 30_000_000,
            holes: Vec::new(),
            audio_late_us: 0,
            jitter_us: 0,
        }
    }
}

impl Source {
    pub fn info(&self) -> StreamInfo {
        let base = |exact| if self.millis { Timebase::MILLIS } else { exact };
        let fps = f64::from(self.fps.0) / f64::from(self.fps.1);
        let video = self.with_video.then(|| video_track(base(Timebase::MPEG), fps));
        let audio = self.with_audio.then(|| audio_track(base(Timebase::hertz(self.rate)), self.rate));
        info(video.into_iter().chain(audio))
    }

    /// All packets, in order of arrival.
    pub fn packets(&self) -> Vec<Packet> {
        let mut all: Vec<(i64, Packet)> = Vec::new();
        let lost = |us: i64, video: bool| {
            self.holes.iter().any(|&(from, len, v, a)| {
                (if video { v } else { a }) && us - self.start_us >= from && us - self.start_us < from + len
            })
        };
        let stamp = |us: i128, exact: Timebase| {
            let base = if self.millis { Timebase::MILLIS } else { exact };
            Timestamp::from_micros(us as i64).to(base)
        };
        if self.with_video {
            // Frames are numbered from media time zero, so that a later start is a part of the same media.
            let frame_us =
                |n: u64| i128::from(n) * 1_000_000 * i128::from(self.fps.1) / i128::from(self.fps.0);
            let first = (0..).find(|&n| frame_us(n) >= i128::from(self.start_us)).unwrap();
            for n in (first..).take_while(|&n| frame_us(n) < i128::from(self.start_us + self.length_us)) {
                let wobble = if n % 3 == 1 { self.jitter_us } else { 0 };
                let us = frame_us(n) + i128::from(wobble);
                if lost(us as i64, true) {
                    continue;
                }
                let later = if self.reorder { [2, 4, 1, 1][(n % 4) as usize] } else { 0 };
                let pts = stamp(frame_us(n + later) + i128::from(wobble), Timebase::MPEG);
                let packet = video(stamp(us, Timebase::MPEG), pts, n.is_multiple_of(self.gop), n);
                all.push((us as i64, packet));
            }
        }
        if self.with_audio {
            let frame_us = |n: u64| i128::from(n) * 1_024_000_000 / i128::from(self.rate);
            let first = (0..).find(|&n| frame_us(n) >= i128::from(self.start_us)).unwrap();
            for n in (first..).take_while(|&n| frame_us(n) < i128::from(self.start_us + self.length_us)) {
                let us = frame_us(n);
                if lost(us as i64, false) {
                    continue;
                }
                let dts = if self.millis {
                    stamp(us, Timebase::MILLIS)
                } else {
                    Timestamp::new(n as i64 * 1_024, Timebase::hertz(self.rate))
                };
                all.push((us as i64 + self.audio_late_us, audio(dts, self.rate, n)));
            }
        }
        all.sort_by_key(|(at, packet)| (*at, packet.track));
        all.into_iter().map(|(_, packet)| packet).collect()
    }
}

pub fn packager(config: &LlHls, info: &StreamInfo) -> Packager {
    Packager::new(config, "app", "stream", info, EPOCH, Numbers::default()).expect("there is a track")
}

/// Asks for a file, as a URL names it.
pub fn ask(packager: &mut Packager, file: &str) -> Answer {
    let (file, query) = file.split_once('?').map_or((file, None), |(file, query)| (file, Some(query)));
    packager.answer(&Request::parse(file, query).expect(file), false)
}

pub fn now(answer: Answer) -> Response {
    match answer {
        Answer::Now(response) => response,
        Answer::Wait(wait) => panic!("an answer now, not a wait for {wait:?}"),
    }
}

pub fn get(packager: &mut Packager, file: &str) -> Response {
    now(ask(packager, file))
}

pub fn text(response: &Response) -> String {
    assert_eq!(response.status, 200);
    String::from_utf8(joined(response).to_vec()).expect("UTF-8")
}

pub fn joined(response: &Response) -> Bytes {
    Bytes::from(response.body.0.concat())
}

pub const KEY: &str = "7930408358254892257";

pub fn chunklist(track: TrackId) -> String {
    let kind = if track == VIDEO { "video" } else { "audio" };
    format!("chunklist_{}_{kind}_{KEY}_llhls.m3u8", track.0)
}

pub fn media_playlist(packager: &mut Packager, track: TrackId) -> Option<MediaPlaylist> {
    match ask(packager, &chunklist(track)) {
        Answer::Now(response) => Some(MediaPlaylist::parse(&text(&response))),
        Answer::Wait(_) => None,
    }
}

pub fn events(packager: &mut Packager) -> Vec<PackagerEvent> {
    core::iter::from_fn(|| packager.poll()).collect()
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    pub us: i64,
    pub uri: String,
    pub independent: bool,
    pub gap: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    pub msn: u64,
    pub date: String,
    pub discontinuity: bool,
    pub gap: bool,
    pub map: String,
    pub parts: Vec<Part>,
    pub us: Option<i64>,
    pub uri: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaPlaylist {
    pub target_s: i64,
    pub part_target_us: Option<i64>,
    pub hold_back_us: Option<i64>,
    pub discontinuity_sequence: u64,
    pub segments: Vec<Segment>,
    pub hint: Option<String>,
    /// (uri, last msn, last part)
    pub reports: Vec<(String, u64, u32)>,
    pub ended: bool,
    /// The tags in order, without values.
    pub tags: Vec<String>,
}

fn micros(text: &str) -> i64 {
    let (seconds, fraction) = text.split_once('.').expect("six decimals");
    assert_eq!(fraction.len(), 6);
    seconds.parse::<i64>().unwrap() * 1_000_000 + fraction.parse::<i64>().unwrap()
}

pub fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let at = list.split(',').find_map(|item| item.strip_prefix(name)?.strip_prefix('='))?;
    Some(at.trim_matches('"'))
}

impl MediaPlaylist {
    pub fn parse(text: &str) -> MediaPlaylist {
        assert!(text.starts_with("#EXTM3U\n"), "b1: the first line");
        let mut playlist = MediaPlaylist::default();
        let (mut msn, mut map) = (0, String::new());
        let mut segment = Segment::default();
        for line in text.lines() {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            if tag.starts_with('#') {
                playlist.tags.push(tag.into());
            }
            match tag {
                "#EXT-X-TARGETDURATION" => playlist.target_s = value.parse().unwrap(),
                "#EXT-X-SERVER-CONTROL" => {
                    assert_eq!(attribute(value, "CAN-BLOCK-RELOAD"), Some("YES"));
                    playlist.hold_back_us = attribute(value, "PART-HOLD-BACK").map(micros);
                }
                "#EXT-X-PART-INF" => playlist.part_target_us = attribute(value, "PART-TARGET").map(micros),
                "#EXT-X-MEDIA-SEQUENCE" => msn = value.parse().unwrap(),
                "#EXT-X-DISCONTINUITY-SEQUENCE" => playlist.discontinuity_sequence = value.parse().unwrap(),
                "#EXT-X-MAP" => map = attribute(value, "URI").unwrap().into(),
                "#EXT-X-DISCONTINUITY" => segment.discontinuity = true,
                "#EXT-X-GAP" => segment.gap = true,
                "#EXT-X-PROGRAM-DATE-TIME" => segment.date = value.into(),
                "#EXT-X-PART" => segment.parts.push(Part {
                    us: micros(attribute(value, "DURATION").unwrap()),
                    uri: attribute(value, "URI").unwrap().into(),
                    independent: attribute(value, "INDEPENDENT") == Some("YES"),
                    gap: attribute(value, "GAP") == Some("YES"),
                }),
                "#EXTINF" => segment.us = Some(micros(value.strip_suffix(',').unwrap())),
                "#EXT-X-PRELOAD-HINT" => {
                    assert!(playlist.hint.is_none(), "l9: one hint");
                    playlist.hint = attribute(value, "URI").map(Into::into);
                }
                "#EXT-X-RENDITION-REPORT" => playlist.reports.push((
                    attribute(value, "URI").unwrap().into(),
                    attribute(value, "LAST-MSN").unwrap().parse().unwrap(),
                    attribute(value, "LAST-PART").unwrap().parse().unwrap(),
                )),
                "#EXT-X-ENDLIST" => playlist.ended = true,
                "#EXTM3U" | "#EXT-X-VERSION" => {}
                _ if line.starts_with('#') => panic!("unknown tag {line}"),
                _ => {
                    let done =
                        Segment { msn, map: map.clone(), uri: line.into(), ..core::mem::take(&mut segment) };
                    playlist.segments.push(done);
                    msn += 1;
                }
            }
        }
        if !segment.parts.is_empty() {
            playlist.segments.push(Segment { msn, map, ..segment });
        }
        playlist
    }
}

/// What one movie fragment says.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    pub sequence: u32,
    pub decode_time: u64,
    pub durations: Vec<u32>,
    pub offsets: Vec<i64>,
    pub sync: Vec<bool>,
    pub payloads: Vec<Bytes>,
}

/// The movie fragments of a segment or part.
pub fn fragments(mut data: &[u8]) -> Vec<Fragment> {
    let mut all = Vec::new();
    while !data.is_empty() {
        let (moof, len) = MoofBox::decode(data).expect("a moof");
        let mdat_len = u32::from_be_bytes(data[len..len + 4].try_into().unwrap()) as usize;
        let mut media = &data[len + 8..len + mdat_len];
        let traf = &moof.traf_boxes[0];
        let samples = &traf.trun_boxes[0].samples;
        let mut payloads = Vec::new();
        for sample in samples {
            let (payload, rest) = media.split_at(sample.size.unwrap() as usize);
            payloads.push(Bytes::copy_from_slice(payload));
            media = rest;
        }
        assert!(media.is_empty());
        all.push(Fragment {
            sequence: moof.mfhd_box.sequence_number,
            decode_time: traf.tfdt_box.as_ref().unwrap().base_media_decode_time,
            durations: samples.iter().map(|sample| sample.duration.unwrap()).collect(),
            offsets: samples.iter().map(|sample| sample.composition_time_offset.unwrap()).collect(),
            sync: samples.iter().map(|sample| !sample.flags.unwrap().sample_is_non_sync_sample()).collect(),
            payloads,
        });
        data = &data[len + mdat_len..];
    }
    all
}

/// A viewer of one track: looks at every version of the playlist, downloads everything, and checks the rules.
#[derive(Debug)]
pub struct Viewer {
    pub track: TrackId,
    pub timescale: u32,
    seen: Option<MediaPlaylist>,
    /// Every segment that was complete: number, playlist entry, bytes (empty for a gap).
    pub segments: Vec<(Segment, Bytes)>,
    pub versions: usize,
}

impl Viewer {
    pub fn new(track: TrackId, timescale: u32) -> Viewer {
        Viewer { track, timescale, seen: None, segments: Vec::new(), versions: 0 }
    }

    pub fn latest(&self) -> Option<&MediaPlaylist> {
        self.seen.as_ref()
    }

    pub fn look(&mut self, packager: &mut Packager) {
        // A track that ended before it began has no playlist.
        if self.seen.is_none()
            && let Answer::Now(Response { status: StatusCode::NOT_FOUND, .. }) =
                ask(packager, &chunklist(self.track))
        {
            return;
        }
        let Some(playlist) = media_playlist(packager, self.track) else { return };
        if self.seen.as_ref() == Some(&playlist) {
            return;
        }
        self.versions += 1;
        check_playlist(&playlist);
        if let Some(before) = &self.seen {
            check_edit(before, &playlist);
        }
        for part in playlist.segments.iter().flat_map(|segment| &segment.parts) {
            let answer = get(packager, &part.uri);
            assert_eq!(answer.status, if part.gap { 404 } else { 200 }, "b15: listed parts are there");
        }
        if let Some(hint) = &playlist.hint {
            assert!(matches!(ask(packager, hint), Answer::Wait(_)), "l9: a hinted part can be asked for");
        }
        let newest = self.segments.last().map(|(segment, _)| segment.msn);
        let first = playlist.segments.first().map(|segment| segment.msn);
        if newest.is_some_and(|newest| first > Some(newest + 1)) {
            // A hole as long as the window took away what this viewer has not seen.
            self.segments.clear();
        }
        for segment in &playlist.segments {
            if segment.us.is_some() && newest.is_none_or(|newest| segment.msn > newest) {
                self.download(packager, segment);
            }
        }
        self.seen = Some(playlist);
    }

    fn download(&mut self, packager: &mut Packager, segment: &Segment) {
        assert_eq!(get(packager, &segment.map).status, 200);
        let answer = get(packager, &segment.uri);
        assert_eq!(answer.status, if segment.gap { 404 } else { 200 });
        let bytes = joined(&answer);
        let parts: Vec<u8> = (segment.parts.iter())
            .filter(|part| !part.gap)
            .flat_map(|part| joined(&get(packager, &part.uri)).to_vec())
            .collect();
        // After a long hole segments appear that are too old to list their parts.
        if !segment.parts.is_empty() {
            assert_eq!(bytes, parts, "l11: a segment is the concatenation of its parts");
            self.check_times(segment, &bytes);
        }
        self.segments.push((segment.clone(), bytes));
    }

    /// b16: within continuous media every fragment starts where the one before ended.
    fn check_times(&self, segment: &Segment, bytes: &Bytes) {
        let before = self.segments.last().filter(|_| !segment.discontinuity);
        let continuous = before.filter(|(last, _)| last.parts.last().is_some_and(|part| !part.gap));
        let mut expected = continuous.and_then(|(_, bytes)| fragments(bytes).last().map(end_of));
        let mut fragments = fragments(bytes).into_iter();
        for part in &segment.parts {
            if part.gap {
                expected = None;
                continue;
            }
            let fragment = fragments.next().expect("a fragment for every part");
            if let Some(expected) = expected {
                assert_eq!(fragment.decode_time, expected, "b16: in segment {}", segment.msn);
            }
            let length: u64 = fragment.durations.iter().copied().map(u64::from).sum();
            let us = (length * 2_000_000 + u64::from(self.timescale)) / (2 * u64::from(self.timescale));
            assert_eq!(us as i64, part.us, "a part says its length");
            assert!(fragment.durations.iter().all(|&duration| duration > 0));
            assert_eq!(part.independent, fragment.sync[0]);
            expected = Some(end_of(&fragment));
        }
    }
}

pub fn end_of(fragment: &Fragment) -> u64 {
    fragment.decode_time + fragment.durations.iter().copied().map(u64::from).sum::<u64>()
}

/// The rules for one version of a playlist: B1, B3, B7, L1, L2, L9.
pub fn check_playlist(playlist: &MediaPlaylist) {
    let target = playlist.part_target_us.expect("l1: PART-TARGET");
    assert!(playlist.hold_back_us.expect("l2: PART-HOLD-BACK") >= 3 * target);
    let limit = playlist.target_s * 1_000_000 + 500_000;
    for (index, segment) in playlist.segments.iter().enumerate() {
        if let Some(us) = segment.us {
            assert!(us < limit, "b3: segment {} lasts {us} µs", segment.msn);
            let parts: i64 = segment.parts.iter().map(|part| part.us).sum();
            let rounding = segment.parts.len() as i64;
            assert!(segment.parts.is_empty() || (parts - us).abs() <= rounding, "b4: sum of parts");
        } else {
            assert_eq!(index + 1, playlist.segments.len(), "only the last segment is open");
        }
        for (at, part) in segment.parts.iter().enumerate() {
            assert!(part.us <= target, "l1: {} lasts {} µs of {target}", part.uri, part.us);
            let last = at + 1 == segment.parts.len();
            let before_gap = segment.parts.get(at + 1).is_some_and(|next| next.gap);
            let exempt = part.independent || part.gap || before_gap || last;
            assert!(exempt || part.us * 100 >= target * 85, "l1: {} lasts only {} µs", part.uri, part.us);
        }
    }
    assert!(!(playlist.ended && playlist.hint.is_some()), "l9: no hint after the end");
}

/// The rules for two versions, one after the other: B3, B5, B6, B9, L14.
pub fn check_edit(before: &MediaPlaylist, after: &MediaPlaylist) {
    assert_eq!(before.target_s, after.target_s, "b3: TARGETDURATION is constant");
    assert_eq!(before.part_target_us, after.part_target_us);
    assert_eq!(before.hold_back_us, after.hold_back_us);
    let first = after.segments.first().expect("a playlist does not become empty").msn;
    assert!(first >= before.segments[0].msn, "b5: MEDIA-SEQUENCE never goes back");
    let removed = before.segments.iter().filter(|segment| segment.msn < first);
    let breaks = removed.clone().filter(|segment| segment.discontinuity).count() as u64;
    assert_eq!(
        after.discontinuity_sequence - before.discontinuity_sequence,
        breaks,
        "b6: counts what was removed"
    );
    // Only a hole longer than the whole window removes a segment that was open a moment ago.
    let all_new = before.segments.iter().all(|segment| segment.msn < first);
    assert!(
        all_new || removed.clone().all(|segment| segment.us.is_some()),
        "b9: an open segment is not removed"
    );
    if removed.count() > 0 {
        let left: i64 =
            after.segments.iter().map(|s| s.us.unwrap_or(s.parts.iter().map(|p| p.us).sum())).sum();
        assert!(left >= 3 * after.target_s * 1_000_000 - 100, "b7: three target durations stay");
    }
    for old in before.segments.iter().filter(|segment| segment.msn >= first) {
        let new =
            after.segments.iter().find(|new| new.msn == old.msn).expect("b9: removed from the head only");
        assert_eq!((&old.date, old.discontinuity, &old.map), (&new.date, new.discontinuity, &new.map));
        if !new.parts.is_empty() {
            assert_eq!(old.parts[..], new.parts[..old.parts.len()], "b9: parts are only appended");
        }
        if old.us.is_some() {
            assert_eq!(
                (old.us, &old.uri, old.gap),
                (new.us, &new.uri, new.gap),
                "l14: a number keeps its segment"
            );
        }
    }
}

/// One on a timeline that others have too.
pub fn shared_packager(config: &LlHls, info: &StreamInfo) -> Packager {
    let anchor = GridAnchor::of_timestamps();
    Packager::new(config, "app", "stream", info, anchor, Numbers::default()).expect("there is a track")
}
