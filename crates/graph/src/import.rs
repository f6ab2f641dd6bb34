//! How what arrives is entered into a layout that exists.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ocistow_layout::edit::Edit;
use ocistow_layout::name::{self, Pair, Steps};
use ocistow_layout::{Descriptor, Digest, Error, IndexFile, Kind, Result, Source};

use crate::facts::{Facts, Shape};
use crate::graph::{self, About, Graph, List, Node};
use crate::list;
use crate::manifest::Manifest;
use crate::plan::{Entry, Plan};

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
    let named = named(&index);
    let mut arriving: Vec<(&Entry, About)> = Vec::new();
    let mut names: BTreeMap<Pair, Vec<&Entry>> = BTreeMap::new();
    for (at, entry) in plan.entries.iter().enumerate() {
        if let Some(references) = renamed.get(&at) {
            for reference in references {
                name_as(&index, entry, reference, &mut import)?;
            }
        } else if let Some(about) = graph::about(&entry.descriptor, &entry.pair) {
            arriving.push((entry, about));
        } else if entry.pair.is_empty() {
            import.edits.push(Edit::Add { entry: Box::new(entry.descriptor.clone()) });
        } else {
            names.entry(entry.pair.key()).or_default().push(entry);
        }
    }
    for entries in names.values() {
        set(&named, entries, &mut import);
    }
    merge_lists(plan, graph, target, &index, &lists, arriving, &mut import)?;
    // A list may stand under the tag of another subject too, and arrive there as it is.
    let named: BTreeSet<&Digest> = import.edits.iter().filter_map(Edit::entry).map(|entry| &entry.digest).collect();
    import.dropped.retain(|digest| !named.contains(digest));
    Ok(import)
}

/// Which entries of the plan get other names.
fn renamed<'r>(plan: &Plan, renames: &'r [(String, String)]) -> Result<HashMap<usize, Vec<&'r str>>> {
    let mut renamed: HashMap<usize, Vec<&str>> = HashMap::new();
    if renames.is_empty() {
        return Ok(renamed);
    }
    // The bundle's index has the plan's entries in the plan's order.
    let bundle = IndexFile::parse(plan.bundle_index())?;
    for (old, new) in renames {
        let what = || format!("could not rename {old} to {new}");
        if new.is_empty() {
            return Err(Error::new(Kind::Usage, what()).because("the new name is empty"));
        }
        let places = name::look_up(&bundle, old, Steps::Find);
        let digests: BTreeSet<&Digest> = places.iter().map(|at| &plan.entries[*at].descriptor.digest).collect();
        match (digests.len(), places.first()) {
            (1, Some(first)) => {
                renamed.entry(*first).or_default().push(new);
                for place in &places[1..] {
                    renamed.entry(*place).or_default();
                }
            }
            (0, _) => return Err(Error::new(Kind::NotFound, what()).because(format!("nothing arrives as {old}"))),
            (several, _) => {
                let why = format!("{old} names {several} different digests of what arrives");
                return Err(Error::new(Kind::Usage, what()).because(why));
            }
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
/// descriptor.
type Named = HashMap<Pair, BTreeSet<Option<Digest>>>;

fn named(index: &IndexFile) -> Named {
    let mut named = Named::new();
    for known in index.entries().iter().filter(|known| known.tagged()) {
        let digest = known.descriptor.as_ref().ok().map(|descriptor| descriptor.digest.clone());
        named.entry(known.pair.key()).or_default().insert(digest);
    }
    named
}

/// Enters what arrives under one name, in the place of what has exactly that name. A name that stands for several
/// digests, as some tools leave it, goes on to do so.
fn set(named: &Named, entries: &[&Entry], import: &mut Import) {
    let Some((first, rest)) = entries.split_first() else { return };
    let to = &first.descriptor.digest;
    let mut come: BTreeSet<&Digest> = BTreeSet::from([to]);
    let beside: Vec<&&Entry> = rest.iter().filter(|entry| come.insert(&entry.descriptor.digest)).collect();
    let there: Vec<Option<&Digest>> = named.get(&first.pair.key()).into_iter().flatten().map(Option::as_ref).collect();
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
        [] => Some(None),
        [Some(one)] => Some(Some(one.clone())),
        _ => None,
    };
    let pair = first.pair.clone();
    import.edits.push(Edit::Set { entry: Box::new(first.descriptor.clone()), pair, expect });
    for entry in beside {
        import.edits.push(Edit::Beside { entry: Box::new(entry.descriptor.clone()), pair: entry.pair.clone() });
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
    let mut done: BTreeSet<&About> = BTreeSet::new();
    for list in lists {
        // A second list about the same is the first one's business.
        if !done.insert(&list.about) {
            continue;
        }
        let old = index.entries()[list.place].descriptor(list.place)?;
        let same = left.remove(&list.about).unwrap_or_default();
        let referrers = referring.get(&list.about).map_or(&[][..], Vec::as_slice);
        if referrers.is_empty() && same.is_empty() {
            continue;
        }
        let mut members = members(target, old)?;
        let before = members.len();
        let mut known: BTreeSet<Digest> = members.iter().map(|(digest, _)| digest.clone()).collect();
        let mut arrived: Members = Vec::new();
        for entry in &same {
            // Only what says so itself is a referrer (REFERRERS-15).
            arrived.extend(listed(plan, graph, &entry.descriptor).into_iter().filter(|(digest, _)| {
                graph.manifest(digest).and_then(Manifest::about).is_some_and(|subject| list.about.is(subject))
            }));
        }
        arrived.extend(referrers.iter().map(|referrer| (referrer.digest.clone(), list::member(&referrer.facts()))));
        for (digest, text) in arrived {
            if known.insert(digest.clone()) {
                members.push((digest, text));
            }
        }
        let unchanged = members.len() == before && (before > 0 || same.is_empty());
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
                let expect = Some(Some(old.digest.clone()));
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
                false => set(&named, &[&entry], import),
            }
        }
    }
    Ok(())
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
