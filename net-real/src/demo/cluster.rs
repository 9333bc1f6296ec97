//! Three nodes in one process, each alone on a thread with a runtime and sockets of its own, as if each were a machine.
//!
//! What happens to them comes out as one sequence of [`Noticed`]. Nothing here decides when a node dies.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use headwater_core::config::Config;
use headwater_core::event::Event;
use headwater_core::io::Service;
use headwater_core::node::Node;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tracing::info_span;

use super::{DemoError, config};
use crate::clock::Clock;
use crate::driver::{Limits, Setup, run};
use crate::log;
use crate::tokio::TokioNet;

/// One of the two origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    A,
    B,
}

impl Origin {
    pub(super) const BOTH: [Origin; 2] = [Origin::A, Origin::B];

    pub(super) fn name(self) -> &'static str {
        match self {
            Origin::A => "A",
            Origin::B => "B",
        }
    }

    pub(super) fn other(self) -> Origin {
        match self {
            Origin::A => Origin::B,
            Origin::B => Origin::A,
        }
    }
}

/// Something happened to the cluster.
#[derive(Debug)]
pub(super) struct Noticed {
    pub(super) at: Instant,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// The edge reports.
    Edge(Event),
    /// The encoder sends media to an origin.
    Fed(Origin),
    /// An origin is about to be killed.
    Killed(Origin),
    /// An origin reports.
    Origin(Origin, Event),
    /// An origin runs.
    Started(Origin),
    /// The encoder lost an origin.
    Unfed(Origin, String),
}

/// Where [`Noticed`] goes.
#[derive(Clone, Debug)]
pub(super) struct Notices(mpsc::UnboundedSender<Noticed>);

impl Notices {
    pub(super) fn new() -> (Notices, mpsc::UnboundedReceiver<Noticed>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Notices(sender), receiver)
    }

    pub(super) fn send(&self, what: What) {
        // Only fails when the demo is over.
        let _ = self.0.send(Noticed { at: Instant::now(), what });
    }
}

/// The ports of the cluster, all on 127.0.0.1. Origin A is first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) rtmp: [u16; 2],
    pub(super) ovt: [u16; 2],
    pub(super) llhls: u16,
}

impl Ports {
    /// Which origin is meant by a URL or by `host:port`.
    pub(super) fn origin_of(&self, url: &str) -> Option<Origin> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        let port: u16 = authority.rsplit_once(':')?.1.parse().ok()?;
        Origin::BOTH.into_iter().zip(self.ovt).find(|(_, ovt)| *ovt == port).map(|(origin, _)| origin)
    }
}

/// The running nodes.
#[derive(Debug)]
pub(super) struct Cluster {
    ports: Ports,
    notices: Notices,
    origins: [Option<Host>; 2],
    _edge: Host,
}

impl Cluster {
    /// Starts all three on ports that are free.
    pub(super) fn start(notices: Notices) -> Result<Cluster, DemoError> {
        let [rtmp_a, rtmp_b, ovt_a, ovt_b, llhls] = [bind(0)?, bind(0)?, bind(0)?, bind(0)?, bind(0)?];
        let ports = Ports {
            rtmp: [port(&rtmp_a)?, port(&rtmp_b)?],
            ovt: [port(&ovt_a)?, port(&ovt_b)?],
            llhls: port(&llhls)?,
        };
        let events = notices.clone();
        let edge = Host::start(
            "edge",
            config::edge(ports.llhls, ports.ovt)?,
            vec![(Service::Http, llhls)],
            move |event| events.send(What::Edge(event)),
        )?;
        let mut cluster = Cluster { ports, notices, origins: [None, None], _edge: edge };
        cluster.start_origin(Origin::A, rtmp_a, ovt_a)?;
        cluster.start_origin(Origin::B, rtmp_b, ovt_b)?;
        Ok(cluster)
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports
    }

    /// Ends an origin as SIGKILL would: whatever it was doing stops, and the kernel closes its sockets.
    pub(super) fn kill(&mut self, origin: Origin) {
        if let Some(host) = self.origins[origin as usize].take() {
            self.notices.send(What::Killed(origin));
            host.kill();
        }
    }

    /// Starts a killed origin again, on its old ports and with an empty memory.
    pub(super) fn revive(&mut self, origin: Origin) -> Result<(), DemoError> {
        if self.origins[origin as usize].is_some() {
            return Ok(());
        }
        let (rtmp, ovt) = (self.ports.rtmp[origin as usize], self.ports.ovt[origin as usize]);
        self.start_origin(origin, bind(rtmp)?, bind(ovt)?)
    }

    fn start_origin(&mut self, origin: Origin, rtmp: TcpListener, ovt: TcpListener) -> Result<(), DemoError> {
        let name = format!("origin-{}", origin.name());
        let config = config::origin(&name, port(&rtmp)?, port(&ovt)?)?;
        // First, so that everything that the new node says comes later.
        self.notices.send(What::Started(origin));
        let events = self.notices.clone();
        let listeners = vec![(Service::Rtmp, rtmp), (Service::Ovt, ovt)];
        let host =
            Host::start(&name, config, listeners, move |event| events.send(What::Origin(origin, event)))?;
        self.origins[origin as usize] = Some(host);
        Ok(())
    }
}

/// A node on a thread.
#[derive(Debug)]
struct Host {
    thread: JoinHandle<()>,
    /// Dropping it is the kill.
    life: oneshot::Sender<()>,
}

impl Host {
    fn start(
        name: &str,
        config: Config,
        listeners: Vec<(Service, TcpListener)>,
        events: impl Fn(Event) + Send + 'static,
    ) -> io::Result<Host> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (life, death) = oneshot::channel();
        let seed = config.name.bytes().fold(0, |seed, byte| seed << 8 | u64::from(byte));
        let live = move || live(runtime, config, seed, listeners, events, death);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(live)?;
        Ok(Host { thread, life })
    }

    /// Comes back when the node is no more.
    fn kill(self) {
        drop(self.life);
        // A panic has ended the process already.
        let _ = self.thread.join();
    }
}

/// The life of a node, on its own thread, until `death`.
fn live(
    runtime: Runtime,
    config: Config,
    seed: u64,
    listeners: Vec<(Service, TcpListener)>,
    events: impl Fn(Event),
    death: oneshot::Receiver<()>,
) {
    // Three nodes write one log.
    let _span = info_span!("node", name = config.name).entered();
    runtime.block_on(async {
        let listeners = listeners.into_iter().map(|(service, listener)| {
            let listener = tokio::net::TcpListener::from_std(listener);
            (service, listener.expect("the listener does not block and the runtime has I/O")).into()
        });
        let clock = Clock::system();
        let node = Node::new(config, seed, clock.now());
        let setup = Setup {
            net: TokioNet::default(),
            clock,
            listeners: listeners.collect(),
            stores: Vec::new(),
            limits: Limits::default(),
        };
        let (_control, orders) = mpsc::channel(1);
        let sink = |now, event| {
            log::event(now, &event);
            events(event);
        };
        tokio::select! {
            biased;
            _ = death => {}
            _ = run(setup, node, sink, orders) => {}
        }
    });
    // Every task goes with the runtime, in the middle of whatever it was doing.
    runtime.shutdown_background();
}

/// A listener on this port of 127.0.0.1, or on a free one for 0. A port whose last owner has died can be bound at once.
fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn port(listener: &TcpListener) -> io::Result<u16> {
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_origin_is_known_by_its_port() {
        let ports = Ports { rtmp: [1, 2], ovt: [9000, 90], llhls: 3 };
        assert_eq!(ports.origin_of("ovt://127.0.0.1:9000/live/clip"), Some(Origin::A));
        assert_eq!(ports.origin_of("127.0.0.1:90/live/clip?x=:9000"), Some(Origin::B));
        assert_eq!(ports.origin_of("ovt://127.0.0.1:900/live/clip"), None);
        assert_eq!(ports.origin_of(""), None);
    }

    #[test]
    fn a_killed_origin_leaves_its_peers_at_once_and_comes_back_on_its_ports() {
        let (notices, mut noticed) = Notices::new();
        let mut cluster = Cluster::start(notices).unwrap();
        let at = (Ipv4Addr::LOCALHOST, cluster.ports().ovt[0]);
        for _ in 0..2 {
            let mut peer = TcpStream::connect(at).unwrap();
            peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            // The origin must have accepted it, or its backlog closes it.
            cluster.kill(Origin::A);
            assert!(matches!(peer.read(&mut [0]), Ok(0) | Err(_)));
            assert!(TcpStream::connect(at).is_err(), "nobody listens");
            cluster.revive(Origin::A).unwrap();
            TcpStream::connect(at).unwrap();
        }
        let mut lives = Vec::new();
        while let Ok(Noticed { what, .. }) = noticed.try_recv() {
            match what {
                What::Started(origin) => lives.push(('+', origin)),
                What::Killed(origin) => lives.push(('-', origin)),
                _ => {}
            }
        }
        use Origin::{A, B};
        assert_eq!(lives, [('+', A), ('+', B), ('-', A), ('+', A), ('-', A), ('+', A)]);
    }
}
