//! turmoil: the production driver, its HTTP server and hyper's client on simulated byte streams.
//!
//! Every host runs in a runtime of its own on a paused clock that goes in ticks of a millisecond. A process that dies
//! is a runtime that is dropped; its host is started again at once without a program, so that the kernel goes on
//! refusing connections. A host without power is one that hears and says nothing until it is started again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use headwater_core::time::Time;
use headwater_net_real::driver::Control;
use headwater_net_real::turmoil::TurmoilNet;
use headwater_net_sim::Viewer;
use headwater_scenarios::cluster::master_url;
use headwater_scenarios::facts::Fact;
use headwater_scenarios::script::{Act, Crash, Link, Script};
use headwater_scenarios::servers::ServerXml;
use headwater_scenarios::{encoders, script};
use tokio::sync::mpsc;

use crate::hosts::{self, Moment, Shared};
use crate::outcome::Outcome;
use crate::stage::{Stage, Unsupported, is_mishap, perform};

/// Plays the faults of `script`. The same script gives the same outcome.
///
/// # Errors
/// If the script is not supported, or a program fails.
pub fn play(script: &Script) -> Result<Outcome> {
    supports(script)?;
    perform(script, &mut Hosts::start(script))
}

/// Whether turmoil can play all of `script`.
///
/// # Errors
/// What it cannot play.
pub fn supports(script: &Script) -> Result<(), Unsupported> {
    if script.link.loss_ppm > 0 {
        return Err(Unsupported { engine: ENGINE, what: LOSS.to_owned() });
    }
    if !script.stores.is_empty() {
        return Err(Unsupported { engine: ENGINE, what: "it has no directory".to_owned() });
    }
    if !script.strangers.is_empty() {
        return Err(Unsupported { engine: ENGINE, what: "it has no strangers".to_owned() });
    }
    Unsupported::look(ENGINE, script, |act| match act {
        Act::Crash { how: Crash::Fin | Crash::Silent, .. }
        | Act::Restart { .. }
        | Act::Drain { .. }
        | Act::Stop { .. }
        | Act::Hold { .. }
        | Act::Heal { .. } => None,
        Act::Relink { link, .. } => (link.loss_ppm > 0).then_some(LOSS),
        act if is_mishap(act) => None,
        Act::Crash { .. } => {
            Some("its kernel closes the connections of a dead process, it does not reset them")
        }
        Act::Pause { .. } | Act::Resume { .. } => Some("it cannot stop a program where it is"),
        Act::Cut { .. } | Act::CutOneWay { .. } | Act::Isolate { .. } | Act::Rejoin { .. } => Some(LOSS),
        Act::ReadRate { .. } => Some("a program reads as fast as it can"),
        Act::StepClock { .. } | Act::Drift { .. } => Some("all hosts have the same clock"),
        Act::Dns { .. } => Some("a name means its host for ever"),
        _ => Some("it does not know how"),
    })
}

/// The hosts of a script in turmoil's world.
struct Hosts {
    sim: turmoil::Sim<'static>,
    names: Vec<String>,
    programs: BTreeMap<String, Program>,
    /// Hosts without power.
    dark: Vec<String>,
    facts: Shared<Vec<Fact>>,
    answers: Shared<Vec<(String, u16)>>,
    viewers: Vec<(String, Shared<Viewer>)>,
}

/// What decides whether a host's program runs, and hears what it is told.
#[derive(Clone, Default)]
struct Program(Rc<Life>);

#[derive(Default)]
struct Life {
    down: Cell<bool>,
    boots: Cell<u64>,
    orders: RefCell<Option<mpsc::Sender<Control>>>,
}

impl Hosts {
    fn start(script: &Script) -> Hosts {
        let Link { latency_ms, jitter_ms, .. } = script.link;
        let sim = turmoil::Builder::new()
            .simulation_duration(Duration::from_millis(script.length_ms) + TICK)
            .tick_duration(TICK)
            .min_message_latency(Duration::from_millis(latency_ms))
            .max_message_latency(Duration::from_millis(latency_ms + jitter_ms))
            .tcp_capacity(SEGMENTS)
            .enable_random_order()
            .rng_seed(script.seed)
            .build();
        let mut hosts = Hosts {
            sim,
            names: Vec::new(),
            programs: BTreeMap::new(),
            dark: Vec::new(),
            facts: Shared::default(),
            answers: Shared::default(),
            viewers: Vec::new(),
        };
        for origin in &script.origins {
            hosts.server(script.seed, &origin.name, ServerXml::origin(origin, "*"));
        }
        for edge in &script.edges {
            hosts.server(script.seed, &edge.name, ServerXml::edge(edge, "*", str::to_owned));
        }
        for plan in &script.encoders {
            hosts.encoder(script, plan);
        }
        for plan in &script.viewers {
            hosts.viewers_of(script.seed, plan);
        }
        let run = script.seed;
        for plan in script.pollers.iter().cloned() {
            let answers = hosts.answers.clone();
            hosts.host(&plan.name.clone(), move |_, _| {
                let (plan, answers) = (plan.clone(), answers.clone());
                async move {
                    let server = plan.server.clone();
                    hosts::poller(TurmoilNet::default(), &plan, server, answers, moment(run)).await;
                    Ok(())
                }
            });
        }
        hosts
    }

    /// A host on which `program` is started at every boot but while it is down. It hears which boot it is, and orders.
    fn host<F, P>(&mut self, name: &str, program: F)
    where
        F: Fn(u64, mpsc::Receiver<Control>) -> P + 'static,
        P: Future<Output = turmoil::Result> + 'static,
    {
        let life = Program::default();
        self.names.push(name.to_owned());
        self.programs.insert(name.to_owned(), life.clone());
        self.sim.host(name, move || {
            let Program(life) = &life;
            let running = (!life.down.get()).then(|| {
                let (control, orders) = mpsc::channel(1);
                life.orders.replace(Some(control));
                life.boots.set(life.boots.get() + 1);
                program(life.boots.get(), orders)
            });
            async move {
                if let Some(program) = running {
                    program.await?;
                }
                // The machine is on, whether or not its program runs.
                std::future::pending().await
            }
        });
    }

    fn server(&mut self, run: u64, name: &str, xml: ServerXml) {
        let (host, facts) = (name.to_owned(), self.facts.clone());
        self.host(name, move |boot, orders| {
            let seed = hosts::seed(run, &host, boot);
            let (xml, host, facts) = (xml.clone(), host.clone(), facts.clone());
            async move {
                let moment = moment(run);
                let tell = |event| {
                    let at = moment.now().mono;
                    facts.borrow_mut().extend(Fact::of(at, &host, &event, str::to_owned));
                };
                hosts::server(TurmoilNet::default(), &xml, seed, moment.clock, orders, tell).await?;
                Ok(())
            }
        });
    }

    fn encoder(&mut self, script: &Script, plan: &script::Encoder) {
        let (source, targets) = (encoders::source(script, plan), encoders::targets(plan, str::to_owned));
        let (run, name) = (script.seed, plan.name.clone());
        self.host(&plan.name, move |boot, _| {
            let seed = hosts::seed(run, &name, boot);
            let (source, targets) = (source.clone(), targets.clone());
            async move {
                hosts::encoder(TurmoilNet::default(), &source, targets, seed, moment(run)).await;
                Ok(())
            }
        });
    }

    fn viewers_of(&mut self, run: u64, plan: &script::Viewer) {
        for name in plan.names() {
            let player = Viewer::new(&master_url(&plan.server, &plan.stream));
            let player = Rc::new(RefCell::new(player));
            self.viewers.push((name.clone(), player.clone()));
            let plan = plan.clone();
            self.host(&name, move |_, _| {
                let (plan, player) = (plan.clone(), player.clone());
                async move {
                    hosts::viewer(TurmoilNet::default(), &plan, player, moment(run)).await;
                    Ok(())
                }
            });
        }
    }

    fn program(&self, host: &str) -> Result<&Life> {
        self.programs.get(host).map(|program| &*program.0).with_context(|| format!("there is no host {host}"))
    }

    /// Everything of a host ends, and it begins again, with its program or without.
    fn boot(&mut self, host: &str, down: bool) -> Result<()> {
        self.sim.crash(host);
        if let Some(dark) = self.dark.iter().position(|dark| dark == host) {
            self.dark.remove(dark);
            self.others(host, |sim, other| sim.release(host, other));
        }
        self.program(host)?.down.set(down);
        self.sim.bounce(host);
        Ok(())
    }

    fn darken(&mut self, host: &str) {
        self.others(host, |sim, other| sim.hold(host, other));
        self.sim.crash(host);
        self.dark.push(host.to_owned());
    }

    fn others(&self, host: &str, act: impl Fn(&turmoil::Sim<'static>, &str)) {
        self.names.iter().filter(|other| *other != host).for_each(|other| act(&self.sim, other));
    }

    fn relink(&self, a: &str, b: &str, link: &Link) {
        self.sim.set_link_latency(a, b, Duration::from_millis(link.latency_ms));
        let longest = Duration::from_millis(link.latency_ms + link.jitter_ms);
        self.sim.set_link_max_message_latency(a, b, longest);
    }
}

impl Stage for Hosts {
    fn advance(&mut self, to_ms: u64) -> Result<()> {
        while self.sim.elapsed() < Duration::from_millis(to_ms) {
            self.sim.step().map_err(|error| anyhow!("a program failed: {error}"))?;
        }
        Ok(())
    }

    fn now(&self) -> Time {
        Time::ZERO + self.sim.elapsed()
    }

    fn act(&mut self, act: &Act, hosts: &[String]) -> Result<()> {
        match (act, hosts) {
            (Act::Crash { how: Crash::Silent, .. }, [host]) => self.darken(host),
            (Act::Crash { .. }, [host]) => self.boot(host, true)?,
            (Act::Restart { .. }, [host]) => self.boot(host, false)?,
            (Act::Drain { .. } | Act::Stop { .. }, [host]) => {
                let order = if let Act::Drain { .. } = act { Control::Drain } else { Control::Shutdown };
                if let Some(orders) = &*self.program(host)?.orders.borrow() {
                    // Fails only if it has ended.
                    let _ = orders.try_send(order);
                }
            }
            (Act::Hold { .. }, [a, b]) => self.sim.hold(a.as_str(), b.as_str()),
            (Act::Heal { .. }, [a, b]) => self.sim.release(a.as_str(), b.as_str()),
            (Act::Relink { link, .. }, [a, b]) => self.relink(a, b, link),
            _ => {}
        }
        Ok(())
    }

    fn facts(&self) -> Vec<Fact> {
        self.facts.borrow().clone()
    }

    fn outcome(&self, script: &Script) -> Outcome {
        let viewers = hosts::seen(script, &self.viewers);
        let (facts, answers) = (self.facts(), self.answers.borrow().clone());
        Outcome { first_step: None, viewers, facts, answers, usage: Vec::new() }
    }
}

/// Inside of a host: the script's time.
fn moment(seed: u64) -> Moment {
    Moment::new(seed, turmoil::sim_elapsed().unwrap_or_default())
}

const ENGINE: &str = "turmoil";
const LOSS: &str = "it has no retransmission: what is lost once never comes";
/// How finely time goes.
const TICK: Duration = Duration::from_millis(1);
/// Segments that may be on the way on a connection.
const SEGMENTS: usize = 1_024;
