//! Everything that is wrong with a layout, as values.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ocistow_layout::name::Pair;
use ocistow_layout::{
    Access, Blob, Content, Descriptor, Digest, Error, Found, IndexFile, Kind, Marker, Result, Source, Watch, checked,
};

use crate::bundle::carries_mismatch;
use crate::facts::{Facts, Fault, Form, Role, Shape, is_nondistributable};
use crate::graph::{About, Broken, Dialect, Graph, List, Load, Node};

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
    /// Whether nothing is wrong but what is legal.
    pub fn ok(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity == Severity::Warning)
    }

    /// Integrity where there is an error; Incomplete where all errors are missing content.
    pub fn verdict(&self) -> Result<()> {
        let errors: Vec<&Problem> =
            self.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        let lacking = |problem: &&&Problem| matches!(problem.kind, ProblemKind::MissingBlob | ProblemKind::AbsentChild);
        let missing = errors.iter().filter(lacking).count();
        match errors.len() - missing {
            0 if missing == 0 => Ok(()),
            0 => Err(Error::new(Kind::Incomplete, format!("{missing} blobs are missing"))),
            1 => Err(Error::new(Kind::Integrity, "1 error found")),
            several => Err(Error::new(Kind::Integrity, format!("{several} errors found"))),
        }
    }
}

/// Examines a source: its files, index.json, the graph, and every byte of every blob, reachable or not.
/// `Err` only where there is no layout at all, it cannot be read, or the watcher asked to stop.
pub fn examine(source: &dyn Source, options: Options, watch: &dyn Watch) -> Result<Report> {
    let mut examination = Examination { options, there: BTreeMap::new(), problems: BTreeSet::new() };
    examination.files(source)?;
    let index = match source.index() {
        Ok(index) => Some(index),
        Err(why) if why.kind() == Kind::NotFound && source.marker() == Marker::Absent => return Err(why),
        Err(why) => {
            examination.error(ProblemKind::BadIndex, None, why.chain()).path("index.json");
            None
        }
    };
    let mut manifests = 0;
    if let Some(index) = index {
        examination.index(&index);
        let graph = Graph::load(source, Load { threads: options.threads, scan_blobs: true }, watch)?;
        manifests = graph.nodes().values().filter(|node| matches!(node, Node::Present(_))).count() as u64;
        examination.graph(&graph);
    }
    let hashed = hash(source, &examination.there, options.threads, watch)?;
    for (digest, why) in hashed.wrong {
        let path = digest.path();
        examination.error(ProblemKind::DigestMismatch, Some(&digest), why).path(&path);
    }
    let checked = Checked { manifests, blobs: hashed.blobs, bytes: hashed.bytes };
    Ok(Report { problems: examination.problems.into_iter().collect(), checked })
}

/// An examination in progress.
struct Examination {
    options: Options,
    /// Every blob and its length.
    there: BTreeMap<Digest, u64>,
    problems: BTreeSet<Problem>,
}

/// A problem that is entered when it goes out of scope, so that what is known can be added before.
struct Entering<'e> {
    problems: &'e mut BTreeSet<Problem>,
    problem: Option<Problem>,
}

impl Entering<'_> {
    fn path(mut self, path: &str) -> Self {
        if let Some(problem) = &mut self.problem {
            problem.path = Some(path.to_owned());
        }
        self
    }

    fn from(mut self, from: &str) -> Self {
        if let Some(problem) = &mut self.problem {
            problem.from = Some(from.to_owned());
        }
        self
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.problems.extend(self.problem.take());
    }
}

impl Examination {
    fn enter(
        &mut self,
        kind: ProblemKind,
        severity: Severity,
        digest: Option<&Digest>,
        message: String,
    ) -> Entering<'_> {
        let problem = Problem { kind, severity, digest: digest.cloned(), path: None, from: None, message };
        Entering { problems: &mut self.problems, problem: Some(problem) }
    }

    fn error(&mut self, kind: ProblemKind, digest: Option<&Digest>, message: impl Into<String>) -> Entering<'_> {
        self.enter(kind, Severity::Error, digest, message.into())
    }

    fn warn(&mut self, kind: ProblemKind, digest: Option<&Digest>, message: impl Into<String>) -> Entering<'_> {
        self.enter(kind, Severity::Warning, digest, message.into())
    }

    /// The marker file, and what lies around.
    fn files(&mut self, source: &dyn Source) -> Result<()> {
        match source.marker() {
            Marker::Right => {}
            Marker::Absent => {
                self.error(ProblemKind::NoOciLayout, None, "there is no oci-layout file").path("oci-layout");
            }
            Marker::Wrong(why) => {
                self.error(ProblemKind::BadOciLayout, None, why).path("oci-layout");
            }
        }
        let mut found = Vec::new();
        source.survey(&mut |one| found.push(one))?;
        for one in found {
            match one {
                Found::Blob(Blob { digest, size }) => {
                    self.there.insert(digest, size);
                }
                Found::NoBlobs => {
                    self.error(ProblemKind::BadOciLayout, None, "there is no directory for blobs").path("blobs");
                }
                Found::Stray(path) => {
                    self.warn(ProblemKind::StrayFile, None, "no specification or known tool puts it there").path(&path);
                }
                Found::Unfit(path, why) => match blob_name(&path) {
                    Some(digest) => {
                        self.error(ProblemKind::BadLink, Some(&digest), why).path(&path);
                    }
                    None => {
                        self.warn(ProblemKind::StrayFile, None, why).path(&path);
                    }
                },
            }
        }
        Ok(())
    }

    /// index.json as a file: its entries as descriptors, its names.
    fn index(&mut self, index: &IndexFile) {
        for note in index.notes() {
            self.warn(ProblemKind::BadIndex, None, note.as_str()).path("index.json");
        }
        let mut names: BTreeMap<Pair, BTreeSet<&Digest>> = BTreeMap::new();
        for (place, entry) in index.entries().iter().enumerate() {
            match &entry.descriptor {
                Ok(descriptor) if entry.tagged() => {
                    names.entry(entry.pair.key()).or_default().insert(&descriptor.digest);
                }
                Ok(_) => {}
                Err(why) => {
                    let kind = if why.contains("digest: ") { ProblemKind::BadDigest } else { ProblemKind::BadIndex };
                    self.error(kind, None, format!("entry {place}: {why}")).path("index.json").from("index.json");
                }
            }
        }
        for (pair, digests) in names.into_iter().filter(|(_, digests)| digests.len() > 1) {
            let name = [&pair.image, &pair.reference].into_iter().flatten().map(String::as_str);
            let name = name.collect::<Vec<_>>().join(", ");
            for digest in digests {
                let message = format!("{name} names several different digests");
                self.warn(ProblemKind::DuplicateTag, Some(digest), message).path("index.json");
            }
        }
    }

    /// Manifests, what they point to, and who refers to whom.
    fn graph(&mut self, graph: &Graph) {
        let nodes = graph.nodes();
        let lists: HashSet<&Digest> = graph.lists().iter().map(|list| &list.digest).collect();
        for entry in graph.index().entries() {
            if let Ok(descriptor) = &entry.descriptor {
                let manifest = Form::of(&descriptor.media_type).is_some();
                self.pointed(graph, descriptor, Held::Entry { manifest }, "index.json");
            }
        }
        let reached = reached(graph);
        for (digest, node) in &nodes {
            match node {
                Node::Present(facts) => {
                    self.manifest(facts);
                    // What nothing leads to needs nothing: a writer that was interrupted leaves such.
                    if reached.contains(*digest) {
                        self.parts(graph, facts, lists.contains(digest));
                    }
                    self.subject(graph, facts);
                }
                Node::Broken(Broken::Malformed(why)) => {
                    self.error(ProblemKind::BadManifest, Some(digest), why.as_str()).path(&digest.path());
                }
                Node::Broken(why @ Broken::TooDeep) => {
                    self.error(ProblemKind::DepthLimit, Some(digest), why.to_string()).path(&digest.path());
                }
                // Hashing says so of every blob.
                Node::Broken(Broken::Damaged(_)) | Node::Absent => {}
            }
        }
        for digest in cycles(graph) {
            self.error(ProblemKind::Cycle, Some(&digest), "it is reached from itself").path(&digest.path());
        }
        for edge in graph.edges() {
            let there = self.there.contains_key(&edge.subject) || graph.facts(&edge.subject).is_some();
            if !there {
                let message = "what it refers to is not here";
                self.warn(ProblemKind::DanglingSubject, Some(&edge.subject), message).from(&edge.referrer.to_string());
            }
            if edge.dialect == Dialect::Scan {
                let message = format!("it refers to {}, but no entry or list leads to it", edge.subject);
                self.warn(ProblemKind::UnlistedReferrer, Some(&edge.referrer), message).path(&edge.referrer.path());
            }
        }
        self.lists(graph);
        self.carries(graph.index(), &reached);
        let unreached: Vec<Digest> = self.there.keys().filter(|digest| !reached.contains(digest)).cloned().collect();
        for digest in unreached {
            self.warn(ProblemKind::UnreachableBlob, Some(&digest), "nothing leads to it").path(&digest.path());
        }
    }

    fn manifest(&mut self, facts: &Facts) {
        let (digest, path) = (&facts.digest, facts.digest.path());
        for fault in &facts.faults {
            match fault {
                Fault::MediaType(why) => {
                    self.error(ProblemKind::MediaTypeMismatch, Some(digest), why.as_str()).path(&path);
                }
                Fault::Member(why) => {
                    self.error(ProblemKind::BadManifest, Some(digest), why.as_str()).path(&path);
                }
            }
        }
        for note in &facts.notes {
            self.warn(ProblemKind::BadManifest, Some(digest), note.as_str()).path(&path);
        }
    }

    fn parts(&mut self, graph: &Graph, facts: &Facts, is_list: bool) {
        let from = facts.digest.to_string();
        for part in &facts.parts {
            let nondistributable = part.role == Role::Layer && is_nondistributable(&part.descriptor.media_type);
            let held = match part.role {
                // The list's own finding says so.
                Role::Child if is_list => Held::Listed,
                Role::Child => Held::Child,
                _ if nondistributable => Held::Nondistributable,
                _ => Held::Part,
            };
            self.pointed(graph, &part.descriptor, held, &from);
        }
    }

    fn subject(&mut self, graph: &Graph, facts: &Facts) {
        let from = facts.digest.to_string();
        let Some(subject) = &facts.subject else { return };
        if subject.size.is_none() {
            let message = "its referrer does not say its size";
            self.warn(ProblemKind::SubjectMismatch, Some(&subject.digest), message).from(&from);
        }
        if let Some(real) = graph.facts(&subject.digest) {
            let size = subject.size.filter(|size| *size != real.size);
            let media_type = subject.media_type.as_deref().filter(|said| *said != real.form.media_type());
            let message = match (size, media_type) {
                (Some(size), _) => format!("it has {} bytes, its referrer says {size}", real.size),
                (None, Some(said)) => format!("it is {}, its referrer says {said}", real.form.media_type()),
                (None, None) => return,
            };
            self.warn(ProblemKind::SubjectMismatch, Some(&subject.digest), message).from(&from);
        }
    }

    /// What a descriptor promises against what is there.
    fn pointed(&mut self, graph: &Graph, descriptor: &Descriptor, held: Held, from: &str) {
        let digest = &descriptor.digest;
        if !digest.verifiable() {
            let message = format!("the algorithm {} is not known here", digest.algorithm());
            self.warn(ProblemKind::UnverifiableDigest, Some(digest), message).from(from);
        }
        let embedded = descriptor.embedded();
        if matches!(embedded, Some(Err(_))) && digest.verifiable() {
            self.error(ProblemKind::DataMismatch, Some(digest), "the data in its descriptor is not its content")
                .from(from);
        }
        match self.there.get(digest) {
            Some(size) if *size != descriptor.size => {
                let message = format!("it has {size} bytes, its descriptor says {}", descriptor.size);
                self.error(ProblemKind::SizeMismatch, Some(digest), message).path(&digest.path()).from(from);
            }
            Some(_) => {}
            None if matches!(embedded, Some(Ok(_))) => {}
            None => match held {
                Held::Nondistributable | Held::Listed => {}
                Held::Child => {
                    let severity = if self.options.complete { Severity::Error } else { Severity::Warning };
                    let platform = descriptor.platform.as_ref().map(|platform| format!(" ({platform})"));
                    let message = format!("a child of an index is not here{}", platform.unwrap_or_default());
                    self.enter(ProblemKind::AbsentChild, severity, Some(digest), message).from(from);
                }
                Held::Part | Held::Entry { .. } => {
                    let severity = if self.options.allow_missing { Severity::Warning } else { Severity::Error };
                    let message = "it is needed and not here".to_owned();
                    self.enter(ProblemKind::MissingBlob, severity, Some(digest), message)
                        .path(&digest.path())
                        .from(from);
                }
            },
        }
        if let (Held::Child | Held::Listed | Held::Entry { manifest: true }, Some(facts)) = (held, graph.facts(digest))
            && Form::of(&descriptor.media_type).is_some_and(|said| said.shape() != facts.form.shape())
        {
            let message = format!("it is {}, its descriptor says {}", facts.form.media_type(), descriptor.media_type);
            self.error(ProblemKind::MediaTypeMismatch, Some(digest), message).path(&digest.path()).from(from);
        }
    }

    /// Stored lists against the manifests themselves (REFERRERS-15). Several may be about the same: then what one of
    /// them names, none lacks.
    fn lists(&mut self, graph: &Graph) {
        let mut about: BTreeMap<&About, Vec<&List>> = BTreeMap::new();
        for list in graph.lists() {
            about.entry(&list.about).or_default().push(list);
        }
        // The tag of a longer digest is cut, so that several may have it.
        let mut tagged: BTreeMap<String, Vec<&Digest>> = BTreeMap::new();
        let subjects: BTreeSet<&Digest> = graph.edges().map(|edge| &edge.subject).collect();
        for subject in subjects.into_iter().filter(|_| !about.is_empty()) {
            tagged.entry(subject.fallback_tag()).or_default().push(subject);
        }
        for (about, lists) in about {
            let mut listed = HashSet::new();
            let read: Vec<&List> = lists.into_iter().filter(|list| self.list(graph, list, &mut listed)).collect();
            let Some(first) = read.first() else { continue };
            let subjects = match about {
                About::Subject(subject) => vec![subject],
                About::Tag(tag) => tagged.remove(tag).unwrap_or_default(),
            };
            for edge in subjects.into_iter().flat_map(|subject| graph.referrers(subject)) {
                let says_so = graph.facts(&edge.referrer).is_some_and(|facts| facts.subject.is_some());
                if says_so && !listed.contains(&edge.referrer) {
                    let message = "it refers there, but the list does not name it";
                    self.warn(ProblemKind::StaleFallback, Some(&edge.referrer), message)
                        .from(&first.digest.to_string());
                }
            }
        }
    }

    /// What a list names, each of which has to refer there. `false` where it cannot be read.
    fn list<'g>(&mut self, graph: &'g Graph, list: &List, listed: &mut HashSet<&'g Digest>) -> bool {
        let from = list.digest.to_string();
        let facts = match graph.node(&list.digest) {
            Some(Node::Present(facts)) if facts.form.shape() == Shape::Index => facts,
            Some(Node::Present(_)) | None => {
                self.warn(ProblemKind::StaleFallback, Some(&list.digest), "it is no list").from("index.json");
                return false;
            }
            Some(Node::Absent | Node::Broken(_)) => return false,
        };
        for child in facts.children() {
            listed.insert(&child.digest);
            let stale = match graph.node(&child.digest) {
                Some(Node::Broken(_)) => continue,
                Some(Node::Absent) | None => Some("the list names it, but it is not here"),
                Some(Node::Present(real)) => match &real.subject {
                    Some(subject) if list.about.is(&subject.digest) => {
                        let differs = child.artifact_type.is_some() && child.artifact_type != real.artifact_type;
                        differs.then_some("the list says another artifact type than it has")
                    }
                    _ => Some("the list names it, but it does not refer there"),
                },
            };
            if let Some(message) = stale {
                self.warn(ProblemKind::StaleFallback, Some(&child.digest), message).from(&from);
            }
        }
        true
    }

    /// What a bundle declares against what it holds of what its entries reach.
    fn carries(&mut self, index: &IndexFile, reached: &HashSet<Digest>) {
        let held = self.there.iter().filter(|(digest, _)| reached.contains(digest));
        let held: Vec<Blob> = held.map(|(digest, size)| Blob { digest: digest.clone(), size: *size }).collect();
        if let Some(message) = carries_mismatch(index, held.iter()) {
            let severity = if self.options.archive { Severity::Error } else { Severity::Warning };
            self.enter(ProblemKind::CarriesMismatch, severity, None, message).path("index.json");
        }
    }
}

/// How a descriptor is held, which says what its absence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Entry { manifest: bool },
    Child,
    Listed,
    Part,
    Nondistributable,
}

/// The digest whose blob would lie at a path in the layout.
fn blob_name(path: &str) -> Option<Digest> {
    let (algorithm, encoded) = path.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{encoded}").parse().ok()
}

/// Everything the entries of index.json lead to, down to blobs.
fn reached(graph: &Graph) -> HashSet<Digest> {
    let entries = graph.index().entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok());
    let mut stack: Vec<&Digest> = entries.map(|entry| &entry.digest).collect();
    let mut reached = HashSet::new();
    while let Some(digest) = stack.pop() {
        if reached.insert(digest.clone())
            && let Some(facts) = graph.facts(digest)
        {
            stack.extend(facts.parts.iter().map(|part| &part.descriptor.digest));
        }
    }
    reached
}

/// Manifests that are reached from themselves: only with digests that cannot be verified (INDEX-4).
fn cycles(graph: &Graph) -> BTreeSet<Digest> {
    enum Step<'g> {
        In(&'g Digest),
        Out(&'g Digest),
    }
    let mut open: HashSet<&Digest> = HashSet::new();
    let mut done: HashSet<&Digest> = HashSet::new();
    let mut cycles = BTreeSet::new();
    let nodes = graph.nodes();
    let mut stack: Vec<Step<'_>> = nodes.keys().map(|digest| Step::In(digest)).collect();
    while let Some(step) = stack.pop() {
        match step {
            Step::Out(digest) => {
                open.remove(digest);
                done.insert(digest);
            }
            Step::In(digest) if done.contains(digest) => {}
            Step::In(digest) if open.contains(digest) => {
                cycles.insert(digest.clone());
            }
            Step::In(digest) => {
                let Some(facts) = graph.facts(digest) else { continue };
                open.insert(digest);
                stack.push(Step::Out(digest));
                stack.extend(
                    facts.parts.iter().filter(|part| part.is_manifest()).map(|part| Step::In(&part.descriptor.digest)),
                );
            }
        }
    }
    cycles
}

/// What hashing found.
#[derive(Default)]
struct Hashed {
    blobs: u64,
    bytes: u64,
    wrong: BTreeMap<Digest, String>,
}

/// Hashes every blob, the biggest first, so that no thread is left with one at the end.
fn hash(source: &dyn Source, there: &BTreeMap<Digest, u64>, threads: usize, watch: &dyn Watch) -> Result<Hashed> {
    let hashed = Mutex::new(Hashed::default());
    let note = |blob: &Blob, verified: Result<()>| -> Result<()> {
        let mut hashed = hashed.lock().unwrap_or_else(PoisonError::into_inner);
        hashed.blobs += 1;
        hashed.bytes += blob.size;
        match verified {
            Err(why) if why.kind() == Kind::Interrupted => return Err(why),
            Err(why) => {
                hashed.wrong.insert(blob.digest.clone(), why.chain());
            }
            Ok(()) => {}
        }
        Ok(())
    };
    if source.access() == Access::OnePass {
        let all: BTreeSet<Digest> = there.keys().cloned().collect();
        source.visit(&all, &mut |blob: Blob, content: Content<'_>| {
            let verified = checked::verify(&blob, content, watch);
            note(&blob, verified)
        })?;
    } else {
        let mut blobs: Vec<Blob> =
            there.iter().map(|(digest, size)| Blob { digest: digest.clone(), size: *size }).collect();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let verified = match source.open(&blob.digest) {
                    Ok(Some(content)) => checked::verify(blob, content, watch),
                    Ok(None) => Err(Error::new(Kind::Failed, format!("{} went away", blob.digest))),
                    Err(why) => Err(why),
                };
                note(blob, verified)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let running: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mut result = work();
            for thread in running {
                let other = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(other);
            }
            result
        })?;
    }
    Ok(hashed.into_inner().unwrap_or_else(PoisonError::into_inner))
}
