//! The encoder's timestamps begin anywhere, and the origins put them on their own clocks, which are wrong by a little and
//! may be set later.

use super::{draw_shape, pair, same};
use crate::draw::Draw;
use crate::script::{Act, Crash, Script, Timestamps};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "redundancy-clocks",
    about: "two origins whose clocks differ put one encoder on the same timeline",
    one_in: 2,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = pair(draw, Timestamps::SystemClock);
    draw_shape(draw, &mut script);
    let skewed = "origin-b".to_owned();
    script.at(0, Act::StepClock { host: skewed.clone(), by_ms: draw.pick(&[0, 5, -5, 50, -50]) });
    if draw.coin() {
        script.at(
            draw.number(20_000..=60_000),
            Act::StepClock { host: skewed.clone(), by_ms: draw.either_way(1..=5_000) },
        );
    }
    script.at(0, Act::Crash { host: skewed.clone(), how: Crash::Fin });
    script.at(draw.number(100..=15_000), Act::Restart { host: skewed });
    script.viewers[1].from_ms = 22_000;
    same(&mut script, 0, 6);
    script
}
