//! An edge is asked to go while somebody watches. Who watches goes on watching, who comes is sent elsewhere, and the edge
//! goes when the last viewer has gone.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Poller, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "drain-edge",
    about: "an edge is asked to go (SIGTERM): who watches stays, who comes is sent elsewhere, then it goes",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    let asked = draw.number(8_000..=10_000);
    let leaves = asked + draw.number(2_000..=12_000);
    let viewer = script.viewer("edge", 5_000);
    viewer.count = draw.small(1..=4);
    viewer.until_ms = Some(leaves);
    script.at(asked, Act::Drain { host: "edge".to_owned() });
    script.pollers.push(Poller {
        name: "newcomer".to_owned(),
        server: "edge".to_owned(),
        stream: "match".to_owned(),
        from_ms: asked + 500,
        every_ms: 250,
        times: u32::try_from((leaves - asked - 500) / 250).unwrap_or(1),
    });
    let segment = script.edges[0].segment_ms;
    let gone = leaves + 2 * segment + 1_000;
    script.length_ms = gone + 2_000;

    script.must(Rule::Answer { poller: "newcomer".to_owned(), status: 503 });
    script
        .must(Rule::AnsweredWithin { poller: "newcomer".to_owned(), ms: 4 * script.one_way_ms() + 50 + 250 });
    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::Gone { host: "edge".to_owned(), by_ms: gone, until_ms: script.length_ms });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::NoFailover);
    script
}
