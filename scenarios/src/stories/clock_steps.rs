//! Clocks are set by hours in mid-stream, and run too fast or too slow. Nobody notices, not even when an origin is lost
//! after that.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "clock-steps",
    about: "wall clocks are set by hours in mid-stream, and clocks drift",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].failback = false;
    script.encoders[0].synchronised = draw.coin();
    script.viewer("edge", 5_000);
    for host in ["edge", "origin-a", "origin-b", "encoder"] {
        let host = host.to_owned();
        let at = draw.number(8_000..=24_000);
        if draw.coin() {
            script.at(at, Act::StepClock { host: host.clone(), by_ms: draw.either_way(1..=10 * 3_600_000) });
        }
        if draw.coin() {
            let ppm = i32::try_from(draw.either_way(1..=200)).unwrap_or(0);
            script.at(at, Act::Drift { host, ppm });
        }
    }
    if draw.coin() {
        let host = "source of edge".to_owned();
        script.at(draw.number(14_000..=26_000), Act::Crash { host, how: Crash::Reset });
    }

    // As when an origin dies.
    let failover = script.dial_ms() + 50;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
