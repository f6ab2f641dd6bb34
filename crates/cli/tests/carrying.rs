//! What import, export and copy make of bundles that are sparse, several, or refused.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use ocistow_testkit::{Drawing, draw, to_dir};
use serde_json::Value;

mod stage;

use stage::{done, room, run, told};

const WORLD: &str = "image app:1 = base + top [linux/amd64]
                     refer sig -> app : application/x.sig";

/// A directory with the layout `have`, and `sparse`, a layout that lacks a layer of it.
fn sparse() -> (tempfile::TempDir, Drawing) {
    let dir = room();
    let mut world = draw(WORLD);
    to_dir(&world.memory, dir.path().join("have")).unwrap();
    world.memory.blobs.remove(&world.digest("base"));
    to_dir(&world.memory, dir.path().join("sparse")).unwrap();
    (dir, world)
}

#[test]
fn a_sparse_bundle_is_whole_once_the_layout_has_the_rest() {
    let (dir, _) = sparse();
    for line in ["import @/sparse @/have --dry-run", "import @/sparse @/have"] {
        let (code, answer) = told(line, dir.path());
        assert_eq!((code, &answer["complete"], &answer["missing"]), (0, &true.into(), &Value::Array(vec![])), "{line}");
    }
}

#[test]
fn what_is_refused_for_missing_content_names_all_of_it_and_nothing_else() {
    let (dir, world) = sparse();
    fs::remove_file(dir.path().join("sparse").join(world.digest("top").path())).unwrap();
    let have = dir.path().join("have");
    fs::remove_file(have.join(world.digest("top").path())).unwrap();
    for line in ["import @/sparse @/have --dry-run", "import @/sparse @/have"] {
        let (code, answer) = told(line, dir.path());
        assert_eq!((code, &answer["complete"]), (5, &false.into()), "{line}");
        assert_eq!(answer["missing"], serde_json::json!([world.digest("top").to_string()]), "{line}");
        assert_eq!(answer["error"]["code"], "incomplete", "{line}");
    }
}

#[test]
fn content_that_only_the_layout_has_counts_by_its_size() {
    let (dir, world) = sparse();
    let blob = dir.path().join("have").join(world.digest("base").path());
    let whole = fs::read(&blob).unwrap();
    fs::write(&blob, &whole[1..]).unwrap();
    for line in ["import @/sparse @/have --dry-run", "import @/sparse @/have"] {
        let (code, said) = run(line, dir.path(), None);
        assert_eq!(code, 4, "{line}: {said}");
        assert!(said.contains("is not whole"), "{said}");
    }
    fs::write(&blob, vec![b'x'; whole.len()]).unwrap();
    done("import @/sparse @/have", dir.path());
    assert_eq!(run("import @/sparse @/have --recheck", dir.path(), None).0, 4);
}

#[test]
fn a_directory_is_not_compressed_whatever_it_is_called() {
    let (dir, _) = sparse();
    fs::create_dir(dir.path().join("there.tar")).unwrap();
    for (output, why) in [("there.tar", "it is a directory"), ("new", "its name is that of a directory")] {
        let (code, said) = run(&format!("export @/have -o @/{output} --compress gzip"), dir.path(), None);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn bundles_that_come_together_make_up_for_each_other() {
    for bundles in ["@/sparse @/have", "@/have @/sparse", "@/sparse @/have.tar.gz", "@/have.tar.gz @/sparse"] {
        let (dir, _) = sparse();
        done("export @/have -o @/have.tar.gz", dir.path());
        done(&format!("import {bundles} @/new"), dir.path());
        done("fsck @/new", dir.path());
    }
}

#[test]
fn a_dry_run_refuses_what_the_run_refuses_and_writes_nothing() {
    let (dir, _) = sparse();
    let base = dir.path();
    fs::create_dir(base.join("other")).unwrap();
    fs::write(base.join("other/file"), "mine").unwrap();
    to_dir(&draw(WORLD).memory, base.join("unmarked")).unwrap();
    fs::remove_file(base.join("unmarked/oci-layout")).unwrap();
    fs::write(base.join("file"), "mine").unwrap();
    done("export @/have -o @/bundle.tar", base);
    let all = || -> Vec<PathBuf> {
        walkdir::WalkDir::new(base).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path()).collect()
    };
    let before = all();
    for (target, expected) in [("other", 2), ("unmarked", 4), ("file", 2), ("not/there", 3), ("new", 0), ("have", 0)] {
        for from in ["@/bundle.tar", "- < @/bundle.tar"] {
            let (from, input) = from.split_at(from.find(' ').unwrap_or(from.len()));
            let (code, said) = run(&format!("import {from} @/{target} --dry-run {input}"), base, None);
            assert_eq!(code, expected, "{target}: {said}");
            assert_eq!(all(), before, "{target}");
        }
        let (code, said) = run(&format!("import @/bundle.tar @/{target}"), base, None);
        assert_eq!(code, expected, "{target}: {said}");
        let _ = fs::remove_dir_all(base.join("new"));
        let _ = fs::remove_dir_all(base.join("have/.ocistow"));
    }
}
