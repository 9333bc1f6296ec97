//! What the references in a playlist mean to somebody who knows one server.

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

#[cfg(test)]
mod tests {
    use super::*;

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
