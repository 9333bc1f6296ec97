//! The simulator, seen as one engine among others.

use headwater_net_sim::World;
use headwater_scenarios::Script;
use headwater_scenarios::play::play_faults;

use crate::outcome::{Fact, Outcome, Seen};

/// Plays the faults of `script`.
///
/// # Errors
/// If the simulator finds a broken rule.
pub fn play(script: &Script) -> anyhow::Result<Outcome> {
    let (report, world) = play_faults(script);
    anyhow::ensure!(report.passed(), "{report}");
    let facts = world.facts().iter().filter_map(|fact| {
        let edge = world.name(fact.host);
        Fact::of(edge, &fact.event, str::to_owned)
    });
    // The simulator holds pollers to their rules itself.
    Ok(Outcome { viewers: viewers(script, &world), facts: facts.collect(), answers: Vec::new() })
}

fn viewers(script: &Script, world: &World) -> Vec<Seen> {
    let mut seen = Vec::new();
    for plan in &script.viewers {
        for name in plan.names() {
            let found = world.viewers().find(|(host, _)| world.name(*host) == name);
            seen.extend(found.map(|(_, viewer)| Seen::new(script, plan, name, viewer.record())));
        }
    }
    seen
}
