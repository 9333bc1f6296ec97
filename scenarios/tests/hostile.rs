//! Peers that mean no good, on every port where bytes come in: they are cut off, and a viewer notices nothing.

use headwater_net_sim::hostile::{
    HostilePeersAreClosed, MISCHIEFS, Meetings, Peer, Plan as Mischief, Protocol,
};
use headwater_net_sim::{Checks, HostId, ms, secs};
use headwater_scenarios::{Cluster, Plan};

#[test]
fn hostile_peers_are_cut_off_and_disturb_nobody() {
    for seed in 0..3 {
        let (mut cluster, viewer) = Cluster::playing(seed, &Plan::default(), secs(10));
        let mut peers: Vec<(HostId, Meetings)> = Vec::new();
        for (name, server, port, protocol) in [
            ("hostile-encoder", "origin-a", 1935, Protocol::Rtmp),
            ("hostile-edge", "origin-a", 9000, Protocol::Ovt),
            ("hostile-child", "edge", 9000, Protocol::Ovt),
        ] {
            let meetings = Meetings::default();
            let plan = Mischief::new(server, port, protocol);
            peers.push((cluster.world.host(name, Peer::boot(plan, &meetings)), meetings));
        }
        let mut checks = Checks::unharmed(ms(700));
        for (host, meetings) in &peers {
            checks = checks.with(HostilePeersAreClosed::within(secs(12), *host, meetings));
        }
        for _ in 0..10 {
            cluster.world.run_for(secs(20));
            checks.demand(&cluster.world);
        }
        assert_eq!(cluster.record(viewer).stalls, []);
        for (_, meetings) in &peers {
            let meetings = meetings.borrow();
            let done = |kind| meetings.iter().any(|meeting| meeting.mischief == kind);
            assert!(MISCHIEFS.into_iter().all(done), "everything was tried");
        }
    }
}
