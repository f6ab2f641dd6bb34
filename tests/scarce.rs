//! Open files are scarce: with as few as a shell may leave, the program works or says so, and nothing is lost.

use std::fs;
use std::process::Command;

use crate::change::{Change, Ended, program};
use crate::stage;

/// A shell that runs what follows with so few open files.
fn few(files: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"]);
    shell
}

#[test]
fn with_few_open_files_a_change_is_whole_or_refused_in_words() {
    for (line, again) in [
        ("import @/bundle.tar @/target --tag 1=app --threads 8", None),
        ("import - @/new < @/bundle.tar", None),
        ("export @/source -o @/new.tar --threads 8", Some("export @/source -o @/new.tar --force")),
        ("export @/source -o @/new --threads 8", None),
        ("copy @/source:1 @/target:app", None),
        ("push @/target:app @/source --title source", None),
        ("pull @/target:kit -o @/out-new", None),
        ("fsck @/lacking --repair-from @/bundle.tar.gz", None),
    ] {
        let change = Change::of(line, again.unwrap_or(line));
        let mut codes = Vec::new();
        for files in [6, 8, 10, 12, 16, 20, 24, 32, 64] {
            let base = change.stage();
            let output = program(line, base.path(), Some(few(files))).output().expect("there is a shell");
            let ended = Ended::of(&output, base.path());
            let how = format!("with {files} open files");
            assert!(ended.code != 1 || ended.err.contains("Too many open files"), "{line}, {how}: {}", ended.err);
            change.judge(base.path(), &ended, &how);
            codes.push(ended.code);
        }
        assert_eq!(codes.last(), Some(&0), "{line}: {codes:?}");
        assert!(codes.contains(&1), "{line}: {codes:?}");
    }
}

/// Many blobs from many threads: not more of them are open at once than that.
#[test]
fn many_blobs_need_no_more_open_files_than_few() {
    let stage = stage::start("");
    let base = stage.path();
    for n in 0..400 {
        fs::create_dir_all(base.join("files")).expect("there is room");
        fs::write(base.join(format!("files/{n}")), format!("file {n}")).expect("there is room");
    }
    let files: String = (0..400).map(|n| format!(" files/{n}")).collect();
    for line in [
        format!("push @/target:many{files}"),
        "export @/target -o @/new.tar --threads 16".into(),
        "import @/new.tar @/new --threads 16".into(),
        "fsck @/new --threads 16".into(),
        "pull @/new:many -o @/out".into(),
        "gc @/new --grace 0 --threads 16".into(),
    ] {
        let output = program(&line, base, Some(few(128))).output().expect("there is a shell");
        let ended = Ended::of(&output, base);
        assert_eq!(ended.code, 0, "{line}: {}", ended.err);
    }
    assert_eq!(fs::read_to_string(base.join("out/files/399")).expect("it was pulled"), "file 399");
}
