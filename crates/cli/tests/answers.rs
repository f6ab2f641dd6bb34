//! What answers say: nothing that was not done, nothing that the target does not say, and all that is missing.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ocistow_layout::Digest;
use ocistow_testkit::{draw, to_dir};
use serde_json::{Value, json};

mod stage;

use stage::{done, drawn, run, told};

/// The lines about what was or would be done: what goes to stderr is left out.
#[track_caller]
fn lines(line: &str, base: &Path, code: u8) -> Vec<String> {
    let (ended, said) = run(line, base, None);
    assert_eq!(ended, code, "{line}: {said}");
    let aside = |line: &&str| !["error:", "hint:", "warning:", "note:"].iter().any(|word| line.starts_with(word));
    said.lines().filter(aside).map(|line| line.replace(base.to_str().unwrap(), "@")).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";

const MULTI: &str = "image amd = base + top [linux/amd64]
                     image arm = base + other [linux/arm64]
                     index app:1 = amd, arm
                     refer sig -> app : application/x.sig";

#[test]
fn a_copy_that_is_refused_tells_what_it_would_have_copied() {
    for (lost, flag) in [("top", ""), ("arm", " --complete")] {
        let (dir, _) = drawn(&format!("{MULTI}\nabsent {lost}"));
        for target in ["new:2", "new.tar:2"] {
            let told = lines(&format!("copy @/store:1 @/{target}{flag}"), dir.path(), 5);
            assert!(told.iter().any(|line| line.starts_with("would copy ")), "{told:?}");
            assert!(!told.iter().any(|line| line.starts_with("copied ")), "{told:?}");
            assert!(!dir.path().join(target.trim_end_matches(":2")).exists());
        }
    }
    let (dir, _) = drawn(MULTI);
    let told = lines("copy @/store:1 @/new:2", dir.path(), 0);
    assert!(told.iter().any(|line| line.starts_with("copied ")), "{told:?}");
}

#[test]
fn an_import_that_is_refused_or_only_tried_tells_nothing_as_done() {
    let (dir, _) = drawn(MULTI);
    done("export @/store -o @/bundle.tar", dir.path());
    to_dir(&draw("image app:1 = own [linux/amd64]").memory, dir.path().join("have")).unwrap();
    let told = lines("import --no-move @/bundle.tar @/have", dir.path(), 1);
    assert_eq!(told[0], "nothing was imported", "{told:?}");
    assert!(!told.iter().any(|line| line.contains("new")), "{told:?}");
    let told = lines("import --no-move --dry-run @/bundle.tar @/have", dir.path(), 1);
    assert!(told.iter().any(|line| line.starts_with("would bring ")), "{told:?}");
    let told = lines("import --dry-run @/bundle.tar @/new", dir.path(), 0);
    assert!(told.iter().any(|line| line.starts_with("would bring ")), "{told:?}");
    let told = lines("import @/bundle.tar @/new", dir.path(), 0);
    assert!(told.iter().any(|line| line.contains("blobs new, ")), "{told:?}");
}

#[test]
fn platforms_that_are_wanted_and_absent_are_among_what_is_missing() {
    let (dir, world) = drawn(&format!("{MULTI}\nabsent amd\nabsent arm"));
    let mut missing = vec![world.digest("amd").to_string(), world.digest("arm").to_string()];
    missing.sort();
    done("export @/store -o @/bundle.tar", dir.path());
    let wants = ["import @/bundle.tar @/new", "import @/bundle.tar @/new --dry-run", "import - @/new < @/bundle.tar"];
    for line in wants.iter().chain(&["export @/store -o @/new.tar", "plan @/store", "copy @/store:1 @/new"]) {
        let (code, answer) = told(&line.replacen(' ', " --complete ", 1), dir.path());
        assert_eq!((code, &answer["error"]["code"]), (5, &json!("incomplete")), "{line}");
        if !line.starts_with("copy") {
            assert_eq!(texts(&answer["missing"]), missing, "{line}");
        }
        if line.starts_with("import") {
            assert_eq!(answer["complete"], false, "{line}");
        }
    }
    let (code, answer) = told("import @/bundle.tar @/new", dir.path());
    assert_eq!(
        (code, &answer["complete"], &answer["missing"], &answer["absent"]),
        (0, &json!(true), &json!([]), &json!(2))
    );
    let (_, answer) = told("plan @/store", dir.path());
    assert_eq!(answer["missing"], json!([]));
}

#[test]
fn what_came_in_is_told_as_the_entries_of_the_target_call_it() {
    let (dir, _) = drawn(MULTI);
    let base = dir.path();
    done("export @/store -o @/bundle.tar", base);
    let names = |answer: &Value| -> Vec<Value> {
        let roots = answer["roots"].as_array().unwrap();
        roots.iter().map(|root| root["annotations"].get(REF_NAME).cloned().unwrap_or_default()).collect()
    };
    for flag in ["--dry-run", ""] {
        let (_, answer) = told(&format!("import @/bundle.tar @/new --tag 1=host/app:2 {flag}"), base);
        assert_eq!(names(&answer), [json!("2")], "{flag}");
        assert_eq!(answer["roots"][0]["annotations"][IMAGE_NAME], "host/app:2", "{flag}");
    }
    let told_names = lines("import @/bundle.tar @/new2 --tag 1=zz --tag 1=yy", base, 0);
    assert!(told_names[0].starts_with("zz  sha256:") && told_names[1].starts_with("yy  sha256:"), "{told_names:?}");
    let (_, answer) = told("import @/bundle.tar @/new3", base);
    assert_eq!(names(&answer), [json!("1")]);
    // Where there is a name beside it, or the tag is spelled otherwise, that is what is told.
    let (_, answer) = told("import @/bundle.tar @/new3 --tag 1=3", base);
    assert_eq!(names(&answer), [json!("3")]);
}

#[test]
fn what_was_copied_or_converted_has_the_names_that_the_target_gives_it() {
    let (dir, _) = drawn(MULTI);
    let base = dir.path();
    let expect = |line: &str, name: Option<&str>, tags: &[&str]| {
        let (code, answer) = told(line, base);
        assert_eq!(code, 0, "{line}: {answer}");
        assert_eq!(answer["annotations"].get(REF_NAME).and_then(Value::as_str), name, "{line}");
        assert_eq!(texts(&answer["tags"]), tags, "{line}");
    };
    expect("copy @/store:1 @/new:a", Some("a"), &["a"]);
    expect("copy @/store:1 @/new:b", Some("b"), &["a", "b"]);
    expect("copy @/store:1 @/new", Some("1"), &["1", "a", "b"]);
    expect("copy @/store:1 @/new.tar:c", Some("c"), &["c"]);
    expect("copy @/store:1 @/new:host/app:9", Some("9"), &["1", "9", "a", "b"]);
    expect("copy @/new:a @/two.tar", Some("a"), &["a"]);
    expect("convert @/new:a x", Some("x"), &["1", "9", "a", "b", "x"]);
    expect("convert @/new:a", Some("a"), &["1", "9", "a", "b", "x"]);
}

#[test]
fn what_is_absent_says_so_and_has_no_kind() {
    let (dir, _) = drawn(
        "image amd = base [linux/amd64]
         image arm = base [linux/arm64]
         index app:1 = amd, arm
         image gone:2 = base
         refer sig -> gone : application/x.sig
         absent arm
         absent gone",
    );
    let absent = |node: &Value| {
        assert_eq!((node.get("absent"), node.get("kind")), (Some(&json!(true)), Some(&Value::Null)), "{node}");
    };
    let (code, node) = told("resolve @/store:2", dir.path());
    assert_eq!(code, 0);
    absent(&node);
    let (code, node) = told("resolve @/store:1 --platform linux/arm64", dir.path());
    assert_eq!(code, 0);
    absent(&node);
    let (_, node) = told("resolve @/store:1", dir.path());
    assert_eq!((node.get("absent"), node.get("kind")), (None, None), "what is there was not looked into: {node}");
    let (code, tree) = told("discover @/store:2", dir.path());
    assert_eq!((code, tree["referrers"].as_array().unwrap().len()), (0, 1));
    absent(&tree);
    let (_, tree) = told("discover @/store:1 --all-platforms", dir.path());
    let (there, gone) = (&tree["manifests"][0], &tree["manifests"][1]);
    assert_eq!(there.get("absent"), None);
    absent(gone);
    for line in ["ls @/store", "graph @/store"] {
        let (_, answer) = told(line, dir.path());
        let nodes = answer.get("manifests").or_else(|| answer.get("nodes")).unwrap().as_array().unwrap();
        nodes.iter().filter(|node| node.get("absent").is_some()).for_each(absent);
    }
}

#[test]
fn pull_refuses_an_artifact_that_lacks_anything_unless_it_may() {
    let (dir, _) = drawn("");
    let base = dir.path();
    fs::write(base.join("a"), "a").unwrap();
    fs::write(base.join("b"), "bb").unwrap();
    fs::write(base.join("config"), "{\"c\":1}").unwrap();
    done("push @/store:x @/a --title a --config @/config:application/x.config", base);
    // One more layer, without a title.
    let mut manifest: Value = serde_json::from_str(&done("show --raw @/store:x", base)).unwrap();
    let bare = done("blob push -q @/store @/b", base);
    manifest["layers"].as_array_mut().unwrap().push(json!({"mediaType": "x/y", "digest": bare.trim(), "size": 2}));
    fs::write(base.join("manifest.json"), manifest.to_string()).unwrap();
    done("manifest push @/store:x @/manifest.json", base);
    for (lost, kept) in [("{\"c\":1}", "a"), ("bb", "a"), ("a", "")] {
        let digest = Digest::of(lost.as_bytes());
        let (blob, aside) = (base.join("store").join(digest.path()), base.join("aside"));
        fs::rename(&blob, &aside).unwrap();
        let (code, said) = run("pull @/store:x -o @/out", base, None);
        assert_eq!(code, 5, "{lost}: {said}");
        assert!(said.contains(&digest.to_string()) && said.contains("--allow-missing"), "{said}");
        assert!(!base.join("out").exists(), "{lost}");
        let (code, said) = run("pull @/store:x -o @/out --allow-missing", base, None);
        assert_eq!(code, 0, "{lost}: {said}");
        assert!(said.contains(&format!("warning: missing-blob: {digest}")), "{said}");
        assert_eq!(fs::read_to_string(base.join("out/a")).unwrap_or_default(), kept, "{lost}");
        let _ = fs::remove_dir_all(base.join("out"));
        fs::rename(&aside, &blob).unwrap();
    }
    done("pull @/store:x -o @/out", base);
    // What only its descriptor has is there.
    done("push @/store:y @/a --title a", base);
    fs::remove_file(base.join("store").join(Digest::of(b"{}").path())).unwrap();
    done("pull @/store:y -o @/out", base);
}

/// DESCRIPTOR-5.
#[test]
fn an_entry_that_lies_about_a_length_is_wrong_for_all_who_read_what_it_names() {
    let (dir, _) = drawn("artifact app:1 = file : application/x.app\nrefer sig -> app : application/x.sig");
    let base = dir.path();
    let path = base.join("store/index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    let entry = entries.iter_mut().find(|entry| entry["annotations"][REF_NAME] == "1").unwrap();
    entry["size"] = json!(entry["size"].as_u64().unwrap() - 1);
    fs::write(&path, index.to_string()).unwrap();
    for line in
        ["show @/store:1", "show --raw @/store:1", "cat @/store:1", "discover @/store:1", "pull @/store:1 -o @/out"]
    {
        let (code, said) = run(line, base, None);
        assert_eq!(code, 4, "{line}: {said}");
        assert!(said.contains("bytes"), "{said}");
    }
    assert!(!base.join("out").exists());
    for line in ["resolve @/store:1", "ls @/store", "tag @/store:1 2"] {
        done(line, base);
    }
}

#[test]
fn discover_looks_at_the_children_of_indexes_in_indexes() {
    let (dir, world) = drawn(
        "image amd = base [linux/amd64]
         image arm = base [linux/arm64]
         index inner = amd, arm
         index middle = inner
         index app:1 = middle, inner
         refer note -> arm : application/x.note
         refer sig -> inner : application/x.sig
         refer sigsig -> note : application/x.sig",
    );
    let found = |line: &str| {
        fn collect(tree: &Value, all: &mut Vec<String>) {
            for below in ["referrers", "manifests"] {
                for node in tree.get(below).and_then(Value::as_array).into_iter().flatten() {
                    all.push(node["digest"].as_str().unwrap().to_owned());
                    collect(node, all);
                }
            }
        }
        let (code, tree) = told(line, dir.path());
        assert_eq!(code, 0, "{tree}");
        let mut all = Vec::new();
        collect(&tree, &mut all);
        all
    };
    // Each index is opened once, however many ways lead to it.
    let all = found("discover @/store:1 --all-platforms");
    let times = |name: &str| all.iter().filter(|digest| **digest == world.digest(name).to_string()).count();
    let met: Vec<usize> = ["middle", "inner", "amd", "arm", "note", "sig", "sigsig"].map(times).to_vec();
    assert_eq!(met, [1, 2, 1, 1, 1, 1, 1], "{all:?}");
    assert_eq!(found("discover @/store:1"), Vec::<String>::new());
    let brief = done("discover -q @/store:1 --all-platforms", dir.path());
    let mut brief: Vec<&str> = brief.lines().collect();
    brief.sort_unstable();
    let mut direct = vec![world.digest("note").to_string(), world.digest("sig").to_string()];
    direct.sort();
    assert_eq!(brief, direct);
    let typed = found("discover @/store:1 --all-platforms --artifact-type application/x.note");
    assert!(typed.contains(&world.digest("note").to_string()) && !typed.contains(&world.digest("sig").to_string()));
}

#[test]
fn a_tree_of_indexes_ends_where_nobody_can_read_it() {
    let mut text = "image leaf = base\nrefer sig -> leaf : application/x.sig\nindex i0 = leaf\n".to_owned();
    for at in 1..70 {
        let tag = if at == 69 { ":1" } else { "" };
        // Many ways lead down.
        text += &format!("index i{at}{tag} = i{0}, i{0}\n", at - 1);
    }
    let (dir, _) = drawn(&text);
    let (code, said) = run("discover @/store:1 --all-platforms --format json", dir.path(), None);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("over more than 50 levels is not shown"), "{said}");
    let document = said.lines().find(|line| line.starts_with('{')).unwrap();
    serde_json::from_str::<Value>(document).unwrap();
}

#[test]
fn a_full_name_in_ref_name_counts_as_the_pair_it_splits_into() {
    let (dir, _) = drawn("image app:quay.io/x/c:1.0 = base\nimage bare = own\nname bare as host/bare:2");
    let base = dir.path();
    let (_, answer) = told("ls @/store", base);
    let pairs: Vec<(&Value, &Value)> =
        answer["manifests"].as_array().unwrap().iter().map(|row| (&row["tag"], &row["name"])).collect();
    let [tag, name, other, bare] = ["1.0", "quay.io/x/c:1.0", "2", "host/bare:2"].map(Value::from);
    assert_eq!(pairs, [(&tag, &name), (&other, &bare)]);
    let (_, answer) = told("du @/store", base);
    assert_eq!(answer["roots"][0]["tag"], "1.0");
    let (_, answer) = told("show @/store:1.0", base);
    assert_eq!((texts(&answer["tags"]), texts(&answer["names"])), (vec!["1.0"], vec!["quay.io/x/c:1.0"]));
    done("export @/store -o @/old.tar", base);
    let (_, answer) = told("tag @/store:host/bare:2 quay.io/x/c:1.0", base);
    let change = &answer["changed"][0];
    assert_eq!((&change["tag"], &change["name"]), (&tag, &name), "{answer}");
    let (_, answer) = told("import @/old.tar @/store", base);
    assert_eq!((&answer["moved"][0]["tag"], &answer["moved"][0]["name"]), (&tag, &name), "{answer}");
    done("untag @/store:quay.io/x/c:1.0", base);
    done("export @/store -o @/without.tar", base);
    let (_, answer) = told("diff @/old.tar @/without.tar", base);
    let gone = &answer["tags"]["removed"][0];
    assert_eq!((&gone["tag"], &gone["name"]), (&tag, &name), "{answer}");
}

#[test]
fn names_that_share_a_tag_and_a_digest_are_told_apart() {
    let (dir, world) = drawn(
        "image app = base
         tag app as 1 in host.a/app:1
         tag app as 1 in host.b/app:1
         tag app as alone in host.a/app:alone",
    );
    let references = |line: &str| -> Vec<String> {
        lines(line, dir.path(), 0)[1..].iter().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    let listed = references("ls @/store");
    assert_eq!(listed, ["@/store:host.a/app:1", "@/store:host.b/app:1", "@/store:alone"]);
    for reference in listed {
        assert_eq!(done(&format!("resolve {reference}"), dir.path()).trim(), world.digest("app").to_string());
    }
    let shown = lines("show @/store:alone", dir.path(), 0);
    let named: Vec<&str> = shown.iter().filter_map(|line| line.strip_prefix("name ")).map(str::trim).collect();
    assert_eq!(named, ["host.a/app:1", "host.a/app:alone", "host.b/app:1"]);
}

#[test]
fn what_is_told_of_a_directory_with_a_colon_can_be_read_again() {
    let (dir, world) = drawn("image app:v1 = base\nimage other:v2 = base");
    let base = dir.path();
    fs::rename(base.join("store"), base.join("zz:1")).unwrap();
    let told_of = |line: &str| {
        let (_, said) = run(line, base, None);
        let word = |word: &&str| word.contains("zz:1") && word.ends_with(":v1");
        said.split([' ', '\n', '"', ',']).find(word).unwrap_or_else(|| panic!("{line}: {said}")).to_owned()
    };
    for line in ["ls @/zz:1", "du @/zz:1", "resolve @/zz:1", "resolve @/zz:1/:v3", "resolve --path @/zz:1 v3"] {
        let found = done(&format!("resolve {}", told_of(line)), base);
        assert_eq!(found.trim(), world.digest("app").to_string(), "{line}");
    }
    let (_, answer) = told("show --path @/zz:1 v1", base);
    assert_eq!(done(&format!("resolve {}", answer["reference"].as_str().unwrap()), base).trim(), answer["digest"]);
}

#[test]
fn errors_say_what_could_not_be_done_to_what() {
    let (dir, world) = drawn("image app:1 = base + top [linux/amd64]\nimage two:2 = base\ndamage top");
    let base = dir.path();
    fs::write(base.join("file"), "bytes").unwrap();
    fs::create_dir(base.join("dir")).unwrap();
    done("push @/fine:x @/file --title file", base);
    done("export @/fine -o @/fine.tar", base);
    let (blob, top) = (Digest::of(b"bytes"), world.digest("top"));
    let other = Digest::of(b"other");
    let table: &[(&str, u8, &[&str])] = &[
        (&format!("tag @/fine@{blob} x"), 2, &[&format!("could not tag {blob}: it is a blob")]),
        (
            &format!("attach @/fine@{blob} --artifact-type x/y @/file --title f"),
            2,
            &[&format!("could not attach to {blob}: it is a blob")],
        ),
        (&format!("convert @/fine@{blob}"), 2, &[&format!("could not convert {blob}: it is a blob")]),
        (&format!("index create @/fine:all @{blob}"), 2, &[&format!("could not list {blob}: it is a blob")]),
        ("blob push @/fine @/dir", 1, &["could not read @/dir: it is a directory"]),
        (
            &format!("blob push @/fine@{other} @/file"),
            4,
            &[&format!("could not push @/file as {other}: its digest is {blob}")],
        ),
        ("export @/store -o @/new.tar", 4, &["could not read @/store: ", &format!("{top}")]),
        ("export @/store -o @/new.tar.gz", 4, &["could not read @/store: ", &format!("{top}")]),
        ("copy @/store:1 @/new", 4, &["could not read @/store: ", &format!("{top}")]),
        ("import @/store @/new", 4, &["could not read @/store: ", &format!("{top}")]),
        (
            &format!("import --expect {other} @/fine.tar @/new"),
            4,
            &[&format!("could not accept @/fine.tar as the bundle {other}: its digest is ")],
        ),
        ("ls @/dir", 3, &["could not open @/dir: it is no OCI layout"]),
        ("ls @/fine --threads 0", 2, &["invalid value '0' for '--threads <N>': at least one is needed"]),
    ];
    for (line, code, words) in table {
        let (ended, said) = run(line, base, None);
        assert_eq!(ended, *code, "{line}: {said}");
        let said = said.replace(base.to_str().unwrap(), "@");
        let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{line}: {said}"));
        for word in *words {
            assert!(error.contains(word), "{line}: {error}");
        }
    }
    let (code, answer) = told("diff @/store:1 @/store:2 --exit-code", base);
    let message = answer["error"]["message"].as_str().unwrap();
    assert_eq!(
        (code, message.replace(base.to_str().unwrap(), "@")),
        (7, "@/store:1 and @/store:2 are different".to_owned())
    );
}

#[test]
fn one_is_not_told_as_many() {
    let (dir, _) = drawn("artifact app:1 = file : application/x.app");
    let base = dir.path();
    for line in [
        "export @/store -o @/one.tar",
        "plan @/store",
        "fsck @/store",
        "import @/one.tar @/one",
        "copy @/store:1 @/two",
        "gc @/store --grace 0",
        "pull @/store:1 -o @/out",
    ] {
        let (_, said) = run(line, base, None);
        let words: Vec<&str> = said.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "1") {
            assert!(!pair[1].trim_end_matches([',', ';', ':']).ends_with('s'), "{line}: {said}");
        }
    }
    let (_, world) = drawn("artifact app:1 = file : application/x.app\nabsent file");
    to_dir(&world.memory, base.join("sparse")).unwrap();
    let (_, said) = run("fsck @/sparse", base, None);
    assert!(said.contains("error: 1 blob is missing"), "{said}");
    let (_, said) = run("pull @/store:1 -o @/out", base, None);
    assert!(said.contains("note: 1 of 1 layer has no title and is no file"), "{said}");
}

#[test]
fn a_name_that_is_there_already_is_told_too() {
    let (dir, world) = drawn("image app:1 = base");
    let digest = world.digest("app");
    for _ in 0..2 {
        assert_eq!(lines("tag @/store:1 x", dir.path(), 0), [format!("x is {digest}")]);
    }
    let (_, answer) = told("tag @/store:1 x", dir.path());
    assert_eq!(answer, json!({"changed": [], "removed": []}));
}

#[test]
fn candidates_are_names_and_the_nearest_is_in_front() {
    let (dir, _) = drawn(
        "image other:other = base
         image app:app = base
         image nameless = base
         refer sig -> app : application/x.sig
         fallback app = sig",
    );
    let (code, answer) = told("resolve @/store:ap", dir.path());
    let hint = answer["error"]["hint"].as_str().unwrap().replace(dir.path().to_str().unwrap(), "@");
    assert_eq!((code, &*hint), (3, "there are @/store:app, @/store:other"));
    let (_, said) = run("resolve @/store:ap", dir.path(), None);
    assert!(said.replace(dir.path().to_str().unwrap(), "@").contains(&format!("hint: {hint}")), "{said}");
    // Where there is no name, there are digests.
    let (dir, world) = drawn("image nameless = base");
    let (_, answer) = told("resolve @/store:ap", dir.path());
    assert!(answer["error"]["hint"].as_str().unwrap().contains(&world.digest("nameless").to_string()));
}

#[test]
fn fsck_of_what_cannot_be_opened_is_not_ok() {
    let (dir, _) = drawn(MULTI);
    let base = dir.path();
    done("export @/store -o @/whole.tar", base);
    let bytes = fs::read(base.join("whole.tar")).unwrap();
    fs::write(base.join("cut.tar"), &bytes[..bytes.len() / 2]).unwrap();
    let (code, answer) = told("fsck @/cut.tar", base);
    assert_eq!(code, 4);
    assert_eq!((&answer["ok"], &answer["error"]["code"]), (&json!(false), &json!("integrity")));
    assert_eq!(answer["checked"], json!({"manifests": 0, "blobs": 0, "bytes": 0}));
    assert_eq!((&answer["problems"], &answer["repaired"]), (&json!([]), &json!([])));
    // What is not there has no answer.
    let (code, answer) = told("fsck @/nowhere", base);
    assert_eq!((code, answer.get("ok")), (3, None));
}

#[test]
fn help_is_a_command_too() {
    let (dir, _) = drawn("");
    assert_eq!(done("help", dir.path()), done("--help", dir.path()));
    assert_eq!(done("help ls", dir.path()), done("ls --help", dir.path()));
    assert_eq!(done("help index create", dir.path()), done("index create --help", dir.path()));
    assert_eq!(run("help nothing", dir.path(), None).0, 2);
}
