//! Which of many roots reach what: each root's sum over all it reaches, and who alone reaches what.
//!
//! A walk for each root would take as many steps as there are roots and blobs: a thousand indexes of one image
//! are an enemy's few kilobytes. So what is reached is put in order once, wholes before parts, and one sweep
//! over it does for 64 roots.

use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use ocistow_layout::Count;

/// What leads where, between nodes counted from 0.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    /// Where the edges of each node end in `to`.
    ends: Vec<usize>,
    to: Vec<u32>,
}

impl Edges {
    /// Adds the next node, with what it leads to.
    pub fn push(&mut self, to: impl IntoIterator<Item = u32>) {
        self.to.extend(to);
        self.ends.push(self.to.len());
    }

    fn range(&self, node: u32) -> Range<usize> {
        let node = node as usize;
        let start = if node == 0 { 0 } else { self.ends[node - 1] };
        start..self.ends[node]
    }

    /// What a node leads to, in the order it was added.
    pub fn of(&self, node: u32) -> &[u32] {
        &self.to[self.range(node)]
    }
}

/// What the roots own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    /// Of each root: everything it reaches, itself included.
    pub sums: Vec<Count>,
    /// Of each node: the roots that reach it.
    pub owners: Vec<Owners>,
}

/// The roots that reach a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Owners {
    /// How many.
    pub count: u32,
    /// The place of one of them in the list of roots; means nothing where there is none.
    pub one: u32,
}

/// Sums up what each root reaches. `roots` are different nodes; a node without a weight is not there: it is
/// owned and counts nothing.
pub(crate) fn owned(edges: &Edges, weights: &[Option<u64>], roots: &[u32]) -> Owned {
    let groups = Groups::of(edges);
    let mut sums = vec![Count::default(); roots.len()];
    let mut owners = vec![Owners::default(); weights.len()];
    // For each group, a bit for each root of the batch that reaches it.
    let mut masks = vec![0u64; groups.ends.len()];
    let mut next = BinaryHeap::new();
    let reach = |next: &mut BinaryHeap<u32>, masks: &mut [u64], node: u32, mask: u64| {
        let group = groups.of[node as usize];
        let known = &mut masks[group as usize];
        if *known == 0 {
            next.push(group);
        }
        *known |= mask;
    };
    for (batch, first) in roots.chunks(64).zip((0..).step_by(64)) {
        for (bit, root) in batch.iter().enumerate() {
            reach(&mut next, &mut masks, *root, 1 << bit);
        }
        let mut alike: HashMap<u64, Count> = HashMap::new();
        // Wholes have higher numbers: what comes out is reached by nothing that is still in.
        while let Some(group) = next.pop() {
            let mask = masks[group as usize];
            let count = alike.entry(mask).or_default();
            for node in groups.members(group) {
                if let Some(bytes) = weights[*node as usize] {
                    count.add(bytes);
                }
                let owners = &mut owners[*node as usize];
                *owners = Owners { count: owners.count + mask.count_ones(), one: first + mask.trailing_zeros() };
                for to in edges.of(*node).iter().filter(|to| groups.of[**to as usize] != group) {
                    reach(&mut next, &mut masks, *to, mask);
                }
            }
            masks[group as usize] = 0;
        }
        for (mask, count) in alike {
            for (bit, sum) in sums[first as usize..].iter_mut().take(batch.len()).enumerate() {
                if mask >> bit & 1 == 1 {
                    sum.blobs += count.blobs;
                    sum.bytes = sum.bytes.saturating_add(count.bytes);
                }
            }
        }
    }
    Owned { sums, owners }
}

/// Nodes that reach each other, together; what a group leads to has a lower number.
struct Groups {
    /// The group of each node.
    of: Vec<u32>,
    /// All nodes, group by group.
    nodes: Vec<u32>,
    /// Where each group ends in `nodes`.
    ends: Vec<usize>,
}

impl Groups {
    /// Finds them by Tarjan's walk, with its own stack: what enemies nest is as deep as they like.
    fn of(edges: &Edges) -> Self {
        const NEW: u32 = u32::MAX;
        let count = edges.ends.len();
        let mut groups = Self { of: vec![NEW; count], nodes: Vec::with_capacity(count), ends: Vec::new() };
        // When each node was met, and the first met of those that it leads back to.
        let (mut met, mut back) = (vec![NEW; count], vec![NEW; count]);
        let mut time = 0;
        // Nodes in no group yet, and the way to where the walk is, with the edges still to be followed.
        let mut open: Vec<u32> = Vec::new();
        let mut way: Vec<(u32, Range<usize>)> = Vec::new();
        for start in 0..count as u32 {
            let mut visit = (met[start as usize] == NEW).then_some(start);
            loop {
                if let Some(node) = visit.take() {
                    (met[node as usize], back[node as usize]) = (time, time);
                    time += 1;
                    open.push(node);
                    way.push((node, edges.range(node)));
                }
                let Some((node, left)) = way.last_mut() else { break };
                let node = *node;
                if let Some(edge) = left.next() {
                    let to = edges.to[edge];
                    if met[to as usize] == NEW {
                        visit = Some(to);
                    } else if groups.of[to as usize] == NEW {
                        back[node as usize] = back[node as usize].min(met[to as usize]);
                    }
                    continue;
                }
                way.pop();
                if let Some((above, _)) = way.last() {
                    back[*above as usize] = back[*above as usize].min(back[node as usize]);
                }
                if back[node as usize] == met[node as usize] {
                    let first = open.iter().rposition(|open| *open == node).expect("it was opened when it was met");
                    for member in open.drain(first..) {
                        groups.of[member as usize] = groups.ends.len() as u32;
                        groups.nodes.push(member);
                    }
                    groups.ends.push(groups.nodes.len());
                }
            }
        }
        groups
    }

    fn members(&self, group: u32) -> &[u32] {
        let group = group as usize;
        let start = if group == 0 { 0 } else { self.ends[group - 1] };
        &self.nodes[start..self.ends[group]]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn edges(of: &[Vec<u32>]) -> Edges {
        let mut edges = Edges::default();
        of.iter().for_each(|to| edges.push(to.iter().copied()));
        edges
    }

    /// The same by a walk for each root.
    fn walked(of: &[Vec<u32>], weights: &[Option<u64>], roots: &[u32]) -> Owned {
        let mut sums = Vec::new();
        let mut owners = vec![Owners::default(); of.len()];
        for (at, root) in roots.iter().enumerate() {
            let mut seen = BTreeSet::new();
            let mut stack = vec![*root];
            while let Some(node) = stack.pop() {
                if seen.insert(node) {
                    stack.extend(&of[node as usize]);
                }
            }
            let mut sum = Count::default();
            for node in seen {
                weights[node as usize].into_iter().for_each(|bytes| sum.add(bytes));
                let owners = &mut owners[node as usize];
                *owners = Owners { count: owners.count + 1, one: at as u32 };
            }
            sums.push(sum);
        }
        Owned { sums, owners }
    }

    proptest! {
        /// Circles, diamonds, more roots than fit a sweep: a sweep is as good as a walk for each root.
        #[test]
        fn one_sweep_finds_what_a_walk_for_each_root_finds(
            of in prop::collection::vec(prop::collection::vec(0u32..150, 0..4), 150),
            weights in prop::collection::vec(prop::option::of(0u64..1000), 150),
            roots in prop::collection::btree_set(0u32..150, 0..150),
        ) {
            let roots: Vec<u32> = roots.into_iter().collect();
            let (swept, walked) = (owned(&edges(&of), &weights, &roots), walked(&of, &weights, &roots));
            prop_assert_eq!(swept.sums, walked.sums);
            for (swept, walked) in swept.owners.iter().zip(&walked.owners) {
                prop_assert_eq!(swept.count, walked.count);
                prop_assert!(swept.count != 1 || swept.one == walked.one);
            }
        }
    }
}
