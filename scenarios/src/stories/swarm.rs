//! Every seed switches whole classes of features and of faults on or off, so that no fault hides another. Nothing is
//! promised while it lasts but safety; when the core is put right everything must play again.

use super::Scenario;
use crate::draw::Draw;
use crate::script::{Act, Crash, Edge, Encoder, Origin, Script};

pub const SCENARIO: Scenario = Scenario {
    name: "swarm",
    about: "any cluster, with whole classes of faults switched on or off by the seed",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = Script::new();
    script.draw_network(draw);
    cluster(&mut script, &mut draw.part("cluster"));
    audience(&mut script, &mut draw.part("audience"));
    faults(&mut script, &mut draw.part("faults"));
    script.recovery.within_ms = 12_000;
    script
}

fn cluster(script: &mut Script, draw: &mut Draw) {
    let origins: Vec<String> = (1..=draw.number(1..=3)).map(|n| format!("origin-{n}")).collect();
    script.origins = origins.iter().map(|name| Origin::new(name)).collect();
    script.edges.clear();
    let (failback, chained) = (draw.coin(), draw.percent(30));
    for n in 1..=draw.number(1..=2) {
        let from: Vec<&str> = origins.iter().map(String::as_str).collect();
        script.edges.push(Edge { failback, ..Edge::new(&format!("edge-{n}"), &from) });
    }
    if chained {
        let from: Vec<String> = script.edges.iter().map(|edge| edge.name.clone()).collect();
        let from: Vec<&str> = from.iter().map(String::as_str).collect();
        script.edges.push(Edge { failback, ..Edge::new("leaf", &from) });
    }
    script.draw_patience(draw);
    script.encoders.clear();
    for n in 1..=draw.number(1..=2) {
        let to: Vec<&str> = origins.iter().map(String::as_str).collect();
        let encoder = Encoder {
            content: u32::try_from(n).unwrap_or(1),
            fps: draw.pick(&[(30, 1), (25, 1), (30_000, 1_001), (50, 1), (24, 1)]),
            gop: draw.pick(&[15, 30, 48, 60]),
            audio: draw.pick(&[Some(48_000), Some(44_100), None]),
            synchronised: draw.percent(30),
            ..Encoder::new(&format!("encoder-{n}"), &format!("stream-{n}"), &to)
        };
        script.encoders.push(encoder);
    }
}

fn audience(script: &mut Script, draw: &mut Draw) {
    let churn = draw.coin();
    for _ in 1..=draw.number(1..=4) {
        let server = draw.pick(&script.edges).name;
        let stream = draw.pick(&script.encoders).stream;
        let from_ms = draw.number(2_000..=15_000);
        let until_ms = churn.then(|| from_ms + draw.number(1_000..=20_000));
        let viewer = script.viewer(&server, from_ms);
        (viewer.stream, viewer.until_ms) = (stream, until_ms);
    }
}

/// Draws which classes of faults there are, and then faults of these classes only.
fn faults(script: &mut Script, draw: &mut Draw) {
    type Class = fn(&mut Script, &mut Draw, u64);
    let classes: [Class; 8] = [crashes, pauses, cuts, holds, links, clocks, encoders, readers];
    let on: Vec<Class> = classes.into_iter().filter(|_| draw.percent(35)).collect();
    if on.is_empty() {
        return;
    }
    for _ in 0..draw.number(1..=8) {
        let at = draw.number(5_000..=script.length_ms - 1_000);
        draw.pick(&on)(script, draw, at);
    }
}

fn server(script: &Script, draw: &mut Draw) -> String {
    let origins = script.origins.iter().map(|origin| origin.name.clone());
    let edges = script.edges.iter().map(|edge| edge.name.clone());
    draw.pick(&origins.chain(edges).collect::<Vec<_>>())
}

fn pair(script: &Script, draw: &mut Draw) -> (String, String) {
    let edge = draw.pick(&script.edges);
    let other = draw.pick(&edge.from);
    if draw.coin() { (edge.name, other) } else { (other, edge.name) }
}

fn crashes(script: &mut Script, draw: &mut Draw, at: u64) {
    let host = server(script, draw);
    let how = draw.pick(&[Crash::Fin, Crash::Reset, Crash::Silent]);
    let back = at + draw.number(100..=8_000);
    match draw.number(0..=4) {
        0 => script.at(at, Act::Stop { host: host.clone() }),
        _ => script.at(at, Act::Crash { host: host.clone(), how }),
    };
    if draw.percent(80) {
        script.at(back, Act::Restart { host });
    }
}

fn pauses(script: &mut Script, draw: &mut Draw, at: u64) {
    let host = server(script, draw);
    let back = at + draw.number(100..=8_000);
    script.at(at, Act::Pause { host: host.clone() }).at(back, Act::Resume { host });
}

fn cuts(script: &mut Script, draw: &mut Draw, at: u64) {
    let (a, b) = pair(script, draw);
    let back = at + draw.number(100..=10_000);
    let cut = match draw.number(0..=2) {
        0 => Act::CutOneWay { from: a.clone(), to: b.clone() },
        _ => Act::Cut { a: a.clone(), b: b.clone() },
    };
    script.at(at, cut).at(back, Act::Heal { a, b });
}

fn holds(script: &mut Script, draw: &mut Draw, at: u64) {
    let (a, b) = pair(script, draw);
    let back = at + draw.number(50..=5_000);
    script.at(at, Act::Hold { a: a.clone(), b: b.clone() }).at(back, Act::Heal { a, b });
}

fn links(script: &mut Script, draw: &mut Draw, at: u64) {
    let (a, b) = pair(script, draw);
    let link = crate::script::Link {
        latency_ms: draw.number(0..=150),
        jitter_ms: draw.number(0..=100),
        loss_ppm: draw.pick(&[0, 1_000, 20_000]),
    };
    script.at(at, Act::Relink { a, b, link });
}

fn clocks(script: &mut Script, draw: &mut Draw, at: u64) {
    let host = server(script, draw);
    let act = match draw.number(0..=2) {
        0 => Act::Drift { host, ppm: i32::try_from(draw.either_way(1..=500)).unwrap_or(0) },
        // A clock that is set forwards: a server that is started again later must not find its own future.
        _ => Act::StepClock { host, by_ms: draw.number(1..=3_600_000).cast_signed() },
    };
    script.at(at, act);
}

fn encoders(script: &mut Script, draw: &mut Draw, at: u64) {
    let encoder = draw.pick(&script.encoders).name;
    let act = match draw.number(0..=5) {
        0 => Act::Stall { encoder, for_ms: draw.number(100..=6_000) },
        1 => Act::Jump { encoder, by_ms: draw.either_way(1..=20_000) },
        2 => Act::Resize { encoder, large: draw.coin() },
        3 => Act::Reconnect { encoder },
        _ => {
            let back = at + draw.number(100..=10_000);
            script.at(back, Act::Restart { host: encoder.clone() });
            Act::Crash { host: encoder, how: draw.pick(&[Crash::Fin, Crash::Reset, Crash::Silent]) }
        }
    };
    script.at(at, act);
}

fn readers(script: &mut Script, draw: &mut Draw, at: u64) {
    let host = server(script, draw);
    let bytes = Some(draw.number(5_000..=200_000));
    let back = at + draw.number(1_000..=10_000);
    script.at(at, Act::ReadRate { host: host.clone(), bytes }).at(back, Act::ReadRate { host, bytes: None });
}
