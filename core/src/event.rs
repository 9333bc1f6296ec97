//! Every observable fact, declared once. Logs, metrics, the simulator's checkers and its trace all read these.

use core::time::Duration;
use std::fmt;

use crate::io::{CloseReason, ConnId};
use crate::registry::Epoch;
use crate::time::Time;

/// The name of a stream on a node: virtual host, application, stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The virtual host's configured name.
    pub vhost: String,
    /// The application.
    pub app: String,
    /// The stream.
    pub stream: String,
}

impl fmt::Display for StreamKey {
    /// As OvenMediaEngine writes it: `#vhost#app/stream`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}#{}/{}", self.vhost, self.app, self.stream)
    }
}

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Severity {
    Debug,
    Info,
    Warn,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Viewers were sent away because the server is full. Said at most once in ten seconds.
    ViewersRefused {
        /// How many since it was said last.
        count: u64,
        /// Which limit it has reached.
        why: String,
    },
    /// The server has another configuration.
    Configured {
        /// What of it wants a restart, and what to do.
        stays: Vec<String>,
    },
    /// Somebody who may wants the configuration to be read again.
    ConfigurationAsked,
    /// The server is to go: it takes nothing new.
    DrainStarted {
        /// How long it serves those who cannot go elsewhere.
        within: Duration,
    },
    /// The server goes.
    DrainEnded {
        /// Why now.
        why: &'static str,
    },
    /// A peer broke its protocol, or one of our bounds; its connection was closed.
    PeerMisbehaved {
        /// The connection.
        conn: ConnId,
        /// What it did, and what it should do.
        what: String,
    },
    /// A publisher's stream began.
    PublishStarted {
        /// The stream.
        key: StreamKey,
        /// Its connection.
        conn: ConnId,
    },
    /// A publisher was turned away.
    PublishRefused {
        /// The connection.
        conn: ConnId,
        /// Why, as the publisher was told.
        why: String,
    },
    /// A stream has lost its publisher, and waits for another one or for the same one.
    PublishInterrupted {
        /// The stream.
        key: StreamKey,
        /// Why.
        why: String,
    },
    /// A stream that had lost its publisher goes on.
    PublishResumed {
        /// The stream.
        key: StreamKey,
        /// How long it was without media.
        outage: Duration,
        /// How it goes on.
        joined: Joined,
    },
    /// One more publisher of a stream waits for its turn.
    PublisherStandsBy {
        /// The stream.
        key: StreamKey,
        /// Its connection.
        conn: ConnId,
    },
    /// A publisher's stream ended.
    PublishEnded {
        /// The stream.
        key: StreamKey,
        /// Why.
        why: String,
    },
    /// An edge tries an origin.
    PullDialled {
        /// The stream.
        key: StreamKey,
        /// The origin's URL.
        url: String,
    },
    /// An origin could not be used, or was lost.
    PullLost {
        /// The stream.
        key: StreamKey,
        /// The origin's URL.
        url: String,
        /// What happened, in a sentence.
        why: String,
    },
    /// An origin is silent for longer than it should; others are tried while it may still speak.
    PullSuspected {
        /// The stream.
        key: StreamKey,
        /// The origin's URL.
        url: String,
        /// For how long it has been.
        silent_for: Duration,
    },
    /// An origin that was suspect has spoken before another one played: nothing was lost.
    PullTrusted {
        /// The stream.
        key: StreamKey,
        /// The origin's URL.
        url: String,
        /// For how long it was silent.
        silent_for: Duration,
    },
    /// The first media of an origin arrived; viewers see this origin from here on.
    PullPlaying {
        /// The stream.
        key: StreamKey,
        /// The origin's URL.
        url: String,
        /// How long the stream was without media; zero at its first start.
        outage: Duration,
        /// How the new media was joined to the old.
        joined: Joined,
    },
    /// A standby origin is in step with what viewers see: it can take over without their noticing.
    StandbyReady {
        /// The stream.
        key: StreamKey,
        /// The origin's URL.
        url: String,
    },
    /// A standby origin carries other media than viewers see: if it has to take over, it is joined at a key frame.
    StandbyApart {
        /// The stream.
        key: StreamKey,
        /// The origin's URL.
        url: String,
    },
    /// The origin that plays is late; viewers get from a standby what it should have brought.
    StandbyCovers {
        /// The stream.
        key: StreamKey,
        /// The standby's URL.
        url: String,
    },
    /// A standby origin cannot be used, or was lost.
    StandbyLost {
        /// The stream.
        key: StreamKey,
        /// The origin's URL.
        url: String,
        /// What happened, in a sentence.
        why: String,
    },
    /// A pulled stream is given up and forgotten.
    PullEnded {
        /// The stream.
        key: StreamKey,
        /// Why.
        why: String,
    },
    /// An edge (or any OVT client) plays a stream from here.
    RelayStarted {
        /// The stream.
        key: StreamKey,
        /// Its connection.
        conn: ConnId,
    },
    /// An OVT client could not keep up and was cut to the next key frame.
    RelaySkipped {
        /// The stream.
        key: StreamKey,
        /// Its connection.
        conn: ConnId,
        /// Packets that it did not get.
        packets: u64,
    },
    /// An OVT client is gone.
    RelayEnded {
        /// The stream.
        key: StreamKey,
        /// Its connection.
        conn: ConnId,
    },
    /// A part can be asked for.
    PartReady {
        /// The stream.
        key: StreamKey,
        /// The track's number.
        track: u32,
        /// The media sequence number of its segment.
        msn: u64,
        /// Its number in the segment.
        part: u32,
    },
    /// A connection ended from the other side.
    ConnectionLost {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
        /// When.
        at: Time,
    },
    /// A directory of streams does not answer, or refuses.
    StoreAway {
        /// Whose: the virtual host.
        vhost: String,
        /// Why, without any password.
        why: String,
    },
    /// A directory of streams answers again.
    StoreBack {
        /// Whose: the virtual host.
        vhost: String,
        /// How long it did not.
        after: Duration,
    },
    /// A stream of this server is the one that the directory leads to.
    StreamAnnounced {
        /// The stream.
        key: StreamKey,
        /// Its reign.
        epoch: Epoch,
    },
    /// A stream of this server is no longer the one that the directory leads to, or may not be.
    StreamDisowned {
        /// The stream.
        key: StreamKey,
    },
    /// A stream of this server is somebody else's in the directory; this server waits in line.
    StreamWaits {
        /// The stream.
        key: StreamKey,
        /// Whose it is; `None` if the owner knows no leases, as OvenMediaEngine.
        epoch: Option<Epoch>,
        /// Where.
        url: String,
    },
    /// The directory leads to another place than before, or into another epoch.
    RouteFollowed {
        /// The stream.
        key: StreamKey,
        /// The owner's reign; `None` if the owner knows no leases.
        epoch: Option<Epoch>,
        /// Where.
        url: String,
    },
    /// What the directory says of a stream cannot be used.
    RouteUnusable {
        /// The stream.
        key: StreamKey,
        /// Why, and what to do.
        why: String,
    },
    /// A stream makes the segments that every server of it makes, or may no longer. Said when it begins and when that
    /// changes; never of streams whose times count from their start.
    StreamShared {
        /// The stream.
        key: StreamKey,
        /// Why it may not make them, and what to do; `None` if it does.
        doubt: Option<String>,
    },
    /// Something that the operator should know about a stream (a key-frame interval that does not fit, ...).
    StreamWarning {
        /// The stream.
        key: StreamKey,
        /// What, and what to do about it.
        what: String,
    },
}

/// How media from a new origin was joined to what viewers had already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// There was nothing before.
    First,
    /// Both origins carry the same access units: joined at the very next one.
    Exact,
    /// Joined at a key frame of the new origin.
    KeyFrame,
}

impl Event {
    /// How loud it is in a log.
    pub fn severity(&self) -> Severity {
        match self {
            Event::PartReady { .. } | Event::ConnectionLost { .. } => Severity::Debug,
            Event::PeerMisbehaved { .. }
            | Event::PublishInterrupted { .. }
            | Event::PublishRefused { .. }
            | Event::PullLost { .. }
            | Event::RelaySkipped { .. }
            | Event::RouteUnusable { .. }
            | Event::StandbyApart { .. }
            | Event::StandbyLost { .. }
            | Event::StoreAway { .. }
            | Event::StreamDisowned { .. }
            | Event::StreamShared { doubt: Some(_), .. }
            | Event::StreamWarning { .. } => Severity::Warn,
            Event::ViewersRefused { .. } => Severity::Warn,
            Event::Configured { stays } if !stays.is_empty() => Severity::Warn,
            Event::Configured { .. }
            | Event::ConfigurationAsked
            | Event::DrainStarted { .. }
            | Event::DrainEnded { .. }
            | Event::PublishStarted { .. }
            | Event::PublishEnded { .. }
            | Event::PublishResumed { .. }
            | Event::PublisherStandsBy { .. }
            | Event::PullDialled { .. }
            | Event::PullPlaying { .. }
            | Event::PullSuspected { .. }
            | Event::PullTrusted { .. }
            | Event::PullEnded { .. }
            | Event::RelayStarted { .. }
            | Event::RelayEnded { .. }
            | Event::RouteFollowed { .. }
            | Event::StandbyCovers { .. }
            | Event::StandbyReady { .. }
            | Event::StoreBack { .. }
            | Event::StreamAnnounced { .. }
            | Event::StreamShared { doubt: None, .. }
            | Event::StreamWaits { .. } => Severity::Info,
        }
    }
}
