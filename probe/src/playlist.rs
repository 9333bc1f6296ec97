//! Playlists as a client reads them (RFC 8216 and its second edition, draft-pantos-hls-rfc8216bis, section 4.4).
//!
//! The reader keeps what it needs to judge a server: the line of everything, what was written and what was not. It
//! shares nothing with the writer in core.

use std::ops::RangeInclusive;

/// Why a text is no playlist that anything can be said about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// The first line is not `#EXTM3U`.
    #[error("line 1: it does not begin with #EXTM3U")]
    NotAPlaylist,
    /// A value cannot be understood, or is missing.
    #[error("line {line}: {tag} has no usable {what}")]
    BadValue {
        /// Counted from 1.
        line: usize,
        /// The tag.
        tag: &'static str,
        /// What of it.
        what: &'static str,
    },
    /// A multivariant playlist without a variant.
    #[error("the multivariant playlist has no variant")]
    NoVariant,
    /// A delta update skips segments that are not known.
    #[error("the delta update skips {skipped} segments from {from}, which are not all known")]
    SkipsUnknown {
        /// The first one.
        from: u64,
        /// How many.
        skipped: u64,
    },
}

/// Either kind of playlist: a URL does not say which it leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// Of one track, or of one multiplex of tracks.
    Media(Box<Media>),
    /// Of variants and renditions.
    Multivariant(Multivariant),
}

impl Playlist {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn parse(text: &str) -> Result<Playlist, PlaylistError> {
        let is_multivariant = text
            .lines()
            .any(|line| line.starts_with("#EXT-X-STREAM-INF") || line.starts_with("#EXT-X-MEDIA:"));
        if is_multivariant {
            Multivariant::parse(text).map(Playlist::Multivariant)
        } else {
            Media::parse(text).map(|media| Playlist::Media(Box::new(media)))
        }
    }
}

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multivariant {
    /// EXT-X-STREAM-INF, in order.
    pub variants: Vec<Variant>,
    /// EXT-X-MEDIA, in order.
    pub renditions: Vec<Rendition>,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
}

/// A variant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// The line of its tag.
    pub line: usize,
    /// As written.
    pub uri: String,
    /// BANDWIDTH.
    pub bandwidth: Option<u64>,
    /// AVERAGE-BANDWIDTH.
    pub average_bandwidth: Option<u64>,
    /// CODECS.
    pub codecs: Option<String>,
    /// RESOLUTION.
    pub resolution: Option<String>,
    /// FRAME-RATE.
    pub frame_rate: Option<String>,
    /// AUDIO.
    pub audio: Option<String>,
}

/// A rendition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendition {
    /// The line of its tag.
    pub line: usize,
    /// TYPE.
    pub kind: String,
    /// GROUP-ID.
    pub group: String,
    /// NAME.
    pub name: String,
    /// As written; none if it is in the variant itself.
    pub uri: Option<String>,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// EXT-X-VERSION.
    pub version: Option<u64>,
    /// EXT-X-TARGETDURATION, in seconds.
    pub target_s: Option<u64>,
    /// EXT-X-SERVER-CONTROL.
    pub control: Option<Control>,
    /// EXT-X-PART-INF's PART-TARGET.
    pub part_target_us: Option<i64>,
    /// EXT-X-MEDIA-SEQUENCE; 0 if it is not written.
    pub first_msn: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE, if it is written.
    pub first_discontinuity: Option<u64>,
    /// EXT-X-SKIP's SKIPPED-SEGMENTS, if it is a delta update.
    pub skipped: Option<u64>,
    /// Every segment with a URI or a part, oldest first; only the last one may be open.
    pub segments: Vec<Segment>,
    /// EXT-X-PRELOAD-HINT, in order.
    pub hints: Vec<Hint>,
    /// Whether EXT-X-DISCONTINUITY stands between the last part or segment and the end.
    pub discontinuity_at_end: bool,
    /// EXT-X-RENDITION-REPORT, in order.
    pub reports: Vec<Report>,
    /// EXT-X-PLAYLIST-TYPE.
    pub kind: Option<String>,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// EXT-X-ENDLIST.
    pub ended: bool,
    /// What needs an EXT-X-VERSION: which one, the line, the tag.
    pub needs_version: Option<(u64, usize, &'static str)>,
}

/// EXT-X-SERVER-CONTROL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Its line.
    pub line: usize,
    /// CAN-BLOCK-RELOAD=YES.
    pub can_block_reload: bool,
    /// CAN-SKIP-UNTIL.
    pub can_skip_until_us: Option<i64>,
    /// CAN-SKIP-DATERANGES=YES.
    pub can_skip_dateranges: bool,
    /// HOLD-BACK.
    pub hold_back_us: Option<i64>,
    /// PART-HOLD-BACK.
    pub part_hold_back_us: Option<i64>,
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// The line of its URI, or of its first part while it is open.
    pub line: usize,
    /// Its media sequence number.
    pub msn: u64,
    /// As written; none while it is open.
    pub uri: Option<String>,
    /// EXTINF; what its parts so far last together while it is open.
    pub duration_us: i64,
    /// Its listed parts.
    pub parts: Vec<Part>,
    /// Whether EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// How many discontinuities came up to its beginning, counted as EXT-X-DISCONTINUITY-SEQUENCE does.
    pub discontinuities: u64,
    /// EXT-X-GAP.
    pub gap: bool,
    /// The URI of the EXT-X-MAP that applies to it.
    pub map: Option<String>,
    /// EXT-X-PROGRAM-DATE-TIME, as written.
    pub date: Option<String>,
}

/// A part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its line.
    pub line: usize,
    /// As written.
    pub uri: String,
    /// DURATION.
    pub duration_us: i64,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// GAP=YES.
    pub gap: bool,
}

/// EXT-X-PRELOAD-HINT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// Its line.
    pub line: usize,
    /// TYPE.
    pub kind: String,
    /// As written.
    pub uri: String,
}

/// EXT-X-RENDITION-REPORT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its line.
    pub line: usize,
    /// As written.
    pub uri: String,
    /// LAST-MSN.
    pub last_msn: Option<u64>,
    /// LAST-PART.
    pub last_part: Option<u64>,
}

impl Segment {
    /// EXT-X-PROGRAM-DATE-TIME in milliseconds since the Unix epoch, if it is there and understood.
    pub fn date_ms(&self) -> Option<i64> {
        date_ms(self.date.as_deref()?)
    }
}

impl Multivariant {
    /// Reads a multivariant playlist.
    ///
    /// # Errors
    ///
    /// If it is none, or has no variant.
    pub fn parse(text: &str) -> Result<Multivariant, PlaylistError> {
        let mut this = Multivariant::default();
        let mut pending: Option<Variant> = None;
        for (line, content) in lines(text)? {
            if let Some(list) = content.strip_prefix("#EXT-X-STREAM-INF:") {
                let text = |name| attribute(list, name).map(str::to_owned);
                let number = |name| attribute(list, name).and_then(|value| value.parse().ok());
                pending = Some(Variant {
                    line,
                    uri: String::new(),
                    bandwidth: number("BANDWIDTH"),
                    average_bandwidth: number("AVERAGE-BANDWIDTH"),
                    codecs: text("CODECS"),
                    resolution: text("RESOLUTION"),
                    frame_rate: text("FRAME-RATE"),
                    audio: text("AUDIO"),
                });
            } else if let Some(list) = content.strip_prefix("#EXT-X-MEDIA:") {
                let text = |name| attribute(list, name).unwrap_or_default().to_owned();
                let uri = attribute(list, "URI").map(str::to_owned);
                let (kind, group, name) = (text("TYPE"), text("GROUP-ID"), text("NAME"));
                this.renditions.push(Rendition { line, kind, group, name, uri });
            } else if content == "#EXT-X-INDEPENDENT-SEGMENTS" {
                this.independent_segments = true;
            } else if !content.starts_with('#')
                && let Some(variant) = pending.take()
            {
                this.variants.push(Variant { uri: content.to_owned(), ..variant });
            }
        }
        if this.variants.is_empty() { Err(PlaylistError::NoVariant) } else { Ok(this) }
    }
}

impl Media {
    /// Reads a media playlist.
    ///
    /// # Errors
    ///
    /// If it is none, or a value that everything else depends on makes no sense.
    pub fn parse(text: &str) -> Result<Media, PlaylistError> {
        let mut reader = Reader::default();
        for (line, content) in lines(text)? {
            reader.line(line, content)?;
        }
        Ok(reader.finish())
    }

    /// The segments that are complete.
    pub fn complete(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.uri.is_some())
    }

    /// The segment with that number.
    pub fn segment(&self, msn: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.msn == msn)
    }

    /// The numbers of all segments that are listed.
    pub fn window(&self) -> Option<RangeInclusive<u64>> {
        Some(self.segments.first()?.msn..=self.segments.last()?.msn)
    }

    /// The part that comes next: what to ask for, as a segment's number and its own.
    pub fn next_part(&self) -> (u64, usize) {
        match self.segments.last() {
            Some(open) if open.uri.is_none() => (open.msn, open.parts.len()),
            Some(last) => (last.msn + 1, 0),
            None => (self.first_msn, 0),
        }
    }

    /// The URI of the hinted part.
    pub fn hinted_part(&self) -> Option<&Hint> {
        self.hints.iter().find(|hint| hint.kind == "PART")
    }

    /// A delta update made whole with what an earlier playlist listed.
    ///
    /// # Errors
    ///
    /// If the earlier one does not have all that is skipped.
    pub fn filled_in(mut self, earlier: &Media) -> Result<Media, PlaylistError> {
        let Some(skipped) = self.skipped.take() else { return Ok(self) };
        let from = self.first_msn;
        let of_them = from..from.saturating_add(skipped);
        let known: Vec<Segment> =
            earlier.segments.iter().filter(|it| of_them.contains(&it.msn)).cloned().collect();
        if known.len() as u64 != skipped || known.iter().any(|segment| segment.uri.is_none()) {
            return Err(PlaylistError::SkipsUnknown { from, skipped });
        }
        let base = self.first_discontinuity.unwrap_or(0);
        let (before, map) = known.last().map_or((base, None), |it| (it.discontinuities, it.map.clone()));
        for segment in &mut self.segments {
            segment.discontinuities = segment.discontinuities - base + before;
            segment.map = segment.map.take().or_else(|| map.clone());
        }
        self.segments.splice(0..0, known);
        Ok(self)
    }
}

#[derive(Default)]
struct Reader {
    media: Media,
    next_msn: Option<u64>,
    discontinuities: u64,
    map: Option<String>,
    open: Segment,
}

impl Reader {
    fn line(&mut self, line: usize, content: &str) -> Result<(), PlaylistError> {
        let Some(tag) = content.strip_prefix('#') else {
            self.uri(line, content);
            return Ok(());
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        let bad = |tag, what| PlaylistError::BadValue { line, tag, what };
        let number = |tag| value.trim().parse::<u64>().map_err(|_| bad(tag, "number"));
        match name {
            "EXT-X-VERSION" => self.media.version = Some(number("EXT-X-VERSION")?),
            "EXT-X-TARGETDURATION" => self.media.target_s = Some(number("EXT-X-TARGETDURATION")?),
            "EXT-X-SERVER-CONTROL" => self.media.control = Some(control(line, value)),
            "EXT-X-PART-INF" => {
                let target = attribute(value, "PART-TARGET").and_then(micros);
                self.media.part_target_us = Some(target.ok_or(bad("EXT-X-PART-INF", "PART-TARGET"))?);
            }
            "EXT-X-MEDIA-SEQUENCE" => self.media.first_msn = number("EXT-X-MEDIA-SEQUENCE")?,
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.discontinuities = number("EXT-X-DISCONTINUITY-SEQUENCE")?;
                self.media.first_discontinuity = Some(self.discontinuities);
            }
            "EXT-X-SKIP" => {
                let skipped = attribute(value, "SKIPPED-SEGMENTS").and_then(|count| count.parse().ok());
                self.media.skipped = Some(skipped.ok_or(bad("EXT-X-SKIP", "SKIPPED-SEGMENTS"))?);
                let version = if attribute(value, "RECENTLY-REMOVED-DATERANGES").is_some() { 10 } else { 9 };
                self.needs(version, line, "EXT-X-SKIP");
            }
            "EXT-X-PLAYLIST-TYPE" => self.media.kind = Some(value.to_owned()),
            "EXT-X-INDEPENDENT-SEGMENTS" => self.media.independent_segments = true,
            "EXT-X-MAP" => {
                let uri = attribute(value, "URI").ok_or(bad("EXT-X-MAP", "URI"))?;
                self.map = Some(uri.to_owned());
                self.needs(6, line, "EXT-X-MAP");
            }
            "EXT-X-BYTERANGE" => self.needs(4, line, "EXT-X-BYTERANGE"),
            "EXT-X-DEFINE" => self.needs(8, line, "EXT-X-DEFINE"),
            "EXT-X-DISCONTINUITY" => {
                self.discontinuities = self.discontinuities.saturating_add(1);
                // After parts it belongs to what is hinted.
                self.open.discontinuity = self.open.parts.is_empty();
                self.media.discontinuity_at_end = true;
            }
            "EXT-X-GAP" => self.open.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => self.open.date = Some(value.to_owned()),
            "EXTINF" => {
                let seconds = value.split(',').next().unwrap_or_default();
                self.open.duration_us = micros(seconds).ok_or(bad("EXTINF", "duration"))?;
                if seconds.contains('.') {
                    self.needs(3, line, "EXTINF");
                }
            }
            "EXT-X-PART" => self.part(line, value)?,
            "EXT-X-PRELOAD-HINT" => {
                let text = |name| attribute(value, name).unwrap_or_default().to_owned();
                self.media.hints.push(Hint { line, kind: text("TYPE"), uri: text("URI") });
            }
            "EXT-X-RENDITION-REPORT" => {
                let uri = attribute(value, "URI").unwrap_or_default().to_owned();
                let of = |name| attribute(value, name).and_then(|number| number.parse().ok());
                let (last_msn, last_part) = (of("LAST-MSN"), of("LAST-PART"));
                self.media.reports.push(Report { line, uri, last_msn, last_part });
            }
            "EXT-X-ENDLIST" => self.media.ended = true,
            _ => {}
        }
        Ok(())
    }

    fn needs(&mut self, version: u64, line: usize, tag: &'static str) {
        if self.media.needs_version.is_none_or(|(known, ..)| known < version) {
            self.media.needs_version = Some((version, line, tag));
        }
    }

    fn part(&mut self, line: usize, list: &str) -> Result<(), PlaylistError> {
        let bad = |what| PlaylistError::BadValue { line, tag: "EXT-X-PART", what };
        let is = |name| attribute(list, name) == Some("YES");
        let duration_us = attribute(list, "DURATION").and_then(micros).ok_or(bad("DURATION"))?;
        let uri = attribute(list, "URI").filter(|uri| !uri.is_empty()).ok_or(bad("URI"))?.to_owned();
        if self.open.parts.is_empty() {
            self.begin(line);
        }
        let (independent, gap) = (is("INDEPENDENT"), is("GAP"));
        self.open.parts.push(Part { line, uri, duration_us, independent, gap });
        self.media.discontinuity_at_end = false;
        Ok(())
    }

    /// What stands before a segment's first part or URI is what applies to it.
    fn begin(&mut self, line: usize) {
        self.open.line = line;
        self.open.discontinuities = self.discontinuities;
        self.open.map.clone_from(&self.map);
    }

    fn uri(&mut self, line: usize, uri: &str) {
        if self.open.parts.is_empty() {
            self.begin(line);
        }
        self.media.discontinuity_at_end = false;
        self.open.line = line;
        self.open.uri = Some(uri.to_owned());
        self.close();
    }

    fn close(&mut self) {
        let first = self.media.first_msn.saturating_add(self.media.skipped.unwrap_or(0));
        let msn = self.next_msn.unwrap_or(first);
        self.next_msn = Some(msn.saturating_add(1));
        self.media.segments.push(Segment { msn, ..std::mem::take(&mut self.open) });
    }

    fn finish(mut self) -> Media {
        if !self.open.parts.is_empty() {
            self.open.duration_us = self.open.parts.iter().map(|part| part.duration_us).sum();
            self.close();
        }
        self.media
    }
}

fn control(line: usize, list: &str) -> Control {
    let seconds = |name| attribute(list, name).and_then(micros);
    let is = |name| attribute(list, name) == Some("YES");
    Control {
        line,
        can_block_reload: is("CAN-BLOCK-RELOAD"),
        can_skip_until_us: seconds("CAN-SKIP-UNTIL"),
        can_skip_dateranges: is("CAN-SKIP-DATERANGES"),
        hold_back_us: seconds("HOLD-BACK"),
        part_hold_back_us: seconds("PART-HOLD-BACK"),
    }
}

/// The lines after the first that say something, counted from 1.
fn lines(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, PlaylistError> {
    let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim_end()));
    match lines.next() {
        Some((_, "#EXTM3U")) => Ok(lines.filter(|(_, line)| !line.is_empty())),
        _ => Err(PlaylistError::NotAPlaylist),
    }
}

/// The value of an attribute, without its quotation marks. Commas inside of them do not separate.
pub fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// Decimal seconds in microseconds, exactly; digits after the sixth are dropped.
fn micros(seconds: &str) -> Option<i64> {
    let (whole, fraction) = seconds.trim().split_once('.').unwrap_or((seconds.trim(), ""));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole: i64 = whole.parse().ok().filter(|it| is_plain(whole) && (0..1 << 40).contains(it))?;
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    is_plain(fraction).then_some(whole * 1_000_000 + digits.parse::<i64>().ok()?)
}

/// An ISO 8601 date and time, `2026-11-21T20:30:00.500Z` or with an offset such as `+09:00`, in milliseconds since the
/// Unix epoch.
fn date_ms(date: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| {
        let text = date.get(range)?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())?
    };
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let seconds = digits(11..13)? * 3_600 + digits(14..16)? * 60 + digits(17..19)?;
    let rest = date.get(19..)?;
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(zone_at);
    let fraction_us = micros(&format!("0{fraction}"))?;
    let offset_s = match zone.split_at_checked(1) {
        None | Some(("Z", "")) => 0,
        Some((sign @ ("+" | "-"), offset)) => {
            let (hours, minutes) = (offset.get(0..2)?, offset.trim_start_matches(':'));
            let minutes = minutes.get(minutes.len().checked_sub(2)?..)?;
            let s = hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60;
            if sign == "+" { s } else { -s }
        }
        Some(_) => return None,
    };
    // The Julian day number, by the formula of Fliegel and Van Flandern.
    let a = (month - 14) / 12;
    let days = 1_461 * (year + 4_800 + a) / 4 + 367 * (month - 2 - 12 * a) / 12
        - 3 * ((year + 4_900 + a) / 100) / 4
        + day
        - 32_075;
    Some(((days - UNIX_DAY) * 86_400 + seconds - offset_s) * 1_000 + fraction_us / 1_000)
}

/// The Julian day number of 1970-01-01.
const UNIX_DAY: i64 = 2_440_588;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12.0\n\
        #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
        #EXT-X-MAP:URI=\"init,1\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-21T00:00:00.001Z\n#EXTINF:2.000000,\nseg7\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init2\"\n#EXT-X-PART:DURATION=0.5,URI=\"p8,0\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.5,URI=\"p8,1\",GAP=YES\n#EXTINF:1.0,\nseg8\n\
        #EXT-X-PART:DURATION=0.5,URI=\"p9,0\",INDEPENDENT=YES\n#EXT-X-DISCONTINUITY\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p9,1\"\n\
        #EXT-X-RENDITION-REPORT:URI=\"other\",LAST-MSN=9,LAST-PART=0\n";

    #[test]
    fn reads_a_media_playlist() {
        let media = Media::parse(MEDIA).unwrap();
        assert_eq!((media.version, media.target_s, media.part_target_us), (Some(6), Some(2), Some(500_000)));
        assert_eq!(media.control.as_ref().unwrap().can_skip_until_us, Some(12_000_000));
        assert_eq!(media.needs_version, Some((6, 8, "EXT-X-MAP")));
        let segments: Vec<_> = media
            .segments
            .iter()
            .map(|it| (it.msn, it.uri.as_deref(), it.discontinuities, it.parts.len(), it.map.as_deref()))
            .collect();
        assert_eq!(
            segments,
            [
                (7, Some("seg7"), 3, 0, Some("init,1")),
                (8, Some("seg8"), 4, 2, Some("init2")),
                (9, None, 4, 1, Some("init2"))
            ]
        );
        assert_eq!(media.segments[0].date_ms(), Some(1_795_219_200_001));
        assert!(media.segments[1].discontinuity && media.discontinuity_at_end);
        assert_eq!(media.segments[1].parts[1].uri, "p8,1");
        assert!(media.segments[1].parts[1].gap && !media.segments[1].parts[1].independent);
        assert_eq!((media.next_part(), media.window()), ((9, 1), Some(7..=9)));
        assert_eq!(media.hinted_part().unwrap().uri, "p9,1");
        assert_eq!(media.reports[0].last_msn, Some(9));
    }

    #[test]
    fn reads_what_ovenmediaengine_writes() {
        macro_rules! captured {
            ($name:literal) => {
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/", $name))
            };
        }
        let Ok(Playlist::Multivariant(master)) = Playlist::parse(captured!("00-master-llhls.body")) else {
            panic!("a multivariant playlist")
        };
        assert_eq!(master.variants[0].codecs.as_deref(), Some("avc1.42c01e,mp4a.40.2"));
        assert_eq!((master.renditions[0].kind.as_str(), master.variants.len()), ("AUDIO", 1));
        let Ok(Playlist::Media(media)) = Playlist::parse(captured!("05-video-chunklist.body")) else {
            panic!("a media playlist")
        };
        assert_eq!((media.target_s, media.first_msn, media.next_part()), (Some(6), 0, (8, 4)));
    }

    #[test]
    fn a_delta_update_is_filled_in() {
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n";
        let full =
            format!("{head}#EXT-X-MAP:URI=\"i\"\n#EXTINF:2,\n0\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\n1\n");
        let delta = format!("{head}#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:2,\n2\n");
        let whole = format!("{full}#EXTINF:2,\n2\n");
        let full = Media::parse(&full).unwrap();
        let merged = Media::parse(&delta).unwrap().filled_in(&full).unwrap();
        let of = |media: &Media| -> Vec<_> {
            media
                .segments
                .iter()
                .map(|it| (it.msn, it.uri.clone(), it.discontinuities, it.map.clone()))
                .collect()
        };
        assert_eq!(of(&merged), of(&Media::parse(&whole).unwrap()));
        let unknown = Media::parse(&delta).unwrap().filled_in(&Media::default());
        assert_eq!(unknown, Err(PlaylistError::SkipsUnknown { from: 0, skipped: 2 }));
    }

    #[test]
    fn what_is_no_playlist_is_told_with_its_line() {
        assert_eq!(Playlist::parse("<html>"), Err(PlaylistError::NotAPlaylist));
        assert_eq!(Multivariant::parse("#EXTM3U\n"), Err(PlaylistError::NoVariant));
        let error = Media::parse("#EXTM3U\n\n#EXTINF:two,\n").unwrap_err();
        assert_eq!(error.to_string(), "line 3: EXTINF has no usable duration");
        let error = Media::parse("#EXTM3U\n#EXT-X-PART:DURATION=1,URI=\"unclosed").unwrap_err();
        assert_eq!(error.to_string(), "line 2: EXT-X-PART has no usable URI");
    }

    #[test]
    fn dates_are_counted_from_the_epoch() {
        assert_eq!(date_ms("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(date_ms("2024-02-29T12:00:01.500+00:00"), Some(1_709_208_001_500));
        assert_eq!(date_ms("2024-02-29T21:00:01.5+0900"), Some(1_709_208_001_500));
        assert_eq!(date_ms("2024-02-29T07:30:01-04:30"), Some(1_709_208_001_000));
        assert_eq!(date_ms("yesterday"), None);
    }

    proptest! {
        #[test]
        fn any_text_does_no_harm(lines in prop::collection::vec("(#EXT(INF|-X-(PART|SKIP|MAP|MEDIA-SEQUENCE|PROGRAM-DATE-TIME|STREAM-INF)):)?[ -~é]{0,40}", 0..20)) {
            let text = format!("#EXTM3U\n{}", lines.join("\n"));
            if let Ok(Playlist::Media(media)) = Playlist::parse(&text) {
                let _ = (media.next_part(), media.window(), media.segments.first().and_then(Segment::date_ms));
            }
        }
    }
}
