//! Where on the wall clock a source's time zero lies, said so that two servers say the same.
//!
//! Each server sees a packet a little later than it was made, by the network's delay and its own clock's error, and
//! the least delayed packets of a while say best when. What is left of the difference between two servers is taken away
//! by whole seconds: they agree unless the boundary between two of them falls into the difference.

use crate::media::Timestamp;
use crate::time::Now;

/// What the packets of one source say.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// The earliest moment that a packet says time zero was, in microseconds since the epoch.
    zero_us: Option<i64>,
}

/// Where a source's time zero is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zero {
    /// In microseconds since the epoch: whole seconds.
    pub(super) us: i64,
    /// Whether another server can be expected to say the same.
    pub(super) is_sure: bool,
}

impl Estimate {
    /// A packet has come.
    pub(super) fn hear(&mut self, now: Now, dts: Timestamp) {
        let zero_us = now.wall.as_micros().saturating_sub(dts.as_micros());
        self.zero_us = Some(self.zero_us.map_or(zero_us, |least| least.min(zero_us)));
    }

    /// What was heard.
    pub(super) fn zero(&self) -> Option<Zero> {
        let heard_us = self.zero_us?;
        let us = heard_us.saturating_add(STEP_US / 2).div_euclid(STEP_US).saturating_mul(STEP_US);
        let off_us = heard_us.saturating_sub(us).saturating_abs();
        Some(Zero { us, is_sure: off_us <= STEP_US / 2 - TOLERANCE_US })
    }
}

/// Time zero is put on a multiple of this, in microseconds. A second: dates are wrong by half of it at most.
pub(super) const STEP_US: i64 = 1_000_000;

/// By how much the clocks and delays of two servers may differ, in microseconds, for them to agree for sure.
const TOLERANCE_US: i64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Time, Wall};
    use proptest::prelude::*;

    const DAY_US: i64 = 20_000 * 86_400_000_000;

    fn estimate(packets: impl IntoIterator<Item = (i64, i64)>) -> Estimate {
        let mut estimate = Estimate::default();
        for (wall_us, dts_us) in packets {
            let now = Now { mono: Time::ZERO, wall: Wall::from_micros(wall_us) };
            estimate.hear(now, Timestamp::from_micros(dts_us));
        }
        estimate
    }

    #[test]
    fn the_least_delayed_packet_counts() {
        let heard =
            estimate([(DAY_US + 5_700_000, 0), (DAY_US + 5_730_000, 40_000), (DAY_US + 5_740_000, 500_000)]);
        assert_eq!(heard.zero(), Some(Zero { us: DAY_US + 5_000_000, is_sure: true }));
        assert_eq!(Estimate::default().zero(), None);
    }

    proptest! {
        /// Whatever the encoder's time zero: if one of them is sure, both say the same.
        #[test]
        fn servers_within_the_tolerance_agree(zero in 0..DAY_US, delay in 0i64..=TOLERANCE_US) {
            let (a, b) = (estimate([(zero, 0)]).zero().unwrap(), estimate([(zero + delay, 0)]).zero().unwrap());
            prop_assert!(a == b || a.us == b.us || !(a.is_sure || b.is_sure));
        }

        #[test]
        fn nothing_overflows(wall: i64, dts: i64) {
            let _ = estimate([(wall, dts), (dts, wall)]).zero();
        }
    }
}
