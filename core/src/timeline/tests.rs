use core::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Feed, Timeline};
use crate::config::TimestampMode;
use crate::event::Joined;
use crate::limits::HELD_BYTES_MAX;
use crate::media::{Packet, Timebase, Timestamp, TrackId};
use crate::time::{Now, Time, Wall};

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

/// Frame `n` of one encoder: 25 fps, a key frame each second, as an origin sends it whose clock started `shift`
/// milliseconds later.
fn frame(n: i64, shift: i64) -> Packet {
    let key = n % 25 == 0;
    let size = if key { 2_000 } else { 300 };
    packet(VIDEO, n * 40 - shift, key, payload(n, size))
}

fn packet(track: TrackId, ms: i64, key: bool, data: Bytes) -> Packet {
    let dts = Timestamp::new(ms, Timebase::MILLIS);
    Packet { track, dts, pts: dts, key, data }
}

fn payload(n: i64, size: usize) -> Bytes {
    n.to_be_bytes().into_iter().cycle().take(size).collect()
}

fn at(ms: u64) -> Now {
    Now { mono: Time::from_micros(ms * 1_000), wall: Wall::from_micros(1_700_000_000_000_000) }
}

fn millis(packets: &[Packet]) -> Vec<i64> {
    packets.iter().map(|packet| packet.dts.ticks()).collect()
}

/// A timeline onto which one origin has delivered frames up to `last`, each at its time.
fn playing(last: i64) -> Timeline {
    let mut timeline = Timeline::new(TimestampMode::ZeroBased);
    play(&mut timeline, (0..=last).map(|n| (n as u64 * 40, frame(n, -5_000))));
    timeline
}

/// Lets one source deliver packets, each at its millisecond.
fn play(timeline: &mut Timeline, packets: impl Iterator<Item = (u64, Packet)>) {
    let mut feed = Feed::new(Some(VIDEO));
    for (ms, packet) in packets {
        feed.push(timeline, at(ms), packet);
        feed.handle_timeout(timeline, at(ms + 10));
    }
}

#[test]
fn the_first_source_starts_at_its_first_key_frame_and_at_zero() {
    let mut timeline = Timeline::new(TimestampMode::ZeroBased);
    let mut feed = Feed::new(Some(VIDEO));
    for n in 20..=26 {
        assert!(feed.push(&mut timeline, at(0), frame(n, 0)).packets.is_empty());
    }
    let passed = feed.handle_timeout(&mut timeline, at(10));
    assert_eq!(passed.joined, Some(Joined::First));
    assert_eq!(millis(&passed.packets), [0, 40]);
}

#[test]
fn a_stream_with_one_source_does_not_wait_for_a_burst() {
    let mut timeline = Timeline::forgetful(TimestampMode::ZeroBased);
    let mut feed = Feed::new(Some(VIDEO));
    assert!(feed.push(&mut timeline, at(0), frame(24, 0)).packets.is_empty());
    assert_eq!(millis(&feed.push(&mut timeline, at(0), frame(25, 0)).packets), [0]);
}

#[test]
fn the_past_of_a_silent_stream_is_not_played_again() {
    let mut timeline = playing(60);
    for (round, clock) in [10_000, 13_000, 16_000, 19_000].into_iter().enumerate() {
        let mut other = Feed::new(Some(VIDEO));
        let mut out = Vec::new();
        for n in 0..=60 {
            out.extend(other.push(&mut timeline, at(clock), frame(n, round as i64 * 777)).packets);
        }
        out.extend(other.handle_timeout(&mut timeline, at(clock + 10)).packets);
        assert!(out.is_empty(), "{:?}", millis(&out));
    }
}

#[test]
fn a_history_fills_the_hole_of_a_long_silence_as_far_as_it_goes() {
    let mut timeline = playing(50);
    let mut feed = Feed::new(Some(VIDEO));
    for n in 1_000..=1_110 {
        feed.push(&mut timeline, at(10_000), frame(n, 0));
    }
    let passed = feed.handle_timeout(&mut timeline, at(10_010));
    assert_eq!(passed.joined, Some(Joined::KeyFrame));
    assert_eq!(passed.packets.len(), 111, "from its oldest key frame on");
    assert_eq!(millis(&passed.packets)[110], 10_010);
}

#[test]
fn the_modes_place_the_start() {
    for (mode, wait, place) in [
        (TimestampMode::ZeroBased, 10, 0),
        (TimestampMode::Original, 10, 1_000),
        (TimestampMode::SystemClock, 1_000, 1_700_000_000_000),
    ] {
        let mut timeline = Timeline::new(mode);
        let mut feed = Feed::new(Some(VIDEO));
        feed.push(&mut timeline, at(0), frame(25, 0));
        assert_eq!(feed.poll_timeout().map(|due| due.at), Some(at(wait).mono));
        let passed = feed.handle_timeout(&mut timeline, at(wait));
        assert_eq!(millis(&passed.packets), [place], "{mode:?}");
    }
}

#[test]
fn a_clock_that_has_begun_anew_shows_what_is_left_of_the_wall_clock() {
    const WRAPS_US: i64 = (1 << 32) * 1_000;
    // The clock at which these tests begin, and a little before it: what is left of it in 32 bits.
    let wall_ms = 1_700_000_000_000_i64;
    for (ticks, place) in [
        ((wall_ms - 3_000) % (1 << 32), wall_ms - 3_000),
        ((wall_ms + 80_000_000) % (1 << 32), wall_ms + 80_000_000),
        // This one counts from its start.
        (40, 40),
    ] {
        let mut timeline = Timeline::forgetful(TimestampMode::Original).wrapping_every(WRAPS_US);
        let mut feed = Feed::new(Some(VIDEO));
        let passed = feed.push(&mut timeline, at(0), packet(VIDEO, ticks, true, payload(1, 600)));
        assert_eq!(millis(&passed.packets), [place]);
        assert_eq!(timeline.doubt(), None);
    }
}

#[test]
fn an_origin_with_the_same_media_goes_on_at_the_next_access_unit() {
    let mut timeline = playing(60);
    let mut feed = Feed::new(Some(VIDEO));
    let mut out = Vec::new();
    for n in 50..=70 {
        let passed = feed.push(&mut timeline, at(2_500), frame(n, 77_000));
        if n == 50 {
            assert_eq!(passed.joined, Some(Joined::Exact));
        }
        out.extend(passed.packets);
    }
    assert_eq!(millis(&out), (61..=70).map(|n| n * 40).collect::<Vec<_>>());
}

#[test]
fn an_origin_that_is_behind_repeats_nothing() {
    let mut timeline = playing(60);
    let mut feed = Feed::new(Some(VIDEO));
    for n in 25..=60 {
        assert!(feed.push(&mut timeline, at(2_500), frame(n, 0)).packets.is_empty());
    }
    assert_eq!(millis(&feed.push(&mut timeline, at(2_600), frame(61, 0)).packets), [61 * 40]);
}

#[test]
fn an_unknown_origin_is_joined_at_the_time_that_has_passed() {
    let mut timeline = playing(50);
    let mut feed = Feed::new(Some(VIDEO));
    for n in 1_000..=1_030 {
        let passed = feed.push(&mut timeline, at(5_000), frame(n, 0));
        assert!(passed.packets.is_empty() && passed.joined.is_none());
    }
    let due = feed.poll_timeout().expect("a key frame is held").at;
    assert_eq!(due, Time::from_micros(5_010_000));
    let passed = feed.handle_timeout(&mut timeline, at(5_010));
    assert_eq!(passed.joined, Some(Joined::KeyFrame));
    // Frame 50 was at 2000 ms and came at 2000 ms; at 5010 ms the live edge is at 5010, and the key frame 1000 is
    // thirty frames before it.
    assert_eq!(millis(&passed.packets), (0..=30).map(|n| 3_810 + n * 40).collect::<Vec<_>>());
}

#[test]
fn an_unknown_origin_never_steps_back() {
    let mut timeline = playing(50);
    let mut feed = Feed::new(Some(VIDEO));
    for n in 1_000..=1_020 {
        feed.push(&mut timeline, at(2_001), frame(n, 0));
    }
    let passed = feed.handle_timeout(&mut timeline, at(2_050));
    assert_eq!(millis(&passed.packets)[0], 2_040);
}

#[test]
fn without_a_key_frame_nothing_is_joined() {
    let mut timeline = playing(50);
    let mut feed = Feed::new(Some(VIDEO));
    for n in 1_001..1_025 {
        feed.push(&mut timeline, at(2_100), frame(n, 0));
    }
    assert_eq!(feed.poll_timeout(), None);
}

#[test]
fn pictures_that_repeat_themselves_prove_nothing() {
    let still = |ms, key| packet(VIDEO, ms, key, payload(7, 900));
    let mut timeline = Timeline::new(TimestampMode::ZeroBased);
    play(&mut timeline, (0..50).map(|n| (n * 40, still(n as i64 * 40, n % 25 == 0))));
    let mut other = Feed::new(Some(VIDEO));
    assert!(other.push(&mut timeline, at(2_010), still(90_000, true)).joined.is_none());
}

/// A programme of eight seconds that loops: every frame is there again and again.
fn looped(n: i64, shift: i64) -> Packet {
    let key = n % 25 == 0;
    packet(VIDEO, n * 40 - shift, key, payload(n % 200, if key { 2_000 } else { 300 }))
}

#[test]
fn a_programme_that_loops_is_joined_where_the_clock_says() {
    for (last, silent) in [(320, 0), (320, 3_000), (900, 40), (900, 2_900)] {
        let mut timeline = Timeline::new(TimestampMode::ZeroBased);
        play(&mut timeline, (0..=last).map(|n| (n as u64 * 40, looped(n, 0))));
        let live = last + silent / 40;
        let clock = (last * 40 + silent) as u64;
        let mut other = Feed::new(Some(VIDEO));
        let mut out = Vec::new();
        for n in (live - 120) / 25 * 25..=live {
            out.extend(other.push(&mut timeline, at(clock), looped(n, 54_321)).packets);
        }
        let passed = other.handle_timeout(&mut timeline, at(clock + 10));
        out.extend(passed.packets);
        out.extend(other.push(&mut timeline, at(clock + 40), looped(live + 1, 54_321)).packets);
        assert_eq!(millis(&out), (last + 1..=live + 1).map(|n| n * 40).collect::<Vec<_>>(), "{silent}");
    }
}

#[test]
fn the_repetition_of_a_loop_is_not_taken_for_the_past() {
    let mut timeline = Timeline::new(TimestampMode::ZeroBased);
    play(&mut timeline, (0..=320).map(|n| (n * 40, looped(n as i64, 0))));
    // An origin without a history: its media begins five seconds after the loss, at a key frame.
    let mut other = Feed::new(Some(VIDEO));
    let first = 450;
    let mut joined = None;
    let mut out = Vec::new();
    for n in 0..=10 {
        let clock = 18_000 + n * 40;
        let mut passed = other.push(&mut timeline, at(clock), looped(first + n as i64, 0));
        let late = other.handle_timeout(&mut timeline, at(clock + 10));
        joined = joined.or(passed.joined).or(late.joined);
        passed.packets.extend(late.packets);
        out.extend(millis(&passed.packets));
    }
    assert_eq!(joined, Some(Joined::KeyFrame));
    assert_eq!(out.len(), 11);
    assert!((out[0] - 18_000).abs() < 50, "{out:?}");
}

#[test]
fn the_audio_of_a_recognised_origin_goes_on_too() {
    let sound = |n: i64, shift| packet(AUDIO, n * 21 - shift, true, payload(n + 10_000, 150));
    let mut timeline = Timeline::new(TimestampMode::ZeroBased);
    let both = |n: i64| [(n as u64 * 40, frame(n, 0)), (n as u64 * 40, sound(2 * n, 0))];
    play(&mut timeline, (0..50).flat_map(both));
    let mut other = Feed::new(Some(VIDEO));
    let mut out = Vec::new();
    for n in 25..55 {
        out.extend(other.push(&mut timeline, at(2_000), frame(n, -333)).packets);
        out.extend(other.push(&mut timeline, at(2_000), sound(2 * n, -333)).packets);
    }
    let audio: Vec<i64> = out.iter().filter(|p| p.track == AUDIO).map(|p| p.dts.ticks()).collect();
    assert_eq!(audio, (50..55).map(|n| 2 * n * 21).collect::<Vec<_>>());
}

#[test]
fn a_source_that_starts_again_is_joined_again() {
    let mut timeline = playing(50);
    let mut feed = Feed::new(Some(VIDEO));
    for n in 25..=60 {
        feed.push(&mut timeline, at(2_400), frame(n, 0));
    }
    assert!(feed.is_live());
    feed.push(&mut timeline, at(2_500), packet(VIDEO, 0, true, payload(99, 2_000)));
    assert!(!feed.is_live());
    let passed = feed.handle_timeout(&mut timeline, at(2_520));
    assert_eq!(passed.joined, Some(Joined::KeyFrame));
    assert!(passed.packets[0].dts.ticks() > 2_400);
}

#[test]
fn a_source_that_sets_its_clock_forwards_leaves_no_hole_in_which_nothing_is_missing() {
    let mut timeline = Timeline::forgetful(TimestampMode::ZeroBased);
    let mut feed = Feed::new(Some(VIDEO));
    let mut out = Vec::new();
    for n in 0..=100 {
        let ahead_ms = if n <= 30 { 0 } else { 37_000 };
        out.extend(feed.push(&mut timeline, at(n as u64 * 40), frame(n, -ahead_ms)).packets);
        out.extend(feed.handle_timeout(&mut timeline, at(n as u64 * 40 + 30)).packets);
    }
    // It goes on at its next key frame, where that would have been.
    let there = (0..=30).chain(50..=100).map(|n| n * 40).collect::<Vec<_>>();
    let off = millis(&out).iter().zip(&there).map(|(is, should)| (is - should).abs()).max();
    assert_eq!((out.len(), off.filter(|off| *off <= 40)), (there.len(), off), "{:?}", millis(&out));
}

#[test]
fn a_source_that_was_silent_leaves_the_hole_that_there_is() {
    let mut timeline = Timeline::forgetful(TimestampMode::ZeroBased);
    let mut feed = Feed::new(Some(VIDEO));
    let mut out = Vec::new();
    // The second half comes late, and all at once.
    for (n, clock) in (0..=30).map(|n| (n, n as u64 * 40)).chain((1_000..=1_030).map(|n| (n, 44_000))) {
        out.extend(feed.push(&mut timeline, at(clock), frame(n, 0)).packets);
    }
    assert_eq!(millis(&out), (0..=30).chain(1_000..=1_030).map(|n| n * 40).collect::<Vec<_>>());
}

#[test]
fn a_time_that_cannot_be_meant_does_not_move_the_timeline() {
    let mut timeline = playing(50);
    let mut feed = Feed::new(Some(VIDEO));
    for n in 25..=60 {
        feed.push(&mut timeline, at(2_400), frame(n, 0));
    }
    assert!(
        feed.push(&mut timeline, at(2_440), packet(VIDEO, i64::MAX, false, payload(7, 300)))
            .packets
            .is_empty()
    );
    for n in 62..=75 {
        assert!(feed.push(&mut timeline, at(2_500), frame(n, 0)).packets.is_empty());
    }
    let passed = feed.handle_timeout(&mut timeline, at(2_520));
    assert_eq!(passed.joined, Some(Joined::KeyFrame));
    assert!((2_400..4_000).contains(&passed.packets[0].dts.ticks()), "{:?}", passed.packets[0].dts);
}

#[test]
fn what_is_held_of_a_source_without_a_place_is_bounded() {
    let mut timeline = playing(50);
    let mut feed = Feed::new(Some(VIDEO));
    let big = |n: i64, key| packet(VIDEO, n * 40, key, payload(n, 1 << 20));
    // Without a key frame: only the newest are kept.
    for n in 1_000..1_100 {
        assert!(feed.push(&mut timeline, at(2_100), big(n, false)).packets.is_empty());
    }
    assert_eq!(feed.poll_timeout(), None);
    // With one: it is joined before it has more than the bound.
    let joined = (1_100..1_200).map(|n| feed.push(&mut timeline, at(2_100), big(n, n == 1_100)));
    let first = joined.filter(|passed| passed.joined.is_some()).map(|passed| passed.packets.len()).next();
    assert!(first.is_some_and(|count| count <= HELD_BYTES_MAX >> 20), "{first:?}");
}

proptest! {
    /// No timestamp makes the arithmetic overflow, whatever mode and clock.
    #[test]
    fn any_timestamp_is_placed_or_left_out(
        times in proptest::collection::vec((any::<i64>(), any::<bool>()), 1..40),
        mode in 0usize..3,
    ) {
        let modes = [TimestampMode::ZeroBased, TimestampMode::Original, TimestampMode::SystemClock];
        let mut timeline = Timeline::new(modes[mode]);
        let mut clock = 0;
        for chunk in times.chunks(7) {
            let mut feed = Feed::new(Some(VIDEO));
            for (ticks, key) in chunk {
                clock += 7;
                feed.push(&mut timeline, at(clock), packet(VIDEO, *ticks, *key, payload(clock as i64, 600)));
                if feed.poll_timeout().is_some_and(|due| due.at <= at(clock).mono) {
                    feed.handle_timeout(&mut timeline, at(clock));
                    prop_assert!(feed.poll_timeout().is_none(), "what was due is done");
                }
            }
        }
    }

    /// Whatever a second source sends, every track's time goes forward only.
    #[test]
    fn time_never_goes_back(
        frames in proptest::collection::vec((0i64..400, -10_000i64..10_000, 0u64..50), 1..200),
        wait in 0u64..5_000,
    ) {
        let mut timeline = playing(60);
        let mut last = 60 * 40;
        let mut feed = Feed::new(Some(VIDEO));
        let mut clock = 2_400 + wait;
        for (n, shift, pause) in frames {
            clock += pause;
            let mut passed = feed.push(&mut timeline, at(clock), frame(n, shift));
            if feed.poll_timeout().is_some_and(|due| due.at <= at(clock).mono + Duration::from_millis(1)) {
                passed.packets.extend(feed.handle_timeout(&mut timeline, at(clock + 1)).packets);
            }
            for packet in passed.packets {
                prop_assert!(packet.dts.ticks() > last);
                last = packet.dts.ticks();
            }
        }
    }
}

#[test]
fn a_source_that_is_late_is_not_joined_while_another_one_plays_until_it_has_caught_up() {
    // Twenty seconds of key frames are behind; only the last of them are in the memory of all access units.
    let mut timeline = Timeline::new(TimestampMode::ZeroBased);
    let mut main = Feed::new(Some(VIDEO));
    let mut late = Feed::new(Some(VIDEO));
    let mut clock = 0;
    let mut play = |timeline: &mut Timeline, clock: &mut u64, n: i64| {
        main.push(timeline, at(*clock), frame(n, 0));
        main.handle_timeout(timeline, at(*clock + 10));
        *clock += 40;
    };
    for n in 0..=2_000 {
        play(&mut timeline, &mut clock, n);
    }
    // It brings what is 40 seconds old, and goes on from there.
    let mut out = Vec::new();
    for n in 1_000..=1_100 {
        out.extend(late.push(&mut timeline, at(clock), frame(n, 0)).packets);
    }
    out.extend(late.handle_timeout(&mut timeline, at(clock + 10)).packets);
    for n in 2_001..=2_010 {
        play(&mut timeline, &mut clock, n);
        out.extend(late.push(&mut timeline, at(clock), frame(n - 900, 0)).packets);
        out.extend(late.handle_timeout(&mut timeline, at(clock + 10)).packets);
    }
    assert!(out.is_empty() && !late.is_live(), "{:?}", millis(&out));
    // What had been kept for it comes at once.
    let mut joined = None;
    for n in 1_111..=2_020 {
        let passed = late.push(&mut timeline, at(clock), frame(n, 0));
        joined = joined.or(passed.joined);
        out.extend(passed.packets);
    }
    assert_eq!(joined, Some(Joined::Exact));
    assert_eq!(millis(&out), (2_011..=2_020).map(|n| n * 40).collect::<Vec<_>>());
}

#[test]
fn a_source_that_is_late_is_better_than_none() {
    let mut timeline = playing(500);
    let mut late = Feed::new(Some(VIDEO));
    for n in 0..=50 {
        late.push(&mut timeline, at(25_000), frame(n, 0));
    }
    for n in 51..=60 {
        late.push(&mut timeline, at(25_000 + (n as u64 - 50) * 40), frame(n, 0));
    }
    let passed = late.handle_timeout(&mut timeline, at(25_500));
    assert_eq!(passed.joined, Some(Joined::KeyFrame));
}

/// The other origin was stopped together with its encoder's connection, and delivers what had been kept for it: it is
/// five seconds behind and will have caught up in a moment.
#[test]
fn a_source_that_is_behind_after_a_silence_goes_on_where_the_timeline_ends() {
    let mut timeline = playing(100);
    let mut late = Feed::new(Some(VIDEO));
    late.expect_burst(126);
    let mut out = Vec::new();
    for n in 75..=200 {
        out.extend(late.push(&mut timeline, at(13_000), frame(n, 77_000)).packets);
    }
    for n in 201..=325 {
        out.extend(late.push(&mut timeline, at(13_040), frame(n, 77_000)).packets);
    }
    assert_eq!(millis(&out), (101..=325).map(|n| n * 40).collect::<Vec<_>>());
}

/// The same of a programme that loops: it is not behind, only what it shows has been there before.
#[test]
fn a_loop_is_not_behind_after_a_silence() {
    for silent in [12_000, 13_000] {
        let mut timeline = Timeline::new(TimestampMode::ZeroBased);
        play(&mut timeline, (0..=320).map(|n| (n * 40, looped(n as i64, 0))));
        let live = 320 + silent as i64 / 40;
        let mut other = Feed::new(Some(VIDEO));
        let clock = 12_800 + silent;
        for n in (live - 120) / 25 * 25..=live {
            other.push(&mut timeline, at(clock), looped(n, 54_321));
        }
        // What it shows is nothing new, so it has to prove that it is alive.
        let mut out = Vec::new();
        for n in 1..=10 {
            let clock = clock + 40 * n;
            out.extend(other.push(&mut timeline, at(clock), looped(live + n as i64, 54_321)).packets);
            out.extend(other.handle_timeout(&mut timeline, at(clock + 10)).packets);
        }
        let last = millis(&out).last().copied().expect("it is joined");
        assert!((last - clock as i64 - 400).abs() < 300, "{silent}: {last}");
    }
}

#[test]
fn a_burst_that_says_how_long_it_is_is_waited_for_however_it_comes() {
    let mut timeline = Timeline::new(TimestampMode::ZeroBased);
    let mut feed = Feed::new(Some(VIDEO));
    feed.expect_burst(100);
    // Fifty packets, and the others two round trips later.
    for n in 0..99 {
        let clock = if n < 50 { 0 } else { 80 };
        assert!(feed.push(&mut timeline, at(clock), frame(n, 0)).packets.is_empty());
        assert!(feed.handle_timeout(&mut timeline, at(clock + 40)).packets.is_empty());
    }
    let passed = feed.push(&mut timeline, at(80), frame(99, 0));
    assert_eq!((passed.joined, passed.packets.len()), (Some(Joined::First), 100));
}

#[test]
fn an_announced_burst_that_never_ends_is_not_waited_for() {
    let mut timeline = Timeline::new(TimestampMode::ZeroBased);
    let mut feed = Feed::new(Some(VIDEO));
    feed.expect_burst(u32::MAX);
    for n in 0..30 {
        feed.push(&mut timeline, at(0), frame(n, 0));
    }
    assert_eq!(feed.handle_timeout(&mut timeline, at(999)).joined, None);
    assert_eq!(feed.handle_timeout(&mut timeline, at(1_000)).joined, Some(Joined::First));
}

#[test]
fn a_burst_that_comes_in_pieces_is_joined_where_its_end_is_live() {
    // The stream was lost at 2.4 s; the other origin's burst, known to nobody, begins at 4 s and ends at 8 s.
    let mut timeline = playing(60);
    let mut feed = Feed::new(Some(VIDEO));
    feed.expect_burst(101);
    let mut out = Vec::new();
    for n in 100..=200 {
        let clock = 8_000 + (n as u64 - 100) / 20 * 40;
        out.extend(feed.push(&mut timeline, at(clock), frame(n, 0)).packets);
        feed.handle_timeout(&mut timeline, at(clock + 39));
    }
    let last = millis(&out).last().copied().unwrap();
    assert!((8_000..=8_250).contains(&last), "{last}");
    assert_eq!(out.len(), 101);
}

#[test]
fn what_came_behind_a_seam_is_not_repeated() {
    // The first origin ends with frame 60. The second one, which keeps no past, goes on with frame 75 and is placed by the
    // clock: earlier or later than that frame belongs. Its last frame is number 90.
    for off_ms in [-400_i64, -120, -17, 0, 17, 120, 400] {
        let big = |n: i64| packet(VIDEO, n * 40, n % 25 == 0, payload(n, 600));
        let mut timeline = Timeline::new(TimestampMode::ZeroBased);
        play(&mut timeline, (0..=60).map(|n| (n as u64 * 40, big(n))));
        let mut second = Feed::new(Some(VIDEO));
        let mut seen = Vec::new();
        for n in 75..=90 {
            let clock = (n * 40 + off_ms) as u64;
            seen.extend(second.push(&mut timeline, at(clock), big(n)).packets);
            seen.extend(second.handle_timeout(&mut timeline, at(clock + 10)).packets);
        }
        assert_eq!(seen.len(), 16);
        let seam_ms = seen[0].dts.ticks() - 75 * 40;
        // The third one has all of it, and four frames more.
        let mut third = Feed::new(Some(VIDEO));
        third.expect_burst(85);
        let mut out = Vec::new();
        for n in 10..=94 {
            out.extend(third.push(&mut timeline, at(94 * 40), big(n)).packets);
        }
        let places: Vec<i64> = (91..=94).map(|n| n * 40 + seam_ms).collect();
        assert_eq!(millis(&out), places, "{off_ms} ms off, a seam of {seam_ms} ms");
    }
}
