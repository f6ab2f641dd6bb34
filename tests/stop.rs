//! Ctrl-C, and connections that are lost, wherever the program is waiting.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::run::{done, fixture};

/// A command that waits for the rest of its input.
struct Waiting {
    child: Child,
    input: ChildStdin,
    patience: Instant,
}

impl Waiting {
    /// Starts `program` with these words, gives it this much of its input, and waits until it has started its work.
    fn start(base: &Path, program: &[&str], words: &[&str], given: &[u8], started: impl Fn() -> bool) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(words).current_dir(base);
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("it can be started");
        let mut input = child.stdin.take().expect("it is a pipe");
        input.write_all(given).expect("it reads");
        let patience = Instant::now() + Duration::from_secs(20);
        while !started() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(5));
        }
        Self { child, input, patience }
    }

    fn send(&self, signal: &str) {
        let killed = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(killed.expect("there is a kill").success());
    }

    /// Its exit code, and what it said, once it has ended by itself.
    fn ended(mut self) -> (Option<i32>, String) {
        while self.child.try_wait().expect("it is ours").is_none() {
            assert!(Instant::now() < self.patience, "it goes on waiting");
            thread::sleep(Duration::from_millis(5));
        }
        // Only now, so that nothing else can have ended it.
        drop(self.input);
        let mut said = String::new();
        self.child.stderr.take().expect("it is a pipe").read_to_string(&mut said).expect("it is text");
        (self.child.wait().expect("it has ended").code(), said)
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_ocistow");

/// A directory with a bundle in it, and the bundle.
fn with_bundle() -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let bundle = dir.path().join("bundle.tar");
    done(&["export", &fixture("hello"), "-o", bundle.to_str().expect("it is UTF-8")]);
    let bytes = fs::read(&bundle).expect("it was made");
    (dir, bytes)
}

#[test]
fn an_import_that_waits_for_its_input_can_be_interrupted_and_leaves_nothing() {
    // A terminal that is gone hangs up twice: by the kernel, and by the shell in it.
    for signals in [&["INT"][..], &["TERM"], &["HUP", "HUP"]] {
        let (dir, bytes) = with_bundle();
        let new = dir.path().join("new");
        let started = || new.join("oci-layout").exists() || new.join(".ocistow/staging").exists();
        let half = &bytes[..bytes.len() / 2];
        let waiting = Waiting::start(dir.path(), &[PROGRAM], &["import", "-", "new"], half, started);
        signals.iter().for_each(|signal| waiting.send(signal));
        assert_eq!(waiting.ended(), (Some(130), "error: interrupted\n".into()), "{signals:?}");
        assert!(!new.exists(), "{signals:?}");
    }
}

#[test]
fn an_import_that_is_to_outlive_its_terminal_does() {
    let (dir, bytes) = with_bundle();
    let new = dir.path().join("new");
    let started = || new.join("oci-layout").exists() || new.join(".ocistow/staging").exists();
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    let nohup = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\"", PROGRAM];
    let mut waiting = Waiting::start(dir.path(), &nohup, &["import", "-", "new"], half, started);
    waiting.send("HUP");
    waiting.input.write_all(rest).expect("it reads on");
    let Waiting { mut child, input, .. } = waiting;
    drop(input);
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
    assert!(new.join("index.json").exists());
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
    let words = ["fsck", "store", "--repair-from", &fixture("hello")];
    let waiting = Waiting::start(dir.path(), &[PROGRAM], &words, b"", || staging.exists());
    waiting.send("INT");
    assert_eq!(waiting.ended(), (Some(130), "error: interrupted\n".into()));
    assert!(!lost.exists());
    assert_eq!(fs::read_dir(staging).expect("it is there").count(), 0);
}
