//! An owner whose lease was lost gives its stream up late, when the stream is another's: it must not take it from the new
//! owner.

use super::{cluster, follow_ms, silence_ms, within};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, STORE, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-late-release",
    about: "an owner that lost its lease without knowing stops, and releases what is another's",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let sleeps = draw.number(12_000..=16_000);
    let wakes = sleeps + draw.number(5_000..=12_000);
    let host = "origin-a".to_owned();
    // What it says when it wakes up comes late, too.
    script.at(sleeps, Act::Pause { host: host.clone() });
    if draw.coin() {
        script.at(wakes, Act::Slow { store: STORE.to_owned(), by_ms: draw.number(10..=900) });
    }
    script.at(wakes - 1, Act::Stop { host: host.clone() });
    script.at(wakes, Act::Resume { host });
    script.viewer("edge", wakes + 1_000);

    let failover = silence_ms(&script) + follow_ms(&script);
    within(&mut script, failover);
    script.must(Rule::FirstPart { ms: 2_500 });
    script
}
