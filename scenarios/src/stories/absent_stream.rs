//! Many ask for a stream that nobody publishes. They are told so, and the origins are not pestered. Then it is published,
//! and found soon.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Poller, STREAM, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "absent-stream",
    about: "many poll a stream that is not there yet, until it is",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    let published = draw.number(8_000..=15_000);
    script.at(0, Act::Crash { host: "encoder".to_owned(), how: Crash::Reset });
    script.at(published, Act::Restart { host: "encoder".to_owned() });

    // RTMP's handshake and the first key frame after it; then the edge forgets within a second that nobody had the stream;
    // then whoever asks waits for the pull.
    let found = published + 1_000 + 1_000 + 20 * script.one_way_ms() + 100;
    let pollers = draw.number(1..=30);
    for n in 1..=pollers {
        let every_ms = draw.number(50..=1_000);
        poll(&mut script, &format!("early-{n}"), 1_000 + n, every_ms, published, Some(404));
        poll(&mut script, &format!("meanwhile-{n}"), published, every_ms, found, None);
        poll(&mut script, &format!("late-{n}"), found, every_ms, found + 3_000, Some(200));
    }
    script.viewer("edge", found).until_ms = None;
    script.length_ms = found + 5_000;

    // One round over both origins a second, and no more than that, whoever asks and how often.
    let rounds = u32::try_from((found - 1_000) / 1_000).unwrap_or(0) + 1;
    script.must(Rule::Dials { edge: "edge".to_owned(), most: 2 * rounds });
    script.must(Rule::FirstPart { ms: script.dial_ms() + 10 * script.one_way_ms() + 2_150 });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}

fn poll(script: &mut Script, name: &str, from_ms: u64, every_ms: u64, until_ms: u64, status: Option<u16>) {
    let times = u32::try_from((until_ms - from_ms).div_ceil(every_ms)).unwrap_or(1);
    let (name, server, stream) = (name.to_owned(), "edge".to_owned(), STREAM.to_owned());
    script.pollers.push(Poller { name: name.clone(), server, stream, from_ms, every_ms, times });
    if let Some(status) = status {
        script.must(Rule::Answer { poller: name, status });
    }
}
