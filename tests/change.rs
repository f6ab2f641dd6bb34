//! A line that changes something on the stage, disturbed in whatever way: it leaves the old state or the new one.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::stage::{clone, done, litter, room, run, start, state};

/// The exit code of what a signal ended.
pub const KILLED: i32 = -1;

/// How the program ended, and what it said.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Of what ran in `base`.
    pub fn of(output: &Output, base: &Path) -> Self {
        let at_base = format!("{}/", base.display());
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&at_base, "@/");
        Self { code: output.status.code().unwrap_or(KILLED), out: said(&output.stdout), err: said(&output.stderr) }
    }
}

/// The real program for a line of the stage in `base`, run by `under`, if that is given.
pub fn program(line: &str, base: &Path, under: Option<Command>) -> Command {
    let at_base = format!("{}/", base.display());
    let mut words: Vec<String> = line.split_whitespace().map(|word| word.replace("@/", &at_base)).collect();
    let mut input = Stdio::null();
    if let Some(at) = words.iter().position(|word| word == "<") {
        input = File::open(&words[at + 1]).expect("it is there").into();
        words.truncate(at);
    }
    let mut command = match under {
        Some(mut under) => {
            under.arg(env!("CARGO_BIN_EXE_ocistow"));
            under
        }
        None => Command::new(env!("CARGO_BIN_EXE_ocistow")),
    };
    // What another run left in the user's cache is not on the stage.
    command.env_remove("XDG_CACHE_HOME").env("HOME", "/nonexistent").env("RUST_BACKTRACE", "0");
    command.args(words).current_dir(base).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How such a line ends.
pub fn ended(line: &str, base: &Path, under: Option<Command>) -> Ended {
    Ended::of(&program(line, base, under).output().expect("it can be started"), base)
}

/// A line that changes something, and what it makes of the stage.
pub struct Change {
    pub line: &'static str,
    /// What a user types when it is done: the same, but for names that it has taken.
    again: &'static str,
    from: TempDir,
    pub before: BTreeMap<PathBuf, String>,
    pub after: BTreeMap<PathBuf, String>,
}

impl Change {
    /// `again` is what a user types when it is done.
    pub fn of(line: &'static str, again: &'static str) -> Self {
        let from = start(line);
        let before = state(from.path());
        let base = room();
        clone(from.path(), base.path());
        done(line, base.path());
        let after = state(base.path());
        assert_ne!(before, after, "{line} changes nothing");
        Self { line, again, from, before, after }
    }

    /// The stage as it is before.
    pub fn stage(&self) -> TempDir {
        let base = room();
        clone(self.from.path(), base.path());
        base
    }

    /// Judges what is there after a run that was disturbed as `how` says, and what the next run makes of it.
    #[track_caller]
    pub fn judge(&self, base: &Path, ended: &Ended, how: &str) {
        let Self { line, again, before, after, .. } = self;
        let Ended { code, err, .. } = ended;
        let now = state(base);
        let told = format!("{line}, {how}: {code} {err}");
        match code {
            0 => assert_eq!(now, *after, "{told}"),
            // It was done, and nobody could be told.
            1 if err.contains("could not write the answer") => assert_eq!(now, *after, "{told}"),
            // Blobs get their names one by one: each is as it was, or right.
            1 | 130 if line.contains("--repair-from") => assert!(now == *before || now == *after, "{told}"),
            1 | 130 => assert_eq!(now, *before, "{told}"),
            &KILLED => assert!(now == *before || now == *after, "{told}{now:#?}"),
            _ => panic!("{told}"),
        }
        let line = if now == *after { again } else { line };
        let (code, said) = run(line, base, None);
        assert_eq!((code, state(base)), (0, after.clone()), "{told}, and then {line}: {said}");
        let left = || -> Vec<PathBuf> { litter(base).into_iter().filter(|path| path.is_dir()).collect() };
        // A program that another test starts has the locks of this process open until it is itself: then litter waits
        // for one more writer.
        for _ in 0..50 {
            for layout in ["new", "target", "lacking"].iter().filter(|name| base.join(name).is_dir()) {
                done(&format!("init @/{layout}"), base);
            }
            if left().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(left(), Vec::<PathBuf>::new(), "{told}, and then {line}");
    }
}
