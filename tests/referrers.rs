//! Lists of referrers that other tools keep in a layout: after every command of ours that changes who refers to what,
//! they say what the manifests say, to us and to regctl.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ocistow_testkit::{draw, to_dir};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{Peer, done, fixture, shell};

/// What is done to the layout `lay`, which keeps lists about all that anything refers to: a table of lines of shell.
/// `$root` is its index, `$amd` and `$arm` are the children, `$sig` and `$sbom` refer to the root, `$leaf` to the SBOM.
const CHANGES: &[&str] = &[
    // Attach, to what has a list and to what has none, and in every way.
    "ocistow attach lay:1.0 --artifact-type a/b a.txt",
    "ocistow attach lay:1.0 --platform linux/arm64 --artifact-type a/b a.txt",
    "ocistow attach lay@$sbom --artifact-type a/b a.txt --referrers-as both",
    "ocistow attach lay:1.0 --artifact-type a/b a.txt --referrers-as tags",
    "ocistow attach lay:other --artifact-type a/b a.txt --referrers-as tags",
    "ocistow attach lay:other --artifact-type a/b a.txt && ocistow attach lay:other --artifact-type a/c a.txt --referrers-as tags",
    "ocistow attach lay:other --artifact-type a/b a.txt --referrers-as both && ocistow attach lay:other --artifact-type a/c a.txt",
    "ocistow attach lay@$leaf --artifact-type a/b a.txt --referrers-as both",
    // Manifests that refer to something, as they are: with a name and without, and in the place of another.
    "ocistow manifest push lay about.json",
    "ocistow manifest push lay:about about.json",
    "ocistow tag lay@$sig about && ocistow manifest push lay:about about.json",
    "ocistow push lay:1.0 a.txt",
    // What arrives, with referrers of its own and lists of its own.
    "ocistow copy more:1.0 lay:1.0",
    "ocistow copy more:1.0 lay:again --no-referrers",
    "ocistow copy more-tags:1.0 lay:1.0",
    "ocistow import more.tar lay",
    "ocistow import more-tags.tar lay",
    "ocistow import more.tar lay --tag 1.0=2.0",
    "ocistow import more.tar lay --platform linux/amd64",
    "ocistow export more:1.0 -o lay",
    "ocistow export more:1.0 -o lay --referrers-as both",
    "ocistow export more-tags:1.0 -o lay --no-referrers",
    // What goes: referrers, what they refer to, names.
    "ocistow rm lay@$sig",
    "ocistow rm lay@$sbom",
    "ocistow rm lay@$sbom --referrers",
    "ocistow rm lay@$sig lay@$sbom",
    "ocistow rm lay:1.0",
    "ocistow rm lay:1.0 --referrers",
    "ocistow tag lay@$sig signed && ocistow rm lay:signed",
    "ocistow tag lay@$sig signed && ocistow untag lay:signed",
    "ocistow tag lay@$sig signed && ocistow untag lay:signed && ocistow rm lay@$sig",
    "ocistow untag lay:1.0",
    "ocistow untag lay:1.0 && ocistow gc lay --grace 0",
    "ocistow untag lay:1.0 && ocistow gc lay --grace 0 --prune",
    "ocistow rm lay@$sig && ocistow gc lay --grace 0 --prune",
    "ocistow tag lay:other 1.0 && ocistow gc lay --grace 0 --prune",
    // Other manifests in the place of those that were referred to.
    "ocistow convert lay:1.0 --to docker --referrers",
    "ocistow convert lay:1.0 docker --to docker --referrers && ocistow convert lay:docker --referrers",
    "ocistow convert lay:1.0 --to docker",
    "ocistow index rm lay:1.0 $arm && ocistow gc lay --grace 0 --prune",
    "ocistow index add lay:1.0 other",
    "ocistow index create lay:1.0 @$amd @$sbom",
    // A referrer that was lost comes back.
    "rm lay/blobs/sha256/${sig#*:} && ocistow fsck lay --complete --repair-from more.tar",
];

/// A folder with `lay`, where referrers are recorded in this way, with what else [`CHANGES`] needs, and with what stands
/// at its beginning.
fn room(way: &str) -> (TempDir, String) {
    let room = tempfile::tempdir().expect("there is room");
    let at = |name: &str| room.path().join(name).to_str().expect("the path is UTF-8").to_owned();
    fs::write(at("a.txt"), "hi\n").expect("there is room");
    let hello = fixture("hello:1.0");
    done(&["copy", &hello, &at("lay"), "--referrers-as", way]);
    done(&["push", &at("lay:other"), &at("a.txt"), "--title", "a.txt"]);
    done(&["copy", &hello, &at("more")]);
    done(&["attach", &at("more:1.0"), "--artifact-type", "a/more", &at("a.txt"), "--title", "a.txt"]);
    done(&["copy", &at("more:1.0"), &at("more-tags"), "--referrers-as", "tags"]);
    for layout in ["more", "more-tags"] {
        done(&["export", &at(layout), "-o", &at(&format!("{layout}.tar"))]);
    }
    let own = |words: &[&str]| done(words).text().trim().to_owned();
    let refers = |reference: &str, kind: &str| {
        own(&["discover", "-q", &at(reference), "--depth", "1", "--artifact-type", &format!("application/{kind}")])
    };
    let root = own(&["resolve", &at("lay:1.0")]);
    let (sig, sbom) = (refers("lay:1.0", "vnd.example.signature.v1"), refers("lay:1.0", "spdx+json"));
    let leaf = refers(&format!("lay@{sbom}"), "vnd.example.signature.v1");
    let child = |platform: &str| own(&["resolve", &at("lay:1.0"), "--platform", platform]);
    let (amd, arm) = (child("linux/amd64"), child("linux/arm64"));
    let mut about = done(&["show", "--raw", &at("lay:other")]).json();
    let size = done(&["show", "--raw", &at("lay:1.0")]).out.len();
    about["subject"] = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": root, "size": size});
    fs::write(at("about.json"), about.to_string()).expect("there is room");
    let names = format!("root={root}; amd={amd}; arm={arm}; sig={sig}; sbom={sbom}; leaf={leaf}");
    (room, names)
}

/// What every list in `layout` lists, by its subject.
fn listed(layout: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let read = |path: &str| -> Value {
        let bytes = fs::read(layout.join(path)).unwrap_or_else(|why| panic!("{path}: {why}"));
        serde_json::from_slice(&bytes).expect("it is JSON")
    };
    let blob = |digest: &Value| read(&format!("blobs/{}", digest.as_str().expect("it is text").replacen(':', "/", 1)));
    let digests = |list: &Value| -> BTreeSet<String> {
        let members = list["manifests"].as_array().expect("it is a list").iter();
        members.map(|member| member["digest"].as_str().expect("it is text").to_owned()).collect()
    };
    let index = read("index.json");
    let entries = index["manifests"].as_array().expect("it is a list");
    let lists = entries.iter().filter_map(|entry| {
        let said = |key: &str| entry["annotations"][key].as_str();
        let by_tag = said("org.opencontainers.image.ref.name").and_then(|tag| tag.strip_prefix("sha256-"));
        let by_subject = said("org.olareg.referrer.subject").map(str::to_owned);
        let subject = by_subject.or(by_tag.map(|hex| format!("sha256:{hex}")))?;
        Some((subject, digests(&blob(&entry["digest"]))))
    });
    lists.collect()
}

/// Who refers to `subject` for us.
fn ours(layout: &Path, subject: &str) -> BTreeSet<String> {
    let at = format!("{}@{subject}", layout.display());
    let told = done(&["discover", "--depth", "1", "--format", "json", &at]).json();
    let referrers = told["referrers"].as_array().expect("it is a list").iter();
    referrers.map(|node| node["digest"].as_str().expect("it is text").to_owned()).collect()
}

/// Whether the subject is there at all: lists of what is gone may stay, and nobody can ask about it.
fn there(layout: &Path, subject: &str) -> bool {
    layout.join("blobs").join(subject.replacen(':', "/", 1)).exists()
}

/// Holds all lists of `layout` against the manifests, and against what regctl makes of them.
fn agree(folder: &Path, layout: &str, regctl: Option<&Peer>, after: &str) -> usize {
    let path = folder.join(layout);
    let checked = done(&["fsck", "--format", "json", path.to_str().expect("the path is UTF-8")]).json();
    let problems = checked["problems"].as_array().expect("it is a list");
    let wrong: Vec<&Value> = problems.iter().filter(|problem| problem["kind"] != "unreachable-blob").collect();
    let dangles = |problem: &&&Value| problem["kind"] == "dangling-subject";
    assert!(wrong.iter().all(|problem| dangles(&problem)), "after {after}: {wrong:#?}");
    let lists = listed(&path);
    for (subject, listed) in &lists {
        if !there(&path, subject) {
            continue;
        }
        assert_eq!(*listed, ours(&path, subject), "{subject} after {after}");
        if let Some(regctl) = regctl {
            let words =
                ["artifact", "list", "--format", "{{json .Descriptors}}", &format!("ocidir://{layout}@{subject}")];
            let told = regctl.done(folder, &words).json();
            let found = told.as_array().into_iter().flatten();
            let found: BTreeSet<String> =
                found.map(|one| one["digest"].as_str().expect("it is text").to_owned()).collect();
            assert_eq!(found, *listed, "regctl, {subject} after {after}");
        }
    }
    lists.len()
}

fn changes_of_a_layout_with(way: &str) {
    let regctl = Peer::find("regctl");
    let (room, names) = room(way);
    let folder = room.path();
    assert_eq!(agree(folder, "lay", regctl.as_ref(), "nothing"), 4);
    for change in CHANGES {
        shell(folder, "cp -r lay kept").ended(0);
        shell(folder, &format!("{names}; {change}")).ended(0);
        agree(folder, "lay", regctl.as_ref(), change);
        shell(folder, "rm -r lay && mv kept lay").ended(0);
    }
}

#[test]
fn every_change_keeps_fallback_tags_beside_entries_true() {
    changes_of_a_layout_with("both");
}

#[test]
fn every_change_keeps_fallback_tags_alone_true() {
    changes_of_a_layout_with("tags");
}

/// The same where regctl made the lists, and goes on to use them.
#[test]
fn regctl_goes_on_with_lists_that_we_changed() {
    let Some(regctl) = Peer::find("regctl") else { return };
    let (room, names) = room("tags");
    let folder = room.path();
    let put = |artifact_type: &str| {
        let words =
            ["artifact", "put", "--subject", "ocidir://lay:1.0", "--artifact-type", artifact_type, "-f", "a.txt"];
        regctl.done(folder, &words);
    };
    for change in CHANGES.iter().filter(|change| change.contains("attach") || change.contains("rm lay@")) {
        shell(folder, "cp -r lay kept").ended(0);
        put("a/theirs");
        shell(folder, &format!("{names}; {change}")).ended(0);
        put("a/theirs2");
        agree(folder, "lay", Some(&regctl), change);
        let types = done(&["discover", "--depth", "1", folder.join("lay:1.0").to_str().expect("the path is UTF-8")]);
        assert!(types.text().contains("a/theirs ") && types.text().contains("a/theirs2 "), "{change}: {types}");
        shell(folder, "rm -r lay && mv kept lay").ended(0);
    }
}

/// Lists that are known by an annotation of their entry, as olareg keeps them.
#[test]
fn every_change_keeps_olareg_lists_true() {
    let world = draw(
        "image app:1.0 = base
         refer sig -> app : application/x.sig
         refer note -> sig : application/x.note
         olareg app = sig
         olareg sig = note",
    );
    let room = tempfile::tempdir().expect("there is room");
    let folder = room.path();
    fs::write(folder.join("a.txt"), "hi\n").expect("there is room");
    to_dir(&world.memory, folder.join("lay")).expect("there is room");
    shell(
        folder,
        "cp -r lay more && ocistow attach more:1.0 --artifact-type a/more a.txt && ocistow export more -o more.tar",
    )
    .ended(0);
    assert_eq!(agree(folder, "lay", None, "nothing"), 2);
    for change in [
        "ocistow attach lay:1.0 --artifact-type a/b a.txt",
        "ocistow attach lay@$sig --artifact-type a/b a.txt",
        "ocistow attach lay:1.0 --artifact-type a/b a.txt --referrers-as both",
        "ocistow attach lay@$note --artifact-type a/b a.txt --referrers-as tags",
        "ocistow import more.tar lay",
        "ocistow copy more:1.0 lay:1.0",
        "ocistow export more:1.0 -o lay --referrers-as both",
        "ocistow rm lay@$sig",
        "ocistow rm lay@$sig --referrers",
        "ocistow rm lay:1.0 --referrers",
        "ocistow tag lay@$sig it && ocistow untag lay:it",
        "ocistow untag lay:1.0 && ocistow gc lay --grace 0 --prune",
        "ocistow convert lay:1.0 --to docker --referrers",
        "ocistow convert lay:1.0 docker --to docker --referrers",
    ] {
        shell(folder, "cp -r lay kept").ended(0);
        let names = format!("sig={}; note={}", world.digest("sig"), world.digest("note"));
        shell(folder, &format!("{names}; {change}")).ended(0);
        agree(folder, "lay", None, change);
        shell(folder, "rm -r lay && mv kept lay").ended(0);
    }
}
