//! As much of URLs as a player needs: what to ask whom, and how a reference is resolved.

use headwater_core::io::Endpoint;

/// The server and the request for an absolute `http` or `https` URL; `None` if it is not one.
pub(crate) fn request(url: &str) -> Option<(Endpoint, http::Request<()>)> {
    let uri: http::Uri = url.parse().ok()?;
    let default = match uri.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = uri.authority()?;
    let port = authority.port_u16().unwrap_or(default);
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = http::Request::get(path).header(http::header::HOST, authority.as_str()).body(()).ok()?;
    Some((Endpoint { host, port }, request))
}

/// The absolute URL that `reference` means in a document that came from `base`.
pub(crate) fn resolve(base: &str, reference: &str) -> String {
    if reference.contains("://") {
        return reference.to_owned();
    }
    let start = base.find("://").map_or(0, |at| at + 3);
    let path_start = base[start..].find('/').map_or(base.len(), |at| start + at);
    let (authority, path) = base.split_at(path_start);
    if reference.starts_with('/') {
        return format!("{authority}{reference}");
    }
    let path = path.split('?').next().unwrap_or("");
    let mut folders: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if !path.ends_with('/') {
        folders.pop();
    }
    let mut rest = reference;
    while let Some(after) = rest.strip_prefix("../") {
        folders.pop();
        rest = after;
    }
    let folders: String = folders.iter().flat_map(|folder| ["/", folder]).collect();
    format!("{authority}{folders}/{}", rest.trim_start_matches("./"))
}

/// `url` without its query.
pub(crate) fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// `url` with `name=value` added to its query.
pub(crate) fn with_query(url: &str, name: &str, value: impl core::fmt::Display) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{name}={value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved() {
        let base = "http://edge:8080/app/stream/llhls.m3u8?key=a/b";
        for (reference, absolute) in [
            ("/x/y.m3u8?q=1", "http://edge:8080/x/y.m3u8?q=1"),
            ("part.m4s?s=1_", "http://edge:8080/app/stream/part.m4s?s=1_"),
            ("../stream/c.m3u8", "http://edge:8080/app/stream/c.m3u8"),
            ("../../app/stream/c.m3u8", "http://edge:8080/app/stream/c.m3u8"),
            ("https://cdn/z", "https://cdn/z"),
        ] {
            assert_eq!(resolve(base, reference), absolute);
        }
    }

    #[test]
    fn a_request_names_its_server() {
        let (to, request) = request("http://edge:8080/a/b?c=d").unwrap();
        assert_eq!((to.host.as_str(), to.port), ("edge", 8080));
        assert_eq!(request.uri(), "/a/b?c=d");
        assert_eq!(request.headers()["host"], "edge:8080");
        assert!(super::request("edge/x").is_none());
    }
}
