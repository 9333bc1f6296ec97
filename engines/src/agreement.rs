//! Whether two engines agree on a script: what the simulator says of it and what another engine found.
//!
//! Engines draw their own jitter, and one of them looks at its clock once in a millisecond, so they agree within bounds,
//! and each bound has its reason:
//!
//! * A viewer sees the same frames, except that its way into the stream and the end of the run may fall on different
//!   sides of a part's border: one part at each end.
//! * What is lost is the same. It is lost up to a key frame, in both engines to the same one unless what was waited for
//!   came later in one of them by its jitter: at most the frames of one group.
//! * Edges change their sources as often. An outage ends with a frame of the new source, after at most [`TRIPS`] trips
//!   through the network, each with its own jitter and its own tick of a clock.
//! * An edge that has tried all of its servers in vain pauses, and shortens each pause by up to a quarter at random.

use std::time::Duration;

use headwater_core::media::Kind;
use headwater_scenarios::facts::Did;
use headwater_scenarios::script::{Encoder, Script, Viewer};

use crate::outcome::{Frames, Outcome, Seen};

/// Where `other` saw something else than `simulated` when both played `script`.
pub fn disagreements(script: &Script, simulated: &Outcome, other: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    if simulated.viewers.len() != other.viewers.len() {
        found.push(format!("{} viewers, and not {}", other.viewers.len(), simulated.viewers.len()));
    }
    for (expected, seen) in simulated.viewers.iter().zip(&other.viewers) {
        found.extend(viewer(script, expected, seen));
    }
    found.extend(failovers(script, &changes(simulated), &changes(other)));
    found
}

fn viewer(script: &Script, expected: &Seen, seen: &Seen) -> Vec<String> {
    let name = &seen.name;
    let mut found = Vec::new();
    if expected.record.fatal.is_some() != seen.record.fatal.is_some() {
        found.push(format!("{name}: ended by {:?}, and not {:?}", seen.record.fatal, expected.record.fatal));
    }
    let plan = script.viewers.iter().find(|plan| plan.names().any(|known| known == *name));
    let part_ms = script.edges.iter().map(|edge| edge.part_ms).max().unwrap_or(0);
    for kind in [Kind::Video, Kind::Audio] {
        let rate = plan.and_then(|plan| encoder(script, plan)).map_or(0.0, |encoder| rate(encoder, kind));
        let gop_ms = plan.and_then(|plan| encoder(script, plan)).map_or(0, gop_ms);
        let frames = |ms: u64| (ms as f64 * rate / 1_000.0).ceil() as u64 + 1;
        let (was, is) = (expected.frames(kind), seen.frames(kind));
        let ends = was.first.abs_diff(is.first).max(was.last.abs_diff(is.last)) > frames(part_ms);
        let lost =
            was.losses.lost.abs_diff(is.losses.lost) > if was.losses.lost > 0 { frames(gop_ms) } else { 0 };
        let others = (was.losses.repeats, was.losses.sources) != (is.losses.repeats, is.losses.sources);
        if ends || lost || others || !adds_up(&is) {
            found.push(format!("{name}: {kind:?} was {is:?}, and not {was:?}"));
        }
    }
    found
}

/// From the first frame to the last, all that is not lost was there: true of the frames of one encoder's start.
fn adds_up(frames: &Frames) -> bool {
    let span = frames.last.wrapping_sub(frames.first).wrapping_add(1);
    frames.count == 0
        || frames.losses.sources > 0
        || frames.losses.repeats > 0
        || frames.count + frames.losses.lost == span
}

fn encoder<'a>(script: &'a Script, viewer: &Viewer) -> Option<&'a Encoder> {
    script.encoders.iter().find(|encoder| encoder.stream == viewer.stream)
}

/// Frames per second.
fn rate(encoder: &Encoder, kind: Kind) -> f64 {
    match kind {
        Kind::Video => f64::from(encoder.fps.0) / f64::from(encoder.fps.1),
        _ => encoder.audio.map_or(0.0, |samples| f64::from(samples) / 1_024.0),
    }
}

fn gop_ms(encoder: &Encoder) -> u64 {
    u64::from(encoder.gop) * 1_000 * u64::from(encoder.fps.1) / u64::from(encoder.fps.0.max(1))
}

/// A change of an edge's source.
struct Change {
    edge: String,
    outage: Duration,
    /// How often it tried a server since it played the one before.
    dials: usize,
}

fn changes(outcome: &Outcome) -> Vec<Change> {
    let mut changes = Vec::new();
    for (index, fact) in outcome.facts.iter().enumerate() {
        let Did::Play { outage, .. } = fact.what else { continue };
        if outage.is_zero() {
            continue;
        }
        let before = outcome.facts[..index].iter().rev().filter(|other| other.edge == fact.edge);
        let since = before.take_while(|other| !matches!(other.what, Did::Play { .. }));
        let dials = since.filter(|other| other.what == Did::Dial).count();
        changes.push(Change { edge: fact.edge.clone(), outage, dials });
    }
    changes
}

fn failovers(script: &Script, expected: &[Change], found: &[Change]) -> Vec<String> {
    if expected.len() != found.len() {
        return vec![format!("{} failovers, and not {}", found.len(), expected.len())];
    }
    let differs = |(was, is): (&Change, &Change)| {
        let pauses = was.dials.max(is.dials) > tries_without_pause(script, &is.edge);
        let quarter = if pauses { was.outage.max(is.outage) / 4 } else { Duration::ZERO };
        let far = was.edge != is.edge || was.outage.abs_diff(is.outage) > spread(script) + quarter;
        far.then(|| format!("{}: a failover took {:?}, and not {:?}", is.edge, is.outage, was.outage))
    };
    expected.iter().zip(found).filter_map(differs).collect()
}

/// As often as an edge tries its servers before it pauses: each of them once.
fn tries_without_pause(script: &Script, edge: &str) -> usize {
    script.edges.iter().find(|plan| plan.name == edge).map_or(0, |plan| plan.from.len())
}

/// How far apart two engines may be on the same outage.
fn spread(script: &Script) -> Duration {
    let frame_us =
        script.encoders.iter().map(|it| 1_000_000 * u64::from(it.fps.1) / u64::from(it.fps.0.max(1)));
    let frame = Duration::from_micros(frame_us.max().unwrap_or(0));
    frame + TRIPS * (Duration::from_millis(script.link.jitter_ms) + TICK)
}

/// The close of a connection, a connection, DESCRIBE and PLAY with their answers, and media.
const TRIPS: u32 = 8;
/// How finely time goes where it does not go continuously.
const TICK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator;
    use headwater_scenarios::facts::Fact;

    fn played() -> (Script, Outcome) {
        let script = crate::scripts::named("origin-killed").unwrap().script(1);
        let outcome = simulator::play(&script).unwrap();
        (script, outcome)
    }

    #[test]
    fn a_run_agrees_with_itself_and_not_with_one_that_lacks_a_part() {
        let (script, whole) = played();
        assert_eq!(disagreements(&script, &whole, &whole), Vec::<String>::new());
        let mut lacking = whole.clone();
        lacking.viewers[0].record.parts.remove(20);
        let found = disagreements(&script, &whole, &lacking);
        assert!(found.len() == 1 && found[0].starts_with("viewer:"), "{found:?}");
    }

    #[test]
    fn a_failover_more_or_a_slow_one_is_found() {
        let (script, whole) = played();
        let mut slow = whole.clone();
        for fact in &mut slow.facts {
            if let Did::Play { outage, .. } = &mut fact.what {
                *outage += spread(&script) + Duration::from_millis(1);
            }
        }
        assert!(!disagreements(&script, &whole, &slow).is_empty());
        let mut more = whole.clone();
        let what = Did::Play { outage: Duration::from_millis(1), joined: "Exact".to_owned() };
        let again = Fact { what, ..more.facts[0].clone() };
        more.facts.push(again);
        let found = disagreements(&script, &whole, &more);
        assert_eq!(found, ["2 failovers, and not 1"]);
    }
}
