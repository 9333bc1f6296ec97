//! What a player may rely on, held against what a server says: numbers that go on, and names that keep their bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_probe::playlist::Media;

/// A part by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct PartId {
    /// The media sequence number of its segment.
    pub(in super::super) msn: u64,
    /// Its number in the segment.
    pub(in super::super) part: u32,
}

/// What was promised and did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Broken {
    #[error("{what} was served a second time with other bytes")]
    Bytes { what: String },
    #[error("the playlist began at segment {before} and then at {after}")]
    SequenceWentBack { before: u64, after: u64 },
    #[error("{what} was listed as {before} and then as {after}")]
    Renamed { what: String, before: String, after: String },
    #[error("part {} of segment {} is listed where part {} of segment {} was expected",
            .found.part, .found.msn, .expected.part, .expected.msn)]
    Skipped { expected: PartId, found: PartId },
}

/// What is known of one track.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sequence: u64,
    /// The part that is not there yet; `None` before the first playlist.
    next: Option<PartId>,
    parts: BTreeMap<PartId, Listed>,
    segments: BTreeMap<u64, String>,
    /// Segments below this are complete and have been compared.
    compared: u64,
}

/// A part that was listed.
#[derive(Debug)]
struct Listed {
    uri: String,
    /// None at all, once they are known, for a gap.
    bytes: Option<Bytes>,
}

/// A segment that is complete, all of whose parts were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complete {
    pub(super) msn: u64,
    pub(super) uri: String,
    /// Without gaps.
    pub(super) parts: Vec<(PartId, String)>,
}

impl Ledger {
    /// Takes a playlist in, and gives the parts that are new in it, in order, without gaps. The first playlist gives those of its newest
    /// segment only: a player joins at the live edge.
    pub(super) fn update(&mut self, media: &Media) -> Result<Vec<(PartId, String)>, Broken> {
        if media.first_msn < self.sequence {
            return Err(Broken::SequenceWentBack { before: self.sequence, after: media.first_msn });
        }
        self.sequence = media.first_msn;
        let mut new = Vec::new();
        for segment in &media.segments {
            let msn = segment.msn;
            if let Some(uri) = &segment.uri {
                let known = self.segments.entry(msn).or_insert_with(|| uri.clone());
                renamed(|| format!("segment {msn}"), known, uri)?;
            }
            for (part, listed) in (0..).zip(&segment.parts) {
                let uri = &listed.uri;
                let id = PartId { msn, part };
                match self.parts.get(&id) {
                    Some(known) => renamed(|| format!("part {part} of segment {msn}"), &known.uri, uri)?,
                    None if self.is_new(id, media)? => {
                        self.next = Some(PartId { msn, part: part + 1 });
                        let bytes = listed.gap.then(Bytes::new);
                        self.parts.insert(id, Listed { uri: uri.clone(), bytes });
                        if !listed.gap {
                            new.push((id, uri.clone()));
                        }
                    }
                    None => {}
                }
            }
        }
        self.forget();
        Ok(new)
    }

    /// What to ask for next: the part after the newest one. A server takes a part beyond the last of a complete segment
    /// for the first of the next.
    pub(super) fn next(&self) -> Option<PartId> {
        self.next
    }

    /// Keeps the bytes of a part, or holds them against those it had before.
    pub(super) fn check(&mut self, id: PartId, bytes: &Bytes) -> Result<(), Broken> {
        let Some(listed) = self.parts.get_mut(&id) else { return Ok(()) };
        let known = listed.bytes.get_or_insert_with(|| bytes.clone());
        if known != bytes {
            return Err(Broken::Bytes { what: format!("part {} of segment {}", id.part, id.msn) });
        }
        Ok(())
    }

    /// Holds a segment against its parts.
    pub(super) fn check_segment(&self, segment: &Complete, bytes: &[u8]) -> Result<(), Broken> {
        let mut rest = Some(bytes);
        for (id, _) in &segment.parts {
            let part = self.parts.get(id).and_then(|part| part.bytes.as_deref()).unwrap_or_default();
            rest = rest.and_then(|rest| rest.strip_prefix(part));
        }
        if rest.is_none_or(|rest| !rest.is_empty()) {
            return Err(Broken::Bytes { what: format!("the media of segment {}", segment.msn) });
        }
        Ok(())
    }

    /// Segments that are complete and were not given before. Those of whose parts only some were seen are left out.
    pub(super) fn complete(&mut self, media: &Media) -> Vec<Complete> {
        let mut complete = Vec::new();
        for segment in &media.segments {
            let msn = segment.msn;
            let Some(uri) = &segment.uri else { continue };
            if msn < self.compared {
                continue;
            }
            self.compared = msn + 1;
            let is_seen = |id| self.parts.get(&id).is_some_and(|part| part.bytes.is_some());
            let ids = (0..).map(|part| PartId { msn, part }).zip(&segment.parts);
            if segment.gap || segment.parts.is_empty() || !ids.clone().all(|(id, _)| is_seen(id)) {
                continue;
            }
            let parts = ids.filter(|(_, part)| !part.gap).map(|(id, part)| (id, part.uri.clone())).collect();
            complete.push(Complete { msn, uri: uri.clone(), parts });
        }
        complete
    }

    /// Whether a part that was never listed is the one that had to come; an error if it should have come before or
    /// later. Parts of the time before the first playlist are nothing to us.
    fn is_new(&self, found: PartId, media: &Media) -> Result<bool, Broken> {
        let Some(expected) = self.next else {
            let newest = media.window().map_or(media.first_msn, |window| *window.end());
            return Ok(found.msn == newest && found.part == 0);
        };
        if found == expected {
            return Ok(true);
        }
        let oldest_known = self.parts.keys().next();
        if oldest_known.is_none_or(|oldest| found < *oldest) {
            return Ok(false);
        }
        // The segment before must be complete, with exactly the parts that are known.
        let is_complete = media.segment(expected.msn).is_some_and(|segment| {
            segment.uri.is_some() && segment.parts.len() as u64 == u64::from(expected.part)
        });
        let first_of_next = PartId { msn: expected.msn + 1, part: 0 };
        if is_complete && found == first_of_next {
            Ok(true)
        } else {
            Err(Broken::Skipped { expected, found })
        }
    }

    /// What has left the playlist is not asked for again.
    fn forget(&mut self) {
        let gone = self.sequence;
        self.segments = self.segments.split_off(&gone);
        self.parts = self.parts.split_off(&PartId { msn: gone, part: 0 });
    }
}

fn renamed(what: impl Fn() -> String, before: &str, after: &str) -> Result<(), Broken> {
    if before == after {
        return Ok(());
    }
    Err(Broken::Renamed { what: what(), before: before.to_owned(), after: after.to_owned() })
}

#[cfg(test)]
mod tests {
    use headwater_probe::playlist::{Part, Segment};

    use super::*;

    /// A playlist of segments with so many parts each; the last one is open.
    fn media(sequence: u64, parts: &[u32]) -> Media {
        let open = parts.len().saturating_sub(1);
        let segment = |(index, parts): (usize, &u32)| {
            let msn = sequence + index as u64;
            let uri = (index < open).then(|| format!("seg_{msn}"));
            let part = |part| Part { uri: format!("part_{msn}_{part}"), ..Part::default() };
            Segment { msn, uri, parts: (0..*parts).map(part).collect(), ..Segment::default() }
        };
        let segments = parts.iter().enumerate().map(segment).collect();
        Media { first_msn: sequence, segments, ..Media::default() }
    }

    fn ids(new: Result<Vec<(PartId, String)>, Broken>) -> Vec<(u64, u32)> {
        new.unwrap().into_iter().map(|(id, _)| (id.msn, id.part)).collect()
    }

    #[test]
    fn joins_at_the_newest_segment_and_goes_on_part_by_part() {
        let mut ledger = Ledger::default();
        assert_eq!(ids(ledger.update(&media(5, &[0, 4, 4, 2]))), [(8, 0), (8, 1)]);
        assert_eq!(ids(ledger.update(&media(5, &[0, 4, 4, 2]))), []);
        assert_eq!(ledger.next(), Some(PartId { msn: 8, part: 2 }));
        assert_eq!(ids(ledger.update(&media(6, &[0, 4, 4, 1]))), [(8, 2), (8, 3), (9, 0)]);
        assert_eq!(ids(ledger.update(&media(7, &[0, 4, 1]))), [], "old parts are gone");
    }

    #[test]
    fn numbers_that_do_not_go_on_are_told() {
        let ledger = || {
            let mut ledger = Ledger::default();
            ledger.update(&media(5, &[0, 4, 2])).unwrap();
            ledger
        };
        assert_eq!(
            ledger().update(&media(4, &[0, 0, 4, 3])),
            Err(Broken::SequenceWentBack { before: 5, after: 4 })
        );
        let skipped = ledger().update(&media(8, &[3])).unwrap_err();
        let expected = PartId { msn: 7, part: 2 };
        assert_eq!(skipped, Broken::Skipped { expected, found: PartId { msn: 8, part: 0 } });
        let mut renamed = media(5, &[0, 4, 3]);
        renamed.segments[2].parts[1].uri = "other".to_owned();
        assert!(matches!(ledger().update(&renamed), Err(Broken::Renamed { .. })));
        renamed = media(5, &[0, 4, 3]);
        renamed.segments[0].uri = Some("other".to_owned());
        assert!(matches!(ledger().update(&renamed), Err(Broken::Renamed { .. })));
    }

    #[test]
    fn a_gap_is_counted_and_not_fetched() {
        let mut ledger = Ledger::default();
        let mut finished = media(0, &[3, 1]);
        finished.segments[0].parts[1].gap = true;
        assert_eq!(ids(ledger.update(&media(0, &[1]))), [(0, 0)]);
        assert_eq!(ids(ledger.update(&finished)), [(0, 2), (1, 0)]);
        for part in [0, 2] {
            ledger.check(PartId { msn: 0, part }, &Bytes::from_static(b"m")).unwrap();
        }
        let complete = ledger.complete(&finished);
        assert_eq!(complete[0].parts.len(), 2);
        assert_eq!(ledger.check_segment(&complete[0], b"mm"), Ok(()));
    }

    #[test]
    fn a_number_keeps_its_bytes() {
        let mut ledger = Ledger::default();
        let new = ledger.update(&media(0, &[2])).unwrap();
        for (id, uri) in &new {
            ledger.check(*id, &Bytes::from(uri.clone())).unwrap();
            ledger.check(*id, &Bytes::from(uri.clone())).unwrap();
            let what = format!("part {} of segment 0", id.part);
            assert_eq!(ledger.check(*id, &Bytes::from_static(b"x")), Err(Broken::Bytes { what }));
        }
        let finished = media(0, &[2, 1]);
        ledger.update(&finished).unwrap();
        let complete = ledger.complete(&finished);
        assert_eq!(complete.len(), 1);
        assert_eq!(complete[0].uri, "seg_0");
        assert_eq!(ledger.check_segment(&complete[0], b"part_0_0part_0_1"), Ok(()));
        for wrong in [&b"part_0_0"[..], b"part_0_0part_0_2", b"part_0_0part_0_1x", b""] {
            assert!(ledger.check_segment(&complete[0], wrong).is_err());
        }
        assert_eq!(ledger.complete(&finished), [], "each once");
    }
}
