//! What the driver asks of a network: stream sockets, and nothing else. Time and tasks come from tokio.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use headwater_core::io::{CloseReason, Endpoint};
use tokio::io::{AsyncRead, AsyncWrite};

/// A network: the real one, or a simulated one under the same driver.
pub trait Net: Clone + Send + Sync + 'static {
    /// A bound, listening socket.
    type Listener: Send + 'static;
    /// A connection. Dropping it closes it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Binds and listens. Two listeners never share an address.
    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// The next connection of a listener. Must be cancel safe.
    fn accept(
        listener: &mut Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Resolves the name, tries its addresses, and gives up after a time of its own.
    fn connect(&self, to: &Endpoint) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Why a connection could not be made, in the machine's words.
pub(crate) fn dial_failure(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => CloseReason::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => CloseReason::Reset,
        io::ErrorKind::TimedOut => CloseReason::TimedOut,
        _ => CloseReason::Unreachable,
    }
}

/// Why a connection that was there is no more, in the machine's words.
pub(crate) fn loss(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::TimedOut => CloseReason::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => CloseReason::Unreachable,
        _ => CloseReason::Reset,
    }
}
