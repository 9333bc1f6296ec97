//! An edge is cut off from every origin for a while. Its viewers wait, another edge's viewers notice nothing, and when the
//! cable is put back the edge is there again after its next try.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Edge, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "edge-partition",
    about: "an edge is cut off from every origin for a while",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.edges.push(Edge::new("cut-off", &["origin-a", "origin-b"]));
    script.draw_network(draw).draw_patience(draw);
    script.edges[1].unused_ms = 60_000;
    script.viewer("edge", 5_000);
    script.viewer("cut-off", 5_000);
    let at = draw.number(12_000..=16_000);
    let cut = draw.number(100..=6_000);
    for origin in ["origin-a", "origin-b"] {
        let (a, b) = ("cut-off".to_owned(), origin.to_owned());
        script.at(at, Act::Cut { a: a.clone(), b: b.clone() }).at(at + cut, Act::Heal { a, b });
    }
    script.length_ms = at + cut + 12_000;

    // A try that nobody answers takes 1.5 s, and the pause after it at most two.
    let found = cut.max(script.edges[1].no_input_ms) + 1_500 + 2_000 + script.dial_ms() + 200;
    script.must(Rule::Decodable);
    script.must(Rule::Failover { ms: found });
    script.must(Rule::Gap { ms: script.part_gap_ms() + found });
    script.must(Rule::Unharmed { viewer: "viewer".to_owned(), ms: script.part_gap_ms() });
    script.must(Rule::NumbersGoOn).must(Rule::NoFatalError);
    script
}
