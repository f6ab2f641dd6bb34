//! Everything that is wrong with a layout, as values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use ocistow_layout::{Blob, Digest, Error, IndexFile, Kind, Marker, Result, Source, Watch};

use crate::evidence::Evidence;
use crate::findings;
use crate::graph::{Broken, Graph, Load, Node};

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
    /// Who points there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Pointer>,
    /// For people.
    pub message: Cow<'static, str>,
    /// How many findings this one stands for, of which there are too many to be told one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<u64>,
}

impl Problem {
    /// How many findings it stands for.
    pub fn count(&self) -> u64 {
        self.more.unwrap_or(1)
    }
}

/// What points to something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pointer {
    /// `index.json`
    Index,
    /// A manifest.
    Manifest(Digest),
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index => f.write_str("index.json"),
            Self::Manifest(digest) => digest.fmt(f),
        }
    }
}

impl serde::Serialize for Pointer {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
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

/// Something that could not be looked at: no finding about it, nobody knows whether it is right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Unread {
    /// The file, as a path in the layout.
    pub path: String,
    /// For people: why.
    pub message: String,
}

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that is wrong: by kind, then digest.
    pub problems: Vec<Problem>,
    /// What could not be looked at, by path.
    pub unread: Vec<Unread>,
    /// What was looked at.
    pub checked: Checked,
}

impl Report {
    /// Whether everything was looked at, and nothing is wrong but what is legal.
    pub fn ok(&self) -> bool {
        self.unread.is_empty() && self.problems.iter().all(|problem| problem.severity == Severity::Warning)
    }

    /// Failed where something could not be looked at: what was found is then not all there is to find. Else Integrity
    /// where there is an error; Incomplete where all errors are missing content.
    pub fn verdict(&self) -> Result<()> {
        if let Some(first) = self.unread.first() {
            let more = match self.unread.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return Err(Error::new(Kind::Failed, format!("could not check {}{more}", first.path))
                .because(first.message.clone()));
        }
        let (mut missing, mut others) = (0, 0);
        for problem in self.problems.iter().filter(|problem| problem.severity == Severity::Error) {
            match problem.kind {
                ProblemKind::MissingBlob | ProblemKind::AbsentChild => missing += problem.count(),
                _ => others += problem.count(),
            }
        }
        match others {
            0 if missing == 0 => Ok(()),
            0 if missing == 1 => Err(Error::new(Kind::Incomplete, "1 blob is missing")),
            0 => Err(Error::new(Kind::Incomplete, format!("{missing} blobs are missing"))),
            1 => Err(Error::new(Kind::Integrity, "1 error found")),
            several => Err(Error::new(Kind::Integrity, format!("{several} errors found"))),
        }
    }
}

/// A source that was examined: what lies in it, and what points at what.
#[derive(Debug)]
pub struct Examination {
    pub(crate) options: Options,
    pub(crate) marker: Marker,
    /// `Err` where index.json cannot be read: then nobody knows what is needed.
    pub(crate) graph: Result<Graph>,
    pub(crate) evidence: Evidence,
}

/// Examines a source: its files, index.json, the graph, and every byte of every blob, reachable or not.
/// `Err` only where there is no layout at all, it cannot be listed, or the watcher asked to stop.
pub fn examine(source: &dyn Source, options: Options, watch: &dyn Watch) -> Result<Examination> {
    let marker = source.marker();
    // First what is needed, then what is there: writers bring content before they name it.
    let graph = match load(source, options, watch) {
        Err(why) if why.kind() == Kind::Interrupted => return Err(why),
        Err(why) if why.kind() == Kind::NotFound && marker == Marker::Absent => return Err(why),
        graph => graph,
    };
    let evidence = Evidence::gather(source, options.threads, watch)?;
    Ok(Examination { options, marker, graph, evidence })
}

fn load(source: &dyn Source, options: Options, watch: &dyn Watch) -> Result<Graph> {
    Graph::load(source, Load { threads: options.threads, scan_blobs: true }, watch)
}

impl Examination {
    /// index.json as it was examined; `None` where it cannot be read.
    pub fn index(&self) -> Option<&IndexFile> {
        self.graph.as_ref().ok().map(Graph::index)
    }

    /// Takes note of blobs that were put in their places, verified: nothing is hashed again. What points at what is read
    /// again from `source`, the layout with the index.json that was examined, where one is given: some of the blobs may
    /// be manifests. On `Err` nobody knows any more what is needed.
    pub fn mended(&mut self, blobs: &[Blob], source: Option<&dyn Source>, watch: &dyn Watch) -> Result<()> {
        for blob in blobs {
            self.evidence.mend(blob);
        }
        if let Some(source) = source {
            // The old one goes first: there may be a million manifests.
            self.graph = Err(Error::new(Kind::Failed, "could not read what points at what again"));
            self.graph = Ok(load(source, self.options, watch)?);
        }
        Ok(())
    }

    /// Everything that is wrong.
    pub fn report(&self) -> Report {
        let Evidence { there, unread, .. } = &self.evidence;
        let mut not_looked_at: BTreeMap<String, String> =
            unread.iter().map(|(digest, why)| (digest.path(), why.clone())).collect();
        let mut manifests = 0;
        match &self.graph {
            Ok(graph) => {
                for (digest, node) in graph.nodes() {
                    match node {
                        Node::Present(_) => manifests += 1,
                        // What it needs was not looked at, though hashing it went well later.
                        Node::Broken(Broken::Unread(why)) => {
                            not_looked_at.entry(digest.path()).or_insert_with(|| why.clone());
                        }
                        Node::Broken(_) | Node::Absent => {}
                    }
                }
            }
            Err(why) if why.kind() == Kind::Failed => {
                not_looked_at.insert("index.json".to_owned(), why.chain());
            }
            Err(_) => {}
        }
        let read = there.iter().filter(|(digest, _)| !unread.contains_key(*digest));
        let (blobs, bytes) = read.fold((0, 0), |(blobs, bytes), (_, size)| (blobs + 1, bytes + size));
        let unread = not_looked_at.into_iter().map(|(path, message)| Unread { path, message });
        Report { problems: findings::all(self), unread: unread.collect(), checked: Checked { manifests, blobs, bytes } }
    }
}
