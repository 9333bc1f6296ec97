//! The whole vocabulary between a node and its driver.
//!
//! Ids of connections that the node opens are chosen by the node (even numbers), ids of accepted ones by the driver
//! (odd numbers), so that both can name a connection before the other has heard of it. An input for an id that the
//! node has closed is late, not wrong: it is ignored.

use core::fmt;
use core::ops::Range;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::census::Census;
use crate::config::Config;
use crate::event::Event;
use crate::registry;
use crate::time::{Deadline, Now};

/// A stream connection (TCP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// An HTTP request that wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A command to a directory of streams that wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// A directory of streams outside the node: the place of its virtual host in [`Config::vhosts`].
///
/// [`Config::vhosts`]: crate::config::Config::vhosts
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub usize);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The managers' API, over HTTP.
    Api,
    /// HLS publishers, over HTTP.
    Http,
    /// The OVT publisher.
    Ovt,
    /// The RTMP provider.
    Rtmp,
}

/// A host name or address with a port, as configured; the driver resolves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A name, an IPv4 address or an IPv6 address without brackets.
    pub host: String,
    /// The port; never 0.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a connection is no more, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// The peer closed its side in order.
    Eof,
    /// The peer refused the connection.
    Refused,
    /// The connection broke.
    Reset,
    /// Nothing answered in time.
    TimedOut,
    /// The name did not resolve or no route leads there.
    Unreachable,
}

/// How the node ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Close {
    /// Throw away what is still queued.
    Abort,
    /// Send what is queued first; the driver bounds how long that may take.
    Flush,
}

/// What the world did.
#[derive(Debug)]
// Inputs are handed over by value, one at a time; a box for each request would cost more than the room.
#[allow(clippy::large_enum_variant)]
pub enum Input {
    /// A listener accepted a connection.
    Accepted {
        /// Chosen by the driver: odd.
        conn: ConnId,
        /// What the listener speaks.
        service: Service,
        /// The other end.
        peer: SocketAddr,
    },
    /// A connection ended, or could not be made. Nothing more is heard of it.
    Closed {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// The operator asked for something.
    Command(Command),
    /// A connection that the node asked for is there.
    Opened {
        /// As in [`Output::Open`].
        conn: ConnId,
    },
    /// Bytes arrived, cut anywhere.
    Received {
        /// Where.
        conn: ConnId,
        /// At least one.
        bytes: Bytes,
    },
    /// A directory of streams answered, or did not. The driver bounds how long that takes.
    Registry {
        /// As in [`Output::Registry`].
        ask: AskId,
        /// What it said, or why it said nothing.
        answer: Result<registry::Answer, registry::Failure>,
    },
    /// An HTTP request, already parsed; headers and body are bounded by the driver.
    Request {
        /// Chosen by the driver; never used twice.
        id: RequestId,
        /// On which kind of listener: [`Service::Api`] or [`Service::Http`].
        service: Service,
        /// Who asks.
        peer: SocketAddr,
        /// The request. Its URI may be absolute or only a path; then `Host` names the server.
        request: http::Request<()>,
    },
    /// Whoever asked is gone; no answer is wanted.
    RequestGone {
        /// Which.
        id: RequestId,
    },
    /// That many bytes of what was written have left for the peer.
    Sent {
        /// Where.
        conn: ConnId,
        /// How many since the last such input.
        bytes: usize,
    },
}

/// What an operator can ask of a running node.
#[derive(Clone, Debug)]
pub enum Command {
    /// Be configured like this from now on. What runs already runs on as it began.
    Configure(Box<Config>),
    /// Go when nobody needs this server any more, or when the configured time is over: take nothing new, send away who
    /// can go elsewhere, serve who cannot. The end is [`Output::Done`].
    Drain,
    /// Stop: close every session in order and answer every waiting request.
    Shutdown,
}

/// What the world should do.
#[derive(Debug)]
pub enum Output {
    /// End a connection. The driver reports nothing more about it.
    Close {
        /// Which.
        conn: ConnId,
        /// How.
        how: Close,
    },
    /// After a [`Command::Drain`]: every session is ended and every request answered. Accept nothing more, send what is
    /// queued, and end.
    Done,
    /// Something that operators, metrics and the simulator's checkers want to know.
    Event(Event),
    /// Make a connection. Answered by `Opened` or `Closed`; the node has its own deadline for it.
    Open {
        /// Chosen by the node: even.
        conn: ConnId,
        /// Where to.
        to: Endpoint,
    },
    /// Ask a directory of streams. Commands to one directory are carried out in their order. Answered by
    /// [`Input::Registry`].
    Registry {
        /// Chosen by the node; never used twice.
        ask: AskId,
        /// Which directory.
        store: StoreId,
        /// What to do.
        command: registry::Command,
    },
    /// Answer a request.
    Respond {
        /// Which.
        id: RequestId,
        /// The whole answer.
        response: http::Response<Body>,
    },
    /// Send bytes, after all that was written before. Never dropped in silence: `Sent` tells the node how far
    /// the driver has come, and the node decides when a queue is too long.
    Write {
        /// Where.
        conn: ConnId,
        /// What.
        bytes: Bytes,
    },
}

/// The body of an answer: pieces that are sent one after the other, never joined by copying.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body(pub Vec<Bytes>);

impl Body {
    /// The length of the whole body in bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// A run of its bytes, uncopied; those beyond its end are left out.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Body {
        let mut before = 0;
        let mut pieces = Vec::new();
        for piece in &self.0 {
            let start = range.start.saturating_sub(before).min(piece.len());
            let end = range.end.saturating_sub(before).min(piece.len());
            if start < end {
                pieces.push(piece.slice(start..end));
            }
            before += piece.len();
        }
        Body(pieces)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body(vec![bytes])
    }
}

/// A deterministic state machine at the boundary of a process: a [`crate::node::Node`], or a model of another
/// program in the simulator.
///
/// The contract: after every `handle` and `handle_timeout`, call `poll_output` until it returns `None`, then ask
/// `poll_timeout` and call `handle_timeout` at that moment if nothing else happens before. `now.mono` never goes
/// backwards.
pub trait Machine {
    /// The world did something.
    fn handle(&mut self, now: Now, input: Input);
    /// A deadline may have passed.
    fn handle_timeout(&mut self, now: Now);
    /// The next thing that the world should do.
    fn poll_output(&mut self) -> Option<Output>;
    /// The earliest moment at which `handle_timeout` has work.
    fn poll_timeout(&self) -> Option<Deadline>;
    /// What it holds. A model that has nothing to count says nothing.
    fn census(&self) -> Census {
        Census::default()
    }
}
