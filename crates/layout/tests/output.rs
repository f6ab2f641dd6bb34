//! Artifacts of enemies are written nowhere but below their directory, and half of one is written nowhere.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ocistow_layout::archive::Existing;
use ocistow_layout::medium::{Disk, Medium};
use ocistow_layout::output::{Options, Output};
use ocistow_layout::title::Title;
use ocistow_layout::{Blob, Content, Digest, Kind, Result, Unwatched};
use ocistow_testkit::medium::{Counting, Failing};
use rustix::io::Errno;
use tar::EntryType;

/// An empty directory; in memory where there is one, since nothing here is about the disk itself.
fn room() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn title(text: &str) -> Title {
    Title::parse(text).unwrap()
}

fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn options(medium: &dyn Medium) -> Options<'_> {
    Options { existing: Existing::Replace, medium, watch: &Unwatched }
}

/// A part of an artifact.
enum Part<'p> {
    File(&'p str, &'p [u8]),
    Directory(&'p str, &'p [u8], Option<Digest>),
}
use Part::{Directory, File};

fn write(to: &Path, parts: &[Part<'_>], options: Options<'_>) -> Result<()> {
    let mut output = Output::begin(to, options)?;
    for part in parts {
        match part {
            File(name, bytes) => output.file(&title(name), &blob(bytes), Content::Bytes(bytes))?,
            Directory(name, bytes, tar) => {
                output.directory(&title(name), &blob(bytes), Content::Bytes(bytes), tar.as_ref())?;
            }
        }
    }
    output.publish()
}

/// One member of a tar: name, sort, target, content, mode.
type Member<'m> = (&'m str, EntryType, &'m str, &'m [u8], u32);

/// A tar of whatever an enemy likes.
fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, sort, target, content, mode) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*sort);
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

/// Everything below a directory: links where they lead, files with what is in them.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    for step in walkdir::WalkDir::new(root).min_depth(1) {
        let step = step.unwrap();
        let what = if step.file_type().is_symlink() {
            format!("-> {}", fs::read_link(step.path()).unwrap().display())
        } else if step.file_type().is_dir() {
            "/".to_owned()
        } else {
            String::from_utf8_lossy(&fs::read(step.path()).unwrap()).into_owned()
        };
        tree.insert(step.path().strip_prefix(root).unwrap().to_owned(), what);
    }
    tree
}

fn words(tree: &BTreeMap<PathBuf, String>) -> Vec<String> {
    tree.iter().map(|(path, what)| format!("{} {what}", path.display())).collect()
}

#[test]
fn files_and_directories_are_written_by_their_titles() {
    let space = room();
    let to = space.path().join("to");
    let packed = tar(&[
        ("d", DIR, "", b"", 0o755),
        ("d/x", FILE, "", b"one", 0o755),
        ("./d//sub/", DIR, "", b"", 0o700),
        ("d/sub/y", FILE, "", b"two", 0o4777),
        ("d/sub/back", LINK, "../x", b"", 0o777),
        ("d/same", HARD, "d/x", b"", 0o644),
        ("d/new/deep/z", FILE, "", b"three", 0o644),
    ]);
    let own = Digest::of(&packed);
    write(&to, &[File("a/b.txt", b"hello"), Directory("d", &gzip(&packed), Some(own.clone()))], options(&Disk))
        .unwrap();
    let expected = [
        "a /",
        "a/b.txt hello",
        "d /",
        "d/new /",
        "d/new/deep /",
        "d/new/deep/z three",
        "d/same one",
        "d/sub /",
        "d/sub/back -> ../x",
        "d/sub/y two",
        "d/x one",
    ];
    assert_eq!(words(&tree(&to)), expected);
    let mode = |path: &str| to.join(path).symlink_metadata().unwrap().mode() & 0o7777;
    let allowed = mode("a");
    assert_eq!((mode("a/b.txt"), mode("d/x"), mode("d/sub")), (0o666 & allowed, 0o755 & allowed, 0o700));
    // Neither more than the umask lets through, nor another user's rights.
    assert_eq!(mode("d/sub/y"), 0o777 & allowed);

    // In every packing, and not packed at all.
    let zstd = zstd::bulk::compress(&packed, 3).unwrap();
    let two = packed.len() / 1024 * 512;
    let members = [gzip(&packed[..two]), gzip(&packed[two..])].concat();
    for (at, bytes) in [packed.clone(), zstd, members].iter().enumerate() {
        let to = space.path().join(at.to_string());
        write(&to, &[File("a/b.txt", b"hello"), Directory("d", bytes, Some(own.clone()))], options(&Disk)).unwrap();
        assert_eq!(words(&tree(&to)), expected);
    }
}

#[test]
fn what_an_enemy_packs_is_refused_and_nothing_is_written() {
    let table: &[(&str, &[Member<'_>])] = &[
        ("leads upwards", &[("d/../../out", FILE, "", b"x", 0o644)]),
        ("leads upwards", &[("..", DIR, "", b"", 0o755)]),
        ("is absolute", &[("/d/x", FILE, "", b"x", 0o644)]),
        ("does not lie in", &[("e/x", FILE, "", b"x", 0o644)]),
        ("does not lie in", &[("x", FILE, "", b"x", 0o644)]),
        ("is no directory", &[("d", FILE, "", b"x", 0o644)]),
        ("is no directory", &[("d", LINK, "x", b"", 0o644)]),
        ("may lead out", &[("d/l", LINK, "/etc", b"", 0o644)]),
        ("may lead out", &[("d/l", LINK, "../out", b"", 0o644)]),
        ("may lead out", &[("d/l", LINK, "", b"", 0o644)]),
        ("may lead out", &[("d/s/l", LINK, "..", b"", 0o777), ("d/m", LINK, "s/l/..", b"", 0o777)]),
        ("is no directory", &[("d/l", LINK, "sub", b"", 0o644), ("d/l/x", FILE, "", b"x", 0o644)]),
        ("is no directory", &[("d/l", LINK, ".", b"", 0o644), ("d/l/l/x", FILE, "", b"x", 0o644)]),
        ("is no directory", &[("d/l", LINK, ".", b"", 0o644), ("d/l", DIR, "", b"", 0o755)]),
        ("called that", &[("d/l", LINK, "x", b"", 0o644), ("d/l", FILE, "", b"x", 0o644)]),
        ("called that", &[("d/x", FILE, "", b"1", 0o644), ("d/x", FILE, "", b"2", 0o644)]),
        ("is no directory", &[("d/x", FILE, "", b"1", 0o644), ("d/x/y", FILE, "", b"2", 0o644)]),
        ("no file that came before", &[("d/h", HARD, "d/x", b"", 0o644)]),
        ("no file that came before", &[("d/s", DIR, "", b"", 0o755), ("d/h", HARD, "d/s", b"", 0o644)]),
        ("no file that came before", &[("d/l", LINK, "x", b"", 0o644), ("d/h", HARD, "d/l", b"", 0o644)]),
        (
            "no file that came before",
            &[("d/s/x", FILE, "", b"1", 0o644), ("d/l", LINK, "s", b"", 0o644), ("d/h", HARD, "d/l/x", b"", 0o644)],
        ),
        ("is absolute", &[("d/h", HARD, "/etc/passwd", b"", 0o644)]),
        ("leads upwards", &[("d/h", HARD, "d/../../x", b"", 0o644)]),
        ("does not lie in", &[("d/h", HARD, "x", b"", 0o644)]),
        ("is a device", &[("d/x", EntryType::Char, "", b"", 0o644)]),
        ("is a device", &[("d/x", EntryType::Block, "", b"", 0o644)]),
        ("is a FIFO", &[("d/x", EntryType::Fifo, "", b"", 0o644)]),
        ("sparse", &[("d/x", EntryType::GNUSparse, "", b"", 0o644)]),
        ("claims 1 bytes", &[("d/l", LINK, "x", b"y", 0o644)]),
        ("unknown type", &[("d/x", EntryType::new(b'Q'), "", b"", 0o644)]),
    ];
    for (expected, members) in table {
        let space = room();
        let to = space.path().join("to");
        let packed = gzip(&tar(members));
        let why = write(&to, &[File("ok", b"x"), Directory("d", &packed, None)], options(&Disk)).unwrap_err();
        assert_eq!(why.kind(), Kind::Integrity, "{}", why.chain());
        assert!(why.chain().contains(expected), "{expected}: {}", why.chain());
        assert_eq!(words(&tree(space.path())), [""; 0], "{expected}");
    }
}

#[test]
fn a_packing_that_is_not_what_it_should_be_is_refused() {
    let packed = tar(&[("d/x", FILE, "", b"one", 0o644)]);
    let whole = gzip(&packed);
    let cut = &packed[..packed.len() - 1024];
    let mut behind = packed.clone();
    behind.extend_from_slice(b"more");
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 8;
    wrong_sum[at] ^= 1;
    let table: [(&str, Vec<u8>, Option<Digest>); 7] = [
        ("its tar should have the digest", whole.clone(), Some(Digest::of(b"other"))),
        ("no end marker", gzip(cut), None),
        ("follows the end marker", gzip(&behind), None),
        ("is cut", whole[..whole.len() - 20].to_vec(), None),
        ("damaged", wrong_sum, None),
        ("neither a tar nor", b"hello".to_vec(), None),
        ("neither a tar nor", Vec::new(), None),
    ];
    for (expected, bytes, own) in table {
        let space = room();
        let why = write(&space.path().join("to"), &[Directory("d", &bytes, own)], options(&Disk)).unwrap_err();
        assert_eq!(why.kind(), Kind::Integrity, "{}", why.chain());
        assert!(why.chain().contains(expected), "{expected}: {}", why.chain());
        assert_eq!(words(&tree(space.path())), [""; 0], "{expected}");
    }
}

/// DESCRIPTOR-5
#[test]
fn what_is_not_the_blob_is_not_looked_into() {
    let space = room();
    let bomb = gzip(&vec![0; 1 << 20]);
    let wrong = Blob { digest: Digest::of(b"other"), size: bomb.len() as u64 };
    for stream in [false, true] {
        let medium = Counting::new(usize::MAX);
        let mut output = Output::begin(&space.path().join("to"), options(&medium)).unwrap();
        let before = medium.made();
        let content = match stream {
            true => Content::Stream(Box::new(&bomb[..]), bomb.len() as u64),
            false => Content::Bytes(&bomb),
        };
        let why = output.directory(&title("d"), &wrong, content, None).unwrap_err();
        assert!(why.chain().contains("is damaged"), "{}", why.chain());
        // A stream is put aside before it can be hashed: made, written, and unlinked.
        assert_eq!(medium.made() - before, if stream { 3 } else { 0 });
    }
    let why = write(&space.path().join("to"), &[File("x", b"1")], options(&Disk))
        .and_then(|()| {
            let mut output = Output::begin(&space.path().join("to"), options(&Disk))?;
            output.file(&title("x"), &blob(b"2"), Content::Bytes(b"3"))?;
            output.publish()
        })
        .unwrap_err();
    assert_eq!(why.kind(), Kind::Integrity);
    assert_eq!(words(&tree(space.path())), ["to /", "to/x 1"]);
}

#[test]
fn a_directory_from_a_stream_is_the_same() {
    let space = room();
    let packed = gzip(&tar(&[("d/x", FILE, "", b"one", 0o644)]));
    let mut output = Output::begin(&space.path().join("to"), options(&Disk)).unwrap();
    let content = Content::Stream(Box::new(&packed[..]), packed.len() as u64);
    output.directory(&title("d"), &blob(&packed), content, None).unwrap();
    output.publish().unwrap();
    assert_eq!(words(&tree(&space.path().join("to"))), ["d /", "d/x one"]);
}

#[test]
fn two_parts_of_one_name_are_refused() {
    let packed = gzip(&tar(&[("d/x", FILE, "", b"one", 0o644)]));
    let table: &[&[Part<'_>]] = &[
        &[File("x", b"1"), File("x", b"1")],
        &[File("d", b"1"), File("d/x", b"1")],
        &[File("d/x", b"1"), File("d", b"1")],
        &[Directory("d", &packed, None), File("d/x", b"1")],
        &[Directory("d", &packed, None), Directory("d", &packed, None)],
        &[Directory("d", &packed, None), File("d", b"1")],
        &[File(".ocistow-pull-1/x", b"1")],
        &[File("x", b"1"), File(".ocistow-pull-1", b"1")],
        &[File(".", b"1")],
    ];
    for (at, parts) in table.iter().enumerate() {
        let space = room();
        let why = write(&space.path().join("to"), parts, options(&Disk)).unwrap_err();
        assert_eq!(why.kind(), Kind::Integrity, "{at}: {}", why.chain());
        assert_eq!(words(&tree(space.path())), [""; 0], "{at}");
    }
    // Beside what is packed there is room.
    let space = room();
    write(space.path(), &[Directory("d", &packed, None), File("d/y", b"1")], options(&Disk)).unwrap();
    assert_eq!(words(&tree(space.path())), ["d /", "d/x one", "d/y 1"]);
}

#[test]
fn links_and_whatever_cannot_be_replaced_are_in_the_way() {
    let packed = gzip(&tar(&[("d/sub/x", FILE, "", b"one", 0o644), ("d/l", LINK, "sub", b"", 0o644)]));
    type Obstacle = fn(&Path);
    let table: &[(&str, Obstacle)] = &[
        ("through a link", |to| symlink("../out", to.join("d")).unwrap()),
        ("through a link", |to| {
            fs::create_dir(to.join("d")).unwrap();
            symlink("../../out", to.join("d/sub")).unwrap();
        }),
        ("through a link", |to| {
            fs::create_dir_all(to.join("d/sub")).unwrap();
            symlink("../../../out/secret", to.join("d/sub/x")).unwrap();
        }),
        ("through a link", |to| symlink("nowhere", to.join("d")).unwrap()),
        ("it is no directory", |to| fs::write(to.join("d"), "mine").unwrap()),
        ("it is a directory", |to| fs::create_dir_all(to.join("d/sub/x")).unwrap()),
        ("it is a directory", |to| fs::create_dir_all(to.join("d/l")).unwrap()),
        ("no regular file", |to| {
            fs::create_dir_all(to.join("d/sub")).unwrap();
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644));
            rustix::fs::mknodat(rustix::fs::CWD, to.join("d/sub/x"), kind, mode, 0).unwrap();
        }),
    ];
    for (expected, obstacle) in table {
        let space = room();
        let to = space.path().join("to");
        fs::create_dir_all(space.path().join("out")).unwrap();
        fs::write(space.path().join("out/secret"), "mine").unwrap();
        fs::create_dir(&to).unwrap();
        obstacle(&to);
        let names = |root: &Path| -> Vec<PathBuf> {
            walkdir::WalkDir::new(root).into_iter().map(|step| step.unwrap().into_path()).collect()
        };
        let before = names(space.path());
        let why = write(&to, &[File("a", b"1"), Directory("d", &packed, None)], options(&Disk)).unwrap_err();
        assert_eq!(why.kind(), Kind::Failed, "{}", why.chain());
        assert!(why.chain().contains(expected), "{expected}: {}", why.chain());
        assert_eq!(names(space.path()), before, "{expected}");
        assert_eq!(fs::read(space.path().join("out/secret")).unwrap(), b"mine");
    }
}

#[test]
fn what_is_there_is_replaced_or_kept() {
    let space = room();
    let to = space.path();
    fs::create_dir_all(to.join("d/sub")).unwrap();
    fs::set_permissions(to.join("d"), fs::Permissions::from_mode(0o711)).unwrap();
    for (path, content) in [("d/sub/x", "old"), ("d/mine", "mine"), ("a", "old")] {
        fs::write(to.join(path), content).unwrap();
    }
    symlink("old", to.join("d/l")).unwrap();
    let packed = gzip(&tar(&[
        ("d", DIR, "", b"", 0o700),
        ("d/sub/x", FILE, "", b"new", 0o644),
        ("d/sub/y", FILE, "", b"new", 0o644),
        ("d/l", LINK, "new", b"", 0o644),
    ]));
    let parts = [File("a", b"new"), Directory("d", &packed, None)];
    let before = tree(to);
    let keep = Options { existing: Existing::Keep, ..options(&Disk) };
    let why = write(to, &parts, keep).unwrap_err();
    assert_eq!(why.kind(), Kind::Failed);
    assert!(why.chain().contains("is to be kept"), "{}", why.chain());
    assert_eq!(tree(to), before);

    let old = fs::File::open(to.join("a")).unwrap();
    write(to, &parts, options(&Disk)).unwrap();
    let expected = ["a new", "d /", "d/l -> new", "d/mine mine", "d/sub /", "d/sub/x new", "d/sub/y new"];
    assert_eq!(words(&tree(to)), expected);
    assert_eq!(io::read_to_string(old).unwrap(), "old", "who has it open keeps what he has");
    assert_eq!(to.join("d").metadata().unwrap().mode() & 0o777, 0o711, "a directory that was there stays as it was");
    write(&space.path().join("d/sub"), &[File("z", b"new")], keep).unwrap();
}

/// What there is before, and what is written: new files, replaced ones, a new directory and one that is there.
fn scene(to: &Path) {
    fs::create_dir_all(to.join("d")).unwrap();
    fs::write(to.join("d/x"), "old").unwrap();
    fs::write(to.join("a"), "old").unwrap();
}

const PARTS: [&str; 2] = ["a", "b/c"];

fn act(to: &Path, medium: &dyn Medium) -> Result<()> {
    let packed = gzip(&tar(&[
        ("d/x", FILE, "", b"new", 0o755),
        ("d/l", LINK, "x", b"", 0o777),
        ("d/h", HARD, "d/x", b"", 0o755),
        ("d/sub", DIR, "", b"", 0o700),
        ("d/sub/y", FILE, "", b"new", 0o600),
    ]));
    let mut parts: Vec<Part<'_>> = PARTS.iter().map(|name| File(name, b"new")).collect();
    parts.push(Directory("d", &packed, None));
    write(to, &parts, options(medium))
}

#[test]
fn a_disk_that_refuses_a_call_leaves_what_was_there() {
    let mut failures = 0;
    for new in [false, true] {
        for errno in [Errno::IO, Errno::NOSPC, Errno::ACCESS] {
            for nth in 0.. {
                let space = room();
                let to = space.path().join("to");
                if !new {
                    scene(&to);
                }
                let before = tree(space.path());
                let medium = Arc::new(Failing::new(move |call, _: &str| (call == nth).then_some(errno)));
                let done = act(&to, &*medium);
                match &done {
                    Err(why) => {
                        assert_eq!(why.kind(), Kind::Failed, "{nth}: {}", why.chain());
                        assert_eq!(tree(space.path()), before, "{errno:?} at {nth}: {}", why.chain());
                        failures += 1;
                    }
                    Ok(()) => assert_eq!(fs::read(to.join("d/x")).unwrap(), b"new", "{nth}"),
                }
                if medium.made() <= nth {
                    assert!(done.is_ok());
                    break;
                }
            }
        }
    }
    assert!(failures > 100, "only {failures} failures");
}

#[test]
fn a_killed_run_leaves_whole_files_and_the_next_one_clears_up() {
    for calls in 0.. {
        let space = room();
        let to = space.path().join("to");
        scene(&to);
        let medium = Counting::new(calls);
        let _ = act(&to, &medium);
        for (path, what) in tree(&to) {
            let ours = path.to_str().unwrap().starts_with(".ocistow-pull-");
            assert!(ours || ["old", "new", "/", "-> x"].contains(&&*what), "{calls}: {} {what}", path.display());
        }
        act(&to, &Disk).unwrap();
        let expected = ["a new", "b /", "b/c new", "d /", "d/h new", "d/l -> x", "d/sub /", "d/sub/y new", "d/x new"];
        assert_eq!(words(&tree(&to)), expected, "killed after {calls} calls");
        if medium.made() < calls {
            break;
        }
    }
}

#[test]
fn a_directory_of_a_run_that_goes_on_is_not_cleared() {
    let space = room();
    let mut output = Output::begin(space.path(), options(&Disk)).unwrap();
    output.file(&title("a"), &blob(b"1"), Content::Bytes(b"1")).unwrap();
    write(space.path(), &[File("b", b"2")], options(&Disk)).unwrap();
    output.publish().unwrap();
    assert_eq!(words(&tree(space.path())), ["a 1", "b 2"]);
}
