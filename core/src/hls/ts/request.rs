//! What is asked for, by file name and query (reference: LL-HLS sections 1 and 1.2).

use crate::hls::request::{Query, RequestError, digits, number};

/// A request for a resource of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TsRequest {
    /// A master playlist.
    Master {
        /// Its file name, without `ts:` and `.m3u8`.
        name: String,
    },
    /// A media playlist.
    Medialist {
        /// What it is of.
        id: String,
    },
    /// A segment.
    Segment {
        /// What it is of.
        id: String,
        /// Its media sequence number.
        msn: u64,
    },
}

impl TsRequest {
    /// Reads the last segment of a path, and the query behind the `?`. `None` if the file is none of HLS version 3: then it
    /// is one of LL-HLS, or of nobody.
    pub fn parse(file: &str, query: Option<&str>) -> Option<Result<TsRequest, RequestError>> {
        let unknown = || Some(Err(RequestError::UnknownFile(file.chars().take(200).collect())));
        let (stem, extension) = file.split_once('.')?;
        let words: Vec<&str> = stem.split('_').take(8).collect();
        match (extension, &words[..]) {
            ("ts", ["seg", id, msn, "hls"]) if digits::<u64>(id).is_some() => {
                let id = (*id).to_owned();
                Some(number("media sequence number", msn).map(|msn| TsRequest::Segment { id, msn }))
            }
            ("m3u8", ["medialist", id, "hls"]) if digits::<u64>(id).is_some() => {
                Some(Ok(TsRequest::Medialist { id: (*id).to_owned() }))
            }
            ("ts" | "m3u8", [.., "hls"]) => unknown(),
            ("m3u8", _) => {
                let marked = stem.get(..3).filter(|prefix| prefix.eq_ignore_ascii_case("ts:"));
                let asked = Query(query.unwrap_or_default()).get("format") == Some("ts");
                let name = match marked {
                    Some(_) => &stem[3..],
                    None if asked => stem,
                    None => return None,
                };
                let is_name = !name.is_empty() && name.len() <= 200;
                if is_name { Some(Ok(TsRequest::Master { name: name.to_owned() })) } else { unknown() }
            }
            _ => None,
        }
    }

    /// Whether it can be the beginning of watching.
    pub fn is_playlist(&self) -> bool {
        matches!(self, TsRequest::Master { .. } | TsRequest::Medialist { .. })
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;

    fn master(name: &str) -> Option<Result<TsRequest, RequestError>> {
        Some(Ok(TsRequest::Master { name: name.to_owned() }))
    }

    #[test]
    fn every_kind_of_file() {
        let parse = TsRequest::parse;
        assert_eq!(parse("ts:playlist.m3u8", None), master("playlist"));
        assert_eq!(parse("TS:abr_1.m3u8", Some("x=y")), master("abr_1"));
        assert_eq!(parse("playlist.m3u8", Some("a=b&format=ts")), master("playlist"));
        assert_eq!(parse("ts:playlist.m3u8", Some("format=ts")), master("playlist"));
        let id = || "123".to_owned();
        assert_eq!(parse("medialist_123_hls.m3u8", None), Some(Ok(TsRequest::Medialist { id: id() })));
        assert_eq!(parse("seg_123_7_hls.ts", None), Some(Ok(TsRequest::Segment { id: id(), msn: 7 })));
    }

    #[test]
    fn what_is_of_ll_hls_is_left_to_it() {
        for file in [
            "playlist.m3u8",
            "chunklist_0_video_1_llhls.m3u8",
            "seg_0_9_video_1_llhls.m4s",
            "x",
            ".m3u8",
            "a.b",
        ] {
            assert_eq!(TsRequest::parse(file, Some("format=TS&x=ts")), None, "{file}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let status = |file| TsRequest::parse(file, None).unwrap().unwrap_err().status();
        for file in [
            "ts:.m3u8",
            "medialist_x_hls.m3u8",
            "medialist_hls.m3u8",
            "seg_1_hls.ts",
            "seg_x_1_hls.ts",
            "a_hls.ts",
        ] {
            assert_eq!(status(file), StatusCode::NOT_FOUND, "{file}");
        }
        assert_eq!(status("seg_1_x_hls.ts"), StatusCode::BAD_REQUEST);
    }

    proptest! {
        #[test]
        fn any_text_does_no_harm(file in "(ts:|seg|medialist)?[_0-9a-zäö.]{0,60}", query in ".{0,60}") {
            let _ = TsRequest::parse(&file, Some(&query));
        }
    }
}
