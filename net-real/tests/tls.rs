//! TLS in front of a machine, on real sockets: greetings, certificates by name, and how they are renewed.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::config::{self, Config, Severity};
use headwater_core::io::{Body, Input, Output, Service};
use headwater_net_real::clock::Clock;
use headwater_net_real::driver::{Control, Ended, Limits, Listening, Setup, run};
use headwater_net_real::environment::Process;
use headwater_net_real::net::Net;
use headwater_net_real::tls::{Certificates, Doors, LOOK_INTERVAL, inspect};
use headwater_net_real::tokio::TokioNet;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair, date_time_ymd, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use support::{Outbox, Running, scripted, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A directory of one test, with the certificates of `a.example` and `b.example`, and a configuration that names them.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Files {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{test}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let files = Files(dir);
        files.issue("a");
        files.issue("b");
        let host = |name: &str| {
            format!(
                "<VirtualHost><Name>{name}</Name><Host><Names><Name>{name}.example</Name></Names>\
                 <TLS><CertPath>{name}.crt</CertPath><KeyPath>{name}.key</KeyPath></TLS></Host>\
                 <Applications><Application><Name>app</Name><Type>live</Type>\
                 <Publishers><LLHLS/></Publishers></Application></Applications></VirtualHost>\n"
            )
        };
        let xml = format!(
            "<Server version=\"10\"><Type>edge</Type><IP>*</IP><Bind><Publishers><LLHLS><TLSPort>3334</TLSPort>\
             </LLHLS></Publishers></Bind><VirtualHosts>\n{}{}</VirtualHosts></Server>",
            host("a"),
            host("b")
        );
        fs::write(files.path("Server.xml"), xml).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Issues a certificate for `<name>.example`.
    fn issue(&self, name: &str) {
        let issued = generate_simple_self_signed(vec![format!("{name}.example")]).unwrap();
        fs::write(self.path(&format!("{name}.crt")), issued.cert.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), issued.signing_key.serialize_pem()).unwrap();
    }

    fn config(&self) -> Config {
        config::load(self.path("Server.xml").to_str().unwrap(), &Process).unwrap().config
    }

    fn open(&self) -> Certificates {
        Doors::open(&self.config()).unwrap().http.unwrap()
    }

    /// A client that trusts what is in these certificates now.
    fn client(&self, protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        for name in ["a", "b"] {
            let path = self.path(&format!("{name}.crt"));
            roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// A server that answers every request with host and path of it, but `/never`.
async fn serve(certificates: &Certificates, limits: Limits) -> Running {
    let machine = scripted(|_, input, out: &mut Outbox| {
        let Input::Request { id, request, .. } = input else { return };
        if request.uri().path() != "/never" {
            let host = request.uri().host().map(str::to_owned);
            let text = format!("{}{}", host.unwrap_or_default(), request.uri().path());
            out.push_back(Output::Respond { id, response: Response::new(Body::from(Bytes::from(text))) });
        }
    });
    let net = TokioNet::default();
    let listener = net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr().unwrap();
    let (control, orders) = mpsc::channel(4);
    let (sink, events) = mpsc::unbounded_channel();
    let tls = Some(certificates.acceptor().unwrap());
    let listeners = vec![Listening { service: Service::Http, listener, tls }];
    let setup = Setup { net, clock: Clock::system(), listeners, stores: Vec::new(), limits };
    let task = tokio::spawn(run(setup, machine, move |_, event| drop(sink.send(event)), orders));
    Running { at, control, events, task }
}

async fn greet(
    server: &Running,
    client: &TlsConnector,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.at).await?;
    within(client.connect(ServerName::try_from(name).unwrap(), stream)).await
}

fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

/// Who is shown to those that ask for `name`, whatever it is.
async fn shown(server: &Running, client: &TlsConnector, name: &'static str) -> Option<Vec<u8>> {
    let stream = greet(server, client, name).await.ok()?;
    stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec())
}

fn der(path: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(path).unwrap().to_vec()
}

#[tokio::test]
async fn http_2_is_taken_by_those_who_offer_it_and_http_1_by_the_others() {
    let files = Files::new("alpn");
    let server = serve(&files.open(), Limits::default()).await;
    for (offered, taken) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let stream = greet(&server, &files.client(offered), "a.example").await.unwrap();
        let chosen = stream.get_ref().1.alpn_protocol().map(|it| String::from_utf8(it.to_vec()).unwrap());
        assert_eq!(chosen.as_deref(), taken, "{offered:?}");
        let io = TokioIo::new(stream);
        let answer = if taken == Some("h2") {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            within(sender.send_request(get("https://a.example/x"))).await.unwrap()
        } else {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            within(sender.send_request(get("/x"))).await.unwrap()
        };
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"/x"), "{body:?}");
    }
    let stranger = greet(&server, &files.client(&["gopher"]), "a.example").await;
    assert!(stranger.is_err(), "nothing in common");
}

#[tokio::test]
async fn http_2_can_be_switched_off() {
    let files = Files::new("no-h2");
    let mut config = files.config();
    config.listeners.http2 = false;
    let server = serve(&Doors::open(&config).unwrap().http.unwrap(), Limits::default()).await;
    let stream = greet(&server, &files.client(&["h2", "http/1.1"]), "a.example").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn a_request_that_waits_holds_up_no_other_on_its_connection() {
    let files = Files::new("multiplex");
    let server = serve(&files.open(), Limits::default()).await;
    let stream = greet(&server, &files.client(&["h2"]), "a.example").await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut never = sender.clone();
    let mut waiting = tokio::spawn(async move { never.send_request(get("https://a.example/never")).await });
    for n in 0..50 {
        let mut sender = sender.clone();
        let answer = within(sender.send_request(get(&format!("https://b.example/{n}")))).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("b.example/{n}"));
    }
    assert!(timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "it still waits");
}

#[tokio::test]
async fn each_name_has_its_certificate_and_strangers_see_the_first() {
    let files = Files::new("sni");
    let server = serve(&files.open(), Limits::default()).await;
    let client = files.client(&["h2"]);
    for name in ["a.example", "b.example"] {
        let path = files.path(&format!("{}.crt", &name[..1]));
        assert_eq!(shown(&server, &client, name).await, Some(der(&path)), "{name}");
    }
    assert!(greet(&server, &client, "c.example").await.is_err(), "the client does not accept it");
    assert!(greet(&server, &client, "127.0.0.1").await.is_err(), "nor for an address");
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
    let files = Files::new("renewal");
    let certificates = files.open();
    let server = serve(&certificates, Limits::default()).await;
    let (now, asked) = mpsc::channel(1);
    let keeping = tokio::spawn(certificates.keep(asked));
    let first = files.client(&["h2"]);
    let old = greet(&server, &first, "a.example").await.unwrap();

    let good = fs::read(files.path("a.crt")).unwrap();
    for broken in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        fs::write(files.path("a.crt"), broken).unwrap();
        now.send(()).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        assert!(greet(&server, &first, "a.example").await.is_ok(), "the old one is still shown");
    }
    fs::remove_file(files.path("a.crt")).unwrap();
    now.send(()).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert!(greet(&server, &first, "a.example").await.is_ok(), "nor does it matter that the file is gone");
    fs::write(files.path("a.crt"), good).unwrap();

    files.issue("a");
    let second = files.client(&["h2"]);
    // Without being told.
    let until = Instant::now() + LOOK_INTERVAL + Duration::from_secs(5);
    while greet(&server, &second, "a.example").await.is_err() {
        assert!(Instant::now() < until, "the new certificate is not shown");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(greet(&server, &first, "a.example").await.is_err(), "the old one is not shown any more");
    assert!(greet(&server, &first, "b.example").await.is_ok(), "the other host's is what it was");

    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(old)).await.unwrap();
    tokio::spawn(connection);
    let answer = within(sender.send_request(get("https://a.example/x"))).await.unwrap();
    assert_eq!(answer.status(), 200, "connections stay");
    drop(now);
    within(keeping).await.unwrap();
}

#[tokio::test]
async fn noise_and_silence_instead_of_a_greeting_disturb_nobody() {
    let files = Files::new("noise");
    let mut limits = Limits::default();
    limits.http.handshake = Duration::from_millis(300);
    let server = serve(&files.open(), limits).await;
    for noise in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0; 4096], &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3]] {
        let mut stream = TcpStream::connect(server.at).await.unwrap();
        stream.write_all(noise).await.unwrap();
        let mut said = Vec::new();
        let _ = within(stream.read_to_end(&mut said)).await;
        assert!(said.len() < 64, "an alert at most: {said:?}");
    }
    let began = Instant::now();
    let mut silent = TcpStream::connect(server.at).await.unwrap();
    let mut said = Vec::new();
    let _ = within(silent.read_to_end(&mut said)).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "it had its time");
    assert!(greet(&server, &files.client(&["h2"]), "a.example").await.is_ok());
}

#[tokio::test]
async fn who_is_not_greeted_does_not_hold_up_the_end() {
    let files = Files::new("end");
    let server = serve(&files.open(), Limits::default()).await;
    let _silent = TcpStream::connect(server.at).await.unwrap();
    assert!(greet(&server, &files.client(&["h2"]), "a.example").await.is_ok());
    let began = Instant::now();
    server.control.send(Control::Shutdown).await.unwrap();
    assert_eq!(server.ended().await, Ended::Clean);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_is_wrong_with_files_is_said_with_the_line_that_names_them() {
    let files = Files::new("wrong");
    assert_eq!(inspect(&files.config()), []);
    let said = |change: &dyn Fn(&Files)| {
        files.issue("b");
        change(&files);
        let found = inspect(&files.config());
        let refused = Doors::open(&files.config()).err().unwrap_or_default();
        assert_eq!(refused.len(), found.iter().filter(|it| it.severity == Severity::Error).count());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, 3, "of the second host");
        found[0].to_string().replace(files.0.to_str().unwrap(), "")
    };
    let write = |files: &Files, name: &str, text: &str| fs::write(files.path(name), text).unwrap();
    let missing = said(&|files| fs::remove_file(files.path("b.key")).unwrap());
    assert!(
        missing.starts_with("/Server.xml:3:") && missing.contains("error: /b.key does not exist."),
        "{missing}"
    );
    let other =
        said(&|files| fs::write(files.path("b.key"), fs::read(files.path("a.key")).unwrap()).unwrap());
    assert!(other.contains("error: /b.key is not the key of the certificate in /b.crt."), "{other}");
    let empty = said(&|files| write(files, "b.crt", ""));
    assert!(empty.contains("error: /b.crt holds no certificate in PEM."), "{empty}");
    let swapped =
        said(&|files| fs::write(files.path("b.key"), fs::read(files.path("b.crt")).unwrap()).unwrap());
    assert!(swapped.contains("holds no private key") && swapped.contains("swapped"), "{swapped}");
    let phrase = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = said(&|files| write(files, "b.key", phrase));
    assert!(locked.contains("pass phrase") && locked.contains("openssl pkey"), "{locked}");
    let noise = said(&|files| {
        write(files, "b.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    });
    assert!(noise.contains("error: /b.crt holds a certificate that cannot be used"), "{noise}");

    let with = |change: fn(&mut CertificateParams), names: &str| {
        let mut params = CertificateParams::new(vec![names.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    };
    let issued = |change: fn(&mut CertificateParams), names: &str| {
        let (cert, key) = with(change, names);
        said(&|files| {
            write(files, "b.crt", &cert);
            write(files, "b.key", &key);
        })
    };
    let old = issued(|it| it.not_after = date_time_ymd(2020, 1, 1), "b.example");
    assert!(old.contains("warning: The certificate in /b.crt ended on Jan  1"), "{old}");
    let early = issued(|it| it.not_before = date_time_ymd(2999, 1, 1), "b.example");
    assert!(early.contains("warning: The certificate in /b.crt begins on"), "{early}");
    let stranger = issued(|_| {}, "c.example");
    assert!(stranger.contains("warning: The certificate in /b.crt is not for `b.example`"), "{stranger}");
}
