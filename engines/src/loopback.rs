//! The machine itself: every server of a script is a `headwater serve` process with an address of its own on
//! loopback; encoders and viewers are the models of the simulator, over real sockets in this process.
//!
//! What is measured here is what nobody has modelled: the kernel's TCP, the start of processes, the scheduler.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use headwater_core::time::Time;
use headwater_net_real::tokio::TokioNet;
use headwater_net_sim::Viewer;
use headwater_net_sim::encoder::{Source, Target};
use headwater_scenarios::cluster::master_url;
use headwater_scenarios::facts::{Did, Fact, host_of};
use headwater_scenarios::script::{Act, Crash, Edge, Origin, Script};
use headwater_scenarios::servers::{OVT_PORT, ServerXml};
use headwater_scenarios::{encoders, script};
use headwater_tests::binary::headwater;
use headwater_tests::machine;
use headwater_tests::process::Process;
use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::sleep;

use crate::hosts::{self, Moment, Shared};
use crate::outcome::{Outcome, Usage};
use crate::stage::{Stage, Unsupported, is_mishap, perform};
use crate::wires::Wires;

/// Plays the faults of `script`, as long as they take.
///
/// # Errors
/// If the script is not supported, a process cannot be started, or it ends by itself.
pub fn play(script: &Script) -> Result<Outcome> {
    supports(script)?;
    perform(script, &mut Machine::start(script)?)
}

/// Whether this machine can play all of `script`.
///
/// # Errors
/// What it cannot play.
pub fn supports(script: &Script) -> Result<(), Unsupported> {
    let servers = script.origins.len() + script.edges.len();
    let link = (script.link.latency_ms, script.link.jitter_ms, script.link.loss_ppm);
    if link != (0, 0, 0) || servers > SERVERS_MAX {
        let what = if servers > SERVERS_MAX { "too many servers" } else { WIRES };
        return Err(Unsupported { engine: ENGINE, what: what.to_owned() });
    }
    if !script.strangers.is_empty() {
        return Err(Unsupported { engine: ENGINE, what: "it has no strangers".to_owned() });
    }
    let is_encoder = |host: &str| script.encoders.iter().any(|encoder| encoder.name == host);
    Unsupported::look(ENGINE, script, |act| match act {
        Act::Crash { how: Crash::Silent, .. } => Some("it cannot take a process's power"),
        // Whether the kernel closes or resets depends on what the dead process had not read.
        Act::Crash { .. } | Act::Restart { .. } => None,
        Act::Drain { host } | Act::Stop { host } | Act::Pause { host } | Act::Resume { host } => {
            is_encoder(host).then_some("encoders are no processes")
        }
        act if is_mishap(act) => None,
        Act::StepClock { .. } | Act::Drift { .. } => Some("all hosts have the same clock"),
        Act::ReadRate { .. } => Some("a program reads as fast as it can"),
        Act::Dns { .. } => Some("hosts are known by their addresses"),
        act if is_cut(act) => (!Wires::are_allowed()).then_some("it needs root and `ip` to cut wires"),
        Act::Empty { .. } | Act::Promote { .. } | Act::Slow { .. } => Some("its store is a Redis as it is"),
        _ => Some(WIRES),
    })
}

/// Whether an act drops packets, or no longer does.
fn is_cut(act: &Act) -> bool {
    matches!(
        act,
        Act::Cut { .. } | Act::CutOneWay { .. } | Act::Heal { .. } | Act::Isolate { .. } | Act::Rejoin { .. }
    )
}

/// The hosts of a script on this machine.
struct Machine {
    seed: u64,
    /// When the script began, by the clock of everybody's log.
    zero: SystemTime,
    /// The directories.
    _stores: Vec<Process>,
    runtime: Runtime,
    tasks: LocalSet,
    moment: Moment,
    servers: BTreeMap<String, Server>,
    encoders: BTreeMap<String, Encoder>,
    edges: Vec<String>,
    viewers: Vec<(String, Shared<Viewer>)>,
    answers: Shared<Vec<(String, u16)>>,
    usage: Shared<Vec<Usage>>,
    place: Place,
}

struct Server {
    address: String,
    config: PathBuf,
    variables: Vec<(&'static str, String)>,
    process: Process,
}

struct Encoder {
    source: Source,
    targets: Vec<Target>,
    boot: u64,
    task: JoinHandle<()>,
}

impl Machine {
    fn start(script: &Script) -> Result<Machine> {
        let names = script.origins.iter().map(|origin| &origin.name);
        let names = names.chain(script.edges.iter().map(|edge| &edge.name));
        let names: Vec<&str> =
            names.chain(script.stores.iter().map(|store| &store.name)).map(String::as_str).collect();
        let wires =
            script.steps.iter().any(|step| is_cut(&step.act)).then(|| Wires::lay(&names)).transpose()?;
        let place = Place::new(&names, wires)?;
        let addresses = place.addresses.clone();
        let address = |name: &str| addresses.get(name).cloned().unwrap_or_default();
        let start_store = |store: &script::Store| place.start_store(&store.name);
        let stores = script.stores.iter().map(start_store).collect::<Result<Vec<Process>>>()?;
        let mut servers = BTreeMap::new();
        for origin in &script.origins {
            let at = address(&origin.name);
            // What it announces is its name, by which nobody is found here.
            let store = origin.store.as_deref().map(address);
            let xml = ServerXml::origin(&Origin { name: at.clone(), store, ..origin.clone() }, &at);
            servers.insert(origin.name.clone(), place.start(&origin.name, xml)?);
        }
        for edge in &script.edges {
            let edge = Edge { store: edge.store.as_deref().map(address), ..edge.clone() };
            let xml = ServerXml::edge(&edge, &address(&edge.name), address);
            servers.insert(edge.name.clone(), place.start(&edge.name, xml)?);
        }
        for (name, server) in &mut servers {
            server.wait_until_ready(name)?;
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let moment = runtime.block_on(async { Moment::new(script.seed, Duration::ZERO) });
        let zero = SystemTime::now();
        let mut machine = Machine {
            seed: script.seed,
            zero,
            _stores: stores,
            runtime,
            tasks: LocalSet::new(),
            moment,
            servers,
            encoders: BTreeMap::new(),
            edges: script.edges.iter().map(|edge| edge.name.clone()).collect(),
            viewers: Vec::new(),
            answers: Shared::default(),
            usage: Shared::default(),
            place,
        };
        machine.take_samples();
        for plan in &script.encoders {
            let (source, targets) = (encoders::source(script, plan), encoders::targets(plan, address));
            machine.start_encoder(&plan.name, 1, source, targets);
        }
        for plan in &script.viewers {
            machine.start_viewers(plan, &address(&plan.server));
        }
        for plan in script.pollers.iter().cloned() {
            let (server, answers) = (address(&plan.server), machine.answers.clone());
            machine.tasks.spawn_local(async move {
                hosts::poller(TokioNet::default(), &plan, server, answers, moment).await;
            });
        }
        Ok(machine)
    }

    /// Looks again and again what every process has used, as long as it is there.
    fn take_samples(&self) {
        let servers = self.servers.iter().map(|(name, server)| (name.clone(), server.process.id()));
        let processes: Vec<(String, u32)> = servers.chain([(MODELS.to_owned(), process::id())]).collect();
        let (usage, moment) = (self.usage.clone(), self.moment);
        self.tasks.spawn_local(async move {
            loop {
                for (process, pid) in &processes {
                    if let (Ok(cpu), Ok(memory)) = (machine::cpu_time(*pid), machine::memory(*pid)) {
                        let (process, resident_kib) = (process.clone(), memory.resident_kib);
                        usage.borrow_mut().push(Usage { process, at: moment.now().mono, cpu, resident_kib });
                    }
                }
                sleep(SAMPLE_EVERY).await;
            }
        });
    }

    fn start_encoder(&mut self, name: &str, boot: u64, source: Source, targets: Vec<Target>) {
        let (run, seed) = (self.seed, hosts::seed(self.seed, name, boot));
        let since = Duration::from_micros(self.moment.now().mono.as_micros());
        let (produced, to) = (source.clone(), targets.clone());
        let task = self.tasks.spawn_local(async move {
            hosts::encoder(TokioNet::default(), &produced, to, seed, Moment::new(run, since)).await;
        });
        self.encoders.insert(name.to_owned(), Encoder { source, targets, boot, task });
    }

    fn start_viewers(&mut self, plan: &script::Viewer, server: &str) {
        for name in plan.names() {
            let player = Rc::new(RefCell::new(Viewer::new(&master_url(server, &plan.stream))));
            self.viewers.push((name, player.clone()));
            let (plan, moment) = (plan.clone(), self.moment);
            self.tasks.spawn_local(async move {
                hosts::viewer(TokioNet::default(), &plan, player, moment).await;
            });
        }
    }

    fn server(&mut self, host: &str) -> Result<&mut Server> {
        self.servers.get_mut(host).with_context(|| format!("there is no server {host}"))
    }
}

/// Where programs are started.
struct Place {
    /// The address of every server and store.
    addresses: BTreeMap<String, String>,
    /// What can be cut, if the script does so.
    wires: Option<Wires>,
    /// Configurations and logs.
    dir: TempDir,
}

impl Place {
    fn new(names: &[&str], wires: Option<Wires>) -> Result<Place> {
        let address = |(index, name): (usize, &&str)| match &wires {
            Some(wires) => ((*name).to_owned(), wires.address(name)),
            None => ((*name).to_owned(), format!("127.0.1.{}", index + 1)),
        };
        let addresses = names.iter().enumerate().map(address).collect();
        Ok(Place { addresses, wires, dir: tempfile::tempdir()? })
    }

    fn start(&self, name: &str, xml: ServerXml) -> Result<Server> {
        let config = self.dir.path().join(format!("{name}.xml"));
        fs::write(&config, &xml.text)?;
        let process = self.serve(name, &config, &xml.variables)?;
        Ok(Server { address: self.addresses[name].clone(), config, variables: xml.variables, process })
    }

    /// A Redis that keeps nothing on disk.
    fn start_store(&self, name: &str) -> Result<Process> {
        let mut command = self.command(name, Path::new("redis-server"));
        command.args([
            "--bind",
            &self.addresses[name],
            "--port",
            "6379",
            "--save",
            "",
            "--protected-mode",
            "no",
        ]);
        Process::start(name, command.current_dir(self.dir.path()), self.dir.path())
    }

    fn serve(&self, name: &str, config: &Path, variables: &[(&'static str, String)]) -> Result<Process> {
        let mut command = self.command(name, headwater());
        command.args(["serve", "--log-format", "json", "--config"]).arg(config).env("HEADWATER_LOG", "info");
        command.envs(variables.iter().map(|(name, value)| (*name, value)));
        Process::start(name, &mut command, self.dir.path())
    }

    /// A command that runs `program` where `name` is at home.
    fn command(&self, name: &str, program: &Path) -> Command {
        self.wires.as_ref().map_or_else(|| Command::new(program), |wires| wires.on(name, program))
    }
}

impl Server {
    fn wait_until_ready(&mut self, name: &str) -> Result<()> {
        let started = Instant::now();
        // Its own word is asked for: something else may listen on its port.
        while !self.process.log().lines().any(is_listening_for_ovt) {
            if !self.process.is_running() || started.elapsed() > READY_WITHIN {
                bail!("{name} does not listen on {}:{OVT_PORT}:\n{}", self.address, self.process.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Stage for Machine {
    fn advance(&mut self, to_ms: u64) -> Result<()> {
        let moment = self.moment;
        self.tasks.block_on(&self.runtime, async move { moment.until(to_ms).await });
        Ok(())
    }

    fn now(&self) -> Time {
        self.moment.now().mono
    }

    fn act(&mut self, act: &Act, hosts: &[String]) -> Result<()> {
        if let (true, Some(wires)) = (is_cut(act), &mut self.place.wires) {
            return cut(wires, act, hosts);
        }
        let [host] = hosts else { return Ok(()) };
        if let Some(encoder) = self.encoders.get(host) {
            match act {
                Act::Crash { .. } => encoder.task.abort(),
                Act::Restart { .. } => {
                    encoder.task.abort();
                    let (source, targets) = (encoder.source.clone(), encoder.targets.clone());
                    self.start_encoder(host, encoder.boot + 1, source, targets);
                }
                _ => {}
            }
            return Ok(());
        }
        match act {
            Act::Crash { .. } => self.server(host)?.process.kill(),
            Act::Pause { .. } => self.server(host)?.process.freeze()?,
            Act::Restart { .. } => {
                let server =
                    self.servers.get_mut(host).with_context(|| format!("there is no server {host}"))?;
                server.process.kill();
                server.process = self.place.serve(host, &server.config, &server.variables)?;
            }
            Act::Resume { .. } => self.server(host)?.process.resume()?,
            Act::Drain { .. } => self.server(host)?.process.ask_to_go()?,
            Act::Stop { .. } => self.server(host)?.process.ask_to_end()?,
            _ => {}
        }
        Ok(())
    }

    fn facts(&self) -> Vec<Fact> {
        let name = |address: &str| {
            let known = self.servers.iter().find(|(_, server)| server.address == address);
            known.map_or_else(|| address.to_owned(), |(name, _)| name.clone())
        };
        let mut facts = Vec::new();
        for edge in &self.edges {
            let log = self.servers.get(edge).map(|server| server.process.log()).unwrap_or_default();
            facts.extend(log.lines().filter_map(|line| fact(self.zero, edge, line, name)));
        }
        facts
    }

    fn outcome(&self, script: &Script) -> Outcome {
        let viewers = hosts::seen(script, &self.viewers);
        let (facts, answers) = (self.facts(), self.answers.borrow().clone());
        Outcome { first_step: None, viewers, facts, answers, usage: self.usage.borrow().clone() }
    }
}

/// Cuts wires, or puts them together again. A cable that is put back leaves no cut behind.
fn cut(wires: &mut Wires, act: &Act, hosts: &[String]) -> Result<()> {
    let (first, second) = (hosts.first().map(String::as_str), hosts.get(1).map(String::as_str));
    match act {
        Act::CutOneWay { .. } => wires.cut(first, second),
        Act::Cut { .. } | Act::Isolate { .. } => {
            wires.cut(first, second)?;
            wires.cut(second, first)
        }
        _ => {
            wires.heal(first, second)?;
            wires.heal(second, first)
        }
    }
}

fn is_listening_for_ovt(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line["event"] == "listening" && line["service"] == "Ovt"
}

/// What a line of an edge's log says of its source, if it does.
fn fact(zero: SystemTime, edge: &str, line: &str, server: impl Fn(&str) -> String) -> Option<Fact> {
    let line: Value = serde_json::from_str(line).ok()?;
    let what = match line["event"].as_str()? {
        "pull_dialled" => Did::Dial,
        "standby_covers" => Did::Cover,
        "pull_lost" => Did::Lose { why: line["why"].as_str()?.to_owned() },
        "pull_playing" => Did::Play {
            outage: Duration::from_millis(line["outage_ms"].as_u64()?),
            joined: line["joined"].as_str()?.to_owned(),
        },
        _ => return None,
    };
    let said = OffsetDateTime::parse(line["timestamp"].as_str()?, &Rfc3339).ok()?;
    let at = Time::ZERO + SystemTime::from(said).duration_since(zero).ok()?;
    let (edge, stream) = (edge.to_owned(), line["stream"].as_str()?.to_owned());
    Some(Fact { at, edge, stream, server: server(host_of(line["url"].as_str()?)), what })
}

const ENGINE: &str = "loopback";
/// This process, in which encoders and viewers are.
const MODELS: &str = "encoders and viewers";
/// How often it is looked at what processes use.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
const WIRES: &str = "its wires are as they are: nothing is held, lost or late on loopback";
/// How long a server may take until it listens.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Hosts that fit into the last number of an address.
const SERVERS_MAX: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_an_edge_tells_of_its_sources() {
        let line = r##"{"timestamp":"1970-01-01T00:00:02.000500Z","level":"INFO","event":"pull_playing","stream":"#default#live/match",
            "url":"ovt://127.0.1.2:9000/live/match","outage_ms":17,"joined":"Same","target":"headwater"}"##;
        let zero = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let known = fact(zero, "edge", line, |address| format!("host at {address}")).unwrap();
        assert_eq!(known.server, "host at 127.0.1.2");
        assert_eq!(known.at, Time::from_micros(1_000_500));
        assert_eq!(known.what, Did::Play { outage: Duration::from_millis(17), joined: "Same".to_owned() });
        assert_eq!(fact(zero, "edge", r#"{"event":"listening"}"#, str::to_owned), None);
        assert_eq!(fact(zero, "edge", "no JSON", str::to_owned), None);
        assert!(is_listening_for_ovt(r#"{"event":"listening","service":"Ovt","address":"127.0.1.1:9000"}"#));
        assert!(!is_listening_for_ovt(r#"{"event":"listening","service":"Rtmp"}"#));
    }
}
