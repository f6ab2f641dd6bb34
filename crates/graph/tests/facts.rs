//! What manifests say, by the fixtures of the specification matrix.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use ocistow_graph::facts::{FactsError, Fault, MAX_DESCRIPTORS};
use ocistow_graph::{Facts, Form, Manifest, ManifestKind, Role};
use ocistow_layout::Digest;
use ocistow_layout::descriptor::DescriptorError;
use ocistow_testkit::fixtures::*;

fn read(fixture: Fixture) -> Facts {
    Facts::read(fixture.media_type, &fixture.digest(), fixture.bytes)
        .unwrap_or_else(|why| panic!("{}: {why}", fixture.name))
}

fn refused(media_type: &str, text: &str) -> FactsError {
    Facts::read(media_type, &Digest::of(text.as_bytes()), text.as_bytes()).expect_err("it is refused")
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn images_indexes_and_artifacts_are_told_apart() {
    let kinds = [
        (IMG_AMD64, ManifestKind::Image, Form::OciManifest),
        (INDEX, ManifestKind::Index, Form::OciIndex),
        (DOCKER_S2, ManifestKind::Image, Form::DockerManifest),
        (DOCKER_LIST, ManifestKind::Index, Form::DockerList),
        (REF_ARTIFACT, ManifestKind::Artifact, Form::OciManifest),
        (REF_OLD, ManifestKind::Artifact, Form::OciManifest),
        (HELM_CHART, ManifestKind::Artifact, Form::OciManifest),
        (ORAS_ARTIFACT, ManifestKind::Artifact, Form::OrasArtifact),
        (OCI_ARTIFACT_RC1, ManifestKind::Artifact, Form::OciArtifact),
        (OCI_ARTIFACT_RC2, ManifestKind::Artifact, Form::OciArtifact),
    ];
    for (fixture, kind, form) in kinds {
        let facts = read(fixture);
        assert_eq!((facts.kind, facts.form), (kind, form), "{}", fixture.name);
        assert_eq!((facts.size, facts.faults.len()), (fixture.bytes.len() as u64, 0), "{}", fixture.name);
    }
}

/// REFERRERS-5, MANIFEST-12, NOTATION-2.
#[test]
fn the_artifact_type_falls_back_to_the_configs() {
    assert_eq!(read(REF_ARTIFACT).artifact_type.as_deref(), Some("application/vnd.example.sbom.v1"));
    assert_eq!(read(REF_OLD).artifact_type.as_deref(), Some("application/vnd.example.sig.config.v1+json"));
    assert_eq!(read(NOTATION_SIG_OLD).artifact_type.as_deref(), Some("application/vnd.cncf.notary.signature"));
    assert_eq!(read(REF_INDEX).artifact_type, None);
}

/// ARTIFACT-6, ORAS-ARTIFACT-1, COSIGN-7.
#[test]
fn every_spelling_of_a_subject_is_read() {
    for fixture in [REF_ARTIFACT, REF_INDEX, OCI_ARTIFACT_RC1, OCI_ARTIFACT_RC2, ORAS_ARTIFACT, REF_NO_SIZE] {
        let subject = read(fixture).subject.unwrap_or_else(|| panic!("{}", fixture.name));
        assert_eq!(subject.digest, IMG_AMD64.digest(), "{}", fixture.name);
    }
    assert_eq!(read(REF_NO_SIZE).subject.and_then(|subject| subject.size), None);
    assert_eq!(read(OCI_ARTIFACT_RC1).of_role(Role::Blob).count(), 1);
}

/// DESCRIPTOR-3, DESCRIPTOR-15: the size of a child is judged as any other.
#[test]
fn sizes_are_sizes_wherever_they_stand() {
    for (fixture, right) in [(INDEX, "\"size\":400"), (IMG_AMD64, "\"size\":151"), (IMG_AMD64, "\"size\":32")] {
        let text = std::str::from_utf8(fixture.bytes).unwrap();
        for wrong in ["-1", "1.5", "\"12\"", "9223372036854775808"] {
            let text = text.replacen(right, &format!("\"size\":{wrong}"), 1);
            let why = refused(fixture.media_type, &text);
            assert!(matches!(why, FactsError::Part(_, DescriptorError::Wrong("size"))), "{text}: {why}");
        }
    }
}

/// NOTATION-1, NOTATION-4, COSIGN-10, DOCKER-COMPAT-11.
#[test]
fn signatures_and_plugins_are_artifacts() {
    let signature = read(NOTATION_SIG);
    assert_eq!(
        (signature.told_type(), signature.kind),
        (Some("application/vnd.cncf.notary.signature"), ManifestKind::Artifact)
    );
    let layers: Vec<&str> = signature.of_role(Role::Layer).map(|layer| &*layer.media_type).collect();
    assert_eq!(layers, ["application/jose+json"]);
    assert_eq!(signature.subject.unwrap().digest, IMG_AMD64.digest());
    let thumbprints = signature.annotations.get("io.cncf.notary.x509chain.thumbprint#S256").unwrap();
    assert_eq!(thumbprints, format!("[\"{}\"]", "0".repeat(64)));
    let experimental = "application/vnd.dev.cosign.artifact.sig.v1+json";
    let text = String::from_utf8_lossy(REF_ARTIFACT.bytes).replacen("application/vnd.example.sbom.v1", experimental, 1);
    let facts = Facts::read(MANIFEST, &Digest::of(text.as_bytes()), text.as_bytes()).unwrap();
    assert_eq!((facts.told_type(), facts.subject.clone().unwrap().digest), (Some(experimental), IMG_AMD64.digest()));
    let plugin = "application/vnd.docker.plugin.v1+json";
    let text =
        String::from_utf8_lossy(DOCKER_S2.bytes).replacen("application/vnd.docker.container.image.v1+json", plugin, 1);
    let facts = Facts::read(DOCKER_S2.media_type, &Digest::of(text.as_bytes()), text.as_bytes()).unwrap();
    assert_eq!((facts.kind, facts.told_type()), (ManifestKind::Artifact, Some(plugin)));
}

/// DESCRIPTOR-3, COSIGN-7: a subject without a size is read; one whose size is none is broken as any descriptor's.
#[test]
fn the_size_of_a_subject_is_a_size_or_not_there() {
    let text = std::str::from_utf8(REF_ARTIFACT.bytes).unwrap();
    let with = |size: &str| text.replacen("\"size\":400", &format!("\"size\":{size}"), 1);
    for size in ["-1", "1.5", "\"1\"", "9223372036854775808", "[]"] {
        let text = with(size);
        let why = refused(MANIFEST, &text);
        assert!(matches!(why, FactsError::Part("subject", DescriptorError::Wrong("size"))), "{size}: {why}");
        let manifest = Manifest::read(MANIFEST, &Digest::of(text.as_bytes()), text.into_bytes());
        assert_eq!(manifest.unwrap_err().to_string(), why.to_string());
    }
    for (size, read) in [("null", None), ("0", Some(0)), ("9223372036854775807", Some(i64::MAX as u64))] {
        let text = with(size);
        let facts = Facts::read(MANIFEST, &Digest::of(text.as_bytes()), text.as_bytes()).unwrap();
        assert_eq!(facts.subject.unwrap().size, read);
    }
}

/// DOCKER-COMPAT-2.
#[test]
fn a_subject_in_a_docker_manifest_is_ignored() {
    let subject = r#","subject":{"mediaType":"a/b","size":1,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}"#;
    let docker = String::from_utf8(DOCKER_S2.bytes.to_vec()).unwrap();
    let text = format!("{}{subject}", docker.trim_end().strip_suffix('}').unwrap());
    let facts = Facts::read(DOCKER_S2.media_type, &Digest::of(text.as_bytes()), text.as_bytes()).unwrap();
    assert_eq!((facts.form, facts.subject), (Form::DockerManifest, None));
}

/// MANIFEST-15.
#[test]
fn ambiguous_documents_are_refused() {
    assert!(matches!(refused(MANIFEST, std::str::from_utf8(AMBIGUOUS.bytes).unwrap()), FactsError::Ambiguous(..)));
    for text in [
        r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
        r#"{"schemaVersion":2,"manifests":[],"config":{}}"#,
        r#"{"schemaVersion":2,"fsLayers":[],"config":{}}"#,
        r#"{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[],"manifests":[]}"#,
    ] {
        for media_type in [MANIFEST, INDEX_TYPE, ""] {
            assert!(matches!(refused(media_type, text), FactsError::Ambiguous(..)), "{text}");
        }
    }
}

/// MANIFEST-17: of every manifest among the fixtures, with its own type and without.
#[test]
fn the_form_is_guessed_where_nothing_says_it() {
    let manifests = ALL.into_iter().filter(|fixture| Form::of(fixture.media_type).is_some() && *fixture != AMBIGUOUS);
    let mut guessed = 0;
    for fixture in manifests {
        let itself = Facts::read("", &fixture.digest(), fixture.bytes).unwrap();
        // Only its type tells a list of Docker's from OCI's, and ORAS's artifact from the withdrawn one.
        let expected = match Form::of(fixture.media_type).unwrap() {
            Form::DockerList => Form::OciIndex,
            Form::OrasArtifact => Form::OciArtifact,
            form => form,
        };
        assert_eq!(itself.form, Form::of(fixture.media_type).unwrap(), "{}", fixture.name);
        let text = std::str::from_utf8(fixture.bytes).unwrap();
        let own = [
            format!("\"mediaType\": \"{}\",", fixture.media_type),
            format!("\"mediaType\":\"{}\",", fixture.media_type),
        ];
        let text = own.iter().fold(text.to_owned(), |text, own| text.replacen(own, "", 1));
        let facts = Facts::read("", &Digest::of(text.as_bytes()), text.as_bytes()).unwrap();
        assert_eq!((facts.form, facts.parts), (expected, itself.parts), "{}: {text}", fixture.name);
        guessed += 1;
    }
    assert!(guessed > 20, "{guessed}");
    let schema1 = r#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[]}"#;
    let facts = Facts::read("", &Digest::of(schema1.as_bytes()), schema1.as_bytes()).unwrap();
    assert_eq!((facts.form, facts.kind), (Form::DockerSchema1, ManifestKind::Other));
}

/// MANIFEST-14: the shape decides; a type that belies it is a fault.
#[test]
fn a_media_type_of_another_shape_is_a_fault() {
    let text = std::str::from_utf8(INDEX.bytes).unwrap().replacen(INDEX_TYPE, MANIFEST, 1);
    let facts = Facts::read(INDEX_TYPE, &Digest::of(text.as_bytes()), text.as_bytes()).unwrap();
    assert_eq!(facts.form, Form::OciIndex);
    assert!(matches!(facts.faults[..], [Fault::MediaType(_)]));
}

/// 4.7, MANIFEST-3, MANIFEST-6, INDEX-1.
#[test]
fn null_lists_are_empty_and_a_missing_config_is_refused() {
    let null = r#"{"schemaVersion":2,"manifests":null}"#;
    let facts = Facts::read(INDEX_TYPE, &Digest::of(null.as_bytes()), null.as_bytes()).unwrap();
    assert_eq!(
        (facts.kind, facts.parts.len(), facts.notes),
        (ManifestKind::Index, 0, vec![Fault::NoList("manifests")])
    );
    let empty = read(IMG_NO_LAYERS);
    assert_eq!((empty.of_role(Role::Layer).count(), empty.faults, empty.notes), (0, vec![], vec![]));
    for instead in ["\"layers\":null", "\"x\":[]"] {
        let text = String::from_utf8_lossy(IMG_NO_LAYERS.bytes).replacen("\"layers\":[]", instead, 1);
        let facts = Facts::read(MANIFEST, &Digest::of(text.as_bytes()), text.as_bytes()).unwrap();
        assert_eq!((facts.of_role(Role::Layer).count(), facts.notes), (0, vec![Fault::NoList("layers")]), "{text}");
    }
    for config in ["", r#","config":null"#] {
        for layers in ["", r#","layers":[]"#] {
            let text = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}"{config}{layers}}}"#);
            assert!(matches!(refused(MANIFEST, &text), FactsError::Absent("config")), "{text}");
        }
    }
    assert!(matches!(refused("", "{}"), FactsError::Shapeless));
}

/// MANIFEST-18, MANIFEST-20, MANIFEST-21.
#[test]
fn hostile_json_is_refused() {
    let deep = format!("{{\"manifests\":[],\"x\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let trailing = r#"{"schemaVersion":2,"manifests":[]}{}"#;
    for text in [deep.as_str(), trailing, "", "[]", "\u{feff}{}", "{\"manifests\":[}"] {
        assert!(matches!(refused(INDEX_TYPE, text), FactsError::Json(_)), "{text:.40}");
    }
    let bad = r#"{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:../../x","size":1}]}"#;
    assert!(matches!(refused(INDEX_TYPE, bad), FactsError::Part("manifests", _)));
    let one = r#"{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
    let many = format!("{{\"manifests\":[{}]}}", vec![one; MAX_DESCRIPTORS + 1].join(","));
    assert!(matches!(refused(INDEX_TYPE, &many), FactsError::TooMany(_)));
    assert!(Facts::read_list(INDEX_TYPE, &Digest::of(many.as_bytes()), many.as_bytes()).is_ok());
}

/// MANIFEST-18: of two lists, readers see one or the other. Whatever else stands twice hides none of them.
#[test]
fn what_leads_on_stands_once() {
    let text = std::str::from_utf8(REF_ARTIFACT.bytes).unwrap();
    let more = |member: &str| format!("{},{member}}}", text.strip_suffix('}').unwrap());
    let descriptor = read(REF_ARTIFACT).config().unwrap().text().to_owned();
    for (member, value) in [("config", &*descriptor), ("layers", "[]"), ("layers", "null"), ("subject", &descriptor)] {
        for beside in ["", r#","a":1,"a":1"#, r#","annotations":{},"annotations":{}"#, r#","z":{},"z":{}"#] {
            let text = more(&format!("\"{member}\":{value}{beside}"));
            let why = refused(MANIFEST, &text);
            assert!(matches!(why, FactsError::Twice(twice) if twice == member), "{text}: {why}");
        }
        assert!(matches!(
            refused(MANIFEST, &more(&format!("\"\\u00{:x}{}\":{value}", member.as_bytes()[0], &member[1..]))),
            FactsError::Twice(_)
        ));
    }
    for text in [
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        r#"{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[],"blobs":null}"#,
        r#"{"schemaVersion":1,"fsLayers":[],"fsLayers":[]}"#,
    ] {
        assert!(matches!(refused("", text), FactsError::Twice(_)), "{text}");
    }
    for member in ["digest", "size", "mediaType", "annotations", "platform", "data", "artifactType"] {
        let twice = descriptor.replacen('{', &format!("{{\"{member}\":null,\"{member}\":null,"), 1);
        let why = refused(MANIFEST, &text.replacen(&descriptor, &twice, 1));
        assert!(matches!(why, FactsError::Part("config", DescriptorError::Twice(twice)) if twice == member), "{why}");
    }
    for member in [r#""digest":"""#, r#""size":0"#, r#""mediaType":"a/b""#] {
        let why = refused(MANIFEST, &text.replacen("\"subject\":{", &format!("\"subject\":{{{member},"), 1));
        assert!(matches!(why, FactsError::Part("subject", DescriptorError::Twice(_))), "{why}");
    }
}

/// MANIFEST-18: what stands twice and changes nothing that is needed is a fault; the blob is carried untouched. Of
/// unknown members nobody minds.
#[test]
fn what_only_tells_and_stands_twice_is_a_fault() {
    for member in ["\"schemaVersion\":2", "\"artifactType\":\"a/b\"", "\"annotations\":{}"] {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[],"b":1,"b":2,{member},{member}}}"#);
        let facts = Facts::read(INDEX_TYPE, &Digest::of(text.as_bytes()), text.as_bytes()).unwrap();
        assert!(matches!(facts.faults[..], [Fault::Member(_)]), "{text}");
    }
    let unknown = r#"{"schemaVersion":2,"manifests":[],"b":1,"b":2,"annotations":{"k":"1","k":"2"}}"#;
    let facts = Facts::read(INDEX_TYPE, &Digest::of(unknown.as_bytes()), unknown.as_bytes()).unwrap();
    assert_eq!((facts.faults.len(), facts.annotations.get("k")), (0, Some("2")));
}

/// MANIFEST-18: JSON is text, also where nobody looks.
#[test]
fn half_a_surrogate_pair_is_a_fault() {
    let with = |text: &str| {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[],"x":["{text}"]}}"#);
        Facts::read(INDEX_TYPE, &Digest::of(text.as_bytes()), text.as_bytes()).unwrap().faults
    };
    for whole in [r"\ud83d\ude00", r"\\ud800", r"\\\ud83d\uDE00", r"\u0041\n\u00e9", "é"] {
        assert_eq!(with(whole), [], "{whole}");
    }
    for half in [r"\ud83d", r"\ude00", r"\ud83d\ud83d\ude00", r"\ud83dx\ude00", r"\\\ud800"] {
        assert!(matches!(with(half)[..], [Fault::Member(_)]), "{half}");
    }
}

proptest::proptest! {
    /// Whatever bytes come: facts or a refusal, never a panic.
    #[test]
    fn changed_manifests_are_read_or_refused(which in 0..ALL.len(), at in 0usize..1000, byte: u8, cut in 0usize..1000) {
        let mut bytes = ALL[which].bytes.to_vec();
        let length = bytes.len();
        if length > 0 {
            bytes[at % length] = byte;
            bytes.truncate(if cut % 4 == 0 { cut % length } else { length });
        }
        let digest = Digest::of(&bytes);
        for media_type in ["", MANIFEST, INDEX_TYPE, ORAS_ARTIFACT.media_type] {
            if let Ok(facts) = Facts::read(media_type, &digest, &bytes) {
                proptest::prop_assert_eq!(facts.size, bytes.len() as u64);
            }
        }
    }
}

/// Whether a manifest is read, and what places it in the graph, is told before its facts are: the same.
#[test]
fn manifests_are_taken_and_placed_as_their_facts_say() {
    let same = |media_type: &str, bytes: &[u8]| -> bool {
        let digest = Digest::of(bytes);
        let shown = String::from_utf8_lossy(bytes);
        let list = Manifest::read_list(media_type, &digest, bytes.to_vec());
        match (Manifest::read(media_type, &digest, bytes.to_vec()), Facts::read(media_type, &digest, bytes)) {
            (Ok(manifest), Ok(facts)) => {
                let about = facts.subject.as_ref().map(|subject| &subject.digest);
                assert_eq!((manifest.kind(), manifest.form()), (facts.kind, facts.form), "{shown}");
                assert_eq!((manifest.about(), manifest.is_by_itself()), (about, facts.by_itself), "{shown}");
                assert_eq!(manifest.effective_type(), (facts.artifact_type.as_deref(), facts.declared_type), "{shown}");
                assert_eq!(manifest.facts(), facts, "{shown}");
                let mut children = facts.children();
                manifest.children(&mut |child| {
                    let whole = children.next().unwrap_or_else(|| panic!("{shown} has fewer children"));
                    assert_eq!((&*child.media_type, &child.digest), (&*whole.media_type, &whole.digest), "{shown}");
                    assert_eq!(child.has_data, whole.data.is_some(), "{shown}");
                    assert_eq!(child.annotation("k").as_deref(), whole.annotation("k"), "{shown}");
                });
                assert_eq!(children.count(), 0, "{shown} has more children");
                let mut parts: Vec<&Digest> = facts.parts.iter().map(|part| &part.descriptor.digest).collect();
                let mut named = Vec::new();
                manifest.parts(&mut |part| named.push(part.digest));
                parts.sort();
                named.sort();
                assert!(named.iter().eq(parts), "{shown}");
                assert_eq!(list.unwrap(), manifest, "{shown}");
                true
            }
            (Err(one), Err(other)) => {
                assert_eq!(one.to_string(), other.to_string(), "{shown}");
                false
            }
            (one, other) => panic!("{one:?}, but {other:?}: {shown}"),
        }
    };
    for fixture in [IMG_AMD64, INDEX, DOCKER_S2, DOCKER_LIST, REF_ARTIFACT, REF_OLD, ORAS_ARTIFACT, REF_NO_SIZE] {
        assert!(same(fixture.media_type, fixture.bytes), "{}", fixture.name);
    }
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    let descriptor = format!(
        r#"{{"mediaType":"a/b","digest":"{one}","size":3,"artifactType":"a/c","annotations":{{"k":"v","n":5}},"platform":{{"os":"linux","architecture":"arm64"}},"data":"b25l"}}"#
    );
    let whole = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"a/t","config":{descriptor},"layers":[{descriptor},{descriptor}],"subject":{{"mediaType":"{MANIFEST}","digest":"{other}","size":5}},"annotations":{{"k":"v","n":null}}}}"#
    );
    let index = whole.replacen(MANIFEST, INDEX_TYPE, 1).replacen(
        &format!(r#""config":{descriptor},"layers""#),
        r#""manifests""#,
        1,
    );
    differ(&whole, &descriptor, &|text| same(MANIFEST, text.as_bytes()));
    differ(&index, &descriptor, &|text| same(INDEX_TYPE, text.as_bytes()));
    let many = |count: usize| {
        index.replacen(
            &format!("[{descriptor}"),
            &format!("[{}{descriptor}", format!("{descriptor},").repeat(count)),
            1,
        )
    };
    assert!(same(INDEX_TYPE, many(MAX_DESCRIPTORS - 2).as_bytes()));
    assert!(!same(INDEX_TYPE, many(MAX_DESCRIPTORS - 1).as_bytes()));
}

/// Changes `whole` in every place, and gives it members that it has and those of other forms. `same` tells whether that
/// is taken.
fn differ(whole: &str, descriptor: &str, same: &dyn Fn(&str) -> bool) {
    assert!(same(whole));
    let (mut taken, mut refused) = (0, 0);
    let mut count = |text: &str| if same(text) { taken += 1 } else { refused += 1 };
    for at in 0..whole.len() {
        let (front, back) = whole.split_at(at);
        for odd in ["", "\\", "\\ud800", "\\u0061", "\"", "{", "}", "[", "]", ",", "null", "-", "\u{1}", "é"] {
            count(&format!("{front}{odd}{}", &back[1..]));
            count(&format!("{front}{odd}{back}"));
        }
    }
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let values = ["null", "5", "-5", "1.5", "\"\"", "\"x\"", "\"a\\nb\"", "{}", "{\"a\":{}}", "[]", "[5]", "true"];
    let types = [INDEX_TYPE, docker, "application/vnd.oci.artifact.manifest.v1+json"].map(|kind| format!("{kind:?}"));
    let values: Vec<&str> = values.into_iter().chain(types.iter().map(String::as_str)).chain([descriptor]).collect();
    let own = ["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations"];
    for member in own {
        for value in &values {
            // As one more member, in front and behind, and in the place of the right one.
            count(&whole.replacen('{', &format!("{{\"{member}\":{value},"), 1));
            count(&format!("{},\"{member}\":{value}}}", &whole[..whole.len() - 1]));
            count(&whole.replacen(&format!("\"{member}\":"), &format!("\"{member}\":{value},\"old\":"), 1));
        }
    }
    for member in ["manifests", "fsLayers", "blobs", "refers", "digest", "size", "data", "platform", "os.features"] {
        for value in &values {
            count(&whole.replacen('{', &format!("{{\"{member}\":{value},"), 1));
            count(&whole.replace("\"mediaType\":\"a/b\"", &format!("\"mediaType\":\"a/b\",\"{member}\":{value}")));
            count(&whole.replace("\"size\":3", &format!("\"size\":3,\"{member}\":{value}")));
            count(&whole.replace("\"os\":", &format!("\"{member}\":{value},\"os\":")));
            count(&whole.replace("\"size\":5", &format!("\"size\":5,\"{member}\":{value}")));
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}
