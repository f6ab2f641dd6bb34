//! What becomes of manifests in another form.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::collections::BTreeSet;

use ocistow_graph::convert::convert;
use ocistow_graph::resolve::resolve_in;
use ocistow_graph::{Asked, Conversion, Facts, Family, Graph, Load, Target};
use ocistow_layout::edit::apply;
use ocistow_layout::index::INDEX_TYPE;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Digest, Kind, Result, Source, Unwatched};
use ocistow_testkit::fixtures::{self, Fixture};
use ocistow_testkit::{draw, odd};
use serde_json::{Value, json};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn graph(memory: &Memory) -> Graph {
    Graph::load(memory, Load { threads: 1, scan_blobs: false }, &Unwatched).unwrap()
}

fn decided(memory: &Memory, asked: &Asked, family: Family, referrers: bool) -> Result<Conversion> {
    let graph = graph(memory);
    let target = resolve_in(&graph, memory, asked).unwrap();
    convert(&graph, memory, &target, family, referrers)
}

/// Converts what `asked` means, and gives its new digest.
fn converted(memory: &mut Memory, asked: &Asked, family: Family, referrers: bool, name: Option<&str>) -> Digest {
    let conversion = decided(memory, asked, family, referrers).unwrap();
    let entering = conversion.enter(name, memory).unwrap();
    memory.index = apply(&memory.index().unwrap(), &entering.import.edits).unwrap();
    for (blob, bytes) in entering.written {
        assert_eq!((&blob.digest, blob.size), (&blob.digest.same_of(&bytes).unwrap(), bytes.len() as u64));
        memory.blobs.insert(blob.digest, bytes);
    }
    conversion.new.digest
}

fn name(text: &str) -> Asked {
    Asked::Name(text.into(), None)
}

fn document(memory: &Memory, digest: &Digest) -> Value {
    serde_json::from_slice(&memory.blobs[digest]).unwrap()
}

fn referrers(memory: &Memory, digest: &Digest) -> BTreeSet<Digest> {
    graph(memory).referrers(digest).iter().map(|edge| edge.referrer.clone()).collect()
}

/// A layout of one fixture, under the tag `it`.
fn only(bytes: &[u8], media_type: &str) -> Memory {
    let mut memory = Memory::default();
    let digest = memory.add(bytes);
    let entry = json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len(),
        "annotations": {"org.opencontainers.image.ref.name": "it", "kept": "yes"}, "x-unknown": [1]});
    memory.index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}).to_string().into_bytes();
    memory
}

fn of(fixture: Fixture) -> Memory {
    only(fixture.bytes, fixture.media_type)
}

/// DOCKER-COMPAT-4: the four types are swapped, nothing else is.
#[test]
fn a_docker_image_becomes_an_oci_image_with_the_same_content() {
    let mut memory = of(fixtures::DOCKER_S2);
    let old = Facts::read("", &fixtures::DOCKER_S2.digest(), fixtures::DOCKER_S2.bytes).unwrap();
    let new = converted(&mut memory, &name("it"), Family::Oci, false, None);
    let text = std::str::from_utf8(&memory.blobs[&new]).unwrap();
    assert!(!text.contains("docker"), "{text}");
    assert!(text.starts_with(&format!("{{\"schemaVersion\":2,\"mediaType\":\"{OCI}\",\"config\":")), "{text}");
    let facts = Facts::read("", &new, text.as_bytes()).unwrap();
    let content = |facts: &Facts| -> Vec<_> {
        facts.parts.iter().map(|part| (part.descriptor.digest.clone(), part.descriptor.size)).collect()
    };
    assert_eq!(content(&facts), content(&old));
    // The entry is the same but for what it names.
    let index = memory.index().unwrap();
    assert_eq!(index.entries().len(), 1);
    let entry: Value = serde_json::from_str(index.descriptors().unwrap()[0].text()).unwrap();
    assert_eq!((&entry["mediaType"], &entry["x-unknown"]), (&json!(OCI), &json!([1])));
    assert_eq!(entry["annotations"], json!({"kept": "yes", "org.opencontainers.image.ref.name": "it"}));
}

/// MANIFEST-17: a child of a type that says nothing is what it is, and is called that afterwards.
#[test]
fn a_child_that_nobody_calls_an_image_is_converted_as_one() {
    let list = String::from_utf8_lossy(fixtures::DOCKER_LIST.bytes).replacen(DOCKER, "", 1);
    let mut memory = only(list.as_bytes(), fixtures::DOCKER_LIST.media_type);
    memory.add(fixtures::DOCKER_S2.bytes);
    let new = converted(&mut memory, &name("it"), Family::Oci, false, None);
    let child = &document(&memory, &new)["manifests"][0];
    assert_eq!(child["mediaType"], OCI);
    let digest = child["digest"].as_str().unwrap().parse().unwrap();
    assert_eq!(document(&memory, &digest)["mediaType"], OCI);
}

#[test]
fn what_is_of_that_form_already_stays_as_it_is() {
    for fixture in [fixtures::IMG_AMD64, fixtures::INDEX, fixtures::IMG_EXTRA_FIELDS, fixtures::IMG_NO_MEDIATYPE] {
        assert_eq!(converted(&mut of(fixture), &name("it"), Family::Oci, true, None), fixture.digest());
    }
    let mut memory = odd::docker();
    let roots: Vec<Digest> = graph(&memory).index().descriptors().unwrap().iter().map(|d| d.digest.clone()).collect();
    for root in roots {
        let new = converted(&mut memory, &Asked::Digest(root), Family::Oci, false, None);
        let before = memory.clone();
        assert_eq!(converted(&mut memory, &Asked::Digest(new.clone()), Family::Oci, false, None), new);
        assert_eq!(memory, before);
    }
}

#[test]
fn there_and_back_nothing_is_lost() {
    let mut world = draw(
        "image amd = base + top [linux/amd64] {org.example=kept}
         image arm = base [linux/arm64/v8]
         index app:1 = amd, arm {a=b}",
    );
    let there = converted(&mut world.memory, &name("1"), Family::Docker, false, Some("docker"));
    assert_ne!(there, world.digest("app"));
    let list = document(&world.memory, &there);
    assert_eq!(list["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    assert_eq!(list["manifests"][1]["mediaType"], DOCKER);
    assert_eq!(list["manifests"][1]["platform"]["variant"], "v8");
    let back = converted(&mut world.memory, &name("docker"), Family::Oci, false, None);
    assert_eq!(back, world.digest("app"));
}

#[test]
fn unknown_members_and_their_order_stay() {
    let text = format!(
        r#"{{ "x": {{"b": 1.50, "a": null}}, "schemaVersion": 2, "config": {{"size": 2, "mediaType":
        "application/vnd.docker.container.image.v1+json", "digest": "{0}", "y": "<>"}}, "layers": [], "mediaType": "{DOCKER}"}}"#,
        Digest::of(b"{}")
    );
    let mut memory = only(text.as_bytes(), DOCKER);
    let new = converted(&mut memory, &name("it"), Family::Oci, false, None);
    let expected = format!(
        r#"{{"x":{{"b":1.50,"a":null}},"schemaVersion":2,"config":{{"size":2,"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","y":"<>"}},"layers":[],"mediaType":"{OCI}"}}"#,
        Digest::of(b"{}")
    );
    assert_eq!(String::from_utf8(memory.blobs[&new].clone()).unwrap(), expected);
}

/// ARTIFACT-6, ORAS-ARTIFACT-6: one shape, three spellings.
#[test]
fn withdrawn_artifact_manifests_become_those_of_today() {
    for fixture in [fixtures::ORAS_ARTIFACT, fixtures::OCI_ARTIFACT_RC1, fixtures::OCI_ARTIFACT_RC2] {
        let mut memory = odd::legacy();
        let old = document(&memory, &fixture.digest());
        let asked = Asked::Digest(fixture.digest());
        let new = converted(&mut memory, &asked, Family::Oci, false, None);
        let made = document(&memory, &new);
        assert_eq!(made["artifactType"], old["artifactType"], "{}", fixture.name);
        assert_eq!(made["layers"], old["blobs"], "{}", fixture.name);
        assert_eq!(made["annotations"], old["annotations"], "{}", fixture.name);
        let subject = old.get("subject").or(old.get("refers")).unwrap();
        assert_eq!(made["subject"], *subject, "{}", fixture.name);
        assert!(made.get("refers").is_none() && made.get("blobs").is_none());
        assert_eq!(made["config"]["data"], "e30=");
        assert!(memory.blobs.contains_key(&fixtures::EMPTY_JSON.digest()), "ARTIFACT-5");
        // It takes the place of the old one, and refers to what that referred to.
        let subject: Digest = subject["digest"].as_str().unwrap().parse().unwrap();
        let found = referrers(&memory, &subject);
        assert!(found.contains(&new) && !found.contains(&fixture.digest()), "{}", fixture.name);
        assert_eq!(converted(&mut memory, &Asked::Digest(new.clone()), Family::Oci, false, None), new);
    }
}

#[test]
fn an_artifact_of_nothing_gets_the_empty_layer() {
    let media_type = "application/vnd.cncf.oras.artifact.manifest.v1+json";
    let mut memory = only(format!(r#"{{"mediaType":"{media_type}","artifactType":"sbom"}}"#).as_bytes(), media_type);
    let new = converted(&mut memory, &name("it"), Family::Oci, false, None);
    let made = document(&memory, &new);
    assert_eq!((&made["artifactType"], &made["layers"][0]), (&json!("sbom"), &made["config"]));
}

#[test]
fn attestations_go_with_what_they_attest() {
    let mut world = draw(
        "docker amd = base [linux/amd64]
         attest proof -> amd
         list app:1 = amd, proof",
    );
    let new = converted(&mut world.memory, &name("1"), Family::Oci, false, None);
    let index = document(&world.memory, &new);
    assert_eq!(index["manifests"][1]["annotations"]["vnd.docker.reference.digest"], index["manifests"][0]["digest"]);
    assert_ne!(index["manifests"][0]["digest"], world.digest("amd").to_string());
    assert_eq!(index["manifests"][1]["digest"], world.digest("proof").to_string());
}

/// What newer BuildKit makes: an attestation that says its subject itself (ARTIFACT-9).
#[test]
fn an_attestation_that_names_its_subject_names_the_new_one() {
    let mut world = draw(
        "docker amd = base [linux/amd64]
         refer proof -> amd : application/vnd.docker.attestation.manifest.v1+json
         list app:1 = proof, amd",
    );
    let new = converted(&mut world.memory, &name("1"), Family::Oci, false, None);
    let index = document(&world.memory, &new);
    let digest = |at: usize| index["manifests"][at]["digest"].as_str().unwrap().parse::<Digest>().unwrap();
    assert_eq!(referrers(&world.memory, &digest(1)), BTreeSet::from([digest(0)]));
}

#[test]
fn a_platform_that_is_not_there_stays_listed() {
    let mut world = draw(
        "docker amd = base [linux/amd64]
         docker arm = base [linux/arm64]
         list app:1 = amd, arm
         absent arm",
    );
    let conversion = decided(&world.memory, &name("1"), Family::Oci, false).unwrap();
    assert_eq!(conversion.absent, BTreeSet::from([world.digest("arm")]));
    let new = converted(&mut world.memory, &name("1"), Family::Oci, false, None);
    assert_eq!(document(&world.memory, &new)["manifests"][1]["digest"], world.digest("arm").to_string());
    assert_eq!(converted(&mut world.memory, &name("1"), Family::Oci, false, None), new);
}

#[test]
fn referrers_stay_or_are_made_anew_with_theirs() {
    let drawing = "docker amd = base [linux/amd64]
                   list app:1 = amd
                   refer sbom -> amd : application/spdx+json
                   refer sig -> sbom : application/x.sig
                   refer seen -> app : application/x.note";
    let mut world = draw(drawing);
    let conversion = decided(&world.memory, &name("1"), Family::Oci, false).unwrap();
    assert_eq!(world.words(&conversion.left), "sbom seen");
    assert!(conversion.attached.is_empty());
    let new = converted(&mut world.memory, &name("1"), Family::Oci, true, None);
    let first = |digest: &Digest| referrers(&world.memory, digest).into_iter().next().unwrap();
    assert_eq!(document(&world.memory, &first(&new))["artifactType"], "application/x.note");
    let child = document(&world.memory, &new)["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
    let sbom = first(&child);
    let sig = first(&sbom);
    assert_eq!(document(&world.memory, &sig)["artifactType"], "application/x.sig");
    assert_eq!(document(&world.memory, &sig)["subject"]["digest"], sbom.to_string());
    // The old ones are as they were.
    assert_eq!(world.words(&referrers(&world.memory, &world.digest("app"))), "seen");
    let before = world.memory.clone();
    assert_eq!(converted(&mut world.memory, &name("1"), Family::Oci, true, None), new);
    assert_eq!(world.memory, before);
}

/// Whoever asks for `referrers` wants no withdrawn form left, also where the root itself is of today's.
#[test]
fn referrers_of_a_withdrawn_form_are_made_anew_where_they_stand() {
    let old = [fixtures::OCI_ARTIFACT_RC1, fixtures::OCI_ARTIFACT_RC2, fixtures::ORAS_ARTIFACT];
    let root = fixtures::INDEX.digest();
    let subjects = [root.clone(), fixtures::IMG_AMD64.digest()];
    let all = |memory: &Memory| -> BTreeSet<Digest> {
        subjects.iter().flat_map(|subject| referrers(memory, subject)).collect()
    };
    let mut memory = odd::legacy();
    assert_eq!(all(&memory), old.iter().map(Fixture::digest).collect());
    let before = memory.clone();
    assert_eq!(converted(&mut memory, &name("v1"), Family::Oci, false, None), root);
    assert_eq!(memory, before, "nobody asked");
    assert_eq!(converted(&mut memory, &name("v1"), Family::Oci, true, None), root);
    let new = all(&memory);
    assert_eq!(new.len(), 3);
    for digest in &new {
        assert_eq!(document(&memory, digest)["mediaType"], OCI);
    }
    assert_eq!(memory.index().unwrap().entries().len(), before.index().unwrap().entries().len());
    let conversion = decided(&memory, &name("v1"), Family::Oci, true).unwrap();
    assert_eq!(conversion.count(), 0, "that was all");
}

/// What takes the place of one takes nobody else's: a name may stand for several.
#[test]
fn what_shares_a_name_with_what_is_converted_keeps_it() {
    let drawing = "docker app:1 = base
                   docker twin:2 = more
                   image other:3 = else";
    let mut world = draw(drawing);
    let text = String::from_utf8(world.memory.index).unwrap();
    world.memory.index = text.replace("\"2\"", "\"1\"").replace("\"3\"", "\"1\"").into_bytes();
    let named_1 = |memory: &Memory| -> Vec<Digest> {
        let index = memory.index().unwrap();
        let named = index.entries().iter().filter(|entry| entry.pair.tag() == Some("1"));
        named.map(|entry| entry.descriptor.as_ref().unwrap().digest.clone()).collect()
    };
    let [app, other, twin] = ["app", "other", "twin"].map(|word| world.digest(word));
    assert_eq!(named_1(&world.memory), [app.clone(), twin.clone(), other.clone()]);
    let asked = |digest: &Digest| Asked::Digest(digest.clone());
    let conversion = decided(&world.memory, &asked(&app), Family::Oci, false).unwrap();
    let moved = conversion.enter(None, &world.memory).unwrap().import.moved;
    assert_eq!(
        moved.iter().map(|moved| moved.from.as_ref().unwrap()).collect::<Vec<_>>(),
        [&app],
        "only its own moves"
    );
    let new = converted(&mut world.memory, &asked(&app), Family::Oci, false, None);
    assert_eq!(named_1(&world.memory), [twin.clone(), other.clone(), new.clone()]);
    let new_twin = converted(&mut world.memory, &asked(&twin), Family::Oci, false, None);
    assert_eq!(named_1(&world.memory), [other, new.clone(), new_twin]);
    // What it becomes may have the name already.
    let mut both: Value = serde_json::from_slice(&draw(drawing).memory.index).unwrap();
    let entries = both["manifests"].as_array_mut().unwrap();
    entries.truncate(1);
    let size = world.memory.blobs[&new].len();
    let annotations = entries[0]["annotations"].clone();
    entries.push(json!({"mediaType": OCI, "digest": new.to_string(), "size": size, "annotations": annotations}));
    world.memory.index = both.to_string().into_bytes();
    assert_eq!(converted(&mut world.memory, &asked(&app), Family::Oci, false, None), new);
    assert_eq!(named_1(&world.memory), [new]);
}

#[test]
fn a_withdrawn_referrer_leaves_the_lists_it_was_in() {
    let subject = fixtures::IMG_AMD64;
    let member = |fixture: Fixture| json!({"mediaType": fixture.media_type, "digest": fixture.digest().to_string(), "size": fixture.bytes.len()});
    let list = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [member(fixtures::ORAS_ARTIFACT)]});
    let list = list.to_string();
    for (asked, whole) in [(Asked::Digest(fixtures::ORAS_ARTIFACT.digest()), false), (name("v1"), true)] {
        let mut memory = odd::legacy();
        let digest = memory.add(list.as_bytes());
        let entry = json!({"mediaType": INDEX_TYPE, "digest": digest.to_string(), "size": list.len(),
            "annotations": {"org.opencontainers.image.ref.name": subject.digest().fallback_tag()}});
        let mut index: Value = serde_json::from_slice(&memory.index).unwrap();
        index["manifests"].as_array_mut().unwrap().push(entry);
        memory.index = index.to_string().into_bytes();
        converted(&mut memory, &asked, Family::Oci, whole, None);
        let after = graph(&memory);
        let about = after.facts(&after.lists()[0].digest).unwrap();
        let listed: BTreeSet<Digest> = about.children().map(|child| child.digest.clone()).collect();
        assert!(!listed.contains(&fixtures::ORAS_ARTIFACT.digest()), "{asked:?}");
        assert!(!referrers(&memory, &subject.digest()).contains(&fixtures::ORAS_ARTIFACT.digest()), "{asked:?}");
        assert!(listed.iter().all(|digest| document(&memory, digest)["mediaType"] == OCI), "{asked:?}");
    }
}

/// Containerd's referrers say nothing themselves, and their one entry cannot say two things; cosign's get another tag.
#[test]
fn what_does_not_say_its_subject_itself_stays_or_gets_another_tag() {
    let mut world =
        draw("docker app:1 = base\ncontainerd scan -> app : application/x.scan\ncosign app.sig\ncosign app.sbom");
    let conversion = decided(&world.memory, &name("1"), Family::Oci, true).unwrap();
    assert_eq!(world.words(&conversion.left), "scan");
    assert_eq!(world.words(&conversion.attached), "app.sbom app.sig");
    let new = converted(&mut world.memory, &name("1"), Family::Oci, true, None);
    assert_eq!(world.words(&referrers(&world.memory, &new)), "app.sbom app.sig");
    assert_eq!(world.words(&referrers(&world.memory, &world.digest("app"))), "app.sbom app.sig scan");
}

#[test]
fn a_docker_image_has_oci_referrers() {
    let mut world = draw("image app:1 = base\nrefer sig -> app : application/x.sig");
    let new = converted(&mut world.memory, &name("1"), Family::Docker, true, None);
    let sig = referrers(&world.memory, &new).into_iter().next().unwrap();
    let made = document(&world.memory, &sig);
    assert_eq!((&made["mediaType"], &made["subject"]["mediaType"]), (&json!(OCI), &json!(DOCKER)));
}

#[test]
fn lists_and_tags_of_referrers_come_along_in_their_dialect() {
    for (dialect, list) in [("fallback app = sig", true), ("olareg app = sig", true), ("", false)] {
        let mut world =
            draw(&format!("docker app:1 = base\nrefer sig -> app : application/x.sig\ncosign app.sig\n{dialect}"));
        let new = converted(&mut world.memory, &name("1"), Family::Oci, true, None);
        let after = graph(&world.memory);
        let lists: Vec<_> = after.lists().iter().filter(|list| list.about.is(&new)).collect();
        assert_eq!(lists.len(), usize::from(list), "{dialect}");
        let sig = after.referrers(&new).iter().find(|edge| edge.cosign.is_none()).unwrap();
        for list in lists {
            let listed: Vec<_> = after.facts(&list.digest).unwrap().children().map(|c| c.digest.clone()).collect();
            assert_eq!(listed, std::slice::from_ref(&sig.referrer), "{dialect}");
        }
        assert_eq!(after.referrers(&new).iter().filter_map(|edge| edge.cosign).collect::<Vec<_>>(), ["sig"]);
    }
}

#[test]
fn a_list_about_what_a_withdrawn_artifact_refers_to_is_kept_true() {
    let mut memory = odd::legacy();
    let subject = fixtures::IMG_AMD64.digest();
    let list = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX_TYPE}","manifests":[]}}"#);
    let digest = memory.add(list.as_bytes());
    let entry = json!({"mediaType": INDEX_TYPE, "digest": digest.to_string(), "size": list.len(),
        "annotations": {"org.opencontainers.image.ref.name": subject.fallback_tag()}});
    let mut index: Value = serde_json::from_slice(&memory.index).unwrap();
    index["manifests"].as_array_mut().unwrap().push(entry);
    memory.index = index.to_string().into_bytes();
    let new = converted(&mut memory, &Asked::Digest(fixtures::ORAS_ARTIFACT.digest()), Family::Oci, false, None);
    let after = graph(&memory);
    let listed: Vec<_> = after.facts(&after.lists()[0].digest).unwrap().children().map(|c| c.digest.clone()).collect();
    assert_eq!(listed, [new]);
}

#[test]
fn what_the_other_form_has_no_words_for_is_refused() {
    let zstd = "image app:1 = top\n";
    let mut table = vec![
        ("artifact app:1 : application/x", "artifact"),
        ("image base = layer\nrefer app:1 -> base : application/x", "artifact"),
        ("image a = b\nindex app:1 = a : application/x", "artifact"),
        ("image a = b\nattest proof -> a\nindex app:1 = a, proof", "in-toto"),
    ];
    let layer = format!("layer top : application/vnd.oci.image.layer.v1.tar+zstd\n{zstd}");
    let foreign = format!("layer top : application/vnd.oci.image.layer.nondistributable.v1.tar+zstd\n{zstd}");
    let unknown = format!("file top : application/x\n{zstd}");
    table.extend([(layer.as_str(), "zstd"), (foreign.as_str(), "zstd"), (unknown.as_str(), "application/x")]);
    for (drawing, why) in table {
        let world = draw(drawing);
        let error = decided(&world.memory, &name("1"), Family::Docker, false).unwrap_err();
        assert_eq!(error.kind(), Kind::Failed, "{drawing}");
        assert!(error.chain().contains(why), "{drawing}: {}", error.chain());
    }
}

/// DOCKER-COMPAT-6
#[test]
fn layers_that_must_not_be_distributed_have_both_names() {
    let oci = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let mut world = draw(&format!("layer top : {oci}\nimage app:1 = top"));
    let there = converted(&mut world.memory, &name("1"), Family::Docker, false, None);
    let docker = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    assert_eq!(document(&world.memory, &there)["layers"][0]["mediaType"], docker);
    assert_eq!(converted(&mut world.memory, &name("1"), Family::Oci, false, None), world.digest("app"));
}

/// DOCKER-COMPAT-7
#[test]
fn docker_schema_1_is_refused_with_the_reason() {
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let text = br#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]}"#;
    for family in [Family::Oci, Family::Docker] {
        let error = decided(&only(text, media_type), &name("it"), family, false).unwrap_err();
        assert_eq!(error.kind(), Kind::Failed);
        assert!(error.chain().contains("first schema"), "{}", error.chain());
    }
}

#[test]
fn what_readers_would_disagree_on_is_not_converted() {
    let twice = format!(
        r#"{{"schemaVersion":2,"mediaType":"{DOCKER}","config":{{"mediaType":"x","digest":"{0}","size":2}},"layers":[],"layers":[]}}"#,
        Digest::of(b"{}")
    );
    let one = format!(
        r#"{{"schemaVersion":1,"mediaType":"{DOCKER}","config":{{"mediaType":"x","digest":"{0}","size":2}},"layers":[]}}"#,
        Digest::of(b"{}")
    );
    for text in [twice, one] {
        let error = decided(&only(text.as_bytes(), DOCKER), &name("it"), Family::Oci, false).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
    }
}

#[test]
fn absent_and_damaged_manifests_are_told_apart() {
    let absent = draw("docker app:1 = base\nabsent app");
    let damaged = draw("docker a = base\nlist app:1 = a\ndamage a");
    let kind = |memory: &Memory| decided(memory, &name("1"), Family::Oci, false).unwrap_err().kind();
    assert_eq!(kind(&absent.memory), Kind::Incomplete);
    assert_eq!(kind(&damaged.memory), Kind::Integrity);
}

/// Whoever cannot check a digest can be led in a circle.
#[test]
fn an_index_that_contains_itself_is_refused() {
    let digest: Digest = "x-none:0".parse().unwrap();
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let size = 230;
    let mut text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{list}","manifests":[{{"mediaType":"{list}","digest":"{digest}","size":{size}}}]}}"#
    );
    while text.len() < size {
        text.push(' ');
    }
    let mut memory = Memory::default();
    memory.blobs.insert(digest.clone(), text.into_bytes());
    let entry = json!({"mediaType": list, "digest": digest.to_string(), "size": size});
    memory.index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes();
    let graph = graph(&memory);
    let target =
        Target { descriptor: graph.index().descriptors().unwrap()[0].clone(), places: vec![0], manifest: true };
    let error = convert(&graph, &memory, &target, Family::Oci, false).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
}

#[test]
fn sha512_stays_sha512() {
    let mut world = draw("sha512 docker app:1 = base");
    let new = converted(&mut world.memory, &name("1"), Family::Oci, false, None);
    assert_eq!(new.algorithm(), "sha512");
}
