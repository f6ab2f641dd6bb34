//! Where the entries are that edits name: looked for once, however many edits there are.

use std::collections::{BTreeSet, HashMap};

use super::Edit;
use crate::digest::Digest;
use crate::index::{Entry, IndexFile};
use crate::name::{Pair, docker_normal};

/// Places of entries, by what edits ask for and by nothing else. Has to be told of every entry that comes, goes or
/// becomes another.
#[derive(Default)]
pub(super) struct Places {
    /// By the pair names are compared by.
    pairs: HashMap<Pair, BTreeSet<usize>>,
    /// By `ref.name`.
    references: HashMap<String, BTreeSet<usize>>,
    /// By `io.containerd.image.name`, as Docker would spell it out.
    images: HashMap<String, BTreeSet<usize>>,
    digests: HashMap<Digest, OfDigest>,
}

/// Places of the entries with one digest.
#[derive(Default)]
struct OfDigest {
    count: usize,
    /// By exactly the pair.
    pairs: HashMap<Pair, BTreeSet<usize>>,
}

impl Places {
    /// Those in `index` that `edits` ask for.
    pub fn of(index: &IndexFile, edits: &[Edit]) -> Self {
        let mut places = Self::default();
        for edit in edits {
            match edit {
                Edit::Set { pair, .. } => drop(places.pairs.entry(pair.key()).or_default()),
                Edit::Add { entry } => places.ask_for(&entry.digest),
                Edit::Remove { digest, .. } => places.ask_for(digest),
                Edit::Name { reference, .. } | Edit::Unname { reference, .. } => {
                    places.references.entry(reference.clone()).or_default();
                    places.images.entry(docker_normal(reference)).or_default();
                }
                Edit::Beside { .. } => {}
            }
        }
        let entries = || index.entries().iter().enumerate();
        entries().for_each(|(at, entry)| places.by_name(at, entry, true));
        if edits.iter().any(|edit| matches!(edit, Edit::Unname { keep: true, .. })) {
            // Whether what loses a name is the last of its digest is asked of whatever may have that name by then.
            edits.iter().filter_map(Edit::entry).for_each(|entry| places.ask_for(&entry.digest));
            let named: BTreeSet<usize> =
                places.references.values().chain(places.images.values()).flatten().copied().collect();
            let named = named.into_iter().filter_map(|at| index.entries()[at].descriptor.as_ref().ok());
            named.for_each(|named| places.ask_for(&named.digest));
        }
        entries().for_each(|(at, entry)| places.by_digest(at, entry, true));
        places
    }

    fn ask_for(&mut self, digest: &Digest) {
        self.digests.entry(digest.clone()).or_default();
    }

    /// The entry is there from now on.
    pub fn enter(&mut self, at: usize, entry: &Entry) {
        self.by_name(at, entry, true);
        self.by_digest(at, entry, true);
    }

    /// The entry is not there any more.
    pub fn leave(&mut self, at: usize, entry: &Entry) {
        self.by_name(at, entry, false);
        self.by_digest(at, entry, false);
    }

    fn by_name(&mut self, at: usize, Entry { pair, .. }: &Entry, there: bool) {
        if !self.pairs.is_empty() && !pair.is_empty() {
            put(self.pairs.get_mut(&pair.key()), at, there);
        }
        if let Some(reference) = &pair.reference {
            put(self.references.get_mut(reference), at, there);
        }
        if let Some(image) = pair.image.as_deref().filter(|_| !self.images.is_empty()) {
            put(self.images.get_mut(&docker_normal(image)), at, there);
        }
    }

    fn by_digest(&mut self, at: usize, entry: &Entry, there: bool) {
        let Ok(descriptor) = &entry.descriptor else { return };
        if let Some(known) = self.digests.get_mut(&descriptor.digest) {
            put(Some(known.pairs.entry(entry.pair.clone()).or_default()), at, there);
            known.count = if there { known.count + 1 } else { known.count - 1 };
        }
    }

    /// The entries of the name that is `pair`, however it is spelled.
    pub fn of_pair(&self, pair: &Pair) -> Vec<usize> {
        self.pairs.get(&pair.key()).into_iter().flatten().copied().collect()
    }

    /// The entries that a reference names by the first two steps: see [`look_up`](crate::name::look_up).
    pub fn named(&self, reference: &str) -> Vec<usize> {
        let tagged = self.references.get(reference).filter(|places| !places.is_empty());
        let named = tagged.or_else(|| self.images.get(&docker_normal(reference)));
        named.into_iter().flatten().copied().collect()
    }

    /// The entries with this digest and exactly this pair.
    pub fn of_digest(&self, digest: &Digest, pair: &Pair) -> Vec<usize> {
        self.digests.get(digest).and_then(|known| known.pairs.get(pair)).into_iter().flatten().copied().collect()
    }

    /// How many entries have this digest.
    pub fn count(&self, digest: &Digest) -> usize {
        self.digests.get(digest).map_or(0, |known| known.count)
    }
}

fn put(places: Option<&mut BTreeSet<usize>>, at: usize, there: bool) {
    if let Some(places) = places {
        if there {
            places.insert(at)
        } else {
            places.remove(&at)
        };
    }
}
