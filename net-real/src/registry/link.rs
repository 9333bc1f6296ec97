//! One connection to a Redis: how it is made, and how commands go through it.
//!
//! A single server is reached through the driver's own [`Net`], with TLS over it if it is asked for; so is the master
//! that sentinels name. The nodes of a Cluster are found and reached by the `redis` crate.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use headwater_core::config::{RedisServer, RedisServers, RedisTls, Secret};
use headwater_core::io::Endpoint;
use headwater_core::registry::Failure;
use headwater_core::registry::redis::Reply;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisConnectionInfo,
    RedisError, TlsCertificates, TlsMode, Value,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::{away, discreet};
use crate::net::Net;
use crate::task::Task;

/// Why the certificates of a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("OriginMapStore/RedisServer/TLS/CAPath: {0} cannot be read: {1}")]
    File(String, io::Error),
    /// There is none.
    #[error(
        "OriginMapStore/RedisServer/TLS/CAPath: {0} holds no certificate in PEM; write the file of the authority \
         that signed Redis's certificate"
    )]
    None(String),
    /// The library refuses.
    #[error("TLS for OriginMapStore cannot be set up: {0}")]
    Refused(String),
    /// The system trusts nobody.
    #[error(
        "this system has no certificates that it trusts; install them (the package ca-certificates), or write \
         OriginMapStore/RedisServer/TLS/CAPath"
    )]
    System,
}

/// How to come to a connection.
pub(super) struct Dial<N> {
    net: N,
    way: Way,
    login: RedisConnectionInfo,
    password: Option<Secret>,
    tls: Option<TlsConnector>,
}

enum Way {
    Cluster(Box<ClusterClient>),
    /// The one that answered last comes first.
    Sentinels {
        sentinels: Vec<Endpoint>,
        master: String,
    },
    Single(Endpoint),
}

/// A connection.
pub(super) enum Link {
    Cluster(ClusterConnection),
    One(
        MultiplexedConnection,
        #[expect(dead_code, reason = "moves the bytes, and ends with the connection")] Task,
    ),
}

impl<N: Net> Dial<N> {
    pub(super) fn new(net: N, redis: &RedisServer) -> Result<Dial<N>, CertificateError> {
        let mut login = RedisConnectionInfo::default().set_db(redis.database.into()).set_skip_set_lib_name();
        if let Some(password) = &redis.password {
            login = login.set_password(password.reveal());
        }
        if let Some(user) = &redis.user {
            login = login.set_username(user);
        }
        let tls = redis.tls.as_ref().map(connector).transpose()?;
        let way = match &redis.servers {
            RedisServers::Cluster(nodes) => Way::Cluster(Box::new(cluster(nodes, redis, &login)?)),
            RedisServers::Sentinel { sentinels, master } => {
                Way::Sentinels { sentinels: sentinels.clone(), master: master.clone() }
            }
            RedisServers::Single(at) => Way::Single(at.clone()),
        };
        Ok(Dial { net, way, login, password: redis.password.clone(), tls })
    }

    /// Makes a connection. `patience` is shared among those that are tried; who is out of it is the caller's to say.
    pub(super) async fn link(&mut self, patience: Duration) -> Result<Link, Failure> {
        match &self.way {
            Way::Cluster(client) => client.get_async_connection().await.map(Link::Cluster).map_err(failure),
            Way::Sentinels { .. } => {
                let master = self.master(Instant::now() + patience).await?;
                let mut link = self.to(&master, &self.login).await?;
                // One that was the master and is back may not know yet that it is none any more.
                let role = link.send(vec![redis::cmd("ROLE")]).await?;
                match role.first() {
                    Some(Reply::Array(parts)) if parts.first() == Some(&Reply::Text(b"master".to_vec())) => {
                        Ok(link)
                    }
                    Some(Reply::Error(error)) => Err(Failure::Refused(error.clone())),
                    _ => Err(away(format!("the sentinels name {master}, which is not a master"))),
                }
            }
            Way::Single(at) => self.to(at, &self.login).await,
        }
    }

    /// Asks one sentinel after the other. Each gets a share of the time, so that one that swallows packets hides no
    /// other.
    async fn master(&mut self, until: Instant) -> Result<Endpoint, Failure> {
        let Way::Sentinels { sentinels, master } = &self.way else {
            return Err(away("no sentinels".to_owned()));
        };
        let mut failed = away("there is no sentinel".to_owned());
        for (asked, sentinel) in sentinels.iter().enumerate() {
            let left = u32::try_from(sentinels.len() - asked + 1).unwrap_or(u32::MAX);
            let share = until.saturating_duration_since(Instant::now()) / left;
            let found = timeout(share, self.ask(sentinel, master)).await;
            match found.unwrap_or_else(|_| Err(away(format!("the sentinel {sentinel} does not answer")))) {
                Ok(found) => {
                    if let Way::Sentinels { sentinels, .. } = &mut self.way {
                        sentinels.rotate_left(asked);
                    }
                    return Ok(found);
                }
                Err(failure) => failed = failure,
            }
        }
        Err(failed)
    }

    async fn ask(&self, sentinel: &Endpoint, master: &str) -> Result<Endpoint, Failure> {
        let login = RedisConnectionInfo::default().set_skip_set_lib_name();
        let mut link = self.to(sentinel, &login).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(master);
        let text = |reply: &Reply| match reply {
            Reply::Text(bytes) => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        };
        match link.send(vec![question]).await?.first() {
            Some(Reply::Array(parts)) => {
                let port = parts.get(1).and_then(text).and_then(|port| port.parse().ok());
                let at = parts.first().and_then(text).zip(port).map(|(host, port)| Endpoint { host, port });
                at.ok_or_else(|| {
                    Failure::Nonsense(format!("no address of a master, from the sentinel {sentinel}"))
                })
            }
            Some(Reply::Error(error)) => Err(Failure::Refused(format!("{error} (the sentinel {sentinel})"))),
            _ => Err(away(format!("the sentinel {sentinel} knows no master {master}"))),
        }
    }

    async fn to(&self, at: &Endpoint, login: &RedisConnectionInfo) -> Result<Link, Failure> {
        let there = |what: &dyn std::fmt::Display| away(format!("{at}: {what}"));
        let stream = self.net.connect(at).await.map_err(|error| there(&error))?;
        let Some(tls) = &self.tls else { return speak(stream, login).await };
        let name = ServerName::try_from(at.host.clone()).map_err(|error| there(&error))?;
        let stream = tls.connect(name, stream).await.map_err(|error| there(&error))?;
        speak(stream, login).await
    }

    pub(super) fn discreet(&self, failure: Failure) -> Failure {
        discreet(failure, self.password.as_ref())
    }
}

/// Logs in.
async fn speak<S>(stream: S, login: &RedisConnectionInfo) -> Result<Link, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The whole command has a deadline: there is none for its parts.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let made = MultiplexedConnection::new_with_config(login, stream, config).await;
    let (connection, bytes) = made.map_err(failure)?;
    Ok(Link::One(connection, Task(tokio::spawn(bytes))))
}

impl Link {
    /// Sends commands in one go. The replies come in the order of the commands.
    pub(super) async fn send(&mut self, commands: Vec<Cmd>) -> Result<Vec<Reply>, Failure> {
        match self {
            Link::Cluster(cluster) => {
                let each = commands.iter().map(|command| {
                    let mut cluster = cluster.clone();
                    async move { single(cluster.req_packed_command(command).await) }
                });
                join_all(each).await.into_iter().collect()
            }
            Link::One(connection, _) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                let count = commands.len();
                for command in commands {
                    pipeline.add_command(command);
                }
                let values = connection.send_packed_commands(&pipeline, 0, count).await.map_err(failure)?;
                Ok(values.into_iter().map(reply).collect())
            }
        }
    }

    /// Sends a command to each server that has a part of the keys: `None` is the only one there is.
    pub(super) async fn send_to(
        &mut self,
        server: Option<&Endpoint>,
        command: Cmd,
    ) -> Result<Reply, Failure> {
        match (self, server) {
            (Link::Cluster(cluster), Some(Endpoint { host, port })) => {
                let to = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                single(cluster.route_command(command, RoutingInfo::SingleNode(to)).await)
            }
            (link, _) => {
                let replies = link.send(vec![command]).await?;
                replies.into_iter().next().ok_or_else(|| Failure::Nonsense("no reply".to_owned()))
            }
        }
    }
}

/// The Cluster's client takes errors out of replies; here they belong into them.
fn single(result: Result<Value, RedisError>) -> Result<Reply, Failure> {
    match result.map_err(failure) {
        Ok(value) => Ok(reply(value)),
        Err(Failure::Refused(error)) => Ok(Reply::Error(error)),
        Err(failure) => Err(failure),
    }
}

fn reply(value: Value) -> Reply {
    match value {
        Value::Array(parts) | Value::Set(parts) => Reply::Array(parts.into_iter().map(reply).collect()),
        Value::BulkString(bytes) => Reply::Text(bytes),
        Value::Int(number) => Reply::Integer(number),
        Value::Okay => Reply::Text(b"OK".to_vec()),
        Value::ServerError(error) => Reply::Error(said(error.code(), error.details())),
        Value::SimpleString(text) => Reply::Text(text.into_bytes()),
        // Nothing else is a part of RESP2.
        _ => Reply::Nil,
    }
}

fn failure(error: RedisError) -> Failure {
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Failure::Nonsense(error.to_string()),
        ErrorKind::AuthenticationFailed | ErrorKind::Extension | ErrorKind::Server(_) => Failure::Refused(
            error.code().map_or_else(|| error.to_string(), |code| said(code, error.detail())),
        ),
        _ => Failure::Away(error.to_string()),
    }
}

fn said(code: &str, details: Option<&str>) -> String {
    details.map_or_else(|| code.to_owned(), |details| format!("{code} {details}"))
}

fn connector(tls: &RedisTls) -> Result<TlsConnector, CertificateError> {
    // The one that the Cluster's client takes, too. Fails only if it was installed before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    match &tls.ca_path {
        Some(path) => {
            let pem = fs::read(path).map_err(|error| CertificateError::File(path.clone(), error))?;
            let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(CertificateError::None(path.clone()));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            if roots.add_parsable_certificates(found.certs).0 == 0 {
                return Err(CertificateError::System);
            }
        }
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn cluster(
    nodes: &[Endpoint],
    redis: &RedisServer,
    login: &RedisConnectionInfo,
) -> Result<ClusterClient, CertificateError> {
    let refused = |error: RedisError| CertificateError::Refused(error.to_string());
    let nodes = nodes.iter().map(|Endpoint { host, port }| {
        let address = match &redis.tls {
            Some(_) => {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            }
            None => ConnectionAddr::Tcp(host.clone(), *port),
        };
        Ok(address.into_connection_info()?.set_redis_settings(login.clone()))
    });
    let mut builder =
        ClusterClientBuilder::new(nodes.collect::<Result<Vec<_>, RedisError>>().map_err(refused)?)
            .connection_timeout(redis.connect_timeout)
            .response_timeout(redis.command_timeout)
            .retries(CLUSTER_RETRIES)
            .max_retry_wait(CLUSTER_RETRY_MS)
            .min_retry_wait(CLUSTER_RETRY_MS / 4);
    if let Some(password) = &redis.password {
        builder = builder.password(password.reveal());
    }
    if let Some(user) = &redis.user {
        builder = builder.username(user);
    }
    if let Some(tls) = &redis.tls {
        builder = builder.tls(TlsMode::Secure);
        if let Some(path) = &tls.ca_path {
            let pem = fs::read(path).map_err(|error| CertificateError::File(path.clone(), error))?;
            builder = builder.certs(TlsCertificates { client_tls: None, root_cert: Some(pem) });
        }
    }
    builder.build().map_err(refused)
}

/// How often the Cluster's client goes after a slot that moves.
const CLUSTER_RETRIES: u32 = 3;

/// The longest pause before it does.
const CLUSTER_RETRY_MS: u64 = 100;
