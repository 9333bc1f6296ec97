//! The models of OvenMediaEngine against each other, and what the edge says of origins that break its rules.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::io::{Input, Machine, Output, Service};
use headwater_core::time::{Deadline, Now};
use headwater_net_sim::encoder::Source;
use headwater_net_sim::integrity::{Damage, Mistiming};
use headwater_net_sim::ome::{Breach, Edge, EdgeSeen, OmeIsContent, Origin, Pulling, Stream};
use headwater_net_sim::{Boot, Checks, Crash, HostId, Latency, World, ms, secs};

/// What becomes of the n-th thing that an origin writes: itself, something else, or several things.
type Tamper = Rc<dyn Fn(usize, Bytes) -> Vec<Bytes>>;

/// An origin whose writes are tampered with.
struct Tampered {
    origin: Origin,
    tamper: Tamper,
    writes: usize,
    outbox: std::collections::VecDeque<Output>,
}

impl Machine for Tampered {
    fn handle(&mut self, now: Now, input: Input) {
        self.origin.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.origin.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outbox.pop_front() {
            return Some(output);
        }
        match self.origin.poll_output()? {
            Output::Write { conn, bytes } => {
                let pieces = (self.tamper)(self.writes, bytes);
                self.writes += 1;
                self.outbox.extend(pieces.into_iter().map(|bytes| Output::Write { conn, bytes }));
                self.poll_output()
            }
            other => Some(other),
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.origin.poll_timeout()
    }
}

fn origin(stream: Stream, tamper: Tamper) -> Boot {
    Boot::new(move |seed, now| {
        let origin = Origin::new(stream.clone(), seed, now);
        let outbox = std::collections::VecDeque::new();
        Box::new(Tampered { origin, tamper: tamper.clone(), writes: 0, outbox })
    })
    .listen(9000, Service::Ovt)
}

fn stream() -> Stream {
    Stream::new("app", "stream", Source::with_b_frames())
}

struct Stage {
    world: World,
    origin: HostId,
    edge: HostId,
    seen: Rc<RefCell<EdgeSeen>>,
}

fn stage(stream: Stream, tamper: Tamper) -> Stage {
    let mut world = World::new(3);
    world.link_default(Latency::ms(2).jitter_ms(2));
    let origin = world.host("origin", origin(stream, tamper));
    let seen = Rc::new(RefCell::new(EdgeSeen::default()));
    let edge = world.host("edge", Edge::boot(Pulling::new("app", "stream", &["origin"]), &seen));
    Stage { world, origin, edge, seen }
}

fn honest() -> Tamper {
    Rc::new(|_, bytes| vec![bytes])
}

/// What the edge says first of an origin that does this to the n-th of its writes and those after it. The first two
/// are the answers to DESCRIBE and PLAY.
fn blamed(change: impl Fn(usize, &mut Vec<u8>) + 'static) -> Breach {
    let tamper = Rc::new(move |n, bytes: Bytes| {
        let mut bytes = bytes.to_vec();
        change(n, &mut bytes);
        vec![bytes.into()]
    });
    let mut s = stage(stream(), tamper);
    s.world.run_for(secs(10));
    let error = Checks::none().with(OmeIsContent::new(s.edge, &s.seen)).verify(&s.world).unwrap_err();
    assert_eq!(error.rule, "an edge of OvenMediaEngine is content");
    let (_, breach) = s.seen.borrow().breaches[0].clone();
    breach
}

/// Replaces text in a message of one packet, and says its length anew.
fn rewrite(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(bytes[18..].to_vec()).unwrap().replace(from, to);
    bytes.truncate(16);
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn is_video(bytes: &[u8]) -> bool {
    bytes[1] == 30 && bytes[46] == 0
}

#[test]
fn an_edge_plays_what_an_origin_has() {
    let mut s = stage(stream(), honest());
    s.world.run_for(secs(20));
    Checks::none().with(OmeIsContent::new(s.edge, &s.seen)).demand(&s.world);
    let seen = s.seen.borrow();
    assert_eq!((seen.attempts, seen.plays.len(), seen.deleted), (1, 1, 0));
    assert!(
        (590..=600).contains(&seen.frames[0]) && (930..=938).contains(&seen.frames[1]),
        "{:?}",
        seen.frames
    );
}

#[test]
fn a_stream_that_is_not_there_is_asked_for_again_and_again() {
    let mut s = stage(Stream { begins: secs(10), ends: Some(secs(20)), ..stream() }, honest());
    s.world.run_for(secs(30));
    let seen = s.seen.borrow();
    assert!(seen.refusals.len() > 15 && seen.refusals.iter().all(|code| *code == 404), "{:?}", seen.refusals);
    assert!(seen.deleted > 5);
    assert_eq!((seen.plays.len(), seen.breaches.clone()), (1, Vec::new()));
}

#[test]
fn a_stream_that_is_starting_costs_an_ome_edge_its_patience() {
    let mut s = stage(Stream { starts_up: secs(5), ..stream() }, honest());
    s.world.run_for(secs(20));
    let seen = s.seen.borrow();
    assert!(seen.breaches.iter().all(|(_, breach)| *breach == Breach::Slow));
    assert!((1..=4).contains(&seen.breaches.len()), "{:?}", seen.breaches);
    assert_eq!(seen.plays.len(), 1);
}

#[test]
fn an_origin_that_falls_silent_is_left_after_three_seconds() {
    let mut s = stage(stream(), honest());
    s.world.run_for(secs(10));
    s.world.crash(s.origin, Crash::Silent);
    s.world.run_for(ms(2_900));
    assert_eq!(s.seen.borrow().attempts, 1);
    s.world.run_for(ms(300));
    assert_eq!(s.seen.borrow().attempts, 2);
    s.world.restart(s.origin);
    s.world.run_for(secs(10));
    assert_eq!(s.seen.borrow().plays.len(), 2);
}

#[test]
fn half_a_unit_is_carried_over_to_the_next_connection() {
    // One unit lacks its end, and no media follows for more than three seconds.
    let tamper: Tamper = Rc::new(|n, bytes| match n {
        100 => vec![[&[bytes[0] & !0x20], &bytes[1..]].concat().into()],
        101..340 if bytes[1] == 30 => Vec::new(),
        _ => vec![bytes],
    });
    let mut s = stage(stream(), tamper);
    s.world.run_for(secs(20));
    let seen = s.seen.borrow();
    assert_eq!((seen.own_faults, seen.breaches.len()), (1, 0), "{seen:?}");
    assert_eq!((seen.attempts, seen.plays.len()), (3, 2));
}

#[test]
fn broken_rules_are_named() {
    let describe = |from: &'static str, to: &'static str| {
        blamed(move |_, bytes| {
            if bytes[1] == 20 {
                rewrite(bytes, from, to);
            }
        })
    };
    let of = |what: &str| Breach::Description(what.to_owned());
    assert_eq!(describe("\"version\":18", "\"version\":\"18\""), of("version"));
    assert_eq!(describe("\"bitrate\":67000", "\"bitrate\":-1"), of("track's bitrate"));
    assert_eq!(describe("\"width\":640", "\"width\":0"), Breach::Unready("its size"));
    assert_eq!(describe("\"id\":1,\"message\"", "\"id\":2,\"message\""), Breach::Reply);

    let frame = |change: fn(&mut Vec<u8>)| {
        blamed(move |n, bytes| {
            if n > 30 && is_video(bytes) {
                change(bytes);
            }
        })
    };
    assert_eq!(frame(|bytes| *bytes.last_mut().unwrap() ^= 1), Breach::Damaged(Damage::Byte(1_197)));
    assert_eq!(frame(|bytes| bytes[47] ^= 3), Breach::Damaged(Damage::Key));
    assert_eq!(frame(|bytes| bytes[48] = 0), Breach::Frame("its bitstream format"));
    assert_eq!(frame(|bytes| bytes[21] = 7), Breach::Frame("there is no such track"));
    assert_eq!(frame(|bytes| bytes[30..38].fill(0xff)), Breach::Frame("its time means that there is none"));
    let short = "a unit that is not as long as it says".to_owned();
    assert_eq!(frame(|bytes| bytes[53] ^= 1), Breach::Packet(short));
    assert_eq!(frame(|bytes| bytes[0] |= 0x80), Breach::Packet("version 3".to_owned()));
    assert!(matches!(frame(|bytes| bytes[37] ^= 0x40), Breach::Time(Mistiming::Composition { .. })));
}

#[test]
fn frames_that_are_left_out_or_come_twice_are_counted() {
    let sent = |times: fn(usize) -> usize| {
        let tamper: Tamper = Rc::new(move |n, bytes| vec![bytes; times(n)]);
        let mut s = stage(stream(), tamper);
        s.world.run_for(secs(10));
        let verdict = Checks::none().with(OmeIsContent::new(s.edge, &s.seen)).verify(&s.world);
        assert!(verdict.is_err());
        let seen = s.seen.borrow();
        (seen.lost, seen.repeated, seen.breaches.len())
    };
    assert_eq!(sent(|n| usize::from(n != 100)), (1, 0, 0));
    assert_eq!(sent(|n| if n == 100 { 2 } else { 1 }), (0, 1, 0));
}

#[test]
fn one_seed_is_one_run() {
    let run = || {
        let mut s = stage(stream(), honest());
        s.world.run_for(Duration::from_millis(4_321));
        s.world.trace_hash()
    };
    assert_eq!(run(), run());
}
