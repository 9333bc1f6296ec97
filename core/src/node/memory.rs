//! What a node remembers of streams that are not there.

use std::collections::{BTreeMap, VecDeque};

use crate::event::StreamKey;
use crate::limits::{ABSENT_MEMORY, ABSENT_STREAMS_MAX, ENDED_STREAMS_MAX};
use crate::time::Time;

/// Streams that no origin had a moment ago: a crowd that polls an absent stream costs one pull per second.
#[derive(Debug, Default)]
pub(super) struct Absent {
    until: BTreeMap<StreamKey, Time>,
}

impl Absent {
    pub(super) fn remember(&mut self, now: Time, key: StreamKey) {
        if self.until.len() >= ABSENT_STREAMS_MAX {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() < ABSENT_STREAMS_MAX {
            self.until.insert(key, now + ABSENT_MEMORY);
        }
    }

    pub(super) fn contains(&self, now: Time, key: &StreamKey) -> bool {
        self.until.get(key).is_some_and(|until| *until > now)
    }

    pub(super) fn forget(&mut self, key: &StreamKey) {
        self.until.remove(key);
    }
}

/// The last media sequence numbers of streams that ended: a stream that comes back never gives an old number to
/// other bytes.
#[derive(Debug, Default)]
pub(super) struct Ended {
    next_msn: BTreeMap<StreamKey, u64>,
    order: VecDeque<StreamKey>,
}

impl Ended {
    pub(super) fn remember(&mut self, key: StreamKey, last_msn: u64) {
        if self.order.len() >= ENDED_STREAMS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.next_msn.remove(&oldest);
        }
        if self.next_msn.insert(key.clone(), last_msn + 1).is_none() {
            self.order.push_back(key);
        }
    }

    /// The smallest number that a new stream of this name may start with.
    pub(super) fn first_msn(&self, key: &StreamKey) -> u64 {
        self.next_msn.get(key).copied().unwrap_or(0)
    }
}
