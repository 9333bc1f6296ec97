//! The dozen stories that every engine is asked to play. They draw little, so that what engines saw can be compared:
//! the network, and the moment at which it happens.

use headwater_scenarios::rules::Rule;
use headwater_scenarios::script::{Act, Crash, Edge, Link, Poller, Script};
use headwater_scenarios::{Draw, Scenario};

/// All of them.
pub const ALL: &[Scenario] = &[
    story("origin-killed", "the origin that is played dies", origin_killed),
    story("origin-dark", "the origin that is played loses power", origin_dark),
    story("origin-frozen", "the origin that is played is stopped", origin_frozen),
    story("origin-restarted", "it dies, comes back and is returned to", restarted),
    story("origin-stopped", "it is asked to end", origin_stopped),
    story("origins-lost", "both origins die and come back", origins_lost),
    story("link-held", "a second without packets, which come late", link_held),
    story("link-stuck", "longer than the edge's patience", link_stuck),
    story("far-origins", "a continent lies between, and the origin dies", far_origins),
    story("edge-restarted", "the edge dies and comes back", edge_restarted),
    story("late-viewer", "two viewers, one of them after a failover", late_viewer),
    story("edge-behind-edge", "the first edge of two loses its origin", chained),
    story("encoder-killed", "the encoder dies and comes back", encoder_killed),
    story("encoder-reconnects", "the encoder connects anew", encoder_reconnects),
    story("encoder-stalls", "the encoder produces nothing for a moment", encoder_stalls),
    story("absent-stream", "a stream that nobody publishes is polled", absent_stream),
];

const fn story(name: &'static str, about: &'static str, write: fn(&mut Draw) -> Script) -> Scenario {
    Scenario { name, about, one_in: 1, write }
}

/// The scenario called `name`: one of these, or one of the simulator's.
pub fn named(name: &str) -> Option<Scenario> {
    let here = ALL.iter().find(|scenario| scenario.name == name).copied();
    here.or_else(|| Scenario::named(name))
}

/// A cluster with one viewer, and the moment at which something happens to it.
fn cluster(draw: &mut Draw) -> (Script, u64) {
    let mut script = Script::new();
    script.length_ms = 20_000;
    script.link = Link { latency_ms: draw.number(1..=5), jitter_ms: draw.number(0..=3), loss_ppm: 0 };
    script.edges[0].no_input_ms = 1_000;
    script.viewer("edge", 4_000);
    script.must(Rule::NoFatalError);
    (script, draw.number(9_000..=10_000))
}

fn source() -> String {
    "source of edge".to_owned()
}

/// Nobody loses a frame, and the edge is without media for so long at most.
fn unharmed(mut script: Script, silent_ms: u64) -> Script {
    // The close arrives; connect, DESCRIBE and PLAY take a round trip each; a burst needs a moment to find its place.
    let failover = silent_ms + script.dial_ms() + 50;
    let gap = script.part_gap_ms() + failover;
    script.must(Rule::EveryFrameOnce).must(Rule::Failover { ms: failover }).must(Rule::Gap { ms: gap });
    script
}

fn origin_killed(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.at(at, Act::Crash { host: source(), how: Crash::Fin });
    unharmed(script, 0)
}

fn origin_dark(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.at(at, Act::Crash { host: source(), how: Crash::Silent });
    unharmed(script, 1_000)
}

fn origin_frozen(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.at(at, Act::Pause { host: source() });
    unharmed(script, 1_000)
}

fn restarted(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.edges[0].failback = true;
    let host = "origin-a".to_owned();
    script.at(at, Act::Crash { host: host.clone(), how: Crash::Fin }).at(at + 2_000, Act::Restart { host });
    unharmed(script, 0)
}

fn origin_stopped(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.at(at, Act::Stop { host: source() });
    unharmed(script, 0)
}

fn origins_lost(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    for host in ["origin-a", "origin-b"] {
        script.at(at, Act::Crash { host: host.to_owned(), how: Crash::Fin });
        script.at(at + 1_500, Act::Restart { host: host.to_owned() });
    }
    // The encoder and the edge find the origins again when they try next, each after a wait of its own.
    script.must(Rule::Failover { ms: 6_000 });
    script
}

fn link_held(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.edges[0].no_input_ms = 3_000;
    let (a, b) = ("origin-a".to_owned(), "edge".to_owned());
    script.at(at, Act::Hold { a: a.clone(), b: b.clone() }).at(at + 1_000, Act::Heal { a, b });
    let gap = script.part_gap_ms() + 1_000;
    script.must(Rule::EveryFrameOnce).must(Rule::Gap { ms: gap });
    script
}

fn link_stuck(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    let (a, b) = ("origin-a".to_owned(), "edge".to_owned());
    script.at(at, Act::Hold { a: a.clone(), b: b.clone() }).at(at + 4_000, Act::Heal { a, b });
    unharmed(script, 1_000)
}

fn far_origins(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.link = Link { latency_ms: 60, jitter_ms: 20, loss_ppm: 0 };
    script.at(at, Act::Crash { host: source(), how: Crash::Fin });
    unharmed(script, 0)
}

fn edge_restarted(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    // A player gives up on a server that is not there, as hls.js does: one leaves in time, one comes afterwards.
    script.viewers[0].until_ms = Some(at - 100);
    script.viewer("edge", at + 3_000);
    let host = "edge".to_owned();
    script.at(at, Act::Crash { host: host.clone(), how: Crash::Fin }).at(at + 1_500, Act::Restart { host });
    script.must(Rule::EveryFrameOnce).must(Rule::FirstPart { ms: 2_000 });
    script
}

fn late_viewer(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.viewer("edge", at + 2_000);
    script.at(at, Act::Crash { host: source(), how: Crash::Fin });
    let mut script = unharmed(script, 0);
    script.must(Rule::FirstPart { ms: 1_000 });
    script
}

fn chained(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    let behind = Edge { no_input_ms: 1_000, ..Edge::new("edge-behind", &["edge"]) };
    script.edges.push(behind);
    script.viewers[0].server = "edge-behind".to_owned();
    script.at(at, Act::Crash { host: source(), how: Crash::Fin });
    unharmed(script, 0)
}

fn encoder_killed(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    let host = "encoder".to_owned();
    script.at(at, Act::Crash { host: host.clone(), how: Crash::Fin }).at(at + 2_000, Act::Restart { host });
    script.must(Rule::Stall { ms: 8_000 });
    script
}

fn encoder_reconnects(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.at(at, Act::Reconnect { encoder: "encoder".to_owned() });
    // It waits for its next key frame: frames are lost, but not more than a group of them.
    script.must(Rule::Gap { ms: script.part_gap_ms() + 3_000 });
    script
}

fn encoder_stalls(draw: &mut Draw) -> Script {
    let (mut script, at) = cluster(draw);
    script.edges[0].no_input_ms = 3_000;
    script.at(at, Act::Stall { encoder: "encoder".to_owned(), for_ms: 800 });
    let gap = script.part_gap_ms() + 800 + 500;
    script.must(Rule::NoFailover).must(Rule::Gap { ms: gap });
    script
}

fn absent_stream(draw: &mut Draw) -> Script {
    let (mut script, _) = cluster(draw);
    let (name, server, stream) = ("poller".to_owned(), "edge".to_owned(), "absent".to_owned());
    script.pollers.push(Poller {
        name: name.clone(),
        server,
        stream,
        from_ms: 6_000,
        every_ms: 500,
        times: 20,
    });
    script.must(Rule::Answer { poller: name, status: 404 }).must(Rule::EveryFrameOnce).must(Rule::NoFailover);
    script
}
