//! Both ends of OVT, as little of them as a test needs: a reader that pulls a stream as an edge would, and an origin
//! that has no stream and counts who asks.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::http::connect;

const HEADER_BYTES: usize = 18;
const MEDIA_HEADER_BYTES: usize = 36;
const VERSION_AND_MARKER: u8 = 0x60;
const MARKER: u8 = 0x20;
const REQUEST: u8 = 10;
const RESPONSE: u8 = 20;
const MEDIA: u8 = 30;

/// A media packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The track it belongs to.
    pub track: u32,
    /// Presentation time in ticks of the track.
    pub pts: i64,
    /// Whether it carries pictures.
    pub video: bool,
    /// The access unit, or the audio frame.
    pub data: Vec<u8>,
    /// When its last byte was there.
    pub at: Instant,
}

/// A stream that is being pulled.
pub struct Reader {
    stream: BufReader<TcpStream>,
    partial: Vec<u8>,
}

impl Reader {
    /// Pulls `app/stream` from the origin at `authority`. Reads may take `timeout`.
    ///
    /// # Errors
    ///
    /// If the origin does not have it, or does not speak OVT.
    pub fn play(authority: &str, path: &str, timeout: Duration) -> Result<Reader> {
        let stream = connect(authority, timeout)?;
        let mut reader = Reader { stream: BufReader::new(stream), partial: Vec::new() };
        for (id, application) in [(1, "describe"), (2, "play")] {
            let target = format!("ovt://{authority}/{path}");
            let request = json!({ "application": application, "id": id, "target": target });
            reader.stream.get_mut().write_all(&packet(REQUEST, &request.to_string())?)?;
            let response = reader.response()?;
            ensure!(response["code"] == 200, "{application} {target}: {response}");
        }
        Ok(reader)
    }

    /// Waits for the next media packet.
    ///
    /// # Errors
    ///
    /// If the connection ends or falls silent.
    pub fn next_packet(&mut self) -> Result<Packet> {
        loop {
            let (kind, last, payload) = read_packet(&mut self.stream)?;
            if kind != MEDIA {
                continue;
            }
            self.partial.extend_from_slice(&payload);
            if last {
                return media_packet(&std::mem::take(&mut self.partial));
            }
        }
    }

    fn response(&mut self) -> Result<Value> {
        let mut text = Vec::new();
        loop {
            let (kind, last, payload) = read_packet(&mut self.stream)?;
            ensure!(kind == RESPONSE, "a packet of type {kind} where a response was due");
            text.extend_from_slice(&payload);
            if last {
                return Ok(serde_json::from_slice(&text)?);
            }
        }
    }
}

/// An origin that answers every request with 404.
pub struct EmptyOrigin {
    port: u16,
    asked: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
}

impl EmptyOrigin {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    ///
    /// If no port is free.
    pub fn start() -> Result<EmptyOrigin> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (asked, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let counter = Arc::clone(&counter);
                // An edge that hangs up has its answer; there is nobody to tell about the error.
                thread::spawn(move || refuse_all(stream, &counter).ok());
            }
        });
        Ok(EmptyOrigin { port, asked, stop })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many requests it has answered.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for EmptyOrigin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Only to wake the accept.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn refuse_all(stream: TcpStream, asked: &AtomicU32) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = BufReader::new(stream);
    loop {
        let (_, last, payload) = read_packet(&mut stream)?;
        ensure!(last, "a request in several packets");
        let request: Value = serde_json::from_slice(&payload)?;
        asked.fetch_add(1, Ordering::Relaxed);
        let response = json!({
            "application": request["application"],
            "code": 404,
            "id": request["id"],
            "message": "There is no such stream (#default#app/stream)",
        });
        stream.get_mut().write_all(&packet(RESPONSE, &response.to_string())?)?;
    }
}

fn read_packet(from: &mut impl Read) -> Result<(u8, bool, Vec<u8>)> {
    let mut header = [0; HEADER_BYTES];
    from.read_exact(&mut header)?;
    if header[0] & 0xc0 != 0x40 {
        bail!("an OVT packet of version {}", header[0] >> 6);
    }
    let mut payload = vec![0; usize::from(u16::from_be_bytes([header[16], header[17]]))];
    from.read_exact(&mut payload)?;
    Ok((header[1], header[0] & MARKER != 0, payload))
}

/// A message of at most one packet.
fn packet(kind: u8, text: &str) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION_AND_MARKER, kind, 0, 0];
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    bytes.extend_from_slice(&u64::try_from(now)?.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&u16::try_from(text.len())?.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Ok(bytes)
}

fn media_packet(bytes: &[u8]) -> Result<Packet> {
    let header =
        bytes.first_chunk::<MEDIA_HEADER_BYTES>().context("a media packet is shorter than its header")?;
    let (track, rest) = header.split_first_chunk::<4>().context("a track id")?;
    let pts = rest.first_chunk::<8>().context("a presentation time")?;
    Ok(Packet {
        track: u32::from_be_bytes(*track),
        pts: i64::from_be_bytes(*pts),
        video: header[28] == 0,
        data: bytes[MEDIA_HEADER_BYTES..].to_vec(),
        at: Instant::now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_origin_refuses_and_counts() {
        let origin = EmptyOrigin::start().unwrap();
        let authority = format!("127.0.0.1:{}", origin.port());
        let refused = Reader::play(&authority, "app/absent", Duration::from_secs(5));
        assert!(refused.is_err_and(|error| error.to_string().contains("404")));
        assert_eq!(origin.asked(), 1);
    }

    #[test]
    fn makes_the_packets_that_an_edge_makes() {
        let captured = include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../vectors/ovt/not-found/client_to_server.bin"
        ));
        let (kind, last, payload) = read_packet(&mut captured.as_slice()).unwrap();
        assert_eq!((kind, last), (REQUEST, true));
        let made = packet(REQUEST, std::str::from_utf8(&payload).unwrap()).unwrap();
        // Bytes 4 to 11 are the time of day.
        assert_eq!((&made[..4], &made[12..]), (&captured[..4], &captured[12..made.len()]));
    }
}
