//! GET over one kept-alive HTTP/1.1 connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A client of one server.
#[derive(Debug)]
pub(super) struct Client {
    server: SocketAddr,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the path is not one: {0}")]
    Path(#[from] http::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silence,
    #[error("the answer is {0}")]
    Status(StatusCode),
}

/// How long a request may take; a blocking reload is answered within three target durations.
const PATIENCE: Duration = Duration::from_secs(15);

impl Client {
    pub(super) fn new(server: SocketAddr) -> Client {
        Client { server, connection: None }
    }

    /// The body at `path`, query included; anything but 200 is an error.
    pub(super) async fn get(&mut self, path: &str) -> Result<Bytes, ClientError> {
        timeout(PATIENCE, self.ask(path)).await.unwrap_or(Err(ClientError::Silence))
    }

    async fn ask(&mut self, path: &str) -> Result<Bytes, ClientError> {
        // Taken, so that a connection in an unknown state is never used again.
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => connect(self.server).await?,
        };
        let request = Request::get(path).header(HOST, self.server.to_string()).body(Empty::new())?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.connection = Some(connection);
        if status != StatusCode::OK {
            return Err(ClientError::Status(status));
        }
        Ok(body)
    }
}

async fn connect(server: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, ClientError> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let (connection, io) = handshake(TokioIo::new(socket)).await?;
    // Ends with the connection; its error is also the request's.
    tokio::spawn(io);
    Ok(connection)
}
