//! A driver on loopback around a machine that a test writes as a closure.
#![allow(dead_code, missing_docs)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use headwater_core::event::Event;
use headwater_core::io::{Input, Machine, Output, Service};
use headwater_core::time::{Deadline, Now};
use headwater_net_real::clock::Clock;
use headwater_net_real::driver::{Control, Ended, Limits, Setup, run};
use headwater_net_real::net::Net;
use headwater_net_real::tokio::TokioNet;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub type Outbox = VecDeque<Output>;

/// A machine that is one function, with something to do at the start.
pub struct Scripted<F> {
    pub outbox: Outbox,
    pub react: F,
}

impl<F: FnMut(Now, Input, &mut Outbox)> Machine for Scripted<F> {
    fn handle(&mut self, now: Now, input: Input) {
        (self.react)(now, input, &mut self.outbox);
    }
    fn handle_timeout(&mut self, _: Now) {}
    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

pub fn scripted<F: FnMut(Now, Input, &mut Outbox) + Send>(react: F) -> Scripted<F> {
    Scripted { outbox: Outbox::new(), react }
}

/// A running driver.
pub struct Running {
    pub at: SocketAddr,
    pub control: mpsc::Sender<Control>,
    pub events: mpsc::UnboundedReceiver<Event>,
    pub task: JoinHandle<Ended>,
}

impl Running {
    pub async fn ended(self) -> Ended {
        within(self.task).await.expect("the driver does not panic")
    }
}

pub async fn start(service: Service, machine: impl Machine + Send + 'static) -> Running {
    start_with(service, machine, Limits::default()).await
}

pub async fn start_with(service: Service, machine: impl Machine + Send + 'static, limits: Limits) -> Running {
    let net = TokioNet::default();
    let listener = net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr().unwrap();
    let (control, orders) = mpsc::channel(4);
    let (sink, events) = mpsc::unbounded_channel();
    let (clock, listeners) = (Clock::system(), vec![(service, listener).into()]);
    let setup = Setup { net, clock, listeners, stores: Vec::new(), limits };
    let sink = move |_, event| drop(sink.send(event));
    let task = tokio::spawn(run(setup, machine, sink, orders));
    Running { at, control, events, task }
}

/// A test that waits longer than this has failed.
pub async fn within<F: Future>(what: F) -> F::Output {
    timeout(Duration::from_secs(20), what).await.expect("happens in time")
}
