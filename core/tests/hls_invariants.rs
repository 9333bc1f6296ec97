//! Whatever an encoder sends, every version of every playlist keeps the rules, and packagers agree.

mod hls_support;

use core::time::Duration;

use headwater_core::config::LlHls;
use hls_support::*;
use proptest::prelude::*;

fn config() -> impl Strategy<Value = LlHls> {
    (100u64..1_000, 1_000u64..6_500, 3usize..8).prop_map(|(chunk, segment, segment_count)| LlHls {
        chunk: Duration::from_millis(chunk),
        segment: Duration::from_millis(segment),
        segment_count,
        ..LlHls::default()
    })
}

fn source() -> impl Strategy<Value = Source> {
    let rates = vec![(30, 1), (25, 1), (24, 1), (30_000, 1_001), (60, 1), (15, 1), (5, 1)];
    let hole = (0i64..20_000_000, 0i64..6_000_000, any::<bool>(), any::<bool>());
    let tracks = prop_oneof![8 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))];
    (
        (
            proptest::sample::select(rates),
            10u64..200,
            any::<bool>(),
            proptest::sample::select(vec![44_100, 48_000]),
        ),
        (any::<bool>(), tracks, 0i64..5_000_000, proptest::collection::vec(hole, 0..3)),
        (-300_000i64..300_000, 0i64..20_000),
    )
        .prop_map(
            |(
                (fps, gop, reorder, rate),
                (millis, (with_video, with_audio), start_us, holes),
                (late, jitter),
            )| {
                Source {
                    fps,
                    gop,
                    reorder,
                    rate,
                    millis,
                    with_video,
                    with_audio,
                    start_us,
                    length_us: 20_000_000,
                    holes,
                    audio_late_us: late,
                    jitter_us: jitter,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_version_of_every_playlist_keeps_the_rules(config in config(), source in source()) {
        let info = source.info();
        let mut packager = packager(&config, &info);
        let mut viewers: Vec<Viewer> = Vec::new();
        if source.with_video {
            viewers.push(Viewer::new(VIDEO, 90_000));
        }
        if source.with_audio {
            viewers.push(Viewer::new(AUDIO, source.rate));
        }
        for packet in source.packets() {
            packager.push(&packet);
            if !events(&mut packager).is_empty() {
                viewers.iter_mut().for_each(|viewer| viewer.look(&mut packager));
            }
        }
        packager.finish();
        viewers.iter_mut().for_each(|viewer| viewer.look(&mut packager));
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
        let mut config = LlHls::default();
        if fps.1 == 1_001 {
            config.segment = Duration::from_micros(6_006_000);
        }
        let packets = source.packets();
        let mut views = [0, skip_us].map(|skip| {
            let mut packager = packager(&config, &source.info());
            let mut viewers = [Viewer::new(VIDEO, 90_000), Viewer::new(AUDIO, rate)];
            for packet in packets.iter().filter(|packet| packet.dts.as_micros() >= skip) {
                packager.push(packet);
                if !events(&mut packager).is_empty() {
                    viewers.iter_mut().for_each(|viewer| viewer.look(&mut packager));
                }
            }
            viewers.map(|viewer| viewer.segments)
        });
        let [from_start, later] = &mut views;
        for (all, some) in from_start.iter().zip(later) {
            prop_assert!(some.len() >= 3);
            for (segment, bytes) in &some[1..] {
                let (same, same_bytes) = all.iter().find(|(other, _)| other.msn == segment.msn).expect("the number");
                prop_assert_eq!(same, segment);
                prop_assert_eq!(same_bytes, bytes);
            }
        }
    }

    /// Whatever the frame rate and wherever key frames lie, for as long as they are as far apart as divides a segment;
    /// and over holes that both have.
    #[test]
    fn whole_segments_of_a_shared_timeline_are_the_same_for_everybody(
        fps in proptest::sample::select(vec![(30u32, 1u32), (25, 1), (50, 1), (60, 1), (30_000, 1_001), (24_000, 1_001), (60_000, 1_001)]),
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
        let packets = source.packets();
        let segments = [0, skip_us].map(|skip| {
            let mut packager = shared_packager(&LlHls::default(), &source.info());
            let mut viewers = Vec::new();
            viewers.extend(with_video.then(|| Viewer::new(VIDEO, 90_000)));
            viewers.extend(with_audio.then(|| Viewer::new(AUDIO, rate)));
            for packet in packets.iter().filter(|packet| packet.dts.as_micros() >= start_us + skip) {
                packager.push(packet);
                if !events(&mut packager).is_empty() {
                    viewers.iter_mut().for_each(|viewer| viewer.look(&mut packager));
                }
            }
            assert!(packager.is_interchangeable());
            viewers.into_iter().map(|viewer| viewer.segments).collect::<Vec<_>>()
        });
        let [from_start, later] = &segments;
        for (all, some) in from_start.iter().zip(later) {
            prop_assert!(some.len() >= 4, "{} segments", some.len());
            for (segment, bytes) in some {
                let (same, same_bytes) = all.iter().find(|(other, _)| other.msn == segment.msn).expect("the number");
                prop_assert_eq!(same, segment);
                prop_assert_eq!(same_bytes, bytes);
            }
        }
    }

    /// Numbers stay those of the grid, however badly key frames fit.
    #[test]
    fn a_shared_grid_holds(
        fps in proptest::sample::select(vec![(30u32, 1u32), (25, 1), (30_000, 1_001)]),
        gop in 1u64..600,
        segment_ms in 1_000u64..7_000,
        hole in (0i64..60_000_000, 0i64..30_000_000, any::<bool>(), any::<bool>()),
    ) {
        let source = Source { fps, gop, length_us: 80_000_000, holes: vec![hole], ..Source::default() };
        let config = LlHls { segment: Duration::from_millis(segment_ms), ..LlHls::default() };
        let mut packager = shared_packager(&config, &source.info());
        let mut viewer = Viewer::new(VIDEO, 90_000);
        for packet in source.packets() {
            packager.push(&packet);
            if !events(&mut packager).is_empty() {
                viewer.look(&mut packager);
            }
        }
        prop_assert!(packager.is_interchangeable());
    }
}
