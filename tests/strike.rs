//! The system under the program fails it: system calls of the real program are refused by strace.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use crate::run::Peer;
use crate::stage::{start, state};

/// The exit code of what was killed.
const KILLED: i32 = -1;

/// How the program ended under strace, and what it said.
struct Ended {
    code: i32,
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
        Ended { code: output.status.code().unwrap_or(KILLED), err: text(&output.stderr) }
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
