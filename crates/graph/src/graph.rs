//! The graph of a layout: every manifest reachable from index.json, and who refers to whom.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::Read as _;

use ocistow_layout::checked::{self, MAX_MANIFEST};
use ocistow_layout::index;
use ocistow_layout::json::JsonError;
use ocistow_layout::name::{self, Pair};
use ocistow_layout::sizes::{self, Sizes};
use ocistow_layout::threads::{in_stretches, worth};
use ocistow_layout::{Access, Content, Descriptor, Digest, Error, IndexFile, Kind, Result, Source, Watch};

use crate::facts::{Facts, FactsError, Form, ManifestKind, Part, Role, says_nothing};
use crate::manifest::Manifest;

/// The longest stored list of referrers read: one entry a referrer, so no manifest's limit holds.
pub const MAX_LIST: u64 = 256 << 20;
/// The most manifests read at once: beyond that, what it takes to read them is worth more than their order.
const MOST_AT_ONCE: usize = 1 << 18;
/// The fewest manifests for which a second thread is worth its start.
const WORTH_A_THREAD: usize = 64;

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

/// How a graph is read.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many threads read and parse.
    pub threads: usize,
    /// Whether manifests that only lie in `blobs/` are looked for (dialect 7).
    pub scan_blobs: bool,
}

/// A manifest as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Read and checked.
    Present(Box<Manifest>),
    /// Not in the source.
    Absent,
    /// There, but wrong or unreadable. Whoever needs it fails, others go on.
    Broken(Broken),
}

/// What the medium did not give, and why. Nobody knows what it is, what it needs and what it refers to: whatever is said
/// of the rest may lack something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread(pub BTreeMap<Digest, String>);

impl Unread {
    /// Failed where there is any.
    pub fn verdict(&self) -> Result<()> {
        let Some((digest, why)) = self.0.first_key_value() else { return Ok(()) };
        let what = format!("could not read all of it: manifest {digest}{}", more(self.0.len() - 1));
        Err(Error::new(Kind::Failed, what).because(why.clone()))
    }
}

/// How many there are besides.
pub(crate) fn more(count: usize) -> String {
    if count > 0 { format!(" and {count} more") } else { String::new() }
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// Its bytes are not those its digest or size promise.
    Damaged(String),
    /// The medium did not give its bytes: nobody knows whether they are right.
    Unread(String),
    /// Its bytes are right, but are no manifest, or too many to be one (MANIFEST-21).
    Malformed(String),
    /// Its bytes are right, but JSON nested too deeply to be read (MANIFEST-21).
    TooDeep,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) | Self::Unread(why) | Self::Malformed(why) => f.write_str(why),
            Self::TooDeep => JsonError::Depth.fmt(f),
        }
    }
}

impl From<Error> for Broken {
    /// Why content that was to be read is of no use.
    fn from(why: Error) -> Self {
        match why.kind() {
            Kind::Integrity => Self::Damaged(why.chain()),
            _ => Self::Unread(why.chain()),
        }
    }
}

impl Broken {
    /// Whether the bytes themselves are amiss, rather than what they say.
    pub fn is_about_bytes(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Unread(_))
    }

    /// What it is to whoever needs the content: trouble of the medium is no finding about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unread(_) => Kind::Failed,
            _ => Kind::Integrity,
        }
    }
}

/// How an edge is recorded in a layout (cli.md, "An edge is …").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// 1: the referrer is an entry of index.json and says its subject itself.
    Entry,
    /// 2: it is in the list under a `sha256-<hex>` tag, and says its subject itself.
    FallbackTag,
    /// 3: it is in a list marked by `org.olareg.referrer.subject`, and says its subject itself.
    Olareg,
    /// 4: its entry says the subject in `io.containerd.manifest.subject`.
    Containerd,
    /// 5: its entry has one of cosign's tags.
    CosignTag,
    /// 6: it is a child of the index its subject is a child of, marked by `vnd.docker.reference.digest`.
    Attestation,
    /// It is a child of some index, and says its subject itself.
    Child,
    /// 7: it only lies in `blobs/`, and says its subject itself.
    Scan,
}

/// One manifest refers to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// What it refers to, there or not.
    pub subject: Digest,
    /// The manifest that refers.
    pub referrer: Digest,
    /// The first of the dialects it is recorded in.
    pub dialect: Dialect,
    /// For cosign's tags: `sig`, `att` or `sbom`.
    pub cosign: Option<&'static str>,
}

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

/// What an entry of index.json is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// For itself.
    Root,
    /// It refers to another manifest.
    Referrer,
    /// It is a fallback tag's or olareg's list of referrers.
    List,
    /// It has one of cosign's tags.
    Cosign,
}

/// What points at what in one source.
#[derive(Debug)]
pub struct Graph {
    index: IndexFile,
    nodes: HashMap<Digest, Node>,
    /// Entries of index.json that are no manifests: whether they are there, or why nobody can tell.
    opaque: HashMap<Digest, std::result::Result<bool, String>>,
    /// By subject, then by referrer.
    edges: BTreeMap<Digest, Vec<Edge>>,
    lists: Vec<List>,
    standings: Vec<Standing>,
    inline: HashMap<Digest, Vec<u8>>,
    whole: bool,
}

impl Graph {
    /// Reads index.json and every manifest that can be reached from it.
    ///
    /// Manifests that are absent or broken are nodes that say so. `Err` where there is no index.json that
    /// can be read, or the watcher asked to stop.
    pub fn load(source: &dyn Source, load: Load, watch: &dyn Watch) -> Result<Self> {
        let index = source.index()?;
        let lists = lists(&index);
        let mut walk = Walk::new(source, load.threads, watch, &lists)?;
        walk.nodes.reserve(index.entries().len());
        let mut cosign = false;
        for entry in index.entries() {
            let Ok(descriptor) = &entry.descriptor else { continue };
            cosign |= is_cosigns(descriptor);
            walk.want(descriptor);
        }
        walk.run()?;
        if load.scan_blobs || cosign {
            walk.scan()?;
        }
        let Walk { nodes, inline, .. } = walk;
        Ok(Self { whole: true, ..Self::of(source, index, lists, nodes, inline) })
    }

    /// The part of a graph that was read.
    pub(crate) fn of(
        source: &dyn Source,
        index: IndexFile,
        lists: Vec<List>,
        mut nodes: HashMap<Digest, Node>,
        inline: HashMap<Digest, Vec<u8>>,
    ) -> Self {
        let mut opaque = HashMap::new();
        for descriptor in index.entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok()) {
            if Form::of(&descriptor.media_type).is_none() && !nodes.contains_key(&descriptor.digest) {
                let there = match source.size(&descriptor.digest) {
                    Ok(size) => Ok(size.is_some() || embedded(descriptor).is_some()),
                    Err(why) if why.kind() == Kind::Failed => Err(why.chain()),
                    Err(_) => Ok(embedded(descriptor).is_some()),
                };
                opaque.insert(descriptor.digest.clone(), there);
            }
        }
        let (mut edges, doubtful) = self::edges(&index, &lists, &nodes);
        if !doubtful.is_empty() {
            agree(&index, &mut nodes, &doubtful);
            edges = self::edges(&index, &lists, &nodes).0;
        }
        let standings = standings(&index, &lists, &edges);
        Self { index, nodes, opaque, edges, lists, standings, inline, whole: false }
    }

    /// Whether it is of the whole layout.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// How many manifests were met.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// index.json as it was read.
    pub fn index(&self) -> &IndexFile {
        &self.index
    }

    /// The index.json alone.
    pub fn into_index(self) -> IndexFile {
        self.index
    }

    /// A manifest that was met, there or not. `None` for everything else.
    pub fn node(&self, digest: &Digest) -> Option<&Node> {
        self.nodes.get(digest)
    }

    /// A manifest that was met and read.
    pub fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        match self.nodes.get(digest) {
            Some(Node::Present(manifest)) => Some(manifest),
            _ => None,
        }
    }

    /// Everything that a manifest says which was met and read: see [`Manifest::facts`].
    pub fn facts(&self, digest: &Digest) -> Option<Facts> {
        self.manifest(digest).map(Manifest::facts)
    }

    /// The facts of a manifest that is needed. Integrity where it is broken, Failed where it cannot be read, Incomplete
    /// where it is absent, NotFound where nothing was met under that digest.
    pub fn need(&self, digest: &Digest) -> Result<Facts> {
        match self.nodes.get(digest) {
            Some(node) => node.facts(digest),
            None => Err(Error::new(Kind::NotFound, format!("could not find a manifest {digest}"))),
        }
    }

    /// Whether an entry of index.json is to be read as a manifest: its type says so, or says nothing and its content does.
    pub fn is_manifest(&self, entry: &Descriptor) -> bool {
        let media_type = &entry.media_type;
        Form::of(media_type).is_some() || says_nothing(media_type) && self.manifest(&entry.digest).is_some()
    }

    /// The same of a part of a manifest.
    pub fn is_manifest_part(&self, part: &Part) -> bool {
        part.role == Role::Child && self.is_manifest(&part.descriptor)
    }

    /// All manifests that were read, in no order.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.nodes.values().filter_map(|node| if let Node::Present(manifest) = node { Some(&**manifest) } else { None })
    }

    /// All manifests met, in digest order.
    pub fn nodes(&self) -> BTreeMap<&Digest, &Node> {
        self.nodes.iter().collect()
    }

    /// The kind of a manifest that was met, or of an opaque entry of index.json; `None` where it is absent
    /// or broken.
    pub fn kind(&self, digest: &Digest) -> Option<ManifestKind> {
        match self.nodes.get(digest) {
            Some(Node::Present(manifest)) => Some(manifest.kind()),
            Some(_) => None,
            None => self.opaque.get(digest).filter(|there| **there == Ok(true)).map(|_| ManifestKind::Other),
        }
    }

    /// Whether a manifest that was met, or an opaque entry of index.json, is absent.
    pub fn absent(&self, digest: &Digest) -> bool {
        match self.nodes.get(digest) {
            Some(node) => *node == Node::Absent,
            None => self.opaque.get(digest) == Some(&Ok(false)),
        }
    }

    /// What was met and not read, because the medium did not give it, and why.
    pub fn unread(&self) -> Unread {
        let nodes = self.nodes.iter().filter_map(|(digest, node)| match node {
            Node::Broken(Broken::Unread(why)) => Some((digest.clone(), why.clone())),
            _ => None,
        });
        let opaque = self.opaque.iter();
        let opaque = opaque.filter_map(|(digest, there)| Some((digest.clone(), there.as_ref().err()?.clone())));
        Unread(nodes.chain(opaque).collect())
    }

    /// Who refers to `subject`, sorted by digest.
    pub fn referrers(&self, subject: &Digest) -> &[Edge] {
        self.edges.get(subject).map_or(&[], Vec::as_slice)
    }

    /// All edges, sorted by subject, then by referrer.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.values().flatten()
    }

    /// What the entry at a place of index.json is there for.
    ///
    /// # Panics
    /// Where index.json has no such place.
    pub fn standing(&self, place: usize) -> Standing {
        self.standings[place]
    }

    /// The places of the roots in index.json, in its order. Entries that are no descriptors are none.
    pub fn roots(&self) -> Vec<usize> {
        let readable = |at: &usize| self.index.entries()[*at].descriptor.is_ok();
        (0..self.standings.len()).filter(|at| self.standings[*at] == Standing::Root).filter(readable).collect()
    }

    /// The tags under which index.json has `digest`, sorted, each once.
    pub fn tags_of(&self, digest: &Digest) -> Vec<String> {
        self.named(digest, Pair::tag)
    }

    /// The full names under which index.json has `digest`, sorted, each once.
    pub fn names_of(&self, digest: &Digest) -> Vec<String> {
        self.named(digest, Pair::full)
    }

    fn named(&self, digest: &Digest, what: fn(&Pair) -> Option<&str>) -> Vec<String> {
        let own =
            |entry: &&index::Entry| entry.descriptor.as_ref().is_ok_and(|descriptor| descriptor.digest == *digest);
        let names = self.index.entries().iter().filter(own).filter_map(|entry| what(&entry.pair));
        names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The bytes of a manifest that is only there as the `data` of a descriptor.
    pub fn inline(&self, digest: &Digest) -> Option<&[u8]> {
        self.inline.get(digest).map(Vec::as_slice)
    }

    /// The stored lists of referrers.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }
}

impl Node {
    /// The facts, or why there are none: as [`manifest`](Self::manifest).
    pub fn facts(&self, digest: &Digest) -> Result<Facts> {
        self.manifest(digest).map(Manifest::facts)
    }

    /// The manifest, or why there is none: Incomplete, Integrity, or Failed where the medium did not give it.
    pub fn manifest(&self, digest: &Digest) -> Result<&Manifest> {
        let what = || format!("could not read manifest {digest}");
        match self {
            Self::Present(manifest) => Ok(manifest),
            Self::Absent => Err(Error::new(Kind::Incomplete, what()).because("it is missing")),
            Self::Broken(why) => Err(Error::new(why.kind(), what()).because(why.to_string())),
        }
    }
}

/// Reads one manifest. Its node, as [`Graph::load`] would have it; the bytes come along where it is
/// present.
pub fn read(source: &dyn Source, descriptor: &Descriptor) -> (Node, Vec<u8>) {
    read_up_to(source, descriptor, MAX_MANIFEST)
}

/// Reads one stored list of referrers, which may be longer than a manifest.
pub fn read_list(source: &dyn Source, descriptor: &Descriptor) -> (Node, Vec<u8>) {
    read_up_to(source, descriptor, MAX_LIST)
}

/// The node that content is, wherever it came from: what a descriptor promises, no longer than `limit`.
pub(crate) fn node(descriptor: &Descriptor, content: Content<'_>, limit: u64) -> Node {
    let (digest, media_type) = (descriptor.digest.clone(), &*descriptor.media_type);
    Want { digest, media_type, data: None, limit }.node(content)
}

fn read_up_to(source: &dyn Source, descriptor: &Descriptor, limit: u64) -> (Node, Vec<u8>) {
    let want = Want {
        digest: descriptor.digest.clone(),
        media_type: &descriptor.media_type,
        data: descriptor.data.is_some().then(|| Box::new(descriptor.clone())),
        limit,
    };
    want.read(source)
}

/// The bytes in a descriptor's `data`, if they are there and right.
pub fn embedded(descriptor: &Descriptor) -> Option<Vec<u8>> {
    descriptor.embedded()?.ok()
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

/// A manifest to be read.
pub(crate) struct Want<'t> {
    pub digest: Digest,
    pub media_type: &'t str,
    /// Its descriptor, where that has the content in it.
    pub data: Option<Box<Descriptor>>,
    pub limit: u64,
}

impl Want<'_> {
    fn read(&self, source: &dyn Source) -> (Node, Vec<u8>) {
        let content = match source.open(&self.digest) {
            Ok(Some(content)) => content,
            Ok(None) => return self.elsewhere(),
            Err(why) => return (Node::Broken(why.into()), Vec::new()),
        };
        match self.bytes(content) {
            Ok(bytes) => (self.judge(bytes.clone()), bytes),
            Err(why) => (Node::Broken(why), Vec::new()),
        }
    }

    /// The node that content is.
    fn node(&self, content: Content<'_>) -> Node {
        match self.bytes(content) {
            Ok(bytes) => self.judge(bytes),
            Err(why) => Node::Broken(why),
        }
    }

    /// The right bytes. Those of a document that is too long may be right, too: nobody reads them.
    fn bytes(&self, content: Content<'_>) -> std::result::Result<Vec<u8>, Broken> {
        let (length, limit) = (content.len(), self.limit);
        if length > limit {
            return Err(Broken::Malformed(format!("it has {length} bytes, the limit is {limit}")));
        }
        checked::whole(&self.digest, content, limit).map_err(Broken::from)
    }

    /// A right `data` stands in for an absent blob (DESCRIPTOR-9).
    fn elsewhere(&self) -> (Node, Vec<u8>) {
        match self.data.as_deref().and_then(embedded) {
            Some(bytes) => (self.judge(bytes.clone()), bytes),
            None => (Node::Absent, Vec::new()),
        }
    }

    fn judge(&self, bytes: Vec<u8>) -> Node {
        let manifest = match self.limit {
            MAX_LIST => Manifest::read_list(self.media_type, &self.digest, bytes),
            _ => Manifest::read(self.media_type, &self.digest, bytes),
        };
        match manifest {
            Ok(manifest) => Node::Present(Box::new(manifest)),
            Err(FactsError::Json(JsonError::Depth)) => Node::Broken(Broken::TooDeep),
            Err(why) => Node::Broken(Broken::Malformed(why.to_string())),
        }
    }
}

/// The walk over all manifests: what is still to be read, and what was.
pub(crate) struct Walk<'s> {
    source: &'s dyn Source,
    /// What of it is worth asking for: lists name many that are not there.
    sizes: Sizes<'s>,
    threads: usize,
    watch: &'s dyn Watch,
    lists: HashSet<Digest>,
    next: Vec<Want<'static>>,
    /// Those still to be read are absent until then.
    nodes: HashMap<Digest, Node>,
    inline: HashMap<Digest, Vec<u8>>,
    /// Descriptors of manifests met before that have the content in them.
    spare: HashMap<Digest, Descriptor>,
    /// Content of which no descriptor so far says what it is, with its descriptor if that has it in it; and all of which
    /// that was asked.
    unsaid: Vec<(Digest, Option<Box<Descriptor>>)>,
    asked: HashSet<Digest>,
    /// Everything small in a source of one pass that reads as a manifest.
    ahead: Option<HashMap<Digest, Manifest>>,
}

impl<'s> Walk<'s> {
    pub fn new(source: &'s dyn Source, threads: usize, watch: &'s dyn Watch, lists: &[List]) -> Result<Self> {
        let mut walk = Self {
            source,
            sizes: Sizes::of(source),
            threads,
            watch,
            lists: lists.iter().map(|list| list.digest.clone()).collect(),
            next: Vec::new(),
            nodes: HashMap::new(),
            inline: HashMap::new(),
            spare: HashMap::new(),
            unsaid: Vec::new(),
            asked: HashSet::new(),
            ahead: None,
        };
        if source.access() == Access::OnePass {
            walk.ahead = Some(walk.read_ahead()?);
        }
        Ok(walk)
    }

    /// Each pass costs the whole source, and nested indexes would cost a pass a level. So one pass takes
    /// everything that is small and reads as a manifest.
    fn read_ahead(&self) -> Result<HashMap<Digest, Manifest>> {
        let mut small = BTreeSet::new();
        self.source.names(&mut |digest| {
            if matches!(self.source.size(&digest), Ok(Some(size)) if size <= MAX_MANIFEST) {
                small.insert(digest);
            }
        })?;
        let mut ahead = HashMap::new();
        self.source.visit(&small, &mut |blob, content| {
            self.watch.go_on()?;
            if let Ok(bytes) = checked::whole(&blob.digest, content, MAX_MANIFEST)
                && starts_as_object(&bytes)
                && let Ok(manifest) = Manifest::read("", &blob.digest, bytes)
            {
                ahead.insert(blob.digest, manifest);
            }
            Ok(())
        })?;
        Ok(ahead)
    }

    /// Remembers a manifest that has to be read, unless it was met before. Opaque content is passed over.
    fn want(&mut self, descriptor: &Descriptor) {
        self.want_as(&descriptor.media_type, &descriptor.digest, Some(descriptor).filter(|it| it.data.is_some()));
    }

    /// The same of one whose descriptor is given only where it has the content in it.
    fn want_as(&mut self, media_type: &str, digest: &Digest, with_data: Option<&Descriptor>) {
        let Some(form) = Form::of(media_type) else {
            if says_nothing(media_type) && self.asked.insert(digest.clone()) {
                self.unsaid.push((digest.clone(), with_data.map(|descriptor| Box::new(descriptor.clone()))));
            }
            return;
        };
        if self.nodes.contains_key(digest) {
            self.spare.extend(with_data.map(|descriptor| (digest.clone(), descriptor.clone())));
            return;
        }
        self.nodes.insert(digest.clone(), Node::Absent);
        self.next.push(Want {
            digest: digest.clone(),
            media_type: form.media_type(),
            data: with_data.map(|descriptor| Box::new(descriptor.clone())),
            limit: if self.lists.contains(digest) { MAX_LIST } else { MAX_MANIFEST },
        });
    }

    /// Reads everything wanted, and what that wants, many at a time.
    fn run(&mut self) -> Result<()> {
        while !(self.next.is_empty() && self.unsaid.is_empty()) {
            // A pass is worth all there is to be read.
            let most = if self.ahead.is_some() { usize::MAX } else { MOST_AT_ONCE };
            let level = self.next.split_off(self.next.len().saturating_sub(most));
            let nodes = self.level(&level)?;
            for (want, node) in level.into_iter().zip(nodes) {
                self.met(want, node);
            }
            if self.next.is_empty() {
                self.stand_in();
            }
            if self.next.is_empty() {
                self.guess()?;
            }
        }
        Ok(())
    }

    /// Keeps what came of reading a manifest.
    fn met(&mut self, want: Want<'_>, node: Node) {
        if let (Node::Present(_), Some(descriptor)) = (&node, want.data)
            && !matches!(self.source.size(&want.digest), Ok(Some(_)))
            && let Some(bytes) = embedded(&descriptor)
        {
            self.inline.insert(want.digest.clone(), bytes);
        }
        self.keep(want.digest, node);
    }

    /// Looks into content of which nobody says what it is: what reads as a manifest is one (MANIFEST-17), all else is
    /// opaque.
    fn guess(&mut self) -> Result<()> {
        let mut wants = std::mem::take(&mut self.unsaid);
        // In a source of one pass, all that reads as a manifest is known, and no other pass worth it.
        let known = |digest: &Digest| self.ahead.as_ref().is_none_or(|ahead| ahead.contains_key(digest));
        wants.retain(|(digest, data)| !self.nodes.contains_key(digest) && (known(digest) || data.is_some()));
        let want = |(digest, data): (Digest, _)| {
            let limit = if self.lists.contains(&digest) { MAX_LIST } else { MAX_MANIFEST };
            Want { digest, media_type: "", data, limit }
        };
        let wants: Vec<Want<'_>> = wants.into_iter().map(want).collect();
        let nodes = self.level(&wants)?;
        for (want, node) in wants.into_iter().zip(nodes) {
            if let Node::Present(_) = node {
                self.met(want, node);
            }
        }
        Ok(())
    }

    /// Puts what a later descriptor has in its `data` in the place of what is absent.
    fn stand_in(&mut self) {
        for (digest, descriptor) in std::mem::take(&mut self.spare) {
            if self.nodes.get(&digest) == Some(&Node::Absent)
                && let Some(bytes) = embedded(&descriptor)
            {
                let media_type = descriptor.media_type.clone();
                let want = Want { digest: digest.clone(), media_type: &media_type, data: None, limit: MAX_MANIFEST };
                let node = want.judge(bytes.clone());
                self.inline.insert(digest.clone(), bytes);
                self.keep(digest, node);
            }
        }
    }

    fn keep(&mut self, digest: Digest, node: Node) {
        if let Node::Present(manifest) = &node
            && manifest.kind() == ManifestKind::Index
        {
            let mut has_data = false;
            manifest.children(&mut |child| {
                if !child.has_data {
                    self.want_as(&child.media_type, &child.digest, None);
                }
                has_data |= child.has_data;
            });
            if has_data {
                let facts = manifest.facts();
                facts.children().filter(|child| child.data.is_some()).for_each(|child| self.want(child));
            }
        }
        self.nodes.insert(digest, node);
    }

    /// How many threads so many manifests are worth.
    pub fn threads(&self, manifests: usize) -> usize {
        worth(self.threads, manifests, WORTH_A_THREAD)
    }

    /// The nodes of one level, in its order.
    pub fn level(&mut self, level: &[Want<'_>]) -> Result<Vec<Node>> {
        if level.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(mut ahead) = self.ahead.take() {
            let nodes = self.level_in_pass(level, &mut ahead);
            self.ahead = Some(ahead);
            return nodes;
        }
        // In order of their digests, as they lie in our bundles: each thread has a stretch of its own.
        let mut order: Vec<usize> = (0..level.len()).collect();
        order.sort_unstable_by_key(|at| &level[*at].digest);
        let read = in_stretches(&order, self.threads(level.len()), |stretch| self.stretch(level, stretch));
        let mut nodes: Vec<Option<Node>> = vec![None; level.len()];
        for (at, node) in order.iter().zip(read.into_iter().flatten()) {
            nodes[*at] = node;
        }
        if nodes.contains(&None) {
            self.watch.go_on()?;
        }
        Ok(nodes.into_iter().map(|node| node.unwrap_or(Node::Absent)).collect())
    }

    /// The nodes of a stretch of one level, which is in order of digests; some are left out where the
    /// watcher asked to stop.
    pub fn stretch(&self, level: &[Want<'_>], stretch: &[usize]) -> Vec<Option<Node>> {
        // What is not in order would be taken for absent.
        debug_assert!(stretch.is_sorted_by_key(|at| &level[*at].digest));
        let mut nodes: Vec<Option<Node>> = vec![None; stretch.len()];
        // What turns out to be absent of one part tells how to ask for the next.
        for (part, nodes) in stretch.chunks(sizes::MANY).zip(nodes.chunks_mut(sizes::MANY)) {
            self.part(level, part, nodes);
        }
        nodes
    }

    /// The nodes of a part of a stretch, asked for at once.
    fn part(&self, level: &[Want<'_>], part: &[usize], nodes: &mut [Option<Node>]) {
        let place = |digest: &Digest| part.binary_search_by_key(&digest, |at| &level[*at].digest).ok();
        let digests = part.iter().map(|at| &level[*at].digest);
        let want: BTreeSet<Digest> = digests.filter(|digest| self.sizes.may_have(digest)).cloned().collect();
        let visited = self.source.visit(&want, &mut |blob, content| {
            self.watch.go_on()?;
            if let Some(place) = place(&blob.digest) {
                nodes[place] = Some(level[part[place]].node(content));
            }
            Ok(())
        });
        let mut lacking = 0;
        // What cannot even be opened ends a visit, but is nobody's trouble but its own.
        let left = nodes.iter_mut().zip(part).filter(|(node, _)| node.is_none());
        for (node, at) in left.take_while(|_| !self.watch.stop()) {
            let asked = want.contains(&level[*at].digest);
            let found = match visited {
                Err(_) if asked => level[*at].read(self.source).0,
                _ => level[*at].elsewhere().0,
            };
            lacking += usize::from(asked && found == Node::Absent);
            *node = Some(found);
        }
        // Where names cannot be listed, every blob is asked for.
        let _ = self.sizes.lacked(lacking);
    }

    /// The nodes of one level of a source of one pass.
    fn level_in_pass(&self, level: &[Want<'_>], ahead: &mut HashMap<Digest, Manifest>) -> Result<Vec<Node>> {
        let mut nodes: Vec<Option<Node>> = Vec::with_capacity(level.len());
        let mut left = BTreeSet::new();
        for want in level {
            let node = ahead.remove(&want.digest).map(|manifest| Node::Present(Box::new(manifest)));
            match (&node, self.source.size(&want.digest)) {
                (Some(_), _) => nodes.push(node),
                (None, Ok(None)) => nodes.push(Some(want.elsewhere().0)),
                (None, Err(why)) => nodes.push(Some(Node::Broken(why.into()))),
                (None, Ok(Some(_))) => {
                    left.insert(want.digest.clone());
                    nodes.push(None);
                }
            }
        }
        if !left.is_empty() {
            let places: HashMap<&Digest, usize> =
                level.iter().enumerate().map(|(at, want)| (&want.digest, at)).collect();
            self.source.visit(&left, &mut |blob, content| {
                self.watch.go_on()?;
                let at = places[&blob.digest];
                nodes[at] = Some(level[at].node(content));
                Ok(())
            })?;
        }
        Ok(nodes.into_iter().map(|node| node.unwrap_or(Node::Absent)).collect())
    }

    /// Looks in blobs that nothing reaches for manifests that say a subject (dialect 7), and reads what
    /// those need.
    fn scan(&mut self) -> Result<()> {
        let found: Vec<Manifest> = match &mut self.ahead {
            Some(ahead) => std::mem::take(ahead).into_values().collect(),
            None => {
                let mut names = Vec::new();
                self.source.names(&mut |digest| names.push(digest))?;
                let mut found = Vec::new();
                for digest in names {
                    self.watch.go_on()?;
                    if self.nodes.contains_key(&digest) {
                        continue;
                    }
                    match unlisted(self.source, &digest) {
                        Ok(manifest) => found.extend(manifest),
                        Err(why) => drop(self.nodes.insert(digest, Node::Broken(why))),
                    }
                }
                found
            }
        };
        for manifest in found {
            if manifest.about().is_some() && !self.nodes.contains_key(&manifest.digest) {
                self.keep(manifest.digest.clone(), Node::Present(Box::new(manifest)));
            }
        }
        self.run()
    }
}

/// Whether the first byte that is no white space is `{`.
fn starts_as_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// The manifest that a blob is of which nothing says so: it is small and starts like a JSON object. `Err` where the
/// medium does not give it, so that nobody can tell.
pub(crate) fn unlisted(source: &dyn Source, digest: &Digest) -> std::result::Result<Option<Manifest>, Broken> {
    let content = match source.open(digest) {
        Ok(Some(content)) if content.len() <= MAX_MANIFEST => content,
        Err(why) if why.kind() == Kind::Failed => return Err(why.into()),
        _ => return Ok(None),
    };
    let mut start = Vec::new();
    let read = content.reader().take(64).read_to_end(&mut start);
    read.map_err(|why| Broken::Unread(format!("could not read blob {digest}: {why}")))?;
    if !starts_as_object(&start) {
        return Ok(None);
    }
    match self::read(source, &Descriptor::new("", digest.clone(), 0)).0 {
        Node::Present(manifest) => Ok(Some(*manifest)),
        Node::Broken(why @ Broken::Unread(_)) => Err(why),
        _ => Ok(None),
    }
}

/// Reads manifests again whose descriptors disagree on what they are, in whatever order they were met: of the forms
/// that suit the shape, the first in the order of [`Form::ALL`] is believed, which is the one that knows subjects.
fn agree(index: &IndexFile, nodes: &mut HashMap<Digest, Node>, doubtful: &BTreeSet<Digest>) {
    let mut forms: BTreeMap<&Digest, Form> = BTreeMap::new();
    let mut said = |digest: &Digest, media_type: &str| {
        if let (Some(digest), Some(form)) = (doubtful.get(digest), Form::of(media_type))
            && matches!(nodes.get(digest), Some(Node::Present(real)) if real.form().shape() == form.shape())
        {
            forms.entry(digest).and_modify(|known| *known = form.min(*known)).or_insert(form);
        }
    };
    for entry in index.entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok()) {
        said(&entry.digest, &entry.media_type);
    }
    for node in nodes.values() {
        if let Node::Present(index) = node {
            index.children(&mut |child| said(&child.digest, &child.media_type));
        }
    }
    for (digest, form) in forms {
        if let Some(Node::Present(manifest)) = nodes.get_mut(digest) {
            **manifest = manifest.read_as(form);
        }
    }
}

/// Every edge, from the manifests themselves; lists only tell where to look (REFERRERS-15). And every manifest that a
/// descriptor calls something else than it was read as, though that would suit its shape.
fn edges(
    index: &IndexFile,
    lists: &[List],
    nodes: &HashMap<Digest, Node>,
) -> (BTreeMap<Digest, Vec<Edge>>, BTreeSet<Digest>) {
    let present = |digest: &Digest| match nodes.get(digest) {
        Some(Node::Present(manifest)) => Some(&**manifest),
        _ => None,
    };
    // Only those have children.
    let is_index = |manifest: &&Manifest| manifest.kind() == ManifestKind::Index;
    let list_places: HashSet<usize> = lists.iter().map(|list| list.place).collect();
    // In which dialects each manifest that says its subject was found, the first of them.
    let with_subject = nodes.iter().filter_map(|(digest, node)| match node {
        Node::Present(manifest) if manifest.about().is_some() => Some((digest, Dialect::Scan)),
        _ => None,
    });
    let mut ways: HashMap<&Digest, Dialect> = with_subject.collect();
    let mut way = |digest: &Digest, dialect: Dialect| {
        if let Some(known) = ways.get_mut(digest) {
            *known = dialect.min(*known);
        }
    };
    let mut doubtful = BTreeSet::new();
    let mut called = |digest: &Digest, media_type: &str| {
        let another = |said| present(digest).is_some_and(|real| real.may_be_another(said));
        if Form::of(media_type).is_some_and(another) {
            doubtful.insert(digest.clone());
        }
    };
    let mut edges: Vec<Edge> = Vec::new();
    let mut said = |subject: Digest, referrer: &Digest, dialect, cosign| {
        if subject != *referrer && present(referrer).is_some_and(|manifest| manifest.about().is_none()) {
            edges.push(Edge { subject, referrer: referrer.clone(), dialect, cosign });
        }
    };
    // An index that is only there as a list says nothing about platforms.
    let mut only_lists: HashSet<&Digest> = lists.iter().map(|list| &list.digest).collect();
    for (place, entry) in index.entries().iter().enumerate() {
        let Ok(descriptor) = &entry.descriptor else { continue };
        called(&descriptor.digest, &descriptor.media_type);
        if list_places.contains(&place) {
            continue;
        }
        only_lists.remove(&descriptor.digest);
        way(&descriptor.digest, Dialect::Entry);
        if let Some(subject) = descriptor.annotation(CONTAINERD_SUBJECT).and_then(|text| text.parse().ok()) {
            said(subject, &descriptor.digest, Dialect::Containerd, None);
        }
        if let Some((subject, suffix)) = cosign(&entry.pair) {
            said(subject, &descriptor.digest, Dialect::CosignTag, Some(suffix));
        }
    }
    if !only_lists.is_empty() {
        let by_entry = only_lists.clone();
        for index in nodes.keys().filter(|digest| !by_entry.contains(digest)).filter_map(present).filter(is_index) {
            index.children(&mut |child| {
                only_lists.remove(&child.digest);
            });
        }
    }
    // One list may stand under many names.
    let mut dialects: BTreeMap<&Digest, Dialect> = BTreeMap::new();
    for list in lists {
        let dialect = match list.about {
            About::Tag(_) => Dialect::FallbackTag,
            About::Subject(_) => Dialect::Olareg,
        };
        dialects.entry(&list.digest).and_modify(|known| *known = dialect.min(*known)).or_insert(dialect);
    }
    for (list, dialect) in dialects {
        if let Some(list) = present(list) {
            list.children(&mut |child| {
                called(&child.digest, &child.media_type);
                way(&child.digest, dialect);
            });
        }
    }
    let holders = nodes.keys().filter(|digest| !only_lists.contains(digest)).filter_map(present);
    for index in holders.filter(is_index) {
        index.children(&mut |child| {
            called(&child.digest, &child.media_type);
            match child.annotation(ATTESTED).and_then(|text| text.parse().ok()) {
                Some(subject) => {
                    way(&child.digest, Dialect::Attestation);
                    said(subject, &child.digest, Dialect::Attestation, None);
                }
                None => way(&child.digest, Dialect::Child),
            }
        });
    }
    for (referrer, dialect) in ways {
        if let Some(subject) = present(referrer).and_then(Manifest::about)
            && subject != referrer
        {
            edges.push(Edge { subject: subject.clone(), referrer: referrer.clone(), dialect, cosign: None });
        }
    }
    edges.sort_unstable();
    let mut by_subject: BTreeMap<Digest, Vec<Edge>> = BTreeMap::new();
    for edge in edges {
        let known = by_subject.entry(edge.subject.clone()).or_default();
        // Sorted by referrer, then dialect: the first of several stays.
        if known.last().is_none_or(|last| last.referrer != edge.referrer) {
            known.push(edge);
        }
    }
    (by_subject, doubtful)
}

/// What each entry is there for.
fn standings(index: &IndexFile, lists: &[List], edges: &BTreeMap<Digest, Vec<Edge>>) -> Vec<Standing> {
    let referrers: HashSet<&Digest> = edges.values().flatten().map(|edge| &edge.referrer).collect();
    let lists: HashSet<usize> = lists.iter().map(|list| list.place).collect();
    let standing = |(place, entry): (usize, &ocistow_layout::index::Entry)| match &entry.descriptor {
        Ok(_) if lists.contains(&place) => Standing::List,
        Ok(_) if cosign(&entry.pair).is_some() => Standing::Cosign,
        Ok(descriptor) if referrers.contains(&descriptor.digest) => Standing::Referrer,
        _ => Standing::Root,
    };
    index.entries().iter().enumerate().map(standing).collect()
}
