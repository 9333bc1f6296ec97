//! A real Redis as a store of the suite, through the client that Headwater itself uses.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use headwater_core::config::{RedisServer, RedisServers};
use headwater_core::registry::entry::Entry;
use headwater_core::registry::redis::{Call, Reply, Schema};
use headwater_core::registry::{Answer, Command, Failure, Route};
use headwater_net_real::registry::Client;
use headwater_net_real::tokio::TokioNet;
use tokio::runtime::{Builder, Runtime};

use super::{Keys, Store};

/// A real Redis.
pub struct Real {
    runtime: Runtime,
    client: Client<TokioNet>,
    /// For what the directory itself may not do.
    operator: Client<TokioNet>,
    schema: Schema,
}

impl Real {
    /// A store with plain keys. It connects when it is asked.
    ///
    /// # Errors
    ///
    /// If certificates cannot be read.
    pub fn new(redis: &RedisServer) -> Result<Real> {
        Real::with(redis, redis, true)
    }

    /// A store whose keys are looked at by an operator with rights of its own.
    ///
    /// # Errors
    ///
    /// If certificates cannot be read.
    pub fn with(redis: &RedisServer, operator: &RedisServer, plain: bool) -> Result<Real> {
        let schema = Schema {
            prefix: redis.key_prefix.clone(),
            plain,
            one_stream_per_call: matches!(redis.servers, RedisServers::Cluster(_)),
        };
        let client = |redis| Client::new(TokioNet::default(), redis, schema.clone());
        Ok(Real {
            runtime: Builder::new_current_thread().enable_all().build()?,
            client: client(redis)?,
            operator: client(operator)?,
            schema: schema.clone(),
        })
    }

    /// Carries out a command that may fail.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub fn try_execute(&mut self, command: &Command) -> Result<Answer, Failure> {
        self.runtime.block_on(self.client.execute(command))
    }

    /// All that is in it.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub fn routes(&mut self) -> Result<Vec<Route>, Failure> {
        self.runtime.block_on(self.client.routes())
    }

    /// A command whose reply is a text.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn text(&mut self, words: &[&str]) -> Result<String> {
        match self.words(words)? {
            Reply::Text(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            other => bail!("{words:?}: {other:?}"),
        }
    }

    /// A command that succeeds.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn expect_ok(&mut self, words: &[&str]) -> Result<()> {
        let text = self.text(words)?;
        ensure!(text == "OK", "{words:?}: {text}");
        Ok(())
    }

    fn words(&mut self, words: &[&str]) -> Result<Reply> {
        let call = Call::Plain(words.iter().map(|word| word.as_bytes().to_vec()).collect());
        let replies = self.operate(&[call])?;
        replies.into_iter().next().ok_or_else(|| anyhow::anyhow!("no reply"))
    }

    fn each(&mut self, calls: Vec<Vec<String>>) -> Vec<Reply> {
        let plain = |words: Vec<String>| Call::Plain(words.into_iter().map(String::into_bytes).collect());
        let calls: Vec<Call> = calls.into_iter().map(plain).collect();
        self.operate(&calls).expect("the operator is answered")
    }

    /// What the operator said last may have been to a server that is dead by now.
    fn operate(&mut self, calls: &[Call]) -> Result<Vec<Reply>, Failure> {
        let replies = self.runtime.block_on(self.operator.call(calls));
        replies.or_else(|_| self.runtime.block_on(self.operator.call(calls)))
    }
}

impl Store for Real {
    fn execute(&mut self, command: Command) -> Answer {
        self.try_execute(&command).expect("the store answers")
    }

    /// Nobody can set the clock of a Redis forward: every key is made that much older instead.
    fn advance(&mut self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).expect("milliseconds fit");
        let Reply::Array(keys) = self.words(&["KEYS", "*"]).expect("the operator is answered") else {
            panic!("KEYS is answered with keys")
        };
        let text = |reply: &Reply| match reply {
            Reply::Text(bytes) => String::from_utf8(bytes.clone()).expect("the suite's keys are UTF-8"),
            other => panic!("{other:?}"),
        };
        let keys: Vec<String> = keys.iter().map(text).collect();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<String>>();
        let left = self.each(keys.iter().map(|key| words(&["PTTL", key])).collect());
        let values = self.each(keys.iter().map(|key| words(&["GET", key])).collect());
        let mut changes = Vec::new();
        for ((key, left), value) in keys.iter().zip(left).zip(values) {
            let Reply::Integer(left) = left else { panic!("PTTL is answered with a number") };
            if left >= 0 && left <= by_ms {
                changes.push(words(&["DEL", key]));
                continue;
            }
            let entry = match value {
                Reply::Text(bytes) => String::from_utf8(bytes).ok().and_then(|text| Entry::parse(&text)),
                _ => None,
            };
            if let Some(mut entry) = entry {
                let by_ms = by_ms.unsigned_abs();
                entry.since_ms = entry.since_ms.saturating_sub(by_ms);
                for waiting in &mut entry.waiting {
                    waiting.until_ms = waiting.until_ms.saturating_sub(by_ms);
                }
                changes.push(words(&["SET", key, &entry.text(), "KEEPTTL"]));
            }
            if left > by_ms {
                changes.push(words(&["PEXPIRE", key, &(left - by_ms).to_string()]));
            }
        }
        for reply in self.each(changes) {
            assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        }
    }
}

impl Keys for Real {
    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn call(&mut self, words: &[&[u8]]) -> Reply {
        let call = Call::Plain(words.iter().map(|word| word.to_vec()).collect());
        let mut replies =
            self.runtime.block_on(self.operator.call(&[call])).expect("the operator is answered");
        replies.remove(0)
    }
}
