//! What may have been meant: the nearest known name, or the place where a name belongs.

use super::schema::{SERVER, Shape, Spec};

/// What to do about an element that its parent does not have.
pub(super) fn for_element(name: &str, parent: &'static Spec) -> String {
    let siblings = parent.children();
    if siblings.is_empty() {
        return format!("<{}> holds a value, not elements: is its end tag missing?", parent.name);
    }
    if let Some(near) = nearest(name, siblings.iter().map(|it| it.name)) {
        return format!("Did you mean <{near}>?");
    }
    let mut homes = Vec::new();
    homes_of(name, &SERVER, SERVER.name, &mut homes);
    homes.truncate(3);
    if !homes.is_empty() {
        let homes: Vec<&str> = homes.iter().map(String::as_str).collect();
        return format!("It belongs into {}.", either(&homes));
    }
    let names: Vec<String> = siblings.iter().map(|it| format!("<{}>", it.name)).collect();
    format!("There are {}; to keep it for another server, write ignore=\"true\".", names.join(", "))
}

/// The candidate that `written` is most likely a slip of.
pub(super) fn nearest(written: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let length = written.chars().count();
    if length > LENGTH_MAX {
        return None;
    }
    candidates
        .map(|it| (distance(written, it), it))
        .filter(|(distance, it)| *distance <= (length.max(it.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}

/// `a, b or c`.
pub(super) fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_string(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// How an element is written.
pub(super) fn example(spec: &Spec) -> String {
    let name = spec.name;
    match spec.shape {
        Shape::Choice(words) => format!("<{name}>{}</{name}>", words.join("|")),
        _ if name == "IP" => "<IP>*</IP> (every IPv4 address) or <IP>::</IP> (IPv6)".to_string(),
        _ => format!("<{name}>...</{name}>"),
    }
}

fn homes_of(name: &str, spec: &'static Spec, path: &str, homes: &mut Vec<String>) {
    for child in spec.children() {
        if child.name == name {
            homes.push(format!("<{path}>"));
        }
        homes_of(name, child, &format!("{path}/{}", child.name), homes);
    }
}

/// Insertions, deletions, replacements and swaps of neighbours between two names; a different case costs nothing.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = core::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Longer texts are no slips of a name.
const LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_hand_are_near() {
        for (a, b, expected) in
            [("abc", "abc", 0), ("llhls", "LLHLS", 0), ("acb", "abc", 1), ("ab", "abc", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
        assert_eq!(nearest("Orignal", ["ZeroBased", "Original"].into_iter()), Some("Original"));
        assert_eq!(nearest("Elephant", ["ZeroBased", "Original"].into_iter()), None);
        assert_eq!(nearest(&"x".repeat(1_000), ["Original"].into_iter()), None);
    }

    #[test]
    fn a_name_that_belongs_elsewhere_is_sent_there() {
        let bind = SERVER.child("Bind").expect("Bind is in the schema");
        assert_eq!(
            for_element("SegmentDuration", bind),
            concat!(
                "It belongs into <Server/VirtualHosts/VirtualHost/Applications/Application/Publishers/LLHLS> or ",
                "<Server/VirtualHosts/VirtualHost/Applications/Application/Publishers/HLS>."
            )
        );
        assert_eq!(for_element("provider", bind), "Did you mean <Providers>?");
        assert!(for_element("Zebra", bind).starts_with("There are <Managers>, <Providers>, <Publishers>;"));
    }
}
