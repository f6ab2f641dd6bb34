//! The roots of a bundle in the layout they came into, each as its entry there says.

use std::collections::HashMap;
use std::path::Path;

use ocistow_graph::Manifest;
use ocistow_layout::edit::Edit;
use ocistow_layout::name::Pair;
use ocistow_layout::{Descriptor, Digest, IndexFile};

use crate::arrival::Arrival;
use crate::carried::{called, names};
use crate::node::Node;

/// A root of a bundle, where it is now.
#[derive(Debug)]
pub struct Landed {
    /// What people call it.
    pub name: String,
    /// What its entry says.
    pub node: Node,
}

/// The names that a user gave to roots of a bundle in place of their own.
#[derive(Debug, Default)]
pub struct Given(HashMap<(Digest, Pair), Vec<String>>);

impl Given {
    /// Those in the edits that enter the bundle.
    pub fn of(edits: &[Edit]) -> Self {
        let mut given = Self::default();
        for edit in edits {
            if let Edit::Name { entry, reference } = edit {
                given.0.entry((entry.digest.clone(), Pair::of(entry))).or_default().push(reference.clone());
            }
        }
        given
    }

    /// The names that a root got: its own, where it was not given others.
    fn to(&self, root: &Descriptor) -> Vec<Pair> {
        let own = Pair::of(root);
        if self.0.is_empty() {
            return vec![own];
        }
        match self.0.get(&(root.digest.clone(), own.clone())) {
            Some(given) => given.iter().map(|reference| Pair::written(reference)).collect(),
            None => vec![own],
        }
    }
}

impl Landed {
    fn of(layout: &Path, arrival: &Arrival, entry: &Descriptor, name: String) -> Self {
        let told = arrival.graph.manifest(&entry.digest).and_then(Manifest::told_type);
        Self { name, node: Node::of(layout, entry).typed(told) }
    }

    /// The roots of what did not come in, as the bundle has them.
    pub fn nowhere(layout: &Path, arrival: &Arrival) -> Vec<Self> {
        let named = names(&arrival.plan).into_iter().zip(&arrival.plan.roots);
        named.map(|(name, root)| Self::of(layout, arrival, root, name)).collect()
    }
}

/// How an entry is found: by its digest, its full name and its tag.
type Key<'a> = (&'a Digest, Option<&'a str>, Option<&'a str>);

/// The roots of bundles in the index.json of the layout that they came into: of each its entries there, one for each
/// name that it has.
pub fn landed(layout: &Path, after: &IndexFile, arrivals: &[Arrival], given: &[Given]) -> Vec<Landed> {
    // The first entry of each digest, and the first that has a name.
    let mut first: HashMap<&Digest, [Option<&Descriptor>; 2]> = HashMap::new();
    first.extend(arrivals.iter().flat_map(|arrival| &arrival.plan.roots).map(|root| (&root.digest, [None; 2])));
    let mut named: HashMap<Key<'_>, &Descriptor> = HashMap::new();
    for entry in after.entries() {
        let Ok(descriptor) = &entry.descriptor else { continue };
        let Some([any, with_name]) = first.get_mut(&descriptor.digest) else { continue };
        any.get_or_insert(descriptor);
        if entry.tagged() {
            with_name.get_or_insert(descriptor);
        }
        named.entry((&descriptor.digest, entry.pair.full(), entry.pair.tag())).or_insert(descriptor);
    }
    let mut landed = Vec::new();
    for (arrival, given) in arrivals.iter().zip(given) {
        for root in &arrival.plan.roots {
            let [any, with_name] = first[&root.digest];
            for pair in given.to(root) {
                let own = named.get(&(&root.digest, pair.full(), pair.tag())).copied();
                let entry = own.or(any).unwrap_or(root);
                let name = called(&Pair::of(entry)).or_else(|| called(&Pair::of(with_name?)));
                let name = name.unwrap_or_else(|| root.digest.to_string());
                landed.push(Landed::of(layout, arrival, entry, name));
            }
        }
    }
    landed
}
