//! Seeds, as they are written on a command line.

use thiserror::Error;

/// Why a text is no list of seeds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoSeeds {
    /// Something in it is no number.
    #[error("--seeds {0}: a seed is a number from 0 to 2^64 - 1")]
    NoNumber(String),
    /// The range ends where it begins, or before.
    #[error("--seeds {0}: this range is empty; write the smaller number first, as in 1..1000")]
    Empty(String),
    /// Nobody can wait for so many.
    #[error("--seeds {0}: at most {SEEDS_MAX} seeds at a time")]
    TooMany(String),
}

/// Reads `100` (the first hundred), `1..1000`, `1..=1000`, or `7,11,4711`.
pub fn parse(text: &str) -> Result<Vec<u64>, NoSeeds> {
    let number = |part: &str| part.trim().parse::<u64>().map_err(|_| NoSeeds::NoNumber(text.to_owned()));
    let (from, end) = if let Some((from, last)) = text.split_once("..=") {
        (number(from)?, number(last)?.saturating_add(1))
    } else if let Some((from, end)) = text.split_once("..") {
        (number(from)?, number(end)?)
    } else if text.contains(',') {
        return text.split(',').map(number).collect();
    } else {
        (1, number(text)?.saturating_add(1))
    };
    if from >= end {
        return Err(NoSeeds::Empty(text.to_owned()));
    }
    if end - from > SEEDS_MAX {
        return Err(NoSeeds::TooMany(text.to_owned()));
    }
    Ok((from..end).collect())
}

/// As many seeds as fit into a list without a thought.
const SEEDS_MAX: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_counted_ranged_or_listed() {
        assert_eq!(parse("3").unwrap(), [1, 2, 3]);
        assert_eq!(parse("5..7").unwrap(), [5, 6]);
        assert_eq!(parse("5..=7").unwrap(), [5, 6, 7]);
        assert_eq!(parse("9, 4711").unwrap(), [9, 4711]);
    }

    #[test]
    fn wrong_seeds_say_what_is_wrong() {
        for (text, says) in [
            ("0", "empty"),
            ("7..7", "empty"),
            ("9..=2", "empty"),
            ("a..b", "a seed is a number"),
            ("1..", "a seed is a number"),
            ("-1", "a seed is a number"),
            ("3,x", "a seed is a number"),
            ("0..=18446744073709551615", "at most"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
