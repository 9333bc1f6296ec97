//! Every origin has an encoder of its own, with different frames, and perhaps with different pictures. When an origin is
//! lost the other one is joined at a key frame.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Encoder, STREAM, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "two-encoders",
    about: "the origins carry different encodings: joined at a key frame",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].failback = false;
    let gop = draw.pick(&[15, 30, 60]);
    let audio = draw.pick(&[Some(48_000), Some(44_100), None]);
    let encoder = |name, origin: &str, content| Encoder {
        gop,
        content,
        audio,
        ..Encoder::new(name, STREAM, &[origin])
    };
    script.encoders = vec![encoder("encoder-a", "origin-a", 1), encoder("encoder-b", "origin-b", 2)];
    if draw.coin() {
        script.at(0, Act::Resize { encoder: "encoder-b".to_owned(), large: true });
    }
    script.viewer("edge", 5_000);
    let host = "source of edge".to_owned();
    let (silence, lost) = match draw.number(0..=2) {
        0 => (script.suspects_ms(), Act::Pause { host }),
        1 => (script.suspects_ms(), Act::Crash { host, how: Crash::Silent }),
        _ => (0, Act::Crash { host, how: draw.pick(&[Crash::Fin, Crash::Reset]) }),
    };
    script.at(draw.number(12_000..=18_000), lost);

    // As after any loss; the other origin's history has a key frame, which is placed when its burst is over.
    let failover = silence + script.dial_ms() + 200;
    script.must(Rule::Decodable);
    script.must(Rule::Failover { ms: failover });
    // The place of the new media may be up to a key-frame interval after that.
    script.must(Rule::Gap { ms: script.part_gap_ms() + failover + u64::from(gop) * 1_000 / 30 });
    script.must(Rule::NumbersGoOn).must(Rule::NoFatalError);
    script
}
