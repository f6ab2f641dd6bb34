//! Every layout in `fixtures/`, in a directory or in an archive, goes through the program: looked at, checked,
//! carried out and in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ocistow_testkit::elements;
use serde_json::Value;

use crate::run::{done, ocistow, ocistow_reading, repository};
use crate::walk;

/// All directories below `fixtures/` that are layouts, and all archives.
fn samples() -> Vec<String> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(repository().join("fixtures")).sort_by_file_name() {
        let entry = entry.expect("fixtures can be listed");
        let name = entry.path().to_str().expect("it is UTF-8");
        if entry.path().join("index.json").is_file() || name.ends_with(".tar") || name.ends_with(".tar.gz") {
            found.push(name.to_owned());
        }
    }
    assert!(found.len() > 33, "fixtures are missing: {found:?}");
    found
}

/// The files of a sample; those of a docker archive as the layout it stands for.
fn files(sample: &str) -> BTreeMap<String, Vec<u8>> {
    let files = walk::files(Path::new(sample));
    if files.contains_key("index.json") { files } else { walk::classic(&files) }
}

/// `tag name digest` of every entry.
fn entries(location: &str) -> BTreeSet<String> {
    let listed = done(&["ls", "--all", "--format", "json", location]).json();
    let manifests = listed["manifests"].as_array().expect("there is a list").clone();
    manifests.iter().map(|entry| format!("{} {} {}", entry["tag"], entry["name"], entry["digest"])).collect()
}

fn digests(location: &str) -> BTreeSet<String> {
    let last = |entry: String| entry.rsplit('"').nth(1).expect("a digest is a string").to_owned();
    entries(location).into_iter().map(last).collect()
}

#[test]
fn ls_names_every_entry_of_index_json() {
    for sample in samples() {
        let files = files(&sample);
        let index: Value = serde_json::from_slice(&files["index.json"]).expect("index.json is JSON");
        let there = index["manifests"].as_array().expect("there is a list").iter();
        let there: BTreeSet<String> = there.map(|entry| entry["digest"].as_str().expect("it is text").into()).collect();
        assert_eq!(digests(&sample), there, "{sample}");
    }
}

#[test]
fn show_and_discover_answer_for_every_entry() {
    for sample in samples() {
        let files = files(&sample);
        for digest in digests(&sample) {
            let one = format!("{sample}@{digest}");
            if let Some(bytes) = files.get(&format!("blobs/{}", digest.replacen(':', "/", 1))) {
                assert_eq!(done(&["show", "--raw", &one]).out, *bytes, "{one}");
            }
            let shown = done(&["show", "--format", "json", &one]).json();
            assert_eq!(shown["digest"], digest, "{one}");
            let tree = done(&["discover", "--format", "json", &one]).json();
            assert_eq!(tree["digest"], digest, "{one}");
            assert_eq!(shown["referrers"], tree["referrers"].as_array().expect("there is a list").len(), "{one}");
        }
    }
}

#[test]
fn graph_draws_everything_in_every_form() {
    for sample in samples() {
        let draw = |form: &str| done(&["graph", "--format", form, &sample]).text();
        let document = done(&["graph", "--format", "json", &sample]).json();
        let list = |name: &str| document[name].as_array().expect("there is a list").clone();
        let text = |value: &Value| value.as_str().expect("it is text").to_owned();
        let drawn: Vec<String> = list("nodes").iter().map(|node| text(&node["digest"])).collect();
        let nodes: BTreeSet<String> = drawn.iter().cloned().collect();
        assert_eq!(drawn.len(), nodes.len(), "{sample}: a node stands twice");
        // What is there and reached is drawn; what is drawn beside that is absent.
        let reached = walk::reached(&files(&sample));
        assert!(reached.is_subset(&nodes), "{sample}: {:?}", reached.difference(&nodes));
        for node in list("nodes").iter().filter(|node| !reached.contains(&text(&node["digest"]))) {
            assert_eq!(node["absent"], true, "{sample}: {node}");
        }
        for edge in list("edges") {
            assert!(nodes.contains(&text(&edge["from"])) && nodes.contains(&text(&edge["to"])), "{sample}: {edge}");
        }
        let referrers = list("edges").iter().filter(|edge| edge["kind"] == "subject").count();
        let (svg, page) = (draw("svg"), draw("html"));
        let ids = elements(&svg).iter().filter(|element| element.attribute("id").is_some()).count();
        assert_eq!(ids, drawn.len(), "{sample}");
        for digest in &nodes {
            assert!(page.contains(&format!(" id=\"{digest}\" href=\"#{digest}\"")), "{sample}: {digest}");
        }
        let outside = ["http:", "https:", " src=", "@import", "url(", "<link"];
        let own: String = page.split("<script type=\"application/json\"").take(1).collect();
        for word in outside {
            assert!(!own.contains(word), "{sample}: {word}");
        }
        let (dot, mermaid) = (draw("dot"), draw("mermaid"));
        assert_eq!(dot.matches("\" -> \"").count(), list("edges").len(), "{sample}");
        assert_eq!(mermaid.matches(" -.-> ").count(), referrers, "{sample}");
        assert_eq!(mermaid.matches(" --> ").count(), list("edges").len() - referrers, "{sample}");
        for (form, first) in [("svg", &svg), ("html", &page), ("dot", &dot), ("mermaid", &mermaid)] {
            assert_eq!(draw(form), *first, "{sample}: {form}");
        }
    }
}

#[test]
fn fsck_finds_no_error_in_what_other_tools_wrote() {
    for sample in samples() {
        let report = done(&["fsck", "--format", "json", &sample]).json();
        assert_eq!(report["ok"], true, "{sample}: {report}");
        assert!(report["checked"]["blobs"].as_u64() > Some(0), "{sample}: {report}");
    }
}

/// What `du` sums up is what `fsck` hashes and finds, and what `plan` would carry for each root.
#[test]
fn du_agrees_with_fsck_and_plan_on_every_sample() {
    for sample in samples() {
        let number = |document: &Value, key: &str| document[key].as_u64().expect("it is a number");
        let usage = done(&["du", "--format", "json", &sample]).json();
        let files = files(&sample);
        let sizes: BTreeMap<String, u64> =
            walk::blobs(&files).into_iter().map(|digest| (digest.clone(), size(&files, &digest))).collect();
        let reached: u64 = walk::reached(&files).iter().map(|digest| sizes[digest]).sum();
        assert_eq!(number(&usage, "total"), reached, "{sample}: {usage}");
        assert_eq!(number(&usage, "total") + number(&usage, "unreachable"), sizes.values().sum::<u64>(), "{sample}");

        let report = done(&["fsck", "--format", "json", &sample]).json();
        let checked = &report["checked"];
        assert_eq!(number(&usage, "total") + number(&usage, "unreachable"), number(checked, "bytes"), "{sample}");
        let found = |kinds: &[&str]| {
            let problems = report["problems"].as_array().expect("there is a list").iter();
            let kind = |problem: &&Value| kinds.contains(&problem["kind"].as_str().expect("it is text"));
            problems.filter(kind).map(|problem| problem["digest"].to_string()).collect::<BTreeSet<_>>().len() as u64
        };
        assert_eq!(number(&usage["counts"], "unreachable"), found(&["unreachable-blob"]), "{sample}: {report}");
        assert_eq!(number(&usage["counts"], "absent"), found(&["missing-blob", "absent-child"]), "{sample}: {report}");

        let mut unique = BTreeMap::new();
        for root in usage["roots"].as_array().expect("there is a list") {
            let digest = root["digest"].as_str().expect("it is text");
            let plan = done(&["plan", "--allow-missing", "--format", "json", &format!("{sample}@{digest}")]).json();
            assert_eq!(number(root, "total"), number(&plan, "bytes"), "{sample}@{digest}");
            assert_eq!(number(root, "total"), number(root, "unique") + number(root, "shared"), "{sample}@{digest}");
            unique.insert(digest.to_owned(), number(root, "unique"));
        }
        let alone = unique.values().sum::<u64>() + number(&usage, "rootless");
        assert!(alone <= number(&usage, "total"), "{sample}: {usage}");
    }
}

fn size(files: &BTreeMap<String, Vec<u8>>, digest: &str) -> u64 {
    files[&format!("blobs/{}", digest.replacen(':', "/", 1))].len() as u64
}

#[test]
fn diff_finds_none_between_a_sample_and_itself_or_its_bundle() {
    for sample in samples() {
        let space = tempfile::tempdir().expect("there is room");
        let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
        let ran = done(&["diff", "--exit-code", "--format", "json", &sample, &sample]).json();
        let tags = &ran["tags"];
        for (at, list) in [(tags, "added"), (tags, "removed"), (tags, "changed"), (&ran["untagged"], "onlyA")] {
            assert_eq!(at[list], Value::Array(Vec::new()), "{sample}: {ran}");
        }
        assert_eq!((&ran["blobs"]["onlyA"], &ran["bytes"]["onlyB"]), (&0.into(), &0.into()), "{sample}: {ran}");
        assert_eq!(ran["blobs"]["both"], walk::blobs(&files(&sample)).len(), "{sample}: {ran}");

        done(&["export", &sample, "-o", &path("x.tar")]);
        let ran = ocistow(["diff", "--exit-code", "--format", "json", &sample, &path("x.tar")]);
        let left: BTreeSet<String> =
            walk::blobs(&files(&sample)).difference(&walk::reached(&files(&sample))).cloned().collect();
        let document = ran.json();
        assert_eq!(document["tags"], serde_json::json!({"added": [], "removed": [], "changed": []}), "{ran}");
        assert_eq!(document["blobs"]["onlyA"], left.len(), "only what nothing reaches stays behind: {ran}");
        assert_eq!(ran.code, if left.is_empty() { 0 } else { 7 }, "{ran}");
        for digest in digests(&sample) {
            let pair = [format!("{sample}@{digest}"), format!("{}@{digest}", path("x.tar"))];
            done(&["diff", "--exit-code", "-q", &pair[0], &pair[1]]);
        }
    }
}

#[test]
fn export_and_import_carry_all_that_was_reachable() {
    for sample in samples() {
        let space = tempfile::tempdir().expect("there is room");
        let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
        done(&["export", &sample, "-o", &path("one.tar")]);
        done(&["export", "--threads", "1", &sample, "-o", &path("two.tar")]);
        let read = |name: &str| fs::read(path(name)).expect("it was written");
        assert!(read("one.tar") == read("two.tar"), "{sample}: two exports differ");

        done(&["import", &path("one.tar"), &path("layout")]);
        assert_eq!(entries(&path("layout")), entries(&sample), "{sample}");
        assert_eq!(done(&["fsck", "--format", "json", &path("layout")]).json()["ok"], true, "{sample}");

        done(&["export", &path("layout"), "-o", &path("three.tar")]);
        assert!(read("one.tar") == read("three.tar"), "{sample}: the import's export differs");

        let before = files(&sample);
        let after = walk::files(&PathBuf::from(path("layout")));
        assert_eq!(walk::blobs(&after), walk::reached(&before), "{sample}");
        for digest in walk::blobs(&after) {
            let name = format!("blobs/{}", digest.replacen(':', "/", 1));
            assert!(before[&name] == after[&name], "{sample}: {digest} differs");
        }
    }
}

#[test]
fn compressed_archives_carry_the_same() {
    let hello = crate::run::fixture("hello");
    let space = tempfile::tempdir().expect("there is room");
    let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
    for archive in ["x.tar", "x.tar.gz", "x.tgz", "x.tar.zst"] {
        done(&["export", &format!("{hello}:1.0"), "-o", &path(archive)]);
        let layout = path(&format!("{archive}.layout"));
        done(&["import", &path(archive), &layout]);
        assert_eq!(entries(&layout), entries(&hello), "{archive}");
    }
}

#[test]
fn a_directory_that_is_no_layout_is_not_found() {
    let ran = ocistow(["ls", &crate::run::fixture("skopeo/dir-v2s2")]).ended(3);
    assert!(ran.err.starts_with("error: "), "{ran}");
}

/// ARCHIVE-18
#[test]
fn a_docker_archive_comes_in_whole_or_packed_but_not_through_a_pipe() {
    for sample in ["crane/docker.tar", "podman/save-docker.tar", "skopeo/docker.tar"].map(crate::run::fixture) {
        let space = tempfile::tempdir().expect("there is room");
        let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
        let tar = fs::read(&sample).expect("it is there");
        fs::write(path("x.tar.zst"), zstd::encode_all(&*tar, 1).expect("there is room")).expect("there is room");
        let digest = digests(&sample).pop_first().expect("it has an image");
        for from in [&sample, &path("x.tar.zst")] {
            let note = format!("note: {from}: manifest was generated, digest {digest}\n");
            let to = path(if *from == sample { "a" } else { "b" });
            assert_eq!(done(&["import", from, &to]).err, note);
            assert_eq!(done(&["plan", from]).err, note);
            assert_eq!(done(&["copy", &format!("{from}@{digest}"), &path("copy")]).err, note);
            assert_eq!(done(&["import", "-q", from, &path("quiet")]).err, "");
        }
        assert_eq!(walk::files(Path::new(&path("a"))), walk::files(Path::new(&path("b"))), "{sample}");
        let tar = fs::File::open(&sample).expect("it is there");
        let ran = ocistow_reading(tar, ["import", "-", &path("c")]).ended(3);
        assert!(ran.err.starts_with("error: ") && ran.err.contains("hint: it is a docker-archive"), "{ran}");
        assert!(!Path::new(&path("c")).join("index.json").exists());
    }
}
