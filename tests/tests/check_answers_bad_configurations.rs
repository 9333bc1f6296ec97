//! `headwater check`: a configuration that cannot run is refused, with the name of what is wrong in it.

use std::fs;
use std::process::{Command, Output};

use headwater_tests::binary::headwater;
use headwater_tests::config::{EdgePlan, OriginPorts, edge_xml, origin_xml};

fn origin() -> String {
    origin_xml(OriginPorts { rtmp: 1935, ovt: 9000 }, None)
}

fn edge() -> String {
    edge_xml(&EdgePlan::new(3333, &[9000, 9001]))
}

fn run(task: &str, xml: &str) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("Server.xml");
    fs::write(&path, xml).expect("a file");
    Command::new(headwater()).arg(task).arg("--config").arg(&path).output().expect("headwater starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Takes `old` out of a good configuration and puts `new` there.
fn with(xml: &str, old: &str, new: &str) -> String {
    assert!(xml.contains(old), "{old} is not in the configuration");
    xml.replacen(old, new, 1)
}

#[test]
fn good_configurations_are_accepted() {
    let macros = with(&origin(), "<Port>1935</Port>", "<Port>${env:HEADWATER_TEST_ABSENT:1935}</Port>");
    let ignored = with(&origin(), "<Bind>", "<Colour ignore=\"true\">green</Colour><!-- a comment --><Bind>");
    for xml in [origin(), edge(), macros, ignored] {
        let output = run("check", &xml);
        assert!(output.status.success(), "{}\n{xml}", said(&output));
    }
}

#[test]
fn what_runs_but_is_not_meant_so_is_said() {
    let cases = [
        (with(&origin(), "version=\"10\"", "version=\"5\""), "version"),
        (with(&origin(), "<Type>origin</Type>", ""), "Type"),
    ];
    for (xml, name) in cases {
        let output = run("check", &xml);
        assert!(output.status.success() && said(&output).contains(name), "{name}: {}", said(&output));
    }
}

#[test]
fn every_bad_configuration_is_refused_with_the_name_of_what_is_wrong() {
    let (origin, edge) = (origin(), edge());
    let cases = [
        ("an empty file", String::new(), ""),
        ("no XML at all", "Server: 10".to_owned(), ""),
        ("XML that breaks off", origin[..origin.len() / 2].to_owned(), ""),
        ("another root", origin.replace("Server", "Service"), "Service"),
        ("a version that does not exist yet", with(&origin, "version=\"10\"", "version=\"99\""), "99"),
        ("no version", with(&origin, " version=\"10\"", ""), "version"),
        ("an unknown element", with(&origin, "<Bind>", "<Colour>green</Colour><Bind>"), "Colour"),
        ("a misspelt element", with(&origin, "<OVT><Port>", "<OVTT></OVTT><OVT><Port>"), "OVTT"),
        ("text between elements", with(&origin, "<Bind>", "wandering<Bind>"), "wandering"),
        ("no Bind", edge[..edge.find("<Bind>").expect("Bind")].to_owned() + after(&edge, "</Bind>"), "Bind"),
        ("an unknown kind of application", with(&origin, "<Type>live</Type>", "<Type>tape</Type>"), "tape"),
        ("a virtual host without a name", with(&origin, "<Name>default</Name>", ""), "Name"),
        ("an origin without a location", with(&edge, "<Location>/app/</Location>", ""), "Location"),
        ("an origin without a scheme", with(&edge, "<Scheme>ovt</Scheme>", ""), "Scheme"),
        ("an origin without URLs", without_urls(&edge), "Url"),
        ("a timestamp mode that is not offered", with(&edge, "Original", "Sundial"), "Sundial"),
        (
            "a setting in the wrong place",
            with(
                &edge,
                "<TimestampMode>",
                "<PacketSilenceTimeoutMs>1</PacketSilenceTimeoutMs><TimestampMode>",
            ),
            "PacketSilenceTimeoutMs",
        ),
        ("a port that does not exist", with(&origin, "<Port>1935</Port>", "<Port>99999</Port>"), "99999"),
        ("a port that is no number", with(&origin, "<Port>1935</Port>", "<Port>rtmp</Port>"), "rtmp"),
    ];
    let mut wrong = Vec::new();
    for (what, xml, name) in cases {
        let output = run("check", &xml);
        let said = said(&output);
        let refused = output.status.code().is_some_and(|code| code != 0);
        if !refused || said.trim().is_empty() || !said.contains(name) || said.contains("panicked") {
            wrong.push(format!("{what} ({name:?}): {}: {said}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let path = "/nonexistent/Server.xml";
    let output =
        Command::new(headwater()).args(["check", "--config", path]).output().expect("headwater starts");
    assert!(!output.status.success());
    assert!(said(&output).contains(path), "{}", said(&output));
}

#[test]
fn serve_refuses_what_check_refuses() {
    let output = run("serve", &with(&origin(), "<Bind>", "<Colour>green</Colour><Bind>"));
    assert!(!output.status.success());
    assert!(said(&output).contains("Colour"), "{}", said(&output));
}

fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).expect("the mark is there").1
}

fn without_urls(edge: &str) -> String {
    let (before, rest) = edge.split_once("<Urls>").expect("Urls");
    format!("{before}{}", after(rest, "</Urls>"))
}
