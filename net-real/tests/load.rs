//! What the driver costs: 100 connections with 1500 small messages a second in each direction.
//!
//! Not a test but a measurement: `cargo test --release -p headwater-net-real --test load -- --ignored --nocapture`.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use headwater_core::io::{Input, Output, Service};
use support::{scripted, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep};

const CONNECTIONS: u64 = 100;
const MESSAGES_PER_SECOND: u64 = 1_500;
const MESSAGE_BYTES: usize = 200;
const SECONDS: u64 = 5;

/// CPU time of the calling thread so far, in 1/100 s: its own, and the kernel's for it.
fn cpu() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().collect::<Vec<_>>();
    (fields[11].parse().unwrap(), fields[12].parse().unwrap())
}

#[test]
#[ignore = "a measurement"]
fn cpu_of_the_driver_thread() {
    let (tell, told) = mpsc::channel();
    let inputs = Arc::new(AtomicU64::new(0));
    let count = inputs.clone();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let echo = scripted(move |_, input, out| {
                if let Input::Received { conn, bytes } = input {
                    count.fetch_add(1, Ordering::Relaxed);
                    out.push_back(Output::Write { conn, bytes });
                }
            });
            let driver = start(Service::Ovt, echo).await;
            tell.send(driver.at).unwrap();
            sleep(Duration::from_secs(1)).await;
            let before = cpu();
            sleep(Duration::from_secs(SECONDS)).await;
            let after = cpu();
            (after.0 - before.0, after.1 - before.1)
        })
    });
    let at = told.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begin = Instant::now();
    let echoed = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        for _ in 0..CONNECTIONS {
            let (mut reader, mut writer) = TcpStream::connect(at).await.unwrap().into_split();
            writer.as_ref().set_nodelay(true).unwrap();
            let echoed = echoed.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(n @ 1..) = reader.read(&mut buffer).await {
                    echoed.fetch_add(n as u64, Ordering::Relaxed);
                }
            });
            tokio::spawn(async move {
                // tokio's timer has 1 ms: two messages in most ticks, each with a call of its own.
                let mut tick = interval(Duration::from_millis(2));
                tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for _ in 0..(SECONDS + 2) * 500 {
                    tick.tick().await;
                    for _ in 0..MESSAGES_PER_SECOND / 500 {
                        if writer.write_all(&[1; MESSAGE_BYTES]).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
        sleep(Duration::from_secs(SECONDS + 1)).await;
    });
    let (user, system) = server.join().unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "driver thread: {} % of a core and {} % in the kernel; {:.0} messages/s echoed, {:.0} reads/s",
        user / SECONDS,
        system / SECONDS,
        echoed.load(Ordering::Relaxed) as f64 / MESSAGE_BYTES as f64 / seconds,
        inputs.load(Ordering::Relaxed) as f64 / seconds,
    );
}
