//! How what arrives is entered into a layout that exists.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ocistow_layout::edit::Edit;
use ocistow_layout::name::{self, Pair, Steps};
use ocistow_layout::{Descriptor, Digest, Error, IndexFile, Kind, Result, Source};

use crate::facts::{Facts, Shape};
use crate::graph::{self, About, Graph, List, Node};
use crate::list;
use crate::manifest::Manifest;
use crate::plan::{Entry, Plan, made_entry};
use crate::whose;

/// A name that comes to stand for something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// `ref.name`
    pub tag: Option<String>,
    /// `io.containerd.image.name`
    pub name: Option<String>,
    /// What it stood for.
    pub from: Option<Digest>,
    /// What it stands for now.
    pub to: Option<Digest>,
}

/// How a plan's entries come into a layout that exists.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The changes to its index.json.
    pub edits: Vec<Edit>,
    /// Names that stood for something else before. Lists of referrers do not count: they only grow.
    pub moved: Vec<Moved>,
    /// New lists of referrers: written beside the plan's blobs.
    pub inline: BTreeMap<Digest, Vec<u8>>,
    /// The plan's own lists that are not written, since new ones take their place.
    pub dropped: Vec<Digest>,
}

/// Decides how the entries of `plan`, made from `graph`, come into `target`. `renames` are pairs of (old,
/// new) references. NotFound where an old one names no entry of the plan; Usage where a name is ambiguous;
/// Integrity where the target's index.json or one of its lists has to be extended and is broken.
pub fn import(plan: &Plan, graph: &Graph, target: &dyn Source, renames: &[(String, String)]) -> Result<Import> {
    let index = target.index()?;
    let mut import = Import::default();
    let renamed = renamed(plan, renames)?;
    let lists = graph::lists(&index);
    let (named, mut said) = (named(&index), said(&index, plan));
    let mut arriving: Vec<(&Entry, About)> = Vec::new();
    let mut unnamed: Vec<Edit> = Vec::new();
    let mut names: BTreeMap<Pair, Vec<&Entry>> = BTreeMap::new();
    let mut given: BTreeSet<Pair> = BTreeSet::new();
    for (at, entry) in plan.entries.iter().enumerate() {
        if let Some(references) = renamed.to.get(&at) {
            for reference in references {
                name_as(&index, entry, reference, &mut import)?;
            }
        } else if let Some(about) = graph::about(&entry.descriptor, &entry.pair) {
            arriving.push((entry, about));
        } else if entry.pair.is_empty() {
            unnamed.push(untagged(&entry.descriptor, &mut said));
        } else {
            given.extend(renamed.already.contains(&at).then(|| entry.pair.key()));
            names.entry(entry.pair.key()).or_default().push(entry);
        }
    }
    for (pair, entries) in &names {
        set(&named, entries, given.contains(pair), &mut import);
    }
    merge_lists(plan, graph, target, &index, &lists, arriving, &mut import)?;
    // First, for what has a name too may stand beside it without one; and last, where it is needed: what has an entry now
    // may lose it to what comes under its name.
    let first = unnamed.iter().filter(|edit| matches!(edit, Edit::Add { .. })).cloned().collect();
    let named = std::mem::replace(&mut import.edits, first);
    import.edits.extend(named.into_iter().chain(unnamed));
    // A list may stand under the tag of another subject too, and arrive there as it is.
    let named: BTreeSet<&Digest> = import.edits.iter().filter_map(Edit::entry).map(|entry| &entry.digest).collect();
    import.dropped.retain(|digest| !named.contains(digest));
    Ok(import)
}

/// What the entries of each digest say of whose it is: each what it says, or nothing.
type Said<'e> = BTreeMap<&'e Digest, BTreeSet<Option<Digest>>>;

/// What the target's entries, and those that arrive under names, say of what arrives without one and says whose it is.
fn said<'p>(index: &IndexFile, plan: &'p Plan) -> Said<'p> {
    let arriving = plan.entries.iter().filter(|entry| entry.pair.is_empty());
    let saying = arriving.filter(|entry| whose::subject_said(&entry.descriptor).is_some());
    let mut said: Said<'_> = saying.map(|entry| (&entry.descriptor.digest, BTreeSet::new())).collect();
    if !said.is_empty() {
        let there = index.entries().iter().filter_map(|known| Some((known.descriptor.as_ref().ok()?, &known.pair)));
        let named = plan.entries.iter().filter(|entry| !entry.pair.is_empty());
        for (descriptor, pair) in there.chain(named.map(|entry| (&entry.descriptor, &entry.pair))) {
            if let Some(said) = said.get_mut(&descriptor.digest) {
                let list = graph::about(descriptor, pair).is_some();
                said.insert(whose::subject_said(descriptor).filter(|_| !list));
            }
        }
    }
    said
}

/// Enters what has no name, unless it is entered already; beside that, where nothing of it says whose it is.
fn untagged(entry: &Descriptor, said: &mut Said<'_>) -> Edit {
    let (own, pair) = (Box::new(entry.clone()), Pair::default());
    let Some(said) = said.get_mut(&entry.digest) else { return Edit::Add { entry: own } };
    let subject = whose::subject_said(entry);
    let beside = subject.is_some() && !said.is_empty() && !said.contains(&subject);
    said.insert(subject);
    if beside { Edit::Beside { entry: own, pair } } else { Edit::Add { entry: own } }
}

/// Which entries of the plan get other names, and which have one of those names already.
#[derive(Default)]
struct Renamed<'r> {
    to: HashMap<usize, Vec<&'r str>>,
    already: BTreeSet<usize>,
}

fn renamed<'r>(plan: &Plan, renames: &'r [(String, String)]) -> Result<Renamed<'r>> {
    let mut renamed = Renamed::default();
    if renames.is_empty() {
        return Ok(renamed);
    }
    // The bundle's index has the plan's entries in the plan's order.
    let bundle = IndexFile::parse(plan.bundle_index())?;
    let digest = |at: usize| &plan.entries[at].descriptor.digest;
    let mut given: BTreeMap<&str, &Digest> = BTreeMap::new();
    let twice = |old: &str, new: &str| {
        let why = format!("something else that arrives gets or has the name {new}");
        Error::new(Kind::Usage, format!("could not rename {old} to {new}")).because(why)
    };
    for (old, new) in renames {
        let what = || format!("could not rename {old} to {new}");
        if new.is_empty() {
            return Err(Error::new(Kind::Usage, what()).because("the new name is empty"));
        }
        let places = name::look_up(&bundle, old, Steps::Find);
        let digests: BTreeSet<&Digest> = places.iter().map(|at| digest(*at)).collect();
        match (digests.len(), places.first()) {
            (1, Some(first)) => {
                if given.insert(new, digest(*first)).is_some_and(|other| other != digest(*first)) {
                    return Err(twice(old, new));
                }
                renamed.to.entry(*first).or_default().push(new);
                for place in &places[1..] {
                    renamed.to.entry(*place).or_default();
                }
            }
            (0, _) => return Err(Error::new(Kind::NotFound, what()).because(format!("nothing arrives as {old}"))),
            (several, _) => {
                let why = format!("{old} names {several} different digests of what arrives");
                return Err(Error::new(Kind::Usage, what()).because(why));
            }
        }
    }
    for (old, new) in renames {
        for place in name::look_up(&bundle, new, Steps::Exact) {
            if !renamed.to.contains_key(&place) && digest(place) != given[&**new] {
                return Err(twice(old, new).hint("another --tag gives that another name"));
            }
            renamed.already.insert(place);
        }
    }
    Ok(renamed)
}

/// Enters something under a name the user gave.
fn name_as(index: &IndexFile, entry: &Entry, reference: &str, import: &mut Import) -> Result<()> {
    let to = &entry.descriptor.digest;
    let mut digests = BTreeSet::new();
    let places = name::look_up(index, reference, Steps::Exact);
    for place in &places {
        digests.insert(index.entries()[*place].descriptor(*place)?.digest.clone());
    }
    if digests.len() > 1 {
        let what = format!("could not tell which entry {reference} means");
        return Err(Error::new(Kind::Usage, what).because(format!("it names {} different digests", digests.len())));
    }
    if let Some(from) = digests.into_iter().next().filter(|from| from != to) {
        for place in places {
            let Pair { image: name, reference: tag } = index.entries()[place].pair.clone();
            import.moved.push(Moved { tag, name, from: Some(from.clone()), to: Some(to.clone()) });
        }
    }
    import.edits.push(Edit::Name { entry: Box::new(entry.descriptor.clone()), reference: reference.to_owned() });
    Ok(())
}

/// What each name stands for, by the pair it is compared by: usually one digest; none where an entry is no
/// descriptor. And what its entry says of whose that is.
type Named = HashMap<Pair, BTreeMap<Option<Digest>, Option<Digest>>>;

fn named(index: &IndexFile) -> Named {
    let mut named = Named::new();
    for known in index.entries().iter().filter(|known| known.tagged()) {
        let descriptor = known.descriptor.as_ref().ok();
        let digest = descriptor.map(|descriptor| descriptor.digest.clone());
        let said = named.entry(known.pair.key()).or_default().entry(digest).or_default();
        *said = said.take().or(descriptor.and_then(whose::subject_said));
    }
    named
}

/// Enters what arrives under one name, in the place of what has exactly that name. A name that stands for several
/// digests, as some tools leave it, goes on to do so; and one that said whose its digest is goes on to say that. Where it
/// was `given` to the same just before, it stands no more for what it stood for.
fn set(named: &Named, entries: &[&Entry], given: bool, import: &mut Import) {
    let Some((first, rest)) = entries.split_first() else { return };
    let to = &first.descriptor.digest;
    let mut come: BTreeSet<&Digest> = BTreeSet::from([to]);
    let beside: Vec<&&Entry> = rest.iter().filter(|entry| come.insert(&entry.descriptor.digest)).collect();
    let known = named.get(&first.pair.key());
    let there: Vec<Option<&Digest>> = known.into_iter().flat_map(BTreeMap::keys).map(Option::as_ref).collect();
    if !beside.is_empty() && there.iter().copied().eq(come.iter().map(|digest| Some(*digest))) {
        return;
    }
    for from in there.iter().filter(|from| from.is_none_or(|from| !come.contains(from))) {
        let Pair { image: name, reference: tag } = first.pair.clone();
        import.moved.push(Moved { tag, name, from: from.cloned(), to: Some(to.clone()) });
    }
    // Neither several digests under one name nor an entry that has none are states an expectation can be written
    // for: all become what arrives.
    let expect = match there[..] {
        [] if !given => Some(None),
        [Some(one)] if !given => Some(Some(one.clone())),
        _ => None,
    };
    let own = |entry: &Entry| {
        let said = known.and_then(|known| known.get(&Some(entry.descriptor.digest.clone()))?.as_ref());
        Box::new(match (said, whose::subject_said(&entry.descriptor)) {
            (Some(subject), None) => whose::saying(&entry.descriptor, subject),
            _ => entry.descriptor.clone(),
        })
    };
    import.edits.push(Edit::Set { entry: own(first), pair: first.pair.clone(), expect });
    for entry in beside {
        import.edits.push(Edit::Beside { entry: own(entry), pair: entry.pair.clone() });
    }
}

/// What a list lists: each with its text.
type Members = Vec<(Digest, String)>;

/// Keeps stored lists true: those the target has for subjects of what arrives, and those that arrive.
fn merge_lists(
    plan: &Plan,
    graph: &Graph,
    target: &dyn Source,
    index: &IndexFile,
    lists: &[List],
    arriving: Vec<(&Entry, About)>,
    import: &mut Import,
) -> Result<()> {
    let named = named(index);
    let referring = list::referring(plan.manifests.iter().filter_map(|blob| graph.manifest(&blob.digest)));
    // What is a list under one entry may be an index that is needed under another.
    let list_digests: BTreeSet<&Digest> = arriving.iter().map(|(entry, _)| &entry.descriptor.digest).collect();
    let entered = plan.entries.iter().filter(|entry| graph::about(&entry.descriptor, &entry.pair).is_none());
    let entered = entered.map(|entry| &entry.descriptor.digest).filter(|digest| list_digests.contains(digest));
    let mut needed: BTreeSet<Digest> = entered.cloned().collect();
    let holders = plan.manifests.iter().filter(|blob| !arriving.is_empty() && !list_digests.contains(&blob.digest));
    for holder in holders.filter_map(|blob| graph.manifest(&blob.digest)) {
        holder.children(&mut |child| {
            if list_digests.contains(&child.digest) {
                needed.insert(child.digest);
            }
        });
    }
    let mut left: BTreeMap<About, Vec<&Entry>> = BTreeMap::new();
    for (entry, about) in arriving {
        left.entry(about).or_default().push(entry);
    }
    let mut of: BTreeMap<&About, Vec<&List>> = BTreeMap::new();
    lists.iter().for_each(|list| of.entry(&list.about).or_default().push(list));
    for list in lists {
        // A second list about the same is the first one's business.
        let Some(beside) = of.remove(&list.about) else { continue };
        let same = left.remove(&list.about).unwrap_or_default();
        let referrers = referring.get(&list.about).map_or(&[][..], Vec::as_slice);
        if referrers.is_empty() && same.is_empty() {
            continue;
        }
        let Stored { old, twice, mut members, mut known } = stored(target, index, &beside)?;
        let (before, any) = (members.len(), !known.is_empty());
        let mut arrived: Members = Vec::new();
        for (digest, text) in same.iter().flat_map(|entry| listed(plan, graph, &entry.descriptor)) {
            // Only what says so itself is a referrer (REFERRERS-15); what refers to something else may have been found
            // by this alone.
            match graph.manifest(&digest).and_then(Manifest::about) {
                Some(subject) if list.about.is(subject) => arrived.push((digest, text)),
                Some(_) if !known.contains(&digest) => {
                    let entry = made_entry(graph, &digest).map(|entry| Box::new(entry.descriptor));
                    import.edits.extend(entry.map(|entry| Edit::Add { entry }));
                }
                _ => {}
            }
        }
        arrived.extend(referrers.iter().map(|referrer| (referrer.digest.clone(), list::member(&referrer.facts()))));
        for (digest, text) in arrived {
            if known.insert(digest.clone()) {
                members.push((digest, text));
            }
        }
        let unchanged = members.len() == before && (any || same.is_empty());
        let bytes = list::made(members.iter().map(|(_, text)| text.as_str()));
        let entry = list::entry(old, &bytes);
        for superseded in &same {
            let digest = &superseded.descriptor.digest;
            let stays = if unchanged { &old.digest } else { &entry.digest };
            if digest != stays && !needed.contains(digest) {
                import.dropped.push(digest.clone());
            }
        }
        if unchanged {
            continue;
        }
        let pair = index.entries()[list.place].pair.clone();
        match pair.is_empty() {
            true => {
                import.edits.push(Edit::Remove { digest: old.digest.clone(), pair });
                import.edits.push(Edit::Add { entry: Box::new(entry.clone()) });
            }
            false => {
                let expect = (!twice).then(|| Some(old.digest.clone()));
                import.edits.push(Edit::Set { entry: Box::new(entry.clone()), pair, expect });
            }
        }
        import.inline.insert(entry.digest, bytes);
    }
    for (about, entries) in left {
        // Several may be about the same: then what one of them lists, none lacks, and those of one name become one.
        let mut by_name: BTreeMap<Pair, Vec<(&Entry, Members)>> = BTreeMap::new();
        let mut known: BTreeSet<Digest> = BTreeSet::new();
        for entry in entries {
            let members = listed(plan, graph, &entry.descriptor);
            known.extend(members.iter().map(|(digest, _)| digest.clone()));
            by_name.entry(entry.pair.key()).or_default().push((entry, members));
        }
        let referrers = referring.get(&about).into_iter().flatten();
        let lacking = referrers.filter(|referrer| !known.contains(&referrer.digest));
        let mut lacking: Vec<_> = lacking.map(|one| (one.digest.clone(), list::member(&one.facts()))).collect();
        for lists in by_name.into_values() {
            let mut entry = lists[0].0.clone();
            if lists.len() > 1 || !lacking.is_empty() {
                let mut met = BTreeSet::new();
                let members = lists.iter().flat_map(|(_, members)| members).filter(|(digest, _)| met.insert(digest));
                let bytes = list::made(members.chain(&std::mem::take(&mut lacking)).map(|(_, text)| text.as_str()));
                entry.descriptor = list::entry(&entry.descriptor, &bytes);
                let old = lists.iter().map(|(old, _)| &old.descriptor.digest);
                let superseded = old.filter(|old| **old != entry.descriptor.digest && !needed.contains(old));
                import.dropped.extend(superseded.cloned());
                import.inline.insert(entry.descriptor.digest.clone(), bytes);
            }
            match entry.pair.is_empty() {
                true => import.edits.push(Edit::Add { entry: Box::new(entry.descriptor) }),
                false => set(&named, &[&entry], false, import),
            }
        }
    }
    Ok(())
}

/// The lists that the target has about one subject.
struct Stored<'i> {
    /// The first of them, which takes what arrives.
    old: &'i Descriptor,
    /// Whether others have its name, and become one with it.
    twice: bool,
    /// What those list.
    members: Members,
    /// What any of them lists.
    known: BTreeSet<Digest>,
}

/// Reads them. Integrity where one that would be made anew is broken.
fn stored<'i>(target: &dyn Source, index: &'i IndexFile, lists: &[&List]) -> Result<Stored<'i>> {
    let entry = |list: &List| index.entries()[list.place].descriptor(list.place);
    let name = |list: &List| Some(index.entries()[list.place].pair.key()).filter(|pair| !pair.is_empty());
    let (first, mut twice, mut merged) = (lists[0], false, members(target, entry(lists[0])?)?);
    let mut met: BTreeSet<Digest> = merged.iter().map(|(digest, _)| digest.clone()).collect();
    let mut known = met.clone();
    for list in &lists[1..] {
        let same = name(list).is_some() && name(list) == name(first);
        let more = match members(target, entry(list)?) {
            Err(why) if why.kind() == Kind::Integrity && !same => continue,
            more => more?,
        };
        known.extend(more.iter().map(|(digest, _)| digest.clone()));
        if same {
            twice = true;
            merged.extend(more.into_iter().filter(|(digest, _)| met.insert(digest.clone())));
        }
    }
    Ok(Stored { old: entry(first)?, twice, members: merged, known })
}

/// What the target's own list lists; nothing where it is absent.
fn members(target: &dyn Source, list: &Descriptor) -> Result<Members> {
    match graph::read_list(target, list).0 {
        Node::Absent => Ok(Vec::new()),
        node => Ok(texts(&node.facts(&list.digest)?)),
    }
}

/// What an arriving list lists.
fn listed(plan: &Plan, graph: &Graph, list: &Descriptor) -> Members {
    if let Some(facts) = graph.facts(&list.digest) {
        return texts(&facts);
    }
    let made = plan.inline.get(&list.digest);
    made.and_then(|bytes| Facts::read_list(&list.media_type, &list.digest, bytes).ok())
        .map_or(Vec::new(), |f| texts(&f))
}

fn texts(facts: &Facts) -> Members {
    if facts.form.shape() != Shape::Index {
        return Vec::new();
    }
    facts.children().map(|child| (child.digest.clone(), child.text().to_owned())).collect()
}
