//! Plays a script in the simulator and says what came of it.
//!
//! A run has three acts. First the faults, while every checker watches (safety). Then the core of the cluster is put
//! right, and whatever the core can play must be played within a bound; what is outside of the core stays broken
//! (liveness). At last everybody leaves, and nothing may be left behind (quiet).

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use headwater_core::event::Event;
use headwater_core::io::Service;
use headwater_core::media::Kind;
use headwater_core::time::Time;
use headwater_net_sim::check::{
    FrozenStreamsAreNotServed, KeysEnd, LosersLearn, NobodyGoesBack, NobodyIsPestered, NothingLeaks,
    OneOwnerPerEpoch, OnePullPerStream, QueuesBounded, Stores,
};
use headwater_net_sim::encoder;
use headwater_net_sim::hostile::{self, HostilePeersAreClosed, Meetings, Protocol};
use headwater_net_sim::ome;
use headwater_net_sim::redis::{self, Handle};
use headwater_net_sim::rtmp::Rtmp;
use headwater_net_sim::viewer::Settings;
use headwater_net_sim::{Boot, Checks, HostId, Latency, Violation, World, ms};

use crate::cluster::{master_url, server};
use crate::encoders;
use crate::report::{Broken, Report};
use crate::rules::{PlaylistsAreAsConfigured, Rule};
use crate::script::{self, Act, Door, Encoder, Script, Spoilt, source_of};
use crate::servers::{HLS_PORT, OVT_PORT, RTMP_PORT, ServerXml};

/// Plays `script`. When a rule is broken it is played once more up to that moment, to tell the very event.
pub fn play(script: &Script) -> Report {
    let report = Play::new(script, World::new(script.seed)).finish().0;
    let Some(broken) = &report.broken else { return report };
    let (exact, _) = Play::exactly(script, World::new(script.seed), broken.noticed).finish();
    if exact.broken.is_some() { exact } else { report }
}

/// Plays the faults of `script` only, and gives the world as it is then: what other engines are compared with.
pub fn play_faults(script: &Script) -> (Report, World) {
    Play::new(script, World::new(script.seed)).end(Play::faults)
}

/// Plays `script` with everything recorded, and gives back the world as it was at the end or when a rule was broken:
/// for a page that shows it.
pub fn play_recorded(script: &Script) -> (Report, World) {
    let mut world = World::new(script.seed);
    world.record();
    match Play::new(script, World::new(script.seed)).finish().0.broken {
        Some(broken) => Play::exactly(script, world, broken.noticed).finish(),
        None => Play::new(script, world).finish(),
    }
}

/// A script that is being played.
struct Play<'a> {
    script: &'a Script,
    world: World,
    hosts: BTreeMap<String, HostId>,
    stores: BTreeMap<String, redis::Handle>,
    agenda: Vec<(Time, Do)>,
    /// What must hold to the end.
    always: Checks,
    /// What must hold while there are faults.
    during_faults: Checks,
    faults_over: bool,
    /// Requests under way or answered, by poller.
    asked: Vec<(usize, u64, Time)>,
    relinked: Vec<(HostId, HostId)>,
    renamed: BTreeSet<String>,
    /// Processes that were asked to end, and may still be at it.
    stopped: BTreeSet<String>,
    /// From this moment on the checkers look at every event.
    exact_from: Option<Time>,
    report: Report,
}

/// What the script wants done at a moment.
enum Do {
    Act(usize),
    Ask(usize),
    Join(usize),
    Leave(usize),
}

impl<'a> Play<'a> {
    /// The same as `new`, but from shortly before `noticed` on the checkers look at every event.
    fn exactly(script: &'a Script, world: World, noticed: Time) -> Play<'a> {
        let exact_from = Some(Time::ZERO + noticed.since(Time::ZERO).saturating_sub(EVERY));
        Play { exact_from, ..Play::new(script, world) }
    }

    fn new(script: &'a Script, mut world: World) -> Play<'a> {
        world.link_default(link(&script.link));
        world.keep_parts();
        let mut hosts = BTreeMap::new();
        let mut stores = BTreeMap::new();
        for store in &script.stores {
            let handle = redis::Handle::new(redis::Setup {
                scripts: redis::directory_scripts(),
                ..redis::Setup::default()
            });
            hosts.insert(store.name.clone(), world.host(&store.name, redis::Server::boot(&handle)));
            stores.insert(store.name.clone(), handle);
        }
        for origin in &script.origins {
            hosts.insert(origin.name.clone(), world.host(&origin.name, boot_origin(script, origin)));
        }
        for edge in &script.edges {
            let boot = server(&ServerXml::edge(edge, "*", str::to_owned));
            let boot = boot.listen(HLS_PORT, Service::Http).listen(OVT_PORT, Service::Ovt);
            hosts.insert(edge.name.clone(), world.host(&edge.name, boot));
        }
        for encoder in &script.encoders {
            let host = world.host(&encoder.name, boot_encoder(script, encoder));
            hosts.insert(encoder.name.clone(), host);
            if let Some(at) = encoder.wraps_at_ms {
                let left_ms = RTMP_TIMES_MS - world.clock(host).wall.as_micros() / 1_000 % RTMP_TIMES_MS;
                world.step_clock(host, (left_ms - i64::try_from(at).unwrap_or(0)) * 1_000);
                world.restart(host);
            }
        }
        for poller in &script.pollers {
            hosts.insert(poller.name.clone(), world.prober(&poller.name));
        }
        let mut always = Checks::safety()
            .with(QueuesBounded { history_bytes: history_bytes(script) })
            .with(OnePullPerStream { standbys: standbys(script) })
            .with(NobodyIsPestered::new(dials_allowed(script)))
            .with(FrozenStreamsAreNotServed::default())
            .with(PlaylistsAreAsConfigured::new(script));
        let known: Stores = stores.iter().map(|(name, store)| (hosts[name], Handle::clone(store))).collect();
        if !known.is_empty() {
            always.add(Box::new(OneOwnerPerEpoch::of(&known)));
            always.add(Box::new(NobodyGoesBack::default()));
            always.add(Box::new(LosersLearn::within(LEARNT, &known)));
            always.add(Box::new(KeysEnd::within(KEYS_LIVE + clock_steps(script), &known)));
        }
        for stranger in &script.strangers {
            let (port, protocol) = match stranger.door {
                Door::Rtmp => (RTMP_PORT, Protocol::Rtmp),
                Door::Ovt => (OVT_PORT, Protocol::Ovt),
            };
            let meetings = Meetings::default();
            let plan = hostile::Plan::new(&stranger.server, port, protocol);
            let host = world.host(&stranger.name, hostile::Peer::boot(plan, &meetings));
            hosts.insert(stranger.name.clone(), host);
            always.add(Box::new(HostilePeersAreClosed::within(PUT_UP_WITH, host, &meetings)));
        }
        let mut during_faults = Checks::none();
        for rule in &script.rules {
            let checks = if rule.is_about_faults_only() { &mut during_faults } else { &mut always };
            if let Some(checker) = rule.checker(&known) {
                checks.add(checker);
            }
        }
        let report = Report::begin(&script.scenario, script.seed);
        let agenda = agenda(script);
        Play {
            script,
            world,
            hosts,
            stores,
            agenda,
            always,
            during_faults,
            faults_over: false,
            asked: Vec::new(),
            relinked: Vec::new(),
            renamed: BTreeSet::new(),
            stopped: BTreeSet::new(),
            exact_from: None,
            report,
        }
    }

    /// Plays on to the end, or to the first broken rule. A program that panics has broken one.
    fn finish(self) -> (Report, World) {
        self.end(|play| play.faults().and_then(|()| play.recovery()).and_then(|()| play.quiet()))
    }

    fn end(mut self, acts: impl FnOnce(&mut Self) -> Result<(), Violation>) -> (Report, World) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let outcome = acts(&mut self);
            (outcome, self.world.now())
        }));
        let (outcome, noticed) = outcome.unwrap_or_else(|panic| {
            let at = self.world.now();
            let rule = "no program panics";
            (Err(Violation { rule, at, host: "a program".to_owned(), what: panic_message(&*panic) }), at)
        });
        if !self.faults_over {
            self.measure();
        }
        self.report.trace_hash = self.world.trace_hash();
        self.report.events = self.world.trace().count();
        self.report.simulated = self.world.now().since(Time::ZERO);
        if let Err(violation) = outcome {
            let story = self.world.story(STORY_LINES);
            self.report.broken = Some(Broken { violation, noticed, story });
        }
        (self.report, self.world)
    }
}

/// Safety.
impl Play<'_> {
    fn faults(&mut self) -> Result<(), Violation> {
        for (at, what) in core::mem::take(&mut self.agenda) {
            self.advance(at)?;
            match what {
                Do::Act(step) => self.act(&self.script.steps[step].act),
                Do::Ask(poller) => self.ask(poller),
                Do::Join(viewer) => {
                    self.join(viewer);
                    // Whoever measures how long it waits starts now.
                    self.verify()?;
                }
                Do::Leave(viewer) => self.leave(viewer),
            }
        }
        self.advance(moment(self.script.length_ms))?;
        self.verify()?;
        self.measure();
        self.faults_over = true;
        Ok(())
    }

    /// Lets time go by until `moment`, with the checkers looking on.
    fn advance(&mut self, moment: Time) -> Result<(), Violation> {
        while self.world.now() < moment {
            let next = (self.world.now() + EVERY).min(moment);
            if self.exact_from.is_some_and(|from| from <= self.world.now()) {
                while self.world.step_until(next) {
                    self.verify()?;
                }
            } else {
                self.world.run_until(next);
            }
            self.verify()?;
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Violation> {
        self.always.verify(&self.world)?;
        if !self.faults_over {
            self.during_faults.verify(&self.world)?;
        }
        self.answers()
    }

    /// Does what the script says. What it says of nobody is not done.
    fn act(&mut self, act: &Act) {
        if let Act::Dns { name, host } = act {
            let host = host.as_ref().and_then(|host| self.host(host));
            self.renamed.insert(name.clone());
            return self.world.dns(name, host);
        }
        if let Act::Reload { host, from } = act {
            return self.reload(host, from);
        }
        match act {
            Act::Drain { host } | Act::Stop { host } => drop(self.stopped.insert(host.clone())),
            Act::Crash { host, .. } | Act::Restart { host } => drop(self.stopped.remove(host)),
            _ => {}
        }
        let hosts: Option<Vec<HostId>> = act.hosts().iter().map(|name| self.host(name)).collect();
        let world = &mut self.world;
        match (act, hosts.unwrap_or_default().as_slice()) {
            (Act::Cut { .. }, &[a, b]) => world.partition(a, b),
            (Act::CutOneWay { .. }, &[from, to]) => world.partition_one_way(from, to),
            (Act::Hold { .. }, &[a, b]) => world.hold(a, b),
            (Act::Heal { .. }, &[a, b]) => world.heal(a, b),
            (Act::Relink { link: new, .. }, &[a, b]) => {
                world.link(a, b, link(new));
                self.relinked.push((a, b));
            }
            (Act::Crash { how, .. }, &[host]) => world.crash(host, crash(*how)),
            (Act::Restart { .. }, &[host]) => world.restart(host),
            (Act::Drain { .. }, &[host]) => world.ask_to_go(host),
            (Act::Stop { .. }, &[host]) => world.shutdown(host),
            (Act::Pause { .. }, &[host]) => world.pause(host),
            (Act::Resume { .. }, &[host]) => world.resume(host),
            (Act::Isolate { .. }, &[host]) => world.isolate(host),
            (Act::Rejoin { .. }, &[host]) => world.rejoin(host),
            (Act::ReadRate { bytes, .. }, &[host]) => world.read_rate(host, *bytes),
            (Act::StepClock { by_ms, .. }, &[host]) => world.step_clock(host, by_ms.saturating_mul(1_000)),
            (Act::Drift { ppm, .. }, &[host]) => world.drift(host, *ppm),
            (Act::Empty { store }, &[host]) => self.restart_store(store, host, redis::Start::Empty),
            (Act::Promote { store, lost_ms }, &[host]) => {
                self.restart_store(store, host, redis::Start::Promoted(ms(*lost_ms)));
            }
            (Act::Slow { store, by_ms }, &[_]) => {
                if let Some(store) = self.stores.get(store) {
                    store.answers_after(ms(*by_ms));
                }
            }
            // Encoders have their mishaps by themselves, see `boot_encoder`.
            _ => {}
        }
    }

    fn reload(&mut self, edge: &str, from: &[String]) {
        let Some(plan) = self.script.edges.iter().find(|known| known.name == edge) else { return };
        let plan = script::Edge { from: from.to_vec(), ..plan.clone() };
        if let (Ok(config), Some(host)) =
            (ServerXml::edge(&plan, "*", str::to_owned).config(), self.host(edge))
        {
            self.world.configure(host, config);
        }
    }

    fn restart_store(&mut self, store: &str, host: HostId, with: redis::Start) {
        if let Some(store) = self.stores.get(store) {
            store.next_start(with);
            self.world.restart(host);
        }
    }

    /// The host that a script means; none if it means whatever an edge plays from, and it plays nothing.
    fn host(&self, name: &str) -> Option<HostId> {
        match source_of(name) {
            Some(edge) => self.hosts.get(edge).and_then(|edge| self.source(*edge)),
            None => self.hosts.get(name).copied(),
        }
    }

    /// The server that `edge` has begun to play last.
    fn source(&self, edge: HostId) -> Option<HostId> {
        let playing = self.world.facts().iter().rev().find_map(|fact| match &fact.event {
            Event::PullPlaying { url, .. } if fact.host == edge => Some(url),
            _ => None,
        })?;
        let name = playing.split_once("://")?.1.split([':', '/']).next()?;
        self.hosts.get(name).copied()
    }

    fn join(&mut self, viewer: usize) {
        let viewer = &self.script.viewers[viewer];
        for name in viewer.names() {
            let settings = Settings { fetches_hints: viewer.hints, ..Settings::hls_js() };
            let url = master_url(&viewer.server, &viewer.stream);
            let host = self.world.viewer(&name, headwater_net_sim::Viewer::with(&url, settings));
            self.hosts.insert(name, host);
        }
    }

    fn leave(&mut self, viewer: usize) {
        for name in self.script.viewers[viewer].names() {
            if let Some(host) = self.hosts.get(&name) {
                self.world.crash(*host, headwater_net_sim::Crash::Fin);
            }
        }
    }

    fn ask(&mut self, poller: usize) {
        let plan = &self.script.pollers[poller];
        let id = self.world.get(self.hosts[&plan.name], &master_url(&plan.server, &plan.stream));
        self.asked.push((poller, id, self.world.now()));
    }

    /// Holds the answers that pollers got to what the script says of them.
    fn answers(&mut self) -> Result<(), Violation> {
        let mut open = Vec::new();
        for (poller, id, at) in core::mem::take(&mut self.asked) {
            let name = &self.script.pollers[poller].name;
            let within = self.script.rules.iter().find_map(|rule| match rule {
                Rule::AnsweredWithin { poller, ms: bound } if poller == name => Some(ms(*bound)),
                _ => None,
            });
            let Some(answer) = self.world.answer(self.hosts[name], id) else {
                let waits = self.world.now().since(at);
                if within.is_some_and(|within| waits > within) {
                    let what = format!("it has waited for {waits:?}");
                    return Err(self.violation("requests are answered in time", name, what));
                }
                open.push((poller, id, at));
                continue;
            };
            let got = answer.status.map_or(0, |status| status.as_u16());
            let expected = self.script.rules.iter().find_map(|rule| match rule {
                Rule::Answer { poller, status } if poller == name => Some(*status),
                _ => None,
            });
            if expected.is_some_and(|expected| expected != got) {
                return Err(self.violation(
                    "requests are answered as they should be",
                    name,
                    format!("{got}"),
                ));
            }
        }
        self.asked = open;
        Ok(())
    }

    fn violation(&self, rule: &'static str, host: &str, what: String) -> Violation {
        Violation { rule, at: self.world.now(), host: host.to_owned(), what }
    }

    /// Notes what viewers and edges went through while there were faults.
    fn measure(&mut self) {
        let outages = self.world.facts().iter().filter_map(|fact| match fact.event {
            Event::PullPlaying { outage, .. } if outage > Duration::ZERO => Some(outage),
            _ => None,
        });
        self.report.failovers = outages.collect();
        let now = self.world.now();
        let watching = self.world.viewers().filter(|(host, viewer)| {
            self.world.is_running(*host) && viewer.record().parts.iter().any(|part| part.kind == Kind::Video)
        });
        self.report.gaps =
            watching.map(|(_, viewer)| viewer.record().longest_gap(Kind::Video, now)).collect();
    }
}

/// Liveness.
impl Play<'_> {
    fn recovery(&mut self) -> Result<(), Violation> {
        let core = self.core();
        self.put_right(&core);
        self.advance(self.world.now() + ms(self.script.recovery.within_ms))?;
        let mut judges = Vec::new();
        for (edge, stream) in self.playable() {
            let player = headwater_net_sim::Viewer::new(&master_url(&edge, &stream));
            let name = format!("judge of {stream} on {edge}");
            judges.push(self.world.viewer(&name, player));
        }
        self.advance(self.world.now() + JUDGED_FOR)?;
        for judge in &judges {
            self.demand_playing(*judge, "what can be played is played again")?;
        }
        let stayed: Vec<HostId> = self.world.viewers().map(|(host, _)| host).collect();
        for host in stayed {
            let gave_up = self.world.watch(host).record().fatal.is_some();
            let url = self.world.watch(host).url();
            let fair = self.playable().iter().any(|(edge, stream)| url == master_url(edge, stream));
            if self.world.is_running(host) && !gave_up && fair {
                self.demand_playing(host, "who has stayed plays on")?;
            }
        }
        self.demand_failback()
    }

    fn core(&self) -> Vec<String> {
        let core = &self.script.recovery.core;
        if core.is_empty() { self.hosts.keys().cloned().collect() } else { core.clone() }
    }

    fn put_right(&mut self, core: &[String]) {
        let right: Vec<HostId> = core.iter().filter_map(|name| self.hosts.get(name).copied()).collect();
        for name in core::mem::take(&mut self.renamed) {
            let host = self.hosts.get(&name).copied();
            self.world.dns(&name, host);
        }
        for (a, b) in core::mem::take(&mut self.relinked) {
            if right.contains(&a) && right.contains(&b) {
                self.world.link(a, b, link(&self.script.link));
            }
        }
        let players: Vec<HostId> = self.world.viewers().map(|(host, _)| host).collect();
        for (n, a) in right.iter().enumerate() {
            for b in right[n + 1..].iter().chain(players.iter().filter(|player| !right.contains(player))) {
                self.world.heal(*a, *b);
            }
        }
        for name in core {
            let Some(host) = self.hosts.get(name).copied() else { continue };
            self.world.read_rate(host, None);
            if let Some(store) = self.stores.get(name) {
                store.answers_after(Duration::ZERO);
            }
            if self.world.is_paused(host) {
                self.world.resume(host);
            }
            let ends = self.stopped.contains(name) || !self.world.is_running(host);
            if ends && self.script.is_machine(name) {
                self.world.restart(host);
            }
        }
    }

    /// Every edge of the core with every stream that it can get from encoders of the core by way of the core.
    fn playable(&self) -> BTreeSet<(String, String)> {
        let core = self.core();
        let mut has: BTreeSet<(String, String)> = BTreeSet::new();
        for encoder in self.script.encoders.iter().filter(|encoder| core.contains(&encoder.name)) {
            for server in encoder.to.iter().filter(|server| core.contains(server)) {
                has.insert((server.clone(), encoder.stream.clone()));
            }
        }
        let announced = |edge: &script::Edge, server: &String| {
            let store = |origin: &script::Origin| origin.name == *server && origin.store == edge.store;
            edge.store.as_ref().is_some_and(|store| core.contains(store))
                && self.script.origins.iter().any(store)
        };
        // A chain of edges is no longer than there are edges.
        for _ in &self.script.edges {
            for edge in self.script.edges.iter().filter(|edge| core.contains(&edge.name)) {
                let streams: Vec<String> = has
                    .iter()
                    .filter(|(server, _)| edge.from.contains(server) || announced(edge, server))
                    .map(|(_, stream)| stream.clone())
                    .collect();
                has.extend(streams.into_iter().map(|stream| (edge.name.clone(), stream)));
            }
        }
        let origins = self.script.origins.iter().filter(|origin| origin.serves.is_some());
        let serve: BTreeSet<&String> = origins
            .map(|origin| &origin.name)
            .chain(self.script.edges.iter().map(|edge| &edge.name))
            .collect();
        has.retain(|(server, _)| serve.contains(server));
        has
    }

    fn demand_playing(&self, viewer: HostId, rule: &'static str) -> Result<(), Violation> {
        let (record, name) = (self.world.watch(viewer).record(), self.world.name(viewer));
        if let Some((_, fatal)) = &record.fatal {
            return Err(self.violation(rule, name, format!("it gave up: {fatal}")));
        }
        let sound_only = self.script.encoders.iter().any(|encoder| {
            !encoder.video && self.world.watch(viewer).url().contains(&format!("/live/{}/", encoder.stream))
        });
        let kind = if sound_only { Kind::Audio } else { Kind::Video };
        match record.newest(kind) {
            None => Err(self.violation(rule, name, format!("it has no {kind:?}"))),
            Some(part) if self.world.now().since(part.at) > STILL => {
                let still = self.world.now().since(part.at);
                Err(self.violation(rule, name, format!("its {kind:?} has stood still for {still:?}")))
            }
            Some(_) => Ok(()),
        }
    }

    /// Edges that should go back to their first server have done so, if it has everything that they play.
    fn demand_failback(&self) -> Result<(), Violation> {
        let core = self.core();
        for edge in self.script.edges.iter().filter(|edge| edge.failback && core.contains(&edge.name)) {
            let Some(first) = edge.from.first().filter(|first| core.contains(first)) else { continue };
            let feeds = |encoder: &Encoder| core.contains(&encoder.name) && encoder.to.contains(first);
            if !self.script.origins.iter().any(|origin| origin.name == *first)
                || !self.script.encoders.iter().all(feeds)
            {
                continue;
            }
            let source = self.source(self.hosts[&edge.name]).map(|host| self.world.name(host));
            if source.is_some_and(|source| source != first) {
                let what = format!("it plays from {} and not from {first}", source.unwrap_or_default());
                return Err(self.violation("an edge goes back to its first server", &edge.name, what));
            }
        }
        Ok(())
    }
}

/// Quiet.
impl Play<'_> {
    fn quiet(&mut self) -> Result<(), Violation> {
        let persistent: Vec<(String, HostId, usize)> = self
            .servers()
            .into_iter()
            .filter(|(name, _)| self.script.edges.iter().any(|edge| edge.name == *name && edge.persistent))
            .map(|(name, host)| (name, host, self.pulled(host)))
            .collect();
        let players: Vec<HostId> = self.world.viewers().map(|(host, _)| host).collect();
        let strangers = self.script.strangers.iter().map(|stranger| self.hosts[&stranger.name]);
        for guest in players.into_iter().chain(strangers) {
            self.world.crash(guest, headwater_net_sim::Crash::Fin);
        }
        // Unused streams go tier by tier: an edge behind another edge is its viewer.
        let unused: u64 = self.script.edges.iter().map(|edge| edge.unused_ms + UNUSED_SLACK_MS).sum();
        self.advance(self.world.now() + ms(unused))?;
        self.demand_unused_streams_gone()?;
        for (name, host, before) in persistent {
            let left = self.pulled(host);
            if left < before {
                let what = format!("it has let go {} of {before} streams", before - left);
                return Err(self.violation("persistent streams stay", &name, what));
            }
        }
        let encoders = self.script.encoders.iter().map(|encoder| self.hosts[&encoder.name]);
        for encoder in encoders.collect::<Vec<_>>() {
            self.world.crash(encoder, headwater_net_sim::Crash::Fin);
        }
        self.advance(self.world.now() + FORGOTTEN_AFTER)?;
        self.demand_nothing_left()?;
        self.demand_empty_stores()
    }

    /// What is in a store of the core leaves it, also what the dead have left there.
    fn demand_empty_stores(&mut self) -> Result<(), Violation> {
        if self.stores.is_empty() {
            return Ok(());
        }
        self.advance(self.world.now() + KEYS_LIVE + clock_steps(self.script))?;
        for (name, store) in self.stores.iter().filter(|(name, _)| self.core().contains(name)) {
            let keys = store.keys(self.world.clock(self.hosts[name]).wall.as_millis());
            if let Some((key, left)) = keys.first() {
                let what = format!("{} keys stay, such as {key:?} for {left:?}", keys.len());
                return Err(self.violation("what nobody keeps leaves the store", name, what));
            }
        }
        Ok(())
    }

    /// The servers of the core that run.
    fn servers(&self) -> Vec<(String, HostId)> {
        let core = self.core();
        let edges = self.script.edges.iter().map(|edge| &edge.name);
        let all = edges.chain(self.script.origins.iter().map(|origin| &origin.name));
        let right = all.filter(|name| core.contains(name)).map(|name| (name.clone(), self.hosts[name]));
        right.filter(|(_, host)| self.world.is_running(*host)).collect()
    }

    fn demand_unused_streams_gone(&self) -> Result<(), Violation> {
        for edge in self.script.edges.iter().filter(|edge| !edge.persistent) {
            let Some((name, host)) = self.servers().into_iter().find(|(name, _)| *name == edge.name) else {
                continue;
            };
            let behind_persistent =
                self.script.edges.iter().any(|other| other.persistent && other.from.contains(&edge.name));
            let (left, open) = (self.pulled(host), self.world.census(host).pulls);
            if left + open > 0 && !behind_persistent {
                let what =
                    format!("it still pulls {left} streams that nobody watches, on {open} connections");
                return Err(self.violation("unused streams are gone in time", &name, what));
            }
        }
        Ok(())
    }

    /// How many streams `edge` pulls, as it says.
    fn pulled(&self, edge: HostId) -> usize {
        let mut pulled = BTreeSet::new();
        for fact in self.world.facts().iter().filter(|fact| fact.host == edge) {
            match &fact.event {
                Event::PullDialled { key, .. } => drop(pulled.insert(key)),
                Event::PullEnded { key, .. } => drop(pulled.remove(key)),
                _ => {}
            }
        }
        pulled.len()
    }

    fn demand_nothing_left(&self) -> Result<(), Violation> {
        // A persistent pull stays for as long as the edge, and what it pulls from has a client.
        if self.script.edges.iter().any(|edge| edge.persistent) {
            return Ok(());
        }
        for (name, host) in self.servers() {
            NothingLeaks::check_host(&self.world, host)
                .map_err(|what| self.violation("nothing is left when all is quiet", &name, what))?;
        }
        Ok(())
    }
}

/// What the script wants done, in the order of time.
fn agenda(script: &Script) -> Vec<(Time, Do)> {
    let mut agenda = Vec::new();
    for (index, viewer) in script.viewers.iter().enumerate() {
        agenda.push((moment(viewer.from_ms), Do::Join(index)));
        agenda.extend(viewer.until_ms.map(|until| (moment(until), Do::Leave(index))));
    }
    for (index, poller) in script.pollers.iter().enumerate() {
        let moments = (0..u64::from(poller.times)).map(|n| poller.from_ms + n * poller.every_ms);
        agenda.extend(moments.map(|at| (moment(at), Do::Ask(index))));
    }
    for (index, step) in script.steps.iter().enumerate() {
        agenda.push((moment(step.at_ms), Do::Act(index)));
    }
    agenda.retain(|(at, _)| *at <= moment(script.length_ms));
    agenda.sort_by_key(|(at, _)| *at);
    agenda
}

/// How many origins stand by for a stream at most.
fn standbys(script: &Script) -> usize {
    let most = script.edges.iter().map(|edge| edge.hot_standby).max();
    usize::try_from(most.unwrap_or(0)).unwrap_or(usize::MAX)
}

/// The longest recent past that an origin may send at once: HISTORY and a GOP of the largest stream, and room for its
/// greatest frames.
fn history_bytes(script: &Script) -> usize {
    let of = |encoder: &Encoder| {
        let source = encoders::source(script, encoder);
        let seconds = 5 + u64::from(encoder.gop * encoder.fps.1).div_ceil(u64::from(encoder.fps.0));
        let frames = seconds * u64::from(encoder.fps.0).div_ceil(u64::from(encoder.fps.1));
        let video = usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(source.delta_bytes + 400);
        let keys = usize::try_from(frames / u64::from(encoder.gop) + 2).unwrap_or(usize::MAX);
        video.saturating_add(keys.saturating_mul(source.key_bytes)).saturating_add(1 << 20)
    };
    script.encoders.iter().map(of).max().unwrap_or(1 << 20)
}

/// How many connections each edge may open in ten seconds: three rounds over its servers at once, a few more attempts
/// with growing pauses, and a try to go back now and then. A stream that is polled is looked for once per second.
fn dials_allowed(script: &Script) -> BTreeMap<String, usize> {
    let mut streams: BTreeSet<&str> = script.encoders.iter().map(|encoder| encoder.stream.as_str()).collect();
    streams.extend(script.viewers.iter().map(|viewer| viewer.stream.as_str()));
    streams.extend(script.pollers.iter().map(|poller| poller.stream.as_str()));
    let allowed = |edge: &script::Edge| {
        let urls = edge.from.len();
        let polled = if script.pollers.is_empty() { 0 } else { 10 * (3 * urls + 4) };
        // A store that is away is asked for ever, after growing pauses.
        let asks = if edge.store.is_some() { 40 * (streams.len() + 1) } else { 0 };
        streams.len() * (12 * urls + 24 + polled) + asks
    };
    script.edges.iter().map(|edge| (edge.name.clone(), allowed(edge))).collect()
}

/// An origin: Headwater, or a model of OvenMediaEngine.
fn boot_origin(script: &Script, origin: &script::Origin) -> Boot {
    let encoder = script.encoders.iter().find(|encoder| Some(&encoder.name) == origin.ome.as_ref());
    if let Some(encoder) = encoder {
        let source = encoders::source(script, encoder);
        let stream = ome::Stream::new("live", &encoder.stream, source);
        return match origin.spoilt {
            None => ome::Origin::boot(stream),
            Some(Spoilt { how, after }) => ome::spoilt::boot(stream, how, after),
        };
    }
    let boot = server(&ServerXml::origin(origin, "*"));
    let boot = boot.listen(RTMP_PORT, Service::Rtmp).listen(OVT_PORT, Service::Ovt);
    if origin.serves.is_some() { boot.listen(HLS_PORT, Service::Http) } else { boot }
}

/// An encoder, which has its mishaps when the script says, also if it was started anew in the meantime.
fn boot_encoder(script: &Script, plan: &Encoder) -> Boot {
    let (source, targets) = (encoders::source(script, plan), encoders::targets(plan, str::to_owned));
    let mut first_boot: Option<Time> = None;
    Boot::new(move |seed, now| {
        let gone = now.mono.since(*first_boot.get_or_insert(now.mono));
        let left = encoders::started_after(&source, gone);
        Box::new(encoder::Encoder::new(left, targets.clone(), seed, now, Rtmp::connect))
    })
}

/// By how much the clocks of a script's stores are set back at most: whatever is in them lives for so much longer.
fn clock_steps(script: &Script) -> Duration {
    let is_store = |host: &String| script.stores.iter().any(|store| store.name == *host);
    let back = script.steps.iter().filter_map(|step| match &step.act {
        Act::StepClock { host, by_ms } if is_store(host) => u64::try_from(-by_ms).ok(),
        _ => None,
    });
    ms(back.sum())
}

fn link(link: &script::Link) -> headwater_net_sim::Link {
    let latency = Latency::ms(link.latency_ms).jitter_ms(link.jitter_ms);
    headwater_net_sim::Link::from(latency).loss_ppm(link.loss_ppm)
}

fn crash(how: script::Crash) -> headwater_net_sim::Crash {
    match how {
        script::Crash::Fin => headwater_net_sim::Crash::Fin,
        script::Crash::Reset => headwater_net_sim::Crash::Reset,
        script::Crash::Silent => headwater_net_sim::Crash::Silent,
    }
}

fn moment(at_ms: u64) -> Time {
    Time::ZERO + ms(at_ms)
}

fn panic_message(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}

/// A pause before a store that was away is asked again, what is lost then, and how often what is kept is looked at.
const LEARNT: Duration = Duration::from_secs(6);
/// How long what nobody keeps may stay in a store: the life of an entry, and what drift adds.
const KEYS_LIVE: Duration = Duration::from_millis(61_000);
/// After so many milliseconds RTMP's timestamps begin again.
const RTMP_TIMES_MS: i64 = 1 << 32;
/// How often the checkers look.
const EVERY: Duration = Duration::from_millis(250);
/// How long the judges watch.
const JUDGED_FOR: Duration = Duration::from_secs(8);
/// A picture that has had no part for so long stands still.
const STILL: Duration = Duration::from_millis(2_500);
/// How much later than UnusedStreamDeletionTimeout a stream may go: its last viewer's connection, and the requests
/// that still wait.
const UNUSED_SLACK_MS: u64 = 4_000;
/// When an origin's publishers and an edge's memory of absent streams must be gone: eight seconds, and those for which a
/// stream waits for its publisher.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(13);
/// Five seconds for the first word and ten for the first media of whoever publishes, and a way there.
const PUT_UP_WITH: Duration = Duration::from_secs(12);
/// How much of the end of a story is told when a rule is broken.
const STORY_LINES: usize = 40;
