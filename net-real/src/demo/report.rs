//! What a measured demo found, and whether the stream held.

use std::fmt;
use std::time::{Duration, Instant};

use headwater_core::event::Joined;
use serde_json::{Value, json};

use super::cluster::Origin;
use super::publisher::Epoch;
use super::status::{Failover, joined_name, millis};
use super::watch::{Broken, Seen, Span, Track};

/// The outcome of [`super::measure`].
#[derive(Clone, Debug)]
pub struct Report {
    parts: u64,
    segments: u64,
    troubles: u64,
    numbers_hold: bool,
    longest_gap: Duration,
    missing_media: Duration,
    kill_to_first_part: Option<Duration>,
    kill_to_first_media: Option<Duration>,
    active_before: Option<Origin>,
    active_after: Option<Origin>,
    joined: Option<Joined>,
    fault: Option<String>,
}

impl Report {
    /// Whether the stream held.
    pub fn is_ok(&self) -> bool {
        self.fault.is_none()
    }

    /// One JSON object; times are in milliseconds, `null` is what did not happen.
    pub fn to_json(&self) -> Value {
        json!({
            "parts": self.parts,
            "segments": self.segments,
            "http_troubles": self.troubles,
            "media_sequence_continuous": self.numbers_hold,
            "longest_gap_ms": millis(self.longest_gap),
            "missing_media_ms": millis(self.missing_media),
            "kill_to_first_part_ms": self.kill_to_first_part.map(millis),
            "kill_to_first_media_ms": self.kill_to_first_media.map(millis),
            "active_before": self.active_before.map(Origin::name),
            "active_after": self.active_after.map(Origin::name),
            "joined": self.joined.map(joined_name),
            "exit": self.fault.as_deref().unwrap_or("ok"),
        })
    }
}

impl fmt::Display for Report {
    /// A few lines for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Option<Duration>| {
            time.map_or_else(|| "never".to_owned(), |time| format!("{} ms", millis(time)))
        };
        let name = |origin: Option<Origin>| origin.map_or("none", Origin::name);
        match &self.fault {
            None => writeln!(f, "The stream held.")?,
            Some(fault) => writeln!(f, "The stream broke: {fault}")?,
        }
        let Report { parts, segments, .. } = self;
        writeln!(f, "  received               {parts} parts, {segments} whole segments")?;
        writeln!(
            f,
            "  pulled from            origin {}, then origin {}",
            name(self.active_before),
            name(self.active_after)
        )?;
        writeln!(f, "  kill to first media    {}", ms(self.kill_to_first_media))?;
        writeln!(f, "  kill to first part     {}", ms(self.kill_to_first_part))?;
        writeln!(f, "  longest gap of parts   {}", ms(Some(self.longest_gap)))?;
        write!(f, "  missing from video     {}", ms(Some(self.missing_media)))
    }
}

/// What has been seen so far.
#[derive(Debug)]
pub(super) struct Record {
    epoch: Epoch,
    parts: u64,
    segments: u64,
    troubles: u64,
    last_trouble: Option<String>,
    broken: Option<(Track, Broken)>,
    video: Option<Video>,
    /// When the newest part of the audio track arrived, if there is such a track.
    audio_at: Option<Instant>,
    longest_gap: Duration,
    missing_media: Duration,
    killed: Option<Kill>,
    kill_to_first_part: Option<Duration>,
}

/// The newest part of the video track.
#[derive(Clone, Copy, Debug)]
struct Video {
    at: Instant,
    media: Span,
    /// Milliseconds by which the encoder's clock is ahead of the edge's media time at the least.
    lead_ms: i128,
}

/// The kill, on both clocks.
#[derive(Clone, Copy, Debug)]
struct Kill {
    origin: Origin,
    at: Instant,
    /// The edge's media time of what the encoder sent at that moment, in milliseconds. What is later can only have come
    /// from the other origin.
    media_ms: i128,
}

/// A track without a part for longer than this at the end has ended before us.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The edge's media time is the encoder's (`TimestampMode` is `Original`). What differs by more than a second is a
/// timeline of its own, which is then read off the parts themselves.
const SAME_TIMELINE_MS: i128 = 1_000;

impl Record {
    pub(super) fn new(epoch: Epoch) -> Record {
        Record {
            epoch,
            parts: 0,
            segments: 0,
            troubles: 0,
            last_trouble: None,
            broken: None,
            video: None,
            audio_at: None,
            longest_gap: Duration::ZERO,
            missing_media: Duration::ZERO,
            killed: None,
            kill_to_first_part: None,
        }
    }

    pub(super) fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Broken { track, broken } => self.broken = Some((track, broken)),
            Seen::Part { track, at, media } => {
                self.parts += 1;
                match track {
                    Track::Audio => self.audio_at = Some(at),
                    Track::Video => self.video_part(at, media),
                }
            }
            Seen::Segment { .. } => self.segments += 1,
            Seen::Trouble { what } => {
                // Before the first part, an edge may well say that there is nothing.
                self.troubles += u64::from(self.plays());
                self.last_trouble = Some(what);
            }
        }
    }

    /// Whether a picture has arrived.
    pub(super) fn plays(&self) -> bool {
        self.video.is_some()
    }

    /// Whether there is nothing more to find out.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// This origin was killed at that moment.
    pub(super) fn killed(&mut self, origin: Origin, at: Instant) {
        let lead = self.video.map_or(0, |video| video.lead_ms);
        let lead = if lead.abs() < SAME_TIMELINE_MS { 0 } else { lead };
        let media_ms = whole_ms(self.epoch.media_time(at)) - lead;
        self.killed = Some(Kill { origin, at, media_ms });
    }

    fn video_part(&mut self, at: Instant, media: Span) {
        let mut lead_ms = whole_ms(self.epoch.media_time(at)) - whole_ms(media.end);
        if let Some(before) = self.video {
            self.longest_gap = self.longest_gap.max(at.saturating_duration_since(before.at));
            self.missing_media += media.start.saturating_sub(before.media.end);
            lead_ms = lead_ms.min(before.lead_ms);
        }
        self.video = Some(Video { at, media, lead_ms });
        if let Some(kill) = self.killed
            && self.kill_to_first_part.is_none()
            && whole_ms(media.last) > kill.media_ms
        {
            self.kill_to_first_part = Some(at.saturating_duration_since(kill.at));
        }
    }

    /// The verdict at `end`. `failover` and `active_after` are what the edge itself said.
    pub(super) fn report(
        &self,
        end: Instant,
        failover: Option<Failover>,
        active_after: Option<Origin>,
    ) -> Report {
        let playing = failover.and_then(|failover| failover.playing);
        Report {
            parts: self.parts,
            segments: self.segments,
            troubles: self.troubles,
            numbers_hold: self.plays() && matches!(self.broken, None | Some((_, Broken::Bytes { .. }))),
            longest_gap: self.longest_gap,
            missing_media: self.missing_media,
            kill_to_first_part: self.kill_to_first_part,
            kill_to_first_media: playing.map(|playing| playing.after),
            active_before: self.killed.map(|kill| kill.origin),
            active_after,
            joined: playing.map(|playing| playing.joined),
            fault: self.fault(end),
        }
    }

    fn fault(&self, end: Instant) -> Option<String> {
        if let Some((track, broken)) = &self.broken {
            return Some(format!("{}: {broken}", track.name()));
        }
        let Some(video) = self.video else {
            let hint =
                self.last_trouble.as_ref().map(|trouble| format!("; last: {trouble}")).unwrap_or_default();
            return Some(format!("nothing was played{hint}"));
        };
        let Some(kill) = self.killed else {
            return Some("the edge named no origin that could be killed".to_owned());
        };
        if self.kill_to_first_part.is_none() {
            return Some(format!("no media of origin {} after the kill", kill.origin.other().name()));
        }
        let newest = [(Track::Video, video.at), (Track::Audio, self.audio_at.unwrap_or(video.at))];
        let silences = newest.map(|(track, at)| (track, end.saturating_duration_since(at)));
        let (track, silence) = silences.into_iter().find(|(_, silence)| *silence > SILENCE_MAX)?;
        let hint = self.last_trouble.as_ref().map(|trouble| format!("; last: {trouble}")).unwrap_or_default();
        Some(format!("no {} part in the last {} ms{hint}", track.name(), millis(silence)))
    }
}

fn whole_ms(time: Duration) -> i128 {
    i128::try_from(time.as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A record that is told of half-second parts: when each arrived, and when its media ends, both from the stream's
    /// beginning on.
    struct Story {
        record: Record,
        start: Instant,
        first: Duration,
    }

    impl Story {
        fn new() -> Story {
            let epoch = Epoch::soon();
            let now = Instant::now();
            let first = epoch.media_time(now);
            let later = now + Duration::from_secs(10);
            Story { record: Record::new(epoch), start: later - (epoch.media_time(later) - first), first }
        }

        fn parts(mut self, parts: &[(u64, u64)]) -> Story {
            for (at, end) in parts {
                let [start, last, end] = [end - 500, end - 33, *end].map(|at| self.first + ms(at));
                let media = Span { start, last, end };
                self.record.take(Seen::Part { track: Track::Video, at: self.start + ms(*at), media });
            }
            self
        }

        fn kill(mut self, at: u64) -> Story {
            self.record.killed(Origin::A, self.start + ms(at));
            self
        }

        fn ends(&self, at: u64) -> Value {
            self.record.report(self.start + ms(at), None, Some(Origin::B)).to_json()
        }
    }

    #[test]
    fn the_first_part_that_only_the_second_origin_can_have_made() {
        // The part that ends at 1500 was complete when A died at 1501.
        let story = Story::new().parts(&[(540, 500), (1_040, 1_000)]).kill(1_501);
        let story = story.parts(&[(1_540, 1_500), (2_110, 2_000), (2_550, 2_500)]);
        let json = story.ends(3_000);
        assert_eq!(json["exit"], "ok");
        assert_eq!((&json["kill_to_first_part_ms"], &json["longest_gap_ms"]), (&json!(609), &json!(570)));
        assert_eq!((&json["missing_media_ms"], &json["active_before"]), (&json!(0), &json!("A")));
        assert_eq!(json["media_sequence_continuous"], true);
    }

    #[test]
    fn a_timeline_of_the_edges_own_is_read_off_its_parts() {
        let hour = 3_600_000;
        let story = Story::new().parts(&[(540, hour + 500), (1_030, hour + 1_000)]).kill(1_450);
        let story = story.parts(&[(1_560, hour + 1_500)]);
        assert_eq!(story.ends(2_000)["kill_to_first_part_ms"], 110);
    }

    #[test]
    fn what_is_missing_and_what_broke_is_told() {
        assert!(Story::new().ends(1_000)["exit"].as_str().unwrap().contains("nothing was played"));
        let before = || Story::new().parts(&[(540, 500), (1_040, 1_000)]);
        assert!(before().ends(1_100)["exit"].as_str().unwrap().contains("no origin"));
        let never = before().kill(1_100).ends(5_000);
        assert_eq!(never["exit"], "no media of origin B after the kill");
        assert_eq!(never["kill_to_first_part_ms"], Value::Null);
        let hole = before().kill(1_100).parts(&[(2_600, 2_500)]);
        assert_eq!(hole.ends(3_000)["missing_media_ms"], 1_000);
        assert!(hole.ends(9_000)["exit"].as_str().unwrap().contains("no video part in the last"));
        let mut mute = before().kill(1_100);
        let at = mute.start + ms(1_000);
        let media = Span { start: ms(0), last: ms(1), end: ms(2) };
        mute.record.take(Seen::Part { track: Track::Audio, at, media });
        let mute = mute.parts(&[(1_540, 1_500), (9_000, 9_000)]);
        assert!(mute.ends(9_000)["exit"].as_str().unwrap().contains("no audio part in the last 8000 ms"));
        let mut broken = before();
        let what = "part 1 of segment 2".to_owned();
        broken.record.take(Seen::Broken { track: Track::Audio, broken: Broken::Bytes { what } });
        let json = broken.ends(1_100);
        assert!(json["exit"].as_str().unwrap().contains("other bytes"));
        assert_eq!(json["media_sequence_continuous"], true, "the numbers are another matter");
    }
}
