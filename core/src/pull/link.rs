//! One connection to one origin: connect, DESCRIBE, PLAY, media, each with its deadline.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::attempts::Answer;
use super::rhythm::Rhythm;
use super::{BEAT_MS, HISTORY_MS};
use crate::event::Joined;
use crate::io::{CloseReason, ConnId};
use crate::limits::{
    CONNECT_TIMEOUT, DESCRIBE_TIMEOUT, FIRST_MEDIA_TIMEOUT, PLAY_TIMEOUT, SILENCE_MIN_FACTOR_WITHOUT_BEATS,
};
use crate::media::{Kind, Packet, StreamInfo, TrackId};
use crate::time::{Deadline, Now, Time, soonest};
use crate::timeline::{Feed, Passed, Timeline};
use crate::url::Url;
use crate::wire::ovt;

/// One origin's connection.
#[derive(Debug)]
pub(super) struct Link {
    /// Its number; never used twice.
    pub(super) serial: u64,
    /// Which of the URLs.
    pub(super) index: usize,
    /// The connection, while there is one.
    pub(super) conn: Option<ConnId>,
    /// What the origin said the stream is.
    pub(super) info: Option<StreamInfo>,
    /// Its media's way onto the timeline.
    pub(super) feed: Feed,
    /// How long its silences are.
    pub(super) rhythm: Rhythm,
    /// The shortest silence that is suspect if it gives signs of life.
    suspicion: Duration,
    /// It is suspect; so many others may be tried in its place.
    pub(super) suspect: Option<usize>,
    /// It was dialled because another one is suspect.
    pub(super) is_spare: bool,
    /// How its media was joined to what was there.
    pub(super) joined: Option<Joined>,
    client: ovt::Client,
    step: Step,
    /// When this step began, or when media last came.
    since: Time,
    /// When its media last had a place on the timeline, or when it began to play.
    placed: Time,
    /// When it began to play.
    playing_since: Time,
    /// The stream may take its time to start: the origin may have to pull it itself.
    patient: bool,
    /// Another link plays, and this one waits until that one fails.
    stands_by: bool,
    received_bytes: u64,
    out: VecDeque<LinkEvent>,
}

/// How far a link has come, and so what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connecting,
    Describing,
    Starting,
    Playing,
    Lost,
}

/// Something that is waited for.
struct Wait {
    what: &'static str,
    since: Time,
    within: Duration,
}

impl Wait {
    fn at(&self) -> Time {
        self.since + self.within
    }
}

/// What a link has to say.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Described(StreamInfo),
    Lost(Loss),
    Packet(Packet),
    /// The feed's deadline has come.
    Settle,
    Write(ConnId, Bytes),
}

/// Why a link is lost.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) answer: Answer,
    pub(super) why: String,
}

impl Link {
    pub(super) fn new(
        now: Now,
        serial: u64,
        index: usize,
        url: &Url,
        first_id: u32,
        via: &[u64],
        patient: bool,
    ) -> Link {
        Link {
            serial,
            index,
            conn: None,
            info: None,
            feed: Feed::new(None),
            rhythm: Rhythm::new(now.mono, Duration::MAX),
            suspicion: Duration::MAX,
            suspect: None,
            is_spare: false,
            joined: None,
            client: ovt::Client::new(url.full(), first_id, Some(HISTORY_MS))
                .with_via(via.to_vec())
                .with_beats(BEAT_MS),
            step: Step::Connecting,
            since: now.mono,
            placed: now.mono,
            playing_since: now.mono,
            patient,
            stands_by: false,
            received_bytes: 0,
            out: VecDeque::new(),
        }
    }

    /// The same, while the stream plays from another origin.
    pub(super) fn beside_another(self) -> Link {
        Link { client: self.client.as_spare(), ..self }
    }

    /// The same, suspect after a silence of `suspicion`.
    pub(super) fn suspected_after(self, suspicion: Duration) -> Link {
        Link { suspicion, ..self }
    }

    /// The same, as a standby: nobody waits for it.
    pub(super) fn standing_by(self) -> Link {
        Link { stands_by: true, patient: true, ..self }
    }

    /// A link that played stands by from now on.
    pub(super) fn stand_by(&mut self, timeline: &Timeline) {
        self.stands_by = true;
        self.feed.stand_by(timeline);
    }

    /// A link that stood by plays from now on, as soon as its feed has its place.
    pub(super) fn take_over(&mut self, timeline: &mut Timeline, now: Now) -> Passed {
        (self.stands_by, self.patient) = (false, false);
        self.placed = now.mono;
        self.feed.take_over(timeline, now)
    }

    /// Whether its media comes.
    pub(super) fn plays(&self) -> bool {
        self.step == Step::Playing
    }

    /// Bytes that came over it.
    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    pub(super) fn next_id(&self) -> u32 {
        self.client.next_id()
    }

    /// Bytes that are not a whole packet, or have no place yet.
    pub(super) fn held_bytes(&self) -> usize {
        self.client.held_bytes() + self.feed.held_bytes()
    }

    /// What it has to say and nobody has polled.
    pub(super) fn unpolled(&self) -> usize {
        self.client.unpolled() + self.out.len()
    }

    /// Whether it leads to the stream for which `mark` stands.
    pub(super) fn leads_to(&self, mark: u64) -> bool {
        self.client.origin_mark() == Some(mark)
    }

    /// How long it has been playing, if it plays.
    pub(super) fn played_for(&self, now: Now) -> Duration {
        now.mono.since(self.playing_since)
    }

    pub(super) fn opened(&mut self, now: Now) {
        self.enter(Step::Describing, now);
        self.client.start(now.wall);
        self.drain(now);
    }

    pub(super) fn received(&mut self, now: Now, bytes: Bytes) {
        if self.step == Step::Lost {
            return;
        }
        self.received_bytes += bytes.len() as u64;
        if let Err(error) = self.client.receive(bytes, now.wall) {
            self.drain(now);
            return self.lose(Answer::Nothing, format!("the origin broke the OVT protocol: {error}"));
        }
        self.drain(now);
    }

    pub(super) fn closed(&mut self, reason: CloseReason) {
        let what = match reason {
            CloseReason::Eof => "the origin closed the connection",
            CloseReason::Refused => "the origin refused the connection: is its OVT port open?",
            CloseReason::Reset => "the connection broke",
            CloseReason::TimedOut => "the origin did not answer",
            CloseReason::Unreachable => "the origin's name does not resolve, or no route leads there",
        };
        self.lose(Answer::Nothing, what.to_owned());
    }

    pub(super) fn handle_timeout(&mut self, now: Now, silence: Option<Duration>) {
        if let Some(wait) = self.wait(silence).filter(|wait| wait.at() <= now.mono) {
            let why = format!("no {} within {} ms", wait.what, wait.within.as_millis());
            return self.lose(Answer::Nothing, why);
        }
        if self.feed.poll_timeout().is_some_and(|deadline| deadline.at <= now.mono) {
            self.out.push_back(LinkEvent::Settle);
        }
    }

    pub(super) fn poll_timeout(&self, silence: Option<Duration>) -> Option<Deadline> {
        let wait = self.wait(silence).map(|wait| Deadline { at: wait.at(), why: wait.what });
        soonest(wait, self.feed.poll_timeout())
    }

    /// It has spoken. If it was suspect, this is how long it had been silent.
    pub(super) fn heard(&mut self, now: Time) -> Option<Duration> {
        let silent_for = self.rhythm.silent_for(now);
        self.rhythm.hear(now);
        self.suspect.take().map(|_| silent_for)
    }

    /// When its silence will be suspect, unless it is given up sooner; `None` if it is known to be, or need not speak.
    pub(super) fn suspect_at(&self, silence: Duration) -> Option<Deadline> {
        let at = self.rhythm.suspect_at();
        let in_time = self.step == Step::Playing && self.suspect.is_none() && at < self.since + silence;
        in_time.then_some(Deadline { at, why: "a sign of life" })
    }

    pub(super) fn poll(&mut self) -> Option<LinkEvent> {
        self.out.pop_front()
    }

    /// The last message to the origin, if it is owed one.
    pub(super) fn farewell(&mut self, now: Now) -> Option<Bytes> {
        self.client.stop(now.wall)
    }

    fn enter(&mut self, step: Step, now: Now) {
        self.step = step;
        self.since = now.mono;
    }

    /// What is waited for, and how long.
    fn wait(&self, silence: Option<Duration>) -> Option<Wait> {
        let wait = |what, within| Some(Wait { what, since: self.since, within });
        match self.step {
            Step::Connecting => wait("connection", CONNECT_TIMEOUT),
            Step::Describing if self.patient => wait("answer to DESCRIBE", DESCRIBE_TIMEOUT),
            Step::Describing => wait("answer to DESCRIBE", PLAY_TIMEOUT),
            Step::Starting => wait("answer to PLAY", PLAY_TIMEOUT),
            Step::Playing => {
                let media = silence.and_then(|silence| wait("media", silence));
                let start = Wait { what: "key frame", since: self.placed, within: FIRST_MEDIA_TIMEOUT };
                let start = (!self.feed.is_live() && !self.stands_by).then_some(start);
                media.into_iter().chain(start).min_by_key(Wait::at)
            }
            Step::Lost => None,
        }
    }

    fn drain(&mut self, now: Now) {
        while let Some(event) = self.client.poll() {
            match event {
                ovt::ClientEvent::Described(description) => self.described(now, description.info),
                ovt::ClientEvent::Media(packet) => {
                    self.since = now.mono;
                    if self.feed.is_live() {
                        self.placed = now.mono;
                    }
                    self.out.push_back(LinkEvent::Packet(packet));
                }
                ovt::ClientEvent::Playing(grant) => {
                    self.feed.expect_burst(grant.history_packets.unwrap_or(0));
                    // An origin that beats is never silent while it lives; without, silence may be that of the encoder.
                    let factor = if grant.beat_ms.is_some() { 1 } else { SILENCE_MIN_FACTOR_WITHOUT_BEATS };
                    self.rhythm = Rhythm::new(now.mono, self.suspicion.saturating_mul(factor));
                    self.enter(Step::Playing, now);
                    (self.placed, self.playing_since) = (now.mono, now.mono);
                }
                ovt::ClientEvent::Refused { code, message } => {
                    let answer = if code == 404 { Answer::Absent } else { Answer::Nothing };
                    self.lose(answer, format!("the origin answered {code}: {message}"));
                }
                ovt::ClientEvent::Retry { .. } => {
                    self.lose(Answer::Soon, "the origin's stream is only starting".to_owned());
                }
                ovt::ClientEvent::Stopped => {
                    self.lose(Answer::Nothing, "the origin stopped the stream".to_owned());
                }
                ovt::ClientEvent::Write(bytes) => {
                    if let Some(conn) = self.conn {
                        self.out.push_back(LinkEvent::Write(conn, bytes));
                    }
                }
            }
        }
    }

    fn described(&mut self, now: Now, info: StreamInfo) {
        self.enter(Step::Starting, now);
        let feed = Feed::new(main_track(&info));
        self.feed = if self.stands_by { feed.standing_by() } else { feed };
        self.out.push_back(LinkEvent::Described(info));
    }

    fn lose(&mut self, answer: Answer, why: String) {
        if self.step != Step::Lost {
            self.step = Step::Lost;
            self.out.push_back(LinkEvent::Lost(Loss { answer, why }));
        }
    }
}

/// The track whose key frames decide where decoding can start.
pub fn main_track(info: &StreamInfo) -> Option<TrackId> {
    info.tracks.iter().find(|track| track.kind == Kind::Video).map(|track| track.id)
}
