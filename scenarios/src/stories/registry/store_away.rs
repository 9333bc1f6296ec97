//! The store is away for a minute. What runs runs on without a late part; what starts and stops meanwhile is known soon
//! after the store is back.

use super::cluster;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Encoder, STORE, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-store-away",
    about: "the store is away for a minute under running streams, while others start and stop",
    one_in: 2,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let (goes, comes) = (12_000, 72_000 + draw.number(0..=2_000));
    let store = STORE.to_owned();
    match draw.number(0..=3) {
        0 => script.at(goes, Act::Pause { host: store.clone() }).at(comes, Act::Resume { host: store }),
        1 => script.at(goes, Act::Isolate { host: store.clone() }).at(comes, Act::Rejoin { host: store }),
        2 => {
            script.at(goes, Act::Crash { host: store.clone(), how: Crash::Silent });
            script.at(comes, Act::Restart { host: store })
        }
        _ => {
            script.at(goes, Act::Crash { host: store.clone(), how: Crash::Fin });
            script.at(comes, Act::Empty { store })
        }
    };
    // One stream ends meanwhile, another begins.
    let mut ends = Encoder::new("encoder-2", "ends", &["origin-b"]);
    ends.content = 2;
    let mut begins = Encoder::new("encoder-3", "begins", &["origin-b"]);
    begins.content = 3;
    script.encoders.extend([ends, begins]);
    script.at(0, Act::Crash { host: "encoder-3".to_owned(), how: Crash::Fin });
    script.at(draw.number(20_000..=60_000), Act::Crash { host: "encoder-2".to_owned(), how: Crash::Fin });
    script.at(draw.number(20_000..=60_000), Act::Restart { host: "encoder-3".to_owned() });
    // Known within two seconds of the store's return.
    script.viewer("edge", comes + 2_500).stream = "begins".to_owned();
    script.length_ms = 90_000;
    // A store that has lost everything may name another owner first, and the edge goes there.
    let gap = script.part_gap_ms() + script.dial_ms();
    script.must(Rule::Unharmed { viewer: "viewer".to_owned(), ms: gap });
    script.must(Rule::FirstPart { ms: 2_500 });
    script
}
