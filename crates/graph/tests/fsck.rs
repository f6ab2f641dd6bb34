//! What is wrong with a layout.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use ocistow_graph::fsck::{Options, ProblemKind, ProblemKind::*, Report, Severity, examine};
use ocistow_graph::{Graph, Load, Request, plan};
use ocistow_layout::memory::Memory;
use ocistow_layout::{Kind, Source, Unwatched};
use ocistow_testkit::fixtures::*;
use ocistow_testkit::{draw, odd};

const PLAIN: Options = Options { threads: 2, archive: false, complete: false, allow_missing: false };

fn check(layout: &Memory, options: Options) -> Report {
    examine(layout, options, &Unwatched).expect("it can be examined")
}

fn kinds(layout: &Memory) -> Vec<(ProblemKind, Severity)> {
    let mut kinds: Vec<_> =
        check(layout, PLAIN).problems.iter().map(|problem| (problem.kind, problem.severity)).collect();
    kinds.dedup();
    kinds
}

type Case = (&'static str, Memory, &'static [(ProblemKind, Severity)]);

const ERROR: Severity = Severity::Error;
const WARNING: Severity = Severity::Warning;

#[test]
fn odd_layouts_have_the_findings_of_the_contract() {
    let cases: [Case; 18] = [
        ("C-EMPTY", odd::empty(), &[]),
        ("C-STRICT", odd::strict(), &[]),
        ("C-ALLREFS", odd::all_referrers(), &[(DanglingSubject, WARNING)]),
        ("C-STALE", odd::stale(), &[(StaleFallback, WARNING)]),
        ("C-COSIGN-BLOB", odd::cosign_blob(), &[(UnreachableBlob, WARNING), (UnlistedReferrer, WARNING)]),
        ("C-COSIGN-TAG", odd::cosign_tag(), &[]),
        ("C-TWO-LATEST", odd::two_latest(), &[(UnreachableBlob, WARNING)]),
        ("C-DUP-TAG", odd::duplicate_tag(), &[(DuplicateTag, WARNING), (UnreachableBlob, WARNING)]),
        ("C-NULL", odd::null(), &[(BadIndex, WARNING), (UnreachableBlob, WARNING)]),
        ("C-NOMT", odd::no_media_type(), &[]),
        ("C-SPARSE", odd::sparse(), &[(AbsentChild, WARNING), (UnreachableBlob, WARNING)]),
        ("C-CORRUPT", odd::corrupt(), &[(DigestMismatch, ERROR)]),
        ("C-CORRUPT cut", odd::cut(), &[(DigestMismatch, ERROR), (SizeMismatch, ERROR)]),
        ("C-AMBIG", odd::ambiguous(), &[(BadManifest, ERROR), (UnreachableBlob, WARNING)]),
        ("C-DOCKER", odd::docker(), &[]),
        ("C-NOSIZE", odd::no_subject_size(), &[(SubjectMismatch, WARNING)]),
        ("C-512", odd::sha512(), &[]),
        ("C-TRAVERSAL", odd::traversal(), &[(BadDigest, ERROR), (UnreachableBlob, WARNING)]),
    ];
    for (name, layout, expected) in cases {
        assert_eq!(kinds(&layout), expected, "{name}");
        let bad = expected.iter().any(|(_, severity)| *severity == ERROR);
        assert_eq!(
            check(&layout, PLAIN).verdict().map_err(|why| why.kind()),
            if bad { Err(Kind::Integrity) } else { Ok(()) }
        );
    }
}

#[test]
fn every_blob_is_hashed_and_counted() {
    let layout = odd::strict();
    let checked = check(&layout, PLAIN).checked;
    let bytes: usize = layout.blobs.values().map(Vec::len).sum();
    assert_eq!((checked.manifests, checked.blobs, checked.bytes), (4, 9, bytes as u64));
    let mut layout = odd::strict();
    let stray = layout.add(*b"nobody points here");
    layout.blobs.insert(stray.clone(), b"Nobody points here".to_vec());
    let wrong: Vec<_> = check(&layout, PLAIN).problems.into_iter().filter(|p| p.kind == DigestMismatch).collect();
    assert_eq!((wrong.len(), wrong[0].digest.as_ref(), wrong[0].path.clone()), (1, Some(&stray), Some(stray.path())));
}

#[test]
fn what_is_missing_is_5_and_can_be_allowed() {
    let world = draw("image a:1 = base\nabsent base");
    let report = check(&world.memory, PLAIN);
    assert_eq!(report.verdict().unwrap_err().kind(), Kind::Incomplete);
    assert_eq!(report.problems[0].from, Some(world.digest("a").to_string()));
    assert!(check(&world.memory, Options { allow_missing: true, ..PLAIN }).ok());
    let complete = Options { complete: true, ..PLAIN };
    assert_eq!(check(&odd::sparse(), complete).verdict().unwrap_err().kind(), Kind::Incomplete);
    let both = draw("image a:1 = base\nimage b:2 = more\nabsent base\ndamage more");
    assert_eq!(check(&both.memory, PLAIN).verdict().unwrap_err().kind(), Kind::Integrity);
}

#[test]
fn marker_index_and_layout_are_judged() {
    let wrong = |change: &dyn Fn(&mut Memory)| {
        let mut layout = odd::strict();
        change(&mut layout);
        kinds(&layout)
    };
    assert_eq!(wrong(&|layout| layout.marker = None), [(NoOciLayout, ERROR)]);
    assert_eq!(wrong(&|layout| layout.marker = Some(b"{}".to_vec())), [(BadOciLayout, ERROR)]);
    assert_eq!(wrong(&|layout| layout.index = b"{".to_vec()), [(BadIndex, ERROR)]);
    let wrong_data = |layout: &mut Memory| {
        let text = String::from_utf8(layout.index.clone()).unwrap();
        layout.index = text.replacen("\"size\":491", "\"size\":491,\"data\":\"e30=\"", 1).into_bytes();
    };
    assert_eq!(wrong(&wrong_data), [(DataMismatch, ERROR)]);
    let wrong_type = |layout: &mut Memory| {
        let text = String::from_utf8(layout.index.clone()).unwrap();
        let end = text.rfind(REF_ARTIFACT.media_type).unwrap();
        layout.index =
            format!("{}{}", &text[..end], text[end..].replacen(REF_ARTIFACT.media_type, INDEX.media_type, 1))
                .into_bytes();
    };
    assert_eq!(wrong(&wrong_type), [(MediaTypeMismatch, ERROR)]);
    let deep = |layout: &mut Memory| {
        let text = format!("{{\"manifests\":[],\"x\":{}1{}}}", "[".repeat(70), "]".repeat(70));
        let digest = layout.add(text.as_bytes());
        let index = ocistow_layout::Descriptor::new(INDEX.media_type, digest, text.len() as u64);
        layout.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", index.text()).into_bytes();
    };
    assert_eq!(wrong(&deep), [(DepthLimit, ERROR), (UnreachableBlob, WARNING), (UnlistedReferrer, WARNING)]);
}

/// DIGEST-5, INDEX-4: a cycle needs a digest nobody can check.
#[test]
fn a_cycle_is_found_and_left() {
    let mut layout = Memory::default();
    let digest: ocistow_layout::Digest = "md5:d41d8cd98f00b204e9800998ecf8427e".parse().unwrap();
    let size = 236;
    let entry = ocistow_layout::Descriptor::new(INDEX.media_type, digest.clone(), size);
    let mut text = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entry.text());
    text.push_str(&" ".repeat(size as usize - text.len()));
    layout.blobs.insert(digest, text.into_bytes());
    layout.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entry.text()).into_bytes();
    assert_eq!(kinds(&layout), [(Cycle, ERROR), (UnverifiableDigest, WARNING)]);
}

#[test]
fn a_bundle_is_held_to_what_it_declares() {
    let world = draw("image a:1 = base\nrefer sig -> a : application/x.sig");
    let graph = Graph::load(&world.memory, Load { threads: 1, scan_blobs: false }, &Unwatched).unwrap();
    let plan = plan::export(&graph, &world.memory, &Request { referrers: true, ..Request::default() }).unwrap();
    let mut bundle = Memory { index: plan.bundle_index(), ..world.memory.clone() };
    assert_eq!(kinds(&bundle), []);
    let text = String::from_utf8(bundle.index.clone()).unwrap();
    let entry = bundle.index().unwrap().descriptors().unwrap()[0].text().to_owned();
    bundle.index = text.replacen(&format!("{entry},"), "", 1).into_bytes();
    assert!(kinds(&bundle).contains(&(CarriesMismatch, WARNING)));
    let archive = check(&bundle, Options { archive: true, ..PLAIN });
    assert_eq!(archive.verdict().unwrap_err().kind(), Kind::Integrity);
}

#[test]
fn subjects_that_are_not_as_described_are_warned_of() {
    let text = std::str::from_utf8(REF_ARTIFACT.bytes).unwrap().replace("\"size\":400", "\"size\":401");
    let mut layout = odd::strict();
    let digest = layout.add(text.as_bytes());
    let entry = ocistow_layout::Descriptor::new(REF_ARTIFACT.media_type, digest, text.len() as u64);
    let index = String::from_utf8(layout.index.clone()).unwrap();
    layout.index = index.replacen("\"manifests\":[", &format!("\"manifests\":[{},", entry.text()), 1).into_bytes();
    assert_eq!(kinds(&layout), [(SubjectMismatch, WARNING)]);
}

/// A writer that lost its power may leave a manifest without its parts; nothing leads there.
#[test]
fn what_nothing_leads_to_needs_nothing() {
    let world = draw("image app:1 = base\nrefer sig -> app = content : application/x.sig\nhidden sig\nabsent content");
    assert_eq!(kinds(&world.memory), [(UnreachableBlob, WARNING), (UnlistedReferrer, WARNING)]);
}

/// REFERRERS-15: with several lists about one subject, each need not name all.
#[test]
fn what_none_of_several_lists_names_is_told_once() {
    let world = draw(
        "image app:1 = base
         sha512 image long:2 = base
         refer one -> app : application/x.sig
         refer two -> app : application/x.sig
         refer three -> app : application/x.sig
         refer four -> long : application/x.sig
         fallback app = one
         fallback app = two
         fallback long = one
         entry three
         entry four",
    );
    let problems = check(&world.memory, PLAIN).problems;
    let stale = problems.iter().filter(|problem| problem.kind == StaleFallback);
    let mut told: Vec<(String, &str)> =
        stale.map(|problem| (world.word(problem.digest.as_ref().unwrap()), &*problem.message)).collect();
    told.sort();
    let unnamed = "it refers there, but the list does not name it";
    let expected = [("four", unnamed), ("one", "the list names it, but it does not refer there"), ("three", unnamed)];
    assert_eq!(told, expected.map(|(word, message)| (word.to_owned(), message)));
}
