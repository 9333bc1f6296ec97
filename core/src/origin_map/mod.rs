//! OriginMap: a request in, an ordered list of origin URLs out.

use core::time::Duration;

/// `Origins/Properties`: how the streams of a virtual host are pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullProperties {
    /// `NoInputFailoverTimeout`: silence after which the next URL is tried.
    pub no_input_timeout: Duration,
    /// `UnusedStreamDeletionTimeout`: how long a stream is kept that nobody plays.
    pub unused_timeout: Duration,
    /// `StreamFailbackTimeout`: how often the primary URL is probed while another is in use.
    pub failback_interval: Duration,
    /// `RetryCount`: rounds over the URL list without a pause; 0 is a single attempt and no resume.
    pub retry_count: u32,
}

impl Default for PullProperties {
    fn default() -> Self {
        PullProperties {
            no_input_timeout: Duration::from_millis(3_000),
            unused_timeout: Duration::from_millis(60_000),
            failback_interval: Duration::from_millis(3_000),
            retry_count: 1,
        }
    }
}

/// `Origins/Origin`: where requests for a location are pulled from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginRule {
    /// `Location`: a path, or the beginning of one.
    pub location: String,
    /// `StrictLocation`: the whole path must be the location.
    pub strict: bool,
    /// `Pass/Scheme`, in lower case.
    pub scheme: String,
    /// `Pass/Urls/Url`, in order of preference; without scheme.
    pub urls: Vec<String>,
    /// `Pass/ForwardQueryParams`.
    pub forward_query: bool,
    /// `Persistent`: never deleted for want of viewers, never left for want of input.
    pub persistent: bool,
    /// `Failback`: return to the first URL when it is back.
    pub failback: bool,
    /// `Relay`: offer the stream to further edges as it came.
    pub relay: bool,
}
