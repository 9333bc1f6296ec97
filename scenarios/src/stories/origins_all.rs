//! Every origin is lost for a while, then one is back or all of them are. The edge goes on trying, viewers wait, and
//! play on.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "origins-all",
    about: "every origin is lost for a while; viewers play on when one is back",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].unused_ms = 60_000;
    script.viewer("edge", 5_000);
    let lost = draw.number(12_000..=15_000);
    let outage = draw.number(100..=3_000);
    for host in ["origin-a", "origin-b"] {
        let host = host.to_owned();
        let how = draw.pick(&[Crash::Fin, Crash::Reset]);
        script.at(lost + draw.number(0..=500), Act::Crash { host: host.clone(), how });
        script.at(lost + 500 + outage + draw.number(0..=500), Act::Restart { host });
    }
    script.length_ms = 35_000;

    // Pauses double from half a second: the encoder is back at an origin after at most twice the time for which that was
    // away and half a second, and starts with a key frame. The edge's pauses double as well, up to two seconds.
    let away = 500 + outage + 500;
    let found = 2 * away + 500 + 1_000 + 2_000 + 20 * script.one_way_ms();
    script.must(Rule::Decodable);
    script.must(Rule::Failover { ms: found });
    script.must(Rule::Gap { ms: script.part_gap_ms() + found });
    script.must(Rule::NoFatalError);
    script
}
