//! JSON read as text with spans, so that what nobody touched keeps its bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The deepest nesting taken in any document (MANIFEST-21).
pub const MAX_DEPTH: usize = 64;

/// The members of one JSON object, in order, duplicates included, each value as its own text.
pub struct Object<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

/// The elements of one JSON array, each as its own text.
pub struct Array<'a>(pub Vec<&'a RawValue>);

impl<'a> Object<'a> {
    /// The value of the last member called `name`, as Go and serde_json maps have it. `null` counts as
    /// absent.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().rev().find(|(key, _)| key == name)?;
        (value.get() != "null").then_some(*value)
    }

    /// All names that stand more than once, in order: whatever stands beside it, none hides another.
    pub fn doubled(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        let mut doubled: Vec<&str> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        doubled.dedup();
        doubled
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // Most objects of ours have few members.
                let mut members = Vec::with_capacity(8);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        from.deserialize_map(Members).map(Object)
    }
}

/// A member's name, borrowed where it has no escapes.
pub struct Name<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Array<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Vec<&'de RawValue>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(elements)
            }
        }
        from.deserialize_seq(Elements).map(Array)
    }
}

/// What is wrong with a text as JSON.
#[derive(Debug)]
pub enum JsonError {
    /// Not UTF-8, not JSON, or something behind the first value (MANIFEST-18, MANIFEST-20).
    Syntax(String),
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(why) => write!(f, "not valid JSON: {why}"),
            Self::Depth => write!(f, "JSON nested deeper than {MAX_DEPTH}"),
        }
    }
}

impl std::error::Error for JsonError {}

/// The text of `bytes`, if it is UTF-8 and nested no deeper than [`MAX_DEPTH`]. Syntax is checked by
/// whoever parses it.
pub fn text(bytes: &[u8]) -> Result<&str, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|why| JsonError::Syntax(why.to_string()))?;
    shallow(text).map(|()| text)
}

/// Whether `text` is nested no deeper than [`MAX_DEPTH`].
pub fn shallow(text: &str) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    // What opens so seldom cannot be too deep, whatever stands in strings; most documents end here. `[` and
    // `{` differ in one bit; counted in bytes, so that the compiler can take many at a time.
    let opens = |chunk: &[u8]| usize::from(chunk.iter().fold(0, |n: u8, byte| n + u8::from(byte | 0x20 == b'{')));
    if bytes.chunks(usize::from(u8::MAX)).map(opens).sum::<usize>() <= MAX_DEPTH {
        return Ok(());
    }
    let mut depth = 0usize;
    let mut rest = bytes;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'"' => rest = behind_string(behind),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(JsonError::Depth);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// What stands behind the end of the string in which `bytes` start.
fn behind_string(mut bytes: &[u8]) -> &[u8] {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\');
    loop {
        // Without an exit inside, so that the compiler can take many at a time.
        while let Some((front, back)) = bytes.split_first_chunk::<16>()
            && !front.iter().fold(false, |found, byte| found | special(byte))
        {
            bytes = back;
        }
        match bytes.iter().position(special) {
            Some(at) if bytes[at] == b'"' => return &bytes[at + 1..],
            // A backslash, and what it escapes.
            Some(at) => bytes = bytes.get(at + 2..).unwrap_or_default(),
            None => return &[],
        }
    }
}

/// Parses a whole text: trailing bytes other than white space are an error.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, JsonError> {
    serde_json::from_str(text).map_err(|why| JsonError::Syntax(why.to_string()))
}

/// Whether all escapes in `text`, which is JSON, stand for text: no half of a surrogate pair stands alone.
pub fn is_unicode(text: &str) -> bool {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        let len = match unit(escape) {
            None => 2,
            Some(0xD800..=0xDBFF) if matches!(escape.get(6..).and_then(unit), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => return false,
            Some(_) => 6,
        };
        rest = escape.get(len..).unwrap_or_default();
    }
    true
}

/// Where `part`, a slice of `whole`, lies in it.
pub fn span(whole: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.get().len()
}

/// The same JSON without white space between its tokens; order, spelling of numbers and escapes stay.
pub fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            out.push(c);
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
        } else if !matches!(c, ' ' | '\t' | '\n' | '\r') {
            in_string = c == '"';
            out.push(c);
        }
    }
    out
}

/// A JSON string literal.
pub fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serialises")
}
