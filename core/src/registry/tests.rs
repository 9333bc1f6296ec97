//! Announcers and resolvers around one store, on virtual time. The store can be away, lose what it had, or lose answers.

use core::time::Duration;

use proptest::prelude::*;

use super::announcer::{self, Announcer};
use super::resolver::{self, Resolver, Unresolved};
use super::rules::{ENTRY_MS, LEASE_MS};
use super::*;
use crate::census::Census;
use crate::testing::at;

/// How the store behaves towards one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reach {
    #[default]
    Answers,
    /// Does what it is asked, but the answer is lost.
    Mute,
    /// Hears nothing.
    Away,
}

#[derive(Default)]
struct Peer {
    reach: Reach,
    /// SIGSTOP.
    stopped: bool,
    told: Vec<announcer::Told>,
    asked: usize,
}

struct Bench {
    store: Embedded,
    /// Milliseconds by which the store's clock is ahead.
    store_ahead: u64,
    ms: u64,
    origins: Vec<(Announcer, Peer)>,
    edge: Resolver,
    edge_peer: Peer,
    /// What the edge was told, in order.
    resolved: Vec<(Name, Result<Vec<String>, Unresolved>)>,
    edge_told: Vec<resolver::Told>,
    /// Every epoch in which the stream was seen in the store, and whose it was.
    reigns: Vec<(Epoch, String)>,
}

const STEP_MS: u64 = 10;
const NAME: &str = "app/s";

fn url(origin: usize) -> String {
    format!("ovt://o{origin}:9000/{NAME}")
}

fn gone() -> Failure {
    Failure::Away("cut off".to_owned())
}

impl Bench {
    fn new(origins: usize) -> Bench {
        let origin = |n| (Announcer::new(false, n as u64 + 1), Peer::default());
        Bench {
            store: Embedded::default(),
            store_ahead: 1_000_000,
            ms: 0,
            origins: (0..origins).map(origin).collect(),
            edge: Resolver::new(None, 99),
            edge_peer: Peer::default(),
            resolved: Vec::new(),
            edge_told: Vec::new(),
            reigns: Vec::new(),
        }
    }

    fn announce(&mut self, origin: usize) -> &mut Self {
        self.origins[origin].0.announce(at(self.ms), NAME.to_owned(), url(origin));
        self.run(0)
    }

    fn withdraw(&mut self, origin: usize) -> &mut Self {
        self.origins[origin].0.withdraw(at(self.ms), NAME);
        self.run(0)
    }

    fn offer(&mut self, origin: usize) -> &mut Self {
        self.origins[origin].0.offer(at(self.ms), NAME);
        self.run(0)
    }

    fn peer(&mut self, origin: usize) -> &mut Peer {
        &mut self.origins[origin].1
    }

    /// The process dies; another one starts under the same name.
    fn restart(&mut self, origin: usize) -> &mut Self {
        self.origins[origin] = (Announcer::new(false, self.ms + 7 + origin as u64), Peer::default());
        self
    }

    fn reach(&mut self, reach: Reach) -> &mut Self {
        self.origins.iter_mut().for_each(|(_, peer)| peer.reach = reach);
        self.edge_peer.reach = reach;
        self
    }

    fn resolve(&mut self) -> &mut Self {
        self.edge.resolve(at(self.ms), NAME.to_owned());
        self.run(0)
    }

    fn run(&mut self, ms: u64) -> &mut Self {
        let end = self.ms + ms;
        loop {
            self.turn();
            if self.ms >= end {
                return self;
            }
            self.ms += STEP_MS;
        }
    }

    fn turn(&mut self) {
        let now = at(self.ms);
        let store_ms = self.ms + self.store_ahead;
        for (announcer, peer) in self.origins.iter_mut().filter(|(_, peer)| !peer.stopped) {
            if announcer.poll_timeout().is_some_and(|due| due.at <= now.mono) {
                announcer.handle_timeout(now);
            }
            let mut turns = 0;
            while let Some(output) = announcer.poll_output() {
                turns += 1;
                assert!(turns < 10_000, "it asks on and on");
                match output {
                    announcer::Output::Ask(command) => {
                        peer.asked += 1;
                        let heard = peer.reach != Reach::Away;
                        let answer = heard.then(|| self.store.execute(store_ms, &command)).ok_or_else(gone);
                        let lost = peer.reach == Reach::Mute;
                        announcer.answered(now, if lost { Err(gone()) } else { answer });
                    }
                    announcer::Output::Told(told) => peer.told.push(told),
                }
            }
            let due = announcer.poll_timeout();
            assert!(due.is_none_or(|due| due.at > now.mono), "what was due is done: {due:?}");
        }
        let (edge, peer) = (&mut self.edge, &mut self.edge_peer);
        if edge.poll_timeout().is_some_and(|due| due.at <= now.mono) {
            edge.handle_timeout(now);
        }
        while let Some(output) = edge.poll_output() {
            match output {
                resolver::Output::Ask(command) => {
                    peer.asked += 1;
                    let heard = peer.reach != Reach::Away;
                    let answer = heard.then(|| self.store.execute(store_ms, &command)).ok_or_else(gone);
                    edge.answered(now, if peer.reach == Reach::Mute { Err(gone()) } else { answer });
                }
                resolver::Output::Resolved { name, places } => {
                    let places = places.map(|urls| urls.iter().map(ToString::to_string).collect());
                    self.resolved.push((name, places));
                }
                resolver::Output::Told(told) => self.edge_told.push(told),
            }
        }
        let due = edge.poll_timeout();
        assert!(due.is_none_or(|due| due.at > now.mono), "what was due is done: {due:?}");
        if let Some(entry) = self.store.entry(store_ms, NAME) {
            self.reigns.push((entry.epoch, entry.url.clone()));
            self.reigns.dedup();
        }
    }

    /// Who owns the stream, by the store.
    fn owner(&self) -> Option<usize> {
        let entry = self.store.entry(self.ms + self.store_ahead, NAME)?;
        (0..self.origins.len()).find(|origin| entry.url == url(*origin))
    }

    /// Runs until somebody else owns the stream. How long that took, in milliseconds.
    fn wait_for(&mut self, owner: Option<usize>, most_ms: u64) -> u64 {
        let begun = self.ms;
        while self.owner() != owner {
            assert!(self.ms < begun + most_ms, "{owner:?} does not own the stream within {most_ms} ms");
            self.run(STEP_MS);
        }
        self.ms - begun
    }

    /// No epoch had two owners.
    fn demand_one_owner_per_epoch(&self) {
        for (epoch, url) in &self.reigns {
            let others = self.reigns.iter().filter(|(other, _)| other == epoch);
            assert!(others.clone().all(|(_, other)| other == url), "{epoch} of two: {:?}", self.reigns);
        }
    }

    fn demand_growing_epochs(&self) {
        let epochs: Vec<Epoch> = self.reigns.iter().map(|(epoch, _)| *epoch).collect();
        assert!(epochs.is_sorted(), "{epochs:?}");
    }
}

#[test]
fn a_lease_is_written_in_one_way_only() {
    let lease = LeaseId(0x00ab_cdef);
    assert_eq!(lease.to_string(), "0000000000abcdef");
    assert_eq!("0000000000abcdef".parse(), Ok(lease));
    for text in ["", "abcdef", "0000000000ABCDEF", "+000000000abcdef", "0000000000abcdeff"] {
        assert_eq!(text.parse::<LeaseId>(), Err(NotALease), "{text}");
    }
}

#[test]
fn a_later_reign_has_a_greater_epoch() {
    let epoch = |number, owner| Epoch { number, owner: LeaseId(owner) };
    assert!(epoch(2, 1) > epoch(1, 2) && epoch(1, 2) > epoch(1, 1));
}

#[test]
fn a_stream_is_announced_at_once_and_withdrawn_at_once() {
    let mut bench = Bench::new(1);
    bench.announce(0);
    assert_eq!(bench.owner(), Some(0));
    bench.run(100_000);
    assert_eq!(bench.owner(), Some(0), "it is kept");
    let asked = bench.peer(0).asked;
    assert!(asked < 120, "once a second, whatever it has: {asked}");
    bench.withdraw(0);
    assert_eq!((bench.owner(), bench.store.len()), (None, (0, 0)), "nothing is left, not even the lease");
    bench.run(10_000);
    let mut census = Census::default();
    bench.origins[0].0.count(&mut census);
    assert_eq!(census, Census::default());
}

#[test]
fn the_renewal_of_many_streams_costs_what_that_of_one_does() {
    let cost = |streams: usize| {
        let mut bench = Bench::new(1);
        for n in 0..streams {
            let name = format!("app/{n}");
            bench.origins[0].0.announce(at(0), name, url(0));
        }
        // Young claims are looked at more often.
        bench.run(60_000);
        let before = bench.peer(0).asked;
        bench.run(20_000);
        bench.peer(0).asked - before
    };
    // In these 20 s each entry is kept once, a batch at a time; the lease is renewed 20 times in both cases.
    let keeps = 2_000_usize.div_ceil(announcer::BATCH) + 2;
    assert!(cost(2_000) <= cost(1) + keeps, "{} for 2,000, {} for one", cost(2_000), cost(1));
}

#[test]
fn a_standby_takes_over_as_soon_as_the_owner_gives_up() {
    let mut bench = Bench::new(3);
    bench.announce(0).announce(1).announce(2).run(5_000);
    assert_eq!(bench.owner(), Some(0));
    bench.withdraw(0);
    assert_eq!(bench.owner(), Some(1), "in the same moment, and in the order of arrival");
    bench.run(30_000);
    assert_eq!(bench.owner(), Some(1), "it has learned of it");
    assert!(matches!(bench.peer(1).told.last(), Some(announcer::Told::Announced { .. })));
    bench.demand_growing_epochs();
}

#[test]
fn what_is_offered_goes_to_who_waits_and_else_stays() {
    let mut bench = Bench::new(2);
    bench.announce(0).run(5_000);
    bench.offer(0);
    assert_eq!(bench.owner(), Some(0), "nobody waits");
    bench.announce(1).run(5_000);
    bench.offer(0);
    assert_eq!(bench.owner(), Some(1));
    bench.run(30_000);
    assert_eq!(bench.owner(), Some(1), "who has offered it does not take it back");
    bench.withdraw(1);
    assert_eq!(bench.owner(), Some(0), "but is next");
    bench.demand_one_owner_per_epoch();
    bench.demand_growing_epochs();
}

#[test]
fn a_standby_takes_over_within_a_second_of_the_owners_death() {
    for alive_for in [100, 700, 1_300, 20_050] {
        let mut bench = Bench::new(2);
        bench.announce(0).announce(1).run(alive_for);
        bench.peer(0).stopped = true;
        let took = bench.wait_for(Some(1), LEASE_MS + 1_000);
        assert!(took >= LEASE_MS - 1_000 - STEP_MS, "not before it is dead: {took}");
        bench.demand_growing_epochs();
    }
}

#[test]
fn a_store_whose_clock_is_set_back_does_not_keep_the_dead_alive() {
    let mut bench = Bench::new(2);
    bench.announce(0).announce(1).run(1_000);
    bench.peer(0).stopped = true;
    bench.store_ahead -= 600_000;
    let took = bench.wait_for(Some(1), 2 * LEASE_MS + 1_000);
    assert!(took >= LEASE_MS, "{took}");
    let mut bench = Bench::new(2);
    bench.announce(0).announce(1).run(1_000);
    bench.store_ahead -= 600_000;
    bench.run(30_000);
    assert_eq!((bench.owner(), bench.reigns.len()), (Some(0), 1), "who renews is not taken for dead");
}

#[test]
fn an_owner_that_was_asleep_learns_that_it_lost() {
    let mut bench = Bench::new(2);
    bench.announce(0).announce(1).run(1_000);
    bench.peer(0).stopped = true;
    bench.wait_for(Some(1), 5_000);
    bench.run(20_000).peer(0).stopped = false;
    bench.run(30_000);
    assert_eq!(bench.owner(), Some(1), "whoever wakes up does not take anything back");
    assert!(matches!(bench.peer(0).told.last(), Some(announcer::Told::Waits { .. })));
    bench.withdraw(0).run(5_000);
    assert_eq!(bench.owner(), Some(1), "and takes nothing with it when it goes");
    bench.withdraw(1);
    assert_eq!(bench.owner(), None);
    bench.demand_one_owner_per_epoch();
    bench.demand_growing_epochs();
}

#[test]
fn an_origin_that_was_restarted_has_its_stream_back_at_once() {
    let mut bench = Bench::new(1);
    bench.announce(0).run(1_000).restart(0).announce(0).run(100);
    assert!(matches!(bench.peer(0).told.last(), Some(announcer::Told::Announced { .. })));
    bench.run(100_000);
    assert_eq!(bench.owner(), Some(0));
    bench.demand_growing_epochs();
}

#[test]
fn two_origins_under_one_name_do_not_take_the_stream_from_each_other_for_ever() {
    let mut bench = Bench::new(2);
    for origin in 0..2 {
        bench.origins[origin].0.announce(at(0), NAME.to_owned(), url(0));
    }
    bench.run(60_000);
    assert!(bench.reigns.len() <= 4, "{:?}", bench.reigns);
}

#[test]
fn a_store_that_comes_back_empty_is_told_everything_within_two_seconds() {
    let mut bench = Bench::new(2);
    bench.announce(0).announce(1).run(10_000);
    let before = bench.reigns.last().cloned();
    bench.reach(Reach::Away).run(60_000);
    bench.store = Embedded::default();
    bench.reach(Reach::Answers);
    let took = bench.wait_for(Some(0), 2_000);
    assert!(took <= 2_000, "{took}");
    bench.run(10_000);
    assert!(bench.reigns.last() > before.as_ref(), "in a greater epoch");
    assert_eq!(
        bench.store.entry(bench.ms + bench.store_ahead, NAME).map(|entry| entry.waiting.len()),
        Some(1)
    );
}

#[test]
fn streams_that_start_and_stop_while_the_store_is_away_are_told_of_when_it_is_back() {
    let mut bench = Bench::new(2);
    bench.announce(0).run(1_000);
    bench.reach(Reach::Away).run(5_000).withdraw(0).announce(1).run(5_000);
    bench.reach(Reach::Answers);
    let took = bench.wait_for(Some(1), 2_000);
    assert!(took <= 2_000, "{took}");
    assert!(bench.peer(1).asked < 40, "it does not knock all the time: {}", bench.peer(1).asked);
}

#[test]
fn nobody_is_taken_for_dead_because_the_store_was_away() {
    let mut bench = Bench::new(2);
    bench.announce(0).announce(1).run(5_000);
    bench.reach(Reach::Away).run(20_000);
    bench.reach(Reach::Answers).run(20_000);
    assert_eq!(bench.owner(), Some(0));
}

#[test]
fn a_publisher_that_comes_back_keeps_its_reign() {
    let mut bench = Bench::new(1);
    bench.announce(0).run(1_000);
    bench.reach(Reach::Away).run(50).withdraw(0).announce(0).run(500);
    bench.reach(Reach::Answers).run(5_000);
    assert_eq!((bench.owner(), bench.reigns.len()), (Some(0), 1));
}

#[test]
fn any_number_that_ask_for_a_stream_cost_one_lookup() {
    let mut bench = Bench::new(1);
    bench.announce(0);
    for _ in 0..1_000 {
        bench.edge.resolve(at(bench.ms), NAME.to_owned());
    }
    bench.run(0);
    assert!(bench.edge_peer.asked <= 2, "{}", bench.edge_peer.asked);
    assert_eq!(bench.resolved.last(), Some(&(NAME.to_owned(), Ok(vec![url(0)]))));
    bench.edge.resolve(at(bench.ms), "app/other".to_owned());
    bench.run(0);
    assert_eq!(bench.resolved.last(), Some(&("app/other".to_owned(), Err(Unresolved::Absent))));
}

#[test]
fn a_watched_stream_that_moves_is_told_unasked() {
    let mut bench = Bench::new(2);
    bench.announce(0).announce(1).resolve();
    bench.edge.watch(at(bench.ms), NAME);
    bench.run(10_000);
    let known = bench.resolved.len();
    bench.withdraw(0).run(2_600);
    assert_eq!(bench.resolved[known..], [(NAME.to_owned(), Ok(vec![url(1)]))]);
    bench.withdraw(1).run(10_000);
    assert_eq!(bench.resolved.len(), known + 1, "what runs runs on, also without an owner");
    bench.edge.watch_no_more(NAME);
    let mut census = Census::default();
    bench.edge.count(&mut census);
    assert_eq!(census, Census::default());
}

#[test]
fn who_waits_for_the_place_is_named_behind_the_owner_but_not_who_had_it_before() {
    let mut bench = Bench::new(3);
    bench.announce(0).announce(1).announce(2).resolve();
    assert_eq!(bench.resolved.last(), Some(&(NAME.to_owned(), Ok(vec![url(0), url(1), url(2)]))));
    bench.peer(0).stopped = true;
    bench.wait_for(Some(1), 5_000);
    bench.peer(0).stopped = false;
    bench.run(10_000).resolve();
    assert_eq!(bench.resolved.last(), Some(&(NAME.to_owned(), Ok(vec![url(1), url(2)]))));
}

#[test]
fn known_routes_are_used_while_the_store_is_away() {
    let mut bench = Bench::new(1);
    bench.announce(0).resolve().run(1_000);
    bench.reach(Reach::Away).resolve();
    assert_eq!(bench.resolved.last(), Some(&(NAME.to_owned(), Ok(vec![url(0)]))));
    bench.edge.resolve(at(bench.ms), "app/other".to_owned());
    bench.run(0);
    assert_eq!(bench.resolved.last(), Some(&("app/other".to_owned(), Err(Unresolved::Away))));
}

#[test]
fn an_edge_takes_no_older_epoch_and_raises_the_store() {
    let mut bench = Bench::new(2);
    bench.announce(0).run(1_000).resolve();
    let seen = bench.reigns.last().expect("a reign").0;
    // The store loses everything, and its clock steps back.
    (bench.store, bench.store_ahead) = (Embedded::default(), 0);
    bench.peer(0).stopped = true;
    bench.announce(1).run(1_000);
    assert!(bench.reigns.last().expect("a reign").0 < seen);
    bench.resolve();
    assert_eq!(bench.resolved.last(), Some(&(NAME.to_owned(), Ok(vec![url(1)]))));
    let (now, _) = bench.reigns.last().expect("a reign");
    assert!(*now > seen, "{now} after {seen}");
    assert_eq!(bench.edge.known(NAME).and_then(|(epoch, _)| epoch), Some(*now));
    bench.run(60_000);
    assert_eq!(bench.owner(), Some(1), "the owner lives with it");
}

#[test]
fn what_cannot_be_used_is_told_once_and_refused() {
    let cases = [
        ("http://a/app/s", "ovt:// only"),
        ("not a url at all", "scheme"),
        ("ovt://a/app/s", "no port"),
        ("ovt://me:9000/app/s", "is this server"),
    ];
    for (plain, reason) in cases {
        let mut edge = Resolver::new(Some("me:9000".to_owned()), 1);
        for _ in 0..3 {
            edge.resolve(at(0), NAME.to_owned());
            let Some(resolver::Output::Ask(_)) = edge.poll_output() else { panic!("no question") };
            let found = Found { plain: Some(plain.to_owned()), ..Found::default() };
            edge.answered(at(0), Ok(Answer::Found(vec![found])));
            let mut outputs = Vec::new();
            outputs.extend(core::iter::from_fn(|| edge.poll_output()));
            let told = outputs.iter().filter_map(|output| match output {
                resolver::Output::Told(resolver::Told::Unusable { why, .. }) => Some(why.clone()),
                _ => None,
            });
            assert!(told.clone().all(|why| why.contains(reason)), "{outputs:?}");
            assert!(matches!(
                outputs.last(),
                Some(resolver::Output::Resolved { places: Err(Unresolved::Unusable), .. })
            ));
        }
    }
}

#[test]
fn an_answer_of_another_kind_is_as_good_as_none() {
    let mut announcer = Announcer::new(true, 1);
    announcer.announce(at(0), NAME.to_owned(), url(0));
    assert!(matches!(announcer.poll_output(), Some(announcer::Output::Ask(Command::Open { .. }))));
    announcer.answered(at(0), Ok(Answer::Done));
    for _ in 0..10 {
        if let Some(announcer::Output::Ask(_)) = announcer.poll_output() {
            announcer.answered(at(0), Ok(Answer::Renewed(true)));
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Announce(usize),
    Empty,
    Reach(Option<usize>, Reach),
    Restart(usize),
    Offer(usize),
    Stop(usize, bool),
    Wait(u64),
    Withdraw(usize),
}

fn acts() -> impl Strategy<Value = Act> {
    let origin = 0..3_usize;
    let reach = prop_oneof![Just(Reach::Answers), Just(Reach::Mute), Just(Reach::Away)];
    prop_oneof![
        origin.clone().prop_map(Act::Announce),
        Just(Act::Empty),
        (proptest::option::of(origin.clone()), reach).prop_map(|(who, reach)| Act::Reach(who, reach)),
        origin.clone().prop_map(Act::Restart),
        origin.clone().prop_map(Act::Offer),
        (origin.clone(), any::<bool>()).prop_map(|(who, stopped)| Act::Stop(who, stopped)),
        (0..12_000_u64).prop_map(|ms| Act::Wait(ms / STEP_MS * STEP_MS)),
        origin.prop_map(Act::Withdraw),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens: no epoch has two owners, and once all can talk again, whoever has the stream owns it, the edge
    /// finds it there, and nothing is left when nobody has it.
    #[test]
    fn the_right_owner_is_found_in_the_end(acts in proptest::collection::vec(acts(), 1..30)) {
        let mut bench = Bench::new(3);
        let mut has = [false; 3];
        for act in acts {
            match act {
                Act::Announce(origin) => {
                    has[origin] = true;
                    bench.announce(origin);
                }
                Act::Empty => bench.store = Embedded::default(),
                Act::Reach(None, reach) => bench.edge_peer.reach = reach,
                Act::Reach(Some(origin), reach) => bench.peer(origin).reach = reach,
                Act::Restart(origin) => {
                    has[origin] = false;
                    bench.restart(origin);
                }
                Act::Offer(origin) => drop(bench.offer(origin)),
                Act::Stop(origin, stopped) => bench.peer(origin).stopped = stopped,
                Act::Wait(ms) => {
                    bench.resolve().run(ms);
                }
                Act::Withdraw(origin) => {
                    has[origin] = false;
                    bench.withdraw(origin);
                }
            }
        }
        bench.demand_one_owner_per_epoch();
        bench.reach(Reach::Answers);
        bench.origins.iter_mut().for_each(|(_, peer)| peer.stopped = false);
        bench.run(2 * LEASE_MS + ENTRY_MS).resolve();
        let owner = bench.owner();
        prop_assert_eq!(owner.is_some(), has.contains(&true));
        if let Some(owner) = owner {
            prop_assert!(has[owner]);
            let (_, places) = bench.resolved.last().expect("an answer");
            prop_assert_eq!(places.as_ref().map(|places| places[0].clone()), Ok(url(owner)));
        }
        for origin in 0..3 {
            bench.withdraw(origin);
        }
        bench.run(Duration::from_millis(ENTRY_MS).as_millis() as u64);
        prop_assert_eq!(bench.owner(), None);
        bench.demand_one_owner_per_epoch();
    }
}
