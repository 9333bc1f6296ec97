//! The directory of streams: what is published here is announced, what is not here is found.
//!
//! Each virtual host with an `<OriginMapStore>` has one. An embedded store is asked on the spot; any other is the
//! driver's to ask.

use std::collections::BTreeMap;

use crate::census::Census;
use crate::config::{OriginMapStore, StorePlace, VirtualHost};
use crate::event::{Event, StreamKey};
use crate::io::{AskId, Endpoint, Output, StoreId};
use crate::registry::announcer::{self, Announcer};
use crate::registry::resolver::{self, Resolver, Unresolved};
use crate::registry::timekeeper::{self, Timekeeper};
use crate::registry::{Answer, Change, Command, Embedded, Failure};
use crate::time::{Now, soonest};
use crate::url::Url;

use super::stream::{Source, StreamId};
use super::{Child, Node};

/// One virtual host's directory.
pub(super) struct Directory {
    vhost: String,
    /// `ovt://host:port`, if streams are announced.
    base: Option<String>,
    pub(super) announcer: Announcer,
    pub(super) resolver: Resolver,
    timekeeper: Timekeeper,
    place: Place,
    /// The questions that are not answered.
    asked: BTreeMap<AskId, Side>,
}

enum Place {
    /// The store, and what both clocks showed when it was made: its own clock never steps.
    Embedded(Box<Embedded>, Now),
    Outside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Announcer,
    Resolver,
    Timekeeper,
}

impl Directory {
    pub(super) fn new(
        vhost: &VirtualHost,
        ovt_port: Option<u16>,
        rng: &mut fastrand::Rng,
        now: Now,
    ) -> Option<Self> {
        let OriginMapStore { place, origin_host, plain_keys } = vhost.store.as_ref()?;
        let own = origin_host.clone().zip(ovt_port).map(|(host, port)| Endpoint { host, port }.to_string());
        Some(Directory {
            vhost: vhost.name.clone(),
            base: own.as_ref().map(|own| format!("ovt://{own}")),
            announcer: Announcer::new(*plain_keys, rng.u64(..)),
            resolver: Resolver::new(own, rng.u64(..)),
            timekeeper: Timekeeper::new(rng.u64(..)),
            place: match place {
                StorePlace::Embedded => Place::Embedded(Box::default(), now),
                StorePlace::Redis(_) => Place::Outside,
            },
            asked: BTreeMap::new(),
        })
    }

    /// Whether the store answers, as far as anybody has asked.
    pub(super) fn is_there(&self) -> bool {
        self.announcer.is_store_there() && self.resolver.is_store_there()
    }

    pub(super) fn vhost(&self) -> &str {
        &self.vhost
    }

    pub(super) fn count(&self, census: &mut Census) {
        self.announcer.count(census);
        self.resolver.count(census);
        self.timekeeper.count(census);
    }

    /// Where a stream of this server is.
    pub(super) fn own_url(&self, name: &str) -> String {
        format!("{}/{name}", self.base.as_deref().unwrap_or_default())
    }

    fn key(&self, name: &str) -> StreamKey {
        let (app, stream) = name.split_once('/').unwrap_or((name, ""));
        StreamKey { vhost: self.vhost.clone(), app: app.to_owned(), stream: stream.to_owned() }
    }
}

impl Node {
    /// A stream of this server can be played: others may find it.
    pub(super) fn announce(&mut self, now: Now, key: &StreamKey) {
        let Some(store) = self.store_of(key) else { return };
        let Some(directory) = self.directories.get_mut(&store) else { return };
        if directory.base.is_none() {
            return;
        }
        let (name, url) = (name(key), directory.own_url(&name(key)));
        directory.announcer.announce(now, name, url);
        self.directory_settle(now, store);
    }

    /// A stream of this server has no publisher at the moment: another server that has one may have it.
    pub(super) fn offer(&mut self, now: Now, key: &StreamKey) {
        let Some(store) = self.store_of(key) else { return };
        let Some(directory) = self.directories.get_mut(&store) else { return };
        directory.announcer.offer(now, &name(key));
        self.directory_settle(now, store);
    }

    /// A stream of this server is over.
    pub(super) fn withdraw(&mut self, now: Now, key: &StreamKey) {
        let Some(store) = self.store_of(key) else { return };
        let Some(directory) = self.directories.get_mut(&store) else { return };
        directory.announcer.withdraw(now, &name(key));
        directory.timekeeper.forget(&name(key));
        self.directory_settle(now, store);
    }

    /// This server will go: whoever waits for one of its streams gets it now.
    pub(super) fn hand_over_streams(&mut self, now: Now, store: StoreId) {
        if let Some(directory) = self.directories.get_mut(&store) {
            directory.announcer.hand_over(now);
        }
        self.directory_settle(now, store);
    }

    /// A stream's time zero is to be agreed on, at `asks` if nobody has it elsewhere, or it is `placed`, or it has none that
    /// others could know.
    pub(super) fn keep_time_zero(&mut self, now: Now, id: StreamId, asks: Option<i64>, placed: Option<i64>) {
        let Some(key) = self.streams.get(&id).map(|stream| stream.key.clone()) else { return };
        let Some(store) = self.store_of(&key) else { return };
        let Some(directory) = self.directories.get_mut(&store) else { return };
        match (asks, placed) {
            (Some(ms), _) => directory.timekeeper.agree(now, name(&key), ms),
            (None, Some(ms)) => directory.timekeeper.keep(now, name(&key), ms),
            (None, None) => directory.timekeeper.forget(&name(&key)),
        }
        self.directory_settle(now, store);
    }

    /// The pull of a stream wants to know where the stream is.
    pub(super) fn resolve(&mut self, now: Now, id: StreamId) {
        let Some(key) = self.streams.get(&id).map(|stream| stream.key.clone()) else { return };
        let Some(store) = self.store_of(&key) else { return };
        let Some(directory) = self.directories.get_mut(&store) else { return };
        directory.resolver.resolve(now, name(&key));
        self.directory_settle(now, store);
    }

    /// Nobody wants to know any more where a stream is.
    pub(super) fn resolve_no_more(&mut self, now: Now, key: &StreamKey) {
        let Some(store) = self.store_of(key) else { return };
        let Some(directory) = self.directories.get_mut(&store) else { return };
        directory.resolver.watch_no_more(&name(key));
        self.directory_settle(now, store);
    }

    /// A store outside has answered.
    pub(super) fn directory_answered(&mut self, now: Now, ask: AskId, answer: Result<Answer, Failure>) {
        let found = self
            .directories
            .iter_mut()
            .find_map(|(store, directory)| directory.asked.remove(&ask).map(|side| (*store, side)));
        let Some((store, side)) = found else { return };
        self.hand_over(now, store, side, answer);
        self.directory_settle(now, store);
    }

    pub(super) fn directory_timeout(&mut self, now: Now, store: StoreId) {
        let Some(directory) = self.directories.get_mut(&store) else { return };
        directory.announcer.handle_timeout(now);
        directory.resolver.handle_timeout(now);
        directory.timekeeper.handle_timeout(now);
        self.directory_settle(now, store);
    }

    /// The directory of a stream's virtual host, if it has one.
    pub(super) fn store_of(&self, key: &StreamKey) -> Option<StoreId> {
        self.directories.iter().find(|(_, directory)| directory.vhost == key.vhost).map(|(store, _)| *store)
    }

    /// Does what a directory wants, and tells what it has to tell, until it is quiet.
    fn directory_settle(&mut self, now: Now, store: StoreId) {
        loop {
            let Some(directory) = self.directories.get_mut(&store) else { return };
            if let Some(output) = directory.announcer.poll_output() {
                match output {
                    announcer::Output::Ask(command) => self.ask(now, store, Side::Announcer, command),
                    announcer::Output::Told(told) => self.announcer_told(now, store, told),
                }
            } else if let Some(output) = directory.resolver.poll_output() {
                match output {
                    resolver::Output::Ask(command) => self.ask(now, store, Side::Resolver, command),
                    resolver::Output::Resolved { name, places } => self.resolved(now, store, &name, places),
                    resolver::Output::Told(told) => self.resolver_told(store, told),
                }
            } else if let Some(output) = directory.timekeeper.poll_output() {
                match output {
                    timekeeper::Output::Ask(command) => self.ask(now, store, Side::Timekeeper, command),
                    timekeeper::Output::Agreed { name, ms } | timekeeper::Output::Overruled { name, ms } => {
                        let key = directory.key(&name);
                        if let Some(id) = self.names.get(&key).copied() {
                            self.time_zero_agreed(now, id, ms);
                        }
                    }
                }
            } else {
                let due = soonest(directory.announcer.poll_timeout(), directory.resolver.poll_timeout());
                let due = soonest(due, directory.timekeeper.poll_timeout());
                return self.timers.set(Child::Directory(store), due.map(|deadline| deadline.at));
            }
        }
    }

    fn ask(&mut self, now: Now, store: StoreId, side: Side, command: Command) {
        let Some(directory) = self.directories.get_mut(&store) else { return };
        if let Place::Embedded(embedded, start) = &mut directory.place {
            let run_for = now.mono.since(start.mono).as_millis();
            let now_ms = u128::try_from(start.wall.as_millis()).unwrap_or(0) + run_for;
            let answer = embedded.execute(u64::try_from(now_ms).unwrap_or(u64::MAX), &command);
            return self.hand_over(now, store, side, Ok(answer));
        }
        self.next_ask += 1;
        let ask = AskId(self.next_ask);
        // Each side asks one thing at a time: an answer to what it has given up is not waited for.
        directory.asked.retain(|_, other| *other != side);
        directory.asked.insert(ask, side);
        self.out.push_back(Output::Registry { ask, store, command });
    }

    fn hand_over(&mut self, now: Now, store: StoreId, side: Side, answer: Result<Answer, Failure>) {
        let Some(directory) = self.directories.get_mut(&store) else { return };
        match side {
            Side::Announcer => directory.announcer.answered(now, answer),
            Side::Resolver => directory.resolver.answered(now, answer),
            // What it says of the store itself, the others say too.
            Side::Timekeeper => drop(directory.timekeeper.answered(now, answer)),
        }
    }

    /// It is known where a stream is, or that it has moved: its pull goes there.
    fn resolved(&mut self, now: Now, store: StoreId, name: &str, places: Result<Vec<Url>, Unresolved>) {
        let Some(key) = self.directories.get(&store).map(|directory| directory.key(name)) else { return };
        let Some(id) = self.names.get(&key).copied() else { return };
        let Some(Source::Pull(pull)) = self.streams.get_mut(&id).map(|stream| &mut stream.source) else {
            return;
        };
        pull.resolved(now, places);
        let follows = pull.follows_directory();
        if let Some(directory) = self.directories.get_mut(&store).filter(|_| follows) {
            directory.resolver.watch(now, name);
        }
        self.pull_settle(now, id);
    }

    fn announcer_told(&mut self, now: Now, store: StoreId, told: announcer::Told) {
        let Some(directory) = self.directories.get_mut(&store) else { return };
        if matches!(told, announcer::Told::Lost { .. } | announcer::Told::Store(Change::Back { .. })) {
            directory.timekeeper.again(now);
        }
        let event = match told {
            announcer::Told::Announced { name, epoch } => {
                Event::StreamAnnounced { key: directory.key(&name), epoch }
            }
            announcer::Told::Lost { name } => Event::StreamDisowned { key: directory.key(&name) },
            announcer::Told::Store(change) => store_event(&directory.vhost, change),
            announcer::Told::Waits { name, epoch, url } => {
                Event::StreamWaits { key: directory.key(&name), epoch, url }
            }
        };
        self.event(event);
    }

    fn resolver_told(&mut self, store: StoreId, told: resolver::Told) {
        let Some(directory) = self.directories.get(&store) else { return };
        let event = match told {
            resolver::Told::Follows { name, epoch, url } => {
                Event::RouteFollowed { key: directory.key(&name), epoch, url }
            }
            resolver::Told::Store(change) => store_event(&directory.vhost, change),
            resolver::Told::Unusable { name, why } => Event::RouteUnusable { key: directory.key(&name), why },
        };
        self.event(event);
    }
}

/// A stream's name in the directory.
pub(super) fn name(key: &StreamKey) -> String {
    format!("{}/{}", key.app, key.stream)
}

fn store_event(vhost: &str, change: Change) -> Event {
    let vhost = vhost.to_owned();
    match change {
        Change::Away(why) => Event::StoreAway { vhost, why: why.to_string() },
        Change::Back { after } => Event::StoreBack { vhost, after },
    }
}
