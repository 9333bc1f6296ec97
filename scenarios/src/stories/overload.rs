//! A crowd comes to an edge that may not serve so many. Who watches does not notice, as many as fit are let in, and the others are
//! told at once to ask elsewhere; when the crowd has gone there is room again.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Poller, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "overload",
    about: "a crowd comes to an edge with limits: who watches does not notice, new viewers are sent away",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    let limit = draw.number(12..=40);
    script.edges[0].waiting_max = u32::try_from(limit).ok();
    script.viewer("edge", 5_000);
    let comes = draw.number(9_000..=10_000);
    let crowd = script.viewer("edge", comes);
    crowd.count = u32::try_from(limit).unwrap_or(0) + draw.small::<u32>(10..=150);
    crowd.until_ms = Some(comes + 6_000);
    script.pollers.push(Poller {
        name: "newcomer".to_owned(),
        server: "edge".to_owned(),
        stream: "match".to_owned(),
        from_ms: comes + 1_500,
        every_ms: 250,
        times: 16,
    });
    script.length_ms = comes + 9_000;

    script.must(Rule::Unharmed { viewer: "viewer".to_owned(), ms: script.part_gap_ms() });
    script.must(Rule::Answer { poller: "newcomer".to_owned(), status: 503 });
    script.must(Rule::AnsweredWithin { poller: "newcomer".to_owned(), ms: 4 * script.one_way_ms() + 300 });
    script.must(Rule::NoFailover);
    script
}
