//! Datagrams between hosts: lost, late, twice or not at all, as the wires will have it, and never in pieces.
//!
//! Models that speak a protocol over UDP are [`UdpProgram`]s. What is modelled after Linux: a datagram for a port that
//! nobody has bound, or for a host without power, is lost without a word; one that is longer than the link's MTU is
//! lost too (its sender set "don't fragment"); the kernel of a stopped process keeps as much as a socket buffer holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bytes::Bytes;
use headwater_core::io::Endpoint;
use headwater_core::time::{Deadline, Now, Time};

use crate::host::Program;
use crate::net::Way;
use crate::recording::{Cargo, Flow, Message};
use crate::tcp::Signal;
use crate::trace::{Hash64, What};
use crate::world::{Happening, HostId, OUTPUTS_MAX, World};

/// A program that speaks UDP. The contract is that of [`headwater_core::io::Machine`]: after every `handle` and
/// `handle_timeout`, `poll_output` is called until it returns `None`.
pub trait UdpProgram {
    /// A datagram came to a port that it has bound.
    fn handle(&mut self, now: Now, datagram: Datagram);
    /// A deadline may have passed.
    fn handle_timeout(&mut self, now: Now);
    /// The next wish.
    fn poll_output(&mut self) -> Option<UdpOutput>;
    /// When `handle_timeout` has work.
    fn poll_timeout(&self) -> Option<Deadline>;
}

/// A datagram as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it; an answer goes to [`Datagram::sender`].
    pub from: SocketAddr,
    /// The port to which it was sent.
    pub port: u16,
    /// What is in it.
    pub bytes: Bytes,
}

impl Datagram {
    /// Where an answer is to be sent.
    pub fn sender(&self) -> Endpoint {
        Endpoint { host: self.from.ip().to_string(), port: self.from.port() }
    }
}

/// What a program wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpOutput {
    /// Hear what is sent to this port from now on.
    Bind(u16),
    /// Hear no more of it.
    Unbind(u16),
    /// Send a datagram.
    Send {
        /// The port that it comes from; it need not be bound.
        from: u16,
        /// Whom to: a name or an address.
        to: Endpoint,
        /// What; at most [`PAYLOAD_MAX`] bytes.
        bytes: Bytes,
    },
}

/// How a [`UdpProgram`] comes to life: from a seed, which differs from boot to boot, and the time of its host.
pub(crate) type MakeUdp = Box<dyn FnMut(u64, Now) -> Box<dyn UdpProgram>>;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Underway {
    from: (HostId, u16),
    to: (HostId, u16),
    bytes: Bytes,
}

impl Underway {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// What the kernels of all hosts know about UDP.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    bound: BTreeSet<(HostId, u16)>,
    /// What held ways keep back, in the order in which it was sent.
    held: BTreeMap<(HostId, HostId), Vec<Underway>>,
}

impl World {
    pub(crate) fn udp_drain(&mut self, id: HostId) {
        let mut outputs = 0;
        while let Some(output) = self.udp_program(id).and_then(|program| program.poll_output()) {
            outputs += 1;
            assert!(outputs < OUTPUTS_MAX, "{} gives output without end", self.name(id));
            match output {
                UdpOutput::Bind(port) => {
                    self.udp.bound.insert((id, port));
                }
                UdpOutput::Unbind(port) => {
                    self.udp.bound.remove(&(id, port));
                }
                UdpOutput::Send { from, to, bytes } => self.udp_send(id, from, &to, bytes),
            }
        }
        self.arm(id);
    }

    pub(crate) fn udp_program(&mut self, id: HostId) -> Option<&mut dyn UdpProgram> {
        match &mut self.hosts[id.index()].program {
            Program::Udp { program: Some(program), .. } => Some(program.as_mut()),
            _ => None,
        }
    }

    fn udp_send(&mut self, id: HostId, port: u16, to: &Endpoint, bytes: Bytes) {
        let len = bytes.len();
        assert!(len <= PAYLOAD_MAX, "{} sends {len} bytes in one datagram", self.name(id));
        let Some(host) = self.resolve(&to.host) else { return };
        self.udp_transmit(Underway { from: (id, port), to: (host, to.port), bytes });
    }

    fn udp_transmit(&mut self, datagram: Underway) {
        let (from, to) = (datagram.from.0, datagram.to.0);
        match self.links.way(from, to) {
            Way::Cut => self.record_datagram(&datagram, None),
            Way::Held => {
                self.record_datagram(&datagram, None);
                let held = self.udp.held.entry((from, to)).or_default();
                if held.len() < HELD_MAX {
                    held.push(datagram);
                }
            }
            Way::Open => {
                let wire = self.links.wire(from, to);
                let arrivals = self.links.datagram(self.now(), wire, datagram.len() + HEADER_BYTES);
                self.record_datagram(&datagram, arrivals.iter().copied().flatten().min());
                for at in arrivals.into_iter().flatten() {
                    self.schedule(at, Happening::Datagram(Box::new(datagram.clone())));
                }
            }
        }
    }

    /// For the recording, if there is one. `arrived` is when it will be there, none if it is lost or held.
    fn record_datagram(&mut self, datagram: &Underway, arrived: Option<Time>) {
        let Some(recording) = &mut self.recording else { return };
        let (sent, from, to) = (self.now, datagram.from.0, datagram.to.0);
        let (flow, cargo, bytes) = (Flow::Datagrams(from, to), Cargo::Datagram, datagram.len() as u64);
        recording.message(Message { sent, last_sent: sent, arrived, from, to, flow, cargo, bytes, count: 1 });
    }

    /// A datagram has come to a host.
    pub(crate) fn udp_arrived(&mut self, datagram: Underway) {
        let to = datagram.to.0;
        let host = &self.hosts[to.index()];
        if !host.powered || !self.udp.bound.contains(&datagram.to) {
            return;
        }
        if host.waiting_datagram_bytes() + datagram.len() <= SOCKET_BUFFER_BYTES {
            let life = host.life;
            self.signal(to, life, Signal::Datagram(Box::new(datagram)));
        }
    }

    /// The process reads a datagram.
    pub(crate) fn udp_give(&mut self, id: HostId, datagram: Underway) {
        let Underway { from: (sender, port), to, bytes } = datagram;
        if !self.udp.bound.contains(&to) {
            return;
        }
        let from = SocketAddr::new(self.hosts[sender.index()].address.into(), port);
        self.note(id, What::Datagram(from, to.1, bytes.len(), Hash64::of(&bytes)));
        let now = self.clock(id);
        if let Some(program) = self.udp_program(id) {
            program.handle(now, Datagram { from, port: to.1, bytes });
            self.udp_drain(id);
        }
    }

    /// Lets go of what a held way kept back.
    pub(crate) fn udp_release(&mut self, from: HostId, to: HostId) {
        for datagram in self.udp.held.remove(&(from, to)).unwrap_or_default() {
            self.udp_transmit(datagram);
        }
    }

    /// A held way was cut: what it kept back is lost.
    pub(crate) fn udp_cut(&mut self, from: HostId, to: HostId) {
        self.udp.held.remove(&(from, to));
    }

    /// The process is dead: its ports are free.
    pub(crate) fn udp_unbind_all(&mut self, id: HostId) {
        self.udp.bound.retain(|(host, _)| *host != id);
    }
}

/// The longest payload of a datagram over IPv4, in bytes.
pub const PAYLOAD_MAX: usize = 65_507;
/// What IPv4 and UDP put before a payload, in bytes.
pub const HEADER_BYTES: usize = 28;
/// What a kernel keeps for a process that does not read (Linux: net.core.rmem_default).
const SOCKET_BUFFER_BYTES: usize = 212_992;
/// What a held way keeps; the rest is lost.
const HELD_MAX: usize = 100_000;
