//! Origins and an edge as real processes on loopback.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::binary::headwater;
use crate::certificate::Certificate;
use crate::config::{APP, EdgePlan, OriginPorts, edge_xml, origin_xml};
use crate::machine::free_port;
use crate::process::Process;

/// How long a server may take until it listens.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// One `headwater serve` process.
pub struct Server {
    name: String,
    config: PathBuf,
    ports: Vec<u16>,
    /// The process, to be killed, frozen and asked.
    pub process: Process,
}

impl Server {
    /// Writes `config` into `dir`, starts a server with it and waits until all of `ports` are listened on.
    ///
    /// # Errors
    ///
    /// If it does not start; the error holds what it said.
    pub fn start(name: &str, config: &str, ports: &[u16], dir: &Path) -> Result<Server> {
        let path = dir.join(format!("{name}.xml"));
        fs::write(&path, config)?;
        let process = serve(name, &path, dir)?;
        let mut server = Server { name: name.to_owned(), config: path, ports: ports.to_vec(), process };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Starts it again after it has ended, on the same ports.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        let dir = self.config.parent().context("a configuration lies in a directory")?;
        self.process = serve(&self.name, &self.config, dir)?;
        self.wait_until_ready()
    }

    /// Every port it listens on.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        for port in self.ports.clone() {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                if !self.process.is_running() {
                    bail!("{} ended at once:\n{}", self.name, self.process.log());
                }
                if started.elapsed() > READY_WITHIN {
                    bail!("{} does not listen on port {port}:\n{}", self.name, self.process.log());
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }
}

fn serve(name: &str, config: &Path, dir: &Path) -> Result<Process> {
    Process::start(name, Command::new(headwater()).arg("serve").arg("--config").arg(config), dir)
}

/// An origin and its ports.
pub struct Origin {
    /// Where it listens.
    pub ports: OriginPorts,
    /// The process.
    pub server: Server,
}

impl Origin {
    /// Where a publisher sends `stream`.
    pub fn publish_url(&self, stream: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{APP}/{stream}", self.ports.rtmp)
    }

    /// `host:port` of its OVT publisher.
    pub fn ovt_authority(&self) -> String {
        format!("127.0.0.1:{}", self.ports.ovt)
    }
}

/// Some origins, in the edge's order of preference, and the edge that pulls from them. Everything ends with it.
pub struct Cluster {
    /// The origins.
    pub origins: Vec<Origin>,
    /// The edge.
    pub edge: Server,
    http: u16,
    https: Option<u16>,
    // Last, so that logs can be read while the processes are dropped.
    dir: TempDir,
}

impl Cluster {
    /// `origins` origins and an edge, with the tests' usual settings.
    ///
    /// # Errors
    ///
    /// If one of them does not start.
    pub fn start(origins: usize) -> Result<Cluster> {
        Cluster::start_with(origins, |_| {})
    }

    /// Like [`Cluster::start`], after `change` has seen the edge's plan.
    ///
    /// # Errors
    ///
    /// If one of them does not start.
    pub fn start_with(origins: usize, change: impl FnOnce(&mut EdgePlan)) -> Result<Cluster> {
        let dir = tempfile::Builder::new().prefix("headwater-").tempdir()?;
        let ports: Vec<OriginPorts> =
            (0..origins).map(|_| OriginPorts { rtmp: free_port(), ovt: free_port() }).collect();
        let ovt: Vec<u16> = ports.iter().map(|ports| ports.ovt).collect();
        let mut plan = EdgePlan::new(free_port(), &ovt);
        change(&mut plan);
        if plan.https.is_some() {
            Certificate::issue("127.0.0.1")?.write(dir.path(), "edge")?;
        }
        let origins = ports.into_iter().enumerate();
        let origins: Vec<Origin> = origins
            .map(|(index, ports)| start_origin(index, ports, plan.directory, dir.path()))
            .collect::<Result<_>>()?;
        let http: Vec<u16> = [plan.http].into_iter().chain(plan.https).collect();
        let edge = Server::start("edge", &edge_xml(&plan), &http, dir.path())?;
        Ok(Cluster { origins, edge, http: plan.http, https: plan.https, dir })
    }

    /// The playlist of `stream` at the edge.
    pub fn playlist_url(&self, stream: &str) -> String {
        format!("http://{}/{APP}/{stream}/llhls.m3u8", self.http_authority())
    }

    /// The playlist of `stream` at the edge, over TLS if it has a port for it.
    pub fn secure_url(&self, stream: &str) -> Option<String> {
        Some(format!("https://127.0.0.1:{}/{APP}/{stream}/llhls.m3u8", self.https?))
    }

    /// The playlist of `stream` at the edge for players that want MPEG-TS, if it serves them.
    pub fn ts_playlist_url(&self, stream: &str) -> String {
        format!("http://{}/{APP}/{stream}/ts:playlist.m3u8", self.http_authority())
    }

    /// `host:port` of the edge's HTTP server.
    pub fn http_authority(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    /// Where a publisher that feeds every origin sends `stream`.
    pub fn publish_urls(&self, stream: &str) -> Vec<String> {
        self.origins.iter().map(|origin| origin.publish_url(stream)).collect()
    }

    /// Every port that somebody listens on.
    pub fn ports(&self) -> Vec<u16> {
        let origins = self.origins.iter().flat_map(|origin| origin.server.ports());
        origins.chain(self.edge.ports()).copied().collect()
    }

    /// A directory for whatever a test writes.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn start_origin(index: usize, ports: OriginPorts, directory: Option<u16>, dir: &Path) -> Result<Origin> {
    let name = format!("origin-{index}");
    let server = Server::start(&name, &origin_xml(ports, directory), &[ports.rtmp, ports.ovt], dir)?;
    Ok(Origin { ports, server })
}
