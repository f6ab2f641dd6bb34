//! Bytes as a drawing of a layout, in all dialects: what is exported comes in as it was, a sweep takes nothing that is
//! needed, and nothing is wrong afterwards that was not wrong before.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ocistow_graph::convert::{Family, convert};
use ocistow_graph::fsck::{self, Problem, Severity};
use ocistow_graph::resolve::{Asked, resolve_in};
use ocistow_graph::sweep::{self, sweep};
use ocistow_graph::{Dialect, Graph, Keeper, Load, Reach, Request, import, plan};
use ocistow_layout::archive::Compression;
use ocistow_layout::cabinet::Cabinet;
use ocistow_layout::edit::apply;
use ocistow_layout::holdings::Lying;
use ocistow_layout::medium::Disk;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Blob, Digest, Kind, Source, Unwatched, checked};
use ocistow_testkit::{draw, to_dir};

use crate::kept::tree;
use crate::{LOAD, carried, scratch};

/// The most lines drawn: what takes more to go wrong takes too long to be found.
pub const MAX_STEPS: usize = 20;

/// The body: one byte of flags, then three for each line of the drawing.
pub fn run(bytes: &[u8]) {
    let Some((flags, steps)) = bytes.split_first() else { return };
    let steps = &steps[..steps.len().min(3 * MAX_STEPS)];
    let flag = |n: u8| flags >> n & 1 == 1;
    let world = draw(&drawing(steps.as_chunks().0));
    let layout = &world.memory;
    let graph = Graph::load(layout, LOAD, &Unwatched).unwrap();
    crosses(layout, &graph);
    let mut request = Request { referrers: flag(0), include_subject: flag(1), ..Request::default() };
    if flag(2) {
        request.platforms = vec!["linux/arm64".parse().unwrap()];
    }
    if flag(3) {
        request.targets = resolve_in(&graph, layout, &Asked::Name("t0".into(), None)).into_iter().collect();
    }
    part(layout, &graph, &request);
    if flag(4) {
        swept(layout, flag(5));
    }
    if flag(6) {
        converted(layout, &graph, flag(7));
    }
    if flag(7) {
        near(layout, &graph);
    }
}

/// Lines about what stands above them: images and indexes of both families, artifacts, referrers in every dialect;
/// hidden, absent and damaged ones.
pub fn drawing(steps: &[[u8; 3]]) -> String {
    let mut text = String::from("image m0:t0 = base [linux/amd64]\n");
    let (mut signed, mut spoiled) = (BTreeSet::new(), BTreeSet::new());
    for (n, [what, one, other]) in steps.iter().enumerate().map(|(n, step)| (n + 1, step)) {
        let pick = |which: u8| format!("m{}", usize::from(which) % n);
        let (one, two) = (pick(*one), pick(*other));
        let tag = if other & 0x80 == 0 { String::new() } else { format!(":t{n}") };
        let sha = if *what & 0x80 == 0 { "" } else { "sha512 " };
        let platform = ["", " [linux/amd64]", " [linux/arm64/v8]", " [windows/amd64]"][usize::from(*other >> 4 & 3)];
        let mut extra = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        let line = match what & 0x1f {
            0 => format!("{sha}image m{n}{tag} = base + own{n}{platform}"),
            1 => format!("{sha}image m{n}{tag} -> {one} = own{n}{platform}"),
            2 => format!("{sha}docker m{n}{tag} = docker-base + own{n}{platform}"),
            3 => format!("{sha}index m{n}{tag} = {one}, {two} {{n={n}}}"),
            4 => format!("{sha}list m{n}{tag} = {one} {{n={n}}}"),
            5 => format!("{sha}index m{n}{tag} -> {one} = {two} {{n={n}}}"),
            6 => format!("{sha}artifact m{n}{tag} : application/x.{n}"),
            7 | 8 => format!("{sha}refer m{n}{tag} -> {one} : application/x.{n} {{k={n}}}"),
            9 => format!("{sha}refer m{n} -> {one} : application/x.{n}\nhidden m{n}"),
            10 => format!("containerd m{n}{tag} -> {one} : application/x.{n}"),
            11 => format!("attest m{n} -> {one}\nindex i{n}{tag} = {one}, m{n}"),
            12 => format!("refer m{n} -> {one} : application/x.sig {{k={n}}}\nfallback {one} = m{n}"),
            13 => format!("refer m{n} -> {one} : application/x.sig {{k={n}}}\nolareg {one} = m{n}"),
            14 => {
                spoiled.insert(format!("m{n}"));
                format!("ghost m{n}")
            }
            15 => format!("image m{n}{tag} = own{n}\nabsent m{n}.config"),
            16 => format!("image m{n}{tag} = own{n}\nabsent own{n}"),
            17 => format!("image m{n} = own{n}\nhidden m{n}"),
            18 => format!("refer m{n} -> {one} : application/x.{n}\nentry m{n}\nfallback {two} = {one}"),
            kind => {
                match kind {
                    19 => extra(format!("tag {one} as again{n}")),
                    20 => extra(format!("tag {one} as v{n} in example.com/app:v{n}")),
                    21 => extra(format!("name {one} as example.com/lib/app:v{n}")),
                    22 => extra(format!("entry {one}")),
                    23 => {
                        let suffix = ["sig", "att", "sbom"][usize::from(*other % 3)];
                        if signed.insert((one.clone(), suffix)) {
                            extra(format!("cosign {one}.{suffix}"));
                        }
                    }
                    // One name for several digests.
                    24 => extra(format!("tag {one} as t0")),
                    25 if spoiled.insert(one.clone()) => extra(format!("absent {one}")),
                    26 if spoiled.insert(one.clone()) => extra(format!("damage {one}")),
                    27 if spoiled.insert(one.clone()) => extra(format!("cut {one}")),
                    _ => {}
                }
                // Every number has a thing.
                format!("file m{n}")
            }
        };
        extra(line);
    }
    text
}

/// What is found by what is kept is what is found by reading everything.
fn near(layout: &Memory, whole: &Graph) {
    let (path, cache) = (scratch::path("layout"), scratch::path("cache"));
    to_dir(layout, &path).unwrap();
    let source = ocistow_layout::open(&path, &Unwatched).unwrap();
    let keeper = Keeper::new(Cabinet::of(&path, Some(&cache), &Disk)).always();
    let reaches =
        [Reach::Itself, Reach::Referrers { levels: 60, children: true }, Reach::Everything { subjects: true }];
    for (digest, reach) in whole.nodes().into_keys().zip(reaches.into_iter().cycle()) {
        let asked = [Asked::Digest(digest.clone())];
        let near = Graph::near(&*source, &asked, reach, &keeper, LOAD, &Unwatched).unwrap();
        assert_eq!(near.node(digest), whole.node(digest), "{digest}");
        assert_eq!(near.tags_of(digest), whole.tags_of(digest), "{digest}");
        if reach != Reach::Itself {
            assert_eq!(tree(&near, digest), tree(whole, digest), "{digest} {reach:?}");
        }
    }
}

/// How layouts are examined.
pub const EXAMINED: fsck::Options = fsck::Options { threads: 1, archive: false, complete: false, allow_missing: false };

/// Errors that examining a layout finds.
pub fn errors(layout: &dyn Source) -> BTreeSet<Problem> {
    let report = fsck::examine(layout, EXAMINED, &Unwatched).unwrap().report();
    assert!(report.unread.is_empty());
    report.problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect()
}

/// Everything goes into an archive and comes out in an empty layout: the same entries, blobs and edges.
fn crosses(layout: &Memory, graph: &Graph) {
    let plan = match carried::planned(layout) {
        Ok(plan) => plan,
        Err(why) => return assert_eq!(why.kind(), Kind::NotFound, "{}", why.chain()),
    };
    if plan.verdict(true, false).is_err() {
        return;
    }
    let Ok(bytes) = carried::written(layout, &plan, Compression::None) else {
        // Then a blob is damaged that no manifest is.
        assert!(!errors(layout).is_empty(), "nothing is wrong, and it could not be written");
        return;
    };
    let path = scratch::file("bundle", &bytes);
    let bundle = ocistow_layout::open(&path, &Unwatched).unwrap();
    carried::settled(layout, &plan, &*bundle);
    let arriving = carried::planned(&*bundle).unwrap();
    let target = entered(&*bundle, &arriving, &Memory::default(), &[]);

    // The same entries, but for lists of referrers, which are made new where they were not complete.
    let list = |graph: &Graph, at: usize| {
        graph
            .lists()
            .iter()
            .any(|list| graph.index().entries()[at].descriptor(at).is_ok_and(|entry| entry.digest == list.digest))
    };
    let entries = |graph: &Graph| -> BTreeSet<_> {
        let entries = graph.index().entries().iter().enumerate().filter(|(at, _)| !list(graph, *at));
        entries.map(|(at, entry)| (entry.pair.clone(), entry.descriptor(at).unwrap().digest.clone())).collect()
    };
    let there = Graph::load(&target, LOAD, &Unwatched).unwrap();
    let (before, after) = (entries(graph), entries(&there));
    let tagged = |entries: &BTreeSet<(ocistow_layout::name::Pair, Digest)>| {
        entries.iter().filter(|(pair, _)| !pair.is_empty()).cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(tagged(&before), tagged(&after), "names");
    let digests = |entries: &BTreeSet<(_, Digest)>| entries.iter().map(|(_, digest)| digest.clone()).collect();
    let (before, after): (BTreeSet<Digest>, BTreeSet<Digest>) = (digests(&before), digests(&after));
    assert_eq!(before, after, "entries");
    assert_eq!(edges(graph), edges(&there), "edges");
    for (digest, bytes) in &target.blobs {
        assert!(layout.blobs.get(digest).is_none_or(|own| own == bytes), "{digest} has changed");
    }
    let known = errors(layout);
    if let Some(new) = errors(&target).difference(&known).next() {
        panic!("{new:?} is new");
    }
    // What is there already changes nothing.
    assert_eq!(entered(&*bundle, &arriving, &target, &[]), target, "once more");
}

/// Who refers to whom, wherever the referrer is there: the subject first.
pub fn edges(graph: &Graph) -> BTreeSet<(Digest, Digest)> {
    let there = graph.edges().filter(|edge| graph.facts(&edge.referrer).is_some());
    there.map(|edge| (edge.subject.clone(), edge.referrer.clone())).collect()
}

/// A layout with a bundle in it, some of it under other names.
pub fn entered(
    bundle: &dyn Source,
    plan: &ocistow_graph::Plan,
    target: &Memory,
    renames: &[(String, String)],
) -> Memory {
    let graph = Graph::load(bundle, LOAD, &Unwatched).unwrap();
    let import = import(plan, &graph, target, renames).unwrap();
    let mut target = target.clone();
    for blob in plan.blobs_into(&import) {
        let made = import.inline.get(&blob.digest).or(plan.inline.get(&blob.digest));
        let bytes = made.cloned().unwrap_or_else(|| checked::read(bundle, &blob.digest, u64::MAX).unwrap().unwrap());
        target.blobs.insert(blob.digest, bytes);
    }
    target.index = apply(&target.index().unwrap(), &import.edits).unwrap();
    target
}

/// Whatever part is asked for: the bundle is sound, and edges between things carried are still there.
fn part(layout: &Memory, graph: &Graph, request: &Request) {
    let plan = match plan::export(graph, layout, request) {
        Ok(plan) => plan,
        Err(why) => return assert!(matches!(why.kind(), Kind::NotFound | Kind::Usage), "{}", why.chain()),
    };
    let again = plan::export(graph, layout, request).unwrap();
    assert_eq!(plan, again, "planning again gives the same");
    if plan.verdict(true, false).is_err() {
        return;
    }
    let Some(bundle) = carried::in_memory(layout, &plan) else { return };
    let again = carried::planned(&bundle).unwrap();
    assert_eq!(again.bundle(), plan.bundle(), "a bundle makes itself again");
    let after = Graph::load(&bundle, LOAD, &Unwatched).unwrap();
    for edge in graph.edges().filter(|_| request.referrers) {
        if after.facts(&edge.subject).is_some() && after.facts(&edge.referrer).is_some() {
            let kept = after.referrers(&edge.subject).iter().any(|kept| kept.referrer == edge.referrer);
            assert!(kept, "{edge:?} is lost");
        }
    }
    let known = errors(layout);
    if let Some(new) = errors(&bundle).difference(&known).next() {
        panic!("{new:?} is new in a part");
    }
}

/// A sweep takes nothing that a name reaches, nothing new is wrong afterwards, and once is enough.
fn swept(layout: &Memory, prune: bool) {
    let scan = Load { scan_blobs: true, ..LOAD };
    let Some(left) = after_sweep(layout, prune) else { return };
    let (before, after) =
        (Graph::load(layout, scan, &Unwatched).unwrap(), Graph::load(&left, scan, &Unwatched).unwrap());
    let mut live: Vec<Digest> = Vec::new();
    for (at, entry) in before.index().entries().iter().enumerate() {
        let digest = &entry.descriptor(at).unwrap().digest;
        let stays = after.index().entries().iter().any(|kept| kept.descriptor(0).unwrap().digest == *digest);
        assert!(stays || !entry.tagged(), "a name is gone");
        live.extend(stays.then(|| digest.clone()));
    }
    let mut met = BTreeSet::new();
    while let Some(digest) = live.pop() {
        if !layout.blobs.contains_key(&digest) || !met.insert(digest.clone()) {
            continue;
        }
        assert!(left.blobs.contains_key(&digest), "{digest} is gone");
        live.extend(before.facts(&digest).into_iter().flat_map(|facts| facts.parts).map(|part| part.descriptor.digest));
        // An attestation is the matter of the index that says whose it is, unless it says so itself.
        let own = before.referrers(&digest).iter().filter(|edge| {
            let itself = before.facts(&edge.referrer).is_some_and(|facts| facts.subject.is_some());
            itself || edge.dialect != Dialect::Attestation
        });
        live.extend(own.map(|edge| edge.referrer.clone()));
    }
    let known = errors(layout);
    if let Some(new) = errors(&left).difference(&known).next() {
        panic!("{new:?} is new");
    }
    assert_eq!(after_sweep(&left, prune).as_ref(), Some(&left), "once was not enough");
}

/// What a sweep leaves; `None` where it refuses.
fn after_sweep(layout: &Memory, prune: bool) -> Option<Memory> {
    let lying = |(digest, bytes): (&Digest, &Vec<u8>)| Lying {
        blob: Blob { digest: digest.clone(), size: bytes.len() as u64 },
        spared: None,
    };
    let blobs: Vec<Lying> = layout.blobs.iter().map(lying).collect();
    let graph = Graph::load(layout, LOAD, &Unwatched).unwrap();
    let swept = match sweep(&graph, layout, &blobs, sweep::Options { prune, threads: 1 }, &Unwatched) {
        Ok(swept) => swept,
        Err(why) => {
            assert_eq!(why.kind(), Kind::Integrity, "{}", why.chain());
            return None;
        }
    };
    assert_eq!(swept.kept.blobs + swept.removed.len() as u64, layout.blobs.len() as u64, "each stays or goes");
    let mut left = layout.clone();
    left.index = apply(&layout.index().unwrap(), &swept.edits).unwrap();
    swept.removed.iter().for_each(|blob| drop(left.blobs.remove(&blob.digest)));
    Some(left)
}

/// Whatever has a name is made anew in the other form, or that is refused; and back, where that goes.
fn converted(layout: &Memory, graph: &Graph, referrers: bool) {
    for (at, entry) in graph.index().entries().iter().enumerate().take(6) {
        let Ok(target) = resolve_in(graph, layout, &Asked::Place(at)) else { continue };
        for (there, back) in [(Family::Docker, Family::Oci), (Family::Oci, Family::Docker)] {
            let Some((other, new)) = anew(layout, graph, &target, there, referrers) else { continue };
            assert_eq!(anew(layout, graph, &target, there, referrers).map(|(_, digest)| digest), Some(new.clone()));
            let known = errors(layout);
            let added: String = errors(&other).difference(&known).fold(String::new(), |mut text, new| {
                let _ = writeln!(text, "{new:?}");
                text
            });
            // What a copy needs and has not is told of the copy, too.
            assert!(!known.is_empty() || added.is_empty(), "{added}");
            let there_now = Graph::load(&other, LOAD, &Unwatched).unwrap();
            let Ok(target) = resolve_in(&there_now, &other, &Asked::Digest(new.clone())) else {
                panic!("what was made of entry {at} ({entry:?}) is not there")
            };
            if let Some((back, again)) = anew(&other, &there_now, &target, back, false) {
                let back = Graph::load(&back, LOAD, &Unwatched).unwrap();
                let content = |graph: &Graph, digest: &Digest| -> Option<Vec<(Digest, u64)>> {
                    let leaves = graph.facts(digest)?.parts.into_iter().filter(|part| !part.is_manifest());
                    Some(leaves.map(|part| (part.descriptor.digest, part.descriptor.size)).collect())
                };
                assert_eq!(content(&back, &again), content(&there_now, &new), "there and back");
            }
        }
    }
}

/// The layout with what was made, and its digest.
fn anew(
    layout: &Memory,
    graph: &Graph,
    target: &ocistow_graph::Target,
    family: Family,
    referrers: bool,
) -> Option<(Memory, Digest)> {
    let conversion = match convert(graph, layout, target, family, referrers) {
        Ok(conversion) => conversion,
        Err(why) => {
            assert_ne!(why.kind(), Kind::NotFound, "{}", why.chain());
            return None;
        }
    };
    let entering = conversion.enter(Some("anew"), layout).ok()?;
    let mut layout = layout.clone();
    layout.index = apply(&layout.index().unwrap(), &entering.import.edits).unwrap();
    for (blob, bytes) in entering.written {
        assert_eq!((blob.digest.same_of(&bytes).as_ref(), blob.size), (Some(&blob.digest), bytes.len() as u64));
        layout.blobs.insert(blob.digest, bytes);
    }
    Some((layout, conversion.new.digest.clone()))
}
