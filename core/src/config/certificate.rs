//! Certificates: which files hold them, whose they are, and which ports need them.
//!
//! Files are only named here. Whoever opens them can say where in the configuration that was.

use super::check::Node;
use super::diagnostic::{Kind, Report};
use super::model::{NamedFile, Tls};

/// `TLS` of a `Host`.
pub(super) fn tls(host: Option<&Node>) -> Option<Tls> {
    let tls = host?.find("TLS")?;
    let file = |name| tls.find(name).and_then(named_file);
    Some(Tls { certificate: file("CertPath")?, key: file("KeyPath")?, chain: file("ChainCertPath") })
}

/// A port for TLS, if there is a certificate to show there. OvenMediaEngine's own example has the port and no
/// certificate, so that is no error.
pub(super) fn tls_port<'n>(
    port: Option<&'n Node>,
    has_certificate: bool,
    where_to_add: &str,
    report: &mut Report,
) -> Option<&'n Node> {
    let port = port?;
    if has_certificate {
        return Some(port);
    }
    let remedy = format!("Add {where_to_add}, or remove the port.");
    let reason = "The port is for TLS and there is no certificate, so nothing listens here.";
    report.warn(&port.at, Kind::Missing, reason, remedy);
    None
}

/// Certificates that nobody will see.
pub(super) fn unused(hosts: &[&Node], has_port: bool, port: &str, report: &mut Report) {
    for tls in hosts.iter().filter_map(|host| host.find("TLS")).filter(|_| !has_port) {
        let reason = "There is a certificate and no port for TLS.";
        let remedy = format!("Nobody is shown it; add Server/{port}, or remove the element.");
        report.warn(&tls.at, Kind::Contradiction, reason, remedy);
    }
}

/// What is not absolute is beside the file in which it is written, as in OvenMediaEngine.
fn named_file(node: &Node) -> Option<NamedFile> {
    let written = node.own_text()?;
    let directory = node.at.file.rsplit_once('/').map(|(directory, _)| directory);
    let path = match directory {
        Some(directory) if !written.starts_with('/') => format!("{directory}/{written}"),
        _ => written.to_owned(),
    };
    Some(NamedFile { path, at: node.at.to_place() })
}
