//! What points at what, in the layouts of other tools and in hostile ones.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::collections::BTreeSet;

use ocistow_graph::graph::{Broken, Standing};
use ocistow_graph::{Dialect, Graph, Load, ManifestKind, Node, Request, plan};
use ocistow_layout::memory::Memory;
use ocistow_layout::{Descriptor, Digest, Kind, Source, Unwatched};
use ocistow_testkit::fixtures::*;
use ocistow_testkit::{OnePass, Unreadable, draw, odd};

const PLAIN: Load = Load { threads: 2, scan_blobs: false };

fn load(source: &dyn Source) -> Graph {
    Graph::load(source, PLAIN, &Unwatched).unwrap()
}

fn referrers(graph: &Graph, subject: &Digest) -> Vec<(Digest, Dialect)> {
    graph.referrers(subject).iter().map(|edge| (edge.referrer.clone(), edge.dialect)).collect()
}

/// C-ALLREFS, C-FALLBACK, C-OLAREG, C-CONTAINERD: one answer in every dialect, sorted by digest (REFERRERS-17).
#[test]
fn the_same_referrers_are_found_in_every_dialect() {
    let mut three: Vec<Digest> = odd::THREE.iter().map(Fixture::digest).collect();
    three.sort();
    let layouts = [
        (odd::all_referrers(), Dialect::Entry),
        (odd::fallback(), Dialect::FallbackTag),
        (odd::olareg(), Dialect::Olareg),
        (odd::containerd(), Dialect::Entry),
    ];
    for (layout, dialect) in layouts {
        let expected: Vec<_> = three.iter().map(|digest| (digest.clone(), dialect)).collect();
        assert_eq!(referrers(&load(&layout), &IMG_AMD64.digest()), expected);
        assert_eq!(referrers(&load(&OnePass(layout)), &IMG_AMD64.digest()), expected);
    }
}

/// C-ALLREFS, SIGNATURES-5: a referrer of something else shows only there.
#[test]
fn a_referrer_of_a_missing_subject_waits_for_it() {
    let graph = load(&odd::all_referrers());
    let missing: Vec<_> = graph.edges().filter(|edge| edge.referrer == REF_MISSING.digest()).collect();
    assert_eq!(missing.len(), 1);
    assert!(graph.node(&missing[0].subject).is_none());
}

/// MANIFEST-14, MANIFEST-2: the descriptor is believed before the text where the shape is right. Where descriptors
/// disagree, in whatever order they are met, the one is that lets a subject be seen (DOCKER-COMPAT-2).
#[test]
fn descriptors_say_what_a_manifest_is() {
    const OCI: &str = IMG_AMD64.media_type;
    const DOCKER: &str = DOCKER_S2.media_type;
    type Called = (&'static str, &'static [&'static str], &'static [&'static str], bool);
    let cases: [Called; 12] = [
        (DOCKER, &[OCI], &[], true),
        (DOCKER, &[], &[OCI], true),
        (DOCKER, &[DOCKER], &[DOCKER], false),
        (DOCKER, &[DOCKER, OCI], &[], true),
        (DOCKER, &[OCI, DOCKER], &[], true),
        (DOCKER, &[], &[DOCKER, OCI, DOCKER], true),
        (DOCKER, &[DOCKER], &[OCI], true),
        (OCI, &[DOCKER], &[], false),
        (OCI, &[DOCKER], &[OCI], true),
        (OCI, &[], &[DOCKER], false),
        // Another shape belies itself.
        (OCI, &[INDEX.media_type], &[], true),
        ("application/x.unheard-of", &[DOCKER], &[INDEX.media_type], false),
    ];
    for (own, entries, children, refers) in cases {
        let (layout, digest) = odd::called(own, entries, children);
        for graph in [load(&layout), load(&OnePass(layout))] {
            let found = referrers(&graph, &IMG_AMD64.digest()).iter().any(|(referrer, _)| *referrer == digest);
            assert_eq!(found, refers, "{own} called {entries:?} and {children:?}");
        }
    }
}

/// MANIFEST-17, DOCKER-COMPAT-9: what stands where manifests do, and is of a type that says nothing, is what it reads as.
#[test]
fn content_says_what_it_is_where_its_descriptor_does_not() {
    for nothing in ["", "application/json"] {
        for (entries, children) in [([nothing].as_slice(), [].as_slice()), (&[], &[nothing])] {
            let (layout, digest) = odd::called(IMG_AMD64.media_type, entries, children);
            let blobs = layout.blobs.len();
            let graph = load(&layout);
            assert_eq!(graph.nodes(), load(&OnePass(layout.clone())).nodes());
            assert_eq!(graph.kind(&digest), Some(ManifestKind::Artifact), "{entries:?} {children:?}");
            assert_eq!(referrers(&graph, &IMG_AMD64.digest()).len(), 1);
            // All it needs goes along.
            let plan = plan::export(&graph, &layout, &Request { referrers: true, ..Request::default() }).unwrap();
            assert_eq!(plan.order().count(), blobs);
        }
        // Neither what stands elsewhere, nor what is none, is a manifest.
        let mut layout = odd::strict();
        let json = Descriptor::new(nothing, EMPTY_JSON.digest(), 2);
        let part = Descriptor::new(nothing, IMG_ARM64.digest(), IMG_ARM64.bytes.len() as u64);
        let text = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, json.text(), part.text());
        let image = Descriptor::new(IMG_AMD64.media_type, layout.add(text.as_bytes()), text.len() as u64);
        layout.index = format!(r#"{{"manifests":[{},{}]}}"#, json.text(), image.text()).into_bytes();
        for graph in [load(&layout), load(&OnePass(layout.clone()))] {
            assert_eq!(graph.kind(&json.digest), Some(ManifestKind::Other));
            assert_eq!(graph.nodes().into_keys().collect::<Vec<_>>(), [&image.digest]);
        }
    }
}

/// REFERRERS-4: a referrer is known by its subject's digest alone.
#[test]
fn a_subject_of_another_size_and_type_is_the_same() {
    let text = String::from_utf8_lossy(REF_ARTIFACT.bytes).replacen("\"size\":400", "\"size\":7", 1);
    let at = text.find("\"subject\"").unwrap();
    let text = format!("{}{}", &text[..at], text[at..].replacen(IMG_AMD64.media_type, "text/plain", 1));
    let mut layout = odd::strict();
    let referrer = layout.add(text.as_bytes());
    let entry = Descriptor::new(REF_ARTIFACT.media_type, referrer.clone(), text.len() as u64);
    layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entry.text()).into_bytes();
    assert_eq!(referrers(&load(&layout), &IMG_AMD64.digest()), [(referrer, Dialect::Entry)]);
}

/// C-STALE, REFERRERS-15.
#[test]
fn a_stale_list_makes_no_referrers() {
    assert_eq!(referrers(&load(&odd::stale()), &IMG_AMD64.digest()), []);
}

/// C-COSIGN-BLOB, C-COSIGN-TAG, C-LEGACY, C-NOSIZE.
#[test]
fn hidden_tagged_and_legacy_referrers_are_found() {
    let layout = odd::cosign_blob();
    assert_eq!(referrers(&load(&layout), &IMG_AMD64.digest()), []);
    let scan = Load { scan_blobs: true, ..PLAIN };
    let expected = [(COSIGN_BUNDLE.digest(), Dialect::Scan)];
    let scanned = Graph::load(&layout, scan, &Unwatched).unwrap();
    assert_eq!(referrers(&scanned, &IMG_AMD64.digest()), expected);
    let scanned = Graph::load(&OnePass(layout), scan, &Unwatched).unwrap();
    assert_eq!(referrers(&scanned, &IMG_AMD64.digest()), expected);

    let graph = load(&odd::cosign_tag());
    assert_eq!(referrers(&graph, &IMG_AMD64.digest()), [(COSIGN_SIG.digest(), Dialect::CosignTag)]);
    assert_eq!(graph.referrers(&IMG_AMD64.digest())[0].cosign, Some("sig"));
    assert_eq!([graph.standing(0), graph.standing(1)], [Standing::Root, Standing::Cosign]);

    assert_eq!(referrers(&load(&odd::legacy()), &IMG_AMD64.digest()).len(), 3);
    assert_eq!(referrers(&load(&odd::no_subject_size()), &IMG_AMD64.digest()).len(), 1);
}

/// ARTIFACT-9.
#[test]
fn attestations_are_children_and_referrers() {
    let world = draw(
        "image amd = base [linux/amd64]
         attest prov -> amd
         index app:1.0 = amd, prov
         containerd sig -> app : application/x.sig",
    );
    let graph = load(&world.memory);
    assert_eq!(referrers(&graph, &world.digest("amd")), [(world.digest("prov"), Dialect::Attestation)]);
    assert_eq!(referrers(&graph, &world.digest("app")), [(world.digest("sig"), Dialect::Containerd)]);
    assert_eq!(graph.roots(), [0]);
    assert_eq!(graph.tags_of(&world.digest("app")), ["1.0"]);
}

/// A manifest's own subject wins over what index.json says of it.
#[test]
fn an_own_subject_beats_every_other_dialect() {
    let world = draw(
        "image a:1 = base
         image b:2 = base
         refer sig -> a : application/x.sig
         hidden sig",
    );
    let mut memory = world.memory.clone();
    let entry = world.descriptor("sig").text().trim_end_matches('}').to_owned();
    let entry = format!("{entry},\"annotations\":{{\"io.containerd.manifest.subject\":\"{}\"}}}}", world.digest("b"));
    let text = String::from_utf8(memory.index.clone()).unwrap();
    memory.index = text.replacen("\"manifests\":[", &format!("\"manifests\":[{entry},"), 1).into_bytes();
    let graph = load(&memory);
    assert_eq!(referrers(&graph, &world.digest("a")), [(world.digest("sig"), Dialect::Entry)]);
    assert_eq!(referrers(&graph, &world.digest("b")), []);
}

/// C-NESTED, C-512, C-DOCKER, C-SPARSE, C-AMBIG.
#[test]
fn odd_layouts_are_walked() {
    let graph = load(&odd::nested());
    assert!(graph.facts(&IMG_ARM64.digest()).is_some());
    assert!(graph.node(&EMPTY_BLOB.digest()).is_none());
    assert_eq!(load(&odd::sha512()).nodes().len(), 2);
    assert_eq!(load(&odd::docker()).kind(&DOCKER_S2.digest()), Some(ManifestKind::Image));
    let graph = load(&odd::sparse());
    assert_eq!(graph.node(&IMG_ARM64.digest()), Some(&Node::Absent));
    assert_eq!(graph.kind(&IMG_ARM64.digest()), None);
    assert_eq!(graph.need(&IMG_ARM64.digest()).unwrap_err().kind(), Kind::Incomplete);
    let graph = load(&odd::ambiguous());
    assert_eq!(graph.need(&AMBIGUOUS.digest()).unwrap_err().kind(), Kind::Integrity);
    assert_eq!(load(&odd::traversal()).roots(), [] as [usize; 0]);
}

#[test]
fn a_damaged_manifest_stops_only_who_needs_it() {
    let world = draw("image a:1 = base\nimage b:2 = base\ndamage b");
    let graph = load(&world.memory);
    assert!(graph.need(&world.digest("a")).is_ok());
    assert_eq!(graph.need(&world.digest("b")).unwrap_err().kind(), Kind::Integrity);
}

/// DESCRIPTOR-9.
#[test]
fn right_data_stands_in_for_an_absent_manifest() {
    use base64::Engine as _;
    let mut memory = odd::strict();
    let data = base64::engine::general_purpose::STANDARD.encode(INDEX.bytes);
    let text = String::from_utf8(memory.index.clone()).unwrap();
    memory.index = text.replacen("\"size\":491", &format!("\"size\":491,\"data\":\"{data}\""), 1).into_bytes();
    memory.blobs.remove(&INDEX.digest());
    let graph = load(&memory);
    assert_eq!(graph.inline(&INDEX.digest()), Some(INDEX.bytes));
    assert!(graph.facts(&IMG_AMD64.digest()).is_some());
    let passed = load(&OnePass(memory));
    assert_eq!(passed.inline(&INDEX.digest()), Some(INDEX.bytes));
}

/// INDEX-4: deep nesting is no recursion, and no pass for each level.
#[test]
fn three_thousand_nested_indexes_are_walked() {
    let mut memory = Memory::default();
    let mut below = IMG_AMD64.descriptor();
    memory.add(IMG_AMD64.bytes);
    for _ in 0..3000 {
        let text = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", below.text());
        let digest = memory.add(text.as_bytes());
        below = Descriptor::new(INDEX.media_type, digest, text.len() as u64);
    }
    memory.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", below.text()).into_bytes();
    assert_eq!(load(&memory).nodes().len(), 3001);
    assert_eq!(load(&OnePass(memory)).nodes().len(), 3001);
}

#[test]
fn threads_do_not_change_the_graph() {
    let mut text = String::from("image base0:1 = base\n");
    for n in 0..150 {
        text.push_str(&format!("refer sig{n} -> base0 : application/x.sig\n"));
    }
    let world = draw(&text);
    let one = Graph::load(&world.memory, Load { threads: 1, scan_blobs: false }, &Unwatched).unwrap();
    let four = Graph::load(&world.memory, Load { threads: 4, scan_blobs: false }, &Unwatched).unwrap();
    assert_eq!(one.nodes(), four.nodes());
    assert!(one.edges().eq(four.edges()));
    assert_eq!(one.referrers(&world.digest("base0")).len(), 150);
}

#[test]
fn what_the_medium_does_not_give_is_trouble_and_no_damage() {
    let world = draw("image app:1 = base\nrefer sig -> app : application/x.sig\nimage other:2 = base\ndamage other");
    for name in ["app", "sig"] {
        let blobs = BTreeSet::from([world.digest(name)]);
        let graph = load(&Unreadable { memory: world.memory.clone(), blobs });
        assert!(matches!(graph.node(&world.digest(name)), Some(Node::Broken(Broken::Unread(_)))), "{name}");
        assert_eq!(graph.need(&world.digest(name)).unwrap_err().kind(), Kind::Failed);
        assert_eq!(graph.need(&world.digest("other")).unwrap_err().kind(), Kind::Integrity);
    }
    let trouble = Unreadable { memory: world.memory.clone(), blobs: BTreeSet::from([world.digest("app")]) };
    let all = plan::export(&load(&trouble), &trouble, &Request::default()).unwrap();
    assert_eq!(all.verdict(true, false).unwrap_err().kind(), Kind::Failed, "nobody knows what is in the unread one");
}
