//! What layouts take, and for whom.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use ocistow_graph::du::{Usage, usage};
use ocistow_graph::fsck::{self, ProblemKind, examine};
use ocistow_graph::resolve::{Asked, resolve};
use ocistow_graph::{Graph, Load, Request, plan};
use ocistow_layout::memory::Memory;
use ocistow_layout::{Count, Digest, Unwatched};
use ocistow_testkit::{Drawing, draw, odd, world_of};

const PLAIN: Load = Load { threads: 1, scan_blobs: false };

fn usage_of(layout: &Memory) -> Usage {
    usage(&Graph::load(layout, PLAIN, &Unwatched).unwrap(), layout).unwrap()
}

/// What the drawing says that things with these words take.
fn sum(world: &Drawing, words: &str) -> u64 {
    words.split_whitespace().map(|word| world.descriptor(word).size).sum()
}

/// Of each root, by its tag: total, unique, shared.
fn rows(layout: &Memory) -> BTreeMap<String, [u64; 3]> {
    let graph = Graph::load(layout, PLAIN, &Unwatched).unwrap();
    let rows = usage_of(layout).roots.into_iter();
    let tag = |place: usize| graph.index().entries()[place].pair.tag().unwrap_or("-").to_owned();
    rows.map(|row| (tag(row.place), [row.total.bytes, row.unique.bytes, row.shared().bytes])).collect()
}

/// Of a sum that is told apart by a condition, the words for what is in it.
fn words(world: &Drawing, usage: &Usage, which: impl Fn(&ocistow_graph::du::BlobUsage) -> bool) -> String {
    world.words(usage.blobs.iter().filter(|blob| which(blob)).map(|blob| &blob.digest))
}

#[test]
fn what_several_roots_need_is_shared_and_the_rest_is_their_own() {
    let world = draw("layer base 5000\nimage a:a = base + one\nimage b:b = base + two\nimage c:c = other");
    let rows = rows(&world.memory);
    let (own, shared) = (sum(&world, "a a.config one"), sum(&world, "base"));
    assert_eq!(rows["a"], [own + shared, own, shared]);
    assert_eq!(rows["c"], [sum(&world, "c c.config other"), sum(&world, "c c.config other"), 0]);
    let usage = usage_of(&world.memory);
    assert_eq!(usage.total.bytes, world.memory.blobs.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    assert_eq!((usage.total.blobs, usage.unreachable, usage.rootless), (10, Count::default(), Count::default()));
    assert_eq!(words(&world, &usage, |blob| blob.roots == 2), "base");
}

#[test]
fn tags_of_one_digest_share_nothing_with_each_other() {
    let world = draw("image a:a = base\ntag a as again");
    let rows = rows(&world.memory);
    let all = sum(&world, "a a.config base");
    assert_eq!((rows["a"], rows["again"]), ([all, all, 0], [all, all, 0]));
    assert_eq!(usage_of(&world.memory).total.bytes, all);
}

#[test]
fn referrers_and_lists_of_them_go_with_their_subject() {
    let world = draw(
        "image a:a = base
         image b:b = other
         refer sbom -> a : application/x.sbom
         refer sig:named -> sbom : application/x.sig
         fallback a = sbom
         cosign b.sig",
    );
    let usage = usage_of(&world.memory);
    assert_eq!(usage.roots.len(), 2, "a referrer with a name is no root");
    let a = "a a.config base sbom sbom.file sig sig.file a.fallback";
    let empty = 2;
    let rows = rows(&world.memory);
    assert_eq!(rows["a"], [sum(&world, a) + empty, sum(&world, a) + empty, 0]);
    let b = "b b.config other b.sig b.sig.config b.sig.file";
    assert_eq!(rows["b"], [sum(&world, b), sum(&world, b), 0]);
    assert_eq!(usage.rootless, Count::default());
}

/// What waits for its subject is no root's; what a list names and does not refer there is not the subject's.
#[test]
fn what_goes_along_with_no_root_is_told_apart() {
    let world = draw(
        "image a:a = base
         ghost gone
         refer waits -> gone : application/x.sig
         refer other -> gone : application/x.sig
         fallback a = other",
    );
    let usage = usage_of(&world.memory);
    assert_eq!(rows(&world.memory)["a"][0], sum(&world, "a a.config base a.fallback"));
    let rootless = words(&world, &usage, |blob| blob.reached && blob.there && blob.roots == 0);
    assert!(rootless.starts_with("other other.file sha256:44136fa3"), "{rootless}");
    assert!(rootless.ends_with(" waits waits.file"), "{rootless}");
    assert_eq!(usage.rootless.bytes, sum(&world, "other other.file waits waits.file") + 2);
    assert_eq!(usage.absent, Count::default(), "nobody needs a subject");
}

#[test]
fn what_no_entry_leads_to_is_unreachable_a_referrer_too() {
    let world = draw("image a:a = base\nlayer lost\nrefer sig -> a : application/x.sig\nhidden sig");
    let usage = usage_of(&world.memory);
    let unreachable = words(&world, &usage, |blob| !blob.reached);
    assert!(unreachable.starts_with("lost sha256:44136fa3") && unreachable.ends_with(" sig sig.file"), "{unreachable}");
    assert_eq!(usage.unreachable.bytes, sum(&world, "lost sig sig.file") + 2);
    assert_eq!(rows(&world.memory)["a"][0], sum(&world, "a a.config base"));
}

/// LAYERS-12, DESCRIPTOR-9.
#[test]
fn what_is_absent_is_counted_by_what_is_said_of_it() {
    let world = draw(
        "layer foreign 900 : application/vnd.oci.image.layer.nondistributable.v1.tar
         image a:a = base + foreign
         image arm = base [linux/arm64]
         index x:x = a, arm
         ghost gone 777
         entry gone
         absent base
         absent foreign
         absent arm",
    );
    let usage = usage_of(&world.memory);
    assert_eq!(words(&world, &usage, |blob| !blob.there), "arm base gone");
    assert_eq!(usage.absent, Count { blobs: 3, bytes: sum(&world, "arm base gone") });
    assert_eq!(usage.total.bytes, sum(&world, "a a.config x"));
    assert_eq!(usage.unreachable.bytes, sum(&world, "arm.config"), "an absent manifest leads nowhere");

    let data =
        base64::engine::general_purpose::STANDARD.encode(&draw("image a = base").memory.blobs[&world.digest("base")]);
    let mut memory = world.memory.clone();
    let text = String::from_utf8(memory.blobs[&world.digest("a")].clone()).unwrap();
    let base = world.descriptor("base").text();
    let text = text.replace(base, &format!("{},\"data\":\"{data}\"}}", base.trim_end_matches('}')));
    let a = memory.add(text.as_bytes());
    let entry = world.descriptor("a").text().replace(&world.digest("a").to_string(), &a.to_string());
    let entry = entry.replace(&format!("\"size\":{}", world.descriptor("a").size), &format!("\"size\":{}", text.len()));
    memory.index = format!("{{\"schemaVersion\":2,\"manifests\":[{entry}]}}").into_bytes();
    let usage = usage_of(&memory);
    assert_eq!((usage.absent, usage.roots[0].total.blobs), (Count::default(), 2), "data is there and takes no file");
}

#[test]
fn what_cannot_be_read_is_told_and_what_it_needs_is_not_reached() {
    let world = draw("image a:a = base\nimage b:b = other\ndamage b");
    let usage = usage_of(&world.memory);
    assert_eq!(usage.broken.keys().collect::<Vec<_>>(), [&world.digest("b")]);
    assert_eq!(usage.roots[1].total, Count { blobs: 1, bytes: sum(&world, "b") });
    assert_eq!(words(&world, &usage, |blob| !blob.reached), "b.config other");
}

#[test]
fn entries_that_are_no_descriptors_and_null_lists_are_passed_over() {
    for layout in [odd::traversal(), odd::null(), odd::duplicate_tag(), odd::ambiguous(), odd::empty()] {
        let usage = usage_of(&layout);
        assert_eq!(usage.total.blobs + usage.unreachable.blobs, layout.blobs.len() as u64);
    }
}

/// DESCRIPTOR-3: any length may be claimed.
#[test]
fn claims_of_length_do_not_overflow() {
    let claim = |n: u32| format!("{{\"mediaType\":\"x/y\",\"digest\":\"sha256:{n:064x}\",\"size\":{}}}", i64::MAX);
    let claims: Vec<String> = (0..3).map(claim).collect();
    let index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", claims.join(","));
    let layout = Memory { index: index.into_bytes(), ..Memory::default() };
    assert_eq!(usage_of(&layout).absent, Count { blobs: 3, bytes: u64::MAX });
}

/// An index can have its subject as a child.
#[test]
fn circles_end() {
    let world = draw("image a = base\nindex x:x -> a = a\nindex y:y = a\nimage z:z = other");
    let rows = rows(&world.memory);
    let all = sum(&world, "a a.config base x");
    assert_eq!(rows.keys().map(String::as_str).collect::<Vec<_>>(), ["y", "z"], "x refers to a");
    assert_eq!(rows["y"][0], all + sum(&world, "y"));
}

/// What goes along with each root of a layout, by a walk for each.
fn walked(layout: &Memory) -> BTreeMap<Digest, BTreeSet<Digest>> {
    let graph = Graph::load(layout, PLAIN, &Unwatched).unwrap();
    let index = graph.index().descriptors().unwrap();
    let lists: BTreeSet<&Digest> = graph.lists().iter().map(|list| &list.digest).collect();
    let mut all = BTreeMap::new();
    for root in graph.roots() {
        let mut seen = BTreeSet::new();
        let mut stack = vec![index[root].digest.clone()];
        while let Some(digest) = stack.pop() {
            if !seen.insert(digest.clone()) || lists.contains(&digest) {
                continue;
            }
            let parts = graph.facts(&digest).into_iter().flat_map(|facts| facts.parts);
            stack.extend(parts.map(|part| part.descriptor.digest));
            stack.extend(graph.referrers(&digest).iter().map(|edge| edge.referrer.clone()));
            let about = graph.lists().iter().filter(|list| list.about.is(&digest));
            stack.extend(about.map(|list| list.digest.clone()));
        }
        seen.retain(|digest| layout.blobs.contains_key(digest));
        all.insert(index[root].digest.clone(), seen);
    }
    all
}

proptest::proptest! {
    /// Whatever is drawn, with blobs taken away: each root has what a walk finds, the sums add up, and `fsck`
    /// counts the same.
    #[test]
    fn the_sums_add_up(
        steps in proptest::collection::vec((0u8..7, 0usize..100), 0..12),
        gone in proptest::collection::vec(0usize..100, 0..3),
    ) {
        let mut layout = draw(&world_of(&steps)).memory;
        for gone in gone {
            let digest = layout.blobs.keys().nth(gone % layout.blobs.len()).unwrap().clone();
            layout.blobs.remove(&digest);
        }
        let bytes = |digests: &mut dyn Iterator<Item = &Digest>| digests.map(|it| layout.blobs[it].len() as u64).sum::<u64>();
        let usage = usage_of(&layout);
        let walked = walked(&layout);
        let graph = Graph::load(&layout, PLAIN, &Unwatched).unwrap();
        let mut unique = BTreeMap::new();
        for row in &usage.roots {
            let digest = &graph.index().descriptors().unwrap()[row.place].digest;
            let own = &walked[digest];
            let others: BTreeSet<&Digest> = walked.iter().filter(|(it, _)| *it != digest).flat_map(|(_, set)| set).collect();
            proptest::prop_assert_eq!(row.total, Count { blobs: own.len() as u64, bytes: bytes(&mut own.iter()) });
            let alone = bytes(&mut own.iter().filter(|it| !others.contains(it)));
            proptest::prop_assert_eq!((row.unique.bytes, row.shared().bytes), (alone, row.total.bytes - alone));
            unique.insert(digest, row.unique.bytes);
        }
        let all = bytes(&mut layout.blobs.keys());
        proptest::prop_assert_eq!(usage.total.bytes + usage.unreachable.bytes, all);
        proptest::prop_assert!(unique.values().sum::<u64>() + usage.rootless.bytes <= usage.total.bytes);

        let options = fsck::Options { threads: 1, archive: false, complete: false, allow_missing: false };
        let report = examine(&layout, options, &Unwatched).unwrap().report();
        let found = |kinds: &[ProblemKind]| {
            let found = report.problems.iter().filter(|problem| kinds.contains(&problem.kind));
            found.filter_map(|problem| problem.digest.clone()).collect::<BTreeSet<_>>().len() as u64
        };
        proptest::prop_assert_eq!(report.checked.bytes, all);
        proptest::prop_assert_eq!(usage.unreachable.blobs, found(&[ProblemKind::UnreachableBlob]));
        proptest::prop_assert_eq!(usage.absent.blobs, found(&[ProblemKind::MissingBlob, ProblemKind::AbsentChild]));
    }
}

#[test]
fn a_root_takes_what_export_would_carry_for_it() {
    let world = draw(
        "image amd = base [linux/amd64]
         attest prov -> amd
         image arm = base [linux/arm64]
         index app:1.0 = amd, arm, prov
         image lone:2.0 = base
         refer sbom -> app : application/x.sbom
         refer sig -> sbom : application/x.sig
         refer armsig -> arm : application/x.sig
         fallback arm = armsig
         cosign amd.sig",
    );
    let usage = usage_of(&world.memory);
    for (row, name) in usage.roots.iter().zip(["1.0", "2.0"]) {
        let target = resolve(&world.memory, &Asked::Name(name.into(), None), PLAIN, &Unwatched).unwrap();
        let request = Request { targets: vec![target], referrers: true, ..Request::default() };
        let graph = Graph::load(&world.memory, PLAIN, &Unwatched).unwrap();
        assert_eq!(row.total, plan::export(&graph, &world.memory, &request).unwrap().count(), "{name}");
    }
}
