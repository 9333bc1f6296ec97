//! The first origin dies and comes back, again and again. An edge that stays where it is well leaves it once; one that
//! fails back asks once a second whether it is there, and its viewers never notice.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "origin-flap",
    about: "the first origin dies and comes back, again and again, with and without failback",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.viewer("edge", 5_000);
    let failback = script.edges[0].failback;
    let (mut at, mut losses) = (draw.number(9_000..=12_000), 0);
    while at < 35_000 {
        let how = draw.pick(&[Crash::Fin, Crash::Reset]);
        script.at(at, Act::Crash { host: "origin-a".to_owned(), how });
        at += draw.number(200..=4_000);
        script.at(at, Act::Restart { host: "origin-a".to_owned() });
        at += draw.number(200..=6_000);
        losses += 1;
    }
    script.length_ms = 37_000;

    let failover = script.dial_ms() + 50;
    // With failback: one question a second, and one more for each loss.
    let most = if failback { 2 + losses + 30 } else { 2 };
    script.must(Rule::Dials { edge: "edge".to_owned(), most });
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
