//! The first origin is lost and comes back. The edge finds it again within StreamFailbackTimeout and returns as invisibly
//! as it went.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "failback",
    about: "the first origin comes back, and the edge returns to it without a lost frame",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].failback = true;
    // A persistent stream has no other deadline that would wake its edge.
    script.edges[0].persistent = draw.coin();
    script.viewer("edge", 5_000);
    let host = "origin-a".to_owned();
    let lost = draw.number(12_000..=15_000);
    let away = draw.number(100..=8_000);
    let how = draw.pick(&[Crash::Fin, Crash::Reset]);
    script.at(lost, Act::Crash { host: host.clone(), how });
    script.at(lost + away, Act::Restart { host: host.clone() });

    // The encoder tries again after as long as it has failed, at most five seconds, and starts with a key frame; the
    // edge asks once a second and needs a moment to find the place.
    let returns = lost + away + away.clamp(500, 5_000) + 1_000 + 1_000 + 20 * script.one_way_ms() + 500;
    let edge = "edge".to_owned();
    script.length_ms = returns + 5_000;
    script.must(Rule::PlaysFrom { edge, server: host, from_ms: returns, until_ms: returns + 5_000 });

    let failover = script.dial_ms() + 50;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
