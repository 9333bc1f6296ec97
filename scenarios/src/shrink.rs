//! Makes a script that breaks a rule shorter, as long as it breaks the same rule: fewer faults, fewer hosts, less time,
//! rounder numbers.
//!
//! The order matters: whole hosts go first, because what happens to them goes with them; numbers come last, because
//! fewer of them are left then. The passes are repeated until none finds anything more to leave out.

use crate::script::{Act, Link, Script, source_of};

/// What was left of a script, and what it took.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The shorter script.
    pub script: Script,
    /// How often a shorter script was tried.
    pub tries: u32,
    /// Whether the tries were used up before nothing more could be left out.
    pub gave_up: bool,
}

/// Makes `script` shorter for as long as `breaks` says that it still breaks the rule, in at most `tries_max` tries.
pub fn shrink(script: &Script, tries_max: u32, breaks: impl FnMut(&Script) -> bool) -> Shrunk {
    let mut search = Search { best: script.clone(), tries: 0, tries_max, breaks };
    loop {
        let before = search.best.clone();
        search.drop_hosts();
        search.drop_steps();
        search.drop_rules();
        search.shorten();
        search.simplify();
        search.round();
        if search.best == before || search.tries >= tries_max {
            break;
        }
    }
    Shrunk { gave_up: search.tries >= tries_max, script: search.best, tries: search.tries }
}

struct Search<F> {
    best: Script,
    tries: u32,
    tries_max: u32,
    breaks: F,
}

impl<F: FnMut(&Script) -> bool> Search<F> {
    /// Keeps `shorter` if it can be played and still breaks the rule. Returns whether it does.
    fn keep(&mut self, shorter: Script) -> bool {
        if shorter == self.best || self.tries >= self.tries_max || shorter.examine().is_err() {
            return false;
        }
        self.tries += 1;
        let kept = (self.breaks)(&shorter);
        if kept {
            self.best = shorter;
        }
        kept
    }

    fn try_change(&mut self, change: impl FnOnce(&mut Script)) -> bool {
        let mut shorter = self.best.clone();
        change(&mut shorter);
        self.keep(shorter)
    }

    /// Leaves out whoever is not needed, with everything that is said of them.
    fn drop_hosts(&mut self) {
        let script = &self.best;
        let audience = script
            .pollers
            .iter()
            .map(|poller| &poller.name)
            .chain(script.strangers.iter().map(|stranger| &stranger.name))
            .chain(script.viewers.iter().map(|viewer| &viewer.name));
        let servers = script
            .edges
            .iter()
            .map(|edge| &edge.name)
            .chain(script.origins.iter().map(|origin| &origin.name));
        let encoders = script.encoders.iter().map(|encoder| &encoder.name);
        let servers = servers.chain(script.stores.iter().map(|store| &store.name));
        let names: Vec<String> = audience.chain(encoders).chain(servers).cloned().collect();
        for name in names {
            self.try_change(|script| script.remove_host(&name));
        }
        for viewer in 0..self.best.viewers.len() {
            self.try_change(|script| script.viewers[viewer].count = 1);
        }
    }

    /// Leaves out steps: first halves, then quarters, down to single ones.
    fn drop_steps(&mut self) {
        let mut size = self.best.steps.len().max(1);
        loop {
            let mut from = 0;
            while from < self.best.steps.len() {
                let to = (from + size).min(self.best.steps.len());
                if !self.try_change(|script| drop(script.steps.drain(from..to))) {
                    from = to;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    fn drop_rules(&mut self) {
        for rule in (0..self.best.rules.len()).rev() {
            self.try_change(|script| drop(script.rules.remove(rule)));
        }
    }

    /// Takes time out: at the end, and before the first thing happens.
    fn shorten(&mut self) {
        for _ in 0..8 {
            let half = self.best.length_ms / 2;
            let last = self.best.steps.last().map_or(0, |step| step.at_ms + 100);
            let shortened = [half.max(last), (self.best.length_ms * 3 / 4).max(last), last];
            if !shortened.into_iter().any(|length_ms| self.try_change(|script| script.length_ms = length_ms))
            {
                break;
            }
        }
        for earlier in [10_000, 5_000, 2_000, 1_000] {
            while self.try_change(|script| script.bring_forward(earlier)) {}
        }
    }

    /// Replaces what is unusual by what is usual.
    fn simplify(&mut self) {
        self.try_change(|script| script.link.loss_ppm = 0);
        self.try_change(|script| script.link = Link { latency_ms: 1, jitter_ms: 0, loss_ppm: 0 });
        for index in 0..self.best.encoders.len() {
            self.try_change(|script| script.encoders[index].audio = None);
            self.try_change(|script| {
                (script.encoders[index].fps, script.encoders[index].gop) = ((30, 1), 30)
            });
            self.try_change(|script| script.encoders[index].synchronised = false);
        }
        for index in 0..self.best.viewers.len() {
            self.try_change(|script| script.viewers[index].until_ms = None);
        }
        for index in 0..self.best.edges.len() {
            self.try_change(|script| script.edges[index].failback = false);
            self.try_change(|script| script.edges[index].persistent = false);
            self.try_change(|script| script.edges[index].hot_standby = 0);
            self.try_change(|script| script.edges[index].retry_count = 2);
        }
        self.try_change(|script| script.seed = 1);
    }

    /// Rounds moments and lengths of time.
    fn round(&mut self) {
        for unit in [1_000, 500, 100] {
            for index in 0..self.best.steps.len() {
                self.try_change(|script| {
                    script.steps[index].at_ms = rounded(script.steps[index].at_ms, unit);
                    script.steps.sort_by_key(|step| step.at_ms);
                });
            }
            for index in 0..self.best.viewers.len() {
                self.try_change(|script| {
                    let viewer = &mut script.viewers[index];
                    viewer.from_ms = rounded(viewer.from_ms, unit);
                });
            }
            for index in 0..self.best.edges.len() {
                self.try_change(|script| {
                    let edge = &mut script.edges[index];
                    edge.no_input_ms = rounded(edge.no_input_ms, unit).max(unit);
                });
                self.try_change(|script| {
                    let edge = &mut script.edges[index];
                    edge.unused_ms = rounded(edge.unused_ms, unit).max(unit);
                });
            }
            self.try_change(|script| script.length_ms = rounded(script.length_ms, unit));
        }
    }
}

impl Script {
    /// Takes out the host called `name` and everything that is said of it.
    fn remove_host(&mut self, name: &str) {
        let is = |other: &str| source_of(other).unwrap_or(other) == name;
        self.origins.retain(|origin| origin.name != name);
        self.edges.retain(|edge| edge.name != name);
        self.stores.retain(|store| store.name != name);
        self.encoders.retain(|encoder| encoder.name != name);
        self.viewers.retain(|viewer| viewer.name != name && viewer.server != name);
        self.pollers.retain(|poller| poller.name != name && poller.server != name);
        self.strangers.retain(|stranger| stranger.name != name && stranger.server != name);
        for edge in &mut self.edges {
            edge.from.retain(|server| server != name);
        }
        let stores = self.edges.iter_mut().map(|edge| &mut edge.store);
        for store in stores.chain(self.origins.iter_mut().map(|origin| &mut origin.store)) {
            store.take_if(|store| store == name);
        }
        for encoder in &mut self.encoders {
            encoder.to.retain(|server| server != name);
        }
        self.steps.retain(|step| !step.act.hosts().into_iter().any(is));
        let named = |act: &Act| matches!(act, Act::Dns { name: renamed, .. } if renamed == name);
        self.steps.retain(|step| !named(&step.act));
        self.recovery.core.retain(|core| core != name);
    }

    /// Lets everything that happens after `ms` happen so much earlier, and the run be so much shorter.
    fn bring_forward(&mut self, ms: u64) {
        let later = self.steps.iter().map(|step| step.at_ms).min().unwrap_or(0) > ms;
        if !later || self.length_ms <= ms {
            return;
        }
        for step in &mut self.steps {
            step.at_ms -= ms;
        }
        for viewer in &mut self.viewers {
            viewer.from_ms = viewer.from_ms.saturating_sub(ms);
            viewer.until_ms = viewer.until_ms.map(|until| until.saturating_sub(ms));
        }
        for poller in &mut self.pollers {
            poller.from_ms = poller.from_ms.saturating_sub(ms);
        }
        self.length_ms -= ms;
    }
}

fn rounded(number: u64, unit: u64) -> u64 {
    (number + unit / 2) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Crash, Edge, Origin};

    fn crash(host: &str) -> Act {
        Act::Crash { host: host.to_owned(), how: Crash::Reset }
    }

    /// What breaks the rule is that origin-b dies while edge is there.
    fn culprit(script: &Script) -> bool {
        let dies = script.steps.iter().any(|step| step.act == crash("origin-b") && step.at_ms > 2_000);
        dies && script.edges.iter().any(|edge| edge.name == "edge")
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let mut script = Script::new();
        script.origins.push(Origin::new("origin-c"));
        script.edges.push(Edge::new("other", &["origin-c", "edge"]));
        for n in 0..20 {
            script.viewer(if n % 2 == 0 { "edge" } else { "other" }, n * 1_000);
            script.at(5_003 + n * 977, if n == 13 { crash("origin-b") } else { crash("origin-a") });
        }
        script.at(9_999, Act::Restart { host: "origin-c".to_owned() });
        script.length_ms = 60_000;
        let shrunk = shrink(&script, 10_000, culprit);
        assert!(!shrunk.gave_up);
        let script = shrunk.script;
        assert_eq!(script.steps.len(), 1);
        assert!(script.steps[0].at_ms <= 4_000 && script.steps[0].at_ms.is_multiple_of(1_000), "{script:?}");
        assert_eq!((script.origins.len(), script.edges.len()), (1, 1));
        assert_eq!((script.viewers.len(), script.encoders.len()), (0, 0));
        assert!(script.length_ms <= 5_000, "{}", script.length_ms);
    }

    #[test]
    fn a_script_that_breaks_nothing_any_shorter_is_kept_as_it_is() {
        let mut script = Script::new();
        script.viewer("edge", 3_000);
        let shrunk = shrink(&script, 100, |_| false);
        assert_eq!(shrunk.script, script);
    }

    #[test]
    fn the_number_of_tries_is_bounded() {
        let shrunk = shrink(&Script::new(), 3, |_| true);
        assert!(shrunk.gave_up && shrunk.tries == 3);
    }
}
