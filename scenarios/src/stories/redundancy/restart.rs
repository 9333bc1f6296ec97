//! One of the origins dies and comes back: it goes on with the numbers that the other one has, and what it gave before
//! under a number it does not give otherwise.

use super::{draw_shape, pair, same};
use crate::draw::Draw;
use crate::script::{Act, Crash, Script, Timestamps};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "redundancy-restart",
    about: "one of two origins is restarted and goes on with the same numbers and bytes",
    one_in: 2,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = pair(draw, Timestamps::Original);
    draw_shape(draw, &mut script);
    script.encoders[0].synchronised = true;
    let host = "origin-b".to_owned();
    let dies = draw.number(25_000..=40_000);
    let how = draw.pick(&[Crash::Fin, Crash::Reset, Crash::Silent]);
    script.at(dies, Act::Crash { host: host.clone(), how });
    let back = dies + draw.number(100..=12_000);
    script.at(back, Act::Restart { host });
    script.viewers[1].until_ms = Some(dies);
    script.viewer("origin-b", back + 14_000);
    same(&mut script, 0, 6);
    script
}
