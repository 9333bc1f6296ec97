//! Two edges in front of a leaf, each with an origin of its own, and the first one's origin says nothing. That edge owes an
//! answer to whoever asks it, and gives one: the leaf goes to the other edge, and requests do not hang.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Edge, Poller, STREAM, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "mute-edge",
    about: "an edge whose origin is silent says so to edges behind it and to viewers",
    one_in: 2,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    script.edges = vec![
        // It never gives up, so that nothing but its deadlines answers.
        Edge { retry_count: 20, ..Edge::new("edge-1", &["origin-a"]) },
        Edge::new("edge-2", &["origin-b"]),
        Edge::new("leaf", &["edge-1", "edge-2"]),
    ];
    script.at(draw.number(2_000..=4_000), Act::Pause { host: "origin-a".to_owned() });
    script.viewer("leaf", draw.number(5_000..=6_000));
    let (name, server) = ("poller".to_owned(), "edge-1".to_owned());
    let (from_ms, every_ms) = (draw.number(5_000..=8_000), draw.number(700..=1_500));
    script.pollers.push(Poller {
        name: name.clone(),
        server,
        stream: STREAM.to_owned(),
        from_ms,
        every_ms,
        times: 6,
    });

    // A DESCRIBE is held for 1.3 s, and a viewer's request for as long as a start may take.
    script.must(Rule::FirstPart { ms: 1_300 + 2 * script.one_way_ms() * 16 + 300 });
    script.must(Rule::AnsweredWithin { poller: name, ms: 10_000 + 2 * script.one_way_ms() + 50 });
    script.must(Rule::NoFatalError);
    script
}
