//! index.json read entry by entry, for those that should not be in memory as a whole.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::index::IndexFile;
use crate::json::{self, MAX_DEPTH};
use crate::sieve::MAX_FRAME;
use crate::source::Watch;
use crate::stamp::Imprint;

/// How much is read at a time.
const WINDOW: usize = 1 << 20;

/// Reads index.json and hands out the text of each entry with its place in bytes, and every byte to `all`, in order.
///
/// `Ok(true)` means that [`IndexFile::parse`] sees the same elements of `manifests` at the same places, and nothing odd
/// beside them; whether each is a descriptor is for `each` to say. `Ok(false)`: it may, but only reading it as a whole
/// tells; what was handed out is then worth nothing. `Err` where it cannot be read, or the watcher asked to stop.
pub fn pieces(
    imprint: &Imprint,
    watch: &dyn Watch,
    all: &mut dyn FnMut(&[u8]),
    each: &mut dyn FnMut(&str, Range<u64>),
) -> Result<bool> {
    let mut cutter = Cutter::default();
    let mut window = vec![0; WINDOW];
    let mut at = 0;
    loop {
        watch.go_on()?;
        let got = imprint.read(&mut window, at).map_err(|why| Error::io("read", "index.json", why))?;
        if got == 0 {
            break;
        }
        all(&window[..got]);
        if !cutter.take(&window[..got], at, each) {
            return Ok(false);
        }
        at += got as u64;
    }
    Ok(at == imprint.len() && cutter.sound())
}

/// Hands out the entries in a stretch of an index.json that starts behind an entry, or behind the `[` in front of all of
/// them, and ends in front of an entry, or at the end of all. `false` where it is not so.
pub(crate) fn between(bytes: &[u8], stretch: Range<usize>, each: &mut dyn FnMut(&str, Range<u64>)) -> bool {
    let Some((before, stretch)) = stretch.start.checked_sub(1).and_then(|at| Some((bytes.get(at)?, stretch))) else {
        return false;
    };
    let at = if *before == b'[' { At::Start } else { At::Behind };
    let mut cutter = Cutter { at, depth: 2, met: true, ..Cutter::default() };
    let whole = bytes.get(stretch.clone()).is_some_and(|part| cutter.take(part, stretch.start as u64, each));
    whole && cutter.at != At::Entry
}

/// Where a cutter stands in the array of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Around it.
    Frame,
    /// Behind its `[`.
    Start,
    /// In an entry.
    Entry,
    /// Behind an entry.
    Behind,
    /// Behind a comma.
    Comma,
}

/// Cuts index.json into the texts of its entries and the frame around them.
struct Cutter {
    at: At,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Everything but the entries and the commas between them.
    frame: Vec<u8>,
    /// Where in the frame the last string began, and where it ended.
    string: Range<usize>,
    /// The entry that is being read, as far as it lay in windows before this one.
    entry: Vec<u8>,
    /// Where it started in the file.
    started: u64,
    /// Whether the array was met: there may be one only.
    met: bool,
}

impl Default for Cutter {
    fn default() -> Self {
        Self {
            at: At::Frame,
            depth: 0,
            in_string: false,
            escaped: false,
            frame: Vec::new(),
            string: 0..0,
            entry: Vec::new(),
            started: 0,
            met: false,
        }
    }
}

impl Cutter {
    /// Takes the next window, which starts at `offset` of the file. `false` where it is not as usual.
    fn take(&mut self, window: &[u8], offset: u64, each: &mut dyn FnMut(&str, Range<u64>)) -> bool {
        let mut from = 0;
        let mut at = 0;
        while at < window.len() {
            let byte = window[at];
            if self.in_string {
                // Most bytes are in strings: those that end nothing are passed over quickly.
                if !self.escaped {
                    let plain = window[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'));
                    let skipped = plain.unwrap_or(window.len() - at);
                    if skipped > 0 {
                        if self.at == At::Frame {
                            self.frame.extend_from_slice(&window[at..at + skipped]);
                        }
                        at += skipped;
                        continue;
                    }
                }
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    _ => {
                        self.in_string = false;
                        self.string.end = self.frame.len();
                    }
                }
                if self.at == At::Frame {
                    self.frame.push(byte);
                }
                at += 1;
                continue;
            }
            match (self.at, byte) {
                (At::Frame, b'[') if self.depth == 1 && self.is_manifests() => {
                    if std::mem::replace(&mut self.met, true) {
                        return false;
                    }
                    self.frame.push(b'[');
                    self.at = At::Start;
                    self.depth += 1;
                }
                (At::Frame, _) => {
                    match byte {
                        b'"' => {
                            self.in_string = true;
                            self.string.start = self.frame.len() + 1;
                        }
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                        _ => {}
                    }
                    self.frame.push(byte);
                }
                (At::Entry, _) => match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth -= 1;
                        if self.depth == 2 {
                            self.entry.extend_from_slice(&window[from..=at]);
                            let end = offset + at as u64 + 1;
                            let Ok(text) = std::str::from_utf8(&self.entry) else { return false };
                            each(text, self.started..end);
                            self.entry.clear();
                            self.at = At::Behind;
                        }
                    }
                    _ => {}
                },
                (_, b' ' | b'\t' | b'\n' | b'\r') => {}
                (At::Start | At::Comma, b'{') => {
                    self.at = At::Entry;
                    self.started = offset + at as u64;
                    self.depth += 1;
                    from = at;
                }
                (At::Start | At::Behind, b']') => {
                    self.frame.push(b']');
                    self.at = At::Frame;
                    self.depth -= 1;
                }
                (At::Behind, b',') => self.at = At::Comma,
                _ => return false,
            }
            if self.depth > MAX_DEPTH || self.frame.len() > MAX_FRAME {
                return false;
            }
            at += 1;
        }
        if self.at == At::Entry {
            self.entry.extend_from_slice(&window[from..]);
        }
        true
    }

    /// Whether what was read last is the name `manifests`.
    fn is_manifests(&self) -> bool {
        let behind = self.frame.get(self.string.end..).unwrap_or_default();
        let colon = behind.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"\":");
        colon && self.frame.get(self.string.clone()) == Some(b"manifests")
    }

    /// Whether what stands around the entries is that of an index without anything odd.
    fn sound(self) -> bool {
        if !(self.met && self.at == At::Frame) || json::text(&self.frame).is_err() {
            return false;
        }
        // A name may be spelled with escapes: nobody has to find out whether two such are the same.
        let plain = !self.frame.contains(&b'\\');
        plain && IndexFile::parse(self.frame).is_ok_and(|frame| frame.notes().is_empty() && frame.entries().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Unwatched;

    fn read(bytes: &[u8]) -> Option<Vec<(String, Range<u64>)>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.json");
        std::fs::write(&path, bytes).unwrap();
        let imprint = Imprint::of(std::fs::File::open(&path).unwrap(), 0, bytes.len() as u64).unwrap();
        let (mut found, mut again) = (Vec::new(), Vec::new());
        let sound = pieces(&imprint, &Unwatched, &mut |piece| again.extend_from_slice(piece), &mut |text, span| {
            found.push((text.to_owned(), span));
        });
        let sound = sound.unwrap();
        assert!(!sound || again == bytes);
        sound.then_some(found)
    }

    #[test]
    fn a_stretch_is_cut_alike() {
        let text = r#"{"manifests":[{"a":1},{"b":2},{"c":3}],"x":["y"]}"#;
        let cut = |stretch| {
            let mut found = Vec::new();
            let cut = between(text.as_bytes(), stretch, &mut |text, _| found.push(text.to_owned()));
            cut.then_some(found)
        };
        let (first, last) = (text.find(r#",{"b""#).unwrap(), text.find(r#"{"c""#).unwrap());
        assert_eq!(cut(14..text.len()).unwrap(), [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
        assert_eq!(cut(first..text.len()).unwrap(), [r#"{"b":2}"#, r#"{"c":3}"#]);
        assert_eq!(cut(first..last).unwrap(), [r#"{"b":2}"#]);
        assert_eq!(cut(0..last), None);
        assert_eq!(cut(first..last + 3), None);
    }

    #[test]
    fn entries_are_cut_where_a_parser_sees_them() {
        let odd = r#"{ "schemaVersion": 2, "annotations": {"manifests": "[{"},
            "manifests": [ {"a":"}]\"\\"} , {"b":[[{}]]},{} ], "x": [1,{"manifests":[{}]}] }"#;
        for text in [odd, r#"{"schemaVersion":2,"manifests":[]}"#, r#"{"schemaVersion":2,"manifests":[{"é":1}]}"#] {
            let whole = IndexFile::parse(text.as_bytes().to_vec()).unwrap();
            let expected: Vec<_> = whole
                .entries()
                .iter()
                .map(|entry| (text[entry.span.clone()].to_owned(), entry.span.start as u64..entry.span.end as u64))
                .collect();
            assert_eq!(read(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_entry_may_lie_across_windows() {
        let long = "x".repeat(WINDOW);
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{{"a":"{long}"}},{{"b":"{long}\""}}]}}"#);
        let found = read(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].0, format!(r#"{{"b":"{long}\""}}"#));
    }

    #[test]
    fn what_is_odd_is_left_to_the_parser() {
        for text in [
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"manifests":null}"#,
            r#"{"schemaVersion":2,"manifests":[{}],"manifests":[{}]}"#,
            r#"{"schemaVersion":2,"manifests":[{}],"m\u0061nifests":[{}]}"#,
            r#"{"schemaVersion":2,"manifests":[{},]}"#,
            r#"{"schemaVersion":2,"manifests":[{} {}]}"#,
            r#"{"schemaVersion":2,"manifests":[1]}"#,
            r#"{"schemaVersion":2,"manifests":[{}]} x"#,
            r#"{"schemaVersion":2,"manifests":[{}]"#,
            r#"{"manifests":[{}]}"#,
            r#"{"schemaVersion":2,"manifests":[{}],"layers":[]}"#,
            r#"[{"schemaVersion":2,"manifests":[{}]}]"#,
            "",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(b"{\"schemaVersion\":2,\"manifests\":[{\"\xff\":1}]}"), None);
        let deep = format!(r#"{{"schemaVersion":2,"manifests":[{{"a":{}{}}}]}}"#, "[".repeat(70), "]".repeat(70));
        assert_eq!(read(deep.as_bytes()), None);
    }
}
