//! `headwater why`: the chain of decisions for one request.

use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use clap::Args;
use headwater_core::config::Config;
use headwater_core::node::{Node, Why};
use headwater_core::url::Url;
use headwater_net_real::clock::Clock;
use headwater_net_real::driver::{Limits, Setup, run as drive};
use headwater_net_real::inquiry::{Found, Inquiry};
use headwater_net_real::registry::Client;
use headwater_net_real::tokio::TokioNet;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::config::load;
use super::{FAILURE, USAGE};

/// Say why a request is served as it is: which virtual host and rule it meets, what the directory says, which origins
/// were tried and what each answered.
///
/// Without --server the question is asked here, now, with the decisions and the configuration of a server; with it, a
/// running server says what it knows.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stream, such as http://edge.example.com/live/cam. The host decides on the virtual host.
    url: String,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "Server.xml", conflicts_with = "server")]
    config: String,
    /// The API of a running server, such as http://127.0.0.1:8081.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The server's Managers/API/AccessToken; better in the environment, as HEADWATER_TOKEN.
    #[arg(long, value_name = "TOKEN", requires = "server")]
    token: Option<String>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let url = match Url::parse(&arguments.url) {
        Ok(url) => url,
        Err(error) => {
            return fail(USAGE, &format!("{}: {error}; write http://host/app/stream", arguments.url));
        }
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILURE, &error.to_string()),
    };
    let token = arguments.token.clone().or_else(|| std::env::var("HEADWATER_TOKEN").ok());
    let result = match (&arguments.server, token) {
        (Some(server), Some(token)) => runtime.block_on(ask_server(server, &token, &url)),
        (Some(_), None) => {
            return fail(USAGE, "the API wants a token: give --token, or set HEADWATER_TOKEN");
        }
        (None, _) => match load(&arguments.config) {
            Ok(loaded) => runtime.block_on(ask_here(loaded.config, url)),
            Err(findings) => {
                findings.iter().for_each(|finding| eprintln!("{finding}"));
                return ExitCode::from(USAGE);
            }
        },
    };
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    match result {
        Ok((status, why)) => {
            print(status, &why, arguments.json);
            ExitCode::SUCCESS
        }
        Err(error) => fail(FAILURE, &error),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("headwater: {why}");
    ExitCode::from(code)
}

fn print(status: Option<StatusCode>, why: &Why, as_json: bool) {
    if as_json {
        let status = status.map(|status| status.as_u16());
        println!(
            "{}",
            json!({ "status": status, "url": why.url, "verdict": why.verdict, "steps": why.steps })
        );
        return;
    }
    println!("{}", why.url);
    for step in &why.steps {
        println!("  {:14} {}", step.what, step.found);
    }
    match status {
        Some(status) => println!("A viewer gets {status}. Now: {}.", why.verdict),
        None => println!("Now: {}.", why.verdict),
    }
}

/// How long an answer may take: a viewer's longest wait, and some.
const PATIENCE: Duration = Duration::from_secs(20);

async fn ask_here(config: Config, url: Url) -> Result<(Option<StatusCode>, Why), String> {
    let (net, clock) = (TokioNet::default(), Clock::system());
    let stores = Client::all(&net, &config).map_err(|error| error.to_string())?;
    let now = clock.now();
    let (inquiry, answer) = Inquiry::new(Node::new(config, u64::from(std::process::id()), now), url, now);
    let setup = Setup { net, clock, listeners: Vec::new(), stores, limits: Limits::default() };
    let (_control, orders) = mpsc::channel(1);
    tokio::select! {
        biased;
        answer = timeout(PATIENCE, answer) => match answer {
            Ok(Ok(Found { status, why })) => Ok((Some(status), why)),
            Ok(Err(_)) | Err(_) => Err(format!("no decision within {} s", PATIENCE.as_secs())),
        },
        _ = drive(setup, inquiry, |_, _| {}, orders) => Err("the node ended".to_owned()),
    }
}

async fn ask_server(server: &str, token: &str, url: &Url) -> Result<(Option<StatusCode>, Why), String> {
    let place = Url::parse(server).map_err(|error| format!("--server {server}: {error}"))?;
    if place.scheme() != "http" {
        return Err(format!("--server {server}: the API is served over http only"));
    }
    let at = (place.host(), place.port().unwrap_or(80));
    let asked = timeout(PATIENCE, ask_api(at, token, url)).await;
    let (status, body) = asked
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
        .map_err(|error| format!("{server}: {error}"))?;
    if status == StatusCode::UNAUTHORIZED {
        return Err(format!(
            "{server} does not accept the token; it is Managers/API/AccessToken of its Server.xml"
        ));
    }
    let why = serde_json::from_slice(&body);
    why.map(|why| (None, why))
        .map_err(|_| format!("{server} answers {status}, which is no answer of this API"))
}

async fn ask_api(at: (&str, u16), token: &str, url: &Url) -> Result<(StatusCode, Bytes), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let socket = TcpStream::connect(at).await.map_err(|error| text(&error))?;
    let (mut connection, io) = handshake(TokioIo::new(socket)).await.map_err(|error| text(&error))?;
    // Ends with the connection; its error is also the request's.
    tokio::spawn(io);
    let request = Request::get(format!("/api/v1/why?url={}", encoded(&url.to_string())))
        .header(header::HOST, at.0)
        .header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(token)))
        .body(Empty::<Bytes>::new())
        .map_err(|error| text(&error))?;
    let response = connection.send_request(request).await.map_err(|error| text(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok((status, body.map_err(|error| text(&error))?.to_bytes()))
}

const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A text as the value of a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
