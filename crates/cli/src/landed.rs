//! The roots of a bundle in the layout they came into, each as its entry there says.

use std::collections::HashMap;

use ocistow_layout::edit::Edit;
use ocistow_layout::name::Pair;
use ocistow_layout::{Descriptor, Digest, IndexFile};

use crate::arrival::Arrival;
use crate::carried::{called, names};

/// A root of a bundle, where it is now.
#[derive(Debug, Clone)]
pub struct Landed {
    /// What people call it.
    pub name: String,
    /// Its entry.
    pub entry: Descriptor,
}

/// A root of a bundle, and the names that its user gave it in place of its own.
#[derive(Debug)]
pub struct Landing {
    root: Descriptor,
    given: Vec<String>,
}

impl Landed {
    /// The roots of what did not come in, as the bundle has them.
    pub fn nowhere(arrival: &Arrival) -> Vec<Self> {
        let roots = arrival.plan.roots.iter().cloned();
        names(&arrival.plan).into_iter().zip(roots).map(|(name, entry)| Self { name, entry }).collect()
    }
}

/// What becomes of the roots of a bundle by the edits that enter it.
pub fn landing(arrival: &Arrival, edits: &[Edit]) -> Vec<Landing> {
    let mut given: HashMap<(&Digest, Pair), Vec<String>> = HashMap::new();
    for edit in edits {
        if let Edit::Name { entry, reference } = edit {
            given.entry((&entry.digest, Pair::of(entry))).or_default().push(reference.clone());
        }
    }
    let given = |root: &Descriptor| given.get(&(&root.digest, Pair::of(root))).cloned().unwrap_or_default();
    arrival.plan.roots.iter().map(|root| Landing { given: given(root), root: root.clone() }).collect()
}

/// The roots of bundles in the index.json that they came into: of each its entries there, one for each name it was
/// given, else the one that has its name.
pub fn landed(after: &IndexFile, bundles: Vec<Vec<Landing>>) -> Vec<Vec<Landed>> {
    let mut any: HashMap<&Digest, Option<&Descriptor>> = HashMap::new();
    any.extend(bundles.iter().flatten().map(|landing| (&landing.root.digest, None)));
    let mut named: HashMap<(&Digest, Pair), &Descriptor> = HashMap::new();
    let mut called_so: HashMap<&Digest, String> = HashMap::new();
    for entry in after.entries() {
        let Ok(descriptor) = &entry.descriptor else { continue };
        let Some(first) = any.get_mut(&descriptor.digest) else { continue };
        first.get_or_insert(descriptor);
        named.entry((&descriptor.digest, entry.pair.key())).or_insert(descriptor);
        if let Some(name) = called(&entry.pair) {
            called_so.entry(&descriptor.digest).or_insert(name);
        }
    }
    let tell = |Landing { root, given }: &Landing| -> Vec<Landed> {
        let of = |pair: &Pair| {
            let own = named.get(&(&root.digest, pair.key())).copied();
            let entry = own.or(any[&root.digest]).unwrap_or(root).clone();
            let name = called(&Pair::of(&entry)).or_else(|| called_so.get(&root.digest).cloned());
            Landed { name: name.unwrap_or_else(|| root.digest.to_string()), entry }
        };
        match given.is_empty() {
            true => vec![of(&Pair::of(root))],
            false => given.iter().map(|reference| of(&Pair::written(reference))).collect(),
        }
    };
    bundles.iter().map(|bundle| bundle.iter().flat_map(&tell).collect()).collect()
}
