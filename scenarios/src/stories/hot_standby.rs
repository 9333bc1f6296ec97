//! The edge pulls from a second origin at the same time. Whatever becomes of the first one, viewers do not notice.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "hot-standby",
    about: "two origins are pulled at once; the one that is played dies, falls silent, or stumbles",
    one_in: 1,
    write,
};

/// An origin that is late is covered for after this long (`COVER_AFTER` of core).
const COVER_AFTER_MS: u64 = 100;

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].hot_standby = 1;
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.encoders[0].b_frames = draw.pick(&[0, 2]);
    script.viewer("edge", 5_000);
    let (at, host) = (draw.number(12_000..=18_000), "source of edge".to_owned());
    let late = match draw.number(0..=5) {
        0 => {
            script.at(at, Act::Pause { host });
            COVER_AFTER_MS
        }
        1 => {
            script.at(at, Act::Isolate { host });
            COVER_AFTER_MS
        }
        2 => {
            script.at(at, Act::Crash { host, how: Crash::Silent });
            COVER_AFTER_MS
        }
        3 => {
            let edge = "edge".to_owned();
            let [from, to] = if draw.coin() { [edge, host] } else { [host, edge] };
            script.at(at, Act::CutOneWay { from, to });
            COVER_AFTER_MS
        }
        4 => {
            let edge = "edge".to_owned();
            script.at(at, Act::Hold { a: edge.clone(), b: host.clone() });
            script.at(at + draw.number(20..=2_000), Act::Heal { a: edge, b: host });
            COVER_AFTER_MS
        }
        _ => {
            script.at(at, Act::Crash { host, how: draw.pick(&[Crash::Fin, Crash::Reset]) });
            0
        }
    };

    // A connection that was cut for long is tried by the kernel at pauses that double.
    script.recovery.within_ms = 30_000;
    // What the standby has may be as much behind as packets take longer at times; a frame may have been due.
    let failover = late + 4 * script.one_way_ms() + 40;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
