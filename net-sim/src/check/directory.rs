//! Checkers of a directory of streams, and of those who follow it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use headwater_core::event::Event;
use headwater_core::registry::entry::Entry;
use headwater_core::registry::redis::Schema;
use headwater_core::registry::{Epoch, LeaseId};
use headwater_core::time::Time;

use super::Checker;
use crate::redis::Handle;
use crate::world::{Fact, HostId, World};

type Finding = Result<(), (Time, HostId, String)>;

/// The stores of a world, by the hosts that they run on.
pub type Stores = Vec<(HostId, Handle)>;

/// What became known since it was last asked: what programs said, and who was started anew and so knows nothing.
#[derive(Default)]
struct News {
    facts: usize,
    boots: usize,
}

enum Item<'a> {
    Boot(HostId),
    Fact(&'a Fact),
}

impl News {
    /// The next item, in the order of time.
    fn next<'a>(&mut self, world: &'a World) -> Option<Item<'a>> {
        let fact = world.facts().get(self.facts);
        if let Some((at, host)) = world.boots().get(self.boots)
            && fact.is_none_or(|fact| *at <= fact.at)
        {
            self.boots += 1;
            return Some(Item::Boot(*host));
        }
        self.facts += usize::from(fact.is_some());
        fact.map(Item::Fact)
    }
}

/// An epoch is the reign of one owner: in whatever a store was ever told, over restarts and lost writes, and in what
/// servers say of themselves.
pub struct OneOwnerPerEpoch {
    stores: Stores,
    places: BTreeMap<HostId, usize>,
    /// Where each stream was in each epoch.
    reigns: BTreeMap<(String, u64, LeaseId), String>,
    place: usize,
    announced: BTreeMap<(String, Epoch), HostId>,
}

impl OneOwnerPerEpoch {
    /// Looks at everything that these stores are told from now on.
    pub fn of(stores: &Stores) -> OneOwnerPerEpoch {
        stores.iter().for_each(|(_, store)| store.keep_changes());
        OneOwnerPerEpoch {
            stores: stores.clone(),
            places: BTreeMap::new(),
            reigns: BTreeMap::new(),
            place: 0,
            announced: BTreeMap::new(),
        }
    }
}

impl Checker for OneOwnerPerEpoch {
    fn rule(&self) -> &'static str {
        "an epoch has one owner"
    }

    fn check(&mut self, world: &World) -> Finding {
        let schema = Schema::default();
        for (host, store) in &self.stores {
            let place = self.places.entry(*host).or_default();
            for (key, value) in store.changes(*place) {
                *place += 1;
                let Some(name) = schema.name_of(&key) else { continue };
                let Some(entry) = value.and_then(|value| Entry::parse(&String::from_utf8_lossy(&value)))
                else {
                    continue;
                };
                let Epoch { number, owner } = entry.epoch;
                let known = self.reigns.entry((name.to_owned(), number, owner)).or_insert(entry.url.clone());
                if *known != entry.url {
                    let what = format!("{name} is at {known} and at {} in epoch {}", entry.url, entry.epoch);
                    return Err((world.now(), *host, what));
                }
            }
        }
        for fact in world.facts().iter().skip(self.place) {
            self.place += 1;
            let Event::StreamAnnounced { key, epoch } = &fact.event else { continue };
            let owner = *self.announced.entry((key.to_string(), *epoch)).or_insert(fact.host);
            if owner != fact.host {
                let what = format!("{key} is its own in epoch {epoch}, and {}'s", world.name(owner));
                return Err((fact.at, fact.host, what));
            }
        }
        Ok(())
    }
}

/// An edge that has seen a stream's epoch goes back to no older one: to no server that takes an older reign for its own.
/// One that knows that its reign is over may wait in line, and be played when the owner cannot be reached.
#[derive(Default)]
pub struct NobodyGoesBack {
    /// The epochs that servers take for their own.
    reigns: BTreeMap<(HostId, String), Epoch>,
    news: News,
    /// By edge and stream: the greatest epoch, and in which epoch each place was seen last.
    seen: BTreeMap<(HostId, String), Seen>,
}

#[derive(Default)]
struct Seen {
    greatest: Option<Epoch>,
    places: BTreeMap<String, Epoch>,
}

impl Checker for NobodyGoesBack {
    fn rule(&self) -> &'static str {
        "nobody goes back to an older epoch"
    }

    fn check(&mut self, world: &World) -> Finding {
        while let Some(item) = self.news.next(world) {
            let fact = match item {
                Item::Boot(host) => {
                    self.seen.retain(|(edge, _), _| *edge != host);
                    self.reigns.retain(|(server, _), _| *server != host);
                    continue;
                }
                Item::Fact(fact) => fact,
            };
            match &fact.event {
                Event::StreamAnnounced { key, epoch } => {
                    self.reigns.insert((fact.host, key.to_string()), *epoch);
                }
                Event::StreamDisowned { key } | Event::StreamWaits { key, .. } => {
                    self.reigns.remove(&(fact.host, key.to_string()));
                }
                _ => {}
            }
            let (key, url) = match &fact.event {
                Event::RouteFollowed { key, url, .. } | Event::PullPlaying { key, url, .. } => (key, url),
                _ => continue,
            };
            let seen = self.seen.entry((fact.host, key.to_string())).or_default();
            if let Event::RouteFollowed { epoch: Some(epoch), .. } = &fact.event {
                if seen.greatest.is_some_and(|greatest| *epoch < greatest) {
                    let what =
                        format!("{key} is followed to {url} in epoch {epoch}, after {:?}", seen.greatest);
                    return Err((fact.at, fact.host, what));
                }
                seen.greatest = Some(*epoch);
                seen.places.insert(url.clone(), *epoch);
            }
            let Some(of_place) = seen.places.get(url) else { continue };
            let server = host_of(url).and_then(|name| world.host_named(name));
            let knows = server.is_some_and(|server| {
                world.is_running(server) && self.reigns.get(&(server, key.to_string())) != Some(of_place)
            });
            if !knows && seen.greatest.is_some_and(|greatest| *of_place < greatest) {
                let what = format!("{key} comes from {url}, whose reign {of_place} is over");
                return Err((fact.at, fact.host, what));
            }
        }
        Ok(())
    }
}

/// A stream that somebody has is found there, soon after he and the store can talk.
pub struct StreamsAreFound {
    bound: Duration,
    stores: Stores,
    news: News,
    /// Who has which stream.
    has: BTreeSet<(String, HostId)>,
    /// Since when each stream should be found and is not.
    missing: BTreeMap<String, Time>,
}

impl StreamsAreFound {
    /// In these stores, in which whatever is published is announced, after `bound` at the latest.
    pub fn within(bound: Duration, stores: &Stores) -> StreamsAreFound {
        StreamsAreFound {
            bound,
            stores: stores.clone(),
            news: News::default(),
            has: BTreeSet::new(),
            missing: BTreeMap::new(),
        }
    }

    fn listen(&mut self, world: &World) {
        while let Some(item) = self.news.next(world) {
            let fact = match item {
                Item::Boot(host) => {
                    self.has.retain(|(_, who)| *who != host);
                    continue;
                }
                Item::Fact(fact) => fact,
            };
            match &fact.event {
                Event::PublishStarted { key, .. } => {
                    self.has.insert((format!("{}/{}", key.app, key.stream), fact.host));
                }
                Event::PublishEnded { key, .. } => {
                    self.has.remove(&(format!("{}/{}", key.app, key.stream), fact.host));
                }
                _ => {}
            }
        }
    }
}

impl Checker for StreamsAreFound {
    fn rule(&self) -> &'static str {
        "a stream is found where it is"
    }

    fn check(&mut self, world: &World) -> Finding {
        self.listen(world);
        let names: BTreeSet<&String> = self.has.iter().map(|(name, _)| name).collect();
        self.missing.retain(|name, _| names.contains(name));
        for (store, handle) in &self.stores {
            let well = |host: HostId| {
                let awake = |host| world.is_running(host) && !world.is_paused(host);
                awake(host) && awake(*store) && world.can_talk(host, *store) && handle.is_prompt()
            };
            for name in &names {
                let who = || self.has.iter().filter(|(other, _)| other == *name).map(|(_, host)| *host);
                let found = handle.place_of(name, world.clock(*store).wall.as_millis());
                let at = found.as_deref().and_then(|url| world.host_named(host_of(url)?));
                let is_there = at.is_some_and(|at| who().any(|host| host == at) && well(at));
                if is_there || !who().any(well) {
                    self.missing.remove(*name);
                    continue;
                }
                let since = *self.missing.entry((*name).clone()).or_insert(world.now());
                if world.now().since(since) > self.bound {
                    let what = format!("{name} is not where the store says: {found:?}");
                    return Err((world.now(), *store, what));
                }
            }
        }
        Ok(())
    }
}

/// Who has lost a stream to another learns it, soon after he can talk to the store.
pub struct LosersLearn {
    bound: Duration,
    stores: Stores,
    news: News,
    /// Who takes which stream for his.
    owners: BTreeSet<(String, HostId)>,
    /// Since when two do.
    disputed: BTreeMap<String, Time>,
}

impl LosersLearn {
    /// After `bound` at the latest, if the owners announce in these stores.
    pub fn within(bound: Duration, stores: &Stores) -> LosersLearn {
        LosersLearn {
            bound,
            stores: stores.clone(),
            news: News::default(),
            owners: BTreeSet::new(),
            disputed: BTreeMap::new(),
        }
    }

    fn listen(&mut self, world: &World) {
        while let Some(item) = self.news.next(world) {
            let fact = match item {
                Item::Boot(host) => {
                    self.owners.retain(|(_, owner)| *owner != host);
                    continue;
                }
                Item::Fact(fact) => fact,
            };
            match &fact.event {
                Event::StreamAnnounced { key, .. } => {
                    self.owners.insert((key.to_string(), fact.host));
                }
                Event::StreamDisowned { key }
                | Event::StreamWaits { key, .. }
                | Event::PublishEnded { key, .. } => {
                    self.owners.remove(&(key.to_string(), fact.host));
                }
                _ => {}
            }
        }
    }
}

impl Checker for LosersLearn {
    fn rule(&self) -> &'static str {
        "who has lost a stream learns it"
    }

    fn check(&mut self, world: &World) -> Finding {
        self.listen(world);
        let (now, stores) = (world.now(), &self.stores);
        let awake = |host| world.is_running(host) && !world.is_paused(host);
        let well = |host: HostId| {
            let talks = |(store, handle): &(HostId, Handle)| {
                awake(*store) && world.can_talk(host, *store) && handle.is_prompt()
            };
            awake(host) && stores.iter().any(talks)
        };
        let mut disputed = BTreeMap::new();
        for (name, host) in self.owners.iter().filter(|(_, host)| well(*host)) {
            disputed.entry(name.clone()).or_insert_with(Vec::new).push(*host);
        }
        disputed.retain(|_, owners| owners.len() > 1);
        self.disputed.retain(|name, _| disputed.contains_key(name));
        for (name, owners) in disputed {
            let since = *self.disputed.entry(name.clone()).or_insert(now);
            if now.since(since) > self.bound {
                let names: Vec<&str> = owners.iter().map(|owner| world.name(*owner)).collect();
                return Err((now, owners[0], format!("{name} is {}'s", names.join("'s and "))));
            }
        }
        Ok(())
    }
}

/// What is in a store leaves it by itself.
pub struct KeysEnd {
    stores: Stores,
    bound: Duration,
}

impl KeysEnd {
    /// No key of these stores lives for longer than `bound` if nobody touches it.
    pub fn within(bound: Duration, stores: &Stores) -> KeysEnd {
        KeysEnd { stores: stores.clone(), bound }
    }
}

impl Checker for KeysEnd {
    fn rule(&self) -> &'static str {
        "what nobody keeps leaves the store"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, store) in &self.stores {
            for (key, left) in store.keys(world.clock(*host).wall.as_millis()) {
                if left.is_none_or(|left| left > self.bound) {
                    return Err((world.now(), *host, format!("{key:?} stays for {left:?}")));
                }
            }
        }
        Ok(())
    }
}

/// The host in a URL.
fn host_of(url: &str) -> Option<&str> {
    url.split_once("://")?.1.split([':', '/']).next()
}
