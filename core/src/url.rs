//! URLs as OvenMediaEngine writes them in `Server.xml`, in OVT targets and in its Redis directory.
//!
//! ```text
//! scheme "://" [user ":" password "@"] host [":" port] ["/" path] ["?" query]
//! ```
//!
//! This is not RFC 3986: nothing is percent-decoded, there is no fragment, and the query ends at a second `?`
//! (reference: OVT section 4.4). The module knows nothing of applications that exist or hosts that answer.

use core::fmt;
use core::str::FromStr;
use std::net::Ipv6Addr;

use thiserror::Error;

use crate::io::Endpoint;
use crate::limits;

/// A URL, taken apart. Its `Display` and `Debug` never show the password; [`Url::full`] does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    scheme: String,
    login: Option<Login>,
    host: String,
    port: Option<u16>,
    path: String,
    query: Option<String>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Login {
    user: String,
    password: String,
}

/// Why a text is not a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Line breaks and the like would end up in logs and requests.
    #[error("the URL contains a control character; remove it")]
    ControlCharacter,
    /// Nothing stands between `://` and the path.
    #[error("the URL has no host; write scheme://host:port/app/stream")]
    Host,
    /// Square brackets hold an IPv6 address and nothing else.
    #[error("the host in square brackets is not an IPv6 address")]
    Ipv6,
    /// What stands before `@` is a user, a colon and a password.
    #[error("the part before '@' must be user:password")]
    Login,
    /// What stands after the host's colon is a decimal number.
    #[error("the port is not a number")]
    Port,
    /// There is no `scheme://` at the beginning.
    #[error("the URL does not begin with a scheme and '://'")]
    Scheme,
    /// Longer than [`limits::URL_BYTES_MAX`].
    #[error("the URL is longer than {} bytes", limits::URL_BYTES_MAX)]
    TooLong,
}

impl Url {
    /// Takes `text` apart.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        if text.len() > limits::URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(UrlError::ControlCharacter);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        if !is_scheme(scheme) {
            return Err(UrlError::Scheme);
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, authority) = split_login(authority)?;
        let (host, port) = split_port(authority)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.split('?').next().unwrap_or_default().to_owned())),
            None => (rest, None),
        };
        let (scheme, path) = (scheme.to_ascii_lowercase(), path.to_owned());
        Ok(Url { scheme, login, host, port, path, query })
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user, if there is a login.
    pub fn user(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.user.as_str())
    }

    /// The password, if there is a login. It belongs in no log.
    pub fn password(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.password.as_str())
    }

    /// The host name or address; an IPv6 address is without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; `None` if there is none, or a number that is no port. OVT has no default port.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The path: empty, or beginning with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands between the first `?` and the second, if there is a first.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The first component of the path, if it is not empty: the application.
    pub fn app(&self) -> Option<&str> {
        self.component(0)
    }

    /// The second component of the path, if it is not empty: the stream.
    pub fn stream(&self) -> Option<&str> {
        self.component(1)
    }

    /// The third component of the path, if it is not empty: the file.
    pub fn file(&self) -> Option<&str> {
        self.component(2)
    }

    /// Where to connect to, if there is a port.
    pub fn endpoint(&self) -> Option<Endpoint> {
        self.port.map(|port| Endpoint { host: self.host.clone(), port })
    }

    /// The whole URL, password included: for the peer that it is meant for, never for a log.
    pub fn full(&self) -> String {
        self.text(self.password())
    }

    fn component(&self, index: usize) -> Option<&str> {
        self.path.split('/').nth(index + 1).filter(|component| !component.is_empty())
    }

    fn text(&self, password: Option<&str>) -> String {
        let mut text = format!("{}://", self.scheme);
        if let (Some(user), Some(password)) = (self.user(), password) {
            text.push_str(&format!("{user}:{password}@"));
        }
        if self.host.contains(':') {
            text.push_str(&format!("[{}]", self.host));
        } else {
            text.push_str(&self.host);
        }
        if let Some(port) = self.port {
            text.push_str(&format!(":{port}"));
        }
        text.push_str(&self.path);
        if let Some(query) = &self.query {
            text.push_str(&format!("?{query}"));
        }
        text
    }
}

impl FromStr for Url {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Url, UrlError> {
        Url::parse(text)
    }
}

impl fmt::Display for Url {
    /// The URL with `***` for the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(Some("***")))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// The login and what follows it. The last `@` ends it: a password may contain one, a host may not.
fn split_login(authority: &str) -> Result<(Option<Login>, &str), UrlError> {
    let Some((login, host)) = authority.rsplit_once('@') else {
        return Ok((None, authority));
    };
    let (user, password) = login.split_once(':').ok_or(UrlError::Login)?;
    Ok((Some(Login { user: user.to_owned(), password: password.to_owned() }), host))
}

fn split_port(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(UrlError::Ipv6)?;
            host.parse::<Ipv6Addr>().map_err(|_| UrlError::Ipv6)?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(UrlError::Host),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || host.contains(['[', ']', ' ']) {
        return Err(UrlError::Host);
    }
    Ok((host.to_owned(), port.map(read_port).transpose()?.flatten()))
}

/// A number that is no port is no error: an origin does not look at the port of a target, so it must not fail there.
fn read_port(text: &str) -> Result<Option<u16>, UrlError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    Ok(text.parse().ok().filter(|port| *port != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    #[test]
    fn takes_every_part() {
        let url = parse("OVT://me:p@ss:w@origin.example:9000/app/stream/file.m3u8?a=b&c=d?tail");
        assert_eq!(url.scheme(), "ovt");
        assert_eq!((url.user(), url.password()), (Some("me"), Some("p@ss:w")));
        assert_eq!((url.host(), url.port()), ("origin.example", Some(9000)));
        assert_eq!(url.path(), "/app/stream/file.m3u8");
        assert_eq!((url.app(), url.stream(), url.file()), (Some("app"), Some("stream"), Some("file.m3u8")));
        assert_eq!(url.query(), Some("a=b&c=d"));
        assert_eq!(url.endpoint(), Some(Endpoint { host: "origin.example".into(), port: 9000 }));
    }

    #[test]
    fn the_least_url_is_a_scheme_and_a_host() {
        let url = parse("ovt://h");
        assert_eq!((url.path(), url.app(), url.stream(), url.query()), ("", None, None, None));
        assert_eq!(url.endpoint(), None);
        assert_eq!(parse("ovt://h?q").query(), Some("q"));
        assert_eq!(parse("ovt://h/app//x").stream(), None);
    }

    #[test]
    fn ipv6_hosts_lose_their_brackets_and_get_them_back() {
        let url = parse("ovt://[2001:db8::1]:9000/app/stream");
        assert_eq!(url.host(), "2001:db8::1");
        assert_eq!(url.to_string(), "ovt://[2001:db8::1]:9000/app/stream");
        assert_eq!(parse("ovt://[::1]/a").port(), None);
        assert_eq!(Url::parse("ovt://[::1/a"), Err(UrlError::Ipv6));
        assert_eq!(Url::parse("ovt://[host]/a"), Err(UrlError::Ipv6));
        assert_eq!(Url::parse("ovt://[::1]x/a"), Err(UrlError::Host));
    }

    #[test]
    fn never_shows_the_password_unasked() {
        let url = parse("ovt://me:secret@h:1/a");
        assert_eq!(url.to_string(), "ovt://me:***@h:1/a");
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(url.full(), "ovt://me:secret@h:1/a");
    }

    #[test]
    fn a_number_that_is_no_port_is_none() {
        assert_eq!(parse("ovt://h:0/a").port(), None);
        assert_eq!(parse("ovt://h:65535/a").port(), Some(65_535));
        assert_eq!(parse("ovt://h:65536/a").port(), None);
        assert_eq!(Url::parse("ovt://h:/a"), Err(UrlError::Port));
        assert_eq!(Url::parse("ovt://h:9o00/a"), Err(UrlError::Port));
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(Url::parse("nonsense"), Err(UrlError::Scheme));
        assert_eq!(Url::parse("://h"), Err(UrlError::Scheme));
        assert_eq!(Url::parse("ovt:///app"), Err(UrlError::Host));
        assert_eq!(Url::parse("ovt://:9000/app"), Err(UrlError::Host));
        assert_eq!(Url::parse("ovt://me@h/app"), Err(UrlError::Login));
        assert_eq!(Url::parse("ovt://h/a\nb"), Err(UrlError::ControlCharacter));
        let longest = format!("ovt://h/{}", "a".repeat(limits::URL_BYTES_MAX - 8));
        assert!(Url::parse(&longest).is_ok());
        assert_eq!(Url::parse(&(longest + "a")), Err(UrlError::TooLong));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = Url::parse(&text);
        }

        #[test]
        fn what_is_parsed_can_be_written_and_parsed_again(
            text in "[a-z]{1,4}://([a-z]{0,3}:[a-z:@]{0,3}@)?([a-z.]{1,5}|\\[::[0-9a-f]{1,2}\\])(:[0-9]{1,6})?(/[a-z/ ü]{0,9})?(\\?[a-z?]{0,5})?"
        ) {
            let url = Url::parse(&text).expect("in the grammar");
            prop_assert_eq!(Url::parse(&url.full()), Ok(url));
        }
    }
}
