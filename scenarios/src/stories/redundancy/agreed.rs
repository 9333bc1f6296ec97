//! The origins' clocks are wrong by a lot, and are set; but they have a store, in which they agree on where the encoder's
//! time zero lies.

use super::{draw_shape, pair, same};
use crate::draw::Draw;
use crate::script::{Act, Crash, STORE, Script, Store, Timestamps};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "redundancy-agreed",
    about: "two origins whose clocks are half a second apart agree in their store on one timeline",
    one_in: 2,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = pair(draw, Timestamps::SystemClock);
    draw_shape(draw, &mut script);
    script.stores.push(Store { name: STORE.to_owned() });
    script.origins.iter_mut().for_each(|origin| origin.store = Some(STORE.to_owned()));
    let skewed = "origin-b".to_owned();
    let by_ms = draw.pick(&[0, 5, -5, 50, -50, 500, -500, 2_000, -2_000]);
    script.at(0, Act::StepClock { host: skewed.clone(), by_ms });
    if draw.coin() {
        let by_ms = draw.either_way(1..=5_000);
        script.at(draw.number(20_000..=60_000), Act::StepClock { host: skewed.clone(), by_ms });
    }
    // It comes later, and once more when it was away for longer than leases live; or both begin together.
    if draw.percent(80) {
        script.at(0, Act::Crash { host: skewed.clone(), how: Crash::Fin });
        script.at(draw.number(100..=18_000), Act::Restart { host: skewed.clone() });
    }
    script.viewers[1].from_ms = 24_000;
    if draw.coin() {
        let dies = draw.number(38_000..=44_000);
        script.at(dies, Act::Crash { host: skewed.clone(), how: draw.pick(&[Crash::Fin, Crash::Silent]) });
        script.at(dies + draw.number(100..=5_000), Act::Restart { host: skewed });
        script.viewers[1].until_ms = Some(dies);
        script.viewer("origin-b", dies + 20_000);
    }
    if draw.coin() {
        // Whoever is there keeps it, and tells a store that has lost it.
        let store = STORE.to_owned();
        script.at(draw.number(20_000..=35_000), Act::Empty { store });
    }
    same(&mut script, 0, 6);
    script
}
