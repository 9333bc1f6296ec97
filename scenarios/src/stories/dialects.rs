//! Encoders that are not ours speak RTMP in their own ways: other chunks and headers, timestamps of more than 24 bits,
//! acknowledgements that they wait for, messages that are given up, sound that comes late. Every frame arrives once.

use headwater_net_sim::dialect::Habits;

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "dialects",
    about: "encoders with other habits of RTMP publish, and reconnect",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    let encoder = &mut script.encoders[0];
    encoder.dialect = Some(draw.number(0..=u64::from(Habits::COUNT - 1)) as u32);
    encoder.size = draw.pick(&[1, 1, 4]);
    encoder.gop = draw.pick(&[15, 30, 60]);
    encoder.audio = draw.pick(&[Some(48_000), Some(44_100), None]);
    let gop_ms = u64::from(encoder.gop) * 1_000 / 30;
    script.viewer("edge", draw.number(6_000..=8_000));
    script.length_ms = 40_000;
    let mut found = 0;
    if draw.coin() {
        script.at(draw.number(14_000..=20_000), Act::Reconnect { encoder: "encoder".to_owned() });
        // As after the loss of any encoder: its handshake, and the next key frame.
        found = gop_ms + 20 * script.one_way_ms() + 400;
    } else {
        script.must(Rule::EveryFrameOnce).must(Rule::NoFailover);
    }
    // One that waits for acknowledgements may stand still for there and back.
    script.must(Rule::Gap { ms: script.part_gap_ms() + 2 * script.one_way_ms() + found });
    script.must(Rule::NumbersGoOn).must(Rule::NoFatalError);
    script
}
