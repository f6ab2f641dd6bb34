//! What manifests are made, and how they come into a layout.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::collections::BTreeMap;

use ocistow_graph::facts::OCI_CONFIG;
use ocistow_graph::made::{Index, child, described, empty_descriptor, with_children, without_children};
use ocistow_graph::resolve::of_platform;
use ocistow_graph::{Artifact, Facts, Form, Graph, Load, Made, ManifestKind, Role};
use ocistow_layout::edit::apply;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Blob, Descriptor, Digest, IndexFile, Kind, Source, Unwatched};
use ocistow_testkit::{draw, fixtures};

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn text(made: &Made) -> String {
    String::from_utf8(made.bytes.clone()).unwrap()
}

fn plain() -> Artifact {
    Artifact {
        artifact_type: Some("a/b".into()),
        config: empty_descriptor(&BTreeMap::new()),
        layers: vec![described("x/y", &blob(b"hi\n"), &annotations(&[("org.opencontainers.image.title", "a.txt")]))],
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// ARTIFACT-4, with the bytes oras 1.3.3 makes of the same, but for the annotation that says when.
#[test]
fn manifests_are_those_of_oras() {
    let empty = r#"{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}"#;
    let layer = r#"{"mediaType":"x/y","digest":"sha256:98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4","size":3,"annotations":{"org.opencontainers.image.title":"a.txt"}}"#;
    let head = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json""#;
    let made = plain().make().unwrap();
    assert_eq!(text(&made), format!(r#"{head},"artifactType":"a/b","config":{empty},"layers":[{layer}]}}"#));

    let nothing = Artifact { layers: Vec::new(), ..plain() }.make().unwrap();
    assert_eq!(text(&nothing), format!(r#"{head},"artifactType":"a/b","config":{empty},"layers":[{empty}]}}"#));

    let config = described("application/x.cfg", &blob(b"{\"c\":1}\n"), &annotations(&[("hello", "config")]));
    let said = annotations(&[("foo", "bar"), ("a<b", "x&y<>é\u{2028}\n\"\\")]);
    let subject = Descriptor::parse(&format!(
        r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":5,"annotations":{{"x":"y"}},"artifactType":"z/z"}}"#,
        Digest::of(b"x")
    ));
    let full =
        Artifact { artifact_type: None, config, subject: Some(subject.unwrap()), annotations: said.clone(), ..plain() };
    let made = full.make().unwrap();
    let expected = format!(
        r#"{head},"config":{{"mediaType":"application/x.cfg","digest":"sha256:8e325816cf2d9e97b7611a0c80bb71ea45c10fdbd1df2411972ddd407272cb70","size":8,"annotations":{{"hello":"config"}}}},"layers":[{layer}],"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":5}},"annotations":{{"a\u003cb":"x\u0026y\u003c\u003eé\u2028\n\"\\","foo":"bar"}}}}"#,
        Digest::of(b"x")
    );
    assert_eq!(text(&made), expected);
    assert_eq!(made.facts.annotations.to_map(), said);
    assert_eq!(made.facts.artifact_type.as_deref(), Some("application/x.cfg"));
}

/// ARTIFACT-1
#[test]
fn an_artifact_never_passes_for_an_image() {
    for config in ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"] {
        let config = described(config, &blob(b"{}"), &BTreeMap::new());
        assert_eq!(Artifact { config, ..plain() }.make().unwrap_err().kind(), Kind::Usage);
    }
}

#[test]
fn what_nobody_could_read_is_not_made() {
    let layer = described("x/y", &blob(b"x"), &annotations(&[("k", &"x".repeat(100))]));
    let long = Artifact { layers: vec![layer; 50_000], ..plain() };
    let why = long.make().unwrap_err();
    assert_eq!(why.kind(), Kind::Usage, "{}", why.chain());
    let short = described("x/y", &blob(b"x"), &BTreeMap::new());
    let many = Index { children: vec![short; 100_001], ..Index::default() };
    assert_eq!(many.make().unwrap_err().kind(), Kind::Usage);
}

/// The edits that enter something, made on what is there.
fn entered(made: &Made, reference: Option<&str>, target: &Memory) -> IndexFile {
    let import = made.enter(reference, target).unwrap();
    IndexFile::parse(apply(&target.index().unwrap(), &import.edits).unwrap()).unwrap()
}

#[test]
fn an_entry_says_type_and_annotations_and_nothing_it_should_not() {
    let said = annotations(&[
        ("foo", "bar"),
        ("org.opencontainers.image.ref.name", "evil"),
        ("io.containerd.image.name", "evil.example/x:1"),
        ("io.containerd.manifest.subject", &Digest::of(b"x").to_string()),
        ("org.olareg.referrer.subject", &Digest::of(b"x").to_string()),
        ("org.opencontainers.image.referrer.subject", &Digest::of(b"x").to_string()),
        ("kind", "dev.cosignproject.cosign/sigs"),
    ]);
    let made = Artifact { annotations: said, ..plain() }.make().unwrap();
    let blob = made.blob();
    let expected = |names: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{},"annotations":{{"foo":"bar"{names}}},"artifactType":"a/b"}}"#,
            blob.digest, blob.size
        )
    };
    let target = Memory::default();
    let descriptor = |index: &IndexFile| index.descriptors().unwrap()[0].text().to_owned();
    assert_eq!(descriptor(&entered(&made, None, &target)), expected(""));
    let tagged = entered(&made, Some("v1"), &target);
    assert_eq!(descriptor(&tagged), expected(r#","org.opencontainers.image.ref.name":"v1""#));
    let named = entered(&made, Some("example.com/app:v1"), &target);
    let names = r#","io.containerd.image.name":"example.com/app:v1","org.opencontainers.image.ref.name":"v1""#;
    assert_eq!(descriptor(&named), expected(names));
}

#[test]
fn a_tag_moves_and_that_is_told() {
    let world = draw("image app:1 = base\nimage other:2 = base");
    let made = plain().make().unwrap();
    let import = made.enter(Some("1"), &world.memory).unwrap();
    assert_eq!(import.moved.len(), 1);
    assert_eq!(import.moved[0].from, Some(world.digest("app")));
    let after = entered(&made, Some("1"), &world.memory);
    let tags: Vec<_> = after.entries().iter().map(|entry| entry.pair.tag().unwrap_or("-")).collect();
    assert_eq!(tags, ["1", "2"]);
    assert!(made.enter(Some("3"), &world.memory).unwrap().moved.is_empty());
    // Entered once more, nothing changes.
    let again = Memory { index: after.bytes().to_vec(), ..world.memory };
    assert_eq!(entered(&made, Some("1"), &again).bytes(), after.bytes());
}

#[test]
fn a_tag_with_two_meanings_is_not_set() {
    let world = draw("image a:1 = base [linux/amd64]\nimage b:1 = base [linux/arm64]");
    assert_eq!(world.index().entries().len(), 2);
    assert_eq!(plain().make().unwrap().enter(Some("1"), &world.memory).unwrap_err().kind(), Kind::Usage);
}

/// The lists of a layout after a referrer of `subject` came, as the words for what they list.
fn lists(world: &ocistow_testkit::Drawing) -> Vec<Vec<Digest>> {
    let subject = world.descriptor("app").clone();
    let made = Artifact { subject: Some(subject), ..plain() }.make().unwrap();
    let import = made.enter(None, &world.memory).unwrap();
    let mut after = world.memory.clone();
    after.index = apply(&world.memory.index().unwrap(), &import.edits).unwrap();
    after.blobs.extend(import.inline.clone());
    after.add(made.bytes.clone());
    let graph = Graph::load(&after, Load { threads: 1, scan_blobs: false }, &Unwatched).unwrap();
    let edges: Vec<_> = graph.referrers(&world.digest("app")).iter().map(|edge| edge.referrer.clone()).collect();
    assert!(edges.contains(&made.facts.digest));
    let list = |digest: &Digest| graph.facts(digest).unwrap().children().map(|child| child.digest.clone()).collect();
    graph.lists().iter().map(|stored| list(&stored.digest)).collect()
}

#[test]
fn stored_lists_of_referrers_are_kept_true() {
    let without = draw("image app:1 = base\nrefer sig -> app : application/x.sig");
    assert!(lists(&without).is_empty(), "none is made where there was none");
    let with = draw(
        "image app:1 = base
         image other:2 = base + top
         refer sig -> app : application/x.sig
         refer note -> other : application/x.note
         fallback app = sig
         fallback other = note",
    );
    let after = lists(&with);
    let lengths: Vec<usize> = after.iter().map(Vec::len).collect();
    assert_eq!(lengths, [2, 1], "{after:?}");
    assert_eq!(after[0][0], with.digest("sig"));
}

/// DESCRIPTOR-12
#[test]
fn children_of_an_index_have_platform_and_type() {
    let world = draw(
        "image amd = base [linux/amd64]
         image arm:arm = base [linux/arm/v7]
         refer sig -> amd : application/x.sig
         index app:1 = amd",
    );
    let read = |name: &str| {
        let bytes = world.memory.blobs[&world.digest(name)].clone();
        Facts::read("", &world.digest(name), &bytes).unwrap()
    };
    let made = |name: &str, found: &Descriptor| child(&world.memory, found, &read(name)).unwrap().text().to_owned();
    let plain = |name: &str| world.descriptor(name).text().trim_end_matches('}').to_owned();
    let text = made("arm", world.descriptor("arm"));
    assert_eq!(
        text,
        plain("arm") + r#","platform":{"architecture":"arm","os":"linux","variant":"v7"}}"#,
        "out of the config"
    );
    let found = plain("amd")
        + r#","annotations":{"vnd.docker.reference.type":"attestation-manifest","x":"y","org.opencontainers.image.ref.name":"z"},"platform":{"architecture":"unknown","os":"unknown"}}"#;
    let text = made("amd", &Descriptor::parse(&found).unwrap());
    let expected = plain("amd")
        + r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"},"platform":{"architecture":"unknown","os":"unknown"}}"#;
    assert_eq!(text, expected, "what its descriptor says goes before its config");
    assert_eq!(made("sig", world.descriptor("sig")), plain("sig") + r#","artifactType":"application/x.sig"}"#);
    assert_eq!(made("app", world.descriptor("app")), plain("app") + "}");
}

/// INDEX-7, DESCRIPTOR-12: half a platform is none, wherever it was found.
#[test]
fn a_platform_without_one_of_its_halves_is_not_written() {
    let image = Form::OciManifest.media_type();
    for (config, written) in [
        (r#"{"os":"linux"}"#, false),
        (r#"{"architecture":"amd64"}"#, false),
        (r#"{"architecture":"","os":"linux"}"#, false),
        (r#"{"architecture":"amd64","os":"linux"}"#, true),
    ] {
        let mut memory = Memory::default();
        let digest = memory.add(config.as_bytes());
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{image}","config":{{"mediaType":"{OCI_CONFIG}","digest":"{digest}","size":{}}},"layers":[]}}"#,
            config.len()
        );
        let digest = memory.add(manifest.as_bytes());
        let facts = Facts::read(image, &digest, manifest.as_bytes()).unwrap();
        let plain = Descriptor::new(image, digest, manifest.len() as u64);
        let says = format!("{},\"platform\":{config}}}", plain.text().trim_end_matches('}'));
        for found in [plain, Descriptor::parse(&says).unwrap()] {
            assert_eq!(child(&memory, &found, &facts).unwrap().platform.is_some(), written, "{config}");
        }
    }
}

/// `oras push --artifact-platform` says the platform of an artifact as images do.
#[test]
fn an_artifact_with_the_config_of_an_image_has_its_platform() {
    let image = Form::OciManifest.media_type();
    let mut memory = Memory::default();
    let config = memory.add(br#"{"architecture":"arm","os":"linux","variant":"v5"}"#);
    let manifest = format!(
        r#"{{"schemaVersion":2,"artifactType":"a/b","config":{{"mediaType":"{OCI_CONFIG}","digest":"{config}","size":50}},"layers":[]}}"#
    );
    let digest = memory.add(manifest.as_bytes());
    let facts = Facts::read(image, &digest, manifest.as_bytes()).unwrap();
    assert_eq!(facts.kind, ManifestKind::Artifact);
    let found = Descriptor::new(image, digest, manifest.len() as u64);
    let text = child(&memory, &found, &facts).unwrap().text().to_owned();
    let platform = r#","platform":{"architecture":"arm","os":"linux","variant":"v5"},"artifactType":"a/b"}"#;
    assert_eq!(text, found.text().trim_end_matches('}').to_owned() + platform);
    let select = |asked: &str| of_platform(&memory, &found, &asked.parse().unwrap()).map(|found| found.digest);
    assert_eq!(select("linux/arm/v5").unwrap(), found.digest);
    assert_eq!(select("linux/amd64").unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn an_index_is_changed_as_text() {
    let one = Descriptor::new("application/vnd.oci.image.manifest.v1+json", Digest::of(b"1"), 1);
    let two = Descriptor::new("application/vnd.oci.image.manifest.v1+json", Digest::of(b"2"), 1);
    let old = format!(
        "{{\n  \"schemaVersion\": 2,\n  \"x-unknown\": 1.50,\n  \"mediaType\": \"application/vnd.oci.image.index.v1+json\",\n  \"manifests\": [\n    {}\n  ],\n  \"annotations\": {{\"k\": \"v\"}}\n}}\n",
        one.text()
    );
    let more = with_children(old.clone().into_bytes(), vec![one.clone(), two.clone()]).unwrap();
    assert_eq!(text(&more), old.replace(one.text(), &format!("{},\n    {}", one.text(), two.text())));
    let less = without_children(more.bytes.clone(), std::slice::from_ref(&two.digest)).unwrap();
    assert_eq!(text(&less), old);
    let none = without_children(old.clone().into_bytes(), std::slice::from_ref(&one.digest)).unwrap();
    assert_eq!(none.facts.of_role(Role::Child).count(), 0);
    let why = without_children(old.into_bytes(), std::slice::from_ref(&two.digest)).unwrap_err();
    assert_eq!(why.kind(), Kind::NotFound);
    // A list in Docker's form stays one.
    let list = fixtures::DOCKER_LIST.bytes.to_vec();
    let more = with_children(list.clone(), vec![two]).unwrap();
    assert_eq!(more.facts.form.media_type(), "application/vnd.docker.distribution.manifest.list.v2+json");
    let same = with_children(list.clone(), Vec::new()).unwrap();
    assert_eq!(same.bytes, list);
}

#[test]
fn what_is_given_is_kept_or_refused() {
    use fixtures::{AMBIGUOUS, DOCKER_LIST, DOCKER_S2, IMG_AMD64, IMG_EXTRA_FIELDS, INDEX, ORAS_ARTIFACT};
    for fixture in [IMG_AMD64, INDEX, DOCKER_S2, DOCKER_LIST, ORAS_ARTIFACT, IMG_EXTRA_FIELDS] {
        assert_eq!(Made::given(fixture.bytes.to_vec(), None).unwrap().bytes, fixture.bytes, "{}", fixture.name);
    }
    assert!(Made::given(DOCKER_S2.bytes.to_vec(), Some(&DOCKER_S2.digest())).is_ok());
    let sha512: Digest = "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd".parse().unwrap();
    let long = sha512.same_of(DOCKER_S2.bytes).unwrap();
    let made = Made::given(DOCKER_S2.bytes.to_vec(), Some(&long)).unwrap();
    assert_eq!(made.blob().digest, long);
    assert_eq!(entered(&made, Some("v1"), &Memory::default()).descriptors().unwrap()[0].digest, long);
    assert_eq!(Made::given(DOCKER_S2.bytes.to_vec(), Some(&sha512)).unwrap_err().kind(), Kind::Integrity);
    let unknown: Digest = "sha384:abc".parse().unwrap();
    assert_eq!(Made::given(DOCKER_S2.bytes.to_vec(), Some(&unknown)).unwrap_err().kind(), Kind::Usage);
    // MANIFEST-6, INDEX-1, INDEX-7: read, never written.
    let image = |list: &str| String::from_utf8_lossy(fixtures::IMG_NO_LAYERS.bytes).replacen("\"layers\":[]", list, 1);
    let index = |list: &str| format!(r#"{{"schemaVersion":2,"mediaType":"{}"{list}}}"#, INDEX.media_type);
    let child = |platform: &str| {
        let text = IMG_AMD64.descriptor().text().to_owned();
        index(&format!(",\"manifests\":[{},\"platform\":{platform}}}]", text.trim_end_matches('}')))
    };
    let unknown = r#"{"architecture":"unknown","os":"unknown"}"#;
    for text in [image("\"layers\":[]"), index(",\"manifests\":[]"), child(unknown)] {
        assert_eq!(Made::given(text.clone().into_bytes(), None).unwrap().bytes, text.as_bytes());
    }
    let half = [r#"{"os":"linux"}"#, r#"{"architecture":"amd64"}"#, r#"{"architecture":"","os":"linux"}"#, "{}"];
    let lacking = [image("\"layers\":null"), image("\"x\":1"), index(",\"manifests\":null"), index("")];
    for text in lacking.into_iter().chain(half.map(child)) {
        let facts = Facts::read(INDEX.media_type, &Digest::of(text.as_bytes()), text.as_bytes());
        assert!(facts.is_ok_and(|facts| facts.faults.is_empty()), "{text}");
        assert_eq!(Made::given(text.clone().into_bytes(), None).unwrap_err().kind(), Kind::Integrity, "{text}");
    }
    // What somebody else's index has besides is no reason not to change it.
    assert!(with_children(child("{}").into_bytes(), Vec::new()).is_ok());
    // MANIFEST-1, MANIFEST-15, MANIFEST-20
    let ambiguous = AMBIGUOUS.bytes.to_vec();
    let behind = [IMG_AMD64.bytes, b"{}"].concat();
    let no_version = br#"{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#.to_vec();
    let schema1 = br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec();
    for bytes in [ambiguous, behind, no_version, schema1, b"hello".to_vec(), Vec::new(), b"{}".to_vec()] {
        let why = Made::given(bytes, None).unwrap_err();
        assert_eq!(why.kind(), Kind::Integrity, "{}", why.chain());
    }
}

#[test]
fn what_is_made_of_something_replaces_only_that() {
    let world = draw("image app:1 = base");
    let made = plain().make().unwrap();
    let import = made.replace(&world.digest("app"), "1", &world.memory).unwrap();
    let after = apply(&world.memory.index().unwrap(), &import.edits).unwrap();
    let after = IndexFile::parse(after).unwrap();
    assert_eq!(after.descriptors().unwrap()[0].digest, made.facts.digest);
    assert_eq!(import.moved.len(), 1);
    let why = apply(&after, &import.edits).unwrap_err();
    assert_eq!(why.kind(), Kind::Conflict, "somebody else was faster");
}
