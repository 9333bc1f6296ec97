//! Frames of every shape in calm times: frame rates of broadcasting, B-frames, odd audio, no audio, no pictures, a picture
//! that stands still. Every frame arrives once, soon after it was made, and dated rightly.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::Script;

pub const SCENARIO: Scenario = Scenario {
    name: "frame-shapes",
    about: "calm times with every frame rate, B-frames, odd audio, still pictures",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    let encoder = &mut script.encoders[0];
    encoder.synchronised = draw.coin();
    encoder.fps =
        draw.pick(&[(24_000, 1_001), (25, 1), (30_000, 1_001), (30, 1), (50, 1), (60_000, 1_001), (1, 1)]);
    // A key frame every half, one or two seconds, or as near to that as frames can be; every fifth still picture.
    let per_second = encoder.fps.0.div_ceil(encoder.fps.1);
    encoder.gop = if per_second == 1 { 5 } else { (per_second * draw.pick(&[1, 2, 4])).div_ceil(2) };
    encoder.b_frames = if per_second == 1 { 0 } else { draw.pick(&[0, 0, 2]) };
    encoder.audio = draw.pick(&[Some(48_000), Some(44_100), Some(32_000), None]);
    encoder.video = encoder.audio.is_none() || draw.percent(90);
    let frame_ms = 1_000 / u64::from(per_second);
    let sound_ms = encoder.audio.map_or(0, |rate| 1_024_000 / u64::from(rate));
    let reordering_ms = u64::from(encoder.b_frames) * frame_ms;
    script.viewer("edge", draw.number(7_000..=10_000));
    script.length_ms = 40_000;

    // A part is whole when the next frame of its track is there, and sound waits for the pictures of its time as well.
    // B-frames are decoded later than made. Two hops are to be made, then the answer to a reload, and there and back for
    // the part; and once more there and back for a short one at the end of a segment, which comes so soon after another
    // that the reload for it is still on its way.
    script.must(Rule::Fresh { ms: frame_ms + sound_ms + reordering_ms + 7 * script.one_way_ms() + 50 });
    // What is newest when an edge begins has waited for the recent past before it.
    script.must(Rule::Dated { ms: reordering_ms + frame_ms + script.dial_ms() + 50 });
    script.must(Rule::Gap { ms: script.part_gap_ms() + frame_ms });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::NoFailover);
    script
}
