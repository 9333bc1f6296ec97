//! A headless Chromium, told what to do over its DevTools protocol.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::http::{Client, connect};
use crate::page::PageServer;
use crate::process::Process;

/// How long the browser may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The names under which systems install it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// Headless, alone on this machine, as fast in the background as in the foreground, and content with certificates that
/// nobody signed.
const FLAGS: [&str; 16] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--ignore-certificate-errors",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
];

/// A browser with one page.
pub struct Browser {
    socket: WebSocket<TcpStream>,
    next_id: u64,
    // Before its profile, which it writes to.
    _process: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser on `url`.
    ///
    /// # Errors
    ///
    /// If there is no Chromium, or it does not come up.
    pub fn open(url: &str) -> Result<Browser> {
        let profile = tempfile::Builder::new().prefix("headwater-chromium-").tempdir()?;
        let mut command =
            Command::new(find().context("no Chromium is installed, or HEADWATER_CHROMIUM is wrong")?);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        let mut process = Process::start("chromium", &mut command, profile.path())?;
        let port = debugging_port(&profile, &mut process)?;
        let target = page_target(port)?;
        let stream = connect(&format!("127.0.0.1:{port}"), PATIENCE)?;
        let (socket, _) = tungstenite::client(target, stream)?;
        Ok(Browser { socket, next_id: 1, _process: process, _profile: profile })
    }

    /// The value of a JavaScript expression on the page.
    ///
    /// # Errors
    ///
    /// If it throws, or the page does not answer.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", parameters)?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("{expression}: {exception}");
        }
        Ok(answer["result"]["value"].take())
    }

    fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({ "id": id, "method": method, "params": parameters });
        self.socket.send(Message::text(request.to_string()))?;
        loop {
            let Message::Text(text) = self.socket.read()? else { continue };
            let mut message: Value = serde_json::from_str(&text)?;
            if message["id"] != id {
                continue;
            }
            ensure!(message.get("error").is_none(), "{method}: {}", message["error"]);
            return Ok(message["result"].take());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that is asked takes its helpers with it; if it does not listen, it is killed with the process.
        let request = json!({ "id": self.next_id, "method": "Browser.close" });
        if self.socket.send(Message::text(request.to_string())).is_ok() {
            let _ = self._process.wait(Duration::from_secs(5));
        }
    }
}

/// A page that plays a stream with hls.js.
pub struct HlsJs {
    browser: Browser,
    _page: PageServer,
}

/// What a person in front of the page would have noticed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything the page wrote down, see `tests/assets/player.html`.
    pub all: Value,
    /// How far playback is, in seconds of media.
    pub current_time: f64,
    /// Errors that hls.js gave up on.
    pub fatal: Vec<String>,
    /// How long the picture stood still, for every time it did, after it had begun.
    pub stalls: Vec<Duration>,
    /// Pictures shown so far.
    pub frames: u64,
    /// How far behind live hls.js believes to be.
    pub latency: Duration,
}

/// A picture that was shown.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// When, in seconds since the page began.
    pub at_s: f64,
    /// Where it lies in the media, in seconds.
    pub media_s: f64,
}

impl Report {
    /// What the page has written down under `list` since it was `at_s` seconds old.
    pub fn since(&self, at_s: f64, list: &str) -> Vec<&Value> {
        let since = |it: &&Value| it["at_s"].as_f64().is_some_and(|at| at >= at_s);
        self.all[list].as_array().into_iter().flatten().filter(since).collect()
    }

    /// The longest stall.
    pub fn longest_stall(&self) -> Duration {
        self.stalls.iter().copied().max().unwrap_or_default()
    }
}

impl HlsJs {
    /// Opens a page that plays `playlist`.
    ///
    /// # Errors
    ///
    /// If the browser does not come up.
    pub fn play(playlist: &str) -> Result<HlsJs> {
        let nowhere = Path::new("/nonexistent");
        HlsJs::play_from(PageServer::start(nowhere)?, playlist)
    }

    /// Like [`HlsJs::play`], with a page server that has files of its own.
    ///
    /// # Errors
    ///
    /// If the browser does not come up.
    pub fn play_from(page: PageServer, playlist: &str) -> Result<HlsJs> {
        let browser = Browser::open(&page.url(playlist))?;
        Ok(HlsJs { browser, _page: page })
    }

    /// Waits until `seconds` of media have been played since the first picture.
    ///
    /// # Errors
    ///
    /// If they have not within `patience`; the error holds what the page wrote down.
    pub fn wait_until_played(&mut self, seconds: f64, patience: Duration) -> Result<Report> {
        let started = Instant::now();
        let mut first = None;
        loop {
            // A page that is still loading has no `report` yet.
            let report = self.report();
            if let Ok(report) = &report
                && report.frames > 0
                && report.current_time - *first.get_or_insert(report.current_time) >= seconds
            {
                return Ok(report.clone());
            }
            if started.elapsed() > patience {
                bail!(
                    "hls.js has not played {seconds} s after {patience:?}: {:?}",
                    report.map(|report| report.all)
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Every picture that was shown so far. A page that is busy may miss one now and then.
    ///
    /// # Errors
    ///
    /// If the page does not answer.
    pub fn pictures(&mut self) -> Result<Vec<Picture>> {
        let list: Vec<(f64, f64)> = serde_json::from_value(self.browser.evaluate("pictures")?)?;
        Ok(list.into_iter().map(|(at_s, media_s)| Picture { at_s, media_s }).collect())
    }

    /// What the page has written down so far.
    ///
    /// # Errors
    ///
    /// If the page does not answer.
    pub fn report(&mut self) -> Result<Report> {
        let text = self.browser.evaluate("report()")?;
        let all: Value = serde_json::from_str(text.as_str().context("report() is a text")?)?;
        ensure!(all["supported"] == true, "this Chromium cannot play H.264 through Media Source Extensions");
        let seconds = |value: &Value| Duration::from_secs_f64(value.as_f64().unwrap_or_default().max(0.0));
        Ok(Report {
            current_time: all["current_time_s"].as_f64().unwrap_or_default(),
            fatal: all["fatal"].as_array().into_iter().flatten().map(Value::to_string).collect(),
            stalls: all["stalls"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|stall| seconds(&stall["for_s"]))
                .collect(),
            frames: all["frames"].as_u64().unwrap_or_default(),
            latency: seconds(&all["latency_s"]),
            all,
        })
    }
}

/// Where Chromium is: `HEADWATER_CHROMIUM`, or the first of its usual names on the path.
pub fn find() -> Option<PathBuf> {
    if let Some(path) = env::var_os("HEADWATER_CHROMIUM") {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    let path = env::var_os("PATH")?;
    let places = || env::split_paths(&path);
    NAMES.iter().find_map(|name| places().map(|dir| dir.join(name)).find(|path| path.is_file()))
}

/// Chromium chooses a port and writes it into its profile.
fn debugging_port(profile: &TempDir, process: &mut Process) -> Result<u16> {
    let started = Instant::now();
    loop {
        let file = fs::read_to_string(profile.path().join("DevToolsActivePort")).unwrap_or_default();
        if let Some((port, _)) = file.split_once('\n') {
            return Ok(port.parse()?);
        }
        if !process.is_running() || started.elapsed() > PATIENCE {
            bail!("Chromium does not come up:\n{}", process.log());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The DevTools address of the one page.
fn page_target(port: u16) -> Result<String> {
    let started = Instant::now();
    let mut client = Client::new(&format!("127.0.0.1:{port}"), PATIENCE);
    loop {
        let targets: Value = serde_json::from_slice(&client.get("/json/list")?.body)?;
        let page = targets.as_array().into_iter().flatten().find(|target| target["type"] == "page");
        if let Some(url) = page.and_then(|page| page["webSocketDebuggerUrl"].as_str()) {
            return Ok(url.to_owned());
        }
        ensure!(started.elapsed() < PATIENCE, "Chromium has no page: {targets}");
        thread::sleep(Duration::from_millis(20));
    }
}
