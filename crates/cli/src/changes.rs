//! What a change of index.json did to names: the answer of `tag`, `untag` and `rm`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use ocistow_layout::edit::{Edit, kept};
use ocistow_layout::index::IndexFile;
use ocistow_layout::name::Pair;
use ocistow_layout::{Digest, Result};
use serde::Serialize;

use crate::look::Look;
use crate::shown::shown;
use crate::speak::Answer;

/// What changed between two states of index.json.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Names that stand for something else now, for something at all, or for nothing any more.
    pub changed: Vec<Changed>,
    /// Digests that no entry has any more, and what was deleted with them.
    pub removed: Vec<Digest>,
    /// Names that were given and stood for that already: people are told of those too.
    #[serde(skip)]
    kept: Vec<(String, Digest)>,
}

/// A name that changed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    tag: Option<String>,
    name: Option<String>,
    from: Option<Digest>,
    to: Option<Digest>,
}

impl Changes {
    /// Compares two states. Integrity where an entry of either is no descriptor.
    pub fn between(before: &IndexFile, after: &IndexFile) -> Result<Self> {
        let (old, new) = (names(before)?, names(after)?);
        let pairs: BTreeSet<&Pair> = old.keys().chain(new.keys()).collect();
        let mut changed = Vec::new();
        for pair in pairs {
            let (from, to) = (old.get(pair).cloned(), new.get(pair).cloned());
            if from != to {
                let (tag, name) = (pair.tag().map(str::to_owned), pair.full().map(str::to_owned));
                changed.push(Changed { tag, name, from, to });
            }
        }
        let digests = |index: &IndexFile| -> Result<BTreeSet<Digest>> {
            Ok(index.descriptors()?.into_iter().map(|entry| entry.digest.clone()).collect())
        };
        let left = digests(after)?;
        let removed = digests(before)?.into_iter().filter(|digest| !left.contains(digest)).collect();
        Ok(Self { changed, removed, kept: Vec::new() })
    }

    /// Adds the names that `edits` give to what they stood for already.
    pub fn and_kept(&mut self, before: &IndexFile, edits: &[Edit]) {
        self.kept = kept(before, edits);
    }

    /// Adds what was deleted though it had no entry of its own.
    pub fn and_removed(&mut self, deleted: &[Digest]) {
        self.removed.extend_from_slice(deleted);
        self.removed.sort();
        self.removed.dedup();
    }
}

/// What each name stands for, however it is spelled; of doubled names the last.
fn names(index: &IndexFile) -> Result<BTreeMap<Pair, Digest>> {
    let mut names = BTreeMap::new();
    for (at, entry) in index.entries().iter().enumerate().filter(|(_, entry)| entry.tagged()) {
        names.insert(entry.pair.key(), entry.descriptor(at)?.digest.clone());
    }
    Ok(names)
}

impl Answer for Changes {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        for change in &self.changed {
            let name = change.name.as_deref().or(change.tag.as_deref()).unwrap_or_default();
            let name = look.bold(&shown(name));
            match (&change.from, &change.to) {
                (None, Some(to)) => writeln!(out, "{name} is {to}")?,
                (Some(from), Some(to)) => writeln!(out, "{name} is {to}, was {from}")?,
                (Some(from), None) => writeln!(out, "{name} is gone, was {from}")?,
                (None, None) => {}
            }
        }
        for (name, digest) in &self.kept {
            writeln!(out, "{} is {digest}", look.bold(&shown(name)))?;
        }
        let told: BTreeSet<&Digest> = self.changed.iter().filter_map(|change| change.from.as_ref()).collect();
        let untold = self.removed.iter().filter(|digest| !told.contains(digest));
        untold.into_iter().try_for_each(|digest| writeln!(out, "{digest} is gone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(entries: &[(&str, char)]) -> IndexFile {
        let entry = |(name, hex): &(&str, char)| {
            let digest = format!("sha256:{}", hex.to_string().repeat(64));
            format!(
                r#"{{"mediaType":"x/y","digest":"{digest}","size":1,"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#
            )
        };
        let list: Vec<String> = entries.iter().map(entry).collect();
        IndexFile::parse(format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list.join(",")).into_bytes()).unwrap()
    }

    #[test]
    fn changes_tell_names_that_came_moved_and_went() {
        let before = index(&[("same", 'a'), ("moves", 'b'), ("goes", 'c')]);
        let after = index(&[("same", 'a'), ("moves", 'a'), ("comes", 'd')]);
        let changes = Changes::between(&before, &after).unwrap();
        let words: Vec<String> = changes
            .changed
            .iter()
            .map(|change| {
                let first = |digest: &Option<Digest>| {
                    digest.as_ref().map_or("-".into(), |digest| digest.encoded()[..1].to_owned())
                };
                format!("{} {}{}", change.tag.as_deref().unwrap(), first(&change.from), first(&change.to))
            })
            .collect();
        assert_eq!(words, ["comes -d", "goes c-", "moves ba"]);
        let removed: Vec<String> = changes.removed.iter().map(|digest| digest.encoded()[..1].to_owned()).collect();
        assert_eq!(removed, ["b", "c"]);
    }
}
