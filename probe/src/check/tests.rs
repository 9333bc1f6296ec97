//! A server that keeps every rule, and for each rule one that breaks it.

use super::*;
use crate::fmp4::made::{init, video_part};

const PARTS: u64 = 4;
const PART_MS: u64 = 500;
const WINDOW: u64 = 8;
const STEPS: u64 = 60;
const TRACKS: [(&str, &str); 2] = [("variant 1", "v"), ("audio 1", "a")];
const TYPE: &str = "application/vnd.apple.mpegurl";

/// The playlist of a track when so many parts are there.
fn list(name: &str, parts: u64, window: u64) -> String {
    let (newest, open) = (parts / PARTS, parts % PARTS);
    let first = newest.saturating_sub(window);
    let other = if name == "v" { "a" } else { "v" };
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12.0\n\
         #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
         #EXT-X-MAP:URI=\"init_{name}\"\n"
    );
    for msn in first..=newest {
        let count = if msn < newest { PARTS } else { open };
        if count == 0 {
            continue;
        }
        text +=
            &format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-21T00:{:02}:{:02}.000Z\n", msn * 2 / 60, msn * 2 % 60);
        if msn + 3 > newest {
            for part in 0..count {
                let independent = if part == 0 { ",INDEPENDENT=YES" } else { "" };
                text +=
                    &format!("#EXT-X-PART:DURATION=0.500000,URI=\"part_{name}_{msn}_{part}\"{independent}\n");
            }
        }
        if msn < newest {
            text += &format!("#EXTINF:2.000000,\nseg_{name}_{msn}\n");
        }
    }
    text += &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part_{name}_{newest}_{open}\"\n");
    let (last_msn, last_part) = ((parts - 1) / PARTS, (parts - 1) % PARTS);
    text + &format!(
        "#EXT-X-RENDITION-REPORT:URI=\"{other}.m3u8\",LAST-MSN={last_msn},LAST-PART={last_part}\n"
    )
}

fn answer(file: &str, parts: u64, body: impl Into<Bytes>, kind: &str) -> Answer {
    Answer {
        url: format!("http://host/live/{file}"),
        at_ms: parts * PART_MS,
        took_ms: 5,
        status: 200,
        content_type: Some(kind.to_owned()),
        body: body.into(),
        ..Answer::default()
    }
}

fn part(msn: u64, part: u64) -> Vec<u8> {
    video_part((msn * PARTS + part) * PART_MS, 5, 100, part == 0)
}

fn playlist(track: &str, name: &str, parts: u64, window: u64) -> Seen {
    let asked = Directives { msn: Some((parts - 1) / PARTS), part: Some((parts - 1) % PARTS) };
    let answer = answer(&format!("{name}.m3u8"), parts, list(name, parts, window), TYPE);
    let answer = Answer { took_ms: PART_MS, cache_control: Some("max-age=12".to_owned()), ..answer };
    Seen::Playlist { track: track.to_owned(), asked, answer }
}

/// What is seen of a server that keeps every rule.
fn good(window: u64) -> Vec<Seen> {
    let master = "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\",URI=\"a.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=9000,\
        AVERAGE-BANDWIDTH=8000,CODECS=\"avc1.42c01e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=10.000,AUDIO=\"g\"\n\
        v.m3u8\n";
    let mut all = vec![Seen::Multivariant(answer("llhls.m3u8", 1, master, TYPE))];
    for (track, name) in TRACKS {
        let body = init(1_000, name == "v");
        all.push(Seen::Init {
            track: track.to_owned(),
            answer: answer(&format!("init_{name}"), 1, body, "video/mp4"),
        });
    }
    let first = 4 * PARTS;
    for parts in first..first + STEPS {
        for (track, name) in TRACKS {
            let track = track.to_owned();
            all.push(playlist(&track, name, parts, window));
            let (msn, number) = ((parts - 1) / PARTS, (parts - 1) % PARTS);
            let item = Item { msn, part: Some(number as usize) };
            let file = format!("part_{name}_{msn}_{number}");
            let cached = |answer: Answer| Answer { cache_control: Some("max-age=600".to_owned()), ..answer };
            let of_part = cached(answer(&file, parts, part(msn, number), "video/mp4"));
            all.push(Seen::Media { track: track.clone(), item, answer: of_part });
            if number + 1 == PARTS {
                let whole: Vec<u8> = (0..PARTS).flat_map(|number| part(msn, number)).collect();
                let of_segment = cached(answer(&format!("seg_{name}_{msn}"), parts, whole, "video/mp4"));
                all.push(Seen::Media { track, item: Item { msn, part: None }, answer: of_segment });
            }
        }
    }
    all.extend(probes(first + STEPS - 1));
    all
}

fn probes(parts: u64) -> Vec<Seen> {
    let text = list("v", parts, WINDOW);
    let full = Media::parse(&text).unwrap();
    let (newest, _) = full.next_part();
    let refused = |status| Answer { status, ..answer("v.m3u8?x", parts, "", "text/plain") };
    let as_before = answer("v.m3u8?x", parts, text.clone(), TYPE);
    let gone = Item { msn: full.first_msn - 1, part: None };
    let whole: Vec<u8> = (0..PARTS).flat_map(|number| part(gone.msn, number)).collect();
    let all = [
        (
            Probe::Delta { full: Box::new(full.clone()) },
            answer("v.m3u8?_HLS_skip=YES", parts, delta(&text, 1), TYPE),
        ),
        (Probe::Hint, answer("part", parts, "x", "video/mp4")),
        (Probe::Gzip, Answer { gzip: true, http2: true, ..as_before.clone() }),
        (Probe::NoSuchFile, refused(404)),
        (Probe::OldMsn, as_before.clone()),
        (Probe::PartWithoutMsn, refused(400)),
        (Probe::PartPastTheEnd { next: newest - 1 }, as_before.clone()),
        (Probe::Removed { item: gone }, answer("seg", parts, whole, "video/mp4")),
        (Probe::TooFarAhead, refused(400)),
        (Probe::WholeSegment { msn: newest - 1 }, as_before),
    ];
    let of_video = |(probe, answer)| Seen::Probe { track: "variant 1".to_owned(), probe, answer };
    all.into_iter().map(of_video).collect()
}

/// The same playlist with so many segments skipped.
fn delta(full: &str, skipped: usize) -> String {
    let first = full.find("#EXT-X-PROGRAM-DATE-TIME").unwrap();
    let mut rest = &full[first..];
    for _ in 0..skipped {
        rest = &rest[rest.find("\nseg_").unwrap() + 1..];
        rest = &rest[rest.find('\n').unwrap() + 1..];
    }
    format!("{}#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n{rest}", &full[..first])
}

fn judged(all: &[Seen]) -> Report {
    let mut judge = Judge::new();
    all.iter().for_each(|seen| judge.see(seen));
    judge.report()
}

/// Changes the text of playlists: of all of them, or of the last one of each track.
fn edit(all: &mut [Seen], last_only: bool, change: impl Fn(&str) -> String) {
    let from = if last_only { all.len() - 12 - 4 } else { 0 };
    for seen in &mut all[from..] {
        if let Seen::Playlist { answer, .. } = seen {
            answer.body = change(std::str::from_utf8(&answer.body).unwrap()).into();
        }
    }
}

fn replace(all: &mut [Seen], last_only: bool, from: &str, to: &str) {
    edit(all, last_only, |text| {
        assert!(text.contains(from), "{from} is in {text}");
        text.replace(from, to)
    });
}

fn probe(all: &mut [Seen], wanted: fn(&Probe) -> bool, change: fn(&mut Answer)) {
    let found = all.iter_mut().find_map(|seen| match seen {
        Seen::Probe { probe, answer, .. } if wanted(probe) => Some(answer),
        _ => None,
    });
    change(found.unwrap());
}

/// Changes what came last of the whole segments.
fn last_segment(all: &mut [Seen], change: fn(&mut Answer)) {
    let found = all.iter_mut().rev().find_map(|seen| match seen {
        Seen::Media { item, answer, .. } if item.part.is_none() => Some(answer),
        _ => None,
    });
    change(found.unwrap());
}

/// Puts a line before the last complete segment of the last playlists.
fn before_last_segment(all: &mut [Seen], line: &str) {
    edit(all, true, |text| {
        let at = text.rfind("#EXTINF").unwrap();
        let at = text[..at].rfind("#EXT-X-PROGRAM-DATE-TIME").unwrap();
        format!("{}{line}\n{}", &text[..at], &text[at..])
    });
}

type Flaw = fn(&mut Vec<Seen>);

const FLAWS: &[(Rule, &str, Flaw)] = &[
    (Rule::B1, "BOM", |all| edit(all, true, |text| format!("\u{feff}{text}"))),
    (Rule::B1, "EXT-X-TARGETDURATION", |all| replace(all, true, "#EXT-X-TARGETDURATION:2\n", "")),
    (Rule::B2, "needs version 6", |all| replace(all, false, "#EXT-X-VERSION:9", "#EXT-X-VERSION:3")),
    (Rule::B2, "its tags need", |all| replace(all, false, "#EXT-X-VERSION:9", "#EXT-X-VERSION:13")),
    (Rule::B3, "has 2.600000 s", |all| replace(all, true, "#EXTINF:2.000000", "#EXTINF:2.600000")),
    (Rule::B3, "was 2 and is 3", |all| replace(all, true, "DURATION:2\n", "DURATION:3\n")),
    (Rule::B4, "off from the media", |all| replace(all, false, "#EXTINF:2.000000", "#EXTINF:2.090000")),
    (Rule::B4, "segments are listed", |all| *all = good(4)),
    (Rule::B5, "and is", |all| replace(all, true, "seg_", "other_")),
    (Rule::B5, "EXT-X-MEDIA-SEQUENCE was", |all| all.push(playlist("variant 1", "v", 17, WINDOW))),
    (Rule::B5, "other bytes", |all| {
        probe(all, |it| matches!(it, Probe::Removed { .. }), |answer| answer.body = "x".into());
    }),
    (Rule::B6, "is 1 and should be 0", |all| replace(all, true, "Y-SEQUENCE:0", "Y-SEQUENCE:1")),
    (Rule::B7, "are listed", |all| *all = good(2)),
    (Rule::B7, "has just left", |all| {
        probe(all, |it| matches!(it, Probe::Removed { .. }), |answer| answer.status = 404);
    }),
    (Rule::B8, "after the one before it", |all| {
        let late = all.len() / 2;
        for seen in &mut all[late..] {
            if let Seen::Playlist { answer, .. } = seen {
                answer.at_ms += 5_000;
            }
        }
    }),
    (Rule::B9, "has changed", |all| replace(all, true, "DURATION=0.5", "DURATION=0.4")),
    (Rule::B9, "newest segment was", |all| all.push(playlist("variant 1", "v", 17, WINDOW))),
    (Rule::B10, "its parts are not", |all| before_last_segment(all, "#EXT-X-GAP")),
    (Rule::B10, "no gap is declared", |all| replace(all, true, "T00:00:36", "T00:00:37")),
    (Rule::B11, "another EXT-X-MAP", |all| before_last_segment(all, "#EXT-X-MAP:URI=\"other\"")),
    (Rule::B12, "1000 ms off", |all| replace(all, true, "T00:00:36", "T00:00:37")),
    (Rule::B12, "only one of it", |all| {
        for seen in all {
            if let Seen::Playlist { track, answer, .. } = seen
                && track == "audio 1"
            {
                let text = String::from_utf8_lossy(&answer.body).replace("#EXT-X-PROGRAM", "#PROGRAM");
                answer.body = text.into();
            }
        }
    }),
    (Rule::B13, "EXT-X-SERVER-CONTROL differs", |all| {
        let last = all.iter_mut().rev().find_map(|seen| match seen {
            Seen::Playlist { answer, .. } => Some(answer),
            _ => None,
        });
        let answer = last.unwrap();
        answer.body = String::from_utf8_lossy(&answer.body).replace("HOLD-BACK=1.5", "HOLD-BACK=1.6").into();
    }),
    (Rule::B13, "its timestamps are", |all| {
        for seen in all {
            if let Seen::Init { track, answer } = seen
                && track == "audio 1"
            {
                answer.body = init(900, false).into();
            }
        }
    }),
    (Rule::B14, "EXT-X-PLAYLIST-TYPE:EVENT", |all| {
        replace(all, false, "#EXT-X-VERSION:9", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-VERSION:9");
    }),
    (Rule::B14, "goes on", |all| {
        let middle = all.len() / 2;
        for seen in &mut all[middle..middle + 6] {
            if let Seen::Playlist { answer, .. } = seen {
                answer.body = format!("{}#EXT-X-ENDLIST\n", String::from_utf8_lossy(&answer.body)).into();
            }
        }
    }),
    (Rule::B15, "the type of media", |all| last_segment(all, |answer| answer.content_type = None)),
    (Rule::B15, "it is listed", |all| last_segment(all, |answer| answer.status = 404)),
    (Rule::B15, "not compressed", |all| {
        probe(all, |it| matches!(it, Probe::Gzip), |answer| answer.gzip = false);
    }),
    (Rule::B16, "tfdt is", |all| {
        last_segment(all, |answer| answer.body = video_part(1, 20, 100, true).into())
    }),
    (Rule::B16, "key frame", |all| {
        let middle = all.iter_mut().find_map(|seen| match seen {
            Seen::Media { item: Item { msn: 6, part: None }, answer, .. } => Some(answer),
            _ => None,
        });
        middle.unwrap().body = video_part(12_000, 20, 100, false).into();
    }),
    (Rule::B17, "there is no CODECS", |all| {
        let Seen::Multivariant(answer) = &mut all[0] else { panic!("a multivariant playlist") };
        answer.body = String::from_utf8_lossy(&answer.body).replace("CODECS", "X-CODECS").into();
    }),
    (Rule::B17, "bit/s were seen", |all| {
        let Seen::Multivariant(answer) = &mut all[0] else { panic!("a multivariant playlist") };
        answer.body = String::from_utf8_lossy(&answer.body).replace("BANDWIDTH=9000", "BANDWIDTH=900").into();
    }),
    (Rule::L1, "has 0.600000 s", |all| replace(all, true, "DURATION=0.500000", "DURATION=0.600000")),
    (Rule::L1, "has only", |all| replace(all, true, "DURATION=0.500000", "DURATION=0.400000")),
    (Rule::L2, "PART-HOLD-BACK is 0.900", |all| replace(all, true, "HOLD-BACK=1.5", "HOLD-BACK=0.9")),
    (Rule::L2, "is advised", |all| replace(all, true, "HOLD-BACK=1.5", "HOLD-BACK=1.2")),
    (Rule::L3, "CAN-SKIP-UNTIL is", |all| replace(all, true, "UNTIL=12.0", "UNTIL=11.0")),
    (Rule::L3, "not the same in a delta", |all| {
        probe(
            all,
            |it| matches!(it, Probe::Delta { .. }),
            |answer| {
                let text = String::from_utf8_lossy(&answer.body).replace("#EXTINF:2.0", "#EXTINF:1.9");
                answer.body = text.into();
            },
        );
    }),
    (Rule::L4, "is not complete", |all| {
        for seen in all {
            if let Seen::Probe { probe: Probe::WholeSegment { msn }, .. } = seen {
                *msn += 1;
            }
        }
    }),
    (Rule::L5, "does not have what was waited for", |all| {
        for seen in all {
            if let Seen::Playlist { asked, .. } = seen {
                asked.part = asked.part.map(|part| part + 1);
            }
        }
    }),
    (Rule::L5, "of the past", |all| {
        probe(all, |it| matches!(it, Probe::OldMsn), |answer| answer.took_ms = 2_000);
    }),
    (Rule::L6, "the answer is 200", |all| {
        probe(all, |it| matches!(it, Probe::PartWithoutMsn), |answer| answer.status = 200);
    }),
    (Rule::L7, "the answer is 0, after 9000 ms", |all| {
        probe(
            all,
            |it| matches!(it, Probe::TooFarAhead),
            |answer| {
                (answer.status, answer.took_ms) = (0, 9_000);
            },
        );
    }),
    (Rule::L8, "after 8000 ms", |all| {
        let Some(Seen::Playlist { answer, .. }) = all.get_mut(3) else { panic!("a playlist") };
        answer.took_ms = 8_000;
    }),
    (Rule::L9, "a file that does not exist", |all| {
        probe(all, |it| matches!(it, Probe::NoSuchFile), |answer| answer.status = 200);
    }),
    (Rule::L9, "a hinted part", |all| {
        probe(all, |it| matches!(it, Probe::Hint), |answer| answer.status = 404);
    }),
    (Rule::L9, "2 hints of type PART", |all| {
        replace(all, true, "#EXT-X-PRELOAD", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n#EXT-X-PRELOAD");
    }),
    (Rule::L10, "no EXT-X-RENDITION-REPORT", |all| replace(all, true, "#EXT-X-RENDITION", "#RENDITION")),
    (Rule::L10, "the report says", |all| replace(all, true, "LAST-MSN=18", "LAST-MSN=1")),
    (Rule::L11, "is not the concatenation", |all| {
        last_segment(all, |answer| answer.body = [&answer.body[..], b"x"].concat().into());
    }),
    (Rule::L11, "are still listed", |all| {
        edit(all, true, |text| text.replacen("#EXTINF", "#EXT-X-PART:DURATION=0.5,URI=\"old\"\n#EXTINF", 1));
    }),
    (Rule::L12, "nothing is hinted", |all| replace(all, false, "#EXT-X-PRELOAD", "#PRELOAD")),
    (Rule::L12, "HTTP/2", |all| {
        probe(all, |it| matches!(it, Probe::Gzip), |answer| answer.http2 = false);
    }),
    (Rule::L13, "may be cached for 12 s", |all| {
        for seen in all {
            if let Seen::Playlist { asked, .. } = seen {
                *asked = Directives::default();
            }
        }
    }),
    (Rule::L13, "may not be cached", |all| {
        last_segment(all, |answer| answer.cache_control = Some("no-store".to_owned()));
    }),
    (Rule::L14, "was", |all| replace(all, true, "seg_", "other_")),
    (Rule::L14, "the discontinuity number", |all| replace(all, true, "Y-SEQUENCE:0", "Y-SEQUENCE:1")),
    (Rule::L15, "behind a discontinuity", |all| {
        replace(all, true, "#EXT-X-PRELOAD", "#EXT-X-DISCONTINUITY\n#EXT-X-PRELOAD");
    }),
    (Rule::L16, "nothing new", |all| {
        let again = all.iter().rev().find(|seen| matches!(seen, Seen::Playlist { .. })).cloned();
        all.extend(again);
    }),
];

#[test]
fn a_server_that_keeps_every_rule_is_told_so() {
    let report = judged(&good(WINDOW));
    assert_eq!((report.count(State::Broken), report.count(State::Advised)), (0, 0), "{report}");
    let unseen: Vec<Rule> =
        report.rules.iter().filter(|it| it.state == State::NotObservable).map(|it| it.rule).collect();
    // Nothing is lost, and nothing breaks.
    assert_eq!(unseen, [Rule::B11], "{report}");
    assert!(report.playlists > STEPS && report.files > STEPS);
}

#[test]
fn every_rule_is_seen_to_be_broken() {
    for (rule, evidence, flaw) in FLAWS {
        let mut all = good(WINDOW);
        flaw(&mut all);
        let report = judged(&all);
        let found = report.of(*rule).unwrap();
        assert!(matches!(found.state, State::Broken | State::Advised), "{rule} {evidence}: {report}");
        assert!(found.evidence.iter().any(|it| it.what.contains(evidence)), "{rule} {evidence}: {found:?}");
    }
    let untested: Vec<_> =
        Rule::ALL.iter().filter(|rule| !FLAWS.iter().any(|(it, ..)| it == *rule)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn what_is_demanded_is_not_crowded_out_by_what_is_recommended() {
    let mut ledger = Ledger::default();
    let at = Place { at_ms: 1, url: "u", line: None };
    for _ in 0..20 {
        ledger.should(Rule::L2, at, false, || "advice".to_owned());
    }
    ledger.must(Rule::L2, at, false, || "demand".to_owned());
    let record = &ledger.records[&Rule::L2];
    assert_eq!((record.checked, record.broken, record.evidence.len()), (21, 21, EVIDENCE_MAX));
    assert_eq!(record.evidence.last().unwrap().level, Level::Must);
}

#[test]
fn a_server_that_answers_nothing_is_no_server() {
    let nothing = Answer { status: 0, ..answer("llhls.m3u8", 0, "", TYPE) };
    let report = judged(&[Seen::Multivariant(nothing)]);
    assert_eq!(report.of(Rule::B15).unwrap().state, State::Broken);
    assert_eq!(report.of(Rule::L1).unwrap().state, State::NotObservable);
}
