//! The guide page for those who come from oras and regctl: each of its blocks is run, their lines and ours, and what
//! is there afterwards compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::run::{Peer, Ran, done, fixture, ocistow, repository, shell};

/// The blocks of the page, each with the line of somebody else and ours.
fn blocks() -> Vec<(String, String)> {
    let page = repository().join("crates/cli/guide/from-oras-and-regctl.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("a block ends"));
    let pair = |block: &str| {
        let mut lines = block.lines();
        let (Some(theirs), Some(ours), None) = (lines.next(), lines.next(), lines.next()) else {
            panic!("a block is their line and ours: {block}");
        };
        assert!(ours.starts_with("ocistow "), "{ours}");
        (theirs.to_owned(), ours.to_owned())
    };
    blocks.map(pair).collect()
}

/// A folder with what the page says is in it.
fn room() -> TempDir {
    let room = tempfile::tempdir().expect("there is room");
    let at = |name: &str| room.path().join(name);
    fs::create_dir_all(at("site/deep")).expect("there is room");
    for (name, content) in [("hi.txt", "hi\n"), ("config.json", "{\"c\":1}\n"), ("site/deep/index.html", "<p>hi</p>\n")]
    {
        fs::write(at(name), content).expect("there is room");
    }
    let path = |name: &str| at(name).to_str().expect("the path is UTF-8").to_owned();
    done(&["copy", &fixture("hello:1.0"), &path("image")]);
    done(&["export", &fixture("hello:1.0"), "-o", &path("image.tar")]);
    room
}

#[track_caller]
fn run(room: &Path, line: &str) -> Ran {
    shell(room, &format!("PATH=$PATH:$HOME/go/bin; {line}")).ended(0)
}

/// What is in a layout, as somebody sees who asks: tags, what they stand for, and who refers to that.
fn seen(layout: &Path) -> BTreeSet<(String, String, String)> {
    let path = layout.to_str().expect("the path is UTF-8");
    let list = done(&["ls", "--format", "json", path]).json();
    let entries = list["manifests"].as_array().expect("it is a list").iter();
    let tagged =
        entries.filter_map(|entry| Some((entry["tag"].as_str()?.to_owned(), entry["digest"].as_str()?.to_owned())));
    tagged
        .map(|(tag, digest)| {
            // oras keeps a full name as the tag; we keep both.
            let tag = tag.rsplit_once(':').map_or(tag.clone(), |(_, tag)| tag.to_owned());
            let at = format!("{path}@{digest}");
            let mut manifest = done(&["show", "--raw", &at]).json();
            without_moments(&mut manifest);
            let referrers = done(&["discover", "--format", "json", &at]).json();
            (tag, manifest.to_string(), referring(&referrers))
        })
        .collect()
}

/// Takes out what cannot be the same: moments, what compression made, and members that may be left out.
fn without_moments(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(without_moments),
        Value::Object(members) => {
            if members.get("annotations").is_some_and(|said| said["io.deis.oras.content.unpack"] == "true") {
                members.retain(|key, _| key == "mediaType");
            }
            if let Some(annotations) = members.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("org.opencontainers.image.created");
            }
            members.retain(|key, value| {
                key != "data" && !(key == "annotations" && value.as_object().is_none_or(|said| said.is_empty()))
            });
            members.values_mut().for_each(without_moments);
        }
        _ => {}
    }
}

/// The types of what refers to it, as a tree.
fn referring(node: &Value) -> String {
    let referrers = node["referrers"].as_array().into_iter().flatten();
    let mut types: Vec<String> = referrers.map(|one| format!("{} {}", one["artifactType"], referring(one))).collect();
    types.sort();
    format!("{types:?}")
}

/// What a line printed: a document where it is one.
fn said(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.out).unwrap_or_else(|_| Value::String(ran.text().trim().to_owned()))
}

#[test]
fn every_line_of_the_guide_does_what_theirs_does() {
    let (Some(_), Some(_)) = (Peer::find("oras"), Peer::find("regctl")) else { return };
    let (theirs, ours) = (room(), room());
    let layouts = ["store", "paths", "regstore"];
    let blocks = blocks();
    assert!(blocks.len() > 40, "{}", blocks.len());
    for (their, our) in &blocks {
        let (they, we) = (run(theirs.path(), their), run(ours.path(), our));
        for layout in layouts.iter().filter(|name| theirs.path().join(name).exists()) {
            let (there, here) = (seen(&theirs.path().join(layout)), seen(&ours.path().join(layout)));
            let only = |one: &BTreeSet<_>, other: &BTreeSet<_>| Vec::from_iter(one.difference(other).cloned());
            assert_eq!(only(&here, &there), only(&there, &here), "{layout} after\n{their}\n{our}");
        }
        let verb = our.split_whitespace().nth(1);
        if matches!(verb, Some("resolve" | "cat" | "show")) {
            assert_eq!(said(&we), said(&they), "{their}\n{our}");
        }
    }
    for name in ["pulled/hi.txt", "pulled/site/deep/index.html", "manifest.json"] {
        let read = |room: &TempDir| fs::read(room.path().join(name)).expect("it is there");
        assert_eq!(read(&ours), read(&theirs), "{name}");
    }
    // Each reads what the other wrote.
    for layout in layouts {
        for room in [&theirs, &ours] {
            let path = room.path().join(layout).to_str().expect("the path is UTF-8").to_owned();
            ocistow(["fsck", &path]).ended(0);
            for (tag, ..) in seen(Path::new(&path)) {
                if layout != "paths" {
                    run(room.path(), &format!("oras manifest fetch --oci-layout {layout}:{tag}"));
                    run(room.path(), &format!("regctl manifest get ocidir://{layout}:{tag}"));
                }
            }
        }
    }
}
