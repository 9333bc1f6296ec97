//! The world: one queue of events ordered by time and insertion, the hosts that they happen to, and the faults that
//! a scenario can cause. Everything follows from one seed.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use headwater_core::census::Census;
use headwater_core::config::Config;
use headwater_core::event::Event;
use headwater_core::io::{Command, ConnId, Endpoint, Input, Machine, Output, RequestId, Service};
use headwater_core::time::{Deadline, Now, Time, Wall};

use crate::clock::Clock;
use crate::conns::Conns;
use crate::host::{Boot, FIRST_ADDRESS, Host, Program};
use crate::http::{Answer, ClientInput, Exchange, HttpClient, Prober};
use crate::net::{Link, Links, Way};
use crate::queue::Queue;
use crate::recording::{Condition, Level, Recording, WireChange};
use crate::rng::Rng;
use crate::tcp::{ConnNo, Connection, Name, Orphan, Segment, Side, Signal, Tcp, TcpEvent, Unsent};
use crate::trace::{Entry, Trace, What};
use crate::udp::{Udp, UdpProgram, Underway};
use crate::url;
use crate::viewer::Viewer;

/// A host of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u32);

impl HostId {
    /// Its place in the world's list of hosts.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a host is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed; its kernel closes its connections in order.
    Fin,
    /// The process is killed with unread data; its kernel resets its connections.
    Reset,
    /// The power is gone: nothing is said to anybody.
    Silent,
}

/// Something that a program said.
#[derive(Clone, Debug)]
pub struct Fact {
    /// When, in the world's time.
    pub at: Time,
    /// Which host's program.
    pub host: HostId,
    /// What.
    pub event: Event,
}

/// What can happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Read { host: HostId, life: u64 },
    ShutdownOver { host: HostId, life: u64 },
    Tcp(TcpEvent),
    Timer { host: HostId },
    Datagram(Box<Underway>),
}

/// Hosts, the network between them, and time.
pub struct World {
    seed: u64,
    rng: Rng,
    pub(crate) now: Time,
    wall_start: Wall,
    queue: Queue<Happening>,
    /// Ends whose process is to hear how much has left, before anything else happens.
    pub(crate) reports: VecDeque<(ConnNo, Side)>,
    pub(crate) hosts: Vec<Host>,
    names: BTreeMap<String, HostId>,
    dns: BTreeMap<String, Option<HostId>>,
    pub(crate) links: Links,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Udp,
    pub(crate) cuts: Rng,
    pub(crate) conns: Conns,
    pub(crate) http_pool: BTreeMap<(HostId, Endpoint), ConnNo>,
    pub(crate) exchanges: BTreeMap<RequestId, Exchange>,
    pub(crate) next_request: u64,
    wakes: Rng,
    trace: Trace,
    facts: Vec<Fact>,
    dials: Vec<(Time, HostId)>,
    boots: Vec<(Time, HostId)>,
    parts: Option<Vec<Fact>>,
    pub(crate) recording: Option<Box<Recording>>,
}

/// Building.
impl World {
    /// An empty world. Two worlds of one seed to which the same is done are equal in every bit.
    pub fn new(seed: u64) -> World {
        let rng = Rng::new(seed);
        World {
            seed,
            now: Time::ZERO,
            wall_start: World::wall_start(seed),
            queue: Queue::new(),
            reports: VecDeque::new(),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            dns: BTreeMap::new(),
            links: Links::new(rng.fork("links")),
            tcp: Tcp::default(),
            udp: Udp::default(),
            cuts: rng.fork("cuts"),
            conns: Conns::default(),
            http_pool: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            next_request: 0,
            wakes: rng.fork("wakes"),
            trace: Trace::new(),
            facts: Vec::new(),
            dials: Vec::new(),
            boots: Vec::new(),
            parts: None,
            recording: None,
            rng,
        }
    }

    /// What every wall clock shows when a world of `seed` begins: some time of some day.
    pub fn wall_start(seed: u64) -> Wall {
        let phase = Rng::new(seed).fork("wall clock").below(86_400_000_000);
        Wall::from_micros(WALL_START_US + i64::try_from(phase).unwrap_or(0))
    }

    /// Keeps from now on what [`page`](crate::page::page) shows, within bounds. What happens, and the hash of it, is
    /// the same as without.
    pub fn record(&mut self) {
        self.recording = Some(Box::new(Recording::new()));
        let all: Vec<HostId> = self.hosts().collect();
        all.into_iter().for_each(|host| self.record_condition(host));
    }

    /// A host called `name` on which the machine of `boot` runs from now on. Its monotonic clock starts anywhere.
    pub fn host(&mut self, name: &str, boot: Boot) -> HostId {
        let mono = Time::from_micros(self.rng.fork(name).below(MONO_START_US_MAX));
        let clock = Clock::new(mono, self.wall_start);
        let program = Program::Machine { machine: None, make: boot.make };
        let host = self.add(name, clock, program, boot.listeners);
        if !boot.down {
            self.boot(host);
        }
        self.record_condition(host);
        host
    }

    /// A host called `name` on which a program that speaks UDP runs from now on. `make` makes it as that of
    /// [`Boot::new`] does. Its monotonic clock starts anywhere.
    pub fn udp_host(
        &mut self,
        name: &str,
        make: impl FnMut(u64, Now) -> Box<dyn UdpProgram> + 'static,
    ) -> HostId {
        let mono = Time::from_micros(self.rng.fork(name).below(MONO_START_US_MAX));
        let clock = Clock::new(mono, self.wall_start);
        let host =
            self.add(name, clock, Program::Udp { program: None, make: Box::new(make) }, BTreeMap::new());
        self.boot(host);
        host
    }

    /// A host on which `viewer` plays from now on. Its monotonic clock is the world's time.
    pub fn viewer(&mut self, name: &str, viewer: Viewer) -> HostId {
        let clock = Clock::new(self.now, self.wall_start);
        let host = self.add(name, clock, Program::Viewer(Box::new(viewer)), BTreeMap::new());
        self.hosts[host.index()].running = true;
        self.record_condition(host);
        self.timeout(host);
        host
    }

    /// A host from which a scenario can ask over HTTP, see [`World::get`].
    pub fn prober(&mut self, name: &str) -> HostId {
        let clock = Clock::new(self.now, self.wall_start);
        let host = self.add(name, clock, Program::Prober(Prober::default()), BTreeMap::new());
        self.hosts[host.index()].running = true;
        self.record_condition(host);
        host
    }

    /// What connects every two hosts that have no link of their own.
    pub fn link_default(&mut self, link: impl Into<Link>) {
        self.links.set_usual(link.into());
    }

    /// What connects `a` and `b`, the same in both directions.
    pub fn link(&mut self, a: HostId, b: HostId, link: impl Into<Link>) {
        let link = link.into();
        self.links.set(a, b, link);
        self.links.set(b, a, link);
    }

    /// What connects `from` to `to`, in that direction only.
    pub fn link_one_way(&mut self, from: HostId, to: HostId, link: impl Into<Link>) {
        self.links.set(from, to, link.into());
    }

    /// How streams behave from now on.
    pub fn tcp(&mut self, settings: Tcp) {
        self.tcp = settings;
    }

    /// Lets `name` mean `host`, or nothing, whatever hosts are called so.
    pub fn dns(&mut self, name: &str, host: Option<HostId>) {
        self.dns.insert(name.to_owned(), host);
    }

    fn add(
        &mut self,
        name: &str,
        mut clock: Clock,
        program: Program,
        listeners: BTreeMap<u16, Service>,
    ) -> HostId {
        let number = self.hosts.len();
        let id = HostId(u32::try_from(number).expect("a world has fewer than 2^32 hosts"));
        clock = clock.starting_at(self.now);
        let known = self.names.insert(name.to_owned(), id);
        assert!(known.is_none(), "two hosts are called {name}");
        self.hosts.push(Host::new(name, number, clock, program, listeners));
        id
    }
}

/// Running.
impl World {
    /// Lets time go by for `span`.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Lets time go by until `moment`, including what happens then.
    pub fn run_until(&mut self, moment: Time) {
        while self.step_until(moment) {}
    }

    /// Lets time go by until `done` holds, for `longest` at most. Returns whether it held.
    pub fn wait_for(&mut self, longest: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + longest;
        while !done(self) {
            if self.next_at().is_none_or(|next| next > end) {
                self.now = end;
                return done(self);
            }
            self.step();
        }
        true
    }

    /// Lets the next event happen if it is due by `moment`. Returns false if there is none; then it is `moment`.
    pub fn step_until(&mut self, moment: Time) -> bool {
        if self.next_at().is_some_and(|next| next <= moment) {
            return self.step();
        }
        self.now = self.now.max(moment);
        false
    }

    /// Lets the next event happen. Returns false if there is none.
    pub fn step(&mut self) -> bool {
        if let Some((conn, side)) = self.reports.pop_front() {
            self.tcp_report(conn, side);
            return true;
        }
        let Some((at, what)) = self.queue.pop() else { return false };
        self.now = at;
        match what {
            Happening::Read { host, life } => self.read(host, life),
            Happening::ShutdownOver { host, life } => {
                if self.hosts[host.index()].life == life {
                    self.end_process(host, Orphan::Flush);
                }
            }
            Happening::Tcp(event) => self.tcp_event(event),
            Happening::Datagram(datagram) => self.udp_arrived(*datagram),
            Happening::Timer { host } => self.timer(host, at),
        }
        true
    }

    /// When something happens next.
    fn next_at(&self) -> Option<Time> {
        if self.reports.is_empty() { self.queue.next() } else { Some(self.now) }
    }
}

/// Looking.
impl World {
    /// The seed that everything follows from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The world's own time, zero at its beginning.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What the clocks of `host` show.
    pub fn clock(&self, host: HostId) -> Now {
        self.hosts[host.index()].clock.show(self.now)
    }

    /// What `host` is called.
    pub fn name(&self, host: HostId) -> &str {
        &self.hosts[host.index()].name
    }

    /// Whether the program of `host` is alive (it may be stopped).
    pub fn is_running(&self, host: HostId) -> bool {
        self.hosts[host.index()].running
    }

    /// Whether the program of `host` is stopped where it is (SIGSTOP).
    pub fn is_paused(&self, host: HostId) -> bool {
        self.hosts[host.index()].paused
    }

    /// Every host.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> {
        (0..self.hosts.len()).map(|number| HostId(u32::try_from(number).expect("counted in u32")))
    }

    /// Connections of which at least one end is known to a kernel or a process.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// The connections that the process of `host` holds, in the order in which they were made.
    pub fn connections_of(&self, host: HostId) -> impl Iterator<Item = Connection> {
        self.seen_from(host).filter(|seen| seen.held)
    }

    /// The connections that processes hold, each as the process of this host sees it, in the order in which they were made.
    pub fn held_connections(&self) -> impl Iterator<Item = (HostId, Connection)> {
        self.conns.iter().flat_map(|(_, conn)| conn.seen(self.now)).filter(|(_, seen)| seen.held)
    }

    fn seen_from(&self, host: HostId) -> impl Iterator<Item = Connection> {
        let touched = self.conns.iter().filter(move |(_, conn)| conn.touches(host));
        let ends = touched.flat_map(|(_, conn)| conn.seen(self.now));
        ends.filter(move |(end, _)| *end == host).map(|(_, seen)| seen)
    }

    /// What the kernel of `host` has taken from its process, or from one that is dead, and was not acknowledged.
    pub fn unsent(&self, host: HostId) -> Unsent {
        self.seen_from(host).fold(Unsent::default(), |unsent, seen| {
            let bytes = seen.queued + seen.in_flight;
            Unsent { most: unsent.most.max(bytes), sum: unsent.sum + bytes }
        })
    }

    /// HTTP requests that the process of `host` has heard of and not answered.
    pub fn unanswered(&self, host: HostId) -> usize {
        self.exchanges.values().filter(|exchange| exchange.asked_of(host)).count()
    }

    /// What the machine on `host` says that it holds; nothing if none runs there.
    pub fn census(&self, host: HostId) -> Census {
        match &self.hosts[host.index()].program {
            Program::Machine { machine: Some(machine), .. } => machine.census(),
            _ => Census::default(),
        }
    }

    /// What the program of `host` speaks on `port`, if it listens there when it runs.
    pub fn service(&self, host: HostId, port: u16) -> Option<Service> {
        self.hosts[host.index()].service(port)
    }

    /// The host of this name.
    pub fn host_named(&self, name: &str) -> Option<HostId> {
        self.names.get(name).copied()
    }

    /// Keeps from now on what servers say of every part that is ready: they say it very often.
    pub fn keep_parts(&mut self) {
        self.parts.get_or_insert_default();
    }

    /// Every part that became ready since [`World::keep_parts`].
    pub fn parts(&self) -> &[Fact] {
        self.parts.as_deref().unwrap_or_default()
    }

    /// Every connection that a machine has asked for so far: when, and who.
    pub fn dials(&self) -> &[(Time, HostId)] {
        &self.dials
    }

    /// Every time that a program was started: when, and where.
    pub fn boots(&self) -> &[(Time, HostId)] {
        &self.boots
    }

    /// Whether packets get from `a` to `b` and back.
    pub fn can_talk(&self, a: HostId, b: HostId) -> bool {
        self.reaches(a, b) && self.reaches(b, a)
    }

    /// Every host on which a machine is alive.
    pub fn machines(&self) -> impl Iterator<Item = HostId> {
        let runs = |id: &HostId| {
            let host = &self.hosts[id.index()];
            host.running && matches!(host.program, Program::Machine { .. })
        };
        self.hosts().filter(runs)
    }

    /// Everything that programs said so far, in order; but not that parts are ready: there are too many of them, and
    /// what viewers got of them is in their records.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The viewer on `host`.
    ///
    /// # Panics
    /// If there is none: the scenario is wrong.
    pub fn watch(&self, host: HostId) -> &Viewer {
        match &self.hosts[host.index()].program {
            Program::Viewer(viewer) => viewer,
            _ => panic!("no viewer runs on {}", self.name(host)),
        }
    }

    /// Every viewer, with its host.
    pub fn viewers(&self) -> impl Iterator<Item = (HostId, &Viewer)> {
        self.hosts().filter_map(|id| match &self.hosts[id.index()].program {
            Program::Viewer(viewer) => Some((id, viewer.as_ref())),
            _ => None,
        })
    }

    /// The hash of everything that has happened.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// What has happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The last `lines` of the trace as text, with the seed to see it again.
    pub fn story(&self, lines: usize) -> String {
        let mut text =
            format!("seed {:#018x}, at {}, events {}\n", self.seed, Seconds(self.now), self.trace.count());
        let skip = self.trace.last().count().saturating_sub(lines);
        for entry in self.trace.last().skip(skip) {
            let line = format!(
                "{:>8} {} {}: {:?}\n",
                entry.number,
                Seconds(entry.at),
                self.name(entry.host),
                entry.what
            );
            text.push_str(&line);
        }
        text
    }
}

/// Asking over HTTP.
impl World {
    /// Lets the prober on `host` ask for `url`; returns the number under which the answer will be.
    ///
    /// # Panics
    /// If there is no prober, or the URL is not one: the scenario is wrong.
    pub fn get(&mut self, host: HostId, url: &str) -> u64 {
        let (to, request) = url::request(url).expect("a scenario asks for a URL");
        let Program::Prober(prober) = &mut self.hosts[host.index()].program else {
            panic!("no prober runs on {}", self.name(host));
        };
        let id = prober.get(to, request);
        self.drain_client(host);
        id
    }

    /// Lets the prober on `host` give up request `id`.
    pub fn abandon(&mut self, host: HostId, id: u64) {
        self.http_output(host, crate::http::ClientOutput::Abandon { id });
    }

    /// The answer to request `id` of the prober on `host`, once it is there.
    pub fn answer(&self, host: HostId, id: u64) -> Option<&Answer> {
        match &self.hosts[host.index()].program {
            Program::Prober(prober) => prober.answer(id),
            _ => None,
        }
    }
}

/// Faults.
impl World {
    /// Ends the program of `host` at once. It stays down until [`World::restart`].
    pub fn crash(&mut self, host: HostId, how: Crash) {
        self.note(host, What::Fault(format!("crash {how:?}")));
        match how {
            Crash::Fin => self.end_process(host, Orphan::Fin),
            Crash::Reset => self.end_process(host, Orphan::Rst),
            Crash::Silent => {
                self.end_process(host, Orphan::Silence);
                self.hosts[host.index()].powered = false;
            }
        }
        self.record_condition(host);
    }

    /// Starts the program of `host` anew; if it is alive it is killed first.
    ///
    /// # Panics
    /// If a viewer or a prober runs there: they are not started twice.
    pub fn restart(&mut self, host: HostId) {
        self.note(host, What::Fault("restart".to_owned()));
        if self.hosts[host.index()].running {
            self.end_process(host, Orphan::Rst);
        }
        self.boot(host);
    }

    /// Asks the program of `host` to stop in order. It is ended when it has nothing left to send, or after
    /// [`SHUTDOWN_GRACE`].
    pub fn shutdown(&mut self, host: HostId) {
        self.note(host, What::Fault("shutdown".to_owned()));
        if !self.hosts[host.index()].running {
            return;
        }
        let life = self.hosts[host.index()].life;
        self.wind_up(host);
        self.signal(host, life, Signal::Asked(Command::Shutdown));
    }

    /// Gives the program of `host` another configuration (SIGHUP).
    pub fn configure(&mut self, host: HostId, config: Config) {
        self.note(host, What::Fault("reload".to_owned()));
        let life = self.hosts[host.index()].life;
        self.signal(host, life, Signal::Asked(Command::Configure(Box::new(config))));
    }

    /// The program takes nothing more in, and is ended when it has sent what is queued.
    fn wind_up(&mut self, host: HostId) {
        let life = self.hosts[host.index()].life;
        self.hosts[host.index()].stopping = true;
        self.record_condition(host);
        self.schedule(self.now + SHUTDOWN_GRACE, Happening::ShutdownOver { host, life });
    }

    /// Asks the program of `host` to go when nobody needs it (SIGTERM). It accepts until it says that it is done; then it is
    /// ended as by [`World::shutdown`].
    pub fn ask_to_go(&mut self, host: HostId) {
        self.note(host, What::Fault("drain".to_owned()));
        let life = self.hosts[host.index()].life;
        self.signal(host, life, Signal::Asked(Command::Drain));
    }

    /// Stops the program of `host` (SIGSTOP). Its kernel goes on: it accepts and acknowledges until its buffers
    /// are full. Both clocks go on.
    pub fn pause(&mut self, host: HostId) {
        self.note(host, What::Fault("pause".to_owned()));
        self.hosts[host.index()].paused = true;
        self.record_condition(host);
    }

    /// Lets the stopped program of `host` go on (SIGCONT): it finds everything that came in the meantime.
    pub fn resume(&mut self, host: HostId) {
        self.note(host, What::Fault("resume".to_owned()));
        if !core::mem::take(&mut self.hosts[host.index()].paused) {
            return;
        }
        self.record_condition(host);
        // Whether a program that wakes up looks at its timers or at its sockets first is chance.
        if self.wakes.below(2) == 0 {
            self.timeout_if_due(host);
        }
        let life = self.hosts[host.index()].life;
        self.read(host, life);
        self.timeout_if_due(host);
    }

    /// Lets the program of `host` read at most `rate` bytes per second; as fast as it can if none. One that does so
    /// already is left alone.
    pub fn read_rate(&mut self, host: HostId, rate: Option<u64>) {
        if self.hosts[host.index()].read_rate == rate {
            return;
        }
        self.note(host, What::Fault(format!("read rate {rate:?}")));
        self.hosts[host.index()].read_rate = rate;
        let life = self.hosts[host.index()].life;
        self.read(host, life);
    }

    /// Lets the program of `host` be busy for `takes` with each connection that it accepts. What comes meanwhile
    /// waits; when as many connections wait as [`Tcp::backlog`] says, the kernel answers no more of them.
    pub fn accept_takes(&mut self, host: HostId, takes: Option<Duration>) {
        self.note(host, What::Fault(format!("accepting takes {takes:?}")));
        self.hosts[host.index()].accept_takes = takes;
        let life = self.hosts[host.index()].life;
        self.read(host, life);
    }

    /// Moves the wall clock of `host` by `us` microseconds.
    pub fn step_clock(&mut self, host: HostId, us: i64) {
        self.note(host, What::Fault(format!("wall clock {us:+} us")));
        self.hosts[host.index()].clock.step_wall(us);
    }

    /// Lets both clocks of `host` run `ppm` millionths too fast from now on; negative for too slow.
    pub fn drift(&mut self, host: HostId, ppm: i32) {
        self.note(host, What::Fault(format!("drift {ppm:+} ppm")));
        let now = self.now;
        self.hosts[host.index()].clock.set_drift(now, ppm);
        self.hosts[host.index()].timer = None;
        self.arm(host);
    }

    /// Cuts the wires between `a` and `b`, in both directions.
    pub fn partition(&mut self, a: HostId, b: HostId) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// Cuts the wire from `from` to `to`; the other direction is left as it is.
    pub fn partition_one_way(&mut self, from: HostId, to: HostId) {
        self.note(from, What::Fault(format!("cut to {}", self.name(to))));
        self.set_way(from, to, Way::Cut);
        self.tcp_cut(from, to);
        self.udp_cut(from, to);
    }

    /// Mends whatever is cut or held between `a` and `b`. What was lost comes with the next retransmission, what
    /// was held comes at once. Wires that are well are left alone.
    pub fn heal(&mut self, a: HostId, b: HostId) {
        if [(a, b), (b, a)].iter().all(|(from, to)| self.links.way(*from, *to) == Way::Open) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            let held = self.links.way(from, to) == Way::Held;
            self.set_way(from, to, Way::Open);
            if held {
                self.tcp_release(from, to);
                self.udp_release(from, to);
            }
        }
        self.note(a, What::Fault(format!("heal to {}", self.name(b))));
    }

    /// Cuts every wire of `host`: as if its cable was pulled.
    pub fn isolate(&mut self, host: HostId) {
        for other in self.others(host) {
            self.partition(host, other);
        }
    }

    /// Mends every wire of `host`.
    pub fn rejoin(&mut self, host: HostId) {
        for other in self.others(host) {
            self.heal(host, other);
        }
    }

    /// Keeps back whatever travels between `a` and `b`, in both directions, until [`World::heal`].
    pub fn hold(&mut self, a: HostId, b: HostId) {
        self.note(a, What::Fault(format!("hold to {}", self.name(b))));
        self.set_way(a, b, Way::Held);
        self.set_way(b, a, Way::Held);
    }

    fn others(&self, host: HostId) -> Vec<HostId> {
        self.hosts().filter(|other| *other != host).collect()
    }

    fn set_way(&mut self, from: HostId, to: HostId, way: Way) {
        self.links.set_way(from, to, way);
        if let Some(recording) = &mut self.recording {
            recording.wire(WireChange { at: self.now, from, to, way });
        }
    }
}

/// The engine.
impl World {
    pub(crate) fn schedule(&mut self, at: Time, what: Happening) {
        self.queue.push(at.max(self.now), what);
    }

    pub(crate) fn note(&mut self, host: HostId, what: What) {
        if let Some(recording) = &mut self.recording {
            recording.entry(Entry { number: self.trace.count(), at: self.now, host, what: what.clone() });
        }
        self.trace.add(self.now, host, what);
    }

    pub(crate) fn resolve(&self, name: &str) -> Option<HostId> {
        if let Some(overridden) = self.dns.get(name) {
            return *overridden;
        }
        let by_address = || {
            let address: Ipv4Addr = name.parse().ok()?;
            let number = u32::from(address).checked_sub(FIRST_ADDRESS)?;
            (u64::from(number) < self.hosts.len() as u64).then_some(HostId(number))
        };
        self.names.get(name).copied().or_else(by_address)
    }

    /// Whether a packet that leaves now finds a kernel at the other end.
    pub(crate) fn reaches(&self, from: HostId, to: HostId) -> bool {
        self.links.way(from, to) == Way::Open && self.hosts[to.index()].powered
    }

    /// The kernel of `host` has something for the process that lived when the thing began.
    pub(crate) fn signal(&mut self, id: HostId, life: u64, signal: Signal) {
        let now = self.now;
        let host = &mut self.hosts[id.index()];
        if !host.running || host.life != life {
            return;
        }
        let busy = host.is_slow() && host.read_free_at > now;
        if host.paused || busy || !host.pending.is_empty() {
            host.pending.push_back(signal);
            return self.read_later(id);
        }
        self.take(id, signal);
    }

    /// Lets the process read what has been waiting for it.
    fn read(&mut self, id: HostId, life: u64) {
        self.hosts[id.index()].reading = false;
        loop {
            let now = self.now;
            let host = &mut self.hosts[id.index()];
            if !host.running || host.paused || host.life != life {
                return;
            }
            if host.is_slow() && host.read_free_at > now {
                return self.read_later(id);
            }
            let Some(signal) = host.pending.pop_front() else { return };
            let read_from = signal.stream();
            self.take(id, signal);
            if let Some((conn, side)) = read_from {
                self.tcp_ack(conn, side, None);
            }
        }
    }

    fn read_later(&mut self, id: HostId) {
        let host = &mut self.hosts[id.index()];
        if host.paused || host.reading || !host.is_slow() {
            return;
        }
        host.reading = true;
        let (at, life) = (host.read_free_at, host.life);
        self.schedule(at, Happening::Read { host: id, life });
    }

    fn take(&mut self, id: HostId, signal: Signal) {
        let host = &mut self.hosts[id.index()];
        let bytes = match &signal {
            Signal::Arrived { segment: Segment::Data(bytes), .. } => bytes.len(),
            Signal::Datagram(datagram) => datagram.len(),
            _ => 0,
        };
        let busy = match (&signal, host.read_rate, host.accept_takes) {
            (Signal::Accepted { .. }, _, Some(takes)) => takes,
            (_, Some(rate), _) => {
                Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate.max(1))
            }
            _ => Duration::ZERO,
        };
        if !busy.is_zero() {
            host.read_free_at = self.now.max(host.read_free_at) + busy;
        }
        self.tcp_signal(id, signal);
    }

    /// Gives the machine of `id` an input and does what it wants done.
    pub(crate) fn feed(&mut self, id: HostId, input: Input) {
        let now = self.clock(id);
        let Some(mut machine) = self.take_machine(id) else { return };
        machine.handle(now, input);
        self.drain(id, machine);
    }

    fn take_machine(&mut self, id: HostId) -> Option<Box<dyn Machine>> {
        match &mut self.hosts[id.index()].program {
            Program::Machine { machine, .. } => machine.take(),
            _ => None,
        }
    }

    fn drain(&mut self, id: HostId, mut machine: Box<dyn Machine>) {
        let mut written: Vec<(ConnNo, Side)> = Vec::new();
        let mut outputs = 0;
        while let Some(output) = machine.poll_output() {
            outputs += 1;
            assert!(outputs < OUTPUTS_MAX, "{} gives output without end", self.name(id));
            self.carry_out(id, output, &mut written);
        }
        if let Program::Machine { machine: slot, .. } = &mut self.hosts[id.index()].program {
            *slot = Some(machine);
        }
        for (no, side) in written {
            self.tcp_pump(no, side);
        }
        self.arm(id);
        self.end_if_stopped(id);
    }

    fn carry_out(&mut self, id: HostId, output: Output, written: &mut Vec<(ConnNo, Side)>) {
        match output {
            Output::Close { conn, how } => {
                if let Some((no, side)) = self.hosts[id.index()].conns.remove(&conn) {
                    self.tcp_close(no, side, how);
                }
            }
            Output::Done => self.wind_up(id),
            Output::Event(event) => {
                if matches!(event, Event::PartReady { .. }) {
                    if let Some(parts) = &mut self.parts {
                        parts.push(Fact { at: self.now, host: id, event: event.clone() });
                    }
                } else {
                    self.facts.push(Fact { at: self.now, host: id, event: event.clone() });
                }
                self.note(id, What::Event(event));
            }
            Output::Open { conn, to } => self.open(id, conn, &to),
            // See `redis::WithStore`.
            Output::Registry { .. } => panic!("a machine that asks a directory runs behind its client"),
            Output::Respond { id: request, response } => self.http_respond(id, request, response),
            Output::Write { conn, bytes } => {
                let Some(end) = self.hosts[id.index()].conns.get(&conn).copied() else { return };
                if !bytes.is_empty() {
                    self.tcp_write(end.0, end.1, Segment::Data(bytes));
                }
                if written.last() != Some(&end) {
                    written.push(end);
                }
            }
        }
    }

    fn open(&mut self, id: HostId, conn: ConnId, to: &Endpoint) {
        assert!(
            conn.0.is_multiple_of(2),
            "{} opened {conn:?}: ids of opened connections are even",
            self.name(id)
        );
        let no = self.tcp_open(id, Name::Machine(conn), to);
        self.dials.push((self.now, id));
        let earlier = self.hosts[id.index()].conns.insert(conn, (no, Side::Client));
        assert!(earlier.is_none(), "{} opened {conn:?} twice", self.name(id));
    }

    pub(crate) fn feed_client(&mut self, id: HostId, input: ClientInput) {
        let now = self.clock(id);
        if let Some(client) = self.client(id) {
            client.handle(now, input);
        }
        self.drain_client(id);
    }

    fn client(&mut self, id: HostId) -> Option<&mut dyn HttpClient> {
        let host = &mut self.hosts[id.index()];
        if host.running { host.program.client() } else { None }
    }

    fn drain_client(&mut self, id: HostId) {
        let mut outputs = 0;
        while let Some(output) = self.client(id).and_then(HttpClient::poll_output) {
            outputs += 1;
            assert!(outputs < OUTPUTS_MAX, "{} asks without end", self.name(id));
            self.http_output(id, output);
        }
        self.record_level(id);
        self.arm(id);
    }

    fn deadline(&mut self, id: HostId) -> Option<Deadline> {
        let host = &mut self.hosts[id.index()];
        if !host.running {
            return None;
        }
        match &mut host.program {
            Program::Machine { machine, .. } => machine.as_ref()?.poll_timeout(),
            Program::Udp { program, .. } => program.as_ref()?.poll_timeout(),
            program => program.client()?.poll_timeout(),
        }
    }

    /// Sees to it that the host's next deadline is in the queue.
    pub(crate) fn arm(&mut self, id: HostId) {
        let Some(deadline) = self.deadline(id) else { return };
        let host = &mut self.hosts[id.index()];
        let at = host.clock.moment_of(deadline.at).max(self.now);
        if host.timer.is_none_or(|timer| at < timer) {
            host.timer = Some(at);
            self.schedule(at, Happening::Timer { host: id });
        }
    }

    fn timer(&mut self, id: HostId, at: Time) {
        let host = &mut self.hosts[id.index()];
        if host.timer != Some(at) {
            return;
        }
        host.timer = None;
        if !host.paused {
            self.timeout_if_due(id);
        }
    }

    fn timeout_if_due(&mut self, id: HostId) {
        let now = self.clock(id);
        match self.deadline(id) {
            Some(deadline) if deadline.at <= now.mono => {
                self.note(id, What::Timeout(deadline.why));
                self.count_spin(id, deadline);
                self.timeout(id);
            }
            Some(_) => self.arm(id),
            None => {}
        }
    }

    fn count_spin(&mut self, id: HostId, deadline: Deadline) {
        let now = self.now;
        let host = &mut self.hosts[id.index()];
        host.spins = if host.spins.0 == now { (now, host.spins.1 + 1) } else { (now, 0) };
        assert!(host.spins.1 < SPINS_MAX, "{} never gets done with \"{}\"", host.name, deadline.why);
    }

    fn timeout(&mut self, id: HostId) {
        let now = self.clock(id);
        if let Some(client) = self.client(id) {
            client.handle_timeout(now);
            return self.drain_client(id);
        }
        if let Some(program) = self.udp_program(id) {
            program.handle_timeout(now);
            return self.udp_drain(id);
        }
        if let Some(mut machine) = self.take_machine(id) {
            machine.handle_timeout(now);
            self.drain(id, machine);
        }
    }

    fn boot(&mut self, id: HostId) {
        let now = self.clock(id);
        let host = &mut self.hosts[id.index()];
        let mut seeds = self.rng.fork(&host.name).fork("boot");
        let seed = (0..=host.life).map(|_| seeds.number()).last().unwrap_or(0);
        host.powered = true;
        host.running = true;
        self.boots.push((self.now, id));
        self.record_condition(id);
        match &mut self.hosts[id.index()].program {
            Program::Machine { make, .. } => {
                let machine = make(seed, now);
                self.drain(id, machine);
            }
            Program::Udp { program, make } => {
                *program = Some(make(seed, now));
                self.udp_drain(id);
            }
            Program::Prober(_) | Program::Viewer(_) => {
                panic!("{} is not a machine and cannot be started again", self.name(id));
            }
        }
    }

    fn end_process(&mut self, id: HostId, how: Orphan) {
        let host = &mut self.hosts[id.index()];
        if !host.running {
            return;
        }
        let life = host.life;
        host.running = false;
        host.paused = false;
        host.stopping = false;
        host.life += 1;
        host.pending.clear();
        host.conns.clear();
        host.timer = None;
        host.reading = false;
        self.record_condition(id);
        self.take_machine(id);
        if let Program::Udp { program, .. } = &mut self.hosts[id.index()].program {
            *program = None;
            self.udp_unbind_all(id);
        }
        let mut orphans = Vec::new();
        for (no, conn) in self.conns.iter() {
            for side in [Side::Client, Side::Server] {
                if conn.end_at(side).is_some_and(|end| end.host == id && end.life == life) {
                    orphans.push((no, side));
                }
            }
        }
        for (no, side) in orphans {
            self.tcp_orphan(no, side, how);
        }
        self.http_forget_server(id);
        self.http_forget_client(id);
    }

    /// Ends a process that was asked to stop and has nothing left to send.
    fn end_if_stopped(&mut self, id: HostId) {
        let host = &self.hosts[id.index()];
        if !host.stopping || !host.conns.is_empty() || !host.pending.is_empty() {
            return;
        }
        let asked = |exchange: &Exchange| exchange.asked_of(id);
        if !self.exchanges.values().any(asked) {
            self.end_process(id, Orphan::Flush);
        }
    }
}

/// For the recording, if there is one.
impl World {
    fn record_condition(&mut self, id: HostId) {
        let Some(recording) = &mut self.recording else { return };
        let host = &self.hosts[id.index()];
        let condition = match host {
            Host { powered: false, .. } => Condition::Dark,
            Host { running: false, .. } => Condition::Down,
            Host { paused: true, .. } => Condition::Paused,
            Host { stopping: true, .. } => Condition::Stopping,
            _ => Condition::Running,
        };
        recording.condition(self.now, id, condition);
        self.record_level(id);
    }

    fn record_level(&mut self, id: HostId) {
        let Some(recording) = &mut self.recording else { return };
        let host = &self.hosts[id.index()];
        if let Program::Viewer(viewer) = &host.program {
            let now = host.clock.show(self.now).mono;
            // What a player that was closed had in its buffer nobody will see.
            let ahead = if host.running { viewer.buffered(now) } else { Duration::ZERO };
            let level = Level { at: self.now, ahead, playing: host.running && viewer.is_playing() };
            recording.level(id, level);
        }
    }
}

struct Seconds(Time);

impl core::fmt::Display for Seconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:>4}.{:06} s", self.0.as_micros() / 1_000_000, self.0.as_micros() % 1_000_000)
    }
}

/// How long a program may take to stop when it is asked to.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// The wall clocks of a world start on the day that begins here: 2026-11-21T00:00:00Z.
const WALL_START_US: i64 = 1_795_219_200_000_000;
/// Monotonic clocks start below this: no program may think that they start at zero.
const MONO_START_US_MAX: u64 = 1_000_000_000;
/// More outputs to one input than this are an endless loop.
pub(crate) const OUTPUTS_MAX: u32 = 1_000_000;
/// More deadlines than this without time going by are an endless loop.
const SPINS_MAX: u32 = 10_000;
