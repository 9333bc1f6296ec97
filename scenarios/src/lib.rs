//! Named stories of failure, told by the simulator from a seed, and what they are held to.
//!
//! A scenario draws everything that may differ from its seed, runs a world, and reports. It never panics because a
//! program fails: that is what it is there to report.

#![deny(missing_docs)]

use core::fmt;
use core::time::Duration;

use headwater_net_sim::{Checks, Violation, World};

pub mod cluster;
pub mod named;
pub mod watching;

pub use cluster::{Cluster, Plan, Switch};

/// A story.
pub trait Scenario {
    /// What it is called on the command line.
    const NAME: &'static str;

    /// Tells it once. The same seed gives the same report.
    fn run(seed: u64) -> Report;
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The scenario.
    pub name: &'static str,
    /// The seed.
    pub seed: u64,
    /// The hash of everything that happened.
    pub trace_hash: u64,
    /// How much time went by in the world.
    pub simulated: Duration,
    /// The first broken rule, and the end of the story.
    pub violation: Option<(Violation, String)>,
    /// What was measured.
    pub figures: Vec<(&'static str, Duration)>,
}

impl Report {
    /// The report of `world` as it is, judged by `checks`.
    pub fn of(name: &'static str, world: &World, checks: &mut Checks) -> Report {
        let violation = checks.verify(world).err().map(|violation| (violation, world.story(STORY_LINES)));
        Report {
            name,
            seed: world.seed(),
            trace_hash: world.trace_hash(),
            simulated: world.now().since(headwater_core::time::Time::ZERO),
            violation,
            figures: Vec::new(),
        }
    }

    /// Whether every rule held.
    pub fn passed(&self) -> bool {
        self.violation.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        write!(f, "{verdict} {} seed={:#018x} hash={:#018x}", self.name, self.seed, self.trace_hash)?;
        write!(f, " simulated={:?}", self.simulated)?;
        for (what, how_long) in &self.figures {
            write!(f, " {what}={how_long:?}")?;
        }
        if let Some((violation, story)) = &self.violation {
            write!(f, "\n{violation}\n{story}")?;
        }
        Ok(())
    }
}

const STORY_LINES: usize = 60;
