//! The rules of HLS and low-latency HLS, held against what a server was seen to do.
//!
//! A [`Judge`] is told every answer ([`Seen`]) in the order in which it came, and at the end says of each [`Rule`] whether
//! it was kept, broken (with the evidence), or could not be observed. Who asks is another matter.

mod lists;
mod media;
mod probes;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use crate::diff::Item;
use crate::playlist::{Media, Multivariant};

pub use rules::Rule;

use lists::TrackLists;
use media::TrackMedia;

/// How many pieces of evidence are kept for each rule; the others are counted.
const EVIDENCE_MAX: usize = 5;

/// An answer of the server.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What was asked for.
    pub url: String,
    /// When the answer was there, in milliseconds since the check began.
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Its status; 0 if there was no answer.
    pub status: u16,
    /// Why there was no answer.
    pub trouble: Option<String>,
    /// Content-Type.
    pub content_type: Option<String>,
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Whether it came compressed.
    pub gzip: bool,
    /// Whether it came over HTTP/2 or later.
    pub http2: bool,
    /// The body, unpacked.
    pub body: Bytes,
}

/// What was asked of a playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`.
    pub msn: Option<u64>,
    /// `_HLS_part`.
    pub part: Option<u64>,
}

/// What came of asking for something on purpose.
#[derive(Clone, Debug)]
pub enum Probe {
    /// `_HLS_skip=YES`, and the full playlist that was there before.
    Delta {
        /// The full one.
        full: Box<Media>,
    },
    /// A part that was hinted, as soon as it was.
    Hint,
    /// The playlist, by somebody who understands gzip.
    Gzip,
    /// A file that nobody has ever named.
    NoSuchFile,
    /// `_HLS_msn` of a segment that was long gone.
    OldMsn,
    /// `_HLS_part` without `_HLS_msn`.
    PartWithoutMsn,
    /// `_HLS_part` past the last part of a segment that was complete: the first part of the next one is meant.
    PartPastTheEnd {
        /// The next segment.
        next: u64,
    },
    /// A segment that has just left the playlist.
    Removed {
        /// Its number.
        item: Item,
    },
    /// `_HLS_msn` further ahead than may be asked.
    TooFarAhead,
    /// `_HLS_msn` alone.
    WholeSegment {
        /// Which.
        msn: u64,
    },
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The multivariant playlist.
    Multivariant(Answer),
    /// A media playlist, as a player loads it.
    Playlist {
        /// Its role, as in [`Track::all`](crate::diff::Track::all).
        track: String,
        /// What was asked.
        asked: Directives,
        /// The answer.
        answer: Answer,
    },
    /// An initialization section.
    Init {
        /// Of which track.
        track: String,
        /// The answer.
        answer: Answer,
    },
    /// A segment or part that is listed.
    Media {
        /// Of which track.
        track: String,
        /// Which.
        item: Item,
        /// The answer.
        answer: Answer,
    },
    /// Something that was asked on purpose.
    Probe {
        /// Of which track.
        track: String,
        /// What.
        probe: Probe,
        /// The answer.
        answer: Answer,
    },
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The standard recommends it, Apple asks for it, or players are known to need it.
    Should,
    /// The standard demands it.
    Must,
}

/// Why a rule is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// How bad it is.
    pub level: Level,
    /// When, in milliseconds since the check began.
    pub at_ms: u64,
    /// Where.
    pub url: String,
    /// In which line of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What.
    pub what: String,
}

/// What can be said about a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was broken.
    Broken,
    /// Nothing that is demanded was broken, but something that is recommended.
    Advised,
    /// It was kept, as often as it could be seen.
    Kept,
    /// There was no occasion.
    NotObservable,
}

/// What was found about a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// What it says.
    pub says: &'static str,
    /// What can be said.
    pub state: State,
    /// How often it was looked at.
    pub checked: u64,
    /// How often it was not kept.
    pub broken: u64,
    /// The first few times.
    pub evidence: Vec<Evidence>,
}

/// Everything about every rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Rule by rule.
    pub rules: Vec<Finding>,
    /// Playlists seen.
    pub playlists: u64,
    /// Segments and parts seen.
    pub files: u64,
}

impl Report {
    /// How many rules are in this state.
    pub fn count(&self, state: State) -> usize {
        self.rules.iter().filter(|finding| finding.state == state).count()
    }

    /// What was found about one rule.
    pub fn of(&self, rule: Rule) -> Option<&Finding> {
        self.rules.iter().find(|finding| finding.rule == rule)
    }
}

/// What is known of each rule.
#[derive(Debug, Default)]
struct Ledger {
    records: BTreeMap<Rule, Record>,
}

#[derive(Debug, Default)]
struct Record {
    checked: u64,
    broken: u64,
    evidence: Vec<Evidence>,
}

/// Where something was seen.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    at_ms: u64,
    url: &'a str,
    line: Option<usize>,
}

impl<'a> Place<'a> {
    fn of(answer: &'a Answer) -> Place<'a> {
        Place { at_ms: answer.at_ms, url: &answer.url, line: None }
    }

    fn line(self, line: usize) -> Place<'a> {
        Place { line: Some(line), ..self }
    }
}

impl Ledger {
    /// A rule of the standard was looked at.
    fn must(&mut self, rule: Rule, place: Place<'_>, holds: bool, what: impl FnOnce() -> String) {
        self.check(rule, Level::Must, place, holds, what);
    }

    /// A recommendation was looked at.
    fn should(&mut self, rule: Rule, place: Place<'_>, holds: bool, what: impl FnOnce() -> String) {
        self.check(rule, Level::Should, place, holds, what);
    }

    fn check(&mut self, rule: Rule, level: Level, at: Place<'_>, holds: bool, what: impl FnOnce() -> String) {
        let record = self.records.entry(rule).or_default();
        record.checked += 1;
        if holds {
            return;
        }
        record.broken += 1;
        let Place { at_ms, url, line } = at;
        // What is demanded must not be crowded out by what is recommended.
        if record.evidence.len() >= EVIDENCE_MAX && level == Level::Must {
            let advice = record.evidence.iter().rposition(|known| known.level == Level::Should);
            advice.map(|index| record.evidence.remove(index));
        }
        if record.evidence.len() < EVIDENCE_MAX {
            record.evidence.push(Evidence { level, at_ms, url: url.to_owned(), line, what: what() });
        }
    }
}

/// Whoever is told everything, and says what it means.
#[derive(Debug, Default)]
pub struct Judge {
    ledger: Ledger,
    multivariant: Option<(Multivariant, String)>,
    lists: BTreeMap<String, TrackLists>,
    media: BTreeMap<String, TrackMedia>,
    playlists: u64,
    files: u64,
}

impl Judge {
    /// Nothing is known yet.
    pub fn new() -> Judge {
        Judge::default()
    }

    /// Something was seen.
    pub fn see(&mut self, seen: &Seen) {
        let ledger = &mut self.ledger;
        match seen {
            Seen::Multivariant(answer) => {
                lists::text(ledger, answer);
                self.playlists += 1;
                if let Ok(multivariant) = Multivariant::parse(&String::from_utf8_lossy(&answer.body)) {
                    self.multivariant = Some((multivariant, answer.url.clone()));
                }
            }
            Seen::Playlist { track, asked, answer } => {
                lists::text(ledger, answer);
                self.playlists += 1;
                self.lists.entry(track.clone()).or_default().load(ledger, *asked, answer);
            }
            Seen::Init { track, answer } => {
                media::file(ledger, answer);
                self.media.entry(track.clone()).or_default().init(answer);
            }
            Seen::Media { track, item, answer } => {
                media::file(ledger, answer);
                self.files += 1;
                let listed = self.lists.get(track);
                self.media.entry(track.clone()).or_default().take(ledger, listed, *item, answer);
            }
            Seen::Probe { track, probe, answer } => {
                let listed = self.lists.get(track);
                probes::judge(ledger, listed, self.media.get(track), probe, answer);
            }
        }
    }

    /// What can be said now.
    pub fn report(mut self) -> Report {
        lists::together(&mut self.ledger, &self.lists, self.multivariant.as_ref());
        media::together(&mut self.ledger, &self.media, &self.lists, self.multivariant.as_ref());
        let rules = Rule::ALL.iter().map(|&rule| {
            let record = self.ledger.records.remove(&rule).unwrap_or_default();
            let is_broken = record.evidence.iter().any(|it| it.level == Level::Must);
            let state = match record.checked {
                0 => State::NotObservable,
                _ if is_broken => State::Broken,
                _ if record.broken > 0 => State::Advised,
                _ => State::Kept,
            };
            let Record { checked, broken, evidence } = record;
            Finding { rule, says: rule.says(), state, checked, broken, evidence }
        });
        Report { rules: rules.collect(), playlists: self.playlists, files: self.files }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.rules {
            let state = match finding.state {
                State::Broken => "BROKEN",
                State::Advised => "advice",
                State::Kept => "kept",
                State::NotObservable => "-",
            };
            writeln!(f, "{:<4}{state:<8}{}", finding.rule.to_string(), finding.says)?;
            for Evidence { level, at_ms, url, line, what } in &finding.evidence {
                let word = if *level == Level::Must { "must" } else { "should" };
                let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
                writeln!(f, "      {word}: {what}\n        {url}{line}, after {:.3} s", *at_ms as f64 / 1e3)?;
            }
            let more = finding.broken.saturating_sub(finding.evidence.len() as u64);
            if more > 0 {
                writeln!(f, "      and {more} times more")?;
            }
        }
        let count = |state| self.count(state);
        write!(
            f,
            "{} playlists, {} files: {} rules broken, {} kept but for advice, {} kept, {} without occasion",
            self.playlists,
            self.files,
            count(State::Broken),
            count(State::Advised),
            count(State::Kept),
            count(State::NotObservable),
        )
    }
}
