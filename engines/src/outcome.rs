//! What viewers saw and edges went through in a run, in the same words for every engine, and what the script's rules
//! say of it. It knows no engine.

use core::time::Duration;

use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::trace::Hash64;
use headwater_net_sim::viewer::Record;
use headwater_scenarios::facts::{Did, Fact};
use headwater_scenarios::rules::Rule;
use headwater_scenarios::script::{Script, Viewer};
use headwater_scenarios::switches::Switches;
use headwater_scenarios::watching::{Losses, losses};

/// What came of a run until its faults were over.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When the first step of the script was taken; none if it has none.
    pub first_step: Option<Time>,
    /// The viewers, in the order of the script.
    pub viewers: Vec<Seen>,
    /// What the edges said of their sources, in order.
    pub facts: Vec<Fact>,
    /// The status of every answer that a poller got, with the poller's name; 0 for none.
    pub answers: Vec<(String, u16)>,
    /// What processes had used, in the order of time, where there are any.
    pub usage: Vec<Usage>,
}

/// What a process had used by a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The server that it is; the encoders and viewers are together in one.
    pub process: String,
    /// The moment, in the script's time.
    pub at: Time,
    /// Processor time since its start.
    pub cpu: Duration,
    /// Resident memory.
    pub resident_kib: u64,
}

/// What a viewer saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its host's name.
    pub name: String,
    /// When it came, in the script's time.
    pub from: Time,
    /// When it left, or the faults were over.
    pub until: Time,
    /// What it wrote down.
    pub record: Record,
}

/// The frames of a track that a viewer was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// The number of the first one, in its encoder's order.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// How many.
    pub count: u64,
    /// What is missing among them.
    pub losses: Losses,
}

impl Seen {
    /// What a viewer of `plan` has written down at the end of the faults of `script`.
    pub fn new(script: &Script, plan: &Viewer, name: String, record: &Record) -> Seen {
        let until_ms = plan.until_ms.unwrap_or(script.length_ms).min(script.length_ms);
        let moment = |at_ms| Time::ZERO + Duration::from_millis(at_ms);
        Seen { name, from: moment(plan.from_ms), until: moment(until_ms), record: record.clone() }
    }

    /// The frames of `kind` that it was given.
    pub fn frames(&self, kind: Kind) -> Frames {
        let parts = || self.record.parts.iter().filter(|part| part.kind == kind);
        let marks = || parts().filter_map(|part| part.marks);
        Frames {
            first: marks().next().map_or(0, |(first, _)| first.frame),
            last: marks().next_back().map_or(0, |(_, last)| last.frame),
            count: parts().map(|part| part.samples as u64).sum(),
            losses: losses(&self.record, kind),
        }
    }

    /// The first track that has not every frame once, in order and from one encoder.
    fn odd(&self) -> Option<(Kind, Losses)> {
        let losses = [Kind::Video, Kind::Audio].map(|kind| (kind, self.frames(kind).losses));
        losses.into_iter().find(|(_, losses)| *losses != Losses::default())
    }

    /// The longest time without a part of its picture; none if it never had one.
    pub fn gap(&self) -> Option<Duration> {
        let gap = self.record.longest_gap(Kind::Video, self.until);
        self.record.newest(Kind::Video).map(|_| gap)
    }

    /// How long its picture stood still in all.
    pub fn stalled(&self) -> Duration {
        self.record.stalled(self.until)
    }

    /// How long it waited for its first part; none if it waits.
    pub fn first_part(&self) -> Option<Duration> {
        let first = self.record.parts.iter().find(|part| part.kind == Kind::Video)?;
        Some(first.at.since(self.from))
    }
}

impl Outcome {
    /// How long edges were without media, each time that they changed or lost their source and played again.
    pub fn failovers(&self) -> Vec<Duration> {
        let outage = |fact: &Fact| match fact.what {
            Did::Play { outage, .. } if outage > Duration::ZERO => Some(outage),
            _ => None,
        };
        self.facts.iter().filter_map(outage).collect()
    }

    /// The longest time without a part of the picture, for every viewer who had one.
    pub fn gaps(&self) -> Vec<Duration> {
        self.viewers.iter().filter_map(Seen::gap).collect()
    }

    /// Frames that viewers were not given between two that they were given, pictures and sound together.
    pub fn frames_lost(&self) -> u64 {
        let of = |seen: &Seen, kind| seen.frames(kind).losses.lost;
        self.viewers.iter().map(|seen| of(seen, Kind::Video) + of(seen, Kind::Audio)).sum()
    }

    /// The same for two runs in which viewers and edges went through the same at the same times.
    pub fn fingerprint(&self) -> u64 {
        Hash64::of(format!("{self:?}").as_bytes())
    }

    /// The server that `edge` has begun to play last.
    pub fn source(facts: &[Fact], edge: &str) -> Option<String> {
        let plays = |fact: &&Fact| fact.edge == edge && matches!(fact.what, Did::Play { .. });
        facts.iter().rev().find(plays).map(|fact| fact.server.clone())
    }

    /// The rules of `script` that did not hold, each with what was instead. `slack` is added to every bound on time:
    /// what the engine's own clock and machine may add. Rules about single moments (`Fresh`, `Dated`, `LetGo`, `Reload` and their like) are the
    /// simulator's alone.
    pub fn broken(&self, script: &Script, slack: Duration) -> Vec<String> {
        script.rules.iter().flat_map(|rule| self.broken_rule(rule, slack)).collect()
    }

    fn broken_rule(&self, rule: &Rule, slack: Duration) -> Vec<String> {
        let within = |ms: u64| Duration::from_millis(ms) + slack;
        let each = |what: &dyn Fn(&Seen) -> Option<String>| -> Vec<String> {
            let say = |seen: &Seen| what(seen).map(|what| format!("{}: {what}", seen.name));
            self.viewers.iter().filter_map(say).collect()
        };
        match *rule {
            Rule::Gap { ms } => each(&|seen| {
                let gap = seen.gap().filter(|gap| *gap > within(ms))?;
                Some(format!("no part of the picture for {gap:?}, over {:?}", within(ms)))
            }),
            Rule::Stall { ms } => each(&|seen| {
                let stalled = seen.stalled();
                (stalled > within(ms)).then(|| format!("stood still for {stalled:?}, over {:?}", within(ms)))
            }),
            Rule::Unharmed { ref viewer, ms } => each(&|seen| {
                let gap = seen.gap().unwrap_or_default();
                let harmed = seen.odd().is_some() || gap > within(ms);
                (seen.name == *viewer && harmed).then(|| format!("{:?}, no part for {gap:?}", seen.odd()))
            }),
            Rule::EveryFrameOnce => {
                each(&|seen| seen.odd().map(|(kind, losses)| format!("{kind:?}: {losses:?}")))
            }
            Rule::NoFatalError => {
                each(&|seen| seen.record.fatal.as_ref().map(|(at, why)| format!("gave up at {at:?}: {why}")))
            }
            Rule::FirstPart { ms } => each(&|seen| match seen.first_part() {
                Some(waited) if waited <= within(ms) => None,
                waited => Some(format!("its first part came after {waited:?}, over {:?}", within(ms))),
            }),
            Rule::Failover { ms } => {
                let late = self.failovers().into_iter().filter(|outage| *outage > within(ms));
                late.map(|outage| format!("no media for {outage:?}, over {:?}", within(ms))).collect()
            }
            Rule::NoFailover => {
                let outages = self.failovers();
                if outages.is_empty() { Vec::new() } else { vec![format!("sources were left: {outages:?}")] }
            }
            Rule::Dials { ref edge, most } => {
                let dials = self.facts.iter().filter(|fact| fact.edge == *edge && fact.what == Did::Dial);
                let count = dials.count();
                let over = count > most as usize;
                if over {
                    vec![format!("{edge}: tried servers {count} times, over {most}")]
                } else {
                    Vec::new()
                }
            }
            Rule::AllSwitched { ref edge, ref origin, streams, from_ms, ms } => {
                let fault = self.first_step.unwrap_or(Time::ZERO + Duration::from_millis(from_ms));
                let wrong = Switches::of(&self.facts, edge, origin, fault).wrong(streams, within(ms));
                wrong.map(|what| format!("{edge}: {what}")).into_iter().collect()
            }
            Rule::AnsweredWithin { .. }
            | Rule::Decodable
            | Rule::NoFrameTwice
            | Rule::NoStreamEnds
            | Rule::Discontinuities { .. }
            | Rule::Fresh { .. }
            | Rule::Dated { .. }
            | Rule::Found { .. }
            | Rule::Gone { .. }
            | Rule::Holds { .. }
            | Rule::LetGo { .. }
            | Rule::PlaysFrom { .. }
            | Rule::NumbersGoOn
            | Rule::Reload { .. }
            | Rule::SameEverywhere { .. }
            | Rule::HintsAreKept
            | Rule::Attempts { .. } => Vec::new(),
            Rule::Answer { ref poller, status } => {
                let wrong = self.answers.iter().filter(|(name, got)| name == poller && *got != status);
                wrong.map(|(_, got)| format!("{poller}: answered with {got}, not {status}")).collect()
            }
        }
    }
}
