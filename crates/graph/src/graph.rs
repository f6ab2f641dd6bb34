//! The graph of a layout: every manifest reachable from index.json, and who refers to whom.

mod allowance;
mod edges;
mod node;
mod said;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ocistow_layout::index;
use ocistow_layout::name::Pair;
use ocistow_layout::{Descriptor, Digest, Error, IndexFile, Kind, Result, Source, Watch};

use crate::facts::{Facts, Form, ManifestKind, Part, Role, says_nothing};
use crate::manifest::Manifest;

pub(crate) use allowance::Allowance;
pub use allowance::MAX_UNCHECKED;
pub use edges::{Dialect, Edge, Standing};
pub use node::{Broken, Node, Unread};
pub(crate) use node::{Nodes, more};
pub use said::{
    ATTESTATION, ATTESTED, About, CONTAINERD_SUBJECT, List, OLAREG_SUBJECT, PROPOSED_SUBJECT, is_for_referrers,
};
pub(crate) use said::{COSIGN_KIND, COSIGN_KINDS, about, cosign, is_cosigns, lists};
pub use walk::{MAX_LIST, embedded, read, read_list};
pub(crate) use walk::{Walk, Want, node, unlisted};

/// How a graph is read.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many threads read and parse.
    pub threads: usize,
    /// Whether manifests that only lie in `blobs/` are looked for (dialect 7).
    pub scan_blobs: bool,
}

/// What points at what in one source.
#[derive(Debug)]
pub struct Graph {
    index: IndexFile,
    nodes: Nodes,
    /// Entries of index.json that are no manifests: whether they are there, or why nobody can tell.
    opaque: HashMap<Digest, std::result::Result<bool, String>>,
    /// By subject, then by referrer.
    edges: BTreeMap<Digest, Vec<Edge>>,
    lists: Vec<List>,
    standings: Vec<Standing>,
    inline: HashMap<Digest, Vec<u8>>,
    whole: bool,
}

impl Graph {
    /// Reads index.json and every manifest that can be reached from it.
    ///
    /// Manifests that are absent or broken are nodes that say so. `Err` where there is no index.json that
    /// can be read, or the watcher asked to stop.
    pub fn load(source: &dyn Source, load: Load, watch: &dyn Watch) -> Result<Self> {
        let index = source.index()?;
        let lists = lists(&index);
        let walk = Walk::new(source, load.threads, watch, &lists)?;
        let (nodes, inline) = walk.all(&index, load.scan_blobs)?;
        Ok(Self { whole: true, ..Self::of(source, index, lists, nodes, inline) })
    }

    /// The part of a graph that was read.
    pub(crate) fn of(
        source: &dyn Source,
        index: IndexFile,
        lists: Vec<List>,
        mut nodes: Nodes,
        inline: HashMap<Digest, Vec<u8>>,
    ) -> Self {
        let mut opaque = HashMap::new();
        for descriptor in index.entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok()) {
            if Form::of(&descriptor.media_type).is_none() && !nodes.contains_key(&descriptor.digest) {
                let there = match source.size(&descriptor.digest) {
                    Ok(size) => Ok(size.is_some() || embedded(descriptor).is_some()),
                    Err(why) if why.kind() == Kind::Failed => Err(why.chain()),
                    Err(_) => Ok(embedded(descriptor).is_some()),
                };
                opaque.insert(descriptor.digest.clone(), there);
            }
        }
        let (mut edges, doubtful) = edges::edges(&index, &lists, &nodes);
        if !doubtful.is_empty() {
            edges::agree(&index, &mut nodes, &doubtful);
            edges = edges::edges(&index, &lists, &nodes).0;
        }
        let standings = edges::standings(&index, &lists, &edges);
        Self { index, nodes, opaque, edges, lists, standings, inline, whole: false }
    }

    /// Whether it is of the whole layout.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// How many manifests were met.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// index.json as it was read.
    pub fn index(&self) -> &IndexFile {
        &self.index
    }

    /// The index.json alone.
    pub fn into_index(self) -> IndexFile {
        self.index
    }

    /// A manifest that was met, there or not. `None` for everything else.
    pub fn node(&self, digest: &Digest) -> Option<&Node> {
        self.nodes.get(digest)
    }

    /// A manifest that was met and read.
    pub fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        match self.nodes.get(digest) {
            Some(Node::Present(manifest)) => Some(manifest),
            _ => None,
        }
    }

    /// Everything that a manifest says which was met and read: see [`Manifest::facts`].
    pub fn facts(&self, digest: &Digest) -> Option<Facts> {
        self.manifest(digest).map(Manifest::facts)
    }

    /// The facts of a manifest that is needed. Integrity where it is broken, Failed where it cannot be read, Incomplete
    /// where it is absent, NotFound where nothing was met under that digest.
    pub fn need(&self, digest: &Digest) -> Result<Facts> {
        match self.nodes.get(digest) {
            Some(node) => node.facts(digest),
            None => Err(Error::new(Kind::NotFound, format!("could not find a manifest {digest}"))),
        }
    }

    /// Whether an entry of index.json is to be read as a manifest: its type says so, or says nothing and its content does.
    pub fn is_manifest(&self, entry: &Descriptor) -> bool {
        let media_type = &entry.media_type;
        Form::of(media_type).is_some() || says_nothing(media_type) && self.manifest(&entry.digest).is_some()
    }

    /// The same of a part of a manifest.
    pub fn is_manifest_part(&self, part: &Part) -> bool {
        part.role == Role::Child && self.is_manifest(&part.descriptor)
    }

    /// All manifests that were read, in no order.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.nodes.values().filter_map(|node| if let Node::Present(manifest) = node { Some(&**manifest) } else { None })
    }

    /// All manifests met, in digest order.
    pub fn nodes(&self) -> BTreeMap<&Digest, &Node> {
        self.nodes.iter().collect()
    }

    /// The kind of a manifest that was met, or of an opaque entry of index.json; `None` where it is absent
    /// or broken.
    pub fn kind(&self, digest: &Digest) -> Option<ManifestKind> {
        match self.nodes.get(digest) {
            Some(Node::Present(manifest)) => Some(manifest.kind()),
            Some(_) => None,
            None => self.opaque.get(digest).filter(|there| **there == Ok(true)).map(|_| ManifestKind::Other),
        }
    }

    /// Whether a manifest that was met, or an opaque entry of index.json, is absent.
    pub fn absent(&self, digest: &Digest) -> bool {
        match self.nodes.get(digest) {
            Some(node) => *node == Node::Absent,
            None => self.opaque.get(digest) == Some(&Ok(false)),
        }
    }

    /// What was met and not read, because the medium did not give it, and why.
    pub fn unread(&self) -> Unread {
        let nodes = self.nodes.iter().filter_map(|(digest, node)| match node {
            Node::Broken(Broken::Unread(why)) => Some((digest.clone(), why.clone())),
            _ => None,
        });
        let opaque = self.opaque.iter();
        let opaque = opaque.filter_map(|(digest, there)| Some((digest.clone(), there.as_ref().err()?.clone())));
        Unread(nodes.chain(opaque).collect())
    }

    /// Who refers to `subject`, sorted by digest.
    pub fn referrers(&self, subject: &Digest) -> &[Edge] {
        self.edges.get(subject).map_or(&[], Vec::as_slice)
    }

    /// All edges, sorted by subject, then by referrer.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.values().flatten()
    }

    /// What the entry at a place of index.json is there for.
    ///
    /// # Panics
    /// Where index.json has no such place.
    pub fn standing(&self, place: usize) -> Standing {
        self.standings[place]
    }

    /// The places of the roots in index.json, in its order. Entries that are no descriptors are none.
    pub fn roots(&self) -> Vec<usize> {
        let readable = |at: &usize| self.index.entries()[*at].descriptor.is_ok();
        (0..self.standings.len()).filter(|at| self.standings[*at] == Standing::Root).filter(readable).collect()
    }

    /// The tags under which index.json has `digest`, sorted, each once.
    pub fn tags_of(&self, digest: &Digest) -> Vec<String> {
        self.named(digest, Pair::tag)
    }

    /// The full names under which index.json has `digest`, sorted, each once.
    pub fn names_of(&self, digest: &Digest) -> Vec<String> {
        self.named(digest, Pair::full)
    }

    fn named(&self, digest: &Digest, what: fn(&Pair) -> Option<&str>) -> Vec<String> {
        let own =
            |entry: &&index::Entry| entry.descriptor.as_ref().is_ok_and(|descriptor| descriptor.digest == *digest);
        let names = self.index.entries().iter().filter(own).filter_map(|entry| what(&entry.pair));
        names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The bytes of a manifest that is only there as the `data` of a descriptor.
    pub fn inline(&self, digest: &Digest) -> Option<&[u8]> {
        self.inline.get(digest).map(Vec::as_slice)
    }

    /// The stored lists of referrers.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }
}
