//! How a damaged layout is mended: what it lacks, where that is taken from, and what stays as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ocistow_layout::checked::MAX_MANIFEST;
use ocistow_layout::{Access, Blob, Descriptor, Digest, Result, Source, Watch, checked};

use crate::facts::{Facts, Form, says_nothing};
use crate::fsck::Examination;
use crate::graph::{self, Graph, MAX_LIST, Node, embedded};
use crate::held::Held;

/// What is done next to mend a layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// What is taken from each of the other sources, in digest order. No blob is taken from two.
    pub take: Vec<Vec<Blob>>,
    /// Those of them that something needs as its config, layer or blob; the others may be manifests.
    pub parts: BTreeSet<Digest>,
    /// What other sources turned out not to have right: from which, and why.
    pub refused: BTreeMap<(Digest, usize), String>,
    /// What is amiss and stays so, and why.
    pub remains: BTreeMap<Digest, Remains>,
}

/// Why something is not mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remains {
    /// None of the other sources has it.
    Nowhere,
    /// Those that have it do not have it right.
    Refused,
    /// The layout has no place for it, and why.
    Blocked(String),
    /// Its algorithm is not known here: nobody could tell the right one from a wrong one.
    Unverifiable,
}

/// What came of the work so far.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    staged: BTreeMap<Digest, u64>,
    parts: BTreeSet<Digest>,
    refused: BTreeMap<(Digest, usize), String>,
    blocked: BTreeMap<Digest, String>,
}

impl Repair {
    /// Whether there is nothing left to take.
    pub fn is_empty(&self) -> bool {
        self.take.iter().all(Vec::is_empty)
    }
}

impl Tried {
    /// Takes note of a plan that is being carried out.
    pub fn begin(&mut self, repair: &Repair) {
        self.parts.extend(repair.parts.iter().cloned());
        self.refused.extend(repair.refused.clone());
    }

    /// A blob was staged.
    pub fn staged(&mut self, blob: Blob) {
        self.staged.insert(blob.digest, blob.size);
    }

    /// The source at a place does not have it right after all.
    pub fn refused(&mut self, digest: Digest, source: usize, why: String) {
        self.refused.insert((digest, source), why);
    }

    /// The layout has no place for it.
    pub fn blocked(&mut self, digest: Digest, why: String) {
        self.blocked.insert(digest, why);
    }

    /// What other sources turned out not to have right: from which, and why.
    pub fn refusals(&self) -> &BTreeMap<(Digest, usize), String> {
        &self.refused
    }

    /// Everything staged, what may be a manifest in front of what is a part: the order for publishing.
    pub fn order(&self) -> Vec<Blob> {
        let blobs = |parts: bool| {
            let of = self.staged.iter().filter(move |(digest, _)| self.parts.contains(digest) == parts);
            of.map(|(digest, size)| Blob { digest: digest.clone(), size: *size })
        };
        blobs(false).chain(blobs(true)).collect()
    }

    /// Whether what points at what may have changed by this.
    pub fn changes_the_graph(&self) -> bool {
        self.staged.keys().any(|digest| !self.parts.contains(digest))
    }
}

/// Decides what to take from `others` to mend `layout`, which was examined; the first that has something gives it.
///
/// Wanted is everything that is missing, and everything damaged, reached or not; absent children of an
/// index, and absent members of a stored list, only where the layout is to be `complete`. A manifest that is to be taken is read, checked, where it lies, so
/// that what it needs in turn is wanted too. What cannot be verified is never taken. `Err` where the watcher asked to
/// stop, or a source of one pass gives out.
pub fn plan(
    examination: &Examination,
    layout: &dyn Source,
    others: &[&dyn Source],
    tried: &Tried,
    watch: &dyn Watch,
) -> Result<Repair> {
    let mut repair = Repair { take: vec![Vec::new(); others.len()], ..Repair::default() };
    let Ok(graph) = &examination.graph else { return Ok(repair) };
    let lists = graph.lists().iter().map(|list| list.digest.clone()).collect();
    let mut walk = Walk {
        examination,
        graph,
        layout,
        others,
        tried,
        watch,
        lists,
        seen: HashSet::new(),
        known: Vec::new(),
        own: Vec::new(),
        wanted: Vec::new(),
        chosen: BTreeMap::new(),
        parts: BTreeSet::new(),
        refused: BTreeMap::new(),
        remains: BTreeMap::new(),
    };
    for descriptor in graph.index().entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok()) {
        walk.meet(descriptor, Held::Entry);
    }
    walk.run()?;
    // What nothing leads to needs nothing either.
    for digest in examination.evidence.damaged() {
        if walk.seen.insert(digest.clone())
            && let Some((source, size)) = walk.choose(digest, None)
        {
            walk.chosen.insert(digest.clone(), (source, size));
        }
    }
    for (digest, (source, size)) in walk.chosen {
        if !tried.staged.contains_key(&digest) {
            repair.take[source].push(Blob { digest, size });
        }
    }
    Ok(Repair { parts: walk.parts, refused: walk.refused, remains: walk.remains, ..repair })
}

/// The walk from index.json over all that is needed, through what is there and what will be.
struct Walk<'w> {
    examination: &'w Examination,
    graph: &'w Graph,
    layout: &'w dyn Source,
    others: &'w [&'w dyn Source],
    tried: &'w Tried,
    watch: &'w dyn Watch,
    lists: HashSet<Digest>,
    seen: HashSet<Digest>,
    /// Manifests of the graph whose parts have still to be met.
    known: Vec<Digest>,
    /// Manifests that lie in the layout, though nothing in it that can be read leads to them.
    own: Vec<Descriptor>,
    /// Manifests to be read where they will be taken from.
    wanted: Vec<(Descriptor, usize)>,
    /// Where each blob will be taken from, and its length.
    chosen: BTreeMap<Digest, (usize, u64)>,
    parts: BTreeSet<Digest>,
    refused: BTreeMap<(Digest, usize), String>,
    remains: BTreeMap<Digest, Remains>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<()> {
        loop {
            while let Some(digest) = self.known.pop() {
                self.watch.go_on()?;
                if let Some(Node::Present(manifest)) = self.graph.node(&digest) {
                    self.enter(&manifest.facts());
                }
            }
            if let Some(descriptor) = self.own.pop() {
                self.watch.go_on()?;
                if let Node::Present(manifest) = self.read(self.layout, &descriptor) {
                    self.enter(&manifest.facts());
                }
                continue;
            }
            if self.wanted.is_empty() {
                return Ok(());
            }
            self.read_wanted()?;
        }
    }

    /// Meets what a manifest needs.
    fn enter(&mut self, facts: &Facts) {
        let is_list = self.lists.contains(&facts.digest);
        for part in &facts.parts {
            self.meet(&part.descriptor, Held::part(part, is_list));
        }
    }

    /// Meets what a descriptor points to: goes on through what is right, and wants what is not.
    fn meet(&mut self, descriptor: &Descriptor, held: Held) {
        let digest = &descriptor.digest;
        let met = self.graph.node(digest);
        let media_type = &descriptor.media_type;
        let opaque = matches!(held, Held::Part | Held::Nondistributable)
            || Form::of(media_type).is_none() && !says_nothing(media_type);
        let manifest = !opaque || met.is_some();
        // What one manifest has for a layer may be a manifest to another.
        if self.seen.contains(digest) && !(manifest && self.parts.remove(digest)) {
            return;
        }
        let evidence = &self.examination.evidence;
        let absent = !evidence.there.contains_key(digest) && !evidence.unfit.contains_key(digest);
        if evidence.right(digest) || (absent && embedded(descriptor).is_some()) {
            match met {
                Some(Node::Present(_)) => self.known.push(digest.clone()),
                None if manifest => self.own.push(descriptor.clone()),
                _ => return,
            }
            self.seen.insert(digest.clone());
            return;
        }
        if absent && !held.brings(self.examination.options.complete) {
            return;
        }
        self.seen.insert(digest.clone());
        if !manifest {
            self.parts.insert(digest.clone());
        }
        self.want(descriptor, manifest);
    }

    fn want(&mut self, descriptor: &Descriptor, manifest: bool) {
        let Some((source, size)) = self.choose(&descriptor.digest, Some(descriptor.size)) else { return };
        match manifest {
            true => self.wanted.push((descriptor.clone(), source)),
            false => drop(self.chosen.insert(descriptor.digest.clone(), (source, size))),
        }
    }

    /// The first of the other sources that has a blob, of this size where one is said, as far as that can be told
    /// without reading it. Where none has, that is noted.
    fn choose(&mut self, digest: &Digest, said: Option<u64>) -> Option<(usize, u64)> {
        let mut remains = Remains::Nowhere;
        if let Some(why) = self.tried.blocked.get(digest) {
            remains = Remains::Blocked(why.clone());
        } else if !digest.verifiable() {
            remains = Remains::Unverifiable;
        } else {
            for (place, other) in self.others.iter().enumerate() {
                let key = (digest.clone(), place);
                if self.tried.refused.contains_key(&key) || self.refused.contains_key(&key) {
                    remains = Remains::Refused;
                    continue;
                }
                let why = match other.size(digest) {
                    Ok(None) => continue,
                    Ok(Some(size)) if said.is_none_or(|said| said == size) => {
                        self.remains.remove(digest);
                        return Some((place, size));
                    }
                    Ok(Some(size)) => checked::wrong_size(digest, said.unwrap_or(size), &size.to_string()),
                    Err(why) => why,
                };
                self.refused.insert(key, why.chain());
                remains = Remains::Refused;
            }
        }
        self.remains.insert(digest.clone(), remains);
        None
    }

    /// Reads the manifests that are wanted, all of one source at once, and meets what they need. One that turns out to
    /// be wrong is wanted from the next source.
    fn read_wanted(&mut self) -> Result<()> {
        let mut wanted: BTreeMap<usize, Vec<Descriptor>> = BTreeMap::new();
        for (descriptor, source) in std::mem::take(&mut self.wanted) {
            wanted.entry(source).or_default().push(descriptor);
        }
        for (place, descriptors) in wanted {
            let mut passed = self.pass(self.others[place], &descriptors)?;
            for descriptor in descriptors {
                self.watch.go_on()?;
                let node = match &mut passed {
                    Some(passed) => passed.remove(&descriptor.digest).unwrap_or(Node::Absent),
                    None => self.read(self.others[place], &descriptor),
                };
                let why = match node {
                    Node::Present(manifest) => {
                        self.chosen.insert(descriptor.digest, (place, manifest.size()));
                        self.enter(&manifest.facts());
                        continue;
                    }
                    Node::Broken(why) if why.is_about_bytes() => why.to_string(),
                    Node::Absent => "it went away".to_owned(),
                    // Its bytes are the ones that belong there: that they are no manifest is another finding.
                    Node::Broken(_) => {
                        self.chosen.insert(descriptor.digest, (place, descriptor.size));
                        continue;
                    }
                };
                self.refused.insert((descriptor.digest.clone(), place), why);
                self.want(&descriptor, true);
            }
        }
        Ok(())
    }

    fn limit(&self, descriptor: &Descriptor) -> u64 {
        if self.lists.contains(&descriptor.digest) { MAX_LIST } else { MAX_MANIFEST }
    }

    fn read(&self, source: &dyn Source, descriptor: &Descriptor) -> Node {
        match source.open(&descriptor.digest) {
            Ok(Some(content)) => graph::node(descriptor, content, self.limit(descriptor)),
            Ok(None) => Node::Absent,
            Err(why) => Node::Broken(why.into()),
        }
    }

    /// All of them in one pass, where the source can only be read so.
    fn pass(&self, source: &dyn Source, descriptors: &[Descriptor]) -> Result<Option<HashMap<Digest, Node>>> {
        if source.access() != Access::OnePass {
            return Ok(None);
        }
        let by_digest: HashMap<&Digest, &Descriptor> = descriptors.iter().map(|one| (&one.digest, one)).collect();
        let want: BTreeSet<Digest> = by_digest.keys().copied().cloned().collect();
        let mut nodes = HashMap::new();
        source.visit(&want, &mut |blob, content| {
            self.watch.go_on()?;
            if let Some(descriptor) = by_digest.get(&blob.digest) {
                let node = graph::node(descriptor, content, self.limit(descriptor));
                nodes.insert(blob.digest, node);
            }
            Ok(())
        })?;
        Ok(Some(nodes))
    }
}
