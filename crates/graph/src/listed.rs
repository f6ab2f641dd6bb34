//! Referrers of a bundle, listed under fallback tags for tools that look for them nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use ocistow_layout::{Blob, Digest, Source};

use crate::bundle;
use crate::graph::{About, Graph, about};
use crate::list;
use crate::manifest::Manifest;
use crate::plan::Plan;

/// Where a bundle says who refers to what. Lists that go along are kept true in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReferrersAs {
    /// In untagged entries, as oras does.
    #[default]
    Entries,
    /// In lists under fallback tags, as regctl does (REFERRERS-13).
    Tags,
    /// In both.
    Both,
}

/// Makes `plan` record its referrers in that way. `graph` and `source` are what it was made from.
pub fn record(plan: &mut Plan, graph: &Graph, source: &dyn Source, way: ReferrersAs) {
    if way == ReferrersAs::Entries {
        return;
    }
    let mut referrers: BTreeMap<String, BTreeMap<&Digest, &Manifest>> = BTreeMap::new();
    for manifest in plan.manifests.iter().filter_map(|blob| graph.manifest(&blob.digest)) {
        if let Some(subject) = manifest.about() {
            referrers.entry(subject.fallback_tag()).or_default().insert(&manifest.digest, manifest);
        }
    }
    if way == ReferrersAs::Tags {
        // What was asked for by itself keeps its entry.
        let asked: BTreeSet<&Digest> = plan.roots.iter().map(|root| &root.digest).collect();
        let listed: BTreeSet<&Digest> = referrers.values().flat_map(BTreeMap::keys).copied().collect();
        plan.entries.retain(|entry| {
            let digest = &entry.descriptor.digest;
            !(entry.pair.is_empty() && listed.contains(digest) && !asked.contains(digest))
                || about(&entry.descriptor, &entry.pair).is_some()
        });
    }
    let there: BTreeSet<String> = plan
        .entries
        .iter()
        .filter_map(|entry| match about(&entry.descriptor, &entry.pair) {
            Some(About::Tag(tag)) => Some(tag),
            _ => None,
        })
        .collect();
    let mut entries = std::mem::take(&mut plan.entries);
    for (tag, referrers) in referrers.into_iter().filter(|(tag, _)| !there.contains(tag)) {
        let (entry, bytes) =
            list::under_tag(tag, referrers.values().map(|referrer| list::member(&referrer.facts())).collect());
        let blob = Blob { digest: entry.descriptor.digest.clone(), size: entry.descriptor.size };
        entries.push(entry);
        if let Err(at) = plan.manifests.binary_search_by(|known| known.digest.cmp(&blob.digest)) {
            if !matches!(source.size(&blob.digest), Ok(Some(_))) {
                plan.inline.insert(blob.digest.clone(), bytes);
            }
            plan.manifests.insert(at, blob);
        }
    }
    plan.entries = bundle::sorted(entries);
}
