//! Two origins and more that are pulled at the same time.

use proptest::prelude::*;

use super::*;

fn hot(hosts: &[&str]) -> Plan {
    Plan { hot_standby: 1, ..plan(hosts) }
}

/// Two origins of one encoder whose clocks are 777 s apart; the second one is in step.
fn in_step() -> Bench {
    let mut bench = Bench::new(hot(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.host("b").shift_ms = 777_000;
    bench.run(3_000);
    assert_eq!(bench.standings(), [('b', Standing::InStep)]);
    bench
}

impl Bench {
    fn standings(&self) -> Vec<(char, Standing)> {
        let of = |state: StandbyState| (state.url.chars().nth(6).expect("a host"), state.standing);
        self.pull.standbys().into_iter().map(of).collect()
    }

    fn covers(&self) -> usize {
        self.events.iter().filter(|(_, event)| matches!(event, Event::StandbyCovers { .. })).count()
    }

    /// The longest time between two frames since `ms`.
    fn longest_gap_since(&self, ms: u64) -> u64 {
        let times = self.packets.iter().map(|(at, _)| *at).filter(|at| *at >= ms);
        times.clone().zip(times.skip(1)).map(|(a, b)| b - a).max().unwrap_or(u64::MAX)
    }
}

#[test]
fn a_standby_takes_over_at_the_very_next_frame() {
    for lag in [0, 5] {
        let mut bench = in_step();
        bench.host("b").lag = lag;
        bench.run(2_000).cut("a", CloseReason::Reset);
        bench.door("a", Door::Refuses).run(2_000);
        assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
        assert!(bench.longest_gap_since(6_000) <= 40 * (lag as u64 + 1), "{lag}");
        if lag == 0 {
            bench.demand_every_frame();
        }
    }
}

#[test]
fn a_lost_origin_comes_back_as_a_standby() {
    let mut bench = in_step();
    bench.cut("a", CloseReason::Eof).door("a", Door::Refuses).run(5_000);
    assert_eq!(bench.standings(), []);
    bench.door("a", PLAYS).run(4_000);
    assert_eq!(bench.standings(), [('a', Standing::InStep)]);
    bench.cut("b", CloseReason::Reset).run(1_000);
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact), ('a', Joined::Exact)]);
    bench.demand_every_frame();
}

#[test]
fn an_origin_that_falls_behind_is_covered_for_and_relieved() {
    let mut bench = in_step();
    bench.host("a").lag = 20;
    bench.run(6_000);
    bench.demand_every_frame();
    assert!(bench.longest_gap_since(6_000) <= 140, "{}", bench.longest_gap_since(6_000));
    assert_eq!(bench.covers(), 1);
    // It is relieved, and stands by in step.
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
    assert_eq!(bench.standings(), [('a', Standing::InStep)]);
}

#[test]
fn an_origin_that_stumbles_is_covered_for_and_not_left() {
    let mut bench = in_step();
    bench.host("a").mute = true;
    bench.run(400);
    bench.host("a").mute = false;
    bench.run(2_000);
    bench.demand_every_frame();
    assert!(bench.longest_gap_since(6_000) <= 140, "{}", bench.longest_gap_since(6_000));
    assert_eq!((bench.covers(), bench.played().len()), (1, 1));
}

#[test]
fn an_origin_that_freezes_is_covered_for_until_it_is_relieved() {
    let mut bench = in_step();
    bench.host("a").mute = true;
    bench.run(5_000);
    bench.demand_every_frame();
    assert!(bench.longest_gap_since(6_000) <= 140, "{}", bench.longest_gap_since(6_000));
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
}

#[test]
fn what_the_active_origin_leaves_out_is_filled() {
    let mut bench = in_step();
    // The standby is ahead, and the active origin loses two frames.
    bench.host("a").lag = 2;
    bench.run(400);
    bench.host("a").lag = 0;
    bench.run(1_000);
    bench.demand_every_frame();
    assert_eq!(bench.played().len(), 1);
}

#[test]
fn other_media_is_never_merged() {
    let mut bench = Bench::new(hot(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.host("b").offset = 1_000_000;
    bench.run(12_000);
    assert_eq!(bench.standings(), [('b', Standing::Apart)]);
    assert!(bench.events.iter().any(|(_, event)| matches!(event, Event::StandbyApart { .. })));
    bench.demand_every_frame();
    // It is there all the same: joined at a key frame without a new connection.
    let lost_at = bench.ms;
    bench.door("a", Door::Refuses).cut("a", CloseReason::Reset).run(100);
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::KeyFrame)]);
    assert!(!bench.dialled_since(lost_at).contains(&"b"));
}

#[test]
fn a_standby_that_goes_its_own_way_is_no_longer_in_step() {
    let mut bench = in_step();
    bench.host("b").offset = 1_000_000;
    bench.host("b").shift_ms -= 40_000_000;
    bench.run(2_000);
    assert_eq!(bench.standings(), [('b', Standing::Apart)]);
    bench.demand_every_frame();
    // And when it carries the same again, it is known again.
    bench.host("b").offset = 0;
    bench.host("b").shift_ms = 3_000;
    bench.run(3_000);
    assert_eq!(bench.standings(), [('b', Standing::InStep)]);
    bench.demand_every_frame();
}

#[test]
fn a_standby_that_sets_its_clock_while_it_covers_shows_no_frame_twice() {
    let mut bench = in_step();
    bench.host("a").mute = true;
    bench.run(400);
    bench.host("b").shift_ms += FRAME_MS as i64;
    bench.run(2_000);
    bench.host("a").mute = false;
    bench.run(1_000);
    let contents = bench.packets.iter().map(|(_, packet)| &packet.data);
    let different: std::collections::BTreeSet<_> = contents.clone().collect();
    assert_eq!(different.len(), contents.count());
}

#[test]
fn going_back_to_a_primary_that_stands_by_costs_nothing() {
    let plan = Plan { failback: true, ..hot(&["a", "b"]) };
    let mut bench = Bench::new(plan, &[("a", Door::Refuses), ("b", PLAYS)]);
    bench.run(3_000).door("a", PLAYS).run(8_000);
    assert_eq!(bench.played(), [('b', Joined::First), ('a', Joined::Exact)]);
    assert_eq!(bench.standings(), [('b', Standing::InStep)]);
    bench.demand_every_frame();
}

#[test]
fn a_standby_that_flaps_is_bounded_work() {
    let mut bench = in_step();
    let before = bench.dials.len();
    for _ in 0..120 {
        bench.run(500).cut("b", CloseReason::Reset);
    }
    let dials = bench.dials.len() - before;
    assert!(dials <= 60, "{dials} dials in a minute");
    bench.demand_every_frame();
}

#[test]
fn every_standby_ends_with_the_stream() {
    let mut bench = in_step();
    bench.pull.stop(bench.now());
    bench.settle();
    assert!(bench.links.is_empty());
    assert_eq!(bench.asked.iter().filter(|(_, what, _)| *what == Application::Stop).count(), 2);
    let mut census = Census::default();
    bench.pull.count(&mut census);
    assert_eq!(census.unfinished_bytes, 0);
}

#[test]
fn two_standbys_are_two() {
    let plan = Plan { hot_standby: 2, ..plan(&["a", "b", "c"]) };
    let mut bench = Bench::new(plan, &[("a", PLAYS), ("b", PLAYS), ("c", PLAYS)]);
    bench.host("c").shift_ms = -5_000;
    bench.run(2_000);
    assert_eq!(bench.standings(), [('b', Standing::InStep), ('c', Standing::InStep)]);
    bench.cut("a", CloseReason::Eof).run(100).cut("b", CloseReason::Eof).run(1_000);
    bench.demand_every_frame();
}

#[test]
fn a_stream_that_moves_takes_its_standbys_along() {
    let plan = Plan { hot_standby: 1, ..ask() };
    let doors = [("a", PLAYS), ("b", PLAYS), ("c", PLAYS)];
    let mut bench = Bench::finding(Ok(urls(&["a", "b"])), plan, &doors);
    bench.run(2_000);
    assert_eq!(bench.standings(), [('b', Standing::InStep)]);
    // The owner is gone from the directory: whoever waited in line is there already.
    bench.moves(&["b", "c"]).run(2_000);
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
    assert_eq!(bench.standings(), [('c', Standing::InStep)]);
    bench.demand_every_frame();
}

/// Something that goes wrong at an origin.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut,
    Lags(i64),
    Mute,
    OtherMedia,
    Shifted,
    Well,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Cut),
        (0..8i64).prop_map(Fault::Lags),
        Just(Fault::Mute),
        Just(Fault::OtherMedia),
        Just(Fault::Shifted),
        Just(Fault::Well),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the second origin does, viewers of the first one see every frame once; whatever both do, time goes on.
    #[test]
    fn one_origin_that_is_well_is_enough(
        faults in prop::collection::vec((any::<bool>(), fault(), 1..40u64), 1..20),
        spares_the_first: bool,
    ) {
        let mut bench = in_step();
        for (first, fault, frames) in faults {
            let name = if first && !spares_the_first { "a" } else { "b" };
            let other_media = bench.host(name).offset != 0;
            match fault {
                Fault::Cut => drop(bench.cut(name, CloseReason::Reset)),
                Fault::Lags(frames) => bench.host(name).lag = frames,
                Fault::Mute => bench.host(name).mute = true,
                Fault::OtherMedia if !other_media => bench.host(name).offset = 1_000_000,
                Fault::OtherMedia => {}
                Fault::Shifted => bench.host(name).shift_ms += FRAME_MS as i64,
                Fault::Well => {
                    let host = bench.host(name);
                    (host.offset, host.lag, host.mute) = (0, 0, false);
                }
            }
            bench.run(frames * FRAME_MS);
        }
        if spares_the_first {
            bench.demand_every_frame();
        }
        let times = bench.packets.iter().map(|(_, packet)| packet.dts);
        prop_assert!(times.clone().zip(times.skip(1)).all(|(a, b)| a < b));
    }
}
