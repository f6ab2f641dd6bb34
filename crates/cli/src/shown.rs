//! Text from layouts, made safe to print: names and annotations are written by others, and a terminal
//! obeys what it is sent.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with every character escaped that would not be seen as itself: controls, line breaks, and
/// those that turn or hide what stands beside them or are no characters at all.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(unseen) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if unseen(c) => write!(out, "\\u{{{:x}}}", u32::from(c)).expect("a String takes any text"),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// How many there are of what one of is called `one`: `1 blob`, `2 blobs`.
pub fn many(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// A number of bytes for people: `512 B`, `1.5 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n} B");
    }
    // In tenths of the unit, so that 999.96 kB is 1.0 MB and not 1000.0 kB.
    let mut tenths = u128::from(n) * 10;
    for unit in UNITS {
        tenths = (tenths + 500) / 1000;
        if tenths < 10_000 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{n} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let table = [
            ("v1.0", "v1.0"),
            ("größe/日本", "größe/日本"),
            ("a\u{1b}[31mred", "a\\u{1b}[31mred"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("two\nlines\r\tthree", "two\\nlines\\r\\tthree"),
            ("c1\u{9b}31m", "c1\\u{9b}31m"),
            ("del\u{7f}", "del\\u{7f}"),
            ("turned\u{202e}gnp", "turned\\u{202e}gnp"),
            ("hid\u{200b}den", "hid\\u{200b}den"),
            ("line\u{2028}break", "line\\u{2028}break"),
            ("no\u{ffff}character", "no\\u{ffff}character"),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn sizes_are_rounded_to_three_digits_and_never_overflow_a_unit() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1550, "1.6 kB"),
            (999_949, "999.9 kB"),
            (999_960, "1.0 MB"),
            (104_857_600, "104.9 MB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (n, expected) in table {
            assert_eq!(bytes(n), expected);
        }
    }
}
