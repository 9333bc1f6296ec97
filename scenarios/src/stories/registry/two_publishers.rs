//! Two encoders publish one name at two origins. One of them owns the name; viewers see one programme, and the other
//! one only when the first is gone.

use super::{cluster, follow_ms};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Encoder, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-two-publishers",
    about: "two encoders publish different content under one name at two origins",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    script.encoders[0].to = vec!["origin-a".to_owned()];
    let mut other = Encoder { content: 2, ..script.encoders[0].clone() };
    (other.name, other.to) = ("encoder-2".to_owned(), vec!["origin-b".to_owned()]);
    script.encoders.push(other);
    let gone = draw.number(12_000..=16_000);
    let crash = Act::Crash { host: "encoder".to_owned(), how: draw.pick(&[Crash::Fin, Crash::Reset]) };
    script.at(gone, crash);
    script.at(gone + draw.number(2_000..=10_000), Act::Restart { host: "encoder".to_owned() });
    let failover = follow_ms(&script) + 500;
    script.must(Rule::Failover { ms: failover });
    script.must(Rule::PlaysFrom {
        edge: "edge".to_owned(),
        server: "origin-a".to_owned(),
        from_ms: 8_000,
        until_ms: gone,
    });
    script.must(Rule::PlaysFrom {
        edge: "edge".to_owned(),
        server: "origin-b".to_owned(),
        from_ms: gone + failover + 1_500,
        until_ms: script.length_ms,
    });
    script
}
