//! What an operator writes: configurations, URLs and rules about origins.

use std::collections::BTreeMap;

use headwater_core::config::{self, Config, Environment, Loaded, Severity};
use headwater_core::limits;
use headwater_core::node::Node;
use headwater_core::origin_map::{self, OriginRule, Outcome};
use headwater_core::time::Now;
use headwater_core::url::Url;

use super::files;
use super::script::Script;

/// A configuration and the files that it includes, one after the other with a zero byte between them: `Server.xml`,
/// `a.xml`, `b.xml`, `conf/c.xml`. The environment has `NAME`, which holds what stands behind the last file.
///
/// A configuration that loads can be started, and keeps the bounds that the rest of the node relies on. One that does
/// not has at least one error; there are no more findings than the bound, each with a place and two sentences. Loading
/// it again says the same.
pub fn server_xml(data: &[u8]) {
    let machine = Machine::of(data);
    let loaded = config::load("Server.xml", &machine);
    assert_eq!(config::load("Server.xml", &machine), loaded, "a text has one meaning");
    let findings = match &loaded {
        Ok(loaded) => {
            check_config(loaded);
            &loaded.warnings
        }
        Err(diagnostics) => {
            assert!(diagnostics.errors().next().is_some() || diagnostics.omitted > 0);
            assert!(!diagnostics.to_string().is_empty());
            &diagnostics.found
        }
    };
    assert!(findings.len() <= limits::CONFIG_DIAGNOSTICS_MAX);
    for finding in findings {
        assert!(loaded.is_err() || finding.severity != Severity::Error);
        assert!(finding.line > 0 && finding.column > 0 && !finding.file.is_empty());
        assert!(!finding.reason.is_empty() && !finding.remedy.is_empty());
        assert!(finding.to_string().len() < 64 << 10, "a finding is a sentence or two");
    }
}

/// URLs. A URL that was read and written reads the same, and what is shown of it shows no password.
pub fn url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(url) = Url::parse(&text) else { return };
    assert_eq!(Url::parse(&url.full()).as_ref(), Ok(&url), "a URL comes back");
    let shown = Url::parse(&url.to_string()).expect("what is shown is a URL");
    assert_eq!(shown.password(), url.password().map(|_| "***"));
    assert_eq!((shown.host(), shown.path(), shown.user()), (url.host(), url.path(), url.user()));
    assert_eq!(url.endpoint().map(|endpoint| endpoint.port), url.port());
    assert!(!url.host().is_empty() && !url.scheme().is_empty());
    assert!(url.path().is_empty() || url.path().starts_with('/'));
    for part in [url.app(), url.stream(), url.file()].into_iter().flatten() {
        assert!(!part.is_empty() && !part.contains(['/', '?']));
    }
}

/// Rules about origins, and a request.
///
/// The first rule that is for a request is chosen and no other; what is explained is what is done. There is a URL for
/// each of the rule's, each begins as the rule says, and none has a character in what was appended that would end a
/// line or a word, or a parameter that belongs to this node's own viewers.
pub fn origin_map(data: &[u8]) {
    let mut script = Script::new(data);
    let rules: Vec<OriginRule> = (0..script.below(5)).map(|_| rule(&mut script)).collect();
    let (app, stream) = (name(&mut script), name(&mut script));
    let query = script.chance(200).then(|| words(&mut script, &QUERY));
    let verdicts = origin_map::explain(&rules, &app, &stream);
    assert_eq!(verdicts.len(), rules.len());
    assert!(verdicts.iter().all(|verdict| !verdict.to_string().is_empty()));
    let chosen = verdicts.iter().position(|verdict| matches!(verdict.outcome, Outcome::Chosen { .. }));
    let resolved = origin_map::resolve(&rules, &app, &stream, query.as_deref());
    assert_eq!(resolved.as_ref().map(|resolved| resolved.index), chosen);
    for (index, verdict) in verdicts.iter().enumerate() {
        let fits = rules[index].candidates(&app, &stream, query.as_deref());
        assert_eq!(fits.is_some(), !matches!(verdict.outcome, Outcome::Mismatch(_)));
        match &verdict.outcome {
            Outcome::Chosen { .. } => {
                assert_eq!(Some(index), chosen);
                assert_eq!(fits, resolved.as_ref().map(|resolved| resolved.urls.clone()));
            }
            Outcome::Mismatch(_) => {}
            Outcome::Shadowed { by } => assert!(Some(*by) == chosen && *by < index),
        }
        fits.into_iter().for_each(|urls| check_urls(&rules[index], &urls));
    }
}

/// The configuration in `text`, which is right.
pub(super) fn config(text: &str) -> Config {
    let machine = Machine { files: [("Server.xml".to_owned(), text.to_owned())].into(), name: String::new() };
    config::load("Server.xml", &machine).expect("the configuration is right").config
}

pub(super) fn server_xml_seeds() -> Vec<Vec<u8>> {
    let mut seeds = files(&["vectors", "examples", "scenarios/src", "net-real/src/demo"], ".xml");
    seeds.push(
        b"<Server version=\"10\"><Name>${env:NAME:x}</Name><Type>origin</Type><Bind include=\"a.xml\"/>\
          <VirtualHosts include=\"conf/*.xml\"/></Server>\0<Bind><Publishers><OVT><Port>${env:P:9000}</Port></OVT>\
          </Publishers></Bind>\0<B/>\0<VirtualHosts><VirtualHost><Name>default</Name><Host><Names><Name>*</Name>\
          </Names></Host><Applications><Application><Name>app</Name><Type>live</Type><Publishers><OVT/></Publishers>\
          </Application></Applications></VirtualHost></VirtualHosts>\0value"
            .to_vec(),
    );
    seeds.push(b"<Server version=\"10\"><Bind include=\"Server.xml\"/></Server>".to_vec());
    seeds.push(
        b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"b\">]><Server>&a;&#65;<![CDATA[x]]></Server>"
            .to_vec(),
    );
    seeds
}

pub(super) fn url_seeds() -> Vec<Vec<u8>> {
    [
        "ovt://origin:9000/app/stream?a=b?c",
        "rtmp://user:pass:word@[::1]:1935/app/stream/file?",
        "http://a.b",
        "ovt://[fe80::1]/",
        "ovt://a@b:c@host:70000/x//y",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

pub(super) fn origin_map_seeds() -> Vec<Vec<u8>> {
    (0..8u8).map(|start| (0..160u8).map(|n| n.wrapping_mul(37).wrapping_add(start * 31)).collect()).collect()
}

/// A machine with a few files on it.
struct Machine {
    files: BTreeMap<String, String>,
    name: String,
}

impl Machine {
    fn of(data: &[u8]) -> Machine {
        const NAMES: [&str; 4] = ["Server.xml", "a.xml", "b.xml", "conf/c.xml"];
        let mut texts = data.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let files = NAMES.iter().map_while(|name| Some(((*name).to_owned(), texts.next()?))).collect();
        Machine { files, name: texts.next().unwrap_or_default() }
    }
}

impl Environment for Machine {
    fn var(&self, name: &str) -> Option<String> {
        (name == "NAME").then(|| self.name.clone())
    }
    fn hostname(&self) -> Option<String> {
        Some("machine".to_owned())
    }
    fn home(&self) -> String {
        "/opt/headwater".to_owned()
    }
    fn current_path(&self) -> String {
        "/tmp".to_owned()
    }
    fn read(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "it is not there".to_owned())
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, String> {
        let names = self.files.keys().map(|path| path.rsplit_once('/').unwrap_or((".", path)));
        Ok(names.filter(|(folder, _)| *folder == dir).map(|(_, name)| name.to_owned()).collect())
    }
}

fn check_config(Loaded { config, warnings }: &Loaded) {
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
    for vhost in &config.vhosts {
        let named = |name: &str| config.vhosts.iter().filter(|other| other.name == name).count();
        assert_eq!(named(&vhost.name), 1, "virtual hosts have names of their own");
        assert!(!vhost.pull.no_input_timeout.is_zero() && !vhost.pull.failback_interval.is_zero());
        for app in vhost.applications.iter().chain(&vhost.template) {
            let Some(llhls) = &app.publishers.llhls else { continue };
            assert!(llhls.segment_count >= 3 && !llhls.chunk.is_zero() && llhls.chunk <= llhls.segment);
        }
    }
    drop(Node::new(config.clone(), 1, Now::default()));
}

const LOCATION: [&str; 12] = ["/", "/app", "/app/", "*", "a", "app", "/stream", "/app*", "?", "#", "//", "é"];
const ADDRESS: [&str; 12] =
    ["origin", ":9000", "/", "/app", "?", "a=b", "[::1]", "&", "é", "*", "/app/", "x"];
const NAME: [&str; 12] = ["app", "a", "stream", "*", "/", "?", " ", "#", "\n", "é", "app2", "."];
const QUERY: [&str; 12] =
    ["a=b", "&", "_HLS_msn=1", "session=x", "=", "?", "#", " ", "_HLS_", "é", "session", "c"];

fn rule(script: &mut Script) -> OriginRule {
    OriginRule {
        location: words(script, &LOCATION),
        strict: script.chance(64),
        scheme: (*script.pick(&["ovt", "rtsp", "OVT", ""])).to_owned(),
        urls: (0..script.below(4)).map(|_| words(script, &ADDRESS)).collect(),
        forward_query: script.chance(160),
        persistent: script.chance(128),
        failback: script.chance(128),
        hot_standby: None,
        relay: script.chance(128),
    }
}

fn name(script: &mut Script) -> String {
    if script.chance(160) { (*script.pick(&NAME)).to_owned() } else { words(script, &NAME) }
}

/// A few of the words, or any text.
fn words(script: &mut Script, words: &[&str; 12]) -> String {
    let count = script.below(6);
    match count {
        5 => script.text(12),
        _ => (0..count).map(|_| *script.pick(words)).collect(),
    }
}

fn check_urls(rule: &OriginRule, urls: &[String]) {
    assert_eq!(urls.len(), rule.urls.len());
    for (made, of) in urls.iter().zip(&rule.urls) {
        let address = of.split('?').next().unwrap_or_default();
        let rest = made.strip_prefix(&format!("{}://{address}", rule.scheme));
        let rest = rest.expect("a URL begins with the rule's");
        if !of.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            assert!(!rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#'), "{made}");
        }
        if !of.contains("_HLS_") && !of.contains('?') {
            let query = made.split_once('?').map_or("", |(_, query)| query);
            assert!(
                query.split('&').all(|it| !it.starts_with("_HLS_") && !it.starts_with("session=")),
                "{made}"
            );
        }
    }
}
