//! A simulated network: the same driver on turmoil's hosts, under its latency, holds and crashes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use headwater_core::io::Endpoint;
use tokio::time::timeout;
use turmoil::net::{TcpListener, TcpStream};

use crate::net::Net;

/// TCP between the hosts of a `turmoil::Sim`. Only usable inside of one.
#[derive(Clone, Copy, Debug)]
pub struct TurmoilNet {
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl Default for TurmoilNet {
    fn default() -> Self {
        TurmoilNet { connect_timeout: Duration::from_secs(3) }
    }
}

impl Net for TurmoilNet {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(at).await
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        listener.accept().await
    }

    async fn connect(&self, to: &Endpoint) -> io::Result<TcpStream> {
        timeout(self.connect_timeout, TcpStream::connect((to.host.as_str(), to.port))).await?
    }
}
