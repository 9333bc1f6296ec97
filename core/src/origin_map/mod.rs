//! OriginMap: a request in, an ordered list of origin URLs out.
//!
//! Pure rules over text (reference: OriginMap sections 2 and 3). What a URL means, whether it can be reached and what
//! happens when it cannot is none of this module's business.

use core::fmt;
use core::time::Duration;

use crate::limits::SILENCE_MIN;

/// `Origins/Properties`: how the streams of a virtual host are pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullProperties {
    /// `NoInputFailoverTimeout`: silence after which the next URL is tried.
    pub no_input_timeout: Duration,
    /// `NoInputSuspicionTimeout`: the shortest silence after which the next URL is tried while this one is kept; never if
    /// zero. Headwater's own.
    pub suspicion_timeout: Duration,
    /// `UnusedStreamDeletionTimeout`: how long a stream is kept that nobody plays.
    pub unused_timeout: Duration,
    /// `StreamFailbackTimeout`: how often the primary URL is probed while another is in use.
    pub failback_interval: Duration,
    /// `RetryCount`: rounds over the URL list without a pause; 0 is a single attempt and no resume.
    pub retry_count: u32,
    /// `HotStandby`: how many other origins of a stream are pulled at the same time, so that one of them can take over at
    /// once. Headwater's own.
    pub hot_standby: u32,
}

impl Default for PullProperties {
    fn default() -> Self {
        PullProperties {
            no_input_timeout: Duration::from_millis(3_000),
            suspicion_timeout: SILENCE_MIN,
            unused_timeout: Duration::from_millis(60_000),
            failback_interval: Duration::from_millis(3_000),
            retry_count: 1,
            hot_standby: 0,
        }
    }
}

/// `Origins/Origin`: where requests for a location are pulled from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginRule {
    /// `Location`: a path, or the beginning of one. `/app/` is everything below it; `/app` is that path and everything
    /// below it; `/app*` is everything that begins so, also `/app2/stream`.
    pub location: String,
    /// `StrictLocation`: the whole path must be the location.
    pub strict: bool,
    /// `Pass/Scheme`, in lower case.
    pub scheme: String,
    /// `Pass/Urls/Url`, in order of preference; without scheme.
    pub urls: Vec<String>,
    /// `Pass/ForwardQueryParams`.
    pub forward_query: bool,
    /// `Persistent`: never deleted for want of viewers, never left for want of input.
    pub persistent: bool,
    /// `Failback`: return to the first URL when it is back.
    pub failback: bool,
    /// `HotStandby` of this rule, if it has its own.
    pub hot_standby: Option<u32>,
    /// `Relay`: offer the stream to further edges as it came.
    pub relay: bool,
}

impl OriginRule {
    /// The URLs that this rule makes of a request, in order of preference; `None` if the rule is not for it.
    /// `app` and `stream` are names, not paths; `query` is the player's, without `?`.
    pub fn candidates(&self, app: &str, stream: &str, query: Option<&str>) -> Option<Vec<String>> {
        let requested = requested_location(app, stream)?;
        let rest = self.rest_of(&requested).ok()?;
        Some(self.urls_for(rest, query))
    }

    /// Whether Headwater can pull over the scheme of this rule.
    pub fn scheme_support(&self) -> Result<(), UnsupportedScheme> {
        if self.scheme.eq_ignore_ascii_case("ovt") {
            return Ok(());
        }
        Err(UnsupportedScheme { scheme: self.scheme.clone() })
    }

    /// What the request has beyond the location, or why the rule is not for it.
    fn rest_of<'r>(&self, requested: &'r str) -> Result<&'r str, Mismatch> {
        if !self.location.starts_with('/') {
            return Err(Mismatch::NotRooted);
        }
        if self.strict {
            return if self.location == requested { Ok("") } else { Err(Mismatch::NotEqual) };
        }
        let (prefix, bounded) = match self.location.strip_suffix('*') {
            Some(prefix) => (prefix, false),
            None => (self.location.as_str(), !self.location.ends_with('/')),
        };
        let rest = requested.strip_prefix(prefix).ok_or(Mismatch::NotPrefix)?;
        if bounded && !rest.is_empty() && !rest.starts_with('/') {
            return Err(Mismatch::InsideName);
        }
        Ok(rest)
    }

    fn urls_for(&self, rest: &str, query: Option<&str>) -> Vec<String> {
        let query = query.filter(|_| self.forward_query).map(forwarded_query).unwrap_or_default();
        self.urls.iter().map(|url| origin_url(&self.scheme, url, rest, &query)).collect()
    }
}

/// A scheme that is not pulled over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("streams are not pulled over `{scheme}`, only over `ovt`; let the origin publish over OVT")]
pub struct UnsupportedScheme {
    /// The scheme, in lower case.
    pub scheme: String,
}

/// The rule that is for a request, and what it makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<'m> {
    /// The place of the rule in the list, from 0.
    pub index: usize,
    /// The rule.
    pub rule: &'m OriginRule,
    /// The URLs, in order of preference.
    pub urls: Vec<String>,
    /// Whether they can be pulled at all.
    pub support: Result<(), UnsupportedScheme>,
}

/// What the rules make of a request: the first rule that is for it decides, whatever comes of its URLs; `None` if no
/// rule is for it. `app` and `stream` are names, not paths; `query` is the player's, without `?`.
pub fn resolve<'m>(
    rules: &'m [OriginRule],
    app: &str,
    stream: &str,
    query: Option<&str>,
) -> Option<Resolved<'m>> {
    explain(rules, app, stream).into_iter().find_map(|verdict| {
        let Outcome::Chosen { rest } = verdict.outcome else { return None };
        let RuleVerdict { index, rule, .. } = verdict;
        Some(Resolved { index, rule, urls: rule.urls_for(&rest, query), support: rule.scheme_support() })
    })
}

/// What one rule has to say about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleVerdict<'m> {
    /// The place of the rule in the list, from 0.
    pub index: usize,
    /// The rule.
    pub rule: &'m OriginRule,
    /// Whether it is for the request.
    pub outcome: Outcome,
}

/// Whether a rule is for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is for the request and the first that is.
    Chosen {
        /// What the request has beyond the location.
        rest: String,
    },
    /// It is not.
    Mismatch(Mismatch),
    /// It would be, but one before it is chosen.
    Shadowed {
        /// The place of the chosen rule.
        by: usize,
    },
}

/// Why a rule is not for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The application or stream cannot be put into a URL.
    #[error("the application and stream are not names: empty, or with one of / ? # or a space")]
    BadName,
    /// The location ends inside a name of the request.
    #[error("the request only begins like it: the name goes on where the location ends")]
    InsideName,
    /// The location is strict and not the request.
    #[error("the location is strict, and the request is not exactly it")]
    NotEqual,
    /// The request does not begin with the location.
    #[error("the request does not begin with it")]
    NotPrefix,
    /// The location does not begin with a slash.
    #[error("the location does not begin with / and is for nothing")]
    NotRooted,
}

impl fmt::Display for RuleVerdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} ({}): ", self.index + 1, self.rule.location)?;
        match &self.outcome {
            Outcome::Chosen { rest } if rest.is_empty() => f.write_str("chosen; the request is the location"),
            Outcome::Chosen { rest } => write!(f, "chosen; `{rest}` is appended to its URLs"),
            Outcome::Mismatch(why) => write!(f, "no: {why}"),
            Outcome::Shadowed { by } => write!(f, "not asked: rule {} is before it", by + 1),
        }
    }
}

/// What every rule has to say about a request, in order.
pub fn explain<'m>(rules: &'m [OriginRule], app: &str, stream: &str) -> Vec<RuleVerdict<'m>> {
    let requested = requested_location(app, stream);
    let mut chosen = None;
    let mut verdicts = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let rest = requested.as_deref().ok_or(Mismatch::BadName).and_then(|it| rule.rest_of(it));
        let outcome = match (rest, chosen) {
            (Err(why), _) => Outcome::Mismatch(why),
            (Ok(_), Some(by)) => Outcome::Shadowed { by },
            (Ok(rest), None) => {
                chosen = Some(index);
                Outcome::Chosen { rest: rest.to_string() }
            }
        };
        verdicts.push(RuleVerdict { index, rule, outcome });
    }
    verdicts
}

/// `/app/stream`; `None` if one of them would become something else in a URL.
fn requested_location(app: &str, stream: &str) -> Option<String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.chars().any(|c| matches!(c, '/' | '?' | '#') || c.is_whitespace() || c.is_control())
    };
    (is_name(app) && is_name(stream)).then(|| format!("/{app}/{stream}"))
}

/// `scheme://url` with `rest` before its query and `query` after it (reference: OriginMap section 2.1).
///
/// Where the address has no path yet, a slash keeps `rest` out of the port; where both sides have a slash, one is
/// enough. Otherwise the texts are joined as they are.
fn origin_url(scheme: &str, url: &str, rest: &str, query: &str) -> String {
    let (address, own_query) = match url.split_once('?') {
        Some((address, own_query)) => (address, Some(own_query)),
        None => (url, None),
    };
    let (joint, rest) = if address.ends_with('/') {
        ("", rest.strip_prefix('/').unwrap_or(rest))
    } else if !rest.is_empty() && !rest.starts_with('/') && !address.contains('/') {
        ("/", rest)
    } else {
        ("", rest)
    };
    let mut made = format!("{scheme}://{address}{joint}{rest}");
    if let Some(own_query) = own_query {
        made.push('?');
        made.push_str(own_query);
    }
    if !query.is_empty() {
        match own_query {
            None => made.push('?'),
            Some("") => {}
            Some(_) => made.push('&'),
        }
        made.push_str(query);
    }
    made
}

/// The parameters of a player's query that an origin may see: all but those of this node's own HLS delivery
/// (`_HLS_*`, `session`), and those that cannot stand in a URL.
fn forwarded_query(query: &str) -> String {
    let is_forwarded = |parameter: &&str| {
        let key = parameter.split_once('=').map_or(*parameter, |(key, _)| key);
        let is_ours = key == "session" || key.starts_with("_HLS_");
        let is_clean = !parameter.chars().any(|c| c == '#' || c.is_whitespace() || c.is_control());
        !parameter.is_empty() && !is_ours && is_clean
    };
    query.split('&').filter(is_forwarded).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(location: &str, urls: &[&str]) -> OriginRule {
        OriginRule {
            location: location.to_string(),
            strict: false,
            scheme: "ovt".to_string(),
            urls: urls.iter().map(|it| it.to_string()).collect(),
            forward_query: true,
            persistent: false,
            failback: false,
            hot_standby: None,
            relay: true,
        }
    }

    fn strict(location: &str, urls: &[&str]) -> OriginRule {
        OriginRule { strict: true, ..rule(location, urls) }
    }

    fn one(rule: &OriginRule, request: &str, query: Option<&str>) -> Option<String> {
        let (app, stream) = request.trim_start_matches('/').split_once('/').expect("an app and a stream");
        rule.candidates(app, stream, query).map(|urls| urls.join(" "))
    }

    #[test]
    fn urls_are_generated_as_in_the_table_of_the_reference() {
        for (location, url, request, expected) in [
            (
                "/edge_app/",
                "origin.com:9000/origin_app/",
                "/edge_app/stream",
                "origin.com:9000/origin_app/stream",
            ),
            ("/app/stream", "o:9000/app/stream_720p", "/app/stream", "o:9000/app/stream_720p"),
            ("/app/stream*", "o:9000/app/stream_720p", "/app/stream2", "o:9000/app/stream_720p2"),
            ("/", "o:9000/", "/live/a", "o:9000/live/a"),
            ("/", "o:9000", "/live/a", "o:9000/live/a"),
            ("/app", "o:554/app?x=1", "/app/s", "o:554/app/s?x=1"),
            // The pitfalls of asymmetric slashes.
            ("/app", "o:9000/app/", "/app/s", "o:9000/app/s"),
            ("/app", "o:9000", "/app/s", "o:9000/s"),
            ("/live/*", "o:9000?x=1", "/live/a", "o:9000/a?x=1"),
            ("/app/", "o:9000/live/pre_", "/app/s", "o:9000/live/pre_s"),
        ] {
            let expected = format!("ovt://{expected}");
            assert_eq!(
                one(&rule(location, &[url]), request, None),
                Some(expected),
                "{location} {url} {request}"
            );
        }
    }

    #[test]
    fn a_location_ends_at_the_end_of_a_name() {
        for (location, request, matched) in [
            ("/app/stream", "/app/stream", true),
            ("/app/stream", "/app/stream2", false),
            ("/app/stream", "/app/stream_720p", false),
            ("/app/stream*", "/app/stream_720p", true),
            ("/app", "/app/stream", true),
            ("/app", "/app2/stream", false),
            ("/app*", "/app2/stream", true),
            ("/app/", "/app/stream", true),
            ("/app/", "/App/stream", false),
            ("/", "/any/thing", true),
            ("*", "/any/thing", false),
            ("app/", "/app/stream", false),
            ("", "/app/stream", false),
        ] {
            assert_eq!(
                one(&rule(location, &["o:1/"]), request, None).is_some(),
                matched,
                "{location} {request}"
            );
        }
    }

    #[test]
    fn a_strict_location_is_the_whole_request_and_leaves_the_url_as_it_is() {
        let rule = strict("/app/stream", &["o:9000/live/other"]);
        assert_eq!(one(&rule, "/app/stream", None).as_deref(), Some("ovt://o:9000/live/other"));
        assert_eq!(one(&rule, "/app/stream2", None), None);
        assert_eq!(one(&strict("/app/", &["o:1/"]), "/app/stream", None), None);
        assert_eq!(one(&strict("/app/s*", &["o:1/"]), "/app/stream", None), None);
    }

    #[test]
    fn the_first_rule_decides_and_every_rule_says_why() {
        let rules = [
            strict("/live/cam", &["a:1/live/cam"]),
            rule("/live/cam1", &["b:1/live/x"]),
            rule("/other/", &["c:1/"]),
            rule("/live/", &["d:1/live/", "e:1/live/"]),
            rule("/", &["f:1/"]),
            rule("live", &["g:1/"]),
        ];
        let resolved = resolve(&rules, "live", "cam12", None).expect("a rule is for it");
        assert_eq!((resolved.index, resolved.support), (3, Ok(())));
        assert_eq!(resolved.urls, ["ovt://d:1/live/cam12", "ovt://e:1/live/cam12"]);
        let said: Vec<Outcome> = explain(&rules, "live", "cam12").into_iter().map(|it| it.outcome).collect();
        assert_eq!(
            said,
            [
                Outcome::Mismatch(Mismatch::NotEqual),
                Outcome::Mismatch(Mismatch::InsideName),
                Outcome::Mismatch(Mismatch::NotPrefix),
                Outcome::Chosen { rest: "cam12".to_string() },
                Outcome::Shadowed { by: 3 },
                Outcome::Mismatch(Mismatch::NotRooted),
            ]
        );
        let text: Vec<String> = explain(&rules, "live", "cam12").iter().map(ToString::to_string).collect();
        assert_eq!(text[3], "rule 4 (/live/): chosen; `cam12` is appended to its URLs");
        assert_eq!(text[4], "rule 5 (/): not asked: rule 4 is before it");
        assert_eq!(resolve(&rules[..3], "live", "cam12", None), None);
    }

    #[test]
    fn a_scheme_that_is_not_pulled_is_chosen_all_the_same_and_says_so() {
        let rtsp = OriginRule { scheme: "rtsp".to_string(), ..rule("/", &["cam:554/"]) };
        let rules = [rtsp, rule("/", &["o:9000/"])];
        let resolved = resolve(&rules, "app", "s", None).expect("the first rule is for everything");
        assert_eq!(resolved.urls, ["rtsp://cam:554/app/s"]);
        assert_eq!(resolved.support, Err(UnsupportedScheme { scheme: "rtsp".to_string() }));
    }

    #[test]
    fn the_query_is_forwarded_without_what_belongs_to_hls_delivery() {
        let plain = rule("/app/", &["o:9000/app/"]);
        let own = rule("/app/", &["o:9000/app/?x=1"]);
        let empty = rule("/app/", &["o:9000/app/?"]);
        let kept = OriginRule { forward_query: false, ..plain.clone() };
        for (rule, query, expected) in [
            (&plain, "token=t&policy=p", "ovt://o:9000/app/s?token=t&policy=p"),
            (&plain, "_HLS_msn=7&_HLS_part=1&session=1_k&a=b", "ovt://o:9000/app/s?a=b"),
            (&plain, "_HLS_msn=7", "ovt://o:9000/app/s"),
            (&plain, "sessions=1&x_HLS_=2", "ovt://o:9000/app/s?sessions=1&x_HLS_=2"),
            (&plain, "", "ovt://o:9000/app/s"),
            (&plain, "&&a&", "ovt://o:9000/app/s?a"),
            (&plain, "a=1\r\nHost: x&b=#&c=3", "ovt://o:9000/app/s?c=3"),
            (&own, "a=b", "ovt://o:9000/app/s?x=1&a=b"),
            (&own, "", "ovt://o:9000/app/s?x=1"),
            (&empty, "a=b", "ovt://o:9000/app/s?a=b"),
            (&kept, "token=t", "ovt://o:9000/app/s"),
        ] {
            assert_eq!(one(rule, "/app/s", Some(query)).as_deref(), Some(expected), "{query}");
        }
    }

    #[test]
    fn what_is_no_name_is_no_request() {
        let rules = [rule("/", &["o:9000/"])];
        for (app, stream) in
            [("", "s"), ("a", ""), ("a/b", "s"), ("a", "s?x"), ("a", "s#"), ("a", "s\r\n"), ("a ", "s")]
        {
            assert_eq!(resolve(&rules, app, stream, None), None, "{app:?} {stream:?}");
            assert_eq!(explain(&rules, app, stream)[0].outcome, Outcome::Mismatch(Mismatch::BadName));
        }
        assert!(resolve(&rules, "방송", "스트림", None).is_some());
    }

    fn any_rule() -> impl Strategy<Value = OriginRule> {
        (
            prop_oneof!["/[ab]{0,2}/?[ab]{0,2}\\*?", "\\PC{0,12}"],
            any::<bool>(),
            proptest::collection::vec(prop_oneof!["o:9000/?[ab]{0,2}/?(\\?x=1)?", "\\PC{0,12}"], 0..3),
            any::<bool>(),
        )
            .prop_map(|(location, strict, urls, forward_query)| OriginRule {
                strict,
                urls,
                forward_query,
                ..rule(&location, &[])
            })
    }

    proptest! {
        #[test]
        fn resolving_is_total_and_agrees_with_the_first_rule_alone(
            rules in proptest::collection::vec(any_rule(), 0..6),
            app in prop_oneof!["[ab]{1,2}", "\\PC{0,8}"],
            stream in prop_oneof!["[ab]{1,2}", "\\PC{0,8}"],
            query in proptest::option::of("\\PC{0,20}"),
        ) {
            let query = query.as_deref();
            let first = rules.iter().position(|it| it.candidates(&app, &stream, query).is_some());
            let resolved = resolve(&rules, &app, &stream, query);
            prop_assert_eq!(resolved.as_ref().map(|it| it.index), first);
            prop_assert_eq!(&resolve(&rules, &app, &stream, query), &resolved);
            prop_assert_eq!(explain(&rules, &app, &stream).len(), rules.len());
            if let Some(resolved) = resolved {
                prop_assert_eq!(Some(resolved.urls.clone()), resolved.rule.candidates(&app, &stream, query));
                prop_assert_eq!(resolved.urls.len(), resolved.rule.urls.len());
            }
        }

        #[test]
        fn the_rest_is_appended_exactly_once(app in "[a-z]{1,8}", stream in "[a-z0-9_]{1,8}", tail in "[a-z/]{0,6}") {
            let location = format!("/{app}/");
            let url = format!("o:9000/{tail}/");
            let made = rule(&location, &[&url]).candidates(&app, &stream, None);
            prop_assert_eq!(made, Some(vec![format!("ovt://{url}{stream}")]));
        }

        #[test]
        fn no_parameter_of_hls_delivery_ever_leaves(query in "([a-z_HLS=]{0,8}&|_HLS_msn=1&|session=1&){0,6}") {
            let made = rule("/", &["o:9000/"]).candidates("a", "s", Some(&query)).expect("it is for everything");
            for parameter in made[0].split_once('?').map_or("", |(_, query)| query).split('&') {
                prop_assert!(!parameter.starts_with("_HLS_") && !parameter.starts_with("session="), "{}", parameter);
            }
        }
    }
}
