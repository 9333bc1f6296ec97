//! An edge plays many streams of one origin, and the origin dies. However many they are, each of them is played from
//! the other origin within a second, with every frame.

use super::Scenario;
use crate::draw::Draw;
use crate::rules::Rule;
use crate::script::{Act, Crash, Encoder, Poller, Script};

/// Fifty of them.
pub const SCENARIO: Scenario = Scenario {
    name: "many-streams",
    about: "the origin of fifty streams on one edge dies at once: all of them are switched within a second",
    one_in: 10,
    write,
};

/// What happens to the origin that all streams are played from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is killed, and its kernel says so.
    Killed,
    /// It is stopped where it is, and says nothing.
    Stopped,
}

fn write(draw: &mut Draw) -> Script {
    let fate = draw.pick(&[Fate::Killed, Fate::Stopped]);
    let mut script = script(50, fate, draw.small(0..=1), draw.number(10_000..=11_000));
    script.draw_network(draw);
    script
}

/// So many streams of one edge, each with an encoder of its own that feeds two origins, and what becomes of the first
/// of these at a moment.
///
/// The streams are small, so that a machine can carry many: ten frames a second, 140 kbit/s. No two cameras have the same
/// clock, so their frames and their key frames do not fall together. All streams are asked for, and a few are watched.
pub fn script(streams: u32, fate: Fate, hot_standby: u32, at_ms: u64) -> Script {
    let mut script = Script::new();
    let origins: Vec<String> = script.origins.iter().map(|origin| origin.name.clone()).collect();
    let both: Vec<&str> = origins.iter().map(String::as_str).collect();
    let edge = &mut script.edges[0];
    (edge.hot_standby, edge.segment_ms, edge.segments, edge.unused_ms) = (hot_standby, 2_000, 4, 30_000);
    script.encoders.clear();
    for n in 0..streams {
        let stream = format!("stream-{n}");
        script.encoders.push(Encoder {
            content: n,
            fps: (10_000 + n * 7 % 1_000, 1_000),
            gop: 20,
            audio: None,
            ..Encoder::new(&format!("encoder-{n}"), &stream, &both)
        });
        script.pollers.push(Poller {
            name: format!("poller-{n}"),
            server: "edge".to_owned(),
            stream,
            from_ms: ASKED_FROM_MS + u64::from(n) * ASKED_WITHIN_MS / u64::from(streams),
            every_ms: 0,
            times: 1,
        });
    }
    let watched = (0..streams).step_by(usize::try_from(streams / WATCHED).unwrap_or(1).max(1));
    for n in watched {
        script.viewer("edge", ASKED_FROM_MS + ASKED_WITHIN_MS).stream = format!("stream-{n}");
    }
    let (edge, origin) = ("edge".to_owned(), both[0].to_owned());
    let act = match fate {
        Fate::Killed => Act::Crash { host: origin.clone(), how: Crash::Fin },
        Fate::Stopped => Act::Pause { host: origin.clone() },
    };
    script.at(at_ms, act);
    script.length_ms = at_ms + 4_000;
    script.must(Rule::Holds { host: edge.clone(), kib: u64::from(streams) * HELD_KIB });
    script.must(Rule::AllSwitched { edge, origin, streams, from_ms: at_ms, ms: ALL_WITHIN_MS });
    script.must(Rule::EveryFrameOnce).must(Rule::NoFatalError);
    script
}

/// When the first stream is asked for: all encoders have found their origins by then.
const ASKED_FROM_MS: u64 = 4_000;
/// Within this time after that the last one is.
const ASKED_WITHIN_MS: u64 = 2_000;
/// Streams that somebody watches to the end.
const WATCHED: u32 = 5;
/// The most that the edge holds of a stream, in KiB, at 19 in a second: sixteen seconds for viewers (the playlist's four
/// segments, three that have left it, and the one that grows), six for edges behind it (four, and a group of
/// pictures), and the six that the next origin hands over.
const HELD_KIB: u64 = 28 * 19;
/// How long all streams together have.
pub const ALL_WITHIN_MS: u64 = 1_000;
