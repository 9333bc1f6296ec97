//! What one end of a connection has to send, and what it has received.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use headwater_core::time::Time;

use super::sender::Sender;
use super::{Segment, Tcp};
use crate::rng::Rng;

/// What one end has to send.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) queue: VecDeque<Segment>,
    pub(super) sender: Sender,
    /// The number of the next segment that leaves.
    pub(super) next: u64,
    /// Bytes that have left, and how many of them the process at the other end is known to have read.
    pub(super) left: u64,
    read: u64,
    /// Acknowledgements on their way, in the order in which they come.
    acks: VecDeque<Ack>,
    /// The newest acknowledgement did not come through.
    pub(super) is_ack_lost: bool,
    /// When the next acknowledgement is waited for, if it is.
    pub(super) awaited: Option<Time>,
    /// When the retransmission timer is looked at, if it is.
    pub(super) timer: Option<Time>,
    /// Nothing arrives before what left earlier.
    pub(super) last_arrival: Time,
    /// Bytes that left and that the process has not heard of.
    pub(super) unreported: usize,
    pub(super) reporting: bool,
}

/// What one end has received.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The number of the segment that the process gets next.
    pub(super) next: u64,
    /// What has overtaken it.
    pub(super) early: BTreeMap<u64, Segment>,
    /// Bytes that the process has read.
    pub(super) read: u64,
}

/// An acknowledgement: everything before `next` has arrived, and `number` too; the process has read so many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) at: Time,
    pub(super) next: u64,
    pub(super) number: Option<u64>,
    pub(super) read: u64,
}

impl Pipe {
    pub(super) fn new(mss: usize) -> Pipe {
        Pipe {
            queue: VecDeque::new(),
            sender: Sender::new(mss),
            next: 0,
            left: 0,
            read: 0,
            acks: VecDeque::new(),
            is_ack_lost: false,
            awaited: None,
            timer: None,
            last_arrival: Time::ZERO,
            unreported: 0,
            reporting: false,
        }
    }

    /// An acknowledgement is on its way. It does not overtake those before it.
    pub(super) fn expect_ack(&mut self, ack: Ack) {
        let at = self.acks.back().map_or(ack.at, |before| before.at.max(ack.at));
        self.acks.push_back(Ack { at, ..ack });
        self.is_ack_lost = false;
    }

    /// When the next acknowledgement comes, if that matters.
    pub(super) fn next_ack(&self) -> Option<Time> {
        let matters = !self.queue.is_empty() || self.sender.is_recovering();
        self.acks.front().filter(|_| matters).map(|ack| ack.at)
    }

    /// Hears the acknowledgements that are here.
    pub(super) fn take_acks(&mut self, now: Time) {
        while let Some(ack) = self.acks.front().copied().filter(|ack| ack.at <= now) {
            self.acks.pop_front();
            self.read = self.read.max(ack.read);
            self.sender.acked(ack.at, ack.next, ack.number);
            self.sender.find_losses(ack.at, self.next);
        }
    }

    /// Bytes that left and that the process at the other end is not known to have read.
    pub(super) fn unacknowledged(&self, now: Time) -> usize {
        let here = self.acks.iter().take_while(|ack| ack.at <= now).map(|ack| ack.read).max();
        usize::try_from(self.left - self.read.max(here.unwrap_or(0))).unwrap_or(usize::MAX)
    }

    /// Whether somebody has to ask whether anything has arrived.
    pub(super) fn needs_timer(&self, now: Time) -> bool {
        let waits = !self.queue.is_empty() && self.unacknowledged(now) > 0;
        self.sender.has_stranded() || self.is_ack_lost && (waits || !self.sender.is_idle())
    }

    /// Forgets what was to be sent.
    pub(super) fn forget(&mut self) {
        self.queue.clear();
        self.sender.forget();
    }

    /// The next segment that the windows let go, cut and joined as chance will have it.
    pub(super) fn take(&mut self, now: Time, settings: &Tcp, rng: &mut Rng) -> Option<Segment> {
        let whole = match self.queue.front()? {
            Segment::Data(bytes) => bytes.len(),
            Segment::Fin | Segment::Rst => 0,
            // Messages are not cut.
            _ => 1,
        };
        let window = settings.window.saturating_sub(self.unacknowledged(now));
        let room = window.min(self.sender.room(whole)).min(self.sender.segment_max());
        if room < whole.min(1) {
            return None;
        }
        if !matches!(self.queue.front()?, Segment::Data(_)) {
            return self.queue.pop_front();
        }
        let dice = if settings.recut { rng.below(4) } else { 3 };
        let Some(Segment::Data(front)) = self.queue.front_mut() else { return None };
        let cut = if dice == 0 { 1 + rng.below(whole as u64) as usize } else { whole };
        let len = cut.min(room);
        let first = front.split_to(len);
        if front.is_empty() {
            self.queue.pop_front();
        }
        if dice == 1 && len == whole {
            return Some(Segment::Data(self.join(first, room - len)));
        }
        Some(Segment::Data(first))
    }

    /// `first` with the next data that fits behind it.
    fn join(&mut self, first: Bytes, room: usize) -> Bytes {
        let fits =
            matches!(self.queue.front(), Some(Segment::Data(next)) if next.len() <= room.min(JOIN_MAX));
        if !fits {
            return first;
        }
        let Some(Segment::Data(next)) = self.queue.pop_front() else { return first };
        let mut both = BytesMut::from(first);
        both.extend_from_slice(&next);
        both.freeze()
    }
}

/// Longer writes are not joined to others: it would only cost copying.
const JOIN_MAX: usize = 16 * 1024;
