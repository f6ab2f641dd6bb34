//! From what a user wrote to the entry, manifest or blob that is meant.

use ocistow_layout::index::IndexFile;
use ocistow_layout::{Descriptor, Digest, Result, Source};

use crate::graph::{Graph, Load};

/// What the part of a location behind its path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nothing was written: the one root.
    Root,
    /// `:REF`, or `:REF@DIGEST`, where the name has to name that digest.
    Name(String, Option<Digest>),
    /// `@DIGEST`
    Digest(Digest),
    /// `:@N`, an entry by its place.
    Place(usize),
}

/// What was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The descriptor: an entry's if there is one, else that of whoever holds it.
    pub descriptor: Descriptor,
    /// The places in index.json of the entries meant, all of one digest; none where the digest has no entry.
    pub places: Vec<usize>,
    /// Whether this is a manifest, as far as its descriptor says; else an opaque blob.
    pub manifest: bool,
}

/// Finds what is meant, reading as little as possible: only index.json for a name or a place, the whole
/// graph for no name or for a digest that has no entry.
///
/// Usage where it cannot be told (candidates are listed so that they can be pasted back), NotFound where
/// there is none, Integrity where `REF@DIGEST` names another digest.
pub fn resolve(source: &dyn Source, asked: &Asked, load: Load) -> Result<Target> {
    todo!()
}

/// The same from a graph that was read already.
pub fn resolve_in(graph: &Graph, source: &dyn Source, asked: &Asked) -> Result<Target> {
    todo!()
}

/// For each entry of index.json, the shortest text that resolves to it alone when written behind the
/// location: `:REF` or `@DIGEST`.
pub fn shortest(index: &IndexFile) -> Vec<String> {
    todo!()
}
