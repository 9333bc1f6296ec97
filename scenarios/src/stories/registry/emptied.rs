//! The store starts again with nothing in it. Whoever plays does not notice, and every stream is found again.

use super::{cluster, follow_ms};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, STORE, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-emptied",
    about: "the store starts again with nothing in it, under running streams",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let at = draw.number(12_000..=16_000);
    script.at(at, Act::Empty { store: STORE.to_owned() });
    // Who comes later finds the stream again.
    let mut other = script.edges[0].clone();
    other.name = "edge-2".to_owned();
    script.edges.push(other);
    script.viewer("edge-2", at + 2_500);
    script.must(Rule::EveryFrameOnce).must(Rule::FirstPart { ms: 2_500 });
    script.must(Rule::Gap { ms: script.part_gap_ms() + follow_ms(&script) });
    script
}
