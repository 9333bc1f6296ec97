//! Every origin dies and does not come back. A stream that was playing is looked for until a minute has passed without
//! media, with longer and longer pauses; then it is given up.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "origins-gone",
    about: "every origin is gone for good: the stream is looked for, and given up after a minute",
    one_in: 4,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    // Persistent, so that nobody lets go for want of viewers.
    script.edges[0].persistent = true;
    script.viewer("edge", 4_000);
    let die = draw.number(10_000..=15_000);
    for origin in ["origin-a", "origin-b"] {
        let how = draw.pick(&[Crash::Fin, Crash::Reset]);
        script.at(die, Act::Crash { host: origin.to_owned(), how });
    }
    script.length_ms = die + 75_000;
    let given_up = (die + 59_000, die + 65_000);
    script.must(Rule::LetGo { edge: "edge".to_owned(), spans: vec![given_up] });
    script
}
