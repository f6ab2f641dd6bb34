//! Ctrl-C, wherever the program is waiting.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::run::{done, fixture};

/// Interrupts a command that was given this much of its input, once it has started: its exit code, and what it said.
fn interrupted(base: &Path, words: &[&str], given: &[u8], started: impl Fn() -> bool) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocistow"));
    command.args(words).current_dir(base).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("it can be started");
    let mut input = child.stdin.take().expect("it is a pipe");
    input.write_all(given).expect("it reads");
    let patience = Instant::now() + Duration::from_secs(20);
    while !started() && Instant::now() < patience {
        thread::sleep(Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("there is a kill").success());
    while child.try_wait().expect("it is ours").is_none() {
        assert!(Instant::now() < patience, "it goes on waiting");
        thread::sleep(Duration::from_millis(5));
    }
    // Only now, so that nothing else can have ended it.
    drop(input);
    let mut said = String::new();
    child.stderr.take().expect("it is a pipe").read_to_string(&mut said).expect("it is text");
    (child.wait().expect("it has ended").code(), said)
}

#[test]
fn an_import_that_waits_for_its_input_can_be_interrupted_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let new = dir.path().join("new");
    let bundle = dir.path().join("bundle.tar");
    done(&["export", &fixture("hello"), "-o", bundle.to_str().expect("it is UTF-8")]);
    let bytes = fs::read(&bundle).expect("it was made");
    let ended = interrupted(dir.path(), &["import", "-", "new"], &bytes[..bytes.len() / 2], || {
        new.join("oci-layout").exists() || new.join(".ocistow/staging").exists()
    });
    assert_eq!(ended, (Some(130), "error: interrupted\n".into()));
    assert!(!new.exists());
}

#[test]
fn a_repair_that_has_much_to_read_can_be_interrupted_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let store = dir.path().join("store");
    let copy = fs_extra::dir::CopyOptions::new().copy_inside(true);
    fs_extra::dir::copy(fixture("hello"), &store, &copy).expect("there is room");
    // A hole that takes minutes to hash and no room.
    let huge = store.join("blobs/sha256").join("0".repeat(64));
    fs::File::create(&huge).and_then(|file| file.set_len(1 << 38)).expect("there is room for a hole");
    let lost = store.join("blobs/sha256/1f2fdc1ac6adf1008c980b59f2d6d6f2f768b99fef764ff68f97f5a11f5cd526");
    fs::remove_file(&lost).expect("it is there");
    let staging = store.join(".ocistow/staging");
    let ended =
        interrupted(dir.path(), &["fsck", "store", "--repair-from", &fixture("hello")], b"", || staging.exists());
    assert_eq!(ended, (Some(130), "error: interrupted\n".into()));
    assert!(!lost.exists());
    assert_eq!(fs::read_dir(staging).expect("it is there").count(), 0);
}
