//! Everything that can happen to a directory and to those who use it, in any order.

use super::{FOUND_MS, cluster};
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Origin, STORE, Script};
use crate::stories::Scenario;

pub const SCENARIO: Scenario = Scenario {
    name: "registry-swarm",
    about: "stores, origins and edges are cut off, stopped, killed, emptied, promoted and misdated in any order",
    one_in: 1,
    write,
};

fn write(draw: &mut Draw) -> Script {
    let mut script = cluster(draw);
    script.rules.clear();
    if draw.coin() {
        script.origins.push(Origin { name: "origin-c".to_owned(), ..script.origins[1].clone() });
        script.encoders[0].to.push("origin-c".to_owned());
    }
    let origins: Vec<String> = script.origins.iter().map(|origin| origin.name.clone()).collect();
    let store = STORE.to_owned();
    for _ in 0..draw.number(1..=8) {
        let at = draw.number(8_000..=45_000);
        let until = at + draw.number(100..=12_000);
        let host = draw.pick(&[&origins[..], core::slice::from_ref(&store)].concat());
        match draw.number(0..=8) {
            0 => script.at(at, Act::Pause { host: host.clone() }).at(until, Act::Resume { host }),
            1 => {
                let b = draw.pick(&["edge".to_owned(), store.clone()]);
                let a = draw.pick(&origins);
                script.at(at, Act::Cut { a: a.clone(), b: b.clone() }).at(until, Act::Heal { a, b })
            }
            2 => script.at(at, Act::Isolate { host: host.clone() }).at(until, Act::Rejoin { host }),
            3 => {
                let how = draw.pick(&[Crash::Fin, Crash::Reset, Crash::Silent]);
                script.at(at, Act::Crash { host: host.clone(), how }).at(until, Act::Restart { host })
            }
            4 => script.at(at, Act::Empty { store: store.clone() }),
            5 => {
                let lost_ms = draw.number(10..=10_000);
                script.at(at, Act::Promote { store: store.clone(), lost_ms })
            }
            6 => {
                let by_ms = draw.number(100..=3_000);
                script.at(at, Act::Slow { store: store.clone(), by_ms });
                script.at(until, Act::Slow { store: store.clone(), by_ms: 0 })
            }
            7 => script.at(at, Act::StepClock { host, by_ms: draw.either_way(100..=20_000) }),
            _ => {
                let a = draw.pick(&origins);
                script.at(at, Act::Hold { a: a.clone(), b: store.clone() });
                script.at(until, Act::Heal { a, b: store.clone() })
            }
        };
    }
    for _ in 0..draw.number(0..=3) {
        script.viewer("edge", draw.number(8_000..=50_000));
    }
    script.length_ms = 60_000;
    if !script.steps.iter().any(|step| matches!(&step.act, Act::StepClock { host, .. } if *host == store)) {
        script.must(Rule::Found { ms: FOUND_MS });
    }
    // A store whose clock was set back keeps the dead for longer.
    script.recovery.within_ms = 35_000;
    script
}
