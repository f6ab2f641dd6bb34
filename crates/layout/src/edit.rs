//! Changes to index.json, made on its text: what nobody touched keeps its bytes.
//!
//! An [`Edit`] says what is meant, not where it stands, so that it can be made again on an index.json
//! that somebody else changed in the meantime.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::index::{CARRIES, Entry, INDEX_TYPE, IndexFile, LACKS, entry_text};
use crate::json::{self, Object};
use crate::name::{Pair, Steps, look_up_in};
use crate::pieces;

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
    /// One more entry of this pair of names, beside those that have it: the name then stands for several digests.
    /// Made behind a [`Set`](Edit::Set) of the same pair.
    Beside {
        /// The entry; its own names are replaced by the pair's.
        entry: Box<Descriptor>,
        /// The name.
        pair: Pair,
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
    edited(index, edits).map(|edited| edited.bytes)
}

/// An index.json after edits.
#[derive(Debug, Clone, Default)]
pub struct Edited {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many bytes at its start are those of the old one: up to the end of an entry or the `[` in front of all of
    /// them, or none.
    pub front: usize,
    /// How many bytes at its end are: from the start of an entry, or none.
    pub back: usize,
}

impl Edited {
    /// The entries of the old one, `before`, that do not stand in what stayed.
    pub fn gone<'i>(&self, before: &'i IndexFile) -> &'i [Entry] {
        let (entries, behind) = (before.entries(), before.text().len() - self.back);
        let first = entries.partition_point(|entry| entry.span.end <= self.front);
        let end = entries.partition_point(|entry| entry.span.start < behind);
        &entries[first..end.max(first)]
    }

    /// Hands out the entries that do not stand in what stayed, each with its place in bytes. `false` where only reading
    /// all of it tells.
    pub fn come(&self, each: &mut dyn FnMut(&str, Range<u64>)) -> bool {
        self.front > 0 && pieces::between(&self.bytes, self.front..self.bytes.len() - self.back, each)
    }
}

/// The same as [`apply`], and what stayed as it was.
pub fn edited(index: &IndexFile, edits: &[Edit]) -> Result<Edited> {
    let mut draft = Draft::of(index);
    for edit in edits {
        draft.make(edit)?;
    }
    let (bytes, same, front, back) = match draft.text(index) {
        None => {
            let (bytes, same) = finished(index);
            (bytes, same, index.text().len(), 0)
        }
        Some(Spliced { text, front, back }) => {
            let (bytes, same) = finished(&IndexFile::parse(text.into_bytes())?);
            (bytes, same, front, back)
        }
    };
    Ok(if same { Edited { bytes, front, back } } else { Edited { bytes, front: 0, back: 0 } })
}

/// A text with entries replaced, removed and added, and how much of the old one it starts and ends with.
struct Spliced {
    text: String,
    front: usize,
    back: usize,
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
    let [was_set, is_set, here_set] = [&was, &is, &here].map(|texts| texts.iter().collect::<HashSet<_>>());
    let mut splice = Splice::default();
    for (at, text) in here.iter().enumerate() {
        if was_set.contains(text) && !is_set.contains(text) {
            splice.at.insert(at, None);
        }
    }
    splice.added = is.iter().filter(|text| !was_set.contains(text) && !here_set.contains(text)).cloned().collect();
    IndexFile::parse(spliced(onto, &splice).into_bytes())
}

/// Entries by place: `Some(text)` replaces one, `None` removes it; `added` go behind the last.
#[derive(Default)]
struct Splice {
    at: BTreeMap<usize, Option<String>>,
    added: Vec<String>,
}

/// An index.json being edited: its entries, those to come included, and where names and digests are.
#[derive(Default)]
struct Draft {
    entries: Vec<Drafted>,
    /// How many of them the file has.
    old: usize,
    /// Where entries of a name are, those that went or lost it included.
    named: HashMap<Pair, Vec<usize>>,
    /// How many entries a digest has.
    count: HashMap<Digest, usize>,
    /// Where entries of a digest are, those that went or lost it included.
    places: HashMap<Digest, Vec<usize>>,
}

/// One entry.
struct Drafted {
    pair: Pair,
    digest: Option<Digest>,
    /// Why it is no descriptor.
    wrong: Option<String>,
    descriptor: Option<Descriptor>,
    /// Its text, where it is new or changed.
    text: Option<String>,
    gone: bool,
}

impl Draft {
    fn of(index: &IndexFile) -> Self {
        let mut draft = Self { old: index.entries().len(), ..Self::default() };
        for entry in index.entries() {
            let descriptor = entry.descriptor.as_ref().ok();
            draft.enter(Drafted {
                pair: entry.pair.clone(),
                digest: descriptor.map(|descriptor| descriptor.digest.clone()),
                wrong: entry.descriptor.as_ref().err().cloned(),
                descriptor: descriptor.cloned(),
                text: None,
                gone: false,
            });
        }
        draft
    }

    fn enter(&mut self, entry: Drafted) {
        if !entry.pair.is_empty() {
            self.named.entry(entry.pair.key()).or_default().push(self.entries.len());
        }
        if let Some(digest) = &entry.digest {
            *self.count.entry(digest.clone()).or_default() += 1;
            self.places.entry(digest.clone()).or_default().push(self.entries.len());
        }
        self.entries.push(entry);
    }

    fn add(&mut self, descriptor: &Descriptor, pair: &Pair) {
        self.enter(Drafted {
            pair: pair.clone(),
            digest: Some(descriptor.digest.clone()),
            wrong: None,
            descriptor: Some(descriptor.clone()),
            text: Some(entry_text(descriptor, pair)),
            gone: false,
        });
    }

    /// Puts another descriptor in a place; the name there stays.
    fn replace(&mut self, at: usize, descriptor: &Descriptor) {
        let pair = self.entries[at].pair.clone();
        let text = entry_text(descriptor, &pair);
        let said = self.entries[at].descriptor.as_ref().map(|old| json::compact(old.text()));
        if self.entries[at].text.as_ref().or(said.as_ref()) == Some(&text) {
            return;
        }
        self.forget(at);
        *self.count.entry(descriptor.digest.clone()).or_default() += 1;
        self.places.entry(descriptor.digest.clone()).or_default().push(at);
        let entry = &mut self.entries[at];
        entry.digest = Some(descriptor.digest.clone());
        entry.descriptor = Some(descriptor.clone());
        entry.wrong = None;
        entry.text = Some(text);
    }

    fn remove(&mut self, at: usize) {
        self.forget(at);
        self.entries[at].gone = true;
    }

    fn forget(&mut self, at: usize) {
        if let Some(count) = self.entries[at].digest.as_ref().and_then(|digest| self.count.get_mut(digest)) {
            *count -= 1;
        }
    }

    /// The places of the entries a reference names by the first two steps. Usage where they have
    /// different digests.
    fn places(&self, reference: &str) -> Result<Vec<usize>> {
        let there = self.entries.iter().enumerate().filter(|(_, entry)| !entry.gone);
        let places = look_up_in(there.map(|(at, entry)| (at, &entry.pair)), reference, Steps::Exact);
        let mut digests = Vec::new();
        for &at in &places {
            let entry = &self.entries[at];
            let wrong = || {
                let what = format!("could not read entry {at} of index.json");
                Error::new(Kind::Integrity, what).because(entry.wrong.clone().unwrap_or_default())
            };
            digests.push(entry.digest.as_ref().ok_or_else(wrong)?);
        }
        digests.sort();
        digests.dedup();
        if digests.len() > 1 {
            let list: Vec<String> = digests.iter().map(ToString::to_string).collect();
            let why = format!("{reference} names {}", list.join(" and "));
            let error = Error::new(Kind::Usage, format!("could not tell which entry {reference} means")).because(why);
            let full = places.iter().filter_map(|&at| self.entries[at].pair.exact()).filter(|full| *full != reference);
            let full: Vec<&str> = full.collect();
            return Err(match full.is_empty() {
                true => error.hint("rm PATH@DIGEST removes what one of them stands for"),
                false => error.hint(format!("a full name says which is meant: {}", full.join(", "))),
            });
        }
        Ok(places)
    }

    fn make(&mut self, edit: &Edit) -> Result<()> {
        match edit {
            Edit::Set { entry, pair, expect } => {
                let known = self.named.get(&pair.key()).into_iter().flatten().copied();
                let here = |&at: &usize| !self.entries[at].gone && !self.entries[at].pair.is_empty();
                let places: Vec<usize> = known.filter(here).collect();
                if let Some(expected) = expect {
                    let mut there = places.iter().map(|&at| self.entries[at].digest.as_ref());
                    let as_expected = match expected {
                        None => places.is_empty(),
                        Some(digest) => !places.is_empty() && there.all(|is| is == Some(digest)),
                    };
                    if !as_expected {
                        let name = pair.reference.as_deref().or(pair.image.as_deref()).unwrap_or_default();
                        return Err(Error::new(Kind::Conflict, format!("{name} was changed by somebody else")));
                    }
                }
                match places.split_first() {
                    None => self.add(entry, pair),
                    // The spelling that is there is kept: a full name in ref.name stays there.
                    Some((first, rest)) => {
                        self.replace(*first, entry);
                        rest.iter().for_each(|&at| self.remove(at));
                    }
                }
            }
            Edit::Beside { entry, pair } => self.add(entry, pair),
            Edit::Name { entry, reference } => {
                let places = self.places(reference)?;
                if places.is_empty() {
                    self.add(entry, &Pair::written(reference));
                }
                places.into_iter().for_each(|at| self.replace(at, entry));
            }
            Edit::Add { entry } => {
                if self.count.get(&entry.digest).is_none_or(|count| *count == 0) {
                    self.add(entry, &Pair::default());
                }
            }
            Edit::Unname { reference, keep } => {
                let places = self.places(reference)?;
                let Some((&first, rest)) = places.split_first() else {
                    let what = format!("could not remove {reference}: there is no such name");
                    return Err(Error::new(Kind::NotFound, what));
                };
                rest.iter().for_each(|&at| self.remove(at));
                let last = self.entries[first].digest.as_ref().and_then(|digest| self.count.get(digest)) == Some(&1);
                match self.entries[first].descriptor.clone() {
                    Some(entry) if *keep && last => {
                        self.entries[first].pair = Pair::default();
                        self.entries[first].text = Some(entry_text(&entry, &Pair::default()));
                    }
                    _ => self.remove(first),
                }
            }
            Edit::Remove { digest, pair } => {
                for at in self.places.get(digest).cloned().unwrap_or_default() {
                    let entry = &self.entries[at];
                    if !entry.gone && entry.digest.as_ref() == Some(digest) && entry.pair == *pair {
                        self.remove(at);
                    }
                }
            }
        }
        Ok(())
    }

    /// The new text; `None` where nothing changed.
    fn text(self, index: &IndexFile) -> Option<Spliced> {
        let mut splice = Splice::default();
        for (at, entry) in self.entries.into_iter().enumerate() {
            match (at < self.old, entry.gone, entry.text) {
                (true, true, _) => drop(splice.at.insert(at, None)),
                (true, false, Some(text)) => drop(splice.at.insert(at, Some(text))),
                (false, false, Some(text)) => splice.added.push(text),
                _ => {}
            }
        }
        let (first, last) = (splice.at.keys().next(), splice.at.keys().next_back());
        if first.is_none() && splice.added.is_empty() {
            return None;
        }
        let (old, entries) = (index.text().len(), index.entries());
        let ends = |place: usize| entries.get(place).map_or(0, |entry| entry.span.end);
        let list = index.manifests.clone().filter(|span| index.text()[span.clone()].starts_with('['));
        let start = list.map_or(0, |list| list.start + 1);
        let front = first.copied().unwrap_or(entries.len()).checked_sub(1).map_or(start, ends);
        let behind = last.filter(|_| splice.added.is_empty()).and_then(|last| entries.get(last + 1));
        let back = behind.map_or(0, |entry| old - entry.span.start);
        Some(Spliced { text: spliced(index, &splice), front, back })
    }
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

/// The text with what has to be there, and without what may not be; whether it is the same.
fn finished(index: &IndexFile) -> (Vec<u8>, bool) {
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
    let mut same = changes.is_empty();
    changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, new) in changes {
        text.replace_range(span, &new);
    }
    if index.manifests.is_none() {
        text = with_member(&text, "manifests", "[]");
        same = false;
    }
    if !index.typed && !index.members.iter().any(|(name, _)| name == "mediaType") {
        text = with_member(&text, "mediaType", &json::quote(INDEX_TYPE));
        same = false;
    }
    (text.into_bytes(), same)
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
