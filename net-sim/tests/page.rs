//! The page of a run: that it needs nothing but itself, that no text can break out of it, that it tells what happened,
//! and that recording changes nothing.
#![allow(clippy::unwrap_used)]

mod common;

use common::ll_hls::{Faults, live};
use headwater_core::time::Time;
use headwater_net_sim::page::{Note, page};
use headwater_net_sim::{Crash, HostId, Latency, Viewer, Violation, World, ms, secs};
use serde_json::Value;

const URL: &str = "http://edge:8080/live.m3u8";

/// A viewer whose server is cut off for three seconds, stopped for one, and killed.
fn told(world: &mut World) -> (HostId, HostId) {
    world.link_default(Latency::ms(5).jitter_ms(5));
    let edge = world.host("edge", live(Faults::default()));
    let viewer = world.viewer("viewer", Viewer::new(URL));
    world.run_for(secs(5));
    world.partition(edge, viewer);
    world.run_for(secs(3));
    world.heal(edge, viewer);
    world.run_for(secs(4));
    world.pause(edge);
    world.run_for(secs(1));
    world.resume(edge);
    world.hold(edge, viewer);
    world.run_for(secs(1));
    world.heal(edge, viewer);
    world.run_for(secs(3));
    world.crash(edge, Crash::Silent);
    world.run_for(secs(3));
    (edge, viewer)
}

fn recorded(seed: u64) -> World {
    let mut world = World::new(seed);
    world.record();
    told(&mut world);
    world
}

/// What the script of `page` is given.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(data).unwrap()
}

fn host<'a>(data: &'a Value, name: &str) -> &'a Value {
    let hosts = data["hosts"].as_array().unwrap();
    hosts.iter().find(|host| host["name"] == name).unwrap()
}

#[test]
fn recording_changes_nothing_that_happens() {
    for seed in 0..5 {
        let mut plain = World::new(seed);
        told(&mut plain);
        let recorded = recorded(seed);
        assert_eq!(plain.trace_hash(), recorded.trace_hash());
        assert_eq!(plain.trace().count(), recorded.trace().count());
    }
}

#[test]
fn the_page_of_a_seed_is_always_the_same() {
    assert_eq!(page("run", &recorded(3), &[]), page("run", &recorded(3), &[]));
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = page("run", &World::new(1), &[]);
    for fetches in [
        "http://",
        "https://",
        "//cdn",
        " src=",
        "href=",
        "<link",
        "<img",
        "<iframe",
        "@import",
        "url(",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "sendBeacon",
        "import(",
        "import ",
        "innerHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!page.contains(fetches), "the page has {fetches:?}");
    }
    // Should a browser think otherwise, it is told not to.
    assert!(
        page.contains(
            "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\""
        )
    );
}

#[test]
fn no_text_breaks_out_of_the_page() {
    const HOSTILE: &str = "</script><script>alert(1)</script><!--<script>\"'\\ {data} {script} &lt; \u{2028}\u{0} Zürich 日本 🎥";
    let mut world = World::new(1);
    world.record();
    let viewer = world.viewer(HOSTILE, Viewer::new("http://nowhere/</script>'\""));
    world.dns(HOSTILE, None);
    world.run_for(secs(2));
    let violation = Violation {
        rule: "no rule",
        at: Time::from_micros(1_000_000),
        host: world.name(viewer).to_owned(),
        what: HOSTILE.to_owned(),
    };
    let notes = [
        Note::head(HOSTILE, HOSTILE),
        Note::mark(Time::from_micros(500_000), HOSTILE),
        Note::Violation(violation),
    ];
    let hostile = page(HOSTILE, &world, &notes);
    let tags = |page: &str, tag: &str| page.matches(tag).count();
    let plain = page("plain", &World::new(1), &[]);
    for tag in ["<script", "</script", "<!--", "</title", "alert(1)</script"] {
        assert_eq!(tags(&hostile, tag), tags(&plain, tag), "{tag}");
    }
    let data = data(&hostile);
    assert_eq!(data["title"], HOSTILE);
    assert_eq!(data["hosts"][0]["name"], HOSTILE);
    assert_eq!(data["violations"][0]["what"], HOSTILE);
    assert_eq!(data["marks"][0][1], HOSTILE);
    assert!(data["head"].as_array().unwrap().iter().any(|line| line[0] == HOSTILE && line[1] == HOSTILE));
    let texts = data["texts"].as_array().unwrap();
    assert!(texts.iter().any(|text| text.as_str().unwrap().contains("cannot be loaded")));
}

#[test]
fn the_page_tells_what_happened() {
    let world = recorded(3);
    let data = data(&page("run", &world, &[Note::head("commit", "abc")]));
    assert!(data["head"].as_array().unwrap().contains(&serde_json::json!(["commit", "abc"])));
    assert_eq!(data["missing"], serde_json::json!([]));

    let edge = host(&data, "edge");
    assert_eq!(
        (edge["role"].as_str(), host(&data, "viewer")["role"].as_str()),
        (Some("edge"), Some("viewer"))
    );
    let conditions = edge["conditions"].as_array().unwrap();
    let conditions: Vec<_> =
        conditions.iter().map(|c| (c[0].as_u64().unwrap() / 1_000_000, c[1].as_str().unwrap())).collect();
    let silent = [(17, "down"), (17, "dark")];
    assert_eq!(conditions[..3], [(0, "running"), (12, "paused"), (13, "running")]);
    assert_eq!(conditions[3..], silent);

    let wires: Vec<_> = data["wires"].as_array().unwrap().iter().collect();
    let seconds = |value: &Value| value.as_u64().unwrap() / 1_000_000;
    let wires: Vec<_> =
        wires.iter().map(|w| (seconds(&w["since"]), seconds(&w["until"]), w["held"] == true)).collect();
    assert_eq!(wires, [(5, 8, false), (5, 8, false), (13, 14, true), (13, 14, true)]);

    // What was recorded is the whole trace, and what a viewer suffers besides.
    let numbered = |host: &Value| {
        let numbers = host["events"]["number"].as_array().unwrap();
        numbers.iter().filter(|number| !number.is_null()).count() as u64
    };
    let all: u64 = data["hosts"].as_array().unwrap().iter().map(numbered).sum();
    assert_eq!(all, world.trace().count());

    let screen = &host(&data, "viewer")["viewer"];
    let record = world.viewers().next().unwrap().1.record();
    assert_eq!(screen["stalls"].as_array().unwrap().len(), record.stalls.len());
    assert!(!record.stalls.is_empty());
    assert!(
        screen["gaps"].as_array().unwrap().iter().any(|gap| seconds(&gap[0]) == 4 || seconds(&gap[0]) == 5)
    );
    let levels = screen["levels"].as_array().unwrap();
    assert!(levels.iter().any(|level| level[1].as_u64().unwrap() > 1_000_000));
    assert!(levels.iter().any(|level| level[1] == 0 && level[2] == 0));

    let flights: Vec<i64> =
        data["messages"]["flight"].as_array().unwrap().iter().map(|us| us.as_i64().unwrap()).collect();
    assert!(flights.iter().any(|us| (5_000..=10_000).contains(us)));
    assert!(flights.iter().any(|us| *us < 0), "nothing got stuck");
}

#[test]
fn what_was_not_recorded_is_not_passed_off_as_all() {
    let mut world = World::new(1);
    told(&mut world);
    let data = data(&page("run", &world, &[]));
    assert_eq!(data["missing"].as_array().unwrap().len(), 1);
    assert_eq!(data["messages"]["t"], serde_json::json!([]));
    assert!(!host(&data, "edge")["events"]["t"].as_array().unwrap().is_empty());
}

#[test]
fn a_recording_is_bounded_and_says_what_it_has_lost() {
    let mut world = World::new(1);
    world.record();
    let a = world.prober("a");
    let b = world.prober("b");
    for _ in 0..11_000 {
        world.partition(a, b);
        world.heal(a, b);
        world.run_for(ms(1));
    }
    let data = data(&page("run", &world, &[]));
    let events = |name| host(&data, name)["events"]["t"].as_array().unwrap().len();
    assert_eq!((events("a"), events("b")), (20_000, 11_000));
    let missing: Vec<_> = data["missing"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].starts_with("2000 events of a before 1."), "{missing:?}");
    assert!(missing[1].ends_with("not kept") && missing[1].contains("cuts and heals"), "{missing:?}");
}
