//! An edge reads another configuration while viewers watch, once or in a storm: what runs runs on without noticing, and what
//! comes finds its way by the new rules.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Encoder, Poller, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "reload",
    about: "an edge is given other rules (SIGHUP): running streams do not notice, new ones come by the new rules",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].from = vec!["origin-a".to_owned()];
    // Only the origin that the edge learns of has it.
    script.encoders.push(Encoder::new("encoder-2", "other", &["origin-b"]));
    script.viewer("edge", 5_000).count = draw.small(1..=4);
    let first = draw.number(9_000..=12_000);
    let poller = |name: &str, from_ms: u64| Poller {
        name: name.to_owned(),
        server: "edge".to_owned(),
        stream: "other".to_owned(),
        from_ms,
        every_ms: 500,
        times: 4,
    };
    let (before, after) = (poller("early", first - 3_000), poller("late", first + 1_000));
    script.pollers.extend([before, after]);
    let reload = |from: &[&str]| {
        let from = from.iter().map(|&from| from.to_owned()).collect();
        Act::Reload { host: "edge".to_owned(), from }
    };
    for n in 0..draw.small(0..=200) {
        script.at(first - 300 + n, reload(if n % 2 == 0 { &["origin-b"] } else { &["origin-a"] }));
    }
    script.at(first, reload(&["origin-b"]));
    script.length_ms = first + 8_000;

    script.must(Rule::Answer { poller: "early".to_owned(), status: 404 });
    script.must(Rule::Answer { poller: "late".to_owned(), status: 200 });
    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::NoFailover);
    script
}
