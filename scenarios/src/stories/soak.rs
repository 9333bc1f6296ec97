//! Ten minutes to half an hour in which something happens now and then, one thing at a time, and viewers come and go. Two
//! origins are enough for that: nobody may notice more than a failover.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Edge, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "soak",
    about: "ten minutes to half an hour of everything, at a low rate",
    one_in: 50,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.edges.push(Edge::new("leaf", &["edge"]));
    script.draw_network(draw).draw_patience(draw);
    script.edges[1].no_input_ms = script.edges[0].no_input_ms + 1_000;
    script.length_ms = draw.number(600_000..=1_800_000);
    let (mut at, end) = (10_000, script.length_ms);
    while at < end - 60_000 {
        let stays = draw.number(5_000..=120_000);
        script.viewer(draw.pick(&["edge", "leaf"]), at).until_ms = Some((at + stays).min(end));
        let happens = at + draw.number(1_000..=20_000);
        fault(&mut script, draw, happens);
        at += draw.number(25_000..=60_000);
    }

    let failover = script.edges[0].no_input_ms + script.dial_ms() + 50;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script.must(Rule::NumbersGoOn).must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}

/// Something that is over, and forgotten, before the next one begins.
fn fault(script: &mut Script, draw: &mut Draw, at: u64) {
    let host = draw.pick(&["origin-a", "origin-b"]).to_owned();
    let (a, b) = ("edge".to_owned(), host.clone());
    let over = at + draw.number(100..=3_500);
    match draw.number(0..=6) {
        0 => script
            .at(at, Act::Crash { host: host.clone(), how: Crash::Reset })
            .at(over, Act::Restart { host }),
        1 => script
            .at(at, Act::Crash { host: host.clone(), how: Crash::Silent })
            .at(over, Act::Restart { host }),
        2 => script.at(at, Act::Stop { host: host.clone() }).at(over, Act::Restart { host }),
        3 => script.at(at, Act::Pause { host: host.clone() }).at(over, Act::Resume { host }),
        4 => script.at(at, Act::Cut { a: a.clone(), b: b.clone() }).at(over, Act::Heal { a, b }),
        5 => script.at(at, Act::StepClock { host, by_ms: draw.either_way(1..=3_600_000) }),
        _ => script.at(at, Act::Hold { a: a.clone(), b: b.clone() }).at(over, Act::Heal { a, b }),
    };
}
