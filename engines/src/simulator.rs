//! The simulator, seen as one engine among others.

use headwater_core::time::Time;
use headwater_net_sim::{World, ms};
use headwater_scenarios::Script;
use headwater_scenarios::facts::Fact;
use headwater_scenarios::play::play_faults;

use crate::outcome::{Outcome, Seen};

/// Plays the faults of `script`.
///
/// # Errors
/// If the simulator finds a broken rule.
pub fn play(script: &Script) -> anyhow::Result<Outcome> {
    let (report, world) = play_faults(script);
    anyhow::ensure!(report.passed(), "{report}");
    // The simulator holds pollers to their rules itself.
    let first_step = script.steps.first().map(|step| Time::ZERO + ms(step.at_ms));
    Ok(Outcome {
        first_step,
        viewers: viewers(script, &world),
        facts: Fact::all(&world),
        answers: Vec::new(),
        usage: Vec::new(),
    })
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
