//! The ground shifts under a command, before each of its calls in turn: the layout moves or is taken away, others
//! rewrite index.json in place, content is cut short or replaced while it is read.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ocistow_testkit::medium::Told;

mod stage;

use stage::{clone, done, room, run, start, state};

/// How a command ended under which the ground shifted.
struct Shifted {
    base: tempfile::TempDir,
    code: u8,
    said: String,
    told: String,
}

/// Runs `line`, and before its nth call `shift`, for every n: `judge` is given how that ended. There are `least` calls.
fn shifts(line: &str, shift: fn(&Path), least: usize, judge: &dyn Fn(&Shifted)) {
    let from = start(line);
    for nth in 0.. {
        let base = room();
        clone(from.path(), base.path());
        let made = Arc::new(AtomicUsize::new(0));
        let (count, at) = (made.clone(), base.path().to_owned());
        let medium = Told(move |_: &str, _: &[&Path]| {
            if count.fetch_add(1, Ordering::SeqCst) == nth {
                shift(&at);
            }
            Ok(())
        });
        let (code, said) = run(line, base.path(), Some(Box::new(medium)));
        if made.load(Ordering::SeqCst) <= nth {
            assert!(nth >= least, "{line}: only {nth} calls");
            return;
        }
        let told = format!("{line}, before call {nth}: {code} {said}");
        judge(&Shifted { base, code, said, told });
    }
}

/// What a line makes of the stage, and what there was before.
fn outcome(line: &str) -> [BTreeMap<PathBuf, String>; 2] {
    let from = start(line);
    let before = state(from.path());
    done(line, from.path());
    [before, state(from.path())]
}

fn move_away(base: &Path) {
    fs::rename(base.join("target"), base.join("elsewhere")).unwrap();
}

fn take_away(base: &Path) {
    // What is made meanwhile may be in the way.
    while fs::remove_dir_all(base.join("target")).is_err() {}
}

#[test]
fn a_layout_that_moves_away_is_in_its_old_state_or_its_new_one() {
    for line in [
        "tag @/target:1 2",
        "import @/bundle.tar @/target --tag 1=app",
        "push @/target:app @/source --title source",
        "gc @/target --grace 0",
        "rm @/target:1",
    ] {
        let [before, after] = outcome(line);
        shifts(line, move_away, 5, &|Shifted { base, code, said, told }| {
            // Nothing is made of what has gone; only what stands for itself may come to lie there.
            let (there, listed) = run("fsck @/target", base.path(), None);
            let own = line.starts_with("import") || line.starts_with("push");
            assert!(there == 3 || own && there == 0, "{told}{listed}");
            let _ = fs::remove_dir_all(base.path().join("target"));
            fs::rename(base.path().join("elsewhere"), base.path().join("target")).unwrap();
            let now = state(base.path());
            match code {
                0 => assert!(now == after || there == 0, "{told}"),
                1 | 3 => {
                    assert!(said.contains("error: "), "{told}");
                    assert!(now == before || now == after, "{told}");
                }
                _ => panic!("{told}"),
            }
        });
    }
}

#[test]
fn a_layout_that_is_taken_away_is_not_there_and_nothing_is_said_to_be_done() {
    for line in ["tag @/target:1 2", "import @/bundle.tar @/target --tag 1=app", "export @/target -o @/new.tar"] {
        let [_, after] = outcome(line);
        shifts(line, take_away, 5, &|Shifted { base, code, said, told }| {
            let now = state(base.path());
            match code {
                // It was read by then, or changed.
                0 => assert_eq!(now.get(Path::new("new.tar")), after.get(Path::new("new.tar")), "{told}"),
                1 | 3 | 5 => assert!(said.contains("error: "), "{told}"),
                _ => panic!("{told}"),
            }
            // What is there then, if anything, is whole: its state was asked for.
            assert!(!line.starts_with("tag") || !now.contains_key(Path::new("target")), "{told}");
        });
    }
}

/// As oras does, which knows no locks: cut short, then written.
fn rewrite_index(base: &Path) {
    let path = base.join("target/index.json");
    let text = fs::read_to_string(&path).unwrap();
    let theirs = text.replacen("\"manifests\":[", &format!("\"manifests\":[{THEIRS},"), 1);
    assert_ne!(text, theirs);
    fs::write(path, theirs).unwrap();
}

const THEIRS: &str = r#"{"mediaType":"text/plain","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"data":"aGVsbG8=","annotations":{"org.opencontainers.image.ref.name":"theirs"}}"#;

#[test]
fn what_others_write_into_index_json_meanwhile_stays() {
    for line in [
        "tag @/target:1 2",
        "untag @/target:late",
        "import @/bundle.tar @/target --tag 1=app",
        "push @/target:app @/source --title source",
        "index add @/target:pair late",
        "rm @/target:late",
    ] {
        let [before, after] = outcome(line);
        shifts(line, rewrite_index, 10, &|Shifted { base, code, said, told }| {
            let untag = run("untag @/target:theirs", base.path(), None);
            assert_eq!(untag.0, 0, "theirs is lost: {told}{}", untag.1);
            let now = state(base.path());
            match code {
                0 => assert_eq!(now, after, "{told}"),
                1 => {
                    assert!(said.contains("error: could not "), "{told}");
                    assert_eq!(now, before, "{told}");
                }
                _ => panic!("{told}"),
            }
        });
    }
}

/// The largest of the source's blobs is cut short where it lies.
fn cut(base: &Path) {
    fs::File::options().write(true).open(largest(base)).unwrap().set_len(3).unwrap();
}

/// It is other content of the same length.
fn forge(base: &Path) {
    let path = largest(base);
    let len = fs::metadata(&path).unwrap().len();
    fs::write(path, vec![b'x'; usize::try_from(len).unwrap()]).unwrap();
}

fn largest(base: &Path) -> PathBuf {
    let blobs = fs::read_dir(base.join("source/blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    blobs.max_by_key(|path| (fs::metadata(path).unwrap().len(), path.clone())).unwrap()
}

#[test]
fn content_that_changes_while_it_is_read_is_never_carried_under_its_digest() {
    for line in
        ["import @/source @/target --tag 1=app", "export @/source -o @/new.tar", "export @/source -o @/new.tar.zst"]
    {
        let [before, after] = outcome(line);
        for shift in [cut as fn(&Path), forge] {
            shifts(line, shift, 3, &|Shifted { base, code, said, told }| {
                // Which looks at all blobs of the target, and refuses one that is wrong.
                let now = state(base.path());
                match code {
                    0 => assert_eq!(now, after, "{told}"),
                    4 => {
                        assert!(said.contains("error: could not ") || said.contains("error: blob "), "{told}");
                        assert_eq!(now, before, "{told}");
                    }
                    _ => panic!("{told}"),
                }
            });
        }
    }
}
