//! Lists of referrers that arrive, and those that are there: each read once, however many names it has, and kept true.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use ocistow_layout::edit::Edit;
use ocistow_layout::name::Pair;
use ocistow_layout::{Descriptor, Digest, IndexFile, Kind, Result, Source};

use crate::facts::{Facts, Shape};
use crate::graph::{self, About, Graph, List, Node};
use crate::import::{Import, Named, set};
use crate::list;
use crate::manifest::Manifest;
use crate::plan::{Entry, Plan, made_entry};

/// What arrives, and where.
pub(crate) struct Meeting<'m> {
    pub plan: &'m Plan,
    /// What the plan was made from.
    pub graph: &'m Graph,
    pub target: &'m dyn Source,
    /// The target's.
    pub index: &'m IndexFile,
    /// What names stand for in it.
    pub named: &'m Named,
}

/// What a list lists.
#[derive(Default)]
struct Listed {
    /// In its order, each with its text.
    members: Vec<(Digest, String)>,
    digests: HashSet<Digest>,
}

impl Listed {
    fn length(&self) -> u64 {
        list::length(self.members.iter().map(|(_, text)| text.as_str()))
    }
}

/// Lists by their digests. What arrives may be there already: then it is the same.
type ByDigest<'l> = HashMap<&'l Digest, Rc<Listed>>;

/// Keeps stored lists true: those the target has for subjects of what arrives, and those that arrive.
pub(crate) fn merge_lists<'m>(
    meeting: &Meeting<'m>,
    lists: &'m [List],
    arriving: Vec<(&'m Entry, About)>,
    import: &mut Import,
) -> Result<()> {
    let Meeting { plan, graph, index, .. } = *meeting;
    let referring = list::referring(plan.manifests.iter().filter_map(|blob| graph.manifest(&blob.digest)));
    let needed = needed(meeting, &arriving);
    let mut room = list::Room::default();
    let mut listed: ByDigest<'_> = HashMap::new();
    let mut left: BTreeMap<About, Vec<&Entry>> = BTreeMap::new();
    for (entry, about) in arriving {
        let list = &entry.descriptor;
        listed.entry(&list.digest).or_insert_with(|| {
            let arrived = arrived(plan, graph, list);
            room.read(arrived.length());
            Rc::new(arrived)
        });
        left.entry(about).or_default().push(entry);
    }
    let mut of: BTreeMap<&About, Vec<&List>> = BTreeMap::new();
    lists.iter().for_each(|list| of.entry(&list.about).or_default().push(list));
    let mut stored: ByDigest<'_> = HashMap::new();
    // Beside which lists of the target about what arriving lists are not entered; and which of their members are about what.
    let mut taken: BTreeMap<(&Digest, BTreeSet<&Digest>), BTreeSet<&About>> = BTreeMap::new();
    let mut saying: HashMap<&Digest, BTreeMap<About, Vec<usize>>> = HashMap::new();
    for list in lists {
        // A second list about the same is the first one's business.
        let Some(beside) = of.remove(&list.about) else { continue };
        let same = left.remove(&list.about).unwrap_or_default();
        let referrers = referring.get(&list.about).map_or(&[][..], Vec::as_slice);
        if referrers.is_empty() && same.is_empty() {
            continue;
        }
        let Beside { old, merged, all } = read(meeting, &beside, &listed, &mut stored, &mut room)?;
        // Only what says so itself is a referrer (REFERRERS-15).
        let (mut coming, mut texts): (Vec<&Digest>, HashMap<&Digest, &str>) = (Vec::new(), HashMap::new());
        for superseded in &same {
            let digest = &superseded.descriptor.digest;
            if !all.contains(digest) {
                taken.entry((digest, all.clone())).or_default().insert(&list.about);
            }
            let members = &listed[digest].members;
            let saying = saying.entry(digest).or_insert_with(|| saying_subjects(graph, members));
            for (member, text) in saying.get(&list.about).into_iter().flatten().map(|at| &members[*at]) {
                texts.entry(member).or_insert_with(|| {
                    coming.push(member);
                    text
                });
            }
        }
        let referrers = referrers.iter().map(|referrer| &referrer.digest);
        coming.extend(referrers.filter(|digest| !texts.contains_key(digest)));
        let lacking = list::unnamed(coming.iter().copied().collect(), all.iter().map(|list| &stored[*list].digests));
        let any = all.iter().any(|list| !stored[*list].members.is_empty());
        let make = || -> Result<_> {
            let (first, mut met) = (&stored[merged[0]], HashSet::new());
            let rest = merged[1..].iter().flat_map(|list| &stored[*list].members);
            let rest = rest.filter(|(digest, _)| !first.digests.contains(digest) && met.insert(digest));
            let there: Vec<&str> = first.members.iter().chain(rest).map(|(_, text)| text.as_str()).collect();
            room.take(list::length(there.iter().copied())).map_err(|why| why.hint(list::LEAVE_OUT))?;
            let member = |digest: &Digest| match texts.get(digest) {
                Some(text) => Some((*text).to_owned()),
                None => graph.facts(digest).map(|facts| list::member(&facts)),
            };
            let more = coming.iter().filter(|digest| lacking.contains(*digest));
            let more: Vec<String> = more.filter_map(|digest| member(digest)).collect();
            let bytes = list::made(there.into_iter().chain(more.iter().map(String::as_str)));
            Ok((list::entry(old, &bytes), bytes))
        };
        let made = (!lacking.is_empty() || !any && !same.is_empty()).then(make).transpose()?;
        let stays = made.as_ref().map_or(&old.digest, |(entry, _)| &entry.digest);
        let superseded = same.iter().map(|entry| &entry.descriptor.digest);
        import.dropped.extend(superseded.filter(|digest| *digest != stays && !needed.contains(*digest)).cloned());
        let Some((entry, bytes)) = made else { continue };
        import.inline.insert(entry.digest.clone(), bytes);
        let pair = index.entries()[list.place].pair.clone();
        let entry = Box::new(entry);
        match pair.is_empty() {
            true => import.edits.extend([Edit::Remove { digest: old.digest.clone(), pair }, Edit::Add { entry }]),
            false => {
                let expect = (merged.len() == 1).then(|| Some(old.digest.clone()));
                import.edits.push(Edit::Set { entry, pair, expect });
            }
        }
    }
    // What refers to something else may have been found by this alone.
    for ((list, beside), abouts) in taken {
        for (member, _) in &listed[list].members {
            if beside.iter().any(|list| stored[*list].digests.contains(member)) {
                continue;
            }
            let elsewhere = |subject| abouts.iter().any(|about| !about.is(subject));
            if graph.manifest(member).and_then(Manifest::about).is_some_and(elsewhere) {
                let entry = made_entry(graph, member).map(|entry| Box::new(entry.descriptor));
                import.edits.extend(entry.map(|entry| Edit::Add { entry }));
            }
        }
    }
    for (about, entries) in left {
        // Several may be about the same: then what one of them lists, none lacks, and those of one name become one.
        let mut by_name: BTreeMap<Pair, Vec<&Entry>> = BTreeMap::new();
        let mut lists: BTreeSet<&Digest> = BTreeSet::new();
        for entry in entries {
            lists.insert(&entry.descriptor.digest);
            by_name.entry(entry.pair.key()).or_default().push(entry);
        }
        let referrers = referring.get(&about).map_or(&[][..], Vec::as_slice);
        let lacking = list::unnamed(
            referrers.iter().map(|one| &one.digest).collect(),
            lists.into_iter().map(|list| &listed[list].digests),
        );
        let lacking = referrers.iter().filter(|one| lacking.contains(&one.digest));
        let mut lacking: Vec<String> = lacking.map(|one| list::member(&one.facts())).collect();
        for entries in by_name.into_values() {
            let mut entry = entries[0].clone();
            if entries.len() > 1 || !lacking.is_empty() {
                let mut met = HashSet::new();
                let members = entries.iter().flat_map(|entry| &listed[&entry.descriptor.digest].members);
                let members: Vec<&String> =
                    members.filter(|(digest, _)| met.insert(digest)).map(|(_, text)| text).collect();
                let taken = list::length(members.iter().map(|member| member.as_str()));
                room.take(taken).map_err(|why| why.hint(list::LEAVE_OUT))?;
                let lacking = std::mem::take(&mut lacking);
                let bytes = list::made(members.into_iter().chain(&lacking).map(String::as_str));
                entry.descriptor = list::entry(&entry.descriptor, &bytes);
                let old = entries.iter().map(|old| &old.descriptor.digest);
                let superseded = old.filter(|old| **old != entry.descriptor.digest && !needed.contains(*old));
                import.dropped.extend(superseded.cloned());
                import.inline.insert(entry.descriptor.digest.clone(), bytes);
            }
            match entry.pair.is_empty() {
                true => import.edits.push(Edit::Add { entry: Box::new(entry.descriptor) }),
                false => set(meeting.named, &[&entry], false, import),
            }
        }
    }
    Ok(())
}

/// What is a list under one entry and an index that is needed under another.
fn needed(meeting: &Meeting<'_>, arriving: &[(&Entry, About)]) -> BTreeSet<Digest> {
    let Meeting { plan, graph, .. } = meeting;
    let lists: BTreeSet<&Digest> = arriving.iter().map(|(entry, _)| &entry.descriptor.digest).collect();
    let entered = plan.entries.iter().filter(|entry| graph::about(&entry.descriptor, &entry.pair).is_none());
    let entered = entered.map(|entry| &entry.descriptor.digest).filter(|digest| lists.contains(digest));
    let mut needed: BTreeSet<Digest> = entered.cloned().collect();
    let holders = plan.manifests.iter().filter(|blob| !lists.is_empty() && !lists.contains(&blob.digest));
    for holder in holders.filter_map(|blob| graph.manifest(&blob.digest)) {
        holder.children(&mut |child| {
            if lists.contains(&child.digest) {
                needed.insert(child.digest);
            }
        });
    }
    needed
}

/// The lists that the target has about one subject.
struct Beside<'l> {
    /// The first of them, which takes what arrives.
    old: &'l Descriptor,
    /// Those of its name, which become one with it; itself first.
    merged: Vec<&'l Digest>,
    /// All that can be read, each once.
    all: BTreeSet<&'l Digest>,
}

/// Reads them, unless they were read before. Integrity where one that would be made anew is broken.
fn read<'m>(
    meeting: &Meeting<'m>,
    lists: &[&'m List],
    arriving: &ByDigest<'_>,
    stored: &mut ByDigest<'m>,
    room: &mut list::Room,
) -> Result<Beside<'m>> {
    let Meeting { target, index, .. } = *meeting;
    let entry = |list: &List| index.entries()[list.place].descriptor(list.place);
    let name = |list: &List| Some(index.entries()[list.place].pair.key()).filter(|pair| !pair.is_empty());
    let mut beside = Beside { old: entry(lists[0])?, merged: Vec::new(), all: BTreeSet::new() };
    for (at, list) in lists.iter().enumerate() {
        let same = at == 0 || name(list).is_some() && name(list) == name(lists[0]);
        if !stored.contains_key(&list.digest) {
            let listed = match arriving.get(&list.digest) {
                // One that could not be read may still be right here.
                Some(arriving) if !arriving.members.is_empty() => arriving.clone(),
                _ => match there(target, entry(list)?) {
                    Err(why) if why.kind() == Kind::Integrity && !same => continue,
                    listed => Rc::new(listed?),
                },
            };
            room.read(listed.length());
            stored.insert(&list.digest, listed);
        }
        beside.all.insert(&list.digest);
        if same {
            beside.merged.push(&list.digest);
        }
    }
    Ok(beside)
}

/// What the target's own list lists; nothing where it is absent.
fn there(target: &dyn Source, list: &Descriptor) -> Result<Listed> {
    match graph::read_list(target, list).0 {
        Node::Absent => Ok(Listed::default()),
        node => Ok(members(&node.facts(&list.digest)?)),
    }
}

/// What an arriving list lists.
fn arrived(plan: &Plan, graph: &Graph, list: &Descriptor) -> Listed {
    if let Some(facts) = graph.facts(&list.digest) {
        return members(&facts);
    }
    let made = plan.inline.get(&list.digest);
    made.and_then(|bytes| Facts::read_list(&list.media_type, &list.digest, bytes).ok())
        .map_or_else(Listed::default, |facts| members(&facts))
}

fn members(facts: &Facts) -> Listed {
    if facts.form.shape() != Shape::Index {
        return Listed::default();
    }
    let members: Vec<_> = facts.children().map(|child| (child.digest.clone(), child.text().to_owned())).collect();
    let digests = members.iter().map(|(digest, _)| digest.clone()).collect();
    Listed { members, digests }
}

/// The places of those members that say a subject themselves, by whatever a list about it may be known by.
fn saying_subjects(graph: &Graph, members: &[(Digest, String)]) -> BTreeMap<About, Vec<usize>> {
    let mut saying: BTreeMap<About, Vec<usize>> = BTreeMap::new();
    for (at, (digest, _)) in members.iter().enumerate() {
        if let Some(subject) = graph.manifest(digest).and_then(Manifest::about) {
            saying.entry(About::Tag(subject.fallback_tag())).or_default().push(at);
            saying.entry(About::Subject(subject.clone())).or_default().push(at);
        }
    }
    saying
}
