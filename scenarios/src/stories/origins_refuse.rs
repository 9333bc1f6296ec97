//! No origin runs. Whoever asks for a stream is told so after as many attempts as RetryCount promises, and not one more.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Poller, STREAM, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "origins-refuse",
    about: "no origin runs: each is tried as often as configured, and who asks is told",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw).draw_patience(draw);
    script.edges[0].retry_count = draw.small(0..=6);
    if draw.coin() {
        script.edges[0].from.pop();
    }
    for origin in ["origin-a", "origin-b"] {
        script.at(0, Act::Crash { host: origin.to_owned(), how: draw.pick(&[Crash::Fin, Crash::Reset]) });
    }
    let (name, server, stream) = ("poller".to_owned(), "edge".to_owned(), STREAM.to_owned());
    script.pollers.push(Poller {
        name: name.clone(),
        server,
        stream,
        from_ms: 3_000,
        every_ms: 20_000,
        times: 2,
    });
    script.must(Rule::Answer { poller: name, status: 502 });

    let servers = u32::try_from(script.edges[0].from.len()).unwrap_or(u32::MAX);
    let attempts = servers * script.edges[0].retry_count + 1;
    script.must(Rule::Attempts { edge: "edge".to_owned(), count: attempts });
    script.length_ms = 45_000;
    script
}
