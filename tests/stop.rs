//! Ctrl-C, wherever the program is waiting.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::run::{done, fixture};

/// Interrupts `import -` while standard input gives nothing: its exit code, and what it said.
fn interrupted(base: &Path, words: &[&str], started: impl Fn() -> bool) -> (Option<i32>, String) {
    let bundle = base.join("bundle.tar");
    done(&["export", &fixture("hello"), "-o", bundle.to_str().expect("it is UTF-8"), "--force"]);
    let bytes = fs::read(&bundle).expect("it was made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocistow"));
    command.args(words).current_dir(base).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("it can be started");
    let mut input = child.stdin.take().expect("it is a pipe");
    input.write_all(&bytes[..bytes.len() / 2]).expect("it reads");
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
    let ended = interrupted(dir.path(), &["import", "-", "new"], || {
        new.join("oci-layout").exists() || new.join(".ocistow/staging").exists()
    });
    assert_eq!(ended, (Some(130), "error: interrupted\n".into()));
    assert!(!new.exists());
}
