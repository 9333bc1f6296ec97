//! Real Redis servers, alone, in a Cluster, with a sentinel, over TLS: as processes that end with their test.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_core::config::{RedisServer, RedisServers, RedisTls, Secret};
use headwater_core::io::Endpoint;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::machine::{Share, free_port, shared};
use crate::process::Process;
use crate::stores::real::Real;

/// How long a server may take to start, or a Cluster to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server.
pub struct Server {
    /// Where it listens.
    pub at: Endpoint,
    /// It.
    pub process: Process,
    dir: TempDir,
    arguments: Vec<String>,
    _machine: Share,
}

impl Server {
    /// Starts one on 127.0.0.1, without persistence.
    ///
    /// # Errors
    ///
    /// If there is no redis-server, or it does not listen.
    pub fn start(arguments: &[&str]) -> Result<Server> {
        Server::start_at("127.0.0.1", free_port(), arguments)
    }

    /// Starts one.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub fn start_at(host: &str, port: u16, arguments: &[&str]) -> Result<Server> {
        let (machine, dir) = (shared(), TempDir::new()?);
        let at = Endpoint { host: host.to_owned(), port };
        let mut all: Vec<String> =
            ["--save", "", "--appendonly", "no", "--bind", host].map(str::to_owned).into();
        if !arguments.contains(&"--port") {
            all.extend(["--port".to_owned(), port.to_string()]);
        }
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let process = run(&all, dir.path())?;
        let server = Server { at, process, dir, arguments: all, _machine: machine };
        server.wait()?;
        Ok(server)
    }

    /// Kills it, and starts it again with nothing in it.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = run(&self.arguments, self.dir.path())?;
        self.wait()
    }

    /// What a directory on it is configured as.
    pub fn redis(&self) -> RedisServer {
        RedisServer::from(RedisServers::Single(self.at.clone()))
    }

    fn wait(&self) -> Result<()> {
        let Endpoint { host, port } = &self.at;
        until(&format!("redis-server listens on {}", self.at), || {
            Ok(TcpStream::connect((host.as_str(), *port)).is_ok())
        })
    }
}

fn run(arguments: &[String], dir: &Path) -> Result<Process> {
    let mut command = Command::new("redis-server");
    command.args(arguments).arg("--dir").arg(dir);
    Process::start("redis-server", &mut command, dir).context("`cargo xtask test` installs redis-server")
}

/// Three nodes that share the keys.
pub struct Cluster {
    /// They.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Starts them, and waits until all of them agree.
    ///
    /// # Errors
    ///
    /// As [`Server::start`], or if they do not.
    pub fn start() -> Result<Cluster> {
        const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in SLOTS {
            let bus = free_port().to_string();
            nodes.push(Server::start(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                "2000",
            ])?);
            buses.push(bus);
        }
        let mut talk: Vec<Real> = nodes.iter().map(|node| Real::new(&node.redis())).collect::<Result<_>>()?;
        for (node, (first, last)) in talk.iter_mut().zip(SLOTS) {
            node.expect_ok(&["CLUSTER", "ADDSLOTSRANGE", first, last])?;
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            talk[0].expect_ok(&["CLUSTER", "MEET", "127.0.0.1", &node.at.port.to_string(), bus])?;
        }
        for node in &mut talk {
            until("the Cluster agrees", || {
                let info = node.text(&["CLUSTER", "INFO"])?;
                Ok(info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3"))
            })?;
        }
        Ok(Cluster { nodes })
    }

    /// What a directory on it is configured as.
    pub fn redis(&self) -> RedisServer {
        RedisServer::from(RedisServers::Cluster(self.nodes.iter().map(|node| node.at.clone()).collect()))
    }
}

/// A master, a replica and a sentinel that makes the one of the other.
pub struct Sentinel {
    /// The first master.
    pub master: Server,
    /// The next.
    pub replica: Server,
    sentinel: Server,
    /// Nobody listens there.
    absent: Endpoint,
}

impl Sentinel {
    /// Starts them, and waits until the sentinel knows all of them.
    ///
    /// # Errors
    ///
    /// As [`Server::start`], or if it does not.
    pub fn start() -> Result<Sentinel> {
        let master = Server::start(&["--repl-diskless-sync-delay", "0"])?;
        let port = master.at.port.to_string();
        let replica = Server::start(&["--replicaof", "127.0.0.1", &port])?;
        let (dir, at) = (TempDir::new()?, Endpoint { host: "127.0.0.1".to_owned(), port: free_port() });
        let file = dir.path().join("sentinel.conf");
        fs::write(
            &file,
            format!(
                "port {}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {port} 1\n\
                 sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n",
                at.port
            ),
        )?;
        let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
        let process = run(&arguments, dir.path())?;
        let sentinel = Server { at, process, dir, arguments, _machine: shared() };
        sentinel.wait()?;
        let mut talk = Real::new(&sentinel.redis())?;
        until("the sentinel knows the replica", || {
            Ok(talk.text(&["INFO", "sentinel"])?.contains("status=ok")
                && talk.text(&["INFO", "sentinel"])?.contains("slaves=1"))
        })?;
        let mut talk = Real::new(&replica.redis())?;
        until("the replica follows", || {
            Ok(talk.text(&["INFO", "replication"])?.contains("master_link_status:up"))
        })?;
        let absent = Endpoint { host: "127.0.0.1".to_owned(), port: free_port() };
        Ok(Sentinel { master, replica, sentinel, absent })
    }

    /// What a directory on it is configured as. The first sentinel that is named is not there.
    pub fn redis(&self) -> RedisServer {
        let sentinels = vec![self.absent.clone(), self.sentinel.at.clone()];
        RedisServer::from(RedisServers::Sentinel { sentinels, master: "mymaster".to_owned() })
    }
}

/// A server that speaks TLS only, and the file of the authority that signed its certificate.
pub struct Encrypted {
    /// It.
    pub server: Server,
    /// The file.
    pub authority: PathBuf,
    _dir: TempDir,
}

impl Encrypted {
    /// Makes certificates for 127.0.0.1 and starts a server with them.
    ///
    /// # Errors
    ///
    /// As [`Server::start`], or if there are no certificates.
    pub fn start() -> Result<Encrypted> {
        let dir = TempDir::new()?;
        let file = |name: &str, text: String| -> Result<PathBuf> {
            let path = dir.path().join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let ca = file("ca.pem", authority.pem())?;
        let certificate = file("server.pem", certificate.pem())?;
        let key = file("server.key", key.serialize_pem())?;
        let port = free_port();
        let path = |path: &Path| path.display().to_string();
        let server = Server::start_at(
            "127.0.0.1",
            port,
            &[
                "--port",
                "0",
                "--tls-port",
                &port.to_string(),
                "--tls-cert-file",
                &path(&certificate),
                "--tls-key-file",
                &path(&key),
                "--tls-ca-cert-file",
                &path(&ca),
                "--tls-auth-clients",
                "no",
            ],
        )?;
        Ok(Encrypted { server, authority: ca, _dir: dir })
    }

    /// What a directory on it is configured as.
    pub fn redis(&self) -> RedisServer {
        let tls = Some(RedisTls { ca_path: Some(self.authority.display().to_string()) });
        RedisServer { tls, ..self.server.redis() }
    }
}

/// A password, for configurations of tests.
pub fn password(text: &str) -> Option<Secret> {
    Some(Secret::new(text))
}

/// Waits until something is so.
///
/// # Errors
///
/// If it is not in time.
pub fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        ensure!(began.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
