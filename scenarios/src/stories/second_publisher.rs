//! A second encoder publishes a stream under a name that is taken. It is refused, again and again, and nobody notices.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Encoder, STREAM, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "second-publisher",
    about: "a second encoder of the same name is refused, and nobody notices",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    let both = ["origin-a", "origin-b"];
    for n in 2..=draw.number(2..=4) {
        let (name, content) = (format!("encoder-{n}"), u32::try_from(n).unwrap_or(2));
        script.encoders.push(Encoder { content, ..Encoder::new(&name, STREAM, &both) });
        script.at(0, Act::Crash { host: name.clone(), how: Crash::Reset });
        script.at(draw.number(3_000..=12_000), Act::Restart { host: name });
    }
    script.viewer("edge", draw.number(5_000..=10_000));

    script.must(Rule::FirstPart { ms: script.dial_ms() + 10 * script.one_way_ms() + 150 });
    script.must(Rule::Gap { ms: script.part_gap_ms() });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError).must(Rule::NoFailover);
    script
}
