//! `headwater routes`: what is in the directory, for people and for programs, and what is said when there is none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::Result;
use headwater_core::registry::{Claim, Command as Ask, LeaseId};
use headwater_tests::binary::headwater;
use headwater_tests::machine::{free_port, shared};
use headwater_tests::stores::Store;
use headwater_tests::stores::real::Real;
use headwater_tests::stores::servers::Server;
use serde_json::Value;

#[test]
fn streams_owners_and_who_waits() -> Result<()> {
    let _machine = shared();
    let server = Server::start(&[])?;
    let mut store = Real::new(&server.redis())?;
    let dir = tempfile::tempdir()?;
    let file = configuration(dir.path(), server.at.port)?;
    let nothing = routes(&file, &[])?;
    assert!(text(&nothing.stdout).contains(": 0 streams") && nothing.status.success(), "{nothing:?}");

    let claim = |name: &str, host: &str| Claim {
        name: name.to_owned(),
        url: format!("ovt://me:s3cret@{host}:9000/{name}"),
        floor: 0,
        dead: None,
    };
    let (a, b) = (LeaseId(0xa), LeaseId(0xb));
    store.execute(Ask::Open { by: a });
    store.execute(Ask::Claim {
        by: a,
        streams: vec![claim("live/match", "origin-a"), claim("live/news", "origin-a")],
    });
    store.execute(Ask::Claim {
        by: b,
        streams: vec![claim("live/match", "origin-b"), claim("live/old", "origin-b")],
    });
    let table = routes(&file, &[])?;
    let (table, lines) = (text(&table.stdout), text(&table.stdout).lines().count());
    assert_eq!(lines, 5, "{table}");
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("live/match").contains("@origin-a:9000/live/match  alive"), "{table}");
    assert!(line("live/match").ends_with("ovt://me:***@origin-b:9000/live/match"), "{table}");
    assert!(line("live/old").contains("  dead  "), "{table}");
    assert!(!table.contains("s3cret"), "{table}");

    let json = routes(&file, &["--json"])?;
    let json: Value = serde_json::from_slice(&json.stdout)?;
    let routes = &json["directories"][0]["routes"];
    assert_eq!(routes.as_array().map(Vec::len), Some(3), "{json}");
    assert_eq!(routes[0]["stream"], "live/match");
    assert_eq!(routes[0]["epoch"]["owner"], "000000000000000a");
    assert_eq!((&routes[0]["alive"], &routes[2]["alive"]), (&Value::Bool(true), &Value::Bool(false)));
    assert!(routes[0]["age_ms"].as_u64().is_some_and(|age| age < 60_000), "{json}");
    assert!(!json.to_string().contains("s3cret"), "{json}");
    Ok(())
}

#[test]
fn a_store_that_is_away_and_none_at_all() -> Result<()> {
    let _machine = shared();
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let away = routes(&configuration(dir.path(), port)?, &[])?;
    assert_eq!(away.status.code(), Some(1));
    assert!(
        text(&away.stderr)
            .contains(&format!("the directory at 127.0.0.1:{port} cannot be read: the store is away"))
    );
    let file = dir.path().join("Server.xml");
    let with = fs::read_to_string(&file)?;
    for (place, told) in [("<Embedded/>", "it is in the server's process"), ("", "has an <OriginMapStore>")] {
        let (begin, end) = with.split_once("<OriginMapStore>").expect("there is one");
        let (_, end) = end.split_once("</OriginMapStore>").expect("it ends");
        let store = if place.is_empty() {
            String::new()
        } else {
            format!("<OriginMapStore>{place}</OriginMapStore>")
        };
        fs::write(&file, format!("{begin}{store}{end}"))?;
        let none = routes(&file, &[])?;
        assert_eq!(none.status.code(), Some(2), "{none:?}");
        assert!(text(&none.stderr).contains(told), "{none:?}");
    }
    Ok(())
}

fn routes(file: &Path, more: &[&str]) -> Result<Output> {
    Ok(Command::new(headwater()).args(["routes", "--config"]).arg(file).args(more).output()?)
}

fn configuration(dir: &Path, port: u16) -> Result<std::path::PathBuf> {
    let file = dir.join("Server.xml");
    fs::write(
        &file,
        format!(
            "<Server version=\"10\"><Type>edge</Type><IP>*</IP><Bind><Publishers><LLHLS><Port>3333</Port></LLHLS></Publishers>\
             </Bind><VirtualHosts><VirtualHost><Name>v</Name><Host><Names><Name>*</Name></Names></Host><OriginMapStore>\
             <RedisServer><Host>127.0.0.1:{port}</Host></RedisServer></OriginMapStore><Applications><Application><Name>*</Name>\
             <Type>live</Type><Providers><OVT/></Providers><Publishers><LLHLS/></Publishers></Application></Applications>\
             </VirtualHost></VirtualHosts></Server>"
        ),
    )?;
    Ok(file)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
