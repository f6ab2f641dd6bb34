//! Somebody who may write to a directory puts a link in the place of one in it, between any two calls of ours: nothing
//! outside is made, changed or taken away.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ocistow_layout::archive::Existing;
use ocistow_layout::cabinet::{Cabinet, Taking};
use ocistow_layout::deletion::Deletion;
use ocistow_layout::edit::Edit;
use ocistow_layout::medium::Medium;
use ocistow_layout::output::Output;
use ocistow_layout::title::Title;
use ocistow_layout::transaction::{Options, Transaction};
use ocistow_layout::{Blob, Content, Descriptor, Digest, Source, Unwatched, output};
use ocistow_testkit::medium::Failing;
use ocistow_testkit::{draw, to_dir};

/// Everything below a directory: what it is, its mode, and what is in it.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let below = walkdir::WalkDir::new(root).into_iter().map(|step| step.unwrap());
    let what = |step: walkdir::DirEntry| {
        let content = if step.file_type().is_file() { fs::read(step.path()).unwrap() } else { Vec::new() };
        (step.path().strip_prefix(root).unwrap().to_owned(), (step.metadata().unwrap().mode(), content))
    };
    below.map(what).collect()
}

/// All directories below one, and itself if that is asked for.
fn directories(root: &Path, depth: usize) -> Vec<PathBuf> {
    let below = walkdir::WalkDir::new(root).min_depth(depth).sort_by_file_name().into_iter().filter_map(Result::ok);
    below.filter(|step| step.file_type().is_dir()).map(|step| step.into_path()).collect()
}

/// Moves a directory away and puts a link to `outside` in its place, where the same names stand for files of
/// somebody else's.
fn swap(directory: &Path, outside: &Path) {
    for step in walkdir::WalkDir::new(directory).min_depth(1).into_iter().filter_map(Result::ok) {
        let there = outside.join(step.path().strip_prefix(directory).unwrap());
        let made = if step.file_type().is_dir() { fs::create_dir(&there) } else { fs::write(&there, "precious") };
        made.unwrap();
    }
    fs::rename(directory, outside.with_file_name("moved")).unwrap();
    symlink(outside, directory).unwrap();
}

/// In memory, where that can be had: all of it is drawn some thousand times.
fn room() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Acts as often as there are calls and directories, each time with another directory swapped before another call.
/// `depth`: which directories, counted from `root`, which `act` is given and `draw` draws.
fn meddle(depth: usize, draw: &dyn Fn(&Path), act: &dyn Fn(&Path, &dyn Medium)) {
    let (mut nth, mut which, mut swaps) = (0, 0, 0);
    loop {
        let space = room();
        let space = space.path().canonicalize().unwrap();
        let (root, outside) = (space.join("root"), space.join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "precious").unwrap();
        draw(&root);
        let before = std::sync::Mutex::new(None);
        let (place, elsewhere, kept) = (root.clone(), outside.clone(), &before);
        let medium = Failing::new(move |call, name: &str| {
            // What works on open files cares for no names.
            let open = matches!(name, "write_at" | "share" | "dress" | "set_mode" | "sync_file" | "sync_all");
            if call == nth
                && !open
                && let Some(directory) = directories(&place, depth).get(which)
            {
                swap(directory, &elsewhere);
                *kept.lock().unwrap() = Some((directory.clone(), tree(&elsewhere)));
            }
            None
        });
        act(&root, &medium);
        let calls = medium.made();
        drop(medium);
        match before.into_inner().unwrap() {
            Some((directory, before)) => {
                let shown = directory.strip_prefix(&root).unwrap().display();
                assert_eq!(tree(&outside), before, "{shown} was swapped before call {nth}");
                (which, swaps) = (which + 1, swaps + 1);
            }
            None if calls <= nth => break,
            None => (nth, which) = (nth + 1, 0),
        }
    }
    assert!(swaps > 40, "only {swaps} swaps");
}

fn layout(root: &Path) {
    to_dir(&draw("image app:1 = base\nimage old = base + more").memory, root).unwrap();
    for inside in ["staging/0-0-0", "sets/set/deep", "trash/sha256", "graph", "lock"] {
        fs::create_dir_all(root.join(".ocistow").join(inside)).unwrap();
    }
    fs::write(root.join(".ocistow/staging/0-0-0/litter"), "").unwrap();
    fs::write(root.join(".ocistow/sets/set/deep/slice"), "").unwrap();
    fs::write(root.join(".ocistow/trash/sha256").join("a".repeat(64)), "").unwrap();
    fs::create_dir(root.join("blobs/sha256/.ocistow-0-0-0")).unwrap();
    fs::write(root.join("blobs/sha256/.ocistow-0-0-0/litter"), "").unwrap();
}

fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn write(root: &Path, medium: &dyn Medium) {
    let options = Options { medium, patience: Some(Duration::ZERO), ..Options::default() };
    let write = || {
        let mut transaction = Transaction::begin(root, options)?;
        transaction.put(&blob(b"hello"), Content::Bytes(b"hello"))?;
        transaction.put(&blob(b"wrong"), Content::Bytes(b"wrong"))?;
        transaction.put_bytes(b"made here")?;
        let entry = Descriptor::new("text/plain", Digest::of(b"hello"), 5);
        let edit = Edit::Name { entry: Box::new(entry), reference: "hello".into() };
        transaction.publish(&[blob(b"hello"), blob(b"wrong"), blob(b"made here")], &[edit])
    };
    // Whether it came to an end or said that it could not: the next one is asked nothing.
    let _ = write();
}

#[test]
fn nothing_is_written_through_a_directory_that_was_swapped() {
    let wrong = |root: &Path| {
        layout(root);
        fs::write(root.join(Digest::of(b"wrong").path()), "other").unwrap();
    };
    meddle(1, &wrong, &write);
    meddle(1, &|root| fs::create_dir(root).unwrap(), &write);
}

#[test]
fn nothing_is_deleted_through_a_directory_that_was_swapped() {
    meddle(1, &layout, &|root, medium| {
        let options = Options { medium, patience: Some(Duration::ZERO), ..Options::default() };
        let delete = || {
            let mut deletion = Deletion::begin(root, options)?;
            let lying = deletion.lying(Duration::from_secs(1))?;
            let blobs: Vec<Digest> = lying.into_iter().map(|lying| lying.blob.digest).collect();
            let index = deletion.holdings().index()?;
            deletion.delete(&index, &blobs)?;
            deletion.delete_sets()
        };
        let _ = delete();
    });
}

#[test]
fn nothing_is_put_out_through_a_directory_that_was_swapped() {
    let old = |root: &Path| {
        fs::create_dir_all(root.join("d/e")).unwrap();
        fs::create_dir_all(root.join(".ocistow-pull-0/tree")).unwrap();
        fs::write(root.join(".ocistow-pull-0/tree/litter"), "").unwrap();
        fs::write(root.join("d/e/old"), "old").unwrap();
    };
    meddle(1, &old, &|root, medium| {
        let options = output::Options { existing: Existing::Replace, medium, watch: &Unwatched };
        let write = || {
            let mut output = Output::begin(root, options)?;
            for title in ["d/e/old", "d/new", "f/g/new"] {
                output.file(&Title::parse(title).unwrap(), &blob(b"hello"), Content::Bytes(b"hello"))?;
            }
            output.publish()
        };
        let _: ocistow_layout::Result<()> = write();
    });
}

#[test]
fn nothing_is_kept_through_a_directory_that_was_swapped() {
    let cabinets = |root: &Path| {
        fs::create_dir_all(root.join(".ocistow/graph")).unwrap();
        fs::create_dir_all(root.join("cache/ocistow").join("a".repeat(64))).unwrap();
    };
    for ours in [true, false] {
        meddle(1, &cabinets, &|root, medium| {
            let cache = root.join("cache");
            let mut cabinets = Cabinet::of(root, Some(&cache), medium);
            let cabinet = cabinets.swap_remove(usize::from(!ours));
            for name in ["one", "two"] {
                if let Taking::Alone(alone) = cabinet.take() {
                    let _ = cabinet.put(&alone, name, &mut |filling| filling.write(b"kept"));
                    let _ = cabinet.now(&alone);
                    cabinet.clear(&alone, &|kept| kept == name);
                }
            }
        });
    }
}
