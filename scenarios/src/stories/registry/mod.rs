//! Clusters whose origins announce their streams in a directory, in which edges find them.

use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Link, STORE, Script};

pub mod clocks;
pub mod cut_off;
pub mod drain;
pub mod emptied;
pub mod hand_over;
pub mod late_release;
pub mod owner_paused;
pub mod promoted;
pub mod standby;
pub mod store_away;
pub mod swarm;
pub mod two_publishers;

/// Two origins of one encoder, of which the first owns the stream and the second waits, and an edge with a viewer.
fn cluster(draw: &mut Draw) -> Script {
    let mut script = Script::with_directory();
    script.draw_network(draw).draw_patience(draw);
    let plain_keys = draw.part("plain keys").coin();
    script.origins.iter_mut().for_each(|origin| origin.plain_keys = plain_keys);
    own(&mut script, "origin-a");
    script.viewer("edge", 6_000);
    script.length_ms = 40_000;
    script.must(Rule::NoFatalError).must(Rule::Found { ms: FOUND_MS });
    script
}

/// A lease, the pauses of somebody who could not reach the store, what he grants the others then, and a claim.
const FOUND_MS: u64 = 7_000;

/// Sees to it that `first` is the first to claim the stream: the others have a long way to the store in the beginning.
fn own(script: &mut Script, first: &str) {
    let (usual, long) = (script.link, Link { latency_ms: 300, jitter_ms: 0, loss_ppm: 0 });
    let others: Vec<String> = script.origins.iter().map(|origin| origin.name.clone()).collect();
    for other in others.into_iter().filter(|other| other != first) {
        for (at, link) in [(0, long), (4_000, usual)] {
            script.at(at, Act::Relink { a: other.clone(), b: STORE.to_owned(), link });
        }
    }
}

/// How long it takes at most until somebody who waits has the stream of an owner of whom nothing is heard any more:
/// its lease of three seconds, a question, and a claim.
fn succession_ms(script: &Script) -> u64 {
    3_000 + 500 + script.dial_ms()
}

/// How long it takes at most until an edge that has lost its source looks for another when there is one: it waits in
/// silence for as long as it is told to; if the dead owner's lease is not over then, it looks again two seconds later.
fn silence_ms(script: &Script) -> u64 {
    let notices = script.edges[0].no_input_ms + 500;
    notices.max(succession_ms(script)) + 2_000
}

/// How long an edge takes at most to follow: it looks three times a second when what it plays is lost, and goes on
/// with what the other origin has kept.
fn follow_ms(script: &Script) -> u64 {
    400 + 16 * script.one_way_ms() + 200
}

/// The edge is without media for so long at most when it changes its source, and its viewers hardly longer.
fn within(script: &mut Script, failover_ms: u64) {
    let gap_ms = script.part_gap_ms() + failover_ms;
    script.must(Rule::Failover { ms: failover_ms }).must(Rule::Gap { ms: gap_ms });
}
