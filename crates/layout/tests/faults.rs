//! Layouts that are odd where ours writes: links of enemies, lost index files, blobs on another disk.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ocistow_layout::directory::Directory;
use ocistow_layout::medium::{Disk, Medium};
use ocistow_layout::transaction::{Options, SYNC_EACH, Transaction, init};
use ocistow_layout::{Blob, Content, Digest, Kind, Result, Source};
use tempfile::TempDir;

fn layout() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app");
    init(&path, Options::default()).unwrap();
    (dir, path)
}

fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn put(path: &Path, all: &[(Blob, Vec<u8>)], options: Options<'_>) -> Result<()> {
    let mut transaction = Transaction::begin(path, options)?;
    for (blob, bytes) in all {
        transaction.put(blob, Content::Bytes(bytes))?;
    }
    let order: Vec<Blob> = all.iter().map(|(blob, _)| blob.clone()).collect();
    transaction.publish(&order, &[]).map(drop)
}

/// Layouts come out of archives of strangers, `.ocistow` included.
#[test]
fn no_litter_is_cleared_and_no_lock_made_behind_a_link() {
    for linked in [
        ".ocistow",
        ".ocistow/lock",
        ".ocistow/staging",
        ".ocistow/staging/old",
        "blobs/.ocistow-old",
        "blobs/sha256/.ocistow-old",
    ] {
        let (dir, path) = layout();
        let outside = dir.path().join("outside");
        for inside in ["", "staging", "staging/old", "old"] {
            fs::create_dir(outside.join(inside)).unwrap();
            fs::write(outside.join(inside).join("precious"), "mine").unwrap();
        }
        let link = path.join(linked);
        if link.is_dir() {
            fs::remove_dir_all(&link).unwrap();
        }
        symlink(&outside, &link).unwrap();
        let hello = blob(b"hello");
        let result = put(&path, &[(hello, b"hello".to_vec())], Options::default());
        match linked {
            ".ocistow" | ".ocistow/lock" | ".ocistow/staging" => {
                let kind = result.map_err(|why| why.kind());
                assert_eq!(kind, Err(Kind::Failed), "{linked}: nothing is written through a link");
            }
            _ => result.unwrap(),
        }
        let mut left: Vec<_> =
            walkdir::WalkDir::new(&outside).min_depth(1).into_iter().map(|e| e.unwrap().into_path()).collect();
        left.sort();
        let names: Vec<_> = left.iter().map(|path| path.strip_prefix(&outside).unwrap().to_str().unwrap()).collect();
        assert_eq!(
            names,
            ["old", "old/precious", "precious", "staging", "staging/old", "staging/old/precious", "staging/precious"],
            "{linked}"
        );
    }
}

/// Whoever lost index.json did not lose the blobs yet: it does not pass for a layout whose making was interrupted, in
/// which whoever writes next starts from nothing.
#[test]
fn a_layout_that_lost_its_index_is_refused_every_time() {
    for ours in [true, false] {
        let (_dir, path) = layout();
        let hello = blob(b"hello");
        put(&path, &[(hello.clone(), b"hello".to_vec())], Options::default()).unwrap();
        fs::remove_file(path.join("index.json")).unwrap();
        if !ours {
            fs::remove_dir_all(path.join(".ocistow")).unwrap();
        }
        for _ in 0..2 {
            let refused = put(&path, &[], Options::default()).unwrap_err();
            assert_eq!(refused.kind(), Kind::Integrity, "{}", refused.chain());
            assert_eq!(fs::read(path.join(hello.digest.path())).unwrap(), b"hello");
            assert_eq!(path.join(".ocistow").exists(), ours, "nothing of ours is left where nothing was");
        }
        let layout = Directory::open(&path).unwrap();
        assert_eq!(layout.index().unwrap_err().kind(), Kind::Integrity);
    }
}

/// The note that a layout is being made goes with the next writer where the one that made it could not remove it.
#[test]
fn the_note_of_a_making_that_ended_is_cleared() {
    let (_dir, path) = layout();
    let note = path.join(".ocistow/making");
    assert!(!note.exists());
    fs::write(&note, "").unwrap();
    put(&path, &[], Options::default()).unwrap();
    assert!(!note.exists());
}

/// `blobs` is another file system, and so is each directory in `apart`.
struct Mounted {
    apart: Vec<PathBuf>,
    synced: Mutex<Vec<PathBuf>>,
}

impl Mounted {
    fn new(apart: &[PathBuf]) -> Self {
        Self { apart: apart.to_vec(), synced: Mutex::default() }
    }

    fn of(&self, path: &Path) -> Option<&PathBuf> {
        self.apart.iter().filter(|mount| path.starts_with(mount)).max_by_key(|mount| mount.as_os_str().len())
    }

    fn one(&self, from: &Path, to: &Path) -> io::Result<Disk> {
        let here = self.of(from.parent().unwrap()) == self.of(to.parent().unwrap());
        if here { Ok(Disk) } else { Err(io::ErrorKind::CrossesDevices.into()) }
    }
}

impl Medium for Mounted {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        Disk.make_dir(path)
    }
    fn create(&self, path: &Path) -> io::Result<File> {
        Disk.create(path)
    }
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        Disk.write_at(file, bytes, at)
    }
    fn share(&self, from: &File, to: &File) -> io::Result<()> {
        Disk.share(from, to)
    }
    fn dress(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        Disk.dress(file, like)
    }
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        Disk.set_mode(file, mode)
    }
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        Disk.symlink(target, path)
    }
    fn sync_file(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn sync_all(&self, file: &File) -> io::Result<()> {
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        self.synced.lock().unwrap().extend(self.of(&path).cloned());
        Ok(())
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.one(from, to)?.link(from, to)
    }
    fn link_open(&self, from: &File, to: &Path) -> io::Result<()> {
        Disk.link_open(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.one(from, to)?.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.one(from, to)?.rename_new(from, to)
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.one(one, other)?.exchange(one, other)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        Disk.unlink(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Disk.remove_dir(path)
    }
}

fn of_sha512(bytes: &[u8]) -> Blob {
    let zeros: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    Blob { digest: zeros.same_of(bytes).unwrap(), size: bytes.len() as u64 }
}

#[test]
fn blobs_on_other_disks_take_every_algorithm_and_keep_no_litter() {
    let (_dir, path) = layout();
    fs::create_dir(path.join("blobs/sha512")).unwrap();
    let root = path.canonicalize().unwrap();
    let apart = ["blobs", "blobs/sha256", "blobs/sha512"].map(|name| root.join(name));
    for apart in [&apart[..1], &apart[1..], &apart[1..2], &apart[..]] {
        let medium = Mounted::new(apart);
        for (n, bytes) in [&b"one"[..], b"two"].into_iter().enumerate() {
            let bytes = [bytes, format!("{n}{apart:?}").as_bytes()].concat();
            let all = [(blob(&bytes), bytes.clone()), (of_sha512(&bytes), bytes.clone())];
            put(&path, &all, Options { medium: &medium, ..Options::default() }).unwrap();
            for (blob, _) in &all {
                assert_eq!(fs::read(path.join(blob.digest.path())).unwrap(), bytes);
            }
        }
        let left = walkdir::WalkDir::new(path.join("blobs")).into_iter().map(|entry| entry.unwrap());
        let litter: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().contains("ocistow")).collect();
        assert!(litter.is_empty(), "{apart:?} {litter:?}");
    }
}

#[test]
fn blobs_on_another_disk_are_on_that_disk_before_they_are_published() {
    let (_dir, path) = layout();
    let blobs = path.canonicalize().unwrap().join("blobs");
    let medium = Mounted::new(std::slice::from_ref(&blobs));
    let bytes = (0..=SYNC_EACH).map(|n| format!("blob {n}").into_bytes());
    let all: Vec<_> = bytes.map(|bytes| (blob(&bytes), bytes)).collect();
    put(&path, &all, Options { medium: &medium, ..Options::default() }).unwrap();
    let layout = Directory::open(&path).unwrap();
    assert!(all.iter().all(|(blob, _)| layout.size(&blob.digest).unwrap() == Some(blob.size)));
    assert_eq!(*medium.synced.lock().unwrap(), [blobs], "more blobs than are synced one by one");
}

/// The cause is told once.
#[test]
fn a_directory_that_cannot_be_listed_is_said_in_few_words() {
    let (_dir, path) = layout();
    let layout = Directory::open(&path).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let why = layout.survey(&mut |_| {}).unwrap_err();
    assert_eq!(
        why.chain(),
        format!("could not list {}: No such file or directory (os error 2)", layout.root().display())
    );
}

/// Whoever gives up takes away what he made, but never from under somebody else.
#[test]
fn a_layout_is_made_beside_others_who_give_up_making_it() {
    let dir = tempfile::tempdir().unwrap();
    let hello = blob(b"hello");
    for n in 0..60 {
        let path = dir.path().join(n.to_string());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        drop(Transaction::begin(&path, Options::default()));
                    }
                });
            }
            put(&path, &[(hello.clone(), b"hello".to_vec())], Options::default()).unwrap();
        });
        assert_eq!(fs::read(path.join(hello.digest.path())).unwrap(), b"hello");
    }
}
