//! Every scenario and every kept tape, played as `cargo xtask sim` plays them, for a few seeds: enough to keep them
//! working. Many seeds are a command of their own.

use std::collections::BTreeSet;
use std::path::Path;

use headwater_scenarios::rules::Rule;
use headwater_scenarios::script::{Script, Timestamps};
use headwater_scenarios::stories::failover;
use headwater_scenarios::stories::many_streams::{self, Fate};
use headwater_scenarios::tape::Tape;
use headwater_scenarios::{play, stories};

const SEEDS: u64 = 2;

#[test]
fn every_scenario_ends_well() {
    let mut hashes = BTreeSet::new();
    for scenario in stories::ALL.iter().filter(|scenario| scenario.one_in == 1) {
        for seed in 1..=SEEDS {
            let report = play(&scenario.script(seed));
            assert!(report.passed(), "{report}");
            assert!(hashes.insert(report.trace_hash), "{}:{seed} is another run told again", scenario.name);
        }
    }
}

/// Every fault of the matrix is felt, and got over.
#[test]
fn every_failover_can_be_measured() {
    for cell in failover::CELLS.iter().filter(|cell| cell.fault != failover::Fault::Nothing) {
        let name = cell.scenario.name;
        let cost = cell.play(1).unwrap_or_else(|broken| panic!("{name}: {broken}")).cost;
        // An edge need not change anything for an encoder that comes back.
        let switched = cost.switch.is_some() || cell.fault == failover::Fault::Encoder;
        assert!(switched && cost.detection <= cost.switch && cost.false_switches == 0, "{name}: {cost:?}");
    }
}

/// Frame by frame, at two origins that began at different times and were both started anew.
#[test]
fn an_hour_is_the_same_at_both_origins() {
    let report = play(&stories::Scenario::named("redundancy-hour").expect("there is one").script(1));
    assert!(report.passed(), "{report}");
}

#[test]
fn what_was_repaired_stays_repaired() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut tapes = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of tapes").flatten() {
        let tape = Tape::read(&entry.path()).unwrap_or_else(|error| panic!("{error}"));
        let report = play(&tape.script);
        assert!(report.passed(), "{}: {report}", entry.path().display());
        tapes += 1;
    }
    assert!(tapes > 0, "there are no tapes");
}

/// A rule that is stricter than what happens is broken: it looks.
#[test]
fn rules_that_are_too_strict_are_broken() {
    let broken = |story: &str, rule: Rule| {
        let mut script = stories::Scenario::named(story).expect("it is listed").script(1);
        script.rules = vec![rule];
        play(&script).broken.expect("nobody can keep that").violation.rule
    };
    let waits = Rule::AnsweredWithin { poller: "poller".to_owned(), ms: 9_000 };
    assert_eq!(broken("mute-edge", waits), "requests are answered in time");
    let most = Rule::Discontinuities { most: 0 };
    assert_eq!(broken("picture-change", most), "a discontinuity stands where something breaks");
}

/// Whatever becomes of the origin of many streams, all of them are switched in time; if one cannot be, that is seen.
#[test]
fn many_streams_are_switched_and_it_is_seen_if_not() {
    for (fate, hot_standby) in [(Fate::Killed, 0), (Fate::Stopped, 0), (Fate::Killed, 1), (Fate::Stopped, 1)]
    {
        let report = play(&many_streams::script(12, fate, hot_standby, 10_000));
        assert!(report.passed(), "{fate:?}, {hot_standby}: {report}");
    }
    let broken = |change: &dyn Fn(&mut Script)| {
        let mut script = many_streams::script(12, Fate::Killed, 0, 10_000);
        change(&mut script);
        play(&script).broken.expect("that cannot hold").violation
    };
    let nowhere_else = broken(&|script| {
        script.encoders[7].to.truncate(1);
    });
    assert_eq!(nowhere_else.rule, "all streams are switched in time");
    assert!(nowhere_else.what.starts_with("1 of 12 streams"), "{}", nowhere_else.what);
    let unasked = broken(&|script| drop(script.pollers.pop()));
    assert!(unasked.what.starts_with("11 of 12 streams were played"), "{}", unasked.what);
    let crowded = broken(&|script| script.rules = vec![Rule::Holds { host: "edge".to_owned(), kib: 1_000 }]);
    assert_eq!(crowded.rule, "a server holds no more than it has to");
}

#[test]
fn scenarios_have_names_of_their_own() {
    let names: BTreeSet<&str> = stories::ALL.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), stories::ALL.len());
}

/// Two encoders in place of one, two timelines in place of one: it is seen.
#[test]
fn servers_that_give_other_bytes_under_one_name_are_seen() {
    let scenario = stories::Scenario::named("redundancy-shapes").expect("there is one");
    let broken = |change: &dyn Fn(&mut Script)| {
        let mut script = scenario.script(1);
        change(&mut script);
        let broken = play(&script).broken.expect("it is seen");
        assert_eq!(broken.violation.rule, "under one name every server gives the same");
    };
    broken(&|script| {
        let mut other = script.encoders[0].clone();
        (other.name, other.content, other.to) = ("encoder-b".to_owned(), 2, vec!["origin-b".to_owned()]);
        script.encoders[0].to = vec!["origin-a".to_owned()];
        script.encoders.push(other);
    });
    broken(&|script| {
        let serves = script.origins.iter_mut().filter_map(|origin| origin.serves.as_mut());
        serves.for_each(|serves| serves.timestamps = Timestamps::ZeroBased);
    });
}
