//! ffmpeg as the encoder, ffprobe as the judge.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::binary::workspace;
use crate::process::Process;

/// What is published. Both kinds run in real time and never end.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, again and again, as it is. Costs next to nothing.
    Clip(PathBuf),
    /// A test picture and a tone, encoded on the way: 640x360, 30 fps, a key frame every second.
    Generated,
}

impl Source {
    /// The clip that comes with Headwater.
    pub fn demo_clip() -> Source {
        Source::Clip(workspace().join("net-real/assets/clip.flv"))
    }
}

/// An encoder at work.
pub struct Publisher {
    /// The process; it says in its log why it ended.
    pub process: Process,
}

impl Publisher {
    /// Publishes `source` to every one of `urls` (RTMP). One encoder feeds them all, so every server is given
    /// the same access units with the same timestamps; one that dies or hangs does not disturb the others.
    ///
    /// # Errors
    ///
    /// If ffmpeg cannot be started.
    pub fn start(name: &str, source: &Source, urls: &[String], dir: &Path) -> Result<Publisher> {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "info", "-nostats", "-nostdin"]);
        add_source(&mut command, source);
        match urls {
            [url] => command.args(["-f", "flv", "-flvflags", "no_duration_filesize", url]),
            urls => command.args(["-f", "tee", "-use_fifo", "1", "-fifo_options", FIFO, &tee(urls)]),
        };
        Ok(Publisher { process: Process::start(name, &mut command, dir)? })
    }
}

impl Publisher {
    /// Like [`Publisher::start`] with [`Source::Generated`], to servers that come and go: each is tried again every second, and
    /// begins with a key frame. The first timestamp is `first_s` seconds, and the same for all of them.
    ///
    /// # Errors
    ///
    /// If ffmpeg cannot be started.
    pub fn start_lasting(name: &str, first_s: f64, urls: &[String], dir: &Path) -> Result<Publisher> {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "info", "-nostats", "-nostdin"]);
        add_source(&mut command, &Source::Generated);
        command.args(["-output_ts_offset", &first_s.to_string()]);
        command.args(["-f", "tee", "-use_fifo", "1", "-fifo_options", LASTING, &tee(urls)]);
        Ok(Publisher { process: Process::start(name, &mut command, dir)? })
    }
}

/// [`FIFO`] that connects again.
const LASTING: &str = "drop_pkts_on_overflow=1:queue_size=600:attempt_recovery=1:recovery_wait_time=1:\
                       recover_any_error=1:restart_with_keyframe=1";

/// A server that does not read must not hold up the others: what it misses is thrown away.
const FIFO: &str = "drop_pkts_on_overflow=1:queue_size=600";

fn tee(urls: &[String]) -> String {
    let slaves: Vec<String> =
        urls.iter().map(|url| format!("[f=flv:flvflags=no_duration_filesize:onfail=ignore]{url}")).collect();
    slaves.join("|")
}

fn add_source(command: &mut Command, source: &Source) {
    match source {
        Source::Clip(path) => {
            command.args(["-re", "-stream_loop", "-1", "-i"]).arg(path);
            command.args(["-map", "0", "-c", "copy"]);
        }
        Source::Generated => {
            command.args(["-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"]);
            command.args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
            command.args(["-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast"]);
            command.args(["-tune", "zerolatency", "-pix_fmt", "yuv420p", "-b:v", "600k", "-g", "30"]);
            command.args(["-keyint_min", "30", "-sc_threshold", "0", "-bf", "0", "-threads", "1"]);
            command.args(["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-flags", "+global_header"]);
        }
    }
}

/// What ffprobe says about `input` (streams and format), given `patience_s` seconds to look.
///
/// # Errors
///
/// If it sees nothing that it understands.
pub fn probe(input: &str, patience_s: u32) -> Result<Value> {
    // The timeout is ffprobe's own (per read, in microseconds), and `timeout` ends one that hangs elsewhere.
    let output = Command::new("timeout")
        .arg(patience_s.to_string())
        .args(["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format"])
        .args(if input.starts_with("http") { &["-rw_timeout", "10000000"][..] } else { &[] })
        .arg(input)
        .output()
        .context("ffprobe could not be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffprobe does not like {input}: {} {said}", output.status);
    let found: Value = serde_json::from_slice(&output.stdout)?;
    Ok(found)
}

/// The first stream of that kind (`video`, `audio`) in ffprobe's answer.
pub fn stream<'a>(found: &'a Value, kind: &str) -> Option<&'a Value> {
    found["streams"].as_array()?.iter().find(|stream| stream["codec_type"] == kind)
}

/// Runs ffmpeg to its end.
///
/// # Errors
///
/// If it fails; the error holds what it said.
pub fn run(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(arguments)
        .output()
        .context("ffmpeg could not be started")?;
    ensure!(output.status.success(), "ffmpeg failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
