//! What users have on their disk becomes blobs, the same everywhere, and comes back as it was.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ocistow_layout::archive::Existing;
use ocistow_layout::directory::Directory;
use ocistow_layout::medium::Disk;
use ocistow_layout::output::{self, Output};
use ocistow_layout::pack::{Looked, Packed, Packing, stage_directory, stage_file, stage_files};
use ocistow_layout::title::Title;
use ocistow_layout::transaction::{Options, Transaction};
use ocistow_layout::{Blob, Digest, Kind, Result, Source, Unwatched, Watch};
use proptest::prelude::*;

/// An empty directory; in memory where there is one, since nothing here is about the disk itself.
fn room() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn title(text: &str) -> Title {
    Title::parse(text).unwrap()
}

const PLAIN: Packing<'_> = Packing { mtime: 0, threads: 2, watch: &Unwatched };

/// Packs a directory into a new layout.
fn packed(directory: &Path, layout: &Path, name: &str, packing: Packing<'_>) -> Result<Packed> {
    let mut transaction = Transaction::begin(layout, Options::default())?;
    let packed = stage_directory(&transaction, directory, &title(name), packing)?;
    transaction.publish(std::slice::from_ref(&packed.blob), &[])?;
    Ok(packed)
}

fn unpacked(layout: &Path, packed: &Packed, name: &str, into: &Path) -> Result<()> {
    let layout = Directory::open(layout)?;
    let options = output::Options { existing: Existing::Replace, medium: &Disk, watch: &Unwatched };
    let mut output = Output::begin(into, options)?;
    let content = layout.open(&packed.blob.digest)?.unwrap();
    output.directory(&title(name), &packed.blob, content, Some(&packed.tar))?;
    output.publish()
}

/// All there is to know of a tree that is carried: names, sorts, permissions, content.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    for step in walkdir::WalkDir::new(root).min_depth(1) {
        let step = step.unwrap();
        let meta = step.path().symlink_metadata().unwrap();
        let what = if meta.is_symlink() {
            format!("-> {}", fs::read_link(step.path()).unwrap().display())
        } else if meta.is_dir() {
            format!("directory {:o}", meta.mode() & 0o7777)
        } else {
            format!("file {:o} {}", meta.mode() & 0o7777, Digest::of(&fs::read(step.path()).unwrap()))
        };
        tree.insert(step.path().strip_prefix(root).unwrap().to_owned(), what);
    }
    tree
}

/// A tree of everything that can be packed.
fn draw(root: &Path) {
    fs::create_dir_all(root.join("sub/empty")).unwrap();
    fs::write(root.join("file"), "one").unwrap();
    fs::write(root.join("sub/tool"), "two").unwrap();
    fs::set_permissions(root.join("sub/tool"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(root.join("sub/none"), "").unwrap();
    symlink("sub/tool", root.join("link")).unwrap();
    symlink("../file", root.join("sub/back")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    fs::hard_link(root.join("file"), root.join("same")).unwrap();
    let long = "n".repeat(150);
    fs::create_dir(root.join(&long)).unwrap();
    fs::write(root.join(&long).join(&long), "deep").unwrap();
    symlink(format!("{long}/{long}"), root.join("far")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"no \xff text\\")), "odd").unwrap();
    // Longer than a piece that is compressed by itself, and that does not compress.
    let noise: Vec<u8> = (0u32..1_500_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(root.join("noise"), noise).unwrap();
}

#[test]
fn a_directory_comes_back_as_it_was() {
    for name in ["d", "x/y/d", "."] {
        let space = room();
        let (from, layout, to) = (space.path().join("from"), space.path().join("layout"), space.path().join("to"));
        draw(&from);
        let packed = packed(&from, &layout, name, PLAIN).unwrap();
        unpacked(&layout, &packed, name, &to).unwrap();
        assert_eq!(tree(&to.join(name)), tree(&from), "{name}");
        // A second time, over itself.
        unpacked(&layout, &packed, name, &to).unwrap();
        assert_eq!(tree(&to.join(name)), tree(&from), "{name}");
        assert!(
            !fs::read_dir(&to).unwrap().any(|entry| entry.unwrap().file_name().as_bytes().starts_with(b".ocistow"))
        );
    }
}

#[test]
fn who_packs_and_when_does_not_show() {
    let space = room();
    let (one, other) = (space.path().join("one"), space.path().join("other"));
    draw(&one);
    draw(&other);
    for step in walkdir::WalkDir::new(&other) {
        let step = step.unwrap();
        if step.file_type().is_file() {
            let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
            fs::File::options().write(true).open(step.path()).unwrap().set_modified(old).unwrap();
        }
    }
    let first = packed(&one, &space.path().join("1"), "d", Packing { threads: 1, ..PLAIN }).unwrap();
    let second = packed(&other, &space.path().join("2"), "d", Packing { threads: 7, ..PLAIN }).unwrap();
    assert_eq!(first, second);
    let later = packed(&one, &space.path().join("3"), "d", Packing { mtime: 1, ..PLAIN }).unwrap();
    assert_ne!(first.tar, later.tar, "a moment that was given shows");
}

/// The digests of what was packed: other bytes would be another artifact to everybody who has it already. Compressed
/// bytes are those of one version.
#[test]
fn the_tar_of_a_directory_never_changes() {
    let space = room();
    let from = space.path().join("from");
    fs::create_dir_all(from.join("sub")).unwrap();
    fs::write(from.join("sub/file"), "one").unwrap();
    symlink("sub/file", from.join("link")).unwrap();
    for (path, mode) in [("", 0o755), ("sub", 0o755), ("sub/file", 0o644)] {
        fs::set_permissions(from.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let packed = packed(&from, &space.path().join("layout"), "d", PLAIN).unwrap();
    assert_eq!(packed.tar.to_string(), TAR);
}

const TAR: &str = "sha256:ed95d82f26fd9bdd6a083ffe2e28933cef0dd82a1e6c36831f674eebfa4f1f6b";

#[test]
fn the_usual_tools_read_a_packed_directory() {
    let space = room();
    let (from, layout) = (space.path().join("from"), space.path().join("layout"));
    draw(&from);
    let packed = packed(&from, &layout, "d", PLAIN).unwrap();
    let blob = fs::File::open(layout.join(packed.blob.digest.path())).unwrap();
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(blob).read_to_end(&mut tar).unwrap();
    assert_eq!(Digest::of(&tar), packed.tar);
    let mut names = Vec::new();
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        names.push(entry.path_bytes().into_owned());
        assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
        if names.last().unwrap() == b"d/noise" {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(content, fs::read(from.join("noise")).unwrap());
        }
    }
    let mut expected: Vec<Vec<u8>> = vec![b"d".to_vec()];
    for step in walkdir::WalkDir::new(&from).min_depth(1).sort_by_file_name() {
        let step = step.unwrap();
        expected.push([b"d/", step.path().strip_prefix(&from).unwrap().as_os_str().as_bytes()].concat());
    }
    assert_eq!(names, expected);
}

#[test]
fn what_is_no_file_directory_or_link_inside_is_not_packed() {
    type Oddity = fn(&Path);
    let table: &[(&str, Oddity)] = &[
        ("may lead out", |root| symlink("/etc/passwd", root.join("x")).unwrap()),
        ("may lead out", |root| symlink("../from2", root.join("x")).unwrap()),
        ("may lead out", |root| symlink("sub/../../x", root.join("x")).unwrap()),
        ("may lead out", |root| symlink("../..", root.join("sub/x")).unwrap()),
        ("neither a file", |root| {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                root.join("x"),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o644),
                0,
            )
            .unwrap();
        }),
        ("neither a file", |root| drop(std::os::unix::net::UnixListener::bind(root.join("x")).unwrap())),
    ];
    for (expected, odd) in table {
        let space = room();
        let (from, layout) = (space.path().join("from"), space.path().join("layout"));
        fs::create_dir_all(from.join("sub")).unwrap();
        odd(&from);
        let why = packed(&from, &layout, "d", PLAIN).unwrap_err();
        assert_eq!(why.kind(), Kind::Failed);
        assert!(why.chain().contains(expected), "{}", why.chain());
        assert!(!layout.exists(), "nothing is made");
    }
}

/// Somebody who does something to the files once some of them was read.
struct Meddler<F> {
    act: F,
    done: AtomicBool,
}

impl<F: Fn() + Sync> Watch for Meddler<F> {
    fn bytes(&self, _: u64) {
        if !self.done.swap(true, Ordering::SeqCst) {
            (self.act)();
        }
    }
}

#[test]
fn a_change_while_reading_is_noticed() {
    type Change = fn(&Path);
    let append: Change = |root| drop(fs::File::options().append(true).open(root.join("a")).unwrap().write(b"x"));
    let rewrite: Change = |root| fs::write(root.join("a"), vec![7; 1 << 20]).unwrap();
    let cut: Change = |root| fs::File::options().write(true).open(root.join("a")).unwrap().set_len(10).unwrap();
    let replace: Change = |root| fs::rename(root.join("sub/b"), root.join("a")).unwrap();
    let add: Change = |root| fs::write(root.join("zzz"), "new").unwrap();
    let remove: Change = |root| fs::remove_file(root.join("z")).unwrap();
    let deep: Change = |root| fs::write(root.join("sub/c"), "new").unwrap();
    for (at, change) in [append, rewrite, cut, replace, add, remove, deep].into_iter().enumerate() {
        let space = room();
        let (from, layout) = (space.path().join("from"), space.path().join("layout"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("a"), vec![1; 1 << 20]).unwrap();
        fs::write(from.join("sub/b"), "b").unwrap();
        fs::write(from.join("z"), "z").unwrap();
        // Times of files are no finer than the clock of the kernel.
        std::thread::sleep(Duration::from_millis(20));
        let meddler = Meddler { act: || change(&from), done: AtomicBool::new(false) };
        // A new name in a directory that was not entered yet is no change.
        let seen = packed(&from, &layout, "d", Packing { watch: &meddler, ..PLAIN });
        match at {
            6 => assert!(seen.is_ok()),
            _ => {
                let why = seen.unwrap_err();
                assert_eq!(why.kind(), Kind::Failed, "{at}");
                assert!(why.chain().contains("changed while it was read"), "{at}: {}", why.chain());
                assert!(!layout.exists(), "nothing is made");
            }
        }
        if at < 3 {
            fs::write(from.join("a"), vec![1; 1 << 20]).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            let meddler = Meddler { act: || change(&from), done: AtomicBool::new(false) };
            let transaction = Transaction::begin(&layout, Options::default()).unwrap();
            let why = stage_file(&transaction, &from.join("a"), &meddler).unwrap_err();
            assert!(why.chain().contains("changed while it was read"), "{at}: {}", why.chain());
        }
    }
}

#[test]
fn files_are_staged_whole_in_order_and_once() {
    let space = room();
    let mut paths = Vec::new();
    for n in 0..100usize {
        let path = space.path().join(format!("f{n}"));
        // Some are longer than a buffer; every third has what the one before has.
        fs::write(&path, vec![(n - usize::from(n % 3 == 2)) as u8; (n % 4) * 100_000 + n / 3 + 1]).unwrap();
        paths.push(path);
    }
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let files: Vec<Looked<'_>> = paths.iter().map(|path| Looked::from(*path)).collect();
    let layout = space.path().join("layout");
    let mut transaction = Transaction::begin(&layout, Options::default()).unwrap();
    let blobs = stage_files(&transaction, &files, 4, &Unwatched, |_, blob| blob).unwrap();
    for (path, blob) in paths.iter().zip(&blobs) {
        let content = fs::read(path).unwrap();
        assert_eq!(*blob, Blob { digest: Digest::of(&content), size: content.len() as u64 });
    }
    let mut order = blobs.clone();
    order.sort();
    order.dedup();
    transaction.publish(&order, &[]).unwrap();
    drop(transaction);
    let layout = Directory::open(&layout).unwrap();
    for blob in &order {
        let content = layout.open(&blob.digest).unwrap().unwrap();
        ocistow_layout::checked::verify(blob, content, &Unwatched).unwrap();
    }

    let mut transaction = Transaction::begin(Path::new(layout.location()), Options::default()).unwrap();
    let places = stage_files(&transaction, &files, 4, &Unwatched, |at, _| at).unwrap();
    assert!(places.into_iter().eq(0..paths.len()), "each is told its own place");
    let done = transaction.publish(&order, &[]).unwrap();
    assert_eq!((done.new.blobs, done.present.blobs), (0, order.len() as u64), "what is there already is only counted");

    let absent = space.path().join("absent");
    let absent = Looked::from(&*absent);
    let why = stage_files(&transaction, &[files[0], absent, files[1]], 4, &Unwatched, |_, blob| blob).unwrap_err();
    assert_eq!(why.kind(), Kind::NotFound);
    // One that waits for a second is staged where none comes, or that one is no file.
    for files in [&[files[0]][..], &[files[0], files[4], files[8]], &[files[0], files[3], files[4]]] {
        let digests = files.iter().map(|file| Digest::of(&fs::read(file.path).unwrap()));
        let staged = stage_files(&transaction, files, 1, &Unwatched, |_, blob| blob.digest).unwrap();
        assert!(staged.into_iter().eq(digests), "{files:?}");
    }
    let why = stage_files(&transaction, &[files[0], absent], 1, &Unwatched, |_, blob| blob).unwrap_err();
    assert_eq!(why.kind(), Kind::NotFound);
}

#[test]
fn what_changed_since_it_was_looked_at_is_staged_as_it_is() {
    let space = room();
    let path = space.path().join("file");
    fs::write(&path, "before").unwrap();
    let meta = fs::metadata(&path).unwrap();
    let transaction = Transaction::begin(&space.path().join("layout"), Options::default()).unwrap();
    let stage =
        || stage_files(&transaction, &[Looked { path: &path, meta: Some(&meta) }], 1, &Unwatched, |_, blob| blob);
    assert_eq!(stage().unwrap()[0].digest, Digest::of(b"before"));
    let long = vec![7; 1 << 20];
    for content in [&b"behind"[..], b"", b"longer than before", &long] {
        fs::write(&path, content).unwrap();
        assert_eq!(stage().unwrap()[0].digest, Digest::of(content), "{} bytes", content.len());
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(stage().unwrap_err().kind(), Kind::NotFound);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_eq!(stage().unwrap_err().kind(), Kind::Failed);
}

/// A step in drawing a tree: what, below which of the directories so far, called what, of which length and mode.
type Step = (u8, usize, String, usize, usize);

fn grow(root: &Path, steps: &[Step]) {
    fs::create_dir(root).unwrap();
    let allowed = root.metadata().unwrap().mode() & 0o777;
    let mut directories = vec![root.to_owned()];
    for (what, below, name, length, mode) in steps {
        let path = directories[below % directories.len()].join(name);
        if path.symlink_metadata().is_ok() {
            continue;
        }
        let depth = path.strip_prefix(root).unwrap().components().count();
        match what % 4 {
            0 => {
                fs::create_dir(&path).unwrap();
                directories.push(path.clone());
            }
            1 => symlink(format!("{}{name}", "../".repeat(length % depth)), &path).unwrap(),
            _ => {
                fs::write(&path, vec![*length as u8; length * 37]).unwrap();
                let mode = [0o644, 0o600, 0o755, 0o400, 0o777, 0o751][mode % 6];
                fs::set_permissions(&path, fs::Permissions::from_mode(mode & allowed)).unwrap();
            }
        }
    }
    for (at, directory) in directories.iter().enumerate().skip(1) {
        let mode = [0o755, 0o700, 0o555, 0o711][at % 4];
        fs::set_permissions(directory, fs::Permissions::from_mode(mode & allowed)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back_as_it_was(
        steps in proptest::collection::vec((0u8..4, 0usize..20, "[a-z .\u{e9}\\\\]{1,3}|[x]{90,240}", 0usize..5000, 0usize..6), 0..40),
        name in "[a-c]{1,2}(/[a-c]{1,2}){0,2}|\\.",
    ) {
        let steps: Vec<Step> = steps.into_iter().filter(|step| !matches!(&*step.2, "." | "..")).collect();
        let space = room();
        let (from, layout, to) = (space.path().join("from"), space.path().join("layout"), space.path().join("to"));
        grow(&from, &steps);
        let before = tree(&from);
        let packed = packed(&from, &layout, &name, PLAIN).unwrap();
        unpacked(&layout, &packed, &name, &to).unwrap();
        prop_assert_eq!(tree(&to.join(&name)), before);
        // So that they can be removed by everybody.
        for root in [from, to] {
            for step in walkdir::WalkDir::new(root).into_iter().filter_map(|step| step.ok()) {
                if step.file_type().is_dir() {
                    fs::set_permissions(step.path(), fs::Permissions::from_mode(0o755)).unwrap();
                }
            }
        }
    }
}
