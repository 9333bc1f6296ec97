//! nginx and Varnish in front of two servers, with the very configurations that the manual gives.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::free_port;
use crate::process::Process;

const NGINX: &str = include_str!("../../examples/caches/nginx.conf");
const VARNISH: &str = include_str!("../../examples/caches/varnish.vcl");

/// How long a cache may take until it listens.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Which cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx with `proxy_cache`.
    Nginx,
    /// Varnish.
    Varnish,
}

/// A cache that runs.
pub struct Cache {
    kind: Kind,
    port: u16,
    dir: PathBuf,
    process: Process,
}

impl Cache {
    /// Starts one in front of the servers that listen on the ports `main` and `backup`.
    ///
    /// # Errors
    ///
    /// If it does not start; the error holds what it said.
    pub fn start(kind: Kind, main: u16, backup: u16, dir: &Path) -> Result<Cache> {
        let port = free_port();
        let dir = dir.join(format!("{kind:?}").to_lowercase());
        fs::create_dir_all(&dir)?;
        let (name, mut command) = match kind {
            Kind::Nginx => ("nginx", nginx(port, main, backup, &dir)?),
            Kind::Varnish => ("varnish", varnish(port, main, backup, &dir)?),
        };
        let mut process = Process::start(name, &mut command, &dir)?;
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !process.is_running() || started.elapsed() > READY_WITHIN {
                bail!("{name} does not listen on port {port}:\n{}", process.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Cache { kind, port, dir, process })
    }

    /// `host:port` of it.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What was asked of it so far, and what it asked the servers for.
    ///
    /// # Errors
    ///
    /// If it does not say.
    pub fn counted(&self) -> Result<Counted> {
        match self.kind {
            Kind::Nginx => {
                let log = fs::read_to_string(self.dir.join("asked.log"))?;
                let asked = log.lines().count();
                // Of each server that was asked there is an address; of none, a dash.
                let passed = log.lines().filter_map(|line| line.split(' ').next());
                let passed = passed.filter(|it| *it != "-").map(|it| it.split(',').count()).sum();
                Ok(Counted { asked, passed })
            }
            Kind::Varnish => {
                let output = Command::new("varnishstat").arg("-n").arg(&self.dir).arg("-1").output()?;
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let count = |name: &str| {
                    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
                    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
                    number.with_context(|| format!("varnishstat says nothing of {name}: {text}"))
                };
                Ok(Counted { asked: count("MAIN.client_req")?, passed: count("MAIN.backend_req")? })
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // Asked, it takes its helpers with it; killed, nginx leaves them behind.
        let _ = self.process.terminate(Duration::from_secs(5));
    }
}

/// Requests.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// By viewers.
    pub asked: usize,
    /// By the cache.
    pub passed: usize,
}

fn replaced(text: &str, pairs: &[(&str, String)]) -> Result<String> {
    pairs.iter().try_fold(text.to_owned(), |text, (from, to)| {
        if !text.contains(from) {
            bail!("the example does not hold {from}");
        }
        Ok(text.replace(from, to))
    })
}

fn nginx(port: u16, main: u16, backup: u16, dir: &Path) -> Result<Command> {
    let here = dir.display();
    let log = format!(
        "log_format asked '$upstream_addr $upstream_status $status $request_uri';\n    access_log {here}/asked.log asked;\n    \
         client_body_temp_path {here}/body;\n    proxy_temp_path {here}/proxy;\n    fastcgi_temp_path {here}/fastcgi;\n    \
         uwsgi_temp_path {here}/uwsgi;\n    scgi_temp_path {here}/scgi;"
    );
    let text = replaced(
        NGINX,
        &[
            ("origin-a.example.com:3333", format!("127.0.0.1:{main}")),
            ("origin-b.example.com:3333", format!("127.0.0.1:{backup}")),
            ("/var/cache/nginx/live", format!("{here}/cache")),
            ("listen 8080", format!("listen 127.0.0.1:{port}")),
            ("access_log off;", log),
        ],
    )?;
    let file = dir.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir).arg("-c").arg(&file).arg("-e").arg(dir.join("error.log"));
    command.arg("-g").arg(format!("daemon off; pid {here}/nginx.pid; user root;"));
    Ok(command)
}

fn varnish(port: u16, main: u16, backup: u16, dir: &Path) -> Result<Command> {
    let host = || "127.0.0.1".to_owned();
    let text = replaced(VARNISH, &[("origin-a.example.com", host()), ("origin-b.example.com", host())])?;
    // The ports of the two backends, in their order.
    let text = text.replacen("\"3333\"", &format!("\"{main}\""), 1);
    let text = text.replacen("\"3333\"", &format!("\"{backup}\""), 1);
    let file = dir.join("live.vcl");
    fs::write(&file, text)?;
    let mut command = Command::new("varnishd");
    command.arg("-F").arg("-n").arg(dir).arg("-f").arg(&file);
    command.args(["-a", &format!("127.0.0.1:{port}"), "-s", "malloc,256m", "-j", "none"]);
    Ok(command)
}
