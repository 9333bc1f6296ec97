//! Every seed switches whole classes of features and of faults on or off, so that no fault hides another. Nothing is
//! promised while it lasts but safety; when the core is put right everything must play again.

use headwater_net_sim::dialect::Habits;

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Door, Edge, Encoder, Origin, Poller, Script, Stranger};

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
    encoders_of(&mut script, &mut draw.part("encoders"));
    audience(&mut script, &mut draw.part("audience"));
    if draw.part("calm").percent(25) {
        calm(&mut script);
        strangers(&mut script, &mut draw.part("strangers"));
    } else {
        faults(&mut script, &mut draw.part("faults"));
    }
    script.recovery.within_ms = 12_000;
    script
}

/// If nothing goes wrong, everybody gets everything, and as soon as it is there.
fn calm(script: &mut Script) {
    let ways = 4 * script.one_way_ms();
    script.must(Rule::NoFatalError).must(Rule::HintsAreKept);
    // Who begins where no part is listed any more takes the rest of a segment as a whole, and has some of it twice.
    let gop_ms =
        |encoder: &Encoder| u64::from(encoder.gop * encoder.fps.1) * 1_000 / u64::from(encoder.fps.0);
    let longest_ms = script.encoders.iter().map(gop_ms).max().unwrap_or(0);
    if script.edges.iter().all(|edge| 2 * longest_ms <= edge.segment_ms) {
        script.must(Rule::EveryFrameOnce);
    }
    script.must(Rule::Reload { ms: ways + 40 });
    script.must(Rule::Gap { ms: script.part_gap_ms() + ways + 300 });
}

/// Whoever means no good is shown out, and nobody else notices.
fn strangers(script: &mut Script, draw: &mut Draw) {
    if !draw.percent(40) {
        return;
    }
    let origin = script.origins[0].name.clone();
    for (name, server, door) in [
        ("stranger", origin.clone(), Door::Rtmp),
        ("stranger-2", origin, Door::Ovt),
        ("stranger-3", script.edges[0].name.clone(), Door::Ovt),
    ] {
        if draw.coin() {
            script.strangers.push(Stranger { name: name.to_owned(), server, door });
        }
    }
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
    let names: Vec<String> = script.edges.iter().map(|edge| edge.name.clone()).collect();
    // Edges that know each other must not ask each other in a circle.
    if names.len() == 2 && draw.percent(25) {
        script.edges[0].from.push(names[1].clone());
        script.edges[1].from.push(names[0].clone());
    }
    if chained {
        let from: Vec<&str> = names.iter().map(String::as_str).collect();
        script.edges.push(Edge { failback, ..Edge::new("leaf", &from) });
    }
    script.draw_patience(draw);
    let (patient, persistent, shaped) = (draw.percent(20), draw.percent(15), draw.coin());
    let hot_standby = draw.part("standby").pick(&[0, 0, 1, 2]);
    for edge in &mut script.edges {
        edge.persistent = persistent;
        edge.hot_standby = hot_standby;
        if patient {
            edge.retry_count = draw.small(0..=20);
        }
        if shaped {
            edge.part_ms = draw.pick(&[200, 333, 500, 1_000]);
            edge.segment_ms = draw.pick(&[1_000, 2_000, 2_500, 4_000, 6_000]).max(edge.part_ms);
            edge.segments = draw.small(3..=8);
        }
    }
}

fn encoders_of(script: &mut Script, draw: &mut Draw) {
    script.encoders.clear();
    let origins: Vec<String> = script.origins.iter().map(|origin| origin.name.clone()).collect();
    let (reordered, large, scattered, wraps) =
        (draw.percent(25), draw.percent(20), draw.percent(20), draw.percent(10));
    for n in 1..=draw.number(1..=2) {
        let mut to: Vec<&str> = origins.iter().map(String::as_str).collect();
        if scattered {
            // Not every origin has every stream.
            to.remove(usize::try_from(draw.number(0..=to.len() as u64 - 1)).unwrap_or(0));
            if to.is_empty() {
                to.push(&origins[0]);
            }
        }
        let encoder = Encoder {
            content: u32::try_from(n).unwrap_or(1),
            fps: draw.pick(&[(30, 1), (25, 1), (30_000, 1_001), (50, 1), (24, 1)]),
            gop: draw.pick(&[15, 30, 48, 60, 120]),
            audio: draw.pick(&[Some(48_000), Some(44_100), None]),
            b_frames: if reordered { 2 } else { 0 },
            size: if large { draw.pick(&[4, 12]) } else { 1 },
            synchronised: wraps || draw.percent(30),
            wraps_at_ms: wraps.then(|| draw.number(8_000..=20_000)),
            ..Encoder::new(&format!("encoder-{n}"), &format!("stream-{n}"), &to)
        };
        script.encoders.push(encoder);
    }
    // Somebody else wants the name of the first stream, from the beginning on or when it is free for a moment.
    if draw.percent(15) {
        let first = script.encoders[0].clone();
        let (name, content) = ("rival".to_owned(), 9);
        script.encoders.push(Encoder { name, content, wraps_at_ms: None, ..first });
    }
    for encoder in &mut script.encoders {
        encoder.dialect = draw.percent(30).then(|| draw.number(0..=u64::from(Habits::COUNT - 1)) as u32);
    }
}

fn audience(script: &mut Script, draw: &mut Draw) {
    let (churn, hints, crowd) = (draw.coin(), draw.percent(30), draw.percent(10));
    for _ in 1..=draw.number(1..=4) {
        let server = draw.pick(&script.edges).name;
        let stream = draw.pick(&script.encoders).stream;
        let from_ms = draw.number(2_000..=15_000);
        let until_ms = churn.then(|| from_ms + draw.number(1_000..=20_000));
        let count = if crowd { draw.small(1..=10) } else { 1 };
        let viewer = script.viewer(&server, from_ms);
        (viewer.stream, viewer.until_ms, viewer.hints, viewer.count) = (stream, until_ms, hints, count);
    }
    if draw.percent(20) {
        let server = draw.pick(&script.edges).name;
        let stream = if draw.coin() { "nothing".to_owned() } else { draw.pick(&script.encoders).stream };
        let every_ms = draw.pick(&[50, 250, 1_000, 3_000]);
        let times = u32::try_from(20_000 / every_ms).unwrap_or(1);
        let from_ms = draw.number(0..=8_000);
        script.pollers.push(Poller { name: "poller".to_owned(), server, stream, from_ms, every_ms, times });
    }
}

/// Draws which classes of faults there are, and then faults of these classes only.
fn faults(script: &mut Script, draw: &mut Draw) {
    type Class = fn(&mut Script, &mut Draw, u64);
    let classes: [Class; 10] =
        [crashes, pauses, cuts, holds, links, clocks, encoders, readers, flickers, isolations];
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

/// An encoder that connects, sends a little and connects again, which its origins tell the edges one by one.
fn flickers(script: &mut Script, draw: &mut Draw, at: u64) {
    let encoder = draw.pick(&script.encoders).name;
    let every = draw.number(400..=2_000);
    for n in 0..draw.number(3..=12) {
        script.at((at + n * every).min(script.length_ms), Act::Reconnect { encoder: encoder.clone() });
    }
}

fn isolations(script: &mut Script, draw: &mut Draw, at: u64) {
    let servers = script.origins.iter().map(|origin| origin.name.clone());
    let encoders = script.encoders.iter().map(|encoder| encoder.name.clone());
    let host = draw.pick(&servers.chain(encoders).collect::<Vec<_>>());
    let back = at + draw.number(100..=20_000);
    script.at(at, Act::Isolate { host: host.clone() });
    if draw.percent(80) {
        script.at(back, Act::Rejoin { host });
    }
}

fn readers(script: &mut Script, draw: &mut Draw, at: u64) {
    let host = server(script, draw);
    let bytes = Some(draw.number(5_000..=200_000));
    let back = at + draw.number(1_000..=10_000);
    script.at(at, Act::ReadRate { host: host.clone(), bytes }).at(back, Act::ReadRate { host, bytes: None });
}
