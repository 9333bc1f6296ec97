//! Directories of streams in Redis: carries the commands of `core::registry` there, and brings back what it says.
//!
//! Nothing is decided here. Which calls a command is and what the replies mean, [`headwater_core::registry::redis`]
//! says; when to ask again, the node. A [`Client`] holds at most one connection. Whatever fails costs it that
//! connection, and the next command makes another: to the server that sentinels then name, with the password that
//! then is right.
//!
//! * [`Client`] is one directory, for whoever wants to wait for it: a tool, a test.
//! * [`Desk`] is what the driver has of one: a bounded queue, and a task that works it off in order.

mod desk;
mod link;
mod routes;

use std::time::Duration;

use headwater_core::config::{Config, RedisServer, RedisServers, Secret};
use headwater_core::io::{Endpoint, StoreId};
use headwater_core::registry::redis::{Call, Reply, SCRIPTS, Schema, answer};
use headwater_core::registry::{Answer, Command, Failure};
use redis::Script;
use tokio::time::timeout;

pub(crate) use desk::Desk;
pub use link::CertificateError;
use link::{Dial, Link};

use crate::net::Net;

/// A directory of streams in a Redis.
pub struct Client<N> {
    dial: Dial<N>,
    schema: Schema,
    command_timeout: Duration,
    connect_timeout: Duration,
    /// Of every script: its text and its name at the server.
    hashes: Vec<(&'static str, String)>,
    link: Option<Link>,
}

impl<N: Net> Client<N> {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// If certificates cannot be read.
    pub fn new(net: N, redis: &RedisServer, schema: Schema) -> Result<Client<N>, CertificateError> {
        let hashes = SCRIPTS.map(|text| (text, Script::new(text).get_hash().to_owned()));
        Ok(Client {
            dial: Dial::new(net, redis)?,
            schema,
            command_timeout: redis.command_timeout,
            connect_timeout: redis.connect_timeout,
            hashes: hashes.into(),
            link: None,
        })
    }

    /// The clients of all directories that a configuration names.
    ///
    /// # Errors
    ///
    /// If certificates cannot be read.
    pub fn all(net: &N, config: &Config) -> Result<Vec<(StoreId, Client<N>)>, CertificateError> {
        let stores = config.stores();
        stores.map(|(id, redis, schema)| Ok((id, Client::new(net.clone(), redis, schema)?))).collect()
    }

    /// Carries out a command.
    ///
    /// # Errors
    ///
    /// If the store is away, refuses, or talks nonsense. It is not known then whether the command was carried out.
    pub async fn execute(&mut self, command: &Command) -> Result<Answer, Failure> {
        let replies = self.call(&self.schema.calls(command)).await?;
        let answer = answer(command, &replies);
        if answer.is_err() {
            // Whoever refuses may be another server by now, or one with other rights.
            self.disconnect();
        }
        answer.map_err(|failure| self.dial.discreet(failure))
    }

    /// Sends calls and waits for their replies, which may be errors.
    ///
    /// # Errors
    ///
    /// If there is no connection, or no reply in time.
    pub async fn call(&mut self, calls: &[Call]) -> Result<Vec<Reply>, Failure> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect().await?,
        };
        match timeout(self.command_timeout, send(&mut link, &self.hashes, calls)).await {
            Ok(Ok(replies)) => {
                self.link = Some(link);
                Ok(replies)
            }
            Ok(Err(failure)) => Err(self.dial.discreet(failure)),
            Err(_) => Err(away(format!("no answer within {} ms", self.command_timeout.as_millis()))),
        }
    }

    async fn connect(&mut self) -> Result<Link, Failure> {
        let connected = timeout(self.connect_timeout, self.dial.link(self.connect_timeout)).await;
        let late = || away(format!("no connection within {} ms", self.connect_timeout.as_millis()));
        connected.unwrap_or_else(|_| Err(late())).map_err(|failure| self.dial.discreet(failure))
    }

    pub(crate) fn disconnect(&mut self) {
        self.link = None;
    }

    /// How long a command may take, connecting included.
    pub(crate) fn patience(&self) -> Duration {
        self.connect_timeout + self.command_timeout
    }

    /// How its keys are written.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// Scripts go by their names. A server that does not know one is sent its text, and knows it from then on.
async fn send(
    link: &mut Link,
    hashes: &[(&'static str, String)],
    calls: &[Call],
) -> Result<Vec<Reply>, Failure> {
    let name =
        |text: &'static str| hashes.iter().find(|(known, _)| *known == text).map(|(_, hash)| hash.as_str());
    let words = |call: &Call, by_name: bool| match call {
        Call::Plain(words) => {
            let mut command = redis::Cmd::new();
            command.arg(words);
            command
        }
        Call::Script { text, keys, args } => {
            let mut command = match name(text).filter(|_| by_name) {
                Some(hash) => redis::cmd("EVALSHA").arg(hash).to_owned(),
                None => redis::cmd("EVAL").arg(*text).to_owned(),
            };
            command.arg(keys.len()).arg(keys).arg(args);
            command
        }
    };
    let mut replies = link.send(calls.iter().map(|call| words(call, true)).collect()).await?;
    let is_unknown = |reply: &Reply| matches!(reply, Reply::Error(text) if text.starts_with("NOSCRIPT"));
    let unknown: Vec<usize> = (0..replies.len()).filter(|at| is_unknown(&replies[*at])).collect();
    if !unknown.is_empty() {
        let again = link.send(unknown.iter().map(|at| words(&calls[*at], false)).collect()).await?;
        for (at, reply) in unknown.into_iter().zip(again) {
            replies[at] = reply;
        }
    }
    Ok(replies)
}

fn away(why: String) -> Failure {
    Failure::Away(why)
}

/// Where a directory is, for people.
pub fn place(redis: &RedisServer) -> String {
    let list = |all: &[Endpoint]| all.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(", ");
    match &redis.servers {
        RedisServers::Single(at) => at.to_string(),
        RedisServers::Cluster(nodes) => format!("the Cluster of {}", list(nodes)),
        RedisServers::Sentinel { sentinels, master } => {
            format!("the master {master} of the sentinels {}", list(sentinels))
        }
    }
}

/// Servers repeat what they do not understand; a password among it goes no further.
fn discreet(failure: Failure, password: Option<&Secret>) -> Failure {
    let Some(password) = password.map(Secret::reveal).filter(|it| !it.is_empty()) else { return failure };
    let hide = |text: String| text.replace(password, "***");
    match failure {
        Failure::Away(text) => Failure::Away(hide(text)),
        Failure::Nonsense(text) => Failure::Nonsense(hide(text)),
        Failure::Refused(text) => Failure::Refused(hide(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_a_server_repeats_goes_no_further() {
        let said =
            Failure::Refused("ERR unknown command 'AUTH', with args beginning with: 'p4ss' ".to_owned());
        let told = discreet(said.clone(), Some(&Secret::new("p4ss"))).to_string();
        assert!(told.contains("'***'") && !told.contains("p4ss"), "{told}");
        assert_eq!(discreet(said.clone(), None), said);
        assert_eq!(discreet(said.clone(), Some(&Secret::new(""))), said);
    }
}
