//! Viewers come and go. A stream lives for as long as UnusedStreamDeletionTimeout after its last viewer, no shorter and
//! no longer, and who comes after that has it pulled anew.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::Script;

pub const SCENARIO: Scenario = Scenario {
    name: "unused-stream",
    about: "viewers come and go; a stream that nobody plays is let go in time, and pulled anew",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    let unused = draw.number(2_000..=6_000);
    script.edges[0].unused_ms = unused;
    // The last request of a viewer is up to a part old when it leaves between two requests, and its leaving is on its
    // way for a moment.
    let (early, late) = (500, script.one_way_ms() + 50);

    let (mut spans, mut comes) = (Vec::new(), 5_000);
    for _ in 1..=draw.number(2..=4) {
        let leaves = comes + draw.number(1_500..=5_000);
        script.viewer("edge", comes).until_ms = Some(leaves);
        if draw.coin() {
            // The next one comes just in time.
            comes = leaves + draw.number(0..=unused - early - 500);
        } else {
            spans.push((leaves + unused - early, leaves + unused + late));
            comes = leaves + unused + late + draw.number(0..=2_000);
        }
    }
    script.viewer("edge", comes);
    script.length_ms = comes + 3_000;

    let pulls = u32::try_from(spans.len() + 1).unwrap_or(0);
    script.must(Rule::Dials { edge: "edge".to_owned(), most: pulls });
    script.must(Rule::LetGo { edge: "edge".to_owned(), spans });
    script.must(Rule::FirstPart { ms: script.dial_ms() + 10 * script.one_way_ms() + 150 });
    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::NumbersGoOn).must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
