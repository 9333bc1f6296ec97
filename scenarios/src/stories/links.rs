//! Wires between the origins and the edge that lose packets, let them wait, or carry them in one direction only. What
//! comes late is waited for, unless another origin has it sooner.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Link, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "links",
    about: "wires that lose packets, hold them up, or carry them in one direction only",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].failback = false;
    script.viewer("edge", 5_000);
    let failover = script.suspects_ms() + script.dial_ms() + 50;
    let (edge, origin) = ("edge".to_owned(), "source of edge".to_owned());
    let at = draw.number(12_000..=16_000);
    let gap = match draw.number(0..=2) {
        0 => {
            let link =
                Link { latency_ms: 20, jitter_ms: draw.number(0..=20), loss_ppm: draw.small(0..=10_000) };
            for origin in ["origin-a", "origin-b"] {
                script.at(at, Act::Relink { a: edge.clone(), b: origin.to_owned(), link });
            }
            // A lost packet comes 200 ms later, and all that follow wait for it; once in a while it is lost twice.
            script.must(Rule::Decodable);
            script.must(Rule::NoFailover);
            2 * 200 + 40
        }
        1 => {
            let held = draw.number(50..=script.edges[0].no_input_ms - 100);
            script.at(at, Act::Hold { a: edge.clone(), b: origin.clone() });
            script.at(at + held, Act::Heal { a: edge, b: origin });
            if held < 200 {
                script.must(Rule::NoFailover);
            }
            held.min(failover)
        }
        _ => {
            let [from, to] = if draw.coin() { [edge, origin] } else { [origin, edge] };
            script.at(at, Act::CutOneWay { from, to });
            script.must(Rule::Failover { ms: failover });
            failover
        }
    };
    script.must(Rule::Gap { ms: script.part_gap_ms() + gap });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
