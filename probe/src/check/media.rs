//! What segments and parts hold, alone, one after the other, and side by side.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::lists::{TrackLists, max_age};
use super::{Answer, Ledger, Place, Rule};
use crate::diff::{Digest, Item, Track};
use crate::fmp4;
use crate::playlist::{Multivariant, Segment};

/// Segments that are remembered of a track.
const SEGMENTS_MAX: usize = 10_000;
/// Parts whose bytes are kept until their segment comes.
const PARTS_MAX: usize = 500;

/// The media of one track.
#[derive(Debug, Default)]
pub(super) struct TrackMedia {
    timescale: Option<u32>,
    is_video: bool,
    digests: BTreeMap<Item, Digest>,
    parts: BTreeMap<Item, Bytes>,
    times: BTreeMap<u64, Times>,
}

/// What a segment says about its own time, in ticks.
#[derive(Clone, Debug)]
struct Times {
    start: u64,
    end: u64,
    frame: u64,
    starts_with_sync: Option<bool>,
    bytes: usize,
    url: String,
    at_ms: u64,
}

impl Times {
    fn place(&self) -> Place<'_> {
        Place { at_ms: self.at_ms, url: &self.url, line: None }
    }
}

/// What holds of every file of media.
pub(super) fn file(ledger: &mut Ledger, answer: &Answer) {
    let at = Place::of(answer);
    ledger.must(Rule::B15, at, answer.status == 200, || {
        format!("it is listed, and the answer is {}", answer.status)
    });
    if answer.status != 200 {
        return;
    }
    let kind = answer.content_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    let is_typed = TYPES.iter().any(|known| kind.starts_with(known));
    ledger.must(Rule::B15, at, is_typed, || format!("the type of media is {kind:?}"));
    if let Some(age) = answer.cache_control.as_deref().and_then(max_age) {
        ledger.should(Rule::L13, at, age > 0, || "media that never changes may not be cached".to_owned());
    }
}

const TYPES: [&str; 7] = [
    "video/mp4",
    "video/iso.segment",
    "video/mp2t",
    "audio/mp4",
    "audio/aac",
    "audio/mpeg",
    "application/mp4",
];

impl TrackMedia {
    pub(super) fn init(&mut self, answer: &Answer) {
        self.timescale = fmp4::timescale(&answer.body).or(self.timescale);
        self.is_video = fmp4::is_video(&answer.body).unwrap_or(self.is_video);
    }

    pub(super) fn take(
        &mut self,
        ledger: &mut Ledger,
        listed: Option<&TrackLists>,
        item: Item,
        answer: &Answer,
    ) {
        if answer.status != 200 {
            return;
        }
        let at = Place::of(answer);
        self.keeps_its_bytes(ledger, item, answer);
        if item.part.is_some() {
            self.parts.insert(item, answer.body.clone());
            if self.parts.len() > PARTS_MAX {
                self.parts.pop_first();
            }
            return;
        }
        let segment = listed.and_then(|listed| listed.segments.get(&item.msn));
        self.is_its_parts(ledger, at, segment, item.msn, &answer.body);
        let Some(found) = fmp4::fragments(&answer.body) else { return };
        let (Some(first), Some(last)) = (found.first(), found.last()) else { return };
        for pair in found.windows(2) {
            let end = pair[0].decode_time + pair[0].duration;
            on_time(ledger, at, pair[1].decode_time, end, pair[0].last, || {
                format!("within segment {}", item.msn)
            });
        }
        let times = Times {
            start: first.decode_time,
            end: last.decode_time + last.duration,
            frame: last.last,
            starts_with_sync: first.starts_with_sync,
            bytes: answer.body.len(),
            url: answer.url.clone(),
            at_ms: answer.at_ms,
        };
        let goes_on = segment.is_some_and(|segment| !segment.discontinuity);
        let before = item.msn.checked_sub(1).and_then(|msn| self.times.get(&msn));
        if let Some(before) = before.filter(|_| goes_on) {
            let what = || format!("between segments {} and {}", item.msn - 1, item.msn);
            on_time(ledger, at, times.start, before.end, before.frame, what);
        }
        self.times.insert(item.msn, times);
        if self.times.len() > SEGMENTS_MAX {
            self.times.pop_first();
        }
    }

    fn keeps_its_bytes(&mut self, ledger: &mut Ledger, item: Item, answer: &Answer) {
        let digest = Digest::of(&answer.body);
        if let Some(known) = self.digests.insert(item, digest) {
            ledger.must(Rule::B5, Place::of(answer), known == digest, || {
                format!("{item} has other bytes than before")
            });
        }
        if self.digests.len() > SEGMENTS_MAX {
            self.digests.pop_first();
        }
    }

    /// Whether it was asked for, and what it was then.
    pub(super) fn digest(&self, item: Item) -> Option<Digest> {
        self.digests.get(&item).copied()
    }

    fn is_its_parts(
        &mut self,
        ledger: &mut Ledger,
        at: Place<'_>,
        segment: Option<&Segment>,
        msn: u64,
        whole: &[u8],
    ) {
        let of_it = Item { msn, part: Some(0) }..=Item { msn, part: Some(usize::MAX) };
        let parts: Vec<&Bytes> = self.parts.range(of_it).map(|(_, bytes)| bytes).collect();
        let listed = segment.map_or(0, |it| it.parts.iter().filter(|part| !part.gap).count());
        if !parts.is_empty() && parts.len() == listed {
            let rest = parts.iter().try_fold(whole, |rest, part| rest.strip_prefix(&part[..]));
            ledger.must(Rule::L11, at, rest.is_some_and(<[u8]>::is_empty), || {
                format!("segment {msn} is not the concatenation of its {listed} parts")
            });
        }
        self.parts = self.parts.split_off(&Item { msn: msn.saturating_add(1), part: None });
    }

    /// The highest bit rate of a segment that is long enough to count.
    fn peak_bps(&self, listed: &TrackLists) -> Option<u64> {
        let target_us = i64::try_from(listed.last.as_ref()?.target_s?).ok()?.checked_mul(1_000_000)?;
        let rates = self.times.iter().filter_map(|(msn, times)| {
            let us = listed.segments.get(msn)?.duration_us;
            (us * 2 >= target_us).then(|| times.bytes as u64 * 8_000_000 / us.max(1).unsigned_abs())
        });
        rates.max()
    }
}

fn on_time(
    ledger: &mut Ledger,
    at: Place<'_>,
    found: u64,
    expected: u64,
    frame: u64,
    what: impl Fn() -> String,
) {
    let off = found.abs_diff(expected);
    let told = || format!("{}: tfdt is {found}, and the media before ends at {expected}", what());
    ledger.must(Rule::B16, at, off <= frame, told);
    ledger.should(Rule::B16, at, off == 0, told);
}

/// What can only be said when everything was seen.
pub(super) fn together(
    ledger: &mut Ledger,
    media: &BTreeMap<String, TrackMedia>,
    lists: &BTreeMap<String, TrackLists>,
    multivariant: Option<&(Multivariant, String)>,
) {
    let declared = multivariant.is_some_and(|(it, _)| it.independent_segments);
    for (track, this) in media {
        let Some(listed) = lists.get(track) else { continue };
        adds_up(ledger, this, listed);
        let declared = declared || listed.last.as_ref().is_some_and(|it| it.independent_segments);
        for (msn, times) in this.times.iter().filter(|_| this.is_video) {
            let Some(sync) = times.starts_with_sync else { continue };
            let what = || format!("segment {msn} does not begin with a key frame");
            if declared {
                ledger.must(Rule::B16, times.place(), sync, what);
            } else {
                ledger.should(Rule::B16, times.place(), sync, what);
            }
        }
    }
    one_timeline(ledger, media, lists);
    if let Some((multivariant, url)) = multivariant {
        variants(ledger, multivariant, url, media, lists);
    }
}

/// EXTINF of segments that follow each other, held against their media.
fn adds_up(ledger: &mut Ledger, this: &TrackMedia, listed: &TrackLists) {
    let Some(timescale) = this.timescale else { return };
    let mut run: Option<(u64, u64, i64)> = None;
    for (msn, times) in &this.times {
        let Some(segment) = listed.segments.get(msn).filter(|segment| segment.uri.is_some()) else {
            continue;
        };
        let goes_on = run.is_some_and(|(last, ..)| last + 1 == *msn) && !segment.discontinuity;
        let (start, sum_us) = match run.filter(|_| goes_on) {
            Some((_, start, sum_us)) => (start, sum_us),
            None => (times.start, 0),
        };
        let sum_us = sum_us + segment.duration_us;
        let us = |ticks: u64| ticks as f64 * 1e6 / f64::from(timescale);
        let off_us = us(times.end.saturating_sub(start)) - sum_us as f64;
        ledger.should(Rule::B4, times.place(), off_us.abs() <= us(times.frame) + 1.0, || {
            format!("up to segment {msn}, EXTINF is {:.6} s off from the media", off_us / 1e6)
        });
        run = Some((*msn, start, sum_us));
    }
}

/// Dates and timestamps have the same distance in all tracks.
fn one_timeline(
    ledger: &mut Ledger,
    media: &BTreeMap<String, TrackMedia>,
    lists: &BTreeMap<String, TrackLists>,
) {
    let mut zeros: BTreeMap<u64, (String, i64)> = BTreeMap::new();
    for (track, this) in media {
        let (Some(timescale), Some(listed)) = (this.timescale, lists.get(track)) else { continue };
        for (msn, times) in &this.times {
            let Some(segment) = listed.segments.get(msn) else { continue };
            let Some(date_ms) = segment.date_ms() else { continue };
            let start_ms = u128::from(times.start) * 1_000 / u128::from(timescale);
            let zero_ms = date_ms.saturating_sub(i64::try_from(start_ms).unwrap_or(i64::MAX));
            let known = zeros.entry(segment.discontinuities).or_insert_with(|| (track.clone(), zero_ms));
            ledger.must(Rule::B13, times.place(), (known.1 - zero_ms).abs() <= 500, || {
                format!("its timestamps are {} ms off from those of {}", zero_ms - known.1, known.0)
            });
        }
    }
}

fn variants(
    ledger: &mut Ledger,
    multivariant: &Multivariant,
    url: &str,
    media: &BTreeMap<String, TrackMedia>,
    lists: &BTreeMap<String, TrackLists>,
) {
    let tracks = Track::all(multivariant);
    let peak = |uri: &str| -> Option<u64> {
        let role = &tracks.iter().find(|track| track.uri == uri)?.role;
        media.get(role)?.peak_bps(lists.get(role)?)
    };
    let is_video = |uri: &str| {
        let role = tracks.iter().find(|track| track.uri == uri).map(|track| &track.role);
        role.and_then(|role| media.get(role)).is_some_and(|media| media.is_video)
    };
    for variant in &multivariant.variants {
        let at = Place { at_ms: 0, url, line: Some(variant.line) };
        ledger.must(Rule::B17, at, variant.bandwidth.is_some(), || "there is no BANDWIDTH".to_owned());
        let mut wanted = vec![
            ("AVERAGE-BANDWIDTH", variant.average_bandwidth.is_some()),
            ("CODECS", variant.codecs.as_ref().is_some_and(|codecs| !codecs.is_empty())),
        ];
        if is_video(&variant.uri) {
            wanted.push(("RESOLUTION", variant.resolution.is_some()));
            wanted.push(("FRAME-RATE", variant.frame_rate.is_some()));
        }
        for (name, is_there) in wanted {
            ledger.should(Rule::B17, at, is_there, || format!("there is no {name}"));
        }
        let audio = multivariant.renditions.iter().filter(|it| Some(&it.group) == variant.audio.as_ref());
        let audio = audio.filter_map(|it| peak(it.uri.as_deref()?)).max().unwrap_or(0);
        if let (Some(bandwidth), Some(peak)) = (variant.bandwidth, peak(&variant.uri)) {
            let peak = peak + audio;
            // What is measured of a live stream may be a tenth off (Apple's authoring specification, 9.16).
            ledger.must(Rule::B17, at, peak * 10 <= bandwidth.saturating_mul(11), || {
                format!("BANDWIDTH is {bandwidth}, and {peak} bit/s were seen")
            });
        }
    }
}
