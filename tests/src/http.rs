//! A small HTTP/1.1 client over plain TCP: GET, kept-alive connections, both ways of ending a body. It follows
//! nothing, caches nothing and unpacks nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When the status line was there.
    pub began: Instant,
    /// When the last byte was there.
    pub ended: Instant,
}

impl Response {
    /// The first header field of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client of one server. It keeps one connection for as long as the server does.
pub struct Client {
    authority: String,
    timeout: Duration,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of the server at `authority` (`host:port`), whose connects, and single reads and writes, may take
    /// `timeout`.
    pub fn new(authority: &str, timeout: Duration) -> Client {
        Client { authority: authority.to_owned(), timeout, connection: None }
    }

    /// Asks for `path`, query included.
    ///
    /// # Errors
    ///
    /// If no whole answer came. Any status is an answer.
    pub fn get(&mut self, path: &str) -> Result<Response> {
        let kept = self.connection.is_some();
        match self.ask(path) {
            Ok(response) => Ok(response),
            // A server may close a kept connection whenever it likes; only a fresh one's failure says something.
            Err(_) if kept => self.ask(path),
            Err(error) => Err(error),
        }
    }

    fn ask(&mut self, path: &str) -> Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(connect(&self.authority, self.timeout)?),
        };
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n", self.authority);
        connection.get_mut().write_all(head.as_bytes())?;
        let response = read_response(&mut connection)?;
        if response.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

/// A TCP connection to `authority` (`host:port`) without Nagle's delay, whose reads and writes may take `timeout`.
///
/// # Errors
///
/// If it cannot be made in that time.
pub fn connect(authority: &str, timeout: Duration) -> Result<TcpStream> {
    let addr = authority.to_socket_addrs()?.next().context("the host has no address")?;
    let stream =
        TcpStream::connect_timeout(&addr, timeout).with_context(|| format!("connecting to {authority}"))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Splits an `http://` URL into `host:port` and path with query.
///
/// # Errors
///
/// If it is another kind of URL.
pub fn split_url(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} does not begin with http://"))?;
    match rest.find('/') {
        Some(slash) => Ok(rest.split_at(slash)),
        None => Ok((rest, "/")),
    }
}

/// What `reference` means on the page `base`; both are `http://` URLs or paths (RFC 3986, section 5.2, as far as
/// playlists use it).
pub fn resolve(base: &str, reference: &str) -> String {
    if reference.contains("://") {
        return reference.to_owned();
    }
    let base = base.split('?').next().unwrap_or(base);
    let root = match base.find("://") {
        Some(scheme) => base[scheme + 3..].find('/').map_or(base.len(), |slash| scheme + 3 + slash),
        None => 0,
    };
    if reference.starts_with('/') {
        return format!("{}{reference}", &base[..root]);
    }
    let mut folder = &base[root..base.rfind('/').unwrap_or(root).max(root)];
    let mut reference = reference;
    while let Some(rest) = reference.strip_prefix("../") {
        reference = rest;
        folder = &folder[..folder.rfind('/').unwrap_or(0)];
    }
    format!("{}{folder}/{}", &base[..root], reference.trim_start_matches("./"))
}

fn read_response(from: &mut BufReader<TcpStream>) -> Result<Response> {
    let status_line = read_line(from)?;
    let began = Instant::now();
    let status = status_line.split(' ').nth(1).context("a status line has a code")?.parse()?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').with_context(|| format!("not a header field: {line}"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new(), began, ended: began };
    response.body = read_body(from, &response)?;
    response.ended = Instant::now();
    Ok(response)
}

fn read_body(from: &mut BufReader<TcpStream>, head: &Response) -> Result<Vec<u8>> {
    if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return read_chunks(from);
    }
    let mut body = Vec::new();
    match head.header("content-length") {
        Some(length) => {
            body.resize(length.parse()?, 0);
            from.read_exact(&mut body)?;
        }
        None if matches!(head.status, 204 | 304) => {}
        None => {
            from.read_to_end(&mut body)?;
        }
    }
    Ok(body)
}

fn read_chunks(from: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from)?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .with_context(|| format!("not a chunk size: {line}"))?;
        let start = body.len();
        body.resize(start + size, 0);
        from.read_exact(&mut body[start..])?;
        let end = read_line(from)?;
        ensure!(end.is_empty(), "a chunk is longer than it said");
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_line(from: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        bail!(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answered(bytes: &'static [u8]) -> Result<Response> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while request.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            stream.write_all(bytes).unwrap();
        });
        let response = Client::new(&authority, Duration::from_secs(5)).get("/");
        server.join().unwrap();
        response
    }

    #[test]
    fn reads_a_body_of_known_length_and_one_in_chunks() {
        let known = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabcdef").unwrap();
        assert_eq!((known.status, known.text().as_str(), known.header("x-a")), (200, "abc", Some("b")));
        let chunked =
            b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        let chunked = answered(chunked).unwrap();
        assert_eq!((chunked.status, chunked.text().as_str()), (404, "abc"));
    }

    #[test]
    fn half_an_answer_is_an_error() {
        assert!(answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").is_err());
        assert!(answered(b"").is_err());
    }

    #[test]
    fn resolves_what_playlists_refer_to() {
        let base = "http://h:1/app/stream/llhls.m3u8?session=1";
        assert_eq!(resolve(base, "a.m3u8?x=1"), "http://h:1/app/stream/a.m3u8?x=1");
        assert_eq!(resolve(base, "/b/c"), "http://h:1/b/c");
        assert_eq!(resolve(base, "../d"), "http://h:1/app/d");
        assert_eq!(resolve(base, "http://e/f"), "http://e/f");
        assert_eq!(resolve("/app/s/x.m3u8", "y"), "/app/s/y");
        assert_eq!(split_url("http://h:1/p?q").unwrap(), ("h:1", "/p?q"));
    }
}
