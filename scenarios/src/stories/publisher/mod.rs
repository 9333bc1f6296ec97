//! Publishers of one origin that go, come back, and take each other's place. There is no other origin to go to.

use crate::draw::Draw;
use crate::script::{Origin, Script, Serves, Timestamps};

pub mod resume;
pub mod standby;
pub mod storm;

/// One origin that serves viewers itself, an edge of it, and a viewer at each.
fn one_origin(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    let serves = Serves { timestamps: Timestamps::ZeroBased, part_ms: 500, segment_ms: 4_000, segments: 10 };
    script.origins = vec![Origin { serves: Some(serves), ..Origin::new("origin-a") }];
    script.edges[0].from = vec!["origin-a".to_owned()];
    script.edges[0].unused_ms = 60_000;
    script.encoders[0].to = vec!["origin-a".to_owned()];
    script.viewer("edge", 5_000);
    script.viewer("origin-a", 5_000);
    script
}

/// A moment at which everybody has been watching for a while.
fn later(draw: &mut Draw) -> u64 {
    draw.number(12_000..=16_000)
}
