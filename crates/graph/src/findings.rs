//! What lies in a layout held against what its manifests say: the findings of the contract.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ocistow_layout::annotations::Annotations;
use ocistow_layout::name::Pair;
use ocistow_layout::{Blob, Descriptor, Digest, IndexFile, Kind, Marker};

use crate::bundle::carries_mismatch;
use crate::evidence::Evidence;
use crate::facts::{Facts, Fault, ManifestKind, Shape, says_nothing};
use crate::fsck::{Examination, Options, Pointer, Problem, ProblemKind, Severity};
use crate::graph::{About, Broken, Dialect, Graph, Node};
use crate::held::Held;
use crate::list;
use crate::manifest::Manifest;
use crate::tally::Tally;

/// Everything that is wrong with what was examined, sorted.
pub(crate) fn all(examination: &Examination) -> Vec<Problem> {
    let Examination { options, marker, graph, evidence } = examination;
    let mut findings = Findings { options: *options, evidence, tally: Tally::default() };
    findings.files(marker);
    match graph {
        Ok(graph) => {
            findings.index(graph.index());
            findings.graph(graph);
        }
        // The medium's trouble is no finding.
        Err(why) if why.kind() == Kind::Failed => {}
        Err(why) => drop(findings.error(ProblemKind::BadIndex, None, why.chain()).path("index.json")),
    }
    findings.tally.all()
}

/// Findings in the making.
struct Findings<'e> {
    options: Options,
    evidence: &'e Evidence,
    tally: Tally,
}

/// A problem that is entered when it goes out of scope, so that what is known can be added before.
struct Entering<'e> {
    tally: &'e mut Tally,
    problem: Option<Problem>,
}

impl Entering<'_> {
    fn path(mut self, path: &str) -> Self {
        if let Some(problem) = &mut self.problem {
            problem.path = Some(path.to_owned());
        }
        self
    }

    fn from(mut self, from: &Pointer) -> Self {
        if let Some(problem) = &mut self.problem {
            problem.from = Some(from.clone());
        }
        self
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if let Some(problem) = self.problem.take() {
            self.tally.enter(problem);
        }
    }
}

impl Findings<'_> {
    fn enter(
        &mut self,
        kind: ProblemKind,
        severity: Severity,
        digest: Option<&Digest>,
        message: impl Into<Cow<'static, str>>,
    ) -> Entering<'_> {
        let message = message.into();
        let problem = Problem { kind, severity, digest: digest.cloned(), path: None, from: None, message, more: None };
        Entering { tally: &mut self.tally, problem: Some(problem) }
    }

    fn error(
        &mut self,
        kind: ProblemKind,
        digest: Option<&Digest>,
        message: impl Into<Cow<'static, str>>,
    ) -> Entering<'_> {
        self.enter(kind, Severity::Error, digest, message)
    }

    fn warn(
        &mut self,
        kind: ProblemKind,
        digest: Option<&Digest>,
        message: impl Into<Cow<'static, str>>,
    ) -> Entering<'_> {
        self.enter(kind, Severity::Warning, digest, message)
    }

    /// The marker file, what lies around, and bytes that are not what their names say.
    fn files(&mut self, marker: &Marker) {
        match marker {
            Marker::Right => {}
            Marker::Absent => {
                self.error(ProblemKind::NoOciLayout, None, "there is no oci-layout file").path("oci-layout");
            }
            Marker::Wrong(why) => {
                self.error(ProblemKind::BadOciLayout, None, why.clone()).path("oci-layout");
            }
        }
        let Evidence { wrong, unfit, strays, no_blobs, .. } = self.evidence;
        if *no_blobs {
            self.error(ProblemKind::BadOciLayout, None, "there is no directory for blobs").path("blobs");
        }
        for (path, why) in strays {
            self.warn(ProblemKind::StrayFile, None, why.clone()).path(path);
        }
        for (digest, why) in unfit {
            self.error(ProblemKind::BadLink, Some(digest), why.clone()).path(&digest.path());
        }
        for (digest, why) in wrong {
            self.error(ProblemKind::DigestMismatch, Some(digest), why.clone()).path(&digest.path());
        }
    }

    /// index.json as a file: its entries as descriptors, its names.
    fn index(&mut self, index: &IndexFile) {
        for note in index.notes() {
            self.warn(ProblemKind::BadIndex, None, note.clone()).path("index.json");
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
                    self.error(kind, None, format!("entry {place}: {why}")).path("index.json").from(&Pointer::Index);
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
        let reached = self.reached(graph);
        // Where what leads on cannot be read, nobody knows what it leads to.
        let mut certain = true;
        for (digest, node) in &nodes {
            match node {
                Node::Present(manifest) if !reached.contains(*digest) => {
                    // What nothing leads to needs nothing: a writer that was interrupted leaves such.
                    let facts = manifest.facts();
                    self.manifest(&facts);
                    self.subject(graph, &facts);
                }
                Node::Present(_) => {}
                Node::Broken(Broken::Malformed(why)) => {
                    self.error(ProblemKind::BadManifest, Some(digest), why.clone()).path(&digest.path());
                }
                // Its bytes are right, and still nobody reads it: it is too long.
                Node::Broken(Broken::Damaged(why)) if self.evidence.right(digest) => {
                    self.error(ProblemKind::BadManifest, Some(digest), why.clone()).path(&digest.path());
                }
                Node::Broken(why @ Broken::TooDeep) => {
                    self.error(ProblemKind::DepthLimit, Some(digest), why.to_string()).path(&digest.path());
                }
                // Hashing says so of every blob.
                Node::Broken(Broken::Damaged(_) | Broken::Unread(_)) => certain &= !reached.contains(*digest),
                Node::Absent => {}
            }
        }
        for digest in cycles(&nodes) {
            self.error(ProblemKind::Cycle, Some(&digest), "it is reached from itself").path(&digest.path());
        }
        for edge in graph.edges() {
            let there = self.evidence.there.contains_key(&edge.subject) || graph.manifest(&edge.subject).is_some();
            if !there {
                let message = "what it refers to is not here";
                self.warn(ProblemKind::DanglingSubject, Some(&edge.subject), message)
                    .from(&Pointer::Manifest(edge.referrer.clone()));
            }
            if edge.dialect == Dialect::Scan && certain {
                let message = format!("it refers to {}, but no entry or list leads to it", edge.subject);
                self.warn(ProblemKind::UnlistedReferrer, Some(&edge.referrer), message).path(&edge.referrer.path());
            }
        }
        self.lists(graph);
        self.carries(graph.index(), &reached);
        for digest in self.evidence.there.keys().filter(|digest| certain && !reached.contains(digest)) {
            self.warn(ProblemKind::UnreachableBlob, Some(digest), "nothing leads to it").path(&digest.path());
        }
    }

    /// Looks at everything the entries of index.json lead to, down to blobs, and returns what of it is here. Each manifest
    /// is read once, and nothing of it kept: there may be a million.
    fn reached(&mut self, graph: &Graph) -> HashSet<Digest> {
        let lists: HashSet<&Digest> = graph.lists().iter().map(|list| &list.digest).collect();
        let mut reached = HashSet::new();
        let mut next: Vec<Digest> = Vec::new();
        let there = &self.evidence.there;
        let mut meet = |digest: &Digest, next: &mut Vec<Digest>| {
            let met = matches!(graph.node(digest), Some(Node::Present(_) | Node::Broken(_)));
            if (met || there.contains_key(digest)) && reached.insert(digest.clone()) {
                next.push(digest.clone());
            }
        };
        for descriptor in graph.index().entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok()) {
            self.pointed(graph, descriptor, Held::Entry, &Pointer::Index);
            meet(&descriptor.digest, &mut next);
        }
        while let Some(digest) = next.pop() {
            let Some(facts) = graph.facts(&digest) else { continue };
            self.manifest(&facts);
            self.subject(graph, &facts);
            let is_list = lists.contains(&digest);
            let from = Pointer::Manifest(digest);
            for part in &facts.parts {
                self.pointed(graph, &part.descriptor, Held::part(part, is_list), &from);
                meet(&part.descriptor.digest, &mut next);
            }
        }
        reached
    }

    fn manifest(&mut self, facts: &Facts) {
        let (digest, path) = (&facts.digest, facts.digest.path());
        let faults = facts.faults.iter().map(|fault| (Severity::Error, fault));
        for (severity, fault) in faults.chain(facts.notes.iter().map(|note| (Severity::Warning, note))) {
            let kind = match fault {
                Fault::MediaType(_) => ProblemKind::MediaTypeMismatch,
                Fault::Member(_) | Fault::NoList(_) => ProblemKind::BadManifest,
            };
            self.enter(kind, severity, Some(digest), fault.to_string()).path(&path);
        }
    }

    fn subject(&mut self, graph: &Graph, facts: &Facts) {
        let from = Pointer::Manifest(facts.digest.clone());
        let Some(subject) = &facts.subject else { return };
        if subject.size.is_none() {
            let message = "its referrer does not say its size";
            self.warn(ProblemKind::SubjectMismatch, Some(&subject.digest), message).from(&from);
        }
        if let Some(real) = graph.manifest(&subject.digest) {
            let size = subject.size.filter(|size| *size != real.size());
            let media_type = subject.media_type.as_deref().filter(|said| *said != real.form().media_type());
            let message = match (size, media_type) {
                (Some(size), _) => format!("it has {} bytes, its referrer says {size}", real.size()),
                (None, Some(said)) => format!("it is {}, its referrer says {said}", real.form().media_type()),
                (None, None) => return,
            };
            self.warn(ProblemKind::SubjectMismatch, Some(&subject.digest), message).from(&from);
        }
    }

    /// What a descriptor promises against what is there.
    fn pointed(&mut self, graph: &Graph, descriptor: &Descriptor, held: Held, from: &Pointer) {
        let digest = &descriptor.digest;
        if !digest.verifiable() {
            let message = "the algorithm of its digest is not known here";
            self.warn(ProblemKind::UnverifiableDigest, Some(digest), message).from(from);
        }
        let embedded = descriptor.embedded();
        if matches!(embedded, Some(Err(_))) && digest.verifiable() {
            self.error(ProblemKind::DataMismatch, Some(digest), "the data in its descriptor is not its content")
                .from(from);
        }
        match self.evidence.there.get(digest) {
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
                    let message = match &descriptor.platform {
                        Some(platform) => Cow::Owned(format!("a child of an index is not here ({platform})")),
                        None => Cow::Borrowed("a child of an index is not here"),
                    };
                    self.enter(ProblemKind::AbsentChild, severity, Some(digest), message).from(from);
                }
                Held::Part | Held::Entry => {
                    let severity = if self.options.allow_missing { Severity::Warning } else { Severity::Error };
                    let message = "it is needed and not here";
                    self.enter(ProblemKind::MissingBlob, severity, Some(digest), message)
                        .path(&digest.path())
                        .from(from);
                }
            },
        }
        let (Held::Child | Held::Listed | Held::Entry, Some(real)) = (held, graph.manifest(digest)) else { return };
        let (severity, message) = if says_nothing(&descriptor.media_type) {
            (Severity::Warning, format!("it is {}, its descriptor does not say so", real.form().media_type()))
        } else if let Some((said, message)) = real.called_otherwise(descriptor) {
            // Of several descriptors that disagree one is believed, as long as the shape is right.
            (if real.may_be_another(said) { Severity::Warning } else { Severity::Error }, message)
        } else {
            return;
        };
        self.enter(ProblemKind::MediaTypeMismatch, severity, Some(digest), message).path(&digest.path()).from(from);
    }

    /// Stored lists against the manifests themselves (REFERRERS-15). Several may be about the same: then what one of
    /// them names, none lacks. And one may stand under many names: it is read once.
    fn lists(&mut self, graph: &Graph) {
        let mut about: BTreeMap<&About, BTreeSet<&Digest>> = BTreeMap::new();
        let mut names: BTreeMap<&Digest, BTreeSet<&About>> = BTreeMap::new();
        for list in graph.lists() {
            about.entry(&list.about).or_default().insert(&list.digest);
            names.entry(&list.digest).or_default().insert(&list.about);
        }
        let mut long = HashMap::new();
        let mut listed: HashMap<&Digest, HashSet<Digest>> = HashMap::new();
        for (list, names) in &names {
            listed.extend(self.list(graph, list, names, &mut long).map(|members| (*list, members)));
        }
        // The tag of a longer digest is cut, so that several may have it.
        let mut tagged: BTreeMap<String, Vec<&Digest>> = BTreeMap::new();
        let subjects: BTreeSet<&Digest> = graph.edges().map(|edge| &edge.subject).collect();
        for subject in subjects.into_iter().filter(|_| !about.is_empty()) {
            tagged.entry(subject.fallback_tag()).or_default().push(subject);
        }
        for (about, lists) in about {
            let read: Vec<&Digest> = lists.into_iter().filter(|list| listed.contains_key(list)).collect();
            let Some(first) = read.first() else { continue };
            let subjects = match about {
                About::Subject(subject) => vec![subject],
                About::Tag(tag) => tagged.remove(tag).unwrap_or_default(),
            };
            let edges = subjects.into_iter().flat_map(|subject| graph.referrers(subject));
            let says_so = |digest: &&Digest| graph.manifest(digest).is_some_and(|referrer| referrer.about().is_some());
            let referrers = edges.map(|edge| &edge.referrer).filter(says_so).collect();
            for referrer in list::unnamed(referrers, read.iter().map(|list| &listed[*list])) {
                let message = "it refers there, but the list does not name it";
                self.warn(ProblemKind::StaleFallback, Some(referrer), message)
                    .from(&Pointer::Manifest((*first).clone()));
            }
        }
    }

    /// What a list names of what is here, each of which has to refer to what the list is about. `None` where it cannot be
    /// read.
    fn list(
        &mut self,
        graph: &Graph,
        list: &Digest,
        about: &BTreeSet<&About>,
        long: &mut Long,
    ) -> Option<HashSet<Digest>> {
        let facts = match graph.node(list) {
            Some(Node::Present(list)) if list.form().shape() == Shape::Index => list.facts(),
            Some(Node::Present(_)) | None => {
                self.warn(ProblemKind::StaleFallback, Some(list), "it is no list").from(&Pointer::Index);
                return None;
            }
            Some(Node::Absent | Node::Broken(_)) => return None,
        };
        let from = Pointer::Manifest(list.clone());
        let mut named = HashSet::new();
        for child in facts.children() {
            let mut stale = |message| {
                self.warn(ProblemKind::StaleFallback, Some(&child.digest), message).from(&from);
            };
            match graph.node(&child.digest) {
                Some(Node::Broken(_)) => {}
                Some(Node::Absent) | None => stale("the list names it, but it is not here"),
                Some(Node::Present(real)) => {
                    named.insert(child.digest.clone());
                    let own = real.about().map_or(0, |subject| {
                        let names = [About::Tag(subject.fallback_tag()), About::Subject(subject.clone())];
                        names.iter().filter(|name| about.contains(name)).count()
                    });
                    if own < about.len() {
                        stale("the list names it, but it does not refer there");
                    }
                    if own > 0
                        && let Some(message) = misquoted(child, real, long)
                    {
                        stale(message);
                    }
                }
            }
        }
        Some(named)
    }

    /// What a bundle declares against what it holds of what its entries reach.
    fn carries(&mut self, index: &IndexFile, reached: &HashSet<Digest>) {
        let held = self.evidence.there.iter().filter(|(digest, _)| reached.contains(digest));
        let held: Vec<Blob> = held.map(|(digest, size)| Blob { digest: digest.clone(), size: *size }).collect();
        if let Some(message) = carries_mismatch(index, held.iter()) {
            let severity = if self.options.archive { Severity::Error } else { Severity::Warning };
            self.enter(ProblemKind::CarriesMismatch, severity, None, message).path("index.json");
        }
    }
}

/// How a list's descriptor of a referrer is not what a registry would say of it (REFERRERS-5, REFERRERS-6). More
/// annotations than its own are no harm.
fn misquoted(listed: &Descriptor, real: &Manifest, long: &mut Long) -> Option<&'static str> {
    if listed.artifact_type.as_deref().filter(|said| !said.is_empty()) != real.effective_type().0 {
        return Some("the list says another artifact type than it has");
    }
    let read = || real.facts().annotations;
    let annotations = match real.size() {
        ..LONG => Cow::Owned(read()),
        LONG.. => Cow::Borrowed(&*long.entry(real.digest.clone()).or_insert_with(read)),
    };
    let same = |(key, value): (&str, &str)| listed.annotations.get(key) == Some(value);
    (!annotations.iter().all(same)).then_some("the list does not have all of its annotations")
}

/// The annotations of long manifests, each read once, however often it is listed.
type Long = HashMap<Digest, Annotations>;
/// From this length on it takes longer to read a manifest than to read that it is listed.
const LONG: u64 = 2 << 10;

/// Manifests that are reached from themselves: only with digests that cannot be verified (INDEX-4).
fn cycles(nodes: &BTreeMap<&Digest, &Node>) -> BTreeSet<Digest> {
    enum Step<'g> {
        In(&'g Digest),
        Out(&'g Digest),
    }
    let mut cycles = BTreeSet::new();
    if nodes.keys().all(|digest| digest.verifiable()) {
        return cycles;
    }
    let mut open: HashSet<&Digest> = HashSet::new();
    let mut done: HashSet<&Digest> = HashSet::new();
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
                // Only indexes have children.
                let Some(Node::Present(index)) = nodes.get(digest) else { continue };
                if index.kind() != ManifestKind::Index {
                    continue;
                }
                open.insert(digest);
                stack.push(Step::Out(digest));
                let facts = index.facts();
                let children = facts.parts.iter().filter(|part| part.is_manifest()).map(|part| &part.descriptor.digest);
                stack.extend(children.filter_map(|child| nodes.get_key_value(child)).map(|(child, _)| Step::In(child)));
            }
        }
    }
    cycles
}
