//! What is had of a source that may be damaged itself.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use ocistow_layout::directory::Directory;
use ocistow_layout::salvage::{Salvaged, salvage};
use ocistow_layout::transaction::{Options, Transaction};
use ocistow_layout::{Blob, Digest, Kind, Result, Source, Unwatched};
use ocistow_testkit::medium::Failing;
use ocistow_testkit::{Drawing, OnePass, Unreadable, draw, to_dir};
use rustix::io::Errno;

const WORLD: &str = "image app:1 = base + top + more";

/// A layout that has nothing of the drawing but its index.json.
fn bare() -> (tempfile::TempDir, PathBuf, Drawing) {
    let (dir, world) = (tempfile::tempdir().unwrap(), draw(WORLD));
    let path = dir.path().join("bare");
    to_dir(&ocistow_layout::memory::Memory { blobs: Default::default(), ..world.memory.clone() }, &path).unwrap();
    (dir, path, world)
}

fn blobs(world: &Drawing, names: &[&str]) -> Vec<Blob> {
    let blob = |name: &&str| Blob { digest: world.digest(name), size: world.descriptor(name).size };
    names.iter().map(blob).collect()
}

fn take(source: &dyn Source, transaction: &Transaction<'_>, blobs: &[Blob]) -> Result<Salvaged> {
    salvage(source, transaction, blobs, 2, &Unwatched)
}

fn words<'d>(world: &Drawing, digests: impl IntoIterator<Item = &'d Digest>) -> String {
    world.words(digests)
}

#[test]
fn what_is_right_is_staged_and_the_rest_is_told() {
    let (_dir, path, world) = bare();
    let mut damaged = world.memory.clone();
    damaged.blobs.get_mut(&world.digest("top")).unwrap()[0] ^= 1;
    damaged.blobs.remove(&world.digest("more"));
    for source in [&damaged as &dyn Source, &OnePass(damaged.clone())] {
        let mut transaction = Transaction::begin(&path, Options::default()).unwrap();
        let salvaged = take(source, &transaction, &blobs(&world, &["base", "top", "more"])).unwrap();
        assert_eq!(words(&world, salvaged.staged.iter().map(|blob| &blob.digest)), "base");
        let refused: Vec<(&Digest, Kind)> = salvaged.refused.iter().map(|(digest, why)| (digest, why.kind())).collect();
        assert_eq!(words(&world, refused.iter().map(|(digest, _)| *digest)), "more top");
        assert!(refused.iter().all(|(_, kind)| [Kind::Integrity, Kind::NotFound].contains(kind)));
        transaction.publish_blobs(&salvaged.staged).unwrap();
        assert!(path.join(world.digest("base").path()).is_file() && !path.join(world.digest("top").path()).exists());
    }
}

#[test]
fn trouble_of_the_source_is_passed_over_and_trouble_of_the_layout_is_not() {
    let (_dir, path, world) = bare();
    let wanted = blobs(&world, &["base", "top"]);
    let source = Unreadable { memory: world.memory.clone(), blobs: BTreeSet::from([world.digest("top")]) };
    let transaction = Transaction::begin(&path, Options::default()).unwrap();
    let salvaged = take(&source, &transaction, &wanted).unwrap();
    assert_eq!((salvaged.staged.len(), salvaged.refused.len()), (1, 1));
    assert!(salvaged.refused[0].1.chain().contains("Input/output error"), "{}", salvaged.refused[0].1.chain());
    drop(transaction);
    let full = Failing::new(|_, name| (name == "write_at").then_some(Errno::NOSPC));
    let transaction = Transaction::begin(&path, Options { medium: &full, ..Options::default() }).unwrap();
    let why = take(&world.memory, &transaction, &wanted).unwrap_err();
    assert_eq!(why.kind(), Kind::Failed);
    assert!(why.chain().contains("No space left"), "{}", why.chain());
}

#[test]
fn blobs_without_a_place_are_told_and_the_others_published() {
    let (_dir, path, world) = bare();
    fs::create_dir(path.join(world.digest("top").path())).unwrap();
    // Nothing is written through it, and it need not be.
    fs::rename(path.join("index.json"), path.join("blobs/elsewhere.json")).unwrap();
    std::os::unix::fs::symlink("blobs/elsewhere.json", path.join("index.json")).unwrap();
    let mut transaction = Transaction::begin(&path, Options::default()).unwrap();
    let salvaged = take(&world.memory, &transaction, &blobs(&world, &["base", "top"])).unwrap();
    assert_eq!(words(&world, salvaged.blocked.iter().map(|(digest, _)| digest)), "top");
    transaction.publish_blobs(&salvaged.staged).unwrap();
    assert!(path.join(world.digest("base").path()).is_file());
    assert_eq!(Directory::open(&path).unwrap().index().unwrap().bytes(), world.memory.index);
    drop(transaction);
    // Nor through a link in the place of a directory.
    fs::remove_dir(path.join(world.digest("top").path())).unwrap();
    fs::rename(path.join("blobs/sha256"), path.join("blobs/elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", path.join("blobs/sha256")).unwrap();
    let transaction = Transaction::begin(&path, Options::default()).unwrap();
    let salvaged = take(&world.memory, &transaction, &blobs(&world, &["more", "top"])).unwrap();
    assert_eq!((salvaged.staged.len(), salvaged.blocked.len()), (0, 2));
}
