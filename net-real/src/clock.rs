//! The two clocks of a node. The only place of this crate that asks what time it is for the machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_core::time::{Now, Time, Wall};
use tokio::time::Instant;

/// A monotonic clock that starts at zero, and a wall clock.
///
/// A copy shows the same time, so a machine can be made with `clock.now()` and then be driven by the same clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// What the wall clock showed at `start`, where it must not follow the system's.
    anchor: Option<Wall>,
}

impl Clock {
    /// Starts now. The wall clock is the system's, read every time: when that steps, the machine sees it step.
    pub fn system() -> Clock {
        Clock { start: Instant::now(), anchor: None }
    }

    /// Starts now, with a wall clock that shows `wall` and runs with the monotonic clock: for simulated time.
    pub fn anchored(wall: Wall) -> Clock {
        Clock { start: Instant::now(), anchor: Some(wall) }
    }

    /// What both clocks show.
    pub fn now(&self) -> Now {
        let us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = match self.anchor {
            Some(anchor) => anchor.plus_micros(i64::try_from(us).unwrap_or(i64::MAX)),
            None => system_wall(),
        };
        Now { mono: Time::from_micros(us), wall }
    }

    /// The runtime's name for a moment of the monotonic clock; moments beyond a year are a year away.
    pub(crate) fn instant(&self, at: Time) -> Instant {
        let after = Duration::from_micros(at.as_micros());
        self.start.checked_add(after).unwrap_or_else(|| Instant::now() + A_YEAR)
    }
}

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn system_wall() -> Wall {
    let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Wall::from_micros(micros(after)),
        Err(before) => Wall::from_micros(-micros(before.duration())),
    }
}
