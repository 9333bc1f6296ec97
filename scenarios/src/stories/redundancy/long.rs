//! Hours of 29.97 frames per second with B-frames: two origins begin far apart, their clocks are wrong, drift and are
//! set, and each is started anew once.

use super::{pair, same};
use crate::draw::Draw;
use crate::script::{Act, Crash, STORE, Script, Store, Timestamps};
use crate::stories::Scenario;

pub const HOUR: Scenario = Scenario {
    name: "redundancy-hour",
    about: "an hour of 29.97 frames per second, the same at two origins that began ten minutes apart",
    one_in: 100,
    write: |draw| hours(draw, 1, 10 * MINUTE_MS),
};

pub const DAY: Scenario = Scenario {
    name: "redundancy-day",
    about: "a day of 29.97 frames per second, the same at two origins that began two hours apart",
    one_in: 0,
    write: |draw| hours(draw, 24, 120 * MINUTE_MS),
};

const MINUTE_MS: u64 = 60_000;

fn hours(draw: &mut Draw, hours: u64, apart_ms: u64) -> Script {
    // Either the encoder's own clock is everybody's, or that on which the origins agree in their store.
    let synchronised = draw.coin();
    let timestamps = if synchronised { Timestamps::Original } else { Timestamps::SystemClock };
    let mut script = pair(draw, timestamps);
    script.length_ms = hours * 60 * MINUTE_MS;
    let encoder = &mut script.encoders[0];
    (encoder.fps, encoder.b_frames, encoder.synchronised) = ((30_000, 1_001), 2, synchronised);
    encoder.gop = draw.pick(&[30, 60, 180]);
    if synchronised && draw.coin() {
        // RTMP's clock begins anew in the middle.
        encoder.wraps_at_ms = Some(script.length_ms / 2);
    }
    if !synchronised {
        script.stores.push(Store { name: STORE.to_owned() });
        script.origins.iter_mut().for_each(|origin| origin.store = Some(STORE.to_owned()));
    }
    let (first, second) = ("origin-a".to_owned(), "origin-b".to_owned());
    script.at(0, Act::StepClock { host: second.clone(), by_ms: draw.pick(&[0, 5, 50, 500]) });
    script.at(0, Act::Drift { host: second.clone(), ppm: 20 });
    script.at(0, Act::Crash { host: second.clone(), how: Crash::Fin });
    script.at(apart_ms, Act::Restart { host: second.clone() });
    script.viewers[1].from_ms = apart_ms + 20_000;
    // Somebody sets a clock, and each is started anew, at different times.
    let third = (script.length_ms - apart_ms) / 3;
    script
        .at(apart_ms + third / 2, Act::StepClock { host: first.clone(), by_ms: draw.either_way(1..=2_000) });
    for (at, host, viewer) in [(apart_ms + third, first, 0), (apart_ms + 2 * third, second, 1)] {
        script.at(at, Act::Crash { host: host.clone(), how: Crash::Fin });
        script.at(at + 1_000, Act::Restart { host: host.clone() });
        script.viewers[viewer].until_ms = Some(at);
        script.viewer(&host, at + 20_000);
    }
    // Both are there for all but the beginning and half a minute of each new start.
    let whole = (script.length_ms - apart_ms) / 6_006 * 2;
    same(&mut script, 0, whole * 95 / 100);
    script
}
