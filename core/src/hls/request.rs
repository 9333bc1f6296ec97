//! What is asked for: a file name and a query, parsed (reference: LL-HLS sections 1.1 and 4).

use http::StatusCode;
use thiserror::Error;

use super::names::kind_name;
use crate::media::{Kind, TrackId};

/// A request for a resource of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A master playlist.
    Master {
        /// Its file name, without `.m3u8`.
        name: String,
        /// `_HLS_legacy=YES`: without low-latency tags.
        legacy: bool,
    },
    /// A media playlist.
    Chunklist {
        /// The track and key in the file name.
        of: TrackRef,
        /// `_HLS_msn`.
        msn: Option<u64>,
        /// `_HLS_part`; never without `msn`.
        part: Option<u32>,
        /// How much of it.
        form: Form,
    },
    /// An init section.
    Init {
        /// The track and key in the file name.
        of: TrackRef,
    },
    /// A whole segment.
    Segment {
        /// The track and key in the file name.
        of: TrackRef,
        /// Its media sequence number.
        msn: u64,
    },
    /// A part.
    Part {
        /// The track and key in the file name.
        of: TrackRef,
        /// The media sequence number of its segment.
        msn: u64,
        /// Its number in the segment.
        part: u32,
    },
}

/// How much of a media playlist is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// All of it.
    Whole,
    /// `_HLS_skip`: without the segments that the asker knows (RFC 8216bis section 6.2.5.1), where there are such.
    Delta,
    /// `_HLS_legacy=YES`: without low-latency tags.
    Legacy,
}

/// A track as a file name refers to it. Whether kind and key are right only the stream knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRef {
    /// The track.
    pub track: TrackId,
    /// Video or audio.
    pub kind: Kind,
    /// The key; of an init section, the one that names its content.
    pub key: String,
}

/// Why there is nothing to look up. It is the viewer's fault.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// The file is none of this publisher's.
    #[error("there is no file `{0}` in an HLS stream")]
    UnknownFile(String),
    /// A number in the file name or in the query is none, or too large.
    #[error("`{name}` has the value `{value}`, which is not a number in range")]
    BadNumber {
        /// Which.
        name: &'static str,
        /// What it was.
        value: String,
    },
    /// `_HLS_part` says nothing without `_HLS_msn`.
    #[error("`_HLS_part` needs `_HLS_msn` beside it")]
    PartWithoutMsn,
}

impl RequestError {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            RequestError::UnknownFile(_) => StatusCode::NOT_FOUND,
            RequestError::BadNumber { .. } | RequestError::PartWithoutMsn => StatusCode::BAD_REQUEST,
        }
    }
}

impl Request {
    /// Reads the last segment of a path, and the query behind the `?`. Unknown parameters are ignored; of a parameter that
    /// is there twice, the first counts.
    pub fn parse(file: &str, query: Option<&str>) -> Result<Request, RequestError> {
        let unknown = || RequestError::UnknownFile(file.chars().take(200).collect());
        let (stem, extension) = file.split_once('.').ok_or_else(unknown)?;
        let query = Query(query.unwrap_or_default());
        let words: Vec<&str> = stem.split('_').take(8).collect();
        match (extension, &words[..]) {
            ("m3u8", ["chunklist", track, kind, key, "llhls"]) => {
                let of = track_ref(track, kind, key).ok_or_else(unknown)?;
                let msn = query.get("_HLS_msn").map(|value| number("_HLS_msn", value)).transpose()?;
                let part = query.get("_HLS_part").map(|value| number("_HLS_part", value)).transpose()?;
                if part.is_some() && msn.is_none() {
                    return Err(RequestError::PartWithoutMsn);
                }
                Ok(Request::Chunklist { of, msn, part, form: query.form() })
            }
            ("m3u8", _) if !stem.is_empty() && stem.len() <= 200 => {
                Ok(Request::Master { name: stem.into(), legacy: query.legacy() })
            }
            ("m4s", ["init", track, kind, key, "llhls"]) => {
                Ok(Request::Init { of: track_ref(track, kind, key).ok_or_else(unknown)? })
            }
            ("m4s", ["seg", track, msn, kind, key, "llhls"]) => {
                let of = track_ref(track, kind, key).ok_or_else(unknown)?;
                Ok(Request::Segment { of, msn: number("media sequence number", msn)? })
            }
            ("m4s", ["part", track, msn, part, kind, key, "llhls"]) => {
                let of = track_ref(track, kind, key).ok_or_else(unknown)?;
                let msn = number("media sequence number", msn)?;
                Ok(Request::Part { of, msn, part: number("part number", part)? })
            }
            _ => Err(unknown()),
        }
    }
}

fn track_ref(track: &str, kind: &str, key: &str) -> Option<TrackRef> {
    let kind = [Kind::Video, Kind::Audio].into_iter().find(|&known| kind_name(known) == kind)?;
    Some(TrackRef { track: TrackId(digits(track)?), kind, key: key.into() })
}

pub(super) fn number<T: core::str::FromStr>(name: &'static str, value: &str) -> Result<T, RequestError> {
    digits(value).ok_or_else(|| RequestError::BadNumber { name, value: value.chars().take(40).collect() })
}

/// A decimal number without sign or superfluous zeros, so that one thing has one name.
pub(super) fn digits<T: core::str::FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// A query string, looked at where it lies.
pub(super) struct Query<'a>(pub(super) &'a str);

impl<'a> Query<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    fn form(&self) -> Form {
        match self.get("_HLS_skip") {
            _ if self.legacy() => Form::Legacy,
            Some("YES" | "v2") => Form::Delta,
            _ => Form::Whole,
        }
    }

    fn legacy(&self) -> bool {
        self.get("_HLS_legacy").is_some_and(|value| value.eq_ignore_ascii_case("YES"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(kind: Kind) -> TrackRef {
        TrackRef { track: TrackId(0), kind, key: "K".into() }
    }

    #[test]
    fn every_kind_of_file() {
        let parse = |file, query| Request::parse(file, query).unwrap();
        assert_eq!(
            parse("master.m3u8", Some("x=1&_HLS_legacy=yes")),
            Request::Master { name: "master".into(), legacy: true }
        );
        assert_eq!(
            parse("chunklist_0_video_K_llhls.m3u8", Some("_HLS_msn=7&_HLS_part=2&_HLS_skip=YES")),
            Request::Chunklist { of: of(Kind::Video), msn: Some(7), part: Some(2), form: Form::Delta }
        );
        assert_eq!(parse("init_0_audio_K_llhls.m4s", None), Request::Init { of: of(Kind::Audio) });
        assert_eq!(
            parse("seg_0_9_audio_K_llhls.m4s", None),
            Request::Segment { of: of(Kind::Audio), msn: 9 }
        );
        assert_eq!(
            parse("part_0_9_3_video_K_llhls.m4s", None),
            Request::Part { of: of(Kind::Video), msn: 9, part: 3 }
        );
    }

    #[test]
    fn l6_part_without_msn_is_400() {
        let error = Request::parse("chunklist_0_video_K_llhls.m3u8", Some("_HLS_part=2")).unwrap_err();
        assert_eq!(error, RequestError::PartWithoutMsn);
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_number_that_is_none_is_400() {
        for query in ["_HLS_msn=abc", "_HLS_msn=", "_HLS_msn=-1", "_HLS_msn=99999999999999999999"] {
            let error = Request::parse("chunklist_0_video_K_llhls.m3u8", Some(query)).unwrap_err();
            assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{query}");
        }
        let error = Request::parse("seg_0_x_video_K_llhls.m4s", None).unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn an_unknown_file_is_404() {
        for file in ["", "x", ".m3u8", "a.b", "part_0_video_K_llhls.m4s", "seg_0_1_data_K_llhls.m4s"] {
            let error = Request::parse(file, None).unwrap_err();
            assert_eq!(error.status(), StatusCode::NOT_FOUND, "{file}");
        }
    }

    proptest! {
        #[test]
        fn any_text_does_no_harm(file in "(part|seg|init|chunklist)?[_0-9a-z.]{0,60}", query in ".{0,60}") {
            let _ = Request::parse(&file, Some(&query));
        }
    }
}
