//! An edge reads more slowly than its stream grows, for a while or from then on. The origin cuts it to key frames and
//! queues no more than it may; the other edge does not notice.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Edge, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "slow-edge",
    about: "an edge reads too slowly: it is skipped to key frames, and the other one does not notice",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    // 1.2 MB per second: the 4 MB that an origin queues for an edge are full in a few seconds.
    script.encoders[0].size = 20;
    script.edges.push(Edge::new("slow", &["origin-a", "origin-b"]));
    script.viewer("edge", 5_000);
    script.viewer("slow", 5_000);
    let slow = "slow".to_owned();
    let at = draw.number(9_000..=12_000);
    let bytes = draw.number(1_000..=1_000_000);
    script.at(at, Act::ReadRate { host: slow.clone(), bytes: Some(bytes) });
    if draw.coin() {
        script.at(at + draw.number(1_000..=15_000), Act::ReadRate { host: slow, bytes: None });
        if bytes >= 300_000 {
            // Who takes something and is quick again within half a minute is not sent away, then or later.
            script.length_ms = 50_000;
            script.must(Rule::NoFailover);
        }
    } else {
        // It stays slow, and nobody else is the worse for it.
        script.recovery.core = ["origin-a", "origin-b", "encoder", "edge"].map(str::to_owned).to_vec();
    }

    script.must(Rule::Decodable);
    script.must(Rule::Unharmed { viewer: "viewer".to_owned(), ms: script.part_gap_ms() });
    script
}
