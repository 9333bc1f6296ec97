//! The same seed tells the same story, to the last bit, whatever happens in it.

use std::time::Instant;

use headwater_net_sim::encoder::{Mishap, Picture, Source};
use headwater_net_sim::{Crash, Latency, Link, ms, secs};
use headwater_scenarios::cluster::{ORIGINS, STREAM};
use headwater_scenarios::{Cluster, Plan};

/// An eventful minute and a half: everything that the other stories are made of, in one cluster.
fn medley(seed: u64) -> Cluster {
    let mishaps = vec![
        (secs(12), Mishap::Reconnect),
        (secs(20), Mishap::Jump(10_000)),
        (secs(28), Mishap::Picture(Picture::Large)),
        (secs(36), Mishap::Stall(ms(2_200))),
        (secs(80), Mishap::Jump(-10_000)),
    ];
    let source = Source { mishaps, ..Source::default() };
    let plan = Plan { source, failback: true, latency_ms: 3, jitter_ms: 9, ..Plan::default() };
    let mut cluster = Cluster::new(seed, &plan);
    let second = cluster.add_edge("edge-2", &plan, ORIGINS);
    let leaf = cluster.add_edge("leaf", &plan, ["edge", "edge-2"]);
    cluster.add_encoder("other", &Source { name: 2, ..Source::default() }, STREAM, &ORIGINS);
    cluster.add_encoder(
        "another",
        &Source { name: 3, fps: (50, 1), ..Source::default() },
        "second",
        &ORIGINS,
    );
    cluster.world.run_for(secs(5));
    for (n, (server, stream)) in [("edge", STREAM), ("leaf", STREAM), ("edge-2", "second")].iter().enumerate()
    {
        cluster.viewer_of(&format!("viewer-{n}"), server, stream);
    }
    cluster.world.run_for(secs(40));
    cluster.world.link(leaf, second, Link::from(Latency::ms(20).jitter_ms(30)).loss_ppm(20_000));
    cluster.world.crash(cluster.origin_a, Crash::Fin);
    cluster.world.run_for(secs(5));
    cluster.world.restart(cluster.origin_a);
    cluster.world.step_clock(cluster.edge, -3_600_000_000);
    cluster.world.run_for(secs(10));
    cluster.world.pause(cluster.origin_a);
    cluster.world.run_for(secs(10));
    cluster.world.resume(cluster.origin_a);
    cluster.world.hold(cluster.edge, cluster.origin_b);
    cluster.world.crash(cluster.edge, Crash::Reset);
    cluster.world.run_for(secs(5));
    cluster.world.heal(cluster.edge, cluster.origin_b);
    cluster.world.restart(cluster.edge);
    cluster.world.run_for(secs(20));
    cluster
}

#[test]
fn a_medley_of_everything_is_the_same_when_it_is_told_again() {
    let began = Instant::now();
    for seed in 0..3 {
        let (one, other) = (medley(seed), medley(seed));
        assert_eq!(one.world.trace_hash(), other.world.trace_hash(), "seed {seed}");
        assert_eq!(one.world.trace().count(), other.world.trace().count());
        assert_eq!(one.switches(), other.switches());
        assert_ne!(one.world.trace_hash(), medley(seed + 100).world.trace_hash());
    }
    // Nine times 95 seconds.
    println!("{:.0} simulated seconds per second", 9.0 * 95.0 / began.elapsed().as_secs_f64());
}
