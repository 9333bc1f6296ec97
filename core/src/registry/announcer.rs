//! An origin's side of the directory: it says which streams are here, and takes over those whose owner is gone.
//!
//! One command is under way at a time, so that what is said of a stream arrives in the order in which it was meant.
//! What is most urgent goes first: the lease, then streams that are gone, streams that are new, owners that may be
//! dead, and last what is only kept.
//!
//! A lease that was lost is never taken up again: its streams are claimed anew, under a new lease and a greater epoch.
//! While the store is away nothing is forgotten and nothing waits for it.

use core::mem;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::line::{self, Change, Line};
use super::rules::LEASE_MS;
use super::{Answer, Claim, Claimed, Command, Epoch, Failure, LeaseId, Name};
use crate::census::Census;
use crate::time::{Deadline, Now, Time};

/// What an announcer wants, or has to tell.
#[derive(Debug)]
pub enum Output {
    /// Ask the store. Answered by [`Announcer::answered`], before anything else is asked.
    Ask(Command),
    /// Something changed.
    Told(Told),
}

/// What operators are to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The stream is this origin's.
    Announced {
        /// Which.
        name: Name,
        /// In which epoch.
        epoch: Epoch,
    },
    /// The store is away, or back.
    Store(Change),
    /// The stream was this origin's and is no longer, or may not be.
    Lost {
        /// Which.
        name: Name,
    },
    /// Somebody else has the stream; this origin waits.
    Waits {
        /// Which.
        name: Name,
        /// Whose it is, if it is somebody's who knows leases.
        epoch: Option<Epoch>,
        /// Where.
        url: String,
    },
}

/// How often the lease is renewed.
pub const RENEW: Duration = Duration::from_millis(LEASE_MS / 3);

/// How often plain keys are written again, as OvenMediaEngine does.
pub const KEEP_PLAIN: Duration = Duration::from_millis(2_500);

/// How often entries are kept if there are no plain keys: three times in the life of an entry.
pub const KEEP_ENTRIES: Duration = Duration::from_secs(20);

/// How often a stream that somebody else has is claimed again.
pub const CLAIM_AGAIN: Duration = Duration::from_millis(2_500);

/// The longest time between two questions whether an owner is alive.
const WATCH: Duration = Duration::from_millis(500);

/// An owner is looked at again so long after its lease would end.
const AFTER_END: Duration = Duration::from_millis(20);

/// After the store was away, so long nobody is taken for dead: every owner has had to come back too.
const GRACE: Duration = Duration::from_millis(1_500);

/// Streams in one command. While a store is busy with one, everybody else waits: with 100 origins, for 100 of them.
pub(super) const BATCH: usize = 64;

/// What is due so soon is done together with what is due now.
const SLACK: Duration = Duration::from_millis(500);

/// An origin's side of one directory.
#[derive(Debug)]
pub struct Announcer {
    rng: fastrand::Rng,
    keep_every: Duration,
    lease: Lease,
    streams: BTreeMap<Name, Stream>,
    /// When which streams are to be claimed.
    claims: BTreeSet<(Time, Name)>,
    /// When which streams are to be kept.
    keeps: BTreeSet<(Time, Name)>,
    /// Streams that are gone, with the lease under which they were announced and their URLs.
    leaving: BTreeMap<(LeaseId, Name), String>,
    /// Owners that streams wait for.
    watched: BTreeMap<LeaseId, Watched>,
    line: Line,
    nobody_is_dead_until: Time,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    None,
    Held { id: LeaseId, renew_at: Time },
}

#[derive(Debug)]
struct Stream {
    url: String,
    standing: Standing,
    /// When it is to be claimed or kept; not while that is being asked.
    due: Option<Time>,
    /// When it was claimed last.
    claimed: Time,
    /// The greatest number of an epoch of this stream that is known here.
    floor: u64,
    /// An owner that is known to be dead.
    dead: Option<LeaseId>,
    /// The lease under which it was this origin's before that lease was lost.
    former: Option<LeaseId>,
    /// An entry with this very URL was taken for what an earlier life of this origin left. That is done once: should
    /// two origins go by one name, they would take the stream from each other for ever.
    adopted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing is known of it.
    Unclaimed,
    /// Somebody has it who knows no leases.
    Foreign,
    /// It is this origin's.
    Owner,
    /// It is another's.
    Waiting(LeaseId),
}

#[derive(Debug)]
struct Watched {
    ask_at: Time,
    /// Since when it has longer to live than any lease has: the store's clock was set back, and it was not renewed since.
    too_long_since: Option<Time>,
    by: BTreeSet<Name>,
}

impl Watched {
    fn new(now: Time) -> Watched {
        Watched { ask_at: now, too_long_since: None, by: BTreeSet::new() }
    }

    /// Whether it has had longer to live than any lease for longer than a lease lives: then it is dead, although the
    /// store, whose clock was set back, will not know for a while.
    fn lives_too_long(&mut self, now: Time, left_ms: u64) -> bool {
        if left_ms <= LEASE_MS {
            self.too_long_since = None;
            return false;
        }
        let since = *self.too_long_since.get_or_insert(now);
        now.since(since) >= Duration::from_millis(LEASE_MS)
    }
}

impl Announcer {
    /// One that has nothing to announce. `plain_keys` as in the configuration; `seed` draws its leases.
    pub fn new(plain_keys: bool, seed: u64) -> Announcer {
        let mut rng = fastrand::Rng::with_seed(seed);
        Announcer {
            line: Line::new(rng.u64(..)),
            rng,
            keep_every: if plain_keys { KEEP_PLAIN } else { KEEP_ENTRIES },
            lease: Lease::None,
            streams: BTreeMap::new(),
            claims: BTreeSet::new(),
            keeps: BTreeSet::new(),
            leaving: BTreeMap::new(),
            watched: BTreeMap::new(),
            nobody_is_dead_until: Time::ZERO,
            out: VecDeque::new(),
        }
    }

    /// The stream is here, at `url`.
    pub fn announce(&mut self, now: Now, name: Name, url: String) {
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.url = url;
        } else {
            let former = self.take_back(&name);
            let (standing, due, dead) = (Standing::Unclaimed, None, None);
            let claimed = now.mono;
            let stream = Stream { url, standing, due, claimed, floor: 0, dead, former, adopted: false };
            self.streams.insert(name.clone(), stream);
        }
        self.claim_at(now.mono, name);
        self.settle(now);
    }

    /// The stream is here, but it is better taken from elsewhere: whoever waits for it gets it, and this origin waits behind
    /// them. If nobody waits it stays this origin's.
    pub fn offer(&mut self, now: Now, name: &str) {
        let (Lease::Held { id, .. }, Some((name, stream))) = (self.lease, self.streams.get_key_value(name))
        else {
            return;
        };
        if stream.standing == Standing::Owner {
            let name = name.clone();
            // What is released is released before anything is claimed.
            self.leaving.insert((id, name.clone()), stream.url.clone());
            self.claim_at(now.mono, name);
            self.settle(now);
        }
    }

    /// The stream is here no more.
    pub fn withdraw(&mut self, now: Now, name: &str) {
        self.forget(name);
        self.settle(now);
    }

    /// This origin will go: streams for which another origin waits become the other's at once. What nobody waits for
    /// stays this origin's.
    pub fn hand_over(&mut self, now: Now) {
        let Lease::Held { id, .. } = self.lease else { return };
        let owned = self.streams.iter().filter(|(_, stream)| stream.standing == Standing::Owner);
        let owned: Vec<(Name, String)> =
            owned.map(|(name, stream)| (name.clone(), stream.url.clone())).collect();
        for (name, url) in owned {
            // Given up first, then asked for again: that is the end of the line.
            self.leaving.insert((id, name.clone()), url);
            self.claim_at(now.mono, name);
        }
        self.settle(now);
    }

    /// The store answered the last [`Output::Ask`], or did not.
    pub fn answered(&mut self, now: Now, answer: Result<Answer, Failure>) {
        let Some((command, change)) = self.line.answered(now, &answer) else { return };
        if let Some(Change::Back { .. }) = change {
            self.is_back(now);
        }
        self.out.extend(change.map(|change| Output::Told(Told::Store(change))));
        match answer {
            Ok(answer) => self.heard(now, command, answer),
            Err(_) => self.undo(now, command),
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
        if let Some(deadline) = self.line.poll_timeout() {
            return Some(deadline);
        }
        let Lease::Held { renew_at, .. } = self.lease else { return None };
        let next = [
            Some(renew_at),
            self.claims.first().map(|(at, _)| *at),
            self.keeps.first().map(|(at, _)| *at),
            self.watched.values().map(|watched| watched.ask_at).min(),
        ];
        next.into_iter().flatten().min().map(|at| Deadline { at, why: "keep what is announced" })
    }

    /// Whether the store answered what it was asked last.
    pub fn is_store_there(&self) -> bool {
        !self.line.is_away()
    }

    /// The streams that are this origin's, with the numbers of their epochs.
    pub fn owned(&self) -> impl Iterator<Item = (&str, u64)> {
        let owned = self.streams.iter().filter(|(_, stream)| stream.standing == Standing::Owner);
        owned.map(|(name, stream)| (name.as_str(), stream.floor))
    }

    /// How one of its streams stands, in words; `None` if it has no such stream.
    pub fn standing(&self, name: &str) -> Option<String> {
        let stream = self.streams.get(name)?;
        Some(match stream.standing {
            Standing::Unclaimed => "it is about to be announced".to_owned(),
            Standing::Foreign => "somebody else has its plain key; this server waits".to_owned(),
            Standing::Owner => format!("it is announced as {}, epoch {}", stream.url, stream.floor),
            Standing::Waiting(owner) => {
                format!("it is announced by owner {owner}; this server waits in line")
            }
        })
    }

    /// Whether everything that was to be said has been said.
    pub fn is_quiet(&self) -> bool {
        !self.line.is_asking() && self.leaving.is_empty() && self.claims.is_empty()
    }

    /// Adds what it holds to `census`.
    pub fn count(&self, census: &mut Census) {
        census.announced_streams += self.streams.len().max(self.claims.len()).max(self.keeps.len());
        census.announced_streams += self.watched.values().map(|watched| watched.by.len()).sum::<usize>();
        census.outputs += self.out.len();
    }

    /// Takes a stream off every list, and gives up what may be the store's.
    fn forget(&mut self, name: &str) {
        let Some((name, stream)) = self.streams.remove_entry(name) else { return };
        if let Some(at) = stream.due {
            let due = (at, name.clone());
            self.claims.remove(&due);
            self.keeps.remove(&due);
        }
        if let Standing::Waiting(owner) = stream.standing {
            self.watch_no_more(owner, &name);
        }
        let held = match self.lease {
            // Also if it was never told to be ours: a claim may be under way.
            Lease::Held { id, .. } => Some(id),
            Lease::None => None,
        };
        for lease in [held, stream.former].into_iter().flatten() {
            self.leaving.insert((lease, name.clone()), stream.url.clone());
        }
    }

    /// A stream that was about to be given up is here again. The lease that is no longer alive under which it may still
    /// be in the store.
    fn take_back(&mut self, name: &str) -> Option<LeaseId> {
        let mut former = None;
        self.leaving.retain(|(lease, other), _| {
            if other == name && !matches!(self.lease, Lease::Held { id, .. } if id == *lease) {
                former = Some(*lease);
            }
            other != name
        });
        former
    }

    fn claim_at(&mut self, at: Time, name: Name) {
        self.due_at(at, name, |announcer| &mut announcer.claims);
    }

    fn keep_at(&mut self, at: Time, name: Name) {
        self.due_at(at, name, |announcer| &mut announcer.keeps);
    }

    fn due_at(&mut self, at: Time, name: Name, queue: fn(&mut Self) -> &mut BTreeSet<(Time, Name)>) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if let Some(before) = stream.due.replace(at) {
            let due = (before, name.clone());
            self.claims.remove(&due);
            self.keeps.remove(&due);
        }
        queue(self).insert((at, name));
    }

    /// Asks the next thing, if nothing is being asked.
    fn settle(&mut self, now: Now) {
        if self.line.is_free(now.mono)
            && let Some(command) = self.next(now.mono)
        {
            self.out.push_back(Output::Ask(self.line.ask(now.mono, command)));
        }
    }

    fn next(&mut self, now: Time) -> Option<Command> {
        let idle = self.streams.is_empty() && self.leaving.is_empty();
        let (id, renew_at) = match self.lease {
            Lease::None if idle => {
                self.line.rest();
                return None;
            }
            Lease::None if self.streams.is_empty() => return self.next_release(),
            Lease::None => return Some(Command::Open { by: LeaseId(self.rng.u64(..)) }),
            Lease::Held { id, .. } if idle => return Some(Command::Close { by: id }),
            Lease::Held { id, renew_at } => (id, renew_at),
        };
        // The lease is also what a store that was away is asked first.
        if renew_at <= now || self.line.is_away() {
            return Some(Command::Renew { by: id });
        }
        self.next_release()
            .or_else(|| self.next_claims(now, id))
            .or_else(|| self.next_watch(now))
            .or_else(|| self.next_keeps(now, id))
    }

    fn next_release(&self) -> Option<Command> {
        let by = self.leaving.keys().next()?.0;
        let all = self.leaving.iter().take_while(|((lease, _), _)| *lease == by).take(BATCH);
        let streams = all.map(|((_, name), url)| (name.clone(), url.clone())).collect();
        Some(Command::Release { by, streams })
    }

    fn next_claims(&mut self, now: Time, by: LeaseId) -> Option<Command> {
        let names = pop_due(&mut self.claims, now);
        let claims = names.into_iter().filter_map(|name| {
            let stream = self.streams.get_mut(&name)?;
            stream.due = None;
            let (url, dead) = (stream.url.clone(), stream.dead.or(stream.former));
            Some(Claim { name, url, floor: stream.floor, dead })
        });
        let streams: Vec<Claim> = claims.collect();
        (!streams.is_empty()).then_some(Command::Claim { by, streams })
    }

    fn next_watch(&mut self, now: Time) -> Option<Command> {
        let due = self.watched.iter().filter(|(_, watched)| watched.ask_at <= now + AFTER_END);
        let leases: Vec<LeaseId> = due.map(|(lease, _)| *lease).take(BATCH).collect();
        let any_now = leases.iter().any(|lease| self.watched[lease].ask_at <= now);
        any_now.then_some(Command::Alive(leases))
    }

    fn next_keeps(&mut self, now: Time, by: LeaseId) -> Option<Command> {
        let names = pop_due(&mut self.keeps, now);
        let streams: Vec<(Name, String)> = names
            .into_iter()
            .filter_map(|name| {
                let stream = self.streams.get_mut(&name)?;
                stream.due = None;
                Some((name, stream.url.clone()))
            })
            .collect();
        (!streams.is_empty()).then_some(Command::Keep { by, streams })
    }

    fn heard(&mut self, now: Now, command: Command, answer: Answer) {
        match (command, answer) {
            (Command::Open { by }, Answer::Renewed(_)) => {
                self.lease = Lease::Held { id: by, renew_at: now.mono + RENEW };
            }
            (Command::Renew { by }, Answer::Renewed(true)) => {
                self.lease = Lease::Held { id: by, renew_at: now.mono + RENEW };
            }
            (Command::Renew { by }, Answer::Renewed(false)) => self.lease_lost(now, by),
            (Command::Close { .. }, _) => self.lease = Lease::None,
            (Command::Release { by, streams }, _) => {
                for (name, _) in streams {
                    self.leaving.remove(&(by, name));
                }
            }
            (Command::Claim { by, streams }, Answer::Claimed(claimed)) => {
                for (claim, claimed) in streams.into_iter().zip(claimed) {
                    self.claimed(now, by, claim, claimed);
                }
            }
            (Command::Keep { streams, .. }, Answer::Kept(kept)) => {
                for ((name, _), number) in streams.into_iter().zip(kept) {
                    self.kept(now, name, number);
                }
            }
            (Command::Alive(leases), Answer::Alive(alive)) => {
                for (lease, left) in leases.into_iter().zip(alive) {
                    self.looked_at(now, lease, left);
                }
            }
            // An answer of another kind: as good as none.
            (command, _) => self.undo(now, command),
        }
    }

    /// What a command that was not answered would have done is to be done again.
    fn undo(&mut self, now: Now, command: Command) {
        match command {
            Command::Claim { streams, .. } => {
                streams.into_iter().for_each(|claim| self.claim_at(now.mono, claim.name));
            }
            Command::Keep { streams, .. } => {
                streams.into_iter().for_each(|(name, _)| self.keep_at(now.mono, name));
            }
            // Whoever is not renewed is gone by itself.
            Command::Close { .. } => self.lease = Lease::None,
            _ => {}
        }
    }

    fn lease_lost(&mut self, now: Now, old: LeaseId) {
        self.lease = Lease::None;
        self.watched.clear();
        self.keeps.clear();
        self.claims.clear();
        for (name, stream) in &mut self.streams {
            if mem::replace(&mut stream.standing, Standing::Unclaimed) == Standing::Owner {
                stream.former = Some(old);
                self.out.push_back(Output::Told(Told::Lost { name: name.clone() }));
            }
            stream.due = Some(now.mono);
            self.claims.insert((now.mono, name.clone()));
        }
    }

    fn claimed(&mut self, now: Now, by: LeaseId, claim: Claim, claimed: Claimed) {
        let name = claim.name;
        let Some(stream) = self.streams.get_mut(&name) else { return };
        let before = stream.standing;
        let standing = match &claimed {
            Claimed::Owner { .. } => Standing::Owner,
            Claimed::Waiting { epoch, .. } => Standing::Waiting(epoch.owner),
            Claimed::Foreign { .. } => Standing::Foreign,
        };
        stream.standing = standing;
        match claimed {
            Claimed::Owner { number } => {
                stream.floor = number;
                (stream.dead, stream.former) = (None, None);
                stream.claimed = now.mono;
                self.keep_at(now.mono + self.keep_every.min(KEEP_PLAIN), name.clone());
                let (name, epoch) = (name.clone(), Epoch { number, owner: by });
                self.out.push_back(Output::Told(Told::Announced { name, epoch }));
            }
            Claimed::Waiting { epoch, url } => {
                let earlier_life = url == stream.url && !stream.adopted;
                stream.dead = earlier_life.then_some(epoch.owner);
                stream.adopted |= earlier_life;
                let again = if earlier_life { Duration::ZERO } else { CLAIM_AGAIN };
                self.claim_at(now.mono + again, name.clone());
                let watched = self.watched.entry(epoch.owner);
                watched.or_insert_with(|| Watched::new(now.mono)).by.insert(name.clone());
                if before != standing {
                    let name = name.clone();
                    self.out.push_back(Output::Told(Told::Waits { name, epoch: Some(epoch), url }));
                }
            }
            Claimed::Foreign { url } => {
                self.claim_at(now.mono + CLAIM_AGAIN, name.clone());
                if before != standing {
                    let name = name.clone();
                    self.out.push_back(Output::Told(Told::Waits { name, epoch: None, url }));
                }
            }
        }
        if let Standing::Waiting(owner) = before
            && before != standing
        {
            self.watch_no_more(owner, &name);
        }
    }

    fn kept(&mut self, now: Now, name: Name, number: Option<u64>) {
        let Some(stream) = self.streams.get_mut(&name).filter(|stream| stream.standing == Standing::Owner)
        else {
            return;
        };
        match number {
            Some(number) => {
                stream.floor = stream.floor.max(number);
                // A store may lose its newest writes, and a claim among them: a young one is looked at more often.
                let age = now.mono.since(stream.claimed);
                self.keep_at(now.mono + self.keep_every.min(age.max(KEEP_PLAIN)), name);
            }
            None => {
                stream.standing = Standing::Unclaimed;
                self.claim_at(now.mono, name.clone());
                self.out.push_back(Output::Told(Told::Lost { name }));
            }
        }
    }

    fn looked_at(&mut self, now: Now, lease: LeaseId, left: Option<u64>) {
        let Some(watched) = self.watched.get_mut(&lease) else { return };
        if let Some(left) = left.filter(|left| !watched.lives_too_long(now.mono, *left)) {
            watched.ask_at = now.mono + WATCH.min(Duration::from_millis(left) + AFTER_END);
            return;
        }
        if now.mono < self.nobody_is_dead_until {
            watched.ask_at = self.nobody_is_dead_until;
            return;
        }
        let Some(watched) = self.watched.remove(&lease) else { return };
        for name in watched.by {
            let Some(stream) = self.streams.get_mut(&name) else { continue };
            (stream.dead, stream.standing) = (Some(lease), Standing::Unclaimed);
            self.claim_at(now.mono, name);
        }
    }

    fn watch_no_more(&mut self, owner: LeaseId, name: &str) {
        let Some(watched) = self.watched.get_mut(&owner) else { return };
        watched.by.remove(name);
        if watched.by.is_empty() {
            self.watched.remove(&owner);
        }
    }

    /// The store answers. If it was away, it may have lost what it had: everything is looked at again.
    fn is_back(&mut self, now: Now) {
        self.nobody_is_dead_until = now.mono + GRACE;
        for (_, name) in mem::take(&mut self.keeps) {
            self.keep_at(now.mono, name);
        }
    }
}

/// Takes what is due, and if there is anything what will be soon, up to a batch.
fn pop_due(queue: &mut BTreeSet<(Time, Name)>, now: Time) -> Vec<Name> {
    if queue.first().is_none_or(|(at, _)| *at > now) {
        return Vec::new();
    }
    let mut due = Vec::new();
    while due.len() < BATCH
        && let Some((at, _)) = queue.first()
        && *at <= now + SLACK
        && let Some((_, name)) = queue.pop_first()
    {
        due.push(name);
    }
    due
}
