//! The commands, each as Redis 7.0 carries it out.

use super::database::{Call, Database, Entry, Name, sha1_hex};
use super::resp::{Reply, Request, integer};
use crate::trace::Hash64;

/// A command.
pub(super) struct Command {
    name: &'static str,
    /// How many words it has, itself included; at least so many if negative.
    arity: i32,
    pub(super) write: bool,
    /// It may be called before AUTH.
    pub(super) no_auth: bool,
    /// It may be called while the server loads.
    pub(super) loading: bool,
    /// It is carried out inside a transaction, and not queued.
    pub(super) control: bool,
    pub(super) run: Run,
}

type Run = fn(&mut Call<'_>, &Request) -> Reply;

/// The command that a request asks for, or what is wrong with it.
pub(super) fn find(request: &Request) -> Result<&'static Command, Reply> {
    let word = String::from_utf8_lossy(request.first().map_or(&[][..], Vec::as_slice)).into_owned();
    let Some(command) = COMMANDS.iter().find(|command| command.name.eq_ignore_ascii_case(&word)) else {
        let mut what = format!("unknown command '{:.128}', with args beginning with: ", word);
        for argument in request.iter().skip(1) {
            if what.len() > 128 + 46 {
                break;
            }
            what += &format!("'{:.128}' ", String::from_utf8_lossy(argument));
        }
        return Err(Reply::err(&what.replace(['\r', '\n'], " ")));
    };
    let words = i32::try_from(request.len()).unwrap_or(i32::MAX);
    if (command.arity >= 0 && words != command.arity) || words < -command.arity {
        return Err(wrong_number(&command.name.to_ascii_lowercase()));
    }
    subcommand(command, request)?;
    Ok(command)
}

/// Whether the second word is one that the command has, with as many words as it takes.
fn subcommand(command: &Command, request: &Request) -> Result<(), Reply> {
    if !SUBCOMMANDS.iter().any(|(container, ..)| *container == command.name) {
        return Ok(());
    }
    let word = request.get(1).map_or(&[][..], Vec::as_slice);
    let known = SUBCOMMANDS.iter().find(|(container, name, _)| {
        *container == command.name && name.as_bytes().eq_ignore_ascii_case(word)
    });
    let Some((container, name, arity)) = known else {
        let word = String::from_utf8_lossy(word);
        return Err(Reply::err(&format!("unknown subcommand '{word:.128}'. Try {} HELP.", command.name)));
    };
    let words = i32::try_from(request.len()).unwrap_or(i32::MAX);
    if (*arity >= 0 && words != *arity) || words < -arity {
        return Err(wrong_number(&format!("{container}|{name}").to_ascii_lowercase()));
    }
    Ok(())
}

/// Commands of commands: their arity counts both words.
const SUBCOMMANDS: [(&str, &str, i32); 7] = [
    ("CLIENT", "GETNAME", 2),
    ("CLIENT", "ID", 2),
    ("CLIENT", "SETINFO", 4),
    ("CLIENT", "SETNAME", 3),
    ("SCRIPT", "EXISTS", -3),
    ("SCRIPT", "FLUSH", -2),
    ("SCRIPT", "LOAD", 3),
];

const COMMANDS: [Command; 43] = [
    plain("AUTH", -2, auth).at_once(),
    plain("CLIENT", -2, client).anytime(),
    plain("DBSIZE", 1, dbsize),
    write("DECR", 2, |call, words| increase(call, &words[1], -1)),
    write("DEL", -2, del),
    control("DISCARD", 1, discard).anytime(),
    plain("ECHO", 2, |_, words| Reply::Bulk(Some(words[1].clone()))),
    plain("EVAL", -3, |call, words| {
        let hash = sha1_hex(&words[1]);
        call.database.loaded.insert(hash.clone());
        eval(call, words, &hash)
    }),
    plain("EVALSHA", -3, |call, words| {
        let hash = String::from_utf8_lossy(&words[1]).to_ascii_lowercase();
        eval(call, words, &hash)
    }),
    control("EXEC", 1, exec).anytime(),
    plain("EXISTS", -2, exists),
    write("EXPIRE", -3, |call, words| expire(call, words, 1_000, true)),
    write("EXPIREAT", -3, |call, words| expire(call, words, 1_000, false)),
    write("FLUSHALL", -1, flushall),
    plain("GET", 2, |call, words| bulk(value(call, &words[1]))),
    write("GETDEL", 2, getdel),
    plain("GETRANGE", 4, getrange),
    plain("HELLO", -1, hello).at_once(),
    write("INCR", 2, |call, words| increase(call, &words[1], 1)),
    write("INCRBY", 3, incrby),
    plain("INFO", -1, info).anytime(),
    plain("KEYS", 2, keys),
    plain("MGET", -2, mget),
    control("MULTI", 1, multi).anytime(),
    write("PERSIST", 2, persist),
    write("PEXPIRE", -3, |call, words| expire(call, words, 1, true)),
    write("PEXPIREAT", -3, |call, words| expire(call, words, 1, false)),
    plain("PING", -1, ping),
    plain("PTTL", 2, |call, words| ttl(call, &words[1], 1)),
    control("QUIT", -1, quit).at_once(),
    control("RESET", 1, reset).at_once(),
    plain("ROLE", 1, role).anytime(),
    plain("SCAN", -2, scan),
    plain("SCRIPT", -2, script),
    plain("SELECT", 2, select).anytime(),
    write("SET", -3, set),
    write("SETNX", 3, setnx),
    plain("STRLEN", 2, |call, words| {
        Reply::Integer(value(call, &words[1]).map_or(0, |value| value.len()) as i64)
    }),
    plain("TIME", 1, time).anytime(),
    plain("TTL", 2, |call, words| ttl(call, &words[1], 1_000)),
    write("UNLINK", -2, del),
    plain("UNWATCH", 1, unwatch).anytime(),
    control("WATCH", -2, watch).anytime(),
];

const fn plain(name: &'static str, arity: i32, run: Run) -> Command {
    Command { name, arity, write: false, no_auth: false, loading: false, control: false, run }
}

const fn write(name: &'static str, arity: i32, run: Run) -> Command {
    Command { write: true, ..plain(name, arity, run) }
}

const fn control(name: &'static str, arity: i32, run: Run) -> Command {
    Command { control: true, ..plain(name, arity, run) }
}

impl Command {
    const fn anytime(self) -> Command {
        Command { loading: true, ..self }
    }

    const fn at_once(self) -> Command {
        Command { loading: true, no_auth: true, ..self }
    }
}

// Connections.

fn auth(call: &mut Call<'_>, words: &Request) -> Reply {
    let (user, password) = match &words[1..] {
        [password] => {
            if call.database.setup.password.is_none() {
                return Reply::err(
                    "AUTH <password> called without any password configured for the default user. \
                     Are you sure your configuration is correct?",
                );
            }
            (&b"default"[..], password)
        }
        [user, password] => (&user[..], password),
        _ => return syntax(),
    };
    log_in(call, user, password).err().unwrap_or(Reply::OK)
}

fn log_in(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Result<(), Reply> {
    let setup = &call.database.setup;
    let right = match core::str::from_utf8(user) {
        Ok("default") => setup.password.as_ref().is_none_or(|known| known.as_bytes() == password),
        Ok(user) => setup.users.get(user).is_some_and(|known| known.as_bytes() == password),
        Err(_) => false,
    };
    if !right {
        let what = "WRONGPASS invalid username-password pair or user is disabled.";
        return Err(Reply::Error(what.to_owned()));
    }
    call.session.authenticated = true;
    Ok(())
}

/// The server speaks RESP2 only, as proxies do; Redis itself would go on to RESP3.
fn hello(call: &mut Call<'_>, words: &Request) -> Reply {
    let mut rest = &words[1..];
    if let [version, after @ ..] = rest {
        match integer(version) {
            None => return Reply::err("Protocol version is not an integer or out of range"),
            Some(2) => rest = after,
            Some(_) => return Reply::Error("NOPROTO unsupported protocol version".to_owned()),
        }
    }
    let mut name = None;
    while let [option, after @ ..] = rest {
        rest = match (&option.to_ascii_uppercase()[..], after) {
            (b"AUTH", [user, password, after @ ..]) => {
                if let Err(reply) = log_in(call, user, password) {
                    return reply;
                }
                after
            }
            (b"SETNAME", [wanted, after @ ..]) => {
                name = Some(wanted.clone());
                after
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Reply::err(&format!("Syntax error in HELLO option '{option}'"));
            }
        };
    }
    if call.database.setup.password.is_some() && !call.session.authenticated {
        return Reply::Error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at \
             the same time"
                .to_owned(),
        );
    }
    if let Some(name) = name {
        if let Some(reply) = bad_name(&name) {
            return reply;
        }
        call.session.name = name;
    }
    let role = if call.database.read_only { "replica" } else { "master" };
    let id = i64::try_from(call.session.id).unwrap_or(i64::MAX);
    Reply::Array(Some(vec![
        Reply::text("server"),
        Reply::text("redis"),
        Reply::text("version"),
        Reply::text(VERSION),
        Reply::text("proto"),
        Reply::Integer(2),
        Reply::text("id"),
        Reply::Integer(id),
        Reply::text("mode"),
        Reply::text("standalone"),
        Reply::text("role"),
        Reply::text(role),
        Reply::text("modules"),
        Reply::Array(Some(Vec::new())),
    ]))
}

fn client(call: &mut Call<'_>, words: &Request) -> Reply {
    match (&words[1].to_ascii_uppercase()[..], &words[2..]) {
        (b"SETNAME", [name]) => {
            if let Some(reply) = bad_name(name) {
                return reply;
            }
            call.session.name = name.clone();
            Reply::OK
        }
        (b"GETNAME", []) => {
            let name = &call.session.name;
            Reply::Bulk(if name.is_empty() { None } else { Some(name.clone()) })
        }
        (b"ID", []) => Reply::Integer(i64::try_from(call.session.id).unwrap_or(i64::MAX)),
        // Redis has it from 7.2 on; clients send it to any.
        (b"SETINFO", _) => Reply::OK,
        _ => Reply::err("unknown subcommand"),
    }
}

fn bad_name(name: &[u8]) -> Option<Reply> {
    let good = name.iter().all(|byte| (b'!'..=b'~').contains(byte));
    let what = "Client names cannot contain spaces, newlines or special characters.";
    if good { None } else { Some(Reply::err(what)) }
}

fn select(call: &mut Call<'_>, words: &Request) -> Reply {
    match integer(&words[1]).map(usize::try_from) {
        None => not_an_integer(),
        Some(Ok(db)) if db < DATABASES => {
            call.session.db = db;
            Reply::OK
        }
        Some(_) => Reply::err("DB index is out of range"),
    }
}

fn ping(_: &mut Call<'_>, words: &Request) -> Reply {
    match &words[1..] {
        [] => Reply::Simple("PONG"),
        [said] => Reply::Bulk(Some(said.clone())),
        _ => wrong_number("ping"),
    }
}

fn quit(call: &mut Call<'_>, _: &Request) -> Reply {
    call.session.quits = true;
    Reply::OK
}

fn reset(call: &mut Call<'_>, _: &Request) -> Reply {
    *call.session = super::Session::new(call.session.id);
    Reply::Simple("RESET")
}

/// To the millisecond.
fn time(call: &mut Call<'_>, _: &Request) -> Reply {
    let (seconds, micros) = (call.now_ms.div_euclid(1_000), call.now_ms.rem_euclid(1_000) * 1_000);
    Reply::Array(Some(vec![Reply::text(&seconds.to_string()), Reply::text(&micros.to_string())]))
}

fn info(call: &mut Call<'_>, _: &Request) -> Reply {
    let (role, loading) = (if call.database.read_only { "slave" } else { "master" }, call.database.loading);
    let loading = u8::from(loading);
    Reply::text(&format!(
        "# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\n\r\n\
         # Persistence\r\nloading:{loading}\r\n\r\n# Replication\r\nrole:{role}\r\n"
    ))
}

fn role(call: &mut Call<'_>, _: &Request) -> Reply {
    Reply::Array(Some(if call.database.read_only {
        let connected = Reply::text("connected");
        vec![
            Reply::text("slave"),
            Reply::text("10.255.0.1"),
            Reply::Integer(6_379),
            connected,
            Reply::Integer(0),
        ]
    } else {
        vec![Reply::text("master"), Reply::Integer(0), Reply::Array(Some(Vec::new()))]
    }))
}

// Strings.

fn named(call: &Call<'_>, key: &[u8]) -> Name {
    (call.session.db, key.to_vec())
}

fn entry(call: &mut Call<'_>, key: &[u8]) -> Option<Entry> {
    let name = named(call, key);
    call.database.get(&name, call.now_ms).cloned()
}

fn value(call: &mut Call<'_>, key: &[u8]) -> Option<Vec<u8>> {
    entry(call, key).map(|entry| entry.value)
}

fn put(call: &mut Call<'_>, key: &[u8], entry: Option<Entry>) {
    let name = named(call, key);
    call.database.put(name, call.now_ms, entry);
}

fn bulk(value: Option<Vec<u8>>) -> Reply {
    Reply::Bulk(value)
}

fn set(call: &mut Call<'_>, words: &Request) -> Reply {
    let (key, wanted) = (&words[1], &words[2]);
    let (mut only_new, mut only_old, mut gets, mut keeps) = (false, false, false, false);
    let mut expiry: Option<(&[u8], i64, bool)> = None;
    let mut rest = &words[3..];
    while let [option, after @ ..] = rest {
        rest = after;
        match &option.to_ascii_uppercase()[..] {
            b"NX" if !only_old => only_new = true,
            b"XX" if !only_new => only_old = true,
            b"GET" => gets = true,
            b"KEEPTTL" if expiry.is_none() => keeps = true,
            unit @ (b"EX" | b"PX" | b"EXAT" | b"PXAT") if !keeps => {
                let [number, after @ ..] = after else { return syntax() };
                let (scale, relative) = (if unit[0] == b'E' { 1_000 } else { 1 }, unit.len() == 2);
                // The same one may come again, and then the last one counts.
                if expiry.is_some_and(|(_, before, same)| (before, same) != (scale, relative)) {
                    return syntax();
                }
                expiry = Some((number, scale, relative));
                rest = after;
            }
            _ => return syntax(),
        }
    }
    let mut expires_ms = None;
    if let Some((number, scale, relative)) = expiry {
        let Some(number) = integer(number) else { return not_an_integer() };
        let at =
            number.checked_mul(scale).and_then(|ms| ms.checked_add(if relative { call.now_ms } else { 0 }));
        match at.filter(|_| number > 0) {
            Some(at) => expires_ms = Some(at),
            None => return Reply::err("invalid expire time in 'set' command"),
        }
    }
    let before = entry(call, key);
    let old = bulk(before.as_ref().map(|entry| entry.value.clone()));
    if (only_new && before.is_some()) || (only_old && before.is_none()) {
        return if gets { old } else { Reply::NIL };
    }
    if keeps {
        expires_ms = before.and_then(|entry| entry.expires_ms);
    }
    put(call, key, Some(Entry { value: wanted.clone(), expires_ms }));
    if gets { old } else { Reply::OK }
}

fn setnx(call: &mut Call<'_>, words: &Request) -> Reply {
    if entry(call, &words[1]).is_some() {
        return Reply::Integer(0);
    }
    put(call, &words[1], Some(Entry { value: words[2].clone(), expires_ms: None }));
    Reply::Integer(1)
}

fn getdel(call: &mut Call<'_>, words: &Request) -> Reply {
    let old = value(call, &words[1]);
    if old.is_some() {
        put(call, &words[1], None);
    }
    bulk(old)
}

/// Both ends are part of it; negative ones count from the end.
fn getrange(call: &mut Call<'_>, words: &Request) -> Reply {
    let (Some(from), Some(to)) = (integer(&words[2]), integer(&words[3])) else { return not_an_integer() };
    let value = value(call, &words[1]).unwrap_or_default();
    let len = i64::try_from(value.len()).unwrap_or(i64::MAX);
    if from < 0 && to < 0 && from > to {
        return Reply::text("");
    }
    let place = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (from, to) = (place(from), place(to).min(len - 1));
    let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to + 1).unwrap_or(0);
    Reply::Bulk(Some(value.get(range).unwrap_or_default().to_vec()))
}

fn del(call: &mut Call<'_>, words: &Request) -> Reply {
    let mut count = 0;
    for key in &words[1..] {
        if entry(call, key).is_some() {
            put(call, key, None);
            count += 1;
        }
    }
    Reply::Integer(count)
}

fn exists(call: &mut Call<'_>, words: &Request) -> Reply {
    Reply::Integer(words[1..].iter().filter(|key| entry(call, key).is_some()).count() as i64)
}

fn mget(call: &mut Call<'_>, words: &Request) -> Reply {
    Reply::Array(Some(words[1..].iter().map(|key| bulk(value(call, key))).collect()))
}

fn incrby(call: &mut Call<'_>, words: &Request) -> Reply {
    match integer(&words[2]) {
        Some(by) => increase(call, &words[1], by),
        None => not_an_integer(),
    }
}

fn increase(call: &mut Call<'_>, key: &[u8], by: i64) -> Reply {
    let before = entry(call, key);
    let Some(number) = before.as_ref().map_or(Some(0), |entry| integer(&entry.value)) else {
        return not_an_integer();
    };
    let Some(number) = number.checked_add(by) else {
        return Reply::err("increment or decrement would overflow");
    };
    let expires_ms = before.and_then(|entry| entry.expires_ms);
    put(call, key, Some(Entry { value: number.to_string().into_bytes(), expires_ms }));
    Reply::Integer(number)
}

// Expiry.

fn expire(call: &mut Call<'_>, words: &Request, scale: i64, relative: bool) -> Reply {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in &words[3..] {
        match &option.to_ascii_uppercase()[..] {
            b"NX" => nx = true,
            b"XX" => xx = true,
            b"GT" => gt = true,
            b"LT" => lt = true,
            _ => return Reply::err(&format!("Unsupported option {}", String::from_utf8_lossy(option))),
        }
    }
    if nx && (xx || gt || lt) {
        return Reply::err("NX and XX, GT or LT options at the same time are not compatible");
    }
    if gt && lt {
        return Reply::err("GT and LT options at the same time are not compatible");
    }
    let Some(number) = integer(&words[2]) else { return not_an_integer() };
    let base = if relative { call.now_ms } else { 0 };
    let Some(at) = number.checked_mul(scale).and_then(|ms| ms.checked_add(base)) else {
        let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
        return Reply::err(&format!("invalid expire time in '{name}' command"));
    };
    let Some(entry) = entry(call, &words[1]) else { return Reply::Integer(0) };
    let stays = match entry.expires_ms {
        // A key that never ends is later than any moment.
        None => xx || gt,
        Some(before) => nx || (gt && at <= before) || (lt && at >= before),
    };
    if stays {
        return Reply::Integer(0);
    }
    let over = at <= call.now_ms;
    let entry = Some(Entry { expires_ms: Some(at), ..entry }).filter(|_| !over);
    put(call, &words[1], entry);
    Reply::Integer(1)
}

fn persist(call: &mut Call<'_>, words: &Request) -> Reply {
    match entry(call, &words[1]) {
        Some(entry) if entry.expires_ms.is_some() => {
            put(call, &words[1], Some(Entry { expires_ms: None, ..entry }));
            Reply::Integer(1)
        }
        _ => Reply::Integer(0),
    }
}

fn ttl(call: &mut Call<'_>, key: &[u8], unit_ms: i64) -> Reply {
    Reply::Integer(match entry(call, key).map(|entry| entry.expires_ms) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => ((at - call.now_ms).max(0) + unit_ms / 2) / unit_ms,
    })
}

// Keys.

fn present(call: &mut Call<'_>) -> Vec<Vec<u8>> {
    let (db, now_ms) = (call.session.db, call.now_ms);
    let all = call.database.keys.range((db, Vec::new())..(db + 1, Vec::new()));
    all.filter(|(_, entry)| !entry.is_over(now_ms)).map(|((_, key), _)| key.clone()).collect()
}

fn dbsize(call: &mut Call<'_>, _: &Request) -> Reply {
    Reply::Integer(present(call).len() as i64)
}

fn keys(call: &mut Call<'_>, words: &Request) -> Reply {
    let found = present(call).into_iter().filter(|key| matches(&words[1], key));
    Reply::Array(Some(found.map(|key| bulk(Some(key))).collect()))
}

/// Keys are scanned in the order of their hashes, so that whatever is there all the time is found.
fn scan(call: &mut Call<'_>, words: &Request) -> Reply {
    let cursor = core::str::from_utf8(&words[1]).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(cursor) = cursor else { return Reply::err("invalid cursor") };
    let (mut count, mut pattern) = (10, &b"*"[..]);
    let mut rest = &words[2..];
    while let [option, after @ ..] = rest {
        rest = match (&option.to_ascii_uppercase()[..], after) {
            (b"COUNT", [number, after @ ..]) => {
                let Some(number) = integer(number) else { return not_an_integer() };
                let Some(number) = usize::try_from(number).ok().filter(|number| *number > 0) else {
                    return syntax();
                };
                count = number;
                after
            }
            (b"MATCH", [wanted, after @ ..]) => {
                pattern = wanted;
                after
            }
            _ => return syntax(),
        };
    }
    let mut hashed: Vec<(u64, Vec<u8>)> =
        present(call).into_iter().map(|key| (Hash64::of(&key) | 1, key)).collect();
    hashed.sort_unstable();
    let mut page = hashed.into_iter().filter(|(hash, _)| *hash > cursor).peekable();
    let (mut found, mut last) = (Vec::new(), 0);
    while let Some((hash, key)) = page.next_if(|(hash, _)| count > 0 || *hash == last) {
        count = count.saturating_sub(1);
        last = hash;
        if matches(pattern, &key) {
            found.push(bulk(Some(key)));
        }
    }
    let next = if page.peek().is_some() { last } else { 0 };
    Reply::Array(Some(vec![Reply::text(&next.to_string()), Reply::Array(Some(found))]))
}

fn flushall(call: &mut Call<'_>, words: &Request) -> Reply {
    match &words[1..] {
        [] => {}
        [how] if how.eq_ignore_ascii_case(b"ASYNC") || how.eq_ignore_ascii_case(b"SYNC") => {}
        _ => return syntax(),
    }
    let names: Vec<Name> = call.database.keys.keys().cloned().collect();
    for name in names {
        call.database.put(name, call.now_ms, None);
    }
    Reply::OK
}

/// Glob patterns as in Redis: `*`, `?`, `[abc]`, `[^a-c]` and a backslash before any of them.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    match pattern {
        [] => key.is_empty(),
        [b'*', rest @ ..] => (0..=key.len()).any(|skip| matches(rest, &key[skip..])),
        [b'?', rest @ ..] => !key.is_empty() && matches(rest, &key[1..]),
        [b'[', rest @ ..] => {
            let Some((first, after)) = key.split_first() else { return false };
            let (inside, rest) = class(rest, *first);
            inside && matches(rest, after)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            key.first() == Some(literal) && matches(rest, &key[1..])
        }
    }
}

/// Whether a byte is in the class that `pattern` begins with, and what follows the class.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut inside = false;
    loop {
        match rest {
            // A class that is not closed ends with the pattern.
            [] => return (inside != negated, rest),
            [b']', after @ ..] => return (inside != negated, after),
            [b'\\', literal, after @ ..] => {
                inside |= *literal == byte;
                rest = after;
            }
            [from, b'-', to, after @ ..] => {
                inside |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest = after;
            }
            [literal, after @ ..] => {
                inside |= *literal == byte;
                rest = after;
            }
        }
    }
}

// Transactions.

fn multi(call: &mut Call<'_>, _: &Request) -> Reply {
    if call.session.queue.is_some() {
        return Reply::err("MULTI calls can not be nested");
    }
    call.session.queue = Some(Vec::new());
    Reply::OK
}

fn discard(call: &mut Call<'_>, _: &Request) -> Reply {
    if call.session.queue.is_none() {
        return Reply::err("DISCARD without MULTI");
    }
    leave(call);
    Reply::OK
}

fn exec(call: &mut Call<'_>, _: &Request) -> Reply {
    let Some(queue) = call.session.queue.take() else { return Reply::err("EXEC without MULTI") };
    let (spoiled, watched) = (call.session.spoiled, core::mem::take(&mut call.session.watched));
    leave(call);
    if spoiled {
        return Reply::Error("EXECABORT Transaction discarded because of previous errors.".to_owned());
    }
    if watched.iter().any(|watched| call.database.has_changed(watched, call.now_ms)) {
        return Reply::Array(None);
    }
    let run = |request: &Request| match find(request) {
        Ok(command) => call.database.run(call.session, call.now_ms, command, request),
        Err(reply) => reply,
    };
    Reply::Array(Some(queue.iter().map(run).collect()))
}

fn leave(call: &mut Call<'_>) {
    call.session.queue = None;
    call.session.spoiled = false;
    call.session.watched.clear();
}

fn watch(call: &mut Call<'_>, words: &Request) -> Reply {
    if call.session.queue.is_some() {
        return Reply::err("WATCH inside MULTI is not allowed");
    }
    for key in &words[1..] {
        let watched = call.database.watch(named(call, key), call.now_ms);
        call.session.watched.push(watched);
    }
    Reply::OK
}

fn unwatch(call: &mut Call<'_>, _: &Request) -> Reply {
    call.session.watched.clear();
    Reply::OK
}

// Scripts.

fn eval(call: &mut Call<'_>, words: &Request, hash: &str) -> Reply {
    let Some(count) = integer(&words[2]) else { return not_an_integer() };
    let rest = &words[3..];
    if count > rest.len() as i64 {
        return Reply::err("Number of keys can't be greater than number of args");
    }
    let Ok(count) = usize::try_from(count) else {
        return Reply::err("Number of keys can't be negative");
    };
    if !call.database.loaded.contains(hash) {
        return Reply::Error("NOSCRIPT No matching script. Please use EVAL.".to_owned());
    }
    let Some(script) = call.database.script(hash) else {
        return Reply::err("this script was not given to the model");
    };
    let (keys, args) = (rest[..count].to_vec(), rest[count..].to_vec());
    let Call { database, session, now_ms, .. } = call;
    script(&mut Call { database, session, now_ms: *now_ms, keys, args })
}

fn script(call: &mut Call<'_>, words: &Request) -> Reply {
    match (&words[1].to_ascii_uppercase()[..], &words[2..]) {
        (b"LOAD", [text]) => {
            let hash = sha1_hex(text);
            call.database.loaded.insert(hash.clone());
            Reply::text(&hash)
        }
        (b"EXISTS", hashes @ [_, ..]) => {
            let known = |hash: &Vec<u8>| {
                let hash = String::from_utf8_lossy(hash).to_ascii_lowercase();
                Reply::Integer(i64::from(call.database.loaded.contains(&hash)))
            };
            Reply::Array(Some(hashes.iter().map(known).collect()))
        }
        (b"FLUSH", []) => {
            call.database.loaded.clear();
            Reply::OK
        }
        _ => syntax(),
    }
}

// Errors.

fn syntax() -> Reply {
    Reply::err("syntax error")
}

fn not_an_integer() -> Reply {
    Reply::err("value is not an integer or out of range")
}

fn wrong_number(command: &str) -> Reply {
    Reply::err(&format!("wrong number of arguments for '{command}' command"))
}

const DATABASES: usize = 16;
/// The version that the replies are those of.
const VERSION: &str = "7.0.15";

impl Database {
    /// Every command that the model knows, in the order of the alphabet.
    pub fn commands() -> impl Iterator<Item = &'static str> {
        COMMANDS.iter().map(|command| command.name)
    }
}
