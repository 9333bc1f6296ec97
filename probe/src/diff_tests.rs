//! Two servers that agree, and all the ways in which they may not.

use super::*;
use crate::fmp4::made::part;

fn media(first: u64, last: u64) -> Media {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for msn in first..=last {
        text += &format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T00:00:{:02}.000Z\n#EXTINF:2.0,\nseg_{msn}?s=1\n",
            msn * 2 % 60
        );
    }
    Media::parse(&text).unwrap()
}

fn facts(msn: u64) -> Facts {
    let window = media(msn, msn);
    Facts::of_segment(&window.segments[0], None, Body::of(&part(msn * 180_000, 60, 3_000, b"media")))
}

fn whole(msn: u64) -> Item {
    Item { msn, part: None }
}

/// A side lists these segments, and serves them.
fn serves(comparison: &mut Comparison, side: Side, window: RangeInclusive<u64>) -> Vec<Finding> {
    let mut found = comparison.listed(side, "media", &media(*window.start(), *window.end()));
    found.extend(window.filter_map(|msn| comparison.observe(side, "media", whole(msn), facts(msn))));
    found
}

fn segments(comparison: &Comparison) -> Tally {
    comparison.summary().tracks[0].segments
}

#[test]
fn nothing_in_common_is_no_verdict() {
    let mut comparison = Comparison::new();
    assert_eq!(comparison.summary().verdict, Verdict::CouldNotTell);
    serves(&mut comparison, Side::A, 1..=4);
    assert_eq!(comparison.summary().verdict, Verdict::CouldNotTell);
    serves(&mut comparison, Side::B, 5..=6);
    assert_eq!(comparison.summary().verdict, Verdict::CouldNotTell);
}

#[test]
fn windows_that_overlap_are_compared_where_they_do() {
    let mut comparison = Comparison::new();
    serves(&mut comparison, Side::A, 1..=6);
    let found = serves(&mut comparison, Side::B, 4..=8);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|finding| !finding.is_difference()), "{found:?}");
    let tally = segments(&comparison);
    assert_eq!((tally.identical, tally.only_a.before, tally.only_b.after), (3, 3, 2));
    assert_eq!(tally.percent(), Some(100.0));
    assert_eq!(comparison.summary().verdict, Verdict::Identical);
}

#[test]
fn windows_that_never_meet_are_a_difference() {
    let mut comparison = Comparison::new();
    let mut found = Vec::new();
    for at in 0..5 {
        found.extend(comparison.listed(Side::A, "media", &media(at, at + 4)));
        // One that hangs is only behind.
        found.extend(comparison.listed(Side::A, "media", &media(at, at + 4)));
        found.extend(comparison.listed(Side::B, "media", &media(at + 20, at + 24)));
    }
    assert_eq!(found, [Finding::Apart { track: "media".to_owned(), a: (3, 7), b: (22, 26) }]);
    assert_eq!(comparison.summary().verdict, Verdict::Different);

    let mut comparison = Comparison::new();
    comparison.listed(Side::B, "media", &media(1, 3));
    let found: Vec<_> =
        (1..30).flat_map(|at| comparison.listed(Side::A, "media", &media(at, at + 2))).collect();
    assert_eq!(found, [], "B does not move");
}

#[test]
fn every_fact_can_differ() {
    type Change = fn(&mut Facts);
    let changes: [(&str, Change); 9] = [
        ("name", |it| it.name.push('x')),
        ("duration", |it| it.duration_us += 1),
        ("program date time", |it| it.date_ms = it.date_ms.map(|ms| ms + 1)),
        ("discontinuity sequence", |it| it.discontinuities += 1),
        ("INDEPENDENT", |it| it.independent = true),
        ("initialization section", |it| it.init = Some(Digest::of(b"init"))),
        ("tfdt", |it| it.body = Body::of(&part(1, 60, 3_000, b"media"))),
        ("bytes", |it| it.body = Body::of(&part(900_000, 60, 3_000, b"other"))),
        ("served on one side only", |it| it.body = Body::Refused("404".to_owned())),
    ];
    for (expected, change) in changes {
        let mut comparison = Comparison::new();
        comparison.observe(Side::A, "media", whole(5), facts(5));
        let mut other = facts(5);
        change(&mut other);
        let found = comparison.observe(Side::B, "media", whole(5), other);
        let Some(Finding::Different { what, .. }) = &found else { panic!("{expected}: {found:?}") };
        assert!(what.contains(&expected), "{expected}: {what:?}");
        assert_eq!(comparison.summary().verdict, Verdict::Different, "{expected}");
    }
}

#[test]
fn what_is_missing_while_a_side_was_away_is_no_difference() {
    let mut comparison = Comparison::new();
    serves(&mut comparison, Side::A, 1..=4);
    serves(&mut comparison, Side::B, 1..=4);
    comparison.away(Side::B, 4_000, "connection refused");
    comparison.away(Side::B, 4_500, "connection refused");
    serves(&mut comparison, Side::A, 5..=9);
    assert!(comparison.outage(Side::B).is_some());
    comparison.back(Side::B, 9_000);
    assert_eq!(serves(&mut comparison, Side::B, 8..=9).len(), 2);
    let summary = comparison.summary();
    assert_eq!((summary.verdict, summary.outage_count), (Verdict::Identical, 1));
    assert_eq!((summary.outages[0].from_ms, summary.outages[0].to_ms), (4_000, Some(9_000)));
    assert_eq!(summary.tracks[0].segments.only_a, Alone { away: 3, ..Alone::default() });
}

#[test]
fn what_is_missing_while_a_side_was_up_is_a_difference() {
    let mut comparison = Comparison::new();
    serves(&mut comparison, Side::A, 1..=9);
    serves(&mut comparison, Side::B, 1..=4);
    let found = serves(&mut comparison, Side::B, 8..=9);
    let skipped = Finding::Skipped { track: "media".to_owned(), side: Side::B, first: 5, last: 7 };
    assert_eq!(found[0], skipped);
    assert_eq!(segments(&comparison).only_a.skipped, 3);
    assert_eq!(comparison.summary().verdict, Verdict::Different);
}

#[test]
fn numbers_that_go_back_are_a_difference() {
    let mut comparison = Comparison::new();
    comparison.listed(Side::A, "media", &media(5, 9));
    let found = comparison.listed(Side::A, "media", &media(1, 3));
    assert_eq!(found, [Finding::WentBack { track: "media".to_owned(), side: Side::A, from: 9, to: 3 }]);
}

#[test]
fn a_side_that_says_something_else_after_a_restart_is_told() {
    let mut comparison = Comparison::new();
    serves(&mut comparison, Side::A, 1..=4);
    serves(&mut comparison, Side::B, 1..=4);
    comparison.away(Side::B, 0, "503");
    comparison.back(Side::B, 1);
    comparison.listed(Side::B, "media", &media(2, 4));
    assert_eq!(comparison.observe(Side::B, "media", whole(3), facts(3)), None);
    let mut other = facts(4);
    other.discontinuities = 7;
    let found = comparison.observe(Side::B, "media", whole(4), other);
    assert!(matches!(found, Some(Finding::Changed { side: Side::B, .. })), "{found:?}");
    assert_eq!(comparison.summary().verdict, Verdict::Different);
}

#[test]
fn headers_and_tracks_are_compared_once() {
    let mut comparison = Comparison::new();
    comparison.listed(Side::A, "media", &media(1, 2));
    let mut other = media(1, 2);
    other.target_s = Some(3);
    let found = comparison.listed(Side::B, "media", &other);
    assert!(
        matches!(&found[..], [Finding::Headers { what, .. }] if what == &["EXT-X-TARGETDURATION"]),
        "{found:?}"
    );
    assert_eq!(comparison.listed(Side::B, "media", &other), []);

    let master = |codec: &str| {
        let text = format!(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\",URI=\"/x/a.m3u8?s=1\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH={},CODECS=\"{codec}\"\nv.m3u8\n",
            codec.len()
        );
        Track::all(&Multivariant::parse(&text).unwrap())
    };
    let mut comparison = Comparison::new();
    let roles: Vec<_> = master("avc1").into_iter().map(|it| (it.role, it.name)).collect();
    let expected = [("variant 1", "v.m3u8"), ("audio 1", "a.m3u8")];
    assert_eq!(roles, expected.map(|(role, name)| (role.to_owned(), name.to_owned())));
    assert_eq!(comparison.tracks(Side::A, master("avc1")), None);
    assert_eq!(comparison.tracks(Side::B, master("avc1")), None);
    assert!(comparison.tracks(Side::B, master("hvc1.1")).is_some());
    assert_eq!(comparison.tracks(Side::B, master("hvc1.1")), None);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut comparison = Comparison::new();
    for msn in 0..ITEMS_MAX as u64 + 10 {
        comparison.observe(Side::A, "media", whole(msn), facts(0));
    }
    assert_eq!(comparison.tracks["media"].items.len(), ITEMS_MAX);
    assert_eq!(segments(&comparison).only_a.before, ITEMS_MAX as u64 + 10);
}

#[test]
fn the_summary_is_for_people_and_for_machines() {
    let mut comparison = Comparison::new();
    serves(&mut comparison, Side::A, 1..=4);
    let mut found = serves(&mut comparison, Side::B, 3..=4);
    comparison.away(Side::B, 1_500, "503 Service Unavailable");
    let text = comparison.summary().to_string();
    assert_eq!(
        text,
        "media\n  segments       2 on both, 100.00% identical; 2 on A only (2: before B began)\n  \
         parts          0 on both\nB was away from 1.5 s to the end: 503 Service Unavailable\nverdict: identical"
    );
    let line = found.remove(0).to_string();
    assert!(
        line.starts_with(
            "identical  media segment 3: 2.000000 s, date 1795219206.000, discontinuity 0, tfdt 540000, "
        ),
        "{line}"
    );
}
