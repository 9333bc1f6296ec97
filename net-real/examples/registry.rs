//! What the directory of streams costs: `cargo xtask bench registry` runs this. One JSON object on standard output.
//!
//! ```text
//! registry redis PORT STREAMS ORIGINS SECONDS PLAIN      on a redis-server that has nothing in it
//! registry embedded STREAMS
//! ```
//!
//! The origins are the announcers that servers have, each with a connection of its own, all on one thread.

use std::cell::RefCell;
use std::env;
use std::error::Error;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use headwater_core::config::{RedisServer, RedisServers};
use headwater_core::io::Endpoint;
use headwater_core::registry::announcer::{Announcer, Output, Told};
use headwater_core::registry::redis::{Call, Reply, Schema};
use headwater_core::registry::{Answer, Claim, Claimed, Command, Embedded, LeaseId};
use headwater_net_real::clock::Clock;
use headwater_net_real::registry::Client;
use headwater_net_real::tokio::TokioNet;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let figures = match arguments[..] {
        ["redis", port, streams, origins, seconds, plain] => {
            let world = World {
                redis: redis(port.parse()?),
                streams: streams.parse()?,
                origins: origins.parse()?,
                seconds: Duration::from_secs(seconds.parse()?),
                plain: plain.parse()?,
            };
            let runtime = Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, world.measure())?
        }
        ["embedded", streams] => embedded(streams.parse()?)?,
        _ => {
            return Err(
                "registry redis PORT STREAMS ORIGINS SECONDS PLAIN | registry embedded STREAMS".into()
            );
        }
    };
    println!("{figures}");
    Ok(())
}

struct World {
    redis: RedisServer,
    streams: usize,
    origins: usize,
    seconds: Duration,
    plain: bool,
}

/// What the origins have done.
#[derive(Default)]
struct Done {
    announced: usize,
    commands: u64,
    failures: u64,
}

impl World {
    async fn measure(self) -> Result<Value, Failed> {
        let mut operator = self.client()?;
        let empty = number_in(&info(&mut operator, "memory").await?, "used_memory")?;
        let done = Rc::new(RefCell::new(Done::default()));
        let began = Instant::now();
        for origin in 0..self.origins {
            let origin = announce(self.client()?, self.plain, self.names(origin), Rc::clone(&done));
            tokio::task::spawn_local(origin);
            // Servers do not all start in the same moment, and what they repeat is not repeated in the same moment.
            sleep(STARTING / u32::try_from(self.origins)?).await;
        }
        self.all_announced(&done, began).await?;

        sleep(SETTLING).await;
        let full = number_in(&info(&mut operator, "memory").await?, "used_memory")?;
        let before = (Instant::now(), self.counters(&mut operator).await?, done.borrow().commands);
        sleep(self.seconds).await;
        let after = (Instant::now(), self.counters(&mut operator).await?, done.borrow().commands);
        let elapsed = (after.0 - before.0).as_secs_f64();
        let lookups = self.lookups().await?;

        let (calm, failures) = (self.counters(&mut operator).await?, done.borrow().failures);
        done.borrow_mut().announced = 0;
        let began = Instant::now();
        operator.call(&[plain(&["FLUSHALL", "ASYNC"])]).await?;
        let again = self.all_announced(&done, began).await?;
        let filled = self.counters(&mut operator).await?;
        let keys = match operator.call(&[plain(&["DBSIZE"])]).await?[..] {
            [Reply::Integer(keys)] => keys,
            _ => return Err("DBSIZE is answered with a number".into()),
        };
        let per_s = |before: u64, after: u64| (after - before) as f64 / elapsed;
        Ok(json!({
            "plain_keys": self.plain,
            "streams": self.streams,
            "origins": self.origins,
            "commands_per_s": per_s(before.2, after.2),
            "redis_calls_per_s": per_s(before.1.calls, after.1.calls),
            "redis_cpu_percent": (after.1.cpu_s - before.1.cpu_s) / elapsed * 100.0,
            "lookups": lookups,
            "announced_again_s": again.as_secs_f64(),
            "announced_again_redis_cpu_s": filled.cpu_s - calm.cpu_s,
            "keys": keys,
            "bytes_per_route": full.saturating_sub(empty) as f64 / self.streams as f64,
            "failures": failures,
            "failures_again": done.borrow().failures - failures,
        }))
    }

    fn client(&self) -> Result<Client<TokioNet>, Failed> {
        let schema = Schema { plain: self.plain, ..Schema::default() };
        Ok(Client::new(TokioNet::default(), &self.redis, schema)?)
    }

    fn names(&self, origin: usize) -> Vec<(String, String)> {
        let each = (origin..self.streams).step_by(self.origins);
        each.map(|index| (name(index), format!("ovt://origin-{origin}.example.com:9000/{}", name(index))))
            .collect()
    }

    async fn all_announced(&self, done: &RefCell<Done>, began: Instant) -> Result<Duration, Failed> {
        while done.borrow().announced < self.streams {
            if began.elapsed() > Duration::from_secs(60) {
                return Err(format!("only {} streams are announced", done.borrow().announced).into());
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(began.elapsed())
    }

    async fn counters(&self, operator: &mut Client<TokioNet>) -> Result<Counters, Failed> {
        let stats = info(operator, "stats").await?;
        let cpu = info(operator, "cpu").await?;
        Ok(Counters {
            calls: number_in(&stats, "total_commands_processed")?,
            cpu_s: float_in(&cpu, "used_cpu_sys")? + float_in(&cpu, "used_cpu_user")?,
        })
    }

    /// One lookup after the other, of one stream each, while the origins go on.
    async fn lookups(&self) -> Result<Value, Failed> {
        let mut client = self.client()?;
        let mut took = Vec::new();
        let began = Instant::now();
        let mut index = 0;
        while began.elapsed() < self.seconds {
            index = (index + STRIDE) % self.streams;
            let asked = Instant::now();
            let answer = client.execute(&Command::Lookup(vec![name(index)])).await?;
            took.push(asked.elapsed());
            let Answer::Found(found) = answer else {
                return Err("a lookup is answered with what is found".into());
            };
            if found.first().is_none_or(|found| found.owner.is_none()) {
                return Err(format!("{} is not found", name(index)).into());
            }
        }
        took.sort_unstable();
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).map(|it| it.as_micros() as u64);
        Ok(
            json!({ "count": took.len(), "p50_us": at(0.5), "p99_us": at(0.99), "max_us": took.last().map(|it| it.as_micros() as u64) }),
        )
    }
}

struct Counters {
    calls: u64,
    cpu_s: f64,
}

/// An origin.
async fn announce(
    mut client: Client<TokioNet>,
    plain: bool,
    streams: Vec<(String, String)>,
    done: Rc<RefCell<Done>>,
) {
    let clock = Clock::system();
    let seed =
        streams.first().map_or(0, |(name, _)| name.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte)));
    let mut announcer = Announcer::new(plain, seed);
    for (name, url) in streams {
        announcer.announce(clock.now(), name, url);
    }
    loop {
        announcer.handle_timeout(clock.now());
        while let Some(output) = announcer.poll_output() {
            match output {
                Output::Ask(command) => {
                    let answer = client.execute(&command).await;
                    done.borrow_mut().commands += 1;
                    done.borrow_mut().failures += u64::from(answer.is_err());
                    announcer.answered(clock.now(), answer);
                }
                Output::Told(Told::Announced { .. }) => done.borrow_mut().announced += 1,
                Output::Told(_) => {}
            }
        }
        let now = clock.now().mono;
        let wait = announcer.poll_timeout().map_or(Duration::from_secs(1), |deadline| deadline.at.since(now));
        let _ = timeout(wait, std::future::pending::<()>()).await;
    }
}

fn embedded(streams: usize) -> Result<Value, Failed> {
    let (mut store, by, now_ms) = (Embedded::default(), LeaseId(1), 1_790_000_000_000);
    let empty = resident()?;
    store.execute(now_ms, &Command::Open { by });
    let (mut began, mut owned) = (processor_time()?, 0);
    for first in (0..streams).step_by(BATCH) {
        let claim = |index| Claim {
            name: name(index),
            url: format!("ovt://origin-{}.example.com:9000/{}", index % 100, name(index)),
            floor: 0,
            dead: None,
        };
        let claims = (first..streams.min(first + BATCH)).map(claim).collect();
        if let Answer::Claimed(claimed) = store.execute(now_ms, &Command::Claim { by, streams: claims }) {
            owned += claimed.iter().filter(|claimed| matches!(claimed, Claimed::Owner { .. })).count();
        }
    }
    let claimed = processor_time()? - began;
    let full = resident()?;
    let names: Vec<String> = (0..LOOKED_UP).map(|step| name(step * STRIDE % streams)).collect();
    let commands: Vec<Command> = names.into_iter().map(|name| Command::Lookup(vec![name])).collect();
    let (mut found, mut asked) = (0, 0_u64);
    began = processor_time()?;
    for _ in 0..ROUNDS {
        for command in &commands {
            let Answer::Found(all) = store.execute(now_ms, command) else { return Err("not found".into()) };
            found += u64::from(all.first().is_some_and(|it| it.owner.is_some()));
            asked += 1;
        }
    }
    let elapsed = processor_time()? - began;
    if owned != streams || found != asked {
        return Err("a stream is missing".into());
    }
    Ok(json!({
        "streams": streams,
        "claims_per_s": streams as f64 / claimed.as_secs_f64(),
        "lookups_per_s": asked as f64 / elapsed.as_secs_f64(),
        "bytes_per_route": full.saturating_sub(empty) as f64 / streams as f64,
    }))
}

fn redis(port: u16) -> RedisServer {
    RedisServer::from(RedisServers::Single(Endpoint { host: "127.0.0.1".to_owned(), port }))
}

fn name(index: usize) -> String {
    format!("app/stream-{index:07}")
}

fn plain(words: &[&str]) -> Call {
    Call::Plain(words.iter().map(|word| word.as_bytes().to_vec()).collect())
}

async fn info(operator: &mut Client<TokioNet>, section: &str) -> Result<String, Failed> {
    match &operator.call(&[plain(&["INFO", section])]).await?[..] {
        [Reply::Text(bytes)] => Ok(String::from_utf8_lossy(bytes).into_owned()),
        other => Err(format!("INFO is answered with {other:?}").into()),
    }
}

fn field<'i>(info: &'i str, name: &str) -> Result<&'i str, Failed> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.ok_or_else(|| format!("INFO has no {name}").into())
}

fn number_in(info: &str, name: &str) -> Result<u64, Failed> {
    Ok(field(info, name)?.trim().parse()?)
}

fn float_in(info: &str, name: &str) -> Result<f64, Failed> {
    Ok(field(info, name)?.trim().parse()?)
}

/// What this process, which has one thread, has had of a processor so far.
fn processor_time() -> Result<Duration, Failed> {
    let ran = fs::read_to_string("/proc/self/schedstat")?;
    Ok(Duration::from_nanos(ran.split(' ').next().unwrap_or_default().parse()?))
}

/// The memory of this process, in bytes.
fn resident() -> Result<u64, Failed> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Streams of one command.
const BATCH: usize = 64;

/// A prime: the streams are asked for in an order that no cache likes.
const STRIDE: usize = 7_919;

/// Different streams that are looked up in the embedded store.
const LOOKED_UP: usize = 200_000;

/// How often each of them is.
const ROUNDS: usize = 10;

/// How long it takes until all origins have started.
const STARTING: Duration = Duration::from_secs(5);

/// How long the origins go on before they are measured.
const SETTLING: Duration = Duration::from_secs(5);
