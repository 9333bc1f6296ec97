//! The driver on turmoil's simulated network: held links, a crashed peer, and the same run every time.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::io::{ConnId, Endpoint, Input, Machine, Output, Service};
use headwater_core::time::{Deadline, Now, Time, Wall};
use headwater_net_real::clock::Clock;
use headwater_net_real::driver::{Limits, Setup, run};
use headwater_net_real::net::Net;
use headwater_net_real::turmoil::TurmoilNet;
use support::scripted;
use tokio::sync::mpsc;

type Story = Arc<Mutex<Vec<(u64, String)>>>;

/// Says a number every 100 ms and keeps a connection to the echo, dialling again when it is lost.
struct Caller {
    story: Story,
    dialled: u64,
    open: Option<ConnId>,
    next: Time,
    outputs: Vec<Output>,
}

impl Caller {
    fn tell(&self, now: Now, what: String) {
        self.story.lock().unwrap().push((now.mono.as_micros() / 1_000, what));
    }

    fn dial(&mut self) {
        self.dialled += 1;
        let conn = ConnId(self.dialled * 2);
        self.open = None;
        self.outputs.push(Output::Open { conn, to: Endpoint { host: "echo".to_owned(), port: 9000 } });
    }
}

impl Machine for Caller {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Opened { conn } => {
                self.open = Some(conn);
                self.tell(now, format!("opened {}", conn.0));
            }
            Input::Received { bytes, .. } => self.tell(now, format!("heard {}", bytes[0])),
            Input::Closed { reason, .. } => {
                self.tell(now, format!("closed {reason:?}"));
                self.open = None;
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.next = now.mono + Duration::from_millis(100);
        match self.open {
            Some(conn) => {
                let number = (now.mono.as_micros() / 100_000) as u8;
                self.outputs.push(Output::Write { conn, bytes: Bytes::copy_from_slice(&[number]) });
            }
            None => self.dial(),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        (!self.outputs.is_empty()).then(|| self.outputs.remove(0))
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline { at: self.next, why: "next number" })
    }
}

async fn drive(machine: impl Machine, port: Option<u16>) {
    let net = TurmoilNet::default();
    let mut listeners = Vec::new();
    if let Some(port) = port {
        let at = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into();
        listeners.push((Service::Ovt, net.listen(at).await.unwrap()).into());
    }
    let clock = Clock::anchored(Wall::from_micros(1_700_000_000_000_000));
    let (_control, orders) = mpsc::channel(1);
    run(
        Setup { net, clock, listeners, stores: Vec::new(), limits: Limits::default() },
        machine,
        |_, _| {},
        orders,
    )
    .await;
}

/// 6 s: the link is held in the second second, the echo crashes at 3 s and is back at 4 s.
fn story() -> Vec<(u64, String)> {
    let story = Story::default();
    let mut sim = turmoil::Builder::new()
        .simulation_duration(Duration::from_secs(6))
        .min_message_latency(Duration::from_millis(5))
        .max_message_latency(Duration::from_millis(5))
        .rng_seed(7)
        .build();
    sim.host("echo", || async {
        let echo = scripted(|_, input, out| {
            if let Input::Received { conn, bytes } = input {
                out.push_back(Output::Write { conn, bytes });
            }
        });
        drive(echo, Some(9000)).await;
        Ok(())
    });
    let telling = story.clone();
    sim.host("caller", move || {
        let caller =
            Caller { story: telling.clone(), dialled: 0, open: None, next: Time::ZERO, outputs: Vec::new() };
        async {
            drive(caller, None).await;
            Ok(())
        }
    });
    for ms in 0..5_500u32 {
        match ms {
            1_000 => sim.hold("caller", "echo"),
            2_000 => sim.release("caller", "echo"),
            3_000 => sim.crash("echo"),
            4_000 => sim.bounce("echo"),
            _ => {}
        }
        sim.step().unwrap();
    }
    story.lock().unwrap().clone()
}

#[test]
fn a_held_link_delays_and_a_crash_is_noticed_the_same_way_every_time() {
    let first = story();
    let heard = |from, to| {
        first.iter().filter(|(ms, what)| (from..to).contains(ms) && what.starts_with("heard")).count()
    };
    assert!(heard(0, 1_000) >= 8, "{first:?}");
    assert_eq!(heard(1_020, 2_000), 0, "{first:?}");
    assert!(heard(2_000, 2_050) >= 9, "what was held arrives at once: {first:?}");
    assert!(
        first.iter().any(|(ms, what)| (3_000..3_200).contains(ms) && what.starts_with("closed")),
        "{first:?}"
    );
    assert!(heard(4_000, 5_500) >= 10, "the caller is back: {first:?}");
    for _ in 0..4 {
        assert_eq!(story(), first);
    }
}
