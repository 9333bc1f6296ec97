//! The origin from which an edge plays dies, and its peers hear of it. The other origin has the same encoder: nobody
//! may lose a frame.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "origin-crash",
    about: "the origin that is played dies; the other one has the same encoder",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.viewer("edge", 5_000);
    let dies = draw.number(12_000..=18_000);
    let how = draw.pick(&[Crash::Fin, Crash::Reset]);
    script.at(dies, Act::Crash { host: "source of edge".to_owned(), how });

    // The close arrives; connect, DESCRIBE and PLAY take a round trip each; a burst needs a moment to find its place.
    let failover = script.dial_ms() + 50;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::FirstPart { ms: 2_000 });
    script
}
