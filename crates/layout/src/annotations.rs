//! The annotations of a descriptor, in little room: a large layout has millions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{self, Name};

/// Annotations, in the order of their keys: free text about content, or about one reference to it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    /// Key, value, key, value, and so on.
    text: Box<str>,
    /// Where each of these ends.
    ends: Box<[usize]>,
}

impl Annotations {
    /// Reads an object of annotations. Those that are no strings are passed over (4.8); of a key that stands twice
    /// the last counts. `None` where it is no object. Nothing at all is no annotations.
    pub fn read(raw: Option<&RawValue>) -> Option<Self> {
        let Some(raw) = raw else { return Some(Self::default()) };
        let Strings(mut pairs) = json::parse(raw.get()).ok()?;
        // Stable, so that the last of a key stays the last.
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let last = |at: usize| pairs.get(at + 1).is_none_or(|(next, _)| *next != pairs[at].0);
        let mut text = String::with_capacity(pairs.iter().map(|(key, value)| key.len() + value.len()).sum());
        let mut ends = Vec::with_capacity(2 * pairs.len());
        for (_, (key, value)) in pairs.iter().enumerate().filter(|(at, _)| last(*at)) {
            for word in [key, value] {
                text.push_str(word);
                ends.push(text.len());
            }
        }
        Some(Self { text: text.into(), ends: ends.into() })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.word(2 * middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(self.word(2 * middle + 1)),
            }
        }
        None
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.len()).map(|at| (self.word(2 * at), self.word(2 * at + 1)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The same as a map.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn word(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[at]]
    }
}

/// As a map.
impl serde::Serialize for Annotations {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The members of an object that are strings.
struct Strings<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de> Deserialize<'de> for Strings<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Strings<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut strings = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<_, &RawValue>()? {
                    strings.extend(string(value).map(|value| (name, value)));
                }
                Ok(Strings(strings))
            }
        }
        from.deserialize_map(Pairs)
    }
}

/// The string that a value is, if it is one.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    // Without escapes the text between the quotes is the string.
    match raw.get().strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.as_bytes().contains(&b'\\') => Some(Cow::Borrowed(plain)),
        _ => json::parse(raw.get()).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Annotations> {
        Annotations::read(Some(&RawValue::from_string(text.to_owned()).unwrap()))
    }

    #[test]
    fn the_last_of_a_key_counts_and_what_is_no_string_is_passed_over() {
        let read = read(r#"{"b":"1","a":"","b":"\u0032\n","c":3,"":"é","d":null}"#).unwrap();
        let pairs: Vec<_> = read.iter().collect();
        assert_eq!(pairs, [("", "é"), ("a", ""), ("b", "2\n")]);
        for (key, value) in pairs {
            assert_eq!(read.get(key), Some(value));
        }
        assert_eq!([read.get("c"), read.get("aa"), read.get("z")], [None; 3]);
        assert_eq!(read.to_map().len(), read.len());
    }

    #[test]
    fn nothing_is_no_annotations_and_another_value_is_none() {
        assert_eq!(Annotations::read(None), Some(Annotations::default()));
        assert!(read("{}").unwrap().is_empty());
        assert_eq!([read("[]"), read("\"x\""), read("7")], [None, None, None]);
    }
}
