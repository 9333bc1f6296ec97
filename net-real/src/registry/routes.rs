//! Everything that is in a directory, for people. It costs the store a walk over all its keys.

use std::collections::{BTreeMap, BTreeSet};

use headwater_core::io::Endpoint;
use headwater_core::registry::redis::{Call, Reply, routes, scan, scanned};
use headwater_core::registry::{Answer, Command, Failure, Route};
use tokio::time::timeout;

use super::{Client, Link, away};
use crate::net::Net;

/// Streams that are looked up together.
const NAMES: usize = 256;

impl<N: Net> Client<N> {
    /// All streams, in the order of their names.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`].
    pub async fn routes(&mut self) -> Result<Vec<Route>, Failure> {
        let names: Vec<String> = self.names().await?.into_iter().collect();
        let mut all = Vec::new();
        for names in names.chunks(NAMES) {
            let replies = self.call(&self.schema().calls(&Command::Lookup(names.to_vec()))).await?;
            all.extend(routes(&replies, names).map_err(|failure| self.dial.discreet(failure))?);
        }
        let owners: BTreeSet<_> = all.iter().map(|route| route.epoch.owner).collect();
        let owners: Vec<_> = owners.into_iter().collect();
        let mut alive = BTreeMap::new();
        for owners in owners.chunks(NAMES) {
            if let Answer::Alive(left) = self.execute(&Command::Alive(owners.to_vec())).await? {
                alive.extend(owners.iter().copied().zip(left));
            }
        }
        for route in &mut all {
            route.alive = alive.get(&route.epoch.owner).is_some_and(Option::is_some);
        }
        Ok(all)
    }

    async fn names(&mut self) -> Result<BTreeSet<String>, Failure> {
        let mut names = BTreeSet::new();
        for server in self.servers().await? {
            let mut cursor = 0;
            loop {
                let reply = self.ask(server.as_ref(), &scan(cursor)).await?;
                if let Reply::Error(error) = reply {
                    return Err(self.dial.discreet(Failure::Refused(error)));
                }
                let (found, next) = scanned(self.schema(), &reply)?;
                names.extend(found);
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(names)
    }

    /// The servers that have keys; `None` is the only one.
    async fn servers(&mut self) -> Result<Vec<Option<Endpoint>>, Failure> {
        if !self.schema().one_stream_per_call {
            return Ok(vec![None]);
        }
        let call = Call::Plain(vec![b"CLUSTER".to_vec(), b"SLOTS".to_vec()]);
        let reply = self.ask(None, &call).await?;
        let Reply::Array(ranges) = &reply else { return Err(away("there is no Cluster".to_owned())) };
        let masters: BTreeSet<Endpoint> = ranges.iter().filter_map(master).collect();
        Ok(masters.into_iter().map(Some).collect())
    }

    async fn ask(&mut self, server: Option<&Endpoint>, call: &Call) -> Result<Reply, Failure> {
        let Call::Plain(words) = call else {
            return Err(Failure::Nonsense("a script for one server".to_owned()));
        };
        let mut command = redis::Cmd::new();
        command.arg(words);
        let mut link: Link = match self.link.take() {
            Some(link) => link,
            None => self.connect().await?,
        };
        let reply = timeout(self.command_timeout, link.send_to(server, command)).await;
        let reply = reply.unwrap_or_else(|_| Err(away("no answer in time".to_owned())));
        if reply.is_ok() {
            self.link = Some(link);
        }
        reply.map_err(|failure| self.dial.discreet(failure))
    }
}

/// Of a range of slots, as CLUSTER SLOTS tells it: first, last, then servers with the master in front.
fn master(range: &Reply) -> Option<Endpoint> {
    let Reply::Array(parts) = range else { return None };
    let Reply::Array(server) = parts.get(2)? else { return None };
    let (Reply::Text(host), Reply::Integer(port)) = (server.first()?, server.get(1)?) else { return None };
    Some(Endpoint { host: String::from_utf8(host.clone()).ok()?, port: u16::try_from(*port).ok()? })
}
