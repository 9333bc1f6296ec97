//! Durations as people write them on a command line: `20s`, `1m`.

use std::time::Duration;

/// The longest that anybody may ask for.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads `20s`, `1m` or `2h`; the error is a sentence that says what is wrong and what to write.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "" if is_number(digits) => return Err(format!("the unit is missing; write {digits}s or {digits}m")),
        _ => return Err("this is no duration; write a whole number and a unit, such as 20s or 1m".to_owned()),
    };
    if !is_number(digits) {
        return Err("the number must be whole; write something like 20s or 1m".to_owned());
    }
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    match seconds.map(Duration::from_secs) {
        Some(Duration::ZERO) => Err("this is no time at all; write 1s or more".to_owned()),
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("this is too long; write 720h or less".to_owned()),
    }
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, seconds) in
            [("20s", 20), ("1s", 1), ("1m", 60), ("90 s", 90), ("2h", 7200), ("720h", 2_592_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_remedy() {
        for (text, says) in [
            ("20", "write 20s or 20m"),
            ("", "20s or 1m"),
            ("soon", "20s or 1m"),
            ("20x", "20s or 1m"),
            ("s", "must be whole"),
            ("1.5m", "must be whole"),
            ("-20s", "must be whole"),
            ("0s", "write 1s or more"),
            ("721h", "720h or less"),
            ("99999999999999999999s", "720h or less"),
            ("9999999999999999999h", "720h or less"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
