//! What goes along with what: the manifests and blobs that chosen roots need and bring.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ocistow_layout::checked::{self, MAX_MANIFEST};
use ocistow_layout::sizes::Sizes;
use ocistow_layout::{Blob, Descriptor, Digest, Kind, Platform, Result, Source, descriptor, json};

use crate::facts::{DOCKER_CONFIG, Facts, Fault, ManifestKind, OCI_CONFIG, Part, Role};
use crate::graph::{ATTESTATION, ATTESTED, Broken, Graph, Node, embedded};
use crate::manifest::Manifest;
use crate::platform::Selector;

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach<'r> {
    /// Only these platforms; none: all.
    pub platforms: &'r [Selector],
    /// Whether referrers go along.
    pub referrers: bool,
    /// Whether `subject` is followed forward.
    pub subjects: bool,
}

/// Which of an index's children are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// Those of the platforms asked for.
    Chosen,
    /// All: it is a referrer, or its child was named.
    Whole,
}

/// Of which platforms something is, held against those asked for; an index of all its children's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Suiting {
    /// One that was asked for.
    asked: bool,
    /// Another one.
    other: bool,
    /// None at all: such is carried always.
    none: bool,
}

impl Suiting {
    /// That of one platform, or of none.
    fn of(platform: Option<&Platform>, asked: &[Selector]) -> Self {
        let suits = platform.map(|platform| asked.iter().any(|asked| asked.matches(platform)));
        Self { asked: suits == Some(true), other: suits == Some(false), none: suits.is_none() }
    }

    /// Takes in what a child is; whether that was anything new.
    fn join(&mut self, child: Self) -> bool {
        let was = *self;
        self.asked |= child.asked;
        self.other |= child.other;
        self.none |= child.none;
        *self != was
    }

    /// Whether there is something to take.
    fn takes(self) -> bool {
        self.asked || self.none
    }

    /// Whether that is what was asked for, and not only what has no platform beside what has another.
    fn answers(self) -> bool {
        self.asked || self.none && !self.other
    }
}

/// What a walk has met.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// Manifests and their lengths.
    pub manifests: BTreeMap<Digest, u64>,
    /// Configs and their lengths.
    pub configs: BTreeMap<Digest, u64>,
    /// Other blobs and their lengths.
    pub blobs: BTreeMap<Digest, u64>,
    /// Content taken from `data`.
    pub inline: BTreeMap<Digest, Vec<u8>>,
    /// Missing content, in digest order.
    pub missing: Vec<Digest>,
    /// Children of indexes that are not there, in digest order.
    pub absent_children: Vec<Digest>,
    /// What is there and wrong, or cannot be read.
    pub broken: BTreeMap<Digest, Broken>,
    /// Manifests that came along by an edge, as referrer or as subject.
    pub along: BTreeSet<Digest>,
}

impl Carried {
    /// All blobs, each in the first group it fits, in digest order within each.
    pub fn groups(&self) -> [Vec<Blob>; 3] {
        let blob = |(digest, size): (&Digest, &u64)| Blob { digest: digest.clone(), size: *size };
        let manifest = |digest: &Digest| self.manifests.contains_key(digest);
        let config = |digest: &Digest| self.configs.contains_key(digest);
        [
            self.manifests.iter().map(blob).collect(),
            self.configs.iter().filter(|(digest, _)| !manifest(digest)).map(blob).collect(),
            self.blobs.iter().filter(|(digest, _)| !manifest(digest) && !config(digest)).map(blob).collect(),
        ]
    }

    /// Whether a digest is carried in any group.
    pub fn has(&self, digest: &Digest) -> bool {
        [&self.manifests, &self.configs, &self.blobs].iter().any(|group| group.contains_key(digest))
    }

    /// Whether a digest is carried, or would be if it were there.
    pub fn needs(&self, digest: &Digest) -> bool {
        self.has(digest) || self.missing.binary_search(digest).is_ok()
    }
}

/// Digests as they are met, again and again: an enemy's manifests name millions, of which a tree takes twice the memory.
#[derive(Default)]
struct Met {
    digests: Vec<Digest>,
    /// How many were left when they were put in order last.
    ordered: usize,
}

impl Met {
    fn push(&mut self, digest: &Digest) {
        if self.digests.len() >= 2 * self.ordered.max(512) {
            self.order();
        }
        self.digests.push(digest.clone());
    }

    fn order(&mut self) {
        self.digests.sort_unstable();
        self.digests.dedup();
        self.ordered = self.digests.len();
    }

    /// Each once, in order.
    fn into_ordered(mut self) -> Vec<Digest> {
        self.order();
        self.digests
    }
}

/// A walk in progress.
pub(crate) struct Closure<'g> {
    graph: &'g Graph,
    source: &'g dyn Source,
    sizes: Sizes<'g>,
    reach: Reach<'g>,
    seen: HashMap<Digest, Extent>,
    next: Vec<(Digest, Extent)>,
    /// Of indexes that were looked into: what is in them.
    suiting: HashMap<Digest, Suiting>,
    /// Of what is no index: the platform that its config says. Many may hold the same.
    platforms: HashMap<Digest, Option<Platform>>,
    missing: Met,
    absent_children: Met,
    /// All but what is missing or absent.
    carried: Carried,
}

impl<'g> Closure<'g> {
    pub fn new(graph: &'g Graph, source: &'g dyn Source, reach: Reach<'g>) -> Self {
        let (seen, next, suiting, platforms) = Default::default();
        let (missing, absent_children, carried) = Default::default();
        let sizes = Sizes::of(source);
        Self { graph, source, sizes, reach, seen, next, suiting, platforms, missing, absent_children, carried }
    }

    /// Everything that was met.
    pub fn into_carried(self) -> Carried {
        let (missing, absent_children) = (self.missing.into_ordered(), self.absent_children.into_ordered());
        Carried { missing, absent_children, ..self.carried }
    }

    /// Takes a root: an entry of index.json or what was named by digest. `false` where nothing in it is of
    /// the platforms asked for: then nothing was taken.
    pub fn root(&mut self, descriptor: &Descriptor) -> Result<bool> {
        if !self.graph.is_manifest(descriptor) {
            self.blob(Role::Blob, descriptor, false);
            return Ok(true);
        }
        if !self.reach.platforms.is_empty() && !self.suiting(descriptor)?.answers() {
            return Ok(false);
        }
        self.manifest(descriptor, Extent::Chosen, false);
        self.run()?;
        Ok(true)
    }

    /// Takes an entry with everything it has, whatever platforms were asked for.
    pub fn whole(&mut self, descriptor: &Descriptor) -> Result<()> {
        match self.graph.is_manifest(descriptor) {
            false => self.blob(Role::Blob, descriptor, false),
            true => self.manifest(descriptor, Extent::Whole, false),
        }
        self.run()
    }

    /// Takes what a stored list lists, with everything it has. What is not there is an absent child.
    pub fn listed(&mut self, part: &Part) -> Result<()> {
        match self.graph.is_manifest_part(part) {
            true => self.manifest(&part.descriptor, Extent::Whole, true),
            false => self.blob(part.role, &part.descriptor, true),
        }
        self.run()
    }

    /// Takes a manifest that was made for what is carried.
    pub fn made(&mut self, entry: &Descriptor, bytes: Vec<u8>) {
        self.carried.manifests.insert(entry.digest.clone(), entry.size);
        if !matches!(self.source.size(&entry.digest), Ok(Some(_))) {
            self.carried.inline.insert(entry.digest.clone(), bytes);
        }
    }

    /// The manifests taken so far.
    pub fn manifests(&self) -> &BTreeMap<Digest, u64> {
        &self.carried.manifests
    }

    /// Whether a digest has been taken so far: see [`Carried::has`].
    pub fn has(&self, digest: &Digest) -> bool {
        self.carried.has(digest)
    }

    /// Takes one manifest and nothing of what it needs.
    pub fn alone(&mut self, descriptor: &Descriptor) {
        self.manifest(descriptor, Extent::Whole, false);
        self.next.clear();
    }

    fn run(&mut self) -> Result<()> {
        while let Some((digest, extent)) = self.next.pop() {
            let graph = self.graph;
            let Some(facts) = graph.facts(&digest) else { continue };
            let contradiction = facts.faults.iter().find_map(|fault| match fault {
                Fault::MediaType(why) => Some(why),
                Fault::Member(_) | Fault::NoList(_) => None,
            });
            if let Some(why) = contradiction {
                // Whoever believes what it calls itself would look for other members than it has.
                self.carried.broken.insert(digest.clone(), Broken::Malformed(why.clone()));
            }
            let chosen = match extent {
                Extent::Whole => None,
                Extent::Chosen => self.chosen(&facts)?,
            };
            for (at, part) in facts.parts.iter().enumerate() {
                if chosen.as_ref().is_some_and(|chosen| !chosen.contains(&at)) {
                    continue;
                }
                match graph.is_manifest_part(part) {
                    true => self.manifest(&part.descriptor, extent, true),
                    false if part.is_nondistributable() => self.nondistributable(part),
                    false => self.blob(part.role, &part.descriptor, part.role == Role::Child),
                }
            }
            if self.reach.referrers {
                for edge in graph.referrers(&digest) {
                    self.along(&edge.referrer, Extent::Whole);
                }
            }
            if self.reach.subjects
                && let Some(subject) = &facts.subject
                && graph.manifest(&subject.digest).is_some()
            {
                self.along(&subject.digest, Extent::Chosen);
            }
        }
        Ok(())
    }

    /// Takes a manifest that is there, by an edge.
    fn along(&mut self, digest: &Digest, extent: Extent) {
        if let Some(manifest) = self.graph.manifest(digest) {
            self.carried.along.insert(digest.clone());
            self.manifest(&manifest.descriptor(), extent, false);
        }
    }

    /// Takes a manifest. One that is not there is an absent child, or missing content.
    fn manifest(&mut self, descriptor: &Descriptor, extent: Extent, child: bool) {
        let digest = &descriptor.digest;
        let node = self.graph.node(digest);
        if let Some(Node::Present(manifest)) = node
            && let Some(why) = manifest.misnamed_by(descriptor)
        {
            self.carried.broken.insert(digest.clone(), Broken::Malformed(why));
            return;
        }
        match node {
            Some(Node::Present(manifest)) if manifest.size() != descriptor.size => {
                self.wrong_size(descriptor, manifest.size());
                return;
            }
            Some(Node::Broken(why)) => {
                self.carried.broken.insert(digest.clone(), why.clone());
                return;
            }
            Some(Node::Absent) | None => {
                let absent = if child { &mut self.absent_children } else { &mut self.missing };
                absent.push(digest);
                return;
            }
            Some(Node::Present(_)) => {}
        }
        if self.seen.get(digest).is_some_and(|seen| *seen >= extent) {
            return;
        }
        self.seen.insert(digest.clone(), extent);
        if let Some(bytes) = self.graph.inline(digest) {
            self.carried.inline.insert(digest.clone(), bytes.to_vec());
        }
        self.carried.manifests.insert(digest.clone(), descriptor.size);
        self.next.push((digest.clone(), extent));
    }

    /// Takes a blob that is no manifest.
    fn blob(&mut self, role: Role, descriptor: &Descriptor, child: bool) {
        let digest = &descriptor.digest;
        let group = match role {
            Role::Config => &mut self.carried.configs,
            _ => &mut self.carried.blobs,
        };
        if group.get(digest) == Some(&descriptor.size) {
            return;
        }
        match self.sizes.size(digest) {
            Ok(Some(size)) if size == descriptor.size => {
                group.insert(digest.clone(), size);
            }
            Ok(Some(size)) => self.wrong_size(descriptor, size),
            Ok(None) => {
                if let Some(bytes) = embedded(descriptor) {
                    group.insert(digest.clone(), descriptor.size);
                    self.carried.inline.insert(digest.clone(), bytes);
                } else if child {
                    self.absent_children.push(digest);
                } else if !group.contains_key(digest) {
                    self.missing.push(digest);
                }
            }
            Err(why) => {
                self.carried.broken.insert(digest.clone(), why.into());
            }
        }
    }

    /// Takes a layer that need not be there, if it is.
    fn nondistributable(&mut self, part: &Part) {
        let there = !matches!(self.sizes.size(&part.descriptor.digest), Ok(None));
        if there || embedded(&part.descriptor).is_some() {
            self.blob(part.role, &part.descriptor, false);
        }
    }

    fn wrong_size(&mut self, descriptor: &Descriptor, size: u64) {
        let why = format!("it has {size} bytes, its descriptor says {}", descriptor.size);
        self.carried.broken.insert(descriptor.digest.clone(), Broken::Damaged(why));
    }

    /// The places of the children taken of an index; `None` for all parts of anything else.
    fn chosen(&mut self, facts: &Facts) -> Result<Option<BTreeSet<usize>>> {
        if self.reach.platforms.is_empty() || facts.kind != ManifestKind::Index {
            return Ok(None);
        }
        let mut places = BTreeSet::new();
        let mut digests = BTreeSet::new();
        for (at, part) in facts.parts.iter().enumerate() {
            if !is_attestation(&part.descriptor) && self.suiting(&part.descriptor)?.takes() {
                places.insert(at);
                digests.insert(part.descriptor.digest.to_string());
            }
        }
        for (at, part) in facts.parts.iter().enumerate() {
            let attested = part.descriptor.annotation(ATTESTED);
            if is_attestation(&part.descriptor) && attested.is_some_and(|digest| digests.contains(digest)) {
                places.insert(at);
            }
        }
        Ok(Some(places))
    }

    /// Of which platforms a root or child is.
    fn suiting(&mut self, descriptor: &Descriptor) -> Result<Suiting> {
        if let Some(suiting) = self.suiting_itself(descriptor)? {
            return Ok(suiting);
        }
        self.look_into(&descriptor.digest)?;
        Ok(self.suiting.get(&descriptor.digest).copied().unwrap_or_default())
    }

    /// The same of what is no index without a platform of its own; `None` of what has to be looked into.
    fn suiting_itself(&mut self, descriptor: &Descriptor) -> Result<Option<Suiting>> {
        let asked = self.reach.platforms;
        if let Some(platform) = &descriptor.platform {
            return Ok(Some(Suiting::of(Some(platform), asked)));
        }
        let Some(manifest) = self.graph.manifest(&descriptor.digest) else { return Ok(Some(Suiting::of(None, asked))) };
        if manifest.kind() == ManifestKind::Index {
            return Ok(None);
        }
        if !self.platforms.contains_key(&descriptor.digest) {
            let platform = config_platform(self.source, &manifest.facts())?;
            self.platforms.insert(descriptor.digest.clone(), platform);
        }
        Ok(Some(Suiting::of(self.platforms[&descriptor.digest].as_ref(), asked)))
    }

    /// Finds out of an index and those in it of which platforms they are. Each is looked into once, however many hold it
    /// and however deep they are nested: what is found is handed up.
    fn look_into(&mut self, index: &Digest) -> Result<()> {
        let graph = self.graph;
        let mut found: HashMap<&Digest, Suiting> = HashMap::new();
        let mut holders: HashMap<&Digest, Vec<&Digest>> = HashMap::new();
        let mut stack: Vec<&Manifest> = graph.manifest(index).into_iter().collect();
        while let Some(manifest) = stack.pop() {
            if self.suiting.contains_key(&manifest.digest) || found.contains_key(&manifest.digest) {
                continue;
            }
            let mut suiting = Suiting::default();
            for child in manifest.facts().children().filter(|child| !is_attestation(child)) {
                match self.suiting_itself(child)?.or(self.suiting.get(&child.digest).copied()) {
                    Some(known) => drop(suiting.join(known)),
                    None => {
                        let nested = graph.manifest(&child.digest);
                        stack.extend(nested);
                        if let Some(nested) = nested {
                            holders.entry(&nested.digest).or_default().push(&manifest.digest);
                        }
                    }
                }
                if suiting.asked {
                    // Nothing else would change what becomes of it.
                    break;
                }
            }
            found.insert(&manifest.digest, suiting);
        }
        let mut grown: Vec<&Digest> = found.keys().copied().collect();
        while let Some(index) = grown.pop() {
            let suiting = found[index];
            for holder in holders.get(index).into_iter().flatten() {
                if found.get_mut(holder).is_some_and(|found| found.join(suiting)) {
                    grown.push(holder);
                }
            }
        }
        self.suiting.extend(found.into_iter().map(|(index, suiting)| (index.clone(), suiting)));
        Ok(())
    }
}

/// Whether a child of an index is BuildKit's attestation of another.
pub(crate) fn is_attestation(child: &Descriptor) -> bool {
    child.annotation(ATTESTATION).is_some()
}

/// The platform in an image's config, which an artifact may have too; `None` where there is no such config, it says none,
/// or is wrong. Failed where the medium does not give it.
pub fn config_platform(source: &dyn Source, facts: &Facts) -> Result<Option<Platform>> {
    let of_image = |config: &&Descriptor| [OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str());
    let Some(config) = facts.config().filter(of_image) else { return Ok(None) };
    let bytes = match checked::read(source, &config.digest, MAX_MANIFEST) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => embedded(config).unwrap_or_default(),
        Err(why) if why.kind() == Kind::Failed => return Err(why),
        Err(_) => return Ok(None),
    };
    let platform = || {
        let raw = json::parse(json::text(&bytes).ok()?).ok()?;
        descriptor::platform(Some(raw)).ok()?
    };
    Ok(platform().filter(|platform| !platform.os.is_empty() || !platform.architecture.is_empty()))
}
