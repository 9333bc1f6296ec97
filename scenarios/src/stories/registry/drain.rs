//! The owner of a stream is asked to go. Whoever waits has the stream before the owner is gone, and edges follow.

use super::{cluster, follow_ms, within};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-drain",
    about: "the owner of a stream is asked to go (SIGTERM): who waits is the owner at once, and edges follow",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let asked = draw.number(12_000..=16_000);
    let host = "origin-a".to_owned();
    script.at(asked, Act::Drain { host: host.clone() });
    let failover = follow_ms(&script);
    within(&mut script, failover);
    let (edge, server) = ("edge".to_owned(), "origin-b".to_owned());
    script.must(Rule::PlaysFrom { edge, server, from_ms: asked + 3_000, until_ms: script.length_ms });
    let until_ms = script.length_ms;
    script.must(Rule::Gone { host, by_ms: asked + 6_000, until_ms }).must(Rule::EveryFrameOnce);
    script
}
