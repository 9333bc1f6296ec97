//! The real network: TCP through tokio.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use headwater_core::io::Endpoint;
use headwater_core::limits;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::net::Net;

/// TCP sockets of this machine.
#[derive(Clone, Copy, Debug)]
pub struct TokioNet {
    /// How long resolving a name and trying all of its addresses may take together.
    pub connect_timeout: Duration,
}

impl Default for TokioNet {
    /// 3 s: longer than a node's own deadline, which is what normally ends an attempt.
    fn default() -> Self {
        TokioNet { connect_timeout: Duration::from_secs(3) }
    }
}

impl Net for TokioNet {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted server takes its port back at once; a running one is still in the way.
        socket.set_reuse_address(true)?;
        if at.is_ipv6() {
            // `::` is every IPv6 address, so that `*` can stand beside it.
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        tune(&stream, &keepalive);
        Ok((stream, peer))
    }

    async fn connect(&self, to: &Endpoint) -> io::Result<TcpStream> {
        let until = Instant::now() + self.connect_timeout;
        let addresses = match to.host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, to.port)],
            Err(_) => timeout_at(until, resolve(to)).await??,
        };
        let stream = first_of(&addresses, until).await?;
        let keepalive = TcpKeepalive::new()
            .with_time(limits::PROBE_AFTER)
            .with_interval(limits::PROBE_EVERY)
            .with_retries(limits::PROBES_MAX);
        tune(&stream, &keepalive);
        Ok(stream)
    }
}

/// Connections that the kernel accepts for us while we are busy. Linux lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Addresses of one name that are tried; more would only shorten the time for each.
const ADDRESSES_MAX: usize = 8;

async fn resolve(to: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((to.host.as_str(), to.port)).await?;
    Ok(found.take(ADDRESSES_MAX).collect())
}

/// Tries the addresses in order. Each gets an even share of the time that is left, so that one that swallows
/// packets does not hide the next.
async fn first_of(addresses: &[SocketAddr], until: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = until.saturating_duration_since(now) / left;
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = worse(failure, error),
            Err(elapsed) => failure = worse(failure, elapsed.into()),
        }
    }
    Err(failure)
}

/// Of two failures, the one that says more about the peer: a host that refuses is there.
fn worse(a: io::Error, b: io::Error) -> io::Error {
    let weight = |error: &io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => 3,
        io::ErrorKind::TimedOut => 2,
        io::ErrorKind::NotFound => 0,
        _ => 1,
    };
    if weight(&b) > weight(&a) { b } else { a }
}

/// Small messages leave at once, and a peer that vanished without a word is noticed: a client within a minute, an origin
/// sooner. A socket that refuses either still works, so failures are not worth losing it.
fn tune(stream: &TcpStream, keepalive: &TcpKeepalive) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(keepalive);
}
