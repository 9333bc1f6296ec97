//! How long a round trip takes, and how long to wait before something is sent again (RFC 6298, with Linux's bounds).

use core::time::Duration;

/// What a sender knows of its round trips.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    samples: Option<Samples>,
}

#[derive(Clone, Copy, Debug)]
struct Samples {
    latest: Duration,
    least: Duration,
    smoothed: Duration,
    variation: Duration,
}

impl Rtt {
    /// An answer came after so long, to something that was sent only once.
    pub(super) fn sample(&mut self, took: Duration) {
        let Some(known) = &mut self.samples else {
            let (latest, least, smoothed, variation) = (took, took, took, took / 2);
            self.samples = Some(Samples { latest, least, smoothed, variation });
            return;
        };
        known.latest = took;
        known.least = known.least.min(took);
        known.variation = (known.variation * 3 + known.smoothed.abs_diff(took)) / 4;
        known.smoothed = (known.smoothed * 7 + took) / 8;
    }

    /// The retransmission timeout. The minimum is one of the variation, not of the sum.
    pub(super) fn timeout(&self) -> Duration {
        let known = |it: Samples| it.smoothed + (it.variation * 4).max(VARIATION_MIN);
        self.samples.map_or(TIMEOUT_INITIAL, known)
    }

    /// The same after it went off so many times in a row.
    pub(super) fn timeout_after(&self, times: u32) -> Duration {
        self.timeout().saturating_mul(2u32.saturating_pow(times)).min(TIMEOUT_MAX)
    }

    /// How long to wait for an acknowledgement before the last segment is sent again to get one (RFC 8985, 7.2). The
    /// other end may wait with that of a single packet.
    pub(super) fn probe_timeout(&self, is_single: bool) -> Duration {
        let spare = if is_single { VARIATION_MIN } else { TICK * 2 };
        let known = |it: Samples| (it.smoothed * 2 + spare).min(self.timeout());
        self.samples.map_or(TIMEOUT_INITIAL, known)
    }

    /// How long after it was sent a segment is lost if a later one has arrived (RFC 8985, 6.2): a round trip, and what
    /// packets may overtake each other by, unless it is certain already that something is lost.
    pub(super) fn patience(&self, is_certain: bool) -> Duration {
        let known = |it: Samples| it.latest + if is_certain { Duration::ZERO } else { it.least / 4 };
        self.samples.map_or(TIMEOUT_INITIAL, known)
    }
}

/// What is added to a round trip at least (Linux: TCP_RTO_MIN).
const VARIATION_MIN: Duration = Duration::from_millis(200);
/// The longest timeout (Linux: TCP_RTO_MAX).
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// The timeout of who has seen no round trip yet (RFC 6298, 2.1).
const TIMEOUT_INITIAL: Duration = Duration::from_secs(1);
/// How exactly Linux's timers go.
const TICK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn after(samples: &[u64]) -> Rtt {
        let mut rtt = Rtt::default();
        samples.iter().for_each(|took| rtt.sample(ms(*took)));
        rtt
    }

    #[test]
    fn the_timeout_is_a_second_before_the_first_round_trip() {
        assert_eq!(after(&[]).timeout(), ms(1_000));
    }

    #[test]
    fn the_first_round_trip_counts_threefold() {
        // RFC 6298, 2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR.
        assert_eq!(after(&[400]).timeout(), ms(400 + 4 * 200));
    }

    #[test]
    fn later_ones_are_smoothed() {
        // RFC 6298, 2.3: RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|, then SRTT = 7/8 SRTT + 1/8 R'.
        assert_eq!(after(&[400, 800]).timeout(), ms(450 + 4 * (150 + 100)));
    }

    #[test]
    fn steady_round_trips_leave_the_minimum_of_linux() {
        assert_eq!(after(&[20; 50]).timeout(), ms(220));
        assert_eq!(after(&[100; 50]).timeout(), ms(300));
    }

    #[test]
    fn a_probe_goes_out_after_two_round_trips() {
        assert_eq!(after(&[20; 50]).probe_timeout(false), ms(42));
        // 2 x 20 + 200 would be later than the timeout.
        assert_eq!(after(&[20; 50]).probe_timeout(true), ms(220));
    }

    #[test]
    fn a_segment_is_given_up_a_quarter_of_a_round_trip_late() {
        assert_eq!(after(&[20, 24]).patience(false), ms(29));
        assert_eq!(after(&[20, 24]).patience(true), ms(24));
    }
}
