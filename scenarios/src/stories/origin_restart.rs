//! The origins are restarted in order, one after the other, as for an update. Each says goodbye, and no viewer notices.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "origin-restart",
    about: "the origins are stopped in order (SIGTERM) and started anew, one after the other",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.viewer("edge", 5_000);
    let mut at = draw.number(10_000..=14_000);
    for host in ["origin-a", "origin-b"] {
        let host = host.to_owned();
        let down = draw.number(100..=3_000);
        script.at(at, Act::Stop { host: host.clone() }).at(at + down, Act::Restart { host });
        // The encoder is back within as long again, and with its next key frame; then there is something to go to.
        at += 2 * down + draw.number(4_000..=6_000);
    }
    script.length_ms = at + 3_000;

    let failover = script.dial_ms() + 50;
    script.must(Rule::Decodable);
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
