//! How damaged layouts are mended.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::collections::{BTreeMap, BTreeSet};

use ocistow_graph::fsck::{Examination, Options, ProblemKind, Report, examine};
use ocistow_graph::repair::{self, Remains, Repair, Tried};
use ocistow_layout::memory::Memory;
use ocistow_layout::{Blob, Digest, Kind, Source, Unwatched, checked};
use ocistow_testkit::{Drawing, OnePass, Unreadable, draw, fixtures, odd};

const PLAIN: Options = Options { threads: 2, archive: false, complete: false, allow_missing: false };
const COMPLETE: Options = Options { complete: true, ..PLAIN };

const WORLD: &str = "image amd = base + top [linux/amd64]
                     image arm = base + other [linux/arm64]
                     index app:1 = amd, arm
                     image more:2 = base
                     refer sig -> app = proof : application/x.sig
                     refer note -> more : application/x.note
                     fallback more = note";

fn examined(layout: &Memory, options: Options) -> Examination {
    examine(layout, options, &Unwatched).unwrap()
}

fn planned(layout: &Memory, others: &[&dyn Source], options: Options, tried: &Tried) -> Repair {
    repair::plan(&examined(layout, options), layout, others, tried, &Unwatched).unwrap()
}

/// The words for what is taken from each source.
fn taken(world: &Drawing, repair: &Repair) -> Vec<String> {
    repair.take.iter().map(|take| world.words(take.iter().map(|blob| &blob.digest))).collect()
}

/// What lacks these, or has them with a wrong bit.
fn hurt(world: &Drawing, absent: &[&str], damaged: &[&str]) -> Memory {
    let mut memory = world.memory.clone();
    for name in absent {
        memory.blobs.remove(&world.digest(name)).unwrap();
    }
    for name in damaged {
        memory.blobs.get_mut(&world.digest(name)).unwrap()[0] ^= 1;
    }
    memory
}

/// Mends in memory as far as that goes: the layout, what is said of it then, and what is not mended.
fn mended(layout: &Memory, others: &[&dyn Source], options: Options) -> (Memory, Report, BTreeMap<Digest, Remains>) {
    let mut examination = examined(layout, options);
    let mut after = layout.clone();
    let mut tried = Tried::default();
    let remains = loop {
        let repair = repair::plan(&examination, layout, others, &tried, &Unwatched).unwrap();
        tried.begin(&repair);
        if repair.is_empty() {
            break repair.remains;
        }
        for (place, take) in repair.take.iter().enumerate() {
            let want: BTreeSet<Digest> = take.iter().map(|blob| blob.digest.clone()).collect();
            let visited = others[place].visit(&want, &mut |Blob { digest, size }, content| {
                match checked::whole(&digest, content, u64::MAX) {
                    Ok(bytes) => {
                        after.blobs.insert(digest.clone(), bytes);
                        tried.staged(Blob { digest, size });
                    }
                    Err(why) => tried.refused(digest, place, why.chain()),
                }
                Ok(())
            });
            visited.unwrap();
        }
    };
    let staged = tried.order();
    examination.mended(&staged, tried.changes_the_graph().then_some(&after), &Unwatched).unwrap();
    (after, examination.report(), remains)
}

#[test]
fn what_is_right_is_left_alone() {
    let world = draw(WORLD);
    assert!(planned(&world.memory, &[&world.memory], COMPLETE, &Tried::default()).is_empty());
}

/// One blob after the other, and each pair of them, gone or damaged: what is said after mending is what a new look says.
#[test]
fn whatever_is_missing_or_damaged_comes_back_and_is_not_looked_at_twice() {
    let world = draw(WORLD);
    let whole = examined(&world.memory, PLAIN).report();
    assert_eq!(whole.problems, []);
    let names =
        ["amd", "arm", "app", "more", "sig", "note", "more.fallback", "base", "top", "proof", "amd.config"].as_slice();
    let ways = |name| [(vec![name], vec![]), (vec![], vec![name])];
    for one in names.iter().copied().flat_map(ways) {
        for other in names.iter().copied().flat_map(ways) {
            let absent: BTreeSet<&str> = one.0.iter().chain(&other.0).copied().collect();
            let damaged: BTreeSet<&str> = one.1.iter().chain(&other.1).copied().collect();
            if !absent.is_disjoint(&damaged) {
                continue;
            }
            let (absent, damaged) = (Vec::from_iter(absent), Vec::from_iter(damaged));
            let layout = hurt(&world, &absent, &damaged);
            for good in [&world.memory as &dyn Source, &OnePass(world.memory.clone())] {
                let (after, report, remains) = mended(&layout, &[good], COMPLETE);
                assert_eq!(report, examined(&after, COMPLETE).report(), "-{absent:?} x{damaged:?}");
                assert_eq!((report, remains), (whole.clone(), BTreeMap::new()), "-{absent:?} x{damaged:?}");
                assert_eq!(after, world.memory, "-{absent:?} x{damaged:?}");
            }
        }
    }
}

#[test]
fn a_manifest_that_comes_back_shows_what_else_is_missing() {
    let world = draw(WORLD);
    let layout = hurt(&world, &["app", "amd", "amd.config", "top"], &[]);
    // The index is missing; its children and their parts are not known of, yet.
    let repair = planned(&layout, &[&world.memory], COMPLETE, &Tried::default());
    assert_eq!(taken(&world, &repair), ["amd amd.config app top"]);
    assert_eq!(world.words(&repair.parts), "amd.config top");
    // A child that lies there was not led to before; what it needs is.
    let layout = hurt(&world, &["top"], &["app"]);
    assert_eq!(taken(&world, &planned(&layout, &[&world.memory], PLAIN, &Tried::default())), ["app top"]);
}

/// MANIFEST-17: what nobody calls a manifest brings what it needs where it turns out to be one.
#[test]
fn what_comes_back_is_what_it_reads_as() {
    for nothing in ["", "application/json"] {
        for (entries, children) in [([nothing].as_slice(), [].as_slice()), (&[], &[nothing])] {
            let (whole, digest) = odd::called(fixtures::IMG_AMD64.media_type, entries, children);
            let mut layout = whole.clone();
            layout.blobs.remove(&digest);
            layout.blobs.remove(&fixtures::EMPTY_JSON.digest());
            for good in [&whole as &dyn Source, &OnePass(whole.clone())] {
                let (after, report, remains) = mended(&layout, &[good], COMPLETE);
                assert!(after == whole && remains.is_empty(), "{entries:?} {children:?}");
                assert_eq!(report, examined(&whole, COMPLETE).report());
            }
        }
    }
}

#[test]
fn absent_children_come_only_when_the_layout_is_to_be_complete() {
    let world = draw(WORLD);
    let layout = hurt(&world, &["arm", "arm.config", "other"], &["app"]);
    assert_eq!(taken(&world, &planned(&layout, &[&world.memory], PLAIN, &Tried::default())), ["app"]);
    let complete = planned(&layout, &[&world.memory], COMPLETE, &Tried::default());
    assert_eq!(taken(&world, &complete), ["app arm arm.config other"]);
    // One that is there and damaged is not absent.
    let layout = hurt(&world, &[], &["arm"]);
    assert_eq!(taken(&world, &planned(&layout, &[&world.memory], PLAIN, &Tried::default())), ["arm"]);
}

#[test]
fn the_first_source_that_has_something_right_gives_it() {
    let world = draw(WORLD);
    let layout = hurt(&world, &["app", "base"], &["top"]);
    let some = hurt(&world, &["base"], &[]);
    let repair = planned(&layout, &[&some, &world.memory], PLAIN, &Tried::default());
    assert_eq!(taken(&world, &repair), ["app top", "base"]);
    // A manifest is read before it is taken: one that is wrong is refused at once.
    let lying = hurt(&world, &[], &["app", "base"]);
    for lying in [&lying as &dyn Source, &OnePass(lying.clone())] {
        let repair = planned(&layout, &[lying, &world.memory], PLAIN, &Tried::default());
        assert_eq!(taken(&world, &repair), ["base top", "app"]);
        assert_eq!(Vec::from_iter(repair.refused.keys().cloned()), [(world.digest("app"), 0)]);
    }
    // A blob shows it when it is staged.
    let (after, report, remains) = mended(&layout, &[&lying, &world.memory], PLAIN);
    assert_eq!((after, report.ok(), remains), (world.memory.clone(), true, BTreeMap::new()));
    let (_, report, remains) = mended(&layout, &[&lying], PLAIN);
    assert_eq!(report.verdict().unwrap_err().kind(), Kind::Incomplete);
    let refused = BTreeMap::from(["app", "base"].map(|name| (world.digest(name), Remains::Refused)));
    assert_eq!(remains, refused);
}

#[test]
fn what_the_layouts_disk_does_not_give_is_taken_from_elsewhere() {
    let world = draw(WORLD);
    let names = ["app", "base"].map(|name| world.digest(name));
    let layout = Unreadable { memory: world.memory.clone(), blobs: BTreeSet::from(names) };
    let examination = examine(&layout, PLAIN, &Unwatched).unwrap();
    assert_eq!(examination.report().verdict().unwrap_err().kind(), Kind::Failed);
    let repair = repair::plan(&examination, &layout, &[&world.memory], &Tried::default(), &Unwatched).unwrap();
    assert_eq!(taken(&world, &repair), ["app base"]);
    // Nor is anything taken from a disk that does not give it.
    let lacking = hurt(&world, &["app"], &[]);
    let repair = planned(&lacking, &[&layout, &world.memory], PLAIN, &Tried::default());
    assert_eq!(taken(&world, &repair), ["", "app"]);
}

#[test]
fn what_nobody_has_right_remains_with_its_reason() {
    let world = draw("image app:1 = base + top + lost");
    let layout = hurt(&world, &["base", "top", "lost", "app.config"], &[]);
    let mut other = hurt(&world, &["lost"], &[]);
    other.blobs.get_mut(&world.digest("top")).unwrap().push(0);
    let mut tried = Tried::default();
    tried.blocked(world.digest("base"), "a directory lies there".into());
    let repair = planned(&layout, &[&other], PLAIN, &tried);
    assert_eq!(taken(&world, &repair), ["app.config"]);
    let expected = [
        ("base", Remains::Blocked("a directory lies there".into())),
        ("lost", Remains::Nowhere),
        ("top", Remains::Refused),
    ];
    assert_eq!(repair.remains, expected.map(|(name, why)| (world.digest(name), why)).into());
}

/// DIGEST-5: a digest nobody here can compute proves nothing.
#[test]
fn what_cannot_be_verified_is_never_taken() {
    let digest: Digest = "md5:d41d8cd98f00b204e9800998ecf8427e".parse().unwrap();
    let entry = ocistow_layout::Descriptor::new("text/plain", digest.clone(), 5);
    let index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entry.text());
    let layout = Memory { index: index.into_bytes(), ..Memory::default() };
    let mut other = layout.clone();
    other.blobs.insert(digest.clone(), b"hello".to_vec());
    let repair = planned(&layout, &[&other], PLAIN, &Tried::default());
    assert!(repair.is_empty());
    assert_eq!(repair.remains, [(digest, Remains::Unverifiable)].into());
}

#[test]
fn what_need_not_be_there_is_not_brought() {
    let world = draw(
        "layer foreign : application/vnd.oci.image.layer.nondistributable.v1.tar
         image app:1 = foreign
         refer sig -> app : application/x.sig
         fallback app = sig
         refer hidden -> app = secret : application/x.sig
         hidden hidden",
    );
    let layout = hurt(&world, &["foreign", "sig", "secret"], &[]);
    let repair = planned(&layout, &[&world.memory], PLAIN, &Tried::default());
    assert_eq!((repair.is_empty(), repair.remains), (true, BTreeMap::new()));
    let repair = planned(&layout, &[&world.memory], COMPLETE, &Tried::default());
    assert_eq!(taken(&world, &repair), ["sig"], "a list names it");
    // But what is damaged is mended, wherever it lies.
    let layout = hurt(&world, &[], &["foreign", "secret"]);
    let repair = planned(&layout, &[&world.memory], PLAIN, &Tried::default());
    assert_eq!(taken(&world, &repair), ["foreign secret"]);
}

#[test]
fn without_an_index_nobody_knows_what_is_needed() {
    let world = draw(WORLD);
    let mut layout = hurt(&world, &["top"], &["base"]);
    layout.index = b"{".to_vec();
    assert_eq!(
        planned(&layout, &[&world.memory], COMPLETE, &Tried::default()),
        Repair { take: vec![vec![]], ..Repair::default() }
    );
    let (after, report, _) = mended(&layout, &[&world.memory], PLAIN);
    assert_eq!(after, layout);
    assert!(report.problems.iter().any(|problem| problem.kind == ProblemKind::BadIndex));
}
