//! A configuration that takes the place of another while the server runs.
//!
//! Whatever is asked when something begins (a stream, a request, a drain) is as the new one says. What was opened at the start
//! stays: ports, certificates, directories. What runs in a virtual host that is gone runs on, and nothing begins there.

use super::model::{Config, Tls, VirtualHost};

impl Config {
    /// What a running server makes of `new`, and in words what of it wants a restart. `in_use` says of the name of a virtual
    /// host whether any stream runs in it.
    pub fn adopt(&self, mut new: Config, in_use: impl Fn(&str) -> bool) -> (Config, Vec<String>) {
        let mut stays = Vec::new();
        let mut fixed = |what: &str, changed: bool| {
            if changed {
                stays.push(format!("{what} stays as it was at the start: restart the server to change it"));
            }
        };
        fixed("Server/Name", self.name != new.name);
        let (old, asked) = (&self.listeners, &new.listeners);
        fixed("Server/IP", old.addresses != asked.addresses);
        fixed("Bind/Managers/API/Port", old.api != asked.api);
        fixed("Bind/Managers/API/TLSPort", old.api_tls != asked.api_tls);
        fixed("Bind/Providers/RTMP/Port", old.rtmp != asked.rtmp);
        fixed("Bind/Publishers/OVT/Port", old.ovt != asked.ovt);
        fixed("Bind/Publishers/LLHLS/Port", old.llhls != asked.llhls);
        fixed("Bind/Publishers/LLHLS/TLSPort", old.llhls_tls != asked.llhls_tls);
        fixed("Bind/Publishers/HLS/Port", old.hls != asked.hls);
        fixed("Bind/Publishers/HLS/TLSPort", old.hls_tls != asked.hls_tls);
        fixed("Modules/HTTP2/Enable", old.http2 != asked.http2);
        let managers = [self, &new].map(|config| config.api.as_ref().and_then(|api| files(api.tls.as_ref())));
        fixed("Managers/Host/TLS", managers[0] != managers[1]);
        for vhost in &mut new.vhosts {
            let old = self.vhosts.iter().find(|old| old.name == vhost.name);
            let (tls, store) = old.map(|old| (old.tls.clone(), old.store.clone())).unwrap_or_default();
            fixed(
                &format!("Host/TLS of virtual host {}", vhost.name),
                files(tls.as_ref()) != files(vhost.tls.as_ref()),
            );
            fixed(&format!("OriginMapStore of virtual host {}", vhost.name), store != vhost.store);
            (vhost.tls, vhost.store) = (tls, store);
        }
        let is_gone = |old: &&VirtualHost| !new.vhosts.iter().any(|vhost| vhost.name == old.name);
        let left: Vec<VirtualHost> =
            self.vhosts.iter().filter(is_gone).filter(|old| in_use(&old.name)).map(emptied).collect();
        new.vhosts.extend(left);
        new.name.clone_from(&self.name);
        new.listeners.clone_from(&self.listeners);
        (new, stays)
    }
}

/// The virtual host with nothing in it that could begin. It is still known by its names, after all others.
fn emptied(vhost: &VirtualHost) -> VirtualHost {
    VirtualHost { origins: Vec::new(), applications: Vec::new(), template: None, ..vhost.clone() }
}

/// Which files are named, and not on which line.
fn files(tls: Option<&Tls>) -> Option<[Option<&str>; 3]> {
    let tls = tls?;
    let chain = tls.chain.as_ref().map(|chain| chain.path.as_str());
    Some([Some(tls.certificate.path.as_str()), Some(tls.key.path.as_str()), chain])
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::{Application, HostPattern, Listeners, Providers, Publishers};
    use super::*;
    use crate::origin_map::PullProperties;

    fn vhost(name: &str) -> VirtualHost {
        let application = Application {
            name: "app".to_owned(),
            providers: Providers::default(),
            publishers: Publishers::default(),
            track_names: (None, None),
            playlists: Vec::new(),
        };
        VirtualHost {
            name: name.to_owned(),
            hosts: vec![HostPattern(format!("{name}.example.com"))],
            tls: None,
            pull: PullProperties::default(),
            origins: Vec::new(),
            store: None,
            applications: vec![application.clone()],
            template: Some(application),
        }
    }

    fn config(vhosts: &[&str]) -> Config {
        Config { vhosts: vhosts.iter().map(|name| vhost(name)).collect(), ..Config::default() }
    }

    #[test]
    fn what_was_opened_at_the_start_stays_and_is_named() {
        let running = config(&["a"]);
        let mut new = config(&["a"]);
        new.listeners =
            Listeners { ovt: Some(9_001), addresses: vec!["::".to_owned()], ..Listeners::default() };
        (new.name, new.drain) = ("other".to_owned(), Duration::from_secs(1));
        let (adopted, stays) = running.adopt(new, |_| true);
        assert_eq!((adopted.listeners, adopted.name), (running.listeners, running.name));
        assert_eq!(adopted.drain, Duration::from_secs(1));
        let named: Vec<&str> = stays.iter().filter_map(|text| text.split(' ').next()).collect();
        assert_eq!(named, ["Server/Name", "Server/IP", "Bind/Publishers/OVT/Port"]);
        assert!(stays.iter().all(|text| text.ends_with("restart the server to change it")));
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let running = config(&["a", "b"]);
        assert_eq!(running.adopt(running.clone(), |_| true), (running.clone(), Vec::new()));
    }

    #[test]
    fn a_virtual_host_that_is_gone_is_kept_empty_while_streams_run_in_it() {
        let running = config(&["a", "b", "c"]);
        let (adopted, stays) = running.adopt(config(&["new", "a"]), |name| name == "b");
        let names: Vec<&str> = adopted.vhosts.iter().map(|vhost| vhost.name.as_str()).collect();
        assert_eq!((names, stays), (vec!["new", "a", "b"], Vec::new()));
        assert_eq!(adopted.vhosts[2].application("app"), None);
        assert!(adopted.vhost_for("b.example.com").is_some() && adopted.vhost_for("c.example.com").is_none());
        assert_eq!(
            adopted.adopt(config(&["a"]), |_| false).0.vhosts.len(),
            1,
            "when it is empty it is forgotten"
        );
    }
}
