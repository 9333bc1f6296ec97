//! Servers forget whom they have served, and never queue without bound.

use headwater_net_sim::check::{NothingLeaks, QueuesBounded};
use headwater_net_sim::encoder::Source;
use headwater_net_sim::{Checks, Crash, ms, secs};
use headwater_scenarios::cluster::{ORIGINS, START, STREAM};
use headwater_scenarios::{Cluster, Plan};

#[test]
fn servers_hold_nothing_once_all_is_quiet() {
    let plan = Plan { unused_ms: 3_000, ..Plan::default() };
    let mut cluster = Cluster::new(11, &plan);
    let other = cluster.add_encoder("other", &Source { name: 2, ..Source::default() }, "other", &ORIGINS);
    let behind = cluster.add_edge("behind", &plan, ["edge", "edge"]);
    cluster.world.run_for(START);
    let viewers = [
        cluster.viewer("one"),
        cluster.viewer_of("two", "edge", "other"),
        cluster.viewer_of("three", "behind", STREAM),
    ];
    cluster.ask("http://edge:3333/live/absent/llhls.m3u8");
    let mut queues = Checks::none().with(QueuesBounded::default());
    for _ in 0..20 {
        cluster.world.run_for(ms(370));
        queues.demand(&cluster.world);
    }
    cluster.world.crash(cluster.origin_a, Crash::Reset);
    cluster.world.run_for(secs(2));
    cluster.world.restart(cluster.origin_a);
    cluster.world.run_for(secs(3));
    for host in [cluster.edge, behind, cluster.origin_b] {
        assert!(cluster.world.census(host).held().count() > 3, "{:?}", cluster.world.census(host));
    }
    for (host, how) in [(viewers[0], Crash::Fin), (viewers[1], Crash::Reset), (viewers[2], Crash::Fin)] {
        cluster.world.crash(host, how);
    }
    cluster.world.crash(cluster.encoder, Crash::Fin);
    cluster.world.crash(other, Crash::Reset);
    cluster.world.run_for(secs(120));
    Checks::none().with(NothingLeaks).demand(&cluster.world);
}
