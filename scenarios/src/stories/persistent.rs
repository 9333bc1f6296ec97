//! A persistent stream stays with its origin however long that is silent, and stays on the edge when nobody watches.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "persistent",
    about: "a persistent stream stays with a silent origin, and on an edge where nobody watches it",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].persistent = true;
    script.viewer("edge", 5_000);
    let silent = draw.number(10_000..=14_000);
    let host = "origin-a".to_owned();
    script.at(silent, Act::Pause { host: host.clone() });
    script.at(silent + draw.number(4_000..=9_000), Act::Resume { host });
    script.must(Rule::NoFailover);
    script
}
