//! The graph of a layout: every manifest reachable from index.json, and who refers to whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use ocistow_layout::index::IndexFile;
use ocistow_layout::{Descriptor, Digest, Error, Kind, Result, Source, Watch};

use crate::facts::{Facts, ManifestKind};

/// How a graph is read.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many threads read and parse.
    pub threads: usize,
    /// Whether manifests that only lie in `blobs/` are looked for (dialect 7).
    pub scan_blobs: bool,
}

/// A manifest as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Read and checked.
    Present(Box<Facts>),
    /// Not in the source.
    Absent,
    /// There, but wrong or unreadable. Whoever needs it fails, others go on.
    Broken(Broken),
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// Its bytes are not those its digest or size promise, or cannot be read.
    Damaged(String),
    /// Its bytes are right, but are no manifest.
    Malformed(String),
}

/// How an edge is recorded in a layout (cli.md, "An edge is …").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// 1: the referrer is an entry of index.json and says its subject itself.
    Entry,
    /// 2: it is in the list under a `sha256-<hex>` tag, and says its subject itself.
    FallbackTag,
    /// 3: it is in a list marked by `org.olareg.referrer.subject`, and says its subject itself.
    Olareg,
    /// 4: its entry says the subject in `io.containerd.manifest.subject`.
    Containerd,
    /// 5: its entry has one of cosign's tags.
    CosignTag,
    /// 6: it is a child of the index its subject is a child of, marked by `vnd.docker.reference.digest`.
    Attestation,
    /// It is a child of some index, and says its subject itself.
    Child,
    /// 7: it only lies in `blobs/`, and says its subject itself.
    Scan,
}

/// One manifest refers to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// What it refers to, there or not.
    pub subject: Digest,
    /// The manifest that refers.
    pub referrer: Digest,
    /// The first of the dialects it is recorded in.
    pub dialect: Dialect,
    /// For cosign's tags: `sig`, `att` or `sbom`.
    pub cosign: Option<&'static str>,
}

/// A stored list of referrers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The place of its entry in index.json.
    pub place: usize,
    /// The list's digest.
    pub digest: Digest,
    /// What it lists referrers of.
    pub about: About,
}

/// What a stored list says it lists the referrers of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A fallback tag: every subject whose [`fallback_tag`](Digest::fallback_tag) this is.
    Tag(String),
    /// The annotation of olareg and of the proposal it implements.
    Subject(Digest),
}

/// What an entry of index.json is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// For itself.
    Root,
    /// It refers to another manifest.
    Referrer,
    /// It is a fallback tag's or olareg's list of referrers.
    List,
    /// It has one of cosign's tags.
    Cosign,
}

/// What points at what in one source.
#[derive(Debug)]
pub struct Graph {
    index: IndexFile,
    nodes: HashMap<Digest, Node>,
    /// By subject, then by referrer.
    edges: BTreeMap<Digest, Vec<Edge>>,
    lists: Vec<List>,
    scanned: bool,
}

impl Graph {
    /// Reads index.json and every manifest that can be reached from it.
    ///
    /// Manifests that are absent or broken are nodes that say so. `Err` where there is no index.json that
    /// can be read, or the watcher asked to stop.
    pub fn load(source: &dyn Source, load: Load, watch: &dyn Watch) -> Result<Self> {
        todo!()
    }

    /// index.json as it was read.
    pub fn index(&self) -> &IndexFile {
        &self.index
    }

    /// A manifest that was met, there or not. `None` for everything else.
    pub fn node(&self, digest: &Digest) -> Option<&Node> {
        self.nodes.get(digest)
    }

    /// The facts of a manifest that was met and read.
    pub fn facts(&self, digest: &Digest) -> Option<&Facts> {
        todo!()
    }

    /// The facts of a manifest that is needed. Integrity where it is broken, Incomplete where it is absent,
    /// NotFound where nothing was met under that digest.
    pub fn need(&self, digest: &Digest) -> Result<&Facts> {
        todo!()
    }

    /// All manifests met, in digest order.
    pub fn nodes(&self) -> BTreeMap<&Digest, &Node> {
        self.nodes.iter().collect()
    }

    /// The kind of a manifest or opaque entry; `None` where it is absent or broken.
    pub fn kind(&self, descriptor: &Descriptor) -> Option<ManifestKind> {
        todo!()
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
    pub fn standing(&self, place: usize) -> Standing {
        todo!()
    }

    /// The places of the roots in index.json, in its order.
    pub fn roots(&self) -> Vec<usize> {
        todo!()
    }

    /// The tags under which index.json has `digest`, sorted, each once.
    pub fn tags_of(&self, digest: &Digest) -> Vec<String> {
        todo!()
    }

    /// The stored lists of referrers.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }
}

/// Reads one manifest. Its node, as [`Graph::load`] would have it; the bytes come along where it is
/// present.
pub fn read(source: &dyn Source, descriptor: &Descriptor) -> Result<(Node, Vec<u8>)> {
    todo!()
}
