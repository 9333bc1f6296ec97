//! Small machines to try the simulator on.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::io::{Close, CloseReason, ConnId, Endpoint, Input, Machine, Output};
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_sim::Boot;

pub mod ll_hls;

/// What a [`Tester`] has heard, with its own clock.
#[derive(Debug, Default)]
pub struct Heard {
    pub inputs: Vec<(Now, Heard1)>,
    pub boots: Vec<(u64, Now)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Heard1 {
    Accepted,
    Opened,
    Received(Bytes),
    Sent(usize),
    Closed(CloseReason),
    Command,
}

pub type Log = Rc<RefCell<Heard>>;

pub fn log() -> Log {
    Log::default()
}

impl Heard {
    pub fn bytes(&self) -> Vec<u8> {
        let received =
            |heard: &Heard1| if let Heard1::Received(bytes) = heard { Some(bytes.clone()) } else { None };
        self.inputs.iter().filter_map(|(_, heard)| received(heard)).flatten().collect()
    }

    pub fn sent(&self) -> usize {
        let sent = |heard: &Heard1| if let Heard1::Sent(bytes) = heard { *bytes } else { 0 };
        self.inputs.iter().map(|(_, heard)| sent(heard)).sum()
    }

    /// When `what` was heard first, on the tester's monotonic clock since its first boot.
    pub fn when(&self, what: &Heard1) -> Option<Duration> {
        let start = self.boots.first()?.1.mono;
        self.inputs.iter().find(|(_, heard)| heard == what).map(|(now, _)| now.mono.since(start))
    }

    pub fn first_bytes(&self) -> Option<Duration> {
        let start = self.boots.first()?.1.mono;
        let at = self.inputs.iter().find(|(_, heard)| matches!(heard, Heard1::Received(_)));
        at.map(|(now, _)| now.mono.since(start))
    }

    /// When it heard anything last.
    pub fn last(&self) -> Option<Duration> {
        let start = self.boots.first()?.1.mono;
        self.inputs.last().map(|(now, _)| now.mono.since(start))
    }

    pub fn has(&self, what: &Heard1) -> bool {
        self.inputs.iter().any(|(_, heard)| heard == what)
    }

    pub fn closed(&self) -> Option<CloseReason> {
        self.inputs
            .iter()
            .find_map(|(_, heard)| if let Heard1::Closed(why) = heard { Some(*why) } else { None })
    }
}

/// A machine that writes down what it hears and does what its script says, so long after it was started.
pub struct Tester {
    log: Log,
    script: VecDeque<(Time, Step)>,
    last: Option<ConnId>,
    echo: bool,
    outbox: VecDeque<Output>,
}

#[derive(Clone, Debug)]
pub enum Step {
    Open(Endpoint),
    /// To the newest connection.
    Write(usize),
    Close(Close),
}

pub fn tester(log: &Log, script: Vec<(Duration, Step)>) -> Boot {
    make(log, script, false)
}

/// A tester that sends back what it receives.
pub fn echo(log: &Log) -> Boot {
    make(log, Vec::new(), true)
}

fn make(log: &Log, script: Vec<(Duration, Step)>, echo: bool) -> Boot {
    let log = log.clone();
    Boot::new(move |seed, now| {
        let script = script.iter().map(|(after, step)| (now.mono + *after, step.clone())).collect();
        Box::new(Tester { script, echo, ..Tester::new(&log, seed, now) })
    })
}

impl Tester {
    /// A tester without a script, which has just been booted.
    pub fn new(log: &Log, seed: u64, now: Now) -> Tester {
        log.borrow_mut().boots.push((seed, now));
        let (script, outbox) = (VecDeque::new(), VecDeque::new());
        Tester { log: log.clone(), script, last: None, echo: false, outbox }
    }
}

pub fn to(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.to_owned(), port }
}

/// Bytes of which every stretch is different from its neighbours.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect()
}

impl Machine for Tester {
    fn handle(&mut self, now: Now, input: Input) {
        let heard = match input {
            Input::Accepted { conn, .. } => {
                assert_eq!(conn.0 % 2, 1);
                self.last = Some(conn);
                Heard1::Accepted
            }
            Input::Opened { .. } => Heard1::Opened,
            Input::Received { conn, bytes } => {
                if self.echo {
                    self.outbox.push_back(Output::Write { conn, bytes: bytes.clone() });
                }
                Heard1::Received(bytes)
            }
            Input::Sent { bytes, .. } => Heard1::Sent(bytes),
            Input::Closed { reason, .. } => Heard1::Closed(reason),
            Input::Command(_) => Heard1::Command,
            Input::Registry { .. } | Input::Request { .. } | Input::RequestGone { .. } => return,
        };
        self.log.borrow_mut().inputs.push((now, heard));
    }

    fn handle_timeout(&mut self, now: Now) {
        while self.script.front().is_some_and(|(at, _)| *at <= now.mono) {
            let Some((_, step)) = self.script.pop_front() else { return };
            let output = match (step, self.last) {
                (Step::Open(to), _) => {
                    let conn = ConnId(self.last.map_or(0, |last| last.0 + 2));
                    self.last = Some(conn);
                    Output::Open { conn, to }
                }
                (Step::Write(len), Some(conn)) => Output::Write { conn, bytes: pattern(len).into() },
                (Step::Close(how), Some(conn)) => Output::Close { conn, how },
                (step, None) => panic!("{step:?} without a connection"),
            };
            self.outbox.push_back(output);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.script.front().map(|(at, _)| Deadline { at: *at, why: "script" })
    }
}
