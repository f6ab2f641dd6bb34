//! Another name for what is carried.

use ocistow_layout::Digest;
use ocistow_layout::name::Pair;

use crate::bundle;
use crate::plan::{Entry, Plan};

impl Plan {
    /// Gives `root` this one name in place of all it has. Every other entry keeps its own.
    pub fn name_root(&mut self, root: &Digest, pair: &Pair) {
        let (old, mut kept): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| entry.descriptor.digest == *root);
        if let Some(first) = old.into_iter().next() {
            kept.push(Entry::named(&first.descriptor, pair.clone()));
        }
        self.entries = bundle::sorted(kept);
    }
}
