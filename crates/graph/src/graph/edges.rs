//! Who refers to whom, in whichever way that is recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ocistow_layout::{Digest, IndexFile};

use super::node::{Node, Nodes};
use super::said::{ATTESTED, About, CONTAINERD_SUBJECT, List, cosign};
use crate::facts::{Form, ManifestKind};
use crate::manifest::Manifest;

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

/// Reads manifests again whose descriptors disagree on what they are, in whatever order they were met: of the forms
/// that suit the shape, the first in the order of [`Form::ALL`] is believed, which is the one that knows subjects.
pub(super) fn agree(index: &IndexFile, nodes: &mut Nodes, doubtful: &BTreeSet<Digest>) {
    let mut forms: BTreeMap<&Digest, Form> = BTreeMap::new();
    let mut said = |digest: &Digest, media_type: &str| {
        if let (Some(digest), Some(form)) = (doubtful.get(digest), Form::of(media_type))
            && matches!(nodes.get(digest), Some(Node::Present(real)) if real.form().shape() == form.shape())
        {
            forms.entry(digest).and_modify(|known| *known = form.min(*known)).or_insert(form);
        }
    };
    for entry in index.entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok()) {
        said(&entry.digest, &entry.media_type);
    }
    for node in nodes.values() {
        if let Node::Present(index) = node {
            index.children(&mut |child| said(&child.digest, &child.media_type));
        }
    }
    for (digest, form) in forms {
        if let Some(Node::Present(manifest)) = nodes.get_mut(digest) {
            **manifest = manifest.read_as(form);
        }
    }
}

/// Every edge, from the manifests themselves; lists only tell where to look (REFERRERS-15). And every manifest that a
/// descriptor calls something else than it was read as, though that would suit its shape.
pub(super) fn edges(
    index: &IndexFile,
    lists: &[List],
    nodes: &Nodes,
) -> (BTreeMap<Digest, Vec<Edge>>, BTreeSet<Digest>) {
    let present = |digest: &Digest| match nodes.get(digest) {
        Some(Node::Present(manifest)) => Some(&**manifest),
        _ => None,
    };
    // Only those have children.
    let is_index = |manifest: &&Manifest| manifest.kind() == ManifestKind::Index;
    let list_places: HashSet<usize> = lists.iter().map(|list| list.place).collect();
    // In which dialects each manifest that says its subject was found, the first of them.
    let with_subject = nodes.iter().filter_map(|(digest, node)| match node {
        Node::Present(manifest) if manifest.about().is_some() => Some((digest, Dialect::Scan)),
        _ => None,
    });
    let mut ways: HashMap<&Digest, Dialect> = with_subject.collect();
    let mut way = |digest: &Digest, dialect: Dialect| {
        if let Some(known) = ways.get_mut(digest) {
            *known = dialect.min(*known);
        }
    };
    let mut doubtful = BTreeSet::new();
    let mut called = |digest: &Digest, media_type: &str| {
        let another = |said| present(digest).is_some_and(|real| real.may_be_another(said));
        if Form::of(media_type).is_some_and(another) {
            doubtful.insert(digest.clone());
        }
    };
    let mut edges: Vec<Edge> = Vec::new();
    let mut said = |subject: Digest, referrer: &Digest, dialect, cosign| {
        if subject != *referrer && present(referrer).is_some_and(|manifest| manifest.about().is_none()) {
            edges.push(Edge { subject, referrer: referrer.clone(), dialect, cosign });
        }
    };
    // An index that is only there as a list says nothing about platforms.
    let mut only_lists: HashSet<&Digest> = lists.iter().map(|list| &list.digest).collect();
    for (place, entry) in index.entries().iter().enumerate() {
        let Ok(descriptor) = &entry.descriptor else { continue };
        called(&descriptor.digest, &descriptor.media_type);
        if list_places.contains(&place) {
            continue;
        }
        only_lists.remove(&descriptor.digest);
        way(&descriptor.digest, Dialect::Entry);
        if let Some(subject) = descriptor.annotation(CONTAINERD_SUBJECT).and_then(|text| text.parse().ok()) {
            said(subject, &descriptor.digest, Dialect::Containerd, None);
        }
        if let Some((subject, suffix)) = cosign(&entry.pair) {
            said(subject, &descriptor.digest, Dialect::CosignTag, Some(suffix));
        }
    }
    if !only_lists.is_empty() {
        let by_entry = only_lists.clone();
        for index in nodes.keys().filter(|digest| !by_entry.contains(digest)).filter_map(present).filter(is_index) {
            index.children(&mut |child| {
                only_lists.remove(&child.digest);
            });
        }
    }
    // One list may stand under many names.
    let mut dialects: BTreeMap<&Digest, Dialect> = BTreeMap::new();
    for list in lists {
        let dialect = match list.about {
            About::Tag(_) => Dialect::FallbackTag,
            About::Subject(_) => Dialect::Olareg,
        };
        dialects.entry(&list.digest).and_modify(|known| *known = dialect.min(*known)).or_insert(dialect);
    }
    for (list, dialect) in dialects {
        if let Some(list) = present(list) {
            list.children(&mut |child| {
                called(&child.digest, &child.media_type);
                way(&child.digest, dialect);
            });
        }
    }
    let holders = nodes.keys().filter(|digest| !only_lists.contains(digest)).filter_map(present);
    for index in holders.filter(is_index) {
        index.children(&mut |child| {
            called(&child.digest, &child.media_type);
            match child.annotation(ATTESTED).and_then(|text| text.parse().ok()) {
                Some(subject) => {
                    way(&child.digest, Dialect::Attestation);
                    said(subject, &child.digest, Dialect::Attestation, None);
                }
                None => way(&child.digest, Dialect::Child),
            }
        });
    }
    for (referrer, dialect) in ways {
        if let Some(subject) = present(referrer).and_then(Manifest::about)
            && subject != referrer
        {
            edges.push(Edge { subject: subject.clone(), referrer: referrer.clone(), dialect, cosign: None });
        }
    }
    edges.sort_unstable();
    let mut by_subject: BTreeMap<Digest, Vec<Edge>> = BTreeMap::new();
    for edge in edges {
        let known = by_subject.entry(edge.subject.clone()).or_default();
        // Sorted by referrer, then dialect: the first of several stays.
        if known.last().is_none_or(|last| last.referrer != edge.referrer) {
            known.push(edge);
        }
    }
    (by_subject, doubtful)
}

/// What each entry is there for.
pub(super) fn standings(index: &IndexFile, lists: &[List], edges: &BTreeMap<Digest, Vec<Edge>>) -> Vec<Standing> {
    let referrers: HashSet<&Digest> = edges.values().flatten().map(|edge| &edge.referrer).collect();
    let lists: HashSet<usize> = lists.iter().map(|list| list.place).collect();
    let standing = |(place, entry): (usize, &ocistow_layout::index::Entry)| match &entry.descriptor {
        Ok(_) if lists.contains(&place) => Standing::List,
        Ok(_) if cosign(&entry.pair).is_some() => Standing::Cosign,
        Ok(descriptor) if referrers.contains(&descriptor.digest) => Standing::Referrer,
        _ => Standing::Root,
    };
    index.entries().iter().enumerate().map(standing).collect()
}
