//! What a layout can do without: what `gc` deletes, and what it keeps.
//!
//! Kept is what an entry of index.json reaches, and whatever refers to that, with all it needs: in which dialect does
//! not matter, so a referrer that only lies in `blobs/` stays as long as its subject does. An untagged entry that is
//! itself a referrer goes together with its subject, never before it. What is younger than the grace stays, with all
//! it needs and what refers to it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ocistow_layout::checked::{self, MAX_MANIFEST};
use ocistow_layout::edit::Edit;
use ocistow_layout::holdings::{Lying, Spared};
use ocistow_layout::name::Pair;
use ocistow_layout::threads::in_stretches;
use ocistow_layout::{Blob, Count, Descriptor, Digest, Error, Kind, Result, Source, Watch};

use crate::facts::{Form, Part, Role, says_nothing};
use crate::graph::{self, About, Allowance, Broken, Dialect, Edge, Graph, Node, Standing, unlisted};
use crate::manifest::Manifest;

/// How a sweep is made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether untagged entries go that neither serve something tagged nor refer to something live.
    pub prune: bool,
    /// How many threads read.
    pub threads: usize,
}

/// What goes and what stays: nothing is decided after this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The changes to index.json: entries that go.
    pub edits: Vec<Edit>,
    /// What those entries stood for, in digest order.
    pub dropped: Vec<Digest>,
    /// What is deleted, wholes before their parts.
    pub removed: Vec<Blob>,
    /// What stays.
    pub kept: Count,
    /// How many of those stay only because they, or what needs them, are younger than the grace.
    pub young: u64,
    /// Referrers to which no entry or list leads, in digest order.
    pub orphans: Vec<Orphan>,
    /// Entries that stay though what they stand for is not there: what that needs cannot be told. In digest order.
    pub absent: Vec<Digest>,
}

/// A referrer that only lies in `blobs/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// The referrer.
    pub digest: Digest,
    /// What it refers to.
    pub subject: Digest,
    /// Whether it stays, because its subject does.
    pub stays: bool,
}

/// Decides what can go of `blobs`, which are all there are in `source`, from whose index.json `graph` was read.
///
/// Integrity where a manifest that is there cannot be read, parsed or verified, or an entry of index.json is no
/// descriptor: nobody can tell what they need. What is absent is passed over.
pub fn sweep(
    graph: &Graph,
    source: &dyn Source,
    blobs: &[Lying],
    options: Options,
    watch: &dyn Watch,
) -> Result<Sweep> {
    refuse_broken(graph)?;
    let mut mark = Mark::new(graph, source, blobs);
    mark.entries(options.prune)?;
    mark.run()?;
    mark.read_unmet(blobs, options.threads, watch)?;
    mark.run()?;
    for (reason, why) in [(Spared::Linked, Why::Linked), (Spared::Young, Why::Young)] {
        mark.why = why;
        for spared in blobs.iter().filter(|lying| lying.spared == Some(reason)) {
            mark.take(&spared.blob.digest);
        }
        mark.run()?;
    }
    mark.outcome(blobs)
}

fn refuse_broken(graph: &Graph) -> Result<()> {
    let broken = |(digest, node): (&Digest, &Node)| match node {
        Node::Broken(why) => Some((digest.clone(), why.clone())),
        Node::Present(_) | Node::Absent => None,
    };
    let broken: Vec<_> = graph.nodes().into_iter().filter_map(broken).collect();
    broken.first().map_or(Ok(()), |(digest, why)| Err(unreadable(digest, broken.len(), why)))
}

/// The error for manifests that are there and cannot be read: how many, and the first of them.
pub(crate) fn unreadable(digest: &Digest, count: usize, why: &Broken) -> Error {
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    Error::new(Kind::Integrity, format!("could not tell what is needed by {digest}{more}"))
        .because(why.to_string())
        .hint("fsck tells what is wrong; import brings it again, rm takes it away")
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// An entry, or what refers to what an entry reaches, leads to it.
    Reached,
    /// A link leads to it, or to what leads to it.
    Linked,
    /// Only something young does.
    Young,
}

/// A marking in progress.
struct Mark<'g> {
    graph: &'g Graph,
    source: &'g dyn Source,
    /// All blobs.
    there: HashSet<&'g Digest>,
    /// Manifests that were not met on the way from index.json.
    unmet: HashMap<Digest, Manifest>,
    allowance: Allowance<'g>,
    /// The unmet ones that refer to something, by what that is.
    about: HashMap<Digest, Vec<Digest>>,
    /// Untagged lists of referrers that stay if what they are about does, by what that is.
    lists: HashMap<Digest, Vec<Digest>>,
    live: HashMap<Digest, Why>,
    why: Why,
    next: Vec<Digest>,
}

impl<'g> Mark<'g> {
    fn new(graph: &'g Graph, source: &'g dyn Source, blobs: &'g [Lying]) -> Self {
        Self {
            graph,
            source,
            there: blobs.iter().map(|lying| &lying.blob.digest).collect(),
            unmet: HashMap::new(),
            allowance: Allowance::of(source),
            about: HashMap::new(),
            lists: HashMap::new(),
            live: HashMap::with_capacity(blobs.len()),
            why: Why::Reached,
            next: Vec::new(),
        }
    }

    fn take(&mut self, digest: &Digest) {
        if !self.live.contains_key(digest) {
            self.live.insert(digest.clone(), self.why);
            self.next.push(digest.clone());
        }
    }

    /// Takes the entries that stay by themselves.
    fn entries(&mut self, prune: bool) -> Result<()> {
        let graph = self.graph;
        let mut subjects: HashMap<&Digest, Vec<&Digest>> = HashMap::new();
        for edge in graph.edges() {
            subjects.entry(&edge.referrer).or_default().push(&edge.subject);
        }
        for (place, entry) in graph.index().entries().iter().enumerate() {
            let descriptor = entry.descriptor(place)?;
            let stays = match graph.standing(place) {
                _ if entry.tagged() => true,
                // It may be waiting for its subject.
                Standing::Referrer if !prune => {
                    subjects.get(&descriptor.digest).into_iter().flatten().any(|subject| self.is_absent(subject))
                }
                Standing::Referrer => false,
                Standing::Root | Standing::List | Standing::Cosign => !prune,
            };
            if stays {
                self.take(&descriptor.digest);
                self.look_into(descriptor, true)?;
            }
        }
        for list in graph.lists().iter().filter(|_| prune) {
            if let About::Subject(subject) = &list.about {
                self.lists.entry(subject.clone()).or_default().push(list.digest.clone());
            }
        }
        Ok(())
    }

    fn is_absent(&self, digest: &Digest) -> bool {
        !self.there.contains(digest) && self.graph.manifest(digest).is_none()
    }

    fn known(&self, digest: &Digest) -> Option<&Manifest> {
        match self.graph.node(digest) {
            Some(Node::Present(manifest)) => Some(manifest),
            _ => self.unmet.get(digest),
        }
    }

    /// Takes everything that what was taken leads to.
    fn run(&mut self) -> Result<()> {
        while let Some(digest) = self.next.pop() {
            let graph = self.graph;
            for edge in graph.referrers(&digest).iter().filter(|edge| lasts(graph, edge)) {
                self.take(&edge.referrer);
            }
            let more = [&self.about, &self.lists].into_iter().filter_map(|of| of.get(&digest));
            let more: Vec<Digest> = more.flatten().cloned().collect();
            more.iter().for_each(|digest| self.take(digest));
            let facts = match (graph.node(&digest), self.unmet.get(&digest)) {
                (Some(Node::Present(manifest)), _) => manifest.facts(),
                (_, Some(manifest)) => manifest.facts(),
                (_, None) => continue,
            };
            if facts.form == Form::DockerSchema1 {
                self.take_mentioned(&digest)?;
            }
            facts.parts.iter().try_for_each(|part| self.part(part))?;
        }
        Ok(())
    }

    fn part(&mut self, part: &Part) -> Result<()> {
        let digest = &part.descriptor.digest;
        if part.is_manifest() && self.graph.node(digest).is_none() && !self.unmet.contains_key(digest) {
            // A child of something that was not met. Its descriptor may say what it does not say itself.
            match graph::read(self.source, &part.descriptor).0 {
                Node::Present(mut manifest) => {
                    self.allowance.hold(&mut manifest);
                    self.unmet.insert(digest.clone(), *manifest);
                }
                Node::Broken(why) => return Err(unreadable(digest, 1, &why)),
                Node::Absent => {}
            }
        }
        self.take(digest);
        self.look_into(&part.descriptor, part.role == Role::Child)
    }

    /// A document that is called a manifest, of a form that is not known here, or that stands where manifests do and does
    /// not read as one: whatever it mentions stays.
    fn look_into(&mut self, descriptor: &Descriptor, among_manifests: bool) -> Result<()> {
        let media_type = &descriptor.media_type;
        let called = ["manifest", "index"].iter().any(|word| media_type.contains(word));
        // Of what nobody calls a manifest, nothing that long is one.
        let unsaid = among_manifests
            && says_nothing(media_type)
            && self.known(&descriptor.digest).is_none()
            && !matches!(self.source.size(&descriptor.digest), Ok(Some(size)) if size > MAX_MANIFEST);
        if Form::of(media_type).is_none() && (called || unsaid) {
            self.take_mentioned(&descriptor.digest)?;
        }
        Ok(())
    }

    /// Takes every blob whose digest stands in a document.
    fn take_mentioned(&mut self, document: &Digest) -> Result<()> {
        let stop = |why: Error| why.of_kind(Kind::Integrity);
        let Some(size) = self.source.size(document).map_err(stop)? else { return Ok(()) };
        if size > MAX_MANIFEST {
            let why = Broken::Malformed(format!("it has {size} bytes, the limit is {MAX_MANIFEST}"));
            return Err(unreadable(document, 1, &why));
        }
        let bytes = checked::read(self.source, document, MAX_MANIFEST).map_err(stop)?;
        let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default());
        for digest in text.split('"').filter_map(|word| word.parse::<Digest>().ok()) {
            if !self.there.contains(&digest) {
                continue;
            }
            if self.known(&digest).is_none()
                && let Some(manifest) = self.read(&digest)?
            {
                self.unmet.insert(digest.clone(), manifest);
            }
            self.take(&digest);
        }
        Ok(())
    }

    /// Reads the manifests among what nothing has led to so far: some may refer to what stays, and whoever deletes
    /// has to tell wholes from parts.
    fn read_unmet(&mut self, blobs: &[Lying], threads: usize, watch: &dyn Watch) -> Result<()> {
        let unmet = |digest: &&Digest| !self.live.contains_key(*digest) && self.known(digest).is_none();
        let digests: Vec<&Digest> = blobs.iter().map(|lying| &lying.blob.digest).filter(unmet).collect();
        let read_all = |digests: &[&Digest]| -> Result<Vec<Manifest>> {
            digests.iter().take_while(|_| !watch.stop()).filter_map(|digest| self.read(digest).transpose()).collect()
        };
        let found: Result<Vec<Vec<Manifest>>> = in_stretches(&digests, threads, read_all).into_iter().collect();
        watch.go_on()?;
        for manifest in found?.into_iter().flatten() {
            if let Some(subject) = manifest.about().filter(|subject| **subject != manifest.digest) {
                self.about.entry(subject.clone()).or_default().push(manifest.digest.clone());
            }
            self.unmet.insert(manifest.digest.clone(), manifest);
        }
        let of_live = self.about.iter().filter(|(subject, _)| self.live.contains_key(*subject));
        let referrers: Vec<Digest> = of_live.flat_map(|(_, referrers)| referrers.clone()).collect();
        referrers.iter().for_each(|referrer| self.take(referrer));
        Ok(())
    }

    /// The manifest that a blob is, whatever nobody says of it. Integrity where that cannot be told.
    fn read(&self, digest: &Digest) -> Result<Option<Manifest>> {
        let mut found = unlisted(self.source, digest).map_err(|why| unreadable(digest, 1, &why))?;
        found.iter_mut().for_each(|manifest| self.allowance.hold(manifest));
        self.allowance.fits(0)?;
        Ok(found)
    }

    fn outcome(self, blobs: &[Lying]) -> Result<Sweep> {
        let mut sweep = Sweep::default();
        let mut removed: BTreeMap<&Digest, &Blob> = BTreeMap::new();
        for Lying { blob, .. } in blobs {
            match self.live.get(&blob.digest) {
                None => drop(removed.insert(&blob.digest, blob)),
                Some(why) => {
                    sweep.kept.add(blob.size);
                    sweep.young += u64::from(*why == Why::Young);
                }
            }
        }
        let mut dropped = BTreeSet::new();
        let mut absent = BTreeSet::new();
        for (place, entry) in self.graph.index().entries().iter().enumerate() {
            let digest = &entry.descriptor(place)?.digest;
            if !entry.tagged() && !self.live.contains_key(digest) {
                dropped.insert(digest.clone());
            } else if self.graph.absent(digest) {
                absent.insert(digest.clone());
            }
        }
        let edit = |digest: &Digest| Edit::Remove { digest: digest.clone(), pair: Pair::default() };
        sweep.edits = dropped.iter().map(edit).collect();
        let order = wholes_first(&removed.keys().copied().collect(), |digest| self.known(digest));
        sweep.removed = order.into_iter().map(|digest| removed[digest].clone()).collect();
        sweep.orphans = self.orphans(&dropped).into_iter().collect();
        sweep.dropped = dropped.into_iter().collect();
        sweep.absent = absent.into_iter().collect();
        Ok(sweep)
    }

    /// Referrers that only lie in `blobs/`, or will once the dropped entries have gone.
    fn orphans(&self, dropped: &BTreeSet<Digest>) -> BTreeSet<Orphan> {
        let orphan = |digest: &Digest, subject: &Digest| Orphan {
            digest: digest.clone(),
            subject: subject.clone(),
            stays: self.live.contains_key(digest),
        };
        let mut orphans = BTreeSet::new();
        for (subject, referrers) in &self.about {
            orphans.extend(referrers.iter().map(|referrer| orphan(referrer, subject)));
        }
        let led = if dropped.is_empty() { None } else { Some(self.led(dropped)) };
        for edge in self.graph.edges().filter(|edge| says_itself(self.graph, edge)) {
            let left = || led.as_ref().is_some_and(|led| !led.contains(&edge.referrer));
            if edge.dialect == Dialect::Scan || self.live.contains_key(&edge.referrer) && left() {
                orphans.insert(orphan(&edge.referrer, &edge.subject));
            }
        }
        orphans
    }

    /// Everything that entries lead to if some have gone.
    fn led(&self, dropped: &BTreeSet<Digest>) -> HashSet<Digest> {
        let entries = self.graph.index().entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok());
        let mut stack: Vec<Digest> =
            entries.map(|descriptor| descriptor.digest.clone()).filter(|digest| !dropped.contains(digest)).collect();
        let mut led = HashSet::new();
        while let Some(digest) = stack.pop() {
            if let Some(manifest) = self.known(&digest)
                && led.insert(digest)
            {
                stack.extend(manifest.facts().parts.into_iter().map(|part| part.descriptor.digest));
            }
        }
        led
    }
}

/// Whether a referrer names its subject itself.
pub(crate) fn says_itself(graph: &Graph, edge: &Edge) -> bool {
    match graph.node(&edge.referrer) {
        Some(Node::Present(manifest)) => manifest.about() == Some(&edge.subject),
        _ => false,
    }
}

/// Whether an edge is there without the index that lists its two ends.
fn lasts(graph: &Graph, edge: &Edge) -> bool {
    edge.dialect != Dialect::Attestation || says_itself(graph, edge)
}

/// The same digests, each whole before its parts.
pub(crate) fn wholes_first<'d, 'm>(
    digests: &BTreeSet<&'d Digest>,
    manifest: impl Fn(&Digest) -> Option<&'m Manifest>,
) -> Vec<&'d Digest> {
    enum Step<'d> {
        In(&'d Digest),
        Out(&'d Digest),
    }
    let mut order: Vec<&Digest> = Vec::with_capacity(digests.len());
    let mut seen: HashSet<&Digest> = HashSet::new();
    // What is done last stands first: so the last are asked first.
    let mut stack: Vec<Step<'d>> = digests.iter().map(|digest| Step::In(digest)).collect();
    while let Some(step) = stack.pop() {
        match step {
            Step::Out(digest) => order.push(digest),
            Step::In(digest) => {
                if !seen.insert(digest) {
                    continue;
                }
                stack.push(Step::Out(digest));
                let parts = manifest(digest).into_iter().flat_map(|manifest| manifest.facts().parts);
                stack.extend(parts.filter_map(|part| digests.get(&part.descriptor.digest)).map(|part| Step::In(part)));
            }
        }
    }
    order.reverse();
    order
}
