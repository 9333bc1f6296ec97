//! How patient a player is. The figures are hls.js's own defaults (its `config.ts`, load policies).

use core::time::Duration;

use super::record::Failure;

/// How long one kind of load may take, and how often it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadPolicy {
    /// Until the answer begins; no limit of its own if none.
    pub first_byte: Option<Duration>,
    /// Until the answer is complete.
    pub whole: Duration,
    /// Tries after a timeout; they are made at once.
    pub timeout_retries: u32,
    /// Tries after an error.
    pub error_retries: u32,
    /// The wait before the first of them; it doubles each time.
    pub delay: Duration,
    /// The longest wait.
    pub delay_max: Duration,
}

/// What a player is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For the multivariant playlist.
    pub master: LoadPolicy,
    /// For media playlists.
    pub playlist: LoadPolicy,
    /// For initialization segments, parts and segments.
    pub media: LoadPolicy,
    /// Media is fetched up to this far ahead (hls.js: maxBufferLength).
    pub buffer: Duration,
    /// Reloads without news before the player gives up; never if none, which is hls.js's default.
    pub unchanged_reloads_max: Option<u32>,
    /// Whether a discontinuity right before the hinted part is fatal, as it is in hls.js 1.6.
    pub discontinuity_at_hint_is_fatal: bool,
    /// Whether the hinted part is asked for before it is listed, as AVPlayer does and hls.js does not.
    pub fetches_hints: bool,
    /// Whether delta updates are asked for when they are offered.
    pub delta_updates: bool,
}

impl Settings {
    /// hls.js 1.6 as it comes, in low-latency mode.
    pub const fn hls_js() -> Settings {
        let delay = Duration::from_secs(1);
        let delay_max = Duration::from_secs(8);
        let some10 = Some(Duration::from_secs(10));
        let s20 = Duration::from_secs(20);
        let master = LoadPolicy {
            first_byte: None,
            whole: s20,
            timeout_retries: 2,
            error_retries: 1,
            delay,
            delay_max,
        };
        let playlist = LoadPolicy { first_byte: some10, error_retries: 2, ..master };
        let whole = Duration::from_secs(120);
        let media = LoadPolicy { whole, timeout_retries: 4, error_retries: 6, ..playlist };
        Settings {
            master,
            playlist,
            media,
            buffer: Duration::from_secs(30),
            unchanged_reloads_max: None,
            discontinuity_at_hint_is_fatal: true,
            fetches_hints: false,
            delta_updates: true,
        }
    }
}

impl LoadPolicy {
    /// How long to wait before trying again after `failures` earlier failures and this one; `None` for not at all.
    /// As in hls.js, neither a 4xx nor a broken connection is worth another try.
    pub(crate) fn retry(&self, failure: Failure, failures: u32) -> Option<Duration> {
        match failure {
            Failure::TimedOut if failures < self.timeout_retries => Some(Duration::ZERO),
            Failure::Status(status) if !(400..500).contains(&status) && failures < self.error_retries => {
                Some((self.delay * 2u32.saturating_pow(failures)).min(self.delay_max))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_core::io::CloseReason;

    #[test]
    fn retries_as_hls_js_does() {
        let policy = Settings::hls_js().media;
        let secs = |secs| Some(Duration::from_secs(secs));
        let waits: Vec<_> = (0..7).map(|n| policy.retry(Failure::Status(503), n)).collect();
        assert_eq!(waits, [secs(1), secs(2), secs(4), secs(8), secs(8), secs(8), None]);
        assert_eq!(policy.retry(Failure::Status(404), 0), None);
        assert_eq!(policy.retry(Failure::Network(CloseReason::Reset), 0), None);
        assert_eq!(policy.retry(Failure::TimedOut, 3), Some(Duration::ZERO));
        assert_eq!(policy.retry(Failure::TimedOut, 4), None);
    }
}
