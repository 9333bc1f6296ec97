//! The name of the first origin means nothing for a while, or a host that is dead. The edge takes the second one, for the
//! first viewer and when it loses an origin, and finds the first one again when its name is right.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Origin, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "dns",
    about: "an origin's name means nothing, or a dead host, for a while",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].failback = true;
    // Where the first origin was until it moved.
    script.origins.push(Origin::new("grave"));
    let (how, costs) = match draw.coin() {
        // A program that does not run refuses at once; a host without power says nothing, and is given 1.5 s.
        true => (Crash::Fin, 2 * script.one_way_ms()),
        false => (Crash::Silent, 1_500),
    };
    script.at(0, Act::Crash { host: "grave".to_owned(), how });
    let name = "origin-a".to_owned();
    let means = draw.coin().then(|| "grave".to_owned());
    let costs = if means.is_some() { costs } else { 0 };
    script.at(draw.number(3_000..=4_900), Act::Dns { name: name.clone(), host: means });
    script.viewer("edge", 5_000);
    let right = draw.number(10_000..=15_000);
    script.at(right, Act::Dns { name: name.clone(), host: Some(name.clone()) });

    // The edge asks for the first origin once a second, and a try may just have begun.
    let returns = right + 1_000 + 1_500 + script.dial_ms() + 200;
    let edge = "edge".to_owned();
    script.must(Rule::PlaysFrom { edge, server: name, from_ms: returns, until_ms: script.length_ms });
    script.must(Rule::FirstPart { ms: costs + script.dial_ms() + 10 * script.one_way_ms() + 150 });
    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script.recovery.core = ["origin-a", "origin-b", "encoder", "edge"].map(str::to_owned).to_vec();
    script
}
