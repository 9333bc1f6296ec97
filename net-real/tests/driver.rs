//! The driver's stream connections, on real sockets.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::event::Event;
use headwater_core::io::{Close, CloseReason, Command, ConnId, Endpoint, Input, Machine, Output, Service};
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_real::driver::{Control, Ended, Limits};
use headwater_net_real::net::Net;
use headwater_net_real::tokio::TokioNet;
use support::{Outbox, scripted, start, start_with, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

fn echo(_: Now, input: Input, out: &mut Outbox) {
    match input {
        Input::Received { conn, bytes } => out.push_back(Output::Write { conn, bytes }),
        Input::Accepted { conn, .. } => assert_eq!(conn.0 % 2, 1, "accepted ids are odd"),
        _ => {}
    }
}

#[tokio::test]
async fn echoes_through_real_sockets() {
    let driver = start(Service::Ovt, scripted(echo)).await;
    let clients = (0..20u8).map(|n| {
        let at = driver.at;
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(at).await.unwrap();
            for round in 0..200usize {
                let message = vec![n; 1 + round * 37];
                stream.write_all(&message).await.unwrap();
                let mut back = vec![0; message.len()];
                stream.read_exact(&mut back).await.unwrap();
                assert_eq!(back, message);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        within(client).await.unwrap();
    }
}

/// Everything that a machine which keeps a bounded amount in flight can observe.
#[derive(Default)]
struct Account {
    written: AtomicUsize,
    sent: AtomicUsize,
    most_in_flight: AtomicUsize,
}

#[tokio::test]
async fn a_slow_reader_is_bounded_and_every_sent_byte_is_accounted_for() {
    const PIECE: usize = 10_000;
    const TOTAL: usize = 20_000_000;
    const WINDOW: usize = 100_000;
    let account = Arc::new(Account::default());
    let books = account.clone();
    let fill = move |conn: ConnId, out: &mut Outbox| {
        let (mut written, sent) = (books.written.load(Ordering::Relaxed), books.sent.load(Ordering::Relaxed));
        while written < TOTAL && written - sent < WINDOW {
            out.push_back(Output::Write { conn, bytes: Bytes::from(vec![(written / PIECE) as u8; PIECE]) });
            written += PIECE;
        }
        books.written.store(written, Ordering::Relaxed);
        books.most_in_flight.fetch_max(written - sent, Ordering::Relaxed);
    };
    let books = account.clone();
    let driver = start(
        Service::Ovt,
        scripted(move |_, input, out| match input {
            Input::Accepted { conn, .. } => fill(conn, out),
            Input::Sent { conn, bytes } => {
                assert!(bytes > 0);
                books.sent.fetch_add(bytes, Ordering::Relaxed);
                fill(conn, out);
            }
            _ => {}
        }),
    )
    .await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    let stuck = account.sent.load(Ordering::Relaxed);
    assert!(stuck < TOTAL, "the kernel's buffers do not hold it all");
    assert!(account.written.load(Ordering::Relaxed) - stuck <= WINDOW + PIECE, "the machine's bound holds");
    let mut received = 0;
    let mut buffer = vec![0; 256 << 10];
    while received < TOTAL {
        let n = within(stream.read(&mut buffer)).await.unwrap();
        assert_ne!(n, 0);
        for (at, byte) in buffer[..n].iter().enumerate().step_by(997) {
            assert_eq!(usize::from(*byte), ((received + at) / PIECE) % 256, "in order");
        }
        received += n;
    }
    assert_eq!(received, TOTAL);
    assert_eq!(account.sent.load(Ordering::Relaxed), TOTAL);
    assert!(account.most_in_flight.load(Ordering::Relaxed) <= WINDOW + PIECE);
}

#[tokio::test]
async fn a_slow_machine_slows_its_peers() {
    // A machine that takes 2 ms for every input; its peers can push no more than the bounded queue holds.
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let driver = start(
        Service::Rtmp,
        scripted(move |_, input, _| {
            if let Input::Received { bytes, .. } = input {
                count.fetch_add(bytes.len(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        }),
    )
    .await;
    let mut fast = TcpStream::connect(driver.at).await.unwrap();
    let pushed = Arc::new(AtomicUsize::new(0));
    let counter = pushed.clone();
    let pushing = tokio::spawn(async move {
        let block = vec![0; 64 << 10];
        loop {
            fast.write_all(&block).await.unwrap();
            counter.fetch_add(block.len(), Ordering::Relaxed);
        }
    });
    sleep(Duration::from_millis(500)).await;
    let waiting = pushed.load(Ordering::Relaxed).saturating_sub(seen.load(Ordering::Relaxed));
    assert!(waiting < 32 << 20, "{waiting} bytes are held for a slow machine");
    pushing.abort();
}

#[tokio::test]
async fn a_peer_that_closed_its_side_still_gets_what_is_queued() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let log = reasons.clone();
    let driver = start(
        Service::Ovt,
        scripted(move |now, input, out| {
            if let Input::Closed { reason, .. } = &input {
                log.lock().unwrap().push(*reason);
            }
            echo(now, input, out);
        }),
    )
    .await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    stream.write_all(b"last words").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = Vec::new();
    within(stream.read_to_end(&mut back)).await.unwrap();
    assert_eq!(back, b"last words");
    assert_eq!(*reasons.lock().unwrap(), [CloseReason::Eof]);
}

#[tokio::test]
async fn a_reset_is_reported_once() {
    let (seen, mut reasons) = mpsc::unbounded_channel();
    let driver = start(
        Service::Ovt,
        scripted(move |_, input, _| {
            if let Input::Closed { reason, .. } = input {
                seen.send(reason).unwrap();
            }
        }),
    )
    .await;
    let stream = TcpStream::connect(driver.at).await.unwrap();
    stream.set_zero_linger().unwrap();
    sleep(Duration::from_millis(50)).await;
    drop(stream);
    assert_eq!(within(reasons.recv()).await, Some(CloseReason::Reset));
    assert!(timeout(Duration::from_millis(100), reasons.recv()).await.is_err(), "only once");
}

#[tokio::test]
async fn nothing_is_reported_after_a_close_and_the_last_words_arrive() {
    let (seen, mut after) = mpsc::unbounded_channel();
    let mut closed = false;
    let driver = start(
        Service::Rtmp,
        scripted(move |_, input, out| match input {
            Input::Received { conn, .. } if !closed => {
                closed = true;
                out.push_back(Output::Write { conn, bytes: Bytes::from_static(b"no, and goodbye") });
                out.push_back(Output::Close { conn, how: Close::Flush });
            }
            Input::Accepted { .. } => {}
            other => seen.send(format!("{other:?}")).unwrap(),
        }),
    )
    .await;
    let (mut reader, mut writer) = TcpStream::connect(driver.at).await.unwrap().into_split();
    // A publisher that goes on talking must still be able to read why it was turned away.
    let talking = tokio::spawn(async move { while writer.write_all(&[7; 10_000]).await.is_ok() {} });
    let mut words = Vec::new();
    let _ = within(reader.read_to_end(&mut words)).await;
    assert_eq!(words, b"no, and goodbye");
    within(talking).await.unwrap();
    assert!(after.try_recv().is_err(), "late data is dropped");
}

#[tokio::test]
async fn a_queue_over_the_last_limit_is_cut_and_told() {
    let (seen, mut closed) = mpsc::unbounded_channel();
    let limits = Limits { queue_bytes: 1 << 20, ..Limits::default() };
    let machine = scripted(move |_, input, out| match input {
        Input::Accepted { conn, .. } => {
            for _ in 0..100 {
                out.push_back(Output::Write { conn, bytes: Bytes::from(vec![0; 64 << 10]) });
            }
        }
        Input::Closed { reason, .. } => seen.send(reason).unwrap(),
        _ => {}
    });
    let mut driver = start_with(Service::Ovt, machine, limits).await;
    let _stream = TcpStream::connect(driver.at).await.unwrap();
    assert_eq!(within(closed.recv()).await, Some(CloseReason::Reset));
    assert!(matches!(
        within(driver.events.recv()).await,
        Some(Event::PeerMisbehaved { conn: ConnId(1), .. })
    ));
    assert!(closed.try_recv().is_err(), "once");
}

#[tokio::test]
async fn connections_over_the_bound_are_turned_away_and_places_come_back() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let driver = start_with(Service::Ovt, scripted(echo), limits).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(driver.at).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        kept.push(stream);
    }
    let mut third = TcpStream::connect(driver.at).await.unwrap();
    assert!(matches!(within(third.read(&mut [0])).await, Ok(0) | Err(_)), "turned away");
    kept.pop();
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        assert!(Instant::now() < until, "the place of a closed connection is free again");
        let mut again = TcpStream::connect(driver.at).await.unwrap();
        if again.write_all(b"y").await.is_ok() && again.read_u8().await.is_ok() {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Opens `to` at once, does `more`, and reports what became of it.
fn dialler(
    to: Endpoint,
    more: impl IntoIterator<Item = Output>,
) -> (impl Machine + Send, mpsc::UnboundedReceiver<Input>) {
    let (seen, inputs) = mpsc::unbounded_channel();
    let mut machine = scripted(move |_, input, _: &mut Outbox| seen.send(input).unwrap());
    machine.outbox.push_back(Output::Open { conn: ConnId(2), to });
    machine.outbox.extend(more);
    (machine, inputs)
}

#[tokio::test]
async fn a_dial_by_name_opens_and_sends_what_was_written_before() {
    let listener = TokioNet::default().listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let early = Output::Write { conn: ConnId(2), bytes: Bytes::from_static(b"early") };
    let (machine, mut inputs) = dialler(Endpoint { host: "localhost".to_owned(), port }, [early]);
    let _driver = start(Service::Ovt, machine).await;
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let mut early = [0; 5];
    within(stream.read_exact(&mut early)).await.unwrap();
    assert_eq!(&early, b"early");
    assert!(matches!(within(inputs.recv()).await, Some(Input::Opened { conn: ConnId(2) })));
    assert!(matches!(within(inputs.recv()).await, Some(Input::Sent { conn: ConnId(2), bytes: 5 })));
}

#[tokio::test]
async fn a_refused_dial_says_so() {
    let port = {
        let listener = TokioNet::default().listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let (machine, mut inputs) = dialler(Endpoint { host: "127.0.0.1".to_owned(), port }, []);
    let _driver = start(Service::Ovt, machine).await;
    let closed = within(inputs.recv()).await;
    assert!(
        matches!(closed, Some(Input::Closed { conn: ConnId(2), reason: CloseReason::Refused })),
        "{closed:?}"
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unreachable() {
    let (machine, mut inputs) = dialler(Endpoint { host: "no-such-host.invalid".to_owned(), port: 9000 }, []);
    let _driver = start(Service::Ovt, machine).await;
    let closed = within(inputs.recv()).await;
    // Without any resolver the attempt may time out instead.
    assert!(
        matches!(
            closed,
            Some(Input::Closed { reason: CloseReason::Unreachable | CloseReason::TimedOut, .. })
        ),
        "{closed:?}"
    );
}

#[tokio::test]
async fn a_black_hole_times_out() {
    // A listener whose backlog is full: the kernel drops further SYNs, as a dead host would.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(at)).await {
        held.push(stream.unwrap());
        assert!(held.len() < 100, "the backlog never fills");
    }
    let (machine, mut inputs) = dialler(Endpoint { host: at.ip().to_string(), port: at.port() }, []);
    let _driver = start(Service::Ovt, machine).await;
    let closed = within(inputs.recv()).await;
    assert!(matches!(closed, Some(Input::Closed { reason: CloseReason::TimedOut, .. })), "{closed:?}");
}

#[tokio::test]
async fn an_abandoned_dial_is_silent() {
    let listener = TokioNet::default().listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr().unwrap();
    let close = Output::Close { conn: ConnId(2), how: Close::Abort };
    let (machine, mut inputs) = dialler(Endpoint { host: at.ip().to_string(), port: at.port() }, [close]);
    let _driver = start(Service::Ovt, machine).await;
    assert!(timeout(Duration::from_millis(200), inputs.recv()).await.is_err());
}

/// Wants to be called every 20 ms, and counts.
struct Metronome {
    next: Time,
    beats: Arc<Mutex<Vec<Time>>>,
    inputs: usize,
}

impl Machine for Metronome {
    fn handle(&mut self, _: Now, _: Input) {
        self.inputs += 1;
    }
    fn handle_timeout(&mut self, now: Now) {
        assert!(now.mono >= self.next, "never early");
        self.beats.lock().unwrap().push(now.mono);
        self.next += Duration::from_millis(20);
    }
    fn poll_output(&mut self) -> Option<Output> {
        None
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline { at: self.next, why: "beat" })
    }
}

#[tokio::test]
async fn deadlines_are_kept_under_a_flood_of_inputs() {
    let beats = Arc::new(Mutex::new(Vec::new()));
    let driver = start(Service::Ovt, Metronome { next: Time::ZERO, beats: beats.clone(), inputs: 0 }).await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    let flood = tokio::spawn(async move {
        loop {
            stream.write_all(&[0; 32 << 10]).await.unwrap();
        }
    });
    sleep(Duration::from_millis(600)).await;
    flood.abort();
    let count = beats.lock().unwrap().len();
    assert!((20..=31).contains(&count), "{count} beats in 600 ms");
}

#[tokio::test]
async fn shutdown_flushes_what_the_machine_wrote_and_accepts_nothing_more() {
    let mut open = Vec::new();
    let driver = start(
        Service::Ovt,
        scripted(move |_, input, out| match input {
            Input::Accepted { conn, .. } => open.push(conn),
            Input::Command(Command::Shutdown) => {
                for conn in open.drain(..) {
                    out.push_back(Output::Write { conn, bytes: Bytes::from(vec![9; 4 << 20]) });
                    out.push_back(Output::Close { conn, how: Close::Flush });
                }
            }
            _ => {}
        }),
    )
    .await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    driver.control.send(Control::Shutdown).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(driver.at).await.is_err(), "the listener is gone");
    let mut all = Vec::new();
    within(stream.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all.len(), 4 << 20);
    drop(stream);
    assert_eq!(driver.ended().await, Ended::Clean);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever_and_a_second_order_does_not_wait_at_all() {
    let limits = Limits { drain: Duration::from_millis(300), ..Limits::default() };
    let driver = start_with(Service::Ovt, scripted(echo), limits).await;
    let _stream = TcpStream::connect(driver.at).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    driver.control.send(Control::Shutdown).await.unwrap();
    assert_eq!(driver.ended().await, Ended::Cut { connections: 1, requests: 0 });

    let driver = start(Service::Ovt, scripted(echo)).await;
    let _stream = TcpStream::connect(driver.at).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let begin = Instant::now();
    driver.control.send(Control::Shutdown).await.unwrap();
    driver.control.send(Control::Stop).await.unwrap();
    assert_eq!(driver.ended().await, Ended::Stopped);
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_panic_of_the_machine_comes_out_of_the_driver() {
    let driver = start(
        Service::Ovt,
        scripted(|_, input, _| {
            if let Input::Received { .. } = input {
                panic!("a bug in the machine");
            }
        }),
    )
    .await;
    let mut stream = TcpStream::connect(driver.at).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert!(within(driver.task).await.unwrap_err().is_panic());
}
