//! What entries of index.json say of what they refer to, by their names and annotations, in the ways of every tool.

use ocistow_layout::name::{self, Pair};
use ocistow_layout::{Descriptor, Digest, IndexFile};

/// Where olareg says what a list is about.
pub const OLAREG_SUBJECT: &str = "org.olareg.referrer.subject";
/// The same in the proposal it implements (image-spec #1171).
pub const PROPOSED_SUBJECT: &str = "org.opencontainers.image.referrer.subject";
/// Where containerd and Docker say what an entry refers to.
pub const CONTAINERD_SUBJECT: &str = "io.containerd.manifest.subject";
/// Where BuildKit says which of an index's children an attestation is about.
pub const ATTESTED: &str = "vnd.docker.reference.digest";
/// Where BuildKit says that a child of an index is an attestation.
pub const ATTESTATION: &str = "vnd.docker.reference.type";
/// The annotation by which cosign's own layouts tell what an entry is.
pub(crate) const COSIGN_KIND: &str = "kind";
pub(crate) const COSIGN_KINDS: &str = "dev.cosignproject.cosign/";

/// A stored list of referrers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The place of its entry in index.json.
    pub place: usize,
    /// The list's digest.
    pub digest: Digest,
    /// What it lists referrers of.
    pub about: About,
}

/// What a stored list says it lists the referrers of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A fallback tag: every subject whose [`fallback_tag`](Digest::fallback_tag) this is.
    Tag(String),
    /// The annotation of olareg and of the proposal it implements.
    Subject(Digest),
}

/// Whether an entry is one of cosign's own layouts, in which referrers are listed nowhere (dialect 7).
pub(crate) fn is_cosigns(entry: &Descriptor) -> bool {
    entry.annotation(COSIGN_KIND).is_some_and(|kind| kind.starts_with(COSIGN_KINDS))
}

/// The tag of an entry, out of a full name if need be.
fn tag(pair: &Pair) -> Option<&str> {
    let tag = pair.tag()?;
    Some(name::split_full(tag).map_or(tag, |(_, tag)| tag))
}

/// The subject and suffix, if an entry has one of cosign's tags.
pub(crate) fn cosign(pair: &Pair) -> Option<(Digest, &'static str)> {
    let (stem, suffix) = tag(pair)?.rsplit_once('.')?;
    let suffix = ["sig", "att", "sbom"].into_iter().find(|known| *known == suffix)?;
    Some((name::fallback_subject(stem)?, suffix))
}

/// Whether whatever has this name is taken for a list of referrers, or for one that cosign made.
pub fn is_for_referrers(pair: &Pair) -> bool {
    tag(pair).is_some_and(name::is_fallback_tag) || cosign(pair).is_some()
}

/// What an entry is a list about, if it is one.
pub(crate) fn about(descriptor: &Descriptor, pair: &Pair) -> Option<About> {
    if let Some(tag) = tag(pair).filter(|tag| name::is_fallback_tag(tag)) {
        return Some(About::Tag(tag.to_owned()));
    }
    let said = |key: &&str| descriptor.annotation(key)?.parse().ok();
    [OLAREG_SUBJECT, PROPOSED_SUBJECT].iter().find_map(said).map(About::Subject)
}

/// The lists of referrers among the entries.
pub(crate) fn lists(index: &IndexFile) -> Vec<List> {
    let mut lists = Vec::new();
    for (place, entry) in index.entries().iter().enumerate() {
        if let Ok(descriptor) = &entry.descriptor
            && let Some(about) = about(descriptor, &entry.pair)
        {
            lists.push(List { place, digest: descriptor.digest.clone(), about });
        }
    }
    lists
}

impl About {
    /// Whether the list is about `subject`.
    pub fn is(&self, subject: &Digest) -> bool {
        match self {
            Self::Tag(tag) => subject.fallback_tag() == *tag,
            Self::Subject(digest) => digest == subject,
        }
    }
}
