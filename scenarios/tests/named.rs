//! The named stories, for many seeds, and that every seed tells one story only.

use core::time::Duration;
use std::collections::BTreeSet;
use std::time::Instant;

use headwater_scenarios::Report;
use headwater_scenarios::named::{ALL, Named};

const SEEDS: u64 = 50;

fn figure(report: &Report, name: &str) -> Duration {
    let found = report.figures.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no {name} in {report}")).1
}

#[test]
fn named_stories_end_well_for_fifty_seeds() {
    for Named { name, run } in ALL {
        let began = Instant::now();
        let reports: Vec<Report> = (0..SEEDS).map(run).collect();
        let took = began.elapsed();
        for report in &reports {
            assert!(report.passed(), "{report}");
        }
        let simulated: Duration = reports.iter().map(|report| report.simulated).sum();
        println!("{name}: {:.0} simulated seconds per second", simulated.as_secs_f64() / took.as_secs_f64());
        for figure_name in ["failover", "longest_gap"] {
            let mut all: Vec<Duration> = reports.iter().map(|report| figure(report, figure_name)).collect();
            all.sort();
            println!(
                "{name}: {figure_name} median {:?}, longest {:?}",
                all[all.len() / 2],
                all[all.len() - 1]
            );
        }
        let hashes: BTreeSet<u64> = reports.iter().map(|report| report.trace_hash).collect();
        assert_eq!(hashes.len(), reports.len(), "every seed tells its own story");
    }
}

#[test]
fn a_named_story_told_again_is_the_same() {
    for Named { run, .. } in ALL {
        for seed in [0, 7, u64::MAX] {
            assert_eq!(run(seed), run(seed));
        }
    }
}
