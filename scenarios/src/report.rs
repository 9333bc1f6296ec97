//! What came of a run.

use core::fmt;
use core::time::Duration;

use headwater_core::time::Time;
use headwater_net_sim::Violation;

/// What came of a run. The same script gives the same report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The hash of everything that happened.
    pub trace_hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How much time went by in the world.
    pub simulated: Duration,
    /// The first broken rule.
    pub broken: Option<Broken>,
    /// How long edges were without media, each time that they changed their source.
    pub failovers: Vec<Duration>,
    /// The longest time without a picture's part, for every viewer who stayed until the faults were over.
    pub gaps: Vec<Duration>,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which, when, whose and how.
    pub violation: Violation,
    /// When a checker noticed it.
    pub noticed: Time,
    /// The end of the story.
    pub story: String,
}

impl Report {
    /// The report of a run that has not begun.
    pub(crate) fn begin(scenario: &str, seed: u64) -> Report {
        Report {
            scenario: scenario.to_owned(),
            seed,
            trace_hash: 0,
            events: 0,
            simulated: Duration::ZERO,
            broken: None,
            failovers: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Whether every rule held.
    pub fn passed(&self) -> bool {
        self.broken.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        write!(f, "{verdict} {}:{} hash={:016x}", self.scenario, self.seed, self.trace_hash)?;
        write!(f, " events={} simulated={:?}", self.events, self.simulated)?;
        if let Some(broken) = &self.broken {
            write!(f, "\n{}, at event {}\n{}", broken.violation, self.events, broken.story)?;
        }
        Ok(())
    }
}
