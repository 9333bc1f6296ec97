//! Two encoders publish one name to one origin: the second one waits. When the first one is gone it goes on with the
//! stream. Where both make the same frames nobody can tell.

use super::{later, one_origin};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Encoder, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "publisher-standby",
    about: "a second encoder waits for its turn and goes on with the stream when the first one is gone",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = one_origin(draw);
    script.origins[0].standby = draw.small(1..=2);
    script.encoders[0].gop = draw.pick(&[15, 30, 60]);
    script.encoders[0].synchronised = true;
    let (gone, how) = (later(draw), draw.pick(&[Crash::Fin, Crash::Reset, Crash::Silent]));
    // After a silence nothing that was seen could tell that the frames are those of the same encoder.
    let same = how != Crash::Silent && draw.coin();
    let content = if same { 1 } else { 2 };
    let second = Encoder { name: "encoder-2".to_owned(), content, ..script.encoders[0].clone() };
    script.encoders.push(second);
    // The first one is there first.
    script.at(0, Act::Crash { host: "encoder-2".to_owned(), how: Crash::Reset });
    script.at(draw.number(1_000..=4_000), Act::Restart { host: "encoder-2".to_owned() });
    script.at(gone, Act::Crash { host: "encoder".to_owned(), how });
    // It comes back and is the one that waits, and has its turn.
    let back = gone + draw.number(5_000..=8_000);
    script.at(back, Act::Restart { host: "encoder".to_owned() });
    let gone = back + draw.number(5_000..=8_000);
    script.at(gone, Act::Crash { host: "encoder-2".to_owned(), how: draw.pick(&[Crash::Fin, Crash::Reset]) });
    script.length_ms = gone + 8_000;

    // After four seconds an origin takes silence for the end.
    let silence_ms = if how == Crash::Silent { 4_100 } else { 0 };
    let gap = script.part_gap_ms() + silence_ms + 10 * script.one_way_ms() + 300;
    script.must(Rule::Gap { ms: gap });
    if same {
        script.must(Rule::EveryFrameOnce);
    }
    script.must(Rule::NoFrameTwice).must(Rule::NoStreamEnds).must(Rule::NoFatalError).must(Rule::NumbersGoOn);
    script.must(Rule::Discontinuities { most: 0 });
    script
}
