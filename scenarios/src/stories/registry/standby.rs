//! The owner of a stream dies. The origin that waits takes its place, and nobody loses a frame.

use super::{cluster, follow_ms, silence_ms, within};
use crate::draw::Draw;
use crate::script::{Act, Crash, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-standby",
    about: "the owner of a stream dies, and the origin that waits takes its place",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let dies = draw.number(12_000..=16_000);
    let how = draw.pick(&[Crash::Fin, Crash::Reset, Crash::Silent]);
    script.at(dies, Act::Crash { host: "origin-a".to_owned(), how });
    if draw.coin() {
        script.at(dies + draw.number(0..=10_000), Act::Restart { host: "origin-a".to_owned() });
    }

    let failover = silence_ms(&script) + follow_ms(&script);
    within(&mut script, failover);
    script
}
