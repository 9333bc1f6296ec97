//! The encoder is lost: its process is killed and started again, it loses its power, it produces nothing for a while, or
//! it drops its connections. Both origins lose the stream at the same moment. Numbers go on, and nothing comes twice.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "encoder-loss",
    about: "the encoder is restarted, stalls, or reconnects",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].unused_ms = 60_000;
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.encoders[0].audio = draw.pick(&[Some(48_000), Some(44_100), None]);
    script.encoders[0].synchronised = draw.coin();
    let gop_ms = u64::from(script.encoders[0].gop) * 1_000 / 30;
    script.viewer("edge", 5_000);
    let at = draw.number(12_000..=16_000);
    let encoder = "encoder".to_owned();
    let away = match draw.number(0..=3) {
        0 => {
            script.at(at, Act::Reconnect { encoder });
            0
        }
        1 => {
            let for_ms = draw.number(100..=8_000);
            script.at(at, Act::Stall { encoder, for_ms });
            for_ms
        }
        2 => {
            // Without power it says no word. After four seconds an origin takes its silence for its end.
            let away = draw.number(4_500..=6_000);
            script.at(at, Act::Crash { host: encoder.clone(), how: Crash::Silent });
            script.at(at + away, Act::Restart { host: encoder });
            // An edge that is told that the new stream is only starting looks elsewhere, and pauses.
            away + 1_300 + 2_000
        }
        _ => {
            let away = draw.number(0..=6_000);
            script.at(at, Act::Crash { host: encoder.clone(), how: draw.pick(&[Crash::Fin, Crash::Reset]) });
            script.at(at + away, Act::Restart { host: encoder });
            away
        }
    };
    script.length_ms = at + away + 15_000;

    // The handshake, and the next key frame; the edge's pauses have grown to at most the time away, and no longer than
    // two seconds; an origin needs a moment to see that a new stream's first burst is over.
    let found = away + gop_ms + away.clamp(200, 2_000) + 20 * script.one_way_ms() + 200;
    script.must(Rule::Gap { ms: script.part_gap_ms() + found });
    script.must(Rule::NumbersGoOn).must(Rule::NoFatalError);
    script
}
