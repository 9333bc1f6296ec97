//! The checkers of directories against algorithms that do it wrong: OvenMediaEngine's and srs-proxy's, as far as their
//! keys go, and puppets. Ours goes through the same faults and breaks nothing.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::config::{Config, OriginMapStore, RedisServer, RedisServers, StorePlace, VirtualHost};
use headwater_core::event::{Event, Joined, StreamKey};
use headwater_core::io::{AskId, ConnId, Endpoint, Input, Machine, Output, StoreId};
use headwater_core::origin_map::PullProperties;
use headwater_core::registry::announcer::{self, Announcer};
use headwater_core::registry::{Claim, Command, Epoch, LeaseId};
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_sim::check::{
    Checker, KeysEnd, LosersLearn, NobodyGoesBack, OneOwnerPerEpoch, Stores, StreamsAreFound,
};
use headwater_net_sim::redis::{Handle, PORT, Server, Setup, WithStore, directory_scripts};
use headwater_net_sim::{Boot, Checks, Crash, HostId, Latency, Rng, World, ms, secs};

const NAME: &str = "live/match";

fn key() -> StreamKey {
    StreamKey { vhost: "default".to_owned(), app: "live".to_owned(), stream: "match".to_owned() }
}

fn url(host: &str) -> String {
    format!("ovt://{host}:9000/{NAME}")
}

fn published() -> Event {
    Event::PublishStarted { key: key(), conn: ConnId(1) }
}

/// None of the two has epochs; so each of their reigns is the first.
fn announced(host: &str) -> Event {
    let owner = LeaseId(u64::from(host.as_bytes()[host.len() - 1]));
    Event::StreamAnnounced { key: key(), epoch: Epoch { number: 1, owner } }
}

/// An algorithm of others: what is said next, and what the answers mean.
trait Algorithm {
    /// How often it looks.
    fn every(&self) -> Duration;
    /// What it does then.
    fn begin(&mut self) -> Vec<String>;
    /// What it does when it is told this.
    fn told(&mut self, reply: &str) -> Vec<String>;
    /// Whether it takes the stream for its own.
    fn owns(&self) -> bool;
}

/// OvenMediaEngine 0.20 (reference: OriginMapStore section 3).
struct Ome {
    url: String,
    owned: bool,
    setting: bool,
}

impl Algorithm for Ome {
    fn every(&self) -> Duration {
        ms(2_500)
    }

    fn begin(&mut self) -> Vec<String> {
        if self.owned { vec![format!("SET {NAME} {} EX 10", self.url)] } else { vec![format!("GET {NAME}")] }
    }

    fn told(&mut self, reply: &str) -> Vec<String> {
        if self.owned {
            return Vec::new();
        }
        if self.setting {
            self.setting = false;
            self.owned = reply == "+OK";
        } else if reply == "$-1" {
            self.setting = true;
            return vec![format!("SET {NAME} {} EX 10 NX", self.url)];
        } else {
            self.owned = reply.ends_with(&self.url);
        }
        Vec::new()
    }

    fn owns(&self) -> bool {
        self.owned
    }
}

/// srs-proxy with Redis: a server is registered for 300 s, and a stream is bound to a server for as long as that is
/// registered (reference: srs-proxy section 3).
struct SrsProxy {
    host: String,
    asked: Option<String>,
    owned: bool,
}

impl Algorithm for SrsProxy {
    fn every(&self) -> Duration {
        secs(1)
    }

    fn begin(&mut self) -> Vec<String> {
        self.asked = None;
        let mut words = vec![format!("SET srs-proxy-server:{} here EX 300", self.host)];
        // Nobody asks again for whom he carries already.
        if !self.owned {
            words.push(format!("GET {NAME}"));
        }
        words
    }

    fn told(&mut self, reply: &str) -> Vec<String> {
        if reply == "+OK" {
            return Vec::new();
        }
        let own = url(&self.host);
        match (self.asked.take(), reply) {
            // Bound to a server: is that registered?
            (None, bound) if bound != "$-1" => {
                self.owned = bound.ends_with(&own);
                let host = bound.split("://").nth(1).unwrap().split(':').next().unwrap().to_owned();
                self.asked = Some(host.clone());
                if self.owned { Vec::new() } else { vec![format!("GET srs-proxy-server:{host}")] }
            }
            // Nobody has it, or he has not been heard of for five minutes.
            (None | Some(_), "$-1") => {
                self.owned = true;
                vec![format!("SET {NAME} {own}")]
            }
            _ => Vec::new(),
        }
    }

    fn owns(&self) -> bool {
        self.owned
    }
}

/// A program that follows an algorithm on one connection, one command at a time, without any timeout.
struct Follower<A> {
    host: String,
    algorithm: A,
    conn: ConnId,
    up: bool,
    said: usize,
    waiting: VecDeque<String>,
    heard: String,
    next: Time,
    owned: bool,
    out: VecDeque<Output>,
}

impl<A: Algorithm + 'static> Follower<A> {
    fn boot(host: &str, algorithm: fn(&str) -> A) -> Boot {
        let host = host.to_owned();
        Boot::new(move |_, now| {
            Box::new(Follower {
                host: host.clone(),
                algorithm: algorithm(&host),
                conn: ConnId(0),
                up: false,
                said: 0,
                waiting: VecDeque::new(),
                heard: String::new(),
                next: now.mono,
                owned: false,
                out: VecDeque::from([Output::Event(published())]),
            })
        })
    }

    fn say(&mut self, words: Vec<String>) {
        self.waiting.extend(words);
        while self.up
            && self.said == 0
            && let Some(line) = self.waiting.pop_front()
        {
            self.said += 1;
            let bytes = Bytes::from(format!("{line}\r\n"));
            self.out.push_back(Output::Write { conn: self.conn, bytes });
        }
        let owns = self.algorithm.owns();
        if owns != core::mem::replace(&mut self.owned, owns) {
            let event = if owns { announced(&self.host) } else { Event::StreamDisowned { key: key() } };
            self.out.push_back(Output::Event(event));
        }
    }
}

impl<A: Algorithm + 'static> Machine for Follower<A> {
    fn handle(&mut self, _now: Now, input: Input) {
        match input {
            Input::Opened { .. } => {
                self.up = true;
                self.say(Vec::new());
            }
            Input::Closed { .. } => {
                (self.up, self.said) = (false, 0);
                self.waiting.clear();
                self.heard.clear();
            }
            Input::Received { bytes, .. } => {
                self.heard.push_str(std::str::from_utf8(&bytes).unwrap());
                // A reply is a line, or a line and a text.
                let lines: Vec<&str> = self.heard.split("\r\n").collect();
                let has_text = lines[0].starts_with('$') && lines[0] != "$-1";
                if lines.len() < if has_text { 3 } else { 2 } {
                    return;
                }
                let reply = lines[usize::from(has_text)].to_owned();
                self.heard.clear();
                self.said = 0;
                let next = self.algorithm.told(&reply);
                next.into_iter().rev().for_each(|line| self.waiting.push_front(line));
                self.say(Vec::new());
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        while self.next <= now.mono {
            self.next += self.algorithm.every();
            if !self.up && self.waiting.is_empty() {
                self.conn = ConnId(self.conn.0 + 2);
                let to = Endpoint { host: "store".to_owned(), port: PORT };
                self.out.push_back(Output::Open { conn: self.conn, to });
            }
            // Whoever is blocked does nothing else.
            if self.said == 0 && self.waiting.is_empty() {
                let words = self.algorithm.begin();
                self.say(words);
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline { at: self.next, why: "the timer" })
    }
}

/// An origin of ours without its media.
struct Ours {
    announcer: Announcer,
    asked: u64,
    out: VecDeque<Output>,
}

impl Ours {
    fn boot(host: &str) -> Boot {
        let host = host.to_owned();
        Boot::new(move |seed, now| {
            let (announcer, out) = (Announcer::new(true, seed), VecDeque::from([Output::Event(published())]));
            let mut ours = Ours { announcer, asked: 0, out };
            ours.announcer.announce(now, NAME.to_owned(), url(&host));
            ours.settle();
            Box::new(WithStore::new(ours, &config(), now))
        })
    }

    fn settle(&mut self) {
        while let Some(output) = self.announcer.poll_output() {
            let key = key();
            self.out.push_back(match output {
                announcer::Output::Ask(command) => {
                    self.asked += 1;
                    Output::Registry { ask: AskId(self.asked), store: StoreId(0), command }
                }
                announcer::Output::Told(told) => Output::Event(match told {
                    announcer::Told::Announced { epoch, .. } => Event::StreamAnnounced { key, epoch },
                    announcer::Told::Waits { epoch, url, .. } => Event::StreamWaits { key, epoch, url },
                    announcer::Told::Lost { .. } => Event::StreamDisowned { key },
                    announcer::Told::Store(_) => continue,
                }),
            });
        }
    }
}

impl Machine for Ours {
    fn handle(&mut self, now: Now, input: Input) {
        if let Input::Registry { answer, .. } = input {
            self.announcer.answered(now, answer);
            self.settle();
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.announcer.handle_timeout(now);
        self.settle();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.announcer.poll_timeout()
    }
}

fn config() -> Config {
    let server = RedisServers::Single(Endpoint { host: "store".to_owned(), port: PORT });
    let redis = RedisServer::from(server);
    let vhost = VirtualHost {
        name: "default".to_owned(),
        hosts: Vec::new(),
        tls: None,
        pull: PullProperties::default(),
        origins: Vec::new(),
        store: Some(OriginMapStore { place: StorePlace::Redis(redis), origin_host: None, plain_keys: true }),
        applications: Vec::new(),
        template: None,
    };
    Config { name: "node".to_owned(), vhosts: vec![vhost], ..Config::default() }
}

/// A store and two origins, to which something happens.
fn run(
    seed: u64,
    origin: &dyn Fn(&str) -> Boot,
    watch: &dyn Fn(&Stores) -> Box<dyn Checker>,
) -> Option<String> {
    let mut rng = Rng::new(seed).fork("faults");
    let mut world = World::new(seed);
    world.link_default(Latency::ms(1).jitter_ms(5));
    let handle = Handle::new(Setup { scripts: directory_scripts(), ..Setup::default() });
    let store = world.host("store", Server::boot(&handle));
    let origins: Vec<HostId> = ["origin-a", "origin-b"].map(|name| world.host(name, origin(name))).into();
    let mut checks = Checks::none();
    checks.add(watch(&vec![(store, handle)]));
    let mut faults = |world: &mut World, checks: &mut Checks| {
        for _ in 0..3 {
            let host = origins[usize::from(rng.below(2) == 0)];
            let lasts = ms(3_500 + rng.below(12_000));
            advance(world, checks, ms(5_000 + rng.below(3_000)))?;
            match rng.below(3) {
                0 => {
                    world.pause(host);
                    advance(world, checks, lasts)?;
                    world.resume(host);
                }
                1 => {
                    world.partition(host, store);
                    advance(world, checks, lasts)?;
                    world.heal(host, store);
                }
                _ => {
                    world.crash(host, Crash::Reset);
                    advance(world, checks, lasts)?;
                    world.restart(host);
                }
            }
        }
        advance(world, checks, secs(10))
    };
    faults(&mut world, &mut checks).err()
}

fn advance(world: &mut World, checks: &mut Checks, span: Duration) -> Result<(), String> {
    let end = world.now() + span;
    while world.now() < end {
        world.run_until((world.now() + ms(250)).min(end));
        checks.verify(world).map_err(|violation| violation.to_string())?;
    }
    Ok(())
}

/// How many seeds it takes until the rule is broken.
fn broken_after(origin: &dyn Fn(&str) -> Boot, watch: &dyn Fn(&Stores) -> Box<dyn Checker>) -> Option<u64> {
    (1..SEEDS).find(|seed| run(*seed, origin, watch).is_some())
}

const SEEDS: u64 = 1_000;

fn ome(host: &str) -> Boot {
    Follower::boot(host, |host| Ome { url: url(host), owned: false, setting: false })
}

fn srs_proxy(host: &str) -> Boot {
    Follower::boot(host, |host| SrsProxy { host: host.to_owned(), asked: None, owned: false })
}

fn found(stores: &Stores) -> Box<dyn Checker> {
    Box::new(StreamsAreFound::within(secs(7), stores))
}

fn learn(stores: &Stores) -> Box<dyn Checker> {
    Box::new(LosersLearn::within(secs(6), stores))
}

fn end(stores: &Stores) -> Box<dyn Checker> {
    Box::new(KeysEnd::within(secs(60), stores))
}

fn one_owner(stores: &Stores) -> Box<dyn Checker> {
    Box::new(OneOwnerPerEpoch::of(stores))
}

#[test]
fn ovenmediaengine_finds_streams_too_late_and_has_two_owners() {
    for (what, watch) in [("found", &found as &dyn Fn(&Stores) -> Box<dyn Checker>), ("learn", &learn)] {
        let seeds = broken_after(&ome, watch);
        println!("OvenMediaEngine breaks {what:?} with seed {seeds:?}");
        assert!(seeds.is_some(), "{what}");
    }
}

#[test]
fn srs_proxy_finds_streams_too_late_has_two_owners_and_leaves_keys() {
    let all = [("found", &found as &dyn Fn(&Stores) -> Box<dyn Checker>), ("learn", &learn), ("end", &end)];
    for (what, watch) in all {
        let seeds = broken_after(&srs_proxy, watch);
        println!("srs-proxy breaks {what:?} with seed {seeds:?}");
        assert!(seeds.is_some(), "{what}");
    }
}

#[test]
fn ours_breaks_nothing() {
    for watch in [&found as &dyn Fn(&Stores) -> Box<dyn Checker>, &learn, &end, &one_owner] {
        for seed in 1..SEEDS {
            let broken = run(seed, &Ours::boot, watch);
            assert_eq!(broken, None, "seed {seed}");
        }
    }
}

/// Says and asks what it is told to, a second apart.
struct Puppet {
    lines: VecDeque<(Time, Vec<Output>)>,
    out: VecDeque<Output>,
}

impl Machine for Puppet {
    fn handle(&mut self, _now: Now, _input: Input) {}

    fn handle_timeout(&mut self, now: Now) {
        while self.lines.front().is_some_and(|(at, _)| *at <= now.mono) {
            self.out.extend(self.lines.pop_front().unwrap().1);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.lines.front().map(|(at, _)| Deadline { at: *at, why: "a line" })
    }
}

fn puppet(lines: impl Fn(&str) -> Vec<Vec<Output>> + 'static) -> impl Fn(&str) -> Boot {
    let lines = std::rc::Rc::new(lines);
    move |host: &str| {
        let (host, lines) = (host.to_owned(), lines.clone());
        Boot::new(move |_, now| {
            let timed = (1..).zip(lines(&host)).map(|(n, outputs)| (now.mono + secs(n), outputs));
            let puppet = Puppet { lines: timed.collect(), out: VecDeque::new() };
            Box::new(WithStore::new(puppet, &config(), now))
        })
    }
}

#[test]
fn a_lease_that_two_share_is_noticed() {
    let claims = puppet(|host| {
        let streams = vec![Claim { name: NAME.to_owned(), url: url(host), floor: 0, dead: None }];
        let command = Command::Claim { by: LeaseId(7), streams };
        vec![vec![Output::Registry { ask: AskId(1), store: StoreId(0), command }]]
    });
    assert!(run(1, &claims, &one_owner).unwrap().contains("in epoch"));
    let says = puppet(|_| vec![vec![Output::Event(announced("origin-a"))]]);
    assert!(run(1, &says, &one_owner).unwrap().contains("is its own in epoch"));
}

#[test]
fn who_goes_back_to_an_older_epoch_is_noticed() {
    let goes_back = |lines: fn() -> Vec<Vec<Output>>| {
        run(1, &puppet(move |_| lines()), &|_| Box::new(NobodyGoesBack::default())).is_some()
    };
    // Origin A says all this itself.
    assert!(!goes_back(|| vec![
        vec![follow(5, A), play(A)],
        vec![follow(6, "b"), play("b")],
        vec![follow(7, A), play(A)]
    ]));
    assert!(goes_back(|| vec![vec![follow(5, A)], vec![follow(4, "b")]]));
    assert!(goes_back(|| vec![vec![reign(5), follow(5, A), play(A)], vec![follow(6, "b")], vec![play(A)]]));
    assert!(goes_back(|| vec![
        vec![reign(5), follow(5, A), play(A)],
        vec![follow(6, "b")],
        vec![follow_plain(A)]
    ]));
    let learns =
        || vec![vec![reign(5), follow(5, A), play(A)], vec![follow(6, "b"), disowned()], vec![play(A)]];
    assert!(!goes_back(learns));
}

const A: &str = "origin-a";

fn reign(number: u64) -> Output {
    let epoch = Epoch { number, owner: LeaseId(7) };
    Output::Event(Event::StreamAnnounced { key: key(), epoch })
}

fn disowned() -> Output {
    Output::Event(Event::StreamDisowned { key: key() })
}

fn follow(number: u64, host: &str) -> Output {
    let epoch = Some(Epoch { number, owner: LeaseId(7) });
    Output::Event(Event::RouteFollowed { key: key(), epoch, url: url(host) })
}

fn follow_plain(host: &str) -> Output {
    Output::Event(Event::RouteFollowed { key: key(), epoch: None, url: url(host) })
}

fn play(host: &str) -> Output {
    let (outage, joined) = (Duration::ZERO, Joined::First);
    Output::Event(Event::PullPlaying { key: key(), url: url(host), outage, joined })
}
