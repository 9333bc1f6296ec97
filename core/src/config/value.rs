//! Texts to values of the schema's types.

use core::time::Duration;

use super::check::Value;
use super::diagnostic::Kind;
use super::model::Secret;
use super::schema::{Shape, Transport};
use super::store::{self, NoHost};
use super::suggest;

/// Why a text is not a value of its type. `reason` continues a sentence that begins with the element's name.
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) reason: String,
    pub(super) remedy: String,
}

/// Reads a trimmed text as what the schema says it is.
pub(super) fn parse(text: &str, shape: &Shape) -> Result<Value, Fault> {
    match shape {
        Shape::Bool => bool(text).map(Value::Bool),
        Shape::Choice(words) => choice(text, words).map(|it| Value::Text(it.to_string())),
        Shape::HostPort => store::endpoint(text, None).map(Value::Endpoint).map_err(no_host),
        Shape::Int { min, max, unit } => int(text, *min, *max, unit).map(Value::Int),
        Shape::Item(_) => Ok(Value::Item),
        Shape::Name if text.is_empty() => Err(wrong("is empty.", "Write its value.")),
        Shape::Port(transports) => port(text, transports).map(|(number, over)| Value::Port(number, over)),
        Shape::Ports => ports(text),
        Shape::Redis => store::host(text).map(Value::Redis).map_err(no_host),
        Shape::Seconds { min, max } => seconds(text, *min, *max).map(Value::Seconds),
        Shape::Secret => Ok(Value::Secret(Secret::new(text))),
        Shape::Name | Shape::Text => Ok(Value::Text(text.to_string())),
    }
}

/// A text from outside, short enough for a sentence.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN_MAX {
        return text.to_string();
    }
    let mut short: String = text.chars().take(SHOWN_MAX).collect();
    short.push('…');
    short
}

fn wrong(reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { kind: Kind::WrongType, reason: reason.into(), remedy: remedy.into() }
}

fn out_of_range(reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { kind: Kind::OutOfRange, reason: reason.into(), remedy: remedy.into() }
}

fn bool(text: &str) -> Result<bool, Fault> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => match text.parse::<i64>() {
            Ok(number) => Ok(number != 0),
            Err(_) => Err(wrong(
                format!("holds `{}`, which is not a truth value.", shown(text)),
                "Write true or false.",
            )),
        },
    }
}

fn choice(text: &str, words: &[&'static str]) -> Result<&'static str, Fault> {
    if let Some(word) = words.iter().find(|it| it.eq_ignore_ascii_case(text)) {
        return Ok(word);
    }
    let remedy = match suggest::nearest(text, words.iter().copied()) {
        Some(word) => format!("Did you mean {word}?"),
        None => format!("It may be {}.", suggest::either(words)),
    };
    let kind = Kind::Unknown;
    Err(Fault { kind, reason: format!("holds `{}`, which it cannot be.", shown(text)), remedy })
}

fn no_host(NoHost { reason, remedy }: NoHost) -> Fault {
    wrong(reason, remedy)
}

fn int(text: &str, min: i64, max: i64, unit: &str) -> Result<i64, Fault> {
    let range = match (min, max) {
        (i64::MIN, _) => "Write digits.".to_string(),
        (min, i64::MAX) => format!("Write a number from {min}{unit} up."),
        (min, max) => format!("Write a number from {min} to {max}{unit}."),
    };
    if !is_integer(text) {
        return Err(wrong(format!("holds `{}`, which is not a whole number.", shown(text)), range));
    }
    match text.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(out_of_range(format!("is {}, which is out of range.", shown(text)), range)),
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit())
}

fn port(text: &str, transports: &[Transport]) -> Result<(u16, Transport), Fault> {
    let (number, over) = match text.split_once('/') {
        None => (text, Transport::Tcp),
        Some((number, name)) => {
            let over = transports.iter().find(|it| it.name().eq_ignore_ascii_case(name.trim()));
            let names: Vec<&str> = transports.iter().map(|it| it.name()).collect();
            let remedy = format!("It may end in /{}.", names.join(" or /"));
            let reason = || format!("holds `{}`, which is no such port.", shown(text));
            (number, *over.ok_or_else(|| wrong(reason(), remedy))?)
        }
    };
    Ok((port_number(number.trim())?, over))
}

fn port_number(text: &str) -> Result<u16, Fault> {
    const REMEDY: &str = "A port is a number from 1 to 65535.";
    if !is_integer(text) {
        return Err(wrong(format!("holds `{}`, which is not a port.", shown(text)), REMEDY));
    }
    match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(out_of_range(format!("is {}, which is out of range.", shown(text)), REMEDY)),
    }
}

fn ports(text: &str) -> Result<Value, Fault> {
    let (list, over) = text.split_once('/').unwrap_or((text, "udp"));
    if !["srt", "tcp", "udp"].iter().any(|it| it.eq_ignore_ascii_case(over.trim())) {
        let reason = format!("holds `{}`, which is no such port.", shown(text));
        return Err(wrong(reason, "It may end in /srt, /tcp or /udp."));
    }
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if port_number(first.trim())? > port_number(last.trim())? {
            let reason = format!("holds the range `{}`, which ends before it begins.", shown(range));
            return Err(out_of_range(reason, "Write the smaller port first."));
        }
    }
    Ok(Value::Text(text.to_string()))
}

fn seconds(text: &str, min: Duration, max: Duration) -> Result<Duration, Fault> {
    let remedy = format!("Write seconds from {} to {}.", min.as_secs_f64(), max.as_secs_f64());
    let is_decimal =
        !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit() || matches!(it, b'.' | b'-' | b'+'));
    let number = text.parse::<f64>().ok().filter(|_| is_decimal);
    let Some(number) = number else {
        return Err(wrong(format!("holds `{}`, which is not a number of seconds.", shown(text)), remedy));
    };
    // Whole microseconds: the unit of every clock here.
    let rounded = Duration::try_from_secs_f64((number * 1e6).round() / 1e6).ok();
    match rounded.filter(|it| (min..=max).contains(it)) {
        Some(duration) => Ok(Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))),
        None => Err(out_of_range(format!("is {}, which is out of range.", shown(text)), remedy)),
    }
}

/// Characters of a text from outside that are shown in a sentence.
const SHOWN_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str, shape: &Shape) -> (Kind, String) {
        match parse(text, shape) {
            Ok(value) => panic!("{text} is {value:?}"),
            Err(fault) => (fault.kind, fault.reason),
        }
    }

    #[test]
    fn truth_is_a_word_or_a_number() {
        for (text, value) in [("true", true), ("FALSE", false), ("1", true), ("0", false), ("-2", true)] {
            assert_eq!(parse(text, &Shape::Bool).ok(), Some(Value::Bool(value)), "{text}");
        }
        for text in ["yes", "", "tru"] {
            assert_eq!(fault(text, &Shape::Bool).0, Kind::WrongType, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_whole_and_in_range() {
        let shape = Shape::Int { min: 0, max: 10, unit: " ms" };
        assert_eq!(parse("+7", &shape).ok(), Some(Value::Int(7)));
        for text in ["abc", "", "1.5", "7 ", "0x7", "-"] {
            assert_eq!(fault(text, &shape).0, Kind::WrongType, "{text}");
        }
        for text in ["-1", "11", "99999999999999999999"] {
            assert_eq!(fault(text, &shape).0, Kind::OutOfRange, "{text}");
        }
    }

    #[test]
    fn ports_carry_their_transport() {
        let shape = Shape::Port(&[Transport::Tcp, Transport::Srt]);
        assert_eq!(parse("9000", &shape).ok(), Some(Value::Port(9000, Transport::Tcp)));
        assert_eq!(parse("9000/srt", &shape).ok(), Some(Value::Port(9000, Transport::Srt)));
        assert_eq!(fault("0", &shape).0, Kind::OutOfRange);
        assert_eq!(fault("70000", &shape).0, Kind::OutOfRange);
        assert_eq!(fault("9000/udp", &shape).0, Kind::WrongType);
        assert_eq!(fault("http", &shape).0, Kind::WrongType);
        for text in ["4000", "4000-4005,4010/udp", "9999/srt"] {
            assert!(parse(text, &Shape::Ports).is_ok(), "{text}");
        }
        for text in ["4005-4000", "4000-", "", "1/quic"] {
            assert!(parse(text, &Shape::Ports).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_are_exact_microseconds() {
        let shape = Shape::Seconds { min: Duration::from_millis(1), max: Duration::from_secs(600) };
        for (text, us) in [("0.5", 500_000), ("6", 6_000_000), ("1.001", 1_001_000), ("0.3333333", 333_333)] {
            assert_eq!(parse(text, &shape).ok(), Some(Value::Seconds(Duration::from_micros(us))), "{text}");
        }
        for text in ["inf", "nan", "1e2", "", "6s", "."] {
            assert_eq!(fault(text, &shape).0, Kind::WrongType, "{text}");
        }
        for text in ["0", "-1", "601", "99999999999999999999999999"] {
            assert_eq!(fault(text, &shape).0, Kind::OutOfRange, "{text}");
        }
    }
}
