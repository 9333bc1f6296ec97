//! The viewer against a small server: what it plays, what it survives, and what the checkers catch.
#![allow(clippy::unwrap_used)]

mod common;

use common::ll_hls::{Faults, Wrong, live};
use headwater_core::io::CloseReason;
use headwater_core::media::Kind;
use headwater_net_sim::check::{DatesAreTrue, OneContentPerNumber, PartsAreFresh, PicturesCanBeDecoded};
use headwater_net_sim::integrity::{Damage, Mistiming};
use headwater_net_sim::viewer::{Failure, Fatal, Record, Settings, Trouble};
use headwater_net_sim::{Checks, Crash, HostId, Latency, Viewer, World, ms, secs};

const URL: &str = "http://edge:8080/live.m3u8";

fn watch(seed: u64, faults: Faults) -> (World, HostId, HostId) {
    let mut world = World::new(seed);
    world.link_default(Latency::ms(5).jitter_ms(5));
    let edge = world.host("edge", live(faults));
    let viewer = world.viewer("viewer", Viewer::new(URL));
    (world, edge, viewer)
}

fn after(secs_run: u64, faults: Faults) -> Record {
    let (mut world, _, viewer) = watch(1, faults);
    world.run_for(secs(secs_run));
    world.watch(viewer).record().clone()
}

fn has(record: &Record, wanted: impl Fn(&Trouble) -> bool) -> bool {
    record.troubles.iter().any(|(_, trouble)| wanted(trouble))
}

#[test]
fn a_healthy_stream_plays_without_a_stall() {
    let (mut world, _, viewer) = watch(1, Faults::default());
    world.run_for(secs(60));
    Checks::unharmed(ms(600)).demand(&world);
    let record = world.watch(viewer).record();
    assert_eq!(record.troubles, []);
    assert_eq!(record.stalls, []);
    assert!(record.started.unwrap().as_micros() < 1_000_000);
    let video: Vec<_> = record.parts.iter().filter(|part| part.kind == Kind::Video).collect();
    assert!((115..=125).contains(&video.len()), "{}", video.len());
    assert!(video.windows(2).all(|pair| pair[1].media_us == pair[0].media_us + 500_000));
    assert!(video[0].independent && video[0].starts_with_sync);
    assert!(record.playlists.iter().skip(4).all(|seen| seen.asked.is_some()));
    assert!(record.longest_gap(Kind::Audio, world.now()) < ms(600));
    let played = world.watch(viewer).position_us(world.now()).unwrap() - video[0].media_us;
    assert!((58_000_000..60_500_000).contains(&played), "{played}");
}

#[test]
fn parts_are_asked_for_as_hls_js_does() {
    let record = after(10, Faults::default());
    let asked: Vec<_> = record.playlists.iter().filter(|seen| seen.kind == Kind::Video).collect();
    for pair in asked.windows(2) {
        let (msn, part) = pair[0].last_part.unwrap();
        let next = if pair[0].last_msn == Some(msn) { (msn + 1, Some(0)) } else { (msn, Some(part + 1)) };
        assert_eq!(pair[1].asked, Some(next));
        assert!(pair[1].took > ms(300), "{:?}", pair[1].took);
    }
}

#[test]
fn a_player_that_fetches_hints_gets_parts_earlier_or_goes_on_without() {
    let mut world = World::new(1);
    world.host("edge", live(Faults::default()));
    let settings = Settings { fetches_hints: true, ..Settings::hls_js() };
    let viewer = world.viewer("viewer", Viewer::with(URL, settings));
    world.run_for(secs(20));
    Checks::unharmed(ms(700)).demand(&world);
    // This server does not hold requests for hinted parts.
    assert!(world.watch(viewer).record().answers[&404] > 5);
    assert_eq!(world.watch(viewer).record().stalls, []);
}

#[test]
fn a_late_part_stalls_and_playing_goes_on() {
    let record = after(40, Faults { late: Some((48, 6)), ..Faults::default() });
    assert_eq!(record.fatal, None);
    // After it the player is as late as the latest part, which takes a few more milliseconds to find out.
    let mut lengths = record.stalls.iter().map(|stall| stall.until.unwrap().since(stall.from));
    let length = lengths.next().unwrap();
    assert!(lengths.all(|short| short < ms(10)), "{:?}", record.stalls);
    assert!((ms(500)..ms(3_000)).contains(&length), "{length:?}");
    let (mut world, ..) = watch(1, Faults { late: Some((48, 6)), ..Faults::default() });
    world.run_for(secs(40));
    assert_eq!(Checks::unharmed(secs(4)).verify(&world), Ok(()));
    assert_eq!(Checks::unharmed(secs(2)).verify(&world).unwrap_err().rule, "parts keep arriving");
}

#[test]
fn a_missing_part_is_fatal_and_an_overloaded_server_is_asked_again() {
    let record = after(40, Faults { missing: Some((48, 404)), ..Faults::default() });
    let (_, fatal) = record.fatal.unwrap();
    assert!(matches!(fatal, Fatal::MediaLoad(Kind::Video, _, Failure::Status(404))), "{fatal}");

    let (mut world, _, viewer) = watch(1, Faults { missing: Some((48, 503)), ..Faults::default() });
    world.run_for(secs(60));
    let record = world.watch(viewer).record();
    // After 1, 2 and 4 s more; then the playlist has moved on and the player starts anew behind it.
    assert_eq!(record.answers[&503], 4);
    assert!(has(record, |t| matches!(t, Trouble::LeftBehind { .. })));
    assert_eq!(record.fatal, None);
}

#[test]
fn giving_up_is_caught() {
    let (mut world, ..) = watch(1, Faults { missing: Some((48, 404)), ..Faults::default() });
    world.run_for(secs(20));
    assert_eq!(Checks::safety().verify(&world), Ok(()));
    let error = Checks::unharmed(secs(100)).verify(&world).unwrap_err();
    assert_eq!(error.rule, "no viewer gives up");
}

#[test]
fn numbers_that_go_back_are_caught() {
    let (mut world, _, viewer) = watch(1, Faults { back: Some((48, 3)), ..Faults::default() });
    world.run_for(secs(20));
    assert!(has(world.watch(viewer).record(), |t| matches!(t, Trouble::SequenceWentBack { .. })));
    let error = Checks::safety().verify(&world).unwrap_err();
    assert_eq!(error.rule, "media sequence numbers never go back");
}

#[test]
fn changed_bytes_are_caught_across_servers() {
    for (salt, ok) in [(0, true), (1, false)] {
        let (mut world, ..) = watch(1, Faults::default());
        world.host("backup", live(Faults { salt, ..Faults::default() }));
        world.viewer("second", Viewer::new("http://backup:8080/live.m3u8"));
        world.run_for(secs(20));
        let same = OneContentPerNumber::across_servers();
        let verdict = Checks::none().with(same).verify(&world);
        assert_eq!(verdict.is_ok(), ok, "{verdict:?}");
        assert_eq!(Checks::safety().verify(&world), Ok(()), "each server by itself is right");
    }
}

#[test]
fn media_that_is_not_as_it_was_made_is_caught() {
    let found = |wrong| {
        let faults =
            Faults { wrong: Some((if wrong == Wrong::Config { 0 } else { 48 }, wrong)), ..Faults::default() };
        let (mut world, _, viewer) = watch(1, faults);
        world.run_for(secs(20));
        let error = Checks::safety().verify(&world).unwrap_err();
        assert_eq!(error.rule, "frames arrive as they were made", "{wrong:?}");
        world.watch(viewer).record().troubles[0].1.clone()
    };
    let damage = |wrong| match found(wrong) {
        Trouble::Damaged { kind, what, .. } => (kind, what),
        other => panic!("{wrong:?}: {other:?}"),
    };
    let mistiming = |wrong| match found(wrong) {
        Trouble::Mistimed { kind, what, .. } => (kind, what),
        other => panic!("{wrong:?}: {other:?}"),
    };
    assert_eq!(damage(Wrong::Byte), (Kind::Video, Damage::Byte(148)));
    assert_eq!(damage(Wrong::Cut), (Kind::Video, Damage::Length { is: 199, was: 200 }));
    assert_eq!(damage(Wrong::Units), (Kind::Video, Damage::Units));
    assert_eq!(damage(Wrong::Stray), (Kind::Video, Damage::Stray(6)));
    assert_eq!(damage(Wrong::Keys).1, Damage::Key);
    assert_eq!(damage(Wrong::Config), (Kind::Video, Damage::Config));
    assert!(matches!(mistiming(Wrong::Moved), (_, Mistiming::Distance { us: 40_000, .. })));
    assert!(matches!(mistiming(Wrong::Composition).1, Mistiming::Composition { us: -33_333, .. }));
    assert!(matches!(mistiming(Wrong::Sound(30)), (Kind::Audio, Mistiming::Distance { us: 30_000, .. })));
}

#[test]
fn tracks_that_were_never_in_step_are_caught() {
    let record = after(10, Faults { wrong: Some((0, Wrong::Sound(-60))), ..Faults::default() });
    assert!(has(&record, |t| matches!(t, Trouble::Mistimed { what: Mistiming::OutOfStep { .. }, .. })));
    assert!(record.troubles.len() <= 2, "each track says it once: {:?}", record.troubles);
}

#[test]
fn stale_parts_are_caught() {
    for (stale_ms, ok) in [(0, true), (400, false)] {
        let (mut world, ..) = watch(1, Faults { stale_ms, ..Faults::default() });
        world.run_for(secs(20));
        let verdict = Checks::none().with(PartsAreFresh::within(ms(300))).verify(&world);
        assert_eq!(verdict.is_ok(), ok, "{verdict:?}");
    }
}

#[test]
fn wrong_dates_are_caught() {
    for (late_ms, ok) in [(0, true), (99, true), (-102, false), (102, false)] {
        let (mut world, _, viewer) = watch(1, Faults { dated_ms: Some(late_ms), ..Faults::default() });
        world.run_for(secs(20));
        let verdict = Checks::none().with(DatesAreTrue::within(ms(100))).verify(&world);
        assert_eq!(verdict.is_ok(), ok, "{verdict:?}");
        let dated = world.watch(viewer).record().parts.iter().filter(|part| part.date_off_us.is_some());
        assert!(dated.count() > 10);
    }
}

#[test]
fn another_url_for_a_number_is_fatal() {
    let record = after(20, Faults { renamed_from: Some(48), ..Faults::default() });
    assert!(matches!(record.fatal.unwrap().1, Fatal::SequenceMismatch { .. }));
}

#[test]
fn another_discontinuity_counter_is_fatal() {
    let record = after(20, Faults { miscounts_from: Some(48), ..Faults::default() });
    assert!(matches!(record.fatal.unwrap().1, Fatal::DiscontinuityMismatch { .. }));
}

#[test]
fn a_discontinuity_is_played_over() {
    for seconds in [-7, 3_600] {
        let record = after(40, Faults { discontinuity: Some((48, seconds)), ..Faults::default() });
        assert_eq!(record.fatal, None);
        assert_eq!(record.stalls, []);
        assert_eq!(record.troubles, []);
        assert!(record.parts.last().unwrap().discontinuity > record.parts[0].discontinuity);
    }
}

#[test]
fn lost_media_is_seen_and_skipped() {
    let record = after(40, Faults { hole: Some((48, 3)), ..Faults::default() });
    assert!(has(&record, |t| matches!(t, Trouble::Hole { us: 1_500_000, .. })));
    assert!(has(&record, |t| matches!(t, Trouble::FramesLost { kind: Kind::Video, count: 45, .. })));
    // An odd number of parts is missing: the key frames are not where the playlist says.
    assert!(has(&record, |t| matches!(t, Trouble::BrokenStart { .. })));
    assert!(has(&record, |t| matches!(t, Trouble::FalselyIndependent { .. })));
    assert_eq!(record.jumps.len(), 1);
    assert_eq!(record.fatal, None);

    let record = after(40, Faults { hole: Some((48, 4)), ..Faults::default() });
    assert!(!has(&record, |t| matches!(t, Trouble::BrokenStart { .. } | Trouble::FalselyIndependent { .. })));
}

#[test]
fn pictures_that_cannot_be_decoded_are_caught() {
    for (missing, ok) in [(4, true), (3, false)] {
        let (mut world, ..) = watch(1, Faults { hole: Some((48, missing)), ..Faults::default() });
        world.run_for(secs(40));
        let verdict = Checks::none().with(PicturesCanBeDecoded::default()).verify(&world);
        assert_eq!(verdict.is_ok(), ok, "{verdict:?}");
    }
}

#[test]
fn a_server_without_a_stream_is_fatal() {
    let mut world = World::new(1);
    world.host("edge", live(Faults::default()));
    let viewer = world.viewer("viewer", Viewer::new("http://edge:8080/nothing.m4s"));
    let nobody = world.viewer("nobody", Viewer::new("http://edge:9999/live.m3u8"));
    world.run_for(secs(5));
    let fatal = |host| world.watch(host).record().fatal.clone().map(|(_, why)| why);
    assert_eq!(fatal(viewer), Some(Fatal::MasterLoad(Failure::Status(404))));
    assert_eq!(fatal(nobody), Some(Fatal::MasterLoad(Failure::Network(CloseReason::Refused))));
}

#[test]
fn a_frozen_server_is_waited_for_and_then_given_up() {
    let (mut world, edge, viewer) = watch(1, Faults::default());
    world.run_for(secs(10));
    world.pause(edge);
    world.run_for(secs(5));
    world.resume(edge);
    world.run_for(secs(15));
    let record = world.watch(viewer).record();
    assert_eq!(record.fatal, None);
    assert!(record.stalled(world.now()) > secs(2));
    world.pause(edge);
    world.run_for(secs(60));
    let (at, fatal) = world.watch(viewer).record().fatal.clone().unwrap();
    assert!(matches!(fatal, Fatal::PlaylistLoad(_, Failure::TimedOut)), "{fatal}");
    // Ten seconds until the first byte, then two more tries of ten seconds.
    assert!((59..=60).contains(&(at.as_micros() / 1_000_000)), "{at:?}");
}

#[test]
fn a_crashed_server_resets_and_a_restarted_one_would_be_asked_again() {
    let (mut world, edge, viewer) = watch(1, Faults::default());
    world.run_for(secs(10));
    world.crash(edge, Crash::Reset);
    world.run_for(secs(1));
    let (_, fatal) = world.watch(viewer).record().fatal.clone().unwrap();
    // The browser tried a new connection before it told the player.
    assert!(matches!(fatal, Fatal::PlaylistLoad(_, Failure::Network(CloseReason::Refused))), "{fatal}");
    world.run_for(secs(5));
    assert_eq!(world.watch(viewer).record().stalls.len(), 1);
}

#[test]
fn a_cut_of_some_seconds_is_survived() {
    let (mut world, edge, viewer) = watch(1, Faults::default());
    world.run_for(secs(10));
    world.partition(edge, viewer);
    world.run_for(secs(4));
    world.heal(edge, viewer);
    world.run_for(secs(20));
    assert_eq!(world.watch(viewer).record().fatal, None);
    assert_eq!(Checks::safety().verify(&world), Ok(()));
}

#[test]
fn a_request_that_took_too_long_is_repeated_on_a_new_connection() {
    let (mut world, edge, viewer) = watch(1, Faults::default());
    world.run_for(secs(10));
    world.partition(edge, viewer);
    world.run_for(secs(8));
    world.heal(edge, viewer);
    world.run_for(secs(4));
    let record = world.watch(viewer).record();
    assert_eq!(record.fatal, None);
    // Asked at 9.5 s, given up ten seconds later, answered at once; a retransmission would come at 22.6 s.
    let next = record.playlists.iter().find(|seen| seen.at.as_micros() > 10_100_000).unwrap();
    assert!((19_000_000..20_600_000).contains(&next.at.as_micros()), "{:?}", next.at);
}

#[test]
fn a_clock_step_of_the_server_does_not_matter_to_the_viewer() {
    let (mut world, edge, viewer) = watch(1, Faults::default());
    world.run_for(secs(10));
    world.step_clock(edge, -7_200_000_000);
    world.step_clock(viewer, 7_200_000_000);
    world.run_for(secs(20));
    Checks::unharmed(ms(600)).demand(&world);
}

#[test]
fn a_prober_asks_and_gives_up() {
    let mut world = World::new(1);
    let edge = world.host("edge", live(Faults::default()));
    let prober = world.prober("prober");
    world.run_for(secs(1));
    let there = world.get(prober, URL);
    let waiting = world.get(prober, "http://edge:8080/v.m3u8?_HLS_msn=200");
    world.run_for(secs(1));
    assert_eq!(world.answer(prober, there).unwrap().status, Ok(http::StatusCode::OK));
    assert!(world.answer(prober, waiting).is_none());
    world.abandon(prober, waiting);
    world.run_for(secs(300));
    assert!(world.answer(prober, waiting).is_none());
    world.crash(edge, Crash::Fin);
    let refused = world.get(prober, URL);
    world.run_for(secs(1));
    assert_eq!(world.answer(prober, refused).unwrap().status, Err(CloseReason::Refused));
}

#[test]
fn one_seed_is_one_run() {
    let run = |seed| {
        let (mut world, edge, _) = watch(seed, Faults::default());
        world.run_for(secs(10));
        world.pause(edge);
        world.run_for(secs(2));
        world.resume(edge);
        world.run_for(secs(10));
        world.trace_hash()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
