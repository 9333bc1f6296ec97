//! What one OVT client gets.

use core::time::Duration;

use bytes::Bytes;

use super::Unit;
use crate::event::StreamKey;
use crate::limits::{
    OVT_BEAT_MIN, RELAY_BEHIND_TIMEOUT, RELAY_QUEUE_HIGH, RELAY_QUEUE_LOW, RELAY_STALL_TIMEOUT,
};
use crate::time::{Deadline, Time, soonest};

/// The media side of one OVT connection.
#[derive(Debug)]
pub struct Session {
    /// What it plays.
    pub key: StreamKey,
    queued: usize,
    high: usize,
    state: State,
    /// Since when it has taken nothing of what is queued.
    stuck_since: Option<Time>,
    /// Since when it has been skipping with a long queue.
    behind_since: Option<Time>,
    /// After how long without anything to send it is sent a sign of life; `None` if it asked for none.
    beat: Option<Duration>,
    /// When something was last sent.
    sent_at: Time,
}

#[derive(Debug)]
enum State {
    Flowing,
    /// Nothing is sent until the queue is short and a start comes.
    Skipping {
        packets: u64,
    },
}

/// What becomes of a unit.
#[derive(Debug)]
pub enum Offer {
    /// Send it. `skipped` packets before it were not sent, if any.
    Send {
        /// The bytes.
        bytes: Bytes,
        /// How many were left out before it.
        skipped: u64,
    },
    /// Leave it out.
    Skip,
}

impl Session {
    /// A client of the stream `key` to which nothing was sent.
    pub fn new(key: StreamKey) -> Session {
        Session {
            key,
            queued: 0,
            high: RELAY_QUEUE_HIGH,
            state: State::Flowing,
            stuck_since: None,
            behind_since: None,
            beat: None,
            sent_at: Time::ZERO,
        }
    }

    /// A client that wants a sign of life after so long without media. It is not sent more than
    /// [`OVT_BEAT_MIN`] allows.
    pub fn with_beats(self, asked: Option<Duration>) -> Session {
        Session { beat: asked.map(|asked| asked.max(OVT_BEAT_MIN)), ..self }
    }

    /// After how long without anything to send it is sent a sign of life.
    pub fn beat_interval(&self) -> Option<Duration> {
        self.beat
    }

    /// Whether it is time for a sign of life, which is then counted with [`Session::count`]. There is none while
    /// something is queued: it would come too late to say anything, and what is queued says as much.
    pub fn is_beat_due(&mut self, now: Time) -> bool {
        if self.beat_at().is_none_or(|at| at > now) {
            return false;
        }
        self.sent_at = now;
        self.queued == 0
    }

    /// Counts bytes that are sent beside the units. False if the queue was too long already: the client asks on and
    /// on and does not read.
    pub fn count(&mut self, now: Time, bytes: usize) -> bool {
        let has_room = self.queued <= self.high;
        self.queue(now, bytes);
        has_room
    }

    /// Counts the burst at the start, which may be long without the client being slow.
    pub fn grant(&mut self, now: Time, bytes: usize) {
        self.queued += bytes;
        self.stuck_since = Some(now);
        self.sent_at = now;
        self.high = self.high.max(RELAY_QUEUE_HIGH + self.queued);
    }

    /// Decides about the stream's next unit.
    pub fn offer(&mut self, now: Time, unit: &Unit) -> Offer {
        let skipped = match &mut self.state {
            State::Skipping { packets } if !unit.start || self.queued > RELAY_QUEUE_LOW => {
                *packets += 1;
                return Offer::Skip;
            }
            State::Skipping { packets } => *packets,
            State::Flowing if self.queued > self.high => {
                self.state = State::Skipping { packets: 1 };
                self.behind_since = Some(now);
                return Offer::Skip;
            }
            State::Flowing => 0,
        };
        self.state = State::Flowing;
        self.queue(now, unit.bytes.len());
        Offer::Send { bytes: unit.bytes.clone(), skipped }
    }

    /// That many bytes have left.
    pub fn sent(&mut self, now: Time, bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes);
        self.high = self.high.min(RELAY_QUEUE_HIGH + self.queued).max(RELAY_QUEUE_HIGH);
        self.stuck_since = (self.queued > 0).then_some(now);
        if self.queued <= RELAY_QUEUE_LOW {
            self.behind_since = None;
        }
    }

    /// Bytes that were sent to it and have not left.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// When there is something to do.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let beat = self.beat_at().map(|at| Deadline { at, why: "the OVT client wants a sign of life" });
        soonest(self.patience(), beat)
    }

    /// When it is given up if it takes nothing, or not enough.
    pub fn patience(&self) -> Option<Deadline> {
        let stuck = self.stuck_since.map(|since| since + RELAY_STALL_TIMEOUT);
        let behind = self.behind_since.map(|since| since + RELAY_BEHIND_TIMEOUT);
        soonest(
            stuck.map(|at| Deadline { at, why: "the OVT client takes nothing: it was dropped" }),
            behind.map(|at| Deadline {
                at,
                why: "the OVT client takes less than the stream has: it was dropped",
            }),
        )
    }

    /// How much of the stream's past a client may ask for.
    pub fn history(asked_ms: Option<u32>) -> Duration {
        asked_ms.map_or(Duration::ZERO, |ms| Duration::from_millis(u64::from(ms)))
    }

    fn beat_at(&self) -> Option<Time> {
        self.beat.map(|beat| self.sent_at + beat)
    }

    fn queue(&mut self, now: Time, bytes: usize) {
        self.sent_at = now;
        if self.queued == 0 {
            self.stuck_since = Some(now);
        }
        self.queued += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Channel;
    use super::*;
    use crate::media::{AudioFormat, Codec, Kind, Packet, Timebase, Timestamp, Track, TrackId, VideoFormat};

    fn units(count: i64, size: usize, gop: i64) -> Vec<Unit> {
        let track = Track {
            id: TrackId(0),
            kind: Kind::Video,
            codec: Codec::H264,
            timebase: Timebase::MILLIS,
            name: String::new(),
            bitrate: 0,
            video: VideoFormat::default(),
            audio: AudioFormat::default(),
            config: None,
        };
        let mut channel = Channel::default();
        let packet = |n: i64| {
            let dts = Timestamp::new(n * 40, Timebase::MILLIS);
            Packet { track: track.id, dts, pts: dts, key: n % gop == 0, data: Bytes::from(vec![0; size]) }
        };
        (0..count).filter_map(|n| channel.push(&track, &packet(n))).collect()
    }

    fn session() -> Session {
        let name = |text: &str| text.to_owned();
        Session::new(StreamKey { vhost: name("v"), app: name("a"), stream: name("s") })
    }

    fn is_stuck(session: &Session, now: Time) -> bool {
        session.patience().is_some_and(|deadline| deadline.at <= now)
    }

    #[test]
    fn a_client_that_asked_for_it_hears_when_there_is_nothing_to_send() {
        let beat = Duration::from_millis(50);
        let mut session = session().with_beats(Some(beat));
        session.grant(Time::ZERO, 100);
        let due = |session: &Session| session.poll_timeout().map(|due| due.at);
        let mut now = Time::ZERO + beat;
        assert_eq!(due(&session), Some(now));
        assert!(!session.is_beat_due(now), "what is queued is news enough");
        session.sent(now, 100);
        for _ in 0..3 {
            now += beat;
            assert_eq!(due(&session), Some(now));
            assert!(session.is_beat_due(now) && !session.is_beat_due(now));
            session.count(now, 18);
            session.sent(now, 18);
        }
        let unit = &units(1, 100, 1)[0];
        now += beat / 2;
        let Offer::Send { bytes, .. } = session.offer(now, unit) else { panic!("the queue is empty") };
        session.sent(now, bytes.len());
        assert!(!session.is_beat_due(now + beat / 2), "media puts it off");
        assert!(session.is_beat_due(now + beat));
    }

    #[test]
    fn signs_of_life_are_for_those_who_asked_and_not_without_bounds() {
        let mut nobody = session().with_beats(None);
        assert_eq!(nobody.poll_timeout(), None);
        assert!(!nobody.is_beat_due(Time::ZERO + Duration::from_secs(3_600)));
        let hasty = session().with_beats(Some(Duration::ZERO));
        assert_eq!(hasty.beat_interval(), Some(OVT_BEAT_MIN));
    }

    #[test]
    fn a_client_that_keeps_up_gets_everything() {
        let mut session = session();
        for unit in units(1_000, 100_000, 25) {
            let Offer::Send { bytes, skipped: 0 } = session.offer(Time::ZERO, &unit) else {
                panic!("a unit was left out");
            };
            session.sent(Time::ZERO, bytes.len());
        }
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_at_the_bound_and_given_up() {
        let mut session = session();
        let mut queued = 0;
        for unit in units(1_000, 100_000, 25) {
            if let Offer::Send { bytes, .. } = session.offer(Time::ZERO, &unit) {
                queued += bytes.len();
            }
        }
        assert!(queued <= RELAY_QUEUE_HIGH + 110_000);
        assert!(!is_stuck(&session, Time::ZERO + RELAY_STALL_TIMEOUT / 2));
        assert!(is_stuck(&session, Time::ZERO + RELAY_STALL_TIMEOUT));
    }

    #[test]
    fn a_client_that_takes_a_little_now_and_then_is_given_up_too() {
        let mut session = session();
        let units = units(500, 100_000, 25);
        let mut now = Time::ZERO;
        for unit in &units {
            session.offer(now, unit);
        }
        while now < Time::ZERO + RELAY_BEHIND_TIMEOUT {
            assert!(!is_stuck(&session, now), "{now:?}");
            now += RELAY_STALL_TIMEOUT / 2;
            session.sent(now, 100);
        }
        assert!(is_stuck(&session, now));
        session.sent(now, 100_000_000);
        assert!(!is_stuck(&session, now), "it has caught up");
    }

    #[test]
    fn a_client_that_asks_on_and_does_not_read_has_no_room() {
        let mut session = session();
        assert!(session.count(Time::ZERO, RELAY_QUEUE_HIGH + 1));
        assert!(!session.count(Time::ZERO, 1));
        assert!(is_stuck(&session, Time::ZERO + RELAY_STALL_TIMEOUT));
    }

    #[test]
    fn a_client_that_recovers_goes_on_at_a_key_frame() {
        let mut session = session();
        let mut queued = 0;
        let mut resumed = None;
        for (n, unit) in units(1_000, 100_000, 25).iter().enumerate() {
            match session.offer(Time::ZERO, unit) {
                Offer::Send { bytes, skipped } => {
                    queued += bytes.len();
                    if skipped > 0 {
                        resumed = Some((n, skipped));
                        break;
                    }
                }
                Offer::Skip => {
                    session.sent(Time::ZERO, queued);
                    queued = 0;
                }
            }
        }
        let (at, skipped) = resumed.expect("the client goes on");
        assert_eq!(at % 25, 0, "at a key frame");
        assert!((1..=25).contains(&skipped));
    }

    #[test]
    fn a_long_burst_at_the_start_is_not_slowness() {
        let mut session = session();
        session.grant(Time::ZERO, 3 * RELAY_QUEUE_HIGH);
        let unit = &units(2, 1_000, 25)[1];
        assert!(matches!(session.offer(Time::ZERO, unit), Offer::Send { .. }));
    }
}
