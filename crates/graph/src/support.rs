//! What keeps what: how many entries and manifests that stay lead to each, so that taking one away costs what it led to
//! and no look at the rest.

use std::collections::{HashMap, HashSet};

use ocistow_layout::Digest;

use crate::graph::{Dialect, Graph};

/// How much leads to a manifest.
#[derive(Default)]
struct Count {
    /// Its entries, and what has it as a part.
    firm: usize,
    /// What lets go of it once it is wanted: lists, and subjects whose referrers only lie in `blobs/`.
    loose: usize,
}

/// Everything that is reached, with what it is reached by. It errs only by keeping: what holds itself in a circle stays.
pub(crate) struct Support<'g> {
    graph: &'g Graph,
    reached: HashSet<Digest>,
    /// What of it is only there as a list of referrers.
    lists: &'g HashSet<Digest>,
    /// What is counted at all.
    matters: &'g dyn Fn(&Digest) -> bool,
    counts: HashMap<Digest, Count>,
}

impl<'g> Support<'g> {
    /// Of what is reached from `entries`, each as often as it has one, as far as it matters.
    pub fn of<'e>(
        graph: &'g Graph,
        reached: HashSet<Digest>,
        lists: &'g HashSet<Digest>,
        matters: &'g dyn Fn(&Digest) -> bool,
        entries: impl Iterator<Item = &'e Digest>,
    ) -> Self {
        let mut support = Self { graph, lists, matters, counts: HashMap::new(), reached: HashSet::new() };
        for entry in entries {
            support.count(entry).firm += 1;
        }
        for digest in &reached {
            support.led_to(digest, &mut |support, digest, firm| {
                let count = support.count(digest);
                *if firm { &mut count.firm } else { &mut count.loose } += 1;
            });
        }
        support.reached = reached;
        support
    }

    /// Whether anything that stays leads to it.
    pub fn reaches(&self, digest: &Digest) -> bool {
        self.reached.contains(digest)
    }

    fn count(&mut self, digest: &Digest) -> &mut Count {
        self.counts.entry(digest.clone()).or_default()
    }

    /// Everything that one leads to, and whether firmly.
    fn led_to(&mut self, digest: &Digest, each: &mut dyn FnMut(&mut Self, &Digest, bool)) {
        let firm = !self.lists.contains(digest);
        let parts = self.graph.facts(digest).into_iter().flat_map(|facts| facts.parts);
        for part in parts.filter(|part| (self.matters)(&part.descriptor.digest)) {
            each(self, &part.descriptor.digest, firm);
        }
        for edge in self.graph.referrers(digest).iter().filter(|edge| firm && edge.dialect == Dialect::Scan) {
            each(self, &edge.referrer, false);
        }
    }

    /// Takes away one entry of `digest`; what is not reached any more then goes to `lost`.
    pub fn lose_entry(&mut self, digest: &Digest, wanted: &dyn Fn(&Digest) -> bool, lost: &mut Vec<Digest>) {
        self.count(digest).firm -= 1;
        self.settle(digest.clone(), wanted, lost);
    }

    /// Looks at what came to be wanted; what is not reached any more then goes to `lost`.
    pub fn settle(&mut self, digest: Digest, wanted: &dyn Fn(&Digest) -> bool, lost: &mut Vec<Digest>) {
        let mut stack = vec![digest];
        while let Some(digest) = stack.pop() {
            let held =
                self.counts.get(&digest).is_some_and(|count| count.firm > 0 || count.loose > 0 && !wanted(&digest));
            if held || !self.reached.remove(&digest) {
                continue;
            }
            self.led_to(&digest, &mut |support, digest, firm| {
                let count = support.count(digest);
                *if firm { &mut count.firm } else { &mut count.loose } -= 1;
                stack.push(digest.clone());
            });
            lost.push(digest);
        }
    }
}
