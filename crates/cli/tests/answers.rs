//! What answers say: nothing that was not done, nothing that the target does not say, and all that is missing.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ocistow_testkit::{Drawing, draw, to_dir};
use serde_json::{Value, json};

mod stage;

use stage::{done, room, run};

/// A directory with the layout `store`, and what is in it.
fn drawn(text: &str) -> (tempfile::TempDir, Drawing) {
    let dir = room();
    let drawing = draw(text);
    to_dir(&drawing.memory, dir.path().join("store")).unwrap();
    (dir, drawing)
}

/// The one document that a command gives, and its exit code. What it says beside that is dropped.
#[track_caller]
fn told(line: &str, base: &Path) -> (u8, Value) {
    let (code, said) = run(&format!("{line} --format json"), base, None);
    let documents: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(documents.len(), 1, "{line}: {said}");
    (code, serde_json::from_str(documents[0]).unwrap())
}

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
