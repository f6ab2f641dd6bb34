//! How what arrives is entered into a layout that exists.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ocistow_layout::edit::Edit;
use ocistow_layout::name::{self, Pair, Steps};
use ocistow_layout::{Descriptor, Digest, Error, IndexFile, Kind, Result, Source};

use crate::graph::{self, About, Graph};
use crate::merge::{Meeting, merge_lists};
use crate::plan::{Entry, Plan};
use crate::whose;

/// A name that comes to stand for something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// `ref.name`, or the tag of the full name.
    pub tag: Option<String>,
    /// `io.containerd.image.name`, or the full name in `ref.name`.
    pub name: Option<String>,
    /// What it stood for.
    pub from: Option<Digest>,
    /// What it stands for now.
    pub to: Option<Digest>,
}

impl Moved {
    /// A name that goes from one digest to another.
    pub(crate) fn of(name: &Pair, from: Option<Digest>, to: Option<Digest>) -> Self {
        let [tag, name] = [name.tag(), name.full()].map(|text| text.map(str::to_owned));
        Self { tag, name, from, to }
    }

    /// Whether it is that name which goes.
    pub(crate) fn is_of(&self, name: &Pair) -> bool {
        (self.tag.as_deref(), self.name.as_deref()) == (name.tag(), name.full())
    }
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
/// Integrity where the target's index.json or one of its lists has to be extended and is broken, or lists that are made
/// anew would take over more than [`MAX_TAKEN_OVER`](crate::MAX_TAKEN_OVER) allows.
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
    merge_lists(&Meeting { plan, graph, target, index: &index, named: &named }, &lists, arriving, &mut import)?;
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
            let name = &index.entries()[place].pair;
            import.moved.push(Moved::of(name, Some(from.clone()), Some(to.clone())));
        }
    }
    import.edits.push(Edit::Name { entry: Box::new(entry.descriptor.clone()), reference: reference.to_owned() });
    Ok(())
}

/// What each name stands for, by the pair it is compared by: usually one digest; none where an entry is no
/// descriptor. And what its entry says of whose that is.
pub(crate) type Named = HashMap<Pair, BTreeMap<Option<Digest>, Option<Digest>>>;

pub(crate) fn named(index: &IndexFile) -> Named {
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
pub(crate) fn set(named: &Named, entries: &[&Entry], given: bool, import: &mut Import) {
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
        import.moved.push(Moved::of(&first.pair, from.cloned(), Some(to.clone())));
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
