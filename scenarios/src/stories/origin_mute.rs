//! A cold edge asks its first origin, which falls silent in the middle of the conversation: before it accepts, before it
//! describes, before it plays, or after the first packets. Whatever it still owes, the edge does not wait for long, and goes to
//! the other one.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "origin-mute",
    about: "the first origin falls silent while a cold edge talks to it",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    script.link.latency_ms = draw.number(5..=30);
    script.edges[0].no_input_ms = draw.number(500..=3_000);
    script.viewer("edge", 5_000);
    // The request takes one way; then connecting, DESCRIBE and PLAY take a way there and a way back each.
    let ways = draw.number(0..=8);
    let at = 5_000 + ways * script.link.latency_ms + draw.number(0..=script.link.jitter_ms);
    let host = "origin-a".to_owned();
    let silence = match draw.number(0..=2) {
        0 => Act::Pause { host },
        1 => Act::CutOneWay { from: host, to: "edge".to_owned() },
        _ => Act::Isolate { host },
    };
    script.at(at, silence);

    // At the worst DESCRIBE is not answered for 5 s, or the first packets are the last; then the other origin is asked, and
    // a player that is answered so late has asked again.
    script
        .must(Rule::FirstPart { ms: 5_000 + script.edges[0].no_input_ms + 20 * script.one_way_ms() + 1_000 });
    script.must(Rule::NoFatalError);
    script
}
