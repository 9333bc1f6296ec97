//! Calm times: whatever the encoder's frames are like, and whenever an origin has begun.

use super::{draw_shape, pair, same};
use crate::draw::Draw;
use crate::script::{Act, Crash, Script, Timestamps};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "redundancy-shapes",
    about: "two origins of every kind of stream, one of which began later, give the same bytes",
    one_in: 2,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = pair(draw, Timestamps::Original);
    draw_shape(draw, &mut script);
    script.encoders[0].synchronised = true;
    if draw.percent(20) {
        // The 32 bits of RTMP's milliseconds are used up on the way.
        script.encoders[0].wraps_at_ms = Some(draw.number(20_000..=60_000));
    }
    script.at(0, Act::Crash { host: "origin-b".to_owned(), how: Crash::Fin });
    script.at(draw.number(100..=18_000), Act::Restart { host: "origin-b".to_owned() });
    script.viewers[1].from_ms = 24_000;
    same(&mut script, 0, 6);
    script
}
