//! What is going on in the demo, as the page shows it: a fold over everything that was noticed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use headwater_core::event::{Event, Joined};
use serde_json::{Value, json};

use super::cluster::{Noticed, Origin, Ports, What};

/// How long a killed origin stays away.
pub(super) const AWAY: Duration = Duration::from_secs(3);

/// The state of the demo.
#[derive(Debug)]
pub(super) struct Status {
    ports: Ports,
    start: Instant,
    origins: [OriginStatus; 2],
    active: Option<Origin>,
    failover: Option<Failover>,
    failovers: u32,
    tracks: BTreeMap<u32, Parts>,
    log: VecDeque<Entry>,
}

/// The last failover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failover {
    /// The origin that was killed.
    pub(super) killed: Origin,
    /// When.
    pub(super) at: Instant,
    /// The first media of the other origin.
    pub(super) playing: Option<Playing>,
    /// From the kill to the first part that was ready after that media.
    pub(super) part: Option<Duration>,
}

/// The first media after a failover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Playing {
    /// From the kill until it was there.
    pub(super) after: Duration,
    /// How it was joined.
    pub(super) joined: Joined,
}

/// Why no origin can be killed at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotNow {
    #[error("The edge plays nothing at the moment.")]
    NothingPlays,
    #[error("Origin {} is not back yet.", .0.name())]
    OtherIsAway(Origin),
}

#[derive(Clone, Copy, Debug, Default)]
struct OriginStatus {
    up: bool,
    fed: bool,
    /// When it will be started again.
    back_at: Option<Instant>,
}

/// The parts of one track.
#[derive(Clone, Copy, Debug)]
struct Parts {
    count: u64,
    last: Instant,
    longest_gap: Duration,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    tone: Tone,
    text: String,
}

#[derive(Clone, Copy, Debug)]
enum Tone {
    Bad,
    Good,
    Plain,
}

/// Lines of the log that are kept.
const LOG_MAX: usize = 20;

impl Status {
    pub(super) fn new(ports: Ports) -> Status {
        Status {
            ports,
            start: Instant::now(),
            origins: Default::default(),
            active: None,
            failover: None,
            failovers: 0,
            tracks: BTreeMap::new(),
            log: VecDeque::new(),
        }
    }

    /// The origin that the edge pulls from.
    pub(super) fn active(&self) -> Option<Origin> {
        self.active
    }

    pub(super) fn failover(&self) -> Option<Failover> {
        self.failover
    }

    /// Whether the encoder's stream is on its way to both origins.
    pub(super) fn is_fed(&self) -> bool {
        self.origins.iter().all(|origin| origin.fed)
    }

    /// The origin that a kill would hit: the active one, if the other can take over.
    pub(super) fn may_kill(&self) -> Result<Origin, NotNow> {
        let active = self.active.ok_or(NotNow::NothingPlays)?;
        let other = active.other();
        if self.origins[other as usize].fed { Ok(active) } else { Err(NotNow::OtherIsAway(other)) }
    }

    /// Takes in what happened, in the order in which it happened.
    pub(super) fn take(&mut self, noticed: Noticed) {
        let Noticed { at, what } = noticed;
        match what {
            What::Edge(event) => self.edge(at, event),
            What::Fed(origin) => {
                if self.origins[origin as usize].up {
                    self.origins[origin as usize].fed = true;
                    self.log(at, Tone::Plain, format!("The encoder publishes to origin {}.", origin.name()));
                }
            }
            What::Killed(origin) => self.killed(at, origin),
            What::Origin(origin, event) => {
                // A dead origin's last words came too late.
                if self.origins[origin as usize].up {
                    self.origin(at, origin, event);
                }
            }
            What::Started(origin) => {
                self.origins[origin as usize] = OriginStatus { up: true, ..OriginStatus::default() };
                self.log(at, Tone::Plain, format!("Origin {} is up.", origin.name()));
            }
            What::Unfed(origin, why) => {
                let status = &mut self.origins[origin as usize];
                status.fed = false;
                if status.up {
                    self.log(at, Tone::Bad, format!("The encoder lost origin {}: {why}.", origin.name()));
                }
            }
        }
    }

    /// What the page asks for four times a second.
    pub(super) fn to_json(&self, now: Instant) -> Value {
        let origin = |origin: Origin| {
            let OriginStatus { up, fed, back_at } = self.origins[origin as usize];
            let back_in_ms = back_at.map(|at| millis(at.saturating_duration_since(now)));
            json!({ "up": up, "fed": fed, "back_in_ms": back_in_ms })
        };
        let failover = self.failover.map(|failover| {
            json!({
                "killed": failover.killed.name(),
                "media_ms": failover.playing.map(|playing| millis(playing.after)),
                "part_ms": failover.part.map(millis),
                "joined": failover.playing.map(|playing| joined_name(playing.joined)),
            })
        });
        let log = self.log.iter().rev().map(|Entry { at, tone, text }| {
            let tone = match tone {
                Tone::Bad => "bad",
                Tone::Good => "good",
                Tone::Plain => "plain",
            };
            json!({ "at_ms": millis(at.saturating_duration_since(self.start)), "tone": tone, "text": text })
        });
        let video = self.video();
        json!({
            "uptime_ms": millis(now.saturating_duration_since(self.start)),
            "llhls_port": self.ports.llhls,
            "active": self.active.map(Origin::name),
            "origins": { "A": origin(Origin::A), "B": origin(Origin::B) },
            "refusal": self.may_kill().err().map(|not_now| not_now.to_string()),
            "failover": failover,
            "failovers": self.failovers,
            "parts": video.map_or(0, |parts| parts.count),
            "longest_gap_ms": video.map(|parts| millis(parts.longest_gap)),
            "log": log.collect::<Vec<_>>(),
        })
    }

    fn killed(&mut self, at: Instant, origin: Origin) {
        self.origins[origin as usize] = OriginStatus { up: false, fed: false, back_at: Some(at + AWAY) };
        self.log(at, Tone::Bad, format!("Origin {} is killed.", origin.name()));
        if self.active == Some(origin) {
            self.active = None;
            self.failovers += 1;
            self.failover = Some(Failover { killed: origin, at, playing: None, part: None });
        }
    }

    fn origin(&mut self, at: Instant, origin: Origin, event: Event) {
        let name = origin.name();
        match event {
            Event::PeerMisbehaved { what, .. } => self.log(at, Tone::Bad, format!("Origin {name}: {what}")),
            Event::PublishRefused { why, .. } => {
                self.log(at, Tone::Bad, format!("Origin {name} refused the encoder: {why}"));
            }
            Event::StreamWarning { what, .. } => self.log(at, Tone::Plain, format!("Origin {name}: {what}")),
            _ => {}
        }
    }

    fn edge(&mut self, at: Instant, event: Event) {
        match event {
            Event::PartReady { track, .. } => self.part(at, track),
            Event::PeerMisbehaved { what, .. } => self.log(at, Tone::Bad, format!("Edge: {what}")),
            Event::PullDialled { url, .. } => {
                self.log(at, Tone::Plain, format!("The edge asks {}.", self.named(&url)))
            }
            Event::PullEnded { why, .. } => {
                self.active = None;
                self.log(at, Tone::Bad, format!("The edge gave the stream up: {why}"));
            }
            Event::PullLost { url, why, .. } => {
                if self.active.is_some() && self.active == self.ports.origin_of(&url) {
                    self.active = None;
                }
                self.log(at, Tone::Bad, format!("The edge lost {}: {why}", self.named(&url)));
            }
            Event::PullPlaying { url, outage, joined, .. } => self.playing(at, &url, outage, joined),
            Event::PullSuspected { url, silent_for, .. } => {
                let (origin, ms) = (self.named(&url), silent_for.as_millis());
                self.log(at, Tone::Plain, format!("The edge has not heard of {origin} for {ms} ms."));
            }
            Event::StreamWarning { what, .. } => self.log(at, Tone::Plain, format!("Edge: {what}")),
            _ => {}
        }
    }

    fn playing(&mut self, at: Instant, url: &str, outage: Duration, joined: Joined) {
        self.active = self.ports.origin_of(url);
        let how = match joined {
            Joined::First => "the first media is here".to_owned(),
            Joined::Exact => {
                format!("joined at the very next picture, {} ms without media", outage.as_millis())
            }
            Joined::KeyFrame => format!("joined at a key frame, {} ms without media", outage.as_millis()),
        };
        self.log(at, Tone::Good, format!("The edge plays {}: {how}.", self.named(url)));
        if let Some(failover) = &mut self.failover
            && failover.playing.is_none()
            && self.active == Some(failover.killed.other())
        {
            let after = at.saturating_duration_since(failover.at);
            failover.playing = Some(Playing { after, joined });
        }
    }

    fn part(&mut self, at: Instant, track: u32) {
        let parts =
            self.tracks.entry(track).or_insert(Parts { count: 0, last: at, longest_gap: Duration::ZERO });
        let gap = at.saturating_duration_since(parts.last);
        *parts = Parts { count: parts.count + 1, last: at, longest_gap: parts.longest_gap.max(gap) };
        let is_video = self.tracks.keys().next() == Some(&track);
        if let Some(failover) = &mut self.failover
            && failover.playing.is_some()
            && failover.part.is_none()
            && is_video
        {
            failover.part = Some(at.saturating_duration_since(failover.at));
        }
    }

    /// The parts of the video track: RTMP's tracks are numbered with video first.
    fn video(&self) -> Option<&Parts> {
        self.tracks.values().next()
    }

    fn named(&self, url: &str) -> String {
        self.ports.origin_of(url).map_or_else(|| url.to_owned(), |origin| format!("origin {}", origin.name()))
    }

    fn log(&mut self, at: Instant, tone: Tone, text: String) {
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(Entry { at, tone, text });
    }
}

/// How media was joined, in the words of the report.
pub(super) fn joined_name(joined: Joined) -> &'static str {
    match joined {
        Joined::Exact => "exact",
        Joined::First => "first",
        Joined::KeyFrame => "key_frame",
    }
}

/// Whole milliseconds, for JSON.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use headwater_core::event::StreamKey;

    use super::*;

    const PORTS: Ports = Ports { rtmp: [1, 2], ovt: [9000, 9001], llhls: 3 };

    fn key() -> StreamKey {
        StreamKey { vhost: "default".to_owned(), app: "live".to_owned(), stream: "clip".to_owned() }
    }

    fn plays(origin: Origin, joined: Joined) -> What {
        let url = format!("ovt://127.0.0.1:{}/live/clip", PORTS.ovt[origin as usize]);
        What::Edge(Event::PullPlaying { key: key(), url, outage: Duration::from_millis(60), joined })
    }

    fn part(track: u32) -> What {
        What::Edge(Event::PartReady { key: key(), track, msn: 0, part: 0 })
    }

    fn status(story: Vec<(u64, What)>) -> (Status, Instant) {
        let mut status = Status::new(PORTS);
        let start = status.start;
        for (ms, what) in story {
            status.take(Noticed { at: start + Duration::from_millis(ms), what });
        }
        (status, start)
    }

    #[test]
    fn a_failover_is_timed_from_the_kill() {
        use Origin::{A, B};
        let (status, start) = status(vec![
            (0, What::Started(A)),
            (0, What::Started(B)),
            (10, What::Fed(A)),
            (10, What::Fed(B)),
            (20, plays(A, Joined::First)),
            (500, part(0)),
            (510, part(1)),
            (1_000, part(0)),
            (1_100, What::Killed(A)),
            (1_101, What::Unfed(A, "it closed the connection".to_owned())),
            (1_180, plays(B, Joined::Exact)),
            (1_190, part(1)),
            (1_530, part(0)),
            (2_000, part(0)),
        ]);
        let json = status.to_json(start + Duration::from_millis(2_100));
        assert_eq!(json["active"], "B");
        assert_eq!(
            json["failover"],
            json!({ "killed": "A", "media_ms": 80, "part_ms": 430, "joined": "exact" })
        );
        assert_eq!((&json["parts"], &json["longest_gap_ms"]), (&json!(4), &json!(530)));
        assert_eq!(json["origins"]["A"], json!({ "up": false, "fed": false, "back_in_ms": 2_000 }));
        assert_eq!(json["refusal"], "Origin A is not back yet.");
        assert!(json["log"][0]["text"].as_str().unwrap().contains("origin B"), "the newest line is first");
    }

    #[test]
    fn only_an_origin_that_can_be_replaced_is_killed() {
        use Origin::{A, B};
        assert_eq!(status(vec![]).0.may_kill(), Err(NotNow::NothingPlays));
        let up = || vec![(0, What::Started(A)), (0, What::Started(B)), (1, plays(B, Joined::First))];
        assert_eq!(status(up()).0.may_kill(), Err(NotNow::OtherIsAway(A)));
        let mut story = up();
        story.push((2, What::Fed(A)));
        assert_eq!(status(story).0.may_kill(), Ok(B));
    }

    #[test]
    fn the_last_words_of_a_dead_origin_are_not_heard() {
        let refused = || {
            let why = "no".to_owned();
            Event::PublishRefused { conn: headwater_core::io::ConnId(1), why }
        };
        let story = vec![
            (0, What::Started(Origin::A)),
            (1, What::Killed(Origin::A)),
            (2, What::Fed(Origin::A)),
            (2, What::Origin(Origin::A, refused())),
        ];
        let (status, start) = status(story);
        let json = status.to_json(start);
        assert_eq!(json["log"].as_array().map(Vec::len), Some(2));
        assert_eq!(json["origins"]["A"]["fed"], false);
    }
}
