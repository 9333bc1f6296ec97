//! Clocks are wrong and are set: those of the origins, of the edge and of the store. Only the store's matter, and they
//! end leases before their time or after it.

use super::{cluster, follow_ms, silence_ms, within};
use crate::draw::Draw;
use crate::script::{Act, Crash, STORE, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-clocks",
    about: "the clocks of origins, edge and store are wrong and are set, and an owner dies",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    let mut hosts = vec!["origin-a", "origin-b", "edge"];
    let store_too = draw.coin();
    if store_too {
        hosts.push(STORE);
    }
    for host in hosts {
        let ppm = i32::try_from(draw.either_way(0..=200)).unwrap_or(0);
        script.at(0, Act::Drift { host: host.to_owned(), ppm });
        for _ in 0..draw.number(0..=3) {
            let by_ms = draw.either_way(500..=draw.clone().pick(&[5_000, 100_000, 100_000_000]));
            script.at(draw.number(0..=30_000), Act::StepClock { host: host.to_owned(), by_ms });
        }
    }
    script.at(draw.number(14_000..=20_000), Act::Crash { host: "origin-a".to_owned(), how: Crash::Reset });
    if store_too {
        // A store whose clock is set back by a day keeps a dead owner for a day: it is started anew in the end.
        script.at(30_000, Act::Empty { store: STORE.to_owned() });
        script.rules.clear();
    } else {
        let failover = silence_ms(&script) + follow_ms(&script);
        within(&mut script, failover);
    }
    script
}
