//! What happened lately to each stream, in words: for the operator who asks why.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Event, StreamKey};
use crate::limits::{JOURNAL_LINES_MAX, JOURNAL_STREAMS_MAX};
use crate::time::Time;

/// The last lines of the last streams.
#[derive(Debug, Default)]
pub(super) struct Journal {
    lines: BTreeMap<StreamKey, VecDeque<(Time, String)>>,
    /// The streams, in the order in which their first line was written.
    order: VecDeque<StreamKey>,
}

impl Journal {
    /// Writes an event down if it says where a stream came from, or why it did not.
    pub(super) fn note(&mut self, now: Time, event: &Event) {
        let (key, line) = match event {
            Event::PublishInterrupted { key, why } => (key, format!("its publisher is gone: {why}")),
            Event::PublishResumed { key, .. } => (key, "a publisher goes on with it".to_owned()),
            Event::PublishEnded { key, why } => (key, format!("its publisher is gone for good: {why}")),
            Event::PullDialled { key, url } => (key, format!("asked {url}")),
            Event::PullLost { key, url, why } => (key, format!("{url} was given up: {why}")),
            Event::PullPlaying { key, url, .. } => (key, format!("{url} plays")),
            Event::PullSuspected { key, url, silent_for } => {
                (key, format!("{url} was silent for {} ms", silent_for.as_millis()))
            }
            Event::PullTrusted { key, url, silent_for } => {
                (key, format!("{url} spoke again after {} ms", silent_for.as_millis()))
            }
            Event::StandbyApart { key, url } => (key, format!("{url} stands by with other media")),
            Event::StandbyLost { key, url, why } => (key, format!("{url} cannot stand by: {why}")),
            Event::StandbyReady { key, url } => (key, format!("{url} stands by, in step")),
            Event::PullEnded { key, why } => (key, format!("the stream ended: {why}")),
            Event::RouteFollowed { key, epoch: Some(epoch), url } => {
                (key, format!("the directory said {url}, epoch {epoch}"))
            }
            Event::RouteFollowed { key, epoch: None, url } => {
                (key, format!("the directory said {url}, a plain key"))
            }
            Event::RouteUnusable { key, why } => (key, why.clone()),
            Event::StreamShared { key, doubt: None } => {
                (key, "its segments are those of every server".to_owned())
            }
            Event::StreamShared { key, doubt: Some(why) } => {
                (key, format!("its segments may not be those of other servers: {why}"))
            }
            _ => return,
        };
        if !self.lines.contains_key(key) {
            self.order.push_back(key.clone());
            if self.order.len() > JOURNAL_STREAMS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.lines.remove(&oldest);
            }
        }
        let lines = self.lines.entry(key.clone()).or_default();
        lines.push_back((now, line));
        if lines.len() > JOURNAL_LINES_MAX {
            lines.pop_front();
        }
    }

    /// What was written of a stream, oldest first.
    pub(super) fn of(&self, key: &StreamKey) -> impl Iterator<Item = &(Time, String)> {
        self.lines.get(key).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_bounded_in_both_directions() {
        let mut journal = Journal::default();
        let key = |n: usize| StreamKey { vhost: "v".to_owned(), app: "a".to_owned(), stream: n.to_string() };
        for n in 0..=JOURNAL_STREAMS_MAX {
            for m in 0..=JOURNAL_LINES_MAX {
                journal.note(Time::ZERO, &Event::PullDialled { key: key(n), url: m.to_string() });
            }
        }
        assert_eq!((journal.lines.len(), journal.order.len()), (JOURNAL_STREAMS_MAX, JOURNAL_STREAMS_MAX));
        assert_eq!((journal.of(&key(0)).count(), journal.of(&key(1)).count()), (0, JOURNAL_LINES_MAX));
        assert_eq!(journal.of(&key(1)).next().map(|(_, line)| line.as_str()), Some("asked 1"));
    }
}
