//! Why a request is served as it is: the chain of decisions, one link after the other, as data.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::config::{StorePlace, VirtualHost};
use crate::event::StreamKey;
use crate::origin_map;
use crate::pull::Over;
use crate::time::{Now, Time};
use crate::url::Url;

use super::Node;
use super::directory::name;
use super::stream::{Source, Standing};

/// The chain of decisions for one request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Why {
    /// The URL, without a password.
    pub url: String,
    /// What a request for it would get now, in a sentence.
    pub verdict: String,
    /// What was looked at, in the order in which it decides.
    pub steps: Vec<Step>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Step {
    /// What was looked at.
    pub what: String,
    /// What was found, in a sentence.
    pub found: String,
}

/// The request of a viewer that begins to watch the stream of `url`.
pub fn viewer_request(url: &Url) -> http::Request<()> {
    let part =
        |part: Option<&str>| utf8_percent_encode(part.unwrap_or_default(), NON_ALPHANUMERIC).to_string();
    let path = format!("/{}/{}/llhls.m3u8", part(url.app()), part(url.stream()));
    let request = http::Request::get(path).header(http::header::HOST, url.host()).body(());
    // Only a host that is none can make it fail, and that is no virtual host's.
    request.unwrap_or_default()
}

impl Node {
    /// Why a request for `url` is served as it is. Nothing is changed and nobody is asked by that.
    pub fn why(&self, now: Now, url: &Url) -> Why {
        let mut steps = Vec::new();
        let verdict = self.chain(now, url, &mut steps);
        Why { url: url.to_string(), verdict, steps }
    }

    fn chain(&self, now: Now, url: &Url, steps: &mut Vec<Step>) -> String {
        let mut step = |what: &str, found: String| steps.push(Step { what: what.to_owned(), found });
        let Some(vhost) = self.config.vhost_for(url.host()) else {
            let all: Vec<&str> = self.config.vhosts.iter().map(|vhost| vhost.name.as_str()).collect();
            let host = url.host();
            step("virtual host", format!("none of {} has a name that matches {host}", all.join(", ")));
            return "404: no virtual host is meant".to_owned();
        };
        step("virtual host", format!("{} matches {}", vhost.name, url.host()));
        let (Some(app), Some(stream)) = (url.app(), url.stream()) else {
            step(
                "application",
                "the URL has no application and stream: write scheme://host/app/stream".to_owned(),
            );
            return "404: no stream is meant".to_owned();
        };
        let key = StreamKey { vhost: vhost.name.clone(), app: app.to_owned(), stream: stream.to_owned() };
        let Some(application) = vhost.application(app) else {
            step("application", format!("{app} is not configured, and there is no template named *"));
            return "404: there is no such application".to_owned();
        };
        let configured = vhost.applications.iter().any(|known| known.name == app);
        let publishers = &application.publishers;
        let pulls = application.providers.ovt.is_some();
        let (ll_hls, hls) = (publishers.llhls.is_some(), publishers.hls.is_some());
        let origin = if configured { "is configured" } else { "is made from the template *" };
        let does = if pulls { "pulls over OVT" } else { "pulls nothing" };
        let serves = match (ll_hls, hls) {
            (true, true) => "LL-HLS and HLS",
            (true, false) => "LL-HLS",
            (false, true) => "HLS",
            (false, false) => "no LL-HLS",
        };
        step("application", format!("{app} {origin}; it {does} and serves {serves}"));
        let here = self.here(now, &key);
        step("stream", here.clone().unwrap_or_else(|| "it is not here".to_owned()));
        step("origin rules", rules(vhost, app, stream));
        step("directory", self.directory_says(vhost, &key));
        let absent = self.absent.get(now.mono, &key);
        let cached = match absent {
            None => "nothing",
            Some(Over::Absent) => "that nobody had it, less than a second ago",
            Some(Over::Unreachable) => "that nobody could be reached, less than a second ago",
        };
        step("remembered", cached.to_owned());
        for (at, line) in self.journal.of(&key) {
            step("lately", format!("{} ago: {line}", ago(now, *at)));
        }
        let is_ruled = origin_map::resolve(&vhost.origins, app, stream, None).is_some();
        match (here, absent) {
            (Some(_), _) => "served from the stream that is here".to_owned(),
            (None, Some(Over::Absent)) => "404 until it is looked for again".to_owned(),
            (None, Some(Over::Unreachable)) => "502 until it is looked for again".to_owned(),
            (None, None) if !pulls => {
                "404: the application pulls nothing, and nobody publishes it here".to_owned()
            }
            (None, None) if is_ruled => "it would be pulled as its origin rule says".to_owned(),
            (None, None) if vhost.store.is_some() => "the directory would be asked for it".to_owned(),
            (None, None) => "404: no origin rule leads to it, and there is no directory".to_owned(),
        }
    }

    fn here(&self, now: Now, key: &StreamKey) -> Option<String> {
        let stream = self.streams.get(self.names.get(key)?)?;
        let standing = match stream.standing(now.mono) {
            Standing::Starting => "it is only starting",
            Standing::Moving => "its media comes",
            Standing::Silent => "no media has come for a while",
        };
        Some(match &stream.source {
            Source::Publisher(_) => format!("it is published here; {standing}"),
            Source::Pull(pull) => match pull.active_url() {
                Some(url) => format!("it is pulled from {url}; {standing}"),
                None => format!("it is being looked for; {standing}"),
            },
        })
    }

    fn directory_says(&self, vhost: &VirtualHost, key: &StreamKey) -> String {
        let Some(store) = &vhost.store else { return "there is none: no <OriginMapStore>".to_owned() };
        let place = match &store.place {
            StorePlace::Embedded => "in this process",
            StorePlace::Redis(_) => "in Redis",
        };
        let directory = self.store_of(key).and_then(|store| self.directories.get(&store));
        let Some(directory) = directory else { return place.to_owned() };
        let (own, known) = (directory.announcer.standing(&name(key)), directory.resolver.known(&name(key)));
        let there = if directory.is_there() { "" } else { "; it is away now" };
        let said = match (own, known) {
            (Some(own), _) => own,
            (None, Some((Some(epoch), places))) if !places.is_empty() => {
                format!("it said last: {}, epoch {epoch}", list(places))
            }
            (None, Some((None, places))) if !places.is_empty() => {
                format!("it said last: {}, a plain key", list(places))
            }
            (None, _) => "it has said nothing of this stream yet".to_owned(),
        };
        format!("{place}; {said}{there}")
    }
}

fn rules(vhost: &VirtualHost, app: &str, stream: &str) -> String {
    if vhost.origins.is_empty() {
        return "there are none".to_owned();
    }
    let verdicts: Vec<String> =
        origin_map::explain(&vhost.origins, app, stream).iter().map(ToString::to_string).collect();
    match origin_map::resolve(&vhost.origins, app, stream, None) {
        // The query of a rule's URL may hold a token.
        Some(resolved) => {
            let urls = resolved.urls.iter().map(|url| url.split('?').next().unwrap_or_default());
            format!("{}; so {}", verdicts.join("; "), urls.collect::<Vec<_>>().join(", then "))
        }
        None => verdicts.join("; "),
    }
}

fn list(places: &[Url]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", then ")
}

fn ago(now: Now, at: Time) -> String {
    let millis = now.mono.since(at).as_millis();
    if millis < 10_000 { format!("{millis} ms") } else { format!("{} s", millis / 1_000) }
}
