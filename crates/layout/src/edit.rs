//! Changes to index.json, made on its text: what nobody touched keeps its bytes.
//!
//! An [`Edit`] says what is meant, not where it stands, so that it can be made again on an index.json
//! that somebody else changed in the meantime.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::index::{CARRIES, INDEX_TYPE, IndexFile, LACKS, entry_text};
use crate::json::{self, Object};
use crate::name::{Pair, Steps, look_up};

/// One change to index.json.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// The entry of exactly this pair of names becomes this one; without such an entry it is added. Other
    /// names of whatever the pair stood for stay.
    Set {
        /// The entry; its own names are replaced by the pair's.
        entry: Box<Descriptor>,
        /// The name.
        pair: Pair,
        /// If given, the digest the pair has to have now (`Some(None)`: the pair must not exist), else
        /// Conflict: the change was decided on that.
        expect: Option<Option<Digest>>,
    },
    /// A reference given by a user names this digest from now on. It is looked up by the first two
    /// steps: one digest: those entries change, pairs kept; several: Usage; none: a new entry.
    Name {
        /// The entry, without names.
        entry: Box<Descriptor>,
        /// The reference.
        reference: String,
    },
    /// An untagged entry, unless some entry has its digest already.
    Add {
        /// The entry.
        entry: Box<Descriptor>,
    },
    /// A reference goes. NotFound where there is none.
    Unname {
        /// The reference, looked up as in [`Edit::Name`].
        reference: String,
        /// Whether the entry then stays as an untagged one (it is a referrer) if it was the last of its digest.
        keep: bool,
    },
    /// The entries of this digest with exactly this pair go.
    Remove {
        /// The digest.
        digest: Digest,
        /// The name, empty for untagged entries.
        pair: Pair,
    },
}

/// The new text of an index.json after `edits`, made in order. The order of entries, unknown members
/// and the spelling of everything not named by an edit stay. `mediaType` is added where it is missing
/// (4.6), `manifests` becomes a list where it is `null` or missing (4.7), and the two annotations of a
/// bundle go. On `Err` nothing is changed.
pub fn apply(index: &IndexFile, edits: &[Edit]) -> Result<Vec<u8>> {
    let mut now = index.clone();
    for edit in edits {
        let text = one(&now, edit)?;
        if let Some(text) = text {
            now = IndexFile::parse(text.into_bytes())?;
        }
    }
    Ok(finished(&now).into_bytes())
}

/// What somebody else did between `base` and `found`, done to `onto`: the entries he added and removed. Taken
/// as they are where `onto` is `base`.
pub fn merge(base: &IndexFile, found: IndexFile, onto: &IndexFile) -> Result<IndexFile> {
    if base.bytes() == onto.bytes() {
        return Ok(found);
    }
    let texts = |index: &IndexFile| -> Vec<String> {
        index.entries().iter().map(|entry| json::compact(&index.text()[entry.span.clone()])).collect()
    };
    let (was, is, here) = (texts(base), texts(&found), texts(onto));
    let mut splice = Splice::default();
    for (at, text) in here.iter().enumerate() {
        if was.contains(text) && !is.contains(text) {
            splice.at.insert(at, None);
        }
    }
    splice.added = is.into_iter().filter(|text| !was.contains(text) && !here.contains(text)).collect();
    IndexFile::parse(spliced(onto, &splice).into_bytes())
}

/// Entries by place: `Some(text)` replaces one, `None` removes it; `added` go behind the last.
#[derive(Default)]
struct Splice {
    at: BTreeMap<usize, Option<String>>,
    added: Vec<String>,
}

fn one(index: &IndexFile, edit: &Edit) -> Result<Option<String>> {
    let mut splice = Splice::default();
    let digest_at = |at: usize| index.entries()[at].descriptor.as_ref().ok().map(|entry| entry.digest.clone());
    match edit {
        Edit::Set { entry, pair, expect } => {
            let key = pair.key();
            let places: Vec<usize> = (0..index.entries().len())
                .filter(|&at| index.entries()[at].tagged() && index.entries()[at].pair.key() == key)
                .collect();
            if let Some(expected) = expect {
                let there: Vec<Option<Digest>> = places.iter().map(|&at| digest_at(at)).collect();
                let as_expected = match expected {
                    None => there.is_empty(),
                    Some(digest) => !there.is_empty() && there.iter().all(|is| is.as_ref() == Some(digest)),
                };
                if !as_expected {
                    let name = pair.reference.as_deref().or(pair.image.as_deref()).unwrap_or_default();
                    return Err(Error::new(Kind::Conflict, format!("{name} was changed by somebody else")));
                }
            }
            // The spelling of the names that are there is kept: a full name in ref.name stays there.
            let kept = places.first().map_or(pair, |&at| &index.entries()[at].pair);
            let text = entry_text(entry, kept);
            match places.split_first() {
                None => splice.added.push(text),
                Some((first, rest)) => {
                    if places.len() == 1 && same_entry(index, *first, &text) {
                        return Ok(None);
                    }
                    splice.at.insert(*first, Some(text));
                    splice.at.extend(rest.iter().map(|&at| (at, None)));
                }
            }
        }
        Edit::Name { entry, reference } => {
            let places = named(index, reference)?;
            if places.is_empty() {
                splice.added.push(entry_text(entry, &Pair::written(reference)));
            }
            for at in places {
                let text = entry_text(entry, &index.entries()[at].pair);
                if !same_entry(index, at, &text) {
                    splice.at.insert(at, Some(text));
                }
            }
        }
        Edit::Add { entry } => {
            let there = |at: usize| digest_at(at).as_ref() == Some(&entry.digest);
            if (0..index.entries().len()).any(there) {
                return Ok(None);
            }
            splice.added.push(entry_text(entry, &Pair::default()));
        }
        Edit::Unname { reference, keep } => {
            let places = named(index, reference)?;
            let Some(&first) = places.first() else {
                return Err(Error::new(Kind::NotFound, format!("could not remove {reference}: there is no such name")));
            };
            let digest = digest_at(first);
            let others = (0..index.entries().len()).any(|at| !places.contains(&at) && digest_at(at) == digest);
            splice.at.extend(places.iter().map(|&at| (at, None)));
            if *keep
                && !others
                && let Ok(entry) = &index.entries()[first].descriptor
            {
                splice.at.insert(first, Some(entry_text(entry, &Pair::default())));
            }
        }
        Edit::Remove { digest, pair } => {
            let gone = |at: &usize| digest_at(*at).as_ref() == Some(digest) && index.entries()[*at].pair == *pair;
            splice.at.extend((0..index.entries().len()).filter(gone).map(|at| (at, None)));
        }
    }
    if splice.at.is_empty() && splice.added.is_empty() {
        return Ok(None);
    }
    Ok(Some(spliced(index, &splice)))
}

/// Whether the entry at a place already says what `text` says, white space apart.
fn same_entry(index: &IndexFile, at: usize, text: &str) -> bool {
    json::compact(&index.text()[index.entries()[at].span.clone()]) == text
}

/// The places of the entries a reference names by the first two steps. Usage where they have
/// different digests.
fn named(index: &IndexFile, reference: &str) -> Result<Vec<usize>> {
    let places = look_up(index, reference, Steps::Exact);
    let mut digests = Vec::new();
    for &at in &places {
        digests.push(&index.entries()[at].descriptor(at)?.digest);
    }
    digests.sort();
    digests.dedup();
    if digests.len() > 1 {
        let list: Vec<String> = digests.iter().map(ToString::to_string).collect();
        let why = format!("{reference} names {}", list.join(" and "));
        return Err(Error::new(Kind::Usage, format!("could not tell which entry {reference} means")).because(why));
    }
    Ok(places)
}

/// The text with entries replaced, removed and added.
fn spliced(index: &IndexFile, splice: &Splice) -> String {
    let text = index.text();
    let list = index.manifests.clone().filter(|span| text[span.clone()].starts_with('['));
    let Some(list) = list else {
        let array = format!("[{}]", splice.added.join(","));
        return match &index.manifests {
            Some(null) => replaced(text, null.clone(), &array),
            None => with_member(text, "manifests", &array),
        };
    };
    let entries = index.entries();
    // What stands in front of the first entry, between two, and behind the last.
    let head = &text[list.start + 1..entries.first().map_or(list.end - 1, |first| first.span.start)];
    let tail = entries.last().map_or("", |last| &text[last.span.end..list.end - 1]);
    let usual = match entries {
        [.., before, last] => &text[before.span.end..last.span.start],
        [_] if head.trim().is_empty() && head.contains('\n') => &format!(",{head}"),
        _ => ",",
    };
    let mut array = String::from("[");
    let mut gap: Option<&str> = None;
    for (at, entry) in entries.iter().enumerate() {
        let own = &text[entry.span.clone()];
        let kept = match splice.at.get(&at) {
            Some(None) => continue,
            Some(Some(new)) => new,
            None => own,
        };
        let before = if at == 0 { head } else { &text[entries[at - 1].span.end..entry.span.start] };
        // The first that is left stands where the first stood; others keep the gap they had.
        array.push_str(if gap.is_none() {
            head
        } else if before.contains(',') {
            before
        } else {
            usual
        });
        array.push_str(kept);
        gap = Some(before);
    }
    for new in &splice.added {
        array.push_str(match gap {
            None if entries.is_empty() => "",
            None => head,
            Some(_) => usual,
        });
        array.push_str(new);
        gap = Some(usual);
    }
    if gap.is_some() {
        array.push_str(tail);
    }
    array.push(']');
    replaced(text, list, &array)
}

/// The text with what has to be there, and without what may not be.
fn finished(index: &IndexFile) -> String {
    let mut text = index.text().to_owned();
    // From the back to the front, so that spans stay true.
    let list = index.manifests.clone().map(|span| (span.clone(), &text[span]));
    let null = match list {
        Some((span, "null")) => Some(span),
        _ => None,
    };
    let cleaned = index.annotations.clone().and_then(|span| Some((span.clone(), without_bundle_keys(&text[span])?)));
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    changes.extend(null.map(|span| (span, "[]".to_owned())));
    changes.extend(cleaned);
    changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, new) in changes {
        text.replace_range(span, &new);
    }
    if index.manifests.is_none() {
        text = with_member(&text, "manifests", "[]");
    }
    if !index.typed && !index.members.iter().any(|(name, _)| name == "mediaType") {
        text = with_member(&text, "mediaType", &json::quote(INDEX_TYPE));
    }
    text
}

/// The annotations without those of a bundle; `None` where there are none of them.
fn without_bundle_keys(text: &str) -> Option<String> {
    let object: Object = json::parse(text).ok()?;
    if object.get(CARRIES).is_none() && object.get(LACKS).is_none() {
        return None;
    }
    let kept = object.0.iter().filter(|(key, _)| key != CARRIES && key != LACKS);
    let members: Vec<String> = kept.map(|(key, value)| format!("{}:{}", json::quote(key), value.get())).collect();
    Some(format!("{{{}}}", members.join(",")))
}

fn replaced(text: &str, span: Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..span.start], &text[span.end..])
}

/// The object with one more member in front.
fn with_member(text: &str, name: &str, value: &str) -> String {
    let open = text.find('{').expect("an index.json is an object") + 1;
    let comma = if text[open..].trim_start().starts_with('}') { "" } else { "," };
    format!("{}{}:{value}{comma}{}", &text[..open], json::quote(name), &text[open..])
}
