//! Two servers of one broadcast, held against each other: what has the same number must be the same.
//!
//! A [`Comparison`] is told what each side listed and served, in any order, and says what it finds. What only one side
//! has because the other's window had not begun, is over, or could not be seen is no difference; a number that a side
//! left out while it was up is one, and so is a pair of windows that never meet. Playlists are not compared as texts: their windows move at different moments.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::fmp4;
use crate::playlist::{Media, Multivariant, Segment};

/// How many segments and parts of a track are remembered, for a side that lags behind and for one that comes back.
const ITEMS_MAX: usize = 20_000;
/// How many outages are told one by one.
const OUTAGES_MAX: usize = 100;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::A => "A",
            Side::B => "B",
        })
    }
}

/// What has a number of its own: a segment, or one of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Item {
    /// The media sequence number.
    pub msn: u64,
    /// The part's place in the segment; none for the whole segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<usize>,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            None => write!(f, "segment {}", self.msn),
            Some(part) => write!(f, "part {}.{part}", self.msn),
        }
    }
}

/// What a resource is, by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// How many bytes.
    pub bytes: usize,
    /// XXH3, 128 bits.
    #[serde(serialize_with = "hexadecimal")]
    pub hash: u128,
}

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest { bytes: bytes.len(), hash: xxh3_128(bytes) }
    }
}

fn hexadecimal<S: serde::Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:032x}"))
}

/// What came of asking for a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Nobody asked: it is declared to be a gap.
    Gap,
    /// It is listed, and the server does not give it.
    Refused(String),
    /// It was served.
    Served {
        /// Its bytes.
        #[serde(flatten)]
        digest: Digest,
        /// The decode time of its first sample (`tfdt`), in ticks of its track, if it is CMAF.
        tfdt: Option<u64>,
    },
}

impl Body {
    /// What these bytes are.
    pub fn of(bytes: &[u8]) -> Body {
        let tfdt = fmp4::fragments(bytes).and_then(|all| all.first().map(|first| first.decode_time));
        Body::Served { digest: Digest::of(bytes), tfdt }
    }
}

/// All that must be equal of a segment or part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The last segment of its path, without a query.
    pub name: String,
    /// EXTINF or DURATION.
    pub duration_us: i64,
    /// EXT-X-PROGRAM-DATE-TIME of a segment, in milliseconds since the Unix epoch.
    pub date_ms: Option<i64>,
    /// The discontinuities up to its beginning.
    pub discontinuities: u64,
    /// INDEPENDENT of a part.
    pub independent: bool,
    /// The initialization section that applies to it.
    pub init: Option<Digest>,
    /// What was served.
    pub body: Body,
}

impl Facts {
    /// What a playlist says of a whole segment, and what came of asking for it.
    pub fn of_segment(segment: &Segment, init: Option<Digest>, body: Body) -> Facts {
        Facts {
            name: file_name(segment.uri.as_deref().unwrap_or_default()).to_owned(),
            duration_us: segment.duration_us,
            date_ms: segment.date_ms(),
            discontinuities: segment.discontinuities,
            independent: false,
            init,
            body,
        }
    }

    /// The same of one of its parts.
    pub fn of_part(segment: &Segment, part: usize, init: Option<Digest>, body: Body) -> Option<Facts> {
        let listed = segment.parts.get(part)?;
        Some(Facts {
            name: file_name(&listed.uri).to_owned(),
            duration_us: listed.duration_us,
            date_ms: None,
            discontinuities: segment.discontinuities,
            independent: listed.independent,
            init,
            body,
        })
    }

    /// In what two of them differ; nothing if they do not.
    fn unlike(&self, other: &Facts) -> Vec<&'static str> {
        let tfdt = |facts: &Facts| match facts.body {
            Body::Served { tfdt, .. } => tfdt,
            Body::Gap | Body::Refused(_) => None,
        };
        let is_served = |facts: &Facts| matches!(facts.body, Body::Served { .. });
        let both_served = is_served(self) && is_served(other);
        let found = [
            ("name", self.name != other.name),
            ("duration", self.duration_us != other.duration_us),
            ("program date time", self.date_ms != other.date_ms),
            ("discontinuity sequence", self.discontinuities != other.discontinuities),
            ("INDEPENDENT", self.independent != other.independent),
            ("initialization section", self.init != other.init),
            ("tfdt", both_served && tfdt(self) != tfdt(other)),
            ("bytes", both_served && self.body != other.body),
            ("served on one side only", !both_served && self.body != other.body),
        ];
        found.into_iter().filter_map(|(what, differs)| differs.then_some(what)).collect()
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", self.duration_us as f64 / 1e6)?;
        if let Some(date_ms) = self.date_ms {
            write!(f, ", date {}.{:03}", date_ms.div_euclid(1_000), date_ms.rem_euclid(1_000))?;
        }
        write!(f, ", discontinuity {}", self.discontinuities)?;
        match &self.body {
            Body::Gap => write!(f, ", a gap"),
            Body::Refused(why) => write!(f, ", refused: {why}"),
            Body::Served { digest, tfdt } => {
                if let Some(tfdt) = tfdt {
                    write!(f, ", tfdt {tfdt}")?;
                }
                write!(f, ", {} bytes, {:032x}", digest.bytes, digest.hash)
            }
        }
    }
}

/// The last segment of a reference's path, without its query.
fn file_name(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    path.rsplit('/').next().unwrap_or(path)
}

/// What a media playlist says for as long as the stream lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// EXT-X-VERSION.
    pub version: Option<u64>,
    /// EXT-X-TARGETDURATION.
    pub target_s: Option<u64>,
    /// PART-TARGET.
    pub part_target_us: Option<i64>,
    /// PART-HOLD-BACK.
    pub part_hold_back_us: Option<i64>,
    /// HOLD-BACK.
    pub hold_back_us: Option<i64>,
    /// CAN-SKIP-UNTIL.
    pub can_skip_until_us: Option<i64>,
    /// CAN-BLOCK-RELOAD.
    pub can_block_reload: bool,
}

impl Header {
    /// Of this playlist.
    pub fn of(media: &Media) -> Header {
        let control = media.control.clone().unwrap_or_default();
        Header {
            version: media.version,
            target_s: media.target_s,
            part_target_us: media.part_target_us,
            part_hold_back_us: control.part_hold_back_us,
            hold_back_us: control.hold_back_us,
            can_skip_until_us: control.can_skip_until_us,
            can_block_reload: control.can_block_reload,
        }
    }

    fn unlike(&self, other: &Header) -> Vec<&'static str> {
        let found = [
            ("EXT-X-VERSION", self.version != other.version),
            ("EXT-X-TARGETDURATION", self.target_s != other.target_s),
            ("PART-TARGET", self.part_target_us != other.part_target_us),
            ("PART-HOLD-BACK", self.part_hold_back_us != other.part_hold_back_us),
            ("HOLD-BACK", self.hold_back_us != other.hold_back_us),
            ("CAN-SKIP-UNTIL", self.can_skip_until_us != other.can_skip_until_us),
            ("CAN-BLOCK-RELOAD", self.can_block_reload != other.can_block_reload),
        ];
        found.into_iter().filter_map(|(what, differs)| differs.then_some(what)).collect()
    }
}

/// A media playlist, as the multivariant playlist has it. Bandwidths are left out: they are measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Track {
    /// What it is to a viewer: `variant 1`, `audio 1`; `media` if there is no multivariant playlist.
    pub role: String,
    /// As written.
    #[serde(skip)]
    pub uri: String,
    /// The last segment of its path.
    pub name: String,
    /// CODECS, RESOLUTION, FRAME-RATE and AUDIO of a variant, GROUP-ID and NAME of a rendition.
    pub attributes: Vec<String>,
}

impl Track {
    /// All media playlists that a multivariant playlist names.
    pub fn all(multivariant: &Multivariant) -> Vec<Track> {
        let mut tracks: Vec<Track> = Vec::new();
        let variants = multivariant.variants.iter().map(|variant| {
            let of = [&variant.codecs, &variant.resolution, &variant.frame_rate, &variant.audio];
            ("variant".to_owned(), variant.uri.clone(), of.map(|it| it.clone().unwrap_or_default()).to_vec())
        });
        let renditions = multivariant.renditions.iter().filter_map(|rendition| {
            let of = vec![rendition.group.clone(), rendition.name.clone()];
            Some((rendition.kind.to_ascii_lowercase(), rendition.uri.clone()?, of))
        });
        for (kind, uri, attributes) in variants.chain(renditions) {
            // Variants and groups may share a playlist.
            if tracks.iter().any(|known| known.uri == uri) {
                continue;
            }
            let number = 1 + tracks.iter().filter(|known| known.role.starts_with(&kind)).count();
            let name = file_name(&uri).to_owned();
            tracks.push(Track { role: format!("{kind} {number}"), uri, name, attributes });
        }
        tracks
    }

    /// The only one, if the URL leads to a media playlist.
    pub fn only(uri: &str) -> Track {
        Track {
            role: "media".to_owned(),
            uri: uri.to_owned(),
            name: file_name(uri).to_owned(),
            attributes: Vec::new(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Finding {
    /// Both have it, and it is the same.
    Identical {
        /// Of which track.
        track: String,
        /// What.
        #[serde(flatten)]
        item: Item,
        /// As both have it.
        #[serde(flatten)]
        facts: Facts,
    },
    /// Both have it, and it is not the same.
    Different {
        /// Of which track.
        track: String,
        /// What.
        #[serde(flatten)]
        item: Item,
        /// In what.
        what: Vec<&'static str>,
        /// As A has it.
        a: Facts,
        /// As B has it.
        b: Facts,
    },
    /// One side said something else about it before.
    Changed {
        /// Of which track.
        track: String,
        /// What.
        #[serde(flatten)]
        item: Item,
        /// Who.
        side: Side,
        /// In what.
        what: Vec<&'static str>,
        /// Before.
        before: Facts,
        /// After.
        after: Facts,
    },
    /// One side left numbers out while it was up.
    Skipped {
        /// Of which track.
        track: String,
        /// Who.
        side: Side,
        /// The first number.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// The newest number of one side became smaller while it was up.
    WentBack {
        /// Of which track.
        track: String,
        /// Who.
        side: Side,
        /// From.
        from: u64,
        /// To.
        to: u64,
    },
    /// Both are up, and their numbers have nothing to do with each other.
    Apart {
        /// Of which track.
        track: String,
        /// The numbers that A lists, from the first to the last.
        a: (u64, u64),
        /// Those that B lists.
        b: (u64, u64),
    },
    /// The media playlists say different things for the life of the stream.
    Headers {
        /// Of which track.
        track: String,
        /// In what.
        what: Vec<&'static str>,
        /// A's.
        a: Header,
        /// B's.
        b: Header,
    },
    /// The multivariant playlists name different tracks.
    Tracks {
        /// A's.
        a: Vec<Track>,
        /// B's.
        b: Vec<Track>,
    },
}

impl Finding {
    /// Whether the two are told apart by it.
    pub fn is_difference(&self) -> bool {
        !matches!(self, Finding::Identical { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Identical { track, item, facts } => write!(f, "identical  {track} {item}: {facts}"),
            Finding::Different { track, item, what, a, b } => {
                write!(f, "different  {track} {item}: {}\n  A: {a}\n  B: {b}", what.join(", "))
            }
            Finding::Changed { track, item, side, what, before, after } => {
                let what = what.join(", ");
                write!(
                    f,
                    "changed    {track} {item} of {side}: {what}\n  before: {before}\n  after:  {after}"
                )
            }
            Finding::Skipped { track, side, first, last } => {
                write!(f, "skipped    {track}: {side} was up and left out segments {first} to {last}")
            }
            Finding::WentBack { track, side, from, to } => {
                write!(f, "went back  {track}: {side} was up and went from segment {from} to {to}")
            }
            Finding::Apart { track, a, b } => {
                write!(f, "apart      {track}: A lists segments {} to {}, B {} to {}", a.0, a.1, b.0, b.1)
            }
            Finding::Headers { track, what, a, b } => {
                write!(f, "different  {track} playlists: {}\n  A: {a:?}\n  B: {b:?}", what.join(", "))
            }
            Finding::Tracks { a, b } => {
                write!(f, "different  tracks\n  A: {}\n  B: {}", named(a), named(b))
            }
        }
    }
}

fn named(tracks: &[Track]) -> String {
    let one = |it: &Track| format!("{} ({} {})", it.role, it.name, it.attributes.join(" "));
    tracks.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What the two are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All that both have is the same.
    Identical,
    /// Something is not.
    Different,
    /// There is a track of which they have nothing in common, or nothing at all was seen.
    CouldNotTell,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Identical => "identical",
            Verdict::Different => "different",
            Verdict::CouldNotTell => "could not tell",
        })
    }
}

/// Why something is on one side only, as a count of each reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Alone {
    /// The other side's window had not begun.
    pub before: u64,
    /// The other side had not come so far, or had ended.
    pub after: u64,
    /// The other side was away.
    pub away: u64,
    /// The other side listed it for too short a time, or as part of an old segment.
    pub unseen: u64,
    /// The other side left it out while it was up.
    pub skipped: u64,
}

impl Alone {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.before + self.after + self.away + self.unseen + self.skipped
    }
}

/// What became of the segments, or parts, of a track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The same on both.
    pub identical: u64,
    /// Not the same on both.
    pub different: u64,
    /// Said otherwise by the same side before.
    pub changed: u64,
    /// On A only.
    pub only_a: Alone,
    /// On B only.
    pub only_b: Alone,
}

impl Tally {
    /// On both.
    pub fn both(&self) -> u64 {
        self.identical + self.different
    }

    /// How much of what both have is the same, in percent; none if they have nothing in common.
    pub fn percent(&self) -> Option<f64> {
        (self.both() > 0).then(|| 100.0 * self.identical as f64 / self.both() as f64)
    }
}

/// A track in the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrackSummary {
    /// Its role.
    pub track: String,
    /// Its segments.
    pub segments: Tally,
    /// Its parts.
    pub parts: Tally,
}

/// A time in which nothing could be had from a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// Who.
    pub side: Side,
    /// From when, in milliseconds since the comparison began.
    pub from_ms: u64,
    /// Until when; none if it is not back.
    pub to_ms: Option<u64>,
    /// The first reason.
    pub why: String,
}

/// All that can be said at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What the two are to each other.
    pub verdict: Verdict,
    /// Track by track.
    pub tracks: Vec<TrackSummary>,
    /// How many findings tell them apart.
    pub differences: u64,
    /// When a side was away; the first hundred.
    pub outages: Vec<Outage>,
    /// How often a side was away.
    pub outage_count: u64,
}

/// Two servers, being compared.
#[derive(Debug, Default)]
pub struct Comparison {
    tracks: BTreeMap<String, TrackState>,
    named: [Option<Vec<Track>>; 2],
    told_tracks: bool,
    differences: u64,
    /// Since the last time that a side came back, per side: how often that happened.
    returns: [u64; 2],
    is_away: [bool; 2],
    outages: VecDeque<Outage>,
    outage_count: u64,
}

#[derive(Debug, Default)]
struct TrackState {
    items: BTreeMap<Item, [Option<Facts>; 2]>,
    headers: [Option<Header>; 2],
    told_headers: bool,
    listed: [Listed; 2],
    apart: Apart,
    segments: Tally,
    parts: Tally,
}

/// How often the two have listed in turn what has nothing to do with each other.
#[derive(Debug, Default)]
struct Apart {
    windows: [Option<(u64, u64)>; 2],
    last: Option<Side>,
    turns: u32,
    told: bool,
}

/// By how many segments one may be ahead of the other's window, and how often, before they are apart.
const APART_SEGMENTS: u64 = 3;
const APART_TURNS: u32 = 6;

/// Which numbers a side has listed.
#[derive(Debug, Default)]
struct Listed {
    /// From the first to the last.
    seen: Option<RangeInclusive<u64>>,
    /// What is missing in between, and whether it was away then.
    holes: Vec<(RangeInclusive<u64>, bool)>,
    /// How often the side had come back when that was listed.
    returns: u64,
}

impl Comparison {
    /// Nothing is known yet.
    pub fn new() -> Comparison {
        Comparison::default()
    }

    /// A side's multivariant playlist names these tracks.
    pub fn tracks(&mut self, side: Side, tracks: Vec<Track>) -> Option<Finding> {
        for track in &tracks {
            self.tracks.entry(track.role.clone()).or_default();
        }
        self.named[side as usize] = Some(tracks);
        let [Some(a), Some(b)] = &self.named else { return None };
        let unlike = a.iter().map(comparable).ne(b.iter().map(comparable));
        if !unlike || self.told_tracks {
            return None;
        }
        self.told_tracks = true;
        self.differences += 1;
        Some(Finding::Tracks { a: a.clone(), b: b.clone() })
    }

    /// A side's playlist of a track, each time that it was loaded.
    pub fn listed(&mut self, side: Side, track: &str, media: &Media) -> Vec<Finding> {
        let returns = self.returns[side as usize];
        let state = self.tracks.entry(track.to_owned()).or_default();
        let mut found = Vec::new();
        let track = || track.to_owned();
        if let Some(window) = media.window() {
            match state.listed[side as usize].extend(window, returns) {
                Step::On => {}
                Step::Back { from, to } => found.push(Finding::WentBack { track: track(), side, from, to }),
                Step::Skipped { first, last } => {
                    found.push(Finding::Skipped { track: track(), side, first, last });
                }
            }
        }
        if let Some((a, b)) = state.apart.listed(side, media) {
            found.push(Finding::Apart { track: track(), a, b });
        }
        state.headers[side as usize] = Some(Header::of(media));
        if let ([Some(a), Some(b)], false) = (&state.headers, state.told_headers) {
            let what = a.unlike(b);
            if !what.is_empty() {
                state.told_headers = true;
                found.push(Finding::Headers { track: track(), what, a: a.clone(), b: b.clone() });
            }
        }
        self.differences += found.len() as u64;
        found
    }

    /// A side has this segment or part.
    pub fn observe(&mut self, side: Side, track: &str, item: Item, facts: Facts) -> Option<Finding> {
        let state = self.tracks.entry(track.to_owned()).or_default();
        let tally = if item.part.is_some() { &mut state.parts } else { &mut state.segments };
        let known = state.items.entry(item).or_default();
        let track = track.to_owned();
        if let Some(before) = &known[side as usize] {
            let what = before.unlike(&facts);
            if what.is_empty() {
                return None;
            }
            tally.changed += 1;
            self.differences += 1;
            return Some(Finding::Changed { track, item, side, what, before: before.clone(), after: facts });
        }
        known[side as usize] = Some(facts);
        let finding = match known {
            [Some(a), Some(b)] => {
                let what = a.unlike(b);
                if what.is_empty() {
                    tally.identical += 1;
                    Some(Finding::Identical { track, item, facts: a.clone() })
                } else {
                    tally.different += 1;
                    self.differences += 1;
                    Some(Finding::Different { track, item, what, a: a.clone(), b: b.clone() })
                }
            }
            _ => None,
        };
        if state.items.len() > ITEMS_MAX
            && let Some((item, facts)) = state.items.pop_first()
        {
            state.count_alone(item, &facts);
        }
        finding
    }

    /// Nothing can be had from a side, `at_ms` after the beginning. Said again, it changes nothing.
    pub fn away(&mut self, side: Side, at_ms: u64, why: &str) {
        if std::mem::replace(&mut self.is_away[side as usize], true) {
            return;
        }
        self.outage_count += 1;
        if self.outages.len() < OUTAGES_MAX {
            self.outages.push_back(Outage { side, from_ms: at_ms, to_ms: None, why: why.to_owned() });
        }
    }

    /// A side can be seen, perhaps again.
    pub fn back(&mut self, side: Side, at_ms: u64) {
        if !std::mem::replace(&mut self.is_away[side as usize], false) {
            return;
        }
        self.returns[side as usize] += 1;
        let open = self.outages.iter_mut().rev().find(|it| it.side == side && it.to_ms.is_none());
        if let Some(outage) = open {
            outage.to_ms = Some(at_ms);
        }
    }

    /// Why a side cannot be seen, if it cannot.
    pub fn outage(&self, side: Side) -> Option<&Outage> {
        self.outages.iter().rev().find(|it| it.side == side && it.to_ms.is_none())
    }

    /// How many segments and parts are the same on both, and how many findings tell them apart.
    pub fn counts(&self) -> (u64, u64) {
        let same = self.tracks.values().map(|it| it.segments.identical + it.parts.identical).sum();
        (same, self.differences)
    }

    /// What can be said now.
    pub fn summary(&self) -> Summary {
        let tracks: Vec<TrackSummary> =
            self.tracks.iter().map(|(track, state)| state.summary(track)).collect();
        let in_common = |it: &TrackSummary| it.segments.both() + it.parts.both() > 0;
        let verdict = match () {
            () if self.differences > 0 => Verdict::Different,
            () if tracks.is_empty() || !tracks.iter().all(in_common) => Verdict::CouldNotTell,
            () => Verdict::Identical,
        };
        Summary {
            verdict,
            tracks,
            differences: self.differences,
            outages: self.outages.iter().cloned().collect(),
            outage_count: self.outage_count,
        }
    }
}

/// Where a track is does not matter, only what it is called there.
fn comparable(track: &Track) -> (&str, &str, &[String]) {
    (&track.role, &track.name, &track.attributes)
}

/// How a window has moved.
enum Step {
    On,
    Back { from: u64, to: u64 },
    Skipped { first: u64, last: u64 },
}

impl Apart {
    /// The windows of both, once it is sure that they do not meet. A side that does not move is not taken at its word.
    fn listed(&mut self, side: Side, media: &Media) -> Option<((u64, u64), (u64, u64))> {
        let window = media.window()?;
        self.windows[side as usize] = Some((*window.start(), *window.end()));
        let is_turn = self.last.replace(side) != Some(side);
        let [Some(a), Some(b)] = self.windows else { return None };
        if a.0 <= b.1.saturating_add(APART_SEGMENTS) && b.0 <= a.1.saturating_add(APART_SEGMENTS) {
            self.turns = 0;
            return None;
        }
        self.turns += u32::from(is_turn);
        let is_new =
            self.turns >= APART_TURNS && !std::mem::replace(&mut self.told, self.turns >= APART_TURNS);
        is_new.then_some((a, b))
    }
}

impl Listed {
    fn extend(&mut self, window: RangeInclusive<u64>, returns: u64) -> Step {
        let was_away = std::mem::replace(&mut self.returns, returns) != returns;
        let Some(seen) = self.seen.clone() else {
            self.seen = Some(window);
            return Step::On;
        };
        let (first, last) = (*seen.start().min(window.start()), *seen.end().max(window.end()));
        self.seen = Some(first..=last);
        if *window.end() < *seen.end() && !was_away {
            return Step::Back { from: *seen.end(), to: *window.end() };
        }
        if *window.start() > seen.end().saturating_add(1) {
            let hole = seen.end() + 1..=window.start() - 1;
            self.holes.push((hole.clone(), was_away));
            if !was_away {
                return Step::Skipped { first: *hole.start(), last: *hole.end() };
            }
        }
        Step::On
    }

    /// Why this number is not known here.
    fn count(&self, msn: u64, alone: &mut Alone) {
        let hole = self.holes.iter().find(|(hole, _)| hole.contains(&msn));
        let counter = match (&self.seen, hole) {
            (_, Some((_, true))) => &mut alone.away,
            (_, Some((_, false))) => &mut alone.skipped,
            (Some(seen), None) if msn > *seen.end() => &mut alone.after,
            (Some(seen), None) if msn >= *seen.start() => &mut alone.unseen,
            (Some(_) | None, None) => &mut alone.before,
        };
        *counter += 1;
    }
}

impl TrackState {
    fn count_alone(&mut self, item: Item, facts: &[Option<Facts>; 2]) {
        let tally = if item.part.is_some() { &mut self.parts } else { &mut self.segments };
        count_alone(tally, &self.listed, item, facts);
    }

    fn summary(&self, track: &str) -> TrackSummary {
        let (mut segments, mut parts) = (self.segments, self.parts);
        for (item, facts) in &self.items {
            let tally = if item.part.is_some() { &mut parts } else { &mut segments };
            count_alone(tally, &self.listed, *item, facts);
        }
        TrackSummary { track: track.to_owned(), segments, parts }
    }
}

fn count_alone(tally: &mut Tally, listed: &[Listed; 2], item: Item, facts: &[Option<Facts>; 2]) {
    match facts {
        [Some(_), None] => listed[Side::B as usize].count(item.msn, &mut tally.only_a),
        [None, Some(_)] => listed[Side::A as usize].count(item.msn, &mut tally.only_b),
        _ => {}
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for track in &self.tracks {
            writeln!(f, "{}", track.track)?;
            for (what, tally) in [("segments", &track.segments), ("parts", &track.parts)] {
                write!(f, "  {what:9} {:>6} on both", tally.both())?;
                if let Some(percent) = tally.percent() {
                    write!(f, ", {percent:.2}% identical")?;
                }
                for (count, what) in [(tally.different, "different"), (tally.changed, "changed")] {
                    if count > 0 {
                        write!(f, ", {count} {what}")?;
                    }
                }
                for (side, alone) in [(Side::A, &tally.only_a), (Side::B, &tally.only_b)] {
                    if alone.total() > 0 {
                        write!(f, "; {} on {side} only ({})", alone.total(), reasons(alone, side.other()))?;
                    }
                }
                writeln!(f)?;
            }
        }
        for outage in &self.outages {
            let Outage { side, from_ms, to_ms, why } = outage;
            write!(f, "{side} was away from {:.1} s ", *from_ms as f64 / 1e3)?;
            match to_ms {
                Some(to_ms) => writeln!(f, "to {:.1} s: {why}", *to_ms as f64 / 1e3)?,
                None => writeln!(f, "to the end: {why}")?,
            }
        }
        let more = self.outage_count.saturating_sub(self.outages.len() as u64);
        if more > 0 {
            writeln!(f, "and {more} times more")?;
        }
        write!(f, "verdict: {}", self.verdict)
    }
}

fn reasons(alone: &Alone, other: Side) -> String {
    let all = [
        (alone.before, format!("before {other} began")),
        (alone.after, format!("{other} has not come so far")),
        (alone.away, format!("{other} was away")),
        (alone.unseen, format!("{other} did not list it for long enough")),
        (alone.skipped, format!("{other} left it out")),
    ];
    let told = all.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count}: {why}"));
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
