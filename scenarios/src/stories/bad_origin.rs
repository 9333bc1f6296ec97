//! One of an edge's origins goes wrong on every connection, sooner or later: it ends it, sends garbage, falls silent, or
//! begins a frame that never ends. Whether it is the first one, the next one, or a hot standby: it costs time, and nothing
//! else.

use headwater_net_sim::ome::spoilt::Wrong;

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Origin, Script, Spoilt};

pub const SCENARIO: Scenario = Scenario {
    name: "bad-origin",
    about: "one of an edge's origins goes wrong on every connection, and others die",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    // It has what the others have.
    script.encoders[0].synchronised = true;
    let gop = draw.pick(&[15, 30, 60]);
    script.encoders[0].gop = gop;
    let how = draw.pick(&[Wrong::Ends, Wrong::Resets, Wrong::Garbage, Wrong::Silent, Wrong::Endless]);
    let after = draw.pick(&[0, 1, 2, 3, 40, 200]);
    let (bad, ome) = ("origin-c".to_owned(), Some("encoder".to_owned()));
    script.origins.push(Origin { ome, spoilt: Some(Spoilt { how, after }), ..Origin::new(&bad) });
    let edge = &mut script.edges[0];
    match draw.number(0..=3) {
        0 => edge.from = vec![bad],
        place => edge.from.insert(place as usize - 1, bad),
    }
    let alone = edge.from.len() == 1;
    edge.failback &= edge.from[0] != "origin-c";
    edge.hot_standby = draw.pick(&[0, 0, 1, 2]);
    script.recovery.core = ["encoder", "origin-a", "origin-b", "edge"].map(str::to_owned).to_vec();
    script.viewer("edge", 5_000);
    script.length_ms = 40_000;
    script.must(Rule::Decodable);
    if alone {
        return script;
    }
    script.must(Rule::NoFrameTwice);
    for (host, at) in [("origin-a", draw.number(14_000..=18_000)), ("origin-b", draw.number(24_000..=28_000))]
    {
        let host = host.to_owned();
        script.at(at, Act::Crash { host: host.clone(), how: draw.pick(&[Crash::Fin, Crash::Reset]) });
        script.at(at + 6_000, Act::Restart { host });
    }

    // At the worst the first of a stream waits 5 s for a DESCRIBE, or for media in vain.
    let no_input_ms = script.edges[0].no_input_ms;
    let ways = 20 * script.one_way_ms();
    script.must(Rule::FirstPart { ms: 5_000 + no_input_ms + ways + 1_000 });
    // Later it waits 1.5 s for an answer, then for media in vain, and goes on at a key frame.
    let gop_ms = u64::from(gop) * 1_000 / 30;
    script.must(Rule::Gap { ms: script.part_gap_ms() + 1_500 + no_input_ms + gop_ms + ways + 500 });
    script.must(Rule::NoFatalError);
    script
}
