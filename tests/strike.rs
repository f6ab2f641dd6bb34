//! The system under the program fails it: system calls of the real program are refused by strace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::run::Peer;
use crate::stage::{done, start, state};

/// The exit code of what was killed.
const KILLED: i32 = -1;

/// How the program ended under strace, and what it said.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

/// strace, and a line of the stage for the program under it.
struct Strace {
    strace: Peer,
    line: &'static str,
}

impl Strace {
    fn find(line: &'static str) -> Option<Self> {
        Peer::find("strace").map(|strace| Self { strace, line })
    }

    fn run(&self, base: &Path, how: &[&str]) -> Ended {
        let at_base = format!("{}/", base.display());
        let mut words: Vec<String> = self.line.split_whitespace().map(|word| word.replace("@/", &at_base)).collect();
        let mut input = Stdio::null();
        if let Some(at) = words.iter().position(|word| word == "<") {
            input = File::open(&words[at + 1]).expect("it is there").into();
            words.truncate(at);
        }
        let mut strace = self.strace.command();
        strace.args(["-f", "-qq"]).args(how).arg(env!("CARGO_BIN_EXE_ocistow")).args(words);
        // What another run left in the user's cache would be in the way of counting.
        strace.env_remove("XDG_CACHE_HOME").env("HOME", "/nonexistent").env("RUST_BACKTRACE", "0");
        let output = strace.current_dir(base).stdin(input).output().expect("it can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&at_base, "@/");
        // The signal that ends the program ends strace too.
        Ended { code: output.status.code().unwrap_or(KILLED), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Strikes at one call.
    fn strike(&self, base: &Path, call: &str, blow: &str, when: &str) -> Ended {
        let inject = format!("inject={call}:{blow}:when={when}");
        self.run(base, &["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
    }
}

/// Threads are a luxury: without any, work is done by one, or refused in words.
#[test]
fn a_machine_that_has_no_more_threads_is_no_reason_to_panic() {
    for line in [
        "fsck @/source",
        "fsck @/bundle.tar.gz",
        "ls @/bundle.tar",
        "import @/bundle.tar @/target --tag 1=app",
        "import - @/new < @/bundle.tar",
        "export @/source -o @/new.tar",
        "export @/source -o @/new.tar.zst",
        "export @/source -o -",
        "push @/new:app @/source --title source",
        "gc @/target --grace 0",
    ] {
        let Some(strace) = Strace::find(line) else { return };
        let from = start(line);
        let before = state(from.path());
        let Ended { code, err, .. } = strace.strike(from.path(), "clone3", "error=EAGAIN", "1+");
        match code {
            0 => {}
            1 => {
                assert!(err.contains("could not start a thread"), "{line}: {err}");
                assert_eq!(state(from.path()), before, "{line}");
            }
            _ => panic!("{line}: {code} {err}"),
        }
    }
}

/// A signature on a bad sector: whoever tells of it, or takes it along, must not do without it in silence.
#[test]
fn what_cannot_be_read_is_never_left_out_as_if_it_were_not_there() {
    let base = start("");
    let base = base.path();
    let told = done("discover @/source:1 --format json", base);
    let told: serde_json::Value = serde_json::from_str(&told).expect("it is JSON");
    let referrer = told["referrers"][0]["digest"].as_str().expect("it has a referrer").to_owned();
    let before = state(base);
    for (line, code) in [
        ("ls --all @/source", 1),
        ("ls --all @/source --format json", 1),
        ("show @/source:1", 1),
        ("discover @/source:1", 1),
        ("discover @/source:1 --format json", 1),
        ("graph @/source", 1),
        ("du @/source", 1),
        ("diff @/source:1 @/target:1", 1),
        ("plan @/source:1", 1),
        ("export @/source:1 -o @/new.tar", 1),
        ("copy @/source:1 @/target:app", 1),
        ("import @/source @/target --tag 1=app", 1),
        ("resolve @/source:1", 0),
        ("plan @/source:1 --no-referrers", 0),
    ] {
        let Some(strace) = Strace::find(line) else { return };
        let hex = referrer.trim_start_matches("sha256:");
        let blob = format!("blobs/sha256/{hex}");
        for (call, path) in [("read", base.join("source").join(&blob)), ("openat2", PathBuf::from(&blob))] {
            let path = path.to_str().expect("it is UTF-8");
            let inject = format!("inject={call}:error=EIO");
            let Ended { code: ended, out, err } = strace.run(base, &["-o", "/dev/null", "-P", path, "-e", &inject]);
            assert_eq!(ended, code, "{line}, {call}: {out}{err}");
            assert_eq!(err.contains("error: could not ") && err.contains(hex), code == 1, "{line}: {err}");
            assert_eq!(
                out.contains(r#""error":{"code":"failed""#),
                code == 1 && line.contains("json"),
                "{line}: {out}"
            );
            assert_eq!(state(base), before, "{line}");
        }
    }
}

/// Asking whether something is there has three answers.
#[test]
fn what_the_disk_does_not_say_is_not_taken_for_no() {
    let base = start("");
    let base = base.path();
    let before = state(base);
    for (line, path) in [
        ("ls @/source", "source"),
        ("ls @/bundle.tar", "bundle.tar"),
        ("fsck @/bundle.tar", "bundle.tar"),
        ("plan @/source:1", "source/.ocistow/lock/gate"),
        ("init @/target", "target/index.json"),
        ("tag @/target:1 2", "target/index.json"),
        ("import @/bundle.tar @/target --tag 1=app", "target"),
        ("copy @/source:1 @/target:app", "target"),
        ("push @/target:app @/source --title source", "source"),
        ("rm @/target:1", "target/index.json"),
        ("gc @/target --grace 0", "target/blobs/sha256"),
    ] {
        let Some(strace) = Strace::find(line) else { return };
        if line.starts_with("plan") {
            done("init @/source", base);
        }
        let path = base.join(path);
        let path = path.to_str().expect("it is UTF-8");
        // Opening a lock fails as looking at the others does.
        let inject = "inject=statx,openat:error=EIO";
        let Ended { code, err, .. } = strace.run(base, &["-o", "/dev/null", "-P", path, "-e", inject]);
        assert_eq!(code, 1, "{line}: {err}");
        assert!(err.contains("error: could not ") && err.contains("Input/output error"), "{line}: {err}");
        assert_eq!(state(base), before, "{line}");
    }
}
