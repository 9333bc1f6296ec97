//! HLS with MPEG-TS segments: whatever an encoder sends, the playlists keep the rules, all of the media is in the segments, and
//! packagers agree on their bytes.

#![allow(clippy::unwrap_used)]

mod hls_support;

use core::time::Duration;

use bytes::Bytes;
use headwater_core::census::Census;
use headwater_core::config::Hls;
use headwater_core::hls::{
    Answer, CacheKind, GridAnchor, Numbers, PackagerEvent, TsPackager, TsRequest, WaitFor,
};
use headwater_core::media::aac::AdtsFrame;
use headwater_core::media::{Packet, Playlist, PlaylistOptions, Rendition, StreamInfo, Timebase, annexb};
use headwater_core::wire::mpegts::{self, Coding, Unit};
use hls_support::*;
use proptest::prelude::*;

/// The id of a stream of both tracks: the hash of `bypass_video-1_bypass_audio-1`.
const ID: &str = "12347274917124648945";

fn packager(config: &Hls, info: &StreamInfo) -> TsPackager {
    TsPackager::new(config, "stream", info, EPOCH, Numbers::default()).expect("there is a track")
}

fn hls(segment_ms: u64, segment_count: usize) -> Hls {
    Hls { segment: Duration::from_millis(segment_ms), segment_count, ..Hls::default() }
}

fn ask(packager: &mut TsPackager, file: &str) -> Answer {
    packager.answer(&TsRequest::parse(file, None).expect("one of ours").expect(file), false)
}

fn get(packager: &mut TsPackager, file: &str) -> (u16, Bytes) {
    let response = now(ask(packager, file));
    (response.status.as_u16(), joined(&response))
}

/// The one media playlist that the master names.
fn medialist(packager: &mut TsPackager, master: &str) -> Option<String> {
    let Answer::Now(response) = ask(packager, master) else { return None };
    if response.status == 404 {
        // A stream that ended before it began has no playlist.
        return None;
    }
    let text = text(&response);
    let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(names.len(), 1, "{text}");
    Some(names[0].to_owned())
}

/// A viewer who reads everything.
#[derive(Debug, Default)]
struct Watcher {
    seen: Option<MediaPlaylist>,
    segments: Vec<(Segment, Bytes)>,
}

impl Watcher {
    fn look(&mut self, packager: &mut TsPackager, list: &str) {
        let Answer::Now(response) = ask(packager, list) else { return };
        if response.status == 404 {
            return;
        }
        let playlist = MediaPlaylist::parse(&text(&response));
        if let Some(before) = &self.seen {
            check_edit(before, &playlist);
        }
        let limit = playlist.target_s * 1_000_000 + 500_000;
        let newest = self.segments.last().map(|(segment, _)| segment.msn);
        if newest.is_some_and(|newest| playlist.segments[0].msn > newest + 1) {
            // A hole as long as the window took away what this viewer has not seen.
            self.segments.clear();
        }
        for segment in &playlist.segments {
            assert!(segment.us.unwrap() < limit, "b3: segment {} lasts {:?} µs", segment.msn, segment.us);
            if newest.is_none_or(|newest| segment.msn > newest) {
                self.download(packager, segment);
            }
        }
        self.seen = Some(playlist);
    }

    fn download(&mut self, packager: &mut TsPackager, segment: &Segment) {
        let (status, bytes) = get(packager, &segment.uri);
        assert_eq!(status, if segment.gap { 404 } else { 200 });
        if !segment.gap {
            mpegts::read(&bytes).unwrap_or_else(|fault| panic!("segment {}: {fault}", segment.msn));
            if let Some((_, before)) = self.segments.last().filter(|(before, _)| !before.gap) {
                mpegts::read(&[&before[..], &bytes].concat()).expect("b16: counters go on over the border");
            }
        }
        self.segments.push((segment.clone(), bytes));
    }

    /// All units of an elementary stream.
    fn units(&self, stream: usize) -> Vec<Unit> {
        let media = self.segments.iter().filter(|(segment, _)| !segment.gap);
        media
            .flat_map(|(_, bytes)| mpegts::read(bytes).unwrap().units)
            .filter(|unit| unit.stream == stream)
            .collect()
    }
}

/// Feeds all packets of a source; what a watcher saw.
fn watch(config: &Hls, source: &Source, skip_us: i64) -> Watcher {
    watch_with(packager(config, &source.info()), source, skip_us)
}

fn watch_with(mut packager: TsPackager, source: &Source, skip_us: i64) -> Watcher {
    let mut watcher = Watcher::default();
    for packet in source.packets().iter().filter(|packet| packet.dts.as_micros() >= skip_us) {
        packager.push(packet);
        if is_news(&mut packager) {
            let list = medialist(&mut packager, "ts:playlist.m3u8").expect("there is a segment");
            watcher.look(&mut packager, &list);
        }
    }
    packager.finish();
    if let Some(list) = medialist(&mut packager, "ts:playlist.m3u8") {
        watcher.look(&mut packager, &list);
        assert!(watcher.seen.as_ref().unwrap().ended);
    }
    watcher
}

fn is_news(packager: &mut TsPackager) -> bool {
    let events: Vec<PackagerEvent> = core::iter::from_fn(|| packager.poll()).collect();
    events.iter().any(|event| matches!(event, PackagerEvent::SegmentReady { .. }))
}

/// The frames of audio in PES packets, with their times as ticks of 1/90000 s.
fn audio_frames(units: &[Unit], rate: u32) -> Vec<(u64, Bytes)> {
    let mut frames = Vec::new();
    for unit in units {
        let mut data = Bytes::from(unit.data.concat());
        let mut index = 0;
        while !data.is_empty() {
            let frame = AdtsFrame::parse(&data).expect("ADTS");
            assert_eq!(frame.config, aac(rate));
            frames.push((unit.pts + index * 1_024 * 90_000 / u64::from(rate), frame.raw.clone()));
            data = data.split_off(frame.raw.len() + 7);
            index += 1;
        }
        assert!(index <= 6, "a player need not wait for more than a tenth of a second");
    }
    frames
}

fn ticks(packet: &Packet) -> (u64, u64) {
    let ticks = |at: headwater_core::media::Timestamp| at.to(Timebase::MPEG).ticks() as u64;
    (ticks(packet.pts), ticks(packet.dts))
}

#[test]
fn a_stream_of_both_tracks() {
    let source = Source { reorder: true, length_us: 20_500_000, millis: false, ..Source::default() };
    let watcher = watch(&hls(4_000, 3), &source, 0);
    let playlist = watcher.seen.as_ref().unwrap();
    assert_eq!(
        playlist.tags[..5],
        [
            "#EXTM3U",
            "#EXT-X-VERSION",
            "#EXT-X-TARGETDURATION",
            "#EXT-X-MEDIA-SEQUENCE",
            "#EXT-X-DISCONTINUITY-SEQUENCE"
        ]
    );
    assert_eq!(watcher.segments.len(), 6);
    assert_eq!(playlist.segments.len(), 4, "three target durations and what was begun");
    let first = &watcher.segments[0].0;
    assert_eq!(
        (first.msn, first.us, first.date.as_str()),
        (450_000_000, Some(4_000_000), "2027-01-15T08:00:00.000Z")
    );
    assert_eq!(first.uri, format!("seg_{ID}_450000000_hls.ts"));
    for (segment, bytes) in &watcher.segments {
        let found = mpegts::read(bytes).unwrap();
        assert_eq!(found.streams, [Coding::H264, Coding::Aac]);
        let video: Vec<&Unit> = found.units.iter().filter(|unit| unit.stream == 0).collect();
        let data = Bytes::from(video[0].data.concat());
        let units: Vec<Bytes> = annexb::nal_slices(&data).collect();
        assert!(video[0].random_access && units.len() == 4 && units[0][..] == [9, 0xf0], "{units:?}");
        assert_eq!((&units[1][..], &units[2][..], units[3][0]), (SPS, PPS, 0x65));
        assert_eq!(video.len() as i64 * 1_000_000, segment.us.unwrap() * 30, "in segment {}", segment.msn);
    }
}

#[test]
fn before_there_is_a_segment_players_wait() {
    let source = Source::default();
    let mut packager = packager(&hls(2_000, 5), &source.info());
    let list = format!("medialist_{ID}_hls.m3u8");
    let wait = Answer::Wait(WaitFor::Muxed);
    for packet in source.packets().iter().take_while(|packet| packet.dts.as_micros() < 1_900_000) {
        packager.push(packet);
    }
    assert_eq!((ask(&mut packager, "ts:master.m3u8"), ask(&mut packager, &list)), (wait.clone(), wait));
    assert_eq!(get(&mut packager, "ts:other.m3u8").0, 404);
    assert_eq!(get(&mut packager, "medialist_1_hls.m3u8").0, 404);
    assert_eq!(get(&mut packager, &format!("seg_{ID}_900000000_hls.ts")).0, 404);
    source
        .packets()
        .iter()
        .skip_while(|packet| packet.dts.as_micros() < 1_900_000)
        .for_each(|it| packager.push(it));
    assert!(is_news(&mut packager));
    let response = now(ask(&mut packager, "ts:master.m3u8"));
    assert_eq!(
        (response.cache, response.content_type),
        (Some(CacheKind::Master), "application/vnd.apple.mpegurl")
    );
    let master = text(&response);
    assert!(master.starts_with("#EXTM3U\n#EXT-X-VERSION:3\n"), "{master}");
    assert!(
        master.contains(",RESOLUTION=640x360,FRAME-RATE=30.000,CODECS=\"avc1.42c01e,mp4a.40.2\"\n"),
        "{master}"
    );
    assert_eq!(medialist(&mut packager, "ts:playlist.m3u8"), Some(list));
    let response = now(ask(&mut packager, &format!("seg_{ID}_900000012_hls.ts")));
    assert_eq!((response.status.as_u16(), response.content_type), (200, "video/mp2t"));
    assert_eq!(response.cache, Some(CacheKind::Segment));
    // Three segments that are no longer listed can still be had.
    let playlist = MediaPlaylist::parse(&text(&now(ask(&mut packager, &format!("medialist_{ID}_hls.m3u8")))));
    let first = playlist.segments[0].msn;
    let status = |packager: &mut TsPackager, msn| get(packager, &format!("seg_{ID}_{msn}_hls.ts")).0;
    assert_eq!([4, 3, 1].map(|before| status(&mut packager, first - before)), [404, 200, 200]);
}

#[test]
fn sound_alone_and_pictures_alone() {
    for (with_video, with_audio) in [(true, false), (false, true)] {
        let source = Source { with_video, with_audio, length_us: 13_000_000, ..Source::default() };
        let watcher = watch(&hls(2_000, 5), &source, 0);
        assert_eq!(watcher.segments.len(), 7);
        let found = mpegts::read(&watcher.segments[1].1).unwrap();
        assert_eq!(found.streams, [if with_video { Coding::H264 } else { Coding::Aac }]);
        let clock: Vec<u64> = found.clocks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(clock.iter().all(|&ticks| (1..=10_000).contains(&ticks)), "{clock:?}");
    }
}

#[test]
fn a_track_that_stops_stops_nobody() {
    for (video_lost, audio_lost) in [(true, false), (false, true)] {
        let holes = vec![(7_000_000, 10_000_000, video_lost, audio_lost)];
        let source = Source { holes, length_us: 30_000_000, ..Source::default() };
        let watcher = watch(&hls(2_000, 20), &source, 0);
        assert_eq!(watcher.segments.len(), 15, "video lost: {video_lost}");
        let gaps = watcher.segments.iter().filter(|(segment, _)| segment.gap).count();
        assert_eq!(gaps, 0, "one of both was always there");
        let times: Vec<i64> = watcher.segments.iter().map(|(segment, _)| segment.us.unwrap()).collect();
        assert!(times.iter().all(|&us| (us - 2_000_000).abs() < 1_000), "{times:?}");
    }
}

#[test]
fn a_hole_in_both_is_a_gap() {
    let source = Source { holes: vec![(7_000_000, 6_000_000, true, true)], ..Source::default() };
    let watcher = watch(&hls(2_000, 20), &source, 0);
    let gaps: Vec<u64> =
        watcher.segments.iter().filter(|(it, _)| it.gap).map(|(it, _)| it.msn - 900_000_000).collect();
    assert_eq!(gaps, [4, 5]);
}

#[test]
fn another_format_is_another_map_behind_a_discontinuity() {
    let source = Source { length_us: 8_000_000, ..Source::default() };
    let mut packager = packager(&hls(2_000, 20), &source.info());
    let mut other = source.info();
    other.tracks[0].config = Some(avc(PPS_OTHER).record().unwrap());
    let mut without_sound = source.info();
    without_sound.tracks.truncate(1);
    let mut watcher = Watcher::default();
    let mut start_us = 0;
    for info in [source.info(), other, without_sound] {
        packager.update(&info);
        for packet in (Source { start_us, ..source.clone() }).packets() {
            packager.push(&packet);
        }
        start_us += 8_000_000;
        watcher.look(&mut packager, &format!("medialist_{ID}_hls.m3u8"));
    }
    packager.finish();
    watcher.look(&mut packager, &format!("medialist_{ID}_hls.m3u8"));
    let breaks: Vec<u64> = watcher
        .segments
        .iter()
        .filter(|(it, _)| it.discontinuity)
        .map(|(it, _)| it.msn - 900_000_000)
        .collect();
    assert_eq!(breaks, [4, 8]);
    assert_eq!(watcher.segments.len(), 12);
    let streams = |index: usize| mpegts::read(&watcher.segments[index].1).unwrap().streams.len();
    assert_eq!([streams(3), streams(4), streams(8)], [2, 2, 1]);
    let parameters = |index: usize| mpegts::read(&watcher.segments[index].1).unwrap().units[0].data.concat();
    assert!(annexb::nal_units(&parameters(4)).any(|unit| unit == PPS_OTHER));
}

#[test]
fn renditions_that_ask_for_ts_have_it() {
    let rendition = |video: &str, audio: &str| Rendition {
        name: String::new(),
        video: video.into(),
        audio: audio.into(),
        video_index: -1,
        audio_index: -1,
    };
    let playlist = |name: &str, ts_packaging, renditions| Playlist {
        name: name.into(),
        file_name: name.into(),
        options: PlaylistOptions { ts_packaging, ..PlaylistOptions::default() },
        renditions,
    };
    let source = Source::default();
    let mut info = source.info();
    let both = || rendition("bypass_video", "bypass_audio");
    info.playlists = vec![
        playlist("abr", true, vec![both(), rendition("", "bypass_audio"), rendition("nobody", "")]),
        playlist("none", false, vec![both()]),
    ];
    let mut packager = packager(&Hls { default_playlist: false, ..hls(2_000, 5) }, &info);
    source.packets().iter().for_each(|packet| packager.push(packet));
    assert_eq!((get(&mut packager, "ts:playlist.m3u8").0, get(&mut packager, "ts:none.m3u8").0), (404, 404));
    let master = text(&now(ask(&mut packager, "ts:abr.m3u8")));
    let lists: Vec<&str> = master.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lists.len(), 2, "{master}");
    assert_eq!(lists[0], format!("medialist_{ID}_hls.m3u8"));
    let segment = |packager: &mut TsPackager, list: &str| {
        let playlist = MediaPlaylist::parse(&text(&now(ask(packager, list))));
        mpegts::read(&get(packager, &playlist.segments[1].uri).1).unwrap()
    };
    assert_eq!(segment(&mut packager, lists[0]).streams, [Coding::H264, Coding::Aac]);
    assert_eq!(segment(&mut packager, lists[1]).streams, [Coding::Aac]);
    assert!(master.contains("CODECS=\"mp4a.40.2\""), "{master}");
}

#[test]
fn what_is_held_is_bounded() {
    let config = hls(2_000, 5);
    let mut packager = packager(&config, &Source::default().info());
    let mut most = [0; 2];
    for (half, most) in most.iter_mut().enumerate() {
        let start_us = half as i64 * 300_000_000;
        for packet in (Source { start_us, length_us: 300_000_000, ..Source::default() }).packets() {
            packager.push(&packet);
            while packager.poll().is_some() {}
            let mut census = Census::default();
            packager.count(&mut census);
            *most = census.window_bytes.max(*most);
        }
    }
    assert!(most[1] <= most[0] + 1_000, "{most:?}");
}

#[test]
fn times_go_on_after_33_bits() {
    // 2^33 ticks are 95443.7 s.
    let source =
        Source { start_us: 95_440_000_000, length_us: 12_000_000, millis: false, ..Source::default() };
    let watcher = watch(&hls(2_000, 20), &source, 0);
    let times: Vec<u64> = watcher.units(0).iter().map(|unit| unit.dts).collect();
    let wraps = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    let steps =
        times.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) & ((1 << 33) - 1) == 3_000).count();
    assert_eq!((wraps, steps), (1, times.len() - 1));
    assert!(watcher.segments.iter().all(|(segment, _)| !segment.discontinuity));
}

/// The first PES packet that is not the same in two segments.
fn difference(one: &Bytes, other: &Bytes) -> Option<(usize, Unit, Unit)> {
    let [one, other] = [one, other].map(|it| mpegts::read(it).expect("a segment").units);
    let at = one.iter().zip(&other).position(|(one, other)| one != other)?;
    Some((at, one[at].clone(), other[at].clone()))
}

fn config() -> impl Strategy<Value = Hls> {
    (1_000u64..6_500, 3usize..8).prop_map(|(segment, count)| hls(segment, count))
}

fn source() -> impl Strategy<Value = Source> {
    let rates = vec![(30, 1), (25, 1), (24, 1), (30_000, 1_001), (60, 1), (15, 1), (5, 1)];
    let hole = (0i64..20_000_000, 0i64..6_000_000, any::<bool>(), any::<bool>());
    let tracks = prop_oneof![8 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))];
    let video = (proptest::sample::select(rates), 10u64..200, any::<bool>(), 0i64..20_000);
    let audio = (proptest::sample::select(vec![44_100, 48_000]), -300_000i64..300_000);
    let when = (0i64..5_000_000, proptest::collection::vec(hole, 0..3));
    (video, audio, any::<bool>(), tracks, when).prop_map(
        |(
            (fps, gop, reorder, jitter_us),
            (rate, audio_late_us),
            millis,
            (with_video, with_audio),
            (start_us, holes),
        )| {
            let length_us = 20_000_000;
            Source {
                fps,
                gop,
                reorder,
                rate,
                millis,
                with_video,
                with_audio,
                start_us,
                length_us,
                holes,
                audio_late_us,
                jitter_us,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_version_of_every_playlist_keeps_the_rules(config in config(), source in source()) {
        watch(&config, &source, 0);
    }

    #[test]
    fn everything_is_there(config in config(), source in source()) {
        let source = Source { holes: Vec::new(), jitter_us: 0, gop: source.gop.min(5 * u64::from(source.fps.0 / source.fps.1)), ..source };
        let config = Hls { segment_count: 1_000, ..config };
        let watcher = watch(&config, &source, 0);
        let packets = source.packets();
        if source.with_video {
            let video: Vec<&Packet> = packets.iter().filter(|it| it.track == VIDEO).skip_while(|it| !it.key).collect();
            let units = watcher.units(0);
            prop_assert_eq!(units.len(), video.len());
            for (unit, packet) in units.iter().zip(video) {
                let (pts, dts) = ticks(packet);
                prop_assert_eq!(unit.pts, pts);
                // A frame that is a little longer than there is room for makes the next one a little earlier.
                prop_assert!(unit.dts <= dts && dts - unit.dts < 4_000, "{} {dts}", unit.dts);
                let slice = annexb::nal_units(&packet.data).last().unwrap();
                let data = unit.data.concat();
                prop_assert_eq!(annexb::nal_units(&data).last(), Some(slice));
            }
        }
        if source.with_audio {
            let frames = audio_frames(&watcher.units(usize::from(source.with_video)), source.rate);
            let mut audio = packets.iter().filter(|it| it.track == AUDIO);
            let first = audio.find(|it| ticks(it).0.abs_diff(frames[0].0) < 200).expect("the first frame");
            let sent: Vec<&Packet> = core::iter::once(first).chain(audio).collect();
            // What is behind the last picture is not waited for.
            prop_assert!(frames.len() <= sent.len() && frames.len() + 20 + source.audio_late_us.max(0) as usize / 20_000 > sent.len());
            for ((pts, raw), packet) in frames.iter().zip(sent) {
                prop_assert!(pts.abs_diff(ticks(packet).0) < 200, "{pts} {packet:?}");
                prop_assert_eq!(raw, &AdtsFrame::parse(&packet.data).unwrap().raw);
            }
        }
    }

    #[test]
    fn packagers_that_start_at_different_moments_agree(
        fps in proptest::sample::select(vec![(30u32, 1u32), (25, 1), (60, 1), (30_000, 1_001)]),
        reorder: bool,
        rate in proptest::sample::select(vec![44_100u32, 48_000]),
        millis: bool,
        skip_us in 1i64..11_000_000,
        hole in (24_000_000i64..30_000_000, 0i64..8_000_000),
    ) {
        let gop = u64::from(fps.0.div_ceil(fps.1)) * 2;
        let holes = vec![(hole.0, hole.1, true, true)];
        let source = Source { fps, gop, reorder, rate, millis, length_us: 40_000_000, holes, ..Source::default() };
        let segment_us = if fps.1 == 1_001 { 6_006_000 } else { 6_000_000 };
        let config = Hls { segment: Duration::from_micros(segment_us), ..Hls::default() };
        let (all, some) = (watch(&config, &source, 0), watch(&config, &source, skip_us));
        prop_assert!(some.segments.len() >= 3);
        for (segment, bytes) in &some.segments[1..] {
            let (same, same_bytes) =
                all.segments.iter().find(|(other, _)| other.msn == segment.msn).expect("the number");
            prop_assert_eq!(same, segment);
            prop_assert!(same_bytes == bytes, "the bytes of segment {}", segment.msn);
        }
    }

    #[test]
    fn whole_segments_of_a_shared_timeline_are_the_same_for_everybody(
        fps in proptest::sample::select(vec![(30u32, 1u32), (25, 1), (50, 1), (30_000, 1_001), (24_000, 1_001), (60_000, 1_001)]),
        gop_s in proptest::sample::select(vec![1u64, 2, 3, 6]),
        start_us in 0i64..20_000_000_000,
        reorder: bool,
        rate in proptest::sample::select(vec![44_100u32, 48_000]),
        millis: bool,
        skip_us in 1i64..20_000_000,
        hole in (30_000_000i64..40_000_000, 0i64..20_000_000, any::<bool>(), any::<bool>()),
        tracks in prop_oneof![8 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))],
    ) {
        let gop = u64::from(fps.0.div_ceil(fps.1)) * gop_s;
        let (with_video, with_audio) = tracks;
        let source = Source {
            fps, gop, start_us, reorder, rate, millis, with_video, with_audio, length_us: 70_000_000, holes: vec![hole],
            ..Source::default()
        };
        let [all, some] = [0, skip_us].map(|skip| {
            let (info, anchor) = (source.info(), GridAnchor::of_timestamps());
            let packager = TsPackager::new(&Hls::default(), "stream", &info, anchor, Numbers::default()).unwrap();
            assert!(packager.is_interchangeable());
            watch_with(packager, &source, start_us + skip)
        });
        prop_assert!(some.segments.len() >= 4, "{} segments", some.segments.len());
        for (segment, bytes) in &some.segments {
            let (same, same_bytes) =
                all.segments.iter().find(|(other, _)| other.msn == segment.msn).expect("the number");
            prop_assert_eq!(same, segment);
            prop_assert!(same_bytes == bytes, "the bytes of segment {}: {:?}", segment.msn, difference(same_bytes, bytes));
        }
    }
}
