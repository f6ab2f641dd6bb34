//! README.md's tour, played: each `$` line is run in the root of the repository's copy, and what it prints has to be
//! what stands there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::repository;

/// The tour's commands, each with the lines that stand below it.
fn tour() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let mut steps: Vec<(String, String)> = Vec::new();
    for block in text.split("```").skip(1).step_by(2) {
        for line in block.trim_start_matches('\n').lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push((command.to_owned(), String::new())),
                (None, Some((_, shown))) if block.starts_with("\n$ ") => *shown += &format!("{line}\n"),
                _ => {}
            }
        }
    }
    steps
}

#[test]
fn the_tour_prints_what_the_readme_shows() {
    let space = tempfile::tempdir().expect("there is room");
    let copy = fs_extra::dir::CopyOptions::new();
    fs::create_dir(space.path().join("fixtures")).expect("there is room");
    fs_extra::dir::copy(repository().join("fixtures/hello"), space.path().join("fixtures"), &copy)
        .expect("there is room");
    let program = Path::new(env!("CARGO_BIN_EXE_ocistow")).parent().expect("it is in a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let steps = tour();
    assert!(steps.len() >= 8, "the tour is gone: {steps:?}");
    for (command, shown) in steps {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(space.path()).env("PATH", &path);
        let printed = shell.output().expect("there is a shell").stdout;
        assert_eq!(String::from_utf8_lossy(&printed), shown, "$ {command}");
    }
}
