//! One stream connection: a task that reads, a queue that the driver writes from, and an orderly end.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use headwater_core::io::{CloseReason, ConnId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::driver::Happened;
use crate::net::loss;
use crate::task::Task;

/// A connection that the machine knows of.
pub(crate) struct Conn<S> {
    /// Dials until there is a stream, reads from then on.
    task: Task,
    /// `None` while the connection is being made; what is written then waits in the queue.
    writer: Option<WriteHalf<S>>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Tells the driver that the socket takes bytes again.
    waker: Waker,
    /// Whether the driver is to flush it at the end of this turn; kept here so that it is listed only once.
    pub(crate) listed: bool,
    /// Whether the socket was full at the last flush, and the waker has not told otherwise.
    pub(crate) blocked: bool,
    /// Its place among the connections of its listener.
    permit: Option<OwnedSemaphorePermit>,
    /// Set when nobody wants to hear of the connection any more; what still comes is counted and thrown away.
    deaf: Arc<AtomicBool>,
}

/// How far a flush came.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// The queue is empty.
    All,
    /// The socket is full; the waker will tell.
    Blocked,
    /// The share of this turn is used up.
    Share,
    /// The connection is gone.
    Lost(CloseReason),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Conn<S> {
    /// A connection that `task` is making.
    pub(crate) fn dialling(
        conn: ConnId,
        task: JoinHandle<()>,
        writable: &mpsc::UnboundedSender<ConnId>,
    ) -> Conn<S> {
        Conn {
            task: Task(task),
            writer: None,
            queue: VecDeque::new(),
            queued: 0,
            waker: Waker::from(Arc::new(Writable { conn, writable: writable.clone() })),
            listed: false,
            blocked: false,
            permit: None,
            deaf: Arc::default(),
        }
    }

    /// A connection that a listener has accepted.
    pub(crate) fn accepted(
        conn: ConnId,
        stream: S,
        permit: OwnedSemaphorePermit,
        inputs: &mpsc::Sender<Happened<S>>,
        writable: &mpsc::UnboundedSender<ConnId>,
    ) -> Conn<S> {
        let (reader, writer) = tokio::io::split(stream);
        let deaf = Arc::<AtomicBool>::default();
        let task = tokio::spawn(read(conn, reader, inputs.clone(), Arc::clone(&deaf)));
        let mut this = Conn::dialling(conn, task, writable);
        this.deaf = deaf;
        this.writer = Some(writer);
        this.permit = Some(permit);
        this
    }

    /// The connection that was being made is there.
    pub(crate) fn opened(&mut self, conn: ConnId, stream: S, inputs: &mpsc::Sender<Happened<S>>) {
        let (reader, writer) = tokio::io::split(stream);
        self.task = Task(tokio::spawn(read(conn, reader, inputs.clone(), Arc::clone(&self.deaf))));
        self.writer = Some(writer);
    }

    /// Appends to the queue. Returns how many bytes it holds.
    pub(crate) fn write(&mut self, bytes: Bytes) -> usize {
        if !bytes.is_empty() {
            self.queued = self.queued.saturating_add(bytes.len());
            self.queue.push_back(bytes);
        }
        self.queued
    }

    /// Gives the socket what it takes, and says how many bytes that were.
    pub(crate) fn flush(&mut self) -> (usize, Flushed) {
        let Some(writer) = &mut self.writer else { return (0, Flushed::All) };
        let mut cx = Context::from_waker(&self.waker);
        let mut sent = 0;
        let how = loop {
            if self.queue.is_empty() {
                // Nothing is buffered below on a real socket; a simulated one may hold bytes until it is told.
                let _ = Pin::new(&mut *writer).poll_flush(&mut cx);
                break Flushed::All;
            }
            if sent >= FLUSH_BYTES_MAX {
                break Flushed::Share;
            }
            match poll_write_queue(writer, &mut self.queue, &mut cx) {
                Poll::Pending => break Flushed::Blocked,
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(error)) => break Flushed::Lost(loss(&error)),
            }
        };
        self.queued -= sent;
        (sent, how)
    }

    /// Sends the rest of the queue within `patience`, then says goodbye. The result is to be spawned; dropping it,
    /// like dropping the connection itself, closes the socket at once.
    pub(crate) async fn finish(self, patience: Duration) {
        let Conn { mut task, writer: Some(mut writer), mut queue, permit: _permit, deaf, .. } = self else {
            return;
        };
        deaf.store(true, Ordering::Relaxed);
        let send = async {
            while !queue.is_empty() {
                std::future::poll_fn(|cx| poll_write_queue(&mut writer, &mut queue, cx)).await?;
            }
            writer.shutdown().await
        };
        if let Ok(Ok(())) = timeout(patience, send).await {
            // Closing a socket that has unread bytes resets the connection, and the reset can overtake our last
            // words. So the peer gets a moment to hang up; the reader discards what still comes, within bounds.
            let _ = timeout(LINGER, &mut task.0).await;
        }
    }
}

/// Most bytes that one connection sends in one turn, so that a fast one does not hold up the others.
const FLUSH_BYTES_MAX: usize = 1 << 20;

/// Pieces that go to the kernel in one call.
const SLICES_MAX: usize = 64;

/// How long a peer is listened to after we have said goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// The most that a peer may still send us after that.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// The first read buffer of a connection. It doubles while reads fill it, so that idle connections cost little.
const READ_BYTES_MIN: usize = 4 << 10;

/// The largest read buffer.
const READ_BYTES_MAX: usize = 64 << 10;

/// A buffer with less room than this is not worth a call.
const READ_ROOM_MIN: usize = 1 << 10;

/// Wakes the driver for one connection only.
struct Writable {
    conn: ConnId,
    writable: mpsc::UnboundedSender<ConnId>,
}

impl Wake for Writable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Only fails when the driver has ended.
        let _ = self.writable.send(self.conn);
    }
}

/// One call to the kernel with the front of the queue; takes off what was sent.
fn poll_write_queue<W: AsyncWrite + Unpin>(
    writer: &mut W,
    queue: &mut VecDeque<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slice, bytes) in slices.iter_mut().zip(queue.iter()) {
        *slice = IoSlice::new(bytes);
        count += 1;
    }
    let sent = match Pin::new(writer).poll_write_vectored(cx, &slices[..count]) {
        Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        Poll::Ready(Ok(sent)) => sent,
        other => return other,
    };
    let mut left = sent;
    while left > 0 {
        let Some(front) = queue.front_mut() else { break };
        if front.len() > left {
            front.advance(left);
            break;
        }
        left -= front.len();
        queue.pop_front();
    }
    Poll::Ready(Ok(sent))
}

/// Reads until the end. A driver that is busy makes `send` wait, which makes the peer wait.
async fn read<S: AsyncRead>(
    conn: ConnId,
    mut reader: ReadHalf<S>,
    inputs: mpsc::Sender<Happened<S>>,
    deaf: Arc<AtomicBool>,
) {
    let mut buffer = BytesMut::new();
    let mut size = READ_BYTES_MIN;
    let mut discarded = 0;
    loop {
        if buffer.capacity() - buffer.len() < READ_ROOM_MIN {
            buffer.reserve(size);
        }
        let happened = match reader.read_buf(&mut buffer).await {
            Ok(0) => Happened::Lost { conn, reason: CloseReason::Eof },
            Ok(_) => {
                if buffer.capacity() == buffer.len() {
                    size = (size * 2).min(READ_BYTES_MAX);
                }
                Happened::Received { conn, bytes: buffer.split().freeze() }
            }
            Err(error) => Happened::Lost { conn, reason: loss(&error) },
        };
        let last = matches!(happened, Happened::Lost { .. });
        if let (true, Happened::Received { bytes, .. }) = (deaf.load(Ordering::Relaxed), &happened) {
            discarded += bytes.len();
            if discarded > LINGER_BYTES_MAX {
                return;
            }
            continue;
        }
        if inputs.send(happened).await.is_err() || last {
            return;
        }
    }
}
