//! Bytes as any document of a layout: manifests of every form, index.json, descriptors, the marker. What is read is
//! what another parser reads, and edits of index.json touch nothing else.

use ocistow_graph::convert::{Family, convert};
use ocistow_graph::fsck;
use ocistow_graph::resolve::{Asked, resolve_in};
use ocistow_graph::{Facts, Form, Graph, Manifest};
use ocistow_layout::edit::{Edit, apply};
use ocistow_layout::index::{CARRIES, Entry, LACKS};
use ocistow_layout::memory::Memory;
use ocistow_layout::name::Pair;
use ocistow_layout::{Descriptor, Digest, IndexFile, Kind, Marker, Source, Unwatched, json};
use serde_json::Value;

use crate::{LOAD, carried};

/// The body.
pub fn run(bytes: &[u8]) {
    if bytes.len() > 64 << 10 {
        return;
    }
    // What another parser sees; it also refuses some that we take, such as numbers beyond all bounds.
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    marker(bytes, value.as_ref());
    if let Ok(text) = std::str::from_utf8(bytes) {
        descriptor(text, value.as_ref());
    }
    manifests(bytes);
    index(bytes, value.as_ref());
}

fn deep(bytes: &[u8]) -> bool {
    json::text(bytes).is_err()
}

/// LAYOUT-2, LAYOUT-3
fn marker(bytes: &[u8], value: Option<&Value>) {
    let version = value.and_then(|value| value.as_object()?.get("imageLayoutVersion")?.as_str());
    if value.is_some() && !deep(bytes) {
        assert_eq!(Marker::judge(bytes) == Marker::Right, version == Some("1.0.0"));
    }
    assert_ne!(Marker::judge(bytes), Marker::Absent);
}

fn descriptor(text: &str, value: Option<&Value>) {
    let Ok(descriptor) = Descriptor::parse(text) else { return };
    assert_eq!(descriptor.text(), text);
    assert_eq!(Descriptor::parse(descriptor.text()).unwrap(), descriptor);
    if let Some(Value::Object(members)) = value {
        let string = |name: &str| members.get(name).and_then(Value::as_str);
        assert_eq!(Some(descriptor.media_type.as_str()), string("mediaType"));
        assert_eq!(Some(descriptor.digest.to_string().as_str()), string("digest"));
        assert_eq!(Some(descriptor.size), members.get("size").and_then(Value::as_u64));
        assert_eq!(descriptor.artifact_type.as_deref(), string("artifactType"));
        assert_eq!(descriptor.data.as_deref(), string("data"));
        let annotations = members.get("annotations").and_then(Value::as_object);
        let strings =
            annotations.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
        let ordered: std::collections::BTreeMap<&str, &str> = strings.collect();
        assert!(descriptor.annotations.iter().eq(ordered), "{:?}", descriptor.annotations);
    }
    if let Some(Ok(data)) = descriptor.embedded() {
        assert_eq!(data.len() as u64, descriptor.size);
        assert!(descriptor.digest.same_of(&data).is_none_or(|digest| digest == descriptor.digest));
    }
}

/// Read at a glance and read whole, a manifest is the same; and a layout of it holds together.
fn manifests(bytes: &[u8]) {
    let digest = Digest::of(bytes);
    // Media types of all forms, and of none.
    let types = Form::ALL.iter().map(|form| form.media_type()).chain([""]);
    let mut known: Vec<Facts> = Vec::new();
    for media_type in types {
        match (Manifest::read(media_type, &digest, bytes.to_vec()), Facts::read(media_type, &digest, bytes)) {
            (Ok(manifest), Ok(facts)) => {
                let about = facts.subject.as_ref().map(|subject| &subject.digest);
                assert_eq!((manifest.kind(), manifest.form(), manifest.about()), (facts.kind, facts.form, about));
                assert_eq!(manifest.effective_type(), (facts.artifact_type.as_deref(), facts.declared_type));
                assert_eq!(manifest.facts(), facts);
                let mut children = Vec::new();
                manifest.children(&mut |child| children.push((child.digest, child.has_data)));
                assert!(children.into_iter().eq(facts.children().map(|it| (it.digest.clone(), it.data.is_some()))));
                let mut parts = 0;
                manifest.parts(&mut |_| parts += 1);
                assert_eq!(parts, facts.parts.len());
                assert_eq!(Manifest::read_list(media_type, &digest, bytes.to_vec()).unwrap(), manifest);
                assert_eq!(facts.size, bytes.len() as u64);
                if !known.iter().any(|known| known.form == facts.form) {
                    known.push(facts);
                }
            }
            (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
            (one, other) => panic!("{one:?}, but {other:?}"),
        }
    }
    for facts in known {
        layout(bytes, &facts);
    }
}

/// A layout in which the document is all there is.
fn layout(bytes: &[u8], facts: &Facts) {
    let mut memory = Memory::default();
    let digest = memory.add(bytes);
    let entry = Descriptor::new(facts.form.media_type(), digest.clone(), bytes.len() as u64);
    let name = Edit::Name { entry: Box::new(entry), reference: "it".into() };
    memory.index = apply(&memory.index().unwrap(), &[name]).unwrap();
    // What it needs is there where it is the empty document.
    memory.add(*b"{}");
    let graph = Graph::load(&memory, LOAD, &Unwatched).unwrap();
    assert_eq!(graph.facts(&digest).as_ref(), Some(facts), "the graph has it as it was read");
    let options = fsck::Options { threads: 1, archive: false, complete: true, allow_missing: true };
    let report = fsck::examine(&memory, options, &Unwatched).unwrap().report();
    assert_eq!(report, fsck::examine(&memory, options, &Unwatched).unwrap().report());
    if let Ok(plan) = carried::planned(&memory) {
        let _ = plan.verdict(false, true);
        assert!(plan.verdict(true, false).is_err() || plan.manifests.iter().any(|blob| blob.digest == digest));
    }
    let target = resolve_in(&graph, &memory, &Asked::Root).or_else(|_| resolve_in(&graph, &memory, &Asked::Place(0)));
    let Ok(target) = target else { return };
    for (family, other) in [(Family::Docker, Family::Oci), (Family::Oci, Family::Docker)] {
        let Ok(conversion) = convert(&graph, &memory, &target, family, true) else { continue };
        let Some(made) = conversion.root() else { continue };
        let new = &made.facts;
        let digest = Digest::of(&made.bytes);
        assert_eq!(&new.digest, &digest);
        let read = Facts::read(new.form.media_type(), &digest, &made.bytes).unwrap();
        assert_eq!(&read, new, "what was made is read as it was meant");
        let taken = |bytes| serde_json::from_slice::<Value>(bytes).is_ok();
        assert!(taken(&made.bytes) || !taken(bytes), "another parser does not take what was made");
        let Ok(entering) = conversion.enter(None, &memory) else { continue };
        let mut there = memory.clone();
        there.index = apply(&there.index().unwrap(), &entering.import.edits).unwrap();
        there.blobs.extend(entering.written.into_iter().map(|(blob, bytes)| (blob.digest, bytes)));
        let graph = Graph::load(&there, LOAD, &Unwatched).unwrap();
        let target = resolve_in(&graph, &there, &Asked::Name("it".into(), None)).unwrap();
        assert_eq!(target.descriptor.digest, digest, "the name has moved");
        let _ = convert(&graph, &there, &target, other, false);
    }
}

/// Edits of index.json: what nobody named keeps its bytes, and another parser sees the same.
fn index(bytes: &[u8], value: Option<&Value>) {
    let index = match IndexFile::parse(bytes.to_vec()) {
        Ok(index) => index,
        Err(why) => return assert_eq!(why.kind(), Kind::Integrity),
    };
    assert_eq!(index.bytes(), bytes);
    if let Some(value) = value {
        let listed = value["manifests"].as_array().map_or(0, Vec::len);
        assert_eq!(index.entries().len(), listed);
    }
    // As index.json of a layout that has nothing else.
    let memory = Memory { index: bytes.to_vec(), ..Memory::default() };
    let options = fsck::Options { threads: 1, archive: false, complete: false, allow_missing: false };
    let _ = fsck::examine(&memory, options, &Unwatched).unwrap().report();
    let _ = Graph::load(&memory, LOAD, &Unwatched).map(|graph| graph.roots().len());

    let entry = || Box::new(Descriptor::new("text/plain", Digest::of(b"new"), 3));
    let pair = |name: &str| Pair::written(name);
    let known = index.entries().iter().find(|entry| entry.tagged()).map(|entry| entry.pair.clone());
    let mut edits = vec![
        Edit::Add { entry: entry() },
        Edit::Set { entry: entry(), pair: pair("new"), expect: None },
        Edit::Name { entry: entry(), reference: "example.com/new:tag".into() },
        Edit::Beside { entry: entry(), pair: pair("again") },
    ];
    if let Some(known) = known {
        edits.push(Edit::Set { entry: entry(), pair: known.clone(), expect: None });
        let reference = known.reference.or(known.image).unwrap();
        edits.push(Edit::Name { entry: entry(), reference: reference.clone() });
        edits.push(Edit::Unname { reference: reference.clone(), keep: false });
        edits.push(Edit::Unname { reference, keep: true });
    }
    for entry in index.entries().iter().flat_map(|entry| &entry.descriptor).take(2) {
        edits.push(Edit::Remove { digest: entry.digest.clone(), pair: Pair::of(entry) });
    }
    for edit in &edits {
        edited(&index, value, std::slice::from_ref(edit));
    }
    edited(&index, value, &edits[..4]);
    edited(&index, value, &[]);
}

/// The elements of `manifests`, each as its own text.
fn texts(index: &IndexFile) -> Vec<String> {
    let object: json::Object = json::parse(index.text()).unwrap();
    let Some(list) = object.get("manifests") else { return Vec::new() };
    json::parse::<json::Array>(list.get()).unwrap().0.iter().map(|entry| entry.get().to_owned()).collect()
}

/// Whether an edit may change an entry.
fn concerns(edit: &Edit, entry: &Entry) -> bool {
    match edit {
        Edit::Set { pair, .. } => entry.pair.key() == pair.key(),
        Edit::Name { .. } | Edit::Unname { .. } => entry.tagged(),
        Edit::Remove { digest, .. } => entry.descriptor.as_ref().is_ok_and(|own| own.digest == *digest),
        Edit::Add { .. } | Edit::Beside { .. } => false,
    }
}

fn edited(index: &IndexFile, value: Option<&Value>, edits: &[Edit]) {
    let Ok(bytes) = apply(index, edits) else { return };
    let after = IndexFile::parse(bytes.clone()).expect("what was edited can be read");
    // What no edit names keeps its bytes, and its order.
    let (old, new) = (texts(index), texts(&after));
    let mut rest = new.as_slice();
    for (text, entry) in old.iter().zip(index.entries()) {
        if !edits.iter().any(|edit| concerns(edit, entry)) {
            let at = rest.iter().position(|new| new == text);
            rest = &rest[at.unwrap_or_else(|| panic!("{text} was not to be touched by {edits:?}")) + 1..];
        }
    }
    if edits.is_empty() {
        assert_eq!(old, new, "nobody touched an entry");
    }
    // Doing nothing to what was edited changes nothing.
    let again = apply(&after, &[]).unwrap();
    assert_eq!(again, bytes, "edited text is finished");
    // Other members are as they were, for another parser too.
    if let (Some(Value::Object(before)), Ok(Value::Object(now))) = (value, serde_json::from_slice(&bytes)) {
        for (name, value) in before.iter().filter(|(name, _)| *name != "manifests") {
            let mut value = value.clone();
            if let (true, Some(annotations)) = (name == "annotations", value.as_object_mut()) {
                annotations.remove(CARRIES);
                annotations.remove(LACKS);
            }
            assert_eq!(now.get(name), Some(&value), "{name}");
        }
        assert!(now["manifests"].is_array());
    } else {
        assert!(value.is_none(), "another parser no longer takes it");
    }
}
