//! The owner of a stream stands still for longer than its lease, and wakes up when another has taken its place. It must not
//! take it back, and nobody may see its media again.

use super::{cluster, follow_ms, silence_ms, within};
use crate::draw::Draw;
use crate::script::{Act, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-owner-paused",
    about: "the owner of a stream stands still for longer than its lease, and goes on",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let sleeps = draw.number(12_000..=16_000);
    let wakes = sleeps + draw.number(3_200..=15_000);
    script.at(sleeps, Act::Pause { host: "origin-a".to_owned() });
    script.at(wakes, Act::Resume { host: "origin-a".to_owned() });
    let failover = silence_ms(&script) + follow_ms(&script);
    within(&mut script, failover);
    script
}
