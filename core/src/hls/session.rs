//! Sessions in URLs, as OvenMediaEngine has them without OriginMode (reference: LL-HLS section 6.1): the master playlist
//! of each viewer gives them a `session=<id>_<key>`, and every URL in their playlists carries it on.

use core::fmt;

use super::request::Query;

/// A viewer's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session(String);

impl Session {
    /// A new one. `key` is what makes it hard to guess.
    pub fn new(id: u64, key: &str) -> Session {
        Session(format!("{id}_{key}"))
    }

    /// The one of a request with this query: two words of letters and digits. Any that looks like one is taken, as long
    /// as nobody asked for access control.
    pub fn find(query: Option<&str>) -> Option<Session> {
        let value = Query(query?).get("session")?;
        let (id, key) = value.split_once('_')?;
        let is_word = |text: &str| {
            (1..=WORD_MAX).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric())
        };
        (is_word(id) && is_word(key)).then(|| Session(value.to_owned()))
    }

    /// The playlist with this session in each of its URLs.
    pub(super) fn write_into(&self, playlist: &str) -> String {
        let urls = playlist.lines().count();
        let mut out = String::with_capacity(playlist.len() + urls * (self.0.len() + 10));
        for line in playlist.lines() {
            match line.split_once("URI=\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?))) {
                Some((before, (url, after))) if line.starts_with('#') => {
                    out.extend([before, "URI=\""]);
                    self.push_url(&mut out, url);
                    out.extend(["\"", after]);
                }
                _ if line.starts_with('#') || line.is_empty() => out.push_str(line),
                _ => self.push_url(&mut out, line),
            }
            out.push('\n');
        }
        out
    }

    fn push_url(&self, out: &mut String, url: &str) {
        let joint = if url.contains('?') { "&" } else { "?" };
        out.extend([url, joint, "session=", &self.0]);
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest half of a session that is taken.
const WORD_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_of_a_playlist_carries_the_session_and_nothing_else_changes() {
        let playlist = "#EXTM3U\n#EXT-X-MAP:URI=\"init.m4s\"\n\
                        #EXT-X-PART:DURATION=0.5,URI=\"part.m4s\",INDEPENDENT=YES\n#EXTINF:2.0,\nseg.m4s\n\n\
                        a.m3u8?_HLS_legacy=YES\n#EXT-X-ENDLIST\n";
        let expected = "#EXTM3U\n#EXT-X-MAP:URI=\"init.m4s?session=7_Ab\"\n\
                        #EXT-X-PART:DURATION=0.5,URI=\"part.m4s?session=7_Ab\",INDEPENDENT=YES\n#EXTINF:2.0,\n\
                        seg.m4s?session=7_Ab\n\na.m3u8?_HLS_legacy=YES&session=7_Ab\n#EXT-X-ENDLIST\n";
        assert_eq!(Session::new(7, "Ab").write_into(playlist), expected);
    }

    #[test]
    fn a_session_is_two_words() {
        assert_eq!(Session::find(Some("a=b&session=7_Ab")), Some(Session::new(7, "Ab")));
        for query in ["session=7", "session=_a", "session=7_", "session=a_b_c", "session=a_\"", "x=1", ""] {
            assert_eq!(Session::find(Some(query)), None, "{query}");
        }
        assert_eq!(Session::find(None), None);
    }
}
