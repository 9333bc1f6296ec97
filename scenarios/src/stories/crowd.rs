//! Up to a thousand viewers come to a cold edge at the same moment, and some more a little later. The edge pulls the
//! stream once, and everybody plays.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::Script;

pub const SCENARIO: Scenario = Scenario {
    name: "crowd",
    about: "up to a thousand viewers at once on a cold edge: one pull, and everybody plays",
    one_in: 5,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    // A hundred on average.
    let count = draw.small::<u32>(1..=40);
    script.viewer("edge", 5_000).count = 1_000 / count;
    script.viewer("edge", draw.number(5_001..=7_000)).count = draw.small(1..=20);
    script.length_ms = 10_000;
    script.recovery.within_ms = 0;

    // As in `edge-pull`, from the first origin.
    script.must(Rule::FirstPart { ms: script.dial_ms() + 10 * script.one_way_ms() + 150 });
    script.must(Rule::Dials { edge: "edge".to_owned(), most: 1 });
    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::NoFailover);
    script
}
