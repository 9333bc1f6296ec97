//! What an HTTP answer says besides its bytes: who may read it (CORS), how long a cache may keep it, under which name
//! (ETag), and which part of it was asked for (Range).
//!
//! It is written for caches in front of two servers: an answer is a function of the URL and of what [`Terms`] hold,
//! `Vary` names every header that it depends on, and nothing in it tells one server from another. `Age` is never
//! sent: it says for how long a cache has had an answer, and every answer here is fresh.

use core::fmt::Write;
use core::ops::Range;
use core::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::config::{CacheControl, CrossDomains};
use crate::hls::{self, CacheKind, Tag};
use crate::io::Body;

/// What a request says about the answer that it wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// Whether a playlist may be compressed with gzip.
    pub(super) gzip: bool,
    origin: Option<HeaderValue>,
    /// `If-None-Match`: what the client has.
    known: Vec<HeaderValue>,
    range: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
}

impl Terms {
    /// Those of a request.
    pub(super) fn of(request: &http::Request<()>) -> Terms {
        let headers = request.headers();
        // Range is for GET alone (RFC 9110 section 14.2).
        let of_get = |name| headers.get(name).filter(|_| *request.method() == Method::GET).cloned();
        Terms {
            gzip: accepts_gzip(headers),
            origin: headers.get(header::ORIGIN).cloned(),
            known: headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect(),
            range: of_get(header::RANGE),
            if_range: of_get(header::IF_RANGE),
        }
    }
}

/// What the configuration says about answers of a publisher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy<'a> {
    pub(super) cross: &'a CrossDomains,
    pub(super) cache: &'a CacheControl,
    /// How long segments are.
    pub(super) segment: Duration,
    /// Whether URLs are the same for everybody.
    pub(super) origin_mode: bool,
}

/// The answer with what a packager said.
pub(super) fn media(reply: hls::Response, terms: &Terms, policy: Policy<'_>) -> Response<Body> {
    let Some(kind) = reply.cache else {
        let why = reply.status.canonical_reason().unwrap_or_default();
        return text(reply.status, &format!("{why}.\n"), terms, policy.cross);
    };
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    insert(headers, header::CACHE_CONTROL, cache_control(kind, policy));
    if reply.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if is_playlist(kind) {
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    } else {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    let tag = reply.tag.map(|tag| entity_tag(tag, reply.gzip));
    insert(headers, header::ETAG, tag.clone());
    allow_origin(headers, policy.cross, terms.origin.as_ref());
    match tag {
        Some(tag) if terms.known.iter().any(|known| lists(known, &tag)) => not_modified(response),
        Some(tag) if !is_playlist(kind) => ranged(response, terms, &tag),
        _ => response,
    }
}

/// An answer in words. Caches may keep what is no more, or not yet, for a moment: that is long enough for a thousand
/// players that ask for it, and too short to be seen.
pub(super) fn text(status: StatusCode, why: &str, terms: &Terms, cross: &CrossDomains) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::copy_from_slice(why.as_bytes())));
    *response.status_mut() = status;
    let cache = match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => "max-age=1",
        _ => "no-store",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    allow_origin(headers, cross, terms.origin.as_ref());
    response
}

/// The answer to OPTIONS.
pub(super) fn preflight(request: &http::Request<()>, cross: &CrossDomains) -> Response<Body> {
    let mut response = Response::new(Body::default());
    let headers = response.headers_mut();
    if allow_origin(headers, cross, request.headers().get(header::ORIGIN)) {
        headers.insert(HeaderName::from_static("access-control-allow-private-network"), TRUE);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
    response
}

/// The answer to a method that there is not.
pub(super) fn not_allowed() -> Response<Body> {
    let terms = Terms::default();
    let mut response =
        text(StatusCode::METHOD_NOT_ALLOWED, "This can only be read.\n", &terms, &CrossDomains::default());
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS));
    response
}

/// Whether it is a playlist.
pub(super) fn is_playlist(kind: CacheKind) -> bool {
    matches!(kind, CacheKind::Chunklist | CacheKind::ChunklistWithDirectives | CacheKind::Master)
}

const METHODS: &str = "GET, HEAD, OPTIONS";

/// What a page may see of an answer besides its body. Players ask how old it is, to know where live is.
const EXPOSED: &str = "Age, Content-Length, Content-Range, Date, ETag";

const TRUE: HeaderValue = HeaderValue::from_static("true");

/// How long the names of segments and parts may be kept: there is never anything else under them.
const MEDIA_AGE_S: u64 = 86_400;

/// What is written (0 is not at all, less is not said), or what follows from the length of segments: a playlist is old
/// before half a segment has passed, the answer to a blocking reload is good for as long as a player could want it.
fn cache_control(kind: CacheKind, policy: Policy<'_>) -> Option<HeaderValue> {
    let Policy { cache, segment, .. } = policy;
    let written = match kind {
        CacheKind::Chunklist => cache.chunklist,
        CacheKind::ChunklistWithDirectives => cache.chunklist_with_directives,
        CacheKind::Master => cache.master,
        CacheKind::Part => cache.part,
        CacheKind::Segment => cache.segment,
    };
    match written {
        Some(0) => return Some(HeaderValue::from_static("no-cache, no-store")),
        Some(seconds @ 1..) => return HeaderValue::try_from(format!("max-age={seconds}")).ok(),
        Some(_) => return None,
        None => {}
    }
    if is_playlist(kind) && !policy.origin_mode {
        return Some(HeaderValue::from_static("no-store"));
    }
    let target_s = u64::try_from(segment.as_millis().saturating_add(500) / 1_000).unwrap_or(u64::MAX).max(1);
    let text = match kind {
        CacheKind::Chunklist | CacheKind::Master => format!("max-age={}", ((target_s - 1) / 2).max(1)),
        CacheKind::ChunklistWithDirectives => format!("max-age={}, immutable", 6 * target_s),
        CacheKind::Part | CacheKind::Segment => format!("max-age={MEDIA_AGE_S}, immutable"),
    };
    HeaderValue::try_from(text).ok()
}

/// A name in quotes; what is compressed has another one (RFC 9110 section 8.8.3.3).
fn entity_tag(tag: Tag, gzip: bool) -> String {
    if gzip { format!("\"{tag}-gzip\"") } else { format!("\"{tag}\"") }
}

/// Whether `If-None-Match` names this tag. Weak ones are as good as strong ones here (RFC 9110 section 13.1.2).
fn lists(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else { return false };
    // Our own tags have no comma in them.
    known.split(',').map(str::trim).any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == tag)
}

fn not_modified(mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = Body::default();
    for name in [header::ACCEPT_RANGES, header::CONTENT_ENCODING, header::CONTENT_TYPE] {
        response.headers_mut().remove(name);
    }
    response
}

/// The range that was asked for, if one was. Several at a time are answered with all there is, as is allowed.
fn ranged(mut response: Response<Body>, terms: &Terms, tag: &str) -> Response<Body> {
    let changed = terms.if_range.as_ref().is_some_and(|it| it.as_bytes() != tag.as_bytes());
    let length = response.body().len();
    let asked = terms.range.as_ref().filter(|_| !changed).and_then(|it| range(it.to_str().ok()?, length));
    let Some(asked) = asked else { return response };
    let mut said = String::from("bytes ");
    let written = match &asked {
        Some(range) => write!(said, "{}-{}/{length}", range.start, range.end - 1),
        None => write!(said, "*/{length}"),
    };
    debug_assert!(written.is_ok());
    insert(response.headers_mut(), header::CONTENT_RANGE, Some(said));
    match asked {
        Some(range) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let part = response.body().slice(range);
            *response.body_mut() = part;
        }
        None => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            *response.body_mut() = Body::default();
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
    response
}

/// The one range of bytes that a header asks for; `Some(None)` if there is nothing of it, `None` if it is to be taken for
/// not written (RFC 9110 section 14.1.2).
fn range(text: &str, length: usize) -> Option<Option<Range<usize>>> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        is_number.then(|| text.parse::<usize>().unwrap_or(usize::MAX))
    };
    let range = match (first, last) {
        ("", last) => length.saturating_sub(number(last)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some((range.start < range.end).then_some(range))
}

/// Lets a web page read the answer if its origin is allowed (reference: LL-HLS section 6.4).
fn allow_origin(headers: &mut HeaderMap, cross: &CrossDomains, origin: Option<&HeaderValue>) -> bool {
    let everybody = cross.urls.iter().any(|url| url == "*");
    let allowed = if everybody {
        Some(HeaderValue::from_static("*"))
    } else {
        origin.filter(|origin| origin.to_str().is_ok_and(|text| cross.allows(text))).cloned()
    };
    if !everybody && !cross.urls.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let is_allowed = allowed.is_some();
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        if !everybody {
            // Browsers refuse credentials together with `*`, so they are only offered to a named origin.
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
    }
    for (name, value) in &cross.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    is_allowed
}

fn insert<V>(headers: &mut HeaderMap, name: HeaderName, value: Option<V>)
where
    HeaderValue: TryFrom<V>,
{
    if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
        headers.insert(name, value);
    }
}

/// Whether gzip is taken, and not less gladly than what is not compressed (RFC 9110 section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    let values = headers.get_all(header::ACCEPT_ENCODING);
    for coding in values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
        let mut words = coding.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let weight = words.find_map(|it| it.strip_prefix("q=").or(it.strip_prefix("Q=")));
        let weight = weight.map_or(1_000, thousandths);
        match name {
            "*" => any = Some(weight),
            _ if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                gzip = Some(weight)
            }
            _ if name.eq_ignore_ascii_case("identity") => identity = Some(weight),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// A weight between 0 and 1 in thousandths; what is none is a no.
fn thousandths(text: &str) -> u32 {
    match text.trim().parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0).round() as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVERYBODY: fn() -> CrossDomains =
        || CrossDomains { urls: vec!["*".to_owned()], headers: Vec::new() };

    fn terms(fields: &[(&str, &str)]) -> Terms {
        let mut request = http::Request::get("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        Terms::of(&request.body(()).unwrap())
    }

    fn reply(kind: CacheKind, gzip: bool) -> hls::Response {
        let body = Body(vec![Bytes::from_static(b"0123"), Bytes::from_static(b"456789")]);
        let tag = Some(Tag::of_body(&body));
        hls::Response {
            status: StatusCode::OK,
            content_type: "video/mp4",
            cache: Some(kind),
            gzip,
            tag,
            body,
        }
    }

    fn answered(kind: CacheKind, fields: &[(&str, &str)]) -> Response<Body> {
        answered_by(kind, fields, &CacheControl::default(), &EVERYBODY(), true)
    }

    fn answered_by(
        kind: CacheKind,
        fields: &[(&str, &str)],
        cache: &CacheControl,
        cross: &CrossDomains,
        origin_mode: bool,
    ) -> Response<Body> {
        let policy = Policy { cross, cache, segment: Duration::from_secs(6), origin_mode };
        let terms = terms(fields);
        media(reply(kind, terms.gzip && is_playlist(kind)), &terms, policy)
    }

    fn of<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
        assert!(response.headers().get_all(name).iter().count() <= 2);
        response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    fn text_of(response: &Response<Body>) -> String {
        response.body().0.iter().map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
    }

    #[test]
    fn l13_every_kind_is_kept_for_its_time() {
        use CacheKind::{Chunklist, ChunklistWithDirectives, Master, Part, Segment};
        for (kind, expected) in [
            (Master, "max-age=2"),
            (Chunklist, "max-age=2"),
            (ChunklistWithDirectives, "max-age=36, immutable"),
            (Part, "max-age=86400, immutable"),
            (Segment, "max-age=86400, immutable"),
        ] {
            assert_eq!(of(&answered(kind, &[]), "cache-control"), Some(expected), "{kind:?}");
            let written = |seconds| CacheControl {
                master: Some(seconds),
                chunklist: Some(seconds),
                chunklist_with_directives: Some(seconds),
                segment: Some(seconds),
                part: Some(seconds),
            };
            for (seconds, expected) in [(0, Some("no-cache, no-store")), (7, Some("max-age=7")), (-1, None)] {
                let response = answered_by(kind, &[], &written(seconds), &EVERYBODY(), true);
                assert_eq!(of(&response, "cache-control"), expected, "OvenMediaEngine's keys win");
            }
        }
        for (kind, expected) in
            [(Master, "no-store"), (ChunklistWithDirectives, "no-store"), (Part, "max-age=86400, immutable")]
        {
            let response = answered_by(kind, &[], &CacheControl::default(), &EVERYBODY(), false);
            assert_eq!(of(&response, "cache-control"), Some(expected), "with sessions");
        }
        let error = |status| text(status, "", &Terms::default(), &EVERYBODY());
        assert_eq!(of(&error(StatusCode::NOT_FOUND), "cache-control"), Some("max-age=1"));
        let busy = error(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((of(&busy, "cache-control"), of(&busy, "retry-after")), (Some("no-store"), Some("1")));
        assert_eq!(of(&error(StatusCode::UNAUTHORIZED), "cache-control"), Some("no-store"));
    }

    #[test]
    fn who_has_it_is_told_so() {
        let first = answered(CacheKind::Segment, &[]);
        let tag = of(&first, "etag").unwrap().to_owned();
        let other = "\"00000000000000000000000000000000\"";
        for (known, expected) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("{other}, W/{tag}"), 304),
            ("*".to_owned(), 304),
            (other.to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let response = answered(CacheKind::Segment, &[("if-none-match", &known), ("range", "bytes=0-1")]);
            let status = if expected == 304 { 304 } else { 206 };
            assert_eq!(response.status().as_u16(), status, "{known}");
            assert_eq!(of(&response, "etag"), Some(tag.as_str()));
            assert_eq!(of(&response, "cache-control"), of(&first, "cache-control"));
            assert_eq!(response.body().is_empty(), expected == 304);
        }
        let plain = answered(CacheKind::Chunklist, &[]);
        let zipped = answered(CacheKind::Chunklist, &[("accept-encoding", "gzip")]);
        assert_ne!(of(&plain, "etag"), of(&zipped, "etag"), "they are not the same bytes");
        let known = of(&plain, "etag").unwrap();
        let response =
            answered(CacheKind::Chunklist, &[("accept-encoding", "gzip"), ("if-none-match", known)]);
        assert_eq!(response.status(), 200);
    }

    #[test]
    fn a_range_of_media_is_cut_out_of_its_pieces() {
        for (asked, status, content, said) in [
            ("bytes=2-5", 206, "2345", Some("bytes 2-5/10")),
            ("bytes=0-", 206, "0123456789", Some("bytes 0-9/10")),
            ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
            ("bytes=-30", 206, "0123456789", Some("bytes 0-9/10")),
            ("bytes=9-99999999999999999999999", 206, "9", Some("bytes 9-9/10")),
            ("bytes=10-", 416, "", Some("bytes */10")),
            ("bytes=-0", 416, "", Some("bytes */10")),
            ("bytes=5-2", 200, "0123456789", None),
            ("bytes=0-1,3-4", 200, "0123456789", None),
            ("lines=0-1", 200, "0123456789", None),
            ("bytes=a-b", 200, "0123456789", None),
        ] {
            let response = answered(CacheKind::Segment, &[("range", asked)]);
            assert_eq!(
                (response.status().as_u16(), text_of(&response).as_str()),
                (status, content),
                "{asked}"
            );
            assert_eq!(of(&response, "content-range"), said, "{asked}");
        }
        let response = answered(CacheKind::Chunklist, &[("range", "bytes=0-1")]);
        assert_eq!(
            (response.status().as_u16(), of(&response, "accept-ranges")),
            (200, None),
            "a playlist is whole"
        );
        let tag = of(&answered(CacheKind::Part, &[]), "etag").unwrap().to_owned();
        for (condition, status) in [(tag.clone(), 206), (format!("W/{tag}"), 200), ("\"x\"".to_owned(), 200)]
        {
            let fields = [("range", "bytes=0-1"), ("if-range", condition.as_str())];
            assert_eq!(answered(CacheKind::Part, &fields).status().as_u16(), status, "{condition}");
        }
    }

    #[test]
    fn vary_names_what_the_answer_depends_on_and_nothing_else() {
        let vary = |kind, cross: &CrossDomains| {
            let response = answered_by(kind, &[], &CacheControl::default(), cross, true);
            let values = response.headers().get_all("vary").iter().map(|it| it.to_str().unwrap().to_owned());
            values.collect::<Vec<_>>()
        };
        let some = CrossDomains { urls: vec!["*.example.com".to_owned()], headers: Vec::new() };
        assert_eq!(vary(CacheKind::Segment, &EVERYBODY()), [""; 0]);
        assert_eq!(vary(CacheKind::Segment, &CrossDomains::default()), [""; 0]);
        assert_eq!(vary(CacheKind::Segment, &some), ["Origin"]);
        assert_eq!(vary(CacheKind::Master, &EVERYBODY()), ["Accept-Encoding"]);
        assert_eq!(vary(CacheKind::Master, &some), ["Accept-Encoding", "Origin"]);
        let response = answered(CacheKind::Chunklist, &[]);
        assert!(of(&response, "access-control-expose-headers").unwrap().contains("Age"), "hls.js reads it");
        for never in ["age", "set-cookie", "last-modified", "expires"] {
            assert_eq!(of(&response, never), None);
        }
    }

    #[test]
    fn gzip_is_for_those_who_prefer_it() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("*", true),
            ("GZIP;q=1.0", true),
            ("br, x-gzip", true),
            ("", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("*;q=0", false),
            ("identity;q=1, gzip;q=0.5", false),
            ("identity;q=0.5, gzip;q=0.5", true),
            ("identity;q=0, *;q=0.1", true),
            ("gzip;q=x", false),
            ("gzip;q=7", false),
        ] {
            assert_eq!(terms(&[("accept-encoding", value)]).gzip, expected, "{value}");
        }
        assert!(!terms(&[]).gzip);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_is_answered(fields in prop::collection::vec(
            (prop::sample::select(vec!["range", "if-range", "if-none-match", "accept-encoding"]), "[ -~]{0,40}"), 0..5,
        )) {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let response = answered(CacheKind::Segment, &fields);
            prop_assert!([200, 206, 304, 416].contains(&response.status().as_u16()));
        }

        #[test]
        fn a_range_is_what_it_says(first in 0usize..12, length in 0usize..12) {
            let asked = format!("bytes={first}-{}", first + length);
            let response = answered(CacheKind::Segment, &[("range", &asked)]);
            let expected = &"0123456789"[first.min(10)..(first + length + 1).min(10)];
            prop_assert_eq!(text_of(&response), expected);
        }
    }
}
