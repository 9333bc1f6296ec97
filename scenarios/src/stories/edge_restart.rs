//! An edge is killed, or stopped in order, and is back at once or after a while. Its viewers go; those who come after them
//! are served by numbers that go on.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "edge-restart",
    about: "an edge is restarted; numbers never go back for the next viewers",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    let mut comes = 5_000;
    for _ in 1..=draw.number(1..=3) {
        let ends = comes + draw.number(1_000..=10_000);
        script.viewer("edge", comes).until_ms = Some(ends);
        let host = "edge".to_owned();
        let ending = match draw.number(0..=3) {
            0 => Act::Stop { host: host.clone() },
            1 => Act::Crash { host: host.clone(), how: Crash::Reset },
            2 => Act::Crash { host: host.clone(), how: Crash::Silent },
            _ => Act::Crash { host: host.clone(), how: Crash::Fin },
        };
        let back = ends + draw.number(0..=5_000);
        script.at(ends, ending).at(back, Act::Restart { host });
        comes = back + draw.number(1..=1_000);
    }
    script.viewer("edge", comes);
    script.length_ms = comes + 8_000;

    // As for any cold edge.
    script.must(Rule::FirstPart { ms: script.dial_ms() + 10 * script.one_way_ms() + 150 });
    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::NumbersGoOn).must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
