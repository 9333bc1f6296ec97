//! The owner of a stream is cut off: from the store, from the edge, or from both. The encoder reaches it all the time.

use super::{cluster, follow_ms, silence_ms, within};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, STORE, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-cut-off",
    about: "the owner of a stream is cut off from the store, from the edge, or from both",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let (from, until) = (draw.number(12_000..=16_000), draw.number(20_000..=32_000));
    let (store, edge) = draw.pick(&[(true, false), (false, true), (true, true)]);
    let wires = [(STORE, store), ("edge", edge)];
    for (other, _) in wires.into_iter().filter(|(_, cut)| *cut) {
        let (a, b) = ("origin-a".to_owned(), other.to_owned());
        script.at(from, Act::Cut { a: a.clone(), b: b.clone() });
        script.at(until, Act::Heal { a, b });
    }
    // Without the store it is dead to the others, although it plays: the edge leaves it without a gap. Without the edge
    // it stays the owner, and the edge goes to the one that waits.
    let failover = if edge { silence_ms(&script) } else { 0 } + follow_ms(&script);
    if !edge {
        script.must(Rule::EveryFrameOnce);
    }
    within(&mut script, failover);
    script
}
