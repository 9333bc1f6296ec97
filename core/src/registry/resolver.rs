//! An edge's side of the directory: where a stream is, and whether it has moved.
//!
//! One lookup is under way at a time, for any number of streams, and any number of viewers wait for it. While the store
//! is away, routes that are known are used until they are proven wrong. An edge that has seen a stream's epoch takes
//! no older one: a store that lost its data is told to give the owner a greater one first.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::announcer::BATCH;
use super::line::{self, Change, Line};
use super::{Answer, Command, Epoch, Failure, Found, Name};
use crate::census::Census;
use crate::limits::ROUTES_KNOWN_MAX;
use crate::time::{Deadline, Now, Time};
use crate::url::Url;

/// What a resolver wants, or has to tell.
#[derive(Debug)]
pub enum Output {
    /// Ask the store. Answered by [`Resolver::answered`], before anything else is asked.
    Ask(Command),
    /// A stream that was asked for, or one that is watched and has moved.
    Resolved {
        /// Which.
        name: Name,
        /// Where it is: the owner first; or why that is not known.
        places: Result<Vec<Url>, Unresolved>,
    },
    /// Something changed.
    Told(Told),
}

/// What operators are to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A stream is found at another place than before, or in another epoch.
    Follows {
        /// Which.
        name: Name,
        /// Its owner's reign; `None` for a plain key.
        epoch: Option<Epoch>,
        /// Where.
        url: String,
    },
    /// The store is away, or back.
    Store(Change),
    /// What the store says of a stream cannot be used.
    Unusable {
        /// Which.
        name: Name,
        /// Why, and what to do.
        why: String,
    },
}

/// Why it is not known where a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Nobody has it.
    Absent,
    /// The store is away.
    Away,
    /// The store knows only what cannot be used.
    Unusable,
}

/// How often the routes of streams that are being pulled are looked at.
pub const WATCH: Duration = Duration::from_secs(2);

/// How often a lookup is repeated because the store is behind what was seen.
const STALE_TRIES: u32 = 3;

/// What is due so soon is looked up together with what is due now.
const SLACK: Duration = Duration::from_millis(500);

/// An edge's side of one directory.
#[derive(Debug)]
pub struct Resolver {
    /// The host and port under which this server announces streams itself: it does not pull from there.
    own: Option<String>,
    known: BTreeMap<Name, Known>,
    /// The same in the order in which they became known.
    order: VecDeque<Name>,
    /// Streams that somebody waits for, and how often the store was behind.
    wanted: BTreeMap<Name, u32>,
    /// Streams that are being pulled, and when they are looked at.
    watched: BTreeMap<Name, Time>,
    watches: BTreeSet<(Time, Name)>,
    /// Epochs that the store is to go beyond.
    raises: VecDeque<(Name, u64)>,
    line: Line,
    out: VecDeque<Output>,
}

/// What is known of a stream. It stays when the stream is gone: an old owner must not be taken for a new one.
#[derive(Debug, Default)]
struct Known {
    /// The greatest epoch that was seen.
    epoch: Option<Epoch>,
    /// Where it was found last.
    places: Vec<Url>,
    /// Where the owner before was: whoever still names that is behind.
    superseded: Option<String>,
    /// What was told of it.
    complaint: Option<String>,
}

impl Resolver {
    /// One that knows nothing. `own` is `host:port` of this server's announcements; `seed` draws the jitter of retries.
    pub fn new(own: Option<String>, seed: u64) -> Resolver {
        Resolver {
            own,
            known: BTreeMap::new(),
            order: VecDeque::new(),
            wanted: BTreeMap::new(),
            watched: BTreeMap::new(),
            watches: BTreeSet::new(),
            raises: VecDeque::new(),
            line: Line::new(seed),
            out: VecDeque::new(),
        }
    }

    /// Where is this stream? Answered by [`Output::Resolved`]; while the store is away at once.
    pub fn resolve(&mut self, now: Now, name: Name) {
        if self.line.is_away() && !self.line.is_free(now.mono) && !self.line.is_asking() {
            return self.answer_from_memory(name);
        }
        self.wanted.entry(name).or_default();
        self.settle(now);
    }

    /// The stream is being pulled from where the directory said: tell when it moves.
    pub fn watch(&mut self, now: Now, name: &str) {
        if !self.watched.contains_key(name) {
            self.look_at(now.mono + WATCH, name.to_owned());
        }
    }

    /// The stream is not pulled any more.
    pub fn watch_no_more(&mut self, name: &str) {
        if let Some((name, at)) = self.watched.remove_entry(name) {
            self.watches.remove(&(at, name));
        }
        self.wanted.remove(name);
    }

    /// The store answered the last [`Output::Ask`], or did not.
    pub fn answered(&mut self, now: Now, answer: Result<Answer, Failure>) {
        let Some((command, change)) = self.line.answered(now, &answer) else { return };
        self.out.extend(change.map(|change| Output::Told(Told::Store(change))));
        match (command, answer) {
            (Command::Lookup(names), Ok(Answer::Found(found))) => {
                for (name, found) in names.into_iter().zip(found) {
                    self.found(now, name, found);
                }
            }
            (Command::Lookup(names), _) => {
                for name in names {
                    self.unanswered(now, name);
                }
            }
            // What is behind is looked up again in any case.
            _ => {}
        }
        if self.line.is_away() {
            for (name, _) in core::mem::take(&mut self.wanted) {
                self.answer_from_memory(name);
            }
        }
        self.settle(now);
    }

    /// A deadline may have come.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.line.is_overdue(now.mono) {
            self.answered(now, Err(line::overdue()));
        }
        self.settle(now);
    }

    /// What is wanted next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When there is work to do.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.is_idle() && !self.line.is_asking() {
            return None;
        }
        let watch = || Some(Deadline { at: self.watches.first()?.0, why: "has a stream moved?" });
        self.line.poll_timeout().or_else(watch)
    }

    /// Whether the store answered what it was asked last.
    pub fn is_store_there(&self) -> bool {
        !self.line.is_away()
    }

    /// Where a stream was found last, and in which epoch.
    pub fn known(&self, name: &str) -> Option<(Option<Epoch>, &[Url])> {
        self.known.get(name).map(|known| (known.epoch, known.places.as_slice()))
    }

    /// Every stream of which a place is known, with its epoch and its places.
    pub fn routes(&self) -> impl Iterator<Item = (&str, Option<Epoch>, &[Url])> {
        let found = self.known.iter().filter(|(_, known)| !known.places.is_empty());
        found.map(|(name, known)| (name.as_str(), known.epoch, known.places.as_slice()))
    }

    /// Adds what it holds to `census`.
    pub fn count(&self, census: &mut Census) {
        census.watched_routes += self.watched.len().max(self.watches.len()) + self.wanted.len();
        census.outputs += self.out.len();
    }

    fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.watches.is_empty() && self.raises.is_empty()
    }

    fn settle(&mut self, now: Now) {
        if self.line.is_free(now.mono)
            && let Some(command) = self.next(now.mono)
        {
            self.out.push_back(Output::Ask(self.line.ask(now.mono, command)));
        }
    }

    fn next(&mut self, now: Time) -> Option<Command> {
        if let Some((name, above)) = self.raises.pop_front() {
            return Some(Command::Raise { name, above });
        }
        let mut names: Vec<Name> = self.wanted.keys().take(BATCH).cloned().collect();
        let due = self.line.is_away() || self.watches.first().is_some_and(|(at, _)| *at <= now);
        while due
            && names.len() < BATCH
            && let Some((at, _)) = self.watches.first()
            && (*at <= now + SLACK || names.is_empty())
            && let Some((_, name)) = self.watches.pop_first()
        {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        (!names.is_empty()).then_some(Command::Lookup(names))
    }

    fn look_at(&mut self, at: Time, name: Name) {
        if let Some(before) = self.watched.insert(name.clone(), at) {
            self.watches.remove(&(before, name.clone()));
        }
        self.watches.insert((at, name));
    }

    /// The store does not say where a stream is.
    fn unanswered(&mut self, now: Now, name: Name) {
        if self.wanted.remove(&name).is_some() {
            self.answer_from_memory(name.clone());
        }
        if self.watched.contains_key(&name) {
            self.look_at(now.mono + WATCH, name);
        }
    }

    fn answer_from_memory(&mut self, name: Name) {
        let places = self.known.get(&name).map(|known| known.places.clone()).unwrap_or_default();
        let places = if places.is_empty() { Err(Unresolved::Away) } else { Ok(places) };
        self.out.push_back(Output::Resolved { name, places });
    }

    fn found(&mut self, now: Now, name: Name, found: Found) {
        let is_watched = self.watched.contains_key(&name);
        if is_watched {
            self.look_at(now.mono + WATCH, name.clone());
        }
        let tries = self.wanted.get(&name).copied();
        if tries.is_none() && !is_watched {
            return;
        }
        let seen = self.known.get(&name).and_then(|known| known.epoch);
        if let (Some(seen), Some((epoch, _))) = (seen, &found.owner)
            && *epoch < seen
        {
            return self.is_behind(name, seen, tries);
        }
        self.wanted.remove(&name);
        self.supersede(&name, &found);
        let places = self.places(&name, &found);
        let moved = self.remember(&name, &found, &places);
        // Nothing is said of a stream that only seems to be gone: what runs runs on.
        if tries.is_some() || (moved && places.is_ok()) {
            self.out.push_back(Output::Resolved { name, places });
        }
    }

    /// The store has lost what was seen of a stream.
    fn is_behind(&mut self, name: Name, seen: Epoch, tries: Option<u32>) {
        match tries {
            Some(tries) if tries >= STALE_TRIES => {
                self.wanted.remove(&name);
                let why = format!(
                    "the directory is behind epoch {seen} and stays so; may this server write to it?"
                );
                self.complain(&name, why);
                self.out.push_back(Output::Resolved { name, places: Err(Unresolved::Unusable) });
            }
            Some(tries) => {
                self.wanted.insert(name.clone(), tries + 1);
                self.raises.push_back((name, seen.number));
            }
            None => self.raises.push_back((name, seen.number)),
        }
    }

    /// A later reign than the one that is known: whoever reigned before does so no more.
    fn supersede(&mut self, name: &str, found: &Found) {
        let (Some((epoch, url)), Some(known)) = (&found.owner, self.known.get_mut(name)) else { return };
        let before = known.places.first().map(Url::full).filter(|before| before != url);
        if known.epoch.is_some_and(|seen| seen < *epoch) && before.is_some() {
            known.superseded = before;
        }
    }

    /// What of the answer can be used: the owner, then whoever waits for its place, for when the owner cannot be
    /// reached, then whoever has the plain key. Who reigned before is not among them, whatever it has.
    fn places(&mut self, name: &str, found: &Found) -> Result<Vec<Url>, Unresolved> {
        let superseded = self.known.get(name).and_then(|known| known.superseded.clone());
        let owner = found.owner.as_ref().map(|(_, url)| url);
        let others = found.waiting.iter().chain(&found.plain);
        let others = others.filter(|other| Some(*other) != owner && Some(*other) != superseded.as_ref());
        let mut places: Vec<Url> = Vec::new();
        let mut why = None;
        for text in owner.into_iter().chain(others) {
            match self.place(text) {
                Ok(place) if places.contains(&place) => {}
                Ok(place) => places.push(place),
                Err(reason) => why = why.or(Some(reason)),
            }
        }
        match (places.is_empty(), why) {
            (false, _) => Ok(places),
            (true, None) => Err(Unresolved::Absent),
            (true, Some(why)) => {
                self.complain(name, why);
                Err(Unresolved::Unusable)
            }
        }
    }

    /// A place from which a stream can be pulled, or why it is none.
    fn place(&self, text: &str) -> Result<Url, String> {
        let start = || text.chars().take(80).collect::<String>();
        let url = Url::parse(text).map_err(|error| format!("the directory says {:?}: {error}", start()))?;
        if url.scheme() != "ovt" {
            return Err(format!("the directory says {url}: streams are pulled over ovt:// only"));
        }
        let Some(endpoint) = url.endpoint() else {
            return Err(format!(
                "the directory says {url}, which has no port: write ovt://host:port/app/stream"
            ));
        };
        if self.own.as_ref() == Some(&endpoint.to_string()) {
            return Err(format!(
                "the directory says {url}, which is this server, but the stream is not here: \
                 is OriginHostName the same on two servers?"
            ));
        }
        Ok(url)
    }

    fn complain(&mut self, name: &str, why: String) {
        let known = self.known_mut(name);
        if known.complaint.as_ref() != Some(&why) {
            known.complaint = Some(why.clone());
            self.out.push_back(Output::Told(Told::Unusable { name: name.to_owned(), why }));
        }
    }

    /// Whether the places are others than before.
    fn remember(&mut self, name: &str, found: &Found, places: &Result<Vec<Url>, Unresolved>) -> bool {
        let (Ok(places), epoch) = (places, found.owner.as_ref().map(|(epoch, _)| *epoch)) else {
            return false;
        };
        let known = self.known_mut(name);
        let changed = known.places != *places;
        let moved = known.places.first() != places.first() || (epoch.is_some() && known.epoch != epoch);
        if epoch > known.epoch {
            known.epoch = epoch;
        }
        known.places.clone_from(places);
        known.complaint = None;
        if moved {
            let url = places.first().map(Url::to_string).unwrap_or_default();
            self.out.push_back(Output::Told(Told::Follows { name: name.to_owned(), epoch, url }));
        }
        changed
    }

    fn known_mut(&mut self, name: &str) -> &mut Known {
        if !self.known.contains_key(name) {
            self.order.push_back(name.to_owned());
            if self.order.len() > ROUTES_KNOWN_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        self.known.entry(name.to_owned()).or_default()
    }
}
