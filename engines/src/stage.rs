//! What an engine gives to a script: hosts that run, time that goes by, and faults; and the playing itself, which is
//! the same for all of them.

use headwater_core::time::Time;
use headwater_scenarios::facts::Fact;
use headwater_scenarios::script::{Act, Script, Step, source_of};

use crate::outcome::Outcome;

/// A script's hosts, started, in an engine's world.
pub trait Stage {
    /// Lets time go by until so many milliseconds after the beginning.
    ///
    /// # Errors
    /// If a program fails.
    fn advance(&mut self, to_ms: u64) -> anyhow::Result<()>;

    /// The script's time.
    fn now(&self) -> Time;

    /// Does what the script says to these hosts.
    ///
    /// # Errors
    /// If it cannot be done.
    fn act(&mut self, act: &Act, hosts: &[String]) -> anyhow::Result<()>;

    /// What edges have said so far.
    fn facts(&self) -> Vec<Fact>;

    /// What came of it; [`perform`] adds when it began.
    fn outcome(&self, script: &Script) -> Outcome;
}

/// Plays the faults of `script` on `stage`.
///
/// # Errors
/// As the stage says.
pub fn perform(script: &Script, stage: &mut impl Stage) -> anyhow::Result<Outcome> {
    let mut first_step = None;
    for Step { at_ms, act } in script.steps.iter().filter(|step| step.at_ms <= script.length_ms) {
        stage.advance(*at_ms)?;
        // As in the simulator, what is said of an edge's source is not done while it has none.
        let host = |name: &str| match source_of(name) {
            Some(edge) => Outcome::source(&stage.facts(), edge),
            None => Some(name.to_owned()),
        };
        let hosts: Option<Vec<String>> = act.hosts().into_iter().map(host).collect();
        if let Some(hosts) = hosts {
            first_step.get_or_insert(stage.now());
            stage.act(act, &hosts)?;
        }
    }
    stage.advance(script.length_ms)?;
    Ok(Outcome { first_step, ..stage.outcome(script) })
}

/// An engine cannot play a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{engine} cannot play this script: {what}")]
pub struct Unsupported {
    /// The engine.
    pub engine: &'static str,
    /// What in the script, and why not.
    pub what: String,
}

impl Unsupported {
    /// Looks for the first act of `script` that `reason` has something against, and for hosts that are no Headwater.
    ///
    /// # Errors
    /// If there is one.
    pub fn look(
        engine: &'static str,
        script: &Script,
        reason: impl Fn(&Act) -> Option<&'static str>,
    ) -> Result<(), Unsupported> {
        if script.origins.iter().any(|origin| origin.ome.is_some()) {
            let what = "OvenMediaEngine is modelled in the simulator alone".to_owned();
            return Err(Unsupported { engine, what });
        }
        for step in &script.steps {
            if let Some(reason) = reason(&step.act) {
                let what = format!("at {} ms, {:?}: {reason}", step.at_ms, step.act);
                return Err(Unsupported { engine, what });
            }
        }
        Ok(())
    }
}

/// Whether an act is done by the encoder's own model.
pub fn is_mishap(act: &Act) -> bool {
    matches!(act, Act::Stall { .. } | Act::Jump { .. } | Act::Resize { .. } | Act::Reconnect { .. })
}
