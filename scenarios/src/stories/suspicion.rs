//! When silence means something: an edge 20 ms away from its origins leaves one that was stopped or cut off before viewers
//! can tell, and stays with one that is only late, on wires that lose packets, or has nothing to send, because the
//! picture stands still or the encoder pauses.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Link, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "suspicion",
    about: "a silent origin is left within 400 ms, and one that is late or has nothing to say is not",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.link = Link { latency_ms: 10, jitter_ms: 0, loss_ppm: 0 };
    script.viewer("edge", 5_000);
    let (edge, origin) = ("edge".to_owned(), "origin-a".to_owned());
    let at = draw.number(12_000..=16_000);
    match draw.number(0..=3) {
        0 => {
            let silence = match draw.number(0..=2) {
                0 => Act::Pause { host: origin },
                1 => Act::Isolate { host: origin },
                _ => Act::CutOneWay { from: origin, to: edge },
            };
            script.at(at, silence);
            script.must(Rule::Failover { ms: 400 }).must(Rule::EveryFrameOnce);
            script.must(Rule::Gap { ms: script.part_gap_ms() + 400 });
        }
        1 => {
            let link = Link { latency_ms: 10, jitter_ms: 50, loss_ppm: 10_000 };
            for origin in ["origin-a", "origin-b"] {
                script.at(6_000, Act::Relink { a: edge.clone(), b: origin.to_owned(), link });
            }
            script.length_ms = 120_000;
            script.must(Rule::NoFailover).must(Rule::EveryFrameOnce);
            script.must(Rule::Dials { edge, most: 1 });
        }
        2 => {
            let encoder = &mut script.encoders[0];
            (encoder.fps, encoder.gop, encoder.audio) = ((1, 1), 5, None);
            script.must(Rule::NoFailover).must(Rule::EveryFrameOnce);
            script.must(Rule::Dials { edge, most: 1 });
        }
        _ => {
            let for_ms = draw.number(300..=2_500);
            script.at(at, Act::Stall { encoder: "encoder".to_owned(), for_ms });
            script.must(Rule::NoFailover).must(Rule::Dials { edge, most: 1 });
        }
    }
    script.must(Rule::NoFatalError);
    script
}
