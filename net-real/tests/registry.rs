//! The driver's way to a directory of streams: in order, bounded, and never in the machine's way.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_core::config::{RedisServer, RedisServers, Secret};
use headwater_core::io::{AskId, Endpoint, Input, Output, StoreId};
use headwater_core::registry::redis::Schema;
use headwater_core::registry::{Answer, Command, Failure, LeaseId};
use headwater_net_real::clock::Clock;
use headwater_net_real::driver::{Control, Ended, Limits, Setup, run};
use headwater_net_real::registry::Client;
use headwater_net_real::tokio::TokioNet;
use support::{Outbox, scripted, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

type Answers = mpsc::UnboundedReceiver<(AskId, Result<Answer, Failure>)>;

/// A driver whose machine asks `commands` at the start and tells what it hears.
fn ask(port: u16, commands: Vec<Command>) -> (mpsc::Sender<Control>, Answers, JoinHandle<Ended>) {
    let redis = RedisServer {
        password: Some(Secret::new("pass")),
        connect_timeout: Duration::from_millis(300),
        command_timeout: Duration::from_millis(200),
        ..RedisServers::Single(Endpoint { host: "127.0.0.1".to_owned(), port }).into()
    };
    let net = TokioNet::default();
    let store = Client::new(net, &redis, Schema::default()).expect("there are no certificates to read");
    let (heard, answers) = mpsc::unbounded_channel();
    let mut machine = scripted(move |_, input, _: &mut Outbox| {
        if let Input::Registry { ask, answer } = input {
            let _ = heard.send((ask, answer));
        }
    });
    for (ask, command) in (1..).zip(commands) {
        machine.outbox.push_back(Output::Registry { ask: AskId(ask), store: StoreId(0), command });
    }
    let setup = Setup {
        net,
        clock: Clock::system(),
        listeners: Vec::new(),
        stores: vec![(StoreId(0), store)],
        limits: Limits::default(),
    };
    let (control, orders) = mpsc::channel(1);
    (control, answers, tokio::spawn(run(setup, machine, |_, _| {}, orders)))
}

fn renewals(count: u64) -> Vec<Command> {
    (0..count).map(|by| Command::Renew { by: LeaseId(by) }).collect()
}

/// A server that lets everybody in, and says `:1` to everything after a while.
async fn server(pause: Duration) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, pause, Arc::clone(&log)));
        }
    });
    (port, seen)
}

async fn answer(mut stream: TcpStream, pause: Duration, log: Arc<Mutex<Vec<String>>>) {
    let (mut read, mut known) = (vec![0; 4096], String::new());
    while let Ok(n @ 1..) = stream.read(&mut read).await {
        known.push_str(&String::from_utf8_lossy(&read[..n]));
        // The client writes a command in one piece, and each of these has its verb once.
        for verb in ["AUTH", "PEXPIRE"] {
            while let Some(at) = known.find(verb) {
                log.lock().unwrap().push(verb.to_owned());
                known.replace_range(at..at + verb.len(), "");
                if verb == "PEXPIRE" {
                    sleep(pause).await;
                }
                let reply: &[u8] = if verb == "AUTH" { b"+OK\r\n" } else { b":1\r\n" };
                stream.write_all(reply).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_commands_over_one_connection() {
    let (port, seen) = server(Duration::ZERO).await;
    let (_control, mut answers, _task) = ask(port, renewals(20));
    for expected in 1..=20 {
        assert_eq!(within(answers.recv()).await, Some((AskId(expected), Ok(Answer::Renewed(true)))));
    }
    assert_eq!(seen.lock().unwrap().iter().filter(|verb| *verb == "AUTH").count(), 1);
}

#[tokio::test]
async fn a_silent_server_keeps_nobody_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let began = Instant::now();
    let (_control, mut answers, _task) = ask(listener.local_addr().unwrap().port(), renewals(50));
    for expected in 1..=50 {
        let (ask, answer) = within(answers.recv()).await.unwrap();
        assert_eq!(ask, AskId(expected));
        assert!(matches!(answer, Err(Failure::Away(_))), "{answer:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}: the queue has one deadline", began.elapsed());
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_answered_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_control, mut answers, _task) = ask(listener.local_addr().unwrap().port(), renewals(1_000));
    let mut refused = Vec::new();
    while let Ok(Some((_, answer))) = timeout(Duration::from_millis(100), answers.recv()).await {
        refused.push(answer);
    }
    assert!((740..=745).contains(&refused.len()), "{}", refused.len());
    assert!(
        refused
            .iter()
            .all(|answer| matches!(answer, Err(Failure::Away(why)) if why.contains("256 commands wait")))
    );
}

#[tokio::test]
async fn an_orderly_end_waits_for_the_last_answer() {
    let (port, seen) = server(Duration::from_millis(100)).await;
    let (control, mut answers, task) = ask(port, renewals(1));
    control.send(Control::Shutdown).await.unwrap();
    assert_eq!(within(task).await.unwrap(), Ended::Clean);
    assert_eq!(seen.lock().unwrap().iter().filter(|verb| *verb == "PEXPIRE").count(), 1);
    assert_eq!(answers.try_recv(), Ok((AskId(1), Ok(Answer::Renewed(true)))));
}

#[tokio::test]
async fn a_directory_that_nobody_configured_is_away() {
    let (heard, mut answers) = mpsc::unbounded_channel();
    let mut machine = scripted(move |_, input, _: &mut Outbox| {
        if let Input::Registry { ask, answer } = input {
            let _ = heard.send((ask, answer));
        }
    });
    let command = Command::Lookup(Vec::new());
    machine.outbox.push_back(Output::Registry { ask: AskId(1), store: StoreId(7), command });
    let _running = support::start(headwater_core::io::Service::Ovt, machine).await;
    let (_, answer) = within(answers.recv()).await.unwrap();
    assert!(matches!(answer, Err(Failure::Away(_))), "{answer:?}");
}
