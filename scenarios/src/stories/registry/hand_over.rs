//! The owner of a stream is asked to stop. Whoever waits has the stream at once.

use super::{cluster, follow_ms, within};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-hand-over",
    about: "the owner of a stream is stopped in order, and the origin that waits is the owner at once",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let stops = draw.number(12_000..=16_000);
    script.at(stops, Act::Stop { host: "origin-a".to_owned() });
    if draw.coin() {
        script.at(stops + draw.number(6_000..=10_000), Act::Restart { host: "origin-a".to_owned() });
    }
    let failover = follow_ms(&script);
    within(&mut script, failover);
    script.must(Rule::EveryFrameOnce);
    script
}
