//! A viewer: a low-latency HLS player that behaves as hls.js does, and writes down what it was given.
//!
//! It loads the multivariant playlist, takes the first variant and its audio, keeps both media playlists fresh with
//! blocking reloads, starts PART-HOLD-BACK behind the live edge at an independent part, fetches part after part,
//! reads the sample times out of the real bytes and plays them. What it does not do: switch variants, catch up by
//! playing faster, decode.
//!
//! Source: hls.js 1.6 (`base-playlist-controller`, `level-helper`, `error-helper`), as rules, not as code.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use headwater_core::io::{Body, CloseReason};
use headwater_core::media::Kind;
use headwater_core::time::{Deadline, Now, Time, soonest};

use crate::fmp4::{Init, Sample};
use crate::http::{ClientInput, ClientOutput, HttpClient};
use crate::integrity::{self, Damage, Timing};
use crate::mark::Mark;
use crate::playlist::{Master, Media, Segment};
use crate::trace::Hash64;
use crate::url;

mod audit;
mod buffer;
mod policy;
mod record;

use buffer::{Buffer, Playback, reached};
pub use policy::{LoadPolicy, Settings};
pub use record::{Failure, Fatal, Jump, PartSeen, PlaylistSeen, Record, Stall, Trouble};

/// A player of one stream.
#[derive(Debug)]
pub struct Viewer {
    settings: Settings,
    url: String,
    record: Record,
    outbox: VecDeque<ClientOutput>,
    loads: BTreeMap<u64, Load>,
    next_load: u64,
    master_failures: u32,
    master_at: Option<Time>,
    tracks: Vec<Track>,
    /// What is added to media times after so many discontinuities to get the player's timeline.
    offsets: BTreeMap<u64, i64>,
    playback: Playback,
    timing: Timing,
    /// What the wall clock was ahead of the monotonic one when the viewer was started.
    wall_ahead_us: Option<i64>,
}

/// A request under way.
#[derive(Debug)]
struct Load {
    what: Wanted,
    url: String,
    asked: Time,
    first_byte_by: Option<Time>,
    whole_by: Time,
    status: Option<u16>,
    begun: Time,
    age: Duration,
    /// How far every track was known to be when this was asked for.
    known: Vec<Option<(u64, u32)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Master,
    Playlist { track: usize, directives: Option<(u64, Option<u32>)> },
    Init { track: usize, uri: String },
    Media { track: usize, unit: Unit },
}

/// A part, or a whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    msn: u64,
    part: Option<u32>,
    declared_us: i64,
    independent: bool,
    discontinuity: u64,
    hinted: bool,
    /// What the playlist says when it begins, if it says so, in milliseconds since the Unix epoch.
    date_ms: Option<i64>,
}

#[derive(Debug)]
struct Track {
    kind: Kind,
    url: String,
    playlist: Option<Media>,
    loading_playlist: bool,
    playlist_failures: u32,
    reload_at: Option<Time>,
    advanced_at: Time,
    tune_in_goal_us: i64,
    unchanged: u32,
    init: Option<(String, Init)>,
    fetching: bool,
    media_failures: u32,
    retry_at: Option<Time>,
    next: Option<(u64, u32)>,
    /// Whether it has found its place anew, and nothing has come since.
    restarted: bool,
    buffer: Buffer,
    /// Where the last appended media ended, on the player's timeline.
    end: Option<i64>,
    last_mark: Option<Mark>,
    seen: BTreeMap<(u64, u32), u64>,
    /// How far a playlist of another track has said that this one is, and when.
    reported: Option<(Time, (u64, u32))>,
    /// A hint that turned out to be nothing; it is not asked for again.
    dead_hint: Option<(u64, u32)>,
}

impl Viewer {
    /// A viewer that opens the multivariant playlist at `url`, with hls.js's settings.
    pub fn new(url: &str) -> Viewer {
        Viewer::with(url, Settings::hls_js())
    }

    /// The same with other settings.
    pub fn with(url: &str, settings: Settings) -> Viewer {
        Viewer {
            settings,
            url: url.to_owned(),
            record: Record::default(),
            outbox: VecDeque::new(),
            loads: BTreeMap::new(),
            next_load: 0,
            master_failures: 0,
            master_at: Some(Time::ZERO),
            tracks: Vec::new(),
            offsets: BTreeMap::new(),
            playback: Playback::Idle,
            timing: Timing::default(),
            wall_ahead_us: None,
        }
    }

    /// What it was given so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The URL it opened.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The position on its timeline, in microseconds, if playing has begun.
    pub fn position_us(&self, now: Time) -> Option<i64> {
        self.playback.position(now)
    }

    /// How long it could go on playing with what it has. Zero before playing begins.
    pub fn buffered(&self, now: Time) -> Duration {
        let Some(position) = self.position_us(now) else { return Duration::ZERO };
        let ahead = self.playable(position).saturating_sub(position);
        Duration::from_micros(u64::try_from(ahead).unwrap_or(0))
    }

    /// Whether the picture moves: playing has begun, and it is not out of media.
    pub fn is_playing(&self) -> bool {
        matches!(self.playback, Playback::Playing { .. })
    }
}

impl HttpClient for Viewer {
    fn handle(&mut self, now: Now, input: ClientInput) {
        let now = now.mono;
        match input {
            ClientInput::Head { id, status, headers } => {
                let Some(load) = self.loads.get_mut(&id) else { return };
                load.status = Some(status.as_u16());
                load.begun = now;
                let age = headers.get(http::header::AGE).and_then(|age| age.to_str().ok()?.parse().ok());
                load.age = Duration::from_secs(age.unwrap_or(0));
            }
            ClientInput::Body { id, body } => {
                let Some(load) = self.loads.remove(&id) else { return };
                let status = load.status.unwrap_or(0);
                *self.record.answers.entry(status).or_default() += 1;
                if (200..300).contains(&status) {
                    self.loaded(now, load, &body);
                } else {
                    self.failed(now, load.what, &load.url, Failure::Status(status));
                }
            }
            ClientInput::Failed { id, reason } => self.broken(now, id, reason),
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.wall_ahead_us.get_or_insert(now.wall.as_micros() - micros_of(now.mono));
        let now = now.mono;
        let late: Vec<u64> =
            self.loads.iter().filter(|(_, load)| load.deadline() <= now).map(|(id, _)| *id).collect();
        for id in late {
            let Some(load) = self.loads.remove(&id) else { continue };
            self.outbox.push_back(ClientOutput::Abandon { id });
            self.failed(now, load.what, &load.url, Failure::TimedOut);
        }
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.record.fatal.is_some() {
            return self.playback_deadline();
        }
        let at = |at: Option<Time>, why| at.map(|at| Deadline { at, why });
        let mut next = soonest(at(self.master_at, "multivariant playlist"), self.playback_deadline());
        for track in &self.tracks {
            next = soonest(next, at(track.reload_at, "playlist reload"));
            next = soonest(next, at(track.retry_at, "media again"));
        }
        soonest(next, at(self.loads.values().map(Load::deadline).min(), "load timeout"))
    }
}

impl Load {
    fn deadline(&self) -> Time {
        match (self.status, self.first_byte_by) {
            (None, Some(first)) => first.min(self.whole_by),
            _ => self.whole_by,
        }
    }
}

/// Loading.
impl Viewer {
    fn broken(&mut self, now: Time, id: u64, reason: CloseReason) {
        let Some(load) = self.loads.remove(&id) else { return };
        *self.record.answers.entry(0).or_default() += 1;
        self.failed(now, load.what, &load.url, Failure::Network(reason));
    }

    fn load(&mut self, now: Time, what: Wanted, address: String) {
        let policy = match &what {
            Wanted::Master => self.settings.master,
            Wanted::Playlist { .. } => self.settings.playlist,
            Wanted::Init { .. } | Wanted::Media { .. } => self.settings.media,
        };
        let Some((to, request)) = url::request(&address) else {
            return self.failed(now, what, &address, Failure::Network(CloseReason::Unreachable));
        };
        let id = self.next_load;
        self.next_load += 1;
        let load = Load {
            what,
            url: address,
            asked: now,
            first_byte_by: policy.first_byte.map(|limit| now + limit),
            whole_by: now + policy.whole,
            status: None,
            begun: now,
            age: Duration::ZERO,
            known: self.tracks.iter().map(|track| track.playlist.as_ref()?.last_part()).collect(),
        };
        self.loads.insert(id, load);
        self.outbox.push_back(ClientOutput::Get { id, to, request: Box::new(request) });
    }

    fn loaded(&mut self, now: Time, load: Load, body: &Body) {
        let bytes: Vec<u8> = body.0.concat();
        match load.what.clone() {
            Wanted::Master => self.master_loaded(now, &bytes),
            Wanted::Playlist { track, directives } => {
                self.playlist_loaded(now, track, directives, &load, &bytes);
            }
            Wanted::Init { track, uri } => match Init::parse(&bytes) {
                Ok(init) => {
                    self.tracks[track].fetching = false;
                    self.tracks[track].init = Some((uri, init));
                }
                Err(why) => self.die(now, Fatal::MediaParse(self.tracks[track].kind, uri, why)),
            },
            Wanted::Media { track, unit } => self.media_loaded(now, track, unit, &load.url, &bytes),
        }
    }

    fn failed(&mut self, now: Time, what: Wanted, address: &str, failure: Failure) {
        match what {
            Wanted::Master => match self.settings.master.retry(failure, self.master_failures) {
                Some(wait) => {
                    self.master_failures += 1;
                    self.master_at = Some(now + wait);
                }
                None => self.die(now, Fatal::MasterLoad(failure)),
            },
            Wanted::Playlist { track, .. } => {
                let track = &mut self.tracks[track];
                track.loading_playlist = false;
                match self.settings.playlist.retry(failure, track.playlist_failures) {
                    Some(wait) => {
                        // The next try is made without directives.
                        track.playlist_failures += 1;
                        track.reload_at = Some(now + wait);
                    }
                    None => {
                        let kind = track.kind;
                        self.die(now, Fatal::PlaylistLoad(kind, failure));
                    }
                }
            }
            Wanted::Media { track, unit } if unit.hinted => {
                // The playlist did not promise this part.
                let track = &mut self.tracks[track];
                track.fetching = false;
                track.dead_hint = unit.part.map(|part| (unit.msn, part));
            }
            Wanted::Init { track, .. } | Wanted::Media { track, .. } => {
                let track = &mut self.tracks[track];
                track.fetching = false;
                match self.settings.media.retry(failure, track.media_failures) {
                    Some(wait) => {
                        track.media_failures += 1;
                        track.retry_at = Some(now + wait);
                    }
                    None => {
                        let kind = track.kind;
                        self.die(now, Fatal::MediaLoad(kind, address.to_owned(), failure));
                    }
                }
            }
        }
    }

    fn die(&mut self, now: Time, why: Fatal) {
        if self.record.fatal.is_none() {
            self.record.fatal = Some((now, why));
        }
        for (id, _) in core::mem::take(&mut self.loads) {
            self.outbox.push_back(ClientOutput::Abandon { id });
        }
    }
}

/// Playlists.
impl Viewer {
    fn master_loaded(&mut self, now: Time, bytes: &[u8]) {
        let master = match Master::parse(&String::from_utf8_lossy(bytes)) {
            Ok(master) => master,
            Err(why) => return self.die(now, Fatal::MasterParse(why)),
        };
        let variant = &master.variants[0];
        let codecs = &variant.codecs;
        let pictures =
            codecs.is_empty() || ["avc", "hvc", "hev", "vp0", "av01"].iter().any(|c| codecs.contains(c));
        let kind = if pictures { Kind::Video } else { Kind::Audio };
        self.tracks.push(Track::new(kind, url::resolve(&self.url, &variant.uri)));
        let group = |group: &&crate::playlist::AudioRendition| Some(&group.group) == variant.audio.as_ref();
        let audio = master.audio.iter().find(group).and_then(|rendition| rendition.uri.clone());
        if let (Kind::Video, Some(uri)) = (kind, audio) {
            self.tracks.push(Track::new(Kind::Audio, url::resolve(&self.url, &uri)));
        }
        for track in 0..self.tracks.len() {
            self.reload(now, track, None);
        }
    }

    fn reload(&mut self, now: Time, track: usize, directives: Option<(u64, Option<u32>)>) {
        let state = &mut self.tracks[track];
        state.reload_at = None;
        state.loading_playlist = true;
        let mut address = state.url.clone();
        if let Some((msn, part)) = directives {
            address = url::with_query(&address, "_HLS_msn", msn);
            if let Some(part) = part {
                address = url::with_query(&address, "_HLS_part", part);
            }
        }
        let age = us(now.since(state.advanced_at));
        let skips = state.playlist.as_ref().and_then(|playlist| playlist.can_skip_until_us);
        if self.settings.delta_updates && skips.is_some_and(|until| age < until / 2) {
            address = url::with_query(&address, "_HLS_skip", "YES");
        }
        self.load(now, Wanted::Playlist { track, directives }, address);
    }

    fn playlist_loaded(
        &mut self,
        now: Time,
        index: usize,
        asked: Option<(u64, Option<u32>)>,
        load: &Load,
        bytes: &[u8],
    ) {
        let track = &mut self.tracks[index];
        track.loading_playlist = false;
        track.playlist_failures = 0;
        let earlier = track.playlist.take();
        let parsed = Media::parse(&String::from_utf8_lossy(bytes)).and_then(|mut new| {
            if new.skipped > 0 {
                new.fill_in(earlier.as_ref().unwrap_or(&Media::default()))?;
            }
            Ok(new)
        });
        let mut new = match parsed {
            Ok(new) => new,
            Err(why) => {
                let kind = track.kind;
                return self.die(now, Fatal::PlaylistParse(kind, why));
            }
        };
        self.record.playlists.push(PlaylistSeen {
            at: now,
            kind: track.kind,
            first_msn: new.first_msn,
            last_msn: new.last_complete().map(|segment| segment.msn),
            last_part: new.last_part(),
            asked,
            ended: new.ended,
            listed: (
                new.segments.len(),
                new.segments.iter().skip(1).map(|segment| segment.duration_us).sum(),
            ),
            targets: (new.target_us, new.part_target_us),
            took: now.since(load.asked),
            hash: Hash64::of(bytes),
        });
        let advanced = match &earlier {
            None => Progress { updated: true, advanced: true },
            Some(earlier) => {
                if let Err(fatal) = merge(track.kind, earlier, &mut new) {
                    return self.die(now, fatal);
                }
                if let Some(trouble) = went_back(track.kind, earlier, &new) {
                    self.record.trouble(now, trouble);
                }
                Progress::of(earlier, &new)
            }
        };
        for (msn, what) in audit::audit(earlier.as_ref(), &new) {
            self.record.trouble(now, Trouble::Unruly { kind: track.kind, msn, what });
        }
        let late = track.reported.filter(|(told, reported)| {
            *told <= load.asked && !new.ended && new.last_part().is_some_and(|last| last < *reported)
        });
        if let Some((_, reported)) = late {
            let what = format!("another track's playlist has reported {reported:?} before");
            self.record.trouble(now, Trouble::Unruly { kind: track.kind, msn: reported.0, what });
        }
        self.reports(now, index, &new, load);
        let track = &mut self.tracks[index];
        if new.hint.is_some() && new.discontinuity_before_hint && self.settings.discontinuity_at_hint_is_fatal
        {
            let kind = track.kind;
            return self.die(now, Fatal::DiscontinuityAtHint(kind));
        }
        track.playlist = Some(new);
        self.after_reload(now, index, advanced, load);
    }

    /// Holds what a playlist says of the other tracks against what is known of them.
    fn reports(&mut self, now: Time, index: usize, new: &Media, load: &Load) {
        let base = self.tracks[index].url.clone();
        for (uri, msn, part) in &new.reports {
            let address = url::resolve(&base, uri);
            let Some(of) = self.tracks.iter().position(|track| track.url == address) else { continue };
            let track = &mut self.tracks[of];
            let reported = (*msn, *part);
            if let Some(known) = load.known.get(of).copied().flatten().filter(|known| reported < *known) {
                let what = format!("it is reported to be at {reported:?} and was at {known:?} before");
                self.record.trouble(now, Trouble::Unruly { kind: track.kind, msn: *msn, what });
            }
            track.reported = Some((now, reported));
        }
    }

    fn after_reload(&mut self, now: Time, index: usize, progress: Progress, load: &Load) {
        let track = &mut self.tracks[index];
        let Some(playlist) = &track.playlist else { return };
        if progress.advanced {
            track.advanced_at = load.begun;
        }
        track.unchanged = if progress.updated { track.unchanged * 3 / 5 } else { track.unchanged + 1 };
        let unchanged = track.unchanged;
        self.record.unchanged_reloads_max = self.record.unchanged_reloads_max.max(unchanged);
        if self.settings.unchanged_reloads_max.is_some_and(|max| unchanged > max) {
            let kind = track.kind;
            return self.die(now, Fatal::Unchanged(kind, unchanged));
        }
        if playlist.ended {
            return;
        }
        // hls.js does not ask for a number when the last complete segment is number 0 or there is none.
        let end_msn = playlist.last_complete().map_or(0, |segment| segment.msn);
        if playlist.can_block_reload && end_msn > 0 && progress.advanced {
            let age = us(now.since(track.advanced_at) + load.age);
            let (directives, goal) = directives(playlist, end_msn, age, track.tune_in_goal_us);
            track.tune_in_goal_us = goal;
            return self.reload(now, index, directives);
        }
        let interval = reload_interval(playlist, progress.updated);
        track.reload_at = Some((load.asked + interval).max(now));
    }
}

/// Whether a playlist brought something new.
#[derive(Clone, Copy, Debug)]
struct Progress {
    updated: bool,
    advanced: bool,
}

impl Progress {
    fn of(earlier: &Media, new: &Media) -> Progress {
        let end = |media: &Media| media.last_complete().map_or(0, |segment| segment.msn);
        let part = |media: &Media| media.last_part().unwrap_or((end(media), 0));
        let updated = end(new) != end(earlier) || new.last_part() != earlier.last_part() || new.ended;
        Progress { updated, advanced: end(new) > end(earlier) || part(new) > part(earlier) }
    }
}

/// What to ask for next (hls.js, `playlistLoaded`), and the tune-in goal. `age` is how old the playlist is.
fn directives(
    playlist: &Media,
    end_msn: u64,
    age: i64,
    goal_before: i64,
) -> (Option<(u64, Option<u32>)>, i64) {
    let (mut msn, mut part) = match playlist.last_part() {
        Some((msn, _)) if msn == end_msn => (end_msn + 1, Some(0)),
        Some((msn, part)) => (msn, Some(part + 1)),
        None => (end_msn + 1, None),
    };
    let part_target = playlist.part_target_us.unwrap_or(0);
    let goal = (age - part_target).min(playlist.target_us * 3 / 2);
    if goal <= 0 || part_target == 0 {
        return (Some((msn, part)), 0);
    }
    if age > playlist.target_us * 3 {
        return (None, goal);
    }
    if goal_before > 0 && age - part_target > goal_before {
        return (Some((msn, part)), 0);
    }
    msn += u64::try_from(goal / playlist.target_us.max(1)).unwrap_or(0);
    let parts = (goal % playlist.target_us.max(1) + part_target / 2) / part_target;
    part = part.map(|part| part + u32::try_from(parts).unwrap_or(0));
    (Some((msn, part)), goal)
}

/// How long after a request the next one is made when it does not block (hls.js, `computeReloadInterval`).
fn reload_interval(playlist: &Media, updated: bool) -> Duration {
    let mut interval = playlist.part_target_us.unwrap_or(playlist.target_us);
    if updated {
        let newest = playlist.segments.last().and_then(|segment| segment.parts.last());
        let last_us = match (playlist.part_target_us, newest) {
            (Some(_), Some(part)) => part.duration_us,
            _ => playlist.last_complete().map_or(interval, |segment| segment.duration_us),
        };
        interval = interval.min(last_us);
    } else {
        interval /= 2;
    }
    Duration::from_micros(u64::try_from(interval.max(MIN_RELOAD_US)).unwrap_or(0))
}

/// What hls.js demands of two playlists of one track (`mapFragmentIntersection`).
fn merge(kind: Kind, earlier: &Media, new: &mut Media) -> Result<(), Fatal> {
    let counted = new.first_discontinuity.unwrap_or(0) != 0;
    for old in &earlier.segments {
        let Some(at) = new.segments.iter().position(|segment| segment.msn == old.msn) else { continue };
        if !counted {
            let behind = old.discontinuity.saturating_sub(new.segments[at].discontinuity);
            new.segments[at..].iter_mut().for_each(|segment| segment.discontinuity += behind);
        }
        let now = &new.segments[at];
        let path = |uri: &String| url::without_query(uri).to_owned();
        if let (Some(was), Some(is)) = (old.uri.as_ref().map(path), now.uri.as_ref().map(path))
            && was != is
        {
            return Err(Fatal::SequenceMismatch { kind, msn: old.msn, was, is });
        }
        if old.discontinuity != now.discontinuity {
            let (was, is) = (old.discontinuity, now.discontinuity);
            return Err(Fatal::DiscontinuityMismatch { kind, msn: old.msn, was, is });
        }
    }
    Ok(())
}

fn went_back(kind: Kind, earlier: &Media, new: &Media) -> Option<Trouble> {
    // What is complete is further than any of its parts.
    let edge = |media: &Media| {
        let complete = media.last_complete().map_or(0, |segment| segment.msn);
        media.last_part().filter(|(msn, _)| *msn > complete).unwrap_or((complete, u32::MAX))
    };
    let named = |(msn, part)| (msn, Some(part).filter(|part| *part != u32::MAX));
    if new.first_msn < earlier.first_msn {
        return Some(Trouble::SequenceWentBack {
            kind,
            from: (earlier.first_msn, None),
            to: (new.first_msn, None),
        });
    }
    let (from, to) = (edge(earlier), edge(new));
    if to < from { Some(Trouble::SequenceWentBack { kind, from: named(from), to: named(to) }) } else { None }
}

/// Media.
impl Viewer {
    /// Does whatever is due and possible.
    fn settle(&mut self, now: Time) {
        if self.record.fatal.is_none() {
            if self.master_at.is_some_and(|at| at <= now) {
                self.master_at = None;
                self.load(now, Wanted::Master, self.url.clone());
            }
            for track in 0..self.tracks.len() {
                if self.tracks[track].reload_at.is_some_and(|at| at <= now) {
                    self.reload(now, track, None);
                }
                self.fetch(now, track);
            }
        }
        self.play(now);
    }

    fn fetch(&mut self, now: Time, index: usize) {
        let position = self.playback.position(now);
        let ahead = us(self.settings.buffer);
        let hints = self.settings.fetches_hints;
        let track = &mut self.tracks[index];
        track.retry_at = track.retry_at.filter(|at| *at > now);
        let full = position.is_some_and(|at| track.buffer.end_from(at) - at > ahead);
        if track.fetching || full || track.retry_at.is_some() || self.record.fatal.is_some() {
            return;
        }
        let Some(playlist) = track.playlist.take() else { return };
        if let Some(left) = track.left_behind(&playlist) {
            self.record.trouble(now, left);
        }
        let wanted = track.wanted(&playlist, hints);
        track.playlist = Some(playlist);
        let Some((unit, uri, map)) = wanted else { return };
        // Other tracks wait until the first one has placed a new discontinuity on the timeline.
        if index > 0 && !self.offsets.is_empty() && !self.offsets.contains_key(&unit.discontinuity) {
            return;
        }
        let missing = map.filter(|map| track.init.as_ref().is_none_or(|(known, _)| known != map));
        let base = track.url.clone();
        track.fetching = true;
        match missing {
            Some(uri) => {
                let address = url::resolve(&base, &uri);
                self.load(now, Wanted::Init { track: index, uri }, address);
            }
            None => self.load(now, Wanted::Media { track: index, unit }, url::resolve(&base, &uri)),
        }
    }

    fn media_loaded(&mut self, now: Time, index: usize, unit: Unit, address: &str, bytes: &[u8]) {
        let track = &mut self.tracks[index];
        track.fetching = false;
        track.media_failures = 0;
        let kind = track.kind;
        let hash = Hash64::of(bytes);
        if let Some(part) = unit.part {
            if track.seen.insert((unit.msn, part), hash).is_some_and(|was| was != hash) {
                self.record.trouble(now, Trouble::ContentChanged { kind, msn: unit.msn, part });
            }
            if track.seen.len() > SEEN_MAX {
                track.seen.pop_first();
            }
        }
        let init = track.init.as_ref().map(|(_, init)| init.clone()).unwrap_or_default();
        let samples = match init.samples(bytes) {
            Ok(samples) if init.timescale > 0 => samples,
            Ok(_) => {
                return self.die(
                    now,
                    Fatal::MediaParse(kind, address.to_owned(), crate::fmp4::Error::Missing("moov")),
                );
            }
            Err(why) => return self.die(now, Fatal::MediaParse(kind, address.to_owned(), why)),
        };
        track.next = Some(match unit.part {
            Some(part) => (unit.msn, part + 1),
            None => (unit.msn + 1, 0),
        });
        let (Some(first), Some(last)) = (samples.first().copied(), samples.last().copied()) else { return };
        let micros = |ticks: u64| {
            i64::try_from(u128::from(ticks) * 1_000_000 / u128::from(init.timescale)).unwrap_or(i64::MAX)
        };
        let media_us = micros(first.dts);
        let end_us = micros(last.dts.saturating_add(u64::from(last.duration)));
        let marks = self.judge(now, kind, unit, &init, &samples, bytes);
        let wall_us = self.wall_ahead_us.unwrap_or(0) + micros_of(now);
        let newest = marks.iter().map(|mark| mark.made.as_micros()).max();
        let begins = marks.first().map(|mark| mark.made.as_micros() + i64::from(mark.composition_us));
        self.record.parts.push(PartSeen {
            at: now,
            kind,
            msn: unit.msn,
            part: unit.part,
            declared_us: unit.declared_us,
            media_us,
            duration_us: end_us - media_us,
            independent: unit.independent,
            starts_with_sync: first.sync,
            discontinuity: unit.discontinuity,
            bytes: bytes.len(),
            hash,
            samples: samples.len(),
            marks: marks.first().copied().zip(marks.last().copied()),
            age_us: newest.map(|made| wall_us - made),
            date_off_us: unit.date_ms.zip(begins).map(|(date_ms, begins)| date_ms * 1_000 - begins),
        });
        if unit.independent && !first.sync {
            self.record.trouble(now, Trouble::FalselyIndependent { kind, msn: unit.msn, part: unit.part });
        }
        self.count_frames(now, index, &marks);
        let sync = samples.iter().find(|sample| sample.sync).map(|sample| micros(sample.dts));
        self.append(now, index, unit, (media_us, end_us), sync);
    }

    /// Holds every sample against what its encoder made. Returns the marks of those that have one.
    fn judge(
        &mut self,
        now: Time,
        kind: Kind,
        unit: Unit,
        init: &Init,
        samples: &[Sample],
        bytes: &[u8],
    ) -> Vec<Mark> {
        let (msn, part) = (unit.msn, unit.part);
        let micros = |ticks: i64| {
            i64::try_from(i128::from(ticks) * 1_000_000 / i128::from(init.timescale)).unwrap_or(i64::MAX)
        };
        let mut marks = Vec::new();
        for sample in samples {
            let data = &bytes[sample.offset..sample.offset + sample.size];
            let found = match kind {
                Kind::Video => integrity::sized_units(data).and_then(|units| integrity::picture(&units)),
                _ => integrity::sound(data),
            };
            let whole = found.and_then(|mark| integrity::fits(mark, &init.config).map(|()| mark));
            match whole {
                Ok(mark) if mark.key != sample.sync => {
                    self.record.trouble(now, Trouble::Damaged { kind, msn, part, what: Damage::Key });
                }
                Ok(_) => {}
                Err(what) => self.record.trouble(now, Trouble::Damaged { kind, msn, part, what }),
            }
            let Some(mark) = whole.ok().or_else(|| Mark::find(data)) else { continue };
            marks.push(mark);
            let dts_us = micros(i64::try_from(sample.dts).unwrap_or(i64::MAX));
            for what in self.timing.frame(mark, dts_us, micros(sample.composition), unit.discontinuity) {
                self.record.trouble(now, Trouble::Mistimed { kind, msn, part, what });
            }
        }
        marks
    }

    /// Places media on the player's timeline and in its buffer. `sync` is where decoding can start in it.
    fn append(&mut self, now: Time, index: usize, unit: Unit, (start, end): (i64, i64), sync: Option<i64>) {
        let track = &mut self.tracks[index];
        let (kind, msn, part) = (track.kind, unit.msn, unit.part);
        let first = self.offsets.is_empty();
        let offset = *self.offsets.entry(unit.discontinuity).or_insert_with(|| match track.end {
            Some(before) if !first => before - start,
            _ => 0,
        });
        let (start, end) = (start + offset, end + offset);
        let apart = track.end.map(|before| start - before);
        track.end = Some(end);
        match apart {
            Some(us) if us > CONTIGUOUS_US => {
                self.record.trouble(now, Trouble::Hole { kind, msn, part, us });
            }
            Some(us) if us < -CONTIGUOUS_US => {
                self.record.trouble(now, Trouble::Overlap { kind, msn, part, us: -us });
            }
            Some(_) => return track.buffer.add(start, end),
            None => {}
        }
        // Decoding starts anew, at the first key frame that there is.
        let sync = sync.map(|at| at + offset);
        if sync != Some(start) && kind == Kind::Video {
            self.record.trouble(now, Trouble::BrokenStart { kind, msn, part });
        }
        match sync {
            Some(at) => track.buffer.add(at, end),
            None => track.end = None,
        }
    }

    fn count_frames(&mut self, now: Time, index: usize, marks: &[Mark]) {
        let track = &mut self.tracks[index];
        let kind = track.kind;
        for mark in marks {
            let before = track.last_mark.replace(*mark);
            let restarted = core::mem::take(&mut track.restarted);
            let Some(before) = before else { continue };
            let (source, first) = (mark.source, before.frame + 1);
            let follows = before.source == source && mark.frame <= first;
            if kind == Kind::Video && !follows && !mark.key && !restarted {
                self.record.trouble(now, Trouble::Undecodable { source, frame: mark.frame });
            }
            if before.source != source {
                let trouble = Trouble::SourceChanged { kind, from: before.source, to: source };
                self.record.trouble(now, trouble);
            } else if mark.frame > first {
                let trouble = Trouble::FramesLost { kind, source, first, count: mark.frame - first };
                self.record.trouble(now, trouble);
            } else if mark.frame < first {
                let trouble = Trouble::FramesRepeated { kind, source, first: mark.frame };
                self.record.trouble(now, trouble);
            }
        }
    }
}

/// Playing.
impl Viewer {
    /// Until when everything can be played from `position`.
    fn playable(&self, position: i64) -> i64 {
        self.tracks.iter().map(|track| track.buffer.end_from(position)).min().unwrap_or(position)
    }

    fn play(&mut self, now: Time) {
        if let Playback::Playing { since, from } = self.playback {
            let end = self.playable(from);
            let out = reached(since, end - from);
            if out <= now {
                self.playback = Playback::Stalled { since: out, at: end };
                self.record.stalls.push(Stall { from: out, until: None, position_us: end });
            }
        }
        match self.playback {
            Playback::Idle => self.begin(now),
            Playback::Stalled { at, .. } if self.playable(at) > at => self.go_on(now, at),
            Playback::Stalled { since, at } if reached(since, JUMP_AFTER_US) <= now => {
                if let Some(to) = self.beyond_hole(at) {
                    self.record.jumps.push(Jump { at: now, from_us: at, to_us: to });
                    self.go_on(now, to);
                }
            }
            Playback::Stalled { .. } => {}
            Playback::Playing { .. } => {
                let Some(position) = self.playback.position(now) else { return };
                self.tracks.iter_mut().for_each(|track| track.buffer.drop_before(position - BEHIND_US));
            }
        }
    }

    fn begin(&mut self, now: Time) {
        let starts: Option<Vec<i64>> = self.tracks.iter().map(|track| track.buffer.first()).collect();
        let Some(start) = starts.and_then(|starts| starts.into_iter().max()) else { return };
        if self.playable(start) > start {
            self.record.started = Some(now);
            self.playback = Playback::Playing { since: now, from: start };
        }
    }

    fn go_on(&mut self, now: Time, from: i64) {
        if let Some(stall) = self.record.stalls.last_mut() {
            stall.until = Some(now);
        }
        self.playback = Playback::Playing { since: now, from };
    }

    /// The first position after a hole from which every track can be played.
    fn beyond_hole(&self, at: i64) -> Option<i64> {
        let mut position = at;
        // Every step moves on to a later start of a span.
        loop {
            position = self.tracks.iter().filter_map(|track| track.buffer.next_start(position)).min()?;
            if self.playable(position) > position {
                return Some(position);
            }
        }
    }

    fn playback_deadline(&self) -> Option<Deadline> {
        match self.playback {
            Playback::Idle => None,
            Playback::Playing { since, from } => {
                Some(Deadline { at: reached(since, self.playable(from) - from), why: "end of the buffer" })
            }
            Playback::Stalled { since, at } => {
                let jump = Deadline { at: reached(since, JUMP_AFTER_US), why: "skipping a hole" };
                self.beyond_hole(at).map(|_| jump)
            }
        }
    }
}

impl Track {
    fn new(kind: Kind, url: String) -> Track {
        Track {
            kind,
            url,
            playlist: None,
            loading_playlist: false,
            playlist_failures: 0,
            reload_at: None,
            advanced_at: Time::ZERO,
            tune_in_goal_us: 0,
            unchanged: 0,
            init: None,
            fetching: false,
            media_failures: 0,
            retry_at: None,
            next: None,
            restarted: false,
            buffer: Buffer::default(),
            end: None,
            last_mark: None,
            seen: BTreeMap::new(),
            reported: None,
            dead_hint: None,
        }
    }

    /// Starts anew at the live edge if the playlist does not list any more what comes next.
    fn left_behind(&mut self, playlist: &Media) -> Option<Trouble> {
        let (msn, _) = self.next?;
        let first = playlist.segments.first()?.msn;
        if msn >= first {
            return None;
        }
        self.next = None;
        self.restarted = true;
        Some(Trouble::LeftBehind { kind: self.kind, msn })
    }

    /// What to fetch next, its URI and its initialization segment.
    fn wanted(&mut self, playlist: &Media, hints: bool) -> Option<(Unit, String, Option<String>)> {
        if self.next.is_none() {
            self.next = start(playlist);
        }
        loop {
            let (msn, part) = self.next?;
            let Some(segment) = playlist.segment(msn) else { return self.hinted(playlist, hints) };
            let whole = || Some((unit(segment, None, segment.duration_us, true), segment.uri.clone()?));
            let listed = segment.parts.get(part as usize);
            let (unit, uri) = match listed {
                Some(part_listed) if part_listed.gap => {
                    self.next = Some((msn, part + 1));
                    continue;
                }
                Some(listed) => {
                    (unit(segment, Some(part), listed.duration_us, listed.independent), listed.uri.clone())
                }
                None if segment.uri.is_none() => return self.hinted(playlist, hints),
                // All parts were taken: on to the next segment.
                None if !segment.parts.is_empty() || segment.gap => {
                    self.next = Some((msn + 1, 0));
                    continue;
                }
                // Its parts are not listed any more. If some of them were taken, the rest comes with the whole.
                None => whole()?,
            };
            return Some((unit, uri, segment.map.clone()));
        }
    }

    fn hinted(&self, playlist: &Media, hints: bool) -> Option<(Unit, String, Option<String>)> {
        let next = self.next?;
        let newest = playlist.segments.last()?;
        let expected = match (newest.uri.is_some(), newest.parts.len()) {
            (true, _) => (newest.msn + 1, 0),
            (false, parts) => (newest.msn, u32::try_from(parts).ok()?),
        };
        if !hints || next != expected || self.dead_hint == Some(next) || playlist.discontinuity_before_hint {
            return None;
        }
        let uri = playlist.hint.clone()?;
        let hint = Unit { msn: next.0, part: Some(next.1), hinted: true, ..unit(newest, None, 0, false) };
        Some((hint, uri, newest.map.clone()))
    }
}

fn unit(segment: &Segment, part: Option<u32>, declared_us: i64, independent: bool) -> Unit {
    let discontinuity = segment.discontinuity;
    let date_ms = segment.date_ms().filter(|_| part.is_none_or(|part| part == 0));
    Unit { msn: segment.msn, part, declared_us, independent, discontinuity, hinted: false, date_ms }
}

/// Where playing starts: at the last independent part that is at least the hold-back from the live edge, or else at
/// the first one there is, or else at a whole segment.
fn start(playlist: &Media) -> Option<(u64, u32)> {
    let hold_back = playlist
        .part_hold_back_us
        .filter(|_| playlist.last_part().is_some())
        .or(playlist.hold_back_us)
        .unwrap_or(playlist.target_us * 3);
    let mut to_edge = 0;
    let mut earliest_part = None;
    let mut earliest_whole = None;
    for segment in playlist.segments.iter().rev() {
        for (index, part) in segment.parts.iter().enumerate().rev() {
            to_edge += part.duration_us;
            if !part.independent || part.gap {
                continue;
            }
            earliest_part = Some((segment.msn, u32::try_from(index).ok()?));
            if to_edge >= hold_back {
                return earliest_part;
            }
        }
        if segment.parts.is_empty() && segment.uri.is_some() && !segment.gap {
            to_edge += segment.duration_us;
            earliest_whole = Some((segment.msn, 0));
            if to_edge >= hold_back {
                return earliest_whole;
            }
        }
    }
    earliest_whole.or(earliest_part)
}

fn micros_of(time: Time) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// No player reloads faster than this.
const MIN_RELOAD_US: i64 = 50_000;
/// Media that begins this near to where the last ended follows it.
const CONTIGUOUS_US: i64 = 10_000;
/// How long a player stands before it skips over a hole.
const JUMP_AFTER_US: i64 = 250_000;
/// What was played is kept this long.
const BEHIND_US: i64 = 10_000_000;
/// How many hashes of parts are remembered.
const SEEN_MAX: usize = 4_096;
