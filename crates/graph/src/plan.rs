//! What will be carried, as a value.

use std::collections::BTreeMap;

use ocistow_layout::edit::Edit;
use ocistow_layout::index::IndexFile;
use ocistow_layout::name::Pair;
use ocistow_layout::{Blob, Count, Descriptor, Digest, Outline, Result, Source};

use crate::graph::Graph;
use crate::platform::Selector;
use crate::resolve::Target;

/// What to carry.
#[derive(Debug, Clone)]
pub struct Request {
    /// The references named; none: every entry.
    pub targets: Vec<Target>,
    /// Only these platforms; none: all.
    pub platforms: Vec<Selector>,
    /// Whether referrers go along.
    pub referrers: bool,
    /// Whether `subject` is followed forward.
    pub include_subject: bool,
}

/// An entry of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The descriptor, with everything the source has in it.
    pub descriptor: Descriptor,
    /// Its name.
    pub pair: Pair,
}

/// What will be carried: nothing is decided after this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The entries, sorted as a bundle has them.
    pub entries: Vec<Entry>,
    /// The entries asked for, else all roots.
    pub roots: Vec<Descriptor>,
    /// Manifests, in digest order.
    pub manifests: Vec<Blob>,
    /// Configs that are no manifests, in digest order.
    pub configs: Vec<Blob>,
    /// All other blobs, in digest order.
    pub blobs: Vec<Blob>,
    /// Content that is not read from the source: from `data`, or lists made for what is carried.
    pub inline: BTreeMap<Digest, Vec<u8>>,
    /// What was left out.
    pub omitted: Omitted,
    /// Content that is missing, in digest order: 5, unless allowed.
    pub missing: Vec<Digest>,
    /// Children of indexes that are not there and were not left out by a platform, in digest order.
    pub absent_children: Vec<Digest>,
    /// Content that is there and wrong, as far as it can be told without reading blobs: 4.
    pub broken: BTreeMap<Digest, String>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What was left out, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Omitted {
    /// Of other platforms.
    pub platform: Count,
    /// What the receiver has.
    pub lacking: Count,
    /// Referrers that were not wanted.
    pub referrers: Count,
}

/// Decides what goes into a bundle. NotFound where it would carry nothing, or where a root has nothing for
/// the platforms. What is missing or broken is in the plan: see [`Plan::verdict`].
pub fn export(graph: &Graph, source: &dyn Source, request: &Request) -> Result<Plan> {
    todo!()
}

impl Plan {
    /// Integrity where something carried is broken; Incomplete where something is missing (unless
    /// `allow_missing`), or a child is absent and `complete` was asked for.
    pub fn verdict(&self, allow_missing: bool, complete: bool) -> Result<()> {
        todo!()
    }

    /// The bytes of the bundle's index.json.
    pub fn bundle_index(&self) -> Vec<u8> {
        todo!()
    }

    /// The bundle digest: that of the bundle's index.json.
    pub fn bundle(&self) -> Digest {
        Digest::of(&self.bundle_index())
    }

    /// All blobs in the order of an archive: manifests, configs, others.
    pub fn order(&self) -> impl Iterator<Item = &Blob> {
        self.manifests.iter().chain(&self.configs).chain(&self.blobs)
    }

    /// How many blobs, manifests and configs included, and their bytes.
    pub fn count(&self) -> Count {
        todo!()
    }

    /// The outline of a new archive or directory, with further members of an archive.
    pub fn outline(&self, members: Vec<(String, Vec<u8>)>) -> Outline {
        todo!()
    }

    /// The outline for a directory that exists. `import` comes from [`import`].
    pub fn outline_into(&self, import: &Import) -> Outline {
        todo!()
    }
}

/// Docker's `manifest.json` for `docker load` and `podman load` (ARCHIVE-10), of the images among the
/// plan's entries. `repository` names entries that have no full name. `None` where there is no image.
/// Usage where an index leaves several platforms.
pub fn docker_manifest(
    plan: &Plan,
    graph: &Graph,
    source: &dyn Source,
    platforms: &[Selector],
    repository: Option<&str>,
) -> Result<Option<Vec<u8>>> {
    todo!()
}

/// A name that comes to stand for something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// `ref.name`
    pub tag: Option<String>,
    /// `io.containerd.image.name`
    pub name: Option<String>,
    /// What it stood for.
    pub from: Option<Digest>,
    /// What it stands for now.
    pub to: Digest,
}

/// How a plan's entries come into a layout that exists.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The changes to its index.json.
    pub edits: Vec<Edit>,
    /// Names that stood for something else before.
    pub moved: Vec<Moved>,
    /// New lists of referrers: written beside the plan's blobs.
    pub inline: BTreeMap<Digest, Vec<u8>>,
    /// The plan's own lists that are not written, since new ones take their place.
    pub dropped: Vec<Digest>,
}

/// Decides how the entries of `plan` come into `target`. `renames` are pairs of (old, new) references.
/// NotFound where an old one names no entry of the plan; Usage where a name is ambiguous.
pub fn import(plan: &Plan, graph: &Graph, target: &dyn Source, renames: &[(String, String)]) -> Result<Import> {
    todo!()
}

/// Compares what a bundle's index declares with what is reachable in `plan`: an export plan of all
/// entries. `None` where nothing is declared or it agrees; else what differs, for people.
pub fn carries_mismatch(index: &IndexFile, plan: &Plan) -> Option<String> {
    todo!()
}
