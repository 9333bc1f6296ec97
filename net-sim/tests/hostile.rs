//! Hostile peers against a server that puts up with everything, and against one that does not.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{log, tester};
use headwater_core::io::{Close, ConnId, Input, Machine, Output, Service};
use headwater_core::time::{Deadline, Now};
use headwater_net_sim::hostile::{
    HostilePeersAreClosed, MISCHIEFS, Meetings, Mischief, Peer, Plan, Protocol,
};
use headwater_net_sim::{Boot, Checks, HostId, World, secs};

/// A server that closes every connection as soon as something is said, or at once.
struct Curt {
    at_once: bool,
    outbox: Vec<ConnId>,
}

impl Machine for Curt {
    fn handle(&mut self, _: Now, input: Input) {
        match input {
            Input::Accepted { conn, .. } if self.at_once => self.outbox.push(conn),
            Input::Received { conn, .. } => self.outbox.push(conn),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _: Now) {}

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop().map(|conn| Output::Close { conn, how: Close::Abort })
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

fn curt(at_once: bool) -> Boot {
    Boot::new(move |_, _| Box::new(Curt { at_once, outbox: Vec::new() }))
}

fn stage(server: Boot, protocol: Protocol, mischiefs: &[Mischief]) -> (World, HostId, Meetings) {
    let mut world = World::new(9);
    world.host("server", server.listen(1935, Service::Rtmp));
    let meetings = Meetings::default();
    let plan = Plan { mischiefs: mischiefs.to_vec(), ..Plan::new("server", 1935, protocol) };
    let peer = world.host("peer", Peer::boot(plan, &meetings));
    (world, peer, meetings)
}

#[test]
fn a_server_that_puts_up_with_everything_is_caught() {
    for protocol in [Protocol::Ovt, Protocol::Rtmp] {
        for mischief in MISCHIEFS.into_iter().filter(|mischief| *mischief != Mischief::Leave) {
            let (mut world, peer, meetings) = stage(tester(&log(), Vec::new()), protocol, &[mischief]);
            let mut checks = Checks::none().with(HostilePeersAreClosed::within(secs(30), peer, &meetings));
            world.run_for(secs(29));
            assert_eq!(checks.verify(&world), Ok(()));
            world.run_for(secs(5));
            let error = checks.verify(&world).unwrap_err();
            assert_eq!(error.rule, "hostile peers are cut off");
            assert!(error.what.contains(&format!("{mischief:?}")), "{error}");
        }
    }
}

#[test]
fn a_curt_server_has_peace() {
    for protocol in [Protocol::Ovt, Protocol::Rtmp] {
        let (mut world, peer, meetings) = stage(curt(true), protocol, &MISCHIEFS);
        world.run_for(secs(300));
        Checks::none().with(HostilePeersAreClosed::within(secs(1), peer, &meetings)).demand(&world);
        let seen: BTreeSet<Mischief> = meetings.borrow().iter().map(|meeting| meeting.mischief).collect();
        assert_eq!(seen.len(), MISCHIEFS.len());

        let silent = [Mischief::Silence, Mischief::Crowd];
        let (mut world, peer, meetings) = stage(curt(false), protocol, &silent);
        world.run_for(secs(100));
        let verdict =
            Checks::none().with(HostilePeersAreClosed::within(secs(30), peer, &meetings)).verify(&world);
        assert!(verdict.is_err(), "it waits for a word for ever");
    }
}

#[test]
fn one_seed_is_one_run() {
    let run = || {
        let (mut world, ..) = stage(tester(&log(), Vec::new()), Protocol::Rtmp, &MISCHIEFS);
        world.run_for(secs(60));
        world.trace_hash()
    };
    assert_eq!(run(), run());
}
