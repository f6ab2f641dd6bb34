//! The working directory is gone, moves away, or lets nobody in: what is named from it is not there, is not found or
//! cannot be looked at; all else works, and nothing is half written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::change::{Change, Ended, ended, program};
use crate::run::Peer;
use crate::stage::{done, litter, start, state};

/// What runs a program in a directory of its own, which gets this before.
fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-euc", &format!("mkdir own; cd own; {line}; exec \"$@\""), "sh"]);
    shell
}

/// Lines of which the directory is all that they need, whatever else they name.
const FROM_HERE: [&str; 29] = [
    "ls .",
    "ls ..",
    "ls lay",
    "ls --path lay",
    "show lay:1",
    "resolve lay:1",
    "discover lay:1",
    "graph @/source -o new.dot --format dot",
    "du lay",
    "diff @/source lay",
    "fsck lay",
    "fsck @/lacking --repair-from lay",
    "plan lay:1",
    "init new",
    "init .",
    "import @/bundle.tar new",
    "import - new < @/bundle.tar",
    "import bundle.tar @/target --tag 1=app",
    "export @/source -o new.tar",
    "export @/source -o new.tar.zst",
    "export @/source -o new",
    "export lay -o @/new.tar",
    "copy @/source:1 new:1",
    "copy lay:1 @/target:1",
    "push @/target:app . --title own",
    "push @/target:app file",
    "pull @/target:kit",
    "tag lay:1 2",
    "gc lay --grace 0",
];

/// Lines that need nothing of it.
const FROM_ELSEWHERE: [&str; 9] = [
    "import @/bundle.tar @/target --tag 1=app",
    "import - @/new < @/bundle.tar",
    "export @/source -o @/new",
    "copy @/source:1 @/target:app",
    "push @/target:app @/source --title source",
    "manifest push @/target:again - < @/bundle.json",
    "tag @/target:1 2",
    "pull @/target:kit -o @/out-new",
    "fsck @/lacking --repair-from @/bundle.tar.gz",
];

/// Runs both kinds of lines where what `under` runs has a working directory that is of no use.
fn useless(under: impl Fn() -> Command, code: i32) {
    for line in FROM_HERE {
        let base = start(if line.contains("kit") { "pull" } else { line });
        let before = state(base.path());
        let ended = ended(line, base.path(), Some(under()));
        assert_eq!(ended.code, code, "{line}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains("error: could not "), "{line}: {}", ended.err);
        assert_eq!(state(base.path()), before, "{line}: {}", ended.err);
        assert!(litter(base.path()).iter().all(|path| !path.is_dir()), "{line}: {:?}", litter(base.path()));
    }
    for line in FROM_ELSEWHERE {
        let change = Change::of(line, line);
        let base = change.stage();
        let ended = ended(line, base.path(), Some(under()));
        assert_eq!(ended.code, 0, "{line}: {}", ended.err);
        change.judge(base.path(), &ended, "in a working directory that is of no use");
    }
    for line in ["ls --all @/source", "discover @/bundle.tar:1", "fsck @/source", "plan @/source:1"] {
        let base = start(line);
        let ended = ended(line, base.path(), Some(under()));
        let at_base = format!("{}/", base.path().display());
        assert_eq!(ended.out, done(line, base.path()).replace(&at_base, "@/"), "{line}: {}", ended.err);
    }
}

#[test]
fn in_a_directory_that_was_removed_nothing_is_there_and_the_rest_works() {
    useless(|| shell("rmdir ../own"), 3);
}

#[test]
fn in_a_directory_that_lets_nobody_in_nothing_can_be_looked_at_and_the_rest_works() {
    // Root is let in everywhere, but for this.
    let setpriv = if fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        let Some(setpriv) = Peer::find("setpriv") else { return };
        Some(setpriv)
    } else {
        None
    };
    let under = || {
        let shell = shell("chmod 0 .");
        let Some(setpriv) = &setpriv else { return shell };
        let mut under = setpriv.command();
        under.args(["--bounding-set", "-dac_override,-dac_read_search"]);
        under.arg(shell.get_program()).args(shell.get_args());
        under
    };
    useless(under, 1);
}

/// An import into `target`, named from the working directory, that has half of its input when `meanwhile` happens to
/// that directory, `here`.
fn half_imported(change: &Change, meanwhile: impl Fn(&Path)) -> (tempfile::TempDir, Ended) {
    let base = change.stage();
    let here = base.path().join("here");
    fs::create_dir(&here).expect("there is room");
    fs::rename(base.path().join("target"), here.join("target")).expect("it is there");
    let bundle = fs::read(base.path().join("bundle.tar")).expect("it is there");
    let mut import = program("import - target --tag 1=app", base.path(), None);
    let mut import = import.current_dir(&here).stdin(Stdio::piped()).spawn().expect("it can be started");
    let mut input = import.stdin.take().expect("it is a pipe");
    input.write_all(&bundle[..bundle.len() / 2]).expect("it reads");
    let staging = here.join("target/.ocistow/staging");
    let patience = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(&staging).map_or(0, |staged| staged.count()) == 0 {
        assert!(Instant::now() < patience, "it never starts");
        thread::sleep(Duration::from_millis(5));
    }
    meanwhile(base.path());
    // It may have ended by then.
    let _ = input.write_all(&bundle[bundle.len() / 2..]);
    drop(input);
    let ended = Ended::of(&import.wait_with_output().expect("it was started"), base.path());
    (base, ended)
}

#[test]
fn a_directory_that_moves_away_under_a_change_has_it_wholly_or_not_at_all() {
    let change =
        Change::of("import - @/target --tag 1=app < @/bundle.tar", "import - @/target --tag 1=app < @/bundle.tar");
    let (base, ended) = half_imported(&change, |base| {
        fs::rename(base.join("here"), base.join("there")).expect("it is there");
        // What comes to lie in its place is somebody else's.
        fs::create_dir(base.join("here")).expect("there is room");
        done("import @/old.tar @/here/target", base);
    });
    let own = done("ls --all --format json @/here/target", base.path());
    assert!(!own.contains("\"app\"") && litter(&base.path().join("here")).is_empty(), "{}", ended.err);
    done("fsck @/here/target", base.path());
    fs::rename(base.path().join("there/target"), base.path().join("target")).expect("it is there");
    fs::remove_dir_all(base.path().join("here")).expect("it is there");
    fs::remove_dir_all(base.path().join("there")).expect("it is there");
    change.judge(base.path(), &ended, "its directory moved away");
}

#[test]
fn a_directory_that_is_removed_under_a_change_takes_it_along() {
    let change =
        Change::of("import - @/target --tag 1=app < @/bundle.tar", "import - @/target --tag 1=app < @/bundle.tar");
    let (base, ended) = half_imported(&change, |base| {
        // What is staged meanwhile may be in the way.
        while fs::remove_dir_all(base.join("here")).is_err() {}
    });
    assert!([1, 3].contains(&ended.code), "{} {}", ended.code, ended.err);
    assert!(ended.err.contains("error: could not "), "{}", ended.err);
    assert!(!base.path().join("here").exists(), "{}", ended.err);
}
