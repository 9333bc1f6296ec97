//! Accepting: a task per listener that never gives up and never takes more than it has room for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::io::Service;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::driver::{Happened, Phase};
use crate::http::{self, Caller, Gate};
use crate::net::Net;

/// Where accepted connections go.
pub(crate) enum Door<S> {
    /// To hyper, in the clear or after a greeting.
    Http(Service, Arc<Gate<S>>, watch::Receiver<Phase>, Option<Greeter>),
    /// To the machine, byte by byte.
    Stream(Service, mpsc::Sender<Happened<S>>),
}

/// Who greets those that come over TLS.
#[derive(Clone)]
pub(crate) struct Greeter {
    pub(crate) acceptor: TlsAcceptor,
    /// How long it may take.
    pub(crate) patience: Duration,
}

/// An accepting task; the listener is closed when this is dropped.
pub(crate) struct Accepting(pub(crate) JoinHandle<()>);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Accepts until it is aborted. `room` is how many connections may be open at a time.
pub(crate) async fn accept<N: Net>(mut listener: N::Listener, room: Arc<Semaphore>, door: Door<N::Stream>) {
    let (mut full, mut failing) = (Rarely::default(), Rarely::default());
    let mut pause = PAUSE_MIN;
    loop {
        let (stream, peer) = match N::accept(&mut listener).await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                if let Some(times) = failing.now() {
                    warn!(%error, times, "cannot accept connections; if files ran out, raise `ulimit -n`");
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
        };
        pause = PAUSE_MIN;
        match room.clone().try_acquire_owned() {
            Ok(permit) => door.pass(stream, peer, permit).await,
            Err(_) => {
                if let Some(times) = full.now() {
                    warn!(%peer, service = ?door.service(), times, "too many connections; turned away");
                }
            }
        }
    }
}

/// The pause after a failure that will not go away by itself at once, such as running out of files.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A complaint that can come thousands of times a second is written this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Door<S> {
    fn service(&self) -> Service {
        match self {
            Door::Http(service, ..) => *service,
            Door::Stream(service, _) => *service,
        }
    }

    async fn pass(&self, stream: S, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        match self {
            Door::Http(service, gate, phase, greeter) => {
                debug!(%peer, ?service, tls = greeter.is_some(), "accepted");
                let caller = Caller { service: *service, peer };
                let (gate, phase, greeter) = (gate.clone(), phase.clone(), greeter.clone());
                tokio::spawn(async move {
                    match greeter {
                        None => http::serve(gate, stream, caller, phase).await,
                        Some(greeter) => greeter.serve(gate, stream, caller, phase).await,
                    }
                    drop(permit);
                });
            }
            Door::Stream(service, inputs) => {
                // Only fails when the driver has ended, and then this task is aborted.
                let _ = inputs.send(Happened::Accepted { service: *service, stream, peer, permit }).await;
            }
        }
    }
}

impl Greeter {
    /// Greets a client and serves it. Who is not greeted when the server begins to end is not waited for.
    async fn serve<S>(self, gate: Arc<Gate<S>>, stream: S, caller: Caller, mut phase: watch::Receiver<Phase>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let greeted = tokio::select! {
            biased;
            _ = phase.changed() => return,
            greeted = timeout(self.patience, self.acceptor.accept(stream)) => greeted,
        };
        let peer = caller.peer;
        match greeted {
            Ok(Ok(stream)) => http::serve(gate, stream, caller, phase).await,
            Ok(Err(error)) => debug!(%peer, %error, "a TLS client was not understood"),
            Err(_) => debug!(%peer, "a TLS client did not finish its greeting"),
        }
    }
}

/// Whether only the connection that was about to be accepted is affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionRefused | Kind::ConnectionReset | Kind::Interrupted
    )
}

/// Says when to complain, and how often there was reason to since the last time.
#[derive(Default)]
struct Rarely {
    last: Option<Instant>,
    times: u64,
}

impl Rarely {
    fn now(&mut self) -> Option<u64> {
        self.times += 1;
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < COMPLAINT_INTERVAL) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}
