//! The packager, seen from outside: names, playlists, waiting, and the answers to wrong questions.

mod hls_support;

use core::time::Duration;

use headwater_core::config::LlHls;
use headwater_core::hls::{
    Answer, CacheKind, GridAnchor, Numbers, Packager, PackagerEvent, Request, WaitFor,
};
use headwater_core::media::{Codec, Playlist, PlaylistOptions, Rendition, Timebase, Timestamp};
use headwater_core::time::Wall;
use hls_support::*;

const BASE_MSN: u64 = 300_000_000;

fn started(seconds: i64) -> Packager {
    started_with(&LlHls::default(), seconds)
}

fn started_with(config: &LlHls, seconds: i64) -> Packager {
    let source = Source { length_us: seconds * 1_000_000, ..Source::default() };
    let mut packager = packager(config, &source.info());
    source.packets().iter().for_each(|packet| packager.push(packet));
    packager
}

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/", $name))
    };
}

#[test]
fn a_stream_without_a_known_codec_has_no_packager() {
    let mut track = video_track(Timebase::MILLIS, 30.0);
    track.codec = Codec::Vp8;
    assert!(
        Packager::new(&LlHls::default(), "app", "stream", &info([track]), EPOCH, Numbers::default())
            .is_none()
    );
}

#[test]
fn numbers_come_from_the_wall_clock() {
    let packager = started(10);
    assert_eq!(packager.last_msn(), Some(BASE_MSN + 1));
}

#[test]
fn a_stream_that_comes_back_goes_on_with_higher_numbers() {
    let source = Source::default();
    let first = Numbers { msn: BASE_MSN + 50, discontinuity: 7 };
    let mut packager =
        Packager::new(&LlHls::default(), "app", "stream", &source.info(), EPOCH, first).unwrap();
    source.packets().iter().for_each(|packet| packager.push(packet));
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    assert_eq!((playlist.segments[0].msn, playlist.discontinuity_sequence), (first.msn, first.discontinuity));
    let next = packager.next_numbers().expect("it has used some");
    assert!(next.msn > playlist.segments.last().unwrap().msn && next.discontinuity > first.discontinuity);
}

#[test]
fn media_playlists_have_the_layout_of_ovenmediaengine() {
    let mut packager = started(28);
    for (track, theirs) in
        [(VIDEO, vector!("05-video-chunklist.body")), (AUDIO, vector!("25-audio-chunklist.body"))]
    {
        let ours = text(&get(&mut packager, &chunklist(track)));
        // What is said of a segment, and in which form: numbers and keys do not matter.
        let shape = |text: &str| {
            let mut shapes: Vec<String> = Vec::new();
            for line in text.lines() {
                let line = line.split("?session").next().unwrap().replace(KEY, "K").replace("KRx5dYoZ", "K");
                let shape: String = line.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
                let shape = shape.replace("99", "9").replace("99", "9").replace("99", "9").replace("99", "9");
                if !shapes.contains(&shape) {
                    shapes.push(shape);
                }
            }
            shapes
        };
        let ours = shape(&ours);
        let known = ["RENDITION-REPORT", "DISCONTINUITY-SEQUENCE", "PROGRAM-DATE-TIME", "INIT", "MAP"];
        for line in shape(theirs) {
            let line = line.trim_end_matches('"').to_owned();
            let there = ours.iter().any(|our| our.starts_with(&line));
            let different = known.iter().any(|known| line.contains(known));
            assert!(there || different, "{line} is not in {ours:#?}");
        }
        let order = |text: &str| MediaPlaylist::parse(&text.replace("?session=15_Fums2lor", "")).tags;
        let mut theirs = order(theirs);
        theirs.dedup();
        assert_eq!(
            theirs[..6],
            [
                "#EXTM3U",
                "#EXT-X-VERSION",
                "#EXT-X-TARGETDURATION",
                "#EXT-X-SERVER-CONTROL",
                "#EXT-X-PART-INF",
                "#EXT-X-MEDIA-SEQUENCE"
            ]
        );
    }
    let ours = media_playlist(&mut packager, VIDEO).unwrap();
    assert_eq!(
        ours.tags[..8],
        [
            "#EXTM3U",
            "#EXT-X-VERSION",
            "#EXT-X-TARGETDURATION",
            "#EXT-X-SERVER-CONTROL",
            "#EXT-X-PART-INF",
            "#EXT-X-MEDIA-SEQUENCE",
            "#EXT-X-DISCONTINUITY-SEQUENCE",
            "#EXT-X-MAP"
        ]
    );
}

#[test]
fn the_master_playlist_has_the_layout_of_ovenmediaengine() {
    let mut packager = started(20);
    let ours = text(&get(&mut packager, "llhls.m3u8"));
    let theirs = vector!("00-master-llhls.body").replace("?session=15_Fums2lor", "").replace("KRx5dYoZ", KEY);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (lines(&ours), lines(&theirs));
    assert_eq!(ours.len(), theirs.len());
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(our.split(':').next(), their.split(':').next());
    }
    assert_eq!(
        ours[3],
        format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"bypass_audio\",NAME=\"Audio_1\",DEFAULT=YES,AUTOSELECT=YES,\
         CHANNELS=\"1\",URI=\"/app/stream/chunklist_1_audio_{KEY}_llhls.m3u8\""
        )
    );
    assert!(ours[6].starts_with("#EXT-X-STREAM-INF:BANDWIDTH=564000,AVERAGE-BANDWIDTH="), "{}", ours[6]);
    assert!(ours[6].ends_with(
        ",RESOLUTION=640x360,FRAME-RATE=30.000,CODECS=\"avc1.42c01e,mp4a.40.2\",AUDIO=\"bypass_audio\""
    ));
    assert_eq!(ours[7], theirs[7]);
}

#[test]
fn a_configured_playlist_has_its_own_name_and_paths() {
    let source = Source::default();
    let rendition = |video: &str, audio: &str| Rendition {
        name: "r".into(),
        video: video.into(),
        audio: audio.into(),
        video_index: -1,
        audio_index: -1,
    };
    let mut info = source.info();
    info.playlists.push(Playlist {
        name: "p".into(),
        file_name: "master".into(),
        options: PlaylistOptions { chunklist_path_depth: 1, ..Default::default() },
        renditions: vec![
            rendition("bypass_video", ""),
            rendition("nobody", "bypass_audio"),
            rendition("x", "y"),
        ],
    });
    let config = LlHls { default_playlist: false, ..LlHls::default() };
    let mut packager = packager(&config, &info);
    source.packets().iter().for_each(|packet| packager.push(packet));
    assert_eq!(get(&mut packager, "llhls.m3u8").status, 404);
    let master = text(&get(&mut packager, "master.m3u8?_HLS_legacy=YES"));
    let uris: Vec<&str> = master.lines().filter(|line| line.contains("chunklist")).collect();
    assert_eq!(
        uris,
        [
            format!("../stream/chunklist_0_video_{KEY}_llhls.m3u8?_HLS_legacy=YES"),
            format!("../stream/chunklist_1_audio_{KEY}_llhls.m3u8?_HLS_legacy=YES"),
        ]
    );
}

#[test]
fn a_master_waits_for_the_first_part_of_every_track() {
    let source = Source { length_us: 5_000_000, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &source.info());
    for packet in source.packets().iter().filter(|packet| packet.track == VIDEO) {
        packager.push(packet);
    }
    assert_eq!(ask(&mut packager, "llhls.m3u8"), Answer::Wait(WaitFor::Started));
    assert_eq!(ask(&mut packager, &chunklist(AUDIO)), Answer::Wait(WaitFor::Started));
    assert_eq!(get(&mut packager, "other.m3u8").status, 404);
}

#[test]
fn a_chunklist_without_directives_waits_for_its_first_whole_segment() {
    let wait = WaitFor::Segment { track: VIDEO, msn: BASE_MSN };
    let mut packager = started(3);
    assert_eq!(ask(&mut packager, &chunklist(VIDEO)), Answer::Wait(wait));
    let blocking = format!("{}?_HLS_msn={BASE_MSN}&_HLS_part=0", chunklist(VIDEO));
    assert_eq!(get(&mut packager, &blocking).status, 200, "a player that knows parts need not wait");
    let mut packager = started(10);
    assert_eq!(get(&mut packager, &chunklist(VIDEO)).cache, Some(CacheKind::Chunklist));
}

#[test]
fn l4_msn_alone_waits_for_the_whole_segment() {
    let mut packager = started(10);
    let file = |msn| format!("{}?_HLS_msn={msn}", chunklist(VIDEO));
    let open = BASE_MSN + 1;
    assert_eq!(get(&mut packager, &file(open - 1)).cache, Some(CacheKind::ChunklistWithDirectives));
    let wait = WaitFor::Segment { track: VIDEO, msn: open };
    assert_eq!(ask(&mut packager, &file(open)), Answer::Wait(wait));
    let source = Source { start_us: 10_000_000, length_us: 2_100_000, ..Source::default() };
    events(&mut packager);
    for packet in source.packets() {
        packager.push(&packet);
        let concerned = events(&mut packager).iter().any(|event| wait.concerns(event));
        let answered = matches!(ask(&mut packager, &file(open)), Answer::Now(_));
        assert!(concerned || !answered || packet.dts > Timestamp::from_micros(12_000_000));
    }
    assert_eq!(get(&mut packager, &file(open)).status, 200);
}

#[test]
fn l5_msn_and_part_wait_for_the_part() {
    let mut packager = started(10);
    let file = |msn, part| format!("{}?_HLS_msn={msn}&_HLS_part={part}", chunklist(VIDEO));
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    let open = playlist.segments.last().unwrap();
    let (msn, next) = (open.msn, open.parts.len() as u32);
    assert_eq!(get(&mut packager, &file(msn, next - 1)).status, 200);
    assert_eq!(
        ask(&mut packager, &file(msn, next)),
        Answer::Wait(WaitFor::Part { track: VIDEO, msn, part: next })
    );
    assert_eq!(get(&mut packager, &file(3, 0)).status, 200, "older than the window: the current playlist");
    // The segment before is finished: a part beyond its end is the first of the open one, which is there.
    assert_eq!(get(&mut packager, &file(msn - 1, 50)).status, 200);
}

#[test]
fn l5_beyond_the_end_of_the_newest_finished_segment_is_part_0_of_the_next() {
    let mut packager = started(12);
    packager.push(&video(
        Timestamp::new(12_000, Timebase::MILLIS),
        Timestamp::new(12_000, Timebase::MILLIS),
        true,
        360,
    ));
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    let newest = playlist.segments.last().unwrap();
    assert!(newest.us.is_some(), "its last part came with the key frame behind it");
    let (msn, parts) = (newest.msn, newest.parts.len());
    let file = format!("{}?_HLS_msn={msn}&_HLS_part={parts}", chunklist(VIDEO));
    let wait = WaitFor::Part { track: VIDEO, msn: msn + 1, part: 0 };
    assert_eq!(ask(&mut packager, &file), Answer::Wait(wait));
}

#[test]
fn l7_too_far_ahead_is_400() {
    let mut packager = started(10);
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    let open = playlist.segments.last().unwrap();
    let (msn, last) = (open.msn, open.parts.len() as u32 - 1);
    let status = |packager: &mut Packager, query: String| match ask(
        packager,
        &format!("{}?{query}", chunklist(VIDEO)),
    ) {
        Answer::Now(response) => response.status.as_u16(),
        Answer::Wait(_) => 0,
    };
    assert_eq!(status(&mut packager, format!("_HLS_msn={}", msn + 2)), 0);
    assert_eq!(status(&mut packager, format!("_HLS_msn={}", msn + 3)), 400);
    assert_eq!(status(&mut packager, format!("_HLS_msn={}", u64::MAX)), 400);
    // The part target is 0.501 s: the limit is ceil(3 / 0.501) = 6 parts.
    assert_eq!(status(&mut packager, format!("_HLS_msn={msn}&_HLS_part={}", last + 6)), 0);
    assert_eq!(status(&mut packager, format!("_HLS_msn={msn}&_HLS_part={}", last + 7)), 400);
    assert_eq!(status(&mut packager, format!("_HLS_msn={}&_HLS_part={}", msn + 1, u32::MAX)), 400);
}

#[test]
fn l9_only_the_hinted_part_waits() {
    let mut packager = started(10);
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    let hint = playlist.hint.unwrap();
    assert!(matches!(ask(&mut packager, &hint), Answer::Wait(WaitFor::Part { .. })));
    let open = playlist.segments.last().unwrap();
    let part = |part| format!("part_0_{}_{part}_video_{KEY}_llhls.m4s", open.msn);
    assert_eq!(part(open.parts.len()), hint);
    assert_eq!(get(&mut packager, &part(open.parts.len() + 1)).status, 404);
    let seg = |msn, kind: &str, key: &str| format!("seg_0_{msn}_{kind}_{key}_llhls.m4s");
    assert_eq!(get(&mut packager, &seg(open.msn - 1, "video", KEY)).cache, Some(CacheKind::Segment));
    assert_eq!(get(&mut packager, &seg(open.msn, "video", KEY)).status, 404, "it is not complete");
    assert_eq!(get(&mut packager, &seg(open.msn - 1, "video", "wrong")).status, 404);
    assert_eq!(get(&mut packager, &seg(open.msn - 1, "audio", KEY)).status, 404);
    assert_eq!(get(&mut packager, &format!("init_0_video_{KEY}_llhls.m4s")).status, 404);
    assert_eq!(get(&mut packager, &chunklist(VIDEO).replace(KEY, "1")).status, 404);
}

#[test]
fn l10_every_playlist_reports_on_every_other_track() {
    let mut packager = started(10);
    let video = media_playlist(&mut packager, VIDEO).unwrap();
    let audio = media_playlist(&mut packager, AUDIO).unwrap();
    for (one, other, track) in [(&video, &audio, AUDIO), (&audio, &video, VIDEO)] {
        let last = other.segments.last().unwrap();
        assert_eq!(one.reports, [(chunklist(track), last.msn, last.parts.len() as u32 - 1)]);
    }
}

#[test]
fn b15_playlists_come_in_gzip_too() {
    let mut packager = started(10);
    let request = Request::parse(&chunklist(VIDEO), None).unwrap();
    let plain = now(packager.answer(&request, false));
    let packed = now(packager.answer(&request, true));
    assert!(packed.gzip && !plain.gzip);
    let mut unpacked = String::new();
    let bytes = joined(&packed);
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, text(&plain));
}

#[test]
fn legacy_playlists_have_no_low_latency_tags() {
    let mut packager = started(20);
    let playlist = text(&get(&mut packager, &format!("{}?_HLS_legacy=YES", chunklist(VIDEO))));
    for tag in ["SERVER-CONTROL", "PART", "PRELOAD", "REPORT"] {
        assert!(!playlist.contains(tag), "{tag}");
    }
    assert_eq!(playlist.matches("#EXTINF:6.000000,").count(), 3);
}

#[test]
fn l3_a_delta_update_and_what_is_known_are_the_whole_playlist() {
    let mut packager = started(90);
    for track in [VIDEO, AUDIO] {
        let whole = text(&get(&mut packager, &chunklist(track)));
        assert!(whole.contains(",CAN-SKIP-UNTIL=36.000000\n"), "six target durations of 6 s: {whole}");
        let delta = text(&get(&mut packager, &format!("{}?_HLS_skip=YES", chunklist(track))));
        let (head, rest) = delta.split_once("#EXT-X-SKIP:SKIPPED-SEGMENTS=").unwrap();
        let (skipped, rest) = rest.split_once('\n').unwrap();
        let skipped: usize = skipped.parse().unwrap();
        let begins: Vec<usize> = whole.match_indices("#EXT-X-PROGRAM-DATE-TIME").map(|(at, _)| at).collect();
        let (known, listed) = whole.split_at(begins[skipped]);
        let map = known.lines().find(|line| line.starts_with("#EXT-X-MAP")).unwrap();
        assert_eq!(rest, format!("{map}\n{listed}"));
        assert!(known.starts_with(&head.replace("VERSION:9", "VERSION:6")) && head.contains("VERSION:9"));
        // What is left out ended 36 s before the end, and the next segment did not.
        let seconds = |text: &str| -> f64 {
            let durations = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
            let open = text.rsplit(".m4s\n").next().unwrap_or_default();
            let parts =
                open.lines().filter_map(|line| line.strip_prefix("#EXT-X-PART:DURATION=")?.split(',').next());
            durations.chain(parts).map(|seconds| seconds.parse::<f64>().unwrap()).sum()
        };
        let first = &whole[begins[skipped]..begins[skipped + 1]];
        assert!(seconds(listed) >= 36.0 && seconds(listed) - seconds(first) < 36.0, "{}", seconds(listed));
    }
    packager.finish();
    let ended = text(&get(&mut packager, &format!("{}?_HLS_skip=YES", chunklist(VIDEO))));
    assert!(!ended.contains("EXT-X-SKIP"), "not after the end");
}

#[test]
fn l3_a_short_playlist_has_no_delta_updates() {
    let mut packager = started_with(&LlHls { segment_count: 6, ..LlHls::default() }, 90);
    let whole = text(&get(&mut packager, &chunklist(VIDEO)));
    assert!(!whole.contains("CAN-SKIP-UNTIL"));
    assert_eq!(text(&get(&mut packager, &format!("{}?_HLS_skip=YES", chunklist(VIDEO)))), whole);
}

#[test]
fn b14_a_finished_stream_has_an_end() {
    let mut packager = started(10);
    packager.finish();
    let playlist = media_playlist(&mut packager, AUDIO).unwrap();
    assert!(playlist.ended && playlist.hint.is_none());
    let last = playlist.segments.last().unwrap();
    assert!(last.us.is_some());
    let file = format!("{}?_HLS_msn={}", chunklist(AUDIO), last.msn + 9);
    assert_eq!(get(&mut packager, &file).status, 200, "l5: directives are ignored after the end");
}

#[test]
fn b7_a_removed_segment_stays_for_a_while() {
    let mut packager = started(90);
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    assert_eq!(playlist.segments.len(), 10);
    let first = playlist.segments[0].msn;
    let status =
        |packager: &mut Packager, msn| get(packager, &format!("seg_0_{msn}_video_{KEY}_llhls.m4s")).status;
    assert_eq!(status(&mut packager, first - 3), 200);
    assert_eq!(status(&mut packager, first - 4), 404);
}

#[test]
fn b7_three_target_durations_are_listed_however_few_segments() {
    let source = Source { length_us: 60_000_000, ..Source::default() };
    let config = LlHls { segment_count: 1, ..LlHls::default() };
    let mut packager = packager(&config, &source.info());
    source.packets().iter().for_each(|packet| packager.push(packet));
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    let us: i64 = playlist.segments.iter().flat_map(|segment| segment.us).sum();
    assert!(us >= 18_000_000 - 6_000_000 && playlist.segments.len() <= 4);
}

#[test]
fn b3_a_segment_of_fine_ticks_is_not_rounded_up_to_the_next_second() {
    let long = Duration::from_millis(1_499);
    let config = LlHls { chunk: long, segment: long, ..LlHls::default() };
    let fine = Timebase::new(1, 10_000_000).unwrap();
    let info = info([video_track(fine, 25.0)]);
    let mut packager =
        Packager::new(&config, "app", "stream", &info, GridAnchor::default(), Numbers::default())
            .expect("there is a track");
    // The hole ends so soon after the line that the line is passed over, and only the limit cuts.
    for us in [0, 1_510_000, 1_550_000] {
        let at = Timestamp::from_micros(us).to(fine);
        packager.push(&video(at, at, us == 0, us as u64));
    }
    check_playlist(&media_playlist(&mut packager, VIDEO).unwrap());
}

#[test]
fn b11_a_changed_format_is_a_discontinuity_on_all_tracks() {
    let source = Source { length_us: 9_000_000, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &source.info());
    source.packets().iter().for_each(|packet| packager.push(packet));
    let before = media_playlist(&mut packager, VIDEO).unwrap();
    let mut changed = source.info();
    changed.tracks[0].config = Some(avc(PPS_OTHER).record().unwrap());
    packager.update(&changed);
    for track in [VIDEO, AUDIO] {
        let playlist = media_playlist(&mut packager, track).unwrap();
        assert_eq!(playlist.hint, None, "l15: no hint into a segment after a discontinuity");
        assert!(playlist.segments.last().unwrap().us.is_some());
    }
    // 9 s is in the middle of a key-frame interval: the new segment begins at 10 s.
    let after = Source { start_us: 9_000_000, length_us: 12_000_000, ..Source::default() };
    after.packets().iter().for_each(|packet| packager.push(packet));
    let video = media_playlist(&mut packager, VIDEO).unwrap();
    let audio = media_playlist(&mut packager, AUDIO).unwrap();
    let breaks = |playlist: &MediaPlaylist| -> Vec<u64> {
        playlist.segments.iter().filter(|segment| segment.discontinuity).map(|segment| segment.msn).collect()
    };
    assert_eq!(breaks(&video), [BASE_MSN + 2]);
    assert_eq!(breaks(&video), breaks(&audio));
    let last = before.segments.last().unwrap();
    let maps: Vec<&String> = video.segments.iter().map(|segment| &segment.map).collect();
    assert_ne!(maps[1], maps[2]);
    assert_eq!(get(&mut packager, &last.map).status, 200);
    assert_eq!(get(&mut packager, maps[2]).status, 200);
    check_edit(&before, &video);
    assert!(video.hint.is_some());
}

#[test]
fn a_track_that_goes_and_comes_back_does_not_give_its_numbers_again() {
    let both = Source { length_us: 9_000_000, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &both.info());
    both.packets().iter().for_each(|packet| packager.push(packet));
    let before = media_playlist(&mut packager, VIDEO).unwrap();
    // For a moment nothing is described that can be packaged.
    packager.update(&info([]));
    let newest = packager.last_msn();
    assert_eq!(newest, before.segments.last().map(|segment| segment.msn));
    packager.update(&both.info());
    let after = Source { start_us: 10_000_000, length_us: 12_000_000, ..Source::default() };
    after.packets().iter().for_each(|packet| packager.push(packet));
    for track in [VIDEO, AUDIO] {
        let playlist = media_playlist(&mut packager, track).unwrap();
        let first = playlist.segments[0].msn;
        assert!(Some(first) > newest, "l14: {first} was given to other bytes");
        assert_eq!(playlist.discontinuity_sequence, 1, "players place its media anew");
    }
}

#[test]
fn a_track_that_comes_later_counts_discontinuities_like_the_others() {
    let both = Source { length_us: 9_000_000, ..Source::default() };
    let alone = info([both.info().tracks[0].clone()]);
    let mut packager = packager(&LlHls::default(), &alone);
    both.packets().iter().for_each(|packet| packager.push(packet));
    packager.update(&both.info());
    let after = Source { start_us: 10_000_000, length_us: 12_000_000, ..Source::default() };
    after.packets().iter().for_each(|packet| packager.push(packet));
    let [video, audio] = [VIDEO, AUDIO].map(|track| media_playlist(&mut packager, track).unwrap());
    let breaks = video.segments.iter().filter(|segment| segment.discontinuity).count() as u64;
    assert_eq!((breaks, audio.segments[0].discontinuity), (1, false));
    assert_eq!(audio.discontinuity_sequence, video.discontinuity_sequence + breaks);
}

#[test]
fn a_track_that_never_began_has_no_playlist_at_the_end() {
    let source = Source { length_us: 9_000_000, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &source.info());
    let packets = source.packets();
    packets.iter().filter(|packet| packet.track == VIDEO).for_each(|packet| packager.push(packet));
    assert_eq!(ask(&mut packager, &chunklist(AUDIO)), Answer::Wait(WaitFor::Started));
    packager.finish();
    assert_eq!(get(&mut packager, &chunklist(AUDIO)).status, 404);
    assert_eq!(get(&mut packager, &chunklist(VIDEO)).status, 200);
}

#[test]
fn a_timeline_that_starts_again_is_a_discontinuity_with_dates_that_go_on() {
    let late = Source { start_us: 100_000_000, length_us: 20_000_000, ..Source::default() };
    let early = Source { length_us: 20_000_000, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &late.info());
    let mut viewers = [Viewer::new(VIDEO, 90_000), Viewer::new(AUDIO, 48_000)];
    for packet in late.packets().iter().chain(&early.packets()) {
        packager.push(packet);
        viewers.iter_mut().for_each(|viewer| viewer.look(&mut packager));
    }
    let breaks: Vec<Vec<(u64, String)>> = (viewers.iter())
        .map(|viewer| &viewer.latest().unwrap().segments)
        .map(|all| all.iter().filter(|s| s.discontinuity).map(|s| (s.msn, s.date[..19].into())).collect())
        .collect();
    assert_eq!(breaks[0].len(), 1);
    assert_eq!(breaks[0][0].0, breaks[1][0].0);
    assert_eq!(breaks[0][0].1, "2027-01-15T08:02:00");
}

#[test]
fn b10_a_hole_is_covered_by_gaps() {
    let holes = vec![(8_000_000, 15_000_000, true, true)];
    let source = Source { length_us: 40_000_000, holes, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &source.info());
    let mut viewers = [Viewer::new(VIDEO, 90_000), Viewer::new(AUDIO, 48_000)];
    for packet in source.packets() {
        packager.push(&packet);
        viewers.iter_mut().for_each(|viewer| viewer.look(&mut packager));
    }
    for viewer in &viewers {
        let gaps: Vec<u64> = viewer.segments.iter().filter(|(s, _)| s.gap).map(|(s, _)| s.msn).collect();
        assert_eq!(gaps, [BASE_MSN + 2]);
        let total: i64 = viewer.segments.iter().map(|(segment, _)| segment.us.unwrap()).sum();
        assert!((total - 36_000_000).abs() < 30_000, "b4: the length of the media is {total} µs");
    }
}

#[test]
fn a_key_frame_interval_that_does_not_fit_is_told() {
    for (gop, word) in [(120, "does not divide"), (600, "longer than")] {
        let source = Source { gop, length_us: 30_000_000, ..Source::default() };
        let mut packager = packager(&LlHls::default(), &source.info());
        let mut viewer = Viewer::new(VIDEO, 90_000);
        for packet in source.packets() {
            packager.push(&packet);
            viewer.look(&mut packager);
        }
        let warnings: Vec<String> = events(&mut packager)
            .into_iter()
            .filter_map(|event| if let PackagerEvent::Warning(text) = event { Some(text) } else { None })
            .collect();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains(word), "{}", warnings[0]);
    }
}

#[test]
fn a_stalled_video_does_not_stop_audio() {
    let source = Source { length_us: 20_000_000, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &source.info());
    let stall = Timestamp::from_micros(5_000_000);
    for packet in source.packets().iter().filter(|packet| packet.track == AUDIO || packet.dts < stall) {
        packager.push(packet);
    }
    let audio = media_playlist(&mut packager, AUDIO).unwrap();
    assert_eq!(audio.segments.last().unwrap().msn, BASE_MSN + 3);
}

#[test]
fn audio_without_video_is_cut_at_the_grid() {
    let source = Source { with_video: false, length_us: 29_000_000, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &source.info());
    let mut viewer = Viewer::new(AUDIO, 48_000);
    for packet in source.packets() {
        packager.push(&packet);
        viewer.look(&mut packager);
    }
    assert_eq!(viewer.segments.len(), 4);
    assert!(
        text(&get(&mut packager, "llhls.m3u8"))
            .contains("CODECS=\"mp4a.40.2\"\n/app/stream/chunklist_1_audio")
    );
}

#[test]
fn parameter_sets_and_delimiters_stay_out_of_samples() {
    let mut packager = started(10);
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    let bytes = joined(&get(&mut packager, &playlist.segments[0].uri));
    let first = &fragments(&bytes)[0].payloads[0];
    assert_eq!(u32::from_be_bytes(first[..4].try_into().unwrap()) as usize, first.len() - 4);
    assert_eq!(first[4], 0x65);
}

#[test]
fn composition_offsets_keep_presentation_times() {
    let source = Source { reorder: true, length_us: 8_000_000, ..Source::default() };
    let mut packager = packager(&LlHls::default(), &source.info());
    let packets = source.packets();
    packets.iter().for_each(|packet| packager.push(packet));
    let playlist = media_playlist(&mut packager, VIDEO).unwrap();
    let bytes = joined(&get(&mut packager, &playlist.segments[0].uri));
    let mut expected = packets.iter().filter(|packet| packet.track == VIDEO).map(|packet| packet.pts);
    for fragment in fragments(&bytes) {
        let mut decode = fragment.decode_time as i64;
        for (offset, duration) in fragment.offsets.iter().zip(&fragment.durations) {
            assert_eq!(Timestamp::new(decode + offset, Timebase::MPEG), expected.next().unwrap());
            decode += i64::from(*duration);
        }
    }
}

#[test]
fn a_track_without_configuration_takes_it_from_the_packets() {
    let source = Source { length_us: 8_000_000, ..Source::default() };
    let mut bare = source.info();
    bare.tracks.iter_mut().for_each(|track| track.config = None);
    let (mut one, mut other) =
        (packager(&LlHls::default(), &source.info()), packager(&LlHls::default(), &bare));
    for packet in source.packets() {
        one.push(&packet);
        other.push(&packet);
    }
    for track in [VIDEO, AUDIO] {
        assert_eq!(media_playlist(&mut one, track), media_playlist(&mut other, track));
    }
}

#[test]
fn hostile_timestamps_do_no_harm() {
    let mut packager = packager(&LlHls::default(), &Source::default().info());
    let times =
        [0, i64::MAX, i64::MIN, 1 << 52, 5, (1 << 53) - 1, 0, 40_000, -1, 1 << 40, (1 << 40) + 59_000_000];
    for (frame, &a) in times.iter().enumerate() {
        for &b in &times {
            let (dts, pts) = (Timestamp::from_micros(a), Timestamp::from_micros(b));
            packager.push(&video(dts, pts, true, frame as u64));
            packager.push(&audio(pts, 48_000, frame as u64));
        }
    }
    packager.finish();
    let _ = ask(&mut packager, "llhls.m3u8");
}

#[test]
fn hold_back_is_three_times_the_longest_part_at_least() {
    let source = Source::default();
    let config = LlHls { part_hold_back: Some(Duration::from_secs(4)), ..LlHls::default() };
    for (config, expected) in [(LlHls::default(), 1_503_000), (config, 4_000_000)] {
        let mut packager = packager(&config, &source.info());
        source.packets().iter().for_each(|packet| packager.push(packet));
        assert_eq!(media_playlist(&mut packager, AUDIO).unwrap().hold_back_us, Some(expected));
    }
}

#[test]
fn the_anchor_can_be_taken_from_any_moment() {
    let at = Timestamp::new(5_000, Timebase::MILLIS);
    assert_eq!(
        GridAnchor::new(Wall::from_micros(9_000_000), at),
        GridAnchor::at(Wall::from_micros(4_000_000))
    );
}
