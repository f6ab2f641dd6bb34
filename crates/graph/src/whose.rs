//! Whose an attestation is, where the index that said so stays behind: its entry says it, as containerd does.

use std::collections::{BTreeSet, HashMap, HashSet};

use ocistow_layout::json::{self, Object};
use ocistow_layout::{Descriptor, Digest};

use crate::closure::Carried;
use crate::graph::{ATTESTED, CONTAINERD_SUBJECT, Dialect, Graph, about};
use crate::plan::{Entry, made_entry};

/// Makes `entries` say of everything carried whose it is, where neither it nor anything else carried does. `lists` are
/// lists of referrers among what is carried: they say nothing of what they list (REFERRERS-15).
pub(crate) fn say(graph: &Graph, carried: &Carried, lists: &HashSet<&Digest>, entries: &mut Vec<Entry>) {
    let goes = |digest: &Digest| carried.manifests.contains_key(digest);
    let of_others = |dialect: Dialect| matches!(dialect, Dialect::Attestation | Dialect::Containerd);
    let unsaid = graph.edges().filter(|edge| of_others(edge.dialect) && goes(&edge.subject) && goes(&edge.referrer));
    let unsaid = unsaid.filter(|edge| graph.manifest(&edge.referrer).is_some_and(|it| it.about().is_none()));
    let mut unsaid: BTreeSet<(Digest, Digest)> =
        unsaid.map(|edge| (edge.referrer.clone(), edge.subject.clone())).collect();
    if unsaid.is_empty() {
        return;
    }
    let indexes = carried.manifests.keys().filter(|digest| !lists.contains(digest));
    for index in indexes.filter_map(|digest| graph.manifest(digest)) {
        index.children(&mut |child| {
            if let Some(subject) = child.annotation(ATTESTED).and_then(|text| text.parse().ok()) {
                unsaid.remove(&(child.digest, subject));
            }
        });
    }
    // Entries that could say it, and do not.
    let mut silent: HashMap<Digest, usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let digest = &entry.descriptor.digest;
        match subject_said(&entry.descriptor) {
            _ if about(&entry.descriptor, &entry.pair).is_some() => {}
            Some(subject) => drop(unsaid.remove(&(digest.clone(), subject))),
            None => drop(silent.entry(digest.clone()).or_insert(at)),
        }
    }
    for (referrer, subject) in unsaid {
        let at = silent.remove(&referrer).unwrap_or(entries.len());
        if at == entries.len() {
            entries.extend(made_entry(graph, &referrer));
        }
        if let Some(entry) = entries.get_mut(at) {
            entry.descriptor = saying(&entry.descriptor, &subject);
        }
    }
}

/// The subject that an entry says.
pub(crate) fn subject_said(entry: &Descriptor) -> Option<Digest> {
    entry.annotation(CONTAINERD_SUBJECT)?.parse().ok()
}

/// The entry with its subject in its annotations; everything else of its text stays as it is, but for white space.
pub(crate) fn saying(entry: &Descriptor, subject: &Digest) -> Descriptor {
    let text = json::compact(entry.text());
    let object: Object = json::parse(&text).expect("a descriptor's text is an object");
    let own = object.get("annotations").map_or("{}", |annotations| annotations.get());
    let annotations = with(own, CONTAINERD_SUBJECT, &json::quote(&subject.to_string()));
    Descriptor::parse(&with(&text, "annotations", &annotations)).expect("an entry with one more annotation is one")
}

/// An object's text with one member more, or another value for it.
fn with(text: &str, key: &str, value: &str) -> String {
    let object: Object = json::parse(text).expect("it is an object");
    let members = object.0.iter().filter(|(known, _)| known != key);
    let mut members: Vec<String> =
        members.map(|(key, value)| format!("{}:{}", json::quote(key), value.get())).collect();
    members.push(format!("{}:{value}", json::quote(key)));
    format!("{{{}}}", members.join(","))
}
