//! What is wrong with a layout.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use ocistow_graph::fsck::{Options, Pointer, ProblemKind, ProblemKind::*, Report, Severity, examine};
use ocistow_graph::{Graph, Load, Request, plan};
use ocistow_layout::memory::Memory;
use ocistow_layout::{Descriptor, Digest, Kind, Source, Unwatched};
use ocistow_testkit::fixtures::*;
use ocistow_testkit::{OnePass, Unreadable, draw, hostile, odd};

const PLAIN: Options = Options { threads: 2, archive: false, complete: false, allow_missing: false };

fn check(layout: &dyn Source, options: Options) -> Report {
    examine(layout, options, &Unwatched).expect("it can be examined").report()
}

fn kinds(layout: &dyn Source) -> Vec<(ProblemKind, Severity)> {
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
    assert_eq!(report.problems[0].from, Some(Pointer::Manifest(world.digest("a"))));
    assert!(check(&world.memory, Options { allow_missing: true, ..PLAIN }).ok());
    let complete = Options { complete: true, ..PLAIN };
    assert_eq!(check(&odd::sparse(), complete).verdict().unwrap_err().kind(), Kind::Incomplete);
    let both = draw("image a:1 = base\nimage b:2 = more\nabsent base\ndamage more");
    assert_eq!(check(&both.memory, PLAIN).verdict().unwrap_err().kind(), Kind::Integrity);
}

/// What the disk does not give may be right or wrong: that is no finding, and no clean bill either.
#[test]
fn what_cannot_be_read_is_trouble_and_the_rest_is_checked_all_the_same() {
    let world =
        draw("image a:1 = base\nimage b:2 = more\nrefer sig -> a : application/x.sig\nabsent more\ndamage base");
    for name in ["a", "sig", "b.config"] {
        let digest = world.digest(name);
        let layout = Unreadable { memory: world.memory.clone(), blobs: [digest.clone()].into() };
        let report = check(&layout, PLAIN);
        assert_eq!(report.verdict().unwrap_err().kind(), Kind::Failed, "{name}");
        assert_eq!(report.unread.iter().map(|one| one.path.clone()).collect::<Vec<_>>(), [digest.path()], "{name}");
        let amiss: Vec<_> = report.problems.iter().filter(|p| p.severity == ERROR).map(|p| p.kind).collect();
        assert_eq!(amiss, [DigestMismatch, MissingBlob], "{name}");
        let all = check(&world.memory, PLAIN).checked;
        assert_eq!(report.checked.blobs, all.blobs - 1, "{name}");
    }
}

#[test]
fn a_source_of_one_pass_has_the_same_findings() {
    for layout in [odd::strict(), odd::corrupt(), odd::cut(), odd::all_referrers(), odd::stale(), odd::sparse()] {
        assert_eq!(check(&OnePass(layout.clone()), PLAIN), check(&layout, PLAIN));
    }
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
        let index = Descriptor::new(INDEX.media_type, digest, text.len() as u64);
        layout.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", index.text()).into_bytes();
    };
    assert_eq!(wrong(&deep), [(DepthLimit, ERROR), (UnreachableBlob, WARNING), (UnlistedReferrer, WARNING)]);
}

/// DIGEST-5, INDEX-4: a cycle needs a digest nobody can check.
/// MANIFEST-2, MANIFEST-14, INDEX-2.
#[test]
fn what_is_called_otherwise_is_warned_of_where_the_shape_is_right() {
    let (oci, docker) = (IMG_AMD64.media_type, DOCKER_S2.media_type);
    let found = |own: &str, entries: &[&str], children: &[&str]| kinds(&odd::called(own, entries, children).0);
    assert_eq!(found(oci, &[oci], &[oci]), []);
    assert_eq!(found(docker, &[docker], &[docker]), []);
    for (own, called) in [(docker, oci), (oci, docker), ("application/x.unheard-of", oci)] {
        assert_eq!(found(own, &[called], &[]), [(MediaTypeMismatch, WARNING)], "{own} called {called}");
        assert_eq!(found(own, &[], &[called]), [(MediaTypeMismatch, WARNING)], "{own} called {called}");
    }
    assert_eq!(found(oci, &[oci, docker], &[]), [(MediaTypeMismatch, WARNING)]);
    for nothing in ["", "application/json"] {
        assert_eq!(found(oci, &[nothing], &[]), [(MediaTypeMismatch, WARNING)]);
        assert_eq!(found(oci, &[], &[nothing]), [(MediaTypeMismatch, WARNING)]);
    }
    assert_eq!(found(INDEX.media_type, &[oci], &[]), [(MediaTypeMismatch, ERROR)]);
    let (layout, digest) = odd::called(docker, &[oci], &[]);
    let report = check(&layout, PLAIN);
    let text = format!("it calls itself {docker}, and is read as {oci}");
    assert_eq!((report.problems[0].digest.as_ref(), &*report.problems[0].message), (Some(&digest), &*text));
    // F:INDEX calling itself a list of Docker's.
    let list = String::from_utf8_lossy(INDEX.bytes).replacen(INDEX.media_type, DOCKER_LIST.media_type, 1);
    let mut layout = odd::strict();
    add(&mut layout, INDEX.media_type, &list);
    assert_eq!(kinds(&layout), [(MediaTypeMismatch, WARNING)]);
}

/// DESCRIPTOR-4: the right bytes under a descriptor of another length are one finding, and not the other.
#[test]
fn a_wrong_size_of_right_bytes_is_told_alone() {
    for (digest, size) in [(IMG_AMD64.digest(), 400), (CONFIG_AMD64.digest(), 151), (LAYER_GZ.digest(), 32)] {
        for wrong in [size - 1, size + 1] {
            let mut layout = Memory::default();
            for blob in [CONFIG_AMD64, LAYER_GZ] {
                layout.add(blob.bytes);
            }
            let said = |text: &str| text.replacen(&format!("\"size\":{size}"), &format!("\"size\":{wrong}"), 1);
            let text = said(std::str::from_utf8(IMG_AMD64.bytes).unwrap());
            let entry = Descriptor::new(IMG_AMD64.media_type, layout.add(text.as_bytes()), text.len() as u64);
            let entry = if digest == IMG_AMD64.digest() { said(entry.text()) } else { entry.text().to_owned() };
            layout.index = format!("{{\"schemaVersion\":2,\"manifests\":[{entry}]}}").into_bytes();
            let problems = check(&layout, PLAIN).problems;
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!((problems[0].kind, problems[0].digest.as_ref()), (SizeMismatch, Some(&digest)));
        }
    }
}

/// DESCRIPTOR-8, DESCRIPTOR-15: data is padded base64 of exactly the content.
#[test]
fn data_that_is_not_the_content_is_found() {
    let with = |data: &str, content: Fixture| {
        let text = String::from_utf8_lossy(IMG_DATA_FIELD.bytes).into_owned();
        let before = text.find("\"data\":\"").unwrap() + 8;
        let end = before + text[before..].find('"').unwrap();
        let text = format!("{}{data}{}", &text[..before], &text[end..]);
        let text = text.replace(&EMPTY_JSON.digest().to_string(), &content.digest().to_string());
        let mut layout = odd::strict();
        layout.add(content.bytes);
        add(&mut layout, IMG_DATA_FIELD.media_type, &text);
        kinds(&layout)
    };
    assert_eq!(with("e30=", EMPTY_JSON), []);
    for wrong in ["e30", "e31=", "e30=\\n", "e30==", " e30=", "", "e3 0=", "!"] {
        assert_eq!(with(wrong, EMPTY_JSON), [(DataMismatch, ERROR)], "{wrong}");
    }
    assert!(with("e30=", EMPTY_BLOB).contains(&(DataMismatch, ERROR)));
}

/// DESCRIPTOR-13: families of types and algorithms of digests mix.
#[test]
fn an_oci_index_may_list_a_docker_image_by_another_algorithm() {
    let sha512 = format!("sha512:{:0128}", 0).parse::<Digest>().unwrap().same_of(DOCKER_S2.bytes).unwrap();
    let mut layout = odd::docker();
    layout.blobs.insert(sha512.clone(), DOCKER_S2.bytes.to_vec());
    let child = Descriptor::new(DOCKER_S2.media_type, sha512, DOCKER_S2.bytes.len() as u64);
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#, INDEX.media_type, child.text());
    add(&mut layout, INDEX.media_type, &text);
    assert_eq!(kinds(&layout), []);
    assert_eq!(check(&layout, PLAIN).checked.manifests, 4);
}

/// MANIFEST-11: warned of; such are about.
#[test]
fn an_artifact_that_does_not_say_what_it_is_is_warned_of() {
    let text = String::from_utf8_lossy(REF_ARTIFACT.bytes);
    let mut layout = odd::strict();
    add(&mut layout, REF_ARTIFACT.media_type, &text.replacen("\"artifactType\"", "\"x\"", 1));
    assert_eq!(kinds(&layout), [(BadManifest, WARNING)]);
}

#[test]
fn a_cycle_is_found_and_left() {
    let mut layout = Memory::default();
    let digest: Digest = "md5:d41d8cd98f00b204e9800998ecf8427e".parse().unwrap();
    let size = 236;
    let entry = Descriptor::new(INDEX.media_type, digest.clone(), size);
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

/// Puts one more entry in front of those of index.json.
fn enter(layout: &mut Memory, entry: &str) {
    let index = String::from_utf8(layout.index.clone()).unwrap();
    layout.index = index.replacen("\"manifests\":[", &format!("\"manifests\":[{entry},"), 1).into_bytes();
}

/// Adds a document and an entry for it.
fn add(layout: &mut Memory, media_type: &str, text: &str) -> Digest {
    let digest = layout.add(text.as_bytes());
    enter(layout, Descriptor::new(media_type, digest.clone(), text.len() as u64).text());
    digest
}

#[test]
fn subjects_that_are_not_as_described_are_warned_of() {
    for (right, wrong, said) in [
        ("\"size\":400", "\"size\":401", "it has 400 bytes, its referrer says 401"),
        (",\"size\":400", "", "its referrer does not say its size"),
        (
            "\"subject\":{\"mediaType\":\"application/vnd.oci.image.manifest",
            "\"subject\":{\"mediaType\":\"other",
            "says other",
        ),
    ] {
        let text = std::str::from_utf8(REF_ARTIFACT.bytes).unwrap().replace(right, wrong);
        let mut layout = odd::strict();
        let referrer = add(&mut layout, REF_ARTIFACT.media_type, &text);
        assert_eq!(kinds(&layout), [(SubjectMismatch, WARNING)], "{wrong}");
        let problem = &check(&layout, PLAIN).problems[0];
        assert!(problem.message.contains(said), "{}", problem.message);
        assert_eq!(
            (problem.digest.clone(), problem.from.clone()),
            (Some(IMG_AMD64.digest()), Some(Pointer::Manifest(referrer.clone())))
        );
    }
}

/// REFERRERS-5, REFERRERS-6, REFERRERS-15, COSIGN-8: what a list says wrongly, and what it does not say.
#[test]
fn every_disagreement_of_a_stored_list_is_found() {
    let member =
        |fixture: Fixture, more: &str| format!("{}{more}}}", fixture.descriptor().text().strip_suffix('}').unwrap());
    let sbom = "application/vnd.example.sbom.v1";
    let right =
        member(REF_ARTIFACT, &format!(",\"artifactType\":\"{sbom}\",\"annotations\":{{\"org.example.note\":\"one\"}}"));
    let cases = [
        ("right", vec![right.clone()], None),
        ("an annotation more", vec![right.replace("\"one\"", "\"one\",\"more\":\"x\"")], None),
        ("none listed", vec![], Some("it refers there, but the list does not name it")),
        ("not here", vec![right.clone(), member(REF_OLD, "")], Some("the list names it, but it is not here")),
        (
            "no subject",
            vec![right.clone(), member(IMG_ARM64, "")],
            Some("the list names it, but it does not refer there"),
        ),
        ("no type", vec![right.replace(&format!("\"artifactType\":\"{sbom}\","), "")], Some("another artifact type")),
        ("another type", vec![right.replace(sbom, EMPTY_JSON.media_type)], Some("another artifact type")),
        ("no annotations", vec![member(REF_ARTIFACT, &format!(",\"artifactType\":\"{sbom}\""))], Some("annotations")),
        ("another annotation", vec![right.replace("\"one\"", "\"two\"")], Some("annotations")),
    ];
    let subject = IMG_AMD64.digest();
    let marks = [
        format!("\"org.opencontainers.image.ref.name\":\"{}\"", subject.fallback_tag()),
        format!("\"org.olareg.referrer.subject\":\"{subject}\""),
        format!("\"org.opencontainers.image.referrer.subject\":\"{subject}\""),
    ];
    for mark in &marks {
        for (case, members, said) in &cases {
            let mut layout = odd::strict();
            let list = format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{}]}}",
                INDEX.media_type,
                members.join(",")
            );
            let digest = layout.add(list.as_bytes());
            let entry = Descriptor::new(INDEX.media_type, digest.clone(), list.len() as u64);
            enter(&mut layout, &format!("{},\"annotations\":{{{mark}}}}}", entry.text().strip_suffix('}').unwrap()));
            let problems = check(&layout, PLAIN).problems;
            let expected = said.map(|_| StaleFallback);
            assert_eq!(problems.first().map(|problem| problem.kind), expected, "{case}, {mark}: {problems:?}");
            assert_eq!(problems.len(), usize::from(said.is_some()), "{case}, {mark}: {problems:?}");
            if let (Some(problem), Some(said)) = (problems.first(), said) {
                assert!(problem.message.contains(said), "{case}, {mark}: {}", problem.message);
                assert_eq!(problem.from, Some(Pointer::Manifest(digest.clone())), "{case}, {mark}");
            }
        }
    }
    // What is no list at all, and a list about something whose digest does not fit into a tag.
    let mut layout = odd::strict();
    let image = IMG_ARM64.descriptor();
    enter(&mut layout, &format!("{},\"annotations\":{{{}}}}}", image.text().strip_suffix('}').unwrap(), marks[0]));
    assert!(kinds(&layout).contains(&(StaleFallback, WARNING)));
    let long = draw("sha512 image app:1 = base\nrefer a -> app : application/x.a\nrefer b -> app : application/x.b");
    let mut layout = long.memory.clone();
    let tag = long.digest("app").fallback_tag();
    let list = format!("{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[]}}", INDEX.media_type);
    let digest = layout.add(list.as_bytes());
    let entry = Descriptor::new(INDEX.media_type, digest, list.len() as u64);
    let name = format!("\"org.opencontainers.image.ref.name\":\"{tag}\"");
    enter(&mut layout, &format!("{},\"annotations\":{{{name}}}}}", entry.text().strip_suffix('}').unwrap()));
    let unlisted: Vec<_> = check(&layout, PLAIN).problems.into_iter().map(|p| (p.kind, p.digest.unwrap())).collect();
    let mut expected = vec![(StaleFallback, long.digest("a")), (StaleFallback, long.digest("b"))];
    expected.sort();
    assert_eq!(unlisted, expected);
}

/// MANIFEST-21
#[test]
fn a_manifest_too_long_to_be_read_is_told_though_its_bytes_are_right() {
    let mut layout = odd::strict();
    let text = format!("{{\"schemaVersion\":2,\"manifests\":[]}}{}", " ".repeat(8 << 20));
    let digest = add(&mut layout, INDEX.media_type, &text);
    let problems = check(&layout, PLAIN).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].kind, problems[0].digest.as_ref()), (BadManifest, Some(&digest)));
}

/// Somebody may remove what nothing leads to: that is said of nothing while what may lead there cannot be read.
#[test]
fn nothing_is_called_unreachable_while_a_damaged_manifest_may_lead_to_it() {
    let world = draw("image amd = base\nimage arm = other\nindex app:1 = amd, arm\ndamage app");
    assert_eq!(kinds(&world.memory), [(DigestMismatch, ERROR)]);
    let world = draw("image amd = base\nimage arm = other\nindex app:1 = amd, arm\nabsent app");
    assert_eq!(kinds(&world.memory), [(MissingBlob, ERROR), (UnreachableBlob, WARNING)]);
}

/// LAYERS-12, DESCRIPTOR-9, DIGEST-5: what need not be there, what is there otherwise, what nobody can check.
#[test]
fn absence_is_judged_by_who_holds_what() {
    let world = draw(
        "layer foreign : application/vnd.oci.image.layer.nondistributable.v1.tar\nimage app:1 = foreign\nabsent foreign",
    );
    assert_eq!(kinds(&world.memory), []);
    let mut layout = Memory::default();
    let data = "\"data\":\"e30=\"";
    let config = EMPTY_JSON.descriptor();
    let config = format!("{},{data}}}", config.text().strip_suffix('}').unwrap());
    let text = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"artifactType\":\"x/y\",\"config\":{config},\"layers\":[{config}]}}",
        IMG_AMD64.media_type
    );
    layout.index = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{}]}}",
        INDEX.media_type,
        Descriptor::new(IMG_AMD64.media_type, layout.add(text.as_bytes()), text.len() as u64).text()
    )
    .into_bytes();
    assert_eq!(kinds(&layout), []);
    let text = text.replace("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "md5:abc");
    add(&mut layout, IMG_AMD64.media_type, &text);
    assert_eq!(kinds(&layout), [(MissingBlob, ERROR), (UnverifiableDigest, WARNING)]);
}

#[test]
fn kinds_are_called_as_in_the_contract() {
    let kinds = [
        (NoOciLayout, "no-oci-layout"),
        (BadOciLayout, "bad-oci-layout"),
        (BadIndex, "bad-index"),
        (BadManifest, "bad-manifest"),
        (BadDigest, "bad-digest"),
        (DigestMismatch, "digest-mismatch"),
        (SizeMismatch, "size-mismatch"),
        (DataMismatch, "data-mismatch"),
        (BadLink, "bad-link"),
        (Cycle, "cycle"),
        (DepthLimit, "depth-limit"),
        (MediaTypeMismatch, "media-type-mismatch"),
        (MissingBlob, "missing-blob"),
        (AbsentChild, "absent-child"),
        (DanglingSubject, "dangling-subject"),
        (SubjectMismatch, "subject-mismatch"),
        (StaleFallback, "stale-fallback"),
        (DuplicateTag, "duplicate-tag"),
        (UnreachableBlob, "unreachable-blob"),
        (UnlistedReferrer, "unlisted-referrer"),
        (UnverifiableDigest, "unverifiable-digest"),
        (StrayFile, "stray-file"),
        (CarriesMismatch, "carries-mismatch"),
    ];
    for (kind, name) in kinds {
        assert_eq!(serde_json::to_value(kind).unwrap(), name);
    }
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

/// What of one kind is told of one manifest one by one, and how many more there are.
fn told(report: &Report, kind: ProblemKind) -> (usize, Option<u64>) {
    let of_kind = || report.problems.iter().filter(|problem| problem.kind == kind);
    (of_kind().filter(|problem| problem.more.is_none()).count(), of_kind().find_map(|problem| problem.more))
}

#[test]
fn what_is_too_much_in_one_manifest_is_counted_and_judged_all_the_same() {
    let layout = hostile::children(1500);
    for (complete, severity) in [(false, WARNING), (true, ERROR)] {
        let report = check(&layout, Options { complete, ..PLAIN });
        assert_eq!(told(&report, AbsentChild), (1000, Some(500)));
        assert_eq!(told(&report, UnverifiableDigest), (1000, Some(500)));
        let rest = report.problems.iter().find(|problem| problem.more.is_some()).unwrap();
        assert_eq!((rest.kind, rest.severity, &rest.digest), (AbsentChild, severity, &None));
        assert_eq!(rest.message, "500 more like this are found in one manifest");
        let json = serde_json::to_value(rest).unwrap();
        assert_eq!(json["more"], 500);
        assert_eq!(json["from"], layout.index().unwrap().descriptors().unwrap()[0].digest.to_string());
        assert_eq!(report.ok(), !complete);
        let verdict = report.verdict().map_err(|why| (why.kind(), why.to_string()));
        let missing = (Kind::Incomplete, "1500 blobs are missing".to_owned());
        assert_eq!(verdict, if complete { Err(missing) } else { Ok(()) });
    }
    assert_eq!(told(&check(&hostile::children(1000), PLAIN), AbsentChild), (1000, None));
}

#[test]
fn what_is_too_much_in_all_is_counted() {
    let layout = hostile::indexes(103, 980);
    let report = check(&layout, PLAIN);
    assert_eq!(told(&report, AbsentChild), (100_000, Some(940)));
    let rest = report.problems.iter().find(|problem| problem.more.is_some()).unwrap();
    assert_eq!((&rest.from, &*rest.message), (&None, "940 more like this are found"));
}
