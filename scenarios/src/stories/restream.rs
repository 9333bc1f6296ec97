//! A stream ends in order and comes back under the same name, soon or after the edge has forgotten it, with its old clock
//! or with a new one. Numbers go on.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "restream",
    about: "a stream ends and comes back under the same name, with higher numbers",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.encoders[0].synchronised = draw.coin();
    let mut comes = 5_000;
    for _ in 1..=draw.number(1..=3) {
        let ends = comes + draw.number(3_000..=8_000);
        // Viewers may go before the stream does.
        script.viewer("edge", comes).until_ms = Some(ends - draw.number(0..=2_000));
        let back = ends + draw.number(0..=15_000);
        let host = "encoder".to_owned();
        script.at(ends, Act::Stop { host: host.clone() }).at(back, Act::Restart { host });
        // The handshake, the first key frame, the edge's pause if it still tries, or its memory of an absent stream.
        comes = back + 20 * script.one_way_ms() + 1_000 + 2_000 + draw.number(100..=3_000);
    }
    script.viewer("edge", comes);
    script.length_ms = comes + 8_000;

    // As for any cold edge, if there is a key frame.
    script.must(Rule::FirstPart { ms: script.dial_ms() + 10 * script.one_way_ms() + 150 });
    script.must(Rule::NumbersGoOn).must(Rule::NoFatalError);
    script
}
