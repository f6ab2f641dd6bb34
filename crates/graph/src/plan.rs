//! What will be carried, as a value.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ocistow_layout::index::entry_text;
use ocistow_layout::name::{self, Pair};
use ocistow_layout::sieve;
use ocistow_layout::{Blob, Count, Descriptor, Digest, Error, IndexChange, Kind, Outline, Result, Source};

use crate::bundle;
use crate::closure::{Carried, Closure, Reach};
use crate::facts::{Facts, Form, Shape};
use crate::graph::{About, Broken, Graph, List, Node, Standing, about, cosign, more};
use crate::import::Import;
use crate::list;
use crate::platform::Selector;
use crate::resolve::{Target, platforms_in};
use crate::whose;

/// What to carry.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The references named; none: every entry, or every root where referrers do not go along.
    pub targets: Vec<Target>,
    /// Only these platforms; none: all.
    pub platforms: Vec<Selector>,
    /// Whether referrers go along.
    pub referrers: bool,
    /// Whether `subject` is followed forward.
    pub include_subject: bool,
    /// The repository from which entries with a tag get a full name where they have none.
    pub repository: Option<String>,
}

/// An entry of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The descriptor, with everything the source has in it.
    pub descriptor: Descriptor,
    /// Its name.
    pub pair: Pair,
}

impl Entry {
    /// An entry of that name and no other, or of none. Everything else of its text stays as it is, but for white space.
    pub fn named(descriptor: &Descriptor, pair: Pair) -> Self {
        let text = entry_text(descriptor, &pair);
        Self { descriptor: Descriptor::parse(&text).expect("a descriptor with other names is a descriptor"), pair }
    }
}

/// What will be carried: nothing is decided after this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The entries, sorted as a bundle has them.
    pub entries: Vec<Entry>,
    /// The entries asked for, else all roots.
    pub roots: Vec<Descriptor>,
    /// Manifests, in digest order.
    pub manifests: Vec<Blob>,
    /// Configs that are no manifests, in digest order.
    pub configs: Vec<Blob>,
    /// All other blobs, in digest order.
    pub blobs: Vec<Blob>,
    /// Content that is not read from the source: from `data`, or lists made for what is carried.
    pub inline: BTreeMap<Digest, Vec<u8>>,
    /// What was left out.
    pub omitted: Omitted,
    /// Content that is missing, in digest order: 5, unless allowed.
    pub missing: Vec<Digest>,
    /// Children of indexes that are not there and were not left out by a platform, in digest order.
    pub absent_children: Vec<Digest>,
    /// Manifests of Docker's first schema, in digest order: their layers, of which they say no sizes, stay behind.
    pub unfollowed: Vec<Digest>,
    /// Content that is there and wrong, as far as it can be told without reading blobs: 4; or that cannot be read: 1.
    pub broken: BTreeMap<Digest, Broken>,
}

/// What was left out, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Omitted {
    /// Of other platforms.
    pub platform: Count,
    /// What the receiver has.
    pub lacking: Count,
    /// Referrers that were not wanted.
    pub referrers: Count,
}

/// Decides what goes into a bundle. NotFound where it would carry nothing, or where a root has nothing for
/// the platforms; Usage where a target is no manifest and no entry; Integrity where an entry of index.json
/// that would go along is no descriptor. What is missing or broken is in the plan: see [`Plan::verdict`].
pub fn export(graph: &Graph, source: &dyn Source, request: &Request) -> Result<Plan> {
    let reach =
        Reach { platforms: &request.platforms, referrers: request.referrers, subjects: request.include_subject };
    let choice = choose(graph, request)?;
    let (mut carried, lists) = walk(graph, source, &choice, reach)?;
    let mut plan = Plan::default();
    let wider = |reach: Reach<'_>| walk(graph, source, &choice, reach).map(|(wider, _)| left_out(&wider, &carried));
    if !request.platforms.is_empty() {
        plan.omitted.platform = wider(Reach { platforms: &[], ..reach })?;
    }
    if !request.referrers {
        plan.omitted.referrers = wider(Reach { referrers: true, ..reach })?;
    }
    let mut entries = entries(graph, &choice, &carried, &lists)?;
    if let Some(repository) = &request.repository {
        for entry in &mut entries {
            give_full_name(entry, repository);
        }
    }
    plan.entries = bundle::sorted(entries);
    plan.roots = match choice.all {
        false => choice.roots.iter().map(|root| root.descriptor.clone()).collect(),
        true => graph.roots().into_iter().filter_map(|place| own(graph, place)).cloned().collect(),
    };
    let is_first = |digest: &&Digest| graph.manifest(digest).is_some_and(|it| it.form() == Form::DockerSchema1);
    plan.unfollowed = carried.manifests.keys().filter(is_first).cloned().collect();
    plan.roots.retain(|root| carried.needs(&root.digest));
    [plan.manifests, plan.configs, plan.blobs] = carried.groups();
    // What one descriptor lacks, another may have had in its `data`.
    plan.missing = std::mem::take(&mut carried.missing);
    plan.missing.retain(|digest| !carried.has(digest));
    plan.inline = carried.inline;
    plan.absent_children = carried.absent_children;
    plan.broken = carried.broken;
    if plan.entries.is_empty() && plan.broken.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("could not find anything to carry in {}", source.location())));
    }
    Ok(plan)
}

/// What was asked for, in terms of index.json.
struct Choice {
    /// Whether everything was asked for.
    all: bool,
    roots: Vec<Root>,
}

/// A root of the walk.
struct Root {
    descriptor: Descriptor,
    places: Vec<usize>,
}

fn own(graph: &Graph, place: usize) -> Option<&Descriptor> {
    graph.index().entries()[place].descriptor.as_ref().ok()
}

fn choose(graph: &Graph, request: &Request) -> Result<Choice> {
    let mut roots: Vec<Root> = Vec::new();
    if request.targets.is_empty() {
        for (place, entry) in graph.index().entries().iter().enumerate() {
            if request.referrers || graph.standing(place) == Standing::Root {
                roots.push(Root { descriptor: entry.descriptor(place)?.clone(), places: vec![place] });
            }
        }
        return Ok(Choice { all: true, roots });
    }
    for target in &request.targets {
        if target.places.is_empty() && !target.manifest {
            let what = format!("could not carry {} by itself: it is no manifest", target.descriptor.digest);
            return Err(Error::new(Kind::Usage, what));
        }
        roots.push(Root { descriptor: target.descriptor.clone(), places: target.places.clone() });
    }
    Ok(Choice { all: false, roots })
}

/// A stored list that goes along: as it is, or made new.
struct Going {
    place: usize,
    entry: Descriptor,
}

/// Everything that is carried for a choice, and the lists among it.
fn walk(graph: &Graph, source: &dyn Source, choice: &Choice, reach: Reach<'_>) -> Result<(Carried, Vec<Going>)> {
    let mut closure = Closure::new(graph, source, reach);
    if !choice.all {
        for root in &choice.roots {
            if !closure.root(&root.descriptor)? {
                return Err(nothing_for(source, &root.descriptor, reach.platforms));
            }
        }
    } else if reach.platforms.is_empty() {
        // Lists come last: what they list has to be known before it can be seen whether they are true.
        for root in choice.roots.iter().filter(|root| graph.standing(root.places[0]) != Standing::List) {
            closure.whole(&root.descriptor)?;
        }
        // One list may stand under many names.
        let lists: BTreeSet<&Digest> = graph.lists().iter().map(|list| &list.digest).collect();
        for list in lists.into_iter().filter(|_| reach.referrers) {
            for part in graph.facts(list).into_iter().flat_map(|facts| facts.parts) {
                closure.listed(&part)?;
            }
        }
    } else {
        all_of_platforms(graph, source, choice, reach, &mut closure)?;
    }
    let lists = match reach.referrers {
        true => lists_along(graph, choice, &mut closure)?,
        false => Vec::new(),
    };
    Ok((closure.into_carried(), lists))
}

fn nothing_for(source: &dyn Source, root: &Descriptor, platforms: &[Selector]) -> Error {
    let asked: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    let error = Error::new(Kind::NotFound, format!("could not find {} in {}", asked.join(" or "), root.digest));
    match platforms_in(source, root) {
        Ok(there) => error.hint(there),
        Err(_) => error,
    }
}

/// Every entry, of some platforms only.
fn all_of_platforms(
    graph: &Graph,
    source: &dyn Source,
    choice: &Choice,
    reach: Reach<'_>,
    closure: &mut Closure<'_>,
) -> Result<()> {
    let standing = |root: &Root| graph.standing(root.places[0]);
    let children = children(graph);
    for root in choice.roots.iter().filter(|root| standing(root) == Standing::Root) {
        // oras and zot list every child of an index once more: those are judged in their index.
        let listed_child = children.contains(&root.descriptor.digest)
            && root.places.iter().all(|place| !graph.index().entries()[*place].tagged());
        if !listed_child && !closure.root(&root.descriptor)? {
            return Err(nothing_for(source, &root.descriptor, reach.platforms));
        }
    }
    // What refers to something that is not here at all goes along; what refers to something left out does not.
    let there = |digest: &&Digest| graph.node(digest).is_some_and(|node| *node != Node::Absent);
    let roots = graph.roots().into_iter().filter_map(|place| own(graph, place)).map(|own| &own.digest).filter(there);
    let mut subjects: Vec<&Digest> = children.iter().chain(roots).collect();
    let mut refer: HashSet<&Digest> = HashSet::new();
    while let Some(subject) = subjects.pop() {
        subjects.extend(graph.referrers(subject).iter().map(|edge| &edge.referrer).filter(|it| refer.insert(it)));
    }
    for root in choice.roots.iter().filter(|root| matches!(standing(root), Standing::Referrer | Standing::Cosign)) {
        if !refer.contains(&root.descriptor.digest) {
            closure.whole(&root.descriptor)?;
        }
    }
    Ok(())
}

/// All children of indexes that are there, lists of referrers aside.
fn children(graph: &Graph) -> HashSet<Digest> {
    let lists: HashSet<&Digest> = graph.lists().iter().map(|list| &list.digest).collect();
    let mut children = HashSet::new();
    for holder in graph.manifests().filter(|one| !lists.contains(&one.digest)) {
        holder.children(&mut |child| {
            // Nothing is asked of those that are not there.
            if graph.manifest(&child.digest).is_some() {
                children.insert(child.digest);
            }
        });
    }
    children
}

/// The stored lists about what is carried, made new where they list something that is not, or miss
/// something that is.
fn lists_along(graph: &Graph, choice: &Choice, closure: &mut Closure<'_>) -> Result<Vec<Going>> {
    let chosen: HashSet<usize> = match choice.all {
        true => HashSet::new(),
        false => choice.roots.iter().flat_map(|root| root.places.iter().copied()).collect(),
    };
    // A child of an index that is absent is no more here than what nobody knows of.
    let here = |subject: &Digest| graph.node(subject).is_some_and(|node| *node != Node::Absent);
    // Tags of longer digests are cut, so they can only be compared.
    let long = |digest: &&Digest| digest.sha256().is_none();
    let tags: HashSet<String> = closure.manifests().keys().filter(long).map(Digest::fallback_tag).collect();
    let cut = |list: &List| matches!(&list.about, About::Tag(tag) if name::fallback_subject(tag).is_none());
    let tags_here: HashSet<String> = match graph.lists().iter().any(cut) {
        true => graph.nodes().into_keys().filter(long).filter(|it| here(it)).map(Digest::fallback_tag).collect(),
        false => HashSet::new(),
    };
    let carried = closure.manifests().keys().filter_map(|digest| graph.manifest(digest));
    let referring = if graph.lists().is_empty() { BTreeMap::new() } else { list::referring(carried) };
    // Several lists may be about the same: then what one of them lists, none lacks. And one may stand under many names:
    // it is read once.
    let mut about_same: BTreeMap<&About, BTreeSet<&Digest>> = BTreeMap::new();
    let mut named: HashMap<&Digest, HashSet<Digest>> = HashMap::new();
    let mut judged: HashMap<&Digest, (Vec<String>, bool)> = HashMap::new();
    for list in graph.lists().iter().filter(|list| referring.contains_key(&list.about)) {
        about_same.entry(&list.about).or_default().insert(&list.digest);
        named.entry(&list.digest).or_insert_with(|| {
            let members = members(graph, list).into_iter().flatten().map(|member| member.digest);
            members.filter(|digest| graph.manifest(digest).is_some()).collect()
        });
    }
    let mut room = list::Room::default();
    let mut going = Vec::new();
    for list in graph.lists() {
        let Some(entry) = own(graph, list.place) else { continue };
        let (about, here) = match &list.about {
            About::Subject(subject) => (closure.manifests().contains_key(subject), here(subject)),
            About::Tag(tag) => match name::fallback_subject(tag) {
                Some(subject) => (closure.manifests().contains_key(&subject), here(&subject)),
                None => (tags.contains(tag), tags_here.contains(tag)),
            },
        };
        if chosen.contains(&list.place) || !(about || choice.all && !here) {
            continue;
        }
        if !judged.contains_key(&list.digest) {
            let Some(members) = members(graph, list) else {
                // Absent or broken: the walk says so.
                closure.alone(entry);
                going.push(Going { place: list.place, entry: entry.clone() });
                continue;
            };
            let (mut kept, mut dropped) = (Vec::new(), false);
            for member in members {
                match graph.node(&member.digest) {
                    _ if closure.has(&member.digest) => kept.push(member.text().to_owned()),
                    Some(Node::Absent) | None => {}
                    Some(Node::Broken(_)) => closure.alone(&member),
                    Some(Node::Present(_)) => dropped = true,
                }
            }
            room.read(list::length(kept.iter().map(String::as_str)));
            judged.insert(&list.digest, (kept, dropped));
        }
        let (kept, dropped) = &judged[&list.digest];
        // What oras or we entered beside regctl's list belongs into it too; of several lists, into the first.
        let unlisted = about_same.remove(&list.about).map_or_else(BTreeSet::new, |lists| {
            let referrers = referring[&list.about].iter().map(|one| &one.digest).collect();
            list::unnamed(referrers, lists.into_iter().map(|list| &named[list]))
        });
        let unlisted: Vec<String> =
            unlisted.into_iter().filter_map(|one| graph.facts(one)).map(|facts| list::member(&facts)).collect();
        if !dropped && unlisted.is_empty() {
            closure.alone(entry);
            going.push(Going { place: list.place, entry: entry.clone() });
        } else if !(kept.is_empty() && unlisted.is_empty()) {
            room.take(list::length(kept.iter().map(String::as_str))).map_err(|why| why.hint(list::LEAVE_OUT))?;
            let bytes = list::made(kept.iter().chain(&unlisted).map(String::as_str));
            let entry = list::entry(entry, &bytes);
            closure.made(&entry, bytes);
            going.push(Going { place: list.place, entry });
        }
    }
    Ok(going)
}

/// What a list lists; `None` where it is absent or broken.
fn members(graph: &Graph, list: &List) -> Option<impl Iterator<Item = Descriptor> + use<>> {
    let manifest = graph.manifest(&list.digest)?;
    (manifest.form().shape() == Shape::Index).then(|| manifest.facts().into_children())
}

fn left_out(wider: &Carried, carried: &Carried) -> Count {
    let mut count = Count::default();
    for blob in wider.groups().into_iter().flatten().filter(|blob| !carried.has(&blob.digest)) {
        count.add(blob.size);
    }
    count
}

/// The entries of a bundle: what was chosen, what came along, the lists.
fn entries(graph: &Graph, choice: &Choice, carried: &Carried, lists: &[Going]) -> Result<Vec<Entry>> {
    let index = graph.index();
    let goes = |digest: &Digest| carried.needs(digest);
    let as_it_is = |place: usize| -> Option<Entry> {
        let descriptor = own(graph, place)?.clone();
        Some(Entry { descriptor, pair: index.entries()[place].pair.clone() })
    };
    let list_places: HashSet<usize> = lists.iter().map(|list| list.place).collect();
    let mut places: BTreeSet<usize> = BTreeSet::new();
    let mut entries: Vec<Entry> = Vec::new();
    for root in choice.roots.iter().filter(|root| goes(&root.descriptor.digest)) {
        // In a choice of everything, lists are entered below, as they go along.
        let listed = |place: &usize| choice.all && graph.standing(*place) == Standing::List;
        places.extend(root.places.iter().copied().filter(|place| !listed(place)));
        if root.places.is_empty() {
            entries.push(Entry::named(&root.descriptor, Pair::default()));
        }
    }
    let mut named: HashSet<&Digest> =
        places.iter().filter_map(|place| own(graph, *place)).map(|own| &own.digest).collect();
    let mut stripped = Vec::new();
    for place in 0..index.entries().len() {
        let Some(descriptor) = own(graph, place) else { continue };
        if !carried.along.contains(&descriptor.digest) || list_places.contains(&place) || places.contains(&place) {
            continue;
        }
        let pair = &index.entries()[place].pair;
        let about_carried = |(subject, _): (Digest, &str)| carried.manifests.contains_key(&subject);
        match graph.standing(place) {
            Standing::List => continue,
            Standing::Cosign if cosign(pair).is_some_and(about_carried) => {}
            _ if pair.is_empty() => {}
            _ => {
                stripped.push(place);
                continue;
            }
        }
        named.insert(&descriptor.digest);
        places.insert(place);
    }
    // A name that was not asked for must not move one at the receiver's: the referrer goes without.
    for place in stripped {
        if let Some(descriptor) = own(graph, place).filter(|own| !named.contains(&own.digest)) {
            named.insert(&descriptor.digest);
            entries.push(Entry::named(descriptor, Pair::default()));
        }
    }
    for list in lists {
        entries.push(Entry { descriptor: list.entry.clone(), pair: index.entries()[list.place].pair.clone() });
    }
    entries.reserve(places.len());
    entries.extend(places.into_iter().filter_map(as_it_is));
    let listed: HashSet<&Digest> = lists.iter().map(|list| &list.entry.digest).collect();
    whose::say(graph, carried, &listed, &mut entries);
    reach_all(graph, carried, lists, &mut entries);
    Ok(entries)
}

/// Adds an untagged entry for everything that came along and that no entry reaches: what was known by an
/// index or a list that stays behind, or by a scan.
fn reach_all(graph: &Graph, carried: &Carried, lists: &[Going], entries: &mut Vec<Entry>) {
    if carried.along.is_empty() {
        return;
    }
    let mut reached: HashSet<Digest> = HashSet::new();
    let mut stack: Vec<Digest> = entries.iter().map(|entry| entry.descriptor.digest.clone()).collect();
    for list in lists {
        // A list made new is in no graph: its members are.
        if let Some(bytes) = carried.inline.get(&list.entry.digest)
            && let Ok(facts) = Facts::read_list(&list.entry.media_type, &list.entry.digest, bytes)
        {
            stack.extend(facts.children().map(|child| child.digest.clone()));
        }
    }
    let mut rest = carried.along.iter();
    loop {
        while let Some(digest) = stack.pop() {
            if !carried.manifests.contains_key(&digest) || !reached.insert(digest.clone()) {
                continue;
            }
            if let Some(index) = graph.manifest(&digest) {
                index.children(&mut |child| {
                    if carried.manifests.contains_key(&child.digest) {
                        stack.push(child.digest);
                    }
                });
            }
        }
        let Some(digest) = rest.find(|digest| !reached.contains(*digest)) else { return };
        entries.extend(made_entry(graph, digest));
        stack.push(digest.clone());
    }
}

/// An untagged entry for a manifest that has none: as oras writes it.
pub(crate) fn made_entry(graph: &Graph, digest: &Digest) -> Option<Entry> {
    let manifest = graph.manifest(digest)?;
    let mut text = manifest.descriptor().text().trim_end_matches('}').to_owned();
    if let (Some(artifact_type), true) = manifest.effective_type() {
        text.push_str(&format!(",\"artifactType\":{}", ocistow_layout::json::quote(artifact_type)));
    }
    text.push('}');
    let descriptor = Descriptor::parse(&text).expect("text made of valid parts is a descriptor");
    Some(Entry { descriptor, pair: Pair::default() })
}

/// Gives an entry that has a tag and no full name the full name in `repository`.
fn give_full_name(entry: &mut Entry, repository: &str) {
    let key = entry.pair.key();
    if let (None, Some(tag)) = (&key.image, &key.reference)
        && name::is_tag(tag)
        && about(&entry.descriptor, &entry.pair).is_none()
        && cosign(&entry.pair).is_none()
    {
        let pair = Pair { image: Some(format!("{repository}:{tag}")), reference: Some(tag.clone()) };
        *entry = Entry::named(&entry.descriptor, pair);
    }
}

impl Plan {
    /// Failed where something carried cannot be read; Integrity where something is wrong; Incomplete where something
    /// is missing (unless `allow_missing`), or a child is absent and `complete` was asked for.
    pub fn verdict(&self, allow_missing: bool, complete: bool) -> Result<()> {
        let unread = self.broken.iter().find(|(_, why)| why.kind() == Kind::Failed);
        if let Some((digest, why)) = unread.or_else(|| self.broken.iter().next()) {
            let more = more(self.broken.len() - 1);
            return Err(Error::new(why.kind(), format!("could not use {digest}{more}")).because(why.to_string()));
        }
        let mut lacking = Vec::new();
        lacking.extend(self.missing.iter().filter(|_| !allow_missing));
        lacking.extend(self.absent_children.iter().filter(|_| complete));
        match lacking.first() {
            Some(first) => {
                let what = format!("could not find {first}{}", more(lacking.len() - 1));
                let hint =
                    if self.missing.is_empty() || allow_missing { "" } else { "--allow-missing goes on without" };
                let error = Error::new(Kind::Incomplete, what).because("it is needed and missing");
                Err(if hint.is_empty() { error } else { error.hint(hint) })
            }
            None => Ok(()),
        }
    }

    /// Whether an archive of this that was compressed to so many bytes is refused by whoever holds what comes out of it
    /// against its length: see [`sieve`].
    pub fn is_packed_too_tightly(&self, bytes: u64) -> bool {
        let text: u64 = self.manifests.iter().map(|manifest| manifest.size).sum();
        text > sieve::most_text(bytes) || self.entries.len() as u64 > sieve::most_digests(bytes)
    }

    /// What is required and not there, in digest order; of indexes the children too where those are: `complete`.
    pub fn lacks(&self, complete: bool) -> Vec<Digest> {
        let children = self.absent_children.iter().filter(|_| complete);
        self.missing.iter().chain(children).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// The bytes of the bundle's index.json.
    pub fn bundle_index(&self) -> Vec<u8> {
        bundle::index(self)
    }

    /// The bundle digest: that of the bundle's index.json.
    pub fn bundle(&self) -> Digest {
        Digest::of(&self.bundle_index())
    }

    /// All blobs in the order of an archive: manifests, configs, others.
    pub fn order(&self) -> impl Iterator<Item = &Blob> {
        self.manifests.iter().chain(&self.configs).chain(&self.blobs)
    }

    /// How many blobs, manifests and configs included, and their bytes.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        self.order().for_each(|blob| count.add(blob.size));
        count
    }

    /// The outline of a new archive or directory, with further members of an archive.
    pub fn outline(&self, members: Vec<(String, Vec<u8>)>) -> Outline {
        Outline { index: IndexChange::New(self.bundle_index()), members, blobs: self.order().cloned().collect() }
    }

    /// The blobs that go into a directory that exists, wholes before their parts. Content in [`Import::inline`] is put
    /// like that in [`inline`](Self::inline).
    pub fn blobs_into(&self, import: &Import) -> Vec<Blob> {
        let mut blobs: Vec<Blob> = import
            .inline
            .iter()
            .map(|(digest, bytes)| Blob { digest: digest.clone(), size: bytes.len() as u64 })
            .collect();
        blobs.extend(self.order().filter(|blob| !import.dropped.contains(&blob.digest)).cloned());
        let mut met = HashSet::new();
        blobs.retain(|blob| met.insert(blob.digest.clone()));
        blobs
    }

    /// Whether an entry is an image or index, as far as its descriptor says.
    pub(crate) fn manifests_named(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| Form::of(&entry.descriptor.media_type).is_some())
    }
}
