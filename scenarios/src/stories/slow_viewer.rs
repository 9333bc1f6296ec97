//! Viewers read slowly, or not at all for a while. What waits for them is bounded, and nobody else notices.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "slow-viewer",
    about: "some viewers read slowly, and the others do not notice",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    script.viewer("edge", 5_000);
    let mut at = draw.number(8_000..=12_000);
    for _ in 1..=draw.number(1..=3) {
        let slow = script.viewer("edge", draw.number(5_000..=8_000)).name.clone();
        // The stream has 60 kB per second.
        let bytes = Some(draw.pick(&[500, 5_000, 20_000, 50_000, 100_000]));
        script.at(at, Act::ReadRate { host: slow.clone(), bytes });
        at += draw.number(1_000..=10_000);
        script.at(at, Act::ReadRate { host: slow, bytes: None });
    }
    script.length_ms = at + 5_000;

    script.must(Rule::Unharmed { viewer: "viewer".to_owned(), ms: script.part_gap_ms() });
    script.must(Rule::NoFailover);
    script
}
