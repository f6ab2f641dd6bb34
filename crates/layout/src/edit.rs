//! Changes to index.json, made on its text: what nobody touched keeps its bytes.
//!
//! An [`Edit`] says what is meant, not where it stands, so that it can be made again on an index.json
//! that somebody else changed in the meantime.

mod places;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::index::{CARRIES, Entry, INDEX_TYPE, IndexFile, LACKS, entry_text};
use crate::json::{self, Object};
use crate::name::Pair;
use crate::pieces;
use places::Places;

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
    /// One more entry of this pair of names, beside those that have it. Behind a [`Set`](Edit::Set) of the same pair the
    /// name then stands for several digests; an untagged one says something of its digest that no other entry does.
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

impl Edit {
    /// The entry it makes.
    pub fn entry(&self) -> Option<&Descriptor> {
        match self {
            Self::Set { entry, .. } | Self::Beside { entry, .. } | Self::Name { entry, .. } | Self::Add { entry } => {
                Some(entry)
            }
            Self::Unname { .. } | Self::Remove { .. } => None,
        }
    }
}

/// The new text of an index.json after `edits`, made in order. The order of entries, unknown members
/// and the spelling of everything not named by an edit stay. `mediaType` is added where it is missing
/// (4.6), `manifests` becomes a list where it is `null` or missing (4.7), and the two annotations of a
/// bundle go. On `Err` nothing is changed.
pub fn apply(index: &IndexFile, edits: &[Edit]) -> Result<Vec<u8>> {
    edited(index, edits).map(|edited| edited.bytes)
}

/// The entries with a digest after `edits`, each as it is then.
pub fn entries(index: &IndexFile, edits: &[Edit], digest: &Digest) -> Result<Vec<Descriptor>> {
    let draft = Draft::made(index, edits)?;
    let mut entries = Vec::new();
    for at in (0..draft.count()).filter(|at| draft.digest(*at) == Some(digest)) {
        let written = draft.touched(at).and_then(|drafted| drafted.text.as_deref());
        let there = || draft.entry(at).and_then(|entry| entry.descriptor.as_ref().ok()).cloned();
        entries.extend(match written {
            Some(text) => Some(Descriptor::parse(text).expect("an edit writes descriptors")),
            None => there(),
        });
    }
    Ok(entries)
}

/// The names that `edits` give to what they stand for already and to nothing else, each once, in the order of the edits.
pub fn kept(index: &IndexFile, edits: &[Edit]) -> Vec<(String, Digest)> {
    let places = Places::of(index, edits);
    let mut met = HashSet::new();
    let mut kept = Vec::new();
    for edit in edits {
        let Edit::Name { entry, reference } = edit else { continue };
        let stands =
            |place: &usize| index.entries()[*place].descriptor.as_ref().is_ok_and(|own| own.digest == entry.digest);
        let named = places.named(reference);
        if !named.is_empty() && named.iter().all(stands) && met.insert((reference, &entry.digest)) {
            kept.push((reference.clone(), entry.digest.clone()));
        }
    }
    kept
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
    let splice = Draft::made(index, edits)?.splice();
    let (front, back) = splice.stays(index);
    let (text, same) = spliced(index, &splice, true);
    let bytes = text.into_bytes();
    debug_assert!(IndexFile::parse(bytes.clone()).is_ok());
    Ok(if same { Edited { bytes, front, back } } else { Edited { bytes, front: 0, back: 0 } })
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
    IndexFile::parse(spliced(onto, &splice, false).0.into_bytes())
}

/// Entries by place: `Some(text)` replaces one, `None` removes it; `added` go behind the last.
#[derive(Default)]
struct Splice {
    at: BTreeMap<usize, Option<String>>,
    added: Vec<String>,
}

impl Splice {
    fn is_empty(&self) -> bool {
        self.at.is_empty() && self.added.is_empty()
    }

    /// How many bytes at the start and the end of the index stay.
    fn stays(&self, index: &IndexFile) -> (usize, usize) {
        let (old, entries) = (index.text().len(), index.entries());
        if self.is_empty() {
            return (old, 0);
        }
        let (first, last) = (self.at.keys().next().copied(), self.at.keys().next_back());
        let ends = |place: usize| entries.get(place).map_or(0, |entry| entry.span.end);
        let start = list(index).map_or(0, |list| list.start + 1);
        let front = first.unwrap_or(entries.len()).checked_sub(1).map_or(start, ends);
        let behind = last.filter(|_| self.added.is_empty()).and_then(|last| entries.get(last + 1));
        (front, behind.map_or(0, |entry| old - entry.span.start))
    }
}

/// An index.json being edited: what is not as it was, and where what the edits name is.
struct Draft<'i> {
    index: &'i IndexFile,
    /// Entries of the file that are not as they were.
    changed: BTreeMap<usize, Drafted>,
    /// Those to come; their places are behind those of the file.
    added: Vec<Drafted>,
    places: Places,
}

/// One entry that is new or changed.
struct Drafted {
    entry: Entry,
    /// Its text, where that is another one than the file's.
    text: Option<String>,
    gone: bool,
}

impl<'i> Draft<'i> {
    /// The draft in which all edits are made.
    fn made(index: &'i IndexFile, edits: &[Edit]) -> Result<Self> {
        let places = Places::of(index, edits);
        // There may be many: no room beside what they take.
        let added = Vec::with_capacity(edits.iter().filter(|edit| edit.entry().is_some()).count());
        let mut draft = Self { index, changed: BTreeMap::new(), added, places };
        edits.iter().try_for_each(|edit| draft.make(edit))?;
        Ok(draft)
    }

    fn count(&self) -> usize {
        self.index.entries().len() + self.added.len()
    }

    /// What is at a place, where that is new or changed.
    fn touched(&self, at: usize) -> Option<&Drafted> {
        self.changed.get(&at).or_else(|| self.added.get(at.checked_sub(self.index.entries().len())?))
    }

    /// The entry at a place as it is now; `None` where it is gone.
    fn entry(&self, at: usize) -> Option<&Entry> {
        match self.touched(at) {
            Some(drafted) => (!drafted.gone).then_some(&drafted.entry),
            None => self.index.entries().get(at),
        }
    }

    fn digest(&self, at: usize) -> Option<&Digest> {
        self.entry(at)?.descriptor.as_ref().ok().map(|descriptor| &descriptor.digest)
    }

    /// The entry at a place, to be changed.
    fn drafted(&mut self, at: usize) -> &mut Drafted {
        let old = self.index.entries();
        match at.checked_sub(old.len()) {
            Some(new) => &mut self.added[new],
            None => {
                self.changed.entry(at).or_insert_with(|| Drafted { entry: old[at].clone(), text: None, gone: false })
            }
        }
    }

    fn add(&mut self, descriptor: &Descriptor, pair: &Pair) {
        let entry = Entry { span: 0..0, descriptor: Ok(descriptor.clone()), pair: pair.clone() };
        self.places.enter(self.count(), &entry);
        self.added.push(Drafted { entry, text: Some(entry_text(descriptor, pair)), gone: false });
    }

    /// Changes what is at a place, and what is known of where things are.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut Drafted)) {
        let Some(was) = self.entry(at).cloned() else { return };
        self.places.leave(at, &was);
        change(self.drafted(at));
        if let Some(is) = self.entry(at).cloned() {
            self.places.enter(at, &is);
        }
    }

    /// Puts another descriptor in a place; the name there stays.
    fn replace(&mut self, at: usize, descriptor: &Descriptor) {
        let Some(Entry { pair, descriptor: old, .. }) = self.entry(at) else { return };
        let text = entry_text(descriptor, pair);
        let said = match self.touched(at).and_then(|drafted| drafted.text.as_deref()) {
            Some(said) => *said == text,
            None => old.as_ref().is_ok_and(|old| json::compact(old.text()) == text),
        };
        if said {
            return;
        }
        self.change(at, |drafted| {
            drafted.entry.descriptor = Ok(descriptor.clone());
            drafted.text = Some(text);
        });
    }

    fn remove(&mut self, at: usize) {
        self.change(at, |drafted| drafted.gone = true);
    }

    /// The places of the entries a reference names by the first two steps. Usage where they have
    /// different digests.
    fn named(&self, reference: &str) -> Result<Vec<usize>> {
        let places = self.places.named(reference);
        let mut digests = Vec::new();
        for &at in &places {
            if let Some(entry) = self.entry(at) {
                digests.push(&entry.descriptor(at)?.digest);
            }
        }
        digests.sort();
        digests.dedup();
        if digests.len() > 1 {
            let list: Vec<String> = digests.iter().map(ToString::to_string).collect();
            let why = format!("{reference} names {}", list.join(" and "));
            let error = Error::new(Kind::Usage, format!("could not tell which entry {reference} means")).because(why);
            let full = places.iter().filter_map(|&at| self.entry(at)?.pair.exact()).filter(|full| *full != reference);
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
                let places = self.places.of_pair(pair);
                if let Some(expected) = expect {
                    let as_expected = match expected {
                        None => places.is_empty(),
                        Some(digest) => !places.is_empty() && places.iter().all(|at| self.digest(*at) == Some(digest)),
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
                let places = self.named(reference)?;
                if places.is_empty() {
                    self.add(entry, &Pair::written(reference));
                }
                places.into_iter().for_each(|at| self.replace(at, entry));
            }
            Edit::Add { entry } => {
                if self.places.count(&entry.digest) == 0 {
                    self.add(entry, &Pair::default());
                }
            }
            Edit::Unname { reference, keep } => {
                let places = self.named(reference)?;
                let Some((&first, rest)) = places.split_first() else {
                    let what = format!("could not remove {reference}: there is no such name");
                    return Err(Error::new(Kind::NotFound, what));
                };
                rest.iter().for_each(|&at| self.remove(at));
                let last = self.digest(first).is_some_and(|digest| self.places.count(digest) == 1);
                match self.entry(first).map(|entry| entry.descriptor.clone()) {
                    Some(Ok(descriptor)) if *keep && last => self.change(first, |drafted| {
                        drafted.entry.pair = Pair::default();
                        drafted.text = Some(entry_text(&descriptor, &Pair::default()));
                    }),
                    _ => self.remove(first),
                }
            }
            Edit::Remove { digest, pair } => {
                self.places.of_digest(digest, pair).into_iter().for_each(|at| self.remove(at));
            }
        }
        Ok(())
    }

    /// What is to be changed in the text.
    fn splice(self) -> Splice {
        let mut splice = Splice::default();
        for (at, drafted) in self.changed {
            match (drafted.gone, drafted.text) {
                (true, _) => drop(splice.at.insert(at, None)),
                (false, Some(text)) => drop(splice.at.insert(at, Some(text))),
                (false, None) => {}
            }
        }
        let added = self.added.into_iter().filter(|drafted| !drafted.gone);
        splice.added = added.filter_map(|drafted| drafted.text).collect();
        splice
    }
}

/// Where the list of entries stands, if there is one.
fn list(index: &IndexFile) -> Option<Range<usize>> {
    index.manifests.clone().filter(|span| index.text()[span.clone()].starts_with('['))
}

/// What comes into the place of a stretch of index.json.
enum Change {
    Text(String),
    /// The list of manifests.
    List,
}

/// The text with entries replaced, removed and added, and whether everything around the entries is the same. `finish`:
/// it gets what has to be there, and loses what may not be.
fn spliced(index: &IndexFile, splice: &Splice, finish: bool) -> (String, bool) {
    let text = index.text();
    let mut changes: Vec<(Range<usize>, Change)> = Vec::new();
    let mut members: Vec<(&str, String)> = Vec::new();
    if finish {
        let cleaned = |span: Range<usize>| Some((span.clone(), Change::Text(without_bundle_keys(&text[span])?)));
        changes.extend(index.annotations.clone().and_then(cleaned));
        if !index.typed && !index.members.iter().any(|(name, _)| name == "mediaType") {
            members.push(("mediaType", json::quote(INDEX_TYPE)));
        }
    }
    if finish || !splice.is_empty() {
        let new = || format!("[{}]", splice.added.join(","));
        match (list(index), &index.manifests) {
            (Some(_), _) => {}
            (None, Some(null)) => changes.push((null.clone(), Change::Text(new()))),
            (None, None) => members.push(("manifests", new())),
        }
    }
    let same = changes.is_empty() && members.is_empty();
    if let Some(list) = list(index).filter(|_| !splice.is_empty()) {
        changes.push((list, Change::List));
    }
    if !members.is_empty() {
        let open = text.find('{').expect("an index.json is an object") + 1;
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("{}:{value}", json::quote(name))).collect();
        let comma = if index.members.is_empty() { "" } else { "," };
        changes.push((open..open, Change::Text(members.join(",") + comma)));
    }
    changes.sort_by_key(|(span, _)| span.start);
    let new = changes.iter().map(|(_, new)| if let Change::Text(new) = new { new.len() } else { 0 });
    let entries = splice.added.iter().chain(splice.at.values().flatten()).map(|new| new.len() + 1);
    let mut out = String::with_capacity(text.len() + new.chain(entries).sum::<usize>());
    let mut at = 0;
    for (span, new) in changes {
        out.push_str(&text[at..span.start]);
        match new {
            Change::Text(new) => out.push_str(&new),
            Change::List => array(&mut out, index, &span, splice),
        }
        at = span.end;
    }
    out.push_str(&text[at..]);
    (out, same)
}

/// Writes the list with entries replaced, removed and added.
fn array(out: &mut String, index: &IndexFile, list: &Range<usize>, splice: &Splice) {
    let (text, entries) = (index.text(), index.entries());
    // What stands in front of the first entry, between two, and behind the last.
    let head = &text[list.start + 1..entries.first().map_or(list.end - 1, |first| first.span.start)];
    let tail = entries.last().map_or("", |last| &text[last.span.end..list.end - 1]);
    let usual = match entries {
        [.., before, last] => &text[before.span.end..last.span.start],
        [_] if head.trim().is_empty() && head.contains('\n') => &format!(",{head}"),
        _ => ",",
    };
    out.push('[');
    let mut empty = true;
    for (at, entry) in entries.iter().enumerate() {
        let kept = match splice.at.get(&at) {
            Some(None) => continue,
            Some(Some(new)) => new,
            None => &text[entry.span.clone()],
        };
        // The first that is left stands where the first stood; others keep the gap they had.
        out.push_str(if empty { head } else { &text[entries[at - 1].span.end..entry.span.start] });
        out.push_str(kept);
        empty = false;
    }
    for new in &splice.added {
        out.push_str(match empty {
            true if entries.is_empty() => "",
            true => head,
            false => usual,
        });
        out.push_str(new);
        empty = false;
    }
    if !empty {
        out.push_str(tail);
    }
    out.push(']');
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
