//! The pattern language of host names and includes: `*` is any run of characters, `?` is zero or one character,
//! everything else is itself (reference: OriginMap section 1).

/// Whether the whole text matches the pattern. Takes time in proportion to the product of the lengths at worst.
pub(super) fn matches(pattern: &str, text: &str, same: fn(char, char) -> bool) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    // `reached[n]`: the text so far can be matched by the first n characters of the pattern.
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    skip_optional(&pattern, &mut reached);
    for c in text.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for (n, p) in pattern.iter().enumerate() {
            if !reached[n] {
                continue;
            }
            match p {
                '*' => next[n] = true,
                '?' => next[n + 1] = true,
                p if same(*p, c) => next[n + 1] = true,
                _ => {}
            }
        }
        skip_optional(&pattern, &mut next);
        reached = next;
    }
    reached[pattern.len()]
}

/// `*` and `?` may stand for nothing.
fn skip_optional(pattern: &[char], reached: &mut [bool]) {
    for (n, p) in pattern.iter().enumerate() {
        if reached[n] && matches!(p, '*' | '?') {
            reached[n + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(pattern: &str, text: &str) -> bool {
        matches(pattern, text, |a, b| a == b)
    }

    #[test]
    fn star_is_any_run_and_question_mark_is_at_most_one_character() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "example.com", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "aXexampleXcom", false),
            ("edge?.com", "edge.com", true),
            ("edge?.com", "edge1.com", true),
            ("edge?.com", "edge12.com", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(exact(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_matches_itself_and_a_star(text in "[a-z.(\\[]{0,12}") {
            prop_assert!(exact(&text, &text));
            prop_assert!(exact("*", &text));
            let wrapped = format!("*{text}?");
            prop_assert!(exact(&wrapped, &text));
        }
    }
}
