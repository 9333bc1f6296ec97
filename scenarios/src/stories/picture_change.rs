//! The encoder's pictures get another size in mid-stream, and perhaps the first one again. Edges are told, playlists
//! announce it, and viewers go on without a missing frame.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "picture-change",
    about: "the encoder's pictures change their size in mid-stream",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.edges[0].segments = draw.small(3..=10);
    script.viewer("edge", 5_000);
    let (mut at, mut large, changes) = (draw.number(12_000..=16_000), true, draw.number(1..=3));
    for _ in 1..=changes {
        script.at(at, Act::Resize { encoder: "encoder".to_owned(), large });
        at += draw.number(3_000..=8_000);
        large = !large;
    }
    // Long enough for a change to leave a short playlist.
    script.length_ms = at + 16_000;

    // An origin sends edges away with what it knew before: they come back and go on where they were.
    let again = script.dial_ms() + 150;
    script.must(Rule::Gap { ms: script.part_gap_ms() + again });
    script.must(Rule::Discontinuities { most: changes });
    script.must(Rule::NumbersGoOn).must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
