//! The checkers of answers, of dials and of pulls, against servers that do it wrong.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use common::ll_hls::{Faults, Wrong, live};
use headwater_core::census::Census;
use headwater_core::event::{Event, StreamKey};
use headwater_core::io::{ConnId, Endpoint, Input, Machine, Output, Service};
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_sim::check::{
    AnswersMakeSense, FrozenStreamsAreNotServed, NobodyIsPestered, OnePullPerStream, PartsAreAsTold,
    QueuesBounded, ReloadsAreAnsweredAtOnce, ReloadsBringWhatWasAskedFor,
};
use headwater_net_sim::{Boot, Checker, Checks, Viewer, World, ms, secs};

/// What `checker` says of a viewer of `faults` after half a minute.
fn says(checker: impl Checker + 'static, faults: Faults) -> Option<String> {
    let mut world = World::new(1);
    world.host("edge", live(faults));
    world.viewer("viewer", Viewer::new("http://edge:8080/live.m3u8"));
    world.run_for(secs(30));
    Checks::none().with(checker).verify(&world).err().map(|violation| violation.what)
}

#[test]
fn an_answer_that_no_player_understands_is_found() {
    assert_eq!(says(AnswersMakeSense, Faults::default()), None);
    let refused = Faults { missing: Some((30, 400)), ..Faults::default() };
    assert_eq!(says(AnswersMakeSense, refused).unwrap(), "it was answered with status 400");
    let renamed = Faults { renamed_from: Some(30), ..Faults::default() };
    assert!(says(AnswersMakeSense, renamed).is_some());
    let missing = Faults { missing: Some((30, 404)), ..Faults::default() };
    assert_eq!(says(AnswersMakeSense, missing), None, "what is gone may be gone");
}

#[test]
fn parts_that_are_not_as_told_are_found() {
    assert_eq!(says(PartsAreAsTold::default(), Faults::default()), None);
    let wrong = Faults { wrong: Some((30, Wrong::Keys)), ..Faults::default() };
    assert!(says(PartsAreAsTold::default(), wrong).unwrap().contains("is called independent"));
}

#[test]
fn a_reload_without_what_it_waited_for_is_found() {
    assert_eq!(says(ReloadsBringWhatWasAskedFor::default(), Faults::default()), None);
    let back = Faults { back: Some((40, 2)), ..Faults::default() };
    assert!(says(ReloadsBringWhatWasAskedFor::default(), back).unwrap().contains("was asked for"));
}

/// Says of itself that a part is there, opens connections, and says that it holds more than it should.
struct Boaster {
    next: Time,
    ticks: u64,
    opens: bool,
    /// The first tick at which it does not say any more that parts come.
    silent_from: u64,
    census: Census,
    /// Whether answers wait for half a second.
    holds: bool,
    held: VecDeque<Output>,
    out: VecDeque<Output>,
}

fn boaster(opens: bool, silent_from: u64, census: Census) -> Boot {
    Boot::new(move |_, now: Now| {
        let next = now.mono + ms(100);
        let (held, out) = (VecDeque::new(), VecDeque::new());
        Box::new(Boaster {
            next,
            ticks: 0,
            opens,
            silent_from,
            census,
            holds: silent_from == LATE,
            held,
            out,
        })
    })
    .listen(9000, Service::Ovt)
}

/// Never silent, and late with every answer.
const LATE: u64 = 2_000;

impl Machine for Boaster {
    fn handle(&mut self, _now: Now, input: Input) {
        if let Input::Request { id, request, .. } = input {
            let text = match request.uri().path().ends_with("llhls.m3u8") {
                true => "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1\"\nvideo.m3u8\n".to_owned(),
                // Players that ask for a part get it ten ticks after the server has said that it is there.
                false => playlist(self.ticks / 10),
            };
            let response = http::Response::new(Bytes::from(text).into());
            self.held.push_back(Output::Respond { id, response });
            if !self.holds {
                self.out.append(&mut self.held);
            }
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.next = now.mono + ms(100);
        self.ticks += 1;
        if self.ticks.is_multiple_of(5) {
            self.out.append(&mut self.held);
        }
        if self.ticks < self.silent_from {
            let name = |text: &str| text.to_owned();
            let key = StreamKey { vhost: name("v"), app: name("live"), stream: name("s") };
            self.out.push_back(Output::Event(Event::PartReady {
                key,
                track: 0,
                msn: 9 + self.ticks,
                part: 0,
            }));
        }
        if self.opens {
            let to = Endpoint { host: "edge".to_owned(), port: 9000 };
            self.out.push_back(Output::Open { conn: ConnId(2 * self.ticks), to });
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline { at: self.next, why: "the next boast" })
    }

    fn census(&self) -> Census {
        self.census
    }
}

/// A playlist of three whole segments.
fn playlist(first: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n\
         #EXT-X-PART-INF:PART-TARGET=1.0\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
    );
    for msn in first..first + 3 {
        text +=
            &format!("#EXT-X-PART:DURATION=1.0,URI=\"p{msn}\",GAP=YES\n#EXT-X-GAP\n#EXTINF:1.0,\ns{msn}\n");
    }
    text
}

fn boasts(checker: impl Checker + 'static, boaster: Boot) -> Option<String> {
    let mut world = World::new(1);
    world.keep_parts();
    world.host("edge", boaster.listen(3333, Service::Http));
    world.viewer("viewer", Viewer::new("http://edge:3333/live/s/llhls.m3u8"));
    let mut checks = Checks::none().with(checker);
    for _ in 0..120 {
        world.run_for(ms(250));
        if let Err(violation) = checks.verify(&world) {
            return Some(violation.what);
        }
    }
    None
}

#[test]
fn an_answer_that_comes_long_after_its_part_is_found() {
    let late = boasts(ReloadsAreAnsweredAtOnce::within(ms(300)), boaster(false, LATE, Census::default()));
    assert!(late.unwrap().contains("after it was there"));
    let patient = boasts(ReloadsAreAnsweredAtOnce::within(secs(60)), boaster(false, LATE, Census::default()));
    assert_eq!(patient, None);
}

#[test]
fn a_playlist_of_a_stream_that_stands_still_is_found() {
    let moving = boasts(FrozenStreamsAreNotServed::default(), boaster(false, 1_000, Census::default()));
    assert_eq!(moving, None);
    let frozen = boasts(FrozenStreamsAreNotServed::default(), boaster(false, 20, Census::default()));
    assert!(frozen.unwrap().contains("without a part for"));
}

#[test]
fn who_dials_on_and_on_is_found() {
    let most = |most| NobodyIsPestered::new(BTreeMap::from([("edge".to_owned(), most)]));
    assert_eq!(boasts(most(101), boaster(true, 0, Census::default())), None);
    let pestered = boasts(most(99), boaster(true, 0, Census::default()));
    assert_eq!(pestered.unwrap(), "it has opened 100 connections in 10s");
}

#[test]
fn a_stream_that_is_pulled_more_than_twice_is_found() {
    let census = |pulls, streams| Census { pulls, streams, ..Census::default() };
    let once = OnePullPerStream::default();
    assert_eq!(boasts(once, boaster(false, 0, census(2, 1))), None);
    let found = boasts(once, boaster(false, 0, census(3, 1)));
    assert_eq!(found.unwrap(), "3 connections pull 1 streams");
    let with_standby = OnePullPerStream { standbys: 1 };
    assert_eq!(boasts(with_standby, boaster(false, 0, census(3, 1))), None);
    let found = boasts(with_standby, boaster(false, 0, census(4, 1)));
    assert_eq!(found.unwrap(), "4 connections pull 1 streams");
    let forgotten = boasts(once, boaster(true, 0, census(1, 1)));
    assert!(forgotten.unwrap().contains("knows of 1"));
}

#[test]
fn what_a_machine_holds_beyond_its_children_is_found() {
    let found = |census| boasts(QueuesBounded::default(), boaster(false, 0, census));
    assert_eq!(found(Census::default()), None);
    assert!(found(Census { deadlines: 4, streams: 2, ..Census::default() }).unwrap().contains("deadlines"));
    assert!(found(Census { marks: 9_000, streams: 1, ..Census::default() }).unwrap().contains("marks"));
    assert!(found(Census { waiting_requests: 2, streams: 1, ..Census::default() }).is_some());
}
