//! A server that is given another configuration while it runs.

use http::Method;

use super::*;

fn configure(bench: &mut Bench, config: Config) {
    bench.tell(Input::Command(Command::Configure(Box::new(config))));
}

#[test]
fn what_runs_is_not_touched_and_what_begins_is_as_configured() {
    let mut bench = Bench::new(edge());
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 3_000, 0);
    let playing = Edge::new(&mut bench, URL);
    // Nothing is left of the application, nor of its virtual host.
    let mut new = config(vec![application("other", true)], vec![rule("/other/", &["c:9000/other/"])]);
    (new.vhosts[0].name, new.vhosts[0].hosts) = ("new".to_owned(), vec![HostPattern("new".to_owned())]);
    configure(&mut bench, new);
    encoder.publish(&mut bench, 1_000, 3_000);
    let master = bench.get("/app/stream/llhls.m3u8");
    assert_eq!((bench.status(master), bench.is_closed(playing.conn)), (Some(200), false));
    let mut another = Edge::new(&mut bench, URL);
    encoder.publish(&mut bench, 1_000, 4_000);
    another.talk(&mut bench);
    assert!(another.media() > 20, "also for edges that come now");

    let absent = bench.get("/app/another/llhls.m3u8");
    assert_eq!((bench.status(absent), bench.opened.len()), (Some(404), 0));
    let late = Encoder::new(&mut bench, "late");
    assert!(late.refusal().is_some_and(|why| why.contains("no application 'app'")), "{:?}", late.refusal());
    bench.get_with("/other/stream/llhls.m3u8", &[("host", "new")]);
}

#[test]
fn what_was_absent_a_moment_ago_is_looked_for_by_the_new_rules() {
    let mut bench = Bench::new(config(vec![application("app", true)], Vec::new()));
    let absent = bench.get("/app/s/llhls.m3u8");
    assert_eq!(bench.status(absent), Some(404));
    configure(&mut bench, edge());
    bench.get("/app/s/llhls.m3u8");
    assert_eq!(bench.opened.iter().map(|(_, to)| to.host.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_new_token_counts_at_once_and_a_reload_is_asked_for_with_it() {
    let mut bench = Bench::new(with_api(edge()));
    configure(&mut bench, Config { api: Some(Api { token: Secret::new("new"), tls: None }), ..edge() });
    let path = "/api/v1/reload";
    for (method, token, status) in [
        (Method::POST, None, 401),
        (Method::POST, Some("secret"), 401),
        (Method::GET, Some("new"), 405),
        (Method::POST, Some("new"), 202),
    ] {
        assert_eq!(bench.manage_by(method, path, token).0, status);
    }
    let asked = bench.events.iter().filter(|event| matches!(event, Event::ConfigurationAsked));
    assert_eq!(asked.count(), 1);
}

#[test]
fn what_wants_a_restart_is_told() {
    let mut bench = Bench::new(edge());
    let listeners = crate::config::Listeners { rtmp: Some(1_936), ..Default::default() };
    configure(&mut bench, Config { listeners, ..edge() });
    let told = bench.events.iter().find_map(|event| match event {
        Event::Configured { stays } => Some(stays.concat()),
        _ => None,
    });
    assert_eq!(
        told.as_deref(),
        Some("Bind/Providers/RTMP/Port stays as it was at the start: restart the server to change it")
    );
}
