//! Playlists, as far as a player of one video and one audio track needs them (RFC 8216bis).

use std::str::FromStr;

/// What a master playlist offers first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Master {
    /// The media playlist of the first variant.
    pub(super) video: String,
    /// The first audio rendition that is not inside the variant.
    pub(super) audio: Option<String>,
}

/// The media of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Media {
    /// The number of the first segment.
    pub(super) sequence: u64,
    /// The initialization section.
    pub(super) map: Option<String>,
    /// In order; the last one may be open.
    pub(super) segments: Vec<Segment>,
}

/// A segment; its number is its place behind [`Media::sequence`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// `None` while it is open.
    pub(super) uri: Option<String>,
    /// Whether it has no media that can be fetched.
    pub(super) gap: bool,
    /// Old segments are listed without their parts.
    pub(super) parts: Vec<Part>,
}

/// A part; its number is its place in [`Segment::parts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) uri: String,
    /// Whether it has no media that can be fetched.
    pub(super) gap: bool,
}

/// Why a text is no playlist that can be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlaylistError {
    #[error("{tag} has no usable {attribute}")]
    Attribute { tag: &'static str, attribute: &'static str },
    #[error("EXT-X-MEDIA-SEQUENCE is not a number")]
    MediaSequence,
    #[error("the master playlist has no variant")]
    NoVariant,
    #[error("it does not begin with #EXTM3U")]
    NotAPlaylist,
}

impl FromStr for Master {
    type Err = PlaylistError;

    fn from_str(text: &str) -> Result<Master, PlaylistError> {
        let (mut video, mut audio, mut variant_is_next) = (None, None, false);
        for line in lines(text)? {
            if let Some(attributes) = line.strip_prefix("#EXT-X-MEDIA:") {
                if attribute(attributes, "TYPE") == Some("AUDIO") && audio.is_none() {
                    audio = attribute(attributes, "URI").map(str::to_owned);
                }
            } else if line.starts_with("#EXT-X-STREAM-INF:") {
                variant_is_next = true;
            } else if variant_is_next && !line.starts_with('#') {
                variant_is_next = false;
                video.get_or_insert_with(|| line.to_owned());
            }
        }
        Ok(Master { video: video.ok_or(PlaylistError::NoVariant)?, audio })
    }
}

impl FromStr for Media {
    type Err = PlaylistError;

    fn from_str(text: &str) -> Result<Media, PlaylistError> {
        let mut media = Media { sequence: 0, map: None, segments: Vec::new() };
        let mut open = Segment::default();
        for line in lines(text)? {
            if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                media.sequence = number.trim().parse().map_err(|_| PlaylistError::MediaSequence)?;
            } else if let Some(attributes) = line.strip_prefix("#EXT-X-MAP:") {
                media.map = Some(uri("EXT-X-MAP", attributes)?);
            } else if let Some(attributes) = line.strip_prefix("#EXT-X-PART:") {
                let gap = attribute(attributes, "GAP") == Some("YES");
                open.parts.push(Part { uri: uri("EXT-X-PART", attributes)?, gap });
            } else if line == "#EXT-X-GAP" {
                open.gap = true;
            } else if !line.starts_with('#') {
                open.uri = Some(line.to_owned());
                media.segments.push(std::mem::take(&mut open));
            }
        }
        if !open.parts.is_empty() {
            media.segments.push(open);
        }
        Ok(media)
    }
}

/// The path that `reference` means in a playlist at `base`; both may have a query. Other servers are not looked at.
pub(super) fn resolve(base: &str, reference: &str) -> String {
    if let Some((_, rest)) = reference.split_once("://") {
        return rest.find('/').map_or("/", |slash| &rest[slash..]).to_owned();
    }
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let base = base.split('?').next().unwrap_or(base);
    let mut folder = &base[..base.rfind('/').unwrap_or(0)];
    let mut reference = reference.trim_start_matches("./");
    while let Some(rest) = reference.strip_prefix("../") {
        folder = &folder[..folder.rfind('/').unwrap_or(0)];
        reference = rest;
    }
    format!("{folder}/{reference}")
}

/// The lines that say something.
fn lines(text: &str) -> Result<impl Iterator<Item = &str>, PlaylistError> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines.next() != Some("#EXTM3U") {
        return Err(PlaylistError::NotAPlaylist);
    }
    Ok(lines)
}

fn uri(tag: &'static str, attributes: &str) -> Result<String, PlaylistError> {
    let uri = attribute(attributes, "URI").filter(|uri| !uri.is_empty());
    uri.map(str::to_owned).ok_or(PlaylistError::Attribute { tag, attribute: "URI" })
}

/// The value of an attribute, without its quotation marks.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (key, after) = rest.split_once('=')?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a,b=c\",NAME=\"Audio_1_1\",DEFAULT=NO,CHANNELS=\"1\",URI=\"/live/clip/audio.m3u8?session=1_x\"


#EXT-X-STREAM-INF:BANDWIDTH=555000,RESOLUTION=640x360,CODECS=\"avc1.42c01e,mp4a.40.2\",AUDIO=\"a,b=c\"
/live/clip/video.m3u8?session=1_x
#EXT-X-STREAM-INF:BANDWIDTH=1
/live/clip/other.m3u8
";

    const MEDIA: &str = "#EXTM3U
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.500000
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI=\"init.m4s?session=1_\"
#EXTINF:4.000000,
seg_7.m4s
#EXT-X-PART:DURATION=0.500000,URI=\"part_8_0.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.500000,URI=\"part_8_1.m4s\"
#EXTINF:1.000000,
seg_8.m4s
#EXT-X-GAP
#EXTINF:4.000000,
seg_9.m4s
#EXT-X-PART:DURATION=0.500000,URI=\"part_10_0.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.500000,URI=\"part_10_1.m4s\",GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part_10_2.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"other.m3u8\",LAST-MSN=9,LAST-PART=0
";

    #[test]
    fn a_master_playlist() {
        let master: Master = MASTER.parse().unwrap();
        assert_eq!(master.video, "/live/clip/video.m3u8?session=1_x");
        assert_eq!(master.audio.as_deref(), Some("/live/clip/audio.m3u8?session=1_x"));
        assert_eq!("#EXTM3U\n".parse::<Master>(), Err(PlaylistError::NoVariant));
    }

    #[test]
    fn a_media_playlist() {
        let media: Media = MEDIA.parse().unwrap();
        assert_eq!((media.sequence, media.map.as_deref()), (7, Some("init.m4s?session=1_")));
        let part = |uri: &str, gap| Part { uri: uri.to_owned(), gap };
        let whole = |uri: &str, gap, parts| Segment { uri: Some(uri.to_owned()), gap, parts };
        let expected = [
            whole("seg_7.m4s", false, vec![]),
            whole("seg_8.m4s", false, vec![part("part_8_0.m4s", false), part("part_8_1.m4s", false)]),
            whole("seg_9.m4s", true, vec![]),
            Segment {
                uri: None,
                gap: false,
                parts: vec![part("part_10_0.m4s", false), part("part_10_1.m4s", true)],
            },
        ];
        assert_eq!(media.segments, expected);
    }

    #[test]
    fn what_is_no_playlist() {
        assert_eq!("<html>".parse::<Media>(), Err(PlaylistError::NotAPlaylist));
        assert_eq!("".parse::<Media>(), Err(PlaylistError::NotAPlaylist));
        let number = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-1".parse::<Media>();
        assert_eq!(number, Err(PlaylistError::MediaSequence));
        let part = "#EXTM3U\n#EXT-X-PART:DURATION=1,URI=\"unclosed".parse::<Media>();
        assert!(matches!(part, Err(PlaylistError::Attribute { tag: "EXT-X-PART", .. })));
    }

    #[test]
    fn references() {
        for (base, reference, expected) in [
            ("/live/clip/v.m3u8?x=/y/", "part.m4s?s=1", "/live/clip/part.m4s?s=1"),
            ("/live/clip/v.m3u8", "/other/part.m4s", "/other/part.m4s"),
            ("/live/clip/v.m3u8", "../clip/part.m4s", "/live/clip/part.m4s"),
            ("/live/clip/v.m3u8", "../../../../part.m4s", "/part.m4s"),
            ("/live/clip/v.m3u8", "http://host:1/a?b=c", "/a?b=c"),
            ("/live/clip/v.m3u8", "http://host", "/"),
        ] {
            assert_eq!(resolve(base, reference), expected);
        }
    }
}
