//! Playlists, as far as a low-latency viewer reads them (RFC 8216bis). Strict where a player would fail, silent
//! about tags it does not need.

use anyhow::{Context, Result, bail, ensure};

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Master {
    /// The variants' playlists, in order.
    pub variants: Vec<String>,
    /// The renditions' playlists (EXT-X-MEDIA with a URI), with their TYPE.
    pub renditions: Vec<(String, String)>,
}

/// A part of a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The number of the segment it belongs to.
    pub msn: u64,
    /// Its place in the segment, from 0.
    pub index: u64,
    /// Where it is.
    pub uri: String,
    /// Seconds.
    pub duration: f64,
    /// Whether it begins with a key frame.
    pub independent: bool,
    /// Whether it was never there: players do not ask for it.
    pub gap: bool,
}

/// A complete segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its media sequence number.
    pub msn: u64,
    /// Where it is.
    pub uri: String,
    /// Seconds.
    pub duration: f64,
    /// Whether EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// EXT-X-TARGETDURATION, in seconds.
    pub target_duration: u64,
    /// EXT-X-PART-INF's PART-TARGET, in seconds; 0 if absent.
    pub part_target: f64,
    /// PART-HOLD-BACK, in seconds; 0 if absent.
    pub part_hold_back: f64,
    /// CAN-BLOCK-RELOAD=YES.
    pub can_block: bool,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// EXT-X-MAP's URI.
    pub map: Option<String>,
    /// The complete segments.
    pub segments: Vec<Segment>,
    /// The parts, of complete segments and of the one that is growing.
    pub parts: Vec<Part>,
    /// EXT-X-PRELOAD-HINT's URI of a part.
    pub preload_hint: Option<String>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

impl Media {
    /// The (msn, part) that a viewer asks for next.
    pub fn next(&self) -> (u64, u64) {
        let growing = self.media_sequence + self.segments.len() as u64;
        match self.parts.last() {
            Some(part) if part.msn == growing => (growing, part.index + 1),
            _ => (growing, 0),
        }
    }
}

/// Reads a multivariant playlist.
///
/// # Errors
///
/// If it is none.
pub fn master(text: &str) -> Result<Master> {
    let mut master = Master::default();
    let mut variant_follows = false;
    for line in body(text)? {
        if let Some(list) = line.strip_prefix("#EXT-X-MEDIA:") {
            let list = attributes(list)?;
            if let Some(uri) = attribute(&list, "URI") {
                let kind = attribute(&list, "TYPE").context("EXT-X-MEDIA without TYPE")?;
                master.renditions.push((kind.to_owned(), uri.to_owned()));
            }
        } else if line.starts_with("#EXT-X-STREAM-INF:") {
            variant_follows = true;
        } else if !line.starts_with('#') {
            ensure!(variant_follows, "{line} stands without EXT-X-STREAM-INF");
            variant_follows = false;
            master.variants.push(line.to_owned());
        }
    }
    ensure!(!variant_follows, "EXT-X-STREAM-INF without a URI");
    ensure!(!master.variants.is_empty(), "a multivariant playlist without variants");
    Ok(master)
}

/// Reads a media playlist.
///
/// # Errors
///
/// If it is none, or breaks a rule that this reader depends on.
pub fn media(text: &str) -> Result<Media> {
    let mut media = Media::default();
    let mut duration = None;
    let mut discontinuity = false;
    let mut index = 0;
    for line in body(text)? {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-TARGETDURATION" => media.target_duration = value.parse()?,
            "#EXT-X-MEDIA-SEQUENCE" => {
                ensure!(
                    media.segments.is_empty() && media.parts.is_empty(),
                    "EXT-X-MEDIA-SEQUENCE after media"
                );
                media.media_sequence = value.parse()?;
            }
            "#EXT-X-PART-INF" => media.part_target = seconds(&attributes(value)?, "PART-TARGET")?,
            "#EXT-X-SERVER-CONTROL" => {
                let list = attributes(value)?;
                media.can_block = attribute(&list, "CAN-BLOCK-RELOAD") == Some("YES");
                media.part_hold_back = match attribute(&list, "PART-HOLD-BACK") {
                    Some(_) => seconds(&list, "PART-HOLD-BACK")?,
                    None => 0.0,
                };
            }
            "#EXT-X-MAP" => {
                media.map =
                    Some(attribute(&attributes(value)?, "URI").context("EXT-X-MAP without URI")?.to_owned());
            }
            "#EXT-X-DISCONTINUITY" => discontinuity = true,
            "#EXT-X-PART" => {
                let list = attributes(value)?;
                media.parts.push(Part {
                    msn: media.media_sequence + media.segments.len() as u64,
                    index,
                    uri: attribute(&list, "URI").context("EXT-X-PART without URI")?.to_owned(),
                    duration: seconds(&list, "DURATION")?,
                    gap: attribute(&list, "GAP") == Some("YES"),
                    independent: attribute(&list, "INDEPENDENT") == Some("YES"),
                });
                index += 1;
            }
            "#EXT-X-PRELOAD-HINT" => {
                let list = attributes(value)?;
                if attribute(&list, "TYPE") == Some("PART") {
                    ensure!(media.preload_hint.is_none(), "two EXT-X-PRELOAD-HINT of one TYPE");
                    media.preload_hint = attribute(&list, "URI").map(str::to_owned);
                }
            }
            "#EXTINF" => duration = Some(value.split(',').next().unwrap_or_default().parse()?),
            "#EXT-X-ENDLIST" => media.ended = true,
            _ if line.starts_with('#') => {}
            _ => {
                let duration = duration.take().with_context(|| format!("{line} stands without EXTINF"))?;
                let msn = media.media_sequence + media.segments.len() as u64;
                media.segments.push(Segment { msn, uri: line.to_owned(), duration, discontinuity });
                discontinuity = false;
                index = 0;
            }
        }
    }
    ensure!(duration.is_none(), "EXTINF without a URI");
    ensure!(media.target_duration > 0, "a media playlist without EXT-X-TARGETDURATION");
    Ok(media)
}

/// The lines after `#EXTM3U` that are not blank.
fn body(text: &str) -> Result<impl Iterator<Item = &str>> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    ensure!(first == "#EXTM3U", "a playlist begins with #EXTM3U, not with {first:?}");
    Ok(lines.filter(|line| !line.trim().is_empty()))
}

fn attribute<'a>(list: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    list.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

fn seconds(list: &[(&str, &str)], name: &str) -> Result<f64> {
    let value = attribute(list, name).with_context(|| format!("{name} is missing"))?;
    value.parse().with_context(|| format!("{name}={value} is not a number"))
}

/// Splits an attribute list: `NAME=value,NAME="value, with a comma"`. Quotes are taken off.
fn attributes(text: &str) -> Result<Vec<(&str, &str)>> {
    let mut list = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').with_context(|| format!("not an attribute: {rest}"))?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').with_context(|| format!("{name} has no closing quote"))?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        list.push((name.trim(), value));
        rest = match after.strip_prefix(',') {
            Some(rest) => rest,
            None if after.is_empty() => after,
            None => bail!("{after} follows the value of {name}"),
        };
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
        #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2.000000,\nseg7\n#EXT-X-DISCONTINUITY\n\
        #EXT-X-PART:DURATION=0.5,URI=\"p8,0\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.5,URI=\"p8,1\"\n\
        #EXTINF:1.0,\nseg8\n#EXT-X-PART:DURATION=0.5,URI=\"p9,0\",INDEPENDENT=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p9,1\"\n";

    #[test]
    fn reads_segments_and_parts_with_their_numbers() {
        let media = media(MEDIA).unwrap();
        assert_eq!((media.target_duration, media.part_target, media.part_hold_back), (2, 0.5, 1.5));
        assert!(media.can_block && !media.ended);
        let segments: Vec<_> =
            media.segments.iter().map(|s| (s.msn, s.uri.as_str(), s.discontinuity)).collect();
        assert_eq!(segments, [(7, "seg7", false), (8, "seg8", true)]);
        let parts: Vec<_> =
            media.parts.iter().map(|p| (p.msn, p.index, p.uri.as_str(), p.independent)).collect();
        assert_eq!(parts, [(8, 0, "p8,0", true), (8, 1, "p8,1", false), (9, 0, "p9,0", true)]);
        assert_eq!(media.preload_hint.as_deref(), Some("p9,1"));
        assert_eq!(media.next(), (9, 1));
    }

    #[test]
    fn reads_variants_and_renditions() {
        let text = "#EXTM3U\n\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n, m\",URI=\"audio.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.4d401e,mp4a.40.2\",AUDIO=\"a\"\nvideo.m3u8?x=1\n";
        let master = master(text).unwrap();
        assert_eq!(master.variants, ["video.m3u8?x=1"]);
        assert_eq!(master.renditions, [("AUDIO".to_owned(), "audio.m3u8".to_owned())]);
    }

    #[test]
    fn refuses_what_a_player_would_refuse() {
        assert!(media("<html>").is_err());
        assert!(media("#EXTM3U\nseg\n").is_err());
        assert!(media("#EXTM3U\n#EXTINF:1,\nseg\n").is_err());
        assert!(master("#EXTM3U\n").is_err());
        assert!(attributes("A=\"b").is_err());
    }
}
