//! Runs the program, and the peers it has to get along with.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// A path below `fixtures/`.
pub fn fixture(name: &str) -> String {
    repository().join("fixtures").join(name).to_str().expect("the path is UTF-8").into()
}

/// What a command did.
pub struct Ran {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: Vec<u8>,
    /// What it wrote to standard error.
    pub err: String,
    words: String,
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        let words = format!("{command:?}");
        let Output { status, stdout, stderr } = command.output().unwrap_or_else(|why| panic!("{words}: {why}"));
        Self { code: status.code().unwrap_or(-1), out: stdout, err: String::from_utf8_lossy(&stderr).into(), words }
    }

    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into()
    }

    /// Panics unless the command ended with `code`.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|why| panic!("no JSON: {why}: {self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nended with {}\n{}\n{}", self.words, self.code, self.text(), self.err)
    }
}

/// Runs `ocistow`.
pub fn ocistow(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    Ran::of(Command::new(env!("CARGO_BIN_EXE_ocistow")).args(args))
}

/// Runs `ocistow` in `folder`.
pub fn ocistow_in(folder: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    Ran::of(Command::new(env!("CARGO_BIN_EXE_ocistow")).args(args).current_dir(folder))
}

/// Runs a line of shell in `folder`, where `ocistow` is this one.
pub fn shell(folder: &Path, line: &str) -> Ran {
    let program = Path::new(env!("CARGO_BIN_EXE_ocistow")).parent().expect("it is in a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    Ran::of(Command::new("sh").args(["-c", line]).current_dir(folder).env("PATH", path))
}

/// Runs `ocistow` with so many bytes of memory and seconds of a processor. Who takes more is killed, and who waits for
/// ever.
pub fn ocistow_within(memory: u64, seconds: u64, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    Ran::of(&mut within(memory, seconds, args))
}

/// The same, with this as its standard input.
pub fn ocistow_reading_within(
    memory: u64,
    seconds: u64,
    input: fs::File,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Ran {
    Ran::of(within(memory, seconds, args).stdin(input))
}

fn within(memory: u64, seconds: u64, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let limits = format!("ulimit -d {} && ulimit -t {seconds} && exec timeout -s KILL 600 \"$0\" \"$@\"", memory >> 10);
    let mut shell = Command::new("sh");
    // A backtrace of a program without memory takes longer than the program.
    shell.args(["-c", &limits, env!("CARGO_BIN_EXE_ocistow")]).args(args).env("RUST_BACKTRACE", "0");
    shell
}

/// Runs `ocistow` with this as its standard input.
pub fn ocistow_reading(input: fs::File, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    Ran::of(Command::new(env!("CARGO_BIN_EXE_ocistow")).args(args).stdin(input))
}

/// Runs `ocistow` with these words, which ends well.
#[track_caller]
pub fn done(args: &[&str]) -> Ran {
    ocistow(args).ended(0)
}

/// A tool somebody else made, if it is on this machine.
pub struct Peer(PathBuf);

impl Peer {
    /// Finds the tool. Where it is missing the test that asked has nothing to say; with `CI=true`, where all
    /// of them have to be there, that is a failure.
    pub fn find(name: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let go = std::env::var_os("HOME").map(|home| Path::new(&home).join("go/bin"));
        let found = std::env::split_paths(&path).chain(go).map(|folder| folder.join(name)).find(|tool| tool.is_file());
        Self::or_skip(found, &format!("{name} is not on this machine"))
    }

    /// Finds a tool that works here only as root: without, it wants user namespaces and ranges of users,
    /// which few machines that build things have.
    pub fn find_for_root(name: &str) -> Option<Self> {
        let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        Self::or_skip(root.then_some(PathBuf::new()), &format!("{name} needs root"))?;
        Self::find(name)
    }

    /// Finds what runs a program among mounts of its own, where that is allowed.
    pub fn find_for_mounts() -> Option<Self> {
        let unshare = Self::find_for_root("unshare")?;
        let tried = unshare.command().args(["-m", "mount", "-t", "tmpfs", "none", "/tmp"]).output();
        let allowed = tried.is_ok_and(|tried| tried.status.success());
        Self::or_skip(allowed.then_some(unshare.0), "nothing can be mounted here")
    }

    /// The same for file systems that are in files.
    pub fn find_for_disks() -> Option<Self> {
        let unshare = Self::find_for_mounts()?;
        let there = Path::new("/dev/loop-control").exists();
        Self::or_skip(there.then_some(unshare.0), "no file can be mounted here")
    }

    fn or_skip(found: Option<PathBuf>, why: &str) -> Option<Self> {
        if found.is_none() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
            eprintln!("skipped: {why}");
        }
        found.map(Self)
    }

    /// A command that runs it.
    pub fn command(&self) -> Command {
        Command::new(&self.0)
    }

    /// Runs it in `folder`.
    pub fn run(&self, folder: &Path, args: &[&str]) -> Ran {
        // Some peers write to the home directory or ask for a runtime directory.
        Ran::of(Command::new(&self.0).args(args).current_dir(folder).env("HOME", folder).env("XDG_RUNTIME_DIR", folder))
    }

    /// Runs it in `folder`, and it ends well.
    #[track_caller]
    pub fn done(&self, folder: &Path, args: &[&str]) -> Ran {
        self.run(folder, args).ended(0)
    }
}
