//! The encoder drops its connections, or is killed and started again, and is back before the origin has given it up. Its
//! stream goes on: nobody who watches is turned away, at the origin and at an edge that has no other origin.

use super::{later, one_origin};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "publisher-resume",
    about: "the only origin's encoder drops and comes back, and its stream goes on",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = one_origin(draw);
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.encoders[0].audio = draw.pick(&[Some(48_000), Some(44_100), None]);
    script.encoders[0].synchronised = draw.coin();
    let gop_ms = u64::from(script.encoders[0].gop) * 1_000 / 30;
    let encoder = "encoder".to_owned();
    let mut at = later(draw);
    let mut longest = 0;
    for _ in 1..=draw.number(1..=3) {
        let away = match draw.coin() {
            true => {
                script.at(at, Act::Reconnect { encoder: encoder.clone() });
                0
            }
            false => {
                let how = draw.pick(&[Crash::Fin, Crash::Reset]);
                let away = draw.number(0..=4_000);
                script.at(at, Act::Crash { host: encoder.clone(), how });
                script.at(at + away, Act::Restart { host: encoder.clone() });
                away
            }
        };
        longest = longest.max(away);
        at += away + draw.number(5_000..=10_000);
    }
    script.length_ms = at + 8_000;

    // The handshake and the next key frame; the edge's pauses have grown to at most the time away.
    let found = longest + gop_ms + longest.clamp(200, 2_000) + 20 * script.one_way_ms() + 400;
    script.must(Rule::Gap { ms: script.part_gap_ms() + found });
    script.must(Rule::NoStreamEnds).must(Rule::NoFrameTwice).must(Rule::NoFatalError);
    script.must(Rule::NumbersGoOn).must(Rule::Discontinuities { most: 0 });
    script.must(Rule::LetGo { edge: "edge".to_owned(), spans: Vec::new() });
    script
}
