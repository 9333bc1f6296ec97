//! Leaf edges behind two edges behind two origins. A server of any tier is lost; the tier behind it finds another one, and
//! the tiers behind that do not notice.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Edge, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "edge-chain",
    about: "leaf edges behind edges; a server of any tier is lost",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    let no_input_ms = draw.number(500..=2_000);
    // A leaf need not be more patient than what it pulls from: an edge whose origin is silent is not silent itself.
    let tier = |name: &str, from: [&str; 2]| Edge { no_input_ms, ..Edge::new(name, &from) };
    script.edges = vec![
        tier("edge-1", ["origin-a", "origin-b"]),
        tier("edge-2", ["origin-a", "origin-b"]),
        tier("leaf-1", ["edge-1", "edge-2"]),
        tier("leaf-2", ["edge-2", "edge-1"]),
    ];
    for leaf in ["leaf-1", "leaf-2"] {
        script.viewer(leaf, draw.number(5_000..=7_000));
    }
    let origin = draw.coin();
    let lost = if origin { "origin-a" } else { draw.pick(&["edge-1", "edge-2"]) };
    let host = lost.to_owned();
    let silent = draw.coin();
    let loss = match draw.coin() {
        _ if !silent => Act::Crash { host, how: draw.pick(&[Crash::Fin, Crash::Reset]) },
        true => Act::Pause { host },
        false => Act::Crash { host, how: Crash::Silent },
    };
    script.at(draw.number(12_000..=18_000), loss);
    // It stays lost.
    let all = ["origin-a", "origin-b", "edge-1", "edge-2", "leaf-1", "leaf-2", "encoder"];
    script.recovery.core = all.iter().filter(|name| **name != lost).map(|&name| name.to_owned()).collect();

    // As when an origin is lost. The other edge has the stream already: its own leaf plays it.
    let waits = if silent { script.suspects_ms() } else { 0 };
    let failover = waits + script.dial_ms() + 50;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    let first_part = 2 * script.dial_ms() + 8 * script.one_way_ms() + 150;
    script.must(Rule::FirstPart { ms: first_part });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
