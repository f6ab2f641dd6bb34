//! What a picture of a layout shows: every manifest and blob once, and what ties them.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use ocistow_layout::annotations::Annotations;
use ocistow_layout::{Descriptor, Digest, Kind, Platform, Result, Source, Watch};

use crate::facts::{self, Facts, ManifestKind, Part};
use crate::graph::{Dialect, Graph, Node, Standing, Unread, embedded};
use crate::manifest::Manifest;
use crate::resolve::Target;

/// What of a layout is shown.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// This, what it needs and what refers to it; without it, everything index.json leads to.
    pub from: Option<&'a Target>,
    /// Whether configs, layers and blobs are shown, or only manifests.
    pub blobs: bool,
}

/// A picture of a layout: what is in it, not yet where that stands (see [`Canvas`](crate::canvas::Canvas)).
///
/// The same layout gives the same picture, in the same order: what it starts from, then what that leads to,
/// level by level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Every manifest and blob, each digest once.
    pub figures: Vec<Figure>,
    /// What ties them: first what manifests need, in their own order; then who refers to whom.
    pub lines: Vec<Line>,
}

/// A manifest or blob in a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Its name.
    pub digest: Digest,
    /// What it is, as the first who points at it says.
    pub media_type: String,
    /// Its length: its own, where it is a manifest that was read; else as the first who points at it says.
    pub size: u64,
    /// What sort of artifact it is; an image's is told only where it is declared, or where it is a referrer.
    pub artifact_type: Option<String>,
    /// Its own annotations, where it is a manifest that was read; else its descriptor's.
    pub annotations: Annotations,
    /// What it runs on, as the first says who points at it and says so.
    pub platform: Option<Platform>,
    /// Its tags in index.json, sorted.
    pub tags: Vec<String>,
    /// Its full names in index.json, sorted.
    pub names: Vec<String>,
    /// How it came into the picture.
    pub role: Role,
    /// What it is to people; `None` where it is absent or broken.
    pub kind: Option<ManifestKind>,
    /// Whether it is there.
    pub state: State,
}

/// How a figure came into the picture: the first of these that is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The picture starts here: it was asked for, or is an entry of index.json for its own sake.
    Root,
    /// An entry that lists the referrers of something.
    List,
    /// It refers to something in the picture.
    Referrer,
    /// An index has it as a child.
    Child,
    /// A manifest has it as its config.
    Config,
    /// A manifest has it as a layer.
    Layer,
    /// A manifest has it as a blob.
    Blob,
    /// Something in the picture refers to it, and that is all that leads to it. It is not followed.
    Subject,
}

/// Whether content can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is there. Of a blob that is no manifest only the length was looked at.
    Present,
    /// It is not there.
    Absent,
    /// It is there, but wrong or unreadable, and why.
    Broken(String),
}

/// What ties two figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The place of the figure that points.
    pub from: usize,
    /// The place of the figure that is pointed at.
    pub to: usize,
    /// What the line means.
    pub bond: Bond,
}

/// What a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// It needs the other.
    Needs(facts::Role),
    /// It refers to the other.
    Refers {
        /// How that is recorded.
        dialect: Dialect,
        /// For cosign's tags: `sig`, `att` or `sbom`.
        cosign: Option<&'static str>,
    },
}

impl Line {
    /// The two ends as they belong together, the one first that the other belongs to: a manifest and its part, or
    /// a subject and its referrer.
    pub fn owned(&self) -> (usize, usize) {
        match self.bond {
            Bond::Needs(_) => (self.from, self.to),
            Bond::Refers { .. } => (self.to, self.from),
        }
    }

    /// Whether it says that one refers to the other.
    pub fn refers(&self) -> bool {
        matches!(self.bond, Bond::Refers { .. })
    }
}

impl Figure {
    /// Whether it is a manifest, or stands for one: anything that is no part without parts.
    pub fn is_manifest(&self) -> bool {
        !matches!(self.role, Role::Config | Role::Layer | Role::Blob)
    }
}

impl Picture {
    /// Draws what `scope` asks for, as `graph` has it; of `source` only the lengths of blobs are asked.
    ///
    /// What is absent or broken is a figure that says so. Entries of index.json that are no descriptors are left
    /// out. `Err` only where the watcher asked to stop, or the medium did not give a length.
    pub fn of(graph: &Graph, source: &dyn Source, scope: Scope<'_>, watch: &dyn Watch) -> Result<Self> {
        let mut pen = Pen {
            graph,
            source,
            blobs: scope.blobs,
            names: names(graph),
            places: HashMap::new(),
            followed: HashSet::new(),
            next: VecDeque::new(),
            picture: Self { figures: Vec::new(), lines: Vec::new() },
            unread: Unread::default(),
        };
        match scope.from {
            Some(target) => {
                let place = pen.figure(&target.descriptor, target.manifest, Role::Root);
                pen.next.push_back(place);
            }
            None => pen.entries(),
        }
        while let Some(place) = pen.next.pop_front() {
            watch.go_on()?;
            pen.follow(place);
        }
        pen.subjects();
        pen.unread.verdict().map(|()| pen.picture)
    }
}

/// The tags and the full names of entries, by digest.
fn names(graph: &Graph) -> HashMap<&Digest, [BTreeSet<&str>; 2]> {
    let mut names: HashMap<_, [BTreeSet<&str>; 2]> = HashMap::new();
    for entry in graph.index().entries() {
        if let Ok(descriptor) = &entry.descriptor {
            let [tags, images] = names.entry(&descriptor.digest).or_default();
            tags.extend(entry.pair.tag());
            images.extend(entry.pair.full());
        }
    }
    names
}

/// A picture that is not done yet.
struct Pen<'g> {
    graph: &'g Graph,
    source: &'g dyn Source,
    blobs: bool,
    names: HashMap<&'g Digest, [BTreeSet<&'g str>; 2]>,
    /// Where each digest stands among the figures.
    places: HashMap<Digest, usize>,
    /// The places of figures whose parts and referrers were looked for.
    followed: HashSet<usize>,
    next: VecDeque<usize>,
    picture: Picture,
    unread: Unread,
}

impl<'g> Pen<'g> {
    /// Every entry of index.json: roots, then what only serves others.
    fn entries(&mut self) {
        let graph = self.graph;
        let entries = graph.index().entries();
        let role = |place| match graph.standing(place) {
            Standing::Root => Role::Root,
            Standing::List => Role::List,
            Standing::Referrer | Standing::Cosign => Role::Referrer,
        };
        let mut places: Vec<usize> = (0..entries.len()).collect();
        places.sort_by_key(|place| role(*place));
        for place in places {
            if let Ok(descriptor) = &entries[place].descriptor {
                let is_manifest = graph.is_manifest(descriptor);
                let place = self.figure(descriptor, is_manifest, role(place));
                self.next.push_back(place);
            }
        }
    }

    /// The place of a figure, made if it is not there yet.
    fn figure(&mut self, descriptor: &Descriptor, is_manifest: bool, role: Role) -> usize {
        if let Some(place) = self.places.get(&descriptor.digest) {
            return *place;
        }
        let digest = &descriptor.digest;
        let node = self.graph.node(digest);
        let state = match node {
            Some(Node::Present(_)) => State::Present,
            Some(Node::Absent) => State::Absent,
            Some(Node::Broken(why)) => State::Broken(why.to_string()),
            None => self.state(descriptor, is_manifest),
        };
        let mut figure = Figure {
            digest: digest.clone(),
            media_type: descriptor.media_type.clone(),
            size: descriptor.size,
            artifact_type: descriptor.artifact_type.clone(),
            annotations: descriptor.annotations.clone(),
            platform: descriptor.platform.as_deref().cloned(),
            tags: Vec::new(),
            names: Vec::new(),
            role,
            kind: (state == State::Present).then(|| self.graph.kind(digest).unwrap_or(ManifestKind::Other)),
            state,
        };
        if let Some(Node::Present(manifest)) = node {
            figure.tell(&manifest.facts());
        }
        if let Some([tags, names]) = self.names.get(digest) {
            let owned = |texts: &BTreeSet<&str>| texts.iter().map(|text| (*text).to_owned()).collect();
            (figure.tags, figure.names) = (owned(tags), owned(names));
        }
        let place = self.picture.figures.len();
        self.picture.figures.push(figure);
        self.places.insert(digest.clone(), place);
        place
    }

    /// The state of what was not read: a blob, or a subject that nothing else leads to.
    fn state(&mut self, descriptor: &Descriptor, is_manifest: bool) -> State {
        match self.source.size(&descriptor.digest) {
            Ok(Some(size)) if size == descriptor.size || is_manifest => State::Present,
            Ok(Some(size)) => State::Broken(format!("it has {size} bytes, its descriptor says {}", descriptor.size)),
            Ok(None) if embedded(descriptor).is_some() => State::Present,
            Ok(None) => State::Absent,
            Err(why) => {
                let said = why.chain();
                if why.kind() == Kind::Failed {
                    self.unread.0.insert(descriptor.digest.clone(), said.clone());
                }
                State::Broken(said)
            }
        }
    }

    /// Draws what a figure needs, and what refers to it.
    fn follow(&mut self, place: usize) {
        if !self.followed.insert(place) {
            return;
        }
        let graph = self.graph;
        let digest = self.picture.figures[place].digest.clone();
        if let Some(facts) = graph.facts(&digest) {
            let mut drawn = BTreeSet::new();
            let parts = facts.parts.iter().filter(|part| self.blobs || graph.is_manifest_part(part));
            for part in parts.collect::<Vec<_>>() {
                let to = self.part(part);
                if drawn.insert((to, part.role)) {
                    self.picture.lines.push(Line { from: place, to, bond: Bond::Needs(part.role) });
                }
            }
        }
        for edge in graph.referrers(&digest) {
            if let Some(manifest) = graph.manifest(&edge.referrer) {
                let referrer = self.figure(&manifest.descriptor(), true, Role::Referrer);
                self.next.push_back(referrer);
            }
        }
    }

    fn part(&mut self, part: &Part) -> usize {
        let role = match part.role {
            facts::Role::Config => Role::Config,
            facts::Role::Layer => Role::Layer,
            facts::Role::Blob => Role::Blob,
            facts::Role::Child => Role::Child,
        };
        let place = self.figure(&part.descriptor, self.graph.is_manifest_part(part), role);
        // An entry of index.json rarely says it, an index that has the same manifest does.
        let platform = &mut self.picture.figures[place].platform;
        if platform.is_none() {
            *platform = part.descriptor.platform.as_deref().cloned();
        }
        // A blob can be a subject, too.
        self.next.push_back(place);
        place
    }

    /// Draws who refers to whom, and the subjects that nothing else leads to.
    fn subjects(&mut self) {
        let graph = self.graph;
        for edge in graph.edges() {
            let Some(&from) = self.places.get(&edge.referrer) else { continue };
            let Some(manifest) = graph.manifest(&edge.referrer) else { continue };
            let to = self.subject(manifest, &edge.subject);
            let bond = Bond::Refers { dialect: edge.dialect, cosign: edge.cosign };
            self.picture.lines.push(Line { from, to, bond });
            let referrer = &mut self.picture.figures[from];
            // What registries list of a referrer (REFERRERS-5).
            referrer.artifact_type = manifest.effective_type().0.map(str::to_owned);
            if referrer.role > Role::Referrer {
                referrer.role = Role::Referrer;
            }
        }
    }

    fn subject(&mut self, referrer: &Manifest, digest: &Digest) -> usize {
        if let Some(place) = self.places.get(digest) {
            return *place;
        }
        let said = referrer.about().filter(|about| *about == digest).and_then(|_| referrer.facts().subject);
        let media_type = said.as_ref().and_then(|subject| subject.media_type.as_deref()).unwrap_or_default();
        let size = said.as_ref().and_then(|subject| subject.size).unwrap_or_default();
        let descriptor = Descriptor::new(media_type, digest.clone(), size);
        self.figure(&descriptor, true, Role::Subject)
    }
}

impl Figure {
    /// Takes over what the manifest itself says.
    fn tell(&mut self, facts: &Facts) {
        self.size = facts.size;
        self.annotations = facts.annotations.clone();
        if facts.declared_type || facts.kind != ManifestKind::Image {
            self.artifact_type = facts.artifact_type.clone().or(self.artifact_type.take());
        }
    }
}
