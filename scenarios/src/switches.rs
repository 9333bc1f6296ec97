//! How all the streams of an edge came through the loss of an origin, measured from what the edge said, whichever engine
//! has played it.

use core::time::Duration;
use std::collections::BTreeMap;

use headwater_core::time::Time;

use crate::facts::{Did, Fact};

/// What became of the streams that an edge played from an origin that was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// All the streams that it played, from wherever.
    pub played: usize,
    /// Those that it played from this origin. An edge that was late with everything may have left it for some before.
    pub bereft: usize,
    /// Of each of these that went on from another origin: how long after the fault.
    pub after: Vec<Duration>,
    /// How many of these went on at the very next access unit.
    pub exact: usize,
    /// How often it tried an origin, from the fault on.
    pub dials: usize,
    /// Of these, the most within [`AT_ONCE`].
    pub dials_at_once: usize,
}

impl Switches {
    /// How `edge` came through the loss of `origin` at that moment.
    pub fn of(facts: &[Fact], edge: &str, origin: &str, fault: Time) -> Switches {
        let (before, since): (Vec<&Fact>, Vec<&Fact>) =
            facts.iter().filter(|fact| fact.edge == edge).partition(|fact| fact.at < fault);
        let plays = |fact: &&&Fact| matches!(fact.what, Did::Play { .. });
        let mut sources: BTreeMap<&str, &str> = BTreeMap::new();
        for fact in before.iter().filter(plays) {
            sources.insert(&fact.stream, &fact.server);
        }
        let mut went_on: BTreeMap<&str, &Fact> = BTreeMap::new();
        for fact in since.iter().filter(|fact| matches!(fact.what, Did::Cover | Did::Play { .. })) {
            if sources.get(fact.stream.as_str()) == Some(&origin) {
                went_on.entry(&fact.stream).or_insert(fact);
            }
        }
        // What a standby covers with is in step with what was there.
        let is_exact = |fact: &Fact| match &fact.what {
            Did::Play { joined, .. } => joined == "Exact",
            _ => true,
        };
        let dials: Vec<Time> =
            since.iter().filter(|fact| fact.what == Did::Dial).map(|fact| fact.at).collect();
        Switches {
            played: sources.len(),
            bereft: sources.values().filter(|source| **source == origin).count(),
            after: went_on.values().map(|fact| fact.at.since(fault)).collect(),
            exact: went_on.values().filter(|fact| is_exact(fact)).count(),
            dials: dials.len(),
            dials_at_once: at_once(&dials),
        }
    }

    /// What is wrong if `streams` should have been played, and gone on within this time.
    pub fn wrong(&self, streams: u32, within: Duration) -> Option<String> {
        if self.played < streams as usize {
            return Some(format!("{} of {streams} streams were played when it happened", self.played));
        }
        let in_time = self.after.iter().filter(|after| **after <= within).count();
        if in_time == self.bereft && in_time > 0 {
            return None;
        }
        let slowest = self.after.iter().max().map_or("never".to_owned(), |last| format!("{last:?}"));
        let (late, never) = (self.bereft - in_time, self.bereft - self.after.len());
        Some(format!(
            "{late} of {} streams were not switched within {within:?}, {never} of them not at all; the slowest took \
             {slowest}",
            self.bereft
        ))
    }
}

/// The most of these moments, which are in order, that fall into a span of [`AT_ONCE`].
fn at_once(moments: &[Time]) -> usize {
    let within = |first: &Time| moments.partition_point(|at| at.since(*first) < AT_ONCE || at < first);
    moments.iter().enumerate().map(|(n, first)| within(first) - n).max().unwrap_or(0)
}

/// What is done within this time is done at once: a round trip.
pub const AT_ONCE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(at_ms: u64, stream: &str, what: Did) -> Fact {
        let at = Time::ZERO + Duration::from_millis(at_ms);
        Fact { at, edge: "edge".to_owned(), stream: stream.to_owned(), server: "a".to_owned(), what }
    }

    fn play(joined: &str) -> Did {
        Did::Play { outage: Duration::ZERO, joined: joined.to_owned() }
    }

    const FAULT: Time = Time::from_micros(1_000_000);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn every_stream_counts_once_and_from_the_fault_on() {
        let mut facts = vec![
            fact(10, "one", play("First")),
            fact(20, "two", play("First")),
            fact(30, "three", play("First")),
            fact(40, "four", play("First")),
            Fact { server: "b".to_owned(), ..fact(50, "four", play("Exact")) },
            fact(1_000, "one", Did::Dial),
            fact(1_019, "two", Did::Dial),
            fact(1_020, "three", Did::Dial),
            fact(1_100, "one", play("Exact")),
            fact(1_200, "two", play("KeyFrame")),
            fact(1_300, "late", play("First")),
            fact(1_400, "one", play("KeyFrame")),
        ];
        let switches = Switches::of(&facts, "edge", "a", FAULT);
        assert_eq!((switches.played, switches.bereft, switches.exact), (4, 3, 1), "one was elsewhere");
        assert_eq!(switches.after, [ms(100), ms(200)]);
        assert_eq!((switches.dials, switches.dials_at_once), (3, 2));
        assert!(switches.wrong(3, ms(1_000)).is_some_and(|what| what.contains("1 of them not at all")));
        facts.push(fact(1_500, "three", Did::Cover));
        let switches = Switches::of(&facts, "edge", "a", FAULT);
        assert_eq!((switches.exact, switches.wrong(3, ms(500))), (2, None));
        assert!(switches.wrong(3, ms(499)).is_some_and(|what| what.contains("500ms")), "one is late");
        assert!(switches.wrong(5, ms(500)).is_some(), "one was never there");
        assert!(Switches::of(&facts, "edge", "c", FAULT).wrong(4, ms(500)).is_some(), "nothing was lost");
    }
}
