//! A web server for a browser: the page that plays a stream with hls.js, hls.js itself, and a folder of files.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

const PAGE: &[u8] = include_bytes!("../assets/player.html");
const HLS_JS: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../net-real/assets/hls.min.js"));

/// The server. It ends when it is dropped.
pub struct PageServer {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl PageServer {
    /// Serves the page and hls.js on a free port of loopback, and what lies in `folder` under `/files/`.
    ///
    /// # Errors
    ///
    /// If no port is free.
    pub fn start(folder: &Path) -> Result<PageServer> {
        let folder = Arc::new(folder.to_owned());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let folder = Arc::clone(&folder);
                // A browser that hangs up early has what it wants.
                thread::spawn(move || answer(stream, &folder).ok());
            }
        });
        Ok(PageServer { addr, stop })
    }

    /// The page that plays `playlist`.
    pub fn url(&self, playlist: &str) -> String {
        format!("http://{}/?src={}", self.addr, playlist.replace('&', "%26"))
    }

    /// Where a file of the folder is.
    pub fn file_url(&self, name: &str) -> String {
        format!("http://{}/files/{name}", self.addr)
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Only to wake the accept.
        let _ = TcpStream::connect(self.addr);
    }
}

fn answer(mut stream: TcpStream, folder: &Path) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).and_then(|target| target.split('?').next()).unwrap_or_default();
    match path {
        "/" => respond(&mut stream, "200 OK", "text/html", PAGE),
        "/hls.min.js" => respond(&mut stream, "200 OK", "text/javascript", HLS_JS),
        _ => match path
            .strip_prefix("/files/")
            .filter(|name| !name.contains('/'))
            .map(|name| fs::read(folder.join(name)))
        {
            Some(Ok(body)) => respond(&mut stream, "200 OK", "application/octet-stream", &body),
            _ => respond(&mut stream, "404 Not Found", "text/plain", b"There is nothing here."),
        },
    }
}

fn respond(to: &mut TcpStream, status: &str, kind: &str, body: &[u8]) -> Result<()> {
    let length = body.len();
    write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    to.write_all(body)?;
    Ok(())
}
