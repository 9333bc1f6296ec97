//! What the three nodes of the demo are told to be: `origin.xml` and `edge.xml`, beside this file.
//!
//! They are ordinary configurations. The ports, which are only known when the demo runs, reach them as `${env:...}`
//! macros do everywhere, but from here instead of from the environment of the process.

use headwater_core::config::{self, Config, Diagnostics, Environment};

/// The application of the demo's stream, as the configurations name it.
pub(super) const APP: &str = "live";

/// The demo's stream.
pub(super) const STREAM: &str = "clip";

/// The configuration of an origin that is published to at `rtmp` and pulled from at `ovt`.
pub(super) fn origin(name: &str, rtmp: u16, ovt: u16) -> Result<Config, Diagnostics> {
    let variables = [
        ("DEMO_NAME", name.to_owned()),
        ("DEMO_RTMP_PORT", rtmp.to_string()),
        ("DEMO_OVT_PORT", ovt.to_string()),
    ];
    load("origin.xml", &variables)
}

/// The configuration of an edge that serves players at `llhls` and pulls from the origins at the ports `ovt`, the
/// first of them preferred.
pub(super) fn edge(llhls: u16, ovt: [u16; 2]) -> Result<Config, Diagnostics> {
    let variables = [
        ("DEMO_LLHLS_PORT", llhls.to_string()),
        ("DEMO_ORIGIN_A_PORT", ovt[0].to_string()),
        ("DEMO_ORIGIN_B_PORT", ovt[1].to_string()),
    ];
    load("edge.xml", &variables)
}

const FILES: [(&str, &str); 2] =
    [("edge.xml", include_str!("edge.xml")), ("origin.xml", include_str!("origin.xml"))];

fn load(file: &str, variables: &[(&str, String)]) -> Result<Config, Diagnostics> {
    config::load(file, &Embedded { variables }).map(|loaded| loaded.config)
}

/// An environment that has the demo's files and nothing else.
struct Embedded<'a> {
    variables: &'a [(&'a str, String)],
}

impl Environment for Embedded<'_> {
    fn var(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn hostname(&self) -> Option<String> {
        None
    }

    fn home(&self) -> String {
        String::new()
    }

    fn current_path(&self) -> String {
        String::new()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let file = FILES.into_iter().find(|(name, _)| *name == path);
        file.map(|(_, text)| text.to_owned()).ok_or_else(|| "it is not part of the demo".to_owned())
    }

    fn list(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headwater_core::config::TimestampMode;

    use super::*;

    #[test]
    fn the_configurations_say_what_the_demo_needs() {
        let origin = origin("origin-A", 1, 2).unwrap();
        assert_eq!((origin.listeners.rtmp, origin.listeners.ovt), (Some(1), Some(2)));
        let app = origin.vhosts[0].application(APP).unwrap();
        assert!(app.publishers.ovt);
        assert_eq!(app.providers.rtmp.unwrap().timestamps, TimestampMode::Original);

        let edge = edge(3, [4, 5]).unwrap();
        assert_eq!((edge.listeners.llhls, edge.listeners.ovt), (Some(3), None));
        let vhost = &edge.vhosts[0];
        assert_eq!(vhost.pull.no_input_timeout, Duration::from_secs(1));
        assert_eq!(vhost.origins[0].urls, ["127.0.0.1:4/live/", "127.0.0.1:5/live/"]);
        let app = vhost.application(APP).unwrap();
        assert_eq!(app.providers.ovt.unwrap().timestamps, TimestampMode::Original);
        let llhls = app.publishers.llhls.unwrap();
        assert_eq!((llhls.chunk, llhls.segment), (Duration::from_millis(500), Duration::from_secs(4)));
        assert_eq!(llhls.cross_domains.urls, ["*"]);
    }

    #[test]
    fn the_configurations_can_be_used_as_they_stand() {
        for (file, _) in FILES {
            let loaded = config::load(file, &Embedded { variables: &[] }).unwrap();
            assert_eq!(loaded.warnings, []);
        }
    }
}
