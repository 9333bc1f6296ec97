//! What a store keeps of a stream: text that people can read and both Rust and Lua can parse.
//!
//! ```text
//! 1 <number> <since> <lease> <url>        the owner, in the first line; 1 is the version of this form
//! <until> <lease> <url>                   who waits, one per line, the first in line first
//! ```
//!
//! Numbers are decimal, of at most 15 digits; `since` and `until` are milliseconds by the store's clock. A text of any
//! other form is as good as none: whoever claims the stream writes over it.

use core::fmt::Write;

use super::{EPOCH_MAX, Epoch, LeaseId};

/// The longest entry and the longest plain key that is read, in bytes; the store is asked for no more.
pub const VALUE_BYTES_MAX: usize = 16 << 10;

/// The longest URL that may stand in an entry, in bytes.
pub const ENTRY_URL_BYTES_MAX: usize = 1_024;

/// How many may wait for one stream.
pub const WAITING_MAX: usize = 8;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The owner's reign.
    pub epoch: Epoch,
    /// When it began, in milliseconds by the store's clock.
    pub since_ms: u64,
    /// Where the stream is.
    pub url: String,
    /// Who waits, the first in line first.
    pub waiting: Vec<Waiting>,
}

/// An origin that has the stream too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Who.
    pub lease: LeaseId,
    /// Until when it waits if it is not heard of, in milliseconds by the store's clock.
    pub until_ms: u64,
    /// Where it has the stream.
    pub url: String,
}

impl Entry {
    /// What `text` says, if it is an entry.
    pub fn parse(text: &str) -> Option<Entry> {
        let mut lines = text.split('\n').filter(|line| !line.is_empty());
        let mut words = lines.next()?.strip_prefix("1 ")?.splitn(4, ' ');
        let (number, since_ms) = (number(words.next()?)?, number(words.next()?)?);
        let (owner, url) = (words.next()?.parse().ok()?, url(words.next()?)?);
        let waiting = lines.map(Waiting::parse).collect::<Option<Vec<Waiting>>>()?;
        (waiting.len() <= WAITING_MAX).then_some(())?;
        Some(Entry { epoch: Epoch { number, owner }, since_ms, url, waiting })
    }

    /// The entry as text.
    pub fn text(&self) -> String {
        let Entry { epoch, since_ms, url, waiting } = self;
        let mut text = format!("1 {} {since_ms} {} {url}\n", epoch.number, epoch.owner);
        for Waiting { lease, until_ms, url } in waiting {
            let _ = writeln!(text, "{until_ms} {lease} {url}");
        }
        text
    }
}

impl Waiting {
    fn parse(line: &str) -> Option<Waiting> {
        let mut words = line.splitn(3, ' ');
        let until_ms = number(words.next()?)?;
        let lease = words.next()?.parse().ok()?;
        Some(Waiting { lease, until_ms, url: url(words.next()?)? })
    }
}

/// Whether `text` may stand as a URL in an entry.
pub fn fits(text: &str) -> bool {
    !text.is_empty() && text.len() <= ENTRY_URL_BYTES_MAX && !text.chars().any(char::is_control)
}

fn number(text: &str) -> Option<u64> {
    let digits = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= EPOCH_MAX)
}

fn url(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let url = "ovt://[a-z]{1,20}:[0-9]{1,5}/[a-z ]{1,10}/[a-z]{1,10}";
        let waiting = (any::<u64>(), 0..=EPOCH_MAX, url).prop_map(|(lease, until_ms, url)| Waiting {
            lease: LeaseId(lease),
            until_ms,
            url,
        });
        (0..=EPOCH_MAX, 0..=EPOCH_MAX, any::<u64>(), url, vec(waiting, 0..=WAITING_MAX)).prop_map(
            |(number, since_ms, owner, url, waiting)| Entry {
                epoch: Epoch { number, owner: LeaseId(owner) },
                since_ms,
                url,
                waiting,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entry in entries()) {
            prop_assert_eq!(Entry::parse(&entry.text()), Some(entry));
        }

        #[test]
        fn any_text_is_an_entry_or_none(text in "[ -~\n]{0,200}") {
            let _ = Entry::parse(&text);
        }

        #[test]
        fn what_is_read_is_written_again(text in "1 [0-9]{1,16} [0-9]{1,3} [0-9a-f]{15,17} [a-z ]{0,9}\n([0-9]{1,3} [0-9a-f]{16} u\n){0,10}") {
            if let Some(entry) = Entry::parse(&text) {
                prop_assert_eq!(Entry::parse(&entry.text()), Some(entry));
            }
        }
    }

    #[test]
    fn a_text_of_another_form_is_no_entry() {
        let good = "1 7 5 00000000000000aa ovt://a:9000/app/s\n";
        assert!(Entry::parse(good).is_some());
        for text in [
            "",
            "ovt://a:9000/app/s",
            "2 7 5 00000000000000aa ovt://a:9000/app/s\n",
            "1 -7 5 00000000000000aa ovt://a:9000/app/s\n",
            "1 1000000000000000 5 00000000000000aa ovt://a:9000/app/s\n",
            "1 7 5 aa ovt://a:9000/app/s\n",
            "1 7 5 00000000000000aa \n",
            "1 7 5 00000000000000aa ovt://a:9000/app/s\nwaiting\n",
        ] {
            assert_eq!(Entry::parse(text), None, "{text:?}");
        }
    }
}
