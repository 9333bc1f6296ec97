//! The first viewers of cold edges: every edge pulls the stream once, from the first server that has it, and starts
//! with what the origin remembers, so that nobody waits for a key frame.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Edge, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "edge-pull",
    about: "the first viewers of cold edges, which know several origins",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    let edges: Vec<String> = (1..=draw.number(1..=3)).map(|n| format!("edge-{n}")).collect();
    script.edges = edges.iter().map(|name| Edge::new(name, &["origin-a", "origin-b"])).collect();
    // The first origin may not have the stream: one more question.
    let tries = draw.small(1..=2);
    if tries == 2 {
        script.encoders[0].to.remove(0);
    }
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.length_ms = 15_000;
    for edge in &edges {
        for _ in 1..=draw.number(1..=3) {
            // A key frame and a few parts after it have been made by then.
            script.viewer(edge, draw.number(5_000..=8_000));
        }
        script.must(Rule::Dials { edge: edge.clone(), most: tries });
    }

    // The viewer connects and asks for the first playlist; the edge connects, asks for DESCRIBE and PLAY at each origin,
    // and gets the recent past (see `Script::dial_ms`); the viewer asks for two playlists, and for the first part and what belongs to it.
    let round_trips = 2 + 3 * u64::from(tries) + 5 + 4;
    script.must(Rule::FirstPart { ms: 2 * script.one_way_ms() * round_trips + 150 });
    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::NoFailover);
    script
}
