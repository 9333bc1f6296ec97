//! What the scripts of the directory of streams mean: the rules of [`headwater_core::registry::rules`], carried out on
//! the model's keys. A differential test holds this to what a real server makes of the Lua.
//!
//! Lua counts bytes and Rust characters; so every byte is read as the character of that number, and written back so.

use headwater_core::registry::entry::{Entry, VALUE_BYTES_MAX};
use headwater_core::registry::redis::{AGREE, CLAIM, KEEP, LOOKUP, RAISE, RELEASE};
use headwater_core::registry::rules::{self, Cell, Write, Writes};
use headwater_core::registry::{Claim, Claimed, LeaseId, Zero};

use super::database::{Call, Script};
use super::resp::{Reply, integer};

/// Every script of the directory, for [`super::Setup::scripts`].
pub fn directory_scripts() -> Vec<(&'static str, Script)> {
    vec![
        (AGREE, |call| reply(agree(call))),
        (CLAIM, |call| reply(claim(call))),
        (KEEP, |call| reply(keep(call))),
        (LOOKUP, |call| reply(lookup(call))),
        (RAISE, |call| reply(raise(call))),
        (RELEASE, |call| reply(release(call))),
    ]
}

/// What went wrong in a script is what it answers; what it wrote before stays written.
type Outcome = Result<Reply, Reply>;

fn reply(outcome: Outcome) -> Reply {
    outcome.unwrap_or_else(|error| error)
}

fn claim(call: &mut Call<'_>) -> Outcome {
    let (by, keys, [entry_ms, plain_ms, waiting_ms]) = head(call)?;
    check(waiting_ms == rules::WAITING_MS)?;
    let now_ms = clock(call)?;
    let each = streams(call, 5, 3)?.into_iter().map(|(stream, own)| {
        let claim = Claim {
            name: String::new(),
            url: own[0].clone(),
            floor: own[1].parse().map_err(|_| nonsense())?,
            dead: own[2].parse().ok(),
        };
        let mut cell = stream.load(call)?;
        let (claimed, writes) = rules::claim(&mut cell, now_ms, by, &claim, keys);
        stream.store(call, cell, writes, entry_ms, plain_ms)?;
        Ok(list(match claimed {
            Claimed::Foreign { url } => vec![Reply::text("foreign"), bytes(&url)],
            Claimed::Owner { number } => vec![Reply::text("owner"), Reply::text(&number.to_string())],
            Claimed::Waiting { epoch, url } => vec![
                Reply::text("waiting"),
                Reply::text(&epoch.number.to_string()),
                Reply::text(&epoch.owner.to_string()),
                bytes(&url),
            ],
        }))
    });
    each.collect::<Result<_, _>>().map(list)
}

fn agree(call: &mut Call<'_>) -> Outcome {
    let count_ms = number(call, 0)?;
    let keys = call.keys.to_vec();
    let each = keys.into_iter().enumerate().map(|(at, key)| {
        let asked = argument(call, 1 + 2 * at)?;
        let keeps = argument(call, 2 + 2 * at)? == "1";
        let zero = Zero { name: String::new(), ms: asked.parse().map_err(|_| nonsense())?, keeps };
        let there = characters(&read(call, &key));
        let count_ms = count_ms.to_string();
        if rules::agree(rules::parse_zero(&there), &zero).is_some() {
            done(call.redis(&[b"PEXPIRE", &key, count_ms.as_bytes()]))?;
            return Ok(Reply::text(&there));
        }
        done(call.redis(&[b"SET", &key, asked.as_bytes(), b"PX", count_ms.as_bytes()]))?;
        Ok(Reply::text(&asked))
    });
    each.collect::<Result<_, _>>().map(list)
}

fn keep(call: &mut Call<'_>) -> Outcome {
    let (by, keys, [entry_ms, plain_ms]) = head(call)?;
    let each = streams(call, 4, 1)?.into_iter().map(|(stream, own)| {
        let mut cell = stream.load(call)?;
        let (number, Writes { entry, plain }) = rules::keep(&mut cell, by, &own[0], keys);
        // The entry's time begins anew, and its text is left alone, whatever its form.
        if entry == Write::Set {
            done(call.redis(&[b"PEXPIRE", &stream.entry, entry_ms.to_string().as_bytes()]))?;
        }
        stream.store(call, cell, Writes { entry: Write::Leave, plain }, entry_ms, plain_ms)?;
        Ok(number.map_or(Reply::NIL, |number| Reply::text(&number.to_string())))
    });
    each.collect::<Result<_, _>>().map(list)
}

fn lookup(call: &mut Call<'_>) -> Outcome {
    let each = streams(call, 0, 0)?.into_iter().map(|(stream, _)| {
        let read = [read(call, &stream.entry), read(call, &stream.plain)];
        Ok(list(read.map(|value| Reply::Bulk(Some(value))).into()))
    });
    each.collect::<Result<_, _>>().map(list)
}

fn raise(call: &mut Call<'_>) -> Outcome {
    let (above, entry_ms) = (number(call, 0)?, number(call, 1)?);
    let now_ms = clock(call)?;
    for (stream, _) in streams(call, 2, 0)? {
        let mut cell = stream.load(call)?;
        let writes = rules::raise(&mut cell, now_ms, above);
        stream.store(call, cell, writes, entry_ms, 0)?;
    }
    Ok(Reply::Integer(1))
}

fn release(call: &mut Call<'_>) -> Outcome {
    let (by, keys, [entry_ms, plain_ms]) = head(call)?;
    let now_ms = clock(call)?;
    for (stream, own) in streams(call, 4, 1)? {
        let mut cell = stream.load(call)?;
        let writes = rules::release(&mut cell, now_ms, by, &own[0], keys);
        stream.store(call, cell, writes, entry_ms, plain_ms)?;
    }
    Ok(Reply::Integer(1))
}

/// The keys of one stream.
struct Stream {
    entry: Vec<u8>,
    plain: Vec<u8>,
}

impl Stream {
    fn load(&self, call: &mut Call<'_>) -> Result<Cell, Reply> {
        let (entry, plain) = (read(call, &self.entry), read(call, &self.plain));
        let plain = Some(characters(&plain)).filter(|plain| !plain.is_empty());
        Ok(Cell { entry: Entry::parse(&characters(&entry)), plain })
    }

    fn store(
        &self,
        call: &mut Call<'_>,
        cell: Cell,
        writes: Writes,
        entry_ms: u64,
        plain_ms: u64,
    ) -> Result<(), Reply> {
        let entry = cell.entry.map(|entry| entry.text());
        for (write, key, value, ms) in
            [(writes.entry, &self.entry, entry, entry_ms), (writes.plain, &self.plain, cell.plain, plain_ms)]
        {
            match (write, value) {
                (Write::Leave, _) => {}
                (Write::Set, None) => done(call.redis(&[b"DEL", key]))?,
                (Write::Set, Some(value)) => {
                    let ms = ms.to_string();
                    done(call.redis(&[b"SET", key, &octets(&value), b"PX", ms.as_bytes()]))?;
                }
            }
        }
        Ok(())
    }
}

/// The owner, whether plain keys are written, and the times that follow.
fn head<const N: usize>(call: &Call<'_>) -> Result<(LeaseId, bool, [u64; N]), Reply> {
    let by = argument(call, 0)?.parse().map_err(|_| nonsense())?;
    let mut times = [0; N];
    for (at, time) in times.iter_mut().enumerate() {
        *time = number(call, 2 + at)?;
    }
    Ok((by, argument(call, 1)? == "1", times))
}

/// Each stream's keys and the `width` arguments of its own, which begin behind the first `skip`.
fn streams(call: &Call<'_>, skip: usize, width: usize) -> Result<Vec<(Stream, Vec<String>)>, Reply> {
    let pairs = call.keys.chunks_exact(2).enumerate();
    let each = pairs.map(|(at, keys)| {
        let own = (0..width).map(|word| argument(call, skip + at * width + word));
        let stream = Stream { entry: keys[0].clone(), plain: keys[1].clone() };
        Ok((stream, own.collect::<Result<_, _>>()?))
    });
    each.collect()
}

fn argument(call: &Call<'_>, at: usize) -> Result<String, Reply> {
    call.args.get(at).map(|word| characters(word)).ok_or_else(nonsense)
}

fn number(call: &Call<'_>, at: usize) -> Result<u64, Reply> {
    argument(call, at)?.parse().map_err(|_| nonsense())
}

fn clock(call: &mut Call<'_>) -> Result<u64, Reply> {
    let time = call.redis(&[b"TIME"]);
    let Reply::Array(Some(parts)) = &time else { return Err(time) };
    let part = |at: usize| match parts.get(at) {
        Some(Reply::Bulk(Some(text))) => integer(text).and_then(|part| u64::try_from(part).ok()),
        _ => None,
    };
    match (part(0), part(1)) {
        (Some(seconds), Some(micros)) => Ok(seconds * 1_000 + micros / 1_000),
        _ => Err(nonsense()),
    }
}

fn read(call: &mut Call<'_>, key: &[u8]) -> Vec<u8> {
    match call.redis(&[b"GETRANGE", key, b"0", (VALUE_BYTES_MAX - 1).to_string().as_bytes()]) {
        Reply::Bulk(Some(value)) => value,
        _ => Vec::new(),
    }
}

fn done(reply: Reply) -> Result<(), Reply> {
    if matches!(reply, Reply::Error(_)) { Err(reply) } else { Ok(()) }
}

fn check(holds: bool) -> Result<(), Reply> {
    if holds { Ok(()) } else { Err(nonsense()) }
}

fn nonsense() -> Reply {
    Reply::err("the model does not understand these arguments")
}

fn list(parts: Vec<Reply>) -> Reply {
    Reply::Array(Some(parts))
}

fn bytes(text: &str) -> Reply {
    Reply::Bulk(Some(octets(text)))
}

fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect()
}
