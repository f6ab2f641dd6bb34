//! What goes along with what.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::collections::BTreeSet;

use ocistow_graph::bundle::carries_mismatch;
use ocistow_graph::docker::docker_manifest;
use ocistow_graph::fsck;
use ocistow_graph::graph::CONTAINERD_SUBJECT;
use ocistow_graph::resolve::{Asked, resolve};
use ocistow_graph::{Graph, Load, Plan, Request, plan};
use ocistow_layout::index::CARRIES;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Descriptor, Digest, IndexFile, Kind, Result, Source, Unwatched, checked};
use ocistow_testkit::fixtures::*;
use ocistow_testkit::{Drawing, draw, odd, world_of};

const CHECKED: fsck::Options = fsck::Options { threads: 1, archive: false, complete: true, allow_missing: false };
const PLAIN: Load = Load { threads: 1, scan_blobs: false };

fn request() -> Request {
    Request { referrers: true, ..Request::default() }
}

/// A request for named references, `@name` for a drawn thing by its digest.
fn of(world: &Drawing, names: &[&str]) -> Request {
    let asked = |name: &&str| match name.strip_prefix('@') {
        Some(word) => Asked::Digest(world.digest(word)),
        None => Asked::Name((*name).into(), None),
    };
    let target = |name| resolve(&world.memory, &asked(name), PLAIN, &Unwatched).unwrap();
    Request { targets: names.iter().map(target).collect(), ..request() }
}

fn export(layout: &Memory, request: &Request) -> Result<Plan> {
    plan::export(&Graph::load(layout, PLAIN, &Unwatched)?, layout, request)
}

/// The words for everything carried, sorted.
fn words(world: &Drawing, plan: &Plan) -> String {
    let mut words: Vec<String> = plan.order().map(|blob| world.word(&blob.digest)).collect();
    words.sort();
    words.join(" ")
}

/// The bundle a plan makes.
fn carry(layout: &Memory, plan: &Plan) -> Memory {
    let mut bundle = Memory { index: plan.bundle_index(), ..Memory::default() };
    for blob in plan.order() {
        let bytes = match plan.inline.get(&blob.digest) {
            Some(bytes) => bytes.clone(),
            None => checked::read(layout, &blob.digest, u64::MAX).unwrap().unwrap(),
        };
        assert_eq!(bytes.len() as u64, blob.size);
        bundle.blobs.insert(blob.digest.clone(), bytes);
    }
    bundle
}

/// Every bundle reaches exactly what it declares, and makes itself again.
fn sound(layout: &Memory, plan: &Plan) -> Memory {
    let bundle = carry(layout, plan);
    let again = export(&bundle, &request()).unwrap();
    assert_eq!(carries_mismatch(&bundle.index().unwrap(), again.order()), None);
    assert_eq!(again.bundle(), plan.bundle());
    assert_eq!(again.missing, plan.missing);
    bundle
}

const WORLD: &str = "
    image amd = base + tools [linux/amd64]
    image arm = base + other [linux/arm64/v8]
    attest amdprov -> amd
    attest armprov -> arm
    index app:1.0 = amd, arm, amdprov, armprov
    refer sbom -> app : application/spdx+json
    refer sig -> sbom : application/x.sig
    refer armsig -> arm : application/x.sig
    cosign amd.sig
    image lone:2.0 = base
";

/// The media types of 2.1 that are no manifests', and some of nobody.
const OPAQUE: [&str; 40] = [
    "application/vnd.oci.descriptor.v1+json",
    "application/vnd.oci.layout.header.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.empty.v1+json",
    "application/vnd.oci.scratch.v1+json",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.plugin.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.cncf.oras.artifact.descriptor.v1+json",
    "application/vnd.unknown.config.v1+json",
    "application/vnd.erofs.layer.v1",
    "application/vnd.buildkit.cacheconfig.v0",
    "application/vnd.in-toto+json",
    "application/vnd.docker.attestation.manifest.v1+json",
    "application/vnd.cncf.notary.signature",
    "application/vnd.cncf.notary.payload.v1+json",
    "application/jose+json",
    "application/cose",
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dsse.envelope.v1+json",
    "text/spdx",
    "text/spdx+json",
    "application/vnd.cyclonedx+xml",
    "application/vnd.syft+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.cncf.helm.config.v1+json",
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    "application/vnd.cncf.helm.chart.provenance.v1.prov",
    "application/tar+gzip",
    "application/vnd.helm.plugin.v1+json",
    "application/wasm",
    "no type at all",
    "é",
];

/// MANIFEST-4, MANIFEST-5, LAYERS-20, INDEX-5: whatever type a config, a layer, an artifact, a child or an entry has, it
/// is content, which is carried, found in order and never looked into.
#[test]
fn content_of_any_type_is_carried_as_it_is() {
    for media_type in OPAQUE {
        let mut layout = Memory::default();
        let mut content = |bytes: &[u8]| {
            let digest = layout.add(bytes);
            format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, bytes.len())
        };
        // Bytes that are neither text nor a config.
        let [config, layer, child, entry] =
            [b"\xff{config", b"\x00{layer!", b"\x7f[child!", b"\x80[entry!"].map(|it| content(it));
        let image = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","artifactType":"{media_type}","config":{config},"layers":[{layer}]}}"#,
            IMG_AMD64.media_type
        );
        let image = Descriptor::new(IMG_AMD64.media_type, layout.add(image.as_bytes()), image.len() as u64);
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{},{child}]}}"#,
            INDEX.media_type,
            image.text()
        );
        let index = Descriptor::new(INDEX.media_type, layout.add(index.as_bytes()), index.len() as u64);
        layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{},{entry}]}}"#, index.text()).into_bytes();
        let plan = export(&layout, &request()).unwrap();
        plan.verdict(false, true).unwrap();
        assert_eq!(carry(&layout, &plan).blobs, layout.blobs, "{media_type}");
        let found = fsck::examine(&layout, CHECKED, &Unwatched).unwrap().report();
        assert_eq!(found.problems, [], "{media_type}");
    }
}

/// LAYOUT-12: the name of an entry is a name in index.json alone.
#[test]
fn what_is_called_by_a_nested_index_has_no_name() {
    let mut layout = odd::strict();
    let child = IMG_AMD64.descriptor().text().trim_end_matches('}').to_owned();
    let child = format!(r#"{child},"annotations":{{"org.opencontainers.image.ref.name":"evil"}}}}"#);
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{child}]}}"#, INDEX.media_type);
    let index = Descriptor::new(INDEX.media_type, layout.add(text.as_bytes()), text.len() as u64);
    layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, index.text()).into_bytes();
    let named = resolve(&layout, &Asked::Name("evil".into(), None), PLAIN, &Unwatched);
    assert_eq!(named.unwrap_err().kind(), Kind::NotFound);
    let graph = Graph::load(&layout, PLAIN, &Unwatched).unwrap();
    assert!(graph.tags_of(&IMG_AMD64.digest()).is_empty());
    // Nor does the bundle of the child alone get it.
    let target = resolve(&layout, &Asked::Digest(IMG_AMD64.digest()), PLAIN, &Unwatched).unwrap();
    let plan = export(&layout, &Request { targets: vec![target], ..request() }).unwrap();
    assert!(plan.entries.iter().all(|entry| entry.pair.is_empty()));
    assert!(!String::from_utf8(plan.bundle_index()).unwrap().contains("evil"));
}

#[test]
fn a_reference_takes_its_parts_and_its_referrers_along() {
    let world = draw(WORLD);
    let plan = export(&world.memory, &of(&world, &["lone"].map(|_| "2.0"))).unwrap();
    assert_eq!(words(&world, &plan), "base lone lone.config");
    let plan = export(&world.memory, &of(&world, &["1.0"])).unwrap();
    for word in ["app", "amd", "arm", "amdprov", "armprov", "sbom", "sig", "armsig", "amd.sig", "tools", "other"] {
        assert!(words(&world, &plan).split(' ').any(|carried| carried == word), "{word}");
    }
    assert!(!words(&world, &plan).contains("lone"));
    let entries: Vec<String> = plan.entries.iter().map(|entry| world.word(&entry.descriptor.digest)).collect();
    let entries: BTreeSet<&str> = entries.iter().map(String::as_str).collect();
    assert_eq!(entries, BTreeSet::from(["app", "sbom", "sig", "armsig", "amd.sig"]));
    plan.verdict(false, true).unwrap();
    sound(&world.memory, &plan);
}

#[test]
fn without_referrers_attestation_children_stay() {
    let world = draw(WORLD);
    let plan = export(&world.memory, &Request { referrers: false, ..of(&world, &["1.0"]) }).unwrap();
    let carried = words(&world, &plan);
    assert!(carried.contains("amdprov") && !carried.contains("sbom") && !carried.contains("sig"), "{carried}");
    assert!(plan.omitted.referrers.blobs >= 4);
    sound(&world.memory, &plan);
    let all = export(&world.memory, &Request { referrers: false, ..Request::default() }).unwrap();
    assert_eq!(all.roots.len(), 2);
    assert_eq!(all.entries.len(), 2);
}

#[test]
fn a_platform_leaves_the_others_and_what_is_theirs() {
    let world = draw(WORLD);
    let platforms = vec!["linux/amd64".parse().unwrap()];
    let named = Request { platforms: platforms.clone(), ..of(&world, &["1.0"]) };
    let plan = export(&world.memory, &named).unwrap();
    let carried = words(&world, &plan);
    for there in ["app", "amd", "amdprov", "sbom", "sig", "amd.sig", "tools"] {
        assert!(carried.split(' ').any(|word| word == there), "{there} in {carried}");
    }
    for gone in ["arm", "armprov", "armsig", "other", "arm.config"] {
        assert!(!carried.split(' ').any(|word| word == gone), "{gone} in {carried}");
    }
    assert!(plan.absent_children.is_empty() && plan.omitted.platform.blobs > 0);
    sound(&world.memory, &plan);
    // Of everything: `lone` says linux/amd64 in its config alone.
    let all = export(&world.memory, &Request { platforms, ..request() }).unwrap();
    let carried = words(&world, &all);
    assert!(carried.contains("lone") && !carried.contains("armsig") && carried.contains("amd.sig"), "{carried}");
    sound(&world.memory, &all);
    let none = Request { platforms: vec!["linux/s390x".parse().unwrap()], ..of(&world, &["1.0"]) };
    assert_eq!(export(&world.memory, &none).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_subject_is_followed_only_when_asked() {
    let world = draw("image app:1 = base\nrefer sig:s -> app : application/x.sig");
    let plan = export(&world.memory, &of(&world, &["s"])).unwrap();
    assert!(!words(&world, &plan).contains("app"));
    let plan = export(&world.memory, &Request { include_subject: true, ..of(&world, &["s"]) }).unwrap();
    assert!(words(&world, &plan).contains("app"));
    // The subject's own name was not asked for.
    assert!(plan.entries.iter().any(|entry| entry.pair.is_empty()));
    sound(&world.memory, &plan);
}

#[test]
fn a_tagged_referrer_goes_along_without_its_name() {
    let world = draw("image app:1 = base\nrefer sig:s -> app : application/x.sig");
    let plan = export(&world.memory, &of(&world, &["1"])).unwrap();
    let names: Vec<Option<&str>> = plan.entries.iter().map(|entry| entry.pair.tag()).collect();
    assert_eq!(names, [None, Some("1")]);
    let all = export(&world.memory, &request()).unwrap();
    let names: Vec<Option<&str>> = all.entries.iter().map(|entry| entry.pair.tag()).collect();
    assert_eq!(names, [Some("1"), Some("s")]);
}

#[test]
fn a_child_named_alone_brings_what_only_its_index_knew() {
    let world = draw(WORLD);
    let plan = export(&world.memory, &of(&world, &["@amd"])).unwrap();
    assert!(words(&world, &plan).contains("amdprov"));
    let bundle = sound(&world.memory, &plan);
    let graph = Graph::load(&bundle, PLAIN, &Unwatched).unwrap();
    assert!(graph.referrers(&world.digest("amd")).iter().any(|edge| edge.referrer == world.digest("amdprov")));
}

/// Only an index that stays behind knew whose it is, and the attestation has entries of its own.
#[test]
fn an_attestation_says_whose_it_is_where_its_index_stays_behind() {
    let world = "image app:1 = base\nattest prov -> app\nindex all:2 = app, prov\n";
    let of_app = |bundle: &Memory, world: &Drawing| {
        let graph = Graph::load(bundle, PLAIN, &Unwatched).unwrap();
        let referrers = graph.referrers(&world.digest("app")).iter().map(|edge| world.word(&edge.referrer));
        referrers.collect::<Vec<_>>()
    };
    for (more, asked, entries) in [
        ("tag prov as p", &["1"][..], &[None, Some("1")][..]),
        ("tag prov as p\ntag prov as q", &["1"], &[None, Some("1")]),
        ("tag prov as p", &["1", "p"], &[Some("1"), Some("p")]),
        ("entry prov", &["1"], &[None, Some("1")]),
        ("entry prov\ntag prov as p", &["1", "p"], &[None, Some("1"), Some("p")]),
        // The index goes along, and says so itself.
        ("tag prov as p", &["2"], &[None, Some("2")]),
    ] {
        let world = draw(&format!("{world}{more}"));
        let plan = export(&world.memory, &of(&world, asked)).unwrap();
        let bundle = sound(&world.memory, &plan);
        assert_eq!(of_app(&bundle, &world), ["prov"], "{more}, {asked:?}");
        let names: Vec<Option<&str>> = plan.entries.iter().map(|entry| entry.pair.tag()).collect();
        assert_eq!(names, entries, "{more}, {asked:?}");
        let said = plan.entries.iter().filter(|entry| entry.descriptor.annotation(CONTAINERD_SUBJECT).is_some());
        assert_eq!(said.count(), usize::from(asked != ["2"]), "{more}, {asked:?}");
    }
}

/// C-FALLBACK: the list travels with unchanged bytes where nothing is left out, and is made new where something is.
#[test]
fn fallback_lists_are_kept_true() {
    let layout = odd::fallback();
    for request in
        [request(), Request { targets: vec![resolve(&layout, &Asked::Root, PLAIN, &Unwatched).unwrap()], ..request() }]
    {
        let plan = export(&layout, &request).unwrap();
        assert_eq!(plan.entries.len(), 2);
        assert!(plan.manifests.iter().any(|blob| blob.digest == REFERRERS_RESPONSE.digest()));
        assert!(plan.inline.is_empty());
        sound(&layout, &plan);
    }
    let world = draw(
        "image app:1 = base
         image bad:2 = base
         refer one -> app : application/x.sig
         fallback app = one, bad",
    );
    let plan = export(&world.memory, &of(&world, &["1"])).unwrap();
    assert_eq!(plan.inline.len(), 1);
    assert!(!words(&world, &plan).contains("bad"));
    let bundle = sound(&world.memory, &plan);
    let graph = Graph::load(&bundle, PLAIN, &Unwatched).unwrap();
    assert_eq!(graph.lists().len(), 1);
    assert_eq!(graph.referrers(&world.digest("app")).len(), 1);
}

/// C-COSIGN-BLOB: what a scan found becomes an entry.
#[test]
fn a_hidden_referrer_becomes_an_entry() {
    let layout = odd::cosign_blob();
    let graph = Graph::load(&layout, Load { scan_blobs: true, ..PLAIN }, &Unwatched).unwrap();
    let plan = plan::export(&graph, &layout, &request()).unwrap();
    let entry = plan.entries.iter().find(|entry| entry.descriptor.digest == COSIGN_BUNDLE.digest()).unwrap();
    assert_eq!(entry.descriptor.artifact_type.as_deref(), Some("application/vnd.dev.sigstore.bundle.v0.3+json"));
    sound(&layout, &plan);
}

#[test]
fn missing_content_absent_children_and_damage_are_told_apart() {
    let kind = |text: &str, allow, complete| {
        let world = draw(text);
        export(&world.memory, &request()).and_then(|plan| plan.verdict(allow, complete)).map_err(|why| why.kind())
    };
    assert_eq!(kind("image a:1 = base\nabsent base", false, false), Err(Kind::Incomplete));
    assert_eq!(kind("image a:1 = base\nabsent base", true, false), Ok(()));
    assert_eq!(kind("image a:1 = base\nabsent a", false, false), Err(Kind::Incomplete));
    assert_eq!(kind("image a:1 = base\ndamage a", true, false), Err(Kind::Integrity));
    assert_eq!(kind("image a:1 = base\ncut base", true, false), Err(Kind::Integrity));
    let sparse = "image a = base [linux/amd64]\nghost b 9\nindex i:1 = a, b";
    assert_eq!(kind(sparse, false, false), Ok(()));
    assert_eq!(kind(sparse, false, true), Err(Kind::Incomplete));
    let foreign = "layer f 10 : application/vnd.oci.image.layer.nondistributable.v1.tar+gzip\nimage a:1 = f\nabsent f";
    assert_eq!(kind(foreign, false, true), Ok(()));
}

/// MANIFEST-15
#[test]
fn a_manifest_of_another_shape_than_is_said_of_it_is_wrong() {
    let world = draw("image app = base\nindex all:1 = app\nimage other:2 = top");
    let index = String::from_utf8(world.memory.index.clone()).unwrap();
    let (image_type, index_type) = ("oci.image.manifest.v1", "oci.image.index.v1");
    let entry_lies = Memory { index: index.replace(index_type, image_type).into_bytes(), ..world.memory.clone() };
    let whole = export(&world.memory, &request()).unwrap();
    assert_eq!(whole.verdict(false, false).map_err(|why| why.kind()), Ok(()));
    let plan = export(&entry_lies, &request()).unwrap();
    assert!(plan.broken.contains_key(&world.digest("all")), "{:?}", plan.broken);
    assert_eq!(plan.verdict(true, false).unwrap_err().kind(), Kind::Integrity);
    // What a manifest calls itself, and what the index that holds it calls it.
    let claim = format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.{index_type}+json","config":"#);
    let config = whole.configs.first().unwrap();
    let config = format!(
        r#"{{"mediaType":"application/vnd.{image_type}+json","digest":"{}","size":{}}}"#,
        config.digest, config.size
    );
    let itself = format!(r#"{claim}{config},"layers":[]}}"#).into_bytes();
    let child = |media_type: &str, bytes: &[u8]| {
        format!(
            r#"{{"mediaType":"application/vnd.{media_type}+json","digest":"{}","size":{}}}"#,
            Digest::of(bytes),
            bytes.len()
        )
    };
    let app = world.memory.blobs[&world.digest("app")].clone();
    for held in [child(image_type, &itself), child(index_type, &app)] {
        let holder = format!(r#"{{"schemaVersion":2,"manifests":[{held}]}}"#).into_bytes();
        let mut layout = world.memory.clone();
        layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, child(index_type, &holder)).into_bytes();
        for bytes in [&itself, &holder] {
            layout.blobs.insert(Digest::of(bytes), bytes.clone());
        }
        let plan = export(&layout, &request()).unwrap();
        assert_eq!(plan.verdict(true, false).unwrap_err().kind(), Kind::Integrity, "{held}");
        assert_eq!(plan.broken.len(), 1, "{:?}", plan.broken);
    }
}

#[test]
fn nothing_to_carry_is_not_found() {
    assert_eq!(export(&odd::empty(), &request()).unwrap_err().kind(), Kind::NotFound);
}

/// LAYERS-12 and DESCRIPTOR-9: a right `data` is content.
#[test]
fn data_is_content() {
    let mut layout = Memory::default();
    layout.add(IMG_DATA_FIELD.bytes);
    let entry = IMG_DATA_FIELD.descriptor();
    layout.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entry.text()).into_bytes();
    let plan = export(&layout, &request()).unwrap();
    plan.verdict(false, true).unwrap();
    assert_eq!(plan.inline.get(&EMPTY_JSON.digest()).map(Vec::as_slice), Some(EMPTY_JSON.bytes));
    assert_eq!((plan.configs.len(), plan.blobs.len()), (1, 0));
    sound(&layout, &plan);
}

/// The exact bytes of the contract's "Bundles".
#[test]
fn a_bundles_index_is_sorted_compact_and_declares_what_it_carries() {
    let mut layout = odd::strict();
    let text = String::from_utf8(layout.index.clone()).unwrap();
    let text = text.replacen("\"size\":633", " \"size\" : 633 , \"x-own\" : 1.0e2", 1);
    let entry = REF_ARTIFACT.descriptor();
    layout.index = format!("{},{}]}}", text.strip_suffix("]}").unwrap(), entry.text()).into_bytes();
    let plan = export(&layout, &request()).unwrap();
    let (index, sbom) = (INDEX.digest(), REF_ARTIFACT.digest());
    let mut lines: Vec<String> = plan.order().map(|blob| format!("{} {}\n", blob.digest, blob.size)).collect();
    lines.sort();
    let bytes: u64 = plan.order().map(|blob| blob.size).sum();
    let hash = Digest::of(lines.concat().as_bytes());
    let expected = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{t}\",\"manifests\":[\
         {{\"mediaType\":\"{m}\",\"digest\":\"{sbom}\",\"size\":633,\"x-own\":1.0e2,\"artifactType\":\"application/vnd.example.sbom.v1\"}},\
         {{\"mediaType\":\"{m}\",\"digest\":\"{sbom}\",\"size\":633}},\
         {{\"mediaType\":\"{t}\",\"digest\":\"{index}\",\"size\":491,\"annotations\":{{\"org.opencontainers.image.ref.name\":\"v1\"}}}}],\
         \"annotations\":{{\"{CARRIES}\":\"{} {bytes} {hash}\"}}}}",
        lines.len(),
        t = INDEX.media_type,
        m = REF_ARTIFACT.media_type,
    );
    assert_eq!(String::from_utf8(plan.bundle_index()).unwrap(), expected);
    assert_eq!(plan.count().blobs, 9);
    let mut bundle = sound(&layout, &plan);
    bundle.blobs.remove(&LAYER_TAR.digest());
    let less = export(&bundle, &request()).unwrap();
    assert!(carries_mismatch(&IndexFile::parse(plan.bundle_index()).unwrap(), less.order()).is_some());
}

/// ARCHIVE-10, DOCKER-MANIFEST-JSON-NEW.
#[test]
fn dockers_manifest_names_images_by_their_full_names() {
    let world = draw(WORLD);
    let make = |request: &Request| {
        let graph = Graph::load(&world.memory, PLAIN, &Unwatched).unwrap();
        let plan = plan::export(&graph, &world.memory, request).unwrap();
        docker_manifest(&plan, &graph, &world.memory, &request.platforms)
    };
    assert_eq!(make(&of(&world, &["1.0"])).unwrap_err().kind(), Kind::Usage);
    let one = Request {
        platforms: vec!["linux/amd64".parse().unwrap()],
        repository: Some("example/app".into()),
        ..of(&world, &["1.0"])
    };
    let made = make(&one).unwrap();
    let (config, base, tools) = (world.digest("amd.config"), world.digest("base"), world.digest("tools"));
    let expected = format!(
        "[{{\"Config\":\"{}\",\"RepoTags\":[\"example/app:1.0\"],\"Layers\":[\"{}\",\"{}\"]}}]",
        config.path(),
        base.path(),
        tools.path()
    );
    assert_eq!((String::from_utf8(made.bytes).unwrap(), made.images, made.nameless), (expected, 1, 0));
    let made = make(&of(&world, &["2.0"])).unwrap();
    assert!(String::from_utf8(made.bytes).unwrap().contains("\"RepoTags\":null"));
    assert_eq!((made.images, made.nameless), (1, 1));
}

proptest::proptest! {
    /// Whatever is asked of whatever layout: the bundle reaches what it declares and makes itself again, and
    /// every edge between things carried is still there.
    #[test]
    fn every_bundle_is_sound(
        steps in proptest::collection::vec((0u8..7, 0usize..100), 0..12),
        named: bool,
        platform: bool,
        referrers: bool,
        subjects: bool,
    ) {
        let text = world_of(&steps);
        let world = draw(&text);
        let mut request = if named { of(&world, &["x"]) } else { request() };
        request.referrers = referrers;
        request.include_subject = subjects;
        if platform {
            request.platforms = vec!["linux/amd64".parse().unwrap()];
        }
        let graph = Graph::load(&world.memory, PLAIN, &Unwatched).unwrap();
        match plan::export(&graph, &world.memory, &request) {
            Err(why) => proptest::prop_assert_eq!(why.kind(), Kind::NotFound),
            Ok(plan) => {
                let bundle = sound(&world.memory, &plan);
                let after = Graph::load(&bundle, PLAIN, &Unwatched).unwrap();
                for edge in graph.edges().filter(|_| referrers) {
                    if after.facts(&edge.subject).is_some() && graph.facts(&edge.referrer).is_some() {
                        let kept = after.referrers(&edge.subject).iter().any(|kept| kept.referrer == edge.referrer);
                        proptest::prop_assert!(kept, "{} -> {}", world.word(&edge.referrer), world.word(&edge.subject));
                    }
                }
            }
        }
    }
}

/// oras enters a referrer beside the list that regctl keeps: the list that is carried has both.
#[test]
fn a_list_that_misses_what_goes_along_is_completed() {
    let world = draw(
        "image app:1 = base
         refer listed -> app : application/x.sig
         refer entered -> app : application/x.sig
         fallback app = listed
         entry entered",
    );
    for request in [request(), of(&world, &["1"])] {
        let plan = export(&world.memory, &request).unwrap();
        let bundle = sound(&world.memory, &plan);
        let graph = Graph::load(&bundle, PLAIN, &Unwatched).unwrap();
        let list = graph.facts(&graph.lists()[0].digest).unwrap();
        let names: BTreeSet<String> = list.children().map(|child| world.word(&child.digest)).collect();
        assert_eq!(names, ["entered".to_owned(), "listed".to_owned()].into());
        assert!(!words(&world, &plan).contains("app.fallback"), "the old list stays behind");
    }
}

#[test]
fn of_several_lists_about_one_subject_the_first_is_completed() {
    let world = draw(
        "image app:1 = base
         refer one -> app : application/x.sig
         refer two -> app : application/x.sig
         refer three -> app : application/x.sig
         fallback app = one
         fallback app = two
         entry three",
    );
    for request in [request(), of(&world, &["1"])] {
        let plan = export(&world.memory, &request).unwrap();
        let bundle = sound(&world.memory, &plan);
        let graph = Graph::load(&bundle, PLAIN, &Unwatched).unwrap();
        let lists = graph.lists().iter().map(|list| graph.facts(&list.digest).unwrap());
        let mut lists: Vec<String> = lists.map(|list| world.words(list.children().map(|it| &it.digest))).collect();
        lists.sort();
        assert_eq!(lists, ["one three", "two"]);
    }
}

/// INDEX-6: whether an index suits is what is in it, however deep, and over whatever way.
#[test]
fn a_platform_is_found_in_nested_indexes_and_diamonds() {
    let world = draw(
        "image amd = base [linux/amd64]
         image arm = base [linux/arm64]
         image plain = other
         index a = arm
         index b = a, amd
         index c = a, b
         index none = a, a
         index deep = none
         index odd = plain
         index app:1.0 = deep, c, odd, none",
    );
    let platforms = vec!["linux/amd64".parse().unwrap()];
    let plan = export(&world.memory, &Request { platforms, ..of(&world, &["1.0"]) }).unwrap();
    assert_eq!(words(&world, &plan), "amd amd.config app b base c odd other plain plain.config");
    let platforms = vec!["linux/arm64".parse().unwrap()];
    let plan = export(&world.memory, &Request { platforms, ..of(&world, &["1.0"]) }).unwrap();
    assert_eq!(words(&world, &plan), "a app arm arm.config b base c deep none");
}

/// What has no platform goes along with what was asked for, and is no answer by itself where there are others.
#[test]
fn what_has_no_platform_is_carried_always_and_stands_for_none() {
    let world = draw(
        "image amd = base [linux/amd64]
         image arm = base [linux/arm64]
         artifact doc : application/x.doc
         index mixed:mixed = arm, doc
         index deep:deep = amd, mixed
         index far = amd
         index apart:apart = far, doc
         index bare:bare = doc
         index barer:barer = bare
         index empty:empty =
         index round:round = barer, bare, doc, arm",
    );
    const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let carried = |root: &str, platform: &str| {
        let platforms = vec![platform.parse().unwrap()];
        match export(&world.memory, &Request { platforms, ..of(&world, &[root]) }) {
            Ok(plan) => Ok(words(&world, &plan).replace(&format!(" {EMPTY}"), "")),
            Err(why) => Err(why.kind()),
        }
    };
    for root in ["mixed", "deep", "apart", "empty", "round"] {
        assert_eq!(carried(root, "windows"), Err(Kind::NotFound), "{root}");
    }
    assert_eq!(carried("bare", "windows").unwrap(), "bare doc doc.file");
    assert_eq!(carried("barer", "windows").unwrap(), "bare barer doc doc.file");
    // In an index none of whose platforms is asked for, beside one of which one is.
    assert_eq!(carried("deep", "linux/amd64").unwrap(), "amd amd.config base deep doc doc.file mixed");
    assert_eq!(carried("mixed", "linux/arm64").unwrap(), "arm arm.config base doc doc.file mixed");
    // Of everything: a root without an answer is none there either.
    let platforms = vec!["linux/amd64".parse().unwrap()];
    assert_eq!(export(&world.memory, &Request { platforms, ..request() }).unwrap_err().kind(), Kind::NotFound);
}

/// Over however many steps: what refers to something left out stays, what refers to nothing here goes along.
#[test]
fn a_chain_of_referrers_goes_along_where_its_end_is_not_here() {
    let world = draw(
        "image amd = base [linux/amd64]
         image arm = base [linux/arm64]
         index app:1.0 = amd, arm
         refer out -> arm : application/x.sig
         refer outer -> out : application/x.sig
         ghost gone
         refer waits -> gone : application/x.sig
         refer longer -> waits : application/x.sig",
    );
    let platforms = vec!["linux/amd64".parse().unwrap()];
    let plan = export(&world.memory, &Request { platforms, ..request() }).unwrap();
    let carried = words(&world, &plan);
    assert!(carried.contains("longer") && carried.contains("waits") && !carried.contains("out"), "{carried}");
}

/// The same of a digest so long that its tag is cut (REFERRERS-13).
#[test]
fn a_list_about_something_long_that_is_not_here_goes_along() {
    let world = draw(
        "image app:1.0 = base
         sha512 image gone = base
         hidden gone
         absent gone
         refer sig -> gone : application/x.sig
         fallback gone = sig",
    );
    let plan = export(&world.memory, &request()).unwrap();
    let bundle = sound(&world.memory, &plan);
    let graph = Graph::load(&bundle, PLAIN, &Unwatched).unwrap();
    assert_eq!(graph.referrers(&world.digest("gone")).len(), 1);
}

/// Found by fuzzing: what a list alone tells of something that was not carried here goes on being told.
#[test]
fn a_list_about_an_absent_child_goes_along() {
    let world = draw(
        "image amd = base [linux/amd64]
         image arm = base [linux/arm64]
         index app:1.0 = amd, arm
         refer sig -> amd : application/x.sig
         fallback amd = sig
         absent amd",
    );
    let plan = export(&world.memory, &request()).unwrap();
    let bundle = sound(&world.memory, &plan);
    let graph = Graph::load(&bundle, PLAIN, &Unwatched).unwrap();
    let referrers = graph.referrers(&world.digest("amd"));
    assert_eq!(world.words(referrers.iter().map(|edge| &edge.referrer)), "sig");
    // Where one platform is asked for it was left out before, and so is what refers to it.
    let platforms = vec!["linux/arm64".parse().unwrap()];
    let plan = export(&world.memory, &Request { platforms, ..request() }).unwrap();
    sound(&world.memory, &plan);
    assert_eq!(words(&world, &plan), "app arm arm.config base");
}
