//! What several do to one layout at the same time, each at the worst moment for another: nobody is overtaken for ever,
//! nobody loses what he decided on, and nobody waits for somebody who waits for him.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ocistow_layout::Digest;
use ocistow_layout::medium::Medium;
use ocistow_testkit::medium::Told;
use ocistow_testkit::{draw, to_dir};
use tempfile::TempDir;

mod stage;

use stage::{done, room, run};

/// More than anybody tries by himself.
const OTHERS: usize = 40;

const WORLD: &str = "image base:base = common [linux/amd64]
     image more:more = common [linux/arm64]
     index all:all = base
     docker old:old = common
     artifact told:told : application/x.told
     refer first -> told : application/x.note
     fallback told = first
     docker dead = deep
     hidden dead";

/// A layout `store`, and `from-N` with what refers to something in it.
fn crowded() -> (TempDir, Digest) {
    let dir = room();
    let several = |n: usize| format!("\nimage y{n}:y{n} = common\ndocker d{n}:d{n} = common");
    let world = draw(&format!("{WORLD}{}", (0..OTHERS).map(several).collect::<String>()));
    to_dir(&world.memory, dir.path().join("store")).unwrap();
    for n in 0..=OTHERS {
        let bundle = format!("artifact told:told : application/x.told\nrefer refers{n} -> told : application/x.note");
        to_dir(&draw(&bundle).memory, dir.path().join(format!("from-{n}"))).unwrap();
    }
    (dir, world.digest("dead"))
}

/// A disk on which somebody acts right before each call that `when` picks.
fn acting(
    when: impl Fn(&str, &Path) -> bool + Send + Sync + 'static,
    act: impl Fn(usize) + Send + Sync + 'static,
) -> Box<dyn Medium> {
    let turns = AtomicUsize::new(0);
    Box::new(Told(move |call: &str, paths: &[&Path]| {
        if paths.first().is_some_and(|path| when(call, path)) {
            act(turns.fetch_add(1, Ordering::SeqCst));
        }
        Ok(())
    }))
}

/// Every writer begins with this call, once he has decided what he can without writing.
fn begins(store: PathBuf) -> impl Fn(&str, &Path) -> bool {
    move |call, path| call == "make_dir" && path == store
}

#[test]
fn who_is_overtaken_again_and_again_gets_his_turn() {
    for (line, other) in [
        (format!("import @/from-{OTHERS} @/store"), "import @/from-N @/store"),
        (format!("copy @/from-{OTHERS}:told @/store"), "import @/from-N @/store"),
        (format!("export @/from-{OTHERS} -o @/store"), "import @/from-N @/store"),
        ("index add @/store:all more".to_owned(), "index add @/store:all yN"),
        ("convert @/store:old".to_owned(), "tag @/store:dN old"),
    ] {
        let (dir, _) = crowded();
        let base = dir.path().to_owned();
        let staged = |call: &str, path: &Path| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            call == "create" && name.starts_with(b"sha256-")
        };
        let medium = acting(staged, move |turn| {
            let other = other.replace('N', &turn.to_string());
            let (code, said) = run(&format!("{other} --lock-timeout 20ms"), &base, None);
            assert!(code == 0 || said.contains("could not get hold of"), "{other}: {said}");
        });
        let (code, said) = run(&line, dir.path(), Some(medium));
        assert_eq!(code, 0, "{line}: {said}");
        let said = done("fsck @/store", dir.path());
        assert!(!said.contains("stale-fallback"), "{line}: {said}");
    }
}

#[test]
fn what_was_decided_on_is_there_when_it_is_published() {
    for line in [
        "convert @/store@<dead> new",
        "tag @/store@<dead> new",
        "index create @/store:new @<dead>",
        "index add @/store:all @<dead>",
    ] {
        // Also where nobody of ours has ever written.
        for known in [true, false] {
            let (dir, dead) = crowded();
            let base = dir.path().to_owned();
            if known {
                done("init @/store", &base);
            }
            let medium = acting(begins(base.join("store")), move |_| {
                run("gc @/store --grace 0 --lock-timeout 20ms", &base, None);
            });
            let line = line.replace("<dead>", &dead.to_string());
            let (code, said) = run(&line, dir.path(), Some(medium));
            assert_eq!(code, 0, "{line}: {said}");
            assert!(dir.path().join("store").join(dead.path()).exists(), "{line}: it lists what is gone");
            done("fsck @/store", dir.path());
        }
    }
}

#[test]
fn who_writes_where_he_reads_waits_for_no_gc_that_waits_for_him() {
    for line in [
        "tag @/store:base new",
        "convert @/store:old",
        "index create @/store:new base",
        "index add @/store:all more",
        "copy @/store:base @/store:new",
        "export @/store:base -o @/store",
    ] {
        let (dir, _) = crowded();
        let base = dir.path().to_owned();
        done("init @/store", &base);
        let gc = Arc::new(Mutex::new(None));
        let medium = acting(begins(base.join("store")), {
            let gc = gc.clone();
            move |_| {
                let at = base.clone();
                *gc.lock().unwrap() = Some(thread::spawn(move || run("gc @/store", &at, None)));
                let gate = base.join("store/.ocistow/lock/gate");
                let gate = fs::OpenOptions::new().read(true).write(true).open(gate).unwrap();
                while gate.try_lock_shared().is_ok() {
                    gate.unlock().unwrap();
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let (code, said) = run(&format!("{line} --lock-timeout 100ms"), dir.path(), Some(medium));
        assert_eq!(code, 0, "{line}: {said}");
        let (code, said) = gc.lock().unwrap().take().expect("it was started").join().unwrap();
        assert_eq!(code, 0, "{said}");
    }
}
