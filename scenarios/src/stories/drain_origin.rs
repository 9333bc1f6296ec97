//! An origin is asked to go while viewers watch what comes from it. Its edge goes to the other one, and nobody notices;
//! when the edge has gone, so does the origin.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "drain-origin",
    about: "an origin is asked to go (SIGTERM): the edge is elsewhere at once, and the origin goes when it has",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.viewer("edge", 5_000).count = draw.small(1..=4);
    let asked = draw.number(10_000..=14_000);
    let restart = asked + draw.number(6_000..=9_000);
    let host = "origin-a".to_owned();
    script.at(asked, Act::Drain { host: host.clone() }).at(restart, Act::Restart { host: host.clone() });
    script.length_ms = restart + 5_000;

    let failover = script.dial_ms() + 50;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    let (edge, server) = ("edge".to_owned(), "origin-b".to_owned());
    script.must(Rule::PlaysFrom { edge, server, from_ms: asked + failover + 500, until_ms: restart });
    // Whoever was sent away could come back for three seconds.
    script.must(Rule::Gone { host, by_ms: asked + 4_000, until_ms: restart });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::Decodable);
    script
}
