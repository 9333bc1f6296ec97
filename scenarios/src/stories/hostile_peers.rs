//! Strangers at every door who mean no good: silence, noise, words broken off, endless words, crowds. They are shown out, and
//! nobody else notices.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Door, Script, Stranger};

pub const SCENARIO: Scenario = Scenario {
    name: "hostile-peers",
    about: "strangers at every door, with noise, silence and endless words; nobody else notices",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    for (name, server, door) in [
        ("stranger", "origin-a", Door::Rtmp),
        ("stranger-2", "origin-a", Door::Ovt),
        ("stranger-3", "edge", Door::Ovt),
    ] {
        script.strangers.push(Stranger { name: name.to_owned(), server: server.to_owned(), door });
    }
    script.viewer("edge", 5_000);
    script.length_ms = 40_000;

    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::FirstPart { ms: 2_000 });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::NoFailover);
    script
}
