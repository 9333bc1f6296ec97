//! The directory in Redis: its keys, the scripts that write them, and what replies mean.
//!
//! ```text
//! headwater:origin:<lease>          the owner's lease: empty text, LEASE_MS
//! headwater:stream:{app/stream}     the entry (see `entry`), ENTRY_MS
//! app/stream                        the plain key, PLAIN_MS
//! headwater:zero:{app/stream}       where the stream's time zero lies, ENTRY_MS
//! ```
//!
//! Every key has the configured prefix; in an entry's key it stands inside the braces, so that in a Redis Cluster
//! the entry and the plain key of a stream live on one node. The scripts want Redis 5 or later.
//!
//! A driver carries [`Call`]s to the server in order, and hands what it replied to [`answer`]; it decides nothing.

use super::entry::Entry;
use super::rules::{self, ENTRY_MS, LEASE_MS, PLAIN_MS, WAITING_MS};
use super::{Answer, Claimed, Command, Epoch, Failure, Found, LeaseId, Route};

/// How the keys of a directory are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What stands before every key.
    pub prefix: String,
    /// Whether plain keys are written.
    pub plain: bool,
    /// Whether the keys of a call must be those of one stream, as in a Redis Cluster.
    pub one_stream_per_call: bool,
}

impl Default for Schema {
    fn default() -> Self {
        Schema { prefix: String::new(), plain: true, one_stream_per_call: false }
    }
}

/// One command of Redis's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Its words.
    Plain(Vec<Vec<u8>>),
    /// A script: EVALSHA, or EVAL where the server does not know it.
    Script {
        /// The script's text, one of [`SCRIPTS`].
        text: &'static str,
        /// KEYS.
        keys: Vec<String>,
        /// ARGV.
        args: Vec<String>,
    },
}

/// What a server replied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Several replies.
    Array(Vec<Reply>),
    /// An error.
    Error(String),
    /// A number.
    Integer(i64),
    /// Nothing.
    Nil,
    /// Text: a bulk string or a simple one.
    Text(Vec<u8>),
}

/// `Agree`.
pub const AGREE: &str = concat!(include_str!("lua/common.lua"), include_str!("lua/agree.lua"));
/// `Claim`.
pub const CLAIM: &str = concat!(include_str!("lua/common.lua"), include_str!("lua/claim.lua"));
/// `Keep`.
pub const KEEP: &str = concat!(include_str!("lua/common.lua"), include_str!("lua/keep.lua"));
/// `Lookup`.
pub const LOOKUP: &str = concat!(include_str!("lua/common.lua"), include_str!("lua/lookup.lua"));
/// `Raise`.
pub const RAISE: &str = concat!(include_str!("lua/common.lua"), include_str!("lua/raise.lua"));
/// `Release`.
pub const RELEASE: &str = concat!(include_str!("lua/common.lua"), include_str!("lua/release.lua"));

/// Every script that is ever sent.
pub const SCRIPTS: [&str; 6] = [AGREE, CLAIM, KEEP, LOOKUP, RAISE, RELEASE];

impl Schema {
    /// The key of an owner's lease.
    pub fn lease_key(&self, lease: LeaseId) -> String {
        format!("{}headwater:origin:{lease}", self.prefix)
    }

    /// The key of a stream's entry.
    pub fn entry_key(&self, name: &str) -> String {
        format!("headwater:stream:{{{}{name}}}", self.prefix)
    }

    /// The plain key of a stream. In a Redis Cluster braces in the name itself would send it to another node than the
    /// entry; such a stream has a key there that nobody else reads.
    pub fn plain_key(&self, name: &str) -> String {
        if self.one_stream_per_call && name.contains(['{', '}']) {
            return format!("headwater:plain:{{{}{name}}}", self.prefix);
        }
        format!("{}{name}", self.prefix)
    }

    /// The key of a stream's time zero.
    pub fn zero_key(&self, name: &str) -> String {
        format!("headwater:zero:{{{}{name}}}", self.prefix)
    }

    /// The stream whose entry has this key.
    pub fn name_of<'k>(&self, entry_key: &'k str) -> Option<&'k str> {
        let name = entry_key.strip_prefix("headwater:stream:{")?.strip_suffix('}')?;
        name.strip_prefix(self.prefix.as_str())
    }

    /// The calls that carry out a command, in order; their replies are for [`answer`].
    pub fn calls(&self, command: &Command) -> Vec<Call> {
        match command {
            Command::Agree(zeros) => {
                let each = zeros.iter().map(|zero| {
                    let own = vec![zero.ms.to_string(), u8::from(zero.keeps).to_string()];
                    (vec![self.zero_key(&zero.name)], own)
                });
                self.scripts(AGREE, &[ENTRY_MS.to_string()], each)
            }
            Command::Alive(leases) => leases.iter().map(|lease| self.plain("PTTL", *lease, &[])).collect(),
            Command::Claim { by, streams } => {
                let head = [
                    by.to_string(),
                    self.flag(),
                    ENTRY_MS.to_string(),
                    PLAIN_MS.to_string(),
                    WAITING_MS.to_string(),
                ];
                let each = streams.iter().map(|claim| {
                    let dead = claim.dead.map(|dead| dead.to_string()).unwrap_or_default();
                    (self.pair(&claim.name), vec![claim.url.clone(), claim.floor.to_string(), dead])
                });
                self.scripts(CLAIM, &head, each)
            }
            Command::Close { by } => vec![self.plain("DEL", *by, &[])],
            Command::Keep { by, streams } => {
                let head = [by.to_string(), self.flag(), ENTRY_MS.to_string(), PLAIN_MS.to_string()];
                let each = streams.iter().map(|(name, url)| (self.pair(name), vec![url.clone()]));
                self.scripts(KEEP, &head, each)
            }
            Command::Lookup(names) => {
                self.scripts(LOOKUP, &[], names.iter().map(|name| (self.pair(name), Vec::new())))
            }
            Command::Open { by } => vec![self.plain("SET", *by, &["", "PX", &LEASE_MS.to_string()])],
            Command::Raise { name, above } => {
                let head = [above.to_string(), ENTRY_MS.to_string()];
                self.scripts(RAISE, &head, [(self.pair(name), Vec::new())].into_iter())
            }
            Command::Release { by, streams } => {
                let head = [by.to_string(), self.flag(), ENTRY_MS.to_string(), PLAIN_MS.to_string()];
                let each = streams.iter().map(|(name, url)| (self.pair(name), vec![url.clone()]));
                self.scripts(RELEASE, &head, each)
            }
            Command::Renew { by } => vec![self.plain("PEXPIRE", *by, &[&LEASE_MS.to_string()])],
        }
    }

    fn flag(&self) -> String {
        u8::from(self.plain).to_string()
    }

    fn plain(&self, verb: &str, lease: LeaseId, rest: &[&str]) -> Call {
        let mut words = vec![verb.as_bytes().to_vec(), self.lease_key(lease).into_bytes()];
        words.extend(rest.iter().map(|word| word.as_bytes().to_vec()));
        Call::Plain(words)
    }

    /// The keys of what rules are about.
    fn pair(&self, name: &str) -> Vec<String> {
        vec![self.entry_key(name), self.plain_key(name)]
    }

    /// Calls of one script for many streams, each with its keys and its arguments.
    fn scripts(
        &self,
        text: &'static str,
        head: &[String],
        streams: impl Iterator<Item = (Vec<String>, Vec<String>)>,
    ) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for (keys_of, own) in streams {
            let fresh = match calls.last_mut() {
                Some(Call::Script { keys, args, .. }) if !self.one_stream_per_call => (keys, args),
                _ => {
                    calls.push(Call::Script { text, keys: Vec::new(), args: head.to_vec() });
                    let Some(Call::Script { keys, args, .. }) = calls.last_mut() else { continue };
                    (keys, args)
                }
            };
            fresh.0.extend(keys_of);
            fresh.1.extend(own);
        }
        calls
    }
}

/// What the replies to the calls of `command` say.
pub fn answer(command: &Command, replies: &[Reply]) -> Result<Answer, Failure> {
    if let Some(Reply::Error(error)) = replies.iter().find(|reply| matches!(reply, Reply::Error(_))) {
        return Err(Failure::Refused(error.clone()));
    }
    match command {
        Command::Agree(zeros) => {
            let agreed = |reply: &Reply| rules::parse_zero(&text(reply)?).ok_or_else(|| unexpected(reply));
            each(replies, zeros.len())?.into_iter().map(agreed).collect::<Result<_, _>>().map(Answer::Agreed)
        }
        Command::Alive(_) => {
            let left = |reply: &Reply| Ok(u64::try_from(integer(reply)?).ok());
            replies.iter().map(left).collect::<Result<_, _>>().map(Answer::Alive)
        }
        Command::Claim { streams, .. } => each(replies, streams.len())?
            .into_iter()
            .map(claimed)
            .collect::<Result<_, _>>()
            .map(Answer::Claimed),
        Command::Close { .. } | Command::Raise { .. } | Command::Release { .. } => Ok(Answer::Done),
        Command::Keep { streams, .. } => {
            let kept = |reply: &Reply| match reply {
                Reply::Nil => Ok(None),
                reply => number(reply).map(Some),
            };
            each(replies, streams.len())?.into_iter().map(kept).collect::<Result<_, _>>().map(Answer::Kept)
        }
        Command::Lookup(names) => {
            each(replies, names.len())?.into_iter().map(found).collect::<Result<_, _>>().map(Answer::Found)
        }
        Command::Open { .. } => Ok(Answer::Renewed(true)),
        Command::Renew { .. } => match replies {
            [reply] => integer(reply).map(|done| Answer::Renewed(done == 1)),
            _ => Err(nonsense("not one reply")),
        },
    }
}

/// The first step to a list of all routes: which keys are there from `cursor` on? 0 is the beginning. The reply is for
/// [`scanned`]. In a Redis Cluster every node is asked. The second step is a [`Command::Lookup`] of those names, the
/// replies to which are for [`routes`].
pub fn scan(cursor: u64) -> Call {
    let words = ["SCAN", &cursor.to_string(), "MATCH", "headwater:stream:{*", "COUNT", "512"];
    Call::Plain(words.iter().map(|word| word.as_bytes().to_vec()).collect())
}

/// The names that [`scan`]'s keys stand for, and the cursor of the next page, which is 0 if this was the last.
pub fn scanned(schema: &Schema, reply: &Reply) -> Result<(Vec<String>, u64), Failure> {
    let Reply::Array(parts) = reply else { return Err(unexpected(reply)) };
    let [cursor, Reply::Array(keys)] = &parts[..] else { return Err(unexpected(reply)) };
    let keys = keys.iter().map(text).collect::<Result<Vec<String>, _>>()?;
    let names = keys.iter().filter_map(|key| schema.name_of(key)).map(str::to_owned).collect();
    Ok((names, number(cursor)?))
}

/// What a lookup's replies say to somebody who wants to know everything. Whether the owners are alive is not known yet:
/// that is a [`Command::Alive`] of its own.
pub fn routes(replies: &[Reply], names: &[String]) -> Result<Vec<Route>, Failure> {
    let mut routes = Vec::new();
    for (name, reply) in names.iter().zip(each(replies, names.len())?) {
        let Reply::Array(parts) = reply else { return Err(unexpected(reply)) };
        let [entry, _] = &parts[..] else { return Err(unexpected(reply)) };
        let Some(entry) = Entry::parse(&lossy(entry)?) else { continue };
        routes.push(Route {
            name: name.clone(),
            epoch: entry.epoch,
            url: entry.url,
            since_ms: entry.since_ms,
            waiting: entry.waiting.into_iter().map(|waiting| waiting.url).collect(),
            alive: false,
        });
    }
    Ok(routes)
}

/// What a script said of each of `count` streams, over all calls.
fn each(replies: &[Reply], count: usize) -> Result<Vec<&Reply>, Failure> {
    let mut all = Vec::with_capacity(count);
    for reply in replies {
        let Reply::Array(parts) = reply else { return Err(unexpected(reply)) };
        all.extend(parts);
    }
    if all.len() == count { Ok(all) } else { Err(nonsense("another number of answers than was asked for")) }
}

fn claimed(reply: &Reply) -> Result<Claimed, Failure> {
    let Reply::Array(parts) = reply else { return Err(unexpected(reply)) };
    match &parts[..] {
        [kind, number_of] if text(kind)? == "owner" => Ok(Claimed::Owner { number: number(number_of)? }),
        [kind, url] if text(kind)? == "foreign" => Ok(Claimed::Foreign { url: lossy(url)? }),
        [kind, number_of, owner, url] if text(kind)? == "waiting" => {
            let owner = text(owner)?.parse().map_err(|_| nonsense("an owner that is no lease"))?;
            Ok(Claimed::Waiting { epoch: Epoch { number: number(number_of)?, owner }, url: lossy(url)? })
        }
        _ => Err(unexpected(reply)),
    }
}

fn found(reply: &Reply) -> Result<Found, Failure> {
    let Reply::Array(parts) = reply else { return Err(unexpected(reply)) };
    let [entry, plain] = &parts[..] else { return Err(unexpected(reply)) };
    let (entry, plain) = (lossy(entry)?, lossy(plain)?);
    let plain = (!plain.is_empty()).then_some(plain);
    Ok(Entry::parse(&entry).map_or_else(Found::default, Found::from).with_plain(plain))
}

fn integer(reply: &Reply) -> Result<i64, Failure> {
    match reply {
        Reply::Integer(number) => Ok(*number),
        other => Err(unexpected(other)),
    }
}

/// A number that was sent as text: Lua's own numbers lose what is behind the point, and more.
fn number(reply: &Reply) -> Result<u64, Failure> {
    text(reply)?.parse().map_err(|_| unexpected(reply))
}

fn text(reply: &Reply) -> Result<String, Failure> {
    match reply {
        Reply::Text(bytes) => {
            String::from_utf8(bytes.clone()).map_err(|_| nonsense("a text that is not UTF-8"))
        }
        other => Err(unexpected(other)),
    }
}

/// A value that anybody may have written.
fn lossy(reply: &Reply) -> Result<String, Failure> {
    match reply {
        Reply::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        other => Err(unexpected(other)),
    }
}

fn nonsense(what: &str) -> Failure {
    Failure::Nonsense(what.to_owned())
}

fn unexpected(reply: &Reply) -> Failure {
    let kind = match reply {
        Reply::Array(parts) => {
            return Failure::Nonsense(format!("a list of {} where it does not belong", parts.len()));
        }
        Reply::Error(_) => "an error",
        Reply::Integer(_) => "a number",
        Reply::Nil => "nothing",
        Reply::Text(_) => "a text",
    };
    Failure::Nonsense(format!("{kind} where it does not belong"))
}
