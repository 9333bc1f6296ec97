//! A child process that cannot outlive its test, and whose words are there when the test fails.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How many of the last lines of a log are printed when a test fails.
const LINES_ON_FAILURE: usize = 60;

/// A running child. Dropping it kills it; if the test is failing, its log's end is printed.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`. What it prints goes to `<name>.log` in `dir`.
    ///
    /// # Errors
    ///
    /// If the log cannot be made or the program cannot be started.
    pub fn start(name: &str, command: &mut Command, dir: &Path) -> Result<Process> {
        let log = dir.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("{name} ({:?}) could not be started", command.get_program()))?;
        Ok(Process { name: name.to_owned(), child, log })
    }

    /// Kills it without a word of warning, and waits until it is gone.
    pub fn kill(&mut self) {
        // Both fail only if it has ended by itself, and then there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it in the middle of whatever it does; its sockets stay open and fall silent.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a frozen process run on.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Asks it to go (SIGTERM) and waits until it has.
    ///
    /// # Errors
    ///
    /// If it has ended, or does not end within `patience`.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.ask_to_go()?;
        self.wait(patience)
    }

    /// Tells it that something has changed (SIGHUP).
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn hang_up(&mut self) -> Result<()> {
        self.signal(Signal::SIGHUP)
    }

    /// Asks it to go when nobody needs it (SIGTERM) and does not wait.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn ask_to_go(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Asks it to end (SIGINT) and does not wait.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn ask_to_end(&mut self) -> Result<()> {
        self.signal(Signal::SIGINT)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// If it does not within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > patience {
                bail!("{} still runs after {patience:?}", self.name);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        // A child that was waited for may have given its id to a stranger.
        if !self.is_running() {
            bail!("{} has ended; {signal} cannot be sent", self.name);
        }
        Ok(kill(Pid::from_raw(self.child.id().try_into()?), signal)?)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LINES_ON_FAILURE)..];
            eprintln!("---- the end of what {} said ----\n{}\n----", self.name, tail.join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &Path) -> Process {
        Process::start("shell", Command::new("sh").args(["-c", script]), dir).unwrap()
    }

    #[test]
    fn keeps_what_was_said_on_both_streams() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("echo out; echo err >&2; exit 3", dir.path());
        let status = process.wait(Duration::from_secs(5)).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.log(), "out\nerr\n");
    }

    #[test]
    fn freezes_resumes_and_ends_a_child() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("exec sleep 60", dir.path());
        process.freeze().unwrap();
        process.resume().unwrap();
        assert!(process.is_running());
        assert!(!process.terminate(Duration::from_secs(5)).unwrap().success());
        assert!(process.freeze().is_err());
    }
}
