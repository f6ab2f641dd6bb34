//! The judge: reads a layout on its own account, and holds it against what was claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ocistow_layout::Digest;
use serde_json::Value;

use super::Claim;

/// What index.json says.
#[derive(Default)]
pub struct Layout {
    /// What each tag stands for.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// The digests of all entries.
    pub entries: BTreeSet<String>,
}

impl Layout {
    /// Reads index.json.
    pub fn read(layout: &Path) -> Result<Self, String> {
        Self::parse(&fs::read(layout.join("index.json")).map_err(|why| why.to_string())?)
    }

    /// The same, of these bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let index: Value = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        let mut layout = Self::default();
        for entry in index["manifests"].as_array().ok_or("it has no manifests")? {
            let digest = entry["digest"].as_str().ok_or("an entry has no digest")?.to_owned();
            if let Some(tag) = entry["annotations"]["org.opencontainers.image.ref.name"].as_str() {
                layout.tags.entry(tag.to_owned()).or_default().insert(digest.clone());
            }
            layout.entries.insert(digest);
        }
        Ok(layout)
    }

    /// Everything that an entry reaches and that is missing or wrong.
    pub fn damaged(&self, layout: &Path) -> BTreeSet<String> {
        self.wrong(layout, &mut BTreeSet::new()).into_iter().map(|(_, why)| why).collect()
    }

    /// The same: pairs of the entry, and what is wrong. What is `right` already is not read again.
    pub fn wrong(&self, layout: &Path, right: &mut BTreeSet<String>) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for entry in &self.entries {
            let mut ahead = vec![(entry.clone(), true)];
            while let Some((digest, manifest)) = ahead.pop() {
                if right.contains(&digest) {
                    continue;
                }
                match blob(layout, &digest) {
                    Err(why) => wrong.push((entry.clone(), format!("{digest}: {why}"))),
                    Ok(bytes) => {
                        ahead.extend(if manifest { parts(&bytes) } else { Vec::new() });
                        right.insert(digest);
                    }
                }
            }
        }
        wrong
    }
}

/// A blob that is there and has this digest.
fn blob(layout: &Path, digest: &str) -> Result<Vec<u8>, String> {
    let (algorithm, encoded) = digest.split_once(':').ok_or("it is no digest")?;
    let bytes = fs::read(layout.join("blobs").join(algorithm).join(encoded)).map_err(|why| why.to_string())?;
    let is = Digest::of(&bytes).to_string();
    if is == digest { Ok(bytes) } else { Err(format!("its content has the digest {is}")) }
}

/// What a manifest needs, and whether that is a manifest too.
fn parts(manifest: &[u8]) -> Vec<(String, bool)> {
    let Ok(manifest) = serde_json::from_slice::<Value>(manifest) else { return Vec::new() };
    let mut parts = Vec::new();
    for (member, manifests) in [("config", false), ("layers", false), ("blobs", false), ("manifests", true)] {
        let listed = match &manifest[member] {
            Value::Array(list) => list.iter().collect(),
            one => vec![one],
        };
        parts.extend(listed.iter().filter_map(|part| Some((part["digest"].as_str()?.to_owned(), manifests))));
    }
    parts
}

/// Everything that was claimed and has to be so from then on.
#[derive(Default)]
pub struct Standing {
    /// Tags, and what each stands for, where that is known.
    pub tags: BTreeMap<String, Option<String>>,
    /// Digests of entries.
    pub entries: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// What was said of each tag that several write, when it was written last.
    shared: BTreeMap<String, BTreeSet<String>>,
    listed: BTreeSet<(String, String)>,
    /// What was claimed of something that nobody named.
    nameless: Vec<String>,
}

impl Standing {
    /// What a list under a fallback tag has to list.
    pub fn attached(&self) -> impl Iterator<Item = &str> {
        let lists = self.listed.iter().filter(|(tag, _)| tag.starts_with("sha256-"));
        lists.map(|(_, digest)| digest.as_str())
    }

    /// Takes in what was claimed in one round.
    pub fn note(&mut self, claims: Vec<Claim>) {
        let mut shared: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for claim in claims {
            match claim {
                Claim::There(tag) => drop(self.tags.insert(tag, None)),
                Claim::Stands(tag, Some(digest)) => drop(self.tags.insert(tag, Some(digest))),
                Claim::Shared(tag, Some(digest)) => drop(shared.entry(tag).or_default().insert(digest)),
                Claim::Entry(Some(digest)) => drop(self.entries.insert(digest)),
                Claim::Listed(tag, Some(digest)) => drop(self.listed.insert((tag, digest))),
                Claim::Gone(tag) => {
                    self.tags.remove(&tag);
                    self.gone.insert(tag);
                }
                Claim::Stands(_, None) | Claim::Shared(_, None) | Claim::Entry(None) | Claim::Listed(_, None) => {
                    self.nameless.push(format!("no digest was said: {claim:?}"));
                }
            }
        }
        self.shared.extend(shared);
    }

    /// What is not so, each thing once: it does not stand from then on.
    pub fn lost(&mut self, layout: &Path, found: &Result<Layout, String>) -> Vec<String> {
        let mut lost = std::mem::take(&mut self.nameless);
        let nothing = Layout::default();
        let found = found.as_ref().unwrap_or(&nothing);
        let stands = |tag: &str| found.tags.get(tag).cloned().unwrap_or_default();
        self.tags.retain(|tag, digest| {
            let is = stands(tag);
            let so = digest.as_ref().map_or(!is.is_empty(), |digest| is == BTreeSet::from([digest.clone()]));
            if !so {
                lost.push(format!("{tag} of {digest:?}: it stands for {is:?}"));
            }
            so
        });
        self.entries.retain(|digest| {
            let so = found.entries.contains(digest);
            if !so {
                lost.push(format!("the entry {digest}"));
            }
            so
        });
        self.gone.retain(|tag| {
            let so = stands(tag).is_empty();
            if !so {
                lost.push(format!("{tag} is back"));
            }
            so
        });
        self.shared.retain(|tag, said| {
            let is = stands(tag);
            let so = is.len() == 1 && is.is_subset(said);
            if !so {
                lost.push(format!("{tag} stands for {is:?}, which nobody said"));
            }
            so
        });
        self.listed.retain(|(tag, digest)| {
            let indexes: Vec<Vec<u8>> = stands(tag).iter().filter_map(|index| blob(layout, index).ok()).collect();
            let so = indexes.iter().any(|index| parts(index).iter().any(|(part, _)| part == digest));
            if !so {
                lost.push(format!("{digest} in the index {tag}"));
            }
            so
        });
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Drawing, draw, to_dir};

    const WORLD: &str = "image a:a = base\nimage b:b = base\nindex all:all = a\nartifact odd : application/x.odd";

    /// What is lost of a claim in a layout, and what is damaged in that.
    fn judged(layout: &Path, claim: Claim) -> (Vec<String>, BTreeSet<String>) {
        let mut standing = Standing::default();
        standing.note(vec![claim]);
        let found = Layout::read(layout);
        let lost = standing.lost(layout, &found);
        assert_eq!(standing.lost(layout, &found), Vec::<String>::new(), "it is told once");
        (lost, found.map(|found| found.damaged(layout)).unwrap_or_default())
    }

    fn claims(world: &Drawing, right: bool) -> Vec<Claim> {
        let (one, other) = if right { ("a", "b") } else { ("b", "a") };
        let [one, other, odd] = [one, other, "odd"].map(|name| world.digest(name).to_string());
        let not = |digest: &str| if right { digest.to_owned() } else { digest.replace(['0', '1', '2'], "3") };
        vec![
            Claim::Stands("a".into(), Some(one.clone())),
            Claim::Shared("b".into(), Some(other)),
            Claim::Listed("all".into(), Some(one)),
            Claim::Entry(Some(not(&odd))),
            Claim::There(if right { "a" } else { "c" }.into()),
            Claim::Gone(if right { "c" } else { "a" }.into()),
        ]
    }

    #[test]
    fn what_is_so_is_not_lost_and_what_is_not_so_is() {
        let dir = tempfile::tempdir().expect("there is room");
        let world = draw(WORLD);
        to_dir(&world.memory, dir.path()).expect("there is room");
        for claim in claims(&world, true) {
            assert_eq!(judged(dir.path(), claim.clone()), Default::default(), "{claim:?}");
        }
        for claim in claims(&world, false) {
            assert_eq!(judged(dir.path(), claim.clone()).0.len(), 1, "{claim:?}");
        }
        assert_eq!(judged(dir.path(), Claim::Entry(None)).0.len(), 1, "nobody said which");
        fs::write(dir.path().join("index.json"), "{").expect("there is room");
        assert_eq!(judged(dir.path(), Claim::There("a".into())).0.len(), 1);
    }

    #[test]
    fn what_is_missing_or_wrong_is_damaged() {
        for harm in ["absent base", "damage base", "absent a", "cut odd.file", "damage b.config"] {
            let dir = tempfile::tempdir().expect("there is room");
            let world = draw(&format!("{WORLD}\n{harm}"));
            to_dir(&world.memory, dir.path()).expect("there is room");
            let damaged = Layout::read(dir.path()).expect("it is an index.json").damaged(dir.path());
            let harmed = world.digest(harm.split(' ').nth(1).expect("something is harmed")).to_string();
            assert_eq!(damaged.len(), 1, "{harm}: {damaged:?}");
            assert!(damaged.iter().all(|why| why.starts_with(&harmed)), "{harm}: {damaged:?}");
        }
    }
}
