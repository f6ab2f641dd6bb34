//! What a layout takes, and for whom: in total, alone, and shared with others.

use std::collections::{BTreeMap, HashMap, HashSet};

use ocistow_layout::{Count, Descriptor, Digest, Kind, Result, Source};

use crate::graph::{About, Graph, Node, Standing, embedded};
use crate::owners::{Edges, Owned, owned};

/// What a layout takes. Every blob is counted once in each sum, by its length in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The roots, in the order of index.json. Roots of one digest have the same numbers: they share nothing
    /// with each other.
    pub roots: Vec<RootUsage>,
    /// What the entries of index.json lead to, roots or not, and is there. With
    /// [`unreachable`](Self::unreachable) this is every blob there is.
    pub total: Count,
    /// That part of `total` that goes along with no root: referrers of what is not here, lists of what does not
    /// refer there.
    pub rootless: Count,
    /// Blobs that no entry leads to. `gc` may remove more: a referrer's entry lives no longer than its subject.
    pub unreachable: Count,
    /// What the entries lead to and is not there, by what its descriptors say: children of indexes too, which
    /// need not have been carried, but no layers that are not to be distributed, and nothing that its
    /// descriptor brings along in its `data`.
    pub absent: Count,
    /// What writers put aside: see [`Source::staged`].
    pub staged: Count,
    /// All blobs of these sums but the staged, in digest order.
    pub blobs: Vec<BlobUsage>,
    /// What is there and cannot be used, and why: what it needs is counted as if nothing needed it.
    pub broken: BTreeMap<Digest, String>,
}

/// What a root takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootUsage {
    /// The place of its entry in index.json.
    pub place: usize,
    /// What goes along with it and is there: what it needs, its referrers and the lists of them, and what
    /// those need, recursively.
    pub total: Count,
    /// That part of `total` that goes along with no root of another digest.
    pub unique: Count,
}

impl RootUsage {
    /// That part of `total` that goes along with roots of other digests too.
    pub fn shared(&self) -> Count {
        let Self { total, unique, .. } = self;
        Count { blobs: total.blobs - unique.blobs, bytes: total.bytes - unique.bytes }
    }
}

/// What a blob is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobUsage {
    /// Its name.
    pub digest: Digest,
    /// Its length; as its descriptors say where it is absent.
    pub size: u64,
    /// Whether it is there.
    pub there: bool,
    /// Whether an entry of index.json leads to it.
    pub reached: bool,
    /// How many roots, different in their digests, it goes along with.
    pub roots: u32,
}

/// Sums up what `source` holds, whose graph this is. No content is read.
///
/// What goes along with a root is what [`plan::export`](crate::plan::export) would carry for it, of what the
/// entries of index.json lead to. `Err` only where the source cannot be listed, or a length
/// not be told.
pub fn usage(graph: &Graph, source: &dyn Source) -> Result<Usage> {
    let mut broken = BTreeMap::new();
    let there = there(source, &mut broken)?;
    for (digest, node) in graph.nodes() {
        if let Node::Broken(why) = node {
            broken.insert(digest.clone(), why.to_string());
        }
    }
    let reached = Reached::of(graph);
    let weights: Vec<Option<u64>> = reached.digests.iter().map(|digest| there.get(digest).copied()).collect();
    let mut rows = Vec::new();
    let (mut roots, mut places) = (Vec::new(), HashMap::new());
    for place in graph.roots() {
        if let Ok(descriptor) = &graph.index().entries()[place].descriptor {
            let node = reached.places[&descriptor.digest];
            let root = *places.entry(node).or_insert(roots.len());
            if root == roots.len() {
                roots.push(node);
            }
            rows.push((place, root));
        }
    }
    let Owned { sums, owners } = owned(&reached.edges(graph), &weights, &roots);

    let mut unique = vec![Count::default(); roots.len()];
    let [mut total, mut rootless, mut unreachable, mut absent] = [Count::default(); 4];
    let mut blobs = Vec::with_capacity(there.len());
    for (digest, size) in there.into_iter().filter(|(digest, _)| !reached.places.contains_key(digest)) {
        unreachable.add(size);
        blobs.push(BlobUsage { digest, size, there: true, reached: false, roots: 0 });
    }
    let Reached { digests, needed, places, .. } = reached;
    // An enemy's indexes name millions.
    drop(places);
    for (node, digest) in digests.into_iter().enumerate() {
        let (owners, weight) = (owners[node], weights[node]);
        match (weight, needed[node]) {
            (Some(size), _) => {
                total.add(size);
                match owners.count {
                    0 => rootless.add(size),
                    1 => unique[owners.one as usize].add(size),
                    _ => {}
                }
            }
            (None, Some(size)) => absent.add(size),
            (None, None) => continue,
        }
        let size = weight.or(needed[node]).unwrap_or_default();
        blobs.push(BlobUsage { digest, size, there: weight.is_some(), reached: true, roots: owners.count });
    }
    blobs.sort_unstable_by(|one, other| one.digest.cmp(&other.digest));
    let row = |(place, root): (usize, usize)| RootUsage { place, total: sums[root], unique: unique[root] };
    let roots = rows.into_iter().map(row).collect();
    Ok(Usage { roots, total, rootless, unreachable, absent, staged: source.staged()?, blobs, broken })
}

/// Every blob that is there, and its length. What lies under a blob's name and can be none is broken.
pub(crate) fn there(source: &dyn Source, broken: &mut BTreeMap<Digest, String>) -> Result<HashMap<Digest, u64>> {
    let (mut there, mut unread) = (HashMap::new(), Ok(()));
    source.names(&mut |digest| match source.size(&digest) {
        Ok(Some(size)) => drop(there.insert(digest, size)),
        // It went away meanwhile.
        Ok(None) => {}
        Err(why) if why.kind() == Kind::Failed => unread = Err(why),
        Err(why) => drop(broken.insert(digest, why.chain())),
    })?;
    unread.map(|()| there)
}

/// What the entries of index.json lead to, there or not, each with a number.
struct Reached<'g> {
    digests: Vec<Digest>,
    places: HashMap<Digest, u32>,
    /// What descriptors say of the length of that which is missed where it is not there.
    needed: Vec<Option<u64>>,
    /// The parts of each, in its order.
    parts: Edges,
    /// Lists of referrers that are nothing else.
    lists: HashSet<&'g Digest>,
}

impl<'g> Reached<'g> {
    fn of(graph: &'g Graph) -> Self {
        let lists: HashSet<&Digest> = graph.lists().iter().map(|list| &list.digest).collect();
        let (digests, places, needed, parts) = Default::default();
        let mut reached = Self { digests, places, needed, parts, lists: lists.clone() };
        let mut brought = Vec::new();
        for (place, entry) in graph.index().entries().iter().enumerate() {
            if let Ok(descriptor) = &entry.descriptor {
                reached.meet(descriptor, true, &mut brought);
                if graph.standing(place) != Standing::List {
                    reached.lists.remove(&descriptor.digest);
                }
            }
        }
        // What is met grows while it is walked through.
        let mut next = 0;
        while let Some(digest) = reached.digests.get(next) {
            next += 1;
            let listing = lists.contains(digest);
            let parts = graph.facts(digest).map_or(Vec::new(), |facts| facts.parts);
            let mut places = Vec::with_capacity(parts.len());
            for part in parts {
                // That a list names what is not there is the list's own trouble.
                let needed = !listing && !part.is_nondistributable();
                places.push(reached.meet(&part.descriptor, needed, &mut brought));
                if !listing {
                    reached.lists.remove(&part.descriptor.digest);
                }
            }
            reached.parts.push(places);
        }
        // What one descriptor brings along, no other one misses.
        for place in brought {
            reached.needed[place as usize] = None;
        }
        reached
    }

    /// The number of what a descriptor points to. `needed`: whether it is missed where it is not there.
    fn meet(&mut self, descriptor: &Descriptor, needed: bool, brought: &mut Vec<u32>) -> u32 {
        let number = u32::try_from(self.digests.len()).expect("so many digests fit no memory");
        let place = *self.places.entry(descriptor.digest.clone()).or_insert(number);
        if place == number {
            self.digests.push(descriptor.digest.clone());
            self.needed.push(None);
        }
        if embedded(descriptor).is_some() {
            brought.push(place);
        }
        if needed {
            let known = &mut self.needed[place as usize];
            *known = (*known).max(Some(descriptor.size));
        }
        place
    }

    /// What goes along with what: parts, referrers, and lists of them, whose members go along by themselves.
    fn edges(&self, graph: &Graph) -> Edges {
        let mut by_tag: HashMap<&str, Vec<u32>> = HashMap::new();
        let mut by_subject: HashMap<&Digest, Vec<u32>> = HashMap::new();
        for list in graph.lists().iter().filter(|list| self.lists.contains(&list.digest)) {
            let lists = match &list.about {
                About::Tag(tag) => by_tag.entry(tag).or_default(),
                About::Subject(subject) => by_subject.entry(subject).or_default(),
            };
            lists.push(self.places[&list.digest]);
        }
        let mut edges = Edges::default();
        for (node, digest) in (0..).zip(&self.digests) {
            let parts = if self.lists.contains(digest) { &[] } else { self.parts.of(node) };
            let referrers = graph.referrers(digest).iter().filter_map(|edge| self.places.get(&edge.referrer));
            let tagged = if by_tag.is_empty() { None } else { by_tag.get(&*digest.fallback_tag()) };
            let lists = tagged.into_iter().chain(by_subject.get(digest)).flatten();
            edges.push(parts.iter().chain(referrers).chain(lists).copied());
        }
        edges
    }
}
