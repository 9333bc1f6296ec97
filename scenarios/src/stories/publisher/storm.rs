//! An encoder reconnects a hundred times a minute. It costs what was not sent, and nothing else: no frame comes twice, none
//! in another order, nothing is left behind, and when it has calmed down the picture is as it was.

use super::{later, one_origin};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "publisher-storm",
    about: "the encoder reconnects a hundred times a minute",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = one_origin(draw);
    script.encoders[0].gop = draw.pick(&[5, 10, 30, 90]);
    script.encoders[0].synchronised = draw.coin();
    let mut at = later(draw);
    let end = at + draw.number(10_000..=60_000);
    while at < end {
        script.at(at, Act::Reconnect { encoder: "encoder".to_owned() });
        at += draw.number(300..=900);
    }
    script.length_ms = at + 10_000;

    script.must(Rule::NoFrameTwice).must(Rule::NumbersGoOn);
    script
}
