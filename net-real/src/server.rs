//! A configured server as a process: its listeners, its signals, its node.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use headwater_core::config::{Config, Diagnostic, Listeners, Loaded, Severity};
use headwater_core::event::Event;
use headwater_core::io::Service;
use headwater_core::node::Node;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::driver::{Control, Ended, Limits, Listening, Setup, run};
use crate::log;
use crate::net::Net;
use crate::registry::{self, CertificateError, Client};
use crate::tls::{self, Certificates, Doors};
use crate::tokio::TokioNet;

/// One address that a configuration asks to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What is spoken there.
    pub service: Service,
    /// Whether it is spoken over TLS.
    pub tls: bool,
    /// Where.
    pub at: SocketAddr,
    /// The element that names the port.
    pub element: &'static str,
}

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is not one.
    #[error(
        "Server/IP is {0:?}, which is no address; write `*` for every IPv4 address, `::` for every IPv6 address, \
             or an address of this machine"
    )]
    Address(String),
    /// A listener cannot be bound.
    #[error("cannot listen on {} for Server/{}: {}", .0.at, .0.element, BindFailure(.0, .1))]
    Bind(Binding, io::Error),
    /// A directory of streams cannot be reached with what its configuration says.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// There is no port at all.
    #[error(
        "there is nothing to listen on; give at least one of Server/{RTMP}, Server/{OVT}, Server/{LLHLS}"
    )]
    Nothing,
    /// The runtime or the signal handlers cannot be set up.
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
    /// Certificates cannot be used.
    #[error("{}", lines(.0))]
    Tls(Vec<Diagnostic>),
    /// Two services that do not understand each other have one port.
    #[error("Server/{first} and Server/{second} are both {port}; give each its own port")]
    SharedPort {
        /// The port.
        port: u16,
        /// The element that has it.
        first: &'static str,
        /// The element that has it too.
        second: &'static str,
    },
}

impl ServeError {
    /// Whether the configuration is at fault, and not the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            ServeError::Address(_)
                | ServeError::Certificates(_)
                | ServeError::Nothing
                | ServeError::SharedPort { .. }
                | ServeError::Tls(_)
        )
    }
}

/// Reads a server's configuration again, as it was read at the start; an error is all that was found.
pub trait Reread: Fn() -> Result<Loaded, Vec<Diagnostic>> + Send + Sync + 'static {}

impl<F: Fn() -> Result<Loaded, Vec<Diagnostic>> + Send + Sync + 'static> Reread for F {}

/// Every address that `listeners` asks for.
pub fn bindings(listeners: &Listeners) -> Result<Vec<Binding>, ServeError> {
    let ports = ports(listeners)?;
    let mut bindings = Vec::new();
    for ip in addresses(&listeners.addresses)? {
        let here = ports.iter().map(|port| Binding {
            service: port.service,
            tls: port.tls,
            at: SocketAddr::new(ip, port.number),
            element: port.element,
        });
        bindings.extend(here);
    }
    Ok(bindings)
}

/// Runs a server until a signal ends it. SIGTERM asks it to go when nobody needs it any more, SIGINT to end in order, and
/// each further one for the next harder end. Everything runs on the calling thread.
///
/// `reread` reads and checks the configuration again, at SIGHUP and when the API is asked to.
pub fn serve(config: Config, reread: impl Reread, limits: Limits) -> Result<Ended, ServeError> {
    let bindings = bindings(&config.listeners)?;
    // Other threads only resolve names.
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS_MAX).build()?;
    let ended = runtime.block_on(serve_here(config, Arc::new(reread), limits, bindings));
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    ended
}

const API: &str = "Bind/Managers/API/Port";
const RTMP: &str = "Bind/Providers/RTMP/Port";
const OVT: &str = "Bind/Publishers/OVT/Port";
const LLHLS: &str = "Bind/Publishers/LLHLS/Port";
const API_TLS: &str = "Bind/Managers/API/TLSPort";
const LLHLS_TLS: &str = "Bind/Publishers/LLHLS/TLSPort";
const HLS: &str = "Bind/Publishers/HLS/Port";
const HLS_TLS: &str = "Bind/Publishers/HLS/TLSPort";

/// Names that are resolved at the same time.
const RESOLVERS_MAX: usize = 8;

/// A port that is asked for.
struct Port {
    service: Service,
    tls: bool,
    number: u16,
    element: &'static str,
}

fn ports(listeners: &Listeners) -> Result<Vec<Port>, ServeError> {
    let asked = [
        (Service::Api, false, listeners.api, API),
        (Service::Api, true, listeners.api_tls, API_TLS),
        (Service::Rtmp, false, listeners.rtmp, RTMP),
        (Service::Ovt, false, listeners.ovt, OVT),
        (Service::Http, false, listeners.llhls, LLHLS),
        (Service::Http, true, listeners.llhls_tls, LLHLS_TLS),
        (Service::Http, false, listeners.hls, HLS),
        (Service::Http, true, listeners.hls_tls, HLS_TLS),
    ];
    let mut ports: Vec<Port> = Vec::new();
    for (service, tls, number, element) in asked {
        let Some(number) = number else { continue };
        match ports.iter().find(|other| other.number == number) {
            // File names tell LL-HLS and HLS apart.
            Some(first) if (first.service, service, first.tls) == (Service::Http, Service::Http, tls) => {}
            Some(first) => {
                return Err(ServeError::SharedPort { port: number, first: first.element, second: element });
            }
            None => ports.push(Port { service, tls, number, element }),
        }
    }
    if ports.is_empty() {
        return Err(ServeError::Nothing);
    }
    Ok(ports)
}

/// The addresses in order, each once; without any, every IPv4 address.
fn addresses(written: &[String]) -> Result<Vec<IpAddr>, ServeError> {
    let mut addresses = Vec::new();
    for text in written {
        let address = match text.as_str() {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            other => {
                let bare = other.strip_prefix('[').and_then(|other| other.strip_suffix(']')).unwrap_or(other);
                bare.parse().map_err(|_| ServeError::Address(text.clone()))?
            }
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        addresses.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    Ok(addresses)
}

async fn serve_here(
    config: Config,
    reread: Arc<impl Reread>,
    limits: Limits,
    bindings: Vec<Binding>,
) -> Result<Ended, ServeError> {
    // Before anyone can see that the server is there: whoever sees it may stop it at once.
    let (control, orders) = mpsc::channel(2);
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(obey_signals(terminate, interrupt, control.clone()));
    let net = TokioNet::default();
    for remark in tls::inspect(&config).iter().filter(|it| it.severity == Severity::Warning) {
        warn!(target: "headwater", event = "certificate", "{remark}");
    }
    let doors = Doors::open(&config).map_err(ServeError::Tls)?;
    let mut listeners = Vec::new();
    for binding in bindings {
        let certificates = if binding.service == Service::Api { &doors.api } else { &doors.http };
        let tls = certificates.as_ref().filter(|_| binding.tls).map(Certificates::acceptor).transpose();
        let tls = tls.map_err(io::Error::other)?;
        let listener = net.listen(binding.at).await.map_err(|error| ServeError::Bind(binding, error))?;
        listeners.push(Listening { service: binding.service, listener, tls });
        info!(target: "headwater", event = "listening", service = ?binding.service, address = %binding.at,
              tls = binding.tls, element = binding.element);
    }
    let keepers = look_after([doors.http, doors.api]);
    // One reading may wait while another is under way: however often it is asked for, no more is needed.
    let (ask, asked) = mpsc::channel(1);
    tokio::spawn(obey_hangups(signal(SignalKind::hangup())?, asked, keepers, reread, control));
    let clock = Clock::system();
    let stores = Client::all(&net, &config)?;
    for (_, redis, _) in config.stores() {
        info!(target: "headwater", event = "directory", place = registry::place(redis));
    }
    let node = Node::new(config, seed(), clock.now());
    let setup = Setup { net, clock, listeners, stores, limits };
    let events = |now, event| {
        log::event(now, &event);
        if matches!(event, Event::ConfigurationAsked) {
            // Full: it is about to be read anyway.
            let _ = ask.try_send(());
        }
    };
    let ended = run(setup, node, events, orders).await;
    match ended {
        Ended::Clean => info!(target: "headwater", event = "stopped"),
        Ended::Cut { connections, requests } => {
            warn!(target: "headwater", event = "stopped", connections, requests, "the time for an orderly end was over");
        }
        Ended::Stopped => warn!(target: "headwater", event = "stopped", "at once, as asked"),
    }
    Ok(ended)
}

/// Certificates are read again when their files change, and when their keepers are told to.
fn look_after(doors: [Option<Certificates>; 2]) -> Vec<mpsc::Sender<()>> {
    let mut keepers = Vec::new();
    for certificates in doors.into_iter().flatten() {
        let (now, asked) = mpsc::channel(1);
        tokio::spawn(certificates.keep(asked));
        keepers.push(now);
    }
    keepers
}

/// Reads certificates and the configuration again, one time after the other, whenever that is asked for.
async fn obey_hangups(
    mut hangup: Signal,
    mut asked: mpsc::Receiver<()>,
    keepers: Vec<mpsc::Sender<()>>,
    reread: Arc<impl Reread>,
    control: mpsc::Sender<Control>,
) {
    loop {
        let by = tokio::select! {
            biased;
            Some(()) = hangup.recv() => "SIGHUP",
            Some(()) = asked.recv() => "the API",
            else => return,
        };
        info!(target: "headwater", event = "reading_configuration", by, certificates = keepers.len());
        for keeper in &keepers {
            // Full: it is about to look anyway.
            let _ = keeper.try_send(());
        }
        let reread = reread.clone();
        let read = tokio::task::spawn_blocking(move || usable(&*reread)).await;
        match read.unwrap_or_else(|panic| Err(format!("reading it failed: {panic}"))) {
            Ok(config) => {
                if control.send(Control::Configure(Box::new(config))).await.is_err() {
                    return;
                }
            }
            Err(why) => {
                warn!(target: "headwater", event = "configuration_refused", "{why}\nThe server goes on with the one that it has.");
            }
        }
    }
}

/// A configuration with which a server could start, or all that is wrong with it.
fn usable(reread: &impl Reread) -> Result<Config, String> {
    let Loaded { config, warnings } = reread().map_err(|findings| lines(&findings))?;
    let certificates = tls::inspect(&config);
    if certificates.iter().any(|it| it.severity == Severity::Error) {
        return Err(lines(&certificates));
    }
    bindings(&config.listeners).map_err(|error| error.to_string())?;
    for warning in warnings.iter().chain(&certificates) {
        warn!(target: "headwater", event = "configuration_warning", "{warning}");
    }
    Ok(config)
}

async fn obey_signals(mut terminate: Signal, mut interrupt: Signal, control: mpsc::Sender<Control>) {
    let mut last = None;
    while last != Some(Control::Stop) {
        let (signal, first) = tokio::select! {
            biased;
            _ = terminate.recv() => ("SIGTERM", Control::Drain),
            _ = interrupt.recv() => ("SIGINT", Control::Shutdown),
        };
        let order = match last {
            None => first,
            Some(Control::Drain) => Control::Shutdown,
            Some(_) => Control::Stop,
        };
        info!(target: "headwater", event = "stopping", signal, how = ?order);
        if control.send(order.clone()).await.is_err() {
            return;
        }
        last = Some(order);
    }
    // The driver takes the end of its orders for the end of nothing; but there are no more to come.
    std::future::pending::<()>().await;
}

/// Different in every process. The standard library asks the system for the keys of its hashers.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is wrong, and what to do about it.
struct BindFailure<'a>(&'a Binding, &'a io::Error);

impl fmt::Display for BindFailure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindFailure(Binding { at, .. }, error) = self;
        let port = at.port();
        match error.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "the port is in use; find by whom with `ss -ltnp 'sport = :{port}'` and stop that program, or choose \
                 another port"
            ),
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "this machine has no address {}; correct Server/IP", at.ip())
            }
            io::ErrorKind::PermissionDenied => write!(
                f,
                "this user may not; choose a port above 1023, or give the program the capability CAP_NET_BIND_SERVICE"
            ),
            _ => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(addresses: &[&str], ports: [Option<u16>; 3]) -> Listeners {
        let [rtmp, ovt, llhls] = ports;
        Listeners {
            addresses: addresses.iter().map(|&a| a.to_owned()).collect(),
            rtmp,
            ovt,
            llhls,
            ..Listeners::default()
        }
    }

    fn sockets(addresses: &[&str]) -> Vec<String> {
        let bindings = bindings(&listeners(addresses, [None, Some(9000), None])).unwrap();
        bindings.iter().map(|binding| binding.at.to_string()).collect()
    }

    #[test]
    fn addresses_are_what_they_mean() {
        assert_eq!(sockets(&["*"]), ["0.0.0.0:9000"]);
        assert_eq!(sockets(&["*", "::"]), ["0.0.0.0:9000", "[::]:9000"]);
        assert_eq!(sockets(&["127.0.0.1", "[::1]", "127.0.0.1"]), ["127.0.0.1:9000", "[::1]:9000"]);
        assert_eq!(sockets(&[]), ["0.0.0.0:9000"]);
        let wrong = bindings(&listeners(&["eth0"], [None, Some(1), None])).unwrap_err();
        assert!(wrong.is_configuration() && wrong.to_string().contains("\"eth0\""), "{wrong}");
    }

    #[test]
    fn every_service_has_its_own_port() {
        let shared = bindings(&listeners(&["*"], [Some(1935), None, Some(1935)])).unwrap_err();
        assert!(shared.is_configuration());
        assert_eq!(
            shared.to_string(),
            "Server/Bind/Providers/RTMP/Port and Server/Bind/Publishers/LLHLS/Port are both 1935; give each its own port"
        );
        assert!(matches!(bindings(&listeners(&["*"], [None; 3])), Err(ServeError::Nothing)));
    }

    #[test]
    fn a_port_in_use_names_the_element_and_the_remedy() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let config = Config {
            name: "test".to_owned(),
            listeners: listeners(&["127.0.0.1"], [None, Some(at.port()), None]),
            ..Config::default()
        };
        let error = serve(config, || Err(Vec::new()), Limits::default()).unwrap_err();
        let text = error.to_string();
        assert!(!error.is_configuration());
        assert!(text.contains(OVT) && text.contains(&at.to_string()) && text.contains("ss -ltnp"), "{text}");
    }
}
