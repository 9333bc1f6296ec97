//! What was asked on purpose, because no player would.

use super::lists::{TrackLists, max_age};
use super::media::TrackMedia;
use super::{Answer, Ledger, Place, Probe, Rule};
use crate::diff::Digest;
use crate::playlist::{Media, Segment};

/// What is answered at once is there within this, in milliseconds.
const AT_ONCE_MS: u64 = 1_000;

pub(super) fn judge(
    ledger: &mut Ledger,
    listed: Option<&TrackLists>,
    known: Option<&TrackMedia>,
    probe: &Probe,
    answer: &Answer,
) {
    let at = Place::of(answer);
    let (status, took) = (answer.status, answer.took_ms);
    let media = || Media::parse(&String::from_utf8_lossy(&answer.body)).ok().filter(|_| status == 200);
    let at_once = took <= AT_ONCE_MS;
    let shown = || format!("the answer is {status}, after {took} ms");
    match probe {
        Probe::Delta { full } => delta(ledger, at, full, media().as_ref(), status),
        Probe::Hint => ledger.must(Rule::L9, at, status == 200, || format!("a hinted part: {}", shown())),
        Probe::Gzip => {
            let has_parts =
                listed.and_then(|it| it.last.as_ref()).is_some_and(|it| it.part_target_us.is_some());
            let what = || "a playlist is not compressed for whoever accepts gzip".to_owned();
            ledger.should(Rule::B15, at, answer.gzip, what);
            if has_parts {
                ledger.must(Rule::L12, at, answer.gzip, what);
                // Without TLS nobody can agree on it.
                if answer.url.starts_with("https:") {
                    ledger.must(Rule::L12, at, answer.http2, || "it is not HTTP/2".to_owned());
                } else {
                    ledger.should(Rule::L12, at, answer.http2, || {
                        "without TLS there is no HTTP/2, and Safari plays with normal latency".to_owned()
                    });
                }
            }
        }
        Probe::NoSuchFile => {
            ledger.must(Rule::L9, at, status == 404 && at_once, || {
                format!("a file that does not exist: {}", shown())
            });
            if let Some(age) = answer.cache_control.as_deref().and_then(max_age) {
                ledger.should(Rule::L13, at, age <= 10, || format!("a 404 may be cached for {age} s"));
            }
        }
        Probe::OldMsn => {
            let holds = media().is_some() && at_once;
            ledger.must(Rule::L5, at, holds, || format!("_HLS_msn of the past: {}", shown()));
        }
        Probe::PartWithoutMsn => ledger.must(Rule::L6, at, status == 400, shown),
        Probe::PartPastTheEnd { next } => {
            let holds = media().is_some_and(|media| media.next_part() > (*next, 0));
            ledger.must(Rule::L5, at, holds, || {
                format!("a part past the end means part 0 of segment {next}: {}", shown())
            });
        }
        Probe::Removed { item } => {
            ledger.must(Rule::B7, at, status == 200, || {
                format!("{item} has just left the playlist: {}", shown())
            });
            if let Some(before) = known.and_then(|known| known.digest(*item)).filter(|_| status == 200) {
                let same = before == Digest::of(&answer.body);
                ledger.must(Rule::B5, at, same, || format!("{item} has other bytes than before"));
            }
        }
        Probe::TooFarAhead => ledger.should(Rule::L7, at, status == 400 && at_once, shown),
        Probe::WholeSegment { msn } => {
            let holds =
                media().is_some_and(|it| it.complete().next_back().is_some_and(|last| last.msn >= *msn));
            ledger.must(Rule::L4, at, holds, || format!("segment {msn} is not complete in it: {}", shown()));
        }
    }
}

fn delta(ledger: &mut Ledger, at: Place<'_>, full: &Media, delta: Option<&Media>, status: u16) {
    let Some(delta) = delta else {
        return ledger.must(Rule::L3, at, false, || format!("_HLS_skip=YES is answered with {status}"));
    };
    let until = full.control.as_ref().and_then(|control| control.can_skip_until_us);
    let Some(until) = until.filter(|_| !full.ended) else {
        return ledger.must(Rule::L3, at, delta.skipped.is_none(), || {
            "a delta update without CAN-SKIP-UNTIL, or after the end".to_owned()
        });
    };
    let length: i64 = full.segments.iter().map(|segment| segment.duration_us).sum();
    let can_skip = full.segments.first().is_some_and(|first| length - first.duration_us > until);
    if can_skip {
        ledger.should(Rule::L3, at, delta.skipped.is_some(), || "_HLS_skip=YES skips nothing".to_owned());
    }
    if delta.skipped.is_none() {
        return;
    }
    let version = delta.version.unwrap_or(1);
    ledger.must(Rule::L3, at, version >= 9, || format!("EXT-X-SKIP with EXT-X-VERSION {version}"));
    let same = |a: &Segment, b: &Segment| {
        a.uri == b.uri
            && a.duration_us == b.duration_us
            && a.discontinuities == b.discontinuities
            && a.map == b.map
    };
    match delta.clone().filled_in(full) {
        Err(error) => ledger.must(Rule::L3, at, false, || error.to_string()),
        Ok(whole) => {
            let unlike = full.complete().find(|segment| {
                segment.msn >= whole.first_msn
                    && !whole.segment(segment.msn).is_some_and(|it| same(it, segment))
            });
            ledger.must(Rule::L3, at, unlike.is_none(), || {
                format!("segment {} is not the same in a delta update", unlike.map_or(0, |it| it.msn))
            });
        }
    }
}
