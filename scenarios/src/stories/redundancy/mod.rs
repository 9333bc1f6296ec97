//! Two origins of one broadcast, which a CDN may ask in turn: what they give under one name is the same.

use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Origin, Script, Serves, Timestamps};

pub mod agreed;
pub mod clocks;
pub mod long;
pub mod restart;
pub mod shapes;

/// Two origins that serve viewers of one encoder, and a viewer at each.
fn pair(draw: &mut Draw, timestamps: Timestamps) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    script.edges.clear();
    let serves = Serves { timestamps, part_ms: 500, segment_ms: 6_000, segments: 10 };
    let origin = |name| Origin { serves: Some(serves.clone()), ..Origin::new(name) };
    script.origins = vec![origin("origin-a"), origin("origin-b")];
    script.length_ms = 90_000;
    // Half a minute goes by until both lists are there.
    script.viewer("origin-a", 4_000);
    script.viewer("origin-b", 4_000);
    script.must(Rule::NoFatalError);
    script
}

/// Draws how the encoder of `script` makes frames: any rate, with or without B-frames, and key frames as far apart as
/// divides a segment.
fn draw_shape(draw: &mut Draw, script: &mut Script) {
    let encoder = &mut script.encoders[0];
    encoder.fps = draw.pick(&[(24_000, 1_001), (25, 1), (30_000, 1_001), (30, 1), (50, 1), (60_000, 1_001)]);
    encoder.gop = encoder.fps.0.div_ceil(encoder.fps.1) * draw.pick(&[1, 2, 3, 6]);
    encoder.b_frames = draw.pick(&[0, 0, 2]);
    encoder.audio = draw.pick(&[Some(48_000), Some(44_100), None]);
}

/// Demands that all is the same but so many segments, and that there are so many to compare by the end.
fn same(script: &mut Script, differ: u64, least: u64) {
    let by_ms = script.length_ms;
    script.must(Rule::SameEverywhere { least, by_ms, differ });
}
