//! The embedded directory and the one in the modelled Redis, side by side and through time: the same answers.
#![allow(clippy::unwrap_used)]

use headwater_core::registry::redis::{Call, Reply as Told, Schema, answer};
use headwater_core::registry::{Answer, Claim, Command, Embedded, LeaseId, Name, Zero};
use headwater_net_sim::redis::{Database, Reply, Request, Session, Setup, directory_scripts};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn told(reply: &Reply) -> Told {
    match reply {
        Reply::Array(Some(parts)) => Told::Array(parts.iter().map(told).collect()),
        Reply::Array(None) | Reply::Bulk(None) => Told::Nil,
        Reply::Bulk(Some(bytes)) => Told::Text(bytes.clone()),
        Reply::Error(error) => Told::Error(error.clone()),
        Reply::Integer(number) => Told::Integer(*number),
        Reply::Simple(word) => Told::Text(word.as_bytes().to_vec()),
    }
}

/// The modelled server, as its clients see it.
struct Redis {
    schema: Schema,
    database: Database,
    session: Session,
}

impl Redis {
    fn new() -> Redis {
        let setup = Setup { scripts: directory_scripts(), ..Setup::default() };
        let schema = Schema { plain: false, ..Schema::default() };
        Redis { schema, database: Database::new(setup), session: Session::new(1) }
    }

    fn execute(&mut self, now_ms: u64, command: &Command) -> Answer {
        let mut replies = Vec::new();
        for call in self.schema.calls(command) {
            let request: Request = match call {
                Call::Plain(words) => words,
                Call::Script { text, keys, args } => {
                    let head = ["EVAL".to_owned(), text.to_owned(), keys.len().to_string()];
                    head.into_iter().chain(keys).chain(args).map(String::into_bytes).collect()
                }
            };
            let now_ms = i64::try_from(now_ms).unwrap();
            replies.push(told(&self.database.call(&mut self.session, now_ms, &request)));
        }
        answer(command, &replies).unwrap()
    }
}

fn commands() -> impl Strategy<Value = Command> {
    let lease = || (1_u64..=4).prop_map(LeaseId);
    let name = || "app/[a-c]";
    let url = |by: LeaseId, name: &str| format!("ovt://{by}:9000/{name}");
    let held = move |(by, names): (LeaseId, Vec<Name>)| {
        let streams: Vec<(Name, String)> =
            names.into_iter().map(|name| (name.clone(), url(by, &name))).collect();
        (by, streams)
    };
    prop_oneof![
        4 => (lease(), vec((name(), 0_u64..200_000, option::of(lease())), 0..4)).prop_map(move |(by, streams)| {
            let claim = |(name, floor, dead): (Name, u64, Option<LeaseId>)| Claim { url: url(by, &name), name, floor, dead };
            Command::Claim { by, streams: streams.into_iter().map(claim).collect() }
        }),
        2 => (lease(), vec(name(), 0..4)).prop_map(held).prop_map(|(by, streams)| Command::Keep { by, streams }),
        2 => (lease(), vec(name(), 0..4)).prop_map(held).prop_map(|(by, streams)| Command::Release { by, streams }),
        1 => (name(), 0_u64..200_000).prop_map(|(name, above)| Command::Raise { name, above }),
        2 => lease().prop_map(|by| Command::Open { by }),
        3 => lease().prop_map(|by| Command::Renew { by }),
        1 => lease().prop_map(|by| Command::Close { by }),
        2 => vec(lease(), 0..4).prop_map(Command::Alive),
        3 => vec(name(), 0..4).prop_map(Command::Lookup),
        2 => vec((name(), -12_000_i64..12_000, any::<bool>()), 0..4).prop_map(|zeros| {
            Command::Agree(zeros.into_iter().map(|(name, ms, keeps)| Zero { name, ms, keeps }).collect())
        }),
    ]
}

/// Often just as long as something lives, or a millisecond more or less.
fn spans() -> impl Strategy<Value = u64> {
    let about = prop_oneof![Just(1_000_u64), Just(3_000), Just(7_500), Just(60_000)];
    prop_oneof![3 => 0_u64..500, 1 => (about, 0_u64..=2).prop_map(|(about, more)| about + more - 1)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_stores_say_the_same(events in vec((spans(), commands()), 1..60)) {
        let (mut redis, mut embedded) = (Redis::new(), Embedded::default());
        let mut now_ms = 1_000;
        for (gone, command) in events {
            now_ms += gone;
            let said = (embedded.execute(now_ms, &command), redis.execute(now_ms, &command));
            prop_assert_eq!(&said.0, &said.1, "to {:?} at {}", command, now_ms);
        }
    }
}
