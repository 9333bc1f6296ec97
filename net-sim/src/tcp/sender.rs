//! What a kernel knows of what it has sent: what has arrived, how much more may leave, and what has to be sent again when.
//!
//! It is Linux's sender in its outlines: slow start and halving (RFC 5681), losses found by what was sent later and has
//! arrived (RACK) and a probe for the last of a burst (TLP, both RFC 8985), and a timeout that doubles (RFC 6298). It
//! deals in segments as they were written, each of one or more packets, and in wires on which nothing is overtaken.

use core::time::Duration;
use std::collections::BTreeMap;

use headwater_core::time::Time;

use super::Segment;
use super::rtt::Rtt;

/// The sender of one direction of a connection.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) rtt: Rtt,
    /// The longest payload of a packet.
    mss: usize,
    /// What has left and is not known to have arrived.
    flight: BTreeMap<u64, Sent>,
    /// Bytes of it that are not taken for lost.
    flying: usize,
    /// How many in `flight` are taken for lost and wait to be sent again.
    lost: usize,
    /// How many in `flight` are neither there nor on their way.
    stranded: usize,
    /// Bytes that may be flying, and from where on that grows slowly.
    window: usize,
    slow_from: usize,
    /// The most that was flying, and the number that has to be reached before that is forgotten.
    peak: (usize, u64),
    /// Something was lost, and the window was made smaller for all that left before this number.
    recovering_to: Option<u64>,
    /// The newest of what has arrived: when it was sent, and its number.
    newest: (Time, u64),
    /// How many have arrived while an earlier one has not.
    overtaking: usize,
    /// When what was overtaken is taken for lost.
    lost_at: Option<Time>,
    last_sent: Time,
    /// What the retransmission timer counts from, and how often it went off since anything new was acknowledged.
    timer_from: Time,
    timeouts: u32,
    has_probed: bool,
}

/// A segment that has left.
#[derive(Debug)]
struct Sent {
    bytes: usize,
    first_sent: Time,
    last_sent: Time,
    was_repeated: bool,
    is_lost: bool,
    /// It, and how many of its packets did not arrive; none while all of it is there or on its way.
    stranded: Option<Stranded>,
}

/// A segment that did not arrive as a whole, and how many of its packets did not.
#[derive(Debug)]
pub(super) struct Stranded {
    pub(super) segment: Segment,
    pub(super) packets: u32,
}

/// What the timer is for when it goes off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The last segment is to be sent again.
    Probe(u64),
    /// What is lost is to be sent again.
    Recover,
    /// Everything has arrived, and whether there is room for more is to be asked.
    AskForRoom,
    /// Nothing was acknowledged for so long that the connection is dead.
    GiveUp,
}

impl Sender {
    pub(super) fn new(mss: usize) -> Sender {
        Sender {
            rtt: Rtt::default(),
            mss,
            flight: BTreeMap::new(),
            flying: 0,
            lost: 0,
            stranded: 0,
            window: INITIAL_WINDOW * mss,
            slow_from: usize::MAX,
            peak: (0, 0),
            recovering_to: None,
            newest: (Time::ZERO, 0),
            overtaking: 0,
            lost_at: None,
            last_sent: Time::ZERO,
            timer_from: Time::ZERO,
            timeouts: 0,
            has_probed: false,
        }
    }

    /// What is written is cut at this length.
    pub(super) fn segment_max(&self) -> usize {
        INITIAL_WINDOW * self.mss
    }

    /// How many packets `bytes` take.
    pub(super) fn packets(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(self.mss).max(1)).unwrap_or(u32::MAX)
    }

    /// How many of `waiting` bytes may leave. What is lost goes first, after a timeout one packet is all that may be
    /// flying, and one that is not full waits while others are.
    pub(super) fn room(&self, waiting: usize) -> usize {
        let room = self.window.saturating_sub(self.flying);
        let is_worth_it = self.flying == 0 || room >= waiting.min(self.mss);
        if self.lost == 0 && self.timeouts == 0 && is_worth_it { room } else { 0 }
    }

    /// Segment `number` leaves for the first time.
    pub(super) fn send(&mut self, now: Time, number: u64, bytes: usize) {
        if self.flight.is_empty() {
            self.timer_from = now;
        }
        let (first_sent, last_sent) = (now, now);
        let sent = Sent { bytes, first_sent, last_sent, was_repeated: false, is_lost: false, stranded: None };
        self.flight.insert(number, sent);
        self.flying += bytes;
        self.last_sent = now;
        if self.flying >= self.peak.0 {
            self.peak = (self.flying, number);
        }
    }

    /// Segment `number` does not arrive as a whole.
    pub(super) fn strand(&mut self, number: u64, stranded: Stranded) {
        if let Some(sent) = self.flight.get_mut(&number) {
            self.stranded += usize::from(sent.stranded.is_none());
            sent.stranded = Some(stranded);
        }
    }

    /// What is neither there nor on its way, to be sent again whatever the window says.
    pub(super) fn stranded(&self) -> Vec<u64> {
        let is_stranded = |(number, sent): (&u64, &Sent)| sent.stranded.is_some().then_some(*number);
        self.flight.iter().filter_map(is_stranded).collect()
    }

    /// Whether anything is neither there nor on its way.
    pub(super) fn has_stranded(&self) -> bool {
        self.stranded > 0
    }

    /// Whether all that has left is known to have arrived.
    pub(super) fn is_idle(&self) -> bool {
        self.flight.is_empty()
    }

    /// Whether it matters when the next acknowledgement comes.
    pub(super) fn is_recovering(&self) -> bool {
        self.stranded > 0 || self.recovering_to.is_some()
    }

    /// Forgets what has left.
    pub(super) fn forget(&mut self) {
        self.flight.clear();
        (self.flying, self.lost, self.stranded, self.recovering_to) = (0, 0, 0, None);
    }

    /// An acknowledgement has come at `at`: what left before `next` has arrived, and so has `number`.
    pub(super) fn acked(&mut self, at: Time, next: u64, number: Option<u64>) {
        let head = self.head();
        let mut bytes = 0;
        while let Some(before) = self.head().filter(|head| *head < next) {
            bytes += self.arrived(at, before, number);
        }
        if let Some(number) = number.filter(|number| self.flight.contains_key(number)) {
            bytes += self.arrived(at, number, Some(number));
            self.overtaking += 1;
        }
        if self.head() != head {
            (self.timer_from, self.timeouts, self.has_probed, self.overtaking) = (at, 0, false, 0);
        }
        self.grow(bytes);
        if self.recovering_to.is_some_and(|to| self.head().is_none_or(|head| head >= to)) {
            self.recovering_to = None;
        }
        if self.head().is_none_or(|head| head > self.peak.1) {
            self.peak = (self.flying, self.peak.1);
        }
    }

    /// What has arrived is out of flight. Only what was sent once tells how long a round trip takes.
    fn arrived(&mut self, at: Time, number: u64, acknowledged: Option<u64>) -> usize {
        let Some(sent) = self.flight.remove(&number) else { return 0 };
        self.newest = self.newest.max((sent.last_sent, number));
        self.lost -= usize::from(sent.is_lost);
        self.stranded -= usize::from(sent.stranded.is_some());
        self.flying -= if sent.is_lost { 0 } else { sent.bytes };
        if acknowledged == Some(number) && !sent.was_repeated {
            self.rtt.sample(at.since(sent.last_sent));
        }
        sent.bytes
    }

    /// `bytes` have arrived. A window that is not used does not grow.
    fn grow(&mut self, bytes: usize) {
        if self.window < self.slow_from {
            if self.peak.0 * 2 >= self.window {
                self.window += bytes;
            }
        } else if self.recovering_to.is_none() && self.peak.0 + self.mss > self.window {
            self.window += self.mss * bytes / self.window;
        }
    }

    /// Takes for lost what later ones have overtaken, if it is time. `next` is the number that leaves next.
    pub(super) fn find_losses(&mut self, now: Time, next: u64) {
        self.lost_at = None;
        if self.overtaking == 0 && self.recovering_to.is_none() && !self.has_probed {
            return;
        }
        let patience = self.rtt.patience(self.recovering_to.is_some() || self.overtaking >= CERTAIN_AFTER);
        let mut found = 0;
        for (number, sent) in &mut self.flight {
            if sent.is_lost || (sent.last_sent, *number) >= self.newest {
                continue;
            }
            let at = sent.last_sent + patience;
            if at <= now {
                sent.is_lost = true;
                self.flying -= sent.bytes;
                found += 1;
            } else {
                self.lost_at = Some(self.lost_at.map_or(at, |soonest| soonest.min(at)));
            }
        }
        self.lost += found;
        if found > 0 {
            self.slow_down(next);
        }
    }

    /// Something that left before `next` was lost: that halves the window, once for all that left before it was known.
    fn slow_down(&mut self, next: u64) {
        if self.recovering_to.is_none() {
            self.slow_from = self.halved();
            (self.window, self.recovering_to) = (self.slow_from, Some(next));
        }
    }

    /// The next segment that is lost and that the window lets go.
    pub(super) fn lost(&self) -> Option<u64> {
        if self.lost == 0 || self.flying >= self.window {
            return None;
        }
        self.flight.iter().find(|(_, sent)| sent.is_lost).map(|(number, _)| *number)
    }

    /// Segment `number` leaves again; what of it did not arrive, if anything.
    pub(super) fn send_again(&mut self, now: Time, number: u64) -> Option<Stranded> {
        if self.head() == Some(number) {
            self.timer_from = now;
        }
        let sent = self.flight.get_mut(&number)?;
        if sent.is_lost {
            (sent.is_lost, self.lost) = (false, self.lost - 1);
            self.flying += sent.bytes;
        }
        (sent.last_sent, sent.was_repeated) = (now, true);
        let stranded = sent.stranded.take();
        if stranded.is_some() {
            self.stranded -= 1;
            // A probe that was needed tells of a loss as well.
            self.slow_down(number + 1);
        }
        stranded
    }

    /// When something has to be done if no acknowledgement comes.
    pub(super) fn due(&self) -> Time {
        let timeout = self.timer_from + self.rtt.timeout_after(self.timeouts);
        let timer = match self.flight.first_key_value() {
            Some((_, head)) if self.may_probe() => {
                let is_single = self.flight.len() == 1 && head.bytes <= self.mss;
                timeout.min(self.last_sent + self.rtt.probe_timeout(is_single))
            }
            _ => timeout,
        };
        self.lost_at.map_or(timer, |at| timer.min(at))
    }

    /// What to do at [`Sender::due`]. `next` is the number that leaves next.
    pub(super) fn alarm(&mut self, now: Time, next: u64, give_up: Duration) -> Alarm {
        if self.lost_at.is_some_and(|at| at <= now) {
            self.find_losses(now, next);
            return Alarm::Recover;
        }
        if self.flight.is_empty() {
            (self.timer_from, self.timeouts) = (now, self.timeouts + 1);
            return Alarm::AskForRoom;
        }
        if self.flight.values().next().is_some_and(|head| now.since(head.first_sent) >= give_up) {
            return Alarm::GiveUp;
        }
        if let Some((number, _)) = self.flight.last_key_value().filter(|_| self.may_probe()) {
            (self.has_probed, self.timer_from) = (true, now);
            return Alarm::Probe(*number);
        }
        if self.timeouts == 0 {
            self.slow_from = self.halved();
        }
        self.timeouts += 1;
        self.timer_from = now;
        self.flight.values_mut().for_each(|sent| sent.is_lost = true);
        (self.flying, self.lost) = (0, self.flight.len());
        (self.window, self.recovering_to, self.lost_at) = (self.mss, Some(next), None);
        Alarm::Recover
    }

    /// Nothing is known to be lost, and nothing was asked for yet.
    fn may_probe(&self) -> bool {
        self.recovering_to.is_none() && self.overtaking == 0 && self.timeouts == 0 && !self.has_probed
    }

    fn halved(&self) -> usize {
        (self.window / 2).max(2 * self.mss)
    }

    fn head(&self) -> Option<u64> {
        self.flight.keys().next().copied()
    }
}

/// Packets that may leave before the first acknowledgement (RFC 6928).
const INITIAL_WINDOW: usize = 10;
/// When so many have arrived before an earlier one, that one is lost (RFC 8985, 6.2: DupThresh).
const CERTAIN_AFTER: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const MSS: usize = 1_000;
    const NEVER: Duration = Duration::from_secs(924);

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1_000)
    }

    /// A sender that knows a round trip of 20 ms and has sent full packets at these times.
    fn sender(sent_ms: &[u64]) -> Sender {
        let mut sender = Sender::new(MSS);
        sender.rtt.sample(Duration::from_millis(20));
        for (number, ms) in (0..).zip(sent_ms) {
            sender.send(at(*ms), number, MSS);
        }
        sender
    }

    fn strand(sender: &mut Sender, number: u64) {
        sender.strand(number, Stranded { segment: Segment::Data(Bytes::new()), packets: 1 });
    }

    #[test]
    fn the_window_begins_with_ten_packets_and_doubles_while_it_is_used() {
        let mut sender = sender(&[0; 10]);
        assert_eq!(sender.room(MSS), 0);
        sender.acked(at(20), 10, Some(9));
        assert_eq!(sender.room(MSS), 20 * MSS);
        // Of twenty packets a single one is used.
        sender.send(at(30), 10, MSS);
        sender.acked(at(50), 11, Some(10));
        assert_eq!(sender.room(MSS), 20 * MSS);
    }

    #[test]
    fn a_loss_halves_the_window_once() {
        let mut sender = sender(&[0; 10]);
        strand(&mut sender, 0);
        strand(&mut sender, 1);
        sender.acked(at(20), 0, Some(9));
        sender.find_losses(at(25), 10);
        assert_eq!((sender.lost, sender.window), (9, 11 * MSS / 2));
        assert!(sender.send_again(at(25), 0).is_some() && sender.send_again(at(25), 1).is_some());
        assert_eq!(sender.window, 11 * MSS / 2);
        sender.acked(at(45), 10, Some(1));
        assert_eq!((sender.window, sender.is_recovering(), sender.is_idle()), (11 * MSS / 2, false, true));
    }

    #[test]
    fn what_three_have_overtaken_is_lost_at_once() {
        for (arrived, is_lost) in [(2, false), (3, true)] {
            let mut sender = sender(&[0, 4, 4, 4]);
            strand(&mut sender, 0);
            (1..=arrived).for_each(|number| sender.acked(at(24), 0, Some(number)));
            sender.find_losses(at(24), 4);
            // Before that, after a quarter of a round trip more.
            assert_eq!(
                (sender.lost(), sender.due()),
                (is_lost.then_some(0), at(if is_lost { 220 } else { 25 }))
            );
        }
    }

    #[test]
    fn after_a_timeout_one_packet_leaves_and_the_wait_doubles() {
        let mut sender = sender(&[0]);
        strand(&mut sender, 0);
        assert_eq!(sender.due(), at(220));
        assert_eq!(sender.alarm(at(220), 1, NEVER), Alarm::Probe(0));
        let mut now = 220;
        for wait in [220, 440, 880] {
            now += wait;
            assert_eq!(sender.due(), at(now));
            assert_eq!(sender.alarm(at(now), 1, NEVER), Alarm::Recover);
            assert_eq!((sender.lost(), sender.window, sender.room(MSS)), (Some(0), MSS, 0));
            sender.send_again(at(now), 0);
            strand(&mut sender, 0);
        }
        sender.acked(at(now + 20), 1, Some(0));
        assert!(sender.is_idle() && sender.room(MSS) > 0);
    }

    #[test]
    fn a_dead_connection_is_given_up() {
        let mut sender = sender(&[0]);
        strand(&mut sender, 0);
        assert_eq!(sender.alarm(Time::ZERO + NEVER, 1, NEVER), Alarm::GiveUp);
    }
}
