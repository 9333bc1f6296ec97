//! A reader of HLS playlists for the viewer. It is written from the specification and on purpose shares nothing
//! with the writer in core: two who agree prove more than one.
//!
//! Source: RFC 8216 and its second edition (draft-pantos-hls-rfc8216bis), sections 4.4 and 6.2.5.

use thiserror::Error;

/// Why a playlist could not be read: the server's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The first line is not `#EXTM3U`.
    #[error("the first line is not #EXTM3U")]
    NotAPlaylist,
    /// A required tag is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value cannot be understood.
    #[error("line {line}: {tag} has no proper value")]
    BadValue {
        /// Counted from 1.
        line: usize,
        /// The tag.
        tag: &'static str,
    },
    /// A delta update skips what was never seen.
    #[error("a delta update skips {skipped} segments from {from}, which an earlier playlist did not list")]
    SkipsUnknown {
        /// The first skipped number.
        from: u64,
        /// How many.
        skipped: u64,
    },
}

/// A multivariant playlist, as far as a player of one variant reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Master {
    /// In order.
    pub variants: Vec<Variant>,
    /// Audio renditions, in order.
    pub audio: Vec<AudioRendition>,
}

/// One variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// As written.
    pub uri: String,
    /// The audio group it wants.
    pub audio: Option<String>,
    /// The codecs it names.
    pub codecs: String,
}

/// One audio rendition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudioRendition {
    /// Its group.
    pub group: String,
    /// As written; none if the audio is in the variant itself.
    pub uri: Option<String>,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// EXT-X-TARGETDURATION.
    pub target_us: i64,
    /// CAN-BLOCK-RELOAD.
    pub can_block_reload: bool,
    /// PART-HOLD-BACK.
    pub part_hold_back_us: Option<i64>,
    /// HOLD-BACK.
    pub hold_back_us: Option<i64>,
    /// CAN-SKIP-UNTIL.
    pub can_skip_until_us: Option<i64>,
    /// PART-TARGET.
    pub part_target_us: Option<i64>,
    /// EXT-X-MEDIA-SEQUENCE.
    pub first_msn: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE, if it is written.
    pub first_discontinuity: Option<u64>,
    /// SKIPPED-SEGMENTS of a delta update.
    pub skipped: u64,
    /// Every segment with a URI or at least one part, oldest first; the last may be unfinished.
    pub segments: Vec<Segment>,
    /// The URI of the hinted part.
    pub hint: Option<String>,
    /// Whether a discontinuity stands between the last part and the hint.
    pub discontinuity_before_hint: bool,
    /// How far other renditions have come: their URI, LAST-MSN and LAST-PART.
    pub reports: Vec<(String, u64, u32)>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

/// One segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Its media sequence number.
    pub msn: u64,
    /// As written; none while it is unfinished.
    pub uri: Option<String>,
    /// Its duration, or that of its parts so far.
    pub duration_us: i64,
    /// Its listed parts.
    pub parts: Vec<Part>,
    /// How many discontinuities came before it, counted as EXT-X-DISCONTINUITY-SEQUENCE does.
    pub discontinuity: u64,
    /// EXT-X-GAP.
    pub gap: bool,
    /// The EXT-X-MAP that applies to it.
    pub map: Option<String>,
    /// EXT-X-PROGRAM-DATE-TIME as written.
    pub date: Option<String>,
}

/// One part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// As written.
    pub uri: String,
    /// DURATION.
    pub duration_us: i64,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// GAP=YES.
    pub gap: bool,
}

impl Segment {
    /// EXT-X-PROGRAM-DATE-TIME in milliseconds since the Unix epoch, if it is there and in UTC.
    pub fn date_ms(&self) -> Option<i64> {
        let date = self.date.as_deref()?;
        let number = |range: core::ops::Range<usize>| date.get(range)?.parse::<i64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        // The Julian day number, by the formula of Fliegel and Van Flandern.
        let a = (month - 14) / 12;
        let days = 1_461 * (year + 4_800 + a) / 4 + 367 * (month - 2 - 12 * a) / 12
            - 3 * ((year + 4_900 + a) / 100) / 4
            + day
            - 32_075;
        let seconds = number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
        Some(((days - UNIX_DAY) * 86_400 + seconds) * 1_000 + number(20..23)?)
    }
}

impl Master {
    /// Reads a multivariant playlist. One without variants is an error.
    pub fn parse(text: &str) -> Result<Master, Error> {
        let mut master = Master::default();
        let mut pending: Option<Variant> = None;
        for (_, line) in lines(text)? {
            if let Some(attributes) = line.strip_prefix("#EXT-X-STREAM-INF:") {
                let of = |name| attribute(attributes, name);
                let codecs = of("CODECS").unwrap_or_default();
                pending = Some(Variant { uri: String::new(), audio: of("AUDIO"), codecs });
            } else if let Some(attributes) = line.strip_prefix("#EXT-X-MEDIA:") {
                if attribute(attributes, "TYPE").as_deref() == Some("AUDIO") {
                    let group = attribute(attributes, "GROUP-ID").unwrap_or_default();
                    master.audio.push(AudioRendition { group, uri: attribute(attributes, "URI") });
                }
            } else if !line.starts_with('#')
                && let Some(variant) = pending.take()
            {
                master.variants.push(Variant { uri: line.to_owned(), ..variant });
            }
        }
        if master.variants.is_empty() {
            return Err(Error::Missing("EXT-X-STREAM-INF"));
        }
        Ok(master)
    }
}

impl Media {
    /// Reads a media playlist.
    pub fn parse(text: &str) -> Result<Media, Error> {
        let mut reader = Reader::default();
        for (line, content) in lines(text)? {
            reader.line(line, content)?;
        }
        reader.finish()
    }

    /// The last segment that is complete.
    pub fn last_complete(&self) -> Option<&Segment> {
        self.segments.iter().rev().find(|segment| segment.uri.is_some())
    }

    /// The newest part: its segment's number and its own.
    pub fn last_part(&self) -> Option<(u64, u32)> {
        let newest = self.segments.iter().rev().find(|segment| !segment.parts.is_empty())?;
        Some((newest.msn, u32::try_from(newest.parts.len() - 1).unwrap_or(u32::MAX)))
    }

    /// The segment with this number.
    pub fn segment(&self, msn: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.msn == msn)
    }

    /// Fills the skipped segments of a delta update in from an earlier playlist.
    pub fn fill_in(&mut self, earlier: &Media) -> Result<(), Error> {
        let skipped = self.first_msn..self.first_msn.saturating_add(self.skipped);
        let known: Vec<Segment> =
            earlier.segments.iter().filter(|segment| skipped.contains(&segment.msn)).cloned().collect();
        if known.len() as u64 != self.skipped {
            return Err(Error::SkipsUnknown { from: self.first_msn, skipped: self.skipped });
        }
        // A delta update counts discontinuities from the first segment that it lists.
        let before = known.last().map_or(0, |last| last.discontinuity);
        let base = self.first_discontinuity.unwrap_or(0);
        let map = known.last().and_then(|last| last.map.clone());
        for segment in &mut self.segments {
            segment.discontinuity = segment.discontinuity - base + before.max(base);
            segment.map = segment.map.take().or_else(|| map.clone());
        }
        self.segments.splice(0..0, known);
        self.skipped = 0;
        Ok(())
    }
}

#[derive(Default)]
struct Reader {
    media: Media,
    has_target: bool,
    next_msn: Option<u64>,
    discontinuity: u64,
    map: Option<String>,
    open: Segment,
    /// A discontinuity that no part or segment has followed yet.
    fresh_discontinuity: bool,
}

impl Reader {
    fn line(&mut self, line: usize, content: &str) -> Result<(), Error> {
        let Some(tag) = content.strip_prefix('#') else { return self.uri(content) };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "EXT-X-TARGETDURATION" => {
                self.media.target_us = micros(value).ok_or(bad(line, "EXT-X-TARGETDURATION"))?;
                self.has_target = true;
            }
            "EXT-X-SERVER-CONTROL" => self.server_control(value),
            "EXT-X-PART-INF" => {
                let target = attribute(value, "PART-TARGET").as_deref().and_then(micros);
                self.media.part_target_us = Some(target.ok_or(bad(line, "EXT-X-PART-INF"))?);
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                self.media.first_msn = value.parse().map_err(|_| bad(line, "EXT-X-MEDIA-SEQUENCE"))?;
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                let first = value.parse().map_err(|_| bad(line, "EXT-X-DISCONTINUITY-SEQUENCE"))?;
                self.media.first_discontinuity = Some(first);
                self.discontinuity = first;
            }
            "EXT-X-SKIP" => {
                let skipped = attribute(value, "SKIPPED-SEGMENTS").and_then(|count| count.parse().ok());
                self.media.skipped = skipped.ok_or(bad(line, "EXT-X-SKIP"))?;
            }
            "EXT-X-MAP" => self.map = attribute(value, "URI"),
            "EXT-X-DISCONTINUITY" => {
                self.discontinuity += 1;
                self.fresh_discontinuity = true;
            }
            "EXT-X-GAP" => self.open.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => self.open.date = Some(value.to_owned()),
            "EXTINF" => {
                let seconds = value.split(',').next().unwrap_or("");
                self.open.duration_us = micros(seconds).ok_or(bad(line, "EXTINF"))?;
            }
            "EXT-X-PART" => self.part(line, value)?,
            "EXT-X-PRELOAD-HINT" if attribute(value, "TYPE").as_deref() == Some("PART") => {
                self.media.hint = attribute(value, "URI");
                self.media.discontinuity_before_hint = self.fresh_discontinuity;
            }
            "EXT-X-RENDITION-REPORT" => {
                let number = |name| attribute(value, name).and_then(|number| number.parse().ok());
                let last = number("LAST-PART").and_then(|part| u32::try_from(part).ok());
                let (Some(uri), Some(msn), Some(part)) = (attribute(value, "URI"), number("LAST-MSN"), last)
                else {
                    return Err(bad(line, "EXT-X-RENDITION-REPORT"));
                };
                self.media.reports.push((uri, msn, part));
            }
            "EXT-X-ENDLIST" => self.media.ended = true,
            _ => {}
        }
        Ok(())
    }

    fn server_control(&mut self, value: &str) {
        let seconds = |name| attribute(value, name).as_deref().and_then(micros);
        self.media.can_block_reload = attribute(value, "CAN-BLOCK-RELOAD").as_deref() == Some("YES");
        self.media.part_hold_back_us = seconds("PART-HOLD-BACK");
        self.media.hold_back_us = seconds("HOLD-BACK");
        self.media.can_skip_until_us = seconds("CAN-SKIP-UNTIL");
    }

    fn part(&mut self, line: usize, value: &str) -> Result<(), Error> {
        let is = |name| attribute(value, name).as_deref() == Some("YES");
        let duration = attribute(value, "DURATION").as_deref().and_then(micros);
        let (Some(duration_us), Some(uri)) = (duration, attribute(value, "URI")) else {
            return Err(bad(line, "EXT-X-PART"));
        };
        self.open.parts.push(Part { uri, duration_us, independent: is("INDEPENDENT"), gap: is("GAP") });
        self.fresh_discontinuity = false;
        Ok(())
    }

    fn uri(&mut self, uri: &str) -> Result<(), Error> {
        self.fresh_discontinuity = false;
        self.open.uri = Some(uri.to_owned());
        self.close_segment();
        Ok(())
    }

    fn close_segment(&mut self) {
        let first = self.media.first_msn.saturating_add(self.media.skipped);
        let msn = self.next_msn.unwrap_or(first);
        self.next_msn = Some(msn + 1);
        let open = core::mem::take(&mut self.open);
        let map = self.map.clone();
        self.media.segments.push(Segment { msn, discontinuity: self.discontinuity, map, ..open });
    }

    fn finish(mut self) -> Result<Media, Error> {
        if !self.has_target {
            return Err(Error::Missing("EXT-X-TARGETDURATION"));
        }
        if !self.open.parts.is_empty() {
            self.open.duration_us = self.open.parts.iter().map(|part| part.duration_us).sum();
            self.close_segment();
        }
        Ok(self.media)
    }
}

fn bad(line: usize, tag: &'static str) -> Error {
    Error::BadValue { line, tag }
}

fn lines(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, Error> {
    let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim_end()));
    match lines.next() {
        Some((_, "#EXTM3U")) => Ok(lines.filter(|(_, line)| !line.is_empty())),
        _ => Err(Error::NotAPlaylist),
    }
}

/// The value of an attribute, without its quotes. Commas inside quotes do not separate.
fn attribute(list: &str, name: &str) -> Option<String> {
    let mut rest = list;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"')?;
                (value, after.strip_prefix(',').unwrap_or(after))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value.to_owned());
        }
        rest = next;
    }
    None
}

/// Decimal seconds in microseconds, exactly; digits after the sixth are dropped.
fn micros(seconds: &str) -> Option<i64> {
    let (whole, fraction) = seconds.trim().split_once('.').unwrap_or((seconds.trim(), ""));
    let whole: i64 = whole.parse().ok().filter(|whole| (0..1 << 40).contains(whole))?;
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    Some(whole * 1_000_000 + digits.parse::<i64>().ok()?)
}

/// The Julian day number of 1970-01-01.
const UNIX_DAY: i64 = 2_440_588;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_from_the_epoch() {
        let ms = |date: &str| Segment { date: Some(date.to_owned()), ..Segment::default() }.date_ms();
        assert_eq!(ms("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(ms("2024-02-29T12:00:01.500+00:00"), Some(1_709_208_001_500));
        assert_eq!(ms("2026-11-21T00:00:00.001Z"), Some(1_795_219_200_001));
        assert_eq!(ms("yesterday"), None);
    }

    fn captured(name: &str) -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/");
        std::fs::read_to_string(format!("{path}{name}")).unwrap()
    }

    #[test]
    fn reads_a_captured_master() {
        let master = Master::parse(&captured("00-master-llhls.body")).unwrap();
        assert_eq!(master.variants.len(), 1);
        assert_eq!(master.variants[0].audio.as_deref(), Some("bypass_audio"));
        assert_eq!(master.variants[0].codecs, "avc1.42c01e,mp4a.40.2");
        let audio = master.audio[0].uri.as_deref();
        assert_eq!(audio, Some("/app/stream/chunklist_1_audio_KRx5dYoZ_llhls.m3u8?session=15_Fums2lor"));
    }

    #[test]
    fn reads_a_captured_media_playlist() {
        let media = Media::parse(&captured("05-video-chunklist.body")).unwrap();
        assert_eq!((media.target_us, media.first_msn), (6_000_000, 0));
        assert!(media.can_block_reload);
        assert_eq!(media.part_hold_back_us, Some(1_500_000));
        assert_eq!(media.last_complete().unwrap().msn, 7);
        assert_eq!(media.last_part(), Some((8, 3)));
        assert_eq!(media.hint.as_deref(), Some("part_0_8_4_video_KRx5dYoZ_llhls.m4s?session=15_"));
        assert!(media.segments[6].parts[0].independent && !media.segments[6].parts[1].independent);
        assert!(media.segments.iter().all(|segment| segment.map.is_some()));
    }

    #[test]
    fn discontinuities_are_counted_and_seen_before_a_hint() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
            #EXTINF:2.0,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:1.9999999,\nb\n#EXT-X-DISCONTINUITY\n\
            #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"c,0\"\n";
        let media = Media::parse(text).unwrap();
        let seen: Vec<_> = media.segments.iter().map(|s| (s.msn, s.discontinuity, s.duration_us)).collect();
        assert_eq!(seen, [(5, 3, 2_000_000), (6, 4, 1_999_999)]);
        assert!(media.discontinuity_before_hint);
        assert_eq!(media.hint.as_deref(), Some("c,0"));
    }

    #[test]
    fn a_delta_update_is_filled_in() {
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n";
        let full = format!(
            "{head}#EXT-X-MAP:URI=\"i\"\n#EXTINF:2,\n0\n#EXTINF:2,\n1\n#EXTINF:2,\n2\n#EXTINF:2,\n3\n"
        );
        let delta = format!(
            "{head}#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:2,\n3\n#EXTINF:2,\n4\n"
        );
        let full = Media::parse(&full).unwrap();
        let mut merged = Media::parse(&delta).unwrap();
        merged.fill_in(&full).unwrap();
        let seen: Vec<_> = merged.segments.iter().map(|s| (s.msn, s.uri.as_deref().unwrap())).collect();
        assert_eq!(seen, [(1, "1"), (2, "2"), (3, "3"), (4, "4")]);
        assert!(merged.segments.iter().all(|segment| segment.map.as_deref() == Some("i")));
        let mut lost = Media::parse(&delta).unwrap();
        assert!(matches!(lost.fill_in(&Media::default()), Err(Error::SkipsUnknown { .. })));
    }

    #[test]
    fn bad_playlists_are_named() {
        assert_eq!(Media::parse("<html>"), Err(Error::NotAPlaylist));
        assert_eq!(Media::parse("#EXTM3U\n"), Err(Error::Missing("EXT-X-TARGETDURATION")));
        let bad = Media::parse("#EXTM3U\n#EXT-X-TARGETDURATION:x\n");
        assert_eq!(bad, Err(Error::BadValue { line: 2, tag: "EXT-X-TARGETDURATION" }));
    }
}
