//! The machine itself: every server of a script is a `headwater serve` process with an address of its own on
//! loopback; encoders and viewers are the models of the simulator, over real sockets in this process.
//!
//! What is measured here is what nobody has modelled: the kernel's TCP, the start of processes, the scheduler.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use headwater_net_real::tokio::TokioNet;
use headwater_net_sim::Viewer;
use headwater_net_sim::encoder::{Source, Target};
use headwater_scenarios::cluster::master_url;
use headwater_scenarios::script::{Act, Crash, Script};
use headwater_scenarios::servers::{OVT_PORT, ServerXml};
use headwater_scenarios::{encoders, script};
use headwater_tests::binary::headwater;
use headwater_tests::process::Process;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, LocalSet};

use crate::hosts::{self, Moment, Shared};
use crate::outcome::{Did, Fact, Outcome, host_of};
use crate::stage::{Stage, Unsupported, is_mishap, perform};

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
    if !script.stores.is_empty() {
        return Err(Unsupported { engine: ENGINE, what: "it has no directory".to_owned() });
    }
    if !script.strangers.is_empty() {
        return Err(Unsupported { engine: ENGINE, what: "it has no strangers".to_owned() });
    }
    let is_encoder = |host: &str| script.encoders.iter().any(|encoder| encoder.name == host);
    Unsupported::look(ENGINE, script, |act| match act {
        Act::Crash { how: Crash::Silent, .. } => Some("it cannot take a process's power"),
        // Whether the kernel closes or resets depends on what the dead process had not read.
        Act::Crash { .. } | Act::Restart { .. } => None,
        Act::Stop { host } | Act::Pause { host } | Act::Resume { host } => {
            is_encoder(host).then_some("encoders are no processes")
        }
        act if is_mishap(act) => None,
        Act::StepClock { .. } | Act::Drift { .. } => Some("all hosts have the same clock"),
        Act::ReadRate { .. } => Some("a program reads as fast as it can"),
        Act::Dns { .. } => Some("hosts are known by their addresses"),
        _ => Some(WIRES),
    })
}

/// The hosts of a script on this machine.
struct Machine {
    seed: u64,
    runtime: Runtime,
    tasks: LocalSet,
    moment: Moment,
    servers: BTreeMap<String, Server>,
    encoders: BTreeMap<String, Encoder>,
    edges: Vec<String>,
    viewers: Vec<(String, Shared<Viewer>)>,
    answers: Shared<Vec<(String, u16)>>,
    /// Configurations and logs.
    dir: TempDir,
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
        let dir = tempfile::tempdir()?;
        let names = script.origins.iter().map(|origin| &origin.name);
        let names: Vec<&String> = names.chain(script.edges.iter().map(|edge| &edge.name)).collect();
        let address = |name: &str| {
            let index = names.iter().position(|known| *known == name).map_or(0, |index| index + 1);
            format!("127.0.1.{index}")
        };
        let mut servers = BTreeMap::new();
        for origin in &script.origins {
            let xml = ServerXml::origin(origin, &address(&origin.name));
            servers
                .insert(origin.name.clone(), Server::start(&origin.name, address(&origin.name), xml, &dir)?);
        }
        for edge in &script.edges {
            let xml = ServerXml::edge(edge, &address(&edge.name), address);
            servers.insert(edge.name.clone(), Server::start(&edge.name, address(&edge.name), xml, &dir)?);
        }
        for (name, server) in &mut servers {
            server.wait_until_ready(name)?;
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let moment = runtime.block_on(async { Moment::new(script.seed, Duration::ZERO) });
        let mut machine = Machine {
            seed: script.seed,
            runtime,
            tasks: LocalSet::new(),
            moment,
            servers,
            encoders: BTreeMap::new(),
            edges: script.edges.iter().map(|edge| edge.name.clone()).collect(),
            viewers: Vec::new(),
            answers: Shared::default(),
            dir,
        };
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

impl Server {
    fn start(name: &str, address: String, xml: ServerXml, dir: &TempDir) -> Result<Server> {
        let config = dir.path().join(format!("{name}.xml"));
        fs::write(&config, &xml.text)?;
        let process = serve(name, &config, &xml.variables, dir)?;
        Ok(Server { address, config, variables: xml.variables, process })
    }

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

fn serve(
    name: &str,
    config: &PathBuf,
    variables: &[(&'static str, String)],
    dir: &TempDir,
) -> Result<Process> {
    let mut command = Command::new(headwater());
    command.args(["serve", "--log-format", "json", "--config"]).arg(config).env("HEADWATER_LOG", "info");
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    Process::start(name, &mut command, dir.path())
}

impl Stage for Machine {
    fn advance(&mut self, to_ms: u64) -> Result<()> {
        let moment = self.moment;
        self.tasks.block_on(&self.runtime, async move { moment.until(to_ms).await });
        Ok(())
    }

    fn act(&mut self, act: &Act, hosts: &[String]) -> Result<()> {
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
                server.process = serve(host, &server.config, &server.variables, &self.dir)?;
            }
            Act::Resume { .. } => self.server(host)?.process.resume()?,
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
            facts.extend(log.lines().filter_map(|line| fact(edge, line, name)));
        }
        facts
    }

    fn outcome(&self, script: &Script) -> Outcome {
        let viewers = hosts::seen(script, &self.viewers);
        Outcome { viewers, facts: self.facts(), answers: self.answers.borrow().clone() }
    }
}

fn is_listening_for_ovt(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line["event"] == "listening" && line["service"] == "Ovt"
}

/// What a line of an edge's log says of its source, if it does.
fn fact(edge: &str, line: &str, server: impl Fn(&str) -> String) -> Option<Fact> {
    let line: Value = serde_json::from_str(line).ok()?;
    let what = match line["event"].as_str()? {
        "pull_dialled" => Did::Dial,
        "pull_playing" => Did::Play { outage: Duration::from_millis(line["outage_ms"].as_u64()?) },
        _ => return None,
    };
    let (edge, stream) = (edge.to_owned(), line["stream"].as_str()?.to_owned());
    Some(Fact { edge, stream, server: server(host_of(line["url"].as_str()?)), what })
}

const ENGINE: &str = "loopback";
const WIRES: &str = "its wires are as they are: nothing is cut, held, lost or late on loopback";
/// How long a server may take until it listens.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Hosts that fit into the last number of an address.
const SERVERS_MAX: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_an_edge_tells_of_its_sources() {
        let line = r##"{"level":"INFO","event":"pull_playing","stream":"#default#live/match",
            "url":"ovt://127.0.1.2:9000/live/match","outage_ms":17,"joined":"Same","target":"headwater"}"##;
        let known = fact("edge", line, |address| format!("host at {address}")).unwrap();
        assert_eq!(known.server, "host at 127.0.1.2");
        assert_eq!(known.what, Did::Play { outage: Duration::from_millis(17) });
        assert_eq!(fact("edge", r#"{"event":"listening"}"#, str::to_owned), None);
        assert_eq!(fact("edge", "no JSON", str::to_owned), None);
        assert!(is_listening_for_ovt(r#"{"event":"listening","service":"Ovt","address":"127.0.1.1:9000"}"#));
        assert!(!is_listening_for_ovt(r#"{"event":"listening","service":"Rtmp"}"#));
    }
}
