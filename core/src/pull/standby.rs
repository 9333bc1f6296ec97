//! Hot standby: origins whose media is there already when the one that plays is lost.
//!
//! A standby is a link whose feed stands by (`timeline`). As long as it is in step with what viewers see, it is there for
//! three things. It fills what the active origin leaves out. It covers for an active origin that is late: viewers
//! get from the standby what the active one should have brought, and know nothing of it; nothing is switched, for the active
//! one may only have stumbled. And when the active one is lost, or was late for too long, it takes over at the very next access unit.
//!
//! A standby that carries other media is never merged. It is still the next to be tried, and its connection is open already.

use core::mem;
use core::time::Duration;
use std::collections::BTreeMap;

use super::attempts::pause;
use super::link::{Link, LinkEvent, Loss};
use super::{Output, Pull};
use crate::event::Event;
use crate::limits::{COVER_AFTER, RELIEVE_AFTER, STABLE_AFTER};
use crate::media::Packet;
use crate::time::{Deadline, Now, Time};
use crate::timeline::Passed;

/// The standbys of one stream.
#[derive(Debug, Default)]
pub(super) struct Standbys {
    pub(super) links: Vec<Link>,
    /// The wait before the next one is dialled.
    next_at: Time,
    /// The origin that is looked at first then.
    next: usize,
    /// How many were lost in a row that had not played for a while.
    failures: u32,
    /// What operators were told last of each origin.
    told: BTreeMap<usize, Told>,
    /// When the active origin last brought something new.
    brought_at: Time,
    /// Viewers get from a standby what the active origin should have brought.
    covering: bool,
}

/// What operators know of a standby.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    InStep,
    Apart,
    Lost(String),
}

/// How one standby stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its media has not come.
    Starting,
    /// It carries what viewers see: it can take over without their noticing.
    InStep,
    /// What it carries is other media, or was not recognised yet.
    Apart,
}

/// A standby, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyState {
    /// The origin's URL.
    pub url: String,
    /// How it stands.
    pub standing: Standing,
    /// What it has cost: bytes received over this connection.
    pub received_bytes: u64,
    /// Bytes held because the active origin has not brought them yet.
    pub held_bytes: usize,
}

impl Standbys {
    pub(super) fn link_mut(&mut self, index: usize) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.index == index)
    }

    /// The next thing that one of them has to say, with its origin.
    pub(super) fn poll(&mut self) -> Option<(usize, LinkEvent)> {
        self.links.iter_mut().find_map(|link| Some((link.index, link.poll()?)))
    }

    /// Whether operators know that origin `index` cannot be had.
    pub(super) fn is_known_lost(&self, index: usize) -> bool {
        matches!(self.told.get(&index), Some(Told::Lost(_)))
    }

    /// Takes the link to origin `index` out.
    pub(super) fn take(&mut self, index: usize) -> Option<Link> {
        let at = self.links.iter().position(|link| link.index == index)?;
        Some(self.links.remove(at))
    }

    /// The origins have other numbers now: `place` says which, or that one is no more. Returns the links to those.
    pub(super) fn renumber(&mut self, place: impl Fn(&Link) -> Option<usize>) -> Vec<Link> {
        self.told.clear();
        let mut gone = Vec::new();
        for mut link in mem::take(&mut self.links) {
            match place(&link) {
                Some(index) => {
                    link.index = index;
                    self.links.push(link);
                }
                None => gone.push(link),
            }
        }
        gone
    }

    /// The best one to take over: in step, else playing, else any.
    fn best(&self) -> Option<usize> {
        let rank = |link: &&Link| (!link.feed.is_in_step(), !link.plays(), link.index);
        self.links.iter().min_by_key(rank).map(|link| link.index)
    }
}

impl Pull {
    /// Every standby, and how it stands.
    pub fn standbys(&self) -> Vec<StandbyState> {
        let state = |link: &Link| StandbyState {
            url: self.url_of(link.index),
            standing: standing(link),
            received_bytes: link.received_bytes(),
            held_bytes: link.held_bytes(),
        };
        self.standbys.links.iter().map(state).collect()
    }

    /// How many standbys there should be.
    fn standbys_wanted(&self) -> usize {
        self.plan.hot_standby.min(self.plan.urls.len().saturating_sub(1))
    }

    /// A standby has something to say.
    pub(super) fn standby_event(&mut self, now: Now, index: usize, event: LinkEvent) {
        match event {
            LinkEvent::Described(info) => {
                if let Some(link) = self.standbys.link_mut(index) {
                    link.info = Some(info);
                }
            }
            LinkEvent::Lost(loss) => self.standby_lost(now, index, loss),
            LinkEvent::Packet(packet) => {
                if let Some(link) = self.standbys.link_mut(index) {
                    link.feed.push(&mut self.timeline, now, packet);
                }
                self.compare_standbys(now);
            }
            LinkEvent::Settle => {}
            LinkEvent::Write(conn, bytes) => self.out.push_back(Output::Write(conn, bytes)),
        }
    }

    fn standby_lost(&mut self, now: Now, index: usize, loss: Loss) {
        let Some(link) = self.standbys.take(index) else { return };
        if link.plays() && link.played_for(now) >= STABLE_AFTER {
            self.standbys.failures = 0;
        }
        self.standbys.failures = self.standbys.failures.saturating_add(1);
        self.standbys.next_at = now.mono + pause(self.standbys.failures, &mut self.rng);
        self.standbys.next = index + 1;
        self.drop_link(link);
        self.tell_standby(index, Told::Lost(loss.why));
    }

    /// Dials standbys as long as there are too few.
    pub(super) fn recruit(&mut self, now: Now) {
        while self.recruit_due().is_some_and(|due| due.at <= now.mono) {
            let urls = self.plan.urls.len();
            let mut in_turn = (0..urls).map(|n| (self.standbys.next + n) % urls);
            let free = in_turn.find(|index| !self.is_linked(*index));
            let Some(link) = free.and_then(|index| self.new_link(now, index)) else {
                self.standbys.next_at = now.mono + pause(1, &mut self.rng);
                return;
            };
            self.standbys.next = link.index + 1;
            self.standbys.links.push(link.standing_by());
        }
    }

    fn is_linked(&self, index: usize) -> bool {
        self.links().any(|link| link.index == index)
    }

    fn recruit_due(&self) -> Option<Deadline> {
        let lacks = self.active.is_some() && self.standbys.links.len() < self.standbys_wanted();
        lacks.then_some(Deadline { at: self.standbys.next_at, why: "dial a standby" })
    }

    /// When the active origin is so late that a standby has to cover for it.
    fn cover_due(&self) -> Option<Deadline> {
        self.active.as_ref()?;
        let ahead = self.standbys.links.iter().filter_map(|link| link.feed.ahead_since()).min()?;
        let late_since = ahead.max(self.standbys.brought_at);
        Some(Deadline { at: late_since + COVER_AFTER, why: "cover for a late origin" })
    }

    /// When there is something to do for standbys.
    pub(super) fn standbys_due(&self) -> Option<Deadline> {
        self.cover_due().into_iter().chain(self.recruit_due()).min()
    }

    /// Covers for an active origin that is late. Whoever has covered for long enough takes its place, and that one stands
    /// by: it is the same to viewers, but nobody waits for it any more.
    pub(super) fn cover(&mut self, now: Now) {
        while self.cover_due().is_some_and(|due| due.at <= now.mono) {
            let links = self.standbys.links.iter_mut().filter(|link| link.feed.ahead_since().is_some());
            let Some(link) = links.min_by_key(|link| link.feed.ahead_since()) else { return };
            let index = link.index;
            let passed = link.feed.cover(&mut self.timeline, now, now.mono - COVER_AFTER);
            if !passed.packets.is_empty() && !mem::replace(&mut self.standbys.covering, true) {
                let (key, url) = (self.key.clone(), self.url_of(index));
                self.event(Event::StandbyCovers { key, url });
            }
            self.pass(passed);
            self.compare_standbys(now);
            if now.mono.since(self.standbys.brought_at) >= RELIEVE_AFTER {
                self.dial(now, index);
            }
        }
    }

    /// The active origin leaves something out before `packet`: standbys that have it fill the hole.
    pub(super) fn fill_before(&mut self, now: Now, packet: &Packet) {
        let Some(active) = &mut self.active else { return };
        let Some((track, end)) = active.feed.leaves_hole(&self.timeline, packet) else { return };
        for link in &mut self.standbys.links {
            let passed = link.feed.fill(&mut self.timeline, now, track, end);
            self.out.extend(passed.packets.into_iter().map(Output::Packet));
        }
    }

    /// The active origin has brought something: standbys let it go.
    pub(super) fn active_brought(&mut self, now: Now, passed: Passed) {
        if !passed.packets.is_empty() {
            (self.standbys.covering, self.standbys.brought_at) = (false, now.mono);
        }
        self.pass(passed);
        self.compare_standbys(now);
    }

    fn compare_standbys(&mut self, now: Now) {
        for at in 0..self.standbys.links.len() {
            if let Some(link) = self.standbys.links.get_mut(at) {
                link.feed.compare(&self.timeline);
            }
            self.tell_of_standby(now, at);
        }
    }

    /// The active origin, which had played for `played_for`, is lost: the best standby takes its place. False if there
    /// is none.
    pub(super) fn let_standby_take_over(&mut self, now: Now, played_for: Duration) -> bool {
        let Some(index) = self.standbys.best() else { return false };
        self.attempts.left(played_for);
        self.standbys.next_at = now.mono + pause(1, &mut self.rng);
        self.dial(now, index);
        true
    }

    /// An origin that played until now stands by from here on.
    pub(super) fn demote(&mut self, now: Now, mut link: Link) {
        if self.standbys.links.len() >= self.standbys_wanted() {
            return self.hang_up(now, link);
        }
        link.stand_by(&self.timeline);
        self.standbys.links.push(link);
    }

    fn tell_of_standby(&mut self, now: Now, at: usize) {
        let Some(link) = self.standbys.links.get(at) else { return };
        match standing(link) {
            Standing::InStep => self.tell_standby(link.index, Told::InStep),
            Standing::Apart if link.played_for(now) >= APART_AFTER => {
                self.tell_standby(link.index, Told::Apart);
            }
            Standing::Apart | Standing::Starting => {}
        }
    }

    /// Tells operators of origin `index`, unless they know.
    fn tell_standby(&mut self, index: usize, news: Told) {
        if self.standbys.told.get(&index) == Some(&news) {
            return;
        }
        let (key, url) = (self.key.clone(), self.url_of(index));
        self.event(match news.clone() {
            Told::InStep => Event::StandbyReady { key, url },
            Told::Apart => Event::StandbyApart { key, url },
            Told::Lost(why) => Event::StandbyLost { key, url, why },
        });
        self.standbys.told.insert(index, news);
    }
}

fn standing(link: &Link) -> Standing {
    match (link.feed.is_in_step(), link.plays()) {
        (true, _) => Standing::InStep,
        (false, true) => Standing::Apart,
        (false, false) => Standing::Starting,
    }
}

/// A standby that plays is given so long to be recognised before operators are told that it was not: two key-frame
/// intervals of four seconds and a little.
const APART_AFTER: Duration = Duration::from_secs(9);
