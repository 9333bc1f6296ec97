//! `headwater demo`: a whole cluster in one process, and an origin that can be killed.
//!
//! ```text
//!                ┌─ RTMP ─► origin A ─┐
//!  a looping clip┤                    ├─ OVT ─► edge ─ LL-HLS ─► the page, or the watcher
//!                └─ RTMP ─► origin B ─┘
//! ```
//!
//! The nodes are the real ones, with real sockets on 127.0.0.1, each on a thread of its own (`cluster`); nothing between
//! them is in memory. [`show`] serves a page with a player and a button; [`measure`] lets a program watch instead.

mod cluster;
mod config;
mod page;
mod publisher;
mod report;
mod status;
mod watch;

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_core::config::Diagnostics;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout, timeout_at};
use tracing::warn;

use cluster::{Cluster, Noticed, Notices, Origin};
use config::{APP, STREAM};
use page::Ask;
use publisher::{Clip, ClipError, Epoch, publish};
use report::Record;
use status::{AWAY, NotNow, Status};
use watch::watch;

pub use report::Report;

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The clip that is part of this program cannot be read.
    #[error("the built-in clip is damaged: {0}; build the program again")]
    Clip(String),
    /// The configurations that are part of this program are wrong.
    #[error("the built-in configuration cannot be used:\n{0}")]
    Config(#[from] Diagnostics),
    /// A thread, a socket or a runtime cannot be had.
    #[error("cannot start the demo: {0}")]
    Start(#[from] io::Error),
}

impl From<ClipError> for DemoError {
    fn from(error: ClipError) -> DemoError {
        DemoError::Clip(error.to_string())
    }
}

/// Where a demo can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The page.
    pub page: SocketAddr,
    /// Whether the page has another port than was asked for, because that one was taken.
    pub page_moved: bool,
    /// The edge's LL-HLS port on 127.0.0.1.
    pub llhls: u16,
}

impl Addresses {
    /// The master playlist, for any player on this machine.
    pub fn playlist(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.llhls, playlist_path())
    }
}

/// Runs the demo with a page at `port` of 127.0.0.1, or at a free one, until the process ends. `started` is told where.
///
/// # Errors
///
/// If it cannot start.
pub fn show(port: u16, started: impl FnOnce(Addresses)) -> Result<(), DemoError> {
    runtime()?.block_on(async {
        let mut demo = Demo::start().await?;
        let (listener, page_moved) = page::listen(port)?;
        let page = listener.local_addr()?;
        let (asks, mut asked) = mpsc::channel(16);
        tokio::spawn(page::serve(listener, asks));
        started(Addresses { page, page_moved, llhls: demo.cluster.ports().llhls });
        loop {
            tokio::select! {
                biased;
                () = demo.step() => {}
                Some(ask) = asked.recv() => demo.answer(ask),
            }
        }
    })
}

/// Plays the stream for `duration` as a player would, from the first part on, and kills the active origin half way.
/// `progress` gets a word now and then.
///
/// # Errors
///
/// If the demo cannot start. A stream that breaks is a [`Report`].
pub fn measure(duration: Duration, mut progress: impl FnMut(&str)) -> Result<Report, DemoError> {
    runtime()?.block_on(async {
        let mut demo = Demo::start().await?;
        let (seen, mut sees) = mpsc::unbounded_channel();
        let edge = SocketAddr::from((Ipv4Addr::LOCALHOST, demo.cluster.ports().llhls));
        tokio::spawn(watch(edge, playlist_path(), seen));
        let mut record = Record::new(demo.epoch);
        progress("two origins and an edge run; waiting for the first part");
        demo.watch_until(Instant::now() + PATIENCE, &mut sees, &mut record, Record::plays).await;
        if record.plays() {
            let start = Instant::now();
            progress("playing");
            demo.watch_until(start + duration / 2, &mut sees, &mut record, Record::is_broken).await;
            let words = match demo.kill_for(&mut record) {
                Ok(origin) => format!("origin {} is killed; playing on", origin.name()),
                Err(not_now) => not_now.to_string(),
            };
            progress(&words);
            demo.watch_until(start + duration, &mut sees, &mut record, Record::is_broken).await;
        }
        Ok(record.report(Instant::now(), demo.status.failover(), demo.status.active()))
    })
}

/// 8 s of picture and sound; see `assets/README.md`.
static CLIP: &[u8] = include_bytes!("../../assets/clip.flv");

/// How long the origins have to take the stream before the demo goes on without.
const FEEDING: Duration = Duration::from_secs(5);

/// How long the first part may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a port may be taken when its origin comes back.
const REVIVAL_RETRY: Duration = Duration::from_millis(500);

/// The running demo: all that is not on a thread of its own.
struct Demo {
    cluster: Cluster,
    status: Status,
    noticed: mpsc::UnboundedReceiver<Noticed>,
    /// When the encoder's stream began.
    epoch: Epoch,
    /// The origin that is away, and when it is started again.
    away: Option<(Origin, Instant)>,
}

impl Demo {
    /// Comes back when the stream is on its way to both origins, so that an edge that is asked finds the first of them.
    async fn start() -> Result<Demo, DemoError> {
        let clip = Arc::new(Clip::read(Bytes::from_static(CLIP))?);
        let (notices, noticed) = Notices::new();
        let cluster = Cluster::start(notices.clone())?;
        let ports = cluster.ports();
        let epoch = Epoch::soon();
        for (origin, port) in Origin::BOTH.into_iter().zip(ports.rtmp) {
            tokio::spawn(publish(clip.clone(), epoch, origin, port, notices.clone()));
        }
        let mut demo = Demo { cluster, status: Status::new(ports), noticed, epoch, away: None };
        let feeding = async {
            while !demo.status.is_fed() {
                demo.step().await;
            }
        };
        // An encoder that cannot reach an origin says so in the log of the page.
        let _ = timeout(FEEDING, feeding).await;
        Ok(demo)
    }

    /// Waits for the next thing to happen and takes it in. Cancel safe.
    async fn step(&mut self) {
        let back = async {
            match self.away {
                Some((_, at)) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(noticed) = self.noticed.recv() => self.status.take(noticed),
            () = back => self.revive(),
        }
    }

    fn revive(&mut self) {
        let Some((origin, _)) = self.away.take() else { return };
        if let Err(error) = self.cluster.revive(origin) {
            warn!(%error, origin = origin.name(), "cannot start the origin again yet");
            self.away = Some((origin, Instant::now() + REVIVAL_RETRY));
        }
    }

    fn kill(&mut self) -> Result<Origin, NotNow> {
        let origin = self.status.may_kill()?;
        self.cluster.kill(origin);
        self.away = Some((origin, Instant::now() + AWAY));
        // The kill is among them: from here on, nobody can ask for another.
        while let Ok(noticed) = self.noticed.try_recv() {
            self.status.take(noticed);
        }
        Ok(origin)
    }

    fn kill_for(&mut self, record: &mut Record) -> Result<Origin, NotNow> {
        let origin = self.kill()?;
        if let Some(failover) = self.status.failover() {
            record.killed(origin, failover.at);
        }
        Ok(origin)
    }

    fn answer(&mut self, ask: Ask) {
        // Whoever asked may be gone.
        match ask {
            Ask::Kill(answer) => drop(answer.send(self.kill())),
            Ask::Status(answer) => drop(answer.send(self.status.to_json(Instant::now()))),
        }
    }

    /// Lets the demo run, and takes down what the watcher sees, until then or until `enough`.
    async fn watch_until(
        &mut self,
        end: Instant,
        sees: &mut mpsc::UnboundedReceiver<watch::Seen>,
        record: &mut Record,
        enough: fn(&Record) -> bool,
    ) {
        let watching = async {
            while !enough(record) {
                tokio::select! {
                    biased;
                    () = self.step() => {}
                    Some(seen) = sees.recv() => record.take(seen),
                }
            }
        };
        // Running out of time is the normal end.
        let _ = timeout_at(end.into(), watching).await;
    }
}

/// For everything but the nodes. It does not wait for what is left when it ends.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn playlist_path() -> String {
    format!("/{APP}/{STREAM}/llhls.m3u8")
}
