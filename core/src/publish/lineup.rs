//! Who publishes a stream: one publisher is on air, others may stand by, and when nobody is left the place is kept for
//! whoever comes next.
//!
//! An encoder that loses its connection comes back on another one. To viewers it is the same stream, so the stream must
//! outlive the connection, but not for long: see [`Rules::window`]. Here are the rules only; there is no media here, and a
//! publisher is no more than the name of its connection.

use core::time::Duration;
use std::collections::VecDeque;

use crate::io::ConnId;
use crate::time::Time;

/// What the configuration says of the publishers of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether one more publisher is refused, or else takes the place of the one on air.
    pub block_duplicate: bool,
    /// How long the place is kept for a publisher that went without a goodbye.
    pub window: Duration,
    /// How many may stand by.
    pub standby_max: usize,
}

/// The publishers of one stream.
#[derive(Debug)]
pub struct Lineup {
    rules: Rules,
    on_air: Option<ConnId>,
    /// The first one longest.
    standby: VecDeque<ConnId>,
    /// Whether there was ever any media.
    has_delivered: bool,
    /// Since a publisher was lost and until there is media again: when the stream is over if nobody comes.
    kept_until: Option<Time>,
}

/// What becomes of a publisher that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// This one has to go first; then ask again.
    After(ConnId),
    /// It is on air.
    OnAir,
    /// There is no place.
    Refused,
    /// It stands by.
    Standby,
}

/// What becomes of the stream when a publisher goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// It is over.
    Over,
    /// This publisher, which stood by, is on air.
    PassesTo(ConnId),
    /// The same publisher as before is on air, or nobody as before.
    Unchanged,
    /// Nobody is on air. The place is kept until then.
    Vacant(Time),
}

impl Lineup {
    /// A stream that begins with this publisher.
    pub fn new(rules: Rules, first: ConnId) -> Lineup {
        let standby = VecDeque::new();
        Lineup { rules, on_air: Some(first), standby, has_delivered: false, kept_until: None }
    }

    /// The publisher whose media is the stream's.
    pub fn on_air(&self) -> Option<ConnId> {
        self.on_air
    }

    /// Everybody in it.
    pub fn all(&self) -> impl Iterator<Item = ConnId> {
        self.on_air.into_iter().chain(self.standby.iter().copied())
    }

    /// Those who stand by, the first in line first.
    pub fn standing_by(&self) -> impl ExactSizeIterator<Item = ConnId> {
        self.standby.iter().copied()
    }

    /// Whether the stream has lost its publisher, and no other one has delivered media since.
    pub fn is_interrupted(&self) -> bool {
        self.kept_until.is_some()
    }

    /// When the stream is over; `None` while somebody is on air, who has deadlines of its own.
    pub fn over_at(&self) -> Option<Time> {
        self.kept_until.filter(|_| self.on_air.is_none())
    }

    /// One more publisher comes. `is_alive` tells whether the one on air was heard of lately.
    pub fn admit(&mut self, conn: ConnId, is_alive: bool) -> Admission {
        match self.on_air {
            None => {
                self.on_air = Some(conn);
                Admission::OnAir
            }
            Some(_) if is_alive && self.standby.len() < self.rules.standby_max => {
                self.standby.push_back(conn);
                Admission::Standby
            }
            Some(_) if is_alive && self.rules.block_duplicate => Admission::Refused,
            Some(old) => Admission::After(old),
        }
    }

    /// Media of the publisher on air has reached the stream.
    pub fn delivers(&mut self) {
        self.has_delivered = true;
        self.kept_until = None;
    }

    /// A publisher is gone. Who says goodbye and leaves nobody behind ends the stream; who never delivered anything leaves
    /// nothing to keep, and does not make the place be kept for longer. Of those who stand by the first one that `can` goes
    /// on is next, else the first.
    pub fn leave(
        &mut self,
        now: Time,
        conn: ConnId,
        goodbye: bool,
        can: impl Fn(ConnId) -> bool,
    ) -> Succession {
        if self.on_air != Some(conn) {
            self.standby.retain(|other| *other != conn);
            return Succession::Unchanged;
        }
        let until = *self.kept_until.get_or_insert(now + self.rules.window);
        let next = self.standby.iter().position(|other| can(*other)).unwrap_or(0);
        self.on_air = self.standby.remove(next);
        match self.on_air {
            Some(next) => Succession::PassesTo(next),
            None if goodbye || !self.has_delivered || until <= now => Succession::Over,
            None => Succession::Vacant(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { block_duplicate: true, window: Duration::from_secs(5), standby_max: 0 };
    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(3);
    const C: ConnId = ConnId(5);
    const D: ConnId = ConnId(7);

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn playing(rules: Rules) -> Lineup {
        let mut lineup = Lineup::new(rules, A);
        lineup.delivers();
        lineup
    }

    #[test]
    fn the_place_of_one_that_drops_is_kept_for_the_next() {
        let mut lineup = playing(RULES);
        assert_eq!(lineup.leave(at(1_000), A, false, |_| true), Succession::Vacant(at(6_000)));
        assert_eq!((lineup.over_at(), lineup.is_interrupted()), (Some(at(6_000)), true));
        assert_eq!(lineup.admit(B, false), Admission::OnAir);
        assert_eq!((lineup.over_at(), lineup.is_interrupted()), (None, true));
        lineup.delivers();
        assert!(!lineup.is_interrupted());
        assert_eq!(lineup.leave(at(9_000), B, false, |_| true), Succession::Vacant(at(14_000)));
    }

    #[test]
    fn who_comes_back_and_delivers_nothing_does_not_prolong_the_wait() {
        let mut lineup = playing(RULES);
        lineup.leave(at(0), A, false, |_| true);
        for ms in [1_000, 2_000, 4_999] {
            assert_eq!(lineup.admit(B, false), Admission::OnAir);
            assert_eq!(lineup.leave(at(ms), B, false, |_| true), Succession::Vacant(at(5_000)));
        }
        lineup.admit(B, false);
        assert_eq!(lineup.leave(at(5_000), B, false, |_| true), Succession::Over);
    }

    #[test]
    fn nothing_is_kept_of_a_goodbye_nor_of_one_that_brought_nothing_nor_without_a_window() {
        assert_eq!(playing(RULES).leave(at(1), A, true, |_| true), Succession::Over);
        assert_eq!(Lineup::new(RULES, A).leave(at(1), A, false, |_| true), Succession::Over);
        let rules = Rules { window: Duration::ZERO, ..RULES };
        assert_eq!(playing(rules).leave(at(1), A, false, |_| true), Succession::Over);
    }

    #[test]
    fn one_more_is_refused_or_takes_over_as_configured_and_the_dead_make_room() {
        let mut lineup = playing(RULES);
        assert_eq!(lineup.admit(B, true), Admission::Refused);
        assert_eq!(lineup.admit(B, false), Admission::After(A));
        let mut lineup = playing(Rules { block_duplicate: false, ..RULES });
        assert_eq!(lineup.admit(B, true), Admission::After(A));
    }

    #[test]
    fn the_first_in_line_that_can_go_on_is_next() {
        let mut lineup = playing(Rules { standby_max: 2, ..RULES });
        assert_eq!((lineup.admit(B, true), lineup.admit(C, true)), (Admission::Standby, Admission::Standby));
        assert_eq!(lineup.admit(D, true), Admission::Refused);
        assert_eq!(lineup.leave(at(1), A, true, |conn| conn == C), Succession::PassesTo(C));
        assert_eq!(lineup.leave(at(2), C, false, |_| false), Succession::PassesTo(B));
        assert_eq!(lineup.admit(D, true), Admission::Standby);
        assert_eq!(lineup.leave(at(3), D, false, |_| false), Succession::Unchanged);
        assert_eq!(lineup.leave(at(4), B, true, |_| true), Succession::Over);
    }

    proptest! {
        /// Whatever comes and goes: nobody is in it twice, no more stand by than may, somebody is on air whenever there is
        /// anybody, and a place without media is kept for one window at most.
        #[test]
        fn a_place_is_taken_once(
            standby_max in 0usize..3,
            block_duplicate: bool,
            chances in prop::collection::vec((0u64..4, 0u8..5, 0u64..3_000), 1..80),
        ) {
            let mut lineup = Lineup::new(Rules { block_duplicate, standby_max, ..RULES }, A);
            let (mut ms, mut delivered_ms) = (0, 0);
            for (who, what, later) in chances {
                ms += later;
                let conn = ConnId(1 + 2 * who);
                let is_in = lineup.all().any(|other| other == conn);
                let over = match what {
                    0 | 1 if !is_in => {
                        let admission = lineup.admit(conn, what == 0);
                        let takes_part = lineup.all().any(|other| other == conn);
                        let let_in = matches!(admission, Admission::OnAir | Admission::Standby);
                        prop_assert_eq!(takes_part, let_in);
                        continue;
                    }
                    2 if lineup.on_air().is_some() => {
                        lineup.delivers();
                        delivered_ms = ms;
                        continue;
                    }
                    3 | 4 if is_in => {
                        let until = lineup.kept_until;
                        match lineup.leave(at(ms), conn, what == 4, |_| ms % 2 == 0) {
                            Succession::Vacant(kept) => {
                                prop_assert!(kept > at(ms) && kept <= at(ms) + RULES.window);
                                prop_assert!(until.is_none_or(|until| until == kept), "since {delivered_ms}");
                                false
                            }
                            Succession::Over => true,
                            Succession::PassesTo(_) | Succession::Unchanged => false,
                        }
                    }
                    _ => lineup.over_at().is_some_and(|over| over <= at(ms)),
                };
                if over {
                    prop_assert_eq!(lineup.all().count(), 0);
                    lineup = Lineup::new(Rules { block_duplicate, standby_max, ..RULES }, conn);
                }
                prop_assert!(lineup.standing_by().len() <= standby_max);
                prop_assert!(lineup.on_air().is_some() || lineup.standing_by().len() == 0);
                let mut all: Vec<ConnId> = lineup.all().collect();
                all.sort();
                all.dedup();
                prop_assert_eq!(all.len(), lineup.all().count());
            }
        }
    }
}
