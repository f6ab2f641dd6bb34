//! Bytes as a drawing of a layout that is changed: a bundle arrives beside what is there, something is removed, what was
//! hurt is mended; nothing else is lost by that.

use std::collections::{BTreeMap, BTreeSet};

use ocistow_graph::diff::{Difference, Side};
use ocistow_graph::fsck::{self, Examination, Problem, ProblemKind, Severity};
use ocistow_graph::listed::record;
use ocistow_graph::remove::remove;
use ocistow_graph::repair::{self, Tried};
use ocistow_graph::{Asked, Dialect, Edge, Graph, Load, ReferrersAs, import, plan};
use ocistow_layout::edit::apply;
use ocistow_layout::index::Entry;
use ocistow_layout::memory::Memory;
use ocistow_layout::name::Pair;
use ocistow_layout::{Blob, Digest, Kind, Source, Unwatched, checked};
use ocistow_testkit::draw;

use crate::graph::{EXAMINED, MAX_STEPS, drawing, edges, entered, errors};
use crate::{LOAD, carried};

/// The body: a byte of flags, one that chooses, then three for each line of the drawing.
pub fn run(bytes: &[u8]) {
    let Some(([flags, which], steps)) = bytes.split_first_chunk() else { return };
    let steps = steps[..steps.len().min(3 * MAX_STEPS)].as_chunks().0;
    let flag = |n: u8| flags >> n & 1 == 1;
    let whole = draw(&drawing(steps)).memory;
    match flags & 3 {
        // What has the same beginning has the same content, and knows less of it.
        0 | 1 => {
            let part = draw(&drawing(&steps[..usize::from(*which) % (steps.len() + 1)])).memory;
            let way = [ReferrersAs::Entries, ReferrersAs::Tags, ReferrersAs::Both][usize::from(flags >> 4) % 3];
            let (source, target) = if flag(0) { (&whole, &part) } else { (&part, &whole) };
            arrives(source, way, target, flag(7));
        }
        2 => removed(&whole, usize::from(*which), flag(2), flag(3)),
        _ => mended(&whole, usize::from(*which), flags >> 2, flag(7)),
    }
}

/// What each name stands for, those of lists of referrers aside.
fn names(layout: &Memory) -> BTreeMap<Pair, BTreeSet<Digest>> {
    let graph = loaded(layout, false);
    let mut names: BTreeMap<Pair, BTreeSet<Digest>> = BTreeMap::new();
    let lists: BTreeSet<usize> = graph.lists().iter().map(|list| list.place).collect();
    let entries = graph.index().entries().iter().enumerate();
    for (at, entry) in entries.filter(|(at, entry)| entry.tagged() && !lists.contains(at)) {
        names.entry(entry.pair.key()).or_default().insert(entry.descriptor(at).unwrap().digest.clone());
    }
    names
}

fn loaded(layout: &Memory, scan_blobs: bool) -> Graph {
    Graph::load(layout, Load { scan_blobs, ..LOAD }, &Unwatched).unwrap()
}

/// Errors that a layout has, whoever points there: a list of referrers is another one with each member.
fn wrong(layout: &Memory) -> BTreeSet<(ProblemKind, Option<Digest>, Option<String>)> {
    errors(layout).into_iter().map(|problem| (problem.kind, problem.digest, problem.path)).collect()
}

/// Everything of one layout comes into another: all of it is there then, and all that was there and was not moved.
fn arrives(source: &Memory, way: ReferrersAs, target: &Memory, renamed: bool) {
    let graph = loaded(source, false);
    let Ok(mut plan) = plan::export(&graph, source, &carried::everything()) else { return };
    record(&mut plan, &graph, source, way);
    if plan.verdict(true, false).is_err() {
        return;
    }
    let Some(bundle) = carried::in_memory(source, &plan) else { return };
    let arriving = loaded(&bundle, false);
    let lost = edges(&graph).difference(&edges(&arriving)).next().cloned();
    assert_eq!(lost, None, "an edge is not recorded as {way:?}");
    let plan = carried::planned(&bundle).unwrap();
    let renames: &[_] = if renamed { &[("t0".to_owned(), "t1".to_owned())] } else { &[] };
    let moved = match import(&plan, &arriving, target, renames) {
        Ok(import) => import.moved,
        // What may be meant by a name that stands for several things is the user's to say.
        Err(why) if renamed && [Kind::NotFound, Kind::Usage].contains(&why.kind()) => return,
        Err(why) => return assert_eq!(why.kind(), Kind::Integrity, "{}", why.chain()),
    };
    let after = entered(&bundle, &plan, target, renames);
    let (mut came, before, now) = (names(&bundle), names(target), names(&after));
    for (old, new) in renames {
        let digests = came.remove(&Pair::written(old).key());
        came.extend(digests.map(|digests| (Pair::written(new).key(), digests)));
    }
    for (name, digests) in before.iter().filter(|(name, _)| !came.contains_key(name)).chain(&came) {
        assert_eq!(now.get(name), Some(digests), "{name:?}");
    }
    let there = loaded(&after, false);
    // With a name that comes to stand for something else, what only that knew may go.
    let stay = if moved.is_empty() { edges(&loaded(target, false)) } else { BTreeSet::new() };
    for (subject, referrer) in edges(&arriving).union(&stay) {
        let kept = there.referrers(subject).iter().any(|edge| edge.referrer == *referrer);
        assert!(kept, "{referrer} refers to {subject} no more");
    }
    let known = &wrong(target) | &wrong(&bundle);
    if let Some(new) = wrong(&after).difference(&known).next() {
        panic!("{new:?} is new");
    }
    assert!(entered(&bundle, &plan, &after, renames) == after, "once more changes it");
    differ(target, &after);
}

/// What is told of two layouts is told the other way round of the other two; of one and the same nothing is told.
fn differ(one: &Memory, other: &Memory) {
    let [one, other] = [one, other].map(|layout| Side::layout(layout).unwrap());
    assert!(Difference::between(&one, &one).is_none());
    let (there, back) = (Difference::between(&one, &other), Difference::between(&other, &one));
    assert_eq!((&there.added, &there.removed), (&back.removed, &back.added));
    assert_eq!((there.both, &there.only[0], &there.only[1]), (back.both, &back.only[1], &back.only[0]));
    assert_eq!(there.is_none(), one == other);
}

/// A name goes, or everything of a digest: others need nothing of what is deleted, and keep their names.
fn removed(layout: &Memory, which: usize, by_digest: bool, referrers: bool) {
    let graph = loaded(layout, referrers);
    let entries = graph.index().entries();
    let Some(Entry { descriptor: Ok(descriptor), pair, .. }) = entries.get(which % entries.len().max(1)) else {
        return;
    };
    let asked = match pair.exact() {
        Some(name) if !by_digest => Asked::Name(name.into(), None),
        _ => Asked::Digest(descriptor.digest.clone()),
    };
    let removal = match remove(&graph, layout, std::slice::from_ref(&asked), referrers) {
        Ok(removal) => removal,
        Err(why) => return assert_ne!(why.kind(), Kind::NotFound, "{asked:?}: {}", why.chain()),
    };
    let mut after = layout.clone();
    after.index = apply(&layout.index().unwrap(), &removal.edits).unwrap();
    removal.made.iter().for_each(|(digest, bytes)| drop(after.blobs.insert(digest.clone(), bytes.clone())));
    removal.removed.iter().for_each(|digest| drop(after.blobs.remove(digest)));
    let there = loaded(&after, false);
    let gone: BTreeSet<&Digest> = removal.removed.iter().collect();
    for (holder, _) in there.nodes() {
        let parts = there.facts(holder).into_iter().flat_map(|facts| facts.parts);
        let mut held = parts.map(|part| part.descriptor.digest).filter(|part| gone.contains(part));
        assert_eq!(held.next(), None, "{holder} needs it");
    }
    // Whoever says whose he is and is still here is still found.
    let says = |digest: &Digest| graph.facts(digest).is_some_and(|facts| facts.subject.is_some());
    let lasts = |edge: &&Edge| edge.dialect != Dialect::Scan && says(&edge.referrer) && !gone.contains(&edge.referrer);
    for edge in graph.edges().filter(lasts) {
        let found = there.referrers(&edge.subject).iter().any(|found| found.referrer == edge.referrer);
        assert!(found || there.facts(&edge.subject).is_none(), "{edge:?} is found no more");
    }
    for (name, mut digests) in names(layout) {
        digests.retain(|digest| !gone.contains(digest));
        let asked = matches!(&asked, Asked::Name(asked, _) if name.exact() == Some(asked));
        // A tag of cosign's goes with what it is about.
        let cosigns = referrers && name.tag().is_some_and(|tag| tag.starts_with("sha256-"));
        if !(asked || cosigns || digests.is_empty() || digests.contains(&descriptor.digest)) {
            assert_eq!(names(&after).get(&name), Some(&digests), "{name:?}");
        }
    }
    let known = wrong(layout);
    if let Some(new) = wrong(&after).difference(&known).next() {
        panic!("{new:?} is new");
    }
}

/// Some blobs go or get a wrong bit: with the layout as it was everything comes back.
fn mended(whole: &Memory, which: usize, step: u8, absent: bool) {
    if !errors(whole).is_empty() {
        return;
    }
    let mut layout = whole.clone();
    let hurt: Vec<Digest> = whole.blobs.keys().skip(which % 16).step_by(usize::from(step % 8) + 1).cloned().collect();
    for digest in hurt {
        match absent {
            true => drop(layout.blobs.remove(&digest)),
            false => layout.blobs.get_mut(&digest).into_iter().flatten().take(1).for_each(|byte| *byte ^= 1),
        }
    }
    let options = fsck::Options { complete: true, ..EXAMINED };
    let examined = |layout: &Memory| -> Examination { fsck::examine(layout, options, &Unwatched).unwrap() };
    let (mut examination, mut tried, mut after) = (examined(&layout), Tried::default(), layout.clone());
    loop {
        let repair = repair::plan(&examination, &layout, &[whole], &tried, &Unwatched).unwrap();
        tried.begin(&repair);
        if repair.is_empty() {
            break;
        }
        for Blob { digest, size } in repair.take.into_iter().flatten() {
            let bytes = checked::read(whole, &digest, u64::MAX).unwrap().unwrap();
            after.blobs.insert(digest.clone(), bytes);
            tried.staged(Blob { digest, size });
        }
    }
    examination.mended(&tried.order(), tried.changes_the_graph().then_some(&after), &Unwatched).unwrap();
    let (told, seen) = (examination.report(), examined(&after).report());
    assert_eq!(told, seen, "what is told after mending is what a new look tells");
    // What something refers to is not needed, so it may still not be here.
    let known = examined(whole).report().problems;
    let amiss = |problem: &&Problem| problem.severity == Severity::Error && !known.contains(problem);
    if let Some(left) = seen.problems.iter().find(amiss) {
        panic!("{left:?} is not mended");
    }
}
