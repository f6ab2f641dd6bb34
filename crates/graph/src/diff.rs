//! What is different between two layouts, or between two references: names, entries without one, blobs.

use std::collections::{BTreeMap, BTreeSet};

use ocistow_layout::name::Pair;
use ocistow_layout::{Blob, Count, Digest, Kind, Result, Source};

use crate::closure::{Closure, Reach};
use crate::du::there;
use crate::graph::{Broken, Graph, Unread, embedded};
use crate::import::Moved;
use crate::resolve::Target;

/// One of two things that are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// What each name stands for: several digests where it is given several times, none where an entry is no
    /// descriptor.
    names: BTreeMap<Pair, BTreeSet<Option<Digest>>>,
    untagged: BTreeSet<Digest>,
    blobs: BTreeMap<Digest, u64>,
    /// What is needed and not there.
    pub missing: BTreeSet<Digest>,
    /// What is there and wrong, as far as that can be told without reading blobs, and why.
    pub broken: BTreeMap<Digest, String>,
    /// Entries of index.json that are no descriptors, and why.
    pub unreadable: BTreeMap<usize, String>,
}

impl Side {
    /// All of a layout: its index.json, and every blob that lies there, needed or not. No manifest is read.
    pub fn layout(source: &dyn Source) -> Result<Self> {
        let mut side = Self::default();
        side.blobs.extend(there(source, &mut side.broken)?);
        for (place, entry) in source.index()?.entries().iter().enumerate() {
            let digest = match &entry.descriptor {
                Ok(descriptor) => {
                    if !side.blobs.contains_key(&descriptor.digest) && embedded(descriptor).is_none() {
                        side.missing.insert(descriptor.digest.clone());
                    }
                    Some(descriptor.digest.clone())
                }
                Err(why) => {
                    side.unreadable.insert(place, why.clone());
                    None
                }
            };
            if entry.tagged() {
                side.names.entry(entry.pair.key()).or_default().insert(digest);
            } else {
                side.untagged.extend(digest);
            }
        }
        Ok(side)
    }

    /// What one reference stands for, under the name by which it is compared, and what goes along with it:
    /// what it needs, its referrers and what those need. How that is entered and listed is not compared.
    pub fn reference(graph: &Graph, source: &dyn Source, target: &Target, name: &Pair) -> Result<Self> {
        let reach = Reach { platforms: &[], referrers: true, subjects: false };
        let mut closure = Closure::new(graph, source, reach);
        closure.whole(&target.descriptor)?;
        let carried = closure.into_carried();
        let unread = |(_, why): &(&Digest, &Broken)| why.kind() == Kind::Failed;
        let unread = carried.broken.iter().filter(unread).map(|(digest, why)| (digest.clone(), why.to_string()));
        Unread(unread.collect()).verdict()?;
        let broken = carried.broken.iter().map(|(digest, why)| (digest.clone(), why.to_string())).collect();
        let mut side = Self { broken, ..Self::default() };
        side.blobs.extend(carried.groups().into_iter().flatten().map(|blob| (blob.digest, blob.size)));
        side.missing.extend(carried.missing.into_iter().filter(|digest| !side.blobs.contains_key(digest)));
        side.names.insert(name.clone(), BTreeSet::from([Some(target.descriptor.digest.clone())]));
        Ok(side)
    }

    /// A name that stands for something here, and for nothing there.
    fn only(&self, name: &Pair, digest: Option<&Digest>) -> Named {
        Named {
            tag: name.tag().map(str::to_owned),
            name: name.full().map(str::to_owned),
            digest: digest.cloned(),
            absent: digest.is_some_and(|digest| self.missing.contains(digest)),
        }
    }
}

/// What is different between a side A and a side B. Everything is in order: of names, or of digests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Names that only B has.
    pub added: Vec<Named>,
    /// Names that only A has.
    pub removed: Vec<Named>,
    /// Names that both have and that do not stand for the same: from A to B. A name that stands for several
    /// digests is added or removed once for each that only one side has.
    pub changed: Vec<Moved>,
    /// Digests that have an entry without a name on one side only: A, B.
    pub untagged: [Vec<Digest>; 2],
    /// Blobs that one side has alone: A, B. A blob of two lengths is in both lists.
    pub only: [Vec<Blob>; 2],
    /// Blobs that both have.
    pub both: Count,
}

/// A name that only one side has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Named {
    /// `ref.name`, or the tag of the full name.
    pub tag: Option<String>,
    /// `io.containerd.image.name`, or the full name in `ref.name`.
    pub name: Option<String>,
    /// What it stands for; `None` where its entry is no descriptor.
    pub digest: Option<Digest>,
    /// Whether that is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

impl Difference {
    /// Compares two sides. Blobs are the same if digest and length are: their content is not read.
    pub fn between(a: &Side, b: &Side) -> Self {
        let mut difference = Self::default();
        let names: BTreeSet<&Pair> = a.names.keys().chain(b.names.keys()).collect();
        for name in names {
            difference.name(name, a, b);
        }
        let left = |one: &Side, other: &Side| one.untagged.difference(&other.untagged).cloned().collect();
        difference.untagged = [left(a, b), left(b, a)];
        for (at, (one, other)) in [(a, b), (b, a)].into_iter().enumerate() {
            for (digest, size) in &one.blobs {
                if other.blobs.get(digest) != Some(size) {
                    difference.only[at].push(Blob { digest: digest.clone(), size: *size });
                } else if at == 0 {
                    difference.both.add(*size);
                }
            }
        }
        difference
    }

    fn name(&mut self, name: &Pair, a: &Side, b: &Side) {
        let nothing = BTreeSet::new();
        let [of_a, of_b] = [a, b].map(|side| side.names.get(name).unwrap_or(&nothing));
        let gone: Vec<Option<&Digest>> = of_a.difference(of_b).map(Option::as_ref).collect();
        let come: Vec<Option<&Digest>> = of_b.difference(of_a).map(Option::as_ref).collect();
        if let ([from], [to]) = (&gone[..], &come[..]) {
            let Named { tag, name, .. } = a.only(name, None);
            self.changed.push(Moved { tag, name, from: from.cloned(), to: to.cloned() });
            return;
        }
        self.removed.extend(gone.into_iter().map(|digest| a.only(name, digest)));
        self.added.extend(come.into_iter().map(|digest| b.only(name, digest)));
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        let Self { added, removed, changed, untagged, only, both: _ } = self;
        let lists = [added.is_empty(), removed.is_empty(), changed.is_empty()];
        lists.into_iter().all(|empty| empty) && untagged.iter().all(Vec::is_empty) && only.iter().all(Vec::is_empty)
    }

    /// Blobs that the two sides have in different lengths: at least one of each is not whole.
    pub fn of_two_lengths(&self) -> Vec<&Digest> {
        let other: BTreeSet<&Digest> = self.only[1].iter().map(|blob| &blob.digest).collect();
        self.only[0].iter().map(|blob| &blob.digest).filter(|digest| other.contains(digest)).collect()
    }
}
