//! What may be the name of an application or a stream: one rule for every way on which a name comes in.
//!
//! Names stand in URLs, in file names of playlists, in logs and in the directory of streams, and whoever connects can
//! choose them.

use crate::limits::NAME_BYTES_MAX;

/// Why a text is no name. Reads on after "The name of the stream".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A character that means something else where names are used.
    #[error("contains {0:?}, which is not allowed")]
    Character(char),
    /// Nothing.
    #[error("is empty")]
    Empty,
    /// `.` or `..`.
    #[error("is not a name but a way to a directory")]
    Path,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
}

/// Whether `text` may name an application or a stream.
pub fn check(text: &str) -> Result<(), NameError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    let bad = |c: char| c.is_control() || matches!(c, '\u{fffd}' | '\\' | '#' | '/' | '?');
    if let Some(bad) = text.chars().find(|&c| bad(c)) {
        return Err(NameError::Character(bad));
    }
    match text {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_people_write_and_nothing_that_means_something_else() {
        for name in ["live", "a b", "späť", "x.y", "...", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (text, error) in [
            ("", NameError::Empty),
            ("..", NameError::Path),
            ("a/b", NameError::Character('/')),
            ("a?b", NameError::Character('?')),
            ("a\nb", NameError::Character('\n')),
            (&"x".repeat(NAME_BYTES_MAX + 1), NameError::TooLong),
        ] {
            assert_eq!(check(text), Err(error), "{text}");
        }
    }
}
