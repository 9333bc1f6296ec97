//! How much the server has to do, and whether it is full.
//!
//! What is full takes nobody new, so that those who watch are not hurt. Load lags behind whoever causes it: a viewer who has
//! just come asks for nothing yet. So each who is let in counts for a moment as what it will be: a request that waits, and
//! the bits of its stream.

use core::time::Duration;
use std::collections::VecDeque;

use crate::event::{Event, StreamKey};
use crate::limits::{LET_IN_FOR, LET_IN_MAX, REFUSALS_TOLD_EVERY, STREAMS_MAX};
use crate::time::Time;

use super::Node;

/// What the second that is going on, or the one before, had more of. Viewers who wait for the same part are all answered at
/// once: a single moment says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    since: Option<Time>,
    value: u64,
    before: u64,
}

impl Meter {
    /// So much more.
    pub(super) fn add(&mut self, now: Time, more: usize) {
        self.turn(now);
        self.value = self.value.saturating_add(more as u64);
    }

    /// So much at this moment.
    pub(super) fn reach(&mut self, now: Time, level: usize) {
        self.turn(now);
        self.value = self.value.max(level as u64);
    }

    /// What it shows.
    pub(super) fn read(mut self, now: Time) -> u64 {
        self.turn(now);
        self.value.max(self.before)
    }

    fn turn(&mut self, now: Time) {
        let since = *self.since.get_or_insert(now);
        let gone = now.since(since);
        if gone >= SECOND {
            self.before = if gone < 2 * SECOND { self.value } else { 0 };
            (self.since, self.value) = (Some(now), 0);
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// What is asked of a node.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Bytes.
    out: Meter,
    waiting: Meter,
    /// Who was let in lately, and the bits per second of what they came for.
    let_in: VecDeque<(Time, u64)>,
    /// Who was sent away since that was told.
    refused: u64,
    told: Option<Time>,
}

impl Load {
    /// Bytes are on their way out.
    pub(super) fn sent(&mut self, now: Time, bytes: usize) {
        self.out.add(now, bytes);
    }

    /// So many requests wait.
    pub(super) fn wait(&mut self, now: Time, requests: usize) {
        self.waiting.reach(now, requests);
    }

    fn forget(&mut self, now: Time) {
        while self.let_in.front().is_some_and(|(at, _)| now.since(*at) >= LET_IN_FOR) {
            self.let_in.pop_front();
        }
    }
}

impl Node {
    /// How many streams there may be.
    pub(super) fn streams_max(&self) -> usize {
        self.config.limits.streams.unwrap_or(STREAMS_MAX).min(STREAMS_MAX)
    }

    /// Which limit is reached, if one is.
    pub(super) fn is_full(&self) -> Option<String> {
        let (limits, now) = (self.config.limits, self.now.mono);
        let lately = self.load.let_in.iter().filter(|(at, _)| now.since(*at) < LET_IN_FOR);
        let (count, bits) = lately.fold((0, 0_u64), |(n, sum), (_, bits)| (n + 1, sum.saturating_add(*bits)));
        let waiting = self.load.waiting.read(now) + count;
        if let Some(limit) = limits.waiting.filter(|limit| waiting >= *limit as u64) {
            return Some(format!("Limits/WaitingRequests is {limit}"));
        }
        let out = self.load.out.read(now).saturating_mul(8).saturating_add(bits);
        let limit = limits.bandwidth.filter(|limit| out >= *limit)?;
        Some(format!("Limits/Bandwidth is {limit} bit/s"))
    }

    /// Whether somebody new may watch this stream.
    pub(super) fn lets_in(&mut self, now: Time, key: &StreamKey) -> bool {
        if self.config.limits.waiting.is_none() && self.config.limits.bandwidth.is_none() {
            return true;
        }
        self.load.forget(now);
        if let Some(why) = self.is_full() {
            self.refused(now, why);
            return false;
        }
        let bits = self.running(key).map_or(0, |stream| stream.rate.read(now).saturating_mul(8));
        if self.load.let_in.len() < LET_IN_MAX {
            self.load.let_in.push_back((now, bits));
        }
        true
    }

    fn refused(&mut self, now: Time, why: String) {
        self.load.refused += 1;
        if self.load.told.is_none_or(|told| now.since(told) >= REFUSALS_TOLD_EVERY) {
            self.load.told = Some(now);
            let count = core::mem::take(&mut self.load.refused);
            self.event(Event::ViewersRefused { count, why });
        }
    }
}
