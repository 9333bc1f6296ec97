//! What the clocks of a host show while the world's own time goes by: where they start, how fast they run, and
//! where an operator or NTP has set them.

use headwater_core::time::{Now, Time, Wall};

/// The two clocks of one host. Both run at the same speed; only the wall clock steps.
#[derive(Clone, Debug)]
pub struct Clock {
    since: Time,
    mono: Time,
    wall: Wall,
    drift_ppm: i32,
}

impl Clock {
    /// Clocks that show `mono` and `wall` at the beginning of the world and run true.
    pub fn new(mono: Time, wall: Wall) -> Clock {
        Clock { since: Time::ZERO, mono, wall, drift_ppm: 0 }
    }

    /// The same clocks, showing at `at` what they would have shown at the beginning of the world.
    pub fn starting_at(self, at: Time) -> Clock {
        let us = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
        Clock { since: at, wall: self.wall.plus_micros(us), ..self }
    }

    /// Lets the clocks run `ppm` millionths too fast (or too slow) from `at` on. At most half a million either way.
    pub fn set_drift(&mut self, at: Time, ppm: i32) {
        let now = self.show(at);
        *self = Clock { since: at, mono: now.mono, wall: now.wall, drift_ppm: ppm.clamp(-500_000, 500_000) };
    }

    /// Moves the wall clock by `us` microseconds.
    pub fn step_wall(&mut self, us: i64) {
        self.wall = self.wall.plus_micros(us);
    }

    /// What the clocks show when the world's time is `at`.
    pub fn show(&self, at: Time) -> Now {
        let gone = self.run(at.as_micros().saturating_sub(self.since.as_micros()));
        Now {
            mono: Time::from_micros(self.mono.as_micros().saturating_add(gone)),
            wall: self.wall.plus_micros(i64::try_from(gone).unwrap_or(i64::MAX)),
        }
    }

    /// The first moment of the world's time at which the monotonic clock shows `mono` or more.
    pub fn moment_of(&self, mono: Time) -> Time {
        let gone = u128::from(mono.as_micros().saturating_sub(self.mono.as_micros()));
        let world = (gone * MILLION).div_ceil(self.speed());
        let world = u64::try_from(world).unwrap_or(u64::MAX);
        Time::from_micros(self.since.as_micros().saturating_add(world))
    }

    fn run(&self, world_us: u64) -> u64 {
        u64::try_from(u128::from(world_us) * self.speed() / MILLION).unwrap_or(u64::MAX)
    }

    /// Microseconds on this clock per million of the world's.
    fn speed(&self) -> u128 {
        u128::from((1_000_000 + self.drift_ppm).unsigned_abs())
    }
}

const MILLION: u128 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Time {
        Time::from_micros(us)
    }

    #[test]
    fn a_deadline_is_found_again_whatever_the_drift() {
        for ppm in [-200_000, -37, 0, 1, 50, 200_000] {
            let mut clock = Clock::new(us(5_000), Wall::from_micros(9));
            clock.set_drift(us(1_000), ppm);
            for deadline in [6_001, 6_777, 123_456_789] {
                let at = clock.moment_of(us(deadline));
                assert!(clock.show(at).mono >= us(deadline), "{ppm} ppm, {deadline}");
                assert!(clock.show(us(at.as_micros() - 1)).mono < us(deadline), "{ppm} ppm, {deadline}");
            }
        }
    }

    #[test]
    fn a_step_moves_the_wall_clock_only() {
        let mut clock = Clock::new(us(0), Wall::from_micros(1_000_000));
        let before = clock.show(us(10));
        clock.step_wall(-500_000);
        let after = clock.show(us(10));
        assert_eq!(before.mono, after.mono);
        assert_eq!(before.wall.as_micros() - after.wall.as_micros(), 500_000);
    }
}
