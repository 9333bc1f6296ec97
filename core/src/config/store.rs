//! `OriginMapStore`: where the directory of streams is, and how it is reached.
//!
//! A password stands in `Auth` or in the URL of `Host`. Neither is ever part of what is said about a file.

use core::net::Ipv6Addr;
use core::time::Duration;

use percent_encoding::percent_decode_str;

use crate::io::Endpoint;

use super::check::{Node, Value};
use super::diagnostic::{Kind, Report};
use super::model::{OriginMapStore, RedisServer, RedisServers, RedisTls, Secret, StorePlace};
use super::value::shown;

/// What `RedisServer/Host` holds: an address, and in a URL perhaps more.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Host {
    pub(super) at: Endpoint,
    /// `rediss` or not; `None` if there is no scheme.
    pub(super) encrypted: Option<bool>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<u32>,
}

/// Why a text is no address of a Redis. It never holds a part of the text that may be a password.
#[derive(Debug, PartialEq)]
pub(super) struct NoHost {
    pub(super) reason: String,
    pub(super) remedy: &'static str,
}

/// Reads `host:port`, `[address]:port`, `redis://...` or `rediss://...`.
pub(super) fn host(text: &str) -> Result<Host, NoHost> {
    let fault = |reason: &str, remedy| NoHost { reason: reason.to_owned(), remedy };
    let Some((scheme, rest)) = text.split_once("://") else {
        if text.contains(['@', '/']) {
            return Err(fault("holds a part of a URL, without its beginning.", URL_REMEDY));
        }
        let at = endpoint(text, None)?;
        return Ok(Host { at, encrypted: None, user: None, password: None, database: None });
    };
    let encrypted = match scheme.to_ascii_lowercase().as_str() {
        "redis" => false,
        "rediss" => true,
        _ => return Err(fault("holds a URL whose scheme is neither redis nor rediss.", URL_REMEDY)),
    };
    // A password may hold a slash or a question mark, a host may not: the last @ ends the login.
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (Some(login), rest),
        None => (None, rest),
    };
    if rest.contains(['?', '#']) {
        let remedy = "Write what it asks for as elements of <RedisServer>, such as <CommandTimeout>.";
        return Err(fault("holds a URL with parameters, which are not read.", remedy));
    }
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let database = match path {
        "" => None,
        number => {
            Some(number.parse().map_err(|_| fault("holds a URL whose path is no number.", URL_REMEDY))?)
        }
    };
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, password)) => (decoded(user)?, decoded(password)?),
        None => (None, None),
    };
    let at = endpoint(address, Some(PORT))?;
    Ok(Host { at, encrypted: Some(encrypted), user, password: password.map(Secret::new), database })
}

/// Reads `host:port` or `[address]:port`; without a port only if there is one to fall back to.
pub(super) fn endpoint(text: &str, fallback: Option<u16>) -> Result<Endpoint, NoHost> {
    // The text is not shown: it may be the half of a URL, with the password.
    let fault = |what: &str| NoHost { reason: format!("holds {what}."), remedy: ADDRESS_REMEDY };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) =
                rest.split_once(']').ok_or_else(|| fault("a bracket that is not closed"))?;
            if address.parse::<Ipv6Addr>().is_err() {
                return Err(fault("brackets without an IPv6 address"));
            }
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return Err(fault("something that is not a host and a port"));
            }
            (address, port)
        }
        None if text.matches(':').count() > 1 => {
            return Err(fault("something that is not a host and a port"));
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '/' | '[' | ']');
    if host.is_empty() || host.chars().any(odd) {
        return Err(fault("something that is not a host and a port"));
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|number| *number > 0 && !port.starts_with('+')),
        None => fallback,
    };
    let port = port.ok_or_else(|| fault("a host without a port from 1 to 65535"))?;
    Ok(Endpoint { host: host.to_owned(), port })
}

/// The directory of a virtual host. What cannot be used has been reported.
pub(super) fn store(vhost: &Node, report: &mut Report) -> Option<OriginMapStore> {
    let node = vhost.find("OriginMapStore")?;
    let place = match (node.find("RedisServer"), node.find("Embedded")) {
        (Some(redis), None) => StorePlace::Redis(redis_server(redis, report)?),
        (None, Some(_)) => StorePlace::Embedded,
        (Some(_), Some(embedded)) => {
            let reason = "<OriginMapStore> has both <RedisServer> and <Embedded>.";
            let remedy = "There is one directory: keep <RedisServer> if there are several servers.";
            report.error(&embedded.at, Kind::Contradiction, reason, remedy);
            return None;
        }
        (None, None) => {
            let reason = "<OriginMapStore> has no <RedisServer>.";
            let remedy = "Add <RedisServer><Host>host:port</Host></RedisServer>, or <Embedded/> if there is one server.";
            report.error(&node.at, Kind::Missing, reason, remedy);
            return None;
        }
    };
    let plain_keys = node.find("PlainKeys");
    if let Some(plain_keys) = plain_keys
        && place == StorePlace::Embedded
    {
        let reason = "<PlainKeys> is accepted without effect.";
        report.warn(&plain_keys.at, Kind::NoEffect, reason, "Nobody reads keys of an embedded directory.");
    }
    Some(OriginMapStore {
        place,
        origin_host: origin_host(node, report),
        plain_keys: node.flag("PlainKeys", true),
    })
}

fn redis_server(node: &Node, report: &mut Report) -> Option<RedisServer> {
    let servers = servers(node, report)?;
    let host = node.find("Host").and_then(redis_host);
    let of_url = |what: fn(&Host) -> bool| host.is_some_and(what);
    for (name, twice, what) in [
        ("Auth", of_url(|host| host.password.is_some()), "password"),
        ("User", of_url(|host| host.user.is_some()), "user"),
        ("Database", of_url(|host| host.database.is_some()), "database"),
    ] {
        if let Some(element) = node.find(name).filter(|_| twice) {
            let reason = format!("The {what} stands in <{name}> and in the URL of <Host>.");
            report.error(&element.at, Kind::Contradiction, reason, "Keep one of them.");
        }
    }
    let user = node.text("User").map(str::to_owned).or_else(|| host?.user.clone());
    let password = match node.find("Auth").map(|it| &it.value) {
        Some(Value::Secret(secret)) if !secret.reveal().is_empty() => Some(secret.clone()),
        _ => host.and_then(|host| host.password.clone()),
    };
    if user.is_some() && password.is_none() {
        let at = node.find("User").or(node.find("Host")).unwrap_or(node);
        let reason = "There is a user of Redis, and no password.";
        report.error(&at.at, Kind::Missing, reason, "Add <Auth>; Redis takes a user with a password only.");
    }
    let database = u32::try_from(node.int("Database", 0))
        .unwrap_or(0)
        .max(host.and_then(|host| host.database).unwrap_or(0));
    if database > 0 && matches!(servers, RedisServers::Cluster(_)) {
        let at = node.find("Database").unwrap_or(node);
        let reason = "A Redis Cluster has one database only.";
        report.error(&at.at, Kind::Contradiction, reason, "Remove <Database>; <KeyPrefix> keeps keys apart.");
    }
    let millis = |name| Duration::from_millis(u64::try_from(node.int(name, TIMEOUT_MS)).unwrap_or(0));
    Some(RedisServer {
        servers,
        user,
        password,
        database,
        key_prefix: key_prefix(node, report),
        tls: tls(node, host, report),
        connect_timeout: millis("ConnectTimeout"),
        command_timeout: millis("CommandTimeout"),
    })
}

fn servers(node: &Node, report: &mut Report) -> Option<RedisServers> {
    let ways: Vec<&Node> =
        ["Host", "Sentinel", "Cluster"].into_iter().filter_map(|name| node.find(name)).collect();
    if let [first, second, ..] = &ways[..] {
        let reason = format!("<RedisServer> has both <{}> and <{}>.", first.spec.name, second.spec.name);
        let remedy = "Sentinels and a Cluster know where their servers are: keep the one that there is.";
        report.error(&second.at, Kind::Contradiction, reason, remedy);
        return None;
    }
    let Some(way) = ways.first() else {
        let remedy = "Add <Host>host:port</Host>, or <Sentinel>, or <Cluster>.";
        report.error(&node.at, Kind::Missing, "<RedisServer> has no <Host>.", remedy);
        return None;
    };
    let hosts = || {
        let address = |it: &Node| if let Value::Endpoint(at) = &it.value { Some(at.clone()) } else { None };
        Some(way.all("Host").filter_map(address).collect::<Vec<Endpoint>>()).filter(|hosts| !hosts.is_empty())
    };
    match way.spec.name {
        "Sentinel" => {
            Some(RedisServers::Sentinel { sentinels: hosts()?, master: way.text("Master")?.to_owned() })
        }
        "Cluster" => Some(RedisServers::Cluster(hosts()?)),
        _ => redis_host(way).map(|host| RedisServers::Single(host.at.clone())),
    }
}

fn redis_host(node: &Node) -> Option<&Host> {
    if let Value::Redis(host) = &node.value { Some(host) } else { None }
}

fn tls(node: &Node, host: Option<&Host>, report: &mut Report) -> Option<RedisTls> {
    let encrypted = host.and_then(|host| host.encrypted);
    let Some(tls) = node.find("TLS") else { return encrypted.filter(|it| *it).map(|_| RedisTls::default()) };
    if encrypted == Some(false) {
        let reason = "<TLS> asks for encryption, and the URL of <Host> begins with redis://, which has none.";
        report.error(&tls.at, Kind::Contradiction, reason, "Write rediss:// there, or remove <TLS>.");
    }
    Some(RedisTls { ca_path: tls.text("CAPath").map(str::to_owned) })
}

/// In a Cluster a stream's keys lie together because of the braces around its name: there must be no others.
fn key_prefix(node: &Node, report: &mut Report) -> String {
    let prefix = node.text("KeyPrefix").unwrap_or_default();
    if let Some(element) = node.find("KeyPrefix")
        && prefix.chars().any(|c| matches!(c, '{' | '}') || c.is_control())
    {
        let reason = format!("The key prefix `{}` holds a brace or a control character.", shown(prefix));
        report.error(&element.at, Kind::OutOfRange, reason, "Use letters, digits and colons, such as live:.");
    }
    prefix.to_owned()
}

fn origin_host(node: &Node, report: &mut Report) -> Option<String> {
    let element = node.find("OriginHostName")?;
    let text = element.own_text()?;
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let host = bare.unwrap_or(text);
    let is_address = host.parse::<Ipv6Addr>().is_ok();
    let is_name = bare.is_none() && !host.contains(':');
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '@' | '[' | ']');
    if host.chars().any(odd) || !(is_address || is_name) {
        let reason = format!("<OriginHostName> holds `{}`, which is not the name of a host.", shown(text));
        let remedy = "Write the name or address alone; the port is that of Bind/Publishers/OVT.";
        report.error(&element.at, Kind::WrongType, reason, remedy);
    }
    Some(host.to_owned())
}

fn decoded(text: &str) -> Result<Option<String>, NoHost> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| NoHost {
        reason: "holds a URL whose user or password is not UTF-8.".to_owned(),
        remedy: "Write them as <User> and <Auth>.",
    })?;
    Ok(Some(decoded.into_owned()).filter(|it| !it.is_empty()))
}

/// The port of a URL without one.
const PORT: u16 = 6379;

const TIMEOUT_MS: i64 = 1_000;

const ADDRESS_REMEDY: &str = "Write host:port, such as redis.internal:6379 or [::1]:6379.";

const URL_REMEDY: &str =
    "Write host:port, redis://user:password@host:port/database, or the same with rediss:// for TLS.";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.to_owned(), port }
    }

    #[test]
    fn a_host_is_an_address_or_a_url() {
        let plain = |host, port| Host {
            at: at(host, port),
            encrypted: None,
            user: None,
            password: None,
            database: None,
        };
        assert_eq!(host("redis.internal:6379"), Ok(plain("redis.internal", 6379)));
        assert_eq!(host("[::1]:1"), Ok(plain("::1", 1)));
        let full = Host {
            at: at("h", 7),
            encrypted: Some(true),
            user: Some("me".to_owned()),
            password: Some(Secret::new("p@s/s:w?d")),
            database: Some(3),
        };
        assert_eq!(host("REDISS://me:p%40s%2fs:w%3Fd@h:7/3"), Ok(full.clone()));
        assert_eq!(host("rediss://me:p@s/s:w?d@h:7/3"), Ok(full));
        let least = Host { encrypted: Some(false), ..plain("::1", 6379) };
        assert_eq!(host("redis://[::1]"), Ok(least.clone()));
        assert_eq!(host("redis://[::1]/"), Ok(least.clone()));
        let with_password = Host { password: Some(Secret::new("p")), ..least };
        assert_eq!(host("redis://:p@[::1]:6379"), Ok(with_password));
    }

    #[test]
    fn what_is_no_host_is_told_without_the_password() {
        for text in [
            "redis",
            ":6379",
            "redis:port",
            "a:1:2",
            "::1:6379",
            "[::1",
            "[redis]:1",
            "a:0",
            "a:65536",
            "a: 1",
            "a b:1",
            "",
            "user:secret@h:1",
            "http://user:secret@h",
            "redis://user:secret@h:x",
            "redis://user:secret@h/x",
            "redis://user:secret@",
            "redis://user:secret@h?a=b",
            "redis://user:secret@[::1",
            "rediss://x:%ffsecret@h",
        ] {
            let fault = host(text).expect_err(text);
            assert!(!format!("{fault:?}").contains("secret"), "{text}: {fault:?}");
            assert!(fault.reason.ends_with('.') && fault.remedy.ends_with('.'), "{fault:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_host_or_not(text in "(rediss?://)?[a-z:@/\\[\\]0-9%?]{0,20}") {
            if let Ok(found) = host(&text) {
                prop_assert!(found.at.port > 0 && !found.at.host.is_empty());
            }
        }
    }
}
