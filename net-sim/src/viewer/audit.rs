//! What a media playlist breaks of the rules that players build on, whether or not this player stumbles over it.
//!
//! Sources: RFC 8216bis, and the authoring rules of Apple where it leaves a floor open. The figures in the comments
//! are the sections of the former.

use crate::playlist::{Media, Part, Segment};

/// Every rule that `new` breaks in segments that `earlier` did not list as complete: the segment, and what is wrong.
pub(super) fn audit(earlier: Option<&Media>, new: &Media) -> Vec<(u64, String)> {
    let known = earlier.and_then(Media::last_complete).map(|segment| segment.msn);
    let mut found = Vec::new();
    if let Some(earlier) = earlier {
        constants(earlier, new, &mut found);
        hints(earlier, new, &mut found);
    }
    let fresh = |segment: &&Segment| known.is_none_or(|known| segment.msn > known);
    for segment in new.segments.iter().filter(fresh) {
        lengths(new, segment, &mut found);
        if let Some(target_us) = new.part_target_us {
            parts(target_us, segment, &mut found);
        }
    }
    for pair in new.segments.windows(2) {
        if fresh(&&pair[1]) {
            dates(&pair[0], &pair[1], &mut found);
        }
    }
    found
}

/// Targets are constant for the life of a playlist, and the discontinuity sequence never goes back (6.2.1, 6.2.2).
fn constants(earlier: &Media, new: &Media, found: &mut Vec<(u64, String)>) {
    if (earlier.target_us, earlier.part_target_us) != (new.target_us, new.part_target_us) {
        found.push((new.first_msn, "the target durations have changed".to_owned()));
    }
    if new.first_discontinuity.unwrap_or(0) < earlier.first_discontinuity.unwrap_or(0) {
        found.push((new.first_msn, "EXT-X-DISCONTINUITY-SEQUENCE went back".to_owned()));
    }
}

/// What was hinted is what came (4.4.5.3), and what left the playlist left at least three target durations (6.2.2).
fn hints(earlier: &Media, new: &Media, found: &mut Vec<(u64, String)>) {
    if let (Some(hint), Some(newest)) = (&earlier.hint, earlier.segments.last()) {
        let (msn, part) = match newest.uri {
            Some(_) => (newest.msn + 1, 0),
            None => (newest.msn, newest.parts.len()),
        };
        let came = new.segment(msn).and_then(|segment| segment.parts.get(part)).map(|part| &part.uri);
        if came.is_some_and(|came| came != hint) {
            found.push((msn, format!("{hint} was hinted, and part {part} is {came:?}")));
        }
    }
    let listed_us: i64 = new.segments.iter().map(|segment| segment.duration_us).sum();
    // A stream that has ended and come back begins anew, far ahead.
    let goes_on = earlier.segments.iter().any(|segment| segment.msn == new.first_msn);
    if goes_on && new.first_msn > earlier.first_msn && listed_us < 3 * new.target_us - SUM_US {
        found.push((new.first_msn, format!("only {listed_us} us are listed, three targets are more")));
    }
}

/// A segment is no longer than the target, rounded (4.4.3.1), and as long as its parts (4.4.4.9).
fn lengths(media: &Media, segment: &Segment, found: &mut Vec<(u64, String)>) {
    if segment.uri.is_none() {
        return;
    }
    if (segment.duration_us + 500_000) / 1_000_000 * 1_000_000 > media.target_us {
        found.push((
            segment.msn,
            format!("it lasts {} us, the target is {}", segment.duration_us, media.target_us),
        ));
    }
    let parts_us: i64 = segment.parts.iter().map(|part| part.duration_us).sum();
    if !segment.parts.is_empty() && (parts_us - segment.duration_us).abs() > SUM_US {
        found.push((segment.msn, format!("it lasts {} us, its parts {parts_us}", segment.duration_us)));
    }
    if !segment.parts.is_empty() && segment.gap != segment.parts.iter().all(|part| part.gap) {
        found.push((segment.msn, "EXT-X-GAP does not say what its parts say".to_owned()));
    }
}

/// No part is longer than the target; it is at least 85 % of it unless it is independent, a gap, followed by a gap,
/// or the last of its segment (4.4.4.9). What follows the newest part is not known yet.
fn parts(target_us: i64, segment: &Segment, found: &mut Vec<(u64, String)>) {
    for (number, part) in segment.parts.iter().enumerate() {
        let Part { duration_us, independent, gap, .. } = *part;
        if duration_us > target_us {
            found.push((
                segment.msn,
                format!("part {number} lasts {duration_us} us, the target is {target_us}"),
            ));
        }
        let Some(next) = segment.parts.get(number + 1) else { continue };
        if !independent && !gap && !next.gap && duration_us * 100 < target_us * 85 {
            found.push((segment.msn, format!("part {number} lasts only {duration_us} us of {target_us}")));
        }
    }
}

/// Dates go on as the segments do, except over a discontinuity; there, too, they do not go back (4.4.4.6).
fn dates(before: &Segment, after: &Segment, found: &mut Vec<(u64, String)>) {
    let (from, to) = match (before.date_ms(), after.date_ms()) {
        (Some(from), Some(to)) => (from, to),
        (None, None) => return,
        _ => return found.push((after.msn, "a date is missing".to_owned())),
    };
    let off_ms = to - from - before.duration_us / 1_000;
    if off_ms < -DATE_MS || (off_ms > DATE_MS && before.discontinuity == after.discontinuity) {
        found.push((after.msn, format!("its date is off by {off_ms} ms")));
    }
}

/// How far a sum of parts may be from what EXTINF says: both are rounded.
const SUM_US: i64 = 2_000;
/// How far a date may be from where the segment before ends: a frame, and rounding.
const DATE_MS: i64 = 45;

#[cfg(test)]
mod tests {
    use super::*;

    fn media(body: &str) -> Media {
        let head =
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:7\n";
        Media::parse(&format!("{head}{body}")).unwrap()
    }

    fn segment(second: u32, parts: &[&str]) -> String {
        let mut text = format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-30T23:59:{second:02}.000Z\n");
        for part in parts {
            text += &format!("#EXT-X-PART:URI=\"x\",{part}\n");
        }
        text + "#EXTINF:1.0,\nx.m4s\n"
    }

    #[test]
    fn a_playlist_as_it_should_be_breaks_nothing() {
        let halves = ["DURATION=0.5,INDEPENDENT=YES", "DURATION=0.5"];
        let body = segment(58, &halves) + &segment(59, &halves);
        let next = "#EXT-X-PROGRAM-DATE-TIME:2026-12-01T00:00:00.000Z\n#EXTINF:1.0,\nx.m4s\n";
        assert_eq!(audit(None, &media(&(body + next))), []);
    }

    #[test]
    fn every_broken_rule_is_found_once() {
        let broken = |body: &str| audit(None, &media(body)).len();
        assert_eq!(broken(&segment(1, &["DURATION=0.6", "DURATION=0.4"])), 1, "too long a part");
        assert_eq!(broken(&segment(1, &["DURATION=0.2", "DURATION=0.5", "DURATION=0.3"])), 1, "too short");
        assert_eq!(broken(&segment(1, &["DURATION=0.5"])), 1, "a sum");
        assert_eq!(broken(&segment(1, &["DURATION=0.5,GAP=YES", "DURATION=0.5,GAP=YES"])), 1, "a gap");
        assert_eq!(broken(&(segment(1, &[]) + &segment(4, &[]))), 1, "a date");
        assert_eq!(broken(&(segment(1, &[]) + "#EXT-X-DISCONTINUITY\n" + &segment(4, &[]))), 0);
        assert_eq!(broken(&(segment(4, &[]) + "#EXT-X-DISCONTINUITY\n" + &segment(1, &[]))), 1);
        assert_eq!(broken(&segment(1, &[]).replace("1.0", "2.6")), 1, "too long a segment");
    }

    #[test]
    fn another_part_than_the_hinted_one_is_found() {
        let hint = |uri: &str| format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{uri}\"\n");
        let open = "#EXT-X-PART:URI=\"a\",DURATION=0.5\n".to_owned();
        let next = open.clone() + "#EXT-X-PART:URI=\"b\",DURATION=0.5\n";
        let found = |hinted: &str| audit(Some(&media(&(open.clone() + &hint(hinted)))), &media(&next)).len();
        assert_eq!((found("b"), found("c")), (0, 1));
    }

    #[test]
    fn a_playlist_that_is_too_short_is_found() {
        let long = media(&(segment(1, &[]) + &segment(2, &[])));
        let mut short = media(&segment(2, &[]));
        short.first_msn = 8;
        short.segments[0].msn = 8;
        assert_eq!(audit(Some(&long), &short).len(), 1);
    }

    #[test]
    fn only_news_are_judged() {
        let first = media(&segment(1, &["DURATION=0.6", "DURATION=0.4"]));
        assert_eq!(audit(Some(&first), &first), []);
    }
}
