//! A replica takes the store's place that lacks what was acknowledged last: a takeover, a release, a new stream.

use super::{cluster, follow_ms, silence_ms, succession_ms};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, STORE, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-promoted",
    about: "a replica without the newest writes takes the store's place, just after the stream has moved",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let moves = draw.number(12_000..=16_000);
    let host = "origin-a".to_owned();
    let cause = match draw.number(0..=2) {
        0 => Act::Stop { host },
        1 => Act::Pause { host },
        _ => Act::Cut { a: host, b: STORE.to_owned() },
    };
    script.at(moves, cause);
    let promoted = moves + draw.number(100..=8_000);
    script.at(promoted, Act::Promote { store: STORE.to_owned(), lost_ms: draw.number(100..=6_000) });
    let back = promoted + draw.number(500..=8_000);
    let host = "origin-a".to_owned();
    script.at(back, Act::Resume { host: host.clone() });
    script.at(back, Act::Heal { a: host.clone(), b: STORE.to_owned() });
    script.at(back.max(moves + 6_000), Act::Restart { host });

    // The owner that is lost may be believed alive once more, for another lease and the time that all have to come back.
    let failover = silence_ms(&script) + succession_ms(&script) + 1_500 + follow_ms(&script);
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover });
    script
}
