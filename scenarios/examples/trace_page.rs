//! Writes the page of a run: an edge whose first origin is killed, whose cable to the second is pulled, and whose
//! viewers tell what they saw. `cargo run -p headwater-scenarios --example trace_page -- [FILE] [SEED] [VIEWERS] [SECONDS]`
//! writes `run.html`.

use std::process::ExitCode;

use headwater_net_sim::check::EveryFrameOnce;
use headwater_net_sim::page::{Note, page};
use headwater_net_sim::{Checks, Crash, World, ms, secs};
use headwater_scenarios::cluster::{Cluster, Plan, START};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().unwrap_or_else(|| "run.html".to_owned());
    let mut number = |usual: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (seed, viewers, seconds) = (number(4_711), number(3), number(30));
    let mut cluster = Cluster::recorded(seed, &Plan { latency_ms: 8, jitter_ms: 4, ..Plan::default() });
    let origins = ["origin-a", "origin-b"];
    for number in 1..viewers.div_ceil(3) {
        cluster.add_edge(&format!("edge-{}", number + 1), &Plan::default(), origins);
    }
    cluster.world.run_for(START);
    for number in 0..viewers {
        let edge = if number < 3 { "edge".to_owned() } else { format!("edge-{}", number / 3 + 1) };
        cluster.viewer_of(&format!("viewer-{}", number + 1), &edge, "match");
        cluster.world.run_for(ms(700));
    }
    tell(&mut cluster, seconds);
    let mut checks = Checks::unharmed(ms(900)).with(EveryFrameOnce::default());
    let mut notes = vec![Note::head("commit", "not known here")];
    notes.extend(checks.verify(&cluster.world).err().map(Note::Violation));
    if let Err(error) = std::fs::write(&file, page("origin-crash and a cable", &cluster.world, &notes)) {
        eprintln!("{file} cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    println!("{file}: {} events", World::trace(&cluster.world).count());
    ExitCode::SUCCESS
}

/// The first origin dies and comes back; then the edge's cable to the other one is pulled for four seconds.
fn tell(cluster: &mut Cluster, seconds: u64) {
    let Cluster { world, origin_a, origin_b, edge, encoder, .. } = cluster;
    world.run_for(secs(4));
    world.crash(*origin_a, Crash::Reset);
    world.run_for(secs(3));
    world.restart(*origin_a);
    world.step_clock(*encoder, 250_000);
    world.run_for(secs(3));
    world.partition(*origin_b, *edge);
    world.run_for(secs(4));
    world.heal(*origin_b, *edge);
    world.pause(*edge);
    world.run_for(secs(3));
    world.resume(*edge);
    let left = secs(seconds).saturating_sub(world.now().since(headwater_core::time::Time::ZERO));
    world.run_for(left);
}
