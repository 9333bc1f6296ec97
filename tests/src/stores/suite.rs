//! What every store must do. Each function is one rule; names of streams and owners are its own, so that all of them
//! can run against one store, in any order, one after the other.

use std::time::Duration;

use headwater_core::registry::entry::{ENTRY_URL_BYTES_MAX, VALUE_BYTES_MAX, WAITING_MAX};
use headwater_core::registry::redis::Reply;
use headwater_core::registry::rules::{ENTRY_MS, LEASE_MS, PLAIN_MS, WAITING_MS};
use headwater_core::registry::{Answer, Claim, Claimed, Command, Epoch, Found, LeaseId, Zero};

use super::{Keys, Store};

/// A rule of all stores.
pub type Rule = (&'static str, fn(&mut dyn Store));

/// A rule of stores that are a Redis, and write plain keys.
pub type KeyRule = (&'static str, fn(&mut dyn Keys));

/// The rules of all stores.
pub const RULES: &[Rule] = &[
    ("an owner lives as long as it is heard of", an_owner_lives_as_long_as_it_is_heard_of),
    ("nobody has nothing", nobody_has_nothing),
    ("the first who claims owns", the_first_who_claims_owns),
    ("epochs grow", epochs_grow),
    ("who gives up hands over to the first in line", who_gives_up_hands_over_to_the_first_in_line),
    ("who does not claim again waits no more", who_does_not_claim_again_waits_no_more),
    ("who gives up waiting waits no more", who_gives_up_waiting_waits_no_more),
    ("the line is bounded", the_line_is_bounded),
    ("a dead owner is succeeded", a_dead_owner_is_succeeded),
    ("only the dead are succeeded", only_the_dead_are_succeeded),
    ("a stale owner changes nothing", a_stale_owner_changes_nothing),
    ("an epoch is raised above what was seen", an_epoch_is_raised_above_what_was_seen),
    ("what is not kept ends", what_is_not_kept_ends),
    ("a command twice is a command once", a_command_twice_is_a_command_once),
    ("many streams go in one command", many_streams_go_in_one_command),
    ("names and URLs may be odd", names_and_urls_may_be_odd),
    ("time zeros are agreed on", time_zeros_are_agreed_on),
];

/// The rules of stores that are a Redis, and write plain keys.
pub const KEYS: &[KeyRule] = &[
    ("plain keys are as OvenMediaEngine reads them", plain_keys_are_as_oven_media_engine_reads_them),
    ("plain keys follow the owner", plain_keys_follow_the_owner),
    ("plain keys of others are respected", plain_keys_of_others_are_respected),
    ("plain keys that are no URLs are written over", plain_keys_that_are_no_urls_are_written_over),
    ("entries that are none are written over", entries_that_are_none_are_written_over),
    ("odd and huge values are found and do no harm", odd_and_huge_values_are_found_and_do_no_harm),
    ("a store that lost its data is filled again", a_store_that_lost_its_data_is_filled_again),
    ("a store that lost its scripts is sent them again", a_store_that_lost_its_scripts_is_sent_them_again),
];

/// Runs [`RULES`], and says which one is broken.
pub fn rules(store: &mut dyn Store) {
    for (name, rule) in RULES {
        eprintln!("  {name}");
        rule(store);
    }
}

/// Runs [`RULES`] and [`KEYS`], and says which one is broken.
pub fn all(store: &mut dyn Keys) {
    for (name, rule) in RULES {
        eprintln!("  {name}");
        rule(store);
    }
    for (name, rule) in KEYS {
        eprintln!("  {name}");
        rule(store);
    }
}

fn an_owner_lives_as_long_as_it_is_heard_of(store: &mut dyn Store) {
    let [a, b] = owners(store, 0x100);
    assert!(left(store, a).is_some_and(|left| left <= LEASE_MS), "alive, and not for ever");
    store.advance(ms(LEASE_MS - 1_000));
    assert_eq!(store.execute(Command::Renew { by: a }), Answer::Renewed(true));
    store.advance(ms(LEASE_MS - 1_000));
    assert!(left(store, a).is_some_and(|left| left <= LEASE_MS));
    assert_eq!(left(store, b), None, "b was not heard of");
    assert_eq!(store.execute(Command::Renew { by: b }), Answer::Renewed(false), "the dead are not woken");
    assert_eq!(left(store, b), None);
    assert_eq!(store.execute(Command::Close { by: a }), Answer::Done);
    assert_eq!(store.execute(Command::Alive(vec![a, b, LeaseId(0x1ff)])), Answer::Alive(vec![None; 3]));
}

fn time_zeros_are_agreed_on(store: &mut dyn Store) {
    let mut agree = |name: &str, ms, keeps| {
        let zero = Zero { name: name.to_owned(), ms, keeps };
        match store.execute(Command::Agree(vec![zero])) {
            Answer::Agreed(agreed) => agreed[0],
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(agree("time/a", 1_790_000_000_000, false), 1_790_000_000_000, "the first says");
    assert_eq!(agree("time/a", 1_790_000_004_000, false), 1_790_000_000_000, "others who are near follow");
    assert_eq!(agree("time/b", 1_790_000_004_000, false), 1_790_000_004_000, "each stream has its own");
    assert_eq!(
        agree("time/a", 1_790_000_100_000, true),
        1_790_000_000_000,
        "who is there already overrules nobody"
    );
    assert_eq!(agree("time/a", 1_790_000_100_000, false), 1_790_000_100_000, "another time zero is another");
    assert_eq!(agree("time/a", 1_790_000_100_000, true), 1_790_000_100_000);
    assert_eq!(agree("time/c", -5_000, true), -5_000, "before 1970, and after the store lost its data");
    store.advance(ms(ENTRY_MS + 1_000));
    let late = vec![Zero { name: "time/c".to_owned(), ms: -4_000, keeps: true }];
    assert_eq!(store.execute(Command::Agree(late)), Answer::Agreed(vec![-4_000]), "what is not kept ends");
    assert_eq!(store.execute(Command::Agree(Vec::new())), Answer::Agreed(Vec::new()));
}

fn nobody_has_nothing(store: &mut dyn Store) {
    let [a] = owners(store, 0x200);
    let name = "nobody/has";
    assert_eq!(find(store, name), Found::default());
    assert_eq!(keep(store, a, name, "ovt://a:1/nobody/has"), None);
    release(store, a, name, "ovt://a:1/nobody/has");
    raise(store, name, 5);
    assert_eq!(find(store, name), Found::default());
    assert_eq!(store.execute(Command::Lookup(Vec::new())), Answer::Found(Vec::new()));
    assert_eq!(store.execute(Command::Claim { by: a, streams: Vec::new() }), Answer::Claimed(Vec::new()));
}

fn the_first_who_claims_owns(store: &mut dyn Store) {
    let [a, b] = owners(store, 0x300);
    let name = "first/claims";
    let number = own(store, a, name);
    let epoch = Epoch { number, owner: a };
    assert_eq!(owner(store, name), Some((epoch, url(a, name))));
    assert_eq!(claim(store, b, name, 0, None), Claimed::Waiting { epoch, url: url(a, name) });
    assert_eq!(own(store, a, name), number, "claiming again changes nothing");
    assert_eq!(keep(store, a, name, &url(a, name)), Some(number));
    assert_eq!(keep(store, b, name, &url(b, name)), None);
    assert_eq!(owner(store, name), Some((epoch, url(a, name))));
}

fn epochs_grow(store: &mut dyn Store) {
    let [a, b] = owners(store, 0x400);
    let name = "epochs/grow";
    let first = own(store, a, name);
    release(store, a, name, &url(a, name));
    assert_eq!(owner(store, name), None);
    let Claimed::Owner { number: second } = claim(store, b, name, first, None) else { panic!("b owns") };
    assert!(second > first, "{second} after {first}");
    let far = second + 1_000_000_000;
    let Claimed::Owner { number: third } = claim(store, b, name, far, None) else { panic!("b owns") };
    assert!(third > far, "{third} above {far}");
    assert_eq!(own(store, b, name), third, "a lower floor changes nothing");
    release(store, b, name, &url(b, name));
    let Claimed::Owner { number: fourth } = claim(store, a, name, third, None) else { panic!("a owns") };
    assert!(fourth > third, "{fourth} after {third}");
}

fn who_gives_up_hands_over_to_the_first_in_line(store: &mut dyn Store) {
    let [a, b, c] = owners(store, 0x500);
    let name = "hands/over";
    let first = own(store, a, name);
    wait(store, b, name);
    wait(store, c, name);
    wait(store, b, name);
    release(store, a, name, &url(a, name));
    let Some((epoch, at)) = owner(store, name) else { panic!("somebody owns it") };
    assert_eq!((epoch.owner, at), (b, url(b, name)), "the first in line");
    assert!(epoch.number > first, "{} after {first}", epoch.number);
    assert_eq!(own(store, b, name), epoch.number, "it learns so when it claims again");
    release(store, b, name, &url(b, name));
    assert_eq!(owner(store, name).map(|(epoch, at)| (epoch.owner, at)), Some((c, url(c, name))));
    release(store, c, name, &url(c, name));
    assert_eq!(owner(store, name), None);
}

fn who_does_not_claim_again_waits_no_more(store: &mut dyn Store) {
    let [a, b, c] = owners(store, 0x600);
    let name = "waits/no/more";
    let number = own(store, a, name);
    wait(store, b, name);
    wait(store, c, name);
    store.advance(ms(WAITING_MS - 2_000));
    wait(store, c, name);
    store.advance(ms(4_000));
    assert_eq!(keep(store, a, name, &url(a, name)), Some(number));
    release(store, a, name, &url(a, name));
    assert_eq!(owner(store, name).map(|(epoch, _)| epoch.owner), Some(c), "b has not claimed for too long");
}

fn who_gives_up_waiting_waits_no_more(store: &mut dyn Store) {
    let [a, b] = owners(store, 0x700);
    let name = "gives/up";
    let number = own(store, a, name);
    wait(store, b, name);
    release(store, b, name, &url(b, name));
    assert_eq!(owner(store, name), Some((Epoch { number, owner: a }, url(a, name))));
    release(store, a, name, &url(a, name));
    assert_eq!(owner(store, name), None);
}

fn the_line_is_bounded(store: &mut dyn Store) {
    let [a, late] = owners(store, 0x800);
    let name = "bounded/line";
    own(store, a, name);
    let line: Vec<LeaseId> = (0x810..).take(WAITING_MAX).map(LeaseId).collect();
    for owner in &line {
        wait(store, *owner, name);
    }
    wait(store, late, name);
    release(store, a, name, &url(a, name));
    for next in line {
        assert_eq!(owner(store, name).map(|(epoch, _)| epoch.owner), Some(next));
        release(store, next, name, &url(next, name));
    }
    assert_eq!(owner(store, name), None, "there was no room for the last one");
}

fn a_dead_owner_is_succeeded(store: &mut dyn Store) {
    let [a] = owners(store, 0x900);
    let name = "dead/owner";
    let first = own(store, a, name);
    store.advance(ms(LEASE_MS + 100));
    assert_eq!(left(store, a), None);
    let [b, c] = owners(store, 0x910);
    wait(store, b, name);
    wait(store, c, name);
    let Claimed::Owner { number } = claim(store, c, name, 0, Some(a)) else { panic!("c owns it") };
    assert!(number > first, "{number} after {first}");
    assert_eq!(owner(store, name), Some((Epoch { number, owner: c }, url(c, name))));
    let waits = Claimed::Waiting { epoch: Epoch { number, owner: c }, url: url(c, name) };
    assert_eq!(claim(store, b, name, 0, Some(a)), waits, "a is dead, and no owner any more");
    release(store, c, name, &url(c, name));
    assert_eq!(owner(store, name).map(|(epoch, _)| epoch.owner), Some(b), "who waited still does");
}

fn only_the_dead_are_succeeded(store: &mut dyn Store) {
    let [a, b] = owners(store, 0xa00);
    let name = "only/dead";
    let number = own(store, a, name);
    let waits = Claimed::Waiting { epoch: Epoch { number, owner: a }, url: url(a, name) };
    assert_eq!(claim(store, b, name, 0, Some(LeaseId(0xaff))), waits, "another is dead, not a");
    assert_eq!(claim(store, b, name, 0, None), waits);
    assert_eq!(owner(store, name).map(|(epoch, _)| epoch), Some(Epoch { number, owner: a }));
}

fn a_stale_owner_changes_nothing(store: &mut dyn Store) {
    let [a, b] = owners(store, 0xb00);
    let name = "stale/owner";
    own(store, a, name);
    let Claimed::Owner { number } = claim(store, b, name, 0, Some(a)) else { panic!("b owns it") };
    let before = find(store, name);
    assert_eq!(keep(store, a, name, &url(a, name)), None, "it learns that it has lost");
    release(store, a, name, &url(a, name));
    assert_eq!(find(store, name), before);
    let epoch = Epoch { number, owner: b };
    assert_eq!(claim(store, a, name, 0, None), Claimed::Waiting { epoch, url: url(b, name) });
    assert_eq!(owner(store, name), Some((epoch, url(b, name))));
}

fn an_epoch_is_raised_above_what_was_seen(store: &mut dyn Store) {
    let [a, b] = owners(store, 0xc00);
    let name = "raised/epoch";
    let number = own(store, a, name);
    raise(store, name, number - 1);
    assert_eq!(keep(store, a, name, &url(a, name)), Some(number), "it is above already");
    wait(store, b, name);
    raise(store, name, number + 5_000_000);
    let raised = keep(store, a, name, &url(a, name)).expect("a owns it");
    assert!(raised > number + 5_000_000, "{raised}");
    assert_eq!(owner(store, name), Some((Epoch { number: raised, owner: a }, url(a, name))));
    release(store, a, name, &url(a, name));
    assert_eq!(owner(store, name).map(|(epoch, _)| epoch.owner), Some(b), "who waited still does");
}

fn what_is_not_kept_ends(store: &mut dyn Store) {
    let [a, b] = owners(store, 0xd00);
    let name = "not/kept";
    let number = own(store, a, name);
    store.advance(ms(ENTRY_MS - 20_000));
    assert_eq!(keep(store, a, name, &url(a, name)), Some(number));
    store.advance(ms(ENTRY_MS - 20_000));
    assert_eq!(owner(store, name).map(|(epoch, _)| epoch.number), Some(number), "it was kept");
    store.advance(ms(20_100));
    assert_eq!(owner(store, name), None);
    assert_eq!(keep(store, a, name, &url(a, name)), None);
    let Claimed::Owner { number: second } = claim(store, b, name, number, None) else { panic!("b owns it") };
    assert!(second > number, "{second} after {number}");
}

fn a_command_twice_is_a_command_once(store: &mut dyn Store) {
    let [a, b, c] = owners(store, 0xe00);
    let name = "twice/once";
    let number = own(store, a, name);
    assert_eq!(own(store, a, name), number);
    wait(store, b, name);
    wait(store, c, name);
    release(store, a, name, &url(a, name));
    let handed = owner(store, name).expect("b owns it");
    release(store, a, name, &url(a, name));
    assert_eq!(owner(store, name), Some(handed));
    let Claimed::Owner { number } = claim(store, c, name, 0, Some(b)) else { panic!("c owns it") };
    assert_eq!(claim(store, c, name, 0, Some(b)), Claimed::Owner { number });
    assert_eq!(store.execute(Command::Open { by: a }), Answer::Renewed(true));
    assert_eq!(store.execute(Command::Close { by: a }), Answer::Done);
    assert_eq!(store.execute(Command::Close { by: a }), Answer::Done);
}

fn many_streams_go_in_one_command(store: &mut dyn Store) {
    let [a, b] = owners(store, 0xf00);
    let names: Vec<String> = (0..256).map(|index| format!("many/s{index}")).collect();
    let places: Vec<(String, String)> = names.iter().map(|name| (name.clone(), url(a, name))).collect();
    let claims = |by| {
        let each =
            names.iter().map(|name| Claim { name: name.clone(), url: url(by, name), floor: 0, dead: None });
        Command::Claim { by, streams: each.collect() }
    };
    let taken = own(store, b, &names[7]);
    let Answer::Claimed(claimed) = store.execute(claims(a)) else { panic!("claims are answered") };
    assert_eq!(claimed.len(), 256);
    for (index, claimed) in claimed.iter().enumerate() {
        match claimed {
            Claimed::Owner { .. } => assert_ne!(index, 7),
            other => assert_eq!(
                (index, other),
                (7, &Claimed::Waiting { epoch: Epoch { number: taken, owner: b }, url: url(b, &names[7]) })
            ),
        }
    }
    let Answer::Kept(kept) = store.execute(Command::Keep { by: a, streams: places.clone() }) else {
        panic!("keeping is answered")
    };
    assert_eq!(kept.iter().filter(|kept| kept.is_some()).count(), 255);
    assert_eq!(kept[7], None);
    let Answer::Found(found) = store.execute(Command::Lookup(names.clone())) else {
        panic!("lookups are answered")
    };
    for ((found, (_, place)), index) in found.iter().zip(&places).zip(0..) {
        assert_eq!(found.owner.as_ref().is_some_and(|(_, url)| url == place), index != 7);
    }
    assert_eq!(store.execute(Command::Release { by: a, streams: places }), Answer::Done);
    let Answer::Found(found) = store.execute(Command::Lookup(names)) else { panic!("lookups are answered") };
    assert_eq!(found.iter().filter(|found| found.owner.is_some()).count(), 1);
}

fn names_and_urls_may_be_odd(store: &mut dyn Store) {
    let [a, b] = owners(store, 0x1000);
    let long = "x".repeat(200);
    let names = [
        "odd/späť und zurück",
        "odd/a b",
        "odd/*?[x]",
        "odd/'\"",
        "odd/%s%d",
        "odd/{x}y",
        "odd/}{",
        "odd/{}",
        "odd/-1",
        "odd/$-1\\r\\n",
        "odd/1 2 3",
        &long,
        "odd",
    ];
    for name in names {
        let number = own(store, a, name);
        assert_eq!(owner(store, name), Some((Epoch { number, owner: a }, url(a, name))), "{name}");
        wait(store, b, name);
        release(store, a, name, &url(a, name));
        assert_eq!(
            owner(store, name).map(|(epoch, at)| (epoch.owner, at)),
            Some((b, url(b, name))),
            "{name}"
        );
        release(store, b, name, &url(b, name));
        assert_eq!(owner(store, name), None, "{name}");
    }
    let longest = format!("ovt://a:1/{}", "y".repeat(ENTRY_URL_BYTES_MAX - 10));
    let streams = vec![Claim { name: "odd/long".to_owned(), url: longest.clone(), floor: 0, dead: None }];
    assert!(matches!(store.execute(Command::Claim { by: a, streams }), Answer::Claimed(_)));
    assert_eq!(owner(store, "odd/long").map(|(_, at)| at), Some(longest));
}

fn plain_keys_are_as_oven_media_engine_reads_them(store: &mut dyn Keys) {
    let [a] = owners(store, 0x2000);
    let name = "plain/key";
    own(store, a, name);
    assert_eq!(plain(store, name), Some(url(a, name)));
    let (key, at_most) = (store.schema().plain_key(name), i64::try_from(PLAIN_MS).expect("10 s fit"));
    let left = |store: &mut dyn Keys| match store.call(&[b"PTTL", key.as_bytes()]) {
        Reply::Integer(left) => left,
        other => panic!("{other:?}"),
    };
    assert!((at_most - 2_000..=at_most).contains(&left(store)));
    store.advance(ms(PLAIN_MS - 2_000));
    assert!(left(store) <= 2_000);
    keep(store, a, name, &url(a, name)).expect("a owns it");
    assert!((at_most - 2_000..=at_most).contains(&left(store)), "it is kept");
    store.advance(ms(PLAIN_MS + 100));
    assert_eq!(plain(store, name), None, "it was not kept");
    keep(store, a, name, &url(a, name)).expect("a owns it still");
    assert_eq!(plain(store, name), Some(url(a, name)), "and is there again");
    release(store, a, name, &url(a, name));
    assert_eq!(find(store, name), Found::default());
}

fn plain_keys_follow_the_owner(store: &mut dyn Keys) {
    let [a, b] = owners(store, 0x2100);
    let name = "plain/follows";
    own(store, a, name);
    wait(store, b, name);
    assert_eq!(plain(store, name), Some(url(a, name)), "who waits leaves it alone");
    release(store, a, name, &url(a, name));
    assert_eq!(plain(store, name), Some(url(b, name)));
    let Claimed::Owner { .. } = claim(store, a, name, 0, Some(b)) else { panic!("a owns it") };
    assert_eq!(plain(store, name), Some(url(a, name)), "b is dead, its key is not respected");
    release(store, b, name, &url(b, name));
    keep(store, b, name, &url(b, name));
    assert_eq!(plain(store, name), Some(url(a, name)), "a stale owner harms no key");
}

fn plain_keys_of_others_are_respected(store: &mut dyn Keys) {
    let [a] = owners(store, 0x2200);
    let name = "plain/foreign";
    let foreign = "ovt://ome:9000/plain/foreign";
    set_plain(store, name, foreign.as_bytes());
    assert_eq!(claim(store, a, name, 0, None), Claimed::Foreign { url: foreign.to_owned() });
    assert_eq!(find(store, name), Found { plain: Some(foreign.to_owned()), ..Found::default() });
    store.advance(ms(PLAIN_MS + 100));
    own(store, a, name);
    assert_eq!(plain(store, name), Some(url(a, name)), "nobody kept the other");
    set_plain(store, name, foreign.as_bytes());
    keep(store, a, name, &url(a, name)).expect("a owns it");
    assert_eq!(plain(store, name).as_deref(), Some(foreign), "what another wrote meanwhile stays");
    own(store, a, name);
    assert_eq!(plain(store, name).as_deref(), Some(foreign));
    release(store, a, name, &url(a, name));
    assert_eq!(find(store, name), Found { plain: Some(foreign.to_owned()), ..Found::default() });
}

fn plain_keys_that_are_no_urls_are_written_over(store: &mut dyn Keys) {
    let [a] = owners(store, 0x2300);
    let nonsense: [&[u8]; 6] = [b"rubbish", b"", b"://", b"1x://y", b"\xff\xfe://x", b"ovt:/a"];
    for (index, value) in nonsense.into_iter().enumerate() {
        let name = format!("plain/rubbish{index}");
        set_plain(store, &name, value);
        own(store, a, &name);
        assert_eq!(plain(store, &name), Some(url(a, &name)), "{value:?}");
    }
    let name = "plain/list";
    let key = store.schema().plain_key(name);
    assert_eq!(store.call(&[b"RPUSH", key.as_bytes(), b"x"]), Reply::Integer(1));
    assert_eq!(find(store, name), Found::default(), "what is no text is nothing");
    own(store, a, name);
    assert_eq!(plain(store, name), Some(url(a, name)));
}

fn entries_that_are_none_are_written_over(store: &mut dyn Keys) {
    let [a, b] = owners(store, 0x2400);
    let good = format!("1 7 5 {b} {}\n", url(b, "entry/x"));
    let nonsense = [
        "rubbish".to_owned(),
        good.replacen('1', "2", 1),
        good.replacen('7', "1000000000000000", 1),
        good.replacen('7', "-7", 1),
        good.replace("0000", "000G"),
        format!("{good}nobody waits\n"),
        format!("{good}{}", format!("9 {a} u\n").repeat(WAITING_MAX + 1)),
        "x".repeat(1 << 20),
    ];
    for (index, value) in nonsense.iter().enumerate() {
        let name = format!("entry/rubbish{index}");
        let key = store.schema().entry_key(&name);
        store.call(&[b"SET", key.as_bytes(), value.as_bytes()]);
        assert_eq!(owner(store, &name), None, "{index}");
        assert_eq!(keep(store, b, &name, &url(b, &name)), None, "{index}");
        release(store, b, &name, &url(b, &name));
        raise(store, &name, 9);
        let number = own(store, a, &name);
        assert_eq!(owner(store, &name), Some((Epoch { number, owner: a }, url(a, &name))), "{index}");
    }
    let key = store.schema().entry_key("entry/list");
    assert_eq!(store.call(&[b"RPUSH", key.as_bytes(), b"x"]), Reply::Integer(1));
    own(store, a, "entry/list");
    assert_eq!(owner(store, "entry/list").map(|(epoch, _)| epoch.owner), Some(a));
}

fn odd_and_huge_values_are_found_and_do_no_harm(store: &mut dyn Keys) {
    let [a] = owners(store, 0x2500);
    let name = "huge/value";
    let huge = [b"ovt://h:1/".to_vec(), vec![b'z'; 1 << 20]].concat();
    set_plain(store, name, &huge);
    let found = plain(store, name).expect("something is there");
    assert_eq!(found.len(), VALUE_BYTES_MAX, "no more is read");
    assert!(
        matches!(claim(store, a, name, 0, None), Claimed::Foreign { url } if url.len() == VALUE_BYTES_MAX)
    );
    let name = "huge/binary";
    set_plain(store, name, b"ovt://\xff\x00\r\n$-1\r\n");
    assert!(plain(store, name).is_some_and(|plain| plain.starts_with("ovt://\u{fffd}")));
    assert!(matches!(claim(store, a, name, 0, None), Claimed::Foreign { .. }));
    let name = "huge/own";
    set_plain(store, name, url(a, name).as_bytes());
    own(store, a, name);
    assert_eq!(plain(store, name), Some(url(a, name)), "an earlier life's key is one's own");
}

fn a_store_that_lost_its_data_is_filled_again(store: &mut dyn Keys) {
    let [a, b] = owners(store, 0x2600);
    let name = "lost/data";
    let number = own(store, a, name);
    store.call(&[b"FLUSHALL"]);
    assert_eq!(store.execute(Command::Renew { by: a }), Answer::Renewed(false));
    assert_eq!(keep(store, a, name, &url(a, name)), None);
    assert_eq!(find(store, name), Found::default());
    assert_eq!(store.execute(Command::Open { by: b }), Answer::Renewed(true));
    let Claimed::Owner { number: second } = claim(store, b, name, number, None) else { panic!("b owns it") };
    assert!(second > number, "{second} after {number}");
    assert_eq!(plain(store, name), Some(url(b, name)));
}

fn a_store_that_lost_its_scripts_is_sent_them_again(store: &mut dyn Keys) {
    let [a, b] = owners(store, 0x2700);
    let name = "lost/scripts";
    let flush = |store: &mut dyn Keys| store.call(&[b"SCRIPT", b"FLUSH"]);
    flush(store);
    let number = own(store, a, name);
    flush(store);
    assert_eq!(keep(store, a, name, &url(a, name)), Some(number));
    flush(store);
    wait(store, b, name);
    flush(store);
    raise(store, name, number);
    flush(store);
    assert!(owner(store, name).is_some_and(|(epoch, _)| epoch.number > number));
    flush(store);
    release(store, a, name, &url(a, name));
    assert_eq!(owner(store, name).map(|(epoch, _)| epoch.owner), Some(b));
}

/// Owners that live, numbered from `first`.
fn owners<const N: usize>(store: &mut (impl Store + ?Sized), first: u64) -> [LeaseId; N] {
    let owners = std::array::from_fn(|index| LeaseId(first + u64::try_from(index).expect("small")));
    for by in owners {
        assert_eq!(store.execute(Command::Open { by }), Answer::Renewed(true));
    }
    owners
}

/// Where `owner` has a stream.
fn url(owner: LeaseId, name: &str) -> String {
    format!("ovt://h{:x}:9000/{name}", owner.0)
}

fn left(store: &mut (impl Store + ?Sized), owner: LeaseId) -> Option<u64> {
    match store.execute(Command::Alive(vec![owner])) {
        Answer::Alive(left) => left[0],
        other => panic!("{other:?}"),
    }
}

fn claim(
    store: &mut (impl Store + ?Sized),
    by: LeaseId,
    name: &str,
    floor: u64,
    dead: Option<LeaseId>,
) -> Claimed {
    let streams = vec![Claim { name: name.to_owned(), url: url(by, name), floor, dead }];
    match store.execute(Command::Claim { by, streams }) {
        Answer::Claimed(mut claimed) if claimed.len() == 1 => claimed.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Claims a stream that then is the claimant's; the number of the epoch.
fn own(store: &mut (impl Store + ?Sized), by: LeaseId, name: &str) -> u64 {
    match claim(store, by, name, 0, None) {
        Claimed::Owner { number } => number,
        other => panic!("{name}: {other:?}"),
    }
}

/// Claims a stream that is another's.
fn wait(store: &mut (impl Store + ?Sized), by: LeaseId, name: &str) {
    let claimed = claim(store, by, name, 0, None);
    assert!(matches!(claimed, Claimed::Waiting { .. }), "{name}: {claimed:?}");
}

fn keep(store: &mut (impl Store + ?Sized), by: LeaseId, name: &str, at: &str) -> Option<u64> {
    match store.execute(Command::Keep { by, streams: vec![(name.to_owned(), at.to_owned())] }) {
        Answer::Kept(kept) if kept.len() == 1 => kept[0],
        other => panic!("{other:?}"),
    }
}

fn release(store: &mut (impl Store + ?Sized), by: LeaseId, name: &str, at: &str) {
    let streams = vec![(name.to_owned(), at.to_owned())];
    assert_eq!(store.execute(Command::Release { by, streams }), Answer::Done);
}

fn raise(store: &mut (impl Store + ?Sized), name: &str, above: u64) {
    assert_eq!(store.execute(Command::Raise { name: name.to_owned(), above }), Answer::Done);
}

fn find(store: &mut (impl Store + ?Sized), name: &str) -> Found {
    match store.execute(Command::Lookup(vec![name.to_owned()])) {
        Answer::Found(mut found) if found.len() == 1 => found.remove(0),
        other => panic!("{other:?}"),
    }
}

fn owner(store: &mut (impl Store + ?Sized), name: &str) -> Option<(Epoch, String)> {
    find(store, name).owner
}

fn plain(store: &mut (impl Store + ?Sized), name: &str) -> Option<String> {
    find(store, name).plain
}

/// Writes a plain key as another program does.
fn set_plain(store: &mut dyn Keys, name: &str, value: &[u8]) {
    let key = store.schema().plain_key(name);
    let ms = PLAIN_MS.to_string();
    let reply = store.call(&[b"SET", key.as_bytes(), value, b"PX", ms.as_bytes()]);
    assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
