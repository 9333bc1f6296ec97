//! A pulled stream: which origin it comes from, and what happens when that origin is lost.
//!
//! A [`Pull`] is one stream's machine. Besides its standbys it holds at most two [`link`]s: the active one, whose media
//! viewers see, and a candidate that is on its way to become active: the only link at the start and after a loss, a
//! second one while the primary origin is tried again (failback). A candidate becomes active with its first placed
//! packet, so that a switch never leaves a moment without a source. How often, and when, origins are tried is in
//! [`attempts`]; links that are there before they are needed are in [`standby`].
//!
//! An active link that is silent for longer than its [`rhythm`] allows is suspect. It is not dropped: the next origin is
//! dialled as a candidate, a spare one, and whichever of the two has news first stays. So a false alarm costs a
//! connection and no frame.
//!
//! It asks for connections and never opens them; it knows nothing of viewers.

mod attempts;
mod link;
mod rhythm;
mod standby;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use crate::census::Census;
use crate::config::TimestampMode;
use crate::event::{Event, Joined, StreamKey};
use crate::io::{Close, CloseReason, ConnId, Endpoint};
use crate::limits;
use crate::media::{Packet, StreamInfo, Timestamp};
use crate::origin_map::PullProperties;
use crate::registry::resolver::Unresolved;
use crate::time::{Deadline, Now, Time, soonest};
use crate::timeline::{Doubt, Passed, Timeline};
use crate::url::Url;
use attempts::{Attempts, Verdict};
use link::{Link, LinkEvent, Loss};
use standby::Standbys;

pub use link::main_track;
pub use standby::{StandbyState, Standing};

/// How a stream is to be pulled.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The origins, the preferred one first; none if only the directory knows.
    pub urls: Vec<Url>,
    /// Whether there is a directory to ask when there is no URL, or when they all fail.
    pub directory: bool,
    /// Timeouts and counts.
    pub properties: PullProperties,
    /// Never leave an origin because it is silent.
    pub persistent: bool,
    /// Return to the first origin when it is back.
    pub failback: bool,
    /// How many other origins are pulled at the same time, so that one of them can take over at once.
    pub hot_standby: usize,
    /// Where the timeline starts.
    pub timestamps: TimestampMode,
    /// On whose behalf origins are asked: what came with the request for this stream, and this stream's own mark.
    pub via: Vec<u64>,
}

/// What a pull wants, or has.
#[derive(Debug)]
pub enum Output {
    /// End a connection.
    Close(ConnId, Close),
    /// Tell the operator.
    Event(Event),
    /// The stream describes itself: at its start, and when a new origin describes it differently. The timestamp is
    /// that of its live edge, which is now; the packets that follow begin before it.
    Info(StreamInfo, Timestamp),
    /// Make a connection, and tell it with [`Pull::dialled`] before anything else.
    Open(Endpoint),
    /// The stream is given up.
    Over {
        /// What that means for those who wait for it.
        over: Over,
        /// What the last attempt failed of, in a sentence's words.
        why: String,
    },
    /// The next packet, placed on the timeline.
    Packet(Packet),
    /// Ask the directory where the stream is; answered by [`Pull::resolved`].
    Resolve,
    /// Send bytes.
    Write(ConnId, Bytes),
}

/// Why a stream is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// No origin has it.
    Absent,
    /// No origin could be reached, or none delivered it.
    Unreachable,
}

/// One pulled stream.
#[derive(Debug)]
pub struct Pull {
    key: StreamKey,
    plan: Plan,
    rng: fastrand::Rng,
    timeline: Timeline,
    info: Option<StreamInfo>,
    active: Option<Link>,
    candidate: Option<Link>,
    standbys: Standbys,
    /// How many links were made.
    links_made: u64,
    /// The links whose connections were asked for and not told yet, by their serial numbers.
    dialling: VecDeque<u64>,
    attempts: Attempts,
    /// The wait before the next attempt.
    retry_at: Option<Time>,
    next_failback: Time,
    /// What the directory has to do with it.
    directory: Directory,
    started: Time,
    /// Why the last try to go back failed, as the operator was told; it is not said again and again.
    failback_failure: Option<String>,
    /// Request ids go on over reconnects (reference: OVT trap 18).
    next_id: u32,
    out: VecDeque<Output>,
}

/// What a pull knows of the directory.
#[derive(Debug, Default)]
struct Directory {
    /// An answer is waited for.
    asked: bool,
    /// The URLs are what it said last.
    decides: bool,
    /// What is given up unless it knows better.
    last_resort: Option<(Over, String)>,
}

impl Pull {
    /// Starts to pull: the first connection, or the directory, is asked for at once. `seed` draws the jitter of retries.
    pub fn start(now: Now, key: StreamKey, plan: Plan, seed: u64) -> Pull {
        let mut pull = Pull {
            attempts: Attempts::new(plan.urls.len(), plan.properties.retry_count),
            timeline: Timeline::new(plan.timestamps),
            next_failback: now.mono + failback_interval(&plan),
            failback_failure: None,
            rng: fastrand::Rng::with_seed(seed),
            key,
            plan,
            directory: Directory::default(),
            started: now.mono,
            info: None,
            active: None,
            candidate: None,
            standbys: Standbys::default(),
            links_made: 0,
            dialling: VecDeque::new(),
            retry_at: None,
            next_id: 1,
            out: VecDeque::new(),
        };
        if pull.plan.urls.is_empty() {
            pull.resolve();
        } else {
            pull.dial(now, pull.attempts.current());
        }
        pull
    }

    /// Why its times may not be the same on every server; `None` if they are.
    pub fn doubt(&self) -> Option<Doubt> {
        self.timeline.doubt()
    }

    /// Adds what it holds to `census`.
    pub fn count(&self, census: &mut Census) {
        census.marks += self.timeline.marks();
        census.outputs += self.out.len();
        for link in self.links() {
            census.unfinished_bytes += link.held_bytes();
            census.outputs += link.unpolled();
        }
    }

    /// The connection that [`Output::Open`] asked for has this id.
    pub fn dialled(&mut self, conn: ConnId) {
        let serial = self.dialling.pop_front();
        if let Some(link) = self.links_mut().find(|link| Some(link.serial) == serial) {
            link.conn = Some(conn);
            return;
        }
        self.out.push_back(Output::Close(conn, Close::Abort));
    }

    /// The connection stands.
    pub fn opened(&mut self, now: Now, conn: ConnId) {
        if let Some(link) = self.link_mut(conn) {
            link.opened(now);
        }
        self.settle(now);
    }

    /// Bytes came from an origin.
    pub fn received(&mut self, now: Now, conn: ConnId, bytes: Bytes) {
        if let Some(link) = self.link_mut(conn) {
            link.received(now, bytes);
        }
        self.settle(now);
        if let Some(silent_for) = self.link_mut(conn).and_then(|link| link.heard(now.mono)) {
            self.trust(now, silent_for);
        }
    }

    /// A connection ended or could not be made.
    pub fn closed(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        if let Some(link) = self.link_mut(conn) {
            link.conn = None;
            link.closed(reason);
        }
        self.settle(now);
    }

    /// The directory has said where the stream is; also unasked, when it has moved. An origin that the directory does
    /// not name any more is left at once, though it may still deliver: its reign is over.
    pub fn resolved(&mut self, now: Now, places: Result<Vec<Url>, Unresolved>) {
        self.directory.asked = false;
        let last_resort = self.directory.last_resort.take();
        match places {
            Ok(urls) if self.directory.decides && urls == self.plan.urls => {
                if let Some((over, why)) = last_resort {
                    self.wait_for_a_move(now, over, why);
                }
            }
            // As long as a rule's origin plays, the directory is not needed.
            Ok(_) if !self.directory.decides && self.active.is_some() => {}
            Ok(urls) => self.follow(now, urls),
            Err(unresolved) => {
                let nothing = self.plan.urls.is_empty().then(|| no_place(unresolved));
                if let Some((over, why)) = last_resort.or(nothing) {
                    self.out.push_back(Output::Over { over, why });
                }
            }
        }
        self.settle(now);
    }

    /// Whether the URLs are those of the directory, so that it is to tell when they change.
    pub fn follows_directory(&self) -> bool {
        self.directory.decides
    }

    /// A deadline has come.
    pub fn handle_timeout(&mut self, now: Now) {
        let silence = self.silence();
        self.links_mut().for_each(|link| link.handle_timeout(now, silence));
        if self.retry_at.is_some_and(|at| at <= now.mono) {
            self.retry_at = None;
            self.dial(now, self.attempts.current());
        }
        if self.suspicion_due().is_some_and(|deadline| deadline.at <= now.mono) {
            self.doubt_active(now);
        }
        if self.failback_due().is_some_and(|deadline| deadline.at <= now.mono) {
            self.fail_back(now);
        }
        self.cover(now);
        self.settle(now);
    }

    /// Ends the stream for want of use: says STOP to the origin and closes.
    pub fn stop(&mut self, now: Now) {
        let standbys = core::mem::take(&mut self.standbys).links;
        for link in self.active.take().into_iter().chain(self.candidate.take()).chain(standbys) {
            self.hang_up(now, link);
        }
        self.retry_at = None;
    }

    /// What is wanted next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When there is work to do.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let silence = self.silence();
        let first =
            [self.failback_due(), self.standbys_due(), self.suspicion_due()].into_iter().fold(None, soonest);
        self.links()
            .map(|link| link.poll_timeout(silence))
            .fold(first, soonest)
            .into_iter()
            .chain(self.retry_at.map(|at| Deadline { at, why: "try the next origin" }))
            .min()
    }

    /// The URL whose media viewers see.
    pub fn active_url(&self) -> Option<&Url> {
        self.active.as_ref().and_then(|link| self.plan.urls.get(link.index))
    }

    /// Whether it has something for the stream for which `mark` stands: an origin of its own, which is not that very
    /// stream. Two servers that know each other would else live on what they have from each other, and look for no other
    /// origin. `None` is somebody of whom that is not known.
    pub fn can_feed(&self, mark: Option<u64>) -> bool {
        self.active.is_some() && !mark.is_some_and(|mark| self.links().any(|link| link.leads_to(mark)))
    }

    /// How long an origin may be silent before the next one is tried.
    pub fn no_input_timeout(&self) -> Duration {
        self.plan.properties.no_input_timeout
    }

    /// How long the stream is kept when nobody plays it; `None` is for ever.
    pub fn unused_timeout(&self) -> Option<Duration> {
        (!self.plan.persistent).then_some(self.plan.properties.unused_timeout)
    }

    fn silence(&self) -> Option<Duration> {
        (!self.plan.persistent).then_some(self.plan.properties.no_input_timeout)
    }

    fn failback_due(&self) -> Option<Deadline> {
        let away = self.active.as_ref().is_some_and(|link| link.index != 0) && self.candidate.is_none();
        (self.plan.failback && away)
            .then_some(Deadline { at: self.next_failback, why: "try the primary origin" })
    }

    /// When the active origin is suspect if it stays silent. To suspect it is of use only if there is another, and no
    /// standby that covers for it.
    fn suspicion_due(&self) -> Option<Deadline> {
        let has_others = self.plan.urls.len() > 1 && self.plan.properties.retry_count > 0;
        let is_covered = self.standbys.links.iter().any(|link| link.feed.is_in_step());
        let is_wanted = !self.plan.properties.suspicion_timeout.is_zero();
        let link = self.active.as_ref().filter(|_| has_others && !is_covered && is_wanted)?;
        link.suspect_at(self.silence()?)
    }

    /// The active origin has been silent for too long, or this process has stood still and it seems so.
    fn doubt_active(&mut self, now: Now) {
        let Some(link) = &mut self.active else { return };
        if !link.rhythm.is_suspect(now.mono) {
            return;
        }
        let others = if self.attempts.may_doubt(now.mono) { self.plan.urls.len() - 1 } else { 0 };
        link.suspect = Some(others);
        let (index, silent_for) = (link.index, link.rhythm.silent_for(now.mono));
        self.event(Event::PullSuspected { key: self.key.clone(), url: self.url_of(index), silent_for });
        if self.candidate.is_none() {
            self.dial_spare(now, index);
        }
    }

    /// Tries the origin after `index` in place of the active one, if it is suspect and not every other one was tried.
    fn dial_spare(&mut self, now: Now, index: usize) {
        let Some(active) = &mut self.active else { return };
        let Some(others) = active.suspect.as_mut().filter(|others| **others > 0) else { return };
        *others -= 1;
        let after = |index: usize| (index + 1) % self.plan.urls.len();
        let next = if after(index) == active.index { after(active.index) } else { after(index) };
        self.dial(now, next);
        if let Some(link) = &mut self.candidate {
            link.is_spare = true;
        }
    }

    /// The active origin was suspect and has spoken.
    fn trust(&mut self, now: Now, silent_for: Duration) {
        let url = self.active_url().map(Url::to_string).unwrap_or_default();
        self.event(Event::PullTrusted { key: self.key.clone(), url, silent_for });
        if let Some(spare) = self.candidate.take_if(|link| link.is_spare) {
            self.hang_up(now, spare);
        }
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.active.iter().chain(&self.candidate).chain(&self.standbys.links)
    }

    fn links_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.active.iter_mut().chain(&mut self.candidate).chain(&mut self.standbys.links)
    }

    fn link_mut(&mut self, conn: ConnId) -> Option<&mut Link> {
        self.links_mut().find(|link| link.conn == Some(conn))
    }

    /// Goes to origin `index`: over the link that stands by, if there is one.
    fn dial(&mut self, now: Now, index: usize) {
        let Some(mut standby) = self.standbys.take(index) else {
            self.candidate = self.new_link(now, index);
            return;
        };
        let silent_since = self.timeline.last_passed();
        let passed = standby.take_over(&mut self.timeline, now);
        self.candidate = Some(standby);
        self.promote(now, silent_since, passed);
    }

    /// Asks for a connection to origin `index`.
    fn new_link(&mut self, now: Now, index: usize) -> Option<Link> {
        let url = self.plan.urls.get(index)?;
        let endpoint = url.endpoint()?;
        let patient = !self.timeline.is_started() || self.plan.urls.len() == 1;
        self.links_made += 1;
        let link = Link::new(now, self.links_made, index, url, self.next_id, &self.plan.via, patient)
            .suspected_after(self.plan.properties.suspicion_timeout);
        let link = if self.active.is_some() { link.beside_another() } else { link };
        self.dialling.push_back(link.serial);
        self.out.push_back(Output::Open(endpoint));
        let is_news = self.failback_failure.is_none() && !self.standbys.is_known_lost(index);
        if is_news || self.active.is_none() {
            self.event(Event::PullDialled { key: self.key.clone(), url: self.url_of(index) });
        }
        Some(link)
    }

    /// The primary origin is tried again; one that stands by has to have done so for a while.
    fn fail_back(&mut self, now: Now) {
        let young = self.standbys.link_mut(0).is_some_and(|link| link.played_for(now) < limits::STABLE_AFTER);
        if young {
            self.next_failback = now.mono + limits::STABLE_AFTER;
        } else {
            self.dial(now, 0);
        }
    }

    /// Moves what the links have to say to where it belongs, until they are quiet.
    fn settle(&mut self, now: Now) {
        loop {
            if let Some(event) = self.active.as_mut().and_then(Link::poll) {
                self.active_event(now, event);
            } else if let Some(event) = self.candidate.as_mut().and_then(Link::poll) {
                self.candidate_event(now, event);
            } else if let Some((index, event)) = self.standbys.poll() {
                self.standby_event(now, index, event);
            } else {
                return self.recruit(now);
            }
        }
    }

    fn active_event(&mut self, now: Now, event: LinkEvent) {
        match event {
            LinkEvent::Described(_) => {}
            LinkEvent::Lost(loss) => {
                let Some(link) = self.active.take() else { return };
                let (index, played_for) = (link.index, link.played_for(now));
                self.tell_lost(index, &loss.why);
                self.drop_link(link);
                if self.candidate.is_none() && !self.let_standby_take_over(now, played_for) {
                    let silent_for = self.silent_for(now);
                    let verdict = self.attempts.lost(index, played_for, silent_for, &mut self.rng);
                    self.obey(now, verdict, loss.why);
                }
            }
            LinkEvent::Packet(packet) => {
                self.fill_before(now, &packet);
                let Some(link) = &mut self.active else { return };
                let passed = link.feed.push(&mut self.timeline, now, packet);
                self.active_brought(now, passed);
            }
            LinkEvent::Settle => {
                let Some(link) = &mut self.active else { return };
                let passed = link.feed.handle_timeout(&mut self.timeline, now);
                self.active_brought(now, passed);
            }
            LinkEvent::Write(conn, bytes) => self.out.push_back(Output::Write(conn, bytes)),
        }
    }

    fn candidate_event(&mut self, now: Now, event: LinkEvent) {
        match event {
            LinkEvent::Described(info) => self.described(info),
            LinkEvent::Lost(loss) => self.candidate_lost(now, loss),
            LinkEvent::Packet(packet) => {
                let Some(link) = &mut self.candidate else { return };
                let silent_since = self.timeline.last_passed();
                let passed = link.feed.push(&mut self.timeline, now, packet);
                self.promote(now, silent_since, passed);
            }
            LinkEvent::Settle => {
                let Some(link) = &mut self.candidate else { return };
                let silent_since = self.timeline.last_passed();
                let passed = link.feed.handle_timeout(&mut self.timeline, now);
                self.promote(now, silent_since, passed);
            }
            LinkEvent::Write(conn, bytes) => self.out.push_back(Output::Write(conn, bytes)),
        }
    }

    /// A candidate describes the stream. While another origin is active its description waits until it has taken
    /// over; the first packet of the candidate is what makes it true.
    fn described(&mut self, info: StreamInfo) {
        if let Some(link) = &mut self.candidate {
            link.info = Some(info);
        }
    }

    /// The candidate has placed its first packet: viewers see it from here on. A spare is not worth a switch before it has
    /// something that the suspect has not said.
    fn promote(&mut self, now: Now, silent_since: Option<Time>, passed: Passed) {
        let Some(link) = &mut self.candidate else { return };
        link.joined = passed.joined.or(link.joined);
        let has_news = !passed.packets.is_empty() || !link.is_spare || self.active.is_none();
        let Some(joined) = link.joined.filter(|_| has_news) else { return self.pass(passed) };
        if let Some(mut old) = self.active.take() {
            self.attempts.left(old.played_for(now));
            if old.suspect.take().is_some() {
                let silent_for = old.rhythm.silent_for(now.mono).as_millis();
                self.tell_lost(
                    old.index,
                    &format!("no sign of life for {silent_for} ms, and another origin has more"),
                );
            }
            self.demote(now, old);
        }
        let Some(mut link) = self.candidate.take() else { return };
        (link.joined, link.is_spare) = (None, false);
        self.count_ids(&link);
        self.attempts.playing(link.index);
        self.next_failback = now.mono + failback_interval(&self.plan);
        self.failback_failure = None;
        let url = self.url_of(link.index);
        let live = passed.packets.iter().map(|packet| packet.dts).max();
        if let (Some(info), Some(live)) = (link.info.take(), live) {
            self.announce(info, live);
        }
        self.active = Some(link);
        let outage = match joined {
            Joined::First => Duration::ZERO,
            _ => silent_since.map_or(Duration::ZERO, |since| now.mono.since(since)),
        };
        self.event(Event::PullPlaying { key: self.key.clone(), url, outage, joined });
        self.active_brought(now, passed);
    }

    /// Says what the stream is, unless that was said already.
    fn announce(&mut self, info: StreamInfo, live: Timestamp) {
        if self.info.as_ref() != Some(&info) {
            self.out.push_back(Output::Info(info.clone(), live));
            self.info = Some(info);
        }
    }

    fn pass(&mut self, passed: Passed) {
        self.out.extend(passed.packets.into_iter().map(Output::Packet));
    }

    fn candidate_lost(&mut self, now: Now, loss: Loss) {
        let Some(link) = self.candidate.take() else { return };
        let index = link.index;
        self.drop_link(link);
        if let Some(active) = &self.active {
            if active.suspect.is_none() {
                return self.failback_failed(now, index, loss.why);
            }
            self.next_failback = now.mono + failback_interval(&self.plan);
            self.tell_lost(index, &loss.why);
            return self.dial_spare(now, index);
        }
        self.tell_lost(index, &loss.why);
        let silent_for = self.silent_for(now);
        let verdict = self.attempts.failed(index, loss.answer, silent_for, &mut self.rng);
        self.obey(now, verdict, loss.why);
    }

    /// The primary origin is not back yet. That is no news unless it fails in another way than before.
    fn failback_failed(&mut self, now: Now, index: usize, why: String) {
        self.next_failback = now.mono + failback_interval(&self.plan);
        if self.failback_failure.as_ref() != Some(&why) {
            self.tell_lost(index, &why);
            self.failback_failure = Some(why);
        }
    }

    fn obey(&mut self, now: Now, verdict: Verdict, why: String) {
        match verdict {
            Verdict::GiveUp(over) if self.plan.directory => {
                self.directory.last_resort = Some((over, why));
                return self.resolve();
            }
            Verdict::GiveUp(over) => return self.out.push_back(Output::Over { over, why }),
            Verdict::Now => self.dial(now, self.attempts.current()),
            Verdict::After(pause) => self.retry_at = Some(now.mono + pause),
        }
        // The stream may have moved. A rule's origins are tried in turn before that is asked.
        if self.directory.decides || (self.plan.directory && matches!(verdict, Verdict::After(_))) {
            self.resolve();
        }
    }

    fn resolve(&mut self) {
        if !self.directory.asked {
            self.directory.asked = true;
            self.out.push_back(Output::Resolve);
        }
    }

    /// Goes where the directory says.
    fn follow(&mut self, now: Now, urls: Vec<Url>) {
        self.directory.decides = true;
        self.plan.failback = false;
        let before = core::mem::replace(&mut self.plan.urls, urls);
        self.attempts = self.attempts.elsewhere(self.plan.urls.len());
        let place = |link: &Link| {
            let url = before.get(link.index)?;
            self.plan.urls.iter().position(|other| other == url)
        };
        let (active, candidate) = (self.active.as_ref().map(place), self.candidate.as_ref().map(place));
        for link in self.standbys.renumber(place) {
            self.hang_up(now, link);
        }
        if let (Some(None), Some(link)) = (candidate, self.candidate.take_if(|_| candidate == Some(None))) {
            self.hang_up(now, link);
        }
        if let (Some(None), Some(link)) = (active, self.active.take_if(|_| active == Some(None))) {
            let url = before.get(link.index).map(Url::to_string).unwrap_or_default();
            let why = format!("the directory says that the stream is at {} now", self.url_of(0));
            self.event(Event::PullLost { key: self.key.clone(), url, why });
            self.hang_up(now, link);
        }
        for (link, index) in [(&mut self.active, active), (&mut self.candidate, candidate)] {
            if let (Some(link), Some(Some(index))) = (link, index) {
                link.index = index;
            }
        }
        self.retry_at = None;
        if self.active.is_none() && self.candidate.is_none() {
            self.dial(now, 0);
        }
    }

    /// The directory still names an origin that cannot be reached. If it is dead, another will take its place soon.
    fn wait_for_a_move(&mut self, now: Now, over: Over, why: String) {
        let (waited, patience) = match self.timeline.last_passed() {
            Some(last) => (now.mono.since(last), limits::RESUME_BUDGET),
            None => (now.mono.since(self.started), limits::MOVE_PATIENCE),
        };
        if over == Over::Absent || waited >= patience {
            return self.out.push_back(Output::Over { over, why });
        }
        self.retry_at = Some(now.mono + limits::MOVE_PAUSE);
    }

    fn silent_for(&self, now: Now) -> Option<Duration> {
        self.timeline.last_passed().map(|last| now.mono.since(last))
    }

    fn tell_lost(&mut self, index: usize, why: &str) {
        let (key, url) = (self.key.clone(), self.url_of(index));
        self.event(Event::PullLost { key, url, why: why.to_owned() });
    }

    fn url_of(&self, index: usize) -> String {
        self.plan.urls.get(index).map(Url::to_string).unwrap_or_default()
    }

    /// Two links count at the same time while the primary is tried again, so the higher number holds.
    fn count_ids(&mut self, link: &Link) {
        self.next_id = self.next_id.max(link.next_id());
    }

    fn drop_link(&mut self, link: Link) {
        self.count_ids(&link);
        if let Some(conn) = link.conn {
            self.out.push_back(Output::Close(conn, Close::Abort));
        }
    }

    fn hang_up(&mut self, now: Now, mut link: Link) {
        let farewell = link.farewell(now);
        self.count_ids(&link);
        let Some(conn) = link.conn else { return };
        match farewell {
            Some(stop) => {
                self.out.push_back(Output::Write(conn, stop));
                self.out.push_back(Output::Close(conn, Close::Flush));
            }
            None => self.out.push_back(Output::Close(conn, Close::Abort)),
        }
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }
}

/// Why a stream is given up of which the directory knows nothing.
fn no_place(unresolved: Unresolved) -> (Over, String) {
    match unresolved {
        Unresolved::Absent => (Over::Absent, "nobody has announced it".to_owned()),
        Unresolved::Away => (Over::Unreachable, "the directory of streams is away".to_owned()),
        Unresolved::Unusable => {
            (Over::Unreachable, "what the directory says of it cannot be used".to_owned())
        }
    }
}

/// How often the primary origin is tried again: as configured, but never in a tight loop.
fn failback_interval(plan: &Plan) -> Duration {
    plan.properties.failback_interval.max(limits::RETRY_PAUSE_MIN)
}

/// The history that is asked of an origin, in milliseconds: all that a Headwater origin keeps.
const HISTORY_MS: u32 = limits::HISTORY.as_millis() as u32;

/// How often an origin is asked for signs of life, in milliseconds.
const BEAT_MS: u32 = limits::OVT_BEAT.as_millis() as u32;
