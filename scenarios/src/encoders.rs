//! The encoders of a script, as their model wants them. It knows no engine: a name becomes an address where the
//! engine says so.

use core::time::Duration;

use headwater_net_sim::encoder::{Mishap, Picture, Source, Target, Timestamps};
use headwater_net_sim::ms;

use crate::script::{Act, Encoder, Script, Step};
use crate::servers::RTMP_PORT;

/// What `plan` produces from the beginning of `script` on, with everything that the script lets go wrong in it.
pub fn source(script: &Script, plan: &Encoder) -> Source {
    let usual = Source::default();
    let times = usize::try_from(plan.size).unwrap_or(1).max(1);
    Source {
        name: plan.content,
        fps: plan.fps,
        gop: plan.gop,
        audio: plan.audio,
        video: plan.video,
        key_bytes: usual.key_bytes * times,
        delta_bytes: usual.delta_bytes * times,
        b_frames: plan.b_frames,
        picture: if plan.b_frames > 0 { Picture::Reordered } else { Picture::Small },
        timestamps: if plan.synchronised { Timestamps::Clock } else { Timestamps::Zero },
        mishaps: script.steps.iter().filter_map(|step| mishap(step, plan)).collect(),
    }
}

/// What is left of `source` for an encoder that is started so long after the beginning.
pub fn started_after(source: &Source, gone: Duration) -> Source {
    let later = source.mishaps.iter().filter_map(|(at, what)| Some((at.checked_sub(gone)?, *what)));
    Source { mishaps: later.collect(), ..source.clone() }
}

/// Where `plan` publishes to. `address` says under which name or address a host is reached.
pub fn targets(plan: &Encoder, address: impl Fn(&str) -> String) -> Vec<Target> {
    let target = |server: &String| Target {
        dialect: plan.dialect,
        ..Target::new(&address(server), RTMP_PORT, "live", &plan.stream)
    };
    plan.to.iter().map(target).collect()
}

fn mishap(step: &Step, plan: &Encoder) -> Option<(Duration, Mishap)> {
    let (encoder, mishap) = match &step.act {
        Act::Stall { encoder, for_ms } => (encoder, Mishap::Stall(ms(*for_ms))),
        Act::Jump { encoder, by_ms } => (encoder, Mishap::Jump(*by_ms)),
        Act::Resize { encoder, large: true } => (encoder, Mishap::Picture(Picture::Large)),
        Act::Resize { encoder, large: false } => (encoder, Mishap::Picture(Picture::Small)),
        Act::Reconnect { encoder } => (encoder, Mishap::Reconnect),
        _ => return None,
    };
    (*encoder == plan.name).then_some((ms(step.at_ms), mishap))
}
