//! The encoder's timestamps jump, forwards or back, once or more often. No server is to blame: no edge leaves its origin,
//! and the picture goes on at the next key frame at the latest.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "encoder-jump",
    about: "the encoder's timestamps jump, forwards and back",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].failback = false;
    // Longer than any wait for a key frame.
    script.edges[0].no_input_ms = 3_000;
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.encoders[0].audio = draw.pick(&[Some(48_000), Some(44_100), None]);
    let gop_ms = u64::from(script.encoders[0].gop) * 1_000 / 30;
    script.viewer("edge", 5_000);
    let mut at = draw.number(12_000..=16_000);
    for _ in 1..=draw.number(1..=3) {
        // A limit of the product: after a jump back by less than a second frames are squeezed together.
        let by_ms = match draw.coin() {
            // Half of them such that the playlist would have room for as long a hole.
            true => {
                let most = draw.pick(&[40_000, 3_600_000]);
                draw.number(1..=most).cast_signed()
            }
            false => -draw.number(2_000..=3_600_000).cast_signed(),
        };
        script.at(at, Act::Jump { encoder: "encoder".to_owned(), by_ms });
        at += draw.number(3_000..=8_000);
    }
    script.length_ms = at + 8_000;

    // What cannot follow the media before it waits for a key frame.
    script.must(Rule::Gap { ms: script.part_gap_ms() + gop_ms + 200 });
    script.must(Rule::NumbersGoOn).must(Rule::NoFatalError).must(Rule::NoFailover);
    script
}
