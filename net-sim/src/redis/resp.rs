//! RESP2: requests in, replies out.

use headwater_core::registry::redis::Reply as Told;

/// A request: its name and its arguments.
pub type Request = Vec<Vec<u8>>;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A list; none is a list that is not there.
    Array(Option<Vec<Reply>>),
    /// Bytes; none is a value that is not there.
    Bulk(Option<Vec<u8>>),
    /// An error, with its code in front.
    Error(String),
    /// A number.
    Integer(i64),
    /// A word.
    Simple(&'static str),
}

impl Reply {
    /// That all went well.
    pub const OK: Reply = Reply::Simple("OK");
    /// No value.
    pub const NIL: Reply = Reply::Bulk(None);

    /// Text as bytes.
    pub fn text(text: &str) -> Reply {
        Reply::Bulk(Some(text.as_bytes().to_vec()))
    }

    /// The code `ERR` and what is wrong.
    pub fn err(what: &str) -> Reply {
        Reply::Error(format!("ERR {what}"))
    }

    /// Appends the reply as it is sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Simple(word) => out.extend(format!("+{word}\r\n").as_bytes()),
            Reply::Error(what) => out.extend(format!("-{what}\r\n").as_bytes()),
            Reply::Integer(number) => out.extend(format!(":{number}\r\n").as_bytes()),
            Reply::Bulk(None) => out.extend(b"$-1\r\n"),
            Reply::Bulk(Some(bytes)) => {
                out.extend(format!("${}\r\n", bytes.len()).as_bytes());
                out.extend(bytes);
                out.extend(b"\r\n");
            }
            Reply::Array(None) => out.extend(b"*-1\r\n"),
            Reply::Array(Some(items)) => {
                out.extend(format!("*{}\r\n", items.len()).as_bytes());
                items.iter().for_each(|item| item.write(out));
            }
        }
    }
}

/// Takes requests out of what arrives, cut anywhere.
#[derive(Debug, Default)]
pub struct Requests {
    buffer: Vec<u8>,
}

impl Requests {
    /// Takes bytes in.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next request, if all of it is there. An error is the last thing that the client is told.
    pub fn poll(&mut self) -> Result<Option<Request>, Reply> {
        loop {
            let mut reader = Reader { data: &self.buffer, at: 0 };
            let Some(request) = reader.request()? else { return Ok(None) };
            let end = reader.at;
            self.buffer.drain(..end);
            // Empty lines and empty lists are nothing at all.
            if !request.is_empty() {
                return Ok(Some(request));
            }
        }
    }
}

/// Appends a request as it is sent.
pub(super) fn write_request<W: AsRef<[u8]>>(words: &[W], out: &mut Vec<u8>) {
    out.extend(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        out.extend(format!("${}\r\n", word.len()).as_bytes());
        out.extend(word);
        out.extend(b"\r\n");
    }
}

/// Takes replies out of what arrives, cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Replies {
    buffer: Vec<u8>,
}

impl Replies {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next reply, if all of it is there. An error is the end of the connection.
    pub(super) fn poll(&mut self) -> Result<Option<Told>, ()> {
        let mut rest = &self.buffer[..];
        let reply = read_reply(&mut rest, 0)?;
        let taken = self.buffer.len() - rest.len();
        if reply.is_some() {
            self.buffer.drain(..taken);
        }
        Ok(reply)
    }
}

fn read_reply(rest: &mut &[u8], depth: usize) -> Result<Option<Told>, ()> {
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let (line, after) = (&rest[..end], &rest[end + 2..]);
    let (kind, text) = line.split_first().ok_or(())?;
    let words = || String::from_utf8_lossy(text).into_owned();
    *rest = after;
    Ok(Some(match kind {
        b'+' => Told::Text(text.to_vec()),
        b'-' => Told::Error(words()),
        b':' => Told::Integer(integer(text).ok_or(())?),
        b'$' | b'*' if text == b"-1" => Told::Nil,
        b'$' => {
            let len = usize::try_from(integer(text).ok_or(())?).map_err(drop)?;
            let Some(bytes) = after.get(..len) else { return Ok(None) };
            let Some(b"\r\n") = after.get(len..len + 2) else {
                return if after.len() < len + 2 { Ok(None) } else { Err(()) };
            };
            *rest = &after[len + 2..];
            Told::Text(bytes.to_vec())
        }
        b'*' if depth < DEPTH_MAX => {
            let mut parts = Vec::new();
            for _ in 0..integer(text).ok_or(())? {
                let Some(part) = read_reply(rest, depth + 1)? else { return Ok(None) };
                parts.push(part);
            }
            Told::Array(parts)
        }
        _ => return Err(()),
    }))
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn request(&mut self) -> Result<Option<Request>, Reply> {
        if self.data.first() != Some(&b'*') {
            return self.inline();
        }
        let Some(count) = self.length(b'*', "multibulk", ITEMS_MAX)? else { return Ok(None) };
        let mut request = Vec::new();
        for _ in 0..count {
            let Some(len) = self.length(b'$', "bulk", BULK_MAX)? else { return Ok(None) };
            let len = usize::try_from(len).map_err(|_| protocol("invalid bulk length"))?;
            let Some(bytes) = self.data.get(self.at..self.at + len + 2) else { return Ok(None) };
            request.push(bytes[..len].to_vec());
            self.at += len + 2;
        }
        Ok(Some(request))
    }

    /// The number behind `mark`, up to the end of its line.
    fn length(&mut self, mark: u8, what: &str, max: i64) -> Result<Option<i64>, Reply> {
        let rest = &self.data[self.at..];
        match rest.first() {
            None => return Ok(None),
            Some(first) if *first != mark => {
                return Err(protocol(&format!(
                    "expected '{}', got '{}'",
                    char::from(mark),
                    char::from(*first)
                )));
            }
            Some(_) => {}
        }
        let Some(end) = rest.iter().position(|byte| *byte == b'\r').filter(|end| rest.len() > end + 1) else {
            return if rest.len() > INLINE_MAX {
                Err(protocol(&format!("too big {what} count string")))
            } else {
                Ok(None)
            };
        };
        let number = integer(&rest[1..end]).filter(|number| *number <= max);
        // A list may be shorter than nothing, a string may not.
        let number = number.filter(|number| mark == b'*' || *number >= 0);
        self.at += end + 2;
        number.map(Some).ok_or_else(|| protocol(&format!("invalid {what} length")))
    }

    fn inline(&mut self) -> Result<Option<Request>, Reply> {
        let Some(end) = self.data.iter().position(|byte| *byte == b'\n') else {
            return if self.data.len() > INLINE_MAX {
                Err(protocol("too big inline request"))
            } else {
                Ok(None)
            };
        };
        self.at = end + 1;
        let words = self.data[..end].split(|byte| byte.is_ascii_whitespace());
        Ok(Some(words.filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()))
    }
}

/// A number as Redis writes it: no spaces, no plus, no leading zeros.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    if number.to_string() == text { Some(number) } else { None }
}

fn protocol(what: &str) -> Reply {
    Reply::err(&format!("Protocol error: {what}"))
}

/// Lists of lists of lists are deeper than any reply that is asked for.
const DEPTH_MAX: usize = 8;
const ITEMS_MAX: i64 = 1 << 20;
const BULK_MAX: i64 = 512 << 20;
const INLINE_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<Request>, Option<Reply>) {
        let mut requests = Requests::default();
        let mut found = Vec::new();
        for byte in bytes {
            requests.receive(&[*byte]);
            loop {
                match requests.poll() {
                    Ok(Some(request)) => found.push(request),
                    Ok(None) => break,
                    Err(reply) => return (found, Some(reply)),
                }
            }
        }
        (found, None)
    }

    #[test]
    fn requests_are_read_however_they_are_cut() {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Request>();
        let (found, error) = read(b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n*0\r\n\r\nPING  hello\r\n*-1\r\n");
        assert_eq!(found, [words(&["GET", "a\r\n"]), words(&["PING", "hello"])]);
        assert_eq!(error, None);
    }

    #[test]
    fn nonsense_is_named() {
        let said = |bytes: &[u8]| read(bytes).1;
        let error = |what: &str| Some(Reply::Error(format!("ERR Protocol error: {what}")));
        assert_eq!(said(b"*x\r\n"), error("invalid multibulk length"));
        assert_eq!(said(b"*1\r\n:1\r\n"), error("expected '$', got ':'"));
        assert_eq!(said(b"*1\r\n$-1\r\n"), error("invalid bulk length"));
    }
}
