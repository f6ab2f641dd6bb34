//! Everything that is wrong with a layout, as values.

use ocistow_layout::{Digest, Result, Source, Watch};

/// How an examination is made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many threads hash.
    pub threads: usize,
    /// Whether this is an archive: there a bundle holds what it declares.
    pub archive: bool,
    /// Whether absent children are errors (5).
    pub complete: bool,
    /// Whether missing content is a warning only.
    pub allow_missing: bool,
}

/// What is wrong. The name in JSON is that of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ProblemKind {
    NoOciLayout,
    BadOciLayout,
    BadIndex,
    BadManifest,
    BadDigest,
    DigestMismatch,
    SizeMismatch,
    DataMismatch,
    BadLink,
    Cycle,
    DepthLimit,
    MediaTypeMismatch,
    CarriesMismatch,
    MissingBlob,
    AbsentChild,
    DanglingSubject,
    SubjectMismatch,
    StaleFallback,
    DuplicateTag,
    UnreachableBlob,
    UnlistedReferrer,
    UnverifiableDigest,
    StrayFile,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Exit 4, or 5 for `missing-blob`.
    Error,
    /// Exit 0.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// What.
    pub kind: ProblemKind,
    /// How bad.
    pub severity: Severity,
    /// The blob it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The file it is about, as a path in the layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Who points there: a digest, or `index.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// For people.
    pub message: String,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Manifests read.
    pub manifests: u64,
    /// Blobs hashed, manifests included.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that is wrong: by kind, then digest.
    pub problems: Vec<Problem>,
    /// What was looked at.
    pub checked: Checked,
}

impl Report {
    /// Integrity where there is an error; Incomplete where all errors are missing content.
    pub fn verdict(&self) -> Result<()> {
        todo!()
    }
}

/// Examines a source: its files, index.json, the graph, and every byte of every blob, reachable or not.
/// `Err` only where there is no layout at all, it cannot be read, or the watcher asked to stop.
pub fn examine(source: &dyn Source, options: Options, watch: &dyn Watch) -> Result<Report> {
    todo!()
}
