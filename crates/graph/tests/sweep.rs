//! What a sweep takes and what it keeps.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use ocistow_graph::fsck::{self, Severity};
use ocistow_graph::sweep::{Options, Sweep, sweep};
use ocistow_graph::{Graph, Load};
use ocistow_layout::edit::apply;
use ocistow_layout::holdings::{Lying, Spared};
use ocistow_layout::memory::Memory;
use ocistow_layout::{Blob, Descriptor, Digest, IndexFile, Kind, Result, Unwatched};
use ocistow_testkit::{Drawing, draw, fixtures, odd};

const PLAIN: Load = Load { threads: 2, scan_blobs: false };

/// Sweeps a layout in which these things are young, and all else is old.
fn swept_with(layout: &Memory, young: &[Digest], prune: bool) -> Result<Sweep> {
    let spared = |digest: &Digest| young.contains(digest).then_some(Spared::Young);
    let lying = |(digest, bytes): (&Digest, &Vec<u8>)| Lying {
        blob: Blob { digest: digest.clone(), size: bytes.len() as u64 },
        spared: spared(digest),
    };
    let blobs: Vec<Lying> = layout.blobs.iter().map(lying).collect();
    let graph = Graph::load(layout, PLAIN, &Unwatched)?;
    let swept = sweep(&graph, layout, &blobs, Options { prune, threads: 2 }, &Unwatched)?;
    assert_eq!(swept.kept.blobs + swept.removed.len() as u64, layout.blobs.len() as u64, "each stays or goes");
    Ok(swept)
}

fn young(world: &Drawing, names: &[&str]) -> Vec<Digest> {
    names.iter().map(|name| world.digest(name)).collect()
}

/// The layout after a sweep.
fn after(layout: &Memory, swept: &Sweep) -> Memory {
    let mut after = layout.clone();
    after.index = apply(&IndexFile::parse(layout.index.clone()).unwrap(), &swept.edits).unwrap();
    for blob in &swept.removed {
        after.blobs.remove(&blob.digest);
    }
    after
}

/// The words for what goes, but for the empty config that nobody drew.
fn removed(world: &Drawing, swept: &Sweep) -> String {
    let empty = Digest::of(b"{}");
    world.words(swept.removed.iter().map(|blob| &blob.digest).filter(|digest| **digest != empty))
}

/// What goes of a drawing, blobs and then entries, with all blobs old; and that nothing more goes the next time.
#[track_caller]
fn goes(text: &str, prune: bool) -> (String, String) {
    let world = draw(text);
    let swept = swept_with(&world.memory, &[], prune).unwrap();
    let again = swept_with(&after(&world.memory, &swept), &[], prune).unwrap();
    assert_eq!((again.removed, again.edits), (vec![], vec![]), "the second time");
    (removed(&world, &swept), world.words(&swept.dropped))
}

#[track_caller]
fn expect(text: &str, blobs: &str, entries: &str) {
    assert_eq!(goes(text, false), (blobs.to_owned(), entries.to_owned()));
}

#[track_caller]
fn expect_pruned(text: &str, blobs: &str, entries: &str) {
    assert_eq!(goes(text, true), (blobs.to_owned(), entries.to_owned()));
}

#[test]
fn what_an_entry_reaches_stays_and_the_rest_goes() {
    expect(
        "image amd = base [linux/amd64]
         index app:1 = amd
         image lone = base + own
         file opaque
         entry opaque
         image dead = base + deep
         hidden dead
         file crumb",
        "crumb dead dead.config deep",
        "",
    );
}

/// 4.3
#[test]
fn referrers_of_what_stays_stay_in_every_dialect() {
    for refer in [
        "refer sig -> app : application/x.sig",
        "refer sig -> app : application/x.sig\nfallback app = sig",
        "refer sig -> app : application/x.sig\nolareg app = sig",
        "containerd sig -> app : application/x.sig",
        "cosign app.sig",
        "attest sig -> app\nindex all:2 = app, sig",
        "refer sig -> app : application/x.sig\nindex all:2 = sig",
        "refer sig -> app : application/x.sig\nhidden sig",
    ] {
        for prune in [false, true] {
            let text = format!("image app:1 = base\n{refer}\nfile crumb");
            assert_eq!(goes(&text, prune), ("crumb".into(), "".into()), "{refer} {prune}");
        }
    }
}

/// REFERRERS-18
#[test]
fn referrers_of_referrers_stay_with_all_they_need() {
    let text = "image app:1 = base
         refer sbom -> app = list + more : application/x.sbom
         refer sig -> sbom : application/x.sig
         image inner = own
         index proof -> sig = inner
         hidden sbom
         hidden proof
         hidden inner";
    expect(text, "", "");
    expect_pruned(text, "", "");
}

/// REFERRERS-20
#[test]
fn an_untagged_referrer_goes_together_with_its_subject() {
    let text = "image app = base
         hidden app
         refer sbom -> app : application/x.sbom
         refer sig -> sbom : application/x.sig
         containerd note -> app : application/x.note
         image other:1 = base";
    let all = "app app.config note note.file sbom sbom.file sig sig.file";
    expect(text, all, "note sbom sig");
    expect_pruned(text, all, "note sbom sig");
}

/// REFERRERS-20
#[test]
fn a_referrer_of_something_absent_waits_for_it_until_it_is_pruned() {
    let text = "ghost app
         refer sbom -> app : application/x.sbom
         refer sig -> sbom : application/x.sig
         image other:1 = base";
    expect(text, "", "");
    expect_pruned(text, "sbom sbom.file sig sig.file", "sbom sig");
}

#[test]
fn a_tagged_referrer_stays_without_its_subject() {
    let text = "image app = base
         hidden app
         refer sig:keep -> app : application/x.sig
         cosign app.sig";
    expect(text, "app app.config base", "");
    expect_pruned(text, "app app.config base", "");
}

#[test]
fn a_fallback_list_stays_without_its_subject_since_its_entry_is_tagged() {
    let text = "image app = base
         hidden app
         refer sig -> app : application/x.sig
         fallback app = sig";
    expect(text, "app app.config base", "");
    expect_pruned(text, "app app.config base", "");
}

#[test]
fn pruning_drops_an_untagged_list_with_its_subject_and_never_before() {
    let text = "image app = base
         hidden app
         refer sig -> app : application/x.sig
         olareg app = sig";
    expect(text, "app app.config base", "");
    expect_pruned(text, "app app.config app.olareg base sig sig.file", "app.olareg");
}

#[test]
fn pruning_drops_untagged_entries_that_serve_nothing_tagged() {
    let text = "image amd = base [linux/amd64]
         index app:1 = amd
         entry amd
         image lone = own
         file opaque
         entry opaque
         index nested = lone
         refer sig -> nested : application/x.sig";
    expect(text, "", "");
    expect_pruned(text, "lone lone.config nested opaque own sig sig.file", "nested opaque sig");
}

#[test]
fn what_refers_to_something_live_outlives_the_pruned_index_that_listed_it() {
    let world = draw(
        "image app:1 = base
         refer sig -> app : application/x.sig
         attest prov -> app
         index loose = sig, prov",
    );
    let swept = swept_with(&world.memory, &[], true).unwrap();
    // An attestation that does not say its subject itself is one only by the index.
    assert_eq!(removed(&world, &swept), "loose prov prov.config prov.file");
    let orphans: Vec<_> = swept.orphans.iter().map(|orphan| (world.word(&orphan.digest), orphan.stays)).collect();
    assert_eq!(orphans, [("sig".to_owned(), true)], "nothing leads to it any more");
}

#[test]
fn referrers_that_only_lie_in_blobs_are_told_and_stay_as_long_as_their_subject() {
    let world = draw(
        "image app:1 = base
         image dead = base
         hidden dead
         ghost gone
         refer sig -> app : application/x.sig
         refer old -> dead : application/x.sig
         refer waiting -> gone : application/x.sig
         refer deep -> sig : application/x.sig
         hidden sig
         hidden old
         hidden waiting
         hidden deep",
    );
    let swept = swept_with(&world.memory, &[], false).unwrap();
    assert_eq!(removed(&world, &swept), "dead dead.config old old.file waiting waiting.file");
    let told: Vec<_> = swept.orphans.iter().map(|orphan| (&orphan.digest, &orphan.subject, orphan.stays)).collect();
    let words: std::collections::BTreeSet<String> =
        told.iter().map(|(one, of, stays)| format!("{} -> {} {stays}", world.word(one), world.word(of))).collect();
    let expected = ["deep -> sig true", "old -> dead false", "sig -> app true", "waiting -> gone false"];
    assert_eq!(words, expected.map(str::to_owned).into());
}

#[test]
fn what_is_young_stays_with_all_it_needs_and_what_refers_to_it() {
    let world = draw(
        "image app = base + top
         hidden app
         refer sig -> app : application/x.sig
         image dead = own
         hidden dead
         file crumb",
    );
    let swept = swept_with(&world.memory, &young(&world, &["app"]), false).unwrap();
    assert_eq!(removed(&world, &swept), "crumb dead dead.config own");
    assert!(swept.edits.is_empty(), "its signature is not dropped");
    // The image, its config, two layers; the signature, its file, the empty config.
    assert_eq!(swept.young, 7);
    let swept = swept_with(&world.memory, &young(&world, &["crumb"]), false).unwrap();
    assert_eq!((removed(&world, &swept).contains("crumb"), swept.young), (false, 1));
}

#[test]
fn an_untagged_entry_is_not_pruned_while_it_is_young() {
    let world = draw("image app:1 = base\nimage arriving = own\nimage left = own");
    let swept = swept_with(&world.memory, &young(&world, &["arriving"]), true).unwrap();
    assert_eq!((removed(&world, &swept), world.words(&swept.dropped)), ("left left.config".into(), "left".into()));
    assert_eq!(swept.young, 3);
}

#[test]
fn what_a_link_leads_to_stays() {
    let world = draw("image app:1 = base\nfile crumb");
    let graph = Graph::load(&world.memory, PLAIN, &Unwatched).unwrap();
    let digest = world.digest("crumb");
    let linked = [Lying { blob: Blob { digest, size: 16 }, spared: Some(Spared::Linked) }];
    let options = Options { prune: true, threads: 1 };
    let swept = sweep(&graph, &world.memory, &linked, options, &Unwatched).unwrap();
    assert_eq!((swept.removed, swept.kept.blobs, swept.young), (vec![], 1, 0));
}

#[test]
fn what_refers_to_what_a_link_leads_to_stays_too() {
    let world = draw("image dead = base\nhidden dead\nrefer sig -> dead : application/x.sig");
    let graph = Graph::load(&world.memory, PLAIN, &Unwatched).unwrap();
    let lying = |(digest, bytes): (&Digest, &Vec<u8>)| Lying {
        blob: Blob { digest: digest.clone(), size: bytes.len() as u64 },
        spared: (*digest == world.digest("dead")).then_some(Spared::Linked),
    };
    let blobs: Vec<Lying> = world.memory.blobs.iter().map(lying).collect();
    let swept = sweep(&graph, &world.memory, &blobs, Options { prune: true, threads: 1 }, &Unwatched).unwrap();
    assert_eq!((swept.removed, swept.edits, swept.young), (vec![], vec![], 0));
}

#[test]
fn a_manifest_that_cannot_be_read_stops_everything() {
    for harm in ["damage app", "damage amd", "cut app", "damage sig", "damage app.fallback"] {
        let world = draw(&format!(
            "image amd = base
             index app:1 = amd
             refer sig -> app : application/x.sig
             refer note -> app : application/x.note
             fallback app = note
             file crumb
             {harm}"
        ));
        for prune in [false, true] {
            let why = swept_with(&world.memory, &[], prune).unwrap_err();
            assert_eq!(why.kind(), Kind::Integrity, "{harm}: {}", why.chain());
        }
    }
    // What nothing needs may be as broken as it likes.
    expect("image app:1 = base\nimage dead = base\nhidden dead\ndamage dead", "dead dead.config", "");
}

#[test]
fn a_part_of_an_orphan_that_cannot_be_read_stops_everything() {
    let world = draw(
        "image app:1 = base
         image inner = own
         index proof -> app = inner
         hidden proof
         damage inner",
    );
    assert_eq!(swept_with(&world.memory, &[], false).unwrap_err().kind(), Kind::Integrity);
}

/// MANIFEST-18: nobody can tell which of two lists is meant, so what either needs stays.
#[test]
fn a_manifest_with_two_lists_stops_everything() {
    let text = String::from_utf8(fixtures::IMG_AMD64.bytes.to_vec()).unwrap();
    for more in
        [r#","layers":[]}"#, r#","layers":[],"a":1,"a":1}"#, r#","config":{},"annotations":{},"annotations":{}}"#]
    {
        let mut layout = odd::strict();
        let text = format!("{}{more}", text.strip_suffix('}').unwrap());
        let digest = layout.add(text.as_bytes());
        let entry = Descriptor::new(fixtures::IMG_AMD64.media_type, digest, text.len() as u64);
        layout.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entry.text()).into_bytes();
        assert_eq!(swept_with(&layout, &[], false).unwrap_err().kind(), Kind::Integrity, "{text}");
    }
}

/// MANIFEST-17, DOCKER-COMPAT-9: what is of a type that says nothing may be a manifest, and is read as what it is; where it
/// is none that can be followed, what it mentions stays.
#[test]
fn what_may_be_a_manifest_keeps_what_it_needs() {
    let schema1 = format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{}"}}]}}"#, Digest::of(b"mine"));
    let doubled = format!(r#"{{"schemaVersion":2,"layers":[{{"digest":"{}"}}],"layers":[]}}"#, Digest::of(b"mine"));
    let image = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{}","size":4}},"layers":[]}}"#,
        Digest::of(b"mine")
    );
    for text in [schema1, doubled, image] {
        for nothing in ["", "application/json"] {
            let mut layout = odd::strict();
            layout.add(*b"mine");
            let child = Descriptor::new(nothing, layout.add(text.as_bytes()), text.len() as u64);
            let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, child.text());
            let held = layout.add(index.as_bytes());
            let held = Descriptor::new(fixtures::INDEX.media_type, held, index.len() as u64);
            for entry in [&child, &held] {
                layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entry.text()).into_bytes();
                let removed = swept_with(&layout, &[], false).unwrap().removed;
                let lost = |digest: &Digest| removed.iter().any(|blob| blob.digest == *digest);
                assert!(!lost(&Digest::of(b"mine")) && !lost(&child.digest), "{nothing:?} {text}");
                assert!(lost(&fixtures::LAYER_GZ.digest()));
            }
        }
    }
}

/// 4.8
#[test]
fn an_entry_that_is_no_descriptor_stops_everything() {
    let mut world = draw("image app:1 = base\nfile crumb").memory;
    world.index =
        br#"{"schemaVersion":2,"manifests":[{"mediaType":"x/y","digest":"sha256:nonsense","size":1}]}"#.to_vec();
    assert_eq!(swept_with(&world, &[], false).unwrap_err().kind(), Kind::Integrity);
}

/// INDEX-12
#[test]
fn what_is_absent_is_passed_over_and_a_whole_entry_that_is_absent_is_told() {
    let world = draw(
        "image amd = base
         image arm = base + other
         index app:1 = amd, arm
         ghost nobody
         entry nobody
         file crumb
         absent arm
         absent base",
    );
    let swept = swept_with(&world.memory, &[], false).unwrap();
    assert_eq!(removed(&world, &swept), "arm.config crumb other");
    assert_eq!(world.words(&swept.absent), "nobody");
}

/// DIGEST-5
#[test]
fn what_an_unknown_algorithm_names_stays_if_it_is_reached() {
    let mut world = draw("image app:1 = base");
    let bytes = world.memory.blobs[&world.digest("app")].clone();
    let odd: Digest = "md5:d41d8cd98f00b204e9800998ecf8427e".parse().unwrap();
    let crumb: Digest = "md5:d41d8cd98f00b204e9800998ecf84270".parse().unwrap();
    world.memory.index =
        String::from_utf8(world.memory.index).unwrap().replace(&world_digest(&bytes), &odd.to_string()).into_bytes();
    world.memory.blobs.insert(odd.clone(), bytes.clone());
    world.memory.blobs.insert(crumb.clone(), b"{}".to_vec());
    let swept = swept_with(&world.memory, &[], false).unwrap();
    let gone: Vec<&Digest> = swept.removed.iter().map(|blob| &blob.digest).collect();
    assert_eq!(gone, [&crumb, &Digest::of(&bytes)], "only what nothing reaches, whatever its name");
    // Bytes that are no manifest do not tell what they need.
    world.memory.blobs.insert(odd, b"no manifest".to_vec());
    assert_eq!(swept_with(&world.memory, &[], false).unwrap_err().kind(), Kind::Integrity);
}

fn world_digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// DOCKER-COMPAT-7
#[test]
fn what_a_manifest_of_an_unfollowed_form_mentions_stays() {
    for media_type in
        ["application/vnd.docker.distribution.manifest.v1+json", "application/vnd.example.image.manifest.v9+json"]
    {
        let world = draw(
            "image inner = base
             hidden inner
             file layer
             file crumb",
        );
        let mut layout = world.memory.clone();
        let document = format!(
            r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{}"}},{{"blobSum":"{}"}}]}}"#,
            world.digest("layer"),
            world.digest("inner")
        );
        let digest = layout.add(document.as_bytes());
        let size = document.len();
        let entry = format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#);
        layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#).into_bytes();
        let swept = swept_with(&layout, &[], false).unwrap();
        assert_eq!(removed(&world, &swept), "crumb", "{media_type}");
    }
}

/// What calls itself a manifest and is too long to be read may mention anything.
#[test]
fn a_long_document_of_an_unknown_form_stops_it() {
    let world = draw("file some\nfile crumb");
    let mut layout = world.memory.clone();
    let document = format!(r#"{{"pad":"{}","blob":"{}"}}"#, " ".repeat(8 << 20), world.digest("some"));
    let (digest, size) = (layout.add(document.as_bytes()), document.len());
    let entry = format!(r#"{{"mediaType":"application/vnd.acme.manifest.v2+json","digest":"{digest}","size":{size}}}"#);
    layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#).into_bytes();
    let refused = swept_with(&layout, &[], false).unwrap_err();
    assert_eq!(refused.kind(), Kind::Integrity, "{}", refused.chain());
    // Of what calls itself nothing, nothing that long is a manifest.
    for nothing in ["", "application/json"] {
        let entry = format!(r#"{{"mediaType":"{nothing}","digest":"{digest}","size":{size}}}"#);
        layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#).into_bytes();
        assert_eq!(removed(&world, &swept_with(&layout, &[], false).unwrap()), "crumb some", "{nothing:?}");
    }
}

/// DESCRIPTOR-9, LAYERS-12
#[test]
fn content_that_is_in_a_descriptor_leads_on_and_foreign_layers_are_parts() {
    let world = draw(
        "image app = base
         layer far : application/vnd.oci.image.layer.nondistributable.v1.tar
         image win:1 = far
         file crumb",
    );
    let mut layout = world.memory.clone();
    let bytes = layout.blobs.remove(&world.digest("app")).unwrap();
    let own = world.descriptor("app").text();
    let data = base64(&bytes);
    let with_data = format!("{},\"data\":\"{data}\"}}", &own[..own.len() - 1]);
    layout.index = String::from_utf8(layout.index).unwrap().replace(own, &with_data).into_bytes();
    let swept = swept_with(&layout, &[], false).unwrap();
    assert_eq!(removed(&world, &swept), "crumb");
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().chain([0, 0].iter()).take(3).fold(0u32, |n, byte| n << 8 | u32::from(*byte));
        for at in 0..4 {
            let letter = char::from(LETTERS[(n >> (18 - 6 * at) & 63) as usize]);
            out.push(if at <= three.len() { letter } else { '=' });
        }
    }
    out
}

#[test]
fn wholes_stand_before_their_parts() {
    let world = draw(
        "image amd = base [linux/amd64]
         image arm = base [linux/arm64]
         index inner = amd
         index outer = inner, arm
         hidden outer
         file crumb",
    );
    let swept = swept_with(&world.memory, &[], false).unwrap();
    let place = |name: &str| swept.removed.iter().position(|blob| blob.digest == world.digest(name)).unwrap();
    for (whole, part) in [
        ("outer", "inner"),
        ("outer", "arm"),
        ("inner", "amd"),
        ("amd", "amd.config"),
        ("amd", "base"),
        ("arm", "base"),
        ("arm", "arm.config"),
    ] {
        assert!(place(whole) < place(part), "{whole} is gone before {part}");
    }
}

/// Appendix C: layouts that other tools leave.
#[test]
fn odd_layouts_lose_nothing_that_is_needed() {
    for (name, layout) in [
        ("strict", odd::strict()),
        ("all referrers", odd::all_referrers()),
        ("fallback", odd::fallback()),
        ("stale", odd::stale()),
        ("olareg", odd::olareg()),
        ("containerd", odd::containerd()),
        ("cosign blob", odd::cosign_blob()),
        ("cosign tag", odd::cosign_tag()),
        ("duplicate tag", odd::duplicate_tag()),
        ("null", odd::null()),
        ("sparse", odd::sparse()),
        ("docker", odd::docker()),
        ("legacy", odd::legacy()),
        ("nested", odd::nested()),
        ("sha512", odd::sha512()),
    ] {
        let scan = Load { scan_blobs: true, ..PLAIN };
        let before = Graph::load(&layout, scan, &Unwatched).unwrap();
        let swept = swept_with(&layout, &[], false).unwrap();
        let left = after(&layout, &swept);
        let graph = Graph::load(&left, scan, &Unwatched).unwrap();
        assert!(swept.edits.is_empty(), "{name}: {:?}", swept.edits);
        for (digest, node) in before.nodes() {
            let orphan = swept.orphans.iter().any(|orphan| orphan.digest == *digest && !orphan.stays);
            assert!(orphan || graph.node(digest) == Some(node), "{name}: {digest}");
        }
    }
}

/// A world that these steps draw: images, indexes and artifacts, some with names, referrers in every dialect, some of
/// it hidden or absent.
fn world_of(steps: &[(u8, usize, usize)]) -> String {
    let mut text = String::from("image m0:t0 = base\n");
    let mut listed = Vec::new();
    for (n, (what, one, other)) in steps.iter().enumerate().map(|(n, step)| (n + 1, step)) {
        let (one, other) = (format!("m{}", one % n), format!("m{}", other % n));
        let line = match what {
            0 => format!("image m{n}:t{n} = base + own{n}"),
            1 => format!("image m{n} = own{n}"),
            2 => format!("index m{n}:t{n} = {one}, {other} {{n={n}}}"),
            3 => format!("index m{n} = {one}, {other} {{n={n}}}"),
            4 => format!("refer m{n} -> {one} : application/x.sig"),
            5 => format!("refer m{n} -> {one} : application/x.sig\nhidden m{n}"),
            6 => format!("containerd m{n} -> {one} : application/x.old"),
            7 => format!("index m{n} -> {one} = {other} {{n={n}}}"),
            8 => format!("refer m{n}:t{n} -> {one} : application/x.sig"),
            9 => format!("attest m{n} -> {one}\nindex i{n} = {one}, m{n}"),
            10 => format!("image m{n} = own{n}\nhidden m{n}"),
            11 => format!("index m{n} = {one}, {other} {{n={n}}}\nhidden m{n}"),
            12 if !listed.contains(&one) => {
                listed.push(one.clone());
                let word = if n % 2 == 0 { "fallback" } else { "olareg" };
                format!("refer m{n} -> {one} : application/x.sig\n{word} {one} = m{n}")
            }
            13 => format!("image m{n} = own{n}\nabsent m{n}.config"),
            _ => format!("ghost m{n}"),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Everything that a digest needs, as far as it is there.
fn needs(graph: &Graph, layout: &Memory, root: &Digest) -> std::collections::BTreeSet<Digest> {
    let mut stack = vec![root.clone()];
    let mut needs = std::collections::BTreeSet::new();
    while let Some(digest) = stack.pop() {
        if layout.blobs.contains_key(&digest) && needs.insert(digest.clone()) {
            let parts = graph.facts(&digest).into_iter().flat_map(|facts| facts.parts);
            stack.extend(parts.map(|part| part.descriptor.digest.clone()));
        }
    }
    needs
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 600, ..Default::default() })]
    /// Whatever is swept: what tags reach is there, and so is what refers to it, with all it needs; nothing young
    /// goes; and once was enough.
    #[test]
    fn no_sweep_loses_what_is_needed(
        steps in proptest::collection::vec((0u8..16, 0usize..100, 0usize..100), 0..16),
        prune: bool,
        fresh in proptest::collection::vec(0usize..100, 0..3),
    ) {
        let text = world_of(&steps);
        let world = draw(&text);
        let scan = Load { scan_blobs: true, ..PLAIN };
        let before = Graph::load(&world.memory, scan, &Unwatched).unwrap();
        let all: Vec<Digest> = world.memory.blobs.keys().cloned().collect();
        let young: Vec<Digest> = fresh.iter().map(|n| all[n % all.len()].clone()).collect();
        let swept = swept_with(&world.memory, &young, prune).unwrap();
        let left = after(&world.memory, &swept);
        let graph = Graph::load(&left, scan, &Unwatched).unwrap();
        let mut live: Vec<Digest> = Vec::new();
        for (place, entry) in before.index().entries().iter().enumerate() {
            let digest = &entry.descriptor(place).unwrap().digest;
            let stays = graph.index().entries().iter().any(|kept| kept.descriptor(0).unwrap().digest == *digest);
            proptest::prop_assert!(stays || !entry.tagged(), "a tag is gone\n{text}");
            live.extend(stays.then(|| digest.clone()));
        }
        // What stays lives, and so does whatever says itself that it refers to it.
        let mut met = std::collections::BTreeSet::new();
        while let Some(digest) = live.pop() {
            for need in needs(&before, &world.memory, &digest) {
                proptest::prop_assert!(left.blobs.contains_key(&need), "{} is gone\n{text}", world.word(&need));
                if met.insert(need.clone()) {
                    let own = before.referrers(&need).iter().map(|edge| &edge.referrer);
                    live.extend(own.filter(|referrer| before.facts(referrer).unwrap().subject.is_some()).cloned());
                }
            }
        }
        for digest in &young {
            proptest::prop_assert!(left.blobs.contains_key(digest), "{} was young\n{text}", world.word(digest));
        }
        let options =
            fsck::Options { threads: 1, archive: false, complete: false, allow_missing: false };
        let errors = |layout: &Memory| {
            let problems = fsck::examine(layout, options, &Unwatched).unwrap().report().problems;
            problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect::<Vec<_>>()
        };
        let known = errors(&world.memory);
        for problem in errors(&left) {
            proptest::prop_assert!(known.contains(&problem), "{problem:?}\n{text}");
        }
        let again = swept_with(&left, &young, prune).unwrap();
        proptest::prop_assert!(again.removed.is_empty() && again.edits.is_empty(), "{:?}\n{text}", again.removed);
    }
}
