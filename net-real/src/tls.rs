//! TLS at the door: the certificates that a configuration names, which of them a client is shown, and how a new one takes
//! the place of an old one while the server runs.
//!
//! The machine knows nothing of it: a connection that came through here is like any other. [`Certificates`] is one set
//! for each kind of port, the viewers' with the certificates of all virtual hosts, the managers' with theirs.

mod certificate;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use headwater_core::config::{Config, Diagnostic, HostPattern, Tls};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use certificate::{Files, certified, remarks};

/// The certificates of one kind of port.
pub struct Certificates {
    sources: Vec<Source>,
    shown: Arc<Shown>,
    http2: bool,
}

/// What the configuration of a server has for TLS.
#[derive(Default)]
pub struct Doors {
    /// For the managers' port.
    pub api: Option<Certificates>,
    /// For the viewers' ports.
    pub http: Option<Certificates>,
}

impl Doors {
    /// Reads every certificate that a port of `config` shows.
    ///
    /// # Errors
    ///
    /// All that is wrong with them.
    pub fn open(config: &Config) -> Result<Doors, Vec<Diagnostic>> {
        let (http, api) = hosts(config);
        let http2 = config.listeners.http2;
        match (Certificates::open(http, http2), Certificates::open(api, http2)) {
            (Ok(http), Ok(api)) => Ok(Doors { api, http }),
            (http, api) => Err(http.err().into_iter().chain(api.err()).flatten().collect()),
        }
    }
}

/// What can be said about the certificates of `config`: all that stops a start, and what clients may not like.
pub fn inspect(config: &Config) -> Vec<Diagnostic> {
    let (http, api) = hosts(config);
    let inspect = |host: Host| match Files::read(&host.tls).and_then(|files| certified(&host.tls, &files)) {
        Ok(certified) => remarks(&certified, &host.tls, &host.names),
        Err(diagnostic) => vec![diagnostic],
    };
    http.into_iter().chain(api).flat_map(inspect).collect()
}

impl Certificates {
    fn open(hosts: Vec<Host>, http2: bool) -> Result<Option<Certificates>, Vec<Diagnostic>> {
        let (mut sources, mut keys, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for host in hosts {
            let read = Files::read(&host.tls);
            match read.clone().and_then(|files| certified(&host.tls, &files)) {
                Ok(key) => {
                    keys.push(Entry { names: host.names, key: Arc::new(key) });
                    sources.push(Source { tls: host.tls, good: read, bad: None });
                }
                Err(diagnostic) => wrong.push(diagnostic),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let shown = Arc::new(Shown(RwLock::new(keys)));
        Ok((!sources.is_empty()).then_some(Certificates { sources, shown, http2 }))
    }

    /// What greets connections with these certificates, as they are at the time of each.
    ///
    /// # Errors
    ///
    /// If the library refuses.
    pub fn acceptor(&self) -> Result<TlsAcceptor, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let mut config = builder
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.shown.clone());
        config.alpn_protocols = if self.http2 { vec![b"h2".to_vec()] } else { Vec::new() };
        config.alpn_protocols.push(b"http/1.1".to_vec());
        // A viewer who comes back is greeted in one round trip, and nothing is kept for him here.
        config.ticketer = ring::Ticketer::new()?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Looks after the files for as long as `now` is open: every [`LOOK_INTERVAL`], and when `now` says so. A new
    /// certificate that cannot be used leaves the old one in place.
    pub async fn keep(mut self, mut now: mpsc::Receiver<()>) {
        loop {
            let asked = match timeout(LOOK_INTERVAL, now.recv()).await {
                Ok(None) => return,
                Ok(Some(())) => true,
                Err(_) => false,
            };
            // Another thread does it: a disk may be slow. Only fails when the runtime ends.
            let Ok(looked) = spawn_blocking(move || {
                self.look(asked);
                self
            })
            .await
            else {
                return;
            };
            self = looked;
        }
    }

    /// Reads all files once. `at_once`: what is wrong is said the first time that it is seen; otherwise the second
    /// time, as programs that renew certificates write one file after the other.
    fn look(&mut self, at_once: bool) {
        for (index, source) in self.sources.iter_mut().enumerate() {
            let read = Files::read(&source.tls);
            if read == source.good {
                source.bad = None;
                continue;
            }
            let before = source.bad.take().filter(|bad| bad.read == read);
            if before.as_ref().is_some_and(|bad| bad.told && !at_once) {
                source.bad = before;
                continue;
            }
            match read.clone().and_then(|files| certified(&source.tls, &files)) {
                Ok(key) => {
                    source.good = read;
                    self.shown.replace(index, key);
                    info!(target: "headwater", event = "certificate_renewed", file = source.tls.certificate.path);
                }
                Err(diagnostic) => {
                    let told = at_once || before.is_some();
                    if told {
                        error!(target: "headwater", event = "certificate_refused",
                               "{diagnostic} The certificate that was read before stays.");
                    }
                    source.bad = Some(Bad { read, told });
                }
            }
        }
    }
}

/// How often files are looked at.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The names and the certificate of one host.
struct Host {
    names: Vec<HostPattern>,
    tls: Tls,
}

/// The hosts that need a certificate here: of the viewers' port, of the managers' port.
fn hosts(config: &Config) -> (Vec<Host>, Vec<Host>) {
    let has_port = config.listeners.llhls_tls.or(config.listeners.hls_tls).is_some();
    let vhosts = config.vhosts.iter().filter(|_| has_port);
    let http = vhosts.filter_map(|it| Some(Host { names: it.hosts.clone(), tls: it.tls.clone()? }));
    let api = config.api.iter().filter(|_| config.listeners.api_tls.is_some());
    let api = api.filter_map(|it| Some(Host { names: Vec::new(), tls: it.tls.clone()? }));
    (http.collect(), api.collect())
}

/// Where a certificate comes from, and what was last found there.
struct Source {
    tls: Tls,
    /// What is shown was made of this.
    good: Result<Files, Diagnostic>,
    /// What was found since and cannot be used.
    bad: Option<Bad>,
}

struct Bad {
    read: Result<Files, Diagnostic>,
    told: bool,
}

/// The certificates that clients are shown now.
#[derive(Debug)]
struct Shown(RwLock<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    names: Vec<HostPattern>,
    key: Arc<CertifiedKey>,
}

impl Shown {
    fn replace(&self, index: usize, key: CertifiedKey) {
        // Nothing panics while it is held.
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(index) {
            entry.key = Arc::new(key);
        }
    }

    /// The certificate of the first host of this name. Who asks for none (by address), or for a stranger, is shown the
    /// first one: whether it is the right one is the client's to judge.
    fn of(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let named = name.and_then(|name| {
            entries.iter().find(|entry| entry.names.iter().any(|pattern| pattern.matches(name)))
        });
        named.or(entries.first()).map(|entry| entry.key.clone())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.of(hello.server_name())
    }
}
