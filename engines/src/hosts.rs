//! The programs of a script's hosts over any network: servers and encoders by the production driver, players by
//! hyper. It knows no faults: an engine ends a program by dropping it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use headwater_core::event::Event;
use headwater_core::io::Endpoint;
use headwater_core::node::Node;
use headwater_core::time::Now;
use headwater_net_real::clock::Clock;
use headwater_net_real::driver::{Control, Limits, Setup, run};
use headwater_net_real::net::Net;
use headwater_net_real::registry::Client;
use headwater_net_real::server::bindings;
use headwater_net_sim::encoder::{Encoder, Source, Target};
use headwater_net_sim::rtmp::Rtmp;
use headwater_net_sim::{Rng, World};
use headwater_scenarios::script::{Poller, Script};
use headwater_scenarios::servers::{HLS_PORT, ServerXml};
use headwater_scenarios::{cluster, encoders, script};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::browser;
use crate::outcome::Seen;

/// What a player has seen, or a server has said, while it goes on.
pub type Shared<T> = Rc<RefCell<T>>;

/// Time as a script counts it, for a program that was started at some moment of it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The clock of the program.
    pub clock: Clock,
    /// What the script's time was when the clock was started.
    pub started: Duration,
    zero: Instant,
}

impl Moment {
    /// A clock that starts now, `started` after the beginning of the script of `seed`. Wall clocks show what they show
    /// in the simulator's run of it.
    pub fn new(seed: u64, started: Duration) -> Moment {
        let us = i64::try_from(started.as_micros()).unwrap_or(i64::MAX);
        let clock = Clock::anchored(World::wall_start(seed).plus_micros(us));
        Moment { clock, started, zero: Instant::now() }
    }

    /// The script's time.
    pub fn now(&self) -> Now {
        let now = self.clock.now();
        Now { mono: now.mono + self.started, ..now }
    }

    /// Waits until the script's time is `at_ms`.
    pub async fn until(&self, at_ms: u64) {
        sleep_until(self.zero + Duration::from_millis(at_ms).saturating_sub(self.started)).await;
    }
}

/// Runs the server of `xml` until it is told to end. `tell` hears its events.
///
/// # Errors
/// If its configuration is wrong, or it cannot listen.
pub async fn server<N: Net>(
    net: N,
    xml: &ServerXml,
    seed: u64,
    clock: Clock,
    orders: mpsc::Receiver<Control>,
    mut tell: impl FnMut(Event),
) -> io::Result<()> {
    let config = xml.config().map_err(io::Error::other)?;
    let mut listeners = Vec::new();
    for binding in bindings(&config.listeners).map_err(io::Error::other)? {
        listeners.push((binding.service, net.listen(binding.at).await?).into());
    }
    let stores = Client::all(&net, &config).map_err(io::Error::other)?;
    let node = Node::new(config, seed, clock.now());
    let setup = Setup { net, clock, listeners, stores, limits: Limits::default() };
    run(setup, node, |_, event| tell(event), orders).await;
    Ok(())
}

/// Runs an encoder that is started now, for ever.
pub async fn encoder<N: Net>(net: N, source: &Source, targets: Vec<Target>, seed: u64, moment: Moment) {
    let left = encoders::started_after(source, moment.started);
    let encoder = Encoder::new(left, targets, seed, moment.clock.now(), Rtmp::connect);
    let (listeners, stores) = (Vec::new(), Vec::new());
    let setup = Setup { net, clock: moment.clock, listeners, stores, limits: Limits::default() };
    let (_control, orders) = mpsc::channel(1);
    run(setup, encoder, |_, _| {}, orders).await;
}

/// Lets a player come and go when `plan` says.
pub async fn viewer<N: Net>(
    net: N,
    plan: &script::Viewer,
    player: Shared<headwater_net_sim::Viewer>,
    moment: Moment,
) {
    moment.until(plan.from_ms).await;
    let leaves = async {
        match plan.until_ms {
            Some(until_ms) => moment.until(until_ms).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = leaves => {}
        () = browser::browse(net, || moment.now(), &player) => {}
    }
}

/// Asks as often as `plan` says, and notes the status of each answer, or 0.
pub async fn poller<N: Net>(
    net: N,
    plan: &Poller,
    address: String,
    answers: Shared<Vec<(String, u16)>>,
    moment: Moment,
) {
    let to = Endpoint { host: address, port: HLS_PORT };
    let url = cluster::master_url(&to.host, &plan.stream);
    let path = url.split_once(&to.to_string()).map_or("/", |(_, path)| path).to_owned();
    let mut asking = JoinSet::new();
    for n in 0..u64::from(plan.times) {
        moment.until(plan.from_ms + n * plan.every_ms).await;
        let (net, to, path) = (net.clone(), to.clone(), path.clone());
        let (name, answers) = (plan.name.clone(), answers.clone());
        asking.spawn_local(async move {
            let status = browser::ask(&net, &to, &path).await.map_or(0, |status| status.as_u16());
            answers.borrow_mut().push((name, status));
        });
    }
    while asking.join_next().await.is_some() {}
}

/// What the players of `script` have seen, by name.
pub fn seen(script: &Script, players: &[(String, Shared<headwater_net_sim::Viewer>)]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for plan in &script.viewers {
        for name in plan.names() {
            let player = players.iter().find(|(known, _)| *known == name);
            seen.extend(player.map(|(_, player)| Seen::new(script, plan, name, player.borrow().record())));
        }
    }
    seen
}

/// What the program of `host` is started with the `boots`-th time.
pub fn seed(script: u64, host: &str, boots: u64) -> u64 {
    Rng::new(script).fork(host).fork(&format!("boot {boots}")).number()
}
