//! What an HTTP connection is doing, and since when: the base of every timeout on it.
//!
//! One place for all of them, looked at now and then by the task of the connection, instead of a timer for each.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::http::HttpLimits;

/// The state of a connection, shared by its socket, its requests and its task.
pub(crate) struct Activity(Mutex<State>);

struct State {
    /// When what it is doing now began.
    since: Instant,
    /// Requests that wait for an answer. While there is one, the machine has the word and nobody is late.
    asked: usize,
    /// Answers that are being sent.
    sending: usize,
    /// When a piece of an answer was last taken.
    progress: Instant,
    /// When the socket stopped taking bytes.
    blocked: Option<Instant>,
    /// Whether a request has begun to arrive and is not complete.
    reading: bool,
    /// Whether the last answer was given before the request was read to its end.
    unread: bool,
    protocol: Protocol,
}

/// What the client was found to speak.
#[derive(PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    /// Frames also come between requests, so bytes do not mean that a request has begun.
    Http2,
}

impl Default for Activity {
    fn default() -> Self {
        let now = Instant::now();
        Activity(Mutex::new(State {
            since: now,
            asked: 0,
            sending: 0,
            progress: now,
            blocked: None,
            reading: false,
            unread: false,
            protocol: Protocol::Unknown,
        }))
    }
}

impl Activity {
    /// A request is complete.
    pub(crate) fn begin(this: &Arc<Activity>, version: Version) -> Exchange {
        let mut state = this.state();
        state.asked += 1;
        state.reading = false;
        state.protocol = if version == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 };
        drop(state);
        Exchange { activity: this.clone(), answered: false }
    }

    /// Why the connection has to be cut, if it has.
    pub(crate) fn overdue(&self, limits: &HttpLimits) -> Option<&'static str> {
        let state = self.state();
        if state.blocked.is_some_and(|since| since.elapsed() >= limits.stall) {
            return Some("the client does not read");
        }
        if state.sending > 0 {
            return (state.progress.elapsed() >= limits.stall)
                .then_some("the client does not take its answer");
        }
        if state.asked > 0 {
            return None;
        }
        if state.reading || state.protocol == Protocol::Unknown {
            return (state.since.elapsed() >= limits.header_read).then_some("the request does not come");
        }
        (state.since.elapsed() >= limits.idle).then_some("idle")
    }

    fn received(&self) {
        let mut state = self.state();
        if !state.reading && state.asked + state.sending == 0 && state.protocol != Protocol::Http2 {
            state.reading = true;
            if state.protocol != Protocol::Unknown {
                state.since = Instant::now();
            }
        }
    }

    fn wrote(&self, blocked: bool) {
        let mut state = self.state();
        if blocked != state.blocked.is_some() {
            state.blocked = blocked.then(Instant::now);
        }
    }

    /// Whether the peer is probably sending something that nobody is going to read.
    fn is_cut_short(&self) -> bool {
        let state = self.state();
        state.reading || state.unread
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request and its answer; over when it is dropped.
pub(crate) struct Exchange {
    activity: Arc<Activity>,
    answered: bool,
}

impl Exchange {
    /// The answer is there; it is being sent from here on.
    pub(crate) fn answered(&mut self) {
        let mut state = self.activity.state();
        state.asked -= 1;
        state.sending += 1;
        state.progress = Instant::now();
        self.answered = true;
    }

    /// A piece of the answer was taken.
    pub(crate) fn progress(&self) {
        self.activity.state().progress = Instant::now();
    }

    /// The request was not read to its end.
    pub(crate) fn leaves_unread(&self) {
        self.activity.state().unread = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        let count = if self.answered { &mut state.sending } else { &mut state.asked };
        *count -= 1;
        state.since = Instant::now();
    }
}

/// A stream that reports what happens on it.
pub(crate) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Bytes that are still read and thrown away before the stream is closed.
    discard: usize,
}

/// What is read and thrown away of a request that was refused before it was complete.
const DISCARD_BYTES_MAX: usize = 1 << 20;

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, activity: Arc<Activity>) -> Watched<S> {
        Watched { stream, activity, discard: DISCARD_BYTES_MAX }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.activity.received();
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.activity.wrote(wrote.is_pending());
        wrote
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.activity.wrote(wrote.is_pending());
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Closing a socket that has unread bytes resets the connection, and the reset can overtake the answer that
    /// says why. So the rest of a request that was refused is read first; the connection's task bounds how long.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        while this.discard > 0 && this.activity.is_cut_short() {
            let mut scratch = [0; 4096];
            let mut buf = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                break;
            }
            this.discard = this.discard.saturating_sub(buf.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}
