//! Layouts in directories, those of enemies and of careless tools included.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ocistow_layout::directory::Directory;
use ocistow_layout::edit::Edit;
use ocistow_layout::medium::{Disk, Medium};
use ocistow_layout::transaction::{Adopt, Options, Transaction, init};
use ocistow_layout::{Blob, Content, Count, Descriptor, Digest, Found, Kind, Marker, Result, Source};
use ocistow_testkit::medium::Told;
use ocistow_testkit::{Drawing, draw, to_dir};
use tempfile::TempDir;

fn drawn(text: &str) -> (TempDir, PathBuf, Drawing) {
    let dir = tempfile::tempdir().unwrap();
    let world = draw(text);
    let path = dir.path().join("app");
    to_dir(&world.memory, &path).unwrap();
    (dir, path, world)
}

fn name(reference: &str, digest: &Digest) -> Edit {
    Edit::Name { entry: Box::new(Descriptor::new("text/plain", digest.clone(), 5)), reference: reference.into() }
}

fn hello() -> Blob {
    Blob { digest: Digest::of(b"hello"), size: 5 }
}

/// Puts "hello" into the layout under the name `hello`.
fn greet(path: &Path, options: Options<'_>) -> Result<()> {
    let mut transaction = Transaction::begin(path, options)?;
    transaction.put(&hello(), Content::Bytes(b"hello"))?;
    transaction.publish(&[hello()], &[name("hello", &hello().digest)]).map(drop)
}

const EMPTY: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

fn refused<T>(result: Result<T>) -> Kind {
    match result {
        Ok(_) => panic!("it should be refused"),
        Err(why) => why.kind(),
    }
}

/// LAYOUT-1, LAYOUT-2, LAYOUT-4: exactly these, and what is ours.
#[test]
fn init_makes_an_empty_layout_and_leaves_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app");
    init(&path, Options::default()).unwrap();
    let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".ocistow", "blobs", "index.json", "oci-layout"]);
    assert_eq!(fs::read(path.join("oci-layout")).unwrap(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = Digest::of(&fs::read(path.join("index.json")).unwrap());
    assert!(index.encoded().starts_with("dff9de109191"), "{index}");
    greet(&path, Options::default()).unwrap();
    let before = fs::read(path.join("index.json")).unwrap();
    init(&path, Options::default()).unwrap();
    assert_eq!(fs::read(path.join("index.json")).unwrap(), before);
    assert_eq!(fs::read_dir(path.join(".ocistow/staging")).unwrap().count(), 0);
}

#[test]
fn a_target_is_made_only_where_its_parent_is() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(refused(init(&dir.path().join("a/b"), Options::default())), Kind::NotFound);
    fs::write(dir.path().join("file"), "x").unwrap();
    assert_eq!(refused(init(&dir.path().join("file"), Options::default())), Kind::Usage);
    fs::create_dir(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/x"), "x").unwrap();
    assert_eq!(refused(init(&dir.path().join("full"), Options::default())), Kind::Usage);
    std::os::unix::fs::symlink("full", dir.path().join("link")).unwrap();
    assert_eq!(refused(init(&dir.path().join("link"), Options::default())), Kind::Usage);
    fs::create_dir(dir.path().join("empty")).unwrap();
    init(&dir.path().join("empty"), Options::default()).unwrap();
}

/// Writers put probes and stagings beside the directories of blobs for a while, and others leave links.
#[test]
fn what_holds_no_blobs_does_not_end_the_list_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app");
    greet(&path, Options::default()).unwrap();
    let names = || {
        let mut names = Vec::new();
        Directory::open(&path).unwrap().names(&mut |digest| names.push(digest)).unwrap();
        names.len()
    };
    let all = names();
    assert!(all > 0);
    // In which order they are listed is the file system's to say.
    for n in 0..40 {
        let at = path.join(format!("blobs/{n}"));
        match n % 4 {
            0 => std::os::unix::fs::symlink("nowhere", at).unwrap(),
            1 => std::os::unix::fs::symlink(format!("{n}"), at).unwrap(),
            2 => std::os::unix::fs::symlink("../oci-layout", at).unwrap(),
            _ => fs::write(at, "").unwrap(),
        }
    }
    assert_eq!(names(), all);
    fs::remove_dir_all(path.join("blobs")).unwrap();
    assert_eq!(names(), 0);
}

#[test]
fn a_failed_writing_leaves_no_directory_behind() {
    let dir = tempfile::tempdir().unwrap();
    for (n, made) in [(0, false), (1, true)] {
        let path = dir.path().join(format!("app{n}"));
        if made {
            fs::create_dir(&path).unwrap();
        }
        let transaction = Transaction::begin(&path, Options::default()).unwrap();
        assert_eq!(refused(transaction.put(&hello(), Content::Bytes(b"jello"))), Kind::Integrity);
        drop(transaction);
        assert_eq!(path.exists(), made);
        if made {
            assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        }
    }
}

/// DESCRIPTOR-4, DESCRIPTOR-5, LAYOUT-6.
#[test]
fn wrong_content_is_never_staged() {
    let (_dir, path, _) = drawn("image app:1 = base");
    let before = fs::read(path.join("index.json")).unwrap();
    let transaction = Transaction::begin(&path, Options::default()).unwrap();
    for wrong in [&b"hell"[..], b"hello!", b"jello"] {
        assert_eq!(refused(transaction.put(&hello(), Content::Bytes(wrong))), Kind::Integrity);
        let stream = Content::Stream(Box::new(wrong), 5);
        assert_eq!(refused(transaction.put(&hello(), stream)), Kind::Integrity);
    }
    // Another try with the right content is fine.
    transaction.put(&hello(), Content::Bytes(b"hello")).unwrap();
    assert_eq!(refused(transaction.put(&hello(), Content::Bytes(b"jello"))), Kind::Integrity);
    drop(transaction);
    assert_eq!(fs::read(path.join("index.json")).unwrap(), before);
    assert!(!path.join(hello().digest.path()).exists());
    let mut transaction = Transaction::begin(&path, Options::default()).unwrap();
    assert_eq!(refused(transaction.publish(&[hello()], &[])), Kind::Failed);
}

#[test]
fn a_blob_that_is_there_and_wrong_is_replaced() {
    let (_dir, path, world) = drawn("image app:1 = base");
    let base = Blob { digest: world.digest("base"), size: world.memory.blobs[&world.digest("base")].len() as u64 };
    let right = world.memory.blobs[&base.digest].clone();
    let file = path.join(base.digest.path());
    for wrong in ["short".into(), vec![7; right.len()]] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, wrong).unwrap();
        let mut transaction = Transaction::begin(&path, Options::default()).unwrap();
        transaction.put(&base, Content::Bytes(&right)).unwrap();
        let done = transaction.publish(std::slice::from_ref(&base), &[]).unwrap();
        assert_eq!((done.new.blobs, done.present.blobs, done.repaired.blobs), (0, 0, 1));
        assert_eq!(fs::read(&file).unwrap(), right);
    }
    // So is a link that leaves, and what it leads to stays as it was.
    let outside = path.parent().unwrap().join("outside");
    fs::write(&outside, "secret").unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&outside, &file).unwrap();
    let mut transaction = Transaction::begin(&path, Options::default()).unwrap();
    transaction.put(&base, Content::Bytes(&right)).unwrap();
    transaction.publish(std::slice::from_ref(&base), &[]).unwrap();
    assert_eq!(fs::read(&file).unwrap(), right);
    assert_eq!(fs::read(&outside).unwrap(), b"secret");
    // What comes in is verified also where the layout has it.
    let mut transaction = Transaction::begin(&path, Options::default()).unwrap();
    assert_eq!(refused(transaction.put(&base, Content::Bytes(&vec![7; right.len()]))), Kind::Integrity);
    transaction.put(&base, Content::Bytes(&right)).unwrap();
    assert_eq!(transaction.publish(std::slice::from_ref(&base), &[]).unwrap().present.blobs, 1);
}

/// LAYOUT-19: links that stay inside are read, others are refused; what is no file never makes us wait.
#[test]
fn blobs_that_are_no_files_of_the_layout_are_refused() {
    let (_dir, path, world) = drawn("image app:1 = base");
    let digest = world.digest("base");
    let file = path.join(digest.path());
    let right = world.memory.blobs[&digest].clone();
    let read = || {
        let layout = Directory::open(&path).unwrap();
        ocistow_layout::checked::read(&layout, &digest, 1 << 20)
    };
    let outside = path.parent().unwrap().join("outside");
    fs::write(&outside, &right).unwrap();
    fs::rename(&file, path.join("inside")).unwrap();
    symlink("../../inside", &file).unwrap();
    assert_eq!(read().unwrap().unwrap(), right);
    let replace = |make: &dyn Fn() -> io::Result<()>| {
        fs::remove_file(&file).or_else(|_| fs::remove_dir(&file)).unwrap();
        make().unwrap();
    };
    let started = Instant::now();
    replace(&|| symlink(&outside, &file));
    assert_eq!(refused(read()), Kind::Integrity);
    replace(&|| symlink("../../../outside", &file));
    assert_eq!(refused(read()), Kind::Integrity);
    replace(&|| symlink(digest.encoded(), &file));
    assert_eq!(refused(read()), Kind::Integrity);
    replace(&|| symlink("nowhere", &file));
    assert_eq!(refused(read()), Kind::Integrity);
    replace(&|| fs::create_dir(&file));
    assert_eq!(refused(read()), Kind::Integrity);
    replace(&|| Ok(rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, 0o666.into(), 0)?));
    assert_eq!(refused(read()), Kind::Integrity);
    assert_eq!(refused(Directory::open(&path).unwrap().size(&digest)), Kind::Integrity);
    assert!(started.elapsed() < Duration::from_secs(5));
    let mut found = Vec::new();
    Directory::open(&path).unwrap().survey(&mut |one| found.push(one)).unwrap();
    assert!(found.contains(&Found::Unfit(digest.path(), "it is a FIFO".into())), "{found:?}");
    assert!(found.contains(&Found::Stray("inside".into())));
}

#[test]
fn nothing_is_written_through_links() {
    for linked in ["blobs", "blobs/sha256", "index.json"] {
        let (dir, path, _) = drawn("image app:1 = base");
        let moved = dir.path().join("elsewhere");
        fs::rename(path.join(linked), &moved).unwrap();
        let moved_inside = path.join("moved");
        fs::rename(&moved, &moved_inside).unwrap();
        let up = if linked.contains('/') { "../moved" } else { "moved" };
        symlink(up, path.join(linked)).unwrap();
        let layout = Directory::open(&path).unwrap();
        let entry = layout.index().unwrap().descriptors().unwrap()[0].digest.clone();
        assert!(layout.size(&entry).unwrap().is_some(), "{linked} is read through a link");
        assert_eq!(refused(greet(&path, Options::default())), Kind::Failed, "{linked}");
        assert!(!path.join(hello().digest.path()).exists());
    }
}

/// 4.5.
#[test]
fn a_layout_without_its_marker_is_read_and_never_written_to() {
    let (_dir, path, _) = drawn("image app:1 = base");
    fs::remove_file(path.join("oci-layout")).unwrap();
    let layout = Directory::open(&path).unwrap();
    assert_eq!(layout.marker(), Marker::Absent);
    assert_eq!(refused(greet(&path, Options::default())), Kind::Integrity);
    for wrong in ["", "[]", "{}", "{\"imageLayoutVersion\":1}", "{\"imageLayoutVersion\":\"1.1.0\"}", "\"1.0.0\""] {
        fs::write(path.join("oci-layout"), wrong).unwrap();
        assert!(matches!(Directory::open(&path).unwrap().marker(), Marker::Wrong(_)), "{wrong}");
        assert_eq!(refused(greet(&path, Options::default())), Kind::Integrity, "{wrong}");
    }
    fs::write(path.join("oci-layout"), "{\"imageLayoutVersion\": \"1.0.0\", \"x\":1}\n").unwrap();
    greet(&path, Options::default()).unwrap();
    fs::remove_file(path.join("oci-layout")).unwrap();
    fs::remove_file(path.join("index.json")).unwrap();
    fs::remove_dir_all(path.join(".ocistow")).unwrap();
    assert_eq!(refused(Directory::open(&path)), Kind::NotFound);
}

/// 4.9: what does not parse is never written over.
#[test]
fn an_index_that_does_not_parse_is_never_written_over() {
    let (_dir, path, _) = drawn("image app:1 = base");
    fs::write(path.join("index.json"), "{\"manifests\":[").unwrap();
    assert_eq!(refused(greet(&path, Options::default())), Kind::Integrity);
    assert_eq!(fs::read(path.join("index.json")).unwrap(), b"{\"manifests\":[");
}

#[test]
fn an_index_that_is_being_written_is_read_again() {
    let (_dir, path, _) = drawn("image app:1 = base");
    let whole = fs::read(path.join("index.json")).unwrap();
    // Somebody writes it in place, a few bytes at a time: each change earns another look. On a busy machine the
    // writer may be late for all looks of one reader, so there are several.
    let read_while_written = || {
        fs::write(path.join("index.json"), &whole[..10]).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for upto in [20, 30, whole.len()] {
                    std::thread::sleep(Duration::from_millis(30));
                    fs::write(path.join("index.json"), &whole[..upto]).unwrap();
                }
            });
            Directory::open(&path).unwrap().index().map(|index| index.entries().len())
        })
    };
    assert!((0..10).any(|_| read_while_written().is_ok_and(|entries| entries == 1)));
}

#[test]
fn the_index_keeps_its_mode() {
    let (_dir, path, _) = drawn("image app:1 = base");
    fs::set_permissions(path.join("index.json"), fs::Permissions::from_mode(0o640)).unwrap();
    greet(&path, Options::default()).unwrap();
    assert_eq!(fs::metadata(path.join("index.json")).unwrap().mode() & 0o777, 0o640);
}

/// A disk on which somebody who knows no locks does something right before index.json is swapped.
struct Foreign<F: Fn(usize) + Send + Sync> {
    act: F,
    swaps: AtomicUsize,
    exchange: bool,
}

impl<F: Fn(usize) + Send + Sync> Foreign<F> {
    fn new(exchange: bool, act: F) -> Self {
        Self { act, swaps: AtomicUsize::new(0), exchange }
    }

    fn swap(&self, to: &Path) {
        if to.ends_with("index.json") {
            (self.act)(self.swaps.fetch_add(1, Ordering::SeqCst));
        }
    }
}

impl<F: Fn(usize) + Send + Sync> Medium for Foreign<F> {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        Disk.make_dir(path)
    }
    fn create(&self, path: &Path) -> io::Result<fs::File> {
        Disk.create(path)
    }
    fn write_at(&self, file: &fs::File, bytes: &[u8], at: u64) -> io::Result<()> {
        Disk.write_at(file, bytes, at)
    }
    fn share(&self, from: &fs::File, to: &fs::File) -> io::Result<()> {
        Disk.share(from, to)
    }
    fn dress(&self, file: &fs::File, like: &fs::Metadata) -> io::Result<()> {
        Disk.dress(file, like)
    }
    fn set_mode(&self, file: &fs::File, mode: u32) -> io::Result<()> {
        Disk.set_mode(file, mode)
    }
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        Disk.symlink(target, path)
    }
    fn sync_file(&self, file: &fs::File) -> io::Result<()> {
        Disk.sync_file(file)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Disk.sync_dir(path)
    }
    fn sync_all(&self, file: &fs::File) -> io::Result<()> {
        Disk.sync_all(file)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.link(from, to)
    }
    fn link_open(&self, from: &fs::File, to: &Path) -> io::Result<()> {
        Disk.link_open(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.exchange && from.parent() != to.parent() {
            self.swap(to);
        }
        Disk.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename_new(from, to)
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        if !self.exchange {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.swap(other);
        Disk.exchange(one, other)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        Disk.unlink(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Disk.remove_dir(path)
    }
}

fn tags(path: &Path) -> Vec<String> {
    let index = Directory::open(path).unwrap().index().unwrap();
    index.entries().iter().filter_map(|entry| entry.pair.reference.clone()).collect()
}

/// Invariant 8 and the design's swap-and-look.
#[test]
fn what_others_write_in_between_is_not_lost() {
    // Without an exchange the look is at the file that was opened just before: a change by rename in
    // that moment cannot be seen, one in place can.
    for exchange in [true, false] {
        let (_dir, path, _) = drawn("image app:1 = base");
        let index = path.join("index.json");
        let medium = Foreign::new(exchange, |turn| {
            if turn < 3 {
                let text = fs::read_to_string(&index).unwrap();
                let entry = format!(
                    "\"manifests\":[{{\"mediaType\":\"a/b\",\"digest\":\"{}\",\"size\":5,\"annotations\":{{\"org.opencontainers.image.ref.name\":\"theirs{turn}\"}}}},",
                    hello().digest
                );
                fs::write(&index, text.replace("\"manifests\":[", &entry)).unwrap();
            }
        });
        greet(&path, Options { medium: &medium, ..Options::default() }).unwrap();
        let mut all = tags(&path);
        all.sort();
        assert_eq!(all, ["1", "hello", "theirs0", "theirs1", "theirs2"], "exchange: {exchange}");
        assert_eq!(fs::read_dir(path.join(".ocistow/staging")).unwrap().count(), 0);
    }
}

/// Who reads index.json while ours is made again, and writes it later, would take away what he does not see.
#[test]
fn what_others_wrote_in_between_is_in_sight_while_ours_is_made_again() {
    for exchange in [true, false] {
        let (_dir, path, _) = drawn("image app:1 = base");
        let index = path.join("index.json");
        let theirs = fs::read_to_string(&index).unwrap().replace("\"1\"", "\"theirs\"");
        let (wrote, looked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let medium = Told(|call: &str, paths: &[&Path]| {
            let swap = paths.last().is_some_and(|to| to.ends_with("index.json"));
            if call == "exchange" && !exchange {
                return Err(io::ErrorKind::Unsupported.into());
            }
            if swap && ["exchange", "rename"].contains(&call) && wrote.fetch_add(1, Ordering::SeqCst) == 0 {
                fs::write(&index, &theirs)?;
            }
            if call == "create" && wrote.load(Ordering::SeqCst) > 0 {
                looked.fetch_add(1, Ordering::SeqCst);
                assert_eq!(fs::read_to_string(&index)?, theirs, "exchange: {exchange}");
            }
            Ok(())
        });
        greet(&path, Options { medium: &medium, ..Options::default() }).unwrap();
        assert!(looked.into_inner() > 0);
        assert_eq!(tags(&path), ["theirs", "hello"], "exchange: {exchange}");
    }
}

#[test]
fn an_oci_layout_file_that_is_being_written_is_read_again() {
    let (_dir, path, _) = drawn("image app:1 = base");
    let marker = fs::read(path.join("oci-layout")).unwrap();
    let read_while_written = || {
        fs::write(path.join("oci-layout"), "").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                fs::write(path.join("oci-layout"), &marker).unwrap();
            });
            Directory::open(&path).unwrap().marker()
        })
    };
    // On a busy machine the writer may be late.
    assert!((0..10).any(|_| read_while_written() == Marker::Right));
}

#[test]
fn a_change_that_no_longer_fits_puts_theirs_back() {
    let (_dir, path, world) = drawn("image app:1 = base");
    let index = path.join("index.json");
    let theirs = "{\"schemaVersion\":2,\"manifests\":[]}";
    let medium = Foreign::new(true, |_| fs::write(&index, theirs).unwrap());
    let mut transaction = Transaction::begin(&path, Options { medium: &medium, ..Options::default() }).unwrap();
    let app = world.digest("app");
    let pair = ocistow_layout::name::Pair { image: None, reference: Some("1".into()) };
    let entry = Box::new(Descriptor::new("text/plain", hello().digest, 5));
    let edit = Edit::Set { entry, pair, expect: Some(Some(app)) };
    assert_eq!(refused(transaction.publish(&[], &[edit])), Kind::Conflict);
    assert_eq!(fs::read_to_string(&index).unwrap(), theirs);
}

/// regctl deletes at its every write what it does not see in index.json.
#[test]
fn blobs_swept_before_the_swap_are_put_back() {
    let (_dir, path, _) = drawn("image app:1 = base");
    let blob = path.join(hello().digest.path());
    let medium = Foreign::new(true, |_| fs::remove_file(&blob).unwrap());
    greet(&path, Options { medium: &medium, ..Options::default() }).unwrap();
    assert_eq!(fs::read(&blob).unwrap(), b"hello");
}

#[test]
fn many_writers_lose_no_tag() {
    let (_dir, path, _) = drawn("image app:1 = base");
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for n in 0..12 {
            let (path, failed) = (&path, &failed);
            scope.spawn(move || {
                let bytes = format!("content {n}");
                let blob = Blob { digest: Digest::of(bytes.as_bytes()), size: bytes.len() as u64 };
                let wrote = Transaction::begin(path, Options::default()).and_then(|mut transaction| {
                    transaction.put(&blob, Content::Bytes(bytes.as_bytes()))?;
                    transaction.publish(std::slice::from_ref(&blob), &[name(&format!("t{n}"), &blob.digest)])
                });
                failed.lock().unwrap().extend(wrote.err().map(|why| why.chain()));
            });
        }
    });
    assert_eq!(*failed.lock().unwrap(), Vec::<String>::new());
    assert_eq!(tags(&path).len(), 13);
}

#[test]
fn who_keeps_index_json_is_overtaken_by_nobody() {
    let (_dir, path, world) = drawn("image app:1 = base");
    let app = world.digest("app");
    let options = || Options { patience: Some(Duration::ZERO), ..Options::default() };
    let [mut first, mut second] = [(); 2].map(|()| Transaction::begin(&path, options()).unwrap());
    first.keep_index().unwrap();
    assert_eq!(refused(second.publish(&[], &[name("second", &app)])), Kind::Failed);
    // Also after a try that was in vain.
    let pair = ocistow_layout::name::Pair { image: None, reference: Some("1".into()) };
    let entry = Box::new(Descriptor::new("text/plain", app.clone(), 5));
    let edit = Edit::Set { entry, pair, expect: Some(None) };
    assert_eq!(refused(first.publish(&[], &[edit])), Kind::Conflict);
    assert_eq!(refused(second.publish(&[], &[name("second", &app)])), Kind::Failed);
    first.publish(&[], &[name("first", &app)]).unwrap();
    second.publish(&[], &[name("second", &app)]).unwrap();
    assert_eq!(tags(&path), ["1", "first", "second"]);
}

#[test]
fn many_writers_may_make_the_layout_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let bytes = format!("content {n}");
                let blob = Blob { digest: Digest::of(bytes.as_bytes()), size: bytes.len() as u64 };
                let mut transaction = Transaction::begin(path, Options::default()).unwrap();
                transaction.put(&blob, Content::Bytes(bytes.as_bytes())).unwrap();
                transaction.publish(std::slice::from_ref(&blob), &[name(&format!("t{n}"), &blob.digest)]).unwrap();
            });
        }
    });
    assert_eq!(tags(&path).len(), 8);
}

#[test]
fn a_writer_waits_no_longer_than_it_was_told() {
    let (_dir, path, _) = drawn("image app:1 = base");
    greet(&path, Options::default()).unwrap();
    let gate = fs::OpenOptions::new().read(true).write(true).open(path.join(".ocistow/lock/gate")).unwrap();
    gate.lock().unwrap();
    let started = Instant::now();
    let options = Options { patience: Some(Duration::from_millis(100)), ..Options::default() };
    assert_eq!(refused(Transaction::begin(&path, options).map(drop)), Kind::Failed);
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[test]
fn content_of_another_directory_is_copied_or_linked_and_verified() {
    let (dir, from, world) = drawn("image app:1 = base");
    let digest = world.digest("base");
    let blob = Blob { digest: digest.clone(), size: world.memory.blobs[&digest].len() as u64 };
    for (n, adopt) in [Adopt::Copy, Adopt::Link].into_iter().enumerate() {
        let to = dir.path().join(format!("to{n}"));
        let source = Directory::open(&from).unwrap();
        let mut transaction = Transaction::begin(&to, Options { adopt, ..Options::default() }).unwrap();
        transaction.put(&blob, source.open(&digest).unwrap().unwrap()).unwrap();
        transaction.publish(std::slice::from_ref(&blob), &[name("v1", &digest)]).unwrap();
        drop(transaction);
        assert_eq!(fs::read(to.join(digest.path())).unwrap(), world.memory.blobs[&digest]);
        let links = fs::metadata(to.join(digest.path())).unwrap().nlink();
        assert_eq!(links > 1, adopt == Adopt::Link);
    }
    fs::write(from.join(digest.path()), vec![1; usize::try_from(blob.size).unwrap()]).unwrap();
    for adopt in [Adopt::Copy, Adopt::Link] {
        let source = Directory::open(&from).unwrap();
        let to = dir.path().join("bad");
        let transaction = Transaction::begin(&to, Options { adopt, ..Options::default() }).unwrap();
        assert_eq!(refused(transaction.put(&blob, source.open(&digest).unwrap().unwrap())), Kind::Integrity);
        drop(transaction);
        assert!(!to.exists());
    }
}

#[test]
fn more_files_than_are_synced_one_by_one_are_published_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app");
    let mut transaction = Transaction::begin(&path, Options::default()).unwrap();
    let mut blobs = Vec::new();
    for n in 0..200 {
        let bytes = format!("content {n}");
        let blob = Blob { digest: Digest::of(bytes.as_bytes()), size: bytes.len() as u64 };
        transaction.put(&blob, Content::Bytes(bytes.as_bytes())).unwrap();
        blobs.push(blob);
    }
    assert_eq!(transaction.publish(&blobs, &[]).unwrap().new.blobs, 200);
    let mut count = 0;
    Directory::open(&path).unwrap().names(&mut |_| count += 1).unwrap();
    assert_eq!(count, 200);
}

/// A directory of blobs is moved to where none is; what was staged besides is not published with it.
#[test]
fn blobs_of_a_new_layout_are_given_their_names_all_at_once() {
    for (besides, links) in [(None, 0), (Some(b"besides"), 20)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app");
        let linked = AtomicUsize::new(0);
        let medium = Told(|call: &str, _: &[&Path]| {
            linked.fetch_add(usize::from(call == "link"), Ordering::SeqCst);
            Ok(())
        });
        let mut transaction = Transaction::begin(&path, Options { medium: &medium, ..Options::default() }).unwrap();
        let blobs: Vec<Blob> = (0..20_u8).map(|n| transaction.put_bytes(&[n]).unwrap()).collect();
        let besides = besides.map(|bytes| transaction.put_bytes(bytes).unwrap());
        transaction.publish(&blobs, &[name("all", &blobs[0].digest)]).unwrap();
        drop(transaction);
        let layout = Directory::open(&path).unwrap();
        assert!(blobs.iter().all(|blob| layout.size(&blob.digest).unwrap() == Some(1)));
        assert!(besides.is_none_or(|blob| layout.size(&blob.digest).unwrap().is_none()));
        assert_eq!(linked.into_inner(), links);
        assert_eq!(fs::read_dir(path.join(".ocistow/staging")).unwrap().count(), 0);
    }
}

/// Then nothing of ours is staged any more that could be put back.
#[test]
fn who_makes_a_layout_while_ours_is_made_keeps_his() {
    for sweeps in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app");
        let theirs = EMPTY.replace("[]", r#"[{"mediaType":"a/b","digest":"DIGEST","size":5,"annotations":{"org.opencontainers.image.ref.name":"theirs"}}]"#);
        let theirs = theirs.replace("DIGEST", &hello().digest.to_string());
        let made = AtomicBool::new(false);
        let medium = Told(|call: &str, paths: &[&Path]| {
            if call == "rename_new" && paths[1].ends_with("index.json") && !made.swap(true, Ordering::SeqCst) {
                fs::write(paths[1], &theirs)?;
                if sweeps {
                    fs::remove_file(path.join(hello().digest.path()))?;
                }
            }
            Ok(())
        });
        let options = Options { medium: &medium, ..Options::default() };
        if sweeps {
            assert_eq!(refused(greet(&path, options)), Kind::Failed);
            assert_eq!(fs::read_to_string(path.join("index.json")).unwrap(), theirs);
            continue;
        }
        let mut transaction = Transaction::begin(&path, options).unwrap();
        transaction.put(&hello(), Content::Bytes(b"hello")).unwrap();
        assert_eq!(refused(transaction.publish_new(&[hello()], EMPTY.into())), Kind::Conflict);
        assert_eq!(fs::read_to_string(path.join("index.json")).unwrap(), theirs);
        // What was put is still there to be published otherwise.
        let view = transaction.view("it", Directory::open(&path).unwrap().index().unwrap(), Marker::Right);
        assert!(matches!(view.open(&hello().digest), Ok(Some(Content::Owned(_, 5)))));
        transaction.publish(&[hello()], &[name("ours", &hello().digest)]).unwrap();
        drop(transaction);
        assert_eq!(tags(&path), ["theirs", "ours"]);
        assert_eq!(fs::read(path.join(hello().digest.path())).unwrap(), b"hello");
    }
}

/// LAYOUT-5, LAYOUT-18, 4.9
#[test]
fn what_other_tools_leave_is_no_stray_file() {
    let (_dir, path, _) = drawn("image app:1 = base");
    let hex = "c".repeat(64);
    for known in ["manifest.json", "repositories", "index.json.lock", "index.json.1.tmp", "oci-put-blob123", "LICENSE"]
    {
        fs::write(path.join(known), "x").unwrap();
    }
    fs::write(path.join(format!("blobs/sha256/{hex}.123.tmp")), "x").unwrap();
    for known in ["ingest", "_uploads", ".uploads", ".umoci-x"] {
        fs::create_dir(path.join(known)).unwrap();
        fs::write(path.join(known).join("x"), "x").unwrap();
    }
    fs::write(path.join("mine.txt"), "x").unwrap();
    fs::write(path.join("blobs/sha256/README"), "x").unwrap();
    let mut odd = Vec::new();
    let layout = Directory::open(&path).unwrap();
    layout.survey(&mut |found| odd.extend((!matches!(found, Found::Blob(_))).then_some(found))).unwrap();
    let odd: std::collections::BTreeSet<String> = odd
        .into_iter()
        .map(|found| match found {
            Found::Stray(path) | Found::Unfit(path, _) => path,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(Vec::from_iter(odd), ["blobs/sha256/README", "mine.txt"]);
}

#[test]
fn what_writers_put_aside_is_counted_and_nothing_behind_a_link() {
    let (dir, path, _) = drawn("image app:1 = base");
    let staged = || Directory::open(&path).unwrap().staged().unwrap();
    assert_eq!(staged(), Count::default());
    let mut expected = Count::default();
    for (aside, bytes) in [
        (".ocistow/staging/1/sha256/aa", 1),
        (".ocistow/sets/sha256:bb/volume.json", 20),
        (".ocistow/trash/sha256/cc", 300),
        ("blobs/.ocistow-2/dd", 4000),
        ("blobs/sha256/.ocistow-3/deep/ee", 50_000),
        ("blobs/sha256/.ocistow-3.tmp", 600_000),
    ] {
        fs::create_dir_all(path.join(aside).parent().unwrap()).unwrap();
        fs::write(path.join(aside), vec![0; bytes]).unwrap();
        expected.add(bytes as u64);
    }
    for other in [".ocistow/graph/facts", ".ocistow/lock/gate", "ingest/x", "blobs/sha256/x.tmp", "blobs/sha256/y/z"] {
        fs::create_dir_all(path.join(other).parent().unwrap()).unwrap();
        fs::write(path.join(other), [0; 7]).unwrap();
    }
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("big"), [0; 9]).unwrap();
    for link in [".ocistow/staging/link", ".ocistow/sets/link", "blobs/.ocistow-link", "blobs/sha256/.ocistow-link"] {
        symlink(&outside, path.join(link)).unwrap();
    }
    assert_eq!(staged(), expected);
    fs::rename(path.join(".ocistow/staging"), outside.join("staging")).unwrap();
    symlink(outside.join("staging"), path.join(".ocistow/staging")).unwrap();
    expected = Count { blobs: expected.blobs - 1, bytes: expected.bytes - 1 };
    assert_eq!(staged(), expected);
    fs::rename(path.join(".ocistow"), outside.join("ours")).unwrap();
    symlink(outside.join("ours"), path.join(".ocistow")).unwrap();
    assert_eq!(staged(), Count { blobs: 3, bytes: 654_000 });
}
