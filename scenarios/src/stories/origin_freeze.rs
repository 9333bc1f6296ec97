//! The origin from which an edge plays stops without a word: its process is stopped, its cable is cut, or its power is
//! gone. The edge suspects that as soon as its silence is out of the ordinary, and what it has missed is still in the other
//! origin's history.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "origin-freeze",
    about: "the origin that is played falls silent: stopped, cut off, or without power",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.viewer("edge", 5_000);
    let host = "source of edge".to_owned();
    let silence = match draw.number(0..=2) {
        0 => Act::Pause { host },
        1 => Act::Isolate { host },
        _ => Act::Crash { host, how: Crash::Silent },
    };
    script.at(draw.number(12_000..=18_000), silence);

    let failover = script.suspects_ms() + script.dial_ms() + 50;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}
