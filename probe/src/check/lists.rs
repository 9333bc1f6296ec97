//! What playlists say, alone, one after the other, and side by side.

use std::collections::BTreeMap;

use super::{Answer, Directives, Ledger, Place, Rule};
use crate::playlist::{Media, Multivariant, Part, Playlist, PlaylistError, Segment};

/// How much an answer may be late on its way, in milliseconds.
const ON_THE_WAY_MS: u64 = 250;

/// The playlists of one track.
#[derive(Debug, Default)]
pub(super) struct TrackLists {
    pub(super) url: String,
    pub(super) last: Option<Media>,
    last_at_ms: u64,
    /// Every segment that was ever listed, by its number.
    pub(super) segments: BTreeMap<u64, Segment>,
    first_target_s: Option<u64>,
    first_msn: Option<u64>,
    newest: Newest,
    ended: bool,
    has_slid: bool,
    has_hinted: bool,
}

/// When the newest segment and part were first seen.
#[derive(Debug, Default)]
struct Newest {
    segment: Option<(u64, u64)>,
    part: Option<((u64, usize), u64)>,
}

/// Segments that are remembered of a track.
const SEGMENTS_MAX: usize = 10_000;

/// What holds of every playlist.
pub(super) fn text(ledger: &mut Ledger, answer: &Answer) {
    let at = Place::of(answer);
    ledger.must(Rule::B15, at, answer.status == 200, || match &answer.trouble {
        Some(trouble) => format!("there is no playlist: {trouble}"),
        None => format!("a playlist is answered with {}", answer.status),
    });
    if answer.status != 200 {
        return;
    }
    ledger
        .must(Rule::B1, at, !answer.body.starts_with(b"\xef\xbb\xbf"), || "it begins with a BOM".to_owned());
    let is_text = std::str::from_utf8(&answer.body).is_ok();
    ledger.must(Rule::B1, at, is_text, || "it is not UTF-8".to_owned());
    let text = String::from_utf8_lossy(&answer.body);
    match Playlist::parse(&text) {
        Err(error @ PlaylistError::NotAPlaylist) => {
            ledger.must(Rule::B1, at.line(1), false, || error.to_string())
        }
        Err(error) => ledger.must(Rule::B1, at, false, || error.to_string()),
        Ok(Playlist::Media(media)) => {
            let has_target = media.target_s.is_some();
            ledger.must(Rule::B1, at, has_target, || "there is no EXT-X-TARGETDURATION".to_owned());
        }
        Ok(Playlist::Multivariant(_)) => ledger.must(Rule::B1, at, true, String::new),
    }
    let kind = answer.content_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    let is_typed = ["application/vnd.apple.mpegurl", "audio/mpegurl"].iter().any(|it| kind.starts_with(it));
    ledger.must(Rule::B15, at, is_typed, || format!("the type of a playlist is {kind:?}"));
}

impl TrackLists {
    pub(super) fn load(&mut self, ledger: &mut Ledger, asked: Directives, answer: &Answer) {
        if answer.status != 200 {
            return;
        }
        let at = Place::of(answer);
        let Ok(media) = Media::parse(&String::from_utf8_lossy(&answer.body)) else { return };
        if self.url.is_empty() {
            answer.url.split('?').next().unwrap_or_default().clone_into(&mut self.url);
        }
        alone(ledger, at, &media);
        caching(ledger, at, &media, asked, answer);
        blocking(ledger, at, &media, asked, answer);
        self.target(ledger, at, &media);
        self.edits(ledger, at, &media);
        self.numbers(ledger, at, &media);
        self.pace(ledger, at, &media, asked.msn.is_some() && answer.took_ms > ON_THE_WAY_MS);
        self.window(ledger, at, &media);
        if asked.msn.is_some()
            && let Some(before) = &self.last
        {
            let is_new = before != &media;
            ledger.should(Rule::L16, at, is_new, || "a blocking reload brought nothing new".to_owned());
        }
        self.remember(&media);
        self.last_at_ms = answer.at_ms;
        self.last = Some(media);
    }

    fn target(&mut self, ledger: &mut Ledger, at: Place<'_>, media: &Media) {
        let Some(target) = media.target_s else { return };
        let first = *self.first_target_s.get_or_insert(target);
        let what = || format!("EXT-X-TARGETDURATION was {first} and is {target}");
        ledger.must(Rule::B3, at, first == target, what);
    }

    /// What of the playlist before is still there must be as it was.
    fn edits(&mut self, ledger: &mut Ledger, at: Place<'_>, media: &Media) {
        let Some(before) = &self.last else { return };
        let newest = |media: &Media| media.window().map_or(0, |window| *window.end());
        let at_tail = newest(media) >= newest(before);
        ledger.must(Rule::B9, at, at_tail, || {
            format!("its newest segment was {} and is {}", newest(before), newest(media))
        });
        for old in &before.segments {
            let Some(new) = media.segment(old.msn) else { continue };
            let same_parts = new.parts.is_empty() && new.uri.is_some() || begins_with(&new.parts, &old.parts);
            let same = same_parts
                && new.discontinuity == old.discontinuity
                && (old.date.is_none() || new.date == old.date)
                && (old.uri.is_none()
                    || (new.uri.is_some() && new.duration_us == old.duration_us && new.gap == old.gap));
            ledger.must(Rule::B9, at.line(new.line), same, || {
                format!("what was listed of segment {} has changed", old.msn)
            });
        }
        if self.ended {
            let same = media.ended && newest(media) == newest(before);
            ledger.must(Rule::B14, at, same, || "a playlist that had ended goes on".to_owned());
        }
    }

    fn numbers(&mut self, ledger: &mut Ledger, at: Place<'_>, media: &Media) {
        if let Some(before) = &self.last {
            let went_back = media.first_msn < before.first_msn;
            ledger.must(Rule::B5, at, !went_back, || {
                format!("EXT-X-MEDIA-SEQUENCE was {} and is {}", before.first_msn, media.first_msn)
            });
            let removed = before.segments.iter().filter(|it| it.msn < media.first_msn && it.discontinuity);
            let expected = before.first_discontinuity.unwrap_or(0) + removed.count() as u64;
            // Segments that nobody saw may have come and gone.
            let is_known = before.window().is_some_and(|window| window.contains(&media.first_msn));
            let found = media.first_discontinuity.unwrap_or(0);
            if is_known {
                ledger.must(Rule::B6, at, found == expected, || {
                    format!("EXT-X-DISCONTINUITY-SEQUENCE is {found} and should be {expected}")
                });
            }
        }
        for segment in media.complete() {
            let Some(known) = self.segments.get(&segment.msn) else { continue };
            let name =
                |it: &Segment| it.uri.as_deref().map(|uri| uri.split('?').next().unwrap_or(uri).to_owned());
            let (old, new) = (name(known), name(segment));
            let same = old.is_none() || old == new;
            let at = at.line(segment.line);
            let what = || format!("segment {} was {old:?} and is {new:?}", segment.msn);
            ledger.must(Rule::B5, at, same, what);
            ledger.should(Rule::L14, at, same, what);
            let (old, new) = (known.discontinuities, segment.discontinuities);
            ledger.should(Rule::L14, at, old == new, || {
                format!("the discontinuity number of segment {} was {old} and is {new}", segment.msn)
            });
        }
    }

    /// How long nothing new came, as far as it is certain: until the answer of a reload that was held, else until the
    /// one before.
    fn pace(&mut self, ledger: &mut Ledger, at: Place<'_>, media: &Media, was_held: bool) {
        let Some(target_s) = media.target_s.filter(|_| !media.ended) else { return };
        let known_ms = if was_held { at.at_ms } else { self.last_at_ms };
        if let Some(msn) = media.complete().next_back().map(|segment| segment.msn)
            && self.newest.segment.is_none_or(|(known, _)| known < msn)
            && let Some((_, since)) = self.newest.segment.replace((msn, at.at_ms))
        {
            let waited = known_ms.saturating_sub(since);
            ledger.must(Rule::B8, at, waited <= target_s * 1_500 + ON_THE_WAY_MS, || {
                format!("segment {msn} came {waited} ms after the one before it; the target is {target_s} s")
            });
        }
        let part = media.segments.iter().rev().find(|it| !it.parts.is_empty());
        let part = part.map(|segment| (segment.msn, segment.parts.len()));
        if let (Some(part), Some(target_us)) = (part, media.part_target_us)
            && self.newest.part.is_none_or(|(known, _)| known < part)
            && let Some((_, since)) = self.newest.part.replace((part, at.at_ms))
        {
            let waited = known_ms.saturating_sub(since);
            let target = u64::try_from(target_us / 1_000).unwrap_or(0);
            // A part is late when it has used up what players hold back for it.
            ledger.should(Rule::B8, at, waited <= target * 2 + ON_THE_WAY_MS, || {
                let (msn, part) = (part.0, part.1 - 1);
                format!(
                    "part {msn}.{part} came {waited} ms after the one before it; the target is {target} ms"
                )
            });
        }
    }

    fn window(&mut self, ledger: &mut Ledger, at: Place<'_>, media: &Media) {
        let first = *self.first_msn.get_or_insert(media.first_msn);
        self.has_slid |= media.first_msn > first;
        self.ended |= media.ended;
        self.has_hinted |= media.hinted_part().is_some();
        let Some(target_s) = media.target_s.filter(|_| self.has_slid && !media.ended) else { return };
        let length_us: i64 = media.complete().map(|segment| segment.duration_us).sum();
        let least_us = i64::try_from(target_s).unwrap_or(i64::MAX).saturating_mul(3_000_000);
        ledger.must(Rule::B7, at, length_us >= least_us, || {
            format!(
                "{:.3} s are listed; three target durations are {} s",
                length_us as f64 / 1e6,
                target_s * 3
            )
        });
        let count = media.complete().count();
        ledger.should(Rule::B4, at, count >= 6, || format!("{count} segments are listed"));
        ledger.must(Rule::B14, at, media.kind.is_none(), || {
            format!(
                "EXT-X-PLAYLIST-TYPE:{} in a playlist that slides",
                media.kind.as_deref().unwrap_or_default()
            )
        });
    }

    fn remember(&mut self, media: &Media) {
        for segment in &media.segments {
            let known = self.segments.entry(segment.msn).or_default();
            let parts = std::mem::take(&mut known.parts);
            *known = segment.clone();
            // The parts of an old segment are no longer listed.
            if known.parts.len() < parts.len() {
                known.parts = parts;
            }
        }
        while self.segments.len() > SEGMENTS_MAX {
            self.segments.pop_first();
        }
    }
}

fn begins_with(parts: &[Part], before: &[Part]) -> bool {
    let same = |(a, b): (&Part, &Part)| a.uri == b.uri && a.duration_us == b.duration_us && a.gap == b.gap;
    parts.len() >= before.len() && parts.iter().zip(before).all(same)
}

/// What holds of one media playlist.
fn alone(ledger: &mut Ledger, at: Place<'_>, media: &Media) {
    version(ledger, at, media);
    let target_us = i64::try_from(media.target_s.unwrap_or(0)).unwrap_or(0).saturating_mul(1_000_000);
    for segment in media.complete() {
        let holds = (segment.duration_us + 500_000) / 1_000_000 * 1_000_000 <= target_us;
        ledger.must(Rule::B3, at.line(segment.line), holds, || {
            format!("segment {} has {:.6} s", segment.msn, segment.duration_us as f64 / 1e6)
        });
    }
    for pair in media.segments.windows(2) {
        follows(ledger, at, &pair[0], &pair[1]);
    }
    let has_discontinuity = media.segments.iter().any(|segment| segment.discontinuity);
    if has_discontinuity {
        ledger.should(Rule::B6, at, media.first_discontinuity.is_some(), || {
            "there are discontinuities and no EXT-X-DISCONTINUITY-SEQUENCE".to_owned()
        });
    }
    for segment in &media.segments {
        if segment.gap && !segment.parts.is_empty() {
            let all = segment.parts.iter().all(|part| part.gap);
            ledger.must(Rule::B10, at.line(segment.line), all, || {
                format!("segment {} is a gap and its parts are not", segment.msn)
            });
        }
    }
    if media.ended {
        ledger.must(Rule::L9, at, media.hints.is_empty(), || "a hint after the end".to_owned());
    }
    low_latency(ledger, at, media, target_us);
}

fn version(ledger: &mut Ledger, at: Place<'_>, media: &Media) {
    let version = media.version.unwrap_or(1);
    let needs = media.needs_version;
    if let Some((least, line, tag)) = needs {
        ledger.must(Rule::B2, at.line(line), version >= least, || {
            format!("{tag} needs version {least}; EXT-X-VERSION is {version}")
        });
    }
    let skips = media.control.as_ref().is_some_and(|control| control.can_skip_until_us.is_some());
    let most = needs.map_or(1, |(least, ..)| least).max(if skips { 10 } else { 1 });
    // Versions 4 to 6 differ in tags that a client without them need not know.
    ledger.should(Rule::B2, at, version <= most.max(6), || {
        format!("EXT-X-VERSION is {version}; its tags need {most}")
    });
}

/// What a segment has to do with the one before it.
fn follows(ledger: &mut Ledger, at: Place<'_>, before: &Segment, segment: &Segment) {
    let at = at.line(segment.line);
    if before.map != segment.map {
        ledger.must(Rule::B11, at, segment.discontinuity, || {
            format!("segment {} has another EXT-X-MAP and no discontinuity", segment.msn)
        });
    }
    if segment.discontinuity {
        ledger.should(Rule::B12, at, segment.date.is_some(), || {
            format!("no date after the discontinuity at segment {}", segment.msn)
        });
        return;
    }
    let (Some(date), Some(before_date)) = (segment.date_ms(), before.date_ms()) else { return };
    let off_ms = date - before_date - before.duration_us / 1_000;
    ledger.must(Rule::B12, at, off_ms.abs() < 1_000, || {
        format!("the date of segment {} is {off_ms} ms off from the end of the one before", segment.msn)
    });
    ledger.should(Rule::B10, at, off_ms < 1_000, || {
        format!("{off_ms} ms are missing before segment {}, and no gap is declared", segment.msn)
    });
}

fn low_latency(ledger: &mut Ledger, at: Place<'_>, media: &Media, target_us: i64) {
    let control = media.control.clone().unwrap_or_default();
    let line = at.line(control.line.max(1));
    if let Some(hold_back) = control.hold_back_us {
        ledger.must(Rule::L2, line, hold_back >= 3 * target_us, || {
            format!("HOLD-BACK is {:.3} s", hold_back as f64 / 1e6)
        });
    }
    if let Some(until) = control.can_skip_until_us {
        ledger.must(Rule::L3, line, until >= 6 * target_us, || {
            format!("CAN-SKIP-UNTIL is {:.3} s", until as f64 / 1e6)
        });
    }
    if control.can_skip_dateranges {
        ledger.must(Rule::L3, line, control.can_skip_until_us.is_some(), || {
            "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL".to_owned()
        });
    }
    let has_parts = media.segments.iter().any(|segment| !segment.parts.is_empty());
    if has_parts {
        ledger
            .must(Rule::L1, at, media.part_target_us.is_some(), || "parts without EXT-X-PART-INF".to_owned());
    }
    let Some(target) = media.part_target_us else { return };
    let hold_back = control.part_hold_back_us;
    let shown = hold_back.map_or("absent".to_owned(), |us| format!("{:.3} s", us as f64 / 1e6));
    ledger.must(Rule::L2, line, hold_back.is_some_and(|us| us >= 2 * target), || {
        format!("PART-HOLD-BACK is {shown}, PART-TARGET {:.3} s", target as f64 / 1e6)
    });
    ledger.should(Rule::L2, line, hold_back.is_some_and(|us| us >= 3 * target), || {
        format!("PART-HOLD-BACK is {shown}; three times PART-TARGET is advised")
    });
    for segment in &media.segments {
        parts(ledger, at, segment, target);
    }
    for kind in ["PART", "MAP"] {
        let hints = media.hints.iter().filter(|hint| hint.kind == kind).count();
        ledger.must(Rule::L9, at, hints <= 1, || format!("{hints} hints of type {kind}"));
    }
    if let Some(hint) = media.hinted_part() {
        ledger.should(Rule::L15, at.line(hint.line), !media.discontinuity_at_end, || {
            "a part is hinted behind a discontinuity".to_owned()
        });
    }
    let edge_us: i64 = media.segments.iter().map(|segment| segment.duration_us).sum();
    let mut end_us = 0;
    for segment in &media.segments {
        end_us += segment.duration_us;
        // What is further from the edge than three target durations has had its time; one segment more is tolerable.
        let is_old = edge_us - end_us > 4 * target_us;
        ledger.should(Rule::L11, at.line(segment.line), !is_old || segment.parts.is_empty(), || {
            format!("the parts of segment {} are still listed", segment.msn)
        });
    }
}

fn parts(ledger: &mut Ledger, at: Place<'_>, segment: &Segment, target: i64) {
    let last = segment.parts.len().saturating_sub(1);
    for (index, part) in segment.parts.iter().enumerate() {
        let seconds = part.duration_us as f64 / 1e6;
        ledger.must(Rule::L1, at.line(part.line), part.duration_us <= target, || {
            format!("part {}.{index} has {seconds:.6} s", segment.msn)
        });
        // The last one that is listed of an open segment may be the last of all.
        let before_gap = segment.parts.get(index + 1).is_some_and(|next| next.gap);
        let is_exempt = part.independent || part.gap || before_gap || index == last;
        if !is_exempt {
            ledger.must(Rule::L1, at.line(part.line), part.duration_us * 100 >= target * 85, || {
                format!("part {}.{index} has only {seconds:.6} s", segment.msn)
            });
        }
    }
}

/// How long it may be kept in a cache.
fn caching(ledger: &mut Ledger, at: Place<'_>, media: &Media, asked: Directives, answer: &Answer) {
    let Some(max_age) = answer.cache_control.as_deref().and_then(max_age) else { return };
    if asked.msn.is_none() && !media.ended {
        let target = media.target_s.unwrap_or(0);
        ledger.should(Rule::L13, at, max_age * 2 <= target.max(2), || {
            format!("a playlist that changes may be cached for {max_age} s")
        });
    }
}

/// `max-age`; 0 if nothing may be kept.
pub(super) fn max_age(cache_control: &str) -> Option<u64> {
    let mut words = cache_control.split(',').map(str::trim);
    if cache_control.contains("no-store") || cache_control.contains("no-cache") {
        return Some(0);
    }
    words.find_map(|word| word.strip_prefix("max-age=")?.parse().ok())
}

/// Whether a reload waited for what was asked, and not for longer.
fn blocking(ledger: &mut Ledger, at: Place<'_>, media: &Media, asked: Directives, answer: &Answer) {
    let Some(msn) = asked.msn.filter(|_| !media.ended) else { return };
    let has_it = match asked.part {
        Some(part) => media.next_part() > (msn, usize::try_from(part).unwrap_or(usize::MAX)),
        None => media.complete().next_back().is_some_and(|last| last.msn >= msn),
    };
    ledger.must(Rule::L5, at, has_it, || format!("the answer does not have what was waited for: {asked:?}"));
    let longest_ms = media.target_s.unwrap_or(0) * 3_000;
    ledger.should(Rule::L8, at, answer.took_ms <= longest_ms + 1_000, || {
        format!("the answer came after {} ms", answer.took_ms)
    });
}

/// What holds between tracks.
pub(super) fn together(
    ledger: &mut Ledger,
    lists: &BTreeMap<String, TrackLists>,
    multivariant: Option<&(Multivariant, String)>,
) {
    let seen: Vec<(&String, &TrackLists, &Media)> =
        lists.iter().filter_map(|(track, lists)| Some((track, lists, lists.last.as_ref()?))).collect();
    for (track, this, media) in &seen {
        let at = Place { at_ms: this.last_at_ms, url: &this.url, line: None };
        let has_dates = media.segments.iter().any(|segment| segment.date.is_some());
        ledger.should(Rule::B12, at, has_dates, || "there is no EXT-X-PROGRAM-DATE-TIME".to_owned());
        for (_, other, other_media) in seen.iter().filter(|(name, ..)| name > track) {
            both(ledger, at, (this, media), (other, other_media));
        }
        if media.part_target_us.is_some() && !media.ended {
            profile(ledger, at, media, this.has_hinted);
            if multivariant.is_some() {
                reports(ledger, at, this, media, &seen);
            }
        }
    }
    let host = |url: &str| url.split("://").nth(1).and_then(|rest| rest.split('/').next()).map(str::to_owned);
    if let Some((_, url)) = multivariant {
        for (_, this, _) in &seen {
            let at = Place { at_ms: this.last_at_ms, url: &this.url, line: None };
            ledger.should(Rule::L12, at, host(&this.url) == host(url), || "it is on another host".to_owned());
        }
    }
}

fn both(ledger: &mut Ledger, at: Place<'_>, a: (&TrackLists, &Media), b: (&TrackLists, &Media)) {
    ledger.must(Rule::B13, at, a.1.target_s == b.1.target_s, || {
        format!("EXT-X-TARGETDURATION differs from {}", b.0.url)
    });
    let control = |media: &Media| {
        media.control.clone().map(|control| {
            (
                control.can_block_reload,
                control.can_skip_until_us,
                control.hold_back_us,
                control.part_hold_back_us,
            )
        })
    };
    ledger.must(Rule::B13, at, control(a.1) == control(b.1), || {
        format!("EXT-X-SERVER-CONTROL differs from {}", b.0.url)
    });
    let dates = |lists: &TrackLists| lists.segments.values().any(|segment| segment.date.is_some());
    ledger.must(Rule::B12, at, dates(a.0) == dates(b.0), || {
        format!("only one of it and {} has EXT-X-PROGRAM-DATE-TIME", b.0.url)
    });
    // Discontinuities have the same numbers at the same times. What the other has not seen cannot be compared.
    let at_date = |lists: &TrackLists| -> BTreeMap<u64, i64> {
        let breaks = lists.segments.values().filter(|segment| segment.discontinuity);
        breaks.filter_map(|segment| Some((segment.discontinuities, segment.date_ms()?))).collect()
    };
    let (of_a, of_b) = (at_date(a.0), at_date(b.0));
    let target_ms = i64::try_from(a.1.target_s.unwrap_or(0) * 1_000).unwrap_or(0);
    for (number, date) in &of_a {
        let covered = b.0.segments.values().filter_map(Segment::date_ms);
        let (first, last) = (covered.clone().min().unwrap_or(i64::MAX), covered.max().unwrap_or(i64::MIN));
        if *date < first + target_ms || *date > last - target_ms {
            continue;
        }
        let found = of_b.get(number).is_some_and(|other| (other - date).abs() <= target_ms);
        for rule in [Rule::B11, Rule::B13] {
            ledger.must(rule, at, found, || format!("{} does not have discontinuity {number}", b.0.url));
        }
    }
}

/// What a low-latency stream must have besides its parts.
fn profile(ledger: &mut Ledger, at: Place<'_>, media: &Media, has_hinted: bool) {
    let blocks = media.control.as_ref().is_some_and(|control| control.can_block_reload);
    ledger.must(Rule::L12, at, blocks, || "there are no blocking reloads".to_owned());
    let dated = media.segments.iter().any(|segment| segment.date.is_some());
    ledger.must(Rule::L12, at, dated, || "there are no dates".to_owned());
    ledger.must(Rule::L12, at, has_hinted, || "nothing is hinted".to_owned());
}

fn reports(
    ledger: &mut Ledger,
    at: Place<'_>,
    this: &TrackLists,
    media: &Media,
    seen: &[(&String, &TrackLists, &Media)],
) {
    let name = |uri: &str| {
        let path = uri.split('?').next().unwrap_or(uri);
        path.rsplit('/').next().unwrap_or(path).to_owned()
    };
    for (_, other, _) in seen.iter().filter(|(_, other, _)| other.url != this.url) {
        let report = media.reports.iter().find(|report| name(&report.uri) == name(&other.url));
        let what = || format!("no EXT-X-RENDITION-REPORT on {}", other.url);
        ledger.must(Rule::L10, at, report.is_some(), what);
        ledger.must(Rule::L12, at, report.is_some(), what);
        let Some(report) = report else { continue };
        let newest = media.window().map_or(0, |window| *window.end());
        let fresh = report.last_msn.is_some_and(|msn| msn + 1 >= newest) && report.last_part.is_some();
        ledger.must(Rule::L10, at.line(report.line), fresh, || {
            format!(
                "its newest segment is {newest}, and the report says {:?}.{:?}",
                report.last_msn, report.last_part
            )
        });
    }
}
