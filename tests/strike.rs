//! The system under the program fails it: every system call is refused in turn, or is the last that it makes.
//!
//! The seam of `cli/tests/crash.rs` and `cli/tests/faults.rs` has the calls that change the disk; here strace strikes
//! at those of the real program, and at those that only look.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::change::{Change, Ended, KILLED, program};
use crate::run::Peer;
use crate::stage::{clone, done, room, start, state};

/// The system calls that are struck at.
const CALLS: [&str; 32] = [
    "openat",
    "openat2",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "fstat",
    "statx",
    "newfstatat",
    "getdents64",
    "readlink",
    "flock",
    "fcntl",
    "lseek",
    "fstatfs",
    "clone3",
    "linkat",
    "link",
    "renameat2",
    "rename",
    "fsync",
    "syncfs",
    "sync_file_range",
    "mkdir",
    "unlink",
    "rmdir",
    "symlink",
    "ioctl",
    "copy_file_range",
    "fchmod",
    "fchown",
    "getcwd",
];
/// How they are refused, and that they are the last.
const BLOWS: [&str; 5] = ["error=EIO", "signal=KILL", "error=EMFILE", "error=EACCES", "error=ENOSPC"];
/// Where strace writes what nobody reads.
const NOWHERE: &str = "/dev/null";

fn text(path: &Path) -> &str {
    path.to_str().expect("it is UTF-8")
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
        let mut strace = self.strace.command();
        strace.args(["-f", "-qq"]).args(how);
        // The signal that ends the program ends strace too.
        Ended::of(&program(self.line, base, Some(strace)).output().expect("it can be started"), base)
    }

    /// Strikes at calls of these names, those for these paths if any are given.
    fn strike(&self, base: &Path, log: &Path, paths: &[&Path], call: &str, blow: &str, when: &str) -> Ended {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{blow}:when={when}"));
        let mut how = vec!["-o", text(log), "-e", &trace, "-e", &inject];
        how.extend(paths.iter().flat_map(|path| ["-P", text(path)]));
        self.run(base, &how)
    }

    /// The calls that it makes once it is itself, each with its number among its thread's calls of that name.
    fn calls(&self, base: &Path) -> Vec<(&'static str, usize)> {
        let log = base.join(".strace");
        self.run(base, &["-o", text(&log)]);
        // By name and thread: those of the loader, and all.
        let mut made: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        let mut itself = false;
        let lines = fs::read_to_string(&log).expect("strace wrote it");
        for line in lines.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let Some((name, _)) = call.trim_start().split_once('(') else { continue };
            // The first thing a Rust program does is to see whether its streams are there.
            itself |= name == "poll";
            let (loader, all) = made.entry((name, thread)).or_default();
            *all += 1;
            *loader += usize::from(!itself);
        }
        let mut calls = Vec::new();
        let only = std::env::var("OCISTOW_STRIKE_AT").ok();
        for name in
            CALLS.into_iter().filter(|call| only.as_ref().is_none_or(|only| only.split(',').any(|it| it == *call)))
        {
            let of_name = made.range((name, "")..).take_while(|((is, _), _)| *is == name);
            let (first, last) =
                of_name.fold((0, 0), |(first, last), (_, (loader, all))| (first.max(*loader), last.max(*all)));
            calls.extend((first + 1..=last).map(|nth| (name, nth)));
        }
        fs::remove_file(log).expect("strace wrote it");
        calls
    }
}

/// What is struck at in a test: so many of all points, or as many as `OCISTOW_STRIKE` says, spread over them. Where
/// `OCISTOW_STRIKE_AT` names calls, only those are points.
fn picked(calls: &[(&'static str, usize)], few: usize) -> Vec<(&'static str, usize, &'static str)> {
    let few = std::env::var("OCISTOW_STRIKE").map_or(few, |text| text.parse().expect("OCISTOW_STRIKE is a number"));
    let all = calls.iter().flat_map(|(call, nth)| BLOWS.map(|blow| (*call, *nth, blow)));
    let points: Vec<_> = all.collect();
    let step = match points.len() / few {
        0 | 1 => 1,
        // Prime to the number of blows, so that all of them have their turn.
        step => step.next_multiple_of(BLOWS.len()) + 1,
    };
    points.into_iter().step_by(step).collect()
}

/// Strikes at a line that changes something, at a call for these paths if any are given. Gives what strace was told of.
fn strike(strace: &Strace, change: &Change, paths: &[&str], call: &str, blow: &str, nth: usize) -> String {
    let base = change.stage();
    let base = base.path();
    let log = base.join(".strace");
    // Some calls have a directory and a path in it.
    let paths: Vec<PathBuf> = paths.iter().flat_map(|path| [base.join(path), path.into()]).collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let ended = strace.strike(base, &log, &paths, call, blow, &nth.to_string());
    let told = format!("{call} {nth} {blow}");
    assert!(ended.code != KILLED || blow == "signal=KILL", "{}, {told}: {}", change.line, ended.err);
    // Where stderr itself was struck at, nothing was said.
    let said = ended.err.contains("error: could not ") || call == "write";
    assert!(ended.code != 1 || said, "{}, {told}: {}", change.line, ended.err);
    change.judge(base, &ended, &told);
    fs::read_to_string(log).expect("strace wrote it")
}

/// Strikes at a line that changes something.
fn writes(line: &'static str, again: &'static str, few: usize) {
    let Some(strace) = Strace::find(line) else { return };
    let change = Change::of(line, again);
    let calls = strace.calls(change.stage().path());
    let points = picked(&calls, few);
    for (call, nth, blow) in &points {
        strike(&strace, &change, &[], call, blow, *nth);
    }
    eprintln!("{line}: struck at {} of {} points", points.len(), calls.len() * BLOWS.len());
}

/// Strikes at a line that only looks: it gives the same answer, or none that could be taken for right.
fn looks(line: &'static str, few: usize) {
    let Some(strace) = Strace::find(line) else { return };
    let from = start(line);
    let base = from.path();
    let calls = strace.calls(base);
    let right = strace.run(base, &["-o", "/dev/null", "-e", "trace=none"]);
    assert_eq!(right.code, 0, "{line}: {}", right.err);
    let points = picked(&calls, few);
    for (call, nth, blow) in &points {
        let Ended { code, out, err } = strace.strike(base, NOWHERE.as_ref(), &[], call, blow, &nth.to_string());
        let told = format!("{line}, {call} {nth} {blow}: {code} {err}\n{out}");
        match code {
            0 => assert_eq!(out, right.out, "{told}"),
            1 => assert!(err.contains("error: could not ") || *call == "write", "{told}"),
            KILLED if *blow == "signal=KILL" => {}
            _ => panic!("{told}"),
        }
    }
    eprintln!("{line}: struck at {} of {} points", points.len(), calls.len() * BLOWS.len());
}

/// One test a line, so that they run beside each other.
macro_rules! struck {
    (writes: $($name:ident: $line:literal $(, then $again:literal)?;)*) => {$(
        #[test]
        fn $name() {
            let again = [$line $(, $again)?];
            writes($line, again.last().expect("there is one"), 24);
        }
    )*};
    (looks: $($name:ident: $line:literal;)*) => {$(
        #[test]
        fn $name() {
            looks($line, 24);
        }
    )*};
}

struck! { writes:
    init_is_struck: "init @/new";
    import_is_struck: "import @/bundle.tar @/target --tag 1=app";
    import_from_a_pipe_is_struck: "import - @/new < @/bundle.tar";
    export_is_struck: "export @/source -o @/new.tar", then "export @/source -o @/new.tar --force";
    export_to_a_packed_archive_is_struck:
        "export @/source -o @/new.tar.zst", then "export @/source -o @/new.tar.zst --force";
    copy_is_struck: "copy @/source:1 @/target:app";
    push_is_struck: "push @/target:app @/source --title source";
    attach_is_struck: "attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note";
    index_add_is_struck: "index add @/target:pair late";
    convert_is_struck: "convert @/target:1 --to docker --referrers";
    tag_is_struck: "tag @/target:1 2";
    rm_is_struck: "rm @/target:1", then "untag @/target:1 --ignore-missing";
    rm_with_referrers_is_struck: "rm @/target:1 --referrers", then "untag @/target:1 --ignore-missing";
    untag_is_struck: "untag @/target:1", then "untag @/target:1 --ignore-missing";
    pull_is_struck: "pull @/target:kit -o @/out-new";
    a_repair_is_struck: "fsck @/lacking --repair-from @/bundle.tar.gz";
}

struck! { looks:
    ls_is_struck: "ls --all @/source";
    show_is_struck: "show @/source:1";
    discover_is_struck: "discover @/source:1 --all-platforms";
    graph_is_struck: "graph @/source";
    du_is_struck: "du @/source";
    diff_is_struck: "diff @/source @/target";
    fsck_is_struck: "fsck @/source";
    plan_is_struck: "plan @/source:1";
    looking_at_an_archive_is_struck: "discover @/bundle.tar:1";
    looking_at_a_packed_archive_is_struck: "fsck @/bundle.tar.gz";
    exporting_to_a_pipe_is_struck: "export @/source:1 -o -";
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
        let Ended { code, err, .. } = strace.strike(from.path(), NOWHERE.as_ref(), &[], "clone3", "error=EAGAIN", "1+");
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
            let Ended { code: ended, out, err } =
                strace.strike(base, NOWHERE.as_ref(), &[&path], call, "error=EIO", "1+");
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
        // Opening a lock fails as looking at the others does.
        let (path, calls) = (base.join(path), "statx,openat");
        for (blow, said) in [("error=EIO", "Input/output error"), ("error=EACCES", "Permission denied")] {
            // Locks that only others may take are nothing new.
            if blow == "error=EIO" || !line.starts_with("plan") {
                let Ended { code, err, .. } = strace.strike(base, NOWHERE.as_ref(), &[&path], calls, blow, "1+");
                assert_eq!(code, 1, "{line}: {err}");
                assert!(err.contains("error: could not ") && err.contains(said), "{line}: {err}");
                assert_eq!(state(base), before, "{line}");
            }
        }
    }
}

/// A manifest that an interrupted deletion left in the trash leads on as if it lay in its place, and so does a link.
#[test]
fn nothing_is_deleted_while_the_trash_or_a_link_cannot_be_looked_at() {
    let line = "gc @/target --grace 0";
    let Some(strace) = Strace::find(line) else { return };
    let base = start(line);
    let base = base.path();
    let target = base.join("target");
    let digest = done("resolve @/target:1", base);
    let hex = digest.trim().trim_start_matches("sha256:");
    fs::create_dir_all(target.join(".ocistow/trash/sha256")).expect("the stage can be written to");
    let trash = target.join(".ocistow/trash/sha256").join(hex);
    fs::rename(target.join("blobs/sha256").join(hex), &trash).expect("it is there");
    // What nothing reaches, and a link leads to.
    let linked = target.join("blobs/sha256").join(hex.chars().rev().collect::<String>());
    let link = target.join("blobs/sha256/link");
    fs::write(&linked, "").expect("the stage can be written to");
    std::os::unix::fs::symlink(&linked, &link).expect("the stage can be written to");
    let there = || -> Vec<PathBuf> {
        let files = walkdir::WalkDir::new(target.join("blobs")).sort_by_file_name().into_iter();
        files.map(|file| file.expect("it can be listed").into_path()).collect()
    };
    let before = there();
    for (call, path) in [
        ("openat", target.join(".ocistow/trash")),
        ("statx", target.join(".ocistow/trash")),
        ("openat", target.join(".ocistow/trash/sha256")),
        ("statx", trash.clone()),
        ("readlink", link.clone()),
    ] {
        let ended = strace.strike(base, NOWHERE.as_ref(), &[&path], call, "error=EIO", "1+");
        assert_eq!(ended.code, 1, "{call} {}: {}", path.display(), ended.err);
        assert_eq!(there(), before, "{call} {}", path.display());
    }
    done(line, base);
    assert!(linked.exists() && !trash.exists(), "the one is spared, the other put back");
}

/// What is asked of a path after it was written must not end with 1 what is done, nor leave half of what is not.
#[test]
fn a_command_fails_before_it_is_done_or_not_at_all() {
    for (line, paths) in [
        ("push @/target:app @/bundle.tar.gz --title note", ["target", "target/index.json"]),
        ("attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note", ["target", "index.json"]),
        ("index create @/target:1 pair late", ["target", "index.json"]),
        ("convert @/target:1 app --to docker", ["target", "index.json"]),
        ("copy @/source:1 @/target:app", ["target", "target/index.json"]),
        ("init @/new", ["new", "new/blobs"]),
        ("pull @/target:kit -o @/out-new", ["out-new", "out-new/kit"]),
    ] {
        let Some(strace) = Strace::find(line) else { return };
        let change = Change::of(line, line);
        for call in ["statx", "openat2", "readlink"] {
            for nth in 1.. {
                let log = strike(&strace, &change, &paths, call, "error=EIO", nth);
                if !log.contains("(INJECTED)") {
                    break;
                }
            }
        }
    }
}

/// Old kernels do not know openat2, and sandboxes may not let it through.
#[test]
fn without_openat2_everything_is_done_in_another_way() {
    for line in
        ["ls --all @/source", "fsck @/source", "import @/bundle.tar @/target --tag 1=app", "gc @/target --grace 0"]
    {
        let Some(strace) = Strace::find(line) else { return };
        let from = start(line);
        let right = strace.run(from.path(), &["-o", NOWHERE, "-e", "trace=none"]);
        assert_eq!(right.code, 0, "{line}: {}", right.err);
        for errno in ["ENOSYS", "EPERM"] {
            let from = start(line);
            let blow = format!("error={errno}");
            let Ended { code, out, err } = strace.strike(from.path(), NOWHERE.as_ref(), &[], "openat2", &blow, "1+");
            assert_eq!((code, out), (0, right.out.clone()), "{line}, {errno}: {err}");
        }
    }
}

/// Network file systems may have no locks: whoever writes says so and goes on, whoever deletes does not.
#[test]
fn without_locks_writers_warn_and_nothing_is_deleted() {
    for (line, code) in [
        ("tag @/target:1 2", 0),
        ("import @/bundle.tar @/target --tag 1=app", 0),
        ("push @/target:app @/source --title source", 0),
        ("gc @/target --grace 0", 1),
        ("rm @/target:1", 1),
    ] {
        let Some(strace) = Strace::find(line) else { return };
        let from = start(line);
        for errno in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
            let base = room();
            clone(from.path(), base.path());
            let before = state(base.path());
            let blow = format!("error={errno}");
            let ended = strace.strike(base.path(), NOWHERE.as_ref(), &[], "flock", &blow, "1+");
            let told = format!("{line}, {errno}: {} {}", ended.code, ended.err);
            assert_eq!(ended.code, code, "{told}");
            assert_eq!(state(base.path()) == before, code == 1, "{told}");
            let said = if code == 0 { "warning: " } else { "error: could not delete from " };
            assert!(ended.err.contains(said) && ended.err.contains("file system without locks"), "{told}");
        }
    }
}
