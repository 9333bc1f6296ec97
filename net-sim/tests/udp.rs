//! What a program that speaks UDP may rely on, and what it may not.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::io::Endpoint;
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_sim::udp::{Datagram, HEADER_BYTES, UdpOutput, UdpProgram};
use headwater_net_sim::{Crash, HostId, Latency, Link, World, ms, secs};

/// What was heard, and when since the program's first boot.
type Log = Rc<RefCell<Vec<(Duration, Datagram)>>>;

/// Binds port 5000, sends numbered datagrams to `to` at an interval, and writes down what it hears. One that has
/// nobody to send to answers what it hears.
struct Peer {
    to: Option<Endpoint>,
    log: Log,
    start: Time,
    sent: u32,
    count: u32,
    len: usize,
    out: VecDeque<UdpOutput>,
}

const EVERY: Duration = ms(10);

impl Peer {
    fn due(&self) -> Time {
        self.start + EVERY * self.sent
    }
}

impl UdpProgram for Peer {
    fn handle(&mut self, now: Now, datagram: Datagram) {
        if self.to.is_none() {
            let (from, to, bytes) = (datagram.port, datagram.sender(), datagram.bytes.clone());
            self.out.push_back(UdpOutput::Send { from, to, bytes });
        }
        self.log.borrow_mut().push((now.mono.since(self.start), datagram));
    }

    fn handle_timeout(&mut self, now: Now) {
        while self.sent < self.count && self.due() <= now.mono {
            let Some(to) = self.to.clone() else { return };
            let mut bytes = vec![0; self.len];
            bytes[..4].copy_from_slice(&self.sent.to_be_bytes());
            self.out.push_back(UdpOutput::Send { from: 5_000, to, bytes: bytes.into() });
            self.sent += 1;
        }
    }

    fn poll_output(&mut self) -> Option<UdpOutput> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let is_sending = self.to.is_some() && self.sent < self.count;
        is_sending.then(|| Deadline { at: self.due(), why: "the next datagram" })
    }
}

struct Pair {
    world: World,
    client: HostId,
    server: HostId,
    /// What came back to the client.
    here: Log,
    /// What the server heard.
    there: Log,
}

fn pair(seed: u64, link: Link, count: u32, len: usize) -> Pair {
    let mut world = World::new(seed);
    let (here, there) = (Log::default(), Log::default());
    let peer = |to: Option<&str>, log: &Log| {
        let (to, log) = (to.map(|host| Endpoint { host: host.to_owned(), port: 5_000 }), log.clone());
        move |_seed: u64, now: Now| -> Box<dyn UdpProgram> {
            let out = VecDeque::from([UdpOutput::Bind(5_000)]);
            Box::new(Peer { to: to.clone(), log: log.clone(), start: now.mono, sent: 0, count, len, out })
        }
    };
    let server = world.udp_host("server", peer(None, &there));
    let client = world.udp_host("client", peer(Some("server"), &here));
    world.link(client, server, link);
    Pair { world, client, server, here, there }
}

fn numbers(log: &Log) -> Vec<u32> {
    let number = |bytes: &Bytes| u32::from_be_bytes(bytes[..4].try_into().unwrap());
    log.borrow().iter().map(|(_, datagram)| number(&datagram.bytes)).collect()
}

fn usual() -> Link {
    Latency::ms(20).into()
}

#[test]
fn a_datagram_and_its_answer_take_a_round_trip() {
    let mut p = pair(1, usual(), 1, 100);
    p.world.run_for(secs(1));
    assert_eq!(numbers(&p.there), [0]);
    assert_eq!(p.here.borrow().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [ms(40)]);
    assert_eq!(p.here.borrow()[0].1.from.to_string(), "10.0.0.1:5000");
}

#[test]
fn a_good_link_loses_turns_and_repeats_nothing() {
    let mut p = pair(1, usual(), 500, 1_200);
    p.world.run_for(secs(10));
    assert_eq!(numbers(&p.there), (0..500).collect::<Vec<_>>());
    assert_eq!(numbers(&p.here), (0..500).collect::<Vec<_>>());
}

#[test]
fn loss_is_for_good() {
    let mut p = pair(2, usual().loss_ppm(100_000), 2_000, 100);
    p.world.run_for(secs(60));
    let heard = numbers(&p.there);
    assert!((1_700..1_900).contains(&heard.len()), "{}", heard.len());
    assert!(heard.is_sorted());
}

#[test]
fn a_detour_lets_later_ones_overtake() {
    let mut p = pair(3, usual().reorder_ppm(50_000, ms(25)), 2_000, 100);
    p.world.run_for(secs(60));
    let heard = numbers(&p.there);
    assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), 2_000, "none is lost");
    let turned = heard.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((60..140).contains(&turned), "{turned}");
}

#[test]
fn duplicates_come_twice() {
    let mut p = pair(4, usual().duplicate_ppm(100_000), 1_000, 100);
    p.world.run_for(secs(60));
    let heard = numbers(&p.there);
    assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), 1_000);
    assert!((1_060..1_140).contains(&heard.len()), "{}", heard.len());
}

#[test]
fn what_is_longer_than_the_mtu_is_lost() {
    for (len, heard) in [(1_400 - HEADER_BYTES, 10), (1_401 - HEADER_BYTES, 0)] {
        let mut p = pair(5, usual().mtu(1_400), 10, len);
        p.world.run_for(secs(1));
        assert_eq!(p.there.borrow().len(), heard, "{len}");
    }
}

#[test]
fn cut_ways_lose_and_held_ways_keep() {
    let mut p = pair(6, usual(), 100, 100);
    p.world.run_for(ms(95));
    p.world.partition_one_way(p.client, p.server);
    p.world.run_for(ms(100));
    p.world.heal(p.client, p.server);
    p.world.run_for(ms(100));
    assert_eq!(numbers(&p.there), (0..10).chain(20..28).collect::<Vec<_>>());
    p.world.hold(p.client, p.server);
    p.world.run_for(ms(100));
    assert_eq!(p.there.borrow().len(), 20, "two were under way");
    p.world.heal(p.client, p.server);
    p.world.run_for(secs(2));
    assert_eq!(numbers(&p.there), (0..10).chain(20..100).collect::<Vec<_>>());
}

#[test]
fn a_dead_program_hears_nothing_and_its_next_life_does() {
    for how in [Crash::Reset, Crash::Silent] {
        let mut p = pair(7, usual(), 100, 100);
        p.world.run_for(ms(205));
        p.world.crash(p.server, how);
        p.world.run_for(ms(200));
        assert_eq!(p.there.borrow().len(), 19, "{how:?}");
        p.world.restart(p.server);
        p.world.run_for(secs(2));
        let heard = numbers(&p.there);
        assert_eq!(heard, (0..19).chain(39..100).collect::<Vec<_>>(), "{how:?}");
    }
}

#[test]
fn the_kernel_of_a_stopped_program_keeps_as_much_as_its_buffer_holds() {
    let mut p = pair(8, usual(), 1_000, 1_400);
    p.world.pause(p.server);
    p.world.run_for(secs(20));
    assert!(p.there.borrow().is_empty());
    p.world.resume(p.server);
    p.world.run_for(secs(1));
    assert_eq!(numbers(&p.there), (0..212_992 / 1_400).collect::<Vec<_>>(), "the first ones");
}

#[test]
fn bandwidth_is_shared_with_streams_and_takes_its_time() {
    let mut p = pair(9, usual().bandwidth(50_000), 100, 1_000 - HEADER_BYTES);
    p.world.run_for(secs(1));
    // A thousand bytes take 20 ms: half of what is sent every 10 ms.
    assert_eq!(p.there.borrow().len(), 49);
    p.world.run_for(secs(3));
    assert_eq!(p.there.borrow().len(), 100);
}

#[test]
fn one_seed_is_one_run() {
    let run = |seed| {
        let link = usual().loss_ppm(50_000).duplicate_ppm(50_000).reorder_ppm(50_000, ms(15));
        let mut p = pair(seed, Link { latency: Latency::ms(5).jitter_ms(20), ..link }, 500, 100);
        p.world.run_for(secs(10));
        (p.world.trace_hash(), numbers(&p.there), numbers(&p.here))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
