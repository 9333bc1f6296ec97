//! Whether the parts of a configuration go together.
//!
//! What can only be a mistake is an error. What OvenMediaEngine starts with, and what then fails for some requests
//! only, is a warning.

use std::collections::BTreeMap;

use crate::origin_map::OriginRule;

use super::build::is_llhls_enabled;
use super::check::{Node, Value};
use super::diagnostic::{Kind, Report};
use super::model::{Application, Config, StorePlace, VirtualHost};
use super::value::shown;

/// Holds the parts against one another.
pub(super) fn check(server: &Node, config: &Config, report: &mut Report) {
    shared_ports(server, report);
    for service in SERVICES {
        served_on_both_sides(server, service, report);
    }
    let vhost_nodes: Vec<&Node> =
        server.find("VirtualHosts").iter().flat_map(|it| it.all("VirtualHost")).collect();
    duplicate_names("virtual hosts", &vhost_nodes, report);
    for (node, vhost) in vhost_nodes.iter().zip(&config.vhosts) {
        virtual_host(node, vhost, report);
        announcing(node, vhost, config, report);
    }
    shared_directories(&vhost_nodes, config, report);
}

/// A service that has a port for the server and an element in applications.
struct Service {
    name: &'static str,
    bind: &'static str,
    port: &'static str,
    tls_port: Option<&'static str>,
    of_application: &'static str,
    publisher: bool,
}

const SERVICES: &[Service] = &[
    Service {
        name: "RTMP",
        bind: "Bind/Providers/RTMP",
        port: "Bind/Providers/RTMP/Port",
        tls_port: None,
        of_application: "Providers/RTMP",
        publisher: false,
    },
    Service {
        name: "OVT",
        bind: "Bind/Publishers/OVT",
        port: "Bind/Publishers/OVT/Port",
        tls_port: None,
        of_application: "Publishers/OVT",
        publisher: true,
    },
    Service {
        name: "LLHLS",
        bind: "Bind/Publishers/LLHLS",
        port: "Bind/Publishers/LLHLS/Port",
        tls_port: Some("Bind/Publishers/LLHLS/TLSPort"),
        of_application: "Publishers/LLHLS",
        publisher: true,
    },
    Service {
        name: "HLS",
        bind: "Bind/Publishers/HLS",
        port: "Bind/Publishers/HLS/Port",
        tls_port: Some("Bind/Publishers/HLS/TLSPort"),
        of_application: "Publishers/HLS",
        publisher: true,
    },
];

/// Two services over HTTP may share a port, with TLS or without: file names tell them apart.
fn may_share(one: &str, other: &str) -> bool {
    let http = |name: &str| {
        let (bare, tls) = name.strip_suffix(OVER_TLS).map_or((name, false), |bare| (bare, true));
        matches!(bare, "HLS" | "LLHLS").then_some(tls)
    };
    http(one).is_some() && http(one) == http(other)
}

/// What is appended to the name of a service.
const OVER_TLS: &str = " over TLS";

/// Protocols are not told apart on one port.
fn shared_ports(server: &Node, report: &mut Report) {
    let ports = SERVICES.iter().flat_map(|it| {
        let tls = it
            .tls_port
            .and_then(|path| server.find(path))
            .map(|port| (format!("{}{OVER_TLS}", it.name), port));
        server.find(it.port).map(|port| (it.name.to_owned(), port)).into_iter().chain(tls)
    });
    let ports: Vec<(String, &Node)> = ports.collect();
    for (second, (name, node)) in ports.iter().enumerate() {
        let taken = ports[..second].iter().find(|(other, it)| {
            it.value == node.value && it.value != Value::Invalid && !may_share(name, other)
        });
        if let Some((other_name, other)) = taken {
            let reason = format!("{name} and {other_name} cannot share a port.");
            let remedy = format!("The other one is at {}; give each its own.", other.at.place());
            report.error(&node.at, Kind::Contradiction, reason, remedy);
        }
    }
}

/// An element of a service needs its counterpart: a port without applications, or applications without a port.
fn served_on_both_sides(server: &Node, service: &Service, report: &mut Report) {
    if service.name == "LLHLS" && !is_llhls_enabled(server) {
        return;
    }
    let Service { name, bind, port, of_application, .. } = service;
    let users: Vec<&Node> = applications(server).filter_map(|it| it.find(of_application)).collect();
    let what = if service.publisher { "publisher" } else { "provider" };
    let port_of = |it: &Service| server.find(it.port).or(it.tls_port.and_then(|path| server.find(path)));
    // Whoever asks at the port of the other one is answered too.
    let is_heard = SERVICES.iter().any(|it| may_share(name, it.name) && port_of(it).is_some());
    match (port_of(service), users.first()) {
        (None, Some(_)) if is_heard => {}
        (None, Some(user)) => {
            let reason = format!("The {name} {what} is enabled here, but {port} is missing.");
            let remedy = format!("Nothing listens for {name}; add the port under <Bind>, or remove this.");
            report.warn(&user.at, Kind::Contradiction, reason, remedy);
        }
        (Some(node), None) => {
            let reason = format!("{name} has a port, but no application has {of_application}.");
            let group = if service.publisher { "<Publishers>" } else { "<Providers>" };
            let remedy = format!("Nothing is served there; add <{name}/> to the {group} of an application.");
            report.warn(&node.at, Kind::Contradiction, reason, remedy);
        }
        (None, None) => {
            if let Some(node) = server.find(bind) {
                let reason = format!("<{name}> has no <Port>.");
                report.warn(
                    &node.at,
                    Kind::Contradiction,
                    reason,
                    "Nothing listens; there is no default port.",
                );
            }
        }
        (Some(_), Some(_)) => {}
    }
}

fn applications(server: &Node) -> impl Iterator<Item = &Node> {
    let vhosts = server.find("VirtualHosts").into_iter().flat_map(|it| it.all("VirtualHost"));
    vhosts.flat_map(applications_of)
}

fn applications_of(vhost: &Node) -> impl Iterator<Item = &Node> {
    vhost.find("Applications").into_iter().flat_map(|it| it.all("Application"))
}

fn duplicate_names(what: &str, nodes: &[&Node], report: &mut Report) {
    let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
    for node in nodes {
        let Some(name) = node.text("Name") else { continue };
        if let Some(first) = seen.get(name) {
            let reason = format!("Two {what} are named `{}`.", shown(name));
            let remedy = format!("The first is at {}; rename or remove one.", first.at.place());
            report.error(&node.at, Kind::Contradiction, reason, remedy);
        } else {
            seen.insert(name, node);
        }
    }
}

fn virtual_host(node: &Node, vhost: &VirtualHost, report: &mut Report) {
    let applications: Vec<&Node> = applications_of(node).collect();
    duplicate_names("applications", &applications, report);
    if vhost.hosts.is_empty() {
        let reason = format!("The virtual host `{}` has no host name.", shown(&vhost.name));
        let remedy = "No request reaches it; add <Host><Names><Name>*</Name></Names></Host>.";
        report.warn(&node.at, Kind::Contradiction, reason, remedy);
    }
    let rules = node.find("Origins").into_iter().flat_map(|it| it.all("Origin"));
    for (index, (rule_node, rule)) in rules.zip(&vhost.origins).enumerate() {
        origin_rule(rule_node, rule, vhost, report);
        if let Some(earlier) = vhost.origins[..index].iter().position(|it| covers(it, rule)) {
            let reason = format!("The location `{}` is never reached.", shown(&rule.location));
            let location = shown(&vhost.origins[earlier].location);
            let remedy = format!("`{location}` stands before it and takes all its requests; put it behind.");
            report.warn(&rule_node.at, Kind::Contradiction, reason, remedy);
        }
    }
}

/// Whoever is announced must be found under that name.
fn announcing(node: &Node, vhost: &VirtualHost, config: &Config, report: &mut Report) {
    let (Some(at), Some(store)) = (node.find("OriginMapStore"), &vhost.store) else { return };
    let mut all = vhost.applications.iter().chain(&vhost.template);
    let announces = |it: &Application| it.publishers.ovt && it.providers.rtmp.is_some();
    let Some(host) = &store.origin_host else {
        if all.any(announces) {
            let reason = "<OriginMapStore> has no <OriginHostName>, so streams that are published here are not announced.";
            let remedy =
                "Add the name under which edges reach this server, or remove <OVT/> from the <Publishers>.";
            report.warn(&at.at, Kind::Missing, reason, remedy);
        }
        return;
    };
    let at = at.find("OriginHostName").unwrap_or(at);
    if config.listeners.ovt.is_none() {
        let reason = "<OriginHostName> is set, and Bind/Publishers/OVT/Port is missing.";
        let remedy =
            "Nothing can be pulled from here, so nothing is announced; add the port, or remove the name.";
        report.warn(&at.at, Kind::Contradiction, reason, remedy);
    } else if config.vhost_for(host).is_none_or(|it| it.name != vhost.name) {
        let reason = format!("Requests for `{}` do not come to this virtual host.", shown(host));
        let remedy = "Edges ask for the streams under that name: add it to <Host><Names>.";
        report.warn(&at.at, Kind::Contradiction, reason, remedy);
    }
}

/// A key is made of application and stream, without the virtual host.
fn shared_directories(nodes: &[&Node], config: &Config, report: &mut Report) {
    let place = |vhost: &VirtualHost| match vhost.store.as_ref()?.place.clone() {
        StorePlace::Redis(redis) => Some((redis.servers, redis.database, redis.key_prefix)),
        StorePlace::Embedded => None,
    };
    let places: Vec<_> = config.vhosts.iter().map(place).collect();
    for (second, node) in nodes.iter().enumerate() {
        let same = |first: &usize| places[second].is_some() && places[*first] == places[second];
        let (Some(first), Some(at)) = ((0..second).find(same), node.find("OriginMapStore")) else { continue };
        let reason =
            format!("The virtual host `{}` uses the same directory.", shown(&config.vhosts[first].name));
        let remedy = "Its keys do not tell virtual hosts apart: no stream of one may have the name of another's, or give \
                      each a <KeyPrefix>.";
        report.warn(&at.at, Kind::Contradiction, reason, remedy);
    }
}

fn origin_rule(node: &Node, rule: &OriginRule, vhost: &VirtualHost, report: &mut Report) {
    glued_urls(node, rule, report);
    let lacks_provider = |it: &Application| it.providers.ovt.is_none();
    let Some(app) = application_name(&rule.location) else {
        let mut all = vhost.applications.iter().chain(&vhost.template);
        if rule.scheme == "ovt" && all.all(lacks_provider) {
            let reason = "No application of this virtual host can pull over OVT.";
            let remedy = "Add <OVT/> to the <Providers> of an application, or of the template `*`.";
            report.warn(&node.at, Kind::Contradiction, reason, remedy);
        }
        return;
    };
    match vhost.application(app) {
        None => {
            let reason = format!("There is no application `{}` and no template `*`.", shown(app));
            let remedy = "Requests for this location find nothing; add one of them.";
            report.warn(&node.at, Kind::Contradiction, reason, remedy);
        }
        Some(application) if rule.scheme == "ovt" && lacks_provider(&application) => {
            let reason = format!("The application `{}` has no OVT provider to pull with.", shown(app));
            let remedy = "Requests for this location fail; add <OVT/> to its <Providers>.";
            report.warn(&node.at, Kind::Contradiction, reason, remedy);
        }
        Some(_) => {}
    }
}

/// The application that a location is for, if it is for one only.
fn application_name(location: &str) -> Option<&str> {
    let mut parts = location.strip_prefix('/')?.split('/');
    let app = parts.next()?;
    let is_whole_name = !app.is_empty() && !app.ends_with('*');
    is_whole_name.then_some(app)
}

/// `/app/` with `host:port/live` makes `host:port/livestream`: one name of two, and no stream.
fn glued_urls(node: &Node, rule: &OriginRule, report: &mut Report) {
    let takes_whole_names = rule.location.ends_with('/') && !rule.strict && rule.scheme == "ovt";
    if !takes_whole_names {
        return;
    }
    for url in node.find("Pass/Urls").into_iter().flat_map(|it| it.all("Url")) {
        let text = url.own_text().unwrap_or_default();
        let address = text.split('?').next().unwrap_or_default();
        let Some((_, path)) = address.split_once('/') else { continue };
        if path.is_empty() || path.contains('/') {
            continue;
        }
        let reason = format!("The URL `{}` has no slash at its end, and the location has.", shown(text));
        let remedy = format!("A request for `s` would pull {}s; write {}/.", shown(address), shown(address));
        report.warn(&url.at, Kind::Contradiction, reason, remedy);
    }
}

/// Whether every request that `later` is for is one that `earlier` is for.
fn covers(earlier: &OriginRule, later: &OriginRule) -> bool {
    let (own, theirs) = (earlier.location.as_str(), later.location.as_str());
    if !own.starts_with('/') || !theirs.starts_with('/') {
        return false;
    }
    if earlier.strict {
        return later.strict && own == theirs;
    }
    let (theirs, is_open) = match theirs.strip_suffix('*').filter(|_| !later.strict) {
        Some(prefix) => (prefix, true),
        None => (theirs, false),
    };
    if let Some(prefix) = own.strip_suffix('*') {
        return theirs.starts_with(prefix);
    }
    if own.ends_with('/') {
        return theirs.starts_with(own);
    }
    match theirs.strip_prefix(own) {
        Some("") => !is_open,
        Some(rest) => rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_covers_another_only_if_it_takes_all_its_requests() {
        let rule = |location: &str| {
            let (location, strict) = match location.strip_prefix('=') {
                Some(location) => (location, true),
                None => (location, false),
            };
            let (location, scheme) = (location.to_string(), "ovt".to_string());
            OriginRule {
                location,
                strict,
                scheme,
                urls: Vec::new(),
                forward_query: true,
                persistent: false,
                failback: false,
                hot_standby: None,
                relay: true,
            }
        };
        for (earlier, later, expected) in [
            ("/", "/app/", true),
            ("/app/", "/app/stream", true),
            ("/app/", "/app", false),
            ("/app", "/app/", true),
            ("/app", "/app", true),
            ("/app", "/app2/", false),
            ("/app", "/app*", false),
            ("/app*", "/app2/", true),
            ("/app/s", "=/app/s", true),
            ("=/app/s", "/app/s", false),
            ("=/app/s", "=/app/s", true),
            ("/app/s", "/app/s_720p", false),
        ] {
            assert_eq!(covers(&rule(earlier), &rule(later)), expected, "{earlier} {later}");
        }
    }

    #[test]
    fn a_location_names_its_application_if_it_has_one() {
        for (location, expected) in [
            ("/app/stream", Some("app")),
            ("/app/", Some("app")),
            ("/app", Some("app")),
            ("/app*", None),
            ("/", None),
            ("app/", None),
        ] {
            assert_eq!(application_name(location), expected, "{location}");
        }
    }
}
