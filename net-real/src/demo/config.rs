//! What the three nodes of the demo are told to be.
//!
//! `origin.xml` and `edge.xml`, beside this file, say the same in the words of `Server.xml`.

use std::time::Duration;

use headwater_core::config::{
    Application, Config, CrossDomains, HostPattern, Listeners, LlHls, OvtProvider, Providers, Publishers,
    RtmpProvider, TimestampMode, VirtualHost,
};
use headwater_core::origin_map::{OriginRule, PullProperties};

/// The application of the demo's stream.
pub(super) const APP: &str = "live";

/// The demo's stream.
pub(super) const STREAM: &str = "clip";

/// The configuration of an origin that is published to at `rtmp` and pulled from at `ovt`.
pub(super) fn origin(name: &str, rtmp: u16, ovt: u16) -> Config {
    let provider =
        RtmpProvider { timestamps: TimestampMode::Original, block_duplicate: true, silence: None };
    let application = application(
        Providers { rtmp: Some(provider), ovt: None },
        Publishers { ovt: true, llhls: None },
    );
    Config {
        name: name.to_owned(),
        listeners: Listeners { rtmp: Some(rtmp), ovt: Some(ovt), ..localhost() },
        vhosts: vec![vhost(application, Vec::new())],
    }
}

/// The configuration of an edge that serves players at `llhls` and pulls from the origins at the ports `ovt`, the
/// first of them preferred.
pub(super) fn edge(llhls: u16, ovt: [u16; 2]) -> Config {
    let publisher = LlHls {
        chunk: Duration::from_millis(500),
        segment: Duration::from_secs(4),
        cross_domains: CrossDomains { urls: vec!["*".to_owned()], headers: Vec::new() },
        ..LlHls::default()
    };
    let application = application(
        Providers { ovt: Some(OvtProvider { timestamps: TimestampMode::Original }), rtmp: None },
        Publishers { ovt: false, llhls: Some(publisher) },
    );
    let rule = OriginRule {
        location: format!("/{APP}/"),
        strict: false,
        scheme: "ovt".to_owned(),
        urls: ovt.map(|port| format!("127.0.0.1:{port}/{APP}/")).to_vec(),
        forward_query: true,
        persistent: false,
        failback: false,
        relay: true,
    };
    Config {
        name: "edge".to_owned(),
        listeners: Listeners { llhls: Some(llhls), ..localhost() },
        vhosts: vec![vhost(application, vec![rule])],
    }
}

fn localhost() -> Listeners {
    Listeners { addresses: vec!["127.0.0.1".to_owned()], ..Listeners::default() }
}

fn application(providers: Providers, publishers: Publishers) -> Application {
    Application {
        name: APP.to_owned(),
        providers,
        publishers,
        track_names: (None, None),
        playlists: Vec::new(),
    }
}

fn vhost(application: Application, origins: Vec<OriginRule>) -> VirtualHost {
    VirtualHost {
        name: "default".to_owned(),
        hosts: vec![HostPattern("*".to_owned())],
        pull: PullProperties { no_input_timeout: Duration::from_secs(1), ..PullProperties::default() },
        origins,
        applications: vec![application],
        template: None,
    }
}
