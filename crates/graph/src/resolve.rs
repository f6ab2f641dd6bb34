//! From what a user wrote to the entry, manifest or blob that is meant.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ocistow_layout::index::{Entry, IndexFile};
use ocistow_layout::name::{self, Pair, Steps};
use ocistow_layout::{Descriptor, Digest, Error, Kind, Platform, Result, Source, Watch};

use crate::closure::{config_platform, is_attestation};
use crate::facts::{Form, ManifestKind, Shape, says_nothing};
use crate::graph::{self, Graph, Load, Node};
use crate::kept::Keeper;
use crate::near::Reach;
use crate::platform::{FORM, Selector};

/// How many candidates an error names before it says how many more there are.
const MOST_NAMED: usize = 20;
/// Among how many names the nearest is looked for, and how long a name may be for that.
const MOST_COMPARED: usize = 1_000;
const MOST_ALIKE: usize = 128;
/// How many indexes with a platform of their own are looked into, one in the other: each may hold all that the one
/// before it held, which is looked through again.
const MOST_NESTED: usize = 16;

/// What the part of a location behind its path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nothing was written: the one root.
    Root,
    /// `:REF`, or `:REF@DIGEST`, where the name has to name that digest.
    Name(String, Option<Digest>),
    /// `@DIGEST`
    Digest(Digest),
    /// `:@N`, an entry by its place.
    Place(usize),
}

/// What was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The descriptor: an entry's if there is one, else that of whoever holds it.
    pub descriptor: Descriptor,
    /// The places in index.json of the entries meant, all of one digest; none where the digest has no entry.
    pub places: Vec<usize>,
    /// Whether this is a manifest, as far as its descriptor says; else an opaque blob.
    pub manifest: bool,
}

/// Finds what is meant, reading as little as possible: only index.json for a name, a place or an entry's
/// digest, the whole graph for no name or for a digest that has no entry.
///
/// Usage where it cannot be told (candidates are listed so that they can be pasted back), NotFound where
/// there is none, Integrity where `REF@DIGEST` names another digest.
pub fn resolve(source: &dyn Source, asked: &Asked, load: Load, watch: &dyn Watch) -> Result<Target> {
    find(source, asked, &Keeper::default(), load, watch)
}

/// The same, asking what `keeper` keeps of the layout first: then not even index.json is read.
pub fn find(source: &dyn Source, asked: &Asked, keeper: &Keeper<'_>, load: Load, watch: &dyn Watch) -> Result<Target> {
    if let Some(graph) = Graph::near_ready(source, asked, keeper, load, watch)?
        && let Ok(target) = resolve_in(&graph, source, asked)
    {
        return Ok(target);
    }
    let index = source.index()?;
    match in_index(&index, source.location(), asked)? {
        Some(target) => Ok(guessed(source, target)),
        None => {
            let graph = Graph::near(source, std::slice::from_ref(asked), Reach::Itself, keeper, load, watch)?;
            in_graph(&graph, source, asked)
        }
    }
}

/// The same from a graph that was read already.
pub fn resolve_in(graph: &Graph, source: &dyn Source, asked: &Asked) -> Result<Target> {
    match in_index(graph.index(), source.location(), asked)? {
        Some(target) => Ok(guessed(source, target)),
        None => in_graph(graph, source, asked),
    }
}

/// The same, with a look into what it is where its descriptor does not say so (MANIFEST-17).
fn guessed(source: &dyn Source, target: Target) -> Target {
    let is_manifest = || matches!(graph::read(source, &target.descriptor).0, Node::Present(_));
    let manifest = target.manifest || says_nothing(&target.descriptor.media_type) && is_manifest();
    Target { manifest, ..target }
}

/// What index.json alone can tell; `None` where the graph is needed.
pub(crate) fn in_index(index: &IndexFile, location: &str, asked: &Asked) -> Result<Option<Target>> {
    match asked {
        Asked::Root => Ok(None),
        Asked::Place(place) => {
            let entry = index.entries().get(*place).ok_or_else(|| {
                let count = index.entries().len();
                not_found(location, &format!(":@{place}")).because(format!("index.json has {count} entries"))
            })?;
            Ok(Some(target(entry.descriptor(*place)?, vec![*place])))
        }
        Asked::Digest(digest) => {
            let places = places_of(index, digest);
            let Some(&first) = places.first() else { return Ok(None) };
            Ok(Some(target(index.entries()[first].descriptor(first)?, places)))
        }
        Asked::Name(reference, digest) => named(index, location, reference, digest.as_ref()).map(Some),
    }
}

fn named(index: &IndexFile, location: &str, reference: &str, digest: Option<&Digest>) -> Result<Target> {
    let places = name::look_up(index, reference, Steps::Find);
    let mut by_digest: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
    for place in places {
        by_digest.entry(&index.entries()[place].descriptor(place)?.digest).or_default().push(place);
    }
    let meant = |places: &[usize]| Ok(target(index.entries()[places[0]].descriptor(places[0])?, places.to_vec()));
    match (by_digest.len(), digest) {
        (0, _) => {
            let text = format!(":{reference}");
            Err(not_found(location, &text).hint(listed("there are", location, index, &candidates(index, reference))))
        }
        (_, Some(digest)) => match by_digest.get(digest) {
            Some(places) => meant(places),
            None => {
                let is: Vec<String> = by_digest.keys().map(ToString::to_string).collect();
                let what = format!("could not accept {location}:{reference}@{digest}");
                Err(Error::new(Kind::Integrity, what).because(format!("{reference} names {}", is.join(" and "))))
            }
        },
        (1, None) => meant(by_digest.values().next().map_or(&[], Vec::as_slice)),
        (several, None) => {
            let places: Vec<usize> = by_digest.into_values().flatten().collect();
            let what = format!("could not tell what {location}:{reference} means");
            let why = format!("it names {several} different digests");
            Err(Error::new(Kind::Usage, what).because(why).hint(listed("one of", location, index, &places)))
        }
    }
}

fn in_graph(graph: &Graph, source: &dyn Source, asked: &Asked) -> Result<Target> {
    match asked {
        Asked::Digest(digest) => reachable(graph, source, digest),
        _ => the_root(graph, source.location()),
    }
}

fn the_root(graph: &Graph, location: &str) -> Result<Target> {
    let index = graph.index();
    let mut by_digest: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
    for place in graph.roots() {
        by_digest.entry(&index.entries()[place].descriptor(place)?.digest).or_default().push(place);
    }
    if let (1, Some(places)) = (by_digest.len(), by_digest.values().next()) {
        return Ok(target(index.entries()[places[0]].descriptor(places[0])?, places.clone()));
    }
    let mut places: Vec<usize> = by_digest.values().flatten().copied().collect();
    places.sort_unstable();
    let why = match by_digest.len() {
        0 => "nothing in it can be meant without a reference".to_owned(),
        several => format!("it holds {several} different ones"),
    };
    let error = Error::new(Kind::Usage, format!("could not tell what {location} means without a reference"));
    let error = error.because(why);
    Err(if places.is_empty() { error } else { error.hint(listed("one of", location, index, &places)) })
}

/// A digest without an entry: a manifest that was met, a part of one, or a blob that just lies there.
fn reachable(graph: &Graph, source: &dyn Source, digest: &Digest) -> Result<Target> {
    let mut as_part = None;
    for node in graph.nodes().into_values() {
        let Ok(facts) = node.facts(digest) else { continue };
        for part in facts.parts.into_iter().filter(|part| part.descriptor.digest == *digest) {
            if part.is_manifest() {
                return Ok(Target { descriptor: part.descriptor, places: Vec::new(), manifest: true });
            }
            as_part = as_part.or(Some(part.descriptor));
        }
    }
    if let Some(manifest) = graph.manifest(digest) {
        return Ok(Target { descriptor: manifest.descriptor(), places: Vec::new(), manifest: true });
    }
    if let Some(descriptor) = as_part {
        return Ok(Target { descriptor, places: Vec::new(), manifest: false });
    }
    match source.size(digest)? {
        Some(size) => {
            let descriptor = Descriptor::new("application/octet-stream", digest.clone(), size);
            Ok(Target { descriptor, places: Vec::new(), manifest: false })
        }
        None => Err(not_found(source.location(), &format!("@{digest}"))),
    }
}

/// The one manifest for a platform: the exact match, else the first in index order, also inside nested
/// indexes. What says no platform is judged by its config; a root that is no index is judged alike.
///
/// NotFound where nothing is for the platform (what there is is the hint); Integrity or Incomplete where an
/// index on the way cannot be read; Integrity where too many with a platform of their own are nested. The manifest that is named may itself be absent.
pub fn of_platform(source: &dyn Source, root: &Descriptor, selector: &Selector) -> Result<Descriptor> {
    let mut root = root.clone();
    let mut met = HashSet::new();
    loop {
        let mut candidates = on_platforms(source, &root)?;
        let Some(at) = selector.choose(candidates.iter().map(|(_, platform)| platform.as_ref())) else {
            let error = Error::new(Kind::NotFound, format!("could not find {selector} in {}", root.digest));
            return Err(error.hint(there_are(&candidates)));
        };
        let (chosen, _) = candidates.swap_remove(at);
        let is_index = Form::of(&chosen.media_type).is_some_and(|form| form.shape() == Shape::Index);
        // An index with a platform of its own is looked into in turn; one that leads back to itself is not.
        if !is_index || !met.insert(chosen.digest.clone()) {
            return Ok(chosen);
        }
        if met.len() > MOST_NESTED {
            let why = format!("more than {MOST_NESTED} indexes for it are nested in each other");
            return Err(Error::new(Kind::Integrity, format!("could not tell what {selector} means")).because(why));
        }
        root = chosen;
    }
}

/// What of several platforms there is in a root, and how one is asked for; as the hint for one that is not there.
pub(crate) fn platforms_in(source: &dyn Source, root: &Descriptor) -> Result<String> {
    Ok(there_are(&on_platforms(source, root)?))
}

fn there_are(candidates: &[(Descriptor, Option<Platform>)]) -> String {
    let there: BTreeSet<String> = candidates.iter().filter_map(|(_, p)| Some(p.as_ref()?.to_string())).collect();
    let there: Vec<String> = there.into_iter().take(MOST_NAMED).collect();
    match there.is_empty() {
        true => "nothing in it says a platform".to_owned(),
        false => format!("there are {}; a platform is written {FORM}", there.join(", ")),
    }
}

/// Everything in a root that may be meant by a platform, in index order, also inside nested indexes, and the platform
/// each says.
fn on_platforms(source: &dyn Source, root: &Descriptor) -> Result<Vec<(Descriptor, Option<Platform>)>> {
    let mut candidates = Vec::new();
    let mut nested = HashSet::new();
    // Own stack, in index order: the last child first.
    let mut stack = vec![root.clone()];
    while let Some(descriptor) = stack.pop() {
        let at_root = descriptor.digest == root.digest;
        if descriptor.platform.is_some() && !at_root {
            candidates.push((descriptor.clone(), descriptor.platform.as_deref().cloned()));
            continue;
        }
        let said = Form::of(&descriptor.media_type).is_some();
        if !said && !says_nothing(&descriptor.media_type) || !nested.insert(descriptor.digest.clone()) {
            continue;
        }
        let (node, _) = graph::read(source, &descriptor);
        let facts = match node.facts(&descriptor.digest) {
            Ok(facts) => facts,
            // Nor can anybody tell what one is that cannot be read.
            Err(why) if said && at_root || why.kind() == Kind::Failed => return Err(why),
            // A child that is not there and says no platform cannot be meant.
            Err(_) => continue,
        };
        match facts.kind {
            ManifestKind::Index => {
                let children: Vec<Descriptor> = facts.into_children().filter(|it| !is_attestation(it)).collect();
                stack.extend(children.into_iter().rev());
            }
            _ => {
                let platform = match &descriptor.platform {
                    Some(platform) => Some((**platform).clone()),
                    None => config_platform(source, &facts)?,
                };
                candidates.push((descriptor, platform));
            }
        }
    }
    Ok(candidates)
}

fn target(descriptor: &Descriptor, places: Vec<usize>) -> Target {
    let manifest = Form::of(&descriptor.media_type).is_some();
    Target { descriptor: descriptor.clone(), places, manifest }
}

fn places_of(index: &IndexFile, digest: &Digest) -> Vec<usize> {
    let is = |entry: &Entry| entry.descriptor.as_ref().is_ok_and(|descriptor| descriptor.digest == *digest);
    (0..index.entries().len()).filter(|place| is(&index.entries()[*place])).collect()
}

fn not_found(location: &str, text: &str) -> Error {
    Error::new(Kind::NotFound, format!("could not find {location}{text}"))
}

/// What may have been meant by a name that is not there: entries with names; where there are none, all. The name that is
/// nearest stands in front.
fn candidates(index: &IndexFile, reference: &str) -> Vec<usize> {
    let entries = index.entries();
    let named = |at: &usize| entries[*at].tagged() && !graph::is_for_referrers(&entries[*at].pair);
    let mut places: Vec<usize> = (0..entries.len()).filter(named).collect();
    if places.is_empty() {
        return (0..entries.len()).collect();
    }
    let names = |at: usize| [entries[at].pair.tag(), entries[at].pair.full()].into_iter().flatten();
    let far = |at: usize| names(at).map(|name| distance(name, reference)).min();
    if places.len() <= MOST_COMPARED && reference.len() <= MOST_ALIKE {
        let nearest = (0..places.len()).min_by_key(|at| (far(places[*at]), *at));
        let nearest = places.remove(nearest.expect("there is one"));
        places.insert(0, nearest);
    }
    places
}

/// How many characters of one text have to be added, taken away or changed to make the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.chars().take(MOST_ALIKE).enumerate() {
        let mut corner = std::mem::replace(&mut row[0], at + 1);
        for (next, d) in other.iter().enumerate() {
            let changed = corner + usize::from(c != *d);
            corner = row[next + 1];
            row[next + 1] = changed.min(corner + 1).min(row[next] + 1);
        }
    }
    row[other.len()]
}

/// The entries at `places`, each as it can be pasted back.
fn listed(lead: &str, location: &str, index: &IndexFile, places: &[usize]) -> String {
    let names = Names::of(index);
    let mut texts: Vec<String> = Vec::new();
    for &place in places {
        let text = format!("{location}{}", names.shortest(place, &index.entries()[place]));
        if !texts.contains(&text) {
            texts.push(text);
        }
        if texts.len() > MOST_NAMED {
            texts.pop();
            texts.push("…".into());
            break;
        }
    }
    match texts.is_empty() {
        true => format!("{lead} none"),
        false => format!("{lead} {}", texts.join(", ")),
    }
}

/// Tells of an entry, by its place in index.json, the shortest text that resolves to it alone when written
/// behind the location: `:REF` or `@DIGEST`. An entry that is no descriptor gets its place, `:@N`.
pub fn shortest(index: &IndexFile) -> impl Fn(usize) -> String {
    let names = Names::of(index);
    move |place| names.shortest(place, &index.entries()[place])
}

/// What each name stands for, by the steps of a look-up: [`name::look_up`] for all names at once.
#[derive(Default)]
struct Names<'i> {
    references: HashMap<&'i str, Meaning<'i>>,
    /// Full names as Docker spells them out.
    images: HashMap<String, Meaning<'i>>,
    tags: HashMap<&'i str, Meaning<'i>>,
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Meaning<'i> {
    /// This digest, under this name alone.
    Entry(&'i Digest, &'i Pair),
    /// This digest, under several names.
    One(&'i Digest),
    Several,
}

impl<'i> Meaning<'i> {
    fn and(&mut self, digest: &'i Digest, pair: &'i Pair) {
        match *self {
            Self::Entry(own, name) if own == digest && alike(name, pair) => {}
            Self::Entry(own, _) | Self::One(own) if own == digest => *self = Self::One(digest),
            _ => *self = Self::Several,
        }
    }

    fn digest(self) -> Option<&'i Digest> {
        match self {
            Self::Entry(digest, _) | Self::One(digest) => Some(digest),
            Self::Several => None,
        }
    }
}

/// Whether two names are the same.
fn alike(one: &Pair, other: &Pair) -> bool {
    std::ptr::eq(one, other) || one.key() == other.key()
}

impl<'i> Names<'i> {
    fn of(index: &'i IndexFile) -> Self {
        let mut names = Self::default();
        for entry in index.entries() {
            let Ok(descriptor) = &entry.descriptor else { continue };
            let (digest, pair) = (&descriptor.digest, &entry.pair);
            let alone = || Meaning::Entry(digest, pair);
            if let Some(reference) = &entry.pair.reference {
                names.references.entry(reference).or_insert_with(alone).and(digest, pair);
            }
            if let Some(image) = &entry.pair.image {
                names.images.entry(name::docker_normal(image)).or_insert_with(alone).and(digest, pair);
            }
            for full in [&entry.pair.reference, &entry.pair.image].into_iter().flatten() {
                if let Some((_, tag)) = name::split_full(full) {
                    names.tags.entry(tag).or_insert_with(alone).and(digest, pair);
                }
            }
        }
        names
    }

    fn look_up(&self, text: &str) -> Option<Meaning<'i>> {
        let image = || self.images.get(&name::docker_normal(text));
        let tag = || self.tags.get(text).filter(|_| name::is_tag(text));
        self.references.get(text).or_else(image).or_else(tag).copied()
    }

    fn shortest(&self, place: usize, entry: &Entry) -> String {
        let Ok(descriptor) = &entry.descriptor else { return format!(":@{place}") };
        let mut texts: Vec<&str> = Vec::new();
        for name in [&entry.pair.reference, &entry.pair.image].into_iter().flatten() {
            texts.push(name);
            texts.extend(name::split_full(name).map(|(_, tag)| tag));
        }
        if let Some(image) = &entry.pair.image {
            let short = image.strip_prefix("docker.io/").unwrap_or(image);
            let short = short.strip_prefix("library/").unwrap_or(short);
            texts.push(short);
            texts.extend(short.strip_suffix(":latest"));
        }
        texts.sort_by_key(|text| (text.len(), *text));
        // What ends like a digest would be read as one.
        texts.retain(|text| text.rsplit_once('@').is_none_or(|(_, digest)| digest.parse::<Digest>().is_err()));
        let alone = |text: &&&str| match self.look_up(text) {
            Some(Meaning::Entry(digest, pair)) => *digest == descriptor.digest && alike(pair, &entry.pair),
            _ => false,
        };
        // Where no text is this name's alone, one that means the same digest will do.
        let same = |text: &&&str| self.look_up(text).and_then(Meaning::digest) == Some(&descriptor.digest);
        match texts.iter().find(alone).or_else(|| texts.iter().find(same)) {
            Some(text) => format!(":{text}"),
            None => format!("@{}", descriptor.digest),
        }
    }
}
