//! Viewers that wait on one stream: for a part, or for the stream to start. Each has a deadline.

use std::collections::{BTreeMap, BTreeSet};

use crate::hls::WaitFor;
use crate::io::RequestId;
use crate::media::TrackId;
use crate::time::Time;

use super::viewing::Asked;

/// The waiting requests of one stream.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    requests: BTreeMap<RequestId, Waiter>,
    places: BTreeSet<(Place, RequestId)>,
    deadlines: BTreeSet<(Time, RequestId)>,
}

#[derive(Debug)]
struct Waiter {
    asked: Asked,
    place: Place,
    until: Time,
}

/// What is waited for, in an order in which everything that one part makes ready is one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Muxed,
    Start,
    Part { track: TrackId, msn: u64, part: u32 },
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The entries of its longest collection.
    pub(super) fn entries(&self) -> usize {
        self.requests.len().max(self.places.len()).max(self.deadlines.len())
    }

    /// `id` waits for `wait` until `until`.
    pub(super) fn add(&mut self, id: RequestId, asked: Asked, wait: WaitFor, until: Time) {
        let place = match wait {
            WaitFor::Muxed => Place::Muxed,
            WaitFor::Started => Place::Start,
            WaitFor::Part { track, msn, part } => Place::Part { track, msn, part },
            // Whether the segment is complete is asked again at each of its parts.
            WaitFor::Segment { track, msn } => Place::Part { track, msn, part: 0 },
        };
        self.places.insert((place, id));
        self.deadlines.insert((until, id));
        self.requests.insert(id, Waiter { asked, place, until });
    }

    /// `id` waits no more.
    pub(super) fn remove(&mut self, id: RequestId) -> Option<Asked> {
        let waiter = self.requests.remove(&id)?;
        self.places.remove(&(waiter.place, id));
        self.deadlines.remove(&(waiter.until, id));
        Some(waiter.asked)
    }

    /// The requests that may be answered once this part is there, with the deadline that each has.
    pub(super) fn take_ready(
        &mut self,
        track: TrackId,
        msn: u64,
        part: u32,
    ) -> Vec<(RequestId, Asked, Time)> {
        let first = (Place::Part { track, msn: 0, part: 0 }, RequestId(0));
        let last = (Place::Part { track, msn, part }, RequestId(u64::MAX));
        let parts = self.places.range(first..=last);
        let starts = self.places.range((Place::Start, RequestId(0))..=(Place::Start, RequestId(u64::MAX)));
        let ready: Vec<RequestId> = starts.chain(parts).map(|(_, id)| *id).collect();
        self.take(ready)
    }

    /// The requests that may be answered once there is another muxed segment, with the deadline that each has.
    pub(super) fn take_muxed(&mut self) -> Vec<(RequestId, Asked, Time)> {
        let waiting = self.places.range(..=(Place::Muxed, RequestId(u64::MAX)));
        let ready: Vec<RequestId> = waiting.map(|(_, id)| *id).collect();
        self.take(ready)
    }

    fn take(&mut self, ready: Vec<RequestId>) -> Vec<(RequestId, Asked, Time)> {
        let until: Vec<Time> =
            ready.iter().filter_map(|id| self.requests.get(id)).map(|waiter| waiter.until).collect();
        ready.into_iter().zip(until).filter_map(|(id, until)| Some((id, self.remove(id)?, until))).collect()
    }

    /// A request whose deadline has passed.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(RequestId, Asked)> {
        let (until, id) = *self.deadlines.first()?;
        if until > now {
            return None;
        }
        self.remove(id).map(|asked| (id, asked))
    }

    /// Everybody.
    pub(super) fn take_all(&mut self) -> Vec<(RequestId, Asked)> {
        let ids: Vec<RequestId> = self.requests.keys().copied().collect();
        ids.into_iter().filter_map(|id| Some((id, self.remove(id)?))).collect()
    }

    /// The first deadline.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(until, _)| *until)
    }
}
