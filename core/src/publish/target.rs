//! Where a publisher wants to publish: host, application, stream and query out of RTMP's several ways to say it.
//!
//! Encoders split `rtmp://host/app/stream?query` in different places: into a URL and a stream key, with the key in
//! the URL, with the query in either, with an instance between application and stream. All of them are joined into
//! one path first and then taken apart once.

use crate::name;
use crate::wire::rtmp::PublishRequest;

/// What is to be published, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The host of `tcUrl` in lower case, without port and brackets; empty if the publisher did not say.
    pub(super) host: String,
    pub(super) app: String,
    pub(super) stream: String,
    /// What stood behind a `?`; of several, the application's first.
    pub(super) query: Option<String>,
}

/// The instance that stands for "no instance".
const DEFAULT_INSTANCE: &str = "_definst_";

impl Target {
    /// Understands a request, or says what is wrong with it, for the person at the encoder.
    pub(super) fn parse(request: &PublishRequest) -> Result<Target, String> {
        let (app, app_query) = split_query(&request.app);
        let (name, name_query) = split_query(&request.name);
        let path = format!("{app}/{name}");
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != DEFAULT_INSTANCE);
        let parts = parts.collect::<Vec<_>>();
        let [app, stream] = parts[..] else {
            return Err(match parts.len() {
                0 | 1 => "The stream has no name; publish to rtmp://host/app/stream.".to_owned(),
                _ => format!("{path:.100} has too many parts; publish to rtmp://host/app/stream."),
            });
        };
        check_name("application", app)?;
        check_name("stream", stream)?;
        let queries = [app_query, name_query];
        let query =
            queries.into_iter().flatten().filter(|query| !query.is_empty()).collect::<Vec<_>>().join("&");
        Ok(Target {
            host: host(&request.tc_url),
            app: app.to_owned(),
            stream: stream.to_owned(),
            query: (!query.is_empty()).then_some(query),
        })
    }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)))
}

fn check_name(what: &str, text: &str) -> Result<(), String> {
    name::check(text).map_err(|error| format!("The name of the {what} {error}."))
}

/// The host of a URL; empty if it has none.
fn host(url: &str) -> String {
    let Some((_, rest)) = url.split_once("://") else { return String::new() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(
        tc_url: &str,
        app: &str,
        name: &str,
    ) -> Result<(String, String, String, Option<String>), String> {
        let request = PublishRequest { tc_url: tc_url.into(), app: app.into(), name: name.into() };
        Target::parse(&request).map(|target| (target.host, target.app, target.stream, target.query))
    }

    fn expected(host: &str, query: Option<&str>) -> Result<(String, String, String, Option<String>), String> {
        Ok((host.into(), "app".into(), "stream".into(), query.map(str::to_owned)))
    }

    #[test]
    fn every_way_to_say_it_means_the_same() {
        let url = "rtmp://Example.com:1935/app";
        for (app, name, query) in [
            ("app", "stream", None),
            ("app", "stream?a=1", Some("a=1")),
            ("app?a=1", "stream", Some("a=1")),
            ("app?a=1", "stream?b=2", Some("a=1&b=2")),
            ("app/stream", "", None),
            ("app/stream?a=1", "", Some("a=1")),
            ("app/", "/stream", None),
            ("app/_definst_", "stream?", None),
            ("", "app/stream", None),
        ] {
            assert_eq!(parse(url, app, name), expected("example.com", query), "{app} {name}");
        }
    }

    #[test]
    fn the_host_is_bare() {
        for (url, host) in [
            ("rtmp://[2001:DB8::1]:1935/app", "2001:db8::1"),
            ("rtmp://user:secret@example.com/app", "example.com"),
            ("rtmp://example.com?x=/@", "example.com"),
            ("", ""),
        ] {
            assert_eq!(parse(url, "app", "stream"), expected(host, None), "{url}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_reason() {
        for (app, name, word) in [
            ("app", "", "no name"),
            ("app/instance", "stream", "too many parts"),
            ("app", "a\nb", "'\\n'"),
            ("app", "..", "not a name"),
            ("app", &"x".repeat(256), "longer"),
        ] {
            let why = parse("rtmp://h/app", app, name).expect_err("no name");
            assert!(why.contains(word), "{why}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(url in ".{0,40}", app in ".{0,40}", name in ".{0,40}") {
            let _ = parse(&url, &app, &name);
        }
    }
}
