//! A host: a computer with a name, clocks, a kernel and at most one running program.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use headwater_core::io::{ConnId, Machine, Service};
use headwater_core::time::{Now, Time};

use crate::clock::Clock;
use crate::http::{HttpClient, Prober};
use crate::tcp::{ConnNo, Side, Signal};
use crate::udp::{MakeUdp, UdpProgram};
use crate::viewer::Viewer;

/// How a host's program comes to life: at the beginning, and again after a crash.
pub struct Boot {
    pub(crate) make: Make,
    pub(crate) listeners: BTreeMap<u16, Service>,
    pub(crate) down: bool,
}

pub(crate) type Make = Box<dyn FnMut(u64, Now) -> Box<dyn Machine>>;

impl Boot {
    /// A program made by `make` from a seed, which differs from boot to boot, and the time of its host.
    ///
    /// `make` is called for every life of the program. What it captures is what outlives a crash, as a disk does: a
    /// program that is to lose its state gets nothing of its earlier life, one that keeps some shares it with `make`.
    pub fn new(make: impl FnMut(u64, Now) -> Box<dyn Machine> + 'static) -> Boot {
        Boot { make: Box::new(make), listeners: BTreeMap::new(), down: false }
    }

    /// The same, listening on `port`.
    pub fn listen(mut self, port: u16, service: Service) -> Boot {
        self.listeners.insert(port, service);
        self
    }

    /// The same, not running until `World::restart`.
    pub fn down(self) -> Boot {
        Boot { down: true, ..self }
    }
}

/// What runs on a host.
pub(crate) enum Program {
    /// A machine; away while it is being driven, and while the process is dead.
    Machine {
        machine: Option<Box<dyn Machine>>,
        make: Make,
    },
    Prober(Prober),
    /// None while the process is dead.
    Udp {
        program: Option<Box<dyn UdpProgram>>,
        make: MakeUdp,
    },
    Viewer(Box<Viewer>),
}

impl Program {
    pub(crate) fn client(&mut self) -> Option<&mut dyn HttpClient> {
        match self {
            Program::Machine { .. } | Program::Udp { .. } => None,
            Program::Prober(prober) => Some(prober),
            Program::Viewer(viewer) => Some(viewer.as_mut()),
        }
    }
}

pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) clock: Clock,
    pub(crate) program: Program,
    listeners: BTreeMap<u16, Service>,
    pub(crate) powered: bool,
    pub(crate) running: bool,
    pub(crate) paused: bool,
    pub(crate) stopping: bool,
    /// Counts the lives of the process; what is addressed to an earlier life is late.
    pub(crate) life: u64,
    /// What the kernel keeps for a stopped or slow process.
    pub(crate) pending: VecDeque<Signal>,
    /// Bytes per second that the process reads; unlimited if none.
    pub(crate) read_rate: Option<u64>,
    /// How long the process is busy with each connection that it accepts; no time if none.
    pub(crate) accept_takes: Option<Duration>,
    pub(crate) read_free_at: Time,
    pub(crate) reading: bool,
    /// When the next timer event of this host is due.
    pub(crate) timer: Option<Time>,
    /// How often a deadline passed without time going by.
    pub(crate) spins: (Time, u32),
    pub(crate) conns: BTreeMap<ConnId, (ConnNo, Side)>,
    accepted: u64,
}

impl Host {
    pub(crate) fn new(
        name: &str,
        number: usize,
        clock: Clock,
        program: Program,
        listeners: BTreeMap<u16, Service>,
    ) -> Host {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Host {
            name: name.to_owned(),
            address: Ipv4Addr::from(FIRST_ADDRESS.wrapping_add(number)),
            clock,
            program,
            listeners,
            powered: true,
            running: false,
            paused: false,
            stopping: false,
            life: 0,
            pending: VecDeque::new(),
            read_rate: None,
            accept_takes: None,
            read_free_at: Time::ZERO,
            reading: false,
            timer: None,
            spins: (Time::ZERO, 0),
            conns: BTreeMap::new(),
            accepted: 0,
        }
    }

    /// What a new connection to `port` would speak to, if anything.
    pub(crate) fn listens(&self, port: u16) -> Option<Service> {
        if self.running && !self.stopping { self.listeners.get(&port).copied() } else { None }
    }

    /// What its program offers while it runs.
    pub(crate) fn services(&self) -> impl Iterator<Item = Service> {
        self.listeners.values().copied()
    }

    /// What is spoken on `port`.
    pub(crate) fn service(&self, port: u16) -> Option<Service> {
        self.listeners.get(&port).copied()
    }

    pub(crate) fn waiting_accepts(&self) -> usize {
        self.pending.iter().filter(|signal| matches!(signal, Signal::Accepted { .. })).count()
    }

    /// Bytes of datagrams that the process has not read.
    pub(crate) fn waiting_datagram_bytes(&self) -> usize {
        let bytes =
            |signal: &Signal| if let Signal::Datagram(datagram) = signal { datagram.len() } else { 0 };
        self.pending.iter().map(bytes).sum()
    }

    /// Whether the process takes its time with what comes.
    pub(crate) fn is_slow(&self) -> bool {
        self.read_rate.is_some() || self.accept_takes.is_some()
    }

    /// The id of the next accepted connection: odd, as drivers choose them.
    pub(crate) fn next_accepted(&mut self) -> ConnId {
        self.accepted += 1;
        ConnId(2 * self.accepted - 1)
    }

    /// The address of this host's end of connection `no`.
    pub(crate) fn socket(&self, no: ConnNo) -> SocketAddr {
        let port = u16::try_from(32_768 + no % 28_000).expect("28 000 ports above 32 768 fit");
        SocketAddr::new(IpAddr::V4(self.address), port)
    }
}

/// The address of a world's first host, 10.0.0.1; the others follow.
pub(crate) const FIRST_ADDRESS: u32 = 0x0a00_0001;
