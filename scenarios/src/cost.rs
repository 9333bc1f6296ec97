//! What a failover cost, measured from what a run has left behind, whichever engine has played it.

use core::fmt;
use core::time::Duration;

use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::viewer::Record;
use serde::{Deserialize, Serialize};

use crate::facts::{Did, Fact};
use crate::watching::losses;

/// What the fault of a run cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// From the fault to the first thing that the edge did about it.
    pub detection: Option<Duration>,
    /// From the fault to the first packet of the next source, or of the standby that covers for a silent one.
    pub switch: Option<Duration>,
    /// The longest time without a part of the picture.
    pub gap: Duration,
    /// How long the picture stood still.
    pub still: Duration,
    /// Frames of picture and sound that never came, between two that did, or came again.
    pub lost: u64,
    /// Changes of the source that no fault was the reason of.
    pub false_switches: u64,
}

/// What a run has left behind.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// When the fault was made, in the script's time; none if there was none.
    pub fault: Option<Time>,
    /// How many changes of the source it is the reason of at most.
    pub switches: usize,
    /// What the edge said.
    pub facts: &'a [Fact],
    /// What its viewer wrote down.
    pub record: &'a Record,
    /// When the run was over.
    pub end: Time,
}

impl Cost {
    /// The cost of a run.
    pub fn of(run: Run<'_>) -> Cost {
        let plays = |fact: &&Fact| matches!(fact.what, Did::Play { .. });
        let shows = |fact: &&Fact| matches!(fact.what, Did::Cover | Did::Play { .. });
        let is_after = |fact: &&Fact| run.fault.is_some_and(|fault| fact.at >= fault);
        let since_fault = |fact: &Fact| run.fault.map(|fault| fact.at.since(fault));
        // The first source of all is no change.
        let changes = || run.facts.iter().filter(plays).skip(1);
        let caused = changes().filter(is_after).count().min(run.switches);
        let of = |kind| losses(run.record, kind);
        let lost = [Kind::Video, Kind::Audio].map(|kind| of(kind).lost + of(kind).repeats);
        Cost {
            detection: run.facts.iter().find(is_after).and_then(since_fault),
            switch: run.facts.iter().filter(is_after).find(shows).and_then(since_fault),
            gap: run.record.longest_gap(Kind::Video, run.end),
            still: run.record.stalled(run.end),
            lost: lost.iter().sum(),
            false_switches: (changes().count() - caused) as u64,
        }
    }
}

/// A figure of a [`Cost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// [`Cost::detection`], in microseconds.
    Detection,
    /// [`Cost::switch`], in microseconds.
    Switch,
    /// [`Cost::gap`], in microseconds.
    Gap,
    /// [`Cost::still`], in microseconds.
    Still,
    /// [`Cost::lost`].
    Lost,
    /// [`Cost::false_switches`].
    FalseSwitches,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 6] = [
        Measure::Detection,
        Measure::Switch,
        Measure::Gap,
        Measure::Still,
        Measure::Lost,
        Measure::FalseSwitches,
    ];

    /// Its figure in `cost`, if there is one.
    pub fn of(self, cost: &Cost) -> Option<u64> {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match self {
            Measure::Detection => cost.detection.map(us),
            Measure::Switch => cost.switch.map(us),
            Measure::Gap => Some(us(cost.gap)),
            Measure::Still => Some(us(cost.still)),
            Measure::Lost => Some(cost.lost),
            Measure::FalseSwitches => Some(cost.false_switches),
        }
    }

    /// Whether its figures are times, and no counts.
    pub fn is_time(self) -> bool {
        !matches!(self, Measure::Lost | Measure::FalseSwitches)
    }

    /// The spread of its figures in `costs`, if there are any.
    pub fn spread(self, costs: &[Cost]) -> Option<Spread<u64>> {
        let figures: Vec<u64> = costs.iter().filter_map(|cost| self.of(cost)).collect();
        Spread::of(&figures)
    }

    /// A figure as people read it: a time in milliseconds, or a count.
    pub fn text(self, figure: u64) -> String {
        if self.is_time() { format!("{:.1}", figure as f64 / 1_000.0) } else { figure.to_string() }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Detection => "detection",
            Measure::Switch => "switch",
            Measure::Gap => "viewer gap",
            Measure::Still => "picture still",
            Measure::Lost => "frames lost",
            Measure::FalseSwitches => "false switches",
        })
    }
}

/// Of many figures: the middle one, the one below which 99 of 100 are, and the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread<T> {
    /// The median.
    pub p50: T,
    /// The 99th percentile.
    pub p99: T,
    /// The greatest.
    pub max: T,
}

impl<T: Copy + Ord> Spread<T> {
    /// The spread of `figures`; none of none.
    pub fn of(figures: &[T]) -> Option<Spread<T>> {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable();
        let nth = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Spread { p50: nth(50)?, p99: nth(99)?, max: nth(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an edge said: after so many milliseconds, and which server it played then, or that it left one.
    fn facts(said: &[(u64, Option<&str>)]) -> Vec<Fact> {
        let fact = |(at_ms, plays): &(u64, Option<&str>)| Fact {
            at: Time::ZERO + Duration::from_millis(*at_ms),
            edge: "edge".to_owned(),
            stream: "match".to_owned(),
            server: plays.unwrap_or("a").to_owned(),
            what: match plays {
                Some(_) => Did::Play { outage: Duration::ZERO, joined: "Exact".to_owned() },
                None => Did::Lose { why: "silence".to_owned() },
            },
        };
        said.iter().map(fact).collect()
    }

    fn cost(fault_ms: Option<u64>, said: &[(u64, Option<&str>)]) -> Cost {
        let fault = fault_ms.map(|ms| Time::ZERO + Duration::from_millis(ms));
        let (facts, record) = (facts(said), Record::default());
        let switches = usize::from(fault.is_some());
        Cost::of(Run { fault, switches, facts: &facts, record: &record, end: Time::ZERO })
    }

    #[test]
    fn a_switch_is_measured_from_the_fault() {
        let cost = cost(Some(1_000), &[(10, Some("a")), (1_200, None), (1_300, Some("b"))]);
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!((cost.detection, cost.switch, cost.false_switches), (ms(200), ms(300), 0));
    }

    #[test]
    fn switches_before_a_fault_and_more_than_one_after_it_are_false() {
        let before = cost(Some(1_000), &[(10, Some("a")), (500, Some("b")), (1_300, Some("a"))]);
        assert_eq!(before.false_switches, 1);
        let after = cost(Some(1_000), &[(10, Some("a")), (1_300, Some("b")), (1_500, Some("a"))]);
        assert_eq!(after.false_switches, 1);
        let never = cost(None, &[(10, Some("a")), (1_200, None), (1_300, Some("b"))]);
        assert_eq!((never.detection, never.switch, never.false_switches), (None, None, 1));
    }

    #[test]
    fn the_spread_of_a_hundred() {
        let times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        let ms = Duration::from_millis;
        assert_eq!(Spread::of(&times), Some(Spread { p50: ms(50), p99: ms(99), max: ms(100) }));
        assert_eq!(Spread::of(&times[..1]), Some(Spread { p50: ms(100), p99: ms(100), max: ms(100) }));
        assert_eq!(Spread::<Duration>::of(&[]), None);
    }
}
