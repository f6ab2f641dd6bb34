//! What was carried, or would be: the answer of `export` and `plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use ocistow_graph::plan::Omitted;
use ocistow_graph::{Manifest, Plan};
use ocistow_layout::name::Pair;
use ocistow_layout::{Count, Descriptor, Digest};
use serde::Serialize;

use crate::commands::along::Along;
use crate::look::Look;
use crate::node::Node;
use crate::outgoing::Outgoing;
use crate::shown::{bytes, many, shown};
use crate::speak::Answer;

/// What was carried.
#[derive(Debug, Serialize)]
pub struct Carried {
    bundle: Option<Digest>,
    roots: Vec<Node>,
    manifests: u64,
    blobs: u64,
    bytes: u64,
    omitted: Omitted,
    missing: Vec<Digest>,
    volumes: [(); 0],
    #[serde(skip)]
    said: Said,
}

#[derive(Debug)]
struct Said {
    /// "carried" or "would carry".
    verb: &'static str,
    /// The names of what was asked for.
    names: Vec<String>,
    /// Referrers among the manifests.
    referrers: usize,
}

impl Carried {
    /// What a plan carries: `verb` is "carried" or "would carry".
    pub fn of(outgoing: &Outgoing, along: &Along, bundle: Option<Digest>, verb: &'static str) -> Self {
        let Outgoing { path, graph, plan, .. } = outgoing;
        let Count { blobs, bytes } = plan.count();
        let node = |root: &Descriptor| {
            let manifest = graph.manifest(&root.digest);
            Node::of(path, root).typed(manifest.and_then(Manifest::told_type))
        };
        let names = names(plan);
        let refer: BTreeSet<&Digest> = graph.edges().map(|edge| &edge.referrer).collect();
        let referrers = plan.manifests.iter().filter(|blob| refer.contains(&blob.digest)).count();
        Self {
            bundle,
            roots: plan.roots.iter().map(node).collect(),
            manifests: plan.manifests.len() as u64,
            blobs,
            bytes,
            omitted: plan.omitted,
            missing: plan.lacks(along.complete),
            volumes: [],
            said: Said { verb, names, referrers },
        }
    }
}

/// What people call the roots of a plan: their own name, or one that is carried with them, or the digest.
pub fn names(plan: &Plan) -> Vec<String> {
    let mut carried: BTreeMap<&Digest, String> = BTreeMap::new();
    for entry in &plan.entries {
        if let Some(name) = called(&entry.pair) {
            carried.entry(&entry.descriptor.digest).or_insert(name);
        }
    }
    let name = |root: &Descriptor| {
        called(&Pair::of(root))
            .or_else(|| carried.get(&root.digest).cloned())
            .unwrap_or_else(|| root.digest.to_string())
    };
    plan.roots.iter().map(name).collect()
}

/// What people call an entry, if anything: by its full name, else its tag.
pub fn called(pair: &Pair) -> Option<String> {
    pair.full().or(pair.tag()).map(str::to_owned)
}

/// How the text of an answer about a bundle ends: with what is missing, and with the bundle's digest.
pub fn end(out: &mut dyn Write, missing: &[Digest], bundle: Option<&Digest>) -> io::Result<()> {
    missing.iter().try_for_each(|digest| writeln!(out, "missing: {digest}"))?;
    bundle.iter().try_for_each(|bundle| writeln!(out, "bundle {bundle}"))
}

impl Answer for Carried {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        let Said { verb, names, referrers } = &self.said;
        for (root, name) in self.roots.iter().zip(names) {
            writeln!(out, "{}  {}", look.bold(&shown(name)), root.digest)?;
        }
        let with = match referrers {
            0 => String::new(),
            1 => ", 1 of them a referrer".to_owned(),
            referrers => format!(", {referrers} of them referrers"),
        };
        let (blobs, manifests) = (many(self.blobs, "blob"), many(self.manifests, "manifest"));
        writeln!(out, "{verb} {blobs}, {}: {manifests}{with}", bytes(self.bytes))?;
        let left = [
            ("other platforms", self.omitted.platform),
            ("there already", self.omitted.lacking),
            ("referrers", self.omitted.referrers),
        ];
        for (what, count) in left.iter().filter(|(_, count)| count.blobs > 0) {
            writeln!(out, "left out: {what}, {}, {}", many(count.blobs, "blob"), bytes(count.bytes))?;
        }
        end(out, &self.missing, self.bundle.as_ref())
    }

    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        self.bundle.iter().try_for_each(|bundle| writeln!(out, "{bundle}"))
    }
}
