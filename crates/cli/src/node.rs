//! A *node*: how every JSON document here tells of a manifest.

use std::path::Path;

use ocistow_graph::Facts;
use ocistow_layout::annotations::Annotations;
use ocistow_layout::{Descriptor, Digest, Platform, Result, Source};
use serde::{Serialize, Serializer};

/// What is told of a manifest, or of an opaque entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// A location that means it: `PATH@DIGEST`.
    pub reference: String,
    /// What it is.
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
    /// What sort of artifact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its annotations.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Whether it is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

impl Node {
    /// What a descriptor in the layout at `path` tells.
    pub fn of(path: &Path, descriptor: &Descriptor) -> Self {
        Self {
            reference: reference(path, &descriptor.digest),
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            artifact_type: descriptor.artifact_type.clone(),
            annotations: descriptor.annotations.clone(),
            platform: descriptor.platform.as_deref().cloned(),
            absent: false,
        }
    }

    /// With the type that is told of the manifest itself, if any is.
    pub fn typed(mut self, told: Option<&str>) -> Self {
        self.artifact_type = told.map(str::to_owned).or(self.artifact_type);
        self
    }
}

/// Writes a node of which nothing beside it tells the kind: where it is not there, its kind is `null`.
pub fn alone<S: Serializer>(node: &Node, to: S) -> std::result::Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Alone<'n> {
        #[serde(flatten)]
        node: &'n Node,
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<()>,
    }
    Alone { node, kind: node.absent.then_some(()) }.serialize(to)
}

/// The location that means a digest: `PATH@DIGEST`.
pub fn reference(path: &Path, digest: &Digest) -> String {
    format!("{}@{digest}", path.display())
}

/// What a manifest says of its subject, which need not be there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    /// Its digest.
    pub digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Whether it is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

impl Subject {
    /// The subject in `facts`, told as one of the layout at `path`.
    pub fn of(facts: &Facts, source: &dyn Source, path: &Path) -> Result<Option<Self>> {
        let Some(mut subject) = Self::there(facts, path) else { return Ok(None) };
        subject.absent = source.size(&subject.digest)?.is_none();
        Ok(Some(subject))
    }

    /// The same after something was done, which is not undone by that the layout cannot be looked at any more.
    pub fn after(facts: &Facts, source: Option<&dyn Source>, path: &Path) -> Option<Self> {
        let mut subject = Self::there(facts, path)?;
        subject.absent = source.is_some_and(|source| matches!(source.size(&subject.digest), Ok(None)));
        Some(subject)
    }

    fn there(facts: &Facts, path: &Path) -> Option<Self> {
        facts.subject.as_ref().map(|subject| Self {
            reference: reference(path, &subject.digest),
            media_type: subject.media_type.clone(),
            digest: subject.digest.clone(),
            size: subject.size,
            absent: false,
        })
    }
}
