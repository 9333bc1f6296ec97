//! Events as log lines: the name of the event and its facts as fields, so that both people and programs can read them.

use core::time::Duration;
use std::io::IsTerminal;
use std::str::FromStr;

use headwater_core::event::{Event, Severity};
use headwater_core::io::CloseReason;
use headwater_core::registry::Epoch;
use headwater_core::time::Now;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, fmt};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error(
        "the log filter {filter:?} cannot be read: {cause}; write a level (`debug`) or `target=level` pairs \
             separated by commas (`info,headwater=debug`)"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        cause: ParseError,
    },
    /// Someone else has set up logging in this process.
    #[error("logging is already set up: {0}")]
    Taken(#[from] TryInitError),
}

/// Writes everything that `filter` lets through to standard error, from here on; without a filter, `info` and above.
pub fn init(format: Format, filter: Option<&str>) -> Result<(), LogError> {
    let targets = match filter.filter(|filter| !filter.trim().is_empty()) {
        Some(filter) => Targets::from_str(filter)
            .map_err(|cause| LogError::Filter { filter: filter.to_owned(), cause })?,
        None => Targets::new().with_default(LevelFilter::INFO),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Json => lines.json().flatten_event(true).boxed(),
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(targets)).try_init()?;
    Ok(())
}

/// Writes one event with the level that its severity asks for, under the target `headwater`.
pub fn event(_: Now, event: &Event) {
    let severity = event.severity();
    // tracing wants levels, names and fields to be constants; this makes one call site for each level.
    macro_rules! write {
        ($name:literal, $($fields:tt)*) => {
            match severity {
                Severity::Debug => tracing::debug!(target: TARGET, event = $name, $($fields)*),
                Severity::Info => tracing::info!(target: TARGET, event = $name, $($fields)*),
                Severity::Warn => tracing::warn!(target: TARGET, event = $name, $($fields)*),
            }
        };
    }
    match event {
        Event::ViewersRefused { count, why } => write!("viewers_refused", count, why),
        Event::Configured { stays } if stays.is_empty() => write!("configured",),
        Event::Configured { stays } => write!("configured", stays = stays.join("; ")),
        Event::ConfigurationAsked => write!("configuration_asked",),
        Event::DrainEnded { why } => write!("drain_ended", why),
        Event::DrainStarted { within } => {
            let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
            write!("drain_started", within_ms)
        }
        Event::ConnectionLost { conn, reason, .. } => {
            write!("connection_lost", conn = conn.0, reason = reason_name(*reason))
        }
        Event::PartReady { key, track, msn, part } => write!("part_ready", stream = %key, track, msn, part),
        Event::PeerMisbehaved { conn, what } => write!("peer_misbehaved", conn = conn.0, what),
        Event::PublishEnded { key, why } => write!("publish_ended", stream = %key, why),
        Event::PublishInterrupted { key, why } => write!("publish_interrupted", stream = %key, why),
        Event::PublishRefused { conn, why } => write!("publish_refused", conn = conn.0, why),
        Event::PublishResumed { key, outage, joined } => {
            write!("publish_resumed", stream = %key, outage_ms = ms(*outage), joined = ?joined)
        }
        Event::PublishStarted { key, conn } => write!("publish_started", stream = %key, conn = conn.0),
        Event::PublisherStandsBy { key, conn } => {
            write!("publisher_stands_by", stream = %key, conn = conn.0)
        }
        Event::PullDialled { key, url } => write!("pull_dialled", stream = %key, url),
        Event::PullEnded { key, why } => write!("pull_ended", stream = %key, why),
        Event::PullLost { key, url, why } => write!("pull_lost", stream = %key, url, why),
        Event::PullPlaying { key, url, outage, joined } => {
            write!("pull_playing", stream = %key, url, outage_ms = ms(*outage), joined = ?joined)
        }
        Event::PullSuspected { key, url, silent_for } => {
            let silent_ms = u64::try_from(silent_for.as_millis()).unwrap_or(u64::MAX);
            write!("pull_suspected", stream = %key, url, silent_ms)
        }
        Event::PullTrusted { key, url, silent_for } => {
            let silent_ms = u64::try_from(silent_for.as_millis()).unwrap_or(u64::MAX);
            write!("pull_trusted", stream = %key, url, silent_ms)
        }
        Event::RelayEnded { key, conn } => write!("relay_ended", stream = %key, conn = conn.0),
        Event::RelaySkipped { key, conn, packets } => {
            write!("relay_skipped", stream = %key, conn = conn.0, packets)
        }
        Event::RelayStarted { key, conn } => write!("relay_started", stream = %key, conn = conn.0),
        Event::RouteFollowed { key, epoch, url } => {
            write!("route_followed", stream = %key, epoch = epoch_text(epoch.as_ref()), url)
        }
        Event::RouteUnusable { key, why } => write!("route_unusable", stream = %key, why),
        Event::StandbyApart { key, url } => write!("standby_apart", stream = %key, url),
        Event::StandbyCovers { key, url } => write!("standby_covers", stream = %key, url),
        Event::StandbyLost { key, url, why } => write!("standby_lost", stream = %key, url, why),
        Event::StandbyReady { key, url } => write!("standby_ready", stream = %key, url),
        Event::StreamShared { key, doubt: None } => write!("stream_shared", stream = %key),
        Event::StreamShared { key, doubt: Some(doubt) } => write!("stream_not_shared", stream = %key, doubt),
        Event::StoreAway { vhost, why } => write!("store_away", vhost, why),
        Event::StoreBack { vhost, after } => {
            write!("store_back", vhost, after_ms = ms(*after))
        }
        Event::StreamAnnounced { key, epoch } => write!("stream_announced", stream = %key, epoch = %epoch),
        Event::StreamDisowned { key } => write!("stream_disowned", stream = %key),
        Event::StreamWaits { key, epoch, url } => {
            write!("stream_waits", stream = %key, epoch = epoch_text(epoch.as_ref()), url)
        }
        Event::StreamWarning { key, what } => write!("stream_warning", stream = %key, what),
    }
}

/// The target of the machine's events; lines of the driver itself have their module's name.
const TARGET: &str = "headwater";

/// Who knows no leases has no epoch.
fn epoch_text(epoch: Option<&Epoch>) -> String {
    epoch.map_or_else(|| "none".to_owned(), Epoch::to_string)
}

/// Wider numbers than this are written as text.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn reason_name(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Eof => "eof",
        CloseReason::Refused => "refused",
        CloseReason::Reset => "reset",
        CloseReason::TimedOut => "timed_out",
        CloseReason::Unreachable => "unreachable",
    }
}
