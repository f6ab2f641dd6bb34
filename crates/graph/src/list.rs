//! Lists of referrers as others store them: made new when what they list changes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ocistow_layout::index::INDEX_TYPE;
use ocistow_layout::json::{self, Object};
use ocistow_layout::name::Pair;
use ocistow_layout::{Descriptor, Digest, Error, Kind, Result};

use crate::facts::Facts;
use crate::graph::About;
use crate::manifest::Manifest;
use crate::plan::Entry;

/// Those that say a subject themselves, by whatever a list about that subject may be known by.
pub fn referring<'m>(manifests: impl Iterator<Item = &'m Manifest>) -> BTreeMap<About, Vec<&'m Manifest>> {
    let mut referring: BTreeMap<About, Vec<&Manifest>> = BTreeMap::new();
    for manifest in manifests {
        if let Some(subject) = manifest.about() {
            referring.entry(About::Tag(subject.fallback_tag())).or_default().push(manifest);
            referring.entry(About::Subject(subject.clone())).or_default().push(manifest);
        }
    }
    referring
}

/// Those of `referrers` that none of these lists names.
pub fn unnamed<'r, 'l>(
    mut referrers: BTreeSet<&'r Digest>,
    lists: impl Iterator<Item = &'l HashSet<Digest>>,
) -> BTreeSet<&'r Digest> {
    for list in lists {
        match list.len() < referrers.len() {
            true => list.iter().for_each(|named| {
                referrers.remove(named);
            }),
            false => referrers.retain(|referrer| !list.contains(*referrer)),
        }
    }
    referrers
}

/// What one change may take over from lists of referrers that are made anew, beside four times what these list: one list
/// under the tags of a thousand subjects, each of which lacks another referrer, becomes a thousand lists.
pub const MAX_TAKEN_OVER: u64 = 8 << 20;

/// What may be done about it by whoever carries.
pub const LEAVE_OUT: &str = "--no-referrers leaves all of them out";

/// How much may still be taken over from lists that are made anew.
pub struct Room {
    left: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { left: MAX_TAKEN_OVER }
    }
}

impl Room {
    /// Takes note of another list that was read, and lists so much.
    pub fn read(&mut self, listed: u64) {
        self.left = self.left.saturating_add(listed.saturating_mul(4));
    }

    /// Takes so much over into a list that is made anew. Integrity where that is too much.
    pub fn take(&mut self, listed: u64) -> Result<()> {
        self.left = self.left.checked_sub(listed).ok_or_else(|| {
            Error::new(Kind::Integrity, "could not keep the lists of referrers true")
                .because("so many have so much in common that it takes too much room to make each of them anew")
        })?;
        Ok(())
    }
}

/// The length of these members of a list.
pub fn length<'m>(members: impl Iterator<Item = &'m str>) -> u64 {
    members.map(|member| member.len() as u64 + 1).sum()
}

/// The bytes of a list of these descriptors, in this order.
pub fn made<'d>(members: impl Iterator<Item = &'d str>) -> Vec<u8> {
    let members: Vec<String> = members.map(json::compact).collect();
    format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX_TYPE}\",\"manifests\":[{}]}}", members.join(",")).into_bytes()
}

/// A list of these [members](member), in this order, and its entry of index.json under the fallback tag `tag`.
pub fn under_tag(tag: String, members: Vec<String>) -> (Entry, Vec<u8>) {
    let bytes = made(members.iter().map(String::as_str));
    let pair = Pair { image: None, reference: Some(tag) };
    let descriptor = Descriptor::new(INDEX_TYPE, Digest::of(&bytes), bytes.len() as u64);
    (Entry::named(&descriptor, pair), bytes)
}

/// The entry of index.json for a list made new: `old` with the digest and size of these bytes.
pub fn entry(old: &Descriptor, bytes: &[u8]) -> Descriptor {
    entry_of(old, &Digest::of(bytes), bytes.len() as u64)
}

/// The same with the digest and size of bytes that others have looked at.
pub fn entry_of(old: &Descriptor, digest: &Digest, size: u64) -> Descriptor {
    let text = json::compact(old.text());
    let object: Object = json::parse(&text).expect("a descriptor's text is an object");
    let mut members = Vec::new();
    for (key, value) in &object.0 {
        let value = match &**key {
            "mediaType" => json::quote(INDEX_TYPE),
            "digest" => json::quote(&digest.to_string()),
            "size" => size.to_string(),
            "data" => continue,
            _ => value.get().to_owned(),
        };
        members.push(format!("{}:{value}", json::quote(key)));
    }
    Descriptor::parse(&format!("{{{}}}", members.join(","))).expect("a descriptor with another digest is one")
}

/// What a list says of a referrer: its type and annotations along (REFERRERS-5, REFERRERS-6).
pub fn member(facts: &Facts) -> String {
    let plain = Descriptor::new(facts.form.media_type(), facts.digest.clone(), facts.size);
    let mut text = plain.text().trim_end_matches('}').to_owned();
    if let Some(artifact_type) = &facts.artifact_type {
        text.push_str(&format!(",\"artifactType\":{}", json::quote(artifact_type)));
    }
    if !facts.annotations.is_empty() {
        let pairs: Vec<String> = facts
            .annotations
            .iter()
            .map(|(key, value)| format!("{}:{}", json::quote(key), json::quote(value)))
            .collect();
        text.push_str(&format!(",\"annotations\":{{{}}}", pairs.join(",")));
    }
    text.push('}');
    text
}
